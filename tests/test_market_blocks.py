"""Streaming a market folder in blocks of bars: the same bits as the whole read, bounded memory, the same refusals."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margincast.features.bar_table import bar_table
from margincast.features.readers.blocks import market_blocks
from margincast.features.readers.folder import read_market_folder
from margincast.features.readers.provenance import source_of
from margincast.riskcore.errors import InputError
from margincast.training.table_store import TableStore

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
START = pd.Timestamp("2024-01-01", tz="UTC")
HOURS = 200
real = pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")


def same_bits(blocks, whole):
    """The blocks put together are the whole table."""
    blocks = list(blocks)
    np.testing.assert_array_equal(np.concatenate([block.times for block in blocks]), whole.times)
    for block in blocks:
        assert block.symbols == whole.symbols and block.step == whole.step
        assert set(block.columns) == set(whole.columns)
    for name, values in whole.columns.items():
        streamed = np.concatenate([block.columns[name] for block in blocks])
        assert streamed.tobytes() == values.tobytes(), name


def perp(rng, symbols=("BTC", "ETH", "XRP")):
    frames = []
    for n, symbol in enumerate(symbols):
        close = 100.0 * (n + 1) * np.exp(np.cumsum(rng.normal(0, 0.01, HOURS)))
        opened = np.append(close[0], close[:-1])
        columns = {"open": opened, "high": np.maximum(opened, close) * 1.01, "low": np.minimum(opened, close) * 0.99}
        stamps = pd.date_range(START, periods=HOURS, freq="h").as_unit("ns")
        flow = {"close": close, "volume": rng.lognormal(3, 1, HOURS), "trades": rng.integers(1, 99, HOURS) * 1.0}
        frames.append(pd.DataFrame({"timestamp": stamps, "symbol": symbol, **columns, **flow}))
    table = pd.concat(frames, ignore_index=True).assign(taker_buy_volume=lambda t: t["volume"] * 0.3)
    gone = (table["symbol"] == "ETH") & (table.index % 17 == 3)
    return table[~gone].reset_index(drop=True)


def instants(rng, n, first=-30, last=HOURS + 30):
    """Rising instants around the bars, some of them on a bar's open."""
    minutes = np.sort(rng.choice(np.arange(first * 60, last * 60), n, replace=False))
    minutes[:: max(n // 9, 1)] = minutes[:: max(n // 9, 1)] // 60 * 60
    return START.as_unit("ns") + pd.to_timedelta(np.unique(minutes), unit="min")


def tables(seed=0):
    """Every table a market folder may have, with gaps, late starts, unknown symbols and rows outside the bars."""
    rng = np.random.default_rng(seed)
    bars = perp(rng)
    mark = bars[bars["symbol"] != "XRP"].drop(columns=["volume", "trades", "taker_buy_volume"])
    mark = mark[mark["timestamp"] >= START + pd.Timedelta("20h")]
    spot = bars[["timestamp", "symbol", "close"]].assign(symbol=bars["symbol"] + "_USDT")
    spot = pd.concat([spot, spot[spot["symbol"] == "BTC_USDT"].assign(symbol="DOGE_USDT")])
    out = {"perp": bars, "mark": mark, "spot": spot}
    for name, column in (("funding", "funding_rate"), ("open_interest", "open_interest")):
        frames = []
        for symbol in ("BTC", "XRP", "DOGE"):
            at = instants(rng, 150)
            frames.append(pd.DataFrame({"timestamp": at, "symbol": symbol, column: rng.uniform(0, 0.01, len(at))}))
        out[name] = pd.concat(frames)
    at = instants(rng, 120)
    depth = [
        pd.DataFrame({"timestamp": at, "symbol": symbol, "side": side, "level_bps": level, "notional": level * size})
        for symbol in ("BTC", "ETH")
        for side in ("bid", "ask")
        for level, size in ((10.0, 5.0), (50.0, rng.uniform(5, 9)))
    ]
    out["depth"] = pd.concat(depth).sort_values(["timestamp", "symbol"])
    at = instants(rng, 300, first=10, last=HOURS - 20)
    out["liquidations"] = pd.DataFrame(
        {
            "timestamp": at.repeat(2),
            "symbol": rng.choice(["BTC", "ETH", "DOGE"], 2 * len(at)),
            "side": rng.choice(["long", "short"], 2 * len(at)),
            "price": rng.uniform(90, 110, 2 * len(at)),
            "quantity": np.where(rng.random(2 * len(at)) < 0.1, np.nan, rng.lognormal(0, 1, 2 * len(at))),
        }
    )
    days = pd.date_range(START - pd.Timedelta("3D"), periods=9, freq="D").as_unit("ns")
    out["series/fear"] = pd.DataFrame({"timestamp": days, "value": rng.uniform(0, 100, 9)})
    at = instants(rng, 80)
    out["series/flows"] = pd.concat(
        pd.DataFrame({"timestamp": at, "symbol": symbol, "value": rng.normal(0, 1, len(at))})
        for symbol in ("XRP", "BTC")
    )
    return out


def folder_of(folder, found, row_group_size=64, csv=()):
    for name, table in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name in csv:
            table.to_csv(path.with_suffix(".csv"), index=False)
        else:
            table.to_parquet(path.with_suffix(".parquet"), row_group_size=row_group_size, index=False)
    return folder


@pytest.mark.parametrize("bars", [3, 24, 199, 10_000])
def test_blocks_are_the_whole_read_in_every_bit(tmp_path, bars):
    folder = folder_of(tmp_path, tables())
    whole = bar_table(read_market_folder(folder))
    assert {"taker_buy_volume", "trades", "bid_50bps", "liquidated_long", "series_fear", "series_flows"} <= set(
        whole.columns
    )
    same_bits(market_blocks(folder, bars), whole)


@pytest.mark.parametrize("bars", [1, 24])
def test_depth_of_a_bar_is_of_one_instant_in_blocks_too(tmp_path, bars):
    found = tables(4)
    found["depth"] = found["depth"].sample(frac=0.6, random_state=4).sort_values(["timestamp", "symbol"])
    folder = folder_of(tmp_path, found)
    whole = bar_table(read_market_folder(folder))
    assert (np.isnan(whole.columns["bid_10bps"]) & ~np.isnan(whole.columns["ask_10bps"])).any()
    same_bits(market_blocks(folder, bars), whole)


@pytest.mark.parametrize("order", ["by time", "by symbol"])
@pytest.mark.parametrize("rows", [16, 1000])
def test_order_and_row_groups_of_the_files_do_not_matter(tmp_path, order, rows):
    found = tables(1)
    by = {"by time": ["timestamp"], "by symbol": ["symbol", "timestamp"]}[order]
    sorted_tables = {
        name: table.sort_values([column for column in by if column in table], kind="stable")
        for name, table in found.items()
    }
    folder = folder_of(tmp_path, sorted_tables, rows)
    same_bits(market_blocks(folder, 24), bar_table(read_market_folder(folder)))


def test_csv_and_store_stream_too(tmp_path):
    found = tables(2)
    folder = folder_of(tmp_path / "csv", found, csv=("funding", "depth", "series/fear"))
    whole = bar_table(read_market_folder(folder))
    same_bits(market_blocks(folder, 24), whole)
    store = TableStore(tmp_path / "store")
    for name, table in found.items():
        source = source_of(name.encode(), venue="x", origin=name, retrieved="2024-03-01T00:00:00Z", rows=len(table))
        store.append(name, table, source)
    same_bits(market_blocks(store.folder, 24), bar_table(read_market_folder(store.folder)))
    same_bits(market_blocks(store.folder, 50), whole)


@pytest.mark.parametrize("left_out", ["mark", "spot", "series/fear"])
def test_absent_tables_are_absent_columns(tmp_path, left_out):
    found = tables(3)
    del found[left_out]
    folder = folder_of(tmp_path, found)
    same_bits(market_blocks(folder, 30), bar_table(read_market_folder(folder)))


def test_liquidations_without_amounts_make_no_columns(tmp_path):
    found = tables(3)
    found["liquidations"] = found["liquidations"].drop(columns=["side", "price"])
    folder = folder_of(tmp_path, found)
    whole = bar_table(read_market_folder(folder))
    assert "liquidated_long" not in whole.columns
    same_bits(market_blocks(folder, 30), whole)


@real
def test_real_hours_in_blocks(tmp_path):
    folder = SHARED / "data" / "binance_1h"
    same_bits(market_blocks(folder, 5_000), bar_table(read_market_folder(folder)))


def test_memory_is_bounded_by_the_block(tmp_path, monkeypatch):
    import margincast.features.readers.table_streams as module

    monkeypatch.setattr(module, "BATCH_ROWS", 10_000)
    stamps = pd.date_range(START, periods=80_000, freq="min").as_unit("ns").repeat(2)
    level = 100.0 + np.arange(len(stamps)) % 97
    columns = {"open": level, "high": level, "low": level, "close": level, "volume": 1.0}
    table = pd.DataFrame({"timestamp": stamps, "symbol": ["BTC", "ETH"] * 80_000, **columns})
    peaks = {}
    for name, part in {"quarter": table.iloc[:40_000], "all": table}.items():
        folder = folder_of(tmp_path / name, {"perp": part}, row_group_size=5_000)
        tracemalloc.start()
        assert sum(len(block) for block in market_blocks(folder, 5_000)) == len(part) / 2
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        if name == "all":
            read_market_folder(folder)
            peaks["whole read"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peaks["all"] < 1.1 * peaks["quarter"]
    assert peaks["all"] < peaks["whole read"] / 4


# --- what is refused --------------------------------------------------------------------------------------------------


def changed(table, row, column, value):
    out = table.reset_index(drop=True).copy()
    out.loc[row, column] = value
    return out


REFUSED = {
    "price": ("perp", lambda t: changed(t, 300, "low", -1.0), "perp.parquet, row 300, column low: price must be"),
    "range": ("perp", lambda t: changed(t, 300, "high", 1.0), "perp.parquet, row 300, column high: high is below"),
    "takers": (
        "perp",
        lambda t: changed(t, 300, "taker_buy_volume", 1e9),
        "perp.parquet, row 300, column taker_buy_volume: takers bought more than the volume",
    ),
    "order": (
        "perp",
        lambda t: t.iloc[[0, 1, 3, 2, *range(4, len(t))]],
        "perp.parquet, row 3, column timestamp: timestamps of a symbol must rise",
    ),
    "order over two row groups": (
        "perp",
        lambda t: t.iloc[[*range(63), 64, 63, *range(65, len(t))]],
        "perp.parquet, row 64, column timestamp: timestamps of a symbol must rise",
    ),
    "twice": (
        "funding",
        lambda t: pd.concat([t, t.iloc[[-1]]]),
        "column timestamp: timestamp and symbol stand there twice",
    ),
    "gap": ("perp", lambda t: t.drop(index=range(50, 110)), "perp.parquet, row 50, column timestamp: 60 bars of BTC"),
    "grid": (
        "mark",
        lambda t: t.reset_index(drop=True).assign(
            timestamp=lambda x: x["timestamp"].where(x.index != 70, x["timestamp"] + pd.Timedelta("10min"))
        ),
        "mark.parquet, row 70, column timestamp: is off the grid of 60 min bars",
    ),
    "zone": (
        "perp",
        lambda t: t.assign(timestamp=t["timestamp"].dt.tz_localize(None)),
        "perp.parquet, row 0, column timestamp: timestamp has no time zone",
    ),
    "column": (
        "funding",
        lambda t: t.drop(columns="funding_rate"),
        "column funding_rate: is missing; the funding table",
    ),
    "symbol": ("perp", lambda t: t.drop(columns="symbol"), "column symbol: is missing; the perp table needs"),
    "empty": ("perp", lambda t: t.iloc[:0], "the perp table has no rows"),
    "shrinking depth": (
        "depth",
        lambda t: t.assign(notional=1.0 / t["level_bps"]),
        "column notional: notional must be cumulative",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_whole_read_refuses_the_stream_refuses(tmp_path, case):
    name, change, message = REFUSED[case]
    found = tables(4)
    folder = folder_of(tmp_path, {"perp": found["perp"], name: change(found[name])})
    for read in (read_market_folder, lambda path: list(market_blocks(path, 24))):
        with pytest.raises(InputError) as caught:
            read(folder)
        assert message in str(caught.value)


def test_a_file_that_cannot_be_streamed_says_what_to_do(tmp_path, monkeypatch):
    import margincast.features.readers.table_streams as module

    monkeypatch.setattr(module, "HELD_ROWS", 100)
    folder = folder_of(tmp_path, {"perp": perp(np.random.default_rng(5))})
    with pytest.raises(InputError, match=r"rows overlap in time, too many to stream: sort the rows by timestamp"):
        list(market_blocks(folder, 24))
    sorted_rows = perp(np.random.default_rng(5)).sort_values("timestamp", kind="stable")
    sorted_rows.to_parquet(folder / "perp.parquet", row_group_size=50, index=False)
    assert sum(map(len, market_blocks(folder, 24))) == HOURS


def test_folders_that_are_none(tmp_path):
    with pytest.raises(InputError, match="has no perp.parquet or perp.csv"):
        list(market_blocks(tmp_path, 24))
    with pytest.raises(InputError, match="column bars_per_block: must be at least one bar"):
        list(market_blocks(tmp_path, 0))
    folder_of(tmp_path, {"perp": perp(np.random.default_rng(5))})
    content = (tmp_path / "perp.parquet").read_bytes()
    (tmp_path / "perp.parquet").write_bytes(content[:-100])
    with pytest.raises(InputError, match="perp.parquet: is not a whole Parquet file"):
        list(market_blocks(tmp_path, 24))
    (tmp_path / "perp.csv").write_text("x")
    with pytest.raises(InputError, match="stands beside perp.csv: keep one of them"):
        list(market_blocks(tmp_path, 24))


def test_two_spot_markets_of_one_coin(tmp_path):
    found = tables(6)
    found["spot"] = pd.concat([found["spot"], found["spot"].query("symbol == 'BTC_USDT'").assign(symbol="BTC/USDT")])
    folder = folder_of(tmp_path, found)
    with pytest.raises(InputError, match="is a second spot market of BTC, beside BTC/USDT"):
        list(market_blocks(folder, 24))
