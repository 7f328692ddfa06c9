"""The scikit-learn face: what the panel says, in pipelines and data frames, whatever the order of rows."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

from margincast.features.engine.bars import BarTable
from margincast.features.panel import panel_features
from margincast.features.transformer import FeatureTransformer
from margincast.riskcore.errors import InputError

NAMES = ["log_ewma_24h", "return_24h", "market_return_4h"]


@pytest.fixture(scope="module")
def bars():
    rng = np.random.default_rng(3)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0, 0.01, (200, 2)), axis=0))
    frames = []
    for place, symbol in enumerate(("BTC", "ETH")):
        own = close[:, place]
        opened = np.append(100.0, own[:-1])
        prices = {"open": opened, "high": np.maximum(own, opened) * 1.001, "low": np.minimum(own, opened) / 1.001}
        times = pd.date_range("2024-01-01", periods=200, freq="h", tz="UTC")
        frames.append(pd.DataFrame({"timestamp": times, "symbol": symbol, **prices, "close": own, "volume": 1.0}))
    return pd.concat(frames, ignore_index=True)


def test_rows_say_what_the_panel_says_in_any_order(bars):
    wide = {name: bars.pivot(index="timestamp", columns="symbol", values=name).to_numpy() for name in bars.columns[2:]}
    columns = wide | {f"last_{name}": wide[name] for name in ("open", "high", "low", "close")}
    times = bars["timestamp"].unique().tz_localize(None).to_numpy("datetime64[ns]")
    table = BarTable(times, np.timedelta64(1, "h"), ("BTC", "ETH"), columns)
    frame = panel_features(table).batch(table)
    shuffled = bars.sample(frac=1.0, random_state=1)
    found = FeatureTransformer(names=NAMES).fit_transform(shuffled)
    for place, name in enumerate(NAMES):
        said = frame.column(name)
        expected = [
            said[times.searchsorted(t.to_datetime64()), int(s == "ETH")]
            for t, s in zip(shuffled["timestamp"].dt.tz_localize(None), shuffled["symbol"], strict=True)
        ]
        np.testing.assert_array_equal(found[:, place], expected)


def test_it_stands_in_a_pipeline_and_gives_a_frame(bars):
    transformer = clone(FeatureTransformer(names=NAMES)).set_output(transform="pandas")
    found = transformer.fit_transform(bars)
    assert list(found.columns) == NAMES and found.index.equals(bars.index)
    late = bars.groupby("symbol").cumcount() >= 50
    target = np.arange(len(bars), dtype=float)
    model = make_pipeline(FeatureTransformer(names=NAMES[:1]), Late(late.to_numpy()))
    assert model.fit(bars, target).predict(bars).shape == (late.sum(),)


class Late(LinearRegression):
    """A regression over the rows whose features are known."""

    def __init__(self, rows=None):
        super().__init__()
        self.rows = rows

    def fit(self, X, y):
        return super().fit(X[self.rows], y[self.rows])

    def predict(self, X):
        return super().predict(X[self.rows])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b.drop(columns="symbol"), "column symbol: is missing"),
        (lambda b: b.assign(timestamp=b["timestamp"].dt.tz_localize(None)), "timestamps need a time zone"),
        (lambda b: pd.concat([b, b.iloc[:1]]), "row 400, column timestamp: timestamp and symbol stand there twice"),
        (lambda b: b.iloc[:0], "needs rows"),
        (
            lambda b: b.assign(timestamp=b["timestamp"].where(b.index != 7, b["timestamp"][7] + pd.Timedelta("31m"))),
            "row 7, column timestamp: bars are not equally spaced",
        ),
        (
            lambda b: b.assign(timestamp=b["timestamp"].where(b.index != 7, b["timestamp"][7] + pd.Timedelta("1ns"))),
            "row 7, column timestamp: bars are not equally spaced",
        ),
        (lambda b: b.assign(symbol=b["symbol"].where(b.index != 0)), "row 0, column symbol: is missing"),
        (lambda b: b.assign(timestamp=b["timestamp"].where(b.index != 3)), "row 3, column timestamp: is missing"),
        (lambda b: b.groupby("symbol").head(1), "column timestamp: needs two instants"),
        (lambda b: b.assign(venue="x"), "column venue: must be numbers .found 'x'"),
        (lambda b: b.assign(volume=b["volume"].where(b.index != 3, np.inf)), "row 3, column volume: must be finite"),
        (lambda b: b.assign(low=b["low"].where(b.index != 3, 0.0)), "row 3, column low: price must be positive"),
    ],
)
def test_bars_that_cannot_be_are_refused(bars, spoil, message):
    with pytest.raises(InputError, match=message):
        FeatureTransformer().fit(spoil(bars))


def test_transform_needs_what_fit_saw(bars):
    fitted = FeatureTransformer().fit(bars)
    with pytest.raises(InputError, match="column volume: was there at fit and is missing now"):
        fitted.transform(bars.drop(columns="volume"))
    with pytest.raises(InputError, match="bars are 2 h long, at fit they were 1 h"):
        fitted.transform(bars[bars["timestamp"].dt.hour % 2 == 0])
    with pytest.raises(InputError, match="is not a feature of these bars"):
        FeatureTransformer(names=["nonsense"]).fit(bars)


def test_last_prices_that_were_there_at_fit_are_not_replaced_by_marks(bars):
    own = bars.assign(**{f"last_{name}": bars[name] * 1.01 for name in ("open", "high", "low", "close")})
    with pytest.raises(InputError, match="column last_open: was there at fit and is missing now"):
        FeatureTransformer().fit(own).transform(bars)
    fitted = FeatureTransformer(names=["log_amihud_24h"]).fit(bars)
    np.testing.assert_array_equal(fitted.transform(own), fitted.transform(bars))


def test_one_bar_alone_is_a_bar_of_the_length_seen_at_fit(bars):
    short = bars.assign(timestamp=bars["timestamp"].min() + (bars["timestamp"] - bars["timestamp"].min()) / 12)
    fitted = FeatureTransformer(names=["log_parkinson_last", "return_24h"]).fit(short)
    alone, among = fitted.transform(short.iloc[:1]), fitted.transform(short)
    assert alone[0, 0] == among[0, 0] and np.isnan(alone[0, 1])


def test_an_instant_is_the_same_in_any_time_zone(bars):
    tokyo = bars.assign(timestamp=bars["timestamp"].dt.tz_convert("Asia/Tokyo"))
    names = [*NAMES, "hour_sin", "season_week_24h"]
    here, there = (FeatureTransformer(names=names).fit_transform(frame) for frame in (bars, tokyo))
    np.testing.assert_array_equal(here, there)


def test_it_goes_through_pickle(bars):
    fitted = FeatureTransformer(names=NAMES).fit(bars)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(bars), fitted.transform(bars))
