"""Forecasts of scale: targets that look where they should, folds that have not seen their bars, plain formulas."""

from dataclasses import replace

import numpy as np
import pytest
import small_market as small
from sklearn.linear_model import LinearRegression

from margincast.features.levels import LEVEL, LOGS, MOVES, relative_to_level
from margincast.features.market_data import MarketData
from margincast.features.volatility.day_types import day_type_ahead
from margincast.features.volatility.estimators import parkinson
from margincast.features.volatility.season_ahead import season_ahead
from margincast.riskcore.errors import InputError
from margincast.training import scales
from margincast.training.market_view import view_market
from margincast.training.scale_inputs import SEASONS, ScaleInputs, scale_target
from margincast.training.scales import FOLDS, ScaleForecaster, usual_scale
from margincast.training.structural_scales import StructuralScales

FIRST, LAST = 31 * 24, 110 * 24
HORIZONS = (1, 6)


@pytest.fixture(scope="module")
def forecaster() -> ScaleForecaster:
    view = small.view()
    return ScaleForecaster(HORIZONS, rounds=10).fit(view.data, view.frame, FIRST, LAST)


@pytest.fixture(scope="module")
def fields(forecaster):
    view = small.view()
    return forecaster.fields(view.data, view.frame)


def test_the_target_is_the_root_mean_parkinson_variance_of_the_coming_bars():
    history = small.data().history
    target = scale_target(small.data(), 6)
    for bar in (1, 500, len(history) - 6):
        ranges = np.log(history.high[bar : bar + 6, 1] / history.low[bar : bar + 6, 1])
        assert target[bar, 1] == pytest.approx(0.5 * np.log((ranges**2).mean() / (4 * np.log(2))), rel=1e-9)
    assert np.isnan(target[len(history) - 5 :]).all() and np.isfinite(target[: len(history) - 5]).all()


def test_a_market_shorter_than_the_horizon_has_no_target():
    """A young spot market must not stop a training."""
    data = small.data()
    for longer in (1, 2, 500):
        target = scale_target(data, len(data.history) + longer)
        assert target.shape == (len(data.history) + 1, len(data.symbols)) and np.isnan(target).all()


def test_the_target_changes_with_its_own_bars_only():
    bar, horizon = 1000, 6
    target = scale_target(small.data(), horizon)
    data = small.data()
    for first, same in ((bar + horizon, True), (bar + horizon - 1, False)):
        changed = small.scrambled(data, first)
        high = np.array(changed.history.high)
        high[first] *= 1.5
        changed = replace(changed, history=replace(changed.history, high=high))
        assert (scale_target(changed, horizon)[bar] == target[bar]).all() == same


def test_no_scale_at_a_bar_knows_that_bar_or_a_later_one(forecaster, fields):
    bar = LAST + 24 * 7 + 3
    view = view_market(small.scrambled(small.data(), bar))
    changed = forecaster.fields(view.data, view.frame)
    for name, field in fields.items():
        assert changed[name].sigma[: bar + 1].tobytes() == field.sigma[: bar + 1].tobytes(), name
        assert not np.array_equal(changed[name].sigma[bar + 1], field.sigma[bar + 1]), name


def test_only_asked_bars_give_the_same_numbers(forecaster, fields):
    view, bars = small.view(), np.array([LAST + 5, FIRST + 50, LAST + 5])
    some = forecaster.fields(view.data, view.frame, bars)["learned"].sigma
    assert (some[bars] == fields["learned"].sigma[bars]).all()
    assert np.isnan(some[LAST + 6]).all()


def test_the_blend_is_the_mean_variance_of_three_windows(fields):
    close = small.data().mark("close")
    for bar in (800, 2000):
        variances = [(np.diff(np.log(close[bar - w - 1 : bar, 2])) ** 2).mean() for w in (6, 24, 720)]
        expected = np.sqrt(np.mean(variances) * np.array(HORIZONS))
        assert fields["blend"].sigma[bar, 2] == pytest.approx(expected, rel=1e-9)


def test_the_usual_scale_is_thirty_days_of_returns():
    close, bar = small.data().mark("close"), 1500
    returns = np.diff(np.log(close[bar - 721 : bar, 0]))
    field = usual_scale(small.data(), HORIZONS, bar)
    expected = np.sqrt((returns**2).mean() * np.array(HORIZONS))
    assert field.sigma[bar, 0] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(field.sigma[bar - 1]).all()


def test_the_autoregression_is_least_squares_on_its_columns_before_the_end(forecaster, fields):
    view = small.view()
    inputs = ScaleInputs(view.data, view.frame)
    columns, target, rows = inputs.har_columns(), scale_target(view.data, 6), np.arange(FIRST, LAST - 6 + 1)
    x, y = columns[rows].reshape(-1, columns.shape[2]), target[rows].ravel()
    known = np.isfinite(x).all(axis=1) & np.isfinite(y)
    model = LinearRegression().fit(x[known], y[known])
    assert forecaster.har_[6].coefficients_[1:] == pytest.approx(model.coef_, rel=1e-6, abs=1e-8)
    bar = LAST + 100
    expected = np.exp(model.predict(columns[bar])) * np.sqrt(6)
    assert fields["har"].sigma[bar, :, 1] == pytest.approx(expected, rel=1e-6)


def test_nothing_after_the_last_bar_is_learned_from(forecaster):
    view = view_market(small.scrambled(small.data(), LAST))
    again = ScaleForecaster(HORIZONS, rounds=10).fit(view.data, view.frame, FIRST, LAST)
    one, other = forecaster.state(), again.state()
    assert one["learned"] == other["learned"]
    assert all((one["har"][h]["coefficients"] == other["har"][h]["coefficients"]).all() for h in one["har"])


def test_the_trees_start_from_harq(forecaster):
    view = small.view()
    base = forecaster._base(ScaleInputs(view.data, view.frame), 6)
    harq = StructuralScales(HORIZONS).fit(view.data, FIRST, LAST).fields(view.data)["harq"].sigma[:, :, 1]
    assert np.array_equal(np.exp(base) * np.sqrt(6), harq, equal_nan=True)


def test_the_usual_level_of_the_bars_ahead_is_among_the_columns():
    """By time of day and of week; by type of day for less than a day, of the coin and of the mean over all."""
    view = small.view()
    inputs = ScaleInputs(view.data, view.frame)
    base = np.zeros((len(view.data.history) + 1, len(view.data.symbols)))
    high, low = view.data.mark("high"), view.data.mark("low")
    ranges = np.log(parkinson(high, low, 1)) - np.log(parkinson(high, low, 168))
    start, step = view.data.times[0], view.data.history.step
    of_all = day_type_ahead(ranges.mean(axis=1, keepdims=True), start, step, 6, 26)
    expected = [
        season_ahead(ranges, 6, 24, 28),
        season_ahead(ranges, 6, 168, 12),
        day_type_ahead(ranges, start, step, 6, 26),
        np.broadcast_to(of_all, base.shape),
    ]
    found = inputs.learned_columns(6, SEASONS, base)
    np.testing.assert_allclose(found, np.stack(expected, axis=2), rtol=0, atol=1e-12)
    assert np.isfinite(found[LAST]).all() and len(np.unique(found[LAST])) == found[LAST].size - 2
    of_a_day = inputs.learned_columns(24, SEASONS, base)
    assert np.isfinite(of_a_day[LAST, :, :2]).all() and np.isnan(of_a_day[:, :, 2:]).all()


def test_leaves_hold_more_rows_the_longer_windows_overlap(forecaster):
    for horizon, least in ((1, 100), (6, 600)):
        for model in forecaster.state()["learned"][str(horizon)]["models"]:
            lines = [line for line in model["booster"].splitlines() if line.startswith("leaf_count=")]
            counts = [int(count) for line in lines for count in line.removeprefix("leaf_count=").split()]
            assert len(lines) == 10 and least <= min(counts) < 6 * least


def test_the_learned_scale_is_the_mean_of_one_that_sees_levels_and_one_that_does_not(forecaster, fields):
    """A series told to be e times as volatile: the relative half of the trees says the same of it, e times as high."""
    view, bar = small.view(), LAST + 100
    inputs = ScaleInputs(view.data, view.frame)
    pair, base = forecaster.learned_[6], forecaster._base(inputs, 6)
    names, (level, relative) = pair.names_, pair.models
    features = inputs.learned_columns(6, names, base)[bar]
    halves = [level.predict(features, base[bar]), relative.predict(relative_to_level(features, names), base[bar])]
    assert fields["learned"].sigma[bar, :, 1] == pytest.approx(np.exp(np.mean(halves, axis=0)) * np.sqrt(6), rel=1e-12)
    wilder = np.array(features)
    for k, name in enumerate(names):
        wilder[:, k] = wilder[:, k] + 1 if name.startswith(LOGS) else wilder[:, k]
        wilder[:, k] = wilder[:, k] * np.e if name.startswith(MOVES) else wilder[:, k]
    said = relative.predict(relative_to_level(wilder, names), base[bar] + 1)
    assert said == pytest.approx(halves[1] + 1, rel=1e-12)
    assert not np.allclose(level.predict(wilder, base[bar] + 1), halves[0] + 1, atol=1e-6)


def with_spot(spot: MarketData) -> MarketData:
    return replace(small.data(), spot_market=spot)


def fitted_state(data: MarketData) -> dict:
    state = ScaleForecaster((6,), rounds=10).fit(data, small.view().frame, FIRST, LAST).state()
    return {"har": state["har"]["6"]["coefficients"].tolist(), "learned": state["learned"]}


def test_spot_markets_of_earlier_years_are_learned_from_and_the_autoregression_is_not_fitted_on_them():
    earlier = replace(small.data().history, times=small.data().history.times - np.timedelta64(2000, "h"))
    alone, pooled = fitted_state(small.data()), fitted_state(with_spot(replace(small.data(), history=earlier)))
    assert alone["learned"] != pooled["learned"]
    assert alone["har"] == pooled["har"]


def test_nothing_after_the_last_bar_is_learned_from_spot_markets():
    honest = fitted_state(with_spot(small.data()))
    assert honest == fitted_state(with_spot(small.scrambled(small.data(), LAST)))
    assert honest != fitted_state(with_spot(small.scrambled(small.data(), LAST - 200)))


class _Flat:
    """Stands in for the autoregression, which is fitted once on all bars: says the same whatever it is fitted on."""

    def fit(self, measures, target):
        return self

    def predict(self, measures):
        return np.full(len(measures.variance), -5.0)


@pytest.mark.parametrize("spot", [False, True])
def test_training_bars_are_forecast_by_a_fold_that_has_not_seen_them(monkeypatch, spot):
    """Targets that touch the second fold are changed: its own forecasts stay, bit for bit; the others' do not."""
    monkeypatch.setattr(scales, "HarqScale", _Flat)
    view, horizon = small.view(), 6
    data = with_spot(small.data()) if spot else view.data
    edges = np.linspace(FIRST, LAST, FOLDS + 1).astype(int)
    inside = slice(edges[1] - horizon + 1, edges[2])

    def learned() -> np.ndarray:
        model = ScaleForecaster((horizon,), rounds=10).fit(data, view.frame, FIRST, LAST)
        return model.fields(data, view.frame)["learned"].sigma

    honest = learned()
    monkeypatch.setattr(scales, "scale_target", lambda data, h: _with_noise(scale_target(data, h), inside))
    changed = learned()
    assert (changed[edges[1] : edges[2]] == honest[edges[1] : edges[2]]).all()
    assert (changed[edges[0] : edges[1]] != honest[edges[0] : edges[1]]).any()
    assert (changed[edges[2] : edges[3]] != honest[edges[2] : edges[3]]).any()
    assert (changed[LAST + 1 :] != honest[LAST + 1 :]).any()


def _with_noise(target: np.ndarray, inside: slice) -> np.ndarray:
    target[inside] += np.random.default_rng(0).normal(0.0, 2.0, target[inside].shape)
    return target


def test_a_stored_forecaster_says_the_same_of_bars_after_training(forecaster, fields):
    view = small.view()
    stored = ScaleForecaster.from_state(forecaster.state())
    again = stored.fields(view.data, view.frame)
    for name, field in fields.items():
        assert np.array_equal(again[name].sigma[LAST:], field.sigma[LAST:], equal_nan=True), name


def test_the_learned_scale_beats_the_autoregression_on_average_over_unseen_bars(forecaster, fields):
    """Not by much on so little data, but it must not be worse by more than a hair."""
    target = scale_target(small.data(), 6)[LAST : len(small.data().history) - 5]
    errors = {}
    for name in ("har", "learned"):
        said = np.log(fields[name].sigma[LAST : LAST + len(target), :, 1] / np.sqrt(6))
        errors[name] = ((said - target) ** 2).mean()
    assert errors["learned"] < 1.05 * errors["har"] < 1.05 * target.var()


def test_a_planted_look_into_the_future_is_seen_at_once(forecaster, fields):
    """The coming bars' own target over the month: the error falls by more than half, which no honest feature does."""
    view, horizon = small.view(), 1
    target = scale_target(view.data, horizon)
    ahead = target[view.frame.bars] - view.frame.values[:, :, view.frame.names.index(LEVEL)]
    values = np.concatenate((view.frame.values, ahead[:, :, None]), axis=2)
    frame = replace(view.frame, names=(*view.frame.names, "looks_ahead"), values=values)
    leaky = ScaleForecaster((horizon,), rounds=120).fit(view.data, frame, FIRST, LAST)
    tested = np.arange(LAST, len(view.history) - horizon)
    said = np.log(leaky.fields(view.data, frame)["learned"].sigma[tested, :, 0] / np.sqrt(horizon))
    honest = np.log(fields["learned"].sigma[tested, :, 0] / np.sqrt(horizon))
    assert ((said - target[tested]) ** 2).mean() < 0.5 * ((honest - target[tested]) ** 2).mean()


def test_too_few_bars_are_refused():
    view = small.view()
    with pytest.raises(InputError, match="leaves no bars to fit volatility over 6 bars"):
        ScaleForecaster(HORIZONS, rounds=2).fit(view.data, view.frame, FIRST, FIRST + 14)
