"""What a compiled program is made of: operations, their numbers, and where an instruction keeps what."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Code = npt.NDArray[np.uint64]
Offset = np.uint64

# Columns of an instruction.
OPERATION, A, B, C, OUT, WINDOW, RING, LENGTH, STATE = range(9)

# Operations: elementwise ones first, then what remembers, then what looks across symbols.
NAMES = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "and", "or", "not"),
    *("negative", "absolute", "sign", "sqrt", "log", "exp", "tanh", "isnan", "isfinite", "where"),
    *("history", "lag", "sum", "max", "min", "ewma", "last_known", "market_median", "market_sum"),
)
NUMBERS = {name: number for number, name in enumerate(NAMES)}
ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM = range(6)
LESS, LESS_EQUAL, GREATER, GREATER_EQUAL, EQUAL, NOT_EQUAL, AND, OR, NOT = range(6, 15)
NEGATIVE, ABSOLUTE, SIGN, SQRT, LOG, EXP, TANH, ISNAN, ISFINITE, WHERE = range(15, 25)
ZERO, ONE, TWO, LANES = Offset(0), Offset(1), Offset(2), Offset(32)
HISTORY, LAG, SUM, MAX, MIN, EWMA, LAST_KNOWN, MEDIAN, MARKET_SUM = range(25, 34)
