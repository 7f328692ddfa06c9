"""What Binance's public data have besides bars: funding, open interest and ratios, depth bands, liquidations."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...riskcore.arrays import BoolArray, IntArray
from ...riskcore.errors import InputError
from .archive_cells import epoch_stamps, numbers, require_inside, require_market, text_stamps, timestamp_column
from .archive_files import ArchiveFile, ArchiveTable, lines_of
from .binance_bars import VENUE, face_value
from .binance_names import METRICS, BinanceName

FUNDING_LINE = ("calc_time", "funding_interval_hours", "last_funding_rate")
METRICS_LINE = ("create_time", "symbol", "sum_open_interest", "sum_open_interest_value", *METRICS.values())
DEPTH_LINE = ("timestamp", "percentage", "depth", "notional")
LIQUIDATION_LINE = (
    "time",
    "side",
    "order_type",
    "time_in_force",
    "original_quantity",
    "price",
    "average_price",
    "order_status",
    "last_fill_quantity",
    "accumulated_fill_quantity",
)
TEXT_TIME = "%Y-%m-%d %H:%M:%S"
METRICS_AT_START = int(np.datetime64("2024-03-04", "ns").astype(np.int64))
FIVE_MINUTES = 300 * 10**9
LIQUIDATED = {"SELL": "long", "BUY": "short"}
"""The position that is liquidated, by the side of the order that closes it."""


def binance_funding(archive: ArchiveFile, name: BinanceName, quote: str) -> tuple[ArchiveTable, ...]:
    """Funding rates at the instants they were charged (some milliseconds after the hour)."""
    lines = lines_of(archive, [FUNDING_LINE])
    stamps, _ = epoch_stamps(lines, "calc_time", archive.file, ("milliseconds",))
    require_inside(stamps, name.period.start, name.period.end, archive.file, "calc_time", name.period.text)
    rates = numbers(lines, "last_funding_rate", archive.file)
    return (_table(archive, name, quote, "funding", stamps, {"funding_rate": rates}, len(lines)),)


def binance_metrics(archive: ArchiveFile, name: BinanceName, quote: str) -> tuple[ArchiveTable, ...]:
    """Open interest in coins, and the series of ratios in `METRICS`, every five minutes.

    Rows of an outage, with no open interest at all, and empty cells are left out and counted.

    Notes
    -----
    From 2024-03-04 on a row's time is the start of its five minutes and not, as before, their end: since then its
    taker ratio is that of the klines' five minutes after it. Such rows are stamped five minutes later, when they were
    known.
    """
    lines = lines_of(archive, [METRICS_LINE])
    require_market(lines, "symbol", archive.file, name.native)
    stamps = text_stamps(lines, "create_time", archive.file, TEXT_TIME)
    require_inside(stamps, name.period.start, name.period.end, archive.file, "create_time", name.period.text)
    moved = np.where(stamps >= METRICS_AT_START, stamps + FIVE_MINUTES, stamps)
    notes = ("times are the start of the five minutes: stamped with their end",) if (moved != stamps).any() else ()
    tables = []
    for table, column in {**METRICS, "open_interest": _coins_column(name)}.items():
        values = numbers(lines, column, archive.file, empty=True)
        known = ~np.isnan(values) & ((values > 0) | (table != "open_interest"))
        lacking = (f"{int((~known).sum())} rows without {column} left out",) if not known.all() else ()
        stored = "open_interest" if table == "open_interest" else "value"
        columns = {stored: values[known]}
        made = _table(archive, name, quote, table, moved[known], columns, len(lines), (*notes, *lacking))
        tables += [made] if known.any() else []
    if not tables:
        raise InputError("has no value in any column", file=archive.file)
    return tuple(tables)


def binance_depth(archive: ArchiveFile, name: BinanceName, quote: str) -> tuple[ArchiveTable, ...]:
    """Notional resting within bands of the mid: -5 to -0.2 percent are bids, 0.2 to 5 percent asks.

    A snapshot whose notional shrinks as the band widens is left out and counted: bands are cumulative.
    """
    lines = lines_of(archive, [DEPTH_LINE])
    stamps = text_stamps(lines, "timestamp", archive.file, TEXT_TIME)
    require_inside(stamps, name.period.start, name.period.end, archive.file, "timestamp", name.period.text)
    percent = numbers(lines, "percentage", archive.file)
    notional = numbers(lines, "notional", archive.file)
    good = _cumulative(stamps, percent, notional)
    dropped = len(np.unique(stamps)) - len(np.unique(stamps[good]))
    notes = (f"{dropped} snapshots whose notional shrinks as the band widens left out",) if dropped else ()
    columns = {
        "side": np.where(percent < 0, "bid", "ask")[good],
        "level_bps": np.round(np.abs(percent) * 100, 6)[good],
        "notional": notional[good],
    }
    return (_table(archive, name, quote, "depth", stamps[good], columns, len(lines), notes),)


def binance_liquidations(archive: ArchiveFile, name: BinanceName, quote: str) -> tuple[ArchiveTable, ...]:
    """Liquidation orders: the position that was liquidated, average price, coins filled.

    The files have each order twice; a line equal to one above is dropped and counted. The feed they come from shows
    at most one order a second and symbol, so that counts are a lower bound.
    """
    lines = lines_of(archive, [LIQUIDATION_LINE])
    stamps, _ = epoch_stamps(lines, "time", archive.file, ("milliseconds",))
    require_inside(stamps, name.period.start, name.period.end, archive.file, "time", name.period.text)
    side = lines["side"].map(LIQUIDATED)
    if side.isna().any():
        row = int(side.isna().to_numpy().argmax())
        value = lines["side"].iloc[row]
        raise InputError("must be BUY or SELL", file=archive.file, row=row, column="side", value=value)
    price = numbers(lines, "average_price", archive.file)
    filled = numbers(lines, "accumulated_fill_quantity", archive.file)
    coins = filled * face_value(name) / price if name.market == "cm" else filled
    once = ~lines.duplicated().to_numpy()
    columns = {"side": side.to_numpy(str)[once], "price": price[once], "quantity": coins[once]}
    twice = int((~once).sum())
    notes = (f"{twice} lines equal to one above dropped",) if twice else ()
    return (_table(archive, name, quote, "liquidations", stamps[once], columns, len(lines), notes),)


def _table(
    archive: ArchiveFile,
    name: BinanceName,
    quote: str,
    table: str,
    stamps: IntArray,
    columns: dict[str, np.ndarray],
    rows: int,
    notes: tuple[str, ...] = (),
) -> ArchiveTable:
    contract = name.contract
    frame = pd.DataFrame({"timestamp": timestamp_column(stamps), "symbol": contract.symbol(quote), **columns})
    return ArchiveTable(table, frame, archive.source(VENUE, rows, name.url, (*contract.notes(quote), *notes)))


def _coins_column(name: BinanceName) -> str:
    """Open interest in coins: of coin-margined contracts, whose number is of contracts, it is the value."""
    return "sum_open_interest_value" if name.market == "cm" else "sum_open_interest"


def _cumulative(stamps: IntArray, percent: np.ndarray, notional: np.ndarray) -> BoolArray:
    """Rows of the snapshots whose notional does not shrink as the band widens on either side."""
    order = np.lexsort((np.abs(percent), percent > 0, stamps))
    keys = np.stack([stamps[order], percent[order] > 0])
    same = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
    shrinks = same & (np.diff(notional[order]) < 0)
    bad = np.unique(stamps[order][1:][shrinks])
    return ~np.isin(stamps, bad)
