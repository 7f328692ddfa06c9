"""How crowded a known book is: which side holds, in how few hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.accounts import AccountBook
from ...riskcore.arrays import FloatArray, group_sums
from ...riskcore.errors import InputError
from ...riskcore.instruments import contract_value
from ...riskcore.margin import require_prices
from ...riskcore.market import MarketState
from ..engine.step import Declaration


@dataclass(frozen=True)
class BookCrowding:
    """Crowding of each instrument, by account; shape (n_instruments,), those by side (n_instruments, 2), long first.

    Parameters
    ----------
    gross
        Notional held, base asset, of longs and of shorts, each account netted.
    accounts
        Accounts on each side.
    one_sidedness
        (long - short) / (long + short), -1 to 1: 0 for a book that holds both ends of every contract.
    herfindahl
        Sum of squared shares of the accounts in each side's notional: 1 for one account, 1 / n for n alike.
    top_share
        Share of the largest accounts in each side's notional.
    """

    gross: FloatArray
    accounts: FloatArray
    one_sidedness: FloatArray
    herfindahl: FloatArray
    top_share: FloatArray


def book_crowding(book: AccountBook, market: MarketState, top: int = 10) -> BookCrowding:
    """Concentration and lean of the open positions of a book.

    Parameters
    ----------
    book
        Pools; those of one account name are one holder, its positions in an instrument netted.
    market
        Marks.
    top
        How many accounts `top_share` counts.

    Raises
    ------
    InputError
        A position without a mark, or no account to count.

    Examples
    --------
    Longs of 3 and 1 against a short of 4 by one account:

    >>> from ...riskcore.instruments import InstrumentTable
    >>> table, names, nan = InstrumentTable.linear_perpetuals(["BTC"]), ["a", "b", "c"], np.nan
    >>> book = AccountBook(table, names, names, [""] * 3, [0] * 4, [], [], [0, 1, 2, 3], [0] * 3, [3.0, 1.0, -4.0],
    ...     [100.0] * 3, [nan] * 3)
    >>> found = book_crowding(book, MarketState(np.datetime64("2024-01-01"), [100.0], [1.0]), top=1)
    >>> found.gross.tolist(), found.herfindahl.tolist(), found.top_share.tolist(), found.one_sidedness.tolist()
    ([[400.0, 400.0]], [[0.625, 1.0]], [[0.75, 1.0]], [0.0])
    """
    if top < 1:
        raise InputError("must be at least one account", column="top", value=top)
    require_prices(book, market)
    instruments = len(book.instruments)
    instrument = book.position_instrument
    value = contract_value(book.position_size, market.mark[instrument], book.position_inverse)
    value = value * market.index[book.position_asset]
    _, holder = np.unique(book.account, return_inverse=True)
    holding, where = np.unique(holder[book.position_pool] * instruments + instrument, return_inverse=True)
    net = group_sums(where, value, len(holding))
    sides = 2 * (holding % instruments) + (net < 0.0)
    held = np.abs(net)
    gross = group_sums(sides, held, 2 * instruments)
    share = held / np.where(gross > 0.0, gross, 1.0)[sides]
    # rank of each account within its side, the largest first
    order = np.lexsort((holding, -held, sides))
    first = np.searchsorted(sides[order], np.arange(2 * instruments))
    largest = np.arange(len(order)) - first[sides[order]] < top
    among_top = group_sums(sides[order], share[order] * largest, 2 * instruments)
    known = gross > 0.0
    shape = (instruments, 2)
    long, short = gross.reshape(shape).T
    both = np.where(long + short > 0.0, long + short, np.nan)
    return BookCrowding(
        gross=gross.reshape(shape),
        accounts=np.bincount(sides[held > 0.0], minlength=2 * instruments).astype(np.float64).reshape(shape),
        one_sidedness=(long - short) / both,
        herfindahl=np.where(known, group_sums(sides, share**2, 2 * instruments), np.nan).reshape(shape),
        top_share=np.where(known, among_top, np.nan).reshape(shape),
    )


DECLARATIONS = tuple(
    Declaration(name, summary, unit, ("close",), 0.0, "NaN where nobody holds that side of the known book")
    for name, summary, unit in (
        ("book_one_sidedness", "Longs less shorts of the known book over both", "share, -1 to 1"),
        ("long_herfindahl", "Herfindahl index of the accounts' shares in what is long", "share, 0 to 1"),
        ("short_herfindahl", "Herfindahl index of the accounts' shares in what is short", "share, 0 to 1"),
        ("long_top_share", "Share of the ten largest accounts in what is long", "share, 0 to 1"),
        ("short_top_share", "Share of the ten largest accounts in what is short", "share, 0 to 1"),
    )
)
"""What the figures of `BookCrowding` say of themselves."""
