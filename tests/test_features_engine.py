"""Formulas: the compiled program against plain NumPy, its bits in batch, stream and after a restart, its logarithm."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import step_parity
from hypothesis import assume, given
from hypothesis import strategies as st

from margincast.features import clock
from margincast.features.engine.bars import BarRow, BarTable, ColumnMatrix
from margincast.features.engine.expression import Expression, as_expression, column, columns_of, lookback
from margincast.features.engine.feature_set import FeatureSet
from margincast.features.engine.formula import Formula
from margincast.features.engine.logarithm import log_into
from margincast.features.engine.operations import (
    ewma,
    lagged,
    last_known,
    market_median,
    market_sum,
    rolling,
    rolling_mean,
)
from margincast.features.engine.program import Program
from margincast.features.engine.selected import Selected
from margincast.features.engine.step import run_on, run_step
from margincast.features.families import PANEL, FormulaBars
from margincast.riskcore.errors import InputError

HOUR = np.timedelta64(1, "h")


def draw_table(seed, bars=900, symbols=3, gaps=0.0, start="2023-12-30T05"):
    """Bars of a random market with every column a panel may read."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, symbols)), axis=0))
    opened = np.vstack([np.full((1, symbols), 100.0), close[:-1]])
    up, down = (np.exp(np.abs(rng.normal(0, 0.004, close.shape))) for _ in range(2))
    bars_of = {"open": opened, "high": np.maximum(opened, close) * up, "low": np.minimum(opened, close) / down}
    bars_of["close"] = close
    wobble = np.exp(rng.normal(0, 1e-3, close.shape))
    columns = {**bars_of, **{f"last_{name}": values * wobble for name, values in bars_of.items()}}
    columns["mark_close"], columns["spot_close"] = close * 1.0, close * np.exp(rng.normal(0, 1e-3, close.shape))
    columns["volume"] = rng.lognormal(5, 1, close.shape)
    columns["taker_buy_volume"] = columns["volume"] * rng.uniform(0.2, 0.8, close.shape)
    columns["trades"] = rng.poisson(50, close.shape).astype(float) + 1.0
    columns["funding_rate"] = np.where(np.arange(bars)[:, None] % 8 == 0, rng.normal(1e-4, 1e-4, close.shape), np.nan)
    columns["open_interest"] = 1e4 * np.exp(np.cumsum(rng.normal(0, 0.01, close.shape), axis=0))
    for side, level in itertools.product(("bid", "ask"), (10, 50)):
        columns[f"{side}_{level}bps"] = rng.lognormal(12, 0.3, close.shape) * level
    missing = rng.random(close.shape) < gaps
    columns = {name: np.where(missing, np.nan, values) for name, values in columns.items()}
    times = np.datetime64(start, "ns") + np.arange(bars) * HOUR
    return BarTable(times, HOUR, tuple("ABCDEFGH"[:symbols]), columns)


def panel_program(table):
    bars = FormulaBars(table.bar_hours, frozenset(table.columns))
    return Program([one for family in PANEL for one in family(bars)], table.step)


def evaluated(expression, columns):
    """The formula by plain NumPy over whole arrays: what an expression was made from, done to arrays."""
    plain = {
        "sum": lambda a, k: rolling(a, int(k)),
        "max": lambda a, k: rolling(a, int(k), np.maximum),
        "min": lambda a, k: rolling(a, int(k), np.minimum),
        "lag": lambda a, k: lagged(a, int(k)),
        "ewma": ewma,
        "last_known": lambda a, k: last_known(a, int(k)),
        "market_median": lambda a, _: market_median(a),
        "market_sum": lambda a, _: market_sum(a),
    }
    if expression.operation == "column":
        return columns[expression.name]
    if expression.operation == "constant":
        return np.full(next(iter(columns.values())).shape, expression.parameter)
    inputs = [evaluated(one, columns) for one in expression.inputs]
    if expression.operation in plain:
        return plain[expression.operation](*inputs, expression.parameter)
    with np.errstate(all="ignore"):
        if expression.operation == "where":
            return np.where(inputs[0] != 0.0, inputs[1], inputs[2])
        name = {"and": "logical_and", "or": "logical_or", "not": "logical_not"}.get(expression.operation)
        return np.asarray(getattr(np, name or expression.operation)(*inputs), np.float64)


# --- the same numbers as plain NumPy ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "gaps"), [(1, 0.0), (2, 0.003), (3, 0.03)])
def test_the_panel_is_what_numpy_says(seed, gaps):
    table = draw_table(seed, bars=1700, gaps=gaps)
    program = panel_program(table)
    found = run_step(program, table, np.arange(1, len(table) + 1))
    bars = FormulaBars(table.bar_hours, frozenset(table.columns))
    formulas = [one for family in PANEL for one in family(bars)]
    for place, formula in enumerate(formulas):
        said = evaluated(as_expression(formula.expression), table.columns)
        scale = np.nanmedian(np.abs(said)) if not np.isnan(said).all() else 1.0
        np.testing.assert_allclose(found[:, :, place], said, rtol=1e-9, atol=1e-11 * scale, err_msg=formula.name)


@st.composite
def expressions(draw, depth=4):
    """Random formulas over two columns: every operation, windows of every kind."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        leaf = st.sampled_from([column("a"), column("b"), Expression("constant", parameter=0.5)])
        return draw(leaf)
    inner = draw(expressions(depth=depth - 1))
    other = draw(expressions(depth=depth - 1))
    window = draw(st.integers(1, 9))
    return draw(
        st.sampled_from(
            [
                inner + other,
                inner - other,
                inner * other,
                inner / other,
                np.maximum(inner, other),
                np.minimum(inner, other),
                np.where(inner > other, inner, other),
                np.where((inner >= other) & ~np.isnan(inner) | (inner == 0.5), other, 1.0),
                np.where((inner < 0.7) | (other <= 0.1), -inner, np.sign(other)),
                np.where(np.isfinite(inner) & (other != 1.0), np.abs(inner), np.nan),
                np.sqrt(np.abs(inner)),
                np.log(np.abs(inner) + 0.1),
                np.tanh(inner),
                np.exp(np.minimum(inner, 3.0)),
                inner**2,
                lagged(inner, window),
                rolling_mean(inner, window),
                rolling(inner, window, np.maximum),
                rolling(inner, window, np.minimum),
                ewma(inner, window / 2.0),
                last_known(inner, window),
                market_median(inner),
                market_sum(inner),
            ]
        )
    )


@given(expressions(), st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_any_formula_is_what_numpy_says_and_the_same_in_batch_and_stream(expression, seed, symbols):
    assume(columns_of(as_expression(expression)))
    rng = np.random.default_rng(seed)
    columns = {name: np.round(rng.normal(0, 1, (40, symbols)), 1) for name in "ab"}
    columns["a"][rng.random((40, symbols)) < 0.1] = np.nan
    times = np.datetime64("2024-01-01T07", "ns") + np.arange(40) * HOUR
    table = BarTable(times, HOUR, tuple("ABCDE"[:symbols]), columns)
    program = Program([Formula("f", expression, "", "")], HOUR)
    everywhere = np.arange(len(table) + 1)
    found = run_step(program, table, everywhere)[1:, :, 0]
    said = evaluated(as_expression(expression), columns)
    # A comparison of two sums that are equal but for rounding may go either way: such formulas have no one answer.
    fragile = any(part in str(expression) for part in ("less", "greater", "equal", "sign"))
    if not (fragile and "sum(" in str(expression)):
        finite = np.isfinite(said)
        assert (np.isnan(found) == np.isnan(said)).all()
        np.testing.assert_allclose(found[finite], said[finite], rtol=1e-7, atol=1e-7)
    live = step_parity.streamed(program, table, restart_every=7)[1:, :, 0]
    assert step_parity.same(live, found).all()


def test_comparisons_with_nan_are_false_and_maxima_with_nan_are_nan():
    a, b = column("a"), column("b")
    asked = {"less": a < b, "not": ~(a < b), "max": np.maximum(a, b), "max_other": np.maximum(b, a), "sign": np.sign(a)}
    program = Program([Formula(name, value, "", "") for name, value in asked.items()], HOUR)
    times = np.array(["2024-01-01"], "datetime64[ns]")
    table = BarTable(times, HOUR, ("X",), {"a": np.array([[np.nan]]), "b": np.array([[1.0]])})
    values = dict(zip(asked, run_step(program, table, np.array([1]))[0, 0], strict=True))
    assert (values["less"], values["not"]) == (0.0, 1.0)
    assert np.isnan([values["max"], values["max_other"], values["sign"]]).all()


def test_what_is_finite_and_its_sign_at_the_edges():
    asked = {"finite": np.isfinite(column("a")), "sign": np.sign(column("a")), "absolute": np.abs(column("a"))}
    program = Program([Formula(name, value, "", "") for name, value in asked.items()], HOUR)
    edges = np.array([np.inf, -np.inf, np.nan, 0.0, -5e-324, 1.7e308])
    table = BarTable(np.zeros(1, "datetime64[ns]"), HOUR, tuple("ABCDEF"), {"a": edges[None]})
    found = run_step(program, table, np.array([1]))[0].T
    np.testing.assert_array_equal(found, [np.isfinite(edges), np.sign(edges), np.abs(edges)])


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "symbols"), [(11, 3), (12, 1)])
def test_the_panel_program_keeps_the_contract(seed, symbols):
    table = draw_table(seed, bars=1000, symbols=symbols, gaps=0.0005)
    step_parity.hold(panel_program(table), table, 850)


def test_the_clock_keeps_the_contract():
    step_parity.hold(clock.Clock(), draw_table(1, bars=200), 100)


def test_a_window_does_not_depend_on_where_the_history_begins():
    table = draw_table(5, bars=800)
    bars = FormulaBars(1.0)
    windows = [one for family in PANEL for one in family(bars) if "ewma" not in str(one.expression)]
    windows = [one for one in windows if set(one.inputs) <= set(table.columns) and lookback(one.expression) < 200]
    assert len(windows) > 15
    program = Program(windows, HOUR)
    whole = run_step(program, table, np.arange(400, 801))
    later = table.part(150, len(table))
    np.testing.assert_array_equal(run_step(program, later, np.arange(250, 651)), whole)


@pytest.mark.parametrize("start", ["1969-12-30T05", "1970-01-01T00", "1970-01-01T02:30", "2024-01-02T04:17:01"])
@pytest.mark.parametrize("symbols", [1, 3])
def test_bars_before_1970_or_off_the_hour_are_bars_like_others(start, symbols):
    table = draw_table(3, bars=700, symbols=symbols, start=start)
    close = column("close")
    asked = {"lag": lagged(close, 5), "sum": rolling(close, 7), "max": rolling(close, 50, np.maximum)}
    program = Program([Formula(name, value, "", "") for name, value in asked.items()], HOUR)
    found = run_step(program, table, np.arange(1, 701))
    for place, value in enumerate(asked.values()):
        np.testing.assert_allclose(found[:, :, place], evaluated(as_expression(value), table.columns), rtol=1e-12)
    assert step_parity.same(step_parity.streamed(program, table, 60)[1:], found).all()


@pytest.mark.parametrize("symbols", [33, 342, 1025])
def test_symbols_need_not_fit_a_block(symbols):
    rng = np.random.default_rng(symbols)
    times = np.datetime64("2024-01-01", "ns") + np.arange(40) * HOUR
    values = {"close": rng.normal(0, 1, (40, symbols))}
    table = BarTable(times, HOUR, tuple(map(str, range(symbols))), values)
    close = column("close")
    asked = [rolling(close, 30), rolling(close, 7), lagged(close, 3), ewma(close, 2.5), market_median(close)]
    program = Program([Formula(str(k), value, "", "") for k, value in enumerate(asked)], HOUR)
    found = run_step(program, table, np.arange(1, 41))
    for place, value in enumerate(asked):
        said = evaluated(as_expression(value), values)
        np.testing.assert_allclose(found[:, :, place], said, rtol=1e-9, atol=1e-12)
    assert step_parity.same(step_parity.streamed(program, table, 9)[1:], found).all()


def test_one_program_serves_several_threads():
    tables = [draw_table(k, bars=2500) for k in range(3)]
    program, rows = panel_program(tables[0]), np.arange(1, 2501)
    alone = [run_step(program, table, rows) for table in tables]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda k: run_step(program, tables[k % 3], rows), range(12)))
    assert all(step_parity.same(found, alone[k % 3]).all() for k, found in enumerate(together))


def test_a_batch_is_gone_on_with_as_a_stream():
    table = draw_table(8, bars=300)
    program = panel_program(table)
    whole = run_step(program, table, np.arange(301))
    state = program.start(table.symbols)
    first = table.part(0, 200)
    run_on(program, state, first, np.zeros(0, np.int64))
    for bar in range(200, 300):
        program.update(state, table.row(bar))
        assert step_parity.same(program.read(state), whole[bar + 1]).all()


def test_what_formulas_share_is_computed_once():
    returns = np.log(column("close")) - lagged(np.log(column("close")), 1)
    one = Program([Formula("a", returns * returns, "", "")], HOUR)
    two = Program([Formula("a", returns * returns, "", ""), Formula("b", -(returns * returns), "", "")], HOUR)
    count = [len(program.code(1)) for program in (one, two)]
    assert count[1] == count[0] + 1


def test_a_program_follows_bars_only_in_order():
    table = draw_table(1, bars=5)
    program = Program([Formula("a", column("close"), "", "")], HOUR)
    state = program.start(table.symbols)
    program.update(state, table.row(1))
    for bar in (1, 0, 3):
        with pytest.raises(InputError, match="a bar must follow the one before it"):
            program.update(state, table.row(bar))
    with pytest.raises(KeyError):
        program.update(state, BarRow(table.times[2], table.times[3], {}))
    program.update(state, table.row(2))
    assert program.read(state)[:, 0].tolist() == table.columns["close"][2].tolist()


@pytest.mark.parametrize(
    ("formulas", "message"),
    [
        ([], "a program needs a formula"),
        ([Formula("a", as_expression(1.0), "", "")], "a formula must read a column"),
        ([Formula("a", column("x"), "", ""), Formula("a", column("y"), "", "")], "two features have this name"),
    ],
)
def test_formulas_that_cannot_be_are_refused(formulas, message):
    with pytest.raises(InputError, match=message):
        Program(formulas, HOUR)


@pytest.mark.parametrize("values", [column("x"), np.ones((5, 1))], ids=["formula", "array"])
def test_windows_that_cannot_be_are_refused_of_formulas_and_arrays_alike(values):
    for make, name in ((rolling, "window"), (lagged, "lag"), (last_known, "max_age")):
        for bars in (0, -1, 2.5, np.nan):
            with pytest.raises(InputError, match=f"column {name}: must be a whole number of bars, at least one"):
                make(values, bars)
    for half_life in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="column half_life: must be positive"):
            ewma(values, half_life)


def test_a_formula_has_no_truth_value():
    a, b = column("a"), column("b")
    for ask in (lambda: max(a, b), lambda: 0 < a < 1, lambda: a if a > b else b, lambda: a and b):
        with pytest.raises(InputError, match="a formula has no truth value"):
            ask()


def test_an_expression_refuses_what_it_does_not_know():
    for ask in (lambda x: np.sin(x), lambda x: np.clip(x, 0, 1), lambda x: x**3, lambda x: np.nansum(x)):
        with pytest.raises(InputError, match="a formula does not know this NumPy function"):
            ask(column("x"))
    with pytest.raises(InputError, match="only with numbers and expressions"):
        column("x") + np.ones(3)
    with pytest.raises(TypeError):
        np.add.reduce(column("x"))


def test_an_expression_says_what_it_reads_and_how_far_back():
    value = rolling_mean(lagged(column("high"), 2), 24) / ewma(column("low"), 72.0)
    assert columns_of(value) == ("high", "low")
    assert str(value.inputs[0] ** 0.5) == str(np.sqrt(value.inputs[0]))
    assert lookback(value) == 72.0 and lookback(value.inputs[0]) == 26.0
    said = Formula("f", value, "s", "u").declaration(0.5)
    assert (said.lookback_hours, said.inputs) == (36.0, ("high", "low"))
    assert "window" in said.missing and "anew" in said.missing


# --- sets of steps ----------------------------------------------------------------------------------------------------


def test_some_features_of_a_step_are_those_features():
    table = draw_table(4, bars=300)
    whole = panel_program(table)
    names = ["move_24h", "log_ewma_3h", "drawdown_30d"]
    some = Selected(whole, names)
    rows = np.arange(301)
    places = [[one.name for one in whole.declarations].index(name) for name in names]
    assert step_parity.same(run_step(some, table, rows), run_step(whole, table, rows)[:, :, places]).all()
    assert step_parity.same(live_values(FeatureSet([some]), table, 50), run_step(some, table, rows)[1:]).all()
    with pytest.raises(InputError, match="is not a feature of this step"):
        Selected(whole, ["nonsense"])


def live_values(features, table, restart_every):
    live, out = features.live(table.symbols), []
    for bar in range(len(table)):
        live.update(table.row(bar))
        if bar % restart_every == restart_every - 1:
            live = features.restored(live.checkpoint())
        out.append(live.values())
    return np.stack(out)


def test_a_set_is_the_same_live_and_restored():
    table = draw_table(6, bars=400, gaps=0.002)
    features = FeatureSet([panel_program(table), clock.Clock()])
    frame = features.batch(table)
    assert step_parity.same(live_values(features, table, 41), frame.values).all()
    warm = features.live(table.symbols)
    blocks = [table.part(k, min(k + 90, 400)) for k in range(0, 400, 90)]
    parts = [warm.run(block) for block in blocks]
    assert step_parity.same(np.concatenate([part.values for part in parts]), frame.values).all()
    assert (np.concatenate([part.times for part in parts]) == frame.times).all()
    assert step_parity.same(warm.values(), frame.values[-1]).all()
    assert warm.read()["hour_sin"][0] == frame.column("hour_sin")[-1, 0]


def test_a_checkpoint_that_is_not_one_is_refused():
    table = draw_table(6, bars=30)
    features = FeatureSet([panel_program(table)])
    live = features.live(table.symbols)
    live.run(table)
    content = live.checkpoint()
    for broken in (b"", b"nonsense", content[: len(content) // 2], content[:-9]):
        with pytest.raises(InputError, match="is not a whole checkpoint"):
            features.restored(broken)
    spoilt = bytearray(content)
    spoilt[len(content) // 2] ^= 1
    with pytest.raises(InputError, match="is not a whole checkpoint"):
        features.restored(bytes(spoilt))
    with pytest.raises(InputError, match="of other features"):
        FeatureSet([clock.Clock()]).restored(content)


def test_a_live_set_refuses_a_bar_out_of_turn_and_keeps_its_state():
    table = draw_table(6, bars=30)
    features = FeatureSet([panel_program(table)])
    live = features.live(table.symbols)
    live.update(table.row(0))
    before = live.values()
    for bar in (0, 2):
        with pytest.raises(InputError, match="must open where the last one closed"):
            live.update(table.row(bar))
    assert step_parity.same(live.values(), before).all()
    with pytest.raises(InputError, match="bars must go on at"):
        live.run(table)


def test_a_set_names_the_column_that_is_lacking():
    table = draw_table(6, bars=30)
    features = FeatureSet([panel_program(table)])
    less = BarTable(table.times, HOUR, table.symbols, {n: c for n, c in table.columns.items() if n != "volume"})
    with pytest.raises(InputError, match="column volume: the bars lack it; log_amihud_24h reads it"):
        features.batch(less)
    with pytest.raises(InputError, match="two features have this name"):
        FeatureSet([clock.Clock(), clock.Clock()])


# --- bars -------------------------------------------------------------------------------------------------------------


def test_a_table_refuses_uneven_bars_and_other_shapes():
    times = np.array(["2024-01-01T00", "2024-01-01T01", "2024-01-01T03"], "datetime64[ns]")
    with pytest.raises(InputError, match="row 2, column times: bars must be 1 hours apart"):
        BarTable(times, HOUR, ("X",), {"close": np.ones((3, 1))})
    with pytest.raises(InputError, match="column close: has shape"):
        BarTable(times[:2], HOUR, ("X",), {"close": np.ones((3, 1))})


def test_a_matrix_of_columns_is_a_mapping():
    matrix = ColumnMatrix(("a", "b", "c"), np.arange(6.0).reshape(3, 2))
    assert list(matrix) == ["a", "b", "c"] and len(matrix) == 3
    assert matrix.rows(("c", "a")).tolist() == [[4.0, 5.0], [0.0, 1.0]]
    row = BarRow(np.datetime64("2024-01-01"), np.datetime64("2024-01-02"), matrix)
    assert row["b"].tolist() == [2.0, 3.0]


# --- the logarithm ----------------------------------------------------------------------------------------------------


def test_the_logarithm_is_right_to_the_last_place():
    rng = np.random.default_rng(0)
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 300_000)), 1 + rng.normal(0, 1e-3, 100_000)])
    found = np.empty_like(x)
    log_into(x, found)
    exact = np.log(x.astype(np.longdouble))
    assert float(np.max(np.abs(found - exact) / np.spacing(np.abs(exact.astype(np.float64))))) < 1.0


def test_the_logarithm_at_its_edges():
    x = np.array([5e-324, 1e-310, 2.2250738585072014e-308, 1.0, np.inf, -1.0, np.nan, 0.0, -0.0])
    found = np.empty_like(x)
    log_into(x, found)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, np.log(x), rtol=3e-16)


def test_the_logarithm_of_one_number_is_that_of_many():
    x = np.exp(np.random.default_rng(1).uniform(-20, 20, 77))
    many, one = np.empty_like(x), np.empty(1)
    log_into(x, many)
    for value, said in zip(x, many, strict=True):
        log_into(np.array([value]), one)
        assert one[0] == said
