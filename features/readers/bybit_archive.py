"""Files of Bybit's public archive (public.bybit.com) as tables of a market folder.

Layout: trading/SYMBOL/SYMBOLYYYY-MM-DD.csv.gz (trades of perpetuals), spot/SYMBOL/SYMBOL_YYYY-MM-DD.csv.gz and
SYMBOL-YYYY-MM.csv.gz (of spot), kline_for_metatrader4/SYMBOL/YYYY/SYMBOL_MINUTES_FIRST_LAST.csv.gz (bars, without a
header, on a clock three hours ahead of UTC), premium_index/ and spot_index/SYMBOL/SYMBOLYYYY-MM-DD_{premium_index,
index_price}.csv.gz (bars of a minute, until 2020).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...riskcore.arrays import IntArray
from ...riskcore.errors import InputError
from .archive_cells import (
    MINUTE,
    epoch_stamps,
    numbers,
    require_inside,
    require_market,
    second_stamps,
    text_stamps,
    timestamp_column,
)
from .archive_files import ArchiveFile, ArchiveTable, lines_of
from .archive_periods import Period
from .contract_names import Market, joined_market
from .trade_bars import bars_of_trades

VENUE, ROOT = "bybit", "https://public.bybit.com"
AHEAD = 3 * 3_600 * 10**9
"""The clock of the kline files: UTC+3, as their page says."""

FILES = {
    "trading": re.compile(r"(?P<symbol>[A-Z0-9]+)(?P<period>\d{4}-\d\d-\d\d)"),
    "spot": re.compile(r"(?P<symbol>[A-Z0-9]+)(?:_(?P<day>\d{4}-\d\d-\d\d)|-(?P<month>\d{4}-\d\d))"),
    "kline_for_metatrader4": re.compile(
        r"(?P<symbol>[A-Z0-9]+)_(?P<minutes>\d+)_(?P<month>\d{4}-\d\d)-01_\d{4}-\d\d-\d\d"
    ),
    "premium_index": re.compile(r"(?P<symbol>[A-Z0-9]+)(?P<period>\d{4}-\d\d-\d\d)_premium_index"),
    "spot_index": re.compile(r"(?P<symbol>[A-Z0-9]+)(?P<period>\d{4}-\d\d-\d\d)_index_price"),
}
"""File names by folder, without .csv.gz."""

TABLES = {
    "trading": "perp",
    "spot": "spot",
    "kline_for_metatrader4": "perp",
    "premium_index": "series/premium_index",
    "spot_index": "series/index",
}
TRADE_LINE = (
    "timestamp",
    "symbol",
    "side",
    "size",
    "price",
    "tickDirection",
    "trdMatchID",
    "grossValue",
    "homeNotional",
    "foreignNotional",
)
SPOT_TRADE_LINE = ("id", "timestamp", "price", "volume", "side")
BAR_LINE = ("time", "open", "high", "low", "close", "volume")
INDEX_LINE = ("start_at", "symbol", "period", "open", "high", "low", "close")


@dataclass(frozen=True)
class BybitName:
    """One file of Bybit's archive: the folder of its kind, the market, bar minutes (0: none), day or month, name."""

    kind: str
    native: str
    minutes: int
    period: Period
    file: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of a market folder that it fills."""
        return (TABLES[self.kind],)

    @property
    def contract(self) -> Market:
        """The market; InputError for a dated future."""
        if self.kind == "spot":
            return joined_market(self.native, "spot", self.file)
        if self.native.endswith("PERP"):
            return Market(self.native.removesuffix("PERP"), "USDC", "USDC", self.native)
        kind = "inverse" if self.native.endswith("USD") else "linear"
        return joined_market(self.native, kind, self.file)

    @property
    def url(self) -> str:
        """Where the venue has it."""
        year = [self.period.text[:4]] if self.kind == "kline_for_metatrader4" else []
        return "/".join([ROOT, self.kind, self.native, *year, self.file])


def bybit_name(path: Path) -> BybitName | None:
    """Read the name of a file, None where it is not one of Bybit's.

    Examples
    --------
    >>> name = bybit_name(Path("BTCUSDT_15_2024-01-01_2024-01-31.csv.gz"))
    >>> name.tables, name.minutes, name.contract.symbol("USDT"), name.period.start == Period("2024-01").start - AHEAD
    (('perp',), 15, 'BTC', True)
    """
    if not path.name.endswith((".csv.gz", ".csv")):
        return None
    stem = path.name.removesuffix(".gz").removesuffix(".csv")
    for kind, pattern in FILES.items():
        if found := pattern.fullmatch(stem):
            said = found.groupdict()
            period = said.get("period") or said.get("day") or said.get("month") or ""
            ahead = AHEAD if kind == "kline_for_metatrader4" else 0
            return BybitName(kind, said["symbol"], int(said.get("minutes") or 0), Period(period, ahead), path.name)
    return None


def read_bybit(archive: ArchiveFile, name: BybitName, quote: str = "USDT") -> tuple[ArchiveTable, ...]:
    """Read a file of Bybit's archive.

    Trades become bars of a minute, with the volume that takers bought and the number of trades; a size of an inverse
    perpetual is in USD and is turned into coins. Rows of a series are stamped with the close of their minute.

    Parameters
    ----------
    archive
        The file, opened.
    name
        What its name says, of `bybit_name`.
    quote
        Perpetuals quoted and settled in this asset are named by their coin.

    Raises
    ------
    InputError
        See `lines_of`; a row of another symbol or outside the day or month that the file's name says.
    """
    read = {"trading": _trades, "spot": _spot_trades, "kline_for_metatrader4": _bars}.get(name.kind, _index)
    frame, rows, notes = read(archive, name)
    frame.insert(1, "symbol", name.contract.symbol(quote))
    source = archive.source(VENUE, rows, name.url, (*name.contract.notes(quote), *notes))
    return (ArchiveTable(name.tables[0], frame, source),)


def _trades(archive: ArchiveFile, name: BybitName) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    lines = lines_of(archive, [TRADE_LINE, (*TRADE_LINE, "RPI")])
    require_market(lines, "symbol", archive.file, name.native)
    stamps = second_stamps(lines, "timestamp", archive.file)
    price, size = numbers(lines, "price", archive.file), numbers(lines, "size", archive.file)
    inverse = name.contract.quote == "USD"
    notes = ("sizes in USD turned into coins at the trade's price",) if inverse else ()
    frame = _minute_bars(archive, name, lines, stamps, (price, size / price if inverse else size))
    return frame, len(lines), ("one-minute bars of trades", *notes)


def _spot_trades(archive: ArchiveFile, name: BybitName) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    lines = lines_of(archive, [SPOT_TRADE_LINE, (*SPOT_TRADE_LINE, "rpi")])
    stamps, _ = epoch_stamps(lines, "timestamp", archive.file, ("milliseconds",))
    price, volume = numbers(lines, "price", archive.file), numbers(lines, "volume", archive.file)
    return _minute_bars(archive, name, lines, stamps, (price, volume)), len(lines), ("one-minute bars of trades",)


def _minute_bars(
    archive: ArchiveFile, name: BybitName, lines: pd.DataFrame, stamps: IntArray, traded: tuple[np.ndarray, np.ndarray]
) -> pd.DataFrame:
    require_inside(stamps, name.period.start, name.period.end, archive.file, "timestamp", name.period.text)
    side = lines["side"].str.lower()
    wrong = ~side.isin(["buy", "sell"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            "must be Buy or Sell", file=archive.file, row=row, column="side", value=lines["side"].iloc[row]
        )
    bought = (side == "buy").to_numpy(np.bool_)
    return bars_of_trades(stamps, *traded, bought, np.ones(len(lines), np.int64))


def _bars(archive: ArchiveFile, name: BybitName) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    lines = lines_of(archive, [], headerless=BAR_LINE)
    stamps = text_stamps(lines, "time", archive.file, "%Y.%m.%d %H:%M") - AHEAD
    require_inside(stamps, name.period.start, name.period.end, archive.file, "time", f"{name.period.text} (UTC+3)")
    frame = pd.DataFrame({"timestamp": timestamp_column(stamps)})
    for column in BAR_LINE[1:]:
        frame[column] = numbers(lines, column, archive.file)
    expected = (name.period.end - name.period.start) // (name.minutes * MINUTE)
    missing = expected - len(np.unique(stamps))
    notes = (f"{missing} of the {expected} bars of {name.period.text} are not there",) if missing > 0 else ()
    return frame, len(lines), ("times on a clock of UTC+3, put to UTC", *notes)


def _index(archive: ArchiveFile, name: BybitName) -> tuple[pd.DataFrame, int, tuple[str, ...]]:
    lines = lines_of(archive, [INDEX_LINE])
    stamps, _ = epoch_stamps(lines, "start_at", archive.file, ("seconds",))
    require_inside(stamps, name.period.start, name.period.end, archive.file, "start_at", name.period.text)
    step = numbers(lines, "period", archive.file) * MINUTE
    closed = stamps + step.astype(np.int64)
    frame = pd.DataFrame({"timestamp": timestamp_column(closed), "value": numbers(lines, "close", archive.file)})
    return frame, len(lines), ()
