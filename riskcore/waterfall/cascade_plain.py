"""The liquidation cascade of one contract in plain Python: what `cascade_kernel` compiles, bit for bit."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray
from .cascade_columns import CASH, CLOSE_COLUMNS, ENTRY, ROW, SIZE, TRIGGER


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
    longs: FloatArray,
    shorts: FloatArray,
    bids: tuple[FloatArray, FloatArray],
    asks: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, float]:
    """The closes in order, in the columns of `cascade_columns`, and the last mark."""
    queues, books, next_ = (longs, shorts), (_Book(*bids), _Book(*asks)), [0, 0]
    closes: list[tuple[float, ...]] = []
    while True:
        ready = (s for s in (0, 1) if next_[s] < len(queues[s]))
        side = next((s for s in ready if _reached(mark, queues[s][next_[s], TRIGGER], s, strict)), None)
        if side is None:
            return np.array(closes, dtype=np.float64).reshape(-1, CLOSE_COLUMNS), mark
        leg = queues[side][next_[side]]
        next_[side] += 1
        left, money, last = books[side].take(abs(float(leg[SIZE])))
        sign = 1.0 if side == 0 else -1.0
        done = float(leg[SIZE]) - sign * left
        equity = float(leg[CASH]) + (sign * money - done * float(leg[ENTRY]))
        closes.append((done, sign * money, equity, float(leg[ROW])))
        mark = mark if last is None else mark + weight * (last - mark)


def _reached(mark: float, trigger: float, side: int, strict: bool) -> bool:
    past = mark < trigger if side == 0 else mark > trigger
    return bool(past or (mark == trigger and not strict))
