"""Real chains of Deribit, BTC and ETH, January to March 2026: recomputed volatilities against the venue's own."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import QuantLib as ql

from margincast.features.options.arbitrage import ArbitrageCount, count_arbitrage
from margincast.features.options.chain_series import ChainSeries
from margincast.features.options.declarations import NAMES
from margincast.features.options.implied import implied_surface
from margincast.features.options.measures import measure
from margincast.features.options.parity_forward import with_forwards
from margincast.features.options.smile import smiles
from margincast.features.options.svi import fit_svi
from margincast.features.readers.option_chain import read_option_chains

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CHAINS = SHARED / "data" / "deribit_chains" / "chains.parquet"
pytestmark = pytest.mark.skipif(not CHAINS.is_file(), reason=f"real option chains are not at {CHAINS}")
COLLECTED = np.timedelta64(5, "m")


@pytest.fixture(scope="module")
def history():
    return read_option_chains(CHAINS, known_after=COLLECTED)


@pytest.fixture(scope="module")
def surfaces(history):
    return [implied_surface(chain) for chain in history]


@pytest.fixture(scope="module")
def series(surfaces):
    chains = [surface.chain for surface in surfaces]
    total = sum((surface.quality for surface in surfaces[1:]), surfaces[0].quality)
    return ChainSeries(
        tuple(chain.underlying for chain in chains),
        np.array([chain.time for chain in chains]),
        np.array([chain.known for chain in chains]),
        np.array([measure(surface) for surface in surfaces]),
        total,
    )


@pytest.fixture(scope="module")
def sound_errors(surfaces):
    """Recomputed less told volatility of every sound quote."""
    return np.concatenate([(s.mark - s.chain.reported)[s.sound] for s in surfaces])


def test_the_whole_file_is_read(history, surfaces):
    assert len(history) == 614 and sum(len(s.chain) for s in surfaces) == 477_628
    assert {s.chain.underlying for s in surfaces} == {"BTC", "ETH"}


def test_recomputed_volatility_is_the_venues_own_to_a_hundredth_of_a_point(sound_errors):
    """Median under 0.1 point (the floor is 0.0025 points, the rounding of the told figure), 95% under 0.1 point."""
    size = np.abs(sound_errors)
    assert len(size) > 0.45 * 477_628
    assert np.median(size) < 1e-4
    assert np.quantile(size, 0.95) < 1e-3
    assert abs(np.median(sound_errors)) < 2e-5


def test_any_other_convention_is_worse(surfaces, sound_errors):
    """Exact seconds of a year of 365 days, on the forward of the expiry: not 365.25 days, whole days, or the index."""
    best = np.median(np.abs(sound_errors))
    longer, whole, index = [], [], []
    for s in surfaces[::8]:
        chain, ok = s.chain, s.sound
        told, days = chain.reported[ok], chain.years[ok] * 365.0
        longer.append(s.mark[ok] * np.sqrt(365.25 / 365.0) - told)
        whole.append(s.mark[ok] * np.sqrt(days / np.ceil(days)) - told)
        index.append((s.mark * np.sqrt(chain.index / chain.forward))[ok] - told)
    for other in (longer, whole, index):
        assert np.median(np.abs(np.concatenate(other))) > 3 * best


def test_delta_and_vega_are_the_venues_own(surfaces):
    """Deribit tells forward delta N(d1), and vega per point of volatility in dollars, from a forward a moment away."""
    table = pd.read_parquet(
        CHAINS, columns=["timestamp", "currency", "option_type", "strike", "expiry", "delta", "vega"]
    )
    delta, vega = [], []
    for (_, rows), s in zip(table.groupby(["timestamp", "currency"], observed=True), surfaces, strict=True):
        rows = rows.assign(right=rows["option_type"].astype(str) == "call").sort_values(["expiry", "strike", "right"])
        delta.append((s.delta - rows["delta"].to_numpy())[s.sound])
        told = rows["vega"].to_numpy(np.float64)[s.sound]
        vega.append((s.vega * s.chain.forward * 0.01)[s.sound] / told - 1.0)
    assert np.median(np.abs(np.concatenate(delta))) < 3e-4
    assert np.quantile(np.abs(np.concatenate(delta)), 0.95) < 6e-3
    assert np.median(np.abs(np.concatenate(vega))) < 2e-3


def test_volatilities_of_real_marks_agree_with_quantlib(surfaces):
    s = surfaces[300]
    for row in np.flatnonzero(s.sound)[::29]:
        chain = s.chain
        kind = ql.Option.Call if chain.right[row] > 0 else ql.Option.Put
        f, k, t = float(chain.forward[row]), float(chain.strike[row]), float(chain.years[row])
        deviation = ql.blackFormulaImpliedStdDev(kind, k, f, float(chain.mark[row]) * f, 1.0, 0.0, 0.3, 1e-13)
        assert s.mark[row] == pytest.approx(deviation / np.sqrt(t), rel=1e-7)


def test_quotes_enclose_the_mark(surfaces):
    inside = [((s.bid <= s.mark) & (s.mark <= s.ask))[s.sound & np.isfinite(s.bid + s.ask)] for s in surfaces]
    assert np.concatenate(inside).mean() > 0.9


def test_forwards_inferred_by_parity_are_near_those_told(surfaces):
    from dataclasses import replace

    missed = []
    for s in surfaces[::8]:
        blind = with_forwards(replace(s.chain, forward=np.full(len(s.chain), np.nan)))
        assert blind.forward_inferred.all()
        missed.append(np.abs(blind.expiry_forward / s.chain.expiry_forward - 1.0))
    missed = np.concatenate(missed)
    assert np.median(missed) < 2e-5 and np.quantile(missed, 0.95) < 5e-4


def test_quality_counts_are_those_of_the_table(series):
    table = pd.read_parquet(CHAINS, columns=["bid_price", "ask_price", "mark_price"])
    counts = series.quality.counts
    assert series.quality.rows == len(table)
    assert counts["no_bid"] == table["bid_price"].isna().sum()
    assert counts["no_ask"] == table["ask_price"].isna().sum()
    assert counts["worthless"] == (table["mark_price"] == 0).sum()
    assert counts["expired"] == counts["duplicate"] == counts["crossed"] == counts["no_forward"] == 0


def test_raw_svi_fits_real_smiles_within_the_quotes(surfaces):
    error, inside, arbitrage = [], [], []
    for s in surfaces[::12]:
        for smile in smiles(s):
            fit = fit_svi(smile)
            error.append(fit.error(smile))
            quoted = np.isfinite(smile.width)
            miss = np.abs(fit.volatility(smile.moneyness) - smile.volatility)
            inside.append((miss <= 0.5 * smile.width)[quoted])
            arbitrage.append(fit.has_butterfly_arbitrage(smile.moneyness[0], smile.moneyness[-1]))
    assert np.median(error) < 0.005 and np.quantile(error, 0.95) < 0.015
    assert np.concatenate(inside).mean() > 0.85
    assert np.mean(arbitrage) < 0.02


def test_interpolation_between_strikes_is_better_than_a_quote_is_wide(surfaces):
    """Each quote left out in turn: what the smile says without it, against it."""
    missed, width = [], []
    for s in surfaces[::60]:
        for smile in smiles(s):
            for out in range(1, len(smile.strike) - 1):
                kept = np.arange(len(smile.strike)) != out
                rest = type(smile)(
                    smile.years, smile.forward, *(x[kept] for x in (smile.strike, smile.volatility, smile.width))
                )
                missed.append(abs(float(rest.at(smile.moneyness[[out]])[0]) - smile.volatility[out]))
                width.append(smile.width[out])
    assert np.median(missed) < 0.002 < np.nanmedian(width)


def test_the_venues_marks_hold_hardly_any_static_arbitrage(surfaces):
    total = sum((count_arbitrage(smiles(s)) for s in surfaces[::6]), ArbitrageCount())
    assert total.butterflies > 10_000 and total.butterfly_share < 0.01
    assert total.calendars > 10_000 and total.calendar_share < 0.001


@pytest.mark.parametrize("symbol", ["BTC", "ETH"])
def test_measures_make_sense_through_the_quarter(series, symbol):
    value = dict(zip(NAMES, series.values[series.rows_of(symbol)].T, strict=True))
    known = {name: np.isfinite(column).mean() for name, column in value.items()}
    assert min(share for name, share in known.items() if "_10d_" not in name) > 0.99
    assert known["risk_reversal_10d_30d"] > 0.8  # the strikes listed do not always reach a delta of 10
    strip, whole, money = (
        value[name] for name in ("variance_index_30d", "smile_variance_index_30d", "atm_volatility_30d")
    )
    both = np.isfinite(strip)
    assert np.median(np.abs(strip - whole)[both]) < 0.01 and (whole > money).all()
    assert ((money > 0.3) & (money < 1.0)).all()
    assert (value["butterfly_25d_30d"] > 0).all() and (value["forward_variance_30d_90d"] > 0).all()
    assert np.nanmax(value["smile_error_30d"]) < 0.03


def test_the_fall_of_february_shows(series):
    """BTC fell by about a fifth in the days to 2026-02-06: near volatility and put skew rose."""
    rows = series.rows_of("BTC")
    day = series.quoted[rows].astype("datetime64[D]")
    calm, fall = day == np.datetime64("2026-01-15"), day == np.datetime64("2026-02-05")
    value = dict(zip(NAMES, series.values[rows].T, strict=True))
    assert value["atm_volatility_7d"][fall].max() > 1.5 * value["atm_volatility_7d"][calm].max()
    assert value["term_slope_7d_90d"][fall].min() < -0.2 < value["term_slope_7d_90d"][calm].min()
    assert value["risk_reversal_25d_30d"][fall].min() < value["risk_reversal_25d_30d"][calm].min()
