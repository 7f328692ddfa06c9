"""What the verbs on the validation protocol print: goals against figures, tests one by one, the skill ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .console_figures import interval
from .skill_ledger import ALL, slice_of

PERCENT = (100.0, "+.1f")
PLAIN = (1.0, ".4f")


def show_validation(result: Mapping[str, Any]) -> None:
    """Skill of every test, then every goal with what was measured and how far off it is."""
    console = Console()
    for title, tests in (
        ("walk-forward", {f"{b}, seed {s}": one for b, by in result["walk_forward"].items() for s, one in by.items()}),
        ("all blocks", {f"seed {seed}": one for seed, one in result["pooled"].items()}),
        ("crashes left out", result["crashes"]),
        ("accounts of an unseen kind", result["account_kinds"]),
    ):
        if tests:
            console.print(_tests(title, tests))
        for name, one in tests.items():
            for warning in one.get("data", {}).get("warnings", ()):
                console.print(f"[yellow]{escape(f'{name}: {warning}')}[/yellow]", highlight=False)
    console.print("% skill of log loss, 90% intervals over resampled days", highlight=False)
    console.print(_goals(result["goals"]))
    met = sum(goal["met"] for goal in result["goals"])
    console.print(f"{met} of {len(result['goals'])} goals met; skills in %; accounts simulated", highlight=False)


def _tests(title: str, tests: Mapping[str, Any]) -> Table:
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("test", "within", "events", "hybrid over FHS", "over FHS-HAR"):
        shown.add_column(name, justify="left" if name in ("test", "within") else "right", overflow="fold")
    for name, one in tests.items():
        for k, (horizon, table) in enumerate(one["horizons"].items()):
            entries = (table["models"]["hybrid"]["skill_vs"][base] for base in ("fhs", "fhs_har"))
            skills = (
                interval(entry["log_loss_value"], entry["log_loss_low"], entry["log_loss_high"]) for entry in entries
            )
            shown.add_row(escape(name) if k == 0 else "", horizon, f"{table['events']:,}", *skills)
    return shown


def _goals(goals: list[Mapping[str, Any]]) -> Table:
    shown = Table(title="goals", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("goal", "within", "asked", "measured", "off by", ""):
        shown.add_column(name, justify="left" if name in ("goal", "within", "") else "right", overflow="fold")
    for goal in goals:
        scale, form = _unit(goal["what"])
        asked = f"{'<=' if goal['at_most'] else '>='} {scale * goal['goal']:{form}}"
        verdict = "[green]met[/green]" if goal["met"] else "[red]missed[/red]"
        figures = (f"{scale * goal[name]:{form}}" for name in ("measured", "distance"))
        shown.add_row(escape(goal["what"]), goal["horizon"], asked, *figures, verdict)
    return shown


def _unit(what: str) -> tuple[float, str]:
    if "skill" in what:
        return PERCENT
    return (1.0, ",.0f") if what.startswith("rows") else PLAIN


def show_ledger(table: pd.DataFrame, slice_name: str = ALL) -> None:
    """One slice of the skill ledger: every evaluation, newest last."""
    console = Console()
    shown = Table(title=f"slice: {slice_name}", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("what", "model", "seed", "within", "over FHS", "over FHS-HAR"):
        shown.add_column(name, justify="right" if name.startswith(("seed", "over")) else "left", overflow="fold")
    rows = slice_of(table, slice_name)
    for row in rows.to_dict("records"):
        skills = (_of_row(row, base) for base in ("fhs", "fhs_har"))
        shown.add_row(escape(row["what"]), row["model_sha256"][:8], str(row["seed"]), row["horizon"], *skills)
    console.print(shown)
    console.print(f"{len(rows):,} rows; % skill of log loss, 90% intervals over resampled days", highlight=False)
    if not len(table):
        console.print("no ledger here yet: `evaluate --store` and `validate` write it", style="dim", highlight=False)


def _of_row(row: Mapping[Any, Any], base: str) -> str:
    value, low, high = (row[f"log_loss_{base}{end}"] for end in ("", "_low", "_high"))
    return "-" if pd.isna(value) else interval(value, low, high)
