"""Account files: CSV and JSON give the same book; whatever is wrong is named by file, row, column and value."""

import json
from pathlib import Path

import numpy as np
import pytest

from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.training.accounts_file import read_accounts

TABLE = InstrumentTable.linear_perpetuals(["BTC", "ETH"], collateral=["BTC", "ETH"])
HEADER = "account,sub_account,asset,balance,symbol,quantity,entry_price,leverage,mode,isolated_margin"
CSV = f"""{HEADER}
alice,,USDT,1000,BTC,0.1,60000,10,,
alice,,BTC,0.05,,,,,,
alice,,,,ETH,-2,3000,,isolated,400
bob,hedge,USDT,-50.5,ETH,1.5,2900,,cross,
bob,hedge,ETH,3,ETH,-1,3100,,,
"""
RECORDS = [
    {
        "account": "alice",
        "balances": {"USDT": 1000, "BTC": 0.05},
        "positions": [
            {"symbol": "BTC", "quantity": 0.1, "entry_price": 60000, "leverage": 10},
            {"symbol": "ETH", "quantity": -2, "entry_price": 3000, "mode": "isolated", "isolated_margin": 400},
        ],
    },
    {
        "account": "bob",
        "sub_account": "hedge",
        "balances": {"USDT": -50.5, "ETH": 3},
        "positions": [
            {"symbol": "ETH", "quantity": 1.5, "entry_price": 2900},
            {"symbol": "ETH", "quantity": -1, "entry_price": 3100},
        ],
    },
]


def written(folder: Path, content: object, name: str = "accounts.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_accounts(path, TABLE)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return caught.value


def columns(book) -> dict[str, list]:
    return {k: v.tolist() for k, v in vars(book).items() if isinstance(v, np.ndarray) and k != "leverage"}


def test_csv_and_json_give_the_same_book(tmp_path):
    one = read_accounts(written(tmp_path, CSV, "a.csv"), TABLE)
    other = read_accounts(written(tmp_path, RECORDS), TABLE)
    wrapped = read_accounts(written(tmp_path, {"accounts": RECORDS}, "b.json"), TABLE)
    assert columns(one) == columns(other) == columns(wrapped)
    assert np.array_equal(one.leverage, other.leverage, equal_nan=True)


def test_what_the_file_says_is_what_the_book_holds(tmp_path):
    book = read_accounts(written(tmp_path, CSV, "a.csv"), TABLE)
    names = list(zip(book.account.tolist(), book.sub_account.tolist(), book.isolated.tolist(), strict=True))
    assert names == [("alice", "main", ""), ("alice", "main", "ETH"), ("bob", "hedge", "")]
    assert book.balance.tolist() == [1000.0, 0.05, 400.0, -50.5, 3.0]
    assert book.balance_asset.tolist() == [0, 1, 0, 0, 2]
    assert book.quantity.tolist() == [0.1, -2.0, 1.5, -1.0]
    assert book.position_pointer.tolist() == [0, 1, 2, 4]
    assert book.leverage[0] == 10.0 and np.isnan(book.leverage[1:]).all()


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_aliases_are_other_names_of_instruments(tmp_path, name):
    content = CSV if name == "a.csv" else json.dumps(RECORDS)
    plain = read_accounts(written(tmp_path, content, name), TABLE)
    renamed = content.replace("BTC,0.1", "BTCUSDT,0.1").replace('"symbol": "BTC"', '"symbol": "BTCUSDT"')
    assert renamed != content
    assert columns(read_accounts(written(tmp_path, renamed, name), TABLE, {"BTCUSDT": "BTC"})) == columns(plain)


def account(**changes: object) -> list[dict[str, object]]:
    position = {"symbol": "BTC", "quantity": 1, "entry_price": 100}
    good = {"account": "a", "balances": {"USDT": 10}, "positions": [position]}
    return [good, good | {"account": "b"} | changes]


def position(**changes: object) -> list[dict[str, object]]:
    return account(positions=[{"symbol": "BTC", "quantity": 1, "entry_price": 100} | changes])


@pytest.mark.parametrize(
    ("content", "column", "value"),
    [
        (position(symbol="DOGE"), "positions[0].symbol", "DOGE"),
        (position(symbol=None), "positions[0].symbol", "nothing"),
        (position(symbol=["BTC"]), "positions[0].symbol", ["BTC"]),
        (position(quantity=0), "positions[0].quantity", 0),
        (position(quantity="much"), "positions[0].quantity", "much"),
        (position(quantity=None), "positions[0].quantity", "nothing"),
        (position(quantity=float("inf")), "positions[0].quantity", float("inf")),
        (position(entry_price=0), "positions[0].entry_price", 0),
        (position(entry_price=-5), "positions[0].entry_price", -5),
        (position(leverage=-1), "positions[0].leverage", -1),
        (position(mode="portfolio"), "positions[0].mode", "portfolio"),
        (position(mode="isolated"), "positions[0].isolated_margin", "nothing"),
        (account(balances={"SHIB": 5}), "balances", "SHIB"),
        (account(balances={"USDT": "ten"}), "balances.USDT", "ten"),
        (account(balances=[5]), "balances", None),
        (account(positions={"symbol": "BTC"}), "positions", None),
        (account(positions=["BTC"]), "positions", None),
        (account(account=" "), "account", None),
        (account(account="a"), "account", "a/main"),
        (account(balances={}, positions=[]), "account", "b"),
    ],
)
def test_a_bad_record_is_named_by_row_column_and_value(tmp_path, content, column, value):
    error = refused(written(tmp_path, content))
    assert (error.row, error.column, error.value) == (1, column, value)


def test_not_a_number_in_json_is_refused(tmp_path):
    text = json.dumps(account(balances={"USDT": float("nan")}))
    assert refused(written(tmp_path, text)).column == "balances.USDT"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is not JSON"),
        ('[{"account": "a"', "is not JSON"),
        ("3", "needs a list"),
        ('{"people": []}', "needs a list"),
        ('{"accounts": {}}', "needs a list"),
        ("[]", "holds no account"),
        ('["alice"]', "must be an account record"),
    ],
)
def test_a_file_that_is_no_list_of_accounts_is_refused(tmp_path, content, told):
    assert told in refused(written(tmp_path, content)).problem


@pytest.mark.parametrize(
    ("row", "line", "column", "value"),
    [
        (0, ",,USDT,1,,,,,,", "account", None),
        (3, "bob,hedge,USDT,5,ETH,much,2900,,,", "quantity", "much"),
        (3, "bob,hedge,USDT,,,,,,,", "balance", "nothing"),
        (3, "bob,hedge,USDT,5,DOGE,1,2900,,,", "symbol", "DOGE"),
        (4, "bob,hedge,,,ETH,0,2900,,,", "quantity", 0),
        (4, "bob,hedge,,,ETH,1,-2900,,,", "entry_price", -2900),
        (4, "bob,hedge,,,ETH,1,2900,0,,", "leverage", 0),
        (4, "bob,hedge,,,ETH,1,2900,,half,", "mode", "half"),
        (4, "bob,hedge,,,ETH,1,2900,,isolated,", "isolated_margin", "nothing"),
        (4, "bob,hedge,,,ETH,1,,,,", "entry_price", "nothing"),
        (4, "bob,hedge,SHIB,1,,,,,,", "asset", "SHIB"),
        (4, "bob,hedge,ETH,nan,,,,,,", "balance", pytest.approx(float("nan"), nan_ok=True)),
        (4, "bob,hedge,USDT,1,,,,,,", "asset", "USDT"),
        (4, "bob,hedge,,,,,,,,", "asset", None),
        (4, "bob,hedge,,7,ETH,1,2900,,,", "balance", "7"),
        (4, "bob,hedge,ETH,7,,1,,,,", "quantity", "1"),
        (4, "bob,hedge,ETH,7,,,,20,,", "leverage", "20"),
        (4, "bob,hedge,ETH,7,,,,,,,spare", None, "spare"),
    ],
)
def test_a_bad_csv_row_is_named_by_its_place_in_the_file(tmp_path, row, line, column, value):
    lines = CSV.splitlines()
    lines[row + 1] = line
    error = refused(written(tmp_path, "\n".join(lines), "a.csv"))
    assert (error.row, error.column, error.value) == (row, column, value)


@pytest.mark.parametrize(
    ("header", "column"),
    [("", "account"), ("asset,balance", "account"), ("account,colour", "colour"), ("account,asset,asset", "asset")],
)
def test_a_csv_header_that_does_not_fit_is_refused(tmp_path, header, column):
    assert refused(written(tmp_path, f"{header}\n", "a.csv")).column == column


def test_a_csv_file_without_rows_holds_no_account(tmp_path):
    assert "holds no account" in refused(written(tmp_path, HEADER, "a.csv")).problem


def test_a_cell_too_large_for_csv_is_refused(tmp_path):
    assert "is not CSV" in refused(written(tmp_path, f"{HEADER}\n{'x' * 200_000}", "a.csv")).problem


def test_files_that_cannot_be_read_are_refused(tmp_path):
    assert "No such file" in refused(tmp_path / "absent.json").problem
    assert "directory" in refused(tmp_path).problem
    (tmp_path / "latin.csv").write_bytes(b"account\n\xff\xfe")
    assert "not UTF-8" in refused(tmp_path / "latin.csv").problem
