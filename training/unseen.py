"""A guard: no account that a model is tested on may have stood in its training."""

from __future__ import annotations

import hashlib

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError
from .dataset import Dataset


def require_unseen(trained: Dataset, tested: Dataset, *, named: bool = False) -> None:
    """Refuse tested rows that a model could know from its training rows.

    Parameters
    ----------
    trained, tested
        Rows on one market: bars are compared by number.
    named
        Whether names stand for persons, so that one name in both is a leak too. Simulated draws each count their
        accounts from 0, so their names say nothing.

    Raises
    ------
    InputError
        The same book at the same bar in both, under whatever name; with `named`, the same account at any bar. The row
        is the tested one.
    """
    seen = set(book_fingerprints(trained.book, trained.sample.bar))
    found = book_fingerprints(tested.book, tested.sample.bar)
    _refuse(np.array([one in seen for one in found], dtype=np.bool_), tested, "stood in training with the same book")
    if named:
        known = np.isin(tested.book.account, np.unique(trained.book.account))
        _refuse(known, tested, "stood in training: hold out whole accounts")


def _refuse(leaked: BoolArray, tested: Dataset, problem: str) -> None:
    if leaked.any():
        row = int(np.argmax(leaked))
        many = f" ({int(leaked.sum()):,} of {len(leaked):,} rows)"
        raise InputError(problem + many, row=row, column="account", value=str(tested.book.account[row]))


def book_fingerprints(book: AccountBook, bar: IntArray) -> list[bytes]:
    """A hash of each pool's balances and positions and the bar it is seen at; names and the order of legs do not count.

    Examples
    --------
    >>> from ..riskcore.instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    >>> book = AccountBook(table, ["a", "b"], ["main"] * 2, [""] * 2, [0, 1, 2], [0, 0], [9.0, 9.0], [0, 2, 4],
    ...     [0, 1, 1, 0], [1.0, 2.0, 2.0, 1.0], [5.0, 6.0, 6.0, 5.0], [np.nan] * 4)
    >>> one, other = book_fingerprints(book, np.array([7, 7]))
    >>> one == other, one == book_fingerprints(book, np.array([8, 7]))[0]
    (True, False)
    """
    balances = np.column_stack((book.balance_asset.astype(np.float64), book.balance))
    positions = np.column_stack((book.position_instrument.astype(np.float64), book.quantity, book.entry_price))
    held = _by_pool(balances, book.balance_pointer), _by_pool(positions, book.position_pointer)
    return [
        hashlib.sha256(b"|".join((str(int(when)).encode(), own.tobytes(), legs.tobytes()))).digest()
        for when, own, legs in zip(bar, *held, strict=True)
    ]


def _by_pool(rows: FloatArray, pointer: IntArray) -> list[FloatArray]:
    """Rows of each pool, sorted by their columns from the first on."""
    pool = np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))
    order = np.lexsort((*rows.T[::-1], pool))
    return np.split(rows[order], pointer[1:-1])
