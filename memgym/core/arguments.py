"""Checks of arguments: each names the argument and what it may be."""

from typing import Any

import numpy as np

__all__ = ["check_choice", "check_flag", "check_integer", "check_number"]


def check_integer(name: str, value: Any, low: int, high: int) -> None:
    """Refuse anything but an integer from `low` to `high`.

    Raises:
        ValueError: names the argument and its range.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        raise ValueError(f"{name} is an integer from {low} to {high}, not {value!r}.")


def check_number(name: str, value: Any, low: float, high: float) -> None:
    """Refuse anything but a number from `low` to `high`.

    Raises:
        ValueError: names the argument and its range.
    """
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ValueError(f"{name} is a number from {low:g} to {high:g}, not {value!r}.")


def check_choice(name: str, value: Any, choices: Any) -> None:
    """Refuse anything but one of the strings.

    Raises:
        ValueError: names the argument and the choices.
    """
    if value not in choices:
        *most, last = (repr(choice) for choice in choices)
        raise ValueError(f"{name} is {', '.join(most)} or {last}, not {value!r}.")


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but True and False.

    Raises:
        ValueError: names the argument.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} is True or False, not {value!r}.")
