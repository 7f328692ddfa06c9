"""Top-ups between venues along given paths, and what happens to the others when one venue fails."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray, IntArray, frozen, require, require_shape
from ..errors import InputError
from .venues import Links, VenuePaths

NEVER = -1
"""Instead of a step: it does not happen."""


@dataclass(frozen=True)
class TopUpPolicy:
    """When a venue asks for money and who may give it; base asset, shape (n_venues,).

    Parameters
    ----------
    trigger, target
        A venue whose headroom, with what is on its way to it, is seen below the trigger asks for what lifts it to the
        target.
    floor
        A venue gives only what it is seen to have above this.
    latency
        Steps from a price to its being seen.

    Raises
    ------
    InputError
        A target below the trigger, a negative floor or latency.
    """

    trigger: FloatArray
    target: FloatArray
    floor: FloatArray
    latency: int = 0

    def __post_init__(self) -> None:
        for name in ("trigger", "target", "floor"):
            object.__setattr__(self, name, frozen(np.atleast_1d(getattr(self, name)), np.float64))
            column = getattr(self, name)
            require((column >= 0) & np.isfinite(column), column, "must be a number not below 0", name)
            require_shape(column, self.trigger.shape, name)
        require(self.target >= self.trigger, self.target, "must not be below the trigger", "target")
        if self.latency < 0:
            raise InputError("must not be negative", column="latency", value=self.latency)


@dataclass(frozen=True)
class VenueFailure:
    """A venue stops at a step: its positions are gone, `lost` of the equity there is lost and the rest frozen."""

    venue: str
    step: int
    lost: float = 1.0


@dataclass(frozen=True)
class VenueRun:
    """What became of each path; shape (n_paths, n_venues) where not said, amounts in the base asset.

    Parameters
    ----------
    breach
        First step at which each venue was below its maintenance margin, NEVER (-1) if at none. A failed venue is not
        in breach.
    added
        Capital added to each venue less what was sent away plus what arrived, at the end.
    sent, bridge_cost, in_flight
        Sent in all, lost on the way, and sent but not arrived at the end (after the haircut), shape (n_paths,).
    failure_loss
        Equity lost with the venue that failed, shape (n_paths,).

    Notes
    -----
    Money is conserved: sum of `added` + `in_flight` + `bridge_cost` is the capital at the start, whatever fails; what
    a failure takes is counted in `failure_loss`, on top.
    """

    breach: IntArray
    added: FloatArray
    sent: FloatArray
    bridge_cost: FloatArray
    in_flight: FloatArray
    failure_loss: FloatArray

    @property
    def survived(self) -> BoolArray:
        """Paths on which no venue was in breach, shape (n_paths,)."""
        return np.asarray((self.breach == NEVER).all(axis=1))


def run_venues(
    paths: VenuePaths,
    links: Links,
    policy: TopUpPolicy,
    capital: FloatArray,
    failure: VenueFailure | None = None,
) -> VenueRun:
    """Follow every path step by step; the policy sees no future.

    At each step what is due arrives, a failure strikes, venues below their maintenance margin are in breach and out of
    it for good, then those below their trigger are topped up, in the order of venues, each from the others by rising
    delay, then haircut, then order. A breached or failed venue gives and asks nothing; what arrives there stays there.

    Parameters
    ----------
    paths, links, policy
        Headroom before transfers, how money moves and when.
    capital
        Base asset added to each venue at the start, shape (n_venues,).
    failure
        A venue that fails, or None.

    Raises
    ------
    InputError
        Shapes that disagree, a negative capital, an unknown venue, a step or share out of range.

    Examples
    --------
    The short loses 15 a step; the long's gains reach it one step late, which is enough once.

    >>> headroom = np.array([[[20.0, 20.0], [35.0, 5.0], [50.0, -10.0]]])
    >>> policy = TopUpPolicy([10.0, 10.0], [30.0, 30.0], [20.0, 20.0])
    >>> paths = VenuePaths(("long", "short"), headroom, headroom)
    >>> [run_venues(paths, Links.uniform(2, d), policy, np.zeros(2)).breach.tolist() for d in (1, 2)]
    [[[-1, -1]], [[-1, 2]]]
    """
    _check(paths, links, policy, capital)
    run = _Run(paths, links, policy, capital)
    failed = NEVER if failure is None else _failed(paths, failure)
    for step in range(paths.headroom.shape[1]):
        run.arrive(step)
        if failure is not None and step == failure.step:
            run.fail(failed, step, failure.lost)
        run.breach_at(step)
        run.top_up(step)
    return VenueRun(run.breach, run.cash, run.sent, run.bridge_cost, run.due.sum(axis=(1, 2)), run.failure_loss)


class _Run:
    """Where the money is while paths are followed; `due` is what arrives, (n_paths, steps ahead, n_venues)."""

    def __init__(self, paths: VenuePaths, links: Links, policy: TopUpPolicy, capital: FloatArray) -> None:
        self.paths, self.links, self.policy = paths, links, policy
        count, steps, venues = paths.headroom.shape
        self.cash = np.tile(np.asarray(capital, np.float64), (count, 1))
        self.longest = int(links.delay.max(initial=0))
        self.due = np.zeros((count, steps + self.longest + 1, venues))
        self.breach = np.full((count, venues), NEVER, np.int64)
        self.alive = np.ones((count, venues), np.bool_)
        self.sent, self.bridge_cost, self.failure_loss = np.zeros(count), np.zeros(count), np.zeros(count)
        order = [np.lexsort((np.arange(venues), links.haircut[:, v], links.delay[:, v])) for v in range(venues)]
        self.donors = [[int(u) for u in order[v] if u != v] for v in range(venues)]

    def arrive(self, step: int) -> None:
        self.cash += self.due[:, step]
        self.due[:, step] = 0.0

    def fail(self, venue: int, step: int, lost: float) -> None:
        held = self.paths.equity[:, step, venue] + self.cash[:, venue]
        self.failure_loss = np.where(self.alive[:, venue], lost * np.maximum(held, 0.0), 0.0)
        self.alive[:, venue] = False

    def breach_at(self, step: int) -> None:
        fresh = self.alive & (self.paths.headroom[:, step] + self.cash < 0)
        self.breach[fresh] = step
        self.alive &= ~fresh

    def top_up(self, step: int) -> None:
        seen = self.paths.headroom[:, max(step - self.policy.latency, 0)]
        for venue in range(self.cash.shape[1]):
            coming = self.due[:, step + 1 : step + 1 + self.longest, venue].sum(axis=1)
            level = seen[:, venue] + self.cash[:, venue] + coming
            asks = self.alive[:, venue] & (level < self.policy.trigger[venue])
            wanted = np.where(asks, self.policy.target[venue] - level, 0.0)
            for donor in self.donors[venue] if asks.any() else []:
                wanted = wanted - self.send(donor, venue, step, wanted, seen)

    def send(self, donor: int, venue: int, step: int, wanted: FloatArray, seen: FloatArray) -> FloatArray:
        """Send what the donor can of what is wanted; what will arrive."""
        spare = seen[:, donor] + self.cash[:, donor] - self.policy.floor[donor]
        spare = np.where(self.alive[:, donor], np.maximum(spare, 0.0), 0.0)
        kept = 1 - self.links.haircut[donor, venue]
        amount = np.minimum(wanted / kept, spare)
        arrives = amount * kept
        self.cash[:, donor] -= amount
        if self.links.delay[donor, venue]:
            self.due[:, step + self.links.delay[donor, venue], venue] += arrives
        else:
            self.cash[:, venue] += arrives
        self.sent += amount
        self.bridge_cost += amount - arrives
        return np.asarray(arrives)


@dataclass(frozen=True)
class Contagion:
    """The same paths without and with the failure of a venue.

    Parameters
    ----------
    without, with_failure
        The two runs.
    spread
        Where a venue other than the failed one is in breach because of it: it survives without, or longer; shape
        (n_paths, n_venues).
    """

    without: VenueRun
    with_failure: VenueRun
    spread: BoolArray

    @property
    def next_breach(self) -> IntArray:
        """The first venue that is in breach because of the failure, NEVER if none, shape (n_paths,)."""
        step = np.where(self.spread, self.with_failure.breach, np.iinfo(np.int64).max)
        return np.where(self.spread.any(axis=1), np.argmin(step, axis=1), NEVER)


def contagion(
    paths: VenuePaths, links: Links, policy: TopUpPolicy, capital: FloatArray, failure: VenueFailure
) -> Contagion:
    """Which venues are in breach because another one failed: the help that it would have sent is missing.

    Examples
    --------
    >>> headroom = np.array([[[20.0, 20.0], [35.0, 5.0], [50.0, -10.0]]])
    >>> policy = TopUpPolicy([10.0, 10.0], [30.0, 30.0], [20.0, 20.0])
    >>> paths = VenuePaths(("long", "short"), headroom, headroom)
    >>> found = contagion(paths, Links.uniform(2, 1), policy, np.zeros(2), VenueFailure("long", 1, lost=0.4))
    >>> found.spread.tolist(), found.next_breach.tolist(), found.with_failure.failure_loss.tolist()
    ([[False, True]], [1], [14.0])
    """
    without = run_venues(paths, links, policy, capital)
    hit = run_venues(paths, links, policy, capital, failure)
    sooner = (hit.breach != NEVER) & ((without.breach == NEVER) | (hit.breach < without.breach))
    return Contagion(without, hit, sooner)


def _check(paths: VenuePaths, links: Links, policy: TopUpPolicy, capital: FloatArray) -> None:
    venues = len(paths.venues)
    if len(links.delay) != venues:
        raise InputError(f"is over {len(links.delay)} venues, expected {venues}", column="links")
    if len(policy.trigger) != venues:
        raise InputError(f"is over {len(policy.trigger)} venues, expected {venues}", column="policy")
    added = np.asarray(capital, np.float64)
    require_shape(added, (venues,), "capital")
    require((added >= 0) & np.isfinite(added), added, "must be a number not below 0", "capital")


def _failed(paths: VenuePaths, failure: VenueFailure) -> int:
    if not 0 <= failure.step < paths.headroom.shape[1]:
        raise InputError("is not a step of the paths", column="failure step", value=failure.step)
    if not 0 <= failure.lost <= 1:
        raise InputError("must be in [0, 1]", column="failure lost", value=failure.lost)
    return paths.place_of(failure.venue)
