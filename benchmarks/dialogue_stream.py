"""A pass of NOOPs over one long conversation: words a second, time to the first turn, growth of memory.

    python benchmarks/dialogue_stream.py 100_000 1_000_000 10_000_000

Each length runs in a process of its own; times are CPU seconds of that process. "text alone" is the same stream
without the environment around it.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

LENGTHS = (100_000, 1_000_000, 10_000_000)


def measure(num_words: int, preset: str | None) -> dict[str, Any]:
    """One pass over an episode, in this process."""
    import gymnasium as gym

    from memgym.memory import as_action
    from memgym.worlds.dialogue import DialogueWorld

    env: Any = gym.make(
        "memgym/DialogueMemory-v0", num_words=num_words, preset=preset, disable_env_checker=True
    ).unwrapped
    noop = as_action()
    start = time.process_time()
    observation, _ = env.reset(seed=0)
    reset_s = time.process_time() - start
    for _ in range(1000):
        env.step(noop)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    observation, _ = env.reset(seed=0)
    words, steps, done = 0, 0, False
    start = time.process_time()
    while not done:
        words += observation["text"].count(" ") + 1
        observation, _, done, _, _ = env.step(noop)
        steps += 1
    pass_s = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - kilobytes
    start = time.process_time()
    for _ in DialogueWorld(1, "train", env.config).stream():
        pass
    return {
        "words": words,
        "steps": steps,
        "reset_ms": 1000 * reset_s,
        "words_per_s": words / pass_s,
        "steps_per_s": steps / pass_s,
        "text_alone_words_per_s": words / (time.process_time() - start),
        "grown_mb": grown / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lengths", type=int, nargs="*", default=list(LENGTHS), metavar="NUM_WORDS")
    parser.add_argument("--preset", default=None, choices=["easy", "medium", "hard"])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measure(args.lengths[0], args.preset)))
        return
    print(
        f"{'words':>12} {'steps':>9} {'reset ms':>9} {'words/s':>10} {'steps/s':>9} {'text alone':>11} {'MB more':>8}"
    )
    for length in args.lengths:
        command = [sys.executable, __file__, str(length), "--here"]
        command += ["--preset", args.preset] if args.preset else []
        out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{out['words']:>12,} {out['steps']:>9,} {out['reset_ms']:>9.1f} {out['words_per_s']:>10,.0f} "
            f"{out['steps_per_s']:>9,.0f} {out['text_alone_words_per_s']:>11,.0f} {out['grown_mb']:>8.1f}"
        )


if __name__ == "__main__":
    main()
