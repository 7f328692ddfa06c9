"""Ticks to bars: what a live market sends, out of order, twice or not at all, as the bars a batch would have read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from .bars import BarRow, BarTable, ColumnMatrix, nanoseconds, require_symbols

FIRST = frozenset({"open", "last_open"})
HIGHEST = frozenset({"high", "last_high"})
LOWEST = frozenset({"low", "last_low"})
REPORTED = frozenset({"liquidated_long", "liquidated_short", "liquidation_events"})
"""Sums that are zero, not missing, in a bar in which the symbol's price is known."""
ADDED = frozenset({"volume", "taker_buy_volume", "trades", "funding_rate"}) | REPORTED
PRICES = FIRST | HIGHEST | LOWEST | {"close", "last_close", "mark_close", "spot_close"}
"""How ticks of a bar become one value; of every other column the latest counts."""


@dataclass
class FeedCounts:
    """What was wrong with a feed so far.

    Parameters
    ----------
    ticks
        Ticks that were taken in.
    duplicates
        Ticks that had come before, left out.
    conflicts
        Ticks of a key that had come before with other values, left out.
    reordered
        Ticks older than one of the same symbol before them, still in time for their bar.
    late
        Ticks of a bar that had closed, or before the feed's first, left out.
    early
        Ticks further ahead of the clock than `ahead`, left out.
    clock_backwards
        How often the clock was told an earlier time than before; it stays where it was.
    outages
        Bars in which no symbol had a tick.
    missing
        Bars without a tick, by symbol (outages included).
    """

    ticks: int = 0
    duplicates: int = 0
    conflicts: int = 0
    reordered: int = 0
    late: int = 0
    early: int = 0
    clock_backwards: int = 0
    outages: int = 0
    missing: dict[str, int] = field(default_factory=dict)

    def lines(self, silent: Mapping[str, float]) -> list[str]:
        """The counts for a console, what never happened left out; `silent`: hours since the last tick, by symbol."""
        said = {
            "duplicate": self.duplicates,
            "conflicting": self.conflicts,
            "reordered": self.reordered,
            "late": self.late,
            "early": self.early,
        }
        out = [f"{self.ticks} ticks" + "".join(f", {count} {name}" for name, count in said.items() if count)]
        out += [f"clock went backwards {self.clock_backwards} times"] if self.clock_backwards else []
        out += [f"{self.outages} bars without any tick"] if self.outages else []
        out += [f"{symbol}: {count} bars missing" for symbol, count in self.missing.items() if count]
        return out + [f"{symbol}: silent for {hours:.1f} h" for symbol, hours in silent.items()]


Told = tuple[tuple[str, float], ...]
Key = str | int | Told
Ticks = dict[tuple[int, int, Key], Told]
"""Ticks of a bar that is still open: symbol, instant and key, and what each said."""

NO_WAIT = np.timedelta64(0, "ns")
NEVER = int(np.iinfo(np.int64).min)


class BarFeed:
    """Bars from ticks.

    A tick is any set of column values of one symbol at one instant: a trade, a mark price, a bar of the venue, a charge
    of funding. Opens take the earliest tick of the bar, closes and states the latest, highs and lows the extremes,
    volumes the sum: to the same bits in whatever order they came. A bar closes once the clock has passed its end by
    `lateness`; what comes for it later is counted and left out. A bar or symbol without ticks is NaN, never filled.
    Ticks are kept until their bar closes: call `advance` at least once a bar.

    Parameters
    ----------
    symbols
        Instruments.
    step
        Length of a bar.
    columns
        Columns to keep, of `bars.COLUMNS` or one's own.
    lateness
        How long after a bar's end its ticks are waited for.
    first
        Open of the first bar, for a stream that goes on from a history; bars are counted from it, so that weeks may
        begin on Monday. Default: bars begin at whole steps since 1970, the first at the first tick, of which nothing
        says whether it is the bar's first.
    ahead
        How far ahead of the clock that `advance` is told a tick may be; one from years ahead would end in years of
        empty bars where the clock is the newest tick's. Default: any.

    Raises
    ------
    InputError
        No symbol or one twice, a column twice, a step or `ahead` that is not positive, a lateness below zero.

    Examples
    --------
    >>> feed = BarFeed(["BTC"], np.timedelta64(1, "h"), ["last_close", "volume"])
    >>> at = np.datetime64("2024-01-01T00:10", "ns")
    >>> feed.push("BTC", at + np.timedelta64(20, "m"), {"last_close": 101.0, "volume": 2.0})
    >>> feed.push("BTC", at, {"last_close": 100.0, "volume": 1.0})
    >>> [row] = feed.advance(np.datetime64("2024-01-01T01:00", "ns"))
    >>> row["last_close"].tolist(), row["volume"].tolist(), feed.counts.reordered
    ([101.0], [3.0], 1)
    """

    def __init__(
        self,
        symbols: Sequence[str],
        step: np.timedelta64,
        columns: Sequence[str],
        lateness: np.timedelta64 = NO_WAIT,
        *,
        first: np.datetime64 | None = None,
        ahead: np.timedelta64 | None = None,
    ) -> None:
        self.symbols, self.columns = tuple(symbols), tuple(columns)
        require_symbols(self.symbols)
        twice = [name for name in self.columns if self.columns.count(name) > 1]
        if twice:
            raise InputError("stands there twice", column="columns", value=twice[0])
        self._step = nanoseconds(step)
        self._late = 0 if lateness == NO_WAIT else nanoseconds(lateness, "lateness")
        self._ahead = None if ahead is None else nanoseconds(ahead, "ahead")
        self._origin = 0 if first is None else _instant(first, "first")
        self.step = np.timedelta64(self._step, "ns")
        self.counts = FeedCounts(missing=dict.fromkeys(self.symbols, 0))
        self._symbol = {name: place for place, name in enumerate(self.symbols)}
        self._open: dict[int, Ticks] = {}
        self._next: int | None = None if first is None else 0
        self._clock = NEVER
        self._latest = np.full(len(self.symbols), NEVER)

    def push(self, symbol: str, time: np.datetime64, values: Mapping[str, float], key: str | int | None = None) -> None:
        """Take in a tick.

        Parameters
        ----------
        symbol
            One of the feed's.
        time
            The venue's time of the tick.
        values
            Columns and their values; columns the feed does not keep are passed over.
        key
            Tells it from others of the same symbol and instant (a trade number), of which the one with the greater key
            is the later; without one its values do, so that two equal trades of one instant count as one.

        Raises
        ------
        InputError
            A symbol that is not the feed's; no time; a value that is not finite; a price that is not positive; an
            amount below zero.
        """
        place, instant = self._symbol.get(symbol), _instant(time, "time")
        if place is None:
            raise InputError("is not a symbol of this feed", column="symbol", value=symbol)
        kept = {name: float(value) for name, value in values.items() if name in self.columns}
        _require_sound(kept, symbol)
        number = (instant - self._origin) // self._step
        if self._ahead is not None and self._clock != NEVER and instant > self._clock + self._ahead:
            self.counts.early += 1
            return
        if self._next is not None and number < self._next:
            self.counts.late += 1
            return
        told = tuple(sorted(kept.items()))
        known = told if key is None else key if isinstance(key, str) else int(key)
        bar, name = self._open.setdefault(number, {}), (place, instant, known)
        if name in bar:
            self.counts.duplicates += bar[name] == told
            self.counts.conflicts += bar[name] != told
            return
        bar[name] = told
        self.counts.ticks += 1
        self.counts.reordered += bool(instant < self._latest[place])
        self._latest[place] = max(self._latest[place], instant)

    def advance(self, now: np.datetime64) -> Iterator[BarRow]:
        """Close every bar whose end lies `lateness` before `now`, oldest first, those without ticks too.

        The clock may be the computer's or the newest tick's; a time before the last one is counted and changes nothing.
        Bars close as they are asked for: an iterator that is not used closes none.
        """
        instant = _instant(now, "now")
        self.counts.clock_backwards += instant < self._clock
        self._clock = max(self._clock, instant)
        if self._next is None and self._open:
            self._next = min(self._open)
        while self._next is not None and self._end(self._next) + self._late <= self._clock:
            self._next += 1
            yield self._close(self._next - 1)

    def _end(self, number: int) -> int:
        return self._origin + (number + 1) * self._step

    def silent(self, now: np.datetime64, longer_than: np.timedelta64) -> dict[str, float]:
        """Hours since the last tick of each symbol that has been silent for longer; infinite where none ever came."""
        instant = _instant(now, "now")
        never = self._latest == NEVER
        hours: FloatArray = np.where(never, np.inf, (instant - np.where(never, 0, self._latest)) / 3.6e12)
        limit = longer_than / np.timedelta64(1, "h")
        return {name: float(h) for name, h in zip(self.symbols, hours, strict=True) if h > limit}

    def checkpoint(self) -> dict[str, object]:
        """What the feed remembers (open bars, clock, counts) as plain values for JSON."""
        ticks = [
            [number, place, instant, key if isinstance(key, str | int) else None, list(map(list, told))]
            for number, bar in self._open.items()
            for (place, instant, key), told in bar.items()
        ]
        clocks = {"next": self._next, "clock": self._clock, "latest": self._latest.tolist()}
        return self._about() | clocks | {"ticks": ticks, "counts": asdict(self.counts)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `checkpoint` said; InputError where it is of another feed."""
        for name, value in self._about().items():
            if state.get(name) != value:
                raise InputError("is a checkpoint of another feed", column=name, value=state.get(name))
        try:
            clocks = state["next"], state["clock"], np.array(state["latest"], np.int64), FeedCounts(**state["counts"])
            ticks = [
                (number, place, at, key, tuple(map(tuple, told))) for number, place, at, key, told in state["ticks"]
            ]
        except (KeyError, TypeError, ValueError):
            raise InputError("is not a whole checkpoint of a feed") from None
        self._next, self._clock, self._latest, self.counts = clocks
        self._open = {}
        for number, place, instant, key, values in ticks:
            self._open.setdefault(number, {})[place, instant, values if key is None else key] = values

    def _about(self) -> dict[str, object]:
        symbols, columns = list(self.symbols), list(self.columns)
        return {"symbols": symbols, "columns": columns, "step": self._step, "origin": self._origin}

    def _close(self, number: int) -> BarRow:
        values = np.full((len(self.columns), len(self.symbols)), np.nan)
        ticks = self._open.pop(number, {})
        for (place, _, _), told in sorted(ticks.items(), key=_by_time):
            for column, value in told:
                row = self.columns.index(column)
                values[row, place] = _joined(column, float(values[row, place]), value)
        seen = np.isin(np.arange(len(self.symbols)), [place for place, _, _ in ticks])
        self.counts.outages += not seen.any()
        for place in np.flatnonzero(~seen).tolist():
            self.counts.missing[self.symbols[place]] += 1
        _zero_where_silent(values, self.columns)
        opened = np.datetime64(self._end(number - 1), "ns")
        return BarRow(opened, opened + self.step, ColumnMatrix(self.columns, values))


def _instant(time: np.datetime64, column: str) -> int:
    if np.isnat(time):
        raise InputError("is not a time", column=column, value=str(time))
    return int(time.astype("datetime64[ns]").astype(np.int64))


def _require_sound(values: Mapping[str, float], symbol: str) -> None:
    for name, value in values.items():
        if not np.isfinite(value):
            raise InputError("must be finite", row=symbol, column=name, value=value)
        if name in PRICES and value <= 0.0:
            raise InputError("price must be positive", row=symbol, column=name, value=value)
        if name in ADDED - {"funding_rate"} and value < 0.0:
            raise InputError("must be zero or more", row=symbol, column=name, value=value)


def _by_time(tick: tuple[tuple[int, int, Key], Told]) -> tuple[int, int, int, str, Told]:
    """Ticks of one instant by their number, or by their text, or by what they say: the same whatever came first."""
    (place, instant, key), told = tick
    return place, instant, key if isinstance(key, int) else NEVER, key if isinstance(key, str) else "", told


def _joined(column: str, so_far: float, value: float) -> float:
    """A bar's value of a column after one more tick, ticks coming in time order."""
    if np.isnan(so_far):
        return value
    if column in ADDED:
        return so_far + value
    if column in HIGHEST or column in LOWEST:
        return max(so_far, value) if column in HIGHEST else min(so_far, value)
    return so_far if column in FIRST else value


def _zero_where_silent(values: FloatArray, columns: tuple[str, ...]) -> None:
    price = next((columns.index(name) for name in ("last_close", "close") if name in columns), None)
    for row, name in enumerate(columns):
        if name in REPORTED and price is not None:
            values[row, np.isnan(values[row]) & ~np.isnan(values[price])] = 0.0


def table_of(rows: Sequence[BarRow], symbols: tuple[str, ...]) -> BarTable:
    """Closed bars that follow each other, as the table a batch would read.

    Raises
    ------
    InputError
        No row, or rows that do not follow each other.

    Examples
    --------
    >>> hour, at = np.timedelta64(1, "h"), np.datetime64("2024-01-01T00", "ns")
    >>> row = BarRow(at, at + hour, {"close": np.array([1.0])})
    >>> len(table_of([row], ("BTC",)))
    1
    """
    if not rows:
        raise InputError("needs a bar")
    times = np.array([row.opened for row in rows], "datetime64[ns]")
    columns = {name: np.stack([row[name] for row in rows]) for name in rows[0].values}
    return BarTable(times, rows[0].closed - rows[0].opened, symbols, columns)


def ticks_of(table: BarTable) -> Iterator[tuple[str, np.datetime64, dict[str, float]]]:
    """A table's bars as the ticks a venue would send: one a symbol and bar, at the last instant of the bar.

    Examples
    --------
    >>> times = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("BTC",), {"close": np.array([[5.0]])})
    >>> [(symbol, str(time)[:19], values) for symbol, time, values in ticks_of(table)]
    [('BTC', '2024-01-01T00:59:59', {'close': 5.0})]
    """
    instants: IntArray = (table.times + table.step - np.timedelta64(1, "ns")).astype("datetime64[ns]")
    for bar in range(len(table)):
        for place, symbol in enumerate(table.symbols):
            values = {name: float(column[bar, place]) for name, column in table.columns.items()}
            known = {name: value for name, value in values.items() if not np.isnan(value)}
            if known:
                yield symbol, instants[bar], known
