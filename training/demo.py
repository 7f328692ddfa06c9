"""The whole job in one go: market, training, evaluation, scored accounts, a margin proposal, one report."""

from __future__ import annotations

import json
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ..features.readers.folder import read_market_folder
from ..riskcore.records import records_of_book
from ..riskcore.rulebook import RuleBook
from .advice import advise
from .atomic import make_folder, write_atomically
from .evaluate import Evaluation, evaluate_market
from .market_simulator import simulate_market, write_market_folder
from .market_view import MarketView, view_market
from .plan import Horizon, Plan, parse_horizons
from .population import simulate_accounts
from .proposal import MarginProposal
from .provenance import rules_record
from .reasons import explain, shortened
from .report import ReportContent, write_report
from .score import Forecast, Scorer, warnings_of
from .store import save_state
from .tracking import log_run
from .train import describe_training
from .tune import tune

SIMULATED_DAYS = 730
SIMULATED_SYMBOLS = ("BTC", "ETH", "SOL", "XRP", "DOGE", "ADA")
TEST_SHARE = 0.3
LIVE_ACCOUNTS = 2_000
EXAMPLE_ACCOUNTS = 20
SHOWN = 15
TARGET = 0.05


@dataclass(frozen=True)
class DemoResult:
    """What the demo made: the summary lines, the report, and the parts behind it."""

    summary: list[tuple[str, str]]
    report: Path
    model: str
    market: Path
    evaluation: Evaluation
    forecast: Forecast
    proposal: MarginProposal


def run_demo(
    folder: Path,
    market: Path | None,
    rules: RuleBook,
    *,
    accounts: int,
    seed: int,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
) -> DemoResult:
    """Do the whole job and write `folder`/report.html; `market` None simulates one into `folder`/market first."""
    make_folder(folder)
    if market is None:
        say(f"simulating {SIMULATED_DAYS} days of {len(SIMULATED_SYMBOLS)} hourly markets (seed {seed})")
        tables = simulate_market(seed, days=SIMULATED_DAYS, symbols=SIMULATED_SYMBOLS)
        market = write_market_folder(tables, folder / "market", {"seed": seed})
    say(f"reading {market}")
    view = view_market(read_market_folder(market))
    plan = demo_plan(view, accounts=accounts, seed=seed, threads=threads)
    evaluation = evaluate_market(view, rules, plan, say=say)
    say("scoring a book at the end of the market")
    scorer, forecast = score_live_book(view, rules, plan, evaluation)
    say("proposing maintenance margin")
    proposal = tune(view.data, rules, *_test_range(view, plan))
    say("keeping the model")
    address = _keep(folder, rules, plan, evaluation, forecast)
    say("writing the report")
    content = _content(view, rules, plan, evaluation, scorer, forecast, proposal)
    report = folder / "report.html"
    write_report(content, report)
    return DemoResult(list(content.summary), report, address, market, evaluation, forecast, proposal)


def _keep(folder: Path, rules: RuleBook, plan: Plan, evaluation: Evaluation, forecast: Forecast) -> str:
    """Register the model in `folder`/store with its skill, and write some of the scored accounts to try `score` on."""
    some = records_of_book(forecast.book.take(forecast.most_endangered(EXAMPLE_ACCOUNTS)))
    write_atomically(folder / "accounts.json", (json.dumps(some, indent=1) + "\n").encode())
    skills = {
        f"log_loss_skill_vs_{base}.{horizon}": table["models"]["hybrid"]["skill_vs"][base]["log_loss_value"]
        for horizon, table in evaluation.scores["horizons"].items()
        for base in ("fhs", "fhs_har")
    }
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        state = Path(scratch) / "model"
        sha256 = save_state(evaluation.model.state(), state)
        settings = {
            "train_end": str(plan.train_end),
            "accounts": plan.accounts,
            "seed": plan.seed,
            "venue": rules.venue,
        }
        data = evaluation.scores["data"] | {"model_sha256": sha256}  # tested were these very bytes
        documents = {"evaluation": evaluation.scores | {"data": data}}
        return log_run(folder / "store", state, parameters=settings, metrics=skills, documents=documents)


def demo_plan(view: MarketView, *, accounts: int, seed: int, threads: int) -> Plan:
    """Train on the first 70% of the market, test on the rest; horizons of a bar, four bars and a day."""
    history = view.history
    last = history.times[-1].astype("datetime64[D]")
    days = int((last - history.times[0].astype("datetime64[D]")) / np.timedelta64(1, "D"))
    train_end: date = (last - np.timedelta64(int(days * TEST_SHARE), "D")).astype(object)
    step = history.step
    names = [f"{int(bars * step / np.timedelta64(1, 'm'))}m" for bars in (1, 4)]
    short = "1h,4h" if step == np.timedelta64(1, "h") else ",".join(names)
    start, horizons = train_end + timedelta(days=2), f"{short},24h"
    return Plan(train_end, start, None, horizons, accounts, seed, threads, train_accounts=accounts)


def score_live_book(view: MarketView, rules: RuleBook, plan: Plan, evaluation: Evaluation) -> tuple[Scorer, Forecast]:
    """Forecast of a simulated book seen at the last instant of the market."""
    bar = len(view.history)
    horizons = parse_horizons(plan.horizons, view.history.step)
    population = simulate_accounts(
        view.history,
        rules,
        accounts=LIVE_ACCOUNTS,
        first_bar=bar,
        last_bar=bar + 1,
        horizons=tuple(h.bars for h in horizons),
        seed=plan.seed + 2,
    )
    model = evaluation.model
    model.about_ |= describe_training(view, rules, plan, horizons)
    scorer = Scorer(model, view, rules, bar)
    return scorer, scorer.forecast(population.book)


def endangered_rows(scorer: Scorer, forecast: Forecast, *, count: int, target: float) -> list[dict[str, Any]]:
    """The most endangered pools that are not in breach already, with reasons and advice at the longest horizon."""
    alive = forecast.most_endangered(len(forecast.book))
    alive = alive[forecast.margin.headroom[alive] > 0][:count]
    book, horizon = forecast.book.take(alive), forecast.horizons[-1]
    reasons = explain(scorer, book, horizon)
    advice = advise(scorer, book, horizon=horizon, target=target)
    base = scorer.view.history.instruments.base
    return [
        forecast.record(int(pool))
        | {"reasons": shortened(reasons[i]), "advice": advice.lines(i, base, target, horizon)}
        for i, pool in enumerate(alive)
    ]


def headline(evaluation: Evaluation, horizons: tuple[Horizon, ...]) -> list[tuple[str, str]]:
    """Skill of the hybrid over historical simulation by horizon, with its interval."""
    lines = []
    for horizon in horizons:
        table = evaluation.scores["horizons"][horizon.name]
        entry = table["models"]["hybrid"]["skill_vs"]["fhs"]
        value, low, high = (entry[k] for k in ("log_loss_value", "log_loss_low", "log_loss_high"))
        text = f"{value:+.1%} (90%: {low:+.1%} to {high:+.1%})"
        lines.append((f"log-loss skill over FHS within {horizon.name}", text))
    return lines


def _test_range(view: MarketView, plan: Plan) -> tuple[np.datetime64, np.datetime64]:
    return np.datetime64(plan.first_test_day, "ns"), view.history.times[-1] + view.history.step


def _content(
    view: MarketView,
    rules: RuleBook,
    plan: Plan,
    evaluation: Evaluation,
    scorer: Scorer,
    forecast: Forecast,
    proposal: MarginProposal,
) -> ReportContent:
    simulated = view.data.simulated
    horizons = parse_horizons(plan.horizons, view.history.step)
    where = f"simulated market, seed {plan.seed}" if simulated else f"real bars, {view.history.source}"
    endangered = endangered_rows(scorer, forecast, count=SHOWN, target=TARGET)
    summary = [
        ("simulated accounts tested, unseen in training", f"{len(evaluation.data):,}"),
        *headline(evaluation, horizons),
        (
            "most endangered",
            f"{endangered[0]['probabilities'][forecast.horizons[-1]]:.0%} within {forecast.horizons[-1]}",
        )
        if endangered
        else ("most endangered", "none"),
    ]
    data = evaluation.scores["data"]
    first, last = data["test"]
    return ReportContent(
        title="margincast: predictive liquidation",
        subtitle=f"{where[0].upper()}{where[1:]}; all accounts simulated; tested {first[:10]} to {last[:10]} UTC",
        summary=summary,
        evaluation=evaluation.scores,
        reliability=evaluation.reliability,
        alert_economics=evaluation.alert_economics,
        endangered=endangered,
        proposal=proposal.rows(),
        provenance={**data, "rulebook": _rulebook(rules), "versions": versions()},
        warnings=warnings_of(scorer.model, view, rules),
    )


def _rulebook(rules: RuleBook) -> dict[str, Any]:
    return rules_record(rules) | {"sources": dict(rules.sources)}


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    names = ("margincast", "numpy", "scipy", "pandas", "scikit-learn", "lightgbm", "numba")
    return {"python": platform.python_version()} | {name: version(name) for name in names}
