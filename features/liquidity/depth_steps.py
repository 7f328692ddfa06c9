"""Depth of the order book as bars have it: what closing a position costs, how thin the book is, how it comes back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow, BarTable
from ..engine.expression import column
from ..engine.formula import Formula
from ..engine.logarithm import log_one
from ..engine.operations import ewma, lagged
from ..engine.step import Declaration, State
from .depth_measures import depth_elasticity, imbalance

ROUNDING = 1e-12
"""Share of a mean square below which a variance is rounding."""

MEAN_REVERSION = "G. Dong, A. Kempf and P. Yadav, Resiliency, the neglected dimension of market liquidity, 2007"
EVEN_BLOCKS = "A. Obizhaeva and J. Wang, Optimal trading strategy and supply/demand dynamics, J. Financial Markets 16"


def side_columns(side: str, levels: Sequence[float]) -> list[FloatArray]:
    """Bar columns of a side's depth, as expressions, nearest level first."""
    return [column(f"{side}_{level:g}bps") for level in levels]


def depth_formulas(
    levels: Sequence[float],
    bar_hours: float,
    *,
    notionals: Sequence[float] = (),
    usual_hours: float = 72.0,
    recovery_hours: float = 168.0,
) -> Iterator[Formula]:
    """Features of a market's depth columns, each known at the bar's close.

    Parameters
    ----------
    levels
        Distances from the mid that the market has, basis points, rising.
    bar_hours
        Length of a bar.
    notionals
        Worth of positions to close, quote units, whole.
    usual_hours
        Half-life of the exponential mean that usual depth is.
    recovery_hours
        Half-life of the bars that the rate of recovery is estimated from.

    Raises
    ------
    InputError
        Levels that do not rise.

    Examples
    --------
    >>> [one.name for one in depth_formulas([10.0], 1.0)]
    ['log_depth_10bps', 'imbalance_10bps', 'relative_depth_10bps', 'depth_recovery_10bps']
    >>> [one.name for one in depth_formulas([5.0, 10.0], 1.0, notionals=[1e5])][-4:]
    ['depth_elasticity_bid', 'depth_elasticity_ask', 'sell_cost_100000', 'buy_cost_100000']
    """
    if not levels or list(levels) != sorted(set(levels)) or levels[0] <= 0.0:
        raise InputError("must be positive and rise", column="levels", value=list(levels))
    bids, asks = side_columns("bid", levels), side_columns("ask", levels)
    usual, recovery = usual_hours / bar_hours, recovery_hours / bar_hours
    for level, bid, ask in zip(levels, bids, asks, strict=True):
        yield from _of_level(f"{level:g}bps", bid, ask, usual, recovery)
    if len(levels) > 1:
        for side, depth in (("bid", bids), ("ask", asks)):
            said = f"Per cent that depth on the {side} side grows for a per cent of distance from the mid"
            yield Formula(f"depth_elasticity_{side}", depth_elasticity(levels, depth), said, "ratio", EVEN_BLOCKS)
    for notional in notionals:
        for way, depth in (("sell", bids), ("buy", asks)):
            said = f"What it costs to {way} {notional:.0f} at once, against the mid"
            cost = interpolated_cost(levels, depth, notional)
            yield Formula(f"{way}_cost_{notional:.0f}", cost, said, "basis points of the mid")


def _of_level(name: str, bid: FloatArray, ask: FloatArray, usual: float, recovery: float) -> Iterator[Formula]:
    depth = log_depth(bid, ask)
    said = "Notional resting within this distance of the mid"
    yield Formula(f"log_depth_{name}", depth, said, "log of quote units")
    yield Formula(f"imbalance_{name}", imbalance(bid, ask), "Bids less asks over both", "-1 to 1")
    said = "Depth against its exponential mean up to the bar before: below zero where the book is thin"
    yield Formula(f"relative_depth_{name}", relative_depth(depth, usual), said, "log ratio")
    said = "Share of a deviation of log depth from its mean that is made up within a bar"
    yield Formula(f"depth_recovery_{name}", recovery_rate(depth, recovery), said, "share a bar", MEAN_REVERSION)


def log_depth(bid: FloatArray, ask: FloatArray) -> FloatArray:
    """Log of what rests on both sides; NaN where nothing does.

    Examples
    --------
    >>> log_depth(np.array([60.0, 0.0]), np.array([40.0, 0.0])).round(6).tolist()
    [4.60517, nan]
    """
    whole = bid + ask
    return np.log(np.where(whole > 0.0, whole, np.nan))


def relative_depth(log_depth: FloatArray, half_life: float) -> FloatArray:
    """Log depth less its exponential mean over the bars before; NaN as in `ewma`.

    Examples
    --------
    >>> relative_depth(np.array([[2.0], [1.0]]), 1.0)[:, 0].tolist()
    [nan, -1.0]
    """
    return log_depth - lagged(ewma(log_depth, half_life), 1)


def recovery_rate(log_depth: FloatArray, half_life: float) -> FloatArray:
    """Rate kappa of d_k - d_(k-1) = kappa (m - d_(k-1)) + noise, by least squares over exponentially weighted bars.

    Zero for a random walk, one where a shortfall is made up within a bar. Source: G. Dong, A. Kempf and P. Yadav,
    Resiliency, the neglected dimension of market liquidity: empirical evidence from the New York Stock Exchange, 2007.

    Parameters
    ----------
    log_depth
        Shape (T, n).
    half_life
        In bars.

    Returns
    -------
    FloatArray
        Shape (T, n), a share a bar; NaN as in `ewma`, and where the depth never changed.

    Examples
    --------
    Half of the deviation from zero comes back each bar.

    >>> recovery_rate(np.array([[0.0], [1.0], [0.5], [0.25]])[1:], 1.0)[-1].round(12).tolist()
    [0.5]
    """
    before = lagged(log_depth, 1)
    change = log_depth - before
    before = before + 0.0 * change
    mean, change_mean = ewma(before, half_life), ewma(change, half_life)
    together = ewma(before * change, half_life) - mean * change_mean
    square = ewma(before * before, half_life)
    spread = square - mean * mean
    return -together / np.where(spread > ROUNDING * square, spread, np.nan)


def interpolated_cost(levels: Sequence[float], depth: Sequence[FloatArray], notional: float) -> FloatArray:
    """Average distance from the mid at which so much is filled, with depth spread evenly between two levels.

    D(l), the notional within l basis points, is taken as linear between the levels and from D(0) = 0. An order of N
    fills between levels l_0 < l_1 an amount f of their D(l_1) - D(l_0) at distances up to l_0 + (l_1 - l_0) f /
    (D(l_1) - D(l_0)); the cost is the mean distance over N. The true cost of the book lies between that with each
    piece at its near level and that with each at its far one.

    Parameters
    ----------
    levels
        Basis points, rising.
    depth
        Notional within each level, quote units, arrays of one shape or expressions.
    notional
        N, quote units, positive.

    Returns
    -------
    FloatArray
        Basis points of the mid; NaN where less than N rests within the last level, a level is missing, or depth shrinks
        as the level widens.

    Examples
    --------
    Of 300, 100 rest within 10 basis points and are filled at 5 on average; 200 of the 400 up to 20 at 12.5.

    >>> interpolated_cost([10.0, 20.0], [np.array([100.0]), np.array([500.0])], 300.0).tolist()
    [10.0]
    """
    if notional <= 0.0:
        raise InputError("must be positive", column="notional", value=notional)
    near, inner = 0.0, 0.0 * depth[0]
    weighted, sound = 0.0 * depth[0], depth[-1] >= notional
    for level, outer in zip(levels, depth, strict=True):
        room = outer - inner
        sound = sound & (room >= 0.0)
        filled = np.minimum(np.maximum(notional - inner, 0.0), room)
        share = filled / np.where(room > 0.0, room, 1.0)
        weighted = weighted + filled * (near + 0.5 * (level - near) * share)
        near, inner = level, outer
    return np.where(sound, weighted / notional, np.nan)


class MedianState(NamedTuple):
    """Depths of each level and symbol over the window: as they came, and in order; bars so far and known ones."""

    ring: FloatArray
    ordered: FloatArray
    known: IntArray
    bars: IntArray
    last: FloatArray


@dataclass(frozen=True)
class ThinnessStep:
    """Depth against its trailing median: log of the bar's depth less log of the median over the window before it.

    A median bears single empty or crowded books and missing bars, which an exponential mean does not.

    Parameters
    ----------
    levels
        Distances from the mid, basis points.
    bar_hours
        Length of a bar.
    window_hours
        Length of the window, at least two bars.

    Raises
    ------
    InputError
        No level, or a window of fewer than two bars.

    Examples
    --------
    >>> [one.name for one in ThinnessStep((5.0, 10.0)).declarations]
    ['depth_thinness_5bps', 'depth_thinness_10bps']
    """

    levels: tuple[float, ...]
    bar_hours: float = 1.0
    window_hours: float = 168.0

    def __post_init__(self) -> None:
        if not self.levels:
            raise InputError("needs a level", column="levels")
        if self.bars < 2:
            raise InputError("must hold two bars", column="window_hours", value=self.window_hours)

    @property
    def bars(self) -> int:
        """Bars of the window."""
        return round(self.window_hours / self.bar_hours)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """One feature a level, in their order."""
        return tuple(
            Declaration(
                name=f"depth_thinness_{level:g}bps",
                summary="Depth against its trailing median: below zero where the book is thin",
                unit="log ratio",
                inputs=(f"bid_{level:g}bps", f"ask_{level:g}bps"),
                lookback_hours=self.bars * self.bar_hours,
                missing="NaN where the bar has no depth, or fewer than half of the window before it had",
            )
            for level in self.levels
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar."""
        return dict(self._start(len(symbols))._asdict())

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        resting = np.stack([row[f"bid_{level:g}bps"] + row[f"ask_{level:g}bps"] for level in self.levels])
        _take_in(MedianState(**state), resting)

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, n_levels)."""
        return np.ascontiguousarray(state["last"].T)

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Every row wanted in one compiled pass, the same bits."""
        columns = table.columns
        resting = [columns[f"bid_{level:g}bps"] + columns[f"ask_{level:g}bps"] for level in self.levels]
        out = np.empty((len(at), len(table.symbols), len(self.levels)))
        _run(MedianState(**state), np.stack(resting, axis=1), at, out)
        return out

    def _start(self, symbols: int) -> MedianState:
        shape = (len(self.levels), symbols, self.bars)
        known, bars = np.zeros(shape[:2], np.int64), np.zeros(1, np.int64)
        return MedianState(np.full(shape, np.nan), np.zeros(shape), known, bars, np.full(shape[:2], np.nan))


@numba.njit(cache=True, nogil=True)
def _take_in(state: MedianState, resting: FloatArray) -> None:
    window = state.ring.shape[2]
    place = state.bars[0] % window
    for level in range(resting.shape[0]):
        for symbol in range(resting.shape[1]):
            depth = log_one(resting[level, symbol]) if resting[level, symbol] > 0.0 else np.nan
            ordered, known = state.ordered[level, symbol], state.known[level, symbol]
            state.last[level, symbol] = depth - _median(ordered, known, window)
            state.known[level, symbol] = _exchange(ordered, known, state.ring[level, symbol, place], depth)
            state.ring[level, symbol, place] = depth
    state.bars[0] += 1


@numba.njit(cache=True, nogil=True)
def _median(ordered: FloatArray, known: int, window: int) -> float:
    if 2 * known < window:
        return np.nan
    return float(0.5 * (ordered[(known - 1) // 2] + ordered[known // 2]))


@numba.njit(cache=True, nogil=True)
def _exchange(ordered: FloatArray, known: int, old: float, new: float) -> int:
    """Take `old` out of the ordered values and put `new` in; NaN is none. Returns how many there are then."""
    if not np.isnan(old):
        known -= 1
        for place in range(np.searchsorted(ordered[: known + 1], old), known):
            ordered[place] = ordered[place + 1]
    if not np.isnan(new):
        place = known
        while place > 0 and ordered[place - 1] > new:
            ordered[place] = ordered[place - 1]
            place -= 1
        ordered[place] = new
        known += 1
    return known


@numba.njit(cache=True, nogil=True)
def _run(state: MedianState, resting: FloatArray, at: IntArray, out: FloatArray) -> None:
    bar = 0
    for wanted in range(len(at)):
        while bar < at[wanted]:
            _take_in(state, resting[bar])
            bar += 1
        out[wanted] = state.last.T
