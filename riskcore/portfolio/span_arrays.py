"""SPAN risk arrays: the sixteen scenarios, and what one long contract makes in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, IntArray, require
from ..basis import DAYS_A_YEAR
from ..errors import InputError
from ..options.black76 import value as black76_value
from .scenario_grid import DOWN, SAME, UP

SCAN_FRACTIONS = np.array([0, 0, 1, 1, -1, -1, 2, 2, -2, -2, 3, 3, -3, -3]) / 3.0
"""Price move of the first fourteen scenarios as a fraction of the price scan range; the last two are extreme."""
SCAN_VOLATILITIES: IntArray = np.append(np.tile([UP, DOWN], 7), [SAME, SAME])
PAIRED = np.append(np.arange(14) ^ 1, [14, 15])
"""Scenario of the same price move and the other volatility move; the extreme ones are their own."""
SCENARIOS = 16


@dataclass(frozen=True)
class SpanScan:
    """How far SPAN looks for one combined commodity.

    Parameters
    ----------
    price_range
        Price scan range, price units; positive.
    volatility_range
        Volatility scan range, annual volatility points as a fraction (0.05: five points); not negative.
    extreme_multiple, extreme_cover
        The extreme scenarios move the price by so many scan ranges, and so much of their loss counts. A double range at
        35% is the classic choice, a triple range at about 33% that of newer files.
    volatility_relative
        Whether the volatility range is a fraction of the volatility and not a number of points.
    lookahead_days
        Days that pass until the scenario is valued.
    """

    price_range: float
    volatility_range: float = 0.0
    extreme_multiple: float = 2.0
    extreme_cover: float = 0.35
    volatility_relative: bool = False
    lookahead_days: float = 1.0

    def __post_init__(self) -> None:
        for name in ("price_range", "extreme_multiple"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError("must be positive", column=name, value=getattr(self, name))
        for name in ("volatility_range", "lookahead_days"):
            if not 0 <= getattr(self, name) < np.inf:
                raise InputError("must not be negative", column=name, value=getattr(self, name))
        if not 0 < self.extreme_cover <= 1:
            raise InputError("must be in (0, 1]", column="extreme_cover", value=self.extreme_cover)

    @property
    def moves(self) -> FloatArray:
        """Price move of each scenario, price units, shape (16,)."""
        extreme = self.extreme_multiple * self.price_range
        return np.append(SCAN_FRACTIONS * self.price_range, [extreme, -extreme])

    @property
    def weights(self) -> FloatArray:
        """Share of each scenario's profit or loss that counts, shape (16,)."""
        return np.append(np.ones(14), [self.extreme_cover, self.extreme_cover])


def futures_array(scan_range: float, extreme: float) -> FloatArray:
    """Profit of one long future in the sixteen scenarios, shape (16,).

    Parameters
    ----------
    scan_range
        Price scan range of one contract, currency.
    extreme
        What counts of the extreme move, currency: cover * multiple * scan range (0.35 * 2 = 0.70 of the range).

    Examples
    --------
    McMillan, Options as a Strategic Investment, ch. 34, p. 668 (there rounded to tens):

    >>> futures_array(10_000.0, 7_000.0).round().astype(int).tolist()
    [0, 0, 3333, 3333, -3333, -3333, 6667, 6667, -6667, -6667, 10000, 10000, -10000, -10000, 7000, -7000]
    """
    for name, figure in (("scan_range", scan_range), ("extreme", extreme)):
        if not 0 < figure < np.inf:
            raise InputError("must be positive", column=name, value=figure)
    return np.append(SCAN_FRACTIONS * scan_range, [extreme, -extreme])


def options_array(
    scan: SpanScan,
    forward: ArrayLike,
    strike: ArrayLike,
    years: ArrayLike,
    volatility: ArrayLike,
    right: ArrayLike,
    *,
    multiplier: float = 1.0,
    discount: ArrayLike = 1.0,
) -> FloatArray:
    """Profit of one long option on a future in the sixteen scenarios, shape (n_options, 16), currency.

    Black-76 on the moved future, the shocked volatility and `lookahead_days` less to expiry, less the value now.

    Raises
    ------
    InputError
        An option that has expired or has no volatility, a price that is not positive even after the moves down.

    Examples
    --------
    Of an option on a future at 100, deep in the money, the array is that of the future:

    >>> options_array(SpanScan(6.0), [100.0], [1.0], [0.1], [0.2], [1]).round(6)[0, [10, 12, 14]].tolist()
    [6.0, -6.0, 4.2]
    """
    columns = np.broadcast_arrays(*(np.atleast_1d(np.asarray(one, np.float64)) for one in
                                    (forward, strike, years, volatility, right, discount)))  # fmt: skip
    for name, column in zip(("forward", "strike", "years", "volatility"), columns, strict=False):
        require((column >= 0) & np.isfinite(column), column, "must be a number that is not negative", name)
    now, struck, left, vol, side, df = (column[:, None] for column in columns)
    moved = now + scan.moves
    require(np.logical_and.reduce(moved > 0, axis=1), columns[0], "moves to or below zero in a scenario", "forward")
    shift = scan.volatility_range * (vol if scan.volatility_relative else 1.0)
    shocked = np.maximum(vol + shift * SCAN_VOLATILITIES, 0.0)
    later = np.maximum(left - scan.lookahead_days / DAYS_A_YEAR, 0.0)
    then = black76_value(moved, struck, later, shocked, side, df)
    return np.asarray(multiplier * scan.weights * (then - black76_value(now, struck, left, vol, side, df)))
