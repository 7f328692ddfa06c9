"""Provenance: what a source says, what it refuses, and its way into a store's records and back."""

import hashlib
import json

import pandas as pd
import pytest

from margincast.features.readers.provenance import Source, source_from_dict, source_of
from margincast.features.readers.store_records import append_records, stored_sources
from margincast.riskcore.errors import InputError
from margincast.training.table_store import TableStore

GIVEN = {
    "venue": "binance",
    "origin": "BTCUSDT-fundingRate-2024-03.zip",
    "retrieved": "2024-04-02T08:00:00Z",
    "rows": 2,
}


def rates(hours=2):
    stamps = pd.date_range("2024-03-01", periods=hours, freq="8h", tz="UTC")
    return pd.DataFrame({"timestamp": stamps, "symbol": "BTC", "funding_rate": 0.0001})


def test_the_hash_is_that_of_the_bytes():
    source = source_of(b"rows", **GIVEN, url="https://data.binance.vision/x", cleaning=("sorted",))
    assert source.sha256 == hashlib.sha256(b"rows").hexdigest()
    assert source_from_dict(json.loads(json.dumps(source.as_dict())), "x.json") == source
    with pytest.raises(AttributeError):
        source.rows = 3


def test_what_was_cleaned_is_added_in_its_order():
    source = source_of(b"rows", **GIVEN, cleaning=("first",))
    assert source.cleaned("second", "third").cleaning == ("first", "second", "third")
    assert source.cleaning == ("first",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"venue": ""}, "column venue: of a source must not be empty"),
        ({"origin": ""}, "column origin: of a source must not be empty"),
        ({"sha256": "0" * 63}, "column sha256: of a source must be 64 hexadecimal digits"),
        ({"sha256": "G" * 64}, "column sha256: of a source must be 64 hexadecimal digits"),
        ({"retrieved": "2024-04-02T08:00:00"}, "column retrieved: of a source must be an ISO 8601 instant in UTC"),
        ({"retrieved": "2024-04-02"}, "column retrieved: of a source must be an ISO 8601 instant in UTC"),
        ({"rows": -1}, "column rows: of a source must not be negative (found -1)"),
    ],
)
def test_a_source_that_says_nothing_is_refused(change, message):
    with pytest.raises(InputError) as caught:
        Source(**({"sha256": "0" * 64} | GIVEN | change))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("plain", [{}, {"venue": "x"}, {"colour": 1}])
def test_json_that_is_no_source_is_named(plain):
    with pytest.raises(InputError, match=r"^x\.json: does not hold a source"):
        source_from_dict(plain, "x.json")


def test_a_store_keeps_the_source_of_every_append(tmp_path):
    store = TableStore(tmp_path)
    first = source_of(b"a", **GIVEN, url="https://data.binance.vision/a.zip", cleaning=("timestamps as read",))
    second = source_of(b"b", **(GIVEN | {"origin": "/fapi/v1/fundingRate?symbol=BTCUSDT"}))
    store.append("funding", rates(), first)
    store.append("funding", rates(4), second)
    assert stored_sources(tmp_path, "funding") == [first, second.cleaned("2 exact duplicate rows dropped")]
    assert [(record.rows, record.duplicates) for record in append_records(tmp_path, "funding")] == [(2, 0), (4, 2)]
    plain = json.loads((tmp_path / "funding" / "appends" / "00000001.json").read_text())
    assert plain["source"]["url"] == "https://data.binance.vision/a.zip"
    part = tmp_path / "funding" / plain["parts"][0]["path"]
    assert plain["parts"][0]["sha256"] == hashlib.sha256(part.read_bytes()).hexdigest()


def test_a_record_whose_source_was_changed_is_refused(tmp_path):
    TableStore(tmp_path).append("funding", rates(), source_of(b"a", **GIVEN))
    path = tmp_path / "funding" / "appends" / "00000001.json"
    path.write_text(path.read_text().replace('"retrieved": "2024-04-02T08:00:00Z"', '"retrieved": "soon"'))
    with pytest.raises(InputError, match=r"^00000001\.json, column retrieved: of a source must be an ISO 8601"):
        stored_sources(tmp_path, "funding")
