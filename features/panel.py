"""The panel of features the shipped models are fed: one row a bar, as known at its open."""

from __future__ import annotations

import numpy as np

from ..riskcore.errors import InputError
from .bar_table import bar_table
from .clock import Clock
from .correlation.matrix_step import CorrelationStep
from .engine.bars import BarTable
from .engine.feature_set import FeatureSet
from .engine.program import Program
from .engine.selected import Selected
from .engine.step import Step
from .families import DAY, PANEL, FormulaBars
from .frame import FeatureFrame
from .market_data import MarketData
from .releases import Releases
from .volatility.season_step import SeasonStep

CORRELATIONS = ("absorption_72h", "average_correlation_72h")
CORRELATION_HOURS = 72.0


def build_features(data: MarketData, every: int = 1) -> FeatureFrame:
    """The panel of a market at every `every`-th bar, the last row being the instant after the last bar.

    A row for bar i uses bars 0 .. i - 1 only. Volatilities, momentum, stress and correlation are of the mark; impact,
    spread and turnover of last prices. Market-wide features stand in the row of every instrument. Features of a table
    that the market does not have, or of a window shorter than two bars, are not among the names.

    Parameters
    ----------
    data
        The market.
    every
        Distance between rows, bars.

    Raises
    ------
    InputError
        `every` below one.

    Notes
    -----
    Each feature says what a missing bar does to it: see docs/features.md, or `panel_features(...).declarations`.
    """
    if every < 1:
        raise InputError("must be at least one bar", column="every", value=every)
    table = bar_table(data)
    rows = np.arange(len(table), 0, -every, dtype=np.int64)[::-1]
    return panel_features(table).batch(table, rows)


def panel_features(table: BarTable) -> FeatureSet:
    """The panel for bars of this length, symbols and columns: for a batch over them, or for a stream of more like them.

    Examples
    --------
    >>> times = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> prices = {name: np.array([[5.0]]) for name in ("open", "high", "low", "close")}
    >>> features = panel_features(BarTable(times, np.timedelta64(1, "h"), ("BTC",), prices))
    >>> "log_ewma_24h" in features.names, "funding_last" in features.names
    (True, False)
    """
    bars = FormulaBars(table.bar_hours, frozenset(table.columns))
    formulas = [one for family in PANEL for one in family(bars) if set(one.inputs) <= bars.columns]
    steps: list[Step] = [Program(formulas, table.step)]
    if bars.window(DAY):
        steps.append(SeasonStep(table.bar_hours))
    market = len(table.symbols) > 1 and {"last_close", "volume"} <= bars.columns
    if market and 2.0 * table.bar_hours <= CORRELATION_HOURS:
        steps.append(Selected(CorrelationStep(table.bar_hours), CORRELATIONS))
    return FeatureSet([*steps, Clock(), Releases()])
