"""Seasons of volatility as feature steps: what the coming hours usually are like, and volatility without its season."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow, BarTable
from ..engine.logarithm import log_one
from ..engine.step import Declaration, State
from .estimators import FOUR_LOG_2
from .season_kernel import SeasonState, season_bar, season_over, season_start
from .trailing_kernel import roll_in

DAY_HOURS, WEEK_HOURS = 24.0, 168.0
SEASON_DAYS, SEASON_WEEKS = 28, 12
AHEAD_HOURS = {"1h": 1.0, "4h": 4.0, "24h": DAY_HOURS}
DESEASONALISED_HOURS = {"last": 0.0, "6h": 6.0, "24h": DAY_HOURS}
INPUTS = ("high", "low")
SEASON_SOURCE = (
    "T. Andersen and T. Bollerslev, Intraday periodicity and volatility persistence, J. Empirical Finance 4 (1997)"
)


def bars_in(hours: float, bar_hours: float) -> int:
    """Whole bars in so many hours, at least one.

    Examples
    --------
    >>> bars_in(24.0, 1.0), bars_in(1.0, 4.0), bars_in(1.0, 0.25)
    (24, 1, 4)
    """
    return max(round(hours / bar_hours), 1)


def bars_in_each(hours: Iterable[float], bar_hours: float) -> IntArray:
    """Whole bars in each of some windows or horizons, see `bars_in`."""
    return np.array([bars_in(one, bar_hours) for one in hours], np.int64)


def season_of(state: State) -> SeasonState:
    """The season kernel's own arrays in a state."""
    return SeasonState(*(state[name] for name in SeasonState._fields))


@dataclass(frozen=True)
class _SeasonalStep:
    bar_hours: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.bar_hours <= DAY_HOURS / 2:
            raise InputError("a day has no season in bars of this length", column="bar_hours", value=self.bar_hours)


@dataclass(frozen=True)
class SeasonStep(_SeasonalStep):
    """How lively the coming 1, 4 and 24 hours usually are at this time of day and of the week.

    Mean log deviation of a bar's range from the range of its trailing week, over the same hours of the last 28 days and
    of the last 12 weeks; streaming twin of `season_ahead`.

    Parameters
    ----------
    bar_hours
        Length of a bar in hours, at most 12.

    Raises
    ------
    InputError
        Bars of which fewer than two make a day.

    Examples
    --------
    >>> [one.name for one in SeasonStep().declarations]
    ['season_day_1h', 'season_week_1h', 'season_week_4h', 'season_week_24h']
    """

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        day = _declared("season_day_1h", "1h", "day", SEASON_DAYS, DAY_HOURS)
        weeks = [_declared(f"season_week_{name}", name, "week", SEASON_WEEKS, WEEK_HOURS) for name in AHEAD_HOURS]
        return (day, *weeks)

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar."""
        return dict(start_season(len(symbols), self.bar_hours)._asdict())

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        season_bar(season_of(state), SEASON_DAYS, SEASON_WEEKS, row["high"], row["low"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 4)."""
        season = season_of(state)
        out = np.empty((season.season_last.shape[0], 4))
        _read_season(season, self._ahead(), out)
        return out

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Every row wanted in one compiled pass, the same bits."""
        out = np.empty((len(at), len(table.symbols), 4))
        _run_season(season_of(state), self._ahead(), table.columns["high"], table.columns["low"], at, out)
        return out

    def _ahead(self) -> IntArray:
        return bars_in_each(AHEAD_HOURS.values(), self.bar_hours)


def _declared(name: str, ahead: str, period: str, count: int, hours: float) -> Declaration:
    return Declaration(
        name=name,
        summary=f"Mean log range, over that of its week, at the coming {ahead}'s time of the last {count} {period}s",
        unit="log of a ratio of volatilities",
        inputs=INPUTS,
        lookback_hours=count * hours,
        missing="bars without data, or whose trailing week has a gap, are left out; NaN where none is there",
        source=SEASON_SOURCE,
    )


def start_season(symbols: int, bar_hours: float) -> SeasonState:
    """State of the season kernel before the first bar."""
    day, week = bars_in(DAY_HOURS, bar_hours), bars_in(WEEK_HOURS, bar_hours)
    return season_start(symbols, day, week, SEASON_DAYS, SEASON_WEEKS)


@dataclass(frozen=True)
class DeseasonalisedStep(_SeasonalStep):
    """Range volatility with the season taken out: each bar's divided by what is usual at its hour of the week.

    The root mean square, over trailing windows, of a bar's Parkinson volatility over exp(s), where s is the mean log
    deviation at the same hour of the 12 weeks before (see `SeasonStep`) less that at all hours.

    Parameters
    ----------
    bar_hours
        Length of a bar in hours, at most 12.

    Raises
    ------
    InputError
        Bars of which fewer than two make a day.

    Examples
    --------
    >>> [one.name for one in DeseasonalisedStep().declarations]
    ['log_deseasonalised_last', 'log_deseasonalised_6h', 'log_deseasonalised_24h']
    """

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        return tuple(
            Declaration(
                name=f"log_deseasonalised_{name}",
                summary=f"Range volatility of the last {'bar' if name == 'last' else name} over its season of the week",
                unit="log of volatility per hour",
                inputs=INPUTS,
                lookback_hours=SEASON_WEEKS * WEEK_HOURS,
                missing="NaN while the window has a gap or a bar whose hour of the week was never seen before",
                source=SEASON_SOURCE,
            )
            for name in DESEASONALISED_HOURS
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar."""
        season, rolled = start_season(len(symbols), self.bar_hours), self._start_windows(len(symbols))
        return dict(season._asdict()) | dict(zip(("held", "head", "known"), rolled, strict=True))

    def _start_windows(self, symbols: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        windows = self._windows()
        held, head = np.zeros((windows.sum(), symbols)), np.zeros((len(windows), symbols))
        return held, head, np.full((len(windows), symbols), np.nan)

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        season = season_of(state)
        rolled = state["held"], state["head"], state["known"]
        _deseasonalise(season, rolled, self._windows(), row["high"], row["low"])

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 3)."""
        return np.ascontiguousarray(state["known"].T) - 0.5 * math.log(self.bar_hours)

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Every row wanted in one compiled pass, the same bits."""
        out = np.empty((len(at), len(table.symbols), len(DESEASONALISED_HOURS)))
        rolled = state["held"], state["head"], state["known"]
        high, low = table.columns["high"], table.columns["low"]
        _run_deseasonalised(season_of(state), rolled, self._windows(), high, low, at, out)
        return out - 0.5 * math.log(self.bar_hours)

    def _windows(self) -> IntArray:
        return bars_in_each(DESEASONALISED_HOURS.values(), self.bar_hours)


@numba.njit(cache=True, nogil=True)
def _read_season(state: SeasonState, ahead: IntArray, out: FloatArray) -> None:
    bar = state.season_bar[0]
    season_over(state.season_day, bar, ahead[0], out[:, 0])
    for place in range(len(ahead)):
        season_over(state.season_week, bar, ahead[place], out[:, place + 1])


@numba.njit(cache=True, nogil=True)
def _run_season(
    state: SeasonState, ahead: IntArray, high: FloatArray, low: FloatArray, at: IntArray, out: FloatArray
) -> None:
    bar = 0
    for wanted in range(len(at)):
        while bar < at[wanted]:
            season_bar(state, SEASON_DAYS, SEASON_WEEKS, high[bar], low[bar])
            bar += 1
        _read_season(state, ahead, out[wanted])


@numba.njit(cache=True, nogil=True)
def _deseasonalise(
    season: SeasonState,
    rolled: tuple[FloatArray, FloatArray, FloatArray],
    windows: IntArray,
    high: FloatArray,
    low: FloatArray,
) -> None:
    held, head, known = rolled
    bar = season.season_bar[0]
    season_bar(season, SEASON_DAYS, SEASON_WEEKS, high, low)
    values = np.empty(len(high))
    for column in range(len(high)):
        span = log_one(high[column] / low[column])
        usual = season.season_last[column, 1]
        values[column] = span * span / FOUR_LOG_2 * math.exp(-2.0 * usual)
    roll_in(held, head, windows, bar, values, known)
    for which in range(len(windows)):
        for column in range(len(high)):
            mean = known[which, column] / windows[which]
            known[which, column] = 0.5 * log_one(mean) if mean > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def _run_deseasonalised(
    season: SeasonState,
    rolled: tuple[FloatArray, FloatArray, FloatArray],
    windows: IntArray,
    high: FloatArray,
    low: FloatArray,
    at: IntArray,
    out: FloatArray,
) -> None:
    bar = 0
    for wanted in range(len(at)):
        while bar < at[wanted]:
            _deseasonalise(season, rolled, windows, high[bar], low[bar])
            bar += 1
        for which in range(len(windows)):
            out[wanted, :, which] = rolled[2][which]
