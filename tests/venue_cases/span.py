"""SPAN: risk arrays and the scan of a portfolio over published ones."""

from __future__ import annotations

from typing import Any

from margincast.riskcore.portfolio.span import scan_risk
from margincast.riskcore.portfolio.span_arrays import futures_array

from .cases import Inputs


def span_case(case: Inputs) -> dict[str, Any]:
    if "arrays" not in case:
        return {"array": futures_array(case["scan_range"], case["extreme"]).tolist()}
    held = case["quantities"]
    arrays = case["arrays"]
    return {"requirement": scan_risk([held[name] for name in held], [arrays[name] for name in held]).risk}


ADAPTERS = {("span_textbook", "span"): span_case}
