"""The scale of coming moves from past squared moves, for margins: one number an observation, past only."""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.errors import InputError
from .margin_window import quantile_of, trailing


def ewma_scale(squares: FloatArray, decay: float, *, window: int | None = None, minimum: int = 20) -> FloatArray:
    """Square root of the exponentially weighted mean of past squared moves; weights sum to one.

    sigma_j^2 = sum_k decay^k x_{j-1-k} / sum_k decay^k over the `window` observations before j (None: over all).

    Parameters
    ----------
    squares
        Squared returns, or realised variances, one a period, shape (m,).
    decay
        Weight of an observation relative to the next newer one, in (0, 1).
    window
        How many observations back the weights reach.
    minimum
        Observations needed; before, the scale is NaN. With a window, the window is needed.

    Returns
    -------
    FloatArray
        Shape (m + 1,): entry j knows the first j observations, so the last is for the period not yet seen.

    Examples
    --------
    >>> ewma_scale(np.array([4.0, 1.0]), 0.5, minimum=1).tolist()[1:]
    [2.0, 1.4142135623730951]
    """
    if not 0 < decay < 1:
        raise InputError("must be in (0, 1)", column="decay", value=decay)
    out = np.full(len(squares) + 1, np.nan)
    if window is None:
        sums = np.array(list(accumulate(squares.tolist(), lambda past, new: decay * past + new)))
        weights = (1 - decay ** np.arange(1, len(squares) + 1)) / (1 - decay)
        out[minimum:] = np.sqrt(sums / weights)[minimum - 1 :]
    elif len(squares) >= window:
        kernel = decay ** np.arange(window)
        out[window:] = np.sqrt(np.convolve(squares, kernel / kernel.sum(), mode="valid"))
    return out


def blended_scale(fast: FloatArray, slow: FloatArray, weight: float) -> FloatArray:
    """Geometric blend fast^weight * slow^(1 - weight): the dial between a responsive and a steady margin.

    Examples
    --------
    >>> blended_scale(np.array([4.0]), np.array([1.0]), 0.5).tolist()
    [2.0]
    """
    if not 0 <= weight <= 1:
        raise InputError("must be in [0, 1]", column="weight", value=weight)
    return np.asarray(fast**weight * slow ** (1 - weight))


def stressed_periods(scale: FloatArray, *, window: int = 1000, share: float = 0.2, minimum: int = 250) -> BoolArray:
    """Where the scale is above the (1 - share) quantile of its own past: what was knowable as stress.

    Parameters
    ----------
    scale
        Scale known before each period, shape (m,); NaN where there is none, which is never stress.
    window, minimum
        Past scales looked at, at most and at least; with fewer nothing is called stress.
    share
        Share of past periods that would count as stress.

    Returns
    -------
    BoolArray
        Shape (m,).
    """
    known = np.isfinite(scale)
    limits = trailing(scale[known], window, minimum, lambda ordered: quantile_of(ordered, 1 - share))[:-1]
    out = np.zeros(len(scale), dtype=np.bool_)
    out[known] = scale[known] > limits
    return out
