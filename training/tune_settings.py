"""What is asked of a margin proposal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..models.margin_quantiles import require_level
from ..models.procyclicality import StepLimit
from ..riskcore.errors import InputError


@dataclass(frozen=True)
class TuneSettings:
    """What is asked of a proposal.

    Parameters
    ----------
    level
        Coverage of each side's loss over the margin period of risk.
    mpor_hours
        Margin period of risk; a whole number of bars.
    max_rise, max_fall
        Largest relative step of a rate within a day; max_rise None for no bound.
    prices
        Whether losses are those of the "mark", on which accounts are liquidated, or of the last price ("trade").
    notional
        Size whose liquidation is costed, quote units; None takes the largest position of the first tier.

    Raises
    ------
    InputError
        A value outside its range.

    Examples
    --------
    >>> TuneSettings(mpor_hours=8).bars(bar_hours=1.0), TuneSettings().limit
    (8, StepLimit(rise=0.1, fall=0.02, periods=3))
    """

    level: float = 0.99
    mpor_hours: float = 8.0
    max_rise: float | None = 0.1
    max_fall: float = 0.02
    prices: Literal["mark", "trade"] = "mark"
    notional: float | None = None

    def __post_init__(self) -> None:
        require_level(self.level)
        if not 0 < self.mpor_hours < np.inf:
            raise InputError("must be positive", column="mpor_hours", value=self.mpor_hours)
        if self.prices not in ("mark", "trade"):
            raise InputError('must be "mark" or "trade"', column="prices", value=self.prices)
        if self.notional is not None and not 0 < self.notional < np.inf:
            raise InputError("must be positive", column="notional", value=self.notional)
        if self.max_rise is not None:
            StepLimit(self.max_rise, self.max_fall)

    def bars(self, bar_hours: float) -> int:
        """The margin period of risk in bars of `bar_hours`; one that is no whole number of them raises InputError."""
        bars = self.mpor_hours / bar_hours
        if bars < 1 - 1e-9 or abs(bars - round(bars)) > 1e-9:
            problem = f"must be a whole number of bars of {bar_hours:g} h"
            raise InputError(problem, column="mpor_hours", value=self.mpor_hours)
        return round(bars)

    @property
    def period(self) -> np.timedelta64:
        """The margin period of risk."""
        return np.timedelta64(round(self.mpor_hours * 3600), "s")

    @property
    def periods_per_day(self) -> float:
        """Margin periods of risk in a day."""
        return 24 / self.mpor_hours

    @property
    def limit(self) -> StepLimit | None:
        """The bound on the steps of a path; None for no bound."""
        if self.max_rise is None:
            return None
        return StepLimit(self.max_rise, self.max_fall, max(1, round(self.periods_per_day)))
