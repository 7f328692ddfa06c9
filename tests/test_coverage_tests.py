"""Coverage tests against closed forms, published tables and what they must do by definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from margincast.riskcore.errors import InputError
from margincast.training.coverage_tests import basel_zone, christoffersen, diebold_mariano, kupiec, pinball


@given(n=st.integers(1, 3000), share=st.floats(0, 1), tail=st.floats(0.001, 0.5))
def test_kupiec_is_the_binomial_likelihood_ratio(n: int, share: float, tail: float) -> None:
    violations = round(share * n)
    expected = 2 * (stats.binom.logpmf(violations, n, violations / n) - stats.binom.logpmf(violations, n, tail))
    found = kupiec(violations, n, tail)
    assert found.statistic == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert found.p_value == pytest.approx(stats.chi2.sf(max(expected, 0.0), 1), rel=1e-4, abs=1e-6)


# Kupiec (1995), table of non-rejection regions at 5%: (days, tail, first and last number that is not rejected).
REGIONS = [
    (255, 0.01, 0, 6),
    (510, 0.01, 2, 10),
    (1000, 0.01, 5, 16),
    (255, 0.025, 3, 11),
    (510, 0.025, 7, 20),
    (1000, 0.025, 16, 35),
    (255, 0.05, 7, 20),
    (510, 0.05, 17, 35),
    (1000, 0.05, 38, 64),
]


@pytest.mark.parametrize(("n", "tail", "first", "last"), REGIONS)
def test_kupiec_gives_his_published_regions(n: int, tail: float, first: int, last: int) -> None:
    kept = [x for x in range(n + 1) if kupiec(x, n, tail).p_value > 0.05]
    if first == 0:  # the table names the upper bound only
        assert kept[-1] == last
    else:
        assert (kept[0], kept[-1]) == (first, last)


def markov_chain(n: int, after_calm: float, after_hit: float, seed: int) -> np.ndarray:
    draws, hits = np.random.default_rng(seed).random(n), np.zeros(n, dtype=bool)
    for t in range(1, n):
        hits[t] = draws[t] < (after_hit if hits[t - 1] else after_calm)
    return hits


def test_christoffersen_is_the_likelihood_ratio_of_a_markov_chain() -> None:
    hits = markov_chain(800, 0.03, 0.4, seed=5)
    pairs = np.array([[((hits[:-1] == a) & (hits[1:] == b)).sum() for b in (0, 1)] for a in (0, 1)])
    stay, hit = pairs.sum(axis=0) / pairs.sum()
    rows = pairs / pairs.sum(axis=1, keepdims=True)
    expected = 2 * ((pairs * np.log(rows)).sum() - (pairs * np.log([stay, hit])).sum())
    found = christoffersen(hits, 0.05)
    assert found.independence.statistic == pytest.approx(expected)
    assert found.independence.p_value == pytest.approx(stats.chi2.sf(expected, 1))
    joint = expected + kupiec(int(hits.sum()), 800, 0.05).statistic
    assert found.conditional.p_value == pytest.approx(stats.chi2.sf(joint, 2))


def test_christoffersen_rejects_clusters_and_rarely_independent_hits() -> None:
    independent = [christoffersen(markov_chain(2000, 0.05, 0.05, s), 0.05).independence.p_value for s in range(60)]
    clustered = [christoffersen(markov_chain(2000, 0.04, 0.25, s), 0.05).independence.p_value for s in range(60)]
    assert np.mean(np.array(independent) < 0.05) < 0.15
    assert np.mean(np.array(clustered) < 0.05) > 0.95


def test_christoffersen_of_no_violation_cannot_see_clusters() -> None:
    assert christoffersen(np.zeros(300, bool), 0.01).independence.p_value == 1.0


# Basel Committee (1996), table 2: zones by number of exceptions in 250 days at 99%.
@pytest.mark.parametrize(
    ("violations", "zone"),
    [*((x, "green") for x in range(5)), *((x, "yellow") for x in range(5, 10)), (10, "red"), (25, "red")],
)
def test_basel_zones_are_those_of_the_committee(violations: int, zone: str) -> None:
    assert basel_zone(violations, 250, 0.01) == zone


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=40), st.sampled_from([0.8, 0.9, 0.99]))
def test_pinball_is_least_at_the_quantile(values: list[float], level: float) -> None:
    losses = np.array(values)
    scores = {q: float(pinball(losses, np.full(len(losses), q), level).mean()) for q in losses}
    quantile = float(np.quantile(losses, level, method="inverted_cdf"))
    assert scores[quantile] == pytest.approx(min(scores.values()), abs=1e-9)


def test_diebold_mariano_without_lags_is_a_one_sample_test() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(0.1, 1, 500), rng.normal(0, 1, 500)
    student = stats.ttest_1samp(first - second, 0.0)
    found = diebold_mariano(first, second, lags=0)
    assert found.statistic == pytest.approx(student.statistic * np.sqrt(500 / 499))
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(found.statistic)))


def test_diebold_mariano_changes_sign_with_the_order_and_knows_autocorrelation() -> None:
    gap = np.repeat(np.random.default_rng(4).normal(0.2, 1, 60), 10)
    zero = np.zeros(600)
    found, turned = diebold_mariano(gap, zero, lags=20), diebold_mariano(zero, gap, lags=20)
    assert found.statistic == pytest.approx(-turned.statistic)
    assert abs(found.statistic) < 0.6 * abs(diebold_mariano(gap, zero, lags=0).statistic)


def test_equal_scores_are_no_evidence() -> None:
    assert diebold_mariano(np.ones(10), np.ones(10)).p_value == 1.0


@pytest.mark.parametrize(
    ("violations", "n", "tail"), [(1, 0, 0.01), (5, 4, 0.01), (-1, 4, 0.01), (1, 4, 0.0), (1, 4, 1.0)]
)
def test_impossible_counts_are_refused(violations: int, n: int, tail: float) -> None:
    for test in (kupiec, basel_zone):
        with pytest.raises(InputError):
            test(violations, n, tail)


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        diebold_mariano(np.array([1.0, np.nan]), np.zeros(2))
