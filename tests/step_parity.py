"""What every feature step must keep: batch = stream = restarted stream bit for bit, no look ahead, honest inputs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from margincast.features.engine.bars import BarRow, BarTable
from margincast.features.engine.step import State, Step, run_step


class Declared(Mapping):
    """A row's columns that gives out only what was declared."""

    def __init__(self, values, allowed):
        self.values_, self.allowed = values, allowed

    def __getitem__(self, name):
        assert name in self.allowed, f"{name} is read but not declared"
        return self.values_[name]

    def __iter__(self):
        return iter(self.allowed)

    def __len__(self):
        return len(self.allowed)


def inputs_of(step: Step) -> set[str]:
    return {name for one in step.declarations for name in one.inputs}


def stored_and_loaded(state: State) -> State:
    """The state through an .npz file without pickle, as a checkpoint keeps it."""
    buffer = io.BytesIO()
    np.savez(buffer, **state)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as stored:
        return {name: stored[name].copy() for name in stored.files}


def streamed(step: Step, table: BarTable, restart_every: int = 0):
    """Every row 0 .. T by stream, the state going through a file every so many bars."""
    state, allowed = step.start(table.symbols), inputs_of(step)
    out = [step.read(state)]
    for bar in range(len(table)):
        row = table.row(bar)
        step.update(state, BarRow(row.opened, row.closed, Declared(row.values, allowed)))
        if restart_every and bar % restart_every == restart_every - 1:
            state = stored_and_loaded(state)
        out.append(step.read(state).copy())
    return np.stack(out)


def same(one, two):
    return (one == two) | (np.isnan(one) & np.isnan(two))


def with_another_future(table: BarTable, first: int, seed: int, only: str | None = None) -> BarTable:
    """The same bars before `first`; from there on every column (or only one) is something else, and some bars fail."""
    rng = np.random.default_rng(seed)
    columns = {}
    for name, values in table.columns.items():
        changed = values.copy()
        if only in (None, name):
            tail = changed[first:]
            moves = np.exp(rng.normal(0, 0.05, tail.shape))
            changed[first:] = np.where(rng.random(tail.shape) < 0.02, np.nan, tail * moves)
            known = np.isnan(tail) & (rng.random(tail.shape) < 0.1)
            changed[first:][known] = 1e-4
        columns[name] = changed
    return replace(table, columns=columns)


def hold(step: Step, table: BarTable, first: int, *, restarts: int = 37) -> None:
    """Hold a step to its contract over a table whose features are known well before bar `first`."""
    names = [one.name for one in step.declarations]
    everywhere = np.arange(len(table) + 1)
    whole = run_step(step, table, everywhere)
    assert whole.shape == (len(table) + 1, len(table.symbols), len(names))
    live = streamed(step, table, restarts)
    for place, name in enumerate(names):
        agree = same(whole[:, :, place], live[:, :, place])
        assert agree.all(), f"{name}: batch and stream differ first at row {np.flatnonzero(~agree.all(axis=1))[0]}"
        assert not np.isnan(whole[first - 1, :, place]).all(), f"{name} is not known anywhere before bar {first}"
    few = everywhere[3::29]
    assert same(run_step(step, table, few), whole[few]).all(), "rows asked for alone differ"
    _hold_point_in_time(step, table, first, whole, names)
    for column in sorted(inputs_of(step)):
        other = run_step(step, with_another_future(table, first, 5, only=column), everywhere)
        using = [k for k, one in enumerate(step.declarations) if column in one.inputs]
        moved = ~same(other, whole)
        assert moved[:, :, using].any(axis=(0, 1)).all(), f"{column} is declared by a feature it does not change"
        rest = [k for k in range(len(names)) if k not in using]
        assert not moved[:, :, rest].any(), f"{column} changes a feature that does not declare it"


def _hold_point_in_time(step: Step, table: BarTable, first: int, whole, names) -> None:
    other = run_step(step, with_another_future(table, first, 3), np.arange(len(table) + 1))
    moved = ~same(other, whole)
    for place, name in enumerate(names):
        assert not moved[: first + 1, :, place].any(), f"{name} saw a bar that had not closed"
        untouched = not moved[first + 1 :, :, place].any()
        assert not untouched or not step.declarations[place].inputs, f"{name} was not put to the test"
