"""Liquidation procedures as files: those that ship, and each way a file can be wrong."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from margincast.riskcore.dated_files import VENUES
from margincast.riskcore.errors import InputError
from margincast.riskcore.waterfall.procedure import LiquidationProcedure
from margincast.riskcore.waterfall.procedure_file import load_procedure, read_procedure

FILES = sorted(VENUES.glob("waterfall_*.toml"))
GOOD = (VENUES / "waterfall_generic_2019-09-01.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_read_and_says_its_sources(path):
    procedure = read_procedure(path)
    assert path.stem == f"waterfall_{procedure.venue}_{procedure.effective_from}"
    assert set(procedure.sources) == {"partial", "takeover", "fees", "adl", "simulation"}
    assert all(len(source) > 20 for source in procedure.sources.values())


def test_rankings_and_policies_of_the_venues():
    found = {v: load_procedure(v) for v in ("binance", "bybit", "bitmex", "hyperliquid", "dydx")}
    assert {v: (p.policy, p.adl_ranking) for v, p in found.items()} == {
        "binance": ("close_to_target", "pnl_times_margin_ratio"),
        "bybit": ("tier_step_down", "return_times_leverage"),
        "bitmex": ("tier_step_down", "return_times_leverage"),
        "hyperliquid": ("fixed_share", "gain_times_leverage"),
        "dydx": ("max_portion", "least_net_collateral"),
    }
    # Hyperliquid documentation: 20% above 100,000 USDC, backstop below two thirds
    hyper = found["hyperliquid"]
    assert (hyper.share, hyper.share_above, hyper.takeover_ratio) == (0.2, 100_000.0, pytest.approx(2 / 3))
    with pytest.raises(InputError, match="is before"):
        load_procedure("dydx", dt.date(2020, 1, 1))
    with pytest.raises(InputError, match="unknown venue"):
        load_procedure("nowhere")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('model = "waterfall"', 'model = "other"', "model"),
        ('venue = "generic"', "", "venue"),
        ("effective_from = 2019-09-01", 'effective_from = "soon"', "effective_from"),
        ("[takeover]", "[taken]", "unknown key.*taken|taken.*unknown key"),
        ("target = 1.1", "target = 0.9", r"target: must be in \[1, "),
        ("target = 1.1", 'target = "one"', "target"),
        ("target = 1.1", "", "target.*must be given"),
        ("target = 1.1", "target = nan", "target"),
        ("target = 1.1", "target = 1.1\nextra = 1", "unknown key"),
        ("share = 1.0", "share = 0.0", "share: must be above 0"),
        ("share = 1.0", "share = 1.5", "share"),
        ('policy = "largest_risk_first"', 'policy = "kindly"', "policy: must be one of whole"),
        ('"return_times_leverage"', '"by_name"', "adl_ranking"),
        ("cooldown_rounds = 0", "cooldown_rounds = 0.5", "cooldown_rounds"),
        ("cooldown_rounds = 0", "cooldown_rounds = -1", "cooldown_rounds"),
        ("max_rounds = 100", "max_rounds = 0", "max_rounds"),
        ("fill_or_kill = false", "fill_or_kill = 0", "fill_or_kill"),
        ("takeover_ratio = 1.0", "takeover_ratio = 1.5", "takeover_ratio"),
        ("fee_to_fund = 0.005", "fee_to_fund = -0.1", "fee_to_fund"),
        ("impact_weight = 0.3", "impact_weight = 2.0", "impact_weight"),
        ('source = "margincast assumption, not a venue figure"', "", "source"),
        ("date = 2019-09-01", "", "date"),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, old, new, words):
    assert old in GOOD
    path = tmp_path / "waterfall_generic_2019-09-01.toml"
    path.write_text(GOOD.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InputError, match=words) as caught:
        read_procedure(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_procedure_checks_itself():
    sound = LiquidationProcedure("x", dt.date(2024, 1, 1), "whole", "absolute_profit")
    for name, value in (("share_above", -1.0), ("target", float("inf")), ("max_rounds", True), ("policy", "")):
        with pytest.raises(InputError, match=name):
            replace(sound, **{name: value})


def test_an_unknown_venue_is_told_those_with_a_procedure():
    with pytest.raises(InputError, match="column venue: unknown venue; there are procedures of binance, .*found 'okx'"):
        load_procedure("okx")
