"""A market-wide index of stress: components ranked in their own past and aggregated by how they move together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow
from ..engine.step import Declaration, State
from .stress_components import COMPONENTS, Component

SOURCE = (
    "D. Hollo, M. Kremer and M. Lo Duca, CISS: a composite indicator of systemic stress in the financial system, "
    "ECB working paper 1426 (2012)"
)
HOUR = np.timedelta64(1, "h")
HALF_SEEN = 0.5 * (1.0 - 1e-9)
"""Sum of the weights of an exponential mean once a half-life has been seen, less rounding."""


@dataclass(frozen=True)
class StressIndexStep:
    """The index, the number of components it is made of, and each component's rank; the same in every symbol's row.

    Each component is ranked among its own past values, 0 to 1 (the share below it). With ranks s, equal weights w over
    the components that are known, and C the exponentially weighted correlations of s - 1/2, the index is
    sum_ij w_i s_i w_j s_j C_ij: as high as the components are, and the higher the more they are high together. From 0
    to 1. As in the CISS, but that a negative correlation counts as none: volatility and the spread of funding are
    opposed in a calm rising market, and both high in a crisis that follows it should not cancel.

    Components whose columns the market does not have must not be named; one that is not known at a bar is left out of
    that bar, and `stress_components` says how many there were: the index rests on those alone.

    Parameters
    ----------
    components
        Those the market has columns for, see `with_columns`.
    history_hours
        How far back values are ranked; fewer until as many have been seen.
    every_hours
        Values are kept for ranking this often.
    least_hours
        Of history before a component counts as known.
    half_life_hours
        Of the correlations of the components.

    Raises
    ------
    InputError
        No component, two of one name, a time that is not positive.
    """

    components: tuple[Component, ...] = COMPONENTS
    history_hours: float = 2.0 * 8760.0
    every_hours: float = 4.0
    least_hours: float = 720.0
    half_life_hours: float = 720.0

    def __post_init__(self) -> None:
        names = [one.name for one in self.components]
        if not names or len(set(names)) < len(names):
            raise InputError("needs components of different names", column="components", value=names)
        for name in ("history_hours", "every_hours", "least_hours", "half_life_hours"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """Index, number of components, and one rank for each."""
        inputs = tuple(dict.fromkeys(name for one in self.components for name in one.columns))
        history, missing = self.history_hours, f"NaN until {self.least_hours:g} hours of its past have been seen"
        some = f"components that are not known are left out, see stress_components; {missing} and their half-life"
        ranks = (
            Declaration(
                f"stress_rank_{one.name}",
                f"Rank of the {one.summary} of all coins among its own past values",
                "share, 0 to 1",
                one.columns,
                history,
                f"{missing}, and where no coin is known",
            )
            for one in self.components
        )
        return (
            Declaration(
                "stress_index", "Composite indicator of market stress", "0 to 1", inputs, history, some, SOURCE
            ),
            Declaration(
                "stress_components", "Components known to the stress index", "count", inputs, history, "never NaN"
            ),
            *ranks,
        )

    @property
    def kept(self) -> int:
        """Values of the past that are kept of each component."""
        return max(round(self.history_hours / self.every_hours), 1)

    def start(self, symbols: tuple[str, ...]) -> State:
        """No past."""
        k = len(self.components)
        return {
            "memory": np.stack([one.start(len(symbols)) for one in self.components]),
            "past": np.full((k, self.kept), np.nan),
            "number": np.zeros(k, np.int64),
            "since": np.full(1, np.inf),
            "moments": np.zeros((k, k)),
            "weight": np.zeros((k, k)),
            "out": np.full((len(symbols), k + 2), np.nan),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one bar: rank each component in its past, then keep it; then the index."""
        hours = float((row.closed - row.opened) / HOUR)
        values = np.empty(len(self.components))
        for k, one in enumerate(self.components):
            columns = np.stack([row[name] for name in one.columns])
            values[k] = one.take(state["memory"][k], columns, hours, one.half_life_hours)
        state["since"] += hours
        keep = state["since"][0] >= self.every_hours
        if keep:
            state["since"][0] = 0.0
        least = max(math.ceil(self.least_hours / max(self.every_hours, hours)), 1)
        ranks = rank_in_past(values, state["past"], state["number"], least, bool(keep))
        decay = 0.5 ** (hours / self.half_life_hours)
        index, number = aggregate(ranks, state["moments"], state["weight"], decay)
        state["out"][:] = np.concatenate(([index, number], ranks))

    def read(self, state: State) -> FloatArray:
        """Index, number of components, ranks."""
        out: FloatArray = state["out"].copy()
        out[np.isnan(out[:, 1]), 1] = 0.0
        return out


def with_columns(columns: tuple[str, ...], components: tuple[Component, ...] = COMPONENTS) -> tuple[Component, ...]:
    """The components whose columns are all there.

    Examples
    --------
    >>> [one.name for one in with_columns(("close", "funding_rate"))]
    ['volatility', 'correlation', 'funding_dispersion']
    """
    return tuple(one for one in components if set(one.columns) <= set(columns))


@numba.njit(cache=True, nogil=True)
def rank_in_past(values: FloatArray, past: FloatArray, number: IntArray, least: int, keep: bool) -> FloatArray:
    """Share of its past values below each value, half of those equal to it and of itself included.

    Parameters
    ----------
    values
        Shape (k,); NaN has no rank and is not kept.
    past, number
        Rings of past values, shape (k, size), and how many have been written to each; changed if `keep`.
    least
        Past values before there is a rank.

    Examples
    --------
    >>> past, number = np.array([[1.0, 2.0, 2.0, np.nan]]), np.array([3])
    >>> rank_in_past(np.array([2.0]), past, number, 2, False).tolist()
    [0.625]
    """
    out = np.full(len(values), np.nan)
    size = past.shape[1]
    for k in range(len(values)):
        value = values[k]
        if np.isnan(value):
            continue
        seen = min(number[k], size)
        if seen >= least:
            below = 0.5
            for j in range(seen):
                below += 1.0 if past[k, j] < value else (0.5 if past[k, j] == value else 0.0)
            out[k] = below / (seen + 1.0)
        if keep:
            past[k, number[k] % size] = value
            number[k] += 1
    return out


@numba.njit(cache=True, nogil=True)
def aggregate(ranks: FloatArray, moments: FloatArray, weight: FloatArray, decay: float) -> tuple[float, float]:
    """Index of the ranks and of how many; moments and weights of their pairs are brought up to date first.

    A rank counts once a half-life of it has been seen.

    Examples
    --------
    Two components that have always been high together count as one, (0.9 + 0.7)^2 / 4; opposed ones each for itself,
    (0.9^2 + 0.1^2) / 4.

    >>> [round(one, 6) for one in aggregate(np.array([0.9, 0.7]), np.zeros((2, 2)), np.zeros((2, 2)), 0.5)]
    [0.64, 2.0]
    >>> [round(one, 6) for one in aggregate(np.array([0.9, 0.1]), np.zeros((2, 2)), np.zeros((2, 2)), 0.5)]
    [0.205, 2.0]
    """
    total, number = 0.0, 0.0
    for i in range(len(ranks)):
        for j in range(len(ranks)):
            product = (ranks[i] - 0.5) * (ranks[j] - 0.5)
            if not np.isnan(product):
                moments[i, j] = decay * moments[i, j] + (1.0 - decay) * product
                weight[i, j] = decay * weight[i, j] + (1.0 - decay)
    for i in range(len(ranks)):
        if np.isnan(ranks[i]) or weight[i, i] < HALF_SEEN:
            continue
        number += 1.0
        for j in range(len(ranks)):
            if not np.isnan(ranks[j]) and weight[j, j] >= HALF_SEEN:
                total += ranks[i] * ranks[j] * (1.0 if i == j else _together(moments, weight, i, j))
    return (total / (number * number) if number > 0.0 else np.nan), number


@numba.njit(cache=True, nogil=True)
def _together(moments: FloatArray, weight: FloatArray, i: int, j: int) -> float:
    """Correlation of two components, 0 where it is negative or they were never seen together."""
    scale = np.sqrt(moments[i, i] / weight[i, i] * (moments[j, j] / weight[j, j]))
    if not (scale > 0.0 and weight[i, j] > 0.0):
        return 0.0
    return float(min(max(moments[i, j] / weight[i, j] / scale, 0.0), 1.0))
