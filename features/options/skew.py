"""How volatility leans and bends over strikes: risk reversals, butterflies, slope and curvature at the money."""

from __future__ import annotations

from .svi import SviSmile


def risk_reversal(call: float, put: float) -> float:
    """Volatility of the call less that of the put of the same delta; negative where falls cost more than rises.

    Source: U. Wystup, FX Options and Structured Products (2017); P. Carr and L. Wu, Stochastic skew in currency
    options, J. Financial Economics 86 (2007).

    Examples
    --------
    >>> round(risk_reversal(0.55, 0.6), 6)
    -0.05
    """
    return call - put


def butterfly(call: float, put: float, at_the_money: float) -> float:
    """Mean volatility of call and put of the same delta above that at the money: the smile's bend (a strangle's).

    Source: as `risk_reversal`.

    Examples
    --------
    >>> round(butterfly(0.55, 0.6, 0.5), 6)
    0.075
    """
    return 0.5 * (call + put) - at_the_money


def money_slope(smile: SviSmile) -> float:
    """Slope of the volatility by log moneyness at the forward, w' / (2 sqrt(w T)).

    Source: J. Gatheral, The Volatility Surface (2006), chapter 7 (at-the-money skew).

    Examples
    --------
    >>> round(money_slope(SviSmile(1.0, 0.04, 0.4, -0.5, 0.0, 0.3)), 6)
    -0.25
    """
    first, _, volatility = _at_the_money(smile)
    return first / (2.0 * volatility * smile.years)


def money_curvature(smile: SviSmile) -> float:
    """Second derivative of the volatility by log moneyness at the forward, (w'' - w'^2 / (2 w)) / (2 sqrt(w T)).

    Examples
    --------
    (4 / 3 - 0.2^2 / 0.32) / 0.8

    >>> round(money_curvature(SviSmile(1.0, 0.04, 0.4, -0.5, 0.0, 0.3)), 6)
    1.510417
    """
    first, second, volatility = _at_the_money(smile)
    total = volatility * volatility * smile.years
    return (second - first * first / (2.0 * total)) / (2.0 * volatility * smile.years)


def _at_the_money(smile: SviSmile) -> tuple[float, float, float]:
    first, second = smile.slopes(0.0)
    root = smile.b * (smile.m * smile.m + smile.sigma * smile.sigma) ** 0.5
    total = smile.a - smile.b * smile.rho * smile.m + root
    return first, second, (total / smile.years) ** 0.5 if total > 0 else float("nan")
