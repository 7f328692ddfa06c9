"""What of the panel tells how volatile a coin is at all, and the rest told relative to that.

Trees that see levels learn the level of the months they were trained on: with a year of training it cost 24 h forecasts
more than they gained over historical simulation (docs/experiments.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..riskcore.arrays import FloatArray

LEVEL = "log_realised_30d"
LOGS = (
    *("log_ewma_", "log_realised_", "log_parkinson_", "log_garman_klass_", "log_semi_", "market_log_ewma_"),
    *("log_amihud_", "log_scale_"),
)
"""Features that are logs of a volatility, or of an impact, which goes with it."""
MOVES = ("return_", "market_return_", "drawdown_", "rise_", "spread_")
"""Features that are moves of the price."""


def tells_level(name: str) -> bool:
    """Whether a feature of the panel mostly tells how volatile the coin is.

    Examples
    --------
    >>> [tells_level(name) for name in ("log_ewma_24h", "log_slope_6h_30d", "spread_24h", "return_24h")]
    [True, False, True, False]
    """
    return name.startswith((*LOGS, "spread_"))


def relative_to_level(columns: FloatArray, names: Sequence[str]) -> FloatArray:
    """Columns by name, the last axis, with logs of volatility less LEVEL and moves in units of it; others as they are.

    NaN where LEVEL is, in these; all as they are where LEVEL is not among the names (bars too long for a month).

    Examples
    --------
    Volatility twice that of the month, a move of three times it:

    >>> names = ("log_realised_30d", "log_ewma_24h", "return_24h", "volume_24h_30d")
    >>> relative_to_level(np.array([np.log(0.01), np.log(0.02), 0.03, 0.5]), names).round(3).tolist()
    [0.0, 0.693, 3.0, 0.5]
    """
    out = np.array(columns)
    if LEVEL in names:
        level = columns[..., list(names).index(LEVEL)]
        unit = np.exp(level)
        for k, name in enumerate(names):
            if name.startswith(LOGS):
                out[..., k] -= level
            elif name.startswith(MOVES):
                out[..., k] /= unit
    return out
