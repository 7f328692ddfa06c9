"""What it costs, and how long it takes, to close positions: liquidity and concentration add-ons from depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, IntArray, frozen, group_sums, require
from ..errors import InputError
from .contracts import PositionBook


@dataclass(frozen=True)
class MarketDepth:
    """Order-book depth and turnover of each instrument.

    Parameters
    ----------
    bid, ask
        Best prices, shape (n_instruments,).
    level
        Distances from the mid, fractions, rising; shape (n_levels,).
    bid_notional, ask_notional
        Quote units that rest within each distance, cumulative; shape (n_instruments, n_levels).
    daily_volume
        Average daily turnover, quote units.
    daily_volatility
        Standard deviation of the daily return, fraction.

    Raises
    ------
    InputError
        A price that is not above zero or NaN, a crossed book, levels that do not rise, a side without any depth, depth
        that falls with the distance, a turnover or volatility that is not above zero.

    Examples
    --------
    >>> MarketDepth([101.0], [100.0], [0.01], [[1e6]], [[1e6]], [1e8], [0.03])
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column bid: the book is crossed, the ask is 100.0 (found 101.0)
    """

    bid: FloatArray
    ask: FloatArray
    level: FloatArray
    bid_notional: FloatArray
    ask_notional: FloatArray
    daily_volume: FloatArray
    daily_volatility: FloatArray

    def __post_init__(self) -> None:
        for name in ("bid", "ask", "level", "bid_notional", "ask_notional", "daily_volume", "daily_volatility"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        for name in ("bid", "ask", "daily_volume", "daily_volatility"):
            self._require_positive(name)
        self._require_open_book()
        self._require_levels()
        for name in ("bid_notional", "ask_notional"):
            self._require_depth(name)

    def __len__(self) -> int:
        return len(self.bid)

    @property
    def mid(self) -> FloatArray:
        """Middle of the best prices."""
        return np.asarray((self.bid + self.ask) / 2, dtype=np.float64)

    @property
    def half_spread(self) -> FloatArray:
        """Half the distance of the best prices, fraction of the mid."""
        return np.asarray((self.ask - self.bid) / 2 / self.mid, dtype=np.float64)

    def _require_positive(self, name: str) -> None:
        values: FloatArray = getattr(self, name)
        if values.shape != (len(self),):
            raise InputError(f"needs one value for each of {len(self)} instruments", column=name, value=values.shape)
        require((values > 0) & np.isfinite(values), values, "must be a number above zero", name)

    def _require_open_book(self) -> None:
        crossed = np.flatnonzero(self.bid >= self.ask)
        if len(crossed):
            row = int(crossed[0])
            problem = f"the book is crossed, the ask is {self.ask[row]}"
            raise InputError(problem, row=row, column="bid", value=float(self.bid[row]))

    def _require_levels(self) -> None:
        if self.level.ndim != 1 or not len(self.level):
            raise InputError("needs at least one distance", column="level", value=self.level.shape)
        rising = (np.diff(self.level, prepend=0.0) > 0) & (self.level < 1)
        require(rising, self.level, "must be fractions that rise from above zero", "level")

    def _require_depth(self, name: str) -> None:
        values: FloatArray = getattr(self, name)
        if values.shape != (len(self), len(self.level)):
            raise InputError(f"must have the shape {(len(self), len(self.level))}", column=name, value=values.shape)
        rising = np.isfinite(values) & (np.diff(values, axis=1, prepend=0.0) >= 0)
        require(rising, values, "must be a number that does not fall with the distance", name)
        require(values[:, -1] > 0, values[:, -1], "the book is empty", name)


@dataclass(frozen=True)
class ClosingRule:
    """Assumptions about closing a position.

    Parameters
    ----------
    impact
        Coefficient of the square-root law for size beyond measured depth: such a size moves the price by
        impact * daily volatility * sqrt(size / daily turnover) past the outermost level. Of the order of one in
        studies of metaorders (Toth et al. 2011, Phys. Rev. X 1, 021006); margincast's default of 1 is an assumption.
    participation
        Share of the daily turnover one can be without moving the market further; in (0, 1].
    base_days
        Margin period of risk of a position that is not large.

    Examples
    --------
    >>> ClosingRule(participation=0.0)
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: column participation: must be in (0, 1] (found 0.0)
    """

    impact: float = 1.0
    participation: float = 0.2
    base_days: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.impact < np.inf:
            raise InputError("must not be below zero", column="impact", value=self.impact)
        if not 0 < self.participation <= 1:
            raise InputError("must be in (0, 1]", column="participation", value=self.participation)
        if not 0 < self.base_days < np.inf:
            raise InputError("must be above zero", column="base_days", value=self.base_days)


@dataclass(frozen=True)
class ClosingCost:
    """Cost of closing each position at once, in quote units, and the days it takes without hurry; shape (n,).

    Parameters
    ----------
    spread
        Half the bid-ask spread on the whole size.
    depth
        What walking through measured depth costs beyond that.
    impact
        What the size beyond measured depth costs beyond the spread, by the square-root law: an assumption.
    beyond
        Quote units beyond measured depth.
    days
        Size over participation times daily turnover.
    margin_days
        Margin period of risk: the larger of those days and the base.
    """

    spread: FloatArray
    depth: FloatArray
    impact: FloatArray
    beyond: FloatArray
    days: FloatArray
    margin_days: FloatArray

    def __post_init__(self) -> None:
        for name in ("spread", "depth", "impact", "beyond", "days", "margin_days"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    @property
    def total(self) -> FloatArray:
        """All parts together."""
        return np.asarray(self.spread + self.depth + self.impact, dtype=np.float64)


@dataclass(frozen=True)
class ConcentrationAddon:
    """Add-on of a group of accounts that would be closed together.

    Parameters
    ----------
    joint, alone
        Cost of closing the group's net position in each instrument, and the sum of the costs of its pools each closed
        alone; shape (n_instruments,).
    addon
        max(0, joint - alone), quote units; shape (n_instruments,).
    pool
        The add-on split among pools by the size of their positions on the side of the group's net; shape (n_pools,).
    margin_days
        Margin period of risk of the net position; shape (n_instruments,).
    """

    joint: FloatArray
    alone: FloatArray
    addon: FloatArray
    pool: FloatArray
    margin_days: FloatArray

    def __post_init__(self) -> None:
        for name in ("joint", "alone", "addon", "pool", "margin_days"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))


def closing_cost(notional: FloatArray, instrument: IntArray, market: MarketDepth, rule: ClosingRule) -> ClosingCost:
    """Cost of closing positions at once into the book.

    Size is taken level by level, what rests between two levels at the outer one (at least at half the spread), and what
    exceeds the outermost at that level plus the square-root impact of the excess.

    Parameters
    ----------
    notional
        Signed quote units: longs are sold into the bids, shorts bought from the asks; shape (n,).
    instrument
        Row of each position in `market`.
    market, rule
        Depth, and assumptions.

    Raises
    ------
    InputError
        A notional that is not finite, an unknown instrument.

    Examples
    --------
    Long 300 with 100 within 1% and 200 within 2% of the mid, spread 1%: 100 cost 1 and 100 cost 2; 100 are beyond, and
    a tenth of the turnover of 1,000 at a volatility of 10% moves the price by 3.16% past the 2%.

    >>> market = MarketDepth([99.5], [100.5], [0.01, 0.02], [[100.0, 200.0]], [[100.0, 200.0]], [1e3], [0.1])
    >>> cost = closing_cost([300.0], [0], market, ClosingRule())
    >>> cost.spread.round(4).tolist(), cost.depth.round(4).tolist(), cost.impact.round(4).tolist()
    ([1.5], [2.0], [4.6623])
    >>> cost.beyond.tolist(), cost.margin_days.tolist()
    ([100.0], [1.5])
    """
    value, place = np.asarray(notional, dtype=np.float64), np.asarray(instrument, dtype=np.int64)
    require(np.isfinite(value), value, "must be a finite number", "notional")
    known = (place >= 0) & (place < len(market))
    require(known, place, f"unknown instrument; there is depth for {len(market)}", "instrument")
    size, half = np.abs(value), market.half_spread[place]
    within = np.where((value > 0)[:, None], market.bid_notional[place], market.ask_notional[place])
    taken = np.diff(np.minimum(within, size[:, None]), axis=1, prepend=0.0)
    past_spread = np.maximum(market.level[None, :] - half[:, None], 0.0)
    beyond = np.maximum(size - within[:, -1], 0.0)
    move = rule.impact * market.daily_volatility[place] * np.sqrt(beyond / market.daily_volume[place])
    days = size / (rule.participation * market.daily_volume[place])
    return ClosingCost(
        spread=half * size,
        depth=np.sum(taken * past_spread, axis=1),
        impact=beyond * (past_spread[:, -1] + move),
        beyond=beyond,
        days=days,
        margin_days=np.maximum(days, rule.base_days),
    )


def concentration_addon(
    book: PositionBook, unit_notional: FloatArray, market: MarketDepth, rule: ClosingRule
) -> ConcentrationAddon:
    """What closing a group's joint positions costs beyond closing each of its pools alone.

    Parameters
    ----------
    book
        The group's pools; positions of one instrument in several pools are closed against each other first.
    unit_notional
        Quote units of one contract at the mark, one an instrument of `market`.
    market, rule
        Depth, and assumptions.

    Examples
    --------
    Two pools of 100 each fit into the first level; together the second half needs the next:

    >>> market = MarketDepth([99.9], [100.1], [0.01, 0.02], [[100.0, 200.0]], [[100.0, 200.0]], [1e3], [0.1])
    >>> found = concentration_addon(PositionBook([0, 1, 2], [0, 0], [1.0, 1.0]), [100.0], market, ClosingRule())
    >>> found.alone.round(6).tolist(), found.joint.round(6).tolist(), found.pool.round(6).tolist()
    ([2.0], [3.0], [0.5, 0.5])
    """
    unit = np.asarray(unit_notional, dtype=np.float64)
    if unit.shape != (len(market),):
        raise InputError(f"needs one value for each of {len(market)} instruments", column="unit_notional")
    require(np.isfinite(unit) & (unit > 0), unit, "must be a number above zero", "unit_notional")
    known = (book.contract >= 0) & (book.contract < len(market))
    require(known, book.contract, f"unknown instrument; there is depth for {len(market)}", "contract")
    pool, instrument, value = _net_of_pools(book, unit)
    alone = group_sums(instrument, closing_cost(value, instrument, market, rule).total, len(market))
    net = group_sums(instrument, value, len(market))
    joint = closing_cost(net, np.arange(len(market)), market, rule)
    addon = np.maximum(joint.total - alone, 0.0)
    with_net = np.where(np.sign(value) == np.sign(net)[instrument], np.abs(value), 0.0)
    sums = group_sums(instrument, with_net, len(market))
    share = np.divide(with_net, sums[instrument], out=np.zeros(len(value)), where=sums[instrument] > 0)
    by_pool = group_sums(pool, share * addon[instrument], len(book))
    return ConcentrationAddon(joint.total, alone, addon, by_pool, joint.margin_days)


def _net_of_pools(book: PositionBook, unit: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Pool, instrument and net signed notional of each position, positions of a pool in one instrument netted."""
    key = book.pool_of_entry * len(unit) + book.contract
    kept, place = np.unique(key, return_inverse=True)
    value = group_sums(place.astype(np.int64), book.quantity * unit[book.contract], len(kept))
    return kept // len(unit), kept % len(unit), value
