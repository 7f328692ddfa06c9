"""The structural baselines as one: what they are fed, that none looks ahead, threads, restart, other symbols."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import small_market as small

from margincast.features.market_data import MarketData
from margincast.riskcore.errors import InputError
from margincast.training.dataset import Dataset, simulated_dataset
from margincast.training.market_view import view_market
from margincast.training.realised_measures import HARQ_HOURS, realised_measures
from margincast.training.scale_inputs import scale_target
from margincast.training.scores import log_losses
from margincast.training.structural_models import STRUCTURAL_MODELS, StructuralModels, fit_structural_models
from margincast.training.structural_scales import StructuralScales, log_range_variance

FIRST, LAST = 31 * 24, 110 * 24
HORIZONS = small.HORIZONS


@cache
def rows(first: int, last: int, seed: int) -> Dataset:
    return simulated_dataset(
        small.view(), small.RULES, HORIZONS, accounts=600, first_bar=first, last_bar=last, seed=seed
    )


def later_rows() -> Dataset:
    return rows(LAST + 24, len(small.data().history), 9)


@cache
def fitted() -> StructuralModels:
    return fit_structural_models(small.view(), rows(FIRST, LAST, 8), FIRST, LAST)


@cache
def said() -> dict[str, np.ndarray]:
    return fitted().predict(later_rows().sample, small.data())


def changed(first: int) -> MarketData:
    """The market scrambled from bar `first` on, its bars also longer: scrambling alone keeps high / low."""
    data = small.scrambled(small.data(), first)
    high = np.array(data.history.high)
    high[first:] *= 1.01
    return replace(data, history=replace(data.history, high=high))


def test_measures_are_what_the_bars_before_say() -> None:
    data, bar = small.data(), 1500
    measures = realised_measures(data, np.array([bar, 20]))
    close, high, low = (data.mark(name) for name in ("close", "high", "low"))
    returns = np.diff(np.log(close[:bar, 1]))
    for k, hours in enumerate(HARQ_HOURS):
        last = returns[-hours:]
        assert measures.variance[1, k] == pytest.approx((last**2).mean(), rel=1e-9)
        assert measures.quarticity[1, k] == pytest.approx((last**4).mean() / 3, rel=1e-9)
        spans = np.log(high[bar - hours : bar, 1] / low[bar - hours : bar, 1]) ** 2
        assert measures.other[1, 1 + k] == pytest.approx(0.5 * np.log(spans.mean() / (4 * np.log(2))), rel=1e-9)
    day = returns[-24:]
    assert measures.other[1, -1] == pytest.approx((day[day < 0] ** 2).sum() / (day**2).sum() - 0.5, rel=1e-9)
    assert np.isnan(measures.variance[3:]).any() and len(measures) == 2 * len(data.symbols)
    span = np.log(high[7, 2] / low[7, 2])
    assert log_range_variance(data)[7, 2] == pytest.approx(np.log(span**2 / (4 * np.log(2))), rel=1e-9)


def test_harq_is_fitted_to_targets_that_had_come_and_read_at_the_right_bar() -> None:
    view, model = small.view(), fitted().scales_
    sigma = model.fields(view.data)["harq"].sigma
    target = scale_target(view.data, 4)[FIRST : LAST - 3]
    error = target - np.log(sigma[FIRST : LAST - 3, :, 1] / 2)
    assert np.nanmean(error) == pytest.approx(0.0, abs=1e-9)
    assert np.nanvar(error) < 0.8 * np.nanvar(target)


@pytest.mark.parametrize("name", ["harq", "realized_garch"])
def test_no_scale_at_a_bar_knows_that_bar_or_a_later_one(name: str) -> None:
    bar = LAST + 100
    before = fitted().scales_.fields(small.data())[name].sigma
    after = fitted().scales_.fields(changed(bar))[name].sigma
    assert before[: bar + 1].tobytes() == after[: bar + 1].tobytes()
    assert (before[bar + 1] != after[bar + 1]).all()


def test_no_probability_knows_its_bar_or_a_later_one() -> None:
    sample = later_rows().sample
    bar = int(np.median(sample.bar))
    after = fitted().predict(sample, changed(bar))
    for name, values in said().items():
        early, late = sample.bar <= bar, sample.bar > bar
        assert values[early].tobytes() == after[name][early].tobytes(), name
        assert name == "health_factor" or not np.array_equal(values[late], after[name][late])


def test_nothing_after_the_last_bar_is_learned_from() -> None:
    view = view_market(changed(LAST))
    again = fit_structural_models(view, rows(FIRST, LAST, 8), FIRST, LAST)
    equal_states(fitted().state(), again.state())
    sooner = view_market(changed(LAST - 1))
    other = StructuralScales(HORIZONS).fit(sooner.data, FIRST, LAST)
    assert (other.realized_garch_.parameters_ != fitted().scales_.realized_garch_.parameters_).any()


def equal_states(one, other) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            equal_states(one[key], other[key])
    else:
        np.testing.assert_array_equal(one, other)


def test_every_model_gives_probabilities_that_never_fall_with_the_horizon() -> None:
    assert tuple(said()) == STRUCTURAL_MODELS
    for name, values in said().items():
        assert values.shape == (len(later_rows()), len(HORIZONS)), name
        assert ((values >= 0) & (values <= 1)).all() and (np.diff(values, axis=1) >= 0).all(), name


def test_every_model_beats_the_mean_rate_on_accounts_seen_later() -> None:
    breached = later_rows().breached
    flat = log_losses(np.nanmean(rows(FIRST, LAST, 8).breached, axis=0), breached)
    for name, values in said().items():
        assert np.nanmean(log_losses(values, breached)) < 0.95 * np.nanmean(flat), name


def test_threads_and_a_restart_change_no_bit() -> None:
    back = StructuralModels.from_state(fitted().state(), threads=2)
    assert back.garch_.threads == back.historical_["fhs_harq"].threads == 2
    for name, values in back.predict(later_rows().sample, small.data()).items():
        assert values.tobytes() == said()[name].tobytes(), name


def test_another_market_is_refused_until_aligned() -> None:
    model = fitted()
    assert model.aligned(small.SYMBOLS) is model
    turned = model.aligned(("SOL", "NEW", "BTC"))
    with pytest.raises(InputError, match="symbols: are not those fitted, SOL, NEW, BTC"):
        turned.predict(later_rows().sample, small.data())
    again = turned.aligned(("BTC", "SOL", "NEW"))
    assert again.symbols == ("BTC", "SOL", "NEW")
    np.testing.assert_array_equal(again.garch_.parameters_[:2], model.garch_.parameters_[[0, 2]])
    own = model.scales_.realized_garch_.parameters_
    np.testing.assert_array_equal(turned.scales_.realized_garch_.parameters_[[2, 0]], own[[0, 2]])
    assert turned.garch_.fitted_.tolist() == [True, False, True]


def test_a_period_too_short_is_refused() -> None:
    with pytest.raises(InputError, match="too few complete rows|leaves no bars"):
        StructuralScales(HORIZONS).fit(small.data(), FIRST, FIRST + 10)
    with pytest.raises(InputError, match="leaves no bars to fit volatility over 1 bars"):
        StructuralScales(HORIZONS).fit(small.data(), FIRST, FIRST)
