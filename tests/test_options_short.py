"""Short options on their own: figures worked by hand from each venue's page, and malformed rule-books."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.dated_files import VENUES
from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.options.short_option import (
    ShortOptionRules,
    ShortRate,
    load_short_option_rules,
    read_short_option_rules,
)

DERIBIT, AEVO = load_short_option_rules("deribit_options"), load_short_option_rules("aevo_options")
EQUITY = load_short_option_rules("regt_options", "equity")
WORKED = [
    # Deribit, coin: max(0.15 - OTM / S, 0.1) + mark; 0.075 + mark; puts max(0.075, 0.075 * mark) + mark
    (DERIBIT, CALL, 60_000.0, 60_000.0, 0.05, 0.20, 0.125),
    (DERIBIT, CALL, 61_200.0, 60_000.0, 0.04, 0.17, 0.115),
    (DERIBIT, CALL, 90_000.0, 60_000.0, 0.001, 0.101, 0.076),
    (DERIBIT, PUT, 58_800.0, 60_000.0, 0.03, 0.16, 0.105),
    (DERIBIT, PUT, 300_000.0, 60_000.0, 4.0, 4.3, 4.3),
    # Aevo, dollars: max(0.15 - OTM / S, 0.1) * S + mark; 0.1 * S + mark; puts max(0.1 * S, 0.1 * mark) + mark
    (AEVO, CALL, 2_000.0, 2_000.0, 100.0, 400.0, 300.0),
    (AEVO, CALL, 2_060.0, 2_000.0, 80.0, 320.0, 280.0),
    (AEVO, PUT, 1_500.0, 2_000.0, 5.0, 205.0, 205.0),
    (AEVO, PUT, 6_000.0, 2_000.0, 4_000.0, 4_400.0, 4_400.0),
    # Lean's tests and the Cboe manual: premium + max(20% S - OTM, 10% S or K)
    (EQUITY, CALL, 192.0, 196.0, 14.0, 53.2, 53.2),
    (EQUITY, PUT, 192.0, 182.0, 14.0, 50.4, 50.4),
    (EQUITY, PUT, 300.0, 415.0, 0.45, 30.45, 30.45),
    (EQUITY, CALL, 600.0, 415.0, 0.05, 41.55, 41.55),
]


@pytest.mark.parametrize(("rules", "right", "strike", "spot", "premium", "initial", "maintenance"), WORKED)
def test_worked_by_hand(
    rules: ShortOptionRules, right: int, strike: float, spot: float, premium: float, initial: float, maintenance: float
) -> None:
    assert float(rules.initial(right, strike, spot, premium)) == pytest.approx(initial, rel=1e-12)
    assert float(rules.maintenance(right, strike, spot, premium)) == pytest.approx(maintenance, rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([DERIBIT, AEVO, EQUITY]),
    st.sampled_from([CALL, PUT]),
    st.floats(1.0, 1e5),
    st.floats(0.2, 5.0),
    st.floats(0.0, 3.0),
    st.floats(-50.0, 50.0),
)
def test_properties(rules: ShortOptionRules, right: int, spot: float, ratio: float, paid: float, held: float) -> None:
    scale = 1.0 if rules.settlement == "coin" else spot
    option = (right, spot * ratio, spot, paid * scale)
    initial, maintenance = rules.position(held, *option)
    assert initial >= maintenance >= max(-held, 0.0) * option[3]
    assert (initial == 0) == (held >= 0)
    richer = (right, spot * ratio, spot, (paid + 0.5) * scale)
    assert rules.maintenance(*richer) >= rules.maintenance(*option) + 0.5 * scale * (1 - 1e-9)
    one, two = rules.position(-1.0, *option), rules.position(-2.0, *option)
    assert (two[0], two[1]) == (2 * one[0], 2 * one[1])
    factor = 1.0 if rules.settlement == "coin" else 8.0
    larger = rules.initial(right, 8 * spot * ratio, 8 * spot, factor * option[3])
    assert float(larger) == pytest.approx(factor * float(rules.initial(*option)), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "bad", "told"),
    [
        ("right", [1, 0], r"row 1, column right: must be 1 \(call\) or -1 \(put\)"),
        ("strike", [1.0, -1.0], "row 1, column strike: must be positive"),
        ("spot", [np.nan, 1.0], "row 0, column spot: must be positive"),
        ("premium", [0.1, np.nan], "row 1, column premium: must not be negative"),
        ("premium", [-0.1, 0.1], "row 0, column premium: must not be negative"),
    ],
)
def test_bad_input(name: str, bad: object, told: str) -> None:
    good: dict[str, Any] = {"right": 1, "strike": 100.0, "spot": 100.0, "premium": 0.1}
    with pytest.raises(InputError, match=told):
        DERIBIT.maintenance(**good | {name: bad})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("of_spot = 0.15", "of_spot = 1.5", r"class.any.call_initial of_spot: must be in \[0, 1\]"),
        ("of_spot = 0.15", "of_spott = 0.15", "unknown key"),
        ("of_spot = 0.15\n", "", "must be given as a number"),
        ("least_of_spot = 0.10", "least_of_spot = -0.10", r"must be in \[0, 1\]"),
        ("source = ", "sauce = ", "unknown key"),
        ("date = 2026-11-21", "", "must be given as a date"),
        ('settlement = "coin"', 'settlement = "euro"', "settlement: must be one of quote, coin"),
        ('settlement = "coin"', "", "settlement: must be given as a str"),
        ("[class.any.put_initial]", "[class.any.put_initials]", "unknown key"),
        ("class.any.", "class.some.", "no such class; there are some"),
        ('model = "short_option"', "", "the rules asked for are of the model short_option"),
        ("effective_from = 2019-01-01", 'effective_from = "2019"', "effective_from: must be given as a date"),
    ],
)
def test_malformed_rule_books(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = (VENUES / "deribit_options_2019-01-01.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "deribit_options_2019-01-01.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(InputError, match=told):
        read_short_option_rules(path)


def test_rules_in_force_and_values_that_check_themselves() -> None:
    assert DERIBIT.settlement == "coin" and DERIBIT.effective_from == dt.date(2019, 1, 1)
    with pytest.raises(InputError, match="is before the first"):
        load_short_option_rules("aevo_options", at=dt.date(2020, 1, 1))
    with pytest.raises(InputError, match=r"column least_of_strike: must be in \[0, 1\]"):
        ShortRate(0.1, least_of_strike=2.0)
    with pytest.raises(InputError, match="column settlement"):
        ShortOptionRules("v", dt.date(2020, 1, 1), "euro", *[ShortRate(0.1)] * 4)
