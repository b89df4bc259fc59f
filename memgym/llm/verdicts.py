"""A judge's verdicts on the answers of a result: a file of its own beside the result, never part of its score."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from memgym.core.result import read_bundle, read_traces
from memgym.core.suites import get_suite
from memgym.core.task_env import make_env
from memgym.envs.text import TextMemoryEnv
from memgym.llm.judge import Judge, ToJudge

__all__ = ["SCHEMA", "Answered", "answers_of", "judge_results"]

SCHEMA = "memgym-verdicts/1"
GROUP = 64  # answers judged between two reports of progress


class Answered(NamedTuple):
    """One answered question of a result.

    Attributes:
        task: name of the task.
        seed: of the episode.
        episode: its number.
        number: of the question in its episode, from 0.
        asked: what to judge.
    """

    task: str
    seed: int
    episode: int
    number: int
    asked: ToJudge


def answers_of(folder: Path) -> Iterator[Answered]:
    """The answers to the open questions of a result, from a replay of its actions.

    Questions with choices need no judge and are left out, as are tasks without questions.

    Raises:
        ResultInvalid: the bundle cannot be read.
        MemgymError: it cannot be replayed here, e.g. for want of a dataset.
    """
    header = read_bundle(folder).header
    played = {task["name"] for task in header["tasks"]}
    for task in get_suite(header["suite"]).tasks:
        if task.name not in played:
            continue
        with closing(make_env(task)) as env:
            if not isinstance(env.unwrapped, TextMemoryEnv):
                continue
            read = _listen(env.unwrapped)
            for (seed, episode), actions in read_traces(folder, task.name):
                observation, _ = env.reset(seed=seed, options={"episode": episode})
                number = 0
                for action in actions:
                    question, truth = observation, env.unwrapped.oracle_state()
                    observation, _, terminated, truncated, info = env.step(action)
                    if "question_type" in info:
                        answer = read.pop() if read else action["answer"]
                        if not question["choices"]:
                            reference = truth.get("reference", truth["answer"])
                            one = ToJudge(question["text"], reference, answer, info["question_type"])
                            yield Answered(task.name, seed, episode, number, one)
                        number += 1
                    if terminated or truncated:
                        break


def _listen(env: TextMemoryEnv) -> list[str]:
    """Where the last answer of the environment's own reader will stand; stays empty where it has none."""
    last: list[str] = []
    reader = env.reader
    if reader is not None:

        def heard(question: str, entries: Any, choices: Any) -> str:
            last[:] = [reader(question, entries, choices)]
            return last[0]

        env.reader = heard
    return last


def judge_results(
    folder: Path, judge: Judge, on_group: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Any]:
    """Judge all open answers of a result.

    Args:
        folder: with `submission.json`.
        judge: e.g. `memgym.llm.LocomoJudge`.
        on_group: called with (answers judged, answers in all).

    Returns:
        What a file of verdicts holds: the judge (``metric``, digests of its prompts), the digest of the result,
        shares of right answers by task and type of question, what it cost, and each verdict.

    Raises:
        LLMError: the model gave no verdict on an answer.
    """
    verdicts: list[dict[str, Any]] = []
    prompts: dict[str, str] = {}
    answers = [one for one in answers_of(folder) if judge.judges(one.asked)]
    for start in range(0, len(answers), GROUP):
        group = answers[start : start + GROUP]
        for one, said in zip(group, judge.judge([one.asked for one in group]), strict=True):
            prompts[said.step] = said.prompt_sha256
            where = {"task": one.task, "seed": one.seed, "episode": one.episode, "question": one.number}
            verdicts.append(where | {"type": one.asked.type, "is_correct": said.is_correct})
        on_group(len(verdicts), len(answers))
    return {
        "schema": SCHEMA,
        "result": read_bundle(folder).header["digest"],
        "metric": judge.metric,
        "rules": type(judge).__name__,
        "prompts": dict(sorted(prompts.items())),
        "usage": judge.llm.ledger.to_dict(),
        "tasks": _summary(verdicts),
        "verdicts": verdicts,
    }


def _summary(verdicts: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, int]]]:
    """Questions judged and found right, by task and by type."""
    tasks: dict[str, dict[str, dict[str, int]]] = {}
    for verdict in verdicts:
        row = tasks.setdefault(verdict["task"], {}).setdefault(verdict["type"], {"judged": 0, "correct": 0})
        row["judged"] += 1
        row["correct"] += verdict["is_correct"]
    return tasks
