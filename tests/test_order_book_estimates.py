"""What streams beside the book: recovery of depth and price impact, against known rates and other estimators."""

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from order_book_twin import BTC, ETH
from step_parity import stored_and_loaded

from margincast.features.liquidity.price_impact import ImpactSettings, PriceImpact
from margincast.features.liquidity.resilience import Resilience, ResilienceSettings
from margincast.riskcore.errors import InputError

SECOND = 1_000_000_000


def recovering(rate, step, shocks=12, calm=40.0, size=0.6, noise=0.0, seed=0):
    """Depth of 100 that falls by `size` now and then and comes back exponentially; asks stand still."""
    rng, times, depth = np.random.default_rng(seed), [], []
    start = 200.0
    times.append(0.0)
    depth.append(100.0)
    for _ in range(shocks):
        after = np.arange(0.0, calm, step)
        times += (start + after).tolist()
        depth += (100.0 * (1.0 - size * np.exp(-rate * after))).tolist()
        start += calm + 3.0
    depth = np.array(depth) * np.exp(rng.normal(0.0, noise, len(depth)))
    return (np.array(times) * SECOND).astype(np.int64), np.column_stack((depth, np.full(len(depth), 50.0)))


@pytest.mark.parametrize("rate", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("step", [0.01, 0.1])
def test_the_rate_of_an_exponential_recovery_is_found(rate, step):
    """Depth that stands still for `step` has the area of a sum, so the rate is (1 - exp(-rate step)) / step."""
    settings = ResilienceSettings(reference_seconds=1e9, watch_seconds=30.0, least_episodes=3)
    one = Resilience(settings)
    one._state["numbers"][:, 1] = 1e10
    seen, depth = recovering(rate, step)
    one.advance(seen[:1], depth[:1])
    one._state["numbers"][:, 1] = 1e10
    one.advance(seen[1:], depth[1:])
    assert one.episodes.tolist() == [[12, 0], [0, 0]]
    assert one.rate[0] == pytest.approx((1.0 - np.exp(-rate * step)) / step, rel=1e-5)
    assert one.half_life[0] == pytest.approx(np.log(2.0) / one.rate[0], rel=1e-12) and np.isnan(one.half_life[1])


def test_with_usual_depth_that_is_learned_and_noise_it_is_still_near():
    one = Resilience(ResilienceSettings(reference_seconds=60.0, watch_seconds=20.0))
    one.advance(*recovering(0.5, 0.05, shocks=30, noise=0.02))
    assert 0.5 < one.rate[0] < 0.6 and one.episodes[0, 0] >= 28, "noise ends episodes early, as the docstring says"


def test_depth_that_does_not_come_back_has_no_half_life():
    seen = np.arange(0, 400) * SECOND
    depth = np.where(np.arange(400)[:, None] < 200, [[100.0, 100.0]], [[50.0, 20.0]])
    one = Resilience(ResilienceSettings(reference_seconds=100.0, least_episodes=1, watch_seconds=10.0))
    one.advance(seen, depth)
    assert (one.rate == 0.0).all() and np.isnan(one.half_life).all() and (one.episodes[:, 0] >= 1).all()


def test_a_gap_breaks_an_episode_off_and_usual_depth_is_learned_anew():
    seen = np.arange(0, 300) * SECOND
    depth = np.full((300, 2), 100.0)
    depth[200:220] = 40.0
    depth[205] = np.nan
    one = Resilience(ResilienceSettings(reference_seconds=60.0, least_episodes=1))
    one.advance(seen, depth)
    assert one.episodes.tolist() == [[0, 1], [0, 1]] and np.isnan(one.rate).all()
    back = Resilience(ResilienceSettings(reference_seconds=60.0, least_episodes=1))
    depth[205] = 40.0
    seen[210:] -= 50 * SECOND
    back.advance(seen, depth)
    assert back.episodes[:, 1].tolist() == [1, 1]


def plain_resilience(seen, depth, settings):
    """One side in plain Python, episode by episode."""
    half, least = settings.reference_seconds, settings.depletion
    episodes, start, usual, age, last, then = [], None, None, 0.0, None, None
    for now, value in zip(seen, depth, strict=True):
        if np.isnan(value):
            start, last = None, None
            continue
        if last is None:
            usual, age = value, 0.0
        else:
            passed = (now - then) / SECOND
            weight = 0.5 ** (passed / half)
            usual, age = weight * usual + (1 - weight) * last, age + passed
            if start:
                start["area"] += start["x"] * passed
        last, then = value, now
        if start:
            start["x"] = max(0.0, 1 - value / start["usual"])
            if start["x"] == 0.0 or (now - start["from"]) / SECOND >= settings.watch_seconds:
                episodes.append((start["first"] - start["x"], start["area"]))
                start = None
        elif usual > 0 and 1 - value / usual >= least and age >= half:
            x = 1 - value / usual
            start = {"x": x, "first": x, "usual": usual, "from": now, "area": 0.0}
    weights = 0.5 ** (np.arange(len(episodes))[::-1] / settings.memory_episodes)
    return np.array(episodes).reshape(-1, 2).T @ weights, len(episodes)


@given(st.integers(0, 2**32 - 1))
def test_the_plain_twin_and_any_portions_with_restarts_agree(seed):
    rng = np.random.default_rng(seed)
    seen = np.cumsum(rng.integers(0, 2 * SECOND, 400))
    depth = 100.0 * np.exp(rng.normal(0, 0.5, (400, 2)))
    depth[rng.random(400) < 0.01] = np.nan
    settings = ResilienceSettings(reference_seconds=5.0, watch_seconds=4.0, memory_episodes=7.0, least_episodes=1)
    whole, parts = Resilience(settings), Resilience(settings)
    whole.advance(seen, depth)
    for low, high in zip([0, 1, 130, 131], [1, 130, 131, 400], strict=True):
        parts.advance(seen[low:high], depth[low:high])
        parts = Resilience.restored(stored_and_loaded(parts.checkpoint()), settings)
    assert whole.rate.tobytes() == parts.rate.tobytes() and (whole.episodes == parts.episodes).all()
    for side in (0, 1):
        (recovered, area), count = plain_resilience(seen.tolist(), depth[:, side].tolist(), settings)
        assert count == whole.episodes[side, 0]
        if count and area > 0:
            assert whole.rate[side] == pytest.approx(recovered / area, rel=1e-9)


def trades_and_mids(rng, seconds=300, slope=2e-9, noise=1e-6, every=5):
    """Each second: trades, then the mid moved by slope times their balance."""
    rows, log_mid, moves, flows = [(0.5, False, 1.0)], 0.0, [], []
    for second in range(1, seconds):
        flow = 0.0
        if second % every:
            for part in rng.normal(0, 1e5, 3):
                rows.append((second + 0.1, True, part))
                flow += part
        move = slope * flow + rng.normal(0, noise)
        log_mid += move
        rows.append((second + 0.9, False, np.exp(log_mid)))
        if second % every:
            moves.append(move)
            flows.append(flow)
    rows.append((seconds + 0.1, False, np.exp(log_mid)))
    seen, is_trade, values = zip(*rows, strict=True)
    columns = (np.array(seen) * SECOND).astype(np.int64), np.array(is_trade), np.array(values)
    return columns, np.array(moves), np.array(flows)


@pytest.mark.parametrize("memory", [20.0, 1e6])
def test_the_slope_is_weighted_least_squares_through_the_origin(memory):
    rows, moves, flows = trades_and_mids(np.random.default_rng(1))
    one = PriceImpact(ImpactSettings(memory_intervals=memory))
    one.advance(*rows)
    weights = 0.5 ** (np.arange(len(moves))[::-1] / memory)
    fitted = sm.WLS(moves * 1e9, flows, weights=weights).fit().params[0] / 1e9
    assert one.intervals == len(moves) == 240
    assert one.slope == pytest.approx(fitted, rel=1e-9) and one.slope == pytest.approx(2e-9, rel=0.1)


def test_portions_restarts_and_gaps_of_the_impact():
    rows, moves, _ = trades_and_mids(np.random.default_rng(2))
    whole, parts = PriceImpact(), PriceImpact()
    whole.advance(*rows)
    for low, high in zip([0, 7, 300], [7, 300, len(rows[0])], strict=True):
        parts.advance(*(column[low:high] for column in rows))
        parts = PriceImpact.restored(stored_and_loaded(parts.checkpoint()))
    assert whole.slope == parts.slope
    seen, is_trade, values = (column.copy() for column in rows)
    values[np.flatnonzero(~is_trade)[50]] = np.nan
    broken = PriceImpact()
    broken.advance(seen, is_trade, values)
    assert broken.intervals in (len(moves) - 1, len(moves) - 2) and broken.slope != whole.slope
    few = PriceImpact(ImpactSettings(least_intervals=241))
    few.advance(*rows)
    assert np.isnan(few.slope)


def test_an_interval_in_which_the_book_was_unknown_is_left_out_though_it_came_back():
    seconds = np.array([0.9, 1.2, 1.4, 1.6, 2.5, 3.5])
    is_trade = np.array([False, True, False, False, True, False])
    for middle, counted in ((1.0, 2), (np.nan, 1)):
        one = PriceImpact()
        one.advance((seconds * SECOND).astype(np.int64), is_trade, np.array([1.0, 1e3, middle, 1.1, 1e3, 1.2]))
        assert one.intervals == counted


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (ResilienceSettings, "band_bps"),
        (ResilienceSettings, "depletion"),
        (ResilienceSettings, "watch_seconds"),
        (ImpactSettings, "interval_seconds"),
    ],
)
def test_settings_that_cannot_be(settings, name):
    for value in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match=f"column {name}"):
            settings(**{name: value})


@pytest.mark.skipif(not (BTC.is_file() and ETH.is_file()), reason=f"needs the recordings {BTC}")
def test_real_trades_move_the_price_their_way_and_depth_comes_back():
    from margincast.features.liquidity.book_bars import BookMeasures, book_bars
    from margincast.features.liquidity.book_sequence import BINANCE_FUTURES
    from margincast.features.readers.book_feed_binance import BinanceRecording

    settings = ResilienceSettings(band_bps=2.0)
    measures = BookMeasures((1.0, 2.0))
    impact = []
    for path in (BTC, ETH):
        step = np.timedelta64(100, "s")
        bars = book_bars(BinanceRecording(path), BINANCE_FUTURES, measures, step=step, resilience=settings)
        last = bars.frame.iloc[-1]
        impact.append(last["impact_bps_per_million"])
        assert 0.0 < last["half_life_bid"] < 60.0 and 0.0 < last["half_life_ask"] < 60.0
    assert 0.0 < impact[0] < impact[1], "the thinner market moves more"
