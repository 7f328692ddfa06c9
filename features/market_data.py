"""What a market folder holds, once read: prices on one time grid, and what the data are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd

from ..riskcore.arrays import FloatArray, TimeArray, frozen
from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory
from .readers.report import DataReport
from .readers.series import SeriesTable

BAR_COLUMNS = ("open", "high", "low", "close", "volume")
FLOW_COLUMNS = ("taker_buy_volume", "trades")


@dataclass(frozen=True)
class MarketData:
    """A market over time: marks for the margin core, and all else a feature may look at.

    Every array has one row a bar of `history.times` and one column an instrument of `history.instruments`. NaN: the
    table has no bar there. Nothing is filled.

    Parameters
    ----------
    history
        Marks, indices and funding as the margin core reads them. Each coin's index is the mark of its perpetual.
    trade
        Last-price bars: open, high, low, close in quote units and volume in coins, each of shape (T, n); where the
        table has them, also taker_buy_volume in coins and trades, a number.
    funding_rate
        Funding charged at `times[k]`, as a fraction of notional; NaN where none was charged. None: no such table.
    open_interest
        Coins outstanding, as last reported within the bar. None: no such table.
    spot_close
        Close of the coin's spot market. None: no such table.
    depth
        Order-book depth with columns timestamp (UTC), symbol, side (bid, ask), level_bps and notional: quote units
        resting within that many basis points of the mid. All rows of a snapshot bear one timestamp; bars take the last
        snapshot whole. None: no such table.
    liquidations
        Reported liquidations with columns timestamp (UTC), symbol and, where the file has them, side (the position
        liquidated: long or short), price and quantity in coins, and whatever else it has. None: no such table.
    simulated
        Whether the folder says that its market is simulated.
    report
        Rows, gaps, bad bars, coverage, provenance.
    series
        External series by name.
    spot_market
        The coins' spot markets as a market of their own, on their own bars, which often begin before the perpetuals'
        and hold more coins. None: no such table, or closes only.

    Raises
    ------
    InputError
        An array of another shape than the history's, or a bar column that is missing.
    """

    history: MarketHistory
    trade: Mapping[str, FloatArray]
    funding_rate: FloatArray | None
    open_interest: FloatArray | None
    spot_close: FloatArray | None
    depth: pd.DataFrame | None
    liquidations: pd.DataFrame | None
    simulated: bool
    report: DataReport
    series: Mapping[str, SeriesTable] = field(default_factory=dict)
    spot_market: MarketData | None = None

    def __post_init__(self) -> None:
        missing = [name for name in BAR_COLUMNS if name not in self.trade]
        if missing:
            raise InputError("trade bars lack a column", column=missing[0])
        present = (*BAR_COLUMNS, *(name for name in FLOW_COLUMNS if name in self.trade))
        trade = {name: frozen(self.trade[name], np.float64) for name in present}
        object.__setattr__(self, "trade", MappingProxyType(trade))
        object.__setattr__(self, "series", MappingProxyType(dict(self.series)))
        for name in ("funding_rate", "open_interest", "spot_close"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, frozen(getattr(self, name), np.float64))
        self._check_shapes()

    def _check_shapes(self) -> None:
        expected = (len(self.history), len(self.history.instruments))
        others = {name: getattr(self, name) for name in ("funding_rate", "open_interest", "spot_close")}
        for name, values in {**self.trade, **others}.items():
            if values is not None and values.shape != expected:
                raise InputError(f"has shape {values.shape}, expected {expected}", column=name)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the perpetuals, in the order of the columns."""
        return self.history.instruments.symbols

    @property
    def times(self) -> TimeArray:
        """Bar opens, datetime64[ns], UTC."""
        return self.history.times

    @property
    def bar_hours(self) -> float:
        """Length of a bar in hours."""
        return float(self.history.step / np.timedelta64(1, "h"))

    def mark(self, column: str) -> FloatArray:
        """Open, high, low or close of the mark of each instrument, shape (T, n)."""
        values: FloatArray = getattr(self.history, column)[:, self.history.mark_series]
        return values
