"""OKX's portfolio margin parameters: the file follows its notice, and a bad one is refused."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from margincast.riskcore.content_hash import content_hash
from margincast.riskcore.dated_files import rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.portfolio.okx_charges import unit_maintenance
from margincast.riskcore.portfolio.okx_rules import load_okx_portfolio_rules, read_okx_portfolio_rules

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def test_file_is_the_notice():
    path = SHARED / "vectors" / "exchange_docs.json"
    if not path.is_file():
        pytest.skip(f"no cases at {path}")
    published = json.loads(path.read_text())["shared"]["okx_pm_parameters_2025_01"]
    rules = load_okx_portfolio_rules()
    for name, moves in published["mr1"].items():
        group = rules.groups[name]
        assert group.spot_moves.tolist() == moves and group.extreme_move == published["mr6"][name]
        assert group.annual_basis == published["mr4_annualised"][name]
    caps, multipliers = np.array(published["mr7_tiers"]).T
    assert rules.group_of("BTC").charge_caps[:-1].tolist() == caps[:-1].tolist()
    assert rules.group_of("ETH").charge_multipliers.tolist() == multipliers.tolist()


def test_the_illustration_of_the_help_page():
    group = load_okx_portfolio_rules().group_of("BTC")
    assert unit_maintenance(40_000.0, group.minimum_charge(30_000.0)) == 50_000.0


def test_grids_take_each_move_both_ways():
    for group in load_okx_portfolio_rules().groups.values():
        assert len(group.spot_grid) == 3 * (2 * len(group.spot_moves) - 1)
        assert sorted(set(group.spot_grid.move)) == sorted({*group.spot_moves, *(-group.spot_moves)} | {0.0})
        assert sorted(group.extreme_grid.move.tolist()) == [-group.extreme_move, group.extreme_move]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("multiple = 1.3", "multiple = 0.9", "initial_multiple: must be at least 1 (found 0.9)"),
        ("multiple = 1.3", "", "initial multiple: must be given as a number"),
        ("extreme_move = 0.24", "extreme_move = 0.1", "groups.BTC_ETH extreme_move: must be above the spot moves"),
        ("extreme_move = 0.24", "extreme_move = nan", "groups.BTC_ETH extreme_move: must be above the spot moves"),
        ("annual_basis = 0.05", "annual_basis = -1", "groups.BTC_ETH annual_basis: must not be negative"),
        ("[0.0, 0.04, 0.08, 0.12]", "[0.0, 0.08, 0.04]", "row 2, column groups.BTC_ETH spot_moves: must rise from 0"),
        ("[0.0, 0.04, 0.08, 0.12]", "[0.04]", "row 0, column groups.BTC_ETH spot_moves: must rise from 0"),
        ("[0.0, 0.04, 0.08, 0.12]", "[]", "groups.BTC_ETH spot_moves: needs at least one number"),
        ("[inf, 12]", "[900_000, 12]", "groups.BTC_ETH charge_caps: the last tier must be open"),
        ("[70_000, 2]", "[7_000, 2]", "row 1, column groups.BTC_ETH caps: caps of tiers must rise from 0"),
        ("[70_000, 2]", "[70_000, -2]", "row 1, column groups.BTC_ETH multipliers: must be positive"),
        ("[70_000, 2]", "[70_000]", "row 1, column groups.BTC_ETH charge_tiers: must be [cap, multiplier]"),
        ('["BTC", "ETH"]', '["BTC", "LTC"]', "underlyings: must be names, each in one group (found 'LTC')"),
        ('underlyings = ["BTC", "ETH"]', "", "column groups: needs exactly one group without underlyings"),
        ("annual_basis = 0.05", "annual_basis = 0.05\nmr9 = 1", "groups.BTC_ETH mr9: unknown key"),
        ('model = "okx_portfolio"', 'model = "unified"', "column model: the rules asked for are of the model"),
    ],
)
def test_bad_files_are_refused(tmp_path, old, new, message):
    text = rulebook_in_force("okx_portfolio").path.read_text()
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_okx_portfolio_rules(path)
    assert str(caught.value).startswith(str(path)) and message in str(caught.value) and "\n" not in str(caught.value)


def test_a_figure_decides_the_hash(tmp_path):
    text, path = rulebook_in_force("okx_portfolio").path.read_text(), tmp_path / "one.toml"
    hashes = set()
    for old, new in (("", ""), ("0.24", "0.25"), ("[70_000, 2]", "[70_000, 3]"), ("1.3", "1.4"), ('"BTC", ', "")):
        path.write_text(text.replace(old, new, 1) if old else text)
        hashes.add(content_hash(read_okx_portfolio_rules(path)))
    assert len(hashes) == 5
