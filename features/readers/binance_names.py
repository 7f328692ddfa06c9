"""What the name and the folders of a file of Binance's public data say.

Source of the layout: github.com/binance/binance-public-data, data.binance.vision: data/spot/... and
data/futures/{um,cm}/{daily,monthly}/KIND/SYMBOL/[INTERVAL/]SYMBOL-{INTERVAL,KIND}-{YYYY-MM-DD,YYYY-MM}.zip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...riskcore.errors import InputError
from .archive_periods import STEPS, Period
from .contract_names import Market, joined_market

ROOT = "https://data.binance.vision/data"
BAR_KINDS = ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
FUTURES_KINDS = ("fundingRate", "metrics", "bookDepth", "liquidationSnapshot")
MARKETS = ("spot", "um", "cm")
BAR_FILE = re.compile(r"(?P<symbol>[A-Z0-9_]+)-(?P<interval>\d+(?:mo|[smhdw]))-(?P<period>\d{4}-\d\d(?:-\d\d)?)")
KIND_FILE = re.compile(
    rf"(?P<symbol>[A-Z0-9_]+)-(?P<kind>{'|'.join(FUTURES_KINDS)}|aggTrades)-(?P<period>\d{{4}}-\d\d(?:-\d\d)?)"
)

METRICS = {
    "series/top_trader_account_ratio": "count_toptrader_long_short_ratio",
    "series/top_trader_position_ratio": "sum_toptrader_long_short_ratio",
    "series/account_ratio": "count_long_short_ratio",
    "series/taker_volume_ratio": "sum_taker_long_short_vol_ratio",
}
"""Ratios of longs to shorts (of takers: bought to sold) that a metrics file has besides the open interest."""

TABLES = {
    "markPriceKlines": ("mark",),
    "indexPriceKlines": ("series/index",),
    "premiumIndexKlines": ("series/premium_index",),
    "fundingRate": ("funding",),
    "metrics": (*METRICS, "open_interest"),
    "bookDepth": ("depth",),
    "liquidationSnapshot": ("liquidations",),
}


@dataclass(frozen=True)
class BinanceName:
    """One file of Binance's public data.

    Parameters
    ----------
    market
        spot, um (margined in a stablecoin) or cm (in the coin).
    kind
        Folder of the data set, such as "klines".
    native
        The market's name.
    interval
        Bar length, "" where the kind has none.
    period
        Day or month.
    file
        Name of the file.
    """

    market: str
    kind: str
    native: str
    interval: str
    period: Period
    file: str

    @property
    def tables(self) -> tuple[str, ...]:
        """Tables of a market folder that it fills."""
        return TABLES.get(self.kind, ("spot",) if self.market == "spot" else ("perp",))

    @property
    def contract(self) -> Market:
        """The market; InputError for a dated future."""
        if self.market == "spot":
            return joined_market(self.native, "spot", self.file)
        if self.market == "um":
            return joined_market(self.native, "linear", self.file)
        suffix = "" if self.kind == "indexPriceKlines" else "_PERP"
        return joined_market(self.native, "inverse", self.file, suffix)

    @property
    def url(self) -> str:
        """Where the venue has it."""
        market = "spot" if self.market == "spot" else f"futures/{self.market}"
        often = "daily" if self.period.unit == "day" else "monthly"
        folders = [ROOT, market, often, self.kind, self.native, *([self.interval] if self.interval else [])]
        return "/".join([*folders, f"{Path(self.file).stem}.zip"])


def binance_name(path: Path, kind: str | None = None) -> BinanceName | None:
    """Read the name of a file, None where it is not one of Binance's.

    Parameters
    ----------
    path
        The file. Bars and trades of spot and futures have the same names: their folders tell them apart.
    kind
        MARKET/KIND such as "um/klines", for files without their folders.

    Raises
    ------
    InputError
        Folders that do not say what the file is or contradict its name, a bar length that cannot be read, no such day.

    Examples
    --------
    >>> name = binance_name(Path("data/futures/um/monthly/markPriceKlines/BTCUSDT/1h/BTCUSDT-1h-2024-03.zip"))
    >>> name.tables, name.native, name.interval, name.period.text
    (('mark',), 'BTCUSDT', '1h', '2024-03')
    """
    stem = path.name.removesuffix(".zip").removesuffix(".csv")
    found = KIND_FILE.fullmatch(stem) or BAR_FILE.fullmatch(stem)
    if found is None or path.name == stem:
        return None
    said = found.groupdict()
    market, folder = _placed(path, said, kind)
    interval = said.get("interval", "")
    if interval and interval not in STEPS:
        raise InputError("bars of this length cannot be read", file=path.name, column="interval", value=interval)
    _require_same_symbol(path, said["symbol"], folder)
    return BinanceName(market, folder, said["symbol"], interval, Period(said["period"]), path.name)


def _placed(path: Path, said: dict[str, str], kind: str | None) -> tuple[str, str]:
    """Market and kind, from the folders, the name, or what the caller says."""
    given = kind.split("/") if kind else []
    folders = path.parts[:-1]
    market = next((part for part in reversed(folders) if part in MARKETS), given[0] if given else "")
    folder = said.get("kind") or next(
        (part for part in reversed(folders) if part in BAR_KINDS), given[-1] if given else ""
    )
    if folder in FUTURES_KINDS and not market:
        market = "cm" if "USD_" in said["symbol"] else "um"
    if market not in MARKETS or folder not in (*BAR_KINDS, *FUTURES_KINDS, "aggTrades"):
        problem = "the folders do not say which market and kind this is: keep them as they are on data.binance.vision "
        raise InputError(problem + "(futures/um/monthly/klines/...) or name both, such as um/klines", file=path.name)
    return market, folder


def _require_same_symbol(path: Path, symbol: str, kind: str) -> None:
    folders = path.parts[:-1]
    below = folders[folders.index(kind) + 1 :] if kind in folders else ()
    if below and below[0] != symbol:
        raise InputError(f"lies in the folder of {below[0]}", file=path.name, column="symbol", value=symbol)
