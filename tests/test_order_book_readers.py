"""Readers of raw order-book feeds: every field in its place, and one clear line for a file that cannot be used."""

import gzip
import json
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from margincast.features.readers import book_feed_lines
from margincast.features.readers.book_feed_binance import BinanceRecording
from margincast.features.readers.book_feed_bybit import read_bybit_archive
from margincast.features.readers.book_feed_events import UNKNOWN, BestQuote, BookUpdate, TradePrint
from margincast.features.readers.book_feed_parquet import LevelTable
from margincast.features.readers.book_feed_scan import levels_of, parsed_message
from margincast.riskcore.errors import InputError

DIFF = {"e": "depthUpdate", "E": 1001, "T": 1000, "s": "BTCUSDT", "U": 11, "u": 15, "pu": 9}
DIFF |= {"b": [["100.10", "2.000"], ["100.00", "0"]], "a": [["100.2", "1"]]}
QUOTE = {"e": "bookTicker", "u": 12, "s": "BTCUSDT", "b": "100.1", "B": "2", "a": "100.2", "A": "3", "T": 1, "E": 2}
TRADE = {"e": "trade", "E": 5, "T": 4, "s": "BTCUSDT", "t": 1, "p": "100.2", "q": "0.5", "X": "MARKET", "m": False}
REST = {"lastUpdateId": 13, "E": 7, "T": 6, "bids": [["100.1", "2"]], "asks": [["100.2", "1"]]}
BYBIT = {"topic": "orderbook.500.XRPUSDT", "type": "delta", "ts": 1700, "cts": 1699}
BYBIT |= {"data": {"s": "XRPUSDT", "b": [["1.95", "3"]], "a": [], "u": 8, "seq": 99}}


def combined(data):
    return {"stream": "btcusdt@x", "data": data}


def text_of(*messages, stamp=5000):
    return "".join(f"{stamp + k} {json.dumps(m, separators=(',', ':'))}\n" for k, m in enumerate(messages)).encode()


def written(folder, content, name="feed.txt"):
    path = folder / name
    path.write_bytes(content)
    return path


def test_every_field_of_binance_is_in_its_place(tmp_path):
    path = written(tmp_path, text_of(combined(DIFF), combined(QUOTE), combined(TRADE), REST))
    change, quote, trade, snapshot = BinanceRecording(path)
    assert (change.symbol, change.kind, change.exchange_time, change.receipt_time) == (
        "BTCUSDT", "diff", 1_001_000_000, 5000,
    )  # fmt: skip
    assert (change.first, change.last, change.previous, change.seen) == (11, 15, 9, 5000)
    assert change.bids.tolist() == [[100.1, 2.0], [100.0, 0.0]] and change.asks.tolist() == [[100.2, 1.0]]
    assert quote == BestQuote("BTCUSDT", 2_000_000, 5001, 12, 100.1, 2.0, 100.2, 3.0)
    assert trade == TradePrint("BTCUSDT", 5_000_000, 5002, 100.2, 0.5, True)
    assert (snapshot.symbol, snapshot.kind, snapshot.first, snapshot.last) == ("BTCUSDT", "snapshot", 13, 13)


def test_raw_streams_spot_messages_and_other_events(tmp_path):
    spot = {key: value for key, value in DIFF.items() if key not in ("pu", "T")}
    other = {"e": "markPriceUpdate", "s": "BTCUSDT"}
    rest = {key: REST[key] for key in ("bids", "asks", "lastUpdateId")}
    path = written(tmp_path, text_of(spot, other, TRADE | {"e": "aggTrade"}, rest))
    recording = BinanceRecording(path)
    change, snapshot = recording
    assert change.previous == UNKNOWN and snapshot.exchange_time == UNKNOWN and snapshot.seen == 5003
    assert dict(recording.unread) == {"markPriceUpdate": 1, "aggTrade": 1}
    assert len(list(BinanceRecording(path, trades="aggTrade"))) == 3


def test_whose_book_a_rest_answer_is(tmp_path):
    alone = written(tmp_path, text_of(REST))
    with pytest.raises(InputError, match="feed.txt, row 0, column symbol: this snapshot does not say whose it is"):
        list(BinanceRecording(alone))
    assert next(iter(BinanceRecording(alone, symbol="ETHUSDT"))).symbol == "ETHUSDT"
    two = written(tmp_path, text_of(DIFF, DIFF | {"s": "ETHUSDT"}, REST))
    with pytest.raises(InputError, match="row 2, column symbol"):
        list(BinanceRecording(two))


def test_a_bybit_archive(tmp_path):
    path = tmp_path / "a.data.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.data", json.dumps(BYBIT, separators=(",", ":")) + "\r\n")
    (change,) = read_bybit_archive(path)
    assert (change.first, change.last, change.engine_sequence, change.seen) == (8, 8, 99, 1_700_000_000)
    assert (change.kind, change.receipt_time, change.bids.tolist()) == ("diff", UNKNOWN, [[1.95, 3.0]])


WRONG = [
    (b"xx {}\n", "row 0: must begin with a receipt time in nanoseconds .found 'xx'."),
    (text_of(DIFF)[:-9] + b"\n", "row 0: is not JSON"),
    (text_of(DIFF) + b"5001 \xff\xfe\n", "row 1: is not JSON"),
    (text_of(DIFF).replace(b'"100.10"', b"NaN"), "row 0: is not JSON: NaN is not a number"),
    (text_of(DIFF).replace(b'"100.10"', b'"NaN"'), r"column bids\[0\]: price must be positive and finite .found nan."),
    (text_of(DIFF).replace(b'"100.10"', b'"0"'), r"column bids\[0\]: price must be positive"),
    (text_of(DIFF).replace(b'"100.10"', b'"-1"'), r"column bids\[0\]: price must be positive and finite .found -1.0."),
    (text_of(DIFF).replace(b'"2.000"', b'"-2"'), r"column bids\[0\]: size must be a finite number, zero or more"),
    (text_of(DIFF).replace(b'"2.000"', b'"many"'), "column b: levels must be numbers"),
    (text_of(DIFF).replace(b'["100.10","2.000"]', b'["100.10"]'), r"column b\[0\]: must be .price, size."),
    (text_of(DIFF).replace(b"100.00", b"100.10"), r"column bids\[1\]: the same price stands twice in one message"),
    (text_of(DIFF | {"b": "none"}), "column b: must be a list"),
    (text_of(DIFF | {"U": 16}), "column U: first id must not be above the last one, 15"),
    (text_of(DIFF | {"u": "15"}), "column u: must be a whole number"),
    (text_of(DIFF | {"s": ""}), "column s: must be a name"),
    (text_of(DIFF, REST | {"bids": [["100.2", "1"]]}), "row 1, column bids: best bid must be below the best ask"),
    (text_of(QUOTE | {"a": "-1"}), "column ask: ask must be positive"),
    (text_of(TRADE | {"m": None}), "column m: must be true or false"),
    (text_of(TRADE | {"q": []}), "column q: must be a number"),
    (text_of([1]), "must be a JSON object"),
    (b"", "feed.txt: is empty"),
    (b"\n \n", "feed.txt: is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), WRONG, ids=[said[:60] for _, said in WRONG])
def test_a_line_that_cannot_be_is_refused_with_its_place(tmp_path, content, said):
    with pytest.raises(InputError, match=said):
        list(BinanceRecording(written(tmp_path, content)))


def test_compressed_files_that_break_off(tmp_path):
    whole = gzip.compress(text_of(*[combined(DIFF)] * 2000), mtime=0)
    assert len(list(BinanceRecording(written(tmp_path, whole)))) == 2000
    cut = iter(BinanceRecording(written(tmp_path, whole[: len(whole) // 2])))
    with pytest.raises(InputError, match=r"feed.txt, row \d+: is cut short or damaged"):
        list(cut)
    for damaged in (whole[:-6] + b"\0" * 6, whole[:200] + b"\xff" * 8 + whole[208:]):
        with pytest.raises(InputError, match="is cut short or damaged|is not JSON"):
            list(BinanceRecording(written(tmp_path, damaged)))
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "x")
        archive.writestr("b", "x")
    with pytest.raises(InputError, match="two.zip: holds 2 members, expected one"):
        list(read_bybit_archive(tmp_path / "two.zip"))
    content = (tmp_path / "two.zip").read_bytes()
    with pytest.raises(InputError, match="is cut short or damaged"):
        list(read_bybit_archive(written(tmp_path, content[:-30], "cut.zip")))
    with pytest.raises(InputError, match="none.gz: cannot be read: No such file"):
        list(BinanceRecording(tmp_path / "none.gz"))


def test_a_file_without_line_ends_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(book_feed_lines, "LONGEST_LINE", 1000)
    with pytest.raises(InputError, match="row 0: line is longer than 1000 bytes"):
        list(BinanceRecording(written(tmp_path, gzip.compress(b"1" * 5000))))


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"type": "partial"}, "column type"), ({"data": 3}, "column data"), ({"ts": None}, "column ts")],
)
def test_bybit_messages_that_cannot_be(tmp_path, changed, said):
    with pytest.raises(InputError, match=f"feed.txt, row 0, {said}"):
        list(read_bybit_archive(written(tmp_path, json.dumps(BYBIT | changed).encode())))
    with pytest.raises(InputError, match="row 0: is not JSON"):
        list(read_bybit_archive(written(tmp_path, b"{")))


def table(path, **changed):
    rows = {"symbol": ["A", "A", "B"], "tm": [1, 2, 1], "b": ['[["9","1"],["8","2"]]'] * 3, "a": ['[["10","1"]]'] * 3}
    pd.DataFrame(rows | changed).to_parquet(path)
    return path


def test_a_table_of_whole_books(tmp_path):
    levels = LevelTable(table(tmp_path / "t.parquet"))
    first, other = levels
    assert (first.symbol, other.symbol, first.kind, first.seen) == ("A", "B", "snapshot", 1_000_000)
    assert first.bids.tolist() == [[9.0, 1.0], [8.0, 2.0]] and dict(levels.repeated) == {"A": 1}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"b": ["[", "[]", "[]"]}, "row 0, column b: is not JSON"),
        ({"a": ["[]", '[["8.5","1"]]', "[]"]}, "row 1, column bids: best bid must be below"),
        ({"tm": [1, -2, 1]}, "row 1, column tm"),
        ({"symbol": ["A", "A", None]}, "row 2, column symbol"),
        ({"a": [1.0, 2.0, 3.0]}, "row 0, column a: must be JSON text"),
    ],
)
def test_rows_that_cannot_be(tmp_path, changed, said):
    with pytest.raises(InputError, match=f"t.parquet, {said}"):
        list(LevelTable(table(tmp_path / "t.parquet", **changed)))


def test_tables_that_cannot_be(tmp_path):
    pd.DataFrame({"symbol": ["A"], "tm": [1], "b": ["[]"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="t.parquet, column a: is missing"):
        list(LevelTable(tmp_path / "t.parquet"))
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        list(LevelTable(written(tmp_path, b"PAR1 nothing")))
    path = table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="is not a whole Parquet file"):
        list(LevelTable(written(tmp_path, path.read_bytes()[:-40])))
    pd.DataFrame({"symbol": [], "tm": [], "b": [], "a": []}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="t.parquet: has no rows"):
        list(LevelTable(tmp_path / "t.parquet"))


decimals = st.builds(
    lambda whole, places, point: (
        f"{whole:0{places + 1}d}"[: -places or None]
        + (f".{f'{whole:0{places + 1}d}'[-places:]}" if places else "." * point)
    ),
    st.integers(0, 10**17),
    st.integers(0, 12),
    st.sampled_from([0, 0, 0, 1]),
)


@example([("747784910.27943236", "6470832125744.2331"), ("4838227780133.8157", "1")], "")
@given(st.lists(st.tuples(decimals, decimals), max_size=6), st.sampled_from(["", " "]))
def test_levels_read_from_bytes_are_those_of_json(levels, blank):
    text = f'{{"u":1,"b":{blank}{json.dumps([list(pair) for pair in levels], separators=(",", ":"))},"z":"b"}}'
    message, bids, _ = parsed_message(text.encode(), ("b", "a"))
    plain = json.loads(text)
    expected = np.array([[float(p), float(s)] for p, s in plain["b"]]).reshape(-1, 2)
    if bids is None:
        assert message == plain
    else:
        assert message == plain | {"b": []}
    assert levels_of(message["b"], bids, "b").tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "side",
    [
        *('[["1","2"]', '[["1","2"],]', '[["1"]]', '[["1","2","3"]]', '[["1e3","2"]]', '[["","2"]]', '[["1",2]]'),
        *('[["-1","2"]]', "[[1,2]]", '[["1.2.3","1"]]', '[["1","2"]x]', "[x]", '[["1","2"', "["),
    ],
)
def test_bytes_of_another_form_are_left_to_json(side):
    line = f'{{"b":{side}}}'.encode()
    try:
        plain = json.loads(line)
    except ValueError:
        with pytest.raises(ValueError):
            parsed_message(line, ("b", "a"))
    else:
        assert parsed_message(line, ("b", "a")) == (plain, None, None)


def test_events_say_what_they_cannot_be():
    one = np.array([[1.0, 1.0]])
    with pytest.raises(InputError, match="neither an exchange time nor a receipt time"):
        BookUpdate("X", "diff", UNKNOWN, UNKNOWN, 1, 1, 0, one, one)
    with pytest.raises(InputError, match="column receipt_time: time must be nanoseconds since 1970"):
        TradePrint("X", 1, -7, 1.0, 1.0, True)
    for levels in (np.ones(2), np.ones((2, 3)), np.ones((1, 2), np.float32)):
        with pytest.raises(InputError, match=r"column asks: has shape"):
            BookUpdate("X", "diff", 1, 1, 1, 1, 0, one, levels)
    mixed = np.array([[2.0, 1.0], [1.0, 1.0], [3.0, 1.0]])
    assert len(BookUpdate("X", "diff", 1, 1, 1, 1, 0, mixed, mixed).bids) == 3
    with pytest.raises(InputError, match=r"column bids\[3\]: the same price stands twice"):
        BookUpdate("X", "diff", 1, 1, 1, 1, 0, np.vstack((mixed, mixed[:1])), one)
    for price in (np.inf, np.nan):
        with pytest.raises(InputError, match="column price: price must be positive and finite"):
            TradePrint("X", 1, 1, price, 1.0, True)
