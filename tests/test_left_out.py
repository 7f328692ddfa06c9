"""A market with a span left out: nothing of the span is in it, all else is, and models are fitted around it."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import small_market as small

from margincast.features.market_data import MarketData
from margincast.features.readers.series import SeriesTable
from margincast.riskcore.errors import InputError
from margincast.training import left_out
from margincast.training.dataset import simulated_dataset
from margincast.training.fit import fit_forecaster
from margincast.training.left_out import market_without
from margincast.training.market_view import view_market
from margincast.training.plan import training_bars
from margincast.training.store import save_state

FIRST, LAST = 50 * 24, 56 * 24


def span() -> tuple[np.datetime64, np.datetime64]:
    times = small.data().times
    return times[FIRST], times[LAST]


def whole_market() -> MarketData:
    """The small market with a table of every kind."""
    data = small.data()
    days = data.times[::24]
    when = pd.to_datetime(data.times[5::7], utc=True)
    liquidations = pd.DataFrame({"timestamp": when, "symbol": "BTC", "price": 1.0, "quantity": np.arange(len(when))})
    series = {"flows": SeriesTable("flows", days, np.arange(len(days), dtype=np.float64))}
    trade = {name: values for name, values in data.trade.items() if name in ("open", "high", "low", "close", "volume")}
    spot = replace(data, trade=trade, depth=None, spot_market=None)
    return replace(data, liquidations=liquidations, series=series, spot_market=spot)


def changed_inside(data: MarketData) -> MarketData:
    """The market with all that was recorded in the span changed, and nothing else."""
    moved = small.scrambled(data, FIRST)

    def patched(old, new):
        out = np.array(old)
        out[FIRST:LAST] = new[FIRST:LAST]
        return out

    history, other = data.history, moved.history
    bars = {n: patched(getattr(history, n), getattr(other, n)) for n in ("open", "high", "low", "close", "funding")}
    depth = data.depth.copy()
    when = depth["timestamp"].dt.tz_localize(None).to_numpy()
    depth.loc[(when >= span()[0]) & (when < span()[1]), "notional"] *= 3.0
    plain = {n: patched(getattr(data, n), getattr(moved, n)) for n in ("funding_rate", "open_interest")}
    trade = {name: patched(values, moved.trade[name]) for name, values in data.trade.items()}
    return replace(data, history=replace(history, **bars), trade=trade, depth=depth, **plain)


def arrays_of(data: MarketData) -> dict[str, np.ndarray]:
    history = {n: getattr(data.history, n) for n in ("times", "open", "high", "low", "close", "funding")}
    trade = {f"trade.{name}": values for name, values in data.trade.items()}
    tables = {f"depth.{name}": data.depth[name].to_numpy() for name in data.depth}
    rest = {"funding_rate": data.funding_rate, "open_interest": data.open_interest}
    return history | trade | tables | rest


def test_nothing_recorded_in_the_span_is_left_and_all_else_is():
    data = whole_market()
    gap = market_without(data, *span())
    other = market_without(changed_inside(data), *span())
    for name, values in arrays_of(gap).items():
        np.testing.assert_array_equal(values, arrays_of(other)[name], err_msg=name)
    outside = np.r_[0:FIRST, LAST : len(data.history)]
    for name in ("open", "high", "low", "close"):
        before, after = getattr(data.history, name), getattr(gap.history, name)
        assert before[outside].tobytes() == after[outside].tobytes()
        assert np.isnan(after[FIRST:LAST]).all()
    assert np.isnan(gap.trade["volume"][FIRST:LAST]).all() and np.isfinite(gap.trade["volume"][outside]).all()
    assert np.isnan(gap.spot_market.history.close[FIRST:LAST]).all()
    for table in (gap.depth, gap.liquidations):
        when = table["timestamp"].dt.tz_localize(None).to_numpy()
        assert len(when) and not ((when >= span()[0]) & (when < span()[1])).any()
    gone = sum(FIRST <= bar < LAST for bar in range(5, len(data.history), 7))
    assert len(gap.liquidations) == len(data.liquidations) - gone
    assert len(gap.series["flows"].times) == len(data.series["flows"].times) - 6


def test_the_change_inside_is_seen_by_the_market_itself():
    """The canary above can sing."""
    data = whole_market()
    before, after = arrays_of(data), arrays_of(changed_inside(data))
    same = [name for name in before if np.array_equal(before[name], after[name], equal_nan=before[name].dtype == float)]
    assert set(same) == {"times", "depth.timestamp", "depth.symbol", "depth.side", "depth.level_bps"}


def test_every_field_of_a_market_is_thought_of():
    handled = {"history", "trade", "depth", "liquidations", "series", "spot_market", *left_out.OPTIONAL}
    assert {one.name for one in fields(MarketData)} == handled | {"simulated", "report"}


def test_bars_that_only_overlap_the_span_go_too():
    half = np.timedelta64(30, "m")
    gap = market_without(small.data(), span()[0] + half, span()[1] - half)
    assert np.isnan(gap.history.close[FIRST:LAST]).all()
    assert np.isfinite(gap.history.close[FIRST - 1]).all() and np.isfinite(gap.history.close[LAST]).all()


def test_a_span_outside_the_market_is_refused():
    with pytest.raises(InputError, match="leaves out no bar"):
        market_without(small.data(), np.datetime64("2020-01-01", "ns"), np.datetime64("2020-02-01", "ns"))


def test_no_account_is_known_to_live_into_the_span_or_is_seen_until_windows_are_whole():
    view = view_market(market_without(small.data(), *span()))
    data = simulated_dataset(
        view, small.RULES, (1, 24), accounts=3000, first_bar=31 * 24, last_bar=len(view.history), seed=1
    )
    bar = data.sample.bar
    assert ((bar <= FIRST) | (bar > LAST + 30 * 24)).all() and (bar > LAST).any()
    close = (bar <= FIRST) & (bar + 24 > FIRST)
    assert close.any() and np.isnan(data.breached[close, 1]).all()


def test_a_model_fitted_around_a_span_cannot_know_it(tmp_path):
    """Everything that happened in the span changed: the same bytes of a model; not so where the span is left in."""
    plan = small.plan(rounds=3, accounts=3000, train_end=dt.date(2022, 5, 20))

    def stored(data, name):
        view = view_market(data)
        model = fit_forecaster(view, small.RULES, plan, *training_bars(plan, view.history, 4), (1, 4))
        save_state(model.state(), tmp_path / name)
        return {path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())}

    one, other = small.data(), changed_inside(small.data())
    around = stored(market_without(one, *span()), "around")
    assert stored(market_without(other, *span()), "changed around") == around
    through, changed = stored(one, "through"), stored(other, "changed through")
    boosters = [
        name for name in around if name.startswith(("state.lightgbm", "state.correction", "state.scales.learned"))
    ]
    assert len(boosters) == 8
    for name in boosters:
        assert changed[name] != through[name]
        assert any(int(leaves) > 1 for leaves in re.findall(rb"num_leaves=(\d+)", around[name]))
