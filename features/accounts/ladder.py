"""The ladder of liquidation prices: how much of a book is forced, instrument by instrument, as prices move.

Two ladders, for two questions. In the price ladder one instrument moves and all else stays; a pool's rung is the exact
liquidation price of that instrument, and what is forced is its position there. In the parallel ladder all prices move
together by the same fraction; a pool has one rung, the move that liquidates it, and all its positions are forced there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import BoolArray, FloatArray, IntArray, frozen
from ...riskcore.exposure import Exposure
from ...riskcore.instruments import contract_value
from ...riskcore.liquidation_price import liquidation_price
from ...riskcore.margin import evaluate, is_breached
from ...riskcore.market import MarketState
from ...riskcore.rulebook import RuleBook
from .headroom_search import SeenPools, breach_multiple


@dataclass(frozen=True)
class LiquidationLadder:
    """Positions of a book and the moves that force them, in the order of the book's positions.

    Parameters
    ----------
    symbols
        Instruments.
    instrument
        Of each position.
    pool
        That holds it.
    move
        Relative move of the instrument's mark at which the pool is liquidated: negative below the mark, 0 for a pool
        that already is, NaN where no move liquidates it.
    price
        The mark after that move.
    size
        Signed quantity * multiplier of the position; forced is the opposite order.
    value
        Value of the position at `price` in its settlement asset at today's index price, signed, base asset; for a
        position without a rung, at the mark.

    Notes
    -----
    A pool with its rung below the mark that is short there is forced to buy: a hedge, whose other leg is what loses.
    """

    symbols: tuple[str, ...]
    instrument: IntArray
    pool: IntArray
    move: FloatArray
    price: FloatArray
    size: FloatArray
    value: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "symbols", tuple(self.symbols))
        for name in ("instrument", "pool"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.int64))
        for name in ("move", "price", "size", "value"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    def __len__(self) -> int:
        return len(self.instrument)

    @property
    def has_rung(self) -> BoolArray:
        """Whether some move forces each position."""
        return ~np.isnan(self.move)

    def forced_within(self, moves: FloatArray) -> FloatArray:
        """Net notional that is forced against the market by the time a price has moved so far.

        Parameters
        ----------
        moves
            Relative moves, of either sign, shape (k,). 0.0 (a rise) and -0.0 (a fall) are what is forced already.

        Returns
        -------
        FloatArray
            Shape (n_instruments, k), base asset, cumulative: for a fall what is sold less what is bought, for a rise
            what is bought less what is sold, by pools whose rung lies between the mark and the move. Positive feeds
            the move. Positions of pools that are liquidated already count on the side they press.

        Examples
        --------
        >>> move, price = [-0.02, -0.04], [98.0, 96.0]
        >>> ladder = LiquidationLadder(("BTC",), [0, 0], [0, 1], move, price, [1.0, 2.0], [98.0, 192.0])
        >>> ladder.forced_within(np.array([-0.03, -0.05, 0.05])).tolist()
        [[98.0, 290.0, 0.0]]
        """
        wanted = np.atleast_1d(np.asarray(moves, np.float64))
        out = np.empty((len(self.symbols), len(wanted)))
        for sign in (-1.0, 1.0):
            columns = np.flatnonzero(np.signbit(wanted) == (sign < 0.0))
            distance, forced, edges = self._by_distance(sign)
            for i in range(len(self.symbols)):
                rows = slice(edges[i], edges[i + 1])
                reached = np.searchsorted(distance[rows], sign * wanted[columns], side="right")
                out[i, columns] = np.append(0.0, np.cumsum(forced[rows]))[reached]
        return out

    def _by_distance(self, sign: float) -> tuple[FloatArray, FloatArray, IntArray]:
        """Rungs on one side, by instrument and distance: distances, what presses on (base asset), edges."""
        pressing = -sign * self.value
        there = np.where(self.move == 0.0, pressing > 0.0, sign * self.move > 0.0)
        rows = np.flatnonzero(there & self.has_rung)
        order = rows[np.lexsort((rows, sign * self.move[rows], self.instrument[rows]))]
        edges = np.searchsorted(self.instrument[order], np.arange(len(self.symbols) + 1))
        return sign * self.move[order], pressing[order], edges.astype(np.int64)


def price_ladder(book: AccountBook, market: MarketState, rules: RuleBook) -> LiquidationLadder:
    """The ladder of each instrument moving alone, all other marks and all index prices unchanged.

    Rungs are those of `liquidation_price`: exact over tiers, haircut slices and cliffs.

    Raises
    ------
    InputError
        What `liquidation_price` refuses.

    Examples
    --------
    A long of 1 from 100 with 10 at 5% is forced at 90 / 0.95.

    >>> import datetime as dt
    >>> from ...riskcore.instruments import InstrumentTable
    >>> from ...riskcore.rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [10.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.cliff([0.0], [0.05], [20.0])})
    >>> ladder = price_ladder(book, MarketState(np.datetime64("2024-01-01"), [100.0], [1.0]), rules)
    >>> ladder.price.round(4).tolist(), ladder.move.round(6).tolist()
    ([94.7368], [-0.052632])
    """
    price = liquidation_price(book, market, rules)
    breached = _breached_pools(book, market, rules)
    mark = market.mark[book.position_instrument]
    rung = np.where(breached[book.position_pool], mark, price)
    return _ladder(book, rung / mark - 1.0, rung, mark, market.index[book.position_asset])


def parallel_ladder(
    book: AccountBook, market: MarketState, rules: RuleBook, pools: SeenPools, exposure: Exposure
) -> LiquidationLadder:
    """The ladder of all prices, coins held as collateral included, moving together by one fraction.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules.
    pools, exposure
        Of the same book at the same prices, from `seen_pools` and `linearise_at`.

    Notes
    -----
    Of a move down and a move up the nearer one is taken. Values at a rung are told at today's index prices, so that
    what is forced is compared with depth as it stands.
    """
    down, up = (breach_multiple(pools, exposure, np.full(len(exposure.weight), way)) for way in (-1.0, 1.0))
    nearer = np.where(up < down, up, -down)
    move = np.where(np.isfinite(nearer), nearer, np.nan)
    move = np.where(_breached_pools(book, market, rules), 0.0, move)[book.position_pool]
    mark = market.mark[book.position_instrument]
    return _ladder(book, move, mark * (1.0 + move), mark, market.index[book.position_asset])


def _breached_pools(book: AccountBook, market: MarketState, rules: RuleBook) -> BoolArray:
    state = evaluate(book, market, rules)
    return is_breached(state.equity, state.maintenance, rules)


def _ladder(
    book: AccountBook, move: FloatArray, price: FloatArray, mark: FloatArray, index: FloatArray
) -> LiquidationLadder:
    size = book.position_size
    told = np.where(np.isnan(price), mark, price)
    return LiquidationLadder(
        symbols=book.instruments.symbols,
        instrument=book.position_instrument,
        pool=book.position_pool,
        move=move,
        price=price,
        size=size,
        value=contract_value(size, told, book.position_inverse) * index,
    )
