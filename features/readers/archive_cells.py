"""From the text of an archive's cells to numbers and instants, or the row that holds none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError

MINUTE = 60 * 10**9
NANOSECONDS = {"seconds": 10**9, "milliseconds": 10**6, "microseconds": 10**3, "nanoseconds": 1}
"""Units of a count since 1970, in nanoseconds."""


def numbers(frame: pd.DataFrame, column: str, file: str, *, empty: bool = False) -> FloatArray:
    """A column as float64, each cell as Python reads it; where `empty` cells may be, they are NaN.

    Raises
    ------
    InputError
        A cell that is no number.

    Examples
    --------
    >>> numbers(pd.DataFrame({"price": ["0.1", ""]}), "price", "a.csv", empty=True).tolist()
    [0.1, nan]
    """
    cells = frame[column].tolist()
    if empty:
        cells = [cell or "nan" for cell in cells]
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        raise _not_readable(frame, column, file, float, "is not a number") from None


def epoch_stamps(frame: pd.DataFrame, column: str, file: str, units: tuple[str, ...]) -> tuple[IntArray, str]:
    """A column of counts since 1970 as nanoseconds, and the unit it is in.

    The unit follows from the size of the numbers: for instants of 2001 to 2286, seconds have ten digits, milliseconds
    thirteen, microseconds sixteen.

    Parameters
    ----------
    frame, column, file
        Where the cells stand.
    units
        Units that may be.

    Raises
    ------
    InputError
        A cell that is no whole number, or not of one of these units, or of another unit than the first row's.

    Examples
    --------
    >>> epoch_stamps(pd.DataFrame({"t": ["1735689600000000"]}), "t", "a.csv", ("milliseconds", "microseconds"))
    (array([1735689600000000000]), 'microseconds')
    """
    try:
        counts: IntArray = np.array(frame[column].tolist(), dtype=np.int64)
    except (ValueError, OverflowError):
        raise _not_readable(frame, column, file, int, "is not a whole number") from None
    digits = np.floor(np.log10(np.maximum(counts, 1))).astype(np.int64) + 1
    sizes = {unit: 19 - round(np.log10(NANOSECONDS[unit])) for unit in units}
    unit = next((unit for unit in units if sizes[unit] == digits[0]), units[0])
    wrong = digits != sizes[unit]
    if wrong.any():
        row = int(wrong.argmax())
        said = " or ".join(units) if row == 0 else f"{unit}, as the rows above are,"
        raise InputError(f"is not in {said} since 1970", file=file, row=row, column=column, value=int(counts[row]))
    return counts * NANOSECONDS[unit], unit


def second_stamps(frame: pd.DataFrame, column: str, file: str) -> IntArray:
    """A column of seconds since 1970 with decimals, to the microsecond, in nanoseconds.

    Raises
    ------
    InputError
        A cell that is no number of seconds.

    Examples
    --------
    >>> second_stamps(pd.DataFrame({"t": ["1784851200.0547"]}), "t", "a.csv").tolist()
    [1784851200054700000]
    """
    seconds = numbers(frame, column, file)
    wrong = ~((seconds >= 1e9) & (seconds < 1e10))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError("is not in seconds since 1970", file=file, row=row, column=column, value=float(seconds[row]))
    stamps: IntArray = np.rint(seconds * 1e6).astype(np.int64) * 1_000
    return stamps


def text_stamps(frame: pd.DataFrame, column: str, file: str, form: str) -> IntArray:
    """A column of dates and times written as `form` (of strptime), read as UTC, in nanoseconds since 1970.

    Raises
    ------
    InputError
        A cell that is not so written.
    """
    parsed = pd.to_datetime(frame[column], format=form, errors="coerce")
    wrong = parsed.isna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"is not a date and time as {form}", file=file, row=row, column=column, value=frame[column].iloc[row]
        )
    stamps: IntArray = parsed.to_numpy("datetime64[ns]").view(np.int64)
    return stamps


def require_inside(stamps: IntArray, start: int, end: int, file: str, column: str, period: str) -> None:
    """Raise InputError for the first instant outside start <= t < end, the period the file's name says."""
    outside = (stamps < start) | (stamps >= end)
    if outside.any():
        row = int(outside.argmax())
        value = str(np.datetime64(int(stamps[row]), "ns"))
        problem = f"lies outside {period}, which the file's name says"
        raise InputError(problem, file=file, row=row, column=column, value=value)


def require_market(frame: pd.DataFrame, column: str, file: str, market: str) -> None:
    """Raise InputError for the first row of another market than the file's name says."""
    other = (frame[column] != market).to_numpy()
    if other.any():
        row = int(other.argmax())
        problem = f"is not {market}, which the file's name says"
        raise InputError(problem, file=file, row=row, column=column, value=frame[column].iloc[row])


def timestamp_column(stamps: IntArray) -> pd.DatetimeIndex:
    """Nanoseconds since 1970 as the column timestamp of a table, UTC."""
    return pd.DatetimeIndex(stamps.view("datetime64[ns]")).tz_localize("UTC")


def _not_readable(frame: pd.DataFrame, column: str, file: str, read: Callable[[Any], Any], problem: str) -> InputError:
    for row, cell in frame[column].items():
        try:
            np.int64(read(cell)) if read is int else read(cell)
        except (ValueError, OverflowError):
            return InputError(problem, file=file, row=row, column=column, value=cell)
    return InputError(problem, file=file, column=column)
