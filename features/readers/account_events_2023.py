"""Reading the trades, ledger and liquidations of accounts as Hyperliquid published them in 2023."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ...riskcore.errors import InputError
from .account_events import AccountHistory, EventTable, history_of, parsed
from .account_events_schemas import checked_table
from .table_files import read_bytes

LAYOUT: dict[str, tuple[str, dict[str, str]]] = {
    "trades": ("trades", {"user": "account", "coin": "symbol", "px": "price", "sz": "quantity"}),
    "transfers": ("ledger", {"user": "account", "delta_usd": "amount"}),
    "liquidations": (
        "liquidations",
        {"user": "account", "liquidated_ntl_pos": "notional", "liquidated_account_value": "equity"},
    ),
}
"""For each table of events the file it stands in, and the names of its columns there."""

FEES = (
    "fees are taken as zero: trading on Hyperliquid had none until 13 June 2023 (its documentation, trading/fees, and "
    'its post "HLP update: 3 months in" of 10 August 2023)'
)


def read_accounts_2023(folder: str | Path) -> AccountHistory:
    """Read a folder with trades, ledger and liquidations (Parquet) in the layout of 2023.

    Side is Bid (bought) or Ask (sold), times are whole seconds of UTC, balances are in USDC. Fees were zero then;
    funding is not in the files. The trades of an account at the second of one of its liquidations are its fills, at the
    price that left the account without equity and not at a price of the market.

    Raises
    ------
    InputError
        A file that is missing or cannot be read, rows that are not as they must be, a leverage type that is neither
        Cross nor Isolated.
    """
    place, tables, isolated = Path(folder), [], 0
    for name, (stem, names) in LAYOUT.items():
        path = place / f"{stem}.parquet"
        content = read_bytes(path)
        frame = parsed(content, path)
        if name == "trades":
            frame = frame.assign(fee=0.0)
        if name == "liquidations":
            isolated = _isolated(frame.get("leverage_type"), path.name)
        frame = checked_table(frame.rename(columns=names), name, path.name)
        tables.append(EventTable(name, path.name, hashlib.sha256(content).hexdigest(), frame))
    history = history_of(tables, None, base="USDC")
    notes = (
        *history.notes,
        FEES,
        f"{isolated} of {history.rows['liquidations']} liquidations are of isolated positions",
    )
    return AccountHistory(history.events, history.files, history.rows, notes)


def _isolated(kinds: object, file: str) -> int:
    if kinds is None:
        raise InputError("is missing", file=file, column="leverage_type")
    told = np.asarray(kinds, np.str_)
    strange = np.flatnonzero((told != "Cross") & (told != "Isolated"))
    if len(strange):
        row = int(strange[0])
        raise InputError("must be Cross or Isolated", file=file, row=row, column="leverage_type", value=str(told[row]))
    return int((told == "Isolated").sum())
