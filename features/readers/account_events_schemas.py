"""What each table of account events must look like, and the check that says where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .checks import AMOUNT, NAME, NUMBER, PRICE, Test, checked_columns, refuse, require_columns, utc_times

NOT_ZERO: Test = (lambda s: np.isfinite(s) & (s != 0), "must be a finite number other than zero")
SIDE: Test = (lambda s: s.str.lower().isin(["buy", "sell", "bid", "ask"]), "must be buy, sell, bid or ask")
FLAG: Test = (lambda s: s.isin(["true", "false", "True", "False", "0", "1"]), "must be true or false")

TEXT = frozenset({"account", "symbol", "asset", "side", "closes", "forced"})
"""Columns of text; all others are numbers."""


class TableSchema(NamedTuple):
    """Columns a table needs besides time and account, those it may have, and what their values must be."""

    needed: Mapping[str, Test]
    optional: Mapping[str, Test]


TABLES: dict[str, TableSchema] = {
    "trades": TableSchema(
        {"symbol": NAME, "side": SIDE, "price": PRICE, "quantity": AMOUNT},
        {"fee": NUMBER, "fee_asset": NAME, "closes": FLAG, "forced": FLAG},
    ),
    "transfers": TableSchema({"amount": NOT_ZERO}, {"asset": NAME}),
    "funding": TableSchema({"amount": NUMBER}, {"symbol": NAME, "asset": NAME}),
    "liquidations": TableSchema({}, {"notional": AMOUNT, "equity": NUMBER}),
    "balances": TableSchema({"balance": NUMBER}, {"asset": NAME}),
    "positions": TableSchema({"symbol": NAME, "quantity": NUMBER}, {"entry_price": PRICE}),
}
"""Tables of account events. A missing value in an optional column means that the source does not tell it.

* trades: `quantity` is what was traded, positive, `side` which way; `fee` is paid where positive, a rebate where
  negative; `closes` marks reduce-only fills and `forced` those of a liquidation;
* transfers: `amount` deposited (positive) or withdrawn (negative);
* funding: `amount` received (positive) or paid (negative);
* liquidations: `notional` closed and `equity` at that moment as the venue tells them;
* balances, positions: what the venue reported, signed `quantity`, for reconciliation.
"""


def checked_table(frame: pd.DataFrame, table: str, file: str) -> pd.DataFrame:
    """The rows with UTC times and float64 numbers, or an error that says which row and column is not as it must be.

    Columns of no table are dropped; optional ones that are not there stay away.

    Raises
    ------
    InputError
        No rows; a column that is missing; a time without time zone, or that falls; a value that is missing, of the
        wrong kind or out of range. Names file, row and column.
    """
    schema = TABLES[table]
    require_columns(frame, ["time", "account", *schema.needed], table, file)
    tests = {"account": NAME, **schema.needed}
    tests |= {column: test for column, test in schema.optional.items() if column in frame}
    frame = frame[["time", *tests]].reset_index(drop=True)
    frame = frame.assign(time=utc_times(frame["time"], file))
    falls = frame["time"].diff() < pd.Timedelta(0)
    refuse(falls, frame["time"], "times must not fall: rows of one instant are taken in the order of the file", file)
    text = {column for column in tests if column.removeprefix("fee_") in TEXT}
    frame = frame.assign(**{column: _as_text(frame[column]) for column in text})
    return checked_columns(frame, tests, file, text=text, optional=schema.optional)


def _as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Names and words as text, also where a source writes them as numbers or flags; what is missing stays so."""
    text: pd.Series[Any] = values.astype("string").astype(object).where(values.notna(), None)
    return text
