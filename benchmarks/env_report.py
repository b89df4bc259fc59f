"""The numbers of `env_throughput.py`: medians, ratios round by round, Markdown tables, JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from env_contestants import Contestant
from numpy.typing import NDArray

__all__ = ["Result", "Summary", "as_json", "as_markdown", "cost_exponent", "ratio", "summarise"]

NO_BREAK = "\u00a0"


class Summary(NamedTuple):
    """Median, least and greatest over the rounds."""

    median: float
    low: float
    high: float


@dataclass
class Result:
    """What was measured of a contestant: one entry for each round.

    Attributes:
        contestant: whose.
        note: why there is no measurement; "" if there is one.
        steps: environment steps done.
        cpu_s: CPU seconds they took.
        position: place in the order of that round.
    """

    contestant: Contestant
    note: str = ""
    steps: list[int] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    position: list[int] = field(default_factory=list)

    @property
    def is_measured(self) -> bool:
        """Whether there are rounds, and nothing went wrong."""
        return bool(self.steps) and not self.note

    @property
    def rates(self) -> NDArray[np.float64]:
        """Steps per CPU second, shape (rounds,)."""
        return np.array(self.steps, float) / np.array(self.cpu_s)


def summarise(values: NDArray[np.float64]) -> Summary:
    """Median and range of the rounds."""
    return Summary(float(np.median(values)), float(values.min()), float(values.max()))


def ratio(result: Result, other: Result | None) -> Summary | None:
    """How many times faster than `other`, compared round by round; None where either was not measured."""
    if other is None or not result.is_measured or not other.is_measured:
        return None
    return summarise(result.rates / other.rates)


def cost_exponent(results: Sequence[Result]) -> float:
    """Slope of log(CPU time of a call) over log(number of environments): 1 is linear.

    Args:
        results: one contestant at two or more sizes.
    """
    sizes = np.array([result.contestant.num_envs for result in results], float)
    call_s = sizes / np.array([np.median(result.rates) for result in results])
    return float(np.polyfit(np.log(sizes), np.log(call_s), 1)[0])


def with_role(results: Iterable[Result], group: int, role: str) -> Result | None:
    """The one result of that role in a group."""
    return next((r for r in results if r.contestant.group == group and r.contestant.role == role), None)


# ---------------------------------------------------------------------- Markdown


def three_digits(value: float) -> str:
    """``0.0123``, ``1.23``, ``12.3``, ``1,234``."""
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - int(np.floor(np.log10(value))))}f}" if value > 0 else "0"


def show_rate(value: float) -> str:
    """Steps per second as ``3.51 k`` or ``262 M``."""
    unit, name = (1e6, "M") if value >= 1e6 else (1e3, "k")
    return f"{three_digits(value / unit)}{NO_BREAK}{name}"


def show(summary: Summary | None, form: Callable[[float], str] = three_digits) -> str:
    """``median (low-high)``."""
    if summary is None:
        return "-"
    return f"{form(summary.median)} ({form(summary.low)} - {form(summary.high)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table whose first column is words."""
    yield f"| {' | '.join(head)} |"
    yield f"| --- |{' ---: |' * (len(head) - 1)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def in_order(results: Iterable[Result]) -> list[Result]:
    """Fastest first, then what was not measured, then the copy limit."""

    def place(result: Result) -> tuple[bool, bool, float]:
        speed = float(np.median(result.rates)) if result.is_measured else 0.0
        return result.contestant.role == "limit", not result.is_measured, -speed

    return sorted(results, key=place)


def group_table(results: Sequence[Result], group: int) -> Iterator[str]:
    """All contestants of a group, compared with CartPole and with the copy limit."""
    base, limit = with_role(results, group, "base"), with_role(results, group, "limit")
    name = "CartPole through `gym.make`" if group == 1 else "Gymnasium's native vector CartPole"
    yield "## One environment" if group == 1 else f"## {group:,} environments at once"
    yield ""
    head = ["contestant", "steps per CPU second", f"times {name}", "share of the copy limit"]
    rows = []
    for result in in_order(r for r in results if r.contestant.group == group):
        if result.is_measured:
            cells = [show(summarise(result.rates), show_rate), show(ratio(result, base))]
        else:
            cells = [result.note, "-"]
        rows.append([result.contestant.name, *cells, show(ratio(result, limit))])
    width = 4 if limit else 3
    yield from table(head[:width], [row[:width] for row in rows])


def peers_table(results: Sequence[Result], size: int) -> Iterator[str]:
    """How many times faster our T-Maze of `size` environments is than every peer."""
    ours = [r for r in results if r.contestant.is_headline and r.contestant.group == size]
    peers = [r for r in results if r.contestant.role in ("peer", "base") and r.contestant.group in (1, size)]
    if not ours or not any(peer.is_measured for peer in peers):
        return
    yield f"## EndlessTMaze, {size:,} at once, against each peer"
    yield ""
    yield "How many times the peer's steps per CPU second: median over the rounds."
    yield ""
    rows = []
    for peer in in_order(peers):
        ratios = [ratio(our, peer) for our in ours]
        cells = [three_digits(r.median) if r else "-" for r in ratios]
        rows.append([peer.contestant.name, *(cells if peer.is_measured else [peer.note, *cells[1:]])])
    yield from table(["peer", *(our.contestant.name.partition(", ")[2] for our in ours)], rows)


def linearity_table(results: Sequence[Result]) -> Iterator[str]:
    """Cost of a step of one environment over the number of environments, for memgym's vector forms."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.is_measured and result.contestant.role == "ours" and result.contestant.group > 1:
            found.setdefault(result.contestant.name, []).append(result)
    sizes = sorted({r.contestant.num_envs for rows in found.values() for r in rows})
    if len(sizes) < 2:
        return
    yield "## Is the cost linear in the number of environments?"
    yield ""
    yield (
        "CPU nanoseconds for one step of one environment (median). The exponent e of the fit, CPU time of a "
        "call ~ num_envs^e, is 1 where the cost is linear, and less where a larger batch still dilutes the "
        "fixed cost of a call."
    )
    yield ""
    rows = []
    for name, measured in found.items():
        cost = {r.contestant.num_envs: three_digits(1e9 / np.median(r.rates)) for r in measured}
        exponent = f"{cost_exponent(measured):.2f}" if len(measured) > 1 else "-"
        rows.append([name, *(cost.get(size, "-") for size in sizes), exponent])
    yield from table(["contestant", *(f"{size:,}" for size in sizes), "exponent"], rows)


def as_markdown(results: Sequence[Result], about: dict[str, Any]) -> str:
    """The whole report."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [
        "# Throughput of control environments",
        "",
        f"Environment steps per CPU second on one thread: median (least - greatest) of {about['rounds']} rounds "
        f"of about {about['cpu_seconds']} CPU seconds for each contestant, in an order reshuffled each round. "
        "Ratios are taken within a round. Random actions drawn beforehand, unless the row says otherwise.",
        "",
        f"- command: `{about['command']}`",
        f"- processor: {about['processor']}",
        f"- versions: {versions}",
        "",
    ]
    groups = sorted({r.contestant.group for r in results})
    for group in groups:
        lines += group_table(results, group)
    for size in groups:
        if size == 4096 or (size > 1 and 4096 not in groups):
            lines += peers_table(results, size)
    lines += linearity_table(results)
    return "\n".join(lines)


def as_json(results: Sequence[Result], about: dict[str, Any]) -> dict[str, Any]:
    """Every raw round."""
    rows = []
    for result in results:
        who = result.contestant
        rounds = zip(result.steps, result.cpu_s, result.position, strict=True)
        rows.append(
            {
                "name": who.name,
                "package": who.package,
                "role": who.role,
                "group": who.group,
                "num_envs": who.num_envs,
                "note": result.note,
                "rounds": [{"steps": s, "cpu_s": c, "position": p} for s, c, p in rounds],
            }
        )
    return {**about, "contestants": rows}
