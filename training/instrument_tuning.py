"""The margin proposal of one instrument, from its losses and the terms in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..models.margin_quantiles import FilteredHistorical
from ..riskcore.arrays import BoolArray, FloatArray
from .margin_baselines import baseline_walks
from .margin_losses import SIDES, PeriodLosses
from .margin_measures import MarginMeasures, measure
from .margin_walk import SideWalk, Walked
from .proposal import InstrumentProposal, SideProposal
from .regime_rates import REGIMES, regime_flags, regime_rates
from .tune_settings import TuneSettings

PROPOSED = FilteredHistorical(decay=0.9, tail_share=0.1, realised=True, dial=0.5)
"""The proposal's estimator: FHS on realised variance, half way between a fast and a slow scale, with a fitted tail.

Decay, dial and tail share were chosen on 8 h losses of five coins, binance_1h 2022-01 to 2025-08."""


@dataclass(frozen=True)
class Terms:
    """What holds for an instrument today.

    Parameters
    ----------
    current
        First-tier maintenance rate.
    generic
        Whether that is a generic schedule's.
    costs
        Cost of liquidation of each side, fraction of notional; None where it is not known.
    """

    current: float
    generic: bool
    costs: Mapping[str, float | None]


@dataclass(frozen=True)
class Tuned:
    """One instrument: its proposal, and every method walked on each side, in the order of SIDES."""

    proposal: InstrumentProposal
    walked: Mapping[str, Sequence[Walked | None]]


def tune_instrument(periods: PeriodLosses, tested: BoolArray, terms: Terms, asked: TuneSettings) -> Tuned | None:
    """Propose a rate and walk it and the baselines forward; None where no tested period can be forecast.

    Parameters
    ----------
    periods
        Losses of the instrument up to the instant the proposal is for.
    tested
        Periods that count, shape (m,).
    terms, asked
        What holds today, and what is asked.
    """
    walks = [SideWalk(periods, side, tested, asked.level, asked.periods_per_day) for side in SIDES]
    targets = [PROPOSED.predict(walk.series, asked.level) for walk in walks]
    own = [walk.judged(_limited(target, asked)) for walk, target in zip(walks, targets, strict=True)]
    judged = [walked for walked in own if walked is not None]
    if len(judged) < len(SIDES):
        return None
    sides = {
        side: SideProposal(_at_end(_limited(target, asked), terms.costs[side]), terms.costs[side], walked.measures)
        for side, target, walked in zip(SIDES, targets, judged, strict=True)
    }
    baselines = [baseline_walks(walk, terms.current) for walk in walks]
    walked_by_name = {name: [side[name] for side in baselines] for name in baselines[0]}
    proposal = _proposal(periods, tested, np.maximum.reduce(targets), sides, terms, asked)
    return Tuned(proposal, {"proposal": own, **walked_by_name})


def _proposal(
    periods: PeriodLosses,
    tested: BoolArray,
    target: FloatArray,
    sides: Mapping[str, SideProposal],
    terms: Terms,
    asked: TuneSettings,
) -> InstrumentProposal:
    path = _limited(target, asked)
    cost = max((c for c in terms.costs.values() if c is not None), default=None)
    proposed, limit = _at_end(path, cost), asked.limit
    return InstrumentProposal(
        current=terms.current,
        generic=terms.generic,
        proposed=proposed,
        target=_at_end(target, cost),
        next_day=proposed if limit is None else limit.next_day(terms.current, proposed),
        days_to_reach=1 if limit is None else limit.days(terms.current, proposed),
        measures=_both_sides(periods, tested, path, asked),
        sides=sides,
        regime=REGIMES[int(regime_flags(periods)[-1])],
        regimes=regime_rates(periods, tested, asked.level),
    )


def _both_sides(periods: PeriodLosses, tested: BoolArray, path: FloatArray, asked: TuneSettings) -> MarginMeasures:
    losses = np.column_stack([periods.losses(side)[tested] for side in SIDES])
    return measure(periods.spread(path)[:-1][tested], losses, asked.level, asked.periods_per_day)


def _limited(target: FloatArray, asked: TuneSettings) -> FloatArray:
    limit = asked.limit
    return target if limit is None else limit.limited(target)


def _at_end(path: FloatArray, cost: float | None) -> float:
    return float(path[-1]) + (cost or 0.0)
