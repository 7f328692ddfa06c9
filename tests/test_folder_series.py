"""What a market folder may carry besides its tables: taker flow, liquidations by side, external series."""

import numpy as np
import pandas as pd
import pytest

from margincast.features.bar_table import bar_table
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError

START = pd.Timestamp("2024-01-01", tz="UTC")
HOURS = 12


def perp(**columns):
    stamps = pd.date_range(START, periods=HOURS, freq="h").as_unit("ns")
    prices = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.0, "volume": 10.0}
    return pd.concat(pd.DataFrame({"timestamp": stamps, "symbol": s, **prices, **columns}) for s in ("BTC", "ETH"))


def at(hours):
    return START + pd.to_timedelta(hours, unit="h")


def read(folder, **tables):
    for name, table in {"perp": perp(), **tables}.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        table.to_parquet(path.with_suffix(".parquet"))
    return read_market_folder(folder)


def test_taker_flow_is_kept_where_the_table_has_it(tmp_path):
    data = read(tmp_path, perp=perp(taker_buy_volume=4.0, trades=np.where(np.arange(HOURS) == 3, np.nan, 7.0)))
    assert data.trade["taker_buy_volume"].shape == (HOURS, 2) and data.trade["trades"][2, 1] == 7.0
    assert np.isnan(data.trade["trades"][3]).all()
    assert {"taker_buy_volume", "trades"} <= set(bar_table(data).columns)


def test_without_taker_flow_a_folder_reads_as_before(tmp_path):
    data = read(tmp_path)
    assert list(data.trade) == ["open", "high", "low", "close", "volume"] and dict(data.series) == {}


def test_series_are_values_over_time(tmp_path):
    fear = pd.DataFrame({"timestamp": at([-30, 2, 5.5]), "value": [70.0, 40.0, 30.0]})
    flows = pd.DataFrame({"timestamp": at([3, 1]), "symbol": ["ETH", "BTC"], "value": [-5.0, 6.0]})
    data = read(tmp_path, series__fear=fear, series__flows=flows)
    assert data.series["fear"].values.tolist() == [70.0, 40.0, 30.0] and data.series["fear"].symbols is None
    assert data.series["flows"].symbols.tolist() == ["BTC", "ETH"]
    assert data.series["flows"].times.tolist() == sorted(data.series["flows"].times.tolist())
    assert data.report.table("series/fear").rows == 3
    assert "series/flows (series/flows.parquet, sha256" in "\n".join(data.report.lines())
    with pytest.raises(TypeError):
        data.series["fear"] = None


def test_series_are_joined_as_known_at_the_close_of_a_bar(tmp_path):
    fear = pd.DataFrame({"timestamp": at([-30, 2, 5.5]), "value": [70.0, 40.0, 30.0]})
    flows = pd.DataFrame({"timestamp": at([1.25, 3]), "symbol": ["BTC", "DOGE"], "value": [6.0, 1.0]})
    table = bar_table(read(tmp_path, series__fear=fear, series__flows=flows))
    assert table.columns["series_fear"][:7, 1].tolist() == [70.0, 40.0, 40.0, 40.0, 40.0, 30.0, 30.0]
    assert np.isnan(table.columns["series_flows"][0, 0]) and (table.columns["series_flows"][1:, 0] == 6.0).all()
    assert np.isnan(table.columns["series_flows"][:, 1]).all()


def test_a_series_as_csv(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "vix.csv").write_text("timestamp,value\n2024-01-01T00:00:00Z,17.25\n")
    assert read(tmp_path).series["vix"].values.tolist() == [17.25]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"value": [1.0, np.nan]}, "series/fear.parquet, row 1, column value: must be a finite number"),
        ({"value": [1.0, np.inf]}, "series/fear.parquet, row 1, column value: must be a finite number"),
        ({"level": [1.0, 2.0]}, "series/fear.parquet, column value: is missing; the series/fear table needs timestamp"),
        ({"value": [1.0, 2.0], "symbol": ["BTC", " "]}, "series/fear.parquet, row 1, column symbol: must not be empty"),
        (
            {"value": [1.0, 2.0], "symbol": ["BTC", None]},
            "series/fear.parquet, row 1, column symbol: must not be empty",
        ),
        ({"value": [1.0, 2.0], "timestamp": at([5, 4])}, "series/fear.parquet, row 1, column timestamp: timestamps of"),
        ({"value": [1.0, 2.0], "timestamp": at([5, 5])}, "series/fear.parquet, row 1, column timestamp: timestamp and"),
    ],
)
def test_a_series_that_cannot_be_read_is_named(tmp_path, table, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, series__fear=pd.DataFrame({"timestamp": at([1, 2])} | table))
    assert str(caught.value).startswith(message)


def test_liquidations_by_side_become_bars(tmp_path):
    rows = pd.DataFrame(
        {
            "timestamp": at([2.0, 2.5, 2.99, 4.5, 4.75, 7.0]),
            "symbol": ["BTC", "BTC", "BTC", "ETH", "BTC", "DOGE"],
            "side": ["long", "short", "long", "long", "short", "long"],
            "price": [100.0, 100.0, 50.0, 10.0, np.nan, 1.0],
            "quantity": [1.0, 2.0, 4.0, 5.0, 6.0, 7.0],
        }
    )
    data = read(tmp_path, liquidations=rows)
    assert data.liquidations["side"].tolist() == rows["side"].tolist()
    columns = bar_table(data).columns
    # The feed speaks from hour 2 to hour 7; a report without a price counts as an event only.
    btc = [columns[name][:, 0].tolist() for name in ("liquidated_long", "liquidated_short", "liquidation_events")]
    before, after = [np.nan] * 2, [np.nan] * 4
    for found, expected in zip(btc, ([300, 0, 0, 0, 0, 0], [200, 0, 0, 0, 0, 0], [3, 0, 1, 0, 0, 0]), strict=True):
        np.testing.assert_array_equal(found, [*before, *expected, *after])
    assert columns["liquidated_long"][4, 1] == 50.0


def test_a_bar_without_a_price_says_nothing_of_liquidations_unless_one_was_reported(tmp_path):
    rows = pd.DataFrame(
        {"timestamp": at([1.5, 5.5, 8]), "symbol": "BTC", "side": "long", "price": 2.0, "quantity": 1.0}
    )
    bars = perp()
    gone = (bars["symbol"] == "BTC") & bars["timestamp"].isin(at([4, 5]))
    columns = bar_table(read(tmp_path, perp=bars[~gone], liquidations=rows)).columns
    np.testing.assert_array_equal(columns["liquidated_long"][1:7, 0], [2.0, 0.0, 0.0, np.nan, 2.0, 0.0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "BUY"}, "row 0, column side: must be long or short: the position that was liquidated (found 'BUY')"),
        ({"price": 0.0}, "row 0, column price: price must be positive and finite (found 0.0)"),
        ({"quantity": -1.0}, "row 0, column quantity: must be a finite number, zero or more (found -1.0)"),
    ],
)
def test_liquidations_are_checked_where_they_have_columns(tmp_path, change, message):
    rows = pd.DataFrame({"timestamp": at([1]), "symbol": "BTC", **change})
    with pytest.raises(InputError) as caught:
        read(tmp_path, liquidations=rows)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trades": -1.0}, "row 0, column trades: must be a finite number, zero or more (found -1.0)"),
        ({"taker_buy_volume": 500.0}, "row 0, column taker_buy_volume: takers bought more than the volume of 10.0"),
    ],
)
def test_taker_flow_is_checked(tmp_path, change, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, perp=perp(**change))
    assert str(caught.value).startswith(f"perp.parquet, {message}")
