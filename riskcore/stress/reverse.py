"""Reverse stress: the smallest shock of a kind that the insurance funds do not survive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, frozen
from ..errors import InputError
from .path import StressPath
from .run import StressOutcome, StressSetting, run_stress


@dataclass(frozen=True)
class ReverseStress:
    """How large a stress must be before the funds are not enough.

    Parameters
    ----------
    size
        Smallest multiple of the path's log moves found at which the funds are not enough; NaN if they are at all
        tried.
    held_at
        Largest multiple below it that was seen to be survived.
    outcome
        What happens at `size`; at the largest tried if that is NaN.
    tried, held
        Every multiple looked at, rising, and whether the funds were enough; shape (n,).
    """

    size: float
    held_at: float
    outcome: StressOutcome
    tried: FloatArray
    held: BoolArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "tried", frozen(self.tried, np.float64))
        object.__setattr__(self, "held", frozen(self.held, np.bool_))


def reverse_stress(
    setting: StressSetting, path: StressPath, *, largest: float = 3.0, points: int = 12, within: float = 0.01
) -> ReverseStress:
    """Find the smallest multiple of a path that drains the funds.

    Multiples are looked at from small to large, `points` of them up to `largest`, and the first step at which the funds
    are not enough is halved until it is narrower than `within`. Losses need not rise with the size of a shock (a larger
    one may liquidate the other side first), so a smaller multiple between two points that held may exist.

    Raises
    ------
    InputError
        A range that is empty, funds that are not enough without any shock.
    """
    if not (0 < largest < np.inf and points >= 1 and within > 0):
        raise InputError("needs a positive range, a point and a width", column="largest", value=largest)
    seen = {0.0: run_stress(setting, path.scaled(0.0))}
    if not seen[0.0].fund_held:
        raise InputError("the funds are not enough without any shock", column="funds", value=seen[0.0].fund_before)
    low, high = 0.0, np.nan
    for size in largest * np.arange(1, points + 1) / points:
        seen[float(size)] = run_stress(setting, path.scaled(float(size)))
        if not seen[float(size)].fund_held:
            high = float(size)
            break
        low = float(size)
    while high - low > within:
        middle = 0.5 * (low + high)
        seen[middle] = run_stress(setting, path.scaled(middle))
        low, high = (middle, high) if seen[middle].fund_held else (low, middle)
    tried = sorted(seen)
    return ReverseStress(
        size=high,
        held_at=low,
        outcome=seen[low if np.isnan(high) else high],
        tried=np.array(tried),
        held=np.array([seen[size].fund_held for size in tried]),
    )
