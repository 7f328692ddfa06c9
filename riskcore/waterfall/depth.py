"""Order books a liquidation is sold into or bought from: ladders of price and size, walked with exact money."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, require, require_pointers
from ..errors import InputError
from ..instruments import InstrumentTable
from .money import UNIT

Ladder = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class DepthBook:
    """Resting orders of every instrument.

    Parameters
    ----------
    bid_pointer, bid_price, bid_size
        Bids in CSR form: those of instrument i are entries bid_pointer[i] : bid_pointer[i + 1], prices falling from the
        best; sizes in contracts.
    ask_pointer, ask_price, ask_size
        Asks likewise, prices rising.
    impact
        How orders beyond the last level are filled: 0: not at all; k > 0: x contracts beyond a ladder of D contracts
        in all move the price from that of the last level by k * sqrt(x / D) of it, and pay two thirds of that on
        average (the square-root law of market impact).
    refill
        Share of what was taken that stands again after each round, in [0, 1].

    Raises
    ------
    InputError
        An instrument with an empty side, a crossed book, prices that are out of order, NaN or not positive.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = DepthBook.of(table, {"BTC": ([(99.0, 2.0), (98.0, 5.0)], [(101.0, 3.0)])})
    >>> book.bid_price.tolist(), book.ask_size.tolist()
    ([99.0, 98.0], [3.0])
    """

    bid_pointer: IntArray
    bid_price: FloatArray
    bid_size: FloatArray
    ask_pointer: IntArray
    ask_price: FloatArray
    ask_size: FloatArray
    impact: float = 0.0
    refill: float = 0.0

    def __post_init__(self) -> None:
        for side in ("bid", "ask"):
            object.__setattr__(self, f"{side}_pointer", frozen(getattr(self, f"{side}_pointer"), np.int64))
            for name in ("price", "size"):
                object.__setattr__(self, f"{side}_{name}", frozen(getattr(self, f"{side}_{name}"), np.float64))
            self._check_side(side)
        if not 0 <= self.impact < math.inf:
            raise InputError("must be a number from 0", column="impact", value=self.impact)
        if not 0 <= self.refill <= 1:
            raise InputError("must be in [0, 1]", column="refill", value=self.refill)
        if len(self.bid_pointer) != len(self.ask_pointer):
            raise InputError("bids and asks are not of the same instruments", column="ask_pointer")
        crossed = self.bid_price[self.bid_pointer[:-1]] >= self.ask_price[self.ask_pointer[:-1]]
        require(~crossed, self.bid_price[self.bid_pointer[:-1]], "the book is crossed: best bid", "bid_price")

    def _check_side(self, side: str) -> None:
        pointer, price, size = (getattr(self, f"{side}_{name}") for name in ("pointer", "price", "size"))
        require_pointers(pointer, len(pointer) - 1, len(price), f"{side}_pointer")
        if size.shape != price.shape:
            raise InputError(f"has shape {size.shape}, expected {price.shape}", column=f"{side}_size")
        levels = np.diff(pointer)
        require(levels > 0, levels, "the book has an empty side", f"{side}_pointer")
        require((price > 0) & np.isfinite(price), price, "must be positive", f"{side}_price")
        require((size >= 0) & np.isfinite(size), size, "must be a number from 0", f"{side}_size")
        step = np.diff(price) * (-1.0 if side == "bid" else 1.0)
        first = np.zeros(len(price), dtype=np.bool_)
        first[pointer[:-1]] = True
        better = first | np.append(True, step > 0)
        require(better, price, "prices must run away from the best one", f"{side}_price")

    @classmethod
    def of(
        cls,
        table: InstrumentTable,
        ladders: Mapping[str, tuple[Ladder, Ladder]],
        *,
        impact: float = 0.0,
        refill: float = 0.0,
    ) -> DepthBook:
        """The book of (price, size) bids and asks of each instrument by name."""
        bids = _side(table, ladders, 0)
        asks = _side(table, ladders, 1)
        return cls(*bids, *asks, impact, refill)

    def thinned(self, share: float) -> DepthBook:
        """The book in a drought: `share` of every size, in [0, 1]; 0 leaves nobody to trade with.

        Examples
        --------
        >>> table = InstrumentTable.linear_perpetuals(["BTC"])
        >>> DepthBook.of(table, {"BTC": ([(99.0, 2.0)], [(101.0, 3.0)])}).thinned(0.5).bid_size.tolist()
        [1.0]
        """
        if not 0 <= share <= 1:
            raise InputError("must be in [0, 1]", column="share", value=share)
        return replace(self, bid_size=self.bid_size * share, ask_size=self.ask_size * share)

    def __len__(self) -> int:
        return len(self.bid_pointer) - 1


def _side(
    table: InstrumentTable, ladders: Mapping[str, tuple[Ladder, Ladder]], place: int
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Pointer, prices and sizes of one side of all books."""
    unknown = next((symbol for symbol in table.symbols if symbol not in ladders), None)
    if unknown is not None:
        raise InputError("has no order book", column="symbol", value=unknown)
    found = [np.asarray(ladders[symbol][place], np.float64).reshape(-1, 2) for symbol in table.symbols]
    joined = np.concatenate([np.zeros((0, 2)), *found])
    pointer = np.concatenate(([0], np.cumsum([len(one) for one in found]))).astype(np.int64)
    return pointer, joined[:, 0], joined[:, 1]


class Side:
    """One side of one instrument's book while it is being traded against."""

    def __init__(self, price: FloatArray, size: FloatArray, impact: float, *, falling: bool) -> None:
        self.price, self.impact, self.falling = price, impact, falling
        self.sizes = [round(one * UNIT) for one in size.tolist()]
        self.left, self.total = list(self.sizes), sum(self.sizes)
        self.beyond = 0

    @property
    def available(self) -> list[tuple[float, int]]:
        """Price and units of each level that still has any, best first."""
        return [(float(p), left) for p, left in zip(self.price, self.left, strict=True) if left]

    def take(self, wanted: int, limit: float | None) -> list[tuple[int, float]]:
        """Take up to `wanted` units at prices not worse than `limit`; (units, price) of each piece, best first."""
        pieces: list[tuple[int, float]] = []
        for level, price in enumerate(self.price):
            if not wanted or (limit is not None and self._worse(float(price), limit)):
                return pieces
            units = min(wanted, self.left[level])
            self.left[level] -= units
            wanted -= units
            pieces += [(units, float(price))] if units else []
        return pieces + self._take_beyond(wanted, limit)

    def could_take(self, limit: float | None) -> int:
        """Units an order could get at prices not worse than `limit`."""
        resting = sum(units for price, units in self.available if limit is None or not self._worse(price, limit))
        reached = limit is None or not self._worse(float(self.price[-1]), limit)
        return resting + (self._room_beyond(limit) if reached else 0)

    def _worse(self, price: float, limit: float) -> bool:
        return price < limit if self.falling else price > limit

    def _room_beyond(self, limit: float | None) -> int:
        total, last = self.total, float(self.price[-1])
        if not self.impact or not total:
            return 0
        reach = 1.0 if limit is None else abs(last - limit) / last
        share = min(reach, 0.99 if self.falling else math.inf) / self.impact
        return max(0, int(total * min(share * share, 1e6)) - self.beyond)

    def _take_beyond(self, wanted: int, limit: float | None) -> list[tuple[int, float]]:
        units = min(wanted, self._room_beyond(limit))
        if units <= 0:
            return []
        total, last = self.total, float(self.price[-1])
        before, after = self.beyond / total, (self.beyond + units) / total
        mean = 2 / 3 * self.impact * (after * math.sqrt(after) - before * math.sqrt(before)) / (after - before)
        self.beyond += units
        return [(units, last * (1 - mean if self.falling else 1 + mean))]

    def is_beyond(self, price: float) -> bool:
        """Whether a price is worse than that of the last level."""
        return self._worse(price, float(self.price[-1]))

    def last_price(self) -> float:
        """Price the next unit beyond the ladder would be filled at."""
        return self.worst_beyond(0)

    def worst_beyond(self, units: int) -> float:
        """Price of the last of `units` more beyond the ladder."""
        total = self.total
        moved = self.impact * math.sqrt((self.beyond + units) / total) if total else 0.0
        return float(self.price[-1]) * (1 - moved if self.falling else 1 + moved)

    def refill(self, share: float) -> None:
        """Let `share` of what was taken stand again."""
        if not share:
            return
        back = Fraction(share)
        self.left = [left + int((full - left) * back) for left, full in zip(self.left, self.sizes, strict=True)]
        self.beyond -= int(self.beyond * back)


class WorkingDepth:
    """The order books of all instruments while a waterfall runs."""

    def __init__(self, depth: DepthBook) -> None:
        self.depth = depth
        self.bids = [self._side(depth, i, "bid") for i in range(len(depth))]
        self.asks = [self._side(depth, i, "ask") for i in range(len(depth))]

    @staticmethod
    def _side(depth: DepthBook, instrument: int, side: str) -> Side:
        pointer, price, size = (getattr(depth, f"{side}_{name}") for name in ("pointer", "price", "size"))
        mine = slice(int(pointer[instrument]), int(pointer[instrument + 1]))
        return Side(price[mine], size[mine], depth.impact, falling=side == "bid")

    def against(self, instrument: int, closing_long: bool) -> Side:
        """The side an order that closes a long (sells) or a short (buys) trades with."""
        return (self.bids if closing_long else self.asks)[instrument]

    def refill(self) -> None:
        """A round has passed."""
        for side in (*self.bids, *self.asks):
            side.refill(self.depth.refill)

    def remaining(self) -> DepthBook:
        """What is left, as a book."""
        bids = [units / UNIT for side in self.bids for units in side.left]
        asks = [units / UNIT for side in self.asks for units in side.left]
        return replace(self.depth, bid_size=np.array(bids), ask_size=np.array(asks))
