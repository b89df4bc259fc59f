"""A small seeded world of people whose facts change, and the conversation that tells of it.

First the world: an append-only log of events (`log`), drawn before any text (`plan`). Then the text: each turn is
written from its event alone (`writing`), with filler to any length (`background`). A question is asked of the world
as it stands at that moment (`asks`, `questions`), so its answer, its evidence and what is out of date are known by
construction.
"""

from memgym.worlds.dialogue.config import (
    BASIC_TYPES,
    PRESETS,
    QUESTION_TYPES,
    DialogueConfig,
    read_question_types,
)
from memgym.worlds.dialogue.lexicon import CONFLICT, Lexicon, lexicon, texts
from memgym.worlds.dialogue.world import DialogueWorld
from memgym.worlds.dialogue.writing import Paraphrase

__all__ = [
    "BASIC_TYPES",
    "CONFLICT",
    "PRESETS",
    "QUESTION_TYPES",
    "DialogueConfig",
    "DialogueWorld",
    "Lexicon",
    "Paraphrase",
    "lexicon",
    "read_question_types",
    "texts",
]
