"""What an Endless T-Maze looks like, as text and as an image drawn with numpy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TMazeView", "draw_image", "draw_text"]

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

HEIGHT, WIDTH = 240, 560
BACKGROUND, WALL, FLOOR, GRID = (250, 249, 246), (52, 58, 70), (255, 255, 255), (226, 228, 232)
AGENT, CUE = (36, 99, 235), (245, 158, 11)
PASSED, PRESENT, AHEAD = (22, 163, 74), (36, 99, 235), (206, 210, 217)
OUTCOME = {"": FLOOR, "success": (187, 247, 208), "time limit": (254, 240, 199), "over": (228, 231, 236)}
FAILURE: Colour = (254, 202, 202)
MAX_DOTS = 24  # corridors shown as dots; more are shown as one bar
TEXT_CELLS = 60  # cells drawn as text; longer corridors are scaled down

# 3x5 dots a glyph, one string a row
GLYPHS = {
    "0": ("###", "# #", "# #", "# #", "###"),
    "1": (" # ", "## ", " # ", " # ", "###"),
    "2": ("###", "  #", "###", "#  ", "###"),
    "3": ("###", "  #", "###", "  #", "###"),
    "4": ("# #", "# #", "###", "  #", "  #"),
    "5": ("###", "#  ", "###", "  #", "###"),
    "6": ("###", "#  ", "###", "# #", "###"),
    "7": ("###", "  #", " # ", " # ", " # "),
    "8": ("###", "# #", "###", "# #", "###"),
    "9": ("###", "# #", "###", "  #", "###"),
    "/": ("  #", "  #", " # ", "#  ", "#  "),
    "L": ("#  ", "#  ", "#  ", "#  ", "###"),
    "R": ("## ", "# #", "## ", "# #", "# #"),
}


@dataclass(frozen=True)
class TMazeView:
    """All that a picture shows.

    Attributes:
        num_corridors: corridors of an episode.
        longest: the most steps that a corridor can have.
        corridor: corridors passed.
        position: the agent's.
        length: steps from cue to junction in this corridor.
        cue: the action that the cue asks for, 1 left or 2 right; drawn only while the agent sees it.
        step: steps taken.
        limit: steps allowed.
        outcome: ``""`` while the episode runs, otherwise how it ended.
    """

    num_corridors: int
    longest: int
    corridor: int
    position: int
    length: int
    cue: int
    step: int
    limit: int
    outcome: str

    @property
    def number(self) -> int:
        """The corridor in view, counted from 1."""
        return min(self.corridor + 1, self.num_corridors)

    @property
    def cue_is_visible(self) -> bool:
        """Whether the agent stands where the cue is shown."""
        return self.position == 0 and not self.outcome


def draw_text(view: TMazeView) -> str:
    """The maze in six lines of text: A is the agent, L and R are the two arms."""
    cells = min(view.length, TEXT_CELLS)
    floor = ["."] * (cells + 1)
    floor[round(view.position * cells / view.length)] = "A"
    side = "left" if view.cue == 1 else "right"
    state = view.outcome or (f"cue: {side}" if view.cue_is_visible else "")
    pad, wall = " " * cells, "#" * (cells + 1)
    lines = [
        f"corridor {view.number}/{view.num_corridors}  step {view.step}/{view.limit}  {state}".rstrip(),
        f"{pad}#L#",
        f"{wall}.#",
        f"#{''.join(floor)}#",
        f"{wall}.#",
        f"{pad}#R#",
    ]
    return "\n".join(lines)


def draw_image(view: TMazeView) -> Image:
    """The maze as an image of shape (240, 560, 3): progress on top, the present corridor below it."""
    image: Image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = BACKGROUND
    _draw_progress(image, view)
    _draw_maze(image, view)
    return image


def _draw_progress(image: Image, view: TMazeView) -> None:
    """A dot for each corridor (a bar where they are many), the corridor's number and a bar of time used."""
    if view.num_corridors <= MAX_DOTS:
        for i in range(view.num_corridors):
            colour = PASSED if i < view.corridor else PRESENT if i == view.corridor else AHEAD
            _disc(image, 28, 28 + 16 * i, 6, colour)
    else:
        _box(image, 24, 22, 32, 22 + 16 * MAX_DOTS, AHEAD)
        _box(image, 24, 22, 32, 22 + 16 * MAX_DOTS * view.corridor // view.num_corridors, PASSED)
    label = f"{view.number}/{view.num_corridors}"
    _text(image, 20, WIDTH - 22 - 12 * len(label), label, 3, WALL)
    _box(image, HEIGHT - 12, 22, HEIGHT - 8, WIDTH - 22, AHEAD)
    _box(image, HEIGHT - 12, 22, HEIGHT - 8, 22 + (WIDTH - 44) * view.step // view.limit, WALL)


def _draw_maze(image: Image, view: TMazeView) -> None:
    half, wall, middle, left = 19, 5, 132, 30
    # the longest corridor fills the width; the shorter ones of length_mode="uniform" end before it
    cell = (WIDTH - 2 * left) / (view.longest + 1)
    junction = left + cell * (view.length + 0.5)
    arm = max(min(cell / 2, half), 6.0)
    right = junction + arm
    floor = OUTCOME.get(view.outcome, FAILURE)
    _box(image, middle - half - wall, left - wall, middle + half + wall, right + wall, WALL)
    _box(image, middle - 76 - wall, junction - arm - wall, middle + 76 + wall, right + wall, WALL)
    _box(image, middle - half, left, middle + half, right, floor)
    _box(image, middle - 76, junction - arm, middle + 76, right, floor)
    if cell >= 8:
        for i in range(1, view.length + 1):
            edge = left + cell * i
            _box(image, middle - half, edge, middle + half, edge + 1, GRID)
    _text(image, middle - 64, junction - 4, "L", 3, AHEAD)
    _text(image, middle + 50, junction - 4, "R", 3, AHEAD)
    x = left + cell * (view.position + 0.5)
    if view.cue_is_visible:
        _arrow(image, middle, x, -1 if view.cue == 1 else 1)
    _disc(image, middle, x, max(4, int(min(cell * 0.3, 11))), AGENT)


def _arrow(image: Image, y: float, x: float, direction: int) -> None:
    """The cue: an arrow from the agent's cell towards the arm to take, up for left and down for right."""
    tip, base = y + direction * 62, y + direction * 40
    for row in range(int(min(tip, base)), int(max(tip, base))):
        width = abs(tip - row) * 0.75
        _box(image, row, x - width, row + 1, x + width, CUE)
    _box(image, min(base, y + direction * 27), x - 5, max(base, y + direction * 27), x + 5, CUE)


def _box(image: Image, top: float, left: float, bottom: float, right: float, colour: Colour) -> None:
    image[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)] = colour


def _disc(image: Image, y: float, x: float, radius: int, colour: Colour) -> None:
    rows, columns = np.ogrid[: image.shape[0], : image.shape[1]]
    image[(rows - int(y)) ** 2 + (columns - int(x)) ** 2 <= radius**2] = colour


def _text(image: Image, top: float, left: float, text: str, scale: int, colour: Colour) -> None:
    for i, character in enumerate(text):
        dots = np.array([[dot == "#" for dot in row] for row in GLYPHS[character]])
        dots = dots.repeat(scale, 0).repeat(scale, 1)
        x = int(left) + i * 4 * scale
        area = image[int(top) : int(top) + dots.shape[0], max(x, 0) : max(x, 0) + dots.shape[1]]
        area[dots[: area.shape[0], : area.shape[1]]] = colour
