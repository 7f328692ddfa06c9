"""Books, order books and procedures the tests of the waterfall share; not a test itself."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction

import numpy as np

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.waterfall.depth import DepthBook
from margincast.riskcore.waterfall.funds import InsuranceFunds
from margincast.riskcore.waterfall.money import UNIT, unit_value
from margincast.riskcore.waterfall.procedure import POLICIES, RANKINGS, LiquidationProcedure

DAY = dt.date(2024, 1, 1)
TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["COIN"])
FLAT = RateSchedule.marginal([0.0], [0.05], [20.0])
NOBODY = ([(1e-3, 0.0)], [(1e6, 0.0)])


def pools(*rows, coin=()):
    """A book of (cash, [(symbol, quantity, entry), ...]); `coin` is what each holds of COIN."""
    counts = [len(positions) for _, positions in rows]
    held = [(0, cash) for cash, _ in rows]
    balances = [[one] + ([(1, coin[i])] if i < len(coin) and coin[i] else []) for i, one in enumerate(held)]
    flat = [p for _, positions in rows for p in positions]
    return AccountBook(
        TABLE,
        [f"a{i}" for i in range(len(rows))],
        ["main"] * len(rows),
        [""] * len(rows),
        np.cumsum([0, *map(len, balances)]),
        [asset for one in balances for asset, _ in one],
        [amount for one in balances for _, amount in one],
        np.cumsum([0, *counts]),
        TABLE.index_of([symbol for symbol, _, _ in flat]),
        [quantity for _, quantity, _ in flat],
        [entry for _, _, entry in flat],
        [np.nan] * len(flat),
    )


def rules(schedule=FLAT, **options):
    return RuleBook("hand", DAY, {"BTC": schedule, "ETH": schedule}, **options)


def market(btc=100.0, eth=10.0, coin=1.0):
    return MarketState(np.datetime64("2024-01-01"), [btc, eth], [1.0, coin])


def procedure(policy="close_to_target", ranking="return_times_leverage", **options):
    return LiquidationProcedure("hand", DAY, policy, ranking, **options)


def depth(btc=NOBODY, eth=NOBODY, **options):
    return DepthBook.of(TABLE, {"BTC": btc, "ETH": eth}, **options)


def fund(**held):
    return InsuranceFunds.by_settlement(TABLE, held)


def units(amount):
    return round(amount * UNIT)


# A short of 20 from 600 with 1,000: bankrupt at 650. The longs are accounts 1 to 6 of BitMEX's example, with the
# returns that give them its ranking of 3, 6, 1, 4, 5 and 2.
SHORT = (1_000.0, [("BTC", -20.0, 600.0)])
LONGS = [
    (quantity * entry, [("BTC", quantity, entry)])
    for quantity, entry in ((10.0, 550.0), (10.0, 400.0), (20.0, 640.0), (30.0, 500.0), (20.0, 450.0), (10.0, 600.0))
]


def draw_depth(rng, table, mark):
    ladders = {}
    for i, symbol in enumerate(table.symbols):
        contract = table.multiplier[i] * (1.0 if table.kind[i] else mark[i])
        steps = np.cumsum(rng.uniform(1e-4, 1e-2, int(rng.integers(1, 5))))
        sizes = rng.lognormal(0, 1.5, (2, len(steps))) * rng.choice([1e3, 1e5, 1e7]) / contract
        ladders[symbol] = tuple(
            list(zip(mark[i] * (1 + sign * steps), size, strict=True))
            for sign, size in zip((-1, 1), sizes, strict=True)
        )
    return DepthBook.of(table, ladders, impact=float(rng.choice([0, 0.1])), refill=float(rng.choice([0, 0.5])))


def draw_case(draw, seed, **fixed):
    world, rng = draw.world(seed, pools=10), np.random.default_rng([seed, 77])
    table = draw.table
    plan = {
        "policy": POLICIES[seed % len(POLICIES)],
        "adl_ranking": RANKINGS[int(rng.integers(len(RANKINGS)))],
        "target": float(rng.choice([1.0, 1.2])),
        "share": float(rng.uniform(0.1, 1)),
        "share_above": float(rng.choice([0, 1e4])),
        "cooldown_rounds": int(rng.integers(3)),
        "fill_or_kill": bool(rng.integers(2)),
        "limit_at_bankruptcy": bool(rng.integers(2)),
        "takeover_ratio": float(rng.choice([0, 2 / 3, 1])),
        "fee_to_fund": float(rng.choice([0, 0.005])),
        "fee_to_venue": float(rng.choice([0, 0.0005])),
        "adl_profitable_only": bool(rng.integers(2)),
        "impact_weight": float(rng.choice([0, 0.3, 1])),
        "max_rounds": 12,
    }
    money = {
        s: float(rng.choice([0, 10, 1e3])) * (1.0 if k == 0 else 1e-3)
        for s, k in zip(table.symbols, table.kind, strict=True)
    }
    funds = InsuranceFunds.by_instrument(table, money)
    asked = LiquidationProcedure("drawn", DAY, **(plan | fixed))
    return world.book, world.market, world.rules, asked, draw_depth(rng, table, world.market.mark), funds


def worth(ledger, pool, position_pool, mark):
    """Units a pool is worth in each asset at the marks, exactly."""
    table = ledger.instruments
    out = [Fraction(int(c)) for c in ledger.cash[pool]]
    for row in np.flatnonzero(position_pool == pool):
        i = int(ledger.instrument[row])
        value = int(ledger.contracts[row]) * unit_value(table, i, mark[i]) - int(ledger.cost[row])
        out[table.settlement[i]] += value
    return out
