"""The hot loop of the vector T-Maze, compiled by numba. Imported only where that is installed and chosen.

The same rules as in `scalar` and `vector`, bit for bit. Short loops over few arrays each, so that the compiler
turns them into SIMD; then a walk over the few environments that enter a corridor.
"""

import numpy as np

from memgym.envs.compiled import below, compiled, draw, episode_key
from memgym.envs.t_maze.arguments import DISTRACTOR_DRAW, EVENT_DRAW, REWRITING
from memgym.rng import HALF, LOW

__all__ = ["enter_corridors", "play"]

_OVERWRITE, _RETENTION, _SELECTIVE, _DISTRACTOR, _REVERSAL = range(len(REWRITING))
_EVENT, _DISTRACTION = np.uint64(EVENT_DRAW), np.uint64(DISTRACTOR_DRAW)
# Bits of an environment's event in a step, a byte each
_MOVED, _STANDS, _RIGHT, _OVER, _LATE, _WRONG = 0, 1, 2, 3, 4, 5
_NOTABLE = np.uint64(0x0C0C0C0C0C0C0C0C)  # RIGHT or OVER, in any of eight events


@compiled
def play(
    actions, clock, soonest, rules, rewards, restarts, base, episode, key, maze, obs, reward, terminated,
    truncated, errors, counts, ended, event, act, lists,
):  # fmt: skip
    """One step of every environment; those that ended in the step before start anew where `restarts`.

    Returns the first step, on `clock`, at which time can run out again.
    """
    limit, last, longest, num_cues, _, mode, _, junction_visible = rules
    began, x, length, cue, older, place, distractor = maze
    success, stale, blind, search = errors
    corridor, overwrites = counts
    n = len(x)
    _note_over(terminated, truncated, event, restarts)
    _walk(actions, act, x, length, event)
    _move(x, event, obs[0], np.float32(longest))
    for j in range(1, num_cues + 1):
        _clear(obs[j], event)
    if mode == _DISTRACTOR:
        for i in range(n):
            if event[i] & 1 and x[i] == place[i]:
                obs[distractor[i], i] = 1.0
    if junction_visible:
        for i in range(n):
            obs[num_cues + 1, i] = x[i] == length[i]
    _judge(event, act, cue)
    _flag(terminated, stale, blind, search, event, act, older)
    truncated[:] = False
    success[:] = False
    _pay(reward, event, rewards)
    over, passed = _find(event, lists)
    number = len(over)
    for i in over:
        episode[i] += 1
        key[i] = episode_key(base[i], episode[i])
        began[i] = clock
        cue[i] = older[i] = 0
        corridor[i] = overwrites[i] = 0
    for i in passed:
        corridor[i] += 1
        if corridor[i] == last:
            success[i] = terminated[i] = True
        else:
            lists[0, number] = i
            number += 1
    enter_corridors(lists[0, :number], rules, key, maze, obs, counts)
    if clock >= soonest:
        earliest = began[0]
        for i in range(n):
            earliest = min(earliest, began[i])
            if began[i] <= clock - limit and not terminated[i]:
                truncated[i] = search[i] = True
        soonest = earliest + limit
    for i in range(n):
        ended[i] = terminated[i] | truncated[i]
    return soonest


@compiled
def _note_over(terminated, truncated, event, restarts):
    """Whose episode was over before this step, and is to start anew."""
    for i in range(len(terminated)):
        event[i] = np.uint8((terminated[i] | truncated[i]) & restarts) << _OVER


@compiled
def _walk(actions, act, x, length, event):
    """Note who moves, and who stands at the junction."""
    for i in range(len(x)):
        act[i] = actions[i]
    for i in range(len(x)):
        stands = np.uint8(x[i] == length[i])
        moves = np.uint8(act[i] == 0) & (stands ^ np.uint8(1))
        over = (event[i] >> _OVER) & np.uint8(1)
        event[i] |= moves | ((stands & (over ^ np.uint8(1))) << _STANDS)


@compiled
def _move(x, event, row, longest):
    """New positions, and what they show."""
    for i in range(len(x)):
        x[i] += np.float32(event[i] & 1)
        row[i] = x[i] / longest


@compiled
def _clear(row, event):
    """Who moved sees no cue any more."""
    for i in range(len(row)):
        row[i] = np.float32(0.0) if event[i] & 1 else row[i]


@compiled
def _judge(event, act, cue):
    """Note whether a turn at the junction is right."""
    for i in range(len(cue)):
        stands, right = (event[i] >> _STANDS) & np.uint8(1), np.uint8(act[i] == cue[i])
        event[i] |= ((stands & right) << _RIGHT) | ((stands & (right ^ np.uint8(1))) << _WRONG)


@compiled
def _flag(terminated, stale, blind, search, event, act, older):
    """Tell failures apart."""
    for i in range(len(terminated)):
        terminated[i] = event[i] >> _WRONG
    for i in range(len(terminated)):
        search[i] = terminated[i] & (act[i] == 0)
    for i in range(len(terminated)):
        stale[i] = terminated[i] & (act[i] == older[i]) & (act[i] != 0)
    for i in range(len(terminated)):
        blind[i] = terminated[i] & (not stale[i]) & (not search[i])


@compiled
def _pay(reward, event, rewards):
    right, wrong, forward, useless = rewards
    for i in range(len(reward)):
        e = event[i]
        value = forward if e & (1 << _MOVED) else useless
        value = right if e & (1 << _RIGHT) else value
        value = wrong if e & (1 << _WRONG) else value
        reward[i] = 0.0 if e & (1 << _OVER) else value


@compiled
def _find(event, lists):
    """The environments to start anew, and those that took the right turn."""
    words, m, k = event.view(np.uint64), 0, 0
    for w in range(len(words)):
        if words[w] & _NOTABLE:
            for i in range(8 * w, 8 * w + 8):  # without branches: none of them could be foreseen
                lists[0, m] = i
                m += (event[i] >> _OVER) & 1
                lists[1, k] = i
                k += (event[i] >> _RIGHT) & 1
    return lists[0, :m], lists[1, :k]


@compiled
def enter_corridors(index, rules, key, maze, obs, counts):
    """`EndlessTMaze._enter_corridor` for the environments of `index`."""
    _, _, longest, num_cues, uniform, mode, threshold, junction_visible = rules
    _, x, length, cue, older, place, distractor = maze
    passed, overwrites = counts
    k = np.uint64(num_cues)
    for i in index:
        corridor = passed[i]
        number = np.uint64(corridor)
        bits = draw(key[i], number)
        if uniform:
            length[i] = np.float32(below(bits & LOW, np.uint64(longest)) + np.uint64(1))
        event = np.uint64(0)
        if mode != _OVERWRITE and mode != _RETENTION:
            event = draw(key[i], number + _EVENT)
        happens = (event >> HALF) < threshold
        if corridor > 0 and (mode == _RETENTION or (mode == _SELECTIVE and not happens)):
            shown = 0
        elif corridor > 1 and mode == _REVERSAL and happens:
            shown = num_cues + 1
            cue[i], older[i] = older[i], cue[i]
        else:
            older[i] = cue[i]
            shown = np.int64(below(bits >> HALF, k)) + 1
            cue[i] = shown
        if corridor > 0 and shown != 0:
            overwrites[i] += 1
        if mode == _DISTRACTOR:
            place[i] = 0
            if happens and length[i] > 1:
                place[i] = 1 + np.int16(below(event & LOW, np.uint64(length[i] - 1)))
                distractor[i] = 1 + np.int16(below(draw(key[i], number + _DISTRACTION) >> HALF, k))
        x[i] = 0.0
        obs[0, i] = 0.0
        for j in range(1, num_cues + 1):
            obs[j, i] = shown == j or shown == num_cues + 1
        if junction_visible:
            obs[num_cues + 1, i] = 0.0
