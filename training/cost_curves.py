"""What acting on a forecast costs, against how much dearer a missed liquidation is than a false alert."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..riskcore.arrays import FloatArray

COST_RATIOS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Cost of a missed liquidation over that of a false alert."""


def cost_curves(said: Mapping[str, FloatArray], outcome: FloatArray) -> dict[str, list[dict[str, float]]]:
    """Expected cost of alerting by each model at each of COST_RATIOS.

    A false alert costs 1 and a missed liquidation r. Whoever believes the forecast alerts from a probability of
    1 / (1 + r) on; `cost` is what that costs a row, `relative` the same over the cheaper of alerting all and alerting
    none (below 1: the forecast is worth having), and `best` is `relative` at the threshold that hindsight would choose:
    the gap between them is what miscalibration costs. 1 - `relative` is the net benefit as a share of the best free
    choice.

    Sources: Drummond and Holte (2006), Machine Learning 65; Vickers and Elkin (2006), Medical Decision Making 26.

    Parameters
    ----------
    said
        Probabilities by model, each (n,).
    outcome
        0 or 1, shape (n,).

    Returns
    -------
    dict
        By model, for each ratio: ratio, cost, relative, best. NaN `relative` and `best` where nothing was liquidated or
        all were.

    Examples
    --------
    Of four accounts the second is liquidated. At r = 3 all from 25% on are alerted: one false alert.

    >>> found = cost_curves({"m": np.array([0.9, 0.6, 0.1, 0.1])}, np.array([0.0, 1.0, 0.0, 0.0]))["m"][1]
    >>> found["ratio"], found["cost"], round(found["relative"], 6), round(found["best"], 6)
    (3.0, 0.25, 0.333333, 0.333333)
    """
    return {name: [_at_ratio(p, outcome, ratio) for ratio in COST_RATIOS] for name, p in said.items()}


def _at_ratio(probability: FloatArray, outcome: FloatArray, ratio: float) -> dict[str, float]:
    alerted = probability >= 1 / (1 + ratio)
    cost = float((ratio * (outcome * ~alerted) + (1 - outcome) * alerted).mean())
    free = float(min(ratio * outcome.mean(), (1 - outcome).mean()))
    best = _least_cost(probability, outcome, ratio)
    relative = cost / free if free > 0 else float("nan")
    return {"ratio": ratio, "cost": cost, "relative": relative, "best": best / free if free > 0 else float("nan")}


def _least_cost(probability: FloatArray, outcome: FloatArray, ratio: float) -> float:
    """Cost a row at the best threshold: rows are alerted from the highest probability down, equal ones together."""
    order = np.argsort(-probability, kind="stable")
    change = np.where(outcome[order] > 0.5, -ratio, 1.0)
    last_of_equal = np.append(np.diff(probability[order]) != 0, True)
    costs = ratio * outcome.sum() + np.append(0.0, np.cumsum(change)[last_of_equal])
    return float(costs.min() / len(outcome))
