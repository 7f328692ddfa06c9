"""The variance index: Cboe's published example to its last digit, and smiles whose variance is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from option_chain_cases import chain_of, smile_of
from scipy.integrate import quad

from margincast.features.options.implied import implied_surface
from margincast.features.options.smile import Smile, smiles
from margincast.features.options.term_structure import between, constant_maturity, forward_variance
from margincast.features.options.variance_index import chain_strip, smile_variance, strip_variance
from margincast.riskcore.options.black76 import time_value

EXAMPLE = Path(__file__).parent / "published" / "cboe_vix_example.csv"
# Appendix 3 of the methodology: minutes to expiry, rate, forward, ends of the strip, sum (appendix 5), variance.
PUBLISHED = {
    "near": (34_484, 0.00031664, 1962.89996, 1370.0, 2125.0, 0.0006320516, 0.019233906),
    "next": (44_954, 0.00028797, 1962.40006, 1275.0, 2200.0, 0.0008314016, 0.019423884),
}
MINUTES = 525_600.0


def example(term):
    table = pd.read_csv(EXAMPLE, comment="#")
    rows = table[table["term"] == term]
    return {column: rows[column].to_numpy(np.float64) for column in table.columns[1:]}


def strip_of(term, quotes=None):
    minutes, rate, *_ = PUBLISHED[term]
    q = quotes or example(term)
    sides = (q["call_bid"], q["call_ask"]), (q["put_bid"], q["put_ask"])
    return strip_variance(q["strike"], *sides, minutes / MINUTES, rate)


@pytest.mark.parametrize("term", PUBLISHED)
def test_each_term_of_the_published_example(term):
    _, _, forward, low, high, total, variance = PUBLISHED[term]
    strip = strip_of(term)
    assert strip.forward == pytest.approx(forward, abs=5e-6)
    assert strip.pivot == 1960.0
    assert (strip.strike[0], strip.strike[-1]) == (low, high)
    assert strip.contribution.sum() == pytest.approx(total, abs=5e-11)
    assert strip.variance == pytest.approx(variance, abs=1e-9)


def test_the_published_index_is_13_93():
    years = np.array([PUBLISHED[term][0] / MINUTES for term in PUBLISHED])
    volatility = np.sqrt([strip_of(term).variance for term in PUBLISHED])
    assert 100 * constant_maturity(years, volatility, 30.0) == pytest.approx(13.927842, abs=1e-6)


def test_quotes_beyond_two_without_a_bid_do_not_count_and_a_single_one_does_not_stop():
    strip = strip_of("near")
    assert not {1345.0, 1350.0, 1355.0, 2225.0} & set(strip.strike)
    assert not {1405.0, 1415.0, 2120.0} & set(strip.strike) and 2125.0 in strip.strike
    place = {strike: i for i, strike in enumerate(strip.strike)}
    gap = {k: strip.contribution[place[k]] * k * k / np.exp(0.00031664 * 34_484 / MINUTES) for k in (1400.0, 1410.0)}
    assert gap[1400.0] == pytest.approx(7.5 * 0.125) and gap[1410.0] == pytest.approx(10.0 * 0.225)


def test_no_quotes_no_variance():
    quotes = example("near")
    assert np.isnan(strip_of("near", quotes | {"put_bid": 0.0 * quotes["put_bid"]}).variance)
    pivot = quotes["strike"] == 1960.0
    unquoted = np.where(pivot, np.nan, quotes["put_bid"])
    given = strip_variance(
        quotes["strike"],
        (quotes["call_bid"], quotes["call_ask"]),
        (unquoted, quotes["put_ask"]),
        0.0656,
        forward=1962.9,
    )
    assert np.isnan(given.variance)


@pytest.mark.parametrize("volatility", [smile_of(0.6), smile_of(0.6, -0.05, 0.03), smile_of(1.2, 0.04, 0.05)])
def test_the_integrated_smile_agrees_with_quadrature(volatility):
    chain = chain_of(volatility, days=(30,), strikes=81, reach=5.0)
    (smile,) = smiles(implied_surface(chain))
    low, high, root = smile.moneyness[0], smile.moneyness[-1], np.sqrt(smile.years)

    def integrand(k):
        v = volatility(np.clip(k, low, high), smile.years)
        return float(time_value(1.0, np.exp(k), v * root)) * np.exp(-k)

    pieces = [-12 * root, low, 0.0, high, 12 * root]
    exact = 2.0 * sum(quad(integrand, a, b, epsabs=1e-13)[0] for a, b in zip(pieces[:-1], pieces[1:], strict=True))
    assert smile_variance(smile) == pytest.approx(exact / smile.years, rel=5e-5)


def test_the_strip_comes_near_the_integral_as_strikes_fill_in():
    missed = []
    for strikes in (21, 81, 321):
        surface = implied_surface(chain_of(smile_of(0.6, -0.03, 0.02), days=(30,), strikes=strikes, width=1e-4))
        (smile,) = smiles(surface)
        missed.append(abs(chain_strip(surface, 0).variance / smile_variance(smile) - 1.0))
    assert missed[0] > missed[1] > missed[2]
    assert missed[2] < 2e-3


def test_maturities_are_never_extrapolated():
    years, volatility = np.array([7.0, 25.0, 53.0]) / 365.0, np.array([0.5, 0.6, 0.7])
    assert constant_maturity(years, volatility, 25.0) == pytest.approx(0.6)
    assert np.isnan([constant_maturity(years, volatility, days) for days in (6.9, 53.1)]).all()
    assert np.isnan(constant_maturity(years[:0], volatility[:0], 30.0))
    known = np.array([0.5, np.nan, 0.7])
    assert constant_maturity(years, known, 30.0) == pytest.approx(
        np.sqrt(np.interp(30, [7, 53], [0.25 * 7, 0.49 * 53]) / 30)
    )
    assert between(years, known, 30.0 / 365.0) == pytest.approx(0.5 + 0.2 * 23 / 46)


def test_forward_variance_completes_the_far_maturity():
    ahead = forward_variance(0.5, 0.6, 30.0, 90.0)
    assert 0.5**2 * 30 + ahead * 60 == pytest.approx(0.6**2 * 90)
    assert forward_variance(0.9, 0.5, 30.0, 90.0) < 0  # a calendar arbitrage shows


def test_a_smile_ends_at_its_quotes():
    smile = Smile(0.25, 100.0, np.array([80.0, 100.0, 125.0]), np.array([0.7, 0.6, 0.65]), np.full(3, np.nan))
    assert np.isnan(smile.at(np.log([0.79, 1.26]))).all()
    assert np.isnan(smile.at_delta(np.array([0.01, 0.99]))).all()
    assert np.isnan(Smile(0.25, 70.0, smile.strike, smile.volatility, smile.width).at_the_money)
