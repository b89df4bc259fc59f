"""The leaderboard's statistics beside rliable's, which runs in a pinned environment of its own.

    python benchmarks/rliable_check.py --venv /tmp/rliable

rliable 1.2.0 does not import beside today's pandas (its dependency arch does not), so the environment that this
command makes, where it is not there yet, holds older ones. Both sides see the same scores; what is compared are
point estimates, intervals (n of n drawn, as rliable draws), performance profiles and the probability of improvement.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import numpy as np

from memgym.core.result import write_atomically
from memgym.leaderboard.comparison import improvement
from memgym.leaderboard.statistics import draw_counts, iqm, iqm_draws, percentile_intervals

RESULTS = Path(__file__).with_name("results") / "rliable_check.json"
PINS = ("rliable==1.2.0", "arch==7.2.0", "pandas==2.2.3", "numpy==1.26.4", "scipy==1.13.1", "absl-py==2.1.0")
RESAMPLES = 10_000
LEVELS = [i / 10 for i in range(11)]
THEIRS = """
import json, sys
import numpy as np
from rliable import library, metrics
scores, resamples, levels = json.load(sys.stdin)
scores = {name: np.array(values) for name, values in scores.items()}
np.random.seed(0)
parts = (metrics.aggregate_mean, metrics.aggregate_iqm, metrics.aggregate_optimality_gap)
aggregate = lambda x: np.array([part(x) for part in parts])
points, intervals = library.get_interval_estimates(scores, aggregate, reps=resamples)
profiles, _ = library.create_performance_profile(scores, np.array(levels), reps=10)
a, b = list(scores)[:2]
better = metrics.probability_of_improvement(scores[a], scores[b])
print(json.dumps({
    "points": {k: v.tolist() for k, v in points.items()},
    "intervals": {k: v.T.tolist() for k, v in intervals.items()},
    "profiles": {k: v.tolist() for k, v in profiles.items()},
    "improvement": float(better),
}))
"""


def make_scores() -> dict[str, np.ndarray]:
    """Two agents, 10 runs of 12 tasks, shape (runs, tasks)."""
    rng = np.random.default_rng(0)
    tasks = rng.uniform(0.2, 0.8, 12)
    return {
        name: np.round(tasks + shift + rng.normal(0, 0.15, (10, 12)), 3)
        for name, shift in (("a", 0.05), ("b", 0.0))
    }


def ours(scores: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the leaderboard's own functions say."""
    found: dict[str, Any] = {"points": {}, "intervals": {}, "profiles": {}}
    rng = np.random.default_rng(1)
    for name, runs in scores.items():
        values = runs.T.ravel()  # the runs of each task one after the other
        counts = np.concatenate([draw_counts(10, rng, RESAMPLES, drawn=10) for _ in runs.T], axis=1).T
        gaps = np.maximum(0.0, 1.0 - values)
        weights = counts.astype(np.float64)
        draws = np.stack(
            [
                values @ weights / 120,
                iqm_draws(values[:, None], counts.astype(np.int16))[:, 0],
                gaps @ weights / 120,
            ],
            axis=1,
        )
        found["points"][name] = [float(values.mean()), iqm(values), float(gaps.mean())]
        found["intervals"][name] = [list(ends) for ends in percentile_intervals(draws)]
        found["profiles"][name] = [float((values > level).mean()) for level in LEVELS]
    pairs = [np.stack([scores["a"][:, t], scores["b"][:, t]], axis=1) for t in range(12)]
    found["improvement"] = float(improvement(pairs).probability[0])
    return found


def environment(folder: Path) -> Path:
    """Python of the pinned environment; made where it is missing."""
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not python.is_file():
        venv.create(folder, with_pip=True)
    have = subprocess.run([python, "-c", "from rliable import library"], capture_output=True)
    if have.returncode:
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", PINS[0]], check=True)
        needs = ("seaborn==0.13.2", "statsmodels==0.14.4", "property-cached==1.6.4")
        subprocess.run([python, "-m", "pip", "install", "-q", *PINS[1:], *needs], check=True)
    return python


def compare(folder: Path) -> dict[str, Any]:
    """Both sides, and the largest difference of each kind; intervals as a fraction of their width."""
    scores = make_scores()
    text = json.dumps([{name: runs.tolist() for name, runs in scores.items()}, RESAMPLES, LEVELS])
    done = subprocess.run([environment(folder), "-c", THEIRS], input=text, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"rliable did not run: {done.stderr[-500:]}")
    theirs, mine = json.loads(done.stdout.splitlines()[-1]), ours(scores)

    def largest(kind: str) -> float:
        return float(max(np.abs(np.subtract(theirs[kind][name], mine[kind][name])).max() for name in scores))

    ends = [(np.array(theirs["intervals"][name]), np.array(mine["intervals"][name])) for name in scores]
    widths = [np.abs(a - b) / (a[:, 1:] - a[:, :1]) for a, b in ends]
    return {
        "pins": list(PINS),
        "points": largest("points"),
        "profiles": largest("profiles"),
        "improvement": abs(theirs["improvement"] - mine["improvement"]),
        "interval ends / width": float(max(part.max() for part in widths)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--venv", type=Path, required=True, help="folder of the pinned environment")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    found = compare(args.venv)
    print(json.dumps(found, indent=1))
    write_atomically(args.out, json.dumps(found, indent=1).encode() + b"\n")


if __name__ == "__main__":
    main()
