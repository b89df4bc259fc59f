"""The hot loops of the vector Color Cubes, compiled by numba. Imported only where that is installed and chosen.

The same rules as in `scalar` and `vector`, bit for bit. What takes arrays is called once for a list of
environments, never from within a loop over them.
"""

import numpy as np

from memgym.envs.color_cubes.arguments import (
    FOUND_REWARD,
    INTERACT,
    NO_EVENT,
    PHASE_DRAW,
    PHASE_START,
    START_DRAW,
    STEP_REWARD,
    TELEPORT,
)
from memgym.envs.compiled import below, compiled, draw, episode_key
from memgym.rng import HALF, LOW

__all__ = ["play", "start"]

_PHASE, _START = np.uint64(PHASE_DRAW), np.uint64(START_DRAW)
_24 = np.uint64(24)


@compiled
def play(
    actions, restarts, rules, tables, base, episode, key, world, obs, reward, terminated, truncated, ended,
    counts, errors, buffers,
):  # fmt: skip
    """One step of every environment; those that ended in the step before start anew where `restarts`."""
    limit, num_targets, wrong_ends, wrong_reward, always, extreme, delta = rules
    moves, waits, guide, xs, ys = tables
    t, ring, _, cell, target, cubes, before, moved, event = world
    found, teleports, overwrites = counts
    success, stale, blind, search = errors
    acting, rung, moving, waiting = buffers
    n, num_cubes = len(cell), len(cubes)
    t += np.int32(1)
    reward[:] = STEP_REWARD
    event[:] = NO_EVENT
    moved[:] = -1
    for flags in (stale, blind, terminated, truncated):
        flags[:] = False
    obs[2:] = np.float32(0.0)
    obs[2 + num_cubes] = np.float32(1.0)
    for i in range(n):
        place = np.uint64(moves[np.uint64(actions[i]), np.uint64(cell[i])])
        cell[i] = place
        obs[0, i] = xs[place]
        obs[1, i] = ys[place]
    # Lists are made without branches, which would be mispredicted; unsigned, they index without a check for
    # negative numbers.
    num_acting = num_rung = num_waiting = np.uint64(0)
    for i in range(n):
        waits_for_start = np.uint64(ended[i])
        plays = np.uint64(1) - waits_for_start
        acting[num_acting] = rung[num_rung] = waiting[num_waiting] = i
        num_acting += plays & np.uint64(actions[i] == INTERACT)
        num_rung += plays & np.uint64(t[i] == ring[i])
        num_waiting += waits_for_start
    num_moving = 0
    for i in acting[:num_acting]:
        if cubes[target[i], i] == cell[i]:
            reward[i] = FOUND_REWARD
            found[i] += 1
            if found[i] == num_targets:
                success[i] = terminated[i] = True
            else:
                event[i] = PHASE_START
                moving[num_moving] = i
                num_moving += 1
        else:
            reward[i] = wrong_reward
            terminated[i] = wrong_ends
            stale[i] = before[target[i], i] == cell[i]
            blind[i] = not stale[i]
    num_starts = num_moving
    for i in rung[:num_rung]:
        if event[i] == NO_EVENT and not terminated[i]:
            event[i] = TELEPORT
            teleports[i] += 1
            moving[num_moving] = i
            num_moving += 1
    for i in moving[:num_moving]:
        overwrites[i] += 1
    _move_cubes(moving[:num_moving], len(xs), key, world, found)
    _schedule(rung[:num_rung], waits, guide, key, world)
    if restarts:
        for i in waiting[:num_waiting]:
            episode[i] += 1
            key[i] = episode_key(base[i], episode[i])
            reward[i] = 0.0
            found[i] = teleports[i] = overwrites[i] = 0
            success[i] = stale[i] = blind[i] = search[i] = False
        _begin(waiting[:num_waiting], waits, guide, xs, ys, key, world, obs)
    if always:
        for i in range(n):
            obs[2 + target[i], i] = np.float32(1.0)
    _show(moving[:num_starts], not extreme, xs, ys, world, obs)
    if delta:
        _show_moved(moving[num_starts:num_moving], not extreme, xs, ys, world, obs)
    else:
        _show(moving[num_starts:num_moving], not extreme, xs, ys, world, obs)
    for i in range(n):
        late = (t[i] >= limit) & (not terminated[i])
        truncated[i] = late
        search[i] |= late
        ended[i] = terminated[i] | late


@compiled
def start(index, tables, key, world, obs):
    """Start episodes in the environments of `index`."""
    _, waits, guide, xs, ys = tables
    for row in range(2, len(obs)):
        for i in index:
            obs[row, i] = np.float32(0.0)
    _begin(index, waits, guide, xs, ys, key, world, obs)


@compiled
def _begin(index, waits, guide, xs, ys, key, world, obs):
    """Place everything, where frames show no cubes."""
    t, _, _, cell, target, cubes, before, moved, event = world
    num_cubes = len(cubes)
    for i in index:
        t[i] = 0
        moved[i] = -1
        event[i] = PHASE_START
        bits = draw(key[i], _START)
        agent = np.int64(below(bits & LOW, np.uint64(len(xs))))
        cell[i] = agent
        for taken in range(1, num_cubes + 1):
            bits = draw(key[i], _START + np.uint64(taken // 2)) if taken % 2 == 0 else bits >> HALF
            number = np.int64(below(bits & LOW, np.uint64(len(xs) - taken)))
            place = number
            for _ in range(taken):  # see `vector.free_cell`
                up_to = place
                place = number + (agent <= up_to)
                for k in range(taken - 1):
                    place += cubes[k, i] <= up_to
            cubes[taken - 1, i] = place
            before[taken - 1, i] = -1
        last = num_cubes + 1
        bits = draw(key[i], _START + np.uint64(last // 2)) if last % 2 == 0 else bits >> HALF
        target[i] = below(bits & LOW, np.uint64(num_cubes))
    _schedule(index, waits, guide, key, world)
    for i in index:
        obs[0, i] = xs[cell[i]]
        obs[1, i] = ys[cell[i]]
    _show(index, True, xs, ys, world, obs)


@compiled
def _schedule(index, waits, guide, key, world):
    """Decide in this step when the next jump comes, and which one it is.

    `guide` says where in `waits` to look for the top 8 of 32 bits; from there the entry is few steps away.
    """
    t, ring, jump = world[0], world[1], world[2]
    for i in index:
        bits = draw(key[i], np.uint64(t[i]))
        jump[i] = bits & LOW
        bits >>= HALF
        wait = guide[bits >> _24]
        while wait < len(waits) and waits[wait] <= bits:
            wait += 1
        ring[i] = t[i] + 1 + wait


@compiled
def _move_cubes(index, num_cells, key, world, found):
    """Start a phase or teleport, as `event` says, for the environments of `index`."""
    _, _, jump, cell, target, cubes, before, moved, event = world
    num_cubes = len(cubes)
    others = np.uint64(num_cubes - 1)
    for i in index:
        on_cube = False
        for k in range(num_cubes):
            on_cube |= cubes[k, i] == cell[i]
        free = np.uint64(num_cells - num_cubes - 1 + on_cube)
        if event[i] == PHASE_START:
            bits = draw(key[i], _PHASE + np.uint64(found[i]))
            cube = np.int64(target[i])
            number = np.int64(below(bits & LOW, free))
            if num_cubes > 1:
                other = np.int64(below(bits >> HALF, others))
                target[i] = other + (other >= cube)
        else:
            pair = below(jump[i], others * free)
            cube = np.int64(pair // free)
            number = np.int64(pair % free)
            cube += cube >= target[i]
        agent = num_cells if on_cube else np.int64(cell[i])  # beyond the last cell: counted as a cube already
        place = number
        for _ in range(num_cubes + 1):  # see `vector.free_cell`
            up_to = place
            place = number + (agent <= up_to)
            for k in range(num_cubes):
                place += cubes[k, i] <= up_to
        before[cube, i] = cubes[cube, i]
        cubes[cube, i] = place
        moved[i] = cube


@compiled
def _show(index, coloured, xs, ys, world, obs):
    """Frames with all cubes, where so far nothing but the agent and an old target is shown."""
    target, cubes, event = world[4], world[5], world[8]
    num_cubes = len(cubes)
    row_size = 3 + num_cubes
    for i in index:
        obs[2 + num_cubes, i] = np.float32(0.0)
        obs[2 + num_cubes + event[i], i] = np.float32(1.0)
        if event[i] == PHASE_START:
            obs[2 + target[i], i] = np.float32(1.0)
    for k in range(num_cubes):
        if coloured:
            row = 5 + num_cubes + k * row_size
            column_row, row_row, seen_row, colour_row = obs[row], obs[row + 1], obs[row + 2], obs[row + 3 + k]
            for i in index:
                place = np.uint64(cubes[k, i])
                column_row[i] = xs[place]
                row_row[i] = ys[place]
                seen_row[i] = np.float32(1.0)
                colour_row[i] = np.float32(1.0)
        else:
            for i in index:
                place, slot = cubes[k, i], 0
                for other in range(num_cubes):
                    slot += cubes[other, i] < place
                row = 5 + num_cubes + slot * row_size
                obs[row, i] = xs[place]
                obs[row + 1, i] = ys[place]
                obs[row + 2, i] = np.float32(1.0)


@compiled
def _show_moved(index, coloured, xs, ys, world, obs):
    """Frames of a jump with the moved cube alone: in its row, or without colour where it was and where it is."""
    cubes, before, moved = world[5], world[6], world[7]
    num_cubes = len(cubes)
    row_size = 3 + num_cubes
    for i in index:
        k = moved[i]
        obs[2 + num_cubes, i] = np.float32(0.0)
        obs[2 + num_cubes + TELEPORT, i] = np.float32(1.0)
        row = 5 + num_cubes + (k if coloured else 1) * row_size
        obs[row, i] = xs[cubes[k, i]]
        obs[row + 1, i] = ys[cubes[k, i]]
        obs[row + 2, i] = np.float32(1.0)
        if coloured:
            obs[row + 3 + k, i] = np.float32(1.0)
        else:
            row -= row_size
            obs[row, i] = xs[before[k, i]]
            obs[row + 1, i] = ys[before[k, i]]
            obs[row + 2, i] = np.float32(1.0)
