"""Margin as a quantile of the coming period's loss: the estimators and the one contract they share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from scipy.special import ndtri

from ..riskcore.arrays import FloatArray, frozen, require
from ..riskcore.errors import InputError
from .margin_scale import blended_scale, ewma_scale
from .margin_tail import tail_quantile
from .margin_window import quantile_of, trailing

MINIMUM = 250
"""Observations before the first forecast, unless an estimator says otherwise."""


@dataclass(frozen=True)
class LossSeries:
    """Past losses of one side of one instrument, a period each, oldest first; no gaps.

    Parameters
    ----------
    losses
        Loss of the side over the period as a fraction of the price at its start; gains are negative, shape (m,).
    squares
        Squared return of each period, which scales EWMA and FHS.
    realised
        Sum of squared returns of the bars within each period: a sharper look at the variance; None takes `squares`.
    excursion
        Whether `losses` are the worst point within the period rather than its end. Then none is negative.

    Raises
    ------
    InputError
        A value that is not finite, a negative square, or lengths that disagree.
    """

    losses: FloatArray
    squares: FloatArray
    realised: FloatArray | None = None
    excursion: bool = False

    def __post_init__(self) -> None:
        if self.realised is None:
            object.__setattr__(self, "realised", self.squares)
        for name in ("losses", "squares", "realised"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
            column: FloatArray = getattr(self, name)
            if column.shape != (len(self.losses),):
                raise InputError(f"has shape {column.shape}, expected ({len(self.losses)},)", column=name)
            require(np.isfinite(column), column, "must be a finite number", name)
            if name != "losses" or self.excursion:
                require(column >= 0, column, "must not be negative", name)

    @classmethod
    def of_returns(cls, returns: FloatArray, *, side: int = 1) -> LossSeries:
        """Losses of who is long (`side` 1) or short (-1) from returns at the end of each period."""
        values = np.asarray(returns, np.float64)
        return cls(-side * values, values**2)

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def variances(self) -> FloatArray:
        """Realised variance of each period, or its squared return where none was given."""
        return self.squares if self.realised is None else self.realised


class QuantileModel(Protocol):
    """What every margin estimator does: one step ahead, walking forward, from past losses only."""

    @property
    def name(self) -> str:
        """Short name for tables."""

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """Loss that the next period exceeds with probability 1 - level, shape (m + 1,).

        Entry j is forecast from the first j observations; the last is for the period not yet seen. NaN where there are
        not enough of them.
        """


def require_level(level: float) -> float:
    """Return the level if it is in (0.5, 1), where a margin level lies; else raise InputError."""
    if not 0.5 < level < 1:
        raise InputError("must be in (0.5, 1), such as 0.99", column="level", value=level)
    return level


@dataclass(frozen=True)
class StaticRate:
    """The same rate for ever: a venue's table.

    Examples
    --------
    >>> StaticRate(0.05).predict(LossSeries.of_returns(np.array([0.01])), 0.99).tolist()
    [0.05, 0.05]
    """

    rate: float
    name: str = "static"

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """The rate, whatever the level."""
        require_level(level)
        return np.full(len(series) + 1, self.rate)


@dataclass(frozen=True)
class HistoricalSimulation:
    """Empirical quantile of the last `window` losses.

    Examples
    --------
    >>> series = LossSeries.of_returns(-np.arange(5.0))
    >>> HistoricalSimulation(window=5).predict(series, 0.75).tolist()[-1]
    3.0
    """

    window: int = 250
    minimum: int | None = None

    @property
    def name(self) -> str:
        """HS and its window."""
        return f"HS-{self.window}"

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`; NaN before `minimum` losses (None: a full window)."""
        pick = partial(quantile_of, level=require_level(level))
        return trailing(series.losses, self.window, self.minimum or self.window, pick)


@dataclass(frozen=True)
class EwmaNormal:
    """Normal quantile times the EWMA scale; for excursions, by reflection, that of twice the tail.

    The reflection principle: a driftless path passes x within the period with twice the probability of ending beyond.

    Examples
    --------
    >>> series = LossSeries.of_returns(np.full(250, 0.01))
    >>> round(float(EwmaNormal().predict(series, 0.99)[-1]), 6)
    0.023263
    """

    decay: float = 0.94
    window: int = 250

    @property
    def name(self) -> str:
        """Name of the method."""
        return "EWMA-N"

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`; NaN before a full window."""
        beyond = (1 - require_level(level)) / (2 if series.excursion else 1)
        return -float(ndtri(beyond)) * ewma_scale(series.squares, self.decay, window=self.window)


@dataclass(frozen=True)
class FilteredHistorical:
    """Quantile of past losses in units of their scale, times the scale now (FHS).

    Parameters
    ----------
    decay
        Decay of the EWMA scale.
    window
        Standardised losses looked at.
    minimum
        Observations before the first forecast.
    warm_up
        Of these, observations that only feed the scale.
    tail_share
        Share of the standardised losses to which a tail is fitted; 0 takes the empirical quantile.
    realised
        Whether the scale reads realised variances instead of squared returns.
    dial
        Weight of the responsive scale in a geometric blend with the slow one; 1 is plain FHS.
    slow_decay
        Decay of the slow scale.

    Notes
    -----
    Source: Barone-Adesi, Giannopoulos and Vosper, VaR without correlations for portfolios of derivative securities,
    Journal of Futures Markets 19 (1999).
    """

    decay: float = 0.97
    window: int = 1000
    minimum: int = MINIMUM
    warm_up: int = 20
    tail_share: float = 0.0
    realised: bool = False
    dial: float = 1.0
    slow_decay: float = 0.998

    @property
    def name(self) -> str:
        """FHS and its decay."""
        return f"FHS-{self.decay:.2f}".replace("0.", ".")

    def scale(self, series: LossSeries) -> FloatArray:
        """Scale known before each period, shape (m + 1,)."""
        moves = series.variances if self.realised else series.squares
        fast = ewma_scale(moves, self.decay, minimum=self.warm_up)
        if self.dial == 1:
            return fast
        return blended_scale(fast, ewma_scale(moves, self.slow_decay, minimum=self.warm_up), self.dial)

    def predict(self, series: LossSeries, level: float) -> FloatArray:
        """See `QuantileModel.predict`. A scale of zero (nothing ever moved) gives no forecast: NaN."""
        scale = self.scale(series)
        usable = np.flatnonzero(scale[:-1] > 0)
        start = int(usable[0]) if len(usable) else len(series)
        pick = partial(self._pick, level=require_level(level))
        standard = trailing(series.losses[start:] / scale[start:-1], self.window, self.minimum - self.warm_up, pick)
        return np.concatenate((np.full(start, np.nan), standard * scale[start:]))

    def _pick(self, ordered: list[float], level: float) -> float:
        if self.tail_share == 0:
            return quantile_of(ordered, level)
        return tail_quantile(ordered, level, self.tail_share)
