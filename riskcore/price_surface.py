"""Equity and headroom of pools over joint shocks of two prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .accounts import AccountBook
from .arrays import BoolArray, FloatArray, frozen, require
from .compiled import compile_book, compile_rules
from .errors import InputError
from .instruments import InstrumentTable
from .margin import is_breached, live_margin, require_prices
from .margin_layout import lay_out
from .market import MarketState
from .rulebook import RuleBook


@dataclass(frozen=True)
class PriceAxis:
    """One axis of a surface: prices that move together, and by which fractions.

    Parameters
    ----------
    symbols, assets
        Instruments whose marks move and assets whose index prices move; one at least. A coin that is collateral and
        the underlying of a contract is in both.
    moves
        Relative moves, each above -1, shape (n,).

    Raises
    ------
    InputError
        Nothing that moves, no move, or a move that is not above -1.
    """

    symbols: tuple[str, ...]
    assets: tuple[str, ...]
    moves: FloatArray

    def __post_init__(self) -> None:
        for name in ("symbols", "assets"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "moves", frozen(np.atleast_1d(self.moves), np.float64))
        if not self.symbols and not self.assets:
            raise InputError("needs an instrument or an asset that moves", column="symbols")
        if self.moves.ndim != 1 or not len(self.moves):
            raise InputError(f"has shape {self.moves.shape}, expected (n,)", column="moves")
        require((self.moves > -1) & np.isfinite(self.moves), self.moves, "must be above -1", "moves")

    def shocked(self, table: InstrumentTable) -> tuple[BoolArray, BoolArray]:
        """Which marks and which index prices move; the base asset cannot."""
        mark, index = np.zeros(len(table), np.bool_), np.zeros(len(table.assets), np.bool_)
        mark[table.index_of(self.symbols)] = True
        index[table.asset_index_of(self.assets)] = True
        if index[0]:
            raise InputError("is the base asset, in which prices are told", column="assets", value=table.base)
        return mark, index


@dataclass(frozen=True)
class PriceSurface:
    """Margin of every pool on a grid; shape (n_pools, n_first, n_second), base asset.

    Parameters
    ----------
    first, second
        The moves along each axis.
    equity, headroom
        Equity, and equity above maintenance margin.
    breached
        Where the venue would liquidate; nowhere for a pool without positions.
    """

    first: FloatArray
    second: FloatArray
    equity: FloatArray
    headroom: FloatArray
    breached: BoolArray


def price_surface(
    book: AccountBook, market: MarketState, rules: RuleBook, first: PriceAxis, second: PriceAxis
) -> PriceSurface:
    """Equity and headroom of every pool on the grid of two axes, each point evaluated in full.

    Raises
    ------
    InputError
        A price that would be moved by both axes, an unknown name, what `evaluate` refuses.

    Examples
    --------
    A long of BTC hedged by a short of ETH: it lives off both falling, and dies of BTC alone.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    >>> names = ["a"], ["main"], [""]
    >>> book = AccountBook(table, *names, [0, 1], [0], [20.0], [0, 2], [0, 1], [1.0, -1.0], [100.0] * 2, [np.nan] * 2)
    >>> rates = dict.fromkeys(table.symbols, RateSchedule.marginal([0.0], [0.05], [20.0]))
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), rates)
    >>> market = MarketState(np.datetime64("2024-01-01"), [100.0, 100.0], [1.0])
    >>> axes = PriceAxis(("BTC",), (), [-0.2, 0.0]), PriceAxis(("ETH",), (), [-0.2, 0.0])
    >>> price_surface(book, market, rules, *axes).headroom[0].tolist()
    [[12.0, -9.0], [31.0, 10.0]]
    """
    require_prices(book, market)
    marks, indices = zip(first.shocked(book.instruments), second.shocked(book.instruments), strict=True)
    for column, (one, other), names in (
        ("symbols", marks, book.instruments.symbols),
        ("assets", indices, book.instruments.assets),
    ):
        if (one & other).any():
            raise InputError("is on both axes", column=column, value=names[int(np.argmax(one & other))])
    layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
    shape = (len(first.moves), len(second.moves), len(book))
    equity, maintenance = np.empty(shape), np.empty(shape)
    for i, j in np.ndindex(shape[:2]):
        mark = _moved(market.mark, marks, float(first.moves[i]), float(second.moves[j]))
        index = _moved(market.index, indices, float(first.moves[i]), float(second.moves[j]))
        equity[i, j], maintenance[i, j] = live_margin(layout, MarketState(market.time, mark, index))
    equity, maintenance = (np.ascontiguousarray(np.moveaxis(a, 2, 0)) for a in (equity, maintenance))
    holds = np.diff(book.position_pointer) > 0
    breached = is_breached(equity, maintenance, rules) & holds[:, None, None]
    return PriceSurface(first.moves, second.moves, equity, equity - maintenance, breached)


def _moved(price: FloatArray, moves_with: Sequence[BoolArray], first: float, second: float) -> FloatArray:
    return price * np.where(moves_with[0], 1 + first, 1.0) * np.where(moves_with[1], 1 + second, 1.0)
