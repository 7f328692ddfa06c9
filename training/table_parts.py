"""Cutting rows of a table into the Parquet parts of a store: one a symbol and month."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd

from ..features.readers.schemas import TEXT
from ..features.readers.store_records import StoredPart
from ..features.readers.time_merge import stamps_of

ROW_GROUP = 8_192
"""Rows that are read at once: not quite six days of one-minute bars."""


def split_into_parts(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield symbol ("" in a series without symbols), month YYYY-MM and rows, by symbol and then month.

    Examples
    --------
    >>> stamps = pd.to_datetime(["2024-01-31T23:00Z", "2024-02-01T00:00Z"])
    >>> [(s, m, len(r)) for s, m, r in split_into_parts(pd.DataFrame({"timestamp": stamps, "symbol": "BTC"}))]
    [('BTC', '2024-01', 1), ('BTC', '2024-02', 1)]
    """
    month = stamps_of(rows).view("datetime64[ns]").astype("datetime64[M]").astype(str)
    symbol = rows["symbol"].to_numpy(str) if "symbol" in rows else np.full(len(rows), "")
    for (name, when), part in rows.groupby([symbol, month], sort=True):
        yield str(name), str(when), part


def part_content(rows: pd.DataFrame, path: str, symbol: str) -> tuple[bytes, StoredPart]:
    """The bytes of a part, and what its append's record says of it.

    Parameters
    ----------
    rows
        Rows of one symbol, sorted by time.
    path
        Path below the table's folder.
    symbol
        The symbol.
    """
    import pyarrow.parquet as pq

    stream = BytesIO()
    pq.write_table(_arrow(rows), stream, compression="zstd", row_group_size=ROW_GROUP)
    content = stream.getvalue()
    stamps = stamps_of(rows)
    firsts = tuple(stamps[::ROW_GROUP].tolist())
    return content, StoredPart(path, symbol, len(rows), firsts, int(stamps[-1]), hashlib.sha256(content).hexdigest())


def _arrow(rows: pd.DataFrame) -> Any:
    """Rows as an Arrow table: timestamp[ns, UTC], text and doubles, NaN kept as NaN."""
    import pyarrow as pa

    arrays = {}
    for column in map(str, rows):
        if column == "timestamp":
            arrays[column] = pa.array(stamps_of(rows), pa.timestamp("ns", "UTC"))
        elif column in TEXT:
            arrays[column] = pa.array(rows[column].astype(object), pa.string(), from_pandas=True)
        else:
            arrays[column] = pa.array(rows[column].to_numpy(np.float64))
    return pa.table(arrays)
