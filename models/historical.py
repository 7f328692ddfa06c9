"""Historical simulation: past joint price paths, raw or scaled to today's volatility, applied to each pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory
from .paths import PathLibrary, breach_probability, collect_paths
from .sample import AccountSample, ScaleField, certain_where_breached, never_falling

MOST_POINTS = 100_000
"""Path points a pool is looked at on, at most: horizon times windows. Sets how many windows a horizon gets."""
MOST_WINDOWS, LEAST_WINDOWS = 3000, 1000


def window_count(horizon: int) -> int:
    """How many windows of a horizon are used: 3,000 at one bar, fewer where paths are long, at least 1,000.

    Examples
    --------
    >>> window_count(1), window_count(24), window_count(288)
    (3000, 1388, 1000)
    """
    return int(np.clip(MOST_POINTS // (3 * horizon), LEAST_WINDOWS, MOST_WINDOWS))


class FilteredHistorical:
    """Filtered historical simulation of liquidation: standardised past paths times today's forecast scale.

    Each past window gives a joint path of all series, divided by the scale that was forecast at its start. A pool is
    liquidated on a path if its worst loss along it exceeds its headroom, smoothed on the log scale.

    Source: Barone-Adesi, Giannopoulos and Vosper (1999), with running extremes in place of terminal returns.

    Parameters
    ----------
    bandwidth
        Width of the smoothing on the log of the loss.
    threads
        Does not change the result.
    """

    def __init__(self, bandwidth: float = 0.08, threads: int = 1) -> None:
        self.bandwidth, self.threads = bandwidth, threads

    def fit(self, history: MarketHistory, scale: ScaleField, first_bar: int, last_bar: int) -> FilteredHistorical:
        """Collect windows that open at or after `first_bar` and end before `last_bar`; `scale` as known at each.

        Raises
        ------
        InputError
            A horizon that leaves no window with a known scale, or bars outside the history.
        """
        self.libraries_: dict[int, PathLibrary] = {}
        for k, horizon in enumerate(scale.horizons):
            opens = np.arange(first_bar, last_bar - horizon + 1)
            candidates = opens[np.isfinite(scale.sigma[opens, :, k]).any(axis=1)]
            if len(candidates) == 0:
                raise InputError(
                    f"leaves no window of {horizon} bars to simulate from", column="last_bar", value=last_bar
                )
            library = collect_paths(history, thinned(candidates, window_count(horizon)), horizon)
            self.libraries_[horizon] = library.standardised(scale.sigma[:, :, k])
        return self

    def predict(self, sample: AccountSample, scale: ScaleField) -> FloatArray:
        """Probability of liquidation of each row at each horizon, (n, n_horizons); NaN where no scale is known."""
        columns = [
            breach_probability(
                sample.exposure,
                self._library(horizon),
                scale=scale.of_entries(sample, horizon),
                bandwidth=self.bandwidth,
                threads=self.threads,
            )[0]
            for horizon in sample.horizons
        ]
        return certain_where_breached(never_falling(np.column_stack(columns)), sample.exposure)

    def _library(self, horizon: int) -> PathLibrary:
        if horizon not in self.libraries_:
            raise InputError(f"is not one of those fitted, {list(self.libraries_)}", column="horizon", value=horizon)
        return self.libraries_[horizon]

    def reordered(self, places: IntArray) -> FilteredHistorical:
        """The same for series in another order: series j was places[j] in fitting, or -1: not there."""
        out = FilteredHistorical(self.bandwidth, self.threads)
        out.libraries_ = {h: library.reordered(places) for h, library in self.libraries_.items()}
        return out

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        libraries = {str(h): {"start": lib.start, "moves": lib.moves} for h, lib in self.libraries_.items()}
        return {"bandwidth": self.bandwidth, "libraries": libraries}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FilteredHistorical:
        """The model as it was when `state` was taken."""
        model = cls(float(state["bandwidth"]))
        model.libraries_ = {
            int(h): PathLibrary(np.asarray(lib["start"]), np.asarray(lib["moves"], dtype=np.float32), int(h))
            for h, lib in state["libraries"].items()
        }
        return model


class TouchFrequency:
    """How often the raw moves of the last `days` days would have liquidated the pool; nothing is fitted.

    Windows open every few bars, counted from the first of the history so that a pool's probability does not depend on
    the others it is asked with, and must have ended by the time the pool is seen.
    """

    def __init__(self, days: int = 366, bandwidth: float = 0.08, threads: int = 1) -> None:
        self.days, self.bandwidth, self.threads = days, bandwidth, threads

    def predict(self, sample: AccountSample, history: MarketHistory) -> FloatArray:
        """Probability of each row at each horizon; NaN where the past holds no complete window."""
        span = int(np.timedelta64(self.days, "D") / history.step)
        columns = []
        for horizon in sample.horizons:
            stride = max(1, span // (window_count(horizon) // 2))
            starts = np.arange(1, int(sample.bar.max(initial=0)) - horizon + 1, stride)
            starts = starts[starts >= sample.bar.min(initial=len(history)) - span]
            columns.append(self._one_horizon(sample, history, starts, horizon, span))
        return certain_where_breached(never_falling(np.column_stack(columns)), sample.exposure)

    def _one_horizon(
        self, sample: AccountSample, history: MarketHistory, starts: IntArray, horizon: int, span: int
    ) -> FloatArray:
        if len(starts) == 0:
            return np.full(len(sample), np.nan)
        probability, _ = breach_probability(
            sample.exposure,
            collect_paths(history, starts, horizon),
            window_first=np.searchsorted(starts, sample.bar - span).astype(np.int64),
            window_last=np.searchsorted(starts, sample.bar - horizon, side="right").astype(np.int64),
            bandwidth=self.bandwidth,
            threads=self.threads,
        )
        return probability


def thinned(candidates: IntArray, most: int) -> IntArray:
    """At most `most` of the candidates, evenly spaced, in order.

    Examples
    --------
    >>> thinned(np.arange(10), 4).tolist()
    [0, 3, 6, 9]
    """
    if len(candidates) <= most:
        return candidates
    return candidates[np.linspace(0, len(candidates) - 1, most).round().astype(np.int64)]
