"""The local store: appends whole or not at all, duplicates, conflicts, time order, bounded memory, a market folder."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.readers.folder import read_market_folder
from margincast.features.readers.provenance import source_of
from margincast.features.readers.store_records import append_records, stored_sources, stored_table_names
from margincast.features.readers.stored_tables import read_stored, stored_batches, stored_last
from margincast.riskcore.errors import InputError
from margincast.training.table_parts import ROW_GROUP
from margincast.training.table_store import TableStore

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
START = pd.Timestamp("2024-01-30", tz="UTC")
PRICES = ["open", "high", "low", "close"]


def bars(symbol="BTC", hours=72, start=START, level=100.0):
    """Bars whose prices are a function of symbol and time: the same hour is the same bar whoever asks."""
    stamps = pd.date_range(start, periods=hours, freq="h")
    close = level + len(symbol) + (stamps.as_unit("ns").asi8 // 3_600_000_000_000 % 97).astype(np.float64)
    columns = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 2.0}
    return pd.DataFrame({"timestamp": stamps.as_unit("ns"), "symbol": symbol, **columns})


def source(name="bars.csv", content=None):
    made = name.encode() if content is None else content
    return source_of(made, venue="binance", origin=name, retrieved="2024-03-01T00:00:00Z", rows=1)


def same(read, expected):
    """Equal row by row, whatever the order the expected ones are in."""
    ordered = expected.sort_values(["timestamp", "symbol"], ignore_index=True)
    pd.testing.assert_frame_equal(read, ordered[list(read)], check_dtype=False, check_exact=True)


def test_rows_come_back_sorted_by_time_and_symbol(tmp_path):
    store = TableStore(tmp_path)
    rows = pd.concat([bars("ETH"), bars("BTC")], ignore_index=True)
    report = store.append("perp", rows, source())
    assert (report.rows, report.new, report.duplicates, report.late, report.notes) == (144, 144, 0, 0, ())
    same(read_stored(tmp_path, "perp"), rows)
    same(read_stored(tmp_path, "perp", symbols=["ETH"]), bars("ETH"))
    parts = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.parquet"))
    assert parts[0] == "perp/symbol=BTC/2024-01/part-00000001.parquet" and len(parts) == 4


def test_start_is_in_and_end_is_out(tmp_path):
    TableStore(tmp_path).append("perp", bars(), source())
    read = read_stored(tmp_path, "perp", start="2024-01-31T22:00", end=np.datetime64("2024-02-01T01:00"))
    assert read["timestamp"].dt.hour.tolist() == [22, 23, 0]
    assert read_stored(tmp_path, "perp", end=START).empty
    assert read_stored(tmp_path, "perp", symbols=["DOGE"]).dtypes.astype(str).tolist()[0] == "datetime64[ns, UTC]"
    with pytest.raises(InputError, match=r"is not an instant \(found 'noon'\)"):
        read_stored(tmp_path, "perp", start="noon")


def test_equal_rows_are_counted_and_dropped(tmp_path):
    store = TableStore(tmp_path)
    store.append("perp", bars(), source("a"))
    both = pd.concat([bars(hours=80), bars(hours=80).iloc[[79]]])
    report = store.append("perp", both, source("b"))
    assert (report.rows, report.new, report.duplicates) == (81, 8, 73)
    assert report.notes == ("73 exact duplicate rows dropped",)
    assert stored_sources(tmp_path, "perp")[1].cleaning == ("73 exact duplicate rows dropped",)
    same(read_stored(tmp_path, "perp"), bars(hours=80))


def test_a_row_that_contradicts_the_store_is_refused_and_nothing_is_stored(tmp_path):
    store = TableStore(tmp_path)
    store.append("perp", bars(), source("a"))
    wrong = bars(hours=80)
    wrong.loc[5, "volume"] = 3.0
    with pytest.raises(InputError) as caught:
        store.append("perp", wrong, source("b"))
    error = caught.value
    assert (error.file, error.row, error.column, error.value) == ("b", 5, "volume", 3.0)
    assert error.problem == "differs from the 2.0 that the store has for 2024-01-30 05:00:00+00:00 BTC"
    same(read_stored(tmp_path, "perp"), bars())
    twice = pd.concat([bars("ETH"), wrong.assign(symbol="ETH", volume=4.0)], ignore_index=True).iloc[[3, 75]]
    with pytest.raises(InputError, match="row 1, column volume: differs from the 2.0 that row 0 has"):
        store.append("perp", twice, source("c"))


def test_a_column_that_came_later_is_missing_before_and_said_where_it_is_lost(tmp_path):
    store = TableStore(tmp_path)
    store.append("perp", bars(), source("a"))
    report = store.append("perp", bars(hours=75).assign(trades=7.0), source("b"))
    assert report.notes[1] == "72 of them bring a trades that the first lacks: left out"
    read = read_stored(tmp_path, "perp")
    assert read["trades"].isna().sum() == 72 and read["trades"].iloc[72:].tolist() == [7.0] * 3


def test_rows_out_of_order_and_late_rows_are_sorted_in_and_said(tmp_path):
    store = TableStore(tmp_path)
    store.append("perp", bars(start=START + pd.Timedelta("24h")), source("a"))
    report = store.append("perp", bars(hours=24).iloc[::-1], source("b"))
    assert report.late == 24
    assert report.notes[0] == "23 rows stood below a later one of their symbol: sorted"
    assert report.notes[1] == "24 rows are earlier than the store's last of their symbol: sorted into their months"
    same(read_stored(tmp_path, "perp"), bars(hours=96))


def test_equal_liquidations_of_one_instant_are_kept_and_not_stored_again(tmp_path):
    store = TableStore(tmp_path)
    one = pd.DataFrame(
        {"timestamp": [START], "symbol": ["BTC"], "side": ["long"], "price": [9.0], "quantity": [np.nan]}
    )
    assert store.append("liquidations", pd.concat([one, one]), source("a")).new == 2
    report = store.append("liquidations", pd.concat([one] * 3), source("b"))
    assert (report.new, report.duplicates) == (1, 2)
    assert len(read_stored(tmp_path, "liquidations")) == 3


def test_depth_rows_are_told_apart_by_side_and_level(tmp_path):
    rows = [(START, "BTC", side, level, 5.0 * level) for side in ("bid", "ask") for level in (20.0, 100.0)]
    depth = pd.DataFrame(rows, columns=["timestamp", "symbol", "side", "level_bps", "notional"])
    store = TableStore(tmp_path)
    assert store.append("depth", depth, source("a")).new == 4
    assert store.append("depth", depth, source("b")).duplicates == 4
    with pytest.raises(InputError, match="row 3, column notional: differs from the 500.0"):
        store.append("depth", depth.assign(notional=[100.0, 500.0, 100.0, 501.0]), source("c"))


def test_series_with_and_without_symbols(tmp_path):
    store = TableStore(tmp_path)
    fear = pd.DataFrame({"timestamp": pd.date_range(START, periods=40, freq="D"), "value": np.arange(40.0)})
    store.append("series/fear_greed", fear, source("a"))
    store.append("series/flows", fear.assign(symbol="BTC"), source("b"))
    assert stored_table_names(tmp_path) == ("series/fear_greed", "series/flows")
    assert read_stored(tmp_path, "series/fear_greed")["value"].tolist() == fear["value"].tolist()
    assert store.last("series/fear_greed") == np.datetime64("2024-03-09")
    assert (
        store.last("series/flows", "BTC")
        == stored_last(tmp_path, "series/flows", "BTC")
        == store.last("series/fear_greed")
    )
    assert store.last("series/flows", "ETH") is None and store.last("mark", "BTC") is None
    with pytest.raises(InputError, match="the series is not one of several symbols"):
        store.append("series/fear_greed", fear.assign(symbol="BTC"), source("c"))


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("candles", {}, "column table: is not a table of a market folder"),
        ("series/../perp", {}, "column table: is not a table of a market folder"),
        ("perp", {"quote_volume": 1.0}, "x, column quote_volume: is not a column of the perp table, which may have"),
        ("perp", {"low": -1.0}, "x, row 0, column low: price must be positive and finite"),
        ("perp", {"trades": -1.0}, "x, row 0, column trades: must be a finite number, zero or more"),
        ("perp", {"taker_buy_volume": 2.1}, "x, row 0, column taker_buy_volume: takers bought more than the volume"),
        ("mark", {}, "x, column volume: is not a column of the mark table"),
    ],
)
def test_what_a_market_folder_refuses_the_store_refuses(tmp_path, table, change, message):
    with pytest.raises(InputError) as caught:
        TableStore(tmp_path).append(table, bars().assign(**change), source("x"))
    assert str(caught.value).startswith(message)
    assert stored_table_names(tmp_path) == ()


def test_the_hash_of_bytes_is_known_and_an_append_without_news_is_recorded_once(tmp_path):
    store = TableStore(tmp_path)
    first, second = source("a"), source("b")
    store.append("perp", bars(), first)
    assert store.holds(first.sha256) and not store.holds(second.sha256)
    for _ in range(3):
        store.append("perp", bars(), second)
    assert TableStore(tmp_path).holds(second.sha256)
    assert [record.number for record in append_records(tmp_path, "perp")] == [1, 2]


def test_a_changed_byte_of_a_part_is_found(tmp_path):
    TableStore(tmp_path).append("perp", bars(), source())
    part = next(tmp_path.rglob("part-*.parquet"))
    content = bytearray(part.read_bytes())
    content[200] ^= 1
    part.write_bytes(bytes(content))
    with pytest.raises(InputError, match="the bytes are not those that were stored"):
        read_stored(tmp_path, "perp")
    part.unlink()
    with pytest.raises(InputError, match="part-00000001.parquet: cannot be read: No such file"):
        read_stored(tmp_path, "perp")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', "\x00"])
def test_a_record_that_cannot_be_read_is_named(tmp_path, content):
    TableStore(tmp_path).append("perp", bars(), source())
    (tmp_path / "perp" / "appends" / "00000001.json").write_text(content)
    with pytest.raises(InputError, match=r"00000001\.json"):
        read_stored(tmp_path, "perp")


def test_a_record_that_is_gone_is_missed(tmp_path):
    store = TableStore(tmp_path)
    for day in range(2):
        store.append("perp", bars(start=START + pd.Timedelta(days=5 * day)), source(str(day)))
    (tmp_path / "perp" / "appends" / "00000001.json").unlink()
    with pytest.raises(InputError, match="00000001.json: the record of an append is missing"):
        read_stored(tmp_path, "perp")


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from(["BTC", "ETH"]), st.integers(0, 60), st.integers(1, 40)), min_size=1))
def test_any_order_of_overlapping_appends_reads_as_their_union(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("store")
    store, offered = TableStore(folder), []
    for number, (symbol, hour, hours) in enumerate(pieces):
        offered.append(bars(symbol, hours, START + pd.Timedelta(hours=hour)))
        report = store.append("perp", offered[-1], source(str(number)))
        assert report.new + report.duplicates == hours
    union = pd.concat(offered).drop_duplicates(["timestamp", "symbol"])
    same(read_stored(folder, "perp"), union)
    same(pd.concat(stored_batches(folder, "perp", batch_rows=7), ignore_index=True), union)


def small_appends(folder, days=40):
    store = TableStore(folder)
    for day in range(days):
        rows = pd.concat([bars(symbol, 24, START + pd.Timedelta(days=day)) for symbol in ("BTC", "ETH")])
        store.append("perp", rows, source(str(day)))
    return store


def test_a_compaction_keeps_rows_and_provenance_in_fewer_files(tmp_path):
    store = small_appends(tmp_path)
    before, sources = read_stored(tmp_path, "perp"), stored_sources(tmp_path, "perp")
    assert store.compact("perp") == 80 - 6
    assert len([*tmp_path.rglob("part-*")]) == 6
    pd.testing.assert_frame_equal(read_stored(tmp_path, "perp"), before)
    assert stored_sources(tmp_path, "perp") == sources
    assert store.compact("perp") == 0 and TableStore(tmp_path).compact("perp") == 0
    again = TableStore(tmp_path)
    report = again.append("perp", bars(hours=24 * 50), source("more"))
    assert (report.new, report.duplicates, report.late) == (240, 24 * 40, 0)
    assert again.last("perp", "ETH") == store.last("perp", "ETH") == stored_last(tmp_path, "perp", "ETH")


def test_equal_liquidations_survive_a_compaction(tmp_path):
    store = TableStore(tmp_path)
    one = pd.DataFrame({"timestamp": [START], "symbol": ["BTC"], "side": ["long"], "quantity": [2.0]})
    store.append("liquidations", pd.concat([one, one]), source("a"))
    store.append("liquidations", one.assign(timestamp=START + pd.Timedelta("1s")), source("b"))
    assert store.compact("liquidations") == 1
    assert len(read_stored(tmp_path, "liquidations")) == 3
    assert store.append("liquidations", pd.concat([one, one]), source("c")).duplicates == 2


@pytest.mark.parametrize("writes", [1, 4, 7])
def test_a_compaction_that_stops_after_any_write_changes_nothing(tmp_path, monkeypatch, writes):
    import margincast.training.table_store as module

    store = small_appends(tmp_path)
    before = read_stored(tmp_path, "perp")
    stop_at(monkeypatch, module, writes, lambda: store.compact("perp"))
    pd.testing.assert_frame_equal(read_stored(tmp_path, "perp"), before)
    TableStore(tmp_path).compact("perp")
    pd.testing.assert_frame_equal(read_stored(tmp_path, "perp"), before)
    assert len([*tmp_path.rglob("part-*")]) == 6


def stop_at(monkeypatch, module, writes, work):
    """Run `work` and stop it at its `writes`-th write of a file, as a kill would."""
    done = 0

    def failing(path, content):
        nonlocal done
        done += 1
        if done >= writes:
            raise KeyboardInterrupt
        path.write_bytes(content)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_atomically", failing)
        work()


# --- killed processes -------------------------------------------------------------------------------------------------

WRITER = """
import sys
import pandas as pd
from test_table_store import START, bars, source
from margincast.training.table_store import TableStore
store = TableStore(sys.argv[1])
print("ready", flush=True)
number = int(sys.argv[2])
while True:
    start = START + pd.Timedelta(days=20 * number)
    rows = pd.concat([bars(symbol, 24 * 20, start) for symbol in ("BTC", "ETH", "DOGE")])
    store.append("perp", rows, source(str(number)))
    number += 1
"""
WHOLE = 3 * 24 * 20


def files(folder):
    return sum(1 for path in folder.rglob("*") if path.is_file())


def killed_after(folder, number, writes):
    """Start a process that appends, and kill it once it has written so many files."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", WRITER, str(folder), str(number)]
    before = files(folder)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"ready\n"
        while files(folder) < before + writes and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


def test_a_store_killed_at_any_instant_holds_whole_appends(tmp_path):
    rng, appends = random.Random(5), 0
    for _ in range(4):
        killed_after(tmp_path, appends, rng.randint(1, 16))
        if not stored_table_names(tmp_path):
            continue
        read = read_stored(tmp_path, "perp")
        appends, rest = divmod(len(read), WHOLE)
        assert rest == 0 and appends == len(append_records(tmp_path, "perp"))
        if appends:
            same(read, pd.concat([bars(symbol, 24 * 20 * appends) for symbol in ("BTC", "ETH", "DOGE")]))
    assert appends > 0
    report = TableStore(tmp_path).append("perp", bars(start=START - pd.Timedelta(days=90)), source("last"))
    assert report.new == 72
    listed = sum(len(record.parts) for record in append_records(tmp_path, "perp"))
    assert len([*tmp_path.rglob("*part-*")]) == listed


@pytest.mark.parametrize("writes", [1, 4, 7])
def test_an_append_that_stops_after_any_write_is_not_there(tmp_path, monkeypatch, writes):
    import margincast.training.table_store as module

    store = TableStore(tmp_path)
    store.append("perp", bars(hours=24), source("a"))
    more = pd.concat([bars(symbol) for symbol in ("BTC", "ETH", "DOGE")])
    stop_at(monkeypatch, module, writes, lambda: store.append("perp", more, source("b")))
    same(read_stored(tmp_path, "perp"), bars(hours=24))
    assert TableStore(tmp_path).append("perp", more, source("b")).new == 3 * 72 - 24
    same(read_stored(tmp_path, "perp"), more)
    assert len([*tmp_path.rglob("part-*")]) == sum(len(r.parts) for r in append_records(tmp_path, "perp"))


def test_two_processes_that_append_at_once_lose_nothing(tmp_path):
    program = """
import sys
import pandas as pd
from test_table_store import START, bars, source
from margincast.training.table_store import TableStore
store, symbol = TableStore(sys.argv[1]), sys.argv[2]
for day in range(8):
    store.append("perp", bars(symbol, 24, START + pd.Timedelta(days=day)), source(symbol + str(day)))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    running = [subprocess.Popen([*command, symbol], env=environment) for symbol in ("BTC", "ETH")]
    assert [process.wait() for process in running] == [0, 0]
    same(read_stored(tmp_path, "perp"), pd.concat([bars("BTC", 192), bars("ETH", 192)]))
    assert len(append_records(tmp_path, "perp")) == 16


# --- streams ----------------------------------------------------------------------------------------------------------


MINUTES = 240_000


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Minute bars of two symbols over half a year: the even minutes, and the odd ones appended late."""
    folder = tmp_path_factory.mktemp("large")
    store = TableStore(folder)
    stamps = pd.date_range("2024-01-01", periods=MINUTES, freq="min", tz="UTC").as_unit("ns")
    level = 100.0 + np.arange(float(MINUTES)) % 997
    columns = {"open": level, "high": level + 1, "low": level - 1, "close": level, "volume": 1.0}
    for symbol in ("BTC", "ETH"):
        rows = pd.DataFrame({"timestamp": stamps, "symbol": symbol, **columns})
        store.append("perp", rows[::2], source(symbol))
        store.append("perp", rows[1::2], source(symbol + "odd"))
    return folder


def test_batches_rise_in_time_and_are_the_whole(large):
    batches = list(stored_batches(large, "perp", batch_rows=10_000))
    assert len(batches) >= 2 * MINUTES / (10_000 + 4 * ROW_GROUP)
    for before, after in zip(batches, batches[1:], strict=False):
        assert before["timestamp"].iloc[-1] < after["timestamp"].iloc[0]
    whole = read_stored(large, "perp")
    assert len(whole) == 2 * MINUTES
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), whole)


def peak(read):
    """Peak of what Python and numpy hold while `read` runs, bytes."""
    tracemalloc.start()
    read()
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return highest


def test_memory_of_a_stream_is_bounded_by_the_batch(large):
    def stream(end):
        return peak(lambda: [len(b) for b in stored_batches(large, "perp", end=end, batch_rows=5_000)])

    stream("2024-01-02")
    month, half_year = stream("2024-02-01"), stream(None)
    assert half_year < 1.1 * month
    assert half_year < peak(lambda: read_stored(large, "perp")) / 4


# --- as a market folder -----------------------------------------------------------------------------------------------


def test_a_store_is_read_as_a_market_folder(tmp_path):
    folder, store = tmp_path / "folder", TableStore(tmp_path / "store")
    folder.mkdir()
    perp = pd.concat([bars("BTC"), bars("ETH")], ignore_index=True)
    funding = pd.DataFrame({"timestamp": bars().loc[::8, "timestamp"], "symbol": "BTC", "funding_rate": 0.0001})
    for name, table in {"perp": perp, "mark": perp.drop(columns="volume"), "funding": funding}.items():
        table.to_parquet(folder / f"{name}.parquet")
        store.append(name, table, source(name))
    one, other = read_market_folder(folder), read_market_folder(tmp_path / "store")
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(one.trade[column], other.trade[column])
    np.testing.assert_array_equal(one.funding_rate, other.funding_rate)
    np.testing.assert_array_equal(one.times, other.times)
    assert other.report.table("perp").notes == ("read from a store: 1 appends, 4 parts",)
    assert json.dumps(other.report.as_dict())


def test_a_table_both_as_file_and_in_the_store_is_refused(tmp_path):
    TableStore(tmp_path).append("perp", bars(), source())
    bars().to_parquet(tmp_path / "perp.parquet")
    with pytest.raises(InputError, match="stands beside perp: keep one of them"):
        read_market_folder(tmp_path)


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")
def test_real_bars_through_the_store_keep_every_bit(tmp_path):
    rows = pd.read_parquet(SHARED / "data" / "binance_1h" / "perp.parquet")
    rows = rows[rows["symbol"].isin(["BTC", "XRP"]) & (rows["timestamp"] >= pd.Timestamp("2024-06-01", tz="UTC"))]
    TableStore(tmp_path).append("perp", rows, source())
    same(read_stored(tmp_path, "perp"), rows)
    assert stored_last(tmp_path, "perp", "BTC") == np.datetime64("2025-08-31T23:00")
