"""ISDA SIMM: what is refused, of sensitivities and of rule-books, and which version is in force."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest

from margincast.riskcore.dated_files import VENUES
from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.simm import SimmAddOns, simm_margin
from margincast.riskcore.portfolio.simm_parameters import (
    CurrencyGroups,
    RatesParameters,
    SimmParameters,
)
from margincast.riskcore.portfolio.simm_rules_file import load_simm_rules, read_simm_rules
from margincast.riskcore.portfolio.simm_sensitivities import Sensitivities

RULES = load_simm_rules(dt.date(2024, 6, 1))
LATEST = VENUES / "simm_2023-12-02.toml"

GOOD = ("RatesFX", "Risk_IRCurve", "USD", "1", "10y", "OIS", 1.0)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, "Rates", "row 1, column product_class: unknown; known are RatesFX"),
        (1, "Risk_Other", "row 1, column risk_type: unknown; known are Risk_IRCurve"),
        (2, "", "row 1, column qualifier: must be given"),
        (2, "DOLLAR", "row 1, column qualifier: is not the currency of Risk_IRCurve .found 'DOLLAR'."),
        (4, "9y", "row 1, column label1: is not a tenor of Risk_IRCurve .found '9y'."),
        (5, "SOFR", "row 1, column label2: is not a sub-curve of Risk_IRCurve .found 'SOFR'."),
        (6, math.nan, "row 1, column amount: must be a finite number .found nan."),
        (6, math.inf, "row 1, column amount: must be a finite number .found inf."),
    ],
)
def test_a_wrong_sensitivity_is_named(place, value, message):
    wrong = [*GOOD]
    wrong[place] = value
    with pytest.raises(InputError, match=message):
        Sensitivities.of([GOOD, tuple(wrong)])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("Credit", "Risk_CreditQ", "A", "", "5y", "", 1.0), "row 0, column bucket: must be given for Risk_CreditQ"),
        (("Credit", "Risk_CreditQ", "A", "1", "6m", "", 1.0), "row 0, column label1: is not a tenor of Risk_CreditQ"),
        (("RatesFX", "Risk_FXVol", "EUR", "", "1y", "", 1.0), "qualifier: is not the currency pair of Risk_FXVol"),
        (("Equity", "Risk_EquityVol", "A", "1", "", "", 1.0), "label1: is not a tenor of Risk_EquityVol"),
    ],
)
def test_what_a_risk_type_needs(row, message):
    with pytest.raises(InputError, match=message):
        Sensitivities.of([row])


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(InputError, match="column label2: must have 1 rows"):
        Sensitivities(["RatesFX"], ["Risk_FX"], ["EUR"], [""], [""], [], [1.0])


def test_what_the_rules_lack_is_refused():
    book = Sensitivities.of([GOOD, ("Equity", "Risk_Equity", "ACME", "13", "", "", 1.0)])
    with pytest.raises(InputError, match="row 1, column bucket: is not a bucket of Equity; known are 1, .*found '13'"):
        simm_margin(book, RULES)
    with pytest.raises(InputError, match="row 1, column risk_type: .*version 2.6 have no parameters for Equity"):
        simm_margin(book, replace(RULES, equity=None))
    with pytest.raises(InputError, match="column side: must be call or post"):
        simm_margin(book, RULES, side="long")
    plain = replace(RULES, rates=replace(RULES.rates, inflation_weight=math.nan, currency_correlation=math.nan))
    both = replace(RULES, class_correlation=None)
    one = Sensitivities.of([GOOD])
    assert simm_margin(one, plain).total == simm_margin(one, both).total == 60.0
    for extra in (
        ("RatesFX", "Risk_Inflation", "USD", "", "", "", 1.0),
        ("RatesFX", "Risk_IRCurve", "EUR", "1", "10y", "OIS", 1.0),
    ):
        with pytest.raises(InputError, match="lack a weight or correlation that this book needs"):
            simm_margin(Sensitivities.of([GOOD, extra]), plain)
    with pytest.raises(InputError, match=r"version 2.6 has no correlation of risk classes"):
        simm_margin(Sensitivities.of([GOOD, ("RatesFX", "Risk_FX", "EUR", "", "", "", 1.0)]), both)


@pytest.mark.parametrize(
    ("add_ons", "message"),
    [
        ({"multipliers": {"Bonds": 1.1}}, "is not a product class"),
        ({"multipliers": {"Equity": math.nan}}, "must be at least 1"),
        ({"notionals": ((1.0, 2.0), (1.0, -2.0))}, "row 1, column notionals"),
        ({"fixed": -1.0}, "column fixed: must not be below zero"),
    ],
)
def test_wrong_add_ons_are_refused(add_ons, message):
    with pytest.raises(InputError, match=message):
        SimmAddOns(**add_ons)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('model = "simm"', 'model = "span"', "the rules asked for are of the model simm"),
        ('model = "simm"\n', "", "column model: .*found 'tiered'"),
        ("[rates]", "[bonds]\n[rates]", "column bonds: unknown key"),
        ("vega_weight = 0.23", "vega_wait = 0.23", "column rates vega_wait: unknown key"),
        ("vega_weight = 0.23", "", "column rates vega_weight: must be given as a number"),
        ("vega_weight = 0.23", 'vega_weight = "high"', "rates vega_weight: must be given as a number .found 'high'."),
        ("vega_weight = 0.23", "vega_weight = -0.23", "rates vega_weight: must be above zero"),
        (
            "sub_curve_correlation = 0.993",
            "sub_curve_correlation = 9.93",
            r"sub_curve_correlation: must be in \[-1, 1\]",
        ),
        ("[109, 105,", "[-109, 105,", r"row \(0, 0\), column rates weights: must be in .*found -109.0"),
        ("[109, 105, ", "[109, ", r"rates weights\[1\]: must have 11 figures as the first row has"),
        ("[1.00, 0.77,", "[1.00, 0.78,", r"tenor_correlation: must be symmetric with ones .*found 0.78"),
        ("[1.00, 0.77,", "[0.90, 0.77,", "tenor_correlation: must be symmetric with ones on the diagonal"),
        (
            "delta_thresholds = [330, 130, 61, 30]",
            "delta_thresholds = [330, 130, 61]",
            "rates delta_thresholds: must have the shape",
        ),
        ('low = ["JPY"]', 'low = ["JPY", "USD"]', "column rates members: is in two groups .found 'USD'."),
        ("high = []", 'high = ["ZAR"]', "one of them without members"),
        ("margin_period_days = 10", "margin_period_days = 5", "simm margin_period_days: must be 1 or 10"),
        ("margin_period_days = 10", "margin_period_days = 1.5", "margin_period_days: must be given as a int"),
        ('no_curvature = ["12"]', 'no_curvature = ["99"]', "no_curvature: is not a bucket .found '99'."),
        (
            '"11", "12", "Residual"]\nweights = [75',
            '"11", "11", "Residual"]\nweights = [75',
            r"buckets\[11\]: must be a name, given once",
        ),
        ("[[0.50, 0.25], [0.25, -0.05]]", "[0.50, 0.25]", r"fx correlation\[0\].*"),
        (
            "weights = [[7.4, 14.7], [14.7, 21.4]]",
            "weights = [[7.4, 14.7], [14.8, 21.4]]",
            "fx weights: must be symmetric",
        ),
        ("weights = [[7.4, 14.7], [14.7, 21.4]]", "weights = 7.4", "fx weights: must be given as a list"),
        (
            'date = 2023-12-02\nsource = "ISDA SIMM v2.6, section K',
            'source = "ISDA SIMM v2.6, section K',
            "simm date: must be given",
        ),
        (
            'source = "ISDA SIMM v2.6, section K, paragraph 88, by the two transcriptions of the note."',
            "",
            "simm source: must be given",
        ),
    ],
)
def test_a_malformed_rule_book_is_refused(tmp_path, old, new, message):
    text = LATEST.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "simm_2024-01-01.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message) as found:
        read_simm_rules(path)
    assert "\n" not in str(found.value) and str(path) in str(found.value)


def test_a_class_without_a_section_has_no_parameters(tmp_path):
    text = LATEST.read_text(encoding="utf-8")
    path = tmp_path / "simm_2024-01-01.toml"
    path.write_text(text[: text.index("[fx]")], encoding="utf-8")
    rules = read_simm_rules(path)
    assert rules.fx is None and rules.equity is not None
    assert rules.sources.keys() == {"simm", *(name for name in RULES.sources if name not in ("simm", "fx"))}


def test_versions_are_those_of_the_day():
    assert load_simm_rules(dt.date(2021, 1, 1)).version == "2.3"
    assert load_simm_rules().version == "2.6"
    with pytest.raises(InputError, match="is before the first simm rule-book"):
        load_simm_rules(dt.date(2020, 1, 1))


def test_currency_groups_need_one_open_group():
    for members in (((), ()), (("USD",), ("EUR",))):
        with pytest.raises(InputError, match="one of them without members"):
            CurrencyGroups(("a", "b"), members)


def test_parameters_are_frozen_copies():
    weights = np.ones((1, 12))
    every = CurrencyGroups(("every",), ((),))
    rates = RatesParameters(every, weights, np.eye(12), 0.9, 0.2, 0.5, every, [1.0], [1.0])
    rules = SimmParameters("own", dt.date(2024, 1, 1), 10, rates)
    before = simm_margin(Sensitivities.of([GOOD]), rules).total
    weights[:] = 7.0
    assert simm_margin(Sensitivities.of([GOOD]), rules).total == before == 1.0
