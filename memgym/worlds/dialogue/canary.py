"""Questions of a canary: about facts that the log has and no turn tells.

Nobody who sees the conversation alone finds their answers but by chance. So only those are asked whose options say
nothing of which is right: values that were all drawn from the same list. And each fact is asked about once, because
what two questions about one fact have in common is its value, and whoever was wrong once knows more the second time.
"""

from dataclasses import replace

from memgym.rng import CounterRNG
from memgym.stream import Question
from memgym.worlds.dialogue.ask import Ask
from memgym.worlds.dialogue.log import Moment
from memgym.worlds.dialogue.questions import Questioner

__all__ = ["CANARY_TYPES", "CanaryQuestioner"]

CANARY_TYPES = ("single-hop", "knowledge-update")  # of a fact at one moment, never both


class CanaryQuestioner(Questioner):
    """Asks after a session; for one reading of a conversation. Arguments as of `Questioner`."""

    _spent: frozenset[tuple[str, str]] = frozenset()  # facts that were asked about

    def ready(self, type_: str, now: Moment) -> list[Ask]:
        """What can be asked of one type, of facts that were not asked about before."""
        if type_ not in CANARY_TYPES:
            return []
        return [ask for ask in super().ready(type_, now) if _fact_of(ask) not in self._spent]

    def write(self, ask: Ask, id: str, session: int, time: str, rng: CounterRNG) -> Question:
        """One question. No turn is evidence of its answer."""
        self._spent |= {_fact_of(ask)}
        question = super().write(ask, id, session, time, rng)
        return replace(question, evidence=())


def _fact_of(ask: Ask) -> tuple[str, str]:
    told = ask.events[0]
    return told.subject, told.slot
