"""What all tests share: how hypothesis draws, and random books, rules and price histories for the margin core."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import settings

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.market import UNIT_INDEX, MarketHistory, MarketState
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook

settings.register_profile("margincast", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("margincast")

# Linear in the base asset, linear in another stablecoin, inverse in coin.
TABLE = InstrumentTable(
    ("BTC", "ETH", "ALT", "BTC_C", "BTC_INV", "ETH_INV"),
    [LINEAR, LINEAR, LINEAR, LINEAR, INVERSE, INVERSE],
    [1.0, 0.1, 10.0, 1.0, 100.0, 10.0],
    [0, 0, 0, 3, 1, 2],
    ("USDT", "BTC", "ETH", "USDC"),
)
MARKS = np.array([50_000.0, 3_000.0, 0.4, 50_100.0, 49_900.0, 2_990.0])
INDICES = np.array([1.0, 49_950.0, 2_995.0, 0.999])
# Columns of prices: a mark each, and the index of USDC.
MARK_SERIES, INDEX_SERIES = np.arange(6), np.array([UNIT_INDEX, 0, 1, 6])
SCHEDULES = ("marginal", "cliff", "rounded", "falling")


@dataclass(frozen=True)
class World:
    """A book under rules in a market, all drawn from one seed."""

    book: AccountBook
    market: MarketState
    rules: RuleBook

    @property
    def gross(self):
        """Sum of the absolute amounts each pool's margin is made of, base asset: the scale of its rounding."""
        book, table = self.book, self.book.instruments
        instrument, pool = book.position_instrument, np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
        size = np.abs(book.quantity) * table.multiplier[instrument]
        inverse = table.kind[instrument] == INVERSE
        worth = sum(np.where(inverse, size / p, size * p) for p in (self.market.mark[instrument], book.entry_price))
        worth = worth * self.market.index[table.settlement[instrument]]
        held = np.abs(book.balance) * self.market.index[book.balance_asset]
        holder = np.repeat(np.arange(len(book)), np.diff(book.balance_pointer))
        return np.bincount(pool, worth, len(book)) + np.bincount(holder, held, len(book))


def draw_schedule(rng, unit, kinds=SCHEDULES):
    """Tiers of one contract, with floors around `unit` of its settlement asset."""
    tiers = int(rng.integers(1, 9))
    floors = np.concatenate(([0.0], np.cumsum(rng.exponential(unit, tiers - 1) + 1e-3 * unit)))
    rates = np.sort(np.exp(rng.uniform(np.log(0.003), np.log(0.4), tiers)))
    leverage = np.sort(rng.uniform(1, 125, tiers))[::-1]
    kind = rng.choice(kinds)
    if kind == "marginal":
        return RateSchedule.marginal(floors, rates, leverage)
    if kind == "cliff":
        return RateSchedule.cliff(floors, rates, leverage)
    if kind == "falling":
        return RateSchedule.cliff(floors, rates[::-1], leverage)
    exact = RateSchedule.marginal(floors, rates, leverage).deductions
    return RateSchedule(floors, rates, np.round(exact, 2 - int(np.log10(unit))), leverage)


def draw_haircut(rng, least=0.0):
    slices = int(rng.integers(1, 5))
    floors = np.concatenate(([0.0], np.cumsum(rng.exponential(2e5, slices - 1) + 1.0)))
    return HaircutSchedule(floors, rng.choice([rng.uniform(least, 1.0), 0.95, 1.0], slices))


def draw_rules(rng, kinds=SCHEDULES, base_haircut=True):
    units = [5e4, 5e4, 5e4, 5e4, 1.0, 20.0]
    return RuleBook(
        "drawn",
        dt.date(2024, 1, 1),
        {symbol: draw_schedule(rng, unit, kinds) for symbol, unit in zip(TABLE.symbols, units, strict=True)},
        {asset: draw_haircut(rng) for asset in TABLE.assets[0 if base_haircut else 1 :]},
        closing_fee=float(rng.choice([0.0, 0.0006])),
        strict_trigger=bool(rng.integers(2)),
    )


def draw_market(rng):
    moves = np.exp(rng.normal(0, 0.05, 10))
    return MarketState(np.datetime64("2024-01-01"), MARKS * moves[:6], INDICES * np.append(1.0, moves[6:9]))


def draw_book(rng, pools, leverage=8.0, instruments=range(6)):
    """Pools of 0 to 7 positions and 0 to 4 balances; some hedged, some in debt, some with equal positions."""
    counts, held = rng.integers(0, 8, pools), rng.integers(0, 5, pools)
    instrument = rng.choice(list(instruments), counts.sum())
    mark, inverse = MARKS[instrument], TABLE.kind[instrument] == INVERSE
    worth = rng.lognormal(9.5, 1.5, counts.sum())
    contracts = worth / TABLE.multiplier[instrument] / np.where(inverse, 1.0, mark)
    entry = mark * np.exp(rng.normal(0, 0.03, counts.sum()))
    pool, holder = np.repeat(np.arange(pools), counts), np.repeat(np.arange(pools), held)
    if len(instrument) > 4:
        contracts[3], entry[3], instrument[3] = contracts[4], entry[4], instrument[4]
    asset = rng.integers(0, 4, held.sum())
    value = (np.bincount(pool, worth, pools)[holder] + 1e3) / leverage * rng.lognormal(0, 0.8, held.sum())
    value *= rng.choice([1.0, 1.0, 1.0, -0.1], held.sum())
    return AccountBook(
        TABLE,
        np.array([f"account {i}" for i in range(pools)]),
        np.full(pools, "main"),
        np.full(pools, ""),
        np.append(0, np.cumsum(held)),
        asset,
        value / INDICES[asset],
        np.append(0, np.cumsum(counts)),
        instrument,
        contracts * rng.choice([-1, 1], counts.sum()),
        entry,
        rng.choice([np.nan, 5.0, 20.0], counts.sum()),
    )


def draw_history(rng, bars, volatility=0.01, gaps=0.0, funding=True):
    """Bars of correlated random walks, with funding every few bars; a fraction `gaps` of the bars is missing."""
    start = np.append(MARKS, 0.999)
    steps = rng.normal(0, volatility, (bars, 7)) + rng.normal(0, volatility, (bars, 1))
    steps[:, 6] *= 0.05
    close = start * np.exp(np.cumsum(steps, axis=0))
    opened = np.vstack((start, close[:-1]))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, volatility / 2, close.shape)))
    low = np.minimum(opened, close) / np.exp(np.abs(rng.normal(0, volatility / 2, close.shape)))
    missing = rng.random(close.shape) < gaps
    opened, high, low, close = (np.where(missing, np.nan, p) for p in (opened, high, low, close))
    rate = np.where(rng.random((bars, 1)) < 0.2, rng.normal(0, 2e-3, (bars, 6)), 0.0) * funding
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "h")
    return MarketHistory(TABLE, times, opened, high, low, close, MARK_SERIES, INDEX_SERIES, rate)


@pytest.fixture(scope="session")
def draw():
    """The drawing functions, each from a seed: draw.world(seed, pools), draw.history(seed, bars, ...), ..."""
    return Draw()


class Draw:
    """Everything is a function of the seed it is given."""

    table = TABLE

    def world(self, seed, pools=12, **options):
        rng = np.random.default_rng([seed, 1])
        market, rules = draw_market(rng), draw_rules(rng, **options)
        return World(draw_book(rng, pools, leverage=float(rng.choice([2.0, 8.0, 25.0]))), market, rules)

    def rules(self, seed, **options):
        return draw_rules(np.random.default_rng([seed, 2]), **options)

    def market(self, seed):
        return draw_market(np.random.default_rng([seed, 3]))

    def book(self, seed, pools, **options):
        return draw_book(np.random.default_rng([seed, 4]), pools, **options)

    def history(self, seed, bars, **options):
        return draw_history(np.random.default_rng([seed, 5]), bars, **options)
