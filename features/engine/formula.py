"""A feature written as a formula: its name, its expression, and what it says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from ...riskcore.arrays import FloatArray
from .expression import as_expression, columns_of, lookback, walk
from .step import Declaration

WHOLE_WINDOW = "NaN while a bar of the window is missing"
SINCE_GAP = "starts anew after a missing bar; NaN until a half-life of bars has been seen since"
ALIVE = "NaN where the bar is missing"
HELD = "the last known value is held for up to the window, then NaN"


@dataclass(frozen=True)
class Formula:
    """One feature as an expression over bar columns.

    Parameters
    ----------
    name
        Column name.
    expression
        Made of `column`, NumPy functions and `operations`; declared an array, see `column`.
    summary, unit, source
        As in `Declaration`. Inputs, lookback and the missing-data rule follow from the expression.
    """

    name: str
    expression: FloatArray
    summary: str
    unit: str
    source: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns the formula reads."""
        return columns_of(as_expression(self.expression))

    def declaration(self, bar_hours: float) -> Declaration:
        """What the formula says of itself for bars of this length."""
        bars = lookback(as_expression(self.expression))
        return Declaration(
            self.name,
            self.summary,
            self.unit,
            self.inputs,
            bars * bar_hours if bars > 1.0 else 0.0,
            self.missing,
            self.source,
        )

    @property
    def missing(self) -> str:
        """The missing-data rule that follows from the operations used."""
        used = {part.operation for part in walk(as_expression(self.expression))}
        rules = [WHOLE_WINDOW] if used & {"sum", "max", "min", "lag"} else []
        rules += [SINCE_GAP] if "ewma" in used else []
        rules += [HELD] if "last_known" in used else []
        return "; ".join(rules) or ALIVE
