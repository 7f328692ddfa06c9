"""What a stress needs to know of a market: daily volatility, beta, order-book depth; what is assumed is said."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.liquidity.book_depth import book_depth
from ..features.market_data import MarketData
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.instruments import InstrumentTable
from ..riskcore.market import UNIT_INDEX, MarketHistory
from ..riskcore.waterfall.depth import DepthBook

WINDOW_DAYS, LEAST_DAYS = 30, 5
LEVELS = ((25.0, 1 / 3), (100.0, 2 / 3))
"""Basis points from the mid, and the part of assumed depth that rests there."""
ASSUMED_SHARE = 0.01
Levels = list[tuple[float, float]]


@dataclass(frozen=True)
class Moves:
    """How contracts move: standard deviation of daily log returns and beta to the market, shape (n_instruments,)."""

    sigma: FloatArray
    beta: FloatArray
    market: str


def held_only(book: AccountBook, history: MarketHistory) -> tuple[AccountBook, MarketHistory]:
    """The book and the history with only the contracts and assets that some account holds.

    A contract that nobody holds may have no price yet, and a stress would have to make one up.
    """
    table = book.instruments
    contracts = np.unique(book.position_instrument)
    assets = np.unique(np.concatenate(([0], book.balance_asset, table.settlement[contracts])))
    fewer = InstrumentTable(
        tuple(table.symbols[i] for i in contracts),
        table.kind[contracts],
        table.multiplier[contracts],
        np.searchsorted(assets, table.settlement[contracts]),
        tuple(table.assets[a] for a in assets),
        table.expiry[contracts],
    )
    small = AccountBook(
        fewer,
        book.account,
        book.sub_account,
        book.isolated,
        book.balance_pointer,
        np.searchsorted(assets, book.balance_asset),
        book.balance,
        book.position_pointer,
        np.searchsorted(contracts, book.position_instrument),
        book.quantity,
        book.entry_price,
        book.leverage,
    )
    return small, _columns(history, fewer, contracts, assets)


def _columns(history: MarketHistory, table: InstrumentTable, contracts: IntArray, assets: IntArray) -> MarketHistory:
    marks, indices = history.mark_series[contracts], history.index_series[assets]
    series = np.unique(np.concatenate((marks, indices[indices != UNIT_INDEX])))
    bars = {name: getattr(history, name)[:, series] for name in ("open", "high", "low", "close")}
    return MarketHistory(
        table,
        history.times,
        **bars,
        mark_series=np.searchsorted(series, marks),
        index_series=np.where(indices == UNIT_INDEX, UNIT_INDEX, np.searchsorted(series, indices)),
        funding=history.funding[:, contracts],
        source=history.source,
    )


def moves_of(history: MarketHistory, bar: int) -> Moves:
    """Volatility and beta over the 30 days before a bar; the market is BTC, or the mean of all where nobody holds it.

    Raises
    ------
    InputError
        A contract with less than five days of bars in that time.
    """
    per_day = np.timedelta64(1, "D") / history.step
    first = max(bar - round(WINDOW_DAYS * per_day), 0)
    returns = np.diff(np.log(history.close[first:bar, history.mark_series]), axis=0)
    known = (~np.isnan(returns)).sum(axis=0)
    short = known < LEAST_DAYS * per_day - 1
    if short.any():
        who = history.instruments.symbols[int(np.argmax(short))]
        raise InputError(f"has less than {LEAST_DAYS} days of bars before {history.times[bar - 1]}", value=who)
    symbols = history.instruments.symbols
    market = returns[:, symbols.index("BTC")] if "BTC" in symbols else np.nanmean(returns, axis=1)
    beta = np.array([_beta(returns[:, i], market) for i in range(len(symbols))])
    name = "BTC" if "BTC" in symbols else "mean of the contracts held"
    if not np.isfinite(beta).all():
        who = symbols[int(np.argmin(np.isfinite(beta)))]
        raise InputError(f"has no beta to the {name}: the market does not move where both have bars", value=who)
    return Moves(np.nanstd(returns, axis=0) * np.sqrt(per_day), beta, name)


def _beta(returns: FloatArray, market: FloatArray) -> float:
    both = ~np.isnan(returns) & ~np.isnan(market)
    with np.errstate(invalid="ignore", divide="ignore"):
        covariance = np.cov(returns[both], market[both])
        return float(covariance[0, 1] / covariance[1, 1])


def depth_of(data: MarketData, table: InstrumentTable, mark: FloatArray, bar: int) -> tuple[DepthBook, list[str]]:
    """Order books at a bar from the folder's depth table; of contracts it lacks, assumed from the turnover.

    Assumed: 1% of the mean daily turnover of 30 days rests within 1% of the mid on each side, a third of it within
    0.25%, and nothing beyond.

    Returns
    -------
    tuple
        The books, and in words what was assumed.
    """
    columns, turnover = data.history.instruments.index_of(table.symbols), _turnover(data, bar)
    ladders, assumed = {}, []
    for place, symbol in enumerate(table.symbols):
        found = _recorded(data, symbol, bar)
        if found is None:
            assumed.append(symbol)
            resting = ASSUMED_SHARE * turnover[columns[place]]
            found = ([(bps, resting * part) for bps, part in LEVELS],) * 2
        bids, asks = found
        ladders[symbol] = (_ladder(bids, float(mark[place]), -1.0), _ladder(asks, float(mark[place]), 1.0))
    told = []
    if assumed:
        names = ", ".join(assumed[:5]) + (f" and {len(assumed) - 5} more" if len(assumed) > 5 else "")
        told.append(f"no recorded depth of {names}: assumed 1% of daily turnover within 1% of the mid, nothing beyond")
    return DepthBook.of(table, ladders), told


def _turnover(data: MarketData, bar: int) -> FloatArray:
    per_day = np.timedelta64(1, "D") / data.history.step
    first = max(bar - round(WINDOW_DAYS * per_day), 0)
    traded = data.trade["close"][first:bar] * data.trade["volume"][first:bar]
    return np.asarray(np.nansum(traded, axis=0) / np.maximum((~np.isnan(traded)).sum(axis=0), 1) * per_day)


def _recorded(data: MarketData, symbol: str, bar: int) -> tuple[Levels, Levels] | None:
    """Bids and asks of a symbol as last seen in the bar before, (distance, notional between it and the one before)."""
    if data.depth is None:
        return None
    seen = book_depth(data.depth, data.history.times[bar - 1 : bar], data.history.step, (symbol,))
    sides = []
    for resting in (seen.bid[0, 0], seen.ask[0, 0]):
        there = ~np.isnan(resting)
        if not there.any():
            return None
        steps = np.diff(resting[there], prepend=0.0)
        sides.append(list(zip(seen.levels[there].tolist(), steps.tolist(), strict=True)))
    return sides[0], sides[1]


def _ladder(levels: Levels, price: float, sign: float) -> Levels:
    prices = [price * (1 + sign * bps / 1e4) for bps, _ in levels]
    return [(level, notional / level) for level, (_, notional) in zip(prices, levels, strict=True)]
