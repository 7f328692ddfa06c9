"""Textbook values of options and of touching a barrier, recomputed."""

from __future__ import annotations

import numpy as np

from ..models.reflection import touch_probability
from ..riskcore.options import black76
from ..riskcore.options.black_scholes import spot_greeks, spot_value
from .selfcheck_finding import Finding

HAUG = "E. Haug, The Complete Guide to Option Pricing Formulas (2nd ed., 2007), chapters 1 and 2"
HULL = "J. Hull, Options, Futures, and Other Derivatives, example in the chapter on Black-Scholes-Merton"
SHIFT = "M. Broadie, P. Glasserman and S. Kou, Mathematical Finance 7 (1997): -zeta(1/2) / sqrt(2 pi)"
WALKS, STEPS, BARRIER = 400_000, 100, 1.5


def option_findings() -> list[Finding]:
    """Haug and Hull's examples, the reflection principle and the shift of a barrier looked at in steps."""
    return [*_values(), *_greeks(), _reflection(), _shift()]


def _values() -> list[Finding]:
    cases = [
        ("call, Black-Scholes", HAUG, 2.1334, spot_value(60.0, 65.0, 0.25, 0.3, 1, rate=0.08), 5e-5),
        (
            "put with a dividend yield",
            HAUG,
            2.4648,
            spot_value(100, 95, 0.5, 0.2, -1, rate=0.1, dividend_yield=0.05),
            5e-5,
        ),
        ("call on a future, Black-76", HAUG, 1.7011, black76.value(19.0, 19.0, 0.75, 0.28, 1, np.exp(-0.075)), 5e-5),
        ("call at 42 struck at 40", HULL, 4.76, spot_value(42.0, 40.0, 0.5, 0.2, 1, rate=0.1), 5e-3),
        ("put at 42 struck at 40", HULL, 0.81, spot_value(42.0, 40.0, 0.5, 0.2, -1, rate=0.1), 5e-3),
    ]
    return [
        Finding(f"value of a {what}", source, figure, float(ours), error) for what, source, figure, ours, error in cases
    ]


def _greeks() -> list[Finding]:
    call, put = (spot_greeks(105.0, 100.0, 0.5, 0.36, side, rate=0.1, dividend_yield=0.1) for side in (1, -1))
    gamma = spot_greeks(55.0, 60.0, 0.75, 0.3, 1, rate=0.1).gamma
    theta = spot_greeks(430.0, 405.0, 1 / 12, 0.2, -1, rate=0.07, dividend_yield=0.05).theta
    rho = spot_greeks(72.0, 75.0, 1.0, 0.19, 1, rate=0.09).rho
    cases = {
        "delta of a call on a future": (0.5946, call.delta),
        "delta of a put on a future": (-0.3566, put.delta),
        "gamma": (0.0278, gamma),
        "theta of a put, a year": (-31.1924, theta),
        "rho of a call": (38.7325, rho),
    }
    return [Finding(what, HAUG, figure, float(ours), 5e-5) for what, (figure, ours) in cases.items()]


def _reflection() -> Finding:
    ours = float(touch_probability(np.array(1.6448536269514722)))
    return Finding("touching 1.645 standard deviations", "normal tables: twice 5%", 0.1, ours, 1e-12)


def _shift() -> Finding:
    """How much farther a barrier seems, in deviations a step, to who looks at the end of each step only."""
    rng, touched = np.random.default_rng(3), 0
    for _ in range(40):
        walk = rng.standard_normal((WALKS // 40, STEPS))
        touched += int((np.cumsum(walk, axis=1).min(axis=1) < -BARRIER * np.sqrt(STEPS)).sum())
    near, far = BARRIER, BARRIER + 0.2
    for _ in range(40):
        middle = 0.5 * (near + far)
        near, far = (middle, far) if touch_probability(np.array(middle)) > touched / WALKS else (near, middle)
    ours = (near - BARRIER) * np.sqrt(STEPS)
    what = f"shift of a barrier looked at in steps ({WALKS:,} walks of {STEPS})"
    return Finding(what, SHIFT, 0.5826, float(ours), 0.05)
