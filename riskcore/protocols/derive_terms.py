"""Groups of figures in Derive's rules: checked against their ranges, and read from a section of the same name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

from ..errors import InputError
from ..toml_section import Section, located

ANY = (-math.inf, math.inf)
NOT_NEGATIVE = (0.0, math.inf)
SHARE = (0.0, 1.0)


@dataclass(frozen=True)
class Terms:
    """Figures of one section of a rule-book; every field is a finite number within its range.

    A subclass names the fields and, in `RANGES`, the ranges other than "not negative".
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {}

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = self.RANGES.get(field.name, NOT_NEGATIVE)
            value = getattr(self, field.name)
            if not (low <= value <= high and math.isfinite(value)):
                raise InputError(f"must be in [{low:g}, {high:g}]", column=field.name, value=value)

    def require(self, ok: bool, problem: str, column: str) -> None:
        """Raise InputError about one of the fields."""
        if not ok:
            raise InputError(problem, column=column, value=getattr(self, column))


@dataclass(frozen=True)
class ConfidenceTerms(Terms):
    """Charge on what is priced by a feed of low confidence: (1 - confidence) * margin * notional below the threshold.

    Examples
    --------
    >>> ConfidenceTerms(threshold=0.6, margin=0.5).charge(0.1, 1500.0), ConfidenceTerms(0.6, 0.5).charge(0.6, 1500.0)
    (675.0, 0.0)
    """

    RANGES: ClassVar[Mapping[str, tuple[float, float]]] = {"threshold": SHARE}
    threshold: float
    margin: float

    def charge(self, confidence: float, notional: float) -> float:
        """USD charged on a notional, USD."""
        return (1.0 - confidence) * self.margin * notional if confidence < self.threshold else 0.0


@dataclass(frozen=True)
class PegTerms(Terms):
    """Charge while the stablecoin trades below a threshold: factor for each USD below it.

    Examples
    --------
    >>> PegTerms(threshold=0.98, factor=2.0).excess(0.48), PegTerms(0.98, 2.0).excess(0.99)
    (1.0, 0.0)
    """

    threshold: float
    factor: float

    def excess(self, stable_price: float) -> float:
        """The threshold less the price, times the factor; 0 at or above the threshold."""
        return max(self.threshold - stable_price, 0.0) * self.factor


def in_whole_dollars(amount: float) -> int:
    """An amount truncated toward zero, as contracts of integers tell it; one within 1e-9 of a whole dollar is that.

    Examples
    --------
    >>> in_whole_dollars(-802.7), in_whole_dollars(824.9999999999)
    (-802, 825)
    """
    return math.trunc(round(amount, 9))


T = TypeVar("T")


def read_terms(top: Section, name: str, kind: type[T], **given: Any) -> T:
    """The section of this name as the value object whose fields its keys are; `given` are fields it does not hold."""
    names = [field.name for field in fields(kind) if field.init and field.name not in given]  # type: ignore[arg-type]
    section = top.sourced(name, *names)
    numbers = {key: section.number(key) for key in names}
    with located(section):
        return kind(**numbers, **given)
