"""Contract maps: what one unit of each instrument is worth, and in which asset it settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    TimeArray,
    frozen,
    positions_of,
    require,
    require_shape,
    require_unique,
)
from .errors import InputError

LINEAR, INVERSE = 0, 1


@dataclass(frozen=True)
class InstrumentTable:
    """Perpetuals and dated futures and the assets they settle in.

    A linear contract of signed quantity q is worth q * multiplier * mark in its settlement asset. An inverse one has a
    face of `multiplier` units of the quote currency; its profit is q * multiplier * (1/entry - 1/mark), in coin. A
    quanto contract is a linear one whose settlement asset is not the currency it is quoted in: its multiplier is the
    settlement asset paid for each point of price (BitMEX ETHUSD: 0.000001 XBT a dollar).

    Parameters
    ----------
    symbols
        Names of the instruments, unique, shape (n,).
    kind
        LINEAR (0) or INVERSE (1) for each instrument.
    multiplier
        Units of the underlying (linear), of the quote currency (inverse) or of the settlement asset a point of price
        (quanto) per contract; positive.
    settlement
        Position in `assets` of the asset in which profit and loss is paid.
    assets
        Names of all assets, settlement and collateral; unique. The first is the base asset in which equity is told.
    expiry
        When each dated future expires, UTC, datetime64[ns]; NaT for perpetuals. None: all are perpetuals.

    Raises
    ------
    InputError
        A duplicate name, a non-positive multiplier, an unknown kind or settlement asset.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    >>> table.assets, table.index_of(["ETH"]).tolist()
    (('USDT', 'BTC'), [1])
    >>> table.expiry
    array(['NaT', 'NaT'], dtype='datetime64[ns]')
    """

    symbols: tuple[str, ...]
    kind: NDArray[np.int8]
    multiplier: FloatArray
    settlement: IntArray
    assets: tuple[str, ...]
    expiry: TimeArray = None  # type: ignore[assignment]  # replaced below by an array

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "symbols", tuple(str(s) for s in self.symbols))
        set_(self, "assets", tuple(str(a) for a in self.assets))
        set_(self, "kind", frozen(self.kind, np.int8))
        set_(self, "multiplier", frozen(self.multiplier, np.float64))
        set_(self, "settlement", frozen(self.settlement, np.int64))
        perpetual = np.full(len(self.symbols), "NaT", "datetime64[ns]")
        set_(self, "expiry", frozen(perpetual if self.expiry is None else self.expiry, "datetime64[ns]"))
        self._check()

    def _check(self) -> None:
        n = len(self.symbols)
        for name in ("kind", "multiplier", "settlement", "expiry"):
            require_shape(getattr(self, name), (n,), name)
        require_unique(self.symbols, "symbols")
        require_unique(self.assets, "assets")
        if not self.assets:
            raise InputError("needs at least the base asset", column="assets")
        require((self.kind == LINEAR) | (self.kind == INVERSE), self.kind, "kind must be 0 or 1", "kind")
        require((self.multiplier > 0) & np.isfinite(self.multiplier), self.multiplier, "must be positive", "multiplier")
        known = (self.settlement >= 0) & (self.settlement < len(self.assets))
        require(known, self.settlement, "is not an asset position", "settlement")

    @classmethod
    def linear_perpetuals(
        cls, symbols: Sequence[str], *, base: str = "USDT", collateral: Sequence[str] = ()
    ) -> InstrumentTable:
        """Table of linear perpetuals with multiplier 1, all settling in `base`; `collateral` are further assets."""
        n = len(symbols)
        assets = (base, *(c for c in collateral if c != base))
        return cls(tuple(symbols), np.zeros(n, np.int8), np.ones(n), np.zeros(n, np.int64), assets)

    def __len__(self) -> int:
        return len(self.symbols)

    @property
    def base(self) -> str:
        """The asset in which equity and margin are told."""
        return self.assets[0]

    def expired(self, time: np.datetime64) -> BoolArray:
        """Whether each contract has expired at an instant: a dated future no longer trades at its expiry.

        Examples
        --------
        >>> day = np.datetime64("2024-12-27T08", "ns")
        >>> table = InstrumentTable(("BTC_241227", "BTC"), [0, 0], [1.0, 1.0], [0, 0], ("USDT",), [day, "NaT"])
        >>> table.expired(day).tolist()
        [True, False]
        """
        return np.asarray(self.expiry <= time)

    def index_of(self, symbols: Sequence[str]) -> IntArray:
        """Positions of instruments by name; an unknown name raises InputError."""
        return positions_of(self.symbols, symbols, "symbol")

    def asset_index_of(self, assets: Sequence[str]) -> IntArray:
        """Positions of assets by name; an unknown name raises InputError."""
        return positions_of(self.assets, assets, "asset")


def contract_value(size: FloatArray, price: FloatArray, inverse: BoolArray | bool) -> FloatArray:
    """Value of positions at a price, settlement asset, signed as `size`: size * price, of inverse ones size / price.

    `size` is quantity * multiplier: units of the underlying, of an inverse contract units of the quote currency.

    Examples
    --------
    >>> contract_value(np.array([2.0, -500.0]), np.array([50.0, 50.0]), np.array([False, True])).tolist()
    [100.0, -10.0]
    """
    return np.where(inverse, size / price, size * price)


def contract_profit(size: FloatArray, entry: FloatArray, price: FloatArray, inverse: BoolArray | bool) -> FloatArray:
    """Profit of positions from their entry to a price, settlement asset; `size` as in `contract_value`.

    size * (price - entry), of inverse contracts size * (1 / entry - 1 / price).

    Examples
    --------
    >>> entry, price = np.array([32.0, 32.0]), np.array([64.0, 64.0])
    >>> contract_profit(np.array([-2.0, 640.0]), entry, price, np.array([False, True])).tolist()
    [-64.0, 10.0]
    """
    return size * np.where(inverse, 1 / entry - 1 / price, price - entry)


def require_same_instruments(book: InstrumentTable, history: InstrumentTable) -> None:
    """Raise InputError if a book's contract map is not that of the price history it is looked at with."""
    same = (
        book.symbols == history.symbols
        and book.assets == history.assets
        and np.array_equal(book.kind, history.kind)
        and np.array_equal(book.multiplier, history.multiplier)
        and np.array_equal(book.settlement, history.settlement)
        and np.array_equal(book.expiry, history.expiry, equal_nan=True)
    )
    if not same:
        raise InputError("the book's instruments and assets are not those of the price history", column="instruments")


def require_live(table: InstrumentTable, instrument: IntArray, time: np.datetime64) -> None:
    """Raise InputError for the first of some positions whose contract has expired by an instant.

    Examples
    --------
    >>> table = InstrumentTable(("BTC_240628",), [0], [1.0], [0], ("USDT",), [np.datetime64("2024-06-28T08")])
    >>> require_live(table, np.array([0]), np.datetime64("2024-06-28T07:59"))
    >>> require_live(table, np.array([0]), np.datetime64("2024-06-28T08:00"))
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column expiry: has expired by 2024-06-28T08:00 (found 'BTC_240628')
    """
    gone = table.expired(time)[instrument]
    if gone.any():
        row = int(np.argmax(gone))
        name = table.symbols[int(instrument[row])]
        raise InputError(f"has expired by {time}", row=row, column="expiry", value=name)
