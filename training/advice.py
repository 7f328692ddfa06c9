"""What would make an endangered pool safe enough: the smallest deposit, and the smallest cut of its positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray, FloatArray
from ..riskcore.margin import Stage, evaluate
from ..riskcore.what_if import with_deposit, with_reduction
from .score import Scorer

STEPS = 24
MOST_CUT = 0.99
CENT = 0.01
CUT_STEP = 0.001


@dataclass(frozen=True)
class Advice:
    """Smallest measures that bring each pool's probability at a horizon to a target, verified; one row a pool.

    Parameters
    ----------
    deposit
        Of the base asset, rounded up to the cent; NaN where none up to twice the gross exposure does.
    cut
        Share of every position to close at the mark, rounded up to 0.1%; NaN where even 99% is not enough.
    deposit_probability, cut_probability
        The forecast after each measure.
    """

    deposit: FloatArray
    cut: FloatArray
    deposit_probability: FloatArray
    cut_probability: FloatArray

    def record(self, pool: int) -> dict[str, float | None]:
        """The measures for one pool as plain values; None where none is enough."""
        values = {"deposit": self.deposit[pool], "position_cut": self.cut[pool]}
        return {name: None if np.isnan(value) else float(value) for name, value in values.items()}

    def lines(self, pool: int, base: str, target: float, horizon: str) -> list[str]:
        """The advice for one pool in words."""
        goal = f"for at most {target:.2%} within {horizon}"
        deposit, cut = self.deposit[pool], self.cut[pool]
        if deposit == 0 and cut == 0:
            return [f"nothing needed {goal}"]
        return [
            f"no deposit up to twice the gross exposure is enough {goal}"
            if np.isnan(deposit)
            else f"deposit {deposit:,.2f} {base} {goal} (forecast then {self.deposit_probability[pool]:.2%})",
            f"closing 99% of every position is not enough {goal}"
            if np.isnan(cut)
            else f"close {cut:.1%} of every position {goal} (forecast then {self.cut_probability[pool]:.2%})",
        ]


def advise(scorer: Scorer, book: AccountBook, *, horizon: str, target: float) -> Advice:
    """Smallest deposit and smallest cut that bring each pool to at most `target` at a horizon.

    Each answer is checked by riskcore: the changed book is margined anew, must be out of breach, and is forecast anew.
    The search halves an interval `STEPS` times; the forecast never rises with headroom, so a smaller deposit than the
    one found, less the last interval, is not enough. Pools that are safe enough already get zero.
    """
    k = scorer.horizons.index(horizon)
    gross = scorer.sample(book).exposure.gross

    def after_deposit(amount: FloatArray) -> FloatArray:
        return _probability(scorer, with_deposit(book, amount), k)

    def after_cut(share: FloatArray) -> FloatArray:
        return _probability(scorer, with_reduction(book, share, scorer.market), k)

    deposit, deposit_probability = _smallest(after_deposit, 2 * gross, target, CENT)
    cut, cut_probability = _smallest(after_cut, np.full(len(book), MOST_CUT), target, CUT_STEP)
    return Advice(deposit, cut, deposit_probability, cut_probability)


def _probability(scorer: Scorer, book: AccountBook, k: int) -> FloatArray:
    breached: BoolArray = evaluate(book, scorer.market, scorer.rules).stage >= Stage.LIQUIDATION
    probability = scorer.predict(book)["forecast"][:, k]
    return np.where(breached, 1.0, probability)


def _smallest(
    after: Callable[[FloatArray], FloatArray], most: FloatArray, target: float, step: float
) -> tuple[FloatArray, FloatArray]:
    """Smallest measure in [0, most], rounded up to `step`, that brings the probability to `target`; NaN if none."""
    ceiling = np.floor(most / step) * step
    low, high = np.zeros(len(most)), ceiling.copy()
    enough_now, enough_ever = after(low) <= target, after(high) <= target
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        enough = after(middle) <= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found = np.minimum(np.ceil(high / step - 1e-9) * step, ceiling)
    found = np.where(enough_now, 0.0, found)
    reached = after(found)
    # rounding up may cross a step of the forecast the wrong way for a cut: then the unrounded answer stands
    missed = enough_ever & (reached > target)
    found = np.where(missed, high, found)
    reached = np.where(missed, after(high), reached)
    known = enough_now | enough_ever
    return np.where(known, found, np.nan), np.where(known, reached, np.nan)
