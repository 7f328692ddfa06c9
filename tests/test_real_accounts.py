"""The 131 real accounts of 2023: positions against the official figures, liquidations found or accounted for."""

import datetime as dt
import importlib.util
import io
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from margincast.features.accounts.account_bars import account_bars
from margincast.features.accounts.behaviour import AccountBehaviour
from margincast.features.accounts.events import Kind
from margincast.features.accounts.faults import Fault, history_faults
from margincast.features.accounts.rebuild import apply_events, balances, rebuild, start_accounts, states_at
from margincast.features.engine.step import run_step
from margincast.riskcore.rulebook_file import load_rulebook

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FOLDER = SHARED / "data" / "real_accounts_2023"
PAGE = ROOT / "docs" / "real_accounts.md"

needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"real accounts are not at {FOLDER}")


@pytest.fixture(scope="module")
def script():
    """The script that prints the tables, as a module."""
    place = ROOT / "benchmarks" / "real_accounts.py"
    found = importlib.util.spec_from_file_location("real_accounts_script", place)
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    yield module
    del sys.modules[found.name]


@pytest.fixture(scope="module")
def study(script):
    return script.load(SHARED)


@pytest.fixture(scope="module")
def judged(script, study):
    return script.judge_liquidations(study)


@pytest.fixture(scope="module")
def alarms(script, study, judged):
    return script.judge_alarms(study, judged)


@needs_data
def test_every_account_is_rebuilt_from_every_event(study):
    events = study.events
    traders = np.unique(events.account[events.kind == Kind.TRADE])
    assert (len(traders), study.history.rows) == (131, {"trades": 22_848, "transfers": 282, "liquidations": 30})
    state = rebuild(events)
    assert (state["by_kind"].sum(axis=0)[[Kind.TRADE, Kind.LIQUIDATION]]).tolist() == [22_848, 30]
    bought = np.zeros_like(state["lots"])
    np.add.at(bought, (events.account[events.kind == Kind.TRADE], events.instrument[events.kind == Kind.TRADE]),
              events.quantity_lots[events.kind == Kind.TRADE])  # fmt: skip
    np.testing.assert_array_equal(state["lots"], bought)


@needs_data
def test_liquidated_notional_is_rebuilt_within_five_per_cent(study, judged):
    """At the prices of the fills; no figure of the liquidation table goes into the rebuilt notional."""
    apart = np.array([one.rebuilt_notional / one.official_notional - 1 for one in judged])
    assert len(judged) == 30
    assert np.mean(np.abs(apart) <= 0.05) >= 0.95
    assert np.abs(apart).max() < 0.0101


@needs_data
def test_positions_are_rebuilt_to_the_last_lot(study):
    """What a liquidation filled is all that was held; the official notional over it is a price of six digits."""
    events = study.events
    told, digits = np.flatnonzero(events.kind == Kind.LIQUIDATION), 0
    for row in told:
        account, time = events.account[row], events.time[row]
        book = states_at(events, [time - np.timedelta64(1, "ns")])[0].take(np.array([account]))
        fills = np.flatnonzero(events.forced & (events.account == account) & (events.time == time))
        assert dict(zip(book.position_instrument.tolist(), book.quantity.tolist(), strict=True)) == dict(
            zip(events.instrument[fills].tolist(), (-events.quantity[fills]).tolist(), strict=True)
        )
        if len(fills) == 1:
            mark = events.notional[row] / abs(events.quantity[fills[0]])
            assert mark == pytest.approx(float(f"{mark:.6g}"), rel=1e-9)
            digits += 1
    assert digits == 28


@needs_data
def test_the_rule_of_2023_agrees_with_every_official_liquidation(judged):
    """Official equity lies below the core's maintenance margin, 1% of the rebuilt positions, by at most half of it."""
    usage = np.array([one.official_equity / one.maintenance for one in judged])
    assert (usage < 1).all() and (usage > 0.5).all()
    assert [one.maintenance / one.official_notional for one in judged] == pytest.approx([0.01] * 30, rel=1e-4)


@needs_data
def test_accounts_that_never_met_funding_are_emptied_to_a_millionth(script, study):
    """They show that fees were zero and that no fill is missing: one at 2.5 basis points would leave more."""
    never = [one for one in script.emptied_accounts(study.events) if one.notional_hours == 0 and one.fills]
    assert len(never) == 14
    assert sum(abs(one.left) < 1e-6 for one in never) == 13
    assert sum(one.fills for one in never) > 300


@needs_data
def test_each_liquidation_is_found_within_an_hour_or_accounted_for(judged):
    found = [one for one in judged if one.found]
    assert len(found) >= 17
    known = [one for one in judged if not one.unpriced and abs(one.gap) <= 0.0025 * one.official_notional]
    assert len(known) >= 16 and all(one.found for one in known)
    told = set(re.findall(r"^\*\*No\. (\d+)\*\*, (\w+)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert told == {(str(one.number), one.account.removeprefix("acct_")) for one in judged if not one.found}


@needs_data
def test_the_official_mark_lies_within_the_bar_it_is_held_against(script, study):
    inside, priced = (int(figure) for figure in script._inside(study).split(" of "))
    assert inside == priced == 27


@needs_data
def test_no_alarm_is_left_without_an_account_of_it(alarms):
    verdicts = {one.verdict for one in alarms}
    assert verdicts <= {"money not in the ledger", "changed within the hour", "within funding"}
    certain = [one for one in alarms if one.certain and one.verdict != "money not in the ledger"]
    assert len(certain) <= 6 and len({one.account for one in certain}) <= 3


@needs_data
def test_the_page_has_the_tables_that_the_script_prints(script, study, judged, alarms):
    page = PAGE.read_text(encoding="utf-8")
    for table in (
        script.summary_table(study, judged, alarms),
        script.source_table(study),
        script.liquidation_table(judged),
        script.alarm_table(alarms),
    ):
        assert table in page, f"docs/real_accounts.md lacks:\n{table}"


def test_the_page_names_the_rule_book_by_a_call_that_finds_it():
    """Of the file that the script's tables are made with; the newest rules of the venue are others."""
    page = PAGE.read_text(encoding="utf-8")
    call, since = re.search(r"`(load_rulebook\(.*?\))`, in force from (\S+):", page).groups()
    rules = eval(call, {"load_rulebook": load_rulebook, "dt": dt})
    assert rules.effective_from == dt.date.fromisoformat(since)
    assert call in (ROOT / "benchmarks" / "real_accounts.py").read_text(encoding="utf-8")
    assert float(rules.schedule_of("BTC").maintenance(10_000.0)) == pytest.approx(100.0)


@needs_data
def test_what_cannot_have_been_is_told(study):
    told = {(one.account, one.fault): one for one in history_faults(rebuild(study.events), study.events.accounts)}
    unfunded = {account for account, fault in told if fault == Fault.UNFUNDED}
    without = {
        name for place, name in enumerate(study.events.accounts)
        if (study.events.kind[study.events.account == place] == Kind.TRADE).any()
        and not (study.events.kind[study.events.account == place] == Kind.DEPOSIT).any()
    }  # fmt: skip
    assert len(without) == 4 and without < unfunded
    overdrawn = told["acct_27054e57cf", Fault.OVERDRAWN]
    assert (overdrawn.times, round(overdrawn.largest, 2)) == (5, 236.19)


@needs_data
def test_the_stream_of_real_events_restarted_now_and_then_gives_the_same_bits(study):
    events = study.events
    state = start_accounts(len(events.accounts), events.instruments)
    for row in range(len(events)):
        apply_events(state, events, row, row + 1)
        if row % 5_000 == 0:
            stored = io.BytesIO()
            np.savez(stored, **state)
            stored.seek(0)
            with np.load(stored, allow_pickle=False) as loaded:
                state = {name: loaded[name].copy() for name in loaded.files}
    whole = rebuild(events)
    for name, values in whole.items():
        np.testing.assert_array_equal(state[name], values, err_msg=name)
    np.testing.assert_array_equal(balances(state), balances(whole))


@needs_data
def test_behaviour_of_real_accounts_adds_up(study):
    bars = study.path
    step = AccountBehaviour(bars.bar_hours)
    names = [one.name for one in step.declarations]
    last = run_step(step, bars, np.array([len(bars)]))[0]
    liquidations = np.bincount(study.events.account[study.events.kind == Kind.LIQUIDATION], minlength=len(bars.symbols))
    np.testing.assert_array_equal(last[:, names.index("past_liquidations")], liquidations)
    rate = last[:, names.index("win_rate")]
    assert np.nanmin(rate) >= 0 and np.nanmax(rate) <= 1 and np.isfinite(rate).sum() > 100
    age = last[:, names.index("hours_since_deposit")]
    assert np.isfinite(age).sum() == 142 and np.nanmin(age) > 0


@needs_data
def test_events_after_an_hour_change_no_bar_before_it(study):
    events, market, cut = study.events, study.market, 1_000
    early = events.take(np.arange(events.until(market.times[cut])))
    prices = {name: getattr(market, name)[: cut + 50].copy() for name in ("open", "high", "low", "close", "funding")}
    for name in ("open", "high", "low", "close"):
        prices[name][cut:] = 7.0
    short = account_bars(early, replace(market, times=market.times[: cut + 50], **prices), study.rules)
    for name, values in study.path.columns.items():
        np.testing.assert_array_equal(short.columns[name][:cut], values[:cut], err_msg=name)


@needs_data
def test_the_page_of_paths_shows_every_liquidated_account(script, study, judged, tmp_path):
    views = script.paths_of(study, judged)
    near, whole = views.values()
    assert (len(near), len(whole)) == (30, 24)
    assert sum(len(path.official) for path in whole) == 30
    script.write_account_page(views, tmp_path / "accounts.html", title="t", subtitle="s", lead="l")
    page = (tmp_path / "accounts.html").read_text(encoding="utf-8")
    assert all(one.account.removeprefix("acct_") in page for one in judged)
