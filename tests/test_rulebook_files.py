"""Rule-book files: those shipped agree with their sources, and a bad one is refused by name."""

import datetime as dt
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from margincast.riskcore.dated_files import TIERED, list_rulebooks
from margincast.riskcore.errors import InputError
from margincast.riskcore.rulebook import HaircutSchedule, RateSchedule
from margincast.riskcore.rulebook_file import (
    SECTIONS,
    load_rulebook,
    read_rulebook,
    rulebook_hash,
    with_generic,
)
from margincast.riskcore.tier_tables import schedule_from_leverage

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))

GOOD = """
venue = "mine"
effective_from = 2024-01-01
base = "USDT"

[trigger]
strict = true
warning_ratio = 0.8
source = "contract"
date = 2024-01-01

[liquidation_price]
maintenance_at = "price"
closing_fee = 0.0005
source = "contract"
date = 2024-01-01

[haircuts]
source = "contract"
date = 2024-01-01
assets = { BTC = [[0, 0.95], [1_000_000, 0.9]] }

[tiers]
kind = "marginal"
source = "contract"
date = 2024-01-01

[[tiers.tables]]
symbols = ["BTC"]
aliases = ["XBT"]
rows = [[0, 50_000, 0.004, 125, 0], [50_000, 250_000, 0.005, 100, 50]]

[[tiers.tables]]
symbols = ["ETH", "SOL"]
rows = [[0, inf, 0.01, 50]]
"""


def written(folder, text):
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def table(name):
    path = SHARED / "vectors" / f"tiers_{name}.json"
    if not path.is_file():
        pytest.skip(f"no tier tables at {path}")
    return json.loads(path.read_text())


def test_good_file(tmp_path):
    rules = read_rulebook(written(tmp_path, GOOD))
    assert (rules.venue, rules.effective_from, rules.base) == ("mine", dt.date(2024, 1, 1), "USDT")
    assert rules.schedule_of("XBT") is rules.schedule_of("BTC")
    assert rules.schedule_of("SOL").maintenance(1e9) == 1e7
    assert rules.schedule_of("BTC").maintenance(100_000.0) == 450.0
    assert rules.haircut_of("BTC", "USDT").collateral_value(2e6) == 1_850_000.0
    assert rules.sources["tiers"] == "contract (2024-01-01)"
    assert rules.generic_symbols(("BTC", "XBT", "DOGE")) == ("DOGE",)
    assert rules.generic_assets(("USDT", "BTC", "DOGE")) == ("DOGE",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("strict = true", "strict = true\nstrikt = 1", "trigger strikt: unknown key"),
        ('base = "USDT"', 'base = "USDT"\nbass = 1', "column bass: unknown key"),
        ('venue = "mine"', "", "column venue: must be given as a str (found 'nothing')"),
        (
            "effective_from = 2024-01-01",
            "effective_from = 2024-01-01T00:00:00",
            "effective_from: must be given as a date",
        ),
        ("effective_from = 2024-01-01", 'effective_from = "2024-01-01"', "effective_from: must be given as a date"),
        ("effective_from = 2024-01-01", "effective_from = 2024-13-01", "is not valid TOML"),
        ("strict = true", "strict = 1", "trigger strict: must be given as a bool (found 1)"),
        ("warning_ratio = 0.8", "warning_ratio = 1.8", "warning_ratio: must be in (0, 1] (found 1.8)"),
        ("warning_ratio = 0.8", "warning_ratio = true", "warning_ratio: must be given as a number (found True)"),
        ('maintenance_at = "price"', 'maintenance_at = "spot"', 'maintenance_at: must be "price", "mark" or "entry"'),
        ("closing_fee = 0.0005", "closing_fee = -1", "closing_fee: must be in [0, 1)"),
        ('kind = "marginal"', 'kind = "step"', 'BTC kind: must be "marginal" or "cliff" (found \'step\')'),
        (
            'kind = "marginal"',
            'kind = "cliff"',
            "row 1, column tiers.tables[0] BTC deduction: a cliff table has no deductions",
        ),
        (
            "[50_000, 250_000",
            "[60_000, 250_000",
            "row 1, column tiers.tables[0] BTC floor: gap: the tier below ends at 50000",
        ),
        ("[50_000, 250_000", "[40_000, 250_000", "BTC floor: overlap: the tier below ends at 50000 (found 40000.0)"),
        ("[50_000, 250_000", "[50_000, 20_000", "row 1, column tiers.tables[0] BTC cap: is not above the floor 50000"),
        ("0.005, 100, 50]", "0.003, 100, 50]", "row 1, column tiers.tables[0] BTC rate: falls with size"),
        ("0.005, 100, 50]", "0.005, 150, 50]", "BTC max leverage: rises with size, the tier below has 125"),
        (
            "0.005, 100, 50]",
            "0.05, 100, 50]",
            "row 1, column tiers.tables[0] BTC rate: is above the initial rate 1/100",
        ),
        (
            "0.005, 100, 50]",
            "0.005, 100, 55]",
            "row 1, column tiers.tables[0] BTC deduction: the tiers before it imply 50",
        ),
        ("0.005, 100, 50]", "0.005, -1, 50]", "max leverage: must be positive (found -1.0)"),
        ("0.005, 100, 50]", "0.005, nan, 50]", "row 1, column tiers.tables[0] BTC: a tier is floor, cap"),
        ("0.005, 100, 50]", "0.005]", "row 1, column tiers.tables[0] BTC: a tier is floor, cap"),
        ("0.005, 100, 50]", 'true, "x", 50]', "row 1, column tiers.tables[0] BTC: a tier is a list of numbers"),
        (
            "[[0, 50_000, 0.004, 125, 0]",
            "[[0, 50_000, 0.004, 125, 9]",
            "row 0, column tiers.tables[0] BTC: floor and ded",
        ),
        (
            "[[0, 50_000, 0.004, 125, 0]",
            "[[0, 50_000, -0.004, 125, 0]",
            "row 0, column tiers.tables[0] BTC rate: must be in",
        ),
        ("rows = [[0, inf, 0.01, 50]]", "rows = []", "tiers.tables[1] ETH: a tier table needs at least one row"),
        ("rows = [[0, inf, 0.01, 50]]", "", "tiers.tables[1] ETH rows: must be given as a list"),
        (
            'symbols = ["ETH", "SOL"]',
            'symbols = ["ETH", "BTC"]',
            "tiers.tables[1] ETH symbols: is named twice (found 'BTC')",
        ),
        ('symbols = ["ETH", "SOL"]', "symbols = []", "tiers.tables[1] symbols: needs one symbol"),
        ('symbols = ["ETH", "SOL"]', "symbols = [1]", "tiers.tables[1] symbols: must be names (found 1)"),
        ('symbols = ["BTC"]', 'symbols = ["BTC", "TRX"]', "symbols: needs one symbol, or several without aliases"),
        (
            "[1_000_000, 0.9]",
            "[1_000_000, 0.97]",
            "row 1, column haircuts.assets BTC: must be [floor, rate] with rates that",
        ),
        ("[1_000_000, 0.9]", "[-5, 0.9]", "row 1, column haircuts.assets BTC floors: haircut floors must rise from 0"),
        ("[[0, 0.95]", "[[0, 1.95]", "haircuts.assets BTC rates: must be in [0, 1] (found 1.95)"),
        ("[[0, 0.95]", "[[0]", "row 0, column haircuts.assets BTC: must be [floor, rate]"),
        ("[[0, 0.95]", "[[nan, 0.95]", "row 0, column haircuts.assets BTC floors: haircut floors must rise from 0"),
        ("[[0, 0.95]", "[[0, nan]", "row 1, column haircuts.assets BTC: must be [floor, rate] with rates that"),
        ("[1_000_000, 0.9]", "[inf, 0.9]", "row 1, column haircuts.assets BTC floors: must be finite"),
        ("[1_000_000, 0.9]", "[0, 0.9]", "row 1, column haircuts.assets BTC floors: haircut floors must rise from 0"),
        ("[1_000_000, 0.9]", '[1_000_000, "x"]', "row 1, column haircuts.assets BTC: must be [floor, rate]"),
        (
            "{ BTC = [[0, 0.95], [1_000_000, 0.9]] }",
            "{ BTC = [] }",
            "haircuts.assets BTC rates: has 0 rates for 0 floors",
        ),
        ("{ BTC = [[0, 0.95], [1_000_000, 0.9]] }", "{ BTC = 0.9 }", "haircuts.assets BTC: must be given as a list"),
        ("{ BTC = [[0, 0.95], [1_000_000, 0.9]] }", "[1]", "haircuts assets: must be given as a dict"),
        ("warning_ratio = 0.8", "warning_ratio = nan", "warning_ratio: must be in (0, 1] (found nan)"),
        ("warning_ratio = 0.8", "warning_ratio = 0", "warning_ratio: must be in (0, 1] (found 0.0)"),
        ("warning_ratio = 0.8", "", "trigger warning_ratio: must be given as a number"),
        ("warning_ratio = 0.8", "warning_ratio = 0.8\nreduce_only_ratio = 7", "reduce_only_ratio: must be in (0, 1]"),
        ("closing_fee = 0.0005", "closing_fee = nan", "closing_fee: must be in [0, 1) (found nan)"),
        ("closing_fee = 0.0005", "closing_fee = inf", "closing_fee: must be in [0, 1) (found inf)"),
        ("closing_fee = 0.0005", 'closing_fee = "0"', "liquidation_price closing_fee: must be given as a number"),
        ('venue = "mine"', 'venue = ""', "column venue: must be given as a str"),
        (
            'venue = "mine"',
            'venue = "mine"\nmodel = "span"',
            "column model: the rules asked for are of the model tiered",
        ),
        ('venue = "mine"', 'venue = "mine"\nmodel = 1', "column model: must be given as a str (found 1)"),
        ('base = "USDT"', "", "column base: must be given as a str"),
        ("[50_000, 250_000", "[inf, 250_000", "BTC cap: is not above the floor inf"),
        ("[50_000, 250_000", "[50_000, 50_000", "BTC cap: is not above the floor 50000"),
        ("0.005, 100, 50]", "1.5, 100, 50]", "BTC rate: must be in (0, 1] (found 1.5)"),
        ("0.005, 100, 50]", "0.005, inf, 50]", "BTC max leverage: must be positive (found inf)"),
        ("0.005, 100, 50]", "0.005, 100, inf]", "BTC deduction: the tiers before it imply 50"),
        ("[[0, 50_000, 0.004, 125, 0]", "[[5, 50_000, 0.004, 125, 0]", "BTC: floor and deduction of the first tier"),
        (
            "[[0, 50_000, 0.004, 125, 0]",
            "[7",
            "row 0, column tiers.tables[0] BTC: a tier is a list of numbers (found 7)",
        ),
        (
            "[[0, 50_000, 0.004, 125, 0]",
            '[["0", 50_000, 0.004, 125, 0]',
            "row 0, column tiers.tables[0] BTC: a tier is a",
        ),
        (
            "[[0, 50_000, 0.004, 125, 0]",
            "[[0, 50_000, 0.004, true, 0]",
            "row 0, column tiers.tables[0] BTC: a tier is a",
        ),
        ('kind = "marginal"', 'kind = "marginal"\nunit = "lots"', 'tiers unit: must be "value" or "amount"'),
        ('kind = "marginal"', 'kind = "marginal"\nunit = 1', "tiers unit: must be given as a str"),
        ('aliases = ["XBT"]', 'aliases = ["BTC"]', "tiers.tables[0] BTC symbols: is named twice (found 'BTC')"),
        ('aliases = ["XBT"]', 'aliases = "XBT"', "tiers.tables[0] aliases: must be given as a list"),
        ('symbols = ["BTC"]', 'symbols = "BTC"', "tiers.tables[0] symbols: must be given as a list"),
    ],
)
def test_bad_file_is_refused_by_place(tmp_path, old, new, message):
    assert GOOD.count(old) >= 1
    with pytest.raises(InputError) as caught:
        read_rulebook(written(tmp_path, GOOD.replace(old, new, 1)))
    assert str(caught.value).startswith(str(tmp_path / "mine.toml")) and message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("section", ["trigger", "liquidation_price", "haircuts", "tiers"])
@pytest.mark.parametrize("key", ["source", "date"])
def test_every_group_names_source_and_date(tmp_path, section, key):
    before, after = GOOD.split(f"[{section}]")
    line = {"source": 'source = "contract"\n', "date": "date = 2024-01-01\n"}[key]
    with pytest.raises(InputError, match=f"column {section} {key}: must be given"):
        read_rulebook(written(tmp_path, f"{before}[{section}]{after.replace(line, '', 1)}"))


def test_a_file_needs_tiers_and_trigger(tmp_path):
    head = GOOD[: GOOD.index("[tiers]")]
    with pytest.raises(InputError, match=r"needs a \[tiers\] or a \[generic\] section"):
        read_rulebook(written(tmp_path, head))
    with pytest.raises(InputError, match="column trigger: must be given"):
        read_rulebook(written(tmp_path, head.replace("[trigger]", "[haircuts2]")[: head.index("[trigger]")]))
    with pytest.raises(InputError, match="tables.0.: must be a table"):
        read_rulebook(written(tmp_path, GOOD[: GOOD.index("[[tiers")] + "tables = [1]"))
    with pytest.raises(InputError, match="cannot be read"):
        read_rulebook(tmp_path / "absent.toml")


def test_shipped_files_agree_with_their_names():
    books = list_rulebooks(TIERED)
    assert {"binance_usdm", "binance_coinm", "bybit_linear", "okx_swap", "bitmex", "hyperliquid"} <= {
        book.venue for book in books
    }
    for book in books:
        rules = read_rulebook(book.path)
        assert (rules.venue, rules.effective_from) == (book.venue, book.effective_from)
        assert rules.sources.keys() <= SECTIONS.keys() and all(len(source) > 20 for source in rules.sources.values())


def test_rules_are_those_of_the_day():
    assert load_rulebook("hyperliquid", dt.date(2024, 2, 29)).maintenance_at == "mark"
    assert load_rulebook("hyperliquid", dt.date(2024, 3, 1)).maintenance_at == "price"
    assert load_rulebook("hyperliquid", dt.datetime(2024, 2, 29, 23, 59)).maintenance_at == "mark"
    assert load_rulebook("hyperliquid").effective_from == max(
        b.effective_from for b in list_rulebooks() if b.venue == "hyperliquid"
    )
    with pytest.raises(InputError, match="is before the first hyperliquid rule-book, of 2023-02-26"):
        load_rulebook("hyperliquid", dt.date(2023, 2, 25))
    with pytest.raises(InputError, match="unknown venue; there are rule-books for .*binance_usdm"):
        load_rulebook("ftx")


def test_binance_is_the_published_snapshot():
    rules, published = load_rulebook("binance_usdm"), table("binance")
    assert len(rules.schedules) == 12
    assert not rules.strict_trigger and rules.base == "USDT"
    for coin, schedule in rules.schedules.items():
        floors, caps, rates, leverage, deductions = np.array(published["tiers"][f"{coin}/USDT:USDT"]).T
        np.testing.assert_array_equal(schedule.floors, floors)
        np.testing.assert_array_equal(schedule.rates, rates)
        np.testing.assert_array_equal(schedule.max_leverage, leverage)
        np.testing.assert_array_equal(schedule.deductions, deductions)
        assert schedule.limit == caps[-1]
        assert rules.schedule_of(f"{coin}USDT") is schedule
    assert published["source"]["commit"] in rules.sources["tiers"]


def test_hyperliquid_is_the_recorded_meta():
    published, rules = table("hyperliquid"), load_rulebook("hyperliquid")
    for coin, number in published["assets"].items():
        expected = schedule_from_leverage(*np.array(published["tables"][str(number)]).T)
        for name in ("floors", "rates", "deductions", "max_leverage"):
            np.testing.assert_allclose(getattr(rules.schedule_of(coin), name), getattr(expected, name), rtol=1e-15)
    assert {rate for s in load_rulebook("hyperliquid", dt.date(2023, 6, 1)).schedules.values() for rate in s.rates} == {
        0.01
    }


def test_hyperliquid_maintenance_is_half_the_initial_margin():
    for book in list_rulebooks():
        if book.venue == "hyperliquid":
            for schedule in read_rulebook(book.path).schedules.values():
                np.testing.assert_allclose(schedule.rates * schedule.max_leverage, 0.5, rtol=1e-15)


def test_generic_fills_in_only_what_is_missing():
    plain = load_rulebook("binance_usdm")
    rules, own = with_generic(plain), load_rulebook("generic_usdm")
    assert rules.schedule_of("BTC") is plain.schedule_of("BTC")
    np.testing.assert_array_equal(rules.schedule_of("NEWCOIN").rates, own.generic.rates)
    assert rules.haircut_of("LTC", "USDT").collateral_value(1000.0) == 800.0
    assert rules.haircut_of("BTC", "USDT").collateral_value(1000.0) == 950.0
    assert rules.haircut_of("USDT", "USDT").collateral_value(1000.0) == 1000.0
    assert rules.generic_symbols(("PEPE", "ETHUSDT", "NEWCOIN")) == ("NEWCOIN",)
    assert rules.generic_assets(("USDT", "BTC", "LTC")) == ("LTC",)
    assert "not a venue figure" in rules.sources["generic"]
    for refused in (lambda: plain.schedule_of("NEWCOIN"), lambda: plain.haircut_of("LTC", "USDT")):
        with pytest.raises(InputError):
            refused()
    kept = with_generic(replace(plain, generic=RateSchedule.cliff([0], [0.2], [5])))
    assert kept.schedule_of("NEWCOIN").rates.tolist() == [0.2]


def test_generic_is_near_the_median_of_published_tables():
    generic, tiers = load_rulebook("generic_usdm").generic, table("binance")["tiers"]
    sizes = np.array([1e3, 1e5, 1e6, 5e6])
    published = [
        RateSchedule.marginal(*np.array(rows).T[[0, 2, 3]])
        for name, rows in tiers.items()
        if name.endswith("/USDT:USDT")
    ]
    median = np.median([schedule.maintenance(sizes) / sizes for schedule in published], axis=0)
    np.testing.assert_allclose(generic.maintenance(sizes) / sizes, median, rtol=0.25)


def test_hash_sees_every_figure(tmp_path):
    rules = read_rulebook(written(tmp_path, GOOD))
    tier = rules.schedules["BTC"]
    nudged = replace(tier, rates=np.nextafter(tier.rates, 1))
    others = [
        replace(rules, schedules={**rules.schedules, "BTC": nudged}),
        replace(rules, schedules={**rules.schedules, "BTC": replace(tier, limit=3e5)}),
        replace(rules, schedules={"BTC": tier}),
        replace(rules, haircuts={"BTC": HaircutSchedule([0], [0.95])}),
        replace(rules, generic=tier),
        replace(rules, generic_haircut=HaircutSchedule([0], [0.5])),
        replace(rules, aliases={}),
        replace(rules, base="USDC"),
        replace(rules, strict_trigger=False),
        replace(rules, maintenance_at="mark"),
        replace(rules, closing_fee=0.0),
        replace(rules, warning_ratio=0.9),
        replace(rules, reduce_only_ratio=0.9),
        replace(rules, venue="other"),
        replace(rules, effective_from=dt.date(2024, 1, 2)),
    ]
    hashes = [rulebook_hash(r) for r in (rules, *others)]
    assert len(set(hashes)) == len(hashes)
    reordered = replace(rules, schedules=dict(reversed(rules.schedules.items())), sources={})
    assert rulebook_hash(reordered) == hashes[0]
    assert rulebook_hash(read_rulebook(written(tmp_path, GOOD.replace("contract", "letter")))) == hashes[0]
