"""The liquidation cascade of one contract in plain Python: what `cascade_kernel` compiles, bit for bit."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from .cascade_columns import CLOSE_COLUMNS


def trigger_prices(
    size: FloatArray, entry: FloatArray, cash: FloatArray, floors: FloatArray, rates: FloatArray, deductions: FloatArray
) -> FloatArray:
    """Price at which each pool's equity is its maintenance margin; not positive where none is.

    cash + size * (price - entry) = |size| * price * rate - deduction, in the tier the notional at that price falls in.
    """
    units, side = np.abs(size), np.where(size > 0.0, 1.0, -1.0)
    base = side * units * entry - cash
    price = side * (base - deductions[0]) / (units * (1.0 - side * rates[0]))
    open_ = np.ones(len(size), dtype=np.bool_)
    for tier in range(1, len(floors)):
        open_ = open_ & (units * price >= floors[tier])
        higher = side * (base - deductions[tier]) / (units * (1.0 - side * rates[tier]))
        price = np.where(open_, higher, price)
    return np.asarray(price, dtype=np.float64)


def queue(trigger: FloatArray, size: FloatArray, *, long: bool) -> IntArray:
    """Rows of one side that some price liquidates, longs by falling and shorts by rising trigger, equals by row."""
    rows = np.flatnonzero((trigger > 0.0) & ((size > 0.0) == long))
    return rows[np.argsort(-trigger[rows] if long else trigger[rows], kind="stable")]


class _Book:
    """One side of the order book, used up from the best price on."""

    def __init__(self, price: FloatArray, size: FloatArray) -> None:
        self.price, self.left, self.level = price.tolist(), size.tolist(), 0

    def take(self, wanted: float) -> tuple[float, float, float | None]:
        """What is left of `wanted`, the money traded, and the last price if all was filled."""
        money, price = 0.0, None
        while wanted > 0.0 and self.level < len(self.left):
            price = self.price[self.level]
            if self.left[self.level] > wanted:
                self.left[self.level] -= wanted
                return 0.0, money + wanted * price, price
            money += self.left[self.level] * price
            wanted -= self.left[self.level]
            self.left[self.level] = 0.0
            self.level += 1
        return wanted, money, price if wanted == 0.0 else None


def cascade(
    mark: float,
    weight: float,
    strict: bool,
    queues: tuple[list[int], list[int]],
    trigger: FloatArray,
    pools: tuple[FloatArray, FloatArray, FloatArray],
    books: tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]],
) -> tuple[FloatArray, float]:
    """The closes in order, in the columns of `cascade_columns`, and the last mark.

    Of two sides, longs first: the rows of the queues, and prices and sizes of the book they trade with.
    """
    size, entry, cash = (column.tolist() for column in pools)
    sides, next_ = (_Book(*books[0]), _Book(*books[1])), [0, 0]
    closes: list[tuple[float, ...]] = []
    while True:
        ready = (s for s in (0, 1) if next_[s] < len(queues[s]))
        side = next((s for s in ready if _reached(mark, float(trigger[queues[s][next_[s]]]), s, strict)), None)
        if side is None:
            return np.array(closes, dtype=np.float64).reshape(-1, CLOSE_COLUMNS), mark
        row = queues[side][next_[side]]
        next_[side] += 1
        left, money, last = sides[side].take(abs(size[row]))
        sign = 1.0 if side == 0 else -1.0
        done = size[row] - sign * left
        closes.append((done, sign * money, cash[row] + (sign * money - done * entry[row]), float(row)))
        mark = mark if last is None else mark + weight * (last - mark)


def _reached(mark: float, trigger: float, side: int, strict: bool) -> bool:
    past = mark < trigger if side == 0 else mark > trigger
    return bool(past or (mark == trigger and not strict))
