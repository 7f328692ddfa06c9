"""Downloading a market from a venue into a local store: what the store lacks, whole appends, every gap said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..features.readers.provenance import Source
from ..features.readers.store_records import append_records, is_stored
from ..features.readers.stored_tables import read_stored
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from ..training.table_store import TableStore
from .exchange import Exchange
from .fetch_report import Fetched, FetchReport, gaps_of
from .fetch_tables import FUNDING_PACE, HISTORIES, HistoryWindow, iso
from .order_books import LEVELS, depth_bands
from .paging import Pace, history_pages
from .snapshots import fetch_account, fetch_tiers
from .symbols import Listing, listings
from .venue_limits import BOOK_ROWS, BOTH_SIDES, KEPT_DAYS, UNITS_CHECKED, family

TABLES = (*HISTORIES, "depth", "tiers", "account")
DAY = 86_400_000
PAGES_AN_APPEND = 20
SHORTEST_INTEREST = 300_000
"""Venues publish open interest every five minutes at most."""
SKEW_SAID = 2_000

Say = Callable[[str], None]


@dataclass(frozen=True)
class FetchPlan:
    """What to download.

    Parameters
    ----------
    symbols
        Coins or unified symbols, see `live.symbols`.
    tables
        Some of `TABLES`.
    since, until
        First instant, and the one before which to stop, milliseconds since 1970. Without `since` each table goes on
        from its last stored row; without `until` it goes to now.
    step
        Length of a bar, as venues write it: 1m, 5m, 1h, ...
    quote
        Asset in which the perpetuals of coins are quoted and settled.
    account
        What the account of the table "account" is called here.
    levels
        Distances from the mid of depth bands, basis points.
    """

    symbols: tuple[str, ...]
    tables: tuple[str, ...]
    since: int | None = None
    until: int | None = None
    step: str = "1h"
    quote: str = "USDT"
    account: str = "main"
    levels: tuple[float, ...] = LEVELS

    def __post_init__(self) -> None:
        for table in self.tables:
            if table not in TABLES:
                raise InputError(f"is not a table that can be fetched; there are {', '.join(TABLES)}", value=table)
        if not self.tables or len(set(self.tables)) < len(self.tables):
            raise InputError("must name each table once", column="tables", value=",".join(self.tables))
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise InputError("must be after since", column="until", value=iso(self.until))


def fetch(plan: FetchPlan, exchange: Exchange, folder: str | Path, *, say: Say, show: Say) -> FetchReport:
    """Download what the store lacks of a plan; a run that ends early, however it ends, can be run again.

    Parameters
    ----------
    plan
        What.
    exchange
        From where.
    folder
        The store, see `training.table_store`.
    say
        Told once for each table and symbol.
    show
        Told how far the table is, page by page.

    Raises
    ------
    InputError
        An unknown symbol; rows that cannot be right; a store of other bars or another venue.
    VenueError
        The venue refused or kept failing. What was read before is stored.
    """
    store = TableStore(folder)
    markets = exchange.call("load_markets")
    chosen = listings(markets, plan.symbols, plan.quote, exchange.name)
    for listing in chosen:
        say(f"{exchange.name}: {listing}")
    run = _Run(plan, exchange, store, show)
    rows = []
    for table in plan.tables:
        for listing in chosen:
            rows.append(
                run.depth(listing, markets[listing.unified]) if table == "depth" else run.history(table, listing)
            )
            say(_line(rows[-1]))
    return FetchReport(exchange.name, str(folder), tuple(rows), run.notes())


def lacking(times: FloatArray, since: int, until: int, spacing: int | None) -> list[tuple[int, int]]:
    """Stretches of a range that stored rows leave open, milliseconds; the last one begins at the last stored row.

    Parameters
    ----------
    times
        Stored rows of the range, rising.
    since, until
        The range, its end excluded.
    spacing
        As in `gaps_of`.

    Examples
    --------
    >>> lacking(np.array([2.0, 3.0, 5.0]), 0, 9, 1)
    [(0, 2), (4, 5), (5, 9)]
    """
    if not len(times):
        return [(since, until)] if since < until else []
    first, last = int(times[0]), int(times[-1])
    inside = [(gap.after + 1, gap.before) for gap in gaps_of(times, spacing)]
    front = [(since, first)] if first - since >= (spacing or FUNDING_PACE.shortest) else []
    due = until - last > (spacing or 0)
    return [*front, *inside, *([(last, until)] if due else [])]


class _Run:
    """One run of `fetch`."""

    def __init__(self, plan: FetchPlan, exchange: Exchange, store: TableStore, show: Say) -> None:
        self.plan, self.exchange, self.store, self.show = plan, exchange, store, show
        self.venue = family(exchange.name)

    def notes(self) -> tuple[str, ...]:
        skew = self.exchange.skew()
        notes = [f"the venue's clock is {skew / 1e3:+.1f} s from ours"] if abs(skew) > SKEW_SAID else []
        if self.venue not in UNITS_CHECKED:
            notes.append(f"volume and open interest of {self.exchange.name} are as ccxt gives them: check their units")
        if self.venue in BOTH_SIDES and "open_interest" in self.plan.tables:
            notes.append(f"open interest of {self.exchange.name} counts both sides of each contract")
        return tuple(notes)

    def table(self, table: str, chosen: Sequence[Listing], markets: Mapping[str, Any]) -> Iterator[Fetched]:
        folder = self.store.folder
        if table == "tiers":
            path = fetch_tiers(self.exchange, chosen, folder)
            yield Fetched(table, "all", len(chosen), notes=(f"kept in {path.relative_to(folder)}",))
        elif table == "account":
            path = fetch_account(self.exchange, self.plan.account, folder)
            yield Fetched(table, self.plan.account, 1, notes=(f"kept in {path.relative_to(folder)}",))
        else:
            for listing in chosen:
                depth = table == "depth"
                yield self.depth(listing, markets[listing.unified]) if depth else self.history(table, listing)

    def history(self, table: str, listing: Listing) -> Fetched:
        kind = HISTORIES[table]
        if not self.exchange.offers(kind.feature):
            note = f"{self.exchange.name} has no such endpoint ({kind.feature}): nothing fetched"
            return Fetched(table, listing.symbol, notes=(note,))
        step, pace, notes = self._step(table)
        window = HistoryWindow(self.exchange, table, listing, step, pace)
        self._require_same_source(kind.stored, listing.symbol)
        since, until, more = self._range(window)
        if since >= until:
            return Fetched(table, listing.symbol, notes=(*notes, *more, "there is nothing to fetch in that range yet"))
        stored = self._stored_times(window, since, until)
        regular = pace.spacing if kind.stepped else None
        appended = _Appends(self.store, window)
        for start, end in lacking(stored, since, until, regular):
            self._download(window, appended, start, end)
        times = np.union1d(stored, appended.times())
        gaps = gaps_of(np.append(times, until) if kind.bars and len(times) else times, regular)
        if not len(times):
            more = (*more, f"the venue has no rows from {iso(since)} to {iso(until)}")
        elif times[0] - since >= pace.spacing:
            more = (*more, f"nothing before {iso(times[0])}")
        first, last = (int(times[0]), int(times[-1])) if len(times) else (None, None)
        known = appended.duplicates + window.twice
        return Fetched(table, listing.symbol, appended.new, known, gaps, first, last, (*notes, *more))

    def depth(self, listing: Listing, market: Mapping[str, Any]) -> Fetched:
        self._require_same_source("depth", listing.symbol)
        origin = f"{self.exchange.name} fetchOrderBook {listing.unified}"
        self.exchange.taken()
        book = self.exchange.call("fetch_order_book", listing.unified, BOOK_ROWS.get(self.venue))
        time = int(book["timestamp"] or self.exchange.now())
        size = float(market.get("contractSize") or 1.0)
        inverse = bool(market.get("inverse"))
        bands = depth_bands(
            book["bids"], book["asks"], self.plan.levels, contract_size=size, inverse=inverse, source=origin
        )
        notes = _unreached(bands, self.plan.levels)
        if bands.empty:
            return Fetched("depth", listing.symbol, notes=notes)
        bands.insert(0, "timestamp", pd.Timestamp(time, unit="ms", tz="UTC"))
        bands.insert(1, "symbol", listing.symbol)
        source = Source(self.exchange.name, origin, self.exchange.taken(), self.exchange.instant(), len(bands))
        report = self.store.append("depth", bands, source.cleaned(*notes))
        return Fetched("depth", listing.symbol, report.new, report.duplicates, (), time, time, notes)

    def _step(self, table: str) -> tuple[str, Pace, tuple[str, ...]]:
        """The step as the venue writes it, how far apart rows are, and what has to be said of it."""
        if not HISTORIES[table].stepped:
            return self.plan.step, FUNDING_PACE, ()
        steps = self.exchange.api.timeframes
        if self.plan.step not in steps:
            known = ", ".join(steps)
            raise InputError(
                f"is not a bar of {self.exchange.name}; it has {known}", column="step", value=self.plan.step
            )
        spacing = int(self.exchange.api.parse_timeframe(self.plan.step) * 1000)
        if spacing > DAY:
            raise InputError("must be a day or less", column="step", value=self.plan.step)
        if table == "open_interest" and spacing < SHORTEST_INTEREST:
            return "5m", Pace(SHORTEST_INTEREST, SHORTEST_INTEREST), ("every 5m, the shortest step of open interest",)
        return self.plan.step, Pace(spacing, spacing), ()

    def _range(self, window: HistoryWindow) -> tuple[int, int, tuple[str, ...]]:
        """What to have in the end: first and last instant, and what has to be said of the first."""
        now = self.exchange.now()
        until = now if self.plan.until is None else min(self.plan.until, now)
        since = self.plan.since
        if since is None:
            since = self._last(window)
        notes: tuple[str, ...] = ()
        days = KEPT_DAYS.get(self.venue, {}).get(window.name)
        if days is not None and since < now - days * DAY:
            since = now - days * DAY + SHORTEST_INTEREST
            notes = (f"the venue keeps {days} days: from {iso(_up(since, window.pace.spacing))}",)
        if window.kind.stepped:
            since = _up(since, window.pace.spacing)
        if window.kind.bars:  # those that are closed by now
            until = min(_up(until, window.pace.spacing), now // window.pace.spacing * window.pace.spacing)
        return since, until, notes

    def _last(self, window: HistoryWindow) -> int:
        last = self.store.last(window.kind.stored, window.listing.symbol)
        if last is None:
            problem = f"is needed: the store has no {window.name} of {window.listing.symbol} to go on from"
            raise InputError(problem, column="since")
        return int(last.astype("datetime64[ms]").astype(np.int64)) - _shift(window)

    def _stored_times(self, window: HistoryWindow, since: int, until: int) -> FloatArray:
        """Times of stored rows of the range, milliseconds; refuses to go on with another step than theirs."""
        table, symbol, shift = window.kind.stored, window.listing.symbol, _shift(window)
        last = self.store.last(table, symbol)
        if last is None:
            return np.empty(0)
        if window.kind.stepped:
            latest = read_stored(self.store.folder, table, [symbol], last - np.timedelta64(2, "D"))
            steps = np.unique(np.diff(_milliseconds(latest)))
            if len(steps) and steps.min() != window.pace.spacing:
                problem = (
                    f"the store has a row of {symbol} every {steps.min() / 6e4:g} minutes, not every {window.step}"
                )
                raise InputError(problem, file=table, column="step")
        rows = read_stored(
            self.store.folder, table, [symbol], np.datetime64(since + shift, "ms"), np.datetime64(until + shift, "ms")
        )
        return _milliseconds(rows) - shift

    def _require_same_source(self, table: str, symbol: str) -> None:
        """Refuse to mix venues in one series."""
        if not is_stored(self.store.folder, table):
            return
        for record in append_records(self.store.folder, table):
            other = record.source.venue
            if family(other) != self.venue and any(part.symbol == symbol for part in record.parts):
                problem = f"the store's {symbol} comes from {other}: use a store for each venue"
                raise InputError(problem, file=table, column="exchange", value=self.exchange.name)

    def _download(self, window: HistoryWindow, appended: _Appends, start: int, end: int) -> None:
        label = f"{window.name} {window.listing.symbol}"
        with appended.kept_at_the_end():
            for page in history_pages(window, start, end, window.pace, window.most):
                appended.add(page)
                share = (page[-1, 0] - start) / max(end - start, 1)
                self.show(f"{label}: {iso(page[-1, 0])[:16]}, {share:.0%}")


class _Appends:
    """Gathers pages and appends them to the store together."""

    def __init__(self, store: TableStore, window: HistoryWindow) -> None:
        self.store, self.window = store, window
        self.new = self.duplicates = self._read = 0
        self._pages: list[FloatArray] = []
        self._times: list[FloatArray] = []
        window.exchange.taken()

    def add(self, page: FloatArray) -> None:
        self._pages.append(page)
        if len(self._pages) == PAGES_AN_APPEND:
            self.flush()

    def times(self) -> FloatArray:
        return np.concatenate(self._times) if self._times else np.empty(0)

    @contextmanager
    def kept_at_the_end(self) -> Iterator[None]:
        """Store what was read when the block ends, also where a failure or Ctrl-C ends it."""
        try:
            yield
        finally:
            self.flush()

    def flush(self) -> None:
        if not self._pages:
            return
        rows, self._pages = np.concatenate(self._pages), []
        exchange, window = self.window.exchange, self.window
        read, self._read = window.read - self._read, window.read
        asked = f"{window.origin} from {iso(rows[0, 0])} to {iso(rows[-1, 0])}"
        source = Source(exchange.name, asked, exchange.taken(), exchange.instant(), read)
        report = self.store.append(window.kind.stored, window.frame(rows), source)
        self.new += report.new
        self.duplicates += report.duplicates
        self._times.append(rows[:, 0])


def _shift(window: HistoryWindow) -> int:
    """From the times the venue gives to those that are stored, milliseconds."""
    return window.pace.spacing if window.name == "index" else 0


def _milliseconds(rows: pd.DataFrame) -> FloatArray:
    stamps = rows["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ms]")
    times: FloatArray = stamps.astype(np.int64).astype(np.float64)
    return times


def _up(time: int, spacing: int) -> int:
    return -(-time // spacing) * spacing


def _unreached(bands: pd.DataFrame, levels: tuple[float, ...]) -> tuple[str, ...]:
    notes = []
    for side in ("bid", "ask"):
        reached = bands.loc[bands["side"] == side, "level_bps"]
        if len(reached) < len(levels):
            deepest = f"{reached.max():g} bps" if len(reached) else "no level"
            notes.append(f"the {side}s reach {deepest}: wider levels left out")
    return tuple(notes)


def _line(row: Fetched) -> str:
    said = f"{row.table} {row.symbol}: {row.new:,} new"
    said += f", {len(row.gaps)} gaps" if row.gaps else ""
    return "; ".join([said, *row.notes])
