"""Steps of SimpleMem: units that stand alone, what becomes of similar ones, and how to look for an answer."""

import re
from datetime import date, timedelta

from memgym.agents.structured.entities import named_entities
from memgym.agents.structured.steps_facts import (
    ANY_DAY,
    PACKAGE,
    SENTENCE,
    DecisionInput,
    KeptFact,
    Said,
    decide_by_words,
    first_person_sentences,
)
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import STOP_WORDS, content_words
from memgym.readers.dates import When, find_dates

__all__ = [
    "ABSTRACT_CLUSTER",
    "COMPRESS_WINDOW",
    "PLAN_RETRIEVAL",
    "Asked",
    "Cluster",
    "Plan",
    "Unit",
    "Units",
    "Window",
    "undated",
]

HE = re.compile(r"\b(?:he|him|his)\b", re.IGNORECASE)
SHE = re.compile(r"\b(?:she|her)\b", re.IGNORECASE)
PLACE = re.compile(r"\b(?:in|at|near) ((?:[A-Z][\w-]*)(?: [A-Z][\w-]*)*)")
HOUR = re.compile(r"\bat (\d{1,2})(?::(\d\d))? ?([ap])\.?m\b\.?|\bat (\d{1,2}):(\d\d)\b", re.IGNORECASE)
NEXT_WORD = re.compile(r" (\w+)")
LEADING = re.compile(r"\b(?:the|on|in) $", re.IGNORECASE)
SEVERAL_PARTS = re.compile(
    r"\b(and|or|both|all|each|every|how many|how often|compare|than|before|after|since|between|list|why)\b",
    re.IGNORECASE,
)


class Window(StepModel):
    """A message, the messages before it, oldest first, and the newest units."""

    said: Said
    recent: tuple[Said, ...] = ()
    units: tuple[str, ...] = ()


class Unit(StepModel):
    """A statement that stands alone but for its speaker, and what it can be found by."""

    restatement: str
    timestamp: str = ""
    persons: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    location: str = ""
    keywords: tuple[str, ...] = ()


class Units(StepModel):
    """What a message says; nothing where it is small talk."""

    units: tuple[Unit, ...]


class Cluster(StepModel):
    """Statements of one speaker about one subject, oldest first."""

    statements: tuple[str, ...]


class Abstract(StepModel):
    """What they say together."""

    statement: str


class Asked(StepModel):
    """A question and when it is asked."""

    question: str
    time: str = ""


class Plan(StepModel):
    """What to look for: words, people, the days from `start` to `end` (ISO 8601, ``""`` for any), and how deep."""

    keywords: tuple[str, ...]
    persons: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    depth: float = 0.0


def restate(x: Window) -> Units:
    """Sentences as facts are extracted, with names for he and she, and dates for words like tomorrow."""
    units = []
    speaker = x.said.speaker
    known = frozenset([speaker, *(said.speaker for said in x.recent)])
    earlier = [name for said in x.recent for name in _people(said.text, known) if name != speaker]
    written = _day(x.said.time)
    for sentence in first_person_sentences(x.said).facts:
        named = _resolve_pronouns(sentence, known | frozenset(earlier), earlier)
        text, timestamp = _resolve_dates(named, written)
        people = [name for name in _people(named, known | frozenset(earlier)) if name != speaker]
        place = PLACE.search(named)
        units.append(
            Unit(
                restatement=text,
                timestamp=timestamp,
                persons=tuple(people),
                location=place[1] if place and place[1] not in known else "",
            )
        )
        earlier += people
    return Units(units=tuple(units))


def fold(x: Cluster) -> Abstract:
    """One statement after the other: what is said already goes, a newer value takes the place of the old one.

    Requests to forget, and nothing that they are about, stay as they are.
    """
    kept: list[str] = []
    for statement in x.statements:
        for sentence in SENTENCE.split(statement):
            memories = tuple(KeptFact(number=i, text=text) for i, text in enumerate(kept))
            for decision in decide_by_words(DecisionInput(fact=sentence, memories=memories)).operations:
                if decision.event == "UPDATE":
                    kept[decision.number] = decision.text
                elif decision.event != "NOOP":
                    kept.append(sentence)
    return Abstract(statement=" ".join(kept or x.statements))


def plan_by_words(x: Asked) -> Plan:
    """Content words, names, the first time that is named, and depth by words that ask for several things."""
    names = named_entities(x.question)
    written = _day(x.time)
    start, end = "", ""
    if written is not None and (whens := find_dates(x.question, written)):
        first, last = _span(whens[0])
        start, end = first.isoformat(), last.isoformat()
    parts = len(SEVERAL_PARTS.findall(x.question)) + max(0, len(names) - 1)
    return Plan(
        keywords=tuple(content_words(x.question)),
        persons=names,
        start=start,
        end=end,
        depth=min(1.0, parts / 3),
    )


def undated(text: str) -> str:
    """A text without the times that it names, by which statements about different things would look alike."""
    for when in reversed(find_dates(text, ANY_DAY)):
        text = text[: when.place] + text[when.end :]
    return text


def _people(text: str, known: frozenset[str]) -> list[str]:
    places = {match[1] for match in PLACE.finditer(text)}
    return [name for name in named_entities(text, known) if name not in places]


def _resolve_pronouns(sentence: str, known: frozenset[str], earlier: list[str]) -> str:
    """The name last said before, for he or she, whichever comes first, unless the sentence names somebody before."""
    first = min(
        filter(None, (HE.search(sentence), SHE.search(sentence))), key=lambda m: m.start(), default=None
    )
    if first is None or not earlier or _people(sentence[: first.start()], known):
        return sentence

    def name(match: "re.Match[str]") -> str:
        word, after = match[0].lower(), NEXT_WORD.match(sentence, match.end())
        owns = word == "his" or (word == "her" and after is not None and after[1].lower() not in STOP_WORDS)
        return f"{earlier[-1]}'s" if owns else earlier[-1]

    return first.re.sub(name, sentence)


def _resolve_dates(sentence: str, written: date | None) -> tuple[str, str]:
    """The sentence with dates in place of words like tomorrow, and the first of them, with its hour."""
    whens = [] if written is None else find_dates(sentence, written)
    text = sentence
    for when in reversed(whens):
        said = sentence[when.place : when.end]
        if said.lower().replace(",", "") not in (when.text.lower(), when.day.isoformat()):
            before = LEADING.sub("", text[: when.place])
            first = said.split()[0].lower()
            word = first if first in ("for", "since", "during", "early", "late", "mid") else ""
            word = "since" if word == "for" else word or {"day": "on", "week": ""}.get(when.unit, "in")
            text = f"{before}{word} {when.text}{text[when.end :]}".replace("  ", " ").strip()
    if not whens:
        return text, ""
    hour = HOUR.search(sentence)
    return text, whens[0].day.isoformat() + (_clock(hour) if hour and whens[0].unit == "day" else "")


def _clock(match: "re.Match[str]") -> str:
    hour, minute = int(match[1] or match[4]), int(match[2] or match[5] or 0)
    if match[3]:
        hour = hour % 12 + (12 if match[3].lower() == "p" else 0)
    return f"T{hour:02d}:{minute:02d}" if hour < 24 and minute < 60 else ""


def _span(when: When) -> tuple[date, date]:
    """First and last day of a stretch of time."""
    days = {"day": 1, "week": 7, "month": 31, "season": 92, "year": 365}[when.unit]
    first = when.day - timedelta(days=when.day.weekday()) if when.unit == "week" else when.day
    last = first + timedelta(days=days - 1)
    return first, last if when.unit != "month" or last.month == first.month else last.replace(
        day=1
    ) - timedelta(days=1)


def _day(time: str) -> date | None:
    try:
        return date.fromisoformat(time[:10])
    except ValueError:
        return None


COMPRESS_WINDOW = Step(
    "compress_window",
    Window,
    Units,
    load_prompt("compress_window", PACKAGE),
    rule=restate,
    fallback=lambda x: Units(units=()),
    max_tokens=1024,
)
ABSTRACT_CLUSTER = Step(
    "abstract_cluster",
    Cluster,
    Abstract,
    load_prompt("abstract_cluster", PACKAGE),
    rule=fold,
    fallback=fold,
    check=lambda x, output: "" if output.statement.strip() else "statement is empty.",
)
PLAN_RETRIEVAL = Step(
    "plan_retrieval",
    Asked,
    Plan,
    load_prompt("plan_retrieval", PACKAGE),
    rule=plan_by_words,
    fallback=plan_by_words,
    check=lambda x, output: "" if 0 <= output.depth <= 1 else "depth is from 0 to 1.",
)
