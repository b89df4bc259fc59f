"""How the cost of a turn grows with the number of turns, for the engine and for agents that keep everything.

    python benchmarks/memory_growth.py --rounds 5

Each row plays 2,000, 4,000 and 8,000 turns in turn; the figures are medians of CPU seconds with their spread.
Linear cost doubles from column to column.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from memgym.agents import make_agent
from memgym.memory import MemoryEngine, MemoryOp
from memgym.memory.lexical import LexicalIndex

TURNS = (2000, 4000, 8000)


def sliding_window(turns: int) -> None:
    engine = MemoryEngine()
    for i in range(1, turns + 1):
        engine.apply(MemoryOp.add("some words"))
        if i > 5:
            engine.apply(MemoryOp.delete(f"m{i - 5}"))


def rewritten_entry(turns: int) -> None:
    engine = MemoryEngine()
    engine.apply(MemoryOp.add("some words"))
    for i in range(turns):
        engine.apply(MemoryOp.update("m1", f"other words {i}"), provenance=(f"i{i}",))


def agent(name: str) -> Callable[[int], None]:
    turn = {"phase": 0, "text": "some words " * 4, "speaker": "A", "time": "2021-01-01", "choices": ()}
    turn |= {"memory": (), "hits": (), "bytes_left": 10**12}

    def play(turns: int) -> None:
        player, state = make_agent(name), None
        for _ in range(turns):
            _, state = player.predict(turn, state)
            player.memory_nbytes(state)

    return play


def long_query(words: int) -> None:
    LexicalIndex((i, f"w{i}") for i in range(200)).search(" ".join(f"w{i}" for i in range(words)), 10)


ROWS: dict[str, Callable[[int], None]] = {
    "ADD and DELETE, a window of 5": sliding_window,
    "UPDATE of one entry": rewritten_entry,
    "agent recency": agent("recency"),
    "agent full-context": agent("full-context"),
    "SEARCH with so many words": long_query,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{'':32s}" + "".join(f"{turns:>24,d}" for turns in TURNS))
    for name, play in ROWS.items():
        play(TURNS[0])
        times: dict[int, list[float]] = {turns: [] for turns in TURNS}
        for _ in range(rounds):
            for turns in TURNS:
                start = time.process_time()
                play(turns)
                times[turns].append(time.process_time() - start)
        cells = [f"{statistics.median(row):.3f} ({min(row):.3f}-{max(row):.3f})" for row in times.values()]
        print(f"{name:32s}" + "".join(f"{cell:>24s}" for cell in cells))


if __name__ == "__main__":
    main()
