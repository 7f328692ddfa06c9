"""What venues document about their history endpoints and ccxt does not say: page sizes, how far back, odd parameters.

Sources, read in 2026: Binance USD-M and COIN-M "Kline", "Get Funding Rate History", "Open Interest Statistics" and
"Order Book"; Bybit v5 "Get Kline", "Get Funding Rate History", "Get Open Interest", "Get Orderbook"; OKX v5 "Get
candlesticks history", "Get mark price candlesticks history", "Get funding rate history", "Get contract open interest
history", "Get order book"; Hyperliquid info endpoint, "Candle snapshot" and "Retrieve historical funding rates".
"""

from __future__ import annotations

CAREFUL = 100
"""Rows of a page of a venue that is not listed: windows that small fit every known venue."""

PAGE_ROWS: dict[str, dict[str, int]] = {
    "binance": {"perp": 1000, "mark": 1000, "index": 1000, "funding": 1000, "open_interest": 500},
    "bybit": {"perp": 1000, "mark": 1000, "index": 1000, "funding": 200, "open_interest": 200},
    "okx": {"perp": 100, "mark": 100, "index": 100, "funding": 100, "open_interest": 100},
    "hyperliquid": {"perp": 5000, "funding": 500},
}
"""Rows one reply may hold; of bars at Binance those that ccxt asks for."""

KEPT_DAYS: dict[str, dict[str, int]] = {"binance": {"open_interest": 30}}
"""How far back a venue refuses to look. Others just return nothing for older times."""

END_PARAMETER: dict[str, dict[str, str]] = {"okx": {"funding": "after"}}
"""The venue's own parameter for the end of a window, exclusive, where ccxt does not pass one on."""

SHORT_WINDOWS: dict[str, frozenset[str]] = {"okx": frozenset({"open_interest"})}
"""Histories whose windows ccxt shortens to one reply: an empty reply says nothing of what is further on."""

BOOK_ROWS: dict[str, int] = {"binance": 1000, "bybit": 500, "okx": 400}
"""Prices a side of the deepest order book; elsewhere what ccxt asks for."""

POSITION_QUERIES: dict[str, tuple[dict[str, str], ...]] = {
    "bybit": ({"settleCoin": "USDT"}, {"settleCoin": "USDC"}, {"subType": "inverse"})
}
"""Parameters of the requests that together list all positions, where one request does not."""

MOST_POSITIONS: dict[str, int] = {"bybit": 200}
"""Positions one reply may hold, where a venue has a limit."""

UNITS_CHECKED = frozenset({"binance", "bybit", "okx", "hyperliquid"})
"""Venues whose volume and open interest were seen to be in coins as ccxt returns them."""

BOTH_SIDES = frozenset({"bybit"})
"""Venues whose open interest counts both sides of each contract; others count a contract once."""


def looks_ahead(name: str, table: str) -> bool:
    """Whether an empty reply to a long window says that all of it is empty: known of the listed venues only.

    Examples
    --------
    >>> looks_ahead("binanceusdm", "perp"), looks_ahead("okx", "open_interest"), looks_ahead("gate", "perp")
    (True, False, False)
    """
    venue = family(name)
    return table in PAGE_ROWS.get(venue, {}) and table not in SHORT_WINDOWS.get(venue, frozenset())


def family(name: str) -> str:
    """The venue whose interface an exchange of ccxt has.

    Examples
    --------
    >>> family("binanceusdm"), family("bybit"), family("okxus")
    ('binance', 'bybit', 'okx')
    """
    return next((venue for venue in sorted(UNITS_CHECKED) if name.startswith(venue)), name)
