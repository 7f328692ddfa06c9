"""ISDA SIMM: initial margin of a book of sensitivities, told by product class, risk class, measure and bucket.

Structure of the ISDA SIMM methodology, version 2.6: the margins of a risk class (delta, vega, curvature, base
correlation) add; risk classes of a product class aggregate with psi; product classes add.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ..arrays import FloatArray, frozen
from ..errors import InputError
from .simm_aggregation import Aggregate, WeightedSensitivities, aggregate, aggregate_curvature
from .simm_parameters import PRODUCT_CLASSES, RISK_CLASSES, SimmParameters
from .simm_sensitivities import BASE, BUCKET_TYPES, DELTA, RISK_TYPES, VEGA, RiskFactors, Sensitivities
from .simm_weights import (
    Setting,
    base_correlation,
    bucket_curvature,
    bucket_delta,
    bucket_vega,
    credit_curvature,
    credit_delta,
    credit_vega,
    fx_curvature,
    fx_delta,
    fx_vega,
    rates_curvature,
    rates_delta,
    rates_vega,
)

CALL, POST = "call", "post"
CURVATURE = "curvature"
MEASURES = (DELTA, VEGA, CURVATURE, BASE)

Weight = Callable[[RiskFactors, Any, Setting], WeightedSensitivities]
_CREDIT: dict[str, Weight] = {DELTA: credit_delta, VEGA: credit_vega, CURVATURE: credit_curvature}
_BUCKETS: dict[str, Weight] = {DELTA: bucket_delta, VEGA: bucket_vega, CURVATURE: bucket_curvature}
_CLASSES: dict[str, tuple[str, dict[str, Weight]]] = {
    "InterestRate": ("rates", {DELTA: rates_delta, VEGA: rates_vega, CURVATURE: rates_curvature}),
    "CreditQualifying": ("credit_qualifying", {**_CREDIT, BASE: base_correlation}),
    "CreditNonQualifying": ("credit_non_qualifying", _CREDIT),
    "Equity": ("equity", _BUCKETS),
    "Commodity": ("commodity", _BUCKETS),
    "FX": ("fx", {DELTA: fx_delta, VEGA: fx_vega, CURVATURE: fx_curvature}),
}


class BucketMargin(NamedTuple):
    """K of one bucket; `bucket` is the currency for interest rates and "" where a class has one bucket."""

    product_class: str
    risk_class: str
    measure: str
    bucket: str
    margin: float


@dataclass(frozen=True)
class SimmAddOns:
    """Additional margin that regulators or the parties ask for.

    Parameters
    ----------
    multipliers
        Factor of at least 1 on the margin of a product class.
    notionals
        (notional, per cent of it) of products that are charged so.
    fixed
        Amount that is added.

    Examples
    --------
    >>> SimmAddOns({"Equity": 0.9})
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row Equity, column multipliers: must be at least 1 (found 0.9)
    """

    multipliers: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    notionals: tuple[tuple[float, float], ...] = ()
    fixed: float = 0.0

    def __post_init__(self) -> None:
        for name, factor in self.multipliers.items():
            if name not in PRODUCT_CLASSES:
                raise InputError("is not a product class", row=name, column="multipliers", value=name)
            if not 1 <= factor < np.inf:
                raise InputError("must be at least 1", row=name, column="multipliers", value=factor)
        for row, pair in enumerate(self.notionals):
            if not all(0 <= value < np.inf for value in pair):
                raise InputError("must be a notional and a percentage, not below zero", row=row, column="notionals")
        if not 0 <= self.fixed < np.inf:
            raise InputError("must not be below zero", column="fixed", value=self.fixed)

    def amount(self, product_margin: FloatArray) -> float:
        """What they add to the margins of the product classes."""
        extra = [self.multipliers.get(name, 1.0) - 1.0 for name in PRODUCT_CLASSES]
        scaled = float(np.sum(np.array(extra) * product_margin))
        return scaled + sum(notional * percent / 100 for notional, percent in self.notionals) + self.fixed


@dataclass(frozen=True)
class SimmMargin:
    """Margin and its parts, in the calculation currency.

    Parameters
    ----------
    version, side, currency
        What it was computed under.
    measure_margin
        By `PRODUCT_CLASSES`, `RISK_CLASSES` and `MEASURES`; shape (4, 6, 4).
    class_margin
        Sums over measures; shape (4, 6).
    product_margin
        Risk classes aggregated with psi; shape (4,).
    buckets
        K of every bucket.
    add_on
        Additional margin.
    """

    version: str
    side: str
    currency: str
    measure_margin: FloatArray
    class_margin: FloatArray
    product_margin: FloatArray
    buckets: tuple[BucketMargin, ...]
    add_on: float

    def __post_init__(self) -> None:
        for name in ("measure_margin", "class_margin", "product_margin"):
            object.__setattr__(self, name, frozen(getattr(self, name), np.float64))

    @property
    def total(self) -> float:
        """Sum over product classes and the add-on."""
        return float(np.sum(self.product_margin)) + self.add_on

    def measure(self, product_class: str, risk_class: str, measure: str) -> float:
        """Margin of one measure of one risk class."""
        place = PRODUCT_CLASSES.index(product_class), RISK_CLASSES.index(risk_class), MEASURES.index(measure)
        return float(self.measure_margin[place])

    def bucket(self, product_class: str, risk_class: str, measure: str, bucket: str) -> float:
        """K of a bucket; zero for one the book does not touch."""
        wanted = (product_class, risk_class, measure, bucket)
        return sum(found.margin for found in self.buckets if found[:4] == wanted)


def simm_margin(
    book: Sensitivities,
    rules: SimmParameters,
    *,
    side: str = CALL,
    currency: str = "USD",
    add_ons: SimmAddOns | None = None,
) -> SimmMargin:
    """Initial margin of a book.

    Parameters
    ----------
    book
        Sensitivities of the party that calls (or posts) margin.
    rules
        One version, as `load_simm_rules` gives it.
    side
        "call": what this party may call; "post": what it must post, all sensitivities with the other sign. Delta and
        vega are the same on both sides, curvature is not.
    currency
        Calculation currency, in which amounts are; its own FX sensitivity is without risk.
    add_ons
        Additional margin.

    Raises
    ------
    InputError
        A class, bucket or figure the version's rules do not have.

    Examples
    --------
    One equity delta of 1,000 per per cent in bucket 5 (weight 26 in version 2.6):

    >>> from .simm_rules_file import load_simm_rules
    >>> book = Sensitivities.of([("Equity", "Risk_Equity", "ACME", "5", "", "", 1000.0)])
    >>> simm_margin(book, load_simm_rules()).total
    26000.0
    """
    if side not in (CALL, POST):
        raise InputError(f"must be {CALL} or {POST}", column="side", value=side)
    _check_classes(book, rules)
    signed, risk_classes = book.scaled(1.0 if side == CALL else -1.0).factors, book.risk_class
    setting = Setting(rules, currency)
    measures, buckets = np.zeros((len(PRODUCT_CLASSES), len(RISK_CLASSES), len(MEASURES))), []
    for i, product in enumerate(PRODUCT_CLASSES):
        for j, risk_class in enumerate(RISK_CLASSES):
            chosen = (book.product_class == product) & (risk_classes == risk_class)
            for measure, found in _measures(risk_class, signed.rows(chosen), setting).items():
                measures[i, j, MEASURES.index(measure)] = found.margin
                named = zip(found.names, found.bucket_margin.tolist(), strict=True)
                buckets += [BucketMargin(product, risk_class, measure, name, k) for name, k in named]
    classes = np.sum(measures, axis=2)
    products = _across_classes(classes, rules)
    extra = add_ons.amount(products) if add_ons is not None else 0.0
    return SimmMargin(rules.version, side, currency, measures, classes, products, tuple(buckets), extra)


def _measures(risk_class: str, book: RiskFactors, setting: Setting) -> dict[str, Aggregate]:
    found: dict[str, Aggregate] = {}
    if not len(book):
        return found
    name, weights = _CLASSES[risk_class]
    parameters = getattr(setting.rules, name)
    kind = np.array([RISK_TYPES[str(one)][1] for one in book.risk_type])
    for measure, weight in weights.items():
        part = book.rows(kind == (VEGA if measure == CURVATURE else measure))
        if len(part):
            add = aggregate_curvature if measure == CURVATURE else aggregate
            found[measure] = add(weight(part, parameters, setting))
    if risk_class == "InterestRate" and CURVATURE in found:
        curved = found[CURVATURE]
        found[CURVATURE] = Aggregate(curved.margin / parameters.volatility_ratio**2, curved.names, curved.bucket_margin)
    return found


def _across_classes(classes: FloatArray, rules: SimmParameters) -> FloatArray:
    psi = rules.class_correlation
    if psi is None:
        if (np.count_nonzero(classes, axis=1) > 1).any():
            raise InputError(f"version {rules.version} has no correlation of risk classes", column="class_correlation")
        psi = np.eye(len(RISK_CLASSES))
    squares = [np.sum(np.multiply.outer(row, row) * psi) for row in classes]
    return np.asarray(np.sqrt(np.maximum(np.array(squares), 0.0)), dtype=np.float64)


def _check_classes(book: Sensitivities, rules: SimmParameters) -> None:
    for row, (kind, bucket) in enumerate(zip(book.risk_type.tolist(), book.bucket.tolist(), strict=True)):
        parameters = getattr(rules, _CLASSES[RISK_TYPES[kind][0]][0])
        if parameters is None:
            problem = f"the rules of version {rules.version} have no parameters for {RISK_TYPES[kind][0]}"
            raise InputError(problem, row=row, column="risk_type", value=kind)
        if kind in BUCKET_TYPES and bucket not in parameters.buckets:
            problem = f"is not a bucket of {RISK_TYPES[kind][0]}; known are {', '.join(parameters.buckets)}"
            raise InputError(problem, row=row, column="bucket", value=bucket)
