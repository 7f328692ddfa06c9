"""Rates of strategy-based option margin: shares long and short, and what a hedge leaves of them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from ..dated_files import read_dated, rulebook_in_force
from ..errors import InputError
from ..toml_section import located
from .short_option import ShortOptionRules, load_short_option_rules

MODEL = "option_strategies"
INITIAL, MAINTENANCE = "initial", "maintenance"
SHORT_KEYS = ("initial", "maintenance", "least_per_share", "cheap_below", "cheap_rate", "cheap_least_per_share")


@dataclass(frozen=True)
class StrategyRules:
    """Regulation T and FINRA Rule 4210 as figures; the formulas are in `strategies`.

    Parameters
    ----------
    venue, effective_from
        Whose rules they are, and since when.
    naked
        Short options that nothing offsets.
    long_initial, long_maintenance
        Fractions of the value of shares held.
    short_initial, short_maintenance
        Fractions of the value of shares sold short.
    short_least, cheap_below, cheap_rate, cheap_least
        The maintenance of a short share is never below `short_least` money; of one that trades below `cheap_below` it
        is `cheap_rate` of its value, and never below `cheap_least` money.
    hedge_of_strike
        Fraction of the exercise price that stays at risk in a hedged share.
    collar_of_strike
        Fraction of the call's exercise price above which a collar need not go.

    Examples
    --------
    >>> rules = load_strategy_rules()
    >>> rules.long_share(40.0, "initial"), [rules.short_share(spot, "maintenance") for spot in (40.0, 10.0, 2.0)]
    (20.0, [12.0, 5.0, 2.5])
    """

    venue: str
    effective_from: dt.date
    naked: ShortOptionRules
    long_initial: float
    long_maintenance: float
    short_initial: float
    short_maintenance: float
    short_least: float
    cheap_below: float
    cheap_rate: float
    cheap_least: float
    hedge_of_strike: float
    collar_of_strike: float

    def __post_init__(self) -> None:
        pairs = (("long_initial", "long_maintenance"), ("short_initial", "short_maintenance"))
        for initial, maintenance in pairs:
            if not 0 <= getattr(self, maintenance) <= getattr(self, initial) <= 1:
                raise InputError(f"must be in [{maintenance}, 1]", column=initial, value=getattr(self, initial))

    def long_share(self, spot: float, phase: str) -> float:
        """Requirement of a share held, "initial" or "maintenance"."""
        return spot * (self.long_initial if phase == INITIAL else self.long_maintenance)

    def short_share(self, spot: float, phase: str) -> float:
        """Requirement of a share sold short beyond its proceeds; the initial one is never below maintenance."""
        cheap = spot < self.cheap_below
        rate, least = (self.cheap_rate, self.cheap_least) if cheap else (self.short_maintenance, self.short_least)
        kept = max(rate * spot, least)
        return max(self.short_initial * spot, kept) if phase == INITIAL else kept


def load_strategy_rules(underlying: str = "equity", at: dt.date | None = None) -> StrategyRules:
    """Regulation T and FINRA Rule 4210 in force on a day (UTC), for options on an "equity" or a broad "index".

    Examples
    --------
    >>> load_strategy_rules("index").naked.call_initial.of_spot
    0.15
    """
    return read_strategy_rules(rulebook_in_force("regt_options_strategies", at).path, underlying, at)


def read_strategy_rules(path: str | Path, underlying: str = "equity", at: dt.date | None = None) -> StrategyRules:
    """Rules of a dated TOML file of the model "option_strategies"; `naked` names the venue of its short options.

    Raises
    ------
    InputError
        A file that cannot be read, another model, an unknown key or class, a figure that is missing or out of range,
        a missing source or date.
    """
    top, venue, effective_from = read_dated(path, MODEL, "naked", "long_shares", "short_shares", "hedged")
    naked = load_short_option_rules(top.get("naked", str), underlying, at)
    held = top.sourced("long_shares", "initial", "maintenance")
    sold = top.sourced("short_shares", *SHORT_KEYS)
    hedged = top.sourced("hedged", "of_strike", "collar_of_strike")
    with located(top):
        return StrategyRules(
            venue,
            effective_from,
            naked,
            *(held.number(key, 0, 1) for key in ("initial", "maintenance")),
            *(sold.number(key, 0, 1) for key in ("initial", "maintenance")),
            *(sold.number(key, 0) for key in SHORT_KEYS[2:]),
            *(hedged.number(key, 0, 1) for key in ("of_strike", "collar_of_strike")),
        )
