"""Every feature there is: the whole set for a market, and the page that says what each one means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..riskcore.errors import InputError
from .clock import Clock
from .correlation.absorption import AbsorptionStep
from .correlation.downside import DownsideStep
from .correlation.lead_lag import LeadLagStep
from .correlation.matrix_step import CorrelationStep
from .correlation.tails import TailDependenceStep
from .correlation.turbulence import TurbulenceStep
from .engine.bars import COLUMNS, BarTable
from .engine.expression import column
from .engine.external import PREFIX
from .engine.feature_set import FeatureSet
from .engine.formula import Formula
from .engine.program import Program
from .engine.step import Declaration, Step
from .families import PANEL, FormulaBars
from .flow.estimated_ladder import EstimatedLadderStep
from .flow.formulas import flow_formulas
from .flow.funding_clock import FundingClockStep
from .flow.stress_components import COMPONENTS, Component, depth_component
from .flow.stress_index import StressIndexStep, with_columns
from .flow.vpin import VpinStep
from .liquidity.depth_steps import ThinnessStep, depth_formulas
from .regime.change_step import ChangePointStep
from .regime.regime_step import RegimeStep
from .releases import Releases
from .volatility.formulas import volatility_formulas
from .volatility.har import HarStep
from .volatility.season_step import DeseasonalisedStep, SeasonStep
from .volatility.spike import SpikeStep

YEAR = 8760.0
MARKET_COINS = 2
"""Symbols from which on there is a correlation."""
SHORT_BAR = np.timedelta64(5, "m")
TOO_LONG = "bars of this length are too long for its windows"


@dataclass(frozen=True)
class Choice:
    """Which features a market allows.

    Parameters
    ----------
    steps
        Formulas as one program, then the other steps.
    left_out
        Features (or whole steps) that are not among them, and why.
    """

    steps: tuple[Step, ...]
    left_out: Mapping[str, str]


def every_feature(table: BarTable, extra: Sequence[Step] = ()) -> FeatureSet:
    """All features that bars of this length, symbols and columns allow, and steps of one's own.

    What reads a column the table does not have, and what needs a window that these bars do not fill, is left out:
    `choose` says what and why.

    Parameters
    ----------
    table
        Bars like those the features will be fed.
    extra
        Steps of one's own, see `engine.step.Step`; formulas of one's own go into a `Program`.

    Raises
    ------
    InputError
        A feature of one's own that has the name of another.

    Examples
    --------
    >>> times = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> prices = {name: np.array([[5.0]]) for name in ("open", "high", "low", "close")}
    >>> features = every_feature(BarTable(times, np.timedelta64(1, "h"), ("BTC",), prices))
    >>> "jump_statistic_24h" in features.names, "taker_imbalance_4h" in features.names
    (True, False)
    """
    return FeatureSet([*choose(table).steps, *extra])


def choose(table: BarTable) -> Choice:
    """The features for bars of this length, symbols and columns, and what is left out.

    Examples
    --------
    >>> times = np.array(["2024-01-01T00"], "datetime64[ns]")
    >>> prices = {name: np.array([[5.0]]) for name in ("open", "high", "low", "close")}
    >>> left_out = choose(BarTable(times, np.timedelta64(1, "h"), ("BTC",), prices)).left_out
    >>> left_out["funding_last"], left_out["correlation"]
    ('no funding_rate', 'needs two symbols')
    """
    choice = _chosen(table)
    said = {one.name for step in choice.steps for one in step.declarations} | set(choice.left_out)
    left_out = dict(choice.left_out)
    for one in (one for step in _chosen(_complete(table)).steps for one in step.declarations):
        if one.name not in said and not _lacks([one], table, left_out):
            left_out[one.name] = TOO_LONG
    return Choice(choice.steps, left_out)


def _complete(table: BarTable) -> BarTable:
    """A bar of these symbols with every column, short enough for every window: it allows all features."""
    columns = {name: np.ones((1, len(table.symbols))) for name in (*COLUMNS, *table.columns)}
    return BarTable(np.zeros(1, "datetime64[ns]"), SHORT_BAR, table.symbols, columns)


def _chosen(table: BarTable) -> Choice:
    left_out: dict[str, str] = {}
    formulas = [one for one in formulas_of(table) if not _lacks([one], table, left_out)]
    steps: list[Step] = [Program(formulas, table.step)]
    for name, make in _makers(table).items():
        try:
            step = make()
        except InputError as failure:
            left_out[name] = str(failure)
            continue
        if not _lacks(step.declarations, table, left_out):
            steps.append(step)
    if len(table.symbols) < MARKET_COINS:
        left_out["correlation"] = "needs two symbols"
    if not FormulaBars(table.bar_hours, frozenset(table.columns)).levels:
        left_out["order book"] = "no bid_Lbps and ask_Lbps"
    return Choice(tuple(steps), left_out)


def formulas_of(table: BarTable) -> list[Formula]:
    """Every formula for bars of this length, each name once."""
    bars = FormulaBars(table.bar_hours, frozenset(table.columns))
    found = [one for family in PANEL for one in family(bars)]
    found += [*volatility_formulas(bars.bar_hours), *flow_formulas(bars.bar_hours)]
    if bars.levels:
        found += depth_formulas([float(level) for level in bars.levels], bars.bar_hours)
    found += [_own_series(name) for name in table.columns if name.startswith(PREFIX)]
    return list({one.name: one for one in found}.values())


def _own_series(name: str) -> Formula:
    said = f"The series {name.removeprefix(PREFIX)} of one's own, as known at the bar's close"
    return Formula(name, column(name), said, "its own")


def _makers(table: BarTable) -> dict[str, Callable[[], Step]]:
    hours, columns = table.bar_hours, frozenset(table.columns)
    levels = tuple(float(level) for level in FormulaBars(hours, columns).levels)
    makers: dict[str, Callable[[], Step]] = {
        "season": lambda: SeasonStep(hours),
        "season, volatility without it": lambda: DeseasonalisedStep(hours),
        "HAR": lambda: HarStep.usual(hours),
        "spikes": lambda: SpikeStep(HarStep.usual(hours, half_life_hours=YEAR)),
        "regime": lambda: RegimeStep.usual(hours, depth=min(levels, default=None)),
        "change points": lambda: ChangePointStep.usual(hours),
        "funding clock": lambda: FundingClockStep(spot={"last_close", "spot_close"} <= columns),
        "VPIN": VpinStep,
        "stress index": lambda: StressIndexStep(with_columns(tuple(columns), _components(levels))),
        "estimated ladder": EstimatedLadderStep,
    }
    if levels:
        makers["thinness"] = lambda: ThinnessStep(levels, hours)
    if len(table.symbols) >= MARKET_COINS:
        makers |= {
            "correlation matrix": lambda: CorrelationStep(hours),
            "absorption": lambda: AbsorptionStep(hours),
            "turbulence": lambda: TurbulenceStep(hours),
            "downside correlation": lambda: DownsideStep(hours),
            "tail dependence": lambda: TailDependenceStep(hours),
            "lead and lag": lambda: LeadLagStep(hours),
        }
    return makers | {"clock": Clock, "releases": Releases}


def _components(levels: tuple[float, ...]) -> tuple[Component, ...]:
    """Components of the stress index, among them the depth nearest the mid where there is a book."""
    return (*COMPONENTS, *(depth_component(f"bid_{level:g}bps", f"ask_{level:g}bps") for level in levels[:1]))


def _lacks(features: Sequence[Formula | Declaration], table: BarTable, left_out: dict[str, str]) -> bool:
    """Whether one of the features computed together reads a column that is not there: then all are left out."""
    lacking = sorted({name for one in features for name in one.inputs if name not in table.columns})
    if lacking:
        left_out |= {one.name: f"no {', '.join(lacking)}" for one in features}
    return bool(lacking)
