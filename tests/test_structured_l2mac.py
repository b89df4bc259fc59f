"""L2MAC: files that are edited line by line, and a window that never overflows however much there is to look at."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="L2MAC's steps are typed with pydantic")

from memgym.agents.handles import without_handle
from memgym.agents.structured.l2mac import L2MACPolicy
from memgym.agents.structured.steps_facts import Said
from memgym.agents.structured.steps_files import ACT, CARRY_ON, Act, Carried, Edit, Progress, Unit
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.store import MemoryStore

WINDOW = 120
HOBBIES = "painting sailing chess baking running weaving fishing carving juggling singing".split()
PLACES = "harbour garden attic cellar market station library meadow bridge tower".split()


def told(
    *messages: tuple[str, str], llm: RulesLLM | None = None, **options: Any
) -> tuple[MemoryStore, L2MACPolicy]:
    policy = L2MACPolicy(llm or RulesLLM(), **options)
    store = MemoryStore(MemoryEngine(), policy)
    for i, (speaker, text) in enumerate(messages):
        store.add(text, speaker=speaker, time=f"2024-05-{1 + i % 28:02d}T10:00")
    return store, policy


def files(store: MemoryStore) -> dict[str, list[str]]:
    texts = [without_handle({"text": entry.text})["text"].split("\n") for entry in store.get_all()]
    return {path: lines for path, *lines in texts}


def found(store: MemoryStore, question: str) -> list[str]:
    return [hit["text"] for hit in store.read(question).hits]


def test_a_file_for_each_speaker_line_by_line() -> None:
    store, _ = told(
        ("Ines", "I live in Oslo."),
        ("Omar", "I keep two goats."),
        ("Ines", "My sister plays the cello."),
        ("Ines", "Actually, I live in Bergen now."),
        ("Omar", "Please forget what I said about goats."),
    )
    assert files(store) == {"Ines": ["Actually, I live in Bergen now.", "My sister plays the cello."]}


def test_two_writes_to_a_file_keep_both_versions() -> None:
    store, _ = told(("Ines", "I live in Oslo."), ("Ines", "Actually, I live in Bergen now."))
    (entry,) = store.get_all()
    versions = [without_handle({"text": version.text})["text"] for version in store.history(entry.id)]
    assert versions == ["Ines\nI live in Oslo.", "Ines\nActually, I live in Bergen now."]


def test_a_full_file_goes_on_in_a_further_part() -> None:
    store, _ = told(*[("Ines", f"I tried {hobby} in the garden last week.") for hobby in HOBBIES])
    assert [(path, len(lines)) for path, lines in files(store).items()] == [("Ines", 8), ("Ines-2", 2)]


# ---------------------------------------------------------------------- the window

NEEDED = ("Ines", "My brother repairs old organs in Trondheim.")
LONG = [
    NEEDED,
    *(("Ines", f"I tried {hobby} near the {place} last week.") for hobby in HOBBIES for place in PLACES),
]
QUESTION = "Where does the brother of Ines repair organs?"


def test_a_task_of_five_windows_is_done_within_one() -> None:
    """What is needed stands in the first file, and is looked at last."""
    store, policy = told(*LONG, window=WINDOW)
    words = sum(len(line.split()) for lines in files(store).values() for line in lines)
    assert words > 5 * WINDOW
    assert "Ines: My brother repairs old organs in Trondheim." in found(store, QUESTION)
    assert 0 < policy.largest <= WINDOW


def test_what_is_carried_on_survives_the_windows_after_it() -> None:
    """The same with the needed file looked at first, which is when dropping it shows."""
    newest = [*LONG[1:], NEEDED]
    store, policy = told(*newest, window=WINDOW)
    assert any("Trondheim" in text for text in found(store, QUESTION))
    assert policy.largest <= WINDOW
    dropped, _ = told(*newest, window=WINDOW, summary=False)
    assert not any("Trondheim" in text for text in found(dropped, QUESTION)), "the control"


def test_without_looking_at_files_nothing_is_found() -> None:
    store, _ = told(*LONG, window=WINDOW, files=False)
    assert found(store, QUESTION) == []


def test_a_restart_carries_on_what_it_is_told_to() -> None:
    def nothing(x: Progress) -> Carried:
        """Forgets."""
        return Carried(places=())

    store, _ = told(*LONG[:3], llm=RulesLLM({CARRY_ON.name: nothing}))
    assert found(store, QUESTION) == []


# ---------------------------------------------------------------------- precise edits, and what refuses them


def edited(*edits: Edit) -> tuple[str, dict[str, list[str]], list[Unit]]:
    """What a policy whose actor gives these edits for a second message is told, and its files."""
    asked: list[Unit] = []

    def act(x: Unit) -> Act:
        """Edits as given, once the first message is kept."""
        asked.append(x)
        if x.said.text == "first":
            return Act(edits=(Edit(path="a", first=1, last=0, lines=("one", "two", "three")),))
        return Act(edits=edits) if not x.problem else Act()

    store, _ = told(("Ines", "first"), ("Ines", "second"), llm=RulesLLM({ACT.name: act}))
    return asked[-1].problem, files(store), asked


@pytest.mark.parametrize(
    ("first", "last", "lines", "expected"),
    [
        (2, 2, ("TWO",), ["one", "TWO", "three"]),
        (1, 3, ("all",), ["all"]),
        (4, 3, ("four",), ["one", "two", "three", "four"]),
        (1, 0, ("zero",), ["zero", "one", "two", "three"]),
        (2, 3, (), ["one"]),
    ],
)
def test_an_edit_changes_its_lines_alone(
    first: int, last: int, lines: tuple[str, ...], expected: list[str]
) -> None:
    problem, held, _ = edited(Edit(path="a", first=first, last=last, lines=lines))
    assert problem == ""
    assert held == {"a": expected}


@pytest.mark.parametrize(("first", "last"), [(0, 0), (5, 4), (1, 4), (3, 1), (-1, 2)])
def test_lines_that_are_not_there_are_refused_and_fed_back(first: int, last: int) -> None:
    good = Edit(path="a", first=1, last=1, lines=("changed",))
    problem, held, asked = edited(good, Edit(path="a", first=first, last=last, lines=("x",)))
    assert problem == f"a has 3 lines, and no lines {first} to {last}."
    assert held == {"a": ["one", "two", "three"]}, "all edits or none"
    assert len(asked) == 3


def test_a_checker_refuses_and_is_heard() -> None:
    tried: list[str] = []

    def act(x: Unit) -> Act:
        """Obeys the checker in the end."""
        tried.append(x.problem)
        return Act(edits=(Edit(path="a", first=1, last=0, lines=("done" if x.problem else "TODO",)),))

    def no_todo(path: str, lines: Any) -> str:
        return f"{path} has a TODO." if "TODO" in lines else ""

    store, _ = told(("Ines", "go"), llm=RulesLLM({ACT.name: act}), checkers=(no_todo,))
    assert tried == ["", "a has a TODO."]
    assert files(store) == {"a": ["done"]}


def test_edits_that_stay_wrong_are_given_up() -> None:
    asked: list[Unit] = []

    def act(x: Unit) -> Act:
        """Never learns."""
        asked.append(x)
        return Act(edits=(Edit(path="a", first=9, last=9, lines=("x",)),))

    store, _ = told(("Ines", "go"), llm=RulesLLM({ACT.name: act}))
    assert files(store) == {}
    assert len(asked) == 4


def test_a_file_that_is_not_there_cannot_be_looked_at() -> None:
    x = Unit(instruction="keep", said=Said(text="hi"))
    with pytest.raises(LLMOutputInvalid, match="there is no file 'b'"):
        ACT.parse('{"view": ["b"], "edits": []}', x)
