"""Cells of the page's tables as HTML. Numbers need no escaping; text of strangers is escaped here."""

from collections.abc import Mapping
from typing import Any

from .board import AgentResult, Estimate, Standing
from .formats import bytes_text, plain, score_text

try:
    from markupsafe import Markup, escape
except ImportError:
    from memgym.errors import DependencyMissing

    raise DependencyMissing.for_extra("jinja2", "leaderboard", "The leaderboard's page") from None

__all__ = ["CELLS"]


def bar(estimate: Estimate) -> str:
    """The estimate and its interval on a line from 0 to 1, 52 pixels wide with margins of 4."""
    span = ""
    if estimate.low is not None and estimate.high is not None:
        span = f'<path class="span" d="M{_x(estimate.low)} 5H{_x(estimate.high)}"/>'
    return (
        '<svg class="bar" viewBox="0 0 52 10" aria-hidden="true"><path class="track" d="M4 5H48"/>'
        f'{span}<circle cx="{_x(estimate.mean)}" cy="5" r="3"/></svg>'
    )


def interval(estimate: Estimate) -> str:
    """Both ends in words."""
    if estimate.low is None:
        return "one run"
    return f"{score_text(estimate.low)} to {score_text(estimate.high)}"


def score_cell(estimate: Estimate | None, note: str = "", column: str = "") -> Markup:
    """A score with its bar and interval; `note`, HTML of this module, stands behind the interval."""
    if estimate is None:
        return missing("–", column=column)
    return Markup(
        f'<td class="n s"{_col(column)} data-v="{estimate.mean}"><span class="line">'
        f"<b>{score_text(estimate.mean)}</b>{bar(estimate)}</span><small>{interval(estimate)}{note}</small></td>"
    )


def number_cell(value: float | None, text: str, title: str = "", column: str = "") -> Markup:
    """A number that sorts by its value."""
    if value is None:
        return missing("–", column=column)
    return Markup(f'<td class="n"{_col(column)}{_title(title)} data-v="{value:.7g}">{escape(text)}</td>')


def estimate_cell(estimate: Estimate | None, column: str = "") -> Markup:
    """A score without a bar; its interval is in small print."""
    if estimate is None:
        return missing("–", column=column)
    return Markup(
        f'<td class="n"{_col(column)} data-v="{estimate.mean}">{score_text(estimate.mean)}'
        f"<small>{interval(estimate)}</small></td>"
    )


def missing(text: str, title: str = "", column: str = "") -> Markup:
    """What does not exist, and why."""
    return Markup(f'<td class="n none"{_col(column)}{_title(title)}>{escape(text)}</td>')


def rank_cell(standing: Standing, agent: AgentResult) -> Markup:
    """The places that the tests leave open."""
    if standing.place is None:
        why = ""
        if not agent.is_ranked:
            why = "privileged: sees the hidden state" if agent.card["privileged"] else "sets the scale"
        return Markup(f'<td class="n rank"{_title(why)}>–</td>')
    return Markup(f'<td class="n rank" data-v="{standing.place}">{rank_text(standing)}</td>')


def rank_text(standing: Standing) -> str:
    """The places an agent may hold, or its only one."""
    low, high = standing.rank or (standing.place, standing.place)
    return f"{low}" if low == high else f"{low}–{high}"


def standing_cell(standing: Standing, column: str = "") -> Markup:
    """The score on a set of tasks with its rank, or how much of the set was played."""
    if standing.score:
        rank = ""
        if standing.place is not None:
            rank = f' <i title="places that the paired tests leave open">#{rank_text(standing)}</i>'
        return score_cell(standing.score, rank, column)
    if 0 < standing.played < standing.tasks:
        why = "incomplete: never ranked on a subset"
        return missing(f"played {standing.played} of {standing.tasks}", why, column)
    return missing("no scale" if standing.played else "–", column=column)


def heat_cell(estimate: Estimate | None, reason: str = "not played") -> Markup:
    """A score as a colour with its number; the exact interval in the tooltip."""
    if estimate is None:
        return Markup(f'<td class="none"{_title(plain(reason, 120))}>–</td>')
    level = round(10 * min(max(estimate.mean, 0.0), 1.0))
    return Markup(f'<td class="h{level}" title="{interval(estimate)}">{score_text(estimate.mean)}</td>')


def map_cell(estimate: Estimate | None) -> Markup:
    """The same in as few bytes as it takes; a board has thousands of them."""
    if estimate is None:
        return Markup("<td>–</td>")
    level = round(10 * min(max(estimate.mean, 0.0), 1.0))
    return Markup(f"<td class=h{level}>{score_text(estimate.mean)}</td>")


def memory_cell(value: float | None, column: str = "") -> Markup:
    """Bytes."""
    return number_cell(value, "" if value is None else bytes_text(value), column=column)


def ops_title(ops: Mapping[str, int], episodes: int) -> str:
    """Operations an episode by kind."""
    return ", ".join(f"{plain(kind, 20)} {count / episodes:.1f}" for kind, count in ops.items())


def _x(value: float) -> str:
    return f"{4 + 44 * min(max(value, 0.0), 1.0):.1f}".removesuffix(".0")


def _col(column: str) -> str:
    return f' data-c="{column}"' if column else ""


def _title(title: str) -> str:
    return f' title="{escape(title)}"' if title else ""


CELLS: dict[str, Any] = {
    function.__name__: function
    for function in (
        estimate_cell,
        heat_cell,
        interval,
        map_cell,
        memory_cell,
        missing,
        number_cell,
        ops_title,
        rank_cell,
        rank_text,
        score_cell,
        standing_cell,
    )
}
"""What the templates call."""
