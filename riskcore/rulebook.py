"""Rule-books: how one venue margins at one date. Pure data, checked when made."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from .arrays import FloatArray, frozen, require
from .errors import InputError

MaintenanceAt = Literal["price", "mark", "entry"]
SizeUnit = Literal["value", "amount"]


@dataclass(frozen=True)
class RateSchedule:
    """Maintenance and initial margin of one contract as a function of notional.

    A position of notional N in tier k (the highest with floor_k <= N) needs N * rate_k - deduction_k maintenance
    margin. Marginal schedules have deductions that make this continuous; in a cliff schedule they are zero and the rate
    of the tier applies to the whole position.

    Parameters
    ----------
    floors
        Lower bound of each tier's notional, settlement asset, rising from 0; shape (k,).
    rates
        Maintenance margin rate of each tier, fraction of notional, in (0, 1].
    deductions
        Maintenance amount taken off in each tier, settlement asset.
    max_leverage
        Highest leverage allowed in each tier; the initial rate is its inverse.
    limit
        Largest notional the venue allows, the cap of the last tier; settlement asset, inf where it names none.
    unit
        "value": floors and limit are notionals, as above. "amount": they count contracts (of a loan: units of the
        asset), and only `priced_rules` of priced_tiers.py makes a schedule of it that margin can be computed with.

    Examples
    --------
    >>> schedule = RateSchedule.marginal([0, 50_000, 600_000], [0.004, 0.005, 0.0065], [125, 100, 75])
    >>> schedule.deductions.round(9).tolist()
    [0.0, 50.0, 950.0]
    >>> float(schedule.maintenance(100_000.0))
    450.0
    """

    floors: FloatArray
    rates: FloatArray
    deductions: FloatArray
    max_leverage: FloatArray
    limit: float = math.inf
    unit: SizeUnit = "value"

    def __post_init__(self) -> None:
        for name in ("floors", "rates", "deductions", "max_leverage"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        n = len(self.floors)
        if n == 0:
            raise InputError("a schedule needs at least one tier", column="floors")
        for name in ("rates", "deductions", "max_leverage"):
            if len(getattr(self, name)) != n:
                raise InputError(f"has {len(getattr(self, name))} tiers, floors have {n}", column=name)
        rises = np.concatenate(([self.floors[0] == 0], np.diff(self.floors) > 0))
        require(rises & np.isfinite(self.floors), self.floors, "tier floors must rise from 0", "floors")
        require((self.rates > 0) & (self.rates <= 1), self.rates, "must be in (0, 1]", "rates")
        require(np.isfinite(self.deductions), self.deductions, "must be finite", "deductions")
        require(
            (self.max_leverage > 0) & np.isfinite(self.max_leverage),
            self.max_leverage,
            "must be positive",
            "max_leverage",
        )
        if not self.limit > self.floors[-1]:
            raise InputError("must be above the floor of the last tier", column="limit", value=self.limit)
        _check_unit(self.unit)

    @classmethod
    def marginal(cls, floors: ArrayLike, rates: ArrayLike, max_leverage: ArrayLike) -> RateSchedule:
        """Schedule whose deductions keep margin continuous: cum_k = cum_{k-1} + floor_k * (rate_k - rate_{k-1}).

        Source: Binance USD-M maintenance amounts (VENUES.md section 1).
        """
        floor, rate = np.asarray(floors, np.float64), np.asarray(rates, np.float64)
        steps = floor[1:] * np.diff(rate) if len(floor) == len(rate) else np.zeros(max(len(floor) - 1, 0))
        return cls(floor, rate, np.concatenate(([0.0], np.cumsum(steps))), np.asarray(max_leverage, np.float64))

    @classmethod
    def cliff(cls, floors: ArrayLike, rates: ArrayLike, max_leverage: ArrayLike) -> RateSchedule:
        """Schedule in which the rate of the tier reached applies to the whole position."""
        return cls(
            np.asarray(floors, np.float64),
            np.asarray(rates, np.float64),
            np.zeros(np.shape(floors)),
            np.asarray(max_leverage, np.float64),
        )

    def tier_of(self, notional: ArrayLike) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """Tier of each notional: the highest whose floor does not exceed it."""
        return np.searchsorted(self.floors, np.asarray(notional, np.float64), side="right").astype(np.int64) - 1

    def maintenance(self, notional: ArrayLike) -> FloatArray:
        """Maintenance margin of each notional, settlement asset."""
        value, tier = np.asarray(notional, np.float64), self.tier_of(notional)
        return np.asarray(value * self.rates[tier] - self.deductions[tier])

    def leverage_for(self, margin: float, caps: ArrayLike | None = None) -> float:
        """Highest leverage at which `margin`, settlement asset, can be used as initial margin.

        The largest over the tiers of min(max_leverage_k, cap_k / margin): more leverage lifts the notional into a tier
        that allows less. `caps` are the ends of the tiers where a published table leaves gaps between them; without
        them each tier ends where the next begins.

        Examples
        --------
        >>> schedule = RateSchedule.marginal([0, 10_000, 50_000], [0.0065, 0.01, 0.02], [75, 50, 25])
        >>> schedule.leverage_for(100.0), round(schedule.leverage_for(1_500.0), 4)
        (75.0, 33.3333)
        """
        ends = np.append(self.floors[1:], self.limit) if caps is None else np.asarray(caps, np.float64)
        if ends.shape != self.floors.shape:
            raise InputError("must have one value a tier", column="caps", value=ends.shape)
        with np.errstate(over="ignore"):
            reach = ends / margin if margin > 0 else np.full(len(ends), np.inf)
        return float(np.minimum(self.max_leverage, reach).max())


@dataclass(frozen=True)
class HaircutSchedule:
    """Collateral value of an asset as a function of its value in the base asset.

    Each slice of value between two floors counts at its rate (1 - haircut). Negative values (borrowed) count in full.

    Parameters
    ----------
    floors
        Lower bound of each slice, base asset, rising from 0; shape (k,).
    rates
        Share of each slice that counts, in [0, 1].
    unit
        "value": floors are values, as above. "amount": they are amounts of the asset, see `RateSchedule`.

    Examples
    --------
    >>> haircut = HaircutSchedule([0, 1_000_000], [0.95, 0.9])
    >>> haircut.collateral_value([2_000_000.0, -10.0]).tolist()
    [1850000.0, -10.0]
    """

    floors: FloatArray
    rates: FloatArray
    unit: SizeUnit = "value"

    def __post_init__(self) -> None:
        for name in ("floors", "rates"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        if len(self.floors) == 0 or len(self.floors) != len(self.rates):
            raise InputError(f"has {len(self.rates)} rates for {len(self.floors)} floors", column="rates")
        rises = np.concatenate(([self.floors[0] == 0], np.diff(self.floors) > 0))
        require(rises, self.floors, "haircut floors must rise from 0", "floors")
        require((self.rates >= 0) & (self.rates <= 1), self.rates, "must be in [0, 1]", "rates")
        require(np.isfinite(self.floors), self.floors, "must be finite", "floors")
        _check_unit(self.unit)

    @property
    def offsets(self) -> FloatArray:
        """What makes the value of slice k `rate_k * v + offset_k`."""
        return np.concatenate(([0.0], np.cumsum(-self.floors[1:] * np.diff(self.rates))))

    def collateral_value(self, value: ArrayLike) -> FloatArray:
        """Value that counts towards equity, base asset."""
        gross = np.asarray(value, np.float64)
        tier = np.maximum(np.searchsorted(self.floors, gross, side="right") - 1, 0)
        return np.where(gross < 0, gross, gross * self.rates[tier] + self.offsets[tier])


def _check_unit(unit: str) -> None:
    if unit not in ("value", "amount"):
        raise InputError('must be "value" or "amount"', column="unit", value=unit)


NO_HAIRCUT = HaircutSchedule(np.zeros(1), np.ones(1))


@dataclass(frozen=True)
class RuleBook:
    """How one venue margins from one date on.

    Parameters
    ----------
    venue, effective_from
        Whose rules, and the first day they held (UTC).
    schedules
        Rate schedule for each instrument symbol.
    haircuts
        Haircut schedule for each asset accepted as collateral; an asset without one is not accepted.
    generic
        Schedule used for symbols that have none of their own, or None: such a symbol is then an error. Who uses it must
        say so (`generic_symbols`).
    generic_haircut
        Haircut schedule for assets that have none of their own, or None: such an asset is then not accepted.
    base
        The asset in which the venue tells equity.
    aliases
        Other names of the contracts (alias to the name in `schedules`).
    strict_trigger
        True: liquidated when equity < maintenance margin; False: already when they are equal.
    maintenance_at
        At which price the liquidation price re-evaluates maintenance margin: the liquidation "price" itself, frozen at
        the "mark", or frozen at the "entry" price.
    closing_fee
        Fee rate added to the maintenance rate, fraction of notional.
    warning_ratio
        An account is warned when maintenance margin / equity is above this.
    reduce_only_ratio
        Above this it may only reduce; None where the venue has no such stage.
    sources
        Where the figures come from, by what they are.
    """

    venue: str
    effective_from: dt.date
    schedules: Mapping[str, RateSchedule]
    haircuts: Mapping[str, HaircutSchedule] = field(default_factory=dict)
    generic: RateSchedule | None = None
    generic_haircut: HaircutSchedule | None = None
    base: str = "USDT"
    aliases: Mapping[str, str] = field(default_factory=dict)
    strict_trigger: bool = True
    maintenance_at: MaintenanceAt = "price"
    closing_fee: float = 0.0
    warning_ratio: float = 0.8
    reduce_only_ratio: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.maintenance_at not in ("price", "mark", "entry"):
            raise InputError('must be "price", "mark" or "entry"', column="maintenance_at", value=self.maintenance_at)
        if not 0 <= self.closing_fee < 1:
            raise InputError("must be in [0, 1)", column="closing_fee", value=self.closing_fee)
        for name in ("warning_ratio", "reduce_only_ratio"):
            ratio = getattr(self, name)
            if ratio is not None and not 0 < ratio <= 1:
                raise InputError("must be in (0, 1]", column=name, value=ratio)

    def schedule_of(self, symbol: str) -> RateSchedule:
        """The schedule of an instrument; without one and without a generic one, InputError."""
        schedule = self.schedules.get(self.aliases.get(symbol, symbol), self.generic)
        if schedule is None:
            problem = f"the {self.venue} rule-book has no tier table for it; --generic (with_generic) assumes one"
            raise InputError(problem, column="symbol", value=symbol)
        return schedule

    def haircut_of(self, asset: str, base: str) -> HaircutSchedule:
        """The haircut schedule of an asset; the base asset without one counts in full."""
        if asset in self.haircuts:
            return self.haircuts[asset]
        if asset == base:
            return NO_HAIRCUT
        if self.generic_haircut is not None:
            return self.generic_haircut
        problem = f"the {self.venue} rule-book does not accept it as collateral; --generic (with_generic) would"
        raise InputError(problem, column="asset", value=asset)

    def generic_symbols(self, symbols: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `symbols` that are margined by the generic schedule."""
        return tuple(s for s in symbols if self.aliases.get(s, s) not in self.schedules)

    def generic_assets(self, assets: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `assets`, the base asset aside, whose collateral value follows the generic haircut."""
        return tuple(a for a in assets if a not in self.haircuts and a != self.base)
