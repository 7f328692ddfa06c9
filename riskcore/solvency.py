"""Verifiable solvency: a Merkle sum tree over what is owed to accounts, against assets held and the insurance fund.

Every node holds a hash and the sum of what is owed below it, in integer units of each asset. A node's hash covers the
hashes and the sums of both its children apart, which binds each sum on its own (the summation tree that hashes only
their total can be made to prove less than is owed: Hu, Zhang and Guo, ePrint 2018/1139). Leaves, nodes and padding are
hashed in domains of their own. A user needs a proof, the published root and SHA-256, nothing else: `verify_inclusion`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

from .errors import InputError

LEAF, NODE, PADDING, ROOT = (b"margincast/liabilities/1/" + name for name in (b"leaf", b"node", b"padding", b"root"))
"""Domains: what a hash is of, put before what is hashed, ended by a zero byte."""
AMOUNT_BYTES = 16
LARGEST_SUM = 2 ** (8 * AMOUNT_BYTES) - 1
LEAST_SALT_BYTES = 16

Amounts = tuple[int, ...]


@dataclass(frozen=True)
class Liability:
    """What is owed to one account.

    Parameters
    ----------
    account
        Its name.
    amounts
        Units of each asset, integers of at least 0, in the order of the tree's assets.
    salt
        At least 16 bytes known to the account and the venue only, another one for every account and every tree: it
        hides the amounts from whoever holds a neighbour's proof.
    """

    account: str
    amounts: Amounts
    salt: bytes


@dataclass(frozen=True)
class LiabilitiesRoot:
    """What a venue publishes.

    Parameters
    ----------
    assets
        Names of the assets.
    accounts
        Number of leaves that are accounts.
    totals
        Sum owed in each asset.
    digest
        SHA-256 over all of it and the top of the tree, hexadecimal.
    """

    assets: tuple[str, ...]
    accounts: int
    totals: Amounts
    digest: str


@dataclass(frozen=True)
class InclusionProof:
    """The way from one account's leaf to the root: sibling hashes (hexadecimal) and sums, from the bottom up."""

    liability: Liability
    position: int
    siblings: tuple[tuple[str, Amounts], ...]


class LiabilitiesTree:
    """Merkle sum tree over the liabilities of a venue.

    Parameters
    ----------
    assets
        Names of the assets, unique.
    liabilities
        One an account, in the order of the leaves; at least one.

    Raises
    ------
    InputError
        An account or a salt twice, a salt too short, an amount that is negative or no integer, a total that does not
        fit 16 bytes.

    Examples
    --------
    >>> owed = [Liability("a", (5,), bytes(16)), Liability("b", (7,), bytes([1] * 16))]
    >>> tree = LiabilitiesTree(["USDT"], owed)
    >>> tree.root.totals, verify_inclusion(tree.root, tree.proof("b"))
    ((12,), True)
    """

    def __init__(self, assets: Sequence[str], liabilities: Sequence[Liability]) -> None:
        self.assets, self.liabilities = tuple(assets), tuple(liabilities)
        _check_assets(self.assets)
        if not self.liabilities:
            raise InputError("needs at least one account", column="liabilities")
        self._place: dict[str, int] = {}
        salts: set[bytes] = set()
        for row, liability in enumerate(self.liabilities):
            _check_liability(row, liability, len(self.assets))
            if liability.account in self._place:
                raise InputError("is listed twice", row=row, column="account", value=liability.account)
            if liability.salt in salts:
                raise InputError("is used twice", row=row, column="salt", value=liability.account)
            self._place[liability.account] = row
            salts.add(liability.salt)
        for column, asset in enumerate(self.assets):
            total = sum(liability.amounts[column] for liability in self.liabilities)
            if total > LARGEST_SUM:
                raise InputError(f"does not fit {AMOUNT_BYTES} bytes", column=f"total {asset}", value=total)
        self._levels = _levels([_leaf(one) for one in self.liabilities], len(self.assets))
        top = self._levels[-1][0]
        self.root = LiabilitiesRoot(
            self.assets, len(self.liabilities), top[1], _root_digest(self.assets, len(self.liabilities), top)
        )

    def proof(self, account: str) -> InclusionProof:
        """The inclusion proof to hand to an account; an unknown one raises InputError."""
        if account not in self._place:
            raise InputError("has no liability in the tree", column="account", value=account)
        place = position = self._place[account]
        siblings = []
        for level in self._levels[:-1]:
            digest, sums = level[place ^ 1]
            siblings.append((digest.hex(), sums))
            place //= 2
        return InclusionProof(self.liabilities[position], position, tuple(siblings))


def verify_inclusion(root: LiabilitiesRoot, proof: InclusionProof) -> bool:
    """Whether a proof shows that its liability is part of what a root says is owed; never raises on a forged one.

    False for a proof whose amounts, salt or way were changed, that holds a negative amount or one that does not fit,
    that is longer or shorter than the tree is deep, or that stands at a position outside of it.
    """
    try:
        _check_assets(root.assets)
        _check_liability(proof.position, proof.liability, len(root.assets))
        if not 0 <= proof.position < root.accounts or len(proof.siblings) != _depth(root.accounts):
            return False
        node, place = _leaf(proof.liability), proof.position
        for digest, sums in proof.siblings:
            sibling = bytes.fromhex(digest), sums
            if len(sibling[0]) != 32 or not _are_amounts(sums, len(root.assets)):
                return False
            node = _parent(sibling, node) if place & 1 else _parent(node, sibling)
            place >>= 1
        found = _root_digest(root.assets, root.accounts, node)
    except (InputError, ValueError, TypeError, AttributeError, OverflowError):
        return False
    return node[1] == root.totals and hmac.compare_digest(found, root.digest)


@dataclass(frozen=True)
class SolvencyReport:
    """Assets held and the fund against what is owed, units of each asset.

    Parameters
    ----------
    root
        The liabilities.
    held, fund
        Assets held for accounts, and the insurance fund, which is counted apart.
    surplus
        held - owed; negative where the venue holds too little.
    """

    root: LiabilitiesRoot
    held: Amounts
    fund: Amounts
    surplus: Amounts

    @property
    def solvent(self) -> bool:
        """Whether what is held covers what is owed in every asset without the fund."""
        return all(amount >= 0 for amount in self.surplus)

    @property
    def solvent_with_fund(self) -> bool:
        """Whether it does with the fund."""
        return all(amount + fund >= 0 for amount, fund in zip(self.surplus, self.fund, strict=True))


def solvency_report(root: LiabilitiesRoot, held: Sequence[int], fund: Sequence[int]) -> SolvencyReport:
    """Totals of a root against assets held and fund, in the order of its assets.

    Examples
    --------
    >>> tree = LiabilitiesTree(["USDT"], [Liability("a", (5,), bytes(16))])
    >>> report = solvency_report(tree.root, [4], [2])
    >>> report.surplus, report.solvent, report.solvent_with_fund
    ((-1,), False, True)
    """
    for column, amounts in (("held", held), ("fund", fund)):
        if not _are_amounts(tuple(amounts), len(root.assets)):
            raise InputError("must be one integer of at least 0 for each asset", column=column, value=list(amounts))
    surplus = tuple(h - owed for h, owed in zip(held, root.totals, strict=True))
    return SolvencyReport(root, tuple(held), tuple(fund), surplus)


def clamped(amounts: Sequence[int]) -> tuple[Amounts, int]:
    """Amounts with those below 0 as 0, and how much was left out: what accounts owe the venue is no liability.

    An explicit step, so that a venue which clamps says how much: a tree takes no negative amounts, since one could
    hide what is owed to others.

    Examples
    --------
    >>> clamped([5, -3])
    ((5, 0), 3)
    """
    return tuple(max(amount, 0) for amount in amounts), sum(-amount for amount in amounts if amount < 0)


Node = tuple[bytes, Amounts]


def _hash(domain: bytes, *parts: bytes) -> bytes:
    return hashlib.sha256(domain + b"\0" + b"".join(parts)).digest()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4, "big") + encoded


def _sums(amounts: Amounts) -> bytes:
    return b"".join(amount.to_bytes(AMOUNT_BYTES, "big") for amount in amounts)


def _leaf(liability: Liability) -> Node:
    salt = len(liability.salt).to_bytes(4, "big") + liability.salt
    return _hash(LEAF, salt, _text(liability.account), _sums(liability.amounts)), liability.amounts


def _parent(left: Node, right: Node) -> Node:
    digest = _hash(NODE, left[0], _sums(left[1]), right[0], _sums(right[1]))
    return digest, tuple(a + b for a, b in zip(left[1], right[1], strict=True))


def _levels(leaves: list[Node], assets: int) -> list[list[Node]]:
    """Nodes from the leaves, padded to a power of two, to the top."""
    padding = (_hash(PADDING), (0,) * assets)
    level = leaves + [padding] * (2 ** _depth(len(leaves)) - len(leaves))
    levels = [level]
    while len(level) > 1:
        level = [_parent(level[k], level[k + 1]) for k in range(0, len(level), 2)]
        levels.append(level)
    return levels


def _depth(accounts: int) -> int:
    return (accounts - 1).bit_length()


def _root_digest(assets: tuple[str, ...], accounts: int, top: Node) -> str:
    names = b"".join(_text(name) for name in assets)
    counts = len(assets).to_bytes(4, "big") + accounts.to_bytes(8, "big")
    return _hash(ROOT, counts, names, top[0], _sums(top[1])).hex()


def _check_assets(assets: tuple[str, ...]) -> None:
    twice = next((row for row, name in enumerate(assets) if name in assets[:row]), None)
    if not assets or twice is not None:
        raise InputError("must be one or more names, each once", row=twice, column="assets")


def _are_amounts(amounts: Amounts, assets: int) -> bool:
    return (
        isinstance(amounts, tuple)
        and len(amounts) == assets
        and all(type(amount) is int and 0 <= amount <= LARGEST_SUM for amount in amounts)
    )


def _check_liability(row: int, liability: Liability, assets: int) -> None:
    if not _are_amounts(liability.amounts, assets):
        problem = f"must be {assets} integers from 0 to 2^{8 * AMOUNT_BYTES} - 1"
        raise InputError(problem, row=row, column=f"amounts of {liability.account}", value=liability.amounts)
    if not isinstance(liability.salt, bytes) or len(liability.salt) < LEAST_SALT_BYTES:
        problem = f"must be at least {LEAST_SALT_BYTES} bytes"
        raise InputError(problem, row=row, column="salt", value=liability.account)
