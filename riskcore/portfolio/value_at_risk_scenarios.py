"""Joint scenarios from price history: returns over the margin period, raw or filtered by volatility."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, frozen, require
from ..errors import InputError
from .value_at_risk import equal_probability, require_probability


@dataclass(frozen=True)
class ScenarioSet:
    """What one unit of each instrument gains in each joint scenario.

    Parameters
    ----------
    unit_profit
        Profit of +1 contract of each instrument, shape (n_scenarios, n_instruments). Options: repriced by the caller.
    probability
        Weight of each scenario, adding to one; shape (n_scenarios,).

    Raises
    ------
    InputError
        No scenario, a profit that is not finite (row, instrument and value are named), wrong weights.

    Examples
    --------
    >>> ScenarioSet.equally_likely([[1.0, -2.0], [0.0, np.nan]])
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 1, column unit_profit[1]: must be a finite number (found nan)
    """

    unit_profit: FloatArray
    probability: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit_profit", _table(self.unit_profit, "unit_profit"))
        object.__setattr__(self, "probability", require_probability(self.probability, len(self)))

    @classmethod
    def equally_likely(cls, unit_profit: FloatArray) -> ScenarioSet:
        """Every scenario with the same weight."""
        return cls(unit_profit, equal_probability(len(unit_profit)))

    def __len__(self) -> int:
        return len(self.unit_profit)

    def with_stress(self, stressed: ScenarioSet, weight: float = 0.25) -> ScenarioSet:
        """Scenarios of this set and of a stressed period, the latter with `weight` of the probability.

        Commission Delegated Regulation (EU) 153/2013, article 28(1)(b): at least 25% weight on stressed observations.

        Examples
        --------
        >>> calm, stress = ScenarioSet.equally_likely([[1.0], [-1.0]]), ScenarioSet.equally_likely([[-9.0]])
        >>> calm.with_stress(stress).probability.tolist()
        [0.375, 0.375, 0.25]
        """
        if not 0 <= weight <= 1:
            raise InputError("must be in [0, 1]", column="stressed_weight", value=weight)
        if stressed.unit_profit.shape[1] != self.unit_profit.shape[1]:
            raise InputError("stressed scenarios are of other instruments", value=stressed.unit_profit.shape[1])
        together = np.concatenate((self.unit_profit, stressed.unit_profit))
        return ScenarioSet(together, np.concatenate((self.probability * (1 - weight), stressed.probability * weight)))


def overlapping_returns(prices: FloatArray, steps: int) -> FloatArray:
    """Simple returns over every window of `steps` rows, windows overlapping.

    Parameters
    ----------
    prices
        Joint rows of prices in time order, shape (T, n_instruments); finite and above zero.
    steps
        Rows of the margin period of risk.

    Returns
    -------
    FloatArray
        Shape (T - steps, n_instruments).

    Raises
    ------
    InputError
        A price that is not above zero (row, instrument and value are named), fewer rows than a window needs.

    Examples
    --------
    >>> overlapping_returns(np.array([[100.0], [110.0], [121.0], [108.9]]), 2).round(6).tolist()
    [[0.21], [-0.01]]
    """
    values = _prices(prices, steps)
    return np.asarray(values[steps:] / values[:-steps] - 1.0, dtype=np.float64)


def root_time_returns(returns: FloatArray, steps: float) -> FloatArray:
    """Returns of one step scaled to `steps` of them by the square root of time.

    Right for independent steps of constant volatility only: it misses the trends and clustering that
    `overlapping_returns` keep. For a margin period too long for the history there is, or not a whole number of rows
    (`ClosingCost.margin_days`).

    Examples
    --------
    >>> root_time_returns(np.array([[0.01], [-0.02]]), 4).tolist()
    [[0.02], [-0.04]]
    """
    if not 0 < steps < np.inf:
        raise InputError("must be above zero", column="steps", value=steps)
    return np.asarray(_table(returns, "returns") * np.sqrt(steps), dtype=np.float64)


def forecast_volatility(returns: FloatArray, decay: float, burn_in: int) -> FloatArray:
    """EWMA volatility each row's return was to be expected with, and after the last row the current one.

    Parameters
    ----------
    returns
        Shape (T, n_instruments).
    decay
        lambda in variance = lambda variance + (1 - lambda) return^2; 0.94 in RiskMetrics (1996).
    burn_in
        First rows, whose mean square starts the recursion.

    Returns
    -------
    FloatArray
        Shape (T - burn_in + 1, n_instruments): row i is known before return burn_in + i; the last row is current.

    Raises
    ------
    InputError
        A decay outside (0, 1), a burn-in that leaves no return, an instrument that did not move in the burn-in.

    Examples
    --------
    >>> forecast_volatility(np.array([[0.01], [-0.01], [0.03]]), 0.5, 2).round(6).tolist()
    [[0.01], [0.022361]]
    """
    values = _table(returns, "returns")
    if not 0 < decay < 1:
        raise InputError("must be in (0, 1)", column="decay", value=decay)
    if not 0 < burn_in < len(values):
        raise InputError(f"must be in [1, {len(values) - 1}]", column="burn_in", value=burn_in)
    variance = np.empty((len(values) - burn_in + 1, values.shape[1]))
    variance[0] = np.mean(values[:burn_in] ** 2, axis=0)
    still = np.flatnonzero(variance[0] == 0)
    if len(still):
        raise InputError("does not move in the burn-in, so has no volatility", column=f"returns[{still[0]}]")
    for row, moved in enumerate(values[burn_in:]):
        variance[row + 1] = decay * variance[row] + (1 - decay) * moved**2
    return np.asarray(np.sqrt(variance), dtype=np.float64)


def filtered_returns(prices: FloatArray, steps: int, decay: float = 0.94, burn_in: int = 30) -> FloatArray:
    """Overlapping returns of a history rescaled to today's volatility: filtered historical simulation.

    Each row's log return is multiplied by the current EWMA volatility over the one forecast for that row (Hull and
    White 1998; Barone-Adesi, Giannopoulos and Vosper 1999), then windows of `steps` rows are compounded. Rows are
    joint, so the dependence between instruments is kept.

    Returns
    -------
    FloatArray
        Simple returns, shape (T - burn_in - steps, n_instruments). Parameters and errors as in `overlapping_returns`
        and `forecast_volatility`.

    Examples
    --------
    Moves of a constant size have constant volatility, and filtering leaves them as they are:

    >>> prices = 100 * np.exp(0.01 * np.array([[0.0], [1], [0], [1], [2], [1]]))
    >>> np.log1p(filtered_returns(prices, 1, burn_in=2)).round(6).ravel().tolist()
    [0.01, 0.01, -0.01]
    """
    moves = np.diff(np.log(_prices(prices, steps)), axis=0)
    volatility = forecast_volatility(moves, decay, burn_in)
    scaled = moves[burn_in:] * (volatility[-1] / volatility[:-1])
    if len(scaled) < steps:
        raise InputError(f"must be at most {len(scaled)}, the rows left after the burn-in", column="steps", value=steps)
    windows = np.lib.stride_tricks.sliding_window_view(scaled, steps, axis=0)
    return np.asarray(np.expm1(np.sum(windows, axis=-1)), dtype=np.float64)


def linear_scenarios(returns: FloatArray, unit_value: FloatArray) -> ScenarioSet:
    """Equally likely scenarios of contracts linear in their price.

    Parameters
    ----------
    returns
        Simple returns, shape (n_scenarios, n_instruments).
    unit_value
        Mark times multiplier of one contract, settlement currency; shape (n_instruments,).

    Examples
    --------
    >>> linear_scenarios(np.array([[0.1, -0.2]]), np.array([50.0, 10.0])).unit_profit.tolist()
    [[5.0, -2.0]]
    """
    values = np.asarray(unit_value, dtype=np.float64)
    if values.shape != np.shape(returns)[1:]:
        raise InputError("needs one value an instrument", column="unit_value", value=values.shape)
    return ScenarioSet.equally_likely(np.asarray(returns, dtype=np.float64) * values)


def _prices(prices: FloatArray, steps: int) -> FloatArray:
    values = _table(prices, "prices")
    if not 1 <= steps < len(values):
        raise InputError(f"must be in [1, {len(values) - 1}]", column="steps", value=steps)
    require(values > 0, values, "must be above zero", "prices")
    return values


def _table(values: FloatArray, column: str) -> FloatArray:
    table = frozen(values, np.float64)
    if table.ndim != 2 or not len(table):
        raise InputError("must be a table of at least one row, instruments across", column=column, value=table.shape)
    require(np.isfinite(table), table, "must be a finite number", column)
    return table
