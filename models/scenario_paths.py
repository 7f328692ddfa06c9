"""Joint price scenarios from one instant on: simulated once, then sent through exact margin for every account."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ..riskcore.arrays import FloatArray, IntArray, frozen, require, require_shape
from ..riskcore.errors import InputError
from ..riskcore.instruments import INVERSE, InstrumentTable, contract_value
from ..riskcore.market import MarketHistory
from ..riskcore.price_pyramid import PyramidArrays
from .historical import FilteredHistorical, thinned
from .paths import STATES
from .sample import ScaleField


@dataclass(frozen=True)
class ScenarioPaths:
    """Joint paths of all price series from one instant on; made by `scenario_paths`.

    Parameters
    ----------
    instruments
        The contracts.
    time, step
        The instant, and the length of a bar.
    now
        Price of each series then, shape (n_series,); NaN where there is none.
    low, high, close
        Prices, shape (n_paths, horizon, n_series), NaN throughout a series that a path does not have. A bar is seen
        with every price at its low, every price at its high, every price at its close.
    mark_series, index_series
        As in `MarketHistory`.
    funding
        Rate charged to who holds each instrument at the open of each bar, shape (horizon, n_instruments); none falls
        due at the first.
    """

    instruments: InstrumentTable
    time: np.datetime64
    step: np.timedelta64
    now: FloatArray
    low: FloatArray
    high: FloatArray
    close: FloatArray
    mark_series: IntArray
    index_series: IntArray
    funding: FloatArray

    def __post_init__(self) -> None:
        for name in ("now", "low", "high", "close", "funding"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if self.close.ndim != 3 or 0 in self.close.shape[:2]:
            raise InputError("needs at least one path of one bar", column="close", value=self.close.shape)
        for name in ("low", "high"):
            require_shape(getattr(self, name), self.close.shape, name)
        outside = (self.close < self.low) | (self.close > self.high)
        require(~outside, self.close, "close is outside [low, high]", "close")
        require_shape(self.now, self.close.shape[2:], "now")
        require_shape(self.funding, (self.horizon, len(self.instruments)), "funding")
        require(np.isfinite(self.funding), self.funding, "funding must be a finite number", "funding")

    def __len__(self) -> int:
        return len(self.close)

    @property
    def horizon(self) -> int:
        """Bars in a path."""
        return int(self.close.shape[1])

    def thinned(self, most: int) -> ScenarioPaths:
        """At most `most` of the paths, evenly spaced: for engines that take long on each."""
        chosen = thinned(np.arange(len(self)), most)
        return replace(self, low=self.low[chosen], high=self.high[chosen], close=self.close[chosen])

    def with_constants(self, values: ArrayLike) -> ScenarioPaths:
        """The paths with further series that do not move, such as implied volatilities without a history.

        Raises
        ------
        InputError
            A value that is not positive.
        """
        extra = np.atleast_1d(np.asarray(values, np.float64))
        require((extra > 0) & np.isfinite(extra), extra, "must be positive", "constant")
        still = np.broadcast_to(extra, (*self.close.shape[:2], len(extra)))
        low, high, close = (np.concatenate((part, still), axis=2) for part in (self.low, self.high, self.close))
        return replace(self, now=np.append(self.now, extra), low=low, high=high, close=close)

    def arrays(self) -> PyramidArrays:
        """The paths one after the other as the kernels walk them: bars, and one level of blocks, a path each."""
        paths, bars, series = self.close.shape
        charge, paid = self._funding_paid()
        return PyramidArrays(
            self.low.reshape(paths * bars, series),
            self.high.reshape(paths * bars, series),
            self.close.reshape(paths * bars, series),
            self.mark_series,
            self.index_series,
            paid.reshape(-1, paid.shape[2]),
            charge,
            np.zeros(2, np.int64),
            np.array([1, bars]),
            self.low.min(axis=1),
            self.high.max(axis=1),
            paid.min(axis=1),
            paid.max(axis=1),
        )

    def _funding_paid(self) -> tuple[IntArray, FloatArray]:
        """As in `riskcore.price_pyramid`, path by path: row for each bar, and sums (n_paths, n_charges + 1, n)."""
        due = np.flatnonzero((self.funding != 0).any(axis=1))
        due = due[due > 0]
        mark = self.close[:, due - 1][:, :, self.mark_series]
        inverse = np.asarray(self.instruments.kind == INVERSE)
        # a charge where no mark is known is left out: the position cannot be valued there either
        charged = np.nan_to_num(contract_value(self.funding[due], mark, inverse), nan=0.0)
        paid = np.concatenate((np.zeros((len(self), 1, len(inverse))), np.cumsum(charged, axis=1)), axis=1)
        row = np.searchsorted(due, np.arange(self.horizon), side="right")
        return (np.arange(len(self))[:, None] * (len(due) + 1) + row).ravel(), paid


def scenario_paths(
    model: FilteredHistorical,
    scale: ScaleField,
    history: MarketHistory,
    bar: int,
    horizon: int,
    *,
    funding: FloatArray | None = None,
) -> ScenarioPaths:
    """Scenarios of one horizon as known at the open of a bar: each fitted path times today's scale, from today's price.

    Costs one exponential for each price: 1,388 paths of 24 bars and 5 series take about 10 ms and 12 MB.

    Parameters
    ----------
    model, scale
        The fitted simulation, and the scale of every series at `bar`.
    history
        Prices up to the bar: nothing from `bar` on is looked at.
    bar, horizon
        Bar at whose open accounts are seen, and one of the fitted horizons.
    funding
        Rates expected to be charged, shape (horizon, n_instruments), such as `funding_ahead`; none if left out.

    Raises
    ------
    InputError
        A horizon that was not fitted or has no scale, a bar outside the history, a model of other series.

    Examples
    --------
    The one past path, +10% in units of a scale of 1, doubled by today's scale of 2: 100 * 1.1 ** 2

    >>> from .paths import PathLibrary
    >>> times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
    >>> p = np.full((2, 1), 100.0)
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> history = MarketHistory(table, times, p, p, p, p, [0], [-1], np.zeros((2, 1)))
    >>> model = FilteredHistorical()
    >>> model.libraries_ = {1: PathLibrary(np.array([1]), np.log([[[0.9, 1.1, 1.1]]]), 1)}
    >>> scenario_paths(model, ScaleField(np.full((3, 1, 1), 2.0), (1,)), history, 2, 1).close.round(6).tolist()
    [[[121.0]]]
    """
    for known in (tuple(model.libraries_), scale.horizons):
        if horizon not in known:
            raise InputError(f"is not one of those fitted, {list(known)}", column="horizon", value=horizon)
    if not 1 <= bar <= len(history):
        raise InputError(f"needs a bar from 1 to {len(history)}", column="bar", value=bar)
    library, now = model.libraries_[horizon], history.close[bar - 1]
    paths, series, _ = library.moves.shape
    if series != len(now):
        raise InputError(f"was fitted on {series} price series, the history has {len(now)}", column="model")
    sigma = scale.sigma[bar, :, scale.horizons.index(horizon)]
    moves = library.moves.reshape(paths, series, horizon, STATES).transpose(3, 0, 2, 1)
    low, high, close = now * np.exp(sigma * moves.astype(np.float64))
    charged = np.zeros((horizon, len(history.instruments))) if funding is None else funding
    return ScenarioPaths(
        history.instruments,
        history.times[bar - 1] + history.step,
        history.step,
        now,
        low,
        high,
        close,
        history.mark_series,
        history.index_series,
        charged,
    )


def funding_ahead(history: MarketHistory, bar: int, horizon: int) -> FloatArray:
    """Funding rates expected over the bars from `bar` on: those of the same times of the last day, as they were.

    Shape (horizon, n_instruments). Rates are slow to change, so the last day's are a fair guess of the next one's.

    Raises
    ------
    InputError
        Less than a day of history before the bar, or bars that do not divide a day.
    """
    day = float(np.timedelta64(1, "D") / history.step)
    if day != int(day) or day < 1:
        raise InputError("needs bars that divide a day", column="times", value=str(history.step))
    if not day <= bar <= len(history):
        raise InputError("needs a day of funding before it", column="bar", value=bar)
    return np.asarray(history.funding[bar - int(day) + np.arange(horizon) % int(day)])
