"""Option contracts as a checked table, and their value where every forward and volatility is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, TimeArray, frozen, positions_of, require
from ..errors import InputError
from .black76 import CALL, PUT, value
from .greeks import Greeks, greeks

YEAR = 365 * 24 * 3600 * 1e9
"""Nanoseconds of the year in which volatilities are told: 365 days (Deribit, Derive and most crypto venues)."""


@dataclass(frozen=True)
class OptionTable:
    """European options, one a row.

    Parameters
    ----------
    name
        Names of the contracts, unique.
    underlying
        What each is on.
    expiry
        Time of expiry, UTC.
    strike
        Positive.
    right
        CALL (1) or PUT (-1).
    multiplier
        Units of the underlying per contract; positive.

    Raises
    ------
    InputError
        A name listed twice, a column of another length, an expiry that is missing, a strike or multiplier that is not
        positive and finite, an unknown right.

    Examples
    --------
    >>> expiry = np.array(["2024-06-28T08:00"], "datetime64[ns]")
    >>> table = OptionTable(("BTC-28JUN24-60000-C",), ("BTC",), expiry, [60000.0], [CALL], [1.0])
    >>> table.years_to(np.datetime64("2024-06-21T08:00")).round(6).tolist()
    [0.019178]
    >>> table.years_to(np.datetime64("2024-07-01"))
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column expiry: BTC-28JUN24-60000-C has expired
        (found '2024-06-28T08:00:00.000000000')
    """

    name: tuple[str, ...]
    underlying: tuple[str, ...]
    expiry: TimeArray
    strike: FloatArray
    right: NDArray[np.int8]
    multiplier: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for column in ("name", "underlying"):
            set_(self, column, tuple(str(entry) for entry in getattr(self, column)))
        for column, kind in (("strike", np.float64), ("right", np.int8), ("multiplier", np.float64)):
            set_(self, column, frozen(getattr(self, column), kind))
        set_(self, "expiry", frozen(self.expiry, "datetime64[ns]"))
        self._check()

    def _check(self) -> None:
        n = len(self.name)
        for column in ("underlying", "expiry", "strike", "right", "multiplier"):
            if np.shape(getattr(self, column)) != (n,):
                raise InputError(f"has shape {np.shape(getattr(self, column))}, expected ({n},)", column=column)
        repeated = next((row for row, name in enumerate(self.name) if name in self.name[:row]), None)
        if repeated is not None:
            raise InputError("is listed twice", row=repeated, column="name", value=self.name[repeated])
        require(~np.isnat(self.expiry), self.expiry, "must be given", "expiry")
        for column in ("strike", "multiplier"):
            entries = getattr(self, column)
            require((entries > 0) & np.isfinite(entries), entries, "must be positive", column)
        require((self.right == CALL) | (self.right == PUT), self.right, "must be 1 (call) or -1 (put)", "right")

    def __len__(self) -> int:
        return len(self.name)

    def index_of(self, names: ArrayLike) -> NDArray[np.int64]:
        """Rows of contracts by name; an unknown name raises InputError."""
        return positions_of(self.name, [str(name) for name in np.atleast_1d(names)], "option")

    def years_to(self, time: np.datetime64) -> FloatArray:
        """Years of 365 days from `time` to each expiry; an option that has expired raises InputError."""
        if np.isnat(time):
            raise InputError("must be given", column="time")
        left = (self.expiry - np.asarray(time, "datetime64[ns]")).astype(np.int64)
        if (left < 0).any():
            row = int(np.flatnonzero(left < 0)[0])
            raise InputError(f"{self.name[row]} has expired", row=row, column="expiry", value=str(self.expiry[row]))
        return np.asarray(left / YEAR, dtype=np.float64)

    def value(
        self, time: np.datetime64, forward: ArrayLike, volatility: ArrayLike, discount: ArrayLike = 1.0
    ) -> FloatArray:
        """Black-76 value of one unit of the underlying of each option, shape (n,).

        Raises
        ------
        InputError
            An expired option; a forward or discount that is not positive, a volatility that is missing or negative,
            with the row and name of the option.
        """
        return value(*self._priced(time, forward, volatility, discount))

    def greeks(
        self, time: np.datetime64, forward: ArrayLike, volatility: ArrayLike, discount: ArrayLike = 1.0
    ) -> Greeks:
        """Black-76 sensitivities of one unit of the underlying of each option; checks as for `value`."""
        return greeks(*self._priced(time, forward, volatility, discount))

    def _priced(
        self, time: np.datetime64, forward: ArrayLike, volatility: ArrayLike, discount: ArrayLike
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, NDArray[np.int8], FloatArray]:
        columns = {"forward": forward, "volatility": volatility, "discount": discount}
        f, vol, df = (self._column(name, entries) for name, entries in columns.items())
        self._require((f > 0) & np.isfinite(f), f, "has no positive forward", "forward")
        self._require((vol >= 0) & np.isfinite(vol), vol, "has no volatility of 0 or above", "volatility")
        self._require((df > 0) & np.isfinite(df), df, "has no positive discount", "discount")
        return f, self.strike, self.years_to(time), vol, self.right, df

    def _column(self, name: str, entries: ArrayLike) -> FloatArray:
        try:
            return np.broadcast_to(np.asarray(entries, np.float64), (len(self),))
        except ValueError:
            raise InputError(f"has shape {np.shape(entries)}, expected ({len(self)},)", column=name) from None

    def _require(self, ok: NDArray[np.bool_], entries: FloatArray, problem: str, column: str) -> None:
        if not ok.all():
            row = int(np.flatnonzero(~ok)[0])
            raise InputError(f"{self.name[row]} {problem}", row=row, column=column, value=float(entries[row]))
