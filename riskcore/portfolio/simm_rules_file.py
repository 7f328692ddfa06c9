"""SIMM parameters as dated TOML files: reading, checking and choosing by date."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from ..arrays import FloatArray
from ..dated_files import read_dated, rulebook_in_force
from ..toml_section import Section, located, replace_values
from .simm_parameters import (
    RESIDUAL,
    BucketParameters,
    CreditParameters,
    CurrencyGroups,
    FxParameters,
    RatesParameters,
    SimmParameters,
)

MODEL = "simm"
VENUE = "simm"
CLASSES = ("rates", "credit_qualifying", "credit_non_qualifying", "equity", "commodity", "fx")

_RATES_NUMBERS = (
    "sub_curve_correlation",
    "currency_correlation",
    "vega_weight",
    "volatility_ratio",
    "inflation_weight",
    "inflation_correlation",
    "basis_weight",
    "basis_correlation",
)
_RATES = (
    *_RATES_NUMBERS,
    "volatility_groups",
    "weights",
    "tenor_correlation",
    "threshold_groups",
    "delta_thresholds",
    "vega_thresholds",
)
_CREDIT = (
    "buckets",
    "weights",
    "vega_weight",
    "same_name",
    "different_name",
    "residual",
    "bucket_correlation",
    "delta_thresholds",
    "vega_threshold",
)
_BUCKETS = (
    "buckets",
    "weights",
    "vega_weights",
    "volatility_ratio",
    "within",
    "bucket_correlation",
    "delta_thresholds",
    "vega_thresholds",
    "no_curvature",
)
_FX = (
    "volatility_groups",
    "weights",
    "correlation",
    "vega_weight",
    "volatility_ratio",
    "vega_correlation",
    "threshold_groups",
    "delta_thresholds",
    "vega_thresholds",
)


def load_simm_rules(at: dt.date | None = None) -> SimmParameters:
    """The ten-day SIMM in force on a day (UTC); None takes the newest there is.

    Examples
    --------
    >>> rules = load_simm_rules(dt.date(2024, 6, 1))
    >>> rules.version, rules.margin_period_days
    ('2.6', 10)
    """
    return read_simm_rules(rulebook_in_force(VENUE, at).path)


def read_simm_rules(path: str | Path) -> SimmParameters:
    """Parameters of a file; a class without a section is one whose parameters are not known.

    Raises
    ------
    InputError
        A file that cannot be read or is of another model, an unknown or missing key, a figure without source and date,
        a matrix of the wrong shape, asymmetric or out of range.
    """
    top, _, effective_from = read_dated(path, MODEL, "simm", *CLASSES)
    head = top.sourced("simm", "version", "margin_period_days", "concentration", "class_correlation")
    classes = {name: _CLASS_READERS[name](top) for name in CLASSES if name in top.values}
    sourced = {name: top.part(name).told for name in ("simm", *CLASSES) if name in top.values}
    with located(head):
        return SimmParameters(
            version=head.get("version", str),
            effective_from=effective_from,
            margin_period_days=head.whole("margin_period_days"),
            class_correlation=_matrix(head, "class_correlation"),
            concentration=head.get("concentration", bool),
            sources=sourced,
            **classes,  # type: ignore[arg-type]
        )


def _rates(top: Section) -> RatesParameters:
    section = top.sourced("rates", *_RATES)
    with located(section):
        return RatesParameters(
            **{name: section.number(name) for name in _RATES_NUMBERS},
            volatility_groups=_groups(section, "volatility_groups"),
            weights=_matrix(section, "weights"),
            tenor_correlation=_matrix(section, "tenor_correlation"),
            threshold_groups=_groups(section, "threshold_groups"),
            delta_thresholds=_vector(section, "delta_thresholds"),
            vega_thresholds=_vector(section, "vega_thresholds"),
        )


def _credit_qualifying(top: Section) -> CreditParameters:
    section = top.sourced("credit_qualifying", *_CREDIT, "base_weight", "base_correlation")
    return _credit(section, False, section.number("base_weight"), section.number("base_correlation"))


def _credit_non_qualifying(top: Section) -> CreditParameters:
    return _credit(top.sourced("credit_non_qualifying", *_CREDIT), True, np.nan, np.nan)


def _credit(section: Section, same_by_label: bool, base_weight: float, base_correlation: float) -> CreditParameters:
    buckets = _names(section, "buckets")
    with located(section):
        return CreditParameters(
            buckets=buckets,
            weights=_vector(section, "weights"),
            vega_weight=section.number("vega_weight"),
            same_name=section.number("same_name"),
            different_name=section.number("different_name"),
            residual=section.number("residual"),
            bucket_correlation=_with_residual(_matrix(section, "bucket_correlation"), buckets),
            delta_thresholds=_vector(section, "delta_thresholds"),
            vega_threshold=section.number("vega_threshold"),
            same_by_label=same_by_label,
            base_weight=base_weight,
            base_correlation=base_correlation,
        )


def _equity(top: Section) -> BucketParameters:
    return _bucketed(top.sourced("equity", *_BUCKETS))


def _commodity(top: Section) -> BucketParameters:
    return _bucketed(top.sourced("commodity", *_BUCKETS))


def _bucketed(section: Section) -> BucketParameters:
    buckets = _names(section, "buckets")
    with located(section):
        return BucketParameters(
            buckets=buckets,
            weights=_vector(section, "weights"),
            vega_weights=_vector(section, "vega_weights"),
            volatility_ratio=section.number("volatility_ratio"),
            within=_vector(section, "within"),
            bucket_correlation=_with_residual(_matrix(section, "bucket_correlation"), buckets),
            delta_thresholds=_vector(section, "delta_thresholds"),
            vega_thresholds=_vector(section, "vega_thresholds"),
            no_curvature=_names(section, "no_curvature"),
        )


def _fx(top: Section) -> FxParameters:
    section = top.sourced("fx", *_FX)
    layers = section.get("correlation", list)
    with located(section):
        return FxParameters(
            volatility_groups=_groups(section, "volatility_groups"),
            weights=_matrix(section, "weights"),
            correlation=np.array([_rows(section, f"correlation[{i}]", rows) for i, rows in enumerate(layers)]),
            vega_weight=section.number("vega_weight"),
            volatility_ratio=section.number("volatility_ratio"),
            vega_correlation=section.number("vega_correlation"),
            threshold_groups=_groups(section, "threshold_groups"),
            delta_thresholds=_vector(section, "delta_thresholds"),
            vega_thresholds=_matrix(section, "vega_thresholds"),
        )


_CLASS_READERS = {
    "rates": _rates,
    "credit_qualifying": _credit_qualifying,
    "credit_non_qualifying": _credit_non_qualifying,
    "equity": _equity,
    "commodity": _commodity,
    "fx": _fx,
}


def _with_residual(matrix: FloatArray, buckets: tuple[str, ...]) -> FloatArray:
    """The published matrix leaves the residual bucket out, which must be the last one: it is put in uncorrelated."""
    if RESIDUAL not in buckets or len(matrix) == len(buckets):
        return matrix
    whole = np.eye(len(matrix) + 1)
    whole[:-1, :-1] = matrix
    return whole


def _vector(section: Section, key: str) -> FloatArray:
    return np.array(section.numbers(key))


def _matrix(section: Section, key: str) -> FloatArray:
    return _rows(section, key, section.get(key, list))


def _rows(section: Section, key: str, rows: object) -> FloatArray:
    if not isinstance(rows, list) or not rows:
        raise section.error("must be given as a list of rows", key, rows)
    named = replace_values(section, {f"{key}[{i}]": row for i, row in enumerate(rows)})
    read = [named.numbers(name) for name in named.values]
    for i, row in enumerate(read):
        if len(row) != len(read[0]):
            raise section.error(f"must have {len(read[0])} figures as the first row has", f"{key}[{i}]", len(row))
    return np.array(read)


def _names(section: Section, key: str) -> tuple[str, ...]:
    names = section.get(key, list)
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name or name in names[:i]:
            raise section.error("must be a name, given once", f"{key}[{i}]", name)
    return tuple(names)


def _groups(section: Section, key: str) -> CurrencyGroups:
    part = section.part(key)
    return CurrencyGroups(tuple(part.values), tuple(_names(part, name) for name in part.values))
