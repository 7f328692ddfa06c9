"""All features of a market at once: one row a bar, as known at its open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from .clock import clock
from .correlation.ewma import average_correlation, ewma_correlation, largest_eigenvalue_share
from .engine.operations import last_known
from .flow.carry import basis, funding_charged, mean_basis, open_interest_change
from .frame import FeatureFrame
from .liquidity.bar_proxies import activity_ratio, amihud, corwin_schultz, market_share
from .liquidity.book_depth import book_depth
from .market_data import MarketData
from .momentum import drawdown, move, rise
from .stress import median_coin, repeated
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
from .volatility.season_ahead import season_ahead

DAY, WEEK, MONTH = 24.0, 168.0, 720.0
EWMA_HOURS = {"3h": 3.0, "6h": 6.0, "24h": DAY, "72h": 72.0, "30d": MONTH}
REALISED_HOURS = {"6h": 6.0, "24h": DAY, "7d": WEEK, "30d": MONTH}
RANGE_HOURS = {"6h": 6.0, "24h": DAY, "7d": WEEK}
MOVE_HOURS = {"4h": 4.0, "24h": DAY, "7d": WEEK}
CORRELATION_HOURS = 72.0
SEASON_DAYS, SEASON_WEEKS = 28, 12
KNOWN_HOURS = 24.0
"""How long a funding rate or an open interest counts as the last known one."""

Columns = Iterator[tuple[str, FloatArray]]


class _Bars:
    """What the groups of features share: prices of the mark, returns, and windows in bars."""

    def __init__(self, data: MarketData, rows: IntArray) -> None:
        self.data, self.rows = data, rows
        self.open, self.high, self.low, self.close = (data.mark(c) for c in ("open", "high", "low", "close"))
        self.returns = log_returns(self.close)
        self.last_returns = log_returns(data.trade["close"])
        self.traded = data.trade["volume"] * data.trade["close"]

    def window(self, hours: float) -> int:
        """Bars in so many hours; 0 where these are fewer than two bars."""
        bars = round(hours / self.data.bar_hours)
        return bars if bars >= 2 else 0

    def windows(self, hours: dict[str, float]) -> Iterator[tuple[str, int]]:
        """Names and bars of the windows that hold two bars."""
        yield from ((name, self.window(h)) for name, h in hours.items() if self.window(h))

    def log_per_hour(self, volatility: FloatArray) -> FloatArray:
        """Log volatility per hour."""
        return log_per_hour(volatility, self.data.bar_hours)

    def log_ewma(self, hours: float) -> FloatArray:
        """Log EWMA volatility per hour."""
        return self.log_per_hour(ewma_volatility(self.returns, hours / self.data.bar_hours))


def build_features(data: MarketData, every: int = 1) -> FeatureFrame:
    """Every feature of every instrument at every `every`-th bar, the last row being the instant after the last bar.

    A row for bar i uses bars 0 .. i - 1 only. Volatilities, momentum, stress and correlation are of the mark; impact,
    spread and turnover of last prices. Market-wide features stand in the row of every instrument. Features of a table
    that the market does not have, or of a window shorter than two bars, are not among the names.

    Parameters
    ----------
    data
        The market.
    every
        Distance between rows, bars.

    Raises
    ------
    InputError
        `every` below one.

    Notes
    -----
    Windows are whole: a bar that is missing makes every feature whose window holds it NaN. Exponential averages start
    anew after a gap, see `ewma`.
    """
    if every < 1:
        raise InputError("must be at least one bar", column="every", value=every)
    rows = np.arange(len(data.history), 0, -every, dtype=np.int64)[::-1]
    bars = _Bars(data, rows)
    times = data.times[rows - 1] + data.history.step
    shape = (len(rows), len(data.symbols))
    names, columns = [], []
    for group in GROUPS:
        for name, values in group(bars):
            names.append(name)
            columns.append(values[rows - 1])
    for name, series in clock(times).items():
        names.append(name)
        columns.append(np.broadcast_to(series[:, None], shape))
    return FeatureFrame(times, rows, data.symbols, tuple(names), np.stack(columns, axis=2))


def _volatility(bars: _Bars) -> Columns:
    for name, hours in EWMA_HOURS.items():
        yield f"log_ewma_{name}", bars.log_ewma(hours)
    for name, window in bars.windows(REALISED_HOURS):
        yield f"log_realised_{name}", bars.log_per_hour(realised_volatility(bars.returns, window))
    for name, window in bars.windows(RANGE_HOURS):
        yield f"log_parkinson_{name}", bars.log_per_hour(parkinson(bars.high, bars.low, window))
    yield "log_parkinson_last", bars.log_per_hour(parkinson(bars.high, bars.low, 1))
    if window := bars.window(DAY):
        klass = garman_klass(bars.open, bars.high, bars.low, bars.close, window)
        yield "log_garman_klass_24h", bars.log_per_hour(klass)
    yield "log_slope_6h_30d", bars.log_ewma(6.0) - bars.log_ewma(MONTH)


def _shape(bars: _Bars) -> Columns:
    if window := bars.window(DAY):
        down, up = semivariances(bars.returns, window)
        yield "log_semi_down_24h", bars.log_per_hour(np.sqrt(down))
        yield "log_semi_up_24h", bars.log_per_hour(np.sqrt(up))
        yield "jump_share_24h", jump_share(bars.returns, window)
    if window := bars.window(WEEK):
        yield "jump_share_7d", jump_share(bars.returns, window)
        yield "vol_of_vol_7d", volatility_of_volatility(bars.log_ewma(6.0), window)


def _momentum(bars: _Bars) -> Columns:
    usual = ewma_volatility(bars.returns, MONTH / bars.data.bar_hours)
    usual = np.where(usual > 0.0, usual, np.nan)
    yield "move_last", bars.returns / usual
    for name, window in bars.windows(MOVE_HOURS):
        yield f"return_{name}", move(bars.returns, window)
        yield f"move_{name}", move(bars.returns, window) / (usual * np.sqrt(window))
    if window := bars.window(MONTH):
        yield "drawdown_30d", drawdown(bars.high, bars.close, window)
        yield "rise_30d", rise(bars.low, bars.close, window)


def _season(bars: _Bars) -> Columns:
    day, week = bars.window(DAY), bars.window(WEEK)
    if not day:
        return
    last, level = parkinson(bars.high, bars.low, 1), parkinson(bars.high, bars.low, week)
    deviation = bars.log_per_hour(last) - bars.log_per_hour(level)
    yield "season_day_1h", _next(season_ahead(deviation, max(bars.window(1.0), 1), day, SEASON_DAYS))
    for name, hours in (("1h", 1.0), ("4h", 4.0), ("24h", DAY)):
        ahead = max(bars.window(hours), 1)
        yield f"season_week_{name}", _next(season_ahead(deviation, ahead, week, SEASON_WEEKS))


def _next(as_known: FloatArray) -> FloatArray:
    """Rows as known at bar opens 0 .. T, brought to the closes of bars 0 .. T - 1."""
    return as_known[1:]


def _stress(bars: _Bars) -> Columns:
    n = bars.returns.shape[1]
    for name, window in bars.windows(MOVE_HOURS):
        yield f"market_return_{name}", repeated(median_coin(move(bars.returns, window)), n)
    day = bars.log_ewma(DAY)
    for name, values in (("6h", bars.log_ewma(6.0)), ("24h", day), ("30d", bars.log_ewma(MONTH))):
        yield f"market_log_ewma_{name}", repeated(median_coin(values), n)
    yield "relative_log_ewma_24h", day - median_coin(day)[:, None]


def _correlation(bars: _Bars) -> Columns:
    n = bars.returns.shape[1]
    if n < 2:
        return
    known = bars.rows - 1
    correlation = ewma_correlation(bars.returns, CORRELATION_HOURS / bars.data.bar_hours, known)
    for name, series in (
        ("absorption_72h", largest_eigenvalue_share(correlation)),
        ("average_correlation_72h", average_correlation(correlation)),
    ):
        whole = np.full(len(bars.returns), np.nan)
        whole[known] = series
        yield name, repeated(whole, n)


def _turnover(bars: _Bars) -> Columns:
    trade = bars.data.trade
    if window := bars.window(DAY):
        impact = amihud(bars.last_returns, bars.traded, window)
        yield "log_amihud_24h", np.log(np.where(impact > 0.0, impact, np.nan))
        yield "spread_24h", corwin_schultz(trade["high"], trade["low"], window)
        yield "volume_share_24h", market_share(bars.traded, window)
        yield "volume_24h_30d", activity_ratio(bars.traded, window, bars.window(MONTH))
        yield "volume_last_24h", activity_ratio(bars.traded, 1, window)


def _carry(bars: _Bars) -> Columns:
    rate, known = bars.data.funding_rate, max(bars.window(KNOWN_HOURS), 1)
    if rate is not None:
        yield "funding_last", last_known(rate, known)
        for name, window in bars.windows({"24h": DAY, "7d": WEEK}):
            yield f"funding_{name}", funding_charged(rate, window)
    last, spot = bars.data.trade["close"], bars.data.spot_close
    references = {"mark": bars.close if bars.data.report.table("mark") else None, "spot": spot}
    for name, reference in references.items():
        if reference is not None:
            yield f"basis_{name}", basis(last, reference)
            if window := bars.window(DAY):
                yield f"basis_{name}_24h", mean_basis(last, reference, window)
    interest = bars.data.open_interest
    if interest is not None and (window := bars.window(DAY)):
        yield "open_interest_24h", open_interest_change(interest, window, known)


def _order_book(bars: _Bars) -> Columns:
    if bars.data.depth is None:
        return
    depth = book_depth(bars.data.depth, bars.data.times, bars.data.history.step, bars.data.symbols)
    resting, imbalance = depth.resting(), depth.imbalance()
    for place, level in enumerate(depth.levels):
        within = resting[:, :, place]
        yield f"log_depth_{level:g}bps", np.log(np.where(within > 0.0, within, np.nan))
        yield f"imbalance_{level:g}bps", imbalance[:, :, place]


GROUPS: tuple[Callable[[_Bars], Columns], ...] = (
    _volatility,
    _shape,
    _momentum,
    _season,
    _stress,
    _correlation,
    _turnover,
    _carry,
    _order_book,
)
