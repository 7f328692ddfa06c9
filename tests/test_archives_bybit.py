"""Files of Bybit's public archive in their published layouts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archive_samples import write_gz

from margincast.features.readers.archive_files import open_archive
from margincast.features.readers.bybit_archive import bybit_name, read_bybit
from margincast.riskcore.errors import InputError

TRADES = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"


def read(path, lines, quote="USDT"):
    (table,) = read_bybit(open_archive(write_gz(path, lines)), bybit_name(path), quote)
    return table


def trade(seconds, symbol, side, size, price):
    return f"{seconds},{symbol},{side},{size},{price},ZeroPlusTick,d6b9a5ac-3439,2.4725004e+11,{size},{size * price}"


@pytest.mark.parametrize("header", [TRADES, TRADES + ",RPI"])
def test_trades_become_bars_of_a_minute(tmp_path, header):
    # 2026-07-24T00:00:00 is 1784851200; the files used to be written with the latest trade first.
    lines = [
        trade(1784851265.5, "BTCUSDT", "Buy", 0.5, 65070.0),
        trade(1784851259.9999, "BTCUSDT", "Sell", 0.25, 65060.5),
        trade(1784851200.0547, "BTCUSDT", "Buy", 0.038, 65065.8),
    ]
    lines = [line + ",0" for line in lines] if header.endswith("RPI") else lines
    table = read(tmp_path / "BTCUSDT2026-07-24.csv.gz", [header, *lines])
    assert table.table == "perp" and table.source.rows == 3
    assert table.source.url == "https://public.bybit.com/trading/BTCUSDT/BTCUSDT2026-07-24.csv.gz"
    first, second = table.frame.itertuples(index=False)
    assert first == (pd.Timestamp("2026-07-24", tz="UTC"), "BTC", 65065.8, 65065.8, 65060.5, 65060.5, 0.288, 0.038, 2.0)
    assert (second.timestamp.minute, second.volume, second.taker_buy_volume) == (1, 0.5, 0.5)


def test_sizes_of_inverse_perpetuals_are_turned_into_coins(tmp_path):
    line = trade(1577836800.1, "BTCUSD", "Sell", 7200, 7200.0)
    table = read(tmp_path / "BTCUSD2020-01-01.csv.gz", [TRADES, line])
    assert table.frame[["symbol", "volume", "taker_buy_volume"]].iloc[0].tolist() == ["BTC/USD:BTC", 1.0, 0.0]
    assert table.source.cleaning[-1] == "sizes in USD turned into coins at the trade's price"


def test_usdc_perpetuals_are_named_by_their_settlement(tmp_path):
    lines = [TRADES, trade(1704067200.5, "BTCPERP", "Buy", 1.0, 42_000.0)]
    path = tmp_path / "BTCPERP2024-01-01.csv.gz"
    assert read(path, lines).frame["symbol"].iloc[0] == "BTC/USDC:USDC"
    assert read(path, lines, quote="USDC").frame["symbol"].iloc[0] == "BTC"


@pytest.mark.parametrize("file", ["BTCUSDT_2026-07-25.csv.gz", "BTCUSDT-2026-07.csv.gz"])
def test_spot_trades(tmp_path, file):
    table = read(tmp_path / file, ["id,timestamp,price,volume,side,rpi", "1,1784937600662,64142.5,0.00016,buy,0"])
    assert table.table == "spot"
    assert table.frame.iloc[0, 1:].tolist() == ["BTC_USDT", *[64142.5] * 4, 0.00016, 0.00016, 1.0]


def test_bars_are_on_a_clock_three_hours_ahead(tmp_path):
    lines = ["2024.01.01 00:00,42000,42010.5,41990,42005,12.5", "2024.01.31 23:45,42000,42010.5,41990,42005,7"]
    table = read(tmp_path / "BTCUSDT_15_2024-01-01_2024-01-31.csv.gz", lines)
    assert table.table == "perp"
    assert table.frame["timestamp"].astype(str).tolist() == ["2023-12-31 21:00:00+00:00", "2024-01-31 20:45:00+00:00"]
    assert table.frame.iloc[0, 1:].tolist() == ["BTC", 42000.0, 42010.5, 41990.0, 42005.0, 12.5]
    assert table.source.cleaning[-2:] == (
        "times on a clock of UTC+3, put to UTC",
        "2974 of the 2976 bars of 2024-01 are not there",
    )
    assert table.source.url.endswith("/kline_for_metatrader4/BTCUSDT/2024/BTCUSDT_15_2024-01-01_2024-01-31.csv.gz")


@pytest.mark.parametrize(
    ("file", "table"),
    [
        ("BTCUSD2020-01-01_premium_index.csv.gz", "series/premium_index"),
        ("BTCUSD2020-01-01_index_price.csv.gz", "series/index"),
    ],
)
def test_index_and_premium_index_are_known_at_the_end_of_their_minute(tmp_path, file, table):
    lines = ["start_at,symbol,period,open,high,low,close", "1577836800,BTCUSD,1,-0.0002,0.0001,-0.0003,-0.0001"]
    read_table = read(tmp_path / file, lines)
    assert read_table.table == table
    assert read_table.frame.iloc[0].tolist() == [pd.Timestamp("2020-01-01T00:01", tz="UTC"), "BTC/USD:BTC", -0.0001]


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        (
            "BTCUSDT2026-07-24.csv.gz",
            [TRADES, trade(1784851200.5, "ETHUSDT", "Buy", 1.0, 1.0)],
            "row 0, column symbol: is not BTCUSDT, which the file's name says (found 'ETHUSDT')",
        ),
        (
            "BTCUSDT2026-07-25.csv.gz",
            [TRADES, trade(1784851200.5, "BTCUSDT", "Buy", 1.0, 1.0)],
            "row 0, column timestamp: lies outside 2026-07-25, which the file's name says",
        ),
        (
            "BTCUSDT2026-07-24.csv.gz",
            [TRADES, trade(1784851200500, "BTCUSDT", "Buy", 1.0, 1.0)],
            "row 0, column timestamp: is not in seconds since 1970 (found 1784851200500.0)",
        ),
        (
            "BTCUSDT2026-07-24.csv.gz",
            [TRADES, trade(1784851200.5, "BTCUSDT", "Long", 1.0, 1.0)],
            "row 0, column side: must be Buy or Sell (found 'Long')",
        ),
        ("BTCUSDT2026-07-24.csv.gz", ["time,price", "1,2"], "begins with an unknown header"),
        ("BTCUSDT_1_2024-01-01_2024-01-31.csv.gz", ["2024-01-01 00:00,1,1,1,1,1"], "row 0, column time: is not a date"),
        ("BTCUSDT_1_2024-01-01_2024-01-31.csv.gz", ["time,o,h,l,c,v"], "begins with an unknown header"),
        ("BTCUSDT_1_2024-02-01_2024-02-29.csv.gz", ["2024.03.01 00:00,1,1,1,1,1"], "lies outside 2024-02 (UTC+3)"),
        ("BTCUSDH252025-01-01.csv.gz", [TRADES, trade(1735689600.5, "BTCUSDH25", "Buy", 1.0, 1.0)], "ends in none of"),
    ],
)
def test_what_is_refused(tmp_path, file, lines, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path / file, lines)
    assert str(caught.value).startswith(file) and message in str(caught.value)


@pytest.mark.parametrize("file", ["BTCUSDT-1h-2024-03.zip", "BTC-USDT-SWAP-candlesticks-2024-03.zip", "x.csv"])
def test_names_that_are_not_bybits(file):
    assert bybit_name(Path(file)) is None


def test_microseconds_of_the_trades_are_kept_in_order(tmp_path):
    # 1784851200.0547 s is no double; the nearest microsecond is what the venue wrote.
    stamps = [1784851200.0547, 1784851200.0548, 1784851200.05475]
    lines = [
        TRADES,
        *(trade(t, "BTCUSDT", "Buy", 1.0, price) for t, price in zip(stamps, (1.0, 3.0, 2.0), strict=True)),
    ]
    bar = read(tmp_path / "BTCUSDT2026-07-24.csv.gz", lines).frame.iloc[0]
    assert (bar["open"], bar["close"]) == (1.0, 3.0)
    assert np.rint(np.array(stamps) * 1e6).astype(np.int64).tolist() == [
        1784851200054700,
        1784851200054800,
        1784851200054750,
    ]
