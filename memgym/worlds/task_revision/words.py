"""The word lists of the task world, and how an event of the log is worded."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import permutations, product

from memgym.rng import CounterRNG
from memgym.worlds.task_revision.graph import Event

__all__ = ["Kind", "Words", "listing", "priced", "wordings", "words_of"]


@dataclass(frozen=True)
class Kind:
    """A kind of plan: how it is named, and what its steps may hold.

    Attributes:
        name: with a place for the label.
        labels: what tells plans of a kind apart.
        numbers: steps that hold a number; each may follow from the one before it.
        steps: step -> its values.
        parts: what any of its steps may be broken down into -> its values.
    """

    name: str
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    steps: Mapping[str, tuple[str, ...]]
    parts: Mapping[str, tuple[str, ...]]

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """Step or sub-step -> its values, without those that hold a number."""
        return {**self.steps, **self.parts}


@dataclass(frozen=True)
class Words:
    """All words of one split.

    Attributes:
        kinds: of plans.
        say: templates of what is told, by form.
        ask: templates of questions, by form.
        ack: what is answered to anything.
        intro: the first turn.
        ordinals: names of places in an order.
        money: the currency.
        filler: sentences about nothing.
    """

    kinds: tuple[Kind, ...]
    say: Mapping[str, tuple[str, ...]]
    ask: Mapping[str, tuple[str, ...]]
    ack: tuple[str, ...]
    intro: str
    ordinals: tuple[str, ...]
    money: str
    filler: tuple[str, ...]

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """What every step or sub-step may hold, of all kinds of plan; without those that hold a number."""
        return {step: values for kind in self.kinds for step, values in kind.values.items()}

    def write(self, event: Event, names: Sequence[str], draw: CounterRNG) -> str:
        """One turn that tells of an event; `names` are those of the plans."""
        if event.op == "intro":
            return self.intro
        text = draw.choice(self.say[event.form]).format(
            task=names[event.task],
            step=event.step,
            dep=event.step,
            src=event.other,
            other=event.other,
            value=priced(event.value, event.cost, self.money),
            steps=listing(event.steps),
            k=event.number,
            ordinal=self.ordinals[event.number] if event.form.endswith("_position") else "",
            new=names[event.into],
            into=names[event.into],
        )
        return text[0].upper() + text[1:]


@cache
def words_of(split: str) -> Words:
    """The word lists of a split."""
    read = tomllib.loads(files("memgym.worlds.task_revision").joinpath(f"{split}.toml").read_text("utf-8"))
    kinds = [
        Kind(
            kind["name"],
            _pool(kind["labels"]),
            _pool(kind["numbers"]),
            {step: _pool(values) for step, values in kind["steps"].items()},
            {step: _pool(values) for step, values in kind["parts"].items()},
        )
        for kind in read["kinds"].values()
    ]
    return Words(
        tuple(kinds),
        {form: tuple(templates) for form, templates in read["say"].items()},
        {form: tuple(templates) for form, templates in read["ask"].items()},
        tuple(read["ack"]),
        read["intro"],
        _pool(read["ordinals"]),
        read["money"],
        tuple(f"{start} {end}" for start, end in product(read["filler"]["starts"], read["filler"]["ends"])),
    )


def priced(value: str, cost: int, money: str) -> str:
    """A value with its price, if it has one."""
    return f"{value} ({cost} {money})" if cost else value


def listing(names: Sequence[str]) -> str:
    """Names in a row.

    >>> listing(["tea", "milk", "sugar"])
    'tea, milk and sugar'
    """
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def wordings(names: Sequence[str]) -> tuple[str, ...]:
    """Every order and both ways to write a few names in a row, `listing`'s own first."""
    rows = list(permutations(names))
    return tuple(dict.fromkeys([*map(listing, rows), *map(", ".join, rows)]))


def _pool(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))
