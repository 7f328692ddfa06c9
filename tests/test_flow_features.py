"""Formulas and steps of flow: held to the contract of a feature, to plain twins, and to real funding and prices."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from step_parity import hold

from margincast.features.engine.bars import BarTable
from margincast.features.engine.program import Program
from margincast.features.engine.step import run_step
from margincast.features.flow.basis import annualised_basis
from margincast.features.flow.crowding import long_share
from margincast.features.flow.formulas import flow_formulas
from margincast.features.flow.funding import annualised_funding, dispersion
from margincast.features.flow.funding_clock import FundingClockStep
from margincast.features.flow.open_interest import position_flows, unwinding_score
from margincast.features.flow.own_past import past_score
from margincast.features.flow.stress_components import COMPONENTS, depth_component
from margincast.features.flow.stress_index import StressIndexStep, rank_in_past, with_columns
from margincast.features.flow.taker import taker_buy_ratio, trade_size
from margincast.features.flow.vpin import VpinStep
from margincast.riskcore.errors import InputError

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
HOUR = np.timedelta64(1, "h")
COINS = ("BTC", "ETH", "SOL", "XRP")


def table_of(bars, hours=1, seed=0, every=8):
    """Random bars with every column flow reads; funding every `every` bars, open interest every third."""
    rng, n = np.random.default_rng(seed), len(COINS)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, n)), axis=0))
    last = close * np.exp(rng.normal(0, 3e-4, (bars, n)))
    volume = rng.lognormal(5, 0.5, (bars, n))
    row = np.arange(bars)[:, None]
    events = rng.poisson(30, (bars, n)) * (rng.random((bars, n)) < 0.7)
    columns = {
        "close": close,
        "last_close": last,
        "spot_close": close * np.exp(rng.normal(0, 5e-4, (bars, n))),
        "volume": volume,
        "taker_buy_volume": volume * rng.uniform(0.2, 0.8, (bars, n)),
        "trades": rng.poisson(300, (bars, n)) + 1.0,
        "funding_rate": np.where(row % every == 0, rng.normal(1e-4, 2e-4, (bars, n)), np.nan),
        "open_interest": np.where(
            row % 3 == 0, 1e4 * np.exp(np.cumsum(rng.normal(0, 0.02, (bars, n)), axis=0)), np.nan
        ),
        "liquidated_long": events * rng.lognormal(3, 1, (bars, n)),
        "liquidated_short": events * rng.lognormal(3, 1, (bars, n)),
        "liquidation_events": events.astype(float),
        "bid_50bps": rng.lognormal(12, 0.3, (bars, n)),
        "ask_50bps": rng.lognormal(12, 0.3, (bars, n)),
    }
    times = np.datetime64("2024-01-01", "ns") + np.arange(bars) * (hours * HOUR)
    return BarTable(times, hours * HOUR, COINS, columns)


def columns_through(function, *arrays):
    return function(*(np.asarray(a, float)[:, None] for a in arrays))[:, 0]


def test_formulas_keep_the_contract_of_a_feature():
    table = table_of(900, hours=2, every=4)
    program = Program(list(flow_formulas(2.0)), table.step)
    hold(program, table, 850)


def test_formulas_say_what_they_are_and_share_no_name_with_others():
    formulas = list(flow_formulas(1.0))
    names = [one.name for one in formulas]
    assert len(names) == len(set(names)) and all(one.summary and one.unit for one in formulas)
    assert not any(
        name.startswith("estimated_") and "estimated" not in one.unit for name, one in zip(names, formulas, strict=True)
    )
    assert [one.name for one in flow_formulas(24.0) if "_4h" in one.name] == []


@pytest.mark.parametrize("every", [1, 2, 4, 8])
def test_annualised_funding_does_not_depend_on_how_often_a_venue_charges(every):
    hourly = np.random.default_rng(1).normal(1e-5, 2e-5, 240)
    charged = np.where(np.arange(240) % every == every - 1, hourly.reshape(-1, every).sum(axis=1).repeat(every), np.nan)
    found = annualised_funding(charged[:, None], np.ones((len(charged), 1)), 24, 1.0)[23::24, 0]
    np.testing.assert_allclose(found, hourly.reshape(-1, 24).sum(axis=1) * 365.0, rtol=1e-10)


def test_scores_are_those_of_pandas():
    values = np.random.default_rng(2).normal(3, 0.5, 200)
    before = pd.Series(values).shift(1).rolling(30)
    expected = (values - before.mean()) / before.std(ddof=0)
    np.testing.assert_allclose(past_score(values[:, None], 30)[:, 0], expected, rtol=1e-9)
    constant = np.append(np.full(40, 1e-4), 2e-4)[:, None]
    assert past_score(constant, 30, 1e-5)[-1, 0] == pytest.approx(10.0)
    assert np.isnan(past_score(np.full((40, 1), 0.5), 30)[-1, 0])


def test_dispersion_is_the_standard_deviation_over_known_coins():
    values = np.random.default_rng(3).normal(0, 1, (50, 5))
    values[np.random.default_rng(4).random(values.shape) < 0.3] = np.nan
    frame = pd.DataFrame(values)
    expected = frame.std(axis=1, ddof=0).where(frame.notna().sum(axis=1) > 1)
    np.testing.assert_allclose(dispersion(values), np.repeat(expected.to_numpy()[:, None], 5, axis=1), rtol=1e-12)


def test_each_change_of_open_interest_falls_in_one_quadrant():
    interest, close = (table_of(200).columns[name] for name in ("open_interest", "close"))
    interest = np.where(np.isnan(interest), 1e4, interest)
    flows = np.stack(position_flows(interest, close, 4, 1))
    change = np.log(interest[4:] / interest[:-4])
    np.testing.assert_allclose(flows.sum(axis=0)[4:], np.abs(change), rtol=1e-9)
    assert ((flows[:, 4:] > 0).sum(axis=0) == (change != 0)).all()
    up = close[4:] > close[:-4]
    assert ((flows[0, 4:] > 0) == (up & (change > 0))).all() and ((flows[3, 4:] > 0) == (~up & (change < 0))).all()
    assert ((flows[1, 4:] > 0) == (~up & (change > 0))).all() and ((flows[2, 4:] > 0) == (up & (change < 0))).all()
    assert np.isnan(flows[:, :4]).all()


def test_a_flush_scores_far_beyond_what_is_usual_and_growth_not_at_all():
    rng = np.random.default_rng(5)
    interest = 1e4 * np.exp(np.cumsum(rng.normal(0, 0.003, 300)))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.003, 300)))
    flushed, grown = interest.copy(), interest.copy()
    flushed[-1], grown[-1] = flushed[-2] * 0.85, grown[-2] * 1.15
    close[-1] = close[-2] * 0.9
    scores = [unwinding_score(i[:, None], close[:, None], 1, 50.0, 1)[-1, 0] for i in (flushed, grown)]
    assert scores[0] < -20 and scores[1] == 0.0


def test_small_formulas_by_hand():
    years = np.array([[0.25], [0.0]])
    assert annualised_basis(np.full((2, 1), 101.0), np.full((2, 1), 100.0), years)[0, 0] == pytest.approx(
        4 * np.log(1.01)
    )
    assert np.isnan(annualised_basis(np.full((2, 1), 101.0), np.full((2, 1), 100.0), years)[1, 0])
    assert np.isnan(taker_buy_ratio(np.zeros((1, 1)), np.zeros((1, 1)), 1)[0, 0])
    assert np.isnan(trade_size(np.zeros((1, 1)), np.zeros((1, 1)), np.ones((1, 1)), 1)[0, 0])
    assert np.isnan(long_share(np.array([[-0.5]]))[0, 0])


# the funding clock


def clock_over(rate, **settings):
    rate = np.asarray(rate, float)[:, None]
    price = np.full_like(rate, 100.0)
    times = np.datetime64("2024-01-01", "ns") + np.arange(len(rate)) * HOUR
    table = BarTable(times, HOUR, ("BTC",), {"funding_rate": rate, "last_close": price * 1.0005, "spot_close": price})
    step = FundingClockStep(**settings)
    out = run_step(step, table, np.arange(len(rate) + 1))[:, 0]
    return {one.name: out[:, k] for k, one in enumerate(step.declarations)}


def test_the_funding_clock_keeps_the_contract_of_a_feature():
    hold(FundingClockStep(half_life_hours=48.0), table_of(300), 250)


def charges(*gaps):
    rate = np.full(sum(gaps) + 1, np.nan)
    rate[np.cumsum((0, *gaps))] = 1e-4
    return rate


def test_an_interval_that_shortens_is_seen_at_once_and_one_that_lengthens_at_the_second_charge():
    found = clock_over(charges(8, 8, 4, 4, 4, 8, 8))["funding_interval_hours"]
    known = [found[k] for k in np.cumsum((0, 8, 8, 4, 4, 4, 8, 8)) + 1]
    assert np.isnan(known[0]) and known[1:] == [8.0, 8.0, 4.0, 4.0, 4.0, 4.0, 8.0]


def test_one_missing_charge_is_not_a_longer_interval_and_silence_is_not_known():
    found = clock_over(charges(8, 8, 16, 8))
    assert set(found["funding_interval_hours"][10:]) == {8.0}
    silent = clock_over(np.concatenate((charges(8, 8), np.full(40, np.nan))))
    assert np.isnan(silent["funding_interval_hours"][-1]) and np.isnan(silent["funding_next_estimated"][-1])


def test_hours_to_the_next_charge_run_down_and_an_overdue_one_is_not_known():
    found = clock_over(np.concatenate((charges(8, 8), np.full(9, np.nan))))["funding_hours_to_next"]
    assert found[17:26].tolist()[:8] == [7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0] and np.isnan(found[25])


def test_the_score_is_that_of_a_plain_weighted_average():
    rng = np.random.default_rng(6)
    gaps = [8] * 60 + [4] * 60
    rate = charges(*gaps)
    due = np.flatnonzero(~np.isnan(rate))
    rate[due] = rng.normal(1e-4, 3e-4, len(due))
    found = clock_over(rate, half_life_hours=100.0)["funding_score"]
    interval = np.append(8, gaps)
    yearly, at = rate[due] * 8760.0 / interval, due[-1]
    age, hours = at - due[1:-1], interval[1:-1]
    weights = 0.5 ** (age / 100.0) * (1 - 0.5 ** (hours / 100.0))
    mean = np.average(yearly[1:-1], weights=weights)
    spread = np.sqrt(np.average((yearly[1:-1] - mean) ** 2, weights=weights))
    assert found[-1] == pytest.approx((yearly[-1] - mean) / spread, rel=1e-9)


@pytest.fixture(scope="module")
def hourly():
    """Four years of hourly bars, coins that funding is charged on eight-hourly."""
    folder = SHARED / "data" / "binance_1h"
    if not folder.exists():
        pytest.skip(f"needs {folder}")
    times = pd.date_range("2019-09-08", "2025-08-31", freq="h", tz="UTC")
    coins = ["BTC", "ETH", "XRP", "LTC", "ADA"]

    def wide(name, column, names):
        frame = pd.read_parquet(folder / f"{name}.parquet")
        frame["timestamp"] = frame["timestamp"].dt.floor("h")
        return frame.pivot(index="timestamp", columns="symbol", values=column)[names].reindex(times).to_numpy()

    mark, last = wide("mark", "close", coins), wide("perp", "close", coins)
    columns = {
        "close": np.where(np.isnan(mark), last, mark),
        "last_close": last,
        "spot_close": wide("spot", "close", [f"{coin}_USDT" for coin in coins]),
        "volume": wide("perp", "volume", coins),
        "funding_rate": wide("funding", "funding_rate", coins),
    }
    return BarTable(times.tz_localize(None).to_numpy(), HOUR, tuple(coins), columns)


def part(table, first, last):
    rows = slice(*np.searchsorted(table.times, np.array([first, last], "datetime64[ns]")))
    return BarTable(table.times[rows], table.step, table.symbols, {k: v[rows] for k, v in table.columns.items()})


@pytest.mark.parametrize(("first", "last"), [("2021-01-01", "2022-01-01"), ("2024-07-01", "2025-08-31")])
def test_real_funding_is_eight_hourly_and_its_estimate_knows_more_than_the_last_rate(hourly, first, last):
    """Not so in 2023, when the two correlate alike (0.66)."""
    table = part(hourly, first, last)
    found = run_step(FundingClockStep(), table, np.arange(len(table) + 1))
    assert np.unique(found[100:, :, 0]).tolist() == [8.0]
    rate = table.columns["funding_rate"]
    due = ~np.isnan(rate) & ~np.isnan(found[:-1, :, 4])
    before = pd.DataFrame(rate).ffill().shift().to_numpy()[due]
    assert due.sum() > 5000
    estimate = np.corrcoef(found[:-1, :, 4][due], rate[due])[0, 1]
    assert estimate > np.corrcoef(before, rate[due])[0, 1] + 0.05 and estimate > 0.75


def test_real_hourly_funding_compares_with_eight_hourly():
    path = SHARED / "data" / "cross_venue_1h" / "funding.parquet"
    if not path.exists():
        pytest.skip(f"needs {path}")
    frame = pd.read_parquet(path).query("coin == 'BTC'")
    frame["timestamp"] = frame["timestamp"].dt.floor("h")
    rates = frame.pivot_table(index="timestamp", columns="venue", values="funding_rate", aggfunc="sum").asfreq("h")
    counts = rates.notna().sum()
    intervals = {}
    for venue in rates:
        known = rates[venue].first_valid_index(), rates[venue].last_valid_index()
        found = clock_over(rates.loc[known[0] : known[1], venue].to_numpy())
        intervals[venue] = np.nanmedian(found["funding_interval_hours"])
    assert len({*intervals.values()}) >= 2, f"one interval only: {intervals}, {counts.to_dict()}"
    week = {
        venue: annualised_funding(rates[[venue]].to_numpy(), np.ones((len(rates), 1)), 168, 1.0)[:, 0]
        for venue in rates
    }
    common = np.all([~np.isnan(values) for values in week.values()], axis=0)
    means = [np.mean(values[common]) for values in week.values()]
    assert common.sum() > 500 and max(means) - min(means) < 0.1


# VPIN


def plain_vpin(price, volume, hours, buckets, buckets_a_day, half_life):
    """Volume poured in small portions into a list of buckets."""
    decay = 0.5 ** (hours / half_life)
    returns, volumes, full, inside, size = [], [], [], [], None
    for k in range(1, len(price)):
        move = np.log(price[k] / price[k - 1])
        if np.isnan(move) or np.isnan(volume[k]):
            continue
        weights = decay ** np.arange(len(returns))[::-1]
        if len(returns) * hours >= half_life:
            sigma = np.sqrt(np.average(np.square(returns), weights=weights))
            bucket = np.average(volumes, weights=weights) * 24 / hours / buckets_a_day
            size = bucket if size is None else size
            bought, left = stats.norm.cdf(move / sigma), volume[k]
            while left > 0:
                part_ = min(left, size - sum(v for v, _ in inside))
                inside.append((part_, bought))
                left -= part_
                if sum(v for v, _ in inside) < size * (1 - 1e-12):
                    break
                full.append(abs(sum(v * (2 * b - 1) for v, b in inside)) / size)
                inside, size = [], bucket
        returns.append(move)
        volumes.append(volume[k])
    return np.mean(full[-buckets:]) if len(full) >= buckets else np.nan


@pytest.mark.parametrize(("seed", "a_day"), [(0, 6.0), (1, 50.0), (2, 20.0)])
def test_vpin_is_its_plain_twin(seed, a_day):
    table = table_of(160, seed=seed)
    columns = {name: values.copy() for name, values in table.columns.items()}
    columns["last_close"][50, 0] = columns["volume"][70, 1] = np.nan
    table = BarTable(table.times, table.step, table.symbols, columns)
    found = run_step(VpinStep(12, a_day, 24.0), table, np.array([160]))[0, :, 0]
    for coin in range(3):
        expected = plain_vpin(columns["last_close"][:, coin], columns["volume"][:, coin], 1.0, 12, a_day, 24.0)
        assert found[coin] == pytest.approx(expected, rel=1e-6)


def test_vpin_keeps_the_contract_of_a_feature():
    hold(VpinStep(12, 30.0, 24.0), table_of(200), 150)


def test_vpin_rises_with_one_sided_flow_and_bears_a_huge_bar():
    table = table_of(400)
    price = table.columns["last_close"].copy()
    price[300:] = price[299] * np.exp(0.03 * np.arange(1, 101))[:, None]
    volume = table.columns["volume"].copy()
    volume[399] *= 1e9
    trend = BarTable(table.times, HOUR, COINS, {"last_close": price, "volume": volume})
    found = run_step(VpinStep(20, 24.0, 100.0), trend, np.array([299, 360, 400]))[:, :, 0]
    assert (found[1] > found[0] + 0.2).all() and (found[1] > 0.8).all() and (found <= 1).all()
    with pytest.raises(InputError, match="column buckets: must be positive"):
        VpinStep(buckets=0)


# the stress index


@dataclass(frozen=True)
class WithoutCount:
    """The stress index without its count, which few changes of data can move."""

    step: StressIndexStep

    @property
    def declarations(self):
        return tuple(one for one in self.step.declarations if one.name != "stress_components")

    def start(self, symbols):
        return self.step.start(symbols)

    def update(self, state, row):
        self.step.update(state, row)

    def read(self, state):
        return np.delete(self.step.read(state), 1, axis=1)


ALL = (*COMPONENTS, depth_component("bid_50bps", "ask_50bps"))
QUICK = {"history_hours": 200.0, "every_hours": 2.0, "least_hours": 48.0, "half_life_hours": 60.0}


def test_the_stress_index_keeps_the_contract_of_a_feature():
    hold(WithoutCount(StressIndexStep(ALL, **QUICK)), table_of(420), 380)


def test_a_component_that_falls_away_is_left_out_and_counted():
    table = table_of(420)
    columns = {name: values.copy() for name, values in table.columns.items()}
    for name in ("bid_50bps", "liquidated_long"):
        columns[name][400:] = np.nan
    step = StressIndexStep(ALL, **QUICK)
    cut = BarTable(table.times, HOUR, COINS, columns)
    found = run_step(step, cut, np.array([0, 395, 420]))[:, 0]
    names = [one.name for one in step.declarations]
    assert found[:, 1].tolist() == [0.0, 6.0, 4.0] and np.isnan(found[0, 0])
    assert {names[k] for k in np.flatnonzero(np.isnan(found[2]))} == {
        "stress_rank_liquidation_flow",
        "stress_rank_depth_thinness",
    }
    fewer = StressIndexStep(
        tuple(one for one in ALL if one.name not in ("liquidation_flow", "depth_thinness")), **QUICK
    )
    alone = run_step(fewer, table, np.array([420]))[0, 0]
    assert found[2, 0] == pytest.approx(alone[0], rel=1e-12)


def test_the_index_is_its_plain_twin():
    table = table_of(400)
    step = StressIndexStep(ALL, **QUICK)
    found = run_step(step, table, np.arange(401))[1:, 0]
    ranks = found[:, 2:]
    decay = 0.5 ** (1 / 60.0)
    for row in (300, 399):
        seen = ranks[: row + 1]
        correlation = np.eye(6)
        weights = decay ** np.arange(row, -1, -1)
        for i in range(6):
            for j in range(6):
                both = ~np.isnan(seen[:, i]) & ~np.isnan(seen[:, j])
                products = [
                    np.average((a - 0.5) * (b - 0.5), weights=w)
                    for a, b, w in (
                        (seen[both, i], seen[both, j], weights[both]),
                        *(
                            (seen[own, k], seen[own, k], weights[own])
                            for k in (i, j)
                            for own in [~np.isnan(seen[:, k])]
                        ),
                    )
                ]
                if i != j:
                    correlation[i, j] = max(products[0] / np.sqrt(products[1] * products[2]), 0)
        share = ranks[row] / 6
        assert found[row, 0] == pytest.approx(share @ correlation @ share, rel=1e-9)


def test_ranks_are_those_of_scipy():
    rng = np.random.default_rng(9)
    past, number = np.full((1, 40), np.nan), np.zeros(1, np.int64)
    kept = []
    for value in rng.integers(0, 12, 90).astype(float):
        found = rank_in_past(np.array([value]), past, number, 5, True)[0]
        if len(kept) >= 5:
            recent = np.append(kept[-40:], value)
            expected = (stats.rankdata(recent)[-1] - 0.5) / len(recent)
            assert found == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(found)
        kept.append(value)


def test_components_are_those_the_columns_allow():
    assert [one.name for one in with_columns(("close",))] == ["volatility", "correlation"]
    with pytest.raises(InputError, match="needs components of different names"):
        StressIndexStep(())


def test_mean_correlation_is_that_of_all_pairs():
    """Against the whole matrix, of returns with a known common factor."""
    rng = np.random.default_rng(10)
    returns = 0.01 * (np.sqrt(0.6) * rng.normal(size=(4000, 1)) + np.sqrt(0.4) * rng.normal(size=(4000, 6)))
    close = np.exp(np.cumsum(returns, axis=0))
    component = next(one for one in COMPONENTS if one.name == "correlation")
    memory = component.start(6)
    values = [component.take(memory, row[None], 1.0, 400.0) for row in close]
    assert np.mean(values[2000:]) == pytest.approx(np.corrcoef(returns.T)[np.triu_indices(6, 1)].mean(), abs=0.03)


def values_of(component, table):
    """The component's value after each bar."""
    memory = component.start(len(table.symbols))
    stacked = [np.stack([table.columns[name][bar] for name in component.columns]) for bar in range(len(table))]
    return np.array(
        [component.take(memory, columns, table.bar_hours, component.half_life_hours) for columns in stacked]
    )


def plain_component(name, table):
    """Each component in the words of pandas."""
    frames = {key: pd.DataFrame(values) for key, values in table.columns.items()}
    mean = lambda frame, hours: frame.ewm(halflife=hours / table.bar_hours, ignore_na=True).mean()  # noqa: E731
    if name == "volatility":
        returns = np.log(frames["close"]).diff()
        return np.sqrt(mean(returns**2, 24.0) / table.bar_hours).median(axis=1)
    if name == "funding_dispersion":
        return (8760.0 / table.bar_hours * mean(frames["funding_rate"].fillna(0.0), 24.0)).std(axis=1, ddof=0)
    if name == "open_interest_drop":
        logs = np.log(frames["open_interest"]).ffill()
        return (mean(logs, 24.0) - logs).clip(lower=0.0).median(axis=1)
    if name == "liquidation_flow":
        forced = (frames["liquidated_long"] + frames["liquidated_short"]).sum(axis=1)
        return mean(forced, 6.0) / mean((frames["volume"] * frames["last_close"]).sum(axis=1), 6.0)
    logs = np.log(frames["bid_50bps"] + frames["ask_50bps"])
    return (mean(logs, 168.0) - logs).median(axis=1)


@pytest.mark.parametrize("name", [one.name for one in ALL if one.name != "correlation"])
@pytest.mark.parametrize("hours", [1, 4])
def test_components_are_their_plain_twins(name, hours):
    table = table_of(400, hours)
    component = next(one for one in ALL if one.name == name)
    found = values_of(component, table)
    known = ~np.isnan(found)
    assert (
        known[-200:].all()
        and not known[: int(component.half_life_hours / hours) - 1].any()
        or name == "liquidation_flow"
    )
    np.testing.assert_allclose(found[known], plain_component(name, table).to_numpy()[known], rtol=1e-8, atol=1e-12)


CRISES = {
    "2020-03-12": "the crash of March 2020",
    "2021-05-19": "the sell-off of May 2021",
    "2022-06-13": "Celsius and 3AC",
    "2022-11-08": "FTX",
    "2024-08-05": "the carry trade",
}


def test_known_crises_stand_high_in_the_history_of_the_index(hourly):
    """Three components only: this data has no open interest, liquidations or depth."""
    step = StressIndexStep(with_columns(tuple(hourly.columns)))
    assert len(step.components) == 3
    found = run_step(step, hourly, np.arange(1, len(hourly) + 1))[:, 0]
    days = pd.Series(found[:, 0], index=pd.DatetimeIndex(hourly.times)).resample("1D").max()
    volatility = pd.Series(found[:, 2], index=pd.DatetimeIndex(hourly.times)).resample("1D").max()
    for day, name in CRISES.items():
        window = slice(pd.Timestamp(day), pd.Timestamp(day) + pd.Timedelta("2D"))
        peak = days[window].max()
        rank = (days < peak).sum() / days.notna().sum()
        assert rank > 0.9, f"{name}: {rank:.3f}"
        assert volatility[window].max() > 0.95, name
