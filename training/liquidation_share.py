"""The share of a coin's open interest expected to be liquidated, from what is known without any account."""

from __future__ import annotations

import numpy as np

from ..models.historical import FilteredHistorical
from ..models.paths import breach_probability
from ..models.sample import ScaleField
from ..riskcore.arrays import FloatArray, IntArray, require
from ..riskcore.errors import InputError
from ..riskcore.exposure import Exposure

LEVERAGES = (2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
MAINTENANCE = 0.01


def expected_liquidation_share(
    simulation: FilteredHistorical,
    scale: ScaleField,
    bars: IntArray,
    horizon: int,
    *,
    leverages: tuple[float, ...] = LEVERAGES,
    maintenance: float = MAINTENANCE,
) -> FloatArray:
    """Mean probability of liquidation over a ladder of fresh single-coin positions, shape (n_bars, n_series).

    Half of the ladder is long, half short; each leverage holds as much as any other. Nobody publishes the leverage of a
    venue's accounts: the ladder is an assumption of margincast, the same on every day, so that what it says is how days
    and coins rank and not how much is liquidated.

    Parameters
    ----------
    simulation, scale
        Historical simulation and the scale it is filtered by.
    bars
        Bars at whose open the share is forecast.
    horizon
        In bars; one of the simulation's.
    leverages
        Notional over equity at entry, each below 1 / maintenance.
    maintenance
        Maintenance margin, fraction of notional.

    Returns
    -------
    NaN where a series has no scale.

    Raises
    ------
    InputError
        A leverage at which a fresh position is already in breach, or a horizon that was not fitted.
    """
    levels = np.array(leverages)
    require((levels > 0) & (levels * maintenance < 1), levels, "leaves no headroom at entry", "leverage")
    if horizon not in simulation.libraries_ or horizon not in scale.horizons:
        raise InputError(f"is not one of those fitted, {list(simulation.libraries_)}", column="horizon", value=horizon)
    sigma = scale.sigma[bars][:, :, scale.horizons.index(horizon)]
    rungs = 2 * len(levels)
    exposure = _ladder(sigma.size, np.tile(np.arange(sigma.shape[1]), len(bars)), levels, maintenance)
    probability, _ = breach_probability(
        exposure,
        simulation.libraries_[horizon],
        scale=np.repeat(sigma.ravel(), rungs),
        bandwidth=simulation.bandwidth,
        threads=simulation.threads,
    )
    return np.asarray(probability.reshape(len(bars), sigma.shape[1], rungs).mean(axis=2))


def _ladder(coins: int, series: IntArray, leverages: FloatArray, maintenance: float) -> Exposure:
    """Positions of notional 1 in each coin, longs then shorts; a short's margin grows as it loses."""
    sign = np.tile(np.repeat([1.0, -1.0], len(leverages)), coins)
    equity = np.tile(1.0 / leverages, 2 * coins)
    n = len(sign)
    required = np.full(n, maintenance)
    return Exposure(
        np.arange(n + 1), np.repeat(series, 2 * len(leverages)), sign - maintenance, equity - required, equity, required
    )
