"""Endless T-Maze: arguments, the scalar and the vector form of its rules, and its pictures."""

from memgym.envs.t_maze.arguments import TMazeArguments, TMazeRewards
from memgym.envs.t_maze.scalar import FORWARD, LEFT, RIGHT, EndlessTMaze

__all__ = ["FORWARD", "LEFT", "RIGHT", "EndlessTMaze", "TMazeArguments", "TMazeRewards"]
