"""The mark price: from several feeds, by basis, and under oracle failure and manipulation."""

from .basis import clamped_basis_mark, ema_update, funding_basis_price, median_of_candidates
from .feeds import FeedRules, FeedState, PriceFeeds
from .mark import MarkPrice, mark_from_feeds, weighted_median, weighted_quantile
from .stress import (
    ManipulationReach,
    drop_feeds,
    freeze_feeds,
    manipulation_reach,
    mark_path,
    shift_feeds,
    smallest_coalition,
)

__all__ = [
    "FeedRules",
    "FeedState",
    "ManipulationReach",
    "MarkPrice",
    "PriceFeeds",
    "clamped_basis_mark",
    "drop_feeds",
    "ema_update",
    "freeze_feeds",
    "funding_basis_price",
    "manipulation_reach",
    "mark_from_feeds",
    "mark_path",
    "median_of_candidates",
    "shift_feeds",
    "smallest_coalition",
    "weighted_median",
    "weighted_quantile",
]
