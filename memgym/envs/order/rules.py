"""What happens in Order Rewriting, for many episodes at once, in numpy; `kernel` has the same compiled."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memgym.envs.control_vector import Index
from memgym.envs.streams.task import Operations, State
from memgym.rng import HALF, LOW, draw_array

__all__ = [
    "APPEND",
    "ASK_BEYOND",
    "ASK_HELD",
    "AT",
    "DROP",
    "FRONT",
    "MOVE",
    "NEW",
    "REMOVE",
    "WAIT",
    "Rules",
    "begin",
    "make_state",
    "operate",
]

# operations as an agent sees them; 0 is nothing
APPEND, REMOVE, FRONT, AT = 1, 2, 3, 4
# and as the generator draws them
ASK_HELD, ASK_BEYOND, MOVE, DROP, NEW, WAIT = range(6)


class Rules(NamedTuple):
    """The arguments as the generator needs them.

    Operation t has one draw. Its upper 32 bits decide what happens: below `thresholds[0]` a question for a place
    that holds an item, below the next ones a question for a place beyond the end, a move to the front, a
    removal, and above all of them a new item. Its lower 32 bits choose the place, and the lowest of them how the
    item's name is written.

    Attributes:
        first_item: id of the first item's first name in this split.
        beyond_last: the last operation, always a question, asks for a place beyond the end below this.
    """

    num_steps: int
    num_items: int
    capacity: int
    first_item: int
    thresholds: tuple[int, int, int, int]
    beyond_last: int


def make_state(n: int, num_items: int, capacity: int) -> State:
    """What `n` episodes remember; a place's items of all episodes lie side by side in memory.

    All items (as answers, from 1 on), those of the list first and in its order; for each place the item that the
    last edit took from it, -1 for none; and how many items the list has.
    """
    items, taken = np.zeros((n, num_items), np.int16, "F"), np.zeros((n, capacity), np.int16, "F")
    return items, taken, np.zeros(n, np.int32)


def begin(index: Index, state: State) -> None:
    """Empty lists."""
    items, taken, live = state
    items[index] = np.arange(1, items.shape[1] + 1, dtype=np.int16)
    taken[index] = -1
    live[index] = 0


def operate(
    rules: Rules,
    index: Index,
    key: NDArray[np.uint64],
    t: NDArray[np.int32],
    state: State,
    out: Operations,
) -> None:
    """Operation ``t[i]`` of the episodes of `index`, see `StreamTask.operate`."""
    part: Any = slice(None) if len(index) == len(key) else index
    now, live = t[part], state[2][part]
    bits = draw_array(key[part], now.astype(np.uint64))
    items, taken, n = state[0].T.reshape(-1), state[1].T.reshape(-1), len(key)

    kind = _kinds(rules, (bits >> HALF).view(np.int64), now, live)
    held, moves, drops, new = kind == ASK_HELD, kind == MOVE, kind == DROP, kind == NEW
    asks, edits = kind <= ASK_BEYOND, moves | drops | new
    # the places to choose from; those of items out of the list follow its own
    start = np.where((kind == ASK_BEYOND) | new, live, moves)
    end = np.where(new, rules.num_items, np.where(kind == ASK_BEYOND, rules.capacity, live))
    place = start + ((bits & LOW) * (end - start).astype(np.uint64) >> HALF).astype(np.int32)
    item = items[index + n * place]

    out.tokens[0, part] = new * APPEND + drops * REMOVE + moves * FRONT + asks * AT
    out.tokens[1, part] = np.where(asks, place + 1, 0)
    name = 2 * (item - 1) + (bits & np.uint64(1)).view(np.int64) + rules.first_item
    out.tokens[2, part] = np.where(edits, name, 0)
    out.answer[part] = np.where(held, item, asks - np.int16(1))
    before = taken[index + n * np.minimum(place, rules.capacity - 1)]
    out.stale[part] = np.where(asks, before, -1)
    out.overwrites[part] = moves | drops & (place < live - 1)

    # a new item and the first one out of the list change places: it then stands at the end of the list
    appended = new.nonzero()[0]
    here, there = (index + n * place)[appended], (index + n * live)[appended]
    items[here], items[there] = items[there], items[here]
    shifted = (moves | drops).nonzero()[0]
    first, last = np.where(moves, 0, place)[shifted], np.where(moves, place, live - 1)[shifted]
    _shift(index[shifted], first, last, np.where(moves, -1, 1)[shifted], state)
    state[2][part] = live + new - drops  # last, as `live` may be a view of it


def _kinds(rules: Rules, drawn: NDArray[np.int64], t: NDArray[np.int32], live: NDArray[Any]) -> Any:
    """What happens, as far as it is possible."""
    kind = np.zeros(len(t), np.int8)
    for threshold in rules.thresholds:
        kind += drawn >= threshold
    last = t == rules.num_steps - 1
    kind = np.where(last, drawn < rules.beyond_last, kind)
    kind[(live <= 1) & (kind == MOVE)] = NEW
    empty, full = live == 0, live == rules.capacity
    kind[empty] = NEW
    kind[empty & last] = ASK_BEYOND
    kind[full & ((kind == NEW) | (kind == ASK_BEYOND))] = ASK_HELD
    kind[t >= rules.num_steps] = WAIT
    return kind


def _shift(index: Index, first: NDArray[Any], last: NDArray[Any], step: NDArray[Any], state: State) -> None:
    """In the lists of `index`, every place from `first` to `last` takes the item `step` places further on; what
    has none there takes the one at the other end.
    """
    items, taken, _ = state
    capacity = taken.shape[1]
    place, first, last = np.arange(capacity), first[:, None], last[:, None]
    inside = (place >= first) & (place <= last)
    source = np.where(inside, first + (place - first + step[:, None]) % (last - first + 1), place)
    before = items[index, :capacity]
    items[index, :capacity] = np.take_along_axis(before, source, axis=1)
    taken[index] = np.where(inside, before, taken[index])
