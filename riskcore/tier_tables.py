"""Rate schedules from tier tables, as venues publish them and as their APIs return them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .errors import InputError
from .rulebook import RateSchedule, SizeUnit

TierKind = Literal["marginal", "cliff"]

DEDUCTION_ROUNDING = 0.01
"""Venues publish maintenance amounts to two decimals: what a given one may differ by from the identity."""


class Tier(NamedTuple):
    """One row of a tier table: notional from floor to cap, maintenance rate, highest leverage, deduction if given."""

    floor: float
    cap: float
    rate: float
    max_leverage: float
    deduction: float | None = None


def next_deduction(floor: float, rate: float, previous_rate: float, previous_deduction: float) -> float:
    """Deduction of a tier that keeps maintenance margin continuous at its floor.

    deduction_k = deduction_{k-1} + floor_k * (rate_k - rate_{k-1}), units of the floor.
    Source: Binance help pages b3c689c1... (USD-M) and ceccfcfb... (COIN-M), "Maintenance Amount formula".

    Examples
    --------
    >>> next_deduction(250_000.0, 0.01, 0.005, 50.0)
    1300.0
    """
    return previous_deduction + floor * (rate - previous_rate)


def schedule_from_tiers(
    rows: Iterable[Sequence[Any]], kind: TierKind = "marginal", *, file: object = None, table: str = "tiers"
) -> RateSchedule:
    """Schedule from rows of (floor, cap, maintenance rate, max leverage[, deduction]), checked row by row.

    Parameters
    ----------
    rows
        Tiers in rising order; the last cap, the position limit, may be inf.
    kind
        "marginal": margin is continuous, missing deductions are computed and given ones checked. "cliff": the rate of
        the tier reached applies to the whole position and there are no deductions.
    file, table
        Where the rows stand, for error messages.

    Raises
    ------
    InputError
        A value that is no number, a gap or an overlap between tiers, a rate that falls or a leverage that rises with
        size, maintenance margin above initial margin, a deduction that breaks the identity of `next_deduction`.

    Examples
    --------
    >>> schedule = schedule_from_tiers([(0, 50_000, 0.004, 125), (50_000, 250_000, 0.005, 100, 50.0)])
    >>> schedule.deductions.tolist(), schedule.limit
    ([0.0, 50.0], 250000.0)
    """
    at = _Place(file, table)
    if kind not in ("marginal", "cliff"):
        raise at.error('must be "marginal" or "cliff"', None, "kind", kind)
    tiers = [_tier(row, values, at) for row, values in enumerate(rows)]
    if not tiers:
        raise at.error("a tier table needs at least one row")
    for row, tier in enumerate(tiers):
        _check_tier(row, tier, at)
    for row, (below, tier) in enumerate(pairwise(tiers), start=1):
        _check_step(row, below, tier, at)
    deductions = _marginal_deductions(tiers, at) if kind == "marginal" else _no_deductions(tiers, at)
    floors, caps, rates, leverage = np.array([tier[:4] for tier in tiers]).T
    return RateSchedule(floors, rates, np.array(deductions), leverage, float(caps[-1]))


class _Place(NamedTuple):
    """Where a tier table stands."""

    file: object
    table: str

    def error(self, problem: str, row: int | None = None, column: str = "", value: object = None) -> InputError:
        return InputError(problem, file=self.file, row=row, column=f"{self.table} {column}".strip(), value=value)


def _tier(row: int, values: Sequence[Any], at: _Place) -> Tier:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise at.error("a tier is a list of numbers", row, value=values) from None
    if len(numbers) not in (4, 5) or any(math.isnan(number) for number in numbers):
        raise at.error(
            "a tier is floor, cap, maintenance rate, max leverage and perhaps a deduction", row, value=values
        )
    return Tier(*numbers)


def _check_tier(row: int, tier: Tier, at: _Place) -> None:
    if tier.cap <= tier.floor:
        raise at.error(f"is not above the floor {tier.floor:g}", row, "cap", tier.cap)
    if not 0 < tier.rate <= 1:
        raise at.error("must be in (0, 1]", row, "rate", tier.rate)
    if not 0 < tier.max_leverage < math.inf:
        raise at.error("must be positive", row, "max leverage", tier.max_leverage)
    if tier.rate * tier.max_leverage > 1 + 1e-9:
        raise at.error(f"is above the initial rate 1/{tier.max_leverage:g}", row, "rate", tier.rate)
    if row == 0 and (tier.floor or tier.deduction):
        raise at.error("floor and deduction of the first tier must be 0", row, value=tuple(tier))


def _check_step(row: int, below: Tier, tier: Tier, at: _Place) -> None:
    if tier.floor != below.cap:
        kind = "gap" if tier.floor > below.cap else "overlap"
        raise at.error(f"{kind}: the tier below ends at {below.cap:g}", row, "floor", tier.floor)
    if tier.rate < below.rate:
        raise at.error(f"falls with size, the tier below has {below.rate:g}", row, "rate", tier.rate)
    if tier.max_leverage > below.max_leverage:
        raise at.error(
            f"rises with size, the tier below has {below.max_leverage:g}", row, "max leverage", tier.max_leverage
        )


def _marginal_deductions(tiers: list[Tier], at: _Place) -> list[float]:
    deductions = [0.0]
    for row, (below, tier) in enumerate(pairwise(tiers), start=1):
        expected = next_deduction(tier.floor, tier.rate, below.rate, deductions[-1])
        found = expected if tier.deduction is None else tier.deduction
        if abs(found - expected) > max(DEDUCTION_ROUNDING, 1e-6 * abs(expected)):
            raise at.error(f"the tiers before it imply {expected:g}", row, "deduction", found)
        deductions.append(found)
    return deductions


def _no_deductions(tiers: list[Tier], at: _Place) -> list[float]:
    for row, tier in enumerate(tiers):
        if tier.deduction:
            raise at.error("a cliff table has no deductions", row, "deduction", tier.deduction)
    return [0.0] * len(tiers)


def schedule_from_leverage(floors: ArrayLike, max_leverage: ArrayLike) -> RateSchedule:
    """Schedule of a venue whose maintenance margin is half the initial margin at maximum leverage.

    rate_k = 1 / (2 * max_leverage_k), deductions keep it continuous.
    Source: Hyperliquid documentation, trading/margin-tiers.

    Examples
    --------
    >>> schedule = schedule_from_leverage([0, 150e6], [40, 20])
    >>> schedule.rates.tolist(), schedule.deductions.tolist()
    ([0.0125, 0.025], [0.0, 1875000.0])
    """
    leverage = np.asarray(max_leverage, np.float64)
    return RateSchedule.marginal(floors, 0.5 / leverage, leverage)


def risk_limit_steps(
    last: Sequence[float], size: float, rate: float, initial: float, count: int
) -> list[tuple[float, float, float, float]]:
    """Tiers above `last`, each `size` wider than the one below and asking `rate` and `initial` more.

    Parameters
    ----------
    last
        The tier the steps go on from: (floor, cap, maintenance rate, max leverage).
    size
        Width of a tier.
    rate, initial
        What each step adds to the maintenance and to the initial rate, fractions.
    count
        Number of steps; those whose initial rate would pass 1 are left out.

    Notes
    -----
    Rates are rounded to twelve places, so that steps of 0.5% add up to the figures a venue prints.
    Sources: BitMEX risk limits (base, step, and base maintenance margin added to both rates at each step); OKX position
    tiers ("increase by ... from the previous tier").

    Examples
    --------
    BitMEX's own table for XBTUSD: 200 XBT at 0.5% and 1%, steps of 150 XBT.

    >>> risk_limit_steps((0, 200, 0.005, 100), 150, 0.005, 0.005, 2)
    [(200, 350, 0.01, 66.66666666666667), (350, 500, 0.015, 50.0)]
    """
    _, cap, maintenance, leverage = last[:4]
    for name, step in (("size", size), ("rate", rate), ("initial", initial), ("count", count)):
        if not 0 < step < math.inf:
            raise InputError("must be positive", column=f"steps {name}", value=step)
    tiers = []
    for step in range(1, count + 1):
        asked = 1.0 / leverage + step * initial
        if asked > 1.0 + 1e-12:
            break
        tiers.append((cap, cap + size, round(maintenance + step * rate, 12), 1.0 / round(asked, 12)))
        cap += size
    return tiers


def schedules_from_brackets(
    brackets: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    kind: TierKind = "marginal",
    *,
    quote: str | None = None,
    unit: SizeUnit = "value",
    file: object = None,
) -> dict[str, RateSchedule]:
    """Schedules of many contracts from a venue's whole tier table.

    Parameters
    ----------
    brackets
        One of three layouts: the reply of Binance's /leverageBracket (a list of {symbol, brackets}), the result of
        ccxt's `fetch_leverage_tiers` (symbol to a list of tiers with minNotional, maxNotional,
        maintenanceMarginRate, maxLeverage), or symbol to rows of (floor, cap, rate, max leverage[, deduction]).
    kind
        How the rate of a tier applies, see `schedule_from_tiers`. ccxt does not say: OKX's is "cliff".
    quote
        Keep only perpetuals quoted in this asset and name them by their coin, as market folders do: with "USDT" both
        "BTCUSDT" and "BTC/USDT:USDT" become "BTC". None keeps all, under the names they have.
    unit
        "amount": the tiers count whole contracts, as ccxt gives OKX's, whose tier up to 500 is followed by one from
        501; see `RateSchedule`.
    file
        Where the table was read, for error messages.

    Raises
    ------
    InputError
        A layout that is none of the three, a contract twice, a table `schedule_from_tiers` refuses.

    Examples
    --------
    >>> reply = [{"symbol": "BTCUSDT", "brackets": [{"bracket": 1, "initialLeverage": 125, "notionalCap": 50000,
    ...     "notionalFloor": 0, "maintMarginRatio": 0.004, "cum": 0.0}]}]
    >>> {name: schedule.limit for name, schedule in schedules_from_brackets(reply, quote="USDT").items()}
    {'BTC': 50000.0}
    """
    schedules: dict[str, RateSchedule] = {}
    for row, (symbol, tiers) in enumerate(_tables(brackets, file)):
        name = symbol if quote is None else _coin(symbol, quote)
        if name is None:
            continue
        if name in schedules:
            raise InputError("has two tier tables", file=file, row=row, column="symbol", value=symbol)
        rows = [_row(tier, file, symbol) for tier in tiers]
        rows = _whole_contracts(rows) if unit == "amount" else rows
        schedules[name] = replace(schedule_from_tiers(rows, kind, file=file, table=symbol), unit=unit)
    return schedules


def _whole_contracts(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Tiers that end where the next begins, one contract after their cap."""
    caps = [row[1] for row in rows]
    for place, (below, row) in enumerate(pairwise(rows)):
        try:
            caps[place] = row[0] if float(row[0]) - float(below[1]) == 1 else below[1]
        except (TypeError, ValueError, IndexError):
            continue  # refused by place when the schedule is made
    return [(row[0], cap, *row[2:]) for row, cap in zip(rows, caps, strict=True)]


def _tables(brackets: Mapping[str, Any] | Iterable[Mapping[str, Any]], file: object) -> list[tuple[str, list[Any]]]:
    if isinstance(brackets, Mapping):
        return [(str(symbol), list(tiers)) for symbol, tiers in brackets.items()]
    tables = []
    for row, entry in enumerate(brackets):
        if not isinstance(entry, Mapping) or "brackets" not in entry:
            raise InputError("is not a contract with its brackets", file=file, row=row, value=str(entry)[:80])
        tables.append((str(entry.get("symbol", entry.get("pair"))), list(entry["brackets"])))
    return tables


def _row(tier: Any, file: object, symbol: str) -> tuple[Any, ...]:
    """A tier of any of the three layouts as (floor, cap, rate, max leverage[, deduction])."""
    if isinstance(tier, Sequence) and not isinstance(tier, str):
        return tuple(tier)
    try:
        if "maintMarginRatio" in tier:
            unit = "notional" if "notionalFloor" in tier else "qty"
            floor, cap = tier[f"{unit}Floor"], tier[f"{unit}Cap"]
            return floor, cap, tier["maintMarginRatio"], tier["initialLeverage"], tier["cum"]
        cap = math.inf if tier["maxNotional"] is None else tier["maxNotional"]
        found = (tier["minNotional"], cap, tier["maintenanceMarginRate"], tier["maxLeverage"])
    except (KeyError, TypeError):
        raise InputError("is not a tier of a known layout", file=file, column=symbol, value=str(tier)[:80]) from None
    deduction = (tier.get("info") or {}).get("cum")
    return found if deduction is None else (*found, deduction)


def _coin(symbol: str, quote: str) -> str | None:
    """Coin of a perpetual quoted in `quote`; None for other quotes and for dated futures."""
    if "/" in symbol:
        coin, _, rest = symbol.partition("/")
        return coin if rest in (quote, f"{quote}:{quote}") else None
    return symbol.removesuffix(quote) if symbol.endswith(quote) else None
