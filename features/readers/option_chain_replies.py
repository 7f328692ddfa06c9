"""Option chains from the replies of venues: Deribit's book summaries and tickers, and ccxt's option chains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...riskcore.errors import InputError
from ..options.chain import COIN, QUOTE, OptionChain
from .option_chain import chain_history

DERIBIT_NAME = re.compile(
    r"(?P<underlying>[A-Z0-9]+(?:_[A-Z0-9]+)?)-(?P<date>\d{1,2}[A-Z]{3}\d{2})-(?P<strike>\d+(?:d\d+)?)-(?P<right>[CP])"
)
"""Names of Deribit's options, e.g. BTC-28JUN24-42000-C or XRP_USDC-30JUN23-0d625-P (d is the decimal point)."""

CCXT_NAME = re.compile(
    r"(?P<base>[^/]+)/(?P<quote>[^:]+):(?P<settle>[^-]+)-(?P<date>\d{6})-(?P<strike>\d+(?:\.\d+)?)-(?P<right>[CP])"
)
"""Unified symbols of ccxt, e.g. BTC/USD:BTC-240628-42000-C."""

FORWARD_TOLD = frozenset({"deribit", "bybit"})
"""Venues of which ccxt's underlyingPrice is the forward of the expiry. Others put the index there or the exercise
price, or nothing; for them the forward is inferred."""

EXPIRY_HOUR = 8
"""Options of Deribit, OKX, Bybit, Binance and Derive expire at 08:00 UTC."""

RIGHTS = {"C": "call", "P": "put"}


def deribit_chains(reply: object, received: np.datetime64) -> tuple[OptionChain, ...]:
    """Chains of a reply of Deribit's public API: `get_book_summary_by_currency` of options, or a list of tickers.

    Prices of inverse options are in coin; options quoted in a stablecoin (BTC_USDC-...) make a chain of their own, in
    quote units. `mark_iv` is in per cent. A best price of 0 means that there is none. The time of a chain is that of
    its latest quote.

    Parameters
    ----------
    reply
        The decoded JSON: {"result": [...]} or the list alone, of book summaries or of tickers.
    received
        When the reply came, UTC: the chain was not known before.

    Returns
    -------
    tuple of OptionChain
        One for each underlying, by name.

    Raises
    ------
    InputError
        A reply of another shape, a name that is no option's, a quote from after `received`; `row` is the place in the
        list.

    Examples
    --------
    >>> summary = {"instrument_name": "BTC-28JUN24-42000-C", "bid_price": 0.404, "ask_price": 0.411, "mark_iv": 62.5,
    ...            "mark_price": 0.40752052, "underlying_price": 68827.27, "creation_timestamp": 1711101594477}
    >>> (chain,) = deribit_chains({"result": [summary]}, np.datetime64("2024-03-22T09:59:55"))
    >>> chain.underlying, chain.unit, chain.strike.tolist(), chain.reported.tolist(), str(chain.time)[:19]
    ('BTC', 'coin', [42000.0], [0.625], '2024-03-22T09:59:54')
    """
    found = reply.get("result") if isinstance(reply, Mapping) else reply
    rows = [_deribit_row(entry, row) for row, entry in enumerate(_entries(found, "Deribit"))]
    return _chains(rows, received, "Deribit")


def ccxt_chains(
    chain: Mapping[str, object], received: np.datetime64, venue: str, expiry_hour: int = EXPIRY_HOUR
) -> tuple[OptionChain, ...]:
    """Chains of what ccxt's `fetch_option_chain` gives: a dict of option structures by unified symbol.

    Options settled in their own coin are priced in coin, others in quote units. Open interest and volume are as ccxt
    gives them: in contracts, which are one coin on Deribit and Bybit and less on others.

    Parameters
    ----------
    chain
        The dict.
    received
        When it came, UTC.
    venue
        ccxt's id of the venue: says whether `underlyingPrice` is the forward (`FORWARD_TOLD`).
    expiry_hour
        Hour of the day, UTC, at which the venue's options expire: a symbol tells the day only.

    Raises
    ------
    InputError
        A dict of another shape, a symbol that is no option's, a quote from after `received`.

    Examples
    --------
    >>> option = {"symbol": "BTC/USD:BTC-240628-42000-P", "bidPrice": 0.01, "askPrice": 0.012, "timestamp": None,
    ...           "markPrice": 0.011, "impliedVolatility": None, "underlyingPrice": 68827.27, "openInterest": 3.0}
    >>> (one,) = ccxt_chains({option["symbol"]: option}, np.datetime64("2024-03-22T10:00"), "deribit")
    >>> one.underlying, one.right.tolist(), str(one.expiry[0])[:13], one.forward.tolist()
    ('BTC', [-1], '2024-06-28T08', [68827.27])
    """
    structures = list(chain.values()) if isinstance(chain, Mapping) else chain
    rows = [_ccxt_row(entry, row, venue, expiry_hour) for row, entry in enumerate(_entries(structures, "ccxt"))]
    return _chains(rows, received, "ccxt")


def _entries(found: object, source: str) -> Sequence[Mapping[str, Any]]:
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise InputError("must hold a list of options", file=source)
    for row, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise InputError("must be an object", file=source, row=row, value=entry)
    return found


def _deribit_row(entry: Mapping[str, Any], row: int) -> dict[str, Any]:
    name = entry.get("instrument_name")
    parts = DERIBIT_NAME.fullmatch(str(name))
    day = pd.to_datetime(parts["date"], format="%d%b%y", errors="coerce") if parts else pd.NaT
    if parts is None or pd.isna(day):
        raise InputError("is not the name of an option", file="Deribit", row=row, column="instrument_name", value=name)
    told, stats = entry.get("mark_iv"), entry.get("stats")
    return {
        "unit": QUOTE if "_" in parts["underlying"] else COIN,
        "currency": parts["underlying"],
        "option_type": RIGHTS[parts["right"]],
        "strike": float(parts["strike"].replace("d", ".")),
        "expiry": _expiry(day, EXPIRY_HOUR),
        "bid_price": entry.get("bid_price", entry.get("best_bid_price")),
        "ask_price": entry.get("ask_price", entry.get("best_ask_price")),
        "mark_price": entry.get("mark_price"),
        "futures_price": entry.get("underlying_price"),
        "index_price": entry.get("index_price"),
        "implied_volatility": None if not told else told / 100.0,
        "open_interest": entry.get("open_interest"),
        "volume": stats.get("volume") if isinstance(stats, Mapping) else entry.get("volume"),
        "quote_timestamp": _instant(entry.get("timestamp", entry.get("creation_timestamp"))),
    }


def _ccxt_row(entry: Mapping[str, Any], row: int, venue: str, expiry_hour: int) -> dict[str, Any]:
    symbol = entry.get("symbol")
    parts = CCXT_NAME.fullmatch(str(symbol))
    day = pd.to_datetime(parts["date"], format="%y%m%d", errors="coerce") if parts else pd.NaT
    if parts is None or pd.isna(day):
        raise InputError("is not the symbol of an option", file="ccxt", row=row, column="symbol", value=symbol)
    inverse = parts["settle"] == parts["base"]
    return {
        "unit": COIN if inverse else QUOTE,
        "currency": parts["base"] if inverse else f"{parts['base']}_{parts['quote']}",
        "option_type": RIGHTS[parts["right"]],
        "strike": float(parts["strike"]),
        "expiry": _expiry(day, expiry_hour),
        "bid_price": entry.get("bidPrice"),
        "ask_price": entry.get("askPrice"),
        "mark_price": entry.get("markPrice"),
        "futures_price": entry.get("underlyingPrice") if venue in FORWARD_TOLD else None,
        "implied_volatility": entry.get("impliedVolatility") or None,
        "open_interest": entry.get("openInterest"),
        "volume": entry.get("baseVolume"),
        "quote_timestamp": _instant(entry.get("timestamp")),
    }


def _expiry(day: pd.Timestamp, hour: int) -> pd.Timestamp:
    return (day + pd.Timedelta(hours=hour)).tz_localize("UTC")


def _instant(milliseconds: object) -> pd.Timestamp | None:
    return None if milliseconds is None else pd.to_datetime(int(str(milliseconds)), unit="ms", utc=True)


def _chains(rows: Iterable[dict[str, Any]], received: np.datetime64, source: str) -> tuple[OptionChain, ...]:
    frame = pd.DataFrame.from_records(list(rows))
    if frame.empty:
        raise InputError("holds no options", file=source)
    now = pd.Timestamp(received).tz_localize("UTC")
    chains: list[OptionChain] = []
    for (_, unit), part in frame.groupby(["currency", "unit"], sort=True):
        latest = pd.to_datetime(part["quote_timestamp"], utc=True).max()
        time = now if pd.isna(latest) else latest
        if time > now:
            raise InputError("a quote is from after the reply came", file=source, value=str(time))
        after = (now - time).to_timedelta64()
        chains += chain_history(part.drop(columns="unit").assign(timestamp=time), source, str(unit), after)
    return tuple(chains)
