"""The guard against accounts that stand in training and test: it must sing at each kind of leak and at nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast.riskcore.errors import InputError
from margincast.training.dataset import Dataset, simulated_dataset
from margincast.training.unseen import book_fingerprints, require_unseen

LAST = 100 * 24


def drawn(seed: int) -> Dataset:
    return simulated_dataset(
        small.view(), small.RULES, small.HORIZONS, accounts=150, first_bar=31 * 24, last_bar=LAST, seed=seed
    )


@pytest.fixture(scope="module")
def draws() -> tuple[Dataset, Dataset]:
    return drawn(21), drawn(22)


def test_two_draws_share_no_account(draws):
    require_unseen(*draws)


def test_one_duplicated_account_is_refused_with_its_row(draws):
    trained, tested = draws
    rows = np.array([3, 90, 7])
    duplicated = replace(
        tested, book=trained.book.take(rows), sample=trained.sample.take(rows), breached=trained.breached[rows]
    )
    with pytest.raises(InputError, match=r"same book \(3 of 3 rows\)") as caught:
        require_unseen(trained, duplicated)
    assert caught.value.row == 0 and caught.value.value == trained.book.account[3]


def test_a_duplicate_under_another_name_is_refused(draws):
    trained, _ = draws
    renamed = replace(trained, book=replace(trained.book, account=np.array([f"x{k}" for k in range(len(trained))])))
    with pytest.raises(InputError, match="stood in training"):
        require_unseen(trained, renamed)


def test_the_same_book_at_other_bars_is_another_row_but_no_other_person(draws):
    trained, _ = draws
    later = replace(trained, sample=replace(trained.sample, bar=trained.sample.bar + 1))
    require_unseen(trained, later)
    with pytest.raises(InputError, match="hold out whole accounts"):
        require_unseen(trained, later, named=True)


def test_strangers_pass_by_name_too(draws):
    trained, tested = draws
    named = replace(tested, book=replace(tested.book, account=np.array([f"x{k}" for k in range(len(tested))])))
    require_unseen(trained, named, named=True)


def test_any_change_of_a_book_changes_its_fingerprint(draws):
    book, bar = draws[0].book, draws[0].sample.bar
    before = book_fingerprints(book, bar)
    assert len(set(before)) == len(before)
    for name in ("quantity", "entry_price", "balance"):
        changed = book_fingerprints(replace(book, **{name: getattr(book, name) * (1 + 1e-12)}), bar)
        assert not set(before) & set(changed), name
