"""MemoryAgentBench: reading small files in its format, chunks, films, the environment, and the real facts."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memgym.checks import check_env
from memgym.datasets import memoryagentbench
from memgym.datasets.chunks import chunks
from memgym.datasets.memoryagentbench import (
    COMPETENCIES,
    load_memoryagentbench,
    load_movies,
    parse_memoryagentbench,
)
from memgym.envs.memory_agent_bench import MemoryAgentBench
from memgym.errors import DatasetCorrupt, DatasetMissing, DependencyMissing
from memgym.memory import as_action
from memgym.scoring.redial import Catalogue, film_name, recommended_names, redial_recall_at_k
from memgym.stream import Question

FACTS = "Here is a list of facts:\n0. Ann lives in Oslo.\n1. Ben lives in Rome.\n2. Ann lives in Bern.\n"


def row(source: str, questions: list[str], answers: list[Any], context: str = FACTS, **metadata: Any) -> dict:
    return {
        "context": context,
        "questions": questions,
        "answers": answers,
        "metadata": {"source": source, "demo": None, **metadata},
    }


RECORDS = [
    row("factconsolidation_sh_6k", ["Where is Ann?", "And Ben?"], [["Bern"], ["Rome", "Roma"]]),
    row("icl_trec_coarse", ["What is a cat?"], [["4"]]),
    row("eventqa_full", ["What is next?"], [["She leaves."]], qa_pair_ids=["e0"], question_types=["plot"]),
    row("detective_qa", ["Who?"], ["B. The cook"]),
    row("longmemeval_s*", ["When?"], [["7 May"]], question_dates=["2023/05/30 (Tue) 23:40"]),
    row("infbench_sum_eng_shots2", ["Sum up."], [["A long tale."]], keypoints=["a tale", "it is long"]),
    row("ruler_qa1_197K", ["Who?"], [["Ann"]]),
    row("recsys_redial_full", ["[Conversation] ..."], [["7", "9"]]),
]
FILMS = {
    "<http://dbpedia.org/resource/Solaris_(1972_film)>": 7,
    "<http://x/Stalker>": 9,
    "<http://x/The-Mirror>": 11,
}


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a row of each kind, and the films, of which no published file is at hand."""
    path = tmp_path / "small.json"
    path.write_text(json.dumps(RECORDS))
    films = tmp_path / "films.json"
    films.write_text(json.dumps(FILMS))
    monkeypatch.setattr("memgym.envs.memory_agent_bench.load_movies", lambda: load_movies(films))
    return path


# ---------------------------------------------------------------------- chunks


TEXTS = st.text(alphabet=st.sampled_from("ab.?!\n\"' 19"), max_size=200)


@given(text=TEXTS, chunk_words=st.integers(1, 12))
def test_chunks_hold_all_words_in_order(text: str, chunk_words: int) -> None:
    found = list(chunks(text, chunk_words))
    assert " ".join(found).split() == text.split()
    assert all(chunk.strip() == chunk and chunk for chunk in found)


@given(
    facts=st.lists(
        st.lists(st.sampled_from(["a.", "b?", "c"]), min_size=1, max_size=9), min_size=1, max_size=9
    ),
    chunk_words=st.integers(1, 12),
)
def test_a_numbered_fact_is_never_cut(facts: list[list[str]], chunk_words: int) -> None:
    lines = [f"{i}. {' '.join(words)}" for i, words in enumerate(facts)]
    found = list(chunks("\n".join(lines), chunk_words))
    assert [line for chunk in found for line in chunk.split("\n")] == lines
    assert all(len(chunk.split()) <= chunk_words or "\n" not in chunk for chunk in found)


def test_prose_is_cut_between_sentences() -> None:
    text = "One two three. Four five! Six seven eight nine ten eleven? Twelve."
    assert list(chunks(text, 5)) == [
        "One two three. Four five!",
        "Six seven eight nine ten eleven?",
        "Twelve.",
    ]


def test_words_without_a_full_stop_are_cut_after_all() -> None:
    assert [len(chunk.split()) for chunk in chunks("word " * 5000, 1500)] == [1500, 1500, 1500, 500]


# ---------------------------------------------------------------------- reading


def set_at(*path: Any, value: Any) -> Callable[[list[Any]], None]:
    def spoil(records: list[Any]) -> None:
        place: Any = records
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (set_at(1, value=3), r"record 1: expected an object, found int '3'"),
        (lambda records: records[1].pop("metadata"), r"record 1: 'metadata' is missing"),
        (set_at(1, "metadata", value={}), r"record 1: 'source' is missing"),
        (lambda records: records[1].pop("context"), r"record 1 \(icl_trec_coarse\): 'context' is missing"),
        (set_at(1, "context", value=" "), r"record 1 \(icl_trec_coarse\): 'context' is empty"),
        (
            set_at(1, "questions", value="What?"),
            r"\(icl_trec_coarse\): 'questions' is str 'What\?', not list",
        ),
        (set_at(1, "questions", value=[]), r"0 questions and 1 answers; as many are needed"),
        (set_at(0, "answers", value=[["Bern"]]), r"2 questions and 1 answers; as many are needed"),
        (set_at(0, "questions", 1, value=5), r"\(factconsolidation_sh_6k\), question 1 is int '5', not str"),
        (set_at(0, "answers", 1, value=[]), r"question 1 has no answer"),
        (set_at(0, "answers", 1, value=[None]), r"question 1: the answer NoneType 'None' is not str or int"),
        (set_at(0, "answers", 1, value=["\ud83d"]), r"question 1: the answer has half a surrogate pair"),
        (set_at(0, "metadata", "qa_pair_ids", value=["x"]), r"2 questions and 1 of 'qa_pair_ids'"),
        (set_at(0, "metadata", "qa_pair_ids", value=["x", "x"]), r"two questions have the same id"),
        (
            set_at(0, "metadata", "question_types", value="x"),
            r"'question_types' is str 'x', not a list of str",
        ),
        (set_at(0, "metadata", "keypoints", value=[1]), r"'keypoints' is a list of 1, not a list of str"),
        (set_at(0, "metadata", "source", value="poetry"), r"source 'poetry' begins with none of factcons"),
        (
            set_at(7, "answers", 0, value=["8"]),
            r"question recsys_redial_full_no0: the answer '8' is no film's",
        ),
        (set_at(7, "answers", 0, value=["Solaris"]), r"the answer 'Solaris' is no film's number"),
        (lambda records: records.clear(), r"expected a list of records, found a list of 0"),
    ],
)
def test_a_broken_record_is_named_before_an_episode_starts(
    small: Path, spoil: Callable[[list[Any]], None], message: str
) -> None:
    records = json.loads(json.dumps(RECORDS))
    spoil(records)
    small.write_text(json.dumps(records))
    with pytest.raises(DatasetCorrupt, match=message):
        MemoryAgentBench(path=small)


def test_a_file_cut_in_half_and_a_huge_one_are_refused(small: Path) -> None:
    text = json.dumps(RECORDS)
    small.write_text(text[: len(text) // 2])
    with pytest.raises(DatasetCorrupt, match=r"small\.json is not JSON"):
        MemoryAgentBench(path=small)
    with small.open("wb") as file:
        file.write(b'[{"context": "')
        file.truncate(1 << 30)  # sparse: takes no room
    with pytest.raises(DatasetCorrupt, match=r"1,073,741,824 bytes; more than 134,217,728 are not read"):
        MemoryAgentBench(path=small)


def test_one_string_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memoryagentbench, "MAX_CONTEXT", 100)
    with pytest.raises(DatasetCorrupt, match=r"record 0 \(x\): 'context' has 101 characters; more than 100"):
        parse_memoryagentbench([row("x", ["?"], ["!"], "c" * 101)])


def test_unknown_fields_are_passed_over() -> None:
    (read,) = parse_memoryagentbench([{**RECORDS[0], "new": 1, "metadata": {"source": "icl_x", "new": [1]}}])
    assert [task.id for task in read.questions] == ["icl_x_no0", "icl_x_no1"]
    assert read.questions[1].answers == ("Rome", "Roma")


def test_parquet_gives_what_json_gives(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    details = ["source", "qa_pair_ids", "question_types", "question_dates", "keypoints", "haystack_sessions"]
    records = [
        {
            **record,
            "answers": [each if isinstance(each, list) else [each] for each in record["answers"]],
            "metadata": {key: record["metadata"].get(key) for key in details},
        }
        for record in RECORDS
    ]
    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.Table.from_pylist(records), path)
    assert load_memoryagentbench("accurate_retrieval", path) == load_memoryagentbench(
        "accurate_retrieval", small
    )
    monkeypatch.setattr(memoryagentbench, "MAX_UNPACKED", 10)
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(path.read_bytes())
    with pytest.raises(DatasetCorrupt, match=r"unpacks to [\d,]+ bytes; more than 10"):
        load_memoryagentbench("accurate_retrieval", copy)
    copy.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DatasetCorrupt, match="is not a Parquet file that can be read"):
        load_memoryagentbench("accurate_retrieval", copy)


def test_parquet_without_its_column_is_named(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"context": ["x"], "metadata": [{"source": "icl_x"}]}), path)
    with pytest.raises(DatasetCorrupt, match=r"record 0 .*'questions' is missing"):
        load_memoryagentbench("test_time_learning", path)


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # makes "import pyarrow" fail
    with pytest.raises(DependencyMissing, match=r"memgym\[parquet\]"):
        load_memoryagentbench("test_time_learning", path)


def test_a_missing_file_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMGYM_DATA", raising=False)
    monkeypatch.setenv("MEMGYM_CACHE", str(tmp_path))
    for competency, info in COMPETENCIES.items():
        with pytest.raises(DatasetMissing, match=f"memgym data get {info.name}"):
            MemoryAgentBench(competency=competency)


# ---------------------------------------------------------------------- films


def test_names_are_read_from_lists_and_from_lines() -> None:
    assert recommended_names("I suggest\n1. Solaris (1972)\n2) Stalker\n3 - The  Mirror") == [
        "Solaris",
        "Stalker",
        "The Mirror",
    ]
    assert recommended_names("Solaris, Stalker\nAlien") == ["Solaris", "Stalker", "Alien"]
    assert len(recommended_names("1.\n" + "a\n" * 1000)) == 20


def levenshtein(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
    return row[-1]


@given(
    names=st.lists(st.text(alphabet="abC ", min_size=1, max_size=8), min_size=1, max_size=12),
    name=st.text(alphabet="abC ", max_size=9),
)
def test_the_nearest_film_is_that_of_the_textbook(names: list[str], name: str) -> None:
    nearest = Catalogue(names).nearest(name)
    distances = {each: levenshtein(name.lower(), each.lower()) for each in names}
    assert distances[nearest] == min(distances.values())
    assert nearest == min(each for each in names if distances[each] == distances[nearest])


def test_recall_counts_the_first_films_alone() -> None:
    films = Catalogue(film_name(name) for name in FILMS)
    answer = "1. The Mirror\n2. Solaris\n3. Stalkr"
    assert [redial_recall_at_k(answer, ["Solaris", "Stalker"], films, k) for k in (1, 2, 3)] == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected an object of names"),
        ('{"a": "1"}', "number of 'a' is str '1', not int"),
        ("{", "not JSON"),
    ],
)
def test_a_broken_film_list_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "films.json"
    path.write_text(content)
    with pytest.raises(DatasetCorrupt, match=message):
        load_movies(path)


# ---------------------------------------------------------------------- environment


def stream(env: MemoryAgentBench, episode: int = 0) -> list[Any]:
    env.reset(seed=0, options={"episode": episode})
    return list(env._stream(env._key, episode))


def test_each_text_is_one_episode_and_comes_once_before_any_again(small: Path) -> None:
    env = MemoryAgentBench(path=small)
    sources = [stream(env, i)[-1].type for i in range(9)]
    assert sorted(sources[:8]) == sorted(record["metadata"]["source"] for record in RECORDS)
    assert sources[8] == sources[0]


def test_the_text_comes_in_chunks_before_its_questions_in_the_order_of_the_file(small: Path) -> None:
    events = stream(MemoryAgentBench(path=small, sources=["factconsolidation"], chunk_words=1))
    assert [event.text for event in events] == [*FACTS.strip().split("\n"), "Where is Ann?", "And Ben?"]


def test_instructions_are_put_before_the_question(small: Path) -> None:
    *_, question = stream(MemoryAgentBench(path=small, sources=["icl"], instructions=True))
    assert re.fullmatch(r"Give the number of the label .*\n\nWhat is a cat\?", question.text)


def test_what_a_judge_needs_is_on_the_question(small: Path) -> None:
    *_, summary = stream(MemoryAgentBench(path=small, sources=["infbench"]))
    assert summary.meta["keypoints"] == ("a tale", "it is long")
    *_, chat = stream(MemoryAgentBench(path=small, sources=["longmemeval"]))
    assert chat.time == "2023-05-30T23:40"


@pytest.mark.parametrize(
    ("source", "answer", "score"),
    [
        ("factconsolidation", "Ann is in Bern.", 1.0),
        ("factconsolidation", "one two three four five six seven eight nine ten Bern", 0.0),
        ("factconsolidation", "Answer: Bern\nbecause", 1.0),
        ("icl", "4", 1.0),
        ("icl", "Answer: 4", 1.0),
        ("icl", "label: 4", 0.0),
        ("icl", "4 or 5", 0.0),
        ("eventqa", "Next: she leaves.", 1.0),
        ("eventqa", "Well,\nshe leaves.", 0.0),
        ("detective_qa", "b. the cook", 1.0),
        ("detective_qa", "the cook", 0.0),
        ("ruler", "It is Ann", 1.0),
        ("longmemeval", "on 7 May", 1.0),
        ("infbench", "A long tale.", 1.0),
        ("infbench", "tale", pytest.approx(2 / 3)),
        ("recsys", "1. Solaris", 0.5),
        ("recsys", "1. The Mirror\n2. Mirror\n3. mirror\n4. The Mirrors\n5. Mirror\n6. Solaris", 0.0),
    ],
)
def test_an_answer_is_scored_as_its_source_asks(small: Path, source: str, answer: str, score: Any) -> None:
    env = MemoryAgentBench(path=small, sources=[source])
    question = next(event for event in stream(env) if isinstance(event, Question))
    assert env._score(question, answer).score == score


@pytest.mark.parametrize("sources", [None, ["recsys"]])
def test_the_environment_keeps_memgyms_promises(small: Path, sources: list[str] | None) -> None:
    check_env("memgym/MemoryAgentBench-v0", path=str(small), sources=sources, chunk_words=8)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"competency": "luck"}, "competency is"),
        ({"sources": ["poetry"]}, r"sources \['poetry'\] begin none of detective_qa, eventqa_full"),
        ({"sources": "icl"}, "sources is a list"),
        ({"chunk_words": 0}, "chunk_words is"),
        ({"instructions": "short"}, "instructions is True or False"),
    ],
)
def test_a_wrong_argument_is_named(small: Path, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MemoryAgentBench(path=small, **kwargs)


# ---------------------------------------------------------------------- the real facts


@pytest.fixture(scope="module")
def real() -> tuple[Any, ...]:
    try:
        return load_memoryagentbench("conflict_resolution")
    except DatasetMissing as error:
        pytest.skip(f"memoryagentbench_fc is not on this machine: {error}")


def test_the_real_file_has_the_known_counts(real: tuple[Any, ...]) -> None:
    facts = {row.source: len(re.findall(r"(?m)^\d+\. ", row.context)) for row in real}
    sizes = {"6k": 455, "32k": 2310, "64k": 4580, "262k": 18332}
    assert facts == {f"factconsolidation_{hops}_{k}": n for hops in ("sh", "mh") for k, n in sizes.items()}
    assert [len(row.questions) for row in real] == [100] * 8
    assert all(len(task.answers) == 1 for row in real for task in row.questions)


def test_each_real_fact_is_one_item_where_asked_for(real: tuple[Any, ...]) -> None:
    facts = stream(MemoryAgentBench(sources=["factconsolidation_sh_6k"], chunk_words=1))[:456]
    assert len(facts) == 456  # and the heading
    assert all(re.match(rf"{i}\. ", fact.text) for i, fact in enumerate(facts[1:]))


def test_every_real_gold_is_right_and_a_copy_of_the_text_is_not(real: tuple[Any, ...]) -> None:
    env = MemoryAgentBench(sources=["factconsolidation_mh_6k"])
    events = stream(env)
    questions = [event for event in events if isinstance(event, Question)]
    text = "\n".join(event.text for event in events if not isinstance(event, Question))
    assert {env._score(question, question.answer).score for question in questions} == {1.0}
    assert np.mean([env._score(question, text).score for question in questions]) < 0.05


def test_a_pass_over_a_real_text_shows_all_its_words(real: tuple[Any, ...]) -> None:
    env = MemoryAgentBench(sources=["factconsolidation_sh_32k"])
    observation, _ = env.reset(seed=0)
    words: list[str] = []
    while observation["phase"] == 0:
        words += observation["text"].split()
        observation, *_ = env.step(as_action())
    (wanted,) = [row.context.split() for row in real if row.source == "factconsolidation_sh_32k"]
    assert words == wanted
