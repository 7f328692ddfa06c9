"""What a whole venue liquidates within a horizon: joint forecasts of its accounts, and how they are held to prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..models.frailty import FactorFrailty
from ..models.historical import FilteredHistorical
from ..models.joint_losses import JointLosses, joint_losses
from ..models.joint_paths import path_probabilities, path_severity, with_marginals
from ..models.sample import ScaleField, certain_where_breached
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray, group_sums
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from ..riskcore.instruments import contract_value
from ..riskcore.market import UNIT_INDEX, MarketHistory
from ..riskcore.rulebook import RuleBook
from .account_partitions import joined_datasets
from .dataset import Dataset, simulated_dataset
from .market_view import MarketView
from .population import PopulationSpec

METHODS = ("independent", "frailty", "paths", "hybrid_paths")
"""Independent; sharing fitted factors; on the same paths; on the same paths with each forecast kept as the marginal."""
DRAWS = 4000
"""Totals drawn for each forecast, at least."""
FACTOR_SCENARIOS = 1000
LEVELS = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class Venue:
    """All accounts of a venue at several times.

    Parameters
    ----------
    data
        One row an account and time.
    time
        Number of the time each row was seen at, rising from 0.
    notional
        Gross notional of each row then, base asset.
    tilt
        1 where only falling prices hurt, -1 where only rising ones do, in between for mixed books.
    """

    data: Dataset
    time: IntArray
    notional: FloatArray
    tilt: FloatArray

    def rows_at(self, time: int) -> IntArray:
        """Rows of one time."""
        return np.flatnonzero(self.time == time)


def simulated_venue(
    view: MarketView,
    rules: RuleBook,
    horizons: tuple[int, ...],
    bars: IntArray,
    *,
    accounts: int,
    seed: int,
    spec: PopulationSpec | None = None,
) -> Venue:
    """Draw `accounts` accounts anew at the open of each of these bars, and follow them on the market's prices.

    Raises
    ------
    InputError
        A bar too early for accounts to be simulated at, or too late for the longest horizon.
    """
    late = bars + horizons[-1] > len(view.history)
    if late.any():
        row = int(np.argmax(late))
        raise InputError("leaves no room for the longest horizon", row=row, column="bars", value=int(bars[row]))
    parts = [
        simulated_dataset(
            view,
            rules,
            horizons,
            accounts=accounts,
            first_bar=int(bar),
            last_bar=int(bar) + horizons[-1],
            seed=seed + k,
            spec=spec,
        )
        for k, bar in enumerate(bars)
    ]
    data = joined_datasets(parts)
    time = np.repeat(np.arange(len(bars)), [len(part) for part in parts])
    return Venue(data, time, gross_notional(data.book, view.history, data.sample.bar), tilt_of(data.sample.exposure))


def gross_notional(book: AccountBook, history: MarketHistory, bar: IntArray) -> FloatArray:
    """Sum of the absolute values of each pool's positions at the close before its bar, base asset, shape (n_pools,)."""
    pool, instrument = book.position_pool, book.position_instrument
    mark = history.close[bar[pool] - 1, history.mark_series[instrument]]
    series = history.index_series[book.position_asset]
    index = np.where(series == UNIT_INDEX, 1.0, history.close[bar[pool] - 1, series])
    value = np.abs(contract_value(book.position_size, mark, book.position_inverse)) * index
    return group_sums(pool, value, len(book))


def tilt_of(exposure: Exposure) -> FloatArray:
    """Net over gross exposure of each pool: 1 for one hurt by falling prices alone; 0 without exposure."""
    net = group_sums(exposure.pool, exposure.weight, len(exposure))
    gross = exposure.gross
    return np.where(gross > 0, np.clip(net / np.where(gross > 0, gross, 1.0), -1.0, 1.0), 0.0)


@dataclass(frozen=True)
class JointModel:
    """What joint forecasts are made from; all of it fitted before the times it is asked about.

    Parameters
    ----------
    simulation, scale
        Historical simulation and the scales it is filtered by.
    frailty
        One for each horizon.
    """

    simulation: FilteredHistorical
    scale: ScaleField
    frailty: tuple[FactorFrailty, ...]

    def conditionals(self, venue: Venue, rows: IntArray, probability: FloatArray, k: int) -> dict[str, FloatArray]:
        """Probability of each row in each scenario at horizon k, by method, (n_scenarios, n_rows).

        Parameters
        ----------
        venue, rows
            Rows of one time.
        probability
            The forecast of each account alone, such as the hybrid's, shape (n_rows,).
        k
            Place of the horizon.
        """
        sample = venue.data.sample.take(rows)
        horizon = sample.horizons[k]
        frailty = self.frailty[k]
        severity = path_severity(
            sample.exposure, self.simulation.libraries_[horizon], self.scale.of_entries(sample, horizon)
        )
        bandwidth = self.simulation.bandwidth
        found = {
            "independent": probability[None, :],
            "frailty": frailty.conditional(probability, venue.tilt[rows], frailty.draw(FACTOR_SCENARIOS, seed=0)),
            "paths": path_probabilities(severity, bandwidth),
            "hybrid_paths": with_marginals(severity, probability, bandwidth),
        }
        return {name: certain_where_breached(values.T, sample.exposure).T for name, values in found.items()}


def fit_frailty(venue: Venue, probability: FloatArray) -> tuple[FactorFrailty, ...]:
    """One frailty a horizon, from past times and forecasts, (n, n_horizons), of models that had not seen them."""
    breached = venue.data.breached
    return tuple(
        FactorFrailty().fit(probability[:, k], breached[:, k], venue.tilt, venue.time) for k in range(breached.shape[1])
    )


def market_forecast(conditional: FloatArray, amount: FloatArray, seed: int) -> JointLosses:
    """Distribution of the total of one method; at least `DRAWS` totals."""
    return joint_losses(conditional, amount, max(1, -(-DRAWS // len(conditional))), seed)


@dataclass(frozen=True)
class MarketScores:
    """How the joint forecasts of one horizon fared, one value a time.

    Parameters
    ----------
    realised
        Liquidated notional.
    expected
        Its expectation by method.
    pit, crps
        Probability integral transform and continuous ranked probability score, by method.
    inside
        Whether the central intervals of `LEVELS` held it, (n_times, 3), by method.
    """

    realised: FloatArray
    expected: Mapping[str, FloatArray]
    pit: Mapping[str, FloatArray]
    crps: Mapping[str, FloatArray]
    inside: Mapping[str, FloatArray]

    def table(self) -> dict[str, dict[str, Any]]:
        """By method: coverage of each interval, share of totals above the 99% quantile, distance of the PIT from even.

        The skill is that of the mean CRPS over independent accounts.
        """
        base = self.crps["independent"].mean()
        return {
            name: {
                "coverage": dict(zip(LEVELS, self.inside[name].mean(axis=0).tolist(), strict=True)),
                "above_99": float((self.pit[name] > 0.99).mean()),
                "pit_distance": pit_distance(self.pit[name]),
                "crps_skill": float(1.0 - self.crps[name].mean() / base),
            }
            for name in self.pit
        }


def score_market(
    venue: Venue, joint: JointModel, probability: FloatArray, k: int, *, count: bool = False, seed: int = 0
) -> MarketScores:
    """Hold the joint forecasts of horizon k to what was liquidated at each time; `count` counts accounts instead.

    Parameters
    ----------
    venue, joint
        The accounts, and what their joint forecasts are made from.
    probability
        The forecast of each account alone, (n, n_horizons).
    """
    times = int(venue.time[-1]) + 1
    amount = np.ones(len(venue.time)) if count else venue.notional
    realised = group_sums(venue.time, np.where(venue.data.breached[:, k] > 0.5, amount, 0.0), times)
    uniform = np.random.default_rng(seed).random(times)
    expected, pit, crps = ({name: np.empty(times) for name in METHODS} for _ in range(3))
    inside = {name: np.empty((times, len(LEVELS))) for name in METHODS}
    for time in range(times):
        rows = venue.rows_at(time)
        for name, values in joint.conditionals(venue, rows, probability[rows, k], k).items():
            said = market_forecast(values, amount[rows], seed)
            expected[name][time], crps[name][time] = said.mean, said.crps(realised[time])
            pit[name][time] = said.pit(realised[time], uniform[time])
            for j, level in enumerate(LEVELS):
                low, high = said.interval(level)
                inside[name][time, j] = low <= realised[time] <= high
    return MarketScores(realised, expected, pit, crps, inside)


def pit_distance(pit: FloatArray) -> float:
    """Largest gap between the share of transforms below u and u (Kolmogorov-Smirnov).

    Examples
    --------
    >>> pit_distance(np.array([0.25, 0.75])), pit_distance(np.array([0.0, 1.0]))
    (0.25, 0.5)
    """
    ordered, n = np.sort(pit), len(pit)
    above, below = np.arange(1, n + 1) / n - ordered, ordered - np.arange(n) / n
    return float(max(above.max(), below.max()))
