"""FactConsolidation without a language model: last write wins by key, beside floors that keep every fact.

::

    python -m memgym.baselines.study_fact_consolidation

Each fact is one chunk and the bank has no limit. Scores are substring exact match in percent over 100 questions a
list. `fact-keys` knows the format: its templates were written for the 37 relations of the data, and the words by
which it recognises them in questions with sight of some of the questions. So its row says what UPDATE on the right
key is worth, not how well anything reads. ``--out FILE`` writes the table as JSON
(`baselines/expected/fact_consolidation.json` is what it wrote).
"""

import argparse
import json
from pathlib import Path

from memgym.checks import play_by_name
from memgym.core.lines import write_atomically
from memgym.datasets import get_dataset

COMMAND = (
    "python -m memgym.baselines.study_fact_consolidation --out baselines/expected/fact_consolidation.json"
)
AGENTS = ("closed-book", "recency", "add-all-bm25", "rules", "fact-keys")
SIZES = ("6k", "32k", "64k", "262k")
HOPS = {"single-hop": "sh", "multi-hop": "mh"}


def score(agent: str, source: str, path: Path) -> float:
    """Substring exact match of one agent on one list, in percent.

    Raises:
        RuntimeError: the agent failed, or an operation of it was refused.
    """
    (episode,) = play_by_name(
        agent,
        "memgym/MemoryAgentBench-v0",
        1,
        sources=[f"factconsolidation_{source}"],
        path=path,
        chunk_words=1,
        memory_budget=None,
        view_bytes=0,
    )
    if episode.error or episode.refused:
        raise RuntimeError(f"{agent} on {source}: {episode.error or f'{episode.refused} operations refused'}")
    return round(100 * episode.score, 1)


def table(path: Path) -> dict[str, dict[str, float]]:
    """Scores by agent, then by hops and length, with the means over lengths."""
    rows: dict[str, dict[str, float]] = {}
    for agent in AGENTS:
        row: dict[str, float] = {}
        for name, short in HOPS.items():
            found = {f"{name} {size}": score(agent, f"{short}_{size}", path) for size in SIZES}
            row |= found | {f"{name} mean": round(sum(found.values()) / len(found), 2)}
        rows[agent] = row
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--path", type=Path, help="Conflict_Resolution.json; by default looked for as a dataset"
    )
    parser.add_argument("--out", type=Path, help="write the table as JSON to this file")
    args = parser.parse_args(arguments)
    info = get_dataset("memoryagentbench_fc")
    rows = table(info.find(args.path))
    columns = list(rows[AGENTS[0]])
    print(f"| agent | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for agent, row in rows.items():
        print(f"| {agent} | {' | '.join(f'{row[column]:.1f}' for column in columns)} |")
    if args.out:
        content = {"command": COMMAND, "dataset": {"name": info.name, "sha256": info.sha256}, "agents": rows}
        write_atomically(args.out, (json.dumps(content, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
