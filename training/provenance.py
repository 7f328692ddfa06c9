"""Where a result comes from, as plain values: its rules, and fingerprints of what went in."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..features.readers.report import DataReport
from ..riskcore.accounts import AccountBook
from ..riskcore.market import MarketState
from ..riskcore.result_stamp import Stamp, stamp_of
from ..riskcore.rulebook import RuleBook
from ..riskcore.rulebook_file import rulebook_hash


def rules_record(rules: RuleBook) -> dict[str, Any]:
    """Whose rules, from when, and their fingerprint."""
    return {
        "venue": rules.venue,
        "effective_from": rules.effective_from.isoformat(),
        "sha256": rulebook_hash(rules),
    }


def book_stamp(book: AccountBook, market: MarketState, rules: RuleBook) -> dict[str, str]:
    """Fingerprint of a book and the market it is looked at in, of the rules, and the version of the core."""
    return asdict(stamp_of(book, market, rules))


def market_stamp(report: DataReport, rules: RuleBook) -> dict[str, str]:
    """Fingerprint of the files of a market folder, of the rules, and the version of the core.

    Examples
    --------
    >>> import datetime as dt
    >>> from ..features.readers.report import TableReport
    >>> perp = TableReport("perp", "perp.csv", "c0ffee", 3, (), ())
    >>> report = DataReport("m", "", "", 4, 60.0, False, {}, (perp,), {}, ())
    >>> stamp = market_stamp(report, RuleBook("x", dt.date(2024, 1, 1), {}))
    >>> stamp["inputs"] == hashlib.sha256(b"perp c0ffee").hexdigest(), stamp["core"] == __version__
    (True, True)
    """
    files = "\n".join(sorted(f"{table.table} {table.sha256}" for table in report.tables))
    return asdict(Stamp(hashlib.sha256(files.encode()).hexdigest(), rulebook_hash(rules), __version__))
