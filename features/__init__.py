"""What was knowable at time t: market folders, volatility, correlation, depth, flow and account geometry."""

from .accounts.geometry import account_geometry, geometry_names
from .frame import FeatureFrame
from .market_data import MarketData
from .panel import build_features
from .readers.folder import read_market_folder
from .readers.report import DataReport

__all__ = [
    "DataReport",
    "FeatureFrame",
    "MarketData",
    "account_geometry",
    "build_features",
    "geometry_names",
    "read_market_folder",
]
