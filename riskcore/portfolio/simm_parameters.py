"""Parameters of one version of the ISDA SIMM: weights, correlations, volatility ratios and concentration thresholds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from ..arrays import FloatArray, IntArray, NameArray, frozen
from ..errors import InputError

TENORS = ("2w", "1m", "3m", "6m", "1y", "2y", "3y", "5y", "10y", "15y", "20y", "30y")
CREDIT_TENORS = ("1y", "2y", "3y", "5y", "10y")
SUB_CURVES = ("OIS", "Libor1m", "Libor3m", "Libor6m", "Libor12m", "Prime", "Municipal")
RESIDUAL = "Residual"
RISK_CLASSES = ("InterestRate", "CreditQualifying", "CreditNonQualifying", "Equity", "Commodity", "FX")
PRODUCT_CLASSES = ("RatesFX", "Credit", "Equity", "Commodity")
MILLION = 1e6
"""Concentration thresholds are published in USD million (per basis point or per cent)."""


@dataclass(frozen=True)
class CurrencyGroups:
    """Groups of currencies; exactly one group has no members listed and takes all other currencies.

    Examples
    --------
    >>> groups = CurrencyGroups(("regular", "low", "high"), (("USD", "EUR"), ("JPY",), ()))
    >>> groups.places(["JPY", "USD", "ZAR"]).tolist()
    [1, 0, 2]
    """

    names: tuple[str, ...]
    members: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        listed = [currency for members in self.members for currency in members]
        if len(self.names) != len(self.members) or sum(not members for members in self.members) != 1:
            raise InputError("needs as many groups as names, one of them without members", column="members")
        for row, currency in enumerate(listed):
            if currency in listed[:row]:
                raise InputError("is in two groups", row=row, column="members", value=currency)

    def places(self, currencies: Sequence[str] | NameArray) -> IntArray:
        """The group of each currency."""
        group = {currency: place for place, members in enumerate(self.members) for currency in members}
        others = self.members.index(())
        return np.array([group.get(str(currency), others) for currency in currencies], dtype=np.int64)


@dataclass(frozen=True)
class RatesParameters:
    """Interest rate class. NaN: this version's figure is not known, and a book that needs it is refused.

    Parameters
    ----------
    volatility_groups, weights
        Groups of currencies and the delta risk weight of each at each tenor, shape (n_groups, 12), basis points.
    tenor_correlation
        Shape (12, 12), in the order of `TENORS`.
    sub_curve_correlation, currency_correlation
        phi between sub-curves of a currency, gamma between currencies.
    vega_weight, volatility_ratio
        VRW, and HVR, whose inverse square scales curvature.
    threshold_groups, delta_thresholds, vega_thresholds
        USD million per basis point, and USD million; one a group.
    inflation_weight, inflation_correlation, basis_weight, basis_correlation
        Inflation and cross-currency basis: weight, and correlation with every rate of the currency.
    """

    volatility_groups: CurrencyGroups
    weights: FloatArray
    tenor_correlation: FloatArray
    sub_curve_correlation: float
    vega_weight: float
    volatility_ratio: float
    threshold_groups: CurrencyGroups
    delta_thresholds: FloatArray
    vega_thresholds: FloatArray
    currency_correlation: float = np.nan
    inflation_weight: float = np.nan
    inflation_correlation: float = np.nan
    basis_weight: float = np.nan
    basis_correlation: float = np.nan

    def __post_init__(self) -> None:
        _positive(self, (len(self.volatility_groups.names), len(TENORS)), "weights")
        _positive(self, (len(self.threshold_groups.names),), "delta_thresholds", "vega_thresholds")
        _matrix(self, "tenor_correlation", len(TENORS))
        _above_zero(self, "vega_weight", "volatility_ratio")
        _numbers(self, 0, np.inf, "inflation_weight", "basis_weight")
        names = ("sub_curve_correlation", "currency_correlation", "inflation_correlation", "basis_correlation")
        _numbers(self, -1, 1, *names)


@dataclass(frozen=True)
class CreditParameters:
    """A credit class, qualifying or not.

    Parameters
    ----------
    buckets, weights
        Names of the buckets, `RESIDUAL` among them if there is one, and delta weights, shape (n_buckets,).
    vega_weight
        VRW.
    same_name, different_name, residual
        rho within a bucket: same issuer (non-qualifying: same group name, label 2), another one, and in the residual
        bucket.
    same_by_label
        Whether sameness is that of label 2 (non-qualifying) instead of the qualifier (qualifying).
    bucket_correlation
        gamma, shape (n_buckets, n_buckets); rows of the residual bucket are not used.
    delta_thresholds, vega_threshold
        USD million per basis point a bucket, and USD million.
    base_weight, base_correlation
        Base correlation of index tranches; qualifying only.
    """

    buckets: tuple[str, ...]
    weights: FloatArray
    vega_weight: float
    same_name: float
    different_name: float
    residual: float
    bucket_correlation: FloatArray
    delta_thresholds: FloatArray
    vega_threshold: float
    same_by_label: bool = False
    base_weight: float = np.nan
    base_correlation: float = np.nan

    def __post_init__(self) -> None:
        _positive(self, (len(self.buckets),), "weights", "delta_thresholds")
        _matrix(self, "bucket_correlation", len(self.buckets))
        _above_zero(self, "vega_weight", "vega_threshold")
        _numbers(self, 0, np.inf, "base_weight")
        _numbers(self, -1, 1, "same_name", "different_name", "residual", "base_correlation")


@dataclass(frozen=True)
class BucketParameters:
    """Equity or commodity.

    Parameters
    ----------
    buckets, weights, vega_weights
        Names, delta weights (per cent) and VRW, one a bucket.
    volatility_ratio
        HVR.
    within
        rho between two names of a bucket; shape (n_buckets,).
    bucket_correlation
        gamma, shape (n_buckets, n_buckets).
    delta_thresholds, vega_thresholds
        USD million per cent, and USD million.
    no_curvature
        Buckets whose curvature is nil (equity volatility indices).
    """

    buckets: tuple[str, ...]
    weights: FloatArray
    vega_weights: FloatArray
    volatility_ratio: float
    within: FloatArray
    bucket_correlation: FloatArray
    delta_thresholds: FloatArray
    vega_thresholds: FloatArray
    no_curvature: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _positive(self, (len(self.buckets),), "weights", "vega_weights", "delta_thresholds", "vega_thresholds")
        _array(self, "within", (len(self.buckets),), -1, 1)
        _matrix(self, "bucket_correlation", len(self.buckets))
        _above_zero(self, "volatility_ratio")
        for row, name in enumerate(self.no_curvature):
            if name not in self.buckets:
                raise InputError("is not a bucket", row=row, column="no_curvature", value=name)


@dataclass(frozen=True)
class FxParameters:
    """Foreign exchange.

    Parameters
    ----------
    volatility_groups
        Groups of currencies by volatility.
    weights
        Delta weight by the group of the currency and that of the calculation currency, per cent; shape (n, n).
    correlation
        rho by the group of the calculation currency, then of the two currencies; shape (n, n, n).
    vega_weight, volatility_ratio, vega_correlation
        VRW, HVR, and rho between currency pairs.
    threshold_groups, delta_thresholds, vega_thresholds
        USD million per cent a group, and USD million by the groups of the pair, shape (n_groups, n_groups).
    """

    volatility_groups: CurrencyGroups
    weights: FloatArray
    correlation: FloatArray
    vega_weight: float
    volatility_ratio: float
    vega_correlation: float
    threshold_groups: CurrencyGroups
    delta_thresholds: FloatArray
    vega_thresholds: FloatArray

    def __post_init__(self) -> None:
        n, m = len(self.volatility_groups.names), len(self.threshold_groups.names)
        _positive(self, (n, n), "weights")
        _array(self, "correlation", (n, n, n), -1, 1)
        _positive(self, (m,), "delta_thresholds")
        _positive(self, (m, m), "vega_thresholds")
        _above_zero(self, "vega_weight", "volatility_ratio")
        _numbers(self, -1, 1, "vega_correlation")
        for name in ("weights", "vega_thresholds"):
            if not np.array_equal(getattr(self, name), getattr(self, name).T):
                raise InputError("must be symmetric", column=name)


@dataclass(frozen=True)
class SimmParameters:
    """One version of the SIMM at one margin period of risk. A class left None is refused when a book has it.

    Parameters
    ----------
    version, effective_from
        As published.
    margin_period_days
        10, or 1: vega's volatility and curvature's scaling then use 1.4 days in place of 14.
    class_correlation
        psi between the risk classes of a product class, in the order of `RISK_CLASSES`; shape (6, 6).
    concentration
        Whether thresholds apply (the one-day model goes without).
    sources
        What each group of figures was read from.
    """

    version: str
    effective_from: dt.date
    margin_period_days: int
    rates: RatesParameters | None = None
    credit_qualifying: CreditParameters | None = None
    credit_non_qualifying: CreditParameters | None = None
    equity: BucketParameters | None = None
    commodity: BucketParameters | None = None
    fx: FxParameters | None = None
    class_correlation: FloatArray | None = None
    concentration: bool = True
    sources: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.margin_period_days not in (1, 10):
            raise InputError("must be 1 or 10", column="margin_period_days", value=self.margin_period_days)
        if self.class_correlation is not None:
            _matrix(self, "class_correlation", len(RISK_CLASSES))

    @property
    def curvature_days(self) -> float:
        """14 days at a margin period of ten, 1.4 at one."""
        return 1.4 * self.margin_period_days


def _array(holder: object, name: str, shape: tuple[int, ...], low: float, high: float) -> FloatArray:
    values = frozen(getattr(holder, name), np.float64)
    if values.shape != shape:
        raise InputError(f"must have the shape {shape}", column=name, value=values.shape)
    wrong = np.argwhere(~((values >= low) & (values <= high)))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        row = place[0] if len(place) == 1 else place
        raise InputError(f"must be in [{low:g}, {high:g}]", row=row, column=name, value=float(values[place]))
    object.__setattr__(holder, name, values)
    return values


def _positive(holder: object, shape: tuple[int, ...], *names: str) -> None:
    for name in names:
        _array(holder, name, shape, np.finfo(float).tiny, np.finfo(float).max)


def _matrix(holder: object, name: str, size: int) -> None:
    values = _array(holder, name, (size, size), -1, 1)
    wrong = np.argwhere((values != values.T) | (np.eye(size, dtype=bool) & (values != 1)))
    if len(wrong):
        place = (int(wrong[0][0]), int(wrong[0][1]))
        raise InputError(
            "must be symmetric with ones on the diagonal", row=place, column=name, value=float(values[place])
        )


def _numbers(holder: object, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(holder, name)
        if not np.isnan(value) and not low <= value <= high:
            raise InputError(f"must be in [{low:g}, {high:g}]", column=name, value=value)


def _above_zero(holder: object, *names: str) -> None:
    for name in names:
        value = getattr(holder, name)
        if not 0 < value < np.inf:
            raise InputError("must be above zero", column=name, value=value)
