"""Each estimator against a twin in pandas written from its formula, and against processes whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features import clock, momentum
from margincast.features.correlation import ewma as correlation
from margincast.features.engine import operations as rolling
from margincast.features.flow import carry
from margincast.features.liquidity import bar_proxies as depth
from margincast.features.liquidity import book_depth as order_book
from margincast.features.volatility import estimators as volatility
from margincast.features.volatility.season_ahead import season_ahead

ROWS, COINS = 400, 3


@pytest.fixture(scope="module")
def bars():
    rng = np.random.default_rng(7)
    close = 100.0 * np.exp(np.cumsum(rng.standard_t(4, (ROWS, COINS)) * 0.01, axis=0))
    open_ = np.vstack([close[:1], close[:-1]])
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.004, close.shape)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.004, close.shape)))
    volume = np.exp(rng.normal(3, 1, close.shape))
    out = {"open": open_, "high": high, "low": low, "close": close, "volume": volume}
    for values in out.values():
        values[150:153, 1] = np.nan
        values[:40, 2] = np.nan
    return out


@pytest.fixture(scope="module")
def returns(bars):
    return volatility.log_returns(bars["close"])


def frame(values):
    return pd.DataFrame(values)


def same(found, expected, **tolerance):
    np.testing.assert_allclose(
        found, np.asarray(expected), equal_nan=True, **({"rtol": 1e-9, "atol": 1e-14} | tolerance)
    )


def root_mean(squares, window):
    return np.sqrt(squares.rolling(window).mean().clip(lower=0))


# --- windows ----------------------------------------------------------------------------------------------------------

numbers = st.one_of(st.floats(-1e3, 1e3), st.just(np.nan))


@settings(max_examples=150, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=40), window=st.integers(1, 12))
def test_windows_hold_their_rows_and_no_other(values, window):
    column = np.array(values)[:, None]
    for operation, plain in ((np.add, np.sum), (np.maximum, np.max), (np.minimum, np.min)):
        expected = [plain(column[k - window + 1 : k + 1, 0]) if k >= window - 1 else np.nan for k in range(len(values))]
        same(rolling.rolling(column, window, operation)[:, 0], expected, atol=1e-9)


def test_a_window_forgets_a_crash_entirely():
    values = np.full((300, 1), 1e-9)
    values[50] = 1e9
    assert rolling.rolling(values, 24)[-1, 0] == pytest.approx(24e-9, rel=1e-12)


@pytest.mark.parametrize("half_life", [1.0, 2.5, 24.0])
def test_ewma_is_that_of_pandas_and_starts_anew_after_a_gap(returns, half_life):
    squares = returns**2
    found = rolling.ewma(squares, half_life)
    least = int(np.ceil(half_life))
    for column, first, last in ((0, 1, ROWS), (1, 1, 150), (1, 154, ROWS), (2, 41, ROWS)):
        piece = pd.Series(squares[first:last, column])
        same(found[first:last, column], piece.ewm(halflife=half_life, min_periods=least).mean())
    assert np.isnan(found[150:154, 1]).all() and np.isnan(found[:41, 2]).all()


@settings(max_examples=100, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=30), age=st.integers(1, 8))
def test_last_known_is_the_forward_fill_of_pandas(values, age):
    column = pd.Series(values)
    expected = column.ffill(limit=age - 1) if age > 1 else column
    np.testing.assert_array_equal(rolling.last_known(column.to_numpy()[:, None], age)[:, 0], expected.to_numpy())


# --- volatility -------------------------------------------------------------------------------------------------------


def test_log_returns(bars, returns):
    same(returns, np.log(frame(bars["close"])).diff())


@pytest.mark.parametrize("window", [2, 24, 100])
def test_realised_parkinson_and_garman_klass(bars, returns, window):
    opened, high, low, close = (frame(bars[c]) for c in ("open", "high", "low", "close"))
    same(volatility.realised_volatility(returns, window), root_mean(frame(returns) ** 2, window))
    span = np.log(high / low) ** 2
    same(volatility.parkinson(bars["high"], bars["low"], window), root_mean(span / (4 * np.log(2)), window))
    klass = 0.5 * span - (2 * np.log(2) - 1) * np.log(close / opened) ** 2
    found = volatility.garman_klass(bars["open"], bars["high"], bars["low"], bars["close"], window)
    same(found, root_mean(klass, window))


def test_garman_klass_of_bars_that_cannot_be_is_unknown():
    one, two = np.full((1, 1), 1.0), np.full((1, 1), 2.0)
    assert np.isnan(volatility.garman_klass(two * 5, two, one, one, 1)).all()


def test_estimators_find_the_volatility_of_a_random_walk():
    rng = np.random.default_rng(11)
    steps, count, sigma = 1500, 3000, 0.02
    path = np.cumsum(rng.normal(0, sigma / np.sqrt(steps), (count, steps)), axis=1)
    high, low, close = np.maximum(path.max(1), 0), np.minimum(path.min(1), 0), path[:, -1]
    opened, high, low, close = (np.exp(x)[:, None] for x in (0 * close, high, low, close))
    assert volatility.parkinson(high, low, count)[-1, 0] == pytest.approx(sigma, rel=0.04)
    assert volatility.garman_klass(opened, high, low, close, count)[-1, 0] == pytest.approx(sigma, rel=0.04)
    assert volatility.realised_volatility(np.log(close), count)[-1, 0] == pytest.approx(sigma, rel=0.04)


def test_semivariances_add_up_to_the_realised_variance(returns):
    down, up = volatility.semivariances(returns, 24)
    same(down + up, (frame(returns) ** 2).rolling(24).mean())
    falls = (frame(returns).where(frame(returns) < 0, 0.0) ** 2).where(frame(returns).notna())
    same(down, falls.rolling(24).mean())


def test_jump_share(returns):
    sizes = frame(np.abs(returns))
    bipower = (np.pi / 2 * sizes * sizes.shift()).rolling(24).mean()
    expected = (1 - bipower / (frame(returns) ** 2).rolling(24).mean()).clip(lower=0)
    same(volatility.jump_share(returns, 24), expected)


def test_jump_share_tells_a_jump_from_a_diffusion():
    rng = np.random.default_rng(5)
    calm = rng.normal(0, 0.01, (20_000, 1))
    jumpy = calm.copy()
    jumpy[::500] += 0.2
    shares = [volatility.jump_share(x, len(x) - 1)[-1, 0] for x in (calm, jumpy)]
    variance, jumps = 1e-4, 0.2**2 / 500
    assert shares[0] < 0.03
    assert shares[1] == pytest.approx(jumps / (variance + jumps), abs=0.07)


def test_volatility_of_volatility(returns):
    logs = frame(np.log(np.abs(returns) + 0.01))
    same(volatility.volatility_of_volatility(logs.to_numpy(), 24), root_mean(logs.diff() ** 2, 24))


def test_bars_of_another_length_tell_the_same_hourly_volatility():
    quarter = np.full((1, 1), 0.01)
    assert volatility.log_per_hour(quarter, 0.25)[0, 0] == pytest.approx(np.log(0.02))
    assert volatility.log_per_hour(2 * quarter, 1.0)[0, 0] == pytest.approx(np.log(0.02))


# --- momentum, season, stress -----------------------------------------------------------------------------------------


def test_momentum(bars, returns):
    high, low, close = (frame(bars[c]) for c in ("high", "low", "close"))
    same(momentum.move(returns, 24), frame(returns).rolling(24).sum(), atol=1e-12)
    same(momentum.drawdown(bars["high"], bars["close"], 50), np.log(close / high.rolling(50).max()))
    same(momentum.rise(bars["low"], bars["close"], 50), np.log(close / low.rolling(50).min()))


def test_season_ahead_against_a_loop():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(60, 2))
    values[13, 0] = np.nan
    found = season_ahead(values, 3, 8, 4)
    for i in range(61):
        for column in range(2):
            places = [i - 8 * j + h for j in range(1, 5) if i - 8 * j >= 0 for h in range(3)]
            known = [values[p, column] for p in places if not np.isnan(values[p, column])]
            assert found[i, column] == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)


def test_the_clock_has_no_seam():
    times = pd.date_range("2024-01-01", periods=14 * 24, freq="h").to_numpy()
    angles = clock.clock(times)
    for unit, period in (("hour", 24), ("week", 168)):
        sine, cosine = angles[f"{unit}_sin"], angles[f"{unit}_cos"]
        same(sine**2 + cosine**2, np.ones(len(times)))
        same(sine[period:], sine[:-period])
        same(np.hypot(np.diff(sine), np.diff(cosine)), np.full(len(times) - 1, 2 * np.sin(np.pi / period)))


def test_median_coin_is_that_of_the_known_coins(returns):
    found = rolling.market_median(returns)[:, 0]
    same(found, frame(returns).median(axis=1))
    assert np.isnan(found[0])


# --- correlation ------------------------------------------------------------------------------------------------------


def test_covariance_and_correlation_are_those_of_pandas(returns):
    at = np.array([30, 60, 149, 170, 250, ROWS - 1])
    covariance = correlation.ewma_covariance(returns, 20.0, at)
    found = correlation.ewma_correlation(returns, 20.0, at)
    for i, j in ((0, 0), (0, 1), (1, 2), (2, 0)):
        pair = frame(returns)[[i, j]]
        known = pair.notna().all(axis=1)
        for place, row in enumerate(at):
            gap = np.flatnonzero(~known.to_numpy()[: row + 1])
            piece = pair.iloc[gap.max() + 1 : row + 1]
            a, b = (piece.iloc[:, k].reset_index(drop=True) for k in (0, 1))
            if len(piece) < 20:
                assert np.isnan(covariance[place, i, j])
                continue
            mean = {k: v.ewm(halflife=20).mean().iloc[-1] for k, v in (("ab", a * b), ("aa", a * a), ("bb", b * b))}
            assert covariance[place, i, j] == pytest.approx(mean["ab"])
            assert found[place, i, j] == pytest.approx(mean["ab"] / np.sqrt(mean["aa"] * mean["bb"]))


def test_correlation_finds_that_of_the_process():
    rng = np.random.default_rng(3)
    common, own = rng.normal(size=(40_000, 1)), rng.normal(size=(40_000, 4))
    returns = np.sqrt(0.6) * common + np.sqrt(0.4) * own
    found = correlation.ewma_correlation(returns, 10_000.0, np.array([39_999]))
    assert correlation.average_correlation(found)[0] == pytest.approx(0.6, abs=0.02)
    assert correlation.largest_eigenvalue_share(found)[0] == pytest.approx((1 + 3 * 0.6) / 4, abs=0.02)


def test_coins_that_are_not_listed_are_left_out_of_the_market():
    matrix = np.full((1, 4, 4), np.nan)
    matrix[0][np.ix_([0, 2, 3], [0, 2, 3])] = [[1, 0.2, 0.4], [0.2, 1, 0.6], [0.4, 0.6, 1]]
    inner = matrix[0][np.ix_([0, 2, 3], [0, 2, 3])]
    same(correlation.largest_eigenvalue_share(matrix), [np.linalg.eigvalsh(inner).max() / 3])
    same(correlation.average_correlation(matrix), [0.4])
    alone = np.full((1, 2, 2), np.nan)
    alone[0, 0, 0] = 1.0
    assert np.isnan(correlation.largest_eigenvalue_share(alone)) and np.isnan(correlation.average_correlation(alone))


def test_a_price_that_stands_still_has_no_correlation():
    returns = np.column_stack([np.zeros(50), np.random.default_rng(1).normal(size=50)])
    found = correlation.ewma_correlation(returns, 5.0, np.array([49]))[0]
    assert np.isnan(found[0]).all() and found[1, 1] == 1.0


# --- depth, carry -----------------------------------------------------------------------------------------------------


def test_amihud_and_shares(bars, returns):
    traded = bars["volume"] * bars["close"]
    same(depth.amihud(returns, traded, 24), (frame(np.abs(returns)) / frame(traded)).rolling(24).mean(), rtol=1e-8)
    own = frame(traded).rolling(24).sum()
    same(depth.market_share(traded, 24), own.div(own.sum(axis=1), axis=0))
    ratio = np.log(frame(traded).rolling(24).mean() / frame(traded).rolling(100).mean())
    same(depth.activity_ratio(traded, 24, 100), ratio, atol=1e-12)


def test_nothing_traded_is_unknown_not_infinite():
    none = np.zeros((3, 1))
    assert np.isnan(depth.amihud(none, none, 2)).all()
    assert np.isnan(depth.market_share(none, 2)).all()
    assert np.isnan(depth.activity_ratio(none, 1, 2)).all()


def test_corwin_schultz(bars):
    high, low = frame(bars["high"]), frame(bars["low"])
    single = np.log(high / low) ** 2
    beta = single + single.shift()
    gamma = np.log(high.rolling(2).max() / low.rolling(2).min()) ** 2
    root = 3 - 2 * np.sqrt(2)
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / root - np.sqrt(gamma / root)
    spread = (2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha))).clip(lower=0)
    same(depth.corwin_schultz(bars["high"], bars["low"], 24), spread.rolling(24).mean())


def test_funding_charged():
    rate = pd.Series([np.nan, 0.1, np.nan, np.nan, 0.2, np.nan, np.nan, np.nan, np.nan])
    close = np.ones((9, 1))
    found = carry.funding_charged(rate.to_numpy()[:, None], close, 3)[:, 0]
    same(found, [np.nan, np.nan, 0.1, 0.1, 0.2, 0.2, 0.2, np.nan, np.nan])
    close[3] = np.nan
    found = carry.funding_charged(rate.to_numpy()[:, None], close, 3)[:, 0]
    same(found, [np.nan, np.nan, 0.1, np.nan, np.nan, np.nan, 0.2, np.nan, np.nan])


def test_basis_and_open_interest(bars):
    last, mark = frame(bars["close"]), frame(bars["close"] * 1.001)
    same(carry.mean_basis(bars["close"], mark.to_numpy(), 5), np.log(last / mark).rolling(5).mean(), atol=1e-12)
    interest = frame(bars["volume"])
    expected = np.log(interest.ffill(limit=1)).diff(24)
    same(carry.open_interest_change(bars["volume"], 24, 2), expected, atol=1e-12)


def test_order_book_keeps_the_last_snapshot_of_each_bar():
    rows = [
        ("00:05", "BTC", "bid", 10.0, 4.0),
        ("00:05", "BTC", "ask", 10.0, 4.0),
        ("00:05", "BTC", "bid", 50.0, 4.0),
        ("00:55", "BTC", "bid", 10.0, 12.0),
        ("00:55", "BTC", "ask", 10.0, 4.0),
        ("01:00", "BTC", "ask", 10.0, 7.0),
        ("01:10", "ETH", "bid", 50.0, 0.0),
        ("01:10", "ETH", "ask", 50.0, 0.0),
        ("02:00", "BTC", "bid", 10.0, 9.0),
        ("01:10", "XRP", "bid", 10.0, 9.0),
    ]
    table = pd.DataFrame(rows, columns=["timestamp", "symbol", "side", "level_bps", "notional"])
    table["timestamp"] = pd.to_datetime("2024-01-01T" + table["timestamp"] + "Z")
    times = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[ns]")
    book = order_book.book_depth(table, times, np.timedelta64(1, "h"), ("BTC", "ETH"))
    assert book.levels.tolist() == [10.0, 50.0]
    same(book.resting()[:, :, 0], [[16.0, np.nan], [np.nan, np.nan]])
    same(book.imbalance()[:, :, 0], [[0.5, np.nan], [np.nan, np.nan]])
    assert np.isnan(book.bid[0, 0, 1]), "the last snapshot lacks this level"
    assert np.isnan(book.imbalance()[1, 1, 1])


def test_order_book_never_joins_sides_of_different_instants():
    """Against a loop over bars and symbols, on snapshots that lack sides and levels now and then."""
    rng = np.random.default_rng(5)
    rows = [
        (pd.Timestamp("2024-01-01", tz="UTC") + pd.Timedelta(seconds=int(second)), symbol, side, level, rng.random())
        for second in np.sort(rng.choice(4 * 3600, 60, replace=False))
        for symbol in ("BTC", "ETH")
        for side in ("bid", "ask")
        for level in (10.0, 50.0)
        if rng.random() < 0.6
    ]
    table = pd.DataFrame(rows, columns=["timestamp", "symbol", "side", "level_bps", "notional"])
    times = np.arange("2024-01-01T00", "2024-01-01T04", dtype="datetime64[h]").astype("datetime64[ns]")
    book = order_book.book_depth(table, times, np.timedelta64(1, "h"), ("ETH", "BTC"))
    expected = np.full((2, 4, 2, 2), np.nan)
    for (bar, symbol), group in table.groupby([table["timestamp"].dt.hour, "symbol"]):
        for row in group[group["timestamp"] == group["timestamp"].max()].itertuples():
            place = (row.side == "ask", bar, symbol == "BTC", row.level_bps == 50.0)
            expected[tuple(int(one) for one in place)] = row.notional
    same(book.bid, expected[0])
    same(book.ask, expected[1])
    assert np.isnan(expected).any() and not np.isnan(expected).all()
