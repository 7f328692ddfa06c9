"""Derive (Lyra v2): the standard manager, both versions of portfolio margin, and the liquidation auction."""

from __future__ import annotations

import datetime as dt
from typing import Any

from margincast.riskcore.options.black76 import CALL, PUT
from margincast.riskcore.portfolio.scenario_grid import VolatilityShock
from margincast.riskcore.protocols.derive_auction import SolventAuction, solvent_bid
from margincast.riskcore.protocols.derive_options import ExpiryFeeds, OptionLegs
from margincast.riskcore.protocols.derive_pmrm import derive_pmrm2_margin, derive_pmrm_margin
from margincast.riskcore.protocols.derive_pmrm_rules import (
    CollateralTerms,
    DerivePmrm2Rules,
    DerivePmrmRules,
    Pmrm2Contingency,
    Pmrm2Factors,
    PmrmContingency,
    PmrmFactors,
    load_derive_pmrm_rules,
)
from margincast.riskcore.protocols.derive_portfolio import CollateralHoldings, DeriveMarket, DerivePortfolio
from margincast.riskcore.protocols.derive_scenarios import (
    BasisTerms,
    DeriveScenarios,
    DiscountTerms,
    SkewShock,
    StressTerms,
)
from margincast.riskcore.protocols.derive_srm import derive_srm_margin
from margincast.riskcore.protocols.derive_srm_rules import (
    DeriveSrmRules,
    SrmBaseTerms,
    SrmOptionTerms,
    SrmOracleTerms,
    SrmPerpTerms,
)
from margincast.riskcore.protocols.derive_terms import ConfidenceTerms, PegTerms, in_whole_dollars

from .cases import Inputs

RIGHTS = {True: CALL, False: PUT}
START = dt.date(2024, 1, 1)


def column(rows: list[Inputs], key: str) -> list[Any]:
    return [row[key] for row in rows]


def legs(options: list[Inputs], **more: Any) -> OptionLegs:
    sizes = (column(options, key) for key in ("amt", "vol"))
    rights = [RIGHTS[call] for call in column(options, "call")]
    return OptionLegs.of(column(options, "sec"), column(options, "K"), rights, *sizes, **more)


def srm_rules(case: Inputs) -> DeriveSrmRules:
    given = Inputs(case.shared["parameters"])
    names = ("max_spot", "min_spot", "mm_call", "mm_put_spot", "mm_put_mtm", "mm_off", "unp_im", "unp_mm")
    return DeriveSrmRules(
        "case",
        START,
        SrmPerpTerms(given["im_perp"], given["mm_perp"]),
        SrmOptionTerms(*(given[name] for name in names)),
        SrmBaseTerms(case["base_factor"]),
        SrmOracleTerms(given["conf_thr"], given["conf_thr"], given["conf_thr"], given["oc"]),
        PegTerms(given["depeg_thr"], given["depeg_fac"]),
    )


def srm_market(case: Inputs) -> DeriveMarket:
    feeds = [Inputs(feed) for feed in case["feeds"].values()]
    return DeriveMarket(
        spot=case["spot"],
        spot_confidence=case["spot_conf"],
        perp_quantity=case["perp"],
        perp_price=case["perp_price"],
        perp_confidence=case["perp_conf"],
        perp_profit=case["perp_value"],
        base=case["base"],
        options=legs(case.each("options")),
        feeds=ExpiryFeeds.of(
            list(map(float, case["feeds"])),
            column(feeds, "fwd"),
            confidence=column(feeds, "conf"),
            volatility_confidence=column(feeds, "vol_conf"),
        ),
    )


def srm_margin(case: Inputs) -> dict[str, Any]:
    """Cases whose rule says so are told in whole dollars."""
    markets = {name: srm_market(Inputs(market)) for name, market in case["markets"].items()}
    margin = derive_srm_margin(DerivePortfolio(case["cash"], markets, case["stable"]), srm_rules(case))
    told = in_whole_dollars if "truncated" in case.rule else float
    return {"im": told(margin.initial), "mm": told(margin.maintenance), "mtm": margin.mark_to_market}


def static_discount(given: Inputs, prefix: str) -> DiscountTerms:
    return DiscountTerms(*(given[f"{prefix}{name}"] for name in ("disc", "rate_mult", "rate_add")))


def pmrm_rules(given: Inputs, scenarios: list[tuple[float, str]]) -> DerivePmrmRules:
    price, direction = zip(*scenarios, strict=True)
    shocks = ("vup", "vdn", "short_pow", "long_pow", "dte_floor_days")
    return DerivePmrmRules(
        "case",
        START,
        StressTerms(
            DeriveScenarios.of(price, direction),
            VolatilityShock(*(given[name] for name in shocks)),
            BasisTerms(*(given[name] for name in ("spot_up", "spot_dn", "add", "mult"))),
            static_discount(given, ""),
        ),
        ConfidenceTerms(given["conf_thr"], given["conf_m"]),
        PegTerms(given["peg_thr"], given["peg_fac"]),
        PmrmFactors(given["im_factor"]),
        PmrmContingency(given["perp_pct"], given["base_pct"], given["opt_pct"]),
    )


def pmrm_portfolio(case: Inputs) -> DerivePortfolio:
    feeds = [Inputs(feed) for feed in case["feeds"].values()]
    options = case.each("options")
    market = DeriveMarket(
        spot=case["spot"],
        spot_confidence=case["spot_conf"],
        perp_quantity=case["perp"],
        perp_price=case["perp_price"],
        perp_confidence=case["perp_conf"],
        perp_profit=case["perp_value"],
        base=case["base"],
        options=legs(options, confidence=column(options, "conf")),
        feeds=ExpiryFeeds.of(
            list(map(float, case["feeds"])),
            *(column(feeds, key) for key in ("var", "fix", "conf", "rate", "rate_conf")),
        ),
    )
    return DerivePortfolio(case["cash"], {"ETH": market}, case["stable"])


def pmrm_margin(case: Inputs) -> dict[str, Any]:
    """The rule of a case says which parameters it has, and whether it is told in whole dollars."""
    own = "parameters_portfolio_cases"
    given = Inputs(case.shared[own if own in case.rule else "parameters"])
    margin = derive_pmrm_margin(pmrm_portfolio(case), pmrm_rules(given, case.shared["scenarios"]))
    told = in_whole_dollars if "truncated" in case.rule else float
    return {
        "im": told(margin.initial),
        "mm": told(margin.maintenance),
        "mtm": margin.positions,
        "basis": margin.stress.basis,
        "static": margin.maintenance_contingencies.total,
    }


def auctioned_margin(case: Inputs) -> dict[str, Any]:
    margin = derive_pmrm_margin(pmrm_portfolio(case), load_derive_pmrm_rules())
    return {"im": margin.initial, "mm": margin.maintenance, "mtm": margin.mark_to_market}


def auction_bid(case: Inputs) -> dict[str, Any]:
    given = case.of("auction")
    auction = SolventAuction(*(given[name] for name in ("start", "cutoff", "fast", "slow", "buffer")))
    figures = (case[name] for name in ("mtm", "mm", "elapsed_s", "percent_want"))
    bid = solvent_bid(*figures, auction, reserved=case["reserved_cash"])
    return {
        "buffer_margin": float(bid.buffer_margin),
        "f_max": float(bid.largest_fraction),
        "fraction": float(bid.fraction),
        "bid_price": float(bid.price),
    }


def pmrm2_stress(given: Inputs) -> StressTerms:
    scenarios, skew, basis = given.each("Scenarios"), given.of("SkewShock"), given.of("BasisContingency")
    shock, margin = given.of("VolShock"), given.of("Margin")
    discounts = {
        side: DiscountTerms(margin[base], margin[f"{side}_RATE_MULTSCALE"], margin[f"{side}_RATE_ADDSCALE"])
        for side, base in (("LONG", "BASE_STATIC_DISCOUNT"), ("SHORT", "BASE_STATIC_DISCOUNT_NEG"))
    }
    skews = ("LINEAR_SCALE_CAP", "LINEAR_CBASE", "ABS_SCALE_CAP", "ABS_CBASE", "MIN_K_STAR", "MIN_WIDTH_SCALE")
    shocks = ("VOLRANGEUP", "VOLRANGEDOWN", "SHORTTERMPOWER", "LONGTERMPOWER", "DTE_FLOOR", "MIN_VOL_EVAL_SHOCKED")
    bases = ("SCENARIO_SPOT_UP", "SCENARIO_SPOT_DOWN", "BASIS_CONT_ADD_FACTOR", "BASIS_CONT_MULT_FACTOR")
    return StressTerms(
        DeriveScenarios.of(*(column(scenarios, key) for key in ("SpotShock", "VolShockDirection", "DampeningFactor"))),
        VolatilityShock(*(shock[name] for name in shocks)),
        BasisTerms(*(basis[name] for name in bases)),
        discounts["LONG"],
        discounts["SHORT"],
        SkewShock(*(skew[name] for name in (*skews, "VOL_PARAM_STATIC", "VOL_PARAM_SCALE"))),
        discounted=True,
    )


def pmrm2_rules(given: Inputs, collaterals: list[Inputs]) -> DerivePmrm2Rules:
    other, margin = given.of("OtherContingency"), given.of("Margin")
    shares = ("MM_PERP_PERCENT", "IM_PERP_PERCENT", "MM_OPTION_PERCENT", "IM_OPTION_PERCENT")
    haircuts = {
        asset["Name"]: CollateralTerms(asset["MMHaircut"], asset["IMHaircut"], asset["IsRiskCancelling"])
        for asset in collaterals
    }
    return DerivePmrm2Rules(
        "case",
        START,
        pmrm2_stress(given),
        ConfidenceTerms(other["CONF_THRESHOLD"], other["CONF_MARGIN"]),
        PegTerms(other["PEG_LOSS_THRESHOLD"], other["PEG_LOSS_FACTOR"]),
        Pmrm2Factors(margin["MM_LOSS_FACTOR"], margin["IM_LOSS_FACTOR"]),
        Pmrm2Contingency(*(other[name] for name in shares)),
        {"case": haircuts},
    )


def pmrm2_market(case: Inputs) -> DeriveMarket:
    options, feeds = case.each("Options"), case.each("OptionFeeds")
    rights = [RIGHTS[bool(call)] for call in column(options, "IsCall")]
    columns = (column(options, key) for key in ("Amount", "MarkVol"))
    told = ExpiryFeeds.of(
        column(feeds, "FeedExpiry"),
        column(feeds, "Forward"),
        confidence=column(feeds, "ForwardConfidence"),
        rate=column(feeds, "Rate"),
        rate_confidence=column(feeds, "RateConfidence"),
        volatility_confidence=column(feeds, "OptionVolConfidences"),
    )
    return DeriveMarket(
        spot=case["SpotPrice"],
        spot_confidence=case["SpotConfidence"],
        perp_quantity=case["NumPerps"],
        perp_price=case["PerpPrice"],
        perp_confidence=case["PerpConfidence"],
        perp_profit=case["UnrealisedPerpPNL"],
        perp_funding=case["UnrealisedFunding"],
        options=OptionLegs.of(column(options, "Expiry"), column(options, "Strike"), rights, *columns),
        feeds=told.averaged_to_settlement(),
    )


def pmrm2_margin(case: Inputs) -> dict[str, Any]:
    scenario = case.of("scenario")
    assets = scenario.each("Collaterals")
    held = CollateralHoldings(
        tuple(column(assets, "Name")), *(column(assets, key) for key in ("Amount", "Price", "Confidence"))
    )
    portfolio = DerivePortfolio(scenario["Cash"], {"case": pmrm2_market(scenario)}, scenario["StablePrice"], held)
    margin = derive_pmrm2_margin(portfolio, pmrm2_rules(case.of("parameters"), assets))
    return {
        "im": margin.initial,
        "mm": margin.maintenance,
        "mtm": margin.mark_to_market,
        "scenario_pnl": margin.scenario_profit.tolist(),
    }


ADAPTERS = {
    ("derive_srm", "margin"): srm_margin,
    ("derive_pmrm1", "portfolio_margin"): pmrm_margin,
    ("derive_auction", "portfolio_margin"): auctioned_margin,
    ("derive_auction", "partial_liquidation"): auction_bid,
    ("derive_pmrm2", "portfolio_margin"): pmrm2_margin,
}
