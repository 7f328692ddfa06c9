"""From account records, as they stand in a JSON file or come from an API, to an `AccountBook`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .accounts import CROSS, AccountBook
from .errors import InputError
from .instruments import InstrumentTable

RECORD_KEYS = ("account", "sub_account", "balances", "positions")
POSITION_KEYS = ("symbol", "quantity", "entry_price", "leverage", "mode", "isolated_margin")


def book_from_records(
    records: Iterable[Mapping[str, Any]], instruments: InstrumentTable, *, source: object = None
) -> AccountBook:
    """Build a book from one mapping an account or sub-account.

    Parameters
    ----------
    records
        Each has `account`, optionally `sub_account` (default "main"), `balances` (asset to amount) and `positions`: a
        list of mappings with `symbol`, `quantity` (signed contracts), `entry_price`, and optionally `leverage`, `mode`
        ("cross", the default, or "isolated") and `isolated_margin` (base asset; required when isolated).
    instruments
        The contracts and assets that may appear.
    source
        Name of the file, for error messages.

    Returns
    -------
    AccountBook
        One pool for each record's cross positions and balances, then one for each of its isolated positions.

    Raises
    ------
    InputError
        No record; an unknown key, instrument or asset; a value missing, NaN or of the wrong sign; a record twice.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> book = book_from_records([{"account": "a", "balances": {"USDT": 900.0},
    ...     "positions": [{"symbol": "BTC", "quantity": 0.1, "entry_price": 60000.0}]}], table)
    >>> len(book), book.quantity.tolist()
    (1, [0.1])
    """
    pools = _Pools(instruments, source)
    for row, record in enumerate(records):
        pools.add_record(row, record)
    if not pools.names:
        raise InputError("holds no account", file=source)
    return pools.book()


def records_of_book(book: AccountBook) -> list[dict[str, Any]]:
    """The records `book_from_records` would make this book of: one for each sub-account, in the order of its pools.

    Examples
    --------
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> records = [{"account": "a", "sub_account": "main", "balances": {"USDT": 900.0},
    ...     "positions": [{"symbol": "BTC", "quantity": 0.1, "entry_price": 60000.0}]}]
    >>> records_of_book(book_from_records(records, table)) == records
    True
    """
    records: dict[tuple[str, str], dict[str, Any]] = {}
    for pool in range(len(book)):
        name = str(book.account[pool]), str(book.sub_account[pool])
        empty: dict[str, Any] = {"account": name[0], "sub_account": name[1], "balances": {}, "positions": []}
        record = records.setdefault(name, empty)
        balances, positions = _balances_of(book, pool), _positions_of(book, pool)
        if book.isolated[pool] == CROSS:
            record["balances"] |= balances
        else:
            margin = _isolated_margin(book, pool, balances)
            positions = [p | {"mode": "isolated", "isolated_margin": margin} for p in positions]
        record["positions"] += positions
    return list(records.values())


def _isolated_margin(book: AccountBook, pool: int, balances: dict[str, float]) -> float:
    """Margin of the one position of an isolated pool; what a record cannot say is an error, not left out."""
    name, base = str(book.isolated[pool]), book.instruments.base
    if book.position_pointer[pool + 1] - book.position_pointer[pool] != 1:
        raise InputError("a record needs one position in an isolated pool", row=pool, column="isolated", value=name)
    if balances.keys() - {base}:
        raise InputError(f"a record needs isolated margin in {base}", row=pool, column="isolated", value=name)
    return balances.get(base, 0.0)


def _balances_of(book: AccountBook, pool: int) -> dict[str, float]:
    held: dict[str, float] = {}
    for entry in range(book.balance_pointer[pool], book.balance_pointer[pool + 1]):
        asset = book.instruments.assets[book.balance_asset[entry]]
        held[asset] = held.get(asset, 0.0) + float(book.balance[entry])
    return held


def _positions_of(book: AccountBook, pool: int) -> list[dict[str, Any]]:
    positions = []
    for entry in range(book.position_pointer[pool], book.position_pointer[pool + 1]):
        position: dict[str, Any] = {
            "symbol": book.instruments.symbols[book.position_instrument[entry]],
            "quantity": float(book.quantity[entry]),
            "entry_price": float(book.entry_price[entry]),
        }
        if not math.isnan(book.leverage[entry]):
            position["leverage"] = float(book.leverage[entry])
        positions.append(position)
    return positions


@dataclass
class _Pools:
    """The pools read so far, as lists a row."""

    instruments: InstrumentTable
    source: object
    names: list[tuple[str, str, str]] = field(default_factory=list)
    balances: list[list[tuple[int, float]]] = field(default_factory=list)
    positions: list[list[tuple[int, float, float, float]]] = field(default_factory=list)
    seen: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.symbol_place = {name: i for i, name in enumerate(self.instruments.symbols)}
        self.asset_place = {name: i for i, name in enumerate(self.instruments.assets)}

    def add_record(self, row: int, record: Mapping[str, Any]) -> None:
        if not isinstance(record, Mapping):
            raise self.error("must be a mapping", row, "account", record)
        self.known(RECORD_KEYS, record, row, "")
        if record.get("account") is None or not str(record["account"]).strip():
            raise self.error("every account needs a name", row, "account")
        account, sub = str(record["account"]), str(record.get("sub_account") or "main")
        if (account, sub) in self.seen:
            raise self.error("account and sub-account appear twice", row, "account", f"{account}/{sub}")
        self.seen.add((account, sub))
        held = [
            (self.place(self.asset_place, asset, row, "balances"), self.number(amount, row, f"balances.{asset}"))
            for asset, amount in self.instance(Mapping, _given(record, "balances", {}), row, "balances").items()
        ]
        cross, isolated = self.split_positions(
            row, self.instance(Sequence, _given(record, "positions", []), row, "positions")
        )
        if not held and not cross and not isolated:
            raise self.error("has neither balances nor positions", row, "account", account)
        self.add_pool((account, sub, CROSS), held, cross)
        for symbol, margin, position in isolated:
            self.add_pool((account, sub, symbol), [(0, margin)], [position])

    def split_positions(self, row: int, positions: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Any]]:
        cross, isolated = [], []
        for place, listed in enumerate(positions):
            at = f"positions[{place}]"
            position = self.instance(Mapping, listed, row, at)
            self.known(POSITION_KEYS, position, row, f"{at}.")
            instrument = self.place(self.symbol_place, position.get("symbol"), row, f"{at}.symbol")
            quantity = self.number(position.get("quantity"), row, f"{at}.quantity")
            if quantity == 0:
                raise self.error("must not be zero", row, f"{at}.quantity", quantity)
            entry = self.positive(position.get("entry_price"), row, f"{at}.entry_price")
            chosen = position.get("leverage")
            leverage = math.nan if chosen is None else self.positive(chosen, row, f"{at}.leverage")
            mode = position.get("mode", "cross")
            if mode == "isolated":
                margin = self.number(position.get("isolated_margin"), row, f"{at}.isolated_margin")
                isolated.append((str(position["symbol"]), margin, (instrument, quantity, entry, leverage)))
            elif mode == "cross":
                cross.append((instrument, quantity, entry, leverage))
            else:
                raise self.error('must be "cross" or "isolated"', row, f"{at}.mode", mode)
        return cross, isolated

    def add_pool(self, name: tuple[str, str, str], held: list[tuple[int, float]], positions: list[Any]) -> None:
        self.names.append(name)
        self.balances.append(held)
        self.positions.append(positions)

    def instance(self, kind: type, value: Any, row: int, column: str) -> Any:
        if not isinstance(value, kind) or isinstance(value, str):
            raise self.error(f"must be a {'mapping' if kind is Mapping else 'list'}", row, column, value)
        return value

    def known(self, keys: tuple[str, ...], given: Mapping[str, Any], row: int, at: str) -> None:
        unknown = next((key for key in given if key not in keys), None)
        if unknown is not None:
            raise self.error(f"unknown key; known are {', '.join(keys)}", row, f"{at}{unknown}", given[unknown])

    def place(self, places: Mapping[str, int], name: object, row: int, column: str) -> int:
        if not isinstance(name, str) or name not in places:
            raise self.error(f"unknown name; known are {', '.join(list(places)[:8])}", row, column, name)
        return places[str(name)]

    def number(self, value: object, row: int, column: str) -> float:
        try:
            number = float(value)  # type: ignore[arg-type]  # the except names what is not a number
        except (TypeError, ValueError):
            raise self.error("must be a number", row, column, value if value is not None else "nothing") from None
        if not math.isfinite(number):
            raise self.error("must be a finite number", row, column, number)
        return number

    def positive(self, value: object, row: int, column: str) -> float:
        number = self.number(value, row, column)
        if number <= 0:
            raise self.error("must be positive", row, column, number)
        return number

    def error(self, problem: str, row: int, column: str, value: object = None) -> InputError:
        return InputError(problem, file=self.source, row=row, column=column, value=value)

    def book(self) -> AccountBook:
        balances = [entry for pool in self.balances for entry in pool]
        positions = [entry for pool in self.positions for entry in pool]
        account, sub_account, isolated = (list(column) for column in zip(*self.names, strict=True))
        asset, amount = _columns(balances, 2)
        instrument, quantity, entry, leverage = _columns(positions, 4)
        return AccountBook(
            self.instruments,
            np.array(account),
            np.array(sub_account),
            np.array(isolated),
            _pointers(self.balances),
            asset.astype(np.int64),
            amount,
            _pointers(self.positions),
            instrument.astype(np.int64),
            quantity,
            entry,
            leverage,
        )


def _given(record: Mapping[str, Any], name: str, absent: object) -> object:
    return absent if record.get(name) is None else record[name]


def _columns(rows: list[Any], width: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.array(rows, dtype=np.float64).reshape(-1, width).T


def _pointers(rows: list[list[Any]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate(([0], np.cumsum([len(r) for r in rows]))).astype(np.int64)
