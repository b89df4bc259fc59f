"""Color Cubes: arguments, the scalar and the vector form of its rules, and its pictures."""

from memgym.envs.color_cubes.arguments import (
    COLOURS,
    DOWN,
    INTERACT,
    LEFT,
    RIGHT,
    UP,
    ColorCubesArguments,
)
from memgym.envs.color_cubes.scalar import ColorCubes

__all__ = ["COLOURS", "DOWN", "INTERACT", "LEFT", "RIGHT", "UP", "ColorCubes", "ColorCubesArguments"]
