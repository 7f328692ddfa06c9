"""ISDA SIMM: the recorded cases, a plain double-loop twin for all classes, properties, and refused input."""

import datetime as dt
import json
import math
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import verify
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.dated_files import VENUES
from margincast.riskcore.portfolio.simm import MEASURES, SimmAddOns, simm_margin
from margincast.riskcore.portfolio.simm_parameters import (
    CREDIT_TENORS,
    PRODUCT_CLASSES,
    RISK_CLASSES,
    SUB_CURVES,
    TENORS,
)
from margincast.riskcore.portfolio.simm_rules_file import load_simm_rules
from margincast.riskcore.portfolio.simm_sensitivities import RISK_TYPES, Sensitivities

HERE = Path(__file__).resolve().parent
SHARED = Path(os.environ.get("MARGINCAST_SHARED", HERE.parents[1] / "shared"))
RULES = load_simm_rules(dt.date(2024, 6, 1))
NORMAL = NormalDist()
LATEST = VENUES / "simm_2023-12-02.toml"


def test_recorded_cases_of_the_reference_implementation():
    path = SHARED / "vectors" / "isda_simm_ore.json"
    if not path.is_file():
        pytest.skip(f"no venue vectors at {path}")
    content = json.loads(path.read_text(encoding="utf-8"))
    cases = [case | {"shared": content["shared"]} for case in content["cases"]]
    results = {case["id"]: verify.run_case("isda_simm_ore", case) for case in cases}
    assert len(results) >= 36
    assert {name: found for name, found in results.items() if found.verdict != "passed"} == {}


def test_rates_parameters_of_the_rule_book_are_those_of_the_reference_implementation():
    path = SHARED / "vectors" / "isda_simm_ore.json"
    if not path.is_file():
        pytest.skip(f"no venue vectors at {path}")
    given_ = json.loads(path.read_text(encoding="utf-8"))["shared"]["parameters"]["SIMM2.6_10D"]
    rates = RULES.rates
    assert rates.weights[0].tolist() == [given_["rw"][tenor] for tenor in TENORS]
    for i, a in enumerate(TENORS):
        for j, b in enumerate(TENORS):
            assert rates.tenor_correlation[i, j] == (1.0 if a == b else given_["corr"][f"{a}|{b}"])
    assert (rates.vega_weight, rates.volatility_ratio) == (given_["vrw"], given_["hvr"])
    assert rates.sub_curve_correlation == given_["phi"]
    assert (rates.delta_thresholds[0], rates.vega_thresholds[0]) == (given_["td"], given_["tv"])


# The twin: the methodology's formulas over lists of factors, one loop inside another.


def group(groups, currency):
    return next((i for i, members in enumerate(groups.members) if currency in members), groups.members.index(()))


def days(tenor):
    return int(tenor[:-1]) * {"w": 7, "m": 365 / 12, "y": 365}[tenor[-1]]


def summed(rows, key, value):
    out = defaultdict(float)
    for row in rows:
        out[key(row)] += value(row)
    return dict(sorted(out.items()))


def cr(total, threshold):
    return max(1.0, math.sqrt(abs(total) / (threshold * 1e6)))


def by_bucket(factors):
    out = defaultdict(list)
    for key, amount in factors.items():
        out[key[0]].append((key, amount))
    return out


def linear(factors, rho, gamma):
    """Factors {(bucket, ...): weighted sensitivity}; residual is added."""
    k, s = {}, {}
    for bucket, members in by_bucket(factors).items():
        square = sum(rho(a, b) * x * y for a, x in members for b, y in members)
        k[bucket] = math.sqrt(max(square, 0.0))
        s[bucket] = max(min(sum(x for _, x in members), k[bucket]), -k[bucket])
    residual = k.pop("Residual", 0.0)
    total = sum(k[b] ** 2 if b == c else gamma(b, c) * s[b] * s[c] for b in k for c in k)
    return math.sqrt(max(total, 0.0)) + residual


def curved(factors, rho, gamma):
    total = 0.0
    for part in ("Residual", None):
        chosen = {key: x for key, x in factors.items() if (key[0] == "Residual") == (part == "Residual")}
        gross = sum(abs(x) for x in chosen.values())
        if gross == 0:
            continue
        flat = {("all" if part else key[0], *key): x for key, x in chosen.items()}
        spread = linear(flat, lambda a, b: rho(a[1:], b[1:]) ** 2, lambda b, c: gamma(b, c) ** 2)
        theta = min(sum(chosen.values()) / gross, 0.0)
        lam = (NORMAL.inv_cdf(0.995) ** 2 - 1) * (1 + theta) - theta
        total += max(sum(chosen.values()) + lam * spread, 0.0)
    return total


def share(a, b):
    return min(a, b) / max(a, b)


class Twin:
    def __init__(self, rules, currency):
        self.rules, self.currency = rules, currency
        self.horizon = 1.4 * rules.margin_period_days

    def sf(self, tenor):
        return 0.5 * min(1.0, self.horizon / days(tenor))

    def sigma(self, weight):
        return weight * math.sqrt(365 / self.horizon) / NORMAL.inv_cdf(0.99)

    def total(self, book):
        out = 0.0
        for product in PRODUCT_CLASSES:
            rows = [row for row in book if row[0] == product]
            margins = {c: self.risk_class(c, [r for r in rows if RISK_TYPES[r[1]][0] == c]) for c in RISK_CLASSES}
            psi = self.rules.class_correlation
            square = sum(
                psi[i, j] * margins[a] * margins[b]
                for i, a in enumerate(RISK_CLASSES)
                for j, b in enumerate(RISK_CLASSES)
            )
            out += math.sqrt(square)
        return out

    def risk_class(self, name, rows):
        delta = [row for row in rows if RISK_TYPES[row[1]][1] == "delta"]
        vega = [row for row in rows if RISK_TYPES[row[1]][1] == "vega"]
        base = [row for row in rows if row[1] == "Risk_BaseCorr"]
        work = {
            "InterestRate": self.rates,
            "Equity": self.names,
            "Commodity": self.names,
            "FX": self.fx,
        }.get(name, self.credit)
        return work(name, delta, vega) + self.base(base)

    def rates(self, name, delta, vega):
        p = self.rules.rates
        flat = {"Risk_Inflation", "Risk_XCcyBasis", "Risk_InflationVol"}

        def key(row):
            return (row[2], row[1], "" if row[1] in flat else row[4], "" if row[1] in flat else row[5])

        def rho(a, b):
            if a == b:
                return 1.0
            kinds = {a[1], b[1]}
            if "Risk_XCcyBasis" in kinds:
                return p.basis_correlation
            if kinds & {"Risk_Inflation", "Risk_InflationVol"}:
                return p.inflation_correlation
            tenor = p.tenor_correlation[TENORS.index(a[2]), TENORS.index(b[2])]
            return tenor * (1.0 if a[3] == b[3] else p.sub_curve_correlation)

        def concentrated(rows, thresholds):
            sums = summed([r for r in rows if r[1] != "Risk_XCcyBasis"], lambda r: r[2], lambda r: r[6])
            return {c: cr(sums.get(c, 0.0), thresholds[group(p.threshold_groups, c)]) for c in {r[2] for r in rows}}

        def weight(k, factor):
            if k[1] == "Risk_XCcyBasis":
                return p.basis_weight
            if k[1] == "Risk_Inflation":
                return p.inflation_weight * factor[k[0]]
            return p.weights[group(p.volatility_groups, k[0]), TENORS.index(k[2])] * factor[k[0]]

        factor = concentrated(delta, p.delta_thresholds)
        netted = summed(delta, key, lambda r: r[6])
        found = linear(
            {k: weight(k, factor) * x for k, x in netted.items()},
            rho,
            lambda b, c: p.currency_correlation * share(factor[b], factor[c]),
        )
        factor = concentrated(vega, p.vega_thresholds)
        netted = summed(vega, key, lambda r: r[6])
        found += linear(
            {k: p.vega_weight * factor[k[0]] * x for k, x in netted.items()},
            rho,
            lambda b, c: p.currency_correlation * share(factor[b], factor[c]),
        )
        cvr = summed(vega, key, lambda r: self.sf(r[4]) * r[6])
        return found + curved(cvr, rho, lambda b, c: p.currency_correlation) / p.volatility_ratio**2

    def credit(self, name, delta, vega):
        p = self.rules.credit_qualifying if name == "CreditQualifying" else self.rules.credit_non_qualifying
        same = (lambda a, b: a[1] == b[1]) if name == "CreditQualifying" else (lambda a, b: a[3] == b[3])

        def key(row):
            return (row[3], row[2], row[4], row[5])

        def rho(a, b):
            if a == b:
                return 1.0
            return p.residual if a[0] == "Residual" else p.same_name if same(a, b) else p.different_name

        def gamma(b, c):
            return p.bucket_correlation[p.buckets.index(b), p.buckets.index(c)]

        found = 0.0
        for rows, weights, thresholds in (
            (delta, p.weights, p.delta_thresholds),
            (vega, [p.vega_weight] * len(p.buckets), [p.vega_threshold] * len(p.buckets)),
        ):
            sums = summed(rows, lambda r: (r[3], r[2]), lambda r: r[6])
            factor = {k: cr(x, thresholds[p.buckets.index(k[0])]) for k, x in sums.items()}
            ws = {
                k: weights[p.buckets.index(k[0])] * factor[k[:2]] * x
                for k, x in summed(rows, key, lambda r: r[6]).items()
            }
            found += linear(ws, lambda a, b, f=factor: rho(a, b) * share(f[a[:2]], f[b[:2]]), gamma)
        return found + curved(summed(vega, key, lambda r: self.sf(r[4]) * r[6]), rho, gamma)

    def base(self, rows):
        p = self.rules.credit_qualifying
        netted = summed(rows, lambda r: ("", r[2]), lambda r: p.base_weight * r[6])
        return linear(netted, lambda a, b: 1.0 if a == b else p.base_correlation, None)

    def names(self, name, delta, vega):
        p = self.rules.equity if name == "Equity" else self.rules.commodity

        def key(row):
            return (row[3], row[2])

        def at(values, bucket):
            return values[p.buckets.index(bucket)]

        def rho(a, b):
            return 1.0 if a == b else at(p.within, a[0])

        def gamma(b, c):
            return p.bucket_correlation[p.buckets.index(b), p.buckets.index(c)]

        def vr(row):
            return p.volatility_ratio * self.sigma(at(p.weights, row[3])) * row[6]

        def cvr(row):
            alive = 0.0 if name == "Equity" and row[3] == "12" else 1.0
            return alive * self.sf(row[4]) * self.sigma(at(p.weights, row[3])) * row[6]

        found = 0.0
        for rows, value, weights, thresholds in (
            (delta, lambda r: r[6], p.weights, p.delta_thresholds),
            (vega, vr, p.vega_weights, p.vega_thresholds),
        ):
            netted = summed(rows, key, value)
            factor = {k: cr(x, at(thresholds, k[0])) for k, x in netted.items()}
            ws = {k: at(weights, k[0]) * factor[k] * x for k, x in netted.items()}
            found += linear(ws, lambda a, b, f=factor: rho(a, b) * share(f[a], f[b]), gamma)
        return found + curved(summed(vega, key, cvr), rho, gamma)

    def fx(self, name, delta, vega):
        p = self.rules.fx
        base = group(p.volatility_groups, self.currency)

        def in_group(currency):
            return group(p.volatility_groups, currency)

        def category(currency):
            return group(p.threshold_groups, currency)

        netted = summed([r for r in delta if r[2] != self.currency], lambda r: ("", r[2]), lambda r: r[6])
        factor = {k: cr(x, p.delta_thresholds[category(k[1])]) for k, x in netted.items()}
        ws = {k: p.weights[in_group(k[1]), base] * factor[k] * x for k, x in netted.items()}

        def rho(a, b):
            among = p.correlation[base, in_group(a[1]), in_group(b[1])]
            return 1.0 if a == b else among * share(factor[a], factor[b])

        found = linear(ws, rho, None)

        def pair(row):
            return ("", "".join(sorted((row[2][:3], row[2][3:]))))

        def sigma(row):
            return self.sigma(p.weights[in_group(row[2][:3]), in_group(row[2][3:])])

        netted = summed(vega, pair, lambda r: p.volatility_ratio * sigma(r) * r[6])
        share_of = {k: cr(x, p.vega_thresholds[category(k[1][:3]), category(k[1][3:])]) for k, x in netted.items()}
        found += linear(
            {k: p.vega_weight * share_of[k] * x for k, x in netted.items()},
            lambda a, b: 1.0 if a == b else p.vega_correlation * share(share_of[a], share_of[b]),
            None,
        )
        cvr = summed(vega, pair, lambda r: self.sf(r[4]) * sigma(r) * r[6])
        return found + curved(cvr, lambda a, b: 1.0 if a == b else p.vega_correlation, lambda b, c: None)


CURRENCIES = ("USD", "EUR", "JPY", "BRL", "KRW", "ZAR")
TYPICAL = {"IR": 3e7, "Cr": 5e5, "Eq": 5e6, "Co": 2e8, "FX": 1e9}
PRODUCT_OF = {
    "InterestRate": "RatesFX",
    "FX": "RatesFX",
    "CreditQualifying": "Credit",
    "CreditNonQualifying": "Credit",
    "Equity": "Equity",
    "Commodity": "Commodity",
}


def draw_row(rng, kind, scale=1.0):
    risk_class = RISK_TYPES[kind][0]
    product = PRODUCT_OF[risk_class] if rng.random() < 0.8 else str(rng.choice(PRODUCT_CLASSES))
    name, bucket, label1, label2 = f"name {rng.integers(4)}", "", "", ""
    if kind == "Risk_FXVol":
        name = "".join(rng.choice(CURRENCIES, 2, replace=False))
    elif risk_class in ("InterestRate", "FX"):
        name = str(rng.choice(CURRENCIES))
    elif kind != "Risk_BaseCorr":
        parameters = {
            "CreditQualifying": RULES.credit_qualifying,
            "CreditNonQualifying": RULES.credit_non_qualifying,
            "Equity": RULES.equity,
            "Commodity": RULES.commodity,
        }[risk_class]
        bucket = str(rng.choice([*parameters.buckets[-4:], parameters.buckets[0]]))
    if "Credit" in kind:
        label1, label2 = str(rng.choice(CREDIT_TENORS)), str(rng.choice(["CMBX", "ABX"]))
    elif "Vol" in kind or kind == "Risk_IRCurve":
        label1 = str(rng.choice(TENORS))
        label2 = str(rng.choice(SUB_CURVES)) if kind == "Risk_IRCurve" else ""
    size = TYPICAL.get(kind[5:7], 2e7) * scale
    return (product, kind, name, bucket, label1, label2, float(rng.normal() * size))


def draw_book(seed, rows=150, kinds=tuple(RISK_TYPES), scale=1.0):
    rng = np.random.default_rng([seed, 77])
    return [draw_row(rng, str(rng.choice(kinds)), scale) for _ in range(rows)]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("currency", ["USD", "BRL"])
def test_equals_the_plain_twin(seed, currency):
    book = draw_book(seed, rows=[20, 150, 400][seed % 3], scale=[1.0, 30.0][seed % 2])
    for side, sign in (("call", 1.0), ("post", -1.0)):
        signed = [(*row[:6], sign * row[6]) for row in book]
        found = simm_margin(Sensitivities.of(book), RULES, side=side, currency=currency)
        assert found.total == pytest.approx(Twin(RULES, currency).total(signed), rel=1e-12)


def test_one_day_model_equals_the_plain_twin_without_concentration():
    rules = replace(RULES, margin_period_days=1, concentration=False)
    book = draw_book(3, 200)
    twin = Twin(rules, "USD")
    for name in ("rates", "credit_qualifying", "credit_non_qualifying", "equity", "commodity", "fx"):
        parameters = getattr(rules, name)
        wide = {
            column: np.full_like(getattr(parameters, column), 1e12)
            for column in ("delta_thresholds", "vega_thresholds")
            if hasattr(parameters, column)
        }
        wide |= {"vega_threshold": 1e12} if hasattr(parameters, "vega_threshold") else {}
        twin.rules = replace(twin.rules, **{name: replace(parameters, **wide)})
    assert simm_margin(Sensitivities.of(book), rules).total == pytest.approx(twin.total(book), rel=1e-12)


DELTA_TYPES = tuple(kind for kind, (_, measure) in RISK_TYPES.items() if measure == "delta")
SEEDS = st.integers(0, 10_000)


@settings(max_examples=15)
@given(SEEDS, st.floats(0.01, 50))
def test_scales_with_size_below_the_thresholds(seed, factor):
    book = Sensitivities.of(draw_book(seed, 60, scale=1e-5))
    one, many = (simm_margin(b, RULES).total for b in (book, book.scaled(factor)))
    assert many == pytest.approx(factor * one, rel=1e-9)


@settings(max_examples=15)
@given(SEEDS)
def test_delta_is_the_same_for_both_sides_and_curvature_is_not_below_zero(seed):
    delta = Sensitivities.of(draw_book(seed, 60, DELTA_TYPES))
    assert simm_margin(delta, RULES, side="post").total == simm_margin(delta, RULES).total
    whole = simm_margin(Sensitivities.of(draw_book(seed, 60)), RULES, side="post")
    assert (whole.measure_margin >= 0).all() and np.isfinite(whole.total)


@settings(max_examples=15)
@given(SEEDS)
def test_neither_order_nor_splitting_matters(seed):
    book = draw_book(seed, 80)
    rng = np.random.default_rng(seed)
    halves = [(*row[:6], row[6] / 2) for row in book for _ in range(2)]
    shuffled = [halves[i] for i in rng.permutation(len(halves))]
    expected = simm_margin(Sensitivities.of(book), RULES).total
    assert simm_margin(Sensitivities.of(shuffled), RULES).total == pytest.approx(expected, rel=1e-10)


@settings(max_examples=15)
@given(SEEDS)
def test_offsetting_books_need_nothing_and_classes_diversify(seed):
    book = draw_book(seed, 40)
    offset = Sensitivities.of([*book, *[(*row[:6], -row[6]) for row in book]])
    found = simm_margin(Sensitivities.of(book), RULES)
    assert simm_margin(offset, RULES).total <= 1e-12 * found.total
    assert (found.product_margin <= found.class_margin.sum(axis=1) * (1 + 1e-12)).all()
    assert (found.product_margin >= found.class_margin.max(axis=1) * (1 - 1e-12)).all()


@settings(max_examples=15)
@given(SEEDS)
def test_product_classes_add(seed):
    book = draw_book(seed, 80)
    apart = sum(
        simm_margin(Sensitivities.of([row for row in book if row[0] == product]), RULES).total
        for product in PRODUCT_CLASSES
    )
    assert simm_margin(Sensitivities.of(book), RULES).total == pytest.approx(apart, rel=1e-12)


def test_a_single_volatility_by_hand():
    """Long 1 million of a five-year EUR volatility: VRW, and SF = 7 / 1825 times 1 + lambda over HVR squared."""
    row = ("RatesFX", "Risk_IRVol", "EUR", "", "5y", "", 1e6)
    found = simm_margin(Sensitivities.of([row]), RULES)
    curvature = 1e6 * 7 / 1825 * NORMAL.inv_cdf(0.995) ** 2 / 0.47**2
    assert found.measure("RatesFX", "InterestRate", "vega") == pytest.approx(230_000, rel=1e-14)
    assert found.measure("RatesFX", "InterestRate", "curvature") == pytest.approx(curvature, rel=1e-12)
    assert found.bucket("RatesFX", "InterestRate", "curvature", "EUR") == pytest.approx(1e6 * 7 / 1825)
    assert found.bucket("RatesFX", "InterestRate", "curvature", "USD") == 0
    assert simm_margin(Sensitivities.of([row]), RULES, side="post").measure("RatesFX", "InterestRate", "curvature") == 0


def test_an_empty_book_needs_the_add_ons_only():
    found = simm_margin(Sensitivities.of([]), RULES, add_ons=SimmAddOns(fixed=5.0))
    assert (found.total, found.add_on, found.buckets) == (5.0, 5.0, ())
    assert found.measure_margin.shape == (4, 6, len(MEASURES)) and not found.measure_margin.flags.writeable
