"""The checked option table: what it prices, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from margincast.riskcore.errors import InputError
from margincast.riskcore.options.black76 import CALL, PUT, value
from margincast.riskcore.options.greeks import greeks
from margincast.riskcore.options.option_table import OptionTable

NOW = np.datetime64("2024-01-01T00:00")
COLUMNS: dict[str, Any] = {
    "name": ("near call", "far put"),
    "underlying": ("BTC", "BTC"),
    "expiry": np.array(["2024-01-08", "2024-12-31"], "datetime64[ns]"),
    "strike": [42_000.0, 40_000.0],
    "right": [CALL, PUT],
    "multiplier": [1.0, 0.1],
}
TABLE = OptionTable(**COLUMNS)


def test_years_value_and_greeks() -> None:
    assert TABLE.years_to(NOW).tolist() == [7 / 365, 1.0]
    assert TABLE.years_to(np.datetime64("2024-01-08"))[0] == 0.0
    volatility = [0.6, 0.7]
    expected = value(43_000.0, TABLE.strike, [7 / 365, 1.0], volatility, TABLE.right, 0.99)
    np.testing.assert_array_equal(TABLE.value(NOW, 43_000.0, volatility, 0.99), expected)
    by_hand = greeks(43_000.0, TABLE.strike, [7 / 365, 1.0], volatility, TABLE.right)
    np.testing.assert_array_equal(TABLE.greeks(NOW, 43_000.0, volatility).vega, by_hand.vega)
    assert TABLE.index_of(["far put"]).tolist() == [1]
    assert len(TABLE) == 2 and not TABLE.strike.flags.writeable


@pytest.mark.parametrize(
    ("column", "bad", "told"),
    [
        ("strike", [1.0, 0.0], "row 1, column strike: must be positive"),
        ("strike", [np.nan, 1.0], "row 0, column strike: must be positive"),
        ("multiplier", [1.0, -1.0], "row 1, column multiplier: must be positive"),
        ("right", [1, 0], r"row 1, column right: must be 1 \(call\) or -1 \(put\)"),
        ("expiry", np.array(["2024-01-08", "NaT"], "datetime64[ns]"), "row 1, column expiry: must be given"),
        ("name", ("a", "a"), "row 1, column name: is listed twice"),
        ("underlying", ("BTC",), "column underlying: has shape"),
        ("strike", [1.0], "column strike: has shape"),
    ],
)
def test_malformed_columns(column: str, bad: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        OptionTable(**COLUMNS | {column: bad})


@pytest.mark.parametrize(
    ("forward", "volatility", "discount", "told"),
    [
        ([1.0, 0.0], 0.5, 1.0, "row 1, column forward: far put has no positive forward"),
        ([np.nan, 1.0], 0.5, 1.0, "row 0, column forward: near call has no positive forward"),
        (1.0, [0.5, np.nan], 1.0, "row 1, column volatility: far put has no volatility of 0 or above"),
        (1.0, [-0.5, 0.5], 1.0, "row 0, column volatility: near call has no volatility of 0 or above"),
        (1.0, 0.5, [1.0, 0.0], "row 1, column discount: far put has no positive discount"),
        ([1.0, 2.0, 3.0], 0.5, 1.0, r"column forward: has shape \(3,\), expected \(2,\)"),
    ],
)
def test_what_cannot_be_priced(forward: object, volatility: object, discount: object, told: str) -> None:
    for price in (TABLE.value, TABLE.greeks):
        with pytest.raises(InputError, match=told):
            price(NOW, forward, volatility, discount)  # type: ignore[arg-type]


def test_expired_options_and_unknown_names() -> None:
    with pytest.raises(InputError, match="row 0, column expiry: near call has expired"):
        TABLE.value(np.datetime64("2024-01-09"), 1.0, 0.5)
    with pytest.raises(InputError, match="column time: must be given"):
        TABLE.years_to(np.datetime64("NaT"))
    with pytest.raises(InputError, match="unknown option"):
        TABLE.index_of(["no such"])
