"""Margin tuning: maintenance rates proposed from a market, walked forward, against the rules in force and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from ..features.market_data import MarketData
from ..riskcore.arrays import FloatArray, TimeArray
from ..riskcore.errors import InputError
from ..riskcore.rulebook import RuleBook
from .depth_cost import DEPTH_DAYS, liquidation_cost, size_to_liquidate
from .instrument_tuning import Terms, Tuned, tune_instrument
from .margin_losses import SIDES, PeriodLosses, period_losses
from .margin_measures import pooled
from .margin_walk import Walked, compared
from .proposal import MarginProposal
from .provenance import market_stamp, rules_record
from .tune_settings import TuneSettings

Walks = Sequence[Walked | None]


def tune(
    data: MarketData,
    rules: RuleBook,
    start: np.datetime64,
    end: np.datetime64,
    *,
    settings: TuneSettings | None = None,
    progress: Callable[[str], None] | None = None,
) -> MarginProposal:
    """Propose maintenance rates for every instrument of a market and measure them walking forward.

    Each rate is forecast from the losses before it alone; the periods that begin from `start` on are the test, all
    before is history. Periods do not overlap, so Kupiec's test holds as it stands.

    Parameters
    ----------
    data
        The market.
    rules
        The rules whose first-tier rates are the current ones.
    start, end
        First instant tested, and the instant the proposal is for; UTC. Nothing known only after `end` is used.
    settings
        What is asked; None for 99% over 8 hours, steps of at most 10% up and 2% down a day.
    progress
        Called with each symbol when it is done.

    Raises
    ------
    InputError
        An end not after the start, a margin period that is no whole number of bars, an instrument without a tier table,
        or no instrument with enough history.
    """
    asked = TuneSettings() if settings is None else settings
    first, last = start.astype("datetime64[ns]"), end.astype("datetime64[ns]")
    if not first < last:
        raise InputError("the end must be after the start", column="end", value=str(last))
    tuned: dict[str, Tuned] = {}
    left_out: dict[str, str] = {}
    starts: TimeArray = np.empty(0, dtype="datetime64[ns]")
    for column, symbol in enumerate(data.symbols):
        periods = _losses(data, column, last, asked)
        tested = periods.starts >= first
        found = tune_instrument(periods, tested, _terms(data, rules, symbol, periods.end, asked), asked)
        if found is None:
            left_out[symbol] = f"{int(periods.known.sum())} whole periods are too few for a forecast in the tested span"
        else:
            tuned[symbol], starts = found, periods.starts[tested]
        if progress is not None:
            progress(symbol)
    if not tuned:
        raise InputError(f"no instrument can be tuned: {next(iter(left_out.values()))}")
    return _gathered(tuned, starts, asked, _provenance(data, rules, asked, starts, left_out))


def _losses(data: MarketData, column: int, end: np.datetime64, asked: TuneSettings) -> PeriodLosses:
    def prices(name: str) -> FloatArray:
        return (data.mark(name) if asked.prices == "mark" else data.trade[name])[:, column]

    return period_losses(data.times, prices("high"), prices("low"), prices("close"), asked.bars(data.bar_hours), end)


def _terms(data: MarketData, rules: RuleBook, symbol: str, end: np.datetime64, asked: TuneSettings) -> Terms:
    schedule = rules.schedule_of(symbol)
    size = size_to_liquidate(schedule, asked.notional)
    costs = {side: liquidation_cost(data.depth, symbol, side, size, end) for side in SIDES}
    return Terms(float(schedule.rates[0]), bool(rules.generic_symbols((symbol,))), costs)


def _gathered(
    tuned: Mapping[str, Tuned], starts: TimeArray, asked: TuneSettings, provenance: Mapping[str, object]
) -> MarginProposal:
    names = next(iter(tuned.values())).walked
    walks = {name: [walked for each in tuned.values() for walked in each.walked[name]] for name in names}
    own = walks.pop("proposal")
    judged = {name: [w.measures for w in each if w is not None] for name, each in walks.items()}
    return MarginProposal(
        instruments={symbol: each.proposal for symbol, each in tuned.items()},
        pooled=pooled([w.measures for w in own if w is not None], asked.level),
        baselines={name: pooled(measures, asked.level) for name, measures in judged.items() if measures},
        loss_against={name: _against(own, walks[name]) for name, measures in judged.items() if measures},
        coverage_by_year=_coverage_by_year(own, starts),
        data=provenance,
    )


def _against(own: Walks, theirs: Walks) -> dict[str, float]:
    relative, test = compared(own, theirs)
    return {"relative": relative, "p_value": test.p_value}


def _coverage_by_year(own: Walks, starts: TimeArray) -> dict[str, float]:
    years = starts.astype("datetime64[Y]")
    covered = np.array([w.covered for w in own if w is not None])
    return {str(year): float(np.nanmean(covered[:, years == year])) for year in np.unique(years)}


def _provenance(
    data: MarketData, rules: RuleBook, asked: TuneSettings, starts: TimeArray, left_out: Mapping[str, str]
) -> dict[str, object]:
    generic = rules.generic_symbols(data.symbols)
    notes = ["coverage is of the price move over the margin period; the cost of liquidation is added to the rate only"]
    notes += ["no depth table: cost of liquidation left out"] if data.depth is None else []
    notes += ["current rates of generic_symbols are margincast's generic schedule, not the venue's"] if generic else []
    return {
        "settings": asdict(asked),
        "rules": rules_record(rules),
        "stamp": market_stamp(data.report, rules),
        "tested_from": str(starts[0])[:19],
        "proposed_for": str(starts[-1] + np.timedelta64(round(asked.mpor_hours * 3600), "s"))[:19],
        "tested_periods": len(starts),
        "prices": data.history.source if asked.prices == "mark" else "last price",
        "depth_days": None if data.depth is None else DEPTH_DAYS,
        "generic_symbols": list(generic),
        "left_out": dict(left_out),
        "simulated": data.simulated,
        "notes": notes,
        "market": data.report.as_dict(),
    }
