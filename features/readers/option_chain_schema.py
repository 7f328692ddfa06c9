"""What a table of option quotes must look like, and the check that says where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from ..options.chain import COIN, QUOTE
from .schemas import AMOUNT, NAME, PRICE, WITH_OFFSET, Test

KIND: Test = (lambda s: s.isin(["call", "put"]), "must be call or put")
FRACTION: Test = (lambda s: (s > 0) & (s < 10), "must be a volatility per year as a fraction, between 0 and 10")

TIMES = ("timestamp", "expiry")
NEEDED: dict[str, Test] = {"currency": NAME, "option_type": KIND, "strike": PRICE}
PRICES: dict[str, Test] = {"bid_price": AMOUNT, "ask_price": AMOUNT, "mark_price": AMOUNT}
OPTIONAL: dict[str, Test] = {
    "futures_price": PRICE,
    "index_price": PRICE,
    "implied_volatility": FRACTION,
    "open_interest": AMOUNT,
    "volume": AMOUNT,
}
"""Columns besides timestamp, expiry and (optional) quote_timestamp, and what their values must be. At least one of
PRICES is needed. In PRICES and OPTIONAL an empty value means that there is none. Other columns are not read."""

MOST_COIN = 1.0 + 1e-6
"""What a call can be worth in coin, with the rounding of single precision."""


def checked_quotes(frame: pd.DataFrame, file: str, unit: str) -> pd.DataFrame:
    """The rows with UTC times and float64 numbers, or an error that says which row and column is not as it must be.

    Parameters
    ----------
    frame
        Rows in the order of the file, the index their number there; numbers may be written as text.
    file
        Name for the error text.
    unit
        Unit of the prices, "coin" or "quote".

    Returns
    -------
    pandas.DataFrame
        Same index; columns timestamp, expiry, quote_timestamp and those of NEEDED, PRICES and OPTIONAL. A column the
        table does not have is NaN (NaT).

    Raises
    ------
    InputError
        No rows; a column that is missing; a time without time zone; a value of the wrong kind or out of range; a call
        marked above one coin (prices in quote units read as coin); timestamps of an underlying that fall.
    """
    if unit not in (COIN, QUOTE):
        raise InputError("must be coin or quote", column="unit", value=unit)
    _require_columns(frame, file)
    out = {column: instants(frame[column], file) for column in TIMES}
    out["quote_timestamp"] = _quote_times(frame, file)
    for column, test in (NEEDED | PRICES | OPTIONAL).items():
        out[column] = _checked(frame, column, test, file)
    checked = pd.DataFrame(out)
    if unit == COIN:
        dear = (checked["option_type"] == "call") & (checked["mark_price"] > MOST_COIN)
        _refuse(dear, checked["mark_price"], "a call cannot be worth more than one coin: are these quote units?", file)
    falls = checked.groupby("currency", observed=True, sort=False)["timestamp"].diff() < pd.Timedelta(0)
    _refuse(falls, checked["timestamp"], "timestamps of an underlying must not fall", file)
    return checked


def instants(times: pd.Series[Any], file: str) -> pd.Series[Any]:
    """Times as UTC in nanoseconds; InputError for one that is missing, has no time zone or is no time."""
    _refuse(times.isna(), times, "is missing", file)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        utc: pd.Series[Any] = times.dt.tz_convert("UTC").dt.as_unit("ns")
        return utc
    everywhere = pd.Series(True, index=times.index)
    if pd.api.types.is_datetime64_dtype(times.dtype):
        _refuse(everywhere, times, "has no time zone", file)
    if pd.api.types.is_numeric_dtype(times.dtype):
        _refuse(everywhere, times, "must be a date and time", file)
    text = times.astype(str).str.strip()
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    _refuse(parsed.isna(), times, "is not an ISO 8601 date and time", file)
    _refuse(~text.str.contains(WITH_OFFSET), times, "has no time zone", file)
    return parsed.dt.as_unit("ns")


def _require_columns(frame: pd.DataFrame, file: str) -> None:
    needed = [*TIMES, *NEEDED]
    missing = next((column for column in needed if column not in frame), None)
    if missing is not None:
        raise InputError(f"is missing; a table of options needs {', '.join(needed)}", file=file, column=missing)
    if not any(column in frame for column in PRICES):
        raise InputError(f"a table of options needs one of {', '.join(PRICES)}", file=file)
    if frame.empty:
        raise InputError("the table has no rows", file=file)


def _quote_times(frame: pd.DataFrame, file: str) -> pd.Series[Any]:
    told = frame["quote_timestamp"].dropna() if "quote_timestamp" in frame else pd.Series([], dtype=object)
    if told.empty:
        return pd.Series(pd.NaT, index=frame.index, dtype="datetime64[ns, UTC]")
    return instants(told, file).reindex(frame.index)


def _checked(frame: pd.DataFrame, column: str, test: Test, file: str) -> pd.Series[Any]:
    if column not in frame:
        return pd.Series(np.nan, index=frame.index)
    told, optional = frame[column], column not in NEEDED
    absent = told.isna()
    if not optional:
        _refuse(absent, told, "is missing", file)
    if test in (NAME, KIND):
        values: pd.Series[Any] = told.astype(str)
    else:
        values = pd.to_numeric(told, errors="coerce").astype(np.float64)
        _refuse(values.isna() & ~absent, told, "must be a number", file)
    condition, problem = test
    _refuse(~condition(values) & ~absent, told, problem, file)
    return values


def _refuse(bad: pd.Series[bool], values: pd.Series[Any], problem: str, file: str) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        row = int(values.index[rows[0]])
        raise InputError(problem, file=file, row=row, column=str(values.name), value=str(values.iloc[rows[0]]))
