"""The smile of an expiry: volatility between the listed strikes, never beyond them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.special import ndtr

from ...riskcore.arrays import FloatArray, frozen
from .implied import ImpliedSurface

LEAST_POINTS = 5
"""Sound quotes an expiry needs for a smile."""


@dataclass(frozen=True)
class Smile:
    """Volatilities of the sound quotes of one expiry, by rising strike.

    Between them the volatility is interpolated by a shape-preserving cubic (F. Fritsch and J. Butland, A method for
    constructing local monotone piecewise cubic interpolants, SIAM J. Sci. Stat. Comput. 5 (1984)); beyond them there is
    none.

    Parameters
    ----------
    years
        To expiry.
    forward
        One for the expiry, quote units.
    strike
        Rising, shape (n,).
    volatility
        Of the marks, per year, shape (n,).
    width
        Volatility of the ask less that of the bid, shape (n,); NaN where one is missing.

    Examples
    --------
    >>> smile = Smile(0.25, 100.0, np.array([80.0, 100.0, 125.0]), np.array([0.7, 0.6, 0.7]), np.full(3, np.nan))
    >>> smile.at_the_money, smile.at(np.log([1.25, 1.5])).tolist()
    (0.6, [0.7, nan])
    """

    years: float
    forward: float
    strike: FloatArray
    volatility: FloatArray
    width: FloatArray

    def __post_init__(self) -> None:
        for name in ("strike", "volatility", "width"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    @cached_property
    def moneyness(self) -> FloatArray:
        """Log of strike over forward, shape (n,)."""
        return np.log(self.strike / self.forward)

    @cached_property
    def total_variance(self) -> FloatArray:
        """Volatility squared times years, shape (n,)."""
        return self.volatility * self.volatility * self.years

    @cached_property
    def call_delta(self) -> FloatArray:
        """Forward delta N(d1) of the call at each strike, shape (n,)."""
        deviation = self.volatility * np.sqrt(self.years)
        return np.asarray(ndtr(-self.moneyness / deviation + 0.5 * deviation))

    @cached_property
    def _by_moneyness(self) -> PchipInterpolator:
        return PchipInterpolator(self.moneyness, self.volatility, extrapolate=False)

    def at(self, moneyness: FloatArray) -> FloatArray:
        """Volatility at logs of strike over forward; NaN beyond the quotes."""
        return np.asarray(self._by_moneyness(moneyness), dtype=np.float64)

    @cached_property
    def at_the_money(self) -> float:
        """Volatility at the forward; NaN where it lies beyond the quotes."""
        return float(self.at(np.zeros(1))[0])

    def at_delta(self, call_delta: FloatArray) -> FloatArray:
        """Volatility at forward deltas of calls: a put of delta -0.25 is asked for as 0.75.

        Interpolated over delta, as foreign exchange options are quoted (D. Reiswich and U. Wystup, FX volatility smile
        construction, Wilmott (2012)). NaN beyond the quotes, and beyond the strike next to the money on either side up
        to which delta falls from strike to strike.
        """
        rows = self._falling
        if rows.stop - rows.start < 2:
            return np.full(np.shape(call_delta), np.nan)
        curve = PchipInterpolator(self.call_delta[rows][::-1], self.volatility[rows][::-1], extrapolate=False)
        return np.asarray(curve(call_delta), dtype=np.float64)

    @cached_property
    def _falling(self) -> slice:
        """The run of strikes around the money over which the call delta falls."""
        rises = np.flatnonzero(np.diff(self.call_delta) >= 0)
        money = int(np.searchsorted(self.moneyness, 0.0))
        return slice(
            int(max(rises[rises < money] + 1, default=0)), int(min(rises[rises >= money] + 1, default=len(self.strike)))
        )

    @cached_property
    def spread(self) -> float:
        """Mean width of the nearest quotes on either side of the forward; NaN where one is missing."""
        place = int(np.searchsorted(self.moneyness, 0.0))
        return (
            float(0.5 * (self.width[place - 1] + self.width[place])) if 0 < place < len(self.strike) else float("nan")
        )


def smiles(surface: ImpliedSurface) -> tuple[Smile, ...]:
    """Smiles of the expiries that have at least `LEAST_POINTS` sound quotes, by rising expiry.

    A strike at which call and put are both sound (the forward moved between the two quotes) gives the put.

    Examples
    --------
    >>> from .chain_rows import chain_from_rows
    >>> from .implied import implied_surface
    >>> from ...riskcore.options.black76 import value
    >>> strike, right = np.array([70.0, 80.0, 90.0, 110.0, 140.0]), np.array([-1, -1, -1, 1, 1])
    >>> rows = {"expiry": "2024-04-01", "strike": strike, "right": right, "forward": 100.0}
    >>> rows["mark"] = value(1.0, strike / 100.0, 91 / 365, 0.6, right)
    >>> (smile,) = smiles(implied_surface(chain_from_rows("BTC", np.datetime64("2024-01-01"), rows)))
    >>> round(smile.at_the_money, 9), smile.at_delta(np.array([0.25, 0.75])).round(9).tolist()
    (0.6, [0.6, 0.6])
    """
    chain = surface.chain
    found = []
    for i, forward in enumerate(chain.expiry_forward):
        start = int(chain.pointer[i])
        rows = start + np.flatnonzero(surface.sound[start : chain.pointer[i + 1]])
        strike = chain.strike[rows]
        first = np.append(True, np.diff(strike) > 0) if len(rows) else np.zeros(0, bool)
        rows = rows[first]
        if len(rows) >= LEAST_POINTS:
            width = surface.ask[rows] - surface.bid[rows]
            found.append(
                Smile(float(chain.years[start]), float(forward), chain.strike[rows], surface.mark[rows], width)
            )
    return tuple(found)
