"""Simulated margin accounts on a real or simulated market, with documented distributions.

None of these figures is a venue's: they are chosen so that every horizon has many liquidations and so that books of
every kind occur. Whatever is measured on them is said to be measured on simulated accounts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..riskcore.accounts import AccountBook
from ..riskcore.arrays import BoolArray, FloatArray, IntArray
from ..riskcore.errors import InputError
from ..riskcore.market import MarketHistory
from ..riskcore.rulebook import RuleBook


@dataclass(frozen=True)
class PopulationSpec:
    """Distributions that simulated accounts are drawn from.

    Parameters
    ----------
    legs
        Probability of 1, 2, 3, ... positions.
    long_share
        Probability that a book leans long; each further leg follows the lean with `follow_share`.
    notional_median, notional_spread
        Gross notional: lognormal, median in the base asset, standard deviation of the log.
    coin_collateral_share
        Probability that part of the collateral is a coin; the part is uniform up to `coin_collateral_most` of equity.
    isolated_share
        Probability that a single-position book is isolated.
    headroom_median, headroom_spread
        Headroom in units of the book's 30-day volatility over one of the horizons (drawn evenly): lognormal.
    entry_age_hours
        Mean age of positions: the entry price is the close that long ago (exponential), so profit differs from zero.
    correlation
        Correlation between coins assumed when headroom is scaled to a book's volatility.
    """

    legs: tuple[float, ...] = (0.4, 0.25, 0.17, 0.12, 0.06)
    long_share: float = 0.6
    follow_share: float = 0.7
    notional_median: float = 20_000.0
    notional_spread: float = 1.6
    coin_collateral_share: float = 0.4
    coin_collateral_most: float = 0.7
    isolated_share: float = 0.3
    headroom_median: float = 2.0
    headroom_spread: float = 0.6
    entry_age_hours: float = 24.0
    correlation: float = 0.6


@dataclass(frozen=True)
class Population:
    """Simulated pools and the bar each is seen at."""

    book: AccountBook
    bar: IntArray


VOLATILITY_DAYS = 30


def simulate_accounts(
    history: MarketHistory,
    rules: RuleBook,
    *,
    accounts: int,
    first_bar: int,
    last_bar: int,
    horizons: tuple[int, ...],
    seed: int,
    spec: PopulationSpec | None = None,
) -> Population:
    """Draw pools seen at bars in [first_bar, last_bar), rising in time.

    Parameters
    ----------
    history, rules
        The market the pools live on and the rules that margin them.
    accounts
        How many pools.
    first_bar, last_bar
        Range of bars they are seen at; drawn evenly.
    horizons
        In bars: headroom is scaled to one of them, drawn evenly, so that each has liquidations.
    seed
        Seed of the draw; same seed, same pools.

    Raises
    ------
    InputError
        No bar in the range has a price and 30 days of history for any instrument.
    """
    spec = PopulationSpec() if spec is None else spec
    rng = np.random.default_rng(seed)
    volatility = trailing_volatility(history)
    usable = np.isfinite(volatility) & np.isfinite(_known_closes(history))
    usable = usable[:, history.mark_series]
    bars = np.arange(first_bar, last_bar)
    bars = bars[usable[first_bar:last_bar].any(axis=1)]
    if len(bars) == 0 or accounts < 1:
        raise InputError(
            "leaves no bar on which an account could be simulated", column="bars", value=f"{first_bar}:{last_bar}"
        )
    bar = np.sort(rng.choice(bars, size=accounts))
    legs = _draw_legs(rng, usable[bar], spec)
    return Population(_book(rng, history, rules, bar, legs, volatility, horizons, spec), bar)


def trailing_volatility(history: MarketHistory) -> FloatArray:
    """Root mean square log return per bar over 30 days, as known at each bar's open, (n_bars + 1, n_series).

    NaN until 30 days of unbroken bars are there.
    """
    window = max(2, int(np.timedelta64(VOLATILITY_DAYS, "D") / history.step))
    squares = np.diff(np.log(history.close), axis=0, prepend=np.nan) ** 2
    missing = np.cumsum(np.isnan(squares), axis=0)
    sums = np.cumsum(np.nan_to_num(squares), axis=0)
    out = np.full((len(history) + 1, squares.shape[1]), np.nan)
    if len(history) > window:
        clean = missing[window:] == missing[:-window]
        out[window + 1 :] = np.where(clean, np.sqrt((sums[window:] - sums[:-window]) / window), np.nan)
    return out


def _known_closes(history: MarketHistory) -> FloatArray:
    return np.vstack((np.full((1, history.close.shape[1]), np.nan), history.close))


@dataclass(frozen=True)
class _Legs:
    """Legs of all pools, padded to the most any has: instrument (-1 for none) and signed share of gross notional."""

    instrument: IntArray
    share: FloatArray

    @property
    def there(self) -> BoolArray:
        return self.instrument >= 0


def _draw_legs(rng: np.random.Generator, usable: BoolArray, spec: PopulationSpec) -> _Legs:
    n, instruments = usable.shape
    most = min(len(spec.legs), instruments)
    odds = np.array(spec.legs[:most]) / sum(spec.legs[:most])
    wanted = rng.choice(np.arange(1, most + 1), size=n, p=odds)
    count = np.minimum(wanted, usable.sum(axis=1))
    # the instruments with the largest random keys, unusable ones never
    keys = np.where(usable, rng.random((n, instruments)), -1.0)
    instrument = np.argsort(-keys, axis=1, kind="stable")[:, :most]
    lean = np.where(rng.random((n, 1)) < spec.long_share, 1.0, -1.0)
    sign = np.where(rng.random((n, most)) < spec.follow_share, lean, -lean)
    sign[:, 0] = lean[:, 0]
    size = rng.exponential(1.0, (n, most)) + 0.1
    there = np.arange(most) < count[:, None]
    size = np.where(there, size, 0.0)
    share = sign * size / size.sum(axis=1, keepdims=True)
    return _Legs(np.where(there, instrument, -1), share)


def _book(
    rng: np.random.Generator,
    history: MarketHistory,
    rules: RuleBook,
    bar: IntArray,
    legs: _Legs,
    volatility: FloatArray,
    horizons: tuple[int, ...],
    spec: PopulationSpec,
) -> AccountBook:
    table, n = history.instruments, len(bar)
    series = history.mark_series[np.maximum(legs.instrument, 0)]
    price = history.close[bar[:, None] - 1, series]
    gross = spec.notional_median * np.exp(spec.notional_spread * rng.standard_normal(n))
    notional = gross[:, None] * legs.share
    quantity = notional / (price * table.multiplier[np.maximum(legs.instrument, 0)])
    entry = _entry_prices(rng, history, bar, series, price, spec)
    profit = np.where(legs.there, notional * (1 - entry / price), 0.0).sum(axis=1)
    maintenance = _maintenance(rules, table.symbols, legs, np.abs(notional))
    sigma = _book_volatility(notional, np.where(legs.there, volatility[bar[:, None], series], 0.0), spec.correlation)
    horizon = rng.choice(np.array(horizons), size=n)
    distance = spec.headroom_median * np.exp(spec.headroom_spread * rng.standard_normal(n))
    equity = maintenance + sigma * np.sqrt(horizon) * distance
    isolated = (legs.there.sum(axis=1) == 1) & (rng.random(n) < spec.isolated_share)
    coin, amount, value = _coin_collateral(rng, history, rules, bar, equity, isolated, spec)
    cash = equity - value - profit
    return _assemble(history, legs, quantity, entry, cash, coin, amount, isolated)


def _entry_prices(
    rng: np.random.Generator,
    history: MarketHistory,
    bar: IntArray,
    series: IntArray,
    price: FloatArray,
    spec: PopulationSpec,
) -> FloatArray:
    age = rng.exponential(spec.entry_age_hours, series.shape) * (np.timedelta64(1, "h") / history.step)
    past = history.close[np.maximum(bar[:, None] - 1 - age.astype(np.int64), 0), series]
    return np.asarray(np.where(np.isnan(past), price, past))


def _maintenance(rules: RuleBook, symbols: tuple[str, ...], legs: _Legs, notional: FloatArray) -> FloatArray:
    needed = np.zeros(notional.shape)
    for i, symbol in enumerate(symbols):
        mine = legs.instrument == i
        if mine.any():
            needed[mine] = rules.schedule_of(symbol).maintenance(notional[mine]) + rules.closing_fee * notional[mine]
    return np.asarray(needed.sum(axis=1))


def _book_volatility(notional: FloatArray, volatility: FloatArray, correlation: float) -> FloatArray:
    risk = notional * volatility
    own, together = (risk**2).sum(axis=1), risk.sum(axis=1) ** 2
    return np.asarray(np.sqrt((1 - correlation) * own + correlation * together))


def _coin_collateral(
    rng: np.random.Generator,
    history: MarketHistory,
    rules: RuleBook,
    bar: IntArray,
    equity: FloatArray,
    isolated: BoolArray,
    spec: PopulationSpec,
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Asset (0 for none), amount and haircut value of each pool's coin collateral."""
    table, n = history.instruments, len(bar)
    has = (rng.random(n) < spec.coin_collateral_share) & ~isolated & (len(table.assets) > 1)
    coin = rng.integers(1, max(2, len(table.assets)), size=n)
    coin = np.where(has, coin, 0)
    part = rng.random(n) * spec.coin_collateral_most
    price = history.close[bar - 1, history.index_series[coin]]
    has &= np.isfinite(price) & (coin > 0)
    coin = np.where(has, coin, 0)
    amount = np.where(has, part * equity / np.where(has, price, 1.0), 0.0)
    value = np.zeros(n)
    for asset in np.unique(coin[has]):
        mine = coin == asset
        haircut = rules.haircut_of(table.assets[asset], table.base)
        value[mine] = haircut.collateral_value(amount[mine] * price[mine])
    return coin, amount, value


def _assemble(
    history: MarketHistory,
    legs: _Legs,
    quantity: FloatArray,
    entry: FloatArray,
    cash: FloatArray,
    coin: IntArray,
    amount: FloatArray,
    isolated: BoolArray,
) -> AccountBook:
    table, n = history.instruments, len(cash)
    there, has_coin = legs.there, coin > 0
    symbol = np.array(table.symbols)[np.maximum(legs.instrument[:, 0], 0)]
    balance = np.stack((cash, amount), axis=1)
    held = np.stack((np.ones(n, dtype=bool), has_coin), axis=1)
    assets = np.stack((np.zeros(n, dtype=np.int64), coin), axis=1)
    width = len(str(n))
    return AccountBook(
        table,
        np.array([f"sim{i:0{width}d}" for i in range(n)]),
        np.full(n, "main"),
        np.where(isolated, symbol, ""),
        np.concatenate(([0], np.cumsum(held.sum(axis=1)))),
        assets[held],
        balance[held],
        np.concatenate(([0], np.cumsum(there.sum(axis=1)))),
        legs.instrument[there],
        quantity[there],
        entry[there],
        np.full(int(there.sum()), np.nan),
    )
