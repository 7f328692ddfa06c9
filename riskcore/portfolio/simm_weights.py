"""From sensitivities to weighted sensitivities, one risk class of the ISDA SIMM at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from ..arrays import FloatArray, IntArray, NameArray, group_sums
from ..errors import InputError
from .simm_aggregation import WeightedSensitivities, concentration, concentration_share, scaling_days
from .simm_parameters import (
    RESIDUAL,
    TENORS,
    BucketParameters,
    CreditParameters,
    FxParameters,
    RatesParameters,
    SimmParameters,
)
from .simm_sensitivities import RiskFactors, net


@dataclass(frozen=True)
class Setting:
    """What all classes are computed under: the version's rules and the calculation currency."""

    rules: SimmParameters
    currency: str

    def concentrations(self, sums: FloatArray, thresholds: FloatArray) -> FloatArray:
        """Concentration factors, all one where the version goes without."""
        return concentration(sums, thresholds) if self.rules.concentration else np.ones(len(sums))

    def scaling(self, expiries: NameArray) -> FloatArray:
        """SF of each expiry: half of 14 days over its time (1.4 at one day), at most a half."""
        days = np.array([scaling_days(str(expiry)) for expiry in expiries])
        return np.asarray(0.5 * np.minimum(1.0, self.rules.curvature_days / days), dtype=np.float64)

    @property
    def volatility_per_weight(self) -> float:
        """Sigma of a volatility that is not quoted, per unit of delta risk weight: sqrt(365/14) / N^-1(0.99)."""
        return float(np.sqrt(365 / self.rules.curvature_days) / ndtri(0.99))


def rates_delta(book: RiskFactors, p: RatesParameters, setting: Setting) -> WeightedSensitivities:
    """Yield curves, inflation and cross-currency basis, one bucket a currency; basis is free of concentration."""
    factors = _rate_factors(book, "Risk_Inflation", "Risk_XCcyBasis")
    names, bucket = _places(factors.qualifier)
    kind = _kinds(factors.risk_type, "Risk_IRCurve", "Risk_Inflation", "Risk_XCcyBasis")
    tenor = _tenors(factors.label1)
    weights = p.weights[p.volatility_groups.places(factors.qualifier), tenor]
    weights = np.select([kind == 1, kind == 2], [np.float64(p.inflation_weight), np.float64(p.basis_weight)], weights)
    thresholds = p.delta_thresholds[p.threshold_groups.places(names)]
    share = setting.concentrations(group_sums(bucket, factors.amount * (kind != 2), len(names)), thresholds)
    same_curve = np.equal.outer(factors.label2, factors.label2)
    curves = p.tenor_correlation[np.ix_(tenor, tenor)] * np.where(same_curve, 1.0, p.sub_curve_correlation)
    within = _with_others(curves, kind, p.inflation_correlation, p.basis_correlation)
    amount = weights * factors.amount * np.where(kind == 2, 1.0, share[bucket])
    across = _constant(p.currency_correlation, len(names)) * concentration_share(share)
    return _known(WeightedSensitivities(amount, bucket, names, within, across))


def rates_vega(book: RiskFactors, p: RatesParameters, setting: Setting) -> WeightedSensitivities:
    """Volatilities of rates by expiry, and of inflation as one factor, one bucket a currency."""
    factors = _rate_factors(book, "Risk_InflationVol")
    names, bucket = _places(factors.qualifier)
    thresholds = p.vega_thresholds[p.threshold_groups.places(names)]
    share = setting.concentrations(group_sums(bucket, factors.amount, len(names)), thresholds)
    amount = p.vega_weight * factors.amount * share[bucket]
    across = _constant(p.currency_correlation, len(names)) * concentration_share(share)
    return _known(WeightedSensitivities(amount, bucket, names, _expiry_correlation(factors, p), across))


def rates_curvature(book: RiskFactors, p: RatesParameters, setting: Setting) -> WeightedSensitivities:
    """Curvature of rates and inflation; the margin is divided by HVR squared afterwards."""
    factors = _rate_factors(book, "Risk_InflationVol", amount=setting.scaling(book.label1) * book.amount)
    names, bucket = _places(factors.qualifier)
    across = _constant(p.currency_correlation, len(names))
    within = _expiry_correlation(factors, p)
    return _known(WeightedSensitivities(factors.amount, bucket, names, within, across))


def credit_delta(book: RiskFactors, p: CreditParameters, setting: Setting) -> WeightedSensitivities:
    """Credit spreads by issuer, tenor and label 2 (payment currency, or group name)."""
    return _credit(book, p, setting, p.weights, p.delta_thresholds)


def credit_vega(book: RiskFactors, p: CreditParameters, setting: Setting) -> WeightedSensitivities:
    """Volatilities of credit spreads, by issuer, expiry and label 2."""
    size = len(p.buckets)
    return _credit(book, p, setting, np.full(size, p.vega_weight), np.full(size, p.vega_threshold))


def credit_curvature(book: RiskFactors, p: CreditParameters, setting: Setting) -> WeightedSensitivities:
    """Curvature of credit volatilities: no weight and no concentration."""
    scaled = setting.scaling(book.label1) * book.amount
    factors = net(book, "bucket", "qualifier", "label1", "label2", amount=scaled)
    bucket = _listed(factors.bucket, p.buckets)
    return WeightedSensitivities(
        factors.amount, bucket, p.buckets, _credit_correlation(factors, bucket, p), p.bucket_correlation
    )


def base_correlation(book: RiskFactors, p: CreditParameters, setting: Setting) -> WeightedSensitivities:
    """Base correlation of credit indices, in one bucket."""
    factors = net(book, "qualifier")
    n = len(factors)
    amount = p.base_weight * factors.amount
    rho = _constant(p.base_correlation, n)
    return _known(WeightedSensitivities(amount, np.zeros(n, dtype=np.int64), ("",), rho, np.eye(1)))


def bucket_delta(book: RiskFactors, p: BucketParameters, setting: Setting) -> WeightedSensitivities:
    """Equity or commodity prices by name."""
    return _named(net(book, "bucket", "qualifier"), p, setting, p.weights, p.delta_thresholds)


def bucket_vega(book: RiskFactors, p: BucketParameters, setting: Setting) -> WeightedSensitivities:
    """Volatilities of equity or commodities by name, all expiries together: VR = HVR sigma vega, times VRW."""
    sigma = setting.volatility_per_weight * p.weights[_listed(book.bucket, p.buckets)]
    factors = net(book, "bucket", "qualifier", amount=p.volatility_ratio * sigma * book.amount)
    return _named(factors, p, setting, p.vega_weights, p.vega_thresholds)


def bucket_curvature(book: RiskFactors, p: BucketParameters, setting: Setting) -> WeightedSensitivities:
    """Curvature of equity or commodity volatilities by name."""
    sigma = setting.volatility_per_weight * p.weights[_listed(book.bucket, p.buckets)]
    sigma = np.where(np.isin(book.bucket, p.no_curvature), 0.0, sigma)
    factors = net(book, "bucket", "qualifier", amount=setting.scaling(book.label1) * sigma * book.amount)
    bucket = _listed(factors.bucket, p.buckets)
    return WeightedSensitivities(
        factors.amount, bucket, p.buckets, _name_correlation(factors, bucket, p), p.bucket_correlation
    )


def fx_delta(book: RiskFactors, p: FxParameters, setting: Setting) -> WeightedSensitivities:
    """Currencies other than the calculation currency, in one bucket."""
    factors = net(book.rows(book.qualifier != setting.currency), "qualifier")
    group = p.volatility_groups.places(factors.qualifier)
    base = int(p.volatility_groups.places([setting.currency])[0])
    thresholds = p.delta_thresholds[p.threshold_groups.places(factors.qualifier)]
    share = setting.concentrations(factors.amount, thresholds)
    amount = p.weights[group, base] * factors.amount * share
    rho = p.correlation[base][np.ix_(group, group)]
    return _one_bucket(amount, _unit_diagonal(rho) * concentration_share(share))


def fx_vega(book: RiskFactors, p: FxParameters, setting: Setting) -> WeightedSensitivities:
    """Volatilities of currency pairs, all expiries together; USDJPY and JPYUSD are one."""
    factors = _pairs(book, p.volatility_ratio * _pair_volatility(book, p, setting) * book.amount)
    first, second = (p.threshold_groups.places(part) for part in _halves(factors.qualifier))
    share = setting.concentrations(factors.amount, p.vega_thresholds[first, second])
    rho = _constant(p.vega_correlation, len(factors)) * concentration_share(share)
    return _one_bucket(p.vega_weight * factors.amount * share, rho)


def fx_curvature(book: RiskFactors, p: FxParameters, setting: Setting) -> WeightedSensitivities:
    """Curvature of the volatilities of currency pairs."""
    scaled = setting.scaling(book.label1) * _pair_volatility(book, p, setting) * book.amount
    factors = _pairs(book, scaled)
    return _one_bucket(factors.amount, _constant(p.vega_correlation, len(factors)))


def _rate_factors(book: RiskFactors, *flat: str, amount: FloatArray | None = None) -> RiskFactors:
    """Factors by type, currency, tenor and sub-curve; the types `flat` are one factor a currency."""
    one = np.isin(book.risk_type, flat)
    label1, label2 = np.where(one, TENORS[0], book.label1), np.where(one, "", book.label2)
    renamed = replace(book, label1=label1, label2=label2)
    return net(renamed, "risk_type", "qualifier", "label1", "label2", amount=amount)


def _expiry_correlation(factors: RiskFactors, p: RatesParameters) -> FloatArray:
    tenor = _tenors(factors.label1)
    kind = _kinds(factors.risk_type, "Risk_IRVol", "Risk_InflationVol")
    return _with_others(p.tenor_correlation[np.ix_(tenor, tenor)], kind, p.inflation_correlation, np.nan)


def _with_others(curves: FloatArray, kind: IntArray, inflation: float, basis: float) -> FloatArray:
    """Correlation of curve rates (kind 0) with inflation (1) and basis (2) put over that among rates."""
    by_kind = np.array([[0.0, inflation, basis], [inflation, 1.0, basis], [basis, basis, 1.0]])
    rates = np.logical_and.outer(kind == 0, kind == 0)
    return _unit_diagonal(np.where(rates, curves, by_kind[np.ix_(kind, kind)]))


def _credit(
    book: RiskFactors, p: CreditParameters, setting: Setting, weights: FloatArray, thresholds: FloatArray
) -> WeightedSensitivities:
    factors = net(book, "bucket", "qualifier", "label1", "label2")
    bucket = _listed(factors.bucket, p.buckets)
    keys = np.column_stack([factors.bucket, factors.qualifier])
    _, first, name = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    name = np.ravel(name).astype(np.int64)
    sums = group_sums(name, factors.amount, len(first))
    share = setting.concentrations(sums, thresholds[bucket[first]])[name]
    within = _credit_correlation(factors, bucket, p) * concentration_share(share)
    amount = weights[bucket] * factors.amount * share
    return WeightedSensitivities(amount, bucket, p.buckets, within, p.bucket_correlation)


def _credit_correlation(factors: RiskFactors, bucket: IntArray, p: CreditParameters) -> FloatArray:
    names = factors.label2 if p.same_by_label else factors.qualifier
    rho = np.where(np.equal.outer(names, names), p.same_name, p.different_name)
    residual = np.array([p.buckets[place] == RESIDUAL for place in bucket], dtype=bool)
    return _unit_diagonal(np.where(residual[:, None], p.residual, rho))


def _named(
    factors: RiskFactors, p: BucketParameters, setting: Setting, weights: FloatArray, thresholds: FloatArray
) -> WeightedSensitivities:
    bucket = _listed(factors.bucket, p.buckets)
    share = setting.concentrations(factors.amount, thresholds[bucket])
    within = _name_correlation(factors, bucket, p) * concentration_share(share)
    return WeightedSensitivities(
        weights[bucket] * factors.amount * share, bucket, p.buckets, within, p.bucket_correlation
    )


def _name_correlation(factors: RiskFactors, bucket: IntArray, p: BucketParameters) -> FloatArray:
    return _unit_diagonal(np.broadcast_to(p.within[bucket][:, None], (len(factors), len(factors))))


def _pair_volatility(book: RiskFactors, p: FxParameters, setting: Setting) -> FloatArray:
    first, second = (p.volatility_groups.places(part) for part in _halves(book.qualifier))
    return setting.volatility_per_weight * p.weights[first, second]


def _pairs(book: RiskFactors, amount: FloatArray) -> RiskFactors:
    first, second = _halves(book.qualifier)
    pairs = np.where(first < second, np.char.add(first, second), np.char.add(second, first))
    return net(replace(book, qualifier=pairs), "qualifier", amount=amount)


def _halves(pairs: NameArray) -> tuple[NameArray, NameArray]:
    letters = [str(pair) for pair in pairs]
    return np.array([pair[:3] for pair in letters], dtype="<U3"), np.array([pair[3:] for pair in letters], dtype="<U3")


def _one_bucket(amount: FloatArray, rho: FloatArray) -> WeightedSensitivities:
    return WeightedSensitivities(amount, np.zeros(len(amount), dtype=np.int64), ("",), rho, np.eye(1))


def _places(names: NameArray) -> tuple[tuple[str, ...], IntArray]:
    kept, place = np.unique(names, return_inverse=True)
    return tuple(map(str, kept)), place.astype(np.int64)


def _kinds(types: NameArray, *order: str) -> IntArray:
    return np.array([order.index(str(kind)) for kind in types], dtype=np.int64)


def _tenors(labels: NameArray) -> IntArray:
    return np.array([TENORS.index(str(label)) for label in labels], dtype=np.int64)


def _listed(buckets: NameArray, known: Sequence[str]) -> IntArray:
    for row, bucket in enumerate(buckets):
        if bucket not in known:
            raise InputError(f"unknown; known are {', '.join(known)}", row=row, column="bucket", value=str(bucket))
    return np.array([known.index(str(bucket)) for bucket in buckets], dtype=np.int64)


def _constant(value: float, size: int) -> FloatArray:
    return _unit_diagonal(np.full((size, size), value))


def _unit_diagonal(matrix: FloatArray) -> FloatArray:
    return np.where(np.eye(len(matrix), dtype=bool), 1.0, matrix)


def _known(weighted: WeightedSensitivities) -> WeightedSensitivities:
    """Refuse figures this version lacks (NaN) where the book needs them."""
    inside = np.equal.outer(weighted.bucket, weighted.bucket)
    missing = np.isnan(weighted.amount).any() or np.isnan(weighted.within[inside]).any()
    if missing or np.isnan(weighted.across).any():
        raise InputError("the version's rules lack a weight or correlation that this book needs", column="risk_type")
    return weighted
