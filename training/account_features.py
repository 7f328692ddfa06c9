"""Features of an account: its geometry, and the market seen from its own positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features.accounts.geometry import account_geometry, geometry_names
from ..features.correlation.ewma import ewma_correlation
from ..features.levels import tells_level
from ..features.volatility.estimators import ewma_volatility, log_returns
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray, group_sums
from ..riskcore.exposure import Exposure
from ..riskcore.market import UNIT_INDEX
from .market_view import MarketView

HALF_LIFE_HOURS = {"fast": 6.0, "ewma": 24.0, "slow": 720.0}
CORRELATION_HOURS = 72.0
NOT_USED = ("coin_share", "leg_correlation")
"""Moves with equity in no one direction (replaced by coin_over_gross); unknown for one leg (in concentration)."""
DIRECTIONS = {
    "distance_fast": -1,
    "distance_ewma": -1,
    "distance_slow": -1,
    "relative_distance": -1,
    "leverage": 1,
    "maintenance_usage": 1,
    "scenario_usage": 1,
}
"""Features that move with headroom, and which way the probability may move with each: never up with headroom."""
BENDING = (
    *("leg_hour_sin", "leg_hour_cos", "leg_week_sin", "leg_week_cos"),
    *("leg_season_day_1h", "leg_season_week_1h", "leg_season_week_4h", "leg_season_week_24h"),
    *("leg_log_slope_6h_30d", "leg_vol_of_vol_7d", "leg_move_last", "leg_move_4h", "leg_move_24h", "leg_move_7d"),
    *("leg_drawdown_30d", "leg_rise_30d", "leg_market_return_4h", "leg_market_return_24h"),
    *("concentration", "net_share"),
)
"""Features that shift and bend the structural log odds (`models.structural_logit`): none moves with headroom."""
DIRECTIONAL = ("move_", "return_", "market_return_", "funding_", "basis_", "imbalance_")
"""Market features with a sign: a positive value is good for one side and bad for the other."""


@dataclass(frozen=True)
class BarRisk:
    """Volatilities and correlations at a list of bars, made once for all pools seen at them.

    Parameters
    ----------
    bars
        Rising, shape (m,).
    sigma
        Volatilities per bar, (m, n_series, 3), as in HALF_LIFE_HOURS.
    correlation
        Shape (m, n_series, n_series).
    """

    bars: IntArray
    sigma: FloatArray
    correlation: FloatArray


def bar_risk(view: MarketView, bar: IntArray) -> BarRisk:
    """Volatilities and correlations as known at the opens of these bars."""
    bars = np.unique(bar)
    known, returns, hours = bars - 1, log_returns(view.history.close), view.data.bar_hours
    sigma = np.stack([ewma_volatility(returns, h / hours)[known] for h in HALF_LIFE_HOURS.values()], axis=2)
    return BarRisk(bars, sigma, ewma_correlation(returns, CORRELATION_HOURS / hours, known))


def account_features(
    view: MarketView, book: AccountBook, exposure: Exposure, bar: IntArray, risk: BarRisk | None = None
) -> tuple[FloatArray, tuple[str, ...]]:
    """Features of pools as known at the open of their bar, (n, k), and their names.

    Geometry from the exposures, volatilities per bar; then market features averaged over the legs by absolute weight,
    those with a sign times -1 for longs: a positive move is one against the pool, positive funding is received. NaN
    where not knowable.
    """
    risk = bar_risk(view, bar) if risk is None else risk
    geometry, names = _geometry(view, book, exposure, bar, risk)
    market = _leg_average(view, exposure, bar)
    return np.hstack((geometry, market)), (*names, *(f"leg_{name}" for name in view.frame.names))


def _geometry(
    view: MarketView, book: AccountBook, exposure: Exposure, bar: IntArray, risk: BarRisk
) -> tuple[FloatArray, tuple[str, ...]]:
    coins = coin_value(view, book, bar)
    row = np.searchsorted(risk.bars, bar).astype(np.int64)
    values = account_geometry(exposure, coins, row, risk.sigma, risk.correlation)
    names = geometry_names(list(HALF_LIFE_HOURS))
    kept = [k for k, name in enumerate(names) if name not in NOT_USED]
    gross = np.where(exposure.gross > 0, exposure.gross, np.nan)
    extra = np.column_stack((exposure.headroom / gross, coins / gross))
    return np.hstack((values[:, kept], extra)), (*(names[k] for k in kept), "relative_distance", "coin_over_gross")


def coin_value(view: MarketView, book: AccountBook, bar: IntArray) -> FloatArray:
    """Value of each pool's balances in coins at its bar, base asset, before haircuts."""
    pool = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
    series = view.history.index_series[book.balance_asset]
    coin = series != UNIT_INDEX
    value = book.balance[coin] * view.history.close[bar[pool[coin]] - 1, series[coin]]
    return group_sums(pool[coin], value, len(book))


def _leg_average(view: MarketView, exposure: Exposure, bar: IntArray) -> FloatArray:
    rows = view.frame.rows_of(bar)[exposure.pool]
    instrument = _instrument_of_series(view)[exposure.series]
    values = view.frame.values[rows, instrument]
    against = -np.sign(exposure.weight)
    share = np.abs(exposure.weight) / exposure.gross[exposure.pool]
    out = np.empty((len(exposure), values.shape[1]))
    for k, name in enumerate(view.frame.names):
        weights = values[:, k] * share * (against if name.startswith(DIRECTIONAL) else 1.0)
        out[:, k] = group_sums(exposure.pool, weights, len(exposure))
    return out


def _instrument_of_series(view: MarketView) -> IntArray:
    place = np.zeros(view.history.close.shape[1], dtype=np.int64)
    place[view.history.mark_series] = np.arange(len(view.history.mark_series))
    return place


def structural_directions(names: tuple[str, ...]) -> dict[str, int]:
    """Directions of the structural log odds among features: the probability never falls with them."""
    return {name: 1 for name in names if name.startswith("logit_")}


def boosted_columns(names: tuple[str, ...]) -> tuple[str, ...]:
    """The features that boosters of accounts are fed: all but levels of volatility, which distances are measured in.

    Examples
    --------
    >>> boosted_columns(("distance_ewma", "leg_log_ewma_24h", "leg_return_24h"))
    ('distance_ewma', 'leg_return_24h')
    """
    return tuple(name for name in names if not tells_level(name.removeprefix("leg_")))
