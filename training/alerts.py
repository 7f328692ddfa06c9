"""What a forecast is worth to a desk that can look at k accounts a day."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..riskcore.arrays import FloatArray, IntArray

BUDGETS = (5, 10, 20, 50)


def alert_economics(
    probability: FloatArray,
    breached: FloatArray,
    shortfall: FloatArray,
    lead_hours: FloatArray,
    day: IntArray,
    budgets: tuple[int, ...] = BUDGETS,
) -> list[dict[str, Any]]:
    """Precision, catch and lead time when the k most endangered accounts of each day are alerted.

    Parameters
    ----------
    probability, breached
        Forecast and outcome (0 or 1) at one horizon, shape (n,).
    shortfall
        Loss beyond collateral of each row, base asset.
    lead_hours
        Hours from the alert to the liquidation; NaN where there was none.
    day
        Day number of each row.
    budgets
        Alerts a day.

    Returns
    -------
    list of dict
        One for each budget: budget_per_day, precision, share_of_events_caught, share_of_shortfall_caught,
        median_lead_hours, p10_lead_hours. None where nothing was there to catch.

    Examples
    --------
    >>> row = alert_economics(np.array([0.9, 0.1]), np.array([1.0, 0.0]), np.array([5.0, 0.0]),
    ...     np.array([2.0, np.nan]), np.array([0, 0]), (1,))[0]
    >>> row["precision"], row["share_of_shortfall_caught"], row["median_lead_hours"]
    (1.0, 1.0, 2.0)
    """
    order = np.lexsort((-probability, day))
    first = np.concatenate(([True], np.diff(day[order]) != 0))
    starts = np.flatnonzero(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return [_at_budget(rank < budget, budget, breached, shortfall, lead_hours) for budget in budgets]


def _at_budget(
    alerted: np.ndarray[tuple[int], np.dtype[np.bool_]],
    budget: int,
    breached: FloatArray,
    shortfall: FloatArray,
    lead_hours: FloatArray,
) -> dict[str, Any]:
    caught = alerted & (breached > 0.5)
    leads = lead_hours[caught]
    events, loss = breached.sum(), shortfall[breached > 0.5].sum()
    return {
        "budget_per_day": budget,
        "precision": float(caught.sum() / alerted.sum()),
        "share_of_events_caught": float(caught.sum() / events) if events else None,
        "share_of_shortfall_caught": float(shortfall[caught].sum() / loss) if loss > 0 else None,
        "median_lead_hours": float(np.median(leads)) if len(leads) else None,
        "p10_lead_hours": float(np.quantile(leads, 0.1)) if len(leads) else None,
    }
