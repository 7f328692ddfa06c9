"""A table of margin rates with a row for each regime, walked forward."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..models.margin_quantiles import HistoricalSimulation, LossSeries
from ..models.margin_scale import ewma_scale, stressed_periods
from ..riskcore.arrays import BoolArray, FloatArray
from .margin_losses import SIDES, PeriodLosses
from .proposal import RegimeRate

REGIMES = ("calm", "stressed")
SCALE_DECAY = 0.9
LOOK_BACK = 1000
LEAST_PERIODS = 100


def regime_flags(periods: PeriodLosses) -> BoolArray:
    """Whether each known period was stressed as seen before it, and the next one, shape (n_known + 1,).

    Stress is a scale in the top fifth of its last 1,000 values, see `stressed_periods`.
    """
    return stressed_periods(ewma_scale(periods.realised[periods.known], SCALE_DECAY))


def regime_rates(periods: PeriodLosses, tested: BoolArray, level: float) -> Mapping[str, RegimeRate]:
    """The rate of each regime at the end, and how a table of such rates covered the tested periods.

    Parameters
    ----------
    periods
        Losses of the instrument.
    tested
        Periods that count, shape (m,).
    level
        Coverage asked.
    """
    known, stressed = periods.known, regime_flags(periods)[:-1]
    counts = tested[known]
    return {
        name: _regime_rate(periods, np.flatnonzero(known)[stressed == flag], counts[stressed == flag], level)
        for name, flag in zip(REGIMES, (False, True), strict=True)
    }


def _regime_rate(periods: PeriodLosses, rows: np.ndarray, counts: BoolArray, level: float) -> RegimeRate:
    losses = np.column_stack([periods.losses(side)[rows] for side in SIDES])
    path = np.max([_quantiles(losses[:, k], level) for k in range(len(SIDES))], axis=0)
    rated = counts & np.isfinite(path[:-1])
    covered = losses[rated] <= path[:-1][rated][:, None]
    return RegimeRate(float(path[-1]), covered.size, float(covered.mean()) if covered.size else np.nan)


def _quantiles(losses: FloatArray, level: float) -> FloatArray:
    series = LossSeries(losses, np.zeros(len(losses)), excursion=True)
    return HistoricalSimulation(LOOK_BACK, LEAST_PERIODS).predict(series, level)
