"""Published tables of back-tests and of tests of distributions, recomputed."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.special import bdtr, ndtri

from ..riskcore.arrays import FloatArray
from .coverage_tests import basel_zone, christoffersen, kupiec
from .feature_drift import gap_significance
from .selfcheck_finding import Finding, compared
from .shortfall_test import acerbi_szekely

KUPIEC = "P. Kupiec, Journal of Derivatives 3 (1995), table 3: numbers of failures not rejected at 5%"
KUPIEC_DAYS = (255, 510, 1000)
KUPIEC_TABLE = {
    0.01: ((None, 7), (1, 11), (4, 17)),
    0.025: ((2, 12), (6, 21), (15, 36)),
    0.05: ((6, 21), (16, 36), (37, 65)),
    0.075: ((11, 28), (27, 51), (59, 92)),
    0.1: ((16, 36), (38, 65), (81, 120)),
}
"""By probability and days: the largest number that is too few and the least that is too many."""
BASEL = "Basel Committee, Supervisory framework for the use of backtesting (January 1996), table 2"
BASEL_CUMULATIVE = {"0": 8.11, "2": 54.32, "4": 89.22, "5": 95.88, "7": 99.60, "9": 99.97}
JORION = "P. Jorion, Value at Risk (3rd ed., 2007), ch. 6: 20 exceptions in 252 days at 5%, 6 of them after another"
MILLER = "L. Miller, J. American Statistical Association 51 (1956), table 1"
MILLER_TABLE = {"10": (0.36866, 0.40925, 0.48893), "20": (0.26473, 0.29408, 0.35241)}
"""By number of observations: gaps critical at 10%, 5% and 1%."""
ACERBI = "C. Acerbi and B. Szekely, Backtesting expected shortfall (2014): Z2, 250 days, 2.5%, normal law"
SCENARIOS, MOST = 1_000_000, 30
"""Scenarios drawn for the critical values of Z2, and places for exceedances in each: 30 of 250 at 2.5% never occur."""


def backtest_findings() -> list[Finding]:
    """Kupiec, Basel, Christoffersen, Kolmogorov and Smirnov, Acerbi and Szekely."""
    return [*_kupiec(), *_basel(), *_jorion(), *_miller(), *_acerbi()]


def _kupiec() -> list[Finding]:
    out = []
    for (tail, bounds), place in product(KUPIEC_TABLE.items(), range(len(KUPIEC_DAYS))):
        days, (few, many) = KUPIEC_DAYS[place], bounds[place]
        held = [x for x in range(days // 3) if kupiec(x, days, tail).p_value >= 0.05]
        said = f"in {days} days at {tail:.1%}"
        if few is not None:
            out.append(Finding(f"most failures that are too few {said}", KUPIEC, few, held[0] - 1, 0.0))
        out.append(Finding(f"least failures that are too many {said}", KUPIEC, many, held[-1] + 1, 0.0))
    return out


def _basel() -> list[Finding]:
    zones = [str(basel_zone(x, 250, 0.01)) for x in range(15)]
    source = BASEL.replace("table 2", "zones")
    begins = "exceptions in 250 days at 1% from which {} begins"
    return [
        *compared(
            "cumulative probability of {} exceptions, 250 days at 1%, per cent",
            BASEL,
            BASEL_CUMULATIVE,
            lambda count: 100 * float(bdtr(int(count), 250, 0.01)),
            0.005,
        ),
        *compared(begins, source, {"yellow": 5.0, "red": 10.0}, lambda zone: float(zones.index(zone)), 0.0),
    ]


def _jorion() -> list[Finding]:
    counted = kupiec(20, 252, 0.05).statistic
    clustered = christoffersen(clustered_hits(), 0.05).independence.statistic
    return [
        Finding("likelihood ratio of coverage", JORION, 3.91, counted, 0.005),
        Finding("likelihood ratio of independence", JORION, 9.53, clustered, 0.005),
        Finding("likelihood ratio of both", JORION, 13.44, counted + clustered, 0.005),
    ]


def clustered_hits() -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """252 pairs of days: 232 after a calm one, 14 of them hits, and 20 after a hit, 6 of them hits."""
    runs = [True, True, False] * 6 + [True, False] * 8
    return np.array([False, *runs] + [False] * (252 - len(runs)))


def _miller() -> list[Finding]:
    # two samples of twice the size count as one of that size
    return [
        Finding(f"probability of a gap of {gap} among {n} observations", MILLER, level, p, 1.5e-5)
        for n, gaps in MILLER_TABLE.items()
        for gap, level in zip(gaps, (0.1, 0.05, 0.01), strict=True)
        if np.isfinite(p := gap_significance(gap, 2 * int(n), 2 * int(n)))
    ]


def _acerbi() -> list[Finding]:
    """Critical values from scenarios whose exceedances alone are drawn."""
    statistic = simulated_statistics(SCENARIOS, np.random.default_rng(1))
    critical = np.quantile(statistic, [0.05, 1e-4])
    return [
        Finding(f"Z2 critical at {level} ({SCENARIOS:,} scenarios)", ACERBI, figure, float(ours), 0.05)
        for level, figure, ours in zip(("5%", "0.01%"), (-0.70, -1.8), critical, strict=True)
    ]


def simulated_statistics(scenarios: int, rng: np.random.Generator, days: int = 250, tail: float = 0.025) -> FloatArray:
    """Z2 of scenarios of standard normal losses with the right forecast, (scenarios,)."""
    level = float(ndtri(1 - tail))
    shortfall = float(np.exp(-0.5 * level**2) / np.sqrt(2 * np.pi) / tail)
    out = np.empty(scenarios)
    for first in range(0, scenarios, 100_000):
        some = out[first : first + 100_000]
        there = np.arange(MOST) < rng.binomial(days, tail, len(some))[:, None]
        losses = np.zeros(there.shape)
        losses[there] = -ndtri(tail * rng.random(int(there.sum())))
        # days without an exceedance add nothing but their number
        some[:] = 1 - (1 - acerbi_szekely(losses, level, shortfall, tail)) * MOST / days
    return out
