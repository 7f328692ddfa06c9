"""Mark prices: hand-worked cases, the breakdown point of the median, and every way a feed can be unusable."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.mark_price.basis import (
    clamped_basis_mark,
    ema_update,
    funding_basis_price,
    median_of_candidates,
)
from margincast.riskcore.mark_price.feeds import FeedRules, FeedState, PriceFeeds, told
from margincast.riskcore.mark_price.mark import mark_from_feeds, weighted_median, weighted_quantile
from margincast.riskcore.mark_price.stress import (
    drop_feeds,
    freeze_feeds,
    manipulation_reach,
    mark_path,
    shift_feeds,
    smallest_coalition,
)

NOW = np.datetime64("2024-01-01T00:01:00", "ns")
SECOND = np.timedelta64(1, "s")
RULES = FeedRules(10 * SECOND)
PRICES = st.floats(1.0, 1e6)
WEIGHTS = st.integers(1, 20)


def feeds_of(prices, weights=None, age=0):
    names = [f"feed {i}" for i in range(len(prices))]
    return PriceFeeds.of_prices(names, ["BTC"], NOW - age * SECOND, np.reshape(prices, (-1, 1)), weights)


@given(st.lists(st.tuples(PRICES, WEIGHTS), min_size=1, max_size=12))
def test_weighted_median_is_the_median_of_repeated_values(pairs):
    values, weights = (np.array(column, float).reshape(-1, 1) for column in zip(*pairs, strict=True))
    repeated = np.repeat(values[:, 0], weights[:, 0].astype(int))
    assert weighted_median(values, weights)[0] == pytest.approx(np.median(repeated), rel=1e-15)
    least = np.quantile(repeated, 0.3, method="inverted_cdf")
    assert weighted_quantile(values, weights, 0.3)[0] == least


@given(st.lists(st.tuples(PRICES, WEIGHTS), min_size=1, max_size=12), st.randoms())
def test_order_of_feeds_does_not_matter(pairs, random):
    other = list(pairs)
    random.shuffle(other)
    one, two = (weighted_median(*(np.array(c, float).reshape(-1, 1) for c in zip(*p, strict=True)))
                for p in (pairs, other))  # fmt: skip
    assert one.tobytes() == two.tobytes()


@given(
    honest=st.lists(st.tuples(st.floats(90, 110), WEIGHTS), min_size=2, max_size=8),
    lies=st.lists(st.tuples(st.floats(1e-3, 1e6), WEIGHTS), min_size=0, max_size=8),
    cap=st.floats(0.001, 0.2),
)
@settings(max_examples=200)
def test_a_minority_cannot_move_the_mark_out_of_the_honest_range(honest, lies, cap):
    prices, weights = zip(*honest, *lies, strict=True)
    held = sum(w for _, w in lies)
    if 2 * held >= sum(weights):
        return
    low, high = min(p for p, _ in honest), max(p for p, _ in honest)
    feeds = feeds_of(prices, weights)
    clamp = FeedRules(10 * SECOND, max_deviation=cap, min_feeds=1)
    found = mark_from_feeds(feeds, clamp, NOW, allow_outage=True).mark[0]
    assert np.isnan(found) or low <= found <= high
    found = mark_from_feeds(feeds, replace(clamp, when_far="reject"), NOW, allow_outage=True).mark[0]
    assert np.isnan(found) or low * (1 - cap) <= found <= high * (1 + cap)


def test_two_feeds_apart_are_an_outage_not_a_guess():
    with pytest.raises(InputError, match="0 of 2 feeds can be used, 1 are needed: feed 0 far from median, feed 1 far"):
        mark_from_feeds(feeds_of([90.0, 110.0]), replace(RULES, min_feeds=1), NOW)


@given(
    st.lists(st.tuples(st.floats(90, 110), WEIGHTS), min_size=2, max_size=7),
    st.integers(1, 6),
    st.floats(-0.99, 50.0),
)
@settings(max_examples=200)
def test_the_reach_holds_every_shift_and_is_attained(pairs, count, move):
    prices, weights = zip(*pairs, strict=True)
    feeds, names = feeds_of(prices, weights), [f"feed {i}" for i in range(min(count, len(pairs) - 1))]
    rules = FeedRules(10 * SECOND, min_feeds=1, max_deviation=np.inf)
    reach = manipulation_reach(feeds, rules, NOW, names)
    share = sum(weights[: len(names)]) / sum(weights)
    assert reach.share[0] == pytest.approx(share)
    found = mark_path(feeds, rules, NOW, names, [move, -1 + 1e-12, 1e12])[:, 0]
    assert reach.low[0] <= found[0] <= reach.high[0]
    if share < 0.5:
        assert (found[1], found[2]) == (reach.low[0], reach.high[0])
        assert min(prices) <= reach.low[0] <= reach.high[0] <= max(prices)
    else:
        assert (reach.low[0], reach.high[0]) == (0.0, np.inf)
        assert found[1] < 89
        assert found[2] > 1e6


def test_smallest_coalition_can_and_a_smaller_one_cannot():
    feeds = feeds_of([100.0, 101.0, 99.0, 100.0], [4, 3, 2, 1])
    (coalition,) = smallest_coalition(feeds, RULES, NOW)
    assert coalition == ("feed 0", "feed 1")
    assert np.isinf(manipulation_reach(feeds, RULES, NOW, coalition).high[0])
    assert manipulation_reach(feeds, RULES, NOW, ["feed 0"]).high[0] == 101.0


def test_interval_of_doubt_by_hand():
    names, shape = ["a", "b", "c", "d"], (4, 1)
    bid, ask = [[99.0], [100.0], [100.5], [98.0]], [[99.5], [100.4], [101.5], [103.0]]
    feeds = PriceFeeds(names, ["BTC"], np.full(shape, NOW - 4 * SECOND), bid, ask, np.full(shape, np.nan), np.ones(4))
    # mids 99.25, 100.2, 101, 100.5: median (100.2 + 100.5) / 2; doubt 0 reaches from bid 98 to ask 103
    found = mark_from_feeds(feeds, replace(RULES, doubt=0.0), NOW)
    assert (found.mark[0], found.low[0], found.high[0]) == (pytest.approx(100.35), 98.0, 103.0)
    # one quarter: the lowest bid already holds it, and the highest ask
    found = mark_from_feeds(feeds, replace(RULES, doubt=0.26), NOW)
    assert (found.low[0], found.high[0]) == (99.0, 101.5)
    assert found.worst_for([2.0, -1.0], [0, 0]).tolist() == [99.0, 101.5]
    wide = mark_from_feeds(feeds, replace(RULES, doubt=0.26, drift=0.001), NOW)
    assert (wide.low[0], wide.high[0]) == (pytest.approx(99.0 * 0.998), pytest.approx(101.5 * 1.002))
    assert wide.age.tolist() == [4.0]


@given(st.lists(st.tuples(PRICES, st.floats(0, 0.1), WEIGHTS), min_size=1, max_size=8), st.floats(0, 0.5))
def test_the_interval_holds_the_mark_and_narrows_with_the_quantile(rows, doubt):
    bid = np.array([[p * (1 - s)] for p, s, _ in rows])
    ask = np.array([[p * (1 + s)] for p, s, _ in rows])
    names, weights = [str(i) for i in range(len(rows))], [w for *_, w in rows]
    feeds = PriceFeeds(names, ["X"], np.full(bid.shape, NOW), bid, ask, np.full(bid.shape, np.nan), weights)
    rules = FeedRules(10 * SECOND, min_feeds=1, max_deviation=np.inf, doubt=doubt)
    found, widest = mark_from_feeds(feeds, rules, NOW), mark_from_feeds(feeds, replace(rules, doubt=0.0), NOW)
    assert found.low[0] <= found.mark[0] <= found.high[0]
    assert widest.low[0] <= found.low[0]
    assert found.high[0] <= widest.high[0]


def test_depth_caps_and_weighs():
    names, shape = ["a", "b", "c"], (3, 1)
    price, depth = [[100.0], [101.0], [102.0]], [[1e6], [2e5], [1e5]]
    feeds = PriceFeeds(names, ["BTC"], np.full(shape, NOW), price, price, depth, np.ones(3))
    # uncapped by depth each counts one; capped at 2e5 the weights are 1, 1, 0.5: the half is inside the second
    assert mark_from_feeds(feeds, RULES, NOW).mark.tolist() == [101.0]
    assert mark_from_feeds(feeds, replace(RULES, depth_cap=2e5), NOW).mark.tolist() == [101.0]
    # capped at 1e6 the weights are 1, 0.2, 0.1: the first holds most
    assert mark_from_feeds(feeds, replace(RULES, depth_cap=1e6), NOW).mark.tolist() == [100.0]
    found = mark_from_feeds(feeds, replace(RULES, min_depth=1.5e5), NOW)
    assert found.state[:, 0].tolist() == [FeedState.USED, FeedState.USED, FeedState.SHALLOW]


def test_each_unusable_feed_is_said_with_its_reason():
    time = NOW - np.array([[0], [11], [-1], [0], [0], [0], [0]]) * SECOND
    time[4] = np.datetime64("NaT")
    bid = np.array([[100.0], [100.0], [100.0], [101.0], [100.0], [np.nan], [150.0]])
    ask = np.array([[100.0], [100.0], [100.0], [100.0], [100.0], [100.0], [150.0]])
    names = ["good", "old", "early", "crossed", "silent", "nan", "far"]
    feeds = PriceFeeds(names, ["BTC"], time, bid, ask, np.full(bid.shape, np.nan), np.array([3, *[1] * 6]))
    reason = ("1 of 7 feeds can be used, 2 are needed: old stale, early from the future, crossed crossed, "
              "silent absent, nan absent, far far from median")  # fmt: skip
    for when_far in ("reject", "clamp"):
        with pytest.raises(InputError) as error:
            mark_from_feeds(feeds, replace(RULES, when_far=when_far), NOW)
        assert str(error.value) == f"column mark: {reason} (found 'BTC')"
        found = mark_from_feeds(feeds, replace(RULES, min_feeds=1, when_far=when_far), NOW)
        assert found.mark.tolist() == [100.0]
        assert told(feeds, found.state, 0) == reason.partition(": ")[2]
    out = mark_from_feeds(feeds, RULES, NOW, allow_outage=True)
    assert np.isnan([out.mark[0], out.low[0], out.high[0], out.age[0]]).all()


def test_instruments_are_marked_independently():
    prices = np.array([[100.0, 10.0], [101.0, np.nan], [102.0, 12.0]])
    feeds = PriceFeeds.of_prices(["a", "b", "c"], ["BTC", "ETH"], NOW, prices)
    both = mark_from_feeds(feeds, replace(RULES, max_deviation=1.0), NOW)
    assert both.mark.tolist() == [101.0, 11.0]
    assert told(feeds, both.state, 1) == "b absent"
    assert told(feeds, both.state, 0) == "none is left out"


def test_an_oracle_that_freezes_is_seen_unless_it_lies_about_the_time():
    past, now = feeds_of([100.0, 100.0, 100.0], age=60), feeds_of([80.0, 80.0, 81.0])
    seen = freeze_feeds(now, past, ["feed 0", "feed 1"])
    with pytest.raises(InputError, match="1 of 3 feeds can be used.*feed 0 stale, feed 1 stale"):
        mark_from_feeds(seen, RULES, NOW)
    unseen = freeze_feeds(now, past, ["feed 0", "feed 1"], restamped=True)
    assert mark_from_feeds(unseen, replace(RULES, max_deviation=0.5), NOW).mark.tolist() == [100.0]
    assert mark_from_feeds(drop_feeds(now, ["feed 0"]), RULES, NOW).mark.tolist() == [80.5]
    with pytest.raises(InputError, match="other feeds"):
        freeze_feeds(now, feeds_of([1.0]), ["feed 0"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"bid": [[0.0], [1.0]]}, "row 0, column bid of BTC from feed 0: price must be positive (found 0.0)"),
        ({"ask": [[1.0], [np.inf]]}, "row 1, column ask of BTC from feed 1: price must be positive (found inf)"),
        ({"depth": [[1.0], [-2.0]]}, "row 1, column depth of BTC from feed 1: must not be negative (found -2.0)"),
        ({"weight": [1.0, 0.0]}, "row 1, column weight: must be positive (found 0.0)"),
        ({"weight": [1.0]}, "column weight: has shape (1,), expected (2,)"),
        ({"time": [NOW, NOW]}, "column time: has shape (2,), expected (2, 1)"),
        ({"feeds": ("a", "a")}, "row 1, column feeds: is listed twice (found 'a')"),
    ],
)
def test_feeds_that_cannot_be_read(change, problem):
    with pytest.raises(InputError) as error:
        replace(feeds_of([100.0, 100.0]), **change)
    assert str(error.value) == problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"max_age": -SECOND}, "max_age"),
        ({"max_age": np.timedelta64("NaT")}, "max_age"),
        ({"max_deviation": 0.0}, "max_deviation"),
        ({"depth_cap": np.nan}, "depth_cap"),
        ({"min_depth": np.inf}, "min_depth"),
        ({"doubt": 0.6}, "doubt"),
        ({"drift": -1.0}, "drift"),
        ({"min_feeds": 0}, "min_feeds"),
        ({"when_far": "drop"}, "when_far"),
    ],
)
def test_rules_out_of_range(change, problem):
    with pytest.raises(InputError, match=problem):
        replace(RULES, **change)


def test_bad_stresses():
    feeds = feeds_of([100.0, 100.0])
    with pytest.raises(InputError, match="column feed: unknown feed; known are feed 0, feed 1"):
        shift_feeds(feeds, ["x"], 0.1)
    with pytest.raises(InputError, match="above -1"):
        shift_feeds(feeds, ["feed 0"], -1.0)
    with pytest.raises(InputError, match="clamp"):
        manipulation_reach(feeds, replace(RULES, when_far="reject"), NOW, ["feed 0"])
    with pytest.raises(InputError, match="needs a time"):
        mark_from_feeds(feeds, RULES, np.datetime64("NaT"))


def test_binance_mark_by_hand():
    # help page fff6ec1b...: price 1 = 40,000 * (1 + 0.0001 * 4/8) = 40,002; price 2 = 40,000 + 12
    first = funding_basis_price(40_000.0, 0.0001, 0.5)
    second = clamped_basis_mark(40_000.0, 12.0, 0.01)
    assert float(median_of_candidates(first, second, 40_100.0)) == 40_012.0
    assert float(median_of_candidates(first, second, 39_000.0)) == pytest.approx(40_002.0)
    with pytest.raises(InputError, match="odd"):
        median_of_candidates(1.0, 2.0)
    with pytest.raises(InputError, match="row 1"):
        median_of_candidates(1.0, np.nan, 2.0)
    with pytest.raises(InputError, match="remaining"):
        funding_basis_price(1.0, 0.1, 1.5)
    with pytest.raises(InputError, match="cap"):
        clamped_basis_mark(1.0, 0.1, -0.1)


@given(st.floats(-5, 5), st.floats(-5, 5), st.floats(0, 100), st.floats(0, 100))
def test_the_average_does_not_depend_on_how_often_it_is_updated(start, value, first, second):
    twice = ema_update(ema_update(start, value, first, 30.0), value, second, 30.0)
    assert float(twice) == pytest.approx(float(ema_update(start, value, first + second, 30.0)), abs=1e-12)
    with pytest.raises(InputError, match="time_constant"):
        ema_update(0.0, 1.0, 1.0, 0.0)
    with pytest.raises(InputError, match="elapsed"):
        ema_update(0.0, 1.0, -1.0, 1.0)
