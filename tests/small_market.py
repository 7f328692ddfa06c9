"""A small simulated market and what is made of it, once for all tests that load this file; not a test itself."""

import atexit
import datetime as dt
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from margincast.features.market_data import MarketData
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.rulebook_file import load_rulebook, with_generic
from margincast.training.dataset import Dataset, simulated_dataset
from margincast.training.evaluate import Evaluation, evaluate_market
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.market_simulator import simulate_market, write_market_folder
from margincast.training.market_view import MarketView, view_market
from margincast.training.plan import Plan
from margincast.training.score import Scorer

SYMBOLS = ("BTC", "ETH", "SOL")
DAYS = 150
SEED = 3
HORIZONS = (1, 4, 24)
TRAIN_END = dt.date(2022, 4, 20)
VENUE = load_rulebook("binance_usdm")
RULES = with_generic(VENUE)


@cache
def scratch() -> Path:
    path = Path(tempfile.mkdtemp(prefix="margincast-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def folder() -> Path:
    tables = simulate_market(SEED, days=DAYS, symbols=SYMBOLS)
    return write_market_folder(tables, scratch() / "market", {"seed": SEED})


@cache
def data() -> MarketData:
    return read_market_folder(folder())


@cache
def view() -> MarketView:
    return view_market(data())


def plan(**changes) -> Plan:
    settings = {"train_end": TRAIN_END, "accounts": 400, "threads": 1, "rounds": 10} | changes
    settings = {"train_accounts": settings["accounts"]} | settings
    return Plan(**settings)


@cache
def dataset() -> Dataset:
    """Rows on the whole market, warmed up."""
    bars = len(data().history)
    return simulated_dataset(view(), RULES, HORIZONS, accounts=400, first_bar=31 * 24, last_bar=bars, seed=5)


@cache
def evaluation() -> Evaluation:
    """Enough rows for the account boosters to grow trees."""
    return evaluate_market(view(), RULES, plan(accounts=3000))


@cache
def fitted() -> LiquidationForecaster:
    model = evaluation().model
    model.about_ |= {
        "horizons": ["1h", "4h", "24h"],
        "symbols": list(SYMBOLS),
        "market": "simulated",
        "bar_hours": 1.0,
    }
    return model


@cache
def scorer() -> Scorer:
    return Scorer(fitted(), view(), RULES, len(data().history))


def scrambled(original: MarketData, first_bar: int, seed: int = 1) -> MarketData:
    """The market with everything from bar `first_bar` on changed: prices, volume, funding, interest, depth."""
    rng = np.random.default_rng(seed)
    history, rest = original.history, len(original.history) - first_bar
    drift = np.exp(np.cumsum(rng.normal(0.001, 0.02, (rest, history.close.shape[1])), axis=0))

    def moved(values):
        out = np.array(values)
        out[first_bar:] = out[first_bar:] * drift
        return out

    wider = np.exp(np.abs(rng.normal(0.0, 0.02, (rest, history.close.shape[1]))))

    def ranged(bars):
        """Bars moved, and wider: what is made of ranges alone changes too."""
        out = {name: moved(values) for name, values in bars.items()}
        out["high"][first_bar:] *= wider
        out["low"][first_bar:] /= wider
        return out

    bars = ranged({name: getattr(history, name) for name in ("open", "high", "low", "close")})
    funding = np.array(history.funding)
    funding[first_bar:] += 0.003
    changes = {name: moved(getattr(original, name)) for name in ("funding_rate", "open_interest")}
    depth = original.depth.copy()
    late = depth["timestamp"].dt.tz_localize(None).to_numpy() >= history.times[first_bar]
    depth.loc[late, "notional"] *= np.where(depth.loc[late, "side"] == "bid", 7.0, 3.0)
    return replace(
        original,
        history=replace(history, **bars, funding=funding),
        trade=ranged(original.trade),
        depth=depth,
        **changes,
    )
