"""Fingerprint of books, markets and rules of any model: the same figures, the same hash, on every machine."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

import numpy as np
from numpy.typing import NDArray

WORDS = frozenset({"sources", "source", "note"})
"""Fields that say where figures come from and decide none."""


def content_hash(*values: object) -> str:
    """SHA-256 of all figures of frozen dataclasses, such as rules, books and markets; hexadecimal.

    Floats enter with all their bits, but NaN counts as one value whatever its bits; a whole float is the integer it
    equals, -0.0 itself. Mappings enter by the order of their keys, so that the order in which tables were read does not
    matter. Notes and sources are left out.

    Raises
    ------
    TypeError
        A field of a kind that is no figure's: not a number, text, date, array, mapping, sequence or dataclass.

    Examples
    --------
    >>> from .rulebook import HaircutSchedule
    >>> one, other = HaircutSchedule([0.0], [0.9]), HaircutSchedule([0.0], [0.91])
    >>> content_hash(one) == content_hash(HaircutSchedule([0], [0.9])), content_hash(one) == content_hash(other)
    (True, False)
    """
    digest = hashlib.sha256(b"margincast/content/2\0")
    for part in _parts(values):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    """What a value is, and its contents; what holds others says how many come."""
    if is_dataclass(value) and not isinstance(value, type):
        held = {one.name: getattr(value, one.name) for one in fields(value) if one.name not in WORDS}
        yield type(value).__name__.encode()
        yield from _parts(held)
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield f"sequence {len(value)}".encode()
        for one in value:
            yield from _parts(one)
    elif isinstance(value, np.ndarray | np.datetime64 | np.timedelta64):
        yield from _array_parts(np.asarray(value))
    else:
        yield _scalar(value)


def _array_parts(array: NDArray[np.generic]) -> Iterator[bytes]:
    kind = array.dtype.kind
    yield json.dumps([kind, list(array.shape)]).encode()
    if kind == "U":
        yield json.dumps(array.tolist()).encode()
    elif kind == "f":
        yield np.where(np.isnan(array), np.nan, array).astype("<f8").tobytes()
    elif kind in "mM":
        yield array.astype(f"{kind}8[ns]").astype("<i8").tobytes()
    else:
        yield array.astype("<i8").tobytes()


def _scalar(value: object) -> bytes:
    if isinstance(value, np.integer):
        value = int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        minus_zero = number == 0 and math.copysign(1.0, number) < 0
        value = int(number) if number.is_integer() and not minus_zero else {"float": number.hex()}
    if isinstance(value, dt.date):
        value = {"date": value.isoformat()}
    if value is None or isinstance(value, bool | int | str | dict):
        return json.dumps(value).encode()
    raise TypeError(f"cannot be part of a hash: {type(value).__name__}")
