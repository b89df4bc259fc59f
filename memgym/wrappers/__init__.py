"""Views of the same task for other kinds of agent."""

from memgym.wrappers.control_text import ControlText
from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector
from memgym.wrappers.normalise import Normalised
from memgym.wrappers.slot_actions import SlotActions
from memgym.wrappers.text_actions import TextActions
from memgym.wrappers.tokens import TokenObservation

__all__ = [
    "ControlText",
    "MemoryActions",
    "MemoryActionsVector",
    "Normalised",
    "SlotActions",
    "TextActions",
    "TokenObservation",
]
