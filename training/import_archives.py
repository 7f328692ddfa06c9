"""Filling a store from the files of exchanges' public archives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..features.readers.archive_files import SUFFIXES, ArchiveTable, open_archive
from ..features.readers.archive_periods import missing_periods
from ..features.readers.binance_archive import read_binance
from ..features.readers.binance_names import BinanceName, binance_name
from ..features.readers.bybit_archive import BybitName, bybit_name, read_bybit
from ..features.readers.okx_archive import OkxName, okx_name, read_okx
from ..riskcore.errors import InputError
from .table_store import AppendReport, TableStore

ArchiveName = BinanceName | BybitName | OkxName
CROWD = 16
"""Files of a table from which on its parts are put together afterwards."""


@dataclass(frozen=True)
class ImportedFile:
    """What became of one archive file.

    Parameters
    ----------
    file
        The file.
    outcome
        "imported"; "known": the store had its bytes or all of its rows before; "refused": see `notes`.
    appends
        One report a table.
    notes
        What was cleaned or missing, or why it was refused.
    """

    file: Path
    outcome: str
    appends: tuple[AppendReport, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImportReport:
    """What became of a set of archive files.

    Parameters
    ----------
    files
        In the order of their names.
    gaps
        Days or months between the first and the last file of a market for which there is no file.
    """

    files: tuple[ImportedFile, ...]
    gaps: tuple[str, ...]

    def count(self, outcome: str) -> int:
        """How many files came to an outcome."""
        return sum(file.outcome == outcome for file in self.files)

    @property
    def new_rows(self) -> int:
        """Rows that the store did not have before."""
        return sum(report.new for file in self.files for report in file.appends)

    def lines(self) -> list[str]:
        """The report for a console: totals, gaps, and each file that was refused."""
        kinds = ", ".join(f"{self.count(outcome)} {outcome}" for outcome in ("imported", "known", "refused"))
        duplicates = sum(report.duplicates for file in self.files for report in file.appends)
        out = [f"{len(self.files)} files: {kinds}; {self.new_rows} new rows, {duplicates} duplicates"]
        return out + [*self.gaps, *(file.notes[0] for file in self.files if file.outcome == "refused")]


def import_archives(
    paths: Iterable[str | Path],
    store: TableStore,
    *,
    quote: str = "USDT",
    kind: str | None = None,
    progress: Callable[[int, int, ImportedFile], None] | None = None,
) -> ImportReport:
    """Read archive files of Binance, Bybit and OKX into a store.

    A file whose bytes the store has is skipped, so an import that was stopped is taken up by running it again. A file
    that cannot be read is refused whole and the others go on.

    Parameters
    ----------
    paths
        Files, and folders that are searched for them.
    store
        The store.
    quote
        Perpetuals quoted and settled in this asset are named by their coin, others by ccxt's unified name.
    kind
        For files of Binance without their folders: market and kind, such as "um/klines".
    progress
        Called after each file with the number done, the number of all, and what became of it.

    Raises
    ------
    InputError
        No archive file among the paths, or bars of several lengths for one table.
    MargincastError
        The store cannot be written.
    """
    named = _named(_files(paths), kind)
    _require_one_length(named)
    done: list[ImportedFile] = []
    for path, name in named:
        done.append(_imported(path, name, store, quote))
        if progress is not None:
            progress(len(done), len(named), done[-1])
    appended = [report.table for file in done for report in file.appends]
    for table in sorted(set(appended)):
        if appended.count(table) >= CROWD:
            store.compact(table)
    return ImportReport(tuple(done), _gaps(name for _, name in named if not isinstance(name, InputError)))


def _files(paths: Iterable[str | Path]) -> list[Path]:
    found: list[Path] = []
    for path in map(Path, paths):
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [file for file in inside if path == file or (file.is_file() and file.name.endswith(SUFFIXES))]
    if not found:
        raise InputError("no archive files are there", file=", ".join(map(str, paths)))
    return sorted(set(found), key=lambda file: (file.name, str(file)))


def _named(files: Sequence[Path], kind: str | None) -> list[tuple[Path, ArchiveName | InputError]]:
    return [(file, _name(file, kind)) for file in files]


def _name(file: Path, kind: str | None) -> ArchiveName | InputError:
    try:
        name = binance_name(file, kind) or bybit_name(file) or okx_name(file)
    except InputError as failure:
        return failure
    problem = "is not named as a file of Binance's, Bybit's or OKX's archive that can be read"
    return name or InputError(problem, file=file.name)


def _require_one_length(named: Iterable[tuple[Path, ArchiveName | InputError]]) -> None:
    lengths: dict[str, dict[str, str]] = {}
    for path, name in named:
        if isinstance(name, BinanceName) and name.interval:
            known = lengths.setdefault(name.tables[0], {})
            known.setdefault(name.interval, path.name)
            if len(known) > 1:
                problem = f"bars of {' and '.join(known)} for one table {name.tables[0]}: import those of one length"
                raise InputError(problem, file=path.name)


def _imported(path: Path, name: ArchiveName | InputError, store: TableStore, quote: str) -> ImportedFile:
    if isinstance(name, InputError):
        return ImportedFile(path, "refused", notes=(str(name),))
    try:
        if store.holds(hashlib.sha256(path.read_bytes()).hexdigest(), *name.tables):
            return ImportedFile(path, "known")
        tables = _read(path, name, quote)
        reports = tuple(store.append(table.table, table.frame, table.source) for table in tables)
    except OSError as failure:
        return ImportedFile(path, "refused", notes=(f"{path.name}: cannot be read: {failure.strerror}",))
    except InputError as failure:
        return ImportedFile(path, "refused", notes=(str(failure),))
    notes = dict.fromkeys(note for table in tables for note in table.source.cleaning)
    notes |= dict.fromkeys(note for report in reports for note in report.notes)
    return ImportedFile(path, "imported" if any(report.new for report in reports) else "known", reports, tuple(notes))


def _read(path: Path, name: ArchiveName, quote: str) -> tuple[ArchiveTable, ...]:
    archive = open_archive(path)
    if isinstance(name, BinanceName):
        return read_binance(archive, name, quote)
    if isinstance(name, BybitName):
        return read_bybit(archive, name, quote)
    return read_okx(archive, name, quote)


def _gaps(names: Iterable[ArchiveName]) -> tuple[str, ...]:
    periods: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        periods.setdefault((type(name).__name__, name.kind, name.native), []).append(name.period.text)
    gaps = []
    for (_, kind, native), texts in sorted(periods.items()):
        missing = missing_periods(texts)
        if missing:
            some = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            gaps.append(f"{native} {kind}: no file of {some}")
    return tuple(gaps)
