"""What happened to accounts, in order of time: trades, transfers, funding, liquidations and reported snapshots."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from enum import IntEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...riskcore.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    TimeArray,
    frozen,
    require,
    require_shape,
    require_unique,
)
from ...riskcore.errors import InputError
from ...riskcore.instruments import INVERSE, InstrumentTable
from .replay_kernel import EventArrays

NONE = -1
"""In `AccountEvents.instrument` and `asset`: the event has none, or names a coin that is not in the table."""
LOTS = 1e8
"""Lots a contract, unless said otherwise: the finest step in which quantities are counted."""
LARGEST = 2.0**53
"""Integers up to here are exact as floating-point numbers."""


class Kind(IntEnum):
    """What an event is; of events at one instant, those of a lower kind come first, then the order of the source.

    So money that arrives at the second of a trade is there for it, what is withdrawn then is gone after it, a
    liquidation is told after its fills, and a snapshot describes what all the others have led to.
    """

    DEPOSIT = 0
    FUNDING = 1
    TRADE = 2
    LIQUIDATION = 3
    WITHDRAWAL = 4
    BALANCE = 5
    POSITION = 6


@dataclass(frozen=True)
class AccountEvents:
    """Events of many accounts as columns, in order of time, kind and source; see `ordered` for unsorted ones.

    Parameters
    ----------
    instruments
        The contracts and assets that are known.
    accounts
        Names, unique; `account` points into them.
    time
        Instants, UTC, datetime64[ns], not falling, shape (n,).
    account, kind, instrument, asset
        Position in `accounts`; a `Kind`; position in the instrument table and in its assets, `NONE` where the event has
        none. A trade, funding or position of instrument `NONE` is in a coin that is not in the table.
    quantity
        Signed contracts bought (positive) or sold by a trade, or held by a position snapshot; NaN otherwise.
    price
        Quote units: of a trade, or the entry price of a position snapshot (NaN: not told); NaN otherwise.
    amount
        Units of `asset`: received by a deposit (positive) or withdrawal (negative), received as funding (negative:
        paid), minus the fee of a trade (NaN: the source has no fees), or the balance of a balance snapshot. Of a
        liquidation the equity as the venue tells it (NaN: not told).
    notional
        What a liquidation closed, base asset, as the venue tells it; NaN otherwise.
    closes
        Whether a trade can only reduce a position: reduce-only orders and what a liquidation forces.
    forced
        Whether a trade is the fill of a liquidation: its price is not a price of the market.
    lots
        Lots a contract, shape (n_instruments,): every quantity is a whole number of them and is counted as an integer.

    Raises
    ------
    InputError
        Columns of another length, times that fall, events of one instant out of order, an unknown account, kind or
        instrument, an amount of the wrong sign, a quantity that is not a whole number of lots.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> times = np.array(["2024-01-01T00:00", "2024-01-01T00:05"], "datetime64[ns]")
    >>> events = AccountEvents.of(table, ["a"], times, [0, 0], [Kind.DEPOSIT, Kind.TRADE], instrument=[NONE, 0],
    ...     quantity=[np.nan, 0.3], price=[np.nan, 40_000.0], amount=[500.0, -6.0])
    >>> len(events), events.quantity_lots.tolist()
    (2, [0, 30000000])
    """

    instruments: InstrumentTable
    accounts: tuple[str, ...]
    time: TimeArray
    account: IntArray
    kind: NDArray[np.int8]
    instrument: IntArray
    asset: IntArray
    quantity: FloatArray
    price: FloatArray
    amount: FloatArray
    notional: FloatArray
    closes: BoolArray
    forced: BoolArray
    lots: FloatArray

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "accounts", tuple(str(name) for name in self.accounts))
        set_(self, "time", frozen(self.time, "datetime64[ns]"))
        set_(self, "kind", frozen(self.kind, np.int8))
        for name in ("account", "instrument", "asset"):
            set_(self, name, frozen(getattr(self, name), np.int64))
        for name in ("quantity", "price", "amount", "notional", "lots"):
            set_(self, name, frozen(getattr(self, name), np.float64))
        for name in ("closes", "forced"):
            set_(self, name, frozen(getattr(self, name), np.bool_))
        self._check_places()
        self._check_order()
        self._check_values()

    @classmethod
    def of(
        cls,
        instruments: InstrumentTable,
        accounts: tuple[str, ...] | list[str],
        time: ArrayLike,
        account: ArrayLike,
        kind: ArrayLike,
        *,
        lots: ArrayLike = LOTS,
        **columns: ArrayLike,
    ) -> AccountEvents:
        """Events sorted by time and kind, the order given being kept otherwise.

        Columns that are left out are empty: no instrument, NaN, false; `asset` is the instrument's settlement asset, or
        the base asset.
        """
        n = len(np.asarray(time))
        empty: dict[str, Any] = {name: np.full(n, np.nan) for name in ("quantity", "price", "amount", "notional")}
        empty |= {"closes": np.zeros(n, np.bool_), "forced": np.zeros(n, np.bool_)}
        empty |= {"instrument": np.full(n, NONE)} | columns
        place = np.asarray(empty["instrument"], np.int64)
        if len(instruments):
            empty.setdefault("asset", np.where(place == NONE, 0, instruments.settlement[place]))
        empty.setdefault("asset", np.zeros(n, np.int64))
        order = np.lexsort((np.asarray(kind), np.asarray(time, "datetime64[ns]")))
        taken = {name: np.asarray(values)[order] for name, values in empty.items()}
        times, whose, what = (np.asarray(values)[order] for values in (time, account, kind))
        scale = np.broadcast_to(np.asarray(lots, np.float64), (len(instruments),))
        return cls(instruments, tuple(accounts), times, whose, what, lots=scale, **taken)

    def __len__(self) -> int:
        return len(self.time)

    @property
    def quantity_lots(self) -> IntArray:
        """Quantities in lots, exact; 0 where there is none."""
        known = ~np.isnan(self.quantity) & (self.instrument != NONE)
        scale = self.lots[self.instrument] if len(self.lots) else np.ones(len(self))
        return np.rint(np.where(known, self.quantity * scale, 0.0)).astype(np.int64)

    @cached_property
    def arrays(self) -> EventArrays:
        """The columns as `replay` reads them."""
        table = self.instruments
        return EventArrays(
            self.time.astype(np.int64),
            self.account,
            self.kind,
            self.instrument,
            self.asset,
            self.quantity_lots,
            self.price,
            self.amount,
            self.closes,
            self.lots,
            table.multiplier,
            np.asarray(table.kind == INVERSE),
            table.settlement,
        )

    def take(self, rows: IntArray | BoolArray) -> AccountEvents:
        """These events, in the same order."""
        columns = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = ("instruments", "accounts", "lots")
        return replace(self, **{name: values[rows] for name, values in columns.items() if name not in kept})

    def until(self, time: np.datetime64) -> int:
        """Number of events at or before an instant: what was known then."""
        return int(np.searchsorted(self.time, np.asarray(time, "datetime64[ns]"), side="right"))

    def _check_places(self) -> None:
        n = len(self.time)
        require_unique(self.accounts, "accounts")
        require_shape(self.lots, (len(self.instruments),), "lots")
        for one in fields(self):
            if one.name not in ("instruments", "accounts", "lots"):
                require_shape(getattr(self, one.name), (n,), one.name)
        for name, lowest, count in (
            ("account", 0, len(self.accounts)),
            ("kind", 0, len(Kind)),
            ("instrument", NONE, len(self.instruments)),
            ("asset", NONE, len(self.instruments.assets)),
        ):
            places = getattr(self, name)
            require((places >= lowest) & (places < count), places, f"is not one of {count}", name)

    def _check_order(self) -> None:
        falls = np.diff(self.time) < np.timedelta64(0)
        if falls.any():
            row = int(np.argmax(falls)) + 1
            raise InputError("times must not fall", row=row, column="time", value=str(self.time[row]))
        back = (np.diff(self.time) == np.timedelta64(0)) & (np.diff(self.kind) < 0)
        if back.any():
            row = int(np.argmax(back)) + 1
            raise InputError("is out of order within its instant", row=row, column="kind", value=int(self.kind[row]))
        require(~np.isnat(self.time), self.time.astype(str), "is missing", "time")

    def _check_values(self) -> None:
        trade, held = self.kind == Kind.TRADE, self.kind == Kind.POSITION
        whole = ~(trade | held) | np.isfinite(self.quantity)
        require(whole & ~(trade & (self.quantity == 0)), self.quantity, "must be a number other than zero", "quantity")
        priced = np.isfinite(self.price) & (self.price > 0)
        require(priced | ~trade & np.isnan(self.price), self.price, "must be positive", "price")
        infinite = np.isinf(self.amount) | np.isinf(self.notional)
        require(~infinite, self.amount, "must be a finite number", "amount")
        for kind, right, problem in (
            (Kind.DEPOSIT, self.amount > 0, "a deposit must be positive"),
            (Kind.WITHDRAWAL, self.amount < 0, "a withdrawal must be negative"),
            (Kind.FUNDING, ~np.isnan(self.amount), "is missing"),
            (Kind.BALANCE, ~np.isnan(self.amount), "is missing"),
        ):
            require(right | (self.kind != kind), self.amount, problem, "amount")
        paid = ~np.isnan(self.amount) & (self.kind != Kind.LIQUIDATION)
        require(~paid | (self.asset != NONE), self.asset, "an amount needs its asset", "asset")
        self._check_lots()

    def _check_lots(self) -> None:
        require((self.lots >= 1) & (self.lots == np.rint(self.lots)), self.lots, "must be a whole number", "lots")
        known = ~np.isnan(self.quantity) & (self.instrument != NONE)
        scaled = np.where(known, self.quantity * (self.lots[self.instrument] if len(self.lots) else 1.0), 0.0)
        small = np.abs(scaled) < LARGEST
        require(small, self.quantity, "is too many lots to be counted; give the instrument fewer", "quantity")
        even = np.abs(scaled - np.rint(scaled)) <= np.maximum(1e-6, np.abs(scaled) * 2.0**-50)
        require(even, self.quantity, "is not a whole number of lots; give the instrument more", "quantity")
