"""The variance risk premium: what options charge for variance over what bars have realised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray
from ..engine.bars import BarRow
from ..engine.step import Declaration, State

SOURCE = "T. Bollerslev, G. Tauchen and H. Zhou, Expected stock returns and variance risk premia, RFS 22 (2009)"
YEAR_HOURS = 365.0 * 24.0


@dataclass(frozen=True)
class VariancePremium:
    """Implied 30-day variance less the variance realised over the trailing days, per year; a `Step` over bars.

    The realised variance stands for the expected one, which makes the premium known at once (Bollerslev, Tauchen and
    Zhou 2009); it is the sum of squared log returns, mean zero.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    days
        Length of the trailing window.
    implied
        Column of the bars with the implied volatility (per year, fraction), joined as of the bars' closes.

    Examples
    --------
    Two bars of half a day: (0.01^2 + 0.02^2) x 365 = 0.1825, and 0.5^2 - 0.1825 = 0.0675.

    >>> step, half = VariancePremium(12.0, 1, "v"), np.timedelta64(12, "h")
    >>> state, opened = step.start(("BTC",)), np.datetime64("2024-01-01")
    >>> for close in (100.0, 100.0 * np.exp(0.01), 100.0 * np.exp(-0.01)):
    ...     step.update(state, BarRow(opened, opened + half, {"close": np.array([close]), "v": np.array([0.5])}))
    >>> step.read(state).round(6).tolist()
    [[0.1825, 0.0675]]
    """

    bar_hours: float
    days: int = 30
    implied: str = "smile_variance_index_30d"

    @property
    def bars(self) -> int:
        """Bars of the window."""
        return round(self.days * 24.0 / self.bar_hours)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """Realised variance and premium."""
        hours = self.days * 24.0
        realised = "NaN until the window has no missing close"
        return (
            Declaration(
                f"realised_variance_{self.days}d",
                "Sum of squared log returns of the mark over the trailing window, per year.",
                "variance per year",
                ("close",),
                hours,
                realised,
            ),
            Declaration(
                f"variance_premium_{self.days}d",
                "Implied variance less the realised variance of the trailing window.",
                "variance per year",
                ("close", self.implied),
                hours,
                f"{realised}, or while the implied volatility is NaN",
                SOURCE,
            ),
        )

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: squares of the window, the close before, the implied volatility, a count."""
        n = len(symbols)
        return {
            "squares": np.full((self.bars, n), np.nan),
            "close": np.full(n, np.nan),
            "implied": np.full(n, np.nan),
            "seen": np.zeros(1, np.int64),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar."""
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.log(row["close"] / state["close"])
        state["squares"][int(state["seen"][0]) % self.bars] = moved * moved
        state["close"][:] = row["close"]
        state["implied"][:] = row[self.implied]
        state["seen"][0] += 1

    def read(self, state: State) -> FloatArray:
        """Realised variance and premium, shape (n_symbols, 2)."""
        realised = state["squares"].sum(axis=0) * (YEAR_HOURS / (self.bars * self.bar_hours))
        return np.stack((realised, state["implied"] ** 2 - realised), axis=1)
