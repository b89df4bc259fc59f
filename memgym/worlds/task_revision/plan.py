"""What happens: the log of a conversation about several plans, drawn before any text.

Each plan has an agenda; at every tick one of the plans in progress does the next thing on it. The graph is folded
along, so that everything drawn is possible: what is undone was done, what is moved is there.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from memgym.rng import CounterRNG
from memgym.worlds.task_revision.graph import Event, Task, TaskGraph
from memgym.worlds.task_revision.words import Kind, Words

__all__ = ["Planner", "TaskConfig"]

STAY = 0.4  # chance that the next turn is about the same plan, however many are in progress
PROPOSALS = 0.2  # chance that the assistant proposes a first value
DECLINED = 0.3  # chance that a proposal is not taken
BY_PLACE = 0.15  # chance that a main step is named by its place
LEFT_OPEN = 0.15  # chance that a step never gets a value
RETURNS = 0.5  # chance that a step is filled again after its value was taken back
CHOSEN_AGAIN = 0.3  # the same after what it depends on changed
RELIED_ON = 0.4  # chance that a revision is one of a step on which others depend
PRICED = 0.5  # chance that a plan has prices
COUNTED = 0.7  # chance that some of its steps hold numbers
MAX_UNDO = 4
COUNTS = tuple(str(n) for n in range(2, 10))  # what a step that holds a number may hold
EXPLICIT = {"fill", "fill_position", "revise", "revise_position"}  # forms that say which plan they are about


@dataclass(frozen=True)
class TaskConfig:
    """How long and how hard a conversation is; `memgym.envs.task_revision.TaskRevision` documents the fields."""

    num_tasks: int = 4
    steps_per_task: int = 5
    revision_rate: float = 0.4
    rollback_rate: float = 0.25
    restructure_rate: float = 0.2
    cancel_rate: float = 0.2
    distractor_rate: float = 0.2
    anaphora_rate: float = 0.3
    dependency_depth: int = 2
    interleaving: int = 2
    num_questions: int = 20
    num_words: int = 2000
    num_choices: int = 0  # 0: open questions
    question_types: tuple[str, ...] = ()  # (): all


@dataclass
class Agenda:
    """What one plan still has to do."""

    kind: Kind
    steps: tuple[str, ...]
    rules: list[tuple[str, str, str, int]]  # (step, source, kind, number)
    to_fill: deque[str]
    has_prices: bool
    queue: deque[str] = field(default_factory=deque)
    created: bool = False
    patience: int = 20  # steps that may be put off because what they depend on has no value
    done: bool = False


class Planner:
    """Draws a log.

    Args:
        key: of the episode.
        words: of the split.
        config: length and difficulty.

    Attributes:
        names: of the plans by number; those that a split makes come last.
    """

    def __init__(self, key: int, words: Words, config: TaskConfig) -> None:
        self.config = config
        self._rng = CounterRNG(key)
        self._graph = TaskGraph()
        self._places = len(words.ordinals)
        self._decks: dict[tuple[int, str], list[str]] = {}
        self._values = words.values
        kinds = self._rng.sample(words.kinds, max(1, (config.num_tasks + 1) // 2))  # so that plans are alike
        spare = [(kind, label) for kind in kinds for label in kind.labels]
        self._rng.shuffle(spare)
        drawn, self._spare = spare[: config.num_tasks], spare[config.num_tasks :]
        self.names = [kind.name.format(label=label) for kind, label in drawn]
        self._agendas = [self._agenda(kind) for kind, _ in drawn]

    def draw(self) -> list[Event]:
        """The whole log."""
        self._emit(Event("intro", form="intro"))
        waiting = list(range(self.config.num_tasks))
        last = -1
        while waiting:
            active = waiting[: self.config.interleaving]
            if last not in active or self._rng.random() >= STAY:
                last = self._rng.choice(active)
            self._tick(last)
            if self._agendas[last].done:
                waiting.remove(last)
        return self._graph.log

    def _agenda(self, kind: Kind) -> Agenda:
        rng, depth = self._rng, self.config.dependency_depth
        size = self.config.steps_per_task
        numbers = rng.sample(kind.numbers, min(depth + 1, size - 2)) if rng.random() < COUNTED else []
        plain = rng.sample(list(kind.steps), size - len(numbers))
        rules = [(step, source, "again", 0) for source, step in pairwise(plain[: depth + 1])]
        for source, step in pairwise(numbers):
            times = rng.random() < 0.5
            rules.append(
                (
                    step,
                    source,
                    "times" if times else "plus",
                    rng.integer(2, 5) if times else rng.integer(2, 9),
                )
            )
        sources, computed = {rule[1] for rule in rules}, set(numbers[1:])
        to_fill = [*plain, *numbers[:1]]
        rng.shuffle(to_fill)
        to_fill = [step for step in to_fill if step in sources or rng.random() >= LEFT_OPEN]
        steps = [*plain, *numbers]
        rng.shuffle(steps)
        rng.shuffle(rules)
        assert not computed & set(to_fill)
        return Agenda(kind, tuple(steps), rules, deque(to_fill), rng.random() < PRICED)

    def _emit(self, event: Event) -> None:
        self._graph.apply(event)

    # ------------------------------------------------------------------ one tick

    def _tick(self, number: int) -> None:
        agenda = self._agendas[number]
        if not agenda.created:
            agenda.created = True
            self._emit(Event("create", number, steps=agenda.steps, form="create"))
        elif agenda.rules:
            step, source, kind, k = agenda.rules.pop()
            self._emit(Event("rule", number, step, other=source, number=k, form=kind))
        elif agenda.queue:
            getattr(self, f"_{agenda.queue.popleft()}")(number, agenda, self._graph.tasks[number])
        elif not self._fill(number, agenda, self._graph.tasks[number]):
            self._finish(number, agenda)

    def _fill(self, number: int, agenda: Agenda, task: Task) -> bool:
        """Give the next step a value; False where none is left."""
        while agenda.to_fill:
            step = agenda.to_fill.popleft()
            if step not in task.state.order or task.state.cell(step).holds:
                continue
            if all(task.state.cell(source).holds for source in task.sources(step)):
                if self._give(number, agenda, task, step):
                    self._follow_up(agenda)
                    return True
            elif agenda.patience:
                agenda.patience -= 1
                agenda.to_fill.append(step)
        return False

    def _follow_up(self, agenda: Agenda) -> None:
        config = self.config
        for op, rate in (
            ("wonder", config.distractor_rate),
            ("revise", config.revision_rate),
            ("rollback", config.rollback_rate),
            ("restructure", config.restructure_rate),
        ):
            if self._rng.random() < rate:
                agenda.queue.append(op)

    def _finish(self, number: int, agenda: Agenda) -> None:
        agenda.done = True
        into = [n for n in self._graph.tasks if n != number and self._can_merge(number, n)]
        if self._rng.random() < self.config.cancel_rate:
            self._emit(Event("cancel", number, form="cancel"))
            if self._rng.random() < RETURNS / 2:
                self._emit(Event("reopen", number, form="reopen"))
        elif into and self._rng.random() < self.config.restructure_rate / 2:
            event = Event("merge", number, into=self._rng.choice(into), form="merge")
            self._hand_over(event, self._graph.tasks[number].state.order)
            self._emit(event)

    def _hand_over(self, event: Event, steps: Iterable[str]) -> None:
        """Keep what steps can still be set to when they move to another plan."""
        for step in steps:
            if (deck := self._decks.pop((event.task, step), None)) is not None:
                self._decks[event.into, step] = deck

    def _can_merge(self, number: int, into: int) -> bool:
        one, other = self._graph.tasks[number], self._graph.tasks[into]
        return other.status == "open" and not set(one.state.order) & {*other.state.order, *other.state.cells}

    # ------------------------------------------------------------------ values

    def _deal(self, number: int, step: str) -> str:
        """A value that the step of this plan never had, nor was said to have; "" where there is none left."""
        values = self._values.get(step, COUNTS)
        deck = self._decks.setdefault((number, step), self._rng.sample(values, len(values)))
        return deck.pop() if deck else ""

    def _give(self, number: int, agenda: Agenda, task: Task, step: str) -> bool:
        rng, state = self._rng, task.state
        form = "revise" if state.cell(step).value else "fill"
        if form == "fill" and rng.random() < PROPOSALS and (value := self._deal(number, step)):
            cost = self._price(agenda, step)
            self._emit(Event("propose", number, step, value, cost, form="propose"))
            why = frozenset({len(self._graph.log) - 1})
            if rng.random() >= DECLINED:
                self._emit(Event("set", number, step, value, cost, form="accept", reference=why))
                return True
            self._emit(Event("decline", number, form="decline", reference=why))
        if not (value := self._deal(number, step)):
            return False
        event = Event("set", number, step, value, self._price(agenda, step), form=form)
        self._emit(self._worded(event, task))
        return True

    def _worded(self, event: Event, task: Task) -> Event:
        """The event named in full, by a pronoun, or by the place of its step."""
        log, rng, form = self._graph.log, self._rng, event.form
        place, reference = 0, frozenset()
        before = log[-1]
        if before.task == event.task and before.form in EXPLICIT and rng.random() < self.config.anaphora_rate:
            form += "_it" if form == "revise" and before.step == event.step else "_there"
            reference = before.reference | {len(log) - 1}
        elif event.step in task.state.main[: self._places] and rng.random() < BY_PLACE:
            form += "_position"
            place, reference = task.state.main.index(event.step), task.state.structure
        else:
            return event
        return Event(
            "set",
            event.task,
            event.step,
            event.value,
            event.cost,
            number=place,
            form=form,
            reference=reference,
        )

    def _price(self, agenda: Agenda, step: str) -> int:
        return 5 * self._rng.integer(1, 80) if agenda.has_prices and step in self._values else 0

    def _wonder(self, number: int, agenda: Agenda, task: Task) -> None:
        """Talk of a value that changes nothing."""
        told = [step for step in task.state.order if task.state.cell(step).value]
        step = self._rng.choice(told) if told else ""
        if step and not task.sources(step) and (value := self._deal(number, step)):
            form = self._rng.choice(("check", "wonder"))
            self._emit(Event(form, number, step, value, form=form))

    def _revise(self, number: int, agenda: Agenda, task: Task) -> None:
        state, before = task.state, self._graph.log[-1]
        computed = {rule.step for rule in task.rules if rule.kind != "again"}
        known = [
            step
            for step in state.order
            if state.cell(step).holds
            and step not in computed
            and all(state.cell(source).holds for source in task.sources(step))
        ]
        if not known:
            return
        relied_on = [s for s in known if any(state.cell(rule.step).holds for rule in task.dependents(s))]
        step = self._rng.choice(relied_on if relied_on and self._rng.random() < RELIED_ON else known)
        if before.task == number and before.step in known and self._rng.random() < self.config.anaphora_rate:
            step = before.step
        if self._give(number, agenda, task, step):
            for rule in task.dependents(step):
                if self._rng.random() < CHOSEN_AGAIN:
                    agenda.to_fill.append(rule.step)

    # ------------------------------------------------------------------ back and forth

    def _rollback(self, number: int, agenda: Agenda, task: Task) -> None:
        rng, log, most = self._rng, self._graph.log, min(MAX_UNDO, len(task.history))
        if not most:
            return
        steps = [s for s in task.state.order if 1 <= task.last_set(s, log) <= MAX_UNDO]
        gone = {log[event].step for event, _ in task.history[-most:]}
        if steps and rng.random() < 0.35:
            self._emit(Event("before", number, rng.choice(steps), form="before"))
        else:
            count = rng.integer(1, most)
            form, reference = "undo_one" if count == 1 else "undo_many", frozenset()
            latest = task.history[-1][0]
            if count == 1 and latest == len(log) - 1 and rng.random() < self.config.anaphora_rate:
                form, reference = "undo_it", frozenset({latest})
            self._emit(Event("undo", number, number=count, form=form, reference=reference))
        if rng.random() < 0.2:
            agenda.queue.appendleft("redo")
        agenda.to_fill.extend(step for step in agenda.steps if step in gone and rng.random() < RETURNS)

    def _redo(self, number: int, agenda: Agenda, task: Task) -> None:
        if task.undone is not None:  # a merge may have come in between
            self._emit(Event("redo", number, form="redo"))

    # ------------------------------------------------------------------ structure

    def _restructure(self, number: int, agenda: Agenda, task: Task) -> None:
        """Insert, drop, move, break down or split off, whichever is possible."""
        options = [
            event
            for name in ("insert", "drop", "move", "parts", "split")
            if (event := getattr(self, f"_draw_{name}")(number, agenda, task)) is not None
        ]
        if options:
            event = self._rng.choice(options)
            if event.op == "split":
                kind, label = self._spare.pop()
                self.names.append(kind.name.format(label=label))
                self._hand_over(event, event.steps)
            self._emit(event)
            if event.op in ("insert", "parts"):
                agenda.to_fill.extend(event.steps or (event.step,))

    def _draw_insert(self, number: int, agenda: Agenda, task: Task) -> Event | None:
        free = [
            step
            for step in agenda.kind.steps
            if step not in task.state.cells and step not in task.state.order
        ]
        if not free or len(task.state.main) >= 10:
            return None
        other = self._rng.choice(task.state.main)
        return Event("insert", number, self._rng.choice(free), other=other, form="insert")

    def _loose(self, task: Task) -> list[str]:
        """Main steps that no rule speaks of."""
        ruled = {step for rule in task.rules for step in (rule.step, rule.source)}
        return [step for step in task.state.main if step not in ruled]

    def _draw_drop(self, number: int, agenda: Agenda, task: Task) -> Event | None:
        loose = [step for step in self._loose(task) if task.state.cell(step).value]
        if not loose or len(task.state.main) < 4:
            return None
        return Event("drop", number, self._rng.choice(loose), form="drop")

    def _draw_move(self, number: int, agenda: Agenda, task: Task) -> Event | None:
        main = task.state.main
        if len(main) < 2:
            return None
        to = self._rng.integer(0, len(main) - 2)
        return Event(
            "move", number, main[self._rng.integer(to + 1, len(main) - 1)], other=main[to], form="move"
        )

    def _draw_parts(self, number: int, agenda: Agenda, task: Task) -> Event | None:
        state = task.state
        whole = [step for step in state.main if step not in state.parents.values()]
        free = [step for step in agenda.kind.parts if step not in state.cells and step not in state.order]
        if not whole or not free:
            return None
        steps = tuple(self._rng.sample(free, 2))
        return Event("parts", number, self._rng.choice(whole), steps=steps, form="parts")

    def _draw_split(self, number: int, agenda: Agenda, task: Task) -> Event | None:
        loose = self._loose(task)
        if len(loose) < 2 or len(task.state.main) < 5 or not self._spare:
            return None
        steps = tuple(self._rng.sample(loose, 2))
        return Event("split", number, steps=steps, into=len(self.names), form="split")
