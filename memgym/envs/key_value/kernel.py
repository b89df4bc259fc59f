"""The operations of Key-Value Rewriting, compiled by numba. Imported only where that is installed and chosen.

The same as `rules.operate`, bit for bit. What happens is random, so branches would be guessed wrong: these are
selections instead, in short loops over few arrays each, which the compiler turns into SIMD.
"""

import numpy as np

from memgym.envs.compiled import compiled, draw
from memgym.envs.key_value.rules import (
    ASK_EMPTY,
    ASK_HELD,
    DELETE,
    GET,
    NEW,
    OVERWRITE,
    REMOVE,
    SET,
    TRIES,
    WAIT,
)
from memgym.rng import HALF, LOW

__all__ = ["operate"]

_ONE = np.uint64(1)
# as the arrays have them; plain integers would widen every lane to 64 bits
_NEW, _OVERWRITE, _REMOVE, _WAIT = np.int32(NEW), np.int32(OVERWRITE), np.int32(REMOVE), np.int32(WAIT)
_NOTHING, _SET, _DELETE, _GET = np.int16(0), np.int16(SET), np.int16(DELETE), np.int16(GET)
BLOCK = 1024  # episodes whose intermediate numbers stay in the first cache


@compiled
def operate(index, rules, key, t, state, out):
    """`rules.operate`; `rules` and `out` are plain tuples here."""
    numbers, drafts = np.empty((4, BLOCK), np.int32), np.empty((3, BLOCK), np.uint64)
    n = len(key)
    if len(index) == n:
        for start in range(0, n, BLOCK):
            _operate(start, min(start + BLOCK, n), rules, key, t, state, out, numbers, drafts)
    else:
        for i in index:
            _operate(i, i + 1, rules, key, t, state, out, numbers, drafts)


@compiled
def _operate(first, end, rules, key, t, state, out, numbers, drafts):
    """Operations of the episodes from `first` to `end` - 1."""
    _, _, num_keys, vocabulary, delay, first_key, first_value, _, _ = rules
    sizes = (np.uint64(num_keys), np.uint64(vocabulary))
    tokens, answer, stale, overwrites = out
    m = end - first
    kind, place, which, value = numbers[0][:m], numbers[1][:m], numbers[2][:m], numbers[3][:m]
    bits, chosen, before = drafts[0][:m], drafts[1][:m], drafts[2][:m].view(np.int64)
    now, live = t[first:end], state[2][first:end]
    cells, order = state[0][first:end].reshape(-1), state[1][first:end].reshape(-1)
    _draw(key[first:end], now, bits, chosen)
    _choose(rules, bits, now, live, kind, place)
    if delay > 0:
        _rest(rules, bits, now, live, kind, place, cells, order)
    _change(sizes, kind, place, chosen, now, live, cells, order, which, value, before)
    _tell_kinds(kind, tokens[0][first:end], overwrites[first:end])
    _tell_keys(kind, which, np.int16(first_key), tokens[1][first:end])
    _tell_values(kind, value, chosen, np.int16(first_value), tokens[2][first:end])
    _tell_answers(kind, before, 0, answer[first:end])
    _tell_answers(kind, before, 16, stale[first:end])


@compiled
def _draw(key, t, bits, chosen):
    for i in range(len(key)):
        bits[i] = draw(key[i], np.uint64(2 * t[i]))
        chosen[i] = draw(key[i], np.uint64(2 * t[i] + 1))


@compiled
def _choose(rules, bits, t, live, kind, place):
    """What happens, as far as it is possible, and to which place of `order`."""
    num_steps, capacity, num_keys, _, _, _, _, (one, two, three, four), empty_last = rules
    keys = np.int32(num_keys)
    for i in range(len(t)):
        drawn, used = np.int64(bits[i] >> HALF), live[i]
        k = (
            np.int32(drawn >= one)
            + np.int32(drawn >= two)
            + np.int32(drawn >= three)
            + np.int32(drawn >= four)
        )
        last = t[i] == num_steps - 1
        k = np.int32(drawn < empty_last) if last else k
        k = _NEW if (used == 0) & (k > ASK_EMPTY) else k
        k = _OVERWRITE if (used == capacity) & (k == NEW) else k
        vain = ((k == ASK_HELD) & (used == 0)) | ((k == ASK_EMPTY) & (used == keys))
        k = (np.int32(ASK_EMPTY) - k if last else _WAIT) if vain else k
        k = _WAIT if t[i] >= num_steps else k
        empty = (k == ASK_EMPTY) | (k == NEW)
        count = keys - used if empty else used
        kind[i] = k
        place[i] = (used if empty else np.int32(0)) + np.int32(((bits[i] & LOW) * np.uint64(count)) >> HALF)


@compiled
def _rest(rules, bits, t, live, kind, place, cells, order):
    """`rules._rested`: let a GET find a key that has not changed for long enough."""
    num_steps, _, num_keys, _, delay, _, _, _, _ = rules
    for i in range(len(t)):
        if kind[i] <= ASK_EMPTY:
            start = live[i] if kind[i] == ASK_EMPTY else 0
            count = num_keys - live[i] if kind[i] == ASK_EMPTY else live[i]
            row, offset = i * num_keys, place[i] - start
            rested = t[i] - (cells[row + order[row + start + offset]] >> 32) > delay
            for _ in range(TRIES - 1):
                if not rested:
                    offset = (offset + 1) % count
                    rested = t[i] - (cells[row + order[row + start + offset]] >> 32) > delay
            place[i] = start + offset
            if not rested and t[i] < num_steps - 1:
                kind[i] = _WAIT


@compiled
def _change(sizes, kind, place, chosen, t, live, cells, order, which, value, before):
    """Carry it out in the table; flags are 0 or 1 here, and their negatives are masks."""
    num_keys, vocabulary = sizes
    for i in range(len(t)):
        k, used = kind[i], live[i]
        overwrite, delete, new = np.int64(k == OVERWRITE), np.int64(k == REMOVE), np.int64(k == NEW)
        row = np.uint64(i) * num_keys
        here = row + np.uint64(place[i])
        number = order[here]
        cell = cells[row + np.uint64(number)]
        held = cell & 0xFFFF
        v = np.int64(((chosen[i] >> HALF) * (vocabulary - np.uint64(overwrite))) >> HALF) + 1
        v += overwrite & np.int64(v >= held)
        sets, gone, changes = -(overwrite | new), -(overwrite | delete), -(overwrite | new | delete)
        taken = (held << 16 & gone) | (cell & 0xFFFF0000 & ~gone)
        changed = np.int64(t[i]) << 32 | taken | (v & sets)
        cells[row + np.uint64(number)] = (changed & changes) | (cell & ~changes)
        moves = np.uint64(-(new | delete))
        there = row + ((np.uint64(used - delete) & moves) | (np.uint64(place[i]) & ~moves))
        order[here] = order[there]
        order[there] = number
        live[i] = used + np.int32(new - delete)
        which[i], value[i], before[i] = number, v, cell


@compiled
def _tell_kinds(kind, token, overwrites):
    for i in range(len(kind)):
        k = kind[i]
        token[i] = (
            _SET
            if (k == OVERWRITE) | (k == NEW)
            else _DELETE
            if k == REMOVE
            else _GET
            if k <= ASK_EMPTY
            else _NOTHING
        )
        overwrites[i] = k == OVERWRITE


@compiled
def _tell_keys(kind, which, first_key, token):
    for i in range(len(kind)):
        token[i] = _NOTHING if kind[i] == WAIT else np.int16(which[i]) + first_key


@compiled
def _tell_values(kind, value, chosen, first_value, token):
    for i in range(len(kind)):
        word = np.int16(2 * (value[i] - 1)) + np.int16(chosen[i] & _ONE) + first_value
        token[i] = word if (kind[i] == OVERWRITE) | (kind[i] == NEW) else _NOTHING


@compiled
def _tell_answers(kind, cell, shift, answer):
    for i in range(len(kind)):
        answer[i] = np.int16(cell[i] >> shift) if kind[i] <= ASK_EMPTY else np.int16(-1)
