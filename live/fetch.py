"""Downloading a market from a venue into a local store: what the store lacks, whole appends, every gap said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..features.readers.provenance import Source
from ..training.table_store import TableStore
from .exchange import Exchange
from .fetch_history import fetch_history, require_same_venue
from .fetch_plan import FetchPlan, Say
from .fetch_report import Fetched, FetchReport
from .order_books import depth_bands
from .snapshots import fetch_account, fetch_tiers
from .symbols import Listing, listings
from .venue_limits import BOOK_ROWS, BOTH_SIDES, UNITS_CHECKED, family

SKEW_SAID = 2_000
"""A venue's clock that is off by more than this many milliseconds is said."""


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
        Told once for each table and symbol, and of each failure that is waited out.
    show
        Told how far the table is, page by page.

    Raises
    ------
    InputError
        An unknown symbol; rows that cannot be right; a store of other bars or another venue.
    VenueError
        The venue refused or kept failing. What was read before is stored.
    """
    store, rows = TableStore(folder), []
    exchange.on_wait = say
    markets = exchange.call("load_markets")
    named = plan.tables != ("account",)
    chosen = listings(markets, plan.symbols, plan.quote, exchange.name) if named else ()
    for listing in chosen:
        say(f"{exchange.name}: {listing}")
    for table in plan.tables:
        for row in _rows_of(table, plan, exchange, store, (chosen, markets), show):
            rows.append(row)
            say(_line(row))
    return FetchReport(exchange.name, str(folder), tuple(rows), _notes(plan, exchange))


def _rows_of(
    table: str,
    plan: FetchPlan,
    exchange: Exchange,
    store: TableStore,
    known: tuple[Sequence[Listing], Mapping[str, Any]],
    show: Say,
) -> Iterator[Fetched]:
    chosen, markets = known
    if table == "tiers":
        path = fetch_tiers(exchange, chosen, store.folder)
        yield Fetched(table, "all", len(chosen)).noted(f"kept in {path.relative_to(store.folder)}")
    elif table == "account":
        path = fetch_account(exchange, plan.account, store.folder)
        yield Fetched(table, plan.account, 1).noted(f"kept in {path.relative_to(store.folder)}")
    elif table == "depth":
        for listing in chosen:
            yield fetch_depth(exchange, store, listing, markets[listing.unified], plan.levels)
    else:
        for listing in chosen:
            yield fetch_history(plan, exchange, store, table, listing, show)


def fetch_depth(
    exchange: Exchange, store: TableStore, listing: Listing, market: Mapping[str, Any], levels: Sequence[float]
) -> Fetched:
    """Ask for the order book of one perpetual as it is now and store its depth bands.

    Parameters
    ----------
    exchange, store, listing
        From where, into what, of which perpetual.
    market
        ccxt's market structure of it: contract size and whether it is inverse.
    levels
        Distances from the mid, basis points; those that the book does not reach are left out and said.
    """
    require_same_venue(store, "depth", listing.symbol, exchange.name)
    origin = f"{exchange.name} fetchOrderBook {listing.unified}"
    exchange.taken()
    book = exchange.call("fetch_order_book", listing.unified, BOOK_ROWS.get(family(exchange.name)))
    time = int(book["timestamp"] or exchange.now())
    size, inverse = float(market.get("contractSize") or 1.0), bool(market.get("inverse"))
    bands = depth_bands(book["bids"], book["asks"], levels, contract_size=size, inverse=inverse, source=origin)
    result = Fetched("depth", listing.symbol).noted(*_unreached(bands, levels))
    if bands.empty:
        return result
    bands.insert(0, "timestamp", pd.Timestamp(time, unit="ms", tz="UTC"))
    bands.insert(1, "symbol", listing.symbol)
    source = Source(exchange.name, origin, exchange.taken(), exchange.instant(), len(bands), cleaning=result.notes)
    report = store.append("depth", bands, source)
    return Fetched("depth", listing.symbol, report.new, report.duplicates, (), time, time, result.notes)


def _notes(plan: FetchPlan, exchange: Exchange) -> tuple[str, ...]:
    skew, venue = exchange.skew(), family(exchange.name)
    notes = [f"the venue's clock is {skew / 1e3:+.1f} s from ours"] if abs(skew) > SKEW_SAID else []
    if venue not in UNITS_CHECKED:
        notes.append(f"volume and open interest of {exchange.name} are as ccxt gives them: check their units")
    if venue in BOTH_SIDES and "open_interest" in plan.tables:
        notes.append(f"open interest of {exchange.name} counts both sides of each contract")
    return tuple(notes)


def _unreached(bands: pd.DataFrame, levels: Sequence[float]) -> tuple[str, ...]:
    notes = []
    for side in ("bid", "ask"):
        reached = bands.loc[bands["side"] == side, "level_bps"]
        if len(reached) < len(levels):
            deepest = f"{reached.max():g} bps" if len(reached) else "no level"
            notes.append(f"the {side}s reach {deepest}: wider levels left out")
    return tuple(notes)


def _line(row: Fetched) -> str:
    said = f"{row.table} {row.symbol}: {row.new:,} new"
    said += f", {len(row.gaps)} {'gap' if len(row.gaps) == 1 else 'gaps'}" if row.gaps else ""
    return "; ".join([said, *row.notes])
