"""How fast every control environment of memgym steps, side by side with its peers.

Counted are environment steps per CPU second on one thread. All contestants take turns: several rounds, in an
order reshuffled each round, so that what else the machine does falls on all alike. Read the ratios; absolute
rates differ between machines and moments.

Peers are measured where they are installed (``benchmarks/requirements-peers.txt``, in an environment of its
own) and listed as not installed elsewhere. JAX gets its best case: compiled scans over actions that are there
already, observations that nobody receives.

Not measured, as they cannot be installed: the authors' own Endless T-Maze has no package, and PufferLib downloads
a graphics library while it is built.

What a step returns is dropped at once. Who keeps hundreds of results alive pays for fresh memory in large batches:
there `copy=True` then costs what the system takes to map it. The copy limit stands for what a step of Endless
T-Maze hands out but its infos: 12 bytes of observation, 8 of reward, 2 of flags, and one byte of action read.
"""

import argparse
import json
import platform
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from env_contestants import SIZES, Contestant, all_contestants, missing_modules
from env_report import Result, as_json, as_markdown
from env_worker import ContestantFailed, Worker

__all__ = ["main", "measure"]

Report = Callable[[int, int, str], None]

PACKAGES = (
    "memgym gymnasium numpy numba popgym memory-gym pygame-ce pygame minigrid mikasa-base jax gymnax".split()
)
EXAMPLES = """\
examples:
  python benchmarks/env_throughput.py --quick
      a look: 3 short rounds, 4,096 environments
  python benchmarks/env_throughput.py --out results/throughput
      the whole measurement, a quarter of an hour and more, with JSON, Markdown and a picture
  python benchmarks/env_throughput.py --only '*TMaze*numba*' --sizes 4096 65536
      some contestants; CartPole and the copy limit are always there to compare with
"""


def measure(
    contestants: Sequence[Contestant], rounds: int, cpu_seconds: float, report: Report, seed: int = 0
) -> list[Result]:
    """Let the contestants that are installed take turns.

    Args:
        contestants: who.
        rounds: turns of each.
        cpu_seconds: of one turn.
        report: called with turns done, turns in all, and whose is next.
        seed: of the order.

    Returns:
        One result for each contestant, in the same order; its note says why a contestant has no rounds.
    """
    results = {who.key: Result(who) for who in contestants}
    for result in results.values():
        if missing := missing_modules(result.contestant):
            result.note = f"not installed ({', '.join(missing)})"
    running = [result for result in results.values() if not result.note]
    order, done, total = np.random.default_rng(seed), 0, (rounds + 1) * len(running)
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(name))
            for name in dict.fromkeys(r.contestant.package for r in running)
        }
        for turn in range(-1, rounds):  # the first turn warms up and compiles
            for position, i in enumerate(order.permutation(len(running))):
                result = running[i]
                who = result.contestant
                report(done, total, who.key)
                done += 1
                if result.note:
                    continue
                try:
                    if turn < 0:
                        workers[who.package].prepare(who.key, who.prepare)
                    steps, cpu_s = workers[who.package].run(who.key, cpu_seconds)
                except ContestantFailed as failure:
                    result.note = f"failed: {failure}"
                    continue
                if turn >= 0:
                    result.steps.append(steps)
                    result.cpu_s.append(cpu_s)
                    result.position.append(position)
    report(total, total, "")
    return list(results.values())


def progress_bar() -> AbstractContextManager[Report]:
    """A bar on stderr where rich is installed, otherwise a line a turn."""
    if find_spec("rich") is None:
        return plain_lines()
    from memgym.cli.progress import progress

    return progress("measuring")


@contextmanager
def plain_lines() -> Iterator[Report]:
    yield lambda done, total, detail: print(f"{done} of {total} {detail}", file=sys.stderr)


def processor() -> str:
    """The name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Version of Python and of each package that is installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def choose(contestants: Sequence[Contestant], pattern: str) -> list[Contestant]:
    """Those whose name matches, and what they are compared with."""
    chosen = [who for who in contestants if fnmatch(who.name, pattern)]
    groups = {who.group for who in chosen}
    return [
        who for who in contestants if who in chosen or (who.group in groups and who.role in ("base", "limit"))
    ]


def write(path: Path, data: bytes) -> None:
    """Write beside and rename, so that nothing half-written stays."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(data)
    part.replace(path)


def save(folder: Path, results: Sequence[Result], about: dict[str, Any], markdown: str) -> None:
    """Write ``env_throughput`` as .json and .md and, where matplotlib is installed, .png and .svg."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = json.dumps(as_json(results, about), indent=1)
    write(folder / "env_throughput.json", f"{raw}\n".encode())
    write(folder / "env_throughput.md", markdown.encode())
    if find_spec("matplotlib") is None:
        print("matplotlib is not installed: no picture.", file=sys.stderr)
        return
    from env_plot import draw

    for kind in ("png", "svg"):
        write(folder / f"env_throughput.{kind}", draw(results, kind))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help="turns of each contestant, default 9 (--quick: 3)")
    parser.add_argument("--cpu-seconds", type=float, help="of one turn, default 0.3 (--quick: 0.05)")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of environments, default {SIZES}")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="contestants by name, e.g. '*numba*'")
    parser.add_argument("--quick", action="store_true", help="few short rounds, 4,096 environments")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="also write JSON, Markdown and a picture there"
    )
    given = parser.parse_args(arguments)
    given.rounds = given.rounds if given.rounds is not None else (3 if given.quick else 9)
    given.cpu_seconds = given.cpu_seconds if given.cpu_seconds is not None else (0.05 if given.quick else 0.3)
    given.sizes = given.sizes or ([4096] if given.quick else list(SIZES))
    if given.rounds < 1:
        parser.error(f"--rounds is at least 1, not {given.rounds}.")
    if not 0 < given.cpu_seconds < 60:
        parser.error(f"--cpu-seconds is above 0 and below 60, not {given.cpu_seconds}.")
    if min(given.sizes) < 2:
        parser.error(f"--sizes are at least 2, not {min(given.sizes)}.")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the report; exit code 1 if a contestant that is installed failed."""
    given = parse(arguments)
    contestants = choose(all_contestants(sorted(set(given.sizes))), given.only)
    if not contestants:
        print(f"no contestant is called like {given.only!r}.", file=sys.stderr)
        return 2
    words = sys.argv[1:] if arguments is None else arguments
    about = {
        "command": shlex.join(["python", "benchmarks/env_throughput.py", *words]),
        "processor": processor(),
        "versions": versions(),
        "rounds": given.rounds,
        "cpu_seconds": given.cpu_seconds,
    }
    with progress_bar() as report:
        results = measure(contestants, given.rounds, given.cpu_seconds, report)
    markdown = as_markdown(results, about)
    print(markdown)
    if given.out is not None:
        save(given.out, results, about, markdown)
    failed = [result for result in results if result.note.startswith("failed")]
    for result in failed:
        print(f"{result.contestant.key}: {result.note}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
