"""Portfolio rules as files, and the three ways of margining side by side."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.portfolio.contracts import contracts_of_instruments
from margincast.riskcore.portfolio.margin_comparison import MarginComparison, compare_margins
from margincast.riskcore.portfolio.portfolio_rule import Charges, OffsetGroup, PortfolioRule, UnitRule
from margincast.riskcore.portfolio.portfolio_rule_file import read_portfolio_rule
from margincast.riskcore.portfolio.scenario_grid import SAME, ScenarioGrid, VolatilityShock
from margincast.riskcore.portfolio.volatility_rule import VolatilityPoints
from margincast.riskcore.rulebook import RateSchedule, RuleBook

SAID = 'source = "s"\ndate = 2024-01-01\n'
FILE = f"""
venue = "house"
effective_from = 2024-01-01
model = "portfolio"
note = "n"

[units.majors]
underlyings = ["BTC", "ETH"]
moves = [-0.15, 0.15]
volatilities = ["up", "down"]
weights = [1.0, 0.9]
tails = [[-0.6, "up", 0.3], [2, "same", 0.1]]
horizon_days = 1
net_rights = false
{SAID}
[units.majors.volatility]
kind = "power"
up = 0.5
down = 0.25
short_power = 0.3
long_power = 0.13
floor_days = 2.0
{SAID}
[units.majors.contingencies]
short_option = 0.01
contract = 0.375
{SAID}
[units.others]
generic = true
moves = [-0.25, 0.0, 0.25]
volatilities = ["same"]
{SAID}
[units.others.volatility]
kind = "points"
up = 0.1
down = 0.05
{SAID}
[units.others.minimum]
delta = 0.05
{SAID}
[requirement]
maintenance_factor = 0.5
initial_factor = 1.0
pool_minimum = 100.0
{SAID}
[netting]
kind = "offset"
groups = [{{units = ["BTC", "ETH"], share = 0.8}}]
{SAID}
"""
CORRELATED = """[netting]
kind = "correlation"
units = ["BTC", "ETH"]
matrix = [[1, 0.8], [0.8, 1]]
"""


def read(tmp_path: Path, text: str) -> PortfolioRule:
    path = tmp_path / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return read_portfolio_rule(path)


def test_a_file_says_what_it_means(tmp_path: Path) -> None:
    rule = read(tmp_path, FILE)
    majors, others = rule.unit_rule("ETH"), rule.unit_rule("DOGE")
    assert majors.grid.move.tolist() == [-0.15, -0.15, 0.15, 0.15, -0.6, 2.0]
    assert majors.grid.volatility.tolist() == [1, -1, 1, -1, 1, 0]
    assert majors.grid.weight.tolist() == [1.0, 1.0, 0.9, 0.9, 0.3, 0.1]
    assert majors.volatility == VolatilityShock(0.5, 0.25, 0.3, 0.13, floor_days=2.0)
    assert majors.contingencies == Charges(short_option=0.01, contract=0.375)
    assert (majors.horizon_days, majors.net_rights, others.net_rights) == (1.0, False, True)
    assert others.volatility == VolatilityPoints(0.1, 0.05) and others.minimum == Charges(delta=0.05)
    assert (rule.maintenance_factor, rule.initial_factor, rule.pool_minimum) == (0.5, 1.0, 100.0)
    assert rule.offsets == (OffsetGroup(("BTC", "ETH"), 0.8),)
    assert rule.sources["units.majors.volatility"] == "s (2024-01-01)" and len(rule.sources) == 8


def test_a_file_with_correlations(tmp_path: Path) -> None:
    rule = read(tmp_path, FILE[: FILE.index("[netting]")] + CORRELATED + SAID)
    assert rule.correlation is not None
    assert rule.correlation.of(("BTC", "ETH")).tolist() == [[1.0, 0.8], [0.8, 1.0]]
    with pytest.raises(InputError, match="row 0, column unit: unknown unit"):
        rule.correlation.of(("DOGE",))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('model = "portfolio"', 'model = "span"', "column model"),
        ('model = "portfolio"', "", "the rules asked for are of the model portfolio"),
        ('venue = "house"', "", "column venue: must be given"),
        ("moves = [-0.15, 0.15]", "", "units.majors moves: must be given as a list"),
        ("moves = [-0.15, 0.15]", "moves = []", "units.majors moves: needs at least one number"),
        ("moves = [-0.15, 0.15]", "moves = [-1.5, 0.15]", "units.majors move: must be above -1"),
        ("moves = [-0.15, 0.15]", 'moves = ["up", 0.15]', r"units.majors moves\[0\]: must be given as a number"),
        ("moves = [-0.15, 0.15]", "move = [-0.15, 0.15]", "units.majors move: unknown key"),
        ('["up", "down"]', '["up", "sideways"]', 'must be "up", "same" or "down"'),
        ('["up", "down"]', "[1, -1]", "units.majors volatilities: must be names"),
        ("weights = [1.0, 0.9]", "weights = [1.0]", "units.majors weights: needs one weight a move, 2"),
        ("weights = [1.0, 0.9]", "weights = [1.0, -0.5]", "units.majors weight: must not be negative"),
        ('[-0.6, "up", 0.3]', "[-0.6, 0.3]", r"units.majors tails\[0\]: must be \[move, volatility, weight\]"),
        ("horizon_days = 1", "horizon_days = -1", "units.majors horizon_days: must not be negative"),
        ("net_rights = false", "net_rights = 0", "units.majors net_rights: must be given as a bool"),
        ('kind = "power"', 'kind = "vol"', 'units.majors.volatility kind: must be "power" or "points"'),
        ("short_power = 0.3", "", "units.majors.volatility short_power: must be given as a number"),
        ("up = 0.1\n", "up = 0.1\nshort_power = 0.3\n", "units.others.volatility short_power: unknown key"),
        ("contract = 0.375", "contract = -1", "units.majors.contingencies contract: must not be negative"),
        ("contract = 0.375", "per_contract = 1", "units.majors.contingencies per_contract: unknown key"),
        (f"net_rights = false\n{SAID}", "net_rights = false\n", "units.majors source: must be given as a str"),
        ("contract = 0.375\n" + SAID, "contract = 0.375\n", "units.majors.contingencies source: must be given"),
        ("generic = true", "", "units.others underlyings: needs underlyings or generic"),
        ("generic = true", "generic = false", "units.others underlyings: needs underlyings or generic"),
        ("generic = true", 'underlyings = ["BTC"]', "units.others underlyings: is named twice"),
        ('underlyings = ["BTC", "ETH"]', "generic = true", "units.others generic: a second generic unit"),
        ("maintenance_factor = 0.5", "maintenance_factor = 0.0", "maintenance_factor: must be positive"),
        ("share = 0.8", "share = 1.8", r"netting.groups\[0\] share: must be in \[0, 1\]"),
        ('["BTC", "ETH"], share', '["BTC", "SOL"], share', "column offsets: units of an offset group need grids"),
        ('kind = "offset"', 'kind = "sum"', "go together"),
        ("[netting]", "[nettings]", "column nettings: unknown key"),
    ],
)
def test_every_malformed_file_is_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in FILE
    with pytest.raises(InputError, match=told) as error:
        read(tmp_path, FILE.replace(old, new, 1))
    assert "rules.toml" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("[0.8, 1]]", "[0.8]]", r"netting matrix\[1\]: must be 2 numbers"),
        ("[0.8, 1]]", "[0.7, 1]]", "must be symmetric"),
        ('units = ["BTC", "ETH"]\n', "", "netting units: must be given as a list"),
    ],
)
def test_malformed_correlations_are_one_error(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in CORRELATED
    with pytest.raises(InputError, match=told):
        read(tmp_path, FILE[: FILE.index("[netting]")] + CORRELATED.replace(old, new, 1) + SAID)


TABLE = InstrumentTable.linear_perpetuals(["BTC-A", "BTC-B", "ETH-A"])
CONTRACTS = contracts_of_instruments(TABLE, ["BTC", "BTC", "ETH"])
TIERS = RateSchedule.marginal([0.0, 100_000.0], [0.01, 0.025], [50.0, 20.0])
RULES = RuleBook("test", dt.date(2024, 1, 1), dict.fromkeys(TABLE.symbols, TIERS))
UNIT = UnitRule(ScenarioGrid.product([-0.1, 0.0, 0.1], SAME), VolatilityShock(0, 0, 0, 0), Charges(offset=0.002))
RULE = PortfolioRule("test", dt.date(2024, 1, 1), {}, UNIT)
MARKET = MarketState(np.datetime64("2024-01-01"), [60_000.0, 60_000.0, 3_000.0], [1.0])


def accounts(seed: int, pools: int = 8) -> AccountBook:
    """Accounts of one to three pools."""
    rng = np.random.default_rng(seed)
    legs = rng.integers(1, 4, pools)
    instrument = rng.integers(0, 3, legs.sum())
    return AccountBook(
        TABLE,
        [f"a{k}" for k in rng.integers(0, 4, pools)],
        [f"s{k}" for k in range(pools)],
        [""] * pools,
        np.arange(pools + 1),
        np.zeros(pools, int),
        rng.uniform(0, 10_000, pools),
        np.append(0, np.cumsum(legs)),
        instrument,
        rng.choice([-1, 1], legs.sum()) * rng.uniform(0.1, 3, legs.sum()),
        MARKET.mark[instrument] * rng.uniform(0.9, 1.1, legs.sum()),
        np.full(legs.sum(), np.nan),
    )


def compared(book: AccountBook) -> MarginComparison:
    return compare_margins(book, MARKET, RULES, CONTRACTS, RULE)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_sharing_never_asks_more_than_standing_alone(seed: int) -> None:
    book = accounts(seed)
    found = compared(book)
    assert (found.saved_by_cross >= -1e-6).all()
    assert found.account.tolist() == list(dict.fromkeys(book.account.tolist()))
    state = evaluate(book, MARKET, RULES)
    per_pool = {name: 0.0 for name in found.account.tolist()}
    for name, needed in zip(book.account.tolist(), state.maintenance.tolist(), strict=True):
        per_pool[name] += needed
    np.testing.assert_allclose(found.cross_maintenance, list(per_pool.values()), rtol=1e-12)


def test_collateral_needed_is_where_the_account_breaches() -> None:
    """With exactly the collateral the comparison names, equity is the maintenance margin."""
    book = accounts(3)
    one = book.take(np.array([0]))
    needed = compared(one).cross_collateral[0]
    state = evaluate(replace(one, balance=np.array([needed])), MARKET, RULES)
    assert needed > 0
    assert state.headroom[0] == pytest.approx(0.0, abs=1e-6)


def test_what_netting_saves_by_hand() -> None:
    """Long 1 and short 1 BTC at cost 60,000 and no profit; a lone long ETH of 3,000."""
    book = AccountBook(
        TABLE, ["h", "e"], ["m", "m"], ["", ""], [0, 1, 2], [0, 0], [0.0, 0.0], [0, 2, 3], [0, 1, 2],
        [1.0, -1.0, 1.0], [60_000.0, 60_000.0, 3_000.0], np.full(3, np.nan),
    )  # fmt: skip
    found = compared(book)
    assert found.cross_maintenance.tolist() == pytest.approx([2 * 600, 30])
    assert found.portfolio_maintenance.tolist() == pytest.approx([0.002 * 60_000, 300])
    assert found.saved_by_portfolio.tolist() == pytest.approx([1_200 - 120, 30 - 300])


def test_contracts_must_be_the_instruments_of_the_book() -> None:
    other = contracts_of_instruments(InstrumentTable.linear_perpetuals(["X"]), ["BTC"])
    with pytest.raises(InputError, match="are not the instruments of the book"):
        compare_margins(accounts(0), MARKET, RULES, other, RULE)


def test_a_contract_without_a_mark_matters_only_when_held() -> None:
    unlisted = MarketState(MARKET.time, [60_000.0, 60_000.0, np.nan], [1.0])
    book = accounts(0).take(np.array([0]))
    held = replace(book, position_instrument=np.zeros(len(book.quantity), int))
    compare_margins(held, unlisted, RULES, CONTRACTS, RULE)
    with pytest.raises(InputError, match="has no mark price"):
        compare_margins(
            replace(book, position_instrument=np.full(len(book.quantity), 2)), unlisted, RULES, CONTRACTS, RULE
        )
