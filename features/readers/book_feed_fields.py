"""Fields of a feed's messages: taken out with their kind checked, refused with their name and value."""

from __future__ import annotations

from typing import Any

from ...riskcore.errors import InputError

MILLISECOND = 1_000_000


def nanoseconds_of(data: dict[str, Any], name: str) -> int:
    """A time given in milliseconds since 1970, in nanoseconds.

    Examples
    --------
    >>> nanoseconds_of({"E": 1723161256299}, "E")
    1723161256299000000
    """
    return whole_number(data, name) * MILLISECOND


def whole_number(data: dict[str, Any], name: str) -> int:
    """A whole number, zero or more; anything else raises InputError."""
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise InputError("must be a whole number, zero or more", column=name, value=value)
    return value


def name_of(data: dict[str, Any], name: str) -> str:
    """A text that is not empty; anything else raises InputError."""
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise InputError("must be a name", column=name, value=value)
    return value


def amount(data: dict[str, Any], name: str) -> float:
    """A number, as venues send it: in quotes or bare; anything else raises InputError."""
    value = data.get(name)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise InputError("must be a number", column=name, value=value) from None
