"""Margin tuning: maintenance rates proposed from a market, walked forward, against the rules in force and baselines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta

import numpy as np

from ..features.market_data import MarketData
from ..riskcore.arrays import FloatArray, TimeArray
from ..riskcore.errors import InputError
from ..riskcore.rulebook import RuleBook
from .depth_cost import DEPTH_DAYS, liquidation_cost, size_to_liquidate
from .instrument_tuning import PROPOSED, Terms, Tuned, tune_instrument
from .margin_losses import SIDES, PeriodLosses, period_losses
from .margin_measures import pooled
from .margin_walk import Walked, compared
from .proposal import MarginProposal
from .provenance import market_stamp, rules_record
from .tune_settings import TuneSettings

Walks = Sequence[Walked | None]


def span_of_days(data: MarketData, start: date, end: date) -> tuple[np.datetime64, np.datetime64]:
    """`start` and `end` of `tune` for a first and a last day, both inclusive.

    Raises
    ------
    InputError
        An end before the start, or after the last day of the market.
    """
    if end < start:
        raise InputError(f"must not be before the start, {start}", column="end", value=str(end))
    if str(end) > (last := str(data.times[-1])[:10]):
        raise InputError(f"is after the last day of the market, {last}", column="end", value=str(end))
    return np.datetime64(start, "ns"), np.datetime64(end + timedelta(days=1), "ns")


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
    tested = tested_span(tuned, starts, (last - first) / asked.period, asked.period, data.times[0])
    return _gathered(tuned, starts, asked, _provenance(data, rules, asked, left_out) | tested)


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


def tested_span(
    tuned: Mapping[str, Tuned], starts: TimeArray, asked: float, period: np.timedelta64, begin: np.datetime64
) -> dict[str, object]:
    """From when to when the proposal was tested, in how many periods, and why not in all that were asked for.

    Parameters
    ----------
    tuned, starts
        The instruments, and the start of each period that could be tested, shape (m,).
    asked
        How many periods the span holds that was asked for.
    period
        Their length.
    begin
        When the market begins.
    """
    covered = [walked.covered for each in tuned.values() for walked in each.walked["proposal"] if walked is not None]
    tested = np.flatnonzero(np.isfinite(covered).any(axis=0))
    early = int(asked) - len(starts) + int(tested[0])
    gaps = len(starts) - int(tested[0]) - len(tested)
    needed = f"a forecast needs {PROPOSED.minimum} periods before it, and the market begins {str(begin)[:10]}"
    why = [f"the first {_periods(early)} not tested: {needed}"] if early > 0 else []
    why += [f"{_periods(gaps)} not tested: prices are missing"] if gaps else []
    return {
        "tested_from": str(starts[tested[0]])[:19],
        "proposed_for": str(starts[-1] + period)[:19],
        "tested_periods": len(tested),
        "asked_periods": int(asked),
        "not_tested": why,
    }


def _periods(count: int) -> str:
    return "1 period is" if count == 1 else f"{count:,} periods are"


def _provenance(
    data: MarketData, rules: RuleBook, asked: TuneSettings, left_out: Mapping[str, str]
) -> dict[str, object]:
    generic = rules.generic_symbols(data.symbols)
    notes = ["coverage is of the price move over the margin period; the cost of liquidation is added to the rate only"]
    notes += ["no depth table: cost of liquidation left out"] if data.depth is None else []
    notes += ["current rates of generic_symbols are margincast's generic schedule, not the venue's"] if generic else []
    return {
        "settings": asdict(asked),
        "rules": rules_record(rules),
        "stamp": market_stamp(data.report, rules),
        "prices": data.history.source if asked.prices == "mark" else "last price",
        "depth_days": None if data.depth is None else DEPTH_DAYS,
        "generic_symbols": list(generic),
        "left_out": dict(left_out),
        "simulated": data.simulated,
        "notes": notes,
        "market": data.report.as_dict(),
    }
