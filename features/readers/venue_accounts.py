"""Where venues say what ccxt's unified account replies leave unclear: wallets, isolated margin, their own figures.

ccxt's `total` of an asset holds unrealised profit at Binance, OKX and Hyperliquid and none at Bybit; its
maintenanceMargin at Binance is rate * notional without the tier's deduction. What stands here is read from the raw
reply under `info` instead. Sources: the venues' references of their account and position endpoints (Binance USD-M
"Account Information V3" and "Position Information V3", Bybit v5 "Get Wallet Balance" and "Get Position Info", OKX v5
"Get balance" and "Get positions", Hyperliquid "Retrieve user's perpetuals account summary").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...riskcore.venue_replies import wallet_balance

Reply = Mapping[str, Any]
Amounts = dict[str, Any]


@dataclass(frozen=True)
class Total:
    """A figure a venue gives of an account as a whole.

    Parameters
    ----------
    figure
        "equity" or "maintenance".
    value
        In the account's own unit of account.
    cross_only
        Whether isolated positions are left out of it.
    """

    figure: str
    value: float
    cross_only: bool


@dataclass(frozen=True)
class VenueLayout:
    """How to read one venue's replies.

    Parameters
    ----------
    wallets
        From the balance reply and the cross positions to the amount of each asset without unrealised profit.
    isolated_margin
        From a position to the margin set aside for it, without unrealised profit; None where the reply has none.
    totals
        Figures of the account as a whole.
    isolated_inside
        Whether the wallets hold the isolated margin too, so that it has to be taken out.
    maintenance, liquidation_price
        The venue's own figures in a raw position; None where it gives none.
    borrows
        Whether a balance may be negative, as a loan.
    """

    wallets: Callable[[Reply, Sequence[Reply]], Amounts]
    isolated_margin: Callable[[Reply], Any]
    totals: Callable[[Reply], tuple[Total, ...]]
    maintenance: str | None
    liquidation_price: str | None
    isolated_inside: bool = False
    borrows: bool = True


def raw_position(position: Reply) -> Reply:
    """The venue's own words of a position.

    Examples
    --------
    >>> raw_position({"info": {"position": {"szi": "1.0"}, "type": "oneWay"}}), raw_position({"info": {"mmr": "5"}})
    ({'szi': '1.0'}, {'mmr': '5'})
    """
    raw = position.get("info") or {}
    inner = raw.get("position")
    return inner if isinstance(inner, Mapping) else raw


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _total(figure: str, raw: Reply, key: str, *, cross_only: bool = False) -> tuple[Total, ...]:
    value = _number(raw.get(key))
    return () if math.isnan(value) else (Total(figure, value, cross_only),)


# -- Binance USD-M ----------------------------------------------------------------------------------------------------


def _binance_wallets(balance: Reply, cross: Sequence[Reply]) -> Amounts:
    raw = balance["info"]
    rows = raw["assets"] if isinstance(raw, Mapping) else raw
    return {row["asset"]: row["crossWalletBalance"] for row in rows}


def _binance_isolated(position: Reply) -> Any:
    return raw_position(position).get("isolatedWallet")


def _binance_totals(balance: Reply) -> tuple[Total, ...]:
    raw = balance["info"]
    if not isinstance(raw, Mapping):
        return ()
    return _total("equity", raw, "totalMarginBalance") + _total("maintenance", raw, "totalMaintMargin")


# -- Bybit, unified account -------------------------------------------------------------------------------------------


def _bybit_account(balance: Reply) -> Reply:
    account: Reply = balance["info"]["result"]["list"][0]
    return account


def _bybit_wallets(balance: Reply, cross: Sequence[Reply]) -> Amounts:
    return {row["coin"]: row["walletBalance"] for row in _bybit_account(balance)["coin"]}


def _bybit_isolated(position: Reply) -> Any:
    return raw_position(position).get("positionBalance")


def _bybit_totals(balance: Reply) -> tuple[Total, ...]:
    account = _bybit_account(balance)
    equity = _total("equity", account, "totalMarginBalance", cross_only=True)
    return equity + _total("maintenance", account, "totalMaintenanceMargin", cross_only=True)


# -- OKX --------------------------------------------------------------------------------------------------------------


def _okx_wallets(balance: Reply, cross: Sequence[Reply]) -> Amounts:
    """Equity less what is isolated and less the profit of the other positions: cash, strategies and loans alike."""

    def wallet(row: Reply) -> float:
        isolated, isolated_profit, profit = (float(row.get(key) or 0.0) for key in ("isoEq", "isoUpl", "upl"))
        return float(row["eq"]) - isolated - (profit - isolated_profit)

    return {row["ccy"]: wallet(row) for row in balance["info"]["data"][0]["details"]}


def _okx_isolated(position: Reply) -> Any:
    return raw_position(position).get("margin")


def _okx_totals(balance: Reply) -> tuple[Total, ...]:
    account = balance["info"]["data"][0]
    equity = _total("equity", account, "adjEq", cross_only=True)
    return equity + _total("maintenance", account, "mmr", cross_only=True)


# -- Hyperliquid ------------------------------------------------------------------------------------------------------


def _hyperliquid_wallets(balance: Reply, cross: Sequence[Reply]) -> Amounts:
    raw = [raw_position(position) for position in cross]
    cash = float(balance["info"]["crossMarginSummary"]["totalRawUsd"])
    return {"USDC": wallet_balance(cash, [float(p["szi"]) for p in raw], [float(p["entryPx"]) for p in raw])}


def _hyperliquid_isolated(position: Reply) -> Any:
    raw = raw_position(position)
    cash = (raw.get("leverage") or {}).get("rawUsd")
    return None if cash is None else wallet_balance(float(cash), [float(raw["szi"])], [float(raw["entryPx"])])


def _hyperliquid_totals(balance: Reply) -> tuple[Total, ...]:
    raw = balance["info"]
    equity = _total("equity", raw["crossMarginSummary"], "accountValue", cross_only=True)
    return equity + _total("maintenance", raw, "crossMaintenanceMarginUsed", cross_only=True)


LAYOUTS = {
    "binance": VenueLayout(_binance_wallets, _binance_isolated, _binance_totals, "maintMargin", "liquidationPrice"),
    "bybit": VenueLayout(
        _bybit_wallets, _bybit_isolated, _bybit_totals, "positionMM", "liqPrice", isolated_inside=True
    ),
    "okx": VenueLayout(_okx_wallets, _okx_isolated, _okx_totals, "mmr", "liqPx"),
    "hyperliquid": VenueLayout(
        _hyperliquid_wallets, _hyperliquid_isolated, _hyperliquid_totals, None, "liquidationPx", borrows=False
    ),
}
"""Venues whose raw replies are read, by the beginning of ccxt's name."""


def layout_of(venue: str) -> VenueLayout | None:
    """The layout of a venue by ccxt's name of it, None where there is none.

    Examples
    --------
    >>> layout_of("binanceusdm") is LAYOUTS["binance"], layout_of("gate")
    (True, None)
    """
    return next((layout for name, layout in LAYOUTS.items() if venue.startswith(name)), None)
