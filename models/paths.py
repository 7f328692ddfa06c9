"""Past price paths as scenarios, for many pools at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..riskcore.arrays import FloatArray, IntArray, require
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure
from ..riskcore.margin import in_chunks
from ..riskcore.market import MarketHistory
from .path_kernel import Float32Array, breach_pass

STATES = 3
"""Points a bar is seen at: every price at its low, every price at its high, every price at its close."""


@dataclass(frozen=True)
class PathPlanes:
    """Paths point by point, the windows of a point side by side, so that they are worked on together.

    Parameters
    ----------
    values
        Shape (n_series, 2 + 3 * horizon, n_windows): the lowest and the highest point of each path, then the low of
        each bar, the high of each, the close of each.
    spans
        Planes [first, last) on which the worst loss of a pool lies, shape (5, 2): of one long leg, of one short, of
        several long, of several short, of both.
    """

    values: Float32Array
    spans: IntArray

    @classmethod
    def of(cls, moves: Float32Array) -> PathPlanes:
        """Lay out moves of shape (n_windows, n_series, 3 * horizon).

        Long legs together are worst at the lows and short ones at the highs, unless the lows and highs of `moves` are
        not the lowest and highest of their bars.

        Examples
        --------
        >>> planes = PathPlanes.of(np.array([[[-0.1, 0.2, 0.1]]], dtype=np.float32))
        >>> planes.values[0, :, 0].astype(float).round(3).tolist(), planes.spans.tolist()
        ([-0.1, 0.2, -0.1, 0.2, 0.1], [[0, 1], [1, 2], [2, 3], [3, 4], [2, 5]])
        """
        windows, series, points = moves.shape
        horizon = points // STATES
        values = np.empty((series, 2 + points, windows), dtype=np.float32)
        values[:, 0], values[:, 1] = moves.min(axis=2).T, moves.max(axis=2).T
        by_state = values[:, 2:].reshape(series, STATES, horizon, windows)
        by_state[:] = moves.reshape(windows, series, horizon, STATES).transpose(1, 3, 2, 0)
        low, high, close = by_state.transpose(1, 0, 2, 3)
        states = np.array([2, 2 + points])
        spans = np.array([[0, 1], [1, 2], states, states, states])
        if not ((low > close) | (close > high)).any():
            spans[2:4] = [2, 2 + horizon], [2 + horizon, 2 + 2 * horizon]
        return cls(values, spans)


@dataclass(frozen=True)
class PathLibrary:
    """Joint paths of all price series over windows of the past.

    Parameters
    ----------
    start
        Bar at which each window opens, rising, shape (n_windows,).
    moves
        Log price relative to the close before the window, shape (n_windows, n_series, 3 * horizon): low, high and
        close of each bar in turn. NaN throughout a series that misses a bar in the window.
    horizon
        Bars in a window.
    """

    start: IntArray
    moves: NDArray[np.float32]
    horizon: int

    @cached_property
    def planes(self) -> PathPlanes:
        """The paths laid out for `breach_probability`; made once, `moves` must not be changed after."""
        return PathPlanes.of(self.moves)

    def standardised(self, scale: FloatArray) -> PathLibrary:
        """Paths divided by the scale known at their start, `scale` of shape (n_bars + 1, n_series).

        A series without prices or scale in a window borrows the standardised path of another that has them there,
        chosen by window and series number, so that a series with a short past still shares the market's stresses.
        """
        moves = (self.moves / scale[self.start][:, :, None]).astype(np.float32)
        return PathLibrary(self.start, _with_borrowed(moves), self.horizon)

    def reordered(self, places: IntArray) -> PathLibrary:
        """Standardised paths with column j taken from series places[j], or borrowed from any where that is -1."""
        moves = self.moves[:, np.maximum(places, 0)]
        moves[:, places < 0] = np.nan
        with_donors = np.concatenate((moves, self.moves), axis=1)
        return PathLibrary(self.start, _with_borrowed(with_donors)[:, : len(places)].copy(), self.horizon)


def _with_borrowed(moves: NDArray[np.float32]) -> NDArray[np.float32]:
    known = np.isfinite(moves[:, :, 0])
    for window in np.flatnonzero(~known.all(axis=1) & known.any(axis=1)):
        donors, lacking = np.flatnonzero(known[window]), np.flatnonzero(~known[window])
        moves[window, lacking] = moves[window, donors[(lacking + window) % len(donors)]]
    return moves


def collect_paths(history: MarketHistory, starts: IntArray, horizon: int) -> PathLibrary:
    """Paths of `horizon` bars from each start; a window must end within the history and have a bar before it.

    Examples
    --------
    >>> from ..riskcore.instruments import InstrumentTable
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(3) * np.timedelta64(1, "h")
    >>> p = np.array([[100.0], [110.0], [121.0]])
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((3, 1)))
    >>> collect_paths(history, np.array([1]), 2).moves[0, 0].astype(float).round(4).tolist()
    [0.0953, 0.0953, 0.0953, 0.1906, 0.1906, 0.1906]
    """
    outside = (starts < 1) | (starts + horizon > len(history))
    require(~outside, starts, f"windows of {horizon} bars must lie within bars 1 to {len(history) - 1}", "starts")
    logs = np.log(np.stack((history.low, history.high, history.close), axis=1))
    before = np.log(history.close[starts - 1])
    n_series = history.close.shape[1]
    moves = np.empty((len(starts), n_series, STATES * horizon), dtype=np.float32)
    for k in range(horizon):
        step = logs[starts + k] - before[:, None, :]
        moves[:, :, STATES * k : STATES * (k + 1)] = step.transpose(0, 2, 1)
    moves[np.isnan(moves).any(axis=2)] = np.nan
    return PathLibrary(starts, moves, horizon)


def breach_probability(
    exposure: Exposure,
    library: PathLibrary,
    *,
    scale: FloatArray | None = None,
    window_first: IntArray | None = None,
    window_last: IntArray | None = None,
    bandwidth: float = 0.08,
    threads: int = 1,
) -> tuple[FloatArray, FloatArray]:
    """Share of paths on which each pool's worst loss exceeds its headroom, smoothed, and how many paths counted.

    Parameters
    ----------
    exposure
        The pools, shape n.
    library
        The paths; in units of `scale` if that is given, else in log price.
    scale
        Scale at each exposure entry, shape (n_entries,); 1 if left out.
    window_first, window_last
        Windows each pool may use, [first, last), shape (n,); all if left out.
    bandwidth
        Width of the smoothing in units of log loss, positive.
    threads
        Does not change the result.

    Returns
    -------
    probability, count
        Shape (n,). NaN where no path has prices for all of a pool's legs.

    Raises
    ------
    InputError
        A bandwidth that is not positive, or an exposure to a series the library does not have.
    """
    if not bandwidth > 0:
        raise InputError("must be positive", column="bandwidth", value=bandwidth)
    series = library.moves.shape[1]
    require(exposure.series < series, exposure.series, f"is not one of the library's {series}", "series")
    n = len(exposure)
    scale = np.ones(len(exposure.weight)) if scale is None else np.ascontiguousarray(scale)
    window_first = np.zeros(n, dtype=np.int64) if window_first is None else window_first
    window_last = np.full(n, len(library.start), dtype=np.int64) if window_last is None else window_last
    planes = library.planes
    probability, count = np.empty(n), np.empty(n)

    def run(first: int, last: int) -> None:
        breach_pass(
            first,
            last,
            exposure.pointer,
            exposure.series,
            exposure.weight,
            scale,
            exposure.headroom,
            planes.values,
            planes.spans,
            window_first,
            window_last,
            bandwidth,
            probability,
            count,
        )

    in_chunks(run, n, threads)
    return probability, count
