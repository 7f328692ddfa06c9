"""Figures published elsewhere, recomputed on this machine."""

from __future__ import annotations

from pathlib import Path

from .margin_backtest import var_table_check
from .selfcheck_backtests import backtest_findings
from .selfcheck_finding import Finding
from .selfcheck_options import option_findings
from .selfcheck_risk import risk_findings
from .selfcheck_venues import venue_findings
from .selfcheck_volatility import volatility_findings

__all__ = ["Finding", "run_selfcheck"]


def run_selfcheck(shared: Path | None = None) -> list[Finding]:
    """Recompute examples of venues and published tables; what is simulated has a fixed seed.

    Parameters
    ----------
    shared
        Folder with real data: var_tables (or that folder itself) adds published back-tests, daily_regimes a published
        regression. None: what needs no data.
    """
    findings = [*venue_findings(), *option_findings(), *backtest_findings(), *risk_findings()]
    return findings + volatility_findings(shared) + (_var_tables(shared) if shared else [])


def _var_tables(shared: Path) -> list[Finding]:
    folder = shared / "var_tables" if (shared / "var_tables").is_dir() else shared
    source = "QuantLet/Conformal_Oracle, published one-day 1% VaR results"
    rows = var_table_check(folder)
    return [
        Finding(f"rows of {method} that agree: counts, shift, p-value, score", source, len(mine), sum(mine), 0.0)
        for method in sorted({row.method for row in rows})
        if (mine := [row.agrees for row in rows if row.method == method])
    ]
