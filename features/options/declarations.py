"""The features of an option chain, each declared once: name, unit, inputs, missing-data rule, source."""

from __future__ import annotations

from ..engine.step import Declaration

FIT = ("mark", "forward", "strike", "expiry")
MATURITIES = (7, 30, 90)
SKEW_MATURITY = 30
DELTAS = (25, 10)
GONE = "NaN once the last chain is older than the step's max_age, until the next"
OUTSIDE = f"NaN where no two expiries with a smile enclose the maturity; {GONE}"
WINGS = f"NaN where the quotes around the maturity do not reach the delta; {GONE}"
CBOE = "Cboe Volatility Index (white paper, 2019)"
REPLICATION = (
    "K. Demeterfi, E. Derman, M. Kamal and J. Zou, More than you ever wanted to know about volatility swaps (1999)"
)
WYSTUP = "D. Reiswich and U. Wystup, FX volatility smile construction, Wilmott (2012)"
SVI = "J. Gatheral and A. Jacquier, Arbitrage-free SVI volatility surfaces, Quantitative Finance 14 (2014)"
YEARLY = "volatility per year, fraction"


def _declared(
    name: str, summary: str, unit: str, inputs: tuple[str, ...], missing: str, source: str = ""
) -> Declaration:
    return Declaration(name, summary, unit, inputs, 0.0, missing, source)


DECLARATIONS: tuple[Declaration, ...] = (
    *(
        _declared(
            f"atm_volatility_{days}d",
            f"Implied volatility at the forward, brought to {days} days linearly in total variance.",
            YEARLY,
            FIT,
            OUTSIDE,
            CBOE,
        )
        for days in MATURITIES
    ),
    _declared(
        "variance_index_30d",
        "30-day volatility from the strip of bid and ask mids of the two expiries around it, by Cboe's method.",
        YEARLY,
        ("bid", "ask", "forward", "strike", "expiry"),
        f"NaN where one of the two expiries has no strip; {OUTSIDE}",
        CBOE,
    ),
    _declared(
        "smile_variance_index_30d",
        "30-day volatility from the whole smile of the marks, wings held at their last volatility (as DVOL aims at).",
        YEARLY,
        FIT,
        OUTSIDE,
        f"{REPLICATION}; Deribit, DVOL implied volatility index (2021)",
    ),
    *(
        _declared(
            f"{kind}_{delta}d_{SKEW_MATURITY}d",
            f"{text} of forward delta {delta}, at {SKEW_MATURITY} days.",
            YEARLY,
            FIT,
            WINGS,
            WYSTUP,
        )
        for delta in DELTAS
        for kind, text in (
            ("risk_reversal", "Volatility of the call less that of the put, both"),
            ("butterfly", "Mean volatility of call and put above that at the money, both"),
        )
    ),
    _declared(
        "skew_slope_30d",
        "Slope of the volatility by log moneyness at the forward, from raw SVI, at 30 days.",
        "volatility per year per unit of log moneyness",
        FIT,
        OUTSIDE,
        SVI,
    ),
    _declared(
        "skew_curvature_30d",
        "Second derivative of the volatility by log moneyness at the forward, from raw SVI, at 30 days.",
        "volatility per year per squared unit of log moneyness",
        FIT,
        OUTSIDE,
        SVI,
    ),
    _declared(
        "term_slope_7d_90d",
        "Log of the 90-day volatility at the money over the 7-day one; negative when the near end is dearer.",
        "log",
        FIT,
        OUTSIDE,
    ),
    _declared(
        "forward_variance_30d_90d",
        "Variance per year that the 30 and 90-day volatilities at the money leave for the days between.",
        "variance per year",
        FIT,
        OUTSIDE,
        CBOE,
    ),
    _declared(
        "option_spread_30d",
        "Volatility of the ask less that of the bid next to the forward, at 30 days: what options cost to trade.",
        YEARLY,
        ("bid", "ask", "forward", "strike", "expiry"),
        f"NaN where the options next to the forward lack a bid or an ask; {OUTSIDE}",
    ),
    _declared(
        "put_call_open_interest",
        "Open interest in puts over that in calls, all expiries.",
        "ratio",
        ("open_interest",),
        f"NaN where none is told or none is in calls; {GONE}",
        "J. Pan and A. Poteshman, The information in option volume, Review of Financial Studies 19 (2006)",
    ),
    _declared(
        "put_call_volume",
        "Volume of 24 hours in puts over that in calls, all expiries.",
        "ratio",
        ("volume",),
        f"NaN where none is told or none is in calls; {GONE}",
        "J. Pan and A. Poteshman, The information in option volume, Review of Financial Studies 19 (2006)",
    ),
    _declared(
        "gamma_exposure",
        "What dealers must sell as the price rises by 1% if they hold all calls and wrote all puts.",
        "units of the underlying",
        ("open_interest", *FIT),
        f"NaN where no open interest is told; {GONE}",
        "SqueezeMetrics, Gamma Exposure (white paper, 2017)",
    ),
    _declared(
        "max_pain_distance",
        "Log of the strike at which holders are paid least over the forward, for the expiry with most open interest.",
        "log",
        ("open_interest", "forward", "strike", "expiry"),
        f"NaN where no open interest is told; {GONE}",
        "S. Ni, N. Pearson and A. Poteshman, Stock price clustering on option expiration dates, JFE 78 (2005)",
    ),
    _declared(
        "smile_error_30d",
        "Root mean square miss of raw SVI against the quoted volatilities, at 30 days: how orderly the smile is.",
        YEARLY,
        FIT,
        OUTSIDE,
        SVI,
    ),
    _declared(
        "butterfly_violations",
        "Share of neighbouring strikes whose butterfly is worth less than nothing.",
        "share, 0 to 1",
        FIT,
        f"NaN where no expiry has a smile; {GONE}",
        SVI,
    ),
    _declared(
        "calendar_violations",
        "Share of strikes at which total variance falls from one expiry to the next.",
        "share, 0 to 1",
        FIT,
        f"NaN where fewer than two expiries have a smile; {GONE}",
        SVI,
    ),
    _declared(
        "sound_quotes",
        "Share of the chain's quotes that are fit for a smile.",
        "share, 0 to 1",
        ("bid", "ask", *FIT),
        GONE,
    ),
)
"""Features of `measures.measure`, in the order of its values. `inputs` names columns of an `OptionChain`."""

NAMES = tuple(one.name for one in DECLARATIONS)
