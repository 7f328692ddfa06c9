"""The verb `stress` on a simulated market: what it writes, what it assumes and says, what it refuses."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import small_market as small

from margincast import __main__ as command_line
from margincast.riskcore.errors import InputError
from margincast.training.accounts_file import read_accounts
from margincast.training.stress_file import StressRequest, stress_file
from margincast.training.stress_inputs import depth_of, held_only, moves_of

STRESSES = {
    "flash crash", "volatility spike", "liquidity drought", "correlation to one", "correlation reversed",
    "correlation reversed, other way", "oracle outage", "exchange outage",
}  # fmt: skip


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """A long and a short of BTC against each other, one far from liquidation, one posting ETH."""
    price = small.data().mark("close")[-1]
    records = [
        {"account": "long", "balances": {"USDT": 0.1 * price[0]}, "positions": [position("BTC", 1.0, price[0])]},
        {"account": "short", "balances": {"USDT": 5.0 * price[0]}, "positions": [position("BTC", -1.0, price[0])]},
        {"account": "coin", "balances": {"ETH": 1.0}, "positions": [position("ETH", 4.0, price[1])]},
    ]
    path = tmp_path_factory.mktemp("stress") / "accounts.json"
    path.write_text(json.dumps(records))
    return path


def position(symbol, quantity, price):
    return {"symbol": symbol, "quantity": quantity, "entry_price": price}


def request(accounts, **changed):
    return StressRequest(accounts, small.folder(), **({"fund": 1e4, "reverse": False} | changed))


def test_the_verb_prints_and_writes_every_stress(accounts, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out.json"
    options = ["--accounts", accounts, "--market", small.folder(), "--fund", "1e4", "--json", out]
    monkeypatch.setattr(sys, "argv", ["margincast", "stress", *map(str, options)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert not ended.value.code
    told, written = capsys.readouterr().out, json.loads(out.read_text())
    assert {record["name"] for record in written["stresses"]} == STRESSES
    assert {record["name"] for record in written["reverse"]} == {"flash crash", "oracle outage"}
    assert "oracle outage" in told and "fund" in told
    assert written["before"]["fund"] == 1e4 and written["before"]["pools"] == 3
    assert len(written["rules"]["sha256"]) == 64 and written["data"]["simulated"]


def test_longs_fall_and_the_short_with_money_does_not(accounts):
    result = stress_file(request(accounts), small.RULES)
    crash = next(record for record in result["stresses"] if record["name"] == "flash crash")
    assert crash["liquidated"] == 2, "the long and the one posting the coin it is long of"
    assert crash["equity_after"] < result["before"]["equity"] + 1e4


def test_a_replay_is_of_the_market_itself(accounts):
    times = small.data().history.times
    span = f"{times[-200]}/{times[-2]}"
    result = stress_file(request(accounts, replays=(span,)), small.RULES)
    replay = result["stresses"][-1]
    assert replay["name"] == f"replay {np.datetime_as_string(times[-200], 'D')}"


def test_a_coin_held_may_lose_its_peg(accounts):
    result = stress_file(request(accounts, depegs=("ETH",)), small.RULES)
    assert "ETH loses its peg" in {record["name"] for record in result["stresses"]}


def test_what_is_assumed_is_said(accounts):
    fund = stress_file(request(accounts, fund=None), small.RULES)
    assert any("assumed 1% of the accounts' notional" in line for line in fund["assumed"])
    assert fund["before"]["fund"] == pytest.approx(0.01 * fund["before"]["notional"])
    assert not any("insurance fund" in line for line in stress_file(request(accounts), small.RULES)["assumed"])


def test_recorded_depth_is_used_as_it_stands_and_assumed_where_absent(accounts):
    data = small.data()
    bar = len(data.history)
    market = data.history.state_at(bar)
    table = data.history.instruments
    depth, told = depth_of(data, table, market.mark, bar)
    assert told == []
    last = data.depth[(data.depth["symbol"] == "BTC") & (data.depth["side"] == "bid")].groupby("level_bps").last()
    resting = (depth.bid_price * depth.bid_size)[: depth.bid_pointer[1]]
    np.testing.assert_allclose(np.cumsum(resting), last["notional"].to_numpy(), rtol=1e-12)
    bare, told = depth_of(replace(data, depth=None), table, market.mark, bar)
    assert "assumed 1% of daily turnover" in told[0]
    turnover = (data.trade["close"] * data.trade["volume"])[-720:, 0].mean() * 24
    resting = (bare.ask_price * bare.ask_size)[: bare.ask_pointer[1]]
    np.testing.assert_allclose(resting.sum(), 0.01 * turnover, rtol=1e-12)


def test_only_what_is_held_is_stressed_and_margins_stay(accounts):
    history = small.data().history
    book = read_accounts(accounts, history.instruments)
    few, cut = held_only(book, history)
    assert few.instruments.symbols == ("BTC", "ETH") and few.instruments.assets == ("USDT", "ETH")
    state, whole = cut.state_at(50), history.state_at(50)
    np.testing.assert_array_equal(state.mark, whole.mark[[0, 1]])
    np.testing.assert_array_equal(state.index, whole.index[history.instruments.asset_index_of(["USDT", "ETH"])])


def test_an_expiry_is_kept_by_what_is_held_only(accounts):
    history = small.data().history
    expiry = np.full(len(history.instruments), "NaT", "datetime64[ns]")
    expiry[1] = history.times[60]
    dated = replace(history, instruments=replace(history.instruments, expiry=expiry))
    book = read_accounts(accounts, dated.instruments)
    few, _ = held_only(book, dated)
    assert few.instruments.expiry.tolist() == expiry[[0, 1]].tolist()


def test_the_market_has_a_beta_of_one_to_itself():
    moves = moves_of(small.data().history, 2000)
    returns = np.diff(np.log(small.data().history.close[2000 - 720 : 2000]), axis=0)
    assert moves.market == "BTC" and moves.beta[0] == pytest.approx(1.0)
    np.testing.assert_allclose(moves.sigma, returns.std(axis=0)[:3] * np.sqrt(24), rtol=1e-12)
    slope = np.polyfit(returns[:, 0], returns[:, 1], 1)[0]
    assert moves.beta[1] == pytest.approx(slope, rel=1e-9)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fund": -1.0}, "must not be negative"),
        ({"fund": float("nan")}, "must not be negative"),
        ({"depegs": ("DOGE",)}, "unknown asset"),
        ({"replays": ("2022-03-01",)}, "column replay: must be START/END, two instants"),
        ({"replays": ("2022-03-01/yesterday",)}, "is not an instant"),
        ({"at": "2022-01-02"}, "less than 5 days of bars"),
    ],
)
def test_what_is_refused(accounts, changed, message):
    with pytest.raises(InputError, match=message):
        stress_file(request(accounts, **changed), small.RULES)


def test_accounts_without_positions_are_refused(tmp_path):
    path = tmp_path / "idle.json"
    path.write_text('[{"account": "idle", "balances": {"USDT": 1.0}}]')
    with pytest.raises(InputError, match=r"idle.json: holds no positions"):
        stress_file(request(path), small.RULES)


def test_collateral_nobody_takes_is_told_with_its_account(tmp_path):
    path = tmp_path / "coin.json"
    record = {"account": "coin", "balances": {"SOL": 1.0}, "positions": [position("BTC", 0.1, 100.0)]}
    path.write_text(json.dumps([record]))
    rules = replace(small.VENUE, haircuts={})
    with pytest.raises(InputError, match=r"coin.json, row 0, column asset of coin/main: .* does not accept it"):
        stress_file(request(path), rules)
