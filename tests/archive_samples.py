"""Archive files in the venues' published layouts, written by hand or from bars."""

import gzip
import hashlib
import zipfile

import numpy as np
import pandas as pd

KLINE_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
HOUR = 3_600_000


def write_zip(path, lines, member=None, checksum=False):
    """A zip of one CSV of these lines, and on demand the CHECKSUM file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(member or f"{path.stem}.csv", "\n".join(lines) + "\n")
    if checksum:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}\n")
    return path


def write_gz(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def kline(opened, prices=(100.0, 101.0, 99.0, 100.5), volume=10.0, taker=4.0, step=HOUR, unit=1, count=7):
    """One kline line; `opened` and `step` in milliseconds, written in 1 / unit of them."""
    closed = (opened + step) * unit - 1
    cells = [opened * unit, *prices, volume, closed, volume * prices[3], count, taker, taker * prices[3], 0]
    return ",".join(map(str, cells))


def milliseconds(text):
    return int(pd.Timestamp(text, tz="UTC").timestamp() * 1000)


def klines_of(bars):
    """Lines of klines from bars with columns timestamp, open, high, low, close, volume; every digit kept."""
    opened = bars["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)
    rows = bars[["open", "high", "low", "close", "volume"]].to_numpy().tolist()
    return [kline(int(t), row[:4], row[4], row[4] / 2) for t, row in zip(opened, rows, strict=True)]
