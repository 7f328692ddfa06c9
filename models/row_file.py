"""A matrix of float32 rows on disk, written block by block and read block by block: it is never in memory whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ..riskcore.errors import InputError, MargincastError

ITEM = np.dtype("<f4")


class RowFile:
    """Float32 rows in one file, for as long as a training lasts; closed, and removed, when the block is left.

    Read by offset, not mapped: pages of a mapped file would count as memory of the process.

    Parameters
    ----------
    path
        New file.
    columns
        Names of the columns.

    Raises
    ------
    MargincastError
        The file is there already, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RowFile(Path(folder) / "rows", ("a", "b")) as rows:
    ...     rows.append(np.array([[1.0, 2.0], [3.0, np.nan]]))
    ...     rows.append(np.array([[5.0, 6.0]]))
    ...     print(len(rows), rows.read(1, 3).tolist())
    3 [[3.0, nan], [5.0, 6.0]]
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns, self._rows = path, tuple(columns), 0
        try:
            self._file = path.open("x+b", buffering=0)
        except OSError as failure:
            raise MargincastError(f"{path}: could not be written ({failure.strerror or failure})") from failure

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._rows

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return len(self.columns) * ITEM.itemsize

    def append(self, block: NDArray[np.floating]) -> None:
        """Write rows, (m, n_columns), behind those that are there; another width raises InputError.

        A full disk raises MargincastError, and the rows of the block do not count.
        """
        if block.ndim != 2 or block.shape[1] != len(self.columns):
            raise InputError(f"has shape {block.shape}, expected (m, {len(self.columns)})", column="features")
        if len(block) == 0:
            return
        content = np.ascontiguousarray(block, ITEM).data.cast("B")
        done = 0
        try:
            while done < len(content):
                done += os.pwrite(self._file.fileno(), content[done:], self._rows * self.row_bytes + done)
        except OSError as failure:
            raise MargincastError(f"{self.path}: could not be written ({failure.strerror or failure})") from failure
        self._rows += len(block)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Rows first .. last - 1, (last - first, n_columns).

        Raises
        ------
        InputError
            Rows that are not there, or a file that has been cut meanwhile.
        """
        if not 0 <= first <= last <= self._rows:
            raise InputError(f"is not among {self._rows} rows", file=self.path, row=first, value=f"{first}:{last}")
        wanted, start = (last - first) * self.row_bytes, first * self.row_bytes
        content = bytearray(wanted)
        done = 0
        while done < wanted:
            got = os.preadv(self._file.fileno(), [memoryview(content)[done:]], start + done)
            if got == 0:
                raise InputError("has been cut", file=self.path, row=first + done // self.row_bytes)
            done += got
        return np.frombuffer(content, ITEM).reshape(last - first, len(self.columns))
