"""When a learned forecast is not to be asked: the market or the pool lies outside of what it was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..models.sample import AccountSample, ScaleField
from ..riskcore.arrays import FloatArray
from .reference import Reference

SCALE_SLACK = 1.25
"""Forecast scales up to this factor beyond the training range are trusted."""
MOST_MISSING = 0.25
"""Largest share of missing values among the features that nearly every training row had."""

Reasons = NDArray[np.str_]


def no_reasons(rows: int) -> Reasons:
    """An empty reason for each row: nothing speaks against the learned forecast."""
    return np.full(rows, "", dtype="U240")


def out_of_range(reference: Reference, sample: AccountSample, scale: ScaleField, names: tuple[str, ...]) -> Reasons:
    """Why each row lies outside of the training sample; "" where it does not.

    Parameters
    ----------
    reference
        What is known of the training sample.
    sample
        Rows, with the columns of the reference.
    scale
        The learned scale at their bars.
    names
        Names of the horizons.

    Notes
    -----
    Looked at are the forecast scale of each leg, against the lowest and highest of any series in training (boosted
    trees do not extrapolate: beyond it they repeat the edge), and the share of features without a value.
    """
    out = no_reasons(len(sample))
    share = _missing_share(reference, sample)
    for row in np.flatnonzero(share > MOST_MISSING):
        out[row] = f"{share[row]:.0%} of the features that training rows had are missing"
    for k, horizon in enumerate(sample.horizons):
        low, high = reference.scale_range[k, 0] / SCALE_SLACK, reference.scale_range[k, 1] * SCALE_SLACK
        least, most = _extremes(sample, scale.of_entries(sample, horizon))
        for row in np.flatnonzero(((least < low) | (most > high)) & (out == "")):
            beyond, edge, side = (most, high, "above") if most[row] > high else (least, low, "below")
            out[row] = (
                f"forecast volatility over {names[k]} of {beyond[row]:.3g} is {side} the trained range ({edge:.3g})"
            )
    return out


def _missing_share(reference: Reference, sample: AccountSample) -> FloatArray:
    place = {name: k for k, name in enumerate(sample.feature_names)}
    usual = [name for name, known in zip(reference.columns, reference.usually_known, strict=True) if known]
    if not usual:
        return np.zeros(len(sample))
    there = [place[name] for name in usual if name in place]
    missing = np.isnan(sample.features[:, there]).sum(axis=1) + len(usual) - len(there)
    return np.asarray(missing / len(usual))


def _extremes(sample: AccountSample, sigma: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest scale of each row's legs; NaN for rows without any, and unknown scales are passed over."""
    row = np.repeat(np.arange(len(sample)), np.diff(sample.exposure.pointer))
    known = np.isfinite(sigma)
    least, most = np.full(len(sample), np.inf), np.full(len(sample), -np.inf)
    np.minimum.at(least, row[known], sigma[known])
    np.maximum.at(most, row[known], sigma[known])
    bare = ~np.isfinite(least)
    return np.where(bare, np.nan, least), np.where(bare, np.nan, most)
