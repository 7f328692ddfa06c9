"""Opening the files of exchange archives: zip, gz or plain CSV, the CHECKSUM beside them, and their lines."""

from __future__ import annotations

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pandas as pd

from ...riskcore.errors import InputError
from .provenance import Source
from .table_files import first_line

SUFFIXES = (".zip", ".csv.gz", ".csv")


@dataclass(frozen=True)
class ArchiveFile:
    """An archive file as it was downloaded, and the CSV in it.

    Parameters
    ----------
    file
        Its name.
    member
        Name of the CSV in it.
    content
        The CSV's bytes.
    sha256
        Of the file's bytes.
    retrieved
        When it was last written here, ISO 8601, UTC: as of then the data were at hand.
    checked
        Whether a CHECKSUM file stood beside it; its hash agrees then.
    """

    file: str
    member: str
    content: bytes
    sha256: str
    retrieved: str
    checked: bool

    def source(self, venue: str, rows: int, url: str | None, notes: Sequence[str] = ()) -> Source:
        """Provenance of the rows read from it."""
        checked = ("the hash agrees with the CHECKSUM file",) if self.checked else ()
        return Source(venue, self.file, self.sha256, self.retrieved, rows, url, (*checked, *notes))


@dataclass(frozen=True)
class ArchiveTable:
    """Rows of an archive file as rows of a table of a market folder, and where they come from."""

    table: str
    frame: pd.DataFrame
    source: Source


def open_archive(path: Path) -> ArchiveFile:
    """Open an archive file and check it against its CHECKSUM file, NAME.CHECKSUM, where there is one.

    Raises
    ------
    InputError
        A file that cannot be read, is truncated or does not have its checksum; a zip that does not hold one CSV.
    """
    try:
        raw = path.read_bytes()
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror}", file=path.name) from None
    digest = hashlib.sha256(raw).hexdigest()
    checked = _agrees(path, digest)
    member, content = _unpacked(path.name, raw)
    return ArchiveFile(path.name, member, content, digest, f"{written:%Y-%m-%dT%H:%M:%SZ}", checked)


def lines_of(
    archive: ArchiveFile, layouts: Sequence[tuple[str, ...]], *, headerless: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The lines of an archive's CSV as text, in columns named by its layout.

    Parameters
    ----------
    archive
        The file.
    layouts
        Headers it may have.
    headerless
        Columns it has where its first line is none: that line then begins with a number; empty where a header must be.

    Returns
    -------
    pandas.DataFrame
        Text cells, an empty one as ""; its index is the row position in the file, not counting the header.

    Raises
    ------
    InputError
        Another header, no rows, or a line with more or fewer cells.
    """
    first = archive.content[:4096].decode("utf-8-sig", "replace").split("\n")[0].strip()
    cells = tuple(cell.strip() for cell in first.split(","))
    if cells in layouts:
        names, skipped = cells, 1
    elif len(cells) == len(headerless) and cells[0][:1].isdigit():
        names, skipped = headerless, 0
    else:
        known = " or ".join(",".join(layout) for layout in layouts)
        raise InputError(f"begins with an unknown header; known is {known}", file=archive.file, value=first[:200])
    frame = _parsed(archive, skipped)
    if frame.shape[1] != len(names):
        raise InputError(f"has lines of {frame.shape[1]} cells, not {len(names)}", file=archive.file, row=0)
    _require_whole_lines(archive, (len(frame) + skipped) * (len(names) - 1), skipped, len(names))
    return frame.set_axis(list(names), axis=1)


def _require_whole_lines(archive: ArchiveFile, separators: int, skipped: int, cells: int) -> None:
    """Raise InputError for the first line that ends early: its last cells would read as empty."""
    if archive.content.count(b",") == separators:
        return
    lines = [line for line in archive.content.splitlines() if line.strip()][skipped:]
    row = next(row for row, line in enumerate(lines) if line.count(b",") != cells - 1)
    raise InputError("the line ends early", file=archive.file, row=row)


def _agrees(path: Path, digest: str) -> bool:
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not beside.is_file():
        return False
    words = beside.read_text(encoding="utf-8", errors="replace").split()
    if len(words) != 2 or words[1].lstrip("*") != path.name:
        raise InputError(f"does not hold the hash of {path.name}", file=beside.name, value=" ".join(words)[:120])
    if words[0].lower() != digest:
        problem = f"the bytes are not those the venue published: its CHECKSUM says {words[0][:12]}"
        raise InputError(problem, file=path.name, value=digest[:12])
    return True


def _unpacked(file: str, raw: bytes) -> tuple[str, bytes]:
    if not file.endswith((".zip", ".gz")):
        return file, raw
    try:
        if file.endswith(".gz"):
            return file.removesuffix(".gz"), gzip.decompress(raw)
        with zipfile.ZipFile(BytesIO(raw)) as packed:
            (member,) = (name for name in packed.namelist() if name.endswith(".csv"))
            return member, packed.read(member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as failure:
        raise InputError(f"is truncated or damaged: {failure}", file=file) from None
    except ValueError:
        raise InputError("must hold one CSV file", file=file) from None


def _parsed(archive: ArchiveFile, skipped: int) -> pd.DataFrame:
    try:
        return pd.read_csv(
            BytesIO(archive.content),
            header=None,
            skiprows=skipped,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
        )
    except pd.errors.EmptyDataError:
        raise InputError("has no rows", file=archive.file) from None
    except (ValueError, OSError) as failure:
        raise InputError(f"is not a CSV file: {first_line(failure)}", file=archive.file) from None
