"""The rules of the protocol: tracks, beacon seeds, canaries, and the document that tells of them."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from memgym.cli.main import app
from memgym.core import isolation, suites, task_env
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.protocol import (
    TRACKS,
    agent_digest,
    canary_chance,
    caught_by_canaries,
    tracks_of,
)
from memgym.core.result import read_bundle
from memgym.core.rollout import agent_seed
from memgym.core.suites import CANARY, Suite, get_suite, reserved_seeds
from memgym.core.verify import verify
from memgym.errors import SubmissionRefused, UnknownName
from memgym.leaderboard.build import build_site
from memgym.leaderboard.protocol_tables import TABLES, with_tables
from memgym.leaderboard.statistics import normalise
from memgym.leaderboard.submission import check_submission
from memgym.registry import Registry

BEACON = "0123456789abcdef" * 4
DOCUMENT = Path(__file__).parents[1] / "leaderboard" / "PROTOCOL.md"


def test_the_document_says_what_the_code_does() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert with_tables(text) == text, (
        "run python -m memgym.leaderboard.protocol_tables leaderboard/PROTOCOL.md"
    )
    assert all(f"<!-- table:{name} -->" in text for name in TABLES)


# ---------------------------------------------------------------------- tracks and scores


@pytest.mark.parametrize(
    ("kind", "most", "bounded"),
    [
        ("rl", 64, 4),
        ("rl", 65, 3),
        ("llm", 1024, 3),
        ("hybrid", 1025, 2),
        ("scripted", 1 << 18, 1),
        ("rl", 1 << 30, 0),
    ],
)
def test_tracks_follow_from_kind_and_bytes(kind: str, most: int, bounded: int) -> None:
    found = tracks_of(kind, most)
    assert sum(name.startswith("memory-") for name in found) == bounded
    assert found[0] == "open"
    assert ("llm" in found) == (kind in ("llm", "hybrid"))
    assert ("llm" in found) != ("non-llm" in found)


def test_there_are_four_budgets_and_names_are_unique() -> None:
    assert sum(track.budget is not None for track in TRACKS) == 4
    assert len({track.name for track in TRACKS}) == len(TRACKS)


def test_scores_lie_between_floor_and_ceiling_and_are_not_cut() -> None:
    assert (normalise(0.6, 0.2, 1.0), normalise(0.0, 0.5, 1.0)) == (pytest.approx(0.5), -1.0)
    with pytest.raises(ValueError, match="not above the floor"):
        normalise(0.5, 1.0, 1.0)


# ---------------------------------------------------------------------- beacon


def test_a_registered_suite_is_the_one_of_its_name() -> None:
    for name in suites.SUITES:
        made = get_suite(name).registered(BEACON)
        assert get_suite(made.name) == made
        assert made.registered(BEACON) == made
    resized = get_suite("rewriting").resized(3).registered(BEACON)
    assert resized.name == f"rewriting+episodes=3+beacon={BEACON}"
    assert get_suite(resized.name) == resized


def test_seeds_follow_from_the_beacon_alone() -> None:
    one, other = (get_suite("budgets").registered(beacon).tasks for beacon in (BEACON, "f" * 64))
    assert reserved_seeds(one[0]) == [1972964580470562799]
    assert reserved_seeds(one[0]) == reserved_seeds(one[1])  # still in pairs
    assert not {*reserved_seeds(one[0])} & {
        *reserved_seeds(other[0]),
        *reserved_seeds(get_suite("budgets").tasks[0]),
    }
    maze = get_suite("rewriting").registered(BEACON).tasks
    seeds = [seed for task in maze for seed in reserved_seeds(task)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_agents_own_seed_tells_nothing_of_a_registered_seed() -> None:
    """Not even its low bits: of two seeds that share all of them, the agent's seeds have nothing in common."""
    low = 12345
    seeds = [low + (high << 31) for high in range(1, 200)]
    assert len({agent_seed(seed, 0) for seed in seeds}) == len(seeds)
    assert len({seed % 2**31 for seed in seeds}) == 1  # what a multiplication modulo 2**31 would hand out
    assert agent_seed(7, 3) == 7 * 1_000_003 + 3  # reserved seeds are known, and results depend on this


@pytest.mark.parametrize("beacon", ["", "abc", "F" * 64, "0" * 63, "0" * 65, "g" * 64])
def test_what_is_no_beacon_is_refused(beacon: str) -> None:
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        get_suite("rewriting").registered(beacon)
    with pytest.raises(UnknownName):
        get_suite(f"rewriting+beacon={beacon}")
    with pytest.raises(UnknownName):
        get_suite(f"rewriting+beacon={BEACON}+beacon={BEACON}")


def test_digest_of_an_agent_changes_with_its_code() -> None:
    card = {"name": "a", "extra": {"code_sha256": "0"}}
    assert agent_digest(card) != agent_digest({"name": "a", "extra": {"code_sha256": "1"}})
    said = CliRunner().invoke(app, ["register", "--agent", "first-cue"])
    assert said.exit_code == 0
    assert said.stdout.split()[1:] == ["first-cue", "1"]
    assert len(said.stdout.split()[0]) == 64


# ---------------------------------------------------------------------- canaries


@pytest.fixture(scope="module", autouse=True)
def tiny() -> Any:
    """A registered suite that is small: two control tasks and a dialogue."""
    control = {task.name: task for task in get_suite("rewriting").tasks}
    tasks = (control["t-maze-n3"], control["key-value"], get_suite("quickstart").tasks[1])
    with pytest.MonkeyPatch.context() as patch:
        small = tuple(replace(task, episodes=4) for task in tasks)
        patch.setattr(suites, "TINY", Suite("tiny", "For tests.", small), raising=False)
        known = dict(suites.SUITES) | {"tiny": "memgym.core.suites:TINY"}
        patch.setattr(suites, "SUITES", Registry("suite", known))
        yield


def play(out: Path, *specs: AgentSpec) -> list[Path]:
    return run([plan(spec, get_suite(f"tiny+beacon={BEACON}"), out) for spec in specs])


def caught(folder: Path) -> str:
    bundle = read_bundle(folder)
    scores: dict[str, list[float]] = {}
    for row in bundle.episodes:
        scores.setdefault(row["task"], []).append(row["score"])
    return caught_by_canaries(get_suite(bundle.header["suite"]).tasks, scores)


@pytest.fixture(scope="module")
def honest(tiny: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("honest")
    names = ("belief", "first-cue", "cue-blind", "random", "oracle")
    return dict(zip(names, play(out, *map(AgentSpec, names)), strict=True))


def test_nothing_is_shown_and_all_of_it_replays(honest: dict[str, Path]) -> None:
    bundle = verify(honest["belief"])
    canaries = {task["name"] for task in bundle.header["tasks"] if task["name"].endswith(CANARY)}
    assert canaries == {"t-maze-n3-canary", "key-value-canary"}  # the dialogue's is not for this agent
    assert bundle.header["summary"]["t-maze-n3"]["score"] == 1.0  # it can play where it sees
    for task in get_suite(bundle.header["suite"]).tasks:
        if task.name in canaries:
            env = task_env.make_env(task)
            observation, _ = env.reset(seed=reserved_seeds(task)[0])
            assert not observation.any()
            assert canary_chance(task) == env.unwrapped.reference_scores()["cue-blind"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["belief", "first-cue", "cue-blind", "random"])
def test_honest_agents_are_at_chance(honest: dict[str, Path], name: str) -> None:
    assert caught(honest[name]) == ""


def test_who_sees_more_is_caught(honest: dict[str, Path]) -> None:
    assert "shows nothing, and the agent scores 1.000 there in 40 episodes" in caught(honest["oracle"])


def test_canaries_that_show_something_would_catch_the_honest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: it is the blank observations that keep an honest agent at chance."""
    monkeypatch.setattr(task_env, "Canary", lambda env: env)
    (folder,) = play(tmp_path, AgentSpec("belief"))
    assert "it knows them from elsewhere" in caught(folder)


def test_an_agent_is_not_told_what_is_a_canary() -> None:
    tasks = {task.name: task for task in get_suite(f"rewriting+beacon={BEACON}").tasks}
    shown = isolation._shown(tasks["t-maze-n3" + CANARY])
    assert shown == isolation._shown(tasks["t-maze-n3"])
    assert BEACON not in repr(shown)
    assert CANARY not in repr(shown)


@pytest.mark.parametrize(("right", "is_caught"), [(20, False), (28, False), (36, True), (40, True)])
def test_the_level_of_the_test(right: int, is_caught: bool) -> None:
    """Where chance is one half, 28 of 40 happen to one honest agent in a hundred, 36 to none in ten million."""
    (maze,) = [t for t in get_suite("retention").registered(BEACON).tasks if t.name == "t-maze-n1" + CANARY]
    scores = [1.0] * right + [0.0] * (40 - right)
    assert bool(caught_by_canaries([maze], {maze.name: scores})) == is_caught
    tail = sum(math.comb(40, k) for k in range(right, 41)) / 2**40
    assert (tail < 1e-3) >= is_caught  # the bound never catches more than the exact test would


# ---------------------------------------------------------------------- on the leaderboard


def test_a_registered_result_needs_its_registration(honest: dict[str, Path], tmp_path: Path) -> None:
    def check(name: str) -> None:
        check_submission(honest[name], tmp_path, rerun=lambda bundle: None)

    with pytest.raises(SubmissionRefused, match=r"rounds\.json has no round with the beacon"):
        check("belief")
    rounds: dict[str, list[str]] = {BEACON: []}
    (tmp_path / "rounds.json").write_text(json.dumps(rounds))
    with pytest.raises(SubmissionRefused, match="was not registered before the beacon was known"):
        check("belief")
    rounds[BEACON] = [agent_digest(read_bundle(honest["belief"]).header["agent"])]
    (tmp_path / "rounds.json").write_text(json.dumps(rounds))
    check("belief")


CHEAT = """
from memgym.core.agent import Agent, AgentCard

class Cheat(Agent):
    card = AgentCard("cheat", "scripted", "Reads the answer out of the environment.")
    families = ("control",)
    def wrap(self, env):
        self.env = env.unwrapped
        return env
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.env.oracle_action(), None
"""


def test_a_cheat_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "reads_the_answer.py").write_text(CHEAT)
    (folder,) = play(tmp_path / "out", AgentSpec("reads_the_answer:Cheat", isolated=False))
    assert verify(folder).header["summary"]["t-maze-n3"]["score"] == 1.0  # replay alone does not tell
    digest = agent_digest(read_bundle(folder).header["agent"])
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    (submissions / "rounds.json").write_text(json.dumps({BEACON: [digest]}))
    with pytest.raises(
        SubmissionRefused, match=r"t-maze-n3-canary.*shows nothing.*knows them from elsewhere"
    ):
        check_submission(folder, submissions)


def test_the_page_filters_by_track_and_shows_no_canary(honest: dict[str, Path], tmp_path: Path) -> None:
    index = build_site(honest["belief"].parent, tmp_path, verify=lambda folder: None)
    page = index.read_text("utf-8")
    assert '<option value="memory-16kib"' in page
    assert 'data-tracks="open memory-64b memory-1kib memory-16kib memory-256kib non-llm"' in page
    assert not any(CANARY in path.read_text("utf-8") for path in tmp_path.rglob("*.html"))
    board = json.loads((tmp_path / "results.json").read_text())
    assert all(agent["tracks"][0] == "open" for agent in board["agents"])
    assert {task["name"] for task in board["tasks"]} == {"t-maze-n3", "key-value", "dialogue-1k"}
