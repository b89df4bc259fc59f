"""The operations of Order Rewriting, compiled by numba. Imported only where that is installed and chosen.

The same as `rules.operate`, bit for bit. What happens is random, so branches would be guessed wrong: but for the
shifting of lists these are selections instead, in short loops over few arrays each, which the compiler turns into
SIMD.
"""

import numpy as np

from memgym.envs.compiled import compiled, draw
from memgym.envs.order.rules import (
    APPEND,
    ASK_BEYOND,
    ASK_HELD,
    AT,
    DROP,
    FRONT,
    MOVE,
    NEW,
    REMOVE,
    WAIT,
)
from memgym.rng import HALF, LOW

__all__ = ["operate"]

_ONE = np.uint64(1)
# as the arrays have them; plain integers would widen every lane to 64 bits
_0, _1, _8, _NO_SPAN = np.int32(0), np.int32(1), np.int32(8), np.int32(255)
_LOW8 = np.int16(255)
_HELD, _BEYOND, _NEW, _WAIT = np.int32(ASK_HELD), np.int32(ASK_BEYOND), np.int32(NEW), np.int32(WAIT)
_TOKENS = np.array([AT, AT, FRONT, REMOVE, APPEND, 0], np.int16)  # by what the generator draws
BLOCK = 1024  # episodes whose intermediate numbers stay in the first cache


@compiled
def operate(index, rules, key, t, state, out):
    """`rules.operate`; `rules` and `out` are plain tuples here, and the tables of `state` transposed."""
    drafts, numbers, bits = (
        np.empty((5, BLOCK), np.int16),
        np.empty((2, BLOCK), np.int32),
        np.empty(BLOCK, np.uint64),
    )
    n = len(key)
    if len(index) == n:
        for start in range(0, n, BLOCK):
            _operate(start, min(start + BLOCK, n), rules, key, t, state, out, drafts, numbers, bits)
    else:
        for i in index:
            _operate(i, i + 1, rules, key, t, state, out, drafts, numbers, bits)


@compiled
def _operate(begin, end, rules, key, t, state, out, drafts, numbers, bits):
    """Operations of the episodes from `begin` to `end` - 1."""
    tokens, answer, stale, overwrites = out
    m = end - begin
    kind, place, bits = numbers[0][:m], numbers[1][:m], bits[:m]
    item, before, carried = drafts[0][:m], drafts[1][:m], drafts[2][:m]
    up, down = drafts[3][:m], drafts[4][:m]
    items, taken, live = state[0], state[1], state[2][begin:end]
    _draw(key[begin:end], t[begin:end], bits)
    _choose(rules, bits, t[begin:end], live, kind, place)
    _find_spans(kind, place, live, up, down, overwrites[begin:end])
    _pick(np.uint64(begin), np.uint64(len(key)), kind, place, live, items.reshape(-1), item)
    _recall(np.uint64(begin), np.uint64(len(key)), place, taken.reshape(-1), before)
    _count(kind, live)
    carried[:] = item
    capacity = len(taken)
    for p in range(capacity):  # each place takes from the one before it, the first one what moves there
        _shift(np.int16(p), up, items[p][begin:end], carried, taken[p][begin:end])
    for p in range(capacity - 1, -1, -1):  # from the one behind it, the last one what is removed
        _shift(np.int16(p), down, items[p][begin:end], carried, taken[p][begin:end])
    first_item, shown, places, names = np.int16(rules[3]), tokens[0], tokens[1], tokens[2]
    _tell(kind, place, item, bits, first_item, shown[begin:end], places[begin:end], names[begin:end])
    _tell_answers(kind, item, before, answer[begin:end], stale[begin:end])


@compiled
def _draw(key, t, bits):
    for i in range(len(key)):
        bits[i] = draw(key[i], np.uint64(t[i]))


@compiled
def _choose(rules, bits, t, live, kind, place):
    """What happens, as far as it is possible, and to which place."""
    num_steps, num_items, capacity, _, (one, two, three, four), beyond_last = rules
    everything, room = np.int32(num_items), np.int32(capacity)
    for i in range(len(t)):
        drawn, used = np.int64(bits[i] >> HALF), live[i]
        k = (
            np.int32(drawn >= one)
            + np.int32(drawn >= two)
            + np.int32(drawn >= three)
            + np.int32(drawn >= four)
        )
        last = t[i] == num_steps - 1
        k = np.int32(drawn < beyond_last) if last else k
        k = _NEW if (used == 0) | ((used == 1) & (k == MOVE)) else k
        k = _BEYOND if (used == 0) & last else k
        k = _HELD if (used == room) & ((k == NEW) | (k == ASK_BEYOND)) else k
        k = _WAIT if t[i] >= num_steps else k
        start = used if (k == ASK_BEYOND) | (k == NEW) else np.int32(k == MOVE)
        end = everything if k == NEW else room if k == ASK_BEYOND else used
        kind[i] = k
        place[i] = start + np.int32(((bits[i] & LOW) * np.uint64(end - start)) >> HALF)


@compiled
def _pick(begin, n, kind, place, live, items, item):
    """The items at the places; a new one and the first one out of the list change places."""
    for i in range(len(kind)):
        episode = begin + np.uint64(i)
        here = np.uint64(place[i]) * n + episode
        there = np.uint64(live[i] if kind[i] == NEW else place[i]) * n + episode
        item[i] = items[here]
        items[here] = items[there]
        items[there] = item[i]


@compiled
def _recall(begin, n, place, taken, before):
    """What was taken from the places; of no meaning where an item out of the list was chosen."""
    end = np.uint64(len(taken)) - np.uint64(1)
    for i in range(len(place)):
        before[i] = taken[min(np.uint64(place[i]) * n + begin + np.uint64(i), end)]


@compiled
def _count(kind, live):
    for i in range(len(kind)):
        live[i] += np.int32(kind[i] == NEW) - np.int32(kind[i] == DROP)


@compiled
def _find_spans(kind, place, live, up, down, overwrites):
    """The places that change hands, the first one and (times 256) the last one: where an item moves to the front
    in `up`, where one is removed in `down`.
    """
    for i in range(len(kind)):
        up[i] = place[i] << _8 if kind[i] == MOVE else _NO_SPAN
        down[i] = place[i] | (live[i] - _1) << _8 if kind[i] == DROP else _NO_SPAN
    for i in range(len(kind)):
        overwrites[i] = (kind[i] == MOVE) | ((kind[i] == DROP) & (place[i] < live[i] - _1))


@compiled
def _shift(p, span, here, carried, taken):
    """Where place `p` lies in the span, what it holds and `carried` change places. With masks: the compiler makes
    SIMD of these, of selections it does not.
    """
    for i in range(len(here)):
        first, last = np.int16(span[i] & _LOW8), np.int16(span[i] >> _8)
        inside = -np.int16((p >= first) & (p <= last))
        taken[i] ^= (taken[i] ^ here[i]) & inside
        change = (here[i] ^ carried[i]) & inside
        here[i] ^= change
        carried[i] ^= change


@compiled
def _tell(kind, place, item, bits, first_item, shown, places, names):
    for i in range(len(kind)):
        shown[i] = _TOKENS[kind[i]]
    for i in range(len(kind)):
        places[i] = place[i] + _1 if kind[i] <= ASK_BEYOND else _0
    for i in range(len(kind)):
        edits = (kind[i] > ASK_BEYOND) & (kind[i] < WAIT)
        name = np.int16(2) * (item[i] - np.int16(1)) + np.int16(bits[i] & _ONE) + first_item
        names[i] = name if edits else np.int16(0)


@compiled
def _tell_answers(kind, item, before, answer, stale):
    for i in range(len(kind)):
        held, nothing = -np.int16(kind[i] == ASK_HELD), -np.int16(kind[i] > ASK_BEYOND)
        answer[i] = (item[i] & held) | nothing
        stale[i] = before[i] | nothing
