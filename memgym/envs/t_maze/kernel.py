"""The hot loop of the vector T-Maze, compiled by numba. Imported only where that is installed and chosen.

The same rules as in `scalar` and `vector`, bit for bit.
"""

import numpy as np

from memgym.envs.compiled import below, compiled, draw, episode_key
from memgym.envs.t_maze.arguments import DISTRACTOR_DRAW, EVENT_DRAW, REWRITING
from memgym.rng import HALF, LOW

__all__ = ["enter_corridors", "play"]

_OVERWRITE, _RETENTION, _SELECTIVE, _DISTRACTOR, _REVERSAL = range(len(REWRITING))
_EVENT, _DISTRACTION = np.uint64(EVENT_DRAW), np.uint64(DISTRACTOR_DRAW)
# Rows of the blocks of arrays, columns of the records, and settings; see `EndlessTMazeVector._make_blocks`
_X, _LENGTH, _OBS = range(3)
_CORRIDOR, _OVERWRITES, _FLAGGED, _STANDING, _ENTERING = range(5)
_TERMINATED, _TRUNCATED, _ENDED, _SUCCESS, _STALE, _BLIND, _SEARCH, _ACT, _MOVED, _STANDS = range(10)
_FLAGS = 7  # the first so many of them
_BASE, _KEY, _EPISODE, _BEGAN, _CUE, _OLDER, _PLACE, _SIGN = range(8)
_CLOCK, _SOONEST, _LIMIT, _LAST, _LONGEST, _NUM_CUES, _UNIFORM, _MODE, _THRESHOLD, _VISIBLE, _RESTARTS = (
    range(11)
)
# The lowest bits of eight bytes, gathered into the highest byte of this product, and the places of the ones
# in each such byte
_GATHER, _TOP = np.uint64(0x0102040810204080), np.uint64(56)
_PLACES = np.array([[*(j for j in range(8) if b >> j & 1), *[0] * 8][:8] for b in range(256)], np.int64)
_NUMBER = np.array([b.bit_count() for b in range(256)], np.int64)


@compiled
def play(actions, settings, rewards, flagged, records, floats, ints, marks, reward):
    """One step of every environment; those flagged, the ended ones, start anew where the settings say so.

    Returns how many are flagged then; -1, with nothing done, for an action out of range. Dense loops over few
    arrays each, which the compiler turns into SIMD, and walks over short lists.
    """
    n, num_cues, mode = len(reward), settings[_NUM_CUES], settings[_MODE]
    x, length, obs = floats[_X], floats[_LENGTH], floats[_OBS:]
    act, moved, stands = marks[_ACT], marks[_MOVED], marks[_STANDS]
    if not _read(actions, num_cues, act):
        return -1
    settings[_CLOCK] += 1
    _walk(act, x, length, moved, stands)
    _move(x, moved, obs[0], np.float32(settings[_LONGEST]))
    for j in range(1, num_cues + 1):
        _clear(obs[j], moved)
    if mode == _DISTRACTOR:
        for i in range(n):
            if moved[i] and np.int64(x[i]) == np.int64(records[i, _PLACE]):
                obs[np.int64(records[i, _SIGN]), i] = 1.0
    if settings[_VISIBLE]:
        for i in range(n):
            obs[num_cues + 1, i] = x[i] == length[i]
    _pay(reward, moved, rewards[2], rewards[3])
    entering = ints[_ENTERING]
    number, zero, one = 0, np.uint64(0), np.uint64(1)
    for k in range(flagged):
        i = ints[_FLAGGED, k]
        for row in range(_FLAGS):
            marks[row, i] = 0
        if settings[_RESTARTS]:
            stands[i] = 0
            reward[i] = 0.0
            records[i, _EPISODE] += one
            records[i, _KEY] = episode_key(records[i, _BASE], records[i, _EPISODE])
            records[i, _BEGAN] = settings[_CLOCK]
            records[i, _CUE] = records[i, _OLDER] = zero
            ints[_CORRIDOR, i] = ints[_OVERWRITES, i] = 0
            entering[number] = i
            number += 1
    standing = ints[_STANDING, : _find(stands, ints[_STANDING])]
    flagged = 0
    for i in standing:  # without branches: none of them could be foreseen
        right = np.uint8(act[i] == records[i, _CUE])
        wrong = right ^ np.uint8(1)
        ints[_CORRIDOR, i] += right
        solved = right & np.uint8(ints[_CORRIDOR, i] == settings[_LAST])
        search = wrong & np.uint8(act[i] == 0)
        stale = wrong & ~search & np.uint8(act[i] == records[i, _OLDER])
        reward[i] = rewards[wrong]
        marks[_SUCCESS, i], marks[_SEARCH, i], marks[_STALE, i] = solved, search, stale
        marks[_BLIND, i] = wrong & ~(search | stale)
        marks[_TERMINATED, i] = marks[_ENDED, i] = wrong | solved
        ints[_FLAGGED, flagged] = i
        flagged += np.int64(wrong | solved)
        entering[number] = i
        number += np.int64(right & ~solved)
    enter_corridors(entering[:number], settings, records, floats, ints)
    if settings[_CLOCK] >= settings[_SOONEST]:
        flagged = _end_late(settings, records, marks, ints[_FLAGGED], flagged)
    return flagged


@compiled
def _read(actions, highest, act):
    """Copy the actions into bytes; whether all are in range."""
    outside = 0  # an integer: the loop then becomes SIMD, with a boolean it does not
    for i in range(len(actions)):
        outside |= (actions[i] < 0) | (actions[i] > highest)
    for i in range(len(actions)):
        act[i] = actions[i]
    return outside == 0


@compiled
def _walk(act, x, length, moved, stands):
    """Note who moves, and who stands at the junction."""
    for i in range(len(x)):
        stands[i] = np.uint8(x[i] == length[i])
    for i in range(len(x)):
        moved[i] = np.uint8(act[i] == 0) & (stands[i] ^ np.uint8(1))


@compiled
def _move(x, moved, row, longest):
    """New positions, and what they show."""
    for i in range(len(x)):
        x[i] += np.float32(moved[i])
        row[i] = x[i] / longest


@compiled
def _clear(row, moved):
    """Who moved sees no cue any more."""
    for i in range(len(row)):
        row[i] = np.float32(0.0) if moved[i] else row[i]


@compiled
def _pay(reward, moved, forward, useless):
    """Rewards of those who do not stand at a junction."""
    if forward == useless:
        reward[:] = forward
        return
    for i in range(len(reward)):
        reward[i] = forward if moved[i] else useless


@compiled
def _find(stands, out):
    """Write the places of the ones among the bytes of `stands` into `out`; how many there are."""
    words, m = stands.view(np.uint64), 0
    for w in range(len(words)):
        if words[w]:
            mask = (words[w] * _GATHER) >> _TOP
            for j in range(8):  # without branches: none of them could be foreseen
                out[m + j] = 8 * w + _PLACES[mask, j]
            m += _NUMBER[mask]
    return m


@compiled
def _end_late(settings, records, marks, list_, flagged):
    """Truncate where time has run out, and see when it can do so next."""
    latest = settings[_CLOCK] - settings[_LIMIT]
    earliest = settings[_CLOCK]
    for i in range(len(records)):
        began = np.int64(records[i, _BEGAN])
        earliest = min(earliest, began)
        if began <= latest and not marks[_TERMINATED, i]:
            marks[_TRUNCATED, i] = marks[_SEARCH, i] = marks[_ENDED, i] = 1
            list_[flagged] = i
            flagged += 1
    settings[_SOONEST] = earliest + settings[_LIMIT]
    return flagged


@compiled
def enter_corridors(index, settings, records, floats, ints):
    """`EndlessTMaze._enter_corridor` for the environments of `index`."""
    num_cues, mode, threshold = settings[_NUM_CUES], settings[_MODE], np.uint64(settings[_THRESHOLD])
    k = np.uint64(num_cues)
    obs = floats[_OBS:]
    for i in index:
        corridor = ints[_CORRIDOR, i]
        key, number = records[i, _KEY], np.uint64(corridor)
        bits = draw(key, number)
        if settings[_UNIFORM]:
            floats[_LENGTH, i] = below(bits & LOW, np.uint64(settings[_LONGEST])) + np.uint64(1)
        event = np.uint64(0)
        if mode != _OVERWRITE and mode != _RETENTION:
            event = draw(key, number + _EVENT)
        happens = (event >> HALF) < threshold
        if corridor > 0 and (mode == _RETENTION or (mode == _SELECTIVE and not happens)):
            shown = 0
        elif corridor > 1 and mode == _REVERSAL and happens:
            shown = num_cues + 1
            records[i, _CUE], records[i, _OLDER] = records[i, _OLDER], records[i, _CUE]
        else:
            records[i, _OLDER] = records[i, _CUE]
            records[i, _CUE] = below(bits >> HALF, k) + np.uint64(1)
            shown = np.int64(records[i, _CUE])
        if corridor > 0 and shown != 0:
            ints[_OVERWRITES, i] += 1
        if mode == _DISTRACTOR:
            records[i, _PLACE] = np.uint64(0)
            if happens and floats[_LENGTH, i] > 1:
                room = np.uint64(floats[_LENGTH, i] - 1)
                records[i, _PLACE] = below(event & LOW, room) + np.uint64(1)
                records[i, _SIGN] = below(draw(key, number + _DISTRACTION) >> HALF, k) + np.uint64(1)
        floats[_X, i] = 0.0
        obs[0, i] = 0.0
        for j in range(1, num_cues + 1):
            obs[j, i] = (shown == j) | (shown == num_cues + 1)
        if settings[_VISIBLE]:
            obs[num_cues + 1, i] = 0.0
