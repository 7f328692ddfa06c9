"""What was knowable at time t: market folders, volatility, correlation, depth, flow and account geometry."""

from .folder import read_market_folder
from .frame import FeatureFrame
from .geometry import account_geometry, geometry_names
from .market_data import MarketData
from .panel import build_features
from .report import DataReport

__all__ = [
    "DataReport",
    "FeatureFrame",
    "MarketData",
    "account_geometry",
    "build_features",
    "geometry_names",
    "read_market_folder",
]
