"""Behavioural features of accounts: held to the contract of every step, and to numbers worked out by hand."""

import numpy as np
import pytest
from step_parity import hold

from margincast.features.accounts.account_bars import ACCOUNT_COLUMNS
from margincast.features.accounts.behaviour import AccountBehaviour
from margincast.features.engine.bars import BarTable
from margincast.features.engine.step import Step, run_step
from margincast.riskcore.errors import InputError

START, HOUR = np.datetime64("2024-01-01", "ns"), np.timedelta64(1, "h")
STEP = AccountBehaviour(1.0)
NAMES = [one.name for one in STEP.declarations]


def quiet(bars, accounts=1, step=HOUR):
    """A table in which nothing happens to flat accounts with an equity of 100."""
    columns = {name: np.zeros((bars, accounts)) for name in ACCOUNT_COLUMNS}
    columns["equity"][:] = 100.0
    columns["deposit_age"][:] = np.nan
    names = tuple(f"a{k}" for k in range(accounts))
    return BarTable(START + np.arange(bars) * step, step, names, columns)


def drawn(seed, bars, accounts=4):
    """Busy accounts: every column moves, equity sinks now and then, some marks are missing."""
    rng = np.random.default_rng(seed)
    table = quiet(bars, accounts)
    shape = (bars, accounts)
    columns = {name: np.zeros(shape) for name in ACCOUNT_COLUMNS}
    for name, most in (("trades", 6), ("reducing", 3), ("wins", 2), ("losses", 2), ("liquidations", 2)):
        columns[name] = rng.integers(0, most, shape) * (rng.random(shape) < 0.3)
    for name in ("deposits", "withdrawals", "turnover"):
        columns[name] = rng.uniform(1, 100, shape) * (rng.random(shape) < 0.1)
    columns["trades"] = np.maximum(columns["trades"], columns["reducing"])
    columns["deposit_age"] = rng.uniform(0, 50, shape)
    columns["equity"] = rng.normal(60, 40, shape)
    columns["notional"] = rng.uniform(0, 1500, shape)
    columns["maintenance"] = columns["notional"] * rng.uniform(0.005, 0.1, shape)
    columns["risk"] = rng.uniform(1, 5, shape)
    gone = rng.random(shape) < 0.004
    for name in ("equity", "maintenance", "notional", "risk"):
        columns[name] = np.where(gone, np.nan, columns[name])
    return BarTable(table.times, HOUR, table.symbols, columns)


def test_the_step_keeps_the_contract():
    assert isinstance(STEP, Step)
    hold(STEP, drawn(1, 420), 260)


def test_every_feature_says_what_it_is():
    assert len(set(NAMES)) == len(NAMES)
    for one in STEP.declarations:
        assert one.summary.endswith(".") and one.unit and one.missing
        assert set(one.inputs) <= set(ACCOUNT_COLUMNS)
    assert set(ACCOUNT_COLUMNS) == {name for one in STEP.declarations for name in one.inputs}


def last(table, name, step=STEP):
    return run_step(step, table, np.array([len(table)]))[0, :, [one.name for one in step.declarations].index(name)]


def with_columns(table, **changes):
    """The table with values put into columns at (bar, account)."""
    columns = {name: values.copy() for name, values in table.columns.items()}
    for name, places in changes.items():
        for place, value in places.items():
            columns[name][place] = value
    return BarTable(table.times, table.step, table.symbols, columns)


def test_windows_hold_exactly_their_bars():
    """200 bars: the last day is 176 .. 199, the last week 32 .. 199."""
    table = with_columns(
        quiet(200),
        deposits={(31, 0): 1000.0, (32, 0): 30.0, (175, 0): 5.0, (176, 0): 20.0},
        withdrawals={(199, 0): 8.0},
        trades={(31, 0): 50.0, (32, 0): 6.0, (176, 0): 2.0},
        reducing={(31, 0): 50.0, (176, 0): 2.0},
        turnover={(32, 0): 700.0, (180, 0): 300.0},
    )
    assert last(table, "net_deposits_24h")[0] == pytest.approx(0.12)
    assert last(table, "net_deposits_7d")[0] == pytest.approx(0.47)
    assert last(table, "trade_rate_24h")[0] == pytest.approx(2 / 24)
    assert last(table, "turnover_24h")[0] == pytest.approx(3.0)
    assert last(table, "turnover_7d")[0] == pytest.approx(10 / 7)
    assert last(table, "reducing_share_7d")[0] == pytest.approx(0.25)


def test_shorter_bars_keep_the_hours():
    half = np.timedelta64(30, "m")
    table = with_columns(quiet(400, step=half), turnover={(351, 0): 999.0, (352, 0): 100.0}, equity={(399, 0): 50.0})
    assert last(table, "turnover_24h", AccountBehaviour(0.5))[0] == pytest.approx(2.0)
    before = with_columns(quiet(8, step=half), equity={(5, 0): 90.0, (6, 0): 0.0, (7, 0): 100.0}, risk={(7, 0): 4.0})
    assert last(before, "headroom_change_1h", AccountBehaviour(0.5))[0] == pytest.approx(10 / 4)
    with pytest.raises(InputError, match="column bar_hours: must go into an hour"):
        AccountBehaviour(0.7)


def test_leverage_and_headroom_are_compared_with_their_past():
    table = with_columns(
        quiet(30),
        notional={(5, 0): 200.0, (29, 0): 800.0},
        maintenance={(23, 0): 1.0, (28, 0): 2.0, (29, 0): 8.0},
        equity={(29, 0): 80.0, (23, 0): 151.0},
        risk={(29, 0): 2.0},
    )
    assert last(table, "leverage_change_24h")[0] == pytest.approx(np.log((800 / 80) / (200 / 100)))
    assert last(table, "headroom_change_1h")[0] == pytest.approx((72 - 98) / 2)
    assert last(table, "headroom_change_6h")[0] == pytest.approx((72 - 150) / 2 / 6)


def test_counts_so_far():
    table = with_columns(
        quiet(20),
        wins={(1, 0): 2.0, (12, 0): 1.0},
        losses={(3, 0): 1.0},
        liquidations={(4, 0): 1.0, (9, 0): 1.0},
        deposit_age={(19, 0): 7.25},
    )
    assert last(table, "win_rate")[0] == 0.75
    assert last(table, "past_liquidations")[0] == 2.0
    assert last(table, "hours_since_deposit")[0] == 7.25


def test_time_under_high_leverage_counts_known_closes():
    table = with_columns(
        quiet(10),
        notional={(0, 0): 1000.0, (1, 0): 999.0, (2, 0): 50.0, (3, 0): np.nan},
        equity={(2, 0): -1.0},
    )
    assert last(table, "high_leverage_share_7d")[0] == pytest.approx(2 / 9)


def test_a_spell_of_stress_is_answered_once():
    """Spells at 2..4 (deposit within), 6 (none: the deposit comes after), 8..9 (cured by the deposit of the bar)."""
    stressed = {(bar, 0): 50.0 for bar in (2, 3, 4, 6, 8)}
    table = with_columns(
        quiet(12),
        maintenance=stressed,
        notional=stressed,
        deposits={(3, 0): 5.0, (4, 0): 5.0, (9, 0): 1.0, (11, 0): 4.0},
    )
    assert last(table, "stress_deposit_share")[0] == pytest.approx(2 / 3)
    opening = with_columns(quiet(4), maintenance={(2, 0): 50.0}, deposits={(2, 0): 5.0})
    assert last(opening, "stress_deposit_share")[0] == 0.0
    unknown = with_columns(
        quiet(5), maintenance={(1, 0): 60.0, (3, 0): 60.0}, equity={(2, 0): np.nan}, deposits={(3, 0): 1.0}
    )
    assert last(unknown, "stress_deposit_share")[0] == 1.0


def test_what_is_not_known_is_nan():
    values = dict(zip(NAMES, run_step(STEP, quiet(10), np.array([10]))[0, 0], strict=True))
    known = {"high_leverage_share_7d": 0.0, "past_liquidations": 0.0}
    assert {name: value for name, value in values.items() if not np.isnan(value)} == known
    broke = with_columns(quiet(200), equity={(199, 0): 0.0}, deposits={(190, 0): 5.0})
    assert np.isnan(last(broke, "net_deposits_24h")[0])
    first = run_step(STEP, quiet(3), np.array([0]))[0, 0]
    assert np.isnan(np.delete(first, NAMES.index("past_liquidations"))).all()


def test_accounts_do_not_touch_each_other():
    table = drawn(3, 200)
    whole = run_step(STEP, table, np.arange(201))
    other = drawn(4, 200)
    columns = {n: np.column_stack((v[:, :1], other.columns[n][:, 1:])) for n, v in table.columns.items()}
    mixed = run_step(STEP, BarTable(table.times, HOUR, table.symbols, columns), np.arange(201))
    np.testing.assert_array_equal(whole[:, 0], mixed[:, 0])
