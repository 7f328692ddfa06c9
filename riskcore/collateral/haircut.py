"""Haircuts that follow volatility, and the schedules a rule-book uses made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, require, require_shape
from ..errors import InputError
from ..rulebook import HaircutSchedule


@dataclass(frozen=True)
class HaircutRule:
    """How the haircut of a collateral asset follows its volatility; rates are fractions of value.

    Parameters
    ----------
    quantile_multiple
        Losses covered, in standard deviations: 2.33 is 99% of a normal law, 2.665 is 99% of a Student law with five
        degrees of freedom scaled to unit variance.
    liquidation_days
        Days it takes to sell the collateral; volatility grows with their square root.
    floor, cap
        Least and greatest haircut.
    daily_rise, daily_fall
        Most by which the haircut may rise and fall in a day: the bound on procyclicality; inf for none.

    Raises
    ------
    InputError
        A figure out of range.
    """

    quantile_multiple: float
    liquidation_days: float
    floor: float = 0.0
    cap: float = 1.0
    daily_rise: float = math.inf
    daily_fall: float = math.inf

    def __post_init__(self) -> None:
        for name in ("quantile_multiple", "liquidation_days", "daily_rise", "daily_fall"):
            if not getattr(self, name) >= 0:
                raise InputError("must not be negative", column=name, value=getattr(self, name))
        for name in ("quantile_multiple", "liquidation_days"):
            if math.isinf(getattr(self, name)):
                raise InputError("must be finite", column=name, value=math.inf)
        if not 0 <= self.floor <= self.cap <= 1:
            raise InputError(f"must be in [0, {self.cap:g}]", column="floor", value=self.floor)


def volatility_haircut(volatility: ArrayLike, rule: HaircutRule, liquidity: ArrayLike = 0.0) -> FloatArray:
    """clip(quantile multiple * daily volatility * sqrt(liquidation days) + liquidity, floor, cap).

    Parameters
    ----------
    volatility
        Standard deviation of daily log returns.
    rule
        The multiple, the days, the floor and the cap.
    liquidity
        Cost of selling, fraction of value: half the spread and the impact of the amount held.

    Raises
    ------
    InputError
        A volatility or liquidity cost that is negative, NaN or infinite.

    Notes
    -----
    The form of the Basel supervisory own-estimates haircut (CRE22: 99%, ten days, square root of time), in log returns
    taken as returns.

    Examples
    --------
    >>> rule = HaircutRule(quantile_multiple=2.5, liquidation_days=4.0, floor=0.02, cap=0.5)
    >>> volatility_haircut([0.03, 0.0001, 0.4], rule, 0.005).round(6).tolist()
    [0.155, 0.02, 0.5]
    """
    sigma, cost = np.broadcast_arrays(np.asarray(volatility, np.float64), np.asarray(liquidity, np.float64))
    for column, values in (("volatility", sigma), ("liquidity", cost)):
        flat = np.atleast_1d(values).ravel()
        require((flat >= 0) & np.isfinite(flat), flat, "must be a number not below 0", column)
    raw = rule.quantile_multiple * sigma * math.sqrt(rule.liquidation_days) + cost
    return np.asarray(np.clip(raw, rule.floor, rule.cap))


def bounded_haircut(previous: ArrayLike, wanted: ArrayLike, rule: HaircutRule, days: float = 1.0) -> FloatArray:
    """The wanted haircut as far as the bounds on its change allow, `days` after the previous one.

    Examples
    --------
    >>> rule = HaircutRule(2.5, 4.0, daily_rise=0.05, daily_fall=0.01)
    >>> bounded_haircut([0.10, 0.10, 0.10], [0.30, 0.12, 0.0], rule).round(6).tolist()
    [0.15, 0.12, 0.09]
    """
    if not 0 <= days < math.inf:
        raise InputError("must be a number not below 0", column="days", value=days)
    before, target = np.asarray(previous, np.float64), np.asarray(wanted, np.float64)
    for column, values in (("previous", before), ("wanted", target)):
        flat = np.atleast_1d(values).ravel()
        require((flat >= 0) & (flat <= 1), flat, "must be in [0, 1]", column)
    down, up = (limit * days if days else 0.0 for limit in (rule.daily_fall, rule.daily_rise))
    return np.asarray(np.clip(target, before - down, before + up))


def haircut_path(volatility: ArrayLike, rule: HaircutRule, liquidity: ArrayLike = 0.0) -> FloatArray:
    """Haircuts day by day, shape of `volatility` with days along the first axis; the first day is taken as it comes.

    Examples
    --------
    >>> rule = HaircutRule(2.0, 1.0, daily_rise=0.02, daily_fall=0.01)
    >>> haircut_path([0.02, 0.05, 0.05, 0.02], rule).round(6).tolist()
    [0.04, 0.06, 0.08, 0.07]
    """
    wanted = volatility_haircut(volatility, rule, liquidity)
    path = np.array(wanted)
    for day in range(1, len(path)):
        path[day] = bounded_haircut(path[day - 1], wanted[day], rule)
    return path


def haircut_schedules(
    assets: Sequence[str],
    haircut: ArrayLike,
    *,
    floors: Mapping[str, Sequence[float]] | None = None,
    steps: Mapping[str, Sequence[float]] | None = None,
    limits: Mapping[str, float] | None = None,
) -> dict[str, HaircutSchedule]:
    """Schedules for `RuleBook.haircuts`.

    Parameters
    ----------
    assets, haircut
        Names, and the haircut of the first slice of value of each.
    floors, steps
        For assets that have them: further floors of value, base asset, and the haircut added from each on (the size
        haircut); a sum above 1 counts as 1.
    limits
        Value, base asset, above which an asset counts for nothing (the concentration limit).

    Raises
    ------
    InputError
        A haircut outside [0, 1], a negative step, floors and steps that do not match, a table of an asset not listed.

    Examples
    --------
    >>> made = haircut_schedules(["BTC"], [0.1], floors={"BTC": [1e6]}, steps={"BTC": [0.05]}, limits={"BTC": 3e6})
    >>> made["BTC"].collateral_value([1e6, 2e6, 3e6, 9e6]).tolist()
    [900000.0, 1750000.0, 2600000.0, 2600000.0]
    """
    first = np.asarray(haircut, np.float64)
    require_shape(first, (len(assets),), "haircut")
    require((first >= 0) & (first <= 1), first, "must be in [0, 1]", "haircut")
    for column, table in (("floors", floors), ("steps", steps), ("limits", limits)):
        for asset in table or {}:
            if asset not in assets:
                raise InputError("is not one of the assets", column=column, value=asset)
    return {
        asset: _schedule(asset, float(value), (floors or {}).get(asset, ()), (steps or {}).get(asset, ()), limits or {})
        for asset, value in zip(assets, first, strict=True)
    }


def _schedule(
    asset: str, haircut: float, floors: Sequence[float], steps: Sequence[float], limits: Mapping[str, float]
) -> HaircutSchedule:
    if len(floors) != len(steps):
        raise InputError(f"has {len(steps)} steps for {len(floors)} floors", column="steps", value=asset)
    if any(not step >= 0 for step in steps):
        raise InputError("must not be negative", column=f"steps {asset}", value=min(steps))
    total = np.minimum(np.cumsum([haircut, *steps]), 1.0)
    schedule = HaircutSchedule(np.array([0.0, *floors]), 1.0 - total)
    return with_limit(schedule, limits[asset]) if asset in limits else schedule


def with_limit(schedule: HaircutSchedule, limit: float) -> HaircutSchedule:
    """The schedule with all value above `limit`, in its unit (base asset), counting for nothing.

    Examples
    --------
    >>> capped = with_limit(HaircutSchedule([0.0, 100.0], [1.0, 0.5]), 150.0)
    >>> capped.collateral_value([150.0, 1000.0]).tolist()
    [125.0, 125.0]
    """
    if not 0 <= limit < math.inf:
        raise InputError("must be a number not below 0", column="limit", value=limit)
    if limit == 0:
        return replace(schedule, floors=np.zeros(1), rates=np.zeros(1))
    below = schedule.floors < limit
    floors, rates = np.append(schedule.floors[below], limit), np.append(schedule.rates[below], 0.0)
    return replace(schedule, floors=floors, rates=rates)
