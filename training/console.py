"""What the verbs print: rich tables that fit a laptop's terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .console_figures import interval, signed
from .demo import DemoResult
from .feature_export import Exported
from .proposal import MarginProposal
from .selfcheck import Finding
from .train import Trained

SHOWN_CUTS = {
    "leverage": "leverage {}",
    "legs": "legs {}",
    "collateral": "{}",
    "mode": "{}",
    "side": "{}",
    "regime": "{}",
}
"""Cuts of an evaluation that are shown, and how a slice of each is named."""
SELDOM = 8
"""How many of the features that are known least often are shown."""


def show_demo(result: DemoResult) -> None:
    """The summary of a demo and where its report is."""
    show_evaluation(result.evaluation.scores)
    show_proposal(result.proposal)
    console = Console()
    console.print()
    for label, text in result.summary:
        console.print(f"[bold]{escape(label)}[/bold]  {escape(text)}", highlight=False)
    console.print(f"[bold]report[/bold]  {escape(str(result.report))} (open it in a browser)", highlight=False)
    folder = result.report.parent
    console.print("now try", highlight=False)
    command = sys.argv[0] if sys.argv[0].endswith("margincast") else "margincast"
    where = f"--accounts {folder / 'accounts.json'} --market {result.market} --store {folder / 'store'}"
    console.print(f"  {escape(command)} score {escape(where)} --generic", highlight=False, soft_wrap=True)


def show_features(result: Exported) -> None:
    """How many features there are, which are seldom known, and what the market does not allow."""
    console = Console()
    features = len(result.declarations)
    console.print(
        f"[bold]{features} features[/bold] of {len(result.symbols)} symbols, {result.rows:,} rows", highlight=False
    )
    console.print(f"known from {result.first} to {result.last} UTC", highlight=False)
    shown = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for name in ("known least often", "share of rows", "unit", "looks back"):
        shown.add_column(name, justify="right" if name == "share of rows" else "left", overflow="fold")
    units = {one["name"]: (one["unit"], f"{one['lookback_hours']:.4g} h") for one in result.declarations}
    never = [name for name, share in result.known.items() if share == 0.0]
    seldom = [one for one in sorted(result.known.items(), key=lambda one: one[1]) if one[1] > 0.0]
    for name, share in seldom[:SELDOM]:
        shown.add_row(escape(name), f"{share:.1%}", *map(escape, units[name]))
    console.print(shown)
    if never:
        console.print(f"[bold]never known[/bold]: {escape(', '.join(never))}", highlight=False)
    for note in result.notes:
        console.print(f"note: {escape(note)}", highlight=False)
    reasons: dict[str, list[str]] = {}
    for name, reason in result.left_out.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in sorted(reasons.items(), key=lambda one: -len(one[1])):
        console.print(f"left out, {escape(reason)}: {escape(', '.join(names))}", highlight=False)
    if result.file is not None:
        console.print(f"[bold]written[/bold]  {escape(str(result.file))}", highlight=False)


def show_trained(trained: Trained) -> None:
    """Where a model is kept."""
    console = Console()
    console.print(f"model    {escape(str(trained.folder))}", highlight=False)
    console.print(f"sha256   {trained.fingerprint}", highlight=False)
    if trained.address:
        console.print(f"registry {trained.address}", highlight=False)
    _print_warnings(console, absent_lines(trained.model.about_["data"]))


def show_evaluation(scores: Mapping[str, Any]) -> None:
    """A table for each horizon: every model, its scores and its skill over FHS."""
    console = Console()
    data = scores["data"]
    for horizon, table in scores["horizons"].items():
        title = f"within {horizon}: {table['n']:,} accounts, {table['events']:,} liquidated ({table['base_rate']:.1%})"
        shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False)
        shown.add_column("model", no_wrap=True)
        for name in ("loss", "AUC", "ECE", "% skill over FHS", "over FHS-HAR"):
            shown.add_column(name, justify="right", no_wrap=True)
        for name, model in table["models"].items():
            shown.add_row(
                f"[bold]{name}[/bold]" if name == "hybrid" else name,
                f"{model['log_loss']:.4f}",
                _fraction(model["auc_within_strata"], 2),
                _fraction(model["ece"], 3),
                _skill(model["skill_vs"].get("fhs")),
                _skill(model["skill_vs"].get("fhs_har")),
            )
        console.print(shown)
    console.print(_slices(scores["horizons"]))
    where = f"{data['market']}, marks from {data['marks']}; tested {data['test'][0]} to {data['test'][1]} UTC"
    console.print("loss: log loss; skill in it, 90% over resampled days; AUC within distance strata", highlight=False)
    console.print(f"measured on: {escape(where)}; accounts simulated", highlight=False)
    if generic := data["rules"]["generic_schedule_used_for"]:
        console.print(
            f"[yellow]generic tiers (not a venue's) for {escape(', '.join(generic))}[/yellow]", highlight=False
        )
    _print_warnings(console, [*absent_lines(data["sources"]), *data["warnings"]])


def _slices(horizons: Mapping[str, Any]) -> Table:
    """Skill of the hybrid over FHS-HAR slice by slice, at the three longest horizons."""
    shown = Table(
        title="hybrid over FHS-HAR, % skill", title_justify="left", box=SIMPLE_HEAD, padding=0, show_edge=False
    )
    shown.add_column("slice", no_wrap=True)
    names = list(horizons)[-3:]
    for name in names:
        shown.add_column(name, justify="right", no_wrap=True)
    for cut, label in SHOWN_CUTS.items():
        for part in horizons[names[0]]["slices"][cut]:
            entries = [horizons[name]["slices"][cut][part]["skill_vs"].get("fhs_har") for name in names]
            shown.add_row(label.format(part), *(_narrow_skill(entry) for entry in entries))
    return shown


def _narrow_skill(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return "-"
    parts = [100 * entry[f"log_loss_{part}"] for part in ("value", "low", "high")]
    wide = any(abs(part) >= 100 for part in parts)
    value, low, high = (signed(part, 0 if wide else 1) for part in parts)
    return f"{value} [{low} {high}]"


def show_scores(result: Mapping[str, Any], top: int) -> None:
    """The most endangered pools with their first reasons and advice."""
    console = Console()
    horizons = result["horizons"]
    shown = Table(
        title=f"as known at {result['at']} UTC: {_pools(len(result['accounts']))}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for name in ("account", "pool", "stage"):
        shown.add_column(name, overflow="fold")
    for name in ("equity", "headroom", *horizons):
        shown.add_column(name, justify="right", no_wrap=True)
    for record in result["accounts"][:top]:
        shown.add_row(
            escape(_name(record)),
            escape(record["pool"]),
            record["stage"],
            f"{record['equity']:,.2f}",
            f"{record['headroom']:,.2f}",
            *(f"{record['probabilities'][h]:.2%}" for h in horizons),
        )
    console.print(shown)
    if (hidden := len(result["accounts"]) - top) > 0:
        console.print(f"and {_pools(hidden)} less endangered, not shown: --top, --json", style="dim", highlight=False)
    _print_outlook(console, result["outlook"], horizons[-1])
    for record in result["accounts"][:top]:
        _print_why(console, record)
    acting = [record["behavioural"][horizons[-1]] for record in result["accounts"] if "behavioural" in record]
    if unknown := sum(chance != chance for chance in acting):
        line = f"{unknown:,} of {len(acting):,} pools are not in the history: how their owners act is not known"
        console.print(line, style="dim", highlight=False)
    _print_warnings(console, [*absent_lines(result["data"]["tables"]), *result["warnings"]])


def absent_lines(report: Mapping[str, Any]) -> list[str]:
    """What a market folder does not have, and what stands in for it, a line each.

    Parameters
    ----------
    report
        `DataReport.as_dict`.
    """
    lines = [f"no {table} table: {meaning}" for table, meaning in report["absent"].items()]
    substituted = "mark" not in report["absent"]
    return lines + [note for note in report["notes"] if substituted and "last price" in note]


def _pools(count: int) -> str:
    return "1 pool" if count == 1 else f"{count:,} pools"


def _print_outlook(console: Console, outlook: Mapping[str, Any], horizon: str) -> None:
    """What may be liquidated together within the longest horizon, and where volatility may spike."""
    total, count = outlook["liquidated_notional"][horizon], outlook["liquidated_pools"][horizon]
    low, high = total["interval_90"]
    lines = [
        f"together within {horizon}: {count['expected']:,.1f} pools, notional {total['expected']:,.0f} expected, "
        f"90% between {low:,.0f} and {high:,.0f}",
    ]
    spikes = {symbol: said[horizon] for symbol, said in outlook["volatility_spike"].items()}
    likely = sorted((-p, symbol) for symbol, p in spikes.items() if p == p)[:3]
    if likely:
        told = ", ".join(f"{symbol} {-p:.0%}" for p, symbol in likely)
        lines.append(f"volatility over twice its 30-day median within {horizon}: {told}")
    for line in lines:
        console.print(line, style="dim", highlight=False, markup=False)


def show_stress(result: Mapping[str, Any]) -> None:
    """What each stress does to accounts and fund, the smallest fatal shocks, and what was assumed."""
    console = Console()
    before = result["before"]
    head = f"as known at {result['at']} UTC: {_pools(before['pools'])}, {before['in_breach']:,} of them in breach"
    money = f"notional {before['notional']:,.0f}, equity {before['equity']:,.0f}, fund {before['fund']:,.0f}"
    console.print(f"[bold]{head}[/bold]; {money} {escape(before['base'])}", highlight=False)
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    shown.add_column("stress", overflow="fold")
    for name in ("closed out", "bankrupt", "ADL", "shared", "unpaid", "fund low", "fund end", "enough"):
        shown.add_column(name, justify="right", no_wrap=True)
    for record in result["stresses"]:
        amounts = ("deleveraged", "socialised", "uncovered", "fund_lowest", "fund_after")
        counts = (f"{record['liquidated']:,}", f"{record['bankrupt']:,}")
        style, enough = (None, "yes") if record["fund_held"] else ("red", "NO")
        shown.add_row(escape(record["name"]), *counts, *(_whole(record[key]) for key in amounts), enough, style=style)
    console.print(shown)
    console.print("fund: cash and the positions it carries, at the mark; amounts in the base asset", style="dim")
    for record in result["reverse"]:
        console.print(f"[bold]{escape(record['name'])}[/bold]: {escape(record['told'])}", highlight=False)
    _print_warnings(console, result["assumed"])


def _whole(amount: float) -> str:
    """An amount to the unit, thousands from a million on; never -0."""
    return f"{amount / 1e3 + 0.0:,.0f}k" if abs(amount) >= 1e6 else f"{round(amount) + 0:,}"


def show_explanation(result: Mapping[str, Any]) -> None:
    """One account: each pool at every horizon, reasons that add up to the log odds, advice.

    What stands behind a reason in brackets is of the longest horizon.
    """
    console = Console()
    for record in result["accounts"]:
        head = f"{_name(record)}, {record['pool']}: {record['stage']}, equity {record['equity']:,.2f}"
        console.print(f"[bold]{escape(head)}[/bold], headroom {record['headroom']:,.2f}", highlight=False)
        shown = Table(box=SIMPLE_HEAD)
        shown.add_column("part of the log odds")
        names = list(record["reasons_by_horizon"])
        for name in names:
            shown.add_column(f"{name}: {record['probabilities'][name]:.2%}", justify="right")
        effects = {n: {r["code"]: r["effect"] for r in record["reasons_by_horizon"][n]} for n in names}
        for reason in record["reasons_by_horizon"][names[-1]]:
            told = f"{reason['text']}{_because(reason)}"
            shown.add_row(escape(told), *(f"{effects[n][reason['code']]:+.2f}" for n in names))
        shown.add_section()
        shown.add_row("log odds, together", *(f"{sum(effects[n].values()):+.2f}" for n in names))
        console.print(shown)
        for line in record["advice"]:
            console.print(f"  {escape(line)}", highlight=False)
    _print_warnings(console, result["warnings"])


def show_proposal(proposal: MarginProposal) -> None:
    """Current against proposed maintenance rates."""
    shown = Table(title="maintenance margin: current against proposed", title_justify="left", box=SIMPLE_HEAD)
    names = ("instrument", "side", "current", "proposed", "coverage", "Kupiec p", "violations")
    for name in names:
        shown.add_column(name, justify="left" if name in names[:2] else "right")
    for row in proposal.rows():
        shown.add_row(
            str(row["symbol"]),
            str(row["side"]),
            _percent(row["current"]),
            _percent(row["proposed"]),
            _percent(row["coverage"]),
            "-" if row["kupiec_p"] is None else f"{row['kupiec_p']:.2f}",
            f"{row['violations']} of {row['n']}",
        )
    console = Console()
    console.print(shown)
    data = cast(Mapping[str, Any], proposal.data)
    settings = data["settings"]
    asked = f"{settings['level']:.0%} of the moves over {settings['mpor_hours']:g} h"
    console.print(f"proposed: covers {asked}; current: first tier of the rule-book", highlight=False)
    first, last = (data[name][:16].replace("T", " ") for name in ("tested_from", "proposed_for"))
    count = f"{data['tested_periods']:,} of {data['asked_periods']:,} periods"
    console.print(f"tested from {first} to {last} UTC: {count}", highlight=False)
    left_out = [f"left out: {symbol}, {why}" for symbol, why in data["left_out"].items()]
    _print_warnings(console, [*data["not_tested"], *left_out])


def show_backtest(result: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Violations and scores by symbol and method."""
    shown = Table(box=SIMPLE_HEAD)
    for name in ("symbol", "method", "n", "violations", "conformal", "Kupiec p", "score"):
        shown.add_column(name, justify="left" if name in ("symbol", "method") else "right")
    for symbol, methods in result.items():
        for method, row in methods.items():
            shown.add_row(
                escape(symbol),
                method,
                str(row["n_test"]),
                str(row["violations"]),
                str(row["violations_conformal"]),
                f"{row['kupiec_p']:.3f}",
                f"{row['quantile_score']:.6f}",
            )
    Console().print(shown)


def show_selfcheck(findings: Iterable[Finding]) -> None:
    """Published figures beside ours."""
    shown = Table(box=SIMPLE_HEAD)
    for name in ("figure", "published", "ours", "deviation", ""):
        shown.add_column(name, justify="left" if name in ("figure", "") else "right")
    for finding in findings:
        verdict = "[green]agrees[/green]" if finding.agrees else "[red]differs[/red]"
        deviation = f"{finding.ours - finding.published:+.2g}"
        shown.add_row(
            f"{finding.what}\n[dim]{finding.source}[/dim]",
            f"{finding.published:g}",
            f"{finding.ours:.10g}",
            deviation,
            verdict,
        )
    Console().print(shown)


def _skill(entry: Mapping[str, float] | None) -> str:
    if entry is None:
        return "-"
    return interval(entry["log_loss_value"], entry["log_loss_low"], entry["log_loss_high"])


def _fraction(value: float, decimals: int) -> str:
    """A number from 0 to 1 without the 0 before its point.

    Examples
    --------
    >>> _fraction(0.25, 2), _fraction(1.0, 2)
    ('.25', '1.00')
    """
    return f"{value:.{decimals}f}".removeprefix("0")


def _percent(value: object) -> str:
    return "-" if value is None else f"{float(str(value)):.2%}"


def _name(record: Mapping[str, Any]) -> str:
    return record["account"] if record["sub_account"] == "main" else f"{record['account']}/{record['sub_account']}"


def _print_why(console: Console, record: Mapping[str, Any]) -> None:
    why = "; ".join(f"{r['text']} {r['effect']:+.2f}{_because(r)}" for r in record["reasons"][:4])
    console.print(f"[bold]{escape(_name(record))}[/bold] ({escape(record['pool'])}): {escape(why)}", highlight=False)
    for line in record["advice"]:
        console.print(f"  {escape(line)}", highlight=False)
    if premium := record.get("premium"):
        horizon, worth = list(premium.items())[-1]
        said = f"is worth {worth:,.2f}" if worth == worth else "has no price: no scenario liquidates it"
        console.print(f"  insuring what it may owe beyond its collateral within {horizon} {said}", highlight=False)
    if behavioural := record.get("behavioural"):
        horizon, chance = list(behavioural.items())[-1]
        if chance == chance:
            console.print(f"  if its owner may act first: {chance:.2%} within {horizon}", highlight=False)


def _because(reason: Mapping[str, Any]) -> str:
    """The features behind a reason, in brackets; "" where there are none."""
    causes = ", ".join(dict.fromkeys(cause["text"] for cause in reason.get("because", ())))
    return f" ({causes})" if causes else ""


def _print_warnings(console: Console, warnings: Iterable[str]) -> None:
    for warning in warnings:
        console.print(f"[yellow]{escape(warning)}[/yellow]", highlight=False)
