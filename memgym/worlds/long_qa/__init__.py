"""The seeded world behind `memgym/LongHorizonQA-v0`; one file an ability."""

from memgym.worlds.long_qa.canary import CANARY_ABILITIES
from memgym.worlds.long_qa.plan import LongQAConfig
from memgym.worlds.long_qa.world import ABILITIES, QUESTION_TYPES, LongQAWorld, shortest

__all__ = ["ABILITIES", "CANARY_ABILITIES", "QUESTION_TYPES", "LongQAConfig", "LongQAWorld", "shortest"]
