"""What a stream task looks like: its last operations, what was answered to them, and the table that they change."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from memgym.envs.drawing import GLYPHS, Colour, Image, draw_box

if TYPE_CHECKING:
    from memgym.envs.streams.task import StreamTask

__all__ = ["HISTORY", "Line", "StreamView", "draw_image", "draw_text", "make_view"]

HISTORY = 9  # operations shown
TABLE_ROWS, TABLE_COLUMNS = 8, 2  # of a picture; a larger table ends in "..."

HEIGHT, WIDTH, MARGIN, LEADING = 240, 560, 22, 22
BACKGROUND, INK, FAINT, PANEL = (250, 249, 246), (52, 58, 70), (150, 156, 166), (255, 255, 255)
PRESENT, RIGHT, WRONG = (36, 99, 235), (22, 163, 74), (220, 38, 38)
TERMINAL = {RIGHT: "32", WRONG: "31", PRESENT: "1", FAINT: "2"}

LETTERS = GLYPHS | {
    "B": ("## ", "# #", "## ", "# #", "## "),
    "C": ("###", "#  ", "#  ", "#  ", "###"),
    "D": ("## ", "# #", "# #", "# #", "## "),
    "E": ("###", "#  ", "## ", "#  ", "###"),
    "F": ("###", "#  ", "## ", "#  ", "#  "),
    "G": ("###", "#  ", "# #", "# #", "###"),
    "H": ("# #", "# #", "###", "# #", "# #"),
    "I": ("###", " # ", " # ", " # ", "###"),
    "J": ("  #", "  #", "  #", "# #", "###"),
    "K": ("# #", "# #", "## ", "# #", "# #"),
    "M": ("# #", "###", "###", "# #", "# #"),
    "N": ("## ", "# #", "# #", "# #", "# #"),
    "O": ("###", "# #", "# #", "# #", "###"),
    "P": ("###", "# #", "###", "#  ", "#  "),
    "Q": ("###", "# #", "# #", "###", "  #"),
    "S": ("###", "#  ", "###", "  #", "###"),
    "T": ("###", " # ", " # ", " # ", " # "),
    "U": ("# #", "# #", "# #", "# #", "###"),
    "V": ("# #", "# #", "# #", "# #", " # "),
    "W": ("# #", "# #", "###", "###", "# #"),
    "X": ("# #", "# #", " # ", "# #", "# #"),
    "Y": ("# #", "# #", "###", " # ", " # "),
    "Z": ("###", "  #", " # ", "#  ", "###"),
    "=": ("   ", "###", "   ", "###", "   "),
    "-": ("   ", "   ", "###", "   ", "   "),
    ".": ("   ", "   ", "   ", "   ", " # "),
    " ": ("   ", "   ", "   ", "   ", "   "),
}


@dataclass(frozen=True)
class Line:
    """One operation.

    Attributes:
        text: the operation in words.
        answer: the right answer, ``""`` where nothing is asked.
        said: what was answered, ``""`` while nothing is.
    """

    text: str
    answer: str
    said: str

    @property
    def colour(self) -> Colour:
        """Of the answer."""
        return PRESENT if not self.said else RIGHT if self.said == self.answer else WRONG


@dataclass(frozen=True)
class StreamView:
    """All that a picture shows.

    Attributes:
        lines: the last operations, the present one at the end.
        table: what the operations have made, the truth: names and values.
        step: operations answered.
        num_steps: operations in all.
        gets: questions answered.
        correct: of these, rightly.
        is_over: whether the stream has ended, so that there is no present operation.
    """

    lines: tuple[Line, ...]
    table: tuple[tuple[str, str], ...]
    step: int
    num_steps: int
    gets: int
    correct: int
    is_over: bool

    @property
    def head(self) -> str:
        """Where the stream is, in a few words."""
        return f"step {self.step}/{self.num_steps}  right {self.correct}/{self.gets}"


def make_view(
    task: "StreamTask",
    tokens: NDArray[np.integer],
    answers: list[int],
    said: list[int],
    step: int,
    score: tuple[int, int],
) -> StreamView:
    """The view of a stream after `step` answers.

    Args:
        task: names the tokens.
        tokens: all operations up to the present one, shape (t, num_fields).
        answers: the right answers to the last of them, up to `HISTORY`; -1 where nothing is asked.
        said: what was answered to those, without the present one; -1 where that is not known.
        step: operations answered.
        score: questions answered, and how many of them rightly.
    """
    names = task.answer_names
    said = [*said, *[-1] * (len(answers) - len(said))]
    lines = tuple(
        Line(
            task.tell(tuple(token)) or "-",
            names[answer] if answer >= 0 else "",
            names[given] if answer >= 0 and given >= 0 else "",
        )
        for token, answer, given in zip(
            tokens[len(tokens) - len(answers) :].tolist(), answers, said, strict=True
        )
    )
    table = tuple(task.rows(task.replay(tokens)))
    return StreamView(lines, table, step, task.num_steps, *score, is_over=step >= task.num_steps)


def draw_text(view: StreamView) -> str:
    """The last operations, a line each, beside the table; answers are green where right, and red."""
    left = [(*_parts(view, i), line) for i, line in enumerate(view.lines)]
    wide = max([len(text) + len(answer) for text, answer, _ in left], default=0)
    table = [f"{name}  {value}" for name, value in view.table]
    lines = [view.head]
    for i in range(max(len(left), len(table))):
        text, answer, line = left[i] if i < len(left) else ("", "", None)
        pad = " " * (wide - len(text) - len(answer))
        shown = f"\033[{TERMINAL[line.colour]}m{answer}\033[0m" if line and answer else answer
        lines.append(f"{text}{shown}{pad}  | {table[i] if i < len(table) else ''}".rstrip())
    return "\n".join(lines)


def _parts(view: StreamView, i: int) -> tuple[str, str]:
    """Line `i`: the operation, and what to say of the answer."""
    line = view.lines[i]
    is_present = i == len(view.lines) - 1 and not view.is_over
    text = f"{'>' if is_present else ' '} {line.text}"
    if not line.answer:
        return text, ""
    if not line.said:
        return f"{text}  ", "?" if is_present else line.answer
    return f"{text}  ", line.said if line.said == line.answer else f"{line.said} (right: {line.answer})"


def draw_image(view: StreamView) -> Image:
    """An image of shape (240, 560, 3): the last operations with their answers, and the table beside them."""
    image: Image = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    image[:] = BACKGROUND
    split = 350
    for i, line in enumerate(view.lines):
        top = 14 + LEADING * i
        is_present = i == len(view.lines) - 1 and not view.is_over
        if is_present:
            draw_box(image, top - 4, MARGIN - 8, top + 18, split - 10, PANEL)
            draw_box(image, top - 4, MARGIN - 8, top + 18, MARGIN - 4, PRESENT)
        _write(image, top, MARGIN, line.text, INK if is_present or line.answer else FAINT)
        if line.answer:
            shown = line.said or ("?" if is_present else line.answer)
            _write(image, top, MARGIN + 170, shown, line.colour)
            if line.said and line.said != line.answer:
                _strike(image, top, MARGIN + 170, shown)
                _write(image, top, MARGIN + 182 + 12 * len(shown), line.answer, RIGHT)
    draw_box(image, 10, split, HEIGHT - 26, WIDTH - 12, PANEL)
    _draw_table(image, view.table, split + 12)
    _draw_score(image, view)
    return image


def _draw_table(image: Image, table: tuple[tuple[str, str], ...], left: int) -> None:
    room = TABLE_ROWS * TABLE_COLUMNS
    if not table:
        _write(image, 18, left, "empty", FAINT)
    for i, (name, value) in enumerate(table[: room - (len(table) > room)]):
        top, x = 18 + LEADING * (i % TABLE_ROWS), left + 96 * (i // TABLE_ROWS)
        _write(image, top, x, name, INK)
        _write(image, top, x + 12 * len(name) + 9, value, PRESENT)
    if len(table) > room:
        _write(image, 18 + LEADING * (TABLE_ROWS - 1), left + 96 * (TABLE_COLUMNS - 1), "...", INK)


def _draw_score(image: Image, view: StreamView) -> None:
    """A bar of the questions answered, the right ones green; below it the part of the stream that has passed."""
    left, right = MARGIN, WIDTH - 12
    draw_box(image, HEIGHT - 20, left, HEIGHT - 12, right, (226, 228, 232))
    if view.gets:
        middle = left + (right - left) * view.correct // view.gets
        draw_box(image, HEIGHT - 20, left, HEIGHT - 12, middle, RIGHT)
        draw_box(image, HEIGHT - 20, middle, HEIGHT - 12, right, WRONG)
    draw_box(image, HEIGHT - 9, left, HEIGHT - 5, left + (right - left) * view.step // view.num_steps, INK)


def _strike(image: Image, top: int, left: int, text: str) -> None:
    draw_box(image, top + 6, left - 3, top + 8, left + 12 * len(text), WRONG)


def _write(image: Image, top: int, left: int, text: str, colour: Colour) -> None:
    """Letters of 3 x 5 dots, three pixels a dot."""
    for i, character in enumerate(text.upper()):
        dots = np.array([[dot == "#" for dot in row] for row in LETTERS[character]])
        dots = dots.repeat(3, 0).repeat(3, 1)
        x = left + 12 * i
        area = image[top : top + dots.shape[0], x : x + dots.shape[1]]
        area[dots[: area.shape[0], : area.shape[1]]] = colour
