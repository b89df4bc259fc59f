"""What the vector form of Endless T-Maze does for speed, and must not change; see `test_control` too."""

from typing import Any

import numpy as np
import pytest

from memgym.envs.t_maze.vector import EndlessTMazeVector, split_reciprocal


@pytest.fixture(params=["numpy", "numba"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "numba":
        pytest.importorskip("numba", reason="numba is not installed: pip install 'memgym[speed]'")
    return request.param


def make(num_envs: int, **arguments: Any) -> EndlessTMazeVector:
    env = EndlessTMazeVector(num_envs, **arguments)
    env.reset(seed=0)
    return env


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("num_cues", [2, 3, 4, 7, 8, 16])
def test_exactly_the_actions_of_the_space_are_taken(backend, num_cues, kind) -> None:
    env = make(70, num_cues=num_cues, backend=backend, copy=False)
    actions: Any = np.zeros(70, kind)
    limits = np.iinfo(kind)
    for bad in sorted({num_cues + 1, num_cues + 2, 2 * num_cues + 2, int(limits.max), int(limits.min)} - {0}):
        for place in (0, 33, 69):
            before = env._obs.copy()
            actions[place] = bad
            with pytest.raises(ValueError, match=f"from 0 to {num_cues}"):
                env.step(actions)
            actions[place] = 0
            assert np.array_equal(before, env._obs), "a refused step has changed something"
    env.step(np.full(70, num_cues, kind))


def test_positions_without_division_are_those_with_division() -> None:
    exact = 0
    for longest in [*range(1, 400), 1000, 3146, 3147, 9999, 10_000]:
        a, b = (np.float32(part) for part in split_reciprocal(longest))
        if a:
            x = np.arange(longest + 1, dtype=np.float32)
            assert np.array_equal(x * a + x * b, x / np.float32(longest)), longest
            exact += longest < 400
    assert exact == 399
    assert split_reciprocal(3147) == (0.0, 0.0), "this length shows that the other way is needed"


@pytest.mark.parametrize("longest", [1, 3, 7, 10, 100, 3147])
def test_a_position_shows_as_its_share_of_the_longest_corridor(backend, longest) -> None:
    env = make(3, corridor_length=longest, backend=backend)
    for x in range(1, longest + 1):
        observation = env.step(np.zeros(3, np.int64))[0]
        assert np.array_equal(observation[:, 0], np.full(3, np.float32(x) / np.float32(longest)))


@pytest.mark.parametrize("num_envs", [1, 7, 8, 63, 64, 65, 130])
def test_all_that_stand_at_a_junction_are_found(backend, num_envs) -> None:
    """Everybody walks on for ever, so all stand at the junction together, and all start anew together."""
    env = make(num_envs, corridor_length=4, backend=backend)
    for _ in range(3):
        for step in range(6):
            _, reward, terminated, truncated, infos = env.step(np.zeros(num_envs, np.int64))
            assert terminated.all() == infos["search_error"].all() == (step == 4)
            assert not truncated.any()
            assert np.array_equal(reward, np.full(num_envs, {4: -1.0, 5: 0.0}.get(step, -0.01)))


@pytest.mark.parametrize("num_envs", [1, 64, 65])
def test_all_whose_time_runs_out_are_found(backend, num_envs) -> None:
    env = make(num_envs, num_corridors=1, corridor_length=2, backend=backend)
    turns = 1 + np.arange(num_envs) % 2
    for step in range(1, 60):
        _, _, terminated, truncated, infos = env.step(turns)
        assert not terminated.any()
        assert truncated.all() == truncated.any() == infos["search_error"].all() == (step % 19 == 18)


@pytest.mark.parametrize("word", [0, 1, 2, 3 << 40, 1 << 63])
def test_the_lowest_bit_is_counted_from_zero(word) -> None:
    compiled = pytest.importorskip("memgym.envs.compiled", reason="numba is not installed")
    place = compiled.compiled(lambda bits: compiled.lowest_bit(bits))
    assert place(np.uint64(word)) == ((word & -word).bit_length() - 1 if word else 64)
