"""How far a pool is from liquidation and from owing more than it has, and the gap between the two."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .accounts import AccountBook
from .arrays import FloatArray, frozen
from .liquidation_price import liquidation_price
from .market import MarketState
from .rulebook import NO_HAIRCUT, RateSchedule, RuleBook

NOTHING_REQUIRED = RateSchedule(np.zeros(1), np.full(1, np.finfo(np.float64).tiny), np.zeros(1), np.ones(1))
"""A schedule whose margin is lost in the rounding of any equity: the least rate a schedule may have."""


def zero_equity_price(book: AccountBook, market: MarketState, rules: RuleBook, *, haircuts: bool = True) -> FloatArray:
    """The price of each position's instrument at which its pool's equity is 0, all else unchanged.

    Parameters
    ----------
    book, market, rules
        The pools, the prices and the rules that hold.
    haircuts
        True: equity as the venue counts it, after haircuts. False: collateral at its full value, so that beyond this
        price the pool owes more than it has, its bankruptcy price proper.

    Returns
    -------
    FloatArray
        One price a position, as from `liquidation_price`: nearest to the mark, exact over haircut slices; NaN where no
        positive price does it.

    Examples
    --------
    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [10.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.04], [20.0])})
    >>> zero_equity_price(book, MarketState(np.datetime64("2024-01-01"), [100.0], [1.0]), rules).tolist()
    [90.0]
    """
    free = replace(rules, schedules={}, aliases={}, generic=NOTHING_REQUIRED, closing_fee=0.0, maintenance_at="mark")
    if not haircuts:
        table = book.instruments
        for asset in np.unique(np.concatenate((book.balance_asset, table.settlement[book.position_instrument]))):
            rules.haircut_of(table.assets[asset], table.base)
        free = replace(free, haircuts={}, generic_haircut=NO_HAIRCUT)
    return liquidation_price(book, market, free)


@dataclass(frozen=True)
class LiquidationGap:
    """Where each position's instrument ends its pool, one a position; prices in quote units.

    Parameters
    ----------
    mark, liquidation, bankruptcy
        The mark, the liquidation price, and the price at which the pool has nothing left; NaN where there is none.
    to_liquidation, to_bankruptcy
        The same as relative moves of the mark, signed.
    gap
        |bankruptcy - liquidation| / liquidation: what the liquidation engine has to close the position in before the
        insurance fund pays.
    """

    mark: FloatArray
    liquidation: FloatArray
    bankruptcy: FloatArray
    to_liquidation: FloatArray
    to_bankruptcy: FloatArray
    gap: FloatArray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))


def liquidation_gap(
    book: AccountBook, market: MarketState, rules: RuleBook, *, haircuts: bool = False
) -> LiquidationGap:
    """Distances of every position; `haircuts` as in `zero_equity_price`.

    Examples
    --------
    With 4% maintenance margin the long from 100 with 10 is liquidated at 93.75 and has nothing left at 90.

    >>> import datetime as dt
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [10.0], [0, 1], [0], [1.0], [100.0], [np.nan])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.04], [20.0])})
    >>> found = liquidation_gap(book, MarketState(np.datetime64("2024-01-01"), [100.0], [1.0]), rules)
    >>> found.to_liquidation.tolist(), found.to_bankruptcy.tolist(), found.gap.tolist()
    ([-0.0625], [-0.1], [0.04])
    """
    liquidation = liquidation_price(book, market, rules)
    bankruptcy = zero_equity_price(book, market, rules, haircuts=haircuts)
    mark = market.mark[book.position_instrument]
    return LiquidationGap(
        mark=mark,
        liquidation=liquidation,
        bankruptcy=bankruptcy,
        to_liquidation=(liquidation - mark) / mark,
        to_bankruptcy=(bankruptcy - mark) / mark,
        gap=np.abs(bankruptcy - liquidation) / liquidation,
    )
