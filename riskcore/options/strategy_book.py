"""One account's options and shares of one underlying, as strategies are looked for in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray, IntArray, TimeArray, frozen, require
from ..errors import InputError
from .black76 import CALL, PUT


@dataclass(frozen=True)
class StrategyBook:
    """Option legs of one underlying and the shares held or owed.

    Parameters
    ----------
    spot
        Price of the underlying; positive.
    right, strike, expiry
        CALL (1) or PUT (-1), exercise price and day of expiry of each leg, shape (n,); no series twice.
    quantity
        Signed whole contracts, not 0.
    price
        Market price of each option per unit of the underlying; 0 or above.
    shares
        Signed number of shares.
    multiplier
        Shares (or index units) per contract.

    Raises
    ------
    InputError
        A column of another length, a number out of range, a series listed twice, with its row.

    Examples
    --------
    >>> book = StrategyBook(410.0, [1, 1], [300.0, 310.0], ["2023-05-19"] * 2, [-1, 1], [112.0, 100.0])
    >>> len(book), book.lots
    (2, 0)
    """

    spot: float
    right: NDArray[np.int8]
    strike: FloatArray
    expiry: TimeArray
    quantity: IntArray
    price: FloatArray
    shares: float = 0.0
    multiplier: float = 100.0

    def __post_init__(self) -> None:
        asked = np.asarray(self.quantity, np.float64)
        require(np.equal(asked, np.round(asked)) & (asked != 0), asked, "must be whole contracts, not 0", "quantity")
        kinds = {"right": np.int8, "strike": np.float64, "quantity": np.int64, "price": np.float64}
        for name, kind in kinds.items():
            object.__setattr__(self, name, frozen(getattr(self, name), kind))
        object.__setattr__(self, "expiry", frozen(self.expiry, "datetime64[ns]"))
        self._check()

    def _check(self) -> None:
        for name in ("strike", "expiry", "quantity", "price"):
            if getattr(self, name).shape != self.right.shape or self.right.ndim != 1:
                raise InputError(f"has shape {getattr(self, name).shape}, expected {self.right.shape}", column=name)
        for name in ("spot", "multiplier"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        if not np.isfinite(self.shares):
            raise InputError("must be a number", column="shares", value=self.shares)
        require((self.right == CALL) | (self.right == PUT), self.right, "must be 1 (call) or -1 (put)", "right")
        require((self.strike > 0) & np.isfinite(self.strike), self.strike, "must be positive", "strike")
        require((self.price >= 0) & np.isfinite(self.price), self.price, "must be 0 or above", "price")
        require(~np.isnat(self.expiry), self.expiry, "must be given", "expiry")
        series = [self.series(row) for row in range(len(self))]
        twice = next((row for row, entry in enumerate(series) if entry in series[:row]), None)
        if twice is not None:
            raise InputError("is listed twice", row=twice, column="series", value=series[twice])

    def __len__(self) -> int:
        return len(self.right)

    def series(self, row: int) -> tuple[int, int, float]:
        """Expiry in nanoseconds, right and strike of a leg: what sets series apart, and puts them in order."""
        return int(self.expiry[row].astype(np.int64)), int(self.right[row]), float(self.strike[row])

    def rows(self, rows: Sequence[int]) -> StrategyBook:
        """The book with its legs in another order, or some of them."""
        names = ("right", "strike", "expiry", "quantity", "price")
        return replace(self, **{name: getattr(self, name)[list(rows)] for name in names})

    @property
    def lots(self) -> int:
        """Whole contracts' worth of shares, held or owed."""
        return int(abs(self.shares) // self.multiplier)
