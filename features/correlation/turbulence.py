"""Turbulence: how unusual the market's moves are, given how large and how alike they usually are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..engine.step import Declaration, State
from .blocks import Block, HalfLifeStep, bars_of, span
from .pair_moments import OWN, WEIGHT, covariance_of, decay_of, known_coins, least_of, take_pairs, take_returns

KRITZMAN_LI = "M. Kritzman and Y. Li, Skulls, financial turbulence, and risk management, Fin. Analysts J. 66 (2010)"
KINLAW = "W. Kinlaw and D. Turkington, Correlation surprise, J. Asset Management 14 (2013)"


@dataclass(frozen=True)
class TurbulenceStep(HalfLifeStep):
    """Mean squared Mahalanobis distance of the last bars' returns, measured by the covariance before them.

    d = r' C^-1 r / n over the n known coins, about 1 in usual times; C is the EWMA covariance (mean zero) of all bars
    older than the window, so that no bar is measured by itself. The correlation surprise is the mean of d over the mean
    of the same with the correlations of C set to zero: above 1 where the moves break the usual pattern, beyond their
    sizes. Sources: Kritzman and Li 2010; Kinlaw and Turkington 2013.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    window_hours
        Bars that are measured.
    half_life_hours
        Half-life of the covariance.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    bar_hours: float
    window_hours: float = 24.0
    half_life_hours: float = 720.0

    def __post_init__(self) -> None:
        bars_of(self.window_hours, self.bar_hours, "window_hours")
        super().__post_init__()

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        name, hours = span(self.window_hours), self.window_hours + self.half_life_hours
        rule = (
            "coins with a gap within the window or a half-life before it are left out; NaN for fewer than two, or "
            "where their covariance is not positive definite"
        )
        last = "squared Mahalanobis distance of the last bar's returns per coin"
        mean = f"its mean over {self.window_hours:g} h"
        surprise = f"its mean over {self.window_hours:g} h over the mean with correlations set to zero"
        return (
            Declaration("turbulence_last", last, "ratio, 1 in usual times", self.inputs, hours, rule, KRITZMAN_LI),
            Declaration(f"turbulence_{name}", mean, "ratio, 1 in usual times", self.inputs, hours, rule, KRITZMAN_LI),
            Declaration(f"correlation_surprise_{name}", surprise, "ratio", self.inputs, hours, rule, KINLAW),
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: pairs as in `pair_moments` of what left the ring, the ring, bars seen."""
        n, window = len(symbols), round(self.window_hours / self.bar_hours)
        return {
            "last": np.full(n, np.nan),
            "pairs": np.zeros((4, n, n)),
            "ring": np.full((window, n), np.nan),
            "seen": np.zeros(1, np.int64),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        arrays = state["last"], state["pairs"], state["ring"], state["seen"]
        _advance(block["close"], decay_of(self.half_life), *arrays)

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 3)."""
        out = np.full((len(state["last"]), 3), np.nan)
        _read(state["pairs"], state["ring"], int(state["seen"][0]), least_of(self.half_life), out)
        return out


@numba.njit(cache=True, nogil=True)
def _advance(
    close: FloatArray, decay: float, last: FloatArray, pairs: FloatArray, ring: FloatArray, seen: IntArray
) -> None:
    for row in range(len(close)):
        oldest = ring[seen[0] % len(ring)]
        take_pairs(pairs, oldest, decay)
        take_returns(close[row], last, oldest)
        seen[0] += 1


@numba.njit(cache=True, nogil=True)
def _read(pairs: FloatArray, ring: FloatArray, seen: int, least: int, out: FloatArray) -> None:
    coins = known_coins(pairs, least)
    whole = np.ones(len(coins), np.bool_)
    for a in range(len(coins)):
        whole[a] = not np.isnan(ring[:, coins[a]]).any()
    coins = coins[whole]
    if len(coins) < 2:
        return
    factor = covariance_of(pairs, coins)
    if not _cholesky(factor):
        return
    total, alone, distance = 0.0, 0.0, 0.0
    for k in range(len(ring)):
        returns = ring[(seen + k) % len(ring)][coins]
        for a in range(len(coins)):
            i = coins[a]
            alone += returns[a] * returns[a] * pairs[WEIGHT, i, i] / pairs[OWN, i, i]
        distance = _distance(factor, returns)
        total += distance
    out[:, 0], out[:, 1] = distance / len(coins), total / (len(coins) * len(ring))
    if alone > 0.0:
        out[:, 2] = total / alone


@numba.njit(cache=True, nogil=True)
def _cholesky(matrix: FloatArray) -> bool:
    """The lower factor in place; False where the matrix is not positive definite to within rounding."""
    n = len(matrix)
    for j in range(n):
        rest = matrix[j, j]
        for k in range(j):
            rest -= matrix[j, k] * matrix[j, k]
        if not rest > 1e-12 * matrix[j, j]:
            return False
        matrix[j, j] = np.sqrt(rest)
        for i in range(j + 1, n):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = value / matrix[j, j]
    return True


@numba.njit(cache=True, nogil=True)
def _distance(factor: FloatArray, returns: FloatArray) -> float:
    """Squared length of factor^-1 returns, `returns` becoming that vector."""
    total = 0.0
    for i in range(len(returns)):
        for k in range(i):
            returns[i] -= factor[i, k] * returns[k]
        returns[i] /= factor[i, i]
        total += returns[i] * returns[i]
    return total
