"""The gate: a good model passes; shuffled labels, miscalibration and overlap are refused; each rule alone; a store."""

import copy
import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.features.volatility.estimators import log_returns
from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import champions, fit, promotion
from margincast.training.block_scores import first_unseen_day, market_in_stress, newest_block
from margincast.training.calibration_excess import calibration_excess
from margincast.training.champions import PromotionRequest, promote_model, registry_history, rollback_model
from margincast.training.dataset import simulated_dataset
from margincast.training.fit import fit_forecaster
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.mlflow_store import open_client
from margincast.training.plan import parse_horizons, training_bars
from margincast.training.promotion import GateLimits, _passed_by, broken_rules, judge
from margincast.training.registry import Registry, open_registry
from margincast.training.scores import DayBlocks, expected_calibration_error, log_losses
from margincast.training.store import save_state
from margincast.training.tracking import log_run
from margincast.training.train import describe_training

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
DAY_AFTER = small.TRAIN_END + dt.timedelta(days=1)
NOON = dt.datetime(2022, 6, 1, 12, tzinfo=dt.UTC)
ACCOUNTS = 2500
PLAN = small.plan(accounts=3000, horizons="1h,4h")
"""Within a day the small market teaches hardly more than FHS knows: the gate is right to doubt such a model."""


def fitted_now() -> LiquidationForecaster:
    view = small.view()
    return fit_forecaster(view, small.RULES, PLAN, *training_bars(PLAN, view.history, 4), (1, 4))


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def described(model: LiquidationForecaster, plan=PLAN, **changes) -> LiquidationForecaster:
    """A copy that says what it was trained on."""
    out = copy.copy(model)
    horizons = parse_horizons(plan.horizons, small.view().history.step)
    out.about_ = model.about_ | describe_training(small.view(), small.RULES, plan, horizons) | changes
    return out


@pytest.fixture(scope="module")
def good():
    return described(fitted_now())


class Tripled:
    """A calibration that multiplies the odds by three: the same order, wrong figures."""

    def predict(self, probability):
        return 3 * probability / (1 + 2 * probability)


@pytest.fixture(scope="module")
def miscalibrated(good):
    out = copy.copy(good)
    out.calibration_ = [Tripled() for _ in good.calibration_]
    return out


@pytest.fixture(scope="module")
def from_shuffled_labels():
    original = fit._fit_accounts

    def shuffled(model, plan, data, *others):
        breached = np.random.default_rng(0).permutation(data.breached)
        return original(model, plan, replace(data, breached=breached), *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_fit_accounts", shuffled)
        return described(fitted_now())


def verdict_on(challenger, champion=None, **settings):
    return judge(challenger, champion, small.view(), small.RULES, accounts=ACCOUNTS, **settings)


@pytest.fixture(scope="module")
def passed(good):
    return verdict_on(good)


# -- verdicts -----------------------------------------------------------------------------------------------------


def test_a_model_that_beats_fhs_passes_and_says_by_how_much(passed):
    assert passed.promoted
    assert passed.reasons[0].startswith("beats FHS in log loss: 1h +")
    assert passed.figures["block"] == {"start": "2022-04-21", "end": "2022-05-30"}
    assert passed.figures["trained_to"] == {"challenger": "2022-04-20"}
    json.dumps(passed.as_dict(NOON))


def test_the_figures_are_those_of_the_rows(passed, good):
    """Log loss and skill again, from the simulated accounts themselves."""
    view, block = small.view(), newest_block(small.view().history, DAY_AFTER, 4)
    settings = {"accounts": ACCOUNTS, "first_bar": block.first, "last_bar": block.last, "seed": 1001}
    data = simulated_dataset(view, small.RULES, (1, 4), **settings)
    said = good.predict(data.sample, good.scales_.fields(view.data, view.frame, data.sample.bar))
    mine, other = (log_losses(said[name][:, 1], data.breached[:, 1]) for name in ("hybrid", "fhs"))
    table = passed.figures["horizons"]["4h"]
    assert table["models"]["challenger"]["log_loss"] == pytest.approx(mine.mean(), rel=1e-12)
    skill = DayBlocks(data.day, seed=1001).skill(mine, other)
    assert table["skill"]["fhs"]["log_loss"] == vars(skill)
    assert table["events"] == data.breached[:, 1].sum()


def test_shuffled_labels_are_refused(from_shuffled_labels):
    verdict = verdict_on(from_shuffled_labels)
    assert not verdict.promoted
    assert any("does not beat FHS" in reason for reason in verdict.reasons)


def test_miscalibrated_probabilities_are_refused(miscalibrated):
    verdict = verdict_on(miscalibrated)
    assert not verdict.promoted
    assert any("calibration error within 4h" in reason for reason in verdict.reasons)


def test_a_block_that_overlaps_the_training_is_refused_before_anything_is_scored(good, monkeypatch):
    monkeypatch.setattr(promotion, "forecast_block", None)
    verdict = verdict_on(good, start=small.TRAIN_END)
    assert not verdict.promoted and "horizons" not in verdict.figures
    assert verdict.reasons == (
        "the block from 2022-04-20 overlaps the training of the challenger, which reaches to 2022-04-20",
    )
    newer = described(good, train_end="2022-05-10")
    assert "overlaps the training of the champion" in verdict_on(good, newer, start=DAY_AFTER).reasons[0]


def test_a_block_begins_after_what_either_model_has_seen_and_is_the_newest(good, monkeypatch):
    seen = []
    monkeypatch.setattr(promotion, "newest_block", lambda history, start, longest: seen.append(start) or 1 / 0)
    newer = described(good, train_end="2022-05-10")
    for champion, settings in ((None, {}), (newer, {}), (None, {"most_days": 10})):
        with pytest.raises(ZeroDivisionError):
            verdict_on(good, champion, **settings)
    assert seen == [DAY_AFTER, dt.date(2022, 5, 11), dt.date(2022, 5, 21)]


def test_a_model_trained_to_the_end_of_the_market_cannot_be_judged(good):
    verdict = verdict_on(described(good, train_end="2022-05-30"))
    assert not verdict.promoted and "no day is newer than the training" in verdict.reasons[0]
    with pytest.raises(InputError, match="leaves nothing to judge on"):
        newest_block(small.view().history, dt.date(2022, 5, 30), 24)


def test_a_champion_is_compared_on_the_same_rows(good, miscalibrated):
    verdict = verdict_on(miscalibrated, good)
    assert any("is worse than the champion over all horizons" in reason for reason in verdict.reasons)
    figures = verdict.figures["horizons"]["4h"]
    assert set(figures["models"]) == {"challenger", "champion", "fhs"}


def test_other_horizons_cannot_be_compared(good):
    other = described(good, horizons=["1h", "24h"])
    other.horizons = (1, 24)
    assert "they cannot be compared" in verdict_on(good, other).reasons[0]


class Warped(LiquidationForecaster):
    """The good model with its hybrid bent."""

    def predict(self, sample, fields, history=None):
        said = super().predict(sample, fields, history)
        return said | {"hybrid": self.bend(said["hybrid"], sample)}


@pytest.mark.parametrize(
    ("bend", "words"),
    [
        (lambda p, sample: p[:, ::-1], "fall with the horizon"),
        (lambda p, sample: np.clip(p + 1e-4 * np.abs(sample.exposure.headroom)[:, None], 0, 1), "rise with headroom"),
    ],
)
def test_probabilities_that_are_not_monotone_are_refused(good, bend, words):
    wrong = Warped(good.horizons)
    vars(wrong).update(vars(good))
    wrong.bend = bend
    verdict = judge(wrong, None, small.view(), small.RULES, accounts=400)
    assert any(words in reason for reason in verdict.reasons)


def test_a_challenger_that_is_silent_where_fhs_speaks_is_refused(good):
    """Else it could leave out the accounts it is bad at."""
    silent = Warped(good.horizons)
    vars(silent).update(vars(good))
    silent.bend = lambda p, sample: np.where(sample.column("leverage")[:, None] > 10, np.nan, p)
    verdict = judge(silent, None, small.view(), small.RULES, accounts=400)
    assert verdict.figures["unknown"] == 400 - verdict.figures["horizons"]["1h"]["n"] > 0
    assert any(f"{verdict.figures['unknown']} accounts have a forecast of FHS and none" in r for r in verdict.reasons)


# -- every rule on its own ----------------------------------------------------------------------------------------


def figures(**changes):
    """Made-up figures that pass, with changes to the 4h horizon."""
    skill = {"value": 0.04, "low": 0.02, "high": 0.06}
    models = {
        "challenger": {"ece": 0.01, "ece_stress": 0.02},
        "fhs": {"ece": 0.01, "ece_stress": 0.02},
        "champion": {"ece": 0.01, "ece_stress": 0.02},
    }
    table = {"days": 40, "events": 300, "models": models}
    excess = {"value": 0.01, "low": 0.005, "high": 0.02}
    table |= {"ece_over_fhs": {"overall": dict(excess), "stress": dict(excess)}}
    table |= {"skill": {"fhs": {"log_loss": skill}, "champion": {"log_loss": skill | {"low": -0.01}}}}
    pooled = {"fhs": {"log_loss": skill}, "champion": {"log_loss": skill}}
    out = {"horizons": {"1h": table, "4h": copy.deepcopy(table)}, "pooled": copy.deepcopy(pooled)}
    out["unknown"] = 0
    out["not_monotone"] = {"horizon": 0, "headroom": 0, "probed": 400}
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = out
        for name in parents:
            place = place[name]
        place[last] = value
    return out


def test_made_up_figures_pass():
    assert broken_rules(figures(), GateLimits()) == ()
    assert "calibration within the limits" in _passed_by(figures(), GateLimits())


def test_a_calibration_that_could_not_be_judged_is_not_called_good():
    said = _passed_by(figures(horizons__4h__models__challenger__ece_stress=float("nan")), GateLimits())
    assert "calibration in stress within 4h not judged: too few rows" in said
    assert "calibration within the limits" not in said


@pytest.mark.parametrize(
    ("change", "value", "words"),
    [
        ("horizons__4h__days", 19, "19 days within 4h decide nothing; 20 are needed"),
        ("horizons__4h__events", 49, "49 liquidations within 4h decide nothing; 50 are needed"),
        ("horizons__4h__skill__fhs__log_loss__value", 0.0, "does not beat FHS within 4h"),
        ("horizons__4h__skill__fhs__log_loss__value", float("nan"), "does not beat FHS within 4h"),
        ("horizons__4h__skill__fhs__log_loss__low", -0.02, "may well be worse than FHS within 4h"),
        ("horizons__4h__skill__champion__log_loss__high", -0.001, "is worse than the champion within 4h"),
        ("horizons__4h__models__challenger__ece", 0.0201, "calibration error within 4h is 0.0201, +0.0100"),
        ("horizons__4h__models__challenger__ece_stress", 0.031, "calibration error in stress within 4h"),
        ("pooled__fhs__log_loss__low", 0.0, "does not beat FHS beyond doubt over all horizons"),
        ("pooled__champion__log_loss__high", -0.001, "is worse than the champion over all horizons"),
        ("unknown", 2, "2 accounts have a forecast of FHS and none of the challenger"),
        ("not_monotone__horizon", 1, "1 probabilities fall with the horizon"),
        ("not_monotone__headroom", 3, "3 of 400 probed probabilities rise with headroom"),
    ],
)
def test_each_rule_alone_refuses_and_is_named(change, value, words):
    broken = broken_rules(figures(**{change: value}), GateLimits())
    assert len(broken) == 1 and words in broken[0]


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("horizons__4h__skill__fhs__log_loss__low", -0.019),
        ("horizons__4h__models__challenger__ece_stress", float("nan")),
        ("horizons__4h__skill__champion__log_loss__high", 0.0),
    ],
)
def test_what_is_within_the_limits_passes(change, value):
    assert broken_rules(figures(**{change: value}), GateLimits()) == ()


@pytest.mark.parametrize("part", ["overall", "stress"])
def test_above_the_limit_only_what_is_proven_worse_than_fhs_is_refused(part):
    field = {"overall": "ece", "stress": "ece_stress"}[part]
    off = figures(
        **{f"horizons__4h__models__challenger__{field}": 0.06, f"horizons__4h__ece_over_fhs__{part}__low": 0.0}
    )
    assert broken_rules(off, GateLimits()) == ()
    where = {"overall": "", "stress": " in stress"}[part]
    assert any(f"calibration error{where} within 4h is 0.0600, above" in said for said in _passed_by(off, GateLimits()))
    off["horizons"]["4h"]["ece_over_fhs"][part]["low"] = 0.001
    assert len(broken_rules(off, GateLimits())) == 1


def test_the_excess_of_a_forecast_over_itself_is_nothing_and_a_wrong_level_is_found():
    rng = np.random.default_rng(0)
    day = np.repeat(np.arange(60), 40)
    p = rng.uniform(0.05, 0.6, len(day))
    y = (rng.random(len(day)) < p).astype(float)
    days = DayBlocks(day, seed=0)
    assert vars(calibration_excess(p, p, y, days)) == {"value": 0.0, "low": 0.0, "high": 0.0}
    wrong = calibration_excess(np.minimum(p + 0.1, 1), p, y, days)
    assert wrong.low > 0.05 and wrong.low < wrong.value < wrong.high
    assert wrong.value == pytest.approx(0.1 - expected_calibration_error(p, y), abs=0.002)


def test_right_forecasts_are_seldom_called_worse_than_each_other():
    """Two forecasts, each right on average of a day's shock neither knows: about 5% lie above zero at the low end."""
    rng, called = np.random.default_rng(1), 0
    for seed in range(200):
        day = np.repeat(np.arange(30), 20)
        p, other = rng.uniform(0.1, 0.5, (2, len(day)))
        shock = np.repeat(rng.normal(0, 0.05, 30), 20)
        y = (rng.random(len(day)) < (p + other) / 2 + shock).astype(float)
        right = (p + other.mean()) / 2, (other + p.mean()) / 2
        called += calibration_excess(*right, y, DayBlocks(day, seed=seed)).low > 0
    assert called / 200 < 0.12


# -- stress -------------------------------------------------------------------------------------------------------


def test_stress_is_the_top_fifth_of_what_came_before():
    view, before = small.view(), 2000
    stressed = market_in_stress(view, before)
    returns = log_returns(view.data.mark("close"))
    level = np.array([np.sqrt((returns[i - 23 : i + 1] ** 2).mean(axis=0)).mean() for i in range(24, len(returns))])
    threshold = np.quantile(level[: before - 1 - 24], 0.8)
    clear = np.abs(level - threshold) > 1e-3 * threshold
    np.testing.assert_array_equal(stressed[25:][clear], (level > threshold)[clear])
    assert stressed[25:before].mean() == pytest.approx(0.2, abs=0.01)


def test_stress_knows_nothing_of_its_own_bar_or_of_the_block():
    view, data = small.view(), small.scrambled(small.data(), 2100)
    changed = copy.copy(view)
    object.__setattr__(changed, "data", data)
    np.testing.assert_array_equal(market_in_stress(view, 2000)[:2101], market_in_stress(changed, 2000)[:2101])
    with pytest.raises(InputError, match="no past"):
        market_in_stress(view, 1)


# -- in a store ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory, good, from_shuffled_labels):
    """A store with a champion, a bad and a good challenger."""
    folder = tmp_path_factory.mktemp("promotion")
    for name, model in (("first", good), ("bad", from_shuffled_labels), ("second", good)):
        save_state(model.state(), folder / name)
        log_run(folder / "store", folder / name, parameters={}, metrics={}, documents={})
    return folder / "store"


@pytest.fixture(autouse=True)
def market_in_memory(monkeypatch):
    """The market's features need not be computed again for each promotion."""
    monkeypatch.setattr(champions, "view_market", lambda data: small.view())


def request(store, model):
    return PromotionRequest(small.folder(), store, model, accounts=ACCOUNTS)


def test_a_refused_challenger_leaves_the_champion_and_its_reasons_are_kept(filled):
    promotion = promote_model(request(filled, "models:/margincast/2"), small.RULES, NOON)
    assert not promotion.verdict.promoted and promotion.champion == "1" and promotion.version == "2"
    with open_registry(filled) as registry:
        assert registry.aliases() == {"champion": "1", "challenger": "3"}
        tags, kept = registry.tags("2"), registry.newest_document("2", "gate")
        files = {f.path for f in registry.client.list_artifacts(str(registry.find("models:/margincast/2").run_id))}
    assert tags["gate"] == "refused" and "does not beat FHS" in tags["gate_reason"]
    assert kept["reasons"] == list(promotion.verdict.reasons) and kept["at"] == "2022-06-01T12:00:00Z"
    assert files >= {"model_card.md", "model_card.json", "validation_report.html", "gate", "model"}
    json.dumps(promotion.as_dict())


def test_a_good_challenger_becomes_champion_and_rolls_back(filled):
    later = NOON + dt.timedelta(days=1)
    promotion = promote_model(request(filled, "challenger"), small.RULES, later)
    assert promotion.verdict.promoted and promotion.champion == promotion.version == "3"
    # champion and challenger are the same model here
    assert promotion.verdict.figures["pooled"]["champion"]["log_loss"]["value"] == 0.0
    with pytest.raises(MargincastError, match="is the champion already"):
        promote_model(request(filled, "champion"), small.RULES, later)
    with pytest.raises(InputError, match="must say why"):
        rollback_model(filled, later, " ")
    event = rollback_model(filled, later + dt.timedelta(hours=1), "false alarms")
    assert (event.version, event.before) == ("1", "3")
    assert registry_history(filled)[-1] == event


def test_killed_while_recording_leaves_the_old_champion(filled, monkeypatch):
    """The artifacts are written, the process dies before the tags."""

    def dying(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(champions, "judge", lambda *a, **k: promotion.Verdict(True, ("made up",), {"block": {
        "start": "a", "end": "b"}, "limits": {}, "accounts": "simulated"}))  # fmt: skip
    monkeypatch.setattr(Registry, "promote", dying)
    with pytest.raises(KeyboardInterrupt):
        promote_model(request(filled, "models:/margincast/2"), small.RULES, NOON + dt.timedelta(days=2))
    assert Registry(open_client(filled)).champion() == "1"


def test_a_verdict_against_a_champion_that_is_gone_is_not_kept(filled, monkeypatch):
    """The champion moves while the challenger is judged."""
    with open_registry(filled) as registry:
        before = registry.newest_document("2", "gate")

    def slow(*arguments, **settings):
        with open_registry(filled) as registry:
            registry.promote("3", "1", NOON, ["better"])
        about = {"block": {"start": "a", "end": "b"}, "limits": {}, "accounts": "simulated"}
        return promotion.Verdict(True, ("made up",), about)

    monkeypatch.setattr(champions, "judge", slow)
    with pytest.raises(MargincastError, match="became champion while version 2 was judged against 1"):
        promote_model(request(filled, "models:/margincast/2"), small.RULES, NOON + dt.timedelta(days=3))
    with open_registry(filled) as registry:
        assert registry.newest_document("2", "gate") == before and registry.champion() == "3"
        registry.rollback(NOON + dt.timedelta(days=4), "test")


def test_the_first_unseen_day_is_the_one_after_training(good):
    assert first_unseen_day(good) == DAY_AFTER
