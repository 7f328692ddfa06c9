"""131 real accounts of 2023 scored hour by hour by a forecaster that has seen none of them, and no price of their time.

    python benchmarks/real_accounts_forecast.py [--shared FOLDER] [--model FOLDER] [--json FILE] [--page FILE]

The forecaster is fitted on Binance's hourly bars before 26 February 2023, on simulated accounts, with the rules of the
real ones; `--model` reads a fitted one from a folder, or keeps it there if there is none. Positions and money are those
known at each hour; hours in which a coin has no price are left out and counted. The hazards of what accounts do are
fitted on other accounts than those they are laid over. The tables are those of docs/real_accounts.md.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from real_accounts import LAST, SHARED, judge_liquidations, load, markdown, rules_of_2023

from margincast.features.accounts.events import AccountEvents
from margincast.features.readers.account_events_2023 import read_accounts_2023
from margincast.features.readers.folder import read_market_folder
from margincast.models.behavioural import behavioural_probability
from margincast.models.competing_risks import CauseHazards, cumulative_incidence
from margincast.models.health_factor import health_factor
from margincast.models.sample import AccountSample, ScaleField
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.arrays import BoolArray, FloatArray, IntArray
from margincast.riskcore.first_passage import Outcome, first_passage
from margincast.riskcore.priced_bars import priced_bars
from margincast.riskcore.rulebook import RuleBook
from margincast.riskcore.rulebook_file import with_generic
from margincast.training.account_behaviour import (
    CAUSES,
    COLUMNS,
    ENDS,
    PENALTY,
    BehaviouralForecaster,
    BehaviourRows,
    account_folds,
    acts_of,
    behaviour_rows,
    fit_hazards,
    held_to_breach,
)
from margincast.training.dataset import sample_of
from margincast.training.fit import fit_forecaster
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.market_view import MarketView, view_market
from margincast.training.plan import Plan, parse_horizons, training_bars
from margincast.training.replay_accounts import (
    Coverage,
    HeldHours,
    book_on,
    coverage_of,
    held_hours,
    hours_to_liquidation,
    is_on_market,
    known_until,
)
from margincast.training.replay_scores import AccountBlocks, AlertScore, Interval, run_at_budget, score_alerts
from margincast.training.score import with_columns
from margincast.training.scores import CLIP, expected_calibration_error, log_losses
from margincast.training.slices import strata_of
from margincast.training.store import load_state, save_state
from margincast.training.train import describe_training

START = np.datetime64("2023-02-26", "ns")
TRAIN_END = dt.date(2023, 2, 25)
WARM_UP = np.datetime64("2022-11-01", "ns")
PERPETUALS = ("ATOM", "BNB", "DOGE", "INJ", "OP", "SOL")
"""Coins of the accounts that Binance's 30 min bars have, from January 2023; AVAX is on its spot market only."""
RULE = "health factor"
FROZEN = ("ewma_reflection", "fhs", "fhs_har", "fhs_learned", "lightgbm", "hybrid")
ACTING = "hybrid, behavioural"
ORDER = (RULE, *FROZEN, ACTING)
BUDGETS = (0.5, 1.0, 2.0)
FOLDS, SEED = 5, 1
RECONCILED = 0.0025
"""Share of notional up to which rebuilt and official equity of a liquidation agree."""


def training_market(data: Path, folder: Path) -> MarketView:
    """Binance's five perpetuals before the accounts' time: nothing later is in the folder that is read."""
    for name in ("perp", "mark", "funding", "spot"):
        table = pd.read_parquet(data / "binance_1h" / f"{name}.parquet")
        table[table["timestamp"] < pd.Timestamp(START, tz="UTC")].to_parquet(folder / f"{name}.parquet")
    return view_market(read_market_folder(folder))


def scoring_market(data: Path, folder: Path) -> MarketView:
    """Hourly bars from November 2022 on of the five, of the perpetuals in 30 min bars, and of AVAX at spot."""

    def cut(name: str) -> pd.DataFrame:
        table = pd.read_parquet(data / f"{name}.parquet")
        stamp = table["timestamp"].dt.tz_localize(None).to_numpy()
        return table[(stamp >= WARM_UP) & (stamp < LAST + np.timedelta64(25, "h"))]

    spot = cut("binance_1h/spot")
    half = cut("binance_30m/perp")
    half = half[half["symbol"].isin(PERPETUALS)]
    hourly = half.assign(timestamp=half["timestamp"].dt.floor("h")).groupby(["symbol", "timestamp"], as_index=False)
    bars = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    avax = spot[spot["symbol"] == "AVAX_USDT"].assign(symbol="AVAX")
    perp = pd.concat((cut("binance_1h/perp"), hourly.agg(bars), avax[["timestamp", "symbol", *bars]]))
    perp.sort_values(["symbol", "timestamp"], ignore_index=True).to_parquet(folder / "perp.parquet")
    spot.to_parquet(folder / "spot.parquet")
    for name in ("mark", "funding"):
        cut(f"binance_1h/{name}").to_parquet(folder / f"{name}.parquet")
    return view_market(read_market_folder(folder))


def forecaster(data: Path, kept: Path | None, accounts: int | None) -> LiquidationForecaster:
    """The stored forecaster, or one fitted on what was known before the accounts' time."""
    if kept is not None and kept.is_dir():
        return LiquidationForecaster.from_state(load_state(kept))
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        view = training_market(data, Path(scratch))
    rules = with_generic(rules_of_2023(view.data.symbols))
    plan = Plan(TRAIN_END, train_accounts=accounts, threads=1)
    horizons = parse_horizons(plan.horizons, view.history.step)
    bars = tuple(one.bars for one in horizons)
    model = fit_forecaster(view, rules, plan, *training_bars(plan, view.history, bars[-1]), bars)
    model.about_ |= describe_training(view, rules, plan, horizons)
    if kept is not None:
        save_state(model.state(), kept)
    return model


@dataclass(frozen=True)
class Replay:
    """The scored account-hours and all that is known of them.

    `every` are all held hours and `rows` those of them that are scored; the other fields are of `rows`. `share` is what
    acting leaves of the frozen probability, from hazards of other accounts. `act` and `held` are of `every` and of
    `rows`: what accounts did within the hour, and whether they still held their book at its frozen breach.
    """

    every: HeldHours
    rows: IntArray
    hours: HeldHours
    sample: AccountSample
    said: Mapping[str, FloatArray]
    share: FloatArray
    outcome: Outcome
    priced_bars: IntArray
    ahead: FloatArray
    act: IntArray
    held: FloatArray
    expected_acts: FloatArray
    columns: FloatArray
    horizons: tuple[int, ...]
    coverage: Coverage
    without_volatility: int
    breached: int

    @property
    def live(self) -> BoolArray:
        """Rows not in breach already: there all forecasts say 1."""
        return self.sample.exposure.headroom >= 0


def replay(model: LiquidationForecaster, view: MarketView, rules: RuleBook, events: AccountEvents) -> Replay:
    """Score every account-hour with a price and a known volatility; the accounts' hazards come from other accounts."""
    history = view.history
    every = held_hours(events, history, history.bar_of(START), history.bar_of(LAST) + 1)
    priced = np.flatnonzero(is_on_market(every, history) & every.cash_known)
    aligned = model.aligned(view.data.symbols)
    book, sample, said, fields = _scored(aligned, view, rules, every.take(priced))
    finite = np.isfinite(np.hstack(list(said.values()))).all(axis=1)
    equity = np.full(len(every), np.nan)
    equity[priced] = sample.exposure.equity
    act = acts_of(every, events, equity)
    behaviour = behaviour_rows(view, book, sample, every.since_fill[priced])
    share, expected = _cross_fitted(aligned, behaviour, sample, fields, every.account[priced], act[priced])
    said[ACTING] = behavioural_probability(said["hybrid"], share)
    outcome = first_passage(book, view.pyramid, rules, every.bar[priced], horizon=model.horizons[-1])
    breach_bar = np.full(len(every), -1)
    breach_bar[priced] = np.where(outcome.within(model.horizons[-1]), outcome.breach_bar, -1)
    kept = np.flatnonzero(finite & np.isfinite(share).all(axis=1))
    rows = priced[kept]
    hours = every.take(rows)
    return Replay(
        every,
        rows,
        hours,
        sample.take(kept),
        {name: values[kept] for name, values in said.items()},
        share[kept],
        _taken(outcome, kept),
        priced_bars(sample.exposure, history, every.bar[priced])[kept],
        hours_to_liquidation(events, hours.account, hours.time),
        act,
        held_to_breach(every, act, breach_bar)[rows],
        expected[kept],
        behaviour.columns()[kept],
        model.horizons,
        coverage_of(every, history, events),
        int((~finite).sum()),
        int((sample.exposure.headroom < 0).sum()),
    )


def _taken(outcome: Outcome, rows: IntArray) -> Outcome:
    return Outcome(
        outcome.start[rows], outcome.breach_bar[rows], outcome.ended[rows], outcome.equity[rows], outcome.horizon
    )


def _scored(
    model: LiquidationForecaster, view: MarketView, rules: RuleBook, hours: HeldHours
) -> tuple[AccountBook, AccountSample, dict[str, FloatArray], dict[str, ScaleField]]:
    book = book_on(hours, view.history)
    sample = with_columns(sample_of(view, book, hours.bar, rules, model.horizons), model.columns_)
    fields = model.scales_.fields(view.data, view.frame, hours.bar)
    said = model.predict(sample, fields)
    said[RULE] = np.repeat(-health_factor(sample.exposure)[:, None], len(model.horizons), axis=1)
    return book, sample, {name: said[name] for name in (RULE, *FROZEN)}, fields


def _cross_fitted(
    model: LiquidationForecaster,
    behaviour: BehaviourRows,
    sample: AccountSample,
    fields: Mapping[str, ScaleField],
    account: IntArray,
    act: IntArray,
) -> tuple[FloatArray, FloatArray]:
    """Shares (n, horizons) and chances of each cause in the hour (n, causes), each from accounts of other folds."""
    share = np.full((len(sample), len(sample.horizons)), np.nan)
    chance = np.full((len(sample), len(CAUSES)), np.nan)
    for fit, judge in account_folds(account, FOLDS, seed=SEED):
        hazards = fit_hazards(behaviour.take(fit), act[fit])
        mine = behaviour.take(judge)
        share[judge] = BehaviouralForecaster(hazards).share(model, mine, sample.take(judge), fields)
        chance[judge] = hazards.predict(mine.columns())
    return share, chance


def known_rows(one: Replay, events: AccountEvents, hours: int) -> BoolArray:
    """Live rows whose outcome over so many hours is known, officially and on the market's prices."""
    return one.live & known_until(events, one.hours.time, hours) & (one.priced_bars >= hours)


def coverage_rows(one: Replay, events: AccountEvents) -> list[tuple[str, object]]:
    """What of the accounts could be scored."""
    told = one.coverage
    lacking = ", ".join(f"{name} {count:,}" for name, count in told.lacking.items())
    seen = np.unique(one.hours.account)
    last, stuck = one.ahead <= 1.0, ~one.live
    return [
        ("account-hours with a position", f"{told.hours:,} of {len(np.unique(one.every.account))} accounts"),
        ("of these with a price for every leg", f"{told.priced:,} ({told.priced / told.hours:.0%})"),
        ("notional of these, of all at entry prices", f"{told.priced_notional / told.notional:.0%}"),
        ("account-hours left out for a leg without a price", lacking),
        ("left out: money known not to be in the ledger by then", f"{told.priced - told.trusted:,}"),
        ("left out: a gap in the bars leaves no volatility", f"{one.without_volatility:,}"),
        ("scored", f"{len(one.rows):,} of {len(seen)} accounts"),
        (
            "of these in breach already as rebuilt, and liquidated within a day",
            f"{stuck.sum()}, {(one.ahead[stuck] <= 24).sum()}",
        ),
        ("official liquidations", told.liquidations),
        ("of these whose account was scored at the last open before", int(last.sum())),
    ]


def ranking_rows(one: Replay, events: AccountEvents) -> list[dict[str, Any]]:
    """How well each forecast ranks officially liquidated accounts, by horizon."""
    found = []
    for k, hours in enumerate(one.horizons):
        rows = known_rows(one, events, hours)
        outcome = (one.ahead[rows] <= hours).astype(np.float64)
        stratum = strata_of(one.sample.column("distance_ewma")[rows])
        blocks = AccountBlocks(one.hours.account[rows], seed=SEED)
        rule = one.said[RULE][rows, k]
        for name in ORDER:
            score = one.said[name][rows, k]
            loss = None if name == RULE else blocks.mean(log_losses(score, outcome))
            found.append(
                {
                    "horizon": hours,
                    "forecast": name,
                    "rows": int(rows.sum()),
                    "events": int(outcome.sum()),
                    "auc": blocks.auc(score, outcome),
                    "auc_within_strata": blocks.auc(score, outcome, stratum),
                    "gain_over_rule": None if name == RULE else blocks.auc_gain(score, rule, outcome),
                    "gain_within_strata": None if name == RULE else blocks.auc_gain(score, rule, outcome, stratum),
                    "log_loss": loss,
                }
            )
    return found


def frozen_rows(one: Replay, events: AccountEvents) -> list[dict[str, Any]]:
    """How frozen probabilities agree with what became of the same books, positions frozen, on the market's prices."""
    found = []
    for k, hours in enumerate(one.horizons):
        rows = known_rows(one, events, hours)
        outcome = one.outcome.within(hours)[rows].astype(np.float64)
        blocks = AccountBlocks(one.hours.account[rows], seed=SEED)
        base = log_losses(one.said["fhs"][rows, k], outcome)
        for name in FROZEN:
            said = one.said[name][rows, k]
            found.append(
                {
                    "horizon": hours,
                    "forecast": name,
                    "frequency": blocks.mean(outcome),
                    "forecast_over_frequency": blocks.ratio(said, outcome),
                    "log_loss": blocks.mean(log_losses(said, outcome)),
                    "log_loss_less_fhs": None if name == "fhs" else blocks.difference(log_losses(said, outcome), base),
                    "ece": expected_calibration_error(said, outcome),
                }
            )
    return found


def alert_rows(one: Replay, events: AccountEvents) -> list[dict[str, Any]]:
    """What hourly alerts are worth at a budget of alerts a day, by horizon."""
    found = []
    hour = one.hours.bar
    for k, hours in enumerate(one.horizons):
        counted = known_until(events, one.hours.time, hours)
        for budget in BUDGETS:
            for name in ORDER:
                run = run_at_budget(one.said[name][:, k], one.hours.account, hour, budget)
                worth = score_alerts(run, one.hours.account, hour, one.ahead, hours, counted, seed=SEED)
                found.append({"horizon": hours, "budget": budget, "forecast": name, "score": worth})
    return found


def behaviour_gap(one: Replay, events: AccountEvents, kept: BoolArray) -> list[dict[str, Any]]:
    """Frozen and behavioural means against what was observed, by horizon and forecast, on the kept rows."""
    found = []
    for k, hours in enumerate(one.horizons):
        rows = known_rows(one, events, hours) & kept
        blocks = AccountBlocks(one.hours.account[rows], seed=SEED)
        breached = one.outcome.within(hours)[rows]
        held = np.where(breached, one.held[rows], 0.0)
        official = (one.ahead[rows] <= hours).astype(np.float64)
        for name in ("fhs_learned", "hybrid"):
            frozen = one.said[name]
            acting = behavioural_probability(frozen, one.share)
            found.append(
                {
                    "horizon": hours,
                    "forecast": name,
                    "rows": int(rows.sum()),
                    "frozen": blocks.mean(frozen[rows, k]),
                    "frozen_observed": blocks.mean(breached.astype(np.float64)),
                    "behavioural": blocks.mean(acting[rows, k]),
                    "held_observed": blocks.mean(held),
                    "official": blocks.mean(official),
                    "share": blocks.ratio(acting[rows, k], frozen[rows, k]),
                    "share_observed": blocks.ratio(held, breached.astype(np.float64)),
                    "saved_held": _saved(blocks, frozen[rows, k], acting[rows, k], held),
                    "saved_official": _saved(blocks, frozen[rows, k], acting[rows, k], official),
                }
            )
    return found


def _saved(blocks: AccountBlocks, said: FloatArray, other: FloatArray, outcome: FloatArray) -> Interval:
    return blocks.difference(log_losses(said, outcome), log_losses(other, outcome))


def act_rows(one: Replay) -> list[dict[str, Any]]:
    """Each cause: how often it came, against what hazards of other accounts say of the same hours."""
    known = np.isfinite(one.expected_acts).all(axis=1)
    own, account = one.act[one.rows][known], one.hours.account[known]
    blocks = AccountBlocks(account, seed=SEED)
    return [
        {
            "cause": name,
            "ends_risk": bool(ENDS[k]),
            "events": int((own == k + 1).sum()),
            "accounts": len(np.unique(account[own == k + 1])),
            "rate": blocks.mean((own == k + 1).astype(np.float64)),
            "forecast_over_observed": blocks.ratio(one.expected_acts[known, k], (own == k + 1).astype(np.float64)),
        }
        for k, name in enumerate(CAUSES)
    ]


def column_rows(one: Replay) -> list[dict[str, Any]]:
    """What each column is worth to the hazards: log loss of the hour's act on accounts of other folds."""
    known = np.isfinite(one.columns).all(axis=1)
    columns, act, account = one.columns[known], one.act[one.rows][known], one.hours.account[known]
    blocks = AccountBlocks(account, seed=SEED)
    constant = np.ones((len(act), 1))
    base = _act_losses(constant, ("one",), act, account)
    chosen = {"all": COLUMNS} | {f"without {name}": tuple(c for c in COLUMNS if c != name) for name in COLUMNS[:5]}
    chosen |= {f"only {name}": (name,) for name in COLUMNS[:5]}
    found = []
    for called, names in chosen.items():
        losses = _act_losses(columns[:, [COLUMNS.index(name) for name in names]], names, act, account)
        saved = blocks.difference(base, losses)
        found.append({"columns": called, "log_loss": float(losses.mean()), "saved": saved})
    return found


def _act_losses(columns: FloatArray, names: Sequence[str], act: IntArray, account: IntArray) -> FloatArray:
    chance = np.empty((len(act), len(CAUSES) + 1))
    for fit, judge in account_folds(account, FOLDS, seed=SEED):
        acts = CauseHazards(CAUSES, PENALTY).fit(columns[fit], act[fit], names).predict(columns[judge])
        chance[judge] = np.column_stack((1.0 - acts.sum(axis=1), acts))
    return -np.log(np.maximum(chance[np.arange(len(act)), act], CLIP))


def incidence_rows(one: Replay, events: AccountEvents) -> list[dict[str, Any]]:
    """Aalen-Johansen: what came first after an account was first seen with positions, by hours since then."""
    every, names = one.every, (*[c for k, c in enumerate(CAUSES) if ENDS[k]], "liquidation")
    time, cause = spells(every, one.act, hours_to_liquidation(events, every.account, every.time))
    found = cumulative_incidence(time, cause, len(names))
    return [
        {"hours": hours, "spells": len(time), **dict(zip(names, found.at(hours).tolist(), strict=True))}
        for hours in (1, 4, 24, 168)
    ]


def spells(every: HeldHours, act: IntArray, ahead: FloatArray) -> tuple[FloatArray, IntArray]:
    """Time and cause of the first that came in each run of held hours: an ending act, a liquidation, or 0: no more."""
    times, causes = [], []
    ending = np.concatenate(([False], ENDS))[act]
    for who in np.unique(every.account):
        rows = np.flatnonzero(every.account == who)
        for run in np.split(rows, np.flatnonzero(np.diff(every.bar[rows]) > 1) + 1):
            struck = run[ending[run] | (ahead[run] <= 1.0)]
            last = struck[0] if len(struck) else run[-1]
            kind = 0 if not len(struck) else (len(ENDS[ENDS]) + 1 if ahead[last] <= 1.0 else int(act[last]))
            times.append(float(every.bar[last] - every.bar[run[0]] + 1))
            causes.append(kind)
    return np.array(times), np.array(causes, np.int64)


def reconciled_rows(one: Replay, shared: Path) -> tuple[BoolArray, int]:
    """Rows of accounts whose rebuilt equity is the official one at every liquidation; how many are left out."""
    judged = judge_liquidations(load(shared))
    apart = {j.account for j in judged if abs(j.gap) > RECONCILED * j.official_notional}
    left_out = np.isin(np.asarray(one.every.accounts)[one.hours.account], sorted(apart))
    return ~left_out, len(apart)


def table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Rows as Markdown, each column by its heading."""
    return markdown(tuple(columns.values()), ([_told(row[name]) for name in columns] for row in rows))


def _told(value: Any) -> str:
    if isinstance(value, Interval):
        digits = 4 if abs(value.value) < 0.1 else 3
        return f"{value.value:.{digits}f} ({value.low:.{digits}f} to {value.high:.{digits}f})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.3f}".rstrip("0").rstrip(".")
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def alert_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Alerts as Markdown: every budget at the longest horizon, one a day at the others."""
    longest = rows[-1]["horizon"]
    flat = [
        {key: row[key] for key in ("horizon", "budget", "forecast")}
        | {key: getattr(row["score"], key) for key in AlertScore.__dataclass_fields__}
        for row in rows
        if row["budget"] == 1.0 or row["horizon"] == longest
    ]
    heads = {
        "horizon": "h",
        "budget": "a day",
        "forecast": "score",
        "alerts": "alerts",
        "precision": "precision",
        "caught": "liquidations caught",
        "median_lead": "median lead, h",
        "p10_lead": "10th percentile",
        "flapping": "crossings an alert",
    }
    return table(flat, heads)


def tables_of(one: Replay, events: AccountEvents, shared: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Every table by its title, as Markdown and as figures."""
    ranking, frozen, alerts = ranking_rows(one, events), frozen_rows(one, events), alert_rows(one, events)
    whole = behaviour_gap(one, events, np.ones(len(one.rows), np.bool_))
    agree, left_out = reconciled_rows(one, shared)
    apart = behaviour_gap(one, events, agree)
    acts, columns, incidence = act_rows(one), column_rows(one), incidence_rows(one, events)
    gap = {
        "horizon": "h",
        "forecast": "forecast",
        "rows": "account-hours",
        "frozen": "frozen: forecast",
        "frozen_observed": "observed",
        "behavioural": "behavioural: forecast",
        "held_observed": "observed",
        "share": "share: forecast",
        "share_observed": "observed",
        "official": "officially liquidated",
        "saved_held": "log loss saved, of observed",
        "saved_official": "of official",
    }
    told = {
        "coverage": markdown(("what", "figure"), coverage_rows(one, events)),
        "ranking": table(
            ranking,
            {
                "horizon": "h",
                "forecast": "score",
                "events": "events",
                "auc": "AUC",
                "auc_within_strata": "AUC within strata",
                "gain_over_rule": "AUC over the rule",
                "gain_within_strata": "within strata",
                "log_loss": "log loss",
            },
        ),
        "alerts": alert_table(alerts),
        "frozen": table(
            frozen,
            {
                "horizon": "h",
                "forecast": "forecast",
                "frequency": "frequency",
                "forecast_over_frequency": "forecast over frequency",
                "log_loss": "log loss",
                "log_loss_less_fhs": "less that of fhs",
                "ece": "ECE",
            },
        ),
        "acts": table(
            acts,
            {
                "cause": "cause",
                "ends_risk": "ends the risk",
                "events": "events",
                "accounts": "accounts",
                "rate": "an hour",
                "forecast_over_observed": "forecast over observed",
            },
        ),
        "columns": table(columns, {"columns": "columns", "log_loss": "log loss", "saved": "saved by them"}),
        "incidence": table(incidence, {name: name for name in incidence[0]}),
        "behaviour": table(whole, gap),
        "behaviour of accounts whose money agrees": table(apart, gap),
    }
    told["coverage"] += f"\n| accounts whose money is apart at a liquidation, left out of the last table | {left_out} |"
    figures = {
        "ranking": ranking,
        "alerts": alerts,
        "frozen": frozen,
        "acts": acts,
        "columns": columns,
        "incidence": incidence,
    }
    return told, figures | {"behaviour": whole, "behaviour_reconciled": apart, "coverage": asdict(one.coverage)}


def write_page(page: Path, told: Mapping[str, str]) -> None:
    """Put each table between its marks, <!-- title --> and <!-- end -->, in a page that has them."""
    text = page.read_text(encoding="utf-8")
    for title, lines in told.items():
        before, rest = text.split(f"<!-- {title} -->\n", maxsplit=1)
        text = f"{before}<!-- {title} -->\n{lines}\n<!-- end -->{rest.split('<!-- end -->', maxsplit=1)[1]}"
    page.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, Interval | AlertScore):
        return asdict(value)
    raise TypeError(type(value).__name__)


def main() -> None:
    """Print the tables; write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with data/real_accounts_2023 and the bars")
    parser.add_argument("--model", type=Path, help="folder of a fitted forecaster, written if it is not there")
    parser.add_argument("--accounts", type=int, help="simulated accounts it is fitted on; default: as `train`")
    parser.add_argument("--json", type=Path, help="write every figure")
    parser.add_argument("--page", type=Path, help="put the tables between their marks in this page")
    asked = parser.parse_args()
    data = asked.shared / "data"
    model = forecaster(data, asked.model, asked.accounts)
    events = read_accounts_2023(data / "real_accounts_2023").events
    with tempfile.TemporaryDirectory(prefix="margincast-") as scratch:
        view = scoring_market(data, Path(scratch))
    one = replay(model, view, rules_of_2023(view.data.symbols), events)
    told, figures = tables_of(one, events, asked.shared)
    for title, text in told.items():
        print(f"### {title}\n\n{text}\n")
    if asked.page:
        write_page(asked.page, told)
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=1, default=_plain), encoding="utf-8")


if __name__ == "__main__":
    main()
