"""Probability that volatility over the coming hours is a multiple of what it usually is, as a feature step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow, BarTable
from ..engine.step import Declaration, State
from .har import HarStep, forecast_bar
from .har_kernel import ERROR, FORECAST, HarSetup, HarState
from .season_kernel import SeasonState, season_level, season_over
from .season_step import bars_in, bars_in_each
from .spike_kernel import SpikeState, share_above, spike_bar, spike_start

YEAR_HOURS = 8760.0


@dataclass(frozen=True)
class SpikeStep:
    """Probability that realised volatility over the coming hours exceeds k times its usual level.

    The log of realised volatility is taken to be its forecast (`HarStep`) plus an error of the forecast's own standard
    deviation, distributed as the standardised errors of all forecasts before whose horizon has ended. So a probability
    never rises with k, and its calibration is learned from what happened. The usual level is the median realised
    volatility over horizons of that length that ended in the last `usual_hours`.

    Parameters
    ----------
    har
        The forecast; of logs. By default its weights halve every year, so that the level of its errors keeps up.
    multiples
        The k, positive and rising.
    usual_hours
        Hours of the median.
    adjusted
        Whether the usual level is that of the coming hours' time of the week: the median times exp of their season less
        that of the whole week, so that a Monday morning is held against other Monday mornings.

    Raises
    ------
    InputError
        A forecast in levels, multiples that do not rise, or an adjusted level without a season.

    Examples
    --------
    >>> [one.name for one in SpikeStep(HarStep(horizons={"4h": 4.0}), multiples=(1.5, 3.0)).declarations]
    ['spike_4h_1.5x', 'spike_4h_3x']
    """

    har: HarStep = field(default_factory=lambda: HarStep(half_life_hours=YEAR_HOURS))
    multiples: Sequence[float] = (1.5, 2.0, 3.0)
    usual_hours: float = 720.0
    adjusted: bool = False

    def __post_init__(self) -> None:
        if not self.har.log:
            raise InputError("needs forecasts of logs", column="log", value=self.har.log)
        if self.adjusted and not self.har.season:
            raise InputError("an adjusted level needs the season", column="season", value=self.har.season)
        if not len(self.multiples) or min(self.multiples) <= 0.0 or (np.diff(self.multiples) <= 0.0).any():
            raise InputError("must be positive and rise", column="multiples", value=tuple(self.multiples))

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features: every multiple of the first horizon, then of the next."""
        level = "its usual level at this time of the week" if self.adjusted else "its median of late"
        return tuple(
            Declaration(
                name=f"spike_{'adjusted_' if self.adjusted else ''}{name}_{multiple:g}x",
                summary=f"Probability that volatility over the coming {name} exceeds {multiple:g} times {level}",
                unit="probability",
                inputs=self.har.inputs,
                lookback_hours=self.usual_hours,
                missing="NaN while the forecast is, or while fewer than 90% of the median's bars are known",
                source=one.source,
            )
            for name, one in zip(self.har.horizons, self.har.declarations[::2], strict=True)
            for multiple in self.multiples
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: the forecast's and its own."""
        return self.har.start(symbols) | dict(self._start(len(symbols))._asdict())

    def _start(self, symbols: int) -> SpikeState:
        return spike_start(self._horizons(), symbols, bars_in(self.usual_hours, self.har.bar_hours))

    def _horizons(self) -> IntArray:
        return bars_in_each(self.har.horizons.values(), self.har.bar_hours)

    def _logs(self) -> FloatArray:
        return np.array([math.log(multiple) for multiple in self.multiples])

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        season, har = self.har.kernel_state(state)
        forecast_bar(self.har.setup(), season, har, *self.har.prices(row))
        spike_bar(_own(state), self._horizons(), har.har_known)

    def read(self, state: State) -> FloatArray:
        """Probabilities as now known, shape (n_symbols, len(declarations))."""
        season, har = self.har.kernel_state(state)
        out = np.empty((har.har_known.shape[1], len(self.har.horizons) * len(self.multiples)))
        _probabilities(_own(state), season, har, self._horizons(), self._logs(), self.adjusted, out)
        return out

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Every row wanted in one compiled pass, the same bits."""
        n = len(table.symbols)
        season, har = self.har.kernel_state(state)
        out = np.empty((len(at), n, len(self.har.horizons) * len(self.multiples)))
        prices, logs = self.har.prices(table.columns), self._logs()
        _run(self.har.setup(), season, har, _own(state), *prices, logs, self.adjusted, at, out)
        return out


def _own(state: State) -> SpikeState:
    return SpikeState(*(state[name] for name in SpikeState._fields))


@numba.njit(cache=True, nogil=True)
def _probabilities(
    state: SpikeState,
    season: SeasonState,
    har: HarState,
    horizons: IntArray,
    logs: FloatArray,
    adjusted: bool,
    out: FloatArray,
) -> None:
    usual = np.zeros(out.shape[0])
    for which in range(len(horizons)):
        if adjusted:
            season_over(season.season_week, season.season_bar[0], horizons[which], usual)
            for column in range(out.shape[0]):
                usual[column] -= season_level(season, column)
        for column in range(out.shape[0]):
            known = har.har_known[which, column]
            away = state.spike_usual[which, column] + usual[column] - known[FORECAST]
            for place in range(len(logs)):
                value = share_above(state.spike_errors[which, column], (logs[place] + away) / known[ERROR])
                out[column, which * len(logs) + place] = value


@numba.njit(cache=True, nogil=True)
def _run(
    setup: HarSetup,
    season: SeasonState,
    har: HarState,
    state: SpikeState,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    logs: FloatArray,
    adjusted: bool,
    at: IntArray,
    out: FloatArray,
) -> None:
    horizons = setup.windows[setup.lags :]
    bar = 0
    for wanted in range(len(at)):
        while bar < at[wanted]:
            forecast_bar(setup, season, har, high[bar], low[bar], close[bar])
            spike_bar(state, horizons, har.har_known)
            bar += 1
        _probabilities(state, season, har, horizons, logs, adjusted, out[wanted])
