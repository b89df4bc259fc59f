"""The leaderboard's statistics against hand counts, brute force and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memgym.leaderboard.statistics import (
    Interval,
    bootstrap_means,
    draw_counts,
    freedom,
    generator_from,
    iqm,
    iqm_draws,
    normalise,
    pareto_front,
    percentile_intervals,
    t_quantile,
    trapezoid_weights,
    widen,
)

SCORES = np.random.default_rng(0).beta(0.8, 0.5, size=60)
SIZES = np.random.default_rng(1).integers(1, 9, size=60).astype(float)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def interval(sums, sizes, resamples=10_000, level=0.95):
    counts = draw_counts(len(sums), rng(), resamples, drawn=len(sums))  # as scipy draws
    draws = bootstrap_means(np.asarray(sums)[:, None], np.asarray(sizes)[:, None], counts)
    return percentile_intervals(draws, level)[0]


@pytest.mark.parametrize("draws", [1, 2, 7, 40, 10_000])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_percentiles_equal_numpys(draws, level):
    values = np.random.default_rng(3).normal(size=(draws, 3))
    tail = 50 * (1 - level)
    expected = np.percentile(values, [tail, 100 - tail], axis=0).T
    np.testing.assert_allclose(expected, percentile_intervals(values, level), rtol=1e-12)


def test_iqm_equals_hand_count():
    assert iqm([1.0, 0.5, 0.0, 0.5]) == 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 60])
def test_iqm_equals_scipys_trimmed_mean(n):
    assert stats.trim_mean(SCORES[:n], 0.25) == pytest.approx(iqm(SCORES[:n]), abs=1e-12)


def test_iqm_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        iqm([])


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_interval_of_a_mean_equals_scipys_within_monte_carlo_error(level):
    expected = stats.bootstrap(
        (SCORES,), np.mean, n_resamples=20_000, confidence_level=level, method="percentile", rng=rng()
    ).confidence_interval
    found = interval(SCORES, np.ones(60), level=level)
    tolerance = 0.05 * (expected.high - expected.low)
    assert expected.low == pytest.approx(found.low, abs=tolerance)
    assert expected.high == pytest.approx(found.high, abs=tolerance)


def test_interval_of_clustered_questions_equals_scipys_paired_bootstrap():
    def ratio(sums, sizes, axis):
        return sums.sum(axis=axis) / sizes.sum(axis=axis)

    sums = SCORES * SIZES
    expected = stats.bootstrap(
        (sums, SIZES), ratio, n_resamples=20_000, paired=True, method="percentile", rng=rng()
    ).confidence_interval
    found = interval(sums, SIZES)
    tolerance = 0.05 * (expected.high - expected.low)
    assert expected.low == pytest.approx(found.low, abs=tolerance)
    assert expected.high == pytest.approx(found.high, abs=tolerance)


def test_clusters_make_the_interval_wider_than_questions_drawn_one_by_one():
    sums, sizes = np.repeat([0.0, 10.0], 10), np.full(20, 10.0)  # all questions of an episode alike
    singles = np.repeat([0.0, 1.0], 100)
    clustered, drawn_singly = interval(sums, sizes), interval(singles, np.ones(200))
    assert clustered.high - clustered.low > 2.5 * (drawn_singly.high - drawn_singly.low)


def test_one_run_less_than_there_are_is_drawn_each_time():
    counts = draw_counts(5, rng(), 1000)
    assert counts.shape == (1000, 5)
    assert set(counts.sum(axis=1)) == {4}
    assert counts.mean(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.1)


def test_a_single_run_is_drawn_itself():
    assert (draw_counts(1, rng(), 10) == 1).all()


@pytest.mark.parametrize("runs", [0, 256])
def test_a_number_of_runs_that_cannot_be_counted_is_an_error(runs):
    with pytest.raises(ValueError, match="1 to 255"):
        draw_counts(runs, rng())


def test_draws_are_exactly_the_means_of_resampled_runs():
    drawn = rng().integers(60, size=(50, 59))
    expected = (SCORES * SIZES)[drawn].sum(axis=1) / SIZES[drawn].sum(axis=1)
    found = bootstrap_means((SCORES * SIZES)[:, None], SIZES[:, None], draw_counts(60, rng(), 50))
    np.testing.assert_allclose(expected, found[:, 0], rtol=1e-12)


def test_equal_columns_get_equal_draws():
    sums = np.stack([SCORES, SCORES], axis=1)
    draws = bootstrap_means(sums, np.ones_like(sums), draw_counts(60, rng(), 500))
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])


def test_a_sample_without_any_value_is_left_out_of_the_interval():
    sums, sizes = np.array([[0.0], [3.0], [0.0]]), np.array([[0.0], [4.0], [0.0]])
    draws = bootstrap_means(sums, sizes, draw_counts(3, rng(), 2000))
    assert pytest.approx(np.isnan(draws).mean(), abs=0.04) == (2 / 3) ** 2
    assert percentile_intervals(draws)[0] == (0.75, 0.75)


def test_interquartile_means_are_those_of_the_drawn_runs_themselves():
    counts = np.concatenate([draw_counts(7, rng(), 40), draw_counts(5, rng(), 40)], axis=1)
    values = np.round(np.random.default_rng(5).random(12), 1)  # with ties
    expected = [stats.trim_mean(np.repeat(values, row), 0.25) for row in counts]
    np.testing.assert_allclose(expected, iqm_draws(values[:, None], counts.T)[:, 0], rtol=1e-12)


@pytest.mark.parametrize("is_odd", [False, True])
def test_iqm_draws_of_many_runs_equal_scipys_trimmed_mean(is_odd):
    """The ends of the middle half are walked, the rest is a product; a sample of a few runs alone is walked whole."""
    counts = np.concatenate([draw_counts(10, rng(), 60) for _ in range(40)], axis=1, dtype=np.int64)
    values = np.round(np.random.default_rng(6).random((400, 3)), 2)
    if is_odd:
        counts[7] = 0
        counts[7, values[:, 1] > 0.8] = 1
        counts[7, 0] += 360 - counts[7].sum()
    expected = [[stats.trim_mean(np.repeat(column, row), 0.25) for column in values.T] for row in counts]
    np.testing.assert_allclose(expected, iqm_draws(values, counts.T), rtol=1e-12)


def test_interval_of_the_iqm_equals_scipys_within_monte_carlo_error():
    expected = stats.bootstrap(
        (SCORES,),
        lambda values, axis: stats.trim_mean(values, 0.25, axis=axis),
        n_resamples=20_000,
        method="percentile",
        rng=rng(),
    ).confidence_interval
    draws = iqm_draws(SCORES[:, None], draw_counts(60, rng(), drawn=60).T)
    tolerance = 0.05 * (expected.high - expected.low)
    (found,) = percentile_intervals(draws)
    assert (expected.low, expected.high) == pytest.approx(found, abs=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["mean", "iqm"])
def test_nominal_95_percent_hold_at_five_seeds(statistic):
    """Ten tasks of differing spread, five runs each: the interval holds the truth in at least 0.93 of 1000 boards."""
    generator = np.random.default_rng(11)
    tasks, runs, trials = 10, 5, 1000
    means, spread = np.linspace(0.1, 0.9, tasks), np.linspace(0.05, 0.3, tasks)
    sampled = means[:, None] + spread[:, None] * generator.standard_normal((tasks, 40_000))
    # what the estimator gives on average: an interval of a biased one cannot be blamed for its bias
    of_boards = sampled.reshape(tasks, -1, runs).transpose(1, 0, 2).reshape(-1, tasks * runs)
    truth = np.mean(stats.trim_mean(of_boards, 0.25, axis=1)) if statistic == "iqm" else means.mean()
    hits = {"as the board does": 0, "n of n": 0}
    for _ in range(trials):
        values = means[:, None] + spread[:, None] * generator.standard_normal((tasks, runs))
        degrees = freedom(values.var(axis=1, ddof=1)[:, None], [runs] * tasks)[0]
        for name, drawn in (("as the board does", runs - 1), ("n of n", runs)):
            counts = np.concatenate(
                [draw_counts(runs, generator, 1000, drawn) for _ in range(tasks)], axis=1
            ).T
            if statistic == "iqm":
                mean, draws = (
                    stats.trim_mean(values.ravel(), 0.25),
                    iqm_draws(values.reshape(-1, 1), counts)[:, 0],
                )
            else:
                mean, draws = values.mean(), values.ravel() @ counts / (tasks * drawn)
            ends = percentile_intervals(draws[:, None])[0]
            low, high = ends if drawn == runs else widen(ends, mean, degrees)
            hits[name] += low <= truth <= high
    assert hits["as the board does"] / trials >= 0.93
    assert hits["n of n"] < hits["as the board does"] - 0.01 * trials


@pytest.mark.slow
def test_nominal_95_percent_hold_at_five_seeds_of_a_single_task():
    """Five runs of 100 coin flips, whose chance differs from run to run."""
    generator, trials, truth = np.random.default_rng(12), 2000, 0.6
    hits = {"widened": 0, "plain": 0}
    for _ in range(trials):
        chance = np.clip(truth + 0.1 * generator.standard_normal(5), 0, 1)
        scores = generator.binomial(100, chance) / 100
        draws = bootstrap_means(scores[:, None], np.ones((5, 1)), draw_counts(5, generator, 1000))
        plain = percentile_intervals(draws)[0]
        for name, (low, high) in {"widened": widen(plain, scores.mean(), 4), "plain": plain}.items():
            hits[name] += low <= truth <= high
    assert hits["widened"] / trials >= 0.93
    assert hits["plain"] / trials < 0.9  # what the percentiles alone would have given


@pytest.mark.parametrize("degrees", [1, 2, 3, 3.5, 4, 5, 9, 30, 1000])
def test_t_quantile_equals_scipys(degrees):
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), abs=0.02)


def test_freedom_adds_up_over_equal_tasks_and_is_that_of_the_only_one_that_varies():
    assert freedom([[1.0, 1.0], [1.0, 0.0]], [5, 5]).tolist() == [8.0, 4.0]
    assert freedom([[0.0]], [5]).tolist() == [np.inf]


def test_interval_of_few_runs_is_wider_and_stays_where_scores_can_be():
    assert widen(Interval(0.5, 0.7), 0.6, np.inf) == pytest.approx((0.5, 0.7))
    assert widen(Interval(0.5, 0.7), 0.6, 4) == pytest.approx((0.458, 0.742), abs=1e-3)
    assert widen(Interval(0.1, 0.9), 0.6, 1, 0.0, 1.0) == (0.0, 1.0)


def test_same_data_give_the_same_draws_and_other_data_others():
    first, again, other = generator_from(b"a", b"b"), generator_from(b"a", b"b"), generator_from(b"a", b"c")
    assert first.random() == again.random()
    assert first.random() != other.random()


def test_floor_and_ceiling_become_zero_and_one():
    np.testing.assert_allclose([0.0, 0.5, 1.0], normalise([0.2, 0.5, 0.8], 0.2, 0.8))


def test_better_than_the_ceiling_is_clipped_and_worse_than_the_floor_is_not():
    np.testing.assert_allclose([1.0, -0.5], normalise([0.9, 0.0], 0.2, 0.6))


@pytest.mark.parametrize("ceiling", [0.2, 0.1, float("nan")])
def test_a_ceiling_that_is_not_above_the_floor_is_an_error(ceiling):
    with pytest.raises(ValueError, match="not above"):
        normalise(0.5, 0.2, ceiling)


def test_front_equals_hand_count():
    cost, score = [0, 10, 10, 20, 30], [0.1, 0.5, 0.4, 0.5, 0.9]
    assert pareto_front(cost, score).tolist() == [True, True, False, False, True]


def test_equal_points_share_the_front():
    assert pareto_front([1, 1, 2], [0.5, 0.5, 0.5]).tolist() == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_front_equals_brute_force(points):
    def is_beaten(a):
        return any(b != a and b[0] <= a[0] and b[1] >= a[1] for b in points)

    cost, score = zip(*points, strict=True)
    assert [not is_beaten(point) for point in points] == pareto_front(cost, score).tolist()


def test_fronts_of_many_samples_are_those_of_each():
    cost, score = np.array([3, 1, 1, 2]), np.random.default_rng(2).integers(0, 4, (50, 4))
    each = [pareto_front(cost, row).tolist() for row in score]
    assert each == pareto_front(cost, score).tolist()


@pytest.mark.parametrize(
    ("costs", "scores", "area"),
    [
        ([64.0], [1.0], 1.0),  # from the left edge on
        ([2.0**30], [1.0], 0.0),  # only at the right edge
        ([2.0**18], [1.0], 0.5),  # a single point is a step
        ([0.0], [1.0], 1.0),  # no memory at all counts as the left edge
        ([64.0, 2.0**30], [0.0, 1.0], 0.5),  # a straight line
        ([2.0**18, 64.0], [1.0, 1.0], 1.0),  # in any order
    ],
)
def test_area_under_score_over_bytes_equals_hand_count(costs, scores, area):
    assert np.dot(trapezoid_weights(costs, 2.0**6, 2.0**30), scores) == pytest.approx(area)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(6, 30), st.floats(-1, 1)), min_size=1, max_size=8, unique_by=lambda p: p[0])
)
def test_area_equals_numpys_trapezoid(points):
    x, y = map(np.array, zip(*sorted(points), strict=True))
    grid = np.concatenate([x, [30.0]])
    expected = np.trapezoid(np.concatenate([y, y[-1:]]), grid) / 24
    weights = trapezoid_weights(list(2.0**x), 2.0**6, 2.0**30)
    assert np.dot(weights, y) == pytest.approx(expected, abs=1e-9)
