"""From a venue's order book to depth bands: notional resting within given distances of the mid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..riskcore.errors import InputError

LEVELS = (5.0, 10.0, 25.0, 50.0, 100.0, 200.0)
"""Distances from the mid that are stored, basis points."""


def depth_bands(
    bids: ArrayLike,
    asks: ArrayLike,
    levels: Sequence[float] = LEVELS,
    *,
    contract_size: float = 1.0,
    inverse: bool = False,
    source: object = None,
) -> pd.DataFrame:
    """Notional resting within each distance of the mid, as far as the book reaches.

    Parameters
    ----------
    bids, asks
        Prices and quantities in contracts, shape (n, 2) (further columns are ignored), best price first.
    levels
        Distances from the mid, basis points, rising.
    contract_size
        Coins a contract, of an inverse one quote units.
    inverse
        Whether the contract is inverse, so that a quantity is worth contract_size quote units each at any price.
    source
        Where the book comes from, for error messages.

    Returns
    -------
    pandas.DataFrame
        side, level_bps, notional (quote units, cumulative). A level beyond the deepest price of a side is left out:
        what rests there is not known, and the book's total would understate it.

    Raises
    ------
    InputError
        A side without prices, a price or quantity that is no positive number, prices out of order, a crossed book.

    Examples
    --------
    The mid is 100; within 10 bps rest 99.9 * 2 = 199.8, within 50 bps 99.5 * 1 more; the asks end at 20 bps.

    >>> depth_bands([[99.9, 2.0], [99.5, 1.0]], [[100.1, 1.0], [100.2, 1.0]], (10.0, 50.0)).to_dict("list")
    {'side': ['bid', 'bid', 'ask'], 'level_bps': [10.0, 50.0, 10.0], 'notional': [199.8, 299.3, 100.1]}
    """
    book = {"bid": _checked(bids, "bids", source), "ask": _checked(asks, "asks", source)}
    best_bid, best_ask = book["bid"][0, 0], book["ask"][0, 0]
    if best_bid >= best_ask:
        raise InputError(
            f"the book is crossed: the best ask is {best_ask:g}", file=source, row=0, value=float(best_bid)
        )
    mid = 0.5 * (best_bid + best_ask)
    rows = []
    for side, prices in book.items():
        distance = np.abs(prices[:, 0] / mid - 1.0) * 1e4
        worth = prices[:, 1] * contract_size * (1.0 if inverse else prices[:, 0])
        total = np.concatenate([[0.0], np.cumsum(worth)])
        # a price that stands at a level in decimals may lie beyond it by a rounding
        within = np.searchsorted(distance, np.asarray(levels) * (1 + 1e-12) + 1e-9, side="right")
        reached = np.asarray(levels) <= distance[-1] + 1e-9
        rows += [(side, float(level), total[n]) for level, n, seen in zip(levels, within, reached, strict=True) if seen]
    return pd.DataFrame(rows, columns=["side", "level_bps", "notional"])


def _checked(side: ArrayLike, name: str, source: object) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    try:
        prices = np.array([row[:2] for row in np.asarray(side, dtype=object).tolist()], np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise InputError("must be rows of price and quantity", file=source, column=name) from None
    if not len(prices):
        raise InputError("has no prices", file=source, column=name)
    usable = np.isfinite(prices).all(axis=1) & (prices > 0).all(axis=1)
    if not usable.all():
        row = int(np.flatnonzero(~usable)[0])
        raise InputError(
            "price and quantity must be positive", file=source, row=row, column=name, value=prices[row].tolist()
        )
    away = -np.diff(prices[:, 0]) if name == "bids" else np.diff(prices[:, 0])
    if (away <= 0).any():
        row = int(np.flatnonzero(away <= 0)[0]) + 1
        raise InputError("prices must move away from the mid", file=source, row=row, column=name, value=prices[row, 0])
    return prices
