"""What happens in Count Rewriting, for many episodes at once, in numpy; `kernel` has the same compiled."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from memgym.envs.control_vector import Index
from memgym.envs.streams.task import Operations, State
from memgym.rng import HALF, LOW, draw_array

__all__ = ["ARRIVE", "ASK", "CLEAR", "COME", "GO", "HOW_MANY", "LEAVE", "WAIT", "WIPE", "Rules"]
__all__ += ["begin", "make_state", "operate"]

# operations as an agent sees them; 0 is nothing
COME, GO, CLEAR, HOW_MANY = 1, 2, 3, 4
# and as the generator draws them
ASK, LEAVE, WIPE, ARRIVE, WAIT = range(5)

UNCHANGED = -1 << 16  # a cell of count 0 that never had another


class Rules(NamedTuple):
    """The arguments as the generator needs them.

    Operation t has one draw. Its upper 32 bits decide what happens: below `thresholds[0]` a question, below the
    next ones one thing goes, all of a kind go, and above all of them one thing comes. Its lower 32 bits choose
    the kind.

    Attributes:
        first_kind: id of kind 0 in this split.
    """

    num_steps: int
    num_kinds: int
    max_count: int
    first_kind: int
    thresholds: tuple[int, int, int]


def make_state(n: int, num_kinds: int) -> State:
    """What `n` episodes remember: a cell for each kind, in its upper 16 bits the count before the last change (-1
    for none), in its lower 16 bits the count.
    """
    return (np.zeros((n, num_kinds), np.int32),)


def begin(index: Index, state: State) -> None:
    """Nothing is there."""
    state[0][index] = UNCHANGED


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
    now = t[part]
    bits = draw_array(key[part], now.astype(np.uint64))
    which = ((bits & LOW) * np.uint64(rules.num_kinds) >> HALF).view(np.int64)
    cells, place = state[0].reshape(-1), index * rules.num_kinds + which
    cell = cells[place]
    count = cell & 0xFFFF

    kind = _kinds(rules, (bits >> HALF).view(np.int64), now, count)
    asks, leaves, wipes, arrives = (kind == k for k in (ASK, LEAVE, WIPE, ARRIVE))
    new = (count + arrives - leaves) * ~wipes
    changes = new != count
    cells[place] = np.where(changes, count << 16 | new, cell)

    out.tokens[0, part] = arrives * COME + leaves * GO + wipes * CLEAR + asks * HOW_MANY
    out.tokens[1, part] = np.where(kind == WAIT, 0, which + rules.first_kind)
    out.answer[part] = np.where(asks, count, -1)
    out.stale[part] = np.where(asks, cell >> 16, -1)
    out.overwrites[part] = changes & (count > 0) & (new > 0)


def _kinds(rules: Rules, drawn: NDArray[np.int64], t: NDArray[np.int32], count: NDArray[np.int32]) -> Any:
    """What happens, as far as it is possible."""
    kind = np.zeros(len(t), np.int8)
    for threshold in rules.thresholds:
        kind += drawn >= threshold
    kind[(count == 0) & ((kind == LEAVE) | (kind == WIPE))] = ARRIVE
    kind[(count == rules.max_count) & (kind == ARRIVE)] = ASK
    kind[t == rules.num_steps - 1] = ASK
    kind[t >= rules.num_steps] = WAIT
    return kind
