"""Lines of a recorded feed, one at a time: plain, gzip or zip files, refused where they break off."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from ...riskcore.errors import InputError

LONGEST_LINE = 1 << 24
"""Bytes: a message of 16 MiB is no order book but a file without line ends."""

GZIP, ZIP = b"\x1f\x8b", b"PK"


class Lines(Protocol):
    """Bytes that can be read line by line."""

    def readline(self, size: int = -1, /) -> bytes:
        """The next line, cut off at `size` bytes."""
        ...


def feed_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its row, counted from 0; only one is in memory at a time.

    A file that breaks off raises where it does, so what was yielded before came from a file that is not whole.

    Parameters
    ----------
    path
        Plain, gzip (.gz) or zip with one member; told by its first bytes, not by its name.

    Raises
    ------
    InputError
        No such file, nothing in it, a compressed file that is cut short or damaged, a zip of several members, a line
        of more than `LONGEST_LINE` bytes.
    """
    file, row, found = Path(path).name, -1, False
    try:
        with _opened(Path(path)) as stream:
            while line := stream.readline(LONGEST_LINE + 1):
                row += 1
                if len(line) > LONGEST_LINE:
                    raise InputError(f"line is longer than {LONGEST_LINE} bytes", file=file, row=row)
                if line := line.strip():
                    found = True
                    yield row, line
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile, RuntimeError) as failure:
        raise InputError(f"is cut short or damaged: {failure}", file=file, row=row + 1) from None
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror or failure}", file=file) from None
    if not found:
        raise InputError("is empty", file=file)


@contextmanager
def _opened(path: Path) -> Iterator[Lines]:
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        if head == GZIP:
            with gzip.open(raw) as stream:
                yield stream
        elif head == ZIP:
            with zipfile.ZipFile(raw) as archive:
                members = archive.infolist()
                if len(members) != 1:
                    raise InputError(f"holds {len(members)} members, expected one", file=path.name)
                with archive.open(members[0]) as stream:
                    yield stream
        else:
            yield raw
