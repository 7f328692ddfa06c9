"""Geometry by the exact margin of the core: own direction of loss and scenarios, against twins and closed forms."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.accounts.geometry import account_geometry
from margincast.features.accounts.headroom_search import breach_multiple, headroom_under, seen_pools
from margincast.features.accounts.loss_direction import direction_declarations, direction_distance, loss_direction
from margincast.features.accounts.scenario_usage import DECLARATIONS, ScenarioSet, scenario_usage
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise_at
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin_plain import plain_margin
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

SEEDS = st.integers(0, 2**20)
NAN, SERIES = np.nan, 7


def covariance(seed, rows=1, series=SERIES):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, series, 2 * series)) + 1.0
    scale = np.sqrt(np.einsum("mij,mij->mi", factors, factors))
    correlation = np.einsum("mij,mkj->mik", factors, factors) / scale[:, :, None] / scale[:, None, :]
    return rng.uniform(0.004, 0.03, (rows, series, 2)), correlation


class Seen:
    """Random pools at random bars of a random history."""

    def __init__(self, draw, seed, pools=12, **options):
        rng = np.random.default_rng(seed)
        self.history, self.book = draw.history(seed, 12), draw.book(seed, pools, leverage=float(rng.choice([2.0, 5.0])))
        self.rules, self.bars = draw.rules(seed, **options), rng.integers(1, 13, pools)
        self.pools = seen_pools(self.book, self.bars, self.history, self.rules)
        self.exposure = linearise_at(self.book, self.bars, self.history, self.rules)
        self.sigma, self.correlation = covariance(seed, 12)

    def headroom(self, pool, moves):
        """By the plain rule, prices of all series moved."""
        price = self.history.close[self.bars[pool] - 1] * (1 + moves)
        index = np.where(self.history.index_series >= 0, price[self.history.index_series], 1.0)
        market = MarketState(self.history.times[0], price[self.history.mark_series], index)
        equity, maintenance = plain_margin(self.book, market, self.rules, pool)
        return equity - maintenance

    def entries(self, pool):
        return slice(self.exposure.pointer[pool], self.exposure.pointer[pool + 1])


@given(SEEDS)
@settings(max_examples=20)
def test_headroom_in_scenarios_is_that_of_the_plain_rule(draw, seed):
    seen = Seen(draw, seed)
    moves = np.random.default_rng(seed).uniform(-0.3, 0.3, (4, SERIES))
    found = headroom_under(seen.pools, moves)
    scale = 1.0 + np.abs(found).max()
    for pool in range(12):
        for k, move in enumerate(moves):
            assert found[pool, k] == pytest.approx(seen.headroom(pool, move), rel=1e-9, abs=1e-9 * scale)


@given(SEEDS)
@settings(max_examples=20)
def test_headroom_flips_where_the_search_says_and_nowhere_before(draw, seed):
    """Marginal tiers; pools in breach are followed backwards to where they are out of it."""
    seen = Seen(draw, seed, kinds=("marginal",))
    direction = np.random.default_rng(seed).normal(0, 0.02, len(seen.exposure.weight))
    found = breach_multiple(seen.pools, seen.exposure, direction)
    for pool in range(12):
        own = seen.entries(pool)
        way = np.zeros(SERIES)
        way[seen.exposure.series[own]] = direction[own]
        start = seen.headroom(pool, 0 * way)
        if np.isfinite(found[pool]):
            assert np.sign(found[pool]) == np.sign(start)
            near, far = (seen.headroom(pool, found[pool] * part * way) for part in (1 - 1e-7, 1 + 1e-7))
            assert np.sign(near) == np.sign(start) and np.sign(far) == -np.sign(start)
            reach = found[pool] * np.linspace(0, 0.999, 40)
        else:
            assert found[pool] == np.copysign(np.inf, start)
            falls = -np.sign(start) * way / 0.99985
            furthest = min(1 / max(falls.max(), 1e-12), 8.99 / max((np.sign(start) * way).max(), 1e-12))
            reach = np.sign(start) * np.linspace(0, min(furthest, 1e6), 40) if (way != 0).any() else np.zeros(1)
        for multiple in reach:
            assert np.sign(seen.headroom(pool, multiple * way)) == np.sign(start)


@given(SEEDS)
@settings(max_examples=20)
def test_the_direction_is_one_sigma_long_and_costs_one_sigma(draw, seed):
    seen = Seen(draw, seed)
    row = seen.bars - 1
    found = loss_direction(seen.exposure, row, seen.sigma[:, :, 0], seen.correlation)
    for pool in range(12):
        own = seen.entries(pool)
        series, w = seen.exposure.series[own], seen.exposure.weight[own]
        if not len(series):
            continue
        scale = seen.sigma[row[pool], series, 0]
        s = seen.correlation[row[pool]][np.ix_(series, series)] * np.outer(scale, scale)
        np.testing.assert_allclose(found[own], -s @ w / np.sqrt(w @ s @ w), rtol=1e-9)
        assert found[own] @ np.linalg.solve(s, found[own]) == pytest.approx(1.0)
        assert w @ found[own] == pytest.approx(-np.sqrt(w @ s @ w))


TABLE = InstrumentTable(
    ("BTC", "ETH", "BTC_C"), [LINEAR, LINEAR, INVERSE], [1.0, 1.0, 100.0], [0, 0, 1], ("USDT", "BTC")
)
TIMES = np.datetime64("2024-01-01", "ns") + np.arange(2) * np.timedelta64(1, "h")
PRICES = np.tile([100.0, 10.0, 101.0], (2, 1))
HISTORY = MarketHistory(TABLE, TIMES, PRICES, PRICES, PRICES, PRICES, [0, 1, 2], [-1, 0], np.zeros((2, 3)))
ONE_TIER = RateSchedule.cliff([0.0], [0.05], [20.0])


def rules(schedule=ONE_TIER, haircut=1.0):
    return RuleBook(
        "one", dt.date(2024, 1, 1), dict.fromkeys(TABLE.symbols, schedule), {"BTC": HaircutSchedule([0.0], [haircut])}
    )


def one_pool(legs, usdt=0.0, btc=0.0):
    """A pool with legs {instrument: quantity} from the mark."""
    places, sizes = list(legs), list(legs.values())
    prices = [PRICES[0, place] for place in places]
    balances = [(0, usdt), (1, btc)]
    held = [(asset, amount) for asset, amount in balances if amount]
    fields = [0, len(held)], [a for a, _ in held], [x for _, x in held], [0, len(legs)], places, sizes, prices
    return AccountBook(TABLE, ["a"], ["m"], [""], *fields, [NAN] * len(legs))


def distances(book, rule=None, sigma=(0.01, 0.02, 0.01), rho=0.5):
    """Direct and first-order distance."""
    rule = rule or rules()
    bars, row = np.array([1]), np.array([0])
    pools, exposure = seen_pools(book, bars, HISTORY, rule), linearise_at(book, bars, HISTORY, rule)
    scale, correlation = np.array(sigma)[None, :, None], np.where(np.eye(3) == 1, 1.0, rho)[None]
    direct = direction_distance(pools, exposure, row, scale, correlation)[0, 0]
    return direct, account_geometry(exposure, np.zeros(1), row, scale, correlation)[0, 0]


@given(
    st.floats(-3, 3).filter(lambda q: abs(q) > 0.1),
    st.floats(-30, 30).filter(lambda q: abs(q) > 1),
    st.floats(20, 60),
    st.floats(-0.9, 0.9),
)
@settings(max_examples=60)
def test_linear_books_within_their_tier_have_the_distance_of_the_closed_form(first, second, usdt, rho):
    direct, closed = distances(one_pool({0: first, 1: second}, usdt), rho=rho)
    if np.isfinite(direct) and closed > 0:
        assert direct == pytest.approx(closed, rel=1e-9)
    else:
        assert closed <= 0 or closed * 0.02 > 0.9


def test_a_short_that_grows_into_a_dearer_tier_is_nearer_than_it_looks():
    """5% of all up to 150 and 20% of all above: at 150 the short of 1 with 60 stands at 10 - 30."""
    rule = rules(RateSchedule.cliff([0.0, 150.0], [0.05, 0.2], [20.0, 5.0]))
    direct, closed = distances(one_pool({0: -1.0}, 60.0), rule)
    assert direct == pytest.approx(0.5 / 0.01, rel=1e-9)
    assert closed == pytest.approx(55.0 / 1.05, rel=1e-9) and closed > direct


def test_an_inverse_long_with_its_own_coin_is_nearer_than_it_looks():
    """Half a coin and a face of 100 from 101: no headroom in coin where 1/2 + 100 / 101 = 105 / x."""
    book, row = one_pool({2: 1.0}, btc=0.5), np.array([0])
    direct, closed = distances(book)
    exposure = linearise_at(book, np.array([1]), HISTORY, rules())
    scale, correlation = np.array([[0.01, 0.02, 0.01]]), np.where(np.eye(3) == 1, 1.0, 0.5)[None]
    direction = loss_direction(exposure, row, scale, correlation)[exposure.series == 2]
    level = 105.0 / (0.5 + 100.0 / 101.0)
    assert direct == pytest.approx((level / 101.0 - 1.0) / direction[0], rel=1e-9)
    assert direct < 0.95 * closed


@pytest.mark.parametrize("factor", [0.01, 7.0, 1e5])
@pytest.mark.parametrize("legs", [{0: 2.0, 1: -9.0}, {2: 3.0}, {0: 1.0, 2: -2.0}])
def test_scaling_the_book_leaves_the_distance(legs, factor):
    small = distances(one_pool(legs, 40.0, 0.3), rules(haircut=0.9))
    large = distances(
        one_pool({k: q * factor for k, q in legs.items()}, 40.0 * factor, 0.3 * factor), rules(haircut=0.9)
    )
    np.testing.assert_allclose(large, small, rtol=1e-9)


@given(SEEDS)
@settings(max_examples=20)
def test_more_collateral_is_further_away(draw, seed):
    seen = Seen(draw, seed, kinds=("marginal",))
    richer = seen.book.with_amounts(np.arange(12), np.zeros(12, np.int64), np.full(12, 1e4))
    row, bars = seen.bars - 1, seen.bars
    direction = loss_direction(seen.exposure, row, seen.sigma[:, :, 0], seen.correlation)
    more = linearise_at(richer, bars, seen.history, seen.rules)
    same = np.array_equal(more.series, seen.exposure.series)
    assert same
    before = breach_multiple(seen.pools, seen.exposure, direction)
    after = breach_multiple(seen_pools(richer, bars, seen.history, seen.rules), more, direction)
    known = ~np.isnan(before) & (before > 0)
    assert (after[known] >= before[known] * (1 - 1e-9)).all()


def test_a_hedge_moves_the_pool_away_and_a_second_bet_nearer():
    alone = distances(one_pool({0: 1.0}, 30.0))[0]
    assert distances(one_pool({0: 1.0, 1: -5.0}, 30.0), rho=0.9, sigma=(0.01, 0.01, 0.01))[0] > alone
    assert distances(one_pool({0: 1.0, 1: 5.0}, 30.0), rho=0.9, sigma=(0.01, 0.01, 0.01))[0] < alone
    borrowed = distances(one_pool({0: 1.0}, 80.0, btc=-0.5), rho=1.0)[0]
    assert borrowed > 1.5 * distances(one_pool({0: 1.0}, 30.0), rho=1.0)[0]


def test_breach_and_emptiness_have_signs():
    direct, closed = distances(one_pool({0: 1.0}, 3.0))
    assert direct == pytest.approx(closed, rel=1e-9) and direct < 0
    assert distances(one_pool({}, 10.0))[0] == np.inf
    assert distances(one_pool({0: 1.0}, 500.0))[0] == np.inf
    assert np.isnan(distances(one_pool({0: 1.0, 1: 1.0}, 30.0), rho=NAN)[0])
    assert np.isnan(distances(one_pool({0: 1.0}, 30.0), sigma=(NAN, 0.01, 0.01))[0])


def test_distances_are_the_same_whatever_pools_stand_beside(draw):
    seen = Seen(draw, 5, pools=40)
    row = seen.bars - 1
    whole = direction_distance(seen.pools, seen.exposure, row, seen.sigma, seen.correlation)
    order = np.random.default_rng(0).permutation(40)[:17]
    book = seen.book.take(order)
    part = seen_pools(book, seen.bars[order], seen.history, seen.rules)
    exposure = linearise_at(book, seen.bars[order], seen.history, seen.rules)
    again = direction_distance(part, exposure, row[order], seen.sigma, seen.correlation)
    assert np.array_equal(again, whole[order], equal_nan=True)
    assert [one.name for one in direction_declarations(["6h"])] == ["direct_distance_6h"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: seen_pools(s.book, np.zeros(12, int), s.history, s.rules), "row 0, column bar: needs a bar from 1"),
        (lambda s: headroom_under(s.pools, np.zeros((1, 3))), "column moves: has shape"),
        (lambda s: headroom_under(s.pools, np.full((1, SERIES), -1.0)), "row 0, column moves.0.: must be above -1"),
        (lambda s: breach_multiple(s.pools, s.exposure, np.zeros(1)), "column direction: has shape"),
        (lambda s: loss_direction(s.exposure, s.bars, s.sigma[:, :, 0], np.ones((1, 2, 2))), "column correlation"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(draw, call, message):
    with pytest.raises(InputError, match=message):
        call(Seen(draw, 1))


# scenarios


def test_sets_of_scenarios():
    both = ScenarioSet.parallel(3, [0.1]) + ScenarioSet.single(("BTC", "ETH", "SOL"), [0.2])
    assert len(both) == 8 and both.names[:3] == ("all +10%", "all -10%", "BTC +20%")
    assert both.moves[3].tolist() == [0.0, 0.2, 0.0] and both.moves[1].tolist() == [-0.1] * 3
    with pytest.raises(InputError, match="must be above -1"):
        ScenarioSet(("gone",), np.array([[-1.0]]))


@given(SEEDS)
@settings(max_examples=15)
def test_usage_is_the_worst_loss_over_headroom(draw, seed):
    seen = Seen(draw, seed)
    grid = ScenarioSet.parallel(SERIES) + ScenarioSet.twists(SERIES, [0, 3, 4])
    under = headroom_under(seen.pools, grid.moves)
    now = headroom_under(seen.pools, np.zeros((1, SERIES)))[:, 0]
    found = scenario_usage(now, under)
    for pool in range(12):
        losses = [now[pool] - seen.headroom(pool, move) for move in grid.moves]
        worst = max(max(losses), 0.0)
        if now[pool] > 0:
            assert found.usage[pool] == pytest.approx(worst / now[pool], rel=1e-7, abs=1e-9)
            assert (found.usage[pool] >= 1) == (found.breached[pool] > 0)
        elif worst > 1e-6:
            assert found.usage[pool] == np.inf
        assert losses[found.worst[pool]] == pytest.approx(max(losses), rel=1e-7, abs=1e-6)


def test_a_twist_hurts_the_book_that_parallel_moves_leave_alone():
    book, bars = one_pool({0: 1.0, 1: -10.0}, 30.0), np.array([1])
    pools = seen_pools(book, bars, HISTORY, rules())
    now = headroom_under(pools, np.zeros((1, 3)))[:, 0]
    parallel, twist = (
        scenario_usage(now, headroom_under(pools, grid.moves)).usage[0]
        for grid in (ScenarioSet.parallel(3), ScenarioSet.twists(3, [0, 2]))
    )
    assert parallel == pytest.approx(0.08 * 0.16 * 0 + 0.16 * 10 / 20) and twist == pytest.approx(
        0.16 * 200 / 20, rel=0.1
    )


def test_what_is_not_known_of_a_scenario_is_not_known_of_its_usage():
    found = scenario_usage(
        np.array([10.0, -1.0, -1.0, 10.0]), np.array([[NAN, 1.0], [-2.0, 0.0], [5.0, 4.0], [11.0, 10.0]])
    )
    assert np.isnan(found.usage[0]) and found.usage[1:].tolist() == [np.inf, 0.0, 0.0]
    assert np.isnan(found.breached[0]) and len(DECLARATIONS) == 2
    with pytest.raises(InputError, match="needs a scenario"):
        scenario_usage(np.ones(1), np.ones((1, 0)))
