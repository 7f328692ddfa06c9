"""Reading account files: JSON records, or a CSV table with one row a balance or position."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
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
    records = _records_of_csv(text, path) if path.suffix.lower() == ".csv" else _records_of_json(text, path)
    return book_from_records(_renamed(records, aliases or {}), instruments, source=path)


def _renamed(records: list[dict[str, Any]], aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """Records with the instruments' own names; whatever is not a record or a position is left for the checks."""
    out = []
    for record in records:
        positions = record.get("positions") if isinstance(record, dict) else None
        if isinstance(positions, list) and all(isinstance(p, dict) for p in positions):
            named = [p | {"symbol": aliases.get(p.get("symbol", ""), p.get("symbol"))} for p in positions]
            record = record | {"positions": named}
        out.append(record)
    return out


def _records_of_json(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as failure:
        raise InputError(f"is not JSON: {failure.msg} at line {failure.lineno}", file=path) from failure
    records = content.get("accounts") if isinstance(content, dict) else content
    if not isinstance(records, list):
        raise InputError('needs a list of accounts, or an object with such a list under "accounts"', file=path)
    return records


def _records_of_csv(text: str, path: Path) -> list[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    missing = [c for c in ("account",) if c not in (reader.fieldnames or ())]
    strange = [c for c in reader.fieldnames or () if c not in CSV_COLUMNS + OPTIONAL_COLUMNS]
    if missing or strange:
        raise InputError(
            "lacks this column" if missing else "is not a column of an account file",
            file=path,
            column=(missing + strange)[0],
        )
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for row, line in enumerate(reader):
        name = (line.get("account") or "").strip(), (line.get("sub_account") or "main").strip()
        if not name[0]:
            raise InputError("every row needs an account", file=path, row=row, column="account")
        record = records.setdefault(name, {"account": name[0], "sub_account": name[1], "balances": {}, "positions": []})
        _add_line(record, line, row, path)
    return list(records.values())


def _add_line(record: dict[str, Any], line: dict[str, Any], row: int, path: Path) -> None:
    asset, symbol = (line.get("asset") or "").strip(), (line.get("symbol") or "").strip()
    if not asset and not symbol:
        raise InputError("holds neither a balance nor a position", file=path, row=row, column="asset")
    if asset:
        if asset in record["balances"]:
            raise InputError("gives the balance of an asset twice", file=path, row=row, column="asset", value=asset)
        record["balances"][asset] = _number(line, "balance", row, path)
    if symbol:
        position = {"symbol": symbol, "quantity": _number(line, "quantity", row, path)}
        position["entry_price"] = _number(line, "entry_price", row, path)
        for column in ("leverage", "isolated_margin"):
            if (line.get(column) or "").strip():
                position[column] = _number(line, column, row, path)
        if (line.get("mode") or "").strip():
            position["mode"] = line["mode"].strip()
        record["positions"].append(position)


def _number(line: dict[str, Any], column: str, row: int, path: Path) -> float:
    try:
        return float(line.get(column) or "")
    except ValueError:
        raise InputError(
            "must be a number", file=path, row=row, column=column, value=line.get(column) or "nothing"
        ) from None
