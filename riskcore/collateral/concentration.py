"""How much of the collateral of pools, and of a whole venue, is one asset, and what counts under limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..accounts import AccountBook
from ..arrays import BoolArray, FloatArray, require, table_sums
from ..errors import InputError
from ..margin import require_prices
from ..market import MarketState


def balance_values(book: AccountBook, market: MarketState) -> FloatArray:
    """Value of each pool's balances before haircuts, base asset, shape (n_pools, n_assets).

    Raises
    ------
    InputError
        A balance without an index price.

    Examples
    --------
    >>> from ..instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"], collateral=["ETH"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 2], [0, 1], [50.0, 2.0], [0, 0], [], [], [], [])
    >>> balance_values(book, MarketState(np.datetime64("2024-01-01"), [np.nan], [1.0, 3000.0])).tolist()
    [[50.0, 6000.0]]
    """
    require_prices(book, market)
    value = book.balance * market.index[book.balance_asset]
    return table_sums(book.balance_pool, book.balance_asset, value, (len(book), len(book.instruments.assets)))


@dataclass(frozen=True)
class Concentration:
    """Positive balances of pools against a limit on the share of one asset; shape (n_pools, n_assets).

    Parameters
    ----------
    share
        Of the pool's positive balances, by value before haircuts; 0 where it has none.
    counted
        Value that counts under the limits, base asset.
    breached
        Where part of the value does not count.
    """

    share: FloatArray
    counted: FloatArray
    breached: BoolArray


def concentration(values: ArrayLike, share_limit: ArrayLike) -> Concentration:
    """Largest values that count such that no asset is more than its share of what counts.

    Parameters
    ----------
    values
        As from `balance_values`; debts count as 0 here.
    share_limit
        Largest share of each asset in (0, 1], shape (n_assets,); 1 for no limit.

    Notes
    -----
    c_a = min(v_a, s_a * C) with C = sum of c: the greatest C that solves it. The right-hand side is concave in C, so
    assets are capped one after the other, by rising v_a / s_a; C is 0 if the limits of all assets held sum to less
    than 1.

    Raises
    ------
    InputError
        A limit outside (0, 1], a value that is NaN.

    Examples
    --------
    60 of A may be at most half: only as much counts as the 40 of B.

    >>> concentration([[60.0, 40.0]], [0.5, 1.0]).counted.tolist()
    [[40.0, 40.0]]
    """
    held = np.asarray(values, np.float64)
    limit = np.asarray(share_limit, np.float64)
    if held.ndim != 2 or limit.shape != held.shape[1:]:
        raise InputError(f"has shape {limit.shape} for values of shape {held.shape}", column="share_limit")
    require((limit > 0) & (limit <= 1), limit, "must be in (0, 1]", "share_limit")
    require(np.isfinite(held), held, "must be a finite number", "values")
    held = np.maximum(held, 0.0)
    counted = np.minimum(held, limit * _largest_total(held, limit)[:, None])
    total = held.sum(axis=1, keepdims=True)
    share = np.divide(held, total, out=np.zeros_like(held), where=total > 0)
    return Concentration(share, counted, counted < held)


def _largest_total(held: FloatArray, limit: FloatArray) -> FloatArray:
    """Greatest C with C = sum of min(v, s C), for each row.

    With the assets in rising order of v / s, the k first count in full and the rest at s C: C is
    (sum of the k first v) / (1 - sum of the other s), for the greatest k for which the k-th still counts in full.
    """
    turn = held / limit
    order = np.argsort(turn, axis=1, kind="stable")
    full = np.cumsum(np.take_along_axis(held, order, axis=1), axis=1)
    capped = limit[order][:, ::-1].cumsum(axis=1)[:, ::-1]
    others = np.concatenate((capped[:, 1:], np.zeros((len(held), 1))), axis=1)
    total = np.divide(full, 1 - others, out=np.zeros_like(full), where=others < 1)
    fits = np.take_along_axis(turn, order, axis=1) <= total * (1 + 1e-12)
    last = held.shape[1] - 1 - np.argmax(fits[:, ::-1], axis=1)
    found = total[np.arange(len(held)), last]
    return np.asarray(np.where(fits.any(axis=1), found, 0.0))
