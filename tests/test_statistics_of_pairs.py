"""Agents against each other: paired tests, their correction, ranks and the probability of improvement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memgym.leaderboard import comparison
from memgym.leaderboard.comparison import holm, improvement, rank_intervals, sign_flip_test

DATA = np.random.default_rng(0)
RUNS = DATA.normal(0.5, 0.2, (12, 4)) + np.array([0.0, 0.05, 0.15, 0.4])
EQUAL = np.full(12, 1 / 12)


def rng():
    return np.random.default_rng(7)


def pairs_of(agents):
    return list(zip(*np.triu_indices(agents, 1), strict=True))


# ---- the paired test -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("a", "b"), pairs_of(4))
def test_p_value_equals_scipys_paired_permutation_test(a, b):
    exact = stats.permutation_test(
        (RUNS[:, a], RUNS[:, b]),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=10_000,  # all 2^12 of them
    ).pvalue
    found = sign_flip_test(RUNS[:, [a, b]], EQUAL, rng(), 100_000)[0]
    # stopped after 20 hits, an estimate of p has a relative standard error of 1 / sqrt(20)
    assert found == pytest.approx(exact, rel=0.75, abs=1e-4)


def test_all_pairs_are_tested_like_each_alone(monkeypatch):
    together = sign_flip_test(RUNS, EQUAL, rng())
    monkeypatch.setattr(comparison, "ENOUGH", 10**9)  # no early stop: all flips of each
    exact = sign_flip_test(RUNS, EQUAL, rng())
    alone = [sign_flip_test(RUNS[:, list(pair)], EQUAL, rng())[0] for pair in pairs_of(4)]
    assert alone == exact.tolist()
    assert together == pytest.approx(exact, rel=0.75, abs=1e-4)


def test_p_values_are_uniform_where_agents_are_alike():
    generator = np.random.default_rng(1)
    found = [sign_flip_test(generator.random((20, 2)), np.full(20, 0.05), rng(), 2000)[0] for _ in range(400)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_equal_agents_are_never_told_apart():
    runs = np.repeat(RUNS[:, :1], 3, axis=1)
    assert sign_flip_test(runs, EQUAL, rng()).tolist() == [1.0] * 3


def test_ties_count_as_extreme_whatever_the_order_of_the_sum():
    values = np.array([[1.0, 0.0]] * 3 + [[0.0, 0.0]] * 7)  # |sum| is as large in 2 of 8 flips
    assert sign_flip_test(values / 3, np.full(10, 0.1), rng(), 5000)[0] == pytest.approx(0.25, abs=0.03)


def test_weights_decide_which_runs_matter():
    values = np.concatenate([np.full((10, 1), 0.9), np.full((10, 1), 0.1)]) * np.array([1.0, 0.0])
    values[10:, 1] = 0.9  # the first agent leads in ten runs and trails in ten
    even = sign_flip_test(values, np.full(20, 0.05), rng())[0]
    heavy = sign_flip_test(values, np.repeat([0.1, 0.001], 10), rng())[0]
    assert heavy < 0.05 < even


def test_clear_differences_pass_the_correction_for_any_number_of_pairs():
    values = np.random.default_rng(3).normal(0, 0.01, (400, 2)) + np.array([0.0, 0.5])
    assert (
        sign_flip_test(values, np.full(400, 1 / 400), rng(), 1000)[0] < 1e-9
    )  # from the bound, not the flips


def test_the_bound_is_above_the_exact_probability():
    values = np.zeros((10, 2))
    values[:, 0] = 1.0
    exact = 2 / 2**10
    bound = 2 * np.exp(-(10**2) / (2 * 10))
    assert bound > exact
    assert sign_flip_test(values, np.full(10, 0.1), rng(), 100_000)[0] == pytest.approx(exact, rel=0.75)


# ---- the correction and the ranks ------------------------------------------------------------------------


def test_holm_equals_hand_count():
    assert holm([0.01, 0.04, 0.03]).tolist() == [0.03, 0.06, 0.06]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.5]))
def test_holm_rejects_what_stepping_down_rejects(p_values, level):
    order, rejected = sorted(range(len(p_values)), key=lambda i: p_values[i]), set()
    for step, i in enumerate(order):
        if p_values[i] * (len(p_values) - step) > level:
            break
        rejected.add(i)
    assert rejected == set(np.flatnonzero(holm(p_values) <= level))


def test_rank_intervals_equal_hand_count():
    # a beats b and c clearly; b and c are not told apart
    assert rank_intervals([0.9, 0.5, 0.4], [0.01, 0.01, 0.6]) == [(1, 1), (2, 3), (2, 3)]
    assert rank_intervals([0.9, 0.5, 0.4], [1.0, 1.0, 1.0]) == [(1, 3)] * 3


def test_the_correction_keeps_equal_agents_together():
    """Among 12 equal agents some pair always looks different until the number of pairs is counted."""
    generator, wrong, naive = np.random.default_rng(4), 0, 0
    for _ in range(40):
        p_values = sign_flip_test(generator.random((40, 12)), np.full(40, 1 / 40), generator, 5000)
        wrong += bool(np.any(holm(p_values) <= 0.05))
        naive += bool(np.any(p_values <= 0.05))
    assert wrong <= 6
    assert naive >= 30


# ---- the probability of improvement ----------------------------------------------------------------------


def test_probability_of_improvement_equals_mann_and_whitneys_u():
    tasks = [RUNS, np.round(RUNS, 1)]  # the second with ties
    found = improvement(tasks).probability
    for pair, (a, b) in zip(found, pairs_of(4), strict=True):
        each = [stats.mannwhitneyu(task[:, a], task[:, b]).statistic / 12**2 for task in tasks]
        assert np.mean(each) == pytest.approx(pair)


def test_error_of_the_probability_of_improvement_equals_the_bootstraps():
    tasks = [np.random.default_rng(s).normal([0.0, 0.3], 1.0, (40, 2)) for s in range(3)]
    found, generator = improvement(tasks), rng()
    draws = [
        improvement([task[generator.integers(40, size=40)] for task in tasks]).probability[0]
        for _ in range(600)
    ]
    assert found.error[0] == pytest.approx(np.std(draws), rel=0.15)


def test_a_single_run_has_no_error():
    found = improvement([np.array([[1.0, 0.0]])])
    assert found.probability.tolist() == [1.0]
    assert np.isnan(found.error).all()
