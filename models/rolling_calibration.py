"""Calibration that follows the outcomes as they become known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, group_sums, require
from ..riskcore.errors import InputError
from .calibration import SMALLEST, BetaCalibration, known_rows, log_odds

BIN_WIDTH = 0.1
"""In log odds. Rows of a bin are replaced by their mean log odds: what is kept does not grow with time."""
BINS = 2 * int(np.ceil(-np.log(SMALLEST) / BIN_WIDTH)) + 1


class RollingCalibration:
    """Beta calibration on the outcomes known so far, the older ones counting for less.

    A forecast made at the open of bar s over `horizon` bars is known at bar s + horizon, when its weight is 1; it
    halves every `half_life` days. The pull towards changing nothing weighs `shrinkage_days` days of forecasts. Kept are
    sums over bins of log odds, so that an update costs milliseconds however long it has run.

    Parameters
    ----------
    horizon
        Of the forecasts, in bars.
    day_bars
        Bars in a day.
    half_life
        In days.
    shrinkage_days
        Days of forecasts that the wish to change nothing weighs.

    Attributes
    ----------
    now_
        Bar up to whose open outcomes are known.
    model_
        The calibration that holds then.

    Examples
    --------
    Forecasts of 0.2 come true half of the time. On the second day the outcomes of the first are known, not before.

    >>> bar, p, y = np.arange(0, 48, 2), np.full(24, 0.2), np.tile([1.0, 0.0], 12)
    >>> model = RollingCalibration(1, 24, half_life=1e9, shrinkage_days=0.0)
    >>> model.walk(bar, p, y).round(3)[[0, 11, 12, 23]].tolist()
    [0.2, 0.2, 0.5, 0.5]
    """

    def __init__(self, horizon: int, day_bars: int, half_life: float = 365.0, shrinkage_days: float = 400.0) -> None:
        if horizon < 1 or day_bars < 1:
            raise InputError("must be at least one bar", column="horizon", value=min(horizon, day_bars))
        if not half_life > 0 or not shrinkage_days >= 0:
            raise InputError("must be positive", column="half_life", value=min(half_life, shrinkage_days))
        self.horizon, self.day_bars = horizon, day_bars
        self.half_life, self.shrinkage_days = half_life, shrinkage_days
        self.now_, self._last_day = 0, -1
        self._sums = np.zeros((3, BINS))
        self._rows = self._days = 0.0
        self.model_ = BetaCalibration(0.0).fit(np.empty(0), np.empty(0))

    def update(
        self,
        now: int,
        bar: IntArray,
        probability: FloatArray,
        outcome: FloatArray,
        weight: FloatArray | None = None,
    ) -> RollingCalibration:
        """Take in outcomes that became known by the open of bar `now`, and fit again.

        Parameters
        ----------
        now
            Never falls from one update to the next.
        bar
            Bar at whose open each forecast was made, shape (n,).
        probability, outcome, weight
            Of each forecast; rows with NaN are left out, and do not count as days.

        Raises
        ------
        InputError
            An outcome that is not known at `now`, or a `now` before the last.
        """
        if now < self.now_:
            raise InputError(f"must not fall below {self.now_}", column="now", value=now)
        require(bar + self.horizon <= now, bar, f"is not known at bar {now} over {self.horizon} bars", "bar")
        known = np.isfinite(probability) & np.isfinite(outcome) & (True if weight is None else weight > 0)
        p, y, w = known_rows(probability, outcome, weight)
        self._age(now)
        fresh = 0.5 ** ((now - self.horizon - bar[known]) / (self.half_life * self.day_bars))
        self._add(p, y, w * fresh)
        self._rows += float(fresh.sum())
        self._count_days(bar[known], fresh)
        return self._refit()

    def predict(self, probability: FloatArray) -> FloatArray:
        """Calibrated probability as of the last update; 0 and 1 stay, NaN stays NaN."""
        return self.model_.predict(probability)

    def walk(
        self, bar: IntArray, probability: FloatArray, outcome: FloatArray, weight: FloatArray | None = None
    ) -> FloatArray:
        """Calibrate rows in rising order of `bar`, fitting again at the first forecast of each day; shape (n,).

        A row is calibrated on outcomes known at the open of its day's first forecast, and on those of earlier updates.

        Raises
        ------
        InputError
            Bars that fall, or that lie before the last update.
        """
        require(np.diff(bar, prepend=self.now_) >= 0, bar, "must not fall, nor lie before the last update", "bar")
        out = np.full(len(bar), np.nan)
        taken = 0
        edges = np.flatnonzero(np.diff(bar // self.day_bars, prepend=-1))
        for first, last in zip(edges, np.append(edges[1:], len(bar)), strict=True):
            known = int(np.searchsorted(bar, bar[first] - self.horizon, side="right"))
            rows = slice(taken, known)
            self.update(
                int(bar[first]), bar[rows], probability[rows], outcome[rows], None if weight is None else weight[rows]
            )
            taken = known
            out[first:last] = self.predict(probability[first:last])
        return out

    def _age(self, now: int) -> None:
        decay = 0.5 ** ((now - self.now_) / (self.half_life * self.day_bars))
        self._sums *= decay
        self._rows *= decay
        self._days *= decay
        self.now_ = now

    def _add(self, p: FloatArray, y: FloatArray, w: FloatArray) -> None:
        odds = log_odds(p)
        place = (np.rint(odds / BIN_WIDTH) + BINS // 2).astype(np.int64)
        for k, values in enumerate((w, w * y, w * odds)):
            self._sums[k] += group_sums(place, values, BINS)

    def _count_days(self, bar: IntArray, fresh: FloatArray) -> None:
        days, first = np.unique(bar // self.day_bars, return_index=True)
        unseen = days > self._last_day
        self._days += float(fresh[first[unseen]].sum())
        self._last_day = max(self._last_day, int(days.max(initial=-1)))

    def _refit(self) -> RollingCalibration:
        filled = self._sums[0] > 0
        weight, hits, odds = self._sums[:, filled]
        rows_a_day = self._rows / self._days if self._days else 1.0
        p = 1.0 / (1.0 + np.exp(-odds / weight))
        # sums that have decayed may round a frequency past 1
        rate = np.clip(hits / weight, 0.0, 1.0)
        self.model_ = BetaCalibration(self.shrinkage_days * rows_a_day).fit(p, rate, weight)
        return self

    def state(self) -> dict[str, Any]:
        """What `from_state` needs."""
        return {
            "horizon": self.horizon,
            "day_bars": self.day_bars,
            "half_life": self.half_life,
            "shrinkage_days": self.shrinkage_days,
            "now": self.now_,
            "last_day": self._last_day,
            "rows": self._rows,
            "days": self._days,
            "sums": self._sums.copy(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> RollingCalibration:
        """The calibration as it was when `state` was taken; it goes on from there."""
        model = cls(
            int(state["horizon"]), int(state["day_bars"]), float(state["half_life"]), float(state["shrinkage_days"])
        )
        model.now_, model._last_day = int(state["now"]), int(state["last_day"])
        model._rows, model._days = float(state["rows"]), float(state["days"])
        model._sums = np.array(state["sums"], dtype=np.float64)
        return model._refit()
