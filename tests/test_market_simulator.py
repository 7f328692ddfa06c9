import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError
from margincast.training.market_simulator import SYMBOLS, simulate_market, write_market_folder
from margincast.training.market_simulator_model import MarketModel
from margincast.training.market_simulator_paths import (
    bridge_extremes,
    decay_of,
    ornstein_uhlenbeck,
    season_of,
)

BARS = ("open", "high", "low", "close")


@pytest.fixture(scope="module")
def three_years():
    return simulate_market(seed=11)


def wide(table, column):
    return table.pivot(index="timestamp", columns="symbol", values=column)


@pytest.fixture(scope="module")
def returns(three_years):
    return np.log(wide(three_years["perp"], "close")).diff().iloc[1:]


def autocorrelation(values, lag):
    centred = values - values.mean()
    return float((centred[lag:] * centred[:-lag]).mean() / (centred**2).mean())


def mean_correlation(table):
    matrix = table.corr().to_numpy()
    return float(matrix[np.triu_indices(len(matrix), 1)].mean())


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_another_seed_others(tmp_path):
    written = {}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        tables = simulate_market(seed, days=20, symbols=("BTC", "ETH"))
        written[name] = digests(write_market_folder(tables, tmp_path / name, {"seed": seed}))
    assert written["a"] == written["b"]
    assert set(written["a"]) == {f"{t}.parquet" for t in ("perp", "mark", "funding", "open_interest", "depth")} | {
        "market.json"
    }
    assert all(written["a"][name] != written["c"][name] for name in written["a"])


def test_a_symbol_does_not_depend_on_the_others():
    among = simulate_market(3, days=10, symbols=("ETH", "NEW", "BTC"))
    alone = simulate_market(3, days=10, symbols=("BTC",))
    for name, table in alone.items():
        same = among[name][among[name]["symbol"] == "BTC"].reset_index(drop=True)
        pd.testing.assert_frame_equal(same, table, check_exact=True)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**40), days=st.integers(1, 6), step=st.sampled_from(["5min", "15min", "30m", "1h", "4h", "8h"])
)
def test_bars_are_bars(seed, days, step):
    tables = simulate_market(seed, days=days, symbols=("SOL", "BTC"), step=step)
    count = 2 * days * int(pd.Timedelta("1D") / pd.Timedelta(step))
    for name in ("perp", "mark"):
        bars = tables[name]
        assert len(bars) == count
        assert (bars["low"] > 0).all() and np.isfinite(bars[list(BARS)]).all().all()
        assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
        assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        steps = bars.groupby("symbol")["timestamp"].diff().dropna()
        assert (steps == pd.Timedelta(step)).all()
    perp = tables["perp"]
    assert (perp["volume"] > 0).all()
    joined = perp["open"].to_numpy()[1:] == perp["close"].to_numpy()[:-1]
    assert joined[perp["symbol"].to_numpy()[1:] == perp["symbol"].to_numpy()[:-1]].all()
    assert len(tables["funding"]) == 2 * days * 3


def test_longer_bars_are_the_same_path():
    hourly = simulate_market(9, days=8, symbols=("BTC",), step="1h")["mark"]
    four = simulate_market(9, days=8, symbols=("BTC",), step="4h")["mark"]
    gathered = hourly.groupby(np.arange(len(hourly)) // 4).agg(
        {"open": "first", "high": "max", "low": "min", "close": "last"}
    )
    pd.testing.assert_frame_equal(gathered, four[list(BARS)], check_exact=True)


def test_returns_have_fat_tails(returns):
    kurtosis = returns.kurt()
    assert (kurtosis > 5).all(), kurtosis
    assert (returns.groupby(np.arange(len(returns)) // 24).sum().kurt() > 1).all()


def test_volatility_clusters(returns):
    for symbol in returns:
        size = returns[symbol].abs().to_numpy()
        lags = [autocorrelation(size, lag) for lag in (1, 24, 168)]
        assert lags[0] > 0.15 and lags[1] > 0.08 and lags[2] > 0.03, (symbol, lags)
        assert abs(autocorrelation(returns[symbol].to_numpy(), 1)) < 0.08


def test_correlation_rises_in_stress(returns):
    stress = returns.abs().mean(axis=1).rolling(24).mean()
    high = mean_correlation(returns[stress > stress.quantile(0.9)])
    middle = mean_correlation(returns[(stress > stress.quantile(0.4)) & (stress < stress.quantile(0.6))])
    assert 0.4 < middle < high < 0.95
    assert high - middle > 0.04


def test_correlation_rises_in_stress_without_jumps():
    # Common jumps alone would raise it: here only the factor loading can.
    def gap(loading):
        model = MarketModel(jumps_a_year=0.0, own_jumps_a_year=0.0, stress_loading=loading)
        closes = wide(simulate_market(2, days=700, symbols=SYMBOLS[:4], model=model)["perp"], "close")
        moves = np.log(closes).diff().iloc[1:]
        moves = moves / season_of((moves.index - pd.Timedelta("1h")).tz_localize(None).to_numpy())[:, None]
        stress = moves.abs().mean(axis=1).rolling(24).mean().shift(1)
        top, median = stress > stress.quantile(0.9), (stress > stress.quantile(0.4)) & (stress < stress.quantile(0.6))
        return mean_correlation(moves[top]) - mean_correlation(moves[median])

    assert gap(0.8) > 0.05
    assert abs(gap(0.0)) < 0.04


def test_falls_raise_volatility(returns):
    market = returns.mean(axis=1)
    ahead = market.abs().rolling(48).mean().shift(-48)
    behind = market.abs().rolling(48).mean().shift(1)
    both = pd.DataFrame({"r": market, "change": ahead - behind}).dropna()
    assert both["r"].corr(both["change"], method="spearman") < -0.02
    falls, rises = both["r"] < both["r"].quantile(0.02), both["r"] > both["r"].quantile(0.98)
    assert both.loc[falls, "change"].mean() > both.loc[rises, "change"].mean()


def test_mark_is_smoother_than_last_and_stays_near(three_years):
    last, mark = wide(three_years["perp"], "close"), wide(three_years["mark"], "close")
    gap = np.log(mark / last)
    assert (gap.abs() > 1e-6).mean().min() > 0.95
    assert gap.abs().max().min() > 0.005 and gap.abs().quantile(0.99).max() < 0.01
    low = wide(three_years["perp"], "low")
    wick = np.log(wide(three_years["mark"], "low") / low)
    assert wick.mean().min() > 0
    worst = np.log(low / wide(three_years["perp"], "open")).stack().nsmallest(40).index
    assert wick.stack().loc[worst].median() > 0.01  # marks do not follow the whole way down


def test_volume_follows_the_range_and_depth_thins_in_stress(three_years, returns):
    perp = three_years["perp"].assign(
        range=lambda t: np.log(t["high"] / t["low"]), notional=lambda t: t["volume"] * t["close"]
    )
    depth = three_years["depth"]
    near = depth[(depth["level_bps"] == 50) & (depth["side"] == "bid")].pivot(
        index="timestamp", columns="symbol", values="notional"
    )
    stress = returns.abs().mean(axis=1).rolling(24).mean().reindex(near.index)
    for symbol, bars in perp.groupby("symbol"):
        assert np.log(bars["range"]).corr(np.log(bars["notional"])) > 0.4
        calm = near[symbol][stress < stress.quantile(0.5)].median()
        assert near[symbol][stress > stress.quantile(0.95)].median() < 0.6 * calm


def test_depth_accumulates_and_knows_no_future(three_years):
    depth = three_years["depth"]
    grouped = depth.groupby(["symbol", "timestamp", "side"], sort=False)
    assert (grouped["level_bps"].diff().dropna() > 0).all() and (grouped["notional"].diff().dropna() > 0).all()
    bitcoin = depth[(depth["symbol"] == "BTC") & (depth["level_bps"] == 10)]
    sides = bitcoin.pivot(index="timestamp", columns="side", values="notional")
    tilt = np.log(sides["bid"] / sides["ask"]).to_numpy()
    bars = three_years["perp"][three_years["perp"]["symbol"] == "BTC"]
    # Each bar's surprise: ranks, since tails would hide the sign.
    move = pd.Series(np.log(bars["close"] / bars["open"]).to_numpy())
    assert pd.Series(tilt[1:]).corr(move[:-1].reset_index(drop=True), method="spearman") > 0.2
    assert abs(pd.Series(tilt).corr(move, method="spearman")) < 0.03


def test_open_interest_falls_in_a_crash_after_it(three_years):
    held = wide(three_years["open_interest"], "open_interest")["BTC"]
    bars = three_years["perp"][three_years["perp"]["symbol"] == "BTC"]
    move = np.log(bars["close"] / bars["open"]).to_numpy()
    crash = np.argsort(np.abs(move))[-20:]
    crash = crash[(crash > 0) & (crash < len(held) - 1)]
    change = np.log(held).diff().to_numpy()
    assert (held > 0).all()
    assert change[crash + 1].mean() < -0.02  # seen when the bar has closed
    assert abs(change[crash].mean()) < 0.02


def test_funding_is_bounded_and_mostly_at_the_interest(three_years):
    rates = three_years["funding"]
    assert rates["timestamp"].dt.hour.isin([0, 8, 16]).all()
    assert rates["funding_rate"].abs().max() <= 0.0075
    assert 0.2 < (rates["funding_rate"].round(6) == 1e-4).mean() < 0.8
    assert (rates["funding_rate"] < 0).any()


def test_bridge_maximum_has_the_known_mean():
    # E[max of a standard Brownian bridge] = sqrt(pi / 8) (Borodin and Salminen, Handbook of Brownian Motion).
    rng = np.random.default_rng(0)
    luck = rng.standard_exponential((2, 200_000))
    high, low = bridge_extremes(np.zeros(200_001), np.ones(200_000), *luck)
    assert high.mean() == pytest.approx(np.sqrt(np.pi / 8), abs=0.003)
    assert low.mean() == pytest.approx(-np.sqrt(np.pi / 8), abs=0.003)


def test_bridge_extremes_against_a_fine_walk():
    rng = np.random.default_rng(1)
    fine = rng.standard_normal((4_000, 2_000)).cumsum(axis=1) / np.sqrt(2_000)
    bridged = []
    for end in fine[:, -1]:
        high, _ = bridge_extremes(np.array([0.0, end]), np.ones(1), rng.standard_exponential(1), np.zeros(1))
        bridged.append(high[0])
    walked = np.maximum(fine.max(axis=1), 0)
    assert np.mean(bridged) == pytest.approx(walked.mean(), abs=0.05)
    assert np.quantile(bridged, 0.9) == pytest.approx(np.quantile(walked, 0.9), abs=0.12)


def test_ornstein_uhlenbeck_against_its_recursion():
    rng = np.random.default_rng(2)
    noise, state, plain = rng.standard_normal(500), 0.7, [0.7]
    decay = decay_of(30.0)
    for shock in noise:
        state = decay * state + np.sqrt(1 - decay**2) * shock
        plain.append(state)
    np.testing.assert_allclose(ornstein_uhlenbeck(0.7, noise, 30.0), plain, rtol=1e-12)


def test_season_has_mean_square_one_over_a_week():
    week = np.arange("2024-03-04", "2024-03-11", dtype="datetime64[h]").astype("datetime64[ns]")
    assert np.mean(season_of(week) ** 2) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("plan", "column"),
    [
        ({"days": 0}, "days"),
        ({"seed": -1}, "seed"),
        ({"symbols": ()}, "symbols"),
        ({"symbols": ("BTC", "BTC")}, "symbols"),
        ({"symbols": (" ",)}, "symbol"),
        ({"step": "7min"}, "step"),
        ({"step": "3h"}, "step"),
        ({"step": "-1h"}, "step"),
        ({"step": "soon"}, "step"),
        ({"start": "yesterday"}, "start"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(plan, column):
    with pytest.raises(InputError, match=column):
        simulate_market(**{"seed": 1, "days": 1, **plan})


def test_the_folder_is_read_back_as_simulated(tmp_path):
    tables = simulate_market(4, days=12, symbols=("BTC", "ETH", "LTC"))
    folder = write_market_folder(tables, tmp_path / "deep" / "market", {"seed": 4, "simulated": False})
    said = json.loads((folder / "market.json").read_text())
    assert said["simulated"] is True and said["seed"] == 4 and said["model"]
    data = read_market_folder(folder)
    assert data.simulated and data.symbols == ("BTC", "ETH", "LTC")
    assert np.array_equal(data.trade["low"], wide(tables["perp"], "low").to_numpy())
    assert np.array_equal(data.mark("high"), wide(tables["mark"], "high").to_numpy())
    assert data.depth is not None and len(data.depth) == len(tables["depth"])
    assert all(symbol.gaps == 0 and symbol.bad_bars == 0 for table in data.report.tables for symbol in table.symbols)


def test_an_earlier_simulation_is_replaced_nothing_else_is(tmp_path):
    small = simulate_market(1, days=1, symbols=("BTC",))
    target = tmp_path / "market"
    target.mkdir()
    write_market_folder(small, target, {"seed": 1})
    (target / "extra.csv").write_text("x")
    write_market_folder({"perp": small["perp"]}, target, {"seed": 2})
    assert sorted(path.name for path in target.iterdir()) == ["market.json", "perp.parquet"]
    for content in (None, "{}", "not json", "[]"):
        mine = tmp_path / "mine"
        mine.mkdir(exist_ok=True)
        (mine / "perp.parquet").write_text("precious")
        if content is not None:
            (mine / "market.json").write_text(content)
        with pytest.raises(InputError, match="not overwritten"):
            write_market_folder(small, mine, {})
        assert (mine / "perp.parquet").read_text() == "precious"
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        write_market_folder(small, tmp_path / "file", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "market", "mine"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    small = simulate_market(1, days=1, symbols=("BTC",))
    write_market_folder(small, tmp_path / "market", {"seed": 1})
    before = digests(tmp_path / "market")
    calls = []

    def full(self, path, **options):
        Path(path).write_bytes(b"half")
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_market_folder(small, tmp_path / "market", {"seed": 2})
    assert digests(tmp_path / "market") == before
    assert [path.name for path in tmp_path.iterdir()] == ["market"]
