"""A natural logarithm of plain arithmetic: the same bits on every machine, for one bar or a thousand.

Library logarithms differ in the last bit between processors, and between the vector and the scalar code of one library;
and they are the dearest part of a feature. This one is branch-free, so that a compiler makes vector code of it.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ...riskcore.arrays import FloatArray

# ln 2 in two parts, and the coefficients of the minimax polynomial of log((1 + s) / (1 - s)) on |s| < 0.1716: Sun
# Microsystems' fdlibm 5.3, e_log.c, whose error bound is one unit in the last place.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
L1, L2, L3, L4 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01
L5, L6, L7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01

SMALLEST_NORMAL, TWO_54 = 2.2250738585072014e-308, 18014398509481984.0
HALF_ROOT = 0x3FE6A09E00000000  # bits of sqrt(1/2), rounded down: mantissas are taken from [sqrt(1/2), sqrt(2))
MANTISSA = 0x000FFFFFFFFFFFFF
ONE = 0x3FF0000000000000
SHIFTER, SHIFTER_BITS = 6755399441055744.0, 0x4338000000000000  # 1.5 * 2^52: adds an integer into the low bits


@intrinsic
def _bits_of(typing: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _float_of(typing: Any, bits: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], ir.DoubleType())

    return types.float64(types.int64), generate


@numba.njit(nogil=True, inline="always", error_model="numpy")
def log_one(x: float) -> float:
    """Natural logarithm of one number; -inf at zero, NaN below it."""
    tiny = x < SMALLEST_NORMAL
    scaled = x * TWO_54 if tiny else x
    shifted = _bits_of(scaled) + (ONE - HALF_ROOT)  # type: ignore[call-arg]
    exponent = (shifted >> 52) - 1023
    k = (_float_of(exponent + SHIFTER_BITS) - SHIFTER) - (54.0 if tiny else 0.0)
    f = _float_of((shifted & MANTISSA) + HALF_ROOT) - 1.0
    half_square = 0.5 * f * f
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    tail = w * (L2 + w * (L4 + w * L6)) + z * (L1 + w * (L3 + w * (L5 + w * L7)))
    value = k * LN2_HIGH - ((half_square - (s * (half_square + tail) + k * LN2_LOW)) - f)
    value = value if x > 0.0 else (-np.inf if x == 0.0 else np.nan)
    return value if x < np.inf else (np.inf if x == np.inf else np.nan)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def log_into(values: FloatArray, out: FloatArray) -> None:
    """Logarithms of a contiguous array, written to another.

    Examples
    --------
    >>> out = np.empty(3)
    >>> log_into(np.array([1.0, 10.0, 0.0]), out)
    >>> out.round(6).tolist()
    [0.0, 2.302585, -inf]
    """
    for k in range(len(values)):
        out[k] = log_one(values[k])
