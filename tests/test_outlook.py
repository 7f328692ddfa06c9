"""The outlook of a whole book: totals on shared paths, and spikes of volatility."""

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.errors import InputError
from margincast.riskcore.records import book_from_records
from margincast.training.outlook import DRAWS, outlook
from margincast.training.population import simulate_accounts
from margincast.training.score import Scorer
from margincast.training.volatility_spikes import SpikeRule, log_scale, spike_outcomes


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return small.scorer()


@pytest.fixture(scope="module")
def forecast(scorer):
    bar = scorer.bar
    drawn = simulate_accounts(
        scorer.view.history, small.RULES, accounts=200, first_bar=bar, last_bar=bar + 1, horizons=(1, 24), seed=5
    )
    return scorer.forecast(drawn.book)


@pytest.fixture(scope="module")
def found(scorer, forecast):
    return outlook(scorer, forecast, seed=1)


def test_the_expected_count_is_the_sum_of_the_probabilities(scorer, forecast, found):
    for k, horizon in enumerate(scorer.horizons):
        expected = forecast.probability[:, k].sum()
        # the spread of a mean of that many draws, were the pools one
        assert found["liquidated_pools"][horizon]["expected"] == pytest.approx(expected, rel=0.1)


def test_pools_that_share_prices_fall_together(scorer, found):
    for horizon in scorer.horizons:
        table = found["liquidated_pools"][horizon]
        assert table["interval_99"][1] > table["upper_99_if_independent"]
        assert table["interval_99"][0] <= table["interval_90"][0] <= table["interval_50"][0] <= table["expected"]


def test_a_book_of_one_pool_loses_all_or_nothing(scorer):
    price = float(scorer.market.mark[0])
    position = {"symbol": "BTC", "quantity": 2.0, "entry_price": price}
    book = book_from_records(
        [{"account": "a", "balances": {"USDT": 0.1 * price}, "positions": [position]}],
        scorer.view.history.instruments,
    )
    forecast = scorer.forecast(book)
    table = outlook(scorer, forecast)["liquidated_notional"][scorer.horizons[-1]]
    share = table["expected"] / (2.0 * price)
    p = forecast.probability[0, -1]
    assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / DRAWS))
    assert set(table["interval_99"]) <= {0.0, 2.0 * price}


def test_a_pool_in_breach_is_counted_and_an_empty_one_is_not(scorer):
    price = float(scorer.market.mark[0])
    position = {"symbol": "BTC", "quantity": 1.0, "entry_price": price}
    records = [
        {"account": "broken", "balances": {"USDT": 1.0}, "positions": [position]},
        {"account": "idle", "balances": {"USDT": 5.0}, "positions": []},
    ]
    book = book_from_records(records, scorer.view.history.instruments)
    table = outlook(scorer, scorer.forecast(book))["liquidated_pools"]
    assert all(table[h]["expected"] == 1.0 and table[h]["interval_99"] == [1.0, 1.0] for h in scorer.horizons)


def test_a_record_tells_the_loss_beyond_collateral_and_its_premium(scorer, forecast):
    known = 0
    for pool in range(0, 200, 20):
        record = forecast.record(pool)
        for horizon, p in record["probabilities"].items():
            loss, premium = record["expected_loss_given_liquidation"][horizon], record["premium"][horizon]
            assert premium == pytest.approx(p * loss, nan_ok=True)
            known += premium > 0
            tail = record["expected_shortfall_given_liquidation"][horizon]
            assert np.isnan(loss) or tail >= loss * (1 - 1e-9)
    assert known > 10


def test_the_same_seed_gives_the_same_outlook_and_another_does_not(scorer, forecast, found):
    assert outlook(scorer, forecast, seed=1) == found
    assert outlook(scorer, forecast, seed=2)["liquidated_notional"] != found["liquidated_notional"]


def test_spikes_have_a_probability_that_tells_the_bars_before_spikes_from_others(scorer):
    model, view = small.fitted(), small.view()
    bars = np.arange(len(view.history) - 24 * 12, len(view.history) - 24, 2)
    outcome = spike_outcomes(view.data, SpikeRule(1.5), model.horizons, bars)[:, :, 0]
    fields = model.scales_.fields(view.data, view.frame, bars)
    scale = log_scale(view.data, fields["learned"], 0)[bars]
    threshold = SpikeRule(1.5).threshold(view.data, model.horizons[0])[bars]
    said = model.spike_errors_[0].predict(scale.ravel(), threshold.ravel()).reshape(scale.shape)
    assert np.nanmean(said[outcome == 1]) > np.nanmean(said[outcome == 0])


def test_spikes_of_the_outlook_are_probabilities_of_every_coin(scorer, found):
    said = found["volatility_spike"]
    assert set(said) == set(scorer.view.data.symbols)
    values = np.array([[said[s][h] for h in scorer.horizons] for s in said])
    assert ((values >= 0) & (values <= 1)).all()


def test_intervals_hold_the_forecast_and_are_not_told_of_a_fall_back(scorer, forecast):
    low, high = forecast.interval[:, :, 0], forecast.interval[:, :, 1]
    own = forecast.fallback_reason == ""
    assert (low[own] <= forecast.probability[own]).all() and (forecast.probability[own] <= high[own]).all()
    inside = own & (forecast.probability[:, -1] > 0.05) & (forecast.probability[:, -1] < 0.5)
    assert (high - low)[inside, -1].min() > 0.001
    fallen = Scorer(small.fitted(), small.view(), small.RULES, scorer.bar, fall_back="drift").forecast(forecast.book)
    assert np.isnan(fallen.interval).all()


def test_a_fall_back_needs_a_reason(scorer):
    """An empty one would mark no pool, and the hybrid would be told as if nothing had been asked."""
    for empty in ("", " "):
        with pytest.raises(InputError, match="fall_back: must say why"):
            Scorer(small.fitted(), small.view(), small.RULES, scorer.bar, fall_back=empty)
