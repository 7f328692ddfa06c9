"""Option features as a stream: batch, stream and restarted stream agree in every bit, and nothing is seen early."""

import dataclasses

import numpy as np
import pytest
from option_chain_cases import DAY, NOW, chain_of, smile_of
from step_parity import hold, same, stored_and_loaded

from margincast.features.engine.bars import BarTable
from margincast.features.options.chain_series import chain_series
from margincast.features.options.chain_step import ChainStep
from margincast.features.options.declarations import DECLARATIONS, NAMES
from margincast.features.options.implied import implied_surface
from margincast.features.options.measures import measure
from margincast.features.options.variance_premium import VariancePremium
from margincast.riskcore.errors import InputError

HOUR, NANO = np.timedelta64(1, "h"), np.timedelta64(1, "ns")
SYMBOLS = ("ETH", "SOL", "BTC")
MAX_AGE = np.timedelta64(10, "h")


def amounts(rng, n=328):
    return {"open_interest": rng.integers(0, 100, n).astype(float), "volume": rng.integers(0, 50, n).astype(float)}


@pytest.fixture(scope="module")
def chains():
    """Chains of two underlyings at odd times, with a pause longer than the maximum age."""
    rng = np.random.default_rng(7)
    hours = np.cumsum(rng.uniform(1, 8, 12))
    hours[7:] += 16
    out = []
    for i, hour in enumerate(hours):
        time = NOW + (hour * 3.6e12).astype("timedelta64[ns]")
        smile = smile_of(0.5 + 0.01 * i, rng.normal(0, 0.03), 0.02)
        for underlying in ("BTC", "ETH")[: 1 + i % 2]:
            more = amounts(rng) | {"volume": np.nan} if i == 3 else amounts(rng)
            out.append(chain_of(smile, underlying, time, time + 5 * np.timedelta64(1, "m"), more=more))
    return out


@pytest.fixture(scope="module")
def hours(chains):
    """Every hour, and the edges of each chain's life."""
    edges = [[c.known - NANO, c.known, c.time + MAX_AGE, c.time + MAX_AGE + NANO] for c in chains]
    return np.unique(np.concatenate((NOW + np.arange(100) * HOUR, *edges)))


def streamed(chains, times, restart=False):
    step = ChainStep(MAX_AGE)
    state, waiting, out = step.start(SYMBOLS), list(chains), []
    for now in times:
        while waiting and waiting[0].known <= now:
            step.update(state, waiting.pop(0))
            if restart:
                state = stored_and_loaded(state)
        out.append(step.read(state, now))
    return np.stack(out)


def test_batch_stream_and_restarted_stream_agree_in_every_bit(chains, hours):
    live = streamed(chains, hours)
    batch = chain_series(chains).as_of(hours, SYMBOLS, MAX_AGE)
    assert np.array_equal(live, batch, equal_nan=True)
    assert np.array_equal(live, streamed(chains, hours, restart=True), equal_nan=True)
    for place, name in enumerate(NAMES):
        assert np.isfinite(live[:, 2, place]).any(), f"{name} was never known"
    assert np.isnan(live[:, 1]).all(), "a symbol without chains has no features"


def test_features_are_gone_when_the_chain_is_too_old_and_come_back(chains, hours):
    series = chain_series(chains)
    known = np.isfinite(series.as_of(hours, ("BTC",), MAX_AGE)[:, 0, NAMES.index("atm_volatility_30d")])
    btc = [chain for chain in chains if chain.underlying == "BTC"]
    expected = [any(c.known <= now and now - c.time <= MAX_AGE for c in btc) for now in hours]
    assert known.tolist() == expected
    assert any(expected) and not all(expected[20:])


def test_no_chain_is_seen_before_it_is_known(chains):
    series = chain_series(chains)
    first = chains[0]
    moments = np.array([first.time, first.known - np.timedelta64(1, "ns"), first.known])
    seen = series.as_of(moments, ("BTC",), MAX_AGE)[:, 0, 0]
    assert np.isnan(seen[:2]).all() and np.isfinite(seen[2])


def test_what_comes_later_changes_nothing_before(chains, hours):
    cut = 6
    other = [
        dataclasses.replace(chain, mark=chain.mark * 1.05) if i >= cut else chain for i, chain in enumerate(chains)
    ]
    one, two = (chain_series(history).as_of(hours, SYMBOLS, MAX_AGE) for history in (chains, other))
    before = hours < chains[cut].known
    assert same(one[before], two[before]).all()
    assert not same(one[~before], two[~before]).all()


def test_the_step_says_what_it_cannot_take(chains):
    step = ChainStep(MAX_AGE)
    state = step.start(("BTC",))
    step.update(state, chains[0])
    with pytest.raises(InputError, match="column time: chains of BTC must come in rising order"):
        step.update(state, chains[0])
    with pytest.raises(InputError, match="chain of an unknown underlying"):
        step.update(state, next(chain for chain in chains if chain.underlying == "ETH"))
    with pytest.raises(InputError, match="column as_of: lies before a chain that was taken in was known"):
        step.read(state, chains[0].time)
    with pytest.raises(InputError, match="row 1, column quoted: chains of BTC must come in rising order"):
        chain_series([chains[0], chains[0]])
    with pytest.raises(InputError, match="there are no chains"):
        chain_series([])


def test_the_series_lists_what_is_known_with_the_time_from_which_it_was(chains):
    series = chain_series(chains)
    frame = series.frame()
    assert list(frame.columns) == ["timestamp", "symbol", "name", "value"]
    assert len(frame) == np.isfinite(series.values).sum() and set(frame["name"]) == set(NAMES)
    first = frame[(frame["symbol"] == "BTC") & (frame["name"] == "atm_volatility_7d")].iloc[0]
    assert first["timestamp"].tz_localize(None).to_datetime64() == chains[0].known
    assert first["value"] == series.values[0, NAMES.index("atm_volatility_7d")]
    assert series.quality.rows == sum(len(chain) + chain.expired for chain in chains)


def test_every_feature_is_declared_once_with_unit_and_missing_rule():
    assert len(set(NAMES)) == len(NAMES) == len(measure(implied_surface(chain_of(smile_of(0.6)))))
    columns = {field.name for field in dataclasses.fields(chain_of(smile_of(0.6)))}
    for one in DECLARATIONS:
        assert one.summary.endswith(".") and one.unit and "NaN" in one.missing and set(one.inputs) <= columns, one.name


def test_measures_of_a_known_surface():
    smile = smile_of(0.6, -0.04, 0.02)
    chain = chain_of(smile, days=(7, 25, 53, 120), strikes=81, width=0.02)
    found = dict(zip(NAMES, measure(implied_surface(chain)), strict=True))
    for days in (7, 30, 90):
        assert found[f"atm_volatility_{days}d"] == pytest.approx(0.6, abs=2e-4)
    assert found["term_slope_7d_90d"] == pytest.approx(0.0, abs=5e-4)
    assert found["forward_variance_30d_90d"] == pytest.approx(0.36, abs=5e-4)
    assert found["option_spread_30d"] == pytest.approx(0.02, abs=1e-4)
    assert found["risk_reversal_25d_30d"] < 0 < found["butterfly_25d_30d"] < found["butterfly_10d_30d"]
    assert found["risk_reversal_10d_30d"] < found["risk_reversal_25d_30d"]
    near, far = (-0.04 / np.sqrt(days / 365.0) for days in (25, 53))
    assert found["skew_slope_30d"] == pytest.approx(near + (far - near) * 5 / 28, rel=0.05)
    assert 0.4 < found["sound_quotes"] <= 0.51  # one of put and call at each strike, less those with hardly a vega
    assert found["butterfly_violations"] == found["calendar_violations"] == 0.0
    assert np.isnan([found[name] for name in ("put_call_open_interest", "gamma_exposure", "max_pain_distance")]).all()


def test_a_turn_of_the_smile_turns_the_risk_reversals():
    def reversal(lean):
        return measure(implied_surface(chain_of(smile_of(0.6, lean, 0.02))))[NAMES.index("risk_reversal_25d_30d")]

    assert reversal(-0.04) < reversal(0.0) < reversal(0.04)


def test_gamma_of_dealers_follows_who_holds_what():
    rng = np.random.default_rng(1)
    chain = chain_of(smile_of(0.6), more=amounts(rng))
    place = NAMES.index("gamma_exposure")

    def exposure(amount):
        return measure(implied_surface(dataclasses.replace(chain, open_interest=amount)))[place]

    calls, puts = (np.where(chain.right == right, 10.0, 0.0) for right in (1, -1))
    assert exposure(calls) > 0 > exposure(puts)
    assert exposure(calls + puts) == pytest.approx(exposure(calls) + exposure(puts), abs=1e-9)
    assert exposure(2 * calls) == pytest.approx(2 * exposure(calls))


def test_expiries_that_do_not_reach_give_no_number():
    found = dict(zip(NAMES, measure(implied_surface(chain_of(smile_of(0.6), days=(7, 25)))), strict=True))
    assert np.isfinite(found["atm_volatility_7d"])
    gone = (
        "atm_volatility_30d",
        "variance_index_30d",
        "smile_variance_index_30d",
        "skew_slope_30d",
        "term_slope_7d_90d",
    )
    assert np.isnan([found[name] for name in gone]).all()
    narrow = dict(zip(NAMES, measure(implied_surface(chain_of(smile_of(0.6), reach=1.0))), strict=True))
    assert np.isfinite(narrow["risk_reversal_25d_30d"]) and np.isnan(narrow["risk_reversal_10d_30d"])


@pytest.fixture(scope="module")
def bars():
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (400, 2)), axis=0))
    close[120, 0] = np.nan
    implied = rng.uniform(0.3, 0.9, (400, 2))
    implied[rng.random((400, 2)) < 0.2] = np.nan
    times = np.datetime64("2024-01-01", "ns") + np.arange(400) * HOUR
    return BarTable(times, HOUR, ("BTC", "ETH"), {"close": close, "smile_variance_index_30d": implied})


def test_the_variance_premium_keeps_the_contract_of_a_step(bars):
    hold(VariancePremium(1.0, days=2), bars, first=220)


def test_realised_variance_is_the_annualised_sum_of_squares(bars):
    step = VariancePremium(1.0, days=2)
    state = step.start(bars.symbols)
    for bar in range(119):
        step.update(state, bars.row(bar))
    moves = np.diff(np.log(bars.columns["close"][:119]), axis=0)[-48:]
    found = step.read(state)
    np.testing.assert_allclose(found[:, 0], (moves**2).sum(axis=0) * 365 / 2, rtol=1e-12)
    implied = bars.columns["smile_variance_index_30d"][118]
    np.testing.assert_allclose(found[:, 1], implied**2 - found[:, 0], rtol=1e-12)


def test_a_missing_close_empties_the_window_until_it_has_passed(bars):
    step = VariancePremium(1.0, days=2)
    state, known = step.start(bars.symbols), []
    for bar in range(200):
        step.update(state, bars.row(bar))
        known.append(bool(np.isfinite(step.read(state)[0, 0])))
    assert known == [48 <= bar < 120 or bar >= 169 for bar in range(200)]
    assert DAY / HOUR * 2 == step.bars
