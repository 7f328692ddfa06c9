"""What a step was made of, as a short text: a checkpoint of one step must not be taken up by another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

from .step import Step


def fingerprint(steps: Sequence[Step]) -> str:
    """SHA-256 over the steps' types, declarations and parameters, the same in every process.

    Parameters are the fields of a step that is a dataclass, as far as they are plain values, and what a step that has
    an attribute `fingerprint` says there.

    Examples
    --------
    >>> from ..clock import Clock
    >>> fingerprint([Clock()]) == fingerprint([Clock()]), len(fingerprint([Clock()]))
    (True, 64)
    """
    told = [(_plain(step), step.declarations, getattr(step, "fingerprint", "")) for step in steps]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _plain(value: object) -> object:
    """Plain values as they are; of anything else its type, since its text may differ between processes."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return [(_plain(key), _plain(one)) for key, one in value.items()]
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if is_dataclass(value):
        return [kind, [(one.name, _plain(getattr(value, one.name))) for one in fields(value)]]
    return kind
