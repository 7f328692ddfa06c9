"""Censored liquidation feeds against simulations whose truth is known, plain twins, and the data of real days."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from margincast.features.flow.censored_feed import (
    ShownEvents,
    amount_variance,
    arrival_rate,
    count_variance,
    event_weights,
    interval,
    least_count,
)
from margincast.features.flow.forced_flow import estimated_liquidations, liquidated_share, liquidation_imbalance
from margincast.features.flow.liquidations import liquidation_flow
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HOUR = np.timedelta64(1, "h")


def simulated(rng, rates, which, spread=1.0):
    """True events of each second, and which of them the feed shows: seconds, sizes, sides, shown."""
    number = rng.poisson(rates)
    second = np.repeat(np.arange(len(rates)), number)
    size, short = rng.lognormal(3.0, spread, len(second)), rng.random(len(second)) < 0.3
    order = np.arange(len(second)) if which == "latest" else np.lexsort((size, second))
    ends = np.flatnonzero(np.append(np.diff(second[order]) > 0, True)) if len(second) else np.zeros(0, int)
    return second, size, short, np.sort(order[ends])


def table_of(second, size, short, start="2024-01-01"):
    stamps = pd.Timestamp(start, tz="UTC") + pd.to_timedelta(second, unit="s")
    side = np.where(short, "short", "long")
    return pd.DataFrame({"timestamp": stamps, "symbol": "BTC", "side": side, "price": 2.0, "quantity": size / 2.0})


def block(size, seconds):
    return ShownEvents(np.zeros(len(size), np.int64), np.asarray(size, float), 1, float(seconds))


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 1.5, 3.0])
def test_the_true_count_lies_in_its_interval_as_often_as_it_says(rate):
    rng = np.random.default_rng(1)
    true = rng.poisson(rate, (3000, 1800))
    shown, total = (true > 0).sum(axis=1).astype(float), true.sum(axis=1)
    estimate = arrival_rate(shown, 1800.0) * 1800.0
    low, high = interval(estimate, count_variance(shown, 1800.0), shown, 0.95)
    assert np.mean((low <= total) & (total <= high)) == pytest.approx(0.95, abs=0.03 if rate < 0.1 else 0.015)
    assert estimate.mean() == pytest.approx(total.mean(), rel=0.01)


@pytest.mark.parametrize("which", ["latest", "largest"])
@pytest.mark.parametrize(
    ("rate", "seconds", "least"), [(0.1, 1200, 0.86), (0.1, 7200, 0.92), (0.7, 1200, 0.92), (2.0, 1200, 0.92)]
)
def test_the_true_notional_of_a_side_lies_in_its_interval_as_often_as_it_says(which, rate, seconds, least):
    """Within three standard errors of 95%; with 1.8 hidden events a side, the first case, a little less often."""
    rng, covered, ratio = np.random.default_rng(2), [], []
    for _ in range(500):
        second, size, short, shown = simulated(rng, np.full(seconds, rate), which)
        events = block(size[shown], seconds)
        weights = event_weights(events, which)
        own = events._replace(size=events.size * short[shown])
        estimate = np.array([(weights * own.size).sum()])
        low, high = interval(estimate, amount_variance(own, weights, which), np.array([own.size.sum()]), 0.95)
        covered.append(low[0] <= size[short].sum() <= high[0])
        ratio.append(estimate[0] / size[short].sum())
    assert least <= np.mean(covered) <= 0.98
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.02)


def test_the_wrong_assumption_is_wrong_and_the_shown_notional_too_low():
    rng = np.random.default_rng(3)
    totals, naive, crossed = 0.0, 0.0, 0.0
    for _ in range(60):
        _, size, _, shown = simulated(rng, np.full(1200, 1.5), "largest")
        events = block(size[shown], 1200)
        totals, naive = totals + size.sum(), naive + events.size.sum()
        crossed += (event_weights(events, "latest") * events.size).sum()
    assert naive < 0.8 * totals
    assert crossed > 1.25 * totals


@pytest.mark.parametrize("seed", range(4))
def test_weights_for_the_largest_are_the_integral_of_the_distribution_of_maxima(seed):
    """n times the integral over x of -ln(share of seconds whose largest is at most x)."""
    rng = np.random.default_rng(seed)
    size, seconds = rng.lognormal(0, 1, 25), 40
    maxima = np.concatenate((np.zeros(seconds - len(size)), size))
    edges = np.sort(maxima)[seconds - len(size) - 1 :]
    heights = [-np.log(np.mean(maxima <= left)) for left in edges[:-1]]
    expected = seconds * np.sum(np.diff(edges) * heights)
    assert (event_weights(block(size, seconds), "largest") * size).sum() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("which", ["latest", "largest"])
def test_weights_add_up_to_the_count_in_each_block(which):
    rng = np.random.default_rng(5)
    events = ShownEvents(rng.integers(0, 7, 90), rng.exponential(1, 90), 8, 60.0)
    sums = np.bincount(events.block, event_weights(events, which), 8)
    np.testing.assert_allclose(sums, arrival_rate(events.shown, 60.0) * 60.0, rtol=1e-12)
    least = np.bincount(events.block, event_weights(events, which, least=0.95), 8)
    np.testing.assert_allclose(least, least_count(events.shown, 60.0, 0.95), rtol=1e-9)
    assert (event_weights(events, which) > 1.0).all()


def test_the_variance_of_two_events_by_hand():
    """Sizes 1 and 3 in 4 seconds: weights 2 ln 2, sample variance 2, mean 2."""
    events = block([1.0, 3.0], 4)
    w = 2 * np.log(2)
    np.testing.assert_allclose(event_weights(events), w)
    expected = 2 * w * (w - 1) * 2 + 4 * 4 * (2 - 1 - np.log(2))
    assert amount_variance(events, event_weights(events))[0] == pytest.approx(expected)


def test_the_lower_bound_is_the_wilson_limit():
    for shown in (1, 20, 59, 60):
        low = stats.binomtest(shown, 60).proportion_ci(0.9, method="wilson").low
        assert least_count(np.array([float(shown)]), 60.0, 0.9)[0] == pytest.approx(-60 * np.log1p(-low), rel=1e-9)


def test_a_saturated_feed_gives_a_lower_bound_that_holds_and_nothing_else():
    rng, held = np.random.default_rng(6), []
    for _ in range(100):
        second, size, short, shown = simulated(rng, np.full(60, 7.0), "latest", 0.3)
        table = table_of(second[shown], size[shown], short[shown])
        flow = liquidation_flow(table, np.array(["2024-01-01"], "datetime64[ns]"), np.timedelta64(1, "m"), ("BTC",))
        if flow.saturated[0, 0]:
            assert np.isnan(flow.count.value[0, 0]) and np.isnan(flow.amount.value[0, 0]).all()
            assert flow.count.high[0, 0] == np.inf and flow.share_at_cap[0, 0] == 1.0
            assert flow.count.low[0, 0] > 60.0
            held.append(flow.count.low[0, 0] <= len(size) and flow.amount.low[0, 0].sum() <= size.sum())
    assert len(held) > 80 and np.mean(held) > 0.97


def test_a_burst_inside_the_bar_needs_blocks():
    """A minute of three a second in an otherwise quiet hour: one rate for the hour finds far too few."""
    rng, by_block, by_hour = np.random.default_rng(7), [], []
    rates = np.where(np.arange(3600) // 60 == 20, 3.0, 0.02)
    bars = np.array(["2024-01-01"], "datetime64[ns]")
    for _ in range(40):
        second, size, short, shown = simulated(rng, rates, "latest")
        table = table_of(second[shown], size[shown], short[shown])
        for out, seconds in ((by_block, 60.0), (by_hour, 3600.0)):
            flow = liquidation_flow(table, bars, HOUR, ("BTC",), block_seconds=seconds)
            if not flow.saturated.any():
                out.append(flow.count.value[0, 0] / len(size))
    assert np.mean(by_block) == pytest.approx(1.0, abs=0.05)
    assert np.mean(by_hour) < 0.6
    events = np.array([[float(len(shown))]])
    assert estimated_liquidations(events, 1.0, 1)[0, 0] == pytest.approx(by_hour[-1] * len(size))


def plain_flow(table, bars, step, symbol, blocks):
    """Count and notional of one symbol, one bar and one block at a time."""
    out = []
    for start in bars:
        count, amount = 0.0, {"long": 0.0, "short": 0.0}
        width = step / blocks
        for b in range(blocks):
            first = pd.Timestamp(start + b * width, tz="UTC")
            inside = (table["timestamp"] >= first) & (table["timestamp"] < first + pd.Timedelta(width))
            own = table[inside & (table["symbol"] == symbol)]
            seconds = width / np.timedelta64(1, "s")
            if len(own):
                events = -seconds * np.log(1 - len(own) / seconds)
                count += events
                for side, rows in own.groupby("side"):
                    amount[side] += events / len(own) * (rows["price"] * rows["quantity"]).sum()
        out.append((count, amount["long"], amount["short"]))
    return np.array(out)


def test_the_layout_on_bars_is_its_plain_twin():
    rng = np.random.default_rng(8)
    bars = np.datetime64("2024-01-01", "ns") + np.arange(6) * np.timedelta64(5, "m")
    parts = []
    for symbol, rate in (("BTC", 0.3), ("ETH", 0.05), ("DOGE", 0.2)):
        second, size, short, shown = simulated(rng, np.full(2400, rate), "latest")
        parts.append(table_of(second[shown], size[shown], short[shown], "2023-12-31T23:55").assign(symbol=symbol))
    table = pd.concat(parts).sort_values("timestamp", kind="stable", ignore_index=True)
    flow = liquidation_flow(table, bars, np.timedelta64(5, "m"), ("ETH", "BTC", "SOL"))
    for column, symbol in ((1, "BTC"), (0, "ETH")):
        expected = plain_flow(table, bars, np.timedelta64(5, "m"), symbol, 5)
        np.testing.assert_allclose(flow.count.value[:, column], expected[:, 0], rtol=1e-12)
        np.testing.assert_allclose(flow.amount.value[:, column], expected[:, 1:], rtol=1e-12)
    assert (flow.events[:, 2] == 0).all() and (flow.amount.value[:, 2] == 0).all()
    assert (flow.amount.low <= flow.amount.value).all() and (flow.amount.low >= flow.notional).all()
    np.testing.assert_allclose(flow.share_at_cap, flow.events / 300)
    both = flow.notional[:, 1]
    np.testing.assert_allclose(flow.imbalance()[:, 1], (both[:, 0] - both[:, 1]) / both.sum(axis=1))
    assert np.isnan(flow.imbalance()[:, 2]).all()


def test_bars_without_a_feed_are_not_zero():
    table = table_of(np.array([10.0, 4000.0]), np.ones(2), np.array([False, True]))
    bars = np.datetime64("2023-12-31T23", "ns") + np.arange(4) * HOUR
    flow = liquidation_flow(table, bars, HOUR, ("BTC", "ETH"))
    assert np.isnan(flow.events[[0, 3]]).all() and np.isnan(flow.amount.value[[0, 3]]).all()
    assert flow.events[1:3].tolist() == [[1.0, 0.0], [1.0, 0.0]]
    at_open = table_of(np.array([0.0]), np.ones(1), np.zeros(1, bool))
    flow = liquidation_flow(at_open, bars, HOUR, ("BTC",))
    assert np.isnan(flow.events[:, 0]).tolist() == [True, False, True, True]


def test_an_unknown_price_leaves_the_count():
    table = table_of(np.array([10.0, 20.0, 4000.0]), np.ones(3), np.zeros(3, bool))
    table.loc[0, "price"] = np.nan
    flow = liquidation_flow(table, np.datetime64("2024-01-01", "ns") + np.arange(2) * HOUR, HOUR, ("BTC",))
    assert flow.events[:, 0].tolist() == [2.0, 1.0] and np.isfinite(flow.count.value).all()
    assert np.isnan(flow.amount.value[0, 0, 0]) and flow.amount.value[1, 0, 0] > 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "SELL"}, "row 0, column side: must be long or short: the position that was liquidated .found 'SELL'"),
        ({"side": None}, "column side: is missing"),
        ({"quantity": None}, "column quantity: is missing"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(change, message):
    table = table_of(np.array([10.0]), np.ones(1), np.zeros(1, bool))
    for name, value in change.items():
        table = table.drop(columns=name) if value is None else table.assign(**{name: value})
    with pytest.raises(InputError, match=message):
        liquidation_flow(table, np.array(["2024-01-01"], "datetime64[ns]"), HOUR, ("BTC",))


def test_a_feed_that_is_not_capped_is_refused():
    table = table_of(np.repeat(np.arange(60.0), 3), np.ones(180), np.zeros(180, bool))
    with pytest.raises(InputError, match="BTC has more than one event a second at 2024-01-01T00:00.* not capped"):
        liquidation_flow(table, np.array(["2024-01-01"], "datetime64[ns]"), HOUR, ("BTC",))


@pytest.fixture(scope="module")
def days():
    path = SHARED / "data" / "daily_oi_liquidations_2022" / "binance_perp.parquet"
    if not path.exists():
        pytest.skip(f"needs {path}")
    frame = pd.read_parquet(path)
    wide = {
        name: frame.pivot(index="date", columns="symbol", values=name)
        for name in frame
        if name not in ("date", "symbol")
    }
    return {name: table[["BTCUSDT", "ETHUSDT", "SOLUSDT"]].astype(float) for name, table in wide.items()}


def test_longs_are_liquidated_on_days_that_fall(days):
    close = days["close"].to_numpy()
    long, short = (days[name].to_numpy() * close for name in ("longliq", "shortliq"))
    returns = np.log(close[1:] / close[:-1])
    lean = liquidation_imbalance(long, short, 1)[1:]
    share = liquidated_share(long, short, days["oi"].to_numpy() * close, 1)[1:]
    for column in range(3):
        known = ~np.isnan(lean[:, column]) & ~np.isnan(returns[:, column])
        assert known.sum() > 300
        assert stats.spearmanr(lean[known, column], returns[known, column]).statistic < -0.7
        size = np.abs(returns[:, column])
        known &= ~np.isnan(share[:, column])
        assert stats.spearmanr(share[known, column], size[known]).statistic > 0.4
