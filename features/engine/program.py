"""Formulas compiled: many expressions as one list of instructions, run over blocks of bars or bar by bar."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ...riskcore.arrays import FloatArray, IntArray
from ...riskcore.errors import InputError
from .bars import BarRow, BarTable, ColumnMatrix, nanoseconds
from .expression import Expression, as_expression, walk
from .formula import Formula
from .instructions import LANES, LENGTH, NUMBERS, OPERATION, OUT, RING, STATE, WINDOW, A, B, C, Code
from .kernel import run_bars
from .step import Declaration, State

BLOCK_NUMBERS = 1024
"""Numbers in a register of a batch: few enough to stay in the cache, many enough to hide the dispatch."""
ONLY_ROW = np.zeros(1, np.int64)
CHUNK = 1024
"""Bars whose columns are brought together at a time."""
NEVER = int(np.iinfo(np.int64).min)
"""No bar yet; as an instant the earliest there can be, from which bars are counted so that no number is negative."""

WITH_HISTORY = ("lag", "sum", "max", "min")
WITH_WINDOW = (*WITH_HISTORY, "ewma", "last_known")
Key = tuple[str, tuple[int, ...], float, str]
Instruction = tuple[str, tuple[int, ...], int, float]
"""Operation, registers it reads, register it writes, parameter."""


class Program:
    """Formulas as one compiled step: what they share is computed once.

    Parameters
    ----------
    formulas
        Features, each with its expression; names must differ.
    bar
        Length of a bar.

    Raises
    ------
    InputError
        No formula, one that reads no column, two of one name; a bar that is not a positive length of time.

    Examples
    --------
    >>> from .expression import column
    >>> from .operations import rolling_mean
    >>> from .step import run_step
    >>> two = rolling_mean(column("close"), 2)
    >>> mean = Formula("mean", two, "Mean close of two bars", "quote units")
    >>> program = Program([mean], np.timedelta64(1, "h"))
    >>> times = np.arange("2024-01-01T00", "2024-01-01T03", dtype="datetime64[h]")
    >>> table = BarTable(times, np.timedelta64(1, "h"), ("BTC",), {"close": np.array([[1.0], [3.0], [7.0]])})
    >>> run_step(program, table, np.array([1, 2, 3]))[:, 0, 0].tolist()
    [nan, 2.0, 5.0]
    """

    def __init__(self, formulas: Sequence[Formula], bar: np.timedelta64) -> None:
        if not formulas:
            raise InputError("a program needs a formula")
        self.bar = nanoseconds(bar, "bar")
        hours = self.bar / 3.6e12
        self.declarations: tuple[Declaration, ...] = tuple(one.declaration(hours) for one in formulas)
        constant = [one.name for one in self.declarations if not one.inputs]
        if constant:
            raise InputError("a formula must read a column", column="name", value=constant[0])
        names = [one.name for one in self.declarations]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise InputError("two features have this name", column="name", value=twice[0])
        self._assembly = _Assembly([as_expression(one.expression) for one in formulas])
        self.inputs = tuple(self._assembly.columns)
        self._scratch: dict[int, FloatArray] = {}
        self._codes: dict[int, Code] = {}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is computed: formulas that differ in a number or an operation differ here."""
        return hashlib.sha256(repr((self.bar, self._assembly.said)).encode()).hexdigest()

    def code(self, symbols: int) -> Code:
        """Instructions for so many symbols, shape (k, 9), see `kernel.run_block`."""
        if symbols not in self._codes:
            self._codes[symbols] = self._assembly.laid_out(symbols)[0]
        return self._codes[symbols]

    def start(self, symbols: tuple[str, ...]) -> State:
        """State before the first bar: rings of NaN, empty sums."""
        n = len(symbols)
        return {
            "floats": self._assembly.laid_out(n)[1],
            "last": np.array([NEVER], np.int64),
            "values": np.full((len(self.declarations), n), np.nan),
        }

    def update(self, state: State, row: BarRow) -> None:
        """Take in one closed bar.

        Raises
        ------
        InputError
            The bar does not follow the one before it. A bar that is missing comes as a row of NaN.
        """
        inputs = _matrix_of(row.values, self.inputs)[:, None]
        self._run(state, row.opened, inputs, 1, ONLY_ROW, state["values"][None])

    def read(self, state: State) -> FloatArray:
        """Values after the last bar, shape (n_symbols, n_features)."""
        return state["values"].T.copy()

    def run(self, state: State, table: BarTable, at: IntArray) -> FloatArray:
        """Go on from a state over a table, see `run_on`, which asks for the row after the last bar too.

        Raises
        ------
        InputError
            Bars of another length, or that do not follow those before them.
        """
        if nanoseconds(table.step) != self.bar:
            raise InputError(f"bars must be {self.bar / 3.6e12:g} hours long", column="step", value=str(table.step))
        n = len(table.symbols)
        out = np.empty((len(at), len(self.declarations), n))
        out[: np.searchsorted(at, 0, "right")] = state["values"]
        inputs = np.empty((len(self.inputs), CHUNK, n))
        for first in range(0, len(table), CHUNK):
            bars = min(CHUNK, len(table) - first)
            for place, name in enumerate(self.inputs):
                inputs[place, :bars] = table.columns[name][first : first + bars]
            low, high = np.searchsorted(at, [first + 1, first + bars + 1])
            self._run(state, table.times[first], inputs, bars, at[low:high] - first - 1, out[low:high])
        state["values"][:] = out[-1]
        return np.moveaxis(out, 1, 2)

    def _run(
        self, state: State, opened: np.datetime64, inputs: FloatArray, bars: int, wanted: IntArray, out: FloatArray
    ) -> None:
        n = inputs.shape[2]
        number, rows = self._follow(state, opened, bars), max(1, BLOCK_NUMBERS // n) if bars > 1 else 1
        registers, assembly = self._taken(n, rows), self._assembly
        floats = state["floats"]
        run_bars(self.code(n), assembly.numbers, registers, floats, number, inputs, bars, assembly.outputs, wanted, out)
        self._scratch[rows] = registers

    def _follow(self, state: State, opened: np.datetime64, count: int) -> int:
        """Number of a bar, the first of `count` that follow what the state has seen."""
        instant, last = int(opened.astype("datetime64[ns]").view(np.int64)), int(state["last"][0])
        if instant == NEVER or last not in (NEVER, instant - self.bar):
            raise InputError("a bar must follow the one before it", column="opened", value=str(opened))
        state["last"][0] = instant + (count - 1) * self.bar
        return (instant - NEVER) // self.bar

    def _taken(self, symbols: int, rows: int) -> FloatArray:
        """Working memory, not state: every register but the constants is written before it is read.

        It is taken out while in use and put back afterwards, so that two threads never write to the same.
        """
        lanes = int(LANES)
        shape = (self._assembly.registers, -(-rows * symbols // lanes) * lanes)
        registers = self._scratch.pop(rows, None)
        if registers is None or registers.shape != shape:
            registers = np.zeros(shape)
            for place, value in self._assembly.constants.items():
                registers[place] = value
        return registers


def _matrix_of(values: Mapping[str, FloatArray], names: tuple[str, ...]) -> FloatArray:
    if isinstance(values, ColumnMatrix):
        return values.rows(names)
    return np.stack([values[name] for name in names])


class _Assembly:
    """Instructions of some expressions, each shared part once; and how much state they need for n symbols."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        self.columns: list[str] = sorted(
            {part.name for one in expressions for part in walk(one) if part.operation == "column"}
        )
        self.constants: dict[int, float] = {}
        self.registers = len(self.columns)
        self._known: dict[Key, int] = {}
        self._steps: list[Instruction] = []
        places = [self._place(one) for one in expressions]
        self.outputs = np.array(places, np.int64)
        self._rings = self._longest_windows()
        self._ordered = list(self._with_histories())
        self.numbers = np.array([_number(name, parameter) for name, _, _, parameter in self._ordered])

    def _place(self, expression: Expression) -> int:
        places: dict[int, int] = {}
        for part in walk(expression):
            inputs = tuple(places[id(one)] for one in part.inputs)
            key = (part.operation, inputs, part.parameter, part.name)
            if key not in self._known:
                self._known[key] = self._new(part, inputs)
            places[id(part)] = self._known[key]
        return places[id(expression)]

    def _new(self, part: Expression, inputs: tuple[int, ...]) -> int:
        if part.operation == "column":
            return self.columns.index(part.name)
        place = self.registers
        self.registers += 1
        if part.operation == "constant":
            self.constants[place] = part.parameter
        else:
            self._steps.append((part.operation, inputs, place, part.parameter))
        return place

    @property
    def said(self) -> tuple[object, ...]:
        """Columns, constants, instructions and outputs, as plain values."""
        return tuple(self.columns), tuple(self.constants.items()), tuple(self._steps), tuple(self.outputs.tolist())

    def _longest_windows(self) -> dict[int, int]:
        longest: dict[int, int] = {}
        for name, inputs, _, parameter in self._steps:
            if name in WITH_HISTORY:
                longest[inputs[0]] = max(longest.get(inputs[0], 0), int(parameter))
        return longest

    def _with_histories(self) -> list[Instruction]:
        """Each remembered register is written to its ring right after it is computed."""
        inputs = range(len(self.columns))
        ordered: list[Instruction] = [("history", (place,), 0, 0.0) for place in inputs if place in self._rings]
        for step in self._steps:
            ordered.append(step)
            if step[2] in self._rings:
                ordered.append(("history", (step[2],), 0, 0.0))
        return ordered

    def laid_out(self, n: int) -> tuple[Code, FloatArray]:
        """Instructions with the places of their state, and that state before the first bar, for n symbols."""
        block = max(1, BLOCK_NUMBERS // n)
        lengths = {place: window + block for place, window in self._rings.items()}
        rings: dict[int, int] = {}
        used = 0
        for place, length in lengths.items():
            rings[place], used = used, used + length * n
        code = np.zeros((len(self._ordered), 9), np.uint64)
        pieces: list[FloatArray] = [np.full(used, np.nan)]
        for step, (name, inputs, out, parameter) in zip(code, self._ordered, strict=True):
            step[OPERATION], step[OUT], step[STATE] = NUMBERS[name], out, used
            step[A], step[B], step[C] = (*inputs, 0, 0, 0)[:3]
            step[WINDOW] = math.ceil(parameter) if name in WITH_WINDOW else 0
            if name == "history" or name in WITH_HISTORY:
                step[RING], step[LENGTH] = rings[inputs[0]], lengths[inputs[0]]
            pieces.append(_empty(name, int(step[WINDOW]), n))
            used += len(pieces[-1])
        return code, np.concatenate(pieces)


def _number(name: str, parameter: float) -> float:
    return float(0.5 ** (1.0 / parameter)) if name == "ewma" else parameter


def _empty(name: str, window: int, n: int) -> FloatArray:
    """State of an operation before the first bar: whatever came before it is missing."""
    if name in ("sum", "max", "min"):
        return np.full((window + 1) * n, np.nan)
    if name == "last_known":
        return np.array([[np.nan] * n, [float(window)] * n]).ravel()
    return np.zeros({"ewma": 3 * n, "market_median": n, "market_sum": n}.get(name, 0))
