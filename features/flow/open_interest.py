"""Open interest: what is held, against what is traded, who opens and closes, and whether positions were forced out."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.operations import ewma, lagged, last_known, rolling
from .carry import open_interest_change


def open_interest_value(open_interest: FloatArray, price: FloatArray, max_age: int) -> FloatArray:
    """Open interest in quote units, from the last known report of up to `max_age` bars.

    Examples
    --------
    >>> open_interest_value(np.array([[5.0], [np.nan]]), np.array([[10.0], [12.0]]), 2)[:, 0].tolist()
    [50.0, 60.0]
    """
    return last_known(open_interest, max_age) * price


def open_interest_turnover(open_interest: FloatArray, volume: FloatArray, window: int, max_age: int) -> FloatArray:
    """Open interest over what was traded in a trailing window, both in coins: how many such windows it took to build.

    Examples
    --------
    >>> open_interest_turnover(np.array([[np.nan], [6.0]]), np.array([[1.0], [2.0]]), 2, 1)[-1].tolist()
    [2.0]
    """
    traded = rolling(volume, window)
    return last_known(open_interest, max_age) / np.where(traded > 0.0, traded, np.nan)


def position_flows(
    open_interest: FloatArray, close: FloatArray, window: int, max_age: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Size of the change of open interest over a window, told apart by the side that pressed the price.

    Parameters
    ----------
    open_interest
        As reported in each bar, coins, NaN where it was not, shape (T, n).
    close
        Prices, shape (T, n).
    window
        Bars.
    max_age
        How many bars a report counts as known.

    Returns
    -------
    tuple of FloatArray
        New longs (interest and price up), new shorts (interest up, price down), shorts covered (interest down, price
        up), longs closed (interest and price down): |log change of open interest| in the one that holds and 0 in the
        other three, each (T, n). NaN where the change of interest or price is unknown. A price that stands still counts
        as up.

    Examples
    --------
    >>> interest, close = np.array([[100.0], [90.0]]), np.array([[10.0], [9.0]])
    >>> [flow[-1].round(4).tolist() for flow in position_flows(interest, close, 1, 1)]
    [[0.0], [0.0], [0.0], [0.1054]]
    """
    change, move = open_interest_change(open_interest, window, max_age), _move(close, window)
    nothing = np.where(np.isnan(change + move), np.nan, 0.0)
    opened, closed = np.maximum(change, 0.0), np.maximum(-change, 0.0)
    up, down = move >= 0.0, move < 0.0
    return (
        np.where(up, opened, nothing),
        np.where(down, opened, nothing),
        np.where(up, closed, nothing),
        np.where(down, closed, nothing),
    )


def unwinding_score(
    open_interest: FloatArray, close: FloatArray, window: int, half_life: float, max_age: int
) -> FloatArray:
    """How much a fall of open interest looks forced: it fell far while the price moved far, both for this market.

    The geometric mean of the fall of log open interest and the size of the log price move over the window, each over
    the root mean square change over windows before it; signed by the price: negative where longs were closed into a
    fall, positive where shorts were covered into a rise, 0 where interest grew. A suspicion, not a count: what was
    liquidated is in the liquidation feed.

    Parameters
    ----------
    open_interest, close, window, max_age
        As in `position_flows`.
    half_life
        Of the mean squares, bars.

    Returns
    -------
    FloatArray
        Shape (T, n); NaN as in `open_interest_change` and `ewma`.

    Examples
    --------
    Interest has moved by 1% and the price by 2% a bar; now interest falls by 4% and the price by 8%: four times both.

    >>> interest = np.exp(np.cumsum([[0.0], [0.01], [0.01], [-0.04]], axis=0))
    >>> close = np.exp(np.cumsum([[0.0], [-0.02], [0.02], [-0.08]], axis=0))
    >>> unwinding_score(interest, close, 1, 1.0, 1)[-1].round(6).tolist()
    [-4.0]
    """
    change, move = open_interest_change(open_interest, window, max_age), _move(close, window)
    fall = np.maximum(-change, 0.0) / _usual(change, window, half_life)
    size = np.abs(move) / _usual(move, window, half_life)
    return np.sign(move) * np.sqrt(fall * size)


def _move(close: FloatArray, window: int) -> FloatArray:
    logs = np.log(close)
    return logs - lagged(logs, window)


def _usual(change: FloatArray, window: int, half_life: float) -> FloatArray:
    """Root mean square change over the windows that ended before the present one began; NaN where nothing moved."""
    square = lagged(ewma(change * change, half_life), window)
    return np.sqrt(np.where(square > 0.0, square, np.nan))
