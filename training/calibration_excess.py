"""How much worse one forecast is calibrated than another on the same rows, with an interval that resamples days."""

from __future__ import annotations

import numpy as np

from ..riskcore.arrays import FloatArray
from .scores import DayBlocks, Skill, expected_calibration_error

BINS = 15


def calibration_excess(probability: FloatArray, baseline: FloatArray, outcome: FloatArray, days: DayBlocks) -> Skill:
    """Expected calibration error of a forecast less that of a baseline, with the 90% interval over resampled days.

    Both errors of a finite sample are above zero even if every forecast is right, the more so as the rows of a day
    come together; the difference has neither bias nor most of the noise, since both meet the same days.

    Parameters
    ----------
    probability, baseline
        Two forecasts of the same rows, shape (n,).
    outcome
        0 or 1, shape (n,).
    days
        Blocks of these rows.

    Examples
    --------
    >>> days, y = DayBlocks(np.repeat(np.arange(5), 10), seed=0), np.tile([0.0, 1.0], 25)
    >>> found = calibration_excess(np.full(50, 0.8), np.full(50, 0.5), y, days)
    >>> round(found.value, 6), round(found.low, 6), round(found.high, 6)
    (0.3, 0.3, 0.3)
    """
    value = expected_calibration_error(probability, outcome, BINS) - expected_calibration_error(baseline, outcome, BINS)
    resampled = _resampled(probability, outcome, days) - _resampled(baseline, outcome, days)
    # resampling adds noise, and noise adds error, most where there was none: centred on the value found
    low, high = value + np.quantile(resampled - resampled.mean(), [0.05, 0.95])
    return Skill(float(value), float(low), float(high))


def _resampled(probability: FloatArray, outcome: FloatArray, days: DayBlocks) -> FloatArray:
    """The error of every draw of days, in the bins of the whole sample."""
    edges = np.quantile(probability, np.linspace(0, 1, BINS + 1)[1:-1])
    place = np.searchsorted(edges, probability, side="right")
    cell, shape = days.block * BINS + place, (days.draws.shape[1], BINS)
    gap = np.bincount(cell, weights=probability - outcome, minlength=shape[0] * BINS).reshape(shape)
    rows = np.bincount(days.block, minlength=shape[0]).astype(np.float64)
    # einsum sums in one order whatever the number of threads; BLAS may not
    gaps = np.einsum("rd,db->rb", days.draws, gap)
    return np.asarray(np.abs(gaps).sum(axis=1) / np.einsum("rd,d->r", days.draws, rows))
