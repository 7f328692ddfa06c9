"""One portfolio over several venues: transfers that take time, contagion, what pooling is worth."""

from .capital import PoolingValue, capital_needed, pooled_capital, pooling_value, separate_capital
from .run import Contagion, TopUpPolicy, VenueFailure, VenueRun, contagion, run_venues
from .venues import Links, VenueLeg, VenuePaths, steps_to_spare, venue_paths

__all__ = [
    "Contagion",
    "Links",
    "PoolingValue",
    "TopUpPolicy",
    "VenueFailure",
    "VenueLeg",
    "VenuePaths",
    "VenueRun",
    "capital_needed",
    "contagion",
    "pooled_capital",
    "pooling_value",
    "run_venues",
    "separate_capital",
    "steps_to_spare",
    "venue_paths",
]
