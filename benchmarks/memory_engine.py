"""What one operation costs the memory engine at 1,000, 10,000 and 100,000 entries, beside the raw libraries under it.

    python benchmarks/memory_engine.py --out benchmarks/results/memory_engine

CPU microseconds of single operations, of 24-word texts with Zipf's frequencies. Contestants of one kind take turns,
operation by operation, so that other work on the machine slows all alike; the ratio is the median of the ratios of
neighbours. Raw libraries: a dict (text by id), SQLite's FTS5 (in memory, Porter stemmer, the same queries) and a
numpy matrix (384 dimensions, product and `argpartition`). Engines: flat (a plain bank, as in environments), flat
with its lexical index built, extended (the same with all operations allowed), and in a file
(`synchronous="NORMAL"`). Searches with content words and with common ones are timed apart: BM25's time grows with the
entries that a word is in.
"""

import argparse
import json
import platform
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from memgym.memory import MemoryEngine, MemoryOp
from memgym.memory.persistent import PersistentEngine
from memgym.memory.vectors import VectorIndex

SIZES = (1_000, 10_000, 100_000)
WORDS, VOCABULARY, DIMENSION, K = 24, 20_000, 384, 10
CONTENT, COMMON = (100, 5_000), (0, 100)  # ranks of the words in a query
Timed = dict[str, list[float]]


class Texts:
    """Texts, queries and vectors, drawn from one seed; a vector belongs to the number in "text 12: ...", no words."""

    name = "drawn"

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        weights = 1 / np.arange(1, VOCABULARY + 1)
        drawn = rng.choice(VOCABULARY, (count, WORDS), p=weights / weights.sum())
        self.texts = [f"text {i}: " + " ".join(f"w{word}" for word in row) for i, row in enumerate(drawn)]
        self.rng = rng
        self.vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)

    def query(self, ranks: tuple[int, int]) -> str:
        """Six words."""
        return " ".join(f"w{word}" for word in self.rng.integers(*ranks, 6))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """The vectors of texts that this object has made."""
        return self.vectors[[int(text.split(":")[0].split()[1]) for text in texts]]


def timed(contestants: dict[str, Callable[[int], Any]], count: int) -> Timed:
    """CPU seconds of `count` calls of each, in turns; a first call that is not counted goes before."""
    times: Timed = {name: [] for name in contestants}
    for i in range(count + 1):
        for name, call in contestants.items():
            start = time.thread_time()
            call(i)
            times[name].append(time.thread_time() - start)
    return {name: row[1:] for name, row in times.items()}


def summary(times: Timed, raw: str) -> dict[str, Any]:
    """Medians with spread in microseconds, and what each takes in times of the raw library."""
    rows = {}
    for name, row in times.items():
        low, *_, high = statistics.quantiles(row, n=10)
        ratio = statistics.median(mine / other for mine, other in zip(row, times[raw], strict=True) if other)
        rows[name] = {
            "median_us": round(statistics.median(row) * 1e6, 1),
            "p10_us": round(low * 1e6, 1),
            "p90_us": round(high * 1e6, 1),
            "times_raw": round(ratio, 2),
        }
    return rows


class FTS:
    """FTS5 as `memgym.memory.lexical` uses it, and nothing else."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("CREATE VIRTUAL TABLE doc USING fts5(text, tokenize='porter unicode61')")
        self.db.executemany("INSERT INTO doc(rowid, text) VALUES (?, ?)", enumerate(texts, 1))

    def put(self, key: int, text: str) -> None:
        """Add or replace a text."""
        self.db.execute("INSERT OR REPLACE INTO doc(rowid, text) VALUES (?, ?)", (key, text))

    def remove(self, key: int) -> None:
        """Remove a text."""
        self.db.execute("DELETE FROM doc WHERE rowid = ?", (key,))

    def search(self, query: str) -> list[Any]:
        """The best rows with their rank."""
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(query.split()))
        find = "SELECT rowid, rank FROM doc WHERE doc MATCH ? ORDER BY rank, rowid LIMIT ?"
        return self.db.execute(find, (match, K)).fetchall()


def filled(engine: MemoryEngine, texts: Sequence[str]) -> MemoryEngine:
    for i, text in enumerate(texts):
        engine.apply(MemoryOp.add(text, time="2024-01-01"), step=i)
    return engine


def measure(size: int, count: int, folder: Path) -> dict[str, Any]:
    """All rows at one size."""
    source = Texts(size + 2 * count + 2)
    texts, spare = source.texts[:size], source.texts[size:]
    found: dict[str, Any] = {}
    start = time.process_time()
    plain = filled(MemoryEngine(), texts)
    found["build_flat_cpu_s"] = time.process_time() - start
    indexed, extended = filled(MemoryEngine(), texts), filled(MemoryEngine(extended=True), texts)
    start = time.process_time()
    indexed.search("w1")
    found["build_lexical_cpu_s"] = time.process_time() - start
    extended.search("w1")
    with PersistentEngine(folder / f"{size}.db") as file:
        filled(file, texts)
        raw, fts = dict(enumerate(texts, 1)), FTS(texts)
        queries = {ranks: [source.query(ranks) for _ in range(count + 1)] for ranks in (CONTENT, COMMON)}
        for name, ranks in (("search, content words", CONTENT), ("search, common words", COMMON)):
            asked = queries[ranks]
            for i in (0, 1):  # both find the same
                keys = [hit.entry.number for hit in indexed.search(asked[i], K)]
                assert keys == [key for key, _ in fts.search(asked[i])]
            found[name] = summary(
                timed(
                    {
                        "FTS5": lambda i, asked=asked: fts.search(asked[i]),
                        "flat": lambda i, asked=asked: indexed.search(asked[i], K),
                        "extended": lambda i, asked=asked: extended.search(asked[i], K),
                    },
                    count,
                ),
                "FTS5",
            )
        found["ADD"] = _changes(
            raw,
            fts,
            [plain, indexed, extended, file],
            count,
            lambda i: MemoryOp.add(spare[i], time="2024-01-01"),
            lambda i: (size + i + 1, spare[i]),
        )
        found["UPDATE"] = _changes(
            raw,
            fts,
            [plain, indexed, extended, file],
            count,
            lambda i: MemoryOp.update(f"m{1 + i * size // (count + 1)}", spare[count + i], time="2024-01-02"),
            lambda i: (1 + i * size // (count + 1), spare[count + i]),
        )
        found["DELETE"] = _changes(
            raw,
            fts,
            [plain, indexed, extended, file],
            count,
            lambda i: MemoryOp.delete(f"m{1 + i * size // (count + 1)}"),
            lambda i: (1 + i * size // (count + 1), None),
        )
        file_path = file.path
    found["file_mb"] = round(file_path.stat().st_size / 1e6, 1)
    start = time.process_time()
    PersistentEngine(file_path).close()
    found["open_file_cpu_s"] = time.process_time() - start
    found["search, dense"] = _dense(source, size, count)
    return found


def _changes(
    raw: dict[int, str],
    fts: FTS,
    engines: Sequence[MemoryEngine],
    count: int,
    op: Callable[[int], MemoryOp],
    row: Callable[[int], tuple[int, str | None]],
) -> dict[str, Any]:
    def change_dict(i: int) -> None:
        key, text = row(i)
        if text is None:
            raw.pop(key, None)
        else:
            raw[key] = text

    def change_fts(i: int) -> None:
        key, text = row(i)
        if text is None:
            fts.remove(key)
        else:
            fts.put(key, text)

    def change(engine: MemoryEngine) -> Callable[[int], None]:
        def apply(i: int) -> None:
            assert engine.apply(ops[i]).ok

        return apply

    ops = [op(i) for i in range(count + 1)]
    names = ("flat", "flat, indexed", "extended, indexed", "in a file")
    contestants: dict[str, Callable[[int], Any]] = {"dict": change_dict, "FTS5": change_fts}
    contestants |= {name: change(engine) for name, engine in zip(names, engines, strict=True)}
    return summary(timed(contestants, count), "FTS5")


def _dense(source: Texts, size: int, count: int) -> dict[str, Any]:
    """The engine's dense index beside a numpy matrix; the query's vector is looked up in both."""
    index = VectorIndex(source, enumerate(source.texts[:size], 1))
    matrix = source.vectors[:size].copy()
    asked = source.texts[size : size + count + 1]

    def raw(i: int) -> list[int]:
        scores = matrix @ source.embed([asked[i]])[0]
        best = np.argpartition(scores, -K)[-K:]
        return (best[np.argsort(-scores[best])] + 1).tolist()

    assert raw(0) == [key for key, _ in index.search(asked[0], K)]
    return summary(timed({"numpy": raw, "dense": lambda i: index.search(asked[i], K)}, count), "numpy")


def report(result: dict[str, Any]) -> str:
    """The tables in Markdown."""
    sizes = list(result["sizes"])
    lines = [
        "# Cost of a memory operation",
        "",
        "CPU microseconds of one operation, medians (10th - 90th percentile); in brackets times the raw library.",
        "Growth is the factor from one size to the next; entries grow tenfold.",
        "",
        f"- command: `{result['command']}`",
        f"- {result['count']} operations of each kind and size; {result['versions']}",
        "- synchronous NORMAL for the file; its DELETE leaves unused bytes to `compact`, which is not in here",
    ]
    for kind in result["sizes"][sizes[0]]:
        rows = [result["sizes"][size][kind] for size in sizes]
        if not isinstance(rows[0], dict):
            continue
        raw = "numpy" if "numpy" in rows[0] else "FTS5"
        lines += ["", f"## {kind}", "", f"| | {' | '.join(f'{int(size):,}' for size in sizes)} | growth |"]
        lines += ["| --- | " + "---: | " * len(sizes) + "---: |"]
        for name in rows[0]:
            cells = []
            for row in (each[name] for each in rows):
                times = "" if name == raw else f" [{row['times_raw']} x {raw}]"
                cells.append(f"{row['median_us']:,} ({row['p10_us']:,} - {row['p90_us']:,}){times}")
            growth = [
                f"{after[name]['median_us'] / max(before[name]['median_us'], 0.1):.1f}"
                for before, after in pairwise(rows)
            ]
            lines.append(f"| {name} | {' | '.join(cells)} | {', '.join(growth)} |")
    lines += ["", "## Building and opening", "", f"| | {' | '.join(f'{int(size):,}' for size in sizes)} |"]
    lines += ["| --- | " + "---: | " * len(sizes)]
    for kind, name in BUILDS.items():
        cells = [f"{result['sizes'][size][kind]:,.2f}" for size in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


BUILDS = {
    "build_flat_cpu_s": "ADD of all entries to a flat bank, CPU s",
    "build_lexical_cpu_s": "lexical index at the first search, CPU s",
    "open_file_cpu_s": "opening the file, CPU s",
    "file_mb": "file, MB",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path, default=None, help="without an ending; .json and .md are written")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "command": " ".join(["python", *sys.argv]),
        "count": given.count,
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, numpy {np.__version__}",
        "sizes": {},
    }
    with TemporaryDirectory() as folder:
        for size in given.sizes:
            result["sizes"][str(size)] = measure(size, given.count, Path(folder))
            print(f"{size:,} entries done", flush=True)
    print(report(result))
    if given.out is not None:
        given.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
        given.out.with_suffix(".md").write_text(report(result))


if __name__ == "__main__":
    main()
