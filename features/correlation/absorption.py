"""The absorption ratio of several components and its standardised shift: a market that has become one bet of late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray, require_shape
from ...riskcore.errors import InputError
from ..engine.step import Declaration, State
from .blocks import Block, HalfLifeStep, span
from .eigen import eigenvalues_into, symmetric_eigenvalues
from .pair_moments import covariance_of, decay_of, known_coins, least_of, take_pairs, take_returns

SOURCE = "Kritzman, Li, Page, Rigobon, Principal components as a measure of systemic risk, J. Portfolio Man. 37 (2011)"
DAY = 86_400_000_000_000
"""Nanoseconds."""
COINS_A_COMPONENT = 5
"""The paper takes a fifth as many components as assets; here rounded up."""


def absorption_ratio(covariance: FloatArray, components: int) -> FloatArray:
    """Share of the variance that the largest components carry: sum of their eigenvalues over the trace.

    Source: M. Kritzman, Y. Li, S. Page and R. Rigobon, Principal components as a measure of systemic risk, J. Portfolio
    Management 37 (2011), equation 1.

    Parameters
    ----------
    covariance
        Shape (m, n, n).
    components
        How many, 1 .. n.

    Returns
    -------
    FloatArray
        Shape (m,); NaN where the matrix holds a NaN.

    Raises
    ------
    InputError
        Another number of components.

    Examples
    --------
    >>> absorption_ratio(np.diag([4.0, 3.0, 2.0, 1.0])[None], 2).round(12).tolist()
    [0.7]
    """
    m, n = len(covariance), covariance.shape[-1]
    require_shape(covariance, (m, n, n), "covariance")
    if not 1 <= components <= n:
        raise InputError(f"must be 1 to {n}", column="components", value=components)
    values = symmetric_eigenvalues(covariance)
    total = values.sum(axis=1)
    share: FloatArray = values[:, n - components :].sum(axis=1) / np.where(total > 0.0, total, np.nan)
    return share


@dataclass(frozen=True)
class AbsorptionStep(HalfLifeStep):
    """The absorption ratio of the EWMA covariance, and how far its recent mean lies from that of a year.

    The ratio takes as many components as a fifth of the known coins, rounded up. It is noted at the first close of each
    UTC day; the shift is (mean of the last `recent_days` notes - mean of the last `history_days`) / their standard
    deviation (n - 1 in the denominator). Source: Kritzman et al. 2011, with exponential weights and, like them, 15 days
    against a year.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    half_life_hours
        Half-life of the covariance.
    recent_days, history_days
        Windows of the shift.
    least_days
        Notes from which the shift is known, more than `recent_days`.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)
    bar_hours: float
    half_life_hours: float = 720.0
    recent_days: int = 15
    history_days: int = 365
    least_days: int = 90

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.recent_days < self.least_days <= self.history_days:
            problem = "recent_days < least_days <= history_days must hold"
            raise InputError(problem, column="least_days", value=self.least_days)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        name, hours, year = span(self.half_life_hours), self.half_life_hours, 24.0 * self.history_days
        ratio = "share of the largest fifth of the components in the variance of the market"
        shift = f"mean of the ratio over {self.recent_days} days against {self.history_days}, in standard deviations"
        rule = (
            "coins with a gap within a half-life are left out, under two it is NaN; the shift is NaN until "
            f"{self.least_days} days had a ratio"
        )
        return (
            Declaration(f"absorption_ratio_{name}", ratio, "share, 0 to 1", self.inputs, hours, rule, SOURCE),
            Declaration(f"absorption_shift_{name}", shift, "standard deviations", self.inputs, year, rule, SOURCE),
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: pairs, notes in a ring, how many there were, day of the last one."""
        n = len(symbols)
        return {
            "last": np.full(n, np.nan),
            "pairs": np.zeros((4, n, n)),
            "notes": np.full(self.history_days, np.nan),
            "noted": np.zeros(1, np.int64),
            "day": np.full(1, -1, np.int64),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        decay, least = decay_of(self.half_life), least_of(self.half_life)
        arrays = state["last"], state["pairs"], state["notes"], state["noted"], state["day"]
        _advance(block["close"], block.closed // DAY, decay, least, *arrays)

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 2)."""
        notes, noted = state["notes"], int(state["noted"][0])
        out = np.full((len(state["last"]), 2), np.nan)
        out[:, 0] = _ratio(state["pairs"], least_of(self.half_life))
        if noted >= self.least_days:
            out[:, 1] = _shift(np.roll(notes, -(noted % len(notes)))[-min(noted, len(notes)) :], self.recent_days)
        return out


def _shift(notes: FloatArray, recent: int) -> float:
    spread = float(np.std(notes, ddof=1))
    return float(np.mean(notes[-recent:]) - np.mean(notes)) / spread if spread > 0.0 else float("nan")


@numba.njit(cache=True, nogil=True)
def _ratio(pairs: FloatArray, least: int) -> float:
    coins = known_coins(pairs, least)
    n = len(coins)
    if n < 2:
        return np.nan
    values = np.empty(n)
    eigenvalues_into(covariance_of(pairs, coins), values)
    total, largest = 0.0, 0.0
    for k in range(n):
        total += values[k]
        largest += values[k] if k >= n - (n + COINS_A_COMPONENT - 1) // COINS_A_COMPONENT else 0.0
    return largest / total


@numba.njit(cache=True, nogil=True)
def _advance(
    close: FloatArray,
    days: IntArray,
    decay: float,
    least: int,
    last: FloatArray,
    pairs: FloatArray,
    notes: FloatArray,
    noted: IntArray,
    day: IntArray,
) -> None:
    returns = np.empty(len(last))
    for row in range(len(close)):
        take_returns(close[row], last, returns)
        take_pairs(pairs, returns, decay)
        if days[row] != day[0]:
            day[0] = days[row]
            ratio = _ratio(pairs, least)
            if not np.isnan(ratio):
                notes[noted[0] % len(notes)] = ratio
                noted[0] += 1
