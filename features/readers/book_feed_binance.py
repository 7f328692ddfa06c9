"""Binance order-book recordings: lines of a local receipt time and one message of the combined stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from .book_feed_events import UNKNOWN, BestQuote, BookUpdate, FeedEvent, TradePrint
from .book_feed_fields import amount, name_of, nanoseconds_of, whole_number
from .book_feed_lines import feed_lines
from .book_feed_scan import levels_of, parsed_message

SNAPSHOT = "lastUpdateId"
DIFF, QUOTE = "depthUpdate", "bookTicker"


class BinanceRecording:
    """A recording of Binance USD-M, COIN-M or spot streams, read as a stream in bounded memory.

    Each line is `RECEIPT_NANOSECONDS JSON`, the JSON a message of the combined stream ({"stream", "data"}), of a raw
    stream, or the answer to a REST request of the depth (which is how a snapshot gets into such a recording). That is
    the layout the collector of hftbacktest writes. Going over it yields `BookUpdate`, `BestQuote` and `TradePrint` in
    the order of the file; each time it is read anew.

    Parameters
    ----------
    path
        Plain, gzip or zip file.
    symbol
        Whose book a REST answer is, which does not say it itself; not needed where the messages before it are of one
        symbol.
    trades
        Which events are the trades: every fill ("trade") or fills of one order at one price ("aggTrade"). A recording
        may hold both.

    Attributes
    ----------
    unread
        Messages of other kinds by their event name, as counted by the last pass; they are left out.

    Raises
    ------
    InputError
        While reading, with file and row: see `feed_lines` and `BookUpdate`; a line without a receipt time, text that is
        not JSON, a field that is missing or of the wrong kind.
    """

    def __init__(
        self, path: str | Path, *, symbol: str | None = None, trades: Literal["trade", "aggTrade"] = "trade"
    ) -> None:
        self.path, self.symbol, self.trades = Path(path), symbol, trades
        self.unread: Counter[str] = Counter()

    def __iter__(self) -> Iterator[FeedEvent]:
        self.unread = Counter()
        symbols: set[str] = set()
        for row, line in feed_lines(self.path):
            try:
                event = self._event(line, symbols)
            except InputError as fault:
                where = {"file": self.path.name, "row": row, "column": fault.column, "value": fault.value}
                raise InputError(fault.problem, **where) from None
            if event is not None:
                symbols.add(event.symbol)
                yield event

    def _event(self, line: bytes, symbols: set[str]) -> FeedEvent | None:
        stamp, _, text = line.partition(b" ")
        if not stamp.isdigit():
            raise InputError("must begin with a receipt time in nanoseconds", value=stamp[:40].decode("latin1"))
        received = int(stamp)
        snapshot = b'"lastUpdateId"' in text
        try:
            message, bids, asks = parsed_message(text, ("bids", "asks") if snapshot else ("b", "a"))
        except ValueError as failure:
            raise InputError(f"is not JSON: {failure}") from None
        data = message.get("data", message) if isinstance(message, dict) else message
        if not isinstance(data, dict):
            raise InputError("must be a JSON object", value=data)
        if SNAPSHOT in data:
            return _snapshot(data, received, self._whose(data, symbols), bids, asks)
        kind = str(data.get("e", "nameless"))
        if kind == DIFF:
            return _diff(data, received, bids, asks)
        if kind == QUOTE:
            return _quote(data, received)
        if kind == self.trades:
            return _trade(data, received)
        self.unread[kind] += 1
        return None

    def _whose(self, data: dict[str, Any], symbols: set[str]) -> str:
        if "symbol" in data:
            return name_of(data, "symbol")
        if self.symbol is not None:
            return self.symbol
        if len(symbols) != 1:
            raise InputError("this snapshot does not say whose it is: give the symbol", column="symbol")
        return next(iter(symbols))


def _snapshot(
    data: dict[str, Any], received: int, symbol: str, bids: FloatArray | None, asks: FloatArray | None
) -> BookUpdate:
    last = whole_number(data, SNAPSHOT)
    sent = nanoseconds_of(data, "E") if "E" in data else UNKNOWN
    sides = levels_of(data.get("bids"), bids, "bids"), levels_of(data.get("asks"), asks, "asks")
    return BookUpdate(symbol, "snapshot", sent, received, last, last, UNKNOWN, *sides)


def _diff(data: dict[str, Any], received: int, bids: FloatArray | None, asks: FloatArray | None) -> BookUpdate:
    first, last = whole_number(data, "U"), whole_number(data, "u")
    if first > last:
        raise InputError(f"first id must not be above the last one, {last}", column="U", value=first)
    previous = whole_number(data, "pu") if "pu" in data else UNKNOWN
    sides = levels_of(data.get("b"), bids, "b"), levels_of(data.get("a"), asks, "a")
    return BookUpdate(name_of(data, "s"), "diff", nanoseconds_of(data, "E"), received, first, last, previous, *sides)


def _quote(data: dict[str, Any], received: int) -> BestQuote:
    sent = nanoseconds_of(data, "E") if "E" in data else UNKNOWN
    prices = (amount(data, name) for name in ("b", "B", "a", "A"))
    return BestQuote(name_of(data, "s"), sent, received, whole_number(data, "u"), *prices)


def _trade(data: dict[str, Any], received: int) -> TradePrint:
    maker = data.get("m")
    if not isinstance(maker, bool):
        raise InputError("must be true or false: whether the buyer was the maker", column="m", value=maker)
    return TradePrint(
        name_of(data, "s"), nanoseconds_of(data, "E"), received, amount(data, "p"), amount(data, "q"), not maker
    )
