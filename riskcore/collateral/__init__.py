"""Collateral: haircuts from volatility, weights, depegs, concentration, wrong-way risk, conversion."""

from .concentration import Concentration, concentration
from .conversion import Conversion, IndexPrices, convert, market_from_indices
from .depeg import DepegResult, depeg, depegged_market, with_haircuts
from .haircut import HaircutRule, bounded_haircut, haircut_path, haircut_schedules, volatility_haircut, with_limit
from .weights import pool_scaled_asset, pool_scaled_liability, size_discounted, size_premium
from .wrong_way import joint_shock, wrong_way_add_on

__all__ = [
    "Concentration",
    "Conversion",
    "DepegResult",
    "HaircutRule",
    "IndexPrices",
    "bounded_haircut",
    "concentration",
    "convert",
    "depeg",
    "depegged_market",
    "haircut_path",
    "haircut_schedules",
    "joint_shock",
    "market_from_indices",
    "pool_scaled_asset",
    "pool_scaled_liability",
    "size_discounted",
    "size_premium",
    "volatility_haircut",
    "with_haircuts",
    "with_limit",
    "wrong_way_add_on",
]
