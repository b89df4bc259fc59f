"""Single sentences with rare words: what stays in the bank, what goes, and what that is worth in long streams."""

from typing import Any

import pytest

from memgym.agents.sentence_idf import SentenceIdfPolicy, sentences
from memgym.checks import check_policy, play_by_name
from memgym.core.suites import get_suite
from memgym.memory import MemoryEngine
from memgym.memory.store import MemoryStore
from memgym.scoring.outcomes import evidence_recall

LONG = "memgym/LongHorizonQA-v0"
CHOICE = {"answer_format": "choice", "split": "test", "memory_budget": 8192, "view_bytes": 8192}
# a chunk of 13 kB, larger than the bank
CHUNKS = {**CHOICE, "difficulty": "easy", "num_words": 65_536, "chunk_words": 2048}
BABBLE = "The kettle leaned on the fence. A goat rested near the window. The kettle rested again."
FACT = "The harpsichord in Lund belongs to Ingrid."


def told(*messages: str, budget: int | None = None) -> list[str]:
    """The texts in the bank after some messages."""
    store = MemoryStore(MemoryEngine(budget), SentenceIdfPolicy())
    for message in messages:
        store.add(message)
    return [entry.text for entry in store.get_all()]


def kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a chunk is one sentence."""
    monkeypatch.setattr("memgym.agents.sentence_idf.sentences", lambda text: [text])


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: every sentence is worth the same, so that the newest stay."""
    monkeypatch.setattr(SentenceIdfPolicy, "_worth", lambda self, sentence, most: 0)


def played(count: int = 3, **kwargs: Any) -> tuple[float, float]:
    """Mean score and evidence recall of some episodes, in which every operation was carried out."""
    episodes = play_by_name("sentence-idf", LONG, count, **kwargs)
    assert [(episode.error, episode.refused) for episode in episodes] == [(None, 0)] * count
    recall = evidence_recall(question for episode in episodes for question in episode.questions)
    assert recall is not None
    return sum(episode.score for episode in episodes) / count, recall


# ---------------------------------------------------------------------- sentences


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("One only", ["One only"]),
        ("It rains. It pours! Does it?", ["It rains.", "It pours!", "Does it?"]),
        ("3. A is B.\n4. C is D.", ["3. A is B.", "4. C is D."]),
        ("Bulletin no. 12: all is well. Go on.", ["Bulletin no. 12: all is well.", "Go on."]),
        ('"Stay." She left.', ['"Stay."', "She left."]),
        ("It costs 2.50 in all. 7 came.", ["It costs 2.50 in all.", "7 came."]),
    ],
)
def test_a_text_is_cut_where_its_sentences_end(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


# ---------------------------------------------------------------------- what stays


def test_what_is_said_all_the_time_goes_and_what_is_rare_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [BABBLE, f"{FACT} The harpsichord is red.", *[BABBLE] * 6]
    assert FACT in told(*chunks, budget=120)
    blind(monkeypatch)
    assert FACT not in told(*chunks, budget=120)


def test_a_sentence_that_names_somebody_comes_before_one_as_rare_that_does_not() -> None:
    one, other = "The visitor admired Ingrid.", "The visitor admired lamps."
    assert told(f"{one} {other} {other}", budget=40) == [one]
    assert told(f"{one.replace('Ingrid', 'walls')} {other}", budget=40) == [other]  # else the newest stays


def test_the_last_sentence_on_a_subject_wins() -> None:
    first, last = "The code of the Larkspur depot is bda-1.", "The code of the Larkspur depot is xyz-2."
    assert told(first, last) == [last]
    assert told(f"{first} {last}") == [last]
    other = last.replace("Larkspur", "Bracken")
    assert told(first, other) == [first, other]
    nameless = [text.replace("Larkspur", "old") for text in (first, last)]
    assert told(*nameless) == nameless  # without a name nobody knows that it is the same


def test_of_equally_near_entries_the_newest_is_read_first() -> None:
    store = MemoryStore(MemoryEngine(None), SentenceIdfPolicy())
    store.add("Mary moved to the kitchen. Mary moved to the garden. Mary moved to the hallway.")
    assert [hit["id"] for hit in store.read("Where is Mary?").hits] == ["m3", "m2", "m1"]


def test_a_speaker_and_a_date_are_of_every_sentence() -> None:
    store = MemoryStore(MemoryEngine(None), SentenceIdfPolicy())
    store.add("I live in Oslo. It rains.", speaker="Maya", time="2024-03-01")
    assert [(entry.text, entry.attrs["time"]) for entry in store.get_all()] == [
        ("Maya: I live in Oslo.", "2024-03-01"),
        ("Maya: It rains.", "2024-03-01"),
    ]


def test_what_is_counted_is_bounded_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = SentenceIdfPolicy()
    store = MemoryStore(MemoryEngine(0), policy)
    store.add("alpha beta.")
    assert policy.nbytes() == 8 + 2 * 12
    monkeypatch.setattr("memgym.agents.sentence_idf.MAX_COUNTED", 40)
    for i in range(30):
        store.add(
            f"alpha beta gamma{'abcdefghijklmnopqrstuvwxyzabcd'[i]} delta{'qwertyuiopasdfghjklzxcvbnmqwer'[i]}."
        )
        assert policy.nbytes() <= 8 + 40 * 12
    assert policy._counts["alpha"] == 31  # what is frequent is not forgotten


def test_it_keeps_the_laws_of_memories() -> None:
    check_policy(SentenceIdfPolicy, budgets=(None, 600))


def test_what_is_told_of_one_thing_again_and_again_is_worth_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes of the Bracken depot come all the time, that of the Larkspur depot once."""
    once = "Anyone at Larkspur depot has the code bda-1."
    often = [f"The code at Bracken depot, says number {i}, is x-{i}." for i in range(40)]
    chunks = [" ".join(often[:20]), f"{once} {often[20]}", " ".join(often[21:])]
    assert once in told(*chunks, budget=200)
    monkeypatch.setattr(SentenceIdfPolicy, "_keys", lambda self, sentence: [])
    assert once not in told(*chunks, budget=200)


# ---------------------------------------------------------------------- what it is worth


@pytest.mark.parametrize("control", [kept_whole, blind])
def test_in_chunks_larger_than_the_bank_it_needs_sentences_and_their_worth(
    monkeypatch: pytest.MonkeyPatch, control: Any
) -> None:
    score, recall = played(**CHUNKS)
    assert recall >= 0.4
    control(monkeypatch)
    low, none = played(**CHUNKS)
    assert none <= 0.05
    assert score >= low + 0.05


@pytest.mark.slow
def test_on_a_million_words_it_keeps_what_is_asked_about_and_who_keeps_chunks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (task,) = (task for task in get_suite("longqa").tasks if task.name == "longqa-1m")
    floors = [
        sum(episode.score for episode in play_by_name(name, LONG, 3, **task.kwargs)) / 3
        for name in ("closed-book", "recency")
    ]
    score, recall = played(3, **task.kwargs)
    assert recall >= 0.2
    assert score > max(floors)
    kept_whole(monkeypatch)
    low, none = played(3, **task.kwargs)
    assert none == 0
    assert low <= max(floors)
