"""Every code block of docs/portfolio_margin.md runs and prints what it says; every file it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from margincast.riskcore.dated_files import VENUES

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "portfolio_margin.md").read_text(encoding="utf-8")


def said(code: str) -> list[str]:
    """What the comments of a block say it prints: those behind a print, or lines of their own after the last one."""
    behind = re.findall(r"^\s*print\(.*\)  # (.+)$", code, re.MULTILINE)
    alone = re.findall(r"^# (.+)$", code, re.MULTILINE)
    return behind or alone


def test_every_block_prints_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (toml,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "house_2026-01-01.toml").write_text(toml, encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 5 == GUIDE.count("```") // 2 - 1
    names: dict[str, object] = {}
    for place, code in enumerate(blocks):
        exec(compile(code, f"portfolio_margin.md[{place}]", "exec"), names)
        assert capsys.readouterr().out.splitlines() == said(code)


def test_the_files_it_names_are_the_ones_that_ship() -> None:
    named = set()
    for row in re.findall(r"^\| (`.*?) \|", GUIDE, re.MULTILINE):
        venue = ""
        for name in re.findall(r"`([^`]+)`", row):
            venue, date = (name[:-11], name[-10:]) if "_" in name else (venue, name)
            named.add(f"{venue}_{date}.toml")
    shipped = {path.name for venue in ("deribit_pm", "okx_pm", "paradex_pm", "bybit_pm", "tims")
               for path in VENUES.glob(f"{venue}_????-??-??.toml")}  # fmt: skip
    assert named == shipped
