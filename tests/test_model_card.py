"""Model cards and validation reports, in a folder and in the store; the monitor's word; what the verbs print."""

import copy
import datetime as dt
import itertools
import json
import re
from html.parser import HTMLParser

import pytest
import small_market as small

from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import console_models, monitor, scoring
from margincast.training.card_files import card_texts, write_cards
from margincast.training.champions import Promotion
from margincast.training.drift import FallBack
from margincast.training.exchangeability import Martingale
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.model_card import card_json, model_card
from margincast.training.model_card_text import card_markdown
from margincast.training.monitor import MonitorRequest, drift_of, monitor_model
from margincast.training.plan import parse_horizons
from margincast.training.promotion import Verdict
from margincast.training.reference import training_reference
from margincast.training.registry import Event, Registry, open_registry
from margincast.training.report_page import plain_values
from margincast.training.score import Scorer, with_columns
from margincast.training.scoring import ScoreRequest, score_file
from margincast.training.store import save_state, state_hash
from margincast.training.tracking import log_run
from margincast.training.train import describe_training
from margincast.training.validation_report import validation_html

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
AT = dt.datetime(2022, 6, 1, tzinfo=dt.UTC)
SINCE = small.TRAIN_END + dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def model() -> LiquidationForecaster:
    """The small market's model with what it says of its training, and a reference of it."""
    out = copy.copy(small.fitted())
    plan = small.plan(accounts=3000)
    described = describe_training(
        small.view(), small.RULES, plan, parse_horizons(plan.horizons, small.view().history.step)
    )
    out.about_ = small.fitted().about_ | described
    data = small.evaluation().data
    fields = out.scales_.fields(small.data(), small.view().frame, data.sample.bar)
    out.reference_ = training_reference(
        with_columns(data.sample, out.columns_),
        data.day,
        fields["learned"],
        probability=small.evaluation().probabilities["hybrid"],
        outcome=data.breached,
        judged_day=data.day,
        stride=2,
    )
    return out


def made_up_verdict(promoted=True) -> dict:
    """Invented figures in the shape of a verdict; nothing here was measured."""
    skill = {"value": 0.042, "low": 0.021, "high": 0.063}
    scores = {"log_loss": 0.2, "brier": 0.07, "ece": 0.0123, "ece_calm": 0.01, "ece_stress": float("nan")}
    curve = {"predicted": [0.01, 0.2], "observed": [0.0, 0.25], "count": [100, 50]}
    pair = {"log_loss": skill, "brier": skill}
    table = {"n": 1000, "days": 40, "events": 100, "base_rate": 0.1, "stress_rows": 120}
    table |= {"models": {"challenger": scores, "fhs": scores}, "skill": {"fhs": pair}}
    figures = {
        "block": {"start": "2022-04-21", "end": "2022-05-30"},
        "trained_to": {"challenger": "2022-04-20"},
        "limits": {"least_days": 20},
        "accounts": "simulated",
        "market": "simulated",
        "horizons": {"4h": table},
        "pooled": {"fhs": pair},
        "not_monotone": {"horizon": 0, "headroom": 0, "probed": 400},
        "reliability": {"4h": {"challenger": curve, "fhs": curve}},
    }
    return Verdict(promoted, ("a <b>reason</b>",), figures).as_dict(AT)


class Links(HTMLParser):
    """Collects what a page would load."""

    def __init__(self):
        super().__init__()
        self.found, self.ids = [], []

    def handle_starttag(self, tag, attrs):
        self.found += [v for k, v in attrs if k in ("src", "href", "action") and v and not v.startswith("#")]
        self.ids += [v for k, v in attrs if k == "id"]


# -- the card -----------------------------------------------------------------------------------------------------


def test_the_card_names_data_with_hashes_training_rules_and_the_way_back(model):
    card = model_card(model.about_, address="models:/margincast/1", sha256="f" * 64)
    files = {f["table"]: f["sha256"] for f in card["data"]["files"]}
    report = small.data().report
    assert files == {table.table: table.sha256 for table in report.tables} and "perp" in files
    assert card["training"]["train_end"] == small.TRAIN_END.isoformat()
    assert card["training"]["rules"]["venue"] == "binance_usdm" and card["training"]["rows"] == 3000
    assert "fallback_reason" in card["falling_back"] and "margincast rollback" in card["rolling_back"]
    assert card["metrics"] is card["gate"] is card["calibration"] is None
    assert any("simulated market" in line for line in card["known_failures"])


def test_the_cards_figures_are_the_evaluations(model):
    scores = small.evaluation().scores
    card = model_card(model.about_, evaluation=scores)
    for name, table in scores["horizons"].items():
        for base, entry in table["models"]["hybrid"]["skill_vs"].items():
            assert card["metrics"]["horizons"][name]["skill_vs"][base] == entry
    text = card_markdown(card)
    entry = scores["horizons"]["1h"]["models"]["hybrid"]["skill_vs"]["fhs"]
    value, low, high = (100 * entry[f"log_loss_{part}"] for part in ("value", "low", "high"))
    wanted = f"{value:+.1f} [{low:+.1f} {high:+.1f}]"
    assert f"| 1h | fhs | {wanted} |" in text


def test_what_is_not_proven_is_among_the_known_failures(model):
    scores = copy.deepcopy(small.evaluation().scores)
    entry = scores["horizons"]["24h"]["models"]["hybrid"]["skill_vs"]["fhs"]
    entry |= {"log_loss_low": -0.01, "log_loss_high": 0.02}
    failures = model_card(model.about_, evaluation=scores)["known_failures"]
    assert "Within 24h it is not proven better than fhs: log-loss skill [-1.0% +2.0%]." in failures
    entry |= {"log_loss_low": 0.001}
    assert not any(
        "24h" in line and "than fhs:" in line for line in model_card({}, evaluation=scores)["known_failures"]
    )


def test_an_evaluation_of_one_day_has_a_card_without_intervals(model):
    scores = copy.deepcopy(small.evaluation().scores)
    for table in scores["horizons"].values():
        for entry in table["models"]["hybrid"]["skill_vs"].values():
            entry |= dict.fromkeys(("low", "high", "log_loss_low", "log_loss_high"))
    card = model_card(model.about_, evaluation=scores)
    assert "Within 24h it is not proven better than fhs: log-loss skill not known." in card["known_failures"]
    assert "| 24h | fhs |" in card_markdown(card)


def test_a_refusal_is_in_the_card_and_on_top_of_the_report(model):
    verdict = made_up_verdict(promoted=False)
    card = model_card(model.about_, verdict=verdict)
    assert "Refused by the gate: a <b>reason</b>." in card["known_failures"]
    assert card["gate"]["promoted"] is False and card["calibration"]["4h"]["hybrid"]["ece"] == 0.0123
    assert card["calibration"]["4h"]["hybrid"]["ece_stress"] is None
    assert "Refused at 2022-06-01T00:00:00Z on the block 2022-04-21 to 2022-05-30" in card_markdown(card)
    assert "| 4h | hybrid | 0.0123 | 0.0100 | too few rows |" in card_markdown(card)
    assert "refused by the gate: it is not to be scored with" in validation_html(card, verdict=verdict)


def test_the_card_is_plain_json_and_the_same_every_time(model):
    card = model_card(model.about_, evaluation=small.evaluation().scores, verdict=made_up_verdict())
    assert json.loads(card_json(card)) == card
    assert card_texts(model.about_, verdict=made_up_verdict()) == card_texts(model.about_, verdict=made_up_verdict())


# -- the report ---------------------------------------------------------------------------------------------------


def test_the_report_asks_the_network_for_nothing_and_escapes(model):
    scores, verdict = small.evaluation().scores, made_up_verdict()
    card = model_card(model.about_, evaluation=scores, verdict=verdict)
    html = validation_html(card, evaluation=scores, verdict=verdict)
    page = Links()
    page.feed(html)
    assert page.found == []
    assert set(page.ids) >= {"verdict", "block", "skill", "reliability", "use", "provenance"}
    assert "a &lt;b&gt;reason&lt;/b&gt;" in html and "<b>reason" not in html
    assert "Content-Security-Policy" in html and "Absent:" not in html
    assert "+4.2%" in html and "promoted" in html and "accounts simulated" in html


def test_a_report_of_a_model_not_judged_says_what_is_absent(model):
    html = validation_html(model_card(model.about_))
    assert html.count("Absent:") == 5 and "this model has not been through the gate" in html
    assert len(html) < 60_000  # without figures no plotting library is carried


# -- files and store ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory, model):
    """A store with the model, its evaluation and a refusal."""
    folder = tmp_path_factory.mktemp("card")
    save_state(model.state(), folder / "model")
    log_run(
        folder / "store",
        folder / "model",
        parameters={},
        metrics={},
        documents={"evaluation": plain_values(small.evaluation().scores)},
    )
    with open_registry(folder / "store") as registry:
        verdict = json.dumps(plain_values(made_up_verdict(promoted=False)))
        registry.attach("1", {"gate/2022-06-01T000000Z.json": verdict})
    return folder / "store"


def test_cards_of_a_registered_model_hold_its_evaluation_and_newest_verdict(store, tmp_path):
    files = write_cards("champion", store, tmp_path / "out" / "card")
    assert [f.name for f in files] == ["model_card.json", "model_card.md", "validation_report.html"]
    card = json.loads(files[0].read_text())
    assert card["model"]["address"] == "champion"
    assert card["model"]["sha256"] == state_hash(store.parent / "model")
    assert card["gate"]["promoted"] is False and set(card["metrics"]["horizons"]) == {"1h", "4h", "24h"}


def test_cards_of_a_folder_take_an_evaluation_file(store, tmp_path):
    (tmp_path / "evaluation.json").write_text(json.dumps(plain_values(small.evaluation().scores)))
    score = {"horizons": ["1h"], "data": {}}  # what `score --json` writes has these keys too
    (tmp_path / "wrong.json").write_text("[]")
    (tmp_path / "score.json").write_text(json.dumps(score))
    folder = str(store.parent / "model")
    write_cards(folder, tmp_path / "nowhere", tmp_path / "out", tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "out" / "model_card.json").read_text())["metrics"] is not None
    for name in ("wrong.json", "score.json"):
        with pytest.raises(InputError, match="is not what `evaluate --json` writes"):
            write_cards(folder, tmp_path / "nowhere", tmp_path / "out", tmp_path / name)
    with pytest.raises(InputError, match=r"missing\.json: is not there$"):
        write_cards(folder, tmp_path / "nowhere", tmp_path / "out", tmp_path / "missing.json")
    (tmp_path / "half.json").write_text('{"horizons": {')
    with pytest.raises(InputError, match="is not a JSON file"):
        write_cards(folder, tmp_path / "nowhere", tmp_path / "out", tmp_path / "half.json")


OTHERS = {
    "seed": ({"seed": 2}, {}, "seed 2, of the model 1$"),
    "accounts": ({"accounts_trained": 4000}, {}, "accounts trained on 4000, of the model 3000$"),
    "period": (
        {"train": ["2022-02-01T00:00", "2022-04-19T23:00"]},
        {},
        "training 2022-04-19, of the model 2022-04-20$",
    ),
    "symbols": ({"symbols": ["BTC", "ETH"]}, {}, "symbols BTC, ETH, of the model BTC, ETH, SOL$"),
    "market": ({"market": "real bars"}, {}, "market real bars, of the model simulated$"),
    "rules": ({"rules": {"sha256": "f0"}}, {}, "rules f0, of the model [0-9a-f]{64}$"),
    "horizons": ({}, {"1h": {}, "4h": {}}, "horizons 1h, 4h, of the model 1h, 4h, 24h$"),
    "two": ({"seed": 2, "market": "real bars"}, {}, "market real bars, .*; seed 2, "),
    "not said": ({"seed": None}, {}, "seed not said, of the model 1$"),
}


@pytest.mark.parametrize(("data", "horizons", "said"), OTHERS.values(), ids=OTHERS)
def test_an_evaluation_of_another_model_is_refused_and_each_difference_named(store, tmp_path, data, horizons, said):
    scores = plain_values(small.evaluation().scores)
    other = {"horizons": horizons or scores["horizons"], "data": scores["data"] | data}
    (tmp_path / "other.json").write_text(json.dumps(other, sort_keys=True))
    with pytest.raises(InputError, match=f"is not of this model: .*{said}") as caught:
        write_cards("champion", store, tmp_path / "out", tmp_path / "other.json")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_the_card_says_whether_its_figures_are_of_these_bytes(model):
    """What `evaluate` writes knows no stored model; what the demo keeps does."""
    scores = small.evaluation().scores
    same = scores | {"data": scores["data"] | {"model_sha256": "f" * 64}}
    for evaluation, sha256, said in (
        (scores, "f" * 64, "not of these very bytes"),
        (same, "e" * 64, "not of these very bytes"),
        (same, None, "not of these very bytes"),
        (same, "f" * 64, "Figures of these very bytes."),
    ):
        texts = card_texts(model.about_, sha256=sha256, evaluation=evaluation)
        assert said in texts["model_card.md"] and said in texts["validation_report.html"]
        assert said in json.loads(texts["model_card.json"])["metrics"]["whose"]


def test_horizons_rise_in_card_and_report_whatever_the_order_of_the_files(model):
    """JSON with sorted keys has 24h before 4h."""
    judged = made_up_verdict()
    judged["horizons"] = {name: judged["horizons"]["4h"] for name in ("1h", "24h", "4h")}
    judged["reliability"] = {name: judged["reliability"]["4h"] for name in ("1h", "24h", "4h")}
    scores, verdict = (
        json.loads(json.dumps(plain_values(d), sort_keys=True)) for d in (small.evaluation().scores, judged)
    )
    assert list(scores["horizons"]) == list(verdict["reliability"]) == ["1h", "24h", "4h"]
    texts = card_texts(model.about_, evaluation=scores, verdict=verdict)
    page = texts["validation_report.html"]
    rising = ["1h", "4h", "24h"]
    for text, pattern, tables in (
        (texts["model_card.md"], r"^\| (\d+h) \|", 2),  # skill, calibration
        (page, r"<td[^>]*>(\d+h)</td>", 1),  # the block
        (page, r'rowgroup"[^>]*>(\d+h) ', 1),  # all scores
        (page, r"u003cb>(\d+h)\\u003c/b>", None),  # headings of panels: every figure of skill, then reliability
    ):
        found = [name for name, _ in itertools.groupby(re.findall(pattern, text, re.MULTILINE))]
        assert len(found) > 0 and found == rising * (tables or len(found) // 3)


def test_a_version_that_was_rolled_back_says_so_and_why(model):
    verdict, said = made_up_verdict(), "2022-06-02T00:00:00Z: alerts <i>late</i>"
    texts = card_texts(model.about_, verdict=verdict, rolled_back=said)
    assert "Promoted at" in texts["model_card.md"] and f"Rolled back since, at {said}" in texts["model_card.md"]
    assert json.loads(texts["model_card.json"])["rolled_back"] == said
    page = texts["validation_report.html"]
    assert page.count("alerts &lt;i&gt;late&lt;/i&gt;") >= 2 and "<i>late" not in page
    assert "olled back since" not in "".join(card_texts(model.about_, verdict=verdict).values())


def test_cards_of_a_registered_version_take_the_rollback_from_the_registry(store, tmp_path):
    with open_registry(store) as registry:
        registry.client.set_model_version_tag("margincast", "1", "rolled_back", "2022-06-02T00:00:00Z: alerts late")
    try:
        files = write_cards("models:/margincast/1", store, tmp_path / "out")
    finally:
        with open_registry(store) as registry:
            registry.client.delete_model_version_tag("margincast", "1", "rolled_back")
    assert "Rolled back since, at 2022-06-02T00:00:00Z: alerts late" in files[1].read_text()


# -- the monitor --------------------------------------------------------------------------------------------------


def request(store, **changes) -> MonitorRequest:
    settings = {"market": small.folder(), "store": store, "model": "champion", "since": SINCE, "accounts": 400}
    return MonitorRequest(**settings | changes)


def test_the_monitor_looks_at_what_came_after_training_only(model, store):
    report = drift_of(model, small.view(), small.RULES, request(store))
    assert report.rows == 400 and report.days > 30
    assert set(report.counts) == {"1h", "4h", "24h"} and report.skill is not None
    assert len(report.features) == len(model.columns_)
    with pytest.raises(InputError, match="the training has seen this day; what is new begins 2022-04-21"):
        drift_of(model, small.view(), small.RULES, request(store, since=small.TRAIN_END))
    bare = copy.copy(model)
    bare.reference_ = None
    with pytest.raises(MargincastError, match="without a reference"):
        drift_of(bare, small.view(), small.RULES, request(store))


@pytest.fixture
def scored(store, tmp_path):
    """Scores of a two-account file by the champion, as the registry now says."""
    price = small.data().mark("close")[-1]
    records = [
        {
            "account": name,
            "balances": {"USDT": share * float(price[0])},
            "positions": [{"symbol": "BTC", "quantity": 1.0, "entry_price": float(price[0])}],
        }
        for name, share in (("a", 0.05), ("b", 0.1))
    ]
    (tmp_path / "accounts.json").write_text(json.dumps(records))

    def call(**changes):
        settings = {"accounts": tmp_path / "accounts.json", "market": small.folder(), "at": None, "model": None}
        return score_file(ScoreRequest(**settings | {"store": store, "target": 0.05, "top": 1} | changes), small.RULES)

    return call


def test_an_alarm_makes_the_registered_model_fall_back_and_a_calm_look_lifts_it(store, model, scored, monkeypatch):
    """Alarm and calm are given; what follows from them is not."""
    monkeypatch.setattr(monitor, "load_model", lambda *a, **k: model)
    for place in (monitor, scoring):  # the market need not be read six times
        monkeypatch.setattr(place, "market_of" if place is monitor else "view_market", lambda *a: small.view())
    quiet = drift_of(model, small.view(), small.RULES, request(store))
    alarm = copy.copy(quiet)
    vars(alarm).update(alarms=("made up",), fall_back=FallBack("made up"))
    calm = copy.copy(quiet)
    vars(calm).update(alarms=(), fall_back=None, martingale=Martingale(1.0, 1.0, 3))

    monkeypatch.setattr(monitor, "drift_of", lambda *a: alarm)
    found = monitor_model(request(store), small.RULES, AT)
    assert found["fall_back"] == "made up" and found["recorded"]
    result = scored()
    assert {r["source"] for r in result["accounts"]} == {"fhs"}
    assert {r["fallback_reason"] for r in result["accounts"]} == {"made up"}
    assert any("2 of 2 pools scored by historical simulation" in line for line in result["warnings"])
    with open_registry(store) as registry:
        assert registry.newest_document("1", "drift")["fall_back"] == "made up"

    monkeypatch.setattr(monitor, "drift_of", lambda *a: calm)
    assert monitor_model(request(store), small.RULES, AT + dt.timedelta(days=1))["fall_back"] is None
    after = scored()
    assert {r["source"] for r in after["accounts"]} == {"hybrid"}
    assert not any("historical simulation (FHS)" in line for line in after["warnings"])
    by_hand = scored(fall_back="the desk says so")
    assert {r["fallback_reason"] for r in by_hand["accounts"]} == {"the desk says so"}
    folder = scored(model=str(store.parent / "model"), fall_back=None)
    assert {r["source"] for r in folder["accounts"]} == {"hybrid"}


def test_a_look_at_too_few_labels_lifts_no_fall_back(store, model, monkeypatch):
    monkeypatch.setattr(monitor, "load_model", lambda *a, **k: model)
    monkeypatch.setattr(monitor, "market_of", lambda *a: small.view())
    quiet = drift_of(model, small.view(), small.RULES, request(store))
    alarm, short = copy.copy(quiet), copy.copy(quiet)
    vars(alarm).update(alarms=("made up",), fall_back=FallBack("made up"))
    vars(short).update(alarms=(), fall_back=None, martingale=None, counts={}, skill=None)
    monkeypatch.setattr(monitor, "drift_of", lambda *a: alarm)
    monitor_model(request(store), small.RULES, AT + dt.timedelta(days=2))
    monkeypatch.setattr(monitor, "drift_of", lambda *a: short)
    found = monitor_model(request(store), small.RULES, AT + dt.timedelta(days=3))
    with open_registry(store) as registry:
        assert registry.fall_back("1") == "made up"
        assert registry.newest_document("1", "drift")["fall_back"] == "made up"
        registry.set_fall_back("1", None, AT + dt.timedelta(days=4))
    assert found["fall_back"] == "made up" and any("stays" in line for line in found["warnings"])


@pytest.mark.parametrize("present", [None, "decided before"])
def test_a_window_of_two_days_decides_nothing_and_the_registry_stays(store, model, monkeypatch, shown, present):
    """Of two days most features have shifted, whatever the market did."""
    monkeypatch.setattr(monitor, "load_model", lambda *a, **k: model)
    monkeypatch.setattr(monitor, "market_of", lambda *a: small.view())
    last = dt.date.fromisoformat(str(small.view().history.times[-1])[:10])
    with open_registry(store) as registry:
        registry.set_fall_back("1", present, AT)
        events = registry.history()
    found = monitor_model(request(store, since=last - dt.timedelta(days=2)), small.RULES, AT + dt.timedelta(days=9))
    with open_registry(store) as registry:
        stayed, after = registry.fall_back("1"), registry.history()
        registry.set_fall_back("1", None, AT)
    assert stayed == found["fall_back"] == present and after == events
    assert found["shifted"] >= 0.5 and found["alarms"] == [] and found["decided"] is False
    assert found["warnings"][0] == f"too few days to decide: {found['days']}, 10 needed" and found["days"] <= 3
    out = shown(console_models.show_drift, found)
    assert f"decision none, as before: {'falls back to FHS' if present else 'the hybrid stays'}" in out


def test_a_decision_is_recorded_of_the_version_that_was_looked_at(store, model, monkeypatch):
    """The champion moves while the monitor looks."""
    quiet = drift_of(model, small.view(), small.RULES, request(store))
    alarm = copy.copy(quiet)
    vars(alarm).update(alarms=("made up",), fall_back=FallBack("made up"))
    loaded = []

    def load(address, **options):
        loaded.append(address)
        monkeypatch.setattr(Registry, "find", lambda *a: pytest.fail("asked again which version is meant"))
        return model

    monkeypatch.setattr(monitor, "load_model", load)
    monkeypatch.setattr(monitor, "market_of", lambda *a: small.view())
    monkeypatch.setattr(monitor, "drift_of", lambda *a: alarm)
    monitor_model(request(store), small.RULES, AT + dt.timedelta(days=5))
    monkeypatch.undo()
    assert loaded == ["models:/margincast/1"]
    with open_registry(store) as registry:
        assert registry.fall_back("1") == "made up"
        registry.set_fall_back("1", None, AT + dt.timedelta(days=6))


def test_a_score_is_by_one_version_and_what_a_monitor_said_of_it(store, model, scored, monkeypatch):
    """The champion moves while its model is loaded."""
    with open_registry(store) as registry:
        registry.set_fall_back("1", "made up", AT + dt.timedelta(days=7))
    loaded = []

    def load(address, **options):
        loaded.append(address)
        monkeypatch.setattr(Registry, "find", lambda *a: pytest.fail("asked again which version is meant"))
        return model

    monkeypatch.setattr(scoring, "load_model", load)
    monkeypatch.setattr(scoring, "view_market", lambda *a: small.view())
    sources = {record["source"] for record in scored()["accounts"]}
    monkeypatch.undo()
    with open_registry(store) as registry:
        registry.set_fall_back("1", None, AT + dt.timedelta(days=8))
    assert loaded == ["models:/margincast/1"] and sources == {"fhs"}


def test_a_score_of_the_time_of_training_is_said_to_be_no_forecast(model, scored, monkeypatch):
    monkeypatch.setattr(scoring, "load_model", lambda *a, **k: model)
    monkeypatch.setattr(scoring, "view_market", lambda *a: small.view())

    def told(at):
        return any(f"training reaches to {small.TRAIN_END}" in line for line in scored(at=at)["warnings"])

    assert told(f"{small.TRAIN_END}T23:00") and not told(f"{SINCE}T00:00")


def test_a_scorer_takes_the_stored_models_reference_along(model):
    """`aligned` must not lose it."""
    scorer = Scorer(model, small.view(), small.RULES, len(small.view().history))
    assert scorer.model.reference_ is model.reference_
    other = model.aligned(("ETH", "BTC", "SOL"))
    assert other.reference_ is model.reference_


# -- what is printed ----------------------------------------------------------------------------------------------


@pytest.fixture
def shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)

    def call(show, *arguments):
        show(*arguments)
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 80 and "…" not in out, out
        return " ".join(out.split())

    return call


def test_a_verdict_fits_and_names_champion_and_reasons(shown):
    figures = {k: v for k, v in made_up_verdict().items() if k not in ("at", "promoted", "reasons")}
    verdict = Verdict(False, ("does not beat FHS [red]",), figures)
    out = shown(console_models.show_promotion, Promotion("3", "1", verdict, "2022-06-01T00:00:00Z"))
    assert "version 3 refused" in out and "does not beat FHS [red]" in out and "champion: version 1" in out
    assert "+4.2 [+2.1 +6.3]" in out and "accounts simulated" in out
    short = Verdict(False, ("the block overlaps",), {k: figures[k] for k in ("block", "market")})
    assert "the block overlaps" in shown(console_models.show_promotion, Promotion("3", "1", short, ""))


def test_a_rollback_and_its_history_are_shown(shown):
    events = [Event("", "unrecorded", "2", "1", "[x]"), Event("2022-06-01T00:00:00Z", "rolled back", "1", "2", "late")]
    out = shown(console_models.show_rollback, events[1], events)
    assert "champion: version 1, in place of version 2" in out and "(no time) unrecorded version 2: [x]" in out


@pytest.mark.parametrize("reason", [None, "losses stopped resembling those of validation"])
def test_a_drift_report_fits_and_says_the_decision(shown, model, store, reason):
    report = plain_values(drift_of(model, small.view(), small.RULES, request(store)).as_dict())
    alarms = [reason] if reason else []
    report |= {"since": "2022-04-21", "until": "2022-05-30", "fall_back": reason, "alarms": alarms, "recorded": False}
    out = shown(console_models.show_drift, report)
    assert ("falls back to FHS" if reason else "the hybrid stays") in out
    assert "--fall-back REASON" in out and "liquidated within 24h" in out and "400 simulated accounts" in out


def test_written_files_are_named(capsys, tmp_path):
    console_models.show_cards([tmp_path / "model_card.md"])
    assert f"wrote {tmp_path}/model_card.md" in capsys.readouterr().out
