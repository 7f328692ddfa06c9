"""Option chains made up for tests: a known surface, priced by Black-76."""

import numpy as np

from margincast.features.options.chain_rows import chain_from_rows
from margincast.riskcore.options.black76 import value

NOW = np.datetime64("2024-01-01T12:00:00", "ns")
DAY = np.timedelta64(1, "D")
YEAR = 365.0


def smile_of(level, lean=0.0, bend=0.0):
    """Volatility at log moneyness k over sqrt(years): level + lean k + bend k^2."""
    return lambda k, years: level + lean * k / np.sqrt(years) + bend * k * k / years


def rows_of(volatility, days=(7, 25, 53, 120), forward=50_000.0, strikes=41, reach=4.0, unit="coin", width=0.01):
    """Rows of calls and puts whose marks are worth the volatility, bids and asks `width` of volatility around it."""
    columns = {name: [] for name in ("expiry", "strike", "right", "mark", "bid", "ask", "forward")}
    for day in days:
        years = day / YEAR
        k = np.linspace(-reach, reach, strikes) * float(volatility(0.0, years)) * np.sqrt(years)
        strike = np.repeat(forward * np.exp(k), 2)
        right = np.tile([-1, 1], strikes)
        vol = volatility(np.log(strike / forward), years)
        scale = 1.0 / forward if unit == "coin" else 1.0
        for name, moved in (("mark", 0.0), ("bid", -0.5 * width), ("ask", 0.5 * width)):
            columns[name].append(value(forward, strike, years, vol + moved, right) * scale)
        for name, one in (("strike", strike), ("right", right), ("forward", np.full(len(strike), forward))):
            columns[name].append(one)
        columns["expiry"].append(np.full(len(strike), NOW + day * DAY))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def chain_of(volatility, underlying="BTC", time=NOW, known=None, unit="coin", more=None, **options):
    """A chain with a known surface; its expiries lie so many days after `NOW`, whatever its time."""
    rows = rows_of(volatility, unit=unit, **options) | (more or {})
    return chain_from_rows(underlying, time, rows, unit=unit, known=known)
