"""Behaviour by the command line: learned from histories, kept, and told beside the frozen probability."""

import json

import numpy as np
import pandas as pd
import pytest
import small_market as small

from margincast.__main__ import app
from margincast.riskcore.errors import InputError
from margincast.training.scoring import ScoreRequest
from margincast.training.store import save_state

TIMES = small.data().times
FIRST, LAST = TIMES[-400], TIMES[-1]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Trades and deposits of seven accounts, drawn at random; alice is one of them."""
    folder, rng = tmp_path_factory.mktemp("history"), np.random.default_rng(3)
    prices = small.data().mark("close")
    trades, transfers = [], []
    for account in ("alice", *(f"other{k}" for k in range(6))):
        transfers.append((FIRST - np.timedelta64(90, "m"), account, "deposit", 5_000.0))
        held = 0.0
        for bar in np.sort(rng.choice(np.arange(len(TIMES) - 400, len(TIMES) - 2), 40, replace=False)):
            time = TIMES[bar] + np.timedelta64(int(rng.integers(1, 59)), "m")
            if rng.random() < 0.2:
                transfers.append((time, account, "deposit", float(rng.integers(50, 900))))
                continue
            quantity = -held if held else round(float(rng.normal(0, 6_000)) / prices[bar, 1], 3)
            held = round(held + quantity, 3)
            side = "buy" if quantity > 0 else "sell"
            trades.append((time, account, "ETH", side, prices[bar - 1, 1], abs(quantity), 0.0))
    write(folder / "trades.csv", trades, ["time", "account", "symbol", "side", "price", "quantity", "fee"])
    write(folder / "transfers.csv", transfers, ["time", "account", "type", "amount"])
    return folder


def write(path, rows, names):
    table = pd.DataFrame(rows, columns=names).sort_values("time", kind="stable")
    table["time"] = [np.datetime_as_string(t, "s") + "Z" for t in table["time"].to_numpy("datetime64[ns]")]
    table.to_csv(path, index=False)


def run(capsys, *words):
    app(list(map(str, words)), standalone_mode=False)
    return capsys.readouterr().out


def test_learned_behaviour_is_told_beside_the_frozen_probability(history, tmp_path, capsys):
    days = [np.datetime_as_string(t, "D") for t in (FIRST, LAST)]
    out = run(capsys, "behaviour", "--history", history, "--market", small.folder(), "--start", days[0],
              "--end", days[1], "--out", tmp_path / "hazards")  # fmt: skip
    assert "learned from 7 accounts" in out
    about = {"train_end": "2022-04-20", "venue": "binance_usdm", "accounts": "simulated"}
    save_state({**small.fitted().state(), "about": small.fitted().about_ | about}, tmp_path / "model")
    price = float(small.data().mark("close")[-1, 1])
    position = {"symbol": "ETH", "quantity": 2.0, "entry_price": price}
    records = [{"account": a, "balances": {"USDT": 0.1 * price}, "positions": [position]} for a in ("alice", "eve")]
    (tmp_path / "accounts.json").write_text(json.dumps(records))
    run(capsys, "score", "--accounts", tmp_path / "accounts.json", "--market", small.folder(), "--model",
        tmp_path / "model", "--history", history, "--behaviour", tmp_path / "hazards", "--top", 1,
        "--json", tmp_path / "scores.json")  # fmt: skip
    scored = {r["account"]: r for r in json.loads((tmp_path / "scores.json").read_text())["accounts"]}
    for horizon, frozen in scored["alice"]["probabilities"].items():
        assert 0 < scored["alice"]["behavioural"][horizon] < frozen
        assert scored["eve"]["behavioural"][horizon] is None


def test_history_and_behaviour_go_together(tmp_path):
    with pytest.raises(InputError, match="go together"):
        ScoreRequest(tmp_path, tmp_path, None, None, tmp_path, 0.05, 1, history=tmp_path)
