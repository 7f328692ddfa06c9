"""From what a venue replied of one account, ccxt's balance and positions, to a book and the venue's own figures."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ...riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from ...riskcore.records import book_from_records
from .snapshot_values import AccountSnapshot, SnapshotRules, VenueFigures
from .venue_accounts import Reply, layout_of, raw_position

KEYS = ("venue", "account", "retrieved", "balance", "positions")


def read_account_snapshot(path: str | Path, rules: SnapshotRules | None = None) -> AccountSnapshot:
    """Read a snapshot from the JSON file that `margincast fetch --tables account` writes; see `account_snapshot`."""
    try:
        content = Path(path).read_bytes()
        reply = json.loads(content)
    except OSError as failure:
        raise InputError(f"cannot be read: {failure.strerror}", file=str(path)) from None
    except ValueError as failure:
        raise InputError(f"is not JSON: {failure}", file=str(path)) from None
    return account_snapshot(reply, rules, source=str(path), sha256=hashlib.sha256(content).hexdigest())


def account_snapshot(
    reply: Mapping[str, Any],
    rules: SnapshotRules | None = None,
    *,
    source: object = None,
    sha256: str | None = None,
) -> AccountSnapshot:
    """Turn what a venue replied of one account into a book, and keep the venue's figures beside it.

    Parameters
    ----------
    reply
        venue (ccxt's name), account, retrieved (ISO 8601, UTC), balance (ccxt's `fetch_balance`) and positions (ccxt's
        `fetch_positions`), both with the raw reply under info.
    rules
        How to read it.
    source, sha256
        File and hash of its bytes; without a hash that of the reply written as JSON.

    Returns
    -------
    AccountSnapshot
        Its book has one pool for the cross positions and the balances, and one for each isolated position. A quantity
        is contracts * contract size / the instrument's multiplier; both sides of a hedged pair stay positions.
        Balances are wallets without unrealised profit, read from the raw reply (`venue_accounts`).

    Raises
    ------
    InputError
        A missing part, an unknown symbol or asset, a number that is missing or not finite, a margin below zero, a
        position without a side or margin mode, a snapshot from the future or older than it may be.

    Examples
    --------
    >>> position = {"symbol": "BTC/USDT:USDT", "side": "short", "contracts": 5.0, "contractSize": 0.01,
    ...     "entryPrice": 40000.0, "markPrice": 41000.0, "marginMode": "cross", "info": {}}
    >>> reply = {"venue": "gate", "account": "desk", "retrieved": "2024-01-01T00:00:00Z",
    ...     "balance": {"total": {"USDT": 900.0}, "info": {}}, "positions": [position]}
    >>> snapshot = account_snapshot(reply, SnapshotRules(balances_hold_profit=False))
    >>> snapshot.book.instruments.symbols, snapshot.book.quantity.tolist(), snapshot.book.balance.tolist()
    (('BTC',), [-0.05], [900.0])
    """
    content = json.dumps(reply, sort_keys=True, default=str).encode()
    return _Reader(reply, rules or SnapshotRules(), source).snapshot(sha256 or hashlib.sha256(content).hexdigest())


class _Reader:
    """Reads one snapshot."""

    def __init__(self, reply: Mapping[str, Any], rules: SnapshotRules, source: object) -> None:
        self.rules, self.source = rules, source
        if not isinstance(reply, Mapping):
            raise self.error("must be an object", value=str(reply)[:40])
        for key in KEYS:
            if reply.get(key) is None:
                raise self.error("is missing", column=key)
        self.reply, self.venue = reply, str(reply["venue"])
        self.layout = layout_of(self.venue)
        self.notes: list[str] = []
        self.positions = self.open_positions(reply["positions"])
        self.modes = [self.mode(row, position) for row, position in enumerate(self.positions)]
        self.held = self.wallets()
        self.instruments = rules.instruments or self.own_instruments()

    def snapshot(self, sha256: str) -> AccountSnapshot:
        retrieved = self.retrieved()
        rows = [self.position(row, position) for row, position in enumerate(self.positions)]
        self.require_owned()
        record = {"account": str(self.reply["account"]), "balances": self.held, "positions": rows}
        book = book_from_records([record], self.instruments, source=self.source)
        totals = self.layout.totals(self.reply["balance"]) if self.layout else ()
        return AccountSnapshot(
            venue=self.venue,
            account=str(self.reply["account"]),
            retrieved=retrieved,
            sha256=sha256,
            record=record,
            book=book,
            figures=self.figures(),
            totals=totals,
            notes=tuple(self.notes),
        )

    def require_owned(self) -> None:
        """Refuse a negative balance where the venue lends nothing; elsewhere say that it is owed."""
        for asset, amount in self.held.items():
            if amount < 0 and self.layout is not None and not self.layout.borrows:
                raise self.error("must not be negative", column=f"balance {asset}", value=amount)
            if amount < 0:
                self.note(f"{asset} is owed: {amount:g}")

    def retrieved(self) -> np.datetime64:
        """When the replies came; refused where that is later than now or too long ago."""
        try:
            instant = np.datetime64(str(self.reply["retrieved"]).removesuffix("Z"), "ns")
        except ValueError:
            raise self.error("is not an instant", column="retrieved", value=self.reply["retrieved"]) from None
        if self.rules.now is None or self.rules.oldest is None:
            return instant
        age = self.rules.now - instant
        if age < np.timedelta64(0):
            raise self.error(f"is later than {self.rules.now}", column="retrieved", value=str(instant))
        if age > self.rules.oldest:
            minutes, most = (span / np.timedelta64(1, "m") for span in (age, self.rules.oldest))
            problem = f"is {minutes:g} minutes old, more than {most:g}"
            raise self.error(problem, column="retrieved", value=str(instant))
        return instant

    def open_positions(self, listed: Any) -> list[Reply]:
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise self.error("must be a list", column="positions")
        opened: list[Reply] = []
        for row, position in enumerate(listed):
            if not isinstance(position, Mapping):
                raise self.error("must be an object", row, "positions", str(position)[:40])
            if self.number(position, "contracts", row) != 0:
                opened.append(position)
        if len(opened) < len(listed):
            self.notes.append(f"{len(listed) - len(opened)} positions of size zero left out")
        return opened

    def mode(self, row: int, position: Reply) -> str:
        mode = position.get("marginMode") or self.rules.margin_mode
        if mode not in ("cross", "isolated"):
            raise self.error("is cross or isolated; the reply does not say, so give it", row, "marginMode", mode)
        return str(mode)

    def position(self, row: int, position: Reply) -> dict[str, Any]:
        side = position.get("side")
        if side not in ("long", "short"):
            raise self.error("must be long or short", row, "side", side)
        contracts, size = abs(self.number(position, "contracts", row)), self.contract_size(position, row)
        symbol = self.symbol(position, row)
        multiplier = float(self.instruments.multiplier[self.instruments.symbols.index(symbol)])
        quantity = contracts * size / multiplier
        found = {
            "symbol": symbol,
            "quantity": quantity if side == "long" else -quantity,
            "entry_price": self.number(position, "entryPrice", row),
            "mode": self.modes[row],
        }
        if position.get("leverage") is not None:
            found["leverage"] = self.number(position, "leverage", row)
        if self.modes[row] == "isolated":
            found["isolated_margin"] = self.isolated_margin(row, position)
        return found

    def contract_size(self, position: Reply, row: int) -> float:
        return 1.0 if position.get("contractSize") is None else self.number(position, "contractSize", row)

    def symbol(self, position: Reply, row: int) -> str:
        unified = str(position.get("symbol"))
        name = self.rules.aliases.get(unified) or self.own_name(unified, self.instruments.base)
        found = next((n for n in (name, unified) if n in self.instruments.symbols), None)
        if found is None:
            known = ", ".join(self.instruments.symbols[:8])
            raise self.error(f"is not among the instruments: {known}", row, "symbol", unified)
        return found

    def isolated_margin(self, row: int, position: Reply) -> float:
        settle = _settle(str(position.get("symbol")))
        if settle != self.instruments.base:
            problem = f"is isolated in {settle}: read it with instruments whose base asset that is"
            raise self.error(problem, row, "symbol", position.get("symbol"))
        margin = self.margin_apart(row, position)
        if margin < 0:
            raise self.error("isolated margin must not be negative", row, "positionMargin", margin)
        return margin

    def margin_apart(self, row: int, position: Reply) -> float:
        """Margin set aside for an isolated position, without its unrealised profit."""
        own = self.layout.isolated_margin(position) if self.layout else None
        if own not in (None, ""):
            return self.finite(own, row, "positionMargin")
        if position.get("positionMargin") is not None:
            return self.number(position, "positionMargin", row)
        self.note("isolated margin is ccxt's collateral less the unrealised profit")
        return self.number(position, "collateral", row) - self.number(position, "unrealizedPnl", row)

    def wallets(self) -> dict[str, float]:
        """Amounts of the cross pool, wallets without unrealised profit; those of zero are left out."""
        balance = self.reply["balance"]
        cross = [p for p, mode in zip(self.positions, self.modes, strict=True) if mode == "cross"]
        if self.layout is None:
            amounts = self.unified_wallets(balance)
        else:
            try:
                raw = self.layout.wallets(balance, cross)
            except (KeyError, IndexError, TypeError, ValueError) as failure:
                raise self.error(f"is not as {self.venue} lays it out: {failure!r}", column="balance info") from None
            amounts = {asset: self.finite(amount, None, f"balance {asset}") for asset, amount in raw.items()}
            if self.layout.isolated_inside:
                self.take_out_isolated(amounts)
        return {asset: amount for asset, amount in amounts.items() if amount != 0}

    def unified_wallets(self, balance: Reply) -> dict[str, float]:
        holds = self.rules.balances_hold_profit
        if holds is None:
            problem = f"of {self.venue} may hold unrealised profit or not: give balances_hold_profit"
            raise self.error(problem, column="balance total")
        totals = balance.get("total") or {}
        amounts = {asset: self.finite(total, None, f"balance {asset}") for asset, total in totals.items()}
        for row, position in enumerate(self.positions) if holds else ():
            amounts[_settle(str(position["symbol"]))] -= self.number(position, "unrealizedPnl", row)
        self.note(f"balances are ccxt's totals {'less' if holds else 'without'} unrealised profit")
        self.take_out_isolated(amounts)
        return amounts

    def take_out_isolated(self, amounts: dict[str, float]) -> None:
        for row, position in enumerate(self.positions):
            if self.modes[row] == "isolated":
                settle = _settle(str(position["symbol"]))
                amounts[settle] = amounts.get(settle, 0.0) - self.margin_apart(row, position)
                self.note("isolated margin is taken out of the wallet that holds it")

    def own_instruments(self) -> InstrumentTable:
        """The contracts and assets of the snapshot; the base asset is what its first position settles in, else USDT."""
        unified = list(dict.fromkeys(str(position.get("symbol")) for position in self.positions))
        settles = [_settle(symbol) for symbol in unified]
        assets = list(dict.fromkeys([*(settles or ["USDT"])[:1], *settles, *self.held]))
        names = [self.rules.aliases.get(symbol) or self.own_name(symbol, assets[0]) for symbol in unified]
        kinds = np.array([INVERSE if _is_inverse(symbol) else LINEAR for symbol in unified], np.int8)
        settlement = np.array([assets.index(settle) for settle in settles], np.int64)
        return InstrumentTable(tuple(names), kinds, np.ones(len(names)), settlement, tuple(assets))

    @staticmethod
    def own_name(unified: str, base: str) -> str:
        coin, _, rest = unified.partition("/")
        return coin if rest == f"{base}:{base}" else unified

    def figures(self) -> VenueFigures:
        order = sorted(range(len(self.positions)), key=lambda row: self.modes[row] == "isolated")
        rows = [self.positions[row] for row in order]
        by_ccxt = set()
        columns: dict[str, FloatArray] = {}
        for name, unified in (("maintenance", "maintenanceMargin"), ("liquidation_price", "liquidationPrice")):
            own = getattr(self.layout, name) if self.layout else None
            if own is None and any(position.get(unified) is not None for position in rows):
                by_ccxt.add(name)
            raw = [raw_position(position).get(own) if own else position.get(unified) for position in rows]
            columns[name] = _numbers(raw)
        price = columns["liquidation_price"]
        columns["liquidation_price"] = np.where(price > 0, price, np.nan)
        return VenueFigures(
            mark=_numbers([self.mark(position, row) for position, row in zip(rows, order, strict=True)]),
            profit=_numbers([position.get("unrealizedPnl") for position in rows]),
            margin_ratio=_numbers([position.get("marginRatio") for position in rows]),
            by_ccxt=frozenset(by_ccxt),
            **columns,
        )

    def mark(self, position: Reply, row: int) -> Any:
        """Mark price; where a linear position has none, its notional over its size."""
        if position.get("markPrice") is not None or position.get("notional") is None:
            return position.get("markPrice")
        if _is_inverse(str(position.get("symbol"))):
            return None
        size = self.number(position, "contracts", row) * self.contract_size(position, row)
        return abs(self.number(position, "notional", row)) / abs(size)

    def number(self, position: Reply, key: str, row: int) -> float:
        return self.finite(position.get(key), row, key)

    def finite(self, value: Any, row: int | None, column: str) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise self.error("must be a number", row, column, "nothing" if value is None else value) from None
        if not math.isfinite(number):
            raise self.error("must be a finite number", row, column, number)
        return number

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def error(
        self, problem: str, row: int | None = None, column: str | None = None, value: object = None
    ) -> InputError:
        at = f"positions[{row}].{column}" if row is not None else column
        return InputError(problem, file=self.source, column=at, value=value)


def _settle(unified: str) -> str:
    """Asset a unified symbol settles in: what stands after the colon."""
    return unified.partition(":")[2].split("-")[0]


def _is_inverse(unified: str) -> bool:
    """Whether a contract settles in the coin it is of."""
    return _settle(unified) == unified.partition("/")[0]


def _numbers(values: Sequence[Any]) -> FloatArray:
    out = np.full(len(values), np.nan)
    for place, value in enumerate(values):
        try:
            out[place] = float(value)
        except (TypeError, ValueError):
            continue  # the venue says nothing of it: NaN
    return out
