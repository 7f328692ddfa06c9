"""Margin accounts as columns: one row a margin pool, its balances and positions in CSR form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .arrays import BoolArray, FloatArray, IntArray, NameArray, frozen, require, require_pointers, require_shape
from .instruments import INVERSE, InstrumentTable

CROSS = ""
"""In `AccountBook.isolated`: the pool is a cross-margin pool."""


@dataclass(frozen=True)
class AccountBook:
    """Margin pools in columnar form.

    A pool is what is margined and liquidated as one: the cross positions of one sub-account with its balances, or one
    isolated position with the margin set aside for it. An account is one or more pools with the same `account` name.

    Parameters
    ----------
    instruments
        The contracts positions refer to.
    account, sub_account, isolated
        Names, shape (n_pools,). `isolated` is the symbol of the isolated position, "" for a cross pool.
    balance_pointer, balance_asset, balance
        Balances in CSR form: those of pool p are entries balance_pointer[p] : balance_pointer[p + 1]; asset position
        and amount in units of the asset (negative: borrowed).
    position_pointer, position_instrument, quantity, entry_price, leverage
        Positions in CSR form: instrument position, signed contracts, entry price in quote units, and the leverage
        chosen by the user (NaN: the highest the venue allows at that size).

    Raises
    ------
    InputError
        Names the first row and column that is not usable: an unknown instrument or asset, a NaN or zero quantity, a
        price that is not positive, a position in an isolated pool of another instrument.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = AccountBook(table, ["a"], ["main"], [""], [0, 1], [0], [900.0], [0, 1], [0], [0.1], [60000.0], [np.nan])
    >>> len(book), book.quantity.tolist()
    (1, [0.1])

    See Also
    --------
    book_from_records : the same from one mapping an account.
    """

    instruments: InstrumentTable
    account: NameArray
    sub_account: NameArray
    isolated: NameArray
    balance_pointer: IntArray
    balance_asset: IntArray
    balance: FloatArray
    position_pointer: IntArray
    position_instrument: IntArray
    quantity: FloatArray
    entry_price: FloatArray
    leverage: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for name in ("account", "sub_account", "isolated"):
            set_(self, name, frozen(getattr(self, name), np.str_))
        for name in ("balance_pointer", "balance_asset", "position_pointer", "position_instrument"):
            set_(self, name, frozen(getattr(self, name), np.int64))
        for name in ("balance", "quantity", "entry_price", "leverage"):
            set_(self, name, frozen(getattr(self, name), np.float64))
        self._check()

    def _check(self) -> None:
        n = len(self.account)
        self._check_lengths(n, ("account", "sub_account", "isolated"))
        self._check_lengths(len(self.balance), ("balance_asset", "balance"))
        self._check_lengths(len(self.quantity), ("position_instrument", "quantity", "entry_price", "leverage"))
        require_pointers(self.balance_pointer, n, len(self.balance), "balance_pointer")
        require_pointers(self.position_pointer, n, len(self.quantity), "position_pointer")
        assets, contracts = len(self.instruments.assets), len(self.instruments)
        known = (self.balance_asset >= 0) & (self.balance_asset < assets)
        require(known, self.balance_asset, "unknown asset position", "balance_asset")
        known = (self.position_instrument >= 0) & (self.position_instrument < contracts)
        require(known, self.position_instrument, "unknown instrument position", "position_instrument")
        require(np.isfinite(self.balance), self.balance, "must be a finite number", "balance")
        usable = np.isfinite(self.quantity) & (self.quantity != 0)
        require(usable, self.quantity, "must be a finite number other than zero", "quantity")
        usable = np.isfinite(self.entry_price) & (self.entry_price > 0)
        require(usable, self.entry_price, "must be positive", "entry_price")
        self._check_isolated()
        usable = np.isnan(self.leverage) | ((self.leverage > 0) & np.isfinite(self.leverage))
        require(usable, self.leverage, "must be positive", "leverage")

    def _check_isolated(self) -> None:
        entry = np.flatnonzero((self.isolated != CROSS)[self.position_pool])
        name = self.isolated[self.position_pool[entry]]
        symbol = np.array(self.instruments.symbols, np.str_)[self.position_instrument[entry]]
        require(symbol == name, name, "is isolated and holds a position in another instrument", "isolated")

    def _check_lengths(self, expected: int, columns: tuple[str, ...]) -> None:
        for column in columns:
            require_shape(getattr(self, column), (expected,), column)

    def __len__(self) -> int:
        return len(self.account)

    @property
    def balance_pool(self) -> IntArray:
        """Pool of each balance."""
        return csr_rows(self.balance_pointer)

    @property
    def position_pool(self) -> IntArray:
        """Pool of each position."""
        return csr_rows(self.position_pointer)

    @property
    def position_asset(self) -> IntArray:
        """Asset in which each position settles."""
        return self.instruments.settlement[self.position_instrument]

    @property
    def position_inverse(self) -> BoolArray:
        """Whether each position is in an inverse contract."""
        return np.asarray(self.instruments.kind[self.position_instrument] == INVERSE)

    @property
    def position_size(self) -> FloatArray:
        """Signed quantity * multiplier of each position; underlying units, quote units of an inverse contract."""
        return self.quantity * self.instruments.multiplier[self.position_instrument]

    def with_amounts(self, pool: IntArray, asset: IntArray, amount: FloatArray) -> AccountBook:
        """The book with amounts of assets added to pools, each as a balance behind those the pool has.

        Examples
        --------
        >>> table = InstrumentTable.linear_perpetuals(["BTC"])
        >>> names = ["a", "b"], ["main", "main"], ["", ""]
        >>> book = AccountBook(table, *names, [0, 1, 1], [0], [9.0], [0, 0, 0], [], [], [], [])
        >>> after = book.with_amounts(np.array([1, 0]), np.array([0, 0]), np.array([5.0, -2.0]))
        >>> after.balance.tolist(), after.balance_pointer.tolist()
        ([9.0, -2.0, 5.0], [0, 2, 3])
        """
        pools = np.concatenate((self.balance_pool, pool))
        order = np.argsort(pools, kind="stable")
        return replace(
            self,
            balance_pointer=csr_pointers(pools[order], len(self)),
            balance_asset=np.concatenate((self.balance_asset, asset))[order],
            balance=np.concatenate((self.balance, amount))[order],
        )

    def take(self, rows: IntArray) -> AccountBook:
        """The book of these pools, in this order."""
        balances, balance_pointer = csr_entries(self.balance_pointer, rows)
        positions, position_pointer = csr_entries(self.position_pointer, rows)
        return AccountBook(
            self.instruments,
            self.account[rows],
            self.sub_account[rows],
            self.isolated[rows],
            balance_pointer,
            self.balance_asset[balances],
            self.balance[balances],
            position_pointer,
            self.position_instrument[positions],
            self.quantity[positions],
            self.entry_price[positions],
            self.leverage[positions],
        )


def csr_entries(pointers: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Entries of the given CSR rows, in order, and the pointers over them.

    Examples
    --------
    >>> entries, pointers = csr_entries(np.array([0, 2, 2, 5]), np.array([2, 0]))
    >>> entries.tolist(), pointers.tolist()
    ([2, 3, 4, 0, 1], [0, 3, 5])
    """
    first, counts = pointers[rows], pointers[np.asarray(rows) + 1] - pointers[rows]
    out = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return np.arange(out[-1]) + np.repeat(first - out[:-1], counts), out


def csr_rows(pointers: IntArray) -> IntArray:
    """CSR row of every entry.

    Examples
    --------
    >>> csr_rows(np.array([0, 2, 2, 5])).tolist()
    [0, 0, 2, 2, 2]
    """
    return np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))


def csr_pointers(row: IntArray, rows: int) -> IntArray:
    """Pointers over entries that stand in the order of their CSR rows 0 .. rows - 1.

    Examples
    --------
    >>> csr_pointers(np.array([0, 0, 2, 2, 2]), 3).tolist()
    [0, 2, 2, 5]
    """
    return np.searchsorted(row, np.arange(rows + 1)).astype(np.int64)


def csr_row_of(pointers: IntArray, entry: int) -> int:
    """CSR row that holds an entry.

    Examples
    --------
    >>> csr_row_of(np.array([0, 2, 2, 5]), 2)
    2
    """
    return int(np.searchsorted(pointers, entry, side="right")) - 1
