"""The formulas of flow: funding, basis, open interest, taker flow, forced flow, crowding; what each says of itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..engine.expression import column
from ..engine.formula import Formula
from ..engine.operations import last_known, rolling_mean
from .basis import annualised_premium, basis_change, premium
from .carry import funding_charged
from .crowding import crowded_side, crowding
from .forced_flow import (
    estimated_liquidations,
    liquidated_share,
    liquidation_imbalance,
    liquidation_surge,
    share_at_cap,
)
from .funding import annualised_funding, dispersion
from .open_interest import open_interest_turnover, open_interest_value, position_flows, unwinding_score
from .own_past import past_score
from .taker import one_sidedness, taker_imbalance, trade_size, trade_size_ratio

DAY, WEEK, MONTH = 24.0, 168.0, 720.0
FLOW_HOURS = {"4h": 4.0, "24h": DAY}
KNOWN_HOURS = 24.0
"""How long a report of open interest counts as the last known one."""
LEAST_FUNDING_SPREAD = 0.01
"""Standard deviation of annualised funding below which a score does not grow, fraction a year."""

SIGMAS, SHARE, SIGNED = "standard deviations", "share, 0 to 1", "share, -1 to 1"
YEARLY, LOG_RATIO = "fraction of notional a year", "log ratio"
EASLEY = "Easley, Lopez de Prado and O'Hara (2012)"

Formulas = Iterator[Formula]


def flow_formulas(bar_hours: float) -> Formulas:
    """Every formula of flow for bars of this length; windows shorter than two bars are left out.

    Examples
    --------
    >>> [one.name for one in flow_formulas(12.0)][:2]
    ['funding_annualised_24h', 'funding_dispersion_24h']
    """
    for family in (_funding, _basis, _open_interest, _taker, _forced, _crowding):
        yield from family(bar_hours)


def _window(hours: float, bar_hours: float) -> int:
    bars = round(hours / bar_hours)
    return bars if bars >= 2 else 0


def _windows(hours: dict[str, float], bar_hours: float) -> Iterator[tuple[str, int]]:
    yield from ((name, _window(h, bar_hours)) for name, h in hours.items() if _window(h, bar_hours))


def _funding(bar_hours: float) -> Formulas:
    rate, close = column("funding_rate"), column("close")
    for name, window in _windows({"24h": DAY, "7d": WEEK}, bar_hours):
        value = annualised_funding(rate, close, window, bar_hours)
        said = f"Funding charged over {name}, brought to a year"
        yield Formula(f"funding_annualised_{name}", value, said, YEARLY)
        if name == "24h":
            said = "Standard deviation over coins of the funding charged over 24h, brought to a year"
            yield Formula("funding_dispersion_24h", dispersion(value), said, YEARLY)
    if window := _window(MONTH, bar_hours):
        yield Formula(
            "funding_30d", funding_charged(rate, close, window), "Funding charged over 30d", "fraction of notional"
        )
        day = annualised_funding(rate, close, max(_window(DAY, bar_hours), 1), bar_hours)
        score = past_score(day, window, LEAST_FUNDING_SPREAD)
        said = "Funding charged over 24h against its own 30d before"
        yield Formula("funding_score_30d", score, said, SIGMAS)


def _basis(bar_hours: float) -> Formulas:
    last, spot = column("last_close"), column("spot_close")
    for name, window in _windows(FLOW_HOURS, bar_hours):
        said = f"Change of the basis over spot within {name}"
        yield Formula(f"basis_spot_change_{name}", basis_change(last, spot, window), said, LOG_RATIO)
    if window := _window(DAY, bar_hours):
        value = rolling_mean(annualised_premium(last, spot), window)
        said = "Mean premium over spot of 24h as the funding it would cost a year"
        yield Formula("premium_annualised_24h", value, said, YEARLY)
    if window := _window(MONTH, bar_hours):
        said = "Premium over spot against its own 30d before"
        yield Formula("premium_score_30d", past_score(premium(last, spot), window), said, SIGMAS)


def _open_interest(bar_hours: float) -> Formulas:
    held, close, known = column("open_interest"), column("close"), max(_window(KNOWN_HOURS, bar_hours), 1)
    value = open_interest_value(held, close, known)
    yield Formula("log_open_interest_value", np.log(value), "Open interest, last known", "log of quote units")
    if window := _window(DAY, bar_hours):
        value = np.log(open_interest_turnover(held, column("volume"), window, known))
        yield Formula("open_interest_turnover_24h", value, "Open interest over the volume of 24h", LOG_RATIO)
    for name, window in _windows(FLOW_HOURS, bar_hours):
        flows = position_flows(held, close, window, known)
        kinds = ("new_longs", "new_shorts", "shorts_covered", "longs_closed")
        summaries = ("rose with the price", "rose while the price fell", "fell while the price rose", "fell with it")
        for kind, flow, said in zip(kinds, flows, summaries, strict=True):
            summary = f"Size of the change of open interest within {name} where it {said}, else 0"
            yield Formula(f"{kind}_{name}", flow, summary, "log change")
        score = unwinding_score(held, close, window, MONTH / bar_hours, known)
        said = f"Fall of open interest with a large move within {name}, signed by the move; 0 where it rose"
        yield Formula(f"unwinding_{name}", score, said, SIGMAS)


def _taker(bar_hours: float) -> Formulas:
    bought, volume, trades, last = (column(name) for name in ("taker_buy_volume", "volume", "trades", "last_close"))
    for name, window in _windows(FLOW_HOURS, bar_hours):
        said = f"Volume bought less volume sold by takers over {name}, over both"
        yield Formula(f"taker_imbalance_{name}", taker_imbalance(bought, volume, window), said, SIGNED)
    if window := _window(DAY, bar_hours):
        said = "Mean one-sidedness of the bars of 24h by reported taker side"
        yield Formula("one_sidedness_24h", one_sidedness(bought, volume, window), said, SHARE, EASLEY)
        size = np.log(trade_size(volume, trades, last, window))
        yield Formula("log_trade_size_24h", size, "Mean value of a trade over 24h", "log of quote units")
        if month := _window(MONTH, bar_hours):
            ratio = trade_size_ratio(volume, trades, last, window, month)
            yield Formula("trade_size_24h_30d", ratio, "Mean value of a trade of 24h over that of 30d", LOG_RATIO)


def _forced(bar_hours: float) -> Formulas:
    long, short, events = (column(name) for name in ("liquidated_long", "liquidated_short", "liquidation_events"))
    turnover = column("volume") * column("last_close")
    known = max(_window(KNOWN_HOURS, bar_hours), 1)
    held = open_interest_value(column("open_interest"), column("close"), known)
    for name, window in _windows(FLOW_HOURS, bar_hours):
        value = liquidated_share(long, short, rolling_mean(turnover, window) * window, window)
        said = f"Reported liquidations over {name} over what was traded"
        yield Formula(f"liquidated_of_volume_{name}", value, said, "fraction")
        value = liquidated_share(long, short, held, window)
        said = f"Reported liquidations over {name} over the open interest"
        yield Formula(f"liquidated_of_open_interest_{name}", value, said, "fraction")
        value = liquidation_imbalance(long, short, window)
        said = f"Longs less shorts over both of what was liquidated over {name}"
        yield Formula(f"liquidation_imbalance_{name}", value, said, SIGNED)
        value = estimated_liquidations(events, bar_hours, window)
        said = f"Estimated number of liquidations over {name} behind a feed of one event a second; its reports"
        said += " are a lower bound where this is NaN"
        yield Formula(f"estimated_liquidations_{name}", value, said, "count, estimated")
        value = share_at_cap(events, bar_hours, window)
        said = (
            f"Share of the seconds of {name} in which the liquidation feed showed an event and may have hidden others"
        )
        yield Formula(f"liquidation_feed_at_cap_{name}", value, said, SHARE)
    if window := _window(4.0, bar_hours):
        value = liquidation_surge(long, short, window, MONTH / bar_hours)
        said = "Reported liquidations of 4h against their usual amount, half-life 30d, ln((x + u) / 2u)"
        yield Formula("liquidation_surge_4h", value, said, LOG_RATIO)


def _crowding(bar_hours: float) -> Formulas:
    day, month = max(_window(DAY, bar_hours), 1), _window(MONTH, bar_hours)
    if not month:
        return
    funding = annualised_funding(column("funding_rate"), column("close"), day, bar_hours)
    over = premium(column("last_close"), column("spot_close"))
    side = crowded_side(past_score(funding, month, LEAST_FUNDING_SPREAD), past_score(over, month))
    said = "Which side pays to be in: mean of the capped scores of funding and premium, positive where longs do"
    yield Formula("crowded_side", side, said, SIGNED)
    held = last_known(column("open_interest"), day)
    value = crowding(side, held, rolling_mean(held, month))
    yield Formula("crowding", value, "Crowded side times open interest over its 30d mean", "share times ratio")
