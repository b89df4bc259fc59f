"""How fast a Stable-Baselines3 model's view of a dialogue steps, beside another version of memgym.

    git worktree add /tmp/before COMMIT
    python benchmarks/dialogue_slots.py --against /tmp/before --write

Random operations in `SlotActions` and `TokenObservation`, with choice answers, by a reader or by the agent. Every
round plays the same steps in a new process, the two versions in turn; a version's time is its best, in CPU seconds
of that process. Both have to give the same arrays, rewards and refusals, or nothing is reported. Without
``--against``, this version alone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "dialogue_slots.json"
SLOTS, CHOICES = 6, 4
TASK = {
    "num_sessions": 3,
    "turns_per_session": 10,
    "num_facts": 6,
    "num_events": 0,
    "update_rate": 1.0,
    "answer_format": "choice",
    "memory_budget": 400,
    "view_bytes": 400,
}
READERS = ("extractive", "agent")


def measure(reader: str, steps: int) -> dict[str, Any]:
    """Play in this process; the time is that of resets and steps alone."""
    import gymnasium as gym
    import numpy as np

    import memgym
    from memgym.wrappers import SlotActions, TokenObservation

    choices = 0 if reader == "extractive" else CHOICES
    env: gym.Env = gym.make(
        "memgym/DialogueMemory-v0",
        disable_env_checker=True,
        reader="extractive" if reader == "extractive" else None,
        **TASK,
    )
    env = TokenObservation(SlotActions(env, SLOTS, choices), text_tokens=14, memory_entries=SLOTS)
    sizes = [3, SLOTS, *([choices] if choices else [])]
    actions = np.random.default_rng(0).integers(0, sizes, (steps, len(sizes)))
    digest, seconds = sha256(), 0.0
    observation, _ = env.reset(seed=0)
    for action in actions:
        start = time.process_time()
        observation, reward, terminated, _, info = env.step(action)
        if terminated:
            observation, _ = env.reset()
        seconds += time.process_time() - start
        for name in sorted(observation):
            digest.update(observation[name].tobytes())
        digest.update(repr((reward, terminated, info["memory_bytes"], info["refused"])).encode())
    where = str(Path(str(memgym.__file__)).parent)
    return {"steps_per_s": steps / seconds, "digest": digest.hexdigest(), "where": where}


def play(folder: Path, reader: str, steps: int) -> dict[str, Any]:
    """`measure` in a process that imports memgym from `folder`."""
    command = [sys.executable, __file__, "--here", reader, "--steps", str(steps)]
    env = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    found = json.loads(run.stdout)
    if Path(found.pop("where")) != folder.resolve() / "memgym":
        raise SystemExit(f"memgym of {folder} was not the one that was imported")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=Path, help="folder that holds another version's memgym/")
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"keep them in {RESULT.relative_to(ROOT)}")
    parser.add_argument("--here", choices=READERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.here, args.steps)))
        return
    folders = {"now": ROOT, **({"before": args.against} if args.against else {})}
    report: dict[str, Any] = {}
    for reader in READERS:
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in folders}
        for _ in range(args.rounds):
            for name, folder in folders.items():
                runs[name].append(play(folder, reader, args.steps))
        if len({run["digest"] for rows in runs.values() for run in rows}) != 1:
            raise SystemExit(f"the versions differ in what they give (answers by {reader})")
        best = {name: round(max(run["steps_per_s"] for run in rows)) for name, rows in runs.items()}
        if args.against:
            best["ratio"] = round(best["now"] / best["before"], 2)
        report[reader] = best
        print(f"answers by {reader}: {best}", flush=True)
    if args.write:
        kept = {"task": TASK, "slots": SLOTS, "steps": args.steps, "steps_per_s": report}
        RESULT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
