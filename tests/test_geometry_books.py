"""Velocity, options, collateral and liquidity of account books, against plain twins and by hand."""

import datetime as dt
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.accounts.collateral_fragility import CollateralShock, collateral_fragility
from margincast.features.accounts.headroom_velocity import HeadroomVelocity
from margincast.features.accounts.liquidity_distance import liquidation_cost, liquidity_adjusted, net_notional
from margincast.features.accounts.option_worst_point import option_worst_point
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin_plain import plain_margin
from margincast.riskcore.market import MarketState
from margincast.riskcore.options.option_holdings import OptionHoldings, evaluate_options
from margincast.riskcore.options.option_table import OptionTable
from margincast.riskcore.options.short_option import load_short_option_rules
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.stress.option_books import OptionSetting

SEEDS = st.integers(0, 2**20)
NAN = np.nan
HOUR = np.timedelta64(1, "h")
START = np.datetime64("2024-01-01", "ns")

# velocity


def run(step, sights, accounts, restart=False):
    """Velocities after each sight (hour, {account: (headroom, risk)})."""
    state, out = step.start(accounts), []
    for hour, seen in sights:
        who = np.array(list(seen), np.int64)
        headroom, risk = np.array(list(seen.values())).T
        step.update(state, START + np.timedelta64(int(hour * 60), "m"), who, headroom, risk)
        if restart:
            buffer = io.BytesIO()
            np.savez(buffer, **state)
            buffer.seek(0)
            with np.load(buffer, allow_pickle=False) as stored:
                state = {name: stored[name].copy() for name in stored.files}
        out.append(step.read(state))
    return np.array(out)


def sights_of(seed, accounts=4, number=60):
    rng = np.random.default_rng(seed)
    hours = np.cumsum(rng.choice([0.25, 1.0, 3.0], number))
    return [
        (
            hour,
            {a: (rng.normal(100, 10), rng.uniform(1, 9)) for a in range(accounts) if rng.random() < 0.7}
            or {0: (9.0, 1.0)},
        )
        for hour in hours
    ]


@pytest.mark.parametrize("seed", range(3))
def test_velocity_is_a_plain_weighted_mean_of_paces(seed):
    sights, half_lives = sights_of(seed), {"1h": 1.0, "24h": 24.0}
    found = run(HeadroomVelocity(half_lives), sights, 4)[-1]
    for account in range(4):
        seen = [(hour, *values[account]) for hour, values in sights if account in values]
        for column, half_life in enumerate(half_lives.values()):
            paces, weights, age = [], [], 0.0
            for (h0, x0, _), (h1, x1, risk) in reversed(list(zip(seen, seen[1:], strict=False))):
                paces.append((x1 - x0) / risk / (h1 - h0))
                weights.append(0.5 ** (age / half_life) * (1 - 0.5 ** ((h1 - h0) / half_life)))
                age += h1 - h0
            assert found[account, column] == pytest.approx(np.average(paces, weights=weights), rel=1e-9)


def test_velocity_survives_a_restart_in_every_bit_and_does_not_look_ahead():
    step, sights = HeadroomVelocity({"1h": 1.0, "6h": 6.0}), sights_of(7)
    whole = run(step, sights, 4)
    assert np.array_equal(run(step, sights, 4, restart=True), whole, equal_nan=True)
    other = sights[:40] + [(hour, {0: (1.0, 1.0)}) for hour, _ in sights[40:]]
    assert np.array_equal(run(step, other, 4)[:40], whole[:40], equal_nan=True)
    assert not np.array_equal(run(step, other, 4)[40:], whole[40:], equal_nan=True)


def test_velocity_does_not_grow_with_the_account_and_has_the_sign_of_the_change():
    step, sights = HeadroomVelocity({"1h": 1.0}), sights_of(8)
    large = [(hour, {a: (1e4 * h, 1e4 * r) for a, (h, r) in seen.items()}) for hour, seen in sights]
    np.testing.assert_allclose(run(step, large, 4), run(step, sights, 4), rtol=1e-9)
    deposit = run(step, [(0, {0: (10.0, 2.0)}), (1, {0: (14.0, 2.0)})], 1)[-1]
    assert deposit.tolist() == [[2.0]]


def test_velocity_after_a_long_absence_without_risk_and_of_new_accounts():
    step = HeadroomVelocity({"1h": 1.0}, most_hours=5.0)
    found = run(step, [(0, {0: (10.0, 1.0)}), (1, {0: (9.0, 1.0)}), (9, {0: (0.0, 1.0)}), (10, {0: (-2.0, 1.0)})], 2)
    assert found[1, 0, 0] == -1.0 and np.isnan(found[2, 0, 0]) and found[3, 0, 0] == -2.0
    assert np.isnan(found[:, 1]).all()
    assert np.isnan(run(step, [(0, {0: (10.0, 0.0)}), (1, {0: (9.0, 0.0)})], 1)).all()
    state = step.grown(step.start(1), 3)
    assert len(state["time"]) == 3 and step.read(state).shape == (3, 1)
    assert step.declarations[0].name == "headroom_velocity_1h"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((START, [0], [1.0], [1.0]), "row 0, column time: was last seen not before 2024"),
        ((START + HOUR, [5], [1.0], [1.0]), "row 0, column accounts: is not there .found 5"),
        ((START + HOUR, [1, 1], [1.0] * 2, [1.0] * 2), "column accounts: stands there twice"),
        ((START + HOUR, [0], [1.0] * 2, [1.0]), "column headroom: has shape"),
    ],
)
def test_sights_that_cannot_be_used_are_refused(arguments, message):
    step = HeadroomVelocity({"1h": 1.0})
    state = step.start(2)
    step.update(state, START, np.array([0]), np.array([1.0]), np.array([1.0]))
    time, *columns = arguments
    with pytest.raises(InputError, match=message):
        step.update(state, time, *(np.array(column) for column in columns))


def test_half_lives_must_be_there():
    with pytest.raises(InputError, match="needs a half-life"):
        HeadroomVelocity({})
    with pytest.raises(InputError, match="column 1h: must be positive"):
        HeadroomVelocity({"1h": 0.0})


# options

FUTURES = InstrumentTable.linear_perpetuals(["BTC", "ETH"], base="USD")
SHORT_RULES = load_short_option_rules("deribit_options")
OPTION_RULES = RuleBook(
    "one", dt.date(2024, 1, 1), dict.fromkeys(FUTURES.symbols, RateSchedule.cliff([0.0], [0.02], [50.0])), base="USD"
)
NOW = np.datetime64("2024-01-02", "ns")
EXPIRY = np.datetime64("2024-02-01", "ns")
OPTIONS = OptionTable(
    ("BC", "BP", "EC"), ("BTC", "BTC", "ETH"), [EXPIRY] * 3, [60_000.0, 55_000.0, 3_000.0], [1, -1, 1], [1.0, 1.0, 1.0]
)


def setting(holdings, cash, futures=()):
    """Pools with {contract: quantity} and so much cash; futures: (pool, instrument, quantity)."""
    n = len(holdings)
    rows = [(contract, quantity) for held in holdings for contract, quantity in held.items()]
    pointer = np.append(0, np.cumsum([len(held) for held in holdings]))
    marks = np.array([60_000.0, 3_000.0])
    legs = sorted(futures)
    position = np.searchsorted([pool for pool, *_ in legs], np.arange(n + 1))
    names = [f"a{k}" for k in range(n)]
    places = [i for _, i, _ in legs]
    fields = position, places, [q for *_, q in legs], [marks[i] for i in places], [NAN] * len(legs)
    book = AccountBook(FUTURES, names, ["m"] * n, [""] * n, np.arange(n + 1), np.zeros(n, int), cash, *fields)
    held = OptionHoldings(OPTIONS, pointer, [c for c, _ in rows], [q for _, q in rows])
    return OptionSetting(
        book, held, MarketState(NOW, marks, [1.0]), np.array([0.6, 0.7, 0.8]), OPTION_RULES, SHORT_RULES
    )


def test_the_worst_point_and_its_greeks_are_those_of_a_plain_search():
    one = setting(
        [{0: -2.0, 1: -1.0}, {0: 3.0, 2: -40.0}, {0: 1.0}, {}],
        [60_000.0, 30_000.0, 5_000.0, 3_000.0],
        [(1, 0, -0.5), (3, 1, 1.0)],
    )
    moves, factors = (-0.2, -0.1, 0.0, 0.1, 0.2), (0.6, 1.0, 1.5)
    found = option_worst_point(one, moves, factors)

    def headroom(move, factor):
        market = MarketState(NOW, one.market.mark * (1 + move), [1.0])
        spot = market.mark[one.underlying]
        premium = OPTIONS.value(NOW, spot, one.volatility * factor)
        return evaluate_options(one.book, one.held, market, spot, premium, OPTION_RULES, SHORT_RULES).pools.headroom

    def value(pool, move, factor):
        premium = OPTIONS.value(NOW, one.market.mark[one.underlying] * (1 + move), one.volatility * factor)
        mine = one.held.pool == pool
        return (one.held.units[mine] * premium[one.held.contract[mine]]).sum()

    now = headroom(0.0, 1.0)
    table = np.array([[headroom(move, factor) for factor in factors] for move in moves])
    for pool in range(4):
        i, j = np.unravel_index(np.argmin(table[:, :, pool]), table.shape[:2])
        assert (found.move[pool], found.volatility[pool]) == (moves[i], factors[j])
        assert found.loss[pool] == pytest.approx(now[pool] - table[i, j, pool])
        if now[pool] > 0:
            assert found.usage[pool] == pytest.approx(found.loss[pool] / now[pool])
        m, f, h = moves[i], factors[j], 1e-4
        # delta is the value for a move by the whole of the *moved* price
        second = (value(pool, m + h, f) - 2 * value(pool, m, f) + value(pool, m - h, f)) / h**2 * (1 + m) ** 2
        assert found.gamma[pool] == pytest.approx(0.01 * second, rel=1e-3, abs=1e-3)
        vega = sum(
            one.held.units[k]
            * OPTIONS.greeks(NOW, one.market.mark[one.underlying] * (1 + m), one.volatility * f).vega[c]
            for k, c in enumerate(one.held.contract)
            if one.held.pool[k] == pool
        )
        assert found.vega[pool] == pytest.approx(0.01 * vega, rel=1e-9)


def test_short_options_are_short_gamma_and_vega_at_their_worst_and_long_ones_long():
    found = option_worst_point(setting([{0: -1.0, 1: -1.0}, {0: 1.0, 1: 1.0}], [40_000.0, 1_000.0]))
    assert (found.gamma[0] < 0) and (found.vega[0] < 0) and (found.gamma[1] > 0) and (found.vega[1] > 0)
    assert abs(found.move[0]) == 0.16 and found.volatility.tolist() == [1.45, 0.7]


def test_scaling_an_option_book_leaves_its_shares():
    small, large = (setting([{0: -1.0 * k, 2: 5.0 * k}], [30_000.0 * k]) for k in (1.0, 50.0))
    one, other = option_worst_point(small), option_worst_point(large)
    assert other.usage == pytest.approx(one.usage) and other.gamma == pytest.approx(50 * one.gamma)
    headroom = np.array([1e4])
    np.testing.assert_allclose(other.over_headroom(50 * headroom), one.over_headroom(headroom), rtol=1e-9)
    assert np.isnan(one.over_headroom(np.array([-1.0]))).all()
    empty = option_worst_point(setting([{}], [-10.0], [(0, 0, 1.0)]))
    assert empty.usage.tolist() == [np.inf] and empty.gamma.tolist() == [0.0]


# collateral


@given(SEEDS)
@settings(max_examples=15)
def test_fragility_is_that_of_the_plain_rule(draw, seed):
    world, rng = draw.world(seed), np.random.default_rng(seed)
    shock = CollateralShock(
        rng.uniform(-0.3, 0.1, 6), np.append(0, rng.uniform(-0.3, 0, 3)), np.append(0, rng.uniform(0, 0.2, 3))
    )
    found = collateral_fragility(world.book, world.market, world.rules, shock)
    table = world.book.instruments
    haircuts = {
        asset: HaircutSchedule(h.floors, np.clip(h.rates - wider, 0, None))
        for asset, wider in zip(table.assets, shock.wider, strict=True)
        for h in [world.rules.haircut_of(asset, table.base)]
    }
    wider = RuleBook("wider", dt.date(2024, 1, 1), world.rules.schedules, haircuts, closing_fee=world.rules.closing_fee)
    mark = world.market.mark * (1 + shock.marks)
    markets = [
        (world.market, world.rules),
        (MarketState(world.market.time, mark, world.market.index), world.rules),
        (MarketState(world.market.time, mark, world.market.index * (1 + shock.assets)), wider),
    ]
    for pool in range(len(world.book)):
        now, marks_only, whole = (e - m for e, m in (plain_margin(world.book, *one, pool) for one in markets))
        scale = world.gross[pool]
        assert found.headroom[pool] == pytest.approx(now, rel=1e-9, abs=1e-9 * scale)
        assert found.loss[pool] == pytest.approx(marks_only - whole, rel=1e-7, abs=1e-9 * scale)
        if found.headroom[pool] > 1e-6 * scale:
            assert found.share[pool] == pytest.approx(found.loss[pool] / found.headroom[pool])


COINS = InstrumentTable.linear_perpetuals(["BTC"], collateral=["BTC", "USDC"])
COIN_RULES = RuleBook(
    "coins",
    dt.date(2024, 1, 1),
    {"BTC": RateSchedule.cliff([0.0], [0.05], [20.0])},
    {"BTC": HaircutSchedule([0.0], [0.9]), "USDC": HaircutSchedule([0.0], [1.0])},
)
COIN_MARKET = MarketState(np.datetime64("2024-01-01"), [100.0], [1.0, 100.0, 1.0])


def coin_pool(usdt, btc, usdc, quantity=1.0):
    fields = [0, 3], [0, 1, 2], [usdt, btc, usdc], [0, 1], [0], [quantity], [100.0], [NAN]
    return AccountBook(COINS, ["a"], ["m"], [""], *fields)


def test_stable_collateral_is_not_fragile_and_more_coin_is_more_so():
    shock = CollateralShock.fall(COINS, 0.2, 0.1, stable=("USDC",))
    shares = [
        collateral_fragility(coin_pool(usdt, btc, usdc), COIN_MARKET, COIN_RULES, shock).share[0]
        for usdt, btc, usdc in ((30.0, 0.0, 0.0), (0.0, 0.0, 30.0), (15.0, 0.15, 0.0), (0.0, 0.4, 0.0))
    ]
    assert shares[:2] == [0.0, 0.0] and 0 < shares[2] < shares[3]
    # 0.15 coins count 13.5 of 100 each and then 0.15 * 80 * 0.8 = 9.6
    assert shares[2] == pytest.approx((13.5 - 9.6) / (15 + 13.5 - 5))
    broke = collateral_fragility(coin_pool(0.0, 0.01, 0.0), COIN_MARKET, COIN_RULES, shock)
    assert broke.share.tolist() == [np.inf]


@pytest.mark.parametrize("factor", [0.1, 100.0])
def test_fragility_does_not_grow_with_the_account(factor):
    shock = CollateralShock.fall(COINS, 0.3, 0.05)
    one = collateral_fragility(coin_pool(20.0, 0.2, 1.0), COIN_MARKET, COIN_RULES, shock)
    many = coin_pool(20.0 * factor, 0.2 * factor, factor, factor)
    assert collateral_fragility(many, COIN_MARKET, COIN_RULES, shock).share == pytest.approx(one.share)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([-1.0], [0.0, 0, 0], [0.0, 0, 0]), "row 0, column marks: must be above -1"),
        (([-0.1], [-0.1, 0, 0], [0.0, 0, 0]), "row 0, column assets: the base asset neither moves"),
        (([-0.1], [0.0, 0, 0], [0.0, 2.0, 0]), "row 1, column wider: must be in .0, 1."),
    ],
)
def test_shocks_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        CollateralShock(*arguments)
    with pytest.raises(InputError, match="column marks: has shape"):
        collateral_fragility(
            coin_pool(1.0, 1.0, 1.0), COIN_MARKET, COIN_RULES, CollateralShock([0.0] * 2, [0.0] * 3, [0.0] * 3)
        )


# liquidity


def test_notional_nets_the_legs_of_a_pool(draw):
    world = draw.world(2, pools=20)
    book, market, table = world.book, world.market, world.book.instruments
    mark, index = market.mark[book.position_instrument], market.index[book.position_asset]
    expected = np.zeros((20, len(table)))
    for k in range(len(book.quantity)):
        i, size = book.position_instrument[k], book.position_size[k]
        value = size / mark[k] if table.kind[i] else size * mark[k]
        expected[book.position_pool[k], i] += value * index[k]
    np.testing.assert_allclose(net_notional(book, mark, index), expected, rtol=1e-12)


def test_cost_is_its_plain_twin_and_grows_faster_than_the_size():
    rng = np.random.default_rng(0)
    notional = rng.normal(0, 1e5, (9, 4)) * (rng.random((9, 4)) < 0.6)
    row = rng.integers(0, 3, 9)
    sigma, volume, spread = rng.uniform(0.01, 0.1, (3, 4)), rng.lognormal(15, 1, (3, 4)), rng.uniform(0, 0.01, (3, 4))
    found = liquidation_cost(notional, row, sigma, volume, spread, 0.8)
    for p in range(9):
        total = sum(
            abs(q) * (spread[row[p], i] / 2 + 2 / 3 * 0.8 * sigma[row[p], i] * (abs(q) / volume[row[p], i]) ** 0.5)
            for i, q in enumerate(notional[p])
        )
        assert found[p] == pytest.approx(total, rel=1e-12)
    assert liquidation_cost(4 * notional, row, sigma, volume, 0 * spread) == pytest.approx(
        8 * liquidation_cost(notional, row, sigma, volume, 0 * spread)
    )


def test_two_thirds_is_the_mean_of_a_square_root_path():
    fills = (np.arange(100_000) + 0.5) / 100_000
    impact = liquidation_cost(np.array([[50.0]]), np.array([0]), [[0.05]], [[5e3]], [[0.0]])[0] / 50.0
    assert impact == pytest.approx(np.mean(0.05 * np.sqrt(fills * 50.0 / 5e3)), rel=1e-6)


def test_missing_figures_of_what_is_not_held_do_not_matter():
    notional = np.array([[100.0, 0.0], [0.0, 100.0], [0.0, 0.0]])
    figures = np.array([[0.05, NAN]]), np.array([[0.0, 1e4]]), np.array([[0.001, 0.001]])
    found = liquidation_cost(notional, np.zeros(3, int), *figures)
    assert found[0] == np.inf and np.isnan(found[1]) and found[2] == 0.0
    with pytest.raises(InputError, match="column volume.*must not be negative"):
        liquidation_cost(notional, np.zeros(3, int), figures[0], -figures[2], figures[2])


def test_the_adjusted_distance_keeps_what_is_left_of_the_headroom():
    headroom = np.array([30.0, 30.0, -5.0, 30.0])
    exposure = Exposure(np.arange(5), np.zeros(4, int), np.ones(4), headroom, headroom + 10, np.full(4, 10.0))
    distance = np.array([[10.0], [10.0], [-2.0], [np.inf]])
    found = liquidity_adjusted(distance, exposure, np.array([6.0, 45.0, 3.0, 3.0]))
    assert found[:, 0].tolist() == pytest.approx([8.0, -5.0, -2.0, np.inf])
    assert np.array_equal(liquidity_adjusted(distance, exposure, np.zeros(4)), distance)
