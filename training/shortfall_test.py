"""Test of a forecast of expected shortfall: are losses beyond the value at risk as many and as large as forecast."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError


def acerbi_szekely(losses: ArrayLike, value_at_risk: ArrayLike, shortfall: ArrayLike, tail: float) -> FloatArray:
    """Acerbi and Szekely's second statistic: 1 - sum of losses beyond the value at risk / (T * tail * shortfall).

    Its mean is 0 if the forecast is right; negative means that risk was underestimated.

    Parameters
    ----------
    losses
        Losses of T periods, on the last axis.
    value_at_risk, shortfall
        As forecast for each period, losses positive; broadcast against `losses`. The shortfall is positive.
    tail
        Probability of the tail that both are forecast for, such as 0.025.

    Returns
    -------
    FloatArray
        One statistic a series: the shape of `losses` without its last axis. NaN in a series makes it NaN.

    Raises
    ------
    InputError
        No period, a tail outside (0, 1), a shortfall that is not positive.

    Notes
    -----
    Source: C. Acerbi and B. Szekely, Backtesting expected shortfall, Risk (December 2014), statistic Z2. Over 250
    days at 2.5% they find -0.7 and -1.8 critical at 5% and 0.01% for nearly all laws, thin-tailed or fat.

    Examples
    --------
    40 days, a tail of 5%: two misses are expected. Two of just the shortfall of 3, then one more of 6:

    >>> losses = np.zeros((2, 40))
    >>> losses[:, :2], losses[1, 2] = 3.0, 6.0
    >>> acerbi_szekely(losses, 2.0, 3.0, 0.05).tolist()
    [0.0, -1.0]
    """
    loss, level, expected = np.broadcast_arrays(np.asarray(losses, np.float64), value_at_risk, shortfall)
    if not 0 < tail < 1:
        raise InputError("must be in (0, 1)", column="tail", value=tail)
    if loss.ndim == 0 or loss.shape[-1] == 0:
        raise InputError("needs at least one period", column="losses", value=0)
    if (expected <= 0).any():
        raise InputError("must be positive", column="shortfall", value=float(expected.min()))
    known = np.isfinite(loss) & np.isfinite(level)
    share = np.where(known, np.where(loss > level, loss / expected, 0.0), np.nan)
    return np.asarray(1.0 - share.sum(axis=-1) / (loss.shape[-1] * tail))
