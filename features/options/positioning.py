"""Where open interest and volume lie: put-call ratios, the gamma of dealers, the price that pays holders least."""

from __future__ import annotations

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.options.greeks import greeks
from .chain import OptionChain
from .implied import ImpliedSurface


def put_call_ratio(chain: OptionChain, amounts: FloatArray) -> float:
    """Amount in puts over the amount in calls; NaN where none is told or there is none in calls.

    Parameters
    ----------
    amounts
        Open interest or volume of each option, shape (n,); options that do not tell it are left out.

    Source: J. Pan and A. Poteshman, The information in option volume for future stock prices, Review of Financial
    Studies 19 (2006).

    Examples
    --------
    >>> from .chain_rows import chain_from_rows
    >>> rows = {"expiry": "2024-02-01", "strike": [90.0, 110.0], "right": [-1, 1], "open_interest": [30.0, 40.0]}
    >>> chain = chain_from_rows("BTC", np.datetime64("2024-01-01"), rows)
    >>> put_call_ratio(chain, chain.open_interest), put_call_ratio(chain, chain.volume)
    (0.75, nan)
    """
    told = np.isfinite(amounts)
    puts = float(amounts[told & (chain.right < 0)].sum())
    calls = float(amounts[told & (chain.right > 0)].sum())
    return puts / calls if calls > 0 else float("nan")


def gamma_exposure(surface: ImpliedSurface) -> float:
    """Underlying that dealers must sell as the price rises by 1%, in units of the underlying (buy where negative).

    0.01 F gamma times open interest, summed over options with a volatility, calls counted as held by dealers and puts
    as written by them. That assumption is the measure's convention, not an observation. Source: SqueezeMetrics, Gamma
    Exposure (white paper, 2017). NaN where no option tells its open interest.

    Examples
    --------
    A call at the money: gamma is n(d1) / (F v) with v = 0.6 sqrt(0.2), so 0.01 F gamma 100 = 0.3954 / 0.2683.

    >>> from .chain_rows import chain_from_rows
    >>> from .implied import implied_surface
    >>> rows = {"expiry": "2024-03-14", "strike": 5e4, "right": 1, "mark": 0.10673, "forward": 5e4}
    >>> chain = chain_from_rows("BTC", np.datetime64("2024-01-01"), rows | {"open_interest": 100.0})
    >>> round(gamma_exposure(implied_surface(chain)), 2)
    1.47
    """
    chain = surface.chain
    told = np.isfinite(chain.open_interest) & np.isfinite(surface.mark)
    if not told.any():
        return float("nan")
    ratio = chain.strike[told] / chain.forward[told]
    gamma = greeks(1.0, ratio, chain.years[told], surface.mark[told], chain.right[told]).gamma
    return float(0.01 * (chain.right[told] * gamma * chain.open_interest[told]).sum())


def max_pain(strike: FloatArray, right: FloatArray, open_interest: FloatArray) -> float:
    """The strike at which the options of an expiry would pay their holders least; NaN without open interest.

    Source: S. Ni, N. Pearson and A. Poteshman, Stock price clustering on option expiration dates, J. Financial
    Economics 78 (2005), study the clustering it is meant to foresee.

    Parameters
    ----------
    strike, right, open_interest
        Options of one expiry, shape (n,); open interest NaN counts as none.

    Examples
    --------
    At 100 the put struck at 110 pays 10, at 110 nothing is paid.

    >>> max_pain(np.array([110.0, 110.0, 100.0]), np.array([1, -1, -1]), np.array([1.0, 1.0, 1.0]))
    110.0
    """
    held = np.where(np.isfinite(open_interest), open_interest, 0.0)
    if not held.sum() > 0:
        return float("nan")
    levels = np.unique(strike)
    paid = (np.maximum(right * (levels[:, None] - strike), 0.0) * held).sum(axis=1)
    return float(levels[np.argmin(paid)])


def max_pain_distance(chain: OptionChain) -> float:
    """Log of the `max_pain` strike over the forward, for the expiry with the most open interest; NaN without any."""
    held = np.where(np.isfinite(chain.open_interest), chain.open_interest, 0.0)
    if not held.sum() > 0:
        return float("nan")
    most = int(np.argmax(np.add.reduceat(held, chain.pointer[:-1])))
    rows = slice(chain.pointer[most], chain.pointer[most + 1])
    strike = max_pain(chain.strike[rows], chain.right[rows].astype(np.float64), held[rows])
    return float(np.log(strike / chain.expiry_forward[most]))
