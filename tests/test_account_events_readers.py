"""Reading account events: one history from every format, the layout of 2023, and what is refused with its place."""

import json

import numpy as np
import pandas as pd
import pytest

from margincast.features.accounts.events import NONE, Kind
from margincast.features.accounts.faults import Fault, history_faults
from margincast.features.accounts.rebuild import balances, rebuild
from margincast.features.readers.account_events import read_account_events
from margincast.features.readers.account_events_2023 import read_accounts_2023
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable

COLUMNS = ("time", "account", "symbol", "side", "price", "quantity", "fee")
TRADES = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("2024-01-01T00:01:00Z", "b", "BTC", "buy", 100.0, 0.3, 0.5),
        ("2024-01-01T00:02:00Z", "a", "ETH", "SELL", 10.0, 2.0, -0.1),
        ("2024-01-01T03:00:00+01:00", "b", "BTC", "ask", 90.0, 0.3, None),
    )
]
TRANSFERS = [
    {"time": "2024-01-01T00:00:00Z", "account": "a", "amount": 50.0},
    {"time": "2024-01-01T00:00:00Z", "account": "b", "amount": 5.0},
    {"time": "2024-01-01T05:00:00Z", "account": "a", "amount": -20.0},
]
FUNDING = [{"time": "2024-01-01T01:00:00Z", "account": "a", "symbol": "ETH", "amount": 0.25}]
LIQUIDATIONS = [{"time": "2024-01-01T02:00:00Z", "account": "b", "notional": 27.0, "equity": 0.2}]
BALANCES = [{"time": "2024-01-01T06:00:00Z", "account": "a", "balance": 30.35}]
POSITIONS = [{"time": "2024-01-01T06:00:00Z", "account": "a", "symbol": "ETH", "quantity": -2.0, "entry_price": 10.0}]
TABLES = {
    "trades": TRADES, "transfers": TRANSFERS, "funding": FUNDING, "liquidations": LIQUIDATIONS, "balances": BALANCES,
    "positions": POSITIONS,
}  # fmt: skip


def write(folder, tables, suffix):
    for name, rows in tables.items():
        path = folder / f"{name}{suffix}"
        if suffix == ".csv":
            pd.DataFrame(rows).to_csv(path, index=False)
        elif suffix == ".parquet":
            frame = pd.DataFrame(rows)
            frame.assign(time=pd.to_datetime(frame["time"], utc=True, format="ISO8601")).to_parquet(path)
        elif suffix == ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
        else:
            path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return folder


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json", ".jsonl"])
def test_every_format_gives_the_same_history(tmp_path, suffix):
    history = read_account_events(write(tmp_path, TABLES, suffix))
    events = history.events
    assert (events.accounts, events.instruments.symbols) == (("a", "b"), ("BTC", "ETH"))
    assert history.rows == {name: len(rows) for name, rows in TABLES.items()}
    assert set(history.files) == {f"{name}{suffix}" for name in TABLES}
    assert events.forced.tolist() == events.closes.tolist()
    assert events.kind[events.forced].tolist() == [Kind.TRADE]
    state = rebuild(events)
    assert balances(state)[:, 0] == pytest.approx([50 + 0.1 + 0.25 - 20, 5 - 0.5 - 3.0])
    assert history_faults(state, events.accounts) == []
    assert state["without_fee"].tolist() == [0, 1]
    assert history.notes == ("1 of 3 trades without a fee: counted as paying none",)


def test_numbers_written_as_text_are_read(tmp_path):
    rows = [{name: str(value) if isinstance(value, float) else value for name, value in row.items()} for row in TRADES]
    events = read_account_events(write(tmp_path, {"trades": rows}, ".json")).events
    assert events.quantity.tolist() == [0.3, -2.0, -0.3]


def test_what_is_absent_or_stands_twice_is_told(tmp_path):
    twice = {"trades": [TRADES[0], TRADES[0]]}
    history = read_account_events(write(tmp_path, twice, ".csv"))
    assert "no table of funding" in history.notes
    assert "trades.csv: 1 rows like one before, kept: each counts" in history.notes
    assert rebuild(history.events)["lots"][0, 0] == 60_000_000


def test_a_coin_that_is_not_in_the_table_is_kept_counted_and_flagged(tmp_path):
    table = InstrumentTable.linear_perpetuals(["BTC"])
    history = read_account_events(write(tmp_path, TABLES, ".csv"), table)
    events = history.events
    assert np.count_nonzero((events.kind == Kind.TRADE) & (events.instrument == NONE)) == 1
    assert "1 trades in coins that are not in the table of instruments" in history.notes
    told = {(fault.account, fault.fault) for fault in history_faults(rebuild(events), events.accounts)}
    assert ("a", Fault.UNKNOWN_COIN) in told
    assert all(account != "b" for account, _ in told)


def test_amounts_go_to_their_assets(tmp_path):
    table = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC"])
    tables = {
        "trades": [row | {"fee_asset": "BTC"} for row in TRADES],
        "transfers": [row | {"asset": asset} for row, asset in zip(TRANSFERS, ["BTC", None, "BTC"], strict=True)],
    }
    money = balances(rebuild(read_account_events(write(tmp_path, tables, ".jsonl"), table).events))
    assert money == pytest.approx(np.array([[0.0, 50 + 0.1 - 20], [5 - 3.0, -0.5]]))
    tables["transfers"][0]["asset"] = "DOGE"
    with pytest.raises(
        InputError, match=r"transfers.jsonl, row 0, column asset: is not an asset that is known \(found 'DOGE'"
    ):
        read_account_events(write(tmp_path, tables, ".jsonl"), table)


BAD = [
    ("trades", 1, {"price": -10.0}, "row 1, column price: price must be positive"),
    ("trades", 1, {"price": "dear"}, "column price: price must be positive"),
    ("trades", 1, {"price": None}, "row 1, column price"),
    ("trades", 1, {"quantity": float("inf")}, "row 1, column quantity: must be a finite number"),
    ("trades", 2, {"side": "long"}, r"row 2, column side: must be buy, sell, bid or ask \(found 'long'\)"),
    ("trades", 0, {"symbol": " "}, "row 0, column symbol: must not be empty"),
    ("trades", 0, {"account": None}, "row 0, column account"),
    ("trades", 0, {"fee": "much"}, "column fee"),
    ("trades", 0, {"closes": "perhaps"}, "row 0, column closes: must be true or false"),
    ("trades", 2, {"time": "2024-01-01T00:00:30Z"}, "row 2, column time: times must not fall"),
    ("trades", 1, {"time": "2024-01-01T00:02:00"}, "row 1, column time: has no time zone"),
    ("trades", 1, {"time": "yesterday"}, "row 1, column time: is not an ISO 8601"),
    ("trades", 1, {"time": None}, "row 1, column time: is missing"),
    ("transfers", 1, {"amount": 0.0}, "row 1, column amount: must be a finite number other than zero"),
    ("funding", 0, {"amount": None}, "row 0, column amount: must be a finite number"),
    ("liquidations", 0, {"notional": -1.0}, "row 0, column notional"),
    ("positions", 0, {"entry_price": 0.0}, "row 0, column entry_price"),
]


@pytest.mark.parametrize(("table", "row", "change", "message"), BAD)
def test_a_bad_row_is_refused_with_its_place(tmp_path, table, row, change, message):
    rows = [one | change if place == row else one for place, one in enumerate(TABLES[table])]
    with pytest.raises(InputError, match=message) as refused:
        read_account_events(write(tmp_path, TABLES | {table: rows}, ".json"))
    assert str(refused.value).startswith(f"{table}.json") and "\n" not in str(refused.value)


def test_times_that_are_numbers_are_refused(tmp_path):
    rows = [row | {"time": 1704067200000} for row in TRADES]
    with pytest.raises(InputError, match="trades.json, row 0, column time: must be a date and time"):
        read_account_events(write(tmp_path, {"trades": rows}, ".json"))


def test_files_that_cannot_be_read_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        read_account_events(tmp_path / "none")
    with pytest.raises(InputError, match="holds no table of trades"):
        read_account_events(write(tmp_path, {"transfers": TRANSFERS}, ".csv"))
    whole = write(tmp_path, {"trades": TRADES}, ".parquet") / "trades.parquet"
    (tmp_path / "trades.csv").write_text("time\n", encoding="utf-8")
    with pytest.raises(InputError, match="stands beside trades.csv"):
        read_account_events(tmp_path)
    (tmp_path / "trades.csv").unlink()
    whole.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(InputError, match="trades.parquet: is not a whole Parquet file"):
        read_account_events(tmp_path)
    whole.unlink()
    for text, problem in (("[{]", "is not a whole JSON file"), ('{"a": 1}', "must hold objects"), ("[]", "is missing")):
        (tmp_path / "trades.json").write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=problem):
            read_account_events(tmp_path)
    (tmp_path / "trades.json").write_text(json.dumps([{"time": 1}]), encoding="utf-8")
    with pytest.raises(InputError, match="column account: is missing; the trades table needs time, account, symbol"):
        read_account_events(tmp_path)
    (tmp_path / "trades.json").unlink()
    (tmp_path / "trades.csv").write_text("time,account,symbol,side,price,quantity\n", encoding="utf-8")
    with pytest.raises(InputError, match="the trades table has no rows"):
        read_account_events(tmp_path)


def frames_2023():
    second = pd.to_datetime(["2023-03-01T00:00:00Z", "2023-03-01T01:00:00Z", "2023-03-02T00:00:00Z"])
    trades = pd.DataFrame(
        {
            "time": second, "user": ["u", "u", "v"], "coin": ["ETH", "ETH", "BTC"], "side": ["Bid", "Ask", "Ask"],
            "px": [1600.0, 1580.0, 23000.0], "sz": [0.5, 0.5, 0.1], "crossed": [True, False, True],
        }
    )  # fmt: skip
    ledger = pd.DataFrame({"time": second[:1], "user": ["u"], "delta_usd": [10.0]})
    liquidations = pd.DataFrame(
        {
            "time": second[1:2], "user": ["u"], "liquidated_ntl_pos": [795.0], "liquidated_account_value": [5.0],
            "leverage_type": ["Cross"],
        }
    )  # fmt: skip
    return {"trades": trades, "ledger": ledger, "liquidations": liquidations}


def write_2023(folder, frames):
    for name, frame in frames.items():
        frame.to_parquet(folder / f"{name}.parquet")
    return folder


def test_the_layout_of_2023_is_read(tmp_path):
    history = read_accounts_2023(write_2023(tmp_path, frames_2023()))
    events = history.events
    assert (events.accounts, events.instruments.symbols, events.instruments.base) == (
        ("u", "v"),
        ("BTC", "ETH"),
        "USDC",
    )
    assert events.kind.tolist() == [Kind.DEPOSIT, Kind.TRADE, Kind.TRADE, Kind.LIQUIDATION, Kind.TRADE]
    assert events.forced.tolist() == [False, False, True, False, False]
    assert (events.amount[3], events.notional[3]) == (5.0, 795.0)
    assert balances(rebuild(events))[:, 0].tolist() == [0.0, 0.0]
    assert any("13 June 2023" in note for note in history.notes)
    assert "0 of 1 liquidations are of isolated positions" in history.notes


def test_faults_of_the_layout_of_2023_are_refused(tmp_path):
    frames = frames_2023()
    frames["liquidations"]["leverage_type"] = "Portfolio"
    with pytest.raises(
        InputError, match="liquidations.parquet, row 0, column leverage_type: must be Cross or Isolated"
    ):
        read_accounts_2023(write_2023(tmp_path, frames))
    with pytest.raises(InputError, match="column leverage_type: is missing"):
        read_accounts_2023(write_2023(tmp_path, frames | {"liquidations": frames["liquidations"].iloc[:, :4]}))
    (tmp_path / "ledger.parquet").unlink()
    with pytest.raises(InputError, match="ledger.parquet: cannot be read"):
        read_accounts_2023(tmp_path)
