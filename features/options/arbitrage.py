"""Static arbitrage in the quoted smiles: butterflies and calendars that would pay to be held, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...riskcore.options.black76 import CALL, value
from .smile import Smile

PRICE_STEP = 1e-4
"""By how much a butterfly must be worth less than nothing, in forwards: one tick of Deribit's coin prices."""
VOLATILITY_STEP = 1e-4
"""Volatility by which total variance may fall with maturity before it is more than rounding."""


@dataclass(frozen=True)
class ArbitrageCount:
    """Checks made and violations found; values add.

    Examples
    --------
    >>> (ArbitrageCount(10, 1, 4, 0) + ArbitrageCount(10, 1, 4, 2)).calendar_share
    0.25
    """

    butterflies: int = 0
    butterfly_violations: int = 0
    calendars: int = 0
    calendar_violations: int = 0

    def __add__(self, other: ArbitrageCount) -> ArbitrageCount:
        return ArbitrageCount(
            self.butterflies + other.butterflies,
            self.butterfly_violations + other.butterfly_violations,
            self.calendars + other.calendars,
            self.calendar_violations + other.calendar_violations,
        )

    @property
    def butterfly_share(self) -> float:
        """Share of the butterflies that violate; NaN without any."""
        return self.butterfly_violations / self.butterflies if self.butterflies else float("nan")

    @property
    def calendar_share(self) -> float:
        """Share of the calendars that violate; NaN without any."""
        return self.calendar_violations / self.calendars if self.calendars else float("nan")


def count_arbitrage(smiles: Sequence[Smile]) -> ArbitrageCount:
    """Check every three neighbouring strikes of an expiry and every strike against the next expiry.

    A butterfly of calls at three neighbouring strikes, one of the middle bought back for weights of the outer ones that
    add to one, must not be worth less than nothing; total variance at a log moneyness must not fall from one expiry to
    the next (compared where the later smile has quotes around it). Source: J. Gatheral and A. Jacquier, Arbitrage-free
    SVI volatility surfaces, Quantitative Finance 14 (2014), lemmas 2.1 and 2.2; P. Carr and D. Madan, A note on
    sufficient conditions for no arbitrage, Finance Research Letters 2 (2005).

    Parameters
    ----------
    smiles
        By rising expiry.

    Examples
    --------
    A flat smile of 60% after one of 80%: five calendars of which all violate.

    >>> strike = np.array([90.0, 95.0, 100.0, 105.0, 110.0])
    >>> near, far = (Smile(t, 100.0, strike, np.full(5, v), np.full(5, np.nan)) for t, v in ((0.2, 0.8), (0.25, 0.6)))
    >>> count_arbitrage((near, far))
    ArbitrageCount(butterflies=6, butterfly_violations=0, calendars=5, calendar_violations=5)
    """
    total = ArbitrageCount()
    for smile in smiles:
        total += _butterflies(smile)
    for near, far in zip(smiles[:-1], smiles[1:], strict=True):
        total += _calendars(near, far)
    return total


def _butterflies(smile: Smile) -> ArbitrageCount:
    ratio = smile.strike / smile.forward
    call = value(1.0, ratio, smile.years, smile.volatility, CALL)
    outer = (ratio[2:] - ratio[1:-1]) / (ratio[2:] - ratio[:-2])
    worth = outer * call[:-2] + (1.0 - outer) * call[2:] - call[1:-1]
    return ArbitrageCount(len(worth), int((worth < -PRICE_STEP).sum()))


def _calendars(near: Smile, far: Smile) -> ArbitrageCount:
    later = far.at(near.moneyness)
    fall = near.total_variance - later * later * far.years
    known = np.isfinite(fall)
    rounding = 2.0 * near.volatility * near.years * VOLATILITY_STEP
    return ArbitrageCount(0, 0, int(known.sum()), int((fall[known] > rounding[known]).sum()))
