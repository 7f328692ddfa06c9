"""Stress paths: what each shock does, by numbers worked out by hand, and what is refused."""

import numpy as np
import pytest

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.stress import library
from margincast.riskcore.stress.path import StressPath, price_path

TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC", "USDC"])
MARKET = MarketState(np.datetime64("2024-01-01", "ns"), [100.0, 10.0], [1.0, 100.0, 1.0])
ONES, ON = np.ones((2, 3)), [True, True]
BETA, SIGMA = [1.0, 1.5], [0.03, 0.05]


def test_the_fall_of_a_flash_crash_is_that_of_the_market_times_beta():
    path = library.flash_crash(TABLE, BETA, fall=0.36, steps=4, recovery=0.25)
    np.testing.assert_allclose(path.mark[3], [0.64, 0.64**1.5], rtol=1e-14)
    np.testing.assert_allclose(path.mark[4], [0.64**0.75, 0.64 ** (1.5 * 0.75)], rtol=1e-14)
    assert path.depth[3] == pytest.approx(0.1) and (np.diff(path.mark[:4, 0]) < 0).all()


def test_collateral_moves_with_its_contract_and_other_coins_stand_still():
    path = library.flash_crash(TABLE, BETA)
    np.testing.assert_array_equal(path.index[:, 1], path.mark[:, 0])
    assert (path.index[:, [0, 2]] == 1).all()


def test_a_coin_without_a_contract_of_its_name_moves_with_its_inverse_contract():
    table = InstrumentTable(("BTCUSD", "ETHUSD"), [1, 1], [100.0, 10.0], [1, 2], ("USD", "BTC", "ETH", "GOLD"))
    path = library.flash_crash(table, BETA)
    np.testing.assert_array_equal(path.index[:, 1:3], path.mark)
    assert (path.index[:, [0, 3]] == 1).all()


def test_a_spike_swings_by_new_standard_deviations_down_first():
    path = library.volatility_spike(TABLE, SIGMA, multiple=3, deviations=2, swings=2)
    np.testing.assert_allclose(np.log(path.mark), [[-0.18, -0.3], [0.18, 0.3]], rtol=1e-12)
    assert (path.volatility == 3).all()


def test_to_one_all_fall_and_reversed_half_of_them_rise():
    one = library.correlation_to_one(TABLE, SIGMA, deviations=5)
    np.testing.assert_allclose(np.log(one.mark), [[-0.15, -0.25]], rtol=1e-12)
    first, second = library.correlation_reversed(TABLE, SIGMA, deviations=3)
    np.testing.assert_allclose(np.log(first.mark), [[0.09, -0.15]], rtol=1e-12)
    np.testing.assert_allclose(first.mark * second.mark, 1.0, rtol=1e-15)


def test_a_depeg_moves_one_asset_only():
    path = library.depeg(TABLE, "USDC", fall=0.13)
    assert path.index.tolist() == [[1.0, 1.0, 0.87]] and (path.mark == 1).all()


def test_the_venue_sees_old_marks_while_the_oracle_is_out():
    path = library.oracle_outage(TABLE, [1.0, 1.0], fall=0.2, steps=2)
    seen = [path.seen(MARKET, k).mark[0] for k in range(len(path))]
    true = [path.at(MARKET, k).mark[0] for k in range(len(path))]
    np.testing.assert_allclose(seen, [100.0, 100.0, 80.0])
    np.testing.assert_allclose(true, [100 * 0.8**0.5, 80.0, 80.0])
    assert path.trading.all()


def test_nothing_trades_in_an_exchange_outage_though_marks_are_seen():
    path = library.exchange_outage(TABLE, [1.0, 1.0], fall=0.2, steps=2)
    assert path.trading.tolist() == [False, False, True] and path.oracle.all()


def history() -> MarketHistory:
    close = np.array([[100.0, 10.0, 1.0], [80.0, 9.0, 0.9], [90.0, 9.5, 1.0], [np.nan] * 3])
    times = np.datetime64("2024-01-01", "ns") + np.arange(4) * np.timedelta64(1, "h")
    return MarketHistory(TABLE, times, close, close, close, close, [0, 1], [-1, 0, 2], np.zeros((4, 2)))


def test_a_replay_applies_what_closes_did():
    bars = history()
    path = library.historical_replay(bars, bars.times[1], bars.times[3])
    np.testing.assert_allclose(path.mark, [[0.8, 0.9], [0.9, 0.95]])
    np.testing.assert_allclose(path.index, [[1, 0.8, 0.9], [1, 0.9, 1]])


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (1, 4, "has no mark price throughout .* \\(found 'BTC'\\)"),
        (0, 2, "needs a bar before it"),
        (2, 2, "needs a bar before it and an end after"),
    ],
)
def test_replays_that_are_refused(first, last, message):
    bars = history()
    times = np.append(bars.times, bars.times[-1] + bars.step)
    with pytest.raises(InputError, match=message):
        library.historical_replay(bars, times[first], times[last])


def test_the_standard_ones_are_all_there_and_named_apart():
    paths = library.standard_stresses(TABLE, BETA, SIGMA, pegged=["USDC"])
    names = [path.name for path in paths]
    assert len(set(names)) == len(names) == 9
    assert all(path.told for path in paths)


def test_scaling_is_in_logs():
    path = library.flash_crash(TABLE, BETA)
    np.testing.assert_allclose(np.log(path.scaled(0.5).mark), 0.5 * np.log(path.mark), rtol=1e-13)
    np.testing.assert_array_equal(path.scaled(0.5).depth, path.depth)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: library.flash_crash(TABLE, BETA, fall=1.0), "column fall: must be in \\(0, 1\\) \\(found 1.0\\)"),
        (lambda: library.flash_crash(TABLE, [1.0]), "column beta: has shape \\(1,\\), expected \\(2,\\)"),
        (lambda: library.flash_crash(TABLE, [1.0, np.nan]), "row 1, column beta: must be a finite number"),
        (lambda: library.flash_crash(TABLE, BETA, steps=0), "column steps: must be a whole number from 1"),
        (lambda: library.flash_crash(TABLE, BETA, recovery=np.nan), "column recovery: must be a number in \\[0, 1\\]"),
        (lambda: library.volatility_spike(TABLE, SIGMA, multiple=0.0), "column multiple: must be a number in"),
        (lambda: library.volatility_spike(TABLE, SIGMA, swings=0), "column swings: must be a whole number from 1"),
        (lambda: library.correlation_to_one(TABLE, SIGMA, deviations=np.inf), "column deviations"),
        (lambda: library.liquidity_drought(TABLE, BETA, depth=2.0), "column depth"),
        (lambda: library.depeg(TABLE, "USDT"), "it cannot lose its peg to itself"),
        (lambda: library.depeg(TABLE, "DAI"), "unknown asset"),
        (lambda: price_path("x", "", np.zeros((0, 2)), TABLE), "needs at least one step"),
        (lambda: price_path("x", "", [[1.0, -1.0]], TABLE), "column mark: must be positive \\(found -1.0\\)"),
        (lambda: price_path("x", "", [1.0], TABLE, depth=-1.0), "column depth: must not be negative"),
        (
            lambda: StressPath(
                "x", "", np.ones((2, 1)), np.ones((2, 1)), np.ones(1), np.ones(2), [True] * 2, [True] * 2
            ),
            "column depth: has 1 steps, the marks have 2",
        ),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
