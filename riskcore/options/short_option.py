"""What one short option must be backed by when nothing offsets it: premium plus a part of the underlying."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import FloatArray, require
from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import Section

MODEL = "short_option"
SETTLEMENTS = ("quote", "coin")
RATES = ("of_spot", "least_of_spot", "least_of_strike", "least_of_premium")


@dataclass(frozen=True)
class ShortRate:
    """Requirement above the premium: max(of_spot * S - out of the money, the greatest of the leasts).

    Parameters
    ----------
    of_spot
        Fraction of the spot S, from which the amount out of the money is taken off.
    least_of_spot, least_of_strike, least_of_premium
        Fractions of spot, strike and premium below which the part above the premium never falls.

    Examples
    --------
    >>> round(float(ShortRate(0.2, least_of_spot=0.1).above_premium(180.0, 192.0, 14.0, 12.0)), 6)
    24.0
    """

    of_spot: float
    least_of_spot: float = 0.0
    least_of_strike: float = 0.0
    least_of_premium: float = 0.0

    def __post_init__(self) -> None:
        for name in RATES:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError("must be in [0, 1]", column=name, value=getattr(self, name))

    def above_premium(self, spot: ArrayLike, strike: ArrayLike, premium: ArrayLike, out: ArrayLike) -> FloatArray:
        """The part above the premium, in the unit of the spot; `out` is the amount out of the money, 0 when in it."""
        base = np.multiply(self.of_spot, spot) - out
        leasts = (self.least_of_spot, spot), (self.least_of_strike, strike), (self.least_of_premium, premium)
        for fraction, amount in leasts:
            base = np.maximum(base, np.multiply(fraction, amount))
        return np.asarray(base, dtype=np.float64)


@dataclass(frozen=True)
class ShortOptionRules:
    """Initial and maintenance requirement of short calls and puts of one class at one venue.

    Parameters
    ----------
    venue, effective_from
        Whose rules they are, and since when.
    settlement
        "quote": premiums and requirements are in the unit of the spot; "coin": both are in units of the underlying.
    call_initial, call_maintenance, put_initial, put_maintenance
        Rates above the premium; the initial requirement is never below maintenance.

    Examples
    --------
    >>> rules = load_short_option_rules("deribit_options")
    >>> round(float(rules.initial(1, strike=66000.0, spot=60000.0, premium=0.02)), 6)  # in BTC
    0.12
    >>> rules = load_short_option_rules("regt_options", "index")
    >>> float(rules.maintenance(1, strike=3800.0, spot=4550.0, premium=750.0) * 100)
    143250.0
    """

    venue: str
    effective_from: dt.date
    settlement: str
    call_initial: ShortRate
    call_maintenance: ShortRate
    put_initial: ShortRate
    put_maintenance: ShortRate

    def __post_init__(self) -> None:
        if self.settlement not in SETTLEMENTS:
            raise InputError(f"must be one of {', '.join(SETTLEMENTS)}", column="settlement", value=self.settlement)

    def initial(self, right: ArrayLike, strike: ArrayLike, spot: ArrayLike, premium: ArrayLike) -> FloatArray:
        """Initial requirement of one short unit of the underlying; arguments and errors as for `maintenance`."""
        at_mark = self._requirement(self.call_initial, self.put_initial, right, strike, spot, premium)
        return np.maximum(at_mark, self.maintenance(right, strike, spot, premium))

    def maintenance(self, right: ArrayLike, strike: ArrayLike, spot: ArrayLike, premium: ArrayLike) -> FloatArray:
        """Maintenance requirement of one short unit of the underlying.

        Parameters
        ----------
        right
            CALL (1) or PUT (-1).
        strike, spot
            Positive, in the quote currency.
        premium
            Price of the option now, 0 or above; in coin where that is the settlement.

        Raises
        ------
        InputError
            A right, strike, spot or premium that is none, with its row.
        """
        return self._requirement(self.call_maintenance, self.put_maintenance, right, strike, spot, premium)

    def position(
        self, quantity: ArrayLike, right: ArrayLike, strike: ArrayLike, spot: ArrayLike, premium: ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Initial and maintenance requirement of signed quantities of the underlying; long ones need none.

        A long option is paid for in full when it is bought, so nothing more is asked for it.

        Examples
        --------
        >>> rules = load_short_option_rules("aevo_options")
        >>> [float(x) for x in rules.position(-2.0, -1, 1800.0, 2000.0, 25.0)]
        [450.0, 450.0]
        """
        short = np.maximum(np.negative(np.asarray(quantity, np.float64)), 0.0)
        return short * self.initial(right, strike, spot, premium), short * self.maintenance(
            right, strike, spot, premium
        )

    def _requirement(
        self, call: ShortRate, put: ShortRate, right: ArrayLike, strike: ArrayLike, spot: ArrayLike, premium: ArrayLike
    ) -> FloatArray:
        side, k, s, paid = checked(right, strike, spot, premium)
        unit = s if self.settlement == "coin" else np.ones_like(s)
        amounts = s / unit, k / unit, paid, np.maximum(side * (k - s), 0.0) / unit
        above = np.where(side > 0, call.above_premium(*amounts), put.above_premium(*amounts))
        return np.asarray(paid + above, dtype=np.float64)


def checked(
    right: ArrayLike, strike: ArrayLike, spot: ArrayLike, premium: ArrayLike
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """The columns as floats of one shape; a row that is no option raises InputError."""
    columns = np.broadcast_arrays(right, strike, spot, premium)
    side, k, s, paid = (np.asarray(column, np.float64) for column in columns)
    require(np.abs(side.ravel()) == 1, side.ravel(), "must be 1 (call) or -1 (put)", "right")
    for name, column in (("strike", k.ravel()), ("spot", s.ravel())):
        require((column > 0) & np.isfinite(column), column, "must be positive", name)
    require((paid.ravel() >= 0) & np.isfinite(paid.ravel()), paid.ravel(), "must not be negative", "premium")
    return side, k, s, paid


def load_short_option_rules(venue: str, underlying: str = "any", at: dt.date | None = None) -> ShortOptionRules:
    """Rules of a class of options that come with margincast, in force on a day (UTC); None takes the newest."""
    return read_short_option_rules(rulebook_in_force(venue, at, MODEL).path, underlying)


def read_short_option_rules(path: str | Path, underlying: str = "any") -> ShortOptionRules:
    """Rules of one class of options from a dated TOML file of the model "short_option".

    Parameters
    ----------
    path
        The file: `settlement`, and under `[class.NAME]` for each class of underlying the tables `call_initial`,
        `call_maintenance`, `put_initial` and `put_maintenance` with the rates of `ShortRate`, a source and its date.
    underlying
        Name of the class; "any" in files that make no difference.

    Raises
    ------
    InputError
        A file that cannot be read, another model, an unknown key or class, a rate that is missing or out of range,
        a missing source or date.
    """
    top, venue, effective_from = read_dated(path, MODEL, "settlement", "class")
    classes = top.part("class")
    if underlying not in classes.values:
        raise classes.error(f"no such class; there are {', '.join(sorted(classes.values))}", "", underlying)
    found = {name: read_class(classes.part(name)) for name in sorted(classes.values)}
    settlement = top.get("settlement", str)
    if settlement not in SETTLEMENTS:
        raise top.error(f"must be one of {', '.join(SETTLEMENTS)}", "settlement", settlement)
    return ShortOptionRules(venue, effective_from, settlement, *found[underlying])


def read_class(section: Section) -> tuple[ShortRate, ShortRate, ShortRate, ShortRate]:
    """The four rates of a class, each of which says its source."""
    names = ("call_initial", "call_maintenance", "put_initial", "put_maintenance")
    section.allow(*names)
    call_initial, call_maintenance, put_initial, put_maintenance = (read_rate(section, name) for name in names)
    return call_initial, call_maintenance, put_initial, put_maintenance


def read_rate(section: Section, name: str) -> ShortRate:
    """One table of rates; the leasts may be left out."""
    rate = section.sourced(name, *RATES)
    leasts = {key: rate.number(key, 0, 1) for key in RATES[1:] if key in rate.values}
    return ShortRate(rate.number("of_spot", 0, 1), **leasts)
