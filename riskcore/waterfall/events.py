"""What happened in a waterfall, in order, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import BoolArray, FloatArray, IntArray, frozen

NOBODY = -1


class EventKind(IntEnum):
    """Steps of a waterfall, in the order in which they can befall a pool."""

    FILL = 0
    """Contracts closed in the order book; `units` in the settlement asset is what the pool was credited."""
    KILLED = 1
    """A fill-or-kill order that found too little depth."""
    FEE = 2
    """Charged on a fill: to `fund`, or to the venue where that is -1."""
    CURED = 3
    """The pool is out of breach."""
    TAKEOVER = 4
    """The fund took contracts over; `units` is what they gain it at the mark, negative where it pays."""
    ADL = 5
    """Contracts closed against position `counterparty`; `units` is what that one loses against the mark."""
    COLLATERAL_SOLD = 6
    """Collateral sold for a debt; `units` of `asset` were received."""
    SURPLUS = 7
    """What was left in a pool taken over went to the fund."""
    FUND_PAID = 8
    """The fund paid a debt of a pool that has nothing left."""
    SOCIALISED = 9
    """Pool `counterparty`, in profit, paid for the debt."""
    UNCOVERED = 10
    """Debt nobody covers; it stays with the pool."""


class Event(NamedTuple):
    """One step; -1 and NaN where a column does not apply."""

    round: int
    kind: EventKind
    pool: int
    position: int = NOBODY
    counterparty: int = NOBODY
    fund: int = NOBODY
    instrument: int = NOBODY
    contracts: int = 0
    price: float = float("nan")
    asset: int = NOBODY
    units: int = 0


@dataclass(frozen=True)
class EventLog:
    """Events as columns, in the order they happened.

    Parameters
    ----------
    round
        From 0.
    kind
        `EventKind`.
    pool, position
        Row of the pool, and of the position in the opening book.
    counterparty
        Position (ADL) or pool (SOCIALISED) on the other side.
    fund, instrument, asset
        Rows of the funds, instruments and assets.
    contracts, units
        Contracts, signed as the position that was closed, and money: int64 units of 1e-8.
    price
        Quote units: the average of a fill, the bankruptcy price of a takeover or of an ADL.
    """

    round: IntArray
    kind: NDArray[np.int8]
    pool: IntArray
    position: IntArray
    counterparty: IntArray
    fund: IntArray
    instrument: IntArray
    contracts: IntArray
    price: FloatArray
    asset: IntArray
    units: IntArray

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            kind = {"kind": np.int8, "price": np.float64}.get(name, np.int64)
            object.__setattr__(self, name, frozen(getattr(self, name), kind))

    @classmethod
    def of(cls, events: Sequence[Event]) -> EventLog:
        """Columns of events."""
        columns = zip(*events, strict=True) if events else ([] for _ in Event._fields)
        return cls(*(np.array(column) for column in columns))

    def of_kind(self, kind: EventKind) -> EventLog:
        """Only the events of one kind."""
        return self.take(self.kind == kind)

    def take(self, rows: BoolArray) -> EventLog:
        """Only these events."""
        return EventLog(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.round)
