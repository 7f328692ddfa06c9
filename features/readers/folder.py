"""The reader of a market folder: tables in, one `MarketData` on one time grid out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...riskcore.arrays import BoolArray, FloatArray
from ...riskcore.errors import InputError
from ...riskcore.instruments import InstrumentTable
from ...riskcore.market import UNIT_INDEX, MarketHistory
from ..market_data import BAR_COLUMNS, FLOW_COLUMNS, MarketData
from .grid import BarGrid, grid_of
from .layout import PRICES, LaidTable, against_base, lay_bars, lay_events, named_by_coin
from .report import LEFT_OUT, DataReport, TableReport
from .schemas import COLUMNS, SourceTable
from .series import read_series
from .snapshots import survey_of_rows
from .tables import read_table, unread_files

BASE = "USDT"
MAX_GAP = 48

Tables = Mapping[str, SourceTable]
Laid = Mapping[str, LaidTable]


def read_market_folder(path: str | Path, *, max_gap: int = MAX_GAP) -> MarketData:
    """Read a market folder: perp, and where they are mark, funding, spot, open_interest, depth and liquidations.

    Each table is NAME.parquet or NAME.csv; only perp is needed. The bars of perp make the time grid; rows of other
    tables outside it are left out and counted in the report. A bar that is not there stays NaN. External series are
    series/NAME.parquet or .csv with timestamp, value and, on demand, symbol. A store (`store_records`) is read alike.

    Parameters
    ----------
    path
        The folder, or a store.
    max_gap
        Longest run of missing bars of a symbol of perp, mark or spot that is still read.

    Returns
    -------
    MarketData
        Linear perpetuals of all symbols of perp in alphabetical order, settling in USDT, their coins as collateral.
        Marks are those of the mark table, for symbols it lacks the last prices (`history.source` says so).

    Raises
    ------
    InputError
        Folder or perp table missing; a file, row, column and value that cannot be used: see `validated`, `grid_of` and
        `require_order`; a gap longer than `max_gap`.

    Notes
    -----
    Funding, open interest and depth carry the instant at which they were charged or seen; it counts to the bar that was
    open then. Several funding charges within a bar add up. A folder that holds market.json with "simulated": true is
    simulated, and says so wherever it is shown.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError("there is no such market folder", file=str(path))
    market = _read_market_json(folder)
    tables = {name: table for name in COLUMNS if (table := read_table(folder, name)) is not None}
    if "perp" not in tables:
        raise InputError("the market folder has no perp.parquet or perp.csv", file=str(path))
    grid = grid_of(tables["perp"])
    symbols = tuple(sorted(set(tables["perp"].frame["symbol"])))
    laid = _lay_out(tables, grid, symbols, max_gap)
    history = _history(grid, symbols, laid)
    series, told = read_series(folder, grid)
    spot = _spot_market(tables["spot"], symbols, market, folder, max_gap) if "spot" in tables else None
    odd = () if spot is None else tuple(note for note in spot.report.notes if note.startswith("spot: "))
    reports = [laid[n].report if n in laid else survey_of_rows(t, grid) for n, t in tables.items()]
    report = _data_report(folder, market, grid, (*reports, *told), history, odd)
    return MarketData(
        history,
        laid["perp"].columns,
        _column(laid, "funding", "funding_rate"),
        _column(laid, "open_interest", "open_interest"),
        _column(laid, "spot", "close"),
        tables["depth"].frame if "depth" in tables else None,
        tables["liquidations"].frame if "liquidations" in tables else None,
        report.simulated,
        report,
        series,
        spot,
    )


def _spot_market(
    table: SourceTable, coins: tuple[str, ...], market: Mapping[str, object], folder: Path, max_gap: int
) -> MarketData | None:
    """The spot markets against the base asset on bars of their own; None where there are closes only, or none.

    Bars whose prices contradict each other count as missing, and are counted in the notes.
    """
    if not set(BAR_COLUMNS) <= set(table.frame):
        return None
    against = against_base(table, coins, BASE)
    if against.frame.empty:
        return None
    grid = grid_of(against)
    symbols = tuple(sorted(set(against.frame["symbol"])))
    laid = lay_bars(against, grid, symbols, BAR_COLUMNS, max_gap)
    bars, odd = _without_contradictions(laid.columns)
    history = _history(grid, symbols, {"perp": LaidTable(bars, laid.report)})
    note = f"spot: {odd} bars whose prices contradict each other, not learned from"
    report = _data_report(folder, dict(market), grid, (laid.report,), history, (note,) if odd else ())
    return MarketData(history, bars, None, None, None, None, None, report.simulated, report)


def _without_contradictions(bars: Mapping[str, FloatArray]) -> tuple[dict[str, FloatArray], int]:
    """Bars with NaN where open or close lies outside of low to high, and how many that were."""
    lowest, highest = np.minimum(bars["open"], bars["close"]), np.maximum(bars["open"], bars["close"])
    odd = (lowest < bars["low"]) | (highest > bars["high"])
    return {name: np.where(odd, np.nan, values) for name, values in bars.items()}, int(odd.sum())


def _read_market_json(folder: Path) -> dict[str, object]:
    path = folder / "market.json"
    if not path.is_file():
        return {}
    try:
        market = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as failure:
        raise InputError(f"is not a JSON file: {failure}", file=path.name) from None
    if not isinstance(market, dict) or not isinstance(market.get("simulated", False), bool):
        raise InputError("must be a JSON object whose simulated is true or false", file=path.name, column="simulated")
    return market


def _lay_out(tables: Tables, grid: BarGrid, symbols: tuple[str, ...], max_gap: int) -> dict[str, LaidTable]:
    flow = tuple(column for column in FLOW_COLUMNS if column in tables["perp"].frame)
    laid = {"perp": lay_bars(tables["perp"], grid, symbols, (*BAR_COLUMNS, *flow), max_gap)}
    if "mark" in tables:
        laid["mark"] = lay_bars(tables["mark"], grid, symbols, PRICES, max_gap, laid["perp"].columns)
    if "spot" in tables:
        spot = named_by_coin(tables["spot"], symbols, BASE)
        laid["spot"] = lay_bars(spot, grid, symbols, ("close",), max_gap)
    if "funding" in tables:
        laid["funding"] = lay_events(tables["funding"], grid, symbols, "funding_rate", add=True)
    if "open_interest" in tables:
        laid["open_interest"] = lay_events(tables["open_interest"], grid, symbols, "open_interest", add=False)
    return laid


def _history(grid: BarGrid, symbols: tuple[str, ...], laid: Laid) -> MarketHistory:
    table = InstrumentTable.linear_perpetuals(symbols, base=BASE, collateral=symbols)
    prices = {name: laid["perp"].columns[name].copy() for name in PRICES}
    marked: BoolArray = np.zeros(len(symbols), np.bool_)
    if "mark" in laid:
        marked[:] = (~np.isnan(laid["mark"].columns["close"])).any(axis=0)
        for name in PRICES:
            prices[name][:, marked] = laid["mark"].columns[name][:, marked]
    funding = _column(laid, "funding", "funding_rate")
    charged = np.zeros((grid.bars, len(symbols))) if funding is None else np.nan_to_num(funding, nan=0.0)
    own = {symbol: i for i, symbol in enumerate(symbols)}
    index = [own.get(asset, UNIT_INDEX) for asset in table.assets]
    source = _source([s for s, has in zip(symbols, marked, strict=True) if not has], len(symbols))
    return MarketHistory(
        table,
        grid.times,
        **prices,
        mark_series=np.arange(len(symbols)),
        index_series=np.array(index),
        funding=charged,
        source=source,
    )


def _source(unmarked: list[str], symbols: int) -> str:
    if not unmarked:
        return "mark"
    if len(unmarked) == symbols:
        return "last price (no mark table)"
    return f"mark; last price for {', '.join(unmarked)}"


def _column(laid: Laid, table: str, column: str) -> FloatArray | None:
    return laid[table].columns[column] if table in laid else None


def _data_report(
    folder: Path,
    market: dict[str, object],
    grid: BarGrid,
    tables: tuple[TableReport, ...],
    history: MarketHistory,
    more: tuple[str, ...] = (),
) -> DataReport:
    present = {table.table for table in tables}
    other = unread_files(folder)
    notes = [f"marks: {history.source}; each coin's collateral index: the mark of its perpetual"]
    notes += [f"not a table of a market folder, not read: {', '.join(other)}"] if other else []
    return DataReport(
        folder=str(folder),
        first=str(grid.times[0].astype("datetime64[s]")),
        last=str(grid.times[-1].astype("datetime64[s]")),
        bars=grid.bars,
        step_minutes=grid.step / 60e9,
        simulated=bool(market.get("simulated", False)),
        market=market,
        tables=tables,
        absent={name: meaning for name, meaning in LEFT_OUT.items() if name not in present},
        notes=(*notes, *more),
    )
