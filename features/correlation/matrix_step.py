"""The EWMA correlation matrix as features: how much moves together, and each coin beside the market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.step import Declaration, State
from .blocks import Block, HalfLifeStep, span
from .eigen import eigenvalues_into
from .pair_moments import (
    CROSS,
    OWN,
    SEEN,
    correlation_from,
    correlation_of,
    decay_of,
    known_coins,
    least_of,
    mean_known,
    take_pairs,
    take_returns,
)

KRITZMAN = (
    "Kritzman, Li, Page, Rigobon, Principal components as a measure of systemic risk, J. Portfolio Man. 37 (2011)"
)
MEUCCI = "A. Meucci, Managing diversification, Risk (May 2009); on the spectrum as Roy, Vetterli, EUSIPCO (2007)"
PLAIN: dict[str, tuple[str, str, str]] = {
    "absorption": (
        "share of the largest eigenvalue of the correlation matrix in its trace",
        "share, 1/n to 1",
        KRITZMAN,
    ),
    "average_correlation": ("mean of the correlations off the diagonal", "correlation", ""),
    "distance_to_one": ("root mean square of 1 - correlation over pairs: 0 where all move as one", "0 to 2", ""),
    "smallest_eigenvalue": ("smallest eigenvalue of the correlation matrix", "0 to 1", ""),
    "effective_bets": ("exp of the entropy of the shares of the eigenvalues", "number, 1 to n", MEUCCI),
    "coin_correlation": ("mean correlation of the coin with the others", "correlation", ""),
    "market_correlation": ("correlation with the equal-weighted market, itself among it", "correlation", ""),
    "market_beta": ("beta to the equal-weighted market, itself among it", "return per return", ""),
}
LEADER: dict[str, tuple[str, str, str]] = {
    "leader_correlation": ("correlation with the coin most traded in quote units", "correlation", ""),
    "leader_beta": ("beta to the coin most traded in quote units", "return per return", ""),
}
FIRST_OF_COIN, FIRST_OF_LEADER = 5, 8
MISSING = (
    "restarts where a return of the coin (of either, for a pair) is NaN and is NaN until a half-life of bars has been "
    "seen since; coins not known are left out of the market's figures, which need two; NaN where a price stood still"
)


@dataclass(frozen=True)
class CorrelationStep(HalfLifeStep):
    """Features of the exponentially weighted correlation matrix (mean zero) of the mark's log returns.

    `absorption` and `average_correlation` are `ewma.largest_eigenvalue_share` and `ewma.average_correlation` of
    `ewma.ewma_correlation`. The mean of 1 - correlation is one less the average correlation and is not told twice:
    `distance_to_one` is the Frobenius distance of the matrix from all ones, per root of the number of pairs. Of coins
    listed at different times the smallest eigenvalue can be a little negative; such ones count as zero bets.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    half_life_hours
        Half-life of the weights.

    Examples
    --------
    Two coins, one twice the other: one bet, all absorbed, betas 2/3 and 4/3 to their mean.

    >>> from ..engine.bars import BarTable
    >>> from ..engine.step import run_step
    >>> close = np.exp(np.outer([0.0, 0.01, -0.01, 0.02], [1.0, 2.0]))
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    >>> columns = {"close": close, "last_close": close, "volume": np.ones((4, 2))}
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("A", "B"), columns)
    >>> step = CorrelationStep(1.0, 2.0)
    >>> values = run_step(step, table, np.array([4]))[0]
    >>> for one, value in zip(step.declarations, values.T):
    ...     print(one.name, (value + 0.0).round(4).tolist())
    absorption_2h [1.0, 1.0]
    average_correlation_2h [1.0, 1.0]
    distance_to_one_2h [0.0, 0.0]
    smallest_eigenvalue_2h [0.0, 0.0]
    effective_bets_2h [1.0, 1.0]
    coin_correlation_2h [1.0, 1.0]
    market_correlation_2h [1.0, 1.0]
    market_beta_2h [0.6667, 1.3333]
    leader_correlation_2h [1.0, 1.0]
    leader_beta_2h [0.5, 1.0]
    """

    inputs: ClassVar[tuple[str, ...]] = ("close", "last_close", "volume")
    bar_hours: float
    half_life_hours: float = 72.0

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        told: list[tuple[str, tuple[str, ...], tuple[str, str, str]]]
        told = [(name, ("close",), what) for name, what in PLAIN.items()]
        told += [(name, self.inputs, what) for name, what in LEADER.items()]
        hours = self.half_life_hours
        return tuple(
            Declaration(f"{name}_{span(hours)}", summary, unit, inputs, hours, MISSING, source)
            for name, inputs, (summary, unit, source) in told
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: pairs as in `pair_moments`, sums of r r_m and r_m r_m, traded value."""
        n = len(symbols)
        return {
            "last": np.full(n, np.nan),
            "pairs": np.zeros((4, n, n)),
            "market": np.zeros((2, n)),
            "traded": np.zeros(n),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        bars = block["close"], block["last_close"], block["volume"]
        _advance(*bars, decay_of(self.half_life), state["last"], state["pairs"], state["market"], state["traded"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 10)."""
        out = np.full((len(state["last"]), len(PLAIN) + len(LEADER)), np.nan)
        _read(state["pairs"], state["market"], state["traded"], least_of(self.half_life), out)
        return out


@numba.njit(cache=True, nogil=True)
def _advance(
    close: FloatArray,
    last_close: FloatArray,
    volume: FloatArray,
    decay: float,
    last: FloatArray,
    pairs: FloatArray,
    market: FloatArray,
    traded: FloatArray,
) -> None:
    returns = np.empty(len(last))
    for row in range(len(close)):
        take_returns(close[row], last, returns)
        take_pairs(pairs, returns, decay)
        mean = mean_known(returns)
        for i in range(len(last)):
            known = not np.isnan(returns[i])
            market[0, i] = returns[i] * mean + decay * market[0, i] if known else 0.0
            market[1, i] = mean * mean + decay * market[1, i] if known else 0.0
            value = last_close[row, i] * volume[row, i]
            traded[i] = decay * traded[i] + (0.0 if np.isnan(value) else value)


@numba.njit(cache=True, nogil=True)
def _read(pairs: FloatArray, market: FloatArray, traded: FloatArray, least: int, out: FloatArray) -> None:
    coins = known_coins(pairs, least)
    correlation = correlation_of(pairs, coins)
    if len(coins) >= 2:
        _read_market(correlation, out)
    for a in range(len(coins)):
        i, total, count = coins[a], 0.0, 0
        for b in range(len(coins)):
            if b != a and not np.isnan(correlation[a, b]):
                total += correlation[a, b]
                count += 1
        if count:
            out[i, FIRST_OF_COIN] = total / count
        if market[1, i] > 0.0:
            out[i, FIRST_OF_COIN + 1] = correlation_from(market[0, i], pairs[OWN, i, i], market[1, i])
            out[i, FIRST_OF_COIN + 2] = market[0, i] / market[1, i]
    leader = np.argmax(traded)
    for a in range(len(coins)):
        i = coins[a]
        own, other = pairs[OWN, i, leader], pairs[OWN, leader, i]
        if pairs[SEEN, i, leader] >= least and own > 0.0 and other > 0.0:
            out[i, FIRST_OF_LEADER] = correlation_from(pairs[CROSS, i, leader], own, other)
            out[i, FIRST_OF_LEADER + 1] = pairs[CROSS, i, leader] / other


@numba.njit(cache=True, nogil=True)
def _read_market(correlation: FloatArray, out: FloatArray) -> None:
    n, total, squares, count = len(correlation), 0.0, 0.0, 0
    for a in range(n):
        for b in range(a + 1, n):
            if not np.isnan(correlation[a, b]):
                total += correlation[a, b]
                squares += (1.0 - correlation[a, b]) ** 2
                count += 1
    if count:
        out[:, 1], out[:, 2] = total / count, np.sqrt(squares / count)
    values = np.empty(n)
    eigenvalues_into(correlation.copy(), values)
    out[:, 0], out[:, 3], out[:, 4] = values[-1] / n, values[0], _bets(values)


@numba.njit(cache=True, nogil=True)
def _bets(values: FloatArray) -> float:
    """Exp of the entropy of the positive values' shares; NaN where one is NaN."""
    total, entropy = 0.0, 0.0
    for value in values:
        total += max(value, 0.0) if not np.isnan(value) else np.nan
    for value in values:
        if value > 0.0:
            entropy -= value / total * np.log(value / total)
    return np.exp(entropy) if total > 0.0 else np.nan
