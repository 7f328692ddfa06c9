"""One table of one perpetual: what the store lacks of a range is asked for, stored and accounted for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..features.readers.store_records import append_records, is_stored
from ..features.readers.stored_tables import read_stored
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from ..training.table_store import TableStore
from .exchange import Exchange
from .fetch_plan import FetchPlan, Say
from .fetch_report import Fetched, gaps_of
from .fetch_tables import FUNDING_PACE, HISTORIES, HistoryWindow, iso
from .page_appends import PageAppends
from .paging import Pace, history_pages
from .symbols import Listing
from .venue_limits import KEPT_DAYS, family, looks_ahead

DAY = 86_400_000
SHORTEST_INTEREST = 300_000
"""Venues publish open interest every five minutes at most."""


def fetch_history(
    plan: FetchPlan, exchange: Exchange, store: TableStore, table: str, listing: Listing, show: Say
) -> Fetched:
    """Ask for what the store lacks of a table of one perpetual, and store it; see `fetch` for the errors.

    Parameters
    ----------
    plan, exchange, store
        The range and step, the venue, and the store.
    table
        One of `HISTORIES`.
    listing
        The perpetual.
    show
        Told how far it is, page by page.
    """
    kind = HISTORIES[table]
    if not exchange.offers(kind.feature):
        note = f"{exchange.name} has no such endpoint ({kind.feature}): nothing fetched"
        return Fetched(table, listing.symbol, notes=(note,))
    require_same_venue(store, kind.stored, listing.symbol, exchange.name)
    step, pace, notes = _step(plan, exchange, store, table, listing)
    window = HistoryWindow(exchange, table, listing, step, pace)
    since, until, more = _range(plan, window, store)
    notes += more
    if since >= until:
        return Fetched(table, listing.symbol, notes=(*notes, "there is nothing to fetch in that range yet"))
    stored = _stored_times(window, store, since, until)
    ahead = looks_ahead(exchange.name, table)
    with PageAppends(store, window) as appends:
        for start, end in lacking(stored, since, until, pace):
            for page in history_pages(window, start, end, pace, window.most, ahead=ahead):
                appends.add(page)
                share = (page[-1, 0] - start) / (end - start)
                show(f"{table} {listing.symbol}: {iso(page[-1, 0])[:16]}, {share:.0%}")
    return _account(window, np.union1d(stored, appends.times()), (since, until), appends, notes)


def require_same_venue(store: TableStore, table: str, symbol: str, venue: str) -> None:
    """Raise InputError where the store's rows of a symbol come from another venue."""
    if not is_stored(store.folder, table):
        return
    for record in append_records(store.folder, table):
        other = record.source.venue
        if family(other) != family(venue) and any(part.symbol == symbol for part in record.parts):
            problem = f"the store's {symbol} comes from {other}: use a store for each venue"
            raise InputError(problem, file=table, column="exchange", value=venue)


def lacking(times: FloatArray, since: int, until: int, pace: Pace) -> list[tuple[int, int]]:
    """Stretches of a range that stored rows leave open, milliseconds; the last one begins at the last stored row.

    Parameters
    ----------
    times
        Stored rows of the range, rising.
    since, until
        The range, its end excluded.
    pace
        How far apart rows are. Between events a stretch is open where it is longer than one and a half times the
        shorter of the steps beside it: where the interval has changed the venue is asked once too often.

    Examples
    --------
    >>> lacking(np.array([2.0, 3.0, 5.0]), 0, 9, Pace(1, 1))
    [(0, 2), (4, 5), (5, 9)]
    >>> lacking(np.array([0.0, 8.0, 24.0, 32.0, 36.0, 40.0]), 0, 40, Pace(8, 1))
    [(9, 24), (25, 32)]
    """
    if not len(times):
        return [(since, until)]
    first, last, steps = int(times[0]), int(times[-1]), np.diff(times)
    around = np.r_[np.inf, steps, np.inf]
    beside = np.full(len(steps), pace.spacing) if pace.regular else np.minimum(around[:-2], around[2:])
    wide = np.flatnonzero((steps > 1.5 * beside) | ~np.isfinite(beside))
    front = [(since, first)] if first - since >= pace.shortest else []
    due = until - last > (pace.spacing if pace.regular else 0)
    return [*front, *((int(times[i]) + 1, int(times[i + 1])) for i in wide), *([(last, until)] if due else [])]


def _step(
    plan: FetchPlan, exchange: Exchange, store: TableStore, table: str, listing: Listing
) -> tuple[str, Pace, tuple[str, ...]]:
    """The step as the venue writes it, how far apart rows are, and what has to be said of it."""
    if not HISTORIES[table].stepped:
        return plan.step, FUNDING_PACE, ()
    steps = {step: int(exchange.api.parse_timeframe(step) * 1000) for step in exchange.api.timeframes}
    if plan.step not in steps:
        raise InputError(f"is not a bar of {exchange.name}; it has {', '.join(steps)}", column="step", value=plan.step)
    asked = steps[plan.step]
    if asked > DAY:
        raise InputError("must be a day or less", column="step", value=plan.step)
    stored = _stored_spacing(store, HISTORIES[table].stored, listing.symbol)
    if table == "open_interest":
        spacing = stored or max(asked, SHORTEST_INTEREST)
        step = next((step for step, length in steps.items() if length == spacing), plan.step)
        said = f"every {step}, {'as the store has it' if stored else 'the shortest step there is'}"
        return step, Pace(spacing, spacing), () if spacing == asked else (said,)
    if stored not in (None, asked):
        problem = (
            f"the store has a row of {listing.symbol} every {(stored or 0) / 6e4:g} minutes, not every {plan.step}"
        )
        raise InputError(problem, file=table, column="step")
    return plan.step, Pace(asked, asked), ()


def _stored_spacing(store: TableStore, table: str, symbol: str) -> int | None:
    """Time between the latest stored rows of a symbol, milliseconds; None where there are fewer than two."""
    last = store.last(table, symbol)
    if last is None:
        return None
    times = _milliseconds(read_stored(store.folder, table, [symbol], last - np.timedelta64(2, "D")))
    return int(np.diff(times).min()) if len(times) > 1 else None


def _range(plan: FetchPlan, window: HistoryWindow, store: TableStore) -> tuple[int, int, tuple[str, ...]]:
    """What to have in the end, first and last instant, and what has to be said of the first."""
    now, spacing = window.exchange.now(), window.pace.spacing
    notes: tuple[str, ...] = ()
    until = now if plan.until is None else min(plan.until, now)
    since = _last(window, store) if plan.since is None else plan.since
    days = KEPT_DAYS.get(family(window.exchange.name), {}).get(window.name)
    if days is not None and since < now - days * DAY:
        since = _up(now - days * DAY + SHORTEST_INTEREST, spacing)
        notes = (f"the venue keeps {days} days: from {iso(since)}",)
    if window.kind.stepped:
        since = _up(since, spacing)
    if window.kind.bars:  # those that are closed by now
        until = min(_up(until, spacing), now // spacing * spacing)
    return since, until, notes


def _last(window: HistoryWindow, store: TableStore) -> int:
    last = store.last(window.kind.stored, window.listing.symbol)
    if last is None:
        problem = f"is needed: the store has no {window.name} of {window.listing.symbol} to go on from"
        raise InputError(problem, column="since")
    return int(last.astype("datetime64[ms]").astype(np.int64)) - window.shift


def _stored_times(window: HistoryWindow, store: TableStore, since: int, until: int) -> FloatArray:
    """Times of stored rows of the range as the venue gives them, milliseconds."""
    table, symbol, shift = window.kind.stored, window.listing.symbol, window.shift
    if store.last(table, symbol) is None:
        return np.empty(0)
    start, end = np.datetime64(since + shift, "ms"), np.datetime64(until + shift, "ms")
    return _milliseconds(read_stored(store.folder, table, [symbol], start, end)) - shift


def _account(
    window: HistoryWindow, times: FloatArray, span: tuple[int, int], appends: PageAppends, notes: tuple[str, ...]
) -> Fetched:
    """What came of it: new and known rows, gaps, and what the venue does not have."""
    since, until = span
    result = Fetched(window.name, window.listing.symbol, appends.new, appends.duplicates + window.twice)
    if not len(times):
        return result.noted(*notes, f"the venue has no rows from {iso(since)} to {iso(until)}")
    if times[0] - since >= window.pace.spacing:
        notes += (f"nothing before {iso(times[0])}",)
    bars = np.append(times, until) if window.kind.bars else times
    gaps = gaps_of(bars, window.pace)
    return result.noted(*notes).covering(int(times[0]), int(times[-1]), gaps)


def _milliseconds(rows: pd.DataFrame) -> FloatArray:
    stamps = rows["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ms]")
    times: FloatArray = stamps.astype(np.int64).astype(np.float64)
    return times


def _up(time: int, spacing: int) -> int:
    return -(-time // spacing) * spacing
