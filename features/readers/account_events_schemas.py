"""What each table of account events must look like, and the check that says where it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from .schemas import AMOUNT, NAME, PRICE, WITH_OFFSET, Test

NUMBER: Test = (np.isfinite, "must be a finite number")
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
    needed = ["time", "account", *schema.needed]
    missing = [column for column in needed if column not in frame]
    if missing:
        raise InputError(f"is missing; the {table} table needs {', '.join(needed)}", file=file, column=missing[0])
    if frame.empty:
        raise InputError(f"the {table} table has no rows", file=file)
    tests = {"account": NAME, **schema.needed}
    tests |= {column: test for column, test in schema.optional.items() if column in frame}
    frame = frame[["time", *tests]].reset_index(drop=True)
    frame = frame.assign(time=_utc(frame["time"], file))
    _require_order(frame["time"], file)
    return _validated(frame, tests, frozenset(schema.optional), file)


def _utc(times: pd.Series[Any], file: str) -> pd.Series[Any]:
    _refuse(times.isna(), times, "is missing", file)
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        utc: pd.Series[Any] = times.dt.tz_convert("UTC").dt.as_unit("ns")
        return utc
    everywhere = pd.Series(np.ones(len(times), np.bool_))
    if pd.api.types.is_datetime64_dtype(times.dtype):
        _refuse(everywhere, times, "has no time zone", file)
    if pd.api.types.is_numeric_dtype(times.dtype):
        _refuse(everywhere, times, "must be a date and time", file)
    text = times.astype(str).str.strip()
    parsed = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    _refuse(parsed.isna(), times, "is not an ISO 8601 date and time", file)
    _refuse(~text.str.contains(WITH_OFFSET), times, "has no time zone", file)
    return parsed.dt.as_unit("ns")


def _require_order(times: pd.Series[Any], file: str) -> None:
    steps = times.diff() < pd.Timedelta(0)
    _refuse(steps, times, "times must not fall: rows of one instant are taken in the order of the file", file)


def _refuse(bad: pd.Series[Any], values: pd.Series[Any], problem: str, file: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise InputError(problem, file=file, row=row, column=str(values.name), value=str(values.iloc[row]))


def _validated(frame: pd.DataFrame, tests: Mapping[str, Test], optional: frozenset[str], file: str) -> pd.DataFrame:
    import pandera.pandas as pa
    from pandera.errors import SchemaError, SchemaErrors

    columns = {}
    for column, (test, problem) in tests.items():
        kind = str if column.removeprefix("fee_") in TEXT else float
        if kind is str:
            frame[column] = frame[column].astype("string").astype(object).where(frame[column].notna(), None)
        check = pa.Check(test, error=problem)
        columns[column] = pa.Column(kind, check, coerce=kind is float, nullable=column in optional)
    try:
        checked: pd.DataFrame = pa.DataFrameSchema(columns).validate(frame)
    except SchemaErrors as failures:
        raise _located(failures.schema_errors[0], frame, tests, file) from None
    except SchemaError as failure:
        raise _located(failure, frame, tests, file) from None
    return checked


def _located(failure: Any, frame: pd.DataFrame, tests: Mapping[str, Test], file: str) -> InputError:
    column = str(failure.schema.name if failure.schema.name in tests else failure.column_name)
    cases = failure.failure_cases
    if not isinstance(cases, pd.DataFrame) or cases["index"].isna().all():
        return InputError(f"{tests[column][1]}: {failure.reason_code}", file=file, column=column)
    row = int(cases["index"].min())
    value = frame[column].iloc[row]
    return InputError(
        tests[column][1], file=file, row=row, column=column, value=getattr(value, "item", lambda: value)()
    )
