"""Reads conversations of the task world by its templates turned round, and answers from the turns that it is given.

It shares the word lists with the world and nothing else: it has a fold of its own, over what the text says.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any

from memgym.stream import UNKNOWN, Item, Question, format_date
from memgym.worlds.task_revision.words import Words, listing, words_of

PLACE = re.compile(r"\\\{(\w+)\\\}")


class Templates:
    """The templates of one split, as regular expressions."""

    def __init__(self, words: Words) -> None:
        self.ordinals = words.ordinals
        names = [kind.name.format(label=label) for kind in words.kinds for label in kind.labels]
        steps = [s for kind in words.kinds for s in (*kind.values, *kind.numbers)]
        values = [v for kind in words.kinds for pool in kind.values.values() for v in pool]
        step, name = _either(steps), _either(names)
        self.patterns = {
            **dict.fromkeys(("task", "new", "into"), name),
            **dict.fromkeys(("step", "dep", "src", "other"), step),
            "steps": rf"{step}(?:(?:, | and ){step})*",
            "value": rf"(?:{_either(values)}|\d+)(?: \(\d+ {words.money}\))?",
            "k": r"\d+",
            "ordinal": _either(words.ordinals),
            "date": r"\d+ \w+ \d+",
        }
        self.say = self._compile(words.say)
        self.ask = self._compile(words.ask)

    def _compile(self, templates: Mapping[str, Sequence[str]]) -> list[tuple[str, re.Pattern[str]]]:
        return [(form, self._pattern(text)) for form, texts in templates.items() for text in texts]

    def _pattern(self, template: str) -> re.Pattern[str]:
        seen: set[str] = set()

        def group(match: re.Match[str]) -> str:
            name = match[1]
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return f"(?P<{name}>{self.patterns[name]})"

        return re.compile(PLACE.sub(group, re.escape(template)), re.IGNORECASE)

    def read(
        self, text: str, patterns: list[tuple[str, re.Pattern[str]]]
    ) -> list[tuple[str, dict[str, str]]]:
        """Every form that the text may have, with what stands in its places."""
        return [(form, m.groupdict()) for form, pattern in patterns if (m := pattern.fullmatch(text))]


@cache
def templates_of(split: str) -> Templates:
    return Templates(words_of(split))


@dataclass
class Plan:
    """What is known of one plan."""

    order: list[str] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    cells: dict[str, dict[str, Any]] = field(default_factory=dict)
    rules: list[tuple[str, str, str, int]] = field(default_factory=list)
    status: str = "open"
    history: list[tuple[str, Any]] = field(default_factory=list)  # (step set or "", content before)
    undone: Any = None

    def content(self) -> Any:
        return deepcopy((self.order, self.parents, self.cells))

    def restore(self, content: Any) -> None:
        self.order, self.parents, self.cells = deepcopy(content)

    def holds(self, step: str) -> bool:
        cell = self.cells.get(step)
        return bool(cell and cell["valid"])

    def value(self, step: str) -> str:
        return self.cells[step]["value"] if self.holds(step) else ""

    def main(self) -> list[str]:
        return [step for step in self.order if step not in self.parents]

    def dependents(self, step: str) -> list[tuple[str, str, str, int]]:
        found, reached = [], [step]
        for source in reached:
            for rule in self.rules:
                if rule[1] == source and rule[0] not in reached:
                    found.append(rule)
                    reached.append(rule[0])
        return found


class Reader:
    """Folds turns into plans; what it was not told, it does not know."""

    def __init__(self, split: str) -> None:
        self.words = words_of(split)
        self.templates = templates_of(split)
        self.plans: dict[str, Plan] = {}
        self.focus = ("", "")
        self.proposed: tuple[str, str, str] = ("", "", "")

    def plan(self, name: str) -> Plan:
        return self.plans.setdefault(name.lower(), Plan())

    def tell(self, item: Item) -> None:
        """Take in one turn; small talk says nothing."""
        found = self.templates.read(item.text, self.templates.say)
        assert len({form for form, _ in found}) <= 1, f"{item.text!r} can be read as {found}"
        if found:
            form, said = found[0]
            said = {key: value.lower() for key, value in said.items()}
            self._take(form, said)

    def _take(self, form: str, said: dict[str, str]) -> None:
        verb, _, how = form.partition("_")
        name = said.get("task") or self.focus[0]
        plan, step = self.plan(name), said.get("step", "")
        if verb in ("fill", "revise", "accept"):
            if how == "it":
                step = self.focus[1]
            elif how == "position":
                step = plan.main()[self._place(said["ordinal"])]
            value = said.get("value", "")
            if verb == "accept":
                name, step, value = self.proposed
                plan = self.plan(name)
            self._set(plan, step, value)
            self.focus = (name, step)
            return
        self.focus = (name, step)
        if verb == "propose":
            self.proposed = (name, step, said["value"])
        elif verb == "create":
            plan.order = _names(said["steps"])
        elif verb in ("again", "times", "plus"):
            plan.rules.append((said["dep"], said["src"], verb, int(said.get("k", 0))))
        elif verb == "undo":
            self._back(plan, int(said["k"]) if how == "many" else 1)
        elif verb == "before":
            steps = [at for at, (was_set, _) in enumerate(reversed(plan.history), 1) if was_set == step]
            self._back(plan, steps[0])
        elif verb == "redo":
            (plan.order, plan.parents, plan.cells), plan.history = plan.undone
        elif verb in ("cancel", "reopen"):
            plan.status, plan.history = "cancelled" if verb == "cancel" else "open", []
        elif verb in ("drop", "insert", "move", "parts"):
            plan.history.append(("", plan.content()))
            getattr(self, f"_{verb}")(plan, said)
        elif verb == "split":
            moved = _names(said["steps"])
            self._shift(
                plan, self.plan(said["new"]), [*moved, *(s for s, p in plan.parents.items() if p in moved)]
            )
        elif verb == "merge":
            self._shift(plan, self.plan(said["into"]), [*plan.order, *plan.cells])
            self.plan(said["into"]).rules += plan.rules
            plan.status = "merged"

    def _place(self, ordinal: str) -> int:
        return self.words.ordinals.index(ordinal)

    def _set(self, plan: Plan, step: str, text: str) -> None:
        plan.history.append((step, plan.content()))
        value, _, cost = text.partition(" (")
        plan.cells[step] = _cell(value, int(cost.split()[0]) if cost else 0, plan.value(step))
        for dependent, source, kind, k in plan.dependents(step):
            if kind == "again":
                if dependent in plan.cells:
                    plan.cells[dependent]["valid"] = False
            else:
                count = int(plan.cells[source]["value"])
                count = count * k if kind == "times" else count + k
                plan.cells[dependent] = _cell(str(count), 0, plan.value(dependent))

    def _back(self, plan: Plan, count: int) -> None:
        plan.undone = (plan.content(), list(plan.history))
        plan.restore(plan.history[-count][1])
        del plan.history[-count:]

    def _drop(self, plan: Plan, said: dict[str, str]) -> None:
        gone = [said["step"], *(s for s, p in plan.parents.items() if p == said["step"])]
        plan.order = [s for s in plan.order if s not in gone]
        for step in gone:
            plan.cells.pop(step, None)
            plan.parents.pop(step, None)

    def _insert(self, plan: Plan, said: dict[str, str]) -> None:
        at = plan.order.index(said["other"]) + 1 if said["other"] in plan.order else 0
        while at < len(plan.order) and plan.order[at] in plan.parents:
            at += 1
        plan.order.insert(at, said["step"])

    def _move(self, plan: Plan, said: dict[str, str]) -> None:
        block = [s for s in plan.order if said["step"] in (s, plan.parents.get(s))]
        rest = [s for s in plan.order if s not in block]
        at = rest.index(said["other"]) if said["other"] in rest else 0
        plan.order = rest[:at] + block + rest[at:]

    def _parts(self, plan: Plan, said: dict[str, str]) -> None:
        parts = _names(said["steps"])
        at = plan.order.index(said["step"]) + 1 if said["step"] in plan.order else 0
        plan.order[at:at] = parts
        plan.parents.update(dict.fromkeys(parts, said["step"]))

    def _shift(self, plan: Plan, into: Plan, steps: Sequence[str]) -> None:
        into.order += [s for s in plan.order if s in steps]
        plan.order = [s for s in plan.order if s not in steps]
        for step in steps:
            for kept, given in ((plan.cells, into.cells), (plan.parents, into.parents)):
                if step in kept:
                    given[step] = kept.pop(step)
        plan.history, into.history = [], []

    # ------------------------------------------------------------------ answers

    def answer(self, question: Question, before: Mapping[str, "Reader"]) -> str:
        """The answer to a question; `before` has a reader of what had been said by the end of each day."""
        ((form, said),) = self.templates.read(question.text, self.templates.ask)
        said = {key: value.lower() for key, value in said.items()}
        plan = self.plan(said.get("task", ""))
        given = getattr(self, f"_ask_{form}")(plan, said, before)
        return listing(given) if isinstance(given, list) else given

    def _ask_value(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return plan.value(said["step"]) if plan.status == "open" and plan.holds(said["step"]) else UNKNOWN

    def _ask_previous(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return plan.cells[said["step"]]["previous"]

    def _ask_open(self, plan: Plan, said: dict[str, str], before: Any) -> list[str]:
        return [s for s in plan.order if s not in plan.cells]

    def _ask_invalid(self, plan: Plan, said: dict[str, str], before: Any) -> list[str]:
        return [s for s, cell in plan.cells.items() if not cell["valid"]]

    def _ask_dependents(self, plan: Plan, said: dict[str, str], before: Any) -> list[str]:
        return [rule[0] for rule in plan.dependents(said["step"])]

    def _ask_changed(self, plan: Plan, said: dict[str, str], before: Mapping[str, "Reader"]) -> list[str]:
        then = before[said["date"]].plan(said["task"])

        def known(cell: Any) -> Any:
            return cell and (cell["value"], cell["valid"])

        steps = dict.fromkeys([*plan.cells, *then.cells])
        return [s for s in steps if known(plan.cells.get(s)) != known(then.cells.get(s))]

    def _ask_after(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return plan.main()[plan.main().index(said["step"]) + 1]

    def _ask_position(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return plan.main()[self._place(said["ordinal"])]

    def _ask_count(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return str(len(plan.order))

    def _ask_parent(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return plan.parents[said["step"]]

    def _ask_member(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        for name, each in self.plans.items():
            if each.status == "open" and any(each.value(s) == said["value"] for s in each.cells):
                return name
        return UNKNOWN

    def _ask_total(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        return str(sum(cell["cost"] for cell in plan.cells.values() if cell["valid"]))

    def _ask_status(self, plan: Plan, said: dict[str, str], before: Any) -> str:
        if plan.status != "open":
            return plan.status
        return "complete" if plan.order and all(plan.holds(step) for step in plan.order) else "open"


def read_answer(split: str, question: Question, items: Iterable[Item]) -> str:
    """What these turns alone answer; UNKNOWN where they do not make sense."""
    items = list(items)
    reader, before = Reader(split), {}
    try:
        for day in _days(items, question):
            before[format_date(day).lower()] = earlier = Reader(split)
            for item in items:
                if date.fromisoformat(item.time[:10]) <= day:
                    earlier.tell(item)
        for item in items:
            reader.tell(item)
        return reader.answer(question, before)
    except (KeyError, IndexError, ValueError, TypeError):
        return UNKNOWN


def _days(items: list[Item], question: Question) -> list[date]:
    if question.type != "changed-steps":
        return []
    today = date.fromisoformat(question.time[:10])
    return [today - timedelta(days=back) for back in (1, 2, 3)]


def _cell(value: str, cost: int, previous: str) -> dict[str, Any]:
    return {"value": value, "cost": cost, "valid": True, "previous": previous}


def _names(text: str) -> list[str]:
    return re.split(", | and ", text)


def _either(options: Iterable[str]) -> str:
    return "(?:" + "|".join(sorted(map(re.escape, options), key=len, reverse=True)) + ")"
