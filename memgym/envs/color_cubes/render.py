"""What Color Cubes looks like, as text and as an image drawn with numpy alone."""

from dataclasses import dataclass

import numpy as np

from memgym.envs.color_cubes.arguments import COLOURS, NO_EVENT, PHASE_START, TELEPORT
from memgym.envs.drawing import Colour, Image, draw_box, draw_disc, draw_letters

__all__ = ["CubesView", "draw_image", "draw_text"]

HEIGHT, WIDTH = 520, 440
TOP, LEFT, SIDE = 76, 20, 400  # of the grid
BACKGROUND, FLOOR, GRID = (250, 249, 246), (255, 255, 255), (226, 228, 232)
INK, UNKNOWN, AHEAD = (52, 58, 70), (156, 163, 175), (206, 210, 217)
FOUND, FAILED, LATE = (22, 163, 74), (220, 38, 38), (109, 40, 217)
# the frame around the grid says what has just happened
EVENTS: dict[int, Colour] = {NO_EVENT: GRID, PHASE_START: (36, 99, 235), TELEPORT: (245, 158, 11)}
OUTCOMES: dict[str, Colour] = {"success": FOUND, "time limit": LATE, "over": INK}
MAX_DOTS = 20  # targets shown as dots; more are shown as one bar
RGB: tuple[Colour, ...] = (
    (220, 50, 47), (59, 130, 246), (34, 160, 74), (234, 196, 19), (147, 51, 234), (249, 115, 22),
    (6, 200, 226), (244, 130, 190), (133, 77, 40), (163, 230, 53), (30, 40, 120), (13, 128, 120),
    (128, 128, 0), (128, 16, 40), (140, 140, 140), (25, 25, 25),
)  # fmt: skip
LETTERS = "RBGYPOCKNLVTEMAX"  # one for each of COLOURS
EVENT_NAMES = {NO_EVENT: "", PHASE_START: "new target", TELEPORT: "a cube jumped"}


@dataclass(frozen=True)
class CubesView:
    """All that a picture shows.

    Attributes:
        size: columns, and rows, of the grid.
        agent: the agent's cell; cell y size + x is in column x of row y.
        cubes: the cell of each cube.
        target: the cube to find.
        target_shown: whether the agent sees which one it is.
        event: what this frame shows: 0 nothing, 1 the start of a phase, 2 a jump.
        coloured: whether the agent sees the colours of this frame's cubes.
        only_moved: whether the agent sees only the cube that moved.
        moved: the cube that moved in this step, or -1.
        left: the cell that it left.
        found: targets found.
        targets: targets to find.
        step: steps taken.
        limit: steps allowed.
        outcome: ``""`` while the episode runs, otherwise how it ended.
    """

    size: int
    agent: int
    cubes: tuple[int, ...]
    target: int
    target_shown: bool
    event: int
    coloured: bool
    only_moved: bool
    moved: int
    left: int
    found: int
    targets: int
    step: int
    limit: int
    outcome: str

    def shows(self, cube: int) -> bool:
        """Whether the agent sees where this cube is."""
        return self.event != NO_EVENT and (not self.only_moved or cube == self.moved)


def draw_text(view: CubesView) -> str:
    """The grid in letters: @ is the agent, R a red cube that it sees, r? without its colour, r a hidden one."""
    target = COLOURS[view.target] if view.target_shown else f"({COLOURS[view.target]})"
    state = view.outcome or EVENT_NAMES[view.event]
    lines = [f"found {view.found}/{view.targets}  target {target}  step {view.step}/{view.limit}  {state}"]
    for row in range(view.size):
        cells = range(row * view.size, (row + 1) * view.size)
        lines.append("".join(_cell_text(view, cell) for cell in cells))
    return "\n".join(line.rstrip() for line in lines)


def _cell_text(view: CubesView, cell: int) -> str:
    """Three characters: the agent, the cube, whether its colour is unknown."""
    agent = "@" if cell == view.agent else " "
    if cell not in view.cubes:
        return f"{agent}. "
    cube = view.cubes.index(cell)
    letter = LETTERS[cube]
    if not view.shows(cube):
        return f"{agent}{letter.lower()} "
    return f"{agent}{letter} " if view.coloured else f"{agent}{letter.lower()}?"


def draw_image(view: CubesView) -> Image:
    """An image of shape (520, 440, 3): target and progress on top, the grid, the time used below it."""
    image: Image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = BACKGROUND
    _draw_progress(image, view)
    _draw_grid(image, view)
    if view.moved >= 0:
        _draw_trail(image, view)
    for cube in range(len(view.cubes)):
        _draw_cube(image, view, cube)
    side = SIDE / view.size
    y, x = _middle(view, view.agent)
    draw_disc(image, y, x, max(int(side * 0.22), 3), FLOOR)
    draw_disc(image, y, x, max(int(side * 0.18), 2), INK)
    return image


def _draw_progress(image: Image, view: CubesView) -> None:
    """The target's colour (only its outline while the agent does not see it), a dot for each target, the time."""
    colour = RGB[view.target]
    draw_box(image, 16, LEFT, 60, LEFT + 44, colour)
    if not view.target_shown:
        draw_box(image, 20, LEFT + 4, 56, LEFT + 40, _pale(colour, 0.85))
        draw_letters(image, 28, LEFT + 16, "?", 4, colour)
    left = LEFT + 62
    if view.targets <= MAX_DOTS:
        for i in range(view.targets):
            state = FOUND if i < view.found else INK if i == view.found and not view.outcome else AHEAD
            draw_disc(image, 38, left + 8 + 13 * i, 5, state)
    else:
        draw_box(image, 34, left, 42, left + 13 * MAX_DOTS, AHEAD)
        draw_box(image, 34, left, 42, left + 13 * MAX_DOTS * view.found // view.targets, FOUND)
    label = f"{view.found}/{view.targets}"
    scale = 3 if len(label) <= 5 else 1
    draw_letters(image, 32, LEFT + SIDE - 4 * scale * len(label), label, scale, INK)
    draw_box(image, HEIGHT - 20, LEFT, HEIGHT - 14, LEFT + SIDE, AHEAD)
    draw_box(image, HEIGHT - 20, LEFT, HEIGHT - 14, LEFT + SIDE * view.step // view.limit, INK)


def _draw_grid(image: Image, view: CubesView) -> None:
    edge = OUTCOMES.get(view.outcome, FAILED) if view.outcome else EVENTS[view.event]
    draw_box(image, TOP - 6, LEFT - 6, TOP + SIDE + 6, LEFT + SIDE + 6, edge)
    draw_box(image, TOP, LEFT, TOP + SIDE, LEFT + SIDE, FLOOR)
    for i in range(1, view.size):
        at = SIDE * i / view.size
        draw_box(image, TOP + at, LEFT, TOP + at + 1, LEFT + SIDE, GRID)
        draw_box(image, TOP, LEFT + at, TOP + SIDE, LEFT + at + 1, GRID)


def _draw_trail(image: Image, view: CubesView) -> None:
    """Dots from the cell that the moved cube has left to where it is now."""
    (y, x), (row, column) = _middle(view, view.left), _middle(view, view.cubes[view.moved])
    for part in np.linspace(0.0, 1.0, 13):
        radius = max(int(SIDE / view.size * 0.05), 1)
        draw_disc(image, y + part * (row - y), x + part * (column - x), radius, RGB[view.moved])


def _draw_cube(image: Image, view: CubesView, cube: int) -> None:
    """Solid where the agent sees it, grey inside where it does not see its colour, pale where it sees nothing."""
    y, x = _middle(view, view.cubes[cube])
    half = SIDE / view.size * 0.36
    border = max(half * 0.16, 1.0)
    colour = RGB[cube]
    if not view.shows(cube):
        border, inside, colour = border / 2, _pale(colour, 0.9), _pale(colour, 0.55)
    else:
        inside = colour if view.coloured else UNKNOWN
    draw_box(image, y - half, x - half, y + half, x + half, colour)
    draw_box(image, y - half + border, x - half + border, y + half - border, x + half - border, inside)


def _middle(view: CubesView, cell: int) -> tuple[float, float]:
    row, column = divmod(cell, view.size)
    side = SIDE / view.size
    return TOP + side * (row + 0.5), LEFT + side * (column + 0.5)


def _pale(colour: Colour, share: float) -> Colour:
    """The colour with this share of white."""
    red, green, blue = (round(part + (255 - part) * share) for part in colour)
    return red, green, blue
