"""The families of formulas over bars: which features there are, and what each says of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..riskcore.arrays import FloatArray
from .engine.expression import column
from .engine.formula import Formula
from .engine.operations import last_known, market_median
from .flow.carry import basis, funding_charged, mean_basis, open_interest_change
from .liquidity.bar_proxies import activity_ratio, amihud, corwin_schultz, market_share
from .liquidity.depth_measures import imbalance
from .liquidity.depth_steps import log_depth
from .momentum import drawdown, move, rise
from .volatility.estimators import (
    ewma_volatility,
    garman_klass,
    jump_share,
    log_per_hour,
    log_returns,
    parkinson,
    realised_volatility,
    semivariances,
    volatility_of_volatility,
)

DAY, WEEK, MONTH = 24.0, 168.0, 720.0
EWMA_HOURS = {"3h": 3.0, "6h": 6.0, "24h": DAY, "72h": 72.0, "30d": MONTH}
REALISED_HOURS = {"6h": 6.0, "24h": DAY, "7d": WEEK, "30d": MONTH}
RANGE_HOURS = {"6h": 6.0, "24h": DAY, "7d": WEEK}
MOVE_HOURS = {"4h": 4.0, "24h": DAY, "7d": WEEK}
KNOWN_HOURS = 24.0
"""How long a funding rate or an open interest counts as the last known one."""

LOG_VOLATILITY = "log of volatility per hour"
LOG_RETURN = "log return"
SIGMAS = "standard deviations"
SHARE = "share, 0 to 1"
LOG_RATIO = "log ratio"

Formulas = Iterator[Formula]


@dataclass(frozen=True)
class FormulaBars:
    """Bars of a given length as formulas see them: windows in bars, and the quantities families share.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    columns
        Columns that the bars have.

    Examples
    --------
    >>> FormulaBars(0.5).window(24.0), FormulaBars(24.0).window(6.0)
    (48, 0)
    >>> FormulaBars(1.0, frozenset({"bid_10bps", "ask_10bps", "bid_5bps"})).levels
    ('10',)
    """

    bar_hours: float
    columns: frozenset[str] = frozenset()

    def window(self, hours: float) -> int:
        """Bars in so many hours; 0 where these are fewer than two bars."""
        bars = round(hours / self.bar_hours)
        return bars if bars >= 2 else 0

    def windows(self, hours: dict[str, float]) -> Iterator[tuple[str, int]]:
        """Names and bars of the windows that hold two bars."""
        yield from ((name, self.window(h)) for name, h in hours.items() if self.window(h))

    def log_per_hour(self, volatility: FloatArray) -> FloatArray:
        """Log volatility per hour."""
        return log_per_hour(volatility, self.bar_hours)

    def log_ewma(self, hours: float) -> FloatArray:
        """Log EWMA volatility per hour of the mark."""
        return self.log_per_hour(ewma_volatility(self.returns, hours / self.bar_hours))

    @property
    def levels(self) -> tuple[str, ...]:
        """Distances from the mid, in basis points, at which both sides of the order book are known, nearest first."""
        found = (re.fullmatch(r"bid_([0-9.]+)bps", name) for name in self.columns)
        levels = [match.group(1) for match in found if match and f"ask_{match.group(1)}bps" in self.columns]
        return tuple(sorted(levels, key=float))

    @property
    def returns(self) -> FloatArray:
        """Log returns of the mark."""
        return log_returns(column("close"))

    @property
    def traded(self) -> FloatArray:
        """Traded value, quote units."""
        return column("volume") * column("last_close")


def volatility(bars: FormulaBars) -> Formulas:
    """Levels of volatility: exponential, realised and range estimators."""
    open_, high, low, close = (column(name) for name in ("open", "high", "low", "close"))
    for name, hours in EWMA_HOURS.items():
        said = f"EWMA volatility of the mark, half-life {name}"
        yield Formula(f"log_ewma_{name}", bars.log_ewma(hours), said, LOG_VOLATILITY)
    for name, window in bars.windows(REALISED_HOURS):
        value = bars.log_per_hour(realised_volatility(bars.returns, window))
        yield Formula(f"log_realised_{name}", value, f"Realised volatility of the mark over {name}", LOG_VOLATILITY)
    for name, window in bars.windows(RANGE_HOURS):
        value = bars.log_per_hour(parkinson(high, low, window))
        said = f"Range volatility of the mark over {name}"
        yield Formula(f"log_parkinson_{name}", value, said, LOG_VOLATILITY, "Parkinson (1980)")
    value = bars.log_per_hour(parkinson(high, low, 1))
    said = "Range volatility of the mark in the last bar"
    yield Formula("log_parkinson_last", value, said, LOG_VOLATILITY, "Parkinson (1980)")
    if window := bars.window(DAY):
        value = bars.log_per_hour(garman_klass(open_, high, low, close, window))
        said = "Volatility from open, high, low and close of the mark over 24h"
        yield Formula("log_garman_klass_24h", value, said, LOG_VOLATILITY, "Garman and Klass (1980)")
    value = bars.log_ewma(6.0) - bars.log_ewma(MONTH)
    yield Formula("log_slope_6h_30d", value, "EWMA volatility of 6h over that of 30d", LOG_RATIO)


def shape(bars: FormulaBars) -> Formulas:
    """What volatility is made of: falls and rises, jumps, its own changes."""
    if window := bars.window(DAY):
        down, up = semivariances(bars.returns, window)
        for name, value, said in (("down", down, "falls"), ("up", up, "rises")):
            root = bars.log_per_hour(np.sqrt(value))
            summary = f"Volatility of the {said} of the mark over 24h"
            yield Formula(f"log_semi_{name}_24h", root, summary, LOG_VOLATILITY, "Barndorff-Nielsen et al. (2010)")
    for name, window in bars.windows({"24h": DAY, "7d": WEEK}):
        said = f"Share of the realised variance over {name} that came in jumps"
        value = jump_share(bars.returns, window)
        yield Formula(f"jump_share_{name}", value, said, SHARE, "Barndorff-Nielsen and Shephard (2004)")
    if window := bars.window(WEEK):
        value = volatility_of_volatility(bars.log_ewma(6.0), window)
        yield Formula("vol_of_vol_7d", value, "Standard deviation of the 6h log volatility over 7d", LOG_RATIO)


def momentum(bars: FormulaBars) -> Formulas:
    """Signed moves, and where the price stands against its month."""
    usual = ewma_volatility(bars.returns, MONTH / bars.bar_hours)
    usual = np.where(usual > 0.0, usual, np.nan)
    yield Formula("move_last", bars.returns / usual, "Move of the last bar over the 30d EWMA volatility", SIGMAS)
    for name, window in bars.windows(MOVE_HOURS):
        value = move(bars.returns, window)
        yield Formula(f"return_{name}", value, f"Move of the mark over {name}", LOG_RETURN)
        said = f"Move over {name} in units of the 30d EWMA volatility"
        yield Formula(f"move_{name}", value / (usual * np.sqrt(window)), said, SIGMAS)
    if window := bars.window(MONTH):
        fall = drawdown(column("high"), column("close"), window)
        yield Formula("drawdown_30d", fall, "Distance of the mark below its highest of 30d", LOG_RETURN)
        climb = rise(column("low"), column("close"), window)
        yield Formula("rise_30d", climb, "Distance of the mark above its lowest of 30d", LOG_RETURN)


def market_wide(bars: FormulaBars) -> Formulas:
    """What the middle coin does, and how each stands to it."""
    for name, window in bars.windows(MOVE_HOURS):
        value = market_median(move(bars.returns, window))
        yield Formula(f"market_return_{name}", value, f"Median move of all marks over {name}", LOG_RETURN)
    day = bars.log_ewma(DAY)
    for name, value in (("6h", bars.log_ewma(6.0)), ("24h", day), ("30d", bars.log_ewma(MONTH))):
        said = f"Median EWMA volatility of all marks, half-life {name}"
        yield Formula(f"market_log_ewma_{name}", market_median(value), said, LOG_VOLATILITY)
    value = day - market_median(day)
    yield Formula("relative_log_ewma_24h", value, "24h EWMA volatility over the median of all marks", LOG_RATIO)


def turnover(bars: FormulaBars) -> Formulas:
    """Depth as bars of trades show it."""
    if window := bars.window(DAY):
        impact = amihud(log_returns(column("last_close")), bars.traded, window)
        value = np.log(np.where(impact > 0.0, impact, np.nan))
        said = "Price impact: mean of |return| over traded value, 24h"
        yield Formula("log_amihud_24h", value, said, "log of 1 / quote unit", "Amihud (2002)")
        value = corwin_schultz(column("last_high"), column("last_low"), window)
        said = "Bid-ask spread from ranges of pairs of bars, mean over 24h"
        yield Formula("spread_24h", value, said, "fraction of the price", "Corwin and Schultz (2012)")
        value = market_share(bars.traded, window)
        yield Formula("volume_share_24h", value, "Share in the value all coins traded over 24h", SHARE)
        value = activity_ratio(bars.traded, window, bars.window(MONTH))
        yield Formula("volume_24h_30d", value, "Mean traded value of 24h over that of 30d", LOG_RATIO)
        value = activity_ratio(bars.traded, 1, window)
        yield Formula("volume_last_24h", value, "Traded value of the last bar over the mean of 24h", LOG_RATIO)


def carry(bars: FormulaBars) -> Formulas:
    """Funding, basis and open interest."""
    known, rate, last = max(bars.window(KNOWN_HOURS), 1), column("funding_rate"), column("last_close")
    yield Formula("funding_last", last_known(rate, known), "Funding last charged", "fraction of notional")
    for name, window in bars.windows({"24h": DAY, "7d": WEEK}):
        value = funding_charged(rate, column("close"), window)
        yield Formula(f"funding_{name}", value, f"Funding charged over {name}", "fraction of notional")
    for name, reference, said in (("mark", "mark_close", "mark"), ("spot", "spot_close", "coin's spot price")):
        value = basis(last, column(reference))
        yield Formula(f"basis_{name}", value, f"Last price over the {said}", LOG_RATIO)
        if window := bars.window(DAY):
            value = mean_basis(last, column(reference), window)
            yield Formula(f"basis_{name}_24h", value, f"Mean over 24h of the last price over the {said}", LOG_RATIO)
    if window := bars.window(DAY):
        value = open_interest_change(column("open_interest"), window, known)
        yield Formula("open_interest_24h", value, "Change of the open interest over 24h", LOG_RATIO)


def order_book(bars: FormulaBars) -> Formulas:
    """Depth of the order book, at each distance from the mid that the market has."""
    for level in bars.levels:
        bid, ask = column(f"bid_{level}bps"), column(f"ask_{level}bps")
        said = f"Notional resting within {level} bps of the mid"
        yield Formula(f"log_depth_{level}bps", log_depth(bid, ask), said, "log of quote units")
        said = f"(bid - ask) / (bid + ask) within {level} bps of the mid"
        yield Formula(f"imbalance_{level}bps", imbalance(bid, ask), said, "-1 to 1")


PANEL: tuple[Callable[[FormulaBars], Formulas], ...] = (
    volatility,
    shape,
    momentum,
    market_wide,
    turnover,
    carry,
    order_book,
)
"""Families the shipped models are fed."""
