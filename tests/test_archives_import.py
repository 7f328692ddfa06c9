"""Importing archive files into a store: what is read, skipped, refused and said, and taking up where it stopped."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archive_samples import HOUR, KLINE_HEADER, kline, klines_of, milliseconds, write_gz, write_zip

from margincast.features.readers.folder import read_market_folder
from margincast.features.readers.store_records import stored_sources, stored_table_names
from margincast.features.readers.stored_tables import read_stored
from margincast.riskcore.errors import InputError
from margincast.training.import_archives import CROWD, import_archives
from margincast.training.table_store import TableStore

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DAILY = "archive/data/futures/um/daily"
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def day_file(folder, day, symbol="BTCUSDT", kind="klines", level=100.0, **options):
    start = milliseconds(day)
    lines = [kline(start + h * HOUR, (level, level + h, level - 1, level), 10.0 + h, 4.0) for h in range(24)]
    path = folder / DAILY / kind / symbol / "1h" / f"{symbol}-1h-{day}.zip"
    return write_zip(path, [KLINE_HEADER, *lines], **options)


def metrics_file(folder, day):
    rows = [f"{day} 0{h}:00:00,BTCUSDT,{1000 + h},5e7,1.1,1.2,1.3,0.9" for h in range(1, 9)]
    return write_zip(folder / DAILY / "metrics/BTCUSDT" / f"BTCUSDT-metrics-{day}.zip", [METRICS_HEADER, *rows[::-1]])


@pytest.fixture
def archive(tmp_path):
    for day in ("2024-03-01", "2024-03-02"):
        for symbol, level in (("BTCUSDT", 100.0), ("ETHUSDT", 10.0)):
            day_file(tmp_path, day, symbol, level=level, checksum=True)
        day_file(tmp_path, day, kind="markPriceKlines", level=100.5)
        metrics_file(tmp_path, day)
    lines = ["calc_time,funding_interval_hours,last_funding_rate", f"{milliseconds('2024-03-01') + 3},8,0.0001"]
    write_zip(tmp_path / "archive" / "BTCUSDT-fundingRate-2024-03.zip", lines)
    return tmp_path / "archive"


def test_a_folder_of_archives_becomes_a_market(archive, tmp_path):
    store, seen = TableStore(tmp_path / "store"), []
    report = import_archives([archive], store, progress=lambda done, total, file: seen.append((done, total)))
    assert seen == [(n, 9) for n in range(1, 10)]
    assert (report.count("imported"), report.count("refused"), report.gaps) == (9, 0, ())
    assert report.new_rows == 2 * (2 * 24 + 24 + 5 * 8) + 1
    assert report.lines() == ["9 files: 9 imported, 0 known, 0 refused; 225 new rows, 0 duplicates"]
    assert stored_table_names(store.folder) == (
        "funding",
        "mark",
        "open_interest",
        "perp",
        "series/account_ratio",
        "series/taker_volume_ratio",
        "series/top_trader_account_ratio",
        "series/top_trader_position_ratio",
    )
    data = read_market_folder(store.folder)
    assert data.symbols == ("BTC", "ETH") and data.report.bars == 48
    assert data.history.source == "mark; last price for ETH"
    assert data.trade["high"][5].tolist() == [105.0, 15.0] and data.funding_rate[0, 0] == 0.0001
    source = stored_sources(store.folder, "perp")[0]
    assert source.origin == "BTCUSDT-1h-2024-03-01.zip" and source.url.endswith("/BTCUSDT/1h/BTCUSDT-1h-2024-03-01.zip")


def test_a_second_import_reads_nothing(archive, tmp_path, monkeypatch):
    import margincast.training.import_archives as module

    store = TableStore(tmp_path / "store")
    import_archives([archive], store)
    monkeypatch.setattr(module, "open_archive", lambda path: pytest.fail(f"{path} was opened again"))
    report = import_archives([archive], TableStore(tmp_path / "store"))
    assert report.count("known") == 9 and report.new_rows == 0


@pytest.mark.parametrize("stop", [1, 3, 5, 8, 12])
def test_an_import_that_stopped_is_taken_up(archive, tmp_path, monkeypatch, stop):
    whole, again = TableStore(tmp_path / "whole"), TableStore(tmp_path / "again")
    import_archives([archive], whole)
    append, calls = TableStore.append, 0

    def failing(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return append(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TableStore, "append", failing)
        import_archives([archive], again)
    import_archives([archive], TableStore(tmp_path / "again"))
    for table in stored_table_names(whole.folder):
        pd.testing.assert_frame_equal(read_stored(again.folder, table), read_stored(whole.folder, table))


def test_a_file_that_is_refused_does_not_stop_the_others(archive, tmp_path):
    broken = archive / "data/futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-03-01.zip"
    broken.write_bytes(broken.read_bytes()[:-40])
    (archive / "readme.csv").write_text("a,b\n")
    report = import_archives([archive], TableStore(tmp_path / "store"))
    assert (report.count("imported"), report.count("refused")) == (8, 2)
    refused = report.lines()[1:]
    assert refused[0].startswith("BTCUSDT-1h-2024-03-01.zip: the bytes are not those the venue published")
    assert refused[1].startswith("readme.csv: is not named as a file of Binance's, Bybit's or OKX's archive")


def test_a_file_that_contradicts_another_is_refused_whole(archive, tmp_path):
    store = TableStore(tmp_path / "store")
    import_archives([archive], store)
    before = read_stored(store.folder, "perp")
    lines = [
        kline(milliseconds("2024-03-02") + h * HOUR, (100.0, 100.0, 99.0, 100.0), 10.0 + h, 4.0) for h in range(24)
    ]
    lines += [kline(milliseconds("2024-03-03") + h * HOUR) for h in range(24)]
    monthly = write_zip(tmp_path / "um/klines/BTCUSDT-1h-2024-03.zip", lines)
    report = import_archives([monthly], store)
    assert report.lines()[1] == (
        "BTCUSDT-1h-2024-03.zip, row 1, column high: differs from the 101.0 that the store has for "
        "2024-03-02 01:00:00+00:00 BTC (found 100.0)"
    )
    pd.testing.assert_frame_equal(read_stored(store.folder, "perp"), before)


def test_days_without_a_file_are_said(tmp_path):
    for day in ("2024-03-01", "2024-03-04", "2024-03-05"):
        day_file(tmp_path, day)
    report = import_archives([tmp_path / "archive"], TableStore(tmp_path / "store"))
    assert report.gaps == ("BTCUSDT klines: no file of 2024-03-02, 2024-03-03",)


def test_bars_of_two_lengths_are_refused_before_anything_is_read(archive, tmp_path):
    write_zip(archive / "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-03-01.zip", ["x"])
    with pytest.raises(InputError, match="bars of 1h and 1m for one table perp: import those of one length"):
        import_archives([archive], TableStore(tmp_path / "store"))
    with pytest.raises(InputError, match="no archive files are there"):
        import_archives([], TableStore(tmp_path / "store"))


def test_many_files_leave_one_part_a_month(tmp_path):
    for day in range(CROWD):
        day_file(tmp_path, f"2024-03-{day + 1:02d}")
    store = TableStore(tmp_path / "store")
    import_archives([tmp_path / "archive"], store)
    assert len([*store.folder.rglob("part-*")]) == 1
    assert len(read_stored(store.folder, "perp")) == 24 * CROWD


def test_three_venues_under_one_roof(tmp_path):
    day_file(tmp_path, "2024-03-01", "BTCUSDC")
    header = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
    trade = f"{milliseconds('2024-03-01') / 1000 + 0.5},ETHUSDT,Buy,1,10,PlusTick,x,0,0,0"
    write_gz(tmp_path / "archive/ETHUSDT2024-03-01.csv.gz", [header, trade])
    funding = f"BTC-USDT-SWAP,0.0003,{milliseconds('2024-03-01')}"
    write_zip(
        tmp_path / "archive/allswap-fundingrates-2024-03-01.zip", ["instrument_name,funding_rate,funding_time", funding]
    )
    store = TableStore(tmp_path / "store")
    assert import_archives([tmp_path / "archive"], store).count("imported") == 3
    assert [source.venue for source in stored_sources(store.folder, "perp")] == ["binance", "bybit"]
    assert sorted(read_stored(store.folder, "perp")["symbol"].unique()) == ["BTC/USDC:USDC", "ETH"]


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")
def test_real_bars_written_as_archives_come_back_bit_for_bit(tmp_path):
    bars = pd.read_parquet(SHARED / "data/binance_1h/perp.parquet")
    bars = bars[bars["symbol"].isin(["BTC", "LTC"]) & (bars["timestamp"].dt.year == 2021)]
    for (symbol, month), own in bars.groupby(["symbol", bars["timestamp"].dt.strftime("%Y-%m")]):
        name = f"{symbol}USDT-1h-{month}.zip"
        write_zip(tmp_path / f"archive/um/klines/{symbol}USDT/1h" / name, klines_of(own))
    store = TableStore(tmp_path / "store")
    assert import_archives([tmp_path / "archive"], store).new_rows == len(bars)
    read = read_stored(store.folder, "perp")
    expected = bars.sort_values(["timestamp", "symbol"], ignore_index=True)
    for column in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(read[column], expected[column])
