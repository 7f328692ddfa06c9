"""Implied volatilities recomputed from chains: there and back, against QuantLib, whatever the unit and order."""

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st
from option_chain_cases import NOW, chain_of, rows_of, smile_of

from margincast.features.options.chain_rows import chain_from_rows
from margincast.features.options.implied import implied_surface
from margincast.features.options.parity_forward import parity_forward
from margincast.features.options.smile import smiles
from margincast.riskcore.errors import InputError

SMILE = smile_of(0.6, -0.05, 0.04)


def at_the_surface(chain, volatility=SMILE):
    return volatility(np.log(chain.strike / chain.forward), chain.years)


@pytest.mark.parametrize("unit", ["coin", "quote"])
def test_the_volatilities_that_made_the_prices_come_back(unit):
    surface = implied_surface(chain_of(SMILE, unit=unit))
    told = surface.vega > 1e-4
    assert told.mean() > 0.7
    for found, moved in ((surface.mark, 0.0), (surface.bid, -0.005), (surface.ask, 0.005)):
        np.testing.assert_allclose(found[told], (at_the_surface(surface.chain) + moved)[told], rtol=1e-8)


def test_volatility_delta_and_vega_agree_with_quantlib():
    surface = implied_surface(chain_of(SMILE))
    chain = surface.chain
    for row in np.flatnonzero(surface.sound)[::17]:
        kind = ql.Option.Call if chain.right[row] > 0 else ql.Option.Put
        f, k, t = float(chain.forward[row]), float(chain.strike[row]), float(chain.years[row])
        price = float(chain.mark[row]) * f
        deviation = ql.blackFormulaImpliedStdDev(kind, k, f, price, 1.0, 0.0, 0.3, 1e-14)
        assert surface.mark[row] == pytest.approx(deviation / np.sqrt(t), rel=1e-8)
        greeks = ql.BlackCalculator(ql.PlainVanillaPayoff(kind, k), f, deviation, 1.0)
        assert surface.delta[row] == pytest.approx(greeks.deltaForward(), abs=1e-9)
        assert surface.vega[row] * f == pytest.approx(greeks.vega(t), rel=1e-8)


@settings(max_examples=40)
@given(
    level=st.floats(0.2, 2.0),
    lean=st.floats(-0.1, 0.1),
    forward=st.floats(1e-3, 1e6),
    days=st.integers(1, 400),
    seed=st.integers(0, 2**16),
)
def test_put_and_call_agree_and_the_order_of_rows_does_not_matter(level, lean, forward, days, seed):
    rows = rows_of(smile_of(level, lean, 0.02), days=(days,), forward=forward, strikes=11, reach=2.0)
    order = np.random.default_rng(seed).permutation(len(rows["strike"]))
    one = implied_surface(chain_from_rows("X", NOW, rows))
    other = implied_surface(chain_from_rows("X", NOW, {name: values[order] for name, values in rows.items()}))
    assert np.array_equal(one.mark, other.mark, equal_nan=True)
    puts, calls = one.mark[::2], one.mark[1::2]
    np.testing.assert_allclose(puts, calls, rtol=1e-6)
    np.testing.assert_allclose(one.delta[1::2] - one.delta[::2], 1.0, atol=1e-6)
    assert (one.bid[one.sound] < one.mark[one.sound]).all() and (one.mark[one.sound] < one.ask[one.sound]).all()


@given(
    forward=st.floats(1.0, 1e5),
    ratio=st.lists(st.floats(0.5, 2.0), min_size=1, max_size=12, unique=True),
    unit=st.sampled_from(["coin", "quote"]),
    seed=st.integers(0, 2**16),
)
def test_parity_gives_the_forward_back_from_any_prices_that_keep_it(forward, ratio, unit, seed):
    strike = forward * np.array(ratio)
    put = np.random.default_rng(seed).uniform(0, 0.1, len(strike)) * (1.0 if unit == "coin" else forward)
    call = put + (1.0 - strike / forward if unit == "coin" else forward - strike)
    assert parity_forward(strike, call, put, unit) == pytest.approx(forward, rel=1e-9)


def test_missing_forwards_are_inferred_and_said():
    rows = rows_of(SMILE)
    whole = chain_from_rows("BTC", NOW, rows)
    without = chain_from_rows("BTC", NOW, rows | {"forward": np.nan})
    assert without.forward_inferred.all() and not whole.forward_inferred.any()
    np.testing.assert_allclose(without.forward, whole.forward, rtol=1e-9)
    assert implied_surface(without).quality.counts["forward_inferred"] == len(without)
    some = np.full(len(rows["forward"]), 50_010.0)
    some[::3] = np.nan
    partly = chain_from_rows("BTC", NOW, rows | {"forward": some})
    assert partly.forward_inferred.sum() == len(some[::3])
    assert (partly.forward == 50_010.0).all()  # told for other rows of the expiry: parity is not asked


def test_a_forward_that_cannot_be_inferred_stays_missing_and_its_rows_are_not_sound():
    rows = {name: values[rows_of(SMILE)["right"] > 0] for name, values in rows_of(SMILE).items()}
    surface = implied_surface(chain_from_rows("BTC", NOW, rows | {"forward": np.nan}))
    assert np.isnan(surface.chain.forward).all() and not surface.sound.any() and np.isnan(surface.mark).all()
    assert surface.quality.counts["no_forward"] == len(surface.chain)


def test_the_mid_stands_for_a_mark_that_is_not_there_and_is_counted():
    surface = implied_surface(chain_of(SMILE, more={"mark": np.nan}, width=0.001))
    assert surface.quality.counts["no_mark"] == len(surface.chain) and surface.quality.sound_share > 0.4
    np.testing.assert_allclose(surface.mark[surface.sound], at_the_surface(surface.chain)[surface.sound], atol=1e-5)


def test_every_quality_rule_counts_its_row_and_no_other():
    rows = {
        name: values[rows_of(SMILE, days=(30,))["right"] > 0] for name, values in rows_of(SMILE, days=(30,)).items()
    }
    clean = implied_surface(chain_from_rows("BTC", NOW, rows)).quality
    assert clean.counts["no_bid"] == clean.counts["crossed"] == clean.counts["below_intrinsic"] == 0
    changed = {name: values.copy() for name, values in rows.items()} | {"quoted": np.full(41, NOW)}
    changed["bid"][22], changed["ask"][23] = np.nan, 0.0
    changed["bid"][24] = changed["ask"][24] * 1.01
    changed["mark"][5] = 0.9 * (1.0 - changed["strike"][5] / 50_000.0)
    changed["mark"][25], changed["mark"][26] = 0.0, 1.0
    changed["quoted"][27] -= np.timedelta64(11, "m")
    surface = implied_surface(chain_from_rows("BTC", NOW, changed))
    moved = {rule: count - clean.counts[rule] for rule, count in surface.quality.counts.items()}
    one = {"no_bid", "no_ask", "crossed", "below_intrinsic", "above_bound", "worthless", "stale"}
    assert {rule: moved[rule] for rule in one} == dict.fromkeys(one, 1)
    assert surface.quality.sound == clean.sound - 4  # crossed, worthless, above the bound, stale; the others are quotes
    assert not surface.sound[[24, 25, 26, 27]].any() and surface.sound[[22, 23]].all()


def test_what_has_expired_and_what_repeats_is_left_out_and_counted():
    rows = rows_of(SMILE, days=(1, 30), strikes=5)
    doubled = {name: np.concatenate((values, values[-4:])) for name, values in rows.items()}
    later = chain_from_rows("BTC", NOW + np.timedelta64(36, "h"), doubled)
    assert (len(later), later.expired, later.duplicates) == (10, 10, 4)
    assert chain_from_rows("BTC", NOW + np.timedelta64(1, "D"), rows).expired == 10  # at its expiry it has expired
    quality = implied_surface(later).quality
    assert quality.rows == 24 and quality.counts["expired"] == 10 and quality.counts["duplicate"] == 4
    doubled["mark"][-2] *= 1.5
    with pytest.raises(InputError, match="row 22, column strike: option stands there twice with different quotes"):
        chain_from_rows("BTC", NOW, doubled)


def test_deltas_of_the_smile_are_those_of_the_surface():
    (smile,) = smiles(implied_surface(chain_of(SMILE, days=(30,))))
    for asked in (0.1, 0.25, 0.75, 0.9):
        deviation = float(smile.at_delta(np.array([asked]))[0]) * np.sqrt(smile.years)
        calculator = ql.BlackDeltaCalculator(ql.Option.Call, ql.DeltaVolQuote.Fwd, 50_000.0, 1.0, 1.0, deviation)
        k = np.log(calculator.strikeFromDelta(asked) / 50_000.0)
        assert deviation / np.sqrt(smile.years) == pytest.approx(SMILE(k, smile.years), abs=2e-4)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"strike": -np.arange(40.0)}, "column strike: must be positive"),
        ({"right": np.arange(40)}, "row 0, column right: must be 1"),
        ({"mark": np.where(np.arange(40) == 7, -0.1, 0.1)}, "column mark: must be zero or more"),
        ({"forward": np.where(np.arange(40) == 7, 0.0, 5e4)}, "column forward: must be positive"),
        ({"expiry": "NaT"}, "row 0, column expiry: must be given"),
        ({"colour": 1.0}, "column colour: is none of"),
        ({"mark": [0.1, 0.2, 0.3]}, "column mark: has 3 rows"),
    ],
)
def test_rows_that_are_no_options_are_refused(change, problem):
    with pytest.raises(InputError, match=problem):
        chain_from_rows("BTC", NOW, rows_of(SMILE, strikes=5) | change)


def test_unit_time_and_needed_columns_are_checked():
    rows = rows_of(SMILE, strikes=5)
    with pytest.raises(InputError, match="column unit: must be coin or quote"):
        chain_from_rows("BTC", NOW, rows, unit="lots")
    with pytest.raises(InputError, match="column known: a chain is known at or after its time"):
        chain_from_rows("BTC", NOW, rows, known=NOW - np.timedelta64(1, "s"))
    with pytest.raises(InputError, match="column expiry: is needed"):
        chain_from_rows("BTC", NOW, {"strike": 1.0, "right": 1})
