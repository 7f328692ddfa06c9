"""The compiled liquidation cascade of one contract. Its plain twin is `cascade_plain`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arrays import FloatArray
from ..margin_kernel import NEXT, njit_kernel
from .cascade_columns import CLOSED_ROW, DONE, EQUITY, PROCEEDS

NONE = np.uint64(0)
Rows = NDArray[np.uint64]


@njit_kernel
def trigger_pass(
    size: FloatArray,
    entry: FloatArray,
    cash: FloatArray,
    floors: FloatArray,
    rates: FloatArray,
    deductions: FloatArray,
    trigger: FloatArray,
) -> None:
    """Write the price at which each pool's equity is its maintenance margin; not positive where none is."""
    tiers = len(floors)
    for i in range(len(size)):
        units = abs(size[i])
        side = 1.0 if size[i] > 0.0 else -1.0
        base = side * units * entry[i] - cash[i]
        tier = 0
        price = side * (base - deductions[0]) / (units * (1.0 - side * rates[0]))
        while tier + 1 < tiers and units * price >= floors[tier + 1]:
            tier += 1
            price = side * (base - deductions[tier]) / (units * (1.0 - side * rates[tier]))
        trigger[i] = price


@njit_kernel
def cascade_pass(
    mark: float,
    weight: float,
    strict: bool,
    longs: Rows,
    shorts: Rows,
    trigger: FloatArray,
    sizes: FloatArray,
    entries: FloatArray,
    cash: FloatArray,
    bid_price: FloatArray,
    bid_left: FloatArray,
    ask_price: FloatArray,
    ask_left: FloatArray,
    closes: FloatArray,
) -> tuple[int, float]:
    """Close leg after leg while the next trigger is reached; how many, and the last mark.

    `longs` are rows of pools by falling trigger, `shorts` by rising; the columns of `closes` are in `cascade_columns`.
    `bid_left` and `ask_left` are used up.
    """
    long, short, bid, ask, closed = NONE, NONE, NONE, NONE, NONE
    all_longs, all_shorts = np.uint64(len(longs)), np.uint64(len(shorts))
    bids, asks = np.uint64(len(bid_left)), np.uint64(len(ask_left))
    while True:
        reached = False
        if long < all_longs:
            row = longs[long]
            reached = mark < trigger[row] or (mark == trigger[row] and not strict)
        if reached:
            long += NEXT
            size = sizes[row]
            wanted, money = size, 0.0
            while wanted > 0.0 and bid < bids:
                price, room = bid_price[bid], bid_left[bid]
                taken = min(room, wanted)
                money += taken * price
                wanted -= taken
                bid_left[bid] = room - taken
                if room == taken:
                    bid += NEXT
                if wanted == 0.0:
                    mark += weight * (price - mark)
            done = size - wanted
        else:
            if short >= all_shorts:
                return int(closed), mark
            row = shorts[short]
            if not (mark > trigger[row] or (mark == trigger[row] and not strict)):
                return int(closed), mark
            short += NEXT
            size = sizes[row]
            wanted, money = -size, 0.0
            while wanted > 0.0 and ask < asks:
                price, room = ask_price[ask], ask_left[ask]
                taken = min(room, wanted)
                money -= taken * price
                wanted -= taken
                ask_left[ask] = room - taken
                if room == taken:
                    ask += NEXT
                if wanted == 0.0:
                    mark += weight * (price - mark)
            done = size + wanted
        closes[closed, DONE] = done
        closes[closed, PROCEEDS] = money
        closes[closed, EQUITY] = cash[row] + (money - done * entries[row])
        closes[closed, CLOSED_ROW] = row
        closed += NEXT
