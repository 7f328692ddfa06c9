"""Paging over a history: every row once and in order, whatever a venue cuts off and wherever it has holes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margincast.live.fetch_history import lacking
from margincast.live.fetch_report import gaps_of
from margincast.live.paging import HOLES_ASKED, Pace, history_pages, whole_window

MINUTE, HOUR = 60_000, 3_600_000
EVERY_MINUTE = Pace(MINUTE, MINUTE)
FUNDING = Pace(8 * HOUR, 59 * MINUTE)


class Venue:
    """Rows at given times; a reply holds the earliest or the latest `most` of a window."""

    def __init__(self, times, most, keeps):
        self.times, self.most, self.keeps = np.asarray(times, float), most, keeps
        self.asked = []

    def __call__(self, start, end):
        self.asked.append((start, end))
        inside = self.times[(self.times >= start) & (self.times < end)]
        return (inside[: self.most] if self.keeps == "earliest" else inside[-self.most :])[:, None]


def read(venue, since, until, pace, most):
    pages = list(history_pages(venue, since, until, pace, most))
    assert all(len(page) for page in pages)
    return np.concatenate([page[:, 0] for page in pages]) if pages else np.empty(0)


cuts = {"most": st.integers(1, 9), "keeps": st.sampled_from(["earliest", "latest"])}


@given(
    bars=st.sets(st.integers(0, 80)),
    window=st.integers(1, 12),
    since=st.integers(0, 40),
    span=st.integers(0, 60),
    **cuts,
)
def test_every_bar_of_the_range_comes_once_and_in_order(bars, window, since, span, most, keeps):
    venue = Venue(sorted(bar * MINUTE for bar in bars), most, keeps)
    until = since + span
    expected = [bar * MINUTE for bar in sorted(bars) if since <= bar < until]
    assert read(venue, since * MINUTE, until * MINUTE, EVERY_MINUTE, window).tolist() == expected


@given(
    steps=st.lists(st.sampled_from([1, 4, 8, 24]), max_size=40),
    late=st.lists(st.integers(0, 999), min_size=41, max_size=41),
    window=st.integers(1, 10),
    since=st.integers(0, 50),
    **cuts,
)
def test_every_funding_comes_once_whatever_its_interval(steps, late, window, since, most, keeps):
    """Hours between fundings change as they like; each is up to a second late."""
    hours = np.cumsum([0, *steps])
    times = [int(hour) * HOUR + delay for hour, delay in zip(hours, late, strict=False)]
    until = (int(hours[-1]) + 1) * HOUR
    found = read(Venue(times, most, keeps), since * HOUR, until, FUNDING, window)
    assert found.tolist() == [time for time in times if time >= since * HOUR]


def test_years_before_a_listing_are_crossed_in_few_requests():
    """Ten years of empty hours, a thousand a page, would be 88 requests."""
    listed = 10 * 365 * 24
    venue = Venue([(listed + bar) * HOUR for bar in range(50)], 1000, "latest")
    found = read(venue, 0, (listed + 50) * HOUR, Pace(HOUR, HOUR), 1000)
    assert len(found) == 50 and found[0] == listed * HOUR
    assert len(venue.asked) < 25


def test_an_outage_inside_a_page_is_asked_for_once_more():
    venue = Venue([0, MINUTE, 5 * MINUTE], 100, "earliest")
    assert len(whole_window(venue, 0, 6 * MINUTE, EVERY_MINUTE)) == 3
    assert venue.asked == [(0, 6 * MINUTE), (MINUTE + 1, 5 * MINUTE)]


def test_a_venue_that_leaves_out_quiet_bars_is_not_asked_for_each():
    venue = Venue(range(0, 400 * MINUTE, 2 * MINUTE), 1000, "earliest")
    assert len(whole_window(venue, 0, 400 * MINUTE, EVERY_MINUTE)) == 200
    assert len(venue.asked) <= HOLES_ASKED + 2


@given(bars=st.sets(st.integers(0, 40)), since=st.integers(0, 20), span=st.integers(1, 30))
def test_what_a_store_lacks_and_what_it_has_make_the_range(bars, since, span):
    until = since + span
    have = np.array([float(bar) for bar in sorted(bars) if since <= bar < until])
    parts = lacking(have, since, until, Pace(1, 1))
    open_bars = {bar for start, end in parts for bar in range(start, end)}
    assert open_bars - set(have) == set(range(since, until)) - set(have)
    assert all(start < end for start, end in parts)


def test_a_new_interval_is_no_gap_and_a_missing_funding_is():
    eight = np.arange(0, 48, 8.0)
    hours = Pace(8, 1)
    for late in range(5):  # also where the range begins just before the change
        assert gaps_of(np.append(eight[late:], [44.0, 48.0, 52.0]), hours) == ()
    (gap,) = gaps_of(np.array([0.0, 1.0, 2.0, 5.0, 6.0, 7.0]), hours)
    assert (gap.after, gap.before, gap.missing) == (2, 5, 2)
    (gap,) = gaps_of(np.array([0.0, 8.0, 16.0, 32.0, 40.0]), hours)
    assert (gap.after, gap.before, gap.missing) == (16, 32, 1)


@pytest.mark.parametrize("times", [[], [3.0]])
def test_few_rows_have_no_gaps(times):
    assert gaps_of(np.array(times), Pace(8, 1)) == gaps_of(np.array(times), Pace(1, 1)) == ()


@given(
    first=st.sampled_from([1, 4, 8]), then=st.sampled_from([1, 4, 8]), lost=st.integers(1, 18).filter(lambda i: i != 10)
)
def test_a_funding_that_the_store_lacks_is_asked_for(first, then, lost):
    """Ten fundings of one interval and ten of another; the one at the change may look like a longer interval."""
    times = np.cumsum([0, *[first] * 10, *[then] * 9]).astype(float) * HOUR
    parts = lacking(np.delete(times, lost), 0, int(times[-1]) + 1, FUNDING)
    assert any(start <= times[lost] < end for start, end in parts)
    assert sum(start != end - 1 for start, end in parts) <= 3, "and little else"
