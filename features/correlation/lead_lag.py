"""Who moves first: correlations of each coin with the others some bars later and some bars earlier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..engine.step import Declaration, State
from .blocks import Block, HalfLifeStep, span
from .pair_moments import correlation_from, decay_of, least_of, take_returns

SOURCE = (
    "S. Bennett, M. Cucuringu and G. Reinert, Lead-lag detection and network clustering, Machine Learning 111 (2022)"
)
CROSS, EARLIER, LATER, SEEN = 0, 1, 2, 3
"""Places in a state of moments: sums of products, of squares of the earlier and of the later return; bars seen."""


@dataclass(frozen=True)
class LeadLagStep(HalfLifeStep):
    """Exponentially weighted cross-correlations (mean zero) of each coin with the equal-weighted rest of the market.

    The lead at l is the correlation of the coin's return with the rest's return l bars later; the lag that with the
    rest's return l bars earlier. The score is (sum of |lead| - sum of |lag|) / (sum of both): 1 for a coin that only
    leads, -1 for one that only follows. Source: the area under the cross-correlation of Bennett et al. 2022, of the
    coin against the rest instead of pair by pair.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    half_life_hours
        Half-life of the weights.
    lags
        How many lags.

    Raises
    ------
    InputError
        Fewer than one lag.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    bar_hours: float
    half_life_hours: float = 168.0
    lags: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lags < 1:
            raise InputError("must be at least one bar", column="lags", value=self.lags)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        rule = (
            "restarts where one of the two returns is NaN and is NaN until a half-life of bars has been seen since, "
            "and where a price stood still"
        )
        hours = self.half_life_hours
        told = [("lead_score", "whether the coin leads (1) or follows (-1) the rest of the market", "-1 to 1")]
        for l_bars in range(1, self.lags + 1):
            told += [
                (
                    f"lead_correlation_{l_bars}bar",
                    f"correlation with the others' return {l_bars} bars later",
                    "correlation",
                ),
                (
                    f"lag_correlation_{l_bars}bar",
                    f"correlation with the others' return {l_bars} bars earlier",
                    "correlation",
                ),
            ]
        return tuple(
            Declaration(f"{name}_{span(hours)}", summary, unit, self.inputs, hours, rule, SOURCE)
            for name, summary, unit in told
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: past returns of coin and rest, newest first, and moments of leads and lags."""
        n = len(symbols)
        return {
            "last": np.full(n, np.nan),
            "past": np.full((2, self.lags, n), np.nan),
            "moments": np.zeros((2, self.lags, 4, n)),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        _advance(block["close"], decay_of(self.half_life), state["last"], state["past"], state["moments"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 1 + 2 lags)."""
        out = np.full((len(state["last"]), 1 + 2 * self.lags), np.nan)
        _read(state["moments"], least_of(self.half_life), out)
        return out


@numba.njit(cache=True, nogil=True)
def _rest_of(returns: FloatArray, rest: FloatArray) -> None:
    """Mean of the other known returns for each coin; NaN where there is none."""
    total, count = 0.0, 0
    for r in returns:
        if not np.isnan(r):
            total += r
            count += 1
    for i in range(len(returns)):
        own, others = (0.0, count) if np.isnan(returns[i]) else (returns[i], count - 1)
        rest[i] = (total - own) / others if others else np.nan


@numba.njit(cache=True, nogil=True)
def _take(moments: FloatArray, i: int, earlier: float, later: float, decay: float) -> None:
    product = earlier * later
    if np.isnan(product):
        for place in range(4):
            moments[place, i] = 0.0
        return
    moments[CROSS, i] = product + decay * moments[CROSS, i]
    moments[EARLIER, i] = earlier * earlier + decay * moments[EARLIER, i]
    moments[LATER, i] = later * later + decay * moments[LATER, i]
    moments[SEEN, i] += 1.0


@numba.njit(cache=True, nogil=True)
def _advance(close: FloatArray, decay: float, last: FloatArray, past: FloatArray, moments: FloatArray) -> None:
    n, lags = len(last), past.shape[1]
    returns, rest = np.empty(n), np.empty(n)
    for row in range(len(close)):
        take_returns(close[row], last, returns)
        _rest_of(returns, rest)
        for lag in range(lags):
            for i in range(n):
                _take(moments[0, lag], i, past[0, lag, i], rest[i], decay)
                _take(moments[1, lag], i, past[1, lag, i], returns[i], decay)
        for lag in range(lags - 1, 0, -1):
            past[:, lag] = past[:, lag - 1]
        past[0, 0], past[1, 0] = returns, rest


@numba.njit(cache=True, nogil=True)
def _read(moments: FloatArray, least: int, out: FloatArray) -> None:
    for i in range(len(out)):
        sizes = np.zeros(2)
        for lag in range(moments.shape[1]):
            for side in range(2):
                own = moments[side, lag, :, i]
                value = correlation_from(own[CROSS], own[EARLIER], own[LATER]) if own[SEEN] >= least else np.nan
                out[i, 1 + 2 * lag + side] = value
                sizes[side] += abs(value)
        if sizes[0] + sizes[1] > 0.0:
            out[i, 0] = (sizes[0] - sizes[1]) / (sizes[0] + sizes[1])
