"""The market's regimes over time and what each was like, for a report or for margin rates by regime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ...riskcore.arrays import FloatArray, IntArray, TimeArray
from ...riskcore.errors import InputError
from ..correlation.blocks import Block
from ..engine.bars import BarTable
from .observation import period_ends
from .regime_step import NAMES, RegimeStep, last_observation

HOURS_A_YEAR = 8766.0
UNKNOWN = -1
"""Label of a period before the first fit."""


@dataclass(frozen=True)
class RegimeSummary:
    """What each regime was like, over the periods that have one.

    Parameters
    ----------
    names
        The regimes, in rising order of volatility.
    share
        Part of the time, shape (k,).
    volatility
        Mean volatility of the median coin, per hour, shape (k,); NaN for a regime that never was.
    transition
        transition[i, j]: how often regime i was followed by j one period later, rows adding up to one, shape (k, k);
        NaN in the row of a regime that never was.
    spells, mean_hours
        Unbroken stretches of each regime, and their mean length, shape (k,); NaN where there was none.
    period_hours
        Length of a period.
    """

    names: tuple[str, ...]
    share: FloatArray
    volatility: FloatArray
    transition: FloatArray
    spells: IntArray
    mean_hours: FloatArray
    period_hours: float

    def lines(self) -> list[str]:
        """The summary for a console, one line a regime."""
        out = [f"{'regime':>10} {'time':>7} {'volatility':>11} {'spells':>7} {'mean h':>7}   next period"]
        for k, name in enumerate(self.names):
            yearly = self.volatility[k] * np.sqrt(HOURS_A_YEAR)
            moves = " ".join(f"{share:6.1%}" for share in self.transition[k])
            told = f"{self.share[k]:7.1%} {yearly:10.0%}  {self.spells[k]:7d} {self.mean_hours[k]:7.0f}"
            out.append(f"{name:>10} {told}   {moves}")
        return out


@dataclass(frozen=True)
class RegimeSeries:
    """Regimes period by period, each as known at the period's end.

    Parameters
    ----------
    times
        Ends of the periods, datetime64[ns], UTC, shape (m,).
    names
        The regimes, in rising order of volatility.
    probability
        Filtered probabilities, shape (m, k); NaN before the first fit.
    label
        Place of the likeliest regime in `names`, shape (m,); -1 before the first fit.
    log_volatility
        Log of the median coin's Parkinson volatility per hour over the period, shape (m,).
    period_hours
        Length of a period.
    """

    times: TimeArray
    names: tuple[str, ...]
    probability: FloatArray
    label: IntArray
    log_volatility: FloatArray
    period_hours: float

    def summary(self) -> RegimeSummary:
        """Share of time, volatility, transitions and lengths of the regimes.

        Raises
        ------
        InputError
            A series without any regime.

        Examples
        --------
        >>> label = np.array([-1, 0, 0, 1, 0])
        >>> times = np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(6, "h")
        >>> series = RegimeSeries(times, ("calm", "stressed"), np.ones((5, 2)), label, np.log(label + 2.0), 6.0)
        >>> found = series.summary()
        >>> found.share.tolist(), found.volatility.round(6).tolist(), found.mean_hours.tolist()
        ([0.75, 0.25], [2.0, 3.0], [9.0, 6.0])
        >>> found.transition.tolist()
        [[0.5, 0.5], [1.0, 0.0]]
        """
        known = self.label != UNKNOWN
        label, k = self.label[known], len(self.names)
        if not len(label):
            raise InputError("no period has a regime: the bars are too few for a first fit", column="label")
        counts = np.bincount(label, minlength=k)
        moves = np.bincount(label[:-1] * k + label[1:], minlength=k * k).reshape(k, k).astype(np.float64)
        left, volatility = moves.sum(axis=1, keepdims=True), np.exp(self.log_volatility[known])
        seen = ~np.isnan(volatility)
        totals = np.bincount(label[seen], weights=volatility[seen], minlength=k)
        spells = np.bincount(label[np.append(True, label[1:] != label[:-1])], minlength=k).astype(np.int64)
        return RegimeSummary(
            self.names,
            counts / len(label),
            _over(totals, np.bincount(label[seen], minlength=k)),
            _over(moves, left),
            spells,
            _over(counts * self.period_hours, spells),
            self.period_hours,
        )


def market_regimes(table: BarTable, step: RegimeStep | None = None) -> RegimeSeries:
    """Regimes of a market at the end of every period, each from the bars before it only.

    Parameters
    ----------
    table
        Bars with the step's columns.
    step
        How regimes are told; None: `RegimeStep.usual`, without depth.
    """
    step = RegimeStep.usual(table.bar_hours) if step is None else step
    closed = (table.times + table.step).view(np.int64)
    ends = period_ends(closed, step.bar_hours, step.period_hours)
    state, first = step.start(table.symbols), 0
    probability, volatility = np.full((len(ends), step.states), np.nan), np.full(len(ends), np.nan)
    for place, end in enumerate(ends.tolist()):
        rows = slice(first, end + 1)
        step.advance(state, Block(closed[rows], {name: table.columns[name][rows] for name in step.inputs}))
        probability[place], volatility[place] = state["filtered"], last_observation(state)[0]
        first = end + 1
    known = ~np.isnan(probability[:, 0])
    label = np.where(known, np.argmax(np.nan_to_num(probability), axis=1), UNKNOWN).astype(np.int64)
    times = table.times[ends] + table.step
    return RegimeSeries(times, NAMES[step.states], probability, label, volatility, step.period_hours)


def _over(values: ArrayLike, base: ArrayLike) -> FloatArray:
    values, base = np.asarray(values, np.float64), np.asarray(base, np.float64)
    return values / np.where(base > 0.0, base, np.nan)
