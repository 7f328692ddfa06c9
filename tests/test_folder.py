"""The reader of market folders: what it lays out, what it says, and what it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PRICES = ["open", "high", "low", "close"]
HOURS = 60
START = pd.Timestamp("2024-01-01", tz="UTC")


def bars(symbol, level, hours=HOURS, start=START):
    close = level * (1 + 0.01 * np.sin(np.arange(hours)))
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": 2.0}
    stamps = pd.date_range(start, periods=hours, freq="h")
    return pd.DataFrame({"timestamp": stamps, "symbol": symbol, **columns})


def perp():
    return pd.concat([bars("BTC", 100.0), bars("ETH", 10.0)], ignore_index=True)


def funding(rate=0.0001):
    stamps = pd.date_range(START, periods=7, freq="8h")
    return pd.DataFrame({"timestamp": stamps, "symbol": "BTC", "funding_rate": rate})


def depth():
    rows = [(s, "BTC", side, level, 100.0 * level) for s in ("bid", "ask") for level in (10.0, 50.0) for side in [s]]
    table = pd.DataFrame(rows, columns=["timestamp", "symbol", "side", "level_bps", "notional"])
    return table.assign(timestamp=START + pd.Timedelta(minutes=10))


def write(folder, file, table):
    if isinstance(table, bytes):
        (folder / file).write_bytes(table)
    elif file.endswith(".csv"):
        table.to_csv(folder / file, index=False)
    else:
        table.to_parquet(folder / file)


def folder_of(tmp_path, **tables):
    for name, table in {"perp": perp(), **tables}.items():
        write(tmp_path, f"{name}.parquet", table)
    return tmp_path


def with_value(table, row, column, value):
    out = table.astype({column: object}) if isinstance(value, str) else table.copy()
    out.loc[row, column] = value
    return out


def without(table, rows):
    return table.drop(index=rows).reset_index(drop=True)


def naive(table):
    return table.assign(timestamp=table["timestamp"].dt.tz_localize(None))


# --- what is laid out -------------------------------------------------------------------------------------------------


def test_bars_stand_where_their_timestamp_says(tmp_path):
    data = read_market_folder(folder_of(tmp_path))
    assert data.symbols == ("BTC", "ETH")
    assert data.history.times[3] == np.datetime64("2024-01-01T03:00")
    assert data.trade["close"][3].tolist() == [100.0 * (1 + 0.01 * np.sin(3)), 10.0 * (1 + 0.01 * np.sin(3))]
    assert data.history.instruments.assets == ("USDT", "BTC", "ETH")
    assert data.history.index_series.tolist() == [-1, 0, 1]
    assert data.bar_hours == 1.0
    for absent in (data.funding_rate, data.open_interest, data.spot_close, data.depth, data.liquidations):
        assert absent is None
    assert set(data.report.absent) == {"mark", "funding", "spot", "open_interest", "depth", "liquidations"}
    assert not data.simulated


def test_order_of_rows_does_not_matter_where_each_symbol_rises(tmp_path):
    by_symbol, by_time = tmp_path / "a", tmp_path / "b"
    by_symbol.mkdir(), by_time.mkdir()
    write(by_symbol, "perp.parquet", perp())
    write(by_time, "perp.parquet", perp().sort_values(["timestamp", "symbol"], ascending=[True, False]))
    one, other = read_market_folder(by_symbol), read_market_folder(by_time)
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(one.trade[column], other.trade[column])


def test_csv_gives_the_same_bits_as_parquet(tmp_path):
    rng = np.random.default_rng(3)
    table = perp()
    table[PRICES] = table[PRICES].to_numpy() * rng.uniform(0.99999, 1.00001, len(table))[:, None]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    write(tmp_path / "a", "perp.parquet", table)
    write(tmp_path / "b", "perp.csv", table)
    one, other = read_market_folder(tmp_path / "a"), read_market_folder(tmp_path / "b")
    for column in (*PRICES, "volume"):
        np.testing.assert_array_equal(one.trade[column], other.trade[column])


def test_another_time_zone_is_the_same_instant(tmp_path):
    table = perp().assign(timestamp=perp()["timestamp"].dt.tz_convert("Asia/Tokyo"))
    data = read_market_folder(folder_of(tmp_path, perp=table))
    assert data.history.times[0] == np.datetime64("2024-01-01T00:00")


def test_single_precision_prices_are_kept_as_they_are(tmp_path):
    table = perp().astype(dict.fromkeys(PRICES, np.float32))
    data = read_market_folder(folder_of(tmp_path, perp=table))
    assert data.trade["low"].dtype == np.float64
    np.testing.assert_array_equal(data.trade["low"][:, 0], table["low"].iloc[:HOURS].to_numpy().astype(np.float64))


def test_marks_come_from_the_mark_table_and_else_from_last_prices(tmp_path):
    mark = bars("BTC", 101.0).drop(columns="volume").iloc[5:]
    data = read_market_folder(folder_of(tmp_path, mark=mark))
    assert data.history.source == "mark; last price for ETH"
    assert np.isnan(data.history.close[:5, 0]).all()
    assert data.history.close[5, 0] == 101.0 * (1 + 0.01 * np.sin(5))
    np.testing.assert_array_equal(data.history.close[:, 1], data.trade["close"][:, 1])
    assert data.report.lines()[-1].startswith("marks: mark; last price for ETH")


def test_a_gap_stays_empty_and_is_counted(tmp_path):
    data = read_market_folder(folder_of(tmp_path, perp=without(perp(), [10, 11, 20])))
    assert np.flatnonzero(np.isnan(data.trade["close"][:, 0])).tolist() == [10, 11, 20]
    assert not np.isnan(data.trade["close"][:, 1]).any()
    btc = data.report.table("perp").symbols[0]
    assert (btc.rows, btc.gaps, btc.missing_bars, btc.longest_gap) == (57, 2, 3, 2)
    assert btc.coverage == pytest.approx(57 / 60)
    assert "2 gaps (3 bars, longest 2)" in data.report.lines()[1]


def test_the_longest_gap_allowed_is_a_parameter(tmp_path):
    folder = folder_of(tmp_path, perp=without(perp(), [10, 11]))
    assert read_market_folder(folder, max_gap=2).report.bars == HOURS
    with pytest.raises(InputError, match="2 bars of BTC are missing before this row, more than 1") as caught:
        read_market_folder(folder, max_gap=1)
    assert (caught.value.file, caught.value.row, caught.value.column) == ("perp.parquet", 10, "timestamp")


def test_funding_counts_to_the_bar_open_when_it_was_charged(tmp_path):
    late = funding().assign(timestamp=lambda t: t["timestamp"] + pd.Timedelta(milliseconds=7))
    data = read_market_folder(folder_of(tmp_path, funding=late))
    assert np.flatnonzero(data.history.funding[:, 0]).tolist() == list(range(0, 56, 8))
    assert data.history.funding[8].tolist() == [0.0001, 0.0]
    assert np.isnan(data.funding_rate[9, 0]) and np.isnan(data.funding_rate[:, 1]).all()
    note = "7 rows are not at a bar's open (up to 0.007 s after): counted to the bar open then"
    assert data.report.table("funding").notes == (note,)


def test_charges_within_one_bar_add_up(tmp_path):
    stamps = [START + pd.Timedelta(minutes=m) for m in (60, 75, 90, 130)]
    table = pd.DataFrame({"timestamp": stamps, "symbol": "ETH", "funding_rate": [0.25, 0.125, 0.0625, 0.5]})
    data = read_market_folder(folder_of(tmp_path, funding=table))
    assert data.history.funding[:3, 1].tolist() == [0.0, 0.4375, 0.5]


def test_hourly_funding_layout_is_read_and_said(tmp_path):
    table = funding().rename(columns={"funding_rate": "funding_rate_1h"})
    data = read_market_folder(folder_of(tmp_path, funding=table))
    assert data.history.funding[8, 0] == 0.0001
    assert "funding_rate_1h" in data.report.table("funding").notes[0]


def test_rows_outside_the_bars_and_unknown_symbols_are_left_out_and_said(tmp_path):
    early = bars("BTC_USDT", 99.0, hours=HOURS + 4, start=START - pd.Timedelta(hours=4))
    spot = pd.concat([early, bars("DOGE_USDT", 1.0), bars("BTC_EUR", 90.0)], ignore_index=True)
    data = read_market_folder(folder_of(tmp_path, spot=spot))
    assert data.spot_close[0, 0] == 99.0 * (1 + 0.01 * np.sin(4))
    assert np.isnan(data.spot_close[:, 1]).all()
    assert data.report.table("spot").notes == (
        "4 of 184 rows lie outside the bars of perp and are left out",
        "not among the perpetuals, left out: BTC_EUR, DOGE_USDT",
    )


def test_open_interest_is_the_latest_of_its_bar(tmp_path):
    stamps = [START + pd.Timedelta(minutes=m) for m in (0, 30, 130)]
    table = pd.DataFrame({"timestamp": stamps, "symbol": "BTC", "open_interest": [5.0, 6.0, 7.0]})
    data = read_market_folder(folder_of(tmp_path, open_interest=table))
    np.testing.assert_array_equal(data.open_interest[:4, 0], [6.0, np.nan, 7.0, np.nan])


def test_bad_bars_and_stale_marks_are_counted(tmp_path):
    table = with_value(with_value(perp(), 4, "open", 200.0), 70, "open", 1.0)
    mark = bars("ETH", 10.0).drop(columns="volume")
    mark.loc[30:34, PRICES] = mark.loc[29, "close"]
    mark.loc[50:51, PRICES] = mark.loc[49, "close"]
    data = read_market_folder(folder_of(tmp_path, perp=table, mark=mark))
    assert [s.bad_bars for s in data.report.table("perp").symbols] == [1, 1]
    assert [s.stale_bars for s in data.report.table("mark").symbols] == [5]
    assert "2 bad bars" in data.report.lines()[1]
    assert "5 stale bars" in data.report.lines()[2]


def test_a_mark_far_from_last_prices_is_said_with_its_worst_bar(tmp_path):
    mark = perp().drop(columns="volume")
    eth = mark["symbol"] == "ETH"
    last = mark.loc[eth].set_index("timestamp")
    at = [START + pd.Timedelta(hours=h) for h in (3, 9)]
    mark.loc[eth & (mark["timestamp"] == at[0]), "low"] = last.loc[at[0], "low"] / 1.2
    mark.loc[eth & (mark["timestamp"] == at[1]), "high"] = last.loc[at[1], "high"] * 10
    fair = eth & (mark["timestamp"] == START + pd.Timedelta(hours=20))
    mark.loc[fair, "high"] *= 1.09
    report = read_market_folder(folder_of(tmp_path, mark=mark)).report.table("mark")
    ratio = f"high {10 * last.loc[at[1], 'high']:g}, last {last.loc[at[1], 'high']:g}"
    worst = f"{at[1]:%Y-%m-%dT%H:%M:%S} ({ratio})"
    assert report.notes == (f"ETH: the mark is more than 10% outside of last prices in 2 bars, most at {worst}",)


def test_market_json_says_that_a_market_is_simulated(tmp_path):
    (tmp_path / "market.json").write_text(json.dumps({"simulated": True, "seed": 4}))
    data = read_market_folder(folder_of(tmp_path))
    assert data.simulated and data.report.market == {"simulated": True, "seed": 4}
    assert data.report.lines()[0].startswith("simulated market ")


def test_depth_and_liquidations_are_kept_as_rows(tmp_path):
    table = pd.DataFrame({"timestamp": [START], "symbol": ["BTC"], "quantity": [3.0]})
    data = read_market_folder(folder_of(tmp_path, depth=depth(), liquidations=table))
    assert data.depth["notional"].tolist() == [1000.0, 5000.0, 1000.0, 5000.0]
    assert data.liquidations["quantity"].tolist() == [3.0]
    assert data.report.table("depth").rows == 4


def test_other_files_are_named_not_read(tmp_path):
    write(tmp_path, "mark_1h.parquet", b"anything")
    data = read_market_folder(folder_of(tmp_path))
    assert data.report.notes[-1] == "not a table of a market folder, not read: mark_1h.parquet"


def test_the_report_is_plain_json_and_names_the_bytes(tmp_path):
    import hashlib

    data = read_market_folder(folder_of(tmp_path, funding=funding()))
    plain = json.loads(json.dumps(data.report.as_dict()))
    digest = hashlib.sha256((tmp_path / "perp.parquet").read_bytes()).hexdigest()
    assert plain["tables"][0]["sha256"] == digest
    assert plain["tables"][1]["symbols"][0]["coverage"] == pytest.approx(7 / 7.5)
    assert plain["first"] == "2024-01-01T00:00:00" and plain["step_minutes"] == 60.0


def test_the_arrays_cannot_be_written_to(tmp_path):
    data = read_market_folder(folder_of(tmp_path))
    with pytest.raises(ValueError, match="read-only"):
        data.trade["close"][0, 0] = 1.0
    with pytest.raises(TypeError):
        data.trade["close"] = np.zeros(1)


# --- what is refused --------------------------------------------------------------------------------------------------

POSITIVE = "price must be positive and finite"
REFUSED = {
    "NaN": (lambda t: with_value(t, 7, "low", np.nan), 7, "low", POSITIVE, np.nan),
    "zero": (lambda t: with_value(t, 7, "low", 0.0), 7, "low", POSITIVE, 0.0),
    "negative": (lambda t: with_value(t, 70, "close", -1.5), 70, "close", POSITIVE, -1.5),
    "infinite": (lambda t: with_value(t, 8, "high", np.inf), 8, "high", POSITIVE, np.inf),
    "high below low": (lambda t: with_value(t, 0, "high", 1.0), 0, "high", "high is below the low of 99.0", 1.0),
    "close outside": (
        lambda t: with_value(t, 0, "close", 200.0),
        0,
        "close",
        "close is outside the range from 99.0 to 101.0",
        200.0,
    ),
    "volume": (
        lambda t: with_value(t, 4, "volume", -1.0),
        4,
        "volume",
        "must be a finite number, zero or more",
        -1.0,
    ),
    "no symbol": (lambda t: with_value(t, 4, "symbol", None), 4, "symbol", "must not be empty", None),
    "blank symbol": (lambda t: with_value(t, 4, "symbol", " "), 4, "symbol", "must not be empty", " "),
    "duplicate": (
        lambda t: pd.concat([t, t.iloc[[5]]], ignore_index=True),
        120,
        "timestamp",
        "timestamp and symbol stand there twice",
        "2024-01-01 05:00:00+00:00",
    ),
    "unsorted": (
        lambda t: t.iloc[[0, 1, 3, 2, *range(4, 120)]].reset_index(drop=True),
        3,
        "timestamp",
        "timestamps of a symbol must rise",
        "2024-01-01 02:00:00+00:00",
    ),
    "naive": (naive, 0, "timestamp", "timestamp has no time zone", "2024-01-01 00:00:00"),
    "no date": (
        lambda t: t.assign(timestamp=t["timestamp"].where(t.index != 9)),
        9,
        "timestamp",
        "timestamp is missing",
        "NaT",
    ),
    "numbers for dates": (
        lambda t: t.assign(timestamp=np.arange(120)),
        0,
        "timestamp",
        "timestamp must be a date and time",
        0,
    ),
    "off the grid": (
        lambda t: with_value(t, 5, "timestamp", START + pd.Timedelta("5h10min")),
        5,
        "timestamp",
        "is off the grid of 60 min bars",
        "2024-01-01 05:10:00+00:00",
    ),
    "long gap": (
        lambda t: without(t, list(range(62, 111))),
        62,
        "timestamp",
        "49 bars of ETH are missing before this row, more than 48",
        "2024-01-03 03:00:00+00:00",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_a_bad_row_is_named(tmp_path, case):
    change, row, column, problem, value = REFUSED[case]
    with pytest.raises(InputError) as caught:
        read_market_folder(folder_of(tmp_path, perp=change(perp())))
    error = caught.value
    assert (error.file, error.row, error.column, error.problem) == ("perp.parquet", row, column, problem)
    assert error.value == value or pd.isna(error.value) and (value is None or pd.isna(value))
    assert str(error).startswith(f"perp.parquet, row {row}, column {column}: {problem}")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (7, "high", "abc", f"perp.csv, row 7, column high: {POSITIVE} (found 'abc')"),
        (7, "high", np.nan, f"perp.csv, row 7, column high: {POSITIVE} (found nan)"),
        (3, "timestamp", "yesterday", "perp.csv, row 3, column timestamp: is not an ISO 8601 date and time"),
        (3, "timestamp", "2024-01-01T03:00", "perp.csv, row 3, column timestamp: timestamp has no time zone"),
    ],
)
def test_a_bad_cell_of_a_csv_is_named(tmp_path, row, column, value, message):
    write(tmp_path, "perp.csv", with_value(perp(), row, column, value))
    with pytest.raises(InputError) as caught:
        read_market_folder(tmp_path)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("funding", lambda: funding(1.5), "funding.parquet, row 0, column funding_rate: must be a fraction"),
        (
            "funding",
            lambda: with_value(funding(), 2, "funding_rate", np.nan),
            "funding.parquet, row 2, column funding_",
        ),
        (
            "funding",
            lambda: pd.concat([funding()] * 2),
            "funding.parquet, row 7, column timestamp: timestamp and symbol",
        ),
        ("mark", lambda: with_value(perp(), 3, "low", 0.0), f"mark.parquet, row 3, column low: {POSITIVE}"),
        ("mark", lambda: perp().drop(columns="low"), "mark.parquet, column low: is missing; the mark table needs"),
        ("spot", lambda: naive(perp()), "spot.parquet, row 0, column timestamp: timestamp has no time zone"),
        (
            "depth",
            lambda: with_value(depth(), 1, "side", "buy"),
            "depth.parquet, row 1, column side: must be bid or ask",
        ),
        (
            "depth",
            lambda: with_value(depth(), 1, "notional", 1.0),
            "depth.parquet, row 1, column notional: notional must",
        ),
        (
            "depth",
            lambda: with_value(depth(), 1, "level_bps", 10.0),
            "depth.parquet, row 1, column level_bps: timestamp,",
        ),
        (
            "depth",
            lambda: with_value(depth(), 2, "timestamp", START),
            "depth.parquet, row 2, column timestamp: timestam",
        ),
    ],
)
def test_other_tables_are_checked_too(tmp_path, table, change, message):
    with pytest.raises(InputError) as caught:
        read_market_folder(folder_of(tmp_path, **{table: change()}))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("perp.csv", b"", "perp.csv: is not a CSV file: "),
        ("perp.csv", b"a,b\n1,2,3\n1,2,3,4\n", "perp.csv: is not a CSV file: "),
        ("perp.csv", b"timestamp,symbol,open,high,low,close,volume\n", "perp.csv: the perp table has no rows"),
        ("perp.parquet", b"PAR1", "perp.parquet: is not a whole Parquet file: "),
        ("perp.csv", b"timestamp,symbol,close\n", "perp.csv, column open: is missing; the perp table needs timestamp"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, file, content, message):
    write(tmp_path, file, content)
    with pytest.raises(InputError) as caught:
        read_market_folder(tmp_path)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_truncated_parquet_file_is_named(tmp_path, share):
    content = (folder_of(tmp_path) / "perp.parquet").read_bytes()
    (tmp_path / "perp.parquet").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"^perp\.parquet: is not a whole Parquet file: "):
        read_market_folder(tmp_path)


def test_a_parquet_file_with_a_byte_changed_is_not_read_as_something_else(tmp_path):
    content = bytearray((folder_of(tmp_path) / "perp.parquet").read_bytes())
    content[-6] ^= 0xFF
    (tmp_path / "perp.parquet").write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"^perp\.parquet"):
        read_market_folder(tmp_path)


def test_folder_without_what_is_needed(tmp_path):
    with pytest.raises(InputError, match="there is no such market folder"):
        read_market_folder(tmp_path / "none")
    with pytest.raises(InputError, match="has no perp.parquet or perp.csv"):
        read_market_folder(tmp_path)
    write(tmp_path, "perp.parquet", perp())
    write(tmp_path, "perp.csv", perp())
    with pytest.raises(InputError, match="stands beside perp.csv: keep one of them"):
        read_market_folder(tmp_path)


def test_one_bar_has_no_length(tmp_path):
    with pytest.raises(InputError, match="needs two bars of a symbol to know their length"):
        read_market_folder(folder_of(tmp_path, perp=perp().iloc[[0, 60]]))


@pytest.mark.parametrize("text", ["{", "[]", '{"simulated": "no"}'])
def test_a_market_json_that_cannot_be_used_is_named(tmp_path, text):
    (tmp_path / "market.json").write_text(text)
    with pytest.raises(InputError, match=r"^market\.json"):
        read_market_folder(folder_of(tmp_path))


# --- real data: facts of ../shared/data/README.md --------------------------------------------------------------------

real = pytest.mark.skipif(not (SHARED / "data" / "binance_1h").is_dir(), reason=f"needs real bars in {SHARED}/data")


@pytest.fixture(scope="module")
def binance_1h():
    return read_market_folder(SHARED / "data" / "binance_1h")


def lowest(data, values, day):
    on_day = data.times.astype("datetime64[D]") == np.datetime64(day)
    return float(np.nanmin(values[on_day, data.symbols.index("BTC")]))


@real
@pytest.mark.parametrize(("day", "last", "mark"), [("2020-03-13", 3621.81, 3801.83), ("2021-05-19", 28688.0, 29563.37)])
def test_crash_lows_of_btc(binance_1h, day, last, mark):
    assert lowest(binance_1h, binance_1h.trade["low"], day) == last
    assert lowest(binance_1h, binance_1h.mark("low"), day) == pytest.approx(mark, abs=0.005)


@real
def test_hourly_series_are_whole_and_spot_is_not(binance_1h):
    report = binance_1h.report
    assert [s.gaps for name in ("perp", "mark") for s in report.table(name).symbols] == [0] * 10
    assert all(s.gaps > 0 for s in report.table("spot").symbols)
    assert binance_1h.history.source == "mark"
    assert binance_1h.symbols == ("ADA", "BTC", "ETH", "LTC", "XRP")
    assert report.last == "2025-08-31T23:00:00"


@real
@pytest.mark.parametrize(
    ("name", "symbols", "minutes"),
    [("binance_30m", 25, 30), ("hyperliquid_1h", 30, 60), ("binance_15m", 3, 15), ("btc_1m_2022_01", 1, 1)],
)
def test_other_real_folders_read(name, symbols, minutes):
    data = read_market_folder(SHARED / "data" / name)
    assert (len(data.symbols), data.report.step_minutes) == (symbols, minutes)
    gaps = {s.symbol: s.missing_bars for s in data.report.table("perp").symbols if s.gaps}
    assert gaps == ({"SHIB": 2} if name == "binance_30m" else {})


def test_spot_markets_against_the_base_asset_are_a_market_of_their_own(tmp_path):
    early = START - pd.Timedelta(hours=30)
    names = ("BTC_USDT", "SOLUSDT", "ETH", "ETH_BTC", "ETHBTC")
    spot = pd.concat([bars(n, 50.0, hours=90 - i, start=early) for i, n in enumerate(names)], ignore_index=True)
    found = read_market_folder(folder_of(tmp_path, spot=spot)).spot_market
    assert found.symbols == ("BTC", "ETH", "SOL")
    assert found.times[0] == np.datetime64("2023-12-30T18") and len(found.times) == 90
    assert found.trade["high"][0, 0] == pytest.approx(50.5) and np.isnan(found.trade["high"][-1, 1:]).all()


def test_without_spot_bars_there_is_no_spot_market(tmp_path):
    closes = bars("BTC_USDT", 50.0)[["timestamp", "symbol", "close"]]
    assert read_market_folder(folder_of(tmp_path, spot=closes)).spot_market is None


def test_a_spot_bar_that_contradicts_itself_is_missing_and_counted(tmp_path):
    spot = bars("BTC_USDT", 50.0)
    spot.loc[7, "close"] = spot.loc[7, "high"] * 1.01
    data = read_market_folder(folder_of(tmp_path, spot=spot))
    assert np.isnan(data.spot_market.trade["open"][7, 0]) and np.isfinite(data.spot_market.trade["open"][8, 0])
    assert data.spot_close[7, 0] == spot.loc[7, "close"]
    assert "spot: 1 bars whose prices contradict each other, not learned from" in data.report.notes
