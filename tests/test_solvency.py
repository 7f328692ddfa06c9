"""The Merkle sum tree: a tree worked by hand with hashlib, and every way a proof or a tree can cheat."""

import datetime as dt
import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import margincast
from margincast.riskcore.errors import InputError
from margincast.riskcore.margin import evaluate
from margincast.riskcore.result_stamp import inputs_hash, stamp_of
from margincast.riskcore.rulebook_file import rulebook_hash
from margincast.riskcore.solvency import (
    LARGEST_SUM,
    InclusionProof,
    LiabilitiesTree,
    Liability,
    clamped,
    solvency_report,
    verify_inclusion,
)

SEEDS = st.integers(0, 2**32 - 1)


def salt(k):
    return k.to_bytes(16, "big")


def tree_of(rows):
    return LiabilitiesTree(["USDT", "BTC"], [Liability(f"user {k}", row, salt(k)) for k, row in enumerate(rows)])


OWED = st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**9)), min_size=1, max_size=17)


def test_a_tree_of_three_worked_by_hand():
    def sha(domain, data):
        return hashlib.sha256(b"margincast/liabilities/1/" + domain + b"\0" + data).digest()

    def leaf(name, amount, salted):
        text = len(name).to_bytes(4, "big") + name
        return sha(b"leaf", (16).to_bytes(4, "big") + salted + text + amount.to_bytes(16, "big"))

    def node(left, left_sum, right, right_sum):
        return sha(b"node", left + left_sum.to_bytes(16, "big") + right + right_sum.to_bytes(16, "big"))

    a, b, c = leaf(b"ann", 5, salt(1)), leaf(b"bob", 7, salt(2)), leaf(b"cy", 11, salt(3))
    left, right = node(a, 5, b, 7), node(c, 11, sha(b"padding", b""), 0)
    top = node(left, 12, right, 11)
    head = (1).to_bytes(4, "big") + (3).to_bytes(8, "big") + (4).to_bytes(4, "big") + b"USDT"
    root = sha(b"root", head + top + (23).to_bytes(16, "big")).hex()

    owed = [Liability("ann", (5,), salt(1)), Liability("bob", (7,), salt(2)), Liability("cy", (11,), salt(3))]
    tree = LiabilitiesTree(["USDT"], owed)
    assert tree.root.digest == root
    assert tree.root.totals == (23,)
    assert tree.proof("bob").siblings == ((a.hex(), (5,)), (right.hex(), (11,)))
    assert tree.proof("cy").siblings == ((sha(b"padding", b"").hex(), (0,)), (left.hex(), (12,)))


@given(OWED)
@settings(max_examples=50)
def test_every_account_can_check_its_own_and_the_totals_are_the_sums(rows):
    tree = tree_of(rows)
    assert tree.root.totals == tuple(map(sum, zip(*rows, strict=True)))
    for k in range(len(rows)):
        assert verify_inclusion(tree.root, tree.proof(f"user {k}"))


@given(OWED, st.data())
@settings(max_examples=150)
def test_any_change_of_a_proof_or_a_root_is_seen(rows, data):
    tree = tree_of(rows)
    proof = tree.proof(f"user {data.draw(st.integers(0, len(rows) - 1))}")
    liability, root = proof.liability, tree.root
    forged = [
        (root, replace(proof, liability=replace(liability, amounts=(liability.amounts[0] + 1, liability.amounts[1])))),
        (root, replace(proof, liability=replace(liability, account="other"))),
        (root, replace(proof, liability=replace(liability, salt=salt(10**6)))),
        (root, replace(proof, position=proof.position + 1)),
        (root, replace(proof, position=proof.position + root.accounts)),
        (root, replace(proof, siblings=(*proof.siblings, ("00" * 32, (0, 0))))),
        (replace(root, totals=(root.totals[0] - 1, root.totals[1])), proof),
        (replace(root, accounts=root.accounts + 1), proof),
        (replace(root, assets=("USDT", "ETH")), proof),
        (replace(root, digest="0" * 64), proof),
    ]
    if proof.siblings:
        k = data.draw(st.integers(0, len(proof.siblings) - 1))
        digest, sums = proof.siblings[k]
        turned = ("f" if digest[0] != "f" else "0") + digest[1:]
        for other in (
            (turned, sums),
            (digest, (sums[0] + 1, sums[1])),
            (digest, (sums[1], sums[0] + 1)),
            (digest, (-1, sums[1])),
            (digest, sums[:1]),
            ("zz", sums),
            (digest[:-2], sums),
            (digest, (float(sums[0]), sums[1])),
            (digest, (LARGEST_SUM, sums[1])),
            (None, sums),
        ):
            changed = (*proof.siblings[:k], other, *proof.siblings[k + 1 :])
            forged.append((root, replace(proof, siblings=changed)))
        forged.append((root, replace(proof, siblings=proof.siblings[:-1])))
    for claimed, other in forged:
        assert not verify_inclusion(claimed, other)
    assert verify_inclusion(root, proof)


def test_moving_sums_between_siblings_is_seen():
    """The attack on trees that hash only the sum of both children: the left one shown with what the right one owes."""
    tree = tree_of([(5, 0), (7, 0)])
    proof = tree.proof("user 0")
    ((digest, _),) = proof.siblings
    stolen = InclusionProof(replace(proof.liability, amounts=(7, 0)), 0, ((digest, (5, 0)),))
    assert not verify_inclusion(tree.root, stolen)


def test_a_node_cannot_stand_for_a_leaf():
    tree = tree_of([(1, 1)] * 4)
    proof = tree.proof("user 0")
    shorter = replace(proof, siblings=proof.siblings[1:])
    assert not verify_inclusion(tree.root, shorter)
    assert not verify_inclusion(replace(tree.root, accounts=2), shorter)


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([(5, 0), (-1, 0)], "row 1, column amounts of user 1: must be 2 integers from 0"),
        ([(5, 0), (1.0, 0)], "row 1, column amounts of user 1"),
        ([(5, 0), (True, 0)], "row 1, column amounts of user 1"),
        ([(5,)], "row 0, column amounts of user 0"),
        ([(LARGEST_SUM + 1, 0)], "row 0, column amounts of user 0"),
        ([(LARGEST_SUM, 0), (0, 0), (1, 0)], "column total USDT: does not fit 16 bytes"),
        ([], "column liabilities: needs at least one account"),
    ],
)
def test_amounts_refused(rows, problem):
    with pytest.raises(InputError, match=problem):
        tree_of(rows)


def test_the_largest_total_is_taken():
    tree = tree_of([(LARGEST_SUM - 1, 0), (1, 0)])
    assert verify_inclusion(tree.root, tree.proof("user 1"))


def test_names_and_salts_refused():
    one = Liability("a", (1,), salt(1))
    for rows, problem in (
        ([one, replace(one, salt=salt(2))], "row 1, column account: is listed twice .found 'a'"),
        ([one, replace(one, account="b")], "row 1, column salt: is used twice"),
        ([replace(one, salt=b"short")], "row 0, column salt: must be at least 16 bytes"),
    ):
        with pytest.raises(InputError, match=problem):
            LiabilitiesTree(["USDT"], rows)
    for assets in ([], ["USDT", "USDT"]):
        with pytest.raises(InputError, match="column assets"):
            LiabilitiesTree(assets, [replace(one, amounts=(1,) * len(assets))])
    with pytest.raises(InputError, match="has no liability"):
        LiabilitiesTree(["USDT"], [one]).proof("b")


def test_the_report_adds_the_fund_apart():
    report = solvency_report(tree_of([(60, 1), (40, 2)]).root, [105, 2], [0, 1])
    assert (report.surplus, report.solvent, report.solvent_with_fund) == ((5, -1), False, True)
    assert not solvency_report(report.root, [105, 1], [0, 1]).solvent_with_fund
    assert clamped([3, -2, -5]) == ((3, 0, 0), 7)
    for held, fund in (([1], [0, 0]), ([1, -1], [0, 0]), ([1, 1], [0.5, 0])):
        with pytest.raises(InputError, match="one integer of at least 0 for each asset"):
            solvency_report(report.root, held, fund)


@given(SEEDS)
@settings(max_examples=20)
def test_a_stamp_changes_with_every_input(draw, seed):
    world = draw.world(seed, pools=6)
    book, market, rules = world.book, world.market, world.rules
    stamp = stamp_of(book, market, rules)
    assert (stamp.rules, stamp.core) == (rulebook_hash(rules), margincast.__version__)
    assert stamp == stamp_of(book.take(np.arange(len(book))), replace(market), rules)
    up = {"balance": np.nextafter(book.balance, np.inf), "quantity": book.quantity * 2,
          "entry_price": np.nextafter(book.entry_price, np.inf), "account": np.char.add(book.account, "x"),
          "leverage": np.full(len(book.leverage), 7.0)}  # fmt: skip
    others = [replace(book, **{name: column}) for name, column in up.items() if len(column)]
    others.append(replace(book, instruments=replace(book.instruments, multiplier=book.instruments.multiplier * 2)))
    others.append(book.take(np.arange(len(book))[::-1]))
    markets = [replace(market, mark=np.nextafter(market.mark, np.inf)), replace(market, index=market.index * 2),
               replace(market, time=market.time + np.timedelta64(1, "ns"))]  # fmt: skip
    hashes = [inputs_hash(b, market) for b in others] + [inputs_hash(book, m) for m in markets]
    assert len({stamp.inputs, *hashes}) == len(hashes) + 1
    assert stamp_of(book, market, replace(rules, closing_fee=0.001)).rules != stamp.rules


def test_equal_stamps_have_equal_results(draw):
    world = draw.world(3)
    copy = replace(world.book, leverage=np.where(np.isnan(world.book.leverage), -np.nan, world.book.leverage))
    assert inputs_hash(copy, world.market) == inputs_hash(world.book, world.market)
    assert str(stamp_of(world.book, world.market, world.rules)).endswith(margincast.__version__)
    one, two = (evaluate(book, world.market, world.rules).equity for book in (copy, world.book))
    assert one.tobytes() == two.tobytes()
    assert dt.date(2024, 1, 1) == world.rules.effective_from
