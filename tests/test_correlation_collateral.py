"""Collateral against positions: weights are slopes of equity, and the kernel is its plain twin."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.correlation.collateral import (
    COLLATERAL_FEATURES,
    SeriesWeights,
    collateral_correlation,
    split_weights,
)
from margincast.features.correlation.ewma import ewma_covariance
from margincast.features.volatility.estimators import log_returns
from margincast.riskcore.accounts import csr_rows
from margincast.riskcore.errors import InputError
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import UNIT_INDEX, MarketState
from margincast.riskcore.rulebook import HaircutSchedule

SEEDS = st.integers(0, 2**32 - 1)


def dense(weights, series):
    out = np.zeros((len(weights), series))
    np.add.at(out, (csr_rows(weights.pointer), weights.series), weights.weight)
    return out


def without_haircuts(rules):
    return replace(rules, haircuts={asset: HaircutSchedule([0], [1.0]) for asset in rules.haircuts})


def moved(history, bar, factors):
    last = history.close[bar - 1] * factors
    index = np.where(history.index_series == UNIT_INDEX, 1.0, last[history.index_series])
    return MarketState(history.times[bar - 1] + history.step, last[history.mark_series], index)


@given(SEEDS)
@settings(max_examples=30)
def test_together_the_weights_are_the_slope_of_equity_in_each_log_price(draw, seed):
    history, book = draw.history(seed, 30), draw.book(seed, 8)
    rules = without_haircuts(draw.rules(seed))
    positions, collateral = split_weights(book, np.full(8, 20), history)
    weights, step = dense(positions, 7) + dense(collateral, 7), 1e-5
    scale = np.abs(dense(positions, 7)).sum(axis=1) + np.abs(dense(collateral, 7)).sum(axis=1) + 1.0
    for series in range(7):
        factor = np.where(np.arange(7) == series, np.exp(step), 1.0)
        up, down = (evaluate(book, moved(history, 20, f), rules).equity for f in (factor, 1 / factor))
        assert (np.abs((up - down) / (2 * step) - weights[:, series]) <= 1e-6 * scale).all()


@given(SEEDS)
@settings(max_examples=30)
def test_collateral_is_what_is_held_in_coins(draw, seed):
    history, book = draw.history(seed, 30), draw.book(seed, 8)
    bars = np.random.default_rng(seed).integers(1, 31, 8)
    _, collateral = split_weights(book, bars, history)
    expected = np.zeros((8, 7))
    for pool in range(8):
        for k in range(book.balance_pointer[pool], book.balance_pointer[pool + 1]):
            series = history.index_series[book.balance_asset[k]]
            if series != UNIT_INDEX:
                expected[pool, series] += book.balance[k] * history.close[bars[pool] - 1, series]
    np.testing.assert_allclose(dense(collateral, 7), expected, rtol=1e-12, atol=1e-9)


def twin(positions, collateral, row, covariance):
    """One pool at a time, by the formulas, with dense vectors."""
    out, series = [], covariance.shape[1]
    for w, c, place in zip(dense(positions, series), dense(collateral, series), row, strict=True):
        held = (w != 0) | (c != 0)
        matrix = covariance[place][np.ix_(held, held)]
        w, c = w[held], c[held]
        own, coins, cross = w @ matrix @ w, c @ matrix @ c, c @ matrix @ w
        both, equity = np.sqrt(coins) + np.sqrt(own), (c + w) @ matrix @ (c + w)
        known = [
            cross / np.sqrt(own * coins) if own > 0 and coins > 0 else np.nan,
            cross / own if own > 0 else np.nan,
            np.sqrt(coins) / both if both > 0 else np.nan,
            np.sqrt(max(equity, 0.0) / (coins + own)) if both > 0 else np.nan,
        ]
        out.append(known)
    return np.array(out)


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_is_its_plain_twin(draw, seed):
    history, book = draw.history(seed, 120, volatility=0.02), draw.book(seed, 60)
    covariance = ewma_covariance(log_returns(history.close), 20.0, np.array([30, 60, 118]))
    row = np.random.default_rng(seed).integers(0, 3, 60)
    positions, collateral = split_weights(book, np.array([31, 61, 119])[row], history)
    found = collateral_correlation(positions, collateral, row, covariance)
    assert found.shape == (60, len(COLLATERAL_FEATURES)) and np.isnan(found[:, 0]).any()
    np.testing.assert_allclose(found, twin(positions, collateral, row, covariance), rtol=1e-8, atol=1e-9)


def one_pool(position, coin):
    series = np.array([0, 1])
    return tuple(SeriesWeights(np.array([0, 2]), series, np.array(weights)) for weights in (position, coin))


def seen(position, coin, rho):
    covariance = 1e-4 * np.array([[[1.0, rho], [rho, 1.0]]])
    values = collateral_correlation(*one_pool(position, coin), np.array([0]), covariance)[0]
    return dict(zip(COLLATERAL_FEATURES, values.tolist(), strict=True))


def test_a_long_secured_by_a_like_coin_is_wrong_way_and_a_short_is_not():
    wrong, right = seen([300.0, 0.0], [0.0, 100.0], 0.8), seen([-300.0, 0.0], [0.0, 100.0], 0.8)
    assert wrong["collateral_correlation"] == pytest.approx(0.8)
    assert right["collateral_correlation"] == pytest.approx(-0.8)
    assert wrong["collateral_beta"] == pytest.approx(0.8 / 3)
    assert wrong["wrong_way_ratio"] > 1 > right["wrong_way_ratio"]
    assert wrong["collateral_risk_share"] == right["collateral_risk_share"] == pytest.approx(0.25)


def test_equal_and_alike_is_the_largest_ratio_and_a_whole_hedge_is_none():
    assert seen([100.0, 0.0], [100.0, 0.0], 0.3)["wrong_way_ratio"] == pytest.approx(np.sqrt(2))
    assert seen([-100.0, 0.0], [100.0, 0.0], 0.3)["wrong_way_ratio"] == 0.0


def test_without_coins_or_without_positions():
    none = SeriesWeights(np.array([0, 0]), np.array([], np.int64), np.array([]))
    some = SeriesWeights(np.array([0, 1]), np.array([0]), np.array([5.0]))
    covariance = np.array([[[1e-4]]])
    row = np.array([0])
    np.testing.assert_array_equal(collateral_correlation(some, none, row, covariance), [[np.nan, 0.0, 0.0, 1.0]])
    np.testing.assert_array_equal(collateral_correlation(none, some, row, covariance), [[np.nan, np.nan, 1.0, 1.0]])
    assert np.isnan(collateral_correlation(none, none, row, covariance)).all()
    assert np.isnan(collateral_correlation(some, some, row, covariance * np.nan)).all()


def test_the_order_of_positions_does_not_change_a_bit(draw):
    history, book = draw.history(3, 40), draw.book(3, 20)
    order = np.lexsort((-np.arange(len(book.quantity)), book.position_pool))
    names = ("position_instrument", "quantity", "entry_price", "leverage")
    turned = type(book)(**{**vars(book), **{name: getattr(book, name)[order] for name in names}})
    one, other = (split_weights(b, np.full(20, 30), history)[0] for b in (book, turned))
    for name in ("pointer", "series", "weight"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_what_cannot_be_seen_is_refused(draw):
    history, book = draw.history(1, 40, gaps=0.5), draw.book(1, 20)
    with pytest.raises(InputError, match="without a price"):
        split_weights(book, np.full(20, 7), history)
    with pytest.raises(InputError, match="bar from 1 to 40"):
        split_weights(book, np.full(20, 41), history)
    with pytest.raises(InputError, match="expected"):
        split_weights(book, np.full(3, 7), history)
    positions, collateral = one_pool([1.0, 1.0], [1.0, 0.0])
    with pytest.raises(InputError, match="positions.series"):
        collateral_correlation(positions, collateral, np.array([0]), np.ones((1, 1, 1)))
    with pytest.raises(InputError, match="row"):
        collateral_correlation(positions, collateral, np.array([1]), np.ones((1, 2, 2)))
