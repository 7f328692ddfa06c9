"""Derive margins: against plain loops written from the rules in words with QuantLib's Black formula; properties."""

import math
from dataclasses import replace

import numpy as np
import pytest
import QuantLib as ql
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.protocols.derive_options import ExpiryFeeds, OptionLegs
from margincast.riskcore.protocols.derive_pmrm import derive_pmrm2_margin, derive_pmrm_margin
from margincast.riskcore.protocols.derive_pmrm_rules import load_derive_pmrm2_rules, load_derive_pmrm_rules
from margincast.riskcore.protocols.derive_portfolio import CollateralHoldings, DeriveMarket, DerivePortfolio
from margincast.riskcore.protocols.derive_scenarios import ABSOLUTE, FLAT, LINEAR
from margincast.riskcore.protocols.derive_srm import derive_srm_margin
from margincast.riskcore.protocols.derive_srm_rules import load_derive_srm_rules
from margincast.riskcore.protocols.derive_stress import naked_shorts

SRM, PMRM, PMRM_2 = load_derive_srm_rules(), load_derive_pmrm_rules(), load_derive_pmrm2_rules()
MANAGERS = {
    "srm": lambda portfolio: derive_srm_margin(portfolio, SRM),
    "pmrm": lambda portfolio: derive_pmrm_margin(portfolio, PMRM),
    "pmrm2": lambda portfolio: derive_pmrm2_margin(portfolio, PMRM_2),
}
DAY, YEAR = 86_400.0, 365 * 86_400.0
EXPIRIES = (0.0, 900.0, 7 * DAY, 30 * DAY, 200 * DAY)
fast = settings(max_examples=60, deadline=None)

seeds = st.integers(0, 2**32 - 1)
stables = st.sampled_from([1.0, 1.01, 0.97, 0.6])
leg = st.tuples(st.sampled_from(EXPIRIES), st.integers(5, 60), st.sampled_from([CALL, PUT]), st.floats(0.1, 3))


def confidences(rng, n):
    return np.where(rng.random(n) < 0.7, 1.0, rng.choice([0.5, 0.35, 0.2, 0.0], n))


def random_market(seed, base=True):
    """Up to ten legs of two expiries or so, often at one strike; some feeds of low confidence."""
    rng, n = np.random.default_rng(seed), len(EXPIRIES)
    legs = rng.integers(0, 11)
    strikes = rng.choice(rng.integers(5, 60, 6) * 100.0, legs)
    seconds = rng.choice(rng.choice(EXPIRIES, 2), legs)
    quantity, volatility = rng.normal(0, 1.5, legs).round(3), rng.uniform(0.2, 2, legs)
    feeds = ExpiryFeeds.of(
        EXPIRIES,
        rng.uniform(1900, 2200, n),
        confidence=confidences(rng, n),
        rate=rng.uniform(-0.1, 0.4, n),
        volatility_confidence=confidences(rng, n),
    )
    return DeriveMarket(
        spot=2000.0,
        spot_confidence=float(confidences(rng, 1)[0]),
        perp_quantity=float(rng.choice([0.0, rng.normal(0, 2)])),
        perp_price=float(rng.uniform(1950, 2050)),
        perp_confidence=float(confidences(rng, 1)[0]),
        perp_profit=float(rng.normal(0, 200)),
        perp_funding=float(rng.normal(0, 10)),
        base=float(rng.choice([0.0, rng.uniform(0, 4)])) if base else 0.0,
        options=OptionLegs.of(seconds, strikes, rng.choice([CALL, PUT], legs), quantity, volatility),
        feeds=feeds.averaged_to_settlement(),
    )


def random_collateral(seed):
    rng, names = np.random.default_rng(seed), sorted(PMRM_2.collateral["ETH"])
    n = rng.integers(0, 4)
    held = tuple(rng.choice(names, n, replace=False))
    return CollateralHoldings(held, rng.uniform(0, 5, n), rng.uniform(0.5, 3000, n), confidences(rng, n))


markets = seeds.map(random_market)


@st.composite
def portfolios(draw, manager):
    cash, stable, seed = draw(st.floats(-5000, 5000)), draw(stables), draw(seeds)
    if manager == "pmrm2":
        market = random_market(seed, base=False)
        return DerivePortfolio(cash, {"ETH": market}, stable, random_collateral(seed + 1))
    return DerivePortfolio(cash, {"ETH": random_market(seed)}, stable)


def for_each_manager(test):
    return pytest.mark.parametrize("manager", MANAGERS)(test)


# The rules in words, one leg and one scenario at a time.


def black(forward, strike, years, volatility, right, discount=1.0):
    side = ql.Option.Call if right == CALL else ql.Option.Put
    return ql.blackFormula(side, strike, forward, volatility * math.sqrt(years), discount)


def rows(market):
    legs, feeds = market.options, market.feeds
    for n in range(len(legs)):
        e = feeds.seconds.tolist().index(legs.seconds[n])
        yield e, legs.strike[n], int(legs.right[n]), legs.quantity[n], legs.volatility[n]


def low(confidence, threshold, charge):
    return (1 - confidence) * charge if confidence < threshold else 0.0


def plain_srm(portfolio, initial):
    net = portfolio.cash
    for market in portfolio.markets.values():
        spot, feeds, size = market.spot, market.feeds, abs(market.perp_quantity)
        net += market.perp_profit + market.perp_funding - (0.065 if initial else 0.05) * size * market.perp_price
        net += 0.8 * market.base * spot
        shorts = 0.0
        for e in range(len(feeds)):
            held = [row for row in rows(market) if row[0] == e]
            forward, isolated, short = feeds.forward[e], 0.0, 0.0
            for _, strike, right, q, vol in held:
                mark = q * black(forward, strike, feeds.seconds[e] / YEAR, vol, right)
                if q >= 0:
                    continue
                short -= q
                out = max(right * (strike - spot), 0) / spot
                kept = mark + (0.075 * spot * q if right == CALL else min(0.075 * spot * q, 0.075 * mark))
                opened = mark + max(0.15 - out, 0.10) * spot * q
                isolated += (opened if right == CALL else min(opened, 1.05 * kept)) if initial else kept
            pays = [sum(q * max(r * (p - k), 0) for _, k, r, q, _ in held) for p in [0, *(row[1] for row in held)]]
            uncovered = max(-sum(row[3] for row in held if row[2] == CALL), 0)
            bounded = min(0, *pays, 0) - (1.2 if initial else 1.1) * uncovered * forward
            net += max(isolated, bounded)
            shorts += short
            least = min(market.spot_confidence, feeds.confidence[e], feeds.volatility_confidence[e])
            net -= low(least, 0.4, 0.4 * spot * short) if initial else 0.0
        if initial:
            net -= low(min(market.spot_confidence, market.perp_confidence), 0.4, 0.4 * spot * size)
            net -= low(market.spot_confidence, 0.4, 0.4 * spot * market.base)
            net -= max(0.98 - portfolio.stable_price, 0) * 1.2 * spot * (shorts + size)
    return net


def plain_skew(kind, strike, forward, years):
    root = math.sqrt(years)
    cap = 0.15 - 0.05 * root
    flat = max(0.01, root * 4 * (0.6 - 0.1 * root))
    k = math.log(strike / forward)
    k = abs(k) if kind == ABSOLUTE else k
    return max(1 + (min(cap, k * cap / flat) if k >= 0 else max(-cap, k * cap / flat)), 0)


def plain_expiry(market, e, move, direction=0, skew=FLAT, second=False):
    feeds, total = market.feeds, 0.0
    days, years = feeds.seconds[e] / DAY, feeds.seconds[e] / YEAR
    forward = feeds.variable[e] * move + feeds.fixed[e]
    reach = (30 / max(days, 1)) ** (0.3 if days <= 30 else 0.13)
    up, down, least = (0.5, 0.275, 0.45) if second else (0.45, 0.3, 0.0)
    discount = math.exp(-max(feeds.rate[e], 0) * years) if second else 1.0
    for row, strike, right, q, vol in rows(market):
        if row != e:
            continue
        if direction == 1:
            vol = max(vol * (1 + up * reach), least)
        elif direction == -1:
            vol = vol * max(1 - down * reach, 0)
        if skew != FLAT:
            vol *= plain_skew(skew, strike, forward, years)
        total += q * black(forward, strike, years, vol, right, discount)
    return total


def plain_loss(market, moving, rules, second):
    """Least of the scenarios and the basis contingency, with the value of each expiry."""
    feeds, scenarios = market.feeds, rules.stress.scenarios
    marks = [plain_expiry(market, e, 1.0, second=second) for e in range(len(feeds))]
    profits, basis = [], 0.0
    for s in range(len(scenarios)):
        move, skew = 1 + scenarios.grid.move[s], scenarios.skew[s]
        total = (market.perp_quantity * market.perp_price + moving) * (move - 1)
        for e, mark in enumerate(marks):
            years, rate = feeds.seconds[e] / YEAR, max(feeds.rate[e], 0)
            worth = plain_expiry(market, e, move, scenarios.grid.volatility[s], skew, second)
            if worth >= 0:
                scale, added = (1.0, 0.08) if second else (4.0, 0.05)
                worth *= 0.95 * math.exp(-years * (rate * scale + added))
            elif second:
                worth *= min(math.exp(rate * years), 1.04 * math.exp(years * (rate * 0.5 + 0.08)))
            total += -abs(worth - mark) if skew != FLAT else worth - mark
        profits.append(total * scenarios.grid.weight[s])
    up, down, added, a_year = (1.045, 0.955, 0.5, 2.0) if second else (1.05, 0.95, 0.25, 0.01)
    for e, mark in enumerate(marks):
        lost = min(plain_expiry(market, e, move, second=second) - mark for move in (up, down))
        basis += min(lost, 0) * (added + a_year * feeds.seconds[e] / YEAR)
    return min(*profits, basis), sum(marks), [*profits, basis]


def plain_naked(market):
    held = {}
    for e, strike, _, q, _ in rows(market):
        held[e, strike] = held.get((e, strike), 0.0) + q
    return sum(max(-q, 0) for q in held.values())


def plain_confidence(market, threshold, margin, size):
    least = min(market.spot_confidence, market.perp_confidence if market.perp_quantity else 1.0)
    total = low(least, threshold, margin * size * market.spot)
    for e in range(len(market.feeds)):
        held = sum(abs(q) for row, _, _, q, _ in rows(market) if row == e)
        worst = min(least, market.feeds.confidence[e], market.feeds.volatility_confidence[e])
        total += low(worst, threshold, margin * held * market.spot)
    return total


def plain_pmrm(portfolio):
    (market,) = portfolio.markets.values()
    size, spot = abs(market.perp_quantity), market.spot
    base = market.base * spot / portfolio.stable_price
    loss, marks, profits = plain_loss(market, base, PMRM, second=False)
    loss -= (0.02 * size + 0.02 * market.base + 0.01 * plain_naked(market)) * spot
    worth = portfolio.cash + marks + base + market.perp_profit + market.perp_funding
    penalty = plain_confidence(market, 0.6, 0.5, size + market.base)
    factor = 1.3 + 2 * max(0.98 - portfolio.stable_price, 0)
    return worth + loss * factor - penalty, worth + loss, profits


def plain_pmrm2(portfolio):
    (market,) = portfolio.markets.values()
    size, spot, held = abs(market.perp_quantity), market.spot, portfolio.collateral
    initial = maintenance = portfolio.cash + market.perp_profit + market.perp_funding
    moving = 0.0
    for n, name in enumerate(held.names):
        terms = PMRM_2.collateral["ETH"][name]
        value = held.quantity[n] * held.price[n] / portfolio.stable_price
        moving += value * terms.moves_with_spot
        maintenance += value * (1 - terms.maintenance_haircut)
        initial += value * (1 - terms.maintenance_haircut - terms.initial_haircut)
        initial -= low(min(held.confidence[n], market.spot_confidence), 0.55, value)
    loss, marks, profits = plain_loss(market, moving, PMRM_2, second=True)
    naked = plain_naked(market)
    maintenance += marks + 0.8 * loss - (0.015 * size + 0.003 * naked) * spot
    initial += marks + (1 + 2 * max(0.98 - portfolio.stable_price, 0)) * loss - (0.02 * size + 0.005 * naked) * spot
    return initial - plain_confidence(market, 0.55, 1.0, size), maintenance, profits


@fast
@given(portfolios("srm"))
def test_standard_margin_is_the_rule_in_words(portfolio):
    margin = derive_srm_margin(portfolio, SRM)
    assert margin.initial == pytest.approx(plain_srm(portfolio, True), rel=1e-9, abs=1e-6)
    assert margin.maintenance == pytest.approx(plain_srm(portfolio, False), rel=1e-9, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(portfolios("pmrm"))
def test_first_portfolio_margin_is_the_rule_in_words(portfolio):
    margin, (initial, maintenance, profits) = derive_pmrm_margin(portfolio, PMRM), plain_pmrm(portfolio)
    assert [*margin.scenario_profit, margin.stress.basis] == pytest.approx(profits, rel=1e-9, abs=1e-6)
    assert (margin.initial, margin.maintenance) == pytest.approx((initial, maintenance), rel=1e-9, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(portfolios("pmrm2"))
def test_second_portfolio_margin_is_the_rule_in_words(portfolio):
    margin, (initial, maintenance, profits) = derive_pmrm2_margin(portfolio, PMRM_2), plain_pmrm2(portfolio)
    assert [*margin.scenario_profit, margin.stress.basis] == pytest.approx(profits, rel=1e-9, abs=1e-6)
    assert (margin.initial, margin.maintenance) == pytest.approx((initial, maintenance), rel=1e-9, abs=1e-6)


# Properties.


@for_each_manager
@fast
@given(data=st.data(), more=st.floats(-1e4, 1e4))
def test_cash_counts_in_full_and_initial_is_stricter(manager, data, more):
    portfolio = data.draw(portfolios(manager))
    first, second = (MANAGERS[manager](p) for p in (portfolio, replace(portfolio, cash=portfolio.cash + more)))
    for name in ("initial", "maintenance", "mark_to_market"):
        assert getattr(second, name) - getattr(first, name) == pytest.approx(more, abs=1e-6)
    assert first.initial <= first.maintenance + 1e-9


@for_each_manager
@fast
@given(data=st.data(), share=st.floats(0.1, 4))
def test_margin_scales_with_the_subaccount(manager, data, share):
    portfolio = data.draw(portfolios(manager))
    one, scaled = MANAGERS[manager](portfolio), MANAGERS[manager](portfolio.scaled(share))
    assert scaled.initial == pytest.approx(share * one.initial, rel=1e-9, abs=1e-6)
    assert scaled.maintenance == pytest.approx(share * one.maintenance, rel=1e-9, abs=1e-6)


@for_each_manager
@fast
@given(data=st.data())
def test_order_of_legs_does_not_matter(manager, data):
    portfolio = data.draw(portfolios(manager))
    (market,) = portfolio.markets.values()
    order = np.array(data.draw(st.permutations(range(len(market.options)))), int)
    legs = OptionLegs(*(getattr(market.options, name)[order] for name in OptionLegs.__dataclass_fields__))
    one = MANAGERS[manager](portfolio)
    other = MANAGERS[manager](replace(portfolio, markets={"ETH": replace(market, options=legs)}))
    assert (other.initial, other.maintenance) == pytest.approx((one.initial, one.maintenance), abs=1e-6)


@pytest.mark.parametrize("manager", ["pmrm", "pmrm2"])
@fast
@given(data=st.data(), extra=leg)
def test_long_and_short_of_one_contract_is_no_risk_to_portfolio_margin(manager, data, extra):
    portfolio = data.draw(portfolios(manager))
    (market,) = portfolio.markets.values()
    sure = replace(market, spot_confidence=1.0, perp_confidence=1.0)
    sure = replace(sure, feeds=replace(market.feeds, confidence=np.ones(5), volatility_confidence=np.ones(5)))
    both = with_legs(with_legs(sure, extra, 1.0), extra, -1.0)
    one, other = (MANAGERS[manager](replace(portfolio, markets={"ETH": m})) for m in (sure, both))
    assert (other.initial, other.maintenance) == pytest.approx((one.initial, one.maintenance), abs=1e-6)


def with_legs(market, extra, quantity):
    seconds, strike, right, volatility = extra
    legs = market.options
    new = OptionLegs.of([seconds], [strike * 100.0], right, quantity, volatility)
    columns = (np.append(getattr(legs, name), getattr(new, name)) for name in OptionLegs.__dataclass_fields__)
    return replace(market, options=OptionLegs(*columns))


@fast
@given(markets, markets, st.floats(-5000, 5000), stables)
def test_standard_margin_of_two_markets_is_the_sum(eth, btc, cash, stable):
    both = derive_srm_margin(DerivePortfolio(cash, {"ETH": eth, "BTC": btc}, stable), SRM)
    alone = [derive_srm_margin(DerivePortfolio(0.0, {"X": market}, stable), SRM) for market in (eth, btc)]
    for name in ("initial", "maintenance", "mark_to_market"):
        assert getattr(both, name) == pytest.approx(cash + sum(getattr(m, name) for m in alone), abs=1e-6)


@fast
@given(markets, leg)
def test_a_long_option_costs_no_more_standard_margin_than_its_premium(market, extra):
    before = derive_srm_margin(DerivePortfolio(0.0, {"ETH": market}), SRM)
    bought = with_legs(market, extra, 0.7)
    after = derive_srm_margin(DerivePortfolio(0.0, {"ETH": bought}), SRM)
    assert after.mark_to_market >= before.mark_to_market - 1e-9
    assert after.initial >= before.initial - 1e-6
    assert after.maintenance >= before.maintenance - 1e-6


@pytest.mark.parametrize("manager", ["pmrm", "pmrm2"])
@fast
@given(data=st.data())
def test_the_worst_scenario_is_the_minimum(manager, data):
    margin = MANAGERS[manager](data.draw(portfolios(manager)))
    profit, worst = margin.scenario_profit, margin.worst_scenario
    least = min(profit.min(), margin.stress.basis)
    assert margin.stress.loss == least <= 0
    assert (margin.stress.basis if worst == len(profit) else profit[worst]) == least
    kept = margin.mark_to_market + margin.maintenance_factor * least - margin.maintenance_contingencies.total
    assert margin.maintenance == pytest.approx(kept, abs=1e-6)


@for_each_manager
@fast
@given(data=st.data())
def test_doubt_lowers_initial_margin_only(manager, data):
    portfolio = data.draw(portfolios(manager))
    (market,) = portfolio.markets.values()
    held = portfolio.collateral
    sure = replace(market, spot_confidence=1.0, perp_confidence=1.0)
    sure = replace(sure, feeds=replace(market.feeds, confidence=np.ones(5), volatility_confidence=np.ones(5)))
    certain = replace(held, confidence=np.ones(len(held.names)))
    doubted = MANAGERS[manager](portfolio)
    trusted = MANAGERS[manager](replace(portfolio, markets={"ETH": sure}, collateral=certain))
    assert doubted.initial <= trusted.initial + 1e-9
    assert doubted.maintenance == trusted.maintenance


def test_naked_shorts_net_calls_and_puts_at_one_strike():
    legs = OptionLegs.of([DAY, DAY, DAY, 2 * DAY], [100.0] * 4, [CALL, PUT, CALL, CALL], [-2.0, 1.5, -1.0, 9.0], 0.5)
    market = DeriveMarket(100.0, options=legs, feeds=ExpiryFeeds.of([DAY, 2 * DAY], 100.0))
    assert naked_shorts(market) == pytest.approx(1.5)


def test_skew_scenarios_turn_every_expiry_against_the_holder():
    feeds = ExpiryFeeds.of([7 * DAY, 30 * DAY], 2000.0)
    legs = OptionLegs.of([7 * DAY, 30 * DAY], [2500.0, 2500.0], CALL, [1.0, -1.0], 0.6)
    both = DeriveMarket(2000.0, options=legs, feeds=feeds)
    apart = [replace(both, options=replace(legs, quantity=legs.quantity * mask)) for mask in ([1, 0], [0, 1])]
    profits = [MANAGERS["pmrm2"](DerivePortfolio(0.0, {"ETH": m})).scenario_profit for m in (both, *apart)]
    skewed = PMRM_2.stress.scenarios.skew != FLAT
    assert sorted(PMRM_2.stress.scenarios.skew[skewed]) == [LINEAR, ABSOLUTE]
    assert (profits[1][skewed] < 0).all() and (profits[2][skewed] < 0).all()
    assert profits[0] == pytest.approx(profits[1] + profits[2], abs=1e-9)


def test_an_expiry_that_gains_either_way_does_not_lower_the_basis_charge_of_another():
    feeds = ExpiryFeeds.of([7 * DAY, 30 * DAY], 2000.0)
    straddle = OptionLegs.of([7 * DAY] * 2, [2000.0] * 2, [CALL, PUT], 1.0, 0.5)
    both = with_legs(DeriveMarket(2000.0, options=straddle, feeds=feeds), (30 * DAY, 21, CALL, 0.6), -1.0)
    alone = replace(both, options=replace(both.options, quantity=[0.0, 0.0, -1.0]))
    gaining = replace(both, options=straddle)
    for manager in ("pmrm", "pmrm2"):
        basis = [MANAGERS[manager](DerivePortfolio(0.0, {"ETH": m})).stress.basis for m in (both, alone, gaining)]
        assert basis[0] == pytest.approx(basis[1]) != 0
        assert basis[2] == 0
