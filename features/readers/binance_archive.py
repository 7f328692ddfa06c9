"""Files of Binance's public data (data.binance.vision) as tables of a market folder."""

from __future__ import annotations

from pathlib import PurePath

from ...riskcore.errors import InputError
from .archive_files import ArchiveFile, ArchiveTable
from .binance_bars import binance_bars, binance_trades
from .binance_events import binance_depth, binance_funding, binance_liquidations, binance_metrics
from .binance_names import BAR_KINDS, BinanceName

EVENTS = {
    "fundingRate": binance_funding,
    "metrics": binance_metrics,
    "bookDepth": binance_depth,
    "liquidationSnapshot": binance_liquidations,
}


def read_binance(archive: ArchiveFile, name: BinanceName, quote: str = "USDT") -> tuple[ArchiveTable, ...]:
    """Read a file of Binance's public data.

    Parameters
    ----------
    archive
        The file, opened.
    name
        What its name says, of `binance_name`.
    quote
        Perpetuals quoted and settled in this asset are named by their coin; see `Market.symbol`.

    Returns
    -------
    tuple of ArchiveTable
        Klines fill perp, spot or mark, or the series index and premium_index; aggregate trades perp or spot with bars
        of a minute; metrics open_interest and series of ratios; the others funding, depth and liquidations.

    Raises
    ------
    InputError
        A CSV of another market in the file, or what the reader of its kind says.
    """
    if not PurePath(archive.member).name.startswith(f"{name.native}-"):
        raise InputError(f"holds {archive.member}", file=archive.file, column="symbol", value=name.native)
    if name.kind in BAR_KINDS:
        return (binance_bars(archive, name, quote),)
    if name.kind == "aggTrades":
        return (binance_trades(archive, name, quote),)
    return EVENTS[name.kind](archive, name, quote)
