"""Marks, indices and funding: at one instant (`MarketState`) and over time (`MarketHistory`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arrays import FloatArray, IntArray, TimeArray, frozen, require, require_shape
from .errors import InputError
from .instruments import InstrumentTable

UNIT_INDEX = -1
"""In `MarketHistory.index_series`: the asset is the base asset, worth one."""


@dataclass(frozen=True)
class MarketState:
    """What was known of prices at one instant.

    Parameters
    ----------
    time
        The instant, UTC, datetime64[ns].
    mark
        Mark price of each instrument, quote units, shape (n_instruments,). NaN where the instrument has no mark; a
        position in it is then an error, not a zero.
    index
        Price of each asset in the base asset, shape (n_assets,); the base asset's is 1.
    """

    time: np.datetime64
    mark: FloatArray
    index: FloatArray

    def __post_init__(self) -> None:
        for name in ("mark", "index"):
            column = frozen(getattr(self, name), np.float64)
            object.__setattr__(self, name, column)
            require(np.isnan(column) | ((column > 0) & np.isfinite(column)), column, "price must be positive", name)


@dataclass(frozen=True)
class MarketHistory:
    """Bars of price series on a regular UTC grid, and which series marks which instrument or prices which asset.

    Parameters
    ----------
    instruments
        The contracts; `mark_series[i]` is the column of prices that marks instrument i.
    times
        Bar opens, datetime64[ns], UTC, shape (n_bars,), equally spaced by `step`.
    open, high, low, close
        Prices, shape (n_bars, n_series). NaN where a series has no bar (not listed yet, or a gap): never filled.
    mark_series
        Column of prices for each instrument, shape (n_instruments,).
    index_series
        Column of prices for each asset, or UNIT_INDEX (-1) for the base asset, shape (n_assets,).
    funding
        Funding rate charged at `times[k]` to who holds instrument i then, shape (n_bars, n_instruments), as a fraction
        of notional; 0 where none is charged. Longs pay positive rates.
    source
        Which table the marks came from, in words.

    Notes
    -----
    A bar with open `times[k]` is known at `times[k] + step`. An account seen at `times[i]` is valued at the close of
    bar i - 1 and lives through bars i, i + 1, ...

    Raises
    ------
    InputError
        Shapes that disagree, an irregular or unsorted grid, a non-positive price, high below low, a close outside them,
        a bar of which only a part is NaN, a funding rate that is NaN.
    """

    instruments: InstrumentTable
    times: TimeArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    mark_series: IntArray
    index_series: IntArray
    funding: FloatArray
    source: str = "mark"

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "times", frozen(self.times, "datetime64[ns]"))
        for name in ("open", "high", "low", "close", "funding"):
            set_(self, name, frozen(getattr(self, name), np.float64))
        for name in ("mark_series", "index_series"):
            set_(self, name, frozen(getattr(self, name), np.int64))
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        if self.close.ndim != 2:
            raise InputError(f"has shape {self.close.shape}, expected (n_bars, n_series)", column="close")
        bars, series = self.close.shape
        expected: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("open", "high", "low"), (bars, series)),
            "times": (bars,),
            "mark_series": (len(self.instruments),),
            "index_series": (len(self.instruments.assets),),
            "funding": (bars, len(self.instruments)),
        }
        for name, shape in expected.items():
            require_shape(getattr(self, name), shape, name)
        for name in ("mark_series", "index_series"):
            column = getattr(self, name)
            lowest = 0 if name == "mark_series" else UNIT_INDEX
            require((column >= lowest) & (column < series), column, f"is not one of {series} price series", name)

    def _check_values(self) -> None:
        steps = np.diff(self.times)
        for problem, right in (
            ("times must rise", steps > np.timedelta64(0)),
            ("bars must be equally spaced", steps == steps[:1]),
        ):
            if not right.all():
                row = int(np.argmin(right)) + 1
                raise InputError(problem, row=row, column="times", value=str(self.times[row]))
        for name in ("open", "high", "low", "close"):
            values = getattr(self, name)
            # the extremes, which pass over NaN, are checked first: finding the place takes much longer
            if not (
                np.fmin.reduce(values, axis=None, initial=1.0) > 0
                and np.fmax.reduce(values, axis=None, initial=1.0) < np.inf
            ):
                usable = np.isnan(values) | ((values > 0) & np.isfinite(values))
                require(usable, values, "price must be positive", name)
        require(np.isfinite(self.funding), self.funding, "funding must be a finite number", "funding")
        require(~(self.high < self.low), self.high, "high is below low", "high")
        outside = (self.close < self.low) | (self.close > self.high)
        require(~outside, self.close, "close is outside [low, high]", "close")
        absent = np.isnan(self.close)
        for name in ("open", "high", "low"):
            values = getattr(self, name)
            require(np.isnan(values) == absent, values, "a bar is whole or NaN throughout", name)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def step(self) -> np.timedelta64:
        """Length of a bar."""
        if len(self.times) < 2:
            raise InputError("needs at least two bars to know their length", column="times")
        return np.timedelta64(self.times[1] - self.times[0])

    def state_at(self, bar: int) -> MarketState:
        """The market as known at `times[bar]`: closes of the bar before. `bar` runs from 1 to n_bars."""
        if not 1 <= bar <= len(self):
            raise InputError(f"needs a bar from 1 to {len(self)}", column="bar", value=bar)
        last = self.close[bar - 1]
        index = np.where(self.index_series == UNIT_INDEX, 1.0, last[self.index_series])
        return MarketState(self.times[bar - 1] + self.step, last[self.mark_series], index)

    def bar_of(self, time: np.datetime64) -> int:
        """The bar that opens at `time`, which may be the instant just after the last bar."""
        offset = float((np.asarray(time, dtype="datetime64[ns]") - self.times[0]) / self.step)
        if not 0 <= offset <= len(self) or offset != int(offset):
            first, last = (np.datetime_as_string(end, "s") for end in (self.times[0], self.times[-1] + self.step))
            asked = str(np.datetime_as_string(time, "auto"))
            raise InputError(f"is not on the bar grid from {first} to {last}", column="time", value=asked)
        return int(offset)
