"""The leaderboard's statistics against hand counts, brute force and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from memgym.leaderboard.statistics import (
    bootstrap_means,
    generator_from,
    iqm,
    normalise,
    pareto_front,
    percentile_intervals,
)

SCORES = np.random.default_rng(0).beta(0.8, 0.5, size=60)
SIZES = np.random.default_rng(1).integers(1, 9, size=60).astype(float)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def interval(sums, sizes, resamples=10_000, level=0.95):
    draws = bootstrap_means(np.asarray(sums)[:, None], np.asarray(sizes)[:, None], rng(), resamples)
    return percentile_intervals(draws, level)[0]


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


def test_draws_are_exactly_the_means_of_resampled_clusters():
    drawn = rng().integers(60, size=(50, 60))
    expected = (SCORES * SIZES)[drawn].sum(axis=1) / SIZES[drawn].sum(axis=1)
    found = bootstrap_means((SCORES * SIZES)[:, None], SIZES[:, None], rng(), 50)
    np.testing.assert_allclose(expected, found[:, 0], rtol=1e-12)


def test_equal_columns_get_equal_draws():
    sums = np.stack([SCORES, SCORES], axis=1)
    draws = bootstrap_means(sums, np.ones_like(sums), rng(), 500)
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])


def test_chunks_leave_no_draw_out(monkeypatch):
    monkeypatch.setattr("memgym.leaderboard.statistics.CHUNK_CELLS", 60 * 7)
    draws = bootstrap_means(SCORES[:, None], np.ones((60, 1)), rng(), 1000)
    assert draws.shape == (1000, 1)
    assert len(np.unique(draws)) > 950
    assert SCORES.mean() == pytest.approx(draws.mean(), abs=0.01)


def test_a_sample_without_any_value_is_left_out_of_the_interval():
    sums, sizes = np.array([[0.0], [3.0], [0.0]]), np.array([[0.0], [4.0], [0.0]])
    draws = bootstrap_means(sums, sizes, rng(), 2000)
    assert pytest.approx(np.isnan(draws).mean(), abs=0.04) == (2 / 3) ** 3
    assert percentile_intervals(draws)[0] == (0.75, 0.75)


def test_interval_holds_the_true_mean_about_as_often_as_it_says():
    truth, hits, trials = 0.7, 0, 300
    generator = np.random.default_rng(3)
    for _ in range(trials):
        scores = (generator.random((50, 1)) < truth).astype(float)
        low, high = percentile_intervals(bootstrap_means(scores, np.ones((50, 1)), generator, 1000))[0]
        hits += low <= truth <= high
    # nominal 0.95; 50 coin flips give 0.93 to 0.95 by enumeration, plus 3 standard errors of this simulation
    assert 0.89 < hits / trials < 0.99


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
