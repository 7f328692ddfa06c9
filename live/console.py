"""What the live verbs print: rich tables that fit a laptop's terminal."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..training.import_archives import ImportReport
from .fetch_report import FetchReport, said_gaps
from .fetch_tables import iso

GAPS_SHOWN = 5


def show_fetched(report: FetchReport) -> None:
    """A row for each table and symbol, then every gap and what else has to be said."""
    console = Console()
    shown = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("table", "symbol"):
        shown.add_column(name, no_wrap=True)
    for name in ("new", "known", "gaps"):
        shown.add_column(name, justify="right", no_wrap=True)
    for name in ("first", "last"):
        shown.add_column(name, no_wrap=True)
    for row in report.rows:
        times = (_minute(row.first), _minute(row.last))
        shown.add_row(row.table, escape(row.symbol), f"{row.new:,}", f"{row.duplicates:,}", said_gaps(row.gaps), *times)
    console.print(shown)
    for row in report.rows:
        for gap in row.gaps[:GAPS_SHOWN]:
            text = f"gap: {row.table} {row.symbol}, {gap.missing} rows missing between "
            text += f"{_minute(gap.after)} and {_minute(gap.before)}"
            console.print(escape(text), style="yellow", highlight=False)
        if len(row.gaps) > GAPS_SHOWN:
            console.print(f"and {len(row.gaps) - GAPS_SHOWN} more gaps", style="yellow", highlight=False)
        for note in row.notes:
            console.print(escape(f"note: {row.table} {row.symbol}: {note}"), highlight=False)
    for note in report.notes:
        console.print(escape(f"note: {note}"), highlight=False)
    console.print(escape(f"from {report.venue}, stored in {report.folder}"), highlight=False, soft_wrap=True)


def show_imported(report: ImportReport, folder: Path) -> None:
    """Totals, rows of each table, gaps between files, what was cleaned, and each file that was refused."""
    console = Console()
    new: dict[str, int] = {}
    for append in (append for file in report.files for append in file.appends):
        new[append.table] = new.get(append.table, 0) + append.new
    console.print(escape(report.lines()[0]), highlight=False)
    for table, rows in new.items():
        console.print(f"  {table}: {rows:,} new", highlight=False)
    for line in report.lines()[1:]:
        console.print(escape(line), style="yellow", highlight=False)
    for file in report.files:
        for note in file.notes if file.outcome == "imported" else ():
            console.print(escape(f"note: {file.file.name}: {note}"), highlight=False)
    stored = f"stored in {folder}" if report.new_rows else "nothing new: nothing was stored"
    console.print(escape(stored), highlight=False, soft_wrap=True)


def _minute(milliseconds: int | None) -> str:
    return "-" if milliseconds is None else iso(milliseconds)[:16].replace("T", " ")
