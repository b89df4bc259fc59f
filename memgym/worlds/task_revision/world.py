"""The conversation: turns written from the log, filler between them, and questions about the graph as it stands.

Everything is addressed by its place: turn i is written without the turns before it. Only the log, whose length
does not depend on the number of words, is kept.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate

from memgym.rng import CounterRNG, draw, mix64
from memgym.stream import Item, Question, format_date
from memgym.worlds.task_revision.graph import TaskGraph
from memgym.worlds.task_revision.plan import Planner, TaskConfig
from memgym.worlds.task_revision.questions import QUESTION_TYPES, Asker
from memgym.worlds.task_revision.words import words_of

__all__ = ["TaskWorld"]

PER_DAY = 12  # events of the log
SENTENCES = 5  # in one turn of filler
LOG, FILLER, ACK, TYPES, ASK, DATES = range(6)  # what is drawn from a stream of its own


class TaskWorld:
    """One conversation.

    Args:
        key: of the episode; everything is drawn from it.
        split: whose words are used.
        config: length and difficulty.

    Attributes:
        log: what happens, in order.
        names: of the plans, by number.
        num_turns: turns and questions of the whole conversation.
    """

    def __init__(self, key: int, split: str, config: TaskConfig) -> None:
        self.config = config
        self.words = words_of(split)
        self._rng = CounterRNG(key)
        planner = Planner(self._rng.fork(LOG).key, self.words, config)
        self.log = planner.draw()
        self.names: Sequence[str] = planner.names
        self._filler_key = self._rng.fork(FILLER).key
        self._start = date(2021, 1, 1) + timedelta(days=self._rng.fork(DATES).integer(0, 1200))
        last = len(self.log) - 1
        # what leans on the turn before it follows at once
        apart = [n == last or not self._leans(n + 1) for n in range(len(self.log))]
        gaps = [n for n in range(len(self.log)) if apart[n]]
        self._acks = [int(apart[n] and self._rng.fork(ACK, n).random() < 0.5) for n in range(len(self.log))]
        self._asked_after = self._place_questions(gaps)
        filler = self._count_filler()
        share, more = divmod(filler, len(gaps))
        self._filler = [0] * len(self.log)
        for place, n in enumerate(gaps):
            self._filler[n] = share + (place < more)
        asked = [0] * len(self.log)
        for n in self._asked_after:
            asked[n] += 1
        sizes = [1 + self._acks[n] + self._filler[n] + asked[n] for n in range(len(self.log))]
        self._ends = list(accumulate(sizes))  # turn number after each block: event, answer, filler, questions
        self._first_question = [0, *accumulate(asked)]
        self.num_turns = self._ends[-1]

    def stream(self) -> Iterator[Item | Question]:
        """The whole conversation, turn by turn."""
        graph = TaskGraph()
        for n, event in enumerate(self.log):
            graph.apply(event)
            yield self._told(n)
            if self._acks[n]:
                yield self._ack(n)
            time = self._time(n)
            for turn in range(self._filler[n]):
                yield self._small_talk(n, turn, time)
            for q in range(self._first_question[n], self._first_question[n + 1]):
                yield self._ask(q, n, graph)

    def turn(self, index: int) -> Item | Question:
        """Turn number `index`, without writing any other.

        Raises:
            IndexError: there is no such turn.
        """
        if not 0 <= index < self.num_turns:
            raise IndexError(f"turn is from 0 to {self.num_turns - 1}, not {index}.")
        n = bisect_right(self._ends, index)
        place = index - (self._ends[n - 1] if n else 0)
        if place == 0:
            return self._told(n)
        place -= 1
        if place < self._acks[n]:
            return self._ack(n)
        place -= self._acks[n]
        if place < self._filler[n]:
            return self._small_talk(n, place, self._time(n))
        question = self._first_question[n] + place - self._filler[n]
        return self._ask(question, n, TaskGraph(self.log[: n + 1]))

    # ------------------------------------------------------------------ layout

    def _leans(self, n: int) -> bool:
        """Whether an event's wording is understood only right after the one before it."""
        return n - 1 in self.log[n].reference and not self.log[n].form.endswith("_position")

    def _place_questions(self, gaps: Sequence[int]) -> list[int]:
        """After which events the questions come: spread evenly over the last three quarters, the last at the end."""
        late = gaps[len(gaps) // 4 :]
        count = self.config.num_questions
        return [late[max(0, (q + 1) * len(late) // count - 1)] for q in range(count)]

    def _count_filler(self) -> int:
        """Turns of filler that bring the conversation to `num_words`, on average."""
        if not self.config.num_words:
            return 0
        told = sum(len(self._told(n).text.split()) for n in range(len(self.log)))
        filler = self.words.filler
        words_each = SENTENCES * sum(len(sentence.split()) for sentence in filler) / len(filler)
        return max(0, round((self.config.num_words - told) / words_each))

    # ------------------------------------------------------------------ turns

    def _time(self, n: int) -> str:
        day, place = divmod(n, PER_DAY)
        minutes = 8 * 60 + 50 * place
        return f"{(self._start + timedelta(days=day)).isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}"

    def _told(self, n: int) -> Item:
        event = self.log[n]
        speaker = "Assistant" if event.op in ("intro", "propose") else "User"
        text = self.words.write(event, self.names, self._rng.fork(LOG, n))
        return Item(f"e{n}", text, speaker, self._time(n))

    def _ack(self, n: int) -> Item:
        return Item(f"a{n}", self._rng.fork(ACK, n, 1).choice(self.words.ack), "Assistant", self._time(n))

    def _small_talk(self, n: int, turn: int, time: str) -> Item:
        bits = draw(mix64(self._filler_key + n), turn)
        filler = self.words.filler
        size = len(filler)
        text = []
        for _ in range(SENTENCES):
            bits, pick = divmod(bits, size)
            text.append(filler[pick])
        return Item(f"f{n}.{turn}", " ".join(text), "Assistant" if bits & 1 else "User", time)

    # ------------------------------------------------------------------ questions

    def _ask(self, q: int, n: int, graph: TaskGraph) -> Question:
        """Question number `q`, after event `n`: types take turns; what the graph does not give is left out."""
        known = self.config.question_types or QUESTION_TYPES
        turn, place = divmod(q, len(known))
        types = self._rng.fork(TYPES, turn).sample(known, len(known))
        asker = Asker(graph, self.names, self.words, lambda: self._days(n), self._rng.fork(ASK, q))
        for type_ in types[place:] + types[:place]:
            question = asker.ask(type_, f"q{q}", self._time(n), self.config.num_choices)
            if question is not None:
                return question
        question = asker.ask("order", f"q{q}", self._time(n), self.config.num_choices)
        assert question is not None, "a plan has a first step"
        return question

    def _days(self, n: int) -> list[tuple[str, TaskGraph]]:
        """The days before that of event `n`, at most the last three, and the graph at the end of each."""
        today = n // PER_DAY
        days = range(max(0, today - 3), today)
        return [
            (format_date(self._start + timedelta(days=day)), TaskGraph(self.log[: (day + 1) * PER_DAY]))
            for day in days
        ]
