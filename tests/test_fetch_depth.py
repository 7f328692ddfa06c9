"""Depth bands of order books, against sums by hand and a loop over the prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_venue import BinanceUsdm, Time, recorded

from margincast.features.readers.stored_tables import read_stored
from margincast.live.exchange import open_exchange
from margincast.live.fetch import fetch
from margincast.live.fetch_plan import FetchPlan
from margincast.live.order_books import LEVELS, depth_bands
from margincast.riskcore.errors import InputError

BIDS, ASKS = [[99.9, 2.0], [99.5, 1.0]], [[100.1, 1.0], [100.2, 1.0]]


def bands(frame):
    return {(row.side, row.level_bps): row.notional for row in frame.itertuples()}


def by_loop(bids, asks, levels):
    mid = (bids[0][0] + asks[0][0]) / 2
    out = {}
    for side, book in (("bid", bids), ("ask", asks)):
        for level in levels:
            if abs(book[-1][0] / mid - 1) * 1e4 >= level - 1e-9:
                out[side, level] = sum(p * q for p, q in book if abs(p / mid - 1) * 1e4 <= level + 1e-9)
    return out


steps = st.lists(st.tuples(st.floats(0.01, 5), st.floats(0.001, 50)), min_size=1, max_size=40)


@given(steps, steps)
def test_bands_are_the_sums_of_what_rests_within_them(down, up):
    bids = [[1000 - 0.01 - gone, q] for gone, (_, q) in zip(np.cumsum([s for s, _ in down]), down, strict=True)]
    asks = [[1000 + 0.01 + gone, q] for gone, (_, q) in zip(np.cumsum([s for s, _ in up]), up, strict=True)]
    found, expected = bands(depth_bands(bids, asks)), by_loop(bids, asks, LEVELS)
    assert found.keys() == expected.keys()
    assert all(found[key] == pytest.approx(expected[key], rel=1e-12) for key in expected)


def test_contracts_of_several_coins_and_inverse_ones():
    assert bands(depth_bands(BIDS, ASKS, (10.0,), contract_size=0.01))["ask", 10.0] == pytest.approx(1.001)
    assert bands(depth_bands(BIDS, ASKS, (10.0,), contract_size=100, inverse=True))["bid", 10.0] == 200.0


@pytest.mark.parametrize(
    ("bids", "asks", "problem"),
    [
        ([], ASKS, "column bids: has no prices"),
        (BIDS, [["x", 1]], "column asks: must be rows of price and quantity"),
        ([[99.9, float("nan")]], ASKS, "must be positive"),
        ([[99.9, 1.0], [99.95, 1.0]], ASKS, "row 1, column bids: prices must move away from the mid"),
        (BIDS, [[100.1, 1.0], [100.1, 1.0]], "row 1, column asks: prices must move away"),
        ([[100.2, 1.0]], ASKS, "the book is crossed"),
    ],
)
def test_a_book_that_cannot_be_is_refused(bids, asks, problem):
    with pytest.raises(InputError, match=problem):
        depth_bands(bids, asks)


def test_a_snapshot_of_a_venues_book_is_stored_as_far_as_it_reaches(tmp_path):
    with BinanceUsdm(Time()) as venue:
        with open_exchange(venue.name, base_url=venue.url, sleep=venue.time.sleep, clock=venue.time.clock) as exchange:
            plan = FetchPlan(("BTC",), ("depth",), levels=(5.0, 50.0, 200.0))
            report = fetch(plan, exchange, tmp_path, say=lambda line: None, show=lambda step: None)
    book = recorded("binanceusdm", "depth_BTCUSDT")
    sides = [[[float(p), float(q)] for p, q in book[side]] for side in ("bids", "asks")]
    rows = read_stored(tmp_path, "depth")
    assert bands(rows) == pytest.approx(by_loop(*sides, (5.0, 50.0, 200.0)))
    assert set(rows["level_bps"]) == {5.0, 50.0} and rows["timestamp"].nunique() == 1
    assert int(rows["timestamp"].iloc[0].timestamp() * 1000) == book["T"]
    assert report.rows[0].notes == (
        "the bids reach 50 bps: wider levels left out",
        "the asks reach 50 bps: wider levels left out",
    )
