"""What happens in Key-Value Rewriting, for many episodes at once, in numpy; `kernel` has the same compiled."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memgym.envs.control_vector import Index
from memgym.envs.streams.task import Operations, State
from memgym.rng import HALF, LOW, draw_array

__all__ = [
    "ASK_EMPTY",
    "ASK_HELD",
    "DELETE",
    "EMPTY",
    "GET",
    "NEW",
    "OVERWRITE",
    "REMOVE",
    "SET",
    "TRIES",
    "WAIT",
    "Rules",
    "begin",
    "make_state",
    "operate",
]

# operations as an agent sees them; 0 is nothing
SET, DELETE, GET = 1, 2, 3
# and as the generator draws them
ASK_HELD, ASK_EMPTY, OVERWRITE, REMOVE, NEW, WAIT = range(6)

TRIES = 4  # keys that a GET looks at for one that has not changed lately
EMPTY = -(1 << 62) | 0xFFFF << 16  # a cell that never changed, and from which nothing was taken


class Rules(NamedTuple):
    """The arguments as the generator needs them.

    Operation t has two draws. The first decides in its upper 32 bits what happens: below `thresholds[0]` a GET
    of a key that holds a value, below the next ones a GET of an empty key, an overwrite, a DELETE, and above all
    of them a new key; in its lower 32 bits it chooses the key. The second chooses the value in its upper bits
    and how that is written in its lowest one.

    Attributes:
        first_key: id of key 0 in this split.
        first_value: id of the first value in this split.
        empty_last: the last operation, always a GET, asks for an empty key below this.
    """

    num_steps: int
    capacity: int
    num_keys: int
    vocabulary: int
    delay: int
    first_key: int
    first_value: int
    thresholds: tuple[int, int, int, int]
    empty_last: int


def make_state(n: int, num_keys: int) -> State:
    """What `n` episodes remember.

    A cell for each key: in its upper 32 bits when the key last changed, below them 16 bits for the answer that
    the last overwrite or DELETE took from it (-1 for none), and 16 bits for the answer that it holds (0 for
    none). Besides, all keys in some order, those that hold a value first, and how many these are.
    """
    return np.zeros((n, num_keys), np.int64), np.zeros((n, num_keys), np.int16), np.zeros(n, np.int32)


def begin(index: Index, state: State) -> None:
    """Empty tables."""
    cells, order, live = state
    cells[index] = EMPTY
    order[index] = np.arange(order.shape[1], dtype=np.int16)
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
    now, key, live = t[part], key[part], state[2][part]
    number = 2 * now.astype(np.uint64)
    bits, chosen = draw_array(key, number), draw_array(key, number + np.uint64(1))
    cells, order, row = state[0].reshape(-1), state[1].reshape(-1), index * rules.num_keys

    kind = _kinds(rules, (bits >> HALF).view(np.int64), now, live)
    # the keys to choose from: those that hold a value stand first in `order`
    empty = (kind == ASK_EMPTY) | (kind == NEW)
    start, count = np.where(empty, live, 0), np.where(empty, rules.num_keys - live, live)
    offset = ((bits & LOW) * count.astype(np.uint64) >> HALF).astype(np.int32)
    if rules.delay:
        _rest(rules, kind, now, row, start, count, offset, cells, order)
    here = row + start + offset
    which = order[here]
    place = row + which
    cell = cells[place]

    is_overwrite, is_delete, is_new = kind == OVERWRITE, kind == REMOVE, kind == NEW
    is_set, is_gone, asks = is_overwrite | is_new, is_overwrite | is_delete, kind <= ASK_EMPTY
    held = cell & 0xFFFF
    value = _values(rules, chosen, held, is_overwrite)
    taken = np.where(is_gone, held << 16, cell & 0xFFFF0000)
    changed = now.astype(np.int64) << 32 | taken | np.where(is_set, value, 0)
    cells[place] = np.where(is_set | is_delete, changed, cell)
    # a new key moves to the end of the first part of `order`, a deleted one to the start of the second
    there = np.where(is_new | is_delete, row + (live - is_delete), here)
    order[here] = order[there]
    order[there] = which
    state[2][part] = live + is_new - is_delete

    word = 2 * (value - 1) + (chosen & np.uint64(1)).view(np.int64) + rules.first_value
    out.tokens[0, part] = is_set * SET + is_delete * DELETE + asks * GET
    out.tokens[1, part] = np.where(kind == WAIT, 0, which + rules.first_key)
    out.tokens[2, part] = np.where(is_set, word, 0)
    out.answer[part] = np.where(asks, held, -1)
    out.stale[part] = np.where(asks, (cell >> 16).astype(np.int16), -1)
    out.overwrites[part] = is_overwrite


def _kinds(rules: Rules, drawn: NDArray[np.int64], t: NDArray[np.int32], live: NDArray[Any]) -> Any:
    """What happens, as far as it is possible."""
    kind = np.zeros(len(t), np.int8)
    for threshold in rules.thresholds:
        kind += drawn >= threshold
    last = t == rules.num_steps - 1
    kind = np.where(last, drawn < rules.empty_last, kind)
    kind[(live == 0) & (kind > ASK_EMPTY)] = NEW
    kind[(live == rules.capacity) & (kind == NEW)] = OVERWRITE
    vain = np.where(kind == ASK_HELD, live == 0, (kind == ASK_EMPTY) & (live == rules.num_keys))
    kind = np.where(vain, np.where(last, ASK_EMPTY - kind, WAIT), kind)
    kind[t >= rules.num_steps] = WAIT
    return kind


def _rest(
    rules: Rules,
    kind: NDArray[Any],
    t: NDArray[np.int32],
    row: Index,
    start: NDArray[Any],
    count: NDArray[Any],
    offset: NDArray[np.int32],
    cells: NDArray[np.int64],
    order: NDArray[np.int16],
) -> None:
    """Let each GET find the first of up to `TRIES` keys in turn that has not changed for long enough.

    Where there is none, the GET becomes a WAIT; in the last operation it takes the last of them all the same.
    """
    asking = np.flatnonzero(kind <= ASK_EMPTY)
    for attempt in range(TRIES):
        offset[asking] = (offset[asking] + (attempt > 0)) % count[asking]
        which = order[row[asking] + start[asking] + offset[asking]]
        rested = t[asking] - (cells[row[asking] + which] >> 32) > rules.delay
        asking = asking[~rested]
    kind[asking[t[asking] < rules.num_steps - 1]] = WAIT


def _values(
    rules: Rules, chosen: NDArray[np.uint64], held: NDArray[np.int64], is_overwrite: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The new value as an answer; an overwrite's differs from the one that is held."""
    span = np.uint64(rules.vocabulary) - is_overwrite
    value = ((chosen >> HALF) * span >> HALF).view(np.int64) + 1
    return value + (is_overwrite & (value >= held))
