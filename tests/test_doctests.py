"""Examples in docstrings run, by installed name."""

import doctest
import importlib
import pkgutil
from importlib.util import find_spec

import pytest

PACKAGES = ("memgym", "memgym.agents", "memgym.baselines", "memgym.leaderboard")


def names() -> list[str]:
    found = {
        module.name
        for package in PACKAGES
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + ".")
    }
    absent = {f"memgym.integrations.{name}" for name in ("verifiers",) if find_spec(name) is None}
    return sorted(found - absent - {"memgym.__main__"})


@pytest.mark.parametrize("name", names())
def test_examples_give_what_they_show(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
