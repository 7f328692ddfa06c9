"""Options along price scenarios: each contract priced once in each state, for all the accounts that hold it."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from ..riskcore.arrays import FloatArray, IntArray, require
from ..riskcore.errors import InputError
from ..riskcore.margin import in_chunks
from ..riskcore.options.option_holdings import OptionHoldings
from ..riskcore.options.passage import YEAR, OptionSeries
from ..riskcore.options.passage_kernel import black76, short_add_on
from ..riskcore.options.short_option import RATES, ShortOptionRules
from ..riskcore.price_pyramid import PyramidArrays
from .paths import STATES
from .scenario_paths import ScenarioPaths


class PricedOptions(NamedTuple):
    """Option legs of every pool, and what one unit of each contract counts for in each state; base asset.

    Parameters
    ----------
    pointer, contract, size
        Legs of pool p are pointer[p] : pointer[p + 1]; the contract and the signed units of the underlying.
    held, owed, asked
        What a long unit counts for in equity, what a short unit is worth, and what it must hold beyond that, shape
        (n_bars, 3, n_contracts); after the expiry what exercise paid.
    least_held, most_short
        The least of `held` and the most of `owed + asked` along each path, shape (n_paths, n_contracts).
    first_path, first_bar
        Path and bar of the scenarios that the first rows are of.
    """

    pointer: IntArray
    contract: IntArray
    size: FloatArray
    held: FloatArray
    owed: FloatArray
    asked: FloatArray
    least_held: FloatArray
    most_short: FloatArray
    first_path: int
    first_bar: int


class OptionTerms(NamedTuple):
    """Contracts as the kernel prices them: columns of `OptionTable` and `OptionSeries`, the expiry in bars from now."""

    price: IntArray
    volatility: IntArray
    ratio: FloatArray
    strike: FloatArray
    right: FloatArray
    expiry_bar: IntArray
    add_on: FloatArray
    bar_years: float
    long_counts: float


def option_terms(
    held: OptionHoldings, series: OptionSeries, paths: ScenarioPaths, short_rules: ShortOptionRules, long_counts: bool
) -> OptionTerms:
    """Terms of the contracts of some holdings along scenarios.

    Raises
    ------
    InputError
        Series of other contracts, a column the scenarios lack, an expiry that is not the open of a bar or has passed.
    """
    terms = held.contracts
    if len(series.price) != len(terms):
        raise InputError(f"has {len(series.price)} contracts, the table {len(terms)}", column="price")
    for name in ("price", "volatility"):
        column = getattr(series, name)
        known = (column >= 0) & (column < len(paths.now))
        require(known, column, "is not a series of the scenarios", name)
    away = (terms.expiry - paths.time) / paths.step
    require(away == np.floor(away), terms.expiry, "expiry is not the open of a bar", "expiry")
    require(away > 0, terms.expiry, "option has expired", "expiry")
    rates = short_rules.call_maintenance, short_rules.put_maintenance
    return OptionTerms(
        series.price,
        series.volatility,
        series.ratio,
        terms.strike,
        terms.right.astype(np.float64),
        away.astype(np.int64),
        np.array([[getattr(rate, name) for name in RATES] for rate in rates]),
        float(paths.step / YEAR),
        float(long_counts),
    )


def price_options(
    held: OptionHoldings, terms: OptionTerms, arrays: PyramidArrays, horizon: int, first: int, last: int, threads: int
) -> PricedOptions:
    """Price every contract in every state of the paths first : last."""
    shape = ((last - first) * horizon, STATES, len(terms.strike))
    long, short, asked = np.empty(shape), np.empty(shape), np.empty(shape)

    def run(begin: int, end: int) -> None:
        _price_pass(begin, end, first, horizon, terms, arrays, long, short, asked)

    in_chunks(run, last - first, threads)
    by_path = (last - first, horizon * STATES, shape[2])
    least, most = long.reshape(by_path).min(axis=1), (short + asked).reshape(by_path).max(axis=1)
    legs = held.pointer, held.contract, held.units
    return PricedOptions(*legs, long, short, asked, least, most, first, first * horizon)


@numba.njit(cache=True, nogil=True)
def _price_pass(
    begin: int,
    end: int,
    first: int,
    horizon: int,
    terms: OptionTerms,
    arrays: PyramidArrays,
    held: FloatArray,
    owed: FloatArray,
    asked: FloatArray,
) -> None:
    """Write the columns of `PricedOptions` for paths first + begin : first + end."""
    for path in range(begin, end):
        for k in range(horizon):
            row, bar = path * horizon + k, (first + path) * horizon + k
            for state in range(STATES):
                prices = arrays.low[bar] if state == 0 else (arrays.high[bar] if state == 1 else arrays.close[bar])
                for c in range(len(terms.strike)):
                    strike, right, expiry = terms.strike[c], terms.right[c], terms.expiry_bar[c]
                    if k >= expiry:
                        last = arrays.close[bar - k + expiry - 1, terms.price[c]]
                        # no time is left: what exercise pays
                        worth = black76(last, strike, 0.0, 0.0, right)
                        held[row, state, c] = owed[row, state, c] = worth
                        asked[row, state, c] = 0.0
                        continue
                    forward, volatility = prices[terms.price[c]], prices[terms.volatility[c]] * terms.ratio[c]
                    worth = black76(forward, strike, (expiry - k - 1) * terms.bar_years, volatility, right)
                    held[row, state, c] = worth * terms.long_counts
                    owed[row, state, c] = worth
                    asked[row, state, c] = short_add_on(forward, strike, right, worth, terms.add_on)
