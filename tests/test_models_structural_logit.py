"""The stacked logistic regression: the coefficients scipy finds, monotone in the structural odds, parts that add up."""

import json

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from margincast.models.structural_logit import (
    CENTRE,
    LEAST_SLOPE,
    MOST_DEVIATIONS,
    STRUCTURE_PENALTY,
    WIDTH,
    StructuralLogit,
)
from margincast.riskcore.errors import InputError

COLUMNS = ("season", "move")


def drawn(rows: int, seed: int = 0):
    """Structural log odds of two models and features; the tail is fatter where the first feature is high."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-3, 2, rows)
    structural = np.column_stack((true + rng.normal(0, 0.3, rows), true + rng.normal(0, 0.6, rows)))
    features = rng.normal(0, 1, (rows, 2)) * [2.0, 0.5] + [1.0, -3.0]
    bent = true + 0.3 * (features[:, 0] - 1) / 2 * (1 + (true - CENTRE) / WIDTH)
    return structural, features, (rng.random(rows) < expit(bent)).astype(float)


def test_coefficients_are_the_least_of_the_penalised_loss_as_scipy_finds_it():
    """The design and the loss written out by hand: a ridge on what departs from the first model as it is."""
    structural, features, outcome = drawn(4000)
    model = StructuralLogit(2, penalty=100.0).fit(structural, features, COLUMNS, outcome)
    x = np.clip((features - features.mean(0)) / features.std(0), -MOST_DEVIATIONS, MOST_DEVIATIONS)
    away = (structural[:, :1] - CENTRE) / WIDTH
    design = np.hstack((np.ones((4000, 1)), structural, x, x * away))
    ridge = np.array([1e-6, STRUCTURE_PENALTY, STRUCTURE_PENALTY, 100, 100, 100, 100])

    def loss(theta):
        odds = design @ theta
        return (np.logaddexp(0, odds) - outcome * odds).sum() + (ridge * (theta - np.eye(7)[1]) ** 2).sum() / 2

    found = minimize(loss, np.eye(7)[1], method="BFGS", options={"gtol": 1e-4}).x
    np.testing.assert_allclose(model.coefficients_, found, atol=1e-4)


def test_what_is_known_of_the_tail_is_found():
    structural, features, outcome = drawn(200_000, seed=1)
    model = StructuralLogit(2, penalty=1.0).fit(structural, features, COLUMNS, outcome)
    u, v = np.split(model.coefficients_[3:], 2)
    np.testing.assert_allclose(u, [0.3, 0.0], atol=0.03)
    np.testing.assert_allclose(v, [0.3, 0.0], atol=0.03)


def test_the_forecast_falls_with_every_structural_odds_whatever_the_features():
    structural, features, outcome = drawn(3000, seed=2)
    outcome = np.where(features[:, 0] > 2, 1 - outcome, outcome)  # where this is high the models are wrong
    structural[:, 1] = -structural[:, 1]  # and the second always is
    model = StructuralLogit(2, penalty=1e-3).fit(structural, features, COLUMNS, outcome)
    assert model.coefficients_[2] == 0.0
    wild = np.random.default_rng(3).normal(0, 50, (500, 2))
    low = np.random.default_rng(4).normal(-3, 4, (500, 2))
    higher = low + [[1.0, 0.0]]
    rise = model.scores(higher, wild) - model.scores(low, wild)
    assert rise.min() == pytest.approx(LEAST_SLOPE) and rise.max() > 0.5


def test_parts_add_up_and_a_missing_feature_adds_nothing():
    structural, features, outcome = drawn(3000, seed=5)
    model = StructuralLogit(2).fit(structural, features, COLUMNS, outcome)
    features = features.copy()
    features[::2, 1] = np.nan
    parts = model.contributions(structural, features)
    np.testing.assert_allclose(structural[:, 0] + parts.sum(axis=1), model.scores(structural, features), atol=1e-12)
    assert (parts[::2, 1] == 0).all() and (parts[1::2, 1] != 0).any() and np.isfinite(parts).all()


def test_unknown_rows_have_no_part_and_a_feature_without_values_no_effect():
    structural, features, outcome = drawn(2000, seed=6)
    features = np.column_stack((features, np.full(2000, np.nan)))
    whole = StructuralLogit(2).fit(structural[100:], features[100:], (*COLUMNS, "none"), outcome[100:])
    outcome[:50], structural[50:100, 1] = np.nan, np.nan
    same = StructuralLogit(2).fit(structural, features, (*COLUMNS, "none"), outcome)
    assert (same.coefficients_ == whole.coefficients_).all()
    assert same.coefficients_[[5, 8]].tolist() == [0.0, 0.0]
    assert np.isnan(same.scores(structural[50:60], features[50:60])).all()


def test_stored_and_loaded_it_says_the_same():
    structural, features, outcome = drawn(1000, seed=7)
    model = StructuralLogit(2).fit(structural, features, COLUMNS, outcome)
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in model.state().items()}
    again = StructuralLogit.from_state(json.loads(json.dumps(plain)))
    assert (again.scores(structural, features) == model.scores(structural, features)).all()


def test_bad_input_is_refused():
    structural, features, outcome = drawn(10)
    with pytest.raises(InputError, match="2 models"):
        StructuralLogit(2).fit(structural[:, :1], features, COLUMNS, outcome)
    with pytest.raises(InputError, match="no row whose outcome"):
        StructuralLogit(2).fit(structural, features, COLUMNS, np.full(10, np.nan))
