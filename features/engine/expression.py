"""Formulas as values: an `Expression` stands where an array of bars would, and remembers what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...riskcore.arrays import FloatArray
from ...riskcore.errors import InputError

UFUNCS: dict[Any, str] = {
    np.add: "add",
    np.subtract: "subtract",
    np.multiply: "multiply",
    np.divide: "divide",
    np.maximum: "maximum",
    np.minimum: "minimum",
    np.less: "less",
    np.less_equal: "less_equal",
    np.greater: "greater",
    np.greater_equal: "greater_equal",
    np.equal: "equal",
    np.not_equal: "not_equal",
    np.bitwise_and: "and",
    np.bitwise_or: "or",
    np.logical_and: "and",
    np.logical_or: "or",
    np.invert: "not",
    np.logical_not: "not",
    np.negative: "negative",
    np.absolute: "absolute",
    np.sign: "sign",
    np.sqrt: "sqrt",
    np.log: "log",
    np.exp: "exp",
    np.tanh: "tanh",
    np.isnan: "isnan",
    np.isfinite: "isfinite",
}
"""NumPy functions an expression knows, and the names of its operations."""


class Expression(NDArrayOperatorsMixin):
    """A formula over bars that has not been computed yet.

    It takes part in arithmetic, comparisons, NumPy's elementwise functions, np.where and the functions of
    `operations` as an array of shape (T, n_symbols) would; so a function written for arrays gives the same formula for
    both. `Program` compiles expressions; a comparison is 1 or 0, and one with NaN is 0.

    Parameters
    ----------
    operation
        What is done: "column", "constant", a value of `UFUNCS`, "where", or an operation over time or across symbols.
    inputs
        What it is done to.
    parameter
        A constant's value, a window in bars, a half-life in bars.
    name
        A column's name.

    Examples
    --------
    >>> close = column("close")
    >>> print(np.log(close) - 1.0)
    subtract(log(close), 1.0)
    """

    __slots__ = ("operation", "inputs", "parameter", "name")

    def __init__(
        self, operation: str, inputs: tuple[Expression, ...] = (), parameter: float = 0.0, name: str = ""
    ) -> None:
        self.operation, self.inputs, self.parameter, self.name = operation, inputs, parameter, name

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: object, **options: object) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc is np.square or (ufunc is np.power and _is(inputs[1], 2.0)):
            return Expression("multiply", (as_expression(inputs[0]),) * 2)
        if ufunc is np.power and _is(inputs[1], 0.5):
            return Expression("sqrt", (as_expression(inputs[0]),))
        if ufunc is np.positive:
            return as_expression(inputs[0])
        if ufunc not in UFUNCS:
            raise InputError("a formula does not know this NumPy function", column="function", value=ufunc.__name__)
        return Expression(UFUNCS[ufunc], tuple(as_expression(value) for value in inputs))

    def __array_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: tuple[object, ...], options: object
    ) -> Any:
        if function is np.where and len(args) == 3 and not options:
            return Expression("where", tuple(as_expression(value) for value in args))
        raise InputError("a formula does not know this NumPy function", column="function", value=function.__name__)

    def __bool__(self) -> bool:
        raise InputError("a formula has no truth value: write &, |, ~, np.where, np.maximum", value=str(self))

    def __str__(self) -> str:
        if self.operation in ("column", "constant"):
            return self.name or repr(self.parameter)
        shown = [str(value) for value in self.inputs]
        return f"{self.operation}({', '.join(shown + ([f'{self.parameter:g}'] if self.parameter else []))})"

    __repr__ = __str__


def _is(value: object, number: float) -> bool:
    return isinstance(value, int | float) and value == number


def column(name: str) -> FloatArray:
    """The bar column of this name, as an expression (see `bars.COLUMNS`).

    It is declared an array because it is used as one: NumPy's protocols hand each operation back to it.
    """
    return cast(FloatArray, Expression("column", name=name))


def as_expression(value: object) -> Expression:
    """An expression as it is, a number as a constant; anything else raises InputError.

    Examples
    --------
    >>> as_expression(2), as_expression(np.float64(0.5))
    (2.0, 0.5)
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, bool | int | float | np.number):
        return Expression("constant", parameter=float(value))
    raise InputError("an expression takes part only with numbers and expressions", value=type(value).__name__)


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression's parts, each once, inputs before what is made of them."""
    seen: set[int] = set()
    stack = [(expression, False)]
    while stack:
        part, ready = stack.pop()
        if ready:
            yield part
        elif id(part) not in seen:
            seen.add(id(part))
            stack.append((part, True))
            stack += [(one, False) for one in reversed(part.inputs)]


def columns_of(expression: Expression) -> tuple[str, ...]:
    """Names of the bar columns an expression reads, in alphabetical order.

    Examples
    --------
    >>> columns_of(as_expression(column("high") / column("low")))
    ('high', 'low')
    """
    return tuple(sorted({part.name for part in walk(expression) if part.operation == "column"}))


def lookback(expression: Expression) -> float:
    """How many bars an expression looks at, the last one included; of an exponential average its half-life.

    Examples
    --------
    >>> from .operations import lagged, rolling
    >>> lookback(as_expression(column("close"))), lookback(as_expression(rolling(lagged(column("close"), 1), 24)))
    (1.0, 25.0)
    """
    earlier: dict[int, float] = {}
    for part in walk(expression):
        own = part.parameter - 1.0 if part.operation in ("sum", "max", "min", "ewma", "last_known") else 0.0
        own = part.parameter if part.operation == "lag" else own
        earlier[id(part)] = own + max((earlier[id(one)] for one in part.inputs), default=0.0)
    return earlier[id(expression)] + 1.0
