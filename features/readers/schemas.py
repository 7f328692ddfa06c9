"""What each table of a market folder must look like, and the check that says where it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError

Test = tuple[Callable[[Any], Any], str]

PRICE: Test = (lambda s: (s > 0) & np.isfinite(s), "price must be positive and finite")
AMOUNT: Test = (lambda s: (s >= 0) & np.isfinite(s), "must be a finite number, zero or more")
RATE: Test = (lambda s: s.abs() < 1, "must be a fraction of the notional between -1 and 1")
LEVEL: Test = (lambda s: (s > 0) & np.isfinite(s), "must be a positive number of basis points")
SIDE: Test = (lambda s: s.isin(["bid", "ask"]), "must be bid or ask")
NAME: Test = (lambda s: s.str.strip() != "", "must not be empty")

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

TEXT = frozenset({"symbol", "side"})
WITH_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")


@dataclass(frozen=True)
class SourceTable:
    """A table as read: rows in the order of the file, checked.

    Parameters
    ----------
    name
        Which table of COLUMNS it is.
    file
        Name of the file.
    sha256
        Of the bytes that were read.
    frame
        Columns timestamp (UTC), symbol and those of COLUMNS; its index is the row position in the file.
    notes
        What was read differently from the documented layout.
    """

    name: str
    file: str
    sha256: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()


def validated(frame: pd.DataFrame, name: str, file: str) -> pd.DataFrame:
    """Return the frame with UTC timestamps and float64 numbers, or say which row and column is not as it must be.

    Parameters
    ----------
    frame
        Rows as read, indexed by their position in the file.
    name
        Table name, one of COLUMNS.
    file
        File name for the error text.

    Raises
    ------
    InputError
        No rows; a column that is missing; a timestamp without time zone; a value that is missing, of the wrong kind or
        out of range; a high below its low or a close outside them. Names file, row and column.
    """
    needed = ["timestamp", "symbol", *COLUMNS[name]]
    missing = [column for column in needed if column not in frame]
    if missing:
        raise InputError(f"is missing; the {name} table needs {', '.join(needed)}", file=file, column=missing[0])
    if frame.empty:
        raise InputError(f"the {name} table has no rows", file=file)
    frame = frame.assign(timestamp=_utc(frame["timestamp"], file))
    frame = _checked(frame, name, file)
    if "high" in COLUMNS[name]:
        _require_range(frame, file)
    return frame


def _utc(stamps: pd.Series[Any], file: str) -> pd.Series[Any]:
    _refuse(stamps.isna(), stamps, "timestamp is missing", file)
    if isinstance(stamps.dtype, pd.DatetimeTZDtype):
        utc: pd.Series[Any] = stamps.dt.tz_convert("UTC").dt.as_unit("ns")
        return utc
    if isinstance(stamps.dtype, np.dtype) and stamps.dtype.kind == "M":
        raise _naive(file, 0, stamps.iloc[0])
    if pd.api.types.is_numeric_dtype(stamps.dtype):
        raise InputError(
            "timestamp must be a date and time", file=file, row=0, column="timestamp", value=stamps.iloc[0]
        )
    text = stamps.astype(str).str.strip()
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    _refuse(parsed.isna(), stamps, "is not an ISO 8601 date and time", file)
    naive = ~text.str.contains(WITH_OFFSET)
    if naive.any():
        row = int(np.flatnonzero(naive)[0])
        raise _naive(file, row, stamps.iloc[row])
    return parsed.dt.as_unit("ns")


def _naive(file: str, row: int, value: object) -> InputError:
    return InputError("timestamp has no time zone", file=file, row=row, column="timestamp", value=str(value))


def _refuse(bad: pd.Series[bool], values: pd.Series[Any], problem: str, file: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(problem, file=file, row=row, column=str(values.name), value=str(values.iloc[row]))


def _checked(frame: pd.DataFrame, name: str, file: str) -> pd.DataFrame:
    import pandera.pandas as pa
    from pandera.errors import SchemaError, SchemaErrors

    tests = {"symbol": NAME, **COLUMNS[name]}
    columns = {
        column: pa.Column(str if column in TEXT else float, pa.Check(test, error=problem), coerce=True)
        for column, (test, problem) in tests.items()
    }
    try:
        checked: pd.DataFrame = pa.DataFrameSchema(columns).validate(frame)
    except SchemaErrors as failures:
        raise _located(failures.schema_errors[0], frame, tests, file) from None
    except SchemaError as failure:
        raise _located(failure, frame, tests, file) from None
    return checked


def _located(failure: Any, frame: pd.DataFrame, tests: dict[str, Test], file: str) -> InputError:
    column = str(failure.schema.name if failure.schema.name in tests else failure.column_name)
    problem = tests[column][1]
    cases = failure.failure_cases
    if not isinstance(cases, pd.DataFrame) or cases["index"].isna().all():
        return InputError(f"{problem}: {failure.reason_code}", file=file, column=column)
    row = int(cases["index"].min())
    value = frame[column].iloc[row]
    return InputError(problem, file=file, row=row, column=column, value=getattr(value, "item", lambda: value)())


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
            raise InputError(said, file=file, row=row, column=column, value=float(frame[column].iloc[row]))
