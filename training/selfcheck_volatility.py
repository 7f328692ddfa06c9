"""Published figures on estimators of volatility: their efficiency by simulation, and a regression on published data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..features.engine.bars import BarTable
from ..features.volatility.estimators import FOUR_LOG_2, garman_klass, parkinson, realised_volatility
from ..features.volatility.har import HarStep
from ..features.volatility.jumps import bipower_variance, median_variance, min_variance
from ..features.volatility.range_estimators import rogers_satchell
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .return_table import read_frame
from .selfcheck_finding import Finding, compared

PARKINSON = "M. Parkinson, J. Business 53 (1980): 9 zeta(3) / (4 ln 2)^2 - 1"
GARMAN_KLASS = "M. Garman and M. Klass, J. Business 53 (1980), practical estimator: 2 / 7.4"
ROGERS_SATCHELL = "L. Rogers and S. Satchell, Annals of Applied Probability 1 (1991)"
JUMPS = "T. Andersen, D. Dobrev and E. Schaumburg, J. Econometrics 169 (2012), asymptotic variances"
JUMP_FACTORS = {"bipower variation": 2.61, "MinRV": 3.81, "MedRV": 2.96}
HAR = "arch documentation, Using the Fixed Variance process: HARX(vix, lags=[1, 5, 22]) on VIX, 2014-2019"
HAR_COEFFICIENTS = {"constant": 0.6335, "last day": 0.9287, "5 days": -0.0318, "22 days": 0.0612}
DAYS, SEGMENTS = 80_000, 32
WINDOWS, RETURNS = 6_000, 500


def volatility_findings(shared: Path | None = None) -> list[Finding]:
    """Efficiency of ranges and of estimators that jumps do not touch; with `shared`, Corsi's regression on VIX."""
    file = None if shared is None else shared / "daily_regimes" / "arch_vix.parquet"
    return [*_efficiency(), *_jumps(), *(_har(file) if file is not None and file.is_file() else [])]


def _efficiency() -> list[Finding]:
    """Variance of each estimate of a day's variance; that of the squared return is 2."""
    open_, high, low, close = brownian_days(DAYS, SEGMENTS, np.random.default_rng(5))
    estimates = {
        "Parkinson's": (0.407, PARKINSON, parkinson(high, low, 1)),
        "Garman and Klass's": (2 / 7.4, GARMAN_KLASS, garman_klass(open_, high, low, close, 1)),
        "Rogers and Satchell's": (0.331, ROGERS_SATCHELL, rogers_satchell(open_, high, low, close, 1)),
    }
    return [
        Finding(f"variance of {name} estimate ({DAYS:,} days)", source, figure, float(np.nanvar(found**2)), 0.01)
        for name, (figure, source, found) in estimates.items()
    ]


def brownian_days(days: int, segments: int, rng: np.random.Generator) -> tuple[FloatArray, ...]:
    """Open, high, low and close of days of a driftless Brownian log price of unit variance a day, each (days, 1).

    Within a segment, high and low are drawn from the law of a Brownian bridge's extremes between its ends: exact but
    for a day whose high and low fall into one segment.
    """
    path = np.zeros((days, segments + 1))
    path[:, 1:] = np.cumsum(rng.standard_normal((days, segments)), axis=1) / np.sqrt(segments)
    start, end = path[:, :-1], path[:, 1:]
    extremes = []
    for sign in (1.0, -1.0):
        reach = np.sqrt((end - start) ** 2 - 2.0 / segments * np.log1p(-rng.random(start.shape)))
        extremes.append(sign * (0.5 * (sign * (start + end) + reach)).max(axis=1))
    columns = (np.zeros(days), *extremes, path[:, -1])
    return tuple(np.exp(column)[:, None] for column in columns)


def _jumps() -> list[Finding]:
    """Variance of each estimate, over windows of independent normal returns, where realised variance has 2."""
    returns = np.random.default_rng(6).standard_normal((RETURNS + 2, WINDOWS))
    plain = float(np.var(realised_volatility(returns, RETURNS)[-1] ** 2))
    estimators = {"bipower variation": bipower_variance, "MinRV": min_variance, "MedRV": median_variance}

    def factor(name: str) -> float:
        return 2.0 * float(np.var(estimators[name](returns, RETURNS)[-1])) / plain

    return compared(f"asymptotic variance of {{}} ({WINDOWS:,} windows)", JUMPS, JUMP_FACTORS, factor, 0.15)


def _har(file: Path) -> list[Finding]:
    rows = read_frame(file)
    if "vix" not in rows:
        raise InputError("is missing", file=str(file), column="vix")
    level = pd.to_numeric(rows["vix"], errors="coerce").dropna().to_numpy(np.float64)
    ours = dict(zip(HAR_COEFFICIENTS, har_coefficients(level).tolist(), strict=True))
    return compared("coefficient of {} in Corsi's regression", HAR, HAR_COEFFICIENTS, ours.__getitem__, 5e-5)


def har_coefficients(variance: FloatArray) -> FloatArray:
    """Constant and coefficients on the last day, 5 and 22 days of daily variances, by `HarStep` over all of them.

    Days are bars whose range has the variance.
    """
    high = np.exp(np.sqrt(FOUR_LOG_2 * variance))[:, None]
    day = np.timedelta64(1, "D")
    times = np.datetime64("2000-01-01", "ns") + np.arange(len(high)) * day
    table = BarTable(times, day, ("X",), {"high": high, "low": np.ones(high.shape)})
    step = HarStep(24.0, {"1d": 24.0}, windows=(24.0, 120.0, 528.0), log=False, season=False)
    state = step.start(table.symbols)
    step.run(state, table, np.array([len(table)]))
    return np.asarray(step.coefficients(state)[0, 0])
