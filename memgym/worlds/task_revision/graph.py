"""The task graph: plans with steps, sub-steps and dependencies, folded from an append-only log.

The log is the truth; `TaskGraph.apply` folds one event after the other into it. Every value carries its support:
the numbers of the log events that it follows from, so that a question's evidence is read off, not guessed. The
support is sufficient: folding these events alone gives the same value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

__all__ = ["Cell", "Event", "Rule", "Task", "TaskGraph", "TaskState"]

NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log.

    Attributes:
        op: ``create``, ``rule``, ``set``, ``undo``, ``before``, ``redo``, ``drop``, ``insert``, ``move``, ``parts``,
            ``split``, ``merge``, ``cancel``, ``reopen``; and ``propose``, ``decline``, ``check``, ``wonder``,
            ``intro``, which change nothing.
        task: number of the plan that it is about.
        step: name of the step, if one.
        value: what the step is set to.
        cost: price of the value, 0 where the plan has no prices.
        steps: several steps (``create``, ``parts``, ``split``).
        other: a second step (``insert``: after it; ``move``: before it), or the source of a rule.
        into: the second plan (``split``, ``merge``).
        number: how many changes an ``undo`` takes back, or the number in a rule.
        form: how it is worded: a key of the word lists.
        reference: events that the wording leans on ("make it ...", "the second main step").
    """

    op: str
    task: int = -1
    step: str = ""
    value: str = ""
    cost: int = 0
    steps: tuple[str, ...] = ()
    other: str = ""
    into: int = -1
    number: int = 0
    form: str = ""
    reference: frozenset[int] = NOTHING


@dataclass(frozen=True, slots=True)
class Rule:
    """`step` depends on `source`: it is chosen ``again``, or is `number` ``times`` or ``plus`` the source.

    `support` are the events that it follows from: the one that states it, and merges that took it to another plan.
    """

    step: str
    source: str
    kind: str
    number: int
    support: frozenset[int]


@dataclass(frozen=True, slots=True)
class Cell:
    """What a step holds.

    Attributes:
        value: ``""`` where nothing was set, or where it was undone.
        cost: its price.
        valid: False for a value that has to be chosen again.
        previous: the valid value that this one replaced, ``""`` where there was none.
        before: the support of `previous`.
        past: all values that the step had and has not now.
        support: events that this follows from.
        how: ``set``, ``revised``, ``computed``, ``undone``, ``invalid`` or ``dropped``.
        moved: whether a split or merge brought it here.
    """

    value: str = ""
    cost: int = 0
    valid: bool = True
    previous: str = ""
    before: frozenset[int] = NOTHING
    past: tuple[str, ...] = ()
    support: frozenset[int] = NOTHING
    how: str = ""
    moved: bool = False

    @property
    def holds(self) -> bool:
        """Whether there is a value and it may be used."""
        return bool(self.value) and self.valid

    def same(self, other: "Cell") -> bool:
        """Whether both hold the same."""
        return (self.value, self.cost, self.valid) == (other.value, other.cost, other.valid)


EMPTY = Cell()


@dataclass(frozen=True, slots=True)
class TaskState:
    """One version of a plan; never changed in place.

    Attributes:
        order: its steps, each sub-step after its step.
        parents: sub-step -> step.
        cells: step -> what it holds; steps that were dropped stay here.
        structure: events that order and parents follow from.
    """

    order: tuple[str, ...] = ()
    parents: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    structure: frozenset[int] = NOTHING

    @property
    def main(self) -> tuple[str, ...]:
        """The steps that are no sub-steps."""
        return tuple(step for step in self.order if step not in self.parents)

    def cell(self, step: str) -> Cell:
        """What a step holds, empty where nothing was said of it."""
        return self.cells.get(step, EMPTY)

    def with_cells(self, changed: Mapping[str, Cell]) -> "TaskState":
        """A copy in which some cells differ."""
        return replace(self, cells={**self.cells, **changed})


@dataclass(slots=True)
class Task:
    """A plan.

    Attributes:
        state: as it is now.
        rules: dependencies between its steps.
        status: ``open``, ``cancelled`` or ``merged``.
        decided: events that the status follows from.
        history: (event, state before it) of each change that can be undone, oldest first.
        undone: what a redo brings back: (state, history, events of the undoing).
    """

    state: TaskState = field(default_factory=TaskState)
    rules: tuple[Rule, ...] = ()
    status: str = "open"
    decided: frozenset[int] = NOTHING
    history: list[tuple[int, TaskState]] = field(default_factory=list)
    undone: tuple[TaskState, list[tuple[int, TaskState]], frozenset[int]] | None = None

    def dependents(self, step: str) -> list[Rule]:
        """Rules by which other steps depend on `step`, directly or not, in order of distance."""
        found: list[Rule] = []
        reached = [step]
        for source in reached:
            for rule in self.rules:
                if rule.source == source and rule.step not in reached:
                    found.append(rule)
                    reached.append(rule.step)
        return found

    def sources(self, step: str) -> list[str]:
        """Steps that `step` depends on, directly."""
        return [rule.source for rule in self.rules if rule.step == step]

    def last_set(self, step: str, log: list[Event]) -> int:
        """How many changes to undo to get to before the last value of `step`; 0 where there is none."""
        for back, (number, _) in enumerate(reversed(self.history), 1):
            if log[number].op == "set" and log[number].step == step:
                return back
        return 0


class TaskGraph:
    """All plans of a conversation, as far as its log has been folded."""

    def __init__(self, log: Iterable[Event] = ()) -> None:
        self.log: list[Event] = []
        self.tasks: dict[int, Task] = {}
        for event in log:
            self.apply(event)

    def apply(self, event: Event) -> None:
        """Fold one event."""
        number = len(self.log)
        self.log.append(event)
        change = getattr(self, f"_{event.op}", None)
        if change is not None:
            change(self.tasks.setdefault(event.task, Task()), event, number)

    def _because(self, number: int) -> frozenset[int]:
        return self.log[number].reference | {number}

    # ------------------------------------------------------------------ changes that can be undone

    def _change(self, task: Task, number: int, state: TaskState) -> None:
        task.history.append((number, task.state))
        task.state, task.undone = state, None

    def _set(self, task: Task, event: Event, number: int) -> None:
        why, old = self._because(number), task.state.cell(event.step)
        cells = {event.step: _replaced(old, event.value, event.cost, why)}
        rules = {event.step: NOTHING}  # that lead from the step to another
        for rule in task.dependents(event.step):
            cell = task.state.cell(rule.step)
            rules[rule.step] = rules[rule.source] | rule.support
            if rule.kind != "again":
                source = cells[rule.source]
                count = int(source.value)
                count = count * rule.number if rule.kind == "times" else count + rule.number
                computed = _replaced(cell, str(count), 0, source.support | rule.support)
                cells[rule.step] = replace(computed, how="computed")
            elif cell.holds:
                support = cell.support | why | rules[rule.step]
                cells[rule.step] = replace(cell, valid=False, how="invalid", support=support)
        self._change(task, number, task.state.with_cells(cells))

    def _drop(self, task: Task, event: Event, number: int) -> None:
        state, why = task.state, self._because(number)
        gone = [event.step, *(s for s, parent in state.parents.items() if parent == event.step)]
        cells = {
            step: Cell(
                past=(*cell.past, cell.value) if cell.value else cell.past,
                support=why if step == event.step else why | state.structure,  # whose sub-step it is
                how="dropped",
            )
            for step in gone
            for cell in [state.cell(step)]
        }
        order = tuple(step for step in state.order if step not in gone)
        parents = {step: parent for step, parent in state.parents.items() if step not in gone}
        cells = {**state.cells, **cells}
        self._change(task, number, TaskState(order, parents, cells, state.structure | why))

    def _insert(self, task: Task, event: Event, number: int) -> None:
        state = task.state
        at = state.order.index(event.other) + 1
        while at < len(state.order) and state.order[at] in state.parents:  # after its sub-steps
            at += 1
        self._reorder(task, number, (*state.order[:at], event.step, *state.order[at:]), state.parents)

    def _move(self, task: Task, event: Event, number: int) -> None:
        state = task.state
        block = [s for s in state.order if event.step in (s, state.parents.get(s))]
        rest = [s for s in state.order if s not in block]
        at = rest.index(event.other)
        self._reorder(task, number, (*rest[:at], *block, *rest[at:]), state.parents)

    def _parts(self, task: Task, event: Event, number: int) -> None:
        state = task.state
        at = state.order.index(event.step) + 1
        order = (*state.order[:at], *event.steps, *state.order[at:])
        self._reorder(task, number, order, {**state.parents, **dict.fromkeys(event.steps, event.step)})

    def _reorder(self, task: Task, number: int, order: tuple[str, ...], parents: Mapping[str, str]) -> None:
        structure = task.state.structure | self._because(number)
        self._change(task, number, replace(task.state, order=order, parents=parents, structure=structure))

    # ------------------------------------------------------------------ going back and forth

    def _undo(self, task: Task, event: Event, number: int) -> None:
        self._back(task, event.number, number)

    def _before(self, task: Task, event: Event, number: int) -> None:
        self._back(task, task.last_set(event.step, self.log), number)

    def _back(self, task: Task, count: int, number: int) -> None:
        gone = task.history[-count:]
        why = self._because(number).union(*(self._because(n) for n, _ in gone))
        task.undone = (task.state, list(task.history), why)
        del task.history[-count:]
        task.state = _returned(task.state, gone[0][1], why, "undone")

    def _redo(self, task: Task, event: Event, number: int) -> None:
        assert task.undone is not None, "nothing to redo"
        state, history, why = task.undone
        task.state = _returned(task.state, state, why | self._because(number), "")
        task.history, task.undone = history, None

    # ------------------------------------------------------------------ what cannot be undone

    def _create(self, task: Task, event: Event, number: int) -> None:
        task.state = TaskState(order=event.steps, structure=frozenset({number}))

    def _rule(self, task: Task, event: Event, number: int) -> None:
        task.rules += (Rule(event.step, event.other, event.form, event.number, self._because(number)),)

    def _cancel(self, task: Task, event: Event, number: int) -> None:
        self._settle(task, "cancelled", number)

    def _reopen(self, task: Task, event: Event, number: int) -> None:
        self._settle(task, "open", number)

    def _settle(self, task: Task, status: str, number: int) -> None:
        task.decided = self._because(number)
        task.status = status
        task.history, task.undone = [], None

    def _merge(self, task: Task, event: Event, number: int) -> None:
        into, why = self.tasks[event.into], self._because(number)
        old, new = task.state, into.state
        into.state = TaskState(
            new.order + old.order,
            {**new.parents, **old.parents},
            {**new.cells, **_moved(old.cells, why)},
            new.structure | old.structure | why,
        )
        into.rules += tuple(replace(rule, support=rule.support | why) for rule in task.rules)
        into.history, into.undone = [], None
        self._settle(task, "merged", number)

    def _split(self, task: Task, event: Event, number: int) -> None:
        state, why = task.state, self._because(number)
        leave = [s for s in state.order if s in event.steps or state.parents.get(s) in event.steps]
        structure = state.structure | why
        cells = {
            step: replace(
                cell, support=cell.support if step in event.steps else cell.support | state.structure
            )
            for step in leave
            for cell in [state.cell(step)]
        }
        self.tasks[event.into] = Task(
            TaskState(
                tuple(leave),
                {s: p for s, p in state.parents.items() if s in leave},
                _moved(cells, why),
                structure,
            )
        )
        order = tuple(step for step in state.order if step not in leave)
        parents = {s: p for s, p in state.parents.items() if s not in leave}
        cells = {step: cell for step, cell in state.cells.items() if step not in leave}
        task.state = TaskState(order, parents, cells, structure)
        task.history, task.undone = [], None


def _replaced(old: Cell, value: str, cost: int, why: frozenset[int]) -> Cell:
    """The cell after a new value."""
    past = (*old.past, old.value) if old.value and old.value != value else old.past
    known = old.holds and old.value != value
    return Cell(
        value,
        cost,
        previous=old.value if known else "",
        before=old.support if known else NOTHING,
        past=tuple(dict.fromkeys(v for v in past if v != value)),
        support=why,
        how="revised" if past else "set",
    )


def _returned(now: TaskState, then: TaskState, why: frozenset[int], how: str) -> TaskState:
    """`then` again, with what differs from `now` owed to `why` as well."""
    cells = dict(then.cells)
    for step in {**now.cells, **then.cells}:
        old, cell = now.cell(step), then.cell(step)
        if not cell.same(old) or (cell.how == "dropped") != (old.how == "dropped"):
            past = dict.fromkeys(v for v in (*cell.past, *old.past, old.value) if v and v != cell.value)
            cells[step] = replace(
                cell, support=cell.support | why, past=tuple(past), previous="", how=how or cell.how
            )
    structure = then.structure
    if (now.order, now.parents) != (then.order, then.parents):
        structure |= why
    return TaskState(then.order, then.parents, cells, structure)


def _moved(cells: Mapping[str, Cell], why: frozenset[int]) -> dict[str, Cell]:
    return {step: replace(cell, support=cell.support | why, moved=True) for step, cell in cells.items()}
