"""Run margincast against numeric cases of venues: `make verify VECTORS=FOLDER`.

Every *.json of the folder that holds cases is read. An adapter turns the inputs of a case into a book, prices and rules
and asks riskcore; it does no arithmetic of its own, so that what passes is what users get. Cases no adapter covers are
counted as unsupported, known misprints of a source (`reproduced` false) apart. Exit code 1 when a case failed, 2 when
there is nothing to run.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from margincast.riskcore.account_summary import summarise
from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.interest import hourly_interest, rollover_interest
from margincast.riskcore.liquidation_price import cross_liquidation_price, liquidation_price
from margincast.riskcore.margin import MarginState, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook
from margincast.riskcore.tier_tables import next_deduction, schedule_from_leverage
from margincast.riskcore.venue_replies import equity_of_ratio, mark_of_notional, wallet_balance

NOW = np.datetime64("2024-01-01", "ns")
SIDES = {"long": 1.0, "short": -1.0}


class Unsupported(Exception):
    """The case asks for something no adapter translates."""


class Inputs(dict[str, Any]):
    """Inputs of a case; asking for one it lacks makes the case unsupported."""

    def __missing__(self, key: str) -> Any:
        raise Unsupported(f"no input {key}")

    def of(self, key: str) -> Inputs:
        return Inputs(self[key])

    def each(self, key: str) -> list[Inputs]:
        return [Inputs(entry) for entry in self[key]]

    def signed(self, quantity: str, side: str = "side") -> float:
        direction = self[side]
        return math.copysign(self[quantity], SIDES[direction.lower()] if isinstance(direction, str) else direction)


class Leg(NamedTuple):
    quantity: float
    entry: float
    mark: float
    schedule: RateSchedule
    leverage: float = math.nan


class Pool(NamedTuple):
    book: AccountBook
    market: MarketState
    rules: RuleBook

    def state(self) -> MarginState:
        return evaluate(*self)

    def prices(self) -> list[float]:
        return liquidation_price(*self).tolist()


def flat(rate: float, deduction: float = 0.0, leverage: float = 1.0) -> RateSchedule:
    """One tier for all sizes."""
    return RateSchedule(*(np.array([column]) for column in (0.0, rate, deduction, leverage)))


def rows_schedule(rows: Sequence[Sequence[float]]) -> RateSchedule:
    """A published table as it stands, (floor, cap, rate, max leverage, deduction) a row, unchecked."""
    floors, caps, rates, leverage, deductions = (np.array(column, float) for column in zip(*rows, strict=True))
    return RateSchedule(floors, rates, deductions, leverage, caps[-1])


def pool(legs: Sequence[Leg], balance: float, kind: int = LINEAR, multiplier: float = 1.0, **rules: Any) -> Pool:
    """One pool with a leg in each of as many contracts, settled in the base asset (inverse ones: in the coin)."""
    names = [f"contract {place}" for place in range(len(legs))]
    n = len(legs)
    table = InstrumentTable(tuple(names), [kind] * n, [multiplier] * n, [0] * n, ("base",))  # type: ignore[arg-type]
    quantity, entry, mark, schedules, leverage = zip(*legs, strict=True)
    book = AccountBook(
        table, ["a"], ["m"], [CROSS], [0, 1], [0], [balance], [0, n], range(n), quantity, entry, leverage
    )  # type: ignore[arg-type]
    book_of_rules = RuleBook("case", dt.date(2024, 1, 1), dict(zip(names, schedules, strict=True)), **rules)
    return Pool(book, MarketState(NOW, mark, [1.0]), book_of_rules)  # type: ignore[arg-type]


# ---- Binance, by freqtrade's tests and tables


def binance_tier_table(case: Inputs) -> dict[str, Any]:
    schedule = RateSchedule.marginal(case["floors"], case["mmr"], np.ones(len(case["floors"])))
    return {"maintenance_amounts": schedule.deductions.tolist()}


def binance_tier_lookup(case: Inputs) -> dict[str, Any]:
    schedule = rows_schedule(case["tiers"])
    tier = int(schedule.tier_of(case["notional"]))
    return {"mmr": schedule.rates[tier], "maintenance_amount": schedule.deductions[tier]}


def binance_max_leverage(case: Inputs) -> dict[str, Any]:
    return {"max_leverage": rows_schedule(case["tiers"]).leverage_for(case["stake"])}


def binance_liquidation(case: Inputs) -> dict[str, Any]:
    return cross_example(case) if "position" in case else isolated_example(case)


def isolated_example(case: Inputs) -> dict[str, Any]:
    frozen = {"bybit": "entry"}.get(case["venue"], "price")
    schedule = flat(case["mmr"], case["maintenance_amount"])
    leg = Leg(case.signed("quantity"), case["entry_price"], case["entry_price"], schedule)
    isolated = pool([leg], case["wallet_balance"], closing_fee=case["taker_fee"], maintenance_at=frozen)
    return {"liquidation_price": isolated.prices()[0]}


def cross_example(case: Inputs) -> dict[str, Any]:
    legs = [
        Leg(position.signed("q"), position["ep"], position["mp"], flat(position["mmr"], position["cum"]))
        for position in [case.of("position"), *case.each("other_positions")]
    ]
    return {"liquidation_price": pool(legs, case["wallet_balance"]).prices()[0]}


def borrow_interest(case: Inputs) -> dict[str, Any]:
    charge = {"binance": hourly_interest, "kraken": rollover_interest}.get(case["venue"])
    if charge is None:
        raise Unsupported(f"interest of {case['venue']}")
    return {"interest": charge(case["borrowed"], case["rate"], case["hours"])}


# ---- Hyperliquid, recorded replies


RULES_2023 = load_rulebook("hyperliquid", dt.date(2023, 6, 1))
RULES_2024 = load_rulebook("hyperliquid", dt.date(2024, 10, 1))


def hyperliquid_leg(position: Inputs) -> Leg:
    """A position of a reply; one without an entry price is taken as opened at its mark."""
    size, leverage = position["size"], position.get("leverage", math.nan)
    mark = position["mark"] if "mark" in position else float(mark_of_notional(position["notional"], size))
    if "max_leverage" in position:
        schedule = schedule_from_leverage([0.0], [position["max_leverage"]])
    else:
        schedule = RULES_2023.schedule_of(position["coin"])
    return Leg(size, position.get("entry", mark), mark, schedule, leverage)


def hyperliquid_pool(legs: Sequence[Leg], cash: float) -> Pool:
    return pool(legs, wallet_balance(cash, [leg.quantity for leg in legs], [leg.entry for leg in legs]))


def hyperliquid_account(case: Inputs) -> dict[str, Any]:
    summary = summarise(*hyperliquid_pool([hyperliquid_leg(p) for p in case.each("positions")], case["raw_usd"]))
    return {
        "account_value": summary.equity[0],
        "total_ntl": summary.notional[0],
        "margin_used": summary.initial[0],
        "withdrawable": summary.available[0],
        "cross_maintenance_margin": summary.maintenance[0],
    }


def hyperliquid_margin_used(case: Inputs) -> dict[str, Any]:
    if "size" in case:
        return {"margin_used": pool([hyperliquid_leg(case)], 0.0).state().leg_initial[0]}
    notional, leverage = case["notional"], case["leverage"]
    leg = Leg(1.0, notional, notional, flat(0.01, leverage=leverage), leverage)
    return {"margin_used": pool([leg], 0.0).state().leg_initial[0]}


def hyperliquid_profit(case: Inputs) -> dict[str, Any]:
    return {"unrealized_pnl": pool([hyperliquid_leg(case)], 0.0).state().leg_profit[0]}


def hyperliquid_liquidation(rules: RuleBook) -> Callable[[Inputs], dict[str, Any]]:
    def adapter(case: Inputs) -> dict[str, Any]:
        if "raw_usd" in case:
            isolated = hyperliquid_pool([hyperliquid_leg(case)], case["raw_usd"])
            return {"liquidation_price": isolated.prices()[0], "margin_used": isolated.state().equity[0]}
        leg, account = hyperliquid_leg(case), (case["account_value"], case["maintenance_margin"])
        rate = leg.schedule.rates[0]
        price = cross_liquidation_price(leg.mark, leg.quantity, *account, rate, rules.maintenance_at)
        return {"liquidation_price": float(price)}

    return adapter


def hyperliquid_tier_table(case: Inputs) -> dict[str, Any]:
    schedule = schedule_from_leverage(case["floors"], case["max_leverage"])
    return {"rates": schedule.rates.tolist(), "deductions": schedule.deductions.tolist()}


# ---- Others, where they fit


def nautilus_margin(case: Inputs) -> dict[str, Any]:
    if case["model"] != "standard":
        raise Unsupported(f"margin model {case['model']}")
    leg = Leg(case["quantity"], case["price"], case["price"], flat(case["margin_rate"]))
    return {"margin": pool([leg], 0.0, multiplier=case["multiplier"]).state().leg_maintenance[0]}


def nautilus_liquidation(case: Inputs) -> dict[str, Any]:
    """The isolated margin of the reply is equity at the mark, so the position is taken as opened there."""
    leg = Leg(
        case.signed("quantity"), case["mark_price"], case["mark_price"], flat(case["mmr"], case["maintenance_amount"])
    )
    return {"liquidation_price": pool([leg], case["isolated_margin"]).prices()[0]}


def docs_deduction(case: Inputs) -> dict[str, Any]:
    return {"cum": next_deduction(case["floor"], case["mmr"], case["prev_mmr"], case["prev_cum"])}


def docs_profit(case: Inputs) -> dict[str, Any]:
    leg = Leg(case.signed("qty"), case["entry"], case["mark"], flat(0.01))
    return {"upnl": pool([leg], 0.0).state().leg_profit[0]}


def docs_inverse_initial(case: Inputs) -> dict[str, Any]:
    leg = Leg(case["contracts"], case["entry"], case["entry"], flat(0.01, leverage=case["leverage"]), case["leverage"])
    state = pool([leg], 0.0, INVERSE).state()
    return {"position_value": state.leg_notional[0], "initial_margin": state.leg_initial[0]}


def okx_leg(case: Inputs) -> Leg:
    """A reply with a notional but no size: one contract worth that much."""
    notional, leverage = case["notional_usd"], case["leverage"]
    return Leg(1.0, notional, notional, flat(case["mmr"], leverage=leverage), leverage)


def okx_margin(case: Inputs) -> dict[str, Any]:
    state = pool([okx_leg(case)], case["adjusted_equity"]).state()
    return {"imr": state.leg_initial[0], "mmr": state.leg_maintenance[0]}


def okx_ratio(case: Inputs) -> dict[str, Any]:
    account = pool([okx_leg(case)], case["adjusted_equity"], closing_fee=case["taker_fee"])
    return {"margin_ratio": summarise(*account).coverage[0]}


def okx_inverse_maintenance(case: Inputs) -> dict[str, Any]:
    leg = Leg(case.signed("contracts"), case["avg_price"], case["mark_implied_by_upl"], flat(case["mmr"]))
    return {"mm": pool([leg], 0.0, INVERSE, case["contract_value_usd"]).state().leg_maintenance[0]}


def okx_discount(case: Inputs) -> dict[str, Any]:
    haircut = HaircutSchedule(np.zeros(1), np.array([case["discount"]]))
    table = InstrumentTable.linear_perpetuals([], base="USD", collateral=["held"])
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [1], [case["eq"]], [0, 0], [], [], [], [])  # type: ignore[arg-type]
    rules = RuleBook("case", dt.date(2024, 1, 1), {}, {"held": haircut})
    return {"dis_eq": evaluate(book, MarketState(NOW, [], [1.0, case["coin_usd_price"]]), rules).equity[0]}  # type: ignore[arg-type]


def bitget_leg(case: Inputs, mark: str = "mark") -> Leg:
    return Leg(
        case.signed("size"), case["entry"], case[mark], flat(case["mmr"], leverage=case["leverage"]), case["leverage"]
    )


def bitget_profit(case: Inputs) -> dict[str, Any]:
    return {"upnl": pool([bitget_leg(case)], 0.0).state().leg_profit[0]}


def bitget_margin(case: Inputs) -> dict[str, Any]:
    return {"margin": pool([bitget_leg(case, "entry")], 0.0).state().leg_initial[0]}


def bitget_liquidation(case: Inputs) -> dict[str, Any]:
    leg = bitget_leg(case)
    maintenance = pool([leg], 0.0, closing_fee=case["taker_fee"]).state().maintenance[0]
    equity = equity_of_ratio(maintenance, case["margin_ratio"])
    price = cross_liquidation_price(leg.mark, leg.quantity, equity, maintenance, case["mmr"], "mark")
    return {"liquidation_price": float(price)}


ADAPTERS: Mapping[tuple[str, str], Callable[[Inputs], dict[str, Any]]] = {
    ("binance_freqtrade", "tier_table"): binance_tier_table,
    ("binance_freqtrade", "tier_lookup"): binance_tier_lookup,
    ("binance_freqtrade", "initial_margin"): binance_max_leverage,
    ("binance_freqtrade", "liquidation_price"): binance_liquidation,
    ("binance_freqtrade", "borrow_interest"): borrow_interest,
    ("hyperliquid_cassette", "account"): hyperliquid_account,
    ("hyperliquid_cassette", "initial_margin"): hyperliquid_margin_used,
    ("hyperliquid_cassette", "pnl"): hyperliquid_profit,
    ("hyperliquid_cassette", "liquidation_price"): hyperliquid_liquidation(RULES_2023),
    ("hyperliquid_ccxt", "account"): hyperliquid_account,
    ("hyperliquid_ccxt", "initial_margin"): hyperliquid_margin_used,
    ("hyperliquid_ccxt", "pnl"): hyperliquid_profit,
    ("hyperliquid_ccxt", "liquidation_price"): hyperliquid_liquidation(RULES_2024),
    ("nautilus_margin", "initial_margin"): nautilus_margin,
    ("nautilus_margin", "liquidation_price"): nautilus_liquidation,
    ("exchange_docs", "tier_table"): docs_deduction,
    ("exchange_docs", "pnl"): docs_profit,
    ("exchange_docs", "initial_margin"): docs_inverse_initial,
    ("okx_bitget_recorded", "margin"): okx_margin,
    ("okx_bitget_recorded", "margin_ratio"): okx_ratio,
    ("okx_bitget_recorded", "maintenance_margin"): okx_inverse_maintenance,
    ("okx_bitget_recorded", "collateral_haircut"): okx_discount,
    ("okx_bitget_recorded", "initial_margin"): bitget_margin,
    ("okx_bitget_recorded", "pnl"): bitget_profit,
    ("okx_bitget_recorded", "liquidation_price"): bitget_liquidation,
    ("binance_documentation", "deduction"): docs_deduction,
    ("binance_documentation", "tier_lookup"): binance_tier_lookup,
    ("binance_documentation", "liquidation_price"): binance_liquidation,
    ("binance_documentation", "pnl"): docs_profit,
    ("bybit_documentation", "initial_margin"): docs_inverse_initial,
    ("hyperliquid_documentation", "tier_table"): hyperliquid_tier_table,
    ("hyperliquid_documentation", "liquidation_price"): hyperliquid_liquidation(RULES_2024),
}


class Result(NamedTuple):
    verdict: str  # passed, failed, unsupported or misprint
    what: str = ""


def agrees(expected: Any, found: Any, tolerance: Any) -> bool:
    """Whether a figure is within tolerance; null stands for none, which is NaN here."""
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(agrees, expected, found, [tolerance] * len(expected)))
    if expected is None or math.isnan(found):
        return expected is None and math.isnan(found)
    given = tolerance if isinstance(tolerance, Mapping) else {"abs": tolerance}
    allowed = max(given.get("abs", 0.0), given.get("rel", 0.0) * abs(expected))
    return bool(abs(expected - found) <= allowed)


def run_case(source: str, case: Mapping[str, Any]) -> Result:
    adapter = ADAPTERS.get((source, case["kind"]))
    if adapter is None:
        return Result("unsupported", case["kind"])
    try:
        found = adapter(Inputs(case["inputs"]))
    except Unsupported as reason:
        return Result("unsupported", f"{case['kind']}: {reason}")
    except Exception as error:  # noqa: BLE001 - any error is the case's failure, not the run's
        return Result("failed", f"{type(error).__name__}: {error}")
    missing = case["expected"].keys() - found.keys()
    if missing:
        return Result("unsupported", f"{case['kind']}: no figure {', '.join(sorted(missing))}")
    wrong = [k for k, figure in case["expected"].items() if not agrees(figure, found[k], case["tolerance"])]
    if not wrong:
        return Result("passed")
    told = "; ".join(f"{name} expected {case['expected'][name]}, found {found[name]}" for name in wrong)
    return Result("misprint" if case.get("reproduced") is False else "failed", told)


def read_sources(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Cases of every source in the folder."""
    files = sorted(folder.glob("*.json"))
    contents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in files}
    return {str(c.get("source_key", stem)): c["cases"] for stem, c in contents.items() if "cases" in c}


def main(arguments: Sequence[str]) -> int:
    console = Console(width=None if sys.stdout.isatty() else 120)
    sources = read_sources(Path(arguments[0])) if arguments else {}
    if not sources:
        console.print("verify: needs a folder with *.json files of cases", style="red")
        return 2
    table = Table(Column("source", no_wrap=True), "passed", "failed", "unsupported", "misprints", "kinds not covered")
    total: Counter[str] = Counter()
    for source, cases in sources.items():
        results = [run_case(source, case) for case in cases]
        counts = Counter(result.verdict for result in results)
        total += counts
        kinds = sorted({result.what.split(":")[0] for result in results if result.verdict == "unsupported"})
        figures = [str(counts[verdict]) for verdict in ("passed", "failed", "unsupported", "misprint")]
        table.add_row(source, *figures, ", ".join(kinds))
        for case, result in zip(cases, results, strict=True):
            if result.verdict in ("failed", "misprint"):
                console.print(f"{result.verdict}: {case['id']}: {result.what}", soft_wrap=True, markup=False)
    console.print(table)
    print(f"{total['passed']} passed, {total['failed']} failed, {total['unsupported']} unsupported")
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
