"""Reading account events from a folder of CSV, Parquet or JSON tables."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...riskcore.errors import InputError
from ...riskcore.instruments import InstrumentTable
from ..accounts.events import LOTS, NONE, AccountEvents, Kind
from .account_events_schemas import TABLES, checked_table
from .table_files import csv_rows, damage_is_said, only_path, parquet_rows, read_bytes

SUFFIXES = (".parquet", ".csv", ".json", ".jsonl")
YES = ("true", "True", "1")


class EventTable(NamedTuple):
    """A table of account events as read and checked, the file it came from and the hash of its bytes."""

    name: str
    file: str
    sha256: str
    frame: pd.DataFrame


@dataclass(frozen=True)
class AccountHistory:
    """Events of accounts as read, and what is to be said of their source.

    Parameters
    ----------
    events
        The events, in order.
    files
        Name of each file and the SHA-256 of its bytes.
    rows
        Rows of each table.
    notes
        What the source does not tell or what was set aside, in words.
    """

    events: AccountEvents
    files: Mapping[str, str]
    rows: Mapping[str, int]
    notes: tuple[str, ...]


def read_account_events(
    folder: str | Path, instruments: InstrumentTable | None = None, *, base: str = "USDT", lots: ArrayLike = LOTS
) -> AccountHistory:
    """Read account events from the tables of a folder; only `trades` is needed.

    Parameters
    ----------
    folder
        Holds trades, transfers, funding, liquidations, balances and positions, each as NAME.parquet, .csv, .json (an
        array of objects) or .jsonl (one object a line); columns as in `TABLES`.
    instruments
        The contracts that are known. Events in other coins are kept, counted and flagged (`Fault.UNKNOWN_COIN`), and
        move no position. None: every symbol of the tables is a linear perpetual that settles in `base`.
    base
        Base asset where `instruments` is None.
    lots
        Lots a contract, as in `AccountEvents`.

    Raises
    ------
    InputError
        No folder, no trades, a table there twice, a file that cannot be read, rows that are not as they must be, an
        unknown asset.

    Examples
    --------
    >>> import tempfile
    >>> rows = ["time,account,symbol,side,price,quantity,fee", "2024-01-01T00:00:00Z,a,BTC,sell,40000,0.25,4.5"]
    >>> with tempfile.TemporaryDirectory() as place:
    ...     _ = Path(place, "trades.csv").write_text(chr(10).join(rows), encoding="utf-8")
    ...     events = read_account_events(place).events
    >>> events.accounts, events.quantity.tolist(), events.amount.tolist()
    (('a',), [-0.25], [-4.5])
    """
    place = Path(folder)
    if not place.is_dir():
        raise InputError("is not a folder", file=place)
    tables = [table for name in TABLES if (table := read_event_table(place, name)) is not None]
    if not any(table.name == "trades" for table in tables):
        raise InputError(f"holds no table of trades: trades{', trades'.join(SUFFIXES)}", file=place)
    return history_of(tables, instruments, base=base, lots=lots)


def read_event_table(folder: Path, name: str) -> EventTable | None:
    """Read and check one table of a folder; None where it has no such file."""
    path = only_path([folder / f"{name}{suffix}" for suffix in SUFFIXES if (folder / f"{name}{suffix}").is_file()])
    if path is None:
        return None
    content = read_bytes(path)
    frame = checked_table(parsed(content, path), name, path.name)
    return EventTable(name, path.name, hashlib.sha256(content).hexdigest(), frame)


def parsed(content: bytes, path: Path) -> pd.DataFrame:
    """The rows of a Parquet, CSV, JSON or JSON-lines file as they stand; numbers may be written as text."""
    kinds = {".parquet": "Parquet", ".csv": "CSV", ".json": "JSON", ".jsonl": "JSON-lines"}
    with damage_is_said(f"is not a whole {kinds[path.suffix]} file", path.name):
        if path.suffix == ".parquet":
            rows = parquet_rows(content)
        else:
            rows = csv_rows(content) if path.suffix == ".csv" else _json_rows(content, path)
    return rows


def _json_rows(content: bytes, path: Path) -> pd.DataFrame:
    text = content.decode("utf-8")
    records: Any = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise InputError("must hold objects, one a row", file=path.name)
    return pd.DataFrame.from_records(records)


def history_of(
    tables: list[EventTable], instruments: InstrumentTable | None, *, base: str = "USDT", lots: ArrayLike = LOTS
) -> AccountHistory:
    """Events and notes from tables that have been checked; see `read_account_events`."""
    if instruments is None:
        named = {name for table in tables if "symbol" in table.frame for name in table.frame["symbol"].dropna()}
        instruments = InstrumentTable.linear_perpetuals(sorted(named), base=base)
    names = tuple(sorted({str(name) for table in tables for name in table.frame["account"]}))
    parts = [_columns(table, instruments, names) for table in tables]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    forced = columns["forced"] | _fills_of_liquidations(columns)
    columns |= {"forced": forced, "closes": columns["closes"] | forced}
    events = AccountEvents.of(
        instruments, names, columns.pop("time"), columns.pop("account"), columns.pop("kind"), lots=lots, **columns
    )
    rows = {table.name: len(table.frame) for table in tables}
    return AccountHistory(events, {table.file: table.sha256 for table in tables}, rows, _notes(tables, events))


def _columns(table: EventTable, instruments: InstrumentTable, accounts: tuple[str, ...]) -> dict[str, np.ndarray]:
    frame, n = table.frame, len(table.frame)
    nothing = np.full(n, np.nan)
    kinds = {"trades": Kind.TRADE, "funding": Kind.FUNDING, "liquidations": Kind.LIQUIDATION}
    kinds |= {"balances": Kind.BALANCE, "positions": Kind.POSITION}
    symbol = _places(frame, "symbol", instruments.symbols)
    settles = np.where(symbol == NONE, 0, instruments.settlement[symbol] if len(instruments) else 0)
    columns: dict[str, np.ndarray] = {
        "time": frame["time"].dt.tz_localize(None).to_numpy("datetime64[ns]"),
        "account": np.searchsorted(np.array(accounts, np.str_), frame["account"].to_numpy(np.str_)),
        "kind": np.full(n, kinds.get(table.name, Kind.DEPOSIT), np.int8),
        "instrument": symbol,
        "asset": settles,
        "quantity": nothing,
        "price": nothing,
        "amount": nothing,
        "notional": nothing,
        "closes": _flags(frame, "closes"),
        "forced": _flags(frame, "forced"),
    }
    assets = "fee_asset" if table.name == "trades" else "asset"
    if assets in frame:
        columns["asset"] = np.where(frame[assets].isna(), settles, _assets(table, assets, instruments))
    return columns | _values(table, frame)


def _values(table: EventTable, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The columns of numbers that a table has."""
    if table.name == "trades":
        buys = frame["side"].str.lower().isin(["buy", "bid"]).to_numpy()
        traded = frame["quantity"].to_numpy()
        values = {"quantity": np.where(buys, traded, -traded), "price": frame["price"].to_numpy()}
        return values | {"amount": -_numbers(frame, "fee")}
    if table.name == "transfers":
        amount = frame["amount"].to_numpy()
        return {"amount": amount, "kind": np.where(amount > 0, Kind.DEPOSIT, Kind.WITHDRAWAL).astype(np.int8)}
    if table.name == "liquidations":
        return {"amount": _numbers(frame, "equity"), "notional": _numbers(frame, "notional")}
    if table.name == "positions":
        return {"quantity": frame["quantity"].to_numpy(), "price": _numbers(frame, "entry_price")}
    return {"amount": frame["balance" if table.name == "balances" else "amount"].to_numpy()}


def _numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].to_numpy(np.float64) if column in frame else np.full(len(frame), np.nan)


def _flags(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].isin(YES).to_numpy() if column in frame else np.zeros(len(frame), np.bool_)


def _places(frame: pd.DataFrame, column: str, names: tuple[str, ...]) -> np.ndarray:
    """Position of each name among those known; `NONE` where it is not or there is none."""
    if column not in frame:
        return np.full(len(frame), NONE)
    place = {name: position for position, name in enumerate(names)}
    return np.array([place.get(str(name), NONE) for name in frame[column]], np.int64)


def _assets(table: EventTable, column: str, instruments: InstrumentTable) -> np.ndarray:
    place = _places(table.frame, column, instruments.assets)
    strange = np.flatnonzero((place == NONE) & table.frame[column].notna().to_numpy())
    if len(strange):
        row = int(strange[0])
        value = str(table.frame[column].iloc[row])
        raise InputError("is not an asset that is known", file=table.file, row=row, column=column, value=value)
    return place


def _fills_of_liquidations(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Trades of an account at the instant of one of its liquidations: its fills."""
    told = columns["kind"] == Kind.LIQUIDATION
    when = set(zip(columns["account"][told].tolist(), columns["time"][told].tolist(), strict=True))
    pairs = zip(columns["account"].tolist(), columns["time"].tolist(), strict=True)
    theirs = np.array([pair in when for pair in pairs], np.bool_)
    trades: np.ndarray = columns["kind"] == Kind.TRADE
    return np.asarray(theirs & trades)


def _notes(tables: list[EventTable], events: AccountEvents) -> tuple[str, ...]:
    trades = events.kind == Kind.TRADE
    notes = [f"no table of {name}" for name in TABLES if name not in {table.name for table in tables}]
    without = int(np.isnan(events.amount[trades]).sum())
    notes += [f"{without} of {int(trades.sum())} trades without a fee: counted as paying none"] if without else []
    unknown = trades & (events.instrument == NONE)
    notes += [f"{int(unknown.sum())} trades in coins that are not in the table of instruments"] if unknown.any() else []
    for table in tables:
        twice = int(table.frame.duplicated().sum())
        notes += [f"{table.file}: {twice} rows like one before, kept: each counts"] if twice else []
    return tuple(notes)
