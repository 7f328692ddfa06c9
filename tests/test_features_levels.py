"""Levels of volatility among the panel's features: which they are, and that nothing of them is left."""

from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.features.bar_table import bar_table
from margincast.features.families import LOG_RETURN, LOG_VOLATILITY
from margincast.features.levels import LEVEL, LOGS, MOVES, relative_to_level, tells_level
from margincast.features.panel import build_features, panel_features
from margincast.training.account_features import boosted_columns


def units():
    return {one.name: one.unit for one in panel_features(bar_table(small.data())).declarations}


def test_they_are_the_features_of_these_units():
    known = units()
    assert {n for n, unit in known.items() if unit == LOG_VOLATILITY} <= {n for n in known if n.startswith(LOGS)}
    assert {n for n, unit in known.items() if unit == LOG_RETURN} <= {n for n in known if n.startswith(MOVES)}
    others = {n for n in known if n.startswith((*LOGS, *MOVES)) and known[n] not in (LOG_VOLATILITY, LOG_RETURN)}
    assert others == {"log_amihud_24h", "spread_24h"}


def test_a_market_twice_as_wild_looks_the_same():
    """Every log price doubled: levels and moves of the panel change, what they are relative to the month does not."""
    history = small.data().history
    prices = {name: getattr(history, name) ** 2 for name in ("open", "high", "low", "close")}
    wild = replace(small.data(), history=replace(history, **prices))
    frames = [build_features(data) for data in (small.data(), wild)]
    known = units()
    names = [n for n in frames[0].names if known[n] in (LOG_VOLATILITY, LOG_RETURN)]
    one, other = ([frame.values[..., frame.names.index(n)] for n in names] for frame in frames)
    assert all(np.nanmin(np.abs(a - b)) > 0 for n, a, b in zip(names, one, other, strict=True) if n.startswith(LOGS))
    one, other = (relative_to_level(np.stack(values, axis=-1), names) for values in (one, other))
    np.testing.assert_allclose(other, one, rtol=1e-7, atol=1e-9)
    assert np.isfinite(one).any(axis=(0, 1)).all() and (one[..., names.index(LEVEL)][-1] == 0).all()


def test_what_cannot_be_told_relative_is_missing_or_as_it_was():
    names = ("log_ewma_24h", LEVEL, "return_24h", "jump_share_24h")
    row = np.array([[-4.0, np.nan, 0.1, 0.3]])
    assert np.isnan(relative_to_level(row, names)).tolist() == [[True, True, True, False]]
    assert (relative_to_level(row[:, [0, 2]], ("log_ewma_24h", "return_24h")) == row[:, [0, 2]]).all()
    assert np.isnan(row[0, 1]) and row[0, 0] == -4.0


@pytest.mark.parametrize("booster", ["lightgbm_", "correction_"])
def test_no_booster_of_accounts_sees_a_level(booster):
    model = small.fitted()
    columns = getattr(model, booster).columns
    assert not [name for name in columns if tells_level(name.removeprefix("leg_"))]
    assert set(boosted_columns(model.columns_)) <= set(columns) < {*model.columns_, *columns}
