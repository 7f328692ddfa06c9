"""Account features: nothing of the future in them, directions that hold, averages over legs by plain loops."""

from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.exposure import linearise_at
from margincast.riskcore.what_if import with_deposit
from margincast.training.account_features import (
    DIRECTIONAL,
    DIRECTIONS,
    account_features,
    bar_risk,
    coin_value,
    structural_directions,
)
from margincast.training.dataset import sample_of
from margincast.training.market_view import view_market
from margincast.training.population import simulate_accounts

BAR = 70 * 24 + 5


@pytest.fixture(scope="module")
def book():
    history = small.data().history
    drawn = simulate_accounts(
        history, small.RULES, accounts=200, first_bar=BAR, last_bar=BAR + 1, horizons=small.HORIZONS, seed=2
    )
    return drawn.book


@pytest.fixture(scope="module")
def sample(book):
    return sample_at(small.view(), book)


def sample_at(view, book):
    return sample_of(view, book, np.full(len(book), BAR), small.RULES, small.HORIZONS)


def test_nothing_at_or_after_a_pools_bar_moves_a_bit_of_its_features(book, sample):
    changed = sample_at(view_market(small.scrambled(small.data(), BAR)), book)
    assert changed.feature_names == sample.feature_names
    assert changed.features.tobytes() == sample.features.tobytes()
    assert changed.exposure.weight.tobytes() == sample.exposure.weight.tobytes()


def test_the_canary_sings_for_the_bar_before(book, sample):
    """Nearly every feature looks at the last closed bar: if that changes, most columns do."""
    changed = sample_at(view_market(small.scrambled(small.data(), BAR - 1)), book)
    differs = ~np.isclose(changed.features, sample.features, rtol=1e-12, atol=0, equal_nan=True).all(axis=0)
    assert differs.mean() > 0.7


def test_a_deposit_moves_only_features_with_a_direction_and_those_towards_safety(book, sample):
    """What the boosters' monotone constraints rest on."""
    gross = sample.exposure.gross
    for share in (1e-6, 0.05, 1.0):
        richer = sample_at(small.view(), with_deposit(book, share * gross))
        for name in sample.feature_names:
            before, after = sample.column(name), richer.column(name)
            if name in DIRECTIONS:
                assert (DIRECTIONS[name] * (after - before) <= 0).all(), name
                assert (after != before).any(), name
            else:
                assert np.array_equal(before, after, equal_nan=True), name


def test_every_direction_is_a_feature(sample):
    assert set(DIRECTIONS) <= set(sample.feature_names)
    assert structural_directions(("logit_fhs_1", "leverage")) == {"logit_fhs_1": 1}


def test_risk_made_beforehand_changes_nothing(book, sample):
    risk = bar_risk(small.view(), np.array([BAR - 3, BAR, BAR + 2]))
    again = sample_of(small.view(), book, np.full(len(book), BAR), small.RULES, small.HORIZONS, risk)
    assert np.array_equal(again.features, sample.features, equal_nan=True)


def test_coins_are_valued_at_the_last_close(book):
    view = small.view()
    values = coin_value(view, book, np.full(len(book), BAR))
    for p in range(0, len(book), 7):
        mine = slice(book.balance_pointer[p], book.balance_pointer[p + 1])
        plain = 0.0
        for asset, amount in zip(book.balance_asset[mine], book.balance[mine], strict=True):
            name = book.instruments.assets[asset]
            if name != "USDT":
                plain += amount * view.data.mark("close")[BAR - 1, small.SYMBOLS.index(name)]
        assert values[p] == pytest.approx(plain, rel=1e-12)
    assert (values > 0).any() and (values == 0).any()


def test_market_features_are_averages_over_the_legs_by_weight(book, sample):
    view, exposure = small.view(), sample.exposure
    frame = view.frame
    row = int(np.searchsorted(frame.bars, BAR))
    for p in range(0, len(book), 11):
        mine = slice(exposure.pointer[p], exposure.pointer[p + 1])
        series, weight = exposure.series[mine], exposure.weight[mine]
        for k, name in enumerate(frame.names):
            plain = 0.0
            for s, w in zip(series, weight, strict=True):
                turn = -np.sign(w) if name.startswith(DIRECTIONAL) else 1.0
                plain += turn * frame.values[row, s, k] * abs(w) / np.abs(weight).sum()
            assert sample.column(f"leg_{name}")[p] == pytest.approx(plain, rel=1e-9, abs=1e-12, nan_ok=True), name


def test_a_mirrored_book_turns_signed_market_features_and_no_others(book):
    """Without coins and profit, longs for shorts: what was good for the book is bad for it."""
    view, bars = small.view(), np.full(len(book), BAR)
    exposure = linearise_at(book, bars, view.history, small.RULES)
    mirrored = replace(exposure, weight=-exposure.weight)
    one, names = account_features(view, book, exposure, bars)
    other, _ = account_features(view, book, mirrored, bars)
    for k, name in enumerate(names):
        if name.startswith("leg_"):
            sign = -1 if name.removeprefix("leg_").startswith(DIRECTIONAL) else 1
            assert np.array_equal(other[:, k], sign * one[:, k], equal_nan=True), name


def test_unknown_history_is_not_a_number(book):
    """A coin whose order book and funding are absent leaves those columns out; nothing is filled in."""
    bare = replace(small.data(), depth=None, funding_rate=None, open_interest=None)
    sample = sample_at(view_market(bare), book)
    assert not any("depth" in n or "imbalance" in n or "funding" in n for n in sample.feature_names)
