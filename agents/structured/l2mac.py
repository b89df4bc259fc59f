"""L2MAC: a control unit with a bounded window, over instructions and a store of files (Holt et al. 2024, ICLR).

arXiv 2310.02003. A stored-program computer whose processor is a language model: it reads one instruction at a time,
reads and writes files by precise operations, and is started anew with a summary where its window is full. Made for
long programs there; here the instructions are to keep what is said and to answer from it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from memgym.agents.policy_agent import PolicyAgent
from memgym.agents.structured.ledger import Ledger
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.steps_files import (
    ACT,
    CARRY_ON,
    CHOOSE_FILES,
    FILE_LINES,
    Act,
    Edit,
    FileNote,
    Line,
    Progress,
    Request,
    Unit,
    part_of,
)
from memgym.agents.structured.system import system
from memgym.core.arguments import check_integer
from memgym.llm import LLM
from memgym.memory.ops import MemoryOp, dump_attrs
from memgym.memory.policy import MemoryPolicy, MemoryView, Message, ReadResult, Search, Shown

__all__ = ["Checker", "L2MACPolicy", "l2mac", "short_enough"]

KEEP = "Keep what the message tells about its speaker in the files, up to date."
RETRIES = 2  # of edits that were refused
ROUNDS = 2 + RETRIES  # of an instruction: a look, edits, and repairs
LINE_CHARS = 400
OPEN = 4  # files

Checker = Callable[[str, Sequence[str]], str]
"""What is wrong with a file of this path and these lines; ``""`` for nothing. The evaluator's tools are such."""


def short_enough(path: str, lines: Sequence[str]) -> str:
    """A file has at most `FILE_LINES` lines, each short and one line."""
    if len(lines) > FILE_LINES:
        return f"{path} would have {len(lines)} lines, and a file has at most {FILE_LINES}."
    long = [line for line in lines if not line.strip() or len(line) > LINE_CHARS or "\n" in line]
    return f"{path}: a line has 1 to {LINE_CHARS} characters and no break." if long else ""


class L2MACPolicy(MemoryPolicy):
    """Files of lines, one entry each, edited and looked at by a control unit whose window never overflows.

    Where a question needs more lines than the window holds, they are looked at a window at a time; what may be needed
    is carried on into the next.

    Args:
        llm: carries out `ACT`, `CHOOSE_FILES` and `CARRY_ON`.
        window: words of one context, with all that the control unit puts into it.
        checkers: evaluate a file before it is written; what they say is fed back.
        files: whether files can be looked at for a question.
        summary: whether anything is carried on where the window is full.

    Attributes:
        largest: words of the largest context so far.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        window: int = 800,
        checkers: Sequence[Checker] = (short_enough,),
        files: bool = True,
        summary: bool = True,
    ) -> None:
        check_integer("window", window, 100, 1 << 20)
        self.llm, self.window, self.checkers, self.files, self.summary = llm, window, checkers, files, summary
        self.ledger = Ledger()
        self.largest = 0
        self._open: dict[int, str] = {}  # copies of the files that were written last, in that order

    # ------------------------------------------------------------------ the file store

    def _notes(self) -> dict[str, int]:
        """Numbers of the files by path, oldest first."""
        return {self.ledger.attrs(number)["path"]: number for number in self.ledger}

    def _listed(self) -> tuple[FileNote, ...]:
        """The newest files, as many as a quarter of the window can name."""
        held = [self.ledger.attrs(number) for number in self.ledger]
        return tuple(FileNote(path=one["path"], lines=len(one["times"])) for one in held[-self.window // 8 :])

    def view(self, path: str) -> list[Line]:
        """The lines of a file that is open, or in view, while a message is written; none of another."""
        text = self._text(self._notes().get(path, 0))
        return _lines(path, text) if text is not None else []

    def _text(self, number: int) -> str | None:
        entry = self.ledger.in_view.get(number)
        return entry["text"] if entry else self._open.get(number)

    def edit(self, edits: Sequence[Edit], time: str) -> str:
        """Plan edits, one after the other, all or none; why not, where lines are not there or a checker objects."""
        notes, new = self._notes(), dict[str, tuple[list[str], list[str]]]()
        for one in edits:
            number = notes.get(one.path)
            if number is not None and self._text(number) is None:
                return f"{one.path} is neither open nor in view: go on in a further part."
            if one.path not in new:
                times = self.ledger.attrs(number)["times"] if number is not None else []
                new[one.path] = [line.text for line in self.view(one.path)], [*times]
            lines, times = new[one.path]
            if not (1 <= one.first <= len(lines) + 1 and one.first - 1 <= one.last <= len(lines)):
                return f"{one.path} has {len(lines)} lines, and no lines {one.first} to {one.last}."
            lines[one.first - 1 : one.last] = one.lines
            times[one.first - 1 : one.last] = [time] * len(one.lines)
        problems = (check(path, lines) for path, (lines, _) in new.items() for check in self.checkers)
        if problem := next(filter(None, problems), ""):
            return problem
        for path, (lines, times) in new.items():
            self._write(path, lines, times)
        return ""

    def _write(self, path: str, lines: Sequence[str], times: Sequence[str]) -> None:
        """ADD or UPDATE the file; one without lines goes, and so does the oldest where there is no room."""
        number = self._notes().get(path)
        text, attrs = "\n".join([path, *lines]), {"kind": "file", "path": path, "times": list(times)}
        if not lines:
            if number is not None:
                self.ledger.delete(number)
        elif number is None:
            number = self.ledger.add(text, attrs, evict=self._order)
        elif not self.ledger.update(number, text, attrs, evict=self._order):
            return
        if number is not None:
            self._open.pop(number, None)
            self._open[number] = text
        kept = [number for number in self._open if number in self.ledger][-OPEN:]
        self._open = {number: self._open[number] for number in kept}

    def _order(self, number: int) -> Any:
        return max(self.ledger.attrs(number)["times"], default=""), number

    # ------------------------------------------------------------------ the control unit

    def write(self, message: Message, view: MemoryView) -> list[MemoryOp]:
        """Carry out the instruction to keep what is said: look, edit, and edit again where that was refused."""
        self.ledger.begin(view)
        self._open = {number: text for number, text in self._open.items() if number in self.ledger}
        said = Said(text=message.text, speaker=message.speaker, time=message.time)
        seen: tuple[Line, ...] = ()
        problem = ""
        for _ in range(ROUNDS):
            files = self._listed()
            room = (
                self.window - _words(KEEP, message.text, problem, *(file.path for file in files)) - len(files)
            )
            seen = _newest(seen, room)
            x = Unit(instruction=KEEP, said=said, files=files, seen=seen, problem=problem)
            self._count(KEEP, message.text, problem, *(f"{file.path} 1" for file in files), *_texts(seen))
            act: Act = self.llm.run(ACT, x).output
            if act.edits:
                problem = self.edit(act.edits, message.time)
                if not problem:
                    break
            elif act.view and not seen:
                seen = tuple(line for path in act.view for line in self.view(path))
                problem = "" if seen else "None of these files is open or in view: go on in a further part."
            else:
                break
        return self.ledger.take()

    def read(self, question: Message, search: Search) -> ReadResult:
        """Look at files until all that may help have been seen, a window at a time."""
        notes = self._notes() if self.files else {}
        files = tuple(
            FileNote(path=path, lines=len(self.ledger.attrs(number)["times"]))
            for path, number in notes.items()
        )
        if not files:
            return ReadResult([])
        self._count(question.text, *(f"{file.path} 1" for file in files[-self.window // 8 :]))
        x = Request(question=question.text, files=files[-self.window // 8 :])
        chosen = self.llm.run(CHOOSE_FILES, x).output.paths
        found = self.ledger.fetch([notes[path] for path in chosen], search)
        times: dict[tuple[str, int], str] = {}
        waiting: list[Line] = []
        for hit in found:
            held = self.ledger.attrs(int(hit["id"][1:]))
            lines = _lines(held["path"], hit["text"])
            times |= {
                (line.path, line.number): time for line, time in zip(lines, held["times"], strict=False)
            }
            waiting += lines
        kept = self._through_windows(question.text, waiting)
        return ReadResult([_as_hit(line, times.get((line.path, line.number), ""), notes) for line in kept])

    def _through_windows(self, question: str, waiting: list[Line]) -> list[Line]:
        """What is left of the lines after as many windows as they need."""
        carried: list[Line] = []
        while waiting:
            room = self.window - _words(question, *_texts(carried))
            taken = 0
            while taken < len(waiting) and (size := _words(*_texts(waiting[taken : taken + 1]))) <= room:
                room, taken = room - size, taken + 1
            if not taken:
                carried, taken = carried[: len(carried) // 2], 0 if carried else 1  # half of it makes room
                continue
            window, waiting = [*carried, *waiting[:taken]], waiting[taken:]
            self._count(question, *_texts(window))
            x = Progress(question=question, lines=tuple(window))
            places = dict.fromkeys(self.llm.run(CARRY_ON, x).output.places)
            carried = [window[place] for place in places] if self.summary or not waiting else []
        return carried

    def _count(self, *texts: str) -> None:
        self.largest = max(self.largest, _words(*texts))

    def nbytes(self) -> int:
        """Its ledger, and the open files."""
        return self.ledger.nbytes() + 8 + sum(8 + len(text.encode()) for text in self._open.values())


def _lines(path: str, text: str) -> list[Line]:
    return [Line(path=path, number=i, text=line) for i, line in enumerate(text.split("\n")) if i]


def _texts(lines: Sequence[Line]) -> list[str]:
    return [f"{line.path} {line.number} {line.text}" for line in lines]


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def _newest(lines: Sequence[Line], room: int) -> tuple[Line, ...]:
    """The last lines that fit."""
    kept: list[Line] = []
    for line in reversed(lines):
        room -= _words(*_texts([line]))
        if room < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


def _as_hit(line: Line, time: str, notes: dict[str, int]) -> Shown:
    text = f"{part_of(line.path)[0]}: {line.text}"
    return {"id": f"m{notes[line.path]}", "text": text, "attrs": dump_attrs({"time": time}), "score": 0.0}


def l2mac(llm: str = "rules", window: int = 800, files: bool = True, summary: bool = True) -> PolicyAgent:
    """L2MAC: files of lines, edited and looked at by a control unit with a bounded window.

    Args:
        llm: who carries out its steps, as `memgym.llm.make_llm` names it.
        window: see `L2MACPolicy`.
        files: see `L2MACPolicy`.
        summary: see `L2MACPolicy`.
    """
    return system(
        "l2mac",
        lambda backend: L2MACPolicy(backend, window=window, files=files, summary=summary),
        llm=llm,
        steps=(ACT, CHOOSE_FILES, CARRY_ON),
        description="Keeps files of lines, edited and looked at by a control unit with a bounded window.",
        url="https://arxiv.org/abs/2310.02003",
        deviations="Two fixed instructions, to keep and to answer, instead of a program that is made for a task. The "
        "evaluator checks the form of files; nothing is run. Lines are carried on as they are, where the paper "
        "writes a summary of two sentences. No temperature is raised. A file that is neither in view nor among the "
        "last written is not edited but goes on in a further part. The file written longest ago goes where the "
        "budget is full.",
        window=window,
        files=files,
        summary=summary,
    )
