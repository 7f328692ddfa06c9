"""Correlation in falling markets, when margin is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.step import Declaration, State
from .blocks import Block, HalfLifeStep, span
from .pair_moments import correlation_from, decay_of, least_of, mean_known, take_returns

ANG_CHEN = "A. Ang and J. Chen, Asymmetric correlations of equity portfolios, J. Financial Economics 63 (2002)"
BAWA = "V. Bawa and E. Lindenberg, Capital market equilibrium in a mean-lower partial moment framework, JFE 5 (1977)"
CROSS, SQUARE, SUM, WEIGHT, SEEN = 0, 1, 2, 3, 4
"""Places in a state of pairs, shape (5, n, n): sums of r_i r_j, r_i r_i, r_i and weights over falls; bars seen."""


@dataclass(frozen=True)
class DownsideStep(HalfLifeStep):
    """Correlations and betas over the bars in which the equal-weighted market fell.

    Returns count about their means in falling bars; weights halve every half-life of bars, falling or not. Sources: Ang
    and Chen 2002, with the market's side as the condition and zero as the threshold; Bawa and Lindenberg 1977.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    half_life_hours
        Half-life of the weights.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    bar_hours: float
    half_life_hours: float = 720.0

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        rule = (
            "restarts where a return of the coin (of either, for a pair) is NaN and is NaN until a half-life of bars "
            "has been seen since; NaN where nothing varied in falls"
        )
        told = (
            (
                "average_downside_correlation",
                "mean correlation of pairs while the market falls",
                "correlation",
                ANG_CHEN,
            ),
            ("downside_correlation", "correlation with the market while it falls", "correlation", ANG_CHEN),
            ("downside_beta", "beta to the market while it falls", "return per return", BAWA),
        )
        hours = self.half_life_hours
        return tuple(
            Declaration(f"{name}_{span(hours)}", summary, unit, self.inputs, hours, rule, source)
            for name, summary, unit, source in told
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: sums over pairs and, with the market in place of a pair's other, over coins."""
        n = len(symbols)
        return {"last": np.full(n, np.nan), "pairs": np.zeros((5, n, n)), "market": np.zeros((3, n))}

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        _advance(block["close"], decay_of(self.half_life), state["last"], state["pairs"], state["market"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 3)."""
        out = np.full((len(state["last"]), 3), np.nan)
        _read(state["pairs"], state["market"], least_of(self.half_life), out)
        return out


@numba.njit(cache=True, nogil=True)
def _advance(close: FloatArray, decay: float, last: FloatArray, pairs: FloatArray, market: FloatArray) -> None:
    n = len(last)
    returns = np.empty(n)
    for row in range(len(close)):
        take_returns(close[row], last, returns)
        mean = mean_known(returns)
        fall = 1.0 if mean < 0.0 else 0.0
        for i in range(n):
            r = returns[i]
            for j in range(n):
                if np.isnan(r) or np.isnan(returns[j]):
                    for place in range(5):
                        pairs[place, i, j] = 0.0
                else:
                    pairs[CROSS, i, j] = fall * r * returns[j] + decay * pairs[CROSS, i, j]
                    pairs[SQUARE, i, j] = fall * r * r + decay * pairs[SQUARE, i, j]
                    pairs[SUM, i, j] = fall * r + decay * pairs[SUM, i, j]
                    pairs[WEIGHT, i, j] = fall + decay * pairs[WEIGHT, i, j]
                    pairs[SEEN, i, j] += 1.0
            known = not np.isnan(r)
            market[CROSS, i] = fall * r * mean + decay * market[CROSS, i] if known else 0.0
            market[SQUARE, i] = fall * mean * mean + decay * market[SQUARE, i] if known else 0.0
            market[SUM, i] = fall * mean + decay * market[SUM, i] if known else 0.0


@numba.njit(cache=True, nogil=True)
def _centred(product: float, one: float, other: float, weight: float) -> float:
    return product / weight - one / weight * (other / weight)


@numba.njit(cache=True, nogil=True)
def _read(pairs: FloatArray, market: FloatArray, least: int, out: FloatArray) -> None:
    n, total, count = len(out), 0.0, 0
    for i in range(n):
        for j in range(i):
            if pairs[SEEN, i, j] < least or not pairs[WEIGHT, i, j] > 0.0:
                continue
            one, other, w = pairs[SUM, i, j], pairs[SUM, j, i], pairs[WEIGHT, i, j]
            spread = _centred(pairs[SQUARE, i, j], one, one, w), _centred(pairs[SQUARE, j, i], other, other, w)
            value = _correlation(_centred(pairs[CROSS, i, j], one, other, w), spread[0], spread[1])
            if not np.isnan(value):
                total += value
                count += 1
        w = pairs[WEIGHT, i, i]
        if pairs[SEEN, i, i] >= least and w > 0.0:
            one, mean = pairs[SUM, i, i], market[SUM, i]
            cross = _centred(market[CROSS, i], one, mean, w)
            spread = _centred(pairs[SQUARE, i, i], one, one, w), _centred(market[SQUARE, i], mean, mean, w)
            out[i, 1] = _correlation(cross, spread[0], spread[1])
            if spread[1] > 0.0:
                out[i, 2] = cross / spread[1]
    if count:
        out[:, 0] = total / count


@numba.njit(cache=True, nogil=True)
def _correlation(cross: float, one: float, other: float) -> float:
    """As `correlation_from`; a variance that rounding left below zero counts as none."""
    return correlation_from(cross, max(one, 0.0), max(other, 0.0))
