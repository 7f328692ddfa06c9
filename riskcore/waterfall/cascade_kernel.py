"""The compiled liquidation cascade of one contract. Its plain twin is `cascade_plain`."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from ..margin_kernel import NEXT, njit_kernel
from .cascade_columns import CASH, CLOSED_ROW, DONE, ENTRY, EQUITY, PROCEEDS, ROW, SIZE, TRIGGER

NONE = np.uint64(0)


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
def insertion_pass(order: IntArray, key: IntArray) -> None:
    """Sort an order that is all but sorted by key; equals stay as they stand."""
    for last in range(1, len(order)):
        moving, place = order[last], last
        while place > 0 and key[order[place - 1]] > key[moving]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = moving


@njit_kernel
def queue_pass(
    rows: IntArray, trigger: FloatArray, size: FloatArray, entry: FloatArray, cash: FloatArray, legs: FloatArray
) -> None:
    """Write the legs of these rows, in this order, in the columns of `cascade_columns`."""
    for place in range(len(rows)):
        row = np.uint64(rows[place])
        legs[place, TRIGGER] = trigger[row]
        legs[place, SIZE] = size[row]
        legs[place, ENTRY] = entry[row]
        legs[place, CASH] = cash[row]
        legs[place, ROW] = row


@njit_kernel
def cascade_pass(
    mark: float,
    weight: float,
    strict: bool,
    longs: FloatArray,
    shorts: FloatArray,
    bid_price: FloatArray,
    bid_left: FloatArray,
    ask_price: FloatArray,
    ask_left: FloatArray,
    closes: FloatArray,
) -> tuple[int, float]:
    """Close leg after leg while the next trigger is reached; how many, and the last mark.

    `longs` stand by falling trigger, `shorts` by rising, their columns and those of `closes` are in `cascade_columns`.
    `bid_left` and `ask_left` are used up.
    """
    long, short, bid, ask, closed = NONE, NONE, NONE, NONE, NONE
    all_longs, all_shorts = np.uint64(len(longs)), np.uint64(len(shorts))
    bids, asks = np.uint64(len(bid_left)), np.uint64(len(ask_left))
    while True:
        if long < all_longs and (mark < longs[long, TRIGGER] or (mark == longs[long, TRIGGER] and not strict)):
            size, entry, cash = longs[long, SIZE], longs[long, ENTRY], longs[long, CASH]
            row = longs[long, ROW]
            long += NEXT
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
        elif short < all_shorts and (mark > shorts[short, TRIGGER] or (mark == shorts[short, TRIGGER] and not strict)):
            size, entry, cash = shorts[short, SIZE], shorts[short, ENTRY], shorts[short, CASH]
            row = shorts[short, ROW]
            short += NEXT
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
        else:
            return int(closed), mark
        closes[closed, DONE] = done
        closes[closed, PROCEEDS] = money
        closes[closed, EQUITY] = cash + (money - done * entry)
        closes[closed, CLOSED_ROW] = row
        closed += NEXT
