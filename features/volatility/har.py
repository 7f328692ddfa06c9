"""Forecasts of realised volatility by heterogeneous autoregression, re-estimated at every bar, as a feature step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow, BarTable
from ..engine.step import Declaration, State
from .har_kernel import (
    ERROR,
    FORECAST,
    JUMPS,
    PLAIN,
    QUARTICITY,
    RANGE,
    RETURNS,
    SEMIVARIANCE,
    HarSetup,
    HarState,
    har_bar,
    har_start,
    solved,
)
from .season_kernel import SeasonState, season_bar, season_over, season_start
from .season_step import (
    AHEAD_HOURS,
    SEASON_DAYS,
    SEASON_WEEKS,
    WEEK_HOURS,
    bars_in,
    bars_in_each,
    season_of,
    start_season,
)

CORSI_HOURS = (24.0, 168.0, 720.0)
"""Day, week and month of a market that never closes."""
INTRADAY_HOURS = (1.0, 6.0, *CORSI_HOURS)
LEAST_WINDOWS = 2
"""Windows from which on a regression is heterogeneous."""
MODELS = {"har": PLAIN, "harq": QUARTICITY, "har_rs": SEMIVARIANCE, "har_cj": JUMPS}
MEASURES = {"range": RANGE, "returns": RETURNS}
SOURCES = {
    "har": "",
    "harq": "; T. Bollerslev, A. Patton and R. Quaedvlieg, Exploiting the errors, J. Econometrics 192 (2016)",
    "har_rs": "; A. Patton and K. Sheppard, Good volatility, bad volatility, Rev. Economics and Statistics 97 (2015)",
    "har_cj": "; T. Andersen, T. Bollerslev and F. Diebold, Roughing it up, Rev. Economics and Statistics 89 (2007)",
}
CORSI = "F. Corsi, A simple approximate long-memory model of realized volatility, J. Financial Econometrics 7 (2009)"


@dataclass(frozen=True)
class HarStep:
    """Log of the realised volatility forecast for the coming hours, one regression for each instrument and horizon.

    At the close of every bar the log realised volatility over the horizon that ended with it is regressed on what was
    known when it began: log realised volatilities over trailing windows, what the model adds, and how lively the hours
    ahead usually are. Least squares on all observations so far, or with weights that halve every `half_life_hours`.

    Parameters
    ----------
    bar_hours
        Length of a bar in hours.
    horizons
        Hours ahead by name, each at least a bar.
    model
        "har" (Corsi), or what it adds for the day: "harq" the root of the realised quarticity times the day's
        regressor, "har_rs" falls and rises apart, "har_cj" continuous part and jumps apart for the day and longer.
    windows
        Hours of the trailing windows, rising and each at least a bar. `CORSI_HOURS` is Corsi's; shorter ones help on
        horizons of hours.
    measure
        Realised variance of a bar: "range" is Parkinson's, ln(high / low)^2 / (4 ln 2), summed up as in K. Christensen
        and M. Podolskij, Realized range-based estimation of integrated variance, J. Econometrics 141 (2007): five times
        less noisy than "returns", the squared log return, which "har_rs" and "har_cj" need.
    log
        Regress logs of volatility; or else variances, in which a forecast outside the range of the targets so far is
        replaced by their mean, as Bollerslev, Patton and Quaedvlieg do.
    season
        Whether the usual level of the hours ahead (`SeasonStep`'s season_week) is a regressor.
    half_life_hours
        Of the weights; None weighs all observations alike.
    least_hours
        Observations before the first forecast, in hours of bars.

    Raises
    ------
    InputError
        A model, measure, window or horizon that cannot be.

    Notes
    -----
    The logarithmic "harq" moves the day's log towards the longest window's by the day's relative error of measurement:
    its regressor is sqrt(quarticity) / variance times the difference of the two logs, so that units do not matter.
    Forecasts of logs are means of the log; for the variance expected see `expected_variance`.

    Examples
    --------
    >>> [one.name for one in HarStep(horizons={"1h": 1.0}).declarations]
    ['log_har_1h', 'har_error_1h']
    """

    bar_hours: float = 1.0
    horizons: Mapping[str, float] = field(default_factory=lambda: dict(AHEAD_HOURS))
    model: str = "har"
    windows: Sequence[float] = INTRADAY_HOURS
    measure: str = "range"
    log: bool = True
    season: bool = True
    half_life_hours: float | None = None
    least_hours: float = 720.0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"must be one of {', '.join(MODELS)}", column="model", value=self.model)
        if self.measure not in MEASURES:
            raise InputError(f"must be one of {', '.join(MEASURES)}", column="measure", value=self.measure)
        if self.model in ("har_rs", "har_cj") and self.measure != "returns":
            raise InputError(f'{self.model} needs "returns": ranges have no sign', column="measure", value=self.measure)
        for column, hours in (("windows", tuple(self.windows)), ("horizons", tuple(self.horizons.values()))):
            if not hours or min(hours) < self.bar_hours:
                raise InputError("must each be a bar or longer", column=column, value=hours)
        self._require_windows()

    def _require_windows(self) -> None:
        bars = bars_in_each(self.windows, self.bar_hours)
        if (np.diff(bars) <= 0).any():
            raise InputError("must rise, by a bar at least", column="windows", value=tuple(self.windows))
        if self.model == "harq" and self._day() == len(bars) - 1:
            raise InputError("harq needs a window longer than a day", column="windows", value=tuple(self.windows))
        if self.season and max(self.horizons.values()) > WEEK_HOURS:
            raise InputError("the season reaches a week ahead", column="horizons", value=max(self.horizons.values()))

    @classmethod
    def usual(cls, bar_hours: float, half_life_hours: float | None = None) -> HarStep:
        """Corsi's model on ranges with those of the usual windows and horizons that are a bar or longer.

        Raises
        ------
        InputError
            Bars so long that fewer than two windows, or no horizon, are left.

        Examples
        --------
        >>> step = HarStep.usual(4.0)
        >>> step.windows, list(step.horizons)
        ((6.0, 24.0, 168.0, 720.0), ['4h', '24h'])
        """
        windows = tuple(hours for hours in INTRADAY_HOURS if hours >= bar_hours)
        horizons = {name: hours for name, hours in AHEAD_HOURS.items() if hours >= bar_hours}
        if len(windows) < LEAST_WINDOWS or not horizons:
            raise InputError(
                "bars are too long: needs two windows and a horizon of a bar or longer",
                column="bar_hours",
                value=bar_hours,
            )
        return cls(bar_hours, horizons, windows=windows, half_life_hours=half_life_hours)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns it reads."""
        if self.measure == "range":
            return ("high", "low")
        return ("high", "low", "close") if self.season else ("close",)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features: every horizon's forecast, and of logs its error."""
        out = []
        for name in self.horizons:
            level = f"log_{self.model}_{name}" if self.log else f"log_{self.model}_level_{name}"
            summary = f"Realised volatility of the coming {name}, forecast by {self.model.upper().replace('_', '-')}"
            out.append(self._declared(level, summary, "log of volatility per hour"))
            if self.log:
                summary = f"Standard deviation of the error of {level} so far"
                out.append(self._declared(f"{self.model}_error_{name}", summary, "log of a ratio of volatilities"))
        return tuple(out)

    def _declared(self, name: str, summary: str, unit: str) -> Declaration:
        return Declaration(
            name=name,
            summary=summary,
            unit=unit,
            inputs=self.inputs,
            lookback_hours=max(self.windows) if self.half_life_hours is None else self.half_life_hours,
            missing="NaN until enough horizons have ended, or while a window knows fewer than 90% of its bars",
            source=CORSI + SOURCES[self.model],
        )

    def setup(self) -> HarSetup:
        """What the compiled recursion is told."""
        windows = bars_in_each((*self.windows, *self.horizons.values()), self.bar_hours)
        lags, day = len(self.windows), self._day()
        more = {"har": 0, "harq": 1, "har_rs": 1, "har_cj": lags - day}[self.model]
        decay = 1.0 if self.half_life_hours is None else 0.5 ** (self.bar_hours / self.half_life_hours)
        return HarSetup(
            MODELS[self.model],
            MEASURES[self.measure],
            self.log,
            windows,
            lags,
            day,
            lags + more,
            self.season,
            decay,
            bars_in(self.least_hours, self.bar_hours),
        )

    def _day(self) -> int:
        """The first window of a day or longer, or the last one."""
        long = [place for place, hours in enumerate(self.windows) if hours >= 24.0]
        return long[0] if long else len(self.windows) - 1

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar."""
        season = dict(start_season(len(symbols), self.bar_hours)._asdict()) if self.season else {}
        return season | dict(har_start(self.setup(), len(symbols))._asdict())

    def kernel_state(self, state: State) -> tuple[SeasonState, HarState]:
        """The two recursions' own arrays in a state."""
        season = season_of(state) if self.season else NO_SEASON
        return season, HarState(*(state[name] for name in HarState._fields))

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        season, har = self.kernel_state(state)
        forecast_bar(self.setup(), season, har, *self.prices(row))

    def prices(self, bars: Any) -> tuple[FloatArray, FloatArray, FloatArray]:
        """High, low and close of a row or of a table's columns; what is not read is any of the others."""
        found = {name: bars[name] for name in self.inputs}
        any_ = next(iter(found.values()))
        return found.get("high", any_), found.get("low", any_), found.get("close", any_)

    def coefficients(self, state: State) -> FloatArray:
        """Coefficients as now estimated, shape (horizons, n_symbols, 1 + regressors); NaN where not determined.

        The intercept first, then the windows from the shortest on, each followed by what the model adds there, then the
        season. Of volatility per bar.
        """
        _, har = self.kernel_state(state)
        k = har.har_mean.shape[2] - 1
        out = np.full((*har.har_mean.shape[:2], k + 1), np.nan)
        for place in np.ndindex(out.shape[:2]):
            mean, moment = har.har_mean[place], har.har_moment[place]
            out[place][1:] = solved(moment[:k, :k], moment[:k, k])
            out[place][0] = mean[k] - out[place][1:] @ mean[:k]
        return out

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, len(declarations))."""
        features: FloatArray = self._features(state["har_known"].transpose(1, 0, 2)[None])[0]
        return features

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Every row wanted in one compiled pass, the same bits."""
        season, har = self.kernel_state(state)
        known = np.empty((len(at), len(self.horizons), len(table.symbols), 3))
        _run(self.setup(), season, har, *self.prices(table.columns), at, known)
        return self._features(known.transpose(0, 2, 1, 3))

    def _features(self, known: FloatArray) -> FloatArray:
        """From (rows, n, m, 3) to (rows, n, features)."""
        forecast = known[..., FORECAST] - 0.5 * math.log(self.bar_hours)
        if not self.log:
            return np.ascontiguousarray(forecast)
        both = np.stack((forecast, known[..., ERROR]), axis=3)
        return both.reshape(*both.shape[:2], -1)


NO_SEASON = season_start(1, 1, 1, 1, 1)
"""Stands in where there is none; never read nor written."""


def expected_variance(log_volatility: FloatArray, error: FloatArray) -> FloatArray:
    """Variance expected of a forecast log volatility with normal errors: exp(2 log_volatility + 2 error^2).

    Examples
    --------
    >>> round(float(expected_variance(np.log([0.02]), np.array([0.5]))[0]), 6)
    0.000659
    """
    return np.asarray(np.exp(2.0 * log_volatility + 2.0 * error * error))


@numba.njit(cache=True, nogil=True)
def forecast_bar(
    setup: HarSetup, season: SeasonState, state: HarState, high: FloatArray, low: FloatArray, close: FloatArray
) -> None:
    """Take in one bar of every instrument: the season first, then the regressions."""
    ahead = setup.windows[setup.lags :]
    usual = np.full((len(ahead), len(high)), np.nan)
    if setup.seasonal:
        season_bar(season, SEASON_DAYS, SEASON_WEEKS, high, low)
        for which in range(len(ahead)):
            season_over(season.season_week, season.season_bar[0], ahead[which], usual[which])
    har_bar(setup, state, high, low, close, usual)


@numba.njit(cache=True, nogil=True)
def _run(
    setup: HarSetup,
    season: SeasonState,
    state: HarState,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    at: IntArray,
    out: FloatArray,
) -> None:
    bar = 0
    for wanted in range(len(at)):
        while bar < at[wanted]:
            forecast_bar(setup, season, state, high[bar], low[bar], close[bar])
            bar += 1
        out[wanted] = state.har_known
