"""Correlation matrices of fifty coins over the last 1,440 minutes, told every hour.

pandas' rolling().corr() knows no step: it tells every minute, of which the hours are kept; it is held to ours every
minute as well. Beside it np.corrcoef of each hour's window. One thread, BLAS too; all agree to 1e-10.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from machine import machine, options, say_goals, say_machine, timed, write_json
from threadpoolctl import threadpool_limits

from margincast.features.correlation.rolling import rolling_correlation

COINS, WINDOW, HOUR = 50, 1440, 60
GOALS = {"pandas, every hour": 30.0, "numpy corrcoef, every hour": 10.0, "pandas, every minute": 5.0}


def draw_returns(minutes: int) -> np.ndarray:
    """Minute returns with a common factor and a few gaps."""
    rng = np.random.default_rng(1)
    returns = rng.standard_t(4, (minutes, 1)) * 5e-4 + rng.standard_t(4, (minutes, COINS)) * 5e-4
    returns[rng.integers(0, minutes, 3), rng.integers(0, COINS, 3)] = np.nan
    return returns


def numpy_windows(returns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """np.corrcoef of each window; coins with a gap are NaN by themselves."""
    return np.stack([np.corrcoef(returns[row - WINDOW + 1 : row + 1], rowvar=False) for row in rows])


def pandas_windows(returns: np.ndarray) -> np.ndarray:
    """All of pandas' matrices."""
    return pd.DataFrame(returns).rolling(WINDOW).corr().to_numpy().reshape(len(returns), COINS, COINS)


def main() -> None:
    """Check that all ways agree, time them in turn and print milliseconds and ratios."""
    asked, found = options(__doc__), machine()
    say_machine(found)
    minutes, rounds = (2_000, 1) if asked.quick else (10_080, 5)
    returns = draw_returns(minutes)
    hourly, every = rolling_correlation(returns, WINDOW, HOUR), rolling_correlation(returns, WINDOW)
    whole = pandas_windows(returns)
    for matrices, expected in (
        (hourly.values, whole[hourly.rows]),
        (every.values, whole[every.rows]),
        (hourly.values, numpy_windows(returns, hourly.rows)),
    ):
        np.testing.assert_allclose(matrices, expected, rtol=0, atol=1e-10)
    del whole

    calls: dict[str, tuple[Callable[[int], object], int]] = {
        "pandas": (lambda _: pandas_windows(returns), 1),
        "numpy corrcoef, every hour": (lambda _: numpy_windows(returns, hourly.rows), 1),
        "margincast, every hour": (lambda _: rolling_correlation(returns, WINDOW, HOUR), 5),
        "margincast, every minute": (lambda _: rolling_correlation(returns, WINDOW), 2),
    }
    with threadpool_limits(1):
        spent = timed(calls, rounds)
    windows = f"{len(hourly.rows):,} windows an hour apart, {len(every.rows):,} a minute apart"
    print(f"{COINS} coins, {minutes:,} minutes, window {WINDOW:,}: {windows}")
    print(f"{'':28} {'median ms':>10} {'least ms':>10}")
    for name, taken in spent.items():
        print(f"{name:28} {taken.median * 1e3:10,.2f} {taken.least * 1e3:10,.2f}")
    hour, minute = spent["margincast, every hour"].median, spent["margincast, every minute"].median
    times = {
        "pandas, every hour": spent["pandas"].median / hour,
        "numpy corrcoef, every hour": spent["numpy corrcoef, every hour"].median / hour,
        "pandas, every minute": spent["pandas"].median / minute,
    }
    judged = say_goals({name: (times[name], goal) for name, goal in GOALS.items()}, asked.quick)
    figures = {name: {"median_s": taken.median, "least_s": taken.least} for name, taken in spent.items()}
    write_json(asked.json, {"machine": found, "minutes": minutes, "ways": figures, "goals": judged})


if __name__ == "__main__":
    main()
