"""Live features that must not go wrong in silence: checkpoints of others, steps that fail, rows that are not there."""

import hashlib
import io
import pickle

import numpy as np
import pytest
import step_parity
from test_features_engine import draw_table, panel_program

from margincast.features.clock import Clock
from margincast.features.correlation.matrix_step import CorrelationStep
from margincast.features.engine.bars import BarRow, BarTable
from margincast.features.engine.expression import column
from margincast.features.engine.feature_set import FeatureSet
from margincast.features.engine.formula import Formula
from margincast.features.engine.operations import ewma, rolling
from margincast.features.engine.program import Program
from margincast.features.engine.selected import Selected
from margincast.features.engine.step import run_on, run_step
from margincast.features.volatility.har import HarStep
from margincast.riskcore.errors import InputError

HOUR = np.timedelta64(1, "h")
CLOSE = column("close")


def one(value, bar=HOUR):
    """A program of one formula that says nothing of itself: only its formula tells it from another."""
    return Program([Formula("f", value, "", "")], bar)


# --- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "other"),
    [
        (one(rolling(CLOSE, 5)), one(rolling(CLOSE, 6))),
        (one(rolling(CLOSE, 5)), one(rolling(CLOSE, 5, np.maximum))),
        (one(ewma(CLOSE, 2.5)), one(ewma(CLOSE, 2.75))),
        (one(CLOSE * 2.0), one(CLOSE * 3.0)),
        (one(CLOSE * 2.0), one(column("open") * 2.0)),
        (one(CLOSE), one(CLOSE, 2 * HOUR)),
        (Selected(HarStep(1.0), ["log_har_24h"]), Selected(HarStep(1.0, half_life_hours=999.0), ["log_har_24h"])),
        (HarStep(1.0), HarStep(1.0, half_life_hours=999.0)),
    ],
)
def test_a_checkpoint_of_other_features_of_the_same_names_is_refused(stored, other):
    table = draw_table(6, bars=30)
    live = FeatureSet([stored]).live(table.symbols)
    live.run(table)
    content = live.checkpoint()
    assert FeatureSet([stored]).restored(content).closed == live.closed
    with pytest.raises(InputError, match="is a checkpoint of other features"):
        FeatureSet([other]).restored(content)


def test_a_checkpoint_names_the_features_that_differ():
    content = FeatureSet([Clock()]).live(("X",)).checkpoint()
    with pytest.raises(InputError, match="of other features .found 'f, hour_cos, hour_sin'"):
        FeatureSet([one(CLOSE)]).restored(content)


def test_any_byte_of_a_checkpoint_that_changed_is_noticed():
    features = FeatureSet([one(rolling(CLOSE, 3))])
    live = features.live(("A", "B"))
    live.run(draw_table(6, bars=30, symbols=2))
    content = live.checkpoint()
    for place in range(0, len(content), 7):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << place % 8
        with pytest.raises(InputError, match="is not a whole checkpoint"):
            features.restored(bytes(spoilt))


def test_symbols_of_any_name_come_back_from_a_checkpoint():
    names = ("BTC-PERP", "a/b", 'q"uote', "été ☂", "", "1")
    assert FeatureSet([Clock()]).restored(FeatureSet([Clock()]).live(names).checkpoint()).symbols == names


def test_a_checkpoint_with_arrays_of_other_sizes_is_refused_whoever_made_it():
    features = FeatureSet([one(rolling(CLOSE, 9))])
    content = features.live(("A", "B")).checkpoint()[:-32]
    with np.load(io.BytesIO(content)) as stored:
        arrays = {name: stored[name] for name in stored.files}
    for forged in (arrays["0/floats"][:3], arrays["0/floats"].astype(np.float32), arrays["0/floats"][None]):
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays, "0/floats": forged})
        signed = buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest()
        with pytest.raises(InputError, match="column 0/floats: is a checkpoint of other features"):
            features.restored(signed)


def test_features_go_through_pickle():
    table = draw_table(6, bars=60)
    features = FeatureSet([panel_program(table), Clock()])
    again = pickle.loads(pickle.dumps(features))
    assert step_parity.same(again.batch(table).values, features.batch(table).values).all()
    live = features.live(table.symbols)
    live.run(table)
    assert step_parity.same(again.restored(live.checkpoint()).values(), live.values()).all()


# --- what fails -------------------------------------------------------------------------------------------------------


class Failing(Clock):
    """A clock that stops at one bar."""

    def update(self, state, row):
        if row.opened == np.datetime64("2023-12-30T07", "ns"):
            raise ZeroDivisionError("stopped")
        super().update(state, row)

    def run(self, state, table, at):
        raise ZeroDivisionError("stopped")


def test_after_a_step_that_failed_half_way_nothing_is_said_stored_or_gone_on_with():
    table = draw_table(6, bars=30)
    features = FeatureSet([panel_program(table), Failing()])
    streamed, in_blocks = features.live(table.symbols), features.live(table.symbols)
    streamed.update(table.row(0))
    streamed.update(table.row(1))
    with pytest.raises(ZeroDivisionError):
        streamed.update(table.row(2))
    with pytest.raises(ZeroDivisionError):
        in_blocks.run(table)
    for live in (streamed, in_blocks):
        for ask in (live.values, live.read, live.checkpoint, lambda live=live: live.update(table.row(2))):
            with pytest.raises(InputError, match="go on from the last checkpoint|must open where"):
                ask()


def test_a_row_that_cannot_be_is_refused_and_the_right_one_taken_in_after_it():
    table = draw_table(6, bars=3)
    features = FeatureSet([panel_program(table), Clock()])
    live = features.live(table.symbols)
    live.update(table.row(0))
    before, row = live.values(), table.row(1)
    one_symbol = {name: values[:1] for name, values in row.values.items()}
    no_close = {name: values for name, values in row.values.items() if name != "close"}
    for values, closed, message in (
        (one_symbol, row.closed, r"has shape \(1,\), expected \(3,\)"),
        (no_close, row.closed, "column close: the bars lack it"),
        (row.values, row.opened, "a bar must close after it opens"),
        (row.values, np.datetime64("NaT"), "a bar must close after it opens"),
    ):
        with pytest.raises(InputError, match=message):
            live.update(BarRow(row.opened, closed, values))
        assert step_parity.same(live.values(), before).all()
    live.update(row)
    assert step_parity.same(live.values(), features.batch(table, np.array([2])).values[0]).all()


def test_bars_of_another_length_are_refused():
    table = draw_table(6, bars=30)
    short = np.timedelta64(30, "m")
    half = BarTable(table.times[0] + np.arange(30) * short, short, table.symbols, table.columns)
    with pytest.raises(InputError, match="column step: bars must be 1 hours long"):
        FeatureSet([panel_program(table)]).batch(half)
    program = one(CLOSE)
    state = program.start(table.symbols)
    program.update(state, half.row(0))
    with pytest.raises(InputError, match="a bar must follow the one before it"):
        program.update(state, half.row(1))


# --- rows asked for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [[3, 3], [5, 3], [-1, 3], [3, 31], [31]])
@pytest.mark.parametrize("step", [one(CLOSE), Clock(), CorrelationStep(1.0)], ids=["program", "batch", "generic"])
def test_rows_that_do_not_rise_or_are_not_there_are_refused(step, at):
    table, rows = draw_table(6, bars=30), np.array(at)
    live = FeatureSet([step]).live(table.symbols)
    for ask in (
        lambda: run_step(step, table, rows),
        lambda: run_on(step, step.start(table.symbols), table, rows),
        lambda: FeatureSet([step]).batch(table, rows),
        lambda: live.run(table, rows),
    ):
        with pytest.raises(InputError, match="column at: rows must rise, from 0 to 30 at most"):
            ask()
    assert live.run(table).values.shape[0] == 30


def test_no_rows_and_no_bars_give_an_empty_frame():
    table = draw_table(6, bars=30)
    features = FeatureSet([one(rolling(CLOSE, 3)), Clock()])
    assert features.batch(table, np.array([], np.int64)).values.shape == (0, 3, 5)
    assert np.isnan(features.batch(table, np.array([0])).values).all()
    live = features.live(table.symbols)
    assert len(live.run(table.part(0, 0))) == len(features.batch(table.part(0, 0))) == 0
    live.run(table)
    before = live.values()
    assert len(live.run(table.part(30, 30))) == 0
    assert step_parity.same(live.values(), before).all()
    with pytest.raises(InputError, match="the table has no bar"):
        features.batch(table.part(0, 0), np.array([0]))


def test_row_0_is_what_was_known_before_the_table():
    table = draw_table(6, bars=60)
    features = FeatureSet([panel_program(table), Clock()])
    live = features.live(table.symbols)
    before = live.run(table.part(0, 40)).values[-1]
    frame = live.run(table.part(40, 60), np.array([0, 20]))
    assert step_parity.same(frame.values[0], before).all() and not np.isnan(before).all(axis=0).all()
    assert frame.times.tolist() == [table.times[40].item(), (table.times[59] + HOUR).item()]


def test_some_features_of_a_step_go_on_in_blocks():
    table = draw_table(6, bars=200)
    step = Selected(CorrelationStep(1.0), ["average_correlation_72h"])
    whole = run_step(step, table, np.arange(1, 201))
    state = step.start(table.symbols)
    parts = [run_on(step, state, table.part(k, k + 50), np.arange(1, 51)) for k in range(0, 200, 50)]
    assert step_parity.same(np.concatenate(parts), whole).all()


# --- bars -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbols", "step", "message"),
    [
        ((), HOUR, "column symbols: needs an instrument"),
        (("X", "X"), HOUR, "column symbols: stands there twice .found 'X'"),
        (("X",), 0 * HOUR, "column step: must be a positive length of time"),
        (("X",), -HOUR, "column step: must be a positive length of time"),
        (("X",), np.timedelta64(1, "M"), "column step: must be a positive length of time"),
        (("X",), np.timedelta64("NaT", "h"), "column step: must be a positive length of time"),
    ],
)
def test_instruments_and_lengths_that_cannot_be_are_refused(symbols, step, message):
    times = np.array(["2024-01-01"], "datetime64[ns]")
    with pytest.raises(InputError, match=message):
        BarTable(times, step, symbols, {"close": np.ones((1, len(symbols)))})
    with pytest.raises(InputError, match=message.replace("step", "bar")):
        Program([Formula("f", CLOSE, "", "")], step)
        FeatureSet([Clock()]).live(symbols)
