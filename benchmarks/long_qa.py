"""What a long stream costs: LongHorizonQA from 100,000 to ten million words, read with NOOPs.

    python benchmarks/long_qa.py --out benchmarks/results/long_qa

Every measurement has a process of its own on one thread and the lengths take turns, so that what else the machine
does falls on all alike. Figures are medians over the rounds, with least and greatest:

- reset: seconds of the clock until the first chunk is there, the first time in a process (which makes the sentences
  in between) and again.
- words per CPU second: a whole episode of `step` with an action that does nothing.
- peak memory: of the process after the episode (Linux); growth is what the longest stream takes over the shortest.
- splitting: words per CPU second of `text.split()` on one chunk, a yardstick of the machine at that moment.
"""

import argparse
import json
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ENV_ID = "memgym/LongHorizonQA-v0"
LENGTHS = (100_000, 1_000_000, 10_000_000)
TASKS: dict[str, dict[str, Any]] = {
    "medium, chunks of 512 words": {},
    "hard, chunks of 512 words": {"difficulty": "hard"},
    "medium, chunks of 4,096 words": {"chunk_words": 4096},
    "medium, chunks of 128 words": {"chunk_words": 128},
}
KEYS = ("first_reset_s", "reset_s", "words_per_cpu_s", "peak_mb", "split_words_per_cpu_s")


def measure(num_words: int, kwargs: dict[str, Any]) -> dict[str, float]:
    """One episode in this process."""
    import gymnasium as gym

    import memgym  # noqa: F401 - registers the environments
    from memgym.memory import as_action

    env = gym.make(ENV_ID, num_words=num_words, **kwargs)
    times = []
    text, noop, done = "", as_action(), False
    for _ in range(2):
        start = time.perf_counter()
        text = env.reset(seed=0)[0]["text"]
        times.append(time.perf_counter() - start)
    start = time.process_time()
    while not done:
        done = env.step(noop)[2]
    passed = time.process_time() - start
    peak = peak_mb()
    start, splits = time.process_time(), 0
    while time.process_time() - start < 0.1:
        splits += len(text.split())
    split = splits / (time.process_time() - start)
    return dict(zip(KEYS, (*times, num_words / passed, peak, split), strict=True))


def peak_mb() -> float:
    """The most memory that this process has had; not `getrusage`, which starts from that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


def in_a_process(num_words: int, kwargs: dict[str, Any]) -> dict[str, float]:
    """`measure` in a fresh process."""
    command = [sys.executable, __file__, "--one", json.dumps([num_words, kwargs])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def page(content: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "# Cost of a long stream",
        "",
        "LongHorizonQA read with NOOPs, one thread; medians (least - greatest).",
        "",
        f"- command: `{content['command']}`",
        "- versions: " + ", ".join(f"{name} {version}" for name, version in content["versions"].items()),
        "",
        "| task | words | first reset, s | reset, s | words per CPU second | splitting, words per CPU second "
        "| peak memory, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in content["rows"]:
        cells = [row["task"], f"{row['num_words']:,}"]
        cells += [spread(row["first_reset_s"], 3), spread(row["reset_s"], 3)]
        cells += [spread(row["words_per_cpu_s"], 0), spread(row["split_words_per_cpu_s"], 0)]
        lines.append("| " + " | ".join([*cells, spread(row["peak_mb"], 1)]) + " |")
    lines += ["", "Growth of the peak from the shortest to the longest stream, between medians:", ""]
    for task in TASKS:
        peaks = [row["peak_mb"]["median"] for row in content["rows"] if row["task"] == task]
        lines.append(f"- {task}: {peaks[-1] - peaks[0]:+.1f} MB")
    return "\n".join(lines) + "\n"


def spread(row: dict[str, float], digits: int) -> str:
    """A median with its range."""
    median, least, greatest = (f"{row[key]:,.{digits}f}" for key in ("median", "least", "greatest"))
    return f"{median} ({least} - {greatest})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each length (default 3)")
    parser.add_argument("--out", type=Path, help="file to write, without a suffix: OUT.json and OUT.md")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*json.loads(given.one))))
        return
    import gymnasium
    import numpy

    cases = [(task, length) for task in TASKS for length in LENGTHS]
    found: dict[tuple[str, int], list[dict[str, float]]] = {case: [] for case in cases}
    for _ in range(given.rounds):
        for task, length in cases:
            found[task, length].append(in_a_process(length, TASKS[task]))
    rows = []
    for (task, length), runs in found.items():
        row: dict[str, Any] = {"task": task, "kwargs": TASKS[task], "num_words": length}
        for key in KEYS:
            values = [run[key] for run in runs]
            row[key] = {
                "median": statistics.median(values),
                "least": min(values),
                "greatest": max(values),
            }
        rows.append(row)
    content = {
        "command": "python benchmarks/long_qa.py --out benchmarks/results/long_qa",
        "rounds": given.rounds,
        "versions": {
            "python": platform.python_version(),
            "gymnasium": gymnasium.__version__,
            "numpy": numpy.__version__,
        },
        "rows": rows,
    }
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
        given.out.with_suffix(".md").write_text(page(content))
    print(page(content))


if __name__ == "__main__":
    main()
