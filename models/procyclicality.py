"""Tools against procyclical margin: the three of EMIR, and the venue's own bound on a step."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .margin_quantiles import MINIMUM, HistoricalSimulation, LossSeries, QuantileModel


class MarginTool(Protocol):
    """What turns a margin path into a steadier one, from the past only."""

    @property
    def name(self) -> str:
        """Short name for tables."""

    def apply(self, margin: FloatArray, series: LossSeries, level: float) -> FloatArray:
        """The margin charged where the model says `margin`, shape (m + 1,); NaN stays NaN."""


@dataclass(frozen=True)
class StressBuffer:
    """A buffer on top in calm times that is used up before the margin rises.

    The margin charged stays where it is as long as it lies between the model's and `1 + share` times the model's.

    Notes
    -----
    Source: Regulation (EU) 153/2013, article 28(1)(a): a buffer of at least 25%, exhausted when margins rise
    significantly.

    Examples
    --------
    >>> series = LossSeries.of_returns(np.zeros(3))
    >>> StressBuffer().apply(np.array([4.0, 4.5, 6.0, 2.0]), series, 0.99).tolist()
    [5.0, 5.0, 6.0, 2.5]
    """

    share: float = 0.25
    name: str = "buffer"

    def apply(self, margin: FloatArray, series: LossSeries, level: float) -> FloatArray:
        """See `MarginTool.apply`."""
        charged = margin.copy()
        held = np.inf
        for j, model in enumerate(margin.tolist()):
            if model == model:  # not NaN
                held = min(max(held, model), (1 + self.share) * model)
                charged[j] = held
        return charged


@dataclass(frozen=True)
class StressWeight:
    """A share of the margin from the worst window seen so far.

    (1 - weight) * margin + weight * stressed, stressed the largest quantile any past `window` losses gave.

    Notes
    -----
    Source: Regulation (EU) 153/2013, article 28(1)(b): at least 25% weight to stressed observations.
    """

    weight: float = 0.25
    window: int = MINIMUM
    name: str = "stress"

    def apply(self, margin: FloatArray, series: LossSeries, level: float) -> FloatArray:
        """See `MarginTool.apply`; NaN too before a window of losses is full."""
        quantiles = HistoricalSimulation(self.window).predict(series, level)
        return (1 - self.weight) * margin + self.weight * np.fmax.accumulate(quantiles)


@dataclass(frozen=True)
class LongFloor:
    """No lower than the quantile of a long look-back.

    Parameters
    ----------
    window
        Losses looked back on; None for all. EMIR asks for ten years.

    Notes
    -----
    Source: Regulation (EU) 153/2013, article 28(1)(c).
    """

    window: int | None = None
    minimum: int = MINIMUM
    name: str = "floor"

    def apply(self, margin: FloatArray, series: LossSeries, level: float) -> FloatArray:
        """See `MarginTool.apply`; NaN too before `minimum` losses."""
        window = self.window or max(len(series), self.minimum)
        return np.maximum(margin, HistoricalSimulation(window, self.minimum).predict(series, level))


@dataclass(frozen=True)
class Tempered:
    """A model with a tool on it; itself a model."""

    base: QuantileModel
    tool: MarginTool

    @property
    def name(self) -> str:
        """Name of the model and of the tool."""
        return f"{self.base.name}+{self.tool.name}"

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`."""
        return self.tool.apply(self.base.predict(series, level), series, level)


@dataclass(frozen=True)
class StepLimit:
    """The guard-rail: a rate moves by no more than a share of itself within a day.

    Parameters
    ----------
    rise, fall
        Largest relative rise and fall within `periods`; `fall` not above rise / (1 + rise), so that both can hold.
    periods
        Periods in a day.

    Examples
    --------
    >>> StepLimit(rise=0.1, fall=0.05).limited(np.array([1.0, 2.0, 2.0, 0.1])).round(4).tolist()
    [1.0, 1.1, 1.21, 1.1495]
    """

    rise: float = 0.1
    fall: float = 0.09
    periods: int = 1

    def __post_init__(self) -> None:
        if not self.rise > 0:
            raise InputError("must be positive", column="rise", value=self.rise)
        if not 0 < self.fall <= self.rise / (1 + self.rise):
            raise InputError("must be positive and at most rise / (1 + rise)", column="fall", value=self.fall)
        if self.periods < 1:
            raise InputError("must be at least 1", column="periods", value=self.periods)

    def limited(self, target: FloatArray) -> FloatArray:
        """The path that follows `target` within the bounds; it starts at the first number. NaN keeps the last rate."""
        recent: deque[float] = deque(maxlen=self.periods)
        path = target.copy()
        for j, wanted in enumerate(target.tolist()):
            if recent:
                wanted = recent[-1] if wanted != wanted else wanted
                wanted = min(max(wanted, (1 - self.fall) * max(recent)), (1 + self.rise) * min(recent))
            if wanted == wanted:
                recent.append(wanted)
            path[j] = wanted
        return path

    def next_day(self, current: float, wanted: float) -> float:
        """The rate a day after `current` on the way to `wanted`.

        Examples
        --------
        >>> round(StepLimit(rise=0.1, fall=0.05).next_day(0.004, 0.01), 6)
        0.0044
        """
        return min(max(wanted, current * (1 - self.fall)), current * (1 + self.rise))

    def days(self, current: float, wanted: float) -> int:
        """Days from `current` to `wanted`, both positive.

        Examples
        --------
        >>> rail = StepLimit(rise=0.1, fall=0.05)
        >>> rail.days(0.004, 0.01), rail.days(0.004, 0.0039), rail.days(0.004, 0.004)
        (10, 1, 0)
        """
        step = math.log1p(self.rise) if wanted > current else -math.log1p(-self.fall)
        # 1e-9: ten steps of 10% must not be eleven for want of a bit.
        return math.ceil(abs(math.log(wanted / current)) / step - 1e-9)
