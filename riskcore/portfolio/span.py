"""SPAN requirement of a portfolio: scan risk, spread and delivery charges, credits, short option minimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import FloatArray, IntArray, NameArray, frozen, require
from ..errors import InputError
from .span_arrays import PAIRED, SCENARIOS
from .span_rules import GROSS, NORMAL, SCAN_RANGE, SpanCommodity, SpanRules
from .span_spreads import spread_charges, spread_credits


@dataclass(frozen=True)
class SpanPositions:
    """Positions of one account in contracts with risk arrays; one row a contract.

    Parameters
    ----------
    commodity
        Combined commodity of each contract, shape (n,).
    period
        Contract period, such as 202412 (of an option: of its future).
    quantity
        Signed number of contracts.
    array
        Profit (loss negative) of one long contract in the sixteen scenarios, currency, shape (n, 16). Published arrays
        have losses positive: change their sign.
    delta
        Composite delta of one long contract, times its delta scaling factor.
    right
        CALL (1), PUT (-1), 0 for futures.
    value
        Value of one option contract that is paid up front (premium style); 0 for the rest.
    """

    commodity: NameArray
    period: IntArray
    quantity: FloatArray
    array: FloatArray
    delta: FloatArray
    right: NDArray[np.int8]
    value: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "commodity", frozen(self.commodity, np.str_))
        object.__setattr__(self, "period", frozen(self.period, np.int64))
        object.__setattr__(self, "right", frozen(self.right, np.int8))
        for name in ("quantity", "array", "delta", "value"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        n = len(self.commodity)
        for name in ("period", "quantity", "delta", "right", "value"):
            if getattr(self, name).shape != (n,):
                raise InputError(f"has shape {getattr(self, name).shape}, expected ({n},)", column=name)
        if self.array.shape != (n, SCENARIOS):
            raise InputError(f"has shape {self.array.shape}, expected ({n}, {SCENARIOS})", column="array")
        for name in ("quantity", "delta", "value"):
            column = getattr(self, name)
            require(np.isfinite(column), column, "must be a finite number", name)
        whole = np.logical_and.reduce(np.isfinite(self.array), axis=1)
        require(
            np.asarray(whole), np.array(self.array.sum(axis=1)), "a risk array needs sixteen finite numbers", "array"
        )
        require(np.abs(self.right) <= 1, self.right, "must be 1 (call), -1 (put) or 0", "right")


def span_positions(
    commodity: Sequence[str],
    quantity: ArrayLike,
    array: ArrayLike,
    *,
    period: ArrayLike = 0,
    delta: ArrayLike = 0.0,
    right: ArrayLike = 0,
    value: ArrayLike = 0.0,
) -> SpanPositions:
    """Positions where single numbers hold for all contracts.

    Examples
    --------
    >>> span_positions(["SP"], [1.0], np.zeros((1, 16)), delta=1.0).delta.tolist()
    [1.0]
    """
    n = len(commodity)
    period, delta, right, value = (np.broadcast_to(np.asarray(one), (n,)) for one in (period, delta, right, value))
    return SpanPositions(np.asarray(commodity), period, np.asarray(quantity), np.asarray(array), delta, right, value)


@dataclass(frozen=True)
class ScanRisk:
    """Scan of one set of positions.

    Parameters
    ----------
    loss
        Loss in each scenario, profits negative, shape (16,).
    active
        The scenario of the largest loss, 0 to 15, the first of equals.
    risk
        That loss, not below 0.
    """

    loss: FloatArray
    active: int
    risk: float

    @property
    def price_risk(self) -> float:
        """Part of the scan risk that is due to price: without that of volatility and of time; not below 0.

        The volatility-adjusted risk averages the active scenario and the one with the other volatility move; time risk
        is the average of the two scenarios in which the price stays [M: CME SPAN methodology, from memory].
        """
        adjusted = 0.5 * (self.loss[self.active] + self.loss[PAIRED[self.active]])
        return float(max(adjusted - 0.5 * (self.loss[0] + self.loss[1]), 0.0)) if self.risk > 0 else 0.0


def scan_risk(quantity: ArrayLike, array: ArrayLike) -> ScanRisk:
    """Largest loss of positions over the sixteen scenarios.

    Examples
    --------
    >>> from .span_arrays import futures_array
    >>> scan = scan_risk([-2.0], [futures_array(900.0, 630.0)])
    >>> scan.risk, scan.active, scan.price_risk
    (1800.0, 10, 1800.0)
    """
    held, arrays = np.atleast_1d(np.asarray(quantity, np.float64)), np.asarray(array, np.float64)
    if arrays.shape != (len(held), SCENARIOS):
        raise InputError(f"has shape {arrays.shape}, expected ({len(held)}, {SCENARIOS})", column="array")
    loss = np.zeros(SCENARIOS)
    for number, profit in zip(held, arrays, strict=True):
        loss -= number * profit
    active = int(np.argmax(loss))
    return ScanRisk(loss, active, max(float(loss[active]), 0.0))


@dataclass(frozen=True)
class SpanMargin:
    """SPAN requirement by combined commodity; currency, shape (n_commodities,) each.

    Parameters
    ----------
    commodity
        Names of the commodities with positions, in the order of the rules.
    scan, active
        Scan risk and the scenario it is made in, 0 to 15.
    spread_charge, delivery_charge, credit
        Intra-commodity spread charge, delivery charge, inter-commodity credit.
    short_option_minimum
        Least risk for short options.
    risk
        max(scan + spread charge + delivery charge - credit, short option minimum)
        (https://asx.com.au/prices/margin-estimator.htm).
    net_option_value
        Value of premium-style options, short ones negative.
    maintenance, initial
        Requirement of the account: risk less net option value, not below 0; initial with risk times the initial ratio.
    """

    commodity: tuple[str, ...]
    scan: FloatArray
    active: IntArray
    spread_charge: FloatArray
    delivery_charge: FloatArray
    credit: FloatArray
    short_option_minimum: FloatArray
    risk: FloatArray
    net_option_value: FloatArray
    maintenance: float
    initial: float


def span_margin(positions: SpanPositions, rules: SpanRules) -> SpanMargin:
    """SPAN requirement of one account.

    Raises
    ------
    InputError
        A position in a commodity the rules do not have.

    Examples
    --------
    Long a future and short a call, scanned over McMillan's arrays (ch. 34, p. 670): 6,620.

    >>> import datetime as dt
    >>> from .span_arrays import SpanScan
    >>> future = [0, 0, 3330, 3330, -3330, -3330, 6670, 6670, -6670, -6670, 10000, 10000, -10000, -10000, 7000, -7000]
    >>> call = [460, -610, 2640, 1730, -1270, -2340, 5210, 4540, -2540, -3430, 8060, 7640, -3380, -3990, 3130, -1500]
    >>> rules = SpanRules("example", dt.date(2024, 1, 1), {"SP": SpanCommodity(SpanScan(20.0))})
    >>> held = span_positions(["SP", "SP"], [1.0, -1.0], [future, call], right=[0, 1])
    >>> span_margin(held, rules).maintenance
    6620.0
    """
    known = np.isin(positions.commodity, list(rules.commodities))
    require(known, positions.commodity, f"the {rules.venue} rules do not have it", "commodity")
    names = tuple(name for name in rules.commodities if name in positions.commodity)
    own = {name: np.flatnonzero(positions.commodity == name) for name in names}
    scans = {name: scan_risk(positions.quantity[own[name]], positions.array[own[name]]) for name in names}
    deltas = {name: positions.quantity[rows] * positions.delta[rows] for name, rows in own.items()}
    spreads = {n: spread_charges(rules.commodities[n], positions.period[own[n]], deltas[n]) for n in names}
    net = {name: float(deltas[name].sum()) for name in names}
    per_delta = {name: _weighted_price_risk(rules.commodities[name], scans[name], net[name]) for name in names}
    usable = [one for one in rules.credits if {leg.of for leg in one.legs} <= set(names)]
    credit = spread_credits(usable, net, per_delta)
    figures = np.zeros((6, len(names)))
    for k, name in enumerate(names):
        least = _short_option_minimum(rules.commodities[name], positions, own[name])
        held_value = float((positions.quantity[own[name]] * positions.value[own[name]]).sum())
        costs = (spreads[name].charge, spreads[name].delivery, credit[name])
        figures[:, k] = (scans[name].risk, *costs, least, held_value)
    scan, charge, delivery, credited, minimum, option_value = figures
    risk = np.maximum(scan + charge + delivery - credited, minimum)
    limited = np.array([rules.commodities[name].limit_option_value for name in names], bool)
    active = np.array([scans[name].active for name in names], np.int64)
    maintenance, initial = (_less_option_value(k * risk, option_value, limited) for k in (1.0, rules.initial_ratio))
    return SpanMargin(
        names, scan, active, charge, delivery, credited, minimum, risk, option_value, maintenance, initial
    )  # fmt: skip


def _weighted_price_risk(commodity: SpanCommodity, scan: ScanRisk, delta: float) -> float:
    if commodity.price_risk == SCAN_RANGE:
        return commodity.scan_range
    by_delta = scan.price_risk / abs(delta) if delta else 0.0
    return by_delta if commodity.price_risk == NORMAL else min(by_delta, commodity.scan_range)


def _short_option_minimum(commodity: SpanCommodity, positions: SpanPositions, rows: IntArray) -> float:
    short = np.maximum(-positions.quantity[rows], 0.0)
    calls, puts = (float(short[positions.right[rows] == right].sum()) for right in (1, -1))
    count = calls + puts if commodity.short_option_method == GROSS else max(calls, puts)
    return commodity.short_option_minimum * count


def _less_option_value(risk: FloatArray, value: FloatArray, limited: NDArray[np.bool_]) -> float:
    usable = np.where(limited, np.minimum(value, risk), value)
    return max(float((risk - usable).sum()), 0.0)
