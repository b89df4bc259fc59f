"""How fast long data streams by, and how much memory it takes: BABILong, MemoryAgentBench, a LongMemEval file.

    python benchmarks/long_data.py --rounds 5 --words 10000000 --megabytes 300

Figures are medians of CPU seconds over the rounds with their spread; all rows are measured in turn in one process
and the peak of its resident memory is printed after each. The LongMemEval file is made: its format, of the asked
size, of words of no meaning. bAbI and MemoryAgentBench are looked for as always (`memgym data list`).
"""

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from memgym.core.env import MemoryEnv
from memgym.datasets.json_records import iter_records
from memgym.datasets.longmemeval import open_longmemeval
from memgym.envs.babilong import BABILong
from memgym.envs.memory_agent_bench import MemoryAgentBench
from memgym.memory import as_action

SESSIONS, TURNS, WORDS = 500, 10, 150  # of a record, as in variant m


def make_history_file(path: Path, megabytes: int) -> None:
    """Records in LongMemEval's format until the file is large enough."""
    text = " ".join(f"w{i * 7919 % 9973}" for i in range(WORDS))
    session = [{"role": ("user", "assistant")[i % 2], "content": f'{text}\n"{i}"'} for i in range(TURNS)]
    record = {
        "question_type": "multi-session",
        "question": "Which?",
        "answer": "w1",
        "question_date": "2023/05/30 (Tue) 23:40",
        "haystack_session_ids": [f"s{i}" for i in range(SESSIONS)],
        "haystack_dates": [f"2023/05/{1 + i % 28:02d} (Mon) 10:00" for i in range(SESSIONS)],
        "haystack_sessions": [session] * SESSIONS,
        "answer_session_ids": ["s1"],
    }
    with path.open("w") as file:
        file.write("[")
        number = 0
        while file.tell() < megabytes * 1e6:
            file.write("," * (number > 0) + json.dumps({"question_id": f"q{number}", **record}))
            number += 1
        file.write("]")


def play(env: MemoryEnv) -> int:
    """One episode of doing nothing; returns the words shown."""
    observation, _ = env.reset(seed=0)
    words, done, action = 0, False, as_action()
    while not done:
        words += observation["text"].count(" ") + 1
        observation, _, done, _, _ = env.step(action)
    return words


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--words", type=int, default=10_000_000, help="of the longest BABILong text")
    parser.add_argument("--megabytes", type=int, default=300, help="size of the LongMemEval file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "histories.json"
        make_history_file(path, args.megabytes)
        size = path.stat().st_size

        def check() -> int:
            open_longmemeval("m", path)
            return size

        def scan() -> int:
            return sum(len(data) for _, data in iter_records(path))

        rows: list[tuple[str, str, Callable[[], int]]] = [
            (
                f"BABILong, {n:,} words in chunks of {chunk:,}",
                "words",
                lambda n=n, chunk=chunk: play(BABILong(num_words=n, chunk_words=chunk, tasks=(1,))),
            )
            for n, chunk in ((args.words // 100, 100), (args.words // 100, 1000), (args.words, 1000))
        ]
        facts = MemoryAgentBench(sources=["factconsolidation_sh_262k"])
        rows.append(("MemoryAgentBench, 18,332 facts in chunks of 3,000 words", "words", lambda: play(facts)))
        rows.append(("LongMemEval, cutting a file into records", "bytes", scan))
        rows.append(("LongMemEval, checking a file", "bytes", check))
        rates: dict[str, list[float]] = {name: [] for name, _, _ in rows}
        for round_ in range(args.rounds):
            # the index of a checked file is kept, so each round has a cache of its own
            os.environ["MEMGYM_CACHE"] = str(Path(folder) / f"cache{round_}")
            os.utime(path, ns=(round_, round_))
            for name, _, work in rows:
                start = time.process_time()
                done = work()
                rates[name].append(done / (time.process_time() - start))
                if round_ == 0:
                    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                    print(f"# peak of resident memory after {name}: {peak:.0f} MB", file=sys.stderr)
        print("| what | a CPU second | slowest to fastest round |\n| --- | --- | --- |")
        for name, unit, _ in rows:
            found = [rate / 1e6 for rate in rates[name]]
            print(
                f"| {name} | {statistics.median(found):.2f} million {unit} "
                f"| {min(found):.2f} to {max(found):.2f} |"
            )


if __name__ == "__main__":
    main()
