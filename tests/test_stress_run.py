"""Stresses run through the waterfall: numbers worked out by hand, what an outage costs, the smallest fatal shock."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.stress import library
from margincast.riskcore.stress.path import price_path
from margincast.riskcore.stress.reverse import reverse_stress
from margincast.riskcore.stress.run import StressSetting, depth_at, run_stress, run_stresses
from margincast.riskcore.waterfall.depth import DepthBook
from margincast.riskcore.waterfall.events import EventKind
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.procedure import LiquidationProcedure
from margincast.riskcore.waterfall.waterfall import run_waterfall

TABLE = InstrumentTable.linear_perpetuals(["BTC"], collateral=["USDC"])
MARKET = MarketState(np.datetime64("2024-01-01", "ns"), [100.0], [1.0, 1.0])
DAY = dt.date(2024, 1, 1)
RULES = RuleBook(
    "test", DAY, {"BTC": RateSchedule.cliff([0.0], [0.1], [10.0])}, {"USDC": HaircutSchedule([0.0], [1.0])}
)
PROCEDURE = LiquidationProcedure("test", DAY, "whole", "absolute_profit")


def book_of(pools, asset=0):
    """Pools of (balance, quantity, entry)."""
    n = len(pools)
    balance, quantity, entry = (np.array(column, float) for column in zip(*pools, strict=True))
    return AccountBook(
        TABLE, [f"a{k}" for k in range(n)], ["m"] * n, [""] * n, np.arange(n + 1), [asset] * n, balance,
        np.arange(n + 1), [0] * n, quantity, entry, [np.nan] * n,
    )  # fmt: skip


def setting(pools, fund=5.0, size=9.0, asset=0):
    ladder = {"BTC": ([(99.9, size), (99.0, size)], [(100.1, size), (101.0, size)])}
    funds = InsuranceFunds.by_settlement(TABLE, {"USDT": fund})
    return StressSetting(book_of(pools, asset), MARKET, RULES, PROCEDURE, DepthBook.of(TABLE, ladder), funds)


TWO = [(20.0, 1.0, 100.0), (100.0, -1.0, 100.0)]


def test_a_gap_beyond_bankruptcy_costs_the_fund_and_then_the_other_side():
    """At 70 the long is worth -10 and its bankruptcy price is 80; a fund of 5 bears half of the contract."""
    outcome = run_stress(setting(TWO), price_path("gap", "", [0.7], TABLE))
    assert outcome.liquidated.tolist() == [True, False] and outcome.bankrupt.tolist() == [True, False]
    assert outcome.closed.tolist() == [0.0], "bids at 69.93 are worse than the bankruptcy price of 80"
    assert outcome.paid_by_funds == pytest.approx([5.0]) and outcome.fund == pytest.approx([0.0])
    assert outcome.deleveraged == pytest.approx([35.0]), "the other half, at the mark of 70"
    assert outcome.socialised.tolist() == outcome.uncovered.tolist() == [0.0]
    # before: 20 and 100. After: the short made 30 on one half and 20 on the other
    assert outcome.equity_before == 120.0 and outcome.equity == pytest.approx(100.0 + 15.0 + 10.0)


def test_a_slow_fall_closes_in_the_book_and_costs_the_fund_nothing():
    outcome = run_stress(setting(TWO), price_path("slow", "", [0.95, 0.9, 0.88, 0.85, 0.8, 0.7], TABLE))
    assert outcome.liquidated.tolist() == [True, False] and not outcome.bankrupt.any()
    assert outcome.closed.sum() == pytest.approx(88.0), "1 contract at the step where equity 8 < maintenance 8.8"
    assert outcome.fund[-1] >= outcome.fund_before and outcome.fund_held


@pytest.mark.parametrize("out", ["oracle", "trading"])
def test_an_outage_turns_a_slow_fall_into_a_gap(out):
    fall = [0.95, 0.9, 0.88, 0.85, 0.8, 0.7]
    blind = price_path("outage", "", fall, TABLE, **{out: np.array([True] + [False] * 4 + [True])})
    outcome = run_stress(setting(TWO), blind)
    gap = run_stress(setting(TWO), price_path("gap", "", [0.7], TABLE))
    assert outcome.paid_by_funds[-1] == pytest.approx(gap.paid_by_funds[0])
    assert outcome.deleveraged[-1] == pytest.approx(gap.deleveraged[0])
    assert outcome.closed.sum() == 0.0


def test_without_quotes_nothing_is_closed_in_the_book():
    fall = price_path("fall", "", [0.88], TABLE)
    assert run_stress(setting(TWO), fall).closed.sum() > 0
    dry = run_stress(setting(TWO), replace(fall, depth=np.zeros(1)))
    assert dry.closed.sum() == 0.0 and dry.liquidated.tolist() == [True, False], "the fund takes it over"


def test_a_depeg_hits_who_posts_the_coin():
    outcome = run_stress(setting(TWO, asset=1), library.depeg(TABLE, "USDC", fall=0.55))
    assert outcome.liquidated.tolist() == [True, False]
    assert not run_stress(setting(TWO), library.depeg(TABLE, "USDC", fall=0.55)).liquidated.any()


def test_books_move_with_prices_and_thin_out():
    depth = depth_at(setting(TWO).depth, np.array([0.5]), 0.1)
    np.testing.assert_allclose(depth.bid_price, [49.95, 49.5])
    np.testing.assert_allclose(depth.ask_size, [0.9, 0.9])


def random_setting(seed, fund):
    rng = np.random.default_rng(seed)
    n = 60
    quantity = rng.normal(0, 3, n)
    quantity[-1] = -quantity[:-1].sum()
    balance = np.abs(quantity) * 100 / rng.lognormal(1.6, 0.6, n)
    balance[-1] *= 5
    return setting(list(zip(balance, quantity, np.full(n, 100.0), strict=True)), fund, size=40.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_runs_repeat_and_a_larger_fund_survives_at_least_as_much(seed):
    path = library.oracle_outage(TABLE, [1.0], fall=0.2)
    one, two = (run_stress(random_setting(seed, 500.0), path) for _ in range(2))
    for name in ("closed", "deleveraged", "fund", "socialised"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    sizes = [reverse_stress(random_setting(seed, fund), path, points=6, within=0.05).size for fund in (50.0, 5_000.0)]
    assert sizes[0] > 0 and (np.isnan(sizes[1]) or sizes[1] >= sizes[0])


def test_the_smallest_fatal_shock_is_where_the_bankruptcy_loss_is_the_fund():
    """The fund bears 80 - price for one contract: 5 are gone at 75, log(0.75) / log(0.7) of a fall to 70."""
    found = reverse_stress(setting(TWO), price_path("gap", "", [0.7], TABLE), largest=1.0, points=4, within=1e-3)
    fatal = np.log(0.75) / np.log(0.7)
    assert found.held_at <= fatal <= found.size and found.size - found.held_at <= 1e-3
    assert not found.outcome.fund_held and (np.diff(found.tried) > 0).all()


def test_a_fund_that_survives_everything_tried_says_so():
    found = reverse_stress(setting(TWO, fund=1_000.0), price_path("gap", "", [0.7], TABLE), largest=1.0, points=3)
    assert np.isnan(found.size) and found.held_at == 1.0 and found.held.all() and found.outcome.fund_held


def test_every_standard_stress_runs_and_starts_from_the_same_fund():
    paths = library.standard_stresses(TABLE, [1.0], [0.04], pegged=["USDC"])
    outcomes = run_stresses(random_setting(4, 300.0), paths)
    assert [outcome.path.name for outcome in outcomes] == [path.name for path in paths]
    assert {outcome.fund_before for outcome in outcomes} == {300.0}
    assert any(outcome.liquidated.any() for outcome in outcomes)


def test_no_shock_changes_nothing():
    given = random_setting(5, 300.0)
    healthy = evaluate(given.book, MARKET, RULES).headroom > 0
    outcome = run_stress(given, price_path("none", "", [1.0], TABLE))
    assert not (outcome.liquidated & healthy).any()


def test_a_pool_that_is_closed_by_adl_alone_is_counted_as_liquidated():
    outcome = run_stress(setting(TWO, fund=0.0), price_path("gap", "", [0.7], TABLE))
    assert outcome.deleveraged == pytest.approx([70.0])
    assert outcome.liquidated.tolist() == outcome.bankrupt.tolist() == [True, False]


def test_a_venue_that_is_still_down_at_the_end_has_not_settled():
    dark = price_path("dark", "", [0.9, 0.7], TABLE, trading=np.array([True, False]))
    assert not run_stress(setting(TWO), dark).settled
    assert run_stress(setting(TWO), price_path("calm", "", [0.99], TABLE, trading=False)).settled


def test_what_nobody_holds_needs_no_price_and_what_the_fund_holds_does():
    given = setting(TWO, fund=1_000.0)
    given = replace(given, market=MarketState(MARKET.time, [100.0], [1.0, np.nan]))
    outcome = run_stress(given, price_path("gap", "", [0.7], TABLE))
    assert outcome.fund_before == 1_000.0 and outcome.fund[-1] == pytest.approx(990.0) and outcome.fund_held
    coins = InsuranceFunds.of(TABLE, {"BTC": "one"}, {"one": {"USDC": 5.0}})
    with pytest.raises(InputError, match="column funds: holds something without a price .*found 'one'"):
        run_stress(replace(given, funds=coins), price_path("gap", "", [0.7], TABLE))


@pytest.mark.parametrize("seed", range(4))
def test_what_accounts_and_fund_lose_the_others_gain(seed):
    """One step: equity and fund before at the new prices, less the same after, went to the market and the venue."""
    given = random_setting(seed, 500.0)
    given = replace(
        given, procedure=replace(PROCEDURE, fee_to_venue=0.001, fee_to_fund=0.002, policy="close_to_target")
    )
    path = price_path("fall", "", [0.93], TABLE)
    outcome, true = run_stress(given, path), path.at(MARKET, 0)
    ran = run_waterfall(given.book, true, RULES, given.procedure, depth_at(given.depth, path.mark[0], 1.0), given.funds)
    fills, fees = ran.events.of_kind(EventKind.FILL), ran.events.of_kind(EventKind.FEE)
    gained = (fills.contracts * true.mark[0] - fills.units).sum() / 1e8
    venue = fees.units[fees.fund < 0].sum() / 1e8
    before = evaluate(given.book, true, RULES).equity.sum() + 500.0
    after = evaluate(ran.book, true, RULES).equity.sum() + outcome.fund[0]
    assert gained > 0 and venue > 0
    assert before - after == pytest.approx(gained + venue, abs=1e-6)
    assert outcome.equity == np.maximum(evaluate(ran.book, true, RULES).equity, 0.0).sum()
    assert outcome.closed.sum() == pytest.approx(np.abs(fills.contracts).sum() / 1e8 * true.mark[0])


def test_what_is_refused():
    other = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    with pytest.raises(InputError, match="the stress fall has 2 columns, the book 1"):
        run_stress(setting(TWO), price_path("fall", "", [0.9], other))
    with pytest.raises(InputError, match="the funds are not enough without any shock"):
        reverse_stress(setting(TWO, fund=0.0), price_path("gap", "", [0.7], TABLE))
    with pytest.raises(InputError, match="needs a positive range"):
        reverse_stress(setting(TWO), price_path("gap", "", [0.7], TABLE), largest=0.0)
