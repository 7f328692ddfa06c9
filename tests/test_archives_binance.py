"""Files of Binance's public data: each kind in its published layout, what is said of it, and what is refused."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from archive_samples import HOUR, KLINE_HEADER, kline, klines_of, milliseconds, write_zip

from margincast.features.readers.archive_files import open_archive
from margincast.features.readers.binance_archive import read_binance
from margincast.features.readers.binance_names import binance_name
from margincast.features.readers.contract_names import QUOTES, joined_market
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
UM, CM = "data/futures/um/monthly", "data/futures/cm/daily"
MARCH = milliseconds("2024-03-01")


def read(path, quote="USDT", kind=None):
    return read_binance(open_archive(path), binance_name(path, kind), quote)


def read_one(path, **options):
    (table,) = read(path, **options)
    return table


def day_of_klines(**changes):
    return [kline(MARCH + hour * HOUR, **changes) for hour in range(24)]


def perp_file(folder, lines, file="BTCUSDT-1h-2024-03-01.zip", kind="klines", **options):
    return write_zip(folder / "data/futures/um/daily" / kind / "BTCUSDT" / "1h" / file, lines, **options)


# --- bars -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [[], [KLINE_HEADER]], ids=["without header", "with header"])
def test_klines_of_a_perpetual(tmp_path, header):
    table = read_one(perp_file(tmp_path, [*header, *day_of_klines()], checksum=True))
    assert (table.table, table.source.venue, table.source.rows) == ("perp", "binance", 24)
    first = table.frame.iloc[0]
    assert first["timestamp"] == pd.Timestamp("2024-03-01", tz="UTC") and first["symbol"] == "BTC"
    assert first.iloc[2:].tolist() == [100.0, 101.0, 99.0, 100.5, 10.0, 4.0, 7.0]
    assert table.source.cleaning == ("the hash agrees with the CHECKSUM file", "BTCUSDT is named BTC")
    assert table.source.url == (
        "https://data.binance.vision/data/futures/um/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-03-01.zip"
    )


def test_the_published_example_of_a_spot_kline_in_microseconds(tmp_path):
    # github.com/binance/binance-public-data, README: klines of spot from 2025 on.
    line = (
        "1735689600000000,4.15070000,4.15870000,4.15060000,4.15540000,539.23000000,1735693199999999,"
        "2240.39860900,13,401.82000000,1669.98121300,0"
    )
    table = read_one(write_zip(tmp_path / "spot/klines/BNBUSDT/1h/BNBUSDT-1h-2025-01.zip", [line]), kind="spot/klines")
    assert table.table == "spot"
    row = table.frame.iloc[0]
    assert row["timestamp"] == pd.Timestamp("2025-01-01", tz="UTC") and row["symbol"] == "BNB_USDT"
    assert row.iloc[2:].tolist() == [4.1507, 4.1587, 4.1506, 4.1554, 539.23, 401.82, 13.0]
    assert "timestamps in microseconds, read as such" in table.source.cleaning
    assert "743 of the 744 bars of 2025-01 are not there" in table.source.cleaning


def test_mark_index_and_premium_index(tmp_path):
    lines = [KLINE_HEADER, *day_of_klines(prices=(1.0, 3.0, 0.5, 2.0), volume=0, taker=0)]
    mark = read_one(perp_file(tmp_path, lines, kind="markPriceKlines"))
    assert mark.table == "mark" and list(mark.frame) == ["timestamp", "symbol", "open", "high", "low", "close"]
    index = read_one(perp_file(tmp_path, lines, kind="indexPriceKlines"))
    assert index.table == "series/index"
    assert index.frame["timestamp"].iloc[0] == pd.Timestamp("2024-03-01T01:00", tz="UTC")
    negative = [KLINE_HEADER, *day_of_klines(prices=(-1e-4, 2e-4, -3e-4, -2e-4), volume=0, taker=0)]
    premium = read_one(perp_file(tmp_path, negative, kind="premiumIndexKlines"))
    assert (premium.table, premium.frame["value"].iloc[0]) == ("series/premium_index", -2e-4)


def test_volumes_of_coin_margined_contracts_are_in_coins(tmp_path):
    line = kline(MARCH, prices=(50_000.0, 50_000.0, 50_000.0, 50_000.0), volume=1000.0, taker=400.0)
    cells = line.split(",")
    cells[7], cells[10] = "2.0", "0.8"  # base asset volume and taker buy base asset volume: 1000 contracts of 100 USD
    path = write_zip(tmp_path / CM / "klines/BTCUSD_PERP/1h/BTCUSD_PERP-1h-2024-03-01.zip", [",".join(cells)])
    table = read_one(path)
    assert table.frame[["symbol", "volume", "taker_buy_volume"]].iloc[0].tolist() == ["BTC/USD:BTC", 2.0, 0.8]


def test_bars_that_are_missing_idle_or_close_early_are_counted(tmp_path):
    lines = day_of_klines()
    lines[3] = kline(MARCH + 3 * HOUR, volume=0.0, taker=0.0)
    lines[5] = kline(MARCH + 5 * HOUR, step=HOUR // 2)
    del lines[10:12]
    notes = read_one(perp_file(tmp_path, lines)).source.cleaning
    assert notes[1:] == (
        "1 bars close before or after their time",
        "2 of the 24 bars of 2024-03-01 are not there",
        "1 bars without a trade",
    )


@pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")
def test_a_month_of_real_bars_keeps_every_bit(tmp_path):
    bars = pd.read_parquet(SHARED / "data/binance_1h/perp.parquet")
    bars = bars[(bars["symbol"] == "BTC") & (bars["timestamp"].dt.strftime("%Y-%m") == "2020-03")]
    path = write_zip(tmp_path / UM / "klines/BTCUSDT/1h/BTCUSDT-1h-2020-03.zip", klines_of(bars))
    table = read_one(path)
    same = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
    pd.testing.assert_frame_equal(
        table.frame[same], bars[same].reset_index(drop=True), check_exact=True, check_dtype=False
    )
    assert table.source.cleaning == ("BTCUSDT is named BTC",)
    assert table.frame["low"].min() == 3621.81  # shared/data/README.md: BTC perp low of 2020-03-13


def test_aggregate_trades_become_bars_of_a_minute(tmp_path):
    # Lines 1 to 3 lie in one minute; the first and third are sold by takers (the buyer is the maker).
    lines = [
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        f"1,100,2,1,1,{MARCH},true",
        f"2,102,1,2,4,{MARCH + 30_000},false",
        f"3,99.5,4,5,5,{MARCH + 59_999},true",
        f"4,101,8,6,6,{MARCH + 180_000},false",
    ]
    path = write_zip(tmp_path / "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-03-01.zip", lines)
    table = read_one(path)
    assert table.table == "perp"
    assert table.frame.drop(columns=["timestamp", "symbol"]).to_numpy().tolist() == [
        [100.0, 102.0, 99.5, 99.5, 7.0, 1.0, 5.0],
        [101.0, 101.0, 101.0, 101.0, 8.0, 8.0, 1.0],
    ]
    assert table.frame["timestamp"].dt.minute.tolist() == [0, 3]


def test_the_published_example_of_a_spot_aggregate_trade(tmp_path):
    line = "0,0.20000000,50.00000000,0,0,1735689600010866,False,True"
    table = read_one(
        write_zip(tmp_path / "spot/aggTrades/BNBUSDT-aggTrades-2025-01-01.zip", [line], "BNBUSDT-aggTrades.csv"),
        kind="spot/aggTrades",
    )
    assert table.frame["timestamp"].iloc[0] == pd.Timestamp("2025-01-01", tz="UTC")
    assert table.frame[["close", "volume", "taker_buy_volume"]].iloc[0].tolist() == [0.2, 50.0, 50.0]


# --- events -----------------------------------------------------------------------------------------------------------


def test_funding_keeps_the_instant_it_was_charged(tmp_path):
    lines = ["calc_time,funding_interval_hours,last_funding_rate", "1751328000007,8,0.00008191"]
    table = read_one(write_zip(tmp_path / "ETHUSDT-fundingRate-2025-07.zip", lines))
    assert table.table == "funding"
    assert table.frame.iloc[0].tolist() == [pd.Timestamp("2025-07-01T00:00:00.007", tz="UTC"), "ETH", 0.00008191]


METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


def metrics_file(folder, day, *rows, symbol="BTCUSDT"):
    return write_zip(folder / f"{symbol}-metrics-{day}.zip", [METRICS_HEADER, *rows])


def test_metrics_are_open_interest_and_four_ratios(tmp_path):
    row = "2022-06-01 00:05:00,BTCUSDT,77082.018,2440000000.5,1.17,1.23,1.35,0.78"
    tables = {table.table: table for table in read(metrics_file(tmp_path, "2022-06-01", row))}
    interest = tables.pop("open_interest")
    assert interest.frame["open_interest"].tolist() == [77082.018]
    assert interest.frame["timestamp"].iloc[0] == pd.Timestamp("2022-06-01T00:05", tz="UTC")
    assert {name: table.frame["value"].iloc[0] for name, table in tables.items()} == {
        "series/top_trader_account_ratio": 1.17,
        "series/top_trader_position_ratio": 1.23,
        "series/account_ratio": 1.35,
        "series/taker_volume_ratio": 0.78,
    }


def test_metrics_from_march_2024_on_are_known_five_minutes_after_their_stamp(tmp_path):
    before, after = "2024-03-03 23:55:00,BTCUSDT,1,1,1,1,1,1", "2024-03-04 00:00:00,BTCUSDT,1,1,1,1,1,1"
    early = read(metrics_file(tmp_path, "2024-03-03", before))[-1]
    late = read(metrics_file(tmp_path, "2024-03-04", after))[-1]
    assert early.frame["timestamp"].iloc[0] == pd.Timestamp("2024-03-03T23:55", tz="UTC")
    assert late.frame["timestamp"].iloc[0] == pd.Timestamp("2024-03-04T00:05", tz="UTC")
    assert "times are the start of the five minutes: stamped with their end" in late.source.cleaning


def test_rows_of_an_outage_and_empty_ratios_are_left_out_and_counted(tmp_path):
    rows = ("2022-03-07 00:05:00,BTCUSDT,0,0,,1.2,1.3,", "2022-03-07 00:10:00,BTCUSDT,5,6,,1.2,1.3,")
    tables = {table.table: table for table in read(metrics_file(tmp_path, "2022-03-07", *rows))}
    assert set(tables) == {"series/top_trader_position_ratio", "series/account_ratio", "open_interest"}
    assert tables["open_interest"].frame["open_interest"].tolist() == [5.0]
    assert "1 rows without sum_open_interest left out" in tables["open_interest"].source.cleaning


def test_open_interest_of_coin_margined_contracts_is_their_value_in_coins(tmp_path):
    row = "2022-06-01 00:05:00,BTCUSD_PERP,20403,176.5,1,1,1,1"
    interest = read(metrics_file(tmp_path, "2022-06-01", row, symbol="BTCUSD_PERP"))[-1]
    assert interest.frame[["symbol", "open_interest"]].iloc[0].tolist() == ["BTC/USD:BTC", 176.5]


def depth_lines(stamp, notionals):
    bands = [-5, -4, -3, -2, -1, 1, 2, 3, 4, 5]
    return [f"{stamp},{band},{n / 100},{n}" for band, n in zip(bands, notionals, strict=True)]


def test_depth_bands_are_bids_and_asks_in_basis_points(tmp_path):
    lines = depth_lines("2024-03-01 00:00:06", [50, 40, 30, 20, 10, 11, 21, 31, 41, 51])
    bad = depth_lines("2024-03-01 00:00:36", [50, 40, 30, 20, 60, 11, 21, 31, 41, 51])
    header = "timestamp,percentage,depth,notional"
    table = read_one(write_zip(tmp_path / "BTCUSDT-bookDepth-2024-03-01.zip", [header, *lines, *bad]))
    assert table.table == "depth" and len(table.frame) == 10
    bids = table.frame[table.frame["side"] == "bid"].set_index("level_bps")["notional"].to_dict()
    assert bids == {500.0: 50.0, 400.0: 40.0, 300.0: 30.0, 200.0: 20.0, 100.0: 10.0}
    assert "1 snapshots whose notional shrinks as the band widens left out" in table.source.cleaning


def test_fine_bands_of_a_fifth_of_a_percent(tmp_path):
    lines = ["timestamp,percentage,depth,notional", "2026-01-20 00:00:06,-0.20,1,7", "2026-01-20 00:00:06,0.20,1,8"]
    table = read_one(write_zip(tmp_path / "BTCUSDT-bookDepth-2026-01-20.zip", lines))
    assert table.frame[["side", "level_bps"]].to_numpy().tolist() == [["bid", 20.0], ["ask", 20.0]]


def test_liquidations_stand_twice_in_the_files_and_are_in_coins(tmp_path):
    # Lines of BTCUSD_PERP-liquidationSnapshot-2023-06-25: a contract is 100 USD.
    lines = [
        "time,side,order_type,time_in_force,original_quantity,price,average_price,order_status,last_fill_quantity,"
        "accumulated_fill_quantity",
        "1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7",
        "1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7",
        "1687656473356,SELL,LIMIT,IOC,43,30756.6,30631.6,FILLED,1,43",
        "1687656473356,SELL,LIMIT,IOC,43,30756.6,30631.6,FILLED,1,43",
    ]
    table = read_one(write_zip(tmp_path / "BTCUSD_PERP-liquidationSnapshot-2023-06-25.zip", lines))
    assert table.frame["side"].tolist() == ["short", "long"]
    np.testing.assert_allclose(table.frame["quantity"], [700 / 30631.6, 4300 / 30631.6], rtol=1e-15)
    assert table.source.rows == 4 and "2 lines equal to one above dropped" in table.source.cleaning


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_of_markets_can_be_taken_back():
    for native, kind, suffix in (
        ("BTCUSDT", "linear", ""),
        ("BTCUSDC", "linear", ""),
        ("1000SHIBUSDT", "linear", ""),
        ("BTCUSD_PERP", "inverse", "_PERP"),
        ("ETHBTC", "spot", ""),
    ):
        market = joined_market(native, kind, "x", suffix)
        assert market.coin + market.quote + suffix == native
        assert market.quote in QUOTES[kind]
    named = {joined_market(n, "linear", "x").symbol("USDT") for n in ("BTCUSDT", "BTCUSDC", "1000BTCUSDT")}
    assert named == {"BTC", "BTC/USDC:USDC", "1000BTC"}
    assert joined_market("BTCUSDC", "linear", "x").symbol("USDC") == "BTC"
    assert len(joined_market("1INCHUSDT", "linear", "x").notes("USDT")) == 1


# --- what is refused --------------------------------------------------------------------------------------------------


def changed(lines, row, column, value):
    cells = lines[row].split(",")
    cells[column] = str(value)
    return [*lines[:row], ",".join(cells), *lines[row + 1 :]]


KLINES = day_of_klines()
FILE = "BTCUSDT-1h-2024-03-01.zip"
REFUSED = {
    "header": ([KLINE_HEADER.replace("count", "trades"), *KLINES], "begins with an unknown header; known is open_time"),
    "cells": ([line + ",1" for line in KLINES], "begins with an unknown header"),
    "short line": ([*KLINES[:4], KLINES[4][:40]], "row 4: the line ends early"),
    "long line": ([*KLINES[:4], KLINES[4] + ",1"], "is not a CSV file"),
    "empty": ([KLINE_HEADER], "has no rows"),
    "seconds": (
        [changed([k], 0, 0, 1709251200)[0] for k in KLINES],
        "row 0, column open_time: is not in milliseconds or",
    ),
    "units mixed": (
        changed(KLINES, 7, 0, (MARCH + 7 * HOUR) * 1000),
        "row 7, column open_time: is not in milliseconds, as the rows above are",
    ),
    "other day": (
        changed(KLINES, 23, 0, MARCH + 24 * HOUR),
        "row 23, column open_time: lies outside 2024-03-01, which the file's name says (found '2024-03-02T00",
    ),
    "other length": (
        [kline(MARCH + q * HOUR // 4, step=HOUR // 4) for q in range(24)],
        "row 0, column close_time: is not the end of a bar of 1h",
    ),
    "number": (changed(KLINES, 2, 3, "n/a"), "row 2, column low: is not a number (found 'n/a')"),
    "time": (changed(KLINES, 2, 0, "noon"), "row 2, column open_time: is not a whole number (found 'noon')"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_read_is_named(tmp_path, case):
    lines, message = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read(perp_file(tmp_path, lines))
    assert str(caught.value).startswith(FILE) and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_symbol_in_the_file_or_the_folder(tmp_path):
    with pytest.raises(InputError, match="holds ETHUSDT-1h-2024-03-01.csv"):
        read(perp_file(tmp_path, KLINES, member="ETHUSDT-1h-2024-03-01.csv"))
    with pytest.raises(InputError, match="lies in the folder of BTCUSDT"):
        read(perp_file(tmp_path, KLINES, "ETHUSDT-1h-2024-03-01.zip"))
    row = "2022-06-01 00:05:00,ETHUSDT,1,1,1,1,1,1"
    with pytest.raises(InputError, match="row 0, column symbol: is not BTCUSDT, which the file's name says"):
        read(metrics_file(tmp_path, "2022-06-01", row))


@pytest.mark.parametrize(
    ("file", "kind", "message"),
    [
        ("BTCUSDT_240329-1h-2024-03-01.zip", "um/klines", "is no perpetual: a dated future has no place"),
        ("BTCGBP-1h-2024-03-01.zip", "um/klines", "ends in none of the quote assets USDT, USDC"),
        ("BTCUSDT-1h-2024-03-01.zip", None, "the folders do not say which market and kind this is"),
        ("BTCUSDT-1h-2024-03-01.zip", "klines", "the folders do not say which market and kind this is"),
        ("BTCUSDT-1mo-2024-03.zip", "um/klines", "bars of this length cannot be read (found '1mo')"),
        ("BTCUSDT-1h-2024-13.zip", "um/klines", "is no day or month (found '2024-13')"),
    ],
)
def test_a_name_that_cannot_be_used(tmp_path, file, kind, message):
    with pytest.raises(InputError) as caught:
        read(write_zip(tmp_path / file, KLINES), kind=kind)
    assert message in str(caught.value)


@pytest.mark.parametrize("file", ["notes.zip", "BTC-USDT-SWAP-candlesticks-2024-03.zip", "BTCUSDT-1h-2024-03.txt"])
def test_names_that_are_not_binances(file):
    assert binance_name(Path(file)) is None
