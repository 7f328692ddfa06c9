"""Option features as a stream: chains come when they come, features are read at any later instant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..engine.step import Declaration, State
from .chain import OptionChain
from .declarations import DECLARATIONS
from .implied import implied_surface
from .measures import measure
from .quality import QualityRules

NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class ChainStep:
    """Features of the latest chain of each underlying, until it is too old.

    Like `features.engine.step.Step` it holds no state of its own, and its state is arrays that can be stored after any
    chain and taken up again with the same bits; but it is fed chains instead of bars, and read as of an instant.

    Parameters
    ----------
    max_age
        Age of a chain's quotes beyond which its features are NaN.
    rules
        Quality rules of the quotes.

    Examples
    --------
    >>> from .chain_rows import chain_from_rows
    >>> rows = {"expiry": "2024-02-01", "strike": 100.0, "right": [-1, 1], "open_interest": [3.0, 4.0]}
    >>> step, noon = ChainStep(np.timedelta64(6, "h")), np.datetime64("2024-01-01T12:00")
    >>> state = step.start(("BTC",))
    >>> step.update(state, chain_from_rows("BTC", noon, rows))
    >>> place = [one.name for one in step.declarations].index("put_call_open_interest")
    >>> [step.read(state, noon + np.timedelta64(hours, "h"))[0, place].tolist() for hours in (0, 6, 7)]
    [0.75, 0.75, nan]
    """

    max_age: np.timedelta64 = np.timedelta64(12, "h")
    rules: QualityRules = QualityRules()

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        return DECLARATIONS

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first chain, for these underlyings."""
        return {
            "symbols": np.array(symbols, np.str_),
            "values": np.full((len(symbols), len(DECLARATIONS)), np.nan),
            "quoted": np.full(len(symbols), NEVER, np.int64),
            "known": np.full(len(symbols), NEVER, np.int64),
        }

    def update(self, state: State, chain: OptionChain) -> None:
        """Take in a chain, once it is known.

        Raises
        ------
        InputError
            An underlying that is none of the symbols, or a chain not quoted and known after the one before it.
        """
        place = np.flatnonzero(state["symbols"] == chain.underlying)
        if not len(place):
            raise InputError("chain of an unknown underlying", column="underlying", value=chain.underlying)
        at, (quoted, known) = int(place[0]), (_nanoseconds(when) for when in (chain.time, chain.known))
        if quoted <= state["quoted"][at] or known <= state["known"][at]:
            problem = f"chains of {chain.underlying} must come in rising order"
            raise InputError(problem, column="time", value=str(chain.time))
        state["values"][at] = measure(implied_surface(chain, self.rules))
        state["quoted"][at], state["known"][at] = quoted, known

    def read(self, state: State, as_of: np.datetime64) -> FloatArray:
        """Features known at an instant, shape (n_symbols, n_features); NaN where the last chain is too old.

        Raises
        ------
        InputError
            An instant before a chain that was taken in was known.
        """
        now = _nanoseconds(as_of)
        if (state["known"] > now).any():
            raise InputError("lies before a chain that was taken in was known", column="as_of", value=str(as_of))
        limit = int(self.max_age / np.timedelta64(1, "ns"))
        fresh = (state["quoted"] > NEVER) & (state["quoted"] >= now - limit)
        return np.where(fresh[:, None], state["values"], np.nan)


def _nanoseconds(when: np.datetime64) -> int:
    return int(np.asarray(when, "datetime64[ns]").astype(np.int64))
