"""The search for raw SVI parameters, compiled: a linear problem inside, a closing grid outside."""

from __future__ import annotations

import numba
import numpy as np

from ...riskcore.arrays import FloatArray

SIDE = 7
"""Points of the grid a side."""
ROUNDS = 60
SHRINK = 0.5


@numba.njit(cache=True, nogil=True)
def fit_parameters(k: FloatArray, w: FloatArray, weight: FloatArray) -> tuple[float, float, float, float, float]:
    """Raw SVI parameters a, b, rho, m, sigma that best fit total variances.

    With y = (k - m) / sigma the model is linear: w = a + p (sqrt(y^2 + 1) + y) + q (sqrt(y^2 + 1) - y), where
    p = b sigma (1 + rho) / 2 and q = b sigma (1 - rho) / 2. Wings between flat and Lee's bound mean 0 <= p, q <= sigma.

    Parameters
    ----------
    k, w, weight
        Log moneyness, total variance and the weights of the squares, each of shape (n,).
    """
    reach = k.max() - k.min()
    mid_m, mid_s = 0.5 * (k.max() + k.min()), np.log(0.25 * reach)
    half_m, half_s = 0.5 * reach, 3.0
    best = np.array([np.inf, 0.0, 0.0, 0.0, mid_m, mid_s])
    for _ in range(ROUNDS):
        centre_m, centre_s, before = mid_m, mid_s, best[0]
        for i in range(SIDE):
            for j in range(SIDE):
                m = centre_m + half_m * (2.0 * i / (SIDE - 1) - 1.0)
                s = centre_s + half_s * (2.0 * j / (SIDE - 1) - 1.0)
                loss, a, p, q = best_linear(k, w, weight, m, np.exp(s))
                if loss < best[0]:
                    best[:] = (loss, a, p, q, m, s)
        mid_m, mid_s = best[4], best[5]
        inside = abs(mid_m - centre_m) < 0.99 * half_m and abs(mid_s - centre_s) < 0.99 * half_s
        if inside or best[0] == before:
            half_m, half_s = SHRINK * half_m, SHRINK * half_s
        if half_s < 1e-7:
            break
    a, p, q, m, sigma = best[1], best[2], best[3], best[4], np.exp(best[5])
    rho = (p - q) / (p + q) if p + q > 0.0 else 0.0
    return a, (p + q) / sigma, rho, m, sigma


@numba.njit(cache=True, nogil=True)
def best_linear(
    k: FloatArray, w: FloatArray, weight: FloatArray, m: float, sigma: float
) -> tuple[float, float, float, float]:
    """Weighted sum of squares and the a, p, q that make it least for given m and sigma, with 0 <= p, q <= sigma."""
    n = len(k)
    total, mean_u, mean_v, mean_w = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        y = (k[i] - m) / sigma
        root = np.sqrt(y * y + 1.0)
        total += weight[i]
        mean_u += weight[i] * (root + y)
        mean_v += weight[i] * (root - y)
        mean_w += weight[i] * w[i]
    mean_u, mean_v, mean_w = mean_u / total, mean_v / total, mean_w / total
    uu, uv, vv, uw, vw, ww = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        y = (k[i] - m) / sigma
        root = np.sqrt(y * y + 1.0)
        u, v, z = root + y - mean_u, root - y - mean_v, w[i] - mean_w
        uu += weight[i] * u * u
        uv += weight[i] * u * v
        vv += weight[i] * v * v
        uw += weight[i] * u * z
        vw += weight[i] * v * z
        ww += weight[i] * z * z
    p, q = in_box(uu, uv, vv, uw, vw, sigma)
    loss = ww - 2.0 * (p * uw + q * vw) + p * p * uu + 2.0 * p * q * uv + q * q * vv
    return loss, mean_w - p * mean_u - q * mean_v, p, q


@numba.njit(cache=True, nogil=True)
def in_box(uu: float, uv: float, vv: float, uw: float, vw: float, top: float) -> tuple[float, float]:
    """The p and q between 0 and `top` at which p^2 uu + 2 p q uv + q^2 vv - 2 (p uw + q vw) is least."""
    det = uu * vv - uv * uv
    if det > 1e-14 * uu * vv:
        p, q = (uw * vv - vw * uv) / det, (vw * uu - uw * uv) / det
        if 0.0 <= p <= top and 0.0 <= q <= top:
            return p, q
    best_p, best_q, least = 0.0, 0.0, np.inf
    for edge in range(4):
        fixed = top if edge % 2 else 0.0
        if edge < 2:
            p, q = fixed, min(max((vw - fixed * uv) / vv, 0.0), top) if vv > 0.0 else 0.0
        else:
            p, q = min(max((uw - fixed * uv) / uu, 0.0), top) if uu > 0.0 else 0.0, fixed
        loss = p * p * uu + 2.0 * p * q * uv + q * q * vv - 2.0 * (p * uw + q * vw)
        if loss < least:
            best_p, best_q, least = p, q, loss
    return best_p, best_q
