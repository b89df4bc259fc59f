"""How long and how hard a conversation is: the arguments, the question types and three presets."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["BASIC_TYPES", "PRESETS", "QUESTION_TYPES", "DialogueConfig", "read_question_types"]

QUESTION_TYPES = (
    "single-hop",  # told once
    "multi-hop",  # 2 to 4 facts in a chain of people, places and things
    "cross-session",  # two facts of one person, told in different sessions
    "aggregation",  # how many things were told of
    "temporal",  # the date of something told with a relative date
    "temporal-order",  # which of several happenings came first
    "duration",  # days between two happenings
    "knowledge-update",  # the newest of several values
    "previous-value",  # the one before the newest
    "change-count",  # how often it changed
    "contradiction",  # speakers disagree; a rule told in the conversation says who is right
    "deletion",  # somebody asked to forget it
    "cascade",  # a change elsewhere may have made it unknown
    "preference",  # shown by what somebody liked, never said
    "abstention",  # nobody told it of anybody here
    "speaker-swap",  # told by the other person, never by this one
    "attribution",  # who said it
    "test-time-learning",  # apply a rule that was taught
    "summary",  # what somebody talked about most
    "isolation",  # told in confidence: for some who ask, to be refused for the others
    "injection",  # a text without authority orders to store something else
)
BASIC_TYPES = ("single-hop", "knowledge-update", "deletion", "temporal", "abstention", "speaker-swap")


@dataclass(frozen=True)
class DialogueConfig:
    """How long and how hard a conversation is; `DialogueMemory` documents the fields."""

    num_words: int = 0  # 0: the told sessions alone
    num_sessions: int = 4
    turns_per_session: int = 16
    num_speakers: int = 2
    num_facts: int = 8
    num_events: int = 4
    update_rate: float = 0.5
    forget_rate: float = 0.25
    distractor_ratio: float = 0.0
    hops: int = 2
    paraphrase_level: int = 1
    questions_per_session: int = 4
    question_spacing: int = 1
    question_types: tuple[str, ...] = BASIC_TYPES
    num_choices: int = 0  # 0: open questions
    canary: bool = False  # nothing of what is asked is told

    @classmethod
    def of(cls, preset: str | None, **given: Any) -> "DialogueConfig":
        """The preset's numbers, except for those given (not None).

        Raises:
            ValueError: no such preset.
        """
        if preset is not None and preset not in PRESETS:
            raise ValueError(f"preset is None or one of {', '.join(PRESETS)}, not {preset!r}.")
        known = {field.name for field in fields(cls)}
        chosen = {name: value for name, value in given.items() if value is not None and name in known}
        return cls(**{**(PRESETS[preset] if preset else {}), **chosen})


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "easy": {
        "num_sessions": 8,
        "turns_per_session": 20,
        "num_facts": 8,
        "num_events": 4,
        "update_rate": 0.4,
        "forget_rate": 0.3,
        "paraphrase_level": 0,
        "questions_per_session": 6,
        "question_types": QUESTION_TYPES,
    },
    "medium": {
        "num_sessions": 10,
        "turns_per_session": 40,
        "num_speakers": 3,
        "num_facts": 14,
        "num_events": 7,
        "forget_rate": 0.4,
        "distractor_ratio": 0.15,
        "hops": 3,
        "questions_per_session": 10,
        "question_types": QUESTION_TYPES,
    },
    "hard": {
        "num_sessions": 16,
        "turns_per_session": 64,
        "num_speakers": 5,
        "num_facts": 28,
        "num_events": 10,
        "update_rate": 0.7,
        "forget_rate": 0.4,
        "distractor_ratio": 0.3,
        "hops": 4,
        "paraphrase_level": 2,
        "questions_per_session": 14,
        "question_spacing": 2,
        "question_types": QUESTION_TYPES,
    },
}


def read_question_types(chosen: Any) -> tuple[str, ...] | None:
    """Read the argument `question_types`: None, "all", "basic", or a sequence of names.

    Raises:
        ValueError: no types, or a name that is none.
    """
    if chosen is None:
        return None
    if isinstance(chosen, str):
        chosen = {"all": QUESTION_TYPES, "basic": BASIC_TYPES}.get(chosen, (chosen,))
    for name in chosen:
        if name not in QUESTION_TYPES:
            raise ValueError(
                f"question_types is 'all', 'basic' or names among {', '.join(QUESTION_TYPES)}; "
                f"{name!r} is none of them."
            )
    if not chosen:
        raise ValueError("question_types needs at least one type.")
    return tuple(name for name in QUESTION_TYPES if name in chosen)
