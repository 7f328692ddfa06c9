"""The cheapest way to a target: a deposit, a cut or hedge, or a deposit with one of them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from .advice_search import least_steps
from .advice_trades import Trades, Trial

CENTS = 100
"""Deposits are in whole cents."""
PARTS = 6
REFINEMENTS = 2
"""Intervals between sizes of a cut or hedge that are tried; how often those beside the cheapest are divided anew."""


@dataclass(frozen=True)
class Mixes:
    """A deposit and steps of a trade, one row a pool.

    Parameters
    ----------
    trade
        Row of the trades; -1 where there is none to try.
    steps, deposit
        Steps of the trade (0: a deposit alone) and deposit, base asset; NaN where nothing is enough.
    cost
        Of both, base asset; inf where nothing is enough.
    probability
        The forecast after both.
    """

    trade: IntArray
    steps: FloatArray
    deposit: FloatArray
    cost: FloatArray
    probability: FloatArray


def cheapest_mixes(
    trial: Trial, trades: Trades, most: FloatArray, cents: FloatArray, target: float, hours: float
) -> Mixes:
    """Cheapest of the mixes tried for each pool of the trial's book.

    For `PARTS` + 1 sizes of every trade, from none to `most`, the smallest deposit that makes up the rest is found to
    the cent; then, `REFINEMENTS` times, between the neighbours of the cheapest. Both pure measures are among those
    tried, so that the mix is never dearer than either. It is the cheapest of a grid: between two of its sizes there may
    be one that is cheaper.

    Parameters
    ----------
    trial, trades
        Where measures are tried, and the trades that can be mixed with a deposit.
    most
        Steps of each trade up to which it is tried.
    cents
        Largest deposit of each pool, cents.
    target, hours
        Probability to be reached, and length of the horizon.
    """

    def cheapest_at(rows: IntArray, steps: FloatArray) -> Mixes:
        cases = trades.take(rows)
        return _cheapest(_priced(trial, cases, steps, cents[cases.pool], target, hours), rows, cases.pool, len(cents))

    sizes = np.ceil(np.outer(most, np.arange(PARTS + 1) / PARTS))
    best = cheapest_at(np.repeat(np.arange(len(trades)), PARTS + 1), sizes.ravel())
    chosen = best.trade[np.isfinite(best.cost)]
    gap = most[chosen] / PARTS
    for _ in range(REFINEMENTS):
        steps = best.steps[trades.pool[chosen]]
        low, high = np.maximum(steps - gap, 0), np.minimum(steps + gap, most[chosen])
        finer = np.rint(low[:, None] + (high - low)[:, None] * np.arange(PARTS + 1) / PARTS)
        best = _cheaper(best, cheapest_at(np.repeat(chosen, PARTS + 1), finer.ravel()))
        gap = gap * 2 / PARTS
    return best


def _cheaper(one: Mixes, other: Mixes) -> Mixes:
    better = other.cost < one.cost
    columns = (np.where(better, getattr(other, c.name), getattr(one, c.name)) for c in fields(Mixes))
    return Mixes(*columns)


def _priced(
    trial: Trial, trades: Trades, steps: FloatArray, cents: FloatArray, target: float, hours: float
) -> FloatArray:
    """Steps, deposit, cost and probability of each case, the deposit the smallest that is enough; cost inf if none."""
    found = least_steps(lambda rows, more: trial.after(trades.take(rows), steps[rows], more / CENTS), cents, target)
    deposit = found.steps / CENTS
    cost = trial.costs.of_deposit(deposit, hours) + trial.cost(trades, steps)
    return np.column_stack((steps, deposit, np.where(np.isnan(cost), np.inf, cost), found.probability))


def _cheapest(tried: FloatArray, trade: IntArray, pool: IntArray, pools: int) -> Mixes:
    """The cheapest case of each pool, among equals the first."""
    order = np.lexsort((np.arange(len(pool)), tried[:, 2], pool))
    first = order[np.unique(pool[order], return_index=True)[1]]
    first = first[np.isfinite(tried[first, 2])]
    row = np.full(pools, -1)
    values = np.full((pools, 4), [np.nan, np.nan, np.inf, np.nan])
    row[pool[first]], values[pool[first]] = trade[first], tried[first]
    return Mixes(row, *values.T)
