"""Reading account files: JSON records, or a CSV table with one row a balance or position."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..riskcore.accounts import AccountBook
from ..riskcore.errors import InputError
from ..riskcore.instruments import InstrumentTable
from ..riskcore.records import book_from_records

CSV_COLUMNS = ("account", "sub_account", "asset", "balance", "symbol", "quantity", "entry_price")
OPTIONAL_COLUMNS = ("leverage", "mode", "isolated_margin")


def read_accounts(path: Path, instruments: InstrumentTable, aliases: Mapping[str, str] | None = None) -> AccountBook:
    """Read accounts from a .json or .csv file.

    JSON holds a list of records (or an object with such a list under "accounts"), see `book_from_records`. CSV has the
    columns account, sub_account, asset, balance, symbol, quantity, entry_price and optionally leverage, mode,
    isolated_margin; a row gives a balance (asset, balance), a position (symbol, quantity, entry_price) or both.

    `aliases` are other names of instruments, such as a venue's "BTCUSDT" for "BTC".

    Raises
    ------
    InputError
        Names the file, the row and the column of what is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise InputError(
            f"cannot be read ({getattr(failure, 'strerror', None) or 'not UTF-8 text'})", file=path
        ) from failure
    if path.suffix.lower() != ".csv":
        records = _records_of_json(text, path)
        _require_shapes(records, path)
        return book_from_records(_renamed(records, aliases or {}), instruments, source=path)
    accounts = _accounts_of_csv(text, path)
    records = [account.record for account in accounts]
    try:
        return book_from_records(_renamed(records, aliases or {}), instruments, source=path)
    except InputError as error:
        raise error if error.row is None else accounts[int(str(error.row))].located(error) from None


def _require_shapes(records: list[dict[str, Any]], path: Path) -> None:
    for row, record in enumerate(records):
        if not isinstance(record, dict):
            raise InputError("must be an account record", file=path, row=row, value=record)
        if not isinstance(record.get("balances") or {}, dict):
            raise InputError("must be an object of asset and amount", file=path, row=row, column="balances")
        positions = record.get("positions") or []
        if not isinstance(positions, list) or not all(isinstance(p, dict) for p in positions):
            raise InputError("must be a list of position objects", file=path, row=row, column="positions")
        for place, position in enumerate(positions):
            symbol = position.get("symbol")
            if not isinstance(symbol, str):
                column = f"positions[{place}].symbol"
                raise InputError("must be a name", file=path, row=row, column=column, value=symbol or "nothing")


def _renamed(records: list[dict[str, Any]], aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """Records with the instruments' own names."""

    def named(position: dict[str, Any]) -> dict[str, Any]:
        return position | {"symbol": aliases.get(position["symbol"], position["symbol"])}

    return [record | {"positions": [named(p) for p in record.get("positions") or []]} for record in records]


def _records_of_json(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as failure:
        raise InputError(f"is not JSON: {failure.msg} at line {failure.lineno}", file=path) from failure
    records = content.get("accounts") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise InputError('needs a list of accounts, or an object with such a list under "accounts"', file=path)
    return records


@dataclass
class _CsvAccount:
    """The record of one account, and the row of the file each part of it stands in ("" for the account itself)."""

    record: dict[str, Any]
    rows: dict[str, int]

    def add(self, line: dict[str, Any], row: int, path: Path) -> None:
        asset, symbol = (line.get("asset") or "").strip(), (line.get("symbol") or "").strip()
        _require_names(line, asset, symbol, row, path)
        balances, positions = self.record["balances"], self.record["positions"]
        if asset:
            if asset in balances:
                raise InputError("gives the balance of an asset twice", file=path, row=row, column="asset", value=asset)
            balances[asset] = _number(line, "balance", row, path)
            self.rows[f"balances.{asset}"] = row
        if symbol:
            self.rows[f"positions[{len(positions)}]"] = row
            positions.append(_position(line, symbol, row, path))

    def located(self, error: InputError) -> InputError:
        """The error with the row and column of the file in place of those of the record."""
        column = str(error.column or "")
        part, name = column, "balance"
        if column.startswith("positions["):
            part, _, name = column.partition(".")
        elif column == "balances":
            part, name = f"balances.{error.value}", "asset"
        row = self.rows.get(part, self.rows[""])
        return InputError(
            error.problem, file=error.file, row=row, column=name if part in self.rows else column, value=error.value
        )


def _accounts_of_csv(text: str, path: Path) -> list[_CsvAccount]:
    accounts: dict[tuple[str, str], _CsvAccount] = {}
    for row, line in enumerate(_csv_lines(text, path)):
        name = (line.get("account") or "").strip(), (line.get("sub_account") or "").strip() or "main"
        if not name[0]:
            raise InputError("every row needs an account", file=path, row=row, column="account")
        record: dict[str, Any] = {"account": name[0], "sub_account": name[1], "balances": {}, "positions": []}
        accounts.setdefault(name, _CsvAccount(record, {"": row})).add(line, row, path)
    return list(accounts.values())


def _csv_lines(text: str, path: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names, lines = list(reader.fieldnames or ()), list(reader)
    except csv.Error as failure:
        raise InputError(f"is not CSV: {failure} at line {reader.line_num}", file=path) from failure
    if "account" not in names:
        raise InputError("lacks this column", file=path, column="account")
    for place, name in enumerate(names):
        if name not in CSV_COLUMNS + OPTIONAL_COLUMNS:
            raise InputError("is not a column of an account file", file=path, column=name)
        if name in names[:place]:
            raise InputError("is a column twice", file=path, column=name)
    for row, line in enumerate(lines):
        if None in line:
            raise InputError("has more cells than the header", file=path, row=row, value=",".join(line[None]))
    return lines


def _require_names(line: dict[str, Any], asset: str, symbol: str, row: int, path: Path) -> None:
    """Refuse a row without any name, and a figure that no name goes with."""
    if not asset and not symbol:
        raise InputError("holds neither a balance nor a position", file=path, row=row, column="asset")
    if not asset and (line.get("balance") or "").strip():
        raise InputError("is a balance without an asset", file=path, row=row, column="balance", value=line["balance"])
    for column in () if symbol else ("quantity", "entry_price", *OPTIONAL_COLUMNS):
        if (line.get(column) or "").strip():
            raise InputError("goes with no symbol", file=path, row=row, column=column, value=line[column])


def _position(line: dict[str, Any], symbol: str, row: int, path: Path) -> dict[str, Any]:
    position = {"symbol": symbol, "quantity": _number(line, "quantity", row, path)}
    position["entry_price"] = _number(line, "entry_price", row, path)
    for column in ("leverage", "isolated_margin"):
        if (line.get(column) or "").strip():
            position[column] = _number(line, column, row, path)
    if (line.get("mode") or "").strip():
        position["mode"] = line["mode"].strip()
    return position


def _number(line: dict[str, Any], column: str, row: int, path: Path) -> float:
    try:
        return float(line.get(column) or "")
    except ValueError:
        raise InputError(
            "must be a number", file=path, row=row, column=column, value=line.get(column) or "nothing"
        ) from None
