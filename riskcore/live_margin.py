"""A book that is marked on every tick: in whole, or only the pools that the price which moved can touch."""

from __future__ import annotations

import numpy as np

from .accounts import AccountBook
from .arrays import IntArray
from .compiled import compile_book, compile_rules, order_by_group
from .errors import InputError
from .margin import live_margin, require_prices
from .margin_kernel import margin_of_slots, settle_tiers_of
from .margin_layout import PRICE, WIDTH, MarginLayout, SmallIntArray, lay_out, priced
from .market import MarketState
from .rulebook import RuleBook


class LiveMargin:
    """Equity and maintenance margin of a book, kept while prices move.

    Parameters
    ----------
    book, market, rules
        The pools, the prices they are first marked at, and the rules.

    Attributes
    ----------
    equity, maintenance
        Base asset, shape (n_pools,); always those of a whole pass at the prices given so far, bit for bit.

    Raises
    ------
    InputError
        What `evaluate` refuses.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> from .rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [2000.0], [0, 1], [0], [1.0], [30000.0], [20.0])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.004], [125.0])})
    >>> live = LiveMargin(book, MarketState(np.datetime64("2024-01-01"), [29_000.0], [1.0]), rules)
    >>> live.tick(0, 28_100.0).tolist(), live.equity.tolist(), live.maintenance.tolist()
    ([0], [100.0], [112.4])
    """

    def __init__(self, book: AccountBook, market: MarketState, rules: RuleBook) -> None:
        require_prices(book, market)
        self.book = book
        self._layout = lay_out(compile_book(book), compile_rules(rules, book.instruments, book))
        self._holders, self._first = _holders(self._layout, len(book.instruments))
        self.mark(market)

    def mark(self, market: MarketState) -> None:
        """Mark every pool at these prices."""
        require_prices(self.book, market)
        self._mark, self._index = market.mark.copy(), market.index
        self.equity, self.maintenance = live_margin(self._layout, market)
        unit = np.where(self._layout.inverse, -1.0 / self._mark, self._mark)
        self._tiers = priced(self._layout.tiers, self._layout.tier_pointer, unit)
        self._slices = priced(self._layout.slices, self._layout.slice_pointer, self._index)

    def tick(self, instrument: int, price: float) -> IntArray:
        """Mark the pools that hold one instrument at its new price; which pools they are.

        Raises
        ------
        InputError
            A price that is not positive, an instrument that is not in the table.
        """
        if not 0 < price < np.inf:
            raise InputError("price must be positive", row=instrument, column="mark", value=price)
        if not 0 <= instrument < len(self._mark):
            raise InputError("unknown instrument position", column="instrument", value=instrument)
        layout = self._layout
        self._mark[instrument] = price
        first, last = (int(place) for place in layout.tier_pointer[instrument : instrument + 2])
        self._tiers[first:last].reshape(-1, int(WIDTH))[:, PRICE] = (
            -1.0 / price if layout.inverse[instrument] else price
        )
        settle_tiers_of(instrument, layout, self._tiers)
        slots = self._holders[self._first[instrument] : self._first[instrument + 1]]
        margin_of_slots(slots, layout, self._tiers, self._slices, self.equity, self.maintenance)
        return layout.pool[slots].astype(np.int64)


def _holders(layout: MarginLayout, instruments: int) -> tuple[SmallIntArray, IntArray]:
    """Slots that hold each instrument, rising, and where those of each begin."""
    pointer: IntArray = layout.leg_pointer.astype(np.int64)
    rows = np.repeat(np.arange(len(layout.row_asset)), pointer[1:] - pointer[:-1])
    slots = np.searchsorted(layout.row_pointer, rows, side="right") - 1
    order = order_by_group(layout.leg_instrument.astype(np.int64), instruments)
    slot, instrument = slots[order], layout.leg_instrument[order]
    fresh = np.ones(len(slot), dtype=np.bool_)
    fresh[1:] = (np.diff(slot) != 0) | (np.diff(instrument) != 0)
    first = np.searchsorted(instrument[fresh], np.arange(instruments + 1))
    return slot[fresh].astype(np.uint32), first
