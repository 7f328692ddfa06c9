"""The margin proposal: its contract, what it may know, its guard-rail, its figures against plain computations."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from margincast.features.market_data import MarketData
from margincast.features.readers.folder import read_market_folder
from margincast.riskcore.errors import InputError
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.training.coverage_tests import kupiec
from margincast.training.margin_losses import period_losses
from margincast.training.proposal import MarginProposal
from margincast.training.tune import span_of_days, tune
from margincast.training.tune_settings import TuneSettings

SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
DAYS = 240
START, END = np.datetime64("2024-05-01", "ns"), np.datetime64("2024-08-01", "ns")
RULES = RuleBook(
    "example",
    dt.date(2024, 1, 1),
    {"AAA": RateSchedule.marginal([0, 50_000], [0.004, 0.01], [125, 50])},
    generic=RateSchedule.marginal([0], [0.02], [25]),
)


def perp(
    symbol: str, seed: int, days: int = DAYS, jitter: Callable[[pd.DataFrame], None] | None = None
) -> pd.DataFrame:
    """Hourly bars to the end of August 2024, volatility in slow waves."""
    rng, count = np.random.default_rng(seed), 24 * days
    volatility = 0.006 * np.exp(0.5 * np.sin(np.arange(count) / 400))
    close = 100 * np.exp(np.cumsum(volatility * rng.standard_normal(count)))
    opened = np.concatenate(([100.0], close[:-1]))
    wick = np.exp(volatility * rng.random(count))
    last = pd.Timestamp("2024-08-31 23:00", tz="UTC")
    frame = pd.DataFrame(
        {
            "timestamp": pd.date_range(end=last, periods=count, freq="h"),
            "symbol": symbol,
            "open": opened,
            "high": np.maximum(opened, close) * wick,
            "low": np.minimum(opened, close) / wick,
            "close": close,
            "volume": 1.0,
        }
    )
    if jitter is not None:
        jitter(frame)
    return frame


def market(folder: Path, frames: list[pd.DataFrame], depth: pd.DataFrame | None = None) -> MarketData:
    folder.mkdir()
    pd.concat(frames).to_parquet(folder / "perp.parquet")
    if depth is not None:
        depth.to_parquet(folder / "depth.parquet")
    return read_market_folder(folder)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> MarketData:
    return market(tmp_path_factory.mktemp("tune") / "m", [perp("AAA", 1), perp("BBB", 2)])


@pytest.fixture(scope="module")
def proposal(data: MarketData) -> MarginProposal:
    return tune(data, RULES, START, END)


def test_the_contract_of_the_json(proposal: MarginProposal) -> None:
    plain = proposal.as_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert set(plain) >= {"instruments", "baselines", "data"}
    measured = {"coverage", "mean_margin", "rise_5d", "peak_to_trough", "kupiec_p", "n_test", "violations"}
    instruments = plain["instruments"]
    assert list(instruments) == ["AAA", "BBB"]
    for row in instruments.values():
        assert set(row) >= measured | {"current", "proposed", "next_day", "regimes"}
        assert set(row["sides"]) == {"long", "short"}
        assert all(set(side) >= measured | {"proposed"} for side in row["sides"].values())
    names = [
        "static",
        "HS-250",
        "HS-500",
        "EWMA-N",
        "FHS-.97",
        "FHS-.99",
        "FHS-.97+buffer",
        "HS-500+stress",
        "EWMA-N+floor",
    ]
    assert set(plain["baselines"]) >= set(names)
    assert all(set(row) >= measured for row in plain["baselines"].values())


def test_two_runs_give_the_same_numbers(data: MarketData, proposal: MarginProposal) -> None:
    assert json.dumps(tune(data, RULES, START, END).as_dict()) == json.dumps(proposal.as_dict())


def judged(proposal: MarginProposal) -> str:
    """All of a proposal but what the files held."""
    plain = proposal.as_dict()
    return json.dumps({key: plain[key] for key in ("instruments", "pooled", "baselines")})


def times_from(when: str, factor: float) -> Callable[[pd.DataFrame], None]:
    def change(frame: pd.DataFrame) -> None:
        later = frame["timestamp"] >= pd.Timestamp(when, tz="UTC")
        frame.loc[later, ["open", "high", "low", "close"]] *= factor

    return change


def test_nothing_after_the_end_is_seen(proposal: MarginProposal, tmp_path: Path) -> None:
    later = [perp(s, seed, jitter=times_from("2024-08-01", 0.3)) for s, seed in (("AAA", 1), ("BBB", 2))]
    assert judged(tune(market(tmp_path / "m", later), RULES, START, END)) == judged(proposal)


def test_the_last_bar_before_the_end_is_seen(proposal: MarginProposal, tmp_path: Path) -> None:
    last = [perp(s, seed, jitter=times_from("2024-07-31 23:00", 0.9)) for s, seed in (("AAA", 1), ("BBB", 2))]
    found = tune(market(tmp_path / "m", last), RULES, START, END)
    for symbol, row in found.instruments.items():
        assert row.target > proposal.instruments[symbol].target
        assert row.measures.violations > proposal.instruments[symbol].measures.violations


def test_rates_are_the_rules_and_generic_ones_are_said(proposal: MarginProposal) -> None:
    first, second = proposal.instruments.values()
    assert (first.current, first.generic) == (0.004, False)
    assert (second.current, second.generic) == (0.02, True)
    assert proposal.data["generic_symbols"] == ["BBB"]
    assert any("generic" in str(note) for note in proposal.data["notes"])  # type: ignore[attr-defined]


def test_the_static_baseline_is_a_plain_count(data: MarketData, proposal: MarginProposal) -> None:
    hits = 0
    for column, rate in enumerate((0.004, 0.02)):
        high, low, close = (data.mark(name)[:, column] for name in ("high", "low", "close"))
        losses = period_losses(data.times, high, low, close, 8, END)
        tested = losses.starts >= START
        hits += int((losses.long[tested] > rate).sum() + (losses.short[tested] > rate).sum())
    static = proposal.baselines["static"]
    assert (static.n_test, static.violations) == (2 * 2 * 92 * 3, hits)


def test_the_proposal_covers_what_is_asked(proposal: MarginProposal) -> None:
    """92 days of two symbols are few: the pooled count must not be far from one in a hundred."""
    assert kupiec(proposal.pooled.violations, proposal.pooled.n_test, 0.01).p_value > 0.01
    assert set(proposal.coverage_by_year) == {"2024"}
    for row in proposal.instruments.values():
        assert row.measures.violations <= sum(side.measures.violations for side in row.sides.values())


def test_more_coverage_asks_more(data: MarketData, proposal: MarginProposal) -> None:
    less = tune(data, RULES, START, END, settings=TuneSettings(level=0.95))
    for symbol, row in less.instruments.items():
        assert row.proposed < proposal.instruments[symbol].proposed
        assert row.measures.violations > proposal.instruments[symbol].measures.violations


def test_a_longer_period_asks_more(data: MarketData, proposal: MarginProposal) -> None:
    half = tune(data, RULES, START, END, settings=TuneSettings(mpor_hours=4))
    assert all(row.target < proposal.instruments[symbol].target for symbol, row in half.instruments.items())


def test_no_proposal_breaks_its_guard_rail(data: MarketData, proposal: MarginProposal) -> None:
    for row in proposal.instruments.values():
        for measures in (row.measures, *(side.measures for side in row.sides.values())):
            assert measures.rise_1d <= 0.1 + 1e-9
        assert row.next_day == pytest.approx(1.1 * row.current)
        assert row.current * 1.1 ** (row.days_to_reach - 1) < row.proposed <= row.current * 1.1**row.days_to_reach
    free = tune(data, RULES, START, END, settings=TuneSettings(max_rise=None))
    assert max(row.measures.rise_1d for row in free.instruments.values()) > 0.1
    assert all(row.proposed == row.target == row.next_day for row in free.instruments.values())


def test_rows_of_the_report(proposal: MarginProposal) -> None:
    rows = proposal.rows()
    assert [(row["symbol"], row["side"]) for row in rows] == [
        ("AAA", "long"),
        ("AAA", "short"),
        ("BBB", "long"),
        ("BBB", "short"),
    ]
    keys = {"symbol", "side", "current", "proposed", "coverage", "kupiec_p", "violations", "n", "change"}
    assert all(set(row) == keys for row in rows)
    assert proposal.instruments["AAA"].proposed >= max(
        side.proposed for side in proposal.instruments["AAA"].sides.values()
    )


def depth_of(symbol: str, at: str, notional: float) -> pd.DataFrame:
    rows = [(side, bps) for side in ("bid", "ask") for bps in (10.0, 50.0)]
    return pd.DataFrame(
        {
            "timestamp": pd.Timestamp(at, tz="UTC"),
            "symbol": symbol,
            "side": [side for side, _ in rows],
            "level_bps": [bps for _, bps in rows],
            "notional": [notional * bps for _, bps in rows],
        }
    )


def test_the_cost_of_liquidation_is_added_and_later_books_are_not_seen(
    proposal: MarginProposal, tmp_path: Path
) -> None:
    """25,000 within 10 bps and 125,000 within 50: a first tier of 50,000 costs (10 + 50) / 2 bps."""
    depth = pd.concat([depth_of("AAA", "2024-07-30", 2500.0), depth_of("AAA", "2024-08-02", 1e9)])
    found = tune(market(tmp_path / "m", [perp("AAA", 1), perp("BBB", 2)], depth), RULES, START, END)
    assert found.instruments["AAA"].sides["long"].liquidation_cost == pytest.approx(0.003)
    assert found.instruments["AAA"].proposed == pytest.approx(proposal.instruments["AAA"].proposed + 0.003)
    assert found.instruments["BBB"].sides["long"].liquidation_cost is None
    assert any("no depth" in str(note) for note in proposal.data["notes"])  # type: ignore[attr-defined]


def test_losses_may_be_those_of_last_prices(data: MarketData, proposal: MarginProposal) -> None:
    """Without a mark table both are the same prices."""
    found = tune(data, RULES, START, END, settings=TuneSettings(prices="trade"))
    assert judged(found) == judged(proposal)
    assert found.data["prices"] == "last price"


def test_a_young_contract_is_left_out_with_its_reason(tmp_path: Path) -> None:
    young = market(tmp_path / "m", [perp("AAA", 1), perp("BBB", 2, days=60)])
    seen: list[str] = []
    found = tune(young, RULES, START, END, progress=seen.append)
    assert list(found.instruments) == ["AAA"]
    assert "too few" in str(found.data["left_out"])
    assert seen == ["AAA", "BBB"]


def test_a_span_cut_short_says_from_when_and_why(data: MarketData, tmp_path: Path) -> None:
    """A forecast needs 250 periods before it, and the first has no price before it: of 89 days few are left."""
    short = tune(market(tmp_path / "m", [perp("AAA", 1, days=120)]), RULES, START, END)
    begin = np.datetime64("2024-05-04", "ns")
    first = begin + np.timedelta64(8 + 250 * 8, "h")
    assert short.data["tested_from"] == str(first)[:19]
    tested = int((END - first) / np.timedelta64(8, "h"))
    assert (short.data["asked_periods"], short.data["tested_periods"]) == (92 * 3, tested)
    assert short.instruments["AAA"].measures.n_test == 2 * tested
    (why,) = short.data["not_tested"]  # type: ignore[misc]
    assert f"the first {276 - tested} periods" in why and "needs 250" in why and "begins 2024-05-04" in why


def test_a_whole_span_has_nothing_to_excuse(proposal: MarginProposal) -> None:
    assert proposal.data["not_tested"] == [] and proposal.data["tested_from"] == "2024-05-01T00:00:00"
    assert proposal.data["asked_periods"] == proposal.data["tested_periods"] == 276
    assert proposal.data["proposed_for"] == "2024-08-01T00:00:00"


def test_periods_without_prices_are_counted(tmp_path: Path) -> None:
    bars = perp("AAA", 1)
    hole = bars["timestamp"].between("2024-06-10 01:00+00:00", "2024-06-10 06:00+00:00")
    found = tune(market(tmp_path / "m", [bars[~hole]]), RULES, START, END)
    assert found.data["not_tested"] == ["1 period is not tested: prices are missing"]


def test_days_become_a_span_and_errors_repeat_what_was_typed(data: MarketData) -> None:
    day = dt.date(2024, 7, 31)
    assert span_of_days(data, dt.date(2024, 5, 1), day) == (START, END)
    assert span_of_days(data, day, day) == (np.datetime64("2024-07-31"), END)
    with pytest.raises(InputError, match=r"must not be before the start, 2024-07-31 \(found '2024-07-30'\)"):
        span_of_days(data, day, dt.date(2024, 7, 30))
    span_of_days(data, day, dt.date(2024, 8, 31))
    with pytest.raises(InputError, match=r"after the last day of the market, 2024-08-31 \(found '2024-09-01'\)"):
        span_of_days(data, day, dt.date(2024, 9, 1))


@pytest.mark.parametrize(
    ("start", "end", "settings", "text"),
    [
        (END, START, {}, "after the start"),
        (START, END, {"mpor_hours": 1.5}, "whole number of bars"),
        (START, END, {"mpor_hours": 0.5}, "whole number of bars"),
        (np.datetime64("2024-01-05"), np.datetime64("2024-01-09"), {}, "no instrument"),
        (np.datetime64("2023-01-05"), np.datetime64("2023-01-09"), {}, "fewer than a period"),
        (np.datetime64("2025-01-05"), np.datetime64("2025-01-09"), {}, "no instrument"),
    ],
)
def test_spans_that_cannot_be_tuned(
    data: MarketData, start: np.datetime64, end: np.datetime64, settings: dict[str, float], text: str
) -> None:
    with pytest.raises(InputError, match=text):
        tune(data, RULES, start, end, settings=TuneSettings(**settings))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("level", 0.3),
        ("mpor_hours", -1.0),
        ("mpor_hours", np.inf),
        ("prices", "index"),
        ("notional", 0.0),
        ("max_rise", 0.0),
        ("max_fall", 0.5),
    ],
)
def test_settings_outside_their_range(name: str, value: object) -> None:
    with pytest.raises(InputError):
        TuneSettings(**{name: value})


def test_an_instrument_without_a_tier_table_is_an_error(data: MarketData) -> None:
    with pytest.raises(InputError, match="BBB"):
        tune(data, RuleBook("x", dt.date(2024, 1, 1), {"AAA": RULES.schedules["AAA"]}), START, END)


def test_real_coins_are_covered_on_both_sides() -> None:
    """Five coins, 2022-01 to 2025-08, shared/data/binance_1h: Kupiec keeps at least nine in ten of coin and side."""
    folder = SHARED / "data" / "binance_1h"
    if not (folder / "perp.parquet").is_file():
        pytest.skip(f"no {folder}")
    found = tune(read_market_folder(folder), RULES, np.datetime64("2022-01-01"), np.datetime64("2025-09-01"))
    assert found.pooled.paths == 10
    assert found.pooled.kupiec_rejections <= 1
    assert all(0.985 < coverage < 0.995 for coverage in found.coverage_by_year.values())
    fhs = found.baselines["FHS-.97"]
    assert found.pooled.rise_5d < 0.5 * fhs.rise_5d
    assert found.pooled.mean_margin < 1.02 * fhs.mean_margin
