"""What each pool holds of every asset: balances and unrealised profit together."""

from __future__ import annotations

import numpy as np

from .accounts import AccountBook
from .arrays import FloatArray, table_sums
from .instruments import contract_profit
from .margin import require_prices
from .market import MarketState


def asset_totals(book: AccountBook, market: MarketState, *, losses_only: bool = False) -> FloatArray:
    """Balance plus unrealised profit of each pool in each asset, units of it, shape (n_pools, n_assets).

    With `losses_only` profits of legs in the money are left out.

    Raises
    ------
    InputError
        A position without a mark or in an expired contract, a balance without an index price.

    Examples
    --------
    >>> from .instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC"])
    >>> names = ["a"], ["main"], [""]
    >>> book = AccountBook(table, *names, [0, 2], [0, 1], [50.0, 0.5], [0, 1], [0], [2.0], [100.0], [np.nan])
    >>> asset_totals(book, MarketState(np.datetime64("2024-01-01"), [110.0], [1.0, 110.0])).tolist()
    [[70.0, 0.5]]
    """
    require_prices(book, market)
    mark = market.mark[book.position_instrument]
    profit = contract_profit(book.position_size, book.entry_price, mark, book.position_inverse)
    profit = np.minimum(profit, 0.0) if losses_only else profit
    return table_sums(
        np.concatenate((book.balance_pool, book.position_pool)),
        np.concatenate((book.balance_asset, book.position_asset)),
        np.concatenate((book.balance, profit)),
        (len(book), len(book.instruments.assets)),
    )
