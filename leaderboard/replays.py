"""Episodes to look at: what the agent saw, said and did, played again from the recorded actions."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from memgym.core.result import read_traces
from memgym.core.suites import Task, get_suite
from memgym.core.task_env import make_env
from memgym.core.trace import Recorder, kind_name
from memgym.errors import DatasetError, DependencyMissing

from .formats import plain

__all__ = ["Replay", "Step", "first_replays"]

MAX_STEPS = 300
MAX_TEXT = 400
MAX_FRAME = 4_000


@dataclass(frozen=True)
class Step:
    """One step: a frame of a control task, or what was said and how the memory changed.

    Attributes:
        frame: the environment's own picture in characters.
        speaker: of the text.
        text: that the agent read, or the question.
        action: that it took, or its answer.
        ops: memory operations, each with its kind and text.
        note: what came of it.
        score: of the answer, where the text asks.
        bank: what changed in the memory bank: by id, what an entry says now, or none where it is gone.
    """

    frame: str = ""
    speaker: str = ""
    text: str = ""
    action: str = ""
    ops: tuple[Mapping[str, str], ...] = ()
    note: str = ""
    score: float | None = None
    bank: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Replay:
    """An episode; `length` is that of the whole, `steps` may be fewer."""

    seed: int
    episode: int
    score: float
    length: int
    steps: tuple[Step, ...]
    is_frames: bool


def first_replays(folder: Path, header: Mapping[str, Any]) -> dict[str, Replay]:
    """The first episode of each task of a bundle that was verified.

    Tasks whose data or package is missing here are left out.
    """
    suite = {task.name: task for task in get_suite(header["suite"]).tasks}
    found = {}
    for name in sorted(suite.keys() & {row["name"] for row in header["tasks"]}):
        if suite[name].canary:
            continue
        with suppress(DatasetError, DependencyMissing):
            found[name] = _replay(folder, suite[name])
    return found


def _replay(folder: Path, task: Task) -> Replay:
    (seed, episode), actions = next(read_traces(folder, task.name))
    env = make_env(task if task.is_text else replace(task, kwargs={**task.kwargs, "render_mode": "ansi"}))
    try:
        recorder = Recorder(env)
        steps = (_transcript if task.is_text else _frames)(recorder, seed, episode, actions)
        score = recorder.close_record().score
    finally:
        env.close()
    return Replay(seed, episode, score, len(actions), tuple(steps[:MAX_STEPS]), not task.is_text)


def _frames(env: Recorder, seed: int, episode: int, actions: Sequence[Any]) -> list[Step]:
    env.start(seed, episode)
    steps = [Step(frame=_picture(env))]
    total = 0.0
    for action in actions:
        _, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        note = f"return {total:.2f}" + (", the end" if terminated or truncated else "")
        steps.append(Step(frame=_picture(env), action=plain(f"action {action}", MAX_TEXT), note=note))
        if terminated or truncated:
            break
    return steps


def _picture(env: Recorder) -> str:
    shown = env.render()
    text = shown if isinstance(shown, str) else ""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text[:MAX_FRAME])


def _transcript(env: Recorder, seed: int, episode: int, actions: Sequence[Any]) -> list[Step]:
    seen, _ = env.start(seed, episode)
    task: Any = env.unwrapped
    steps: list[Step] = []
    bank: dict[str, str] = {}
    for action in actions:
        after, _, terminated, truncated, info = env.step(action)
        if len(steps) < MAX_STEPS:  # the rest counts for the score alone
            before, bank = bank, {entry.id: entry.text for entry in task.bank.get_all()}
            steps.append(_said_and_done(seen, action, info, _changes(before, bank)))
        seen = after
        if terminated or truncated:
            break
    return steps


def _said_and_done(
    seen: Mapping[str, Any],
    action: Mapping[str, Any],
    info: Mapping[str, Any],
    bank: Mapping[str, str | None],
) -> Step:
    score = info.get("question_score")
    scored = f"score {score:.2f} ({info['question_type']}), " if score is not None else ""
    refused = f", {len(info['refused'])} refused" if info.get("refused") else ""
    return Step(
        speaker=plain(str(seen.get("speaker", "")), 60),
        text=plain(str(seen.get("text", "")), MAX_TEXT),
        action=plain(f"answer: {action.get('answer', '')}", MAX_TEXT) if score is not None else "",
        ops=tuple(_operation(op) for op in action.get("ops", ())[:20]),
        note=f"{scored}{info.get('memory_bytes', 0)} B held{refused}",
        score=score,
        bank=bank,
    )


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """By id, what an entry says now, or none where it is gone."""
    changed: dict[str, str | None] = {id: None for id in before if id not in after}
    return changed | {id: plain(text, MAX_TEXT) for id, text in after.items() if before.get(id) != text}


def _operation(op: Mapping[str, Any]) -> dict[str, str]:
    target = f"{op['id']} " if op.get("id") else ""
    return {"kind": kind_name(op), "text": plain(f"{target}{op.get('text', '')}", MAX_TEXT)}
