"""The whole forecaster: no look ahead, no skill from shuffled labels, monotone, the same bytes again and again."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_market as small

from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import CorruptModelError, InputError
from margincast.riskcore.what_if import with_deposit
from margincast.training import evaluate, fit
from margincast.training.account_features import DIRECTIONS, structural_directions
from margincast.training.dataset import sample_of, simulated_dataset
from margincast.training.evaluate import evaluate_market
from margincast.training.fit import fit_forecaster
from margincast.training.forecaster import HYBRID_WEIGHTS, NAMES, ONLY_COMPARED, STRUCTURAL, LiquidationForecaster
from margincast.training.market_simulator import simulate_market, write_market_folder
from margincast.training.market_view import view_market
from margincast.training.plan import training_bars
from margincast.training.score import with_columns
from margincast.training.scores import log_losses
from margincast.training.store import MANIFEST, load_state, save_state
from margincast.training.workplace import ThisMachine

PLAN = small.plan(rounds=3, train_accounts=3000)


def fitted_bytes(folder: Path, view=None, **changes) -> dict[str, bytes]:
    """Every file of the stored model."""
    view, plan = view or small.view(), replace(PLAN, **changes)
    model = fit_forecaster(view, small.RULES, plan, *training_bars(plan, view.history, 24), (1, 24))
    save_state(model.state(), folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> dict[str, bytes]:
    return fitted_bytes(tmp_path_factory.mktemp("stored") / "model")


@pytest.fixture(scope="module")
def rows():
    """Pools at the end of the market, which no model was fitted on, and all that is said of them."""
    data = small.dataset().sample
    late = np.flatnonzero(data.bar > small.view().history.bar_of(np.datetime64("2022-04-22")))[:80]
    sample = data.take(late)
    fields = small.fitted().scales_.fields(small.data(), small.view().frame, sample.bar)
    return late, sample, fields


# -- the same bytes -----------------------------------------------------------------------------------------------


def test_what_is_compared_below_has_boosters_that_split(stored):
    """Accounts too few for a leaf would leave trees of one leaf, the same whatever they are fitted on."""
    boosters = [name for name in stored if "booster" in name and not name.startswith("state.scales.learned.24")]
    leaves = [int(count) for name in boosters for count in re.findall(rb"num_leaves=(\d+)", stored[name])]
    assert len(boosters) == 6 and min(leaves) > 1


def test_two_runs_give_the_same_bytes(stored, tmp_path):
    assert fitted_bytes(tmp_path / "model") == stored


def test_another_seed_gives_another_model(stored, tmp_path):
    assert fitted_bytes(tmp_path / "model", seed=2) != stored


def test_one_and_two_threads_give_the_same_bytes(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("margincast.models.booster.PARALLEL_ROWS", 1)
    files = fitted_bytes(tmp_path / "model", threads=2)
    assert [name for name in stored if files[name] != stored[name]] == []


def test_nothing_after_the_training_period_changes_a_byte(stored, tmp_path):
    last = training_bars(PLAN, small.view().history, 24)[1]
    view = view_market(small.scrambled(small.data(), last))
    assert fitted_bytes(tmp_path / "model", view) == stored


def test_the_last_training_bar_does_change_the_model(stored, tmp_path):
    """The canary above can sing."""
    last = training_bars(PLAN, small.view().history, 24)[1]
    view = view_market(small.scrambled(small.data(), last - 1))
    assert fitted_bytes(tmp_path / "model", view) != stored


def test_two_evaluations_score_the_same():
    plan = replace(PLAN, horizons="1h,24h")
    one, other = (evaluate_market(small.view(), small.RULES, plan).scores for _ in range(2))
    assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_a_reloaded_model_says_the_same_bits(tmp_path, rows):
    _, sample, fields = rows
    model, market = small.fitted(), small.data()
    save_state(model.state(), tmp_path / "model")
    again = LiquidationForecaster.from_state(load_state(tmp_path / "model"))
    assert again.horizons == model.horizons and again.about_ == model.about_
    fields_again = again.scales_.fields(small.data(), small.view().frame, sample.bar)
    one, other = model.predict(sample, fields, market), again.predict(sample, fields_again, market)
    assert set(one) == set(NAMES)
    assert all(one[name].tobytes() == other[name].tobytes() for name in NAMES)


def test_a_changed_byte_in_any_file_of_a_model_is_noticed(tmp_path):
    folder = tmp_path / "model"
    save_state(small.fitted().state(), folder)
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        place = int(rng.integers(len(good)))
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(CorruptModelError, match="model" if path.name == MANIFEST else path.name):
            load_state(folder)
        path.write_bytes(good)
    load_state(folder)


# -- what it says -------------------------------------------------------------------------------------------------


def test_probabilities_are_probabilities_and_never_fall_with_the_horizon(rows):
    _, sample, fields = rows
    for name, said in small.fitted().predict(sample, fields, small.data()).items():
        assert ((said >= 0) & (said <= 1)).all(), name
        assert (np.diff(said, axis=1) >= 0).all(), name


def test_no_forecast_rises_with_a_deposit(rows):
    late, sample, fields = rows
    book, model = small.dataset().book.take(late), small.fitted()
    before = model.predict(sample, fields)
    for share in (1e-4, 0.003, 0.01, 0.03, 0.1, 0.5, 2.0):
        richer = with_deposit(book, share * sample.exposure.gross)
        after = model.predict(sample_of(small.view(), richer, sample.bar, small.RULES, small.HORIZONS), fields)
        for name in set(after) - {"climatology"}:
            assert (after[name] <= before[name] + 1e-12).all(), name
        before = after
    assert before["hybrid"].max() < 0.05


class _Reversed(ThisMachine):
    def labelled(self, *arguments, **settings):
        data = super().labelled(*arguments, **settings)
        return replace(data, breached=1 - data.breached)


def test_boosters_do_not_learn_that_a_deposit_endangers(rows):
    """Even from outcomes turned round, of which trees left alone would learn it."""
    late, sample, _ = rows
    view = small.view()
    model = fit_forecaster(view, small.RULES, PLAN, *training_bars(PLAN, view.history, 24), small.HORIZONS, _Reversed())
    richer = with_deposit(small.dataset().book.take(late), 0.5 * sample.exposure.gross)
    after = model.lightgbm_.predict(sample_of(view, richer, sample.bar, small.RULES, small.HORIZONS))
    assert (after <= model.lightgbm_.predict(sample)).all()
    assert model.lightgbm_.directions == DIRECTIONS
    assert model.correction_.directions == DIRECTIONS | structural_directions(model.correction_.columns)


def test_what_is_only_compared_is_left_out_without_a_market(rows):
    _, sample, fields = rows
    assert set(small.fitted().predict(sample, fields)) == set(NAMES) - set(ONLY_COMPARED)


def test_the_hybrid_mixes_log_odds_by_fixed_weights():
    odds = {name: np.array([[k / 2 - 1.0, k / 2]]) for k, name in enumerate(HYBRID_WEIGHTS)}
    mixed = LiquidationForecaster.mix({name: 1 / (1 + np.exp(-v)) for name, v in odds.items()})
    expected = sum(HYBRID_WEIGHTS[name] * odds[name] for name in odds)
    assert np.log(mixed / (1 - mixed)) == pytest.approx(expected, abs=1e-6)
    assert sum(HYBRID_WEIGHTS.values()) == pytest.approx(1.0)


def test_the_forecasts_separate_and_the_hybrid_keeps_up_with_simulation():
    for table in small.evaluation().scores["horizons"].values():
        losses = {name: model["log_loss"] for name, model in table["models"].items()}
        assert losses["hybrid"] < losses["climatology"]
        assert losses["hybrid"] < 1.05 * losses["fhs"]
        assert table["models"]["hybrid"]["auc_within_strata"] > 0.5


# -- leakage ------------------------------------------------------------------------------------------------------


class _Shuffling(ThisMachine):
    def labelled(self, *arguments, **settings):
        data = super().labelled(*arguments, **settings)
        return replace(data, breached=np.random.default_rng(0).permutation(data.breached))


def test_shuffled_outcomes_teach_nothing():
    """Of true or of shuffled outcomes; the same fit on true ones is the control: it has skill, on true ones."""
    view, plan = small.view(), replace(PLAN, train_accounts=6000)
    bars = training_bars(plan, view.history, 24)
    taught, control = (
        fit_forecaster(view, small.RULES, plan, *bars, small.HORIZONS, place) for place in (_Shuffling(), ThisMachine())
    )
    tested = small.dataset()
    shuffled = np.random.default_rng(1).permutation(tested.breached)

    def skill(model, outcome):
        said = model.lightgbm_.predict(tested.sample)
        constant = np.broadcast_to(outcome.mean(axis=0), said.shape)
        return 1 - log_losses(said, outcome).mean(axis=0) / log_losses(constant, outcome).mean(axis=0)

    assert (skill(control, tested.breached) > 0.1).all()
    assert (skill(control, shuffled) < 0.03).all()
    assert (skill(taught, tested.breached) < 0.03).all()
    assert (skill(taught, shuffled) < 0.03).all()
    # the regression and the calibration learned that simulations say nothing of these outcomes: nearly flat
    fields = taught.scales_.fields(view.data, view.frame, tested.sample.bar)
    spread = [model.predict(tested.sample, fields)["hybrid"].std(axis=0) for model in (taught, control)]
    assert (spread[0] < 0.5 * spread[1]).all()


class _Recording(ThisMachine):
    """Keeps what each booster is given; `turned` accounts are told the opposite of what became of them."""

    def __init__(self, turned):
        self.turned, self.given = turned, []

    def labelled(self, *arguments, **settings):
        data = super().labelled(*arguments, **settings)
        self.block = fit._validation_block(data, 24)
        told = data.breached.copy()
        if self.turned:
            told[self.block.judge] = 1 - told[self.block.judge]
        return replace(data, breached=told)

    def fitted(self, model, sample, breached, offset):
        self.given.append([sample.bar, sample.features, breached, np.zeros(0) if offset is None else offset])
        return super().fitted(model, sample, breached, offset)


def test_the_trial_that_is_calibrated_knows_nothing_of_the_days_it_is_judged_on():
    """Their outcomes turned round: what the trial's boosters are given stays, what the final ones are given changes."""
    view, places = small.view(), [_Recording(turned=False), _Recording(turned=True)]
    models = [
        fit_forecaster(view, small.RULES, PLAN, *training_bars(PLAN, view.history, 24), (1, 24), place)
        for place in places
    ]
    lightgbm_trial, lightgbm, correction_trial, correction = zip(*(place.given for place in places), strict=True)
    block = places[0].block
    for one, other in (lightgbm_trial, correction_trial):
        assert all(x.tobytes() == y.tobytes() for x, y in zip(one, other, strict=True))
        assert len(one[0]) == len(block.fit) and one[0].max() + 24 <= lightgbm[0][0][block.judge].min()
    for one, other in (lightgbm, correction):
        assert len(one[0]) == 3000 and not np.array_equal(one[2], other[2])
    assert not np.array_equal(correction[0][3], correction[1][3])
    assert len(block.judge) == pytest.approx(0.2 * 3000, abs=2)
    assert models[0].calibration_[1].state() != models[1].calibration_[1].state()


def forecast_at(view, bar: int) -> dict[str, np.ndarray]:
    """What the fitted models say of some pools at the open of a bar of a market."""
    book, bars = small.dataset().book.take(np.arange(60)), np.full(60, bar)
    sample = sample_of(view, book, bars, small.RULES, small.HORIZONS)
    fields = small.fitted().scales_.fields(view.data, view.frame, bars)
    return small.fitted().predict(sample, fields, view.data)


def peeking(view):
    """The same market with a panel that looks one bar ahead."""
    frame, values = view.frame, np.array(view.frame.values)
    values[:-1] = frame.values[1:]
    return replace(view, frame=replace(frame, values=values))


def test_no_forecast_knows_its_bar_or_a_later_one_and_a_panel_that_does_is_caught():
    bar = 3000
    honest, changed = small.view(), view_market(small.scrambled(small.data(), bar))
    before, after = forecast_at(honest, bar), forecast_at(changed, bar)
    assert set(before) == set(NAMES)
    assert [name for name in NAMES if before[name].tobytes() != after[name].tobytes()] == []
    before, after = forecast_at(peeking(honest), bar), forecast_at(peeking(changed), bar)
    caught = {name for name in NAMES if before[name].tobytes() != after[name].tobytes()}
    assert {"fhs_learned", "lightgbm", "hybrid"} <= caught


def test_an_account_in_training_and_test_stops_an_evaluation(monkeypatch):
    """Tested accounts drawn with the seed and the days of the training."""

    def leaking(*arguments, **settings):
        return simulated_dataset(*arguments, **settings | {"seed": 1, "first_bar": 40 * 24, "last_bar": 80 * 24})

    monkeypatch.setattr(evaluate, "simulated_dataset", leaking)
    with pytest.raises(InputError, match="stood in training with the same book"):
        evaluate_market(small.view(), small.RULES, replace(PLAN, train_accounts=400, horizons="1h,4h"))


# -- other markets ------------------------------------------------------------------------------------------------


def test_a_market_in_another_order_or_with_a_stranger_is_lined_up(tmp_path):
    model = small.fitted()
    assert model.aligned(small.SYMBOLS) is model
    turned = model.aligned(("SOL", "NEW", "BTC"))
    for name in STRUCTURAL:
        ours, theirs = model.historical_[name].libraries_[4].moves, turned.historical_[name].libraries_[4].moves
        assert (theirs[:, 0] == ours[:, 2]).all() and (theirs[:, 2] == ours[:, 0]).all()
        assert np.isfinite(theirs[:, 1]).all()
    cells, own = turned.climatology_.cell_rate_, model.climatology_.cell_rate_
    assert (cells[0] == own[2]).all() and (cells[1] == model.climatology_.bucket_rate_[None]).all()
    assert model.historical_["fhs"].libraries_[4].moves.shape[1] == 3


def test_a_market_with_fewer_coins_gives_the_same_simulated_probabilities(tmp_path, rows):
    """Bars of BTC and SOL are the same without ETH beside them, so pools of these two must be simulated alike."""
    late, sample, fields = rows
    tables = simulate_market(small.SEED, days=small.DAYS, symbols=("SOL", "BTC"))
    view = view_market(read_market_folder(write_market_folder(tables, tmp_path / "market", {"seed": small.SEED})))
    book, eth = small.dataset().book.take(late), small.SYMBOLS.index("ETH")
    without = [
        p
        for p in range(len(book))
        if eth not in book.position_instrument[book.position_pointer[p] : book.position_pointer[p + 1]]
        and eth + 1 not in book.balance_asset[book.balance_pointer[p] : book.balance_pointer[p + 1]]
    ]
    kept = book.take(np.array(without))
    fewer = replace(
        kept,
        instruments=view.history.instruments,
        position_instrument=np.where(kept.position_instrument > eth, 1, kept.position_instrument),
        balance_asset=np.where(kept.balance_asset > eth + 1, 2, kept.balance_asset),
    )
    model = small.fitted().aligned(view.data.symbols)
    bars = sample.bar[without]
    small_sample = sample_of(view, fewer, bars, small.RULES, small.HORIZONS)
    small_sample = with_columns(small_sample, model.columns_)
    said = model.predict(small_sample, model.scales_.fields(view.data, view.frame, bars))
    honest = small.fitted().predict(sample, fields)
    assert len(without) > 10
    for name in ("fhs", "climatology", "ewma_reflection"):
        assert said[name] == pytest.approx(honest[name][without], rel=1e-6), name
    assert np.isfinite(said["hybrid"]).all()


def test_a_fitted_forecaster_forecasts_as_the_stored_one_at_bars_of_its_training_too():
    """On another market the same bar numbers are other times: no fold may answer for them."""
    view, bars = small.view(), np.arange(50 * 24, 52 * 24)
    model = fit_forecaster(view, small.RULES, PLAN, *training_bars(PLAN, view.history, 24), (1, 24))
    stored = LiquidationForecaster.from_state(model.state())
    one, other = (m.scales_.fields(view.data, view.frame, bars)["learned"].sigma[bars] for m in (model, stored))
    assert np.isfinite(one).any() and one.tobytes() == other.tobytes()
