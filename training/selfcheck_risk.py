"""Textbook values of risk measures and of survival, recomputed."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri, stdtrit

from ..models.competing_risks import cumulative_incidence
from ..riskcore.arrays import FloatArray
from ..riskcore.portfolio.value_at_risk import expected_shortfall, value_at_risk
from .selfcheck_finding import Finding, compared

QRM = "A. McNeil, R. Frey and P. Embrechts, Quantitative Risk Management (2005), table 2.1: 10,000 at 20% a year"
NORMAL_VAR = {"0.90": 162.1, "0.95": 208.1, "0.975": 247.9, "0.99": 294.3, "0.995": 325.8}
STUDENT_VAR = {"0.90": 137.1, "0.95": 190.7, "0.975": 248.3, "0.99": 335.1, "0.995": 411.8}
NORMAL_SHORTFALL = {"0.90": 222.0, "0.95": 260.9, "0.975": 295.7, "0.99": 337.1, "0.995": 365.8}
DEVIATION = 10_000 * 0.2 / np.sqrt(250)
FREIREICH = "E. Freireich et al., Blood 21 (1963), remission under 6-MP; Kaplan-Meier as in Kalbfleisch and Prentice"
WEEKS = (6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35)
RELAPSED = (1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0)
SURVIVAL = {"6": 0.857, "7": 0.807, "10": 0.753, "13": 0.690, "16": 0.627, "22": 0.538, "23": 0.448}


def risk_findings() -> list[Finding]:
    """Value at risk and expected shortfall of normal and Student losses; survival of a censored sample."""
    tail, weight = fine_tail()
    normal = DEVIATION * -ndtri(tail)
    student = DEVIATION * -stdtrit(4.0, tail) / np.sqrt(2.0)
    said = "of normal losses at {}", "of Student losses with 4 degrees of freedom at {}"
    return [
        *compared(
            f"value at risk {said[0]}", QRM, NORMAL_VAR, lambda a: value_at_risk(-normal, float(a), weight), 0.06
        ),
        *compared(
            f"value at risk {said[1]}", QRM, STUDENT_VAR, lambda a: value_at_risk(-student, float(a), weight), 0.06
        ),
        *compared(
            f"expected shortfall {said[0]}",
            QRM,
            NORMAL_SHORTFALL,
            lambda a: expected_shortfall(-normal, float(a), weight),
            0.06,
        ),
        *_survival(),
    ]


def fine_tail() -> tuple[FloatArray, FloatArray]:
    """Probabilities of a loss at least as large, and weights, of scenarios that are close where losses are large."""
    edges = np.concatenate(([0.0], np.geomspace(1e-12, 0.2, 40_000), [1.0]))
    return 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)


def _survival() -> list[Finding]:
    found = cumulative_incidence(WEEKS, RELAPSED, 1)
    ours = {f"{time:g}": float(left) for time, left in zip(found.time, found.survival, strict=True)}
    return compared("share still in remission after week {}", FREIREICH, SURVIVAL, ours.__getitem__, 5.5e-4)
