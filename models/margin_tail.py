"""A fitted tail for quantiles that lie beyond most of a window's observations."""

from __future__ import annotations

import math

from ..riskcore.errors import InputError
from .margin_window import quantile_of


def tail_quantile(ordered: list[float], level: float, share: float) -> float:
    """Quantile with a generalised Pareto tail fitted to the largest `share` of a sorted list.

    The tail's shape and scale come from probability-weighted moments of the excesses over the threshold, closed form:
    with b0 their mean and b1 the mean weighted by (1 - rank), shape = 2 - b0 / (b0 - 2 b1) and scale = 2 b0 b1 / (b0 -
    2 b1). Below the threshold the quantile is empirical.

    Parameters
    ----------
    ordered
        Observations sorted upwards.
    level
        Probability not exceeded, in (0, 1).
    share
        Share of the observations taken as the tail.

    Notes
    -----
    Source: Hosking and Wallis, Parameter and quantile estimation for the generalized Pareto distribution,
    Technometrics 29 (1987).

    Examples
    --------
    >>> import numpy as np
    >>> pareto = [(1 - p) ** -0.25 for p in (np.arange(20000) + 0.5) / 20000]
    >>> round(float(tail_quantile(pareto, 0.999, 0.05) / 0.001**-0.25), 2)
    1.0
    """
    if not 0 < level < 1 or not 0 < share < 1:
        raise InputError("level and share must be in (0, 1)", column="level", value=(level, share))
    n = len(ordered)
    k = int(share * n)
    if k < 10 or level * (n - 1) <= n - k - 1:
        return quantile_of(ordered, level)
    threshold = ordered[n - k - 1]
    shape, scale = _pareto_fit([x - threshold for x in ordered[n - k :]])
    odds = min(1.0, (1 - level) * n / k)
    return threshold + _pareto_excess(odds, shape, scale)


def _pareto_fit(excesses: list[float]) -> tuple[float, float]:
    """Shape and scale from the sorted excesses."""
    k = len(excesses)
    b0 = sum(excesses) / k
    b1 = sum(x * (k - 1 - i) for i, x in enumerate(excesses)) / (k * (k - 1))
    spread = b0 - 2 * b1
    # All excesses equal: their size is the scale of a tail that does not reach further.
    if spread <= 0:
        return -1.0, b0
    return 2 - b0 / spread, 2 * b0 * b1 / spread


def _pareto_excess(odds: float, shape: float, scale: float) -> float:
    """Excess over the threshold that is exceeded with probability `odds` by what is beyond the threshold."""
    growth = -math.log(odds)
    return scale * (growth if abs(shape) < 1e-9 else math.expm1(shape * growth) / shape)
