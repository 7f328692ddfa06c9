"""Schedules from tier tables in the layouts venues and ccxt use."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.rulebook import RateSchedule
from margincast.riskcore.tier_tables import schedule_from_leverage, schedule_from_tiers, schedules_from_brackets

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))


@pytest.fixture(scope="module")
def published():
    path = SHARED / "vectors" / "tiers_binance.json"
    if not path.is_file():
        pytest.skip(f"no tier tables at {path}")
    return json.loads(path.read_text())["tiers"]


def binance_layout(tables):
    keys = ("notionalFloor", "notionalCap", "maintMarginRatio", "initialLeverage", "cum")
    return [
        {"symbol": name.split(":")[0].replace("/", ""), "brackets": [dict(zip(keys, row, strict=True)) for row in rows]}
        for name, rows in tables.items()
    ]


def ccxt_layout(tables):
    keys = ("minNotional", "maxNotional", "maintenanceMarginRate", "maxLeverage")
    return {
        name: [dict(zip(keys, row[:4], strict=True)) | {"info": {"cum": str(row[4])}} for row in rows]
        for name, rows in tables.items()
    }


def test_complete_binance_table(published):
    schedules = schedules_from_brackets(published)
    assert len(schedules) == 349 and sum(len(s.floors) for s in schedules.values()) == 2805
    for name, schedule in schedules.items():
        np.testing.assert_array_equal(schedule.deductions, np.array(published[name])[:, 4])
    without_deductions = {name: [row[:4] for row in rows] for name, rows in published.items()}
    for name, schedule in schedules_from_brackets(without_deductions).items():
        np.testing.assert_allclose(schedule.deductions, schedules[name].deductions, rtol=1e-6, atol=0.01)


def test_layouts_agree(published):
    perpetuals = {name: rows for name, rows in published.items() if name.endswith("/USDT:USDT")}
    rows, ccxt, binance = (
        schedules_from_brackets(layout, quote="USDT")
        for layout in (published, ccxt_layout(published), binance_layout(perpetuals))
    )
    assert rows.keys() == ccxt.keys() == binance.keys() == {name.split("/")[0] for name in perpetuals}
    for coin, schedule in rows.items():
        for other in (ccxt[coin], binance[coin]):
            for name, column in vars(schedule).items():
                np.testing.assert_array_equal(getattr(other, name), column)


def test_coin_margined_brackets_and_open_caps():
    coin = [{"symbol": "BTCUSD_PERP", "brackets": [
        {"bracket": 1, "initialLeverage": 125, "qtyFloor": 0, "qtyCap": 5, "maintMarginRatio": 0.004, "cum": 0.0},
        {"bracket": 2, "initialLeverage": 100, "qtyFloor": 5, "qtyCap": 10, "maintMarginRatio": 0.005, "cum": 0.005},
    ]}]  # fmt: skip
    assert schedules_from_brackets(coin)["BTCUSD_PERP"].deductions.tolist() == [0.0, 0.005]
    assert schedules_from_brackets(coin, quote="USDT") == {}
    open_cap = {
        "A/USDC:USDC": [
            {"minNotional": 0, "maxNotional": None, "maintenanceMarginRate": 0.01, "maxLeverage": 50, "info": {}}
        ]
    }
    assert schedules_from_brackets(open_cap, quote="USDC")["A"].limit == math.inf


def test_cliff_layout_keeps_the_rate_for_the_whole_position():
    schedules = schedules_from_brackets({"ADA": [(0, 500, 0.01, 50), (500, 1000, 0.015, 20)]}, "cliff")
    assert schedules["ADA"].maintenance([499.0, 500.0, 800.0]).tolist() == [4.99, 7.5, 12.0]


@pytest.mark.parametrize(
    ("brackets", "message"),
    [
        ({"AAVE": [[0, 10, 0.01, 50, 0.0], [100, 200, 0.02, 20, 1.0]]}, "row 1, column AAVE floor: gap: the tier"),
        ({"BTC": [{"floor": 0}]}, "column BTC: is not a tier of a known layout"),
        ({"BTC": ["0-5"]}, "column BTC: is not a tier of a known layout"),
        ([{"tiers": []}], "row 0: is not a contract with its brackets"),
        ([{"symbol": "BTCUSDT", "brackets": []}], "column BTCUSDT: a tier table needs at least one row"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_by_place(brackets, message):
    with pytest.raises(InputError) as caught:
        schedules_from_brackets(brackets, file="reply.json")
    assert str(caught.value).startswith("reply.json") and message in str(caught.value)


def test_one_coin_twice_is_refused():
    rows = [(0, 10, 0.01, 50)]
    with pytest.raises(InputError, match="row 1, column symbol: has two tier tables"):
        schedules_from_brackets({"BTC/USDT:USDT": rows, "BTCUSDT": rows}, quote="USDT")


@st.composite
def tables(draw):
    n = draw(st.integers(1, 6))
    steps = draw(st.lists(st.floats(1.0, 1e6), min_size=n, max_size=n))
    rates = sorted(draw(st.lists(st.floats(1e-4, 0.5), min_size=n, max_size=n)))
    caps = np.cumsum(steps)
    return [(float(cap - step) if i else 0.0, float(cap), rate, 0.5 / rate) for i, (cap, step, rate) in
            enumerate(zip(caps, steps, rates, strict=True))]  # fmt: skip


@settings(derandomize=True, max_examples=60, deadline=None)
@given(tables())
def test_marginal_maintenance_is_continuous_and_never_falls(rows):
    rows = [(rows[i - 1][1] if i else 0.0, *row[1:]) for i, row in enumerate(rows)]
    schedule = schedule_from_tiers(rows)
    floors = schedule.floors[1:]
    below, at = schedule.maintenance(np.nextafter(floors, 0)), schedule.maintenance(floors)
    np.testing.assert_allclose(below, at, rtol=1e-9, atol=1e-9)
    notionals = np.linspace(0, 2 * schedule.floors[-1] + 10, 400)
    assert (np.diff(schedule.maintenance(notionals)) >= -1e-9).all()
    by_parts = np.interp(notionals, [*schedule.floors, 1e12], schedule.maintenance([*schedule.floors, 1e12]))
    np.testing.assert_allclose(schedule.maintenance(notionals), by_parts, rtol=1e-6, atol=1e-6)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(tables(), st.floats(0.0, 1e7))
def test_leverage_for_a_margin_is_the_largest_that_fits(rows, margin):
    floors, leverage = [rows[i - 1][1] if i else 0.0 for i in range(len(rows))], [row[3] for row in rows]
    schedule = RateSchedule.cliff(floors, [row[2] for row in rows], leverage)
    best = schedule.leverage_for(margin)
    tried = np.geomspace(leverage[-1], leverage[0], 200)
    allowed = [
        lev for lev in tried if lev <= schedule.max_leverage[schedule.tier_of(margin * lev * (1 - 1e-9))] * (1 + 1e-12)
    ]
    assert max(allowed) <= best * (1 + 1e-9)
    assert best <= leverage[0] and best >= leverage[-1]


def test_a_gap_between_tiers_lends_its_leverage_to_neither():
    """AAVE as freqtrade's tests hold it: nothing is said of notionals between 1 and 10 million."""
    schedule = RateSchedule([0, 250_000, 10_000_000], [0.1, 0.125, 0.5], [0, 0, 0], [5, 2, 1], limit=50_000_000.0)
    caps = [250_000, 1_000_000, 50_000_000]
    found = [schedule.leverage_for(margin, caps) for margin in (0.0, 100_000, 400_000, 800_000, 2_000_000)]
    assert found == [5.0, 2.5, 2.0, 1.25, 1.0]
    assert schedule.leverage_for(800_000) == 2.0
    with pytest.raises(InputError, match="column caps: must have one value a tier"):
        schedule.leverage_for(1.0, caps[:2])


def test_max_leverage_schedule_by_hand():
    schedule = schedule_from_leverage([0, 20_000, 100_000], [10, 5, 3])
    np.testing.assert_allclose(schedule.rates, [1 / 20, 1 / 10, 1 / 6])
    np.testing.assert_allclose(schedule.deductions, [0, 1_000, 1_000 + 100_000 * (1 / 6 - 1 / 10)])
    with pytest.raises(InputError, match="limit: must be above the floor of the last tier"):
        RateSchedule([0, 10], [0.01, 0.02], [0, 0.1], [50, 25], limit=10.0)
