"""Graphiti: a contradicted fact is ended, not deleted, and the graph answers for any time."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="Graphiti's steps are typed with pydantic")

from memgym.agents.structured.asked_time import Period, asked_period
from memgym.agents.structured.graphiti import RESOLVE_EDGE, GraphitiPolicy, NewEdge
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.steps_triples import KnownTriple, Triple, relation_key, statements
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.policy import Message
from memgym.memory.store import MemoryStore

Told = tuple[str, str, str]  # time, speaker, text
MOVES: list[Told] = [
    ("2021-03-01T10:00", "Maya", "I live in Oslo."),
    ("2021-04-01T10:00", "Jonas", "I live in Lyon."),
    ("2022-05-01T10:00", "Maya", "Actually, I live in Bergen now."),
]


def filled(messages: list[Told], **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), GraphitiPolicy(RulesLLM(), HashingEmbedder(), **options))
    for time, speaker, text in messages:
        store.add(text, speaker=speaker, time=time)
    return store


def found(store: MemoryStore, question: str, time: str = "2024-01-01T12:00") -> list[str]:
    return [hit["text"] for hit in store.read(question, time=time).hits]


def test_a_contradicted_fact_is_ended_and_not_deleted() -> None:
    store = filled(MOVES)
    assert [done.op.kind.name for done in store.engine.log] == ["ADD", "ADD", "ADD", "UPDATE"]
    oslo, lyon, bergen = store.get_all()
    assert oslo.attrs["valid_to"] == "2022-05-01T10:00"
    assert f"m{oslo.attrs['ended_by']}" == bergen.id
    assert "ended_by" not in lyon.attrs, "somebody else's"
    assert [entry.version for entry in store.history(oslo.id)] == [1, 2]


@pytest.mark.parametrize(
    ("question", "there", "gone"),
    [
        ("Where does Maya live now?", "Bergen", "Oslo"),
        ("Where did Maya live in June 2021?", "Oslo", "Bergen"),
        ("Where did Maya live on 2 May 2022?", "Bergen", "Oslo"),
        ("Where did Maya live previously?", "Oslo", "Bergen"),
    ],
)
def test_each_time_has_its_answer(question: str, there: str, gone: str) -> None:
    texts = " ".join(found(filled(MOVES), question))
    assert there in texts
    assert gone not in texts


def test_without_invalidation_the_old_value_is_read_as_if_it_held() -> None:
    texts = " ".join(found(filled(MOVES, invalidation=False), "Where does Maya live now?"))
    assert "Oslo" in texts
    assert "Bergen" in texts


def test_news_of_an_older_time_is_ended_by_what_is_known() -> None:
    """Told last, but true first."""
    store = filled([MOVES[2], ("2022-06-01T10:00", "Maya", "I moved to Oslo in 2019.")])
    assert any("Bergen" in text for text in found(store, "Where does Maya live?"))
    assert not any("Oslo" in text for text in found(store, "Where does Maya live?"))
    assert any("Oslo" in text for text in found(store, "Where did Maya live in 2020?"))


def test_what_ends_is_over_and_can_still_be_asked_for() -> None:
    store = filled(
        [
            ("2021-01-01T10:00", "Maya", "I play the cello."),
            ("2022-01-01T10:00", "Maya", "I no longer play the cello."),
        ]
    )
    assert found(store, "What does Maya play?") == []
    assert found(store, "What did Maya play in May 2021?") == ["Maya: I play the cello."]


def test_the_end_of_what_was_not_known_is_a_fact() -> None:
    assert found(filled([("2021-01-01T10:00", "Maya", "I lost the umbrella.")]), "What did Maya lose?")


def test_a_repeat_changes_nothing() -> None:
    store = filled([MOVES[0], ("2021-05-01T10:00", "Maya", "I live in Oslo.")])
    assert [done.op.kind.name for done in store.engine.log] == ["ADD"]


def test_only_a_request_to_forget_deletes() -> None:
    store = filled([*MOVES, ("2023-01-01T10:00", "Maya", "Please forget where I live.")])
    assert [entry.text for entry in store.get_all()] == ["Jonas: I live in Lyon. #h2"]


CHAIN: list[Told] = [
    ("2021-03-01", "", "Ada works for Brightsea."),
    *[("2021-03-02", "", f"Zed{i} owns a boat yard.") for i in range(12)],
    ("2021-03-03", "", "Brightsea neighbours on Kestrel."),
]


def test_the_neighbourhood_reaches_what_words_and_vectors_do_not() -> None:
    question = "Who shares a roof with the employer of Ada?"
    assert "Brightsea neighbours on Kestrel." in found(filled(CHAIN, hits=2), question)
    assert "Brightsea neighbours on Kestrel." not in found(filled(CHAIN, hits=2, hops=1), question)


@pytest.mark.parametrize(
    ("sentence", "triple"),
    [
        ("Big change: I live in Lisbon now.", ("Maya", "live in", "Lisbon")),
        ("I sold the old car and drive a Renault now.", ("Maya", "drive", "Renault")),
        ("I have an allergy to dust.", ("Maya", "allergy", "dust")),
        ("I adopted a dog and called her Rex.", ("Maya", "dog", "Rex")),
        ("Actually, the gift that I want is a scarf now.", ("Maya", "gift", "scarf")),
        ("Today I won a quiz, can you believe it?", ("Maya", "won", "quiz")),
        ("My sister plays the cello.", ("Maya's sister", "plays", "cello")),
        ("Ada Lovelace was born in London.", ("Ada Lovelace", "born in", "London")),
        ("Risotto is my favourite food.", ("Maya", "favourite food", "Risotto")),
    ],
)
def test_statements(sentence: str, triple: tuple[str, str, str]) -> None:
    found = statements(Said(text=sentence, speaker="Maya")).triples
    assert triple in [(each.subject, each.relation, each.object) for each in found]
    assert all(each.fact == sentence for each in found)


@pytest.mark.parametrize(
    "text", ["Where do you live?", "That is news to me.", "Good morning!", "Oh, really."]
)
def test_small_talk_states_nothing(text: str) -> None:
    assert statements(Said(text=text, speaker="Maya")).triples == ()


def test_relations_of_the_same_meaning() -> None:
    assert relation_key("moved to") == relation_key("live in")
    assert relation_key("work as") == relation_key("job") != relation_key("work for")


def test_periods() -> None:
    day = "2024-03-01"
    assert asked_period(Message("Where did she live in 2021?", time=day)) == Period(
        "2021-01-01", "2022-01-01"
    )
    assert asked_period(Message("Where was she in December 2021?", time=day)) == Period(
        "2021-12-01", "2022-01-01"
    )
    assert asked_period(Message("When did she move in 2021?", time=day)) is None
    assert asked_period(Message("Where does she live?", time=day)) is None


def test_a_model_must_name_facts_that_it_was_shown() -> None:
    new = Triple(subject="Maya", relation="live in", object="Bergen", fact="Maya lives in Bergen.")
    known = KnownTriple(number=3, subject="Maya", relation="live in", object="Oslo")
    with pytest.raises(LLMOutputInvalid, match="7 is none of the facts shown"):
        RESOLVE_EDGE.parse('{"duplicate": 0, "contradicted": [7]}', NewEdge(new=new, known=(known,)))
