"""The verb `features`: a market streamed into one Parquet file, the same whatever the block, whole or not at all."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from margincast.__main__ import app
from margincast.features.bar_table import bar_table
from margincast.features.catalogue import every_feature
from margincast.features.readers.blocks import market_blocks
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import feature_export
from margincast.training.feature_export import export_features
from margincast.training.market_simulator import simulate_market, write_market_folder


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    tables = simulate_market(seed=9, days=40, symbols=("BTC", "ETH"))
    return write_market_folder(tables, tmp_path_factory.mktemp("m") / "market", {"seed": 9})


@pytest.mark.parametrize(("every", "block"), [(1, 10_000), (24, 100)])
def test_the_file_holds_what_the_batch_says(market, tmp_path, every, block):
    result = export_features(market, tmp_path / "f.parquet", every, block=block)
    table = bar_table(read_market_folder(market))
    bars = np.arange(every, len(table) + 1, every)
    frame = every_feature(table).batch(table, bars)
    found = pd.read_parquet(tmp_path / "f.parquet")
    assert list(found.columns) == ["timestamp", "symbol", *frame.names]
    assert (found["timestamp"].dt.tz_localize(None).to_numpy("datetime64[ns]")[::2] == frame.times).all()
    assert found["symbol"].tolist() == ["BTC", "ETH"] * len(bars)
    np.testing.assert_array_equal(found.iloc[:, 2:].to_numpy(), frame.values.reshape(len(found), -1))
    assert result.rows == len(found)
    known = (~np.isnan(frame.column("log_ewma_24h"))).mean()
    assert result.known["log_ewma_24h"] == pytest.approx(known)


def test_rows_stand_a_bar_apart_at_least(market):
    with pytest.raises(InputError, match="column every: must be at least one bar .found 0"):
        export_features(market, every=0)


def test_a_file_that_cannot_be_written_leaves_nothing(market, tmp_path):
    with pytest.raises(MargincastError, match="could not be written"):
        export_features(market, tmp_path / "absent" / "f.parquet")
    (tmp_path / "f.parquet").mkdir()
    with pytest.raises(MargincastError, match="could not be written"):
        export_features(market, tmp_path / "f.parquet", 24)
    assert [path.name for path in tmp_path.iterdir()] == ["f.parquet"]


def test_a_market_that_cannot_be_read_on_is_not_a_file_that_cannot_be_written(market, tmp_path, monkeypatch):
    def failing(folder, block):
        yield next(market_blocks(folder, block))
        raise OSError("perp.parquet: input/output error")

    monkeypatch.setattr(feature_export, "market_blocks", failing)
    with pytest.raises(OSError, match="^perp.parquet: input/output error"):
        export_features(market, tmp_path / "f.parquet", 24)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_dies_leaves_the_old_file(market, tmp_path):
    out = tmp_path / "f.parquet"
    out.write_bytes(b"old")

    def dies(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_features(market, out, say=dies)
    assert out.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_the_verb_says_what_there_is_and_what_is_left_out(market, tmp_path):
    asked = ["features", "--market", str(market), "--every", "24", "--json", str(tmp_path / "f.json")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "f.json").read_text())
    assert f"{len(result['features'])} features" in done.output
    assert "no taker_buy_volume" in done.output and result["left_out"]["taker_imbalance_4h"] == "no taker_buy_volume"
    names = [one["name"] for one in result["features"]]
    one = result["features"][names.index("return_24h")]
    assert one["inputs"] == ["close"] and one["lookback_hours"] == 25.0 and one["unit"] == "log return"
    assert result["file"] is None


def test_what_is_odd_about_a_folder_is_said_and_its_own_series_are_written(market, tmp_path):
    tables = simulate_market(seed=9, days=12, symbols=("BTC", "ETH"))
    perp = tables["perp"].drop(index=tables["perp"].index[[40, 41]])
    folder = write_market_folder({"perp": perp}, tmp_path / "odd", {"seed": 9})
    (folder / "series").mkdir()
    times = pd.date_range(perp["timestamp"].min(), periods=12, freq="D")
    pd.DataFrame({"timestamp": times, "value": np.arange(12.0)}).to_parquet(folder / "series" / "fear.parquet")
    perp.to_parquet(folder / "mark_1h.parquet")
    result = export_features(folder, tmp_path / "f.parquet", 24)
    assert result.notes[0] == "not a table of a market folder, not read: mark_1h.parquet"
    assert result.notes[1] == "no mark table: marks are last prices"
    assert result.notes[2].startswith("bars missing, before the first too: ") and result.notes[2].endswith(" 2")
    fear = pd.read_parquet(tmp_path / "f.parquet")["series_fear"]
    assert fear.tolist()[::2] == [float(k) for k in range(1, 12)] + [11.0]
    done = CliRunner().invoke(app, ["features", "--market", str(folder), "--every", "24"])
    assert "never known: " in done.output and "note: no mark table" in done.output
