"""Order books in plain Python, written from the venues' pages, and streams of messages whose true book is known."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from margincast.features.readers.book_feed_events import UNKNOWN, BookUpdate

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FEEDS = SHARED / "data" / "orderbook"
BTC = FEEDS / "hftbacktest_usdm_btcusdt_20240808.gz"
ETH = FEEDS / "hftbacktest_usdm_ethusdt_20240808.gz"
XRP = FEEDS / "bybit_xrpusdt-ob500.data.zip"
ROWS = FEEDS / "binance_futures_l2_100levels_20240921.parquet"

TICK, MIDDLE = 0.25, 400
NOTHING = np.zeros((0, 2))


def sides_of(levels):
    """Both sides of a BookLevels as dicts of price and size."""
    bids = dict(zip(levels.bid_prices.tolist(), levels.bid_sizes.tolist(), strict=True))
    asks = dict(zip(levels.ask_prices.tolist(), levels.ask_sizes.tolist(), strict=True))
    return bids, asks


class PlainBook:
    """Two dicts of Decimal, and the words of the venue's page."""

    def __init__(self, venue):
        self.venue, self.valid, self.joined, self.last = venue, False, False, None
        self.bids, self.asks, self.came = {}, {}, []

    def take(self, update):
        if update.kind == "diff":
            self.came.append(update)
            self.diff(update)
            return
        trial = PlainBook(self.venue)
        trial.bids, trial.asks = ({Decimal(repr(p)): s for p, s in side if s} for side in pairs(update))
        trial.valid, trial.last, trial.came = True, update.last, self.came
        if self.venue in ("binance futures", "binance spot"):
            for diff in self.came:
                trial.diff(diff)
        if trial.valid:
            self.__dict__ = trial.__dict__

    def diff(self, update):
        verdict = getattr(self, self.venue.replace(" ", "_"))(update) if self.valid else "wait"
        if verdict == "gap":
            self.valid = False
        elif verdict == "apply":
            for side, levels in zip((self.bids, self.asks), pairs(update), strict=True):
                for price, size in levels:
                    side.pop(Decimal(repr(price)), None)
                    if size:
                        side[Decimal(repr(price))] = size
            self.joined, self.last = True, update.last

    def binance_futures(self, update):
        if not self.joined and update.last < self.last:
            return "drop"
        if not self.joined and update.first <= self.last <= update.last:
            return "apply"
        if update.previous == self.last:
            return "apply"
        return "drop" if update.last <= self.last else "gap"

    def binance_spot(self, update):
        if update.last <= self.last:
            return "drop"
        if not self.joined and update.first <= self.last + 1 <= update.last:
            return "apply"
        return "apply" if update.first == self.last + 1 else "gap"

    def bybit(self, update):
        if update.last == self.last + 1:
            return "apply"
        return "drop" if update.last <= self.last else "gap"

    def okx(self, update):
        return "apply" if update.previous == self.last else "gap"

    def sides(self):
        return tuple({float(price): size for price, size in side.items()} for side in (self.bids, self.asks))


def pairs(update):
    return update.bids.tolist(), update.asks.tolist()


@dataclass
class Stream:
    """Messages of one venue in order, and the true book after each change by its id."""

    messages: list
    truth: dict

    def snapshot(self, sequence, seen):
        """The true book as of an id, as a message."""
        bids, asks = (np.array(sorted(side.items())).reshape(-1, 2) for side in self.truth[sequence])
        return BookUpdate("X", "snapshot", seen, seen, sequence, sequence, UNKNOWN, bids, asks)


def draw_stream(rng, venue, events=30, start=True):
    """A stream of diffs of a random book, with the numbers its venue would give them."""
    sides, sequence, truth, messages = ({}, {}), 1000, {}, []
    for side in (0, 1):
        for tick in rng.choice(30, 12, replace=False):
            sides[side][price_of(side, tick)] = float(rng.integers(1, 50))
    truth[sequence] = tuple(dict(side) for side in sides)
    for number in range(events):
        previous, first, changed = sequence, None, ({}, {})
        for _ in range(int(rng.integers(1, 6))):
            side, tick = int(rng.integers(2)), int(rng.integers(30))
            size = 0.0 if rng.random() < 0.45 else float(rng.integers(1, 50))
            sequence += step_of(rng, venue)
            first = sequence if first is None else first
            changed[side][price_of(side, tick)] = size
            sides[side].pop(price_of(side, tick), None)
            if size:
                sides[side][price_of(side, tick)] = size
            if venue in ("binance futures", "binance spot"):
                truth[sequence] = tuple(dict(side) for side in sides)
        if venue in ("bybit", "okx"):
            first = sequence = previous + (1 if venue == "bybit" else int(rng.integers(1, 9)))
            truth[sequence] = tuple(dict(side) for side in sides)
        levels = [np.array(list(side.items())).reshape(-1, 2) for side in changed]
        named = previous if venue in ("binance futures", "okx") else UNKNOWN
        messages.append(BookUpdate("X", "diff", 10 + number, 10 + number, first, sequence, named, *levels))
    return Stream(messages, truth)


def step_of(rng, venue):
    return int(rng.integers(1, 7)) if venue == "binance futures" else 1


def price_of(side, tick):
    """Bids below the middle, asks above it, so that no true book crosses."""
    return TICK * (MIDDLE - 1 - int(tick) if side == 0 else MIDDLE + 1 + int(tick))


def at(update, seen):
    """The same message, seen at another time."""
    return replace(update, exchange_time=seen, receipt_time=seen)
