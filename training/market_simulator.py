"""A simulated market for trials and demonstrations: the tables of a market folder, the same for the same seed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..riskcore.arrays import FloatArray, TimeArray
from ..riskcore.errors import InputError
from .market_simulator_model import AssetProfile, MarketModel, profile_of
from .market_simulator_paths import (
    STEP_MINUTES,
    STEPS_A_YEAR,
    AssetPath,
    MarketPath,
    asset_path,
    decayed_sum,
    market_path,
    ornstein_uhlenbeck,
)

SYMBOLS = ("BTC", "ETH", "SOL", "BNB", "XRP", "DOGE", "ADA", "LTC")
MODEL = "two-factor stochastic volatility with leverage, jumps and correlation rising in stress (margincast 0.1)"
FUNDING_HOURS = 8
DEPTH_LEVELS = (10.0, 50.0, 200.0)
"""Distances from the mid at which the depth table gives the notional that rests within them, basis points."""


def simulate_market(
    seed: int,
    days: int = 1096,
    symbols: Sequence[str] = SYMBOLS,
    step: str | timedelta = "1h",
    start: str = "2022-01-01",
    model: MarketModel | None = None,
) -> dict[str, pd.DataFrame]:
    """Draw a market: bars of last price and mark, funding, open interest and order-book depth.

    Prices move in steps of five minutes, and highs and lows are those of the continuous path through them. Volatility
    has a slow and a fast factor, a rhythm of hour and weekday, and rises after falls and jumps; assets move together
    more when it is high; last prices overshoot in a crash and marks follow smoothly; books get thin. `MarketModel`
    says what each number rests on.

    Parameters
    ----------
    seed
        Same seed, same bits. A symbol has the same bars whatever other symbols are drawn with it.
    days
        Length, whole days.
    symbols
        Names; those of `market_simulator_model.PROFILES` have a scale of their own, others share one.
    step
        Length of a bar: a multiple of five minutes that divides eight hours.
    start
        First day, UTC.
    model
        Parameters; `MarketModel()` where it is None.

    Returns
    -------
    dict of str to DataFrame
        Tables perp, mark, funding, open_interest and depth with the columns of a market folder, rows by symbol and
        time. What carries time t (funding, open interest, depth) depends on bars that closed by t alone. Open interest
        and volume are in coins, depth in quote units.

    Raises
    ------
    InputError
        A negative seed, no day, no symbol, one symbol twice, or a step that does not fit.

    Examples
    --------
    >>> tables = simulate_market(seed=1, days=2, symbols=("BTC", "ETH"))
    >>> {name: len(table) for name, table in tables.items()}
    {'perp': 96, 'mark': 96, 'funding': 12, 'open_interest': 96, 'depth': 576}
    """
    chosen = model or MarketModel()
    steps_a_bar = _steps_a_bar(step)
    _require_plan(seed, days, symbols)
    times = _step_times(start, days)
    market = market_path(chosen, times, _generator(seed, "market"))
    drawn: dict[str, list[pd.DataFrame]] = {}
    for symbol in symbols:
        profile = profile_of(symbol)
        rng = _generator(seed, f"asset {symbol}")
        path = asset_path(chosen, profile, market, rng)
        bars = _Bars.of(path, market, times, steps_a_bar)
        for name, columns in _tables(chosen, profile, bars, rng).items():
            columns.insert(1, "symbol", symbol)
            drawn.setdefault(name, []).append(columns)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in drawn.items()}


def write_market_folder(tables: Mapping[str, pd.DataFrame], folder: str | Path, meta: Mapping[str, Any]) -> Path:
    """Write simulated tables as a market folder: one Parquet file a table, and market.json, which says it is simulated.

    Everything is written beside the folder and put in place by a rename, so a folder is never half there.

    Parameters
    ----------
    tables
        As of `simulate_market`.
    folder
        Where to. An earlier simulated market there is replaced; anything else that is there is left alone.
    meta
        What market.json holds besides "simulated": true and the name of the model; the seed belongs here.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The folder holds something else than a simulated market, or cannot be written (a full disk).
    """
    target = Path(folder)
    _require_replaceable(target)
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        partial.chmod(0o755)
        for name, table in tables.items():
            table.to_parquet(partial / f"{name}.parquet", engine="pyarrow", compression="zstd", index=False)
        content = {"model": MODEL, **meta, "simulated": True}
        (partial / "market.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        _put_in_place(partial, target)
    except OSError as failure:
        raise InputError(f"cannot be written: {failure.strerror or failure}", file=target) from None
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _require_replaceable(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError("is a file, not a market folder", file=target)
    if not any(target.iterdir()):
        return
    try:
        said = json.loads((target / "market.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = {}
    if not isinstance(said, dict) or said.get("simulated") is not True:
        raise InputError("holds something else than a simulated market: it is not overwritten", file=target)


def _put_in_place(partial: Path, target: Path) -> None:
    if not target.exists():
        os.rename(partial, target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent))
    os.rename(target, aside)
    try:
        os.rename(partial, target)
    except OSError:
        os.rename(aside, target)
        raise
    shutil.rmtree(aside)


def _generator(seed: int, stream: str) -> np.random.Generator:
    return np.random.default_rng([seed, *stream.encode()])


def _steps_a_bar(step: str | timedelta) -> int:
    try:
        length = pd.Timedelta(step)
    except ValueError:
        raise InputError("is not a length of time", column="step", value=str(step)) from None
    shortest = pd.Timedelta(minutes=STEP_MINUTES)
    if pd.isna(length) or length < shortest or length % shortest or pd.Timedelta(hours=FUNDING_HOURS) % length:
        problem = f"must be a multiple of {STEP_MINUTES} minutes that divides {FUNDING_HOURS} hours"
        raise InputError(problem, column="step", value=str(step))
    return int(length / shortest)


def _require_plan(seed: int, days: int, symbols: Sequence[str]) -> None:
    if seed < 0:
        raise InputError("must not be negative", column="seed", value=seed)
    if days < 1:
        raise InputError("must be at least 1", column="days", value=days)
    if not symbols:
        raise InputError("needs at least one symbol", column="symbols")
    for row, symbol in enumerate(symbols):
        if symbol in symbols[:row]:
            raise InputError("stands there twice", row=row, column="symbols", value=symbol)


def _step_times(start: str, days: int) -> TimeArray:
    try:
        first = np.datetime64(start, "D").astype("datetime64[m]")
    except ValueError:
        raise InputError("is not a date", column="start", value=start) from None
    minutes = np.arange(0, days * 24 * 60, STEP_MINUTES)
    times: TimeArray = (first + minutes.astype("timedelta64[m]")).astype("datetime64[ns]")
    return times


@dataclass(frozen=True)
class _Bars:
    """One asset in bars: OHLC of shape (n, 4), and what was known when each bar opened, of shape (n,)."""

    times: TimeArray
    hours: float
    last: FloatArray
    mark: FloatArray
    past_return: FloatArray
    deviation: FloatArray
    log_volatility: FloatArray

    @classmethod
    def of(cls, path: AssetPath, market: MarketPath, times: TimeArray, steps: int) -> _Bars:
        """Gather steps of five minutes into bars; `deviation` is a typical bar's at unit volatility."""
        close = path.last[steps::steps]
        season = np.sqrt((market.season**2).reshape(-1, steps).mean(axis=1))
        return cls(
            times[::steps],
            steps * STEP_MINUTES / 60,
            _ohlc(path.last, path.last_high, path.last_low, steps),
            _ohlc(path.mark, path.mark_high, path.mark_low, steps),
            np.concatenate(([0.0], np.diff(close, prepend=path.last[0])[:-1])),
            season * np.sqrt(steps / STEPS_A_YEAR),
            path.log_volatility[:-1:steps],
        )

    def frame(self, **columns: FloatArray) -> pd.DataFrame:
        """A table with one row a bar, the bar's open its timestamp."""
        return pd.DataFrame({"timestamp": _utc(self.times), **columns})


def _utc(times: TimeArray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times).tz_localize("UTC")


def _ohlc(path: FloatArray, high: FloatArray, low: FloatArray, steps: int) -> FloatArray:
    edges, highs, lows = path[::steps], high.reshape(-1, steps).max(axis=1), low.reshape(-1, steps).min(axis=1)
    prices: FloatArray = np.exp(np.stack([edges[:-1], highs, lows, edges[1:]], axis=1))
    return prices


def _tables(
    model: MarketModel, profile: AssetProfile, bars: _Bars, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    columns = ("open", "high", "low", "close")
    volume = _volume(model, profile, bars, rng)
    return {
        "perp": bars.frame(**dict(zip(columns, bars.last.T, strict=True)), volume=volume),
        "mark": bars.frame(**dict(zip(columns, bars.mark.T, strict=True))),
        "funding": _funding(model, bars, rng),
        "open_interest": bars.frame(open_interest=_open_interest(model, profile, bars, rng)),
        "depth": _depth(model, profile, bars, rng),
    }


def _wander(rng: np.random.Generator, bars: _Bars, half_life_hours: float) -> FloatArray:
    """A unit Ornstein-Uhlenbeck process as it stands at the open of each bar, with the end: shape (n + 1,)."""
    noise = rng.standard_normal(len(bars.times))
    return ornstein_uhlenbeck(rng.standard_normal(), noise, half_life_hours / bars.hours)


def _volume(model: MarketModel, profile: AssetProfile, bars: _Bars, rng: np.random.Generator) -> FloatArray:
    """Coins traded in each bar: more in wide bars, of whatever cause."""
    width = np.log(bars.last[:, 1] / bars.last[:, 2]) / (profile.volatility * np.sqrt(bars.hours / (365 * 24)))
    noise = model.volume_noise * _wander(rng, bars, model.volume_half_life)[1:]
    notional = profile.hourly_notional * bars.hours * width**model.volume_elasticity * np.exp(noise)
    coins: FloatArray = notional / bars.last[:, 3]
    return coins


def _funding(model: MarketModel, bars: _Bars, rng: np.random.Generator) -> pd.DataFrame:
    """Rates charged every eight hours, from the premium of the eight hours before."""
    trend = decayed_sum(bars.past_return, model.trend_half_life / bars.hours)
    noise = model.premium_noise * _wander(rng, bars, model.premium_half_life)[:-1]
    premium = model.interest + model.premium_of_trend * trend + noise
    span = round(FUNDING_HOURS / bars.hours)
    mean = premium.reshape(-1, span).mean(axis=1)[:-1]
    mean = np.concatenate(([premium[0]], mean))
    rate = mean + np.clip(model.interest - mean, -model.premium_clamp, model.premium_clamp)
    rate = np.clip(rate, -model.funding_cap, model.funding_cap)
    return pd.DataFrame({"timestamp": _utc(bars.times[::span]), "funding_rate": rate.round(8)})


def _open_interest(model: MarketModel, profile: AssetProfile, bars: _Bars, rng: np.random.Generator) -> FloatArray:
    """Coins outstanding at the open of each bar; positions are flushed out by large moves and come back in days."""
    half_life = model.open_interest_half_life * 24
    wave = model.open_interest_deviation * _wander(rng, bars, half_life)[:-1]
    ordinary = 3.0 * profile.volatility * np.sqrt(bars.hours / (365 * 24))
    flushed = decayed_sum(np.maximum(np.abs(bars.past_return) - ordinary, 0.0), half_life / 4 / bars.hours)
    level = model.open_interest_turnover * profile.hourly_notional / profile.price
    coins: FloatArray = level * np.exp(wave - model.flush * flushed)
    return coins


def _depth(model: MarketModel, profile: AssetProfile, bars: _Bars, rng: np.random.Generator) -> pd.DataFrame:
    """Notional within each level of the mid at the open of each bar, on both sides."""
    calm = -model.depth_elasticity * bars.log_volatility
    surprise = bars.past_return / (profile.volatility * bars.deviation * np.exp(bars.log_volatility))
    tilt = model.depth_tilt * np.clip(surprise, -3.0, 3.0)
    within = (np.array(DEPTH_LEVELS) / 100.0) ** model.depth_shape
    sides = []
    for sign in (1.0, -1.0):  # a fall takes bids, a rise takes asks
        noise = model.depth_noise * _wander(rng, bars, model.depth_half_life)[:-1]
        sides.append(profile.depth_notional * np.exp(calm + sign * tilt + noise)[:, None] * within)
    notional = np.stack(sides, axis=1)
    rows, levels = len(bars.times), len(DEPTH_LEVELS)
    return pd.DataFrame(
        {
            "timestamp": _utc(np.repeat(bars.times, 2 * levels)),
            "side": np.tile(np.repeat(["bid", "ask"], levels), rows),
            "level_bps": np.tile(DEPTH_LEVELS, 2 * rows),
            "notional": notional.ravel(),
        }
    )
