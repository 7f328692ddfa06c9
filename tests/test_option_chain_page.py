"""The page on option features: its example prints what it says, and its table names every feature."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from margincast.features.bar_table import bar_table
from margincast.features.options.chain_rows import chain_from_rows
from margincast.features.options.chain_series import chain_series
from margincast.features.options.declarations import NAMES
from margincast.features.readers.folder import read_market_folder

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "option_features.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_says(capsys):
    ((code, said),) = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "option_features.md", "exec"), {})
    assert capsys.readouterr().out == said


def test_every_feature_is_in_the_table():
    told = set()
    for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE):
        names = re.findall(r"`(.*?)`", row)
        told |= {name for name in names if not name.startswith("_")}
        told |= {re.sub(r"(_\d+d)+$", name, names[0]) for name in names if name.startswith("_")}
    assert set(NAMES) == told


def test_series_of_chains_become_files_of_a_market_folder(monkeypatch, tmp_path):
    """The page's lines write them; read back, bars know each value from the close at which its chain was known."""
    monkeypatch.chdir(tmp_path)
    Path("market/series").mkdir(parents=True)
    opens = pd.date_range("2024-01-01", periods=24, freq="h", tz="UTC")
    prices = dict.fromkeys(("open", "high", "low", "close"), 50_000.0)
    pd.DataFrame({"timestamp": opens, "symbol": "BTC", **prices, "volume": 1.0}).to_parquet("market/perp.parquet")
    rows = {"expiry": "2024-02-01", "strike": 100.0, "right": [-1, 1]}
    chains = [
        chain_from_rows("BTC", np.datetime64(at), rows | {"open_interest": [puts, 4.0]})
        for at, puts in (("2024-01-01T06:00", 3.0), ("2024-01-01T12:30", 1.0))
    ]
    [code] = re.findall(r"```python\n(for name.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "option_features.md", "exec"), {"chain_series": chain_series, "chains": chains})
    found = bar_table(read_market_folder("market")).columns["series_put_call_open_interest"][:, 0]
    np.testing.assert_array_equal(found, np.repeat([np.nan, 0.75, 0.25], [5, 7, 12]))
