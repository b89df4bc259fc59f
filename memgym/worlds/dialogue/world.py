"""One conversation: the log first, then its text, its filler and its questions, written as they are read."""

from collections.abc import Iterator
from datetime import date, timedelta

from memgym.rng import CounterRNG
from memgym.stream import UNKNOWN, Item, Question
from memgym.worlds.dialogue.asks import Asks
from memgym.worlds.dialogue.background import Background
from memgym.worlds.dialogue.canary import CanaryQuestioner
from memgym.worlds.dialogue.config import DialogueConfig
from memgym.worlds.dialogue.lexicon import lexicon
from memgym.worlds.dialogue.log import END_OF_SESSION, Moment
from memgym.worlds.dialogue.plan import Cast, plan
from memgym.worlds.dialogue.questions import Questioner
from memgym.worlds.dialogue.writing import Paraphrase, Writer

__all__ = ["DialogueWorld"]


class DialogueWorld:
    """One conversation.

    With `num_words`, filler comes between each told session and its questions. A longer conversation so tells and
    asks the same, further apart; only times of filler and of questions move.

    Args:
        key: of the episode; everything is drawn from it.
        split: whose words are used.
        config: length and difficulty.
        paraphrase: puts statements in other words; see `DialogueMemory`.
    """

    def __init__(
        self, key: int, split: str, config: DialogueConfig, paraphrase: Paraphrase | None = None
    ) -> None:
        self.config, self.words = config, lexicon(split)
        rng = CounterRNG(key)
        self._rng = rng
        self.cast = Cast.draw(rng.fork(0), self.words, config.num_speakers)
        self.days = self._draw_days(rng.fork(1))
        self.log = plan(rng.fork(2), self.words, config, self.cast)
        self.writer = Writer(rng.fork(3), self.words, config, self.cast, self.log, self.days, paraphrase)
        self.asks = Asks(self.words, config, self.cast, self.log, self.days)
        self._needed: tuple[Moment, list[tuple[str, str]]] = ((-1, -1), [])
        self._live: tuple[Moment, list[tuple[str, str]]] = ((-1, -1), [])
        self.background = Background(rng.fork(4), self.words, config, self.cast, self.writer, self._blocks())

    def _draw_days(self, rng: CounterRNG) -> list[date]:
        """A date for each session, further apart than relative dates reach, and one after the last."""
        day = date(2021, 1, 1) + timedelta(days=rng.integer(0, 1200))
        days = [day]
        for _ in range(self.config.num_sessions):
            day += timedelta(days=rng.integer(15, 40))
            days.append(day)
        return days

    def _blocks(self) -> list[int]:
        """Filler blocks of each gap, so that the conversation has about `num_words`."""
        config, words = self.config, self.words
        if not config.num_words:
            return [0] * config.num_sessions
        turns = sum(self.log.layout(s).num_turns for s in range(config.num_sessions))
        told = turns * words.mean_words([*words["smalltalk"], *words["replies"]])
        wanted = max(0.0, config.num_words - told) / Background.words_per_block(words)
        each, more = divmod(round(wanted), config.num_sessions)
        return [each + (gap < more) for gap in range(config.num_sessions)]

    def stream(self) -> Iterator[Item | Question]:
        """Session by session: the turns, the filler, then questions about the world as it is now."""
        config = self.config
        kind = CanaryQuestioner if config.canary else Questioner
        questioner = kind(config, self.asks, self.log, self.days)
        for session in range(config.num_sessions):
            for turn in range(self.log.layout(session).num_turns):
                yield self.writer.item(session, turn)
            blocks = self.background.num_blocks[session]
            for block in range(blocks):
                yield from self.background.items(session, block)
                if not config.canary:
                    yield from self.background.questions(session, block)
            if (session + 1) % config.question_spacing == 0 or session + 1 == config.num_sessions:
                day = self.days[session + 1] - timedelta(days=1) if blocks else self.days[session]
                time, rng = f"{day.isoformat()}T23:59", self._rng.fork(5, session)
                yield from questioner.after(session, time, rng)

    def item(self, id: str) -> Item:
        """The turn of an id, written without the turns before it."""
        place, _, turn = id[1:].partition("t")
        if id[0] == "s":
            return self.writer.item(int(place) - 1, int(turn) - 1)
        gap, block = place.split(".")
        return self.background.item(int(gap) - 1, int(block) - 1, int(turn) - 1)

    def moment(self, id: str) -> Moment:
        """The (session, turn) of the log at an item or a question."""
        place, asked, _ = id[1:].partition("q")
        session, _, turn = place.partition("t")
        if id[0] == "s" and not asked:
            return int(session) - 1, int(turn) - 1
        return int(session.partition(".")[0]) - 1, END_OF_SESSION

    def needed(self, id: str) -> list[tuple[str, str]]:
        """What an optimal bank holds at an item or a question: (whom or what it is about, what is said).

        The evidence of everything that can be asked now, or once the rest of it is told, and no more: nothing out
        of date, nothing to be forgotten.
        """
        if self.config.canary:  # nothing of the world is told
            return []
        session, turn = self.moment(id)
        events = self.log.layout(session).events
        told = max((at for at in events if at <= turn), default=-1)  # small talk in between changes nothing
        now = (session, turn if turn == END_OF_SESSION else told)
        if self._needed[0] != now:
            self._needed = (now, self._needed_at(now))
        found = self._needed[1]
        if id[0] == "f":
            block = int(id.partition(".")[2].partition("t")[0].partition("q")[0]) - 1
            if self._live[0] != (session, block):
                self._live = ((session, block), self.background.live(session, block))
            found = [*found, *self._live[1]]
        return list(found)

    def _needed_at(self, now: Moment) -> list[tuple[str, str]]:
        found: dict[tuple[str, str], None] = {}
        for type_ in self.config.question_types:
            for ask in self.asks.of(type_, now):
                if ask.answer != UNKNOWN:
                    for event in ask.events:
                        if event.op != "ground" and event.value not in ask.planted:
                            found[event.subject, event.value] = None
        return list(found)
