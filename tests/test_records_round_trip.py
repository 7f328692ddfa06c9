"""A book written as records and read again is the same book."""

import numpy as np
import pytest

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.records import book_from_records, records_of_book

RECORDS = [
    {
        "account": "desk",
        "sub_account": "main",
        "balances": {"USDT": 900.5, "BTC": -0.25},
        "positions": [
            {"symbol": "ETH", "quantity": -2.0, "entry_price": 2500.0, "leverage": 10.0},
            {"symbol": "BTC", "quantity": 0.1, "entry_price": 60_000.0, "mode": "isolated", "isolated_margin": 300.0},
            {"symbol": "BTC", "quantity": -0.1, "entry_price": 61_000.0, "mode": "isolated", "isolated_margin": 250.0},
        ],
    },
    {"account": "desk", "sub_account": "hedge", "balances": {"USDT": 1.0}, "positions": []},
]


def test_records_of_a_book_make_the_same_book() -> None:
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    book = book_from_records(RECORDS, table)
    again = book_from_records(records_of_book(book), table)
    assert len(book) == 4
    for name in ("account", "sub_account", "isolated", "balance", "balance_asset", "quantity", "leverage"):
        np.testing.assert_array_equal(getattr(again, name), getattr(book, name))


def test_records_say_what_was_said() -> None:
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    assert records_of_book(book_from_records(RECORDS, table)) == RECORDS


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"balance": {"USDT": 1.0}}, "row 0, column balance: unknown key; known are account, sub_account, balances"),
        (
            {"positions": [{"symbol": "BTC", "quantity": 1.0, "entry_price": 1.0, "levrage": 3}]},
            r"row 0, column positions\[0\].levrage: unknown key; known are symbol, quantity",
        ),
    ],
)
def test_a_misspelt_key_is_refused_and_not_left_out(record, message):
    with pytest.raises(InputError, match=message):
        book_from_records([{"account": "a"} | record], InstrumentTable.linear_perpetuals(["BTC"]))
