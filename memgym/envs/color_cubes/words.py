"""Color Cubes in words: its rules and its observations, for players that read text."""

import numpy as np
from numpy.typing import NDArray

from memgym.envs.color_cubes.arguments import COLOURS, PHASE_START, TELEPORT, ColorCubesArguments

__all__ = ["describe", "instructions"]


def instructions(arguments: ColorCubesArguments) -> str:
    """The rules."""
    size, cubes, targets = int(arguments.grid_size), int(arguments.cubes), int(arguments.targets)
    colours = ", ".join(COLOURS[:cubes])
    words = [
        f"You walk on a grid of {size} columns and {size} rows; column 1 is on the left, row 1 at the top. On it "
        f"{'stands 1 cube' if cubes == 1 else f'stand {cubes} cubes'} ({colours}). You may walk over cubes.",
        f"Find {targets} target{'s' if targets > 1 else ''}, one after the other: walk to the cube of the "
        "target's colour with 'up', 'down', 'left' and 'right', then 'interact'.",
    ]
    if arguments.wrong == "terminate":
        words.append("If you interact anywhere else, all is over.")
    else:
        words.append("To interact anywhere else costs points.")
    if targets > 1:
        words.append("A cube that you find jumps to another place.")
    jumps = arguments.probability > 0 and cubes > 1
    if jumps:
        words.append("Now and then another cube jumps to a free cell; the target never does.")
    words.append(
        "You see the cubes when you are given a target and when one has jumped, and at no other time."
    )
    if arguments.update == "delta" and jumps:
        words.append("Of a jump you see only the cube that jumped.")
    if arguments.mode == "extreme" and cubes > 1:
        words.append("Only at the very beginning do you see their colours: work out which one has jumped.")
    words.append(f"You have {arguments.limit} steps.")
    return " ".join(words)


def describe(arguments: ColorCubesArguments, observation: NDArray[np.float32]) -> str:
    """What an observation says."""
    cubes, event_at = int(arguments.cubes), arguments.event_at
    words = [f"You are at {_place(arguments, observation[:2])}."]
    event = int(np.argmax(observation[event_at : event_at + 3]))
    target = np.flatnonzero(observation[2:event_at])
    if target.size:
        kind = "new target" if event == PHASE_START else "target"
        words.append(f"The {kind} is the {COLOURS[int(target[0])]} cube.")
    rows = observation[arguments.rows_at :].reshape(cubes, arguments.row_size)
    shown = [row for row in rows if row[2]]
    places = [_place(arguments, row[:2]) for row in shown]
    coloured = bool(shown) and bool(shown[0][3:].any())
    if event == TELEPORT and arguments.update == "delta" and not coloured:
        words.append(f"A cube has jumped from {places[0]} to {places[1]}.")
        return " ".join(words)
    if event == TELEPORT:
        words.append("A cube has jumped.")
    if coloured:
        colours = [COLOURS[int(np.argmax(row[3:]))] for row in shown]
        words += [f"The {colour} cube is at {place}." for colour, place in zip(colours, places, strict=True)]
    elif shown:
        words.append(f"There are cubes at {'; '.join(places)}.")
    return " ".join(words)


def _place(arguments: ColorCubesArguments, point: NDArray[np.float32]) -> str:
    x, y = np.rint(point * (int(arguments.grid_size) - 1)).astype(int)
    return f"column {x + 1}, row {y + 1}"
