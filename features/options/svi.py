"""Raw SVI: a smile in five parameters, fitted to an expiry, and whether it admits a butterfly arbitrage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray
from .smile import Smile
from .svi_kernel import fit_parameters

GRID = np.linspace(-1.0, 1.0, 201)


@dataclass(frozen=True)
class SviSmile:
    """Total variance w(k) = a + b (rho (k - m) + sqrt((k - m)^2 + sigma^2)) at log moneyness k.

    Source: J. Gatheral, A parsimonious arbitrage-free implied volatility parameterization, Global Derivatives, Madrid
    (2004); J. Gatheral and A. Jacquier, Arbitrage-free SVI volatility surfaces, Quantitative Finance 14 (2014).

    Parameters
    ----------
    years
        To expiry.
    a, b, rho, m, sigma
        The parameters; b >= 0, |rho| <= 1, sigma > 0.

    Examples
    --------
    Level a + b sigma at the money, slope b rho:

    >>> smile = SviSmile(1.0, 0.04, 0.4, -0.5, 0.0, 0.3)
    >>> smile.total_variance(np.zeros(1)).round(6).tolist(), smile.slopes(0.0)
    ([0.16], (-0.2, 1.3333333333333335))
    """

    years: float
    a: float
    b: float
    rho: float
    m: float
    sigma: float

    def total_variance(self, moneyness: FloatArray) -> FloatArray:
        """Volatility squared times years."""
        x = np.asarray(moneyness, np.float64) - self.m
        return np.asarray(self.a + self.b * (self.rho * x + np.sqrt(x * x + self.sigma * self.sigma)))

    def volatility(self, moneyness: FloatArray) -> FloatArray:
        """Per year; NaN where the total variance is negative."""
        total = self.total_variance(moneyness)
        return np.sqrt(np.where(total >= 0, total, np.nan) / self.years)

    def slopes(self, moneyness: float) -> tuple[float, float]:
        """First and second derivative of the total variance by log moneyness."""
        x = moneyness - self.m
        root = np.sqrt(x * x + self.sigma * self.sigma)
        return float(self.b * (self.rho + x / root)), float(self.b * self.sigma * self.sigma / root**3)

    def butterfly(self, moneyness: FloatArray) -> FloatArray:
        """Density of the price at expiry relative to the lognormal one of the same total variance: Gatheral's g(k).

        (1 - k w' / (2 w))^2 - w'^2 / 4 (1 / w + 1 / 4) + w'' / 2; below zero a butterfly would pay to be held (Gatheral
        and Jacquier 2014, lemma 2.2). NaN where the total variance is not positive.
        """
        k = np.asarray(moneyness, np.float64)
        x = k - self.m
        root = np.sqrt(x * x + self.sigma * self.sigma)
        first, second = self.b * (self.rho + x / root), self.b * self.sigma * self.sigma / root**3
        total = self.total_variance(k)
        w = np.where(total > 0, total, np.nan)
        return np.asarray((1 - 0.5 * k * first / w) ** 2 - 0.25 * first * first * (1 / w + 0.25) + 0.5 * second)

    def has_butterfly_arbitrage(self, low: float, high: float) -> bool:
        """Whether g(k) falls below zero, or the total variance does, between two log moneynesses (201 points)."""
        k = 0.5 * (low + high) + 0.5 * (high - low) * GRID
        return not bool((self.butterfly(k) >= 0).all())

    def error(self, smile: Smile) -> float:
        """Root mean square difference from the quoted volatilities, as a fraction per year."""
        miss = self.volatility(smile.moneyness) - smile.volatility
        return float(np.sqrt(np.mean(miss * miss)))


def fit_svi(smile: Smile) -> SviSmile:
    """Fit raw SVI to the quotes of an expiry by least squares of (nearly) the volatilities.

    The squares are of total variance, weighted with its reciprocal, since dw = 2 sqrt(w years) dvolatility. For given m
    and sigma the best a, b and rho are those of a bounded linear problem (S. De Marco and C. Martini, Quasi-explicit
    calibration of Gatheral's SVI model, Zeliade (2009)); m and sigma are searched on a grid that closes in on the best.
    Wings rise by at most 2 per unit of log moneyness (R. Lee, The moment formula for implied volatility at extreme
    strikes, Mathematical Finance 14 (2004)). Arbitrage is not excluded but told: `has_butterfly_arbitrage`.

    Examples
    --------
    >>> true = SviSmile(0.25, 0.01, 0.1, -0.3, 0.05, 0.2)
    >>> k = np.linspace(-0.6, 0.6, 13)
    >>> found = fit_svi(Smile(0.25, 100.0, 100.0 * np.exp(k), true.volatility(k), np.full(13, np.nan)))
    >>> round(found.rho, 2), round(found.b, 2), bool(abs(found.volatility(k) - true.volatility(k)).max() < 1e-5)
    (-0.3, 0.1, True)
    """
    total = smile.total_variance
    a, b, rho, m, sigma = fit_parameters(smile.moneyness, total, 1.0 / total)
    return SviSmile(smile.years, a, b, rho, m, sigma)
