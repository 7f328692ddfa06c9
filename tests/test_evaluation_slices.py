"""Slices, regimes, cost curves and flapping: against loops over accounts, sklearn and figures by hand."""

from __future__ import annotations

import numpy as np
import pytest
import small_market as small
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from margincast.riskcore.errors import InputError
from margincast.riskcore.records import records_of_book
from margincast.training.console import show_evaluation
from margincast.training.cost_curves import COST_RATIOS, cost_curves
from margincast.training.dataset import sample_of
from margincast.training.evaluated_rows import TRAITS, EvaluatedRows
from margincast.training.flapping import WATCHED_MODELS, Watch, alert_threshold, flapping, watch_accounts
from margincast.training.market_regime import regime_of, volatility_rank
from margincast.training.slices import LEAST_ROWS, cuts_of, slice_table

HORIZON = "24h"
PLACE = 2


def rows() -> EvaluatedRows:
    return small.evaluation().rows


def judged() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Forecasts by model, outcomes and places among all rows, of those known at the longest horizon."""
    known = np.flatnonzero(rows().known(PLACE))
    return {n: p[known, PLACE] for n, p in rows().said.items()}, rows().breached[known, PLACE], known


def table() -> dict:
    return small.evaluation().scores["horizons"][HORIZON]


# -- traits and regimes -------------------------------------------------------------------------------------------


def test_traits_are_what_the_records_of_the_accounts_say():
    evaluation = small.evaluation()
    history, traits = small.data().history, evaluation.rows.traits
    for k, record in list(enumerate(records_of_book(evaluation.data.book)))[:300]:
        bar = evaluation.data.sample.bar[k]
        legs = record["positions"]
        mark = {s: history.close[bar - 1, history.mark_series[i]] for i, s in enumerate(small.SYMBOLS)}
        assert traits["legs"][k] == len(legs)
        assert traits["coin"][k] == any(asset != "USDT" and amount != 0 for asset, amount in record["balances"].items())
        net = sum(leg["quantity"] * mark[leg["symbol"]] for leg in legs)
        assert traits["net"][k] == pytest.approx(net, rel=1e-9, abs=1e-6)
        assert traits["isolated"][k] == any(leg.get("mode") == "isolated" for leg in legs)


def test_the_rank_is_the_share_of_the_past_that_was_not_above():
    data = small.data()
    rank = volatility_rank(data)
    returns = np.diff(np.log(data.mark("close")), axis=0)
    weights = 0.5 ** (np.arange(2000) / 24.0)

    def level(bar: int) -> float:
        past = returns[:bar][::-1] ** 2
        own = weights[: len(past)]
        return float(np.median(np.sqrt((own[:, None] * past).sum(axis=0) / own.sum())))

    bar = 1200
    levels = np.array([level(k) for k in range(24, bar)])
    assert rank[bar] == pytest.approx((levels <= levels[-1]).mean(), abs=2 / len(levels))
    assert np.isnan(rank[:600]).all() and len(rank) == len(data.history) + 1


def test_no_regime_knows_its_bar_or_a_later_one():
    bar = 1500
    before, after = volatility_rank(small.data()), volatility_rank(small.scrambled(small.data(), bar))
    assert before[: bar + 1].tobytes() == after[: bar + 1].tobytes()
    assert (before[bar + 1 :] != after[bar + 1 :]).any()


def test_the_rank_forgets_after_a_year_and_ties_are_not_above():
    assert regime_of(np.array([0.0, 0.5, 0.500001, 0.8, 0.800001, 1.0, np.nan])).tolist() == [0, 0, 1, 1, 2, 2, -1]


# -- slices -------------------------------------------------------------------------------------------------------


def test_every_known_row_falls_in_one_slice_of_every_cut():
    outcome = judged()[1]
    assert set(table()["slices"]) == {"leverage", "legs", "collateral", "mode", "side", "regime", "distance"}
    for cut, parts in table()["slices"].items():
        assert sum(part["n"] for part in parts.values()) == len(outcome) == table()["n"], cut
        assert sum(part["events"] for part in parts.values()) == outcome.sum(), cut
    assert [part["n"] for part in table()["slices"]["leverage"].values()] == pytest.approx(
        [len(outcome) / 3] * 3, abs=9
    )


def test_scores_of_a_slice_are_those_of_its_rows_alone():
    said, outcome, known = judged()
    for cut, name, mine in (
        ("legs", "3+", rows().traits["legs"] >= 3),
        ("collateral", "part coin", rows().traits["coin"] == 1),
        ("side", "net short", rows().traits["net"] < 0),
        ("regime", "calm", rows().traits["volatility_rank"] <= 0.5),
    ):
        found, own = table()["slices"][cut][name], mine[known]
        y, p, base = outcome[own], said["hybrid"][own], said["fhs_har"][own]
        assert found["n"] == own.sum() and found["events"] == y.sum(), cut
        entry = found["skill_vs"]["fhs_har"]
        assert entry["value"] == pytest.approx(1 - brier_score_loss(y, p) / brier_score_loss(y, base), rel=1e-9), cut
        clipped = [np.clip(q, 1e-6, 1 - 1e-6) for q in (p, base)]
        expected = 1 - log_loss(y, clipped[0]) / log_loss(y, clipped[1])
        assert entry["log_loss_value"] == pytest.approx(expected, rel=1e-9), cut
        assert entry["log_loss_low"] <= entry["log_loss_value"] <= entry["log_loss_high"], cut


def test_the_first_tenth_of_distance_is_liquidated_most():
    rates = [part["events"] / part["n"] for part in table()["slices"]["distance"].values()]
    assert rates[0] > 3 * rates[-1] and len(rates) == 10


def test_errors_of_calibration_by_regime_are_those_of_the_slices_and_small_ones_are_not_given():
    for name, part in table()["slices"]["regime"].items():
        for model in ("hybrid", "fhs"):
            both = (part["ece"][model], table()["models"][model]["ece_by_regime"][name])
            assert both[0] == both[1] if part["n"] >= LEAST_ROWS else np.isnan(both).all()


def test_the_error_over_that_of_fhs_is_the_difference_and_has_an_interval():
    part = table()["slices"]["mode"]["cross"]
    excess = part["ece_over_fhs"]
    assert excess["value"] == pytest.approx(part["ece"]["hybrid"] - part["ece"]["fhs"])
    assert excess["low"] <= excess["value"] <= excess["high"]


def test_a_slice_without_events_has_no_skill():
    said = dict.fromkeys(("hybrid", "fhs", "fhs_har"), np.full(40, 0.1))
    found = slice_table(said, np.zeros(40), np.arange(40), 1)
    assert found["skill_vs"] == {} and np.isnan(found["ece"]["hybrid"]) and np.isnan(found["ece_over_fhs"]["low"])


def test_a_distance_that_is_not_known_is_in_no_slice():
    part = rows().take(np.arange(40))
    traits = dict(part.traits) | {"distance": np.where(np.arange(40) < 5, np.nan, part.traits["distance"])}
    unknown = EvaluatedRows(part.said, part.breached, part.day, part.lead_hours, part.shortfall, traits)
    assert (cuts_of(unknown)["distance"].place[:5] == -1).all() and (cuts_of(unknown)["distance"].place[5:] >= 0).all()


def test_slices_are_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show_evaluation(small.evaluation().scores)
    out = capsys.readouterr().out
    entry = table()["slices"]["collateral"]["part coin"]["skill_vs"]["fhs_har"]
    line = next(line for line in out.splitlines() if line.startswith("part coin"))
    assert line.rstrip().endswith(f"{100 * entry['log_loss_high']:+.1f}]") and line.count("[") == 3
    assert all(name in out for name in ("leverage high", "legs 3+", "isolated", "net short", "calm"))


# -- rows ---------------------------------------------------------------------------------------------------------


def test_rows_split_and_joined_are_the_same_rows():
    whole = rows()
    parts = [whole.take(np.arange(0, 100)), whole.take(np.arange(100, len(whole)))]
    again = EvaluatedRows.joined(parts)
    for name, values in whole.arrays().items():
        assert again.arrays()[name].tobytes() == values.tobytes(), name


def test_rows_of_other_models_are_not_joined():
    part = rows().take(np.arange(10))
    fewer = EvaluatedRows(
        {"fhs": part.said["fhs"]}, part.breached, part.day, part.lead_hours, part.shortfall, part.traits
    )
    with pytest.raises(InputError, match="models: are not the same in every part"):
        EvaluatedRows.joined([part, fewer])


def test_rows_come_back_from_their_arrays_and_a_missing_one_is_named(tmp_path):
    arrays = rows().arrays()
    again = EvaluatedRows.from_arrays(arrays)
    assert set(again.said) == set(rows().said) and set(again.traits) == set(TRAITS)
    assert again.breached.tobytes() == rows().breached.tobytes()
    arrays.pop("trait.coin")
    with pytest.raises(InputError, match=r"part\.npz.*trait\.coin"):
        EvaluatedRows.from_arrays(arrays, tmp_path / "part.npz")


def test_lead_and_shortfall_are_those_of_the_liquidation():
    outcome = small.evaluation().data.outcome
    within = outcome.within(24)
    assert (np.isfinite(rows().lead_hours) == within).all()
    assert (rows().lead_hours[within] == outcome.breach_bar[within] - outcome.start[within] + 1).all()
    assert ((rows().lead_hours <= 4) == outcome.within(4)).all()


# -- cost curves --------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 40))
def test_costs_equal_a_loop_over_thresholds(seed, n):
    rng = np.random.default_rng(seed)
    p, y = rng.integers(0, 8, n) / 8, (rng.random(n) < 0.3).astype(np.float64)
    y[0], y[1] = 0.0, 1.0

    def cost(threshold: float, ratio: float) -> float:
        missed = sum(ratio for q, won in zip(p, y, strict=True) if q < threshold and won)
        return (missed + sum(1.0 for q, won in zip(p, y, strict=True) if q >= threshold and not won)) / n

    for row in cost_curves({"m": p}, y)["m"]:
        ratio = row["ratio"]
        free = min(cost(0.0, ratio), cost(2.0, ratio))
        assert row["cost"] == pytest.approx(cost(1 / (1 + ratio), ratio))
        assert row["relative"] == pytest.approx(row["cost"] / free)
        assert row["best"] == pytest.approx(min(cost(t / 8, ratio) for t in range(10)) / free)
        assert row["best"] <= min(1.0, row["relative"]) + 1e-12


def test_relative_cost_and_net_benefit_are_one_thing():
    """Vickers and Elkin: net benefit at threshold t is TP / n - FP / n * t / (1 - t), and t = 1 / (1 + r)."""
    said, outcome, _ = judged()
    p, rate = said["hybrid"], outcome.mean()
    for row in cost_curves({"m": p}, outcome)["m"]:
        odds = 1 / row["ratio"]
        up = p >= odds / (1 + odds)
        net_benefit = (up & (outcome == 1)).mean() - (up & (outcome == 0)).mean() * odds
        assert row["cost"] == pytest.approx(row["ratio"] * (rate - net_benefit), rel=1e-9)


def test_a_certain_forecast_costs_nothing_and_one_without_events_has_no_curve():
    y = np.array([0.0, 1.0, 0.0])
    assert all(row["cost"] == row["best"] == 0.0 for row in cost_curves({"m": y}, y)["m"])
    assert all(np.isnan(row["relative"]) for row in cost_curves({"m": y}, np.zeros(3))["m"])


def test_an_evaluation_holds_costs_and_flapping():
    for found in small.evaluation().scores["horizons"].values():
        assert set(found["alerts"]["cost_curves"]) == {"health_factor", "fhs", "fhs_har", "hybrid"}
        assert [row["ratio"] for row in found["alerts"]["cost_curves"]["hybrid"]] == list(COST_RATIOS)
        assert set(found["alerts"]["flapping"]) == set(WATCHED_MODELS)


# -- flapping -----------------------------------------------------------------------------------------------------


def watch_of(probability: list[list[float]], alive: list[list[int]]) -> Watch:
    return Watch({"m": np.array(probability)[:, :, None]}, np.array(alive, dtype=np.bool_), 6.0)


def test_flaps_by_hand():
    """The first alert goes and comes back twice; the second stays; the third account dies with its alert up."""
    said = [[0.9, 0.1, 0.8, 0.1, 0.7], [0.1, 0.6, 0.6, 0.6, 0.6], [0.9, 0.9, 0.0, 0.9, 0.0], [0.1] * 5]
    alive = [[1] * 5, [1] * 5, [1, 1, 0, 0, 0], [1] * 5]
    found = flapping(watch_of(said, alive), 0, {"m": 0.5})["m"]
    assert (found["accounts"], found["alerted"], found["flaps"]) == (4, 3, 2)
    assert found["flaps_per_alerted_account"] == pytest.approx(2 / 3)
    # 4 + 1 changes over 4 + 4 + 1 + 4 steps of a quarter of a day
    assert found["changes_per_account_day"] == pytest.approx(5 / (13 / 4))


def test_no_alert_never_flaps():
    found = flapping(watch_of([[0.1, 0.2]], [[1, 1]]), 0, {"m": 0.5})["m"]
    assert found["flaps"] == 0 and np.isnan(found["flaps_per_alerted_account"])


def test_the_threshold_alerts_a_tenth_and_ties_are_not_split():
    rng = np.random.default_rng(0)
    p = rng.permutation(1000) / 1000
    assert (p >= alert_threshold(p)).sum() == 100
    assert alert_threshold(np.array([0.2, 0.5, 0.5, 0.5])) == 0.5


def test_accounts_are_watched_from_their_bar_until_they_are_liquidated():
    evaluation = small.evaluation()
    data = evaluation.data
    watch = watch_accounts(evaluation.model, small.view(), small.RULES, data, most=40)
    chosen = np.linspace(0, len(data) - 1, 40).round().astype(int)
    for name in ("fhs", "hybrid", "health_factor"):
        first = watch.said[name][:, 0]
        assert first == pytest.approx(evaluation.probabilities[name][chosen], rel=1e-9, abs=1e-12), name
        assert (np.isfinite(watch.said[name]).all(axis=2) == watch.alive).all(), name
    breach = data.outcome.breach_bar[chosen] - data.outcome.start[chosen]
    lived = np.where(data.outcome.within(24)[chosen], breach + 1, 24)
    assert (watch.alive.sum(axis=1) == lived).all() and (lived < 24).any()
    later, bar = int(np.argmax(watch.alive[:, 7])), 7
    book, when = data.book.take(chosen[[later]]), data.sample.bar[chosen[[later]]] + bar
    sample = sample_of(small.view(), book, when, small.RULES, small.HORIZONS)
    fields = evaluation.model.scales_.fields(small.data(), small.view().frame, when)
    alone = evaluation.model.predict(sample, fields)["hybrid"][0]
    assert watch.said["hybrid"][later, bar] == pytest.approx(alone, rel=1e-9)
