"""The structural baselines beside historical simulation by blend and HAR, fitted and asked as one."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..features.market_data import MarketData
from ..features.volatility.estimators import log_returns
from ..models.garch_paths import GarchPaths
from ..models.health_factor import HealthFactor
from ..models.historical import FilteredHistorical
from ..models.sample import AccountSample
from ..riskcore.arrays import FloatArray
from ..riskcore.errors import InputError
from .dataset import Dataset
from .market_view import MarketView
from .structural_scales import StructuralScales

SIMULATIONS = {"fhs_harq": "harq", "fhs_realized_garch": "realized_garch"}
"""Historical simulations by name, and the scale each is filtered by."""
STRUCTURAL_MODELS = (*SIMULATIONS, "garch_t", "health_factor")


class StructuralModels:
    """Fitted baselines, with one way to ask all of them; made by `fit_structural_models` or from a stored state.

    Attributes
    ----------
    horizons
        In bars.
    symbols
        Of the market they were fitted on.
    scales_, historical_, garch_, health_factor_
        The fitted parts.
    """

    def __init__(self, horizons: tuple[int, ...], symbols: Sequence[str], threads: int = 1) -> None:
        self.horizons, self.symbols, self.threads = horizons, tuple(symbols), threads
        self.scales_: StructuralScales
        self.historical_: dict[str, FilteredHistorical] = {}
        self.garch_: GarchPaths
        self.health_factor_: HealthFactor

    def predict(self, sample: AccountSample, data: MarketData) -> dict[str, FloatArray]:
        """Probabilities of every model, by name, each (n, n_horizons), never falling with the horizon.

        Parameters
        ----------
        sample
            The pools, seen at bars of `data`.
        data
            The market, its symbols in the order of those fitted; see `aligned`.

        Raises
        ------
        InputError
            A market of other symbols, or a horizon that was not fitted.
        """
        if tuple(data.symbols) != self.symbols:
            problem = f"are not those fitted, {', '.join(self.symbols)}: use aligned(symbols)"
            raise InputError(problem, column="symbols", value=", ".join(data.symbols))
        fields = self.scales_.fields(data)
        out = {name: self.historical_[name].predict(sample, fields[scale]) for name, scale in SIMULATIONS.items()}
        out["garch_t"] = self.garch_.predict(sample, self.garch_.variance(log_returns(data.history.close)))
        out["health_factor"] = self.health_factor_.predict(sample)
        return out

    def aligned(self, symbols: Sequence[str]) -> StructuralModels:
        """The models for a market with these symbols, in this order.

        A symbol that was not there in fitting gets median parameters, and borrows the standardised paths of others.
        """
        if tuple(symbols) == self.symbols:
            return self
        places = np.array([self.symbols.index(s) if s in self.symbols else -1 for s in symbols], dtype=np.int64)
        out = copy.copy(self)
        out.symbols = tuple(symbols)
        out.historical_ = {name: model.reordered(places) for name, model in self.historical_.items()}
        out.scales_, out.garch_ = self.scales_.reordered(places), self.garch_.reordered(places)
        return out

    def set_threads(self, threads: int) -> None:
        """Predict on this many threads; changes no result."""
        self.threads = self.garch_.threads = threads
        for simulation in self.historical_.values():
            simulation.threads = threads

    def state(self) -> dict[str, Any]:
        """What `from_state` needs: numbers, arrays and text."""
        return {
            "horizons": list(self.horizons),
            "symbols": list(self.symbols),
            "scales": self.scales_.state(),
            "historical": {name: model.state() for name, model in self.historical_.items()},
            "garch": self.garch_.state(),
            "health_factor": self.health_factor_.state(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], threads: int = 1) -> StructuralModels:
        """The models as they were when `state` was taken."""
        model = cls(tuple(int(h) for h in state["horizons"]), state["symbols"])
        model.scales_ = StructuralScales.from_state(state["scales"])
        model.historical_ = {n: FilteredHistorical.from_state(s) for n, s in state["historical"].items()}
        model.garch_ = GarchPaths.from_state(state["garch"])
        model.health_factor_ = HealthFactor.from_state(state["health_factor"])
        model.set_threads(threads)
        return model


def fit_structural_models(
    view: MarketView, data: Dataset, first_bar: int, last_bar: int, *, seed: int = 0, threads: int = 1
) -> StructuralModels:
    """Fit everything on bars from `first_bar` on and before `last_bar`, and on accounts seen there.

    Parameters
    ----------
    view
        The market.
    data
        Accounts that the health factor's frequencies are counted on, with the horizons to forecast; none of their
        outcomes may look at a bar from `last_bar` on.
    first_bar, last_bar
        The training period.
    seed
        Of the simulated shocks.
    threads
        Changes no result.

    Raises
    ------
    InputError
        A training period too short for a horizon or a fit.
    """
    market, horizons = view.data, data.sample.horizons
    model = StructuralModels(horizons, market.symbols, threads)
    model.scales_ = StructuralScales(horizons).fit(market, first_bar, last_bar)
    fields = model.scales_.fields(market)
    for name, scale in SIMULATIONS.items():
        model.historical_[name] = FilteredHistorical().fit(market.history, fields[scale], first_bar, last_bar)
    returns = log_returns(market.history.close)
    model.garch_ = GarchPaths(horizons, seed).fit(returns, first_bar, last_bar)
    model.health_factor_ = HealthFactor().fit(data.sample, data.breached)
    model.set_threads(threads)
    return model
