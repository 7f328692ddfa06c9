"""Net amounts by risk unit and expiry: what basis and volatility term-structure charges look at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arrays import FloatArray, IntArray, group_sums
from .contracts import ContractPrices, ContractTable, PositionBook
from .exposures import UnitRows


class ExpiryNets(NamedTuple):
    """Net amounts of each row of positions in each of its expiries.

    Parameters
    ----------
    row
        Row (pool and risk unit) of each net, rising.
    years
        Years to the expiry; 0 for perpetuals and spot, which are one of the expiries.
    net
        Sum of the amounts.
    """

    row: IntArray
    years: FloatArray
    net: FloatArray


def expiry_nets(
    book: PositionBook, contracts: ContractTable, prices: ContractPrices, rows: UnitRows, amount: FloatArray
) -> ExpiryNets:
    """Add up an amount of each entry of the book by row and expiry.

    Examples
    --------
    Long and short of one expiry net, the perpetual stands apart:

    >>> from .contracts import LINEAR, contract_prices, contract_table
    >>> from .exposures import unit_rows
    >>> table = contract_table(["P", "F"], ["X", "X"], LINEAR, units=["X"], expiry=["NaT", "2024-12-31"])
    >>> book = PositionBook([0, 3], [0, 1, 1], [5.0, 3.0, -1.0])
    >>> nets = expiry_nets(book, table, contract_prices(np.datetime64("2024-01-01"), [1.0, 1.0]),
    ...                    unit_rows(book, table), book.quantity)
    >>> nets.years.round(6).tolist(), nets.net.tolist()
    ([0.0, 1.0], [5.0, 2.0])
    """
    held = book.contract
    expiry, place = np.unique(contracts.expiry.astype(np.int64), return_inverse=True)
    key, which = np.unique(rows.row_of_entry * len(expiry) + place.ravel()[held], return_inverse=True)
    net = group_sums(which.ravel(), amount, len(key))
    years = np.zeros(len(key))
    years[which.ravel()] = np.maximum(np.nan_to_num(prices.years(contracts)[held], nan=0.0), 0.0)
    return ExpiryNets(key // max(len(expiry), 1), years, net)
