"""What the verbs on registered models print: verdicts, rollbacks, drift, cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .behaviour_files import LearnedBehaviour
from .champions import Promotion
from .console_figures import interval
from .registry import Event

MOST_SHIFTED = 8
"""How many of the most shifted features are shown."""


def show_promotion(promotion: Promotion) -> None:
    """The figures of the block, the verdict and its reasons, and who is champion now."""
    console, figures = Console(), promotion.verdict.figures
    if "horizons" in figures:
        console.print(_figures(figures["horizons"]))
        console.print("skill of log loss, 90% intervals over resampled days", style="dim", highlight=False)
    block = figures["block"]
    where = f"{figures['market']}, {block['start']} to {block['end']}"
    console.print(f"judged on: {escape(where)}; accounts simulated", highlight=False)
    verdict = "[green]promoted[/green]" if promotion.verdict.promoted else "[red]refused[/red]"
    console.print(f"[bold]version {promotion.version}[/bold] {verdict}", highlight=False)
    for reason in promotion.verdict.reasons:
        console.print(f"  {escape(reason)}", highlight=False)
    console.print(f"champion: version {promotion.champion}", highlight=False)


def _figures(horizons: Mapping[str, Any]) -> Table:
    shown = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("within", "model", "log loss", "ECE", "in stress", "% skill of the challenger"):
        shown.add_column(name, justify="left" if name in ("within", "model") else "right", no_wrap=True)
    for horizon, table in horizons.items():
        for name, scores in table["models"].items():
            skill = table["skill"].get(name)
            said = "" if skill is None else _interval(skill["log_loss"])
            figures = (f"{scores['log_loss']:.4f}", f"{scores['ece']:.3f}", f"{scores['ece_stress']:.3f}", said)
            shown.add_row(horizon, name, *figures)
    return shown


def _interval(skill: Mapping[str, float | None]) -> str:
    return interval(skill["value"], skill["low"], skill["high"])


def show_rollback(event: Event, history: Iterable[Event]) -> None:
    """Who is champion again, and what happened to the registry so far."""
    console = Console()
    console.print(f"champion: version {event.version}, in place of version {event.before}", highlight=False)
    for entry in history:
        line = f"{entry.at or '(no time)'}  {entry.kind} version {entry.version}: {entry.reason}"
        console.print(escape(line), style="dim", highlight=False)


def show_drift(report: Mapping[str, Any]) -> None:
    """The most shifted features, what became of the forecasts, and the decision."""
    console = Console()
    console.print(f"{report['rows']:,} simulated accounts, {report['since']} to {report['until']} UTC", highlight=False)
    shown = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("most shifted features", "PSI", "KS", "KS p", "missing"):
        shown.add_column(name, justify="left" if name == "most shifted features" else "right", overflow="fold")
    for drift in report["features"][:MOST_SHIFTED]:
        figures = (_plain(drift["psi"], 2), _plain(drift["ks"], 2), _plain(drift["ks_p"], 3))
        shown.add_row(escape(drift["name"]), *figures, f"{drift['missing']:.0%}")
    console.print(shown)
    for name, test in report["counts"].items():
        counts = f"{test['found']:,} liquidated within {name}, {test['expected']:,.0f} forecast"
        console.print(f"{counts} (p = {test['test']['p_value']:.2g}, days clustered)", highlight=False)
    if (martingale := report["martingale"]) is not None:
        console.print(f"loss martingale: {martingale['highest']:,.1f} at its highest", highlight=False)
    if (skill := report["skill"]) is not None:
        console.print(f"% skill over FHS, all horizons: {_interval(skill)}", highlight=False)
    for line in report["warnings"]:
        console.print(f"[yellow]{escape(line)}[/yellow]", highlight=False)
    for line in report["alarms"]:
        console.print(f"[red]{escape(line)}[/red]", highlight=False)
    decision = "[red]falls back to FHS[/red]" if report["fall_back"] else "[green]the hybrid stays[/green]"
    before = "" if report["decided"] else "[yellow]none[/yellow], as before: "
    console.print(f"[bold]decision[/bold] {before}{decision}", highlight=False)
    if not report["recorded"]:
        console.print("a model folder keeps no record: score with --fall-back REASON", style="dim", highlight=False)


def _plain(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def show_cards(files: Iterable[Path]) -> None:
    """Which files were written."""
    console = Console()
    for file in files:
        console.print(f"wrote {escape(str(file))}", highlight=False, soft_wrap=True)


def show_behaviour(learned: LearnedBehaviour) -> None:
    """What hazards were learned from, and where they are."""
    console = Console()
    last = learned.last - np.timedelta64(1, "ns")  # the period ends before `last`
    period = f"{np.datetime_as_string(learned.first, 'D')} to {np.datetime_as_string(last, 'D')}"
    console.print(f"learned from {learned.accounts:,} accounts, {period}", highlight=False)
    console.print(f"wrote {escape(str(learned.folder))}", highlight=False, soft_wrap=True)
