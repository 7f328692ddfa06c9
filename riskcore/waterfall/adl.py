"""Auto-deleveraging: in which order positions are closed against a bankrupt one, as venues rank them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, IntArray, frozen
from ..errors import InputError
from .partial_close import riskiest_first
from .procedure import RANKINGS, AdlRanking

COLUMNS = ("notional", "entry_notional", "profit", "leg_equity", "wallet", "equity", "maintenance")


@dataclass(frozen=True)
class AdlCandidates:
    """Positions on the side opposite to a bankrupt one; amounts in the base asset, one row a position.

    Parameters
    ----------
    notional, entry_notional
        Absolute value at the mark and at the entry price.
    profit
        Unrealised profit, negative for a loss.
    leg_equity
        The position's share of its pool's equity: mark value less bankrupt value. Positive.
    wallet, equity, maintenance
        Of the position's pool: balances, equity and maintenance margin.

    Raises
    ------
    InputError
        Columns of unequal length, a value that is not finite, an equity share that is not positive.
    """

    notional: FloatArray
    entry_notional: FloatArray
    profit: FloatArray
    leg_equity: FloatArray
    wallet: FloatArray
    equity: FloatArray
    maintenance: FloatArray

    def __post_init__(self) -> None:
        for name in COLUMNS:
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
            column = getattr(self, name)
            positive = name in ("notional", "entry_notional", "leg_equity", "equity")
            usable = np.isfinite(column) & ((column > 0) if positive else True)
            if column.shape != self.notional.shape:
                raise InputError(f"has shape {column.shape}, expected {self.notional.shape}", column=name)
            if not usable.all():
                row = int(np.flatnonzero(~usable)[0])
                problem = "must be positive" if positive else "must be a finite number"
                raise InputError(problem, row=row, column=name, value=float(column[row]))

    def __len__(self) -> int:
        return len(self.notional)


def adl_score(ranking: AdlRanking, rows: AdlCandidates) -> FloatArray:
    """Score of each candidate; the highest is deleveraged first.

    "pnl_times_margin_ratio": max(0, profit) / max(1, wallet) * maintenance / equity (Binance, faq 360033525471).
    "return_times_leverage": with r = profit / entry value and L = mark value / (mark value - bankrupt value), r * L in
    profit and r / L in loss (BitMEX, app/autoDeleveraging; Bybit ranks by profit and effective leverage as well).
    "gain_times_leverage": mark / entry * notional / account value, for shorts entry / mark (Hyperliquid,
    trading/auto-deleveraging). "least_net_collateral": -equity / maintenance (dYdX v4; `adl_order` compares without
    dividing). "absolute_profit": profit, which no venue of the rule-books uses.

    Raises
    ------
    InputError
        An unknown ranking.

    Examples
    --------
    The figures a Binance user posted (dev.binance.vision/t/17801): profit 40.2, wallet 4.27, margin ratio 13.42%.

    >>> rows = AdlCandidates([50.0], [10.0], [40.2], [44.47], [4.27], [44.47], [0.1342 * 44.47])
    >>> adl_score("pnl_times_margin_ratio", rows).round(2).tolist()
    [1.26]
    """
    if ranking == "pnl_times_margin_ratio":
        return np.maximum(0.0, rows.profit) / np.maximum(1.0, rows.wallet) * (rows.maintenance / rows.equity)
    if ranking == "return_times_leverage":
        gain, leverage = rows.profit / rows.entry_notional, rows.notional / rows.leg_equity
        return np.where(gain > 0, gain * leverage, gain / leverage)
    if ranking == "gain_times_leverage":
        grown = np.maximum(rows.notional, rows.entry_notional) / np.minimum(rows.notional, rows.entry_notional)
        return np.where(rows.profit > 0, grown, 1.0 / grown) * rows.notional / rows.equity
    if ranking == "least_net_collateral":
        with np.errstate(divide="ignore"):
            return -rows.equity / rows.maintenance
    if ranking == "absolute_profit":
        return rows.profit
    raise InputError(f"must be one of {', '.join(RANKINGS)}", column="adl_ranking", value=ranking)


def adl_order(ranking: AdlRanking, rows: AdlCandidates) -> IntArray:
    """Places of the candidates, first to be deleveraged first; equals in the order given.

    Examples
    --------
    The same profit, of which the first candidate made more with less of its own:

    >>> rows = AdlCandidates([110.0, 110.0], [100.0, 100.0], [10.0, 10.0], [20.0, 11.0], [10.0, 1.0], [20.0, 11.0],
    ...     [1.0, 1.0])
    >>> adl_order("return_times_leverage", rows).tolist(), adl_order("absolute_profit", rows).tolist()
    ([1, 0], [0, 1])
    """
    if ranking == "least_net_collateral":
        return riskiest_first(rows.equity, rows.maintenance)
    return np.argsort(-adl_score(ranking, rows), kind="stable")


def adl_quintile(score: ArrayLike, size: ArrayLike) -> IntArray:
    """Fifth of the side's contracts each position stands in, 1 the first to be deleveraged: the lights venues show.

    Source: BitMEX, app/autoDeleveragingExamples.

    Examples
    --------
    >>> adl_quintile([3, 6, 1, 4, 5, 2], [10, 10, 20, 30, 20, 10]).tolist()
    [4, 1, 5, 3, 2, 4]
    """
    ranked = np.argsort(-np.asarray(score, np.float64), kind="stable")
    sizes = np.asarray(size, np.float64)
    reached = np.cumsum(sizes[ranked]) / sizes.sum()
    out = np.empty(len(ranked), dtype=np.int64)
    out[ranked] = np.clip(np.ceil(reached * 5 - 1e-12), 1, 5).astype(np.int64)
    return out
