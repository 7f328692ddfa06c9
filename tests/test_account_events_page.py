"""The page of accounts' paths: whole, offline, escaped, and refused where there is nothing to show."""

import json
import re

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from margincast.riskcore.errors import InputError, MargincastError
from margincast.training.account_plots import AccountPath, account_page, path_figure, write_account_page

TIMES = np.datetime64("2024-01-01", "ns") + np.arange(5) * np.timedelta64(1, "h")
HEAD = {"title": "Accounts <1>", "subtitle": "Drawn at random", "lead": "Equity & margin."}


def path(title="a <script>", equity=(5.0, 4.0, np.nan, 2.0, 1.0)):
    return AccountPath(
        title, "marks: <mine>", TIMES, np.array(equity), np.full(5, 1.5), TIMES[3:4], np.array([1.4]), TIMES[2:4]
    )


def test_the_page_stands_alone_and_is_escaped(tmp_path):
    target = tmp_path / "new" / "accounts.html"
    write_account_page({"near": [path()], "far": [path(), path("b")]}, target, **HEAD)
    page = target.read_text(encoding="utf-8")
    assert "connect-src" not in page and "default-src 'none'" in page
    assert "Accounts &lt;1&gt;" in page and "a <script>" not in page
    assert page.count("<option") == 2
    assert not re.search(r"https?://", page.replace(get_plotlyjs(), ""))
    assert account_page({"near": [path()]}, **HEAD) == account_page({"near": [path()]}, **HEAD)


def test_panels_show_the_paths_and_break_where_nothing_is_known():
    figure = path_figure([path(str(k)) for k in range(4)])
    json.dumps(figure, allow_nan=False)
    lines = [trace for trace in figure["data"] if trace["mode"] == "lines"]
    assert len(lines) == 8 and lines[0]["y"] == [5.0, 4.0, None, 2.0, 1.0] and not lines[0]["connectgaps"]
    official = [trace for trace in figure["data"] if trace["name"] == "Official liquidation"]
    assert [trace["y"] for trace in official] == [[1.4]] * 4
    found = next(trace for trace in figure["data"] if trace["name"].startswith("Found"))
    assert found["y"] == [None, 2.0]
    assert sum(bool(trace["showlegend"]) for trace in figure["data"]) == 4
    assert sum("visible" in axis for axis in figure["layout"].values() if isinstance(axis, dict)) == 4


def test_what_cannot_be_shown_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no account to show"):
        account_page({"near": []}, **HEAD)
    with pytest.raises(InputError, match="arrays disagree in length"):
        account_page({"near": [path(equity=(1.0, 2.0))]}, **HEAD)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(MargincastError, match="could not be written"):
        write_account_page({"near": [path()]}, tmp_path / "file" / "page.html", **HEAD)
