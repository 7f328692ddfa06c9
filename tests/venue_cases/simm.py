"""ISDA SIMM: interest rate figures of OpenSourceRisk/Engine, with the parameters each case brings."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from margincast.riskcore.portfolio.simm import simm_margin
from margincast.riskcore.portfolio.simm_parameters import TENORS, CurrencyGroups, RatesParameters, SimmParameters
from margincast.riskcore.portfolio.simm_sensitivities import Sensitivities

from .cases import Inputs, Unsupported

EVERY = CurrencyGroups(("every",), ((),))
PRODUCT, CLASS, CURRENCY = "RatesFX", "InterestRate", "USD"


def rates(given: dict[str, Any]) -> RatesParameters:
    correlation = [[1.0 if a == b else given["corr"][f"{a}|{b}"] for b in TENORS] for a in TENORS]
    return RatesParameters(
        volatility_groups=EVERY,
        weights=np.array([[given["rw"][tenor] for tenor in TENORS]]),
        tenor_correlation=np.array(correlation),
        sub_curve_correlation=given["phi"],
        vega_weight=given["vrw"],
        volatility_ratio=given["hvr"],
        threshold_groups=EVERY,
        delta_thresholds=np.array([given["td"]]),
        vega_thresholds=np.array([given["tv"]]),
    )


def simm(case: Inputs) -> dict[str, Any]:
    crif, given = case.block("crif"), case.block("parameters")
    curve = [(PRODUCT, "Risk_IRCurve", CURRENCY, "", *row) for row in crif["ir_curve"]]
    volatility = [(PRODUCT, "Risk_IRVol", CURRENCY, "", tenor, "", amount) for tenor, amount in crif["ir_vol"]]
    rules = SimmParameters("case", dt.date(2024, 1, 1), given["mpor"], rates(given))
    margin = simm_margin(Sensitivities.of([*curve, *volatility]), rules, side=case["side"].lower())
    component = case["component"]
    if component == "total":
        return {"value": margin.total}
    if component == "curvature_bucket":
        return {"value": margin.bucket(PRODUCT, CLASS, "curvature", CURRENCY)}
    if component not in ("delta", "vega", "curvature"):
        raise Unsupported(f"component {component}")
    return {"value": margin.measure(PRODUCT, CLASS, component)}


ADAPTERS = {("isda_simm_ore", "simm"): simm}
