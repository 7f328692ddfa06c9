"""The page on reasons and advice: its examples print what it says, and its tables name what there is."""

import re
from pathlib import Path

import small_market as small

from margincast.training.advice import SCAN
from margincast.training.advice_mix import PARTS, REFINEMENTS
from margincast.training.advice_trades import MOST_HEDGES
from margincast.training.population import simulate_accounts
from margincast.training.reasons import MOST_CAUSES, explain

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "advice.md").read_text(encoding="utf-8")


def test_the_examples_print_what_the_page_says(capsys):
    scorer = small.scorer()
    bars = {"first_bar": scorer.bar, "last_bar": scorer.bar + 1}
    drawn = simulate_accounts(scorer.view.history, small.RULES, accounts=60, **bars, horizons=(1, 24), seed=8)
    names = {"scorer": scorer, "book": drawn.book}
    blocks = re.findall(r"```python\n(.*?)```(?:\s+```text\n(.*?)```)?", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == 4 and PAGE.count("```text") == 3
    for code, said in blocks:
        exec(compile(code, "advice.md", "exec"), names)
        assert capsys.readouterr().out == said
    assert len(names["alerted"]) > 5


def test_its_tables_name_every_code_and_key():
    scorer = small.scorer()
    bars = {"first_bar": scorer.bar, "last_bar": scorer.bar + 1}
    book = simulate_accounts(scorer.view.history, small.RULES, accounts=8, **bars, horizons=(1, 24), seed=8).book
    codes = {reason["code"] for one in explain(scorer, book, "24h") for reason in one}
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert codes | {"fall_back", "in_breach", "no_positions"} <= told
    assert {"deposit", "position_cut", "leg_cut", "hedge", "cheapest", "costs_assumed"} <= told


def test_the_counts_it_tells_are_those_of_the_code():
    assert (SCAN, MOST_HEDGES, MOST_CAUSES) == (12, 3, 2)
    assert PARTS * (PARTS / 2) ** REFINEMENTS == 54
