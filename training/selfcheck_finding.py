"""One published figure beside ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One published figure and ours."""

    what: str
    source: str
    published: float
    ours: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether ours is within the tolerance of the published figure; NaN agrees with nothing."""
        return abs(self.ours - self.published) <= self.tolerance


def compared(
    what: str, source: str, published: Mapping[str, float], ours: Callable[[str], float], tolerance: float
) -> list[Finding]:
    """A finding for each entry of a published table; `what` names it, with {} where the entry's label goes.

    Examples
    --------
    >>> found = compared("square of {}", "tables", {"2": 4.0, "3": 9.0}, lambda label: float(label) ** 2, 0.0)
    >>> [(one.what, one.agrees) for one in found]
    [('square of 2', True), ('square of 3', True)]
    """
    return [
        Finding(what.format(label), source, figure, float(ours(label)), tolerance)
        for label, figure in published.items()
    ]
