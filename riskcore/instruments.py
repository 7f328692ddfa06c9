"""Contract maps: what one unit of each instrument is worth, and in which asset it settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .arrays import FloatArray, IntArray, frozen, positions_of, require
from .errors import InputError

LINEAR, INVERSE = 0, 1
KINDS = {"linear": LINEAR, "inverse": INVERSE}


@dataclass(frozen=True)
class InstrumentTable:
    """Perpetuals (or dated futures) and the assets they settle in.

    A linear contract of signed quantity q is worth q * multiplier * mark in its settlement asset. An inverse one has a
    face of `multiplier` units of the quote currency; its profit is q * multiplier * (1/entry - 1/mark), in coin.

    Parameters
    ----------
    symbols
        Names of the instruments, unique, shape (n,).
    kind
        LINEAR (0) or INVERSE (1) for each instrument.
    multiplier
        Units of the underlying (linear) or of the quote currency (inverse) per contract; positive.
    settlement
        Position in `assets` of the asset in which profit and loss is paid.
    assets
        Names of all assets, settlement and collateral; unique. The first is the base asset in which equity is told.

    Raises
    ------
    InputError
        A duplicate name, a non-positive multiplier, an unknown kind or settlement asset.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    >>> table.assets, table.index_of(["ETH"]).tolist()
    (('USDT', 'BTC'), [1])
    """

    symbols: tuple[str, ...]
    kind: NDArray[np.int8]
    multiplier: FloatArray
    settlement: IntArray
    assets: tuple[str, ...]

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "symbols", tuple(str(s) for s in self.symbols))
        set_(self, "assets", tuple(str(a) for a in self.assets))
        set_(self, "kind", frozen(self.kind, np.int8))
        set_(self, "multiplier", frozen(self.multiplier, np.float64))
        set_(self, "settlement", frozen(self.settlement, np.int64))
        self._check()

    def _check(self) -> None:
        n = len(self.symbols)
        for name, column in (("kind", self.kind), ("multiplier", self.multiplier), ("settlement", self.settlement)):
            if column.shape != (n,):
                raise InputError(f"has shape {column.shape}, expected ({n},)", column=name)
        for name, names in (("symbols", self.symbols), ("assets", self.assets)):
            repeated = next((i for i, s in enumerate(names) if s in names[:i]), None)
            if repeated is not None:
                raise InputError("is listed twice", row=repeated, column=name, value=names[repeated])
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

    def index_of(self, symbols: Sequence[str]) -> IntArray:
        """Positions of instruments by name; an unknown name raises InputError."""
        return positions_of(self.symbols, symbols, "symbol")

    def asset_index_of(self, assets: Sequence[str]) -> IntArray:
        """Positions of assets by name; an unknown name raises InputError."""
        return positions_of(self.assets, assets, "asset")


def require_same_instruments(book: InstrumentTable, history: InstrumentTable) -> None:
    """Raise InputError if a book's contract map is not that of the price history it is looked at with."""
    same = (
        book.symbols == history.symbols
        and book.assets == history.assets
        and np.array_equal(book.kind, history.kind)
        and np.array_equal(book.multiplier, history.multiplier)
        and np.array_equal(book.settlement, history.settlement)
    )
    if not same:
        raise InputError("the book's instruments and assets are not those of the price history", column="instruments")
