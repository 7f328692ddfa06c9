"""Files of OKX's historical data in their published layouts."""

from pathlib import Path

import pandas as pd
import pytest
from archive_samples import milliseconds, write_zip

from margincast.features.readers.archive_files import open_archive
from margincast.features.readers.okx_archive import okx_name, read_okx
from margincast.riskcore.errors import InputError

BARS = "instrument_name,open,high,low,close,vol,vol_ccy,vol_quote,open_time,confirm"
FUNDING = "instrument_name,funding_rate,funding_time"


def read(path, lines, quote="USDT"):
    (table,) = read_okx(open_archive(write_zip(path, lines)), okx_name(path), quote)
    return table


def test_bars_of_a_perpetual_have_their_volume_in_coins(tmp_path):
    # 23503.2 contracts of 0.1 ETH.
    line = "ETH-USDT-SWAP,3839.44,3843.58,3836.71,3838.16,23503.2,2350.32,9024127.30277,1761148800000,1"
    table = read(tmp_path / "ETH-USDT-SWAP-candlesticks-2025-10-23.zip", [BARS, line])
    assert table.table == "perp"
    assert table.frame.iloc[0].tolist() == [
        pd.Timestamp("2025-10-22T16:00", tz="UTC"),
        "ETH",
        3839.44,
        3843.58,
        3836.71,
        3838.16,
        2350.32,
    ]
    assert table.source.cleaning == ("ETH-USDT-SWAP is named ETH", "1439 of the 1440 bars of 2025-10-23 are not there")
    assert table.source.url == (
        "https://static.okx.com/cdn/okex/traderecords/candlesticks/daily/20251023/"
        "ETH-USDT-SWAP-candlesticks-2025-10-23.zip"
    )


def test_bars_of_spot(tmp_path):
    start = milliseconds("2023-12-31T16:00")
    lines = [f"BTC-USDT,100,102,99,101,3,300,300,{start + minute * 60_000},0" for minute in range(31 * 1440)]
    table = read(tmp_path / "BTC-USDT-candlesticks-2024-01.zip", [BARS, *lines])
    assert table.table == "spot" and len(table.frame) == 44_640
    assert table.frame[["symbol", "volume"]].iloc[0].tolist() == ["BTC_USDT", 3.0]
    assert table.source.cleaning == ("BTC-USDT is named BTC_USDT",)


def test_funding_of_all_perpetuals(tmp_path):
    lines = [
        FUNDING,
        "BTC-USDT-SWAP,-0.0001,1719763200000",
        "ETH-USDT-SWAP,0.0002,1719792000000",
        "BTC-USD-SWAP,-0.01,1719792000000",
    ]
    table = read(tmp_path / "allswap-fundingrates-2024-07-01.zip", lines)
    assert table.table == "funding"
    assert table.frame["symbol"].tolist() == ["BTC", "ETH", "BTC/USD:BTC"]
    assert table.frame["timestamp"].iloc[0] == pd.Timestamp("2024-06-30T16:00", tz="UTC")
    assert table.frame["funding_rate"].tolist() == [-0.0001, 0.0002, -0.01]
    monthly = read(tmp_path / "BTC-USDT-SWAP-fundingrates-2024-07.zip", lines[:2])
    assert monthly.source.url.endswith("/swaprates/monthly/202407/BTC-USDT-SWAP-fundingrates-2024-07.zip")


@pytest.mark.parametrize(
    ("file", "lines", "message"),
    [
        (
            "BTC-USDT-SWAP-candlesticks-2025-10-23.zip",
            [BARS, "ETH-USDT-SWAP,1,1,1,1,1,1,1,1761148800000,1"],
            "row 0, column instrument_name: is not BTC-USDT-SWAP, which the file's name says",
        ),
        (
            "BTC-USDT-SWAP-candlesticks-2025-10-22.zip",
            [BARS, "BTC-USDT-SWAP,1,1,1,1,1,1,1,1761148800000,1"],
            "row 0, column open_time: lies outside 2025-10-22 (UTC+8), which the file's name says",
        ),
        (
            "BTC-USDT-SWAP-candlesticks-2025-10-23.zip",
            [BARS, "BTC-USDT-SWAP,1,1,1,1,1,1,1,1761148800001,1"],
            "row 0, column open_time: is not the open of a minute",
        ),
        (
            "BTC-USDT-SWAP-candlesticks-2025-10-23.zip",
            [BARS, "BTC-USDT-SWAP,1,1,1,1,1,1,1,1761148800000000,1"],
            "row 0, column open_time: is not in milliseconds since 1970",
        ),
        (
            "BTC-USDT-SWAP-fundingrates-2024-07.zip",
            [FUNDING, "ETH-USDT-SWAP,0,1719763200000"],
            "column instrument_name: is not BTC-USDT-SWAP",
        ),
        ("allswap-fundingrates-2024-07-01.zip", ["a,b,c", "1,2,3"], "begins with an unknown header"),
        (
            "allswap-fundingrates-2024-07-01.zip",
            [FUNDING, "BTC-USD-240927,0,1719763200000"],
            "is neither spot nor a perpetual (found 'BTC-USD-240927')",
        ),
    ],
)
def test_what_is_refused(tmp_path, file, lines, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path / file, lines)
    assert str(caught.value).startswith(file) and message in str(caught.value)


@pytest.mark.parametrize("file", ["BTC-USDT-SWAP-trades-2024-03-01.zip", "BTCUSDT-1h-2024-03.zip"])
def test_names_that_cannot_be_read(file):
    assert okx_name(Path(file)) is None
