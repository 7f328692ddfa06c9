"""What the columns of a table must hold: UTC times and tested values, or an error that says which row does not."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError

Test = tuple[Callable[[Any], Any], str]
"""Which values of a column are right, and what is said of one that is not."""

PRICE: Test = (lambda s: (s > 0) & np.isfinite(s), "price must be positive and finite")
AMOUNT: Test = (lambda s: (s >= 0) & np.isfinite(s), "must be a finite number, zero or more")
NUMBER: Test = (np.isfinite, "must be a finite number")
NAME: Test = (lambda s: s.str.strip() != "", "must not be empty")

WITH_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")


def refuse(bad: Any, values: pd.Series[Any], problem: str, file: str) -> None:
    """Raise InputError for the first value that is bad; its row is what the index of `values` says.

    Examples
    --------
    >>> prices = pd.Series([5.0, -1.0], index=[40, 41], name="price")
    >>> refuse(prices <= 0, prices, "must be positive", "a.csv")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: a.csv, row 41, column price: must be positive (found '-1.0')
    """
    places = np.flatnonzero(bad)
    if len(places):
        row, value = int(values.index[places[0]]), str(values.iloc[places[0]])
        raise InputError(problem, file=file, row=row, column=str(values.name), value=value)


def utc_times(times: pd.Series[Any], file: str, called: str = "") -> pd.Series[Any]:
    """A column of times as UTC, ns.

    Parameters
    ----------
    times
        Times with a time zone, or ISO 8601 text with an offset; the index numbers the rows.
    file
        Name for the error text.
    called
        What a problem calls them before it says what is wrong; nothing where the column's name is enough.

    Raises
    ------
    InputError
        A time that is missing, has no time zone or is no time.

    Examples
    --------
    >>> str(utc_times(pd.Series(["2024-01-01T09:00+01:00"], name="time"), "a.csv")[0])
    '2024-01-01 08:00:00+00:00'
    """
    said = f"{called} " if called else ""
    refuse(times.isna(), times, f"{said}is missing", file)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        utc: pd.Series[Any] = times.dt.tz_convert("UTC").dt.as_unit("ns")
        return utc
    if pd.api.types.is_datetime64_dtype(times.dtype):
        refuse(np.ones(len(times), np.bool_), times, f"{said}has no time zone", file)
    if pd.api.types.is_numeric_dtype(times.dtype):
        row, value = int(times.index[0]), times.iloc[0]
        problem = f"{said}must be a date and time"
        raise InputError(problem, file=file, row=row, column=str(times.name), value=value.item())
    text = times.astype(str).str.strip()
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    refuse(parsed.isna(), times, "is not an ISO 8601 date and time", file)
    refuse(~text.str.contains(WITH_OFFSET), times, f"{said}has no time zone", file)
    return parsed.dt.as_unit("ns")


def require_columns(frame: pd.DataFrame, needed: Collection[str], table: str, file: str) -> None:
    """Raise InputError where a table lacks a column, or has no rows."""
    missing = [column for column in needed if column not in frame]
    if missing:
        raise InputError(f"is missing; the {table} table needs {', '.join(needed)}", file=file, column=missing[0])
    if frame.empty:
        raise InputError(f"the {table} table has no rows", file=file)


def checked_columns(
    frame: pd.DataFrame, tests: Mapping[str, Test], file: str, *, text: Collection[str], optional: Collection[str]
) -> pd.DataFrame:
    """The frame with columns of text or float64 that pass their tests.

    Parameters
    ----------
    frame
        Rows whose index is their position in the file; other columns are let through.
    tests
        What the values of each column must be.
    file
        Name for the error text.
    text
        Columns of text; all others are numbers.
    optional
        Columns in which a value may be missing.

    Raises
    ------
    InputError
        A value that is missing, of the wrong kind or out of range. Names file, row and column.

    Examples
    --------
    >>> rows = pd.DataFrame({"price": ["5", "-1"]})
    >>> checked_columns(rows, {"price": PRICE}, "a.csv", text=(), optional=())
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: a.csv, row 1, column price: price must be positive and finite (found '-1')
    """
    import pandera.pandas as pa
    from pandera.errors import SchemaError, SchemaErrors

    columns = {
        column: pa.Column(
            str if column in text else float, pa.Check(test, error=problem), coerce=True, nullable=column in optional
        )
        for column, (test, problem) in tests.items()
    }
    try:
        checked: pd.DataFrame = pa.DataFrameSchema(columns).validate(frame)
    except SchemaErrors as failures:
        raise _located(failures.schema_errors[0], frame, tests, file) from None
    except SchemaError as failure:
        raise _located(failure, frame, tests, file) from None
    return checked


def _located(failure: Any, frame: pd.DataFrame, tests: Mapping[str, Test], file: str) -> InputError:
    column = str(failure.schema.name if failure.schema.name in tests else failure.column_name)
    problem, cases = tests[column][1], failure.failure_cases
    if not isinstance(cases, pd.DataFrame) or cases["index"].isna().all():
        return InputError(f"{problem}: {failure.reason_code}", file=file, column=column)
    row = int(cases["index"].min())
    value = frame[column].loc[row]
    return InputError(problem, file=file, row=row, column=column, value=getattr(value, "item", lambda: value)())
