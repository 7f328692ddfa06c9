"""Rules of Synthetix v3 perps, and their dated files: terms by market, and the throttle of liquidations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import positions_of
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from .named_tables import read_named_tables
from .synthetix import LiquidationWindow, MarketTerms, window_capacity

MODEL = "synthetix_v3"
"""Name of the model in rule-book files, and of the venue that comes with margincast."""


@dataclass(frozen=True)
class SynthetixMarket:
    """Terms of one market, as `MarketTerms`, with its fees and the throttle of its liquidations.

    `window_seconds` and `window_multiplier` are those of `window_capacity`; `most_deviation` that of
    `LiquidationWindow`.
    """

    skew_scale: float
    initial_fraction: float
    least_initial_ratio: float
    maintenance_scalar: float
    reward_ratio: float
    least_margin: float
    maker_fee: float
    taker_fee: float
    window_seconds: float
    window_multiplier: float
    most_deviation: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise InputError("must not be negative", column=name, value=value)
        if self.skew_scale == 0:
            raise InputError("must be positive", column="skew_scale", value=self.skew_scale)
        if not 0 < self.maintenance_scalar <= 1:
            raise InputError("must be in (0, 1]", column="maintenance_scalar", value=self.maintenance_scalar)

    def window(self, amounts: Sequence[float] = (), ages: Sequence[float] = ()) -> LiquidationWindow:
        """The throttle after liquidations of these sizes so many seconds ago."""
        fees = (self.maker_fee, self.taker_fee)
        capacity = window_capacity(*fees, self.skew_scale, self.window_seconds, self.window_multiplier)
        return LiquidationWindow(capacity, self.window_seconds, amounts, ages, self.most_deviation)


@dataclass(frozen=True)
class SynthetixRules:
    """Markets in force from a day; `sources` by section."""

    venue: str
    effective_from: dt.date
    markets: Mapping[str, SynthetixMarket]
    sources: Mapping[str, str]

    def terms(self, names: Sequence[str], price: ArrayLike) -> MarketTerms:
        """Terms of markets at prices, in the order named."""
        positions_of(tuple(self.markets), names, "market")
        columns = [key for key in MarketTerms.__dataclass_fields__ if key != "price"]
        found = ([getattr(self.markets[name], key) for name in names] for key in columns)
        return MarketTerms(np.asarray(price, np.float64), *(np.array(column, np.float64) for column in found))


def read_synthetix_rules(path: str | Path) -> SynthetixRules:
    """Rules from a file with `model = "synthetix_v3"`; what is wrong is an InputError that names file and key."""
    top, venue, start = read_dated(path, MODEL, "markets")
    markets = top.sourced("markets", "table")
    tables = read_named_tables(markets, "table", SynthetixMarket)
    return SynthetixRules(venue, start, tables, {markets.name: markets.told})


def load_synthetix_rules(at: dt.date | None = None) -> SynthetixRules:
    """The rules that come with margincast in force on a day (UTC); None takes the newest.

    Examples
    --------
    >>> rules = load_synthetix_rules()
    >>> rules.terms(["BTC"], [30_000.0]).maintenance_scalar.tolist(), rules.markets["BTC"].window().capacity
    ([0.5], 10.0)
    """
    return read_synthetix_rules(rulebook_in_force(MODEL, at).path)
