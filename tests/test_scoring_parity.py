"""One forecast in a batch over many bars, alone, and live: by a reloaded model on the market cut at its bar."""

import numpy as np
import pandas as pd
import pytest
import small_market as small

from margincast.features.readers.folder import read_market_folder
from margincast.training.forecaster import LiquidationForecaster
from margincast.training.market_view import view_market
from margincast.training.score import Scorer
from margincast.training.store import load_state, save_state

NAMES = ("fhs", "fhs_har", "fhs_learned", "lightgbm", "hybrid")


@pytest.fixture(scope="module")
def batch():
    """What an evaluation gave every tested row, each at its own bar."""
    return small.evaluation().probabilities


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory) -> LiquidationForecaster:
    folder = tmp_path_factory.mktemp("parity") / "model"
    save_state(small.fitted().state(), folder)
    return LiquidationForecaster.from_state(load_state(folder))


def market_until(bar: int, folder):
    """The market as a store would hold it at the open of a bar: every table cut there."""
    now = pd.Timestamp(small.data().times[bar], tz="UTC")
    for file in small.folder().glob("*.parquet"):
        table = pd.read_parquet(file)
        table[table["timestamp"] < now].to_parquet(folder / file.name)
    for file in small.folder().glob("market.json"):
        (folder / file.name).write_bytes(file.read_bytes())
    return view_market(read_market_folder(folder))


@pytest.mark.parametrize("place", [0.1, 0.6])
def test_a_live_score_by_a_reloaded_model_is_that_of_the_batch(place, batch, reloaded, tmp_path):
    data = small.evaluation().data
    bar = int(data.sample.bar[int(place * len(data))])
    rows = np.flatnonzero(data.sample.bar == bar)
    view = market_until(bar, tmp_path)
    assert len(view.history) == bar
    live = Scorer(reloaded, view, small.RULES, bar).predict(data.book.take(rows))
    for name in NAMES:
        assert live[name].tobytes() == batch[name][rows].tobytes(), name


def test_a_row_alone_is_given_what_it_is_given_among_others(batch):
    model, view, data = small.fitted(), small.view(), small.evaluation().data
    fields = model.scales_.fields(view.data, view.frame, data.sample.bar)
    for row in (3, len(data) // 2):
        alone = model.predict(data.sample.take(np.array([row])), fields)
        assert all(alone[name][0].tobytes() == batch[name][row].tobytes() for name in NAMES)
