"""What every stream task does in a step, compiled by numba. Imported only where that is installed and chosen.

The same as in `vector`, bit for bit. Short loops over few arrays each, so that the compiler turns them into SIMD.
"""

import numpy as np

from memgym.envs.compiled import compiled

__all__ = ["score", "show"]


@compiled
def score(actions, num_steps, t, answer, stale, overwrites, flags, counts, accuracy, reward):
    """Score the answers, and count the step; arrays as in `StreamVectorEnv`."""
    terminated, success, is_correct = flags
    gets, correct, stale_errors, leak_errors, blind_errors, overwritten = counts
    n = len(t)
    for i in range(n):
        asked, right, gone = answer[i] >= 0, actions[i] == answer[i], answer[i] == 0
        near = (actions[i] == stale[i]) & (not right)
        gets[i] += asked
        correct[i] += right
        stale_errors[i] += near & (not gone)
        leak_errors[i] += near & gone
        blind_errors[i] += asked & (not right) & (not near)
    for i in range(n):
        right = actions[i] == answer[i]
        is_correct[i] = right
        reward[i] = right
        overwritten[i] += overwrites[i]
    for i in range(n):
        accuracy[i] = np.float64(correct[i]) / np.float64(max(gets[i], 1))
    for i in range(n):
        t[i] += np.int32(1)
        terminated[i] = t[i] == num_steps
        success[i] = terminated[i] & (correct[i] == gets[i])


@compiled
def show(index, tokens, tables, one_hot, obs):
    """Write the observations of the episodes of `index`.

    `tables` are `StreamTask.tables`, transposed; `one_hot` says which of them are `one_hot_table`: comparing is
    SIMD, looking up is not.
    """
    everyone = len(index) == tokens.shape[1]
    row = 0
    for field in range(len(tables)):
        ids = tokens[field]
        for j in range(len(tables[field])):
            column = tables[field][j]
            if not everyone:
                for i in index:
                    obs[row, i] = column[np.uint16(ids[i])]
            elif one_hot[field]:
                for i in range(len(ids)):
                    obs[row, i] = ids[i] == j + 1
            else:
                for i in range(len(ids)):
                    obs[row, i] = column[np.uint16(ids[i])]
            row += 1
