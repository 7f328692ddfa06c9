"""Adapters of the protocols: branches the open venue cases leave out, with figures worked by hand."""

import importlib
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, HERE)  # as when verify.py is run as a script
Inputs = importlib.import_module("venue_cases.cases").Inputs
dydx, drift, mango = (importlib.import_module(f"venue_cases.{name}").ADAPTERS for name in ("dydx", "drift", "mango"))
sys.path.remove(HERE)

BITCOIN = {
    "price": 5_000_000_000,
    "price_exponent": -5,
    "atomic_resolution": -8,
    "initial_margin_ppm": 200_000,
    "maintenance_fraction_ppm": 500_000,
}


def test_dydx_refuses_two_updates_of_one_perpetual():
    inputs = {"quote_balance": 0, "positions": [], "perpetuals": {"0": BITCOIN}}
    update = {"perpetual_id": 0, "delta": 100_000_000}
    ask = dydx["dydx_v4", "margin"]
    assert ask(Inputs(inputs | {"updates": [update, update]})) == {"outcome": "error"}
    once = {"nc": 50_000_000_000, "im": 10_000_000_000, "mm": 5_000_000_000}
    assert ask(Inputs(inputs | {"updates": [update]})) == once
    held = {"perpetual_id": 0, "quantums": 100_000_000}
    assert ask(Inputs(inputs | {"positions": [held]})) == once


@pytest.mark.parametrize("name", ["user_margin_ppm", "custom_imf_ppm"])
def test_dydx_reads_the_margin_a_user_chose(name):
    found = dydx["dydx_v4", "margin"](Inputs(BITCOIN | {"quantums": 100_000_000, name: 500_000}))
    assert (found["im"], found["mm"]) == (25_000_000_000, 5_000_000_000)


def test_dydx_answers_an_error_where_the_chain_does():
    beyond = {"initial_margin_ppm": 150_000, "maintenance_fraction_ppm": 1_000_001}
    assert dydx["dydx_v4", "maintenance_margin"](Inputs(beyond)) == {"outcome": "error"}
    assert dydx["dydx_v4", "maintenance_margin"](Inputs(beyond | {"maintenance_fraction_ppm": 999_999})) == {
        "ppm": 149_999
    }


def test_drift_sells_what_it_holds_and_borrows_the_rest():
    """500 coins at 100 USD and an ask for 3,000: 2,500 owed at a weight of 1.2 against 300,000 USD of quote."""
    inputs = {"sol_deposit": 500, "order_side": "ask", "order_size": 3_000, "price": 100}
    found = drift["drift_v2", "cross_health"](Inputs(inputs | {"init_asset_weight": 0.8, "init_liability_weight": 1.2}))
    assert found == {"margin_requirement": 300_000_010_000, "total_collateral": 300_000_000_000}


def test_mango_counts_what_order_books_may_deposit_and_takes_no_start_for_never():
    shared = {
        "tokens": [{"price": 1.0, "aw": 0.8, "lw": 1.2}, {"price": 5.0, "aw": 0.5, "lw": 1.5}],
        "perp": {"price": 5.0, "lot": 10, "base_aw": 0.8, "base_lw": 1.2, "overall_aw": 0.95, "settle": 0},
    }
    inputs = {"tokens": [100, 100], "open_orders_quote_base": [[0, 0]], "perp_base_lots_quote_bids_asks": [0, 0, 0, 0]}
    full = {"deposits": 100, "dep_start": 500, "potential_serum_tokens": 150}
    unscaled = {"deposits": 100, "dep_start": 0, "borrows": 9, "bor_start": 0}

    def found(*banks):
        return mango["mango_v4", "cross_health"](Inputs(inputs | {"banks": banks}, shared))["health"]

    assert found(None, full) == pytest.approx(100 * 0.8 + 100 * 5 * 0.5 * 500 / (250 * 5))
    assert found({}, unscaled) == pytest.approx(100 * 0.8 + 100 * 5 * 0.5)
