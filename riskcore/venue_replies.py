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


def currency_equity(
    cash: ArrayLike, profit: ArrayLike, strategies: ArrayLike = 0.0, liability: ArrayLike = 0.0
) -> FloatArray:
    """Equity of one currency of an account: cash + unrealised profit + equity in strategies - liability.

    Units of the currency. Source: OKX account reply, `eq`; `cash` is its cashBal, `liability` what it lists apart.

    Examples
    --------
    >>> float(currency_equity(100.0, -5.0, 20.0, 1.0))
    114.0
    """
    parts = (np.asarray(part, np.float64) for part in (cash, profit, strategies, liability))
    own, gained, apart, owed = parts
    return np.asarray(own + gained + apart - owed)


def available_equity(equity: ArrayLike, frozen: ArrayLike) -> FloatArray:
    """Equity of one currency that orders and positions do not hold: max(equity - frozen, 0). Source: OKX, `availEq`.

    Examples
    --------
    >>> available_equity([114.0, 10.0], [14.0, 20.0]).tolist()
    [100.0, 0.0]
    """
    return np.maximum(np.asarray(equity, np.float64) - np.asarray(frozen, np.float64), 0.0)


def profit_ratio(profit: ArrayLike, margin: ArrayLike) -> FloatArray:
    """Unrealised profit over the initial margin of a position (OKX `uplRatio`, Binance ROI); NaN without margin.

    Examples
    --------
    >>> profit_ratio([5.0, 1.0], [50.0, 0.0]).tolist()
    [0.1, nan]
    """
    asked = np.asarray(margin, np.float64)
    return np.asarray(np.asarray(profit, np.float64) / np.where(asked == 0, np.nan, asked))
