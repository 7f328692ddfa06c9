"""The paths behind a simulated market, in steps of five minutes: volatility, jumps, fair price, last price and mark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from scipy.special import expit, logit

from ..riskcore.arrays import FloatArray, TimeArray
from .market_simulator_model import DAY_OF_WEEK, HOUR_OF_DAY, AssetProfile, MarketModel

STEP_MINUTES = 5
STEPS_A_DAY = 24 * 60 // STEP_MINUTES
STEPS_A_YEAR = 365 * STEPS_A_DAY
REFERENCE_VOLATILITY = 0.48


@dataclass(frozen=True)
class MarketPath:
    """What all assets share, over n steps.

    Parameters
    ----------
    shock
        Common standard normal shock of each step, shape (n,).
    jump
        Common jump in log price of each step, less its expectation, shape (n,); 0 in nearly all steps before that.
    log_volatility
        Log of market volatility over its long-run level at the start of each step and at the end, shape (n + 1,).
    season
        Multiplier of volatility for hour and weekday, mean square one over a week, shape (n,).
    """

    shock: FloatArray
    jump: FloatArray
    log_volatility: FloatArray
    season: FloatArray


@dataclass(frozen=True)
class AssetPath:
    """One asset, over n steps.

    Parameters
    ----------
    last, mark
        Log of the last price and of the mark at the start of each step and at the end, shape (n + 1,).
    last_high, last_low, mark_high, mark_low
        Highest and lowest log price reached within each step, shape (n,).
    log_volatility
        Log of the asset's volatility over its long-run level, without season, shape (n + 1,).
    """

    last: FloatArray
    mark: FloatArray
    last_high: FloatArray
    last_low: FloatArray
    mark_high: FloatArray
    mark_low: FloatArray
    log_volatility: FloatArray


def decay_of(half_life: float) -> float:
    """Share that is left after one step of something that halves in `half_life` steps.

    Examples
    --------
    >>> decay_of(2.0) ** 2
    0.5000000000000001
    """
    return float(0.5 ** (1.0 / half_life))


def decayed_sum(values: FloatArray, half_life: float) -> FloatArray:
    """Sum of all values so far, each halved every `half_life` steps.

    Examples
    --------
    >>> decayed_sum(np.array([1.0, 0.0, 0.0]), 1.0).tolist()
    [1.0, 0.5, 0.25]
    """
    out: FloatArray = lfilter([1.0], [1.0, -decay_of(half_life)], values)
    return out


def ornstein_uhlenbeck(first: float, noise: FloatArray, half_life: float) -> FloatArray:
    """A stationary mean-zero, unit-variance Ornstein-Uhlenbeck process, seen at steps.

    Parameters
    ----------
    first
        Where it starts; standard normal for a stationary path.
    noise
        Standard normal innovation of each step, shape (n,).
    half_life
        In steps.

    Returns
    -------
    FloatArray
        The state before each step and after the last, shape (n + 1,).

    Examples
    --------
    >>> ornstein_uhlenbeck(1.0, np.zeros(2), 1.0).tolist()
    [1.0, 0.5, 0.25]
    """
    decay = decay_of(half_life)
    after, _ = lfilter([np.sqrt(1.0 - decay**2)], [1.0, -decay], noise, zi=[decay * first])
    return np.concatenate(([first], after))


def season_of(times: TimeArray) -> FloatArray:
    """Multiplier of volatility by hour and weekday (UTC), mean square one over a week; shape of `times`.

    Examples
    --------
    Monday at 14:00 against Saturday at 4:00:

    >>> busy, calm = season_of(np.array(["2024-01-01T14", "2024-01-06T04"], dtype="datetime64[ns]"))
    >>> round(float(busy / calm), 2)
    2.09
    """
    hours = times.astype("datetime64[h]").astype(np.int64)
    weekday = (hours // 24 + 3) % 7  # 1970-01-01 was a Thursday
    hour_of_day, day_of_week = np.array(HOUR_OF_DAY), np.array(DAY_OF_WEEK)
    level = np.sqrt(np.mean(hour_of_day**2) * np.mean(day_of_week**2))
    season: FloatArray = hour_of_day[hours % 24] * day_of_week[weekday] / level
    return season


def market_path(model: MarketModel, times: TimeArray, rng: np.random.Generator) -> MarketPath:
    """Draw what all assets share over the steps that open at `times`."""
    shock, *noise = rng.standard_normal((3, len(times)))
    slow, fast = (
        deviation * ornstein_uhlenbeck(rng.standard_normal(), _correlated(shock, own, leverage), days * STEPS_A_DAY)
        for own, deviation, leverage, days in (
            (noise[0], model.slow_deviation, model.slow_leverage, model.slow_half_life),
            (noise[1], model.fast_deviation, model.fast_leverage, model.fast_half_life),
        )
    )
    calm = slow + fast - model.slow_deviation**2 - model.fast_deviation**2
    rate = model.jumps_a_year / STEPS_A_YEAR * np.exp(model.jump_sensitivity * calm[:-1])
    down = rng.random(len(times)) < model.jump_down_share
    size = np.where(down, -model.jump_down_mean, model.jump_up_mean) * rng.standard_exponential(len(times))
    jump = np.where(rng.random(len(times)) < rate, size, 0.0)
    expected = (1 - model.jump_down_share) * model.jump_up_mean - model.jump_down_share * model.jump_down_mean
    return MarketPath(shock, jump - rate * expected, calm + _echo(jump, model), season_of(times))


def asset_path(model: MarketModel, profile: AssetProfile, market: MarketPath, rng: np.random.Generator) -> AssetPath:
    """Draw one asset in the market given; the same generator gives the same asset, whatever others there are."""
    steps = len(market.shock)
    own_shock, noise, mispricing = rng.standard_normal((3, steps))
    scale = profile.volatility / REFERENCE_VOLATILITY
    own_jump = np.where(rng.random(steps) < model.own_jumps_a_year / STEPS_A_YEAR, 1.0, 0.0)
    own_jump *= scale * model.own_jump_mean * rng.laplace(size=steps)
    own_state = ornstein_uhlenbeck(rng.standard_normal(), noise, model.own_half_life * STEPS_A_DAY)
    own_state = model.own_deviation * own_state - model.own_deviation**2
    log_volatility = market.log_volatility + own_state + _echo(own_jump / scale, model)
    deviation = profile.volatility / np.sqrt(STEPS_A_YEAR) * market.season * np.exp(log_volatility[:-1])
    share = expit(logit(profile.common_share) + model.stress_loading * market.log_volatility[:-1])
    jump = scale * market.jump + own_jump
    move = deviation * _mixed(market.shock, own_shock, share) + jump
    fair = np.log(profile.price) + np.concatenate(([0.0], np.cumsum(move)))
    gap, smooth = _dislocation(model, jump, deviation * mispricing)
    last, mark = fair + gap, fair + smooth
    luck_up, luck_down = rng.standard_exponential((2, steps))
    last_high, last_low = bridge_extremes(last, (1.0 + model.wick) * deviation, luck_up, luck_down)
    mark_high, mark_low = bridge_extremes(mark, deviation, luck_up, luck_down)
    return AssetPath(last, mark, last_high, last_low, mark_high, mark_low, log_volatility)


def _correlated(shock: FloatArray, own: FloatArray, correlation: float) -> FloatArray:
    mixed: FloatArray = correlation * shock + np.sqrt(1.0 - correlation**2) * own
    return mixed


def _mixed(common: FloatArray, own: FloatArray, share: FloatArray) -> FloatArray:
    mixed: FloatArray = np.sqrt(share) * common + np.sqrt(1.0 - share) * own
    return mixed


def _echo(jump: FloatArray, model: MarketModel) -> FloatArray:
    after = decayed_sum(model.jump_echo * np.abs(jump), model.echo_half_life * STEPS_A_DAY)
    return np.concatenate(([0.0], after))


def _dislocation(model: MarketModel, jump: FloatArray, noise: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log of last over fair price, and its running average which the mark carries, both of shape (n + 1,)."""
    pushed = model.overshoot * jump + model.dislocation * noise
    gap = decayed_sum(pushed, model.dislocation_minutes / STEP_MINUTES)
    half_life = model.mark_minutes / STEP_MINUTES
    smooth = (1.0 - decay_of(half_life)) * decayed_sum(gap, half_life)
    return np.concatenate(([0.0], gap)), np.concatenate(([0.0], smooth))


def bridge_extremes(
    path: FloatArray, deviation: FloatArray, luck_up: FloatArray, luck_down: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Highest and lowest point of a Brownian bridge through each step of a path.

    Parameters
    ----------
    path
        Values at the ends of steps, shape (n + 1,).
    deviation
        Standard deviation of each step's move, shape (n,).
    luck_up, luck_down
        Standard exponential draws, shape (n,).

    Returns
    -------
    high, low
        Shape (n,); high - a has the law of the maximum of a bridge from a to b: (d + sqrt(d^2 + 2 v E)) / 2 with
        d = b - a, v the variance and E exponential (Glasserman 2003, Monte Carlo Methods in Financial Engineering,
        6.4). Highs and lows are drawn apart: their dependence within five minutes is left out.

    Examples
    --------
    >>> high, low = bridge_extremes(np.array([0.0, 3.0]), np.array([1.0]), np.array([8.0]), np.array([0.0]))
    >>> high.tolist(), low.tolist()
    ([4.0], [0.0])
    """
    start, move = path[:-1], np.diff(path)
    spread = 2.0 * deviation**2
    high = start + (move + np.sqrt(move**2 + spread * luck_up)) / 2.0
    low = start + (move - np.sqrt(move**2 + spread * luck_down)) / 2.0
    # Rounding could leave an end of the step just outside.
    return np.maximum(high, np.maximum(start, path[1:])), np.minimum(low, np.minimum(start, path[1:]))
