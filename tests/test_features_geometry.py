"""Account geometry against a plain twin, and the properties it must have."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.accounts.geometry import BOOK_FEATURES, account_geometry, geometry_names
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure

TIMES, SERIES, MEASURES = 4, 6, 3
NAMES = geometry_names(["6h", "24h", "30d"])


def market(seed):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(TIMES, SERIES, 2 * SERIES))
    covariance = factors @ factors.swapaxes(1, 2)
    scale = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return rng.uniform(0.002, 0.03, (TIMES, SERIES, MEASURES)), covariance / scale[:, :, None] / scale[:, None, :]


def pools(seed, count=60):
    rng = np.random.default_rng(seed)
    legs = [rng.permutation(SERIES)[: rng.integers(0, SERIES + 1)] for _ in range(count)]
    pointer = np.concatenate([[0], np.cumsum([len(leg) for leg in legs])])
    weight = rng.normal(0, 500, pointer[-1])
    equity, maintenance = rng.uniform(-20, 300, count), rng.uniform(0, 100, count)
    equity[:3] = 0.0
    exposure = Exposure(
        pointer, np.concatenate(legs).astype(np.int64), weight, equity - maintenance, equity, maintenance
    )
    return exposure, rng.uniform(0, 50, count), rng.integers(0, TIMES, count)


def over(value, base):
    if base <= 0:
        return np.inf if value != 0 else (np.nan if base == 0 else 0.0)
    return value / base


def twin(exposure, coin_value, row, sigma, correlation):
    """One pool at a time, by the formulas, with dense vectors."""
    out = []
    for p in range(len(exposure)):
        w = np.zeros(SERIES)
        own = slice(exposure.pointer[p], exposure.pointer[p + 1])
        w[exposure.series[own]] = exposure.weight[own]
        held, rho = w != 0, correlation[row[p]]
        distances = []
        for v in range(MEASURES):
            risks = w * sigma[row[p], :, v]
            spread = np.sqrt(risks @ rho @ risks)
            distances.append(exposure.headroom[p] / spread if spread else np.copysign(np.inf, exposure.headroom[p]))
        gross, alone = np.abs(w).sum(), np.abs(w) * sigma[row[p], :, 0]
        shares = np.abs(w) / gross if gross else np.full(SERIES, np.nan)
        pairs = np.outer(w, w)[np.triu_indices(SERIES, 1)]
        legs = np.nan
        if held.sum() > 1:
            legs = (pairs * rho[np.triu_indices(SERIES, 1)]).sum() / np.abs(pairs).sum()
        worst = max(abs(np.sum(w * move)) for size in (0.04, 0.08, 0.12, 0.16) for move in (-size, size))
        out.append(
            [
                *distances,
                over(gross, exposure.equity[p]),
                (shares**2).sum(),
                w.sum() / gross if gross else np.nan,
                over(exposure.maintenance[p], exposure.equity[p]),
                alone.max() / alone.sum() if gross else np.nan,
                over(coin_value[p], exposure.equity[p]),
                legs,
                over(worst, exposure.headroom[p]),
            ]
        )
    return np.array(out)


@pytest.mark.parametrize("seed", range(5))
def test_the_kernel_is_its_plain_twin(seed):
    exposure, coins, row = pools(seed)
    sigma, correlation = market(seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = twin(exposure, coins, row, sigma, correlation)
    found = account_geometry(exposure, coins, row, sigma, correlation)
    assert found.shape == (60, len(NAMES)) and len(NAMES) == MEASURES + len(BOOK_FEATURES)
    for column, name in enumerate(NAMES):
        np.testing.assert_allclose(found[:, column], expected[:, column], rtol=1e-10, err_msg=name)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.sampled_from([0.25, 2.0, 1024.0]))
def test_the_currency_does_not_matter(seed, factor):
    exposure, coins, row = pools(seed, 10)
    sigma, correlation = market(seed)
    parts = (exposure.weight, exposure.headroom, exposure.equity, exposure.maintenance)
    other = Exposure(exposure.pointer, exposure.series, *(factor * part for part in parts))
    one = account_geometry(exposure, coins, row, sigma, correlation)
    np.testing.assert_allclose(account_geometry(other, factor * coins, row, sigma, correlation), one, rtol=1e-12)


def test_order_of_pools_does_not_matter_to_the_bit():
    exposure, coins, row = pools(1)
    sigma, correlation = market(1)
    whole = account_geometry(exposure, coins, row, sigma, correlation)
    order = np.random.default_rng(0).permutation(len(exposure))
    found = account_geometry(exposure.take(order), coins[order], row[order], sigma, correlation)
    np.testing.assert_array_equal(found, whole[order])


def one_pool(weights, headroom=30.0, equity=40.0):
    n = len(weights)
    amounts = np.array([headroom]), np.array([equity]), np.array([equity - headroom])
    return Exposure(np.array([0, n]), np.arange(n), np.array(weights, float), *amounts)


def seen(exposure, sigma=0.01, rho=0.5, n=2):
    correlation = np.full((1, n, n), rho)
    values = account_geometry(exposure, np.zeros(1), np.zeros(1, np.int64), np.full((1, n, 1), sigma), correlation)
    return dict(zip(geometry_names(["24h"]), values[0].tolist(), strict=True))


def test_a_hedge_is_farther_from_liquidation_than_its_legs_together():
    assert (
        seen(one_pool([100.0, -100.0]), rho=0.9)["distance_24h"]
        > seen(one_pool([100.0, 100.0]), rho=0.9)["distance_24h"]
    )
    assert seen(one_pool([100.0, -100.0]), rho=0.9)["leg_correlation"] == pytest.approx(-0.9)
    assert seen(one_pool([-100.0, -100.0]), rho=0.9)["leg_correlation"] == pytest.approx(0.9)
    assert seen(one_pool([100.0, -100.0]), rho=1.0)["scenario_usage"] == 0.0


def test_one_leg_by_hand():
    values = seen(one_pool([-250.0]), sigma=0.02, rho=np.nan, n=1)
    assert values["distance_24h"] == pytest.approx(30 / 5)
    assert values["scenario_usage"] == pytest.approx(40 / 30)
    assert (values["concentration"], values["net_share"], values["worst_leg_share"]) == (1.0, -1.0, 1.0)
    assert np.isnan(values["leg_correlation"])


def test_an_empty_pool_is_infinitely_far_and_an_insolvent_one_infinitely_levered():
    empty = seen(one_pool([]))
    assert empty["distance_24h"] == np.inf and empty["leverage"] == 0.0 and np.isnan(empty["concentration"])
    broke = seen(one_pool([100.0], headroom=-5.0, equity=0.0))
    assert broke["leverage"] == np.inf and broke["scenario_usage"] == np.inf and broke["distance_24h"] < 0


def test_what_is_not_known_of_a_leg_is_not_known_of_the_distance():
    values = seen(one_pool([100.0, 100.0]), rho=np.nan)
    assert np.isnan(values["distance_24h"]) and np.isnan(values["leg_correlation"])
    assert values["leverage"] == 5.0
    assert np.isnan(seen(one_pool([100.0, 100.0]), sigma=np.nan)["worst_leg_share"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coin_value": np.zeros(2)}, r"column coin_value: has shape \(2,\), expected \(1,\)"),
        ({"row": np.array([1])}, r"row 0, column row: is not one of 1 \(found 1\)"),
        ({"sigma": np.ones((1, 1, 1)), "correlation": np.ones((1, 1, 1))}, "row 1, column series: is not one of 1"),
        ({"correlation": np.ones((1, 2, 3))}, "column correlation: has shape"),
    ],
)
def test_shapes_that_disagree_are_refused(change, message):
    given_ = {"coin_value": np.zeros(1), "row": np.zeros(1, np.int64), "sigma": np.ones((1, 2, 1))}
    given_ |= {"correlation": np.ones((1, 2, 2))} | change
    with pytest.raises(InputError, match=message):
        account_geometry(one_pool([1.0, 2.0]), **given_)
