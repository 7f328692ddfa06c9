"""Figures published elsewhere, recomputed on this machine."""

from __future__ import annotations

from pathlib import Path

from ..riskcore.errors import MargincastError
from .margin_backtest import var_table_check
from .selfcheck_backtests import backtest_findings
from .selfcheck_finding import Finding
from .selfcheck_options import option_findings
from .selfcheck_risk import risk_findings
from .selfcheck_venues import venue_findings
from .selfcheck_volatility import volatility_findings

__all__ = ["Finding", "run_selfcheck", "var_tables_in"]

VAR_TABLES = ("returns.parquet", "published.csv")


def run_selfcheck(shared: Path | None = None) -> list[Finding]:
    """Recompute examples of venues and published tables; what is simulated has a fixed seed.

    Parameters
    ----------
    shared
        Folder with real data, the one that holds it as data, or its var_tables, which adds published back-tests;
        daily_regimes beside it adds a published regression. None: what needs no data.

    Raises
    ------
    MargincastError
        A folder without these back-tests.
    """
    tables = None if shared is None else var_tables_in(shared)
    findings = [*venue_findings(), *option_findings(), *backtest_findings(), *risk_findings()]
    findings += volatility_findings(None if tables is None else tables.parent)
    return findings + ([] if tables is None else _var_tables(tables))


def var_tables_in(shared: Path) -> Path:
    """The folder of published back-tests at or below a folder; MargincastError where there is none."""
    for folder in (shared, shared / "var_tables", shared / "data" / "var_tables"):
        if all((folder / name).is_file() for name in VAR_TABLES):
            return folder
    held = " and ".join(VAR_TABLES)
    raise MargincastError(f"{shared}: holds no published back-tests; name the folder of var_tables ({held})")


def _var_tables(folder: Path) -> list[Finding]:
    source = "QuantLet/Conformal_Oracle, published one-day 1% VaR results"
    rows = var_table_check(folder)
    return [
        Finding(f"rows of {method} that agree: counts, shift, p-value, score", source, len(mine), sum(mine), 0.0)
        for method in sorted({row.method for row in rows})
        if (mine := [row.agrees for row in rows if row.method == method])
    ]
