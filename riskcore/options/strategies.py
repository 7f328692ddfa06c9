"""Requirement of each option strategy under Regulation T and FINRA Rule 4210, per unit of the underlying.

Every requirement is asked of equity that counts shares at the market, cash with premiums received, and options at
nothing: long ones are paid for in full when bought, short ones are answered for by the requirement itself. Sources:
FINRA Rule 4210(f)(2), Cboe Margin Manual (April 2000) and, for spreads, FINRA Regulatory Notice 12-44.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray
from .strategy_rules import INITIAL, StrategyRules


def naked(rules: StrategyRules, phase: str, right: int, strike: float, spot: float, price: float) -> float:
    """A short option that nothing offsets: premium plus a part of the underlying.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> round(naked(load_strategy_rules(), "maintenance", 1, 192.0, 180.0, 14.0), 6)
    38.0
    """
    asked = rules.naked.initial if phase == INITIAL else rules.naked.maintenance
    return float(asked(right, strike, spot, price))


def short_pair(call: float, put: float, call_price: float, put_price: float) -> float:
    """A short straddle or strangle: the greater of the naked requirements, plus the price of the other option.

    Examples
    --------
    >>> short_pair(194.0, 30.02, 112.0, 0.02)
    194.02
    """
    return call + put_price if call >= put else put + call_price


def covered_call(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares held and a short call on them, which caps what the shares count for at its exercise price.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> rules = load_strategy_rules()
    >>> covered_call(rules, "initial", 50.0, 40.0), covered_call(rules, "maintenance", 30.0, 40.0)
    (20.0, 17.5)
    """
    kept = rules.long_maintenance * min(spot, strike) + max(spot - strike, 0.0)
    return _with_shares(rules.long_share(spot, phase), kept, phase)


def covered_put(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares sold short and a short put: the shares, plus what the put is in the money."""
    kept = rules.short_share(spot, "maintenance") + max(strike - spot, 0.0)
    return _with_shares(rules.short_share(spot, phase), kept, phase)


def protective_put(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares held and a long put: a tenth of the exercise price and what the put is out of the money, or the shares.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> round(protective_put(load_strategy_rules(), "maintenance", 38.0, 40.0), 6)
    5.8
    """
    kept = min(rules.hedge_of_strike * strike + max(spot - strike, 0.0), rules.long_share(spot, "maintenance"))
    return _with_shares(rules.long_share(spot, phase), kept, phase)


def protective_call(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares sold short and a long call: a tenth of the exercise price and what the call is out of the money."""
    kept = min(rules.hedge_of_strike * strike + max(strike - spot, 0.0), rules.short_share(spot, "maintenance"))
    return _with_shares(rules.short_share(spot, phase), kept, phase)


def collar(rules: StrategyRules, phase: str, put_strike: float, call_strike: float, spot: float) -> float:
    """Shares held, a long put and a short call that expire together, the call's exercise price the higher.

    Examples
    --------
    >>> from .strategy_rules import load_strategy_rules
    >>> round(collar(load_strategy_rules(), "maintenance", 38.0, 44.0, 40.0), 6)
    5.8
    """
    hedged = rules.hedge_of_strike * put_strike + max(spot - put_strike, 0.0)
    kept = min(hedged, rules.collar_of_strike * call_strike) + max(spot - call_strike, 0.0)
    return _with_shares(rules.long_share(spot, phase), kept, phase)


def conversion(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares held, a long put and a short call of one exercise price and expiry."""
    return _with_shares(rules.long_share(spot, phase), rules.hedge_of_strike * strike + max(spot - strike, 0.0), phase)


def reverse_conversion(rules: StrategyRules, phase: str, strike: float, spot: float) -> float:
    """Shares sold short, a long call and a short put of one exercise price and expiry."""
    return _with_shares(rules.short_share(spot, phase), rules.hedge_of_strike * strike + max(strike - spot, 0.0), phase)


def _with_shares(shares: float, kept: float, phase: str) -> float:
    return max(shares, kept) if phase == INITIAL else kept


def intrinsic(right: ArrayLike, strike: ArrayLike, prices: ArrayLike) -> FloatArray:
    """What each option pays at each price of the underlying, shape (n prices, n options).

    Examples
    --------
    >>> intrinsic([1, -1], [100.0, 100.0], [90.0, 105.0]).tolist()
    [[0.0, 10.0], [5.0, 0.0]]
    """
    over = np.asarray(prices, np.float64)[:, None] - np.asarray(strike, np.float64)
    return np.maximum(np.asarray(right) * over, 0.0)


def spread_losses(right: ArrayLike, strike: ArrayLike, quantity: ArrayLike, prices: ArrayLike) -> FloatArray:
    """Loss of signed quantities of options at expiry, premiums left out, at each of some prices of the underlying.

    Examples
    --------
    >>> spread_losses([1, 1], [100.0, 110.0], [-1, 1], [90.0, 105.0, 120.0]).tolist()
    [0.0, 5.0, 10.0]
    """
    return np.asarray((intrinsic(right, strike, prices) * np.negative(quantity)).sum(axis=1), dtype=np.float64)


def spread(right: ArrayLike, strike: ArrayLike, quantity: ArrayLike) -> float:
    """A spread of as many long as short calls and puts: its largest loss at any of its exercise prices, or nothing.

    Verticals, calendars, butterflies, condors and boxes all follow from it; that no long option expires before a short
    one is the caller's to see to.

    Examples
    --------
    >>> spread([-1, -1, 1, 1], [90.0, 100.0, 110.0, 120.0], [1, -1, -1, 1])  # a short iron condor
    10.0
    """
    return max(float(spread_losses(right, strike, quantity, strike).max(initial=0.0)), 0.0)
