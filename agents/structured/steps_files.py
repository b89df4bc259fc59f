"""Steps of L2MAC: what to do to the files for an instruction, which to look at for a question, what to carry on."""

from memgym.agents.structured.steps_facts import (
    PACKAGE,
    DecisionInput,
    KeptFact,
    Said,
    decide_by_words,
    first_person_sentences,
)
from memgym.llm import Step, StepModel, load_prompt
from memgym.memory.lexical import stems

__all__ = [
    "ACT",
    "CARRY_ON",
    "CHOOSE_FILES",
    "FILE_LINES",
    "Act",
    "Carried",
    "Chosen",
    "Edit",
    "FileNote",
    "Line",
    "Progress",
    "Request",
    "Unit",
    "part_of",
]

FILE_LINES = 8  # of a file; what comes after goes into a further part of it
CARRIED = 10  # lines that a restart carries on, at most, by the rule


class FileNote(StepModel):
    """A file in the store, without what is in it."""

    path: str
    lines: int


class Line(StepModel):
    """A line of a file that was looked at."""

    path: str
    number: int
    text: str


class Unit(StepModel):
    """All that the control unit puts before whoever acts."""

    instruction: str
    said: Said
    files: tuple[FileNote, ...] = ()
    seen: tuple[Line, ...] = ()
    problem: str = ""


class Edit(StepModel):
    """Lines `first` to `last` of a file give way to `lines`; `last` is `first` - 1 where nothing gives way.

    Edits are made one after the other, each on the file as the one before has left it.
    """

    path: str
    first: int
    last: int
    lines: tuple[str, ...] = ()


class Act(StepModel):
    """Files to look at, or edits; neither completes the instruction."""

    view: tuple[str, ...] = ()
    edits: tuple[Edit, ...] = ()


class Request(StepModel):
    """A question, and the files there are."""

    question: str
    files: tuple[FileNote, ...]


class Chosen(StepModel):
    """Paths of the files to look at, in this order."""

    paths: tuple[str, ...]


class Progress(StepModel):
    """A question, and all lines in the window: those carried on so far, and those looked at since."""

    question: str
    lines: tuple[Line, ...]


class Carried(StepModel):
    """Which of the lines go on into the next window, by their places from 0, the most useful first."""

    places: tuple[int, ...]


def part_of(path: str) -> tuple[str, int]:
    """The name of a file and which part of it a path is.

    >>> part_of("Maya-2"), part_of("Maya")
    (('Maya', 2), ('Maya', 1))
    """
    name, dash, number = path.rpartition("-")
    return (name, int(number)) if dash and number.isascii() and number.isdecimal() else (path, 1)


def act_by_words(x: Unit) -> Act:
    """Look at the speaker's files first; then each fact becomes a line, changes one or takes one away.

    As `decide_by_words` would for memories. A file that is full, or was refused, goes on in a further part.
    """
    name = x.said.speaker or "document"
    mine = sorted(
        (file for file in x.files if part_of(file.path)[0] == name), key=lambda file: part_of(file.path)
    )
    facts = first_person_sentences(x.said).facts
    if not facts:
        return Act()
    if mine and not x.seen and not x.problem:
        return Act(view=tuple(file.path for file in mine))
    seen = [line for line in x.seen if part_of(line.path)[0] == name]
    changed: dict[int, Edit] = {}
    added: list[str] = []
    for fact in facts:
        memories = tuple(
            KeptFact(number=i, text=line.text) for i, line in enumerate(seen) if i not in changed
        )
        for made in decide_by_words(DecisionInput(fact=fact, memories=memories)).operations:
            if made.event == "ADD":
                added.append(made.text)
            elif made.event != "NOOP":
                line = seen[made.number]
                lines = (made.text,) if made.event == "UPDATE" else ()
                changed[made.number] = Edit(path=line.path, first=line.number, last=line.number, lines=lines)
    # from below, so that no edit moves the lines of a later one
    edits = sorted(changed.values(), key=lambda edit: (edit.path, -edit.first))
    path, length = (mine[-1].path, mine[-1].lines) if mine and not x.problem else (name, 0)
    if mine and x.problem:
        path = f"{name}-{part_of(mine[-1].path)[1] + 1}"
    length -= sum(edit.path == path and not edit.lines for edit in edits)
    for text in added:
        if length >= FILE_LINES:
            path, length = f"{name}-{part_of(path)[1] + 1}", 0
        edits.append(Edit(path=path, first=length + 1, last=length, lines=(text,)))
        length += 1
    return Act(edits=tuple(edits))


def named_first(x: Request) -> Chosen:
    """Files of those whom the question names, then the others, each newest part first."""
    newest = sorted(x.files, key=lambda file: -part_of(file.path)[1])
    named = [file.path for file in newest if part_of(file.path)[0].lower() in x.question.lower()]
    return Chosen(paths=tuple(dict.fromkeys([*named, *(file.path for file in newest)])))


def nearest_lines(x: Progress) -> Carried:
    """The lines that share most stems with the question, of equals the first; none that shares nothing."""
    asked = stems(x.question)
    shared = [len(asked & stems(f"{part_of(line.path)[0]} {line.text}")) for line in x.lines]
    best = sorted(range(len(shared)), key=lambda i: -shared[i])[:CARRIED]
    return Carried(places=tuple(i for i in best if shared[i]))


def _known_files(x: Unit, output: Act) -> str:
    known = {file.path for file in x.files}
    strange = [path for path in output.view if path not in known]
    return f"there is no file {strange[0]!r:.80}." if strange else ""


def _listed(x: Request, output: Chosen) -> str:
    known = {file.path for file in x.files}
    strange = [path for path in output.paths if path not in known]
    return f"there is no file {strange[0]!r:.80}." if strange else ""


def _in_window(x: Progress, output: Carried) -> str:
    strange = [place for place in output.places if not 0 <= place < len(x.lines)]
    return f"there is no line {strange[0]} in the window." if strange else ""


ACT = Step(
    "act",
    Unit,
    Act,
    load_prompt("act", PACKAGE),
    rule=act_by_words,
    fallback=lambda x: Act(),
    check=_known_files,
)
CHOOSE_FILES = Step(
    "choose_files",
    Request,
    Chosen,
    load_prompt("choose_files", PACKAGE),
    rule=named_first,
    fallback=named_first,
    check=_listed,
)
CARRY_ON = Step(
    "carry_on",
    Progress,
    Carried,
    load_prompt("carry_on", PACKAGE),
    rule=nearest_lines,
    fallback=nearest_lines,
    check=_in_window,
)
