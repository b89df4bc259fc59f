"""Steps of the Task Memory Engine: what an utterance asks for, what that does to the tasks, what depends on what."""

import re
from typing import Literal

from memgym.agents.structured.steps_facts import PACKAGE, SENTENCE, Said
from memgym.agents.structured.steps_triples import relation_key, statements
from memgym.llm import Step, StepModel, load_prompt

__all__ = [
    "CLASSIFY_INTENT",
    "DECOMPOSE",
    "INFER_EDGES",
    "Edges",
    "EdgesInput",
    "Intent",
    "IntentInput",
    "Requests",
    "TaskShown",
]


class Requests(StepModel):
    """Requests, in order."""

    requests: tuple[str, ...]


class TaskShown(StepModel):
    """A task or step by its number, with the titles from its root to itself; `stated`: a fact outside of tasks."""

    number: int
    path: tuple[str, ...]
    value: str = ""
    stated: bool = False


class IntentInput(StepModel):
    """A request, who makes it, the tasks there are, the step spoken of last (0: none) and a suggestion for it."""

    request: str
    speaker: str = ""
    tasks: tuple[TaskShown, ...] = ()
    active: int = 0
    suggested: str = ""


class Intent(StepModel):
    """What a request does; see the prompt."""

    kind: Literal["new", "update", "check", "rollback", "cancel", "propose", "accept", "decline", "none"]
    task: int = 0
    parent: int = 0
    title: str = ""
    value: str = ""
    steps: tuple[str, ...] = ()
    under: str = ""
    count: int = 0


class EdgesInput(StepModel):
    """A request, and the tasks there are."""

    request: str
    tasks: tuple[TaskShown, ...] = ()


class Edges(StepModel):
    """Pairs of numbers: the first depends on the second."""

    pairs: tuple[tuple[int, int], ...]


# ---------------------------------------------------------------------- the rules

ROLLBACK = re.compile(
    r"\b(?:undo|roll(?:ed)? ?back|revert|take (?:\w+ ){0,8}?back|(?:go|put|went) (?:\w+ ){0,6}?back|restore)\b",
    re.I,
)
CANCEL = re.compile(r"\b(?:cancel|drop|remove|skip|call off|leave out|do without|no longer need)\b", re.I)
PROPOSE = re.compile(r"\b(?:suggest|propose|recommend|how about|what about|shall (?:we|i)|maybe)\b", re.I)
ACCEPT = re.compile(
    r"^(?:yes|yeah|yep|sure|okay|ok|good idea|sounds good|perfect|great|agreed|fine|do that)\b", re.I
)
DECLINE = re.compile(r"^(?:no|nope|not that|rather not|better not|never mind)\b", re.I)
TALK = re.compile(r"\b(?:would|might|could have|almost|considered|thought about|thinking of|wonder)\b", re.I)
BEGIN = re.compile(
    r"\b(?:new (?:plan|task|project)\W+|(?:plan|organi[sz]e|arrange|prepare|start|begin|set up|book) )"
    r"(?P<title>(?:the|a|an|our|my) [^.,;:!?]+)",
    re.I,
)
STEPS = re.compile(
    r"(?:(?:sub-?)?steps? (?:are|is)|sub-?steps?:|\bneeds?|\bconsists? of|\bincludes?|\binvolves?|\bdown into|\binto|"
    r"\badd (?:\w+ )*?step[^:]*:)\s+(?P<steps>[^.!?]+)",
    re.I,
)
DEPENDS = re.compile(r"\bdepends? on\b|\bbased on\b|\btimes the\b|\bmore than the\b", re.I)
IF_CHANGES = re.compile(r"\b(?:if|when|whenever)\b.*\bchanges?\b", re.I)
BREAKS_DOWN = re.compile(r"\bdown into\b|\bsub-?steps?\b", re.I)
CONTINUES = re.compile(r"(?:and |then |also )*(?:it|its|we|this|there|add)\b", re.I)
PRONOUN = re.compile(
    r"\b(?:make|change|set|switch|move|turn) (?:it|that|this|one)\b|\bfor (?:it|that)\b", re.I
)
ARTICLE = re.compile(r"^(?:the|a|an|our|my|some)\s+", re.I)
AFTER = re.compile(r",? (?:as well|too|also|right|directly|just|immediately|before|after)\b.*$", re.I)
AROUND = frozenset(
    """a about actually again also and as at be being book change changed choice choose for from give go had
    has have hmm how i in instead is it let lets make may maybe mind move my no not now of oh ok okay on our
    pick plan please propose put rather same set should so sorry step suggest switch take that the then there
    to update us use wait want we well will with yes you""".split()
)
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
PLACE = re.compile(rf"\b({'|'.join(ORDINALS)}|last) (?:main )?step\b", re.I)
NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}


def sentences(x: Said) -> Requests:
    """Sentence by sentence; a short one stays with the one before it that names a task."""
    return Requests(requests=tuple(part for part in SENTENCE.split(x.text.strip()) if part))


def by_cues(x: IntentInput) -> Intent:
    """By cue words (undo, drop, suggest, yes, plan, needs) and the titles that a request names.

    What is left of a request that names a step, without the words around it, is the value.
    """
    text = x.request.strip()
    named = _named(text, x.tasks, x.active)
    root = next((task for task, _ in named if len(task.path) == 1), None)
    step = next((task for task, _ in named if len(task.path) > 1), None)
    if x.suggested and ACCEPT.search(text):
        return Intent(kind="accept", task=x.active, value=x.suggested)
    if x.suggested and DECLINE.search(text):
        return Intent(kind="decline", task=x.active)
    begun = BEGIN.search(text)
    if begun is not None and _title(begun["title"]).lower() not in {t.path[-1].lower() for t in x.tasks}:
        rest = text[begun.end() :]
        return Intent(kind="new", title=_title(begun["title"]), steps=_titles(rest) or _listed(rest))
    current = _task(x.tasks, x.active)
    if current is not None and not current.stated and CONTINUES.match(text) and (listed := _listed(text)):
        top = next(task for task in x.tasks if task.path == current.path[:1])
        return Intent(kind="new", parent=top.number, steps=listed)
    if ROLLBACK.search(text):
        target = step or root or current
        whole = step is None or re.search(r"\bbefore\b", text) is None
        return Intent(
            kind="rollback", task=target.number if target else 0, count=_count(text) if whole else 0
        )
    about = step or root
    if about is not None and (listed := _listed(text)) and not IF_CHANGES.search(text):
        parent = about if root is None or BREAKS_DOWN.search(text) else root
        return Intent(kind="new", parent=parent.number, steps=listed)
    if about is not None and CANCEL.search(text):
        return Intent(kind="cancel", task=about.number)
    several = len({task.number for task, _ in named if len(task.path) > 1}) > 1
    target = step or (current if PRONOUN.search(text) and root is None else None)
    if target is not None and not target.stated and not several:
        value = _value(text, _first_of_each(named))
        if value and PROPOSE.search(text):
            return Intent(kind="propose", task=target.number, value=value)
        if text.endswith("?") or TALK.search(text):
            return Intent(kind="check", task=target.number)
        if value and len(target.path) > 1:
            return Intent(kind="update" if target.value else "new", task=target.number, value=value)
    if text.endswith("?") and named:
        return Intent(kind="check", task=named[0][0].number)
    if named or not (told := statements(Said(text=text, speaker=x.speaker)).triples):
        return Intent(kind="none")
    fact = told[-1]
    title = fact.relation if fact.single else f"{fact.relation} {fact.object}"
    stated_before = [task for task in x.tasks if task.stated and task.path[0] == fact.subject]
    owner = next((task for task in stated_before if len(task.path) == 1), None)
    key = relation_key(title)
    for task in stated_before:
        if len(task.path) > 1 and relation_key(task.path[-1]) == key:
            return Intent(kind="update", task=task.number, value=fact.fact)
    parent, under = (owner.number, "") if owner else (0, fact.subject)
    return Intent(kind="new", parent=parent, under=under, title=title, value=fact.fact)


def stated(x: EdgesInput) -> Edges:
    """Of "A depends on B", "A is 3 times the B": the first on the second. Of "if B changes, A": the reverse."""
    named = [task.number for task, _ in _named(x.request, x.tasks, 0) if len(task.path) > 1]
    if len(named) < 2 or named[0] == named[1]:
        return Edges(pairs=())
    if DEPENDS.search(x.request):
        return Edges(pairs=((named[0], named[1]),))
    if IF_CHANGES.search(x.request):
        return Edges(pairs=((named[1], named[0]),))
    return Edges(pairs=())


Span = tuple[int, int]


def _named(text: str, tasks: tuple[TaskShown, ...], active: int) -> list[tuple[TaskShown, Span]]:
    """Tasks whose titles stand in a text, in its order; of equal titles that of the task named, or the active."""
    tasks = tuple(task for task in tasks if not task.stated)
    lowered = text.lower()
    spans: dict[str, list[Span]] = {}
    for title in {task.path[-1].lower() for task in tasks}:
        spans[title] = [match.span() for match in re.finditer(rf"\b{re.escape(title)}\b", lowered)]
    roots = [task for task in tasks if len(task.path) == 1 and spans[task.path[0].lower()]]
    current = _task(tasks, active)
    wanted = roots[-1].path[0] if roots else current.path[0] if current else ""
    found: dict[Span, TaskShown] = {}
    for task in tasks:
        if roots and task.path[0] != wanted:
            continue
        for span in spans[task.path[-1].lower()]:
            if span not in found or task.path[0] == wanted:
                found[span] = task
    if (place := PLACE.search(text)) is not None and wanted:
        children = [task for task in tasks if len(task.path) == 2 and task.path[0] == wanted]
        nth = len(children) - 1 if place[1].lower() == "last" else ORDINALS.index(place[1].lower())
        if 0 <= nth < len(children):
            found[place.span()] = children[nth]
    longest = [s for s in found if not any(o[0] <= s[0] and s[1] <= o[1] and o != s for o in found)]
    return [(found[span], span) for span in sorted(longest)]


def _first_of_each(named: list[tuple[TaskShown, Span]]) -> list[Span]:
    """Where each task is named first: once more, its title can be part of a value: "street, Abbey Street"."""
    first: dict[int, Span] = {}
    for task, span in named:
        first.setdefault(task.number, span)
    return sorted(first.values())


def _task(tasks: tuple[TaskShown, ...], number: int) -> TaskShown | None:
    return next((task for task in tasks if task.number == number), None)


def _title(text: str) -> str:
    return ARTICLE.sub("", AFTER.sub("", text.strip())).strip()


def _listed(text: str) -> tuple[str, ...]:
    """Titles of steps that a text lists."""
    match = STEPS.search(text)
    if match is None:
        return ()
    return _titles(match["steps"])


def _titles(text: str) -> tuple[str, ...]:
    """The titles in "a, b and c", which a colon may come before; what does not look like one is left out."""
    if not text or text[0] in ".,!?":
        return ()
    listed = re.split(r"[.!?]", text.lstrip(": "))[0]
    parts = re.split(r",\s*(?:and\s+)?|\s+and\s+", AFTER.sub("", listed))
    titles = (_title(part) for part in parts if not re.match(r"(?:in|by|with|for) ", part))
    return tuple(title for title in titles if title and len(title.split()) <= 4)


def _count(text: str) -> int:
    match = re.search(r"\b(\d{1,2}|two|three|four|five)\b", text, re.I)
    return 1 if match is None else NUMBERS.get(match[1].lower()) or int(match[1])


def _value(text: str, spans: list[Span]) -> str:
    """What a text says besides the titles: without them, the parts between are trimmed and the longest is taken."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(text[at:start])
        at = end
    parts.append(text[at:])
    trimmed = [_trimmed(piece) for part in parts for piece in re.split(r"[,:;?](?:\s|$)", part)]
    return max(trimmed, key=len, default="")


def _trimmed(part: str) -> str:
    words = part.strip(" .!").split()
    while words and words[0].lower().strip(",'’") in AROUND:
        words.pop(0)
    while words and words[-1].lower().strip(",'’") in AROUND:
        words.pop()
    return " ".join(words)


def _of_those_shown(x: IntentInput, output: Intent) -> str:
    strange = {output.task, output.parent} - {0} - {task.number for task in x.tasks}
    return f"{min(strange)} is none of the tasks shown." if strange else ""


def _between_those_shown(x: EdgesInput, output: Edges) -> str:
    strange = {number for pair in output.pairs for number in pair} - {task.number for task in x.tasks}
    return f"{min(strange)} is none of the tasks shown." if strange else ""


DECOMPOSE = Step(
    "decompose", Said, Requests, load_prompt("decompose", PACKAGE), rule=sentences, fallback=sentences
)
CLASSIFY_INTENT = Step(
    "classify_intent",
    IntentInput,
    Intent,
    load_prompt("classify_intent", PACKAGE),
    rule=by_cues,
    fallback=lambda x: Intent(kind="none"),
    check=_of_those_shown,
)
INFER_EDGES = Step(
    "infer_edges",
    EdgesInput,
    Edges,
    load_prompt("infer_edges", PACKAGE),
    rule=stated,
    fallback=lambda x: Edges(pairs=()),
    check=_between_those_shown,
)
