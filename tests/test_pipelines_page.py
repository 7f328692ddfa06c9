"""The page on pipelines: its examples print what it says, on real bars."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margincast.features.engine.expression import UFUNCS, column
from margincast.riskcore.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "pipelines.md").read_text(encoding="utf-8")
SHARED = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared"))


def test_the_examples_print_what_the_page_says(capsys, monkeypatch, tmp_path):
    if not (SHARED / "data" / "binance_1h").is_dir():
        pytest.skip(f"no market data at {SHARED / 'data'}")
    examples = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(examples) == 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, said in examples:
        exec(compile(code.replace("../shared", str(SHARED)), "pipelines.md", "exec"), names)
        assert capsys.readouterr().out == said
    kept = pd.read_parquet("market/depth.parquet")
    sides = kept.groupby("timestamp")["side"].agg(set)
    assert set(kept["symbol"]) == {"ETH"} and all(one == {"bid", "ask"} for one in sides)


def test_the_page_names_every_function_a_formula_knows():
    text = re.search(r"of NumPy's functions (.*?) of three arguments", PAGE, re.DOTALL)[1]
    told = {name.removeprefix("np.") for name in re.findall(r"`([\w.]+)`", text)}
    assert told == {ufunc.__name__ for ufunc in UFUNCS} | {"positive", "square", "where"}
    close = column("close")
    assert str(close**2) == str(np.square(close)) and str(close**0.5) == str(np.sqrt(close))
    with pytest.raises(InputError, match="does not know this NumPy function"):
        np.arctan(close)
