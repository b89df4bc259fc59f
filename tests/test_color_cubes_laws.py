"""Color Cubes: laws that hold in every episode, and the check of them against planted faults."""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memgym.envs.color_cubes import LEFT, RIGHT, UP, ColorCubes, ColorCubesArguments
from memgym.envs.color_cubes.arguments import NO_EVENT, PHASE_START, TELEPORT
from memgym.envs.color_cubes.frames import Frames
from memgym.envs.color_cubes.vector import ColorCubesVector


def parts(env: ColorCubes, observation: Any) -> tuple[Any, Any, int, Any]:
    """The agent's place, the target's one-hot, the event and the rows of an observation."""
    arguments = env.arguments
    event = observation[arguments.event_at : arguments.rows_at]
    assert event.sum() == 1
    rows = observation[arguments.rows_at :].reshape(arguments.cubes, arguments.row_size)
    return observation[:2], observation[2 : arguments.event_at], int(event.argmax()), rows


def check_laws(env: ColorCubes, seed: int, actions: list[int]) -> int:
    """Play the actions and check what holds in every episode; return how many cubes have jumped."""
    arguments, extreme = env.arguments, env.arguments.mode == "extreme"
    observation, info = env.reset(seed=seed)
    _, target, event, rows = parts(env, observation)
    assert (event, target.sum()) == (PHASE_START, 1)
    assert np.array_equal(rows[:, 3:], np.eye(arguments.cubes)), "the first frame shows all colours"
    taken = 0
    for action in actions:
        before, found, jumped = env.oracle_state(), info["targets_found"], info["teleports"]
        observation, reward, terminated, truncated, info = env.step(action)
        taken += 1
        now = env.oracle_state()
        moved = [i for i, (a, b) in enumerate(zip(before["cubes"], now["cubes"], strict=True)) if a != b]
        _, _, event, rows = parts(env, observation)
        assert len(set(now["cubes"])) == arguments.cubes, "never onto another cube"
        assert all(now["cubes"][i] != now["agent"] for i in moved), "never onto the agent"
        assert len(moved) == (event != NO_EVENT), "exactly one cube moves in an event, and none otherwise"
        assert (info["targets_found"] > found) == (reward == 1.0)
        assert info["overwrites"] == info["teleports"] + min(info["targets_found"], arguments.targets - 1)
        if event == TELEPORT:
            assert info["teleports"] == jumped + 1
            assert before["target"] not in moved, "the target moves only when it is found"
            assert now["target"] == before["target"]
        elif event == PHASE_START:
            assert moved == [before["target"]]
        assert not (extreme and rows[:, 3:].any()), "after the first frame of extreme no colour is shown"
        assert rows[:, 2].any() == (event != NO_EVENT)
        assert info["success"] == (info["targets_found"] == arguments.targets) == (terminated and reward == 1)
        if terminated or truncated:
            break
    assert taken <= arguments.limit
    return info["teleports"]


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1),
    mode=st.sampled_from(["trivial", "medium", "extreme"]),
    size=st.integers(2, 8),
    cubes=st.integers(1, 16),
    targets=st.integers(1, 4),
    probability=st.sampled_from([0.0, 0.15, 0.9, 1.0]),
    update=st.sampled_from(["full", "delta"]),
    actions=st.lists(st.integers(0, 4), max_size=120),
)
def test_laws_of_every_episode(seed, mode, size, cubes, targets, probability, update, actions):
    env = ColorCubes(
        mode,
        size,
        min(cubes, size**2 - 2),
        targets,
        None if mode == "trivial" else probability,
        wrong="continue",
        update=update,
    )
    check_laws(env, seed, actions)


class OntoTheAgent(ColorCubes):
    def _free_cell(self, number: int) -> int:
        return self._cell


class TargetJumps(ColorCubes):
    def _teleport(self) -> None:
        self._move_cube(self._target, self._free_cell(0))
        self._info["teleports"] += 1


class ShowsColours(ColorCubes):
    def _show(self, event: int, coloured: bool = False) -> Any:
        return super()._show(event, coloured=True)


class JumpsTwice(ColorCubes):
    def _teleport(self) -> None:
        super()._teleport()
        super()._teleport()


@pytest.mark.parametrize("fault", [OntoTheAgent, TargetJumps, ShowsColours, JumpsTwice])
def test_the_check_of_the_laws_finds_planted_faults(fault):
    assert check_laws(ColorCubes("extreme"), 0, [LEFT, UP] * 40) > 0
    with pytest.raises(AssertionError):
        check_laws(fault("extreme"), 0, [LEFT, UP] * 40)


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.integers(0, 24), min_size=4, max_size=4, unique=True),
    agent=st.integers(0, 24),
    event=st.sampled_from([PHASE_START, TELEPORT]),
)
def test_which_colour_is_where_leaves_no_trace_in_a_frame_without_colours(cells, agent, event):
    frames = Frames(ColorCubesArguments("extreme", num_cubes=4))
    target, moved, left = 0, 1, 7
    shown = {
        coloured: {
            frames.show(event, coloured, agent, target, order, moved, left).tobytes()
            for order in itertools.permutations(cells)
        }
        for coloured in (False, True)
    }
    assert len(shown[False]) == 1
    assert len(shown[True]) == 24


def test_jumps_come_at_the_same_steps_whatever_the_agent_does():
    def steps_with_jumps(action: int) -> list[int]:
        env = ColorCubes(teleport_probability=0.3)
        env.reset(seed=8)
        return [t for t in range(200) if parts(env, env.step(action)[0])[2] == TELEPORT]

    assert len(steps_with_jumps(UP)) > 30
    assert steps_with_jumps(UP) == steps_with_jumps(RIGHT)


@pytest.mark.parametrize("probability", [0.15, 0.5])
def test_cubes_jump_as_often_as_told_and_to_all_free_cells_alike(probability):
    env = ColorCubesVector(2000, teleport_probability=probability, num_cubes=4, backend="numpy")
    env.reset(seed=0)
    jumps, steps, cells = 0, 100, np.zeros(25)
    cubes = np.zeros(4)
    others = np.arange(4)[:, None] != env._target
    for _ in range(steps):
        env.step(np.full(2000, UP))
        jumped = np.flatnonzero(env._moved >= 0)
        cubes += np.bincount(env._moved[jumped], minlength=4) / jumped.size
        jumps += jumped.size
    expected = 2000 * steps * probability
    assert abs(jumps - expected) < 5 * np.sqrt(expected * (1 - probability))
    share = others.mean(axis=1) / 3
    np.testing.assert_allclose(cubes / steps, share, atol=0.02)
    # the agents stand in the top row by now, so any other cell is as likely as the next
    np.add.at(cells, env._cubes[others], 1)
    rest = cells[5:] / cells[5:].mean()
    assert np.abs(rest - 1).max() < 5 / np.sqrt(cells[5:].mean())
