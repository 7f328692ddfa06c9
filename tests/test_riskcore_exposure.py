"""Exposures: against finite differences, exact where margin is linear, and the same at many bars as at one."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import linearise, linearise_at
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule

SEEDS = st.integers(0, 2**32 - 1)


def moved(history, bar, factors):
    """The market at a bar with the price series multiplied by factors."""
    last = history.close[bar - 1] * factors
    index = np.where(history.index_series < 0, 1.0, last[history.index_series])
    return MarketState(history.times[bar - 1] + history.step, last[history.mark_series], index)


def dense(exposure, series):
    """Weights as a matrix of pools by series."""
    out = np.zeros((len(exposure), series))
    np.add.at(out, (exposure.pool, exposure.series), exposure.weight)
    return out


@given(SEEDS)
@settings(max_examples=40)
def test_weights_are_the_slope_of_headroom_in_the_log_of_each_price(draw, seed):
    history, book, rules = draw.history(seed, 30), draw.book(seed, 10), draw.rules(seed)
    exposure = linearise(book, history.state_at(20), history, rules)
    weights, step = dense(exposure, 7), 1e-6
    scale = exposure.gross + np.abs(exposure.headroom) + 1.0
    for series in range(7):
        factor = np.where(np.arange(7) == series, np.exp(step), 1.0)
        up, here, down = (
            evaluate(book, moved(history, 20, f), rules).headroom for f in (factor, np.ones(7), 1 / factor)
        )
        # a kink within the step makes the two sides differ: the slope is then one of theirs
        sides = np.sort([(up - here) / step, (here - down) / step], axis=0)
        tolerance = 2e-5 * scale
        assert ((weights[:, series] >= sides[0] - tolerance) & (weights[:, series] <= sides[1] + tolerance)).all()


@given(SEEDS)
@settings(max_examples=40)
def test_exact_for_linear_books_within_a_tier_and_a_haircut_slice(draw, seed):
    history, book = draw.history(seed, 30), draw.book(seed, 10, instruments=range(3))
    rules = replace(
        draw.rules(seed),
        schedules={s: RateSchedule.cliff([0], [0.02 * (k + 1)], [10]) for k, s in enumerate(draw.table.symbols)},
        haircuts={a: HaircutSchedule([0], [1.0 if a == "USDT" else 0.9]) for a in draw.table.assets},
    )
    moves = np.random.default_rng(seed).normal(0, 0.1, 7)
    exposure = linearise(book, history.state_at(9), history, rules)
    told = exposure.headroom + dense(exposure, 7) @ moves
    found = evaluate(book, moved(history, 9, 1 + moves), rules).headroom
    assert (np.abs(told - found) <= 1e-12 * (exposure.gross + np.abs(exposure.equity) + 1).max()).all()


@given(SEEDS)
@settings(max_examples=40)
def test_equity_and_maintenance_are_those_of_the_margin_pass(draw, seed):
    history, book, rules = draw.history(seed, 30), draw.book(seed, 10), draw.rules(seed)
    exposure, state = linearise(book, history.state_at(5), history, rules), evaluate(book, history.state_at(5), rules)
    scale = 1 + np.abs(state.equity) + exposure.gross + state.maintenance
    for name in ("equity", "maintenance", "headroom"):
        assert (np.abs(getattr(exposure, name) - getattr(state, name)) <= 1e-10 * scale.max()).all()
    assert (np.diff(exposure.series)[np.diff(exposure.pool) == 0] > 0).all()


@given(SEEDS)
@settings(max_examples=25)
def test_at_many_bars_as_at_each(draw, seed):
    history, book, rules = draw.history(seed, 40), draw.book(seed, 12), draw.rules(seed)
    bars = np.random.default_rng(seed).integers(1, 41, 12)
    together = linearise_at(book, bars, history, rules)
    for pool, bar in enumerate(bars):
        one = np.array([pool])
        alone = linearise(book.take(one), history.state_at(int(bar)), history, rules)
        picked = together.take(one)
        for name in ("pointer", "series", "weight", "headroom", "equity", "maintenance"):
            np.testing.assert_array_equal(getattr(picked, name), getattr(alone, name))


def test_a_later_price_changes_no_exposure(draw):
    history, book, rules = draw.history(1, 40), draw.book(1, 12), draw.rules(1)
    late = (np.arange(40) >= 20)[:, None]
    other = draw.history(2, 40)
    columns = {n: np.where(late, getattr(other, n), getattr(history, n)) for n in ("open", "high", "low", "close")}
    bars = np.full(12, 20)
    one, two = (linearise_at(book, bars, h, rules) for h in (history, replace(history, **columns)))
    np.testing.assert_array_equal(one.weight, two.weight)
    np.testing.assert_array_equal(one.headroom, two.headroom)


def test_bad_questions(draw):
    history, book, rules = draw.history(1, 40, gaps=0.0), draw.book(1, 6), draw.rules(1)
    with pytest.raises(InputError, match="row 2, column bar: needs a bar from 1 to 40 \\(found 41\\)"):
        linearise_at(book, np.array([1, 40, 41, 1, 1, 1]), history, rules)
    with pytest.raises(InputError, match="row 0, column bar: needs a bar from 1"):
        linearise_at(book, np.zeros(6, int), history, rules)
    with pytest.raises(InputError, match="column bar: has shape"):
        linearise_at(book, np.array([1]), history, rules)
    other = replace(
        book, instruments=InstrumentTable.linear_perpetuals(draw.table.symbols, collateral=["BTC", "ETH", "USDC"])
    )
    for ask in (
        lambda: linearise_at(other, np.ones(6, int), history, rules),
        lambda: linearise(other, history.state_at(1), history, rules),
    ):
        with pytest.raises(InputError, match="not those of the price history"):
            ask()
    holed = {
        n: np.where(np.arange(40)[:, None] == 3, np.nan, getattr(history, n)) for n in ("open", "high", "low", "close")
    }
    with pytest.raises(InputError, match="without a price then \\(found 4\\)"):
        linearise_at(book, np.full(6, 4), replace(history, **holed), rules)
