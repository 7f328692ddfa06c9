"""The registry: first version, promotion, refusal, rollback, fall-back; what a kill between two steps leaves."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from margincast.riskcore.errors import MargincastError
from margincast.training.mlflow_store import open_client
from margincast.training.registry import REGISTERED, Registry, open_registry
from margincast.training.store import save_state
from margincast.training.tracking import log_run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:alembic"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """A store with its tables made; MLflow takes seconds to make them."""
    folder = tmp_path_factory.mktemp("registry") / "store"
    folder.mkdir()
    open_client(folder).search_registered_models()
    return folder


@pytest.fixture
def store(empty_store, tmp_path):
    """A store with three registered versions."""
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes((empty_store / "mlflow.db").read_bytes())
    for number in (1, 2, 3):
        model = tmp_path / f"model{number}"
        save_state({"number": number}, model)
        log_run(folder, model, parameters={}, metrics={}, documents={"about": {"number": number}}, texts={"a.md": "x"})
    return folder


def after(hours: int) -> datetime:
    return NOON + timedelta(hours=hours)


def test_the_first_version_is_champion_and_recorded_as_ungated(store):
    with open_registry(store) as registry:
        assert registry.champion() == "1"
        assert registry.tags("1")["gate"] == "ungated" and "without a gate" in registry.tags("1")["gate_reason"]
        assert "gate" not in registry.tags("2")
        assert [(e.kind, e.version) for e in registry.history()] == [("first", "1")]
        assert registry.aliases() == {"champion": "1", "challenger": "3"}


def test_promotion_moves_the_champion_and_keeps_the_way_back(store):
    with open_registry(store) as registry:
        registry.promote("3", "1", NOON, ["beats FHS", "no worse"])
        assert registry.aliases() == {"champion": "3", "previous": "1"}
        assert registry.tags("3")["gate"] == "passed" and registry.tags("3")["champion_before"] == "1"
        last = registry.history()[-1]
    assert (last.at, last.kind, last.version, last.before) == ("2026-01-01T12:00:00Z", "promoted", "3", "1")
    assert last.reason == "beats FHS; no worse"


def test_refusal_moves_nothing_and_keeps_the_reason(store):
    with open_registry(store) as registry:
        before = registry.aliases()
        registry.refuse("2", NOON, ["does not beat FHS within 4h"])
        assert registry.aliases() == before
        assert registry.tags("2") == {
            "gate": "refused",
            "gate_reason": "does not beat FHS within 4h",
            "gate_at": "2026-01-01T12:00:00Z",
        }
        assert registry.history()[-1].kind == "refused"


def test_rollback_goes_back_one_promotion_at_a_time(store):
    with open_registry(store) as registry:
        registry.promote("2", "1", after(0), ["better"])
        registry.promote("3", "2", after(1), ["better still"])
        event = registry.rollback(after(2), "alerts were late")
        assert (event.version, event.before, event.reason) == ("2", "3", "alerts were late")
        assert registry.aliases() == {"champion": "2", "previous": "1"}
        assert registry.tags("3")["rolled_back"] == "2026-01-01T14:00:00Z: alerts were late"
        registry.rollback(after(3), "and again")
        assert registry.aliases() == {"champion": "1"}
        with pytest.raises(MargincastError, match="nothing to roll back to"):
            registry.rollback(after(4), "too far")
        assert registry.champion() == "1"
        kinds = [event.kind for event in registry.history()]
    assert kinds == ["first", "promoted", "promoted", "rolled back", "rolled back"]


def test_rollback_never_goes_to_a_version_that_was_rolled_back(store):
    with open_registry(store) as registry:
        registry.promote("2", "1", after(0), ["better"])
        registry.promote("1", "2", after(1), ["better again"])
        assert registry.rollback(after(2), "1 is broken").version == "2"
        with pytest.raises(MargincastError, match="nothing to roll back to"):
            registry.rollback(after(3), "2 is broken")
        registry.promote("3", "2", after(4), ["better"])
        registry.promote("1", "3", after(5), ["mended"])
        assert "rolled_back" not in registry.tags("1")
        assert registry.rollback(after(6), "broken after all").version == "3"


STEPS = ("set_model_version_tag", "set_registered_model_alias", "delete_registered_model_alias")


@pytest.mark.parametrize("survived", range(9))
def test_killed_between_any_two_steps_leaves_the_old_champion_or_the_whole_new_one(store, monkeypatch, survived):
    """Promotion writes four tags and two aliases, deletes one and logs; the champion moves with the sixth write."""
    with open_registry(store) as registry:
        left = iter(range(survived))

        def dying(name):
            original = getattr(registry.client, name)

            def call(*arguments):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return original(*arguments)

            return call

        for name in (*STEPS, "set_registered_model_tag"):
            monkeypatch.setattr(registry.client, name, dying(name))
        try:
            registry.promote("3", "1", NOON, ["better"])
        except KeyboardInterrupt:
            assert survived < 8
        monkeypatch.undo()
        champion = registry.champion()
        assert champion == ("1" if survived < 6 else "3")
        said = registry.history()[-1]
        if champion == "3":
            assert said.kind == ("promoted" if survived >= 8 else "unrecorded") and said.version == "3"
            assert registry.rollback(after(1), "back").version == "1"
        else:
            assert said.kind == "first"
            registry.promote("3", "1", after(1), ["better"])
            assert registry.champion() == "3"


def test_a_champion_that_changed_meanwhile_stops_a_promotion(store):
    with open_registry(store) as registry:
        registry.promote("2", "1", NOON, ["better"])
        with pytest.raises(MargincastError, match="became champion while version 3 was judged against 1"):
            registry.promote("3", "1", after(1), ["better"])
        assert registry.champion() == "2"


def test_fall_back_is_set_and_cleared_and_logged_once(store):
    with open_registry(store) as registry:
        assert registry.fall_back("1") is None
        registry.set_fall_back("1", None, NOON)
        registry.set_fall_back("1", "loss martingale 150", after(1))
        registry.set_fall_back("1", "loss martingale 210", after(2))
        assert registry.fall_back("1") == "loss martingale 210" and registry.fall_back("2") is None
        registry.set_fall_back("1", None, after(3))
        assert registry.fall_back("1") is None
        assert [event.kind for event in registry.history()] == ["first", "fall-back on", "fall-back off"]


def test_documents_come_back_and_the_newest_of_a_folder_is_found(store):
    with open_registry(store) as registry:
        assert registry.document("2", "about.json") == {"number": 2}
        assert registry.document("2", "nothing.json") is None and registry.newest_document("2", "gate") is None
        registry.attach("2", {"gate/2.json": json.dumps({"n": 2}), "gate/1.json": json.dumps({"n": 1})})
        assert registry.newest_document("2", "gate") == {"n": 2}


def test_a_long_reason_is_cut_in_tags_and_does_not_fail(store):
    with open_registry(store) as registry:
        registry.refuse("2", NOON, ["x" * 10_000])
        assert len(registry.tags("2")["gate_reason"]) == 2000 and len(registry.history()[-1].reason) == 2000


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(MargincastError, match="no model store here"), open_registry(tmp_path / "nowhere"):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_an_unknown_version_is_one_line(store):
    with pytest.raises(MargincastError, match="could not be read or written") as caught, open_registry(store) as found:
        found.tags("9")
    assert "\n" not in str(caught.value)


def test_events_survive_a_second_look(store):
    with open_registry(store) as registry:
        registry.refuse("2", NOON, ["no"])
        first = registry.history()
    again = Registry(open_client(store))
    assert again.history() == first and again.client.get_registered_model(REGISTERED).name == REGISTERED
