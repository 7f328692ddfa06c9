"""What was knowable at time t: markets read, features in batch and in stream, and what each account looks like."""

from .accounts.geometry import account_geometry, geometry_names
from .bar_table import bar_table
from .engine.bars import BarRow, BarTable
from .engine.expression import column
from .engine.external import ExternalSeries, with_series
from .engine.feature_set import FeatureSet, LiveFeatures
from .engine.feed import BarFeed
from .engine.formula import Formula
from .engine.program import Program
from .engine.step import Declaration, Step, run_step
from .frame import FeatureFrame
from .market_data import MarketData
from .panel import build_features, panel_features
from .readers.blocks import market_blocks
from .readers.folder import read_market_folder
from .readers.report import DataReport

__all__ = [
    "BarFeed",
    "BarRow",
    "BarTable",
    "DataReport",
    "Declaration",
    "ExternalSeries",
    "FeatureFrame",
    "FeatureSet",
    "Formula",
    "LiveFeatures",
    "MarketData",
    "Program",
    "Step",
    "account_geometry",
    "bar_table",
    "build_features",
    "column",
    "geometry_names",
    "market_blocks",
    "panel_features",
    "read_market_folder",
    "run_step",
    "with_series",
]
