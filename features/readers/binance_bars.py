"""Bars of Binance's public data: klines of spot and perpetuals, of mark, index and premium index; trades as bars."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...riskcore.arrays import IntArray
from ...riskcore.errors import InputError
from .archive_cells import NANOSECONDS, epoch_stamps, numbers, require_inside, timestamp_column
from .archive_files import ArchiveFile, ArchiveTable, lines_of
from .archive_periods import STEPS, missing_bars
from .binance_names import BinanceName
from .trade_bars import bars_of_trades

VENUE = "binance"
BAR_LINE = (
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "count",
    "taker_buy_volume",
    "taker_buy_quote_volume",
    "ignore",
)
TRADE_LINE = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)
SPOT_TRADE_LINE = (*TRADE_LINE, "is_best_match")
UNITS = ("milliseconds", "microseconds")
"""Times are in milliseconds; of spot from 2025-01-01 on in microseconds."""
PRICES = ("open", "high", "low", "close")
CONTRACT_USD = {"BTC": 100.0}
"""Face value of a coin-margined contract in USD; of all others 10."""


def binance_bars(archive: ArchiveFile, name: BinanceName, quote: str) -> ArchiveTable:
    """Klines of any kind as rows of perp, spot or mark, or as the series index or premium_index.

    A row of a series is stamped with the close of its bar: it was not known before. Volumes of coin-margined contracts
    are the file's volumes in coins.

    Raises
    ------
    InputError
        See `lines_of`, `epoch_stamps` and `require_inside`; most closes are not a bar's length after their opens.
    """
    lines = lines_of(archive, [BAR_LINE], headerless=BAR_LINE)
    opened, unit = epoch_stamps(lines, "open_time", archive.file, UNITS)
    require_inside(opened, name.period.start, name.period.end, archive.file, "open_time", name.period.text)
    notes = [*_unit_note(unit), *name.contract.notes(quote), *_early_closes(lines, opened, unit, archive.file, name)]
    notes += missing_bars(opened, name.period, name.interval)
    frame = _columns(lines, opened, archive.file, name)
    if "volume" in frame and (idle := int((frame["volume"] == 0).sum())):
        notes.append(f"{idle} bars without a trade")
    frame.insert(1, "symbol", name.contract.symbol(quote))
    return ArchiveTable(name.tables[0], frame, archive.source(VENUE, len(lines), name.url, notes))


def binance_trades(archive: ArchiveFile, name: BinanceName, quote: str) -> ArchiveTable:
    """Aggregate trades as one-minute bars of perp or spot.

    A line stands for the trades first_trade_id to last_trade_id; where the buyer is the maker, the taker sold.

    Raises
    ------
    InputError
        See `lines_of`, `epoch_stamps` and `require_inside`; an is_buyer_maker that is neither true nor false.
    """
    plain = SPOT_TRADE_LINE if name.market == "spot" else TRADE_LINE
    lines = lines_of(archive, [TRADE_LINE, SPOT_TRADE_LINE], headerless=plain)
    stamps, unit = epoch_stamps(lines, "transact_time", archive.file, UNITS)
    require_inside(stamps, name.period.start, name.period.end, archive.file, "transact_time", name.period.text)
    price, size, first, last = (
        numbers(lines, column, archive.file) for column in ("price", "quantity", "first_trade_id", "last_trade_id")
    )
    coins = size if name.market != "cm" else size * face_value(name) / price
    sold = _flags(lines, "is_buyer_maker", archive.file)
    bars = bars_of_trades(stamps, price, coins, ~sold, (last - first + 1).astype(np.int64))
    bars.insert(1, "symbol", name.contract.symbol(quote))
    notes = [*_unit_note(unit), *name.contract.notes(quote), "one-minute bars of aggregate trades"]
    return ArchiveTable(name.tables[0], bars, archive.source(VENUE, len(lines), name.url, notes))


def face_value(name: BinanceName) -> float:
    """What one coin-margined contract is worth, USD.

    Source: Binance, COIN-M futures contract specifications: 100 USD for BTC, 10 USD for all others.
    """
    return CONTRACT_USD.get(name.contract.coin, 10.0)


def _columns(lines: pd.DataFrame, opened: IntArray, file: str, name: BinanceName) -> pd.DataFrame:
    if name.tables[0].startswith("series/"):
        closed = opened + STEPS[name.interval] * 10**9
        return pd.DataFrame({"timestamp": timestamp_column(closed), "value": numbers(lines, "close", file)})
    frame = pd.DataFrame({"timestamp": timestamp_column(opened)})
    for column in PRICES:
        frame[column] = numbers(lines, column, file)
    if name.kind == "klines":
        coins = ("quote_volume", "taker_buy_quote_volume") if name.market == "cm" else ("volume", "taker_buy_volume")
        for column, cells in zip(("volume", "taker_buy_volume", "trades"), (*coins, "count"), strict=True):
            frame[column] = numbers(lines, cells, file)
    return frame


def _early_closes(lines: pd.DataFrame, opened: IntArray, unit: str, file: str, name: BinanceName) -> tuple[str, ...]:
    closed, _ = epoch_stamps(lines, "close_time", file, (unit,))
    wrong = closed - opened != STEPS[name.interval] * 10**9 - NANOSECONDS[unit]
    if wrong.sum() * 2 > len(wrong):
        row = int(wrong.argmax())
        problem = f"is not the end of a bar of {name.interval}, which the file's name says"
        raise InputError(problem, file=file, row=row, column="close_time", value=lines["close_time"].iloc[row])
    return (f"{int(wrong.sum())} bars close before or after their time",) if wrong.any() else ()


def _unit_note(unit: str) -> tuple[str, ...]:
    return () if unit == "milliseconds" else (f"timestamps in {unit}, read as such",)


def _flags(lines: pd.DataFrame, column: str, file: str) -> np.ndarray:
    text = lines[column].str.lower()
    wrong = ~text.isin(["true", "false"]).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError("is neither true nor false", file=file, row=row, column=column, value=lines[column].iloc[row])
    flags: np.ndarray = (text == "true").to_numpy(np.bool_)
    return flags
