"""What can be asked of a task graph, with answer, evidence and what could be mistaken for the answer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from memgym.rng import CounterRNG
from memgym.stream import UNKNOWN, Question
from memgym.worlds.task_revision.graph import Cell, Task, TaskGraph
from memgym.worlds.task_revision.words import Words, listing, wordings

__all__ = ["FLOORS", "QUESTION_TYPES", "Asker"]

VALUE_TYPES = (
    "current-value",
    "revised-value",
    "rolled-back-value",
    "recomputed-value",
    "moved-value",
    "undone-value",
    "invalidated-value",
    "cancelled-value",
    "unset-value",
)
QUESTION_TYPES = (
    *VALUE_TYPES,
    "previous-value",
    "open-steps",
    "invalid-steps",
    "dependents",
    "changed-steps",
    "order",
    "step-count",
    "sub-step",
    "membership",
    "total",
    "task-status",
)
UNKNOWN_TYPES = ("undone-value", "invalidated-value", "cancelled-value", "unset-value")
FLOORS = {type_: float(type_ in UNKNOWN_TYPES) for type_ in QUESTION_TYPES}
"""What always abstaining scores on each type."""
STATUSES = ("open", "complete", "cancelled", "merged")
MAX_LISTED = 3  # steps in one answer: all their orders are accepted


@dataclass(frozen=True)
class Draft:
    """A question before it is worded.

    Attributes:
        form: of its template.
        words: what the template takes.
        answers: the answer first, then other ways to put it.
        evidence: numbers of events.
        stale: values that were right once.
        others: gives what could be mistaken for the answer, then fillers of its kind.
        about: the plan.
    """

    form: str
    words: dict[str, str]
    answers: tuple[str, ...]
    evidence: frozenset[int]
    stale: tuple[str, ...] = ()
    others: Callable[[], Iterable[str]] = tuple
    about: int = -1


class Asker:
    """Asks about one state of the graph.

    Args:
        graph: as it stands.
        names: of the plans.
        words: of the split.
        days: (date, graph as it stood at the end of that day), for comparisons; called only where needed.
        rng: decides what is asked.
    """

    def __init__(
        self,
        graph: TaskGraph,
        names: Sequence[str],
        words: Words,
        days: Callable[[], Sequence[tuple[str, TaskGraph]]],
        rng: CounterRNG,
    ) -> None:
        self._graph, self._names, self._words, self._days, self._rng = graph, names, words, days, rng
        self._open = [(n, task) for n, task in graph.tasks.items() if task.status == "open"]
        self._values = words.values

    def ask(self, type_: str, id: str, time: str, num_choices: int) -> Question | None:
        """A question of this type; None where the graph gives none."""
        name = "value" if type_ in VALUE_TYPES else type_.replace("-", "_")
        drafts = list(getattr(self, f"_{name}")(*([type_] if name == "value" else [])))
        if not drafts:
            return None
        draft = self._rng.choice(drafts)
        answer = draft.answers[0]
        text = self._rng.choice(self._words.ask[draft.form]).format(**draft.words)
        evidence = tuple(f"e{number}" for number in sorted(draft.evidence))
        return Question(
            id,
            text,
            type_,
            answer,
            time=time,
            aliases=draft.answers[1:],
            choices=self._choices(answer, draft, num_choices),
            evidence=evidence,
            stale=draft.stale,
            hops=max(1, len(evidence)),
            meta={"task": self._names[draft.about], **draft.words},
        )

    def _choices(self, answer: str, draft: Draft, count: int) -> tuple[str, ...]:
        if not count:
            return ()
        options = list(dict.fromkeys([answer, UNKNOWN, *draft.stale, *draft.others()]))[:count]
        self._rng.shuffle(options)
        return tuple(options)

    # ------------------------------------------------------------------ values

    def _value(self, type_: str) -> Iterator[Draft]:
        for number, task in self._graph.tasks.items():
            if task.status == "merged":
                continue
            for step in {**dict.fromkeys(task.state.order), **task.state.cells}:
                cell = task.state.cell(step)
                if self._type_of(task, step, cell) == type_:
                    yield self._value_draft(number, task, step, cell)

    def _type_of(self, task: Task, step: str, cell: Cell) -> str:
        if task.status == "cancelled":
            return "cancelled-value" if cell.value else ""
        if cell.how == "dropped":
            return "cancelled-value" if cell.past else ""
        if step not in task.state.order:
            return ""  # adding it was undone
        if not cell.value:
            return "undone-value" if cell.past else "" if cell.how else "unset-value"
        if not cell.valid:
            return "invalidated-value"
        if cell.how == "undone":
            return "rolled-back-value" if cell.past else ""
        if cell.moved:
            return "moved-value"
        return {"computed": "recomputed-value", "revised": "revised-value", "set": "current-value"}.get(
            cell.how, ""
        )

    def _value_draft(self, number: int, task: Task, step: str, cell: Cell) -> Draft:
        known = cell.holds and task.status == "open"
        stale = cell.past if known or not cell.value else (*cell.past, cell.value)
        evidence = cell.support | task.decided if task.status == "cancelled" else cell.support
        if not cell.how:
            evidence = task.state.structure
        answer = cell.value if known else UNKNOWN
        return Draft(
            "value",
            {"task": self._names[number], "step": step},
            (answer,),
            evidence,
            stale,
            lambda: self._alike(step, answer),
            number,
        )

    def _alike(self, step: str, answer: str) -> Sequence[str]:
        """Other values of a step, those of other plans first."""
        if step not in self._values:
            return self._near(int(answer) if answer != UNKNOWN else 6)
        told = [task.state.cell(step).value for task in self._graph.tasks.values()]
        values = self._values[step]
        return tuple(v for v in (*told, *self._rng.sample(values, len(values))) if v)

    def _near(self, number: int, unit: int = 1) -> list[str]:
        """Numbers around one, of which any first few leave each rank equally likely for it (Polya's urn)."""
        rng = self._rng
        below = rng.sample(range(max(0, number - 7 * unit), number, unit), 7)
        above = rng.sample(range(number + unit, number + 8 * unit, unit), 7)
        numbers: list[str] = []
        lower = 0
        while above:
            low = bool(below) and rng.random() * (len(numbers) + 2) < lower + 1
            numbers.append(str((below if low else above).pop()))
            lower += low
        return numbers

    def _previous_value(self) -> Iterator[Draft]:
        for number, task in self._open:
            for step in task.state.order:
                cell = task.state.cell(step)
                if cell.holds and cell.previous and cell.how == "revised":
                    words = {"task": self._names[number], "step": step}
                    others = partial(self._replaced, step, cell)
                    evidence = cell.support | cell.before
                    yield Draft("previous", words, (cell.previous,), evidence, (), others, number)

    def _replaced(self, step: str, cell: Cell) -> tuple[str, ...]:
        return (cell.value, *self._alike(step, cell.previous))

    # ------------------------------------------------------------------ steps

    def _listed(
        self, form: str, number: int, members: Sequence[str], evidence: frozenset[int], **words: str
    ) -> Iterator[Draft]:
        """A question whose answer names a few steps."""
        if not 1 <= len(members) <= MAX_LISTED:
            return
        steps = [step for step in self._graph.tasks[number].state.order if step != words.get("step")]
        others = partial(self._other_steps, steps, members)
        yield Draft(
            form, {"task": self._names[number], **words}, wordings(members), evidence, (), others, number
        )

    def _other_steps(self, steps: Sequence[str], members: Sequence[str]) -> list[str]:
        """As many other steps in a row as there are members, then more or fewer; numbers where all are numbers."""
        rng, sorts = self._rng, {member in self._values for member in members}
        alike = [step for step in steps if (step in self._values) in sorts]
        rows = [rng.sample(alike, len(members)) for _ in range(16)]
        rows += [rng.sample(alike, len(members) + more) for more in (1, -1, 1, -1)]
        rows += [rng.sample(steps, len(members)) for _ in range(8)]
        rows += [rng.sample(list(self._values), len(members)) for _ in range(8)]  # of short plans
        seen = {frozenset(members)}
        return [
            listing(row) for row in rows if row and not (frozenset(row) in seen or seen.add(frozenset(row)))
        ]

    def _support(self, task: Task, steps: Sequence[str]) -> frozenset[int]:
        return frozenset().union(*(task.state.cell(step).support for step in steps))

    def _open_steps(self) -> Iterator[Draft]:
        for number, task in self._open:
            cells = [task.state.cell(step) for step in task.state.order]
            if all(cell.valid for cell in cells):
                members = [step for step in task.state.order if not task.state.cell(step).value]
                evidence = task.state.structure | self._support(task, task.state.order)
                yield from self._listed("open", number, members, evidence)

    def _invalid_steps(self) -> Iterator[Draft]:
        for number, task in self._open:
            members = [step for step in task.state.order if not task.state.cell(step).valid]
            ruled = [rule.step for rule in task.rules]
            yield from self._listed("invalid", number, members, self._support(task, [*members, *ruled]))

    def _dependents(self) -> Iterator[Draft]:
        for number, task in self._open:
            for step in dict.fromkeys(rule.source for rule in task.rules):
                rules = task.dependents(step)
                evidence = frozenset().union(*(rule.support for rule in rules))
                yield from self._listed(
                    "dependents", number, [rule.step for rule in rules], evidence, step=step
                )

    def _changed_steps(self) -> Iterator[Draft]:
        for date, graph in self._days():
            for number, task in self._open:
                then = graph.tasks.get(number)
                if then is None or then.status != "open":
                    continue
                steps = dict.fromkeys([*task.state.order, *task.state.cells, *then.state.cells])
                members = [s for s in steps if not task.state.cell(s).same(then.state.cell(s))]
                if not {*members} <= {*task.state.order} & {*then.state.order}:
                    continue  # whether a step that came or went "changed" is a matter of taste
                evidence = self._support_of_both(number, task, then, members)
                yield from self._listed("changed", number, members, evidence, date=date)

    def _support_of_both(self, number: int, task: Task, then: Task, steps: Sequence[str]) -> frozenset[int]:
        """What the steps follow from now and followed from then, and the same of all steps set on the way.

        What set another step and was undone later would otherwise stand there without its undoing.
        """
        reached = set(steps)
        while True:
            evidence = self._support(task, sorted(reached)) | self._support(then, sorted(reached))
            events = [self._graph.log[n] for n in evidence]
            more = {event.step for event in events if event.op == "set" and event.task == number}
            if more <= reached:
                return evidence
            reached |= more

    def _order(self) -> Iterator[Draft]:
        for number, task in self._open:
            main, name = task.state.main, self._names[number]
            for place, step in enumerate(main[: len(self._words.ordinals)]):
                others = partial(self._other_step, main, (step,))
                words = {"task": name, "ordinal": self._words.ordinals[place]}
                yield Draft("position", words, (step,), task.state.structure, (), others, number)
                if place:
                    words = {"task": name, "step": main[place - 1]}
                    others = partial(self._other_step, main, (step, main[place - 1]))
                    yield Draft("after", words, (step,), task.state.structure, (), others, number)

    def _other_step(self, steps: Sequence[str], but: Sequence[str]) -> list[str]:
        """Other steps of the plan, then of any."""
        return [s for s in (*self._shuffled(steps), *self._shuffled(list(self._values))) if s not in but]

    def _shuffled(self, names: Sequence[str]) -> list[str]:
        return self._rng.sample(names, len(names))

    def _step_count(self) -> Iterator[Draft]:
        for number, task in self._open:
            if len(task.state.structure) > 1:
                count, words = len(task.state.order), {"task": self._names[number]}
                others = partial(self._near, count)
                yield Draft("count", words, (str(count),), task.state.structure, (), others, number)

    def _sub_step(self) -> Iterator[Draft]:
        for number, task in self._open:
            for step, parent in task.state.parents.items():
                others = partial(self._other_step, task.state.order, (step, parent))
                words = {"task": self._names[number], "step": step}
                yield Draft("parent", words, (parent,), task.state.structure, (), others, number)

    # ------------------------------------------------------------------ plans

    def _membership(self) -> Iterator[Draft]:
        said: dict[str, set[tuple[int, str]]] = {}
        for event in self._graph.log:
            if event.value:
                said.setdefault(event.value, set()).add((event.task, event.step))
        for number, task in self._open:
            for step in task.state.order:
                cell = task.state.cell(step)
                if cell.holds and step in self._values and len(said[cell.value]) == 1:
                    words, others = {"value": cell.value}, partial(self._other_plans, number)
                    yield Draft("member", words, (self._names[number],), cell.support, (), others, number)

    def _other_plans(self, number: int) -> list[str]:
        """Names of the other plans, then of plans that there might be."""
        name = self._names[number]
        others = self._shuffled([self._names[n] for n in self._graph.tasks])
        made_up = self._shuffled(
            [kind.name.format(label=label) for kind in self._words.kinds for label in kind.labels]
        )
        return [other for other in (*others, *made_up) if other != name]

    def _total(self) -> Iterator[Draft]:
        for number, task in self._open:
            cells = [task.state.cell(step) for step in task.state.order if step in self._values]
            costs = [cell.cost for cell in cells if cell.holds]
            if len(costs) > 1 and all(costs):
                evidence = task.state.structure | self._support(task, task.state.order)
                total, words = sum(costs), {"task": self._names[number]}
                others = partial(self._near, total, 5)
                yield Draft("total", words, (str(total),), evidence, (), others, number)

    def _task_status(self) -> Iterator[Draft]:
        """One draft a status, and two at least, so that always saying the usual one gets nowhere."""
        found: dict[str, list[Draft]] = {}
        for number, task in self._graph.tasks.items():
            status, evidence = task.status, task.decided
            if status == "open":
                evidence = evidence | task.state.structure | self._support(task, task.state.order)
                if task.state.order and all(task.state.cell(step).holds for step in task.state.order):
                    status = "complete"
            others = partial(self._shuffled, [other for other in STATUSES if other != status])
            words = {"task": self._names[number]}
            found.setdefault(status, []).append(
                Draft("status", words, (status,), evidence, (), others, number)
            )
        for drafts in found.values() if len(found) > 1 else ():
            yield self._rng.choice(drafts)
