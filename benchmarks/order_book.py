"""An order book from a recording of diffs: plain dicts of Decimal against the compiled book.

A recording in Binance's layout is drawn at random: a snapshot of 1,000 levels a side and 6,000 diffs of 74 levels, most
of them near the mid, a quarter of them removing a level; both ways check that each diff follows. "File to book" begins
with the gzip file. The other two begin with the messages as either side holds them once read, and keep the book, or
also say best bid and ask and the notional within 10 basis points of the mid after every diff; for that the dicts look
through all their levels, and are timed on the last diffs only.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, options, say_goals, say_machine, timed, write_json

from margincast.features.liquidity.book_sequence import BINANCE_FUTURES
from margincast.features.liquidity.order_book import BookTrace, OrderBook
from margincast.features.readers.book_feed_binance import BinanceRecording
from margincast.features.readers.book_feed_events import BookUpdate

GOALS = {"file to book": 2.0, "messages to book": 2.0, "messages to depth after each diff": 30.0}
MIDDLE, LEVELS, BAND, PORTION = 600_000, 1_000, 10.0, 256
Levels = list[tuple[Decimal, Decimal]]
Read = tuple[bool, int, int, Levels, Levels]


def draw_lines(rng: np.random.Generator, diffs: int) -> list[bytes]:
    """A recording: the snapshot, then diffs around a mid that walks a tick at a time and is always free."""
    snapshot: dict[str, object] = {"lastUpdateId": 1000, "E": 1000}
    for name, sign in (("bids", -1), ("asks", 1)):
        snapshot[name] = [[price(MIDDLE + sign * (k + 1)), f"{rng.lognormal(-1, 1):.3f}"] for k in range(LEVELS)]
    lines, last, mid = [line(0, snapshot)], 1000, MIDDLE
    for number in range(1, diffs + 1):
        mid += int(rng.integers(-1, 2))
        data = {"e": "depthUpdate", "E": 1000 + number, "s": "BTCUSDT", "U": last + 5, "u": last + 90, "pu": last}
        data |= {name: draw_side(rng, mid, sign) for name, sign in (("b", -1), ("a", 1))}
        lines.append(line(number, {"stream": "btcusdt@depth@0ms", "data": data}))
        last += 90
    return lines


def draw_side(rng: np.random.Generator, mid: int, sign: int) -> list[list[str]]:
    """Changed levels of one side by price, the place of the mid among them and empty."""
    away = np.unique(rng.exponential(400.0, int(rng.integers(5, 70))).astype(int) + 1)
    sizes = np.where(rng.random(len(away)) < 0.25, 0.0, rng.lognormal(-1, 1, len(away)))
    levels = [(mid, 0.0), *zip((mid + sign * away).tolist(), sizes.tolist(), strict=True)]
    return [[price(tick), f"{size:.3f}"] for tick, size in sorted(levels)]


def price(ticks: int) -> str:
    """A price of so many ticks of 0.1."""
    return f"{ticks / 10:.2f}"


def line(number: int, message: dict[str, object]) -> bytes:
    """A line as it is recorded."""
    return f"{1_700_000_000_000_000_000 + number} {json.dumps(message, separators=(',', ':'))}\n".encode()


class DictBook:
    """Two dicts of Decimal."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.last = 0

    def take(self, message: Read) -> None:
        """Let the book be a snapshot, or apply a diff that follows."""
        snapshot, previous, last, bids, asks = message
        if snapshot:
            self.bids, self.asks = dict(bids), dict(asks)
        elif previous != self.last:
            raise ValueError("gap")
        else:
            for side, levels in ((self.bids, bids), (self.asks, asks)):
                for level, size in levels:
                    if size:
                        side[level] = size
                    else:
                        side.pop(level, None)
        self.last = last

    def depth(self) -> tuple[float, ...]:
        """Best bid and ask, and the notional within the band."""
        bid, ask = max(self.bids), min(self.asks)
        reach = Decimal(BAND) / 10_000
        low, high = (bid + ask) / 2 * (1 - reach), (bid + ask) / 2 * (1 + reach)
        bids = sum(p * q for p, q in self.bids.items() if p >= low)
        asks = sum(p * q for p, q in self.asks.items() if p <= high)
        return float(bid), float(ask), float(bids), float(asks)


def read_plainly(path: Path) -> list[Read]:
    """Messages with their levels as Decimal."""
    out: list[Read] = []
    with gzip.open(path) as lines:
        for one in lines:
            message: dict[str, Any] = json.loads(one.partition(b" ")[2])
            if "lastUpdateId" in message:
                last = message["lastUpdateId"]
                out.append((True, 0, last, decimals(message["bids"]), decimals(message["asks"])))
            else:
                data = message["data"]
                out.append((False, data["pu"], data["u"], decimals(data["b"]), decimals(data["a"])))
    return out


def decimals(levels: list[list[str]]) -> Levels:
    return [(Decimal(level), Decimal(size)) for level, size in levels]


def keep_dicts(messages: list[Read]) -> DictBook:
    """The dicts after all messages."""
    book = DictBook()
    for message in messages:
        book.take(message)
    return book


def depth_of_dicts(before: DictBook, messages: list[Read]) -> list[tuple[float, ...]]:
    """Depth after each of some more messages; the book before them stays as it is."""
    book, said = DictBook(), []
    book.bids, book.asks, book.last = before.bids.copy(), before.asks.copy(), before.last
    for message in messages:
        book.take(message)
        said.append(book.depth())
    return said


def read_updates(path: Path) -> list[BookUpdate]:
    """Messages as the reader yields them."""
    return [event for event in BinanceRecording(path, symbol="BTCUSDT") if isinstance(event, BookUpdate)]


def keep(updates: list[BookUpdate]) -> OrderBook:
    """The compiled book, fed in portions."""
    book = OrderBook("BTCUSDT", BINANCE_FUTURES)
    for first in range(0, len(updates), PORTION):
        book.apply(updates[first : first + PORTION])
    return book


def trace(updates: list[BookUpdate]) -> list[BookTrace]:
    """The same, with depth after each message."""
    book = OrderBook("BTCUSDT", BINANCE_FUTURES)
    return [book.trace(updates[first : first + PORTION], BAND) for first in range(0, len(updates), PORTION)]


def check(plain: list[Read], updates: list[BookUpdate], few: int) -> None:
    """Both ways say the same."""
    twin, levels = keep_dicts(plain), keep(updates).levels()
    for side, (prices, sizes) in ((twin.bids, levels.side(0)), (twin.asks, levels.side(1))):
        ours = dict(zip(prices.tolist(), sizes.tolist(), strict=True))
        assert ours == {float(level): float(size) for level, size in side.items()}
    said = np.concatenate([np.column_stack((t.bid, t.ask, t.within)) for t in trace(updates)])[-few:]
    known = ~np.isnan(said)
    theirs = np.array(depth_of_dicts(keep_dicts(plain[:-few]), plain[-few:]))
    np.testing.assert_allclose(said[known], theirs[known], rtol=1e-12)
    assert known.mean() > 0.9


def main() -> None:
    """Time both ways in turn, and print levels a second, ratios and goals."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    diffs, few, rounds = (300, 20, 2) if asked.quick else (6_000, 100, 7)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recording.gz"
        path.write_bytes(gzip.compress(b"".join(draw_lines(np.random.default_rng(1), diffs)), 6, mtime=0))
        plain, updates = read_plainly(path), read_updates(path)
        check(plain, updates, few)
        before = keep_dicts(plain[:-few])
        spent = timed(
            {
                "file to book, dicts": (lambda _: keep_dicts(read_plainly(path)), 1),
                "file to book": (lambda _: keep(read_updates(path)), 1),
                "messages to book, dicts": (lambda _: keep_dicts(plain), 1),
                "messages to book": (lambda _: keep(updates), 1),
                "messages to depth after each diff, dicts": (lambda _: depth_of_dicts(before, plain[-few:]), 1),
                "messages to depth after each diff": (lambda _: trace(updates), 1),
            },
            rounds,
        )
    changed = sum(len(update.bids) + len(update.asks) for update in updates)
    counts = dict.fromkeys(spent, changed)
    counts["messages to depth after each diff, dicts"] = sum(len(u.bids) + len(u.asks) for u in updates[-few:])
    rates = {name: counts[name] / taken.median for name, taken in spent.items()}
    print(f"{diffs:,} diffs and a snapshot that set {changed:,} levels")
    print(f"{'':42} {'median ms':>10} {'levels/s':>12}")
    for name, taken in spent.items():
        print(f"{name:42} {taken.median * 1e3:10,.1f} {rates[name]:12,.0f}")
    ratios = {name: (rates[name] / rates[f"{name}, dicts"], goal) for name, goal in GOALS.items()}
    judged = say_goals(ratios, asked.quick)
    figures = {
        name: {"median_s": t.median, "least_s": t.least, "levels_per_s": rates[name]} for name, t in spent.items()
    }
    write_json(asked.json, {"machine": found, "diffs": diffs, "levels": changed, "ways": figures, "goals": judged})


if __name__ == "__main__":
    main()
