"""Tables of rows at any instant (depth, liquidations): their order is checked, they are not laid on the grid."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from .grid import BarGrid, nanoseconds
from .report import TableReport
from .schemas import SourceTable
from .survey import table_report


def survey_of_rows(table: SourceTable, grid: BarGrid) -> TableReport:
    """Check the order of a table that may have many rows an instant, and count its rows per symbol.

    Raises
    ------
    InputError
        Timestamps of a symbol that fall; in a depth table a level that stands there twice, or notional that shrinks as
        the level widens (it is cumulative).
    """
    stamps = nanoseconds(table)
    codes, _ = pd.factorize(table.frame["symbol"], sort=True)
    rows = np.argsort(codes, kind="stable")
    steps = np.diff(stamps[rows], prepend=stamps[rows[0]])
    steps[np.diff(codes[rows], prepend=-1) != 0] = 0
    if (steps < 0).any():
        raise _error(table, int(rows[steps < 0].min()), "timestamp", "timestamps of a symbol must rise")
    if table.name == "depth":
        require_cumulative(table, stamps)
    return table_report(table, grid, (rows, steps), 0)


def require_cumulative(table: SourceTable, stamps: np.ndarray) -> None:
    """Raise InputError for a level of a depth table that stands there twice, or has less notional than a nearer one."""
    frame = table.frame
    symbol, _ = pd.factorize(frame["symbol"])
    side, _ = pd.factorize(frame["side"])
    level, notional = frame["level_bps"].to_numpy(), frame["notional"].to_numpy()
    order = np.lexsort((level, side, symbol, stamps))
    keys = np.stack([stamps, symbol, side])[:, order]
    same = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
    twice = same & (np.diff(level[order]) == 0)
    if twice.any():
        raise _error(
            table, int(order[1:][twice].min()), "level_bps", "timestamp, symbol, side and level stand there twice"
        )
    shrinks = same & (np.diff(notional[order]) < 0)
    if shrinks.any():
        problem = "notional must be cumulative: it may not shrink as the level widens"
        raise _error(table, int(order[1:][shrinks].min()), "notional", problem)


def _error(table: SourceTable, row: int, column: str, problem: str) -> InputError:
    value = table.frame[column].iloc[row]
    shown = str(value) if column == "timestamp" else float(value)
    return InputError(problem, file=table.file, row=row, column=column, value=shown)
