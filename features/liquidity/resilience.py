"""How fast depth comes back after it was eaten or pulled: the rate of recovery, from the book as it streams."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.step import State

REFERENCE, AGE, LAST_DEPTH, SHORTFALL, START_SHORTFALL, AREA, FROZEN, RECOVERED, EXPOSED = range(9)
LAST_TIME, START_TIME = range(2)
OPEN, EPISODES, BROKEN_OFF = range(3)


@dataclass(frozen=True)
class ResilienceSettings:
    """When depth counts as depleted, and how long its recovery is watched.

    Parameters
    ----------
    band_bps
        Depth is what rests within so many basis points of the mid.
    reference_seconds
        Half-life of the exponential mean that usual depth is.
    depletion
        Share of the usual depth that must be missing for an episode to begin.
    watch_seconds
        When an episode ends, unless all is back before.
    memory_episodes
        Half-life of an episode's weight in the rate, in episodes.
    least_episodes
        Episodes before the rate is said.
    """

    band_bps: float = 10.0
    reference_seconds: float = 60.0
    depletion: float = 0.3
    watch_seconds: float = 30.0
    memory_episodes: float = 50.0
    least_episodes: int = 5

    def __post_init__(self) -> None:
        for name in ("band_bps", "reference_seconds", "watch_seconds", "memory_episodes", "least_episodes"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError("must be positive and finite", column=name, value=getattr(self, name))
        if not 0.0 < self.depletion < 1.0:
            raise InputError("must lie between 0 and 1", column="depletion", value=self.depletion)


class Resilience:
    """Streaming estimate of the rate at which missing depth comes back, bids and asks apart.

    Shortfall x = max(0, 1 - D / R), with D the depth within the band and R its exponential mean in time. When x reaches
    `depletion`, from whatever cause, R is frozen and an episode runs until x is 0 or the watch ends. If the shortfall
    decays as dx/dt = -rate x (the recovery of A. Obizhaeva and J. Wang, Optimal trading strategy and supply/demand
    dynamics, J. Financial Markets 16 (2013)), then over any time its fall is rate times the area under it; so

        rate = sum of (x at the start - x at the end) / sum of the areas under x,

    over episodes, older ones weighing less, and the half-life is ln 2 / rate. Depth stands still between two messages,
    which makes the areas exact. Depth that flickers ends episodes early: with noise of 2% the rate comes out about a
    tenth too high.

    Parameters
    ----------
    settings
        See `ResilienceSettings`.

    Examples
    --------
    Usual depth 100, then 50 for two seconds and all back at once: 0.5 recovered over an area of 1.

    >>> one = Resilience(ResilienceSettings(reference_seconds=1e9, least_episodes=1))
    >>> seconds = np.array([0.0, 2e9, 2e9 + 1, 2e9 + 3])
    >>> depth = np.array([[100.0, 100.0], [100.0, 100.0], [50.0, 100.0], [100.0, 100.0]])
    >>> one.advance((seconds * 1e9).astype(np.int64), depth)
    >>> one.rate.round(6).tolist(), one.half_life.round(6).tolist()
    ([0.5, nan], [1.386294, nan])
    """

    def __init__(self, settings: ResilienceSettings | None = None) -> None:
        self.settings = settings or ResilienceSettings()
        self._state: State = {
            "numbers": np.zeros((2, 9)),
            "times": np.full((2, 2), -1, np.int64),
            "counts": np.zeros((2, 3), np.int64),
        }
        self._state["numbers"][:, [REFERENCE, LAST_DEPTH]] = np.nan

    def advance(self, seen: IntArray, depth: FloatArray) -> None:
        """Take in the depth within the band as messages left it.

        Parameters
        ----------
        seen
            Nanoseconds since 1970, shape (m,).
        depth
            Bids and asks, quote units, shape (m, 2). Where it is NaN, or time goes back, an open episode is broken off
            and the usual depth is learned anew.
        """
        for side in range(2):
            _advance(
                self._state["numbers"][side],
                self._state["times"][side],
                self._state["counts"][side],
                seen,
                np.ascontiguousarray(depth[:, side]),
                self._settings(),
            )

    @property
    def rate(self) -> FloatArray:
        """Share of the shortfall that comes back per second, bids and asks; NaN before enough episodes.

        Zero or below: on the whole nothing came back while it was watched.
        """
        numbers, counts = self._state["numbers"], self._state["counts"]
        known = (counts[:, EPISODES] >= self.settings.least_episodes) & (numbers[:, EXPOSED] > 0.0)
        return np.where(known, numbers[:, RECOVERED] / np.where(known, numbers[:, EXPOSED], 1.0), np.nan)

    @property
    def half_life(self) -> FloatArray:
        """Seconds until half of a shortfall is back, bids and asks; NaN where the rate is NaN or not positive."""
        rate = self.rate
        return np.where(rate > 0.0, math.log(2.0) / np.where(rate > 0.0, rate, 1.0), np.nan)

    @property
    def episodes(self) -> IntArray:
        """Episodes that ended, and those that a gap broke off, for bids and asks, shape (2, 2)."""
        ended: IntArray = self._state["counts"][:, [EPISODES, BROKEN_OFF]].copy()
        return ended

    def checkpoint(self) -> State:
        """All that is remembered, as arrays."""
        return {name: values.copy() for name, values in self._state.items()}

    @classmethod
    def restored(cls, state: State, settings: ResilienceSettings | None = None) -> Resilience:
        """The estimate of a checkpoint."""
        one = cls(settings)
        one._state = {name: state[name].copy() for name in one._state}
        return one

    def _settings(self) -> tuple[float, float, float, float]:
        s = self.settings
        return s.reference_seconds, s.depletion, s.watch_seconds, 0.5 ** (1.0 / s.memory_episodes)


@numba.njit(cache=True, nogil=True)
def _advance(
    numbers: FloatArray,
    times: IntArray,
    counts: IntArray,
    seen: IntArray,
    depth: FloatArray,
    settings: tuple[float, float, float, float],
) -> None:
    half_life, depletion, watch, decay = settings
    for row in range(len(seen)):
        now, value = seen[row], depth[row]
        passed = (now - times[LAST_TIME]) * 1e-9
        if np.isnan(value) or passed < 0.0:
            counts[BROKEN_OFF] += counts[OPEN]
            counts[OPEN] = 0
            numbers[LAST_DEPTH] = np.nan
        if np.isnan(value):
            continue
        if np.isnan(numbers[LAST_DEPTH]):
            numbers[REFERENCE], numbers[AGE] = value, 0.0
        else:
            kept = 0.5 ** (passed / half_life)
            numbers[REFERENCE] = kept * numbers[REFERENCE] + (1.0 - kept) * numbers[LAST_DEPTH]
            numbers[AGE] += passed
            if counts[OPEN]:
                numbers[AREA] += numbers[SHORTFALL] * passed
        times[LAST_TIME], numbers[LAST_DEPTH] = now, value
        _judge(numbers, times, counts, now, half_life, depletion, watch, decay)


@numba.njit(cache=True, nogil=True)
def _judge(
    numbers: FloatArray,
    times: IntArray,
    counts: IntArray,
    now: int,
    half_life: float,
    depletion: float,
    watch: float,
    decay: float,
) -> None:
    """Begin an episode, go on with it or end it."""
    usual = numbers[FROZEN] if counts[OPEN] else numbers[REFERENCE]
    missing = max(0.0, 1.0 - numbers[LAST_DEPTH] / usual) if usual > 0.0 else 0.0
    if counts[OPEN]:
        numbers[SHORTFALL] = missing
        if missing == 0.0 or (now - times[START_TIME]) * 1e-9 >= watch:
            numbers[RECOVERED] = decay * numbers[RECOVERED] + numbers[START_SHORTFALL] - missing
            numbers[EXPOSED] = decay * numbers[EXPOSED] + numbers[AREA]
            counts[EPISODES] += 1
            counts[OPEN] = 0
    elif missing >= depletion and numbers[AGE] >= half_life:
        counts[OPEN], times[START_TIME] = 1, now
        numbers[FROZEN], numbers[AREA] = usual, 0.0
        numbers[SHORTFALL], numbers[START_SHORTFALL] = missing, missing
