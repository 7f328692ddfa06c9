"""Funding schedules, payments and predictions; interest on loans."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.funding import (
    HOUR,
    FundingSchedule,
    accrued_funding,
    continuous_funding,
    funding_payment,
    predicted_rate,
)
from margincast.riskcore.instruments import INVERSE, InstrumentTable
from margincast.riskcore.interest import (
    compound_interest,
    hourly_interest,
    interest_bearing,
    simple_interest,
    snapshots_between,
    with_interest,
)

DAY = np.datetime64("2024-03-05", "ns")
SCHEDULE = FundingSchedule.of(
    ["BTC", "SOL", "NEW", "OLD"],
    {"BTC": [("2024-01-01", 8)], "SOL": [("2024-01-01", 8), ("2024-03-05T12:00", 4), ("2024-03-06T02:00", 1)],
     "OLD": [("2024-01-01", 8), ("2024-03-05T16:00", None)]},
)  # fmt: skip


def hours(times):
    return [int(h) for h in (times - DAY) / HOUR]


def test_intervals_differ_by_instrument_and_change_in_time():
    end = DAY + 28 * HOUR
    assert hours(SCHEDULE.charges(0, DAY, end)) == [8, 16, 24]
    assert hours(SCHEDULE.charges(1, DAY, end)) == [8, 12, 16, 20, 24, 26, 27, 28]
    assert hours(SCHEDULE.charges(2, DAY, end)) == []
    assert hours(SCHEDULE.charges(3, DAY, end)) == [8]
    assert SCHEDULE.count(DAY, end).tolist() == [3, 8, 0, 1]
    assert (SCHEDULE.interval_at(DAY + 13 * HOUR)[:2] / HOUR).tolist() == [8, 4]
    assert np.isnat(SCHEDULE.interval_at(DAY + 16 * HOUR)[2:]).all()
    assert np.isnat(SCHEDULE.interval_at(np.datetime64("2023-01-01"))).all()


@settings(max_examples=25)
@given(st.lists(st.integers(-40, 80), min_size=3, max_size=3))
def test_charges_of_adjoining_spans_add_up(offsets):
    start, middle, end = (DAY + h * HOUR for h in sorted(offsets))
    for i in range(len(SCHEDULE)):
        whole = SCHEDULE.charges(i, start, end)
        parts = [SCHEDULE.charges(i, start, middle), SCHEDULE.charges(i, middle, end)]
        np.testing.assert_array_equal(whole, np.concatenate(parts))
        assert len(whole) == SCHEDULE.count(start, end)[i]
        by_hours = np.arange(start + HOUR, end + HOUR, HOUR)
        steps = [SCHEDULE.interval_at(t)[i] for t in by_hours]
        pairs = [(t, step) for t, step in zip(by_hours, steps, strict=True) if not np.isnat(step)]
        at = [t for t, step in pairs if t.astype(int) % step.astype(int) == 0]
        np.testing.assert_array_equal(whole, np.array(at, "datetime64[ns]"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FundingSchedule.of(["A"], {"B": []}), "column symbol: is not one of the instruments"),
        (lambda: FundingSchedule.of(["A"], {"A": [("2024-01-01", 0)]}), "row 0, column interval: must be positive"),
        (lambda: FundingSchedule.of(["A"], {"A": [("2024-01-01", -8)]}), "row 0, column interval: must be positive"),
        (lambda: FundingSchedule.of(["A"], {"A": [("2024-01-02", 8), ("2024-01-01", 4)]}),
         "row 1, column effective_from: must rise"),
        (lambda: FundingSchedule.of(["A"], {"A": [("NaT", 8)]}), "row 0, column effective_from: must rise"),
        (lambda: FundingSchedule([0, 2], [DAY], [HOUR]), "column pointer: is not a CSR pointer"),
        (lambda: FundingSchedule([0, 1], [DAY], [HOUR, HOUR]), r"column interval: has shape \(2,\), expected \(1,\)"),
    ],
)  # fmt: skip
def test_bad_schedules_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_accrual_is_the_sum_over_its_charges():
    times = SCHEDULE.charges(1, DAY, DAY + 24 * HOUR)
    rate, mark = np.array([1e-4, 2e-4, -3e-4, 5e-5, 1e-4]), np.array([100.0, 101.0, 102.0, 103.0, 104.0])
    expected = -(0.0101 + 2 * 0.0101 - 3 * 0.0102 - 0.0001 + 0.00515 - 0.0001)
    got = accrued_funding(SCHEDULE, 1, times, rate, mark, DAY, DAY + 20 * HOUR)
    assert got == pytest.approx(-(0.01 + 0.0202 - 0.0306 + 0.00515))
    assert got == pytest.approx(expected, abs=1e-3)
    assert accrued_funding(SCHEDULE, 1, times, rate, mark, DAY, DAY) == 0.0
    inverse = accrued_funding(SCHEDULE, 1, times, rate, mark, DAY, DAY + 8 * HOUR, inverse=True)
    assert inverse == pytest.approx(-1e-4 / 100)


def test_a_charge_without_a_rate_is_an_error():
    times, rate, mark = SCHEDULE.charges(0, DAY, DAY + 24 * HOUR), np.array([1e-4, np.nan, 1e-4]), np.full(3, 100.0)
    with pytest.raises(
        InputError, match="row 1, column funding: a funding charge has no rate or mark .found '2024-03-05T16"
    ):
        accrued_funding(SCHEDULE, 0, times, rate, mark, DAY, DAY + 24 * HOUR)
    with pytest.raises(InputError, match="row 2, column funding: a funding charge has no rate .found '2024-03-06T00"):
        accrued_funding(SCHEDULE, 0, times[:2], rate[:2], mark[:2], DAY, DAY + 24 * HOUR)
    assert accrued_funding(SCHEDULE, 0, times, rate, mark, DAY, DAY + 15 * HOUR) == pytest.approx(-0.01)


@given(st.floats(-100, 100), st.floats(1, 1e5), st.floats(-0.01, 0.01))
def test_payments_between_long_and_short_cancel(quantity, mark, rate):
    for kind in (0, INVERSE):
        paid = funding_payment([quantity, -quantity], 10.0, mark, rate, kind)
        assert paid.sum() == 0
        assert paid[0] * quantity * rate <= 0


def test_funding_examples():
    """Binance's formula page: within the damping of 0.05% the rate is the interest rate; a cap ends it."""
    assert predicted_rate([0.0001, 0.0005, -0.0003]).tolist() == pytest.approx([0.0001] * 3)
    assert predicted_rate([0.0007, -0.0007]).tolist() == pytest.approx([0.0002, -0.0002])
    assert predicted_rate([1.0, -1.0], cap=[0.003, 0.02]).tolist() == [0.003, -0.02]
    assert predicted_rate(0.0007, hours=4.0) == pytest.approx(0.0001)
    assert np.isnan(predicted_rate(np.nan))
    assert continuous_funding(0.0008, 8 * HOUR, [8 * HOUR, 4 * HOUR]).tolist() == [0.0008, 0.0004]


# --- interest -----------------------------------------------------------------------------------------------------


def test_compound_interest_examples():
    """help.crypto.com 4642940: 1,000 USDT over two snapshots at 0.052% a day owe 0.04333; over none nothing."""
    start = np.datetime64("2024-01-01T12:05")
    two, none = (snapshots_between(start, np.datetime64(f"2024-01-01T{end}")) for end in ("14:15", "12:58"))
    assert (two, none) == (2, 0)
    assert compound_interest(1_000.0, 0.00052, [two, none]) == pytest.approx([0.04333, 0.0], abs=5e-6)


def test_snapshots_of_okx():
    """OKX: borrowed at 14:55 and repaid at 14:57 bears nothing, at 15:00 it does."""
    start = np.datetime64("2024-01-01T14:55")
    assert [snapshots_between(start, np.datetime64(f"2024-01-01T{end}")) for end in ("14:57", "15:00")] == [0, 1]
    assert snapshots_between(start, np.datetime64("2024-01-02T00:00"), 8.0) == 2
    for bad in (np.datetime64("2023-01-01"), np.datetime64("NaT")):
        with pytest.raises(InputError, match="column end: needs an end"):
            snapshots_between(start, bad)


@given(st.floats(1, 1e6), st.floats(0, 0.01), st.integers(0, 2000))
def test_compounding_is_never_cheaper_and_follows_the_recursion(owed, rate, n):
    compound, simple = float(compound_interest(owed, rate, n)), float(simple_interest(owed, rate, n))
    assert compound >= simple - 1e-9 * owed
    assert simple == pytest.approx(float(hourly_interest(owed, rate, n)), rel=1e-12)
    step = float(compound_interest(owed + compound, rate, 1))
    assert float(compound_interest(owed, rate, n + 1)) == pytest.approx(compound + step, rel=1e-9, abs=1e-9)


def test_interest_free_quota():
    assert interest_bearing([0.5, 1.0, 3.0], 1.0).tolist() == [0.0, 0.0, 2.0]
    assert interest_bearing([0.5, 1.0, 3.0], 1.0, whole=True).tolist() == [0.0, 0.0, 3.0]


def test_interest_is_added_to_what_is_owed():
    table = InstrumentTable.linear_perpetuals([], collateral=["BTC", "ETH"])
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 3], [0, 1, 2], [-1_000.0, 2.0, -0.5], [0, 0], [], [], [], [])
    after = with_interest(book, [0.00052, np.nan, 0.024], 2)
    assert after.balance.tolist() == pytest.approx([-1_000.04333, 2.0, -0.5 * 1.001**2], rel=1e-8)
    assert with_interest(book, 0.024, 2, compound=False).balance.tolist() == pytest.approx([-1_002.0, 2.0, -0.501])
    for bad in (np.nan, -0.1):
        with pytest.raises(InputError, match="row 2, column daily_rate: a loan needs a rate"):
            with_interest(book, [0.01, 0.01, bad], 1)
