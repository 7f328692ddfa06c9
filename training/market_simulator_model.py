"""What the simulated market is made of: every number of it, and where the number comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ..riskcore.errors import InputError


@dataclass(frozen=True)
class AssetProfile:
    """What differs from one simulated asset to the next. All of it is assumed, in round numbers.

    Parameters
    ----------
    volatility
        Long-run volatility of log prices, per square root of a year, before jumps.
    common_share
        Share of the variance that the common factor explains when market volatility is at its long-run level.
    price
        First price, quote units.
    hourly_notional
        Typical traded notional of an hour, quote units.
    depth_notional
        Typical notional resting on one side within 1% of the mid, quote units.
    """

    volatility: float
    common_share: float
    price: float
    hourly_notional: float
    depth_notional: float


PROFILES = {
    "BTC": AssetProfile(0.48, 0.82, 30_000.0, 6.0e8, 6.0e7),
    "ETH": AssetProfile(0.61, 0.87, 2_000.0, 3.5e8, 4.0e7),
    "SOL": AssetProfile(0.90, 0.72, 50.0, 1.2e8, 1.0e7),
    "BNB": AssetProfile(0.58, 0.73, 300.0, 3.0e7, 6.0e6),
    "XRP": AssetProfile(0.76, 0.68, 0.6, 6.0e7, 6.0e6),
    "DOGE": AssetProfile(0.88, 0.66, 0.1, 5.0e7, 4.0e6),
    "ADA": AssetProfile(0.78, 0.74, 0.5, 3.0e7, 3.0e6),
    "LTC": AssetProfile(0.72, 0.75, 90.0, 2.0e7, 2.5e6),
}
"""Simulated coins that bear the names of real ones, so that the rule-books know them; their prices are invented."""

OTHER = AssetProfile(0.95, 0.66, 10.0, 1.0e7, 1.0e6)
"""The profile of any other symbol."""

HOUR_OF_DAY = (
    1.21, 1.10, 0.94, 0.89, 0.82, 0.86, 0.87, 0.91, 0.99, 0.90, 0.92, 0.91,
    1.06, 1.15, 1.26, 1.17, 1.12, 1.02, 0.98, 0.98, 1.02, 0.99, 0.97, 0.96,
)  # fmt: skip
"""Mean absolute hourly return by hour UTC over its mean: five Binance perpetuals, hourly bars, 2020-02 to 2025-08."""

DAY_OF_WEEK = (1.10, 1.06, 1.06, 1.05, 1.05, 0.81, 0.87)
"""The same by day, from Monday."""


@dataclass(frozen=True)
class MarketModel:
    """Parameters all simulated assets share.

    The functional forms come from the literature named below. Where "measured" is said, the size was set so that the
    simulated statistic is near that of five Binance perpetuals (hourly bars, 2020-02 to 2025-08); "assumed" means just
    that.

    Parameters
    ----------
    slow_half_life, slow_deviation
        Slow factor of log volatility, an Ornstein-Uhlenbeck process: days, and stationary standard deviation. Two
        factors, one slow and one fast, are what ranges ask for (Alizadeh, Brandt and Diebold 2002). Measured.
    fast_half_life, fast_deviation
        The fast factor: days and standard deviation. Measured.
    own_half_life, own_deviation
        Log volatility of each asset beside the market's: days and standard deviation. Measured.
    slow_leverage, fast_leverage
        Correlation of each factor's innovation with the common return shock of the step before: negative, a fall raises
        volatility (Black 1976). Measured.
    stress_loading
        What one unit of market log volatility adds to the logit of the common factor's share of the variance:
        correlation rises in stress (Longin and Solnik 2001). Measured.
    jumps_a_year, jump_sensitivity
        Rate of common jumps, and by what power of market volatility it rises. Assumed.
    jump_down_share, jump_down_mean, jump_up_mean
        Asymmetric double-exponential sizes (Kou 2002), in log price of an asset with the volatility of BTC. Assumed.
    own_jumps_a_year, own_jump_mean
        Jumps of one asset alone, up or down alike. Assumed.
    jump_echo, echo_half_life
        What a jump of one (in log price) adds to log volatility, and the days in which half of that is gone. Assumed.
    overshoot, dislocation, dislocation_minutes
        How far last prices overshoot a jump (share of it), their noise against the fair price as a share of a five
        minute move, and the half-life of both. Measured on the gap between last and mark.
    wick
        By how much wider the last price swings within five minutes than the fair price, as a share. Measured.
    mark_minutes
        Half-life of the average that makes the mark: mark = fair price x average of last over fair, as venues do
        against their index. Assumed.
    volume_elasticity, volume_noise, volume_half_life
        Log volume per log range of the bar (the mixture of distributions, Clark 1973); standard deviation and half-life
        (hours) of what is independent of it. Measured.
    premium_noise, premium_half_life, premium_of_trend, trend_half_life
        Premium of the perpetual over the index: standard deviation of its noise and its half-life (hours); what a unit
        of decayed past log return adds, and the half-life of that (hours). Measured on funding rates.
    interest, premium_clamp, funding_cap
        Funding every eight hours = premium + clamp(interest - premium, -clamp, clamp), capped: the venue formula of
        Binance USD-M futures, whose interest is 0.01% and whose clamp is 0.05%. The cap is assumed.
    open_interest_turnover, open_interest_deviation, open_interest_half_life, flush
        Open interest as hours of typical volume; standard deviation of its log and half-life (days); how much of the
        log is flushed out by one unit of absolute return beyond three standard deviations. Assumed.
    depth_elasticity, depth_noise, depth_half_life, depth_tilt, depth_shape
        Log depth lost per unit of log volatility (thin books in stress); standard deviation and half-life (hours) of
        what is independent of it; what a standardised hourly return takes from the side it runs into; power of the
        distance from the mid with which depth accumulates. Assumed.

    References
    ----------
    Alizadeh, Brandt and Diebold (2002), Range-based estimation of stochastic volatility models, Journal of Finance 57.
    Black (1976), Studies of stock price volatility changes, Proceedings of the American Statistical Association.
    Clark (1973), A subordinated stochastic process model with finite variance for speculative prices, Econometrica 41.
    Kou (2002), A jump-diffusion model for option pricing, Management Science 48.
    Longin and Solnik (2001), Extreme correlation of international equity markets, Journal of Finance 56.
    """

    slow_half_life: float = 45.0
    slow_deviation: float = 0.40
    fast_half_life: float = 1.25
    fast_deviation: float = 0.31
    own_half_life: float = 4.0
    own_deviation: float = 0.24
    slow_leverage: float = -0.25
    fast_leverage: float = -0.45
    stress_loading: float = 0.4
    jumps_a_year: float = 8.0
    jump_sensitivity: float = 1.0
    jump_down_share: float = 0.6
    jump_down_mean: float = 0.035
    jump_up_mean: float = 0.025
    own_jumps_a_year: float = 10.0
    own_jump_mean: float = 0.025
    jump_echo: float = 9.0
    echo_half_life: float = 0.5
    overshoot: float = 0.25
    dislocation: float = 0.15
    dislocation_minutes: float = 15.0
    wick: float = 0.2
    mark_minutes: float = 30.0
    volume_elasticity: float = 0.9
    volume_noise: float = 0.45
    volume_half_life: float = 10.0
    premium_noise: float = 4e-4
    premium_half_life: float = 12.0
    premium_of_trend: float = 0.008
    trend_half_life: float = 72.0
    interest: float = 1e-4
    premium_clamp: float = 5e-4
    funding_cap: float = 7.5e-3
    open_interest_turnover: float = 8.0
    open_interest_deviation: float = 0.25
    open_interest_half_life: float = 20.0
    flush: float = 1.5
    depth_elasticity: float = 1.0
    depth_noise: float = 0.2
    depth_half_life: float = 6.0
    depth_tilt: float = 0.12
    depth_shape: float = 0.8


def profile_of(symbol: str) -> AssetProfile:
    """The profile of a symbol, that of OTHER where the symbol is not among PROFILES.

    Examples
    --------
    >>> profile_of("ETH").price, profile_of("NEW").price
    (2000.0, 10.0)
    """
    if not symbol.strip():
        raise InputError("needs a name", column="symbol", value=symbol)
    return PROFILES.get(symbol, OTHER)
