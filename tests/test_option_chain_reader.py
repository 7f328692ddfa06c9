"""Reading option chains: tables, replies of Deribit and ccxt, and every way in which they can be wrong."""

import json

import numpy as np
import pandas as pd
import pytest
from option_chain_cases import NOW, rows_of, smile_of

from margincast.features.options.implied import implied_surface
from margincast.features.readers.option_chain import chain_history, read_option_chains
from margincast.features.readers.option_chain_replies import ccxt_chains, deribit_chains
from margincast.riskcore.errors import InputError

NAMES = {"bid": "bid_price", "ask": "ask_price", "mark": "mark_price", "forward": "futures_price"}
RECEIVED = np.datetime64("2024-03-22T09:59:55", "ns")

# As in Deribit's documentation of public/get_book_summary_by_currency (fields and example values).
SUMMARY = {
    "mid_price": 0.4075, "volume_usd": 2836.83, "quote_currency": "BTC", "estimated_delivery_price": 65479.26,
    "creation_timestamp": 1711101594477, "base_currency": "BTC", "underlying_index": "BTC-28JUN24",
    "underlying_price": 68827.27, "volume": 0.1, "interest_rate": 0.0, "price_change": 0.0, "open_interest": 364.1,
    "ask_price": 0.411, "bid_price": 0.404, "instrument_name": "BTC-28JUN24-42000-C", "mark_price": 0.40752052,
    "last": 0.423, "low": 0.423, "high": 0.423, "mark_iv": 62.5,
}  # fmt: skip
# The fields public/ticker gives for an option.
TICKER = {
    "timestamp": 1711101594000, "stats": {"volume": 12.5, "high": 0.1, "low": 0.1}, "state": "open",
    "settlement_price": 0.02, "open_interest": 52.0, "min_price": 0.0001, "max_price": 0.1, "mark_price": 0.02,
    "mark_iv": 66.0, "last_price": 0.02, "interest_rate": 0.0, "instrument_name": "BTC-28JUN24-50000-P",
    "index_price": 65479.26, "greeks": {"vega": 100.0, "theta": -20.0, "rho": -5.0, "gamma": 0.00001, "delta": -0.1},
    "estimated_delivery_price": 65479.26, "bid_iv": 65.0, "best_bid_price": 0.0195, "best_bid_amount": 5.0,
    "best_ask_price": 0.0, "best_ask_amount": 0.0, "ask_iv": 0.0, "underlying_price": 68827.27,
    "underlying_index": "BTC-28JUN24",
}  # fmt: skip


def table(days=(7, 30), strikes=5, currency="BTC", time=NOW, **options):
    rows = rows_of(smile_of(0.6), days=days, strikes=strikes, **options)
    frame = pd.DataFrame({NAMES.get(name, name): values for name, values in rows.items() if name != "right"})
    stamp = pd.Timestamp(time).tz_localize("UTC")
    return frame.assign(
        timestamp=stamp,
        currency=currency,
        option_type=np.where(rows["right"] > 0, "call", "put"),
        expiry=pd.DatetimeIndex(rows["expiry"]).tz_localize("UTC"),
    )


def history_table():
    later = NOW + np.timedelta64(6, "h")
    return pd.concat([table(), table(currency="ETH"), table(time=later), table(currency="ETH", time=later)])


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_file_gives_a_chain_for_each_instant_and_underlying(tmp_path, suffix):
    path, frame = tmp_path / f"chains{suffix}", history_table()
    frame.to_parquet(path) if suffix == ".parquet" else frame.to_csv(path, index=False)
    history = read_option_chains(path, known_after=np.timedelta64(5, "m"))
    chains = list(history)
    assert len(history) == len(chains) == 4
    assert [chain.underlying for chain in chains] == ["BTC", "ETH", "BTC", "ETH"]
    assert [chain.time for chain in chains] == [NOW, NOW, NOW + np.timedelta64(6, "h"), NOW + np.timedelta64(6, "h")]
    assert all(chain.known - chain.time == np.timedelta64(5, "m") for chain in chains)
    for name, column in NAMES.items():
        np.testing.assert_array_equal(getattr(chains[0], name), frame[column].to_numpy()[:20])
    assert np.isnan(chains[0].open_interest).all() and np.isnat(chains[0].quoted).all()


def test_rows_of_an_instant_may_stand_in_any_order():
    frame = table()
    mixed = frame.sample(frac=1.0, random_state=3).reset_index(drop=True)
    one, other = chain_history(frame, "a")[0], chain_history(mixed, "b")[0]
    np.testing.assert_array_equal(one.mark, other.mark)
    np.testing.assert_array_equal(one.strike, other.strike)


def test_quotes_in_quote_units_have_the_same_volatilities():
    coin, quote = (chain_history(table(unit=unit), "x", unit)[0] for unit in ("coin", "quote"))
    first, second = implied_surface(coin), implied_surface(quote)
    np.testing.assert_allclose(first.mark[first.sound], second.mark[first.sound], rtol=1e-9)


def put(row, column, value):
    def change(frame):
        frame = frame.reset_index(drop=True)
        frame[column] = frame[column].astype(object)
        frame.loc[row, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.drop(columns="strike"), "x, column strike: is missing; a table of options needs timestamp"),
        (lambda f: f.drop(columns=["bid_price", "ask_price", "mark_price"]), "x: a table of options needs one of"),
        (lambda f: f.iloc[:0], "x: the table has no rows"),
        (put(3, "strike", -5.0), "x, row 3, column strike: price must be positive and finite"),
        (put(3, "strike", None), "x, row 3, column strike: is missing"),
        (put(2, "bid_price", -0.1), "x, row 2, column bid_price: must be a finite number, zero or more"),
        (put(2, "mark_price", "cheap"), r"x, row 2, column mark_price: must be a number \(found 'cheap'\)"),
        (put(2, "mark_price", np.inf), "x, row 2, column mark_price: must be a finite number"),
        (put(4, "option_type", "C"), r"x, row 4, column option_type: must be call or put \(found 'C'\)"),
        (put(1, "currency", " "), "x, row 1, column currency: must not be empty"),
        (put(0, "futures_price", 0.0), "x, row 0, column futures_price: price must be positive"),
        (
            lambda f: f.assign(implied_volatility=60.0),
            "column implied_volatility: must be a volatility per year as a f",
        ),
        (lambda f: f.assign(open_interest=-1.0), "column open_interest: must be a finite number"),
        (lambda f: f.assign(expiry="2024-02-01T08:00"), "x, row 0, column expiry: has no time zone"),
        (lambda f: f.assign(expiry=f["expiry"].dt.tz_localize(None)), "x, row 0, column expiry: has no time zone"),
        (lambda f: f.assign(timestamp=1711101594477), "x, row 0, column timestamp: must be a date and time"),
        (lambda f: f.assign(timestamp="yesterday"), "x, row 0, column timestamp: is not an ISO 8601"),
        (put(6, "timestamp", None), "x, row 6, column timestamp: is missing"),
        (put(7, "timestamp", pd.Timestamp("2024-01-01T11:00Z")), "x, row 7, column timestamp: timestamps of an underl"),
        (
            lambda f: f.assign(mark_price=f["mark_price"] * 5e4),
            "column mark_price: a call cannot be worth more than one",
        ),
    ],
)
def test_tables_that_cannot_be_used_are_refused_with_the_place(change, problem):
    with pytest.raises(InputError, match=problem):
        chain_history(change(table()), "x")


def test_files_that_cannot_be_read_are_refused(tmp_path):
    path = tmp_path / "chains.parquet"
    with pytest.raises(InputError, match=r"chains.parquet: cannot be read: No such file"):
        read_option_chains(path)
    table().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"chains.parquet: is not a whole parquet file"):
        read_option_chains(path)
    other = tmp_path / "chains.xlsx"
    other.write_bytes(b"")
    with pytest.raises(InputError, match=r"must be a .parquet or .csv file"):
        read_option_chains(other)
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty.csv: is not a whole csv file"):
        read_option_chains(tmp_path / "empty.csv")
    with pytest.raises(InputError, match="column unit: must be coin or quote"):
        chain_history(table(), "x", "lots")


def test_an_option_that_stands_there_twice_is_counted_or_located():
    frame = pd.concat([table(), table().iloc[4:6]], ignore_index=True)
    assert chain_history(frame, "x")[0].duplicates == 2
    frame.loc[21, "bid_price"] *= 0.5
    with pytest.raises(InputError, match="x, row 21, column strike: option stands there twice with different quotes"):
        chain_history(frame, "x")[0]


def test_a_history_is_asked_by_number():
    with pytest.raises(IndexError, match="there are 4 chains"):
        chain_history(history_table().reset_index(drop=True), "x")[4]


def test_old_quotes_are_stale_by_their_own_time():
    frame = table().assign(quote_timestamp=pd.Timestamp("2024-01-01T11:59Z"))
    frame.loc[2, "quote_timestamp"] = pd.Timestamp("2024-01-01T11:00Z")
    frame.loc[3, "quote_timestamp"] = pd.NaT
    surface = implied_surface(chain_history(frame, "x")[0])
    assert np.flatnonzero(surface.flags["stale"]).tolist() == [2]


def test_book_summaries_of_deribit():
    put_of = SUMMARY | {
        "instrument_name": "BTC-28JUN24-42000-P",
        "bid_price": None,
        "mark_price": 0.018,
        "mark_iv": 0.0,
    }
    reply = json.loads(json.dumps({"jsonrpc": "2.0", "result": [SUMMARY, put_of], "usOut": 1711101594484065}))
    (chain,) = deribit_chains(reply, RECEIVED)
    assert (chain.underlying, chain.unit, chain.known) == ("BTC", "coin", RECEIVED)
    assert chain.time == np.datetime64("2024-03-22T09:59:54.477", "ns")
    assert (chain.expiry == np.datetime64("2024-06-28T08:00")).all() and chain.right.tolist() == [-1, 1]
    assert chain.bid.tolist()[1] == 0.404 and np.isnan(chain.bid[0])
    assert chain.reported[1] == 0.625 and np.isnan(chain.reported[0])
    assert chain.forward.tolist() == [68827.27] * 2 and chain.open_interest.tolist() == [364.1] * 2
    assert implied_surface(chain).flags["no_bid"].tolist() == [True, False]


def test_tickers_of_deribit():
    (chain,) = deribit_chains([TICKER], RECEIVED)
    assert (
        chain.volume.tolist() == [12.5] and chain.index.tolist() == [65479.26] and chain.strike.tolist() == [50_000.0]
    )
    assert chain.bid.tolist() == [0.0195] and implied_surface(chain).flags["no_ask"].tolist() == [True]
    assert chain.reported.tolist() == [0.66]


def test_linear_options_of_deribit_are_a_chain_of_their_own():
    linear = SUMMARY | {"instrument_name": "XRP_USDC-30JUN24-0d625-C", "mark_price": 0.05, "underlying_price": 0.61}
    first, second = deribit_chains([linear, SUMMARY], RECEIVED)
    assert (first.underlying, second.underlying) == ("BTC", "XRP_USDC")
    assert second.unit == "quote" and second.strike.tolist() == [0.625]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"error": {"code": 10028}}, "Deribit: must hold a list of options"),
        ([1], r"Deribit, row 0: must be an object \(found 1\)"),
        ([], "Deribit: holds no options"),
        (
            [SUMMARY, SUMMARY | {"instrument_name": "BTC-PERPETUAL"}],
            "Deribit, row 1, column instrument_name: is not the",
        ),
        ([SUMMARY | {"instrument_name": "BTC-31JUN24-42000-C"}], "row 0, column instrument_name: is not the name"),
        ([SUMMARY | {"creation_timestamp": 1711200000000}], "a quote is from after the reply came"),
        ([SUMMARY, SUMMARY | {"mark_price": 1.4}], "twice with different quotes|worth more than one coin"),
        ([SUMMARY, TICKER | {"mark_price": -0.1}], "Deribit, row 1, column mark_price: must be a finite number"),
    ],
)
def test_replies_that_cannot_be_used_are_refused(reply, problem):
    with pytest.raises(InputError, match=problem):
        deribit_chains(reply, RECEIVED)


def option(symbol, mark, **more):
    told = dict.fromkeys(("impliedVolatility", "midPrice", "lastPrice", "timestamp", "datetime", "change"))
    return told | {"symbol": symbol, "bidPrice": 0.9 * mark, "askPrice": 1.1 * mark, "markPrice": mark} | more


def test_ccxt_chains_and_the_field_that_is_a_forward_only_on_some_venues():
    call = option("BTC/USD:BTC-240628-60000-C", 0.15, underlyingPrice=60_000.0, openInterest=2.0)
    put_of = option("BTC/USD:BTC-240628-60000-P", 0.05, underlyingPrice=60_000.0, openInterest=3.0)
    structure = {one["symbol"]: one for one in (call, put_of)}
    (told,) = ccxt_chains(structure, RECEIVED, "deribit")
    assert told.forward.tolist() == [60_000.0] * 2 and not told.forward_inferred.any()
    assert told.time == told.known == RECEIVED and told.open_interest.tolist() == [3.0, 2.0]
    (inferred,) = ccxt_chains(structure, RECEIVED, "binance")
    assert inferred.forward_inferred.all() and inferred.forward[0] == pytest.approx(60_000.0 / 0.9)


def test_ccxt_options_settled_in_a_stablecoin_and_another_hour_of_expiry():
    one = option("ETH/USDC:USDC-240628-3500.5-P", 120.0, impliedVolatility=0.7, underlyingPrice=3600.0)
    (chain,) = ccxt_chains({one["symbol"]: one}, RECEIVED, "bybit", expiry_hour=12)
    assert (chain.underlying, chain.unit, chain.strike.tolist()) == ("ETH_USDC", "quote", [3500.5])
    assert chain.expiry[0] == np.datetime64("2024-06-28T12:00") and chain.reported.tolist() == [0.7]
    with pytest.raises(InputError, match="ccxt, row 0, column symbol: is not the symbol of an option"):
        ccxt_chains({"BTC/USDT:USDT": option("BTC/USDT:USDT", 1.0)}, RECEIVED, "bybit")
    with pytest.raises(InputError, match="ccxt: must hold a list of options"):
        ccxt_chains("BTC", RECEIVED, "bybit")


def test_the_symbols_ccxt_writes_are_those_that_are_read():
    ccxt = pytest.importorskip("ccxt", reason="ccxt comes with the extra live")
    exchange = ccxt.deribit()
    symbol = exchange.create_expired_option_market("BTC-28JUN24-42000-C")["symbol"]
    parsed = exchange.parse_option(SUMMARY, None, {"id": SUMMARY["instrument_name"], "symbol": symbol})
    (chain,) = ccxt_chains({symbol: parsed}, RECEIVED, "deribit")
    (straight,) = deribit_chains([SUMMARY], RECEIVED)
    assert chain.expiry.tolist() == straight.expiry.tolist() and chain.strike.tolist() == straight.strike.tolist()
    assert (chain.underlying, chain.unit, chain.right.tolist()) == ("BTC", "coin", [1])
    assert chain.mark.tolist() == straight.mark.tolist() and chain.forward.tolist() == straight.forward.tolist()
