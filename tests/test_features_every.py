"""Every feature there is, together: a week of real bars live, restored and in batch; no look ahead."""

import os
from pathlib import Path

import numpy as np
import pytest
import step_parity
from test_features_engine import draw_table
from test_features_feed import halves, spoilt

from margincast.features import catalogue_page
from margincast.features.bar_table import bar_table
from margincast.features.catalogue import choose, every_feature
from margincast.features.clock import Clock
from margincast.features.engine.bars import BarTable
from margincast.features.engine.expression import column
from margincast.features.engine.external import ExternalSeries, with_series
from margincast.features.engine.feed import BarFeed, table_of, ticks_of
from margincast.features.engine.formula import Formula
from margincast.features.engine.operations import ewma
from margincast.features.engine.program import Program
from margincast.features.readers.folder import read_market_folder
from margincast.features.releases import Releases
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HOUR = np.timedelta64(1, "h")
BARS, WEEK = 4200, 168 + 24


@pytest.fixture(scope="module")
def table():
    """Real hourly bars where there are any; the columns they lack (and all without them) are drawn, not real."""
    drawn = draw_table(21, bars=BARS, symbols=5)
    rng = np.random.default_rng(22)
    forced = {f"liquidated_{side}": rng.lognormal(8, 2, (BARS, 5)) for side in ("long", "short")}
    columns = {**drawn.columns, **forced, "liquidation_events": rng.poisson(40, (BARS, 5)) * 1.0}
    if not (SHARED / "data" / "binance_1h").is_dir():
        return BarTable(drawn.times, HOUR, drawn.symbols, columns)
    real = bar_table(read_market_folder(SHARED / "data" / "binance_1h"))
    columns |= {name: values[-BARS:] for name, values in real.columns.items()}
    return BarTable(real.times[-BARS:], HOUR, real.symbols, columns)


@pytest.fixture(scope="module")
def features(table):
    return every_feature(table)


@pytest.fixture(scope="module")
def week(features, table):
    return features.batch(table, np.arange(BARS - WEEK, BARS + 1))


def test_nothing_is_left_out_of_a_market_that_has_everything(table, features):
    assert choose(table).left_out == {}
    assert len(features.names) == len(set(features.names)) > 150
    lacking = [one.name for one in features.declarations if not (one.summary and one.unit and one.missing)]
    assert {one.lag_hours for one in features.declarations} == {0.0}
    assert lacking == []


def test_every_feature_is_known_in_the_last_week(week):
    unknown = [name for name in week.names if np.isnan(week.column(name)).all()]
    assert unknown == []
    infinite = [name for name in week.names if np.isinf(week.column(name)).any()]
    assert infinite == []


def test_a_week_live_with_restarts_is_the_batch_bit_for_bit(table, features, week):
    live, said = features.live(table.symbols), []
    for bar in range(BARS):
        live.update(table.row(bar))
        if bar >= BARS - WEEK - 1:
            said.append(live.values())
            if bar % 25 == 0:
                live = features.restored(live.checkpoint())
    agree = step_parity.same(np.stack(said), week.values)
    assert [week.names[k] for k in np.flatnonzero(~agree.all(axis=(0, 1)))] == []


def test_a_week_through_a_bad_line_is_the_batch_bit_for_bit(table, features):
    """After a history, ticks that are lost, doubled, reordered and late, with restarts: as a batch over what came."""
    rng, past = np.random.default_rng(6), BARS - WEEK
    live, rows, said = features.live(table.symbols), [], []
    live.run(table.part(0, past))
    feed = BarFeed(table.symbols, HOUR, tuple(table.columns), np.timedelta64(55, "m"), first=live.closed)
    for now, (symbol, time, values) in spoilt(list(halves(ticks_of(table.part(past, BARS)))), rng, lost=0.04):
        for row in feed.advance(now):
            live.update(row)
            rows.append(row)
            said.append(live.values())
            if len(rows) % 30 == 0:
                live = features.restored(live.checkpoint())
        feed.push(symbol, time, values)
    received = table_of(rows, table.symbols)
    both = {name: np.vstack([c[:past], received.columns[name]]) for name, c in table.columns.items()}
    whole = BarTable(table.times[: past + len(rows)], HOUR, table.symbols, both)
    frame = features.batch(whole, np.arange(past + 1, len(whole) + 1))
    agree = step_parity.same(np.stack(said), frame.values)
    assert [frame.names[k] for k in np.flatnonzero(~agree.all(axis=(0, 1)))] == []
    counts = feed.counts
    assert min(counts.duplicates, counts.late, counts.reordered, sum(counts.missing.values())) > 0


def with_a_calm_future(table, first):
    """The same bars before `first`, then a market that hardly moves."""
    wobble = np.exp(np.random.default_rng(5).normal(0, 1e-6, (BARS - first, len(table.symbols))))
    still = {name: np.vstack([c[:first], c[first - 1] * wobble]) for name, c in table.columns.items()}
    return BarTable(table.times, HOUR, table.symbols, still)


def test_no_feature_sees_what_has_not_closed(table, features, week):
    first = BARS - WEEK + 12  # a seasonal feature answers a week later
    wild, calm = step_parity.with_another_future(table, first, seed=4), with_a_calm_future(table, first)
    moved = np.zeros(week.values.shape, np.bool_)
    for other in (wild, calm):
        moved |= ~step_parity.same(features.batch(other, week.bars).values, week.values)
    early = week.bars <= first
    assert [week.names[k] for k in np.flatnonzero(moved[early].any(axis=(0, 1)))] == []
    still = [week.names[k] for k in np.flatnonzero(~moved[~early].any(axis=(0, 1)))]
    assert still == [one.name for step in (Clock, Releases) for one in step.declarations]


def test_features_and_series_of_ones_own_stand_beside_the_others(table):
    fear = ExternalSeries("fear", table.times[::24], np.linspace(0, 100, len(table.times[::24])), lag=HOUR)
    joined = with_series(table, [fear])
    own = Program([Formula("calm_fear", ewma(column("series_fear"), 48.0), "Mean fear", "0 to 100")], HOUR)
    features = every_feature(joined, [own])
    last = features.batch(joined, np.array([BARS])).column("calm_fear")
    assert np.allclose(last, last[0, 0]) and 95.0 < last[0, 0] < 100.0
    with pytest.raises(InputError, match="two features have this name"):
        every_feature(joined, [own, own])


def test_what_a_market_lacks_is_said():
    drawn = draw_table(1, bars=30, symbols=1)
    few = {name: drawn.columns[name] for name in ("open", "high", "low", "close")}
    choice = choose(BarTable(drawn.times, HOUR, drawn.symbols, few))
    assert choice.left_out["funding_last"] == "no funding_rate"
    assert choice.left_out["correlation"] == "needs two symbols"
    names = {one.name for step in choice.steps for one in step.declarations}
    assert not names & set(choice.left_out)


@pytest.mark.parametrize("symbols", [1, 3])
@pytest.mark.parametrize("minutes", [5, 60, 480, 1440, 10080])
@pytest.mark.parametrize("lacking", ["nothing", "volume", "funding_rate", "last_close", "spot_close", "bid"])
def test_a_feature_that_is_not_there_is_said_to_be_left_out(symbols, minutes, lacking):
    full = catalogue_page.whole_market()
    columns = {name: np.ones((1, symbols)) for name in full.columns if not name.startswith(lacking)}
    choice = choose(BarTable(full.times[:1], np.timedelta64(minutes, "m"), tuple("XYZ"[:symbols]), columns))
    there = {one.name for step in choice.steps for one in step.declarations}
    assert not there & set(choice.left_out)
    unsaid = [one for one in declared(full) if one.name not in there | set(choice.left_out)]
    if lacking == "bid":
        assert choice.left_out["order book"] == "no bid_Lbps and ask_Lbps"
        unsaid = [one for one in unsaid if not any(name.endswith("bps") for name in one.inputs)]
    if symbols == 1:
        assert choice.left_out["correlation"] == "needs two symbols"
        alone = {one.name for one in declared(draw_table(1, bars=2, symbols=1))}
        unsaid = [one for one in unsaid if one.name in alone]
    assert unsaid == []


def declared(table):
    return [one for step in choose(table).steps for one in step.declarations]


def test_the_page_says_what_the_features_declare():
    page = Path(__file__).resolve().parents[1] / "docs" / "feature_catalogue.md"
    assert page.read_text(encoding="utf-8") == catalogue_page.page(), "make pages writes it anew"
    names = [one.name for _, _, declared in catalogue_page.sections() for one in declared]
    assert len(names) == len(set(names)) > 250


@pytest.mark.parametrize("minutes", [5, 45, 480, 1440, 10080])
@pytest.mark.parametrize("symbols", [1, 3])
def test_bars_of_any_length_have_features(minutes, symbols):
    drawn = draw_table(31, bars=300, symbols=symbols)
    step = np.timedelta64(minutes, "m")
    times = np.datetime64("2024-01-01", "ns") + np.arange(300) * step
    bars = BarTable(times, step, drawn.symbols, drawn.columns)
    features, choice = every_feature(bars), choose(bars)
    assert len(features.names) > 50 and all(choice.left_out.values())
    assert ("log_har_24h" in features.names) == ("spike_24h_2x" in features.names) == (minutes <= 1440)
    live = features.live(bars.symbols)
    live.run(bars.part(0, 200))
    live = features.restored(live.checkpoint())
    live.run(bars.part(200, 300))
    assert step_parity.same(live.values(), features.batch(bars, np.array([300])).values[0]).all()
