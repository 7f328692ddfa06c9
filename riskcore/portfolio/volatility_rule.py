"""What UP and DOWN of a scenario do to implied volatility: `VolatilityShock`, or a shift by volatility points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray
from ..errors import InputError
from .scenario_grid import DOWN, UP


class VolatilityRule(Protocol):
    """Anything that shocks implied volatilities."""

    def shocked(self, volatility: ArrayLike, days: ArrayLike, direction: ArrayLike) -> FloatArray:
        """Volatility after the shock; `days` to expiry and `direction` (DOWN, SAME, UP) broadcast."""
        ...


@dataclass(frozen=True)
class VolatilityPoints:
    """A shift of implied volatility by a fixed number of points, as in SPAN, never below `least`.

    Parameters
    ----------
    up, down
        Size of the shift, annual fraction (0.05: five points); not negative.
    least
        Volatility a downward shift does not go below; not negative.

    Examples
    --------
    >>> VolatilityPoints(up=0.1, down=0.05).shocked([0.5, 0.02], 30.0, [UP, DOWN]).tolist()
    [0.6, 0.0]
    """

    up: float
    down: float
    least: float = 0.0

    def __post_init__(self) -> None:
        for name in ("up", "down", "least"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))

    def shocked(self, volatility: ArrayLike, days: ArrayLike, direction: ArrayLike) -> FloatArray:
        """Volatility after the shift, the same at any expiry; a volatility below `least` does not fall."""
        now, way, _ = np.broadcast_arrays(np.asarray(volatility, np.float64), direction, days)
        fallen = np.maximum(now - self.down, np.minimum(now, self.least))
        return np.asarray(np.where(way == UP, now + self.up, np.where(way == DOWN, fallen, now)))
