"""Labels, features and boosters over a local Dask cluster, held to the same on one machine."""

import contextlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
import small_market
from small_market import HORIZONS, RULES

from margincast.features.bar_table import bar_table
from margincast.features.readers.blocks import market_blocks
from margincast.models.account_boosting import AccountBooster, logit
from margincast.riskcore.errors import InputError, MargincastError
from margincast.training import cluster as cluster_file
from margincast.training.account_features import DIRECTIONS
from margincast.training.account_partitions import account_partitions, joined_datasets
from margincast.training.booster_rows import BoosterRows
from margincast.training.cluster import dask_cluster, usual_partitions
from margincast.training.dataset import labelled_dataset, simulated_before, simulated_dataset
from margincast.training.distributed import distributed_dataset, labelled_partitions
from margincast.training.distributed_boosting import fit_account_booster, scattered_rows
from margincast.training.distributed_features import bar_blocks, distributed_features
from margincast.training.scores import DayBlocks, log_losses
from margincast.training.workplace import OverCluster, ThisMachine

pytest.importorskip("distributed", reason="needs the extra scale: pip install margincast[scale]")
FIRST = 31 * 24
ROUNDS = (30, 30, 30)
NOISE = 0.02


@pytest.fixture(scope="module")
def cluster():
    with dask_cluster("local", 2) as client:
        yield client


def same_rows(ours, theirs):
    arrays = [("outcome", name) for name in ("start", "breach_bar", "ended", "equity")]
    arrays += [
        ("book", name) for name in ("account", "isolated", "balance_pointer", "balance", "quantity", "entry_price")
    ]
    for part, name in arrays:
        assert getattr(getattr(ours, part), name).tobytes() == getattr(getattr(theirs, part), name).tobytes(), name
    for name in ("pointer", "series", "weight", "headroom", "equity", "maintenance"):
        mine, other = getattr(ours.sample.exposure, name), getattr(theirs.sample.exposure, name)
        assert mine.tobytes() == other.tobytes(), name
    assert ours.sample.feature_names == theirs.sample.feature_names
    for mine, other in (
        (ours.sample.features, theirs.sample.features),
        (ours.sample.bar, theirs.sample.bar),
        (ours.breached, theirs.breached),
        (ours.day, theirs.day),
    ):
        assert mine.tobytes() == other.tobytes()


@pytest.mark.parametrize("partitions", [None, 7])
def test_labels_and_features_are_those_of_one_machine(cluster, partitions):
    settings = {"accounts": 400, "first_bar": FIRST, "last_bar": len(small_market.data().history), "seed": 5}
    ours = distributed_dataset(cluster, small_market.view(), RULES, HORIZONS, **settings, partitions=partitions)
    same_rows(ours, small_market.dataset())
    assert np.nansum(ours.breached) > 50


@pytest.mark.parametrize("place", ["over the cluster", "on this machine"])
def test_each_workplace_gives_the_same_rows(cluster, place):
    settings = {"accounts": 400, "first_bar": FIRST, "last_bar": len(small_market.data().history), "seed": 5}
    chosen = OverCluster(cluster) if place == "over the cluster" else ThisMachine()
    drawn = simulated_before(small_market.view(), RULES, HORIZONS, **settings)
    same_rows(chosen.labelled(small_market.view(), RULES, HORIZONS, drawn, threads=1), small_market.dataset())


def test_accounts_of_ones_own_are_labelled_in_partitions_too(cluster):
    """Pools in no order of time, some seen so late that their outcome is not known."""
    rows = np.concatenate((np.random.default_rng(2).permutation(60), np.arange(380, 400)))
    book = small_market.dataset().book.take(rows)
    bar = small_market.dataset().sample.bar[rows]
    bar[-20:] = len(small_market.data().history) - 2
    view = small_market.view()
    futures = labelled_partitions(cluster, view, RULES, HORIZONS, book, bar, partitions=4)
    assert len(futures) == 4
    alone = labelled_dataset(view, RULES, HORIZONS, book, bar)
    same_rows(joined_datasets(cluster.gather(futures)), alone)
    assert np.isnan(alone.breached[-20:, -1]).any() and np.isfinite(alone.breached[:60]).all()


def test_what_a_worker_refuses_is_said_here(cluster):
    book, bar = small_market.dataset().book.take(np.arange(3)), np.array([9, 9, 999_999])
    futures = labelled_partitions(cluster, small_market.view(), RULES, HORIZONS, book, bar, partitions=1)
    with pytest.raises(InputError, match=r"column bar: needs a bar from 1 to \d+ \(found 999999\)"):
        cluster.gather(futures)


@pytest.mark.parametrize("bars", [1_000, 3_600])
def test_the_panel_in_blocks_is_that_of_one_machine(cluster, bars):
    table = bar_table(small_market.data())
    ours, alone = distributed_features(cluster, bar_blocks(table, bars)), small_market.view().frame
    assert ours.names == alone.names and ours.symbols == alone.symbols
    assert ours.values.tobytes() == alone.values.tobytes()
    assert (ours.times == alone.times).all() and (ours.bars == alone.bars).all()


def test_the_panel_of_a_folder_read_in_blocks_is_that_of_one_machine(cluster):
    ours = distributed_features(cluster, market_blocks(small_market.folder(), 2_000))
    assert ours.values.tobytes() == small_market.view().frame.values.tobytes()


def test_blocks_that_leave_out_a_bar_are_refused(cluster):
    table = bar_table(small_market.data())
    with pytest.raises(InputError, match="bars must go on at"):
        distributed_features(cluster, [table.part(0, 100), table.part(101, 200)])
    with pytest.raises(InputError, match="needs at least one block"):
        distributed_features(cluster, [])
    with pytest.raises(InputError, match="must be at least one bar"):
        bar_blocks(table, 0)


@pytest.fixture(scope="module")
def learned(cluster):
    """A training set, a held-out set two days later, and offsets that are right but for a quarter of the log odds."""
    view, end = small_market.view(), 100 * 24
    train = simulated_dataset(view, RULES, HORIZONS, accounts=6_000, first_bar=FIRST, last_bar=end, seed=8)
    rest = {"first_bar": end + 24, "last_bar": len(view.history), "seed": 9}
    test = simulated_dataset(view, RULES, HORIZONS, accounts=4_000, **rest)

    def offset(data):
        rate = np.nanmean(train.breached, axis=0)
        return logit(rate)[None, :] - 0.25 * (data.sample.column("distance_ewma")[:, None] / 5 - 1) + 0 * data.breached

    return train, test, offset


@pytest.fixture(scope="module")
def plain(cluster, learned):
    """Fitted without offsets: over the cluster, and on one machine."""
    return fitted(cluster, learned[0], None)


def fitted(cluster, train, start):
    names = train.sample.feature_names
    places = OverCluster(cluster), ThisMachine()
    asked = train.sample, train.breached, start
    return tuple(one.fitted(AccountBooster(names, DIRECTIONS, ROUNDS, seed=1, threads=2), *asked) for one in places)


def as_good(ours, alone, test, later):
    """Hold held-out log losses together: with other seeds those of one machine differ by 0.7% on these rows."""
    assert ours.base_ == alone.base_
    said, plain = ours.predict(test.sample, later), alone.predict(test.sample, later)
    assert np.abs(said - plain).max() > 0.0
    untrained = alone.predict(test.sample, later, trees=0)
    blocks = DayBlocks(test.day, seed=1)
    for k in range(len(HORIZONS)):
        known = np.isfinite(test.breached[:, k])
        losses = [np.where(known, log_losses(p[:, k], test.breached[:, k]), 0.0) for p in (said, plain, untrained)]
        difference, learned = blocks.skill(losses[0], losses[1]), blocks.skill(losses[0], losses[2])
        assert abs(difference.value) < NOISE < learned.low / 3, (difference, learned)


def test_boosters_over_the_cluster_are_as_good_as_those_of_one_machine(plain, learned):
    as_good(*plain, learned[1], None)


def test_corrections_over_the_cluster_are_as_good_as_those_of_one_machine(cluster, learned):
    train, test, offset = learned
    as_good(*fitted(cluster, train, offset(train)), test, offset(test))


def test_a_booster_of_the_cluster_is_stored_like_any_other(plain, learned):
    ours, alone = plain
    assert ours.threads == alone.threads == 2
    state, other = json.loads(json.dumps(ours.state())), alone.state()
    again = AccountBooster.from_state(state)
    assert again.predict(learned[1].sample).tobytes() == ours.predict(learned[1].sample).tobytes()
    assert {k: v for k, v in state.items() if k != "boosters"} == {k: v for k, v in other.items() if k != "boosters"}
    for text, single in zip(state["boosters"], other["boosters"], strict=True):
        assert "127.0.0.1" not in text and text.count("\nTree=") == ROUNDS[0]
        differ = {line.split(":")[0].removeprefix("[") for line in settings_of(text) ^ settings_of(single)}
        assert differ <= {"tree_learner", "machines", "num_machines", "local_listen_port", "time_out"}


def settings_of(text):
    return set(text[text.index("parameters:") : text.index("end of parameters")].splitlines())


def test_what_cannot_be_trained_on_is_refused(cluster):
    rows = BoosterRows(np.zeros((2, 1), np.float32), np.full((2, 1), np.nan), None)
    parts = scattered_rows(cluster, rows, 1)
    settings = {"columns": ("a",), "directions": {}, "rounds": (3,)}
    with pytest.raises(InputError, match="has no row whose outcome and offset are known"):
        fit_account_booster(cluster, parts, **settings)
    with pytest.raises(InputError, match="is not among the columns"):
        fit_account_booster(cluster, parts, **settings | {"directions": {"b": 1}})
    with pytest.raises(InputError, match="at least one tree a horizon"):
        fit_account_booster(cluster, parts, **settings | {"rounds": (0,)})


def test_partitions_hold_each_row_once():
    for accounts in (1, 7, 100):
        for partitions in (1, 3, 100, 1000):
            parts = account_partitions(accounts, partitions)
            assert np.concatenate(parts).tolist() == list(range(accounts))
            assert len(parts) == min(accounts, partitions)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
    with pytest.raises(InputError, match="column partitions: must be at least one"):
        account_partitions(5, 0)


def test_parts_of_other_kinds_are_not_joined():
    part = small_market.dataset()
    with pytest.raises(InputError, match="needs at least one part"):
        joined_datasets([])
    assert joined_datasets([part]) is part
    shorter = labelled_dataset(small_market.view(), RULES, (1, 4), part.book, part.sample.bar)
    with pytest.raises(InputError, match="row 1, column parts: has other horizons or features"):
        joined_datasets([part, shorter])


@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="reads the sockets of Linux")
def test_a_local_cluster_listens_on_loopback_only(cluster):
    """Ports of this process, of the workers and of what watches over them."""
    me = os.getpid()
    children = map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split())
    sockets = {
        number for process in {me, *children, *cluster.run(os.getpid).values()} for number in open_sockets(process)
    }
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    listening = [line[1].split(":")[0] for line in lines if line[3] == "0A" and line[9] in sockets]
    assert len(listening) >= 4 and set(listening) == {"0100007F"}


def open_sockets(process):
    for link in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            if (target := os.readlink(link)).startswith("socket:["):
                yield target[8:-1]


def test_partitions_are_small_and_busy_every_thread(cluster):
    assert usual_partitions(cluster, 10) == 2
    assert usual_partitions(cluster, 100_000) == 2 and usual_partitions(cluster, 1_000_001) == 21


def test_an_address_without_a_scheduler_is_refused(monkeypatch):
    monkeypatch.setattr(cluster_file, "REACH", "1s")
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        with pytest.raises(InputError, match="no Dask scheduler answers at this address"), dask_cluster(address):
            pass
    with pytest.raises(InputError, match="column workers: must be at least one"), dask_cluster("local", 0):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MargincastError, match=r"pip install margincast\[scale\]"), dask_cluster("local"):
        pass
