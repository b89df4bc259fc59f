"""A result becomes a submission: what is asked of it beyond being true, and where it goes.

A submission is a result bundle in ``submissions/<suite>/<agent>/<version>/``. It stays as it is for good: a better
result is a new version beside it, never in its place.
"""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from memgym.core.lines import parse_json
from memgym.core.protocol import agent_digest, caught_by_canaries
from memgym.core.result import (
    HEADER_FILE,
    NAME,
    Bundle,
    check_files,
    find_bundles,
    read_bundle,
    read_timings,
    sha256_file,
)
from memgym.core.suites import CANARY, Task, get_suite
from memgym.core.verify import verify
from memgym.errors import ResultInvalid, SubmissionRefused, UnknownName

from .cards import read_card
from .formats import https_url
from .per_task import CEILING, FLOOR, JUDGE
from .totals import read_totals

__all__ = ["check_pull_request", "check_submission", "place_of", "submit"]

Rerun = Callable[[Bundle], None]
MAX_BYTES = 64 << 20  # of a whole bundle, packed
MAX_STEPS_PER_SECOND = 5e6  # of wall time; the bare environments reach a fifth of it
MAX_CORES = 4096
ROUNDS_FILE = (
    "rounds.json"  # among the submissions: of each beacon, the digests of the agents registered before it
)
MIN_DESCRIPTION = 20


def submit(folder: Path, submissions: Path, rerun: Rerun | None = None) -> Path:
    """Check a result and copy it into a folder of submissions.

    Args:
        folder: the result bundle.
        submissions: e.g. ``leaderboard/submissions``.
        rerun: see `check_submission`.

    Returns:
        Where it lies now.

    Raises:
        SubmissionRefused: with the reason; nothing is written.
        ResultError: the result cannot be read, or does not replay to its own numbers.
        MemgymError: it cannot be checked on this machine.
    """
    bundle = check_submission(folder, submissions, rerun)
    target = place_of(bundle, submissions)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        for name in (*bundle.header["manifest"], HEADER_FILE):
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, part / name)
        check_files(part)  # what was checked is what was copied
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def place_of(bundle: Bundle, submissions: Path) -> Path:
    """Where a bundle belongs among the submissions."""
    card = bundle.header["agent"]
    return submissions / bundle.header["suite"] / card["name"] / card["version"]


def check_submission(folder: Path, submissions: Path, rerun: Rerun | None = None) -> Bundle:
    """Check all that can be checked of a result before it is shown.

    Args:
        folder: the result bundle.
        submissions: folder of those that are there already; it need not exist.
        rerun: plays the registered agent of the result again and raises where it did something else. It is asked
            for agents of kind ``"reference"``, which nobody may make up; without it they are refused.

    Raises:
        SubmissionRefused: with the reason.
        ResultError: the result cannot be read, or does not replay to its own numbers.
        MemgymError: it cannot be checked on this machine.
    """
    _check_folder(folder)
    bundle = read_bundle(folder)
    card = read_card(folder, bundle.header["agent"])
    if extra := set(bundle.header["agent"]) - set(card):
        raise SubmissionRefused(f"the card has a field {min(extra)!r} that no card has.")
    _check_card(card)
    _check_tasks(bundle.header)
    _check_registration(bundle, submissions)
    _check_is_new(bundle, submissions)
    _check_numbers(bundle, card)
    verify(folder)
    _check_costs(bundle)
    _check_canaries(bundle, card)
    if card["kind"] == "reference" or card["name"] in (FLOOR, CEILING):
        if rerun is None:
            raise SubmissionRefused(f"{card['name']!r} is a reference; it is played again before it enters.")
        rerun(bundle)
    return bundle


def check_pull_request(proposed: Path, accepted: Path, rerun: Rerun | None = None) -> Iterator[Path]:
    """Check what a pull request does to the submissions, and yield each new one once it is found good.

    Args:
        proposed: the folder of submissions as the pull request would have it.
        accepted: the folder as it is.
        rerun: see `check_submission`.

    Raises:
        SubmissionRefused: one that was there is changed or gone, or a new one lies in the wrong place.
        MemgymError: from `check_submission`.
    """
    before, after = _files(accepted), _files(proposed)
    for name, digest in before.items():
        if after.get(name) != digest:
            what = "changed" if name in after else "removed"
            raise SubmissionRefused(f"{name} was {what}. Submissions stay; a new version goes beside them.")
    new = {name for name in after if name not in before}
    known = {path.relative_to(accepted) for path in find_bundles(accepted)} if _holds(accepted) else set()
    fresh = (
        [path for path in find_bundles(proposed) if path.relative_to(proposed) not in known] if new else []
    )
    stray = sorted(
        name for name in new if not any(Path(name).is_relative_to(p.relative_to(proposed)) for p in fresh)
    )
    if stray:
        raise SubmissionRefused(f"{stray[0]} belongs to no new submission.")
    checked: list[Bundle] = []
    for folder in fresh:
        bundle = check_submission(folder, accepted, rerun)
        if place_of(bundle, proposed) != folder:
            right = place_of(bundle, proposed).relative_to(proposed)
            raise SubmissionRefused(f"{folder.relative_to(proposed)} belongs in {right}.")
        for other in checked:
            _check_not_same(bundle, other.header, other.path)
        checked.append(bundle)
        yield folder


def _holds(folder: Path) -> bool:
    return any(folder.rglob(HEADER_FILE)) if folder.is_dir() else False


def _files(folder: Path) -> dict[str, str]:
    """sha256 of each file of a folder by its path in it; links and odd files are refused."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise SubmissionRefused(f"{name!r} is a link or no plain file.")
        if path.is_file():
            if path.stat().st_size > MAX_BYTES:
                raise SubmissionRefused(f"{name!r} is larger than {MAX_BYTES >> 20} MiB.")
            found[name] = sha256_file(path)
    return found


def _check_folder(folder: Path) -> None:
    """Plain files of a bundle and nothing else; what they hold is not looked at."""
    if not folder.is_dir():
        raise SubmissionRefused(f"{folder} is not a folder with a result bundle.")
    total = 0
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise SubmissionRefused(f"{name!r} is a link; a submission holds its files itself.")
        if path.is_dir() and name != "traces":
            raise SubmissionRefused(f"{name!r} is a folder that no result bundle has.")
        if path.is_file():
            total += path.stat().st_size
            if not re.fullmatch(rf"{re.escape(HEADER_FILE)}|(traces/)?[A-Za-z0-9._-]+\.jsonl\.gz", name):
                raise SubmissionRefused(f"{name!r} is a file that no result bundle has.")
    if total > MAX_BYTES:
        raise SubmissionRefused(f"its files have {total} bytes; a submission has at most {MAX_BYTES}.")
    listed = set(check_files(folder)["manifest"]) | {HEADER_FILE}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in listed:
            raise SubmissionRefused(f"{name!r} is a file that its manifest does not name.")


def _check_card(card: Mapping[str, Any]) -> None:
    if not re.match(NAME, card["name"]):
        raise SubmissionRefused(
            f"the agent's name is letters, digits, '.', '_' and '-', not {card['name']!r}."
        )
    if not re.match(NAME, card["version"]):
        raise SubmissionRefused(f"the agent's version is like '1.2', not {card['version']!r}.")
    texts = [card["description"], card["licence"], card["url"], *card["authors"], *card["trained_on"]]
    if not all(text.isprintable() for text in texts):
        raise SubmissionRefused("a text of the card has characters that cannot be printed.")
    if len(card["description"].split()) < 3 or len(card["description"]) < MIN_DESCRIPTION:
        raise SubmissionRefused("the card's description does not say how the agent remembers.")
    if not any(author.strip() for author in card["authors"]):
        raise SubmissionRefused("the card names no author.")
    if not card["licence"].strip():
        raise SubmissionRefused("the card names no licence.")
    if card["url"] and not https_url(card["url"]):
        raise SubmissionRefused(f"the card's url is not an https address: {card['url'][:80]!r}.")
    if card["training_steps"] and not card["parameters"]:
        raise SubmissionRefused("the card names training steps and no parameters that were trained.")


def _check_tasks(header: Mapping[str, Any]) -> None:
    """A whole suite as it stands, or a whole family of it."""
    if any(not part.startswith("beacon=") for part in header["suite"].split("+")[1:]):
        raise SubmissionRefused(
            f"suite {header['suite']!r} has numbers of its own; submissions play {header['suite'].split('+')[0]!r}."
        )
    try:
        suite = get_suite(header["suite"])
    except UnknownName as error:
        raise SubmissionRefused(f"suite: {error}") from None
    families = {task.name: _family(task) for task in suite.tasks}
    played = {task["name"] for task in header["tasks"]}
    for row in header["skipped"]:
        name = row.get("task", "")
        if name not in families:
            raise SubmissionRefused(f"task {name!r} was skipped, which suite {suite.name!r} does not have.")
        if any(families[name] == families.get(other) for other in played):
            raise SubmissionRefused(
                f"task {name!r} is missing ({row.get('reason', '')[:120]}): whoever plays {families[name]} tasks "
                "plays all of the suite."
            )
    missing = [
        name for name in families if name not in played | {row.get("task") for row in header["skipped"]}
    ]
    if missing:
        raise SubmissionRefused(f"task {missing[0]!r} of suite {suite.name!r} is missing.")


def _check_registration(bundle: Bundle, submissions: Path) -> None:
    """Seeds from a beacon count where the agent was registered before the beacon was known."""
    _, is_registered, beacon = bundle.header["suite"].partition("+beacon=")
    if not is_registered:
        return
    path = submissions / ROUNDS_FILE
    rounds = parse_json(path.read_bytes()) if path.is_file() else {}
    if beacon not in rounds:
        raise SubmissionRefused(f"{ROUNDS_FILE} has no round with the beacon {beacon}.")
    digest = agent_digest(bundle.header["agent"])
    if digest not in rounds[beacon]:
        raise SubmissionRefused(
            f"the agent, {digest}, was not registered before the beacon was known. Whoever changes an agent or its "
            "card registers it again, for the next round."
        )


def _family(task: Task) -> str:
    """What kind of agent plays it, without making the environment, whose data may not be here."""
    try:
        creator = load_env_creator(str(gym.spec(task.env_id).entry_point))
    except (gym.error.Error, ImportError):  # of another package, which is not installed
        return "control"
    return getattr(creator, "family", "control")


def _check_is_new(bundle: Bundle, submissions: Path) -> None:
    for folder in find_bundles(submissions) if _holds(submissions) else ():
        _check_not_same(bundle, check_files(folder), folder)


def _check_not_same(bundle: Bundle, other: Mapping[str, Any], path: Path) -> None:
    mine = bundle.header
    who = (mine["suite"], mine["agent"]["name"], mine["agent"]["version"])
    where = "/".join(path.parts[-3:])
    if mine["digest"] == other["digest"]:
        raise SubmissionRefused(f"it is there already: {where} has the same digest.")
    if who == (other["suite"], other["agent"]["name"], other["agent"]["version"]):
        raise SubmissionRefused(f"{where} is there already; give the card another version.")
    if mine["content"] == other["content"]:
        raise SubmissionRefused(f"it is the result of {where}, action for action, under another name.")


def _check_numbers(bundle: Bundle, card: Mapping[str, Any]) -> None:
    for task in bundle.header["tasks"]:
        if task["metric"].startswith(JUDGE):
            raise SubmissionRefused(
                f"task {task['name']!r} is scored by a language model, which ranks nobody."
            )
    for task, totals in read_totals(bundle).items():
        if totals.errors == sum(totals.sizes) and not task.endswith(CANARY):
            raise SubmissionRefused(f"task {task!r}: every episode ended in an error of the agent.")
        if card["setting"] == "closed-book" and card["kind"] != "reference" and totals.memory_max:
            raise SubmissionRefused(
                f"task {task!r}: an agent of the closed-book setting held {totals.memory_max} bytes of memory."
            )


def _check_canaries(bundle: Bundle, card: Mapping[str, Any]) -> None:
    """Tasks that show nothing, on which only the privileged do better than chance."""
    scores: dict[str, list[float]] = {}
    for row in bundle.episodes:
        scores.setdefault(row["task"], []).append(row["score"])
    if not card["privileged"] and (
        reason := caught_by_canaries(get_suite(bundle.header["suite"]).tasks, scores)
    ):
        raise SubmissionRefused(f"{reason}.")


def _check_costs(bundle: Bundle) -> None:
    """Times that cannot be: episodes left out, or faster than the environment without an agent."""
    times: Counter[tuple[str, int, int]] = Counter()
    wall, cpu = Counter[str](), Counter[str]()
    for row in read_timings(bundle.path):
        times[row["task"], row["seed"], row["episode"]] += 1
        wall[row["task"]] += row["wall_s"]
        cpu[row["task"]] += row["cpu_s"]
    played = Counter((row["task"], row["seed"], row["episode"]) for row in bundle.episodes)
    if times != played:
        task, seed, episode = min((times - played) | (played - times))
        raise SubmissionRefused(f"timings: task {task!r}, seed {seed}, episode {episode} is not there once.")
    for task in sorted({row["task"] for row in bundle.episodes}):
        steps = sum(row["length"] for row in bundle.episodes if row["task"] == task)
        if steps > MAX_STEPS_PER_SECOND * wall[task]:
            raise SubmissionRefused(f"impossible cost: {steps} steps of {task!r} in {wall[task]:.6f} s.")
        if cpu[task] > MAX_CORES * wall[task]:
            raise SubmissionRefused(
                f"impossible cost: {cpu[task]:.3f} s of CPU in {wall[task]:.6f} s on {task!r}."
            )


def refuse_unless_same(bundle: Bundle, again: Bundle) -> None:
    """For a rerun: raise unless both did the same.

    Raises:
        SubmissionRefused: names the first file that differs.
    """
    for name, digest in bundle.header["content"].items():
        if again.header["content"].get(name) != digest:
            raise SubmissionRefused(
                f"{bundle.header['agent']['name']!r} was played again and did something else: {name} differs."
            )
    if again.header["content"].keys() - bundle.header["content"].keys():
        raise ResultInvalid("the rerun played tasks that the result has not.")
