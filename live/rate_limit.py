"""Patience with a venue: which failures are worth another try, how long to wait before it, and when to stop."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

TOLD_TO_WAIT = frozenset({418, 429})
"""Too many requests, and banned for a while after too many (Binance)."""
PASSING = frozenset({408, 425}) | TOLD_TO_WAIT


@dataclass(frozen=True)
class Patience:
    """How often a request is tried, and how long is waited in between.

    Parameters
    ----------
    tries
        Requests in all before a failure is final.
    first_wait
        Wait after the first failure, seconds; it doubles with each one.
    longest_wait
        Longest wait of our own choosing, seconds.
    longest_asked
        Longest wait that a venue may ask for, seconds; a longer one ends the run at once.

    Examples
    --------
    >>> patience = Patience(first_wait=1.0, longest_wait=5.0)
    >>> [patience.wait(failures) for failures in (1, 2, 3, 4)]
    [1.0, 2.0, 4.0, 5.0]
    """

    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 600.0

    def wait(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row where the venue does not say."""
        return min(self.first_wait * 2.0 ** (failures - 1), self.longest_wait)


def is_passing(status: int | None) -> bool:
    """Whether a failure with this HTTP status may pass: no reply at all, a rate limit, a fault of the server.

    A status of 200 counts as passing: the venue answered and the body could not be read.

    Examples
    --------
    >>> [is_passing(status) for status in (None, 200, 429, 503, 404, 451)]
    [True, True, True, True, False, False]
    """
    return status is None or status < 400 or status >= 500 or status in PASSING


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds a reply asks to wait, by its Retry-After header; None where it has none that can be read.

    Parameters
    ----------
    headers
        Of the reply; their names are compared without case.
    now
        Seconds since 1970, for a header that gives a date.

    Notes
    -----
    Both forms of RFC 9110, section 10.2.3: a number of seconds, or a date.

    Examples
    --------
    >>> retry_after({"retry-after": "7"}, 0.0), retry_after({}, 0.0), retry_after({"Retry-After": "soon"}, 0.0)
    (7.0, None, None)
    >>> retry_after({"Retry-After": "Thu, 01 Jan 1970 00:02:00 GMT"}, 100.0)
    20.0
    """
    asked = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if asked is None:
        return None
    text = asked.strip()
    if text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or dt.UTC).timestamp() - now)
