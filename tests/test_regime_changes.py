"""Change-points: run lengths and cumulative sums against plain twins and series whose breaks are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import gammaln, logsumexp

from margincast.features.regime.cusum import cusum
from margincast.features.regime.run_lengths import NormalGamma, run_lengths
from margincast.riskcore.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)
PRIOR = NormalGamma(0.5, 0.7, 1.5, 0.9)


def evidence(segment, prior):
    """Log density of a whole segment, in closed form: K. Murphy, Conjugate Bayesian analysis (2007), equation 95."""
    n = len(segment)
    if n == 0:
        return 0.0
    mean, kappa, alpha = np.mean(segment), prior.kappa + n, prior.alpha + n / 2
    beta = prior.beta + 0.5 * np.sum((segment - mean) ** 2)
    beta += 0.5 * prior.kappa * n * (mean - prior.mean) ** 2 / kappa
    gammas = gammaln(alpha) - gammaln(prior.alpha) + prior.alpha * np.log(prior.beta) - alpha * np.log(beta)
    return gammas + 0.5 * np.log(prior.kappa / kappa) - n / 2 * np.log(2 * np.pi)


def by_all_partitions(series, hazard, prior):
    """Run lengths after the whole series from the sum over every way to cut it: no recursion over observations.

    reach[t] is the log probability of the first t observations and of a change after the last of them.
    """
    n = len(series)
    reach = np.full(n + 1, -np.inf)
    reach[0] = 0.0
    stay, leave = np.log1p(-hazard), np.log(hazard)
    for t in range(1, n + 1):
        runs = [reach[s] + evidence(series[s:t], prior) + (t - s - 1) * stay + leave for s in range(t)]
        reach[t] = logsumexp(runs)
    logs = [reach[n]] + [reach[n - r] + evidence(series[n - r :], prior) + r * stay for r in range(1, n + 1)]
    return np.exp(np.array(logs) - logsumexp(logs))


@given(SEEDS, st.integers(1, 25), st.floats(0.01, 0.6))
@settings(max_examples=25)
def test_run_lengths_are_the_sum_over_all_partitions(seed, n, hazard):
    rng = np.random.default_rng(seed)
    series = rng.normal(rng.normal(0, 3, 1 + n // 8).repeat(8)[:n], 0.8)
    found = run_lengths(series, hazard, PRIOR, n)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)
    for rows in {1, (n + 1) // 2, n}:
        expected = by_all_partitions(series[:rows], hazard, PRIOR)
        np.testing.assert_allclose(found[rows - 1, : rows + 1], expected, rtol=1e-8, atol=1e-12)


def test_one_step_is_students_law():
    """Two observations: the odds of one run against two, from scipy's t."""
    x, y, hazard = 1.3, 2.1, 0.2

    def law(mean, kappa, alpha, beta):
        return stats.t(2 * alpha, mean, np.sqrt(beta * (kappa + 1) / (alpha * kappa)))

    beta = PRIOR.beta + 0.5 * PRIOR.kappa * (x - PRIOR.mean) ** 2 / (PRIOR.kappa + 1)
    mean = (PRIOR.kappa * PRIOR.mean + x) / (PRIOR.kappa + 1)
    together = (1 - hazard) * law(mean, PRIOR.kappa + 1, PRIOR.alpha + 0.5, beta).pdf(y)
    apart = hazard * law(PRIOR.mean, PRIOR.kappa, PRIOR.alpha, PRIOR.beta).pdf(y)
    found = run_lengths(np.array([x, y]), hazard, PRIOR, 5)[1]
    assert found[2] / found[1] == pytest.approx(together / apart, rel=1e-12)


def with_breaks(seed=4):
    rng = np.random.default_rng(seed)
    levels, lengths = [0.0, 1.5, -0.5, 0.8], [200, 150, 120, 130]
    return np.repeat(levels, lengths) + rng.normal(0, 0.4, 600), np.cumsum(lengths)[:-1]


@pytest.mark.parametrize("longest", [600, 60])
def test_known_breaks_are_found_within_a_few_observations_and_dated(longest):
    series, breaks = with_breaks()
    found = run_lengths(series, 1 / 200, NormalGamma(0.0, 0.2, 30.0, 30 * 0.16), longest)
    recent = found[:, :11].sum(axis=1)
    for first in breaks:
        delay = np.flatnonzero(recent[first:] > 0.5)[0]
        assert delay <= 3
        assert abs(np.argmax(found[first + 20]) - 21) <= 1  # the run is dated from its first observation
        assert recent[first - 1] < 0.1
    quiet = np.ones(600, bool)
    quiet[:11] = False
    for first in breaks:
        quiet[first : first + 15] = False
    assert (recent[quiet] > 0.5).mean() < 0.01


def test_the_cut_of_run_lengths_changes_little_and_keeps_what_a_long_run_has_seen():
    series, _ = with_breaks()
    whole = run_lengths(series, 1 / 200, PRIOR, 600)
    cut = run_lengths(series, 1 / 200, PRIOR, 80)
    np.testing.assert_allclose(cut[:, :80], whole[:, :80], atol=0.02)
    np.testing.assert_allclose(cut[:80], whole[:80, :81], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(cut[:, 80], whole[:, 80:].sum(axis=1), atol=0.02)


def test_the_future_changes_nothing_and_a_gap_neither():
    series, _ = with_breaks()
    whole = run_lengths(series, 0.01, PRIOR, 50)
    other = np.append(series[:300], series[300:] + 9.0)
    np.testing.assert_array_equal(run_lengths(other, 0.01, PRIOR, 50)[:300], whole[:300])
    gap = np.insert(series, 100, np.nan)
    found = run_lengths(gap, 0.01, PRIOR, 50)
    np.testing.assert_array_equal(found[100], whole[99])
    np.testing.assert_array_equal(np.delete(found, 100, axis=0), whole)


@given(SEEDS, st.floats(0.0, 1.0), st.floats(1.0, 8.0))
@settings(max_examples=30)
def test_cusum_is_the_largest_run_of_sums_since_the_last_alarm(seed, slack, threshold):
    """Page's other form: the sum less its least value so far, which needs no recursion."""
    scores = np.random.default_rng(seed).normal(0.2, 1.0, 80)
    scores[40] = np.nan
    found = cusum(scores, slack, threshold)
    for sums, alarms, signed in ((found.up, found.rose, scores), (found.down, found.fell, -scores)):
        last = 0
        for row in range(len(scores)):
            if row and alarms[row - 1] and not np.isnan(scores[row]):
                last = row
            path = np.append(0.0, np.cumsum(np.nan_to_num(signed[last : row + 1] - slack)))
            assert sums[row] == pytest.approx(path[-1] - path.min(), abs=1e-9)
        np.testing.assert_array_equal(alarms, sums > threshold)


def test_average_run_lengths_of_cusum_are_those_of_the_tables():
    """Two-sided, slack 1/2: 168 at threshold 4 in control; 8.38 after a shift of one deviation (Montgomery)."""
    rng = np.random.default_rng(0)

    def average(shift, rows):
        lengths = []
        found = cusum(rng.normal(shift, 1.0, rows), 0.5, 4.0)
        first = found.rose if shift else found.rose | found.fell
        places = np.flatnonzero(first)
        lengths = np.diff(np.append(-1, places))
        return lengths.mean()

    assert average(1.0, 60_000) == pytest.approx(8.38, rel=0.03)
    quiet = []
    for _ in range(300):
        found = cusum(rng.normal(0, 1, 2000), 0.5, 4.0)
        quiet.append(np.flatnonzero(found.rose | found.fell)[0] + 1)
    assert np.mean(quiet) == pytest.approx(168, rel=0.15)


def test_what_cannot_be_is_refused():
    for call, word in (
        (lambda: run_lengths(np.ones(3), 1.0, PRIOR, 5), "hazard"),
        (lambda: run_lengths(np.ones(3), 0.1, PRIOR, 0), "longest"),
        (lambda: NormalGamma(0.0, 0.0, 1.0, 1.0), "kappa"),
        (lambda: NormalGamma(0.0, 1.0, 1.0, np.inf), "beta"),
        (lambda: cusum(np.ones(3), -0.1), "slack"),
        (lambda: cusum(np.ones(3), 0.5, 0.0), "threshold"),
    ):
        with pytest.raises(InputError, match=word):
            call()
