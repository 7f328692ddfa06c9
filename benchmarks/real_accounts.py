"""131 real accounts of 2023 rebuilt from their events, and each official liquidation held against the margin core's.

    python benchmarks/real_accounts.py [--shared FOLDER] [--json FILE] [--html FILE]

The tables it prints are those of docs/real_accounts.md, which a test compares. Nothing here is fitted: marks are
Binance's bars and, where there are none, the accounts' own orders; the fills of liquidations are never used as marks.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from margincast.features.accounts.account_bars import account_bars
from margincast.features.accounts.breaches import Breaches, Episode, find_breaches
from margincast.features.accounts.events import AccountEvents, Kind
from margincast.features.accounts.faults import Fault, history_faults
from margincast.features.accounts.rebuild import apply_events, balances, rebuild, start_accounts, states_at
from margincast.features.accounts.trade_bars import trade_bars
from margincast.features.engine.bars import BarTable
from margincast.features.readers.account_events import AccountHistory
from margincast.features.readers.account_events_2023 import read_accounts_2023
from margincast.riskcore.arrays import FloatArray, IntArray
from margincast.riskcore.margin import evaluate, is_breached
from margincast.riskcore.market import MarketHistory, MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.rulebook_file import load_rulebook
from margincast.training.account_plots import AccountPath, write_account_page

HOUR = np.timedelta64(1, "h")
FIRST, LAST = np.datetime64("2023-02-26", "ns"), np.datetime64("2023-05-02T14", "ns")
SHARED = Path(os.environ.get("MARGINCAST_SHARED", Path(__file__).resolve().parents[2] / "shared"))
PRICES = ("open", "high", "low", "close")

OUTSIDE = (
    ("Binance mark, 1 h", "binance_1h/mark.parquet", ""),
    ("Binance perpetual, 30 min", "binance_30m/perp.parquet", ""),
    ("Binance spot, 1 h", "binance_1h/spot.parquet", "_USDT"),
)
OWN = "the accounts' own orders"
"""Sources of marks in the order in which they are asked for a coin."""

LONG_HELD = 4_000.0
"""Notional times hours from which an emptied account says what funding comes to on average."""
NO_HOURS = 1e-9


@dataclass(frozen=True)
class Study:
    """The accounts, the market they are held against and what came of it."""

    history: AccountHistory
    market: MarketHistory
    rules: RuleBook
    sources: dict[str, str]
    breaches: Breaches
    path: BarTable

    @property
    def events(self) -> AccountEvents:
        return self.history.events


@dataclass(frozen=True)
class Judged:
    """One official liquidation and what the rebuilt account says of it; amounts in USDC.

    `rebuilt_notional` is the rebuilt position at the prices of the fills, `rebuilt_equity` and `in_breach` are at the
    official mark. `gap` is rebuilt less official equity, `rate` that in basis points of the notional held an hour.
    `late` is the start of the nearest episode of breaches less the official time, hours; 0 within that hour.
    """

    number: int
    time: str
    account: str
    legs: str
    official_notional: float
    rebuilt_notional: float
    official_equity: float
    rebuilt_equity: float
    maintenance: float
    gap: float
    notional_hours: float
    in_breach: bool
    mark: str
    unpriced: bool
    late: float | None
    survived: float
    deposited: bool
    verdict: str

    @property
    def rate(self) -> float:
        return self.gap / max(self.notional_hours, NO_HOURS) * 1e4

    @property
    def found(self) -> bool:
        return self.late is not None and abs(self.late) <= 1.0


@dataclass(frozen=True)
class Alarm:
    """An episode of breaches that is no official liquidation's; `short` is how far below maintenance it fell, USDC."""

    account: str
    first: str
    bars: int
    certain: bool
    legs: str
    short: float
    short_share: float
    verdict: str


@dataclass(frozen=True)
class Emptied:
    """An account that withdrew all it had: what the rebuilt account has left then is what the files do not tell."""

    account: str
    time: str
    left: float
    notional_hours: float
    fills: int


def load(shared: Path = SHARED) -> Study:
    """Read the accounts, put the market together and find every breach."""
    history = read_accounts_2023(shared / "data" / "real_accounts_2023")
    market, sources = market_of(history.events, shared / "data")
    rules = rules_of_2023(history.events.instruments.symbols)
    breaches = find_breaches(history.events, market, rules)
    return Study(history, market, rules, sources, breaches, account_bars(history.events, market, rules))


def rules_of_2023(symbols: Sequence[str]) -> RuleBook:
    """Hyperliquid's rules of 2023; the coins its recording does not list take the same 1% (the data's README)."""
    rules = load_rulebook("hyperliquid", dt.date(2023, 3, 1))
    one_per_cent = RateSchedule.marginal([0.0], [0.01], [50.0])
    missing = {symbol: one_per_cent for symbol in symbols if symbol not in rules.schedules}
    return replace(rules, schedules={**rules.schedules, **missing})


def market_of(events: AccountEvents, data: Path) -> tuple[MarketHistory, dict[str, str]]:
    """Hourly marks of every coin, and which source each coin's are from; hours without a price stay NaN."""
    times = np.arange(FIRST, LAST, HOUR)
    own = trade_bars(events, times, HOUR)
    prices = {name: getattr(own, name).copy() for name in PRICES}
    tables = [(name, pd.read_parquet(data / file), suffix) for name, file, suffix in OUTSIDE]
    sources = {}
    for place, symbol in enumerate(events.instruments.symbols):
        sources[symbol] = OWN
        for name, table, suffix in tables:
            rows = table[table["symbol"] == symbol + suffix]
            if len(rows):
                sources[symbol] = name
                for column, values in _hourly(rows, times).items():
                    prices[column][:, place] = values
                break
    count = len(events.instruments)
    funding = np.zeros((len(times), count))
    series = np.arange(count)
    said = "; ".join(f"{symbol}: {source}" for symbol, source in sources.items()) + "; no funding"
    return MarketHistory(events.instruments, times, *prices.values(), series, [-1], funding, said), sources


def _hourly(rows: pd.DataFrame, times: np.ndarray) -> dict[str, FloatArray]:
    hours = rows.groupby(rows["timestamp"].dt.floor("h"))
    bars = pd.DataFrame(
        {
            "open": hours["open"].first(),
            "high": hours["high"].max(),
            "low": hours["low"].min(),
            "close": hours["close"].last(),
        }
    )
    laid = bars.reindex(pd.DatetimeIndex(times, tz="UTC"))
    return {name: laid[name].to_numpy() for name in PRICES}


def judge_liquidations(study: Study) -> list[Judged]:
    """Every official liquidation, in order of time."""
    events = study.events
    bound = funding_bound(emptied_accounts(events))
    rows = np.flatnonzero(events.kind == Kind.LIQUIDATION)
    return [_judge(study, number, int(row), bound) for number, row in enumerate(rows)]


def _judge(study: Study, number: int, row: int, bound: float) -> Judged:
    events, account, time = study.events, int(study.events.account[row]), study.events.time[row]
    fills, mark = official_marks(events, row)
    before = states_at(events, [time - np.timedelta64(1, "ns")])[0].take(np.array([account]))
    state = evaluate(before, MarketState(time, mark, [1.0]), study.rules)
    bar = int((time - study.market.times[0]) // HOUR)
    symbols = [events.instruments.symbols[i] for i in before.position_instrument]
    survived, deposited = _opened_after(events, account, time)
    equity, maintenance = float(state.equity[0]), float(state.maintenance[0])
    price = np.full(len(mark), np.nan)
    price[events.instrument[fills]] = events.price[fills]
    judged = Judged(
        number,
        str(time.astype("datetime64[s]")),
        events.accounts[account],
        ", ".join(f"{'long' if q > 0 else 'short'} {s}" for q, s in zip(before.quantity, symbols, strict=True)),
        float(events.notional[row]),
        float((np.abs(before.quantity) * price[before.position_instrument]).sum()),
        float(events.amount[row]),
        equity,
        maintenance,
        equity - float(events.amount[row]),
        notional_hours(events, account, time),
        bool(is_breached(state.equity, state.maintenance, study.rules)[0]),
        "; ".join(dict.fromkeys(study.sources[s] for s in symbols)),
        bool(np.isnan(study.market.close[bar, before.position_instrument]).any()),
        _late(study, account, time),
        survived,
        deposited,
        "",
    )
    return replace(judged, verdict=_verdict(judged, has_deposits(events, account), bound))


def official_marks(events: AccountEvents, row: int) -> tuple[IntArray, FloatArray]:
    """Fills of a liquidation, and the mark of each coin it was told at: the fills are at the price without equity.

    That price lies from the mark by the share that equity has in the notional, against the position; so for one leg the
    mark is (price * quantity + equity) / quantity, and for several the same share is taken off each.
    """
    own = events.forced & (events.account == events.account[row]) & (events.time == events.time[row])
    fills = np.flatnonzero(own)
    share = events.amount[row] / events.notional[row]
    mark = np.full(len(events.instruments), np.nan)
    mark[events.instrument[fills]] = events.price[fills] / (1.0 + np.sign(events.quantity[fills]) * share)
    return fills, mark


def _late(study: Study, account: int, time: np.datetime64) -> float | None:
    """Start of the episode around an instant less the instant, hours; None where none is near."""
    near = [one for one in study.breaches.episodes() if one.account == account and _covers(study, one, time)]
    if not near:
        return None
    opened = study.market.times[near[0].first]
    if opened <= time < opened + HOUR:
        return 0.0
    edge = opened if time < opened else opened + HOUR
    return float((edge - time) / HOUR)


def _covers(study: Study, episode: Episode, time: np.datetime64) -> bool:
    times = study.market.times
    return bool(times[episode.first] - HOUR <= time <= times[episode.last] + 2 * HOUR)


def has_deposits(events: AccountEvents, account: int) -> bool:
    """Whether the ledger has a deposit of an account."""
    return bool(((events.kind == Kind.DEPOSIT) & (events.account == account)).any())


def _opened_after(events: AccountEvents, account: int, time: np.datetime64) -> tuple[float, bool]:
    """Largest notional held after a liquidation before money came in again, and whether any came in after it."""
    later = np.flatnonzero((events.account == account) & (events.time > time))
    paid = later[events.kind[later] == Kind.DEPOSIT]
    rows = later[later < paid[0]] if len(paid) else later
    held: dict[int, float] = {}
    largest = 0.0
    for row in rows[events.kind[rows] == Kind.TRADE]:
        i = int(events.instrument[row])
        held[i] = held.get(i, 0.0) + float(events.quantity[row])
        largest = max(largest, abs(held[i]) * float(events.price[row]))
    return largest, bool(len(paid))


def notional_hours(events: AccountEvents, account: int, until: np.datetime64) -> float:
    """Notional times hours over the full hours at which positions were held, each at its last own price."""
    rows = np.flatnonzero((events.account == account) & (events.time < until) & (events.kind == Kind.TRADE))
    hours = np.append(events.time[rows], until).astype("datetime64[h]").astype(np.int64)
    lots = events.quantity_lots
    held, worth = np.zeros(len(events.instruments), np.int64), np.zeros(len(events.instruments))
    total = 0.0
    for row, crossed in zip(rows, np.diff(hours), strict=True):
        i = events.instrument[row]
        held[i] += lots[row]
        worth[i] = abs(held[i]) / events.lots[i] * events.price[row]
        total += float(crossed) * float(worth.sum())
    return total


def _verdict(one: Judged, funded: bool, bound: float) -> str:
    if one.found:
        return "found"
    if not funded:
        return "no ledger"
    if one.late is not None:
        return "early: money not in the ledger"
    if one.survived > 0.0:
        return "money apart, seen after"
    if one.unpriced:
        return "no price"
    if abs(one.rate) <= bound:
        return "within funding"
    return "money apart"


def emptied_accounts(events: AccountEvents) -> list[Emptied]:
    """Withdrawals of uneven amounts (all there was) that left a flat account with less than 3% of what was taken."""
    state, found = start_accounts(len(events.accounts), events.instruments), []
    seen = 0
    for row in np.flatnonzero(events.kind == Kind.WITHDRAWAL):
        apply_events(state, events, seen, row + 1)
        seen, account, amount = int(row) + 1, int(events.account[row]), -float(events.amount[row])
        left = float(balances(state)[account, 0])
        uneven = abs(amount * 100 - round(amount * 100)) > 1e-6
        if uneven and state["open_positions"][account] == 0 and abs(left) <= max(0.03 * amount, 0.01):
            hours = notional_hours(events, account, events.time[row])
            fills = int(state["by_kind"][account, Kind.TRADE])
            time = str(events.time[row].astype("datetime64[s]"))
            found.append(Emptied(events.accounts[account], time, left, hours, fills))
    return found


def funding_bound(emptied: Sequence[Emptied]) -> float:
    """Largest share of notional an hour, basis points, that emptied accounts lost or gained over 4,000 or more."""
    return max(abs(one.left) / one.notional_hours * 1e4 for one in emptied if one.notional_hours >= LONG_HELD)


def judge_alarms(study: Study, judged: Sequence[Judged]) -> list[Alarm]:
    """Episodes of breaches that are no official liquidation's, in order of account and time."""
    events, times = study.events, study.market.times
    official = [(one.account, np.datetime64(one.time, "ns")) for one in judged]
    faults = history_faults(rebuild(events), events.accounts)
    bound = funding_bound(emptied_accounts(events))
    found = []
    for one in study.breaches.episodes():
        name = events.accounts[one.account]
        if any(account == name and _covers(study, one, time) for account, time in official):
            continue
        legs, short, notional = _shortest(study, one)
        held = notional_hours(events, one.account, times[one.last] + HOUR)
        unfunded = any(
            fault.account == name and fault.fault == Fault.UNFUNDED and fault.first <= times[one.last] + HOUR
            for fault in faults
        )
        verdict = _alarm_verdict(one, unfunded, short <= bound * 1e-4 * held)
        started = str(times[one.first].astype("datetime64[h]"))
        bars = one.last - one.first + 1
        found.append(Alarm(name, started, bars, one.certain, legs, short, short / notional, verdict))
    return found


def _shortest(study: Study, episode: Episode) -> tuple[str, float, float]:
    """Legs, and how much the lowest headroom of the episode falls short, with the notional: at the worst extreme."""
    events, market = study.events, study.market
    rows = (study.breaches.account == episode.account) & (study.breaches.bar >= episode.first)
    rows &= study.breaches.bar <= episode.last
    row = np.flatnonzero(rows)[np.argmin(study.breaches.equity[rows])]
    bar = int(study.breaches.bar[row])
    ends = events.time[(events.account == episode.account) & (events.time < market.times[bar] + HOUR)]
    instants = [market.times[bar], *ends[ends > market.times[bar]]]
    worst = ("", 0.0, 1.0)
    for book in states_at(events, instants):
        own = book.take(np.array([episode.account]))
        for prices in (market.low[bar], market.high[bar], market.close[bar]):
            if len(own.quantity) == 0 or np.isnan(prices[own.position_instrument]).any():
                continue
            state = evaluate(own, MarketState(market.times[bar], prices, [1.0]), study.rules)
            short = float(-state.headroom[0])
            if short > worst[1]:
                names = [events.instruments.symbols[i] for i in own.position_instrument]
                worst = (", ".join(names), short, float(state.leg_notional.sum()))
    return worst


def _alarm_verdict(one: Episode, unfunded: bool, within_funding: bool) -> str:
    if unfunded:
        return "money not in the ledger"
    if not one.certain:
        return "changed within the hour"
    return "within funding" if within_funding else "price source"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(str(value) for value in row) + " |" for row in rows)])


def summary_table(study: Study, judged: Sequence[Judged], alarms: Sequence[Alarm]) -> str:
    """What came of it in numbers."""
    events, emptied = study.events, emptied_accounts(study.events)
    ratio = np.array([one.rebuilt_notional / one.official_notional for one in judged])
    flat = _legs_left(study)
    exact = [one for one in emptied if one.notional_hours == 0.0 and one.fills > 0]
    at_hand = [one for one in judged if not one.unpriced and abs(one.gap) <= 0.0025 * one.official_notional]
    held = np.count_nonzero(study.path.columns["notional"] > 0.0)
    certain = [one for one in alarms if one.certain and one.verdict != "money not in the ledger"]
    rows = (
        (
            "accounts with trades; fills; transfers",
            f"{_traders(events)}; {_count(events, Kind.TRADE):,}; {_transfers(events)}",
        ),
        ("official liquidations, all told to be cross", len(judged)),
        (
            "official equity below the core's maintenance margin of the rebuilt positions at the official mark",
            f"{sum(one.official_equity < one.maintenance for one in judged)} of {len(judged)}",
        ),
        ("positions that the fills of a liquidation closed to the last lot", f"{flat[0]} of {flat[1]}"),
        ("liquidated notional rebuilt within 5%", f"{np.count_nonzero(np.abs(ratio - 1) <= 0.05)} of {len(judged)}"),
        ("largest difference of liquidated notional", f"{np.abs(ratio - 1).max():.2%}"),
        (
            "accounts emptied that never held over a full hour: nothing left, to 0.000001 USDC",
            f"{sum(abs(one.left) < 1e-6 for one in exact)} of {len(exact)}, after {_fills(exact)} fills; "
            f"else {max(abs(one.left) for one in exact):.2f}",
        ),
        (
            "emptied accounts that held longer: funding and the like, average",
            f"up to {funding_bound(emptied):.2f} bp of notional an hour",
        ),
        ("official mark inside the hour's bar", _inside(study)),
        ("found within an hour", f"{sum(one.found for one in judged)} of {len(judged)}"),
        (
            "found within an hour where equity is known to 0.25% of notional and there is a price",
            f"{sum(one.found for one in at_hand)} of {len(at_hand)}",
        ),
        ("hours in which an account held a position and had a price", f"{held:,}"),
        ("episodes of breaches without an official liquidation", len(alarms)),
        ("of these certain, of accounts whose money is in the ledger", len(certain)),
    )
    return markdown(("what", "figure"), rows)


def _traders(events: AccountEvents) -> int:
    return len(np.unique(events.account[events.kind == Kind.TRADE]))


def _count(events: AccountEvents, kind: Kind) -> int:
    return int(np.count_nonzero(events.kind == kind))


def _transfers(events: AccountEvents) -> int:
    return _count(events, Kind.DEPOSIT) + _count(events, Kind.WITHDRAWAL)


def _fills(emptied: Sequence[Emptied]) -> int:
    return sum(one.fills for one in emptied)


def _legs_left(study: Study) -> tuple[int, int]:
    """Positions that are flat right after the fills of a liquidation, of all that it filled."""
    events, flat = study.events, 0
    rows = np.flatnonzero(events.forced)
    for row in rows:
        last = events.until(events.time[row])
        state = rebuild(events.take(np.arange(last)))
        flat += int(state["lots"][events.account[row], events.instrument[row]] == 0)
    return flat, len(rows)


def _inside(study: Study) -> str:
    """In how many liquidations with a price the official mark lies between the hour's low and high."""
    events, inside, priced = study.events, 0, 0
    for row in np.flatnonzero(events.kind == Kind.LIQUIDATION):
        bar = int((events.time[row] - study.market.times[0]) // HOUR)
        fills, mark = official_marks(events, int(row))
        place = events.instrument[fills]
        low, high = study.market.low[bar, place], study.market.high[bar, place]
        priced += int(not np.isnan(low).any())
        inside += int(((low <= mark[place]) & (mark[place] <= high)).all())
    return f"{inside} of {priced}"


def liquidation_table(judged: Sequence[Judged]) -> str:
    """Every official liquidation; amounts in USDC."""
    heads = ("no", "time (UTC)", "account", "position", "notional", "rebuilt", "equity", "rebuilt", "gap, bp an hour")
    heads += ("breach at official mark", "marks", "start of breach, h", "verdict")
    rows = (
        (
            one.number,
            one.time[:16].replace("T", " "),
            one.account.removeprefix("acct_"),
            one.legs,
            f"{one.official_notional:,.2f}",
            f"{one.rebuilt_notional / one.official_notional - 1:+.2%}",
            f"{one.official_equity:.2f}",
            f"{one.rebuilt_equity:.2f}",
            f"{one.rate:.2f}",
            "yes" if one.in_breach else "no",
            one.mark + (" (none that hour)" if one.unpriced else ""),
            "–" if one.late is None else f"{one.late:+.1f}",
            one.verdict,
        )
        for one in judged
    )
    return markdown(heads, rows)


def alarm_table(alarms: Sequence[Alarm]) -> str:
    """Breaches without an official liquidation, by account and verdict."""
    groups: dict[tuple[str, str], list[Alarm]] = {}
    for one in alarms:
        groups.setdefault((one.account, one.verdict), []).append(one)
    heads = ("account", "episodes", "hours", "first", "legs", "largest shortfall, USDC", "of notional", "verdict")
    rows = (
        (
            account.removeprefix("acct_"),
            len(own),
            sum(one.bars for one in own),
            own[0].first.replace("T", " ") + "h",
            ", ".join(sorted({leg for one in own for leg in one.legs.split(", ")})),
            f"{max(one.short for one in own):.2f}",
            f"{max(one.short_share for one in own):.2%}",
            verdict,
        )
        for (account, verdict), own in groups.items()
    )
    return markdown(heads, rows)


def source_table(study: Study) -> str:
    """Where each coin's marks come from."""
    events = study.events
    rows = []
    for place, symbol in enumerate(events.instruments.symbols):
        hours = int(np.isfinite(study.market.close[:, place]).sum())
        traders = len(np.unique(events.account[(events.kind == Kind.TRADE) & (events.instrument == place)]))
        rows.append((symbol, study.sources[symbol], f"{hours} of {len(study.market)}", traders))
    return markdown(("coin", "marks", "hours with a mark", "accounts that traded it"), rows)


def paths_of(study: Study, judged: Sequence[Judged]) -> dict[str, list[AccountPath]]:
    """Panels of the page: around each liquidation, and every liquidated account in full."""
    near = [
        _path(study, one.account, [one], (-72, 6), f"{one.number} {one.account[5:]}: {one.verdict}") for one in judged
    ]
    whole = []
    for account in dict.fromkeys(one.account for one in judged):
        own = [one for one in judged if one.account == account]
        whole.append(_path(study, account, own, None, f"{account[5:]}: {', '.join(one.verdict for one in own)}"))
    return {"three days before to six hours after": near, "from first to last event": whole}


def _path(study: Study, account: str, own: Sequence[Judged], window: tuple[int, int] | None, title: str) -> AccountPath:
    times = study.path.times + study.path.step
    place = study.path.symbols.index(account)
    official = np.array([one.time for one in own], "datetime64[ns]")
    theirs = study.events.time[study.events.account == place]
    first, last = theirs[0] - HOUR, theirs[-1] + 6 * HOUR
    if window is not None:
        first, last = max(first, official[0] + window[0] * HOUR), official[0] + window[1] * HOUR
    rows = (times >= first) & (times <= last)
    found = np.array(
        [study.market.times[one.first] for one in study.breaches.episodes() if one.account == place], "datetime64[ns]"
    )
    columns = study.path.columns
    return AccountPath(
        title,
        "; ".join(dict.fromkeys(f"{one.legs}; marks: {one.mark}" for one in own)),
        times[rows],
        columns["equity"][rows, place],
        columns["maintenance"][rows, place],
        official,
        np.array([one.official_equity for one in own]),
        found[(found >= first) & (found <= last)],
    )


def main() -> None:
    """Print the tables; write JSON and the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder with data/real_accounts_2023 and the bars")
    parser.add_argument("--json", type=Path, help="write every figure")
    parser.add_argument("--html", type=Path, help="write the paths of all liquidated accounts as one page")
    asked = parser.parse_args()
    study = load(asked.shared)
    judged = judge_liquidations(study)
    alarms = judge_alarms(study, judged)
    for table in (
        summary_table(study, judged, alarms),
        source_table(study),
        liquidation_table(judged),
        alarm_table(alarms),
    ):
        print(table, end="\n\n")
    print(*study.history.notes, sep="\n")
    if asked.json:
        unpriced = dict(zip(study.events.accounts, study.breaches.unpriced.tolist(), strict=True))
        faults = [str(one) for one in history_faults(rebuild(study.events), study.events.accounts)]
        told = {"liquidations": [asdict(one) | {"rate": one.rate, "found": one.found} for one in judged]}
        told |= {"alarms": [asdict(one) for one in alarms], "unpriced_hours": unpriced, "faults": faults}
        asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    if asked.html:
        write_account_page(
            paths_of(study, judged),
            asked.html,
            title="Liquidated accounts of 2023",
            subtitle="Real accounts of a perpetual exchange, 26 February to 2 May 2023; marks as the notes say",
            lead="Equity and maintenance margin at the close of each hour in USDC, rebuilt from trades and the ledger. "
            "The line is broken where a coin has no price. Funding is not in the files.",
        )
        print(f"wrote {asked.html}")


if __name__ == "__main__":
    main()
