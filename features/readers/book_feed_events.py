"""What an order-book feed brings, one checked value each: changes of the book, best quotes, trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError

UNKNOWN = -1
"""Stands for a time or a sequence number that the feed does not carry."""

SOUND, BAD_PRICE, BAD_SIZE, TWICE = 0, 1, 2, 3
PROBLEMS = {
    BAD_PRICE: "price must be positive and finite",
    BAD_SIZE: "size must be a finite number, zero or more",
    TWICE: "the same price stands twice in one message",
}


class Received:
    """Anything that a venue sent at one time and a recorder received at another."""

    __slots__ = ()
    exchange_time: int
    receipt_time: int

    @property
    def seen(self) -> int:
        """When it was known: the receipt time, or the venue's where there was no recorder."""
        return self.receipt_time if self.receipt_time != UNKNOWN else self.exchange_time


@dataclass(frozen=True, slots=True, eq=False)
class BookUpdate(Received):
    """One message about an order book.

    Parameters
    ----------
    symbol
        Instrument, as the venue names it.
    kind
        "snapshot": the levels are the book (zero sizes mean nothing rests there). "diff": each level's size is the new
        one, zero removes it.
    exchange_time
        When the venue sent it, nanoseconds since 1970; `UNKNOWN` where the feed does not say.
    receipt_time
        When the recorder received it by its own clock, likewise; `UNKNOWN` for an archive of the venue itself.
    first, last
        First and last sequence id of the changes in it; equal where the venue numbers messages, `UNKNOWN` where it
        numbers nothing.
    previous
        Last id of the message before, as this message gives it; `UNKNOWN` where the venue sends none.
    bids, asks
        Price (quote units) and size (contracts or coins as the venue counts), each of shape (k, 2), in any order.
    engine_sequence
        Number of the matching engine that orders messages of several streams (Bybit's seq); `UNKNOWN` without.

    Raises
    ------
    InputError
        No time at all; a price that is not positive and finite; a size that is negative or not finite; a price that
        stands twice; a snapshot whose best bid is not below its best ask.

    Examples
    --------
    >>> levels = np.array([[100.0, 2.0]]), np.array([[101.0, 1.0]])
    >>> BookUpdate("BTCUSDT", "snapshot", 5, 7, 10, 10, UNKNOWN, *levels).seen
    7
    """

    symbol: str
    kind: Literal["snapshot", "diff"]
    exchange_time: int
    receipt_time: int
    first: int
    last: int
    previous: int
    bids: FloatArray
    asks: FloatArray
    engine_sequence: int = UNKNOWN

    def __post_init__(self) -> None:
        _require_a_time(self.exchange_time, self.receipt_time)
        _require_sound(self.bids, "bids")
        _require_sound(self.asks, "asks")
        if self.kind == "snapshot" and len(self.bids) and len(self.asks):
            bid, ask = self.bids[self.bids[:, 1] > 0.0, 0], self.asks[self.asks[:, 1] > 0.0, 0]
            if len(bid) and len(ask) and bid.max() >= ask.min():
                raise InputError(f"best bid must be below the best ask of {ask.min()}", column="bids", value=bid.max())


@dataclass(frozen=True, slots=True)
class TradePrint(Received):
    """One trade.

    Parameters
    ----------
    symbol, exchange_time, receipt_time
        As in `BookUpdate`.
    price, size
        Quote units, and size as the book counts it.
    buyer_took
        Whether the buyer was the taker: the trade ate the ask side.

    Raises
    ------
    InputError
        No time at all, or a price or size that is not positive and finite.
    """

    symbol: str
    exchange_time: int
    receipt_time: int
    price: float
    size: float
    buyer_took: bool

    def __post_init__(self) -> None:
        _require_a_time(self.exchange_time, self.receipt_time)
        for column in ("price", "size"):
            _require_positive(getattr(self, column), column)


@dataclass(frozen=True, slots=True)
class BestQuote(Received):
    """Best bid and ask as the venue sends them beside the book; `last` is the book's sequence id they belong to.

    Raises
    ------
    InputError
        No time at all, or a price or size that is not positive and finite.
    """

    symbol: str
    exchange_time: int
    receipt_time: int
    last: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float

    def __post_init__(self) -> None:
        _require_a_time(self.exchange_time, self.receipt_time)
        for column in ("bid", "bid_size", "ask", "ask_size"):
            _require_positive(getattr(self, column), column)


FeedEvent: TypeAlias = BookUpdate | TradePrint | BestQuote


def _require_a_time(exchange_time: int, receipt_time: int) -> None:
    if exchange_time == UNKNOWN and receipt_time == UNKNOWN:
        raise InputError("carries neither an exchange time nor a receipt time", column="exchange_time")
    for column, time in (("exchange_time", exchange_time), ("receipt_time", receipt_time)):
        if time < UNKNOWN:
            raise InputError("time must be nanoseconds since 1970", column=column, value=time)


def _require_positive(value: float, column: str) -> None:
    if not 0.0 < value < np.inf:
        raise InputError(f"{column} must be positive and finite", column=column, value=value)


def _require_sound(levels: FloatArray, column: str) -> None:
    if levels.ndim != 2 or levels.shape[1] != 2 or levels.dtype != np.float64:
        raise InputError(f"has shape {levels.shape}, expected (k, 2) of float64", column=column)
    problem, row = _first_fault(levels)
    if problem == TWICE:
        ordered = np.argsort(levels[:, 0], kind="stable")
        twice = np.flatnonzero(np.diff(levels[ordered, 0]) == 0.0)
        problem, row = (TWICE, int(ordered[twice[0] + 1])) if len(twice) else (SOUND, 0)
    if problem != SOUND:
        value = float(levels[row, 1 if problem == BAD_SIZE else 0])
        raise InputError(PROBLEMS[problem], column=f"{column}[{row}]", value=value)


@numba.njit(cache=True, nogil=True)
def _first_fault(levels: FloatArray) -> tuple[int, int]:
    """First level that cannot be; `TWICE` only says that prices neither rise nor fall throughout."""
    rises = falls = True
    for row in range(len(levels)):
        if not (0.0 < levels[row, 0] < np.inf):
            return BAD_PRICE, row
        if not (0.0 <= levels[row, 1] < np.inf):
            return BAD_SIZE, row
        if row:
            rises &= levels[row, 0] > levels[row - 1, 0]
            falls &= levels[row, 0] < levels[row - 1, 0]
    return (SOUND, 0) if rises or falls else (TWICE, 0)
