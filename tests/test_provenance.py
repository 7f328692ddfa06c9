"""Every verb's JSON says what went in, by which rules, with which core."""

import json

import pytest
import small_market as small

import margincast
from margincast.riskcore.rulebook_file import rulebook_hash
from margincast.training.provenance import market_stamp
from margincast.training.stress_file import StressRequest, stress_file


@pytest.fixture
def stressed(tmp_path):
    """The stamp of a stress of one account with this balance."""

    def run(balance, rules=small.RULES):
        path = tmp_path / "accounts.json"
        record = {"account": "a", "balances": {"USDT": balance}}
        record["positions"] = [{"symbol": "BTC", "quantity": 0.1, "entry_price": 100.0}]
        path.write_text(json.dumps([record]))
        request = StressRequest(path, small.folder(), fund=1e6, reverse=False)
        return stress_file(request, rules)["stamp"]

    return run


def test_the_stamp_of_a_stress_follows_its_inputs_and_rules(stressed):
    one, same, other, venue = stressed(1e5), stressed(1e5), stressed(1e5 + 1), stressed(1e5, small.VENUE)
    assert one == same and one["core"] == margincast.__version__
    assert one["rules"] == rulebook_hash(small.RULES) and len(one["inputs"]) == 64
    assert other["inputs"] != one["inputs"] and other["rules"] == one["rules"]
    assert venue["inputs"] == one["inputs"] and venue["rules"] != one["rules"]


def test_the_stamp_of_a_market_follows_its_files():
    stamp = small.evaluation().scores["data"]["stamp"]
    assert stamp == market_stamp(small.data().report, small.RULES)
    assert stamp["rules"] == rulebook_hash(small.RULES)
