"""Reading option chains: a table of quotes of many instants, and a chain for each instant and underlying."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.arrays import IntArray
from ...riskcore.errors import InputError
from ..options.chain import COIN, OptionChain
from ..options.chain_rows import chain_from_rows
from .option_chain_schema import checked_quotes
from .table_files import csv_rows, damage_is_said, parquet_rows, read_bytes

COLUMNS = {
    "strike": "strike",
    "bid": "bid_price",
    "ask": "ask_price",
    "mark": "mark_price",
    "forward": "futures_price",
    "index": "index_price",
    "open_interest": "open_interest",
    "volume": "volume",
    "reported": "implied_volatility",
}
"""Columns of a chain by the name they have in a table."""

AT_ONCE = np.timedelta64(0, "s")


@dataclass(frozen=True)
class ChainHistory:
    """Chains of one table, by rising time and then by underlying; made one at a time as they are asked for.

    Parameters
    ----------
    file
        Name of the table, for error texts.
    sha256
        Of its bytes; empty for rows that were not read from a file.
    unit
        Unit of the prices.
    known_after
        How long after its timestamp a chain could be used.
    frame
        Checked rows in the order of the file, the index their number there.
    rows
        Positions in the frame, chain by chain.
    pointer
        Chain i has the rows pointer[i] to pointer[i + 1] of `rows`.
    """

    file: str
    sha256: str
    unit: str
    known_after: np.timedelta64
    frame: pd.DataFrame
    rows: IntArray
    pointer: IntArray

    def __len__(self) -> int:
        return len(self.pointer) - 1

    def __iter__(self) -> Iterator[OptionChain]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> OptionChain:
        """One chain; InputError, with the row in the file, where an option stands there twice with different quotes."""
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} chains")
        rows = self.rows[self.pointer[number] : self.pointer[number + 1]]
        part = self.frame.iloc[rows]
        columns: dict[str, Any] = {name: part[column].to_numpy() for name, column in COLUMNS.items()}
        columns["right"] = np.where(part["option_type"].to_numpy() == "call", 1, -1)
        columns["expiry"], columns["quoted"] = (_plain(part[name]) for name in ("expiry", "quote_timestamp"))
        time = _plain(part["timestamp"])[0]
        try:
            return chain_from_rows(
                str(part["currency"].iloc[0]), time, columns, unit=self.unit, known=time + self.known_after
            )
        except InputError as failure:
            row = None if failure.row is None else int(part.index[int(str(failure.row))])
            raise InputError(
                failure.problem, file=self.file, row=row, column=failure.column, value=failure.value
            ) from None


def read_option_chains(path: Path | str, *, unit: str = COIN, known_after: np.timedelta64 = AT_ONCE) -> ChainHistory:
    """Read a Parquet or CSV table of option quotes.

    Parameters
    ----------
    path
        The file; its columns are those of `option_chain_schema`: timestamp, currency, option_type (call, put), strike,
        expiry, one or more of bid_price, ask_price and mark_price, and optionally futures_price (the forward of the
        expiry), index_price, implied_volatility (fraction), open_interest, volume, quote_timestamp.
    unit
        "coin" (prices in units of the underlying, as Deribit's inverse options) or "quote".
    known_after
        How long after its timestamp a chain was complete. A collector that stamps a chain when it begins and asks for
        the options one by one needs minutes: without them its quotes would be from after their own time.

    Raises
    ------
    InputError
        A file that cannot be read, or rows that are not as the columns must be; names file, row and column.
    """
    path = Path(path)
    content = read_bytes(path)
    frame = _parsed(content, path)
    return chain_history(frame, path.name, unit, known_after, hashlib.sha256(content).hexdigest())


def chain_history(
    frame: pd.DataFrame, file: str, unit: str = COIN, known_after: np.timedelta64 = AT_ONCE, sha256: str = ""
) -> ChainHistory:
    """Chains of rows that are already in memory; parameters and errors as in `read_option_chains`.

    Errors name rows by the frame's index where that is of unique whole numbers, else by position.

    Examples
    --------
    >>> rows = {"timestamp": "2024-01-01T12:00Z", "currency": "BTC", "option_type": ["put", "call"], "strike": 4e4}
    >>> history = chain_history(pd.DataFrame({**rows, "expiry": "2024-01-26T08:00Z", "mark_price": [0.03, 0.05]}), "x")
    >>> chain = history[0]
    >>> len(history), chain.underlying, str(chain.time)[:13], round(float(chain.forward[0]), 2)
    (1, 'BTC', '2024-01-01T12', 40816.33)
    """
    numbered = frame.index.is_unique and pd.api.types.is_integer_dtype(frame.index.dtype)
    checked = checked_quotes(frame if numbered else frame.reset_index(drop=True), file, unit)
    names, _ = pd.factorize(checked["currency"], sort=True)
    stamps = checked["timestamp"].astype("int64").to_numpy()
    rows = np.lexsort((names, stamps))
    fresh = np.append(True, (np.diff(stamps[rows]) != 0) | (np.diff(names[rows]) != 0))
    pointer = np.append(np.flatnonzero(fresh), len(rows)).astype(np.int64)
    return ChainHistory(file, sha256, unit, known_after, checked, rows, pointer)


def _parsed(content: bytes, path: Path) -> pd.DataFrame:
    if path.suffix not in (".parquet", ".csv"):
        raise InputError("must be a .parquet or .csv file", file=path.name)
    with damage_is_said(f"is not a whole {path.suffix[1:]} file", path.name):
        rows = csv_rows(content) if path.suffix == ".csv" else parquet_rows(content).reset_index(drop=True)
    return rows


def _plain(times: pd.Series[Any]) -> np.ndarray:
    return np.asarray(times.dt.tz_localize(None).to_numpy(), "datetime64[ns]")
