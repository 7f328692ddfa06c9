"""Horizons by name put in order of their length: JSON written with sorted keys has 24h before 4h."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .plan import UNITS


def by_length(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries, the shortest horizon first; a name that is no horizon comes last.

    Examples
    --------
    >>> list(by_length({"1d": 0, "1h": 0, "24h": 0, "4h": 0, "90m": 0, "all": 0}))
    ['1h', '90m', '4h', '1d', '24h', 'all']
    """
    return dict(sorted(parts.items(), key=lambda part: _minutes(part[0])))


def with_rising_horizons(figures: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An evaluation or a verdict with everything it has by horizon in order of length."""
    if figures is None:
        return None
    by_horizon = {name: figures[name] for name in ("horizons", "reliability") if name in figures}
    return {**figures, **{name: by_length(parts or {}) for name, parts in by_horizon.items()}}


def _minutes(name: str) -> float:
    match = re.fullmatch(r"(\d+)([mhd])", name)
    return int(match[1]) * float(UNITS[match[2]] / UNITS["m"]) if match else float("inf")
