"""The gate: a challenger becomes champion only if it beats FHS on the newest block; otherwise it is said why not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any

from ..riskcore.rulebook import RuleBook
from .block_scores import (
    CHALLENGER,
    CHAMPION,
    FHS,
    block_figures,
    first_unseen_day,
    forecast_block,
    newest_block,
)
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .registry import iso

Say = Callable[[str], None]


@dataclass(frozen=True)
class GateLimits:
    """What a challenger has to reach on the newest block.

    Parameters
    ----------
    least_days, least_events
        Days of the block, and liquidations within each horizon: fewer decide nothing.
    tolerance
        On every horizon the log-loss skill over FHS has to be above zero, and the low end of its 90% interval above
        minus this: on a block of weeks the interval of a horizon is a few percent wide, and asking it to clear zero
        would refuse most models that are better. All horizons together it has to clear zero.
    most_ece, most_ece_stress
        Calibration error allowed overall and in stress on every horizon. Above it a challenger is refused if it is
        proven worse calibrated than FHS (`calibration_excess`, low end of the 90% interval above zero): a finite
        sample of clustered rows has an error even if every forecast is right, and FHS shares it.
    """

    least_days: int = 20
    least_events: int = 50
    tolerance: float = 0.02
    most_ece: float = 0.02
    most_ece_stress: float = 0.03


@dataclass(frozen=True)
class Verdict:
    """What the gate decided.

    Parameters
    ----------
    promoted
        Whether the challenger passed.
    reasons
        Why: every rule it broke, or what it passed by.
    figures
        Block, models, limits and `block_scores.block_figures`.
    """

    promoted: bool
    reasons: tuple[str, ...]
    figures: Mapping[str, Any]

    def as_dict(self, at: datetime) -> dict[str, Any]:
        """The verdict as plain values, for JSON."""
        return {"at": iso(at), "promoted": self.promoted, "reasons": list(self.reasons), **self.figures}


def judge(
    challenger: LiquidationForecaster,
    champion: LiquidationForecaster | None,
    view: MarketView,
    rules: RuleBook,
    *,
    start: date | None = None,
    most_days: int = 180,
    accounts: int = 20_000,
    seed: int = 1001,
    threads: int = 1,
    limits: GateLimits | None = None,
    say: Say = lambda _: None,
) -> Verdict:
    """Judge a challenger against FHS and the champion on simulated accounts of the newest block.

    Parameters
    ----------
    challenger, champion
        Fitted models with `about_["train_end"]`; no champion: compared with FHS only.
    start
        First day of the block; None: the day after the training of both, or `most_days` before the market's end.
    accounts, seed, threads
        Of the simulated accounts; give another seed than that of the training.
    limits
        Default: `GateLimits()`.
    """
    limits = limits or GateLimits()
    unseen = {CHALLENGER: first_unseen_day(challenger)} | ({CHAMPION: first_unseen_day(champion)} if champion else {})
    end: date = view.history.times[-1].astype("datetime64[D]").astype(object)
    start = start or max(*unseen.values(), end - timedelta(days=most_days - 1))
    about = {
        "block": {"start": start.isoformat(), "end": end.isoformat()},
        "trained_to": {name: (day - timedelta(days=1)).isoformat() for name, day in unseen.items()},
        "limits": asdict(limits),
        "accounts": "simulated by margincast on the prices of the block; no real account",
        "market": "simulated" if view.data.simulated else "real bars",
        "seed": seed,
    }
    if problems := _cannot_be_judged(challenger, champion, unseen, start, end):
        return Verdict(False, problems, about)
    block = newest_block(view.history, start, challenger.horizons[-1])
    say(f"judging on {accounts:,} simulated accounts seen from {block.start} to {block.end}")
    forecasts = forecast_block(challenger, champion, view, rules, block, accounts=accounts, seed=seed, threads=threads)
    figures = block_figures(forecasts, seed=seed)
    broken = broken_rules(figures, limits)
    return Verdict(not broken, broken or _passed_by(figures, limits), about | figures)


def _cannot_be_judged(
    challenger: LiquidationForecaster,
    champion: LiquidationForecaster | None,
    unseen: Mapping[str, date],
    start: date,
    end: date,
) -> tuple[str, ...]:
    """What forbids a comparison: a block that a model has trained on, or other horizons."""
    problems = [
        f"the block from {start} overlaps the training of the {name}, which reaches to {day - timedelta(days=1)}"
        for name, day in unseen.items()
        if start < day
    ]
    problems += [
        f"no day is newer than the training of the {name}, which reaches to {day - timedelta(days=1)}: the market "
        f"ends {end}"
        for name, day in unseen.items()
        if day > end
    ]
    if champion is not None and champion.horizons != challenger.horizons:
        names = " ".join(challenger.about_["horizons"]), " ".join(champion.about_["horizons"])
        problems.append(f"forecasts {names[0]}, the champion {names[1]}: they cannot be compared")
    return tuple(problems)


def broken_rules(figures: Mapping[str, Any], limits: GateLimits) -> tuple[str, ...]:
    """Every rule of the gate that the figures of a block break, in words; empty: passed."""
    broken: list[str] = []
    for name, table in figures["horizons"].items():
        broken += _too_little(name, table, limits)
        broken += _not_better_than_fhs(name, table, limits)
        broken += _worse_than_champion(f"within {name}", table["skill"])
        broken += _miscalibrated(name, table, limits)
    pooled = figures["pooled"][FHS]["log_loss"]
    if not pooled["low"] > 0:
        broken.append(f"does not beat FHS beyond doubt over all horizons: log-loss skill {_interval(pooled)}")
    broken += _worse_than_champion("over all horizons", figures["pooled"])
    if figures["unknown"]:  # they are in no score: a model must not choose what it is judged on
        broken.append(f"{figures['unknown']:,} accounts have a forecast of FHS and none of the challenger")
    wrong = figures["not_monotone"]
    if wrong["horizon"]:
        broken.append(f"{wrong['horizon']:,} probabilities fall with the horizon")
    if wrong["headroom"]:
        broken.append(f"{wrong['headroom']:,} of {wrong['probed']:,} probed probabilities rise with headroom")
    return tuple(broken)


def _too_little(name: str, table: Mapping[str, Any], limits: GateLimits) -> list[str]:
    broken = []
    if table["days"] < limits.least_days:
        broken.append(f"{table['days']} days within {name} decide nothing; {limits.least_days} are needed")
    if table["events"] < limits.least_events:
        broken.append(f"{table['events']} liquidations within {name} decide nothing; {limits.least_events} are needed")
    return broken


def _not_better_than_fhs(name: str, table: Mapping[str, Any], limits: GateLimits) -> list[str]:
    skill = table["skill"][FHS]["log_loss"]
    if not skill["value"] > 0:
        return [f"does not beat FHS within {name}: log-loss skill {_interval(skill)}"]
    if not skill["low"] > -limits.tolerance:
        return [f"may well be worse than FHS within {name}: log-loss skill {_interval(skill)}"]
    return []


def _worse_than_champion(where: str, skills: Mapping[str, Any]) -> list[str]:
    if CHAMPION not in skills or not skills[CHAMPION]["log_loss"]["high"] < 0:
        return []
    return [f"is worse than the champion {where}: log-loss skill {_interval(skills[CHAMPION]['log_loss'])}"]


def _miscalibrated(name: str, table: Mapping[str, Any], limits: GateLimits) -> list[str]:
    broken = []
    parts = (("ece", "overall", limits.most_ece, ""), ("ece_stress", "stress", limits.most_ece_stress, " in stress"))
    for field, part, limit, where in parts:
        found, excess = table["models"][CHALLENGER][field], table["ece_over_fhs"][part]
        # comparisons with NaN, of too few rows, are false
        if found > limit and excess["low"] > 0:
            more = f"{excess['value']:+.4f} [{excess['low']:+.4f} {excess['high']:+.4f}]"
            broken.append(
                f"calibration error{where} within {name} is {found:.4f}, {more} over FHS; {limit:g} is allowed"
            )
    return broken


def _passed_by(figures: Mapping[str, Any], limits: GateLimits) -> tuple[str, ...]:
    skills = {name: table["skill"][FHS]["log_loss"] for name, table in figures["horizons"].items()}
    said = ", ".join(f"{name} {_interval(skill)}" for name, skill in skills.items())
    reasons = [f"beats FHS in log loss: {said}; all horizons {_interval(figures['pooled'][FHS]['log_loss'])}"]
    if CHAMPION in figures["pooled"]:
        skill = figures["pooled"][CHAMPION]["log_loss"]
        reasons.append(f"is not worse than the champion: all horizons {_interval(skill)}")
    return (*reasons, *_calibration_said(figures, limits), "monotone in horizon and headroom")


def _calibration_said(figures: Mapping[str, Any], limits: GateLimits) -> tuple[str, ...]:
    """What was found of the calibration of a model that passed: above a limit only if FHS may be no better."""
    said = []
    for name, table in figures["horizons"].items():
        for field, limit, where in (("ece", limits.most_ece, ""), ("ece_stress", limits.most_ece_stress, " in stress")):
            found = table["models"][CHALLENGER][field]
            if math.isnan(found):
                said.append(f"calibration{where} within {name} not judged: too few rows")
            elif found > limit:
                error = f"calibration error{where} within {name} is {found:.4f}, above {limit:g}"
                said.append(f"{error}, but not proven worse than that of FHS")
    return tuple(said) or ("calibration within the limits",)


def _interval(skill: Mapping[str, float]) -> str:
    return f"{skill['value']:+.1%} [{skill['low']:+.1%} {skill['high']:+.1%}]"
