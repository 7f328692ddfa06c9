"""What every reader holds its columns to: times to UTC, tested values, and the row an error names."""

import numpy as np
import pandas as pd
import pytest

from margincast.features.readers.checks import AMOUNT, NAME, PRICE, checked_columns, utc_times
from margincast.riskcore.errors import InputError

ZONED = pd.date_range("2024-03-01", periods=3, freq="h", tz="Asia/Tokyo")


@pytest.mark.parametrize(
    "times",
    [ZONED, ZONED.astype(str), ZONED.as_unit("s"), [f" {time.isoformat()} " for time in ZONED]],
    ids=["zone", "text", "seconds", "blanks"],
)
def test_times_are_put_to_utc_in_nanoseconds(times):
    found = utc_times(pd.Series(times, name="time"), "a.csv")
    assert str(found.dtype) == "datetime64[ns, UTC]"
    expected = np.array(["2024-02-29T15", "2024-02-29T16", "2024-02-29T17"], "datetime64[ns]")
    np.testing.assert_array_equal(found.dt.tz_localize(None).to_numpy(), expected)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-03-01T00:00Z", None], "a.csv, row 71, column time: {}is missing (found None)"),
        (["2024-03-01T00:00Z", "2024-03-01"], "a.csv, row 71, column time: {}has no time zone (found '2024-03-01')"),
        (["2024-03-01T00:00Z", "noon"], "a.csv, row 71, column time: is not an ISO 8601 date and time (found 'noon')"),
        ([5, 6], "a.csv, row 70, column time: {}must be a date and time (found 5)"),
        (list(ZONED.tz_localize(None)[:2]), "a.csv, row 70, column time: {}has no time zone (found '2024-03-01 00:00"),
    ],
)
@pytest.mark.parametrize("called", ["", "timestamp"])
def test_a_time_that_is_none_is_named_by_its_index(times, message, called):
    with pytest.raises(InputError) as caught:
        utc_times(pd.Series(times, index=[70, 71], name="time"), "a.csv", called)
    said = str(caught.value).replace("'None'", "None").replace("'nan'", "None")
    assert said.startswith(message.format(f"{called} " if called else ""))


ROWS = pd.DataFrame({"symbol": ["A", "B"], "price": ["5", "6.5"], "fee": ["", "1"]}, index=[70, 71])
TESTS = {"symbol": NAME, "price": PRICE, "fee": AMOUNT}


def held(rows):
    return checked_columns(rows.replace({"": None}), TESTS, "a.csv", text={"symbol"}, optional={"fee"})


def test_numbers_become_numbers_and_an_optional_one_may_be_missing():
    found = held(ROWS)
    assert found["price"].tolist() == [5.0, 6.5] and found["price"].dtype == np.float64
    assert np.isnan(found["fee"].iloc[0]) and found["fee"].iloc[1] == 1.0
    assert found.index.tolist() == [70, 71]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("symbol", " ", "must not be empty (found ' ')"),
        ("symbol", None, "must not be empty"),
        ("price", "0", "price must be positive and finite (found '0')"),
        ("price", "dear", "price must be positive and finite (found 'dear')"),
        ("price", None, "price must be positive and finite"),
        ("fee", "-1", "must be a finite number, zero or more (found '-1')"),
        ("fee", "inf", "must be a finite number, zero or more (found 'inf')"),
    ],
)
def test_a_value_that_fails_is_named_by_the_index_of_its_row(column, value, message):
    rows = ROWS.copy()
    rows.loc[71, column] = value
    with pytest.raises(InputError) as caught:
        held(rows)
    assert str(caught.value).startswith(f"a.csv, row 71, column {column}: {message}")
