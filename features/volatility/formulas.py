"""Formulas of volatility beyond the panel's: drift-free ranges, and variance with and without jumps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.expression import column
from ..engine.formula import Formula
from .estimators import log_per_hour, log_returns
from .jumps import (
    bipower_variance,
    jump_statistic,
    median_variance,
    min_variance,
    realised_quarticity,
    tripower_quarticity,
    truncated_variance,
)
from .range_estimators import rogers_satchell, yang_zhang

HOURS = {"24h": 24.0, "7d": 168.0}
LOG_VOLATILITY = "log of volatility per hour"
ANDERSEN = "Andersen, Dobrev and Schaumburg (2012)"


def volatility_formulas(bar_hours: float) -> Iterator[Formula]:
    """Every formula of this file for bars of this length; windows shorter than three bars are left out.

    Examples
    --------
    >>> [one.name for one in volatility_formulas(12.0)][:2]
    ['log_rogers_satchell_7d', 'log_yang_zhang_7d']
    """
    for name, hours in HOURS.items():
        window = round(hours / bar_hours)
        if window >= 3:
            yield from _ranges(name, window, bar_hours)
            yield from _jumps(name, window, bar_hours)


def _ranges(name: str, window: int, bar_hours: float) -> Iterator[Formula]:
    open_, high, low, close = (column(price) for price in ("open", "high", "low", "close"))
    value = log_per_hour(rogers_satchell(open_, high, low, close, window), bar_hours)
    said = f"Range volatility of the mark over {name}, free of drift"
    yield Formula(f"log_rogers_satchell_{name}", value, said, LOG_VOLATILITY, "Rogers and Satchell (1991)")
    value = log_per_hour(yang_zhang(open_, high, low, close, window), bar_hours)
    said = f"Range volatility of the mark over {name}, free of drift and of gaps between bars"
    yield Formula(f"log_yang_zhang_{name}", value, said, LOG_VOLATILITY, "Yang and Zhang (2000)")


def _jumps(name: str, window: int, bar_hours: float) -> Iterator[Formula]:
    returns = log_returns(column("close"))

    def rooted(variance: FloatArray) -> FloatArray:
        return log_per_hour(np.sqrt(variance), bar_hours)

    variances = {
        "bipower": (bipower_variance(returns, window), "Barndorff-Nielsen and Shephard (2004)"),
        "min": (min_variance(returns, window), ANDERSEN),
        "median": (median_variance(returns, window), ANDERSEN),
        "truncated": (truncated_variance(returns, window, window), "Mancini (2009); Corsi, Pirino and Renò (2010)"),
    }
    for kind, (value, source) in variances.items():
        said = f"Volatility of the mark over {name} without jumps, by {kind} variation"
        yield Formula(f"log_{kind}_{name}", rooted(value), said, LOG_VOLATILITY, source)
    said = f"Standardised share of jumps in the variance over {name}; 3.09 is the critical value at 0.1%"
    source = "Barndorff-Nielsen and Shephard (2006); Huang and Tauchen (2005)"
    yield Formula(f"jump_statistic_{name}", jump_statistic(returns, window), said, "standard normal", source)
    for kind, quarticity, source in (
        ("realised", realised_quarticity(returns, window), "Barndorff-Nielsen and Shephard (2002)"),
        ("tripower", tripower_quarticity(returns, window), "Barndorff-Nielsen and Shephard (2006)"),
    ):
        value = np.log(np.where(quarticity > 0.0, quarticity, np.nan))
        said = f"Integrated fourth power of volatility over {name}, {kind}: how uncertain the realised variance is"
        yield Formula(f"log_{kind}_quarticity_{name}", value, said, "log of a fourth power per bar", source)
