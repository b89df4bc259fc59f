"""The Task Memory Engine: revisions reach what depends on them, and only the path to the task is read."""

from typing import Any

import pytest

pytest.importorskip("pydantic", reason="TME's steps are typed with pydantic")

from memgym.agents.structured.steps_tasks import CLASSIFY_INTENT, Intent, IntentInput, TaskShown, by_cues
from memgym.agents.structured.tme import TaskCycle, TaskMemoryPolicy
from memgym.llm import RulesLLM
from memgym.llm.errors import LLMOutputInvalid
from memgym.memory import MemoryEngine
from memgym.memory.store import MemoryStore

PLAN = (
    "Let us plan the spring trip. It needs city, hotel and guide.",
    "The hotel of the spring trip depends on the city.",
    "Set the city of the spring trip to Paris.",
    "For the hotel of the spring trip, take Ritz.",
)


def told(*texts: str, **options: Any) -> MemoryStore:
    store = MemoryStore(MemoryEngine(), TaskMemoryPolicy(RulesLLM(), **options))
    for text in texts:
        store.add(text, speaker="User")
    return store


def read(store: MemoryStore, question: str = "Which hotel does the spring trip have?") -> str:
    return "\n".join(hit["text"] for hit in store.read(question).hits)


def test_path_and_dependencies_are_read() -> None:
    text = read(told(*PLAN))
    assert text.splitlines() == [
        "spring trip (steps: city, hotel, guide)",
        "spring trip: city Paris (affects hotel)",
        "spring trip: hotel Ritz (depends on city)",
    ]


def test_a_revision_reaches_what_depends_on_it() -> None:
    text = read(told(*PLAN, "Actually, make the city of the spring trip Rome."))
    assert "Rome" in text
    assert "Paris" not in text
    assert "hotel (to be chosen again)" in text
    again = read(
        told(*PLAN, "Actually, make the city of the spring trip Rome.", "Set the hotel there to Hassler.")
    )
    assert "hotel Hassler" in again


def test_without_revision_the_old_value_is_read_too() -> None:
    text = read(
        told(*PLAN, "Actually, make the city of the spring trip Rome.", revision=False), "Which city?"
    )
    assert "Rome" in text
    assert "Paris" in text


def test_asking_changes_nothing_and_history_knows() -> None:
    store = told(*PLAN, "Actually, make the city of the spring trip Rome.")
    before = store.engine.digest()
    store.add("Did I say Paris for the city of the spring trip?", speaker="User")
    store.add("My sister would take Lyon for the city of the spring trip.", speaker="User")
    assert store.engine.digest() == before
    city = next(entry for entry in store.get_all() if "city" in entry.text)
    assert "before: Paris" in read(store, "Did I say Paris for the city of the spring trip?")
    assert "Paris" not in read(store, "Which city does the spring trip have?")
    assert [value for _, value, _ in city.attrs["history"]] == ["", "Paris"]


def test_the_value_before_is_read_where_it_is_asked_for() -> None:
    store = told(*PLAN, "Actually, make the city of the spring trip Rome.")
    text = read(store, "Which city did the spring trip have before the present one?")
    assert "city Paris" in text
    assert "Rome" not in text


def test_a_question_about_one_is_not_answered_from_another() -> None:
    store = MemoryStore(MemoryEngine(), TaskMemoryPolicy(RulesLLM()))
    store.add("My car is a Volvo.", speaker="Maya")
    store.add("My job is baker.", speaker="Jonas")
    assert "Volvo" in read(store, "Which car does Maya have?")
    assert "Volvo" not in read(store, "Which car does Jonas have?")


def test_what_is_read_does_not_grow_with_other_tasks() -> None:
    others = [
        text
        for name in ("autumn", "winter", "summer")
        for text in (
            f"Let us plan the {name} dinner. It needs soup and cake.",
            f"Set the soup of the {name} dinner to leek.",
        )
    ]
    assert read(told(*PLAN, *others)) == read(told(*PLAN))
    assert len(read(told(*PLAN, *others, flat=True))) > len(read(told(*PLAN, flat=True)))


@pytest.mark.parametrize(
    "request_",
    [
        "Take that back.",
        "Undo the last change to the spring trip.",
        "Put the city of the spring trip back to what it was before.",
    ],
)
def test_rollback_restores_the_value(request_: str) -> None:
    """Bit for bit, the history included."""
    store = told(*PLAN[:3])
    before = next(entry for entry in store.get_all() if "city" in entry.text)
    store.add("Actually, make the city of the spring trip Rome.", speaker="User")
    store.add(request_, speaker="User")
    after = store.get(before.id)
    assert after is not None
    assert (after.text, after.attrs) == (before.text, before.attrs)


def test_several_changes_are_taken_back_the_last_first() -> None:
    store = told(
        *PLAN, "Set the guide of the spring trip to Carla.", "Undo my last two changes to the spring trip."
    )
    text = read(store, "How does the spring trip stand?")
    assert "Carla" not in text
    assert "Ritz" not in text
    assert "Paris" in text


def test_a_suggestion_counts_once_it_is_accepted() -> None:
    suggested = (*PLAN[:3], "May I suggest Carla as the guide of the spring trip?")
    assert "Carla" not in read(told(*suggested), "Which guide does the spring trip have?")
    assert "Carla" in read(told(*suggested, "Yes, let us do that."), "Which guide does the spring trip have?")
    assert "Carla" not in read(told(*suggested, "No, not her."), "Which guide does the spring trip have?")


def test_a_task_cannot_depend_on_itself() -> None:
    policy = told(*PLAN).policy
    assert isinstance(policy, TaskMemoryPolicy)
    with pytest.raises(TaskCycle, match="cannot depend"):
        policy.depend(2, 3)
    store = told(*PLAN, "The city of the spring trip depends on the hotel.")
    assert store.get_all()[1].attrs.get("depends") is None


@pytest.mark.parametrize(
    ("request_", "intent"),
    [
        (
            "Change the hotel of the spring trip to Plaza (40 euros) instead.",
            ("update", 2, "Plaza (40 euros)"),
        ),
        ("In the spring trip, let us have Savoy as the hotel.", ("update", 2, "Savoy")),
        ("Make it Astoria instead.", ("update", 2, "Astoria")),
        ("How about Savoy as the hotel?", ("propose", 2, "Savoy")),
        ("Was it the Savoy hotel?", ("check", 2, "")),
        ("Please cancel the spring trip.", ("cancel", 1, "")),
        ("Good morning!", ("none", 0, "")),
    ],
)
def test_intents(request_: str, intent: tuple[str, int, str]) -> None:
    tasks = (
        TaskShown(number=1, path=("spring trip",)),
        TaskShown(number=2, path=("spring trip", "hotel"), value="Ritz"),
    )
    found = by_cues(IntentInput(request=request_, tasks=tasks, active=2))
    assert (found.kind, found.task, found.value) == intent


def test_a_model_must_name_tasks_that_it_was_shown() -> None:
    with pytest.raises(LLMOutputInvalid, match="9 is none of the tasks shown"):
        CLASSIFY_INTENT.parse(Intent(kind="update", task=9).model_dump_json(), IntentInput(request="x"))
