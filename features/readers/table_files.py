"""From the bytes of a table's file to its rows as they stand, before anything is checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pandas as pd

from ...riskcore.errors import InputError


def only_path(found: Sequence[Path]) -> Path | None:
    """The one file (or folder) a table stands in; None where there is none, InputError where there are two."""
    if len(found) > 1:
        raise InputError(f"stands beside {found[1].name}: keep one of them", file=found[0].name)
    return found[0] if found else None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror}", file=path.name) from None


def parquet_rows(content: bytes) -> pd.DataFrame:
    """Rows of a Parquet file, with the index it was written with."""
    return pd.read_parquet(BytesIO(content))


def csv_rows(content: bytes) -> pd.DataFrame:
    """Rows of a CSV file, every cell as text; only an empty one is missing."""
    return pd.read_csv(BytesIO(content), dtype=str, keep_default_na=False, na_values=[""])


@contextmanager
def damage_is_said(problem: str, file: str) -> Iterator[None]:
    """Turn the errors of pandas and pyarrow about a file that is not whole into one line, an InputError.

    Examples
    --------
    >>> with damage_is_said("is not a CSV file", "a.csv"):
    ...     csv_rows(b"")
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: a.csv: is not a CSV file: No columns to parse from file
    """
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ValueError, ArrowException) as failure:
        raise InputError(f"{problem}: {first_line(failure)}", file=file) from None


def first_line(failure: Exception) -> str:
    """What an error says, in one line; its kind where it says nothing."""
    return (str(failure).splitlines() or [type(failure).__name__])[0]
