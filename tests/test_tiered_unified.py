"""Unified accounts: Binance portfolio margin, Bybit's unified account, OKX multi-currency margin."""

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.dated_files import rulebook_in_force
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import Stage, evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.priced_tiers import priced_rules
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.unified_file import load_unified, read_unified
from margincast.riskcore.unified_margin import StatusBands, UnifiedRules, evaluate_unified

NOW = np.datetime64("2024-01-01", "ns")
FULL = HaircutSchedule([0.0], [1.0])


def flat(rate, leverage=10.0):
    return RateSchedule.cliff([0.0], [rate], [leverage])


def binance_example():
    """The account of page 5e33af8e6ac04d57a1d0a3398e0a0752: loans of BTC and ETH, two linear positions, one inverse."""
    table = InstrumentTable(
        ("BTCUSDT_PERP", "BTCUSDT_20220624", "BTCUSD_PERP"), [LINEAR, LINEAR, INVERSE], [1.0, 1.0, 1.0], [1, 1, 2],
        ("USD", "USDT", "BTC", "ETH"),
    )  # fmt: skip
    book = AccountBook(
        table, ["a"], ["m"], [CROSS], [0, 7], [1, 2, 2, 3, 3, 1, 2], [1_000.0, 0.1, -0.04, 20.0, -15.0, 5_000.0, 0.1],
        [0, 3], [0, 1, 2], [-0.05, 0.04, 10_000.0], [52_000.0, 52_350.0, 50_000.0], [math.nan] * 3,
    )  # fmt: skip
    market = MarketState(NOW, [40_000.0, 42_000.0, 40_000.0], [1.0, 1.0, 40_000.0, 3_000.0])
    tiers = RuleBook("x", dt.date(2022, 4, 18), dict.fromkeys(table.symbols, flat(0.005, 20.0)))
    return book, market, tiers


def test_binance_portfolio_margin_example_by_hand():
    """Profits 600, -414 USDT and -0.05 BTC, loan margins 0.004 BTC and 1.5 ETH are the page's; the rest follows."""
    book, market, tiers = binance_example()
    rules = load_unified("binance_portfolio", dt.date(2022, 6, 1), [tiers])
    state = evaluate_unified(book, market, rules)
    assets = [1_000 + 5_000 + 600 - 414, (0.1 - 0.04 + 0.1 - 0.05) * 40_000, (20 - 15) * 3_000]
    equity = assets[0] * 0.9999 + assets[1] * 0.95 + assets[2] * 0.95
    assert state.equity[0] == pytest.approx(equity)
    assert state.loan_maintenance[0] == pytest.approx(0.004 * 40_000 + 1.5 * 3_000)
    assert state.contract_maintenance[0] == pytest.approx(0.005 * (0.05 * 40_000 + 0.04 * 42_000 + 0.25 * 40_000))
    assert state.ratio[0] == pytest.approx(equity / (160 + 4_500 + 68.4))
    assert state.stage.tolist() == [Stage.HEALTHY]


@pytest.mark.parametrize(
    ("day", "ratio", "stage"),
    [
        ("2022-06-01", 2.01, Stage.HEALTHY), ("2022-06-01", 2.0, Stage.WARNED), ("2022-06-01", 1.5, Stage.REDUCE_ONLY),
        ("2022-06-01", 1.2, Stage.LIQUIDATION), ("2022-06-01", 0.5, Stage.LIQUIDATION),
        ("2024-12-01", 1.51, Stage.HEALTHY), ("2024-12-01", 1.5, Stage.WARNED), ("2024-12-01", 1.2, Stage.REDUCE_ONLY),
        ("2024-12-01", 1.06, Stage.REDUCE_ONLY), ("2024-12-01", 1.05, Stage.LIQUIDATION),
        ("2024-12-01", 1.0, Stage.BANKRUPT), ("2024-12-01", -0.1, Stage.BANKRUPT),
    ],
)  # fmt: skip
def test_bands_of_both_versions_of_binance(day, ratio, stage):
    """Tables of the page of 2022-04-18 and of Portfolio Margin Pro."""
    bands = load_unified("binance_portfolio", dt.date.fromisoformat(day), []).bands
    assert bands.stage(ratio * 1_000.0, 1_000.0) == stage
    assert bands.stage(10.0, 0.0) == Stage.HEALTHY


def test_open_loss_lowers_the_ratio():
    book, market, tiers = binance_example()
    rules = load_unified("binance_portfolio", dt.date(2024, 12, 1), [tiers])
    plain, less = evaluate_unified(book, market, rules), evaluate_unified(book, market, rules, open_loss=[500.0])
    assert less.adjusted_equity[0] == plain.equity[0] - 500.0 and less.equity[0] == plain.equity[0]
    assert less.ratio[0] == pytest.approx((plain.equity[0] - 500) / plain.maintenance[0])
    for bad in (-1.0, np.nan):
        with pytest.raises(InputError, match="row 0, column open_loss: must not be negative"):
            evaluate_unified(book, market, rules, open_loss=bad)


def test_bybit_collateral_by_quantity_and_fee_to_close():
    """Help page's ratios: 10 BTC at 0.98, the next 10 at 0.95, ...; above 50 nothing counts."""
    table = InstrumentTable(("BTC",), [LINEAR], [1.0], [1], ("USD", "USDT", "BTC"))
    book = AccountBook(table, ["a", "b"], ["m", "m"], [CROSS, CROSS], [0, 1, 2], [2, 2], [25.0, 60.0], [0, 1, 1],
                       [0], [-1.0], [50_000.0], [20.0])  # fmt: skip
    market = MarketState(NOW, [50_000.0], [1.0, 1.0, 50_000.0])
    state = evaluate_unified(book, market, load_unified("bybit_unified"))
    assert state.equity[0] == pytest.approx((10 * 0.98 + 10 * 0.95 + 5 * 0.9) * 50_000)
    assert state.equity[1] == pytest.approx((9.8 + 9.5 + 9 + 8.5 + 8) * 50_000)
    fee = 50_000 * (1 + 1 / 20) * 0.00055
    assert state.contract_maintenance[0] == pytest.approx(50_000 * 0.005 + fee)
    assert state.contract_initial[0] == pytest.approx(50_000 / 20 + fee)
    assert np.isnan(state.ratio[1]) and state.stage[1] == Stage.HEALTHY


def test_unrealised_loss_beyond_the_balance_is_a_loan_where_the_venue_borrows_by_itself():
    table = InstrumentTable(("L",), [LINEAR], [1.0], [1], ("USD", "USDT", "BTC"))
    book = AccountBook(
        table, ["a"], ["m"], [CROSS], [0, 2], [1, 2], [100.0, 1.0], [0, 1], [0], [1.0], [1_300.0], [math.nan]
    )
    market = MarketState(NOW, [1_000.0], [1.0, 1.0, 5_000.0])
    tiers = RuleBook("x", dt.date(2024, 1, 1), {"L": flat(0.01)}, {"USDT": FULL, "BTC": FULL})
    rules = UnifiedRules("x", tiers.effective_from, tiers, StatusBands(2, None, 1), other_loans=flat(0.05, 4.0))
    state = evaluate_unified(book, market, rules)
    assert state.loan_maintenance[0] == pytest.approx(200 * 0.05) and state.loan_initial[0] == pytest.approx(200 / 4)
    assert state.equity[0] == pytest.approx(100 - 300 + 5_000)
    apart = evaluate_unified(book, market, replace(rules, borrowed="balance"))
    assert apart.loan_maintenance[0] == 0.0 and apart.equity[0] == state.equity[0]
    with pytest.raises(InputError, match="column asset: the x rule-book has no margin for borrowing it .found 'USDT'"):
        evaluate_unified(book, market, replace(rules, other_loans=None))
    counted = RateSchedule([0, 100], [0.02, 0.05], [0, 0], [10, 4], unit="amount")
    tiered = evaluate_unified(book, market, replace(rules, loans={"USDT": counted}, other_loans=None))
    assert tiered.loan_maintenance[0] == pytest.approx(200 * 0.05)


def test_okx_ratio_includes_the_liquidation_fee():
    """Recorded account (VENUES.md): adjusted equity / (maintenance + notional * taker fee), 143682.59776662575."""
    table = InstrumentTable(("X",), [LINEAR], [1.0], [0], ("USD",))
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [0], [55415.624719833286], [0, 1], [0], [1.0],
                       [85.7068529], [10.0])  # fmt: skip
    own = RuleBook("x", dt.date(2024, 1, 1), {"X": flat(0.004)}, base="USD")
    rules = load_unified("okx_multi_currency", contracts=[own])
    state = evaluate_unified(book, MarketState(NOW, [85.7068529], [1.0]), rules)
    assert state.ratio[0] == pytest.approx(143682.59776662575, rel=1e-8)
    assert state.initial[0] == pytest.approx(8.570685290)


def test_okx_discount_example_of_100_btc():
    """The published summary counts 5,785,500 of 6,000,000 USD; the file rounds the mean rate above 20 BTC."""
    table = InstrumentTable.linear_perpetuals([], base="USD", collateral=["BTC"])
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [1], [100.0], [0, 0], [], [], [], [])
    state = evaluate_unified(book, MarketState(NOW, [], [1.0, 60_000.0]), load_unified("okx_multi_currency"))
    assert state.equity[0] == pytest.approx(5_785_500, rel=5e-4)


@settings(max_examples=25)
@given(st.floats(-5e4, 5e4), st.floats(-3, 3), st.floats(-2, 2), st.floats(20_000, 60_000))
def test_unified_margin_is_evaluate_and_loans(cash, coin, quantity, mark):
    table = InstrumentTable(("BTC",), [LINEAR], [1.0], [1], ("USD", "USDT", "BTC"))
    held = [0] if quantity else []
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 2], [1, 2], [cash, coin], [0, len(held)], held,
                       [quantity] * len(held), [40_000.0] * len(held), [math.nan] * len(held))  # fmt: skip
    market = MarketState(NOW, [mark], [1.0, 1.0, mark])
    rules = replace(load_unified("bybit_unified"), taker_fee=0.0)
    state, plain = (
        evaluate_unified(book, market, rules),
        evaluate(book, market, priced_rules(rules.contracts, table, market)),
    )
    assert state.equity[0] == plain.equity[0] and state.contract_maintenance[0] == plain.maintenance[0]
    tether = cash + quantity * (mark - 40_000.0)
    owed = max(-tether, 0.0) + max(-coin, 0.0) * mark
    assert state.loan_maintenance[0] == pytest.approx(0.04 * owed, abs=1e-6)
    assert state.maintenance[0] == state.contract_maintenance[0] + state.loan_maintenance[0]


def test_a_listing_order_of_the_book_changes_no_bit():
    rng = np.random.default_rng(3)
    table = InstrumentTable(("A", "B"), [LINEAR, INVERSE], [1.0, 10.0], [1, 2], ("USD", "USDT", "BTC"))
    n = 12
    market = MarketState(NOW, [100.0, 50_000.0], [1.0, 1.0, 50_000.0])
    tiers = RuleBook("x", dt.date(2024, 1, 1), {"A": flat(0.013), "B": flat(0.011)}, {"USDT": FULL, "BTC": FULL})
    rules = UnifiedRules(
        "x", tiers.effective_from, tiers, StatusBands(2, None, 1), other_loans=flat(0.05, 4.0), taker_fee=0.0006
    )
    instrument, quantity, entry = rng.integers(0, 2, n), rng.normal(0, 5, n), rng.uniform(50, 150, n)

    def state_of(order):
        columns = (instrument[order], quantity[order], entry[order], np.full(n, np.nan))
        book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 2], [1, 2], [-50.0, 0.3], [0, n], *columns)
        return evaluate_unified(book, market, rules)

    one, other = state_of(np.arange(n)), state_of(rng.permutation(n))
    for name in ("equity", "contract_maintenance", "loan_maintenance", "loan_initial", "ratio"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


# --- files --------------------------------------------------------------------------------------------------------


def test_contracts_are_those_in_force_or_those_given():
    rules = load_unified("binance_portfolio")
    assert {"BTC", "BTCUSD_PERP"} <= rules.contracts.schedules.keys()
    assert rules.contracts.schedule_of("BTCUSDT") is rules.contracts.schedule_of("BTC")
    assert any(name.startswith("binance_usdm") for name in rules.contracts.sources)
    with pytest.raises(InputError, match="is before the first binance_usdm rule-book, of 2024-10-01"):
        load_unified("binance_portfolio", dt.date(2022, 6, 1))
    twice = RuleBook("y", dt.date(2024, 1, 1), {"X": flat(0.01)})
    with pytest.raises(InputError, match="column contracts: has two tier tables .found 'X'"):
        load_unified("binance_portfolio", contracts=[twice, twice])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("warned = 1.25", "warned = 0.5", "bands: levels must fall from warned to bankrupt"),
        ("warned = 1.25", "warned = nan", "bands: levels must fall from warned to bankrupt"),
        ("warned = 1.25", "", "bands warned: must be given as a number"),
        ("liquidation = 1.0", "liquidation = 1.0\nbankrupt = -1", "levels must fall from warned to bankrupt"),
        ("liquidation = 1.0", "liquidation = 1.0\nclosed = 1", "bands closed: unknown key"),
        ("taker = 0.00055", "taker = 1.5", "taker_fee: must be in [0, 1) (found 1.5)"),
        ("taker = 0.00055", "taker = nan", "taker_fee: must be in [0, 1) (found nan)"),
        ("taker = 0.00055", 'taker = "x"', "fees taker: must be given as a number"),
        ("taker = 0.00055", "closing = -1", "closing_fee: must be in [0, 1)"),
        ('borrowed = "equity"', 'borrowed = "cash"', 'borrowed: must be "equity" or "balance"'),
        ("other = [[0, inf, 0.04, 10]]", "other = [[0, inf, 0.4, 10]]", "loans other rate: is above the initial rate"),
        ("other = [[0, inf, 0.04, 10]]", "other = []", "loans other: a tier table needs at least one row"),
        ("other = [[0, inf, 0.04, 10]]", "other = 0.04", "loans other: must be given as a list"),
        ("other = [[0, inf, 0.04, 10]]", "tables = [1]", "loans tables[0]: must be a table"),
        ('unit = "amount"', 'unit = "coins"', 'haircuts unit: must be "value" or "amount"'),
        ('contracts = ["bybit_linear", "bybit_inverse"]', 'contracts = "bybit"', "contracts: must be given as a list"),
        ('contracts = ["bybit_linear", "bybit_inverse"]', "contracts = [1]", "contracts: must be names of venues"),
        ('contracts = ["bybit_linear", "bybit_inverse"]', 'contracts = ["ftx"]', "unknown venue"),
        ("[bands]", "[bunds]", "column bunds: unknown key"),
        ('model = "unified"', 'model = "united"', "column model: the rules asked for are of the model unified"),
        ("50, 0.0]]", "50, 0.9]]", "row 5, column haircuts.assets BTC: must be [floor, rate] with rates that"),
    ],
)
def test_bad_unified_files_are_refused(tmp_path, old, new, message):
    text = rulebook_in_force("bybit_unified").path.read_text()
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        read_unified(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    if "ftx" not in new:
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("section", ["bands", "haircuts", "loans", "fees"])
def test_each_section_names_its_source(tmp_path, section):
    text = rulebook_in_force("bybit_unified").path.read_text()
    before, after = text.split(f"[{section}]\n")
    path = tmp_path / "bad.toml"
    path.write_text(f"{before}[{section}]\n{after.replace('source =', 'origin =', 1)}")
    with pytest.raises(InputError, match=f"column {section} origin: unknown key"):
        read_unified(path)
    path.write_text(f"{before}[{section}]\n{after.replace('date =', '# date =', 1)}")
    with pytest.raises(InputError, match=f"column {section} date: must be given as a date"):
        read_unified(path)
