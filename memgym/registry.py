"""One registry for everything that has a name: environments, agents, datasets, suites.

A registry maps names to ``"module:attr"`` strings, so that registering imports nothing. Other packages add
their own through an entry-point group, and a ``"module:attr"`` string works wherever a name does.
"""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from memgym.errors import UnknownName

__all__ = ["Registry", "load_object"]


def load_object(reference: str) -> Any:
    """Import ``"module:attr"`` and return the attribute.

    Raises:
        UnknownName: the reference is malformed, or there is no such module or attribute.
    """
    module_name, _, attr = reference.partition(":")
    if not module_name or not attr:
        raise UnknownName(f"{reference!r} is not of the form 'module:attr'.")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses something itself
        raise UnknownName(f"{reference!r}: there is no module {error.name!r} on Python's path.") from None
    try:
        return getattr(module, attr)
    except AttributeError:
        raise UnknownName(f"module {module_name!r} has no attribute {attr!r}.") from None


class Registry(Mapping[str, str]):
    """Names of one kind of thing, each mapped to a ``"module:attr"`` string.

    Args:
        kind: what the names stand for, in the singular; used in error messages.
        builtin: the names that memgym ships.
        group: entry-point group through which other packages add names.

    >>> Registry("agent", {"random": "memgym.agents.random:RandomAgent"}).resolve("randon")
    Traceback (most recent call last):
        ...
    memgym.errors.UnknownName: no agent named 'randon'. Did you mean 'random'?
    """

    def __init__(self, kind: str, builtin: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)

    @cached_property
    def _entries(self) -> dict[str, str]:
        added = entry_points(group=self.group) if self.group else ()
        # a built-in name wins, so that an installed package cannot replace a reference agent
        return {point.name: point.value for point in added} | self._builtin

    def __getitem__(self, name: str) -> str:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def resolve(self, name: str) -> Any:
        """Load what `name` (a registered name or a ``"module:attr"`` string) stands for.

        Raises:
            UnknownName: neither a registered name nor an importable reference.
        """
        if name in self._entries:
            return load_object(self._entries[name])
        if ":" in name:
            return load_object(name)
        raise UnknownName(self._unknown(name))

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._entries, n=3)
        if near:
            return f"no {self.kind} named {name!r}. Did you mean {' or '.join(map(repr, near))}?"
        return f"no {self.kind} named {name!r}. Known: {', '.join(sorted(self._entries))}."
