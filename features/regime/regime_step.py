"""The regime filter as features: how likely the market is calm, normal or stressed, as known at each bar's open."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError
from ..correlation.blocks import Block, HalfLifeStep
from ..correlation.pair_moments import decay_of, least_of, take_bars
from ..engine.step import Declaration, State
from .hmm_kernel import filter_one, invert_all, predict
from .markov import RegimeModel, filter_regimes, fit_regimes, with_evidence
from .observation import (
    about_level,
    bars_a_period,
    gather_depth,
    gather_ranges,
    market_correlation,
    market_log_depth,
    market_log_volatility,
    period_ends,
    usual_period,
)

NAMES = {2: ("calm", "stressed"), 3: ("calm", "normal", "stressed")}
LEVEL_DAYS = 30
"""Half-life of the means that correlation and depth are seen about."""
PRIOR_WEIGHT = 2.0
"""Pseudo-observations of each state and of each transition in every fit."""
ROUNDS, TOLERANCE = 60, 1e-6
"""Of a refit: the next one goes on from it."""
HAMILTON = "J. Hamilton, Econometrica 57 (1989); fitted by EM, refitted on past observations only"
SEEN, SINCE_FIT, LABEL, AGE = 0, 1, 2, 3
"""Places in the state's counts: periods seen, since the last fit; the likeliest regime (-1: none) and its age."""


@dataclass(frozen=True)
class RegimeStep(HalfLifeStep):
    """Filtered probabilities of the market's regime, from volatility, correlation and depth of each period.

    At the end of each period (UTC) the market is observed: log of the median coin's Parkinson volatility over the
    period; Fisher's z of the mean EWMA correlation of pairs and, where a depth column is asked for, log of the median
    coin's notional resting on both sides, these two about their own means of the last month. A hidden Markov chain with
    a Gaussian a state, of one covariance, says how likely each regime is given the observations so far (never later
    ones). Volatility defines the regimes; correlation and depth are evidence (see `with_evidence`). Parameters come
    from the last `history_days` by EM, first after `least_days` and again every `refit_days`; states are in rising
    order of volatility and each fit starts from the one before, so that labels keep their meaning.

    Parameters
    ----------
    bar_hours
        Length of a bar.
    period_hours
        Length of a period: whole bars, a part of a day.
    states
        3 (calm, normal, stressed) or 2 (calm, stressed).
    depth
        Distance from the mid in basis points whose bid_..bps and ask_..bps columns are read; None: no depth.
    half_life_hours
        Half-life of the correlation.
    history_days, least_days, refit_days
        What a fit looks at, what the first needs, and the days between fits.

    Raises
    ------
    InputError
        A period that is not whole bars, or windows that do not fit together.
    """

    bar_hours: float
    period_hours: float = 6.0
    states: int = 3
    depth: float | None = None
    half_life_hours: float = 6.0
    history_days: int = 730
    least_days: int = 60
    refit_days: int = 30

    def __post_init__(self) -> None:
        bars_a_period(self.period_hours, self.bar_hours)
        super().__post_init__()
        if self.states not in NAMES:
            raise InputError("must be 2 or 3", column="states", value=self.states)
        if not 0 < self.least_days <= self.history_days or self.refit_days < 1:
            raise InputError("needs 0 < least_days <= history_days and a refit_days", column="least_days")
        if self.least_days * self.periods_a_day < 10 * self.states:
            raise InputError(f"must hold {10 * self.states} periods", column="least_days", value=self.least_days)

    @classmethod
    def usual(cls, bar_hours: float, depth: float | None = None) -> RegimeStep:
        """Three regimes, the period that `usual_period` gives for bars of this length and a half-life to go with it.

        Examples
        --------
        >>> step = RegimeStep.usual(4.0)
        >>> step.period_hours, step.half_life_hours
        (8.0, 8.0)
        """
        period = usual_period(bar_hours)
        return cls(bar_hours, period, depth=depth, half_life_hours=max(period, 2.0 * bar_hours))

    @property
    def periods_a_day(self) -> int:
        """Observations a day."""
        return round(24.0 / self.period_hours)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of bars that are read."""
        depth = () if self.depth is None else (f"bid_{self.depth:g}bps", f"ask_{self.depth:g}bps")
        return ("close", "high", "low", *depth)

    @property
    def declarations(self) -> tuple[Declaration, ...]:
        """The features, in the order of `read`'s columns."""
        share, hours = "probability", "hours"
        told = [
            (f"regime_p_{name}", f"filtered probability of the {name} regime", share) for name in NAMES[self.states]
        ]
        told += [
            ("regime_p_stressed_24h", "probability of the stressed regime 24 hours on", share),
            ("regime_expected_duration", "expected time until the present regime ends", hours),
            ("regime_age", "time since the likeliest regime last changed", hours),
            ("regime_surprise", "minus log density of the last observation given those before", "nats"),
        ]
        rule = (
            f"NaN until {self.least_days} days have a volatility; stays between the ends of periods; a period without "
            "prices moves probabilities by the transition alone and has no surprise"
        )
        back = 24.0 * self.history_days
        return tuple(Declaration(name, what, unit, self.inputs, back, rule, HAMILTON) for name, what, unit in told)

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: what the period has so far, past observations, the model, what it says."""
        n, k, size = len(symbols), self.states, 2 if self.depth is None else 3
        return {
            "last": np.full(n, np.nan),
            "pairs": np.zeros((4, n, n)),
            "ranges": np.zeros((2, n)),
            "resting": np.full(n, np.nan),
            "level": np.zeros((2, size - 1)),
            "ring": np.full((self.history_days * self.periods_a_day, size), np.nan),
            "mean": np.full((k, size), np.nan),
            "covariance": np.full((k, size, size), np.nan),
            "transition": np.full((k, k), np.nan),
            "filtered": np.full(k, np.nan),
            "surprise": np.full(1, np.nan),
            "told": np.full(k + 4, np.nan),
            "counts": np.array([0, 0, -1, 0], np.int64),
        }

    def advance(self, state: State, block: Block) -> None:
        """Take in some bars."""
        first = 0
        for end in period_ends(block.closed, self.bar_hours, self.period_hours).tolist():
            self._gather(state, block, first, end + 1)
            self._observe(state)
            first = end + 1
        self._gather(state, block, first, len(block.closed))

    def read(self, state: State) -> FloatArray:
        """Features as now known, shape (n_symbols, states + 4)."""
        return np.repeat(state["told"][None, :], len(state["last"]), axis=0)

    def _gather(self, state: State, block: Block, first: int, last: int) -> None:
        if first == last:
            return
        rows = slice(first, last)
        gather_ranges(block["high"][rows], block["low"][rows], state["ranges"])
        take_bars(block["close"][rows], decay_of(self.half_life), state["last"], state["pairs"])
        if self.depth is not None:
            bid, ask = self.inputs[3:]
            gather_depth(block[bid][rows], block[ask][rows], state["resting"])

    def _observe(self, state: State) -> None:
        """End of a period: observe, filter, and fit where it is time."""
        bars, counts, ring = bars_a_period(self.period_hours, self.bar_hours), state["counts"], state["ring"]
        seen = ring[counts[SEEN] % len(ring)]
        seen[0] = market_log_volatility(state["ranges"], bars, self.bar_hours)
        seen[1] = market_correlation(state["pairs"], least_of(self.half_life))
        if self.depth is not None:
            seen[2] = market_log_depth(state["resting"])
        about_level(seen[1:], decay_of(LEVEL_DAYS * self.periods_a_day), state["level"])
        counts[SEEN] += 1
        counts[SINCE_FIT] += 1
        fitted = not np.isnan(state["filtered"][0])
        if fitted:
            self._filter(state, seen)
        if not fitted or counts[SINCE_FIT] >= self.refit_days * self.periods_a_day:
            self._fit(state, fitted)
        if not np.isnan(state["filtered"][0]):
            self._tell(state)

    def _tell(self, state: State) -> None:
        """Put down what `read` says until the next period has ended."""
        counts, now, stay = state["counts"], state["filtered"], np.diagonal(state["transition"])
        label = int(np.argmax(now))
        counts[AGE] = counts[AGE] + 1 if label == counts[LABEL] else 0
        counts[LABEL] = label
        ahead = now
        for _ in range(self.periods_a_day):
            ahead = (ahead[:, None] * state["transition"]).sum(axis=0)
        duration = (now / (1.0 - stay)).sum() * self.period_hours
        state["told"][:] = [*now, ahead[-1], duration, counts[AGE] * self.period_hours, state["surprise"][0]]

    def _filter(self, state: State, seen: FloatArray) -> None:
        k, size = state["mean"].shape
        precision, constant = np.empty((k, 1 << size, size, size)), np.empty((k, 1 << size))
        invert_all(state["covariance"], precision, constant)
        predicted = np.empty(k)
        predict(state["transition"], state["filtered"], predicted)
        density = filter_one(seen, state["mean"], precision, constant, predicted, state["filtered"])
        state["surprise"][0] = np.nan if np.isnan(seen).all() else -density

    def _fit(self, state: State, fitted: bool) -> None:
        """Fit to the past observations, if there are enough, and filter them anew."""
        past = past_observations(state)
        if np.isfinite(past[:, 0]).sum() < self.least_days * self.periods_a_day:
            return
        before = None
        if fitted:
            even = np.full(self.states, 1.0 / self.states)
            before = RegimeModel(state["mean"], state["covariance"], state["transition"], even)
        model = fit_regimes(
            past[:, 0], self.states, before=before, prior_weight=PRIOR_WEIGHT, rounds=ROUNDS, tolerance=TOLERANCE
        ).model
        model = with_evidence(model, past, PRIOR_WEIGHT)
        state["mean"][:], state["covariance"][:] = model.mean, model.covariance
        state["transition"][:] = model.transition
        state["filtered"][:] = filter_regimes(past, model).probability[-1]
        state["counts"][SINCE_FIT] = 0


def past_observations(state: State) -> FloatArray:
    """The observations a regime step's state holds, oldest first."""
    ring, seen = state["ring"], int(state["counts"][SEEN])
    return np.roll(ring, -(seen % len(ring)), axis=0)[-min(seen, len(ring)) :] if seen else ring[:0]


def last_observation(state: State) -> FloatArray:
    """The latest of the observations a regime step's state holds; NaN before the first."""
    latest: FloatArray = state["ring"][(int(state["counts"][SEEN]) - 1) % len(state["ring"])]
    return latest
