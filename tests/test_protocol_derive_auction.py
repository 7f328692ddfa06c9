"""Derive's liquidation auction: the recorded sequence of bids, what is conserved, and what a bid may not exceed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.protocols.derive_auction import (
    AuctionedAccount,
    InsolventAuction,
    SolventAuction,
    insolvent_bids,
    load_derive_auction_rules,
    solvent_bid,
)
from margincast.riskcore.protocols.derive_options import ExpiryFeeds, OptionLegs
from margincast.riskcore.protocols.derive_pmrm import derive_pmrm_margin
from margincast.riskcore.protocols.derive_pmrm_rules import load_derive_pmrm_rules
from margincast.riskcore.protocols.derive_portfolio import DeriveMarket, DerivePortfolio

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
RULES, PMRM = load_derive_auction_rules(), load_derive_pmrm_rules()
SOLVENT = RULES.solvent
fast = settings(max_examples=80, deadline=None)
values, seconds, shares = st.floats(1, 1e5), st.floats(0, 14_400), st.floats(0.01, 1)


def recorded(name):
    path = SHARED / "vectors" / "derive_auction.json"
    if not path.is_file():
        pytest.skip(f"no recorded auctions at {path}")
    cases = {case["id"]: case for case in json.loads(path.read_text())["cases"]}
    return cases[f"derive_auction/{name}"]


def short_call(cash, seconds=500_370.0, forward=1500.8332293403282, volatility=1.0478845084581938):
    """The account of the recorded auctions: a call short, at the money, in six days."""
    legs = OptionLegs.of([seconds], [1500.0], CALL, -1.0, volatility)
    feeds = ExpiryFeeds.of([seconds], forward, rate=0.04)
    return DerivePortfolio(cash, {"ETH": DeriveMarket(1500.0, options=legs, feeds=feeds)})


def bid_on(account, elapsed, wanted):
    margin = derive_pmrm_margin(account.portfolio, PMRM)
    return solvent_bid(margin.mark_to_market, margin.maintenance, elapsed, wanted, SOLVENT, account.reserved)


def test_the_recorded_account_after_its_recorded_bid():
    before, after = recorded("Test4/0/margin"), recorded("Test4/1/margin")
    account = AuctionedAccount(short_call(before["inputs"]["cash"]))
    bid = bid_on(account, 30.0, 0.1)
    left, _ = account.after_bid(float(bid.fraction), float(bid.price))
    assert left.portfolio.cash == pytest.approx(after["inputs"]["cash"], rel=1e-9)
    margin = derive_pmrm_margin(left.portfolio, PMRM)
    assert margin.mark_to_market == pytest.approx(after["expected"]["mtm"], rel=1e-7)
    assert margin.maintenance == pytest.approx(after["expected"]["mm"], rel=1e-7)
    assert left.reserved == pytest.approx(recorded("Test4/0/bid")["expected"]["bid_price"], rel=1e-7)


def test_the_fee_at_the_start_is_what_the_recorded_account_lost_of_its_200():
    cash = recorded("Test1/0/margin")["inputs"]["cash"]
    started = short_call(200.0, 500_400.0, 1500.833279310994, 1.0478844940849863)
    margin = derive_pmrm_margin(started, PMRM)
    assert 200.0 - SOLVENT.fee(margin.mark_to_market, margin.maintenance, RULES.fee) == pytest.approx(cash, rel=1e-12)


@fast
@given(values, values, seconds, shares, shares)
def test_a_bid_is_never_above_the_largest_fraction(value, need, elapsed, wanted, kept):
    bid = solvent_bid(value, value - need, elapsed, wanted, SOLVENT, kept * value)
    assert 0 <= bid.fraction <= min(bid.largest_fraction, wanted) + 1e-15
    assert bid.largest_fraction <= 1
    assert bid.price <= bid.largest_fraction * (1 - kept) * value * bid.discount + 1e-9
    assert bid.bidder_cash >= bid.price
    assert (bid.fraction > 0) == bid.open


@fast
@given(st.floats(120, 190), seconds, st.floats(0.05, 0.5), st.integers(0, 4))
def test_the_largest_bid_leaves_the_buffer_margin_at_zero(cash, elapsed, share, earlier):
    account = AuctionedAccount(short_call(cash))
    for _ in range(earlier):
        bid = bid_on(account, elapsed, share)
        account, _ = account.after_bid(float(bid.fraction), float(bid.price))
    last = bid_on(account, elapsed, 1.0)
    left, _ = account.after_bid(float(last.fraction), float(last.price))
    margin = derive_pmrm_margin(left.portfolio, PMRM)
    if last.open:
        assert last.ends
        assert SOLVENT.buffer_margin(margin.mark_to_market, margin.maintenance) == pytest.approx(0.0, abs=1e-6)
        assert not bid_on(left, elapsed, 1.0).price > 1e-6


@fast
@given(st.floats(-500, 500), st.floats(0, 200), shares, st.floats(0, 100))
def test_nothing_is_lost_between_account_and_bidder(cash, reserved, fraction, price):
    legs = OptionLegs.of([86_400.0] * 2, [100.0, 120.0], [CALL, PUT], [-3.0, 2.0], 0.5)
    feeds = ExpiryFeeds.of([86_400.0], 100.0)
    market = DeriveMarket(100.0, perp_quantity=2.0, perp_price=101.0, perp_profit=7.0, options=legs, feeds=feeds)
    account = AuctionedAccount(DerivePortfolio(cash, {"X": market}), reserved)
    left, taken = account.after_bid(fraction, price)
    kept, gone = left.portfolio.only_market(), taken.only_market()
    assert left.portfolio.cash + taken.cash == pytest.approx(cash + price, abs=1e-9)
    assert left.portfolio.cash >= 0 or cash < reserved
    assert left.reserved == reserved + price
    assert kept.options.quantity + gone.options.quantity == pytest.approx(legs.quantity, abs=1e-12)
    for name in ("perp_quantity", "perp_profit"):
        assert getattr(kept, name) + getattr(gone, name) == pytest.approx(getattr(market, name))


@fast
@given(st.lists(st.floats(0, 20_000), min_size=2, max_size=20))
def test_the_price_asked_only_falls(times):
    asked = SOLVENT.discount(sorted(times))
    assert (np.diff(asked) <= 1e-15).all()
    assert SOLVENT.discount(100.0) == pytest.approx(SOLVENT.discount(99.999999), abs=1e-7)
    assert SOLVENT.discount([0.0, 14_500.0]).tolist() == [0.98, 0.0]


@fast
@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 1e4), shares), min_size=1, max_size=8), st.floats(0, 2e4))
def test_the_security_module_pays_while_it_lasts(accounts, module):
    value, need, wanted = (np.array(column) for column in zip(*accounts, strict=True))
    bids = insolvent_bids(value, value - need, 300.0, wanted, RULES.insolvent, module)
    assert (bids.payment >= 0).all()
    assert bids.payment == pytest.approx(bids.from_module + bids.socialised)
    assert bids.from_module.sum() + bids.module_left == pytest.approx(module, abs=1e-6)
    assert bids.module_left == 0 or not bids.socialised.any()


def test_an_insolvent_auction_goes_from_the_loss_to_the_maintenance_margin():
    pays = RULES.insolvent.payment(-100.0, -300.0, [0.0, 300.0, 600.0, 9000.0])
    assert pays.tolist() == [100.0, 200.0, 300.0, 300.0]
    assert RULES.insolvent.payment([50.0, -10.0], [-60.0, 0.0], 600.0).tolist() == [60.0, 0.0]


def test_an_account_worth_less_than_the_cutoff_is_sold_whole():
    """DutchAuction of derivexyz/v2-core: below mtmCutoff the largest proportion is 1, at it the formula holds again."""
    auction = SolventAuction(0.98, 0.8, 100.0, 14_400.0, 0.2, whole_below=50.0)
    assert auction.largest_fraction([49.0, 50.0], [-50.0, -50.0], 0.0) == pytest.approx([1.0, 70.0 / 119.0])
    bid = solvent_bid(49.0, -50.0, 0.0, 1.0, auction, reserved=9.0)
    assert (float(bid.fraction), float(bid.price), bool(bid.ends)) == (1.0, pytest.approx(40.0 * 0.98), True)
    assert auction.fee([49.0, 50.0], -50.0, 0.02) == pytest.approx([0.98, 50.0 * 70.0 / 120.0 * 0.02])
    with pytest.raises(InputError, match="column whole_below: must be in"):
        SolventAuction(0.98, 0.8, 100.0, 14_400.0, 0.2, whole_below=-1.0)


def test_an_auction_that_cannot_take_a_bid_says_so():
    cured, over, poor = ((100.0, 100.0, 0.0, 0.0), (100.0, -50.0, 14_500.0, 0.0), (100.0, -50.0, 0.0, 100.0))
    for value, margin, elapsed, kept in (cured, over, poor):
        bid = solvent_bid(value, margin, elapsed, 1.0, SOLVENT, kept)
        assert (bool(bid.open), float(bid.fraction), float(bid.price), bool(bid.ends)) == (False, 0.0, 0.0, False)
    assert SOLVENT.largest_fraction(-1.0, -50.0, 0.0) == 1.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"wanted": [0.5, 0.0]}, "row 1, column wanted: must be in"),
        ({"wanted": [0.5, 1.01]}, "row 1, column wanted: must be in"),
        ({"elapsed": [-1.0, 0.0]}, "row 0, column elapsed: must not be negative"),
        ({"reserved": [0.0, -2.0]}, "row 1, column reserved: must not be negative"),
        ({"mark_to_market": [np.nan, 1.0]}, "row 0, column mark_to_market: must be finite"),
        ({"maintenance": [1.0, np.inf]}, "row 1, column maintenance: must be finite"),
    ],
)
def test_bad_bids(change, told):
    good = {"mark_to_market": [9.0, 9.0], "maintenance": [-5.0, -5.0], "elapsed": [0.0, 1.0], "wanted": [0.5, 1.0]}
    with pytest.raises(InputError, match=told):
        solvent_bid(**(good | change), auction=SOLVENT)


def test_bad_auctions():
    with pytest.raises(InputError, match="column start: must not be below cutoff"):
        SolventAuction(0.7, 0.8, 100.0, 14_400.0, 0.2)
    with pytest.raises(InputError, match="column fast_seconds: must be positive"):
        SolventAuction(0.98, 0.8, 0.0, 14_400.0, 0.2)
    with pytest.raises(InputError, match="column seconds: must be positive"):
        InsolventAuction(0.0)
    with pytest.raises(InputError, match="column module: must not be negative"):
        insolvent_bids(-1.0, -2.0, 0.0, 1.0, RULES.insolvent, -5.0)
