"""The liquidation cascade of one contract over many pools: each forced close moves the mark that triggers the next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray, IntArray, frozen, require
from ..errors import InputError
from ..rulebook import RateSchedule
from .cascade_columns import CLOSE_COLUMNS, CLOSED_ROW, DONE, EQUITY, PROCEEDS
from .cascade_kernel import cascade_pass, trigger_pass
from .cascade_plain import queue
from .cascade_queue_kernel import LAST, queue_pass, range_pass
from .depth import DepthBook

Rows = NDArray[np.uint64]
"""Rows of pools; unsigned, as the kernels index."""


@dataclass(frozen=True)
class SingleLegPools:
    """Pools that each hold one position in the same linear contract, and cash.

    Parameters
    ----------
    size
        Signed size, units of the underlying, shape (n_pools,); not 0.
    entry
        Entry price.
    cash
        Money of the pool, settlement asset.

    Raises
    ------
    InputError
        Shapes that disagree, a size of 0, a price that is not positive, a value that is not finite.
    """

    size: FloatArray
    entry: FloatArray
    cash: FloatArray

    def __post_init__(self) -> None:
        for name in ("size", "entry", "cash"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
            found = getattr(self, name)
            if found.shape != self.size.shape or found.ndim != 1:
                raise InputError(f"has shape {found.shape}, expected {self.size.shape}", column=name)
            require(np.isfinite(found), found, "must be a finite number", name)
        require(self.size != 0, self.size, "must not be zero", "size")
        require(self.entry > 0, self.entry, "must be positive", "entry")

    def __len__(self) -> int:
        return len(self.size)


@dataclass(frozen=True)
class CascadeQueues:
    """Pools in the order in which a falling mark reaches the longs and a rising one the shorts.

    Parameters
    ----------
    trigger
        Liquidation price of each pool, exact over the tiers; not positive where no price liquidates it.
    longs, shorts
        Rows by falling and by rising trigger, equals by row; those no positive price liquidates are left out.
    """

    trigger: FloatArray
    longs: Rows
    shorts: Rows


@dataclass(frozen=True)
class CascadeResult:
    """What a cascade did.

    Parameters
    ----------
    order
        Rows of the pools closed, in that order, shape (n_closed,).
    filled
        Size closed in the order book, signed; less than the pool's where depth ran out.
    proceeds
        Money for it: size times price, negative for shorts, which pay.
    equity
        Cash and realised profit of each after it; negative: for the insurance fund to cover.
    mark
        The mark at the end.
    """

    order: IntArray
    filled: FloatArray
    proceeds: FloatArray
    equity: FloatArray
    mark: float

    @property
    def shortfall(self) -> float:
        """What the pools that were closed owe together, so far as they were filled."""
        return float(-np.minimum(self.equity, 0.0).sum())


def queue_up(pools: SingleLegPools, schedule: RateSchedule, *, closing_fee: float = 0.0) -> CascadeQueues:
    """Liquidation prices of the pools and the order they come in.

    Raises
    ------
    InputError
        A schedule that jumps: a cliff, or rounded deductions; `liquidation_price` walks those. A highest rate of 1.

    Examples
    --------
    A long of 1 from 100 with 10 of cash at 5% maintenance margin is liquidated at 90 / 0.95, the short at 110 / 1.05:

    >>> schedule = RateSchedule.marginal([0.0], [0.05], [10.0])
    >>> queues = queue_up(SingleLegPools([1.0, -1.0], [100.0, 100.0], [10.0, 10.0]), schedule)
    >>> queues.trigger.round(6).tolist(), queues.longs.tolist(), queues.shorts.tolist()
    ([94.736842, 104.761905], [0], [1])
    """
    if not 0 <= closing_fee < 1:
        raise InputError("must be in [0, 1)", column="closing_fee", value=closing_fee)
    rates = schedule.rates + closing_fee
    if not rates.max() < 1:
        raise InputError("must be below 1, the closing fee included", column="rates", value=float(rates.max()))
    _require_continuous(schedule)
    trigger = np.empty(len(pools))
    trigger_pass(pools.size, pools.entry, pools.cash, schedule.floors, rates, schedule.deductions, trigger)
    ranges = np.empty((2, 3), dtype=np.uint64)
    range_pass(trigger, trigger.view(np.uint64), pools.size, ranges.ravel())
    longs, shorts = (_queue(pools, trigger, ranges[side], long=side == 0) for side in (0, 1))
    return CascadeQueues(trigger, longs, shorts)


def _queue(pools: SingleLegPools, trigger: FloatArray, ranges: Rows, *, long: bool) -> Rows:
    """Rows of one side that some price liquidates, longs by falling and shorts by rising trigger, equals by row."""
    rows, spare = (np.empty(int(ranges[2]), dtype=np.uint64) for _ in range(2))
    counts = np.empty(2 * int(LAST) + 2, dtype=np.uint64)
    bits = trigger.view(np.uint64)
    if len(rows) and not queue_pass(trigger, bits, pools.size, long, ranges, rows, spare, counts):
        rows[:] = queue(trigger, pools.size, long=long)
    return rows


def _require_continuous(schedule: RateSchedule) -> None:
    floors, rates, deductions = schedule.floors[1:], schedule.rates, schedule.deductions
    jump = floors * np.diff(rates) - np.diff(deductions)
    smooth = (np.abs(jump) <= 1e-9 * floors) & (np.diff(rates) >= 0)
    require(smooth, floors, "maintenance margin jumps or its rate falls at the floor", "floors")


def run_cascade(
    pools: SingleLegPools,
    queues: CascadeQueues,
    depth: DepthBook,
    mark: float,
    *,
    impact_weight: float = 1.0,
    strict: bool = True,
    instrument: int = 0,
) -> CascadeResult:
    """Liquidate, one by one, every pool whose liquidation price the mark has passed, while each close moves the mark.

    Parameters
    ----------
    pools, queues
        The pools and their order; the same queues serve any mark and depth.
    depth, instrument
        The order book the closes walk down; what it cannot take is not filled. Its `impact` and `refill` do not apply.
    mark
        Where it begins.
    impact_weight
        How much of the way to the last price traded the mark moves after each close that is filled, in [0, 1].
    strict
        A pool is liquidated when the mark is past its liquidation price; false: already when it is there.

    Raises
    ------
    InputError
        A mark that is not positive, a weight outside [0, 1], an instrument the depth does not have.

    Examples
    --------
    The mark at 94 liquidates the first long. It sells into the bid of 90, and that takes the second one along.

    >>> from ..instruments import InstrumentTable
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> pools = SingleLegPools([1.0, 1.0], [100.0, 100.0], [10.0, 12.0])
    >>> queues = queue_up(pools, RateSchedule.marginal([0.0], [0.05], [10.0]))
    >>> depth = DepthBook.of(table, {"BTC": ([(90.0, 1.0), (85.0, 9.0)], [(95.0, 1.0)])})
    >>> result = run_cascade(pools, queues, depth, 94.0)
    >>> result.order.tolist(), result.proceeds.tolist(), result.equity.tolist(), result.mark
    ([0, 1], [90.0, 85.0], [0.0, -3.0], 85.0)
    """
    if not 0 < mark < math.inf:
        raise InputError("must be positive", column="mark", value=mark)
    if not 0 <= impact_weight <= 1:
        raise InputError("must be in [0, 1]", column="impact_weight", value=impact_weight)
    if not 0 <= instrument < len(depth):
        raise InputError(f"the depth has {len(depth)} instruments", column="instrument", value=instrument)
    bids, asks = side_of(depth, "bid", instrument), side_of(depth, "ask", instrument)
    closes = np.empty((len(queues.longs) + len(queues.shorts), CLOSE_COLUMNS))
    legs = (queues.longs, queues.shorts, queues.trigger, pools.size, pools.entry, pools.cash)
    closed, last = cascade_pass(float(mark), float(impact_weight), strict, *legs, *bids, *asks, closes)
    done = closes[:closed]
    return CascadeResult(
        done[:, CLOSED_ROW].astype(np.int64), done[:, DONE], done[:, PROCEEDS], done[:, EQUITY], float(last)
    )


def side_of(depth: DepthBook, side: str, instrument: int) -> tuple[FloatArray, FloatArray]:
    """Prices and sizes of one side of one instrument's book, the sizes to be written to."""
    pointer = getattr(depth, f"{side}_pointer")
    mine = slice(int(pointer[instrument]), int(pointer[instrument + 1]))
    return getattr(depth, f"{side}_price")[mine], getattr(depth, f"{side}_size")[mine].copy()
