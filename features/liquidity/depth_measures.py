"""What one order book says: spread, depth within bands, imbalance, slope, microprice. NaN where it cannot say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from .book_levels import ASK, BID, BookLevels

BASIS_POINTS = 10_000.0


def spread_bps(book: BookLevels) -> float:
    """Best ask less best bid over the mid, basis points; NaN where a side is empty.

    Examples
    --------
    >>> spread_bps(BookLevels.of_prices([[99.0, 1.0]], [[101.0, 1.0]]))
    200.0
    """
    if not book.two_sided:
        return np.nan
    width = int(book.ask_ticks[0] - book.bid_ticks[0])
    return 2.0 * BASIS_POINTS * width / book.twice_mid


def depth_within(book: BookLevels, bands: Sequence[float]) -> FloatArray:
    """Notional resting within each band of the mid: price times size of bids >= mid (1 - b), asks <= mid (1 + b).

    Parameters
    ----------
    book
        The book.
    bands
        Distances b from the mid, basis points.

    Returns
    -------
    FloatArray
        Quote units, bids and asks, shape (2, h). NaN where the band reaches beyond what is known of the side, or a side
        is empty. A level on the edge of the band is in it.

    Raises
    ------
    InputError
        A band that is not positive, or not below 10,000.

    Examples
    --------
    >>> book = BookLevels.of_prices([[99.0, 2.0], [98.0, 5.0]], [[101.0, 1.0], [103.0, 4.0]])
    >>> depth_within(book, [100.0, 200.0, 300.0]).tolist()
    [[198.0, 688.0, nan], [101.0, 101.0, 513.0]]
    """
    reach = np.asarray(bands, np.float64)
    if not ((reach > 0.0) & (reach < BASIS_POINTS)).all():
        raise InputError("bands must lie between 0 and 10,000 basis points", column="bands", value=list(bands))
    out = np.full((2, len(reach)), np.nan)
    if book.two_sided:
        for side, ticks, edge, sign in (
            (BID, book.bid_ticks, book.bid_edge, 1.0),
            (ASK, book.ask_ticks, book.ask_edge, -1.0),
        ):
            bounds = sign * book.twice_mid * (BASIS_POINTS - sign * reach)
            within = (2.0 * BASIS_POINTS * sign * ticks >= bounds[:, None]).sum(axis=1)
            prices, sizes = book.side(side)
            notional = np.concatenate(([0.0], np.cumsum(prices * sizes)))
            unknown = 2.0 * BASIS_POINTS * (sign * edge - 1.0) >= bounds
            out[side] = np.where(unknown, np.nan, notional[within])
    return out


def imbalance(bid: FloatArray, ask: FloatArray) -> FloatArray:
    """(bid - ask) / (bid + ask) of two depths, between -1 and 1; NaN where one is, or nothing rests.

    Examples
    --------
    >>> imbalance(np.array([3.0, 0.0]), np.array([1.0, 0.0])).tolist()
    [0.5, nan]
    """
    whole = bid + ask
    return (bid - ask) / np.where(whole > 0.0, whole, np.nan)


def top_imbalance(book: BookLevels) -> float:
    """Imbalance of the sizes at best bid and best ask.

    Source: R. Cont, A. Kukanov and S. Stoikov, The price impact of order book events, J. Financial Econometrics 12
    (2014), use the queues at the best prices.

    Examples
    --------
    >>> top_imbalance(BookLevels.of_prices([[99.0, 3.0]], [[101.0, 1.0]]))
    0.5
    """
    if not book.two_sided:
        return np.nan
    bid, ask = float(book.bid_sizes[0]), float(book.ask_sizes[0])
    return (bid - ask) / (bid + ask)


def microprice(book: BookLevels, band: float | None = None) -> float:
    """Best bid and best ask, each weighted with the depth of the other side: (D_bid ask + D_ask bid) / (D_bid + D_ask).

    The price leans towards the side where less rests. Depth is the size at the best price, or the notional within a
    band of the mid. Source: J. Gatheral and R. Oomen, Zero-intelligence realized variance estimation, Finance and
    Stochastics 14 (2010), for the best sizes.

    Parameters
    ----------
    book
        The book.
    band
        Basis points; None: the sizes at the best prices.

    Returns
    -------
    float
        Quote units; NaN where a depth is unknown or a side is empty.

    Examples
    --------
    >>> book = BookLevels.of_prices([[99.0, 3.0], [98.0, 1.0]], [[101.0, 1.0]])
    >>> microprice(book)
    100.5
    """
    if not book.two_sided:
        return np.nan
    sizes = np.array([book.bid_sizes[0], book.ask_sizes[0]])
    bid_depth, ask_depth = sizes if band is None else depth_within(book, [band])[:, 0]
    bid, ask = float(book.bid_prices[0]), float(book.ask_prices[0])
    whole = bid_depth + ask_depth
    return float((bid_depth * ask + ask_depth * bid) / whole) if whole > 0.0 else np.nan


def price_slope(book: BookLevels, side: int, levels: int = 5) -> float:
    """Mean per cent that cumulated depth grows for a per cent of distance from the mid, over the best levels of a side.

    With v_k the log of the notional cumulated over the best k levels, p_k their prices and p_0 the mid, it is
    (v_1 / |p_1 / p_0 - 1| + sum over k from 1 to n - 1 of (v_(k+1) / v_k - 1) / |p_(k+1) / p_k - 1|) / n.

    Source: R. Naes and J. Skjeltorp, Order book characteristics and the volume-volatility relation: empirical evidence
    from a limit order market, J. Financial Markets 9 (2006), equations 1 and 2, with quote units for their shares.

    Parameters
    ----------
    book
        The book.
    side
        `BID` or `ASK`.
    levels
        How many levels n, at least 1.

    Returns
    -------
    float
        NaN where the side has fewer levels or is not known so far, or its best level is not worth one quote unit.

    Examples
    --------
    Notional e and e^2 - e make v = 1, 2; the ask is 1% above the mid of 100 and the next one 1% above it.

    >>> asks = [[101.0, np.e / 101.0], [102.01, (np.e**2 - np.e) / 102.01]]
    >>> round(price_slope(BookLevels.of_prices([[99.0, 1.0]], asks), ASK, 2), 6)
    100.0
    """
    prices, sizes = (rows[:levels] for rows in book.side(side))
    if not book.two_sided or len(prices) < levels or not _known(book, side, levels):
        return np.nan
    notional = np.cumsum(prices * sizes)
    if notional[0] <= 1.0:
        return np.nan
    volume = np.log(notional)
    first = volume[0] / abs(prices[0] / book.mid - 1.0)
    growth = (volume[1:] / volume[:-1] - 1.0) / np.abs(prices[1:] / prices[:-1] - 1.0)
    return float((first + np.cumsum(np.append(0.0, growth))[-1]) / levels)


def depth_elasticity(bands: Sequence[float], depth: Sequence[FloatArray]) -> FloatArray:
    """Per cent that cumulated depth grows for a per cent of distance.

    Least-squares slope of the log of depth on the log of the band. One for a book of even density (the block of A.
    Obizhaeva and J. Wang, Optimal trading strategy and supply/demand dynamics, J. Financial Markets 16 (2013)), two
    where density rises with the distance, below one where depth sits near the mid.

    Parameters
    ----------
    bands
        Distances from the mid, basis points, at least two different ones.
    depth
        Notional within each band, arrays of one shape (or bar columns as expressions).

    Returns
    -------
    FloatArray
        Of that shape; NaN where a depth is missing or zero.

    Examples
    --------
    >>> depth_elasticity([5.0, 10.0, 20.0], [np.array([1.0]), np.array([4.0]), np.array([16.0])]).round(12).tolist()
    [2.0]
    """
    if len(set(bands)) < 2 or len(bands) != len(depth) or min(bands) <= 0.0:
        raise InputError("needs two positive bands, and a depth for each", column="bands", value=list(bands))
    logs = np.log(np.asarray(bands, np.float64))
    weights = (logs - logs.mean()) / np.square(logs - logs.mean()).sum()
    slope: FloatArray = float(weights[0]) * _log_depth(depth[0])
    for weight, notional in zip(weights[1:].tolist(), depth[1:], strict=True):
        slope = slope + weight * _log_depth(notional)
    return slope


def _log_depth(notional: FloatArray) -> FloatArray:
    return np.log(np.where(notional > 0.0, notional, np.nan))


def _known(book: BookLevels, side: int, levels: int) -> bool:
    if side == BID:
        return bool(book.bid_ticks[levels - 1] >= book.bid_edge)
    return bool(book.ask_ticks[levels - 1] <= book.ask_edge)
