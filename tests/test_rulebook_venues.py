"""The shipped rule-books of tiered venues: they load, follow their sources, and their figures decide their hash."""

import datetime as dt
import json
import math
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.accounts import CROSS, AccountBook
from margincast.riskcore.compiled import compile_rules
from margincast.riskcore.content_hash import content_hash
from margincast.riskcore.dated_files import TIERED, list_rulebooks
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.priced_tiers import priced_rules
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook, read_rulebook, rulebook_hash
from margincast.riskcore.size_rates import evaluate_by_size, read_size_rates
from margincast.riskcore.tier_tables import risk_limit_steps, schedules_from_brackets
from margincast.riskcore.unified_file import read_unified
from margincast.riskcore.unified_margin import evaluate_unified

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
READERS = {TIERED: read_rulebook, "size_rates": read_size_rates, "unified": read_unified}
BOOKS = [(model, book) for model in READERS for book in list_rulebooks(model)]
NOW = np.datetime64("2025-01-01", "ns")
IDS = [book.path.stem for _, book in BOOKS]


def contracts_of(rules):
    return rules if isinstance(rules, RuleBook) else getattr(rules, "rules", None) or rules.contracts


@pytest.mark.parametrize(("model", "book"), BOOKS, ids=IDS)
def test_every_file_says_whose_it_is_and_where_it_comes_from(model, book):
    rules = READERS[model](book.path)
    told = rules if model != "size_rates" else rules.rules
    assert (told.venue, told.effective_from) == (book.venue, book.effective_from)
    values = tomllib.loads(book.path.read_text())
    sections = {name: part for name, part in values.items() if isinstance(part, dict)}
    assert sections and all(len(part["source"]) > 20 and "date" in part for part in sections.values())


def nudged(values):
    """Every copy of a file's values in which one figure differs: what stands in notes and sources is not one."""
    for key, value in values.items() if isinstance(values, dict) else enumerate(values):
        if key in ("date", "effective_from", "count") or isinstance(value, str | dt.date):
            continue
        if isinstance(value, dict | list):
            changed = list(nudged(value))
        elif isinstance(value, bool):
            changed = [not value]
        else:
            changed = [value * (1 - 1e-9) if value and math.isfinite(value) else None]
        for one in changed:
            if one is not None:
                copy = dict(values) if isinstance(values, dict) else list(values)
                copy[key] = one
                yield copy


def as_toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {as_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, bool | str):
        return json.dumps(value)
    return repr(value) if isinstance(value, int | float) else value.isoformat()


@pytest.mark.parametrize("name", ["binance_coinm_2020-06-11", "okx_swap_2023-05-19", "bybit_unified_2024-08-30",
                                  "deribit_futures_2019-07-01", "hyperliquid_2025-06-01"])  # fmt: skip
def test_any_figure_of_a_file_decides_its_hash(name, tmp_path):
    """A figure moved by a billionth gives another hash, or breaks the file's own consistency and is refused."""
    model, book = next(found for found in BOOKS if found[1].path.stem == name)
    values, path = tomllib.loads(book.path.read_text()), tmp_path / "nudged.toml"
    original, seen = content_hash(READERS[model](book.path)), 0
    for changed in nudged(values):
        path.write_text("\n".join(f"{key} = {as_toml(value)}" for key, value in changed.items()))
        try:
            assert content_hash(READERS[model](path)) != original
        except InputError:
            pass
        seen += 1
    path.write_text("\n".join(f"{key} = {as_toml(value)}" for key, value in values.items()))
    assert content_hash(READERS[model](path)) == original
    assert seen >= 4


def test_only_figures_make_a_hash():
    rules = load_rulebook("bitmex")
    moved = replace(rules, closing_fee=math.nextafter(rules.closing_fee, 1))
    assert rulebook_hash(rules) == rulebook_hash(replace(rules, sources={"x": "y"})) != rulebook_hash(moved)
    assert content_hash(0.5, 1.0) == content_hash(np.float64(0.5), 1) != content_hash([0.5, 1.0])
    assert len({content_hash(one) for one in (0.0, -0.0, "0", False, math.nan, math.inf, None, [], {}, "")}) == 10
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    with pytest.raises(TypeError):
        content_hash({"a": object()})


def test_unit_of_tiers_decides_the_hash():
    tiers = RateSchedule([0, 5], [0.01, 0.02], [0, 0], [50, 25])
    rules = RuleBook("x", dt.date(2024, 1, 1), {"A": tiers})
    assert rulebook_hash(rules) != rulebook_hash(replace(rules, schedules={"A": replace(tiers, unit="amount")}))


# --- what the sources print ---------------------------------------------------------------------------------------


def test_binance_coinm_is_the_formula_example():
    """Page ceccfcfb...: level 4 deducts 0.56 BTC and level 5 1.81 BTC, from which the lower rates follow."""
    schedule = load_rulebook("binance_coinm", dt.date(2020, 12, 1)).schedule_of("BTCUSD")
    np.testing.assert_allclose(schedule.deductions[3:5], [0.56, 1.81], rtol=1e-12)


def test_bitmex_prints_its_own_table():
    """https://www.bitmex.com/app/riskLimitsExamples: position size, maintenance and initial margin."""
    published = [(200, 0.005, 0.01), (350, 0.01, 0.015), (500, 0.015, 0.02), (650, 0.02, 0.025)]
    schedule = load_rulebook("bitmex").schedule_of("XBTUSD")
    for floor, (cap, maintenance, initial), k in zip([0, 200, 350, 500], published, range(4), strict=True):
        assert schedule.floors[k] == floor and schedule.floors[k + 1] == cap
        assert schedule.rates[k] == pytest.approx(maintenance, rel=1e-12)
        assert 1 / schedule.max_leverage[k] == pytest.approx(initial, rel=1e-9)
    assert schedule.maintenance([180.0, 230.0]).tolist() == pytest.approx([0.90, 2.30])


def test_bybit_quotes_its_first_two_tiers():
    """Bybit help, Maintenance Margin (USDT Contract): 0.5% to 2,000,000, 0.56% to 2,600,000."""
    schedule = load_rulebook("bybit_linear").schedule_of("BTCUSDT")
    assert schedule.rates[schedule.tier_of([2e6 - 1, 2.6e6 - 1])].tolist() == [0.005, 0.0056]
    assert schedule.maintenance(3.8e6) == pytest.approx(3.8e6 * 0.0067 - 4300)


def test_okx_steps_go_on_as_the_notice_says():
    """ADAUSDT after 2023-05-19: to 1,500, 3,000, 6,000 contracts, then 6,000 more and 0.5% more each."""
    schedule = load_rulebook("okx_swap").schedule_of("ADA-USDT-SWAP")
    sizes = [1_500, 1_501, 3_000, 3_001, 6_000, 6_001, 12_000, 12_001]
    assert schedule.unit == "amount"
    np.testing.assert_allclose(
        schedule.rates[schedule.tier_of(sizes)], [0.005, 0.0075, 0.0075, 0.01, 0.01, 0.015, 0.015, 0.02]
    )
    np.testing.assert_allclose(1 / schedule.max_leverage[:4], [1 / 75, 0.02, 0.025, 0.03])


def test_rules_that_count_contracts_are_refused_until_priced():
    rules = load_rulebook("okx_swap")
    table = InstrumentTable(
        ("ADA-USDT-SWAP", "ETH-USD-SWAP"), [LINEAR, INVERSE], [100.0, 10.0], [0, 1], ("USDT", "ETH")
    )
    book = AccountBook(table, ["a", "b"], ["m", "m"], [CROSS, CROSS], [0, 1, 2], [0, 1], [9e6, 9e3], [0, 1, 2], [0, 1],
                       [7_000.0, -20_000.0], [0.5, 2_000.0], [math.nan, math.nan])  # fmt: skip
    market = MarketState(NOW, [0.5, 2_000.0], [1.0, 2_000.0])
    with pytest.raises(InputError, match="row 0, column symbol: its tiers count amounts"):
        compile_rules(rules, table, book)
    for mark in (0.05, 0.5, 5.0):
        moved = MarketState(NOW, [mark, 2_000.0], market.index)
        state = evaluate(book, moved, priced_rules(rules, table, moved))
        # 7,000 contracts are in the fourth tier at any price: 1.5% and 0.05% of fee
        assert state.leg_maintenance[0] == pytest.approx(7_000 * 100 * mark * (0.015 + 0.0005))
    # 20,000 contracts of 10 USD are 100 ETH, in the tier of 1%
    assert state.leg_maintenance[1] == pytest.approx(100 * (0.01 + 0.0005) * 2_000.0)


@settings(max_examples=40)
@given(st.floats(1.0, 1e4), st.floats(1e-4, 0.02), st.integers(1, 12))
def test_steps_are_contiguous_and_rise_by_the_step(size, rate, count):
    rows = risk_limit_steps((0, 100.0, 0.005, 100), size, rate, rate, count)
    for k, (floor, cap, maintenance, leverage) in enumerate(rows, start=1):
        assert (floor, cap) == (rows[k - 2][1] if k > 1 else 100.0, floor + size)
        assert maintenance == pytest.approx(0.005 + k * rate, abs=1e-11)
        assert 1 / leverage == pytest.approx(0.01 + k * rate, abs=1e-11)


@pytest.mark.parametrize("key", ["size", "rate", "initial", "count"])
@pytest.mark.parametrize("value", ["0", "-1", "nan", '"x"', "true"])
def test_bad_steps_are_refused(tmp_path, key, value):
    text = (Path(list_rulebooks()[0].path).parent / "bitmex_2021-08-31.toml").read_text()
    old = {"size": "size = 150.0", "rate": "rate = 0.005", "initial": "initial = 0.005", "count": "count = 8"}[key]
    assert old in text
    path = tmp_path / "bad.toml"
    path.write_text(text.replace(old, f"{key} = {value}", 1))
    with pytest.raises(InputError, match=f"tiers.tables.0. XBTUSD.steps {key}: must be|XBTUSD steps {key}: must be"):
        read_rulebook(path)
    path.write_text(text.replace(old, f"{old}, stride = 1", 1))
    with pytest.raises(InputError, match="stride: unknown key"):
        read_rulebook(path)
    path.write_text(text.replace(f"{old},", "", 1) if key != "count" else text.replace(f", {old}", "", 1))
    with pytest.raises(InputError, match=f"steps {key}: must be given"):
        read_rulebook(path)


# --- properties of every shipped rule-book ------------------------------------------------------------------------


def a_book(rules, balances, size):
    """One pool with a position in the first contracts of a rule-book and balances in all its collateral."""
    symbols = list(contracts_of(rules).schedules)[:2]
    inverse = [name.startswith(("BTCUSD", "ETHUSD_", "XBTUSD", "ETH-USD", "BTC-PERP")) for name in symbols]
    base = contracts_of(rules).base
    assets = (base, *(a for a in contracts_of(rules).haircuts if a != base))
    n = len(symbols)
    table = InstrumentTable(tuple(symbols), [INVERSE if i else LINEAR for i in inverse], [1.0] * n, [0] * n, assets)
    held = [balances[k % len(balances)] for k in range(len(assets))]
    return AccountBook(table, ["a"], ["m"], [CROSS], [0, len(assets)], range(len(assets)), held, [0, n], range(n),
                       [size, -0.5 * size][:n], [90.0] * n, [math.nan] * n)  # fmt: skip


def margin_of(model, rules, book, market):
    if model == TIERED:
        return evaluate(book, market, priced_rules(rules, book.instruments, market))
    return evaluate_by_size(book, market, rules) if model == "size_rates" else evaluate_unified(book, market, rules)


@pytest.mark.parametrize(("model", "book"), BOOKS, ids=IDS)
@settings(max_examples=12)
@given(
    st.lists(st.floats(-1e5, 1e7), min_size=1, max_size=4), st.integers(0, 7), st.floats(1.0, 1e6), st.floats(1, 1e5)
)
def test_more_collateral_never_hurts(model, book, balances, place, more, size):
    rules = READERS[model](book.path)
    if not contracts_of(rules).schedules:
        return
    poor = a_book(rules, balances, size)
    n = len(poor.balance)
    rich = replace(poor, balance=poor.balance + more * (np.arange(n) == place % n))
    market = MarketState(NOW, [100.0] * len(poor.instruments), [1.0, *[50.0] * (n - 1)])
    before, after = margin_of(model, rules, poor, market), margin_of(model, rules, rich, market)
    scale = 1e-9 * (np.abs(poor.balance).sum() * 50 + size * 200 + more * 50)
    assert after.equity[0] >= before.equity[0] - scale
    assert after.maintenance[0] <= before.maintenance[0] + scale
    assert after.stage[0] <= before.stage[0]


@pytest.mark.parametrize(("model", "book"), BOOKS, ids=IDS)
def test_maintenance_never_falls_with_size_and_marginal_is_continuous(model, book):
    rules = READERS[model](book.path)
    marginal = tomllib.loads(book.path.read_text()).get("tiers", {}).get("kind") == "marginal"
    for schedule in contracts_of(rules).schedules.values():
        floors = schedule.floors[1:]
        below, at = schedule.maintenance(np.nextafter(floors, 0)), schedule.maintenance(floors)
        if marginal:
            np.testing.assert_allclose(below, at, rtol=1e-9, atol=0.01)
        assert (at >= below - 0.01).all()
        grid = np.linspace(0, 2 * schedule.floors[-1] + 10, 300)
        assert (np.diff(schedule.maintenance(grid)) >= -1e-9 * schedule.floors[-1] - 1e-9).all()
        assert (schedule.rates * schedule.max_leverage <= 1 + 1e-9).all()


# --- from ccxt ----------------------------------------------------------------------------------------------------


def test_a_rule_book_from_a_recorded_ccxt_reply():
    """The reply of `fetch_leverage_tiers` as ccxt gives it: None for no cap, the raw row in info."""
    reply = json.loads((Path(__file__).parent / "reference" / "ccxt_leverage_tiers.json").read_text())
    linear = schedules_from_brackets(reply["binance"], quote="USDT")
    published = load_rulebook("binance_usdm")
    assert linear.keys() == {"BTC", "ADA"}
    for coin, schedule in linear.items():
        n = len(schedule.floors)
        for name in ("floors", "rates", "deductions", "max_leverage"):
            np.testing.assert_array_equal(getattr(schedule, name), getattr(published.schedule_of(coin), name)[:n])
    rules = replace(published, schedules=linear, aliases={}, sources={"tiers": "recorded reply"})
    assert rules.schedule_of("ADA").maintenance(60_000.0) == 60_000 * 0.015 - 300
    counted = schedules_from_brackets(reply["okx"], "cliff", unit="amount")["ADA/USDT:USDT"]
    assert counted.unit == "amount" and counted.floors.tolist() == [0, 501, 1001] and counted.limit == 2000
    assert counted.rates[counted.tier_of([500, 501])].tolist() == [0.01, 0.015]


def test_the_okx_fixture_is_read_as_contracts():
    path = SHARED / "vectors" / "tiers_okx_fixture.json"
    if not path.is_file():
        pytest.skip(f"no tier tables at {path}")
    tiers = json.loads(path.read_text())["tiers"]
    rows = {name: [(low, high, rate, 0.5 / rate) for low, high, rate in table] for name, table in tiers.items()}
    schedules = schedules_from_brackets(rows, "cliff", unit="amount")
    assert schedules["ETH-like"].floors.tolist() == [0, 2001, 4001] and schedules["ETH-like"].limit == 8000
    with pytest.raises(InputError, match="row 1, column ADA-like floor: gap: the tier below ends at 500"):
        schedules_from_brackets(rows, "cliff")


# --- values -------------------------------------------------------------------------------------------------------


def test_units_are_checked():
    with pytest.raises(InputError, match='column unit: must be "value" or "amount"'):
        RateSchedule([0], [0.01], [0], [50], unit="lots")
    with pytest.raises(InputError, match='column unit: must be "value" or "amount"'):
        HaircutSchedule([0], [0.9], "lots")
    table = InstrumentTable.linear_perpetuals([], base="USD", collateral=["BTC"])
    book = AccountBook(table, ["a"], ["m"], [CROSS], [0, 1], [1], [30.0], [0, 0], [], [], [], [])
    rules = RuleBook("x", dt.date(2024, 1, 1), {}, {"BTC": HaircutSchedule([0, 10, 20], [0.98, 0.95, 0.9], "amount")})
    market = MarketState(NOW, [], [1.0, 50_000.0])
    with pytest.raises(InputError, match="row 0, column asset: its tiers count amounts"):
        evaluate(book, market, rules)
    # Bybit's illustration of ratios by quantity: 10 at 0.98, 10 at 0.95, 10 at 0.9
    assert evaluate(book, market, priced_rules(rules, table, market)).equity[0] == pytest.approx(28.3 * 50_000)


# --- the guide ----------------------------------------------------------------------------------------------------

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "rulebooks.md").read_text(encoding="utf-8")


def test_the_files_of_the_guide_are_read(tmp_path):
    whole, steps, account, rates = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    path = tmp_path / "mine.toml"
    path.write_text(whole)
    assert read_rulebook(path).schedule_of("BTCUSDT").maintenance(100_000.0) == 450.0
    path.write_text(whole[: whole.index("[tiers]")] + steps)
    assert len(read_rulebook(path).schedule_of("ADA-USDT-SWAP").floors) == 22
    path.write_text(account)
    assert read_unified(path).loan_of("BTC").rates.tolist() == [0.08]
    path.write_text(list_rulebooks("size_rates")[0].path.read_text().split("[rates.contracts")[0] + rates)
    assert read_size_rates(path).initial["BTC-PERPETUAL"].rate(350.0) == pytest.approx(0.0375)


@pytest.mark.parametrize(("model", "book"), BOOKS, ids=IDS)
def test_the_guide_names_every_file(model, book):
    assert book.venue in GUIDE and book.effective_from.isoformat() in GUIDE
