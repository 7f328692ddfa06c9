"""All features of one option chain, from its implied volatilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...riskcore.arrays import FloatArray
from .arbitrage import count_arbitrage
from .declarations import DELTAS, MATURITIES, NAMES, SKEW_MATURITY
from .implied import ImpliedSurface
from .positioning import gamma_exposure, max_pain_distance, put_call_ratio
from .skew import butterfly, money_curvature, money_slope, risk_reversal
from .smile import Smile, smiles
from .svi import fit_svi
from .term_structure import DAYS, between, constant_maturity, forward_variance
from .variance_index import chain_strip, smile_variance


def measure(surface: ImpliedSurface) -> FloatArray:
    """The features of `declarations.DECLARATIONS`, shape (n_features,); NaN by each one's missing-data rule.

    Examples
    --------
    A flat surface: every volatility is the same, nothing leans or bends.

    >>> from .chain_rows import chain_from_rows
    >>> from .implied import implied_surface
    >>> from ...riskcore.options.black76 import value
    >>> strike = np.tile(np.arange(50.0, 200.0, 5.0), 2)
    >>> right = np.where(strike < 100.0, -1, 1)
    >>> expiry = np.repeat(["2024-01-08", "2024-04-30"], 30)
    >>> years = np.repeat([7 / 365, 120 / 365], 30)
    >>> rows = {"expiry": expiry, "strike": strike, "right": right, "forward": 100.0}
    >>> rows["mark"] = value(1.0, strike / 100.0, years, 0.6, right)
    >>> found = dict(zip(NAMES, measure(implied_surface(chain_from_rows("X", np.datetime64("2024-01-01"), rows)))))
    >>> names = ("atm_volatility_30d", "smile_variance_index_30d", "butterfly_25d_30d")
    >>> [abs(round(float(found[name]), 6)) for name in names]
    [0.6, 0.6, 0.0]
    """
    found = smiles(surface)
    values = {
        **_levels(found),
        **_skew(found),
        **_positions(surface),
        "variance_index_30d": _strip_volatility(surface),
        "sound_quotes": surface.quality.sound_share,
    }
    return np.array([values[name] for name in NAMES], np.float64)


def _levels(found: Sequence[Smile]) -> dict[str, float]:
    years = np.array([smile.years for smile in found])
    volatility = np.array([smile.at_the_money for smile in found])
    levels = {days: constant_maturity(years, volatility, days) for days in MATURITIES}
    near, middle, far = (levels[days] for days in MATURITIES)
    counted = count_arbitrage(found)
    return {
        **{f"atm_volatility_{days}d": level for days, level in levels.items()},
        "term_slope_7d_90d": float(np.log(far / near)),
        "forward_variance_30d_90d": forward_variance(middle, far, MATURITIES[1], MATURITIES[2]),
        "option_spread_30d": between(years, np.array([smile.spread for smile in found]), SKEW_MATURITY / DAYS),
        "butterfly_violations": counted.butterfly_share,
        "calendar_violations": counted.calendar_share,
    }


def _skew(found: Sequence[Smile]) -> dict[str, float]:
    years = np.array([smile.years for smile in found])
    near = _around(years, SKEW_MATURITY / DAYS)
    pair, years = [found[i] for i in near], years[near]
    money = constant_maturity(years, np.array([smile.at_the_money for smile in pair]), SKEW_MATURITY)
    asked = np.array([side for delta in DELTAS for side in (delta / 100.0, 1.0 - delta / 100.0)])
    wings = np.array([smile.at_delta(asked) for smile in pair]).reshape(len(pair), len(asked))
    level = [constant_maturity(years, wings[:, i], SKEW_MATURITY) for i in range(len(asked))]
    fits = [fit_svi(smile) for smile in pair]
    whole = np.sqrt([smile_variance(smile) for smile in pair])
    at = SKEW_MATURITY / DAYS
    out = {
        "smile_variance_index_30d": constant_maturity(years, whole, SKEW_MATURITY),
        "skew_slope_30d": between(years, np.array([money_slope(fit) for fit in fits]), at),
        "skew_curvature_30d": between(years, np.array([money_curvature(fit) for fit in fits]), at),
        "smile_error_30d": between(years, np.array([f.error(s) for f, s in zip(fits, pair, strict=True)]), at),
    }
    for i, delta in enumerate(DELTAS):
        call, put = level[2 * i], level[2 * i + 1]
        out[f"risk_reversal_{delta}d_30d"] = risk_reversal(call, put)
        out[f"butterfly_{delta}d_30d"] = butterfly(call, put, money)
    return out


def _positions(surface: ImpliedSurface) -> dict[str, float]:
    chain = surface.chain
    return {
        "put_call_open_interest": put_call_ratio(chain, chain.open_interest),
        "put_call_volume": put_call_ratio(chain, chain.volume),
        "gamma_exposure": gamma_exposure(surface),
        "max_pain_distance": max_pain_distance(chain),
    }


def _strip_volatility(surface: ImpliedSurface) -> float:
    years = surface.chain.years[surface.chain.pointer[:-1]]
    near = _around(years, SKEW_MATURITY / DAYS)
    variance = np.array([chain_strip(surface, int(i)).variance for i in near])
    return constant_maturity(years[near], np.sqrt(np.where(variance >= 0, variance, np.nan)), SKEW_MATURITY)


def _around(years: FloatArray, at: float) -> list[int]:
    """Numbers of the expiries on either side of `at`; fewer where there are none."""
    after = int(np.searchsorted(years, at))
    return [i for i in (after - 1, after) if 0 <= i < len(years)]
