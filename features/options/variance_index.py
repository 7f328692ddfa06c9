"""Variance that option prices imply without a model: a strip summed as Cboe does, or a whole smile integrated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.options.black76 import time_value
from .implied import ImpliedSurface
from .smile import Smile

STEPS = 256
"""Intervals of the integral on each side of the money (even)."""
REACH = 9.0
"""How far the integral goes, in deviations of the highest volatility of the smile."""


@dataclass(frozen=True)
class VarianceStrip:
    """The replicating strip of one expiry.

    Parameters
    ----------
    variance
        Per year; NaN where the quotes do not allow one.
    forward
        From put-call parity, or as given.
    strike
        Strikes of the strip, rising; `pivot` is the one at or just below the forward.
    pivot
        K0 of the method.
    contribution
        Each strike's part of the sum, dK / K^2 exp(r T) Q(K).
    """

    variance: float
    forward: float
    pivot: float
    strike: FloatArray
    contribution: FloatArray


def strip_variance(
    strike: FloatArray,
    call: tuple[FloatArray, FloatArray],
    put: tuple[FloatArray, FloatArray],
    years: float,
    rate: float = 0.0,
    forward: float | None = None,
) -> VarianceStrip:
    """Variance of one expiry from the quotes of its options, by the method of the Cboe Volatility Index.

    2 / T sum(dK / K^2 exp(r T) Q(K)) - (F / K0 - 1)^2 / T over out-of-the-money options; Q is the mid of bid and ask.
    Walking away from K0, options without a bid are left out, and after two of them in a row no more is taken.
    Source: Cboe Volatility Index Mathematics Methodology (2026), before that the white paper Cboe Volatility Index
    (2019); K. Demeterfi, E. Derman, M. Kamal and J. Zou, More than you ever wanted to know about volatility swaps,
    Goldman Sachs (1999).

    Parameters
    ----------
    strike
        Rising, shape (n,).
    call, put
        Bid and ask of each strike's call and put, each (n,); NaN or 0 is no quote.
    years, rate
        To expiry; interest rate per year, continuous.
    forward
        Where it is not given it is that of put-call parity at the strike where call and put differ least.

    Returns
    -------
    VarianceStrip
        With variance NaN where there is no forward, no quoted pivot, or fewer than two strikes.

    Examples
    --------
    Three strikes, dK = 10; (2 / 1) (10 / 90^2 + 10 / 100^2 x 4 + 10 / 110^2).

    >>> quotes = (np.array([11.0, 4.0, 1.0]),) * 2, (np.array([1.0, 4.0, 11.0]),) * 2
    >>> strip = strip_variance(np.array([90.0, 100.0, 110.0]), *quotes, 1.0)
    >>> strip.forward, strip.pivot, round(strip.variance, 6)
    (100.0, 100.0, 0.012122)
    """
    grown = np.exp(rate * years)
    calls, puts = _mids(*call), _mids(*put)
    if forward is None:
        forward = _parity(strike, calls, puts, grown)
    at = int(np.searchsorted(strike, forward, side="right")) - 1
    quoted = np.isfinite(calls[at] + puts[at]) if 0 <= at < len(strike) and np.isfinite(forward) else False
    if not quoted:
        return VarianceStrip(float("nan"), forward, float("nan"), np.zeros(0), np.zeros(0))
    below = _walk(puts[:at][::-1])
    above = _walk(calls[at + 1 :])
    rows = np.concatenate((at - 1 - below[::-1], [at], at + 1 + above)).astype(np.int64)
    price = np.concatenate((puts[:at][::-1][below][::-1], [0.5 * (calls[at] + puts[at])], calls[at + 1 :][above]))
    pivot = float(strike[at])
    if len(rows) < 2:
        return VarianceStrip(float("nan"), forward, pivot, strike[rows], np.zeros(0))
    taken = strike[rows]
    contribution = _gaps(taken) / (taken * taken) * grown * price
    variance = (2.0 * contribution.sum() - (forward / pivot - 1.0) ** 2) / years
    return VarianceStrip(float(variance), forward, pivot, taken, contribution)


def _mids(bid: FloatArray, ask: FloatArray) -> FloatArray:
    """Mids of options that have a bid and an ask; NaN for the others, which the strip leaves out."""
    return np.where((bid > 0) & (ask >= bid), 0.5 * (bid + ask), np.nan)


def _parity(strike: FloatArray, calls: FloatArray, puts: FloatArray, grown: float) -> float:
    gap = np.where(np.isfinite(calls - puts), np.abs(calls - puts), np.inf)
    if not np.isfinite(gap).any():
        return float("nan")
    at = int(np.argmin(gap))
    return float(strike[at] + grown * (calls[at] - puts[at]))


def _walk(price: FloatArray) -> IntArray:
    """Places that have a price, up to two in a row that have none."""
    missing = np.isnan(price)
    pairs = np.flatnonzero(missing[1:] & missing[:-1])
    end = int(pairs[0]) if len(pairs) else len(price)
    return np.flatnonzero(~missing[:end])


def _gaps(strike: FloatArray) -> FloatArray:
    """Half the distance between the neighbours; at the ends the distance to the one."""
    gaps = np.empty(len(strike))
    gaps[1:-1] = 0.5 * (strike[2:] - strike[:-2])
    gaps[0], gaps[-1] = strike[1] - strike[0], strike[-1] - strike[-2]
    return gaps


def chain_strip(surface: ImpliedSurface, expiry: int) -> VarianceStrip:
    """`strip_variance` of one expiry of a chain, its prices in quote units and the chain's forward.

    Parameters
    ----------
    surface
        The chain.
    expiry
        Which of its expiries, by number.
    """
    chain = surface.chain
    rows = slice(chain.pointer[expiry], chain.pointer[expiry + 1])
    strike, place = np.unique(chain.strike[rows], return_inverse=True)
    quotes = np.full((2, 2, len(strike)), np.nan)
    side = (chain.right[rows] < 0).astype(np.int64)
    quotes[side, 0, place] = chain.in_quote(chain.bid)[rows]
    quotes[side, 1, place] = chain.in_quote(chain.ask)[rows]
    years, forward = float(chain.years[rows][0]), float(chain.expiry_forward[expiry])
    return strip_variance(strike, tuple(quotes[0]), tuple(quotes[1]), years, forward=forward)


def smile_variance(smile: Smile) -> float:
    """Variance per year that the smile of an expiry implies, from the whole range of strikes.

    2 / T times the integral of out-of-the-money prices over K^2 (Demeterfi et al. 1999; P. Carr and D. Madan, Towards a
    theory of volatility trading (1998)). Between the quotes the volatility is the smile's, beyond them that of the last
    quote (G. Jiang and Y. Tian, The model-free implied volatility and its information content, Review of Financial
    Studies 18 (2005)): unlike the strip it loses neither the wings nor what lies between two strikes. Simpson's rule.

    Examples
    --------
    A flat smile gives its own variance.

    >>> smile = Smile(0.25, 100.0, np.array([80.0, 100.0, 125.0]), np.full(3, 0.6), np.full(3, np.nan))
    >>> round(smile_variance(smile), 6)
    0.36
    """
    root = np.sqrt(smile.years)
    reach = REACH * float(smile.volatility.max()) * root
    side = np.linspace(0.0, reach, STEPS + 1)
    weight = np.where(np.arange(STEPS + 1) % 2, 4.0, 2.0)
    weight[[0, -1]] = 1.0
    k = np.concatenate((-side, side))
    inner = np.clip(k, smile.moneyness[0], smile.moneyness[-1])
    price = time_value(1.0, np.exp(k), smile.at(inner) * root)
    integral = np.sum(np.tile(weight, 2) * price * np.exp(-k)) * (reach / STEPS / 3.0)
    return float(2.0 * integral / smile.years)
