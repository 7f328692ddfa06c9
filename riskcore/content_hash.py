"""Fingerprint of rules of any model: the same figures, the same hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass

import numpy as np

WORDS = frozenset({"sources", "source", "note"})
"""Fields that say where figures come from and decide none."""


def content_hash(rules: object) -> str:
    """SHA-256 of all figures of rules in a frozen dataclass; notes and sources are left out, floats enter bit by bit.

    Mappings enter by the order of their keys, so that the order in which tables were read does not matter.

    Raises
    ------
    TypeError
        A field of a kind that is no rule's: not a number, text, date, array, mapping, sequence or dataclass.

    Examples
    --------
    >>> from .rulebook import HaircutSchedule
    >>> one, other = HaircutSchedule([0.0], [0.9]), HaircutSchedule([0.0], [0.91])
    >>> content_hash(one) == content_hash(HaircutSchedule([0], [0.9])), content_hash(one) == content_hash(other)
    (True, False)
    """
    return hashlib.sha256(json.dumps(_content(rules), sort_keys=True).encode()).hexdigest()


def _content(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        told = {one.name: _content(getattr(value, one.name)) for one in fields(value) if one.name not in WORDS}
        return [type(value).__name__, told]
    if isinstance(value, np.ndarray):
        return [list(value.shape), [_content(one) for one in value.ravel().tolist()]]
    if isinstance(value, Mapping):
        return {str(key): _content(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_content(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value).hex()
    if value is None or isinstance(value, bool | int | str):
        return value
    if hasattr(value, "isoformat"):
        return str(value)
    raise TypeError(f"cannot be part of a hash of rules: {type(value).__name__}")
