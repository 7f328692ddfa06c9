"""Variance of the continuous part of the price, and whether it jumped; (T, n), per bar, known at the bar's close.

Estimators that multiply or compare neighbouring returns take `window` such products: their first ones reach one or two
bars before the window. A window with a gap in what it reaches is NaN.
"""

from __future__ import annotations

import math

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import lagged, rolling_mean

MEDIAN_SCALE = math.pi / (6.0 - 4.0 * math.sqrt(3.0) + math.pi)
MIN_SCALE = math.pi / (math.pi - 2.0)
TRIPOWER_SCALE: float = (math.gamma(0.5) / (2.0 ** (2.0 / 3.0) * math.gamma(7.0 / 6.0))) ** 3
JUMP_VARIANCE = math.pi**2 / 4.0 + math.pi - 5.0


def bipower_variance(returns: FloatArray, window: int) -> FloatArray:
    """Variance that jumps hardly touch: pi / 2 times the mean of |r_k| |r_(k-1)| over a trailing window.

    Source: O. Barndorff-Nielsen and N. Shephard, Power and bipower variation with stochastic volatility and jumps,
    J. Financial Econometrics 2 (2004).

    Examples
    --------
    A lone jump of 0.09 among moves of 0.01, twice times 0.01:

    >>> bipower_variance(np.array([[0.01], [0.01], [0.09], [0.01]]), 3)[-1].round(6).tolist()
    [0.000995]
    """
    sizes = np.abs(returns)
    return 0.5 * math.pi * rolling_mean(sizes * lagged(sizes, 1), window)


def min_variance(returns: FloatArray, window: int) -> FloatArray:
    """MinRV: pi / (pi - 2) times the mean of min(|r_k|, |r_(k-1)|)^2 over a trailing window.

    A jump is never the smaller of two neighbours, so it does not count at all; nor does a return next to a zero one.
    Source: T. Andersen, D. Dobrev and E. Schaumburg, Jump-robust volatility estimation using nearest neighbor
    truncation, J. Econometrics 169 (2012).

    Examples
    --------
    pi / (pi - 2) = 2.751938, times 0.01^2 whatever the jump:

    >>> min_variance(np.array([[0.01], [0.01], [0.09], [0.01]]), 3)[-1].round(6).tolist()
    [0.000275]
    """
    sizes = np.abs(returns)
    smaller = np.minimum(sizes, lagged(sizes, 1))
    return MIN_SCALE * rolling_mean(smaller * smaller, window)


def median_variance(returns: FloatArray, window: int) -> FloatArray:
    """MedRV: pi / (6 - 4 sqrt 3 + pi) times the mean of med(|r_k|, |r_(k-1)|, |r_(k-2)|)^2 over a trailing window.

    Like `min_variance`, and more efficient; a single zero return does not disturb it. Source: Andersen, Dobrev and
    Schaumburg (2012).

    Examples
    --------
    pi / (6 - 4 sqrt 3 + pi) = 1.419358, times 0.01^2:

    >>> median_variance(np.array([[0.01], [0.01], [0.09], [0.01]]), 2)[-1].round(6).tolist()
    [0.000142]
    """
    here = np.abs(returns)
    before, earlier = lagged(here, 1), lagged(here, 2)
    low, high = np.minimum(here, before), np.maximum(here, before)
    middle = np.maximum(low, np.minimum(high, earlier))
    return MEDIAN_SCALE * rolling_mean(middle * middle, window)


def realised_quarticity(returns: FloatArray, window: int) -> FloatArray:
    """A third of the mean fourth power of returns over a trailing window: the square of the variance, per bar.

    Over a window of M bars the realised variance, a sum, has a sampling variance of 2 M times this; of the mean
    variance per bar it is 2 / M times this. Source: O. Barndorff-Nielsen and N. Shephard, Econometric analysis of
    realized volatility, J. Royal Statistical Society B 64 (2002).

    Examples
    --------
    >>> realised_quarticity(np.array([[0.1], [0.2]]), 2)[-1].round(8).tolist()
    [0.00028333]
    """
    squares = returns * returns
    return rolling_mean(squares * squares, window) / 3.0


def tripower_quarticity(returns: FloatArray, window: int) -> FloatArray:
    """Quarticity that jumps hardly touch: mu^-3 times the mean of (|r_k| |r_(k-1)| |r_(k-2)|)^(4/3), per bar.

    mu = 2^(2/3) Gamma(7/6) / Gamma(1/2) is the mean of |z|^(4/3) for a standard normal z. Source: Barndorff-Nielsen
    and Shephard (2004).

    Examples
    --------
    mu^-3 = 1.7435, times 0.01^4:

    >>> (tripower_quarticity(np.full((3, 1), 0.01), 1)[-1] * 1e8).round(4).tolist()
    [1.7435]
    """
    sizes = np.abs(returns)
    product = sizes * lagged(sizes, 1) * lagged(sizes, 2)
    moved = product > 0.0
    power: FloatArray = np.where(moved, np.exp(np.log(np.where(moved, product, 1.0)) * (4.0 / 3.0)), product)
    return TRIPOWER_SCALE * rolling_mean(power, window)


def truncated_variance(returns: FloatArray, window: int, usual: int, multiple: float = 4.0) -> FloatArray:
    """Mean square over a trailing window of the returns that are no jumps, those beyond the threshold counted as zero.

    A return is a jump if it exceeds `multiple` times the root of the bipower variance of the `usual` bars before it.
    Source: C. Mancini, Non-parametric threshold estimation for models with stochastic diffusion coefficient and jumps,
    Scandinavian J. Statistics 36 (2009); thresholds from bipower variation as in F. Corsi, D. Pirino and R. Renò,
    Threshold bipower variation and the impact of jumps on volatility forecasting, J. Econometrics 159 (2010).

    Parameters
    ----------
    returns
        Log returns, shape (T, n).
    window
        Bars averaged.
    usual
        Bars the threshold is taken from.
    multiple
        Standard deviations at which a return counts as a jump.

    Examples
    --------
    >>> truncated_variance(np.array([[0.01], [0.01], [0.01], [0.09], [0.01]]), 2, 2)[:, 0].round(6).tolist()
    [nan, nan, nan, nan, 5e-05]
    """
    threshold = multiple * np.sqrt(lagged(bipower_variance(returns, usual), 1))
    size = np.abs(returns)
    kept = np.where(size <= threshold, returns * returns, np.where(size > threshold, 0.0, np.nan))
    return rolling_mean(kept, window)


def jump_statistic(returns: FloatArray, window: int) -> FloatArray:
    """Test statistic of no jump in a trailing window, standard normal in large windows; high values say it jumped.

    (1 - BV / RV) / sqrt((pi^2 / 4 + pi - 5) max(1, TQ / BV^2) / window), the ratio form of the test of
    O. Barndorff-Nielsen and N. Shephard, Econometrics of testing for jumps in financial economics using bipower
    variation, J. Financial Econometrics 4 (2006), with the tripower quarticity of X. Huang and G. Tauchen, The relative
    contribution of jumps to total price variance, J. Financial Econometrics 3 (2005), who recommend this form.

    Parameters
    ----------
    returns
        Log returns, shape (T, n).
    window
        Bars, a day's worth or more of fine bars; with 24 the tails are only roughly normal.

    Returns
    -------
    FloatArray
        Shape (T, n); 3.09 is the critical value at 0.1%. NaN where there is a gap or too little moved to tell.

    Examples
    --------
    Equal moves: BV / RV = pi / 2 and TQ / BV^2 = 1.7435 / (pi / 2)^2 < 1, so (1 - pi / 2) / sqrt(0.6090 / 4).

    >>> jump_statistic(np.full((6, 1), 0.01), 4)[-1].round(4).tolist()
    [-1.4629]
    """
    bipower, realised = bipower_variance(returns, window), rolling_mean(returns * returns, window)
    bipower = np.where(bipower > 0.0, bipower, np.nan)
    spread = np.maximum(tripower_quarticity(returns, window) / (bipower * bipower), 1.0)
    return (1.0 - bipower / np.where(realised > 0.0, realised, np.nan)) / np.sqrt(JUMP_VARIANCE * spread / window)
