"""Advice: closed forms of the smallest measures, every size tried one by one, and the rules of the venue kept."""

import datetime as dt
import json
from types import SimpleNamespace

import numpy as np
import pytest
import small_market as small
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from margincast.models.closing_cost import DepthLadder
from margincast.models.liquidation_cost import execution_cost
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.records import book_from_records
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.what_if import with_deposit, with_hedge, with_leg_reduction, with_reduction
from margincast.training.account_features import BarRisk
from margincast.training.advice import SCAN, advise
from margincast.training.advice_costs import HOURS_A_YEAR, AdviceCosts, ladders_before, usual_costs
from margincast.training.advice_search import least_steps
from margincast.training.population import simulate_accounts

TARGET = 0.05
FREE = AdviceCosts(capital_per_year=0.0, fee=0.0, slippage=0.0)
SIGMA = np.array([0.04, 0.04, 0.06])
DAY = dt.date(2024, 1, 1)
NOTIONAL, RATE = 10_000.0, 0.005
Z = float(norm.isf(TARGET))


class NormalScorer:
    """A forecaster whose answer is known in closed form: headroom falls short on a normal move over the horizon.

    BTC and TWIN move as one, OTHER by itself; maintenance is one rate of notional.
    """

    def __init__(self, rate: float, leverage: float = 50.0, **rules: object) -> None:
        self.table = InstrumentTable.linear_perpetuals(["BTC", "TWIN", "OTHER"])
        prices = np.tile([100.0, 50.0, 20.0], (2, 1))
        times = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
        self.history = MarketHistory(
            self.table, times, prices, prices, prices, prices, [0, 1, 2], [-1], np.zeros((2, 3))
        )
        schedules = {symbol: RateSchedule.cliff([0.0], [rate], [leverage]) for symbol in self.table.symbols}
        self.rules = RuleBook("example", DAY, schedules, **rules)
        self.market = self.history.state_at(1)
        data = SimpleNamespace(bar_hours=1.0, depth=None, history=self.history)
        self.view = SimpleNamespace(data=data, history=self.history)
        self.bar, self.horizons, self.model = 1, ("24h",), SimpleNamespace(horizons=(24,))
        correlation = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        self.risk = BarRisk(np.array([1]), np.repeat(SIGMA[None, :, None], 3, axis=2), correlation[None])
        self.covariance = correlation * np.outer(SIGMA, SIGMA)

    def sample(self, book):
        return SimpleNamespace(exposure=linearise(book, self.market, self.history, self.rules))

    def predict(self, book):
        exposure = self.sample(book).exposure
        weight = np.zeros((len(book), 3))
        np.add.at(weight, (exposure.pool, exposure.series), exposure.weight)
        spread = np.sqrt(np.maximum(np.einsum("pi,ij,pj->p", weight, self.covariance, weight), 1e-18))
        held = np.diff(book.position_pointer) > 0
        return {"forecast": np.where(held, norm.sf(exposure.headroom / spread), 0.0)[:, None]}

    def long(self, equity: float, *legs: tuple[str, float]) -> AccountBook:
        marks = dict(zip(self.table.symbols, self.market.mark, strict=True))
        positions = [{"symbol": s, "quantity": q, "entry_price": float(marks[s])} for s, q in legs]
        return book_from_records([{"account": "a", "balances": {"USDT": equity}, "positions": positions}], self.table)


def advice_of(scorer, book, costs=FREE, **options):
    return advise(scorer, book, horizon="24h", target=TARGET, costs=costs, **options)


# -- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("equity", [100.0, 300.0, 600.0])
def test_the_smallest_deposit_is_that_of_the_closed_form(equity):
    """Headroom + deposit = z * sigma * N * (1 - m)."""
    scorer = NormalScorer(RATE)
    needed = Z * 0.04 * NOTIONAL * (1 - RATE) - (equity - RATE * NOTIONAL)
    found = advice_of(scorer, scorer.long(equity, ("BTC", 100.0))).deposit[0]
    assert found == pytest.approx(np.ceil(needed * 100) / 100, abs=1e-9)


@pytest.mark.parametrize("fee", [0.0, 0.002])
@pytest.mark.parametrize("equity", [200.0, 300.0, 600.0])
def test_the_smallest_cut_is_that_of_the_closed_form_its_fee_paid(equity, fee):
    """headroom + c N (m - fee) = z sigma N (1 - m) (1 - c)."""
    scorer = NormalScorer(RATE)
    needed = Z * 0.04 * NOTIONAL * (1 - RATE)
    share = (needed - (equity - RATE * NOTIONAL)) / (needed + NOTIONAL * (RATE - fee))
    costs = AdviceCosts(fee=fee, slippage=0.0)
    found = advice_of(scorer, scorer.long(equity, ("BTC", 100.0)), costs).cut[0]
    assert found == pytest.approx(np.ceil(share * 1000) / 1000, abs=1e-9)


@pytest.mark.parametrize("fee", [0.0, 0.001])
def test_the_smallest_hedge_is_that_of_the_closed_form(fee):
    """Sold h of the twin, which needs margin too: headroom - h (m + fee) = z sigma (N (1 - m) - h (1 + m))."""
    scorer, equity = NormalScorer(RATE), 500.0
    spread = Z * 0.04
    sold = (spread * NOTIONAL * (1 - RATE) - (equity - RATE * NOTIONAL)) / (spread * (1 + RATE) - RATE - fee)
    hedge = advice_of(scorer, scorer.long(equity, ("BTC", 100.0)), AdviceCosts(fee=fee, slippage=0.0)).hedge
    step = NOTIONAL * (1 - RATE) / 1000 / 50.0
    assert hedge.symbol.tolist() == ["TWIN"]
    assert hedge.quantity[0] / step == pytest.approx(-np.ceil(sold / 50.0 / step), abs=1e-6)


def test_a_hedge_in_a_twin_is_the_cut_where_margin_and_fees_vanish():
    scorer = NormalScorer(1e-9, leverage=1e6)
    for equity in (150.0, 300.0, 600.0):
        advice = advice_of(scorer, scorer.long(equity, ("BTC", 100.0)))
        assert 0 < advice.cut[0] < 0.9
        assert -advice.hedge.quantity[0] * 50.0 / NOTIONAL == pytest.approx(advice.cut[0], abs=1e-6)
        assert advice.hedge.probability[0] == pytest.approx(advice.cut_probability[0], abs=1e-6)


@given(
    share=st.floats(0.0, 1.0),
    quantity=st.floats(0.01, 50.0) | st.floats(-50.0, -0.01),
    entry=st.floats(50.0, 200.0),
    fee=st.floats(0.0, 0.01),
)
@settings(max_examples=60, deadline=None)
def test_a_hedge_in_the_instrument_held_is_a_cut(share, quantity, entry, fee):
    scorer = NormalScorer(RATE)
    book = book_from_records(
        [
            {
                "account": "a",
                "balances": {"USDT": 9000.0},
                "positions": [
                    {"symbol": "BTC", "quantity": quantity, "entry_price": entry},
                    {"symbol": "OTHER", "quantity": 3.0, "entry_price": 20.0},
                ],
            }
        ],
        scorer.table,
    )
    cut = with_leg_reduction(book, [share, 0.0], scorer.market, fee_rate=fee)
    hedged = with_hedge(book, 0, -share * quantity, scorer.market, fee_rate=fee)
    one, other = (evaluate(changed, scorer.market, scorer.rules) for changed in (cut, hedged))
    assert one.equity == pytest.approx(other.equity, rel=1e-12)
    assert one.maintenance == pytest.approx(other.maintenance, rel=1e-9, abs=1e-9)
    paid = evaluate(book, scorer.market, scorer.rules).equity - one.equity
    assert paid == pytest.approx(fee * share * abs(quantity) * 100.0, abs=1e-8)


def test_the_leg_that_helps_is_cut_and_the_one_that_hedges_is_not():
    """Closing some of the short of the twin would bare the long."""
    scorer = NormalScorer(RATE)
    leg = advice_of(scorer, scorer.long(400.0, ("BTC", 100.0), ("TWIN", -80.0))).leg
    assert leg.symbol.tolist() == ["BTC"] and leg.quantity[0] < 0 and 0 < leg.share[0] < 1
    assert leg.quantity[0] == pytest.approx(-leg.share[0] * 100.0)


def test_the_leg_cut_is_the_one_of_least_notional_not_of_least_share():
    """Per notional a cut takes off weight * sigma^2: 8,000 * 0.04^2 of BTC, 4,000 * 0.06^2 of OTHER, which is more."""
    scorer = NormalScorer(RATE)
    book, share = scorer.long(690.0, ("BTC", 80.0), ("OTHER", 200.0)), np.arange(1001) / 1000
    first = {}
    for leg in (0, 1):
        cases = book.take(np.zeros(len(share), np.int64))
        cut = with_leg_reduction(cases, np.where(np.arange(2002) % 2 == leg, np.repeat(share, 2), 0.0), scorer.market)
        first[leg] = share[np.flatnonzero(scorer.predict(cut)["forecast"][:, 0] <= TARGET)[0]]
    assert 0 < first[0] < first[1] and first[1] * 4000 < first[0] * 8000
    leg = advice_of(scorer, book).leg
    assert leg.symbol.tolist() == ["OTHER"] and leg.share[0] == pytest.approx(first[1])


def test_an_instrument_of_no_correlation_is_no_hedge_and_a_single_leg_no_leg_cut():
    scorer = NormalScorer(RATE)
    advice = advice_of(scorer, scorer.long(300.0, ("OTHER", 500.0)))
    assert advice.hedge.symbol.tolist() == [""] and advice.leg.symbol.tolist() == [""]
    assert advice.record(0)["hedge"] is None and advice.record(0)["leg_cut"] is None


def test_an_isolated_pool_is_offered_no_hedge():
    scorer = NormalScorer(RATE)
    position = {"symbol": "BTC", "quantity": 100.0, "entry_price": 100.0, "mode": "isolated", "isolated_margin": 600.0}
    book = book_from_records([{"account": "a", "balances": {"USDT": 0.0}, "positions": [position]}], scorer.table)
    mine = book.take(np.flatnonzero(book.isolated == "BTC"))
    assert advice_of(scorer, mine).hedge.symbol.tolist() == [""]


def test_a_hedge_that_the_venue_would_refuse_is_not_advised():
    """Equity of 300 is above maintenance and below the initial margin of the positions at 50x, 400 with the hedge."""
    scorer = NormalScorer(RATE)
    advice = advice_of(scorer, scorer.long(190.0, ("BTC", 100.0)))
    assert advice.hedge.symbol.tolist() == [""] and np.isfinite(advice.cut[0])


def test_a_pool_that_may_only_reduce_is_offered_no_hedge():
    strict = NormalScorer(RATE, reduce_only_ratio=0.05)
    book = strict.long(500.0, ("BTC", 100.0))
    assert advice_of(strict, book).hedge.symbol.tolist() == [""]
    assert advice_of(NormalScorer(RATE), book).hedge.symbol.tolist() == ["TWIN"]


# -- the cheapest mix -----------------------------------------------------------------------------------------------


def ladder(*resting: float) -> DepthLadder:
    return DepthLadder([10.0, 100.0, 500.0], list(resting), list(resting))


@pytest.mark.parametrize("capital", [0.0, 5.0, 20.0, 40.0, 1000.0])
def test_the_cheapest_mix_is_near_the_cheapest_of_all_cuts_with_the_deposit_each_leaves(capital):
    """One leg and rising impact: every cut by 0.1%, the deposit in closed form, the cost by `execution_cost`."""
    scorer, equity = NormalScorer(RATE), 300.0
    depth, hours = ladder(2000.0, 6000.0, 20_000.0), 24.0
    costs = AdviceCosts(capital_per_year=capital, fee=0.0005, ladders={"BTC": depth, "TWIN": ladder(1, 2, 3)})
    share = np.arange(991) / 1000
    paid = [0.0]
    for sold in share[1:] * NOTIONAL:
        paid.append(sold * (0.0005 + execution_cost(depth.level_bps, depth.bid[None], sold)[0]))
    headroom = equity - RATE * NOTIONAL * (1 - share) - np.array(paid)
    deposit = np.maximum(Z * 0.04 * NOTIONAL * (1 - RATE) * (1 - share) - headroom, 0.0)
    every = np.array(paid) + deposit * capital * hours / HOURS_A_YEAR
    mix = advice_of(scorer, scorer.long(equity, ("BTC", 100.0)), costs).cheapest
    assert every.min() - 1e-6 <= mix.cost[0] <= 1.02 * every.min() + 0.01 * capital * hours / HOURS_A_YEAR + 1e-6


def test_the_cheapest_mix_can_be_a_mix():
    scorer = NormalScorer(RATE)
    ladders = {"BTC": ladder(2000.0, 6000.0, 20_000.0), "TWIN": ladder(1.0, 2.0, 3.0)}
    costs = AdviceCosts(capital_per_year=20.0, fee=0.0005, ladders=ladders)
    mix = advice_of(scorer, scorer.long(300.0, ("BTC", 100.0)), costs).cheapest
    assert mix.deposit[0] > 0 and mix.kind[0] == "position_cut" and mix.cut[0] > 0


def test_the_mix_deposits_no_more_cash_than_there_is():
    scorer = NormalScorer(RATE)
    book = scorer.long(300.0, ("BTC", 100.0))
    costs = AdviceCosts(capital_per_year=0.0)
    free, bound = advice_of(scorer, book, costs), advice_of(scorer, book, costs, cash=100.0)
    assert free.cheapest.kind.tolist() == [""] and free.cheapest.deposit == free.deposit
    assert bound.cheapest.deposit[0] <= 100.0 and bound.cheapest.kind[0] != ""
    assert bound.cheapest.cost[0] >= free.cheapest.cost[0]
    assert (bound.deposit == free.deposit).all()


def test_a_cut_is_no_larger_than_what_rests_in_the_book():
    scorer = NormalScorer(RATE)
    book = scorer.long(300.0, ("BTC", 100.0))
    deep, thin = (
        advice_of(scorer, book, AdviceCosts(fee=0.0, ladders={"BTC": ladder(*resting)}))
        for resting in ((9000.0, 9000.0, 9000.0), (100.0, 200.0, 400.0))
    )
    assert np.isfinite(deep.cut[0]) and np.isnan(thin.cut[0])
    assert thin.cheapest.deposit[0] > 0


# -- every size tried one by one on the hybrid ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorer():
    return small.scorer()


@pytest.fixture(scope="module")
def book(scorer):
    drawn = simulate_accounts(
        scorer.view.history,
        small.RULES,
        accounts=100,
        first_bar=scorer.bar,
        last_bar=scorer.bar + 1,
        horizons=(1, 24),
        seed=21,
    )
    return drawn.book


@pytest.fixture(scope="module")
def advice(scorer, book):
    return advise(scorer, book, horizon="24h", target=TARGET)


@pytest.fixture(scope="module")
def costs(scorer):
    return usual_costs(scorer.view.data, scorer.rules, scorer.bar)


def probability(scorer, book) -> np.ndarray:
    stage = evaluate(book, scorer.market, scorer.rules).stage
    return np.where(stage >= Stage.LIQUIDATION, 1.0, scorer.predict(book)["forecast"][:, -1])


def reduced(scorer, costs, book, share) -> AccountBook:
    """Shares of every position closed, what it costs taken from the ladders at that size."""
    traded = -book.quantity * share
    rate = costs.trade_rates(book.instruments, scorer.market, book.position_instrument, traded)
    return with_leg_reduction(book, share, scorer.market, fee_rate=rate)


def hedged(scorer, costs, book, instrument, quantity):
    """The book, and whether the venue takes the trade: initial margin is covered and the pool was not in trouble."""
    rate = costs.trade_rates(book.instruments, scorer.market, np.full(len(book), instrument), quantity)
    after = with_hedge(book, instrument, quantity, scorer.market, fee_rate=rate)
    margin = evaluate(after, scorer.market, scorer.rules)
    before = evaluate(book, scorer.market, scorer.rules)
    return after, (margin.equity >= margin.initial) & (before.stage < Stage.REDUCE_ONLY)


def endangered(advice, chosen, count: int) -> list[int]:
    return np.flatnonzero((advice.deposit > 0) & chosen)[:count].tolist()


def test_no_smaller_cut_of_all_is_enough(scorer, book, advice, costs):
    pools = endangered(advice, np.isfinite(advice.cut), 4)
    assert len(pools) == 4
    for pool in pools:
        steps = np.arange(991)
        cases = book.take(np.full(len(steps), pool))
        enough = probability(scorer, reduced(scorer, costs, cases, (steps / 1000)[cases.position_pool])) <= TARGET
        assert advice.cut[pool] == np.flatnonzero(enough)[0] / 1000


def test_no_smaller_cut_of_one_leg_is_enough(scorer, book, advice, costs):
    found = endangered(advice, advice.leg.symbol != "", 3)
    without = endangered(advice, (advice.leg.symbol == "") & (np.diff(book.position_pointer) > 1), 1)
    assert found and without
    for pool in [*found, *without]:
        steps, least = np.arange(1001), np.inf
        cases = book.take(np.full(len(steps), pool))
        place = np.arange(len(cases.quantity)) - cases.position_pointer[cases.position_pool]
        for leg in range(int(np.diff(book.position_pointer)[pool])):
            share = np.where(place == leg, (steps / 1000)[cases.position_pool], 0.0)
            enough = np.flatnonzero(probability(scorer, reduced(scorer, costs, cases, share)) <= TARGET)
            entry = book.position_pointer[pool] + leg
            worth = abs(book.quantity[entry]) * scorer.market.mark[book.position_instrument[entry]]
            least = min(least, worth * enough[0] / 1000) if len(enough) else least
        if np.isfinite(least):
            symbol = small.SYMBOLS.index(advice.leg.symbol[pool])
            assert abs(advice.leg.quantity[pool]) * scorer.market.mark[symbol] == pytest.approx(least)
        else:
            assert not advice.leg.symbol[pool]


def may_be_found(enough) -> np.ndarray:
    """Steps a search may end at: where sizes that are enough begin, in the gap below the first enough of the scan."""
    scanned = np.ceil(np.arange(SCAN + 1) * (len(enough) - 1) / SCAN).astype(int)
    first = np.flatnonzero(enough[scanned])
    if len(first) == 0 or first[0] == 0:
        return scanned[first[:1]]
    gap = np.arange(scanned[first[0] - 1] + 1, scanned[first[0]] + 1)
    return gap[enough[gap] & ~enough[gap - 1]]


def test_no_smaller_hedge_in_any_instrument_and_on_any_side_is_enough(scorer, book, advice, costs):
    """But where a hedge beyond helps less: then one smaller may hide between two sizes of the scan, and only there."""
    hedges = endangered(advice, advice.hedge.symbol != "", 3)
    without = endangered(advice, (advice.hedge.symbol == "") & (book.isolated == ""), 1)
    assert hedges and without
    gross, exact = scorer.sample(book).exposure.gross, 0
    for pool in [*hedges, *without]:
        steps, found = np.arange(1001), []
        cases, held = book.take(np.full(len(steps), pool)), slice(*book.position_pointer[pool : pool + 2])
        for instrument, mark in enumerate(scorer.market.mark):
            net = book.quantity[held][book.position_instrument[held] == instrument].sum()
            for side in (1.0, -1.0):
                if net * side < 0:
                    continue  # a cut
                quantity = side * steps / 1000 * gross[pool] / mark
                after, taken = hedged(scorer, costs, cases, instrument, quantity)
                ends = may_be_found((probability(scorer, after) <= TARGET) & taken)
                if len(ends):
                    found.append(abs(quantity[ends]) * mark)
        if not found:
            assert not advice.hedge.symbol[pool]
            continue
        notional = abs(advice.hedge.quantity[pool]) * scorer.market.mark[small.SYMBOLS.index(advice.hedge.symbol[pool])]
        assert np.isclose(notional, np.concatenate(found), rtol=1e-6, atol=0).any()
        assert notional <= min(ends.max() for ends in found) * (1 + 1e-6)
        exact += notional == pytest.approx(min(ends.min() for ends in found))
    assert exact >= 2


def test_every_measure_is_out_of_breach_and_at_the_target(scorer, book, advice, costs):
    """Built again from the record alone, by riskcore, and forecast by the scorer."""
    for pool in endangered(advice, np.ones(len(book), bool), 60):
        record, one = advice.record(pool), book.take(np.array([pool]))
        for name in ("leg_cut", "hedge", "cheapest"):
            measure = record[name]
            if measure is None:
                continue
            after = rebuilt(scorer, costs, one, measure if name == "cheapest" else {"deposit": 0.0, name: measure})
            margin = evaluate(after, scorer.market, scorer.rules)
            assert margin.headroom[0] > 0 and margin.stage[0] < Stage.LIQUIDATION
            said = probability(scorer, after)[0]
            assert said <= TARGET and said == pytest.approx(measure["probability_after"], abs=1e-9)


def rebuilt(scorer, costs, one, measure) -> AccountBook:
    after = with_deposit(one, measure["deposit"])
    if "position_cut" in measure:
        after = reduced(scorer, costs, after, np.full(len(one.quantity), measure["position_cut"]))
    for name in {"leg_cut", "hedge"} & set(measure):
        instrument = small.SYMBOLS.index(measure[name]["symbol"])
        quantity = np.array([measure[name]["quantity"]])
        after, taken = hedged(scorer, costs, after, instrument, quantity)
        assert taken[0] or name == "leg_cut"
    return after


@pytest.mark.parametrize("capital", [0.0, 40.0])
def test_the_cheapest_mix_is_never_dearer_than_a_pure_measure_and_costs_what_it_says(scorer, book, costs, capital):
    stated = AdviceCosts(capital_per_year=capital, ladders=costs.ladders)
    advice = advise(scorer, book, horizon="24h", target=TARGET, costs=stated)
    day = capital * 24 / HOURS_A_YEAR

    def rate(symbol: str, quantity: float) -> float:
        place = small.SYMBOLS.index(symbol)
        (paid,) = stated.trade_rates(book.instruments, scorer.market, np.array([place]), np.array([quantity]))
        return paid * abs(quantity) * scorer.market.mark[place]

    def closing(pool: int, share: float) -> float:
        legs = range(*book.position_pointer[pool : pool + 2])
        return sum(rate(small.SYMBOLS[book.position_instrument[e]], -share * book.quantity[e]) for e in legs if share)

    kinds = set()
    for pool in endangered(advice, np.ones(len(book), bool), 60):
        record = advice.record(pool)
        mix, pure = record["cheapest"], []
        pure += [] if record["deposit"] is None else [record["deposit"] * day]
        pure += [] if record["position_cut"] is None else [closing(pool, record["position_cut"])]
        pure += [rate(record[n]["symbol"], record[n]["quantity"]) for n in ("leg_cut", "hedge") if record[n]]
        assert mix["cost"] <= min(pure) * (1 + 1e-9)
        parts = mix["deposit"] * day + closing(pool, mix.get("position_cut", 0.0))
        parts += sum(rate(mix[n]["symbol"], mix[n]["quantity"]) for n in ("leg_cut", "hedge") if n in mix)
        assert mix["cost"] == pytest.approx(parts, rel=1e-9, abs=1e-12)
        assert mix["costs_assumed"] == stated.record()
        kinds.add(advice.cheapest.kind[pool])
    assert kinds == {""} if capital == 0 else len(kinds) > 1


def test_a_pool_is_advised_the_same_alone_and_in_company(scorer, book, advice):
    for pool in endangered(advice, np.ones(len(book), bool), 4):
        alone = advise(scorer, book.take(np.array([pool])), horizon="24h", target=TARGET)
        assert alone.record(0) == advice.record(pool)


def test_safe_pools_and_pools_without_positions_need_nothing(scorer):
    rows = [{"account": "idle", "balances": {"USDT": 5.0}}]
    idle = book_from_records(rows, scorer.view.history.instruments)
    advice = advise(scorer, idle, horizon="24h", target=TARGET)
    assert (advice.deposit[0], advice.cut[0]) == (0.0, 0.0)
    assert advice.record(0)["cheapest"] is None and len(advice.lines(0, "USDT", TARGET, "24h")) == 1


def test_records_are_json_and_lines_say_each_measure_once(advice):
    for pool in range(len(advice.deposit)):
        record = json.loads(json.dumps(advice.record(pool), allow_nan=False))
        lines = advice.lines(pool, "USDT", TARGET, "24h")
        for name, word in (("leg_cut", "close"), ("hedge", "as a hedge"), ("cheapest", "cheapest:")):
            if record[name] is not None:
                assert "probability_after" in record[name] and any(word in line for line in lines)
        if record["hedge"]:
            verb = "buy" if record["hedge"]["quantity"] > 0 else "sell"
            assert any(line.startswith(verb) and record["hedge"]["symbol"] in line for line in lines)


# -- costs ----------------------------------------------------------------------------------------------------------


def test_usual_costs_take_the_fee_of_the_rule_book_and_the_depth_last_seen(scorer):
    data, history = scorer.view.data, scorer.view.history
    costs = usual_costs(data, scorer.rules, scorer.bar)
    assert costs.fee_from == "default" and sorted(costs.ladders) == sorted(small.SYMBOLS)
    venue = RuleBook("example", DAY, {}, closing_fee=0.0006)
    assert (usual_costs(data, venue, scorer.bar).fee, usual_costs(data, venue, scorer.bar).fee_from) == (
        0.0006,
        "rule-book",
    )
    stamps = data.depth["timestamp"].dt.tz_localize(None).to_numpy()
    known = data.depth[(stamps < history.times[scorer.bar - 2] + history.step) & (data.depth["symbol"] == "ETH")]
    last = known[known["timestamp"] == known["timestamp"].max()]
    found = ladders_before(data, scorer.bar - 1)["ETH"]
    for side in ("bid", "ask"):
        rows = last[last["side"] == side].sort_values("level_bps")
        assert getattr(found, side).tolist() == rows["notional"].tolist()


def test_what_is_sold_walks_out_through_the_bids_and_what_is_bought_through_the_asks():
    scorer = NormalScorer(RATE)
    costs = AdviceCosts(fee=0.0, ladders={"BTC": DepthLadder([10.0, 20.0], [200.0, 200.0], [0.0, 300.0])})
    rates = costs.trade_rates(scorer.table, scorer.market, np.zeros(4, np.int64), np.array([-2.0, 2.0, -3.0, 3.0]))
    assert rates == pytest.approx([0.001, 0.002, np.nan, 0.002], nan_ok=True)


def test_costs_without_depth_say_that_they_are_defaults():
    assert AdviceCosts().words().count("default") == 2
    told = AdviceCosts(fee=0.0002, fee_from="desk", slippage=0.0001, slippage_from="desk").words()
    assert "default" not in told and "fee 2 bp (desk)" in told and "slippage 1 bp (desk)" in told
    assert usual_costs(SimpleNamespace(depth=None), RuleBook("example", DAY, {}), 1).ladders == {}


@pytest.mark.parametrize("name", ["capital_per_year", "fee", "slippage"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_a_cost_that_is_none_is_refused(name, value):
    with pytest.raises(InputError, match=name):
        AdviceCosts(**{name: value})


@pytest.mark.parametrize(("name", "value"), [("cash", -1.0), ("cash", np.nan), ("target", 0.0), ("target", 1.0)])
def test_a_cash_or_target_that_is_none_is_refused(scorer, book, name, value):
    with pytest.raises(InputError, match=name):
        advise(scorer, book, **({"horizon": "24h", "target": TARGET} | {name: value}))


@pytest.mark.parametrize(
    ("call", "column"),
    [
        (lambda b, m: with_leg_reduction(b, [1.1], m), "share"),
        (lambda b, m: with_leg_reduction(b, np.nan, m), "share"),
        (lambda b, m: with_leg_reduction(b, 0.5, m, fee_rate=np.inf), "fee_rate"),
        (lambda b, m: with_reduction(b, 1.0, m), "fraction"),
        (lambda b, m: with_hedge(b, 9, 1.0, m), "instrument"),
        (lambda b, m: with_hedge(b, 0, np.nan, m), "quantity"),
        (lambda b, m: with_hedge(b, 1, 1.0, MarketState(m.time, [100.0, np.nan, 20.0], m.index)), "price"),
    ],
)
def test_changes_that_make_no_sense_are_refused(call, column):
    scorer = NormalScorer(RATE)
    with pytest.raises(InputError, match=f"column {column}"):
        call(scorer.long(300.0, ("BTC", 100.0)), scorer.market)


# -- the search -----------------------------------------------------------------------------------------------------


@given(
    most=st.lists(st.integers(0, 3000), min_size=1, max_size=4),
    edge=st.floats(-0.1, 1.3),
    power=st.floats(0.1, 30.0),
    target=st.floats(0.001, 0.9),
)
@settings(max_examples=100, deadline=None)
def test_a_falling_forecast_is_searched_exactly_and_quickly(most, edge, power, target):
    ceiling, calls = np.array(most, float), []

    def after(rows, steps):
        calls.append(len(rows))
        place = steps / np.maximum(ceiling[rows], 1.0)
        return np.where(place >= edge, 0.0, np.clip(1 - np.abs(place), 0, 1) ** power)

    found = least_steps(after, ceiling, target)
    for row, top in enumerate(most):
        enough = np.flatnonzero(after(np.full(top + 1, row), np.arange(top + 1.0)) <= target)
        assert found.steps[row] == enough[0] if len(enough) else np.isnan(found.steps[row])
    assert len(calls) - len(most) <= 1 + 2 * np.ceil(np.log2(3001)) + 2


@given(bad=st.lists(st.booleans(), min_size=1, max_size=200), scan=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_whatever_the_forecast_one_step_less_is_not_enough(bad, scan):
    table = np.where(bad, 0.9, 0.01)
    found = least_steps(lambda rows, steps: table[steps.astype(int)], np.array([len(bad) - 1.0]), 0.05, scan=scan)
    tried = np.unique(np.ceil((len(bad) - 1) * np.arange(scan + 1) / scan).astype(int))
    if np.isnan(found.steps[0]):
        assert (table[tried] > 0.05).all() and found.probability[0] == table[tried].min()
        return
    steps = int(found.steps[0])
    assert table[steps] <= 0.05 and found.probability[0] == table[steps] and found.best[0] == steps
    assert steps == 0 or table[steps - 1] > 0.05
    assert (table[tried[tried < steps]] > 0.05).all()


def test_an_unknown_forecast_is_never_enough():
    found = least_steps(lambda rows, steps: np.full(len(rows), np.nan), np.array([10.0]), 0.05)
    assert np.isnan(found.steps[0])
