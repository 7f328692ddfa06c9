"""The verb `stress`: an account file taken through the library of stresses on a market folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..features.readers.folder import read_market_folder
from ..riskcore.dated_files import list_rulebooks
from ..riskcore.errors import InputError
from ..riskcore.margin import MarginState, Stage, evaluate
from ..riskcore.market import MarketHistory
from ..riskcore.rulebook import RuleBook
from ..riskcore.stress.library import flash_crash, historical_replay, oracle_outage, standard_stresses
from ..riskcore.stress.path import StressPath
from ..riskcore.stress.reverse import reverse_stress
from ..riskcore.stress.run import StressOutcome, StressSetting, run_stress
from ..riskcore.waterfall.funds import InsuranceFunds
from ..riskcore.waterfall.procedure import LiquidationProcedure
from ..riskcore.waterfall.procedure_file import load_procedure
from .accounts_file import read_accounts
from .provenance import book_stamp, rules_record
from .scoring import bar_at, instant_of, located_in
from .stress_inputs import Moves, depth_of, held_only, moves_of

Say = Callable[[str], None]
STABLE = ("USDC", "DAI", "FDUSD", "TUSD", "USDE", "BUSD", "USDD", "PYUSD")
ASSUMED_FUND = 0.01
REVERSE_FALL = 0.3


@dataclass(frozen=True)
class StressRequest:
    """What is stressed, on which market, when.

    Parameters
    ----------
    accounts, market
        Account file and market folder.
    at
        Instant (UTC) on the market's bar grid; None: the end of the market.
    fund
        Insurance fund of the base asset; None: 1% of the accounts' notional, said as assumed.
    replays
        Stretches of the market's own history, "START/END" each.
    depegs
        Assets held that lose their peg, beside the stablecoins among them.
    reverse
        Whether the smallest fatal shocks are sought.
    """

    accounts: Path
    market: Path
    at: str | None = None
    fund: float | None = None
    replays: tuple[str, ...] = ()
    depegs: tuple[str, ...] = ()
    reverse: bool = True


def stress_file(request: StressRequest, rules: RuleBook, *, say: Say = lambda _: None) -> dict[str, Any]:
    """Run every stress on the accounts of a file.

    Returns
    -------
    dict
        "stresses": a record for each; "reverse": the smallest fatal sizes; "before", "assumed", "rules", "at", "data".

    Raises
    ------
    InputError
        What the readers, `evaluate` and the stresses refuse, with the file it is in.
    """
    say(f"reading {request.market}")
    data = read_market_folder(request.market)
    bar = bar_at(data.history, request.at)
    book, history = held_only(read_accounts(request.accounts, data.history.instruments, rules.aliases), data.history)
    if not len(book.quantity):
        raise InputError("holds no positions", file=request.accounts)
    market = history.state_at(bar)
    with located_in(request.accounts, book, np.arange(len(book))):
        state = evaluate(book, market, rules)
    moves = moves_of(history, bar)
    depth, assumed = depth_of(data, history.instruments, market.mark, bar)
    procedure, told = _procedure(rules)
    fund, said = _fund(request, state, history.instruments.base)
    funds = InsuranceFunds.by_settlement(history.instruments, {history.instruments.base: fund})
    setting = StressSetting(book, market, rules, procedure, depth, funds)
    outcomes = []
    for path in _paths(request, history, moves):
        say(f"{path.name}: {path.told}")
        outcomes.append(run_stress(setting, path))
    return {
        "at": str(market.time)[:19],
        "before": _before(state, fund, history.instruments.base),
        "stresses": [stress_record(outcome) for outcome in outcomes],
        "reverse": _reverse(setting, moves, say) if request.reverse else [],
        "assumed": [*assumed, *told, *said, f"beta and volatility of 30 days; the market is {moves.market}"],
        "rules": rules_record(rules)
        | {
            "procedure": f"{procedure.venue} {procedure.effective_from.isoformat()}",
            "generic_symbols": list(rules.generic_symbols(history.instruments.symbols)),
        },
        "stamp": book_stamp(book, market, rules),
        "data": {"marks": history.source, "simulated": data.simulated},
    }


def stress_record(outcome: StressOutcome) -> dict[str, Any]:
    """The figures of one stress, money in the base asset, over all its steps."""
    return {
        "name": outcome.path.name,
        "told": outcome.path.told,
        "liquidated": int(outcome.liquidated.sum()),
        "bankrupt": int(outcome.bankrupt.sum()),
        "closed": float(outcome.closed.sum()),
        "deleveraged": float(outcome.deleveraged.sum()),
        "fund_after": float(outcome.fund[-1]),
        "fund_lowest": float(outcome.fund.min()),
        "paid_by_funds": float(outcome.paid_by_funds.sum()),
        "socialised": float(outcome.socialised.sum()),
        "uncovered": float(outcome.uncovered.sum()),
        "equity_after": outcome.equity,
        "fund_held": outcome.fund_held,
        "settled": outcome.settled,
    }


def _paths(request: StressRequest, history: MarketHistory, moves: Moves) -> list[StressPath]:
    table = history.instruments
    pegged = [asset for asset in table.assets[1:] if asset in STABLE or asset in request.depegs]
    table.asset_index_of(request.depegs)
    replays = []
    for text in request.replays:
        start, slash, end = text.partition("/")
        if not slash:
            raise InputError("must be START/END, two instants", column="replay", value=text)
        replays.append(historical_replay(history, instant_of(start), instant_of(end)))
    return [*standard_stresses(table, moves.beta, moves.sigma, pegged=pegged), *replays]


def _procedure(rules: RuleBook) -> tuple[LiquidationProcedure, list[str]]:
    venue = rules.venue.partition("_")[0]
    if f"waterfall_{venue}" in {file.venue for file in list_rulebooks()}:
        return load_procedure(venue), []
    return load_procedure("generic"), [f"no liquidation procedure of {rules.venue}: the generic one"]


def _fund(request: StressRequest, state: MarginState, base: str) -> tuple[float, list[str]]:
    if request.fund is not None:
        return request.fund, []
    amount = ASSUMED_FUND * float(state.leg_notional.sum())
    return amount, [f"insurance fund of {amount:,.0f} {base}: assumed 1% of the accounts' notional"]


def _before(state: MarginState, fund: float, base: str) -> dict[str, Any]:
    return {
        "pools": len(state.equity),
        "notional": float(state.leg_notional.sum()),
        "equity": float(np.maximum(state.equity, 0.0).sum()),
        "in_breach": int((state.stage >= Stage.LIQUIDATION).sum()),
        "fund": fund,
        "base": base,
    }


def _reverse(setting: StressSetting, moves: Moves, say: Say) -> list[dict[str, Any]]:
    paths = [make(setting.book.instruments, moves.beta, fall=REVERSE_FALL) for make in (flash_crash, oracle_outage)]
    if not run_stress(setting, paths[0].scaled(0.0)).fund_held:
        return [{"name": path.name, "fall": 0.0, "told": "the fund is not enough without any shock"} for path in paths]
    out: list[dict[str, Any]] = []
    for path in paths:
        say(f"the smallest {path.name} that drains the fund")
        found = reverse_stress(setting, path, largest=4.0, points=8, within=0.02)
        survived = 1 - (1 - REVERSE_FALL) ** found.held_at
        if np.isnan(found.size):
            out.append({"name": path.name, "fall": None, "told": f"the fund survives a fall of {survived:.0%}"})
            continue
        fall = 1 - (1 - REVERSE_FALL) ** found.size
        told = f"a fall of the market by {fall:.1%} drains the fund, one by {survived:.1%} does not"
        out.append({"name": path.name, "fall": fall, "told": told, "outcome": stress_record(found.outcome)})
    return out
