"""What would make an endangered pool safe enough: the smallest deposit, cut and hedge, and the cheapest mix of them."""

from __future__ import annotations

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .advice_costs import AdviceCosts, usual_costs
from .advice_mix import CENTS, Mixes, cheapest_mixes
from .advice_record import Advice, Cheapest, ChosenTrades
from .advice_search import After, Found, least_steps
from .advice_trades import CUT, HEDGE, LEG_CUT, SHARE_STEPS, Trades, Trial, all_trades
from .score import Scorer

SCAN = 12
"""Sizes of a cut or hedge that are tried before the gap below the first that is enough is closed."""


def advise(
    scorer: Scorer,
    book: AccountBook,
    *,
    horizon: str,
    target: float,
    costs: AdviceCosts | None = None,
    cash: float = np.inf,
) -> Advice:
    """Smallest measures, and the cheapest, that bring each pool to at most `target` at a horizon.

    Each answer is checked by riskcore: the changed book, with the costs of its trades paid, is margined anew, must be
    out of breach, and is forecast anew; a hedge must be one the venue would take. One step less (a cent, 0.1% of a
    position or of the gross exposure) is not enough. The forecast never rises with headroom, so the deposit found is
    the smallest of all; cuts and hedges may also do harm, so `SCAN` sizes are tried first, and a smaller one that is
    enough could only hide between two of them. Pools that are safe enough already get zero.

    Parameters
    ----------
    scorer, book
        The forecaster, and the pools to advise.
    horizon, target
        Name of the horizon, and the probability to be brought down to.
    costs
        What measures cost; None: `usual_costs`, which are assumptions but for what the rule-book and depth table hold.
    cash
        Largest deposit in the cheapest mix, base asset.

    Raises
    ------
    InputError
        Cash that is negative or NaN, a target that is not between 0 and 1, and what margining refuses.
    """
    if not 0 < target < 1:
        raise InputError("must be between 0 and 1", column="target", value=target)
    if not cash >= 0:
        raise InputError("must be a number not below 0", column="cash", value=cash)
    k = scorer.horizons.index(horizon)
    costs = usual_costs(scorer.view.data, scorer.rules, scorer.bar) if costs is None else costs
    trial, exposure = Trial(scorer, book, k, costs), scorer.sample(book).exposure
    ceiling = np.floor(2 * exposure.gross * CENTS)
    deposit = least_steps(lambda rows, cents: trial.after_deposit(rows, cents / CENTS), ceiling, target)
    safe = deposit.steps == 0
    trades = all_trades(scorer, book, exposure)
    trades = trades.take(np.flatnonzero(~safe[trades.pool]))
    found = least_steps(_of_trades(trial, trades), trades.most, target, scan=SCAN)
    cut, leg, hedge = (_smallest(trades, found, kind, len(book)) for kind in (CUT, LEG_CUT, HEDGE))
    mixed = np.concatenate([rows[rows >= 0] for rows in (cut, leg, hedge)])
    cents = np.minimum(np.where(np.isnan(deposit.steps), ceiling, deposit.steps), np.floor(cash * CENTS))
    hours = scorer.model.horizons[k] * scorer.view.data.bar_hours
    mixes = cheapest_mixes(trial, trades.take(mixed), found.best[mixed], cents, target, hours)
    enough = np.append(found.steps, np.nan)[cut]  # a row of -1 reads the NaN
    return Advice(
        deposit.steps / CENTS,
        np.where(safe, 0.0, enough / SHARE_STEPS),
        np.where(np.isnan(deposit.steps), np.nan, deposit.probability),
        np.where(safe, deposit.probability, np.where(np.isnan(enough), np.nan, np.append(found.probability, 0.0)[cut])),
        _chosen(trades, leg, found, book),
        _chosen(trades, hedge, found, book),
        _mixed(trades.take(mixed), mixes, book, costs),
    )


def _of_trades(trial: Trial, trades: Trades) -> After:
    return lambda rows, steps: trial.after(trades.take(rows), steps, np.zeros(len(rows)))


def _smallest(trades: Trades, found: Found, kind: str, pools: int) -> IntArray:
    """Row of the trade of a kind that is enough with least notional, else of the lowest forecast; -1 without any."""
    rows = np.flatnonzero(trades.kind == kind)
    short = np.isnan(found.steps[rows])
    size = np.where(short, found.probability[rows], found.steps[rows] * trades.notional[rows])
    order = rows[np.lexsort((rows, size, short, trades.pool[rows]))]
    out = np.full(pools, -1)
    pool, first = np.unique(trades.pool[order], return_index=True)
    out[pool] = order[first]
    return out


def _chosen(trades: Trades, row: IntArray, found: Found, book: AccountBook) -> ChosenTrades:
    """The trades of these rows, one a pool, where they are enough."""
    steps = np.append(found.steps, np.nan)[row]
    return _traded(trades, row, steps, np.append(found.probability, np.nan)[row], book)


def _traded(
    trades: Trades, row: IntArray, steps: FloatArray, probability: FloatArray, book: AccountBook
) -> ChosenTrades:
    """Steps of the trades of these rows, one a pool; none where the row is -1 or the steps are NaN or 0."""
    some = np.flatnonzero((row >= 0) & (steps > 0))
    symbol = np.full(len(row), "", dtype=f"U{max(map(len, book.instruments.symbols))}")
    share, quantity = np.full(len(row), np.nan), np.full(len(row), np.nan)
    of = row[some]
    symbol[some] = np.array(book.instruments.symbols)[trades.instrument[of]]
    share[some] = np.where(trades.kind[of] == HEDGE, np.nan, steps[some] / SHARE_STEPS)
    quantity[some] = trades.step[of] * steps[some]
    return ChosenTrades(symbol, share, quantity, probability)


def _mixed(trades: Trades, mixes: Mixes, book: AccountBook, costs: AdviceCosts) -> Cheapest:
    kind = np.where(mixes.steps > 0, np.append(trades.kind, "")[mixes.trade], "")
    alone = np.where(kind == CUT, -1, mixes.trade)
    cut = np.where(kind == CUT, mixes.steps / SHARE_STEPS, 0.0)
    traded = _traded(trades, alone, mixes.steps, mixes.probability, book)
    return Cheapest(mixes.deposit, cut, traded, kind, mixes.cost, mixes.probability, costs)
