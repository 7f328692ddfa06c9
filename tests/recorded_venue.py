"""Venues that answer from the files of tests/replies over HTTP on this machine, as the real ones cut, sort and fail."""

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

REPLIES = Path(__file__).parent / "replies"
HOUR = 3_600_000
MIDNIGHT = 1_704_067_200_000
"""2024-01-01, the first bar of the recordings."""
NOW = MIDNIGHT / 1e3 + 72 * 3600 + 1200
"""Twenty minutes into the last recorded bar, seconds."""


@dataclass
class Time:
    """A clock that only moves when someone sleeps."""

    now: float = NOW
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Fault:
    """A reply that takes the place of the recorded one, for the next `times` requests whose path holds `path`."""

    path: str
    status: int = 200
    body: str = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


def recorded(venue: str, name: str):
    path = REPLIES / venue / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else []


class RecordedVenue:
    """A venue on a thread of its own; `with` starts and stops it.

    `most` is the largest number of rows of a reply, whatever is asked for. `edit(path, rows)` may change rows before
    they are cut. `asked` keeps every request as path and parameters.
    """

    def __init__(self, time: Time, most: int = 1000):
        self.time, self.most = time, most
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, dict]] = []
        self.edit: Callable[[str, list], list] = lambda path, rows: rows
        self.on_request: Callable[[str], None] = lambda path: None

    def __enter__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *failure):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def requests_of(self, path: str) -> list[dict]:
        return [query for asked, query in self.asked if path in asked]

    def milliseconds(self) -> int:
        return int(self.time.clock() * 1e3)

    def reply(self, path: str, query: dict):
        raise NotImplementedError

    def answer(self, path: str, query: dict) -> tuple[int, dict, bytes]:
        self.asked.append((path, query))
        self.on_request(path)
        for fault in self.faults:
            if fault.path in path and fault.times > 0:
                fault.times -= 1
                return fault.status, fault.headers, fault.body.encode()
        return 200, {}, json.dumps(self.reply(path, query)).encode()


class BinanceUsdm(RecordedVenue):
    """Earliest rows of a window first, and the earliest are kept where it holds too many."""

    name = "binanceusdm"
    mode = "cross"
    """Which of the recorded accounts is asked for: cross or isolated."""
    FILES = {
        "klines": ("klines_{symbol}_{interval}", 0),
        "markPriceKlines": ("markPriceKlines_{symbol}_{interval}", 0),
        "indexPriceKlines": ("indexPriceKlines_{pair}_{interval}", 0),
        "fundingRate": ("fundingRate_{symbol}", "fundingTime"),
        "openInterestHist": ("openInterestHist_{symbol}_{period}", "timestamp"),
    }

    def reply(self, path, query):
        name = path.rsplit("/", 1)[1]
        if name == "time":
            return {"serverTime": self.milliseconds()}
        if name == "depth":
            return recorded(self.name, "depth_BTCUSDT")
        if name in ("account", "positionRisk"):
            return recorded(self.name, f"{name}_{self.mode}")
        if name not in self.FILES:
            return recorded(self.name, name)
        file, key = self.FILES[name]
        rows = self.edit(path, recorded(self.name, file.format(**query)))
        start, end = int(query.get("startTime", 0)), int(query.get("endTime", self.milliseconds()))
        inside = [row for row in rows if start <= row[key] <= end]
        return inside[: min(self.most, int(query.get("limit", 100)))]


class Bybit(RecordedVenue):
    """Latest rows of a window first, and the latest are kept where it holds too many."""

    name = "bybit"
    FILES = {
        "kline": ("kline_{symbol}_{interval}", 0, "start", "end"),
        "mark-price-kline": ("mark-price-kline_{symbol}_{interval}", 0, "start", "end"),
        "funding/history": ("funding-history_{symbol}", "fundingRateTimestamp", "startTime", "endTime"),
        "open-interest": ("open-interest_{symbol}_{intervalTime}", "timestamp", "startTime", "endTime"),
    }

    def reply(self, path, query):
        return {"retCode": 0, "retMsg": "OK", "result": self.result(path, query), "time": self.milliseconds()}

    def account(self, path, query):
        if path.endswith("/user/query-api"):
            return {"unified": 0, "uta": 1}
        if path.endswith("/account/info"):
            return {"unifiedMarginStatus": 6, "marginMode": "ISOLATED_MARGIN"}
        if path.endswith("/wallet-balance"):
            return recorded(self.name, "wallet-balance")
        usdt = query.get("settleCoin") == "USDT"
        return recorded(self.name, "position-list_USDT") if usdt else {"list": [], "nextPageCursor": ""}

    def result(self, path, query):
        if "/v5/market/" not in path:
            return self.account(path, query)
        name = path.split("/v5/market/")[1]
        if name == "time":
            seconds = self.milliseconds() // 1000
            return {"timeSecond": str(seconds), "timeNano": str(self.milliseconds() * 1_000_000)}
        if name == "instruments-info":
            listed = query["category"] == "linear" and "status" not in query
            return recorded(self.name, "instruments-info_linear") if listed else {"list": [], "nextPageCursor": ""}
        if name == "orderbook":
            return recorded(self.name, "orderbook_BTCUSDT")
        file, key, first, last = self.FILES[name]
        rows = self.edit(path, recorded(self.name, file.format(**query)))
        start, end = int(query[first]), int(query[last])
        inside = [row for row in rows if start <= int(row[key]) <= end]
        return {"symbol": query["symbol"], "list": inside[: min(self.most, int(query.get("limit", 200)))]}


class Okx(RecordedVenue):
    """Both ends of a window excluded, latest rows first and the latest kept; the numbers are those of Bybit's files."""

    name = "okx"
    FILES = {
        "candles": ("kline_{}_60", "perp"),
        "history-candles": ("kline_{}_60", "perp"),
        "mark-price-candles": ("mark-price-kline_{}_60", "mark"),
        "history-mark-price-candles": ("mark-price-kline_{}_60", "mark"),
        "funding-rate-history": ("funding-history_{}", "funding"),
        "open-interest-history": ("open-interest_{}_1h", "open_interest"),
    }

    def reply(self, path, query):
        return {"code": "0", "msg": "", "data": self.data(path.rsplit("/", 1)[1], query)}

    def data(self, name, query):
        if name == "time":
            return [{"ts": str(self.milliseconds())}]
        if name == "instruments":
            return recorded(self.name, f"instruments_{query['instType']}")
        file, table = self.FILES[name]
        rows = [self.row(table, row) for row in recorded("bybit", file.format(query["instId"].replace("-", "")[:7]))]
        start = int(query.get("before") or query.get("begin") or 0)
        end = int(query.get("after") or query.get("end") or 10**15)
        inside = [row for row in rows if start < int(row["fundingTime"] if table == "funding" else row[0]) < end]
        return inside[: min(self.most, int(query.get("limit", 100)), 100)]

    def row(self, table, row):
        if table == "funding":
            rate, time = row["fundingRate"], row["fundingRateTimestamp"]
            return {"instId": f"{row['symbol'][:3]}-USDT-SWAP", "realizedRate": rate, "fundingTime": time}
        if table == "open_interest":
            coins = float(row["openInterest"])
            return [row["timestamp"], str(coins * 100), row["openInterest"], str(coins * 42000)]
        closed = "1" if int(row[0]) + HOUR <= self.milliseconds() else "0"
        if table == "mark":
            return [*row, closed]
        return [*row[:5], str(float(row[5]) * 100), row[5], "0", closed]


class Hyperliquid(RecordedVenue):
    """One endpoint for everything; what is asked for stands in the body."""

    name = "hyperliquid"

    def reply(self, path, query):
        if query["type"] == "userAbstraction":
            return "disabled"
        if query["type"] == "exchangeStatus":
            return {"time": self.milliseconds(), "specialStatuses": None}
        return recorded(self.name, query["type"])


def _handler(venue: RecordedVenue):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked = urlsplit(self.path)
            self.answer(asked.path, dict(parse_qsl(asked.query)))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.answer(self.path, json.loads(body))

        def answer(self, path, query):
            status, headers, body = venue.answer(path, query)
            self.send_response(status)
            usual = {"Content-Type": "application/json", "Content-Length": str(len(body))}
            for name, value in (usual | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    return Handler


def serve(name: str) -> None:
    """Serve a recorded venue until Ctrl-C, as docs/fetch.md does."""
    kinds = {kind.name: kind for kind in (BinanceUsdm, Bybit, Hyperliquid)}
    with kinds[name](Time()) as venue:
        print(f"{name}, recorded up to 2024-01-04 00:20 UTC, answers at {venue.url} until Ctrl-C", flush=True)
        try:
            venue.thread.join()
        except KeyboardInterrupt:
            print()


if __name__ == "__main__":
    serve(sys.argv[1] if len(sys.argv) > 1 else "binanceusdm")
