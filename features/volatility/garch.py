"""Forecasts of volatility by GARCH with Student's t, fitted anew on a schedule, as a feature step (extra `garch`)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from ..engine.bars import BarRow
from ..engine.logarithm import log_into
from ..engine.step import Declaration, State
from .garch_kernel import garch_ahead, garch_bar
from .season_step import AHEAD_HOURS, bars_in

MODELS = {"garch": 0, "gjr": 1}
SOURCES = {
    "garch": "T. Bollerslev, A conditionally heteroskedastic time series model, Rev. Econ. and Statistics 69 (1987)",
    "gjr": "L. Glosten, R. Jagannathan and D. Runkle, On the relation between the expected value and the volatility of "
    "the nominal excess return on stocks, J. Finance 48 (1993), with Student's t",
}


class GarchState(NamedTuple):
    """What is remembered of n instruments, fitted on W bars.

    Parameters
    ----------
    garch_bar
        Bars so far, shape (1,).
    garch_close
        Last close, (n,).
    garch_returns
        Log returns of the last W bars as a ring, (W, n).
    garch_parameters
        omega, alpha, gamma, beta and degrees of freedom, (n, 5); NaN before the first fit.
    garch_variance
        Variance of the next bar, (n,).
    garch_failed
        Fits that did not converge, whose predecessor stayed in force, (n,).
    """

    garch_bar: IntArray
    garch_close: FloatArray
    garch_returns: FloatArray
    garch_parameters: FloatArray
    garch_variance: FloatArray
    garch_failed: IntArray


@dataclass(frozen=True)
class GarchStep:
    """Log volatility that GARCH(1,1) or GJR(1,1,1) with Student's t expects of the coming hours.

    Mean zero; fitted anew by the library arch every `refit_hours` of bars on the last `window_hours`. Between fits the
    variance follows the recursion.

    Parameters
    ----------
    bar_hours
        Length of a bar in hours.
    model
        "garch", or "gjr" in which falls weigh more.
    horizons
        Hours ahead by name, each at least a bar, rising.
    window_hours
        Of the fit; 1,500 hourly bars by default.
    refit_hours
        Between fits.
    least_bars
        Known returns in the window before a fit.

    Raises
    ------
    InputError
        The library arch is not installed, or a model or window that cannot be.

    Examples
    --------
    >>> [one.name for one in GarchStep(model="gjr").declarations]
    ['log_gjr_1h', 'log_gjr_4h', 'log_gjr_24h']
    """

    bar_hours: float = 1.0
    model: str = "garch"
    horizons: Mapping[str, float] = field(default_factory=lambda: dict(AHEAD_HOURS))
    window_hours: float = 1500.0
    refit_hours: float = 168.0
    least_bars: int = 500

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise InputError(f"must be one of {', '.join(MODELS)}", column="model", value=self.model)
        ahead = tuple(self.horizons.values())
        if not ahead or ahead[0] < self.bar_hours or (np.diff(ahead) <= 0.0).any():
            raise InputError("must each be a bar or longer, and rise", column="horizons", value=ahead)
        if not 100 <= self.least_bars <= self._window:
            problem = "must be 100 at least, and no more bars than the window has"
            raise InputError(problem, column="least_bars", value=self.least_bars)
        require_arch()

    @property
    def _window(self) -> int:
        return bars_in(self.window_hours, self.bar_hours)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        return tuple(
            Declaration(
                name=f"log_{self.model}_{name}",
                summary=f"Volatility of the coming {name} expected by {self.model.upper()} with Student's t",
                unit="log of volatility per hour",
                inputs=("close",),
                lookback_hours=self.window_hours,
                missing="NaN until a fit, and while the last return is unknown; a fit leaves unknown returns out",
                source=SOURCES[self.model],
            )
            for name in self.horizons
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar."""
        n = len(symbols)
        state = GarchState(
            np.zeros(1, np.int64),
            np.full(n, np.nan),
            np.full((self._window, n), np.nan),
            np.full((n, 5), np.nan),
            np.full(n, np.nan),
            np.zeros(n, np.int64),
        )
        return dict(state._asdict())

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar; at the scheduled ones fit anew."""
        own = GarchState(**state)
        bar = int(own.garch_bar[0])
        close = np.ascontiguousarray(row["close"])
        returns = np.empty(len(close))
        log_into(close / own.garch_close, returns)
        own.garch_close[:] = close
        own.garch_returns[bar % self._window] = returns
        garch_bar(own.garch_parameters, own.garch_variance, returns)
        own.garch_bar[0] = bar + 1
        if (bar + 1) % bars_in(self.refit_hours, self.bar_hours) == 0:
            self._refit(own)

    def _refit(self, state: GarchState) -> None:
        oldest = int(state.garch_bar[0]) % self._window
        window = np.concatenate((state.garch_returns[oldest:], state.garch_returns[:oldest]))
        for column in range(window.shape[1]):
            known = window[~np.isnan(window[:, column]), column]
            if len(known) < self.least_bars:
                continue
            fitted = fit_garch(known, MODELS[self.model])
            if fitted is None:
                state.garch_failed[column] += 1
            else:
                state.garch_parameters[column], state.garch_variance[column] = fitted

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, 3)."""
        own = GarchState(**state)
        expected = np.empty((len(own.garch_close), len(self.horizons)))
        out = np.empty_like(expected)
        horizons = np.array([bars_in(hours, self.bar_hours) for hours in self.horizons.values()], np.int64)
        garch_ahead(own.garch_parameters, own.garch_variance, horizons, expected)
        last = own.garch_returns[(own.garch_bar[0] - 1) % self._window]
        expected[np.isnan(last)] = np.nan
        log_into(expected.ravel(), out.ravel())
        return 0.5 * out - 0.5 * math.log(self.bar_hours)


def require_arch() -> None:
    """Raise InputError unless the library arch can be imported."""
    try:
        import arch  # noqa: F401
    except ImportError:
        raise InputError("GARCH needs the library arch: pip install 'margincast[garch]'") from None


def fit_garch(returns: FloatArray, asymmetric: int) -> tuple[FloatArray, float] | None:
    """Fit GARCH(1,1), or GJR where `asymmetric` is 1, with Student's t and mean zero by arch.

    Parameters
    ----------
    returns
        Without NaN, shape (m,). They are fitted divided by their root mean square: the optimiser is not scale free.
    asymmetric
        0 or 1.

    Returns
    -------
    parameters, variance
        omega, alpha, gamma, beta, degrees of freedom, and the variance of the return to come; None where the optimiser
        did not converge or nothing moved.
    """
    from arch.univariate import GARCH, StudentsT, ZeroMean

    scale = math.sqrt(float(np.mean(returns * returns)))
    if not scale > 0.0:
        return None
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        scaled = returns / scale
        model = ZeroMean(scaled, volatility=GARCH(1, asymmetric, 1), distribution=StudentsT(), rescale=False)
        result = model.fit(disp="off", show_warning=False)
    values = np.asarray(result.params, dtype=np.float64)
    if result.convergence_flag != 0 or not np.isfinite(values).all():
        return None
    gamma = values[2:3] if asymmetric else np.zeros(1)
    parameters = np.concatenate((values[:1] * scale**2, values[1:2], gamma, values[-2:]))
    variance = np.array([float(result.conditional_volatility[-1] * scale) ** 2])
    garch_bar(parameters[None], variance, returns[-1:])
    return parameters, float(variance[0])
