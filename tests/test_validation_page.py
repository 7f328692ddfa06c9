"""The page on validation: what it names is what the protocol does."""

import re
from pathlib import Path

from margincast.training.cost_curves import COST_RATIOS
from margincast.training.evaluate import BASELINES
from margincast.training.flapping import WATCHED
from margincast.training.protocol_runs import CRASHES, Protocol

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "validation.md").read_text(encoding="utf-8")


def test_the_page_names_every_baseline_crash_and_setting():
    baselines = PAGE.partition("Baselines:")[2].partition("([method")[0]
    assert tuple(re.findall(r"`(\w+)`", baselines)) == BASELINES
    crashes = PAGE.partition("crash left out (")[2].partition(")")[0]
    assert crashes.split(", ") == [str(day) for day in CRASHES]
    usual = Protocol(CRASHES[0].replace(day=1))
    assert f"less {usual.embargo_days} days" in PAGE and f"{usual.window_days} days before it" in PAGE
    assert f"{WATCHED} tested accounts" in PAGE
    assert "is 1, 3, 10, 30 or 100 times" in PAGE and COST_RATIOS == (1.0, 3.0, 10.0, 30.0, 100.0)
