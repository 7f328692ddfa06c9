"""Scoring a live book: the probability of liquidation of every pool, and what a reader has to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..features.releases import outside_calendar
from ..models.sample import AccountSample, ScaleField
from ..models.severity import Severity, equity_weights, linear_severity
from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.margin import MarginState, Stage, evaluate
from ..riskcore.market import MarketState
from ..riskcore.rulebook import RuleBook
from .abstention import Reasons, no_reasons, out_of_range
from .account_features import BarRisk, bar_risk
from .dataset import sample_of
from .forecaster import LiquidationForecaster
from .market_view import MarketView
from .population import VOLATILITY_DAYS


@dataclass(frozen=True)
class Forecast:
    """Forecast of every pool of a book at one instant.

    Parameters
    ----------
    book, margin
        The pools and how they stand.
    horizons
        Names of the horizons, such as "4h".
    probability
        Probability of liquidation, (n_pools, n_horizons); never falls with the horizon; 1 where already in breach.
    structural
        The same by historical simulation with the learned volatility alone, which the rest corrects.
    low, high
        Lowest and highest of the members' and the hybrid's probabilities: how far the models disagree.
    interval
        Where the frequency of liquidation among such forecasts lies over days like those of the validation block
        (`models.intervals.DayBlockInterval`), widened to hold the forecast, (n_pools, n_horizons, 2); NaN where the
        forecast is not the hybrid's.
    fallback_reason
        Why a pool's probability is that of plain historical simulation (fhs, scaled by the blend of past volatilities)
        and not of the hybrid; "" where it is the hybrid's. Shape (n_pools,).
    severity
        Loss beyond the collateral, at the probability above.
    """

    book: AccountBook
    margin: MarginState
    horizons: tuple[str, ...]
    probability: FloatArray
    structural: FloatArray
    low: FloatArray
    high: FloatArray
    interval: FloatArray
    fallback_reason: Reasons
    severity: Severity

    def most_endangered(self, count: int) -> IntArray:
        """The first `count` pools by falling probability at the longest horizon, then at the shorter ones."""
        keys = [-self.probability[:, k] for k in range(len(self.horizons))]
        return np.lexsort((np.arange(len(self.book)), *keys))[:count]

    def record(self, pool: int) -> dict[str, Any]:
        """One pool as plain values, for JSON."""

        def by_horizon(values: FloatArray) -> dict[str, float]:
            return {name: float(values[pool, k]) for k, name in enumerate(self.horizons)}

        severity = self.severity
        return {
            "account": str(self.book.account[pool]),
            "sub_account": str(self.book.sub_account[pool]),
            "pool": str(self.book.isolated[pool]) or "cross",
            "stage": Stage(int(self.margin.stage[pool])).name.lower(),
            "equity": float(self.margin.equity[pool]),
            "maintenance": float(self.margin.maintenance[pool]),
            "initial": float(self.margin.initial[pool]),
            "headroom": float(self.margin.headroom[pool]),
            "source": "fhs" if self.fallback_reason[pool] else "hybrid",
            "fallback_reason": str(self.fallback_reason[pool]) or None,
            "probabilities": by_horizon(self.probability),
            "structural": by_horizon(self.structural),
            "low": by_horizon(self.low),
            "high": by_horizon(self.high),
            "interval": {name: self.interval[pool, k].tolist() for k, name in enumerate(self.horizons)},
            "expected_loss_given_liquidation": by_horizon(severity.expected_loss),
            "expected_shortfall_given_liquidation": by_horizon(severity.expected_shortfall),
            "shortfall_level": severity.level,
            "premium": by_horizon(severity.premium),
            "premium_standard_error": by_horizon(severity.standard_error),
        }


class Scorer:
    """A forecaster bound to a market at one instant; scores any book there, again and again.

    Parameters
    ----------
    model, view, rules
        The forecaster, the market, the rules.
    bar
        Bar at whose open the books are seen.
    fall_back
        Why the learned parts are not to be trusted (drift, or an operator's word): every pool is then scored by
        historical simulation. None: only pools outside of the training sample are (`abstention.out_of_range`). Empty
        text raises InputError.
    """

    def __init__(
        self,
        model: LiquidationForecaster,
        view: MarketView,
        rules: RuleBook,
        bar: int,
        *,
        fall_back: str | None = None,
    ) -> None:
        if fall_back is not None and not fall_back.strip():
            raise InputError("must say why", column="fall_back", value=fall_back)
        self.fall_back = fall_back
        self.model, self.view, self.rules, self.bar = model.aligned(view.data.symbols), view, rules, bar
        self.market: MarketState = view.history.state_at(bar)
        self.horizons = tuple(model.about_["horizons"])
        bars = np.array([bar])
        self.risk: BarRisk = bar_risk(view, bars)
        self.fields: dict[str, ScaleField] = self.model.scales_.fields(view.data, view.frame, bars)

    def sample(self, book: AccountBook) -> AccountSample:
        """What is known of the pools of a book."""
        bars = np.full(len(book), self.bar)
        sample = sample_of(self.view, book, bars, self.rules, self.model.horizons, self.risk)
        return with_columns(sample, self.model.columns_)

    def predict(self, book: AccountBook) -> dict[str, FloatArray]:
        """Probabilities of every model, by name, and "forecast": the hybrid, or fhs where that is fallen back to.

        0 for pools without positions, which nothing can liquidate.
        """
        return self._predict(book, self.sample(book))[0]

    def interval(self, probability: FloatArray, why: Reasons) -> FloatArray:
        """Interval of each probability at each horizon, (n_pools, n_horizons, 2); NaN where it is fallen back."""
        bounds = [i.predict(probability[:, k]) for k, i in enumerate(self.model.intervals_)]
        low = np.minimum(np.column_stack([b[0] for b in bounds]), probability)
        high = np.maximum(np.column_stack([b[1] for b in bounds]), probability)
        return np.where((why != "")[:, None, None], np.nan, np.stack((low, high), axis=2))

    def severity(self, book: AccountBook, sample: AccountSample, probability: FloatArray) -> Severity:
        """Loss beyond the collateral on the paths of fhs_learned, at another forecast of the probability."""
        weights = equity_weights(book, sample.bar, self.view.history, self.rules)
        paths = self.model.historical_["fhs_learned"]
        return linear_severity(paths, sample, self.fields["learned"], weights).at_probability(probability)

    def _predict(self, book: AccountBook, sample: AccountSample) -> tuple[dict[str, FloatArray], Reasons]:
        held = (np.diff(book.position_pointer) > 0)[:, None]
        said, why = self.model.predict(sample, self.fields), self._reasons(sample)
        said["forecast"] = np.where((why != "")[:, None], said["fhs"], said["hybrid"])
        return {name: np.where(held, probability, 0.0) for name, probability in said.items()}, why

    def _reasons(self, sample: AccountSample) -> Reasons:
        """Why each pool is scored by historical simulation; "" where it is not."""
        if self.fall_back is not None:
            return np.full(len(sample), self.fall_back)
        reference = self.model.reference_
        if reference is None:
            return no_reasons(len(sample))
        return out_of_range(reference, sample, self.fields["learned"], self.horizons)

    def forecast(self, book: AccountBook) -> Forecast:
        """Forecast of every pool.

        Raises
        ------
        InputError
            A pool whose equity is exactly zero although it holds positions, a position without a price, an instrument
            or asset without rules, or a market too short to know its volatility.
        """
        margin = evaluate(book, self.market, self.rules)
        _require_equity(book, margin)
        sample = self.sample(book)
        said, why = self._predict(book, sample)
        _require_known(book, said["forecast"], self.view, self.bar)
        members = np.stack([said[name] for name in ("fhs_har", "fhs_learned", "lightgbm", "hybrid", "forecast")])
        return Forecast(
            book,
            margin,
            self.horizons,
            said["forecast"],
            said["fhs_learned"],
            members.min(axis=0),
            members.max(axis=0),
            self.interval(said["forecast"], why),
            why,
            self.severity(book, sample, said["forecast"]),
        )


def with_columns(sample: AccountSample, names: tuple[str, ...]) -> AccountSample:
    """The sample with these features, in this order; those the market does not have are NaN (`missing_columns`)."""
    if sample.feature_names == names:
        return sample
    place = {name: k for k, name in enumerate(sample.feature_names)}
    features = np.full((len(sample), len(names)), np.nan)
    for k, name in enumerate(names):
        if name in place:
            features[:, k] = sample.features[:, place[name]]
    return AccountSample(sample.bar, sample.exposure, sample.horizons, features, names)


def missing_columns(model: LiquidationForecaster, view: MarketView) -> list[str]:
    """Market features the model was fitted with and this market does not have."""
    fitted = [name.removeprefix("leg_") for name in model.columns_ if name.startswith("leg_")]
    return [name for name in fitted if name not in view.frame.names]


def warnings_of(model: LiquidationForecaster, view: MarketView, rules: RuleBook) -> list[str]:
    """What a reader of the scores has to know: substitutes that were used, and what is not foreseen."""
    symbols, about = view.data.symbols, model.about_
    said = []
    if generic := rules.generic_symbols(symbols):
        said.append(f"margined by margincast's generic schedule, not a venue's: {', '.join(generic)}")
    if strange := [s for s in symbols if s not in about["symbols"]]:
        said.append(f"not in the model's training, paths of others stand in: {', '.join(strange)}")
    if missing := missing_columns(model, view):
        said.append(f"the model's features that this market lacks are treated as missing: {', '.join(missing)}")
    if about["market"] == "simulated" and not view.data.simulated:
        said.append("the model was trained on a simulated market")
    if strange_days := outside_calendar(view.history.times):
        said.append(strange_days)
    return said


def _require_equity(book: AccountBook, margin: MarginState) -> None:
    empty = (margin.equity == 0) & (np.diff(book.position_pointer) > 0)
    if empty.any():
        row = int(np.flatnonzero(empty)[0])
        raise InputError(
            "has positions and an equity of zero", row=row, column="balances", value=str(book.account[row])
        )


def _require_known(book: AccountBook, probability: FloatArray, view: MarketView, bar: int) -> None:
    unknown = np.isnan(probability).any(axis=1)
    if unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        held = np.unique(book.position_instrument[book.position_pointer[row] : book.position_pointer[row + 1]])
        lacking = [_lack(view, int(one), bar) for one in held]
        problem = f"the volatility of its positions is not known: {'; '.join(one for one in lacking if one)}"
        raise InputError(problem, row=row, column="account", value=str(book.account[row]))


def _lack(view: MarketView, instrument: int, bar: int) -> str:
    """What an instrument lacks for its volatility to be known, in words; "" if nothing that is seen here."""
    needed = round(VOLATILITY_DAYS * 24 / view.data.bar_hours) + 1
    symbol = view.data.symbols[instrument]
    if bar < needed:
        return f"{symbol} has {bar} bars before it, {needed} are needed"
    gaps = np.flatnonzero(np.isnan(view.data.mark("close")[bar - needed : bar, instrument]))
    if len(gaps) == 0:
        return ""
    last = str(view.history.times[bar - needed + gaps[-1]])[:16]
    return f"{symbol} lacks {len(gaps)} prices in the {VOLATILITY_DAYS} days before it, the last at {last}"
