"""Account snapshots: from venues' replies to a book, and the venue's own figures beside the margin core's."""

import copy
import datetime as dt
import json
import os
from pathlib import Path

import numpy as np
import pytest
from recorded_venue import BinanceUsdm, Bybit, Fault, Hyperliquid, Time

from margincast.features.readers.account_snapshot import account_snapshot, read_account_snapshot
from margincast.features.readers.snapshot_values import SnapshotRules
from margincast.features.readers.venue_comparison import BY_CCXT, compare_with_venue
from margincast.live.exchange import KEY_VARIABLES, VenueError, open_exchange
from margincast.live.fetch import fetch
from margincast.live.fetch_plan import FetchPlan
from margincast.live.snapshots import fetch_account
from margincast.riskcore.account_summary import summarise
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.records import book_from_records
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook
from margincast.riskcore.tier_tables import schedules_from_brackets
from margincast.riskcore.venue_replies import equity_of_ratio
from margincast.training.accounts_file import read_accounts

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DAY = dt.date(2024, 1, 1)


@pytest.fixture
def keys(monkeypatch):
    for variable in KEY_VARIABLES.values():
        monkeypatch.setenv(variable, "0x" + "1" * 40)


def asked(venue, folder):
    """The snapshot file of a recorded venue's account."""
    time = venue.time
    with open_exchange(venue.name, base_url=venue.url, private=True, sleep=time.sleep, clock=time.clock) as exchange:
        return fetch_account(exchange, "desk", folder)


def flat(rate, deduction=0.0, leverage=1.0):
    return RateSchedule(*(np.array([column]) for column in (0.0, rate, deduction, leverage)))


def rules_of(schedules, **options):
    return RuleBook("test", DAY, schedules, **options)


def by_subject(found):
    return {(row.subject, row.figure): row for row in found}


# -- Binance USD-M: the worked example of its support page b3c689c1... ------------------------------------------------

EARLY_2021 = {"BTC": flat(0.025, 16_300.0), "ETH": flat(0.1, 135_365.0)}


@pytest.fixture
def binance(keys, tmp_path):
    with BinanceUsdm(Time()) as venue:
        return read_account_snapshot(asked(venue, tmp_path))


def test_a_cross_account_agrees_with_the_venue(binance):
    """The documented liquidation prices are told to the cent."""
    assert binance.record["balances"] == {"USDT": 1535443.01}, "the wallet, not ccxt's total with the loss in it"
    assert binance.book.quantity.tolist() == [109.488, 3683.979] and len(binance.book) == 1
    found = by_subject(compare_with_venue(binance, rules_of(EARLY_2021)))
    assert found["BTC long", "liquidation_price"].venue == 26316.89
    assert found["ETH long", "liquidation_price"].venue == 1153.26
    for row in found.values():
        assert abs(row.difference) < (0.005 if row.figure == "liquidation_price" else 1e-5), str(row)
    assert set(found) == {
        *((f"{coin} long", figure) for coin in ("BTC", "ETH") for figure in ("maintenance", "liquidation_price")),
        ("account", "equity"),
        ("account", "maintenance"),
    }


def test_maintenance_is_the_venues_and_not_ccxts(binance, tmp_path):
    """ccxt gives 2.5% of the notional; the venue's figure is less by the tier's maintenance amount."""
    (file,) = tmp_path.glob("accounts/*.json")
    unified = [position["maintenanceMargin"] for position in json.loads(file.read_text())["positions"]]
    assert unified[0] == pytest.approx(0.025 * 109.488 * 31967.27)
    assert binance.figures.maintenance[0] == pytest.approx(unified[0] - 16_300, abs=1e-6)
    assert "maintenance" not in binance.figures.by_ccxt


def test_a_difference_is_said_and_nothing_is_put_in_its_place(binance):
    """A rule-book of half the rate: the book stays, the difference is the other half."""
    halved = {"BTC": flat(0.0125, 0.0), "ETH": flat(0.1, 135_365.0)}
    found = by_subject(compare_with_venue(binance, rules_of(halved)))
    row = found["BTC long", "maintenance"]
    assert row.ours == pytest.approx(0.0125 * 109.488 * 31967.27) and row.venue == binance.figures.maintenance[0]
    assert row.difference == row.ours - row.venue and not row.within(0.01)
    assert str(row) == ("BTC long maintenance: 71200.811 in the venue's reply, 43750.406 here, -2.75e+04 (-38.554%)")
    assert found["ETH long", "maintenance"].within(1e-9)


def test_an_isolated_position_has_its_own_pool(keys, tmp_path):
    with BinanceUsdm(Time()) as venue:
        venue.mode = "isolated"
        snapshot = read_account_snapshot(asked(venue, tmp_path))
    book = snapshot.book
    assert book.isolated.tolist() == ["", "BTC"] and book.balance.tolist() == [500.0, 1535443.01]
    found = by_subject(compare_with_venue(snapshot, rules_of(EARLY_2021)))
    assert found["BTC long", "liquidation_price"].venue == 18778.73
    assert all(abs(row.difference) < 0.005 for row in found.values())


def test_a_snapshot_keeps_where_it_comes_from(binance, tmp_path):
    (file,) = tmp_path.glob("accounts/*.json")
    assert file.name == "binanceusdm-desk-2024-01-04T002000Z.json"
    assert (binance.venue, binance.account) == ("binanceusdm", "desk") and len(binance.sha256) == 64
    assert str(binance.retrieved) == "2024-01-04T00:20:00.000000000"
    assert list(binance.book.account) == ["desk"]


def test_several_snapshots_make_one_book(binance):
    other = {**binance.record, "account": "other"}
    book = book_from_records([binance.record, other], binance.book.instruments)
    assert list(book.account) == ["desk", "other"] and len(book.quantity) == 4


def test_a_record_is_what_score_reads(binance, tmp_path):
    path = tmp_path / "accounts.json"
    path.write_text(json.dumps([binance.record]))
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"])
    assert read_accounts(path, table).quantity.tolist() == binance.book.quantity.tolist()


# -- Bybit: worked examples of its help pages, in a unified account that isolates -------------------------------------


def test_a_hedged_pair_stays_two_pools(keys, tmp_path):
    with Bybit(Time()) as venue:
        file = asked(venue, tmp_path)
        asked_for = [query.get("settleCoin") or query["category"] for query in venue.requests_of("position/list")]
    assert asked_for == ["USDT", "USDC", "inverse"], "one settlement asset a request"
    with pytest.raises(InputError, match=r"positions\[0\].marginMode: is cross or isolated; the reply does not say"):
        read_account_snapshot(file)
    snapshot = read_account_snapshot(file, SnapshotRules(margin_mode="isolated"))
    book = snapshot.book
    assert book.isolated.tolist() == ["", "BTC", "BTC", "ETH"] and book.quantity.tolist() == [1.0, -1.0, -1.0]
    assert book.balance.tolist() == [400.0, 200.0, 200.0, 200.0], "1,000 in the wallet, 600 of them set aside"
    rules = rules_of({coin: flat(0.005) for coin in ("BTC", "ETH")}, maintenance_at="entry")
    found = [row for row in compare_with_venue(snapshot, rules) if row.figure == "liquidation_price"]
    assert [row.venue for row in found] == [9850.0, 10150.0, 8160.0]
    assert all(abs(row.difference) < 1e-9 for row in found)


# -- Hyperliquid: worked examples of its documentation ----------------------------------------------------------------


def test_cross_and_isolated_at_hyperliquid(keys, tmp_path):
    with Hyperliquid(Time()) as venue:
        snapshot = read_account_snapshot(asked(venue, tmp_path))
    rules = rules_of({coin: flat(0.02, leverage=25.0) for coin in ("ETH", "SOL")})
    found = by_subject(compare_with_venue(snapshot, rules))
    assert found["ETH short", "liquidation_price"].venue == 127.45098039
    assert found["SOL long", "liquidation_price"].venue == 100.0
    assert found["account", "equity"].venue == 60.0 and found["account", "maintenance"].venue == 4.0
    agreeing = {key for key, row in found.items() if row.within(1e-9)}
    assert set(found) - agreeing == {("SOL long", "maintenance")}, "the venue gives none; ccxt works out another"
    assert found["SOL long", "maintenance"].source == BY_CCXT
    assert found["SOL long", "maintenance"].ours == pytest.approx(0.02 * 120.0)


# -- recorded accounts of ../shared -----------------------------------------------------------------------------------


def cases(name):
    path = SHARED / "vectors" / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"no recorded accounts at {path}")
    return {case["id"].removeprefix(f"{name}/"): case for case in json.loads(path.read_text())["cases"]}


def test_a_recorded_account_of_twelve_positions():
    """Hyperliquid in 2023: equity, margin used and six liquidation prices as the venue gave them."""
    known = cases("hyperliquid_cassette")
    account = known["account/summary"]
    legs = account["inputs"]["positions"]
    prices = {key.split("/")[1]: case["expected"] for key, case in known.items() if key.startswith("liq_px/")}
    given = {coin: expected["liquidation_price"] for coin, expected in prices.items()}
    positions = [
        {
            "symbol": f"{leg['coin']}/USDC:USDC",
            "side": "long" if leg["size"] > 0 else "short",
            "contracts": abs(leg["size"]),
            "entryPrice": leg["entry"],
            "markPrice": leg["mark"],
            "leverage": leg["leverage"],
            "marginMode": "cross",
            "info": {
                "position": {"szi": leg["size"], "entryPx": leg["entry"], "liquidationPx": given.get(leg["coin"])}
            },
        }
        for leg in legs
    ]
    raw = {
        "crossMarginSummary": {
            "totalRawUsd": account["inputs"]["raw_usd"],
            "accountValue": account["expected"]["account_value"],
        }
    }
    reply = {"venue": "hyperliquid", "account": "a", "retrieved": "2023-06-01T00:00:00Z"}
    snapshot = account_snapshot(reply | {"balance": {"info": raw}, "positions": positions})
    rules = load_rulebook("hyperliquid", dt.date(2023, 6, 1))
    found = by_subject(compare_with_venue(snapshot, rules))
    assert abs(found["account", "equity"].difference) < 2e-6
    side = {leg["coin"]: "long" if leg["size"] > 0 else "short" for leg in legs}
    compared = [found[f"{coin} {side[coin]}", "liquidation_price"] for coin in given]
    assert len(compared) >= 6 and all(row.within(1e-7) for row in compared), list(map(str, compared))
    assert any(np.isnan(row.venue) for row in compared), "and none where no price liquidates"
    state = evaluate(snapshot.book, snapshot.market(), rules)
    assert state.initial[0] == pytest.approx(account["expected"]["margin_used"], abs=2e-6)


def test_a_recorded_inverse_position_isolated_in_coin():
    known = {key: case for key, case in cases("okx_bitget_recorded").items() if key.startswith("okx/inverse/")}
    given = known["okx/inverse/mmr"]["inputs"]
    margin = given["contract_value_usd"] / given["avg_price"] / given["leverage"]
    position = {
        "symbol": "ETH/USD:ETH-210430",
        "side": "long",
        "contracts": given["contracts"],
        "contractSize": given["contract_value_usd"],
        "entryPrice": given["avg_price"],
        "markPrice": given["mark_implied_by_upl"],
        "unrealizedPnl": given["unrealized_pnl_coin"],
        "marginMode": "isolated",
        "info": {"mmr": known["okx/inverse/mmr"]["expected"]["mm"], "liqPx": "", "margin": str(margin)},
    }
    details = {"ccy": "ETH", "eq": "2.0", "isoEq": "0.5", "upl": "0", "isoUpl": "0"}
    balance = {"info": {"data": [{"details": [details]}]}}
    reply = {"venue": "okx", "account": "a", "retrieved": "2021-04-20T00:00:00Z"}
    snapshot = account_snapshot(reply | {"balance": balance, "positions": [position]})
    assert snapshot.book.instruments.kind.tolist() == [INVERSE] and snapshot.book.instruments.base == "ETH"
    assert snapshot.book.balance.tolist() == [1.5, margin]
    rules = rules_of({"ETH/USD:ETH-210430": flat(given["mmr"], leverage=10.0)})
    row = by_subject(compare_with_venue(snapshot, rules))["ETH/USD:ETH-210430 long", "maintenance"]
    assert row.within(1e-6)
    state = evaluate(snapshot.book, snapshot.market(), rules)
    assert state.leg_profit[0] == pytest.approx(given["unrealized_pnl_coin"], rel=1e-6)


def test_an_okx_account_with_strategies():
    case = cases("okx_bitget_recorded")["okx/account_a/equity"]
    details = {"ccy": "USDT", "cashBal": case["inputs"]["cash"], "upl": case["inputs"]["upl"]}
    balance = {"info": {"data": [{"details": [details | {"eq": case["expected"]["eq"]}]}]}}
    snapshot = account_snapshot(reply_of([], venue="okx", balance=balance))
    wallet = case["inputs"]["cash"] + case["inputs"]["strategy_equity"]
    assert snapshot.record["balances"]["USDT"] == pytest.approx(wallet, abs=1e-9)


def test_a_recorded_liquidation_price_of_a_venue_without_a_layout():
    """Bitget: the reply's marginRatio gives the account's equity; maintenance is held at the current mark."""
    case = cases("okx_bitget_recorded")["bitget/liq"]
    given = case["inputs"]
    notional = given["size"] * given["mark"]
    equity = float(equity_of_ratio(notional * (given["mmr"] + given["taker_fee"]), given["margin_ratio"]))
    position = {
        "symbol": "BTC/USDT:USDT",
        "side": given["side"],
        "contracts": given["size"],
        "contractSize": 1.0,
        "entryPrice": given["entry"],
        "markPrice": given["mark"],
        "unrealizedPnl": given["size"] * (given["entry"] - given["mark"]),
        "liquidationPrice": case["expected"]["liquidation_price"],
        "marginMode": "cross",
        "info": {},
    }
    reply = reply_of([position], venue="bitget", balance={"total": {"USDT": equity}, "info": {}})
    snapshot = account_snapshot(reply, SnapshotRules(balances_hold_profit=True))
    rules = rules_of({"BTC": flat(given["mmr"])}, closing_fee=given["taker_fee"], maintenance_at="mark")
    row = by_subject(compare_with_venue(snapshot, rules))["BTC short", "liquidation_price"]
    assert row.within(1e-8) and row.source == BY_CCXT
    assert snapshot.notes == ("balances are ccxt's totals less unrealised profit",)


# -- reading ------------------------------------------------------------------------------------------------------

LONG = {
    "symbol": "BTC/USDT:USDT",
    "side": "long",
    "contracts": 2.0,
    "contractSize": 0.01,
    "entryPrice": 40_000.0,
    "markPrice": 41_000.0,
    "unrealizedPnl": 20.0,
    "marginMode": "cross",
    "info": {},
}


def reply_of(positions, venue="gate", balance=None):
    return {
        "venue": venue,
        "account": "desk",
        "retrieved": "2024-01-04T00:00:00Z",
        "balance": balance or {"total": {"USDT": 1000.0}, "info": {}},
        "positions": positions,
    }


PLAIN = SnapshotRules(balances_hold_profit=False)


def test_contracts_become_units_of_the_users_instruments():
    """Contracts of 0.01 BTC: two are 0.02 BTC, or 20 of the lots of 0.001 BTC a table may have."""
    lots = InstrumentTable(("XBT",), [LINEAR], [0.001], [0], ("USDT",))
    rules = SnapshotRules(lots, {"BTC/USDT:USDT": "XBT"}, balances_hold_profit=False)
    book = account_snapshot(reply_of([LONG]), rules).book
    assert book.quantity.tolist() == [pytest.approx(20.0)] and book.position_size.tolist() == [pytest.approx(0.02)]


def test_a_hedged_cross_pair_stays_two_positions_of_one_pool():
    short = LONG | {"side": "short", "contracts": 0.5, "entryPrice": 42_000.0}
    snapshot = account_snapshot(reply_of([LONG, short]), PLAIN)
    assert len(snapshot.book) == 1 and snapshot.book.quantity.tolist() == [0.02, -0.005]
    summary = summarise(snapshot.book, snapshot.market(), rules_of({"BTC": flat(0.01)}))
    assert summary.equity[0] == pytest.approx(1000 + 0.02 * 1000 + 0.005 * 1000)


def test_inverse_contracts_are_told_in_their_quote_currency():
    """100 contracts of 100 dollars from 50,000: at 62,500 the profit is 10,000 / 50,000 - 10,000 / 62,500 = 0.04."""
    position = {
        "symbol": "BTC/USD:BTC",
        "side": "long",
        "contracts": 100.0,
        "contractSize": 100.0,
        "entryPrice": 50_000.0,
        "markPrice": 62_500.0,
        "marginMode": "cross",
        "info": {},
    }
    snapshot = account_snapshot(reply_of([position], balance={"total": {"BTC": 0.5}, "info": {}}), PLAIN)
    state = evaluate(snapshot.book, snapshot.market(), rules_of({"BTC/USD:BTC": flat(0.01)}))
    assert snapshot.book.instruments.base == "BTC" and state.equity[0] == pytest.approx(0.54)


def test_margin_of_an_isolated_position_without_a_word_of_the_venue():
    """ccxt's collateral holds the profit: 70 less 20 is what was set aside, taken out of the wallet of 1,000."""
    isolated = LONG | {"marginMode": "isolated", "collateral": 70.0}
    snapshot = account_snapshot(reply_of([isolated]), PLAIN)
    assert snapshot.book.balance.tolist() == [950.0, 50.0]
    assert "isolated margin is ccxt's collateral less the unrealised profit" in snapshot.notes
    own = account_snapshot(reply_of([isolated | {"positionMargin": 60.0}]), PLAIN)
    assert own.book.balance.tolist() == [940.0, 60.0]


def test_a_mark_that_is_not_told_is_notional_over_size():
    snapshot = account_snapshot(reply_of([LONG | {"markPrice": None, "notional": 820.0}]), PLAIN)
    assert snapshot.market().mark.tolist() == [pytest.approx(41_000.0)]
    unknown = account_snapshot(reply_of([LONG | {"markPrice": None}]), PLAIN)
    with pytest.raises(InputError, match="no mark price"):
        compare_with_venue(unknown, rules_of({"BTC": flat(0.01)}))


def test_a_loan_is_said_where_a_venue_lends():
    balance = {"info": {"data": [{"details": [{"ccy": "USDT", "eq": "-25", "upl": "0"}, {"ccy": "BTC", "eq": "1"}]}]}}
    snapshot = account_snapshot(reply_of([], venue="okx", balance=balance))
    assert snapshot.record["balances"] == {"USDT": -25.0, "BTC": 1.0} and snapshot.notes == ("USDT is owed: -25",)


def changed(**fields):
    return reply_of([LONG | fields])


def holding(**totals):
    return {"total": totals, "info": {}}


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (changed(symbol="DOGE/USDT:USDT"), r"positions\[0\].symbol: is not among the instruments: BTC"),
        (changed(contracts=float("nan")), r"positions\[0\].contracts: must be a finite number"),
        (changed(contracts=None), r"positions\[0\].contracts: must be a number"),
        (changed(entryPrice="x"), r"positions\[0\].entryPrice: must be a number"),
        (changed(entryPrice=-4.0), r"entry_price: must be positive"),
        (changed(side=None), r"positions\[0\].side: must be long or short"),
        (changed(marginMode=None), r"positions\[0\].marginMode: is cross or isolated"),
        (changed(marginMode="isolated", positionMargin=-1.0), "isolated margin must not be negative"),
        (changed(marginMode="isolated"), r"positions\[0\].collateral: must be a number"),
        (reply_of([LONG], balance=holding(USDT=float("inf"))), "balance USDT: must be a finite number"),
        (reply_of([LONG], balance=holding(SHIB=5.0)), r"balances: unknown name.*SHIB"),
        (reply_of([LONG], venue="binanceusdm"), "balance info: is not as binanceusdm lays it out"),
        (reply_of("none"), "positions: must be a list"),
        (reply_of([5]), r"positions\[0\].positions: must be an object"),
        (reply_of([]) | {"retrieved": "noon"}, "retrieved: is not an instant"),
        ({"venue": "gate"}, "column account: is missing"),
        ([], "must be an object"),
    ],
)
def test_a_reply_that_cannot_be_read_is_refused(reply, problem):
    table = InstrumentTable.linear_perpetuals(["BTC"])
    with pytest.raises(InputError, match=problem) as refused:
        account_snapshot(reply, SnapshotRules(table, balances_hold_profit=False), source="desk.json")
    assert str(refused.value).startswith("desk.json")


def test_a_venue_whose_totals_are_not_known_is_asked_about():
    with pytest.raises(InputError, match="of gate may hold unrealised profit or not: give balances_hold_profit"):
        account_snapshot(reply_of([LONG]))


def test_hyperliquid_lends_nothing():
    raw = {"crossMarginSummary": {"totalRawUsd": "-3.0"}}
    with pytest.raises(InputError, match="balance USDC: must not be negative"):
        account_snapshot(reply_of([], venue="hyperliquid", balance={"info": raw}))


def test_isolated_margin_in_another_asset_than_the_books():
    table = InstrumentTable(("BTC/USD:BTC",), [INVERSE], [100.0], [1], ("USDT", "BTC"))
    position = LONG | {"symbol": "BTC/USD:BTC", "marginMode": "isolated", "positionMargin": 0.1}
    with pytest.raises(InputError, match="is isolated in BTC: read it with instruments whose base asset that is"):
        account_snapshot(reply_of([position]), SnapshotRules(table, balances_hold_profit=False))


@pytest.mark.parametrize(
    ("now", "problem"),
    [("2024-01-04T00:31", "is 31 minutes old, more than 30"), ("2024-01-03T23:59", "is later than"), (None, None)],
)
def test_a_snapshot_may_not_be_stale(now, problem):
    instant = np.datetime64(now or "2024-01-04T00:30", "ns")
    rules = SnapshotRules(balances_hold_profit=False, now=instant, oldest=np.timedelta64(30, "m"))
    if problem is None:
        assert len(account_snapshot(reply_of([LONG]), rules).book) == 1
        return
    with pytest.raises(InputError, match=problem):
        account_snapshot(reply_of([LONG]), rules)


def test_two_marks_of_one_instrument_are_refused():
    short = copy.deepcopy(LONG) | {"side": "short", "markPrice": 40_999.0}
    with pytest.raises(InputError, match="has another mark than its other side, 41000"):
        account_snapshot(reply_of([LONG, short]), PLAIN).market()


@pytest.mark.parametrize(("content", "problem"), [("{", "is not JSON"), (None, "cannot be read")])
def test_a_file_that_is_none(content, problem, tmp_path):
    path = tmp_path / "desk.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=problem):
        read_account_snapshot(path)


# -- fetching them ------------------------------------------------------------------------------------------------


def run(venue, folder, tables, private=True):
    time = venue.time
    with open_exchange(venue.name, base_url=venue.url, private=private, sleep=time.sleep, clock=time.clock) as exchange:
        plan = FetchPlan(("BTC", "ETH"), tables, account="desk")
        return fetch(plan, exchange, folder, say=lambda line: None, show=lambda step: None)


def test_tiers_are_kept_as_the_rule_book_reads_them(keys, tmp_path):
    with BinanceUsdm(Time()) as venue:
        report = run(venue, tmp_path, ("tiers", "account"))
    assert [row.notes for row in report.rows] == [
        ("kept in tiers/binanceusdm-2024-01-04T002000Z.json",),
        ("kept in accounts/binanceusdm-desk-2024-01-04T002000Z.json",),
    ]
    tiers = json.loads((tmp_path / "tiers" / "binanceusdm-2024-01-04T002000Z.json").read_text())
    schedules = schedules_from_brackets(tiers, quote="USDT")
    notional = 109.488 * 31967.27
    assert float(schedules["BTC"].maintenance(notional)) == pytest.approx(0.025 * notional - 16_300)


def test_without_keys_it_is_said_which(monkeypatch, tmp_path):
    for variable in KEY_VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    with BinanceUsdm(Time()) as venue:
        with pytest.raises(VenueError, match="binanceusdm needs MARGINCAST_API_KEY, MARGINCAST_API_SECRET"):
            run(venue, tmp_path, ("account",))
        with pytest.raises(VenueError, match="credential"):
            run(venue, tmp_path, ("tiers",))
    assert not (tmp_path / "accounts").exists() and not (tmp_path / "tiers").exists()


def test_an_endpoint_a_venue_lacks_is_said(keys, tmp_path):
    with Hyperliquid(Time()) as venue:
        time = venue.time
        with open_exchange(venue.name, base_url=venue.url, sleep=time.sleep, clock=time.clock) as exchange:
            plan = FetchPlan(("ETH",), ("tiers",), quote="USDC")
            with pytest.raises(VenueError, match="hyperliquid has no such endpoint"):
                fetch(plan, exchange, tmp_path, say=lambda line: None, show=lambda step: None)


def test_keys_the_venue_refuses(keys, tmp_path):
    with BinanceUsdm(Time()) as venue:
        body = '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'
        venue.faults = [Fault("v3/account", 401, body)]
        with pytest.raises(VenueError, match="Invalid API-key"):
            run(venue, tmp_path, ("account",))
