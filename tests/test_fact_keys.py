"""The keyed manager: one entry a key, the newest wins, and relations are walked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memgym.agents.fact_keys import Fact, FactKeysPolicy, parse_fact
from memgym.agents.fact_relations import RELATIONS
from memgym.baselines import study_fact_consolidation
from memgym.checks import play_by_name
from memgym.memory import MemoryEngine
from memgym.memory.store import MemoryStore

FACTS = [
    "0. The author of Hard Times is Charles Dickens.",
    "1. Charles Dickens is married to Catherine Dickens.",
    "2. Catherine Dickens is a citizen of United Kingdom.",
    "3. The capital of United Kingdom is London.",
    "4. The author of Hard Times is Martin Luther King Jr..",
    "5. Martin Luther King Jr. is married to Coretta Scott King.",
    "6. Coretta Scott King is a citizen of Peru.",
    "7. The capital of Peru is Lima.",
    "8. Pigs might fly.",
]


def told(facts: list[str]) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), FactKeysPolicy())
    for fact in facts:
        store.add(fact)
    return store


def answer(store: MemoryStore, question: str) -> str | None:
    return store.read(question).answer


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("The capital of Peru is Lima.", Fact("Peru", "capital", "Lima")),
        ("Ann works in the field of politics.", Fact("Ann", "field", "politics")),
        ("The univeristy where Ann was educated is Yale.", Fact("Ann", "educated", "Yale")),
        ("Ann's child is Ben.", Fact("Ann", "child", "Ben")),
        ("The headquarters of X is located in the city of Y.", Fact("X", "headquarters", "Y")),
        (
            "The name of the current head of the Oslo government is Ann.",
            Fact("Oslo", "head of government", "Ann"),
        ),
        ("The author of What Is Art? is Ann.", Fact("What Is Art?", "author", "Ann")),
        ("Pigs might fly.", None),
        ("", None),
    ],
)
def test_a_sentence_is_read_by_its_template(sentence: str, fact: Fact | None) -> None:
    assert parse_fact(sentence) == fact


@pytest.mark.parametrize("name", RELATIONS)
def test_every_template_is_read_as_its_own_relation(name: str) -> None:
    (template,) = RELATIONS[name].templates
    sentence = template.replace("(?P<s>.+)", "Abc").replace("(?P<o>.+)", "Def")
    assert parse_fact(f"{sentence}.") == Fact("Abc", name, "Def")


def test_a_newer_fact_updates_the_entry_of_its_key() -> None:
    store = told(FACTS)
    assert answer(store, "Who is the author of Hard Times?") == "Martin Luther King Jr."
    assert [entry.version for entry in store.get_all() if "author" in entry.text] == [2]
    assert not any("Charles Dickens" in entry.text for entry in store.get_all() if "author" in entry.text)


def test_an_older_serial_number_never_wins() -> None:
    store = told([FACTS[4], FACTS[0]])
    assert answer(store, "Who is the author of Hard Times?") == "Martin Luther King Jr."


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who is the spouse of the author of Hard Times?", "Coretta Scott King"),
        ("What is the country of citizenship of the spouse of the author of Hard Times?", "Peru"),
        ("What is the capital of the country whose citizen the wife of Hard Times's author is?", "Lima"),
    ],
)
def test_relations_are_walked_from_fact_to_fact(question: str, expected: str) -> None:
    assert answer(told(FACTS), question) == expected


def test_a_walk_breaks_where_a_fact_in_between_is_missing() -> None:
    """The control: the answer comes from the facts and not from the question."""
    without = [fact for fact in FACTS if "Coretta Scott King is" not in fact]
    question = "What is the country of citizenship of the spouse of the author of Hard Times?"
    assert answer(told(without), question) != "Peru"


def test_what_fits_no_template_is_still_found() -> None:
    assert told(FACTS).read("What might pigs do?").hits[0]["text"] == "Pigs might fly."


@pytest.mark.parametrize("budget", [0, 40, 100, 400])
def test_nothing_is_refused_under_a_small_budget(budget: int) -> None:
    store = MemoryStore(MemoryEngine(budget), FactKeysPolicy())
    reasons = [row["reason"] for fact in FACTS * 3 for row in store.add(fact)["results"]]
    assert not any(reasons)
    assert store.engine.nbytes <= budget


# ---------------------------------------------------------------------- the real file


@pytest.fixture(scope="module")
def fact_file(real_data: Callable[[str], Path]) -> Path:
    return real_data("memoryagentbench_fc")


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The committed table."""
    path = Path(__file__).parents[1] / "baselines" / "expected" / "fact_consolidation.json"
    return json.loads(path.read_text("utf-8"))


def score(name: str, fact_file: Path, source: str) -> float:
    settings: dict[str, Any] = {"chunk_words": 1, "memory_budget": None, "view_bytes": 0, "path": fact_file}
    (episode,) = play_by_name(
        name, "memgym/MemoryAgentBench-v0", 1, sources=[f"factconsolidation_{source}"], **settings
    )
    assert (episode.error, episode.refused) == (None, 0)
    return episode.score


def test_on_the_shortest_list_keys_beat_retrieval(fact_file: Path) -> None:
    assert score("fact-keys", fact_file, "sh_6k") >= 0.98
    assert score("fact-keys", fact_file, "mh_6k") >= 0.6
    assert score("add-all-bm25", fact_file, "sh_6k") <= 0.7  # it finds the fact, but old and new alike
    assert score("add-all-bm25", fact_file, "mh_6k") <= 0.1


def test_without_updates_single_hop_falls(fact_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: each fact under a key of its own, so that nothing is overwritten."""

    class Hoarder(dict):
        def __contains__(self, key: object) -> bool:
            return False

    monkeypatch.setattr(
        "memgym.agents.fact_keys.FactKeysPolicy.__init__",
        lambda self: self.__dict__.update(_entries=Hoarder(), _subjects=set(), _next_id=1),
    )
    assert score("fact-keys", fact_file, "sh_6k") <= 0.75


@pytest.mark.slow
def test_on_average_over_the_four_lengths_it_reaches_90_and_50_percent(
    fact_file: Path, study: dict[str, Any]
) -> None:
    means = {
        hops: sum(score("fact-keys", fact_file, f"{hops}_{size}") for size in ("6k", "32k", "64k", "262k"))
        / 4
        for hops in ("sh", "mh")
    }
    assert means["sh"] >= 0.9
    assert means["mh"] >= 0.5
    row = study["agents"]["fact-keys"]
    assert [100 * means["sh"], 100 * means["mh"]] == pytest.approx(
        [row["single-hop mean"], row["multi-hop mean"]]
    )


def test_the_committed_table_has_its_floors_beside_it(study: dict[str, Any]) -> None:
    agents = study["agents"]
    assert list(agents) == list(study_fact_consolidation.AGENTS)
    assert study["command"] == study_fact_consolidation.COMMAND
    assert agents["fact-keys"]["single-hop mean"] >= 90
    assert agents["fact-keys"]["multi-hop mean"] >= 50
    floors = [row for name, row in agents.items() if name != "fact-keys"]
    assert max(row["single-hop mean"] for row in floors) < 70
    assert max(row["multi-hop mean"] for row in floors) < 7
