"""The memory team: PettingZoo's own tests, who sees what, and both seats as ordinary environments."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pettingzoo", reason="the memory team is a PettingZoo environment")

from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, seed_test

from memgym.memory import MemoryOp, as_action
from memgym.multiagent import memory_team_v0
from memgym.multiagent.one_seat import OneSeat
from memgym.multiagent.team import ANSWERER, MANAGER, SEATS, Team

SMALL: dict[str, Any] = {"num_sessions": 2, "turns_per_session": 6}
VIEWS = {
    "text": SMALL,
    "tokens": {**SMALL, "view": "tokens", "memory_budget": 1024, "num_slots": 4},
    "choice as text": {**SMALL, "answer_format": "choice"},
}
EXPECTED = (
    "named in the format",
    "not a NumPy array",
    "should be gymnasium.spaces.box",
)  # PettingZoo's taste


@pytest.fixture(params=VIEWS.values(), ids=list(VIEWS))
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def without_surprises(test: Callable[[], None]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        test()
    assert [str(w.message) for w in caught if not any(words in str(w.message) for words in EXPECTED)] == []


def test_api(arguments: dict[str, Any]) -> None:
    without_surprises(lambda: api_test(memory_team_v0.env(**arguments), num_cycles=100))


def test_parallel_api(arguments: dict[str, Any]) -> None:
    without_surprises(lambda: parallel_api_test(memory_team_v0.parallel_env(**arguments), num_cycles=100))


def test_seeds(arguments: dict[str, Any]) -> None:
    without_surprises(lambda: seed_test(lambda: memory_team_v0.env(**arguments), num_cycles=60))


def play(
    env: Any, manage: Callable[[Any], Any], answer: Callable[[Any], Any]
) -> tuple[dict[str, float], list[str]]:
    """One episode in turns: each agent's return and the order of turns."""
    returns: dict[str, float] = dict.fromkeys(SEATS, 0.0)
    order: list[str] = []
    for seat in env.agent_iter():
        observation, reward, over, _, _ = env.last()
        returns[seat] += reward
        if not over:
            order.append(seat)
        env.step(None if over else (manage if seat == MANAGER else answer)(observation))
    return returns, order


def test_manager_writes_answerer_reads() -> None:
    """With a bank that holds everything and an oracle's answers the team is right; both get the same return."""
    env = memory_team_v0.raw_env(**SMALL, memory_budget=None)
    env.reset(seed=3)
    base = env._team.base
    keep = lambda seen: as_action([MemoryOp.add(seen["text"])])  # noqa: E731
    returns, order = play(env, keep, lambda seen: base.oracle_action())
    questions = order.count(ANSWERER)
    assert returns == {MANAGER: questions, ANSWERER: questions}
    assert questions > 0
    assert order.count(MANAGER) == len(base.bank) >= 12


def test_nobody_sees_the_other_s_part() -> None:
    env = memory_team_v0.parallel_env(**SMALL)
    observations, _ = env.reset(seed=0)
    turns = 0
    while env.agents:
        base = env._team.base
        idle, active = (MANAGER, ANSWERER) if env._team.turn == ANSWERER else (ANSWERER, MANAGER)
        assert observations[active]["text"] != ""
        assert observations[idle] == {
            **dict.fromkeys(("text", "speaker", "time"), ""),
            **dict.fromkeys(("choices", "memory", "hits"), ()),
            "phase": 2,
            "bytes_left": 0,
        }
        turns += 1
        act = as_action([MemoryOp.add(observations[active]["text"])], answer=base.oracle_action()["answer"])
        observations, *_ = env.step({active: act, idle: env.action_space(idle).sample()})
    assert turns > 12


def test_answerer_cannot_write() -> None:
    team = Team(**SMALL)
    team.reset(0, None)
    while team.turn == MANAGER:
        team.act(as_action([MemoryOp.add(team.observe(MANAGER)["text"])]))
    before = team.base.bank.snapshot()
    op = MemoryOp.delete("m1")
    _, _, info = team.act(
        as_action([op, MemoryOp.add("mine"), MemoryOp.search(team.observe(ANSWERER)["text"], k=2)], answer="")
    )
    assert team.base.bank.snapshot() == before
    assert info["refused"] == [{"op": i, "reason": "only the manager writes"} for i in (0, 1)]
    assert len(team.observe(ANSWERER)["hits"]) > 0  # the search went through
    manager = Team(**SMALL)  # the control: the same operation from the manager's seat
    manager.reset(0, None)
    manager.act(as_action([MemoryOp.add("something")]))
    manager.act(as_action([op]))
    assert len(manager.base.bank) == 0


def test_what_is_refused_is_named_by_its_place_in_the_action() -> None:
    """The task refuses the second: there is no such entry; the seat refuses the first and the third."""
    team = Team(**{**SMALL, "max_searches": 0})
    team.reset(0, None)
    while team.turn == MANAGER:
        team.act(as_action())
    ops = [MemoryOp.add("mine"), MemoryOp.search("mine"), MemoryOp.delete("m1")]
    _, _, info = team.act(as_action(ops))
    assert [one["op"] for one in info["refused"]] == [0, 1, 2]
    assert [one["reason"] == "only the manager writes" for one in info["refused"]] == [True, False, True]


def test_a_step_that_cannot_be_is_named() -> None:
    env = memory_team_v0.parallel_env(**SMALL)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="it is the turn of 'manager'"):
        env.step({"answerer": as_action()})


@pytest.mark.parametrize("seat", SEATS)
def test_one_seat_is_an_environment(seat: str, arguments: dict[str, Any]) -> None:
    team = Team(**arguments)
    other = ANSWERER if seat == MANAGER else MANAGER
    space = team.action_spaces[other]
    space.seed(0)
    samples = [space.sample() for _ in range(8)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        check_env(OneSeat(seat, lambda seen: samples[0], **arguments), skip_render_check=True)


def test_one_seat_earns_what_the_team_earns() -> None:
    env = OneSeat(MANAGER, lambda seen: as_action(), **SMALL)
    env.partner = lambda seen: env.team.base.oracle_action()
    env.reset(seed=5)
    earned, over = 0.0, False
    info: dict[str, Any] = {}
    while not over:
        _, reward, over, _, info = env.step(as_action())
        earned += reward
    assert info["success"]
    assert earned == len(env.team.base._scores) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"view": "pictures"}, "view"),
        ({"task": "memgym/EndlessTMaze-v0"}, "text task"),
        ({"reader": "extractive"}, "reader"),
        ({"view": "tokens", "num_slots": 0}, "num_slots"),
        ({"num_sessions": 0}, "num_sessions"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        memory_team_v0.env(**arguments)
    with pytest.raises(ValueError, match="seat"):
        OneSeat("judge", lambda seen: np.int64(0))
