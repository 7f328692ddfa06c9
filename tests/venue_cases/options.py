"""Options: values and sensitivities against QuantLib and py_vollib, and Regulation T requirements against Lean."""

from __future__ import annotations

import math
from typing import Any

from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.options.black_scholes import spot_greeks
from margincast.riskcore.options.strategy_book import StrategyBook
from margincast.riskcore.options.strategy_matcher import match_strategies
from margincast.riskcore.options.strategy_rules import load_strategy_rules

from .cases import NOW, Inputs, Unsupported

SHORT = -1
RIGHTS = {"call": CALL, "put": PUT}
CLASSES = {True: "index", False: "equity"}
GREEKS = {"price": "value", "divrho": "dividend_rho"}
BY_RIGHT = ("delta", "theta", "rho")


def right_of(name: str) -> int:
    if name.lower() not in RIGHTS:
        raise Unsupported(f"right {name}")
    return RIGHTS[name.lower()]


def quantlib_option(case: Inputs) -> dict[str, Any]:
    """All sensitivities at once, by the names of the source."""
    contract = (case["spot"], case["strike"], case["t"], case["vol"], right_of(case["type"]))
    found = spot_greeks(*contract, rate=case["rate"], dividend_yield=case["dividend_yield"])
    names = ("price", "delta", "gamma", "vega", "theta", "theta_per_day", "rho", "divrho", "elasticity")
    return {name: float(getattr(found, GREEKS.get(name, name))) for name in names}


def vollib_option(case: Inputs) -> dict[str, Any]:
    contract = (case["spot"], case["strike"], case["t"], case["vol"])
    sides = {name: spot_greeks(*contract, right, rate=case["rate"]) for name, right in RIGHTS.items()}
    figures = {f"{name}_{greek}": float(getattr(sides[name], greek)) for name in sides for greek in BY_RIGHT}
    values = {name: float(sides[name].value) for name in sides}
    return figures | values | {greek: float(getattr(sides["call"], greek)) for greek in ("gamma", "vega")}


def regt_option(case: Inputs) -> dict[str, Any]:
    return regt_strategy(case) if "legs" in case else regt_short(case)


def regt_short(case: Inputs) -> dict[str, Any]:
    """One series sold; Lean answers for the premium at which it was sold where that is given."""
    premium = case["entry_premium"] if "entry_premium" in case else case["option_price"]
    sold = math.copysign(case["contracts"], SHORT)
    book = StrategyBook(case["underlying"], [right_of(case["right"])], [case["strike"]], [NOW], [sold], [premium])  # type: ignore[arg-type]
    rules = load_strategy_rules(CLASSES[case["index"]])
    requirement = {phase: match_strategies(book, rules, phase).requirement for phase in ("initial", "maintenance")}
    return {f"{phase}_margin": figure for phase, figure in requirement.items()}


def regt_strategy(case: Inputs) -> dict[str, Any]:
    legs = case.each("legs")
    columns = ([leg[name] for leg in legs] for name in ("strike", "expiry", "quantity", "price"))
    book = StrategyBook(case["underlying"], [right_of(leg["right"]) for leg in legs], *columns)  # type: ignore[arg-type]
    return {"margin": match_strategies(book, load_strategy_rules()).requirement}


ADAPTERS = {
    ("quantlib_european", "option_value"): quantlib_option,
    ("quantlib_european", "option_greek"): quantlib_option,
    ("py_vollib_bs", "option_value"): vollib_option,
    ("py_vollib_bs", "option_greek"): vollib_option,
    ("lean_regt_options", "option_margin"): regt_option,
}
