"""Where rows come from: venue, file or endpoint, the bytes' hash, when they were fetched, what was cleaned."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...riskcore.errors import InputError

SHA256 = re.compile(r"[0-9a-f]{64}")
INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z")


@dataclass(frozen=True)
class Source:
    """Provenance of one piece of a table: one archive file, one reply of an endpoint, one recorded stretch of a feed.

    Parameters
    ----------
    venue
        Who published the data, e.g. "binance".
    origin
        Name of the archive file, or the endpoint with its parameters.
    sha256
        Of the bytes as they were received, 64 hexadecimal digits.
    retrieved
        When they were received: ISO 8601 in UTC, ending in Z. The data were not knowable to us before.
    rows
        Rows read from the bytes, before any cleaning.
    url
        Where they can be had again, where that is known.
    cleaning
        What was done to the rows, one sentence each, e.g. "timestamps in microseconds, read as such".

    Raises
    ------
    InputError
        An empty venue or origin, a hash or an instant that is not written as above, fewer than no rows.

    Examples
    --------
    >>> source = source_of(b"abc", venue="binance", origin="a.csv", retrieved="2024-03-01T00:00:00Z", rows=1)
    >>> source.sha256[:12], source.cleaned("1 exact duplicate row dropped").cleaning
    ('ba7816bf8f01', ('1 exact duplicate row dropped',))
    """

    venue: str
    origin: str
    sha256: str
    retrieved: str
    rows: int
    url: str | None = None
    cleaning: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "cleaning", tuple(self.cleaning))
        checks = {
            "venue": (bool(self.venue), "must not be empty"),
            "origin": (bool(self.origin), "must not be empty"),
            "sha256": (bool(SHA256.fullmatch(self.sha256)), "must be 64 hexadecimal digits"),
            "retrieved": (bool(INSTANT.fullmatch(self.retrieved)), "must be an ISO 8601 instant in UTC ending in Z"),
            "rows": (self.rows >= 0, "must not be negative"),
        }
        for column, (holds, problem) in checks.items():
            if not holds:
                raise InputError(f"of a source {problem}", column=column, value=getattr(self, column))

    def cleaned(self, *notes: str) -> Source:
        """The same source with more said about what was cleaned."""
        return replace(self, cleaning=(*self.cleaning, *notes))

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return asdict(self) | {"cleaning": list(self.cleaning)}


def source_of(
    content: bytes,
    *,
    venue: str,
    origin: str,
    retrieved: str,
    rows: int,
    url: str | None = None,
    cleaning: tuple[str, ...] = (),
) -> Source:
    """The source of rows read from `content`; see `Source`."""
    return Source(venue, origin, hashlib.sha256(content).hexdigest(), retrieved, rows, url, cleaning)


def source_from_dict(plain: Mapping[str, Any], file: str) -> Source:
    """Read a source back from the values of `Source.as_dict`; InputError naming `file` where they are not such."""
    try:
        return Source(**plain)
    except TypeError as failure:
        raise InputError(f"does not hold a source: {failure}", file=file, value=json.dumps(plain)) from None
    except InputError as failure:
        raise InputError(failure.problem, file=file, column=failure.column, value=failure.value) from None
