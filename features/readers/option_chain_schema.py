"""What a table of option quotes must look like, and the check that says where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from ..options.chain import COIN, QUOTE
from .checks import AMOUNT, NAME, PRICE, Test, refuse, utc_times

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
    out = {column: utc_times(frame[column], file) for column in TIMES}
    out["quote_timestamp"] = _quote_times(frame, file)
    for column, test in (NEEDED | PRICES | OPTIONAL).items():
        out[column] = _checked(frame, column, test, file)
    checked = pd.DataFrame(out)
    if unit == COIN:
        dear = (checked["option_type"] == "call") & (checked["mark_price"] > MOST_COIN)
        refuse(dear, checked["mark_price"], "a call cannot be worth more than one coin: are these quote units?", file)
    falls = checked.groupby("currency", observed=True, sort=False)["timestamp"].diff() < pd.Timedelta(0)
    refuse(falls, checked["timestamp"], "timestamps of an underlying must not fall", file)
    return checked


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
    return utc_times(told, file).reindex(frame.index)


def _checked(frame: pd.DataFrame, column: str, test: Test, file: str) -> pd.Series[Any]:
    if column not in frame:
        return pd.Series(np.nan, index=frame.index)
    told, optional = frame[column], column not in NEEDED
    absent = told.isna()
    if not optional:
        refuse(absent, told, "is missing", file)
    if test in (NAME, KIND):
        values: pd.Series[Any] = told.astype(str)
    else:
        values = pd.to_numeric(told, errors="coerce").astype(np.float64)
        refuse(values.isna() & ~absent, told, "must be a number", file)
    condition, problem = test
    refuse(~condition(values) & ~absent, told, problem, file)
    return values
