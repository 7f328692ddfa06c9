"""Sensitivities of a book in the columns of ISDA's CRIF, checked, and netted to risk factors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray, NameArray, frozen, group_sums, require
from ..errors import InputError
from .simm_parameters import CREDIT_TENORS, PRODUCT_CLASSES, SUB_CURVES, TENORS

DELTA, VEGA, BASE = "delta", "vega", "base correlation"

RISK_TYPES: dict[str, tuple[str, str]] = {
    "Risk_IRCurve": ("InterestRate", DELTA),
    "Risk_Inflation": ("InterestRate", DELTA),
    "Risk_XCcyBasis": ("InterestRate", DELTA),
    "Risk_IRVol": ("InterestRate", VEGA),
    "Risk_InflationVol": ("InterestRate", VEGA),
    "Risk_CreditQ": ("CreditQualifying", DELTA),
    "Risk_CreditVol": ("CreditQualifying", VEGA),
    "Risk_BaseCorr": ("CreditQualifying", BASE),
    "Risk_CreditNonQ": ("CreditNonQualifying", DELTA),
    "Risk_CreditVolNonQ": ("CreditNonQualifying", VEGA),
    "Risk_Equity": ("Equity", DELTA),
    "Risk_EquityVol": ("Equity", VEGA),
    "Risk_Commodity": ("Commodity", DELTA),
    "Risk_CommodityVol": ("Commodity", VEGA),
    "Risk_FX": ("FX", DELTA),
    "Risk_FXVol": ("FX", VEGA),
}
"""Risk class and measure of each risk type."""
CREDIT_TYPES = ("Risk_CreditQ", "Risk_CreditVol", "Risk_CreditNonQ", "Risk_CreditVolNonQ")
TENOR_TYPES = (
    "Risk_IRCurve",
    "Risk_IRVol",
    "Risk_InflationVol",
    "Risk_EquityVol",
    "Risk_CommodityVol",
    "Risk_FXVol",
)
BUCKET_TYPES = (*CREDIT_TYPES, "Risk_Equity", "Risk_EquityVol", "Risk_Commodity", "Risk_CommodityVol")
COLUMNS = ("product_class", "risk_type", "qualifier", "bucket", "label1", "label2")


@dataclass(frozen=True)
class RiskFactors:
    """Sensitivities of one product class; once netted one row a risk factor, columns not asked for are "".

    Parameters
    ----------
    risk_type, qualifier, bucket, label1, label2, amount
        As in `Sensitivities`; shape (n,); not checked again.
    """

    risk_type: NameArray
    qualifier: NameArray
    bucket: NameArray
    label1: NameArray
    label2: NameArray
    amount: FloatArray

    def __len__(self) -> int:
        return len(self.amount)

    def rows(self, chosen: BoolArray | IntArray) -> RiskFactors:
        """Some of the rows."""
        return RiskFactors(*(getattr(self, name)[chosen] for name in (*COLUMNS[1:], "amount")))


@dataclass(frozen=True)
class Sensitivities:
    """Sensitivities of a book, one a row; several rows of one risk factor add.

    Parameters
    ----------
    product_class
        One of `PRODUCT_CLASSES`.
    risk_type
        One of `RISK_TYPES`.
    qualifier
        Currency (rates, FX), currency pair such as "USDJPY" (FX volatility), issuer, name, commodity or index family.
    bucket
        Name of the bucket (credit, equity, commodity); "" elsewhere.
    label1
        Tenor or expiry, for types that have one.
    label2
        Sub-curve of a rate, payment currency or group name of a credit; "" elsewhere.
    amount
        Sensitivity in the calculation currency: to a basis point (rates, credit), to one per cent (equity, commodity,
        FX, base correlation). Volatility types: vega times the implied volatility (rates, credit), or the vega of one
        volatility point (equity, commodity, FX).

    Raises
    ------
    InputError
        An unknown product class, risk type, tenor or sub-curve, an absent qualifier or bucket, an amount that is not
        finite: names row, column and value.

    Examples
    --------
    >>> book = Sensitivities.of([("RatesFX", "Risk_IRCurve", "USD", "", "10y", "OIS", 1000.0)])
    >>> len(book), book.risk_class.tolist()
    (1, ['InterestRate'])
    >>> Sensitivities.of([("RatesFX", "Risk_IRCurve", "USD", "", "9y", "OIS", 1000.0)])
    Traceback (most recent call last):
    margincast.riskcore.errors.InputError: row 0, column label1: is not a tenor of Risk_IRCurve (found '9y')
    """

    product_class: NameArray
    risk_type: NameArray
    qualifier: NameArray
    bucket: NameArray
    label1: NameArray
    label2: NameArray
    amount: FloatArray

    def __post_init__(self) -> None:
        for name in COLUMNS:
            object.__setattr__(self, name, frozen(getattr(self, name), np.str_))
        object.__setattr__(self, "amount", frozen(self.amount, np.float64))
        for name in COLUMNS:
            if getattr(self, name).shape != (len(self),):
                raise InputError(f"must have {len(self)} rows as amount has", column=name)
        self._check_kinds()
        self._check_labels()

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str, str, str, str, float]]) -> Sensitivities:
        """From rows of (product class, risk type, qualifier, bucket, label 1, label 2, amount)."""
        columns = list(zip(*rows, strict=True)) if rows else [()] * 7
        return cls(*columns)

    def __len__(self) -> int:
        return len(self.amount)

    @property
    def risk_class(self) -> NameArray:
        """Risk class of each row."""
        return np.array([RISK_TYPES[str(kind)][0] for kind in self.risk_type], dtype=np.str_)

    def scaled(self, factor: float) -> Sensitivities:
        """The same book `factor` times; -1 is the book seen from the other side."""
        return replace(self, amount=self.amount * factor)

    @property
    def factors(self) -> RiskFactors:
        """The rows without their product class, as they stand."""
        return RiskFactors(*(getattr(self, name) for name in (*COLUMNS[1:], "amount")))

    def _check_kinds(self) -> None:
        require(np.isfinite(self.amount), self.amount, "must be a finite number", "amount")
        known = np.isin(self.product_class, PRODUCT_CLASSES)
        require(known, self.product_class, f"unknown; known are {', '.join(PRODUCT_CLASSES)}", "product_class")
        known = np.isin(self.risk_type, list(RISK_TYPES))
        require(known, self.risk_type, f"unknown; known are {', '.join(RISK_TYPES)}", "risk_type")
        require(self.qualifier != "", self.qualifier, "must be given", "qualifier")

    def _check_labels(self) -> None:
        for kinds, tenors in ((TENOR_TYPES, TENORS), (CREDIT_TYPES, CREDIT_TENORS)):
            self._require_for(kinds, np.isin(self.label1, tenors), "label1", "is not a tenor of")
        self._require_for(("Risk_IRCurve",), np.isin(self.label2, SUB_CURVES), "label2", "is not a sub-curve of")
        self._require_for(BUCKET_TYPES, self.bucket != "", "bucket", "must be given for")
        length = np.char.str_len(self.qualifier)
        rates = [kind for kind, (risk_class, _) in RISK_TYPES.items() if risk_class == "InterestRate"]
        self._require_for((*rates, "Risk_FX"), length == 3, "qualifier", "is not the currency of")
        self._require_for(("Risk_FXVol",), length == 6, "qualifier", "is not the currency pair of")

    def _require_for(self, kinds: Sequence[str], ok: BoolArray, column: str, problem: str) -> None:
        wrong = np.isin(self.risk_type, kinds) & ~ok
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value = str(getattr(self, column)[row])
            raise InputError(f"{problem} {self.risk_type[row]}", row=row, column=column, value=value)


def net(book: RiskFactors, *columns: str, amount: FloatArray | None = None) -> RiskFactors:
    """One factor for each combination of `columns`, sorted, with the sum of the amounts (or of those given).

    Examples
    --------
    >>> row = ("Equity", "Risk_Equity", "ACME", "1", "", "")
    >>> net(Sensitivities.of([(*row, 2.0), (*row, 3.0)]).factors, "bucket", "qualifier").amount.tolist()
    [5.0]
    """
    values = book.amount if amount is None else amount
    if not len(book):
        return RiskFactors(amount=values, **{name: getattr(book, name) for name in COLUMNS[1:]})
    keys = np.column_stack([getattr(book, name) for name in columns])
    kept, inverse = np.unique(keys, axis=0, return_inverse=True)
    sums = group_sums(np.ravel(inverse).astype(np.int64), values, len(kept))
    blank = np.full(len(kept), "")
    part = {name: kept[:, columns.index(name)] if name in columns else blank for name in COLUMNS[1:]}
    return RiskFactors(amount=sums, **part)
