"""Options of one Derive market as columns, and the feeds of their expiries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import BoolArray, FloatArray, IntArray, frozen, require
from ..errors import InputError

SECONDS_A_DAY = 86_400.0
SECONDS_A_YEAR = 365.0 * SECONDS_A_DAY
SETTLEMENT_WINDOW = 1_800.0
"""Seconds before expiry over which spot is averaged into the settlement price; LyraForwardFeed of derivexyz/v2-core."""


@dataclass(frozen=True)
class OptionLegs:
    """European options of one market, a row a leg, shape (n_legs,) each.

    Parameters
    ----------
    seconds
        To expiry; 0 is settled and worth what exercise pays at the feed's forward.
    strike
        Positive.
    right
        CALL (1) or PUT (-1).
    quantity
        Signed, short below zero.
    volatility
        Annual mark volatility, a fraction.
    confidence
        Of that volatility, in [0, 1].

    Examples
    --------
    >>> OptionLegs.of([86400.0], [1500.0], [1], [-2.0], [0.5]).years.round(6).tolist()
    [0.00274]
    """

    seconds: FloatArray
    strike: FloatArray
    right: IntArray
    quantity: FloatArray
    volatility: FloatArray
    confidence: FloatArray

    def __post_init__(self) -> None:
        freeze_columns(self, "seconds", "strike", "quantity", "volatility", "confidence", "right")
        require(~(self.seconds < 0), self.seconds, "the option has expired", "seconds")
        require(np.isfinite(self.seconds), self.seconds, "must be finite", "seconds")
        require(positive(self.strike), self.strike, "must be positive", "strike")
        require(np.abs(self.right) == 1, self.right, "must be 1 for a call or -1 for a put", "right")
        object.__setattr__(self, "right", frozen(self.right, np.int64))
        require(np.isfinite(self.quantity), self.quantity, "must be finite", "quantity")
        require(not_negative(self.volatility), self.volatility, "an option needs its mark volatility", "volatility")
        require(shares(self.confidence), self.confidence, "must be in [0, 1]", "confidence")

    @classmethod
    def of(
        cls,
        seconds: ArrayLike,
        strike: ArrayLike,
        right: ArrayLike,
        quantity: ArrayLike,
        volatility: ArrayLike,
        confidence: ArrayLike = 1.0,
    ) -> OptionLegs:
        """Legs from columns or single numbers that hold for every leg."""
        return cls(*_broadcast(seconds, strike, right, quantity, volatility, confidence))  # type: ignore[arg-type]

    @classmethod
    def none(cls) -> OptionLegs:
        """No options."""
        return cls.of([], [], [], [], [])

    def __len__(self) -> int:
        return len(self.strike)

    @property
    def years(self) -> FloatArray:
        """Years of 365 days to expiry."""
        return self.seconds / SECONDS_A_YEAR


@dataclass(frozen=True)
class ExpiryFeeds:
    """Forward, rate and confidence of each expiry of a market, shape (n_expiries,) each.

    Parameters
    ----------
    seconds
        To expiry, each once.
    variable, fixed
        Parts of the forward price that a move of spot does and does not reach: in the last half hour the average so far
        is fixed. Their sum is positive.
    confidence, rate_confidence, volatility_confidence
        Of forward, rate and the volatility surface, in [0, 1].
    rate
        Annual, a fraction; continuous.

    Examples
    --------
    >>> feeds = ExpiryFeeds.of([0.0, 900.0, 86400.0], [1500.0, 1500.0, 1501.0])
    >>> near = feeds.averaged_to_settlement()
    >>> near.variable.tolist(), near.fixed.tolist()
    ([0.0, 750.0, 1501.0], [1500.0, 750.0, 0.0])
    """

    seconds: FloatArray
    variable: FloatArray
    fixed: FloatArray
    confidence: FloatArray
    rate: FloatArray
    rate_confidence: FloatArray
    volatility_confidence: FloatArray

    def __post_init__(self) -> None:
        freeze_columns(self, *self.__dataclass_fields__)
        require(not_negative(self.seconds), self.seconds, "must be a number of at least 0", "seconds")
        _, first = np.unique(self.seconds, return_index=True)
        once = np.isin(np.arange(len(self)), first)
        require(once, self.seconds, "has two feeds for one expiry", "seconds")
        for name in ("variable", "fixed"):
            require(not_negative(getattr(self, name)), getattr(self, name), "must be a number of at least 0", name)
        require(self.forward > 0, self.forward, "must be positive", "forward")
        require(np.isfinite(self.rate), self.rate, "must be finite", "rate")
        for name in ("confidence", "rate_confidence", "volatility_confidence"):
            require(shares(getattr(self, name)), getattr(self, name), "must be in [0, 1]", name)

    @classmethod
    def of(
        cls,
        seconds: ArrayLike,
        variable: ArrayLike,
        fixed: ArrayLike = 0.0,
        confidence: ArrayLike = 1.0,
        rate: ArrayLike = 0.0,
        rate_confidence: ArrayLike = 1.0,
        volatility_confidence: ArrayLike = 1.0,
    ) -> ExpiryFeeds:
        """Feeds from columns or single numbers that hold for every expiry."""
        columns = (seconds, variable, fixed, confidence, rate, rate_confidence, volatility_confidence)
        return cls(*_broadcast(*columns))

    @classmethod
    def none(cls) -> ExpiryFeeds:
        """No expiries."""
        return cls.of([], [])

    def __len__(self) -> int:
        return len(self.seconds)

    @property
    def forward(self) -> FloatArray:
        """Forward price of each expiry."""
        return self.variable + self.fixed

    @property
    def years(self) -> FloatArray:
        """Years of 365 days to expiry."""
        return self.seconds / SECONDS_A_YEAR

    def averaged_to_settlement(self, window: float = SETTLEMENT_WINDOW) -> ExpiryFeeds:
        """The same forwards, the part of the settlement window that has passed taken as fixed at the forward.

        For feeds that tell one forward price only: the average so far is then not known and the forward stands for it.
        """
        share = np.minimum(self.seconds / window, 1.0)
        rest = (self.confidence, self.rate, self.rate_confidence, self.volatility_confidence)
        return ExpiryFeeds(self.seconds, self.forward * share, self.forward * (1.0 - share), *rest)

    def rows_of(self, seconds: FloatArray) -> IntArray:
        """Row of the feed of each option; one without a feed raises InputError."""
        order = np.argsort(self.seconds, kind="stable")
        place = np.searchsorted(self.seconds[order], seconds)
        known = place < len(self)
        known[known] = self.seconds[order][place[known]] == seconds[known]
        require(known, seconds, "there is no feed for this expiry", "seconds")
        return np.asarray(order[place], np.int64)


def freeze_columns(owner: object, *names: str) -> None:
    """Freeze these columns of a value object as floats and check that they are one list of rows each, of one length."""
    for name in names:
        object.__setattr__(owner, name, frozen(getattr(owner, name), np.float64))
    length = getattr(owner, names[0]).shape
    for name in names:
        if getattr(owner, name).shape != length or len(length) != 1:
            raise InputError(f"has shape {getattr(owner, name).shape}, expected {length}", column=name)


def _broadcast(*columns: ArrayLike) -> tuple[FloatArray, ...]:
    wide = [np.atleast_1d(np.asarray(column, np.float64)) for column in columns]
    lengths = {column.shape for column in wide} - {(1,)}
    if len(lengths) > 1:
        raise InputError(f"columns have different lengths, {sorted(lengths)}", column="seconds")
    return tuple(np.broadcast_arrays(*wide))


def not_negative(values: FloatArray) -> BoolArray:
    """Where a finite number is not below zero."""
    return np.asarray((values >= 0) & np.isfinite(values))


def positive(values: FloatArray) -> BoolArray:
    """Where a finite number is above zero."""
    return np.asarray((values > 0) & np.isfinite(values))


def shares(values: FloatArray) -> BoolArray:
    """Where a number is in [0, 1]."""
    return np.asarray((values >= 0) & (values <= 1))
