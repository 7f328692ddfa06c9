"""Abstention: when a forecast is not sharp enough to stand on its own, and what refusing costs and saves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import BoolArray, FloatArray, require_shape
from ..riskcore.errors import InputError


@dataclass(frozen=True)
class Answer:
    """Probabilities to act on, and where they are not the forecast's own.

    Parameters
    ----------
    probability
        The forecast, or the structural probability where it abstained, shape (n,).
    abstained
        Where it did.
    reason
        Why, "" where it did not.
    """

    probability: FloatArray
    abstained: BoolArray
    reason: NDArray[np.str_]


def answer(
    probability: FloatArray,
    structural: FloatArray,
    low: FloatArray,
    high: FloatArray,
    *,
    widest: float,
    outside: NDArray[np.str_] | None = None,
) -> Answer:
    """The forecast where it is known, its inputs are in range and its interval is narrow; else the structural one.

    Parameters
    ----------
    probability, structural
        The forecast and what is trusted instead, shape (n,). NaN abstains; a structural NaN stays NaN.
    low, high
        Interval around the forecast, such as `DayBlockInterval` gives.
    widest
        Widest interval that is answered, positive.
    outside
        Why inputs are outside of the training sample, "" where they are not (`training.abstention.out_of_range`).

    Raises
    ------
    InputError
        A `widest` that is not positive, or shapes that differ.

    Examples
    --------
    >>> low, high = np.array([0.08, 0.0]), np.array([0.12, 0.5])
    >>> said = answer(np.array([0.1, 0.2]), np.array([0.3, 0.3]), low, high, widest=0.2)
    >>> said.probability.tolist(), said.reason.tolist()
    ([0.1, 0.3], ['', 'interval of 0.5 is wider than 0.2'])
    """
    if not widest > 0:
        raise InputError("must be positive", column="widest", value=widest)
    for values, name in ((structural, "structural"), (low, "low"), (high, "high")):
        require_shape(values, probability.shape, name)
    reason = np.full(len(probability), "", dtype="U240") if outside is None else outside.astype("U240")
    width = high - low
    for row in np.flatnonzero((reason == "") & (width > widest)):
        reason[row] = f"interval of {width[row]:.3g} is wider than {widest:g}"
    reason[(reason == "") & ~np.isfinite(width)] = "no interval is known"
    reason[(reason == "") & np.isnan(probability)] = "no forecast is known"
    abstained = reason != ""
    return Answer(np.where(abstained, structural, probability), abstained, reason)


def risk_coverage(loss: FloatArray, width: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Share of rows answered, and their mean loss, if the rows with the narrowest intervals are answered.

    Rows of equal width are answered together. A curve that rises says that width finds the forecasts that fail; its
    mean is the area under the risk-coverage curve.

    Source: El-Yaniv and Wiener (2010), "On the foundations of noise-free selective classification".

    Parameters
    ----------
    loss, width
        Of each row, shape (n,); rows where either is NaN are left out.

    Returns
    -------
    coverage, risk
        Rising shares, the last of them 1, and mean losses; one entry for each width that occurs.

    Examples
    --------
    >>> coverage, risk = risk_coverage(np.array([1.0, 0.0, 4.0, 3.0]), np.array([0.2, 0.1, 0.4, 0.2]))
    >>> coverage.tolist(), risk.round(3).tolist()
    ([0.25, 0.75, 1.0], [0.0, 1.333, 2.0])
    """
    require_shape(width, loss.shape, "width")
    known = np.isfinite(loss) & np.isfinite(width)
    order = np.argsort(width[known], kind="stable")
    ordered, losses = width[known][order], np.cumsum(loss[known][order])
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1) if len(ordered) else np.empty(0, np.int64)
    return (last + 1) / max(len(ordered), 1), losses[last] / (last + 1)
