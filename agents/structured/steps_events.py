"""Steps of CompassMem: events and their relations, and the decisions of the search over them."""

import re
from math import fsum
from typing import Literal

from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.steps_facts import PACKAGE, Said, first_person_sentences
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import stems

__all__ = [
    "CHOOSE_NODE",
    "PLAN_SUBGOALS",
    "REFINE_QUERY",
    "RELATE_EVENTS",
    "SEGMENT_EVENTS",
    "Asked",
    "Choice",
    "Event",
    "NodeInput",
    "Query",
    "RefineInput",
    "RelateInput",
    "Seen",
    "SegmentInput",
    "Subgoals",
]

SAME = 0.9  # likeness from which two events with the same words are one
LIKE = 0.3  # from which two that share a word are related where no cue says how
CONTINUES = re.compile(r"(?:it|this|that|they|he|she|there|and|also|besides)\b", re.IGNORECASE)
ENOUGH = 0.5  # share of a goal, by the rarity of its words, from which an event helps
CUES = (
    (
        "causal",
        re.compile(
            r"\b(?:because|since|due to|caus\w*|led to|as a result|therefore|thus|so|made|why)\b", re.I
        ),
    ),
    (
        "motivation",
        re.compile(r"\b(?:in order to|so that|wanted|hop(?:e|ed|ing) to|for the sake|goal|purpose)\b", re.I),
    ),
    ("part-of", re.compile(r"\b(?:part of|during|within|belongs? to|at the same)\b", re.I)),
    ("temporal", re.compile(r"\b(?:then|after\w*|before|later|next|once|finally|followed|when)\b", re.I)),
)
ASKS_FOR = (
    (
        "causal",
        re.compile(
            r"\b(?:why|effects?|results?|caus\w*|consequences?|because|lead|led|reasons?|outcome)\b", re.I
        ),
    ),
    ("motivation", re.compile(r"\b(?:what for|purpose|goal|motiv\w*|wanted)\b", re.I)),
    ("part-of", re.compile(r"\b(?:part of|during|belongs? to)\b", re.I)),
    ("temporal", re.compile(r"\b(?:then|next|afterwards|followed|after that|in the end)\b", re.I)),
)
FACETS = re.compile(r",?\s+(?:and|as well as)\s+(?=\w+ \w+)|;\s+")


class SegmentInput(StepModel):
    """A message, and the event before it in the same session, ``""`` for none."""

    said: Said
    current: str = ""


class Event(StepModel):
    """An event of a message."""

    text: str
    participants: tuple[str, ...] = ()
    continues: bool = False


class Events(StepModel):
    """Events, in order."""

    events: tuple[Event, ...]


class Seen(StepModel):
    """An earlier event by its number, and how alike it is to the new one, from 0 to 1."""

    number: int
    text: str
    likeness: float


class RelateInput(StepModel):
    """A new event, and those that it may relate to."""

    text: str
    others: tuple[Seen, ...]


class Related(StepModel):
    """A relation of the new event to an earlier one."""

    number: int
    relation: str


class Relations(StepModel):
    """Relations; none where the texts support none."""

    relations: tuple[Related, ...]


class Asked(StepModel):
    """A question."""

    question: str


class Subgoals(StepModel):
    """Pieces of information that an answer needs."""

    goals: tuple[str, ...]


class NodeInput(StepModel):
    """An event, how it was reached, what is missing, and how rare the words of that are among the candidates."""

    question: str
    goals: tuple[str, ...]
    satisfied: tuple[bool, ...]
    text: str
    reached: str = ""
    neighbours: tuple[str, ...] = ()
    rarity: dict[str, float] = {}


class Choice(StepModel):
    """What to do with an event, and which pieces of information it supplies."""

    action: Literal["SKIP", "EXPAND", "ANSWER"]
    satisfied: tuple[int, ...] = ()


class RefineInput(StepModel):
    """What is missing, and the evidence kept."""

    question: str
    missing: tuple[str, ...]
    evidence: tuple[str, ...]


class Query(StepModel):
    """A query."""

    query: str


def one_event(x: SegmentInput) -> Events:
    """A message that says something (`first_person_sentences`) is one event; a pronoun first goes on."""
    if not first_person_sentences(x.said).facts:
        return Events(events=())
    participants = (x.said.speaker,) if x.said.speaker else ()
    continues = bool(x.current) and CONTINUES.match(x.said.text) is not None
    return Events(events=(Event(text=x.said.text, participants=participants, continues=continues),))


def by_cue_words(x: RelateInput) -> Relations:
    """Events that share content words: the same ones are the same, and cue words say how others relate.

    Without a cue they are "related" where they are alike.
    """
    found, new = [], stems(x.text)
    cue = next((name for name, pattern in CUES if pattern.search(x.text)), "")
    for other in x.others:
        shared = new & stems(other.text)
        if other.likeness >= SAME and new == stems(other.text):
            found.append(Related(number=other.number, relation="same"))
        elif cue and len(shared) >= 2:
            found.append(Related(number=other.number, relation=cue))
        elif shared and other.likeness >= LIKE:
            found.append(Related(number=other.number, relation="related"))
    return Relations(relations=tuple(found))


def facets(x: Asked) -> Subgoals:
    """What stands between "and" and "as well as"."""
    parts = [part.strip(" ?.,") for part in FACETS.split(x.question)]
    return Subgoals(goals=tuple(part for part in parts if part)[:5] or (x.question,))


def by_coverage(x: NodeInput) -> Choice:
    """EXPAND what says half of a missing goal, rare words counting more, and what a relation asked for leads to.

    An event that leaves out whom the goal names says nothing of it. A goal is satisfied by an event that says half of
    it, unless it asks where a relation leads, or a related event says as much.
    """
    wanted = {name for name, pattern in ASKS_FOR if pattern.search(x.question)}
    helps, done = x.reached in wanted, []
    for i, goal in enumerate(x.goals):
        if x.satisfied[i] or not (told := _told(goal, x.text, x.rarity)):
            continue
        helps = True
        if not wanted and all(_told(goal, text, x.rarity) < told for text in x.neighbours):
            done.append(i)
    return Choice(action="EXPAND" if helps else "SKIP", satisfied=tuple(done))


def _told(goal: str, text: str, rarity: dict[str, float]) -> float:
    """How much of a goal a text says, 0 for less than half, or where it leaves out the names."""
    asked, words = stems(goal), stems(text)
    if any(not stems(name) & words for name in named_entities(f"? {goal}")):
        return 0.0
    # fsum: what a plain sum of a set gives depends on the process's hash seed, in its last bit
    weight = fsum(rarity.get(word, 1.0) for word in asked)
    told = fsum(rarity.get(word, 1.0) for word in asked & words)
    return told if told >= ENOUGH * weight else 0.0


def missing_terms(x: RefineInput) -> Query:
    """What is missing, and the newest evidence."""
    return Query(query=" ".join([*x.missing, *x.evidence[-1:]]))


def _each_shown(x: RelateInput, output: Relations) -> str:
    strange = {each.number for each in output.relations} - {other.number for other in x.others}
    return f"{min(strange)} is none of the events shown." if strange else ""


def _one_to_five(x: Asked, output: Subgoals) -> str:
    return "" if 1 <= len(output.goals) <= 5 else "goals has one to five entries."


def _of_the_goals(x: NodeInput, output: Choice) -> str:
    strange = [i for i in output.satisfied if not 0 <= i < len(x.goals)]
    return f"there is no goal {strange[0]}." if strange else ""


SEGMENT_EVENTS = Step(
    "segment_events",
    SegmentInput,
    Events,
    load_prompt("segment_events", PACKAGE),
    rule=one_event,
    fallback=lambda x: Events(events=(Event(text=x.said.text),)),
)
RELATE_EVENTS = Step(
    "relate_events",
    RelateInput,
    Relations,
    load_prompt("relate_events", PACKAGE),
    rule=by_cue_words,
    fallback=lambda x: Relations(relations=()),
    check=_each_shown,
)
PLAN_SUBGOALS = Step(
    "plan_subgoals",
    Asked,
    Subgoals,
    load_prompt("plan_subgoals", PACKAGE),
    rule=facets,
    fallback=lambda x: Subgoals(goals=(x.question,)),
    check=_one_to_five,
)
CHOOSE_NODE = Step(
    "choose_node",
    NodeInput,
    Choice,
    load_prompt("choose_node", PACKAGE),
    rule=by_coverage,
    fallback=lambda x: Choice(action="SKIP"),
    check=_of_the_goals,
)
REFINE_QUERY = Step(
    "refine_query",
    RefineInput,
    Query,
    load_prompt("refine_query", PACKAGE),
    rule=missing_terms,
    fallback=missing_terms,
)
