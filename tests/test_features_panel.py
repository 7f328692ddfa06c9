"""The panel of features: point in time to the bit, complete, and silent about tables that are not there."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margincast.features import panel
from margincast.features.bar_table import bar_table
from margincast.features.clock import Clock
from margincast.features.engine.bars import BarTable
from margincast.features.engine.feature_set import FeatureSet
from margincast.features.engine.step import Declaration
from margincast.features.frame import FeatureFrame
from margincast.features.market_data import MarketData
from margincast.features.readers.folder import read_market_folder
from margincast.features.releases import Releases
from margincast.features.volatility import estimators as volatility
from margincast.riskcore.errors import InputError
from margincast.training.market_simulator import simulate_market, write_market_folder

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
OF_TIME = {one.name for step in (Clock, Releases) for one in step.declarations}
PRICES = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    tables = simulate_market(seed=9, days=60, symbols=("BTC", "ETH", "SOL"))
    spot = tables["perp"].assign(symbol=tables["perp"]["symbol"] + "_USDT")
    wobble = np.exp(np.random.default_rng(0).normal(0, 1e-3, len(spot)))
    tables["spot"] = spot.assign(close=spot["close"] * wobble)
    return read_market_folder(write_market_folder(tables, tmp_path_factory.mktemp("m") / "market", {"seed": 9}))


@pytest.fixture(scope="module")
def frame(data):
    return panel.build_features(data)


def other_bars(values, first, rng):
    out = values.copy()
    out[first:] = np.exp(rng.normal(0, 0.1, out[first:].shape)) * 50.0
    return out


def other_prices(values, first, rng):
    middle, width = other_bars(values["close"], first, rng), np.exp(np.abs(rng.normal(0, 0.02, values["close"].shape)))
    changed = {"open": middle / np.sqrt(width), "high": middle * width, "low": middle / width, "close": middle}
    return {name: np.where(np.arange(len(middle))[:, None] < first, values[name], changed[name]) for name in PRICES}


def with_another_future(data, first, seed):
    """The same market up to bar `first`, random from there on."""
    rng = np.random.default_rng(seed)
    history = data.history
    marks = other_prices({name: getattr(history, name) for name in PRICES}, first, rng)
    trade = other_prices(data.trade, first, rng) | {"volume": other_bars(data.trade["volume"], first, rng)}
    rate = data.funding_rate.copy()
    rate[first:] = rng.normal(0, 1e-3, rate[first:].shape)
    depth = data.depth.copy()
    late = (depth["timestamp"] >= pd.Timestamp(history.times[first], tz="UTC")).to_numpy()
    depth.loc[late, "notional"] = rng.uniform(1, 1e6, late.sum())
    return replace(
        data,
        history=replace(history, **marks, funding=np.nan_to_num(rate)),
        trade=trade,
        funding_rate=rate,
        open_interest=other_bars(data.open_interest, first, rng),
        spot_close=other_bars(data.spot_close, first, rng),
        depth=depth,
    )


def rows_that_changed(frame, other, name):
    one, two = frame.column(name), other.column(name)
    differs = ~((one == two) | (np.isnan(one) & np.isnan(two)))
    return frame.bars[differs.any(axis=1)]


@pytest.mark.parametrize("first", [900, 1003, 1203])
def test_no_feature_sees_the_bar_that_opens_or_any_after_it(data, frame, first):
    other = panel.build_features(with_another_future(data, first, seed=first))
    assert other.names == frame.names
    for name in frame.names:
        changed = rows_that_changed(frame, other, name)
        assert (changed > first).all(), f"{name} at bar {changed.min()} saw bar {first}"
        assert len(changed) or name in OF_TIME, f"{name} was not put to the test"


class Peeking:
    """A step that looks one bar ahead in a table."""

    declarations = (Declaration("next", "Next return", "log return", ("close",), 0.0, ""),)

    def start(self, symbols):
        return {}

    def run(self, state, table, at):
        returns = np.diff(np.log(table.columns["close"]), axis=0, append=np.nan)
        return returns[at - 1][:, :, None]


def test_the_canary_dies_of_a_feature_that_looks_one_bar_ahead(data):
    features = FeatureSet([Peeking()])
    frame, other = (features.batch(bar_table(d)) for d in (data, with_another_future(data, 900, seed=1)))
    assert rows_that_changed(frame, other, "next").min() == 900


def until(data, bars):
    history = data.history
    cut = {name: getattr(history, name)[:bars] for name in (*PRICES, "times", "funding")}
    return MarketData(
        replace(history, **cut),
        {name: values[:bars] for name, values in data.trade.items()},
        data.funding_rate[:bars],
        data.open_interest[:bars],
        data.spot_close[:bars],
        data.depth,
        None,
        data.simulated,
        data.report,
    )


@pytest.mark.parametrize("bars", [800, 1111])
def test_what_was_known_then_is_what_is_said_now(data, frame, bars):
    then = panel.build_features(until(data, bars))
    assert then.times[-1] == data.times[bars]
    np.testing.assert_array_equal(then.values, frame.values[:bars])


def test_rows_stand_at_the_instants_they_were_known(data, frame):
    assert frame.bars[[0, -1]].tolist() == [1, 1440]
    assert frame.times[-1] == data.times[-1] + np.timedelta64(1, "h")
    assert frame.values.shape == (1440, 3, len(frame.names))
    same = volatility.log_per_hour(volatility.parkinson(data.mark("high"), data.mark("low"), 24), 1.0)
    np.testing.assert_allclose(frame.column("log_parkinson_24h"), same, rtol=1e-13)
    noon = frame.times.astype("datetime64[h]").astype(int) % 24 == 12
    assert frame.column("hour_cos")[noon] == pytest.approx(-1.0)


def test_every_feature_is_known_at_the_end_of_two_months(frame):
    unknown = [name for name in frame.names if np.isnan(frame.column(name)[-1]).any()]
    assert unknown == []
    assert len(set(frame.names)) == len(frame.names)
    assert not np.isinf(frame.values).any()


@pytest.mark.parametrize("every", [7, 24, 1439, 2000])
def test_fewer_rows_are_some_of_the_rows(data, frame, every):
    thin = panel.build_features(data, every)
    assert thin.bars.tolist() == sorted(range(1440, 0, -every))
    np.testing.assert_array_equal(thin.values, frame.at(thin.bars))


def test_the_same_market_gives_the_same_bits(data, frame):
    np.testing.assert_array_equal(panel.build_features(data).values, frame.values)


def test_features_of_tables_that_are_not_there_are_not_named(tmp_path, frame):
    tables = simulate_market(seed=9, days=12, symbols=("BTC", "ETH"))
    lone = read_market_folder(write_market_folder({"perp": tables["perp"]}, tmp_path / "perp", {}))
    names = panel.build_features(lone).names
    of_tables = {
        n for n in frame.names if n.startswith(("funding", "basis", "open_interest", "log_depth", "imbalance"))
    }
    assert len(of_tables) == 14
    assert set(frame.names) - set(names) == of_tables


def test_a_coin_without_a_mark_has_no_mark_close(tmp_path):
    tables = simulate_market(seed=9, days=3, symbols=("BTC", "ETH"))
    tables["mark"] = tables["mark"][tables["mark"]["symbol"] == "BTC"]
    table = bar_table(read_market_folder(write_market_folder(tables, tmp_path / "m", {})))
    assert table.symbols == ("BTC", "ETH")
    assert np.isnan(table.columns["mark_close"][:, 1]).all() and not np.isnan(table.columns["mark_close"][:, 0]).any()
    np.testing.assert_array_equal(table.columns["close"][:, 1], table.columns["last_close"][:, 1])


def test_windows_shorter_than_two_bars_are_not_named(tmp_path):
    tables = {"perp": simulate_market(seed=2, days=120, symbols=("BTC", "ETH"), step="8h")["perp"]}
    names = panel.build_features(read_market_folder(write_market_folder(tables, tmp_path / "m", {}))).names
    assert "log_realised_6h" not in names and "return_4h" not in names
    assert "log_realised_24h" in names and "log_ewma_3h" in names


@pytest.mark.parametrize("hours", [1, 7, 36, 48, 72, 168, 720])
def test_bars_of_any_length_have_a_panel(hours):
    columns = {name: np.ones((1, 2)) for name in (*PRICES, *(f"last_{name}" for name in PRICES), "volume")}
    times = np.array(["2024-01-01"], "datetime64[ns]")
    names = panel.panel_features(BarTable(times, np.timedelta64(hours, "h"), ("BTC", "ETH"), columns)).names
    assert ("average_correlation_72h" in names) == (hours <= 36)


def test_one_coin_has_no_correlation(tmp_path):
    tables = {"perp": simulate_market(seed=2, days=12, symbols=("BTC",))["perp"]}
    names = panel.build_features(read_market_folder(write_market_folder(tables, tmp_path / "m", {}))).names
    assert not [name for name in names if "correlation" in name or "absorption" in name]


def test_a_distance_between_rows_must_be_positive(data):
    with pytest.raises(InputError, match="at least one bar"):
        panel.build_features(data, 0)


# --- the frame --------------------------------------------------------------------------------------------------------


def small():
    times = np.array(["2024-01-01T02", "2024-01-01T04", "2024-01-01T06"], "datetime64[ns]")
    return FeatureFrame(times, [2, 4, 6], ("BTC", "ETH"), ("a", "b", "c"), np.arange(18.0).reshape(3, 2, 3))


def test_a_frame_is_asked_by_name_and_by_bar():
    frame = small()
    assert len(frame) == 3
    assert frame.column("b").tolist() == [[1, 4], [7, 10], [13, 16]]
    assert frame.at([6, 2])[:, 1, 2].tolist() == [17, 5]
    with pytest.raises(ValueError, match="read-only"):
        frame.values[0] = 1.0


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda f: f.column("d"), "column name: is not a feature of this market (found 'd')"),
        (lambda f: f.at([4, 5]), "row 1, column bars: has no row of features (found 5)"),
        (lambda f: f.at([7]), "row 0, column bars: has no row of features (found 7)"),
        (lambda f: replace(f, bars=[2, 2, 4]), "column bars: bars must rise"),
        (lambda f: replace(f, names=("a",)), "column values: has shape (3, 2, 3), expected (3, 2, 1)"),
    ],
)
def test_a_frame_says_what_it_does_not_have(ask, message):
    with pytest.raises(InputError) as caught:
        ask(small())
    assert str(caught.value) == message


# --- real bars --------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")
def test_crashes_and_weekends_of_real_bars():
    data = read_market_folder(SHARED / "data" / "binance_1h")
    frame = panel.build_features(data, every=12)
    days, btc = frame.times.astype("datetime64[D]"), data.symbols.index("BTC")
    for day in ("2020-03-13", "2021-05-20"):
        row = int(np.flatnonzero(days == np.datetime64(day))[0])
        assert np.exp(frame.column("log_ewma_24h")[row, btc]) > 0.02
        assert frame.column("drawdown_30d")[row, btc] < -0.3
        assert frame.column("market_return_24h")[row, btc] < -0.2
    weekday = (days.astype(int) + 3) % 7
    week = frame.column("season_week_24h")[len(days) // 2 :, btc]
    at_midnight = (frame.times.astype("datetime64[h]").astype(int) % 24 == 0)[len(days) // 2 :]
    means = [week[(weekday[len(days) // 2 :] == d) & at_midnight].mean() for d in range(7)]
    assert max(means[5], means[6]) < min(means[:5])
