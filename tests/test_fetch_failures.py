"""A venue that limits, fails, babbles or lies: waited out, or refused with the reason; what was stored stays whole."""

import json
import socket

import numpy as np
import pytest
from recorded_venue import HOUR, MIDNIGHT, BinanceUsdm, Bybit, Fault, Time, recorded

from margincast.features.readers.stored_tables import read_stored
from margincast.live import exchange as exchanges
from margincast.live import page_appends
from margincast.live.exchange import VenueError, open_exchange
from margincast.live.fetch import fetch
from margincast.live.fetch_plan import FetchPlan
from margincast.live.fetch_tables import FUNDING_PACE, HistoryWindow
from margincast.live.paging import history_pages
from margincast.live.rate_limit import Patience
from margincast.live.symbols import Listing
from margincast.riskcore.errors import InputError

TRIES = Patience().tries


def run(venue, folder, tables=("perp",), **plan):
    with open_exchange(venue.name, base_url=venue.url, sleep=venue.time.sleep, clock=venue.time.clock) as exchange:
        plan = FetchPlan(("BTC",), tables, MIDNIGHT, **plan)
        return fetch(plan, exchange, folder, say=lambda line: None, show=lambda step: None)


def waits(time):
    """Waits longer than the pace between requests."""
    return [seconds for seconds in time.slept if seconds >= 1]


# -- failures that pass -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 418])
def test_a_limit_is_waited_out_as_long_as_the_venue_asks(status, tmp_path):
    time = Time()
    with BinanceUsdm(time) as venue:
        venue.faults = [Fault("klines", status, '{"code":-1003,"msg":"Too many requests"}', {"Retry-After": "37"})]
        report = run(venue, tmp_path)
    assert waits(time) == [37.0] and report.rows[0].new == 72


def test_each_try_at_a_dead_address_is_said_with_its_reason(tmp_path):
    """Bound but not listening: the system refuses every connection."""
    time, said = Time(), []
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{dead.getsockname()[1]}"
        with (
            open_exchange("binanceusdm", base_url=url, sleep=time.sleep, clock=time.clock) as exchange,
            pytest.raises(VenueError, match="Connection refused .gave up after") as ended,
        ):
            plan = FetchPlan(("BTC",), ("perp",), MIDNIGHT)
            fetch(plan, exchange, tmp_path, say=said.append, show=lambda step: None)
    assert "\n" not in str(ended.value) and f"{url}/fapi/v1/exchangeInfo" in str(ended.value)
    assert all("Connection refused" in line for line in said)
    ends = [f"asked again in {2**k} s, try {k + 2} of {TRIES}" for k in range(TRIES - 1)]
    assert [line.rpartition(": ")[2] for line in said] == ends


def test_without_a_word_the_wait_doubles(tmp_path):
    time = Time()
    with BinanceUsdm(time) as venue:
        venue.faults = [Fault("klines", 429, times=4)]
        report = run(venue, tmp_path)
    assert waits(time) == [1.0, 2.0, 4.0, 8.0] and report.rows[0].new == 72


def test_a_limit_told_in_the_body_is_a_limit(tmp_path):
    """Bybit may answer 200 with retCode 10006."""
    time = Time()
    with Bybit(time) as venue:
        venue.faults = [Fault("kline", body='{"retCode":10006,"retMsg":"Too many visits!","result":{}}')]
        assert run(venue, tmp_path).rows[0].new == 72
    assert waits(time) == [1.0]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("klines", 500, "", times=2),
        Fault("klines", 503, "<html>down for maintenance</html>", times=2),
        Fault("klines", 200, "<html>one moment</html>", times=2),
        Fault("klines", 200, '[[1704067200000,"42000.0"', times=2),
        Fault("klines", 200, "", times=2),
        Fault("klines", 200, "[]", {"Content-Length": "5000"}, times=2),
    ],
    ids=["500", "503 in HTML", "200 in HTML", "half a reply", "no body", "cut connection"],
)
def test_a_failure_that_passes_leaves_no_trace(fault, tmp_path):
    time = Time()
    with BinanceUsdm(time) as venue:
        venue.faults = [fault]
        report = run(venue, tmp_path)
    assert waits(time) == [1.0, 2.0]
    assert (report.rows[0].new, report.rows[0].gaps) == (72, ())


@pytest.mark.parametrize("body", ["[]", "{}"])
def test_an_empty_reply_is_asked_for_again_before_it_is_believed(body, tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.faults = [Fault("klines", 200, body)]
        report = run(venue, tmp_path)
    assert (report.rows[0].new, report.rows[0].gaps) == (72, ())


# -- failures that stay -------------------------------------------------------------------------------------------


def stay(path, status=200, body="{}", headers=None):
    return [Fault(path, status, body, headers or {}, times=10**6)]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (429, '{"msg":"Too many requests"}', "429"),
        (502, "", "502"),
        (200, "<html>", "is not JSON: '<html>'"),
    ],
)
def test_after_some_tries_it_gives_up_and_says_so(status, body, said, tmp_path):
    time = Time()
    with BinanceUsdm(time) as venue:
        venue.faults = stay("klines", status, body)
        with pytest.raises(VenueError) as refused:
            run(venue, tmp_path)
        assert len(venue.requests_of("klines")) == TRIES
    text = str(refused.value)
    assert said in text and "binanceusdm fetch_ohlcv" in text and f"gave up after {TRIES} tries" in text
    assert "\n" not in text and len(waits(time)) == TRIES - 1


def test_pages_before_the_failure_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("margincast.live.fetch_tables.PAGE_ROWS", {"binance": {"perp": 10}})
    with BinanceUsdm(Time()) as venue:

        def fail_from_the_fourth(path):
            if len(venue.requests_of("klines")) == 3:
                venue.faults = stay("klines", 500)

        venue.on_request = fail_from_the_fourth
        with pytest.raises(VenueError):
            run(venue, tmp_path)
        assert len(read_stored(tmp_path, "perp")) == 20
        venue.on_request, venue.faults = lambda path: None, []
        assert run(venue, tmp_path).rows[0].new == 52


@pytest.mark.parametrize(("status", "body"), [(404, ""), (451, "Unavailable For Legal Reasons"), (401, "")])
def test_a_refusal_is_not_tried_again(status, body, tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.faults = stay("klines", status, body)
        with pytest.raises(VenueError, match=str(status)):
            run(venue, tmp_path)
        assert len(venue.requests_of("klines")) == 1


def test_an_error_of_the_venue_is_told_in_its_words(tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.faults = stay("klines", 400, '{"code":-1121,"msg":"Invalid symbol."}')
        with pytest.raises(VenueError, match="Invalid symbol"):
            run(venue, tmp_path)


def test_a_ban_of_hours_ends_the_run(tmp_path):
    time = Time()
    with BinanceUsdm(time) as venue:
        venue.faults = stay("klines", 418, headers={"Retry-After": "7200"})
        with pytest.raises(VenueError, match="asks to wait 7200 s: try again later"):
            run(venue, tmp_path)
    assert waits(time) == []


def test_a_venue_that_cannot_be_reached(tmp_path):
    with BinanceUsdm(Time()) as venue:
        pass
    with pytest.raises(VenueError, match="gave up"):
        run(venue, tmp_path)


# -- replies that cannot be right ---------------------------------------------------------------------------------


def changed(place, column, value):
    """An edit of one number of one recorded bar."""

    def edit(path, rows):
        rows = [list(row) for row in rows]
        rows[place][column] = value
        return rows

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (changed(3, 4, None), "row 3, column close: price must be positive and finite"),
        (changed(3, 1, "-1.0"), "row 3, column open: price must be positive"),
        (changed(3, 2, "0.5"), "row 3, column high: high is below the low"),
        (changed(3, 5, "-2"), "row 3, column volume"),
        (changed(3, 0, MIDNIGHT + 3 * HOUR + 1), "does not open on the grid of 1h bars"),
    ],
    ids=["null", "negative price", "high below low", "negative volume", "off the grid"],
)
def test_a_bar_that_cannot_be_is_refused_and_nothing_is_stored(edit, said, tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.edit = edit
        with pytest.raises(InputError) as refused:
            run(venue, tmp_path)
    assert said in str(refused.value) and "binanceusdm fetchOHLCV BTC/USDT:USDT 1h" in str(refused.value)
    assert not (tmp_path / "perp").exists()


def test_a_bar_from_the_future_is_refused(tmp_path):
    """The venue's own time says that this bar cannot be; it is sent although it lies outside the window."""
    with BinanceUsdm(Time()) as venue:
        later = [MIDNIGHT + 80 * HOUR, "1", "1", "1", "1", "0"]
        body = json.dumps([*(row[:6] for row in recorded("binanceusdm", "klines_BTCUSDT_1h")[:2]), later])
        venue.faults = [Fault("klines", 200, body)]
        with pytest.raises(InputError, match="is from the future: the venue's time is 2024-01-04T00:20:00"):
            run(venue, tmp_path)


def test_the_open_bar_is_never_stored(tmp_path):
    with Bybit(Time()) as venue:
        venue.faults = [Fault("v5/market/kline", 200, json.dumps(venue.reply("/v5/market/kline", everything())))]
        run(venue, tmp_path)
    assert str(read_stored(tmp_path, "perp")["timestamp"].max()) == "2024-01-03 23:00:00+00:00"


def everything():
    """The parameters of a request for all recorded bars, the open one among them."""
    return {"symbol": "BTCUSDT", "interval": "60", "start": "0", "end": str(10**13), "limit": "1000"}


def test_rows_that_come_twice_are_counted_and_kept_once(tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.edit = lambda path, rows: [*rows[:5], rows[4], *rows[5:]]
        report = run(venue, tmp_path)
    assert (report.rows[0].new, report.rows[0].duplicates) == (72, 1)


def test_rows_that_contradict_each_other_are_refused(tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.edit = lambda path, rows: [*rows[:5], [rows[4][0], "1.0", *rows[4][2:]], *rows[5:]]
        with pytest.raises(InputError, match="comes twice in one reply with different numbers"):
            run(venue, tmp_path)


class Always:
    """A venue that gives the same fundings to each question."""

    name = "anywhere"

    def __init__(self, hours):
        self.reply = [{"timestamp": MIDNIGHT + hour * HOUR, "fundingRate": 1e-4} for hour in hours]

    def call(self, method, *arguments):
        return self.reply

    def now(self):
        return MIDNIGHT + 1000 * HOUR


def test_rows_outside_of_a_window_are_left_to_their_own():
    """Every funding counts once, in the window it belongs to: the end of one is the start of the next."""
    bitcoin = Listing("BTC", "BTC/USDT:USDT", "BTCUSDT")
    window = HistoryWindow(Always(range(0, 160, 8)), "funding", bitcoin, "1h", FUNDING_PACE)
    pages = list(history_pages(window, MIDNIGHT, MIDNIGHT + 120 * HOUR, FUNDING_PACE, 5))
    assert [len(page) for page in pages] == [5, 5, 5]
    assert np.concatenate(pages)[:, 0].tolist() == [MIDNIGHT + hour * HOUR for hour in range(0, 120, 8)]


def test_a_venue_that_ignores_the_end_of_a_window_is_refused(tmp_path, monkeypatch):
    """Else every window but the last would look like a gap."""
    monkeypatch.setattr("margincast.live.fetch_tables.PAGE_ROWS", {"binance": {"perp": 10}})
    with BinanceUsdm(Time()) as venue:
        latest = json.dumps(recorded("binanceusdm", "klines_BTCUSDT_1h")[-20:-1])
        venue.faults = [Fault("klines", 200, latest)]
        with pytest.raises(VenueError, match="does not keep to the end of a window"):
            run(venue, tmp_path)


def test_a_reply_of_another_layout_is_refused(tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.faults = stay("fundingRate", 200, '{"a":{"b":1}}')
        with pytest.raises(VenueError, match="unknown layout"):
            run(venue, tmp_path, ("funding",))


@pytest.mark.parametrize("body", ['[{"fundingTime":"soon"}]', "[[1,2]]"])
def test_rows_that_ccxt_drops_are_missed(body, tmp_path):
    """ccxt leaves out rows whose symbol or time it cannot read: what is then missing is said."""
    with BinanceUsdm(Time()) as venue:
        venue.faults = stay("fundingRate", 200, body)
        report = run(venue, tmp_path, ("funding",))
    assert report.rows[0].new == 0 and report.rows[0].notes[0].startswith("the venue has no rows from 2024-01-01")


# -- manners ------------------------------------------------------------------------------------------------------


def test_requests_keep_the_pace_that_ccxt_knows_of_the_venue(tmp_path, monkeypatch):
    """One weight each 50 ms at Binance; bars weigh 1 up to 99 of them, an exchange info 1."""
    monkeypatch.setattr("margincast.live.fetch_tables.PAGE_ROWS", {"binance": {"perp": 7}})
    time, at = Time(), []
    with BinanceUsdm(time) as venue:
        venue.on_request = lambda path: at.append(time.now)
        run(venue, tmp_path)
    assert len(at) > 10 and np.diff(at).min() >= 0.049


def test_open_exchange_says_what_is_missing(monkeypatch):
    with pytest.raises(InputError, match="is not a venue of ccxt"):
        open_exchange("mtgox")

    def no_ccxt(name):
        raise ImportError(name)

    monkeypatch.setattr(exchanges.importlib, "import_module", no_ccxt)
    with pytest.raises(VenueError, match=r"pip install 'margincast\[live\]'"):
        open_exchange("bybit")


def test_keys_are_read_from_the_environment_and_never_shown(monkeypatch):
    for variable in exchanges.KEY_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    needed = "okx needs MARGINCAST_API_KEY, MARGINCAST_API_SECRET, MARGINCAST_API_PASSWORD"
    with open_exchange("okx", private=True) as exchange, pytest.raises(VenueError, match=needed):
        exchange.require_keys()
    monkeypatch.setenv("MARGINCAST_API_KEY", "k-123")
    with open_exchange("okx", private=True) as exchange, pytest.raises(VenueError) as refused:
        exchange.require_keys()
    assert "k-123" not in str(refused.value) and "MARGINCAST_API_SECRET" in str(refused.value)
    with open_exchange("okx") as exchange:
        assert not exchange.api.apiKey, "keys are taken only where they are wanted"


def test_pages_gather_into_few_appends(tmp_path, monkeypatch):
    monkeypatch.setattr("margincast.live.fetch_tables.PAGE_ROWS", {"binance": {"perp": 1}})
    monkeypatch.setattr(page_appends, "PAGES_AN_APPEND", 20)
    with BinanceUsdm(Time()) as venue:
        run(venue, tmp_path)
    assert len(list((tmp_path / "perp" / "appends").glob("*.json"))) == 4
