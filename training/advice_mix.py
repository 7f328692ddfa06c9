"""The cheapest way to a target: a deposit, a cut or hedge, or a deposit with one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from .advice_search import least_steps
from .advice_trades import Trades, Trial

CENTS = 100
"""Deposits are in whole cents."""
PARTS = 6
"""Intervals between sizes of a cut or hedge that are tried; the best two are divided once more."""


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
    the cent; then again between the neighbours of the cheapest. Both pure measures are among those tried, so that the
    mix is never dearer than either. It is the cheapest of a grid: between two of its sizes there may be a cheaper one.

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
    sizes = np.ceil(np.outer(most, np.arange(PARTS + 1) / PARTS))
    rows = np.repeat(np.arange(len(trades)), PARTS + 1)
    tried = _priced(trial, trades.take(rows), sizes.ravel(), cents[trades.pool[rows]], target, hours)
    coarse = _cheapest(tried, rows, trades.pool[rows], len(trial.book))
    some = np.flatnonzero(np.isfinite(coarse.cost))
    chosen, gap = coarse.trade[some], np.ceil(most[coarse.trade[some]] / PARTS)
    low, high = np.maximum(coarse.steps[some] - gap, 0), np.minimum(coarse.steps[some] + gap, most[chosen])
    finer = np.rint(low[:, None] + (high - low)[:, None] * np.arange(PARTS + 1) / PARTS)
    rows = np.repeat(chosen, PARTS + 1)
    tried = _priced(trial, trades.take(rows), finer.ravel(), cents[trades.pool[rows]], target, hours)
    fine = _cheapest(tried, rows, trades.pool[rows], len(trial.book))
    better = fine.cost < coarse.cost
    return Mixes(
        np.where(better, fine.trade, coarse.trade),
        np.where(better, fine.steps, coarse.steps),
        np.where(better, fine.deposit, coarse.deposit),
        np.where(better, fine.cost, coarse.cost),
        np.where(better, fine.probability, coarse.probability),
    )


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
