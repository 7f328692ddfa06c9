"""The regime filter and its fit against statsmodels, a plain twin, and what must never happen."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

from margincast.features.regime.markov import (
    RegimeModel,
    filter_regimes,
    fit_regimes,
    stationary,
    with_evidence,
)
from margincast.riskcore.errors import InputError

SEEDS = st.integers(0, 2**32 - 1)


def drawn_model(seed, states, size):
    rng = np.random.default_rng(seed)
    mean = np.sort(rng.normal(0, 1.5, (states, size)), axis=0)
    factor = rng.normal(0, 0.6, (states, size, size))
    covariance = factor @ factor.swapaxes(1, 2) + 0.2 * np.eye(size)
    transition = rng.dirichlet(np.ones(states), states) * 0.3 + 0.7 * np.eye(states)
    return RegimeModel(mean, covariance, transition, rng.dirichlet(np.ones(states)))


def simulated(seed, model, rows):
    rng = np.random.default_rng(seed)
    state = [int(rng.choice(len(model), p=model.start))]
    for _ in range(rows - 1):
        state.append(int(rng.choice(len(model), p=model.transition[state[-1]])))
    state = np.array(state)
    noise = np.array([rng.multivariate_normal(np.zeros(model.mean.shape[1]), model.covariance[s]) for s in state])
    return model.mean[state] + noise, state


def twin(observations, model):
    """The filter by its formulas, with scipy's densities of the numbers that are there."""
    probability, predicted, total = [], [], 0.0
    for row, x in enumerate(observations):
        before = model.start if row == 0 else probability[-1] @ model.transition
        there = np.flatnonzero(~np.isnan(x))
        density = np.ones(len(model))
        for k in range(len(model)):
            if len(there):
                part = model.covariance[k][np.ix_(there, there)]
                density[k] = multivariate_normal(model.mean[k][there], part).pdf(x[there])
        joint = before * density
        total += np.log(joint.sum())
        probability.append(joint / joint.sum())
        predicted.append(before)
    return np.array(probability), np.array(predicted), total


@given(SEEDS, st.sampled_from([2, 3]), st.integers(1, 3), st.sampled_from([0.0, 0.3]))
@settings(max_examples=25)
def test_the_filter_is_its_plain_twin_whatever_numbers_are_missing(seed, states, size, gaps):
    model = drawn_model(seed, states, size)
    observations, _ = simulated(seed, model, 40)
    observations[np.random.default_rng(seed).random(observations.shape) < gaps] = np.nan
    found = filter_regimes(observations, model)
    probability, predicted, total = twin(observations, model)
    np.testing.assert_allclose(found.probability, probability, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.predicted, predicted, rtol=0, atol=1e-10)
    assert found.log_likelihood == pytest.approx(total, rel=1e-9, abs=1e-9)


def series_of(states, rows=700):
    means, transition = [[-5.5], [-5.0], [-4.2]][:states], np.full((states, states), 0.05 / (states - 1))
    np.fill_diagonal(transition, 0.95)
    spread = np.array([0.2, 0.25, 0.4])[:states, None, None] ** 2
    model = RegimeModel(means, spread, transition, np.full(states, 1 / states))
    return simulated(states, model, rows)[0][:, 0], model


def statsmodels_parameters(model, tied):
    """In statsmodels' order: probabilities column by column without the last, means, variances."""
    states = len(model)
    moves = [model.transition[i, j] for j in range(states - 1) for i in range(states)]
    variances = model.covariance[:, 0, 0]
    return np.concatenate((moves, model.mean[:, 0], variances[:1] if tied else variances))


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_filtered_probabilities_and_likelihood_are_those_of_statsmodels(states, tied):
    series, model = series_of(states)
    if tied:
        model = replace(model, covariance=np.full((states, 1, 1), 0.08))
    model = replace(model, start=stationary(model.transition))
    rival = MarkovRegression(series, k_regimes=states, trend="c", switching_variance=not tied)
    expected = rival.filter(statsmodels_parameters(model, tied))
    found = filter_regimes(series[:, None], model)
    np.testing.assert_allclose(found.probability, expected.filtered_marginal_probabilities, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found.predicted[1:], expected.predicted_marginal_probabilities[1:], rtol=0, atol=1e-8)
    assert found.log_likelihood == pytest.approx(expected.llf, abs=1e-8)


@pytest.mark.parametrize("states", [2, 3])
@pytest.mark.parametrize("tied", [True, False])
def test_the_fit_is_not_less_likely_than_that_of_statsmodels_started_at_the_truth(states, tied):
    series, truth = series_of(states)
    rival = MarkovRegression(series, k_regimes=states, trend="c", switching_variance=not tied)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = rival.fit(start_params=statsmodels_parameters(truth, tied), em_iter=0, disp=0, maxiter=300)
    fit = fit_regimes(series, states, tied=tied)
    same = filter_regimes(series[:, None], replace(fit.model, start=stationary(fit.model.transition)))
    assert fit.converged
    assert same.log_likelihood > best.llf - 0.05  # ours is likeliest with a start of its own, theirs with this one
    assert fit.log_likelihood > best.llf
    np.testing.assert_allclose(
        fit.model.mean[:, 0], np.sort(best.params[-states - (1 if tied else states) :][:states]), atol=0.05
    )


@given(SEEDS, st.sampled_from([2, 3]), st.booleans())
@settings(max_examples=15)
def test_a_round_of_em_never_lowers_the_likelihood(seed, states, tied):
    observations, _ = simulated(seed, drawn_model(seed, states, 1), 150)
    observations[::17] = np.nan
    path = np.array(fit_regimes(observations[:, 0], states, tied=tied, before=drawn_model(seed + 1, states, 1)).path)
    assert (np.diff(path) > -1e-9 * np.abs(path[:-1])).all()


def test_the_future_changes_nothing_and_the_filter_is_no_smoother():
    model = drawn_model(5, 3, 2)
    observations, _ = simulated(5, model, 80)
    whole = filter_regimes(observations, model).probability
    for cut in (1, 20, 79):
        np.testing.assert_array_equal(filter_regimes(observations[:cut], model).probability, whole[:cut])
    other = np.vstack((observations[:40], observations[40:] + 3.0))
    np.testing.assert_array_equal(filter_regimes(other, model).probability[:40], whole[:40])
    rival = MarkovRegression(observations[:, 0], k_regimes=2, trend="c", switching_variance=True)
    one = RegimeModel(model.mean[:2, :1], model.covariance[:2, :1, :1], [[0.9, 0.1], [0.1, 0.9]], [0.5, 0.5])
    smoothed = rival.smooth(statsmodels_parameters(one, False)).smoothed_marginal_probabilities
    found = filter_regimes(observations[:, :1], one).probability
    assert np.abs(found[:-1] - smoothed[:-1]).max() > 0.01 and found[-1] == pytest.approx(smoothed[-1], abs=1e-8)


@given(SEEDS, st.floats(0.01, 5.0))
@settings(max_examples=25)
def test_with_a_tied_variance_more_volatility_never_speaks_for_calm(seed, more):
    series, _ = series_of(3, 300)
    model = fit_regimes(series, 3).model
    rng = np.random.default_rng(seed)
    past, last = rng.choice(series, 20), rng.choice(series)
    low, high = (filter_regimes(np.append(past, x)[:, None], model).probability[-1] for x in (last, last + more))
    assert high[0] <= low[0] and high[2] >= low[2]


def test_labels_keep_their_meaning_over_refits():
    series, _ = series_of(3, 3000)
    before, labels = None, {}
    for last in range(900, 3001, 100):
        fit = fit_regimes(series[last - 900 : last], 3, before=before, prior_weight=2.0, rounds=60, tolerance=1e-6)
        before = fit.model
        assert (np.diff(before.mean[:, 0]) > 0.2).all()
        cold = fit_regimes(series[last - 900 : last], 3, prior_weight=2.0)
        assert fit.log_likelihood > cold.log_likelihood - 3.0
        labels[last] = np.argmax(filter_regimes(series[last - 900 : last, None], before).probability, axis=1)
        if last > 900:
            same = labels[last][:-100] == labels[last - 100][100:]
            assert same[50:].mean() > 0.97  # the first rows still feel where each filter started


def test_a_fit_from_a_model_with_its_states_swapped_comes_back_in_order():
    series, _ = series_of(3)
    fit = fit_regimes(series, 3).model
    swapped = RegimeModel(fit.mean[::-1], fit.covariance[::-1], fit.transition[::-1, ::-1], fit.start[::-1])
    again = fit_regimes(series, 3, before=swapped).model
    np.testing.assert_allclose(again.mean, fit.mean, atol=1e-3)
    np.testing.assert_allclose(again.transition, fit.transition, atol=1e-3)
    np.testing.assert_allclose(swapped.ordered().transition, fit.transition, rtol=0)


def test_the_same_series_gives_the_same_bits():
    series, _ = series_of(3)
    one, two = (fit_regimes(series, 3).model for _ in range(2))
    for name in ("mean", "covariance", "transition", "start"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_evidence_is_what_other_numbers_are_in_each_state():
    means = np.array([[-5.3, 0.0], [-4.5, 0.4]])
    spread = np.tile(np.array([[0.1, 0.01], [0.01, 0.09]]), (2, 1, 1))
    truth = RegimeModel(means, spread, [[0.97, 0.03], [0.06, 0.94]], [0.5, 0.5])
    observations, state = simulated(1, truth, 4000)
    observations[::9, 1] = np.nan
    base = fit_regimes(observations[:, 0], 2).model
    found = with_evidence(base, observations)
    np.testing.assert_allclose(found.mean, means, atol=0.03)
    np.testing.assert_allclose(found.covariance, spread, atol=0.01)
    np.testing.assert_array_equal(found.mean[:, 0], base.mean[:, 0])
    np.testing.assert_array_equal(found.covariance[:, 0, 0], base.covariance[:, 0, 0])
    right = []
    for numbers, model in ((observations[:, :1], base), (observations, found)):
        right.append(np.mean(np.argmax(filter_regimes(numbers, model).probability, axis=1) == state))
    assert right[1] > right[0] > 0.9


def test_a_number_that_is_hardly_ever_there_says_nothing():
    series, _ = series_of(2, 200)
    base = fit_regimes(series, 2).model
    rare = np.where(np.arange(200) % 3 == 0, 1.0, np.nan)
    never = np.full(200, np.nan)
    observations = np.column_stack((series, rare, never))
    found = filter_regimes(observations, with_evidence(base, observations)).probability
    np.testing.assert_allclose(found, filter_regimes(series[:, None], base).probability, rtol=0, atol=1e-12)


def test_what_cannot_be_fitted_or_filtered_is_refused():
    series, _ = series_of(2, 100)
    model = fit_regimes(series, 2).model
    for call, word in (
        (lambda: fit_regimes(series, 4), "2 or 3"),
        (lambda: fit_regimes(series[:19], 2), "needs 20 observations"),
        (lambda: fit_regimes(series, 3, before=model), "has 2 states"),
        (lambda: fit_regimes(np.ones(50), 2), "that vary"),
        (lambda: fit_regimes(np.where(series == series[7], np.inf, series), 2), r"row 7, column observations\[0\]"),
        (lambda: filter_regimes(series[:, None].repeat(2, axis=1), model), "expected rows of 1"),
        (lambda: filter_regimes(series[:, None], replace(model, covariance=-model.covariance)), "positive definite"),
        (lambda: replace(model, transition=[[0.5, 0.4], [0.5, 0.5]]), "add up to one"),
        (lambda: replace(model, start=[1.0]), "start"),
    ):
        with pytest.raises(InputError, match=word):
            call()
