"""Task Memory Engine: trees of tasks with what they depend on and what they were (Ye 2025, arXiv 2505.19436)."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import fsum
from typing import Any

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger, Order
from memgym.agents.structured.steps_facts import CUES, Said
from memgym.agents.structured.steps_tasks import (
    CLASSIFY_INTENT,
    DECOMPOSE,
    INFER_EDGES,
    EdgesInput,
    Intent,
    IntentInput,
    TaskShown,
)
from memgym.agents.structured.steps_triples import (
    FORGOTTEN,
    KnownTriple,
    Requested,
    asks_to_forget,
    topic_words,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.errors import MemgymError
from memgym.llm import LLM
from memgym.memory.ops import MemoryOp
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["TaskCycle", "TaskMemoryPolicy", "tme"]

SHOWN = 200  # tasks that a step sees, those last changed
BEFORE = re.compile(r"\b(?:before|previous|previously|used to|last time)\b", re.IGNORECASE)
EVER = re.compile(r"\b(?:ever|did (?:i|we)|was it|have (?:i|we))\b", re.IGNORECASE)
NEAR = 0.8  # share of the best match from which a task may be what a question is about
HISTORY = 8  # values before the present one that a task keeps


class TaskCycle(MemgymError, ValueError):
    """A task would depend on itself."""


class TaskMemoryPolicy(MemoryPolicy):
    """Each task and step is an entry: its value, its parent, what it depends on, the values before.

    A new value goes to its step and marks what depends on it as stale, until that gets a value of its own. Undoing
    brings the values before back exactly. What is only asked or talked about changes nothing. A question is answered
    from the path from the root to the task that it is about and from what those depend on, in topological order, and
    never from the whole history; so what is read does not grow with tasks that have nothing to do with it.

    Outside of tasks, what a speaker states is a step of their own ("Maya": "job"), so that a new value replaces it.

    Args:
        llm: carries out `DECOMPOSE`, `CLASSIFY_INTENT`, `INFER_EDGES` and `FORGOTTEN`.
        active: tasks that a question may be about.
        revision: whether an update replaces; without, every value is a step of its own.
        flat: whether all tasks are read whatever the question is about: the control.
    """

    def __init__(self, llm: LLM, *, active: int = 3, revision: bool = True, flat: bool = False) -> None:
        check_integer("active", active, 1, 50)
        self.llm, self.active, self.revision, self.flat = llm, active, revision, flat
        self.ledger = Ledger()
        self._values: dict[int, str] = {}  # as the bank holds them
        self._clock = 0
        self._last = 0  # the step spoken of last
        self._suggested = ""  # a value for it

    # ------------------------------------------------------------------ writing

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """What the requests in a message do; the leaf that was changed longest ago goes where there is no room."""
        self.ledger.begin(view)
        self._values = {number: value for number, value in self._values.items() if number in self.ledger}
        if message.speaker and asks_to_forget(message.text):  # a document asks for nothing
            self._forget(message)
        else:
            said = Said(text=message.text, speaker=message.speaker, time=message.time)
            for request in self.llm.run(DECOMPOSE, said).output.requests:
                x = IntentInput(
                    request=request,
                    speaker=message.speaker,
                    tasks=self._shown(),
                    active=self._last if self._last in self.ledger else 0,
                    suggested=self._suggested,
                )
                self._carry_out(self.llm.run(CLASSIFY_INTENT, x).output, message)
                edges = EdgesInput(request=request, tasks=x.tasks)
                for number, on in self.llm.run(INFER_EDGES, edges).output.pairs if x.tasks else ():
                    if number in self.ledger and on in self.ledger and not self._reaches(on, number):
                        self.depend(number, on)
        self._values = {number: value for number, value in self._values.items() if number in self.ledger}
        return self.ledger.take()

    def _carry_out(self, intent: Intent, message: Message) -> None:
        number = intent.task if intent.task in self.ledger else 0
        kind = intent.kind
        if kind in ("propose", "accept", "decline", "new", "update", "rollback", "cancel"):
            self._suggested = intent.value if kind == "propose" else ""
        if kind == "new" and not number:
            self._insert(intent, message)
        elif kind in ("new", "update", "accept") and number and intent.value:
            if self.revision or not self._values[number]:
                self._set(number, intent.value, message)
            else:
                self._add(self._title(number), self._parent(number), intent.value, message)
        elif kind == "rollback" and number:
            self._undo(number, intent.count)
        elif kind == "cancel" and number:
            self._set(number, "(cancelled)", message)
        if number and kind not in ("none", "decline"):
            self._last = number

    def _insert(self, intent: Intent, message: Message) -> None:
        parent: int | None = intent.parent if intent.parent in self.ledger else 0
        if intent.under:
            parent = self._add(intent.under, 0, "", message, stated=True)
        made = self._add(intent.title, parent or 0, intent.value, message) if intent.title else parent
        for title in intent.steps:
            if made is not None and made in self.ledger:
                self._add(title, made, "", message)
        self._last = made or self._last

    def _add(self, title: str, parent: int, value: str, message: Message, stated: bool = False) -> int | None:
        self._clock += 1
        attrs: dict[str, Any] = {"title": title, "changed": self._clock}
        if parent:
            attrs["parent"] = parent
        if stated:
            attrs["stated"] = True
        if message.time:
            attrs["time"] = message.time
        path = (*self._path(parent), title) if parent else (title,)
        number = self.ledger.add(_told(path, value), attrs, evict=self._order())
        if number is not None:
            self._values[number] = value
        return number

    def _set(self, number: int, value: str, message: Message) -> None:
        """Another value: the present one joins the history, and what depends on it is stale."""
        attrs = self.ledger.attrs(number)
        self._clock += 1
        before = [attrs["changed"], self._values[number], attrs.get("time", "")]
        history = [*attrs.get("history", []), before][-HISTORY:]
        changed: dict[str, Any] = {"changed": self._clock, "history": history, "stale": False}
        if message.time:
            changed["time"] = message.time
        if self._update(number, value, changed):
            self._mark_stale(number)

    def _undo(self, number: int, count: int) -> None:
        """Take back the last `count` changes of a task's tree; with 0, all since its step last had another value."""
        tree = [number, *self._below(self._root(number))]
        since = self.ledger.attrs(number)["changed"]
        for _ in range(count or HISTORY * len(tree)):
            changed = [n for n in tree if n in self.ledger and self.ledger.attrs(n).get("history")]
            last = max(changed, key=lambda n: self.ledger.attrs(n)["changed"], default=None)
            if last is None or (not count and self.ledger.attrs(last)["changed"] < since):
                return
            history: list[Any] = self.ledger.attrs(last)["history"]
            before, (stamp, value, time) = history[:-1], history[-1]
            attrs = {"changed": stamp, "history": before, "stale": False}
            self._update(last, value, attrs | ({"time": time} if time else {}))
            self._mark_stale(last)

    def _mark_stale(self, number: int) -> None:
        """What depends on a task has to be chosen again."""
        for other in self._dependents(number, self._needed_by()):
            if other in self.ledger and self._values[other]:  # it may have gone to make room
                self._update(other, self._values[other], {"stale": True})

    def depend(self, number: int, on: int) -> None:
        """Draw an edge.

        Raises:
            TaskCycle: `on` depends on the task already.
        """
        if self._reaches(on, number):
            raise TaskCycle(f"task {number} cannot depend on task {on}, which depends on it.")
        depends = self.ledger.attrs(number).get("depends", [])
        if on not in depends:
            self._update(number, self._values[number], {"depends": [*depends, on]})

    def _update(self, number: int, value: str, attrs: dict[str, Any]) -> bool:
        stale = attrs.get("stale", self.ledger.attrs(number).get("stale", False))
        text = _told(self._path(number), "(to be chosen again)" if stale else value)
        if "stale" in attrs and not attrs["stale"] and "stale" not in self.ledger.attrs(number):
            attrs = {name: part for name, part in attrs.items() if name != "stale"}
        done = self.ledger.update(number, text, attrs, evict=self._order())
        if done:
            self._values[number] = value
        return done

    def _forget(self, message: Message) -> None:
        known = tuple(
            KnownTriple(
                number=n, subject=self._title(line[0]), relation=self._title(n), object=self._values[n]
            )
            for n, line in self._lines().items()
            if self._values[n]
        )
        x = Requested(text=message.text, speaker=message.speaker, known=known)
        for number in self.llm.run(FORGOTTEN, x).output.numbers:
            self.ledger.delete(number)

    def _order(self) -> Order:
        """Leaves first, those changed longest ago first."""
        inner = {self.ledger.attrs(number).get("parent") for number in self.ledger}
        return lambda number: (number in inner, self.ledger.attrs(number)["changed"])

    # ------------------------------------------------------------------ the graph

    def _shown(self) -> tuple[TaskShown, ...]:
        newest = sorted(self.ledger, key=lambda number: -self.ledger.attrs(number)["changed"])[:SHOWN]
        lines = self._lines()
        return tuple(
            TaskShown(
                number=n,
                path=tuple(map(self._title, lines[n])),
                value=self._values[n],
                stated="stated" in self.ledger.attrs(lines[n][0]),
            )
            for n in sorted(newest)
        )

    def _title(self, number: int) -> str:
        return self.ledger.attrs(number)["title"]

    def _parent(self, number: int) -> int:
        parent = self.ledger.attrs(number).get("parent", 0)
        return parent if parent in self.ledger else 0

    def _line(self, number: int) -> list[int]:
        """From the root to a task."""
        line = [number]
        while parent := self._parent(line[0]):
            line.insert(0, parent)
        return line

    def _lines(self) -> dict[int, tuple[int, ...]]:
        """Those of all tasks."""
        lines: dict[int, tuple[int, ...]] = {}
        for number in self.ledger:  # parents come before their steps
            parent = self._parent(number)
            lines[number] = (*lines[parent], number) if parent else (number,)
        return lines

    def _path(self, number: int) -> tuple[str, ...]:
        return tuple(map(self._title, self._line(number)))

    def _root(self, number: int) -> int:
        return self._line(number)[0]

    def _below(self, number: int) -> list[int]:
        return [other for other, line in self._lines().items() if number in line[:-1]]

    def _depends(self, number: int) -> list[int]:
        return [on for on in self.ledger.attrs(number).get("depends", []) if on in self.ledger]

    def _reaches(self, number: int, other: int) -> bool:
        return number == other or any(self._reaches(on, other) for on in self._depends(number))

    def _needed_by(self) -> dict[int, list[int]]:
        """What depends on each task directly."""
        found: dict[int, list[int]] = {}
        for number in self.ledger:
            for on in self._depends(number):
                found.setdefault(on, []).append(number)
        return found

    def _dependents(self, number: int, needed_by: Mapping[int, Sequence[int]]) -> list[int]:
        """What depends on a task, directly or not, oldest first."""
        reached, ring = {number}, [number]
        while ring:
            ring = [other for one in ring for other in needed_by.get(one, ()) if other not in reached]
            reached |= {*ring}
        return sorted(reached - {number})

    def _closure(self, targets: Iterable[int]) -> list[int]:
        """Paths to the targets and what all on them depends on, parents and dependencies first."""
        order: dict[int, None] = {}

        def visit(number: int) -> None:
            if number in order:
                return
            if parent := self._parent(number):
                visit(parent)
            for on in self._depends(number):
                visit(on)
            order[number] = None

        for target in targets:
            visit(target)
        return [*order]

    # ------------------------------------------------------------------ reading

    def read(self, question: Message, search: Search) -> ReadResult:
        """The path from the root to what a question is about, with dependencies; of a whole task, all its steps."""
        if self.flat:
            return ReadResult(self.ledger.fetch([*self.ledger][-100:], search))
        targets = self._about(question.text)
        for target in [*targets]:
            if not self._parent(target):
                targets += self._below(target)
        found = self.ledger.fetch(self._closure(targets)[:100], search)
        steps: dict[int, list[int]] = {}
        for number in self.ledger:
            steps.setdefault(self._parent(number), []).append(number)
        needed_by = self._needed_by()
        return ReadResult([self._with_context(hit, question.text, steps, needed_by) for hit in found])

    def _with_context(
        self,
        hit: Shown,
        question: str,
        steps: Mapping[int, Sequence[int]],
        needed_by: Mapping[int, Sequence[int]],
    ) -> Shown:
        """An entry with the titles of its steps, of what it depends on and of what depends on it.

        Where the value before is asked for, that one stands in place of the present one; all of them where any is.
        """
        number = int(hit["id"][1:])
        attrs, text = self.ledger.attrs(number), hit["text"]
        history = [value for _, value, _ in attrs.get("history", []) if value]
        if history and BEFORE.search(question):
            text = _told(self._path(number), history[-1])
        parts = []
        if "stated" not in self.ledger.attrs(self._root(number)):
            about = (
                ("steps: ", steps.get(number, ())),
                ("depends on ", self._depends(number)),
                ("affects ", self._dependents(number, needed_by)),
            )
            parts = [word + ", ".join(map(self._title, numbers)) for word, numbers in about if numbers]
        if history and EVER.search(question):
            parts.append(f"before: {', '.join(history)}")
        return {**hit, "text": f"{text} ({'; '.join(parts)})" if parts else text}

    def _about(self, question: str) -> list[int]:
        """The tasks that share most with a question, rare words counting more; of equals the newest.

        Where it names a task of its own, only that one and its steps.
        """
        asked = topic_words(question) - CUES
        lines = self._lines()
        named = {n for n, line in lines.items() if len(line) == 1 and topic_words(self._title(n)) <= asked}
        held = {
            n: topic_words(" ".join([*map(self._title, line), self._values[n]])) & asked
            for n, line in lines.items()
            if not named or line[0] in named
        }
        often: dict[str, int] = {}
        for words in held.values():
            for word in words:
                often[word] = often.get(word, 0) + 1
        scores = {n: round(fsum(1 / often[word] for word in words), 5) for n, words in held.items() if words}
        newest = sorted(scores, key=lambda n: (-scores[n], -self.ledger.attrs(n)["changed"]))
        best = max(scores.values(), default=0.0)
        return [number for number in newest if scores[number] > NEAR * best][: self.active]

    def nbytes(self) -> int:
        """Its ledger, the present values, and what was spoken of last."""
        values = sum(8 + len(value.encode()) for value in self._values.values())
        return self.ledger.nbytes() + values + 16 + len(self._suggested.encode())


def _told(path: Sequence[str], value: str) -> str:
    """An entry's text: "Kyoto trip: hotel Astoria", or the sentence itself where the value is one."""
    if value.endswith((".", "!", "?")):
        return f"{path[0]}: {value}"
    steps = f": {' > '.join(path[1:])}" if len(path) > 1 else ""
    return f"{path[0]}{steps} {value}".rstrip()


def tme(llm: str = "rules", revision: bool = True) -> PolicyAgent:
    """The Task Memory Engine: trees of tasks with dependencies and history, read along the path asked about.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        revision: see `TaskMemoryPolicy`.
    """
    return system(
        "tme",
        lambda backend: TaskMemoryPolicy(backend, revision=revision),
        llm=llm,
        steps=(DECOMPOSE, CLASSIFY_INTENT, INFER_EDGES, FORGOTTEN),
        description="Trees of tasks with dependencies and history; reads the path to the task asked about.",
        url="https://arxiv.org/abs/2505.19436",
        deviations="A shared step has one parent and is a dependency of the others. Up to three tasks may be "
        "what a question is about, found by words. What a speaker states outside of tasks is a step too. The "
        "leaf changed longest ago goes where the budget is full; the paper keeps all.",
        revision=revision,
    )
