"""Boosters trained block by block from a file: the trees of the whole matrix."""

import numpy as np
import pytest
import small_market
from hypothesis import given, settings
from hypothesis import strategies as st
from small_market import HORIZONS, RULES

from margincast.models import streamed_booster
from margincast.models.account_boosting import AccountBooster
from margincast.models.booster import booster_text, train_booster
from margincast.models.row_file import RowFile
from margincast.models.streamed_booster import FileRows, fit_account_booster_on_file, sample_seed, train_booster_on_file
from margincast.riskcore.errors import InputError, MargincastError
from margincast.training.account_features import DIRECTIONS
from margincast.training.account_partitions import joined_datasets
from margincast.training.booster_rows import BoosterRows, booster_rows
from margincast.training.streamed_training import simulated_chunks, store_rows

FIRST = 31 * 24


def drawn(rows, seed=1):
    """Features of several kinds (ties, mostly zero, missing), outcomes that depend on them, and offsets."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 6)).astype(np.float32)
    x[:, 1] = np.round(x[:, 1])
    x[:, 2] *= rng.random(rows) < 0.05
    x[rng.random(rows) < 0.2, 3] = np.nan
    offset = 0.4 * x[:, 0].astype(np.float64) - 1
    y = (rng.random(rows) < 1 / (1 + np.exp(-offset - x[:, 1] - 3 * x[:, 2]))).astype(np.float64)
    return x, y, offset


@pytest.fixture
def file(tmp_path):
    with RowFile(tmp_path / "rows", [f"x{k}" for k in range(6)]) as opened:
        yield opened


@pytest.mark.parametrize(
    ("sample", "seed", "threads"), [(50, 1, 1), (1_000, 77, 1), (1_000, 9**12, 2), (200_000, 4, 1)]
)
def test_trees_are_those_of_the_whole_matrix(file, monkeypatch, sample, seed, threads):
    """Bins from a sample far smaller than the rows, as large, larger; blocks that do not divide the rows."""
    monkeypatch.setattr(FileRows, "batch_size", 999)
    monkeypatch.setattr(streamed_booster, "PARALLEL_ROWS", 1)
    x, y, offset = drawn(5_000)
    for first in range(0, 5_000, 700):
        file.append(x[first : first + 700])
    parameters = {"objective": "binary", "bin_construct_sample_cnt": sample, "bagging_fraction": 0.6, "bagging_freq": 1}
    asked = {"parameters": parameters, "rounds": 8, "seed": seed, "offset": offset}
    whole = train_booster(x, y, file.columns, **asked)
    text = booster_text(train_booster_on_file(file, y, **asked, threads=threads))
    assert text == booster_text(whole)
    assert f"[data_random_seed: {sample_seed(seed)}]" in booster_text(whole)
    other = booster_text(train_booster(x, y, file.columns, **asked | {"seed": seed + 1}))
    assert text.split("parameters:")[0] != other.split("parameters:")[0]


def test_a_sample_of_other_size_gives_other_bins(file):
    """What the test above holds fixed is not fixed by itself."""
    x, y, _ = drawn(5_000)
    file.append(x)

    def trees(sample):
        parameters = {"objective": "binary", "bin_construct_sample_cnt": sample}
        return booster_text(train_booster_on_file(file, y, parameters=parameters, rounds=5, seed=4)).split("parameters")

    assert trees(50)[0] != trees(5_000)[0]


def test_account_boosters_from_a_file_are_those_of_a_sample(tmp_path):
    """Drawn and labelled in chunks, some outcomes unknown, offsets that are known for some rows only."""
    view, bars = small_market.view(), len(small_market.data().history)
    asked = {"accounts": 2_500, "first_bar": FIRST, "last_bar": bars, "seed": 3}
    chunks = list(simulated_chunks(view, RULES, HORIZONS, **asked, chunk=1_000))
    assert [len(chunk) for chunk in chunks] == [1_000, 1_000, 500]
    whole = joined_datasets(chunks)
    breached, offset = np.array(whole.breached), 0.1 * whole.sample.column("distance_ewma")[:, None] * np.ones(3)
    breached[::7, 1], offset[::5, 2] = np.nan, np.nan
    names, rounds = whole.sample.feature_names, (3, 4, 5)
    for start in (None, offset):
        rows = booster_rows(whole.sample, names, breached, start)
        parts = [
            BoosterRows(rows.features[p], breached[p], None if start is None else start[p])
            for p in np.array_split(np.arange(len(whole)), 4)
        ]
        with RowFile(tmp_path / "rows", names) as file:
            stored = store_rows(parts, file)
            ours = fit_account_booster_on_file(
                file, stored.breached, stored.offset, directions=DIRECTIONS, rounds=rounds, seed=2
            )
        alone = AccountBooster(names, DIRECTIONS, rounds, seed=2).fit(whole.sample, breached, start)
        assert ours.state() == alone.state()
        assert ours.predict(whole.sample).tobytes() == alone.predict(whole.sample).tobytes()


def test_chunks_depend_on_the_seed_and_not_on_how_many_follow():
    view, bars = small_market.view(), len(small_market.data().history)
    asked = {"first_bar": FIRST, "last_bar": bars, "chunk": 50}
    few = list(simulated_chunks(view, RULES, HORIZONS, accounts=100, seed=3, **asked))
    many = list(simulated_chunks(view, RULES, HORIZONS, accounts=150, seed=3, **asked))
    other = next(simulated_chunks(view, RULES, HORIZONS, accounts=50, seed=4, **asked))
    for mine, theirs in zip(few, many, strict=False):
        assert mine.sample.features.tobytes() == theirs.sample.features.tobytes()
    assert not np.array_equal(few[0].book.balance, few[1].book.balance)
    assert not np.array_equal(few[0].book.balance, other.book.balance)
    with pytest.raises(InputError, match="column accounts: must be at least one"):
        next(simulated_chunks(view, RULES, HORIZONS, accounts=0, seed=3, **asked))


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40), max_size=6), pair=st.tuples(st.integers(0, 40), st.integers(0, 40)))
def test_a_file_gives_back_what_was_written(tmp_path_factory, cuts, pair):
    values = np.random.default_rng(1).standard_normal((40, 3)).astype(np.float32)
    values[5, 1] = np.nan
    with RowFile(tmp_path_factory.mktemp("rows") / "f", ("a", "b", "c")) as file:
        for part in np.split(values, sorted(cuts)):
            file.append(part)
        first, last = sorted(pair)
        assert file.read(first, last).tobytes() == values[first:last].tobytes()
        assert len(file) == 40
    assert not file.path.exists()


def test_what_cannot_be_stored_or_read_is_refused(tmp_path, file):
    x, y, _ = drawn(100)
    file.append(x)
    with pytest.raises(InputError, match=r"column features: has shape \(2, 3\), expected \(m, 6\)"):
        file.append(np.zeros((2, 3)))
    with pytest.raises(InputError, match=r"rows, row 90: is not among 100 rows \(found '90:101'\)"):
        file.read(90, 101)
    with file.path.open("r+b") as behind:
        behind.truncate(50 * file.row_bytes)
    with pytest.raises(InputError, match="rows, row 50: has been cut"):
        file.read(40, 100)
    with pytest.raises(InputError, match="has been cut"):
        train_booster_on_file(file, y, parameters={"objective": "binary"}, rounds=1, seed=1)
    with pytest.raises(MargincastError, match="rows: could not be written"):
        RowFile(tmp_path / "rows", ("a",))
    with pytest.raises(MargincastError, match="could not be written"):
        RowFile(tmp_path / "nowhere" / "rows", ("a",))


def test_what_cannot_be_trained_on_is_refused(file):
    x, y, offset = drawn(100)
    asked = {"parameters": {"objective": "binary"}, "rounds": 1, "seed": 1}
    with pytest.raises(InputError, match="column target: needs one of each of 0 rows"):
        train_booster_on_file(file, y[:0], **asked)
    file.append(x)
    with pytest.raises(InputError, match="column target: needs one of each of 100 rows"):
        train_booster_on_file(file, y[:9], **asked)
    with pytest.raises(InputError, match="column rounds: must be at least one tree"):
        train_booster_on_file(file, y, **asked | {"rounds": 0})
    fit = {"directions": {}, "rounds": (1,)}
    with pytest.raises(InputError, match="is not among the columns"):
        fit_account_booster_on_file(file, y[:, None], **fit | {"directions": {"z": 1}})
    with pytest.raises(InputError, match=r"has shape \(100,\), expected \(100, 1\)"):
        fit_account_booster_on_file(file, y, **fit)
    with pytest.raises(InputError, match="has no row whose outcome and offset are known"):
        fit_account_booster_on_file(file, y[:, None], np.full((100, 1), np.nan), **fit)
    with pytest.raises(InputError, match="needs at least one chunk"):
        store_rows([], file)
    mixed = [BoosterRows(x, y[:, None], offset[:, None]), BoosterRows(x, y[:, None], None)]
    with pytest.raises(InputError, match="some chunks have offsets"):
        store_rows(mixed, file)
