"""What adapters share: the inputs of a case, and a pool of a few legs under given rules."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.instruments import LINEAR, InstrumentTable
from margincast.riskcore.liquidation_price import liquidation_price
from margincast.riskcore.margin import MarginState, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook

NOW = np.datetime64("2024-01-01", "ns")
SIDES = {"long": 1.0, "short": -1.0}


class Unsupported(Exception):
    """The case asks for something no adapter translates."""


class Inputs(dict[str, Any]):
    """Inputs of a case; asking for one it lacks makes the case unsupported.

    `shared` is that block of its file, `rule` the rule of the case in words.
    """

    def __init__(
        self, values: Mapping[str, Any], shared: Mapping[str, Any] = MappingProxyType({}), rule: str = ""
    ) -> None:
        super().__init__(values)
        self.shared, self.rule = shared, rule

    def __missing__(self, key: str) -> Any:
        raise Unsupported(f"no input {key}")

    def of(self, key: str) -> Inputs:
        return Inputs(self[key], self.shared, self.rule)

    def each(self, key: str) -> list[Inputs]:
        return [Inputs(entry, self.shared, self.rule) for entry in self[key]]

    def block(self, key: str) -> Any:
        """What an input such as "shared.parameters.A" refers to."""
        found: Any = {"shared": self.shared}
        first, second, *rest = self[key].split(".")
        return found[first][second][".".join(rest)] if rest else found[first][second]

    def signed(self, quantity: str, side: str = "side") -> float:
        direction = self[side]
        return math.copysign(self[quantity], SIDES[direction.lower()] if isinstance(direction, str) else direction)


class Leg(NamedTuple):
    quantity: float
    entry: float
    mark: float
    schedule: RateSchedule
    leverage: float = math.nan


class Pool(NamedTuple):
    book: AccountBook
    market: MarketState
    rules: RuleBook

    def state(self) -> MarginState:
        return evaluate(*self)

    def prices(self) -> list[float]:
        return liquidation_price(*self).tolist()


def flat(rate: float, deduction: float = 0.0, leverage: float = 1.0) -> RateSchedule:
    """One tier for all sizes."""
    return RateSchedule(*(np.array([column]) for column in (0.0, rate, deduction, leverage)))


def rows_schedule(rows: Sequence[Sequence[float]]) -> RateSchedule:
    """A published table as it stands, (floor, cap, rate, max leverage, deduction) a row, unchecked."""
    floors, caps, rates, leverage, deductions = (np.array(column, float) for column in zip(*rows, strict=True))
    return RateSchedule(floors, rates, deductions, leverage, caps[-1])


def pool(legs: Sequence[Leg], balance: float, kind: int = LINEAR, multiplier: float = 1.0, **rules: Any) -> Pool:
    """One pool with a leg in each of as many contracts, settled in the base asset (inverse ones: in the coin)."""
    names = [f"contract {place}" for place in range(len(legs))]
    n = len(legs)
    table = InstrumentTable(tuple(names), [kind] * n, [multiplier] * n, [0] * n, ("base",))  # type: ignore[arg-type]
    quantity, entry, mark, schedules, leverage = zip(*legs, strict=True)
    book = AccountBook(
        table, ["a"], ["m"], [CROSS], [0, 1], [0], [balance], [0, n], range(n), quantity, entry, leverage
    )  # type: ignore[arg-type]
    book_of_rules = RuleBook("case", dt.date(2024, 1, 1), dict(zip(names, schedules, strict=True)), **rules)
    return Pool(book, MarketState(NOW, mark, [1.0]), book_of_rules)  # type: ignore[arg-type]
