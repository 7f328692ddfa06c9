"""What was found in a market folder: the data report that goes with every result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

LEFT_OUT = {
    "mark": "marks are last prices",
    "funding": "no funding is charged, funding features left out",
    "spot": "basis against spot left out",
    "open_interest": "open-interest features left out",
    "depth": "order-book features left out",
    "liquidations": "liquidation feed not available",
}
"""What the absence of a table means."""


@dataclass(frozen=True)
class SymbolReport:
    """One symbol of one table.

    Parameters
    ----------
    symbol
        Name as in the file.
    rows
        Rows in the file.
    first, last
        First and last timestamp, ISO 8601, UTC.
    gaps, missing_bars, longest_gap
        Runs of missing bars between first and last, bars missing in all, and in the longest run. For tables of
        events (funding, open interest) in units of their usual spacing.
    bad_bars
        Bars whose open lies outside [low, high]; such a close is refused.
    stale_bars
        Bars in which the mark stood still for at least three bars while last prices moved.
    coverage
        Share of the folder's bars that this symbol has; for event tables, of the events its usual spacing implies.
    """

    symbol: str
    rows: int
    first: str
    last: str
    gaps: int
    missing_bars: int
    longest_gap: int
    bad_bars: int
    stale_bars: int
    coverage: float


@dataclass(frozen=True)
class TableReport:
    """One table: its file, its bytes, its symbols, and what had to be said about it.

    Duplicate and unsorted rows are not counted here: a file that has one is refused.
    """

    table: str
    file: str
    sha256: str
    rows: int
    symbols: tuple[SymbolReport, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class DataReport:
    """What a market folder holds and what is wrong with it.

    Parameters
    ----------
    folder
        Folder as given.
    first, last, bars, step_minutes
        The bar grid: first and last bar open (ISO 8601, UTC), number of bars and their length.
    simulated
        Whether the folder's market.json says the market is simulated.
    market
        What market.json holds; empty without one.
    tables
        One report a table that was read.
    absent
        Tables that are not there, with what that means.
    notes
        What concerns the folder as a whole.

    Examples
    --------
    >>> row = SymbolReport("BTC", 3, "2024-01-01T00:00:00", "2024-01-01T03:00:00", 1, 1, 1, 0, 0, 0.75)
    >>> perp = TableReport("perp", "perp.csv", "c0ffee", 3, (row,), ())
    >>> report = DataReport("m", row.first, row.last, 4, 60.0, False, {}, (perp,), {}, ())
    >>> print(report.lines()[1])
    perp (perp.csv, sha256 c0ffee): 3 rows, 1 symbol, 1 gap (1 bar, longest 1), 0 bad bars
    """

    folder: str
    first: str
    last: str
    bars: int
    step_minutes: float
    simulated: bool
    market: Mapping[str, object]
    tables: tuple[TableReport, ...]
    absent: Mapping[str, str]
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for a console, one fact a line."""
        kind = "simulated market" if self.simulated else "market"
        out = [f"{kind} {self.folder}: {self.bars} bars of {self.step_minutes:g} min, {self.first} to {self.last}"]
        for table in self.tables:
            out.append(_table_line(table))
            out += [f"  {note}" for note in table.notes]
        out.append("no duplicate or unsorted rows: a file with one is refused")
        out += [f"no {table} table: {meaning}" for table, meaning in self.absent.items()]
        return out + list(self.notes)

    def as_dict(self) -> dict[str, object]:
        """The report as plain values for JSON."""
        plain = asdict(self) | {"market": dict(self.market), "absent": dict(self.absent)}
        return plain

    def table(self, name: str) -> TableReport | None:
        """The report of one table, or None where the folder does not have it."""
        return next((t for t in self.tables if t.table == name), None)


def _table_line(table: TableReport) -> str:
    gaps = sum(s.gaps for s in table.symbols)
    missing = sum(s.missing_bars for s in table.symbols)
    longest = max((s.longest_gap for s in table.symbols), default=0)
    line = f"{table.table} ({table.file}, sha256 {table.sha256[:12]}): {count_of(table.rows, 'row')}, "
    line += f"{count_of(len(table.symbols), 'symbol')}, {count_of(gaps, 'gap')}"
    line += f" ({count_of(missing, 'bar')}, longest {longest})" if gaps else ""
    line += f", {count_of(sum(s.bad_bars for s in table.symbols), 'bad bar')}"
    stale = sum(s.stale_bars for s in table.symbols)
    return line + (f", {count_of(stale, 'stale bar')}" if stale else "")


def count_of(number: int, noun: str) -> str:
    """A number of things in words.

    Examples
    --------
    >>> count_of(1, "gap"), count_of(2, "gap")
    ('1 gap', '2 gaps')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
