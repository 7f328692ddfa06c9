"""One portfolio over several venues or chains: what each holds above its margin, and how money moves between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..accounts import AccountBook
from ..arrays import FloatArray, IntArray, frozen, positions_of, require, require_shape, require_unique
from ..compiled import compile_book, compile_rules
from ..errors import InputError
from ..margin import live_margin, require_prices
from ..margin_layout import lay_out
from ..market import MarketState
from ..rulebook import RuleBook


@dataclass(frozen=True)
class VenueLeg:
    """The part of a portfolio that is at one venue: one margin pool under that venue's rules.

    Raises
    ------
    InputError
        A book that is not one pool.
    """

    name: str
    book: AccountBook
    rules: RuleBook

    def __post_init__(self) -> None:
        if len(self.book) != 1:
            raise InputError("needs a book of one pool", column=self.name, value=len(self.book))


@dataclass(frozen=True)
class VenuePaths:
    """What each venue leg is worth along given price paths, before any transfer; base asset.

    Parameters
    ----------
    venues
        Names, unique.
    headroom, equity
        Equity above maintenance margin, and equity; shape (n_paths, n_steps, n_venues).

    Raises
    ------
    InputError
        A shape that disagrees, a name twice, a value that is not finite.
    """

    venues: tuple[str, ...]
    headroom: FloatArray
    equity: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "venues", tuple(str(v) for v in self.venues))
        require_unique(self.venues, "venues")
        for name in ("headroom", "equity"):
            values = frozen(getattr(self, name), np.float64)
            object.__setattr__(self, name, values)
            if values.ndim != 3 or values.shape[2] != len(self.venues) or 0 in values.shape:
                problem = f"has shape {values.shape}, expected (n_paths, n_steps, {len(self.venues)})"
                raise InputError(problem, column=name)
            if not np.isfinite(values).all():
                path, step, venue = (int(k) for k in np.argwhere(~np.isfinite(values))[0])
                column = f"{name} of {self.venues[venue]}, step {step}"
                raise InputError(
                    "must be a finite number", row=path, column=column, value=float(values[path, step, venue])
                )
        require_shape(self.equity, self.headroom.shape, "equity")

    @property
    def unified(self) -> FloatArray:
        """Headroom if all venues were one pool without delays: the sum, shape (n_paths, n_steps)."""
        return np.asarray(self.headroom.sum(axis=2))

    def place_of(self, venue: str) -> int:
        """Position of a venue; an unknown one raises InputError."""
        return int(positions_of(self.venues, [venue], "venue")[0])


def venue_paths(legs: Sequence[VenueLeg], markets: Sequence[Sequence[Sequence[MarketState]]]) -> VenuePaths:
    """Headroom and equity of every leg along every path.

    Parameters
    ----------
    legs
        The legs; their rule-books and instruments may differ, their base assets may not.
    markets
        markets[path][step][venue]: prices as that venue has them then (its own marks, as late as they are).

    Raises
    ------
    InputError
        What `evaluate` refuses, legs of different base assets, paths of different lengths.

    Examples
    --------
    A long at one venue and a short at the other: what one loses the other wins, but at another place.

    >>> import datetime as dt
    >>> from ..instruments import InstrumentTable
    >>> from ..rulebook import RateSchedule
    >>> table = InstrumentTable.linear_perpetuals(["BTC"])
    >>> rules = RuleBook("example", dt.date(2024, 1, 1), {"BTC": RateSchedule.marginal([0.0], [0.1], [10.0])})
    >>> def leg(name, size):
    ...     return VenueLeg(name, AccountBook(table, ["a"], [name], [""], [0, 1], [0], [30.0],
    ...         [0, 1], [0], [size], [100.0], [np.nan]), rules)
    >>> path = [[MarketState(np.datetime64("2024-01-01"), [mark], [1.0])] * 2 for mark in (100.0, 130.0)]
    >>> found = venue_paths([leg("x", 1.0), leg("y", -1.0)], [path])
    >>> found.headroom[0].tolist(), found.unified[0].tolist()
    ([[20.0, 20.0], [47.0, -13.0]], [40.0, 34.0])
    """
    bases = {leg.book.instruments.base for leg in legs}
    if len(bases) != 1:
        raise InputError("legs need one base asset", column="legs", value=", ".join(sorted(bases)))
    steps = {len(path) for path in markets}
    if len(steps) != 1:
        raise InputError("paths need one length", column="markets", value=sorted(steps))
    shape = (len(markets), steps.pop(), len(legs))
    headroom, equity = np.empty(shape), np.empty(shape)
    for venue, leg in enumerate(legs):
        layout = lay_out(compile_book(leg.book), compile_rules(leg.rules, leg.book.instruments, leg.book))
        for path, states in enumerate(markets):
            for step, at in enumerate(states):
                require_prices(leg.book, at[venue])
                held, needed = live_margin(layout, at[venue])
                equity[path, step, venue], headroom[path, step, venue] = held[0], held[0] - needed[0]
    return VenuePaths(tuple(leg.name for leg in legs), headroom, equity)


@dataclass(frozen=True)
class Links:
    """How money gets from venue to venue; shape (n_venues, n_venues), from the row to the column.

    Parameters
    ----------
    delay
        Steps until what is sent can be used; 0 is at once.
    haircut
        Share lost on the way, in [0, 1).

    Raises
    ------
    InputError
        Matrices that are not square and alike, a negative delay, a haircut out of range.
    """

    delay: IntArray
    haircut: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", frozen(self.delay, np.int64))
        object.__setattr__(self, "haircut", frozen(self.haircut, np.float64))
        n = len(self.delay)
        for name in ("delay", "haircut"):
            require_shape(getattr(self, name), (n, n), name)
        require(self.delay >= 0, self.delay, "must not be negative", "delay")
        require((self.haircut >= 0) & (self.haircut < 1), self.haircut, "must be in [0, 1)", "haircut")

    @classmethod
    def uniform(cls, venues: int, delay: int, haircut: float = 0.0) -> Links:
        """The same delay and haircut between any two venues."""
        return cls(np.full((venues, venues), delay), np.full((venues, venues), haircut))


def steps_to_spare(headroom: FloatArray, trigger: float, delay: int, latency: int = 0) -> FloatArray:
    """Steps between the arrival of a top-up and when it is needed, for each path; negative: it comes too late.

    Parameters
    ----------
    headroom
        Of one venue, base asset, shape (n_paths, n_steps).
    trigger
        The top-up is sent at the first step at which headroom is seen below this.
    delay, latency
        Steps from sending to arrival, and from a price to its being seen.

    Returns
    -------
    FloatArray
        inf where the venue survives without it.

    Examples
    --------
    >>> path = np.array([[50.0, 20.0, 5.0, -1.0, -9.0]])
    >>> steps_to_spare(path, 30.0, 1).tolist(), steps_to_spare(path, 30.0, 2, latency=1).tolist()
    ([1.0], [-1.0])
    """
    if trigger < 0 or delay < 0 or latency < 0:
        raise InputError("must not be negative", column="trigger, delay, latency", value=(trigger, delay, latency))
    low, breached = headroom < trigger, headroom < 0
    arrival = np.argmax(low, axis=1) + latency + delay
    need = np.where(breached.any(axis=1), np.argmax(breached, axis=1).astype(np.float64), np.inf)
    return np.asarray(need - arrival)
