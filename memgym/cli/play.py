"""``memgym play``: a person plays a task, or watches an agent play it."""

import time
from typing import Annotated, Any

import gymnasium as gym
import typer
from rich.console import Console
from rich.markup import escape

from memgym.core.trace import metric_of
from memgym.envs import ENVIRONMENTS
from memgym.envs.text import Phase
from memgym.errors import InvalidOperation, UnknownName
from memgym.memory import MemoryOp, OpKind, as_action
from memgym.registry import load_object

__all__ = ["play"]

TEXT_HELP = """On an item: Enter lets it pass; [b]a[/b] stores it as it stands; [b]a TEXT[/b] stores TEXT;
[b]u ID TEXT[/b] updates an entry; [b]d ID[/b] deletes one; [b]s WORDS[/b] searches.
On a question: type the answer, or the number of a choice ([b]s WORDS[/b] still searches). [b]q[/b] quits."""


def play(
    env_id: Annotated[str, typer.Argument(help="Environment; the namespace memgym/ may be left out.")],
    agent: Annotated[str, typer.Option("--agent", "-a", help="Watch this agent instead of playing.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the episode.")] = 0,
    arg: Annotated[
        list[str] | None, typer.Option("--arg", help="Argument of the environment, NAME=VALUE.")
    ] = None,
    delay: Annotated[float, typer.Option(help="Seconds between frames when watching.")] = 0.3,
) -> None:
    """Play a task in the terminal, or watch an agent play it.

    [dim]Examples:[/dim]

        memgym play EndlessTMaze-v0

        memgym play DialogueMemory-v0 --arg answer_format=choice --seed 7

        memgym play DialogueMemory-v0 --agent rules --arg answer_format=choice
    """
    name = env_id if "/" in env_id else f"memgym/{env_id}"
    if name not in ENVIRONMENTS:
        ENVIRONMENTS.resolve(name)  # raises with near matches
    if seed < 0:
        raise typer.BadParameter(f"--seed is at least 0, not {seed}.")
    if delay < 0:
        raise typer.BadParameter(f"--delay is at least 0, not {delay}.")
    try:
        env = gym.make(name, render_mode="ansi", disable_env_checker=True, **_arguments(arg or []))
    except (TypeError, ValueError) as error:  # an unknown argument, or one out of its range
        raise typer.BadParameter(f"--arg: {error}") from None
    console = Console()
    if agent:
        _watch(console, env, agent, seed, delay)
    elif getattr(env.unwrapped, "family", "") == "text":
        _play_text(console, env, seed)
    else:
        _play_control(console, env, seed)


def _arguments(pairs: list[str]) -> dict[str, Any]:
    """NAME=VALUE with the value as an integer, a float, a truth value or text."""
    arguments: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UnknownName(f"--arg is NAME=VALUE, not {pair!r}.")
        arguments[name] = {"true": True, "false": False, "none": None}.get(value.lower(), value)
        for kind in (int, float):
            try:
                arguments[name] = kind(value)
                break
            except ValueError:
                continue
    return arguments


def _watch(console: Console, env: gym.Env, name: str, seed: int, delay: float) -> None:
    agent = load_object("memgym.agents:make_agent")(name)
    if reason := agent.cannot_play(env):
        raise UnknownName(f"agent {name!r} cannot play this task: {reason}.")
    view = agent.wrap(env)
    agent.seed(seed)
    observation, info = view.reset(seed=seed)
    state, start, done, total = None, True, False, 0.0
    while not done:
        _show(console, env, [])
        time.sleep(delay)
        action, state = agent.predict(observation, state=state, episode_start=start)
        observation, reward, terminated, truncated, info = view.step(action)
        total += float(reward)
        start, done = False, terminated or truncated
    _show(console, env, [])
    _summary(console, env, total, info)


def _play_text(console: Console, env: gym.Env, seed: int) -> None:
    observation, info = env.reset(seed=seed)
    total, done, notes = 0.0, False, [TEXT_HELP]
    while not done:
        notes += [f"  found {hit['id']}: {escape(hit['text'])}" for hit in observation["hits"]]
        asked = observation["phase"] == Phase.QUESTION
        if asked:
            notes += [f"  {i}  {escape(choice)}" for i, choice in enumerate(observation["choices"], 1)]
        _show(console, env, notes)
        line = _ask("answer> " if asked else "memory> ")
        if line == "q":
            return
        try:
            action = _text_action(line, observation)
        except InvalidOperation as error:
            notes = [f"[red]{escape(str(error))}[/red]"]
            continue
        observation, reward, terminated, truncated, info = env.step(action)
        notes = [f"[red]refused: {escape(refusal['reason'])}[/red]" for refusal in info["refused"]]
        if any(op["kind"] == OpKind.SEARCH for op in action["ops"]) and not observation["hits"]:
            notes.append("  nothing found")
        if "is_correct" in info:
            notes.append("[bold green]right[/]" if info["is_correct"] else "[bold red]wrong[/]")
        total += float(reward)
        done = terminated or truncated
    _show(console, env, notes)
    _summary(console, env, total, info)


def _text_action(line: str, observation: dict[str, Any]) -> dict[str, Any]:
    """What a typed line stands for."""
    word, _, rest = line.partition(" ")
    if word == "s" and rest:
        return as_action([MemoryOp.search(rest)])
    if observation["phase"] == Phase.QUESTION:
        choices = observation["choices"]
        if choices and line.isdecimal() and 1 <= int(line) <= len(choices):
            return as_action(answer=choices[int(line) - 1])
        return as_action(answer=line)
    if not line:
        return as_action()
    if word == "a":
        said = f"{observation['speaker']}: {observation['text']}" if observation["speaker"] else ""
        return as_action([MemoryOp.add(rest or said or observation["text"], time=observation["time"])])
    if word == "d" and rest:
        return as_action([MemoryOp.delete(rest.strip())])
    id, _, text = rest.partition(" ")
    if word == "u" and text:
        return as_action([MemoryOp.update(id, text)])
    raise InvalidOperation("not understood: Enter, a [TEXT], u ID TEXT, d ID, s WORDS or q.")


def _play_control(console: Console, env: gym.Env, seed: int) -> None:
    task: Any = env.unwrapped
    observation, info = env.reset(seed=seed)
    names = [escape(name) for name in task.action_names]
    choices = f"{', '.join(names)} (the first letters do; Enter: {names[0]}), q: quit."
    total, done, notes = 0.0, False, [escape(task.instructions()), choices]
    while not done:
        words = task.describe(observation) if task.pictures_reveal else None
        _show(console, env, notes, words)
        line = _ask("action> ").casefold()
        if line == "q":
            return
        action = _action_number(line, task.action_names)
        if action is None:
            notes = [choices]
            continue
        observation, reward, terminated, truncated, info = env.step(action)
        total += float(reward)
        done, notes = terminated or truncated, []
    _show(console, env, [])
    _summary(console, env, total, info)


def _action_number(line: str, names: tuple[str, ...]) -> int | None:
    """The action that a line names, whole or by first letters that only one action has."""
    starting = [number for number, name in enumerate(names) if name.casefold().startswith(line)]
    exact = [number for number in starting if names[number].casefold() == line]
    if not line:
        return 0
    if exact or len(starting) == 1:
        return (exact or starting)[0]
    return None


def _ask(prompt: str) -> str:
    try:
        return input(prompt).strip()
    except EOFError:
        return "q"


def _show(console: Console, env: gym.Env, notes: list[str], words: str | None = None) -> None:
    """One frame, or words in its place, on a cleared screen where there is one; below it, what there is to say."""
    if console.is_terminal:
        console.clear()
    console.print(env.render() if words is None else words, markup=False, highlight=False)
    for note in notes:
        console.print(note, highlight=False)


def _summary(console: Console, env: gym.Env, total: float, info: dict[str, Any]) -> None:
    metric = metric_of(env)
    console.print(f"\nThe end. Return {total:.2f}, {metric} {info.get(metric)}.", highlight=False)
