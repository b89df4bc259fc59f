"""Dialogues to train a memory manager on: banks score as in the environment, and other words change no truth."""

from collections.abc import Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'memgym[agents]'")
pytest.importorskip("transformers", reason="needs transformers: pip install 'memgym[llm]'")

from memgym.agents.llm.manager import Decision  # noqa: E402
from memgym.baselines.manager.dialogues import Asked, Bank, Dialogue, Source, Turn, right_operation  # noqa: E402
from memgym.baselines.manager.measure import measure, measure_baselines  # noqa: E402
from memgym.baselines.manager.variation import ALIKE, BENT, BESIDE, ECHOED, ELSEWHERE, LONGER, varied  # noqa: E402
from memgym.baselines.manager.warm_up import Teacher, draw_dialogue  # noqa: E402
from memgym.baselines.recipe_file import load_recipe  # noqa: E402
from memgym.memory import MemoryOp, as_action  # noqa: E402
from memgym.memory.lexical import stems  # noqa: E402
from memgym.rng import CounterRNG  # noqa: E402
from memgym.worlds.dialogue import lexicon, texts  # noqa: E402

ENV = load_recipe("memory_manager").env


@pytest.fixture(scope="module")
def source() -> Source:
    return Source(ENV)


def test_a_bank_scores_as_in_the_environment(source: Source) -> None:
    rng = CounterRNG(5)
    for episode in range(12):
        dialogue, bank, ops = source.dialogue(3, episode), Bank(), []
        for turn in dialogue.turns:
            op = Teacher(random=0.7, oracle=0.5).operation(turn, bank, rng)
            ops.append(op)
            bank = source.after(bank, op)
        env = source.env
        env.reset(seed=3, options={"episode": episode})
        right, done = [], False
        for op in [*ops, *[MemoryOp.noop()] * len(dialogue.asked)]:
            assert not done
            _, _, done, _, info = env.step(as_action([op]))
            right += [info["is_correct"]] if "is_correct" in info else []
        assert done
        assert [right] == source.right([(dialogue, bank)])
        assert [(entry.id, entry.text) for entry in env.bank.get_all()] == list(bank.entries)


def test_the_oracle_answers_nearly_all_and_a_bank_of_everything_little(source: Source) -> None:
    dialogues = [source.dialogue(1, episode) for episode in range(30)]
    scores = measure_baselines(source, dialogues)
    assert scores["oracle"] > 0.95 > 0.6 > scores["add facts"] >= scores["add everything"]


def test_made_up_words_change_no_truth() -> None:
    right: list[bool] = []
    source = Source({**ENV, "memory_budget": 4096})  # more words need more room
    for episode in range(150):
        dialogue = source.dialogue(2, episode)
        other = varied(dialogue, CounterRNG(episode))
        assert [turn.situation for turn in other.turns] == [turn.situation for turn in dialogue.turns]
        assert not {turn.speaker for turn in other.turns} & {turn.speaker for turn in dialogue.turns}
        bank = Bank()
        for turn in other.turns:
            bank = source.after(bank, right_operation(turn, bank))
        told = {value for _, value in other.facts}
        assert all(any(value in text for value in told) for _, text in bank.entries)
        right += source.right([(other, bank)])[0]
    assert sum(right) / len(right) > 0.9  # the reader finds what the questions ask for


def said_in(source: Source, seed: int, situation: str) -> list[str]:
    """What is said in each such turn of sixty varied dialogues."""
    return [
        turn.said
        for episode in range(60)
        for turn in varied(source.dialogue(seed, episode), CounterRNG(episode)).turns
        if turn.situation == situation
    ]


def words_of(source: Source, seed: int, situation: str) -> list[frozenset[str]]:
    """The words of each such turn."""
    return [frozenset(said.lower().split()) for said in said_in(source, seed, situation)]


@pytest.mark.parametrize(("beside", "is_found"), [(BESIDE, True), (0.0, False)])
def test_how_a_sentence_is_built_does_not_tell_a_fact(
    source: Source, monkeypatch: pytest.MonkeyPatch, beside: float, is_found: bool
) -> None:
    """Some small talk is worded like a fact or a request, about something that is never asked."""
    monkeypatch.setattr("memgym.baselines.manager.variation.BESIDE", beside)
    monkeypatch.setattr("memgym.baselines.manager.variation.ECHOED", 0.0)
    small_talk = words_of(source, 6, "small talk")
    assert len(small_talk) > 300
    like_requests = sum("forget" in words for words in small_talk)
    assert like_requests > 5 if is_found else like_requests == 0
    asked = {"allergy", "car", "favourite", "food", "gift", "hobby", "job", "live", "pet", "work"}
    assert not any(asked & words for words in small_talk)


@pytest.mark.parametrize(("elsewhere", "is_said"), [(ELSEWHERE, True), (0.0, False)])
def test_small_talk_is_whatever_the_training_split_says(
    source: Source, monkeypatch: pytest.MonkeyPatch, elsewhere: float, is_said: bool
) -> None:
    """These dialogues alone have little of it, and a model would know that by heart."""
    monkeypatch.setattr("memgym.baselines.manager.variation.ELSEWHERE", elsewhere)
    words = lexicon("train").words
    own = {name: part for name, part in words.items() if name in ("slots", "smalltalk", "filler", "replies")}
    others = _openings({name: part for name, part in words.items() if name not in own}) - _openings(own)
    found = len([text for text in said_in(source, 6, "small talk") if _opening(text) in others])
    assert found > 5 if is_said else found == 0


def _opening(text: str) -> str:
    return " ".join(text.split()[:3])


def _openings(value: Any) -> set[str]:
    """How the sentences in a part of a lexicon begin."""
    return {_opening(text) for text in texts(value) if text.endswith((".", "!"))}


@pytest.mark.parametrize(("bent", "is_met"), [(BENT, True), (0.0, False)])
def test_what_questions_ask_by_is_met_in_other_forms(
    source: Source, monkeypatch: pytest.MonkeyPatch, bent: float, is_met: bool
) -> None:
    """The training split says "work" alone; that "working" is about the same is learned from nothing else."""
    monkeypatch.setattr("memgym.baselines.manager.variation.BENT", bent)
    words = frozenset[str]().union(*words_of(source, 6, "new fact"))
    assert "work" in words
    assert bool({"works", "worked", "working", "cars", "foods", "gifts", "pets", "lives"} & words) is is_met


@pytest.mark.parametrize(("alike", "is_met"), [(ALIKE, True), (0.0, False)])
def test_how_a_word_begins_does_not_tell_what_it_is_about(
    source: Source, monkeypatch: pytest.MonkeyPatch, alike: float, is_met: bool
) -> None:
    """A tokenizer has one piece for the beginnings of "living" and "lift", which are about different things."""
    monkeypatch.setattr("memgym.baselines.manager.variation.ALIKE", alike)
    monkeypatch.setattr("memgym.baselines.manager.variation.ECHOED", 0.0)
    words = frozenset[str]().union(*words_of(source, 6, "small talk"))
    begun = [word for word in words if word.startswith(("alle", "favo", "gif", "hobb", "livi"))]
    assert len(begun) > 10 if is_met else not begun
    asked = stems("allergy favourite gift hobby live")
    assert not any(stems(word) & asked for word in begun)


@pytest.mark.parametrize(("longer", "is_longer"), [(LONGER, True), (0.0, False)])
def test_where_a_word_stands_tells_nothing(
    source: Source, monkeypatch: pytest.MonkeyPatch, longer: float, is_longer: bool
) -> None:
    """Turns have more words before, between and after theirs; what is told stays in one piece."""
    monkeypatch.setattr("memgym.baselines.manager.variation.LONGER", longer)
    more = []
    for episode in range(40):
        dialogue = source.dialogue(8, episode)
        other = varied(dialogue, CounterRNG(episode))
        for turn, now in zip(dialogue.turns, other.turns, strict=True):
            if turn.situation in ("new fact", "changed fact"):
                more.append(len(now.said.split()) > len(turn.said.split()))
                assert any(value in now.said for _, value in other.facts)
    share = sum(more) / len(more)
    assert 0.3 < share < 0.7 if is_longer else share == 0


@pytest.mark.parametrize(("echoed", "is_in_sight"), [(ECHOED, True), (0.0, False)])
def test_an_entry_in_sight_does_not_tell_that_something_changes(
    source: Source, monkeypatch: pytest.MonkeyPatch, echoed: float, is_in_sight: bool
) -> None:
    """A model that met small talk without entries in sight alone would take any with one for a change."""
    monkeypatch.setattr("memgym.baselines.manager.variation.ECHOED", echoed)
    seen = []
    for episode in range(200):
        bank = Bank()
        for turn in varied(source.dialogue(6, episode), CounterRNG(episode)).turns:
            has_told = any(text.startswith(f"{turn.speaker}: ") for _, text in bank.entries)
            if turn.situation == "small talk" and has_told:
                seen.append(bool(bank.shown(turn).memory))
            bank = source.after(bank, right_operation(turn, bank))
    share = sum(seen) / len(seen)
    assert share > 0.05 if is_in_sight else share < 0.02


def test_no_word_of_a_request_is_always_there(source: Source) -> None:
    """Who has learned a request's one word by heart does not know it in other words."""
    requests = words_of(source, 3, "forget request")
    assert len(requests) > 20
    assert any("forget" in words for words in requests)
    assert not frozenset.intersection(*requests)


@pytest.mark.parametrize(("memory_budget", "is_dear"), [(ENV["memory_budget"], True), (None, False)])
def test_small_talk_costs_answers_where_bytes_are_few(memory_budget: int | None, is_dear: bool) -> None:
    source = Source({**ENV, "memory_budget": memory_budget})
    dialogues = [source.dialogue(1, episode) for episode in range(20)]

    def decide(moments: Sequence[tuple[Any, Bank]]) -> list[Decision]:
        right = [right_operation(turn, bank) for turn, bank in moments]
        return [
            Decision(MemoryOp.add(turn.text) if turn.situation == "small talk" else op)
            for (turn, _), op in zip(moments, right, strict=True)
        ]

    kept = measure(source, dialogues, decide, table=False).accuracy
    assert (kept < measure_baselines(source, dialogues)["oracle"] - 0.1) is is_dear


def test_words_that_come_in_others_places_are_of_the_training_split(source: Source) -> None:
    """Or function words, or made up of two of its words, which is a word of the test split by chance."""
    held_out = [
        *lexicon("test")["names"],
        *(v for slot in lexicon("test").slots for v in lexicon("test")["slots"][slot]["values"]),
    ]
    parts = {part.lower() for word in held_out for part in word.split()} - {"a"}
    said = [
        word.lower()
        for episode in range(100)
        for turn in varied(source.dialogue(4, episode), CounterRNG(episode)).turns
        for word in (*turn.speaker.split(), *turn.said.split())
    ]
    assert len(said) > 3000
    assert sum(word in parts for word in said) / len(said) < 0.001


def test_questions_come_last() -> None:
    with pytest.raises(ValueError, match="question_spacing"):
        Source({**ENV, "question_spacing": 1}).dialogue(0, 0)
    with pytest.raises(ValueError, match="reader"):
        Source({**ENV, "reader": None})


VOLVO, FIAT = ("I drive a Volvo.", "Volvo"), ("I drive a Fiat now.", "Fiat")


@pytest.mark.parametrize(
    ("told", "asked", "is_solvable"),
    [
        ([VOLVO], "Which car does Maya drive?", True),
        ([VOLVO, FIAT], "Which car does Maya drive?", True),
        # nothing says that it is a car
        ([VOLVO], "What car does Maya have?", False),
        ([VOLVO, FIAT], "What car does Maya have?", False),
        (
            [("I could eat ramen every day, it is my favourite food.", "ramen")],
            "Which food is Maya's favourite?",
            False,
        ),
        # a change that shows no entry about what somebody drives: both stay
        ([VOLVO, ("I changed my car, it is a Fiat now.", "Fiat")], "Which car does Maya drive?", False),
        (
            [("My car is a Volvo.", "Volvo"), ("I changed my car, it is a Fiat now.", "Fiat")],
            "Which car does Maya drive?",
            True,
        ),
    ],
)
def test_where_right_operations_lead_to_right_answers(
    source: Source, told: list[tuple[str, str]], asked: str, is_solvable: bool
) -> None:
    facts = tuple(("Maya", value) for _, value in told)
    turns = [Turn("Maya", "I see.", "small talk"), Turn("Maya", told[0][0], "new fact")]
    turns += [Turn("Maya", said, "changed fact", facts[0]) for said, _ in told[1:]]
    one = Dialogue(tuple(turns), (Asked(asked, "single-hop", told[-1][1]),), facts)
    assert source.is_solvable(one) is is_solvable


def test_training_asks_nothing_that_right_operations_do_not_answer(source: Source) -> None:
    """Else the outcome would teach not to keep some facts; without the choice of dialogues it would."""
    drawn = [draw_dialogue(source, 7, episode) for episode in range(60)]
    assert all(source.is_solvable(dialogue) for dialogue in drawn)
    assert not all(source.is_solvable(source.dialogue(7, episode)) for episode in range(60))


def test_a_reader_that_can_read_nothing_is_named() -> None:
    source = Source({**ENV, "reader": f"{__name__}:silent_reader"})
    with pytest.raises(ValueError, match="none of 100 dialogues"):
        draw_dialogue(source, 0, 0)


def silent_reader(question: str, entries: Sequence[Any], choices: Sequence[str] = ()) -> str:
    return ""
