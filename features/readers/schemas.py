"""What each table of a market folder must look like, and the check that says where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from .checks import AMOUNT, NAME, NUMBER, PRICE, Test, checked_columns, require_columns, utc_times

RATE: Test = (lambda s: s.abs() < 1, "must be a fraction of the notional between -1 and 1")
LEVEL: Test = (lambda s: (s > 0) & np.isfinite(s), "must be a positive number of basis points")
SIDE: Test = (lambda s: s.isin(["bid", "ask"]), "must be bid or ask")
LIQUIDATED: Test = (lambda s: s.isin(["long", "short"]), "must be long or short: the position that was liquidated")

BARS = {"open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE}

COLUMNS: dict[str, dict[str, Test]] = {
    "perp": {**BARS, "volume": AMOUNT},
    "mark": BARS,
    "spot": {"close": PRICE},
    "funding": {"funding_rate": RATE},
    "open_interest": {"open_interest": AMOUNT},
    "depth": {"side": SIDE, "level_bps": LEVEL, "notional": AMOUNT},
    "liquidations": {},
}
"""Tables of a market folder: the columns each needs besides timestamp and symbol, and what their values must be."""

KEYS: dict[str, tuple[str, ...]] = {
    "depth": ("timestamp", "symbol", "side", "level_bps"),
    "liquidations": (),
}
"""Columns that tell the rows of a table apart where they are not timestamp and symbol; none: equal rows may occur."""

FLOW = {"taker_buy_volume": AMOUNT, "trades": AMOUNT}

OPTIONAL: dict[str, dict[str, Test]] = {
    "perp": FLOW,
    "spot": {"open": PRICE, "high": PRICE, "low": PRICE, "volume": AMOUNT, **FLOW},
    "liquidations": {"side": LIQUIDATED, "price": PRICE, "quantity": AMOUNT},
}
"""Columns a table may have besides. They are checked where they are there; a missing value stays missing."""

SERIES = "series/"
"""Tables of external series are named series/NAME: timestamp, value and, where it is one a coin, symbol."""

TEXT = frozenset({"symbol", "side"})
TAKER_EXCESS = 1.0 + 1e-6
"""How far a volume bought by takers may exceed the volume: the rounding of numbers in single precision."""


@dataclass(frozen=True)
class SourceTable:
    """A table as read: rows in the order of the file, checked.

    Parameters
    ----------
    name
        Which table of COLUMNS it is, or series/NAME.
    file
        Name of the file.
    sha256
        Of the bytes that were read.
    frame
        Columns timestamp (UTC), symbol and those of COLUMNS and OPTIONAL; its index is the row position in the file.
    notes
        What was read differently from the documented layout.
    """

    name: str
    file: str
    sha256: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def required_columns(name: str) -> dict[str, Test]:
    """Columns a table needs besides timestamp, and what their values must be.

    Examples
    --------
    >>> list(required_columns("funding")), list(required_columns("series/vix"))
    (['symbol', 'funding_rate'], ['value'])
    """
    return {"value": NUMBER} if name.startswith(SERIES) else {"symbol": NAME, **COLUMNS[name]}


def optional_columns(name: str) -> dict[str, Test]:
    """Columns a table may have besides, and what their values must be where they are there."""
    return {"symbol": NAME} if name.startswith(SERIES) else OPTIONAL.get(name, {})


def columns_of(name: str) -> tuple[str, ...]:
    """All columns a table may have, in their usual order.

    Examples
    --------
    >>> columns_of("liquidations"), columns_of("series/vix")
    (('timestamp', 'symbol', 'side', 'price', 'quantity'), ('timestamp', 'symbol', 'value'))
    """
    if name.startswith(SERIES):
        return ("timestamp", "symbol", "value")
    return ("timestamp", *dict.fromkeys([*required_columns(name), *optional_columns(name)]))


def validated(frame: pd.DataFrame, name: str, file: str) -> pd.DataFrame:
    """Return the frame with UTC timestamps and float64 numbers, or say which row and column is not as it must be.

    Parameters
    ----------
    frame
        Rows as read, indexed by their position in the file.
    name
        Table name, one of COLUMNS, or series/NAME.
    file
        File name for the error text.

    Raises
    ------
    InputError
        No rows; a column that is missing; a timestamp without time zone; a value that is missing, of the wrong kind or
        out of range; a high below its low or a close outside them; more bought by takers than was traded. Names file,
        row and column.
    """
    require_columns(frame, ["timestamp", *required_columns(name)], name, file)
    frame = frame.assign(timestamp=utc_timestamps(frame["timestamp"], file))
    frame = _checked(frame, name, file)
    if "high" in required_columns(name):
        _require_range(frame, file)
    if "taker_buy_volume" in frame and "volume" in frame:
        _require_within_volume(frame, file)
    return frame


def utc_timestamps(stamps: pd.Series[Any], file: str) -> pd.Series[Any]:
    """A column timestamp as UTC, ns; InputError for a cell that is no date and time with a time zone."""
    return utc_times(stamps, file, "timestamp")


def _checked(frame: pd.DataFrame, name: str, file: str) -> pd.DataFrame:
    needed = required_columns(name)
    more = {column: test for column, test in optional_columns(name).items() if column in frame}
    return checked_columns(
        frame, {**needed, **more}, file, text=TEXT, optional=more.keys() - needed.keys() - {"symbol"}
    )


def _require_range(frame: pd.DataFrame, file: str) -> None:
    low, high, close = (frame[column].to_numpy() for column in ("low", "high", "close"))
    outside = (close < low) | (close > high)
    for column, wrong, problem in (
        ("high", high < low, "high is below the low of {low}"),
        ("close", outside, "close is outside the range from {low} to {high}"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            said = problem.format(low=float(low[row]), high=float(high[row]))
            value, place = float(frame[column].iloc[row]), int(frame.index[row])
            raise InputError(said, file=file, row=place, column=column, value=value)


def _require_within_volume(frame: pd.DataFrame, file: str) -> None:
    bought, volume = (frame[column].to_numpy(np.float64) for column in ("taker_buy_volume", "volume"))
    wrong = bought > volume * TAKER_EXCESS
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        problem, place = f"takers bought more than the volume of {float(volume[row])}", int(frame.index[row])
        raise InputError(problem, file=file, row=place, column="taker_buy_volume", value=float(bought[row]))
