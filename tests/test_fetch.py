"""`fetch` on recorded venues: whole tables, seams, gaps, resuming, and what a venue does not offer."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded_venue import HOUR, MIDNIGHT, BinanceUsdm, Bybit, Okx, Time, recorded

from margincast.features.readers.folder import read_market_folder
from margincast.features.readers.store_records import append_records
from margincast.features.readers.stored_tables import read_stored
from margincast.live import page_appends
from margincast.live.exchange import open_exchange
from margincast.live.fetch import fetch
from margincast.live.fetch_plan import FetchPlan
from margincast.live.fetch_report import Gap
from margincast.live.venue_limits import PAGE_ROWS
from margincast.riskcore.errors import InputError
from margincast.training.table_store import TableStore

TABLES = ("perp", "mark", "funding", "open_interest")
VENUES = pytest.mark.parametrize("kind", [BinanceUsdm, Bybit, Okx], ids=lambda kind: kind.name)


@pytest.fixture
def small_pages(monkeypatch):
    """Windows of seven rows, an append for each."""
    small = {name: dict.fromkeys(tables, 7) for name, tables in PAGE_ROWS.items()}
    monkeypatch.setattr("margincast.live.fetch_tables.PAGE_ROWS", small)
    monkeypatch.setattr(page_appends, "PAGES_AN_APPEND", 1)


def run(venue, folder, symbols=("BTC",), tables=("perp",), since=MIDNIGHT, show=lambda step: None, **plan):
    said = []
    with open_exchange(venue.name, base_url=venue.url, sleep=venue.time.sleep, clock=venue.time.clock) as exchange:
        report = fetch(FetchPlan(symbols, tables, since, **plan), exchange, folder, say=said.append, show=show)
    return report, said


def expected(kind, table, symbol):
    """Rows of a table as they stand in the recording: time and numbers, without the bar that is not closed."""
    files = {
        "perp": ("klines_{}_1h", "kline_{}_60"),
        "mark": ("markPriceKlines_{}_1h", "mark-price-kline_{}_60"),
        "funding": ("fundingRate_{}", "funding-history_{}"),
        "open_interest": ("openInterestHist_{}_1h", "open-interest_{}_1h"),
    }[table]
    binance = kind is BinanceUsdm
    rows = recorded(kind.name if binance else "bybit", files[not binance].format(symbol))
    if table in ("perp", "mark"):
        count = 5 if table == "perp" else 4
        rows = [[int(row[0]), *map(float, row[1 : 1 + count])] for row in rows]
        rows = [row for row in rows if row[0] < MIDNIGHT + 72 * HOUR]
    else:
        names = {"funding": ("fundingTime", "fundingRateTimestamp"), "open_interest": ("timestamp", "timestamp")}[table]
        value = {"funding": ("fundingRate", "fundingRate"), "open_interest": ("sumOpenInterest", "openInterest")}[table]
        rows = [[int(row[names[not binance]]), float(row[value[not binance]])] for row in rows]
    return sorted(rows)


def stored(folder, table, symbol):
    frame = read_stored(folder, table, [symbol])
    times = frame["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ms]").astype(np.int64)
    return [[int(time), *row] for time, *row in zip(times, *(frame[c] for c in frame.columns[2:]), strict=True)]


@VENUES
@pytest.mark.parametrize("most", [1000, 6], ids=["whole replies", "cut replies"])
def test_the_store_holds_the_recording(kind, most, tmp_path):
    with kind(Time(), most) as venue:
        report, _ = run(venue, tmp_path, tables=TABLES)
    for row in report.rows:
        rows = expected(kind, row.table, "BTCUSDT")
        assert stored(tmp_path, row.table, "BTC") == rows
        assert (row.new, row.duplicates, row.gaps, row.notes) == (len(rows), 0, (), ())
        assert (row.first, row.last) == (rows[0][0], rows[-1][0])


@VENUES
def test_no_row_is_lost_or_twice_where_pages_meet(kind, tmp_path, small_pages):
    with kind(Time()) as venue:
        report, _ = run(venue, tmp_path, tables=TABLES)
        windows = venue.requests_of("kline") + venue.requests_of("candles")
    assert len(windows) > 10, "the test is about several pages"
    assert [row.new for row in report.rows] == [len(expected(kind, table, "BTCUSDT")) for table in TABLES]
    assert [row.duplicates for row in report.rows] == [0, 0, 0, 0]
    for table in TABLES:
        assert stored(tmp_path, table, "BTC") == expected(kind, table, "BTCUSDT")


@VENUES
def test_a_listing_and_an_outage_are_said(kind, tmp_path, small_pages):
    with kind(Time()) as venue:
        report, said = run(venue, tmp_path, ("ETH",), ("perp", "funding"))
    perp, funding = report.rows
    assert perp.gaps == (Gap(MIDNIGHT + 57 * HOUR, MIDNIGHT + 61 * HOUR, 3),)
    assert perp.notes == ("nothing before 2024-01-02T05:00:00Z",) and perp.new == 40
    assert funding.gaps == () and funding.new == 9, "from every eight hours to every four is no gap"
    assert any("1 gap" in line and "perp ETH" in line for line in said)


def test_an_empty_page_in_the_middle_of_a_history_is_a_gap(tmp_path, small_pages):
    """An outage longer than a page: the pages behind it are read all the same."""
    lost = range(MIDNIGHT + 14 * HOUR, MIDNIGHT + 31 * HOUR, HOUR)
    with BinanceUsdm(Time()) as venue:
        venue.edit = lambda path, rows: [row for row in rows if row[0] not in lost]
        report, _ = run(venue, tmp_path)
        asked = venue.requests_of("klines")
    empty = [q for q in asked if lost[0] <= int(q["startTime"]) and int(q["endTime"]) <= lost[-1]]
    assert len(empty) >= 2, "asked, and asked once more before it is believed"
    assert report.rows[0].gaps == (Gap(lost[0] - HOUR, lost[-1] + HOUR, 17),)
    assert report.rows[0].new == 72 - 17


def test_bars_that_are_due_and_not_there_are_a_gap(tmp_path):
    """A venue that lags or has delisted: nothing from 20:00 of the last day on."""
    with BinanceUsdm(Time()) as venue:
        venue.edit = lambda path, rows: [row for row in rows if row[0] < MIDNIGHT + 68 * HOUR]
        report, _ = run(venue, tmp_path)
    assert report.rows[0].gaps == (Gap(MIDNIGHT + 67 * HOUR, MIDNIGHT + 72 * HOUR, 4),)


@VENUES
def test_a_second_run_goes_on_from_the_last_row_and_finds_it_unchanged(kind, tmp_path):
    time = Time(now=MIDNIGHT / 1e3 + 30.5 * 3600)
    with kind(time) as venue:
        first, _ = run(venue, tmp_path, tables=TABLES)
        time.now = Time().now
        second, _ = run(venue, tmp_path, tables=TABLES, since=None)
        again, _ = run(venue, tmp_path, tables=("perp", "mark"), since=None)
    assert [row.duplicates for row in second.rows] == [1, 1, 1, 1]
    assert [(row.new, row.gaps) for row in again.rows] == [(0, ()), (0, ())]
    for table, one, two in zip(TABLES, first.rows, second.rows, strict=True):
        assert one.new + two.new == len(expected(kind, table, "BTCUSDT")) and one.new and two.new
        assert stored(tmp_path, table, "BTC") == expected(kind, table, "BTCUSDT")


def test_an_earlier_start_fills_in_what_is_before_and_holes_left_open(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, since=MIDNIGHT + 40 * HOUR, until=MIDNIGHT + 50 * HOUR)
        run(venue, tmp_path, since=MIDNIGHT + 55 * HOUR, until=MIDNIGHT + 60 * HOUR)
        report, _ = run(venue, tmp_path)
    assert stored(tmp_path, "perp", "BTC") == expected(BinanceUsdm, "perp", "BTCUSDT")
    assert report.rows[0].new == 72 - 15 and report.rows[0].gaps == ()


def test_a_bar_that_the_venue_changed_after_it_was_stored_is_refused(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, until=MIDNIGHT + 30 * HOUR)
        venue.edit = lambda path, rows: [
            [row[0], "1.0", *row[2:]] if row[0] == MIDNIGHT + 29 * HOUR else row for row in rows
        ]
        with pytest.raises(InputError, match="the store has"):
            run(venue, tmp_path)
    assert len(stored(tmp_path, "perp", "BTC")) == 30


def test_the_range_is_the_users(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, since=MIDNIGHT + 90 * 60_000, until=MIDNIGHT + 5 * HOUR)
    times = [row[0] for row in stored(tmp_path, "perp", "BTC")]
    assert times == [MIDNIGHT + hour * HOUR for hour in (2, 3, 4)]


def test_the_index_price_is_stamped_at_the_close_of_its_bar(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, tables=("index",), until=MIDNIGHT + 30 * HOUR)
        report, _ = run(venue, tmp_path, tables=("index",), since=None)
    rows = recorded("binanceusdm", "indexPriceKlines_BTCUSDT_1h")[:72]
    assert stored(tmp_path, "series/index", "BTC") == [[row[0] + HOUR, float(row[4])] for row in rows]
    assert (report.rows[0].new, report.rows[0].duplicates) == (42, 1)


def test_what_is_stored_reads_as_a_market_folder(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, ("BTC", "ETH"), (*TABLES, "depth"))
    data = read_market_folder(tmp_path)
    assert data.report.bars == 72 and data.report.table("perp").symbols[1].missing_bars == 3
    assert {row.table for row in data.report.tables} == {*TABLES, "depth"}


def test_provenance_says_where_each_row_comes_from(tmp_path):
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path)
    (record,) = append_records(tmp_path, "perp")
    source = record.source
    assert source.venue == "binanceusdm" and source.retrieved == "2024-01-04T00:20:00Z" and source.rows == 72
    assert source.origin == "binanceusdm fetchOHLCV BTC/USDT:USDT 1h from 2024-01-01T00:00:00Z to 2024-01-03T23:00:00Z"


# -- ended early --------------------------------------------------------------------------------------------------

CHILD = """
import sys
from margincast.live import fetch_tables, page_appends
from margincast.live.exchange import open_exchange
from margincast.live.fetch import fetch
from margincast.live.fetch_plan import FetchPlan
page_appends.PAGES_AN_APPEND = 1
fetch_tables.PAGE_ROWS = {"binance": dict.fromkeys(("perp", "funding"), 7)}
plan = FetchPlan(("BTC", "ETH"), ("perp", "funding"), int(sys.argv[3]))
clock = lambda: float(sys.argv[4])
with open_exchange("binanceusdm", base_url=sys.argv[1], sleep=lambda s: None, clock=clock) as venue:
    fetch(plan, venue, sys.argv[2], say=print, show=lambda step: None)
"""


@pytest.mark.parametrize("path", ["klines", "fundingRate"])
def test_a_killed_run_and_another_make_the_store_of_one_run(path, tmp_path):
    time, seen = Time(), []
    with BinanceUsdm(time) as venue:
        command = [sys.executable, "-c", CHILD, venue.url, tmp_path / "killed", str(MIDNIGHT), str(time.now)]
        child = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def kill(asked):
            seen.append(path in asked)
            if sum(seen) == 6 and child.poll() is None:
                os.kill(child.pid, signal.SIGKILL)

        venue.on_request = kill
        _, errors = child.communicate(timeout=120)
        assert child.returncode == -signal.SIGKILL, errors.decode()
        venue.on_request = lambda asked: None
        left = len(stored(tmp_path / "killed", "perp", "BTC"))
        run(venue, tmp_path / "killed", ("BTC", "ETH"), ("perp", "funding"))
        run(venue, tmp_path / "whole", ("BTC", "ETH"), ("perp", "funding"))
    assert 0 < left and (left < 72) == (path == "klines")
    for table in ("perp", "funding"):
        pd.testing.assert_frame_equal(read_stored(tmp_path / "killed", table), read_stored(tmp_path / "whole", table))


def test_ctrl_c_keeps_the_pages_that_were_read(tmp_path, monkeypatch, small_pages):
    monkeypatch.setattr(page_appends, "PAGES_AN_APPEND", 100)
    pages = []

    def stop_at_the_third(step):
        pages.append(step)
        if len(pages) == 3:
            raise KeyboardInterrupt

    with BinanceUsdm(Time()) as venue:
        with pytest.raises(KeyboardInterrupt):
            run(venue, tmp_path, show=stop_at_the_third)
        assert stored(tmp_path, "perp", "BTC") == expected(BinanceUsdm, "perp", "BTCUSDT")[:21]
        run(venue, tmp_path)
    assert stored(tmp_path, "perp", "BTC") == expected(BinanceUsdm, "perp", "BTCUSDT")


# -- what is said or refused --------------------------------------------------------------------------------------


def test_an_endpoint_the_venue_lacks_is_said(tmp_path, monkeypatch):
    with BinanceUsdm(Time()) as venue:
        with open_exchange(venue.name, base_url=venue.url, sleep=venue.time.sleep, clock=venue.time.clock) as exchange:
            exchange.api.has["fetchMarkOHLCV"] = False
            plan = FetchPlan(("BTC",), ("mark", "perp"), MIDNIGHT)
            report = fetch(plan, exchange, tmp_path, say=lambda line: None, show=lambda step: None)
    assert report.rows[0].notes == ("binanceusdm has no such endpoint (fetchMarkOHLCV): nothing fetched",)
    assert report.rows[1].new == 72


def test_how_far_back_a_venue_goes_is_said_and_kept_to(tmp_path):
    with BinanceUsdm(Time()) as venue:
        report, _ = run(venue, tmp_path, tables=("open_interest",), since=MIDNIGHT - 60 * 24 * HOUR)
        starts = [int(query["startTime"]) for query in venue.requests_of("openInterestHist")]
    month = 30 * 24 * HOUR
    assert min(starts) >= venue.milliseconds() - month, "an earlier start is an error at the venue"
    assert report.rows[0].notes[0] == "the venue keeps 30 days: from 2023-12-05T01:00:00Z"
    assert report.rows[0].new == 73


@pytest.mark.parametrize("table", ["perp", "funding", "open_interest"])
def test_a_start_long_before_the_first_row_loses_none(table, tmp_path):
    """ccxt cuts OKX's long windows of open interest to one reply: they must not be taken for empty."""
    with Okx(Time()) as venue:
        report, _ = run(venue, tmp_path, tables=(table,), since=MIDNIGHT - 100 * 24 * HOUR)
        asked = len(venue.asked)
    assert stored(tmp_path, table, "BTC") == expected(Okx, table, "BTCUSDT")
    assert report.rows[0].notes == ("nothing before 2024-01-01T00:00:00Z",)
    assert asked < (70 if table == "open_interest" else 25)


def test_open_interest_of_both_sides_is_said(tmp_path):
    with Bybit(Time()) as venue:
        report, _ = run(venue, tmp_path, tables=("open_interest",))
    assert report.notes == ("open interest of bybit counts both sides of each contract",)


def test_a_clock_that_is_off_is_said_and_the_venues_is_used(tmp_path):
    class Ahead(BinanceUsdm):
        def milliseconds(self):
            return super().milliseconds() - 2 * HOUR

    with Ahead(Time()) as venue:
        report, _ = run(venue, tmp_path)
    assert report.notes == ("the venue's clock is -7200.0 s from ours",)
    assert stored(tmp_path, "perp", "BTC")[-1][0] == MIDNIGHT + 69 * HOUR, (
        "the bar of 70:00 is open by the venue's time"
    )


def test_a_store_is_of_one_venue_and_one_step(tmp_path):
    with BinanceUsdm(Time()) as venue, Bybit(Time()) as other:
        run(venue, tmp_path)
        with pytest.raises(InputError, match="every 60 minutes, not every 15m"):
            run(venue, tmp_path, step="15m")
        with pytest.raises(InputError, match="comes from binanceusdm"):
            run(other, tmp_path)


def test_open_interest_goes_on_at_the_step_the_store_has(tmp_path):
    """An archive gives it every five minutes, whatever the bars are."""
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path, tables=("open_interest",), until=MIDNIGHT + 20 * HOUR)
        report, _ = run(venue, tmp_path, tables=("open_interest",), since=None, step="5m")
    assert report.rows[0].notes == ("every 1h, as the store has it",) and report.rows[0].new == 53


def test_a_start_is_needed_where_there_is_none_to_go_on_from(tmp_path):
    with BinanceUsdm(Time()) as venue, pytest.raises(InputError, match="no perp of BTC to go on from"):
        run(venue, tmp_path, since=None)
    assert TableStore(tmp_path).last("perp", "BTC") is None


def test_a_run_of_many_appends_leaves_few_files(tmp_path, small_pages, monkeypatch):
    monkeypatch.setattr(page_appends, "CROWD", 5)
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path)
    assert len(list((tmp_path / "perp").rglob("*.parquet"))) == 1 and len(append_records(tmp_path, "perp")) == 11
    assert stored(tmp_path, "perp", "BTC") == expected(BinanceUsdm, "perp", "BTCUSDT")


def test_nothing_is_due_yet(tmp_path):
    with BinanceUsdm(Time()) as venue:
        report, _ = run(venue, tmp_path, since=venue.milliseconds() - 60_000)
    assert report.rows[0].notes == ("there is nothing to fetch in that range yet",)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ({"tables": ("perp", "trades")}, "not a table that can be fetched"),
        ({"tables": ("perp", "perp")}, "each table once"),
        ({"until": MIDNIGHT}, "must be after since"),
        ({"step": "7m"}, "is not a bar of binanceusdm"),
        ({"step": "1w"}, "a day or less"),
        ({"symbols": ("DOGE",)}, "lists no perpetual DOGE/USDT:USDT; it has none"),
        ({"symbols": ("btc",)}, "it has BTC/USDC:USDC, BTC/USDT:USDT"),
        ({"symbols": ("BTC", "BTC/USDT:USDT")}, "named twice"),
        ({"symbols": (" ",)}, "no symbol is named"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan, problem, tmp_path):
    with BinanceUsdm(Time()) as venue, pytest.raises(InputError, match=problem):
        run(venue, tmp_path, **plan)


def test_another_quote_asset_goes_under_its_own_name(tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.edit = lambda path, rows: recorded("binanceusdm", "klines_BTCUSDT_1h")
        report, said = run(venue, tmp_path, ("BTC", "BTC/USDC:USDC"))
    assert [row.symbol for row in report.rows] == ["BTC", "BTC/USDC:USDC"]
    assert "binanceusdm: BTC is BTC/USDT:USDT (BTCUSDT)" in said
    assert Path(tmp_path / "perp").is_dir()
