"""What a unified pool over networks is worth: capital for the same survival, against separate pools.

Notation: D_v(t) = -headroom of venue v is what it needs at step t to survive. Separate pools need max_t D_v(t) each. A
pool whose money takes d steps from venue to venue needs max_t sum_v max_{t <= s <= t + d} D_v(s): at any step, all that
a venue will need before anything sent later can arrive must be there or on its way, and that is also enough for whoever
knows the path. With d = 0 it is one pool, max_t sum_v D_v(t); with d as long as the path it is the separate pools.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, frozen
from ..errors import InputError
from .venues import VenuePaths


def window_need(headroom: FloatArray, delay: int, *, profits_move: bool = True) -> FloatArray:
    """Largest need of each venue over a step and the `delay` steps after it; shape of `headroom`, base asset.

    Parameters
    ----------
    headroom
        Shape (n_paths, n_steps, n_venues).
    delay
        Steps from sending to arrival.
    profits_move
        True: what a venue does not need can be sent away, so needs may be negative. False: only the capital added can
        (unrealised profit cannot be withdrawn), so needs are at least 0.

    Examples
    --------
    >>> window_need(np.array([[[5.0], [-3.0], [1.0]]]), 1).ravel().tolist()
    [3.0, 3.0, -1.0]
    """
    if delay < 0:
        raise InputError("must not be negative", column="delay", value=delay)
    need = -np.asarray(headroom, np.float64)
    need = need if profits_move else np.maximum(need, 0.0)
    steps, width = need.shape[1], 1
    window = need.copy()
    while width < min(delay + 1, steps):
        ahead = min(width, delay + 1 - width)
        window[:, : steps - ahead] = np.maximum(window[:, : steps - ahead], window[:, ahead:].copy())
        width += ahead
    return window


def capital_needed(headroom: FloatArray, delay: int, *, haircut: float = 0.0, profits_move: bool = True) -> FloatArray:
    """Capital with which all venues survive each path, base asset, shape (n_paths,); negative: some can be taken out.

    Parameters
    ----------
    headroom, delay, profits_move
        As in `window_need`; one delay between all venues.
    haircut
        Share lost on the way, in [0, 1). With 0 the capital is exact: no less suffices, even knowing the path. Above 0
        it is enough and may be more than needed: each rise of a need is counted as sent over the bridge.

    Examples
    --------
    Two venues need 10 each, at different times.

    >>> headroom = np.array([[[-10.0, 0.0], [0.0, 0.0], [0.0, -10.0]]])
    >>> [capital_needed(headroom, delay).tolist() for delay in (0, 1, 2)]
    [[10.0], [10.0], [20.0]]
    >>> capital_needed(headroom, 1, haircut=0.1).round(6).tolist()
    [11.111111]
    """
    if not 0 <= haircut < 1:
        raise InputError("must be in [0, 1)", column="haircut", value=haircut)
    window = window_need(headroom, delay, profits_move=profits_move)
    sent = np.maximum(np.diff(window, axis=1), 0.0).sum(axis=(1, 2))
    return np.asarray(window.sum(axis=2).max(axis=1) + sent * haircut / (1 - haircut))


def separate_capital(headroom: FloatArray, survival: float, *, profits_move: bool = True) -> FloatArray:
    """Capital of each venue, base asset, with which the share `survival` of paths is survived by all, on its own.

    Each venue is given the same quantile of its own need over the paths, the lowest that does it.

    Examples
    --------
    >>> separate_capital(np.array([[[-10.0, 0.0]], [[-2.0, -4.0]]]), 1.0).tolist()
    [10.0, 4.0]
    """
    need = window_need(headroom, headroom.shape[1], profits_move=profits_move)[:, 0, :]
    wanted = _paths_to_survive(len(need), survival)
    ranked = np.sort(need, axis=0)
    # the rank at which every venue of a path has what it needs
    covered = np.max([np.searchsorted(ranked[:, v], need[:, v]) for v in range(need.shape[1])], axis=0)
    return np.asarray(ranked[np.sort(covered)[wanted - 1]])


def pooled_capital(
    headroom: FloatArray, delay: int, survival: float, *, haircut: float = 0.0, profits_move: bool = True
) -> float:
    """Capital of the pool with which the share `survival` of paths is survived; see `capital_needed`."""
    need = np.sort(capital_needed(headroom, delay, haircut=haircut, profits_move=profits_move))
    return float(need[_paths_to_survive(len(need), survival) - 1])


def _paths_to_survive(paths: int, survival: float) -> int:
    if not 0 < survival <= 1:
        raise InputError("must be in (0, 1]", column="survival", value=survival)
    return max(1, math.ceil(survival * paths - 1e-9))


@dataclass(frozen=True)
class PoolingValue:
    """Capital of a pool over networks by the delay between them, base asset.

    Parameters
    ----------
    separate
        Sum of the capital of separate pools.
    delay, capital
        Delays, rising, and what the pool needs at each.
    """

    separate: float
    delay: IntArray
    capital: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", frozen(self.delay, np.int64))
        object.__setattr__(self, "capital", frozen(self.capital, np.float64))

    @property
    def saved(self) -> FloatArray:
        """Capital saved at each delay; negative where the bridge costs more than pooling saves."""
        return self.separate - self.capital

    def breaks_at(self, share: float = 0.5) -> int | None:
        """First delay at which less than `share` of what the first one saves is left; None if there is none."""
        few = self.saved < share * self.saved[0]
        return int(self.delay[np.argmax(few)]) if few.any() else None


def pooling_value(
    paths: VenuePaths,
    delays: Sequence[int],
    survival: float = 0.99,
    *,
    haircut: float = 0.0,
    profits_move: bool = True,
) -> PoolingValue:
    """What pooling saves at each delay for the same share of paths survived.

    Examples
    --------
    >>> headroom = np.array([[[-10.0, 0.0], [0.0, 0.0], [0.0, -10.0]]])
    >>> found = pooling_value(VenuePaths(("x", "y"), headroom, headroom), [0, 1, 2], 1.0)
    >>> found.separate, found.saved.tolist(), found.breaks_at()
    (20.0, [10.0, 10.0, 0.0], 2)
    """
    if not len(delays) or any(b <= a for a, b in zip(delays, delays[1:], strict=False)):
        raise InputError("must be one or more rising delays", column="delays", value=list(delays))
    apart = separate_capital(paths.headroom, survival, profits_move=profits_move)
    capital = [
        pooled_capital(paths.headroom, delay, survival, haircut=haircut, profits_move=profits_move) for delay in delays
    ]
    return PoolingValue(float(apart.sum()), np.array(delays), np.array(capital))
