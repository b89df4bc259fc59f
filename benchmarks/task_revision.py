"""What agents score on TaskRevision by type of question, and how fast a conversation of any length streams by.

    python benchmarks/task_revision.py --episodes 100 --out benchmarks/results/task_revision.md

Choice answers, split "test", episodes 0, 1, ... of seed 0. A score is the mean over all questions of a type; the
overall one is the mean over episodes with its standard error. Times are CPU time of this process.
"""

import argparse
import resource
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import gymnasium as gym

from memgym.checks import play_by_name
from memgym.memory import as_action
from memgym.worlds.task_revision import QUESTION_TYPES

ID = "memgym/TaskRevision-v0"
AGENTS = ("closed-book", "random", "rules", "add-all-bm25", "recency", "full-context", "oracle")
WORDS = (100_000, 1_000_000, 10_000_000)


def scores(agent: str, episodes: int, preset: str, budget: int) -> dict[str, str]:
    """Mean score by type, and over all."""
    kwargs = {"preset": preset, "answer_format": "choice", "split": "test"}
    played = play_by_name(agent, ID, episodes, memory_budget=budget, view_bytes=budget, **kwargs)
    failed = [episode.error for episode in played if episode.error]
    if failed:
        raise RuntimeError(f"{agent}: {failed[0]}")
    by_type: dict[str, list[float]] = defaultdict(list)
    for episode in played:
        for question in episode.questions:
            by_type[question["type"]].append(question["score"])
    row = {type_: f"{mean(by_type[type_]):.2f}" if by_type[type_] else "" for type_ in QUESTION_TYPES}
    total = [episode.score for episode in played]
    error = stdev(total) / len(total) ** 0.5 if len(total) > 1 else 0.0
    return {"all": f"{mean(total):.3f} ± {error:.3f}", **row}


def pass_of_noops(num_words: int) -> str:
    """One row: reset, words a second and resident memory of a whole episode in which nothing is kept."""
    env = gym.make(ID, num_words=num_words).unwrapped
    start = time.process_time()
    observation, _ = env.reset(seed=0)
    started, words, steps, done = time.process_time(), 0, 0, False
    action = as_action()
    while not done:
        words += observation["text"].count(" ") + 1
        observation, _, done, _, _ = env.step(action)
        steps += 1
    spent = time.process_time() - started
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"| {words:,} | {steps:,} | {1000 * (started - start):.1f} | {words / spent / 1e6:.2f} | {resident:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--budgets", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--agents", nargs="+", default=AGENTS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines = [
        "# TaskRevision",
        "",
        "| words | steps | reset, ms | million words a second | peak resident, MiB |",
    ]
    lines += ["| ---: | ---: | ---: | ---: | ---: |", *map(pass_of_noops, WORDS)]
    for budget in given.budgets:
        rows = {agent: scores(agent, given.episodes, given.preset, budget) for agent in given.agents}
        lines += ["", f"Preset {given.preset}, {budget} bytes, {given.episodes} episodes.", ""]
        lines += [f"| type | {' | '.join(rows)} |", f"| --- |{' ---: |' * len(rows)}"]
        for type_ in ("all", *QUESTION_TYPES):
            lines.append(f"| {type_} | {' | '.join(row[type_] for row in rows.values())} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        given.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
