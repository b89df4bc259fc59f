"""The operations of Count Rewriting, compiled by numba. Imported only where that is installed and chosen.

The same as `rules.operate`, bit for bit. What happens is random, so branches would be guessed wrong: these are
selections instead, in short loops over few arrays each, which the compiler turns into SIMD.
"""

import numpy as np

from memgym.envs.compiled import compiled, draw
from memgym.envs.count.rules import ARRIVE, ASK, CLEAR, COME, GO, HOW_MANY, LEAVE, WAIT, WIPE
from memgym.rng import HALF, LOW

__all__ = ["operate"]

# as the arrays have them; plain integers would widen every lane to 64 bits
_ASK, _ARRIVE, _WAIT = np.int32(ASK), np.int32(ARRIVE), np.int32(WAIT)
_0, _16, _COUNT = np.int32(0), np.int32(16), np.int32(0xFFFF)
_TOKENS = np.array([HOW_MANY, GO, CLEAR, COME, 0], np.int16)  # by what the generator draws
BLOCK = 1024  # episodes whose intermediate numbers stay in the first cache


@compiled
def operate(index, rules, key, t, state, out):
    """`rules.operate`; `rules` and `out` are plain tuples here."""
    numbers, bits = np.empty((4, BLOCK), np.int32), np.empty(BLOCK, np.uint64)
    n = len(key)
    if len(index) == n:
        for start in range(0, n, BLOCK):
            _operate(start, min(start + BLOCK, n), rules, key, t, state, out, numbers, bits)
    else:
        for i in index:
            _operate(i, i + 1, rules, key, t, state, out, numbers, bits)


@compiled
def _operate(first, end, rules, key, t, state, out, numbers, bits):
    """Operations of the episodes from `first` to `end` - 1."""
    tokens, answer, stale, overwrites = out
    m = end - first
    kind, which, cell, changed = numbers[0][:m], numbers[1][:m], numbers[2][:m], numbers[3][:m]
    bits, now, cells = bits[:m], t[first:end], state[0][first:end].reshape(-1)
    _draw(np.uint64(rules[1]), key[first:end], now, bits, which)
    _look(np.uint64(rules[1]), which, cells, cell)
    _choose(rules, bits, now, cell, kind)
    _change(kind, cell, changed, overwrites[first:end])
    _keep(np.uint64(rules[1]), which, cells, changed)
    _tell(kind, which, np.int32(rules[3]), tokens[0][first:end], tokens[1][first:end])
    _tell_answers(kind, cell, answer[first:end], stale[first:end])


@compiled
def _draw(num_kinds, key, t, bits, which):
    for i in range(len(key)):
        bits[i] = draw(key[i], np.uint64(t[i]))
    for i in range(len(key)):
        which[i] = np.int32(((bits[i] & LOW) * num_kinds) >> HALF)


@compiled
def _look(num_kinds, which, cells, cell):
    for i in range(len(which)):
        cell[i] = cells[np.uint64(i) * num_kinds + np.uint64(which[i])]


@compiled
def _keep(num_kinds, which, cells, cell):
    for i in range(len(which)):
        cells[np.uint64(i) * num_kinds + np.uint64(which[i])] = cell[i]


@compiled
def _choose(rules, bits, t, cell, kind):
    """What happens, as far as it is possible."""
    num_steps, _, max_count, _, (one, two, three) = rules
    for i in range(len(t)):
        drawn, count = np.int64(bits[i] >> HALF), cell[i] & _COUNT
        k = np.int32(drawn >= one) + np.int32(drawn >= two) + np.int32(drawn >= three)
        k = _ARRIVE if (count == 0) & ((k == LEAVE) | (k == WIPE)) else k
        k = _ASK if ((count == max_count) & (k == ARRIVE)) | (t[i] == num_steps - 1) else k
        kind[i] = _WAIT if t[i] >= num_steps else k


@compiled
def _change(kind, cell, changed, overwrites):
    for i in range(len(kind)):
        count = cell[i] & _COUNT
        new = count + np.int32(kind[i] == ARRIVE) - np.int32(kind[i] == LEAVE)
        new = _0 if kind[i] == WIPE else new
        changed[i] = cell[i] if new == count else count << _16 | new
        overwrites[i] = (new != count) & (count > 0) & (new > 0)


@compiled
def _tell(kind, which, first_kind, operations, kinds):
    for i in range(len(kind)):
        operations[i] = _TOKENS[kind[i]]
    for i in range(len(kind)):
        kinds[i] = _0 if kind[i] == WAIT else which[i] + first_kind


@compiled
def _tell_answers(kind, cell, answer, stale):
    for i in range(len(kind)):
        nothing = -np.int16(kind[i] != ASK)
        answer[i] = np.int16(cell[i]) | nothing
        stale[i] = np.int16(cell[i] >> _16) | nothing
