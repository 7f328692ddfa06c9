"""Files of OKX's historical data (okx.com/historical-data) as tables of a market folder.

Layout: BTC-USDT-SWAP-candlesticks-{YYYY-MM-DD,YYYY-MM}.zip (bars of a minute of spot and perpetuals),
BTC-USDT-SWAP-fundingrates-YYYY-MM.zip and allswap-fundingrates-YYYY-MM-DD.zip (funding of one or all perpetuals). Days
and months begin at 16:00 UTC of the day before: the venue's clock is UTC+8. Files of trades give sizes in contracts
without saying what one is; their bars are in the candlesticks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from .archive_cells import MINUTE, epoch_stamps, numbers, require_inside, require_market, timestamp_column
from .archive_files import ArchiveFile, ArchiveTable, lines_of
from .archive_periods import Period, missing_bars
from .contract_names import dashed_market

VENUE, ROOT = "okx", "https://static.okx.com/cdn/okex/traderecords"
AHEAD = 8 * 3_600 * 10**9
FILE = re.compile(
    r"(?P<market>allswap|[A-Z0-9]+-[A-Z0-9]+(?:-SWAP)?)-(?P<kind>candlesticks|fundingrates)"
    r"-(?P<period>\d{4}-\d\d(?:-\d\d)?)"
)
BAR_LINE = (
    "instrument_name",
    "open",
    "high",
    "low",
    "close",
    "vol",
    "vol_ccy",
    "vol_quote",
    "open_time",
    "confirm",
)
FUNDING_LINE = ("instrument_name", "funding_rate", "funding_time")
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class OkxName:
    """One file of OKX's historical data: its kind, the market ("allswap": all perpetuals), day or month, name."""

    kind: str
    native: str
    period: Period
    file: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of a market folder that it fills."""
        if self.kind == "fundingrates":
            return ("funding",)
        return ("perp",) if self.native.endswith("-SWAP") else ("spot",)

    @property
    def url(self) -> str:
        """Where the venue has it."""
        often = "daily" if self.period.unit == "day" else "monthly"
        folder = "swaprates" if self.kind == "fundingrates" else self.kind
        return f"{ROOT}/{folder}/{often}/{self.period.text.replace('-', '')}/{Path(self.file).stem}.zip"


def okx_name(path: Path) -> OkxName | None:
    """Read the name of a file, None where it is not one of OKX's.

    Examples
    --------
    >>> name = okx_name(Path("BTC-USDT-SWAP-candlesticks-2026-05-18.zip"))
    >>> name.tables, str(np.datetime64(name.period.start, "ns"))[:16]
    (('perp',), '2026-05-17T16:00')
    """
    found = FILE.fullmatch(path.name.removesuffix(".zip").removesuffix(".csv"))
    if found is None:
        return None
    return OkxName(found["kind"], found["market"], Period(found["period"], AHEAD), path.name)


def read_okx(archive: ArchiveFile, name: OkxName, quote: str = "USDT") -> tuple[ArchiveTable, ...]:
    """Read a file of OKX's historical data.

    Parameters
    ----------
    archive
        The file, opened.
    name
        What its name says, of `okx_name`.
    quote
        Perpetuals quoted and settled in this asset are named by their coin.

    Raises
    ------
    InputError
        See `lines_of`; a row of another market, or outside the day or month (UTC+8) that the file's name says.
    """
    read = _funding if name.kind == "fundingrates" else _bars
    return (read(archive, name, quote),)


def _bars(archive: ArchiveFile, name: OkxName, quote: str) -> ArchiveTable:
    lines = lines_of(archive, [BAR_LINE])
    require_market(lines, "instrument_name", archive.file, name.native)
    stamps, _ = epoch_stamps(lines, "open_time", archive.file, ("milliseconds",))
    require_inside(stamps, name.period.start, name.period.end, archive.file, "open_time", f"{name.period.text} (UTC+8)")
    if (stamps % MINUTE).any():
        row = int((stamps % MINUTE != 0).argmax())
        value = lines["open_time"].iloc[row]
        raise InputError("is not the open of a minute", file=archive.file, row=row, column="open_time", value=value)
    market = dashed_market(name.native, archive.file)
    frame = pd.DataFrame({"timestamp": timestamp_column(stamps), "symbol": market.symbol(quote)})
    for column in PRICES:
        frame[column] = numbers(lines, column, archive.file)
    # Of perpetuals vol is in contracts and vol_ccy in coins; of spot vol is in coins and vol_ccy in the quote.
    frame["volume"] = numbers(lines, "vol_ccy" if market.settle else "vol", archive.file)
    notes = (*market.notes(quote), *missing_bars(stamps, name.period, "1m"))
    return ArchiveTable(name.tables[0], frame, archive.source(VENUE, len(lines), name.url, notes))


def _funding(archive: ArchiveFile, name: OkxName, quote: str) -> ArchiveTable:
    lines = lines_of(archive, [FUNDING_LINE])
    if name.native != "allswap":
        require_market(lines, "instrument_name", archive.file, name.native)
    stamps, _ = epoch_stamps(lines, "funding_time", archive.file, ("milliseconds",))
    require_inside(
        stamps, name.period.start, name.period.end, archive.file, "funding_time", f"{name.period.text} (UTC+8)"
    )
    markets = {market: dashed_market(market, archive.file) for market in lines["instrument_name"].unique()}
    symbols = {native: market.symbol(quote) for native, market in markets.items()}
    rates = numbers(lines, "funding_rate", archive.file)
    frame = pd.DataFrame({"timestamp": timestamp_column(stamps), "funding_rate": rates})
    frame.insert(1, "symbol", lines["instrument_name"].map(symbols).to_numpy(np.str_))
    notes = [note for market in markets.values() for note in market.notes(quote)] if len(markets) == 1 else []
    notes += [f"{len(markets)} perpetuals; BTC-{quote}-SWAP is named BTC and so on"] if len(markets) > 1 else []
    return ArchiveTable("funding", frame, archive.source(VENUE, len(lines), name.url, notes))
