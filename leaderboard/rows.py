"""Rows of the page's large tables as HTML: agents on a task, and tasks of an agent.

A board has tens of thousands of them; a template takes several times as long for one as these functions.
"""

from collections.abc import Mapping, Sequence

from memgym.core.protocol import tracks_of

from .board import AgentResult, Board, Task
from .cells import estimate_cell, memory_cell, number_cell, ops_title, score_cell
from .formats import average_text, plain, score_text, seconds_text

try:
    from markupsafe import Markup, escape
except ImportError:
    from memgym.errors import DependencyMissing

    raise DependencyMissing.for_extra("jinja2", "leaderboard", "The leaderboard's page") from None

__all__ = ["Rows"]


class Rows:
    """The rows of a board.

    Args:
        board: whose agents and tasks they are about.
        status: by agent, how far its result was checked.
        titles: what each status means.
        ids: names of the pages of agents and tasks.
    """

    def __init__(
        self, board: Board, status: Mapping[str, str], titles: Mapping[str, str], ids: Mapping[str, str]
    ) -> None:
        self._opening = {agent.name: _opening(agent, status[agent.name]) for agent in board.agents}
        self._about = {
            agent.name: _about(agent, status[agent.name], titles[status[agent.name]])
            for agent in board.agents
        }
        self._who = {agent.name: _who(agent, ids[f"agent {agent.name}"]) for agent in board.agents}
        self._task = {task.name: _task(task, ids[f"task {task.name}"]) for task in board.tasks}

    def opening(self, agent: AgentResult, place: int | None) -> Markup:
        """The beginning of a row, with what the page's search and filters look at."""
        at = f' data-place="{place}"' if place else ""
        scale = "" if agent.is_ranked else ' class="scale"'
        return Markup(f"{self._opening[agent.name]}{at}{scale}>\n")

    def who(self, agent: AgentResult, root: str) -> Markup:
        """The agent's name, a link to its page."""
        before, after = self._who[agent.name]
        return Markup(before + root + after)

    def about(self, agent: AgentResult) -> Markup:
        """Kind, setting, and how far the result was checked."""
        return self._about[agent.name]

    def on_task(self, agent: AgentResult, task: Task, rates: Sequence[str], has_errors: bool) -> Markup:
        """What an agent did on a task, in the table of that task."""
        result = agent.tasks[task.name]
        steps = result.steps / result.episodes
        at = f' data-v="{result.rank}"' if result.rank else ""
        cells: list[str] = [
            self.opening(agent, result.rank),
            f'<td class="n rank"{at}>{result.rank or "–"}</td>',
            self.who(agent, "../"),
            score_cell(result.score),
            estimate_cell(result.normalised),
            number_cell(result.success, score_text(result.success)),
            memory_cell(result.memory_mean),
            memory_cell(result.memory_max),
            number_cell(steps, average_text(steps)),
        ]
        if task.types:
            total, refused = sum(result.ops.values()) / result.episodes, result.refused / result.episodes
            cells += [
                number_cell(total, average_text(total), ops_title(result.ops, result.episodes)),
                number_cell(refused, average_text(refused)),
                *(number_cell(result.rates.get(rate), score_text(result.rates.get(rate))) for rate in rates),
            ]
        if has_errors:
            cells.append(number_cell(result.errors, str(result.errors)))
        return Markup("".join([*cells, self.about(agent), "</tr>"]))

    def of_agent(self, agent: AgentResult, task: Task, replays: Mapping[str, str]) -> Markup:
        """What an agent did on a task, in the table of that agent."""
        result = agent.tasks[task.name]
        steps, total = result.steps / result.episodes, sum(result.ops.values()) / result.episodes
        seconds = agent.seconds.get(task.name)
        cells: list[str] = [
            self._task[task.name],
            score_cell(result.score),
            estimate_cell(result.normalised),
            number_cell(result.rank, str(result.rank)),
            number_cell(result.success, score_text(result.success)),
            memory_cell(result.memory_mean),
            memory_cell(result.memory_max),
            number_cell(steps, average_text(steps)),
            number_cell(total, average_text(total), ops_title(result.ops, result.episodes)),
            number_cell(seconds, seconds_text(seconds)),
            number_cell(result.errors, str(result.errors)),
        ]
        if replays:
            path = replays.get(task.name)
            cells.append(f'<td><a href="../replays/{escape(path)}">watch</a></td>' if path else "<td>–</td>")
        return Markup("".join([*cells, "</tr>"]))


def _opening(agent: AgentResult, status: str) -> str:
    card = agent.card
    words = (
        f"{agent.name} {card['kind']} {card['setting']} {status} {plain(card['description'], 160)}".lower()
    )
    tracks = " ".join(tracks_of(card["kind"], agent.memory_max))
    return (
        f'<tr data-name="{escape(agent.name)}" data-text="{escape(words)}" '
        f'data-setting="{escape(card["setting"])}" data-kind="{escape(card["kind"])}" data-tracks="{escape(tracks)}"'
    )


def _who(agent: AgentResult, id: str) -> tuple[str, str]:
    """Before and after the way to the page's root."""
    return (
        f'<th scope="row" class="k-{escape(agent.card["kind"])}"><a href="',
        f'agents/{escape(id)}.html"><bdi>{escape(agent.name)}</bdi></a></th>\n',
    )


def _about(agent: AgentResult, status: str, title: str) -> Markup:
    badge = f'<span class="badge b-{escape(status)}" title="{escape(title)}">{escape(status)}</span>'
    return Markup(
        f'<td data-c="kind">{escape(agent.card["kind"])}</td>'
        f'<td data-c="setting">{escape(agent.card["setting"])}</td><td data-c="checked">{badge}</td>\n'
    )


def _task(task: Task, id: str) -> Markup:
    return Markup(
        f'<tr><th scope="row"><a href="../tasks/{escape(id)}.html">{escape(plain(task.title, 80))}</a></th>'
    )
