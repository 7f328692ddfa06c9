"""A market made ready once for everything that looks at it: features, running extremes, correlations."""

from __future__ import annotations

from dataclasses import dataclass

from ..features.frame import FeatureFrame
from ..features.market_data import MarketData
from ..features.panel import build_features
from ..riskcore.market import MarketHistory
from ..riskcore.price_pyramid import PricePyramid, build_pyramid


@dataclass(frozen=True)
class MarketView:
    """A market with its features and price pyramid."""

    data: MarketData
    frame: FeatureFrame
    pyramid: PricePyramid

    @property
    def history(self) -> MarketHistory:
        """Prices and funding over time."""
        return self.data.history


def view_market(data: MarketData) -> MarketView:
    """Build the features and the pyramid of a market."""
    return MarketView(data, build_features(data), build_pyramid(data.history))
