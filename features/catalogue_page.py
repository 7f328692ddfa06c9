"""The page that says what every feature means, made from what the features declare: docs/feature_catalogue.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .accounts import (
    book_crowding,
    collateral_fragility,
    liquidity_distance,
    option_worst_point,
    scenario_usage,
)
from .accounts.behaviour import AccountBehaviour
from .accounts.headroom_velocity import HeadroomVelocity
from .accounts.ladder_features import ladder_declarations
from .accounts.loss_direction import direction_declarations
from .catalogue import choose
from .engine.bars import COLUMNS, BarTable
from .engine.step import Declaration
from .options import declarations as options
from .volatility.garch import GarchStep

LEVELS = ("10", "50")
HOUR = np.timedelta64(1, "h")
HEAD = """# Every feature

Made from what the features declare by `make pages`; a test holds it to them. Each is known when its bar closes, with no
further lag, and uses nothing later. Windows are for hourly bars. What a market
lacks a column for is left out and said: `margincast features --market folder`. Bars of any length work; a window that
would hold fewer than two bars is left out. Names are stable. How features are fed, stored and extended:
[pipelines.md](pipelines.md).

| column of bars | what it is |
|---|---|
"""


def whole_market() -> BarTable:
    """Two bars of two symbols with every column there can be: what the page's features are chosen for."""
    names = [*COLUMNS, *(f"{side}_{level}bps" for side in ("bid", "ask") for level in LEVELS)]
    times = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    return BarTable(times, HOUR, ("BTC", "ETH"), {name: np.ones((2, 2)) for name in names})


def page() -> str:
    """The page's text: columns, then a table for each kind of feature."""
    columns = [f"| `{name}` | {said} |" for name, said in COLUMNS.items()]
    columns.append("| `bid_Lbps`, `ask_Lbps` | quote units resting within L basis points of the mid, last of the bar |")
    columns.append("| `series_NAME` | a series of one's own, as known at the bar's close |")
    parts = [HEAD + "\n".join(columns)]
    for title, told, declared in sections():
        parts.append(f"## {title}\n\n{told}\n\n{_table(declared)}")
    return "\n\n".join(parts) + "\n"


def sections() -> Iterator[tuple[str, str, Sequence[Declaration]]]:
    """Yield title, introduction and features of each part of the page."""
    program, *steps = choose(whole_market()).steps
    yield "Formulas over bars", "Compiled together, `features.families` and the `formulas` files.", program.declarations
    stepped = [one for step in steps for one in step.declarations]
    yield "Steps over bars", "With state beyond windows, or across symbols.", stepped
    garch = "On request, with the extra `garch`: `features.volatility.garch.GarchStep`."
    yield "GARCH", garch, GarchStep().declarations
    yield "Option chains", "`features.options.chain_step.ChainStep`, joined to bars as of time.", options.DECLARATIONS
    yield "Accounts: how far from liquidation", "From the margin core.", _geometry()
    ladder = "`features.accounts.ladder`: of every instrument, from the accounts that are known."
    yield "Accounts: the known book", ladder, (*ladder_declarations(), *book_crowding.DECLARATIONS)
    behaviour = "`features.accounts.behaviour`, from the events of each account."
    yield "Accounts: behaviour", behaviour, AccountBehaviour(1.0).declarations


def _geometry() -> tuple[Declaration, ...]:
    return (
        *direction_declarations(["24h"]),
        *scenario_usage.DECLARATIONS,
        *HeadroomVelocity({"6h": 6.0}).declarations,
        *option_worst_point.DECLARATIONS,
        *collateral_fragility.DECLARATIONS,
        *liquidity_distance.DECLARATIONS,
    )


def _table(declared: Sequence[Declaration]) -> str:
    rows = [
        "| feature | what it is | unit | reads | looks back | missing data | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in declared:
        back = f"{one.lookback_hours:g} h" if one.lookback_hours else "the bar"
        cells = (f"`{one.name}`", one.summary, one.unit, ", ".join(one.inputs), back, one.missing, one.source)
        rows.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(rows)
