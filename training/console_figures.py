"""How figures stand in what the verbs print."""

from __future__ import annotations

UNKNOWN = "—"


def signed(figure: float | None, decimals: int) -> str:
    """A figure with its sign; a dash where it is not known.

    Examples
    --------
    >>> signed(7.125, 1), signed(-0.5, 0), signed(float("nan"), 1)
    ('+7.1', '-0', '—')
    """
    return UNKNOWN if figure is None or figure != figure else f"{figure:+.{decimals}f}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A skill and its interval in percent.

    Examples
    --------
    >>> interval(0.0712, 0.05, 0.09), interval(-0.167, None, float("nan"))
    ('+7.1 [+5.0 +9.0]', '-16.7 [— —]')
    """
    shown, *ends = (None if part is None else 100 * part for part in (value, low, high))
    return f"{signed(shown, 1)} [{signed(ends[0], 1)} {signed(ends[1], 1)}]"
