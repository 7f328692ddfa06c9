"""Scenario paths: the breach kernel against a plain twin, its properties, and the library it reads."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.models.path_kernel import BLOCK, REACH
from margincast.models.paths import PathLibrary, PathPlanes, breach_probability, collect_paths
from margincast.models.sample import AccountSample, ScaleField, certain_where_breached, never_falling
from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure, linearise_at
from margincast.riskcore.first_passage import first_passage
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketHistory
from margincast.riskcore.price_pyramid import build_pyramid
from margincast.riskcore.rulebook import RateSchedule, RuleBook

FLOAT32 = 1e-4
"""What single precision along the paths may change in a probability."""


def exposure_of(legs: list[dict[int, float]], headroom: list[float]) -> Exposure:
    """Pools from {series: weight} and headroom; equity and maintenance are not used by the models."""
    room = np.array(headroom, dtype=np.float64)
    series = np.array([s for pool in legs for s in sorted(pool)], dtype=np.int64)
    weight = np.array([pool[s] for pool in legs for s in sorted(pool)], dtype=np.float64)
    pointer = np.concatenate(([0], np.cumsum([len(pool) for pool in legs]))).astype(np.int64)
    return Exposure(pointer, series, weight, room, room + 1.0, np.ones(len(room)))


def history_of(low: np.ndarray, high: np.ndarray, close: np.ndarray) -> MarketHistory:
    bars, series = close.shape
    table = InstrumentTable.linear_perpetuals([f"C{k}" for k in range(series)])
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    return MarketHistory(
        table, times, close, high, low, close, np.arange(series), np.array([-1]), np.zeros((bars, series))
    )


def random_history(rng: np.random.Generator, bars: int, series: int, volatility: float = 0.02) -> MarketHistory:
    steps = volatility * rng.standard_t(4, (bars, series))
    close = 100 * np.exp(np.cumsum(steps, axis=0))
    wick = volatility * rng.exponential(1.0, (2, bars, series))
    return history_of(close * np.exp(-wick[0]), close * np.exp(wick[1]), close)


def random_library(rng: np.random.Generator, windows: int, series: int, horizon: int, missing: float) -> PathLibrary:
    moves = np.cumsum(rng.standard_t(4, (windows, series, 3 * horizon)), axis=2).astype(np.float32)
    moves[rng.random((windows, series)) < missing] = np.nan
    return PathLibrary(np.arange(1, windows + 1), moves, horizon)


def random_exposure(rng: np.random.Generator, pools: int, series: int) -> Exposure:
    legs: list[dict[int, float]] = []
    for _ in range(pools):
        held = rng.choice(series, size=int(rng.integers(1, series + 1)), replace=False)
        legs.append({int(s): float(rng.normal(scale=1000.0)) for s in held})
    gross = np.array([sum(abs(w) for w in pool.values()) for pool in legs])
    return exposure_of(legs, list(gross * rng.uniform(0.005, 0.4, pools)))


def plain_gain(x: np.ndarray) -> np.ndarray:
    return x + x**2 / 2 + x**3 / 6


def plain_breach_probability(
    exposure: Exposure,
    library: PathLibrary,
    scale: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    bandwidth: float,
    gain=plain_gain,
) -> tuple[np.ndarray, np.ndarray]:
    """The docstring of breach_pass, one path at a time, without pruning and in double precision."""
    probability, count = np.full(len(exposure), np.nan), np.zeros(len(exposure))
    for p in range(len(exposure)):
        mine = slice(exposure.pointer[p], exposure.pointer[p + 1])
        degrees = []
        for window in range(first[p], last[p]):
            z = library.moves[window, exposure.series[mine]].astype(np.float64)
            if np.isnan(z).any():
                continue
            value = (exposure.weight[mine][:, None] * gain(scale[mine][:, None] * z)).sum(axis=0)
            loss = max(0.0, float(-value.min()))
            degrees.append(1 / (1 + (exposure.headroom[p] / loss) ** (1 / bandwidth)) if loss > 0 else 0.0)
        count[p] = len(degrees)
        probability[p] = np.mean(degrees) if degrees else np.nan
    return probability, count


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    series=st.integers(1, 4),
    horizon=st.integers(1, 5),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    bandwidth=st.sampled_from([0.02, 0.08, 0.5]),
)
def test_kernel_equals_its_plain_twin(seed: int, series: int, horizon: int, missing: float, bandwidth: float) -> None:
    rng = np.random.default_rng(seed)
    library = random_library(rng, 40, series, horizon, missing)
    exposure = random_exposure(rng, 12, series)
    scale = rng.uniform(0.005, 0.04, len(exposure.weight))
    first = rng.integers(0, 20, 12)
    last = rng.integers(first, 41)
    fast = breach_probability(exposure, library, scale=scale, window_first=first, window_last=last, bandwidth=bandwidth)
    plain = plain_breach_probability(exposure, library, scale, first, last, bandwidth)
    np.testing.assert_array_equal(fast[1], plain[1])
    np.testing.assert_allclose(fast[0], plain[0], atol=FLOAT32)


def single_precision_loss(exposure: Exposure, p: int, library: PathLibrary, scale: np.ndarray) -> np.ndarray:
    """Worst loss of a pool on each path over all its points, each operation in single precision; NaN without prices."""
    value = np.zeros((len(library.start), library.moves.shape[2]), dtype=np.float32)
    for entry in range(exposure.pointer[p], exposure.pointer[p + 1]):
        x = np.float32(scale[entry]) * library.moves[:, exposure.series[entry]]
        gain = x * (np.float32(1) + x * (np.float32(0.5) + x * np.float32(1 / 6)))
        value += np.float32(exposure.weight[entry]) * gain
    return -np.minimum(value.min(axis=1), np.float32(0)).astype(np.float64)


def loop_breach_probability(
    exposure: Exposure,
    library: PathLibrary,
    scale: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    bandwidth: float,
) -> tuple[list[float], list[int]]:
    """breach_pass one path at a time: the logarithm and the exponential in full, an exact sum."""
    far = math.exp(REACH * bandwidth)
    probability, count = [], []
    for p, room in enumerate(exposure.headroom):
        losses = single_precision_loss(exposure, p, library, scale)[first[p] : last[p]]
        degrees = []
        for loss in losses[~np.isnan(losses)]:
            if loss > far * room:
                degrees.append(1.0)
            elif loss * far > room:
                degrees.append(1 / (1 + math.exp(math.log(room / loss) / bandwidth)))
            else:
                degrees.append(0.0)
        known = bool(degrees) and not math.isnan(room)
        probability.append(math.fsum(degrees) / len(degrees) if known else math.nan)
        count.append(len(degrees))
    return probability, count


def awkward_exposure(rng: np.random.Generator, pools: int, series: int) -> Exposure:
    """Books of 0 to `series` legs, long, short and both, with weights of zero and headroom of any sign, or NaN."""
    legs: list[dict[int, float]] = []
    for k in range(pools):
        held = rng.choice(series, size=int(rng.integers(k > 0, series + 1)), replace=False)
        weight = rng.lognormal(5.0, 1.0, len(held)) * rng.choice([-1, 1])
        weight *= rng.choice([-1, 1], len(held)) if rng.random() < 0.4 else 1
        weight[rng.random(len(held)) < 0.1] = 0.0
        legs.append(dict(zip(held.tolist(), weight.tolist(), strict=True)))
    gross = np.array([sum(abs(w) for w in pool.values()) for pool in legs])
    room = gross * rng.choice([1.0, 1.0, 1.0, 1.0, -0.3, 0.0, np.nan], pools) * rng.lognormal(-3.0, 1.0, pools)
    return exposure_of(legs, list(room))


def in_order(library: PathLibrary) -> PathLibrary:
    """The same points with the lowest of each bar as its low and the highest as its high."""
    moves = np.sort(library.moves.reshape(*library.moves.shape[:2], -1, 3), axis=3)[..., [0, 2, 1]]
    return PathLibrary(library.start, moves.reshape(library.moves.shape), library.horizon)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    windows=st.sampled_from([1, 40, BLOCK, BLOCK + 1, 2 * BLOCK + 77]),
    series=st.integers(1, 6),
    horizon=st.integers(1, 4),
    missing=st.sampled_from([0.0, 0.2, 1.0]),
    ordered=st.booleans(),
    bandwidth=st.sampled_from([0.02, 0.08, 0.3, 1.0]),
)
def test_blocks_of_windows_equal_a_loop_over_paths(
    seed: int, windows: int, series: int, horizon: int, missing: float, ordered: bool, bandwidth: float
) -> None:
    rng = np.random.default_rng(seed)
    library = random_library(rng, windows, series, horizon, missing)
    library = in_order(library) if ordered else library
    exposure = awkward_exposure(rng, 8, series)
    scale = rng.uniform(0.005, 0.05, len(exposure.weight))
    scale[rng.random(len(scale)) < 0.05] = np.nan
    first = rng.integers(0, windows, 8)
    last = rng.integers(first, windows + 1)
    found = breach_probability(
        exposure, library, scale=scale, window_first=first, window_last=last, bandwidth=bandwidth
    )
    probability, count = loop_breach_probability(exposure, library, scale, first, last, bandwidth)
    assert found[1].tolist() == count
    np.testing.assert_allclose(found[0], probability, atol=1e-12, rtol=0)


def test_negative_headroom_is_in_breach_on_every_path() -> None:
    library = in_order(random_library(np.random.default_rng(12), 50, 2, 2, 0.0))
    books = [{0: 1.0}, {0: -1.0}, {0: 1.0, 1: 2.0}, {0: 1.0, 1: -2.0}, {}]
    assert breach_probability(exposure_of(books, [-1e-6] * 5), library)[0].tolist() == [1.0] * 5


def test_long_books_read_the_lows_only_where_lows_are_the_lowest() -> None:
    library = random_library(np.random.default_rng(13), 30, 2, 3, 0.2)
    spans = np.array([[0, 1], [1, 2], [2, 5], [5, 8], [2, 11]])
    np.testing.assert_array_equal(in_order(library).planes.spans, spans)
    spans[2:4] = 2, 11
    np.testing.assert_array_equal(library.planes.spans, spans)
    assert library.planes is library.planes
    planes = PathPlanes.of(library.moves).values
    by_state = [library.moves[:, :, k::3] for k in range(3)]
    extremes = [library.moves.min(axis=2)[:, :, None], library.moves.max(axis=2)[:, :, None]]
    np.testing.assert_array_equal(planes.transpose(2, 0, 1), np.concatenate([*extremes, *by_state], axis=2))


def test_the_third_order_gain_is_close_to_the_true_relative_move() -> None:
    rng = np.random.default_rng(1)
    library = random_library(rng, 400, 3, 4, 0.0)
    exposure = random_exposure(rng, 40, 3)
    scale = np.full(len(exposure.weight), 0.02)
    all_windows = np.zeros(40, dtype=np.int64), np.full(40, 400)
    exact = plain_breach_probability(exposure, library, scale, *all_windows, 0.08, np.expm1)[0]
    np.testing.assert_allclose(breach_probability(exposure, library, scale=scale)[0], exact, atol=0.004)
    assert exact.max() > 0.3


def test_far_paths_are_cut_within_the_stated_error_at_any_bandwidth() -> None:
    moves = np.full((1, 1, 3), np.log(0.9), dtype=np.float32)
    library = PathLibrary(np.array([1]), moves, 1)
    loss = -float(plain_gain(moves[0, 0, 0].astype(np.float64)))
    for bandwidth in (0.01, 0.08, 0.3, 1.0):
        room = loss * np.exp(bandwidth * np.linspace(-25, 25, 401))
        found = breach_probability(exposure_of([{0: 1.0}] * 401, list(room)), library, bandwidth=bandwidth)[0]
        np.testing.assert_allclose(found, 1 / (1 + (room / loss) ** (1 / bandwidth)), atol=2e-5, rtol=0)
        cut = (found == 0.0) | (found == 1.0)
        degree = 1 / (1 + (room[cut] / loss) ** (1 / bandwidth))
        assert cut.any()
        assert np.minimum(degree, 1 - degree).max() < 1.01e-7


def test_two_equal_and_opposite_legs_of_one_path_hedge_each_other() -> None:
    path = np.cumsum(np.random.default_rng(2).normal(size=(30, 1, 9)), axis=2).astype(np.float32)
    library = PathLibrary(np.arange(1, 31), np.repeat(path, 2, axis=1), 3)
    exposure = exposure_of([{0: 5.0, 1: -5.0}, {0: 5.0}], [0.01, 0.01])
    hedged, naked = breach_probability(exposure, library, scale=np.full(3, 0.05))[0]
    assert hedged == 0.0
    assert naked > 0.3


def test_a_hand_counted_case_with_a_step_for_smoothing() -> None:
    log = np.log(np.array([[0.95, 1.0, 0.99], [0.8, 1.0, 0.9], [1.0, 1.3, 1.2], [0.99, 1.01, 1.0]]))
    library = PathLibrary(np.arange(1, 5), log[:, None, :].astype(np.float32), 1)
    exposure = exposure_of([{0: 1.0}, {0: 1.0}, {0: -1.0}, {0: -1.0}], [0.04, 0.1, 0.1, 0.5])
    probability, count = breach_probability(exposure, library, bandwidth=1e-3)
    assert probability.tolist() == [0.5, 0.25, 0.25, 0.0]
    assert count.tolist() == [4.0] * 4


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bandwidth=st.sampled_from([0.01, 0.08, 0.4]))
def test_probability_never_rises_with_headroom(seed: int, bandwidth: float) -> None:
    rng = np.random.default_rng(seed)
    library = random_library(rng, 60, 3, 3, 0.1)
    one = random_exposure(rng, 1, 3)
    many = one.take(np.zeros(200, dtype=np.int64))
    room = np.sort(one.headroom[0] * np.exp(rng.normal(0.0, 2.0, 200)))
    ladder = Exposure(many.pointer, many.series, many.weight, room, room, room)
    scale = np.tile(rng.uniform(0.005, 0.05, len(one.weight)), 200)
    probability = breach_probability(ladder, library, scale=scale, bandwidth=bandwidth)[0]
    assert (np.diff(probability) <= 1e-15).all()
    assert ((probability >= 0) & (probability <= 1)).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3))
def test_scaling_the_whole_account_changes_nothing(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    library = random_library(rng, 50, 3, 2, 0.1)
    e = random_exposure(rng, 8, 3)
    scale = np.full(len(e.weight), 0.02)
    larger = Exposure(e.pointer, e.series, e.weight * factor, e.headroom * factor, e.equity, e.maintenance)
    doubled = Exposure(e.pointer, e.series, e.weight * 2, e.headroom * 2, e.equity, e.maintenance)
    before = breach_probability(e, library, scale=scale)[0]
    np.testing.assert_allclose(breach_probability(larger, library, scale=scale)[0], before, atol=FLOAT32)
    np.testing.assert_array_equal(breach_probability(doubled, library, scale=scale)[0], before)


@pytest.mark.parametrize("bandwidth", [0.08, 0.3])
def test_threads_and_company_change_no_bit(bandwidth: float) -> None:
    rng = np.random.default_rng(3)
    windows = BLOCK + 100
    library, exposure = in_order(random_library(rng, windows, 6, 4, 0.1)), awkward_exposure(rng, 101, 6)
    scale = rng.uniform(0.005, 0.04, len(exposure.weight))
    first = rng.integers(0, 80, 101)
    last = rng.integers(windows - 80, windows + 1, 101)

    def bits(rows: np.ndarray, threads: int, library: PathLibrary = library, shift: int = 0) -> list[bytes]:
        entries = np.concatenate([np.arange(exposure.pointer[r], exposure.pointer[r + 1]) for r in rows])
        found = breach_probability(
            exposure.take(rows),
            library,
            scale=scale[entries],
            window_first=first[rows] - shift,
            window_last=last[rows] - shift,
            bandwidth=bandwidth,
            threads=threads,
        )
        return [a.tobytes() + b.tobytes() for a, b in zip(*found, strict=True)]

    every = np.arange(101)
    one = bits(every, 1)
    assert bits(every, 2) == bits(every, 3) == one
    assert bits(every[::-1], 1) == one[::-1]
    assert [bits(every[r : r + 1], 1)[0] for r in every] == one
    # rows seen with a library that begins later, as when they are asked for without older ones
    for row in range(10):
        begin = int(first[row])
        later = PathLibrary(library.start[begin:], library.moves[begin:], library.horizon)
        assert bits(every[row : row + 1], 1, later, begin) == one[row : row + 1]


def test_what_cannot_be_known_is_nan_and_never_a_number() -> None:
    library = PathLibrary(np.array([1]), np.array([[[-0.1] * 3, [np.nan] * 3]], dtype=np.float32), 1)
    exposure = exposure_of([{0: 1.0}, {1: 1.0}, {0: 1.0}, {0: 1.0}, {}], [0.05, 0.05, np.nan, 0.05, 0.05])
    scale = np.array([1.0, 1.0, 1.0, np.nan])
    probability, count = breach_probability(exposure, library, scale=scale, bandwidth=0.01)
    np.testing.assert_array_equal(probability, [1.0, np.nan, np.nan, np.nan, 0.0])
    assert count.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0]
    none = breach_probability(exposure_of([{0: 1.0}], [0.05]), PathLibrary(np.zeros(0, int), library.moves[:0], 1))
    assert np.isnan(none[0][0])


def test_bad_input_to_the_kernel_is_refused() -> None:
    library = PathLibrary(np.array([1]), np.zeros((1, 2, 3), dtype=np.float32), 1)
    with pytest.raises(InputError, match="row 1, column series: is not one of the library's 2"):
        breach_probability(exposure_of([{0: 1.0, 2: 1.0}], [1.0]), library)
    for bandwidth in (0.0, -0.1, np.nan):
        with pytest.raises(InputError, match="bandwidth: must be positive"):
            breach_probability(exposure_of([{0: 1.0}], [1.0]), library, bandwidth=bandwidth)


def test_collected_paths_are_the_lows_highs_and_closes_since_the_close_before() -> None:
    history = random_history(np.random.default_rng(4), 30, 2)
    starts = np.array([1, 7, 27])
    library = collect_paths(history, starts, 3)
    for w, start in enumerate(starts):
        for s in range(2):
            expected = []
            for bar in range(start, start + 3):
                prices = history.low[bar, s], history.high[bar, s], history.close[bar, s]
                expected += [np.log(price / history.close[start - 1, s]) for price in prices]
            np.testing.assert_allclose(library.moves[w, s], expected, rtol=1e-5, atol=1e-7)


def test_a_series_that_misses_a_bar_is_left_out_of_that_window_alone() -> None:
    full = random_history(np.random.default_rng(5), 12, 2)
    prices = {name: getattr(full, name).copy() for name in ("low", "high", "close")}
    for values in prices.values():
        values[5, 1] = np.nan
    moves = collect_paths(history_of(**prices), np.arange(1, 11), 2).moves
    touched = [4, 5, 6]  # windows that hold bar 5, or start from its close
    assert np.flatnonzero(np.isnan(moves[:, 1]).all(axis=1)).tolist() == [t - 1 for t in touched]
    assert np.isfinite(moves[:, 0]).all()
    assert np.isnan(moves[:, 1]).sum() == 3 * 6


@pytest.mark.parametrize(("starts", "row", "found"), [([0, 3], 0, 0), ([1, 9], 1, 9), ([5, 0], 1, 0)])
def test_windows_outside_the_history_are_refused(starts: list[int], row: int, found: int) -> None:
    history = random_history(np.random.default_rng(6), 10, 1)
    with pytest.raises(InputError, match=rf"row {row}, column starts: .*must lie within.*found {found}\)"):
        collect_paths(history, np.array(starts), 2)
    assert len(collect_paths(history, np.array([8]), 2).start) == 1


def test_standardised_paths_are_in_units_of_the_scale_known_at_their_start() -> None:
    library = collect_paths(random_history(np.random.default_rng(7), 20, 2), np.arange(1, 18), 3)
    scale = np.random.default_rng(8).uniform(0.5, 2.0, (21, 2))
    units = library.standardised(scale)
    np.testing.assert_allclose(units.moves * scale[1:18, :, None], library.moves, rtol=1e-6)


def test_a_series_without_a_past_borrows_standardised_paths_that_are_there() -> None:
    rng = np.random.default_rng(9)
    library = random_library(rng, 40, 4, 2, 0.0)
    scale = rng.uniform(0.5, 2.0, (42, 4))
    scale[:31, 3] = np.nan
    scale[5] = np.nan
    units = library.standardised(scale)
    own = library.moves / scale[library.start][:, :, None].astype(np.float32)
    np.testing.assert_allclose(units.moves[:, :3], own[:, :3], rtol=1e-6)
    np.testing.assert_allclose(units.moves[30:, 3], own[30:, 3], rtol=1e-6)
    assert np.isnan(units.moves[4]).all()
    donors = [
        next(s for s in range(3) if np.array_equal(units.moves[w, 3], units.moves[w, s])) for w in range(30) if w != 4
    ]
    assert set(donors) == {0, 1, 2}
    np.testing.assert_array_equal(library.standardised(scale).moves, units.moves)


def test_reordered_takes_each_series_from_its_old_place_and_borrows_the_rest_from_any() -> None:
    library = random_library(np.random.default_rng(10), 50, 3, 2, 0.0)
    same = library.reordered(np.array([0, 1, 2]))
    np.testing.assert_array_equal(same.moves, library.moves)
    turned = library.reordered(np.array([2, -1, 0, -1]))
    np.testing.assert_array_equal(turned.moves[:, 0], library.moves[:, 2])
    np.testing.assert_array_equal(turned.moves[:, 2], library.moves[:, 0])
    assert turned.moves.shape == (50, 4, 6)
    strangers = library.reordered(np.array([-1, -1]))
    for moves in (turned.moves[:, 1], turned.moves[:, 3], strangers.moves[:, 0]):
        lent = [s for w in range(50) for s in range(3) if np.array_equal(moves[w], library.moves[w, s])]
        assert len(lent) == 50
        assert set(lent) == {0, 1, 2}
    assert not np.array_equal(strangers.moves[:, 0], strangers.moves[:, 1])


def sample_of(legs: list[dict[int, float]], headroom: list[float], horizons: tuple[int, ...] = (1, 4)) -> AccountSample:
    n = len(headroom)
    features = np.arange(2.0 * n).reshape(n, 2)
    return AccountSample(np.arange(1, n + 1), exposure_of(legs, headroom), horizons, features, ("x", "y"))


def test_a_sample_is_taken_row_by_row() -> None:
    sample = sample_of([{0: 1.0}, {0: 2.0, 1: -1.0}, {}], [1.0, 2.0, 3.0])
    part = sample.take(np.array([2, 1, 1]))
    assert (len(part), part.bar.tolist(), part.column("y").tolist()) == (3, [3, 2, 2], [5.0, 3.0, 3.0])
    assert part.exposure.weight.tolist() == [2.0, -1.0, 2.0, -1.0]
    assert part.exposure.headroom.tolist() == [3.0, 2.0, 2.0]


@pytest.mark.parametrize("horizons", [(), (0, 1), (4, 1), (1, 1)])
def test_horizons_must_rise(horizons: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="horizons: must be rising"):
        sample_of([{0: 1.0}], [1.0], horizons)


def test_a_sample_whose_parts_disagree_is_refused() -> None:
    exposure = exposure_of([{0: 1.0}, {0: 1.0}], [1.0, 1.0])
    for bar, features in ((np.arange(3), np.zeros((3, 1))), (np.arange(2), np.zeros((2, 2)))):
        with pytest.raises(InputError, match="features have shape"):
            AccountSample(bar, exposure, (1,), features, ("x",))
    with pytest.raises(InputError, match=r"is not a feature of this sample \(found 'z'\)"):
        sample_of([{0: 1.0}], [1.0]).column("z")


def test_the_scale_of_an_entry_is_that_of_its_bar_series_and_horizon() -> None:
    sigma = np.arange(5 * 2 * 2, dtype=np.float64).reshape(5, 2, 2)
    field = ScaleField(sigma, (1, 4))
    sample = sample_of([{0: 1.0, 1: 1.0}, {1: -1.0}], [1.0, 1.0])
    assert field.of_entries(sample, 4).tolist() == [sigma[1, 0, 1], sigma[1, 1, 1], sigma[2, 1, 1]]
    with pytest.raises(InputError, match=r"horizon: has no scale; there are \[1, 4\] \(found 2\)"):
        field.of_entries(sample, 2)


def test_never_falling_passes_over_what_is_not_known() -> None:
    found = never_falling(np.array([[0.2, np.nan, 0.1, 0.4], [np.nan, 0.3, 1.5, -1.0]]))
    np.testing.assert_array_equal(found, [[0.2, np.nan, 0.2, 0.4], [np.nan, 0.3, 1.0, 1.0]])


def test_breach_is_certain_and_nothing_moves_a_pool_without_exposure() -> None:
    exposure = exposure_of([{0: 1.0}, {0: 1.0}, {}, {}, {0: 1.0}], [-1.0, 1.0, 0.0, -1.0, 0.0])
    found = certain_where_breached(np.array([[0.3], [np.nan], [np.nan], [0.3], [0.3]]), exposure)
    np.testing.assert_array_equal(found[:, 0], [1.0, np.nan, 0.0, 1.0, 0.3])


def test_a_pool_without_positions_is_not_liquidated_whatever_it_owes() -> None:
    table = InstrumentTable.linear_perpetuals(["C0"])
    history = random_history(np.random.default_rng(11), 20, 1)
    rules = RuleBook("example", dt.date(2024, 1, 1), {"C0": RateSchedule.cliff([0.0], [0.1], [10.0])})
    book = AccountBook(
        table,
        ["idle", "long"],
        ["main", "main"],
        ["", ""],
        [0, 1, 2],
        [0, 0],
        [-5.0, -5.0],
        [0, 0, 1],
        [0],
        [1.0],
        [100.0],
        [np.nan],
    )
    bars = np.array([2, 2])
    breached = first_passage(book, build_pyramid(history), rules, bars, horizon=5).within(5).astype(float)
    said = certain_where_breached(np.full((2, 1), 0.3), linearise_at(book, bars, history, rules))
    assert said[0, 0] == breached[0] == 0.0
    assert evaluate(book, history.state_at(2), rules).stage[0] == Stage.HEALTHY
