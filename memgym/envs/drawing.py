"""Boxes, discs and a few characters, drawn with numpy alone into images of shape (height, width, 3)."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["Colour", "Image", "draw_box", "draw_disc", "draw_letters"]

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

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
    "A": ("###", "# #", "###", "# #", "# #"),
    "L": ("#  ", "#  ", "#  ", "#  ", "###"),
    "R": ("## ", "# #", "## ", "# #", "# #"),
    "?": ("###", "  #", " ##", "   ", " # "),
}


def draw_box(image: Image, top: float, left: float, bottom: float, right: float, colour: Colour) -> None:
    """Fill the rows from `top` to `bottom` and the columns from `left` to `right`, ends excluded."""
    image[max(int(top), 0) : max(int(bottom), 0), max(int(left), 0) : max(int(right), 0)] = colour


def draw_disc(image: Image, y: float, x: float, radius: int, colour: Colour) -> None:
    """Fill a disc around row `y` and column `x`."""
    y, x = int(y), int(x)
    rows, columns = np.ogrid[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    area = image[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]
    inside = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    area[inside[: area.shape[0], : area.shape[1]]] = colour


def draw_letters(image: Image, top: float, left: float, text: str, scale: int, colour: Colour) -> None:
    """Write characters of `GLYPHS`, each 3 x 5 dots of `scale` pixels, a dot apart."""
    for i, character in enumerate(text):
        dots = np.array([[dot == "#" for dot in row] for row in GLYPHS[character]])
        dots = dots.repeat(scale, 0).repeat(scale, 1)
        x = int(left) + i * 4 * scale
        area = image[int(top) : int(top) + dots.shape[0], max(x, 0) : max(x, 0) + dots.shape[1]]
        area[dots[: area.shape[0], : area.shape[1]]] = colour
