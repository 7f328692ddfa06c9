"""One side of one instrument walked forward: any estimator's margin path against the losses that came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..models.margin_quantiles import LossSeries
from ..riskcore.arrays import BoolArray, FloatArray
from .coverage_tests import SignificanceTest, diebold_mariano, pinball
from .margin_losses import PeriodLosses
from .margin_measures import MarginMeasures, measure


@dataclass(frozen=True)
class Walked:
    """What one path came to.

    Parameters
    ----------
    measures
        Its measures.
    scores
        Its quantile score in each tested period, NaN where it has none.
    covered
        1 where it covered the loss, 0 where not, NaN where it has no forecast.
    """

    measures: MarginMeasures
    scores: FloatArray
    covered: FloatArray


@dataclass(frozen=True)
class SideWalk:
    """The losses of one side, and which of its periods are tested.

    Parameters
    ----------
    periods, side
        Losses of the instrument, and the side looked at.
    tested
        Periods that count, shape (m,).
    level
        Coverage asked.
    periods_per_day
        Periods in a day.
    """

    periods: PeriodLosses
    side: str
    tested: BoolArray
    level: float
    periods_per_day: float

    @property
    def series(self) -> LossSeries:
        """Known losses of the side, as an estimator reads them."""
        return self.periods.series(self.side)

    def judged(self, known_path: FloatArray) -> Walked | None:
        """Judge forecasts over the known periods, shape (n_known + 1,); None where no tested period has one."""
        margin = self.periods.spread(known_path)[:-1][self.tested]
        losses = self.periods.losses(self.side)[self.tested]
        known = np.isfinite(margin) & np.isfinite(losses)
        if not known.any():
            return None
        return Walked(
            measure(margin, losses, self.level, self.periods_per_day),
            pinball(losses, margin, self.level),
            np.where(known, losses <= margin, np.nan),
        )


def compared(ours: Sequence[Walked | None], theirs: Sequence[Walked | None]) -> tuple[float, SignificanceTest]:
    """Our mean score over theirs minus 1, and whether the difference is more than chance.

    Parameters
    ----------
    ours, theirs
        Two methods on the same paths in the same order. A period counts on the paths on which both have a score; the
        paths of a period are averaged first, since they share one market.
    """
    pairs = [(a.scores, b.scores) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if not pairs:
        return np.nan, SignificanceTest(np.nan, np.nan)
    first, second = (np.array(column) for column in zip(*pairs, strict=True))
    both = np.isfinite(first) & np.isfinite(second)
    count = both.sum(axis=0)
    if (count > 0).sum() < 2:
        return np.nan, SignificanceTest(np.nan, np.nan)
    means = [np.where(both, s, 0.0).sum(axis=0)[count > 0] / count[count > 0] for s in (first, second)]
    return float(means[0].mean() / means[1].mean() - 1), diebold_mariano(means[0], means[1])
