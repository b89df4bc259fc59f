"""CompassMem: a search along relations reaches what shares no word with the question."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="CompassMem's steps are typed with pydantic")

from memgym.agents.structured.compass_mem import CompassMemPolicy
from memgym.agents.structured.steps_events import (
    PLAN_SUBGOALS,
    RELATE_EVENTS,
    Asked,
    Choice,
    Query,
    RelateInput,
    Seen,
    Subgoals,
    by_cue_words,
    facets,
)
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.embed import HashingEmbedder
from memgym.memory.store import MemoryStore

CHAIN = (
    "The storm called Ada broke our old harbour wall.",
    "Because the old harbour wall broke, our night ferry stopped.",
    "Because the night ferry stopped, Ines missed my wedding.",
)
DISTRACTORS = tuple(f"My final choice number {i} was a cup of tea." for i in range(40))
QUESTION = "What was the final effect of the storm Ada?"


def filled(*texts: str, llm: RulesLLM | None = None, **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), CompassMemPolicy(llm or RulesLLM(), HashingEmbedder(), **options))
    for text in texts:
        store.add(text, time="2024-01-01T10:00")
    return store


def policy_of(store: MemoryStore) -> CompassMemPolicy:
    assert isinstance(store.policy, CompassMemPolicy)
    return store.policy


def evidence(store: MemoryStore, question: str = QUESTION) -> list[str]:
    return [hit["text"] for hit in store.read(question).hits]


def test_relations_lead_to_what_shares_no_word_with_the_question() -> None:
    store = filled(*CHAIN[:2], *DISTRACTORS, CHAIN[2])
    assert CHAIN[2] in evidence(store)
    actions = [action for _, action in policy_of(store).trace]
    assert len(actions) <= 24
    chain = [action for number, action in policy_of(store).trace if number in (1, 2, 43)]
    assert chain == ["EXPAND"] * 3


def test_without_relations_it_is_not_found() -> None:
    store = filled(*CHAIN[:2], *DISTRACTORS, CHAIN[2], edges=False)
    assert CHAIN[2] not in evidence(store)


@pytest.mark.parametrize("decisions", [1, 2, 7])
def test_decisions_stay_within_the_budget(decisions: int) -> None:
    store = filled(*CHAIN[:2], *DISTRACTORS, CHAIN[2], decisions=decisions)
    evidence(store)
    assert 0 < len(policy_of(store).trace) <= decisions


def test_an_answer_ends_the_search() -> None:
    llm = RulesLLM({"choose_node": lambda x: Choice(action="ANSWER")})
    store = filled(*CHAIN, llm=llm)
    assert len(evidence(store)) == 1
    assert len(policy_of(store).trace) == 1


def test_where_nothing_is_kept_the_nearest_are_read() -> None:
    llm = RulesLLM({"choose_node": lambda x: Choice(action="SKIP")})
    assert CHAIN[0] in evidence(filled(*CHAIN, llm=llm))


BOATS = tuple(f"My boat number {i} sails in the harbour." for i in range(20))
LESSONS = tuple(f"Our cello lesson {i} was in the music school." for i in range(20))
FACETS = "How do boats with number and sails do in the harbour and what about the lesson?"


def starts(**options: Any) -> set[str]:
    llm = RulesLLM({"choose_node": lambda x: Choice(action="SKIP"), **options.pop("rules", {})})
    store = filled(*BOATS, *LESSONS, llm=llm, starts=2, topics=0)
    evidence(store, FACETS)
    return {"boat" if number <= len(BOATS) else "lesson" for number, _ in policy_of(store).trace}


def test_each_facet_of_a_question_has_its_starts() -> None:
    """Though all that is nearest to the whole question is about one of them."""
    assert starts() == {"boat", "lesson"}
    whole = {
        "plan_subgoals": lambda x: Subgoals(goals=(x.question,)),
        "refine_query": lambda x: Query(query=x.question),
    }
    assert starts(rules=whole) == {"boat"}


def test_topics_are_clusters_of_events() -> None:
    policy = policy_of(filled(*BOATS, *LESSONS))
    boats, lessons = ({policy._topic[n] for n in numbers} for numbers in (range(1, 21), range(21, 41)))
    assert boats
    assert lessons
    assert not boats & lessons


def test_an_event_told_twice_is_one() -> None:
    store = filled(CHAIN[0], DISTRACTORS[0], CHAIN[0])
    assert [done.op.kind.name for done in store.engine.log] == ["ADD", "ADD", "UPDATE"]
    assert store.get_all()[0].attrs["again"] == ["2024-01-01T10:00"]


def test_relations_and_goals_by_cues() -> None:
    others = (Seen(number=1, text=CHAIN[0], likeness=0.4), Seen(number=2, text="A red kite.", likeness=0.0))
    relations = by_cue_words(RelateInput(text=CHAIN[1], others=others)).relations
    assert [(each.number, each.relation) for each in relations] == [(1, "causal")]
    assert facets(Asked(question="Where does Ada live and who is her boss?")).goals == (
        "Where does Ada live",
        "who is her boss",
    )


def test_a_model_must_name_events_that_it_was_shown() -> None:
    x = RelateInput(text="a", others=(Seen(number=1, text="b", likeness=0.5),))
    with pytest.raises(LLMOutputInvalid, match="4 is none of the events shown"):
        RELATE_EVENTS.parse('{"relations": [{"number": 4, "relation": "causal"}]}', x)
    with pytest.raises(LLMOutputInvalid, match="one to five"):
        PLAN_SUBGOALS.parse('{"goals": []}', Asked(question="a"))
