"""Views of the same task for other kinds of agent."""

from memgym.wrappers.memory_actions import MemoryActions, MemoryActionsVector
from memgym.wrappers.slot_actions import SlotActions
from memgym.wrappers.text_actions import TextActions
from memgym.wrappers.tokens import TokenObservation

__all__ = ["MemoryActions", "MemoryActionsVector", "SlotActions", "TextActions", "TokenObservation"]
