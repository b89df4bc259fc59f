"""The hot loop of the vector T-Maze, compiled by numba. Imported only where that is installed and chosen.

The same rules as in `scalar` and `vector`, bit for bit.
"""

import numpy as np

from memgym.envs.compiled import below, compiled, draw, episode_key, lowest_bit
from memgym.envs.t_maze.arguments import (
    BLIND,
    DISTRACTOR_DRAW,
    EVENT_DRAW,
    LATE,
    REWRITING,
    SEARCH,
    SOLVED,
    STALE,
)
from memgym.rng import HALF, LOW

__all__ = ["play", "start"]

_OVERWRITE, _RETENTION, _SELECTIVE, _DISTRACTOR, _REVERSAL = range(len(REWRITING))
_EVENT, _DISTRACTION = np.uint64(EVENT_DRAW), np.uint64(DISTRACTOR_DRAW)
# Rows of the blocks of arrays, columns of the records, and settings; see `EndlessTMazeVector._make_blocks`
_X, _LENGTH, _OBS = range(3)
_CORRIDOR, _OVERWRITES, _BEGAN, _FLAGGED, _STANDING, _ENTERING, _PAID = range(7)
_TERMINATED, _TRUNCATED, _ENDED, _SUCCESS, _STALE, _BLIND, _SEARCH, _OUTCOME, _SIGHT, _STANDS, _MASKS = range(
    11
)
_BASE, _KEY, _EPISODE, _CUE, _OLDER, _PLACE, _SIGN = range(7)
(
    _CLOCK,
    _SOONEST,
    _LIMIT,
    _LAST,
    _LONGEST,
    _NUM_CUES,
    _UNIFORM,
    _MODE,
    _THRESHOLD,
    _VISIBLE,
    _RESTARTS,
    _ODD,
) = range(12)
_WALKING, _USELESS, _COARSE, _FINE = range(2, 6)  # in the rewards
# What becomes of what an agent sees, one byte each: as it is, the next cell, or a first cell that shows this
_SAME, _NEXT = np.uint8(255), np.uint8(254)
# The lowest bits of eight bytes, gathered into the highest byte of this product
_GATHER, _TOP = np.uint64(0x0102040810204080), np.uint64(56)


@compiled
def play(actions, settings, rewards, flagged, records, floats, ints, marks, reward):
    """One step of every environment; those flagged, the ended ones, start anew where the settings say so.

    Returns how many are flagged then; -1, with nothing done, for an action out of range. Dense loops over few
    arrays each, which the compiler turns into SIMD, and walks over short lists. What decided over the speed:
    finding who stands at a junction without a branch for each, a byte for what a step comes to, from which the
    seven flags follow in dense loops, and rewards put back where they differed instead of all written anew.
    """
    n, num_cues, mode = len(reward), settings[_NUM_CUES], settings[_MODE]
    x, length, obs = floats[_X], floats[_LENGTH], floats[_OBS:]
    outcome, sight, stands = marks[_OUTCOME, :n], marks[_SIGHT, :n], marks[_STANDS, :n]
    if not _read(actions, num_cues, sight):
        return -1
    settings[_CLOCK] += 1
    clock, last = settings[_CLOCK], settings[_LAST]
    if settings[_UNIFORM]:
        _find_junctions(x, length, stands)
    else:
        _find_ends(x, np.float32(settings[_LONGEST]), stands)
    _stop(sight, stands)
    entering, ended, paid = ints[_ENTERING], ints[_FLAGGED], ints[_PAID]
    if rewards[_WALKING] == rewards[_USELESS]:
        for k in range(settings[_ODD]):
            reward[paid[k]] = rewards[_USELESS]
    else:
        for i in range(n):
            reward[i] = rewards[_WALKING] if sight[i] == _NEXT else rewards[_USELESS]
    number, odd, zero, one = 0, 0, np.uint64(0), np.uint64(1)
    if settings[_RESTARTS]:
        for k in range(flagged):
            i = ended[k]
            stands[i] = 0
            reward[i] = 0.0
            records[i, _EPISODE] += one
            records[i, _KEY] = episode_key(records[i, _BASE], records[i, _EPISODE])
            ints[_BEGAN, i] = clock
            records[i, _CUE] = records[i, _OLDER] = zero
            ints[_CORRIDOR, i] = ints[_OVERWRITES, i] = 0
            entering[k] = paid[k] = i
        number = odd = flagged
    outcome[:] = 0
    news, flagged = flagged, 0
    standing = ints[_STANDING, : _find(marks[_STANDS], marks[_MASKS], ints[_STANDING])]
    for i in standing:  # without branches: none of them could be foreseen
        act, cue = np.uint64(actions[i]), records[i, _CUE]
        right = np.int64(act == cue)
        wrong = right ^ 1
        corridor = ints[_CORRIDOR, i] + right
        ints[_CORRIDOR, i] = corridor
        solved = right & np.int64(corridor == last)
        search = np.int64(act == zero)
        stale = np.int64(act == records[i, _OLDER]) & (search ^ 1)
        reward[i] = rewards[wrong]
        outcome[i] = solved * SOLVED + wrong * (BLIND + search - stale)
        paid[odd] = i
        odd += 1
        ended[flagged] = i
        flagged += wrong | solved
        entering[number] = i
        number += right & (solved ^ 1)
    settings[_ODD] = odd
    enter_corridors(entering[:number], settings, records, floats, ints, sight)
    _move(x, sight)
    if rewards[_COARSE]:
        _scale(x, obs[0], np.float32(rewards[_COARSE]), np.float32(rewards[_FINE]))
    else:
        _divide(x, obs[0], np.float32(settings[_LONGEST]))
    for j in range(1, num_cues + 1):
        _show(obs[j], sight, j, num_cues + 1)
    if mode == _DISTRACTOR:
        for i in range(n):
            if sight[i] == _NEXT and np.int64(x[i]) == np.int64(records[i, _PLACE]):
                obs[np.int64(records[i, _SIGN]), i] = 1.0
    if settings[_VISIBLE]:
        for i in range(n):
            obs[num_cues + 1, i] = x[i] == length[i]
    if clock >= settings[_SOONEST]:
        flagged = _end_late(settings, ints[_BEGAN], outcome, ended, flagged)
    if news + flagged:
        _tell(outcome, marks)
    return flagged


@compiled
def _read(actions, highest, forward):
    """Note who goes forward; whether all actions are in range."""
    # No bit but the lowest ones is set in any action, nor in an action plus what those lack to 2^k - 1
    full = np.int64(1)
    while full < highest:
        full = 2 * full + 1
    lack, bits = full - highest, np.int64(0)
    for i in range(len(actions)):
        action = np.int64(actions[i])
        bits |= action | (action + lack)
        forward[i] = action == 0
    return 0 <= bits <= full


@compiled
def _find_junctions(x, length, stands):
    """Note who stands at the junction."""
    for i in range(len(x)):
        stands[i] = np.uint8(x[i] == length[i])


@compiled
def _find_ends(x, longest, stands):
    """The same where all corridors have one length."""
    for i in range(len(x)):
        stands[i] = np.uint8(x[i] == longest)


@compiled
def _stop(sight, stands):
    """Who stands at the junction does not move."""
    for i in range(len(sight)):
        sight[i] = _SAME - (sight[i] & (stands[i] ^ np.uint8(1)))


@compiled
def _move(x, sight):
    """New positions."""
    for i in range(len(x)):
        there = x[i] + np.float32(sight[i] == _NEXT)
        x[i] = there if sight[i] >= _NEXT else np.float32(0.0)


@compiled
def _divide(x, row, longest):
    """What positions show."""
    for i in range(len(x)):
        row[i] = x[i] / longest


@compiled
def _scale(x, row, coarse, fine):
    """The same without division, see `split_reciprocal`."""
    for i in range(len(x)):
        row[i] = x[i] * coarse + x[i] * fine


@compiled
def _show(row, sight, cue, all_cues):
    """The numbers of one cue."""
    one, all_ = np.uint8(cue), np.uint8(all_cues)
    for i in range(len(row)):
        lit = np.float32((sight[i] == one) | (sight[i] == all_))
        row[i] = row[i] if sight[i] == _SAME else lit


@compiled
def _tell(outcome, marks):
    """The flags that follow from the outcomes."""
    n = len(outcome)
    terminated, truncated, ended = marks[_TERMINATED], marks[_TRUNCATED], marks[_ENDED]
    success, stale, blind, search = marks[_SUCCESS], marks[_STALE], marks[_BLIND], marks[_SEARCH]
    for i in range(n):
        terminated[i] = outcome[i] > LATE
    for i in range(n):
        truncated[i] = outcome[i] == LATE
    for i in range(n):
        ended[i] = outcome[i] >= LATE
    for i in range(n):
        success[i] = outcome[i] == SOLVED
    for i in range(n):
        stale[i] = outcome[i] == STALE
    for i in range(n):
        blind[i] = outcome[i] == BLIND
    for i in range(n):
        search[i] = (outcome[i] == SEARCH) | (outcome[i] == LATE)


@compiled
def _find(stands, masks, out):
    """Write the places of the ones among the bytes of `stands` into `out`; how many there are."""
    eights = stands.view(np.uint64)
    for w in range(len(eights)):
        masks[w] = (eights[w] * _GATHER) >> _TOP
    bits, m, one = masks.view(np.uint64), 0, np.uint64(1)
    for w in range(len(eights) >> 3):
        left = bits[w]
        for _ in range(4):  # whether there are so many or not: a branch here could not be foreseen
            out[m] = 64 * w + lowest_bit(left)
            m += np.int64(left != 0)
            left &= left - one
        while left:
            out[m] = 64 * w + lowest_bit(left)
            m += 1
            left &= left - one
    return m


@compiled
def _end_late(settings, began, outcome, ended, flagged):
    """Truncate where time has run out, and see when it can do so next."""
    n, earliest, latest = len(outcome), settings[_CLOCK], settings[_CLOCK] - settings[_LIMIT]
    for i in range(n):
        earliest = began[i] if began[i] < earliest else earliest
    settings[_SOONEST] = earliest + settings[_LIMIT]
    if earliest <= latest:
        for i in range(n):
            if began[i] <= latest and outcome[i] < LATE:
                outcome[i] = LATE
                ended[flagged] = i
                flagged += 1
    return flagged


@compiled
def start(index, settings, records, floats, ints, marks):
    """Enter the first corridor, for the environments of `index`, and show it."""
    num_cues, sight = settings[_NUM_CUES], marks[_SIGHT]
    enter_corridors(index, settings, records, floats, ints, sight)
    for i in index:
        floats[_X, i] = floats[_OBS, i] = 0.0
        for j in range(1, num_cues + 1):
            floats[_OBS + j, i] = (sight[i] == j) | (sight[i] == num_cues + 1)
        if settings[_VISIBLE]:
            floats[_OBS + num_cues + 1, i] = 0.0


@compiled
def enter_corridors(index, settings, records, floats, ints, sight):
    """`EndlessTMaze._enter_corridor` for the environments of `index`, but for what shows where they are."""
    num_cues, mode, threshold = settings[_NUM_CUES], settings[_MODE], np.uint64(settings[_THRESHOLD])
    k = np.uint64(num_cues)
    longest, uniform = np.uint64(settings[_LONGEST]), settings[_UNIFORM]
    length = floats[_LENGTH]
    corridors, overwrites = ints[_CORRIDOR], ints[_OVERWRITES]
    for i in index:
        corridor = corridors[i]
        key, number = records[i, _KEY], np.uint64(corridor)
        bits = draw(key, number)
        if uniform:
            length[i] = below(bits & LOW, longest) + np.uint64(1)
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
        overwrites[i] += np.int64(corridor > 0) & np.int64(shown != 0)
        if mode == _DISTRACTOR:
            records[i, _PLACE] = np.uint64(0)
            if happens and length[i] > 1:
                room = np.uint64(length[i] - 1)
                records[i, _PLACE] = below(event & LOW, room) + np.uint64(1)
                records[i, _SIGN] = below(draw(key, number + _DISTRACTION) >> HALF, k) + np.uint64(1)
        sight[i] = shown
