"""The page on stress: its examples print what it says, its procedure can be read, its table names every stress."""

import os
import re
from pathlib import Path

import pytest

from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.rulebook_file import load_rulebook
from margincast.riskcore.stress.library import standard_stresses
from margincast.riskcore.waterfall.procedure_file import read_procedure
from margincast.training.stress_file import StressRequest, stress_file

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "stress.md").read_text(encoding="utf-8")
MARKET = Path(os.environ.get("MARGINCAST_SHARED", ROOT.parent / "shared")) / "data" / "binance_1h"


def test_the_examples_print_what_the_page_says(capsys):
    blocks = re.findall(r"```python\n(.*?)```\s+```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == 3
    names = {}
    for code, said in blocks:
        exec(compile(code, "stress.md", "exec"), names)
        assert capsys.readouterr().out == said


def test_the_procedure_is_read(tmp_path):
    path = tmp_path / "house_2026-01-01.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    assert read_procedure(path).policy == "close_to_target"


def test_every_stress_is_in_the_table():
    names = {
        path.name.split(",")[0] for path in standard_stresses(InstrumentTable.linear_perpetuals(["BTC"]), [1], [1])
    }
    assert names <= {row.split("|")[1].strip() for row in PAGE.splitlines() if row.startswith("| ")}


@pytest.mark.skipif(not MARKET.is_dir(), reason=f"no market folder at {MARKET}")
def test_the_command_gives_the_figures_on_the_page(tmp_path):
    path = tmp_path / "accounts.json"
    path.write_text(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    result = stress_file(
        StressRequest(path, MARKET, replays=("2022-11-07/2022-11-10",), reverse=False), load_rulebook("binance_usdm")
    )
    said = re.search(r" stress  .*?\n(.*?)\n\n", PAGE, re.DOTALL)[1].splitlines()[1:]
    assert len(said) == len(result["stresses"])
    for line, record in zip(said, result["stresses"], strict=True):
        counts = [f"{record[name]:,.0f}" for name in ("liquidated", "bankrupt")]
        amounts = ("deleveraged", "socialised", "uncovered", "fund_lowest", "fund_after")
        found = [*counts, *(f"{round(record[name]) + 0:,}" for name in amounts), "yes" if record["fund_held"] else "NO"]
        assert line.split() == [*record["name"].split(), *found]
