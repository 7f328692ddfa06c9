"""One venue through ccxt: paced, patient with passing failures, and clear about final ones."""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..riskcore.errors import InputError, MargincastError
from .rate_limit import Patience, is_passing, retry_after

DERIVATIVES = frozenset({"linear", "inverse", "swap", "future", "hip3"})
KEY_VARIABLES = {
    "apiKey": "MARGINCAST_API_KEY",
    "secret": "MARGINCAST_API_SECRET",
    "password": "MARGINCAST_API_PASSWORD",
    "walletAddress": "MARGINCAST_WALLET_ADDRESS",
}
"""ccxt's names of what private endpoints need, and the environment variables it is read from."""

Sleep = Callable[[float], None]
Clock = Callable[[], float]


class VenueError(MargincastError):
    """A venue that could not be asked, refused, or kept failing; what was stored before stays whole."""


@dataclass(frozen=True)
class Reply:
    """The HTTP side of the latest reply: its status (None where no reply came) and headers."""

    status: int | None
    headers: Mapping[str, str]


class Exchange:
    """A ccxt exchange that waits as the venue asks and raises errors of one line; `with` closes its connection.

    Parameters
    ----------
    api
        The synchronous ccxt exchange. Its rate limiter, clock and reply hooks are set by this class.
    patience
        How often and how long a passing failure is tried again.
    sleep, clock
        Waiting, seconds, and the time, seconds since 1970; given for tests.

    Attributes
    ----------
    on_wait
        Told of each passing failure, with its reason and the wait before the next try.

    Notes
    -----
    ccxt returns the text of a reply it cannot read as JSON as if it were the reply; here that is a failure which is
    tried again. Pacing is that of ccxt's own rate limiter: each request waits until `rateLimit` times its cost has
    passed since the request before it.
    """

    def __init__(self, api: Any, patience: Patience, sleep: Sleep, clock: Clock) -> None:
        self.api, self.patience = api, patience
        self._sleep, self._clock = sleep, clock
        self.on_wait: Callable[[str], None] = lambda line: None
        self._errors = importlib.import_module("ccxt")
        self._reply, self._bytes = Reply(None, {}), hashlib.sha256()
        self._skew: float | None = None
        self._hook_up()

    @property
    def name(self) -> str:
        """Name of the venue in ccxt."""
        return str(self.api.id)

    def offers(self, feature: str) -> bool:
        """Whether the venue has an endpoint, by ccxt's name of it, such as fetchMarkOHLCV."""
        return bool(self.api.has.get(feature))

    def now(self) -> int:
        """The venue's time, milliseconds since 1970: asked once, then carried on by our clock."""
        return round(self._clock() * 1e3 + self.skew())

    def skew(self) -> float:
        """How far the venue's clock is ahead of ours, milliseconds; 0 where the venue does not tell its time."""
        if self._skew is None:
            asked = self.call("fetch_time") if self.offers("fetchTime") else None
            self._skew = 0.0 if asked is None else float(asked) - self._clock() * 1e3
        return self._skew

    def instant(self) -> str:
        """Our time, ISO 8601 in UTC, whole seconds."""
        return dt.datetime.fromtimestamp(int(self._clock()), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def taken(self) -> str:
        """Hash (SHA-256) of the bodies of all replies since this was asked last."""
        digest, self._bytes = self._bytes.hexdigest(), hashlib.sha256()
        return digest

    def require_keys(self) -> None:
        """Raise VenueError where keys that the venue's account endpoints need were not in the environment."""
        needed = [field for field, asked in self.api.requiredCredentials.items() if asked and field != "privateKey"]
        missing = [KEY_VARIABLES.get(field, field) for field in needed if not getattr(self.api, field, None)]
        if missing:
            said = f"{self.name} needs {', '.join(missing)} in the environment"
            raise VenueError(f"{said}; a key that may only read is enough")

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the ccxt exchange and return its result; passing failures are waited out.

        Raises
        ------
        VenueError
            The venue refused, kept failing for `patience.tries` requests, or asked for too long a wait.
        """
        for failures in range(1, self.patience.tries + 1):
            self._reply = Reply(None, {})
            try:
                return getattr(self.api, method)(*arguments)
            except self._errors.BaseError as failure:
                self._wait_or_raise(failure, failures, method)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as failure:
                # ccxt checks few of the shapes it reads
                raise VenueError(f"{self.name} {method}: the reply has an unknown layout: {failure!r}") from failure
        raise AssertionError("the last failure was raised")

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, *failure: object) -> None:
        self.api.session.close()

    def _hook_up(self) -> None:
        api, fetch, seen = self.api, self.api.fetch, self.api.on_rest_response

        def throttle(cost: float | None = None) -> None:
            passed = max(0.0, api.milliseconds() - api.lastRestRequestTimestamp)
            wait = api.rateLimit * (1.0 if cost is None else cost) - passed
            if wait > 0:
                self._sleep(wait / 1e3)

        def on_rest_response(code: int, reason: str, url: str, method: str, headers: Any, body: str, *more: Any) -> Any:
            self._reply = Reply(code, headers)
            self._bytes.update(body.encode())
            return seen(code, reason, url, method, headers, body, *more)

        def strict(url: str, *more: Any) -> Any:
            reply = fetch(url, *more)
            if not isinstance(reply, dict | list) and not _is_json(reply):
                raise self._errors.BadResponse(f"{self.name}: the reply is not JSON: {str(reply)[:60]!r}")
            return reply

        api.milliseconds = lambda: int(self._clock() * 1e3)
        api.throttle, api.on_rest_response, api.fetch = throttle, on_rest_response, strict

    def _wait_or_raise(self, failure: Exception, failures: int, method: str) -> None:
        said = f"{self.name} {method}: {_one_line(failure)}"
        limited = isinstance(failure, self._errors.RateLimitExceeded | self._errors.DDoSProtection)
        passing = isinstance(failure, self._errors.OperationFailed) and is_passing(self._reply.status)
        if not limited and not passing:
            raise VenueError(said) from failure
        if failures == self.patience.tries:
            raise VenueError(f"{said} (gave up after {failures} tries; what was stored before stays)") from failure
        asked = retry_after(self._reply.headers, self._clock())
        if asked is not None and asked > self.patience.longest_asked:
            raise VenueError(f"{said} (it asks to wait {asked:g} s: try again later)") from failure
        wait = self.patience.wait(failures) if asked is None else asked
        self.on_wait(f"{said}: asked again in {wait:g} s, try {failures + 1} of {self.patience.tries}")
        self._sleep(wait)


def open_exchange(
    name: str,
    *,
    base_url: str | None = None,
    private: bool = False,
    patience: Patience | None = None,
    sleep: Sleep = time.sleep,
    clock: Clock = time.time,
) -> Exchange:
    """A venue by ccxt's name, such as "binanceusdm", "bybit", "okx" or "hyperliquid".

    Parameters
    ----------
    name
        An exchange of ccxt.
    base_url
        Scheme, host and port that take the place of the venue's own, such as a recorded venue's on this machine.
    private
        Whether endpoints that want keys will be asked: takes those that the variables of `KEY_VARIABLES` hold.
    patience, sleep, clock
        See `Exchange`.

    Raises
    ------
    InputError
        ccxt knows no such venue.
    VenueError
        ccxt is not installed.
    """
    try:
        ccxt = importlib.import_module("ccxt")
    except ImportError:
        raise VenueError("ccxt is not installed: pip install 'margincast[live]'") from None
    if name not in ccxt.exchanges:
        raise InputError("is not a venue of ccxt (binanceusdm, bybit, okx, hyperliquid, ...)", value=name)
    api = getattr(ccxt, name)({"enableRateLimit": True})
    api.has["fetchCurrencies"] = False  # a private endpoint at several venues, and not needed here
    api.options["defaultType"] = "swap"
    _only_derivatives(api.options)
    if base_url is not None:
        api.urls["api"] = _moved(api.urls["api"], base_url.rstrip("/"))
    for field, variable in KEY_VARIABLES.items() if private else ():
        setattr(api, field, os.environ.get(variable) or None)
    return Exchange(api, patience or Patience(), sleep, clock)


def _only_derivatives(options: dict[str, Any]) -> None:
    """Have the lists of spot markets and options left unasked where ccxt lets us choose."""
    chosen = options.get("fetchMarkets")
    if isinstance(chosen, dict) and isinstance(chosen.get("types"), list | dict):
        types = chosen["types"]
        kept = [kind for kind in types if kind in DERIVATIVES]
        chosen["types"] = kept if isinstance(types, list) else {kind: types[kind] for kind in kept}


def _moved(urls: Any, base: str) -> Any:
    if isinstance(urls, dict):
        return {key: _moved(url, base) for key, url in urls.items()}
    return re.sub(r"^https?://[^/]+", base, urls) if isinstance(urls, str) else urls


def _is_json(text: Any) -> bool:
    """Whether a reply that ccxt left as text is JSON all the same: a bare word or number."""
    try:
        json.loads(text)
    except (TypeError, ValueError):
        return False
    return True


def _one_line(failure: Exception) -> str:
    text, reason = " ".join(str(failure).split()), _line_failure(failure)
    text = text if len(text) <= 200 else f"{text[:200]}..."
    return f"{text}: {reason}" if reason else text


def _line_failure(failure: BaseException | None) -> str | None:
    """What the system said of a connection that failed, such as "Connection refused"; ccxt leaves it to the causes."""
    while failure is not None:
        if isinstance(failure, TimeoutError):
            return "timed out"
        if isinstance(failure, OSError) and failure.strerror:
            return failure.strerror
        failure = failure.__cause__ or failure.__context__
    return None
