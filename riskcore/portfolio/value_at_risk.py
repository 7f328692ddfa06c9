"""Value at risk and expected shortfall of weighted scenarios, and what each leg adds to the shortfall."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import FloatArray, frozen, require
from ..errors import InputError

TOLERANCE = 1e-12
"""Probability that is taken for rounding where cumulative weights meet the confidence level."""


class Tails(NamedTuple):
    """Tails of many pools: value at risk, expected shortfall, and the weight of each scenario in it.

    Shapes (n_pools,), (n_pools,) and (n_pools, n_scenarios).
    """

    level: FloatArray
    shortfall: FloatArray
    weights: FloatArray


def pool_tails(profit: FloatArray, confidence: float, probability: FloatArray | None = None) -> Tails:
    """`value_at_risk`, `expected_shortfall` and `tail_weights` of each row of profits, the same bits as one by one.

    Parameters
    ----------
    profit
        Shape (n_pools, n_scenarios); finite.
    confidence, probability
        As in `value_at_risk`.

    Examples
    --------
    >>> found = pool_tails(np.array([[-1.0, -3.0], [2.0, -2.0]]), 0.5)
    >>> found.level.tolist(), found.shortfall.tolist()
    ([1.0, -2.0], [3.0, 2.0])
    """
    require_confidence(confidence)
    loss, scenarios = -np.asarray(profit, dtype=np.float64), np.shape(profit)[1]
    weight = equal_probability(scenarios) if probability is None else require_probability(probability, scenarios)
    level = _levels(loss, weight, confidence)
    worse = np.where(loss > level[:, None], weight, 0.0)
    at = np.where(loss == level[:, None], weight, 0.0)
    heavier = np.sum(worse, axis=1)
    left = np.maximum(1.0 - confidence - heavier, 0.0)
    weights = (worse + at * (left / np.sum(at, axis=1))[:, None]) / (heavier + left)[:, None]
    return Tails(level, np.sum(weights * loss, axis=1), weights)


def value_at_risk(profit: FloatArray, confidence: float, probability: FloatArray | None = None) -> float:
    """The smallest loss x with P(loss <= x) >= confidence: the lower quantile, with no interpolation.

    Parameters
    ----------
    profit
        Profit in each scenario, shape (n_scenarios,); finite.
    confidence
        In (0, 1), such as 0.99.
    probability
        Weight of each scenario, adding to one; None weighs all alike.

    Returns
    -------
    float
        Loss, positive; negative if even that scenario gains.

    Raises
    ------
    InputError
        No scenarios, a profit that is not finite, weights below zero or not adding to one, confidence out of range.

    Notes
    -----
    Hyndman and Fan (1996), definition 1; numpy's method "inverted_cdf".

    Examples
    --------
    >>> profit = np.array([50.0, 0.0, -20.0, -100.0])
    >>> value_at_risk(profit, 0.75), value_at_risk(profit, 0.76)
    (20.0, 100.0)
    """
    return float(pool_tails(_one_row(profit), confidence, probability).level[0])


def tail_weights(profit: FloatArray, confidence: float, probability: FloatArray | None = None) -> FloatArray:
    """Weight of each scenario in expected shortfall; adds to one.

    Scenarios worse than the value at risk count by their probability; those at it share what is left of the tail by
    theirs, so neither the order of scenarios nor ties among them matter.

    Examples
    --------
    A tail of 30% over quarters: the worst fully, the next with 5 of 30 parts.

    >>> tail_weights(np.array([50.0, 0.0, -20.0, -100.0]), 0.7).round(4).tolist()
    [0.0, 0.0, 0.1667, 0.8333]
    """
    return np.asarray(pool_tails(_one_row(profit), confidence, probability).weights[0], dtype=np.float64)


def expected_shortfall(profit: FloatArray, confidence: float, probability: FloatArray | None = None) -> float:
    """Mean loss over the worst 1 - confidence of probability, the last scenario counted in part.

    Coherent (Acerbi and Tasche 2002); never below the value at risk. Parameters and errors as in `value_at_risk`.

    Examples
    --------
    Worth 0, 80, 100 or 150 with 10%, 30%, 40% and 20%, bought at 100 (example of Wikipedia's article):

    >>> profit, probability = np.array([-100.0, -20.0, 0.0, 50.0]), np.array([0.1, 0.3, 0.4, 0.2])
    >>> [round(expected_shortfall(profit, 1 - tail, probability), 1) for tail in (0.05, 0.2, 0.3, 0.9)]
    [100.0, 60.0, 46.7, 12.2]
    """
    return float(pool_tails(_one_row(profit), confidence, probability).shortfall[0])


def shortfall_by_leg(leg_profit: FloatArray, confidence: float, probability: FloatArray | None = None) -> FloatArray:
    """Euler contribution of each leg to the expected shortfall of their sum: its mean loss in the tail of the sum.

    Parameters
    ----------
    leg_profit
        Shape (n_scenarios, n_legs).

    Returns
    -------
    FloatArray
        Shape (n_legs,); adds to the expected shortfall (to rounding). Negative: the leg hedges. Where scenarios tie at
        the value at risk they share the rest of the tail, so the split is theirs together.

    Examples
    --------
    >>> shortfall_by_leg(np.array([[-30.0, 10.0], [5.0, 5.0]]), 0.5).tolist()
    [30.0, -10.0]
    """
    legs = np.asarray(leg_profit, dtype=np.float64)
    weights = tail_weights(np.sum(legs, axis=1), confidence, probability)
    return np.asarray(np.sum(weights[:, None] * -legs, axis=0), dtype=np.float64)


def equal_probability(scenarios: int) -> FloatArray:
    """One over the number of scenarios, for each."""
    if scenarios < 1:
        raise InputError("needs at least one scenario", column="profit", value=scenarios)
    return np.full(scenarios, 1.0 / scenarios)


def require_confidence(confidence: float) -> None:
    """Refuse a level outside (0, 1)."""
    if not 0 < confidence < 1:
        raise InputError("must be in (0, 1)", column="confidence", value=confidence)


def require_probability(probability: FloatArray, scenarios: int) -> FloatArray:
    """Weights of the scenarios, checked: one each, none below zero, adding to one."""
    weight = frozen(probability, np.float64)
    if weight.shape != (scenarios,):
        raise InputError(f"needs one weight for each of {scenarios} scenarios", column="probability")
    require((weight >= 0) & np.isfinite(weight), weight, "must not be below zero", "probability")
    if abs(float(np.sum(weight)) - 1) > 1e-9:
        raise InputError("must add to one", column="probability", value=float(np.sum(weight)))
    return weight


def _one_row(profit: FloatArray) -> FloatArray:
    values = np.asarray(profit, dtype=np.float64)
    if values.ndim != 1:
        raise InputError("must be one profit a scenario", column="profit", value=values.shape)
    require(np.isfinite(values), values, "must be a finite number", "profit")
    return values[None]


def _levels(loss: FloatArray, weight: FloatArray, confidence: float) -> FloatArray:
    order = np.argsort(loss, axis=1)
    reached = np.cumsum(weight[order], axis=1) >= confidence - TOLERANCE
    reached[:, -1] = True
    place = np.take_along_axis(order, np.argmax(reached, axis=1)[:, None], axis=1)
    return np.asarray(np.take_along_axis(loss, place, axis=1)[:, 0], dtype=np.float64)
