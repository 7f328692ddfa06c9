"""An option chain at an instant: every listed option on one underlying, its quotes and the forward it is priced on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...riskcore.arrays import BoolArray, FloatArray, IntArray, TimeArray, frozen, require, require_shape
from ...riskcore.errors import InputError
from ...riskcore.options.option_table import YEAR

COIN, QUOTE = "coin", "quote"
NUMBERS = ("strike", "bid", "ask", "mark", "forward", "index", "open_interest", "volume", "reported")


@dataclass(frozen=True)
class OptionChain:
    """Options on one underlying as known at one instant, sorted by expiry, strike and put before call.

    Parameters
    ----------
    underlying
        Name of the coin (BTC) or of the coin and what it is quoted in (BTC_USDC).
    time
        Instant of the quotes, UTC: time to expiry is counted from it.
    known
        When the whole chain could be used, at or after `time`: collecting it takes a while.
    unit
        Unit of bid, ask and mark: "coin" (units of the underlying, inverse options) or "quote".
    expiry
        Expiry of each option, UTC, shape (n,); after `time`.
    strike
        Quote units, positive.
    right
        1 (call) or -1 (put).
    bid, ask, mark
        Prices in `unit`, zero or more; NaN where there is none.
    forward
        Forward price for the expiry as told with the quote, quote units; NaN where it is not known.
    forward_inferred
        True where the forward was not told but inferred.
    index
        Price of the underlying, quote units; NaN where it is not told.
    open_interest, volume
        Outstanding, and traded over 24 hours, in units of the underlying; NaN where not told.
    reported
        Implied volatility of the mark as the venue tells it, per year, a fraction; NaN where not told.
    quoted
        Instant of each quote, UTC; NaT where not told.
    expired, duplicates
        Rows that were left out: options that had expired, and exact repetitions.

    Raises
    ------
    InputError
        Unknown unit, columns of unequal length, `known` before `time`, an expiry that has passed, a strike or forward
        that is not positive, a price below zero, rows out of order or an option that stands there twice.

    Examples
    --------
    `chain_rows.chain_from_rows` makes one from rows in any order:

    >>> from .chain_rows import chain_from_rows
    >>> rows = {"expiry": ["2024-06-28T08:00"] * 2, "strike": [110.0, 90.0], "right": [1, 1], "forward": 100.0}
    >>> chain = chain_from_rows("BTC", np.datetime64("2024-06-21T08:00"), rows)
    >>> chain.strike.tolist(), chain.years.round(6).tolist(), chain.out_of_the_money.tolist()
    ([90.0, 110.0], [0.019178, 0.019178], [False, True])
    """

    underlying: str
    time: np.datetime64
    known: np.datetime64
    unit: str
    expiry: TimeArray
    strike: FloatArray
    right: NDArray[np.int8]
    bid: FloatArray
    ask: FloatArray
    mark: FloatArray
    forward: FloatArray
    forward_inferred: BoolArray
    index: FloatArray
    open_interest: FloatArray
    volume: FloatArray
    reported: FloatArray
    quoted: TimeArray
    expired: int = 0
    duplicates: int = 0

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        for column in NUMBERS:
            set_(self, column, frozen(getattr(self, column), np.float64))
        for column in ("expiry", "quoted"):
            set_(self, column, frozen(getattr(self, column), "datetime64[ns]"))
        set_(self, "right", frozen(self.right, np.int8))
        set_(self, "forward_inferred", frozen(self.forward_inferred, np.bool_))
        for column in ("time", "known"):
            set_(self, column, np.datetime64(getattr(self, column), "ns"))
        self._check()

    def _check(self) -> None:
        if self.unit not in (COIN, QUOTE):
            raise InputError("must be coin or quote", column="unit", value=self.unit)
        if np.isnat(self.time) or not self.known >= self.time:
            raise InputError("a chain is known at or after its time", column="known", value=str(self.known))
        for column in (*NUMBERS, "right", "forward_inferred", "quoted"):
            require_shape(getattr(self, column), self.expiry.shape, column)
        require_option(self.expiry, self.strike, self.right)
        require(self.expiry > self.time, self.expiry, "has expired", "expiry")
        for column in ("bid", "ask", "mark"):
            price = getattr(self, column)
            require(np.isnan(price) | ((price >= 0) & np.isfinite(price)), price, "must be zero or more", column)
        forward = self.forward
        require(np.isnan(forward) | ((forward > 0) & np.isfinite(forward)), forward, "must be positive", "forward")
        order = np.lexsort((self.right, self.strike, self.expiry))
        require(order == np.arange(len(self)), self.strike, "rows must rise by expiry, strike, right", "strike")
        again = np.zeros(len(self), bool)
        again[1:] = (
            (np.diff(self.expiry) == np.timedelta64(0)) & (np.diff(self.strike) == 0) & (np.diff(self.right) == 0)
        )
        require(~again, self.strike, "option stands there twice", "strike")

    def __len__(self) -> int:
        return len(self.expiry)

    @cached_property
    def years(self) -> FloatArray:
        """Years of 365 days to each expiry, in exact seconds (Deribit's convention), shape (n,)."""
        return np.asarray((self.expiry - self.time).astype(np.int64) / YEAR, dtype=np.float64)

    @cached_property
    def pointer(self) -> IntArray:
        """Rows of expiry i are pointer[i] to pointer[i + 1]."""
        starts = np.flatnonzero(np.diff(self.expiry, prepend=np.datetime64("NaT")) != np.timedelta64(0))
        return np.append(starts, len(self)).astype(np.int64)

    @cached_property
    def expiry_forward(self) -> FloatArray:
        """One forward for each expiry: the median over its rows that know one; NaN where none does."""
        parts = (self.forward[a:b] for a, b in zip(self.pointer[:-1], self.pointer[1:], strict=True))
        known = (part[np.isfinite(part)] for part in parts)
        return np.array([np.median(part) if len(part) else np.nan for part in known], np.float64)

    @property
    def out_of_the_money(self) -> BoolArray:
        """Calls struck at or above their forward, puts at or below; False where the forward is not known."""
        return np.asarray(self.right * (self.strike - self.forward) >= 0)

    def per_forward(self, price: FloatArray) -> FloatArray:
        """Prices as a fraction of the forward: what a coin price is already."""
        return price if self.unit == COIN else np.asarray(price / self.forward)

    def in_quote(self, price: FloatArray) -> FloatArray:
        """Prices in quote units."""
        return np.asarray(price * self.forward) if self.unit == COIN else price


def require_option(expiry: TimeArray, strike: FloatArray, right: NDArray[np.int8]) -> None:
    """Raise InputError naming the first row that is no option.

    Examples
    --------
    >>> require_option(np.array(["NaT"], "datetime64[ns]"), np.ones(1), np.ones(1, np.int8))
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column expiry: must be given
    """
    require(~np.isnat(expiry), expiry, "must be given", "expiry")
    require((strike > 0) & np.isfinite(strike), strike, "must be positive", "strike")
    require(np.abs(right) == 1, right, "must be 1 (call) or -1 (put)", "right")
