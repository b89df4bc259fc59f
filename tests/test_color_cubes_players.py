"""Color Cubes: what players with and without memory reach, and its words and pictures."""

import itertools
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from memgym.agents.scripted.color_cubes import ColorCubesPlayer
from memgym.envs.color_cubes import INTERACT, LEFT, UP, ColorCubes, ColorCubesArguments
from memgym.envs.color_cubes.arguments import TELEPORT
from memgym.envs.color_cubes.vector import ColorCubesVector

VARIANTS: list[dict[str, Any]] = [
    {"mode": "trivial"},
    {"mode": "trivial", "num_cubes": 4, "num_targets": 3},
    {},
    {"update": "delta", "always_show_target": True},
    {"mode": "extreme"},
    {"mode": "extreme", "update": "delta", "split": "test"},
    {"mode": "extreme", "grid_size": 7, "num_cubes": 5},
    {"mode": "extreme", "teleport_probability": 0.5},
    {"mode": "extreme", "grid_size": 3, "num_cubes": 7, "teleport_probability": 1.0},
    {"grid_size": 2, "num_cubes": 2, "num_targets": 2, "wrong": "continue"},
]


# ---------------------------------------------------------------------- reference players


def success_rate(memory: str, episodes: int, **arguments: Any) -> float:
    """Share of successes in episodes 0, 1, ... of seed 0."""
    env = ColorCubes(**arguments)
    won = 0
    for episode in range(episodes):
        observation, info = env.reset(seed=0, options={"episode": episode})
        player, done = ColorCubesPlayer(env, memory), False
        while not done:
            observation, _, terminated, truncated, info = env.step(player.act(observation))
            done = terminated or truncated
        won += info["success"]
    return won / episodes


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_exact_belief_from_observations_always_succeeds(variant):
    assert success_rate("belief", 100, **variant) == 1.0


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_oracle_always_succeeds(variant):
    for seed in range(30):
        env, info, done = ColorCubes(**variant), {}, False
        env.reset(seed=seed)
        while not done:
            *_, terminated, truncated, info = env.step(env.oracle_action())
            done = terminated or truncated
        assert info["success"]


@pytest.mark.parametrize("mode", ["medium", "extreme"])
@pytest.mark.parametrize("memory", ["first-cue", "cue-blind"])
def test_who_does_not_rewrite_its_map_fails(memory, mode):
    assert success_rate(memory, 200, mode=mode) < 0.02


def test_the_first_map_is_enough_for_one_target():
    assert success_rate("first-cue", 100, mode="extreme", num_targets=1) == 1.0
    assert ColorCubes("extreme", num_targets=1).reference_scores()["first-cue"] == 1.0


@pytest.mark.parametrize("mode", ["medium", "extreme"])
def test_only_in_medium_is_the_map_of_the_phase_start_enough(mode):
    env, won = ColorCubes(mode, teleport_probability=0.3), 0
    for episode in range(100):
        observation, info = env.reset(seed=0, options={"episode": episode})
        player, done = ColorCubesPlayer(env, "belief"), False
        while not done:
            if observation[env.arguments.event_at + TELEPORT]:  # looks away
                observation = env._hidden[env._cell]
            try:
                action = player.act(observation)
            except ValueError:  # two cubes have moved, and it cannot tell which is which
                break
            observation, _, terminated, truncated, info = env.step(action)
            done = terminated or truncated
        won += info["success"]
    assert (won == 100) == (mode == "medium")
    assert won < 50 or mode == "medium"


@pytest.mark.parametrize(("memory", "nbytes"), [("belief", 7), ("first-cue", 7), ("cue-blind", 0)])
def test_players_count_the_bytes_that_they_keep(memory, nbytes):
    env = ColorCubes()
    player = ColorCubesPlayer(env, memory)
    player.act(env.reset(seed=0)[0])
    assert nbytes == player.nbytes


def test_an_unknown_memory_is_refused():
    with pytest.raises(ValueError, match="memory is 'belief', 'first-cue' or 'cue-blind'"):
        ColorCubesPlayer(ColorCubes(), "perfect")


@pytest.mark.parametrize("size", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_no_policy_without_memory_beats_the_stated_score_in_trivial(size):
    """Every policy for frames without cubes, and the best first move for each start and target."""
    arguments = ColorCubesArguments("trivial", size)
    cells, moves = arguments.cells, arguments.moves()
    policies = np.array(list(itertools.product(range(5), repeat=cells)), np.int8).T  # (cells, policies)
    places = np.arange(cells)[:, None] + np.zeros_like(policies, np.int16)
    for _ in range(cells):  # where it interacts at last, or goes round for ever
        places = moves[np.take_along_axis(policies, places, 0), places]
    interacts = np.take_along_axis(policies, places, 0) == INTERACT
    ends = np.where(interacts, places, -1)
    found = np.zeros(policies.shape[1], int)
    for start in range(cells):
        for target in set(range(cells)) - {start}:
            found += (ends[sorted(set(moves[:INTERACT, start].tolist()))] == target).any(axis=0)
    assert found.max() / (cells * (cells - 1)) == pytest.approx(arguments.reference_scores()["cue-blind"])


@pytest.mark.parametrize("size", [3, 5])
def test_the_player_without_memory_reaches_the_stated_score_in_trivial(size):
    expected = ColorCubes("trivial", size).reference_scores()["cue-blind"]
    rate = success_rate("cue-blind", 2000, mode="trivial", grid_size=size)
    assert abs(rate - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000)


@pytest.mark.parametrize(("mode", "targets"), [("trivial", 1), ("medium", 1), ("medium", 2)])
def test_random_actions_stay_below_their_bound_and_close_to_it(mode, targets):
    env = ColorCubesVector(4000, mode, num_targets=targets, autoreset_mode=AutoresetMode.SAME_STEP)
    bound = env.arguments.reference_scores()["random"]
    env.reset(seed=0)
    env.action_space.seed(0)
    won = ended = 0
    for _ in range(60):
        _, _, terminated, truncated, infos = env.step(env.action_space.sample())
        ended += (terminated | truncated).sum()
        won += infos["final_info"]["success"].sum() if "final_info" in infos else 0
    spread = 4 * np.sqrt(bound / ended)
    assert won / ended < bound + spread
    assert won / ended > (bound - spread if targets == 1 else bound / 20)


def test_scores_that_do_not_follow_from_the_rules_are_not_given():
    assert set(ColorCubes("medium").reference_scores()) == {"random"}
    assert ColorCubes("medium", wrong="continue").reference_scores() == {}


# ---------------------------------------------------------------------- words and pictures


def test_words_tell_what_a_frame_shows():
    env = ColorCubes("extreme")
    observation, _ = env.reset(seed=1)
    assert env.describe(observation) == (
        "You are at column 4, row 2. The new target is the blue cube. The red cube is at column 5, row 1. "
        "The blue cube is at column 1, row 1. The green cube is at column 2, row 2."
    )
    assert env.describe(env.step(LEFT)[0]) == "You are at column 3, row 2."
    for action in (LEFT, LEFT, UP):
        env.step(action)
    assert env.describe(env.step(INTERACT)[0]) == (
        "You are at column 1, row 1. The new target is the green cube. "
        "There are cubes at column 5, row 1; column 2, row 2; column 2, row 3."
    )
    assert "work out which one has jumped" in env.instructions()
    assert "300 steps" in env.instructions()


def test_text_shows_in_capitals_what_the_agent_sees():
    env = ColorCubes("extreme", render_mode="ansi")
    env.reset(seed=1)
    grid = [" B  .  .  .  R", " .  G  . @.  ."]
    assert env.render().splitlines()[:3] == ["found 0/5  target blue  step 0/300  new target", *grid]
    env.step(LEFT)
    grid = [" b  .  .  .  r", " .  g @.  .  ."]
    assert env.render().splitlines()[:3] == ["found 0/5  target (blue)  step 1/300", *grid]
    for action in (LEFT, LEFT, UP, INTERACT):
        env.step(action)
    assert "@.  .  .  .  r?" in env.render()


@pytest.mark.parametrize("variant", [*VARIANTS, {"grid_size": 32, "num_targets": 1000}], ids=str)
def test_vector_frames_are_those_of_the_scalar_form(variant):
    vector = ColorCubesVector(2, render_mode="rgb_array", **variant)
    scalar = ColorCubes(render_mode="rgb_array", **variant)
    vector.reset(seed=3)
    scalar.reset(seed=4)
    frames = []
    for _ in range(5):
        frames.append(scalar.render())
        assert (np.uint8, (520, 440, 3)) == (frames[-1].dtype, frames[-1].shape)
        drawn = vector.render()
        assert drawn is not None
        np.testing.assert_array_equal(frames[-1], drawn[1])
        action = scalar.oracle_action()
        vector.step(np.array([UP, action]))
        if any(scalar.step(action)[2:4]):
            break
    assert not np.array_equal(frames[0], frames[1])


def test_the_image_tells_seen_cubes_from_unseen_ones_and_how_it_ended():
    env = ColorCubes("trivial", render_mode="rgb_array")
    env.reset(seed=0)
    corner = {"seen": tuple(env.render()[72, 16])}
    env.step(UP)
    corner["hidden"] = tuple(env.render()[72, 16])
    env.step(INTERACT)
    corner["failed"] = tuple(env.render()[72, 16])
    env.reset(seed=0)
    while not env.step(env.oracle_action())[2]:
        pass
    corner["success"] = tuple(env.render()[72, 16])
    assert len(set(corner.values())) == 4, "the frame around the grid says what has happened"
