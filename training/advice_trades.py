"""Cuts and hedges that are tried on endangered pools, and what a pool looks like after each."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..riskcore.accounts import CROSS, AccountBook
from ..riskcore.arrays import BoolArray, FloatArray, IntArray, NameArray, group_sums, table_sums
from ..riskcore.exposure import Exposure
from ..riskcore.instruments import contract_value
from ..riskcore.margin import MarginState, Stage, evaluate
from ..riskcore.market import MarketState
from ..riskcore.pre_trade import Orders, Refusal, preview_orders
from ..riskcore.what_if import with_deposit, with_leg_reduction
from .advice_costs import AdviceCosts
from .score import Scorer

CUT, LEG_CUT, HEDGE = "position_cut", "leg_cut", "hedge"
SHARE_STEPS = 1000
"""A step of a cut is the 1,000th part of a position, of a hedge that of the pool's gross exposure."""
MOST_CUT = 0.99
MOST_HEDGES = 3
"""Instruments tried as a hedge of a pool, those that would take the most variance off it."""


@dataclass(frozen=True)
class Trades:
    """Trades of which some number of steps can be made, one row each.

    Parameters
    ----------
    kind
        CUT (every position by the same share), LEG_CUT (one position) or HEDGE (another instrument).
    pool
        Pool of the book.
    leg
        Which of the pool's positions is cut; -1 where it is none alone.
    instrument
        What is traded; -1 for a cut of every position.
    step
        Contracts a step, signed: positive buys. 0 for a cut of every position.
    notional
        Worth of a step, base asset.
    most
        Steps that can be made.
    """

    kind: NameArray
    pool: IntArray
    leg: IntArray
    instrument: IntArray
    step: FloatArray
    notional: FloatArray
    most: FloatArray

    def __len__(self) -> int:
        return len(self.pool)

    def take(self, rows: IntArray) -> Trades:
        """These rows, in this order."""
        return Trades(*(getattr(self, column.name)[rows] for column in fields(self)))


def all_trades(scorer: Scorer, book: AccountBook, exposure: Exposure) -> Trades:
    """Every cut and hedge that is tried on the pools of a book: cuts of all, cuts of each leg, hedges."""
    parts = (_cuts(book, scorer.market), _leg_cuts(book, scorer.market), _hedges(scorer, book, exposure))
    return Trades(*(np.concatenate([getattr(part, column.name) for part in parts]) for column in fields(Trades)))


def _notional(book: AccountBook, market: MarketState) -> FloatArray:
    """Worth of each position, base asset."""
    value = contract_value(np.abs(book.position_size), market.mark[book.position_instrument], book.position_inverse)
    return value * market.index[book.position_asset]


def _cuts(book: AccountBook, market: MarketState) -> Trades:
    n = len(book)
    held = np.flatnonzero(np.diff(book.position_pointer) > 0)
    gross = group_sums(book.position_pool, _notional(book, market), n)[held]
    none = np.full(len(held), -1)
    kind, most = np.full(len(held), CUT), np.full(len(held), round(MOST_CUT * SHARE_STEPS), np.float64)
    return Trades(kind, held, none, none, np.zeros(len(held)), gross / SHARE_STEPS, most)


def _leg_cuts(book: AccountBook, market: MarketState) -> Trades:
    """Cuts of single legs, of pools that have several, up to the whole leg."""
    pool, legs = book.position_pool, np.diff(book.position_pointer)
    entry = np.flatnonzero(legs[pool] > 1)
    place = entry - book.position_pointer[pool[entry]]
    kind, most = np.full(len(entry), LEG_CUT), np.full(len(entry), SHARE_STEPS, np.float64)
    step, notional = -book.quantity[entry] / SHARE_STEPS, _notional(book, market)[entry] / SHARE_STEPS
    return Trades(kind, pool[entry], place, book.position_instrument[entry], step, notional, most)


def _hedges(scorer: Scorer, book: AccountBook, exposure: Exposure) -> Trades:
    """Hedges of cross pools, each up to the pool's gross exposure."""
    market, table = scorer.market, book.instruments
    gain, side = _variance_taken_off(scorer, exposure)
    size, inverse = table.multiplier, table.kind != 0
    with np.errstate(invalid="ignore"):
        worth = contract_value(size, market.mark, inverse) * market.index[table.settlement]
    gain[:, ~(worth > 0) | ~_tradable(scorer, book)] = np.nan
    gain[book.isolated != CROSS] = np.nan
    held = table_sums(book.position_pool, book.position_instrument, book.quantity, (len(book), len(table)))
    gain[held * side < 0] = np.nan  # that would be a cut
    ranked = np.argsort(-np.where(gain > 0, gain, -1.0), axis=1, kind="stable")[:, :MOST_HEDGES]
    pool, instrument = np.repeat(np.arange(len(book)), ranked.shape[1]), ranked.ravel()
    some = gain[pool, instrument] > 0
    pool, instrument = pool[some], instrument[some]
    notional = exposure.gross[pool] / SHARE_STEPS
    step = side[pool, instrument] * notional / worth[instrument]
    none, most = np.full(len(pool), -1), np.full(len(pool), SHARE_STEPS, np.float64)
    return Trades(np.full(len(pool), HEDGE), pool, none, instrument, step, notional, most)


def _tradable(scorer: Scorer, book: AccountBook) -> BoolArray:
    """Whether each instrument has not expired and has a tier table of the venue's own."""
    table = book.instruments
    strange = set(scorer.rules.generic_symbols(table.symbols))
    return ~table.expired(scorer.market.time) & np.array([s not in strange for s in table.symbols], np.bool_)


def _variance_taken_off(scorer: Scorer, exposure: Exposure) -> tuple[FloatArray, FloatArray]:
    """Squared correlation of each pool with each instrument, and the side that hedges: shape (n_pools, n_instruments).

    By the 24-hour volatilities and the correlations of the account features.
    """
    series = scorer.view.history.mark_series
    sigma, correlation = scorer.risk.sigma[0, :, 1], scorer.risk.correlation[0]
    weight = table_sums(exposure.pool, exposure.series, exposure.weight, (len(exposure), len(sigma)))
    joint = np.where(np.isnan(correlation), 0.0, correlation) * np.outer(sigma, sigma)
    joint = np.where(np.isfinite(joint), joint, 0.0)
    with_each = weight @ joint
    variance = np.einsum("ps,ps->p", with_each, weight)
    alone = np.diag(joint)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = with_each**2 / (variance[:, None] * alone)
    return gain[:, series], -np.sign(with_each[:, series])


class Trial:
    """A book on which measures are tried: what they cost, and what is forecast after them.

    Parameters
    ----------
    scorer, book
        The forecaster and the pools.
    horizon
        Place of the horizon among the scorer's.
    costs
        What trades cost; it is taken from the balance, so that a measure is judged with its cost paid.
    """

    def __init__(self, scorer: Scorer, book: AccountBook, horizon: int, costs: AdviceCosts) -> None:
        self.scorer, self.book, self.horizon, self.costs = scorer, book, horizon, costs

    def after_deposit(self, pool: IntArray, deposit: FloatArray) -> FloatArray:
        """Probability of pools after a deposit; 1 where it leaves them in breach."""
        changed = with_deposit(self.book.take(pool), deposit)
        return self._probability(changed, evaluate(changed, self.scorer.market, self.scorer.rules))

    def after(self, trades: Trades, steps: FloatArray, deposit: FloatArray) -> FloatArray:
        """Probability after a deposit, then trades; 1 where that leaves a breach or the trade cannot be made.

        It cannot where the order book is not deep enough or the venue would refuse a hedge (`preview_orders`).
        """
        market, rules = self.scorer.market, self.scorer.rules
        book = with_deposit(self.book.take(trades.pool), deposit)
        book, too_large = self._reduced(book, trades, steps)
        hedges = np.where(trades.kind == HEDGE, steps, 0.0) * trades.step
        if not hedges.any():
            return np.where(too_large, 1.0, self._probability(book, evaluate(book, market, rules)))
        instrument = np.maximum(trades.instrument, 0)
        rate = self._rates(instrument, hedges)
        too_large |= (hedges != 0) & np.isnan(rate)
        quantity = np.where(too_large, 0.0, hedges)
        price = np.where(quantity != 0, market.mark[instrument], 1.0)
        orders = Orders(instrument, quantity, price, fee_rate=np.where(np.isnan(rate), 0.0, rate))
        preview = preview_orders(book, market, rules, orders)
        refused = too_large | (preview.refusal != Refusal.NONE)
        return np.where(refused, 1.0, self._probability(preview.book, preview.after))

    def cost(self, trades: Trades, steps: FloatArray) -> FloatArray:
        """Fee and slippage of trades, base asset; NaN where the order book is not deep enough."""
        book = self.book.take(trades.pool)
        share, rate = self._closed(book, trades, steps)
        closed = group_sums(book.position_pool, _notional(book, self.scorer.market) * share * rate, len(book))
        hedges = np.where(trades.kind == HEDGE, steps, 0.0)
        hedge_rate = self._rates(np.maximum(trades.instrument, 0), hedges * trades.step)
        return closed + np.where(hedges != 0, hedges * trades.notional * hedge_rate, 0.0)

    def _reduced(self, book: AccountBook, trades: Trades, steps: FloatArray) -> tuple[AccountBook, BoolArray]:
        share, rate = self._closed(book, trades, steps)
        unknown = group_sums(book.position_pool, np.isnan(rate).astype(np.float64), len(book)) > 0
        reduced = with_leg_reduction(book, share, self.scorer.market, fee_rate=np.where(np.isnan(rate), 0.0, rate))
        return reduced, unknown

    def _closed(self, book: AccountBook, trades: Trades, steps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Share of each position that is closed, and its cost, fraction of what is closed."""
        pool = book.position_pool
        place = np.arange(len(pool)) - book.position_pointer[pool]
        mine = (trades.kind[pool] == CUT) | ((trades.kind[pool] == LEG_CUT) & (place == trades.leg[pool]))
        share = np.where(mine, np.minimum(steps[pool] / SHARE_STEPS, 1.0), 0.0)
        return share, self._rates(book.position_instrument, -book.quantity * share)

    def _rates(self, instrument: IntArray, quantity: FloatArray) -> FloatArray:
        return self.costs.trade_rates(self.book.instruments, self.scorer.market, instrument, quantity)

    def _probability(self, book: AccountBook, margin: MarginState) -> FloatArray:
        said = self.scorer.predict(book)["forecast"][:, self.horizon]
        return np.where(margin.stage >= Stage.LIQUIDATION, 1.0, said)
