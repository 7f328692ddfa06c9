"""Tables of returns for the margin back-test: symbol, date, log_return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from ..features.readers.checks import refuse
from ..features.readers.table_files import damage_is_said, parquet_rows
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError

COLUMNS = ("symbol", "date", "log_return")


@dataclass(frozen=True)
class ReturnTable:
    """Returns of each symbol, oldest first.

    Parameters
    ----------
    returns
        Log returns by symbol, shape (m,) each.
    dates
        Their dates by symbol, datetime64[ns].
    dropped
        Rows left out by symbol because the return was larger than the limit.
    """

    returns: Mapping[str, FloatArray]
    dates: Mapping[str, np.ndarray[tuple[int], np.dtype[np.datetime64]]]
    dropped: Mapping[str, int]


def read_returns(path: str | Path, *, limit: float = 0.5) -> ReturnTable:
    """Read a Parquet or CSV table of returns.

    Parameters
    ----------
    path
        File with columns symbol, date and log_return; rows of a symbol rise in date.
    limit
        Returns larger than this in size are data errors (a split, a unit): left out and counted.

    Raises
    ------
    InputError
        A file that cannot be read, a column missing, a value that is no date or finite number, dates of a symbol that
        repeat or fall.
    """
    file = Path(path)
    frame = read_frame(file)
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise InputError(f"has no such column; it needs {', '.join(COLUMNS)}", file=file.name, column=missing[0])
    values = _numbers(frame["log_return"], file.name)
    dates = _dates(frame["date"], file.name)
    refuse(frame["symbol"].isna(), frame["symbol"], "must not be empty", file.name)
    symbols = frame["symbol"].astype(str).to_numpy()
    kept, when, dropped = {}, {}, {}
    for symbol in sorted(set(symbols.tolist())):
        rows = np.flatnonzero(symbols == symbol)
        _require_rising(dates, rows, file.name)
        usable = rows[np.abs(values[rows]) <= limit]
        kept[symbol], when[symbol], dropped[symbol] = values[usable], dates[usable], len(rows) - len(usable)
    if not kept:
        raise InputError("holds no row", file=file.name)
    return ReturnTable(kept, when, dropped)


def read_frame(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file, or a CSV file as text; one that cannot be read raises InputError."""
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror}", file=str(file)) from None
    with damage_is_said("is not a whole Parquet or CSV file", file.name):
        if file.suffix == ".csv":
            rows = pd.read_csv(BytesIO(content), dtype=str)
        else:
            rows = parquet_rows(content).reset_index(drop=True)
    return rows


def _numbers(column: pd.Series, file: str) -> FloatArray:
    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    refuse(~np.isfinite(numbers), column, "must be a finite number", file)
    return numbers


def _dates(column: pd.Series, file: str) -> np.ndarray[tuple[int], np.dtype[np.datetime64]]:
    dates = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
    refuse(dates.isna(), column, "must be a date such as 2024-01-31", file)
    return dates.dt.tz_localize(None).to_numpy().astype("datetime64[ns]")


def _require_rising(
    dates: np.ndarray[tuple[int], np.dtype[np.datetime64]],
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    file: str,
) -> None:
    falls = np.flatnonzero(np.diff(dates[rows]) <= np.timedelta64(0))
    if len(falls):
        row = int(rows[falls[0] + 1])
        raise InputError("dates of a symbol must rise", file=file, row=row, column="date", value=str(dates[row])[:10])
