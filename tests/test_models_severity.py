"""Severity: the linear kernel against its plain twin and exact margin, closed forms, and the identities it promises."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import replace

import numpy as np
import pytest
import QuantLib
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri

from margincast.models.historical import FilteredHistorical
from margincast.models.paths import PathLibrary
from margincast.models.sample import AccountSample, ScaleField
from margincast.models.scenario_passage import ScenarioPassage, scenario_passage
from margincast.models.scenario_paths import scenario_paths
from margincast.models.severity import Severity, equity_weights, linear_severity, severity_of
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure, linearise_at
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.portfolio.value_at_risk import expected_shortfall
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

TABLE = InstrumentTable(
    ("BTC", "ETH", "BTC_COIN"), [LINEAR, LINEAR, INVERSE], [1.0, 1.0, 1.0], [0, 0, 1], ("USDT", "BTC", "ETH")
)
MARKS, INDICES = np.array([0, 1, 0]), np.array([-1, 0, 1])
RULES = RuleBook(
    "test",
    dt.date(2024, 1, 1),
    {
        "BTC": RateSchedule.marginal([0.0, 150.0], [0.02, 0.05], [50, 20]),
        "ETH": RateSchedule.cliff([0.0, 200.0], [0.03, 0.06], [30, 15]),
        "BTC_COIN": RateSchedule.cliff([0.0], [0.03], [30]),
    },
    {"BTC": HaircutSchedule([0.0, 20.0], [0.95, 0.8]), "ETH": HaircutSchedule([0.0], [0.9])},
    closing_fee=0.001,
)


def history_of(bars: int, prices=(100.0, 50.0)) -> MarketHistory:
    close = np.tile(prices, (bars, 1))
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    return MarketHistory(TABLE, times, close, close, close, close, MARKS, INDICES, np.zeros((bars, 3)))


def random_book(rng, pools: int, kinds: int = 3) -> AccountBook:
    """Pools with cash, both coins and one to `kinds` positions."""
    legs = rng.integers(1, kinds + 1, pools)
    chosen = np.concatenate([rng.choice(kinds, size=k, replace=False) for k in legs])
    price = np.array([100.0, 50.0, 100.0])[chosen]
    size = rng.normal(0, 2, len(chosen)) * np.where(chosen == 2, price, 1.0)
    cash = np.column_stack((rng.uniform(5, 60, pools), rng.exponential(0.1, (pools, 2))))
    return AccountBook(
        TABLE,
        [f"a{k}" for k in range(pools)],
        ["m"] * pools,
        [""] * pools,
        np.arange(pools + 1) * 3,
        np.tile([0, 1, 2], pools),
        cash.ravel(),
        np.append(0, np.cumsum(legs)),
        chosen,
        size,
        price,
        np.full(len(chosen), np.nan),
    )


def library_of(rng, windows: int, series: int, horizon: int, missing: float = 0.0) -> PathLibrary:
    steps = rng.standard_t(4, (windows, series, 3 * horizon)) / np.sqrt(3 * horizon)
    moves = np.cumsum(steps, axis=2).astype(np.float32)
    ordered = np.sort(moves.reshape(windows, series, horizon, 3), axis=3)[:, :, :, [0, 2, 1]]
    moves = ordered.reshape(moves.shape).copy()
    moves[rng.random((windows, series)) < missing] = np.nan
    return PathLibrary(np.arange(1, windows + 1), moves, horizon)


def random_exposure(rng, pools: int, series: int) -> tuple[Exposure, np.ndarray]:
    held = [np.sort(rng.choice(series, size=int(rng.integers(1, series + 1)), replace=False)) for _ in range(pools)]
    pointer = np.append(0, np.cumsum([len(one) for one in held]))
    weight = rng.normal(scale=1000.0, size=pointer[-1])
    equity_weight = weight + 0.05 * np.abs(weight)
    gross = np.add.reduceat(np.abs(weight), pointer[:-1])
    headroom, maintenance = gross * rng.uniform(0.001, 0.05, pools), gross * rng.uniform(0.0, 0.03, pools)
    return Exposure(pointer, np.concatenate(held), weight, headroom, headroom + maintenance, maintenance), equity_weight


def sample_of(exposure: Exposure, horizons: tuple[int, ...]) -> AccountSample:
    n = len(exposure)
    return AccountSample(np.full(n, 2), exposure, horizons, np.zeros((n, 0)), ())


def model_of(libraries: list[PathLibrary], bandwidth: float = 0.08, threads: int = 1) -> FilteredHistorical:
    model = FilteredHistorical(bandwidth, threads)
    model.libraries_ = {library.horizon: library for library in libraries}
    return model


def field_of(sigma: np.ndarray, horizons: tuple[int, ...]) -> ScaleField:
    """The same scales, shape (n_series,), at three bars and every horizon."""
    return ScaleField(np.broadcast_to(sigma[None, :, None], (3, len(sigma), len(horizons))), horizons)


def plain_losses(exposure, equity_weight, library, sigma, bandwidth):
    """The docstring of severity_pass, one path at a time, in double precision."""
    degree = np.full((len(exposure), len(library.start)), np.nan)
    loss = np.zeros(degree.shape)
    for p in range(len(exposure)):
        mine = slice(exposure.pointer[p], exposure.pointer[p + 1])
        for w in range(degree.shape[1]):
            x = sigma[exposure.series[mine]][:, None] * library.moves[w, exposure.series[mine]].astype(float)
            if np.isnan(x).any():
                continue
            gain = x + x**2 / 2 + x**3 / 6
            headroom = exposure.headroom[p] + (exposure.weight[mine][:, None] * gain).sum(axis=0)
            equity = exposure.equity[p] + (equity_weight[mine][:, None] * gain).sum(axis=0)
            worst = exposure.headroom[p] - headroom.min()
            ratio = exposure.headroom[p] / worst if worst > 0 else np.inf
            degree[p, w] = 1 / (1 + ratio ** (1 / bandwidth)) if worst > 0 else 0.0
            breach = headroom < 0
            if breach.any():
                bar = slice(3 * (int(np.argmax(breach)) // 3), 3 * (int(np.argmax(breach)) // 3) + 3)
                left = equity[bar][breach[bar]].min()
            else:
                left = equity[np.argmin(headroom)]
            loss[p, w] = max(-left, 0.0)
    return degree, loss


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    series=st.integers(1, 3),
    horizon=st.integers(1, 5),
    missing=st.sampled_from([0.0, 0.3]),
    bandwidth=st.sampled_from([0.02, 0.08, 0.3]),
)
def test_kernel_equals_its_plain_twin(seed, series, horizon, missing, bandwidth) -> None:
    rng = np.random.default_rng(seed)
    library = library_of(rng, 40, series, horizon, missing)
    exposure, equity_weight = random_exposure(rng, 12, series)
    sigma = rng.uniform(0.01, 0.06, series)
    degree, loss = plain_losses(exposure, equity_weight, library, sigma, bandwidth)
    found = linear_severity(model_of([library], bandwidth), sample_of(exposure, (horizon,)),
                            field_of(sigma, (horizon,)), equity_weight, level=0.8)  # fmt: skip
    known = np.isfinite(degree)
    count = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    owed = np.where(known, degree * loss, 0.0)
    gross = np.add.reduceat(np.abs(exposure.weight), exposure.pointer[:-1])
    np.testing.assert_allclose(found.probability[:, 0], np.nansum(degree, axis=1) / count, atol=2e-4)
    np.testing.assert_allclose(found.premium[:, 0] / gross, owed.sum(axis=1) / count / gross, atol=2e-5)
    for p in np.flatnonzero(np.nansum(degree, axis=1) > 0):
        order = np.argsort(-loss[p], kind="stable")
        weight = np.where(known, degree, 0.0)[p][order]
        taken = np.clip(0.2 * weight.sum() - (np.cumsum(weight) - weight), 0.0, weight)
        tail = (taken * loss[p][order]).sum() / (0.2 * weight.sum())
        # where hardly any path is in breach, single precision moves the few degrees by a few percent
        if weight.sum() > 0.5:
            assert found.expected_shortfall[p, 0] / gross[p] == pytest.approx(tail / gross[p], rel=0.01, abs=1e-4)
    for p in np.flatnonzero(known.sum(axis=1) > 1):
        error = owed[p][known[p]].std(ddof=1) / np.sqrt(count[p])
        assert found.standard_error[p, 0] / gross[p] == pytest.approx(error / gross[p], abs=2e-5)


def test_probabilities_are_those_of_predict_and_premiums_their_product_with_the_loss() -> None:
    rng = np.random.default_rng(1)
    libraries = [library_of(rng, 300, 3, h) for h in (1, 4)]
    exposure, equity_weight = random_exposure(rng, 80, 3)
    headroom = np.where(np.arange(80) % 7 == 0, -1.0, exposure.headroom)
    exposure = replace(exposure, headroom=headroom, equity=np.where(headroom < 0, -40.0, exposure.equity))
    sample, field = sample_of(exposure, (1, 4)), field_of(np.array([0.02, 0.03, 0.04]), (1, 4))
    model = model_of(libraries)
    found = linear_severity(model, sample, field, equity_weight)
    np.testing.assert_allclose(found.probability, model.predict(sample, field), rtol=0, atol=1e-12)
    assert (found.premium > 0).mean() > 0.3
    np.testing.assert_allclose(found.probability * found.expected_loss, found.premium, rtol=1e-12)
    assert (found.expected_shortfall >= found.expected_loss - 1e-9)[:, 0].all()
    gone = headroom < 0
    for column in (found.premium, found.expected_loss, found.expected_shortfall):
        np.testing.assert_allclose(column[gone], 40.0, rtol=1e-12)
    np.testing.assert_allclose(found.standard_error[gone], 0.0, atol=1e-12)


def test_closing_costs_are_owed_too_where_equity_does_not_cover_them() -> None:
    """At one state of -10% with 100 of exposure: 6 of equity leave -4, and -7 after a cost of 3."""
    moves = np.log([0.9, 0.9, 0.9]).astype(np.float32)[None, None, :]
    one = np.ones(4)
    exposure = Exposure(np.arange(5), np.zeros(4, int), 100 * one, 4 * one, 6 * one, 2 * one)
    exposure = replace(exposure, headroom=np.array([4.0, 4.0, 4.0, -1.0]), equity=np.array([6.0, 6.0, 6.0, 1.0]))
    model = model_of([PathLibrary(np.array([1]), moves, 1)], 1e-4)
    given = model, sample_of(exposure, (1,)), field_of(np.ones(1), (1,)), 100 * one
    cost = np.array([0.0, 3.0, np.nan, 3.0])
    found = linear_severity(*given, closing_cost=cost)
    np.testing.assert_allclose(found.probability[:, 0], 1.0)
    np.testing.assert_allclose(found.premium[:, 0], [4.0, 7.0, np.nan, 2.0], atol=0.01)
    for bad, match in ((-cost, "must not be negative"), (cost[:2], "has shape")):
        with pytest.raises(InputError, match=f"closing_cost: {match}"):
            linear_severity(*given, closing_cost=bad)


def test_pools_that_nothing_moves_are_not_liquidated_and_unknown_ones_are_not_known() -> None:
    rng = np.random.default_rng(2)
    exposure = Exposure([0, 0, 1, 2], [0, 1], np.array([100.0, 100.0]), *np.array([[5.0] * 3, [6.0] * 3, [1.0] * 3]))
    exposure = replace(exposure, pointer=np.array([0, 0, 1, 2]), series=np.array([0, 1]))
    library = library_of(rng, 50, 2, 2)
    library.moves[:, 1] = np.nan
    found = linear_severity(model_of([library]), sample_of(exposure, (2,)), field_of(np.full(2, 0.05), (2,)),
                            exposure.weight)  # fmt: skip
    assert found.probability[0, 0] == found.premium[0, 0] == 0.0
    assert np.isnan(found.expected_loss[0, 0])
    assert found.probability[1, 0] > 0
    for column in (found.probability, found.premium, found.standard_error, found.expected_shortfall):
        assert np.isnan(column[2, 0])


def test_a_headroom_that_is_not_known_leaves_nothing_known() -> None:
    rng = np.random.default_rng(4)
    exposure, weight = random_exposure(rng, 6, 2)
    exposure = replace(exposure, headroom=np.where(np.arange(6) == 3, np.nan, exposure.headroom))
    sample, field, model = (
        sample_of(exposure, (2,)),
        field_of(np.full(2, 0.05), (2,)),
        model_of([library_of(rng, 40, 2, 2)]),
    )
    found, said = linear_severity(model, sample, field, weight), model.predict(sample, field)
    np.testing.assert_array_equal(np.isnan(found.probability), np.isnan(said))
    assert np.isnan(said[:, 0]).tolist() == [False, False, False, True, False, False]
    for column in (found.premium, found.standard_error, found.expected_shortfall):
        assert np.isnan(column[3, 0])


def test_equity_weights_are_what_equity_gains_with_each_log_price() -> None:
    rng = np.random.default_rng(3)
    history, book = history_of(5), random_book(rng, 60)
    bars = np.full(60, 3)
    exposure, weights = linearise_at(book, bars, history, RULES), equity_weights(book, bars, history, RULES)
    dense = np.zeros((60, 2))
    dense[exposure.pool, exposure.series] = weights
    assert (weights != exposure.weight).mean() > 0.5

    def equity(price: np.ndarray) -> np.ndarray:
        market = MarketState(history.times[3], price[MARKS], np.where(INDICES == -1, 1.0, price[INDICES]))
        return evaluate(book, market, RULES).equity

    for s in range(2):
        up, down = (np.array([100.0, 50.0]) * np.exp(h * (np.arange(2) == s)) for h in (1e-5, -1e-5))
        np.testing.assert_allclose(dense[:, s], (equity(up) - equity(down)) / 2e-5, rtol=1e-5, atol=1e-4)


def test_linear_books_have_the_severity_of_exact_margin_as_the_smoothing_vanishes() -> None:
    """Within one tier and haircut slice; what is left is the cubic for the exponential, 0.2% of a move of 30%."""
    rng = np.random.default_rng(4)
    rules = replace(RULES, schedules={s: RateSchedule.cliff([0.0], [0.03], [30]) for s in TABLE.symbols},
                    haircuts=dict.fromkeys(("BTC", "ETH"), HaircutSchedule([0.0], [0.9])))  # fmt: skip
    history, book = history_of(5), random_book(rng, 150, kinds=2)
    book = replace(book, balance=book.balance * np.where(np.arange(450) % 3 == 0, 0.6, 1.0))
    bars = np.full(150, 2)
    exposure = linearise_at(book, bars, history, rules)
    model, field = model_of([library_of(rng, 500, 2, 4)], 1e-4), field_of(np.array([0.06, 0.09]), (4,))
    linear = linear_severity(model, sample_of(exposure, (4,)), field, equity_weights(book, bars, history, rules))
    exact = severity_of([scenario_passage(book, scenario_paths(model, field, history, 2, 4), rules)])
    assert (exact.premium > 0).mean() > 0.5
    assert np.abs(linear.probability - exact.probability).max() <= 2 / 500
    gross = exposure.gross[:, None]
    np.testing.assert_allclose(linear.premium / gross, exact.premium / gross, atol=2e-4)
    assert linear.premium.sum() == pytest.approx(exact.premium.sum(), rel=0.02)


def test_the_linear_premium_of_one_leg_is_a_put_struck_at_its_bankruptcy_price() -> None:
    """One state, lognormal with mean 1: a long of 100 with 6 of equity owes (94 - S)+."""
    sigma, n = 0.05, 20_000
    z = ndtri((np.arange(n) + 0.5) / n) - sigma / 2
    library = PathLibrary(np.arange(1, n + 1), np.tile(z[:, None, None], (1, 1, 3)).astype(np.float32), 1)
    exposure = Exposure(np.array([0, 1]), np.array([0]), np.array([98.0]), np.array([4.0]), np.array([6.0]),
                        np.array([2.0]))  # fmt: skip
    found = linear_severity(model_of([library], 1e-3), sample_of(exposure, (1,)), field_of(np.full(1, sigma), (1,)),
                            np.array([100.0]))  # fmt: skip
    put = QuantLib.blackFormula(QuantLib.Option.Put, 94.0, 100.0, sigma)
    assert found.premium[0, 0] == pytest.approx(put, rel=2e-3)
    touched = ndtr((np.log(1 - 4.0 / 98.0) + sigma**2 / 2) / sigma)
    assert found.probability[0, 0] == pytest.approx(touched, rel=2e-3)
    assert found.expected_loss[0, 0] == pytest.approx(put / touched, rel=4e-3)


def test_rows_do_not_depend_on_each_other_their_chunk_or_threads(monkeypatch) -> None:
    rng = np.random.default_rng(5)
    exposure, weight = random_exposure(rng, 50, 3)
    libraries = [library_of(rng, 100, 3, h, 0.1) for h in (1, 3)]
    field = field_of(np.full(3, 0.04), (1, 3))
    once = linear_severity(model_of(libraries), sample_of(exposure, (1, 3)), field, weight)
    monkeypatch.setattr(sys.modules[linear_severity.__module__], "ROWS", 7)
    again = linear_severity(model_of(libraries, threads=2), sample_of(exposure, (1, 3)), field, weight)
    order = rng.permutation(50)
    taken = exposure.take(order)
    mixed = np.concatenate([weight[exposure.pointer[p] : exposure.pointer[p + 1]] for p in order])
    other = linear_severity(model_of(libraries), sample_of(taken, (1, 3)), field, mixed)
    for name in ("probability", "premium", "standard_error", "expected_shortfall"):
        np.testing.assert_array_equal(getattr(once, name), getattr(again, name))
        np.testing.assert_array_equal(getattr(once, name)[order], getattr(other, name))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1.01, 4.0))
def test_more_headroom_never_raises_the_probability_and_one_state_losses_fall_with_equity(seed, factor) -> None:
    rng = np.random.default_rng(seed)
    library = library_of(rng, 80, 2, 2)
    moves = np.repeat(library.moves[:, :, :1], 3, axis=2)
    still = PathLibrary(library.start, moves, 1)
    exposure, weight = random_exposure(rng, 20, 2)
    extra = (factor - 1.0) * exposure.headroom
    richer = replace(exposure, headroom=exposure.headroom + extra, equity=exposure.equity + extra)
    model, field = model_of([still, library]), field_of(np.full(2, 0.05), (1, 2))
    poor, rich = (linear_severity(model, sample_of(one, (1, 2)), field, weight) for one in (exposure, richer))
    assert (rich.probability <= poor.probability + 1e-12).all()
    assert (rich.premium[:, 0] <= poor.premium[:, 0] + 1e-9).all()
    for one in (poor, rich):
        assert (np.diff(one.probability, axis=1) >= 0).all()
        assert (np.diff(one.premium, axis=1) >= 0).all()


def test_expected_shortfall_is_that_of_the_losses_given_liquidation() -> None:
    rng = np.random.default_rng(6)
    bar = rng.choice([-2, -1, 0], (20, 300), p=[0.1, 0.4, 0.5])
    equity = np.where(bar == 0, rng.normal(0, 100, bar.shape), np.nan)
    passage = ScenarioPassage(1, bar, equity)
    for level in (0.0, 0.5, 0.95, 0.975):
        found = severity_of([passage], level)
        for p in range(20):
            losses = np.maximum(-equity[p][bar[p] == 0], 0.0)
            expected = expected_shortfall(-losses, level) if level else losses.mean()
            assert found.expected_shortfall[p, 0] == pytest.approx(expected, rel=1e-12)
    known = (bar != -2).sum(axis=1)
    np.testing.assert_allclose(found.probability[:, 0], (bar == 0).sum(axis=1) / known, rtol=1e-12)
    np.testing.assert_allclose(found.premium[:, 0], passage.loss.sum(axis=1) / known, rtol=1e-12)
    owed = [passage.loss[p][bar[p] != -2] for p in range(20)]
    errors = [one.std(ddof=1) / np.sqrt(len(one)) for one in owed]
    np.testing.assert_allclose(found.standard_error[:, 0], errors, rtol=1e-12)


def test_a_horizon_takes_over_what_a_shorter_one_says_if_that_is_more() -> None:
    short = ScenarioPassage(1, np.array([[0, 0, -1, -1]]), np.array([[-8.0, 2.0, np.nan, np.nan]]))
    longer = ScenarioPassage(2, np.array([[1, -1]]), np.array([[-1.0, np.nan]]))
    found = severity_of([short, longer])
    assert found.probability.tolist() == [[0.5, 0.5]]
    assert found.premium.tolist() == [[2.0, 2.0]]
    assert found.standard_error.tolist() == [[2.0, 2.0]]  # of 8, 0, 0, 0: 4 / sqrt(4)
    assert found.expected_loss.tolist() == [[4.0, 4.0]]


def test_another_probability_scales_the_premium_and_leaves_the_loss() -> None:
    column = np.array([[0.1], [0.0], [0.0], [np.nan]])
    severity = Severity((1,), 0.95, column, column * 50, column * 5, np.array([[90.0], [np.nan], [np.nan], [np.nan]]))
    found = severity.at_probability(np.array([[0.2], [0.0], [0.01], [0.3]]))
    np.testing.assert_array_equal(found.premium, [[10.0], [0.0], [np.nan], [np.nan]])
    np.testing.assert_array_equal(found.standard_error, [[1.0], [0.0], [np.nan], [np.nan]])
    assert found.expected_loss[0, 0] == severity.expected_loss[0, 0] == 50.0
    unknown = severity.at_probability(np.full((4, 1), np.nan))
    assert np.isnan(unknown.premium).all() and np.isnan(unknown.standard_error).all()
    with pytest.raises(InputError, match=r"probability: has shape \(1, 1\), expected \(4, 1\)"):
        severity.at_probability(np.zeros((1, 1)))


def test_bad_input_is_refused() -> None:
    rng = np.random.default_rng(7)
    exposure, weight = random_exposure(rng, 5, 2)
    model, field = model_of([library_of(rng, 9, 2, 1)]), field_of(np.full(2, 0.05), (1, 2))
    one = ScenarioPassage(1, np.array([[0]]), np.array([[1.0]]))
    cases = [
        ("equity_weight: has shape", lambda: linear_severity(model, sample_of(exposure, (1,)), field, weight[1:])),
        (r"horizon: is not one of those fitted, \[1\]",
         lambda: linear_severity(model, sample_of(exposure, (2,)), field, weight)),
        ("level: must be in", lambda: linear_severity(model, sample_of(exposure, (1,)), field, weight, level=1.0)),
        ("level: must be in", lambda: severity_of([one], level=-0.1)),
        ("horizons: must rise", lambda: severity_of([])),
        ("horizons: must rise", lambda: severity_of([one, one])),
        ("passages: are of different pools",
         lambda: severity_of([one, ScenarioPassage(2, np.zeros((2, 1), np.int16), np.zeros((2, 1)))])),
    ]  # fmt: skip
    for match, call in cases:
        with pytest.raises(InputError, match=match):
            call()
