"""Memory packages as they are released beside memgym's renditions of them, on the same conversations.

    pip install 'memgym[cli,llm,mem0,langmem,graphiti]'
    python benchmarks/external_memories.py --out runs/external                      # rules in place of a model
    python benchmarks/external_memories.py --out runs/external --llm openai:qwen3-4b@http://127.0.0.1:8000/v1
    python benchmarks/external_memories.py --out runs/external --only mem0 --write  # into benchmarks/results/

Both of a pair play the same episodes of DialogueMemory under the same bytes, and ask the same model: by default the
server of `rule_server.py`, which decides alike for both, so that what differs is what they do with it, and nothing is
said of how well either does with a language model. A package that is not installed is left out with the reason. A
run that was killed goes on where it stopped; every result is a bundle that ``memgym verify`` replays.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from rule_server import serve  # pyright: ignore[reportMissingImports]

from memgym.cli.progress import progress
from memgym.core.evaluate import AgentSpec, plan, run
from memgym.core.result import read_bundle, read_timings, write_atomically
from memgym.core.suites import Suite, Task
from memgym.errors import DependencyMissing

RESULTS = Path(__file__).with_name("results")
BUDGETS = (1024, 4096)


class Pair(NamedTuple):
    """A package, what it is compared with, and whether that is its rendition or only the nearest one."""

    package: str
    rendition: str
    arguments: dict[str, Any]
    note: str = ""


PAIRS = (
    Pair("mem0", "mem0", {"variant": "v2"}),
    Pair("langmem", "mem0", {"variant": "v1"}, "no rendition; the nearest"),
    Pair("graphiti", "graphiti", {}),
)


def suite(budget: int, episodes: int) -> Suite:
    """One task: the dialogues of the suite `dialogue`, in their shortest form."""
    kwargs = {"split": "test", "memory_budget": budget, "view_bytes": budget}
    task = Task("dialogue", "Dialogue memory", "memgym/DialogueMemory-v0", kwargs, episodes=episodes)
    return Suite("external", "One text task.", (task,))


def mean(questions: list[dict[str, Any]], value: str, kind: str = "") -> float:
    """The mean of what questions of a type, or all, have of a value; 0 where none has it."""
    return statistics.fmean([q[value] for q in questions if value in q and kind in ("", q["type"])] or [0.0])


def play(agent: AgentSpec, label: str, budget: int, episodes: int, out: Path) -> dict[str, Any]:
    """What an agent comes to; it is played where it was not yet."""
    plans = [plan(agent, suite(budget, episodes), out / f"{label}-{budget}")]
    with progress(f"{label}, {budget} bytes") as report:
        (folder,) = run(plans, on_shard=lambda shard, done, total: report(done, total, ""))
    bundle, times = read_bundle(folder), list(read_timings(folder))
    rows = bundle.episodes
    if errors := [row["error"] for row in rows if row.get("error")]:
        raise SystemExit(f"{label}: {len(errors)} episodes failed, the first with: {errors[0]}")
    usage = [row.get("usage", {}) for row in times]
    questions = [question for row in rows for question in row["questions"]]
    return {
        "label": label,
        "budget": budget,
        "scores": [row["score"] for row in rows],
        "types": {kind: mean(questions, "score", kind) for kind in sorted({q["type"] for q in questions})},
        "evidence_recall": mean(questions, "evidence_recall"),
        "bank_bytes": statistics.fmean(row["bank_bytes"] for row in rows),
        "agent_bytes": statistics.fmean(row["agent_bytes"] for row in rows),
        "calls": sum(row.get("calls", 0) for row in usage) / len(rows),
        "prompt_tokens": sum(row.get("prompt_tokens", 0) for row in usage) / len(rows),
        "cpu_s": sum(row["cpu_s"] for row in times) / len(rows),
        "versions": dict(bundle.header["agent"]["extra"].get("packages", {})),
    }


def compare(pair: Pair, llm: str, budget: int, episodes: int, out: Path) -> dict[str, Any]:
    """A pair under a budget."""
    package = AgentSpec(f"memgym.agents.external.{pair.package}:{pair.package}_package", {"llm": llm})
    rendition = AgentSpec(pair.rendition, {"llm": llm, **pair.arguments})
    label = "-".join([pair.rendition, *pair.arguments.values()])
    original = play(package, f"{pair.package}-package", budget, episodes, out)
    ours = play(rendition, label, budget, episodes, out)
    differences = [a - b for a, b in zip(original["scores"], ours["scores"], strict=True)]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
    return {
        "budget": budget,
        "original": original,
        "rendition": ours,
        "note": pair.note,
        "difference": statistics.fmean(differences),
        "standard_error": error,
    }


def as_markdown(runs: dict[str, dict[str, Any]]) -> str:
    """The results for people: a table for each package, with the command that made it."""
    lines = [
        "# Memory packages beside memgym's renditions",
        "",
        "Means of an episode of DialogueMemory (test split); the difference is original less rendition, paired by",
        "episode, with its standard error.",
    ]
    for package, found in runs.items():
        asked = "rules in place of a language model" if found["rules"] else found["llm"]
        lines += [
            "",
            f"## {package}",
            "",
            f"    {found['command']}",
            "",
            f"{found['episodes']} episodes, {asked}; Python {found['python']}.",
            "",
            "| who | budget | score | difference | update | deletion | evidence | bank B | agent B | calls "
            "| prompt tokens | CPU s |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in found["pairs"]:
            lines.append(_line(row["original"], f"{row['difference']:+.3f} ± {row['standard_error']:.3f}"))
            lines.append(_line(row["rendition"], "", row["note"]))
    return "\n".join([*lines, ""])


def _line(one: dict[str, Any], difference: str, note: str = "") -> str:
    name = one["label"].partition("-")[0]
    version = next(
        (f" {number}" for package, number in one["versions"].items() if package.startswith(name)), ""
    )
    return (
        f"| {one['label']}{version}{f' ({note})' if note else ''} | {one['budget']:,} "
        f"| {statistics.fmean(one['scores']):.3f} | {difference} | {one['types'].get('knowledge-update', 0):.2f} "
        f"| {one['types'].get('deletion', 0):.2f} | {one['evidence_recall']:.2f} | {one['bank_bytes']:,.0f} "
        f"| {one['agent_bytes']:,.0f} | {one['calls']:.0f} | {one['prompt_tokens']:,.0f} | {one['cpu_s']:.2f} |"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, to go on from")
    parser.add_argument(
        "--llm", default="", help="a model, as memgym.llm.make_client names it; rules by default"
    )
    parser.add_argument("--only", choices=[pair.package for pair in PAIRS], help="one package")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/external_memories.*")
    words = list(sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_args(words)
    about = {
        "command": f"python benchmarks/external_memories.py {' '.join(words)}",
        "llm": given.llm or "openai:rules",
        "rules": not given.llm,
        "episodes": given.episodes,
        "python": platform.python_version(),
    }
    runs: dict[str, dict[str, Any]] = {}
    with serve() if about["rules"] else nullcontext("") as url:
        if url:  # by the environment, so that no port is on a card
            os.environ["OPENAI_BASE_URL"] = url
        for pair in PAIRS:
            if given.only not in (None, pair.package):
                continue
            try:
                pairs = [compare(pair, about["llm"], budget, given.episodes, given.out) for budget in BUDGETS]
                runs[pair.package] = {**about, "pairs": pairs}
            except DependencyMissing as missing:
                print(f"skipped {pair.package}: {missing}", file=sys.stderr)
    print(as_markdown(runs))
    if given.write:
        file = RESULTS / "external_memories.json"
        before = json.loads(file.read_text("utf-8")) if file.exists() else {}
        both = {pair.package: (before | runs).get(pair.package) for pair in PAIRS}
        kept = {package: found for package, found in both.items() if found is not None}
        write_atomically(file, (json.dumps(kept, indent=1) + "\n").encode())
        write_atomically(file.with_suffix(".md"), as_markdown(kept).encode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
