"""Derive's second portfolio margin takes every figure its contract takes, to both ends of the range.

Ranges: the setters of PMRMLib_2 in derivexyz/v2-core, whose own tests put every parameter at its least and greatest.
"""

import math
from dataclasses import replace

import pytest

from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.protocols.derive_options import ExpiryFeeds, OptionLegs
from margincast.riskcore.protocols.derive_pmrm import derive_pmrm2_margin
from margincast.riskcore.protocols.derive_pmrm_rules import load_derive_pmrm2_rules
from margincast.riskcore.protocols.derive_portfolio import DeriveMarket, DerivePortfolio

RULES = load_derive_pmrm2_rules()
DAY = 86_400.0
RANGES = {
    ("stress", "volatility"): {
        **dict.fromkeys(("up", "down", "short_power", "long_power"), (0.0, 10.0)),
        "floor_days": (0.0, 400.0),
        "least_up": (0.0, 20.0),
    },
    ("stress", "basis"): {
        "up": (1.000001, 2.999999),
        "down": (0.0, 0.999999),
        **dict.fromkeys(("added", "per_year"), (0.0, 20.0)),
    },
    ("stress", "long"): {"base": (0.0, 4.0), "rate_scale": (0.0, 10.0), "rate_added": (0.0, 10.0)},
    ("stress", "short"): {"base": (0.0, 4.0), "rate_scale": (0.0, 10.0), "rate_added": (0.0, 10.0)},
    ("stress", "skew"): {
        **dict.fromkeys(("linear_base", "absolute_base", "least_width", "width", "level"), (0.0, 10.0)),
        **dict.fromkeys(("linear_slope", "absolute_slope"), (-10.0, 10.0)),
        "level_slope": (-20.0, 20.0),
    },
    ("confidence",): {"threshold": (0.0, 1.0), "margin": (0.0, 20.0)},
    ("peg",): {"threshold": (0.0, 100.0), "factor": (0.0, 10.0)},
    ("factors",): dict.fromkeys(("maintenance", "initial"), (0.5, 10.0)),
    ("contingency",): {
        **dict.fromkeys(("maintenance_perp", "initial_perp"), (0.0, 3.0)),
        **dict.fromkeys(("maintenance_option", "initial_option"), (0.0, 2.0)),
    },
}
ENDS = [(group, name, end) for group, names in RANGES.items() for name, ends in names.items() for end in ends]


def portfolio():
    days = [2.0, 2.0, 40.0, 400.0]
    legs = OptionLegs.of(
        [d * DAY for d in days], [90.0, 110.0, 100.0, 130.0], [PUT, CALL, CALL, PUT], [-3, -2, 1, 2], 0.7
    )
    feeds = ExpiryFeeds.of([2 * DAY, 40 * DAY, 400 * DAY], [100.0, 101.0, 105.0], rate=0.1, confidence=0.5)
    market = DeriveMarket(100.0, perp_quantity=-1.5, perp_price=100.5, perp_confidence=0.5, options=legs, feeds=feeds)
    return DerivePortfolio(1000.0, {"ETH": market}, stable_price=0.97)


def changed(owner, path, name, end):
    if not path:
        return replace(owner, **{name: end})
    return replace(owner, **{path[0]: changed(getattr(owner, path[0]), path[1:], name, end)})


@pytest.mark.parametrize(("group", "name", "end"), ENDS)
def test_a_figure_at_the_end_of_its_range_is_taken(group, name, end):
    margin = derive_pmrm2_margin(portfolio(), changed(RULES, group, name, end))
    assert math.isfinite(margin.initial) and math.isfinite(margin.maintenance)
    assert margin.stress.loss <= 0


def test_loss_factors_multiply_the_worst_loss():
    before = derive_pmrm2_margin(portfolio(), RULES)
    after = derive_pmrm2_margin(portfolio(), changed(RULES, ("factors",), "maintenance", 10.0))
    more = (10.0 - RULES.factors.maintenance) * before.stress.loss
    assert after.maintenance - before.maintenance == pytest.approx(more, rel=1e-12)
    assert after.initial == before.initial
