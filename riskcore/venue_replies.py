"""From the fields venues report of an account to those of a book."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray


def wallet_balance(cash: float, quantity: ArrayLike, entry_price: ArrayLike) -> float:
    """Wallet balance of an account whose venue debits the whole notional of a position when it is opened.

    Such a venue reports equity = cash + sum(quantity * mark); a book holds wallet + sum(quantity * (mark - entry)), so
    wallet = cash + sum(quantity * entry), settlement asset. Source: Hyperliquid's rawUsd, dYdX's quote balance.

    Examples
    --------
    >>> wallet_balance(-90.0, [0.5, -0.1], [300.0, 200.0])
    40.0
    """
    return cash + float(np.dot(np.asarray(quantity, np.float64), np.asarray(entry_price, np.float64)))


def mark_of_notional(notional: ArrayLike, quantity: ArrayLike) -> FloatArray:
    """Mark price of linear positions of which notional and signed quantity are reported, quote units.

    Examples
    --------
    >>> float(mark_of_notional(68.98, -0.5))
    137.96
    """
    return np.asarray(np.abs(np.asarray(notional, np.float64)) / np.abs(np.asarray(quantity, np.float64)))


def equity_of_ratio(maintenance: ArrayLike, margin_ratio: ArrayLike) -> FloatArray:
    """Equity of an account of which maintenance margin and margin ratio = maintenance margin / equity are reported.

    Examples
    --------
    >>> float(equity_of_ratio(4.0, 0.05))
    80.0
    """
    return np.asarray(np.asarray(maintenance, np.float64) / np.asarray(margin_ratio, np.float64))
