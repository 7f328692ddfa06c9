"""How lively each time of day and week has been, kept up bar by bar: compiled twin of `season_ahead`."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ..engine.logarithm import log_one
from .trailing_kernel import roll_in


class SeasonState(NamedTuple):
    """What is remembered of n instruments; d and w are the bars in a day and in a week.

    Parameters
    ----------
    season_bar
        Bars so far, shape (1,).
    season_held, season_head
        Trailing week of squared ranges, (w, n) and (1, n).
    season_deviation
        Log range of a bar over that of its trailing week, ring of the last bars, (max(d * days, w * weeks), n).
    season_day, season_week
        Sum and count over earlier days (weeks) at each time of day (week), (d, n, 2) and (w, n, 2).
    season_total
        Sum and count over all times of the week, (n, 2).
    season_last
        Deviation of the last bar, and what was usual at its time of the week before it came, over the usual one of the
        whole week, (n, 2).
    """

    season_bar: IntArray
    season_held: FloatArray
    season_head: FloatArray
    season_deviation: FloatArray
    season_day: FloatArray
    season_week: FloatArray
    season_total: FloatArray
    season_last: FloatArray


def season_start(symbols: int, day: int, week: int, days: int, weeks: int) -> SeasonState:
    """State before the first bar; `days` and `weeks` are how many earlier ones are averaged."""
    return SeasonState(
        np.zeros(1, np.int64),
        np.zeros((week, symbols)),
        np.zeros((1, symbols)),
        np.full((max(day * days, week * weeks), symbols), np.nan),
        np.zeros((day, symbols, 2)),
        np.zeros((week, symbols, 2)),
        np.zeros((symbols, 2)),
        np.full((symbols, 2), np.nan),
    )


@numba.njit(cache=True, nogil=True)
def season_bar(state: SeasonState, days: int, weeks: int, high: FloatArray, low: FloatArray) -> None:
    """Take in one bar of every instrument; the deviation is NaN where its trailing week has a gap."""
    bar, n = state.season_bar[0], len(high)
    span, total = np.empty(n), np.empty((1, n))
    for column in range(n):
        span[column] = abs(log_one(high[column] / low[column]))
    week = len(state.season_held)
    roll_in(state.season_held, state.season_head, np.array([week]), bar, span * span, total)
    for column in range(n):
        usual, known = state.season_week[bar % week, column]
        state.season_last[column, 1] = usual / known - season_level(state, column) if known > 0.0 else np.nan
        deviation = log_one(span[column]) - 0.5 * log_one(total[0, column] / week)
        deviation = deviation if abs(deviation) < np.inf else np.nan
        state.season_last[column, 0] = deviation
        state.season_deviation[bar % len(state.season_deviation), column] = deviation
    _recount(state.season_deviation, state.season_day, days, bar)
    state.season_total[:] -= state.season_week[bar % week]
    _recount(state.season_deviation, state.season_week, weeks, bar)
    state.season_total[:] += state.season_week[bar % week]
    state.season_bar[0] = bar + 1


@numba.njit(cache=True, nogil=True)
def _recount(deviations: FloatArray, sums: FloatArray, count: int, bar: int) -> None:
    period = len(sums)
    for column in range(deviations.shape[1]):
        total, known = 0.0, 0.0
        for back in range(min(count, bar // period + 1)):
            value = deviations[(bar - back * period) % len(deviations), column]
            if not np.isnan(value):
                total += value
                known += 1.0
        sums[bar % period, column, 0] = total
        sums[bar % period, column, 1] = known


@numba.njit(cache=True, nogil=True)
def season_over(sums: FloatArray, bar: int, horizon: int, out: FloatArray) -> None:
    """Mean over the coming `horizon` bars' time of day or week, from bar `bar` on; NaN where no period is there.

    Parameters
    ----------
    sums
        `season_day` or `season_week` of the state.
    bar
        Bars so far.
    horizon
        In bars, at most the period.
    out
        Shape (n,).

    Examples
    --------
    Two earlier days of two bars, together 1.0 in the first bar and 3.0 in the second:

    >>> out = np.empty(1)
    >>> season_over(np.array([[[1.0, 2.0]], [[3.0, 2.0]]]), 4, 2, out)
    >>> out.tolist()
    [1.0]
    """
    period = len(sums)
    for column in range(len(out)):
        total, known = 0.0, 0.0
        for ahead in range(horizon):
            total += sums[(bar + ahead) % period, column, 0]
            known += sums[(bar + ahead) % period, column, 1]
        out[column] = total / known if known > 0.0 else np.nan


@numba.njit(cache=True, nogil=True)
def season_level(state: SeasonState, column: int) -> float:
    """Mean deviation over all times of the week: below zero, since a bar's log range is less than its week's mostly."""
    total, known = state.season_total[column]
    return total / known if known > 0.0 else np.nan
