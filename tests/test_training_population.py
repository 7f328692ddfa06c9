"""Simulated accounts and their labels: seeds, distributions, headroom by the core, outcomes by plain evaluation."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.margin import evaluate, is_breached
from margincast.riskcore.market import UNIT_INDEX, MarketHistory, MarketState
from margincast.training.dataset import Dataset, simulated_dataset
from margincast.training.population import Population, PopulationSpec, simulate_accounts, trailing_volatility

FIRST, LAST = 31 * 24, 31 * 24 + 40


def population(history: MarketHistory | None = None, seed: int = 1, **changes) -> Population:
    settings = {"accounts": 500, "first_bar": FIRST, "last_bar": LAST, "horizons": (1, 4, 24)} | changes
    return simulate_accounts(history or small.data().history, small.RULES, seed=seed, **settings)


def arrays(book: AccountBook) -> dict[str, np.ndarray]:
    return {name: values for name, values in vars(book).items() if isinstance(values, np.ndarray)}


def same_book(one: AccountBook, other: AccountBook) -> bool:
    return all(a.tobytes() == arrays(other)[name].tobytes() for name, a in arrays(one).items())


def headroom(history: MarketHistory, drawn: Population) -> np.ndarray:
    out = np.empty(len(drawn.bar))
    for bar in np.unique(drawn.bar):
        rows = np.flatnonzero(drawn.bar == bar)
        out[rows] = evaluate(drawn.book.take(rows), history.state_at(int(bar)), small.RULES).headroom
    return out


# -- population ---------------------------------------------------------------------------------------------------


def test_same_seed_same_accounts_another_seed_others():
    one, again, other = population(), population(), population(seed=2)
    assert same_book(one.book, again.book) and (one.bar == again.bar).all()
    assert not np.array_equal(one.book.quantity[:9], other.book.quantity[:9])
    assert (np.diff(one.bar) >= 0).all() and one.bar.min() >= FIRST and one.bar.max() < LAST


def test_the_documented_distributions_hold():
    """Within four standard errors of what PopulationSpec says (few bars have no usable instrument)."""
    spec, n = PopulationSpec(), 20_000
    book = population(accounts=n, spec=spec).book
    legs = np.diff(book.position_pointer)
    odds = np.array(spec.legs[:3]) / sum(spec.legs[:3])
    for count in (1, 2, 3):
        assert (legs == count).mean() == pytest.approx(odds[count - 1], abs=4 * np.sqrt(0.25 / n))
    first = book.position_pointer[:-1]
    assert (book.quantity[first] > 0).mean() == pytest.approx(spec.long_share, abs=4 * np.sqrt(0.25 / n))
    further = np.setdiff1d(np.arange(len(book.quantity)), first)
    pool = np.repeat(np.arange(n), legs)
    follows = np.sign(book.quantity[further]) == np.sign(book.quantity[first[pool[further]]])
    assert follows.mean() == pytest.approx(spec.follow_share, abs=0.02)
    isolated = book.isolated != ""
    assert isolated[legs == 1].mean() == pytest.approx(spec.isolated_share, abs=0.025)
    assert not isolated[legs > 1].any()
    with_coin = np.diff(book.balance_pointer) == 2
    assert with_coin[~isolated].mean() == pytest.approx(spec.coin_collateral_share, abs=0.02)
    assert not with_coin[isolated].any()


def test_gross_notional_is_lognormal_as_said():
    history, drawn = small.data().history, population(accounts=8000)
    pool = np.repeat(np.arange(8000), np.diff(drawn.book.position_pointer))
    price = history.close[drawn.bar[pool] - 1, history.mark_series[drawn.book.position_instrument]]
    gross = np.log(np.bincount(pool, np.abs(drawn.book.quantity) * price))
    spec = PopulationSpec()
    assert np.median(gross) == pytest.approx(np.log(spec.notional_median), abs=0.09)
    assert gross.std() == pytest.approx(spec.notional_spread, rel=0.04)


def test_headroom_by_the_core_is_the_drawn_multiple_of_the_books_volatility():
    """With no spread every headroom is two 30-day volatilities over one of the horizons, by riskcore."""
    history = small.data().history
    spec = PopulationSpec(headroom_spread=0.0, headroom_median=2.0)
    drawn = population(spec=spec, horizons=(4,))
    book, volatility = drawn.book, trailing_volatility(history)
    expected = np.empty(len(book))
    for p in range(len(book)):
        mine = slice(book.position_pointer[p], book.position_pointer[p + 1])
        series = history.mark_series[book.position_instrument[mine]]
        bar = drawn.bar[p]
        risk = book.quantity[mine] * history.close[bar - 1, series] * volatility[bar, series]
        expected[p] = 2.0 * np.sqrt(4 * (0.4 * (risk**2).sum() + 0.6 * risk.sum() ** 2))
    assert headroom(history, drawn) == pytest.approx(expected, rel=1e-7)


def test_headrooms_are_positive_and_spread_as_said():
    drawn = population(accounts=3000, horizons=(4,))
    flat = population(accounts=3000, horizons=(4,), spec=PopulationSpec(headroom_spread=0.0))
    ratio = np.log(headroom(small.data().history, drawn) / headroom(small.data().history, flat))
    assert np.median(ratio) == pytest.approx(0.0, abs=0.06)
    assert ratio.std() == pytest.approx(PopulationSpec().headroom_spread, rel=0.06)


def test_entry_prices_are_past_closes():
    history, drawn = small.data().history, population()
    pool = np.repeat(np.arange(len(drawn.bar)), np.diff(drawn.book.position_pointer))
    for entry, instrument, bar in zip(
        drawn.book.entry_price[:200], drawn.book.position_instrument[:200], drawn.bar[pool][:200], strict=True
    ):
        assert entry in history.close[:bar, history.mark_series[instrument]]


def test_no_price_at_or_after_the_last_bar_is_looked_at():
    """Pools seen before bar LAST know bars before LAST - 1 at most; changing all from there on changes no bit."""
    changed = small.scrambled(small.data(), LAST - 1).history
    assert not np.array_equal(changed.close, small.data().history.close)
    assert same_book(population(changed).book, population().book)
    assert not same_book(population(small.scrambled(small.data(), LAST - 30).history).book, population().book)


def test_trailing_volatility_equals_its_formula_and_needs_thirty_unbroken_days():
    history = small.data().history
    closes = np.array(history.close[:, :1])
    gap = 1500
    closes[gap] = np.nan
    prices = dict.fromkeys(("open", "high", "low", "close"), closes)
    table = replace(history, **prices, mark_series=np.zeros(3, int), index_series=np.array([-1, 0, 0, 0]))
    volatility = trailing_volatility(table)[:, 0]
    window = 30 * 24
    assert np.isnan(volatility[: window + 1]).all() and np.isfinite(volatility[window + 1])
    for bar in (window + 1, 1000, gap, gap + window + 2):
        returns = np.diff(np.log(closes[bar - window - 1 : bar, 0]))
        assert volatility[bar] == pytest.approx(np.sqrt((returns**2).mean()), rel=1e-9)
    assert np.isnan(volatility[gap + 1 : gap + window + 2]).all()


def test_no_account_is_seen_where_no_instrument_has_a_past():
    with pytest.raises(InputError, match="no bar on which an account could be simulated"):
        population(first_bar=1, last_bar=30 * 24)
    with pytest.raises(InputError, match="no bar"):
        population(accounts=0)
    assert population(first_bar=1, last_bar=30 * 24 + 5).bar.min() == 30 * 24 + 1


# -- labels -------------------------------------------------------------------------------------------------------


def states(history: MarketHistory, bar: int) -> list[MarketState]:
    """Every price at its low, at its high, at its close."""
    out = []
    for prices in (history.low[bar], history.high[bar], history.close[bar]):
        index = np.where(history.index_series == UNIT_INDEX, 1.0, prices[history.index_series])
        out.append(MarketState(history.times[bar], prices[history.mark_series], index))
    return out


def funded(book: AccountBook, history: MarketHistory, bar: int) -> AccountBook:
    """The book after paying the funding due at the open of `bar`, on the closes before it."""
    pool = np.repeat(np.arange(len(book)), np.diff(book.position_pointer))
    close = history.close[bar - 1, history.mark_series[book.position_instrument]]
    due = history.funding[bar, book.position_instrument] * book.quantity * close
    balance = np.array(book.balance)
    balance[book.balance_pointer[:-1]] -= np.bincount(pool, due, len(book))
    return replace(book, balance=balance)


def first_breach(book: AccountBook, history: MarketHistory, start: int, horizon: int) -> int | None:
    for bar in range(start, start + horizon):
        if bar > start:
            book = funded(book, history, bar)
        for state in states(history, bar):
            margin = evaluate(book, state, small.RULES)
            if is_breached(margin.equity, margin.maintenance, small.RULES)[0]:
                return bar
    return None


def test_labels_equal_a_plain_evaluation_of_every_bar():
    data, history = small.dataset(), small.data().history
    chosen = np.random.default_rng(0).choice(len(data), 40, replace=False)
    assert (data.book.balance_asset[data.book.balance_pointer[:-1]] == 0).all()  # `funded` pays from the first balance
    found = []
    for row in chosen:
        start = int(data.sample.bar[row])
        bar = first_breach(data.book.take(np.array([row])), history, start, 24)
        expected = [float(bar is not None and bar - start < h) for h in small.HORIZONS]
        assert data.breached[row].tolist() == expected, f"row {row}"
        found.append(bar is not None)
    assert 5 < sum(found) < 35  # the sample says something about both


def labelled(history_changes: dict[str, np.ndarray]) -> Dataset:
    view = small.view()
    data = replace(view.data, history=replace(view.data.history, **history_changes))
    view = type(view)(data, view.frame, sys.modules[type(view).__module__].build_pyramid(data.history))
    return simulated_dataset(
        view, small.RULES, small.HORIZONS, accounts=400, first_bar=FIRST, last_bar=FIRST + 60, seed=5
    )


def test_no_label_reaches_over_a_gap_whatever_came_before_it():
    """A row that was liquidated before the gap is as unknown as one that was not: else only the bad ends are known."""
    history, gap = small.data().history, FIRST + 45
    holed = {}
    for name in ("open", "high", "low", "close"):
        holed[name] = np.array(getattr(history, name))
        holed[name][gap] = np.nan
    whole, data = labelled({}), labelled(holed)
    assert (whole.sample.bar == data.sample.bar).all() and not np.isnan(whole.breached).any()
    for k, horizon in enumerate(small.HORIZONS):
        hidden = (data.sample.bar <= gap) & (data.sample.bar + horizon > gap)
        unknown = np.isnan(data.breached[:, k])
        assert (unknown == hidden).all()
        assert (data.breached[~unknown, k] == whole.breached[~unknown, k]).all()
    before = whole.outcome.within(small.HORIZONS[-1]) & (whole.outcome.breach_bar < gap) & (whole.sample.bar <= gap)
    assert np.isnan(data.breached[before & (whole.sample.bar + small.HORIZONS[-1] > gap), -1]).any()


def test_no_label_looks_at_the_last_bar_or_beyond():
    data = small.dataset()
    assert data.sample.bar.max() + small.HORIZONS[-1] <= len(small.data().history)


def test_days_are_utc_days_of_the_instant_a_pool_is_seen_at():
    data, times = small.dataset(), small.data().history.times
    expected = times[data.sample.bar].astype("datetime64[D]").astype(np.int64)
    assert (data.day == expected).all()


def test_outcomes_fall_with_headroom_and_rise_with_horizon():
    data = small.dataset()
    near = data.sample.column("distance_ewma") < np.median(data.sample.column("distance_ewma"))
    assert (data.breached[near].mean(axis=0) > data.breached[~near].mean(axis=0)).all()
    assert (np.diff(data.breached, axis=1) >= 0).all()
