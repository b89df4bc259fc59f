"""What an Endless T-Maze looks like, as text and as an image drawn with numpy alone."""

from dataclasses import dataclass

import numpy as np

from memgym.envs.drawing import Colour, Image, draw_box, draw_disc, draw_letters

__all__ = ["TMazeView", "draw_image", "draw_text"]

HEIGHT, WIDTH = 240, 560
BACKGROUND, WALL, FLOOR, GRID = (250, 249, 246), (52, 58, 70), (255, 255, 255), (226, 228, 232)
AGENT, CUE = (36, 99, 235), (245, 158, 11)
PASSED, PRESENT, AHEAD = (22, 163, 74), (36, 99, 235), (206, 210, 217)
OUTCOME = {"": FLOOR, "success": (187, 247, 208), "time limit": (254, 240, 199), "over": (228, 231, 236)}
FAILURE: Colour = (254, 202, 202)
MAX_DOTS = 24  # corridors shown as dots; more are shown as one bar
TEXT_CELLS = 60  # cells drawn as text; longer corridors are scaled down


@dataclass(frozen=True)
class TMazeView:
    """All that a picture shows.

    Attributes:
        num_corridors: corridors of an episode.
        longest: the most steps that a corridor can have.
        num_cues: cues, and turns at the junction.
        corridor: corridors passed.
        position: the agent's.
        length: steps from cue to junction in this corridor.
        shown: what the agent sees: 0 nothing, j the cue that asks for turn j, `num_cues` + 1 all of them.
        step: steps taken.
        limit: steps allowed.
        outcome: ``""`` while the episode runs, otherwise how it ended.
    """

    num_corridors: int
    longest: int
    num_cues: int
    corridor: int
    position: int
    length: int
    shown: int
    step: int
    limit: int
    outcome: str

    @property
    def number(self) -> int:
        """The corridor in view, counted from 1."""
        return min(self.corridor + 1, self.num_corridors)

    @property
    def lit(self) -> list[int]:
        """The cues that the agent sees."""
        if self.outcome or not self.shown:
            return []
        return [self.shown] if self.shown <= self.num_cues else list(range(1, self.num_cues + 1))

    @property
    def labels(self) -> list[str]:
        """What stands at the turns, from left (top of the picture) to right."""
        return ["L", "R"] if self.num_cues == 2 else [str(j + 1) for j in range(self.num_cues)]


def draw_text(view: TMazeView) -> str:
    """The maze in a few lines of text: A is the agent; the turns stand where the corridor ends."""
    cells = min(view.length, TEXT_CELLS)
    floor = ["."] * (cells + 1)
    floor[round(view.position * cells / view.length)] = "A"
    names = {1: "left", 2: "right"} if view.num_cues == 2 else {}
    cue = " and ".join(names.get(j, str(j)) for j in view.lit)
    state = view.outcome or (f"cue: {cue}" if cue else "")
    head = f"corridor {view.number}/{view.num_corridors}  step {view.step}/{view.limit}  {state}".rstrip()
    pad, wall = " " * cells, "#" * (cells + 1)
    above, below = view.labels[: (view.num_cues + 1) // 2], view.labels[(view.num_cues + 1) // 2 :]
    return "\n".join(
        [head]
        + [f"{pad}#{label}#" for label in above]
        + [f"{wall}.#", f"#{''.join(floor)}#", f"{wall}.#"]
        + [f"{pad}#{label}#" for label in below]
    )


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
            draw_disc(image, 28, 28 + 16 * i, 6, colour)
    else:
        draw_box(image, 24, 22, 32, 22 + 16 * MAX_DOTS, AHEAD)
        draw_box(image, 24, 22, 32, 22 + 16 * MAX_DOTS * view.corridor // view.num_corridors, PASSED)
    label = f"{view.number}/{view.num_corridors}"
    draw_letters(image, 20, WIDTH - 22 - 12 * len(label), label, 3, WALL)
    draw_box(image, HEIGHT - 12, 22, HEIGHT - 8, WIDTH - 22, AHEAD)
    draw_box(image, HEIGHT - 12, 22, HEIGHT - 8, 22 + (WIDTH - 44) * view.step // view.limit, WALL)


def _draw_maze(image: Image, view: TMazeView) -> None:
    half, wall, middle, left = 19, 5, 132, 30
    # the longest corridor fills the width; the shorter ones of length_mode="uniform" end before it
    cell = (WIDTH - 2 * left) / (view.longest + 1)
    junction = left + cell * (view.length + 0.5)
    arm = max(min(cell / 2, half), 6.0)
    right = junction + arm
    floor = OUTCOME.get(view.outcome, FAILURE)
    draw_box(image, middle - half - wall, left - wall, middle + half + wall, right + wall, WALL)
    draw_box(image, middle - 76 - wall, junction - arm - wall, middle + 76 + wall, right + wall, WALL)
    draw_box(image, middle - half, left, middle + half, right, floor)
    draw_box(image, middle - 76, junction - arm, middle + 76, right, floor)
    if cell >= 8:
        for i in range(1, view.length + 1):
            edge = left + cell * i
            draw_box(image, middle - half, edge, middle + half, edge + 1, GRID)
    scale = 3 if view.num_cues <= 6 else 1
    for label, y in zip(view.labels, np.linspace(middle - 64, middle + 50, view.num_cues), strict=True):
        draw_letters(image, y, junction - 2 * scale * len(label) + 2, label, scale, AHEAD)
    x = left + cell * (view.position + 0.5)
    if view.num_cues == 2:
        for cue in view.lit:
            _arrow(image, middle, x, -1 if cue == 1 else 1)
    elif view.lit:
        text = str(view.lit[0]) if len(view.lit) == 1 else "ALL"
        draw_letters(image, middle - 56, max(x - 6 * len(text), 4), text, 4, CUE)
    draw_disc(image, middle, x, max(4, int(min(cell * 0.3, 11))), AGENT)


def _arrow(image: Image, y: float, x: float, direction: int) -> None:
    """The cue: an arrow from the agent's cell towards the arm to take, up for left and down for right."""
    tip, base = y + direction * 62, y + direction * 40
    for row in range(int(min(tip, base)), int(max(tip, base))):
        width = abs(tip - row) * 0.75
        draw_box(image, row, x - width, row + 1, x + width, CUE)
    draw_box(image, min(base, y + direction * 27), x - 5, max(base, y + direction * 27), x + 5, CUE)
