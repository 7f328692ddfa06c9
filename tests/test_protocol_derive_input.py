"""Derive: bad holdings, feeds and rule-books are one clear error each."""

import datetime as dt
import re
from dataclasses import replace

import numpy as np
import pytest

from margincast.riskcore.dated_files import rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import CALL
from margincast.riskcore.portfolio.scenario_grid import VolatilityShock
from margincast.riskcore.protocols.derive_auction import load_derive_auction_rules, read_derive_auction_rules
from margincast.riskcore.protocols.derive_options import ExpiryFeeds, OptionLegs
from margincast.riskcore.protocols.derive_pmrm import derive_pmrm2_margin, derive_pmrm_margin
from margincast.riskcore.protocols.derive_pmrm_rules import (
    load_derive_pmrm2_rules,
    load_derive_pmrm_rules,
    read_derive_pmrm2_rules,
    read_derive_pmrm_rules,
)
from margincast.riskcore.protocols.derive_portfolio import CollateralHoldings, DeriveMarket, DerivePortfolio
from margincast.riskcore.protocols.derive_scenarios import LINEAR, DeriveScenarios, SkewShock
from margincast.riskcore.protocols.derive_srm import derive_srm_margin
from margincast.riskcore.protocols.derive_srm_rules import load_derive_srm_rules, read_derive_srm_rules
from margincast.riskcore.protocols.derive_terms import in_whole_dollars

READERS = {
    "derive_srm": read_derive_srm_rules,
    "derive_pmrm": read_derive_pmrm_rules,
    "derive_pmrm2": read_derive_pmrm2_rules,
    "derive_auction": read_derive_auction_rules,
}
DAY = 86_400.0
SKEW = (0.15, -0.05, 0.15, -0.05, 0.01, 4.0, 0.6, -0.1)


def legs(**change):
    columns = {"seconds": [DAY, DAY], "strike": [90.0, 100.0], "right": [1, -1], "quantity": [1.0, -1.0]}
    return OptionLegs.of(**(columns | {"volatility": [0.5, 0.6]} | change))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seconds": [DAY, -1.0]}, "row 1, column seconds: the option has expired (found -1.0)"),
        ({"seconds": [np.nan, DAY]}, "row 0, column seconds: must be finite"),
        ({"strike": [90.0, 0.0]}, "row 1, column strike: must be positive (found 0.0)"),
        ({"right": [1, 2]}, "row 1, column right: must be 1 for a call or -1 for a put (found 2.0)"),
        ({"quantity": [np.inf, 1.0]}, "row 0, column quantity: must be finite"),
        ({"volatility": [0.5, np.nan]}, "row 1, column volatility: an option needs its mark volatility (found nan)"),
        ({"volatility": [-0.5, 0.5]}, "row 0, column volatility: an option needs its mark volatility (found -0.5)"),
        ({"strike": [90.0, 95.0, 99.0]}, "column seconds: columns have different lengths, [(2,), (3,)]"),
        ({"confidence": [1.0, 1.1]}, "row 1, column confidence: must be in [0, 1] (found 1.1)"),
    ],
)
def test_bad_options(change, told):
    with pytest.raises(InputError, match=re.escape(told)):
        legs(**change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seconds": [DAY, DAY]}, "row 1, column seconds: has two feeds for one expiry"),
        ({"seconds": [-DAY, DAY]}, "row 0, column seconds: must be a number of at least 0"),
        ({"variable": [np.nan, 1.0]}, "row 0, column variable: must be a number of at least 0"),
        ({"variable": [1.0, 0.0]}, "row 1, column forward: must be positive"),
        ({"rate": [0.1, np.nan]}, "row 1, column rate: must be finite"),
        ({"rate_confidence": [2.0, 1.0]}, "row 0, column rate_confidence: must be in [0, 1]"),
    ],
)
def test_bad_feeds(change, told):
    with pytest.raises(InputError, match=re.escape(told)):
        ExpiryFeeds.of(**({"seconds": [DAY, 2 * DAY], "variable": [100.0, 100.0]} | change))


def test_an_option_needs_the_feed_of_its_expiry():
    with pytest.raises(InputError, match="row 0, column seconds: there is no feed for this expiry"):
        DeriveMarket(100.0, options=legs(), feeds=ExpiryFeeds.of([2 * DAY], 100.0))
    with pytest.raises(InputError, match="there is no feed"):
        DeriveMarket(100.0, options=legs())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"spot": 0.0}, "column spot: must be positive (found 0.0)"),
        ({"spot": np.nan}, "column spot: must be positive"),
        ({"perp_quantity": 1.0}, "column perp_price: must be positive"),
        ({"perp_profit": np.nan}, "column perp_profit: must be finite"),
        ({"base": -1.0}, "column base: must not be negative"),
        ({"spot_confidence": 1.5}, "column spot_confidence: must be in [0, 1]"),
    ],
)
def test_bad_markets(change, told):
    with pytest.raises(InputError, match=re.escape(told)):
        DeriveMarket(**({"spot": 100.0} | change))


def test_bad_portfolios():
    market, held = DeriveMarket(100.0), CollateralHoldings(("DOGE",), [1.0], [0.1], [1.0])
    two = DerivePortfolio(0.0, {"ETH": market, "BTC": market})
    with pytest.raises(InputError, match="exactly one market .found 'ETH, BTC'"):
        derive_pmrm_margin(two, load_derive_pmrm_rules())
    with pytest.raises(InputError, match="row 0, column collateral: unknown collateral; known are .* .found 'DOGE'"):
        derive_pmrm2_margin(DerivePortfolio(0.0, {"ETH": market}, 1.0, held), load_derive_pmrm2_rules())
    with pytest.raises(InputError, match="column base: the second version takes the base asset as collateral"):
        derive_pmrm2_margin(DerivePortfolio(0.0, {"ETH": replace(market, base=1.0)}), load_derive_pmrm2_rules())
    for margin, rules in ((derive_srm_margin, load_derive_srm_rules()), (derive_pmrm_margin, load_derive_pmrm_rules())):
        with pytest.raises(InputError, match="column collateral: .* only .found 'DOGE'"):
            margin(DerivePortfolio(0.0, {"ETH": market}, 1.0, held), rules)
    with pytest.raises(InputError, match="column stable_price: must be positive"):
        DerivePortfolio(0.0, {}, 0.0)
    with pytest.raises(InputError, match="column cash: must be finite"):
        DerivePortfolio(np.nan, {})
    with pytest.raises(InputError, match="column quantity: collateral must not be negative"):
        CollateralHoldings(("ETH",), [-1.0], [1.0], [1.0])
    with pytest.raises(InputError, match="has 2 names for 1 holdings"):
        CollateralHoldings(("ETH", "BTC"), [1.0], [1.0], [1.0])


def test_bad_scenarios():
    with pytest.raises(InputError, match="row 1, column direction: unknown direction; known are none, .*'sideways'"):
        DeriveScenarios.of([1.1, 0.9], ["Up", "Sideways"])
    with pytest.raises(InputError, match="row 0, column move: a skew scenario leaves spot and volatility level"):
        DeriveScenarios.of([1.1], ["ABS"])
    for columns in (([1.1, 0.9], ["up"]), ([1.1, 0.9], ["up", "up"], [1.0, 1.0, 1.0]), ([], [])):
        with pytest.raises(InputError, match="a grid needs at least one scenario, each with a move, volatility"):
            DeriveScenarios.of(*columns)
    with pytest.raises(InputError, match="row 0, column weight: must not be negative"):
        DeriveScenarios.of([1.1], ["up"], [-0.5])
    with pytest.raises(InputError, match="row 0, column move: must be above -1"):
        DeriveScenarios.of([0.0], ["up"])
    with pytest.raises(InputError, match="column skew: a skew scenario needs the figures of a skew shock"):
        stress = load_derive_pmrm2_rules().stress
        replace(stress, skew=None)
    flat = SkewShock(*SKEW[:4], 0.0, *SKEW[5:])
    with pytest.raises(InputError, match="column years: the skew shock is not defined"):
        flat.factor([100.0], [90.0], [0.0], LINEAR)


def test_the_floor_on_days_leaves_the_exponent_alone():
    shock = VolatilityShock(0.5, 0.25, 0.3, 0.0, floor_days=400.0)
    assert shock.factor([10.0, 31.0], 1) == pytest.approx([1 + 0.5 * (30 / 400) ** 0.3, 1.5])
    with pytest.raises(InputError, match="column days: an option at expiry"):
        VolatilityShock(0.5, 0.25, 0.3, 0.13, floor_days=0.0).factor([1.0, 0.0], 1)


def test_options_at_expiry_are_worth_what_exercise_pays():
    options = OptionLegs.of([0.0], [90.0], CALL, -2.0, 0.5)
    feeds = ExpiryFeeds.of([0.0], 100.0).averaged_to_settlement()
    portfolio = DerivePortfolio(0.0, {"ETH": DeriveMarket(95.0, options=options, feeds=feeds)})
    assert derive_srm_margin(portfolio, load_derive_srm_rules()).mark_to_market == -20.0
    margin = derive_pmrm2_margin(portfolio, load_derive_pmrm2_rules())
    assert margin.mark_to_market == -20.0


def test_whole_dollars():
    assert [in_whole_dollars(x) for x in (0.9999, -0.9999, 2.0, 1.9999999999, -7.0000000001)] == [0, 0, 2, 2, -7]


@pytest.mark.parametrize("venue", READERS)
def test_rulebooks_stand_as_shipped(venue):
    book = rulebook_in_force(venue)
    rules = READERS[venue](book.path)
    assert (rules.venue, rules.effective_from) == (venue, book.effective_from)
    with pytest.raises(InputError, match=f"before the first {venue} rule-book"):
        rulebook_in_force(venue, dt.date(2021, 1, 1))


def test_dated_rules_are_found():
    for load in (load_derive_srm_rules, load_derive_pmrm_rules, load_derive_auction_rules):
        assert load(dt.date(2024, 6, 1)).effective_from == dt.date(2023, 12, 1)
    assert load_derive_pmrm2_rules(dt.date(2025, 6, 1)).effective_from == dt.date(2025, 2, 1)


@pytest.mark.parametrize(
    ("venue", "old", "new", "told"),
    [
        ("derive_srm", 'model = "derive_srm"', 'model = "derive_pmrm"', "model derive_srm (found 'derive_pmrm')"),
        ("derive_srm", 'venue = "derive_srm"\n', "", "column venue: must be given as a str"),
        ("derive_srm", "initial = 0.065", "initial = 0.04", "column perp initial: must not be below maintenance"),
        ("derive_srm", "initial = 0.065", "inital = 0.065", "column perp inital: unknown key"),
        ("derive_srm", "initial = 0.065", 'initial = "6.5%"', "column perp initial: must be given as a number"),
        ("derive_srm", "initial = 0.065", "initial = nan", "column perp initial: must be in"),
        ("derive_srm", "factor = 0.8", "factor = 1.2", "column base factor: must be in [0, 1] (found 1.2)"),
        ("derive_srm", "initial_over_maintenance = 1.05\n", "", "column option initial_over_maintenance: must be"),
        ("derive_srm", "initial_least = 0.10", "initial_least = 0.2", "column option initial_most: must not be below"),
        ("derive_srm", "unpaired_initial = 1.2", "unpaired_initial = 1.0", "column option unpaired_initial: must not"),
        ("derive_srm", "[depeg]", "[peg]", "column peg: unknown key"),
        ("derive_srm", "date = 2025-02-01\n", "", "column perp date: must be given as a date"),
        ("derive_srm", "source = ", "sauce = ", "column perp sauce: unknown key"),
        ("derive_srm", 'source = "derivexyz', '# "derivexyz', "column perp source: must be given as a str"),
        ("derive_pmrm", '[1.15, "up"]', '[1.15, "sideways"]', "column scenarios direction: unknown direction"),
        ("derive_pmrm", '[1.15, "up"]', "[1.15]", "column scenarios rows[0]: must be [price multiple, direction]"),
        ("derive_pmrm", '[1.15, "up"]', "1.15", "column scenarios rows[0]: must be [price multiple, direction]"),
        ("derive_pmrm", '[1.15, "up"]', '["up", 1.15]', "column scenarios rows[0][0]: must be given as a number"),
        ("derive_pmrm", '[1.15, "up"]', '[-1.15, "up"]', "column scenarios rows[0][0]: must be in [0, inf]"),
        ("derive_pmrm", '[1.15, "up"]', '[1.0, "linear"]', "column scenarios skew: a skew scenario needs"),
        ("derive_pmrm", "initial = 1.3", "initial = 0.9", "column factors initial: must be in [1, 10] (found 0.9)"),
        ("derive_pmrm", "long_power = 0.13", "long_power = -1", "column volatility long_power: must not be negative"),
        ("derive_pmrm", "up = 1.05", "up = 0.9", "column basis up: must be in [1, 3] (found 0.9)"),
        ("derive_pmrm2", '"up", 0.072', '"up", -0.072', "column scenarios weight: must not be negative"),
        ("derive_pmrm2", "level_slope = -0.1", "level_slope = -50", "column skew level_slope: must be in [-20, 20]"),
        ("derive_pmrm2", "initial_perp = 0.005", "initial_perp = 7", "column contingency initial_perp: must be in"),
        ("derive_pmrm2", "= true }", '= "yes" }', "moves_with_spot: must be given as a bool"),
        ("derive_pmrm2", "maintenance_haircut = 0.02,", "maintenance_haircut = 2,", "maintenance_haircut: must be in"),
        ("derive_pmrm2", "initial_haircut = 0.02,", "", "initial_haircut: must be given as a number"),
        ("derive_auction", "start = 0.98", "start = 0.5", "column solvent start: must not be below cutoff"),
        ("derive_auction", "seconds = 600.0", "seconds = 0", "column insolvent seconds: must be positive"),
        ("derive_auction", "rate = 0.02", "rate = 2", "column fee rate: must be in [0, 1] (found 2.0)"),
        ("derive_auction", "rate = 0.02", "rate = ", "is not valid TOML"),
    ],
)
def test_bad_rulebooks(tmp_path, venue, old, new, told):
    text = rulebook_in_force(venue).path.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=re.escape(told)) as caught:
        READERS[venue](path)
    assert str(path) in str(caught.value)
