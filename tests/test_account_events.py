"""Accounts rebuilt from events: against a plain twin, in exact numbers, in batch and stream, and where it cannot be."""

import io
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margincast.features.accounts.events import NONE, AccountEvents, Kind
from margincast.features.accounts.faults import Fault, cash_known, history_faults
from margincast.features.accounts.openings import infer_openings, start_from
from margincast.features.accounts.rebuild import (
    apply_events,
    balances,
    book_of,
    rebuild,
    start_accounts,
    states_at,
    with_more_accounts,
)
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import INVERSE, LINEAR, InstrumentTable

TABLE = InstrumentTable(
    ("BTC", "ALT", "BTC_INV"), [LINEAR, LINEAR, INVERSE], [1.0, 10.0, 100.0], [0, 0, 1], ("USDT", "BTC")
)
START = np.datetime64("2024-01-01", "ns")
MINUTE = np.timedelta64(1, "m")


def drawn_events(seed, n, accounts=5, *, fees=True):
    """Trades of three contracts, transfers and funding, many at one instant; every number is short in decimals."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(
        [Kind.DEPOSIT, Kind.FUNDING, Kind.TRADE, Kind.LIQUIDATION, Kind.WITHDRAWAL], n, p=[0.1, 0.1, 0.6, 0.05, 0.15]
    )
    trade = kind == Kind.TRADE
    instrument = np.where(trade, rng.integers(0, 3, n), NONE)
    lots = rng.integers(1, 40, n) * np.where(rng.random(n) < 0.5, 1, -1)
    quantity = np.where(trade, np.where(instrument == 2, lots * 1.0, lots / 100), np.nan)
    price = np.where(trade, rng.integers(9_000, 11_000, n) / 100, np.nan)
    amount = rng.integers(1, 10_000, n) / 100
    amount = np.where(kind == Kind.WITHDRAWAL, -amount, amount)
    amount = np.where(kind == Kind.FUNDING, amount - 50, amount)
    amount = np.where(trade, -rng.integers(0, 50, n) / 1000 if fees else np.nan, amount)
    time = START + np.sort(rng.integers(0, n // 2 + 1, n)) * MINUTE
    asset = np.where(trade, TABLE.settlement[instrument], rng.integers(0, 2, n))
    return AccountEvents.of(
        TABLE, [f"a{k}" for k in range(accounts)], time, rng.integers(0, accounts, n), kind, instrument=instrument,
        asset=asset, quantity=quantity, price=price, amount=amount, closes=trade & (rng.random(n) < 0.05),
    )  # fmt: skip


class PlainAccount:
    """One account event by event, as the rules read; numbers are floats, or fractions of the decimals given."""

    def __init__(self, number):
        self.number = number
        self.held, self.entry = [0, 0, 0], [None] * 3
        self.money = {name: [number(0)] * 2 for name in ("deposited", "withdrawn", "realised", "fees", "funding")}

    def add(self, name, asset, amount):
        self.money[name][asset] = self.money[name][asset] + amount

    def balance(self, asset):
        deposited, withdrawn, realised, fees, funding = (one[asset] for one in self.money.values())
        return self.number(0) + deposited - withdrawn + realised - fees + funding

    def apply(self, events, row):
        kind, asset, amount = events.kind[row], int(events.asset[row]), events.amount[row]
        if kind == Kind.TRADE:
            if not np.isnan(amount):
                self.money["fees"][asset] = self.money["fees"][asset] - self.exact(amount)
            self.trade(events, row)
        elif kind == Kind.DEPOSIT:
            self.add("deposited", asset, self.exact(amount))
        elif kind == Kind.WITHDRAWAL:
            self.money["withdrawn"][asset] = self.money["withdrawn"][asset] - self.exact(amount)
        elif kind == Kind.FUNDING:
            self.add("funding", asset, self.exact(amount))

    def exact(self, value):
        return self.number(value) if self.number is float else Fraction(repr(float(value)))

    def trade(self, events, row):
        i, price, more = int(events.instrument[row]), self.exact(events.price[row]), int(events.quantity_lots[row])
        held, entry = self.held[i], self.entry[i]
        if events.closes[row] and not (held * more < 0 and abs(more) <= abs(held)):
            more = -held if held * more < 0 else 0
        if held * more < 0:
            closed = held if abs(more) >= abs(held) else -more
            size = self.number(closed) / self.number(events.lots[i]) * self.number(TABLE.multiplier[i])
            one = self.number(1)
            profit = size * (one / entry - one / price) if i == 2 else size * (price - entry)
            self.add("realised", int(TABLE.settlement[i]), profit)
        after = held + more
        if after == 0:
            self.entry[i] = None
        elif more != 0 and (held == 0 or held * after < 0):
            self.entry[i] = price
        elif held * more > 0:
            both = self.number(held), self.number(more)
            harmonic = (both[0] + both[1]) / (both[0] / entry + both[1] / price)
            self.entry[i] = harmonic if i == 2 else (both[0] * entry + both[1] * price) / (both[0] + both[1])
        self.held[i] = after


def plainly(events, number):
    accounts = [PlainAccount(number) for _ in events.accounts]
    for row in range(len(events)):
        accounts[events.account[row]].apply(events, row)
    return accounts


def same_state(one, two):
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


@pytest.mark.parametrize("fees", [True, False])
def test_the_compiled_replay_is_the_plain_one_to_the_bit(fees):
    events = drawn_events(1, 3000, fees=fees)
    state = rebuild(events)
    for account, plain in enumerate(plainly(events, float)):
        assert state["lots"][account].tolist() == plain.held
        np.testing.assert_array_equal(state["entry"][account], [np.nan if e is None else e for e in plain.entry])
        for name, money in plain.money.items():
            assert state[name][account].tolist() == money, name
        raw = [plain.balance(asset) for asset in (0, 1)]
        assert balances(state)[account].tolist() == raw
    assert state["without_fee"].sum() == (0 if fees else (events.kind == Kind.TRADE).sum())


def test_in_exact_numbers_positions_are_the_same_and_money_is_within_the_rounding_that_is_told():
    events = drawn_events(2, 1500)
    state = rebuild(events)
    for account, plain in enumerate(plainly(events, Fraction)):
        assert state["lots"][account].tolist() == plain.held
        for i in range(3):
            if plain.entry[i] is not None:
                assert abs(state["entry"][account, i] / float(plain.entry[i]) - 1) < 1e-12
        for asset in (0, 1):
            apart = abs(balances(state)[account, asset] - float(plain.balance(asset)))
            assert apart < 1e-12 * state["moved"][account, asset]


@pytest.mark.parametrize("restart_every", [1, 7, 0])
def test_one_event_at_a_time_through_checkpoints_gives_the_same_bits(restart_every):
    events = drawn_events(3, 800)
    state = start_accounts(len(events.accounts), TABLE)
    for row in range(len(events)):
        apply_events(state, events.take(np.array([row])))
        if restart_every and row % restart_every == 0:
            stored = io.BytesIO()
            np.savez(stored, **state)
            stored.seek(0)
            with np.load(stored, allow_pickle=False) as loaded:
                state = {name: loaded[name].copy() for name in loaded.files}
    same_state(state, rebuild(events))


def test_accounts_that_come_later_join_a_running_state():
    events = drawn_events(4, 400, accounts=3)
    first = events.take(events.account < 2)
    early = AccountEvents.of(
        TABLE, events.accounts[:2], first.time, first.account, first.kind,
        **{name: getattr(first, name) for name in ("instrument", "asset", "quantity", "price", "amount", "closes")},
    )  # fmt: skip
    state = with_more_accounts(rebuild(early), 1, TABLE)
    state["last"][:] = 0
    apply_events(state, events.take(events.account == 2))
    expected = rebuild(events)
    state["last"][:] = expected["last"]
    same_state(state, expected)


def test_what_happens_after_an_instant_changes_nothing_at_it():
    events = drawn_events(5, 600)
    at = events.time[300]
    times = np.unique(events.time[:300])[::17]
    rows = np.arange(len(events))
    others = drawn_events(6, 600)
    late = others.take(others.time > at)
    both = {
        name: np.concatenate((getattr(events, name)[rows[events.time <= at]], getattr(late, name)))
        for name in ("time", "account", "kind", "instrument", "asset", "quantity", "price", "amount", "closes")
    }
    changed = AccountEvents.of(TABLE, events.accounts, both.pop("time"), both.pop("account"), both.pop("kind"), **both)
    for one, two in zip(states_at(events, times), states_at(changed, times), strict=True):
        for name in ("balance", "quantity", "entry_price", "position_pointer", "balance_pointer"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert not np.array_equal(balances(rebuild(events)), balances(rebuild(changed)))


def test_a_book_at_an_instant_is_the_state_of_the_events_until_then():
    events = drawn_events(7, 500)
    times = np.append(START - MINUTE, np.unique(events.time)[::13])
    for time, book in zip(times, states_at(events, times), strict=True):
        state = rebuild(events.take(events.time <= time))
        expected = book_of(state, events.accounts, TABLE, events.lots)
        for name in ("balance", "balance_asset", "quantity", "entry_price", "position_instrument"):
            np.testing.assert_array_equal(getattr(book, name), getattr(expected, name))
    with pytest.raises(InputError, match="row 1, column times: must not fall"):
        states_at(events, [START + MINUTE, START])


def trades(quantities, prices, instrument=0, **columns):
    n = len(quantities)
    times = START + np.arange(n) * MINUTE
    return AccountEvents.of(
        TABLE, ["a"], times, [0] * n, [Kind.TRADE] * n, instrument=[instrument] * n, quantity=quantities,
        price=prices, amount=[0.0] * n, **columns,
    )  # fmt: skip


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(50, 150)), min_size=1, max_size=30))
def test_profit_and_value_do_not_depend_on_how_a_position_was_cut(fills):
    """Realised plus unrealised profit is what the fills cost, whatever the averaging; entries lie among the prices."""
    quantity, price = (np.array(column, float) for column in zip(*fills, strict=True))
    state = rebuild(trades(quantity, price))
    held, mark = quantity.sum(), 100.0
    entry = state["entry"][0, 0]
    unrealised = 0.0 if held == 0 else held * (mark - entry)
    assert state["realised"][0, 0] + unrealised == pytest.approx(held * mark - (quantity * price).sum(), abs=1e-8)
    assert np.isnan(entry) if held == 0 else price.min() - 1e-9 <= entry <= price.max() + 1e-9


def test_the_average_entry_follows_the_rules_of_the_field():
    increased = rebuild(trades([1.0, 3.0], [100.0, 200.0]))
    assert increased["entry"][0, 0] == 175.0
    reduced = rebuild(trades([1.0, 3.0, -2.0], [100.0, 200.0, 50.0]))
    assert reduced["entry"][0, 0] == 175.0
    assert reduced["realised"][0, 0] == 2 * (50 - 175)
    turned = rebuild(trades([1.0, 3.0, -6.0], [100.0, 200.0, 180.0]))
    assert (turned["lots"][0, 0] / 1e8, turned["entry"][0, 0], turned["realised"][0, 0]) == (-2.0, 180.0, 4 * 5.0)
    assert turned["opened"][0, 0] == (START + 2 * MINUTE).astype(np.int64)


def test_an_inverse_position_earns_what_bitmex_says():
    """BitMEX, P&L guide: long 50,000 XBTUSD from 10,000 to 11,000 earns 0.4545 XBT."""
    table = InstrumentTable(("XBTUSD",), [INVERSE], [1.0], [0], ("XBT",))
    events = AccountEvents.of(
        table, ["a"], START + np.arange(2) * MINUTE, [0, 0], [Kind.TRADE] * 2, instrument=[0, 0],
        quantity=[50_000.0, -50_000.0], price=[10_000.0, 11_000.0],
    )  # fmt: skip
    assert rebuild(events)["realised"][0, 0] == pytest.approx(0.4545, abs=5e-5)


def test_tenths_that_floats_cannot_hold_leave_a_flat_position():
    state = rebuild(trades([0.1, 0.2, -0.3], [100.0, 100.0, 100.0]))
    assert 0.1 + 0.2 - 0.3 != 0.0
    assert (state["lots"][0, 0], state["open_positions"][0]) == (0, 0)
    assert np.isnan(state["entry"][0, 0])


def test_positions_of_many_lots_do_not_overflow():
    """65,000 coins are 6.5e12 lots, whose square does not fit into 64 bits."""
    state = rebuild(trades([65_376.7, -6_240.4, -70_000.0], [1.4445, 1.4455, 1.44]))
    assert state["lots"][0, 0] == -1_086_370_000_000
    assert state["entry"][0, 0] == 1.44
    with pytest.raises(InputError, match="too many lots"):
        trades([1e9], [1.0])
    assert rebuild(trades([1e9], [1.0], lots=1.0))["lots"][0, 0] == 10**9


def test_events_of_one_instant_take_the_order_that_is_told():
    """Given backwards: the deposit comes first, the fills in their own order, the withdrawal after them."""
    kinds = [Kind.POSITION, Kind.WITHDRAWAL, Kind.LIQUIDATION, Kind.TRADE, Kind.TRADE, Kind.DEPOSIT]
    events = AccountEvents.of(
        TABLE, ["a"], [START] * 6, [0] * 6, kinds, instrument=[0, NONE, NONE, 0, 0, NONE],
        quantity=[0.0, np.nan, np.nan, 2.0, -2.0, np.nan], price=[np.nan, np.nan, np.nan, 10.0, 11.0, np.nan],
        amount=[np.nan, -7.0, np.nan, 0.0, 0.0, 5.0],
    )  # fmt: skip
    assert events.kind.tolist() == [
        Kind.DEPOSIT,
        Kind.TRADE,
        Kind.TRADE,
        Kind.LIQUIDATION,
        Kind.WITHDRAWAL,
        Kind.POSITION,
    ]
    assert events.quantity[1:3].tolist() == [2.0, -2.0]
    assert history_faults(rebuild(events), events.accounts) == []
    with pytest.raises(InputError, match="out of order within its instant"):
        events.take(np.arange(6)[::-1])


def one_account(*rows, lots=1e8):
    """Events from (minute, kind, column values)."""
    names = ("instrument", "asset", "quantity", "price", "amount", "closes")
    empty = {"instrument": NONE, "asset": 0, "quantity": np.nan, "price": np.nan, "amount": np.nan, "closes": False}
    columns = {name: [(empty | row[2])[name] for row in rows] for name in names}
    times = [START + row[0] * MINUTE for row in rows]
    return AccountEvents.of(TABLE, ["a"], times, [0] * len(rows), [row[1] for row in rows], lots=lots, **columns)


def trade(minute, quantity, price, instrument=0, **more):
    return minute, Kind.TRADE, {"instrument": instrument, "quantity": quantity, "price": price, "amount": 0.0} | more


def money(minute, amount, asset=0):
    return minute, Kind.DEPOSIT if amount > 0 else Kind.WITHDRAWAL, {"amount": amount, "asset": asset}


IMPOSSIBLE = {
    Fault.OVERDRAWN: ([money(0, 10.0), money(1, -12.5)], 2.5),
    Fault.UNFUNDED: ([trade(0, 2.0, 100.0)], 200.0),
    Fault.NEGATIVE: ([money(0, 10.0), trade(1, 1.0, 100.0), trade(2, -1.0, 80.0)], 10.0),
    Fault.UNSEEN_POSITION: ([money(0, 10.0), trade(1, -3.0, 100.0, closes=True)], 3.0),
    Fault.UNKNOWN_COIN: ([money(0, 10.0), trade(1, -3.0, 100.0, instrument=NONE)], 0.0),
    Fault.BALANCE_DIFFERS: ([money(0, 10.0), (1, Kind.BALANCE, {"amount": 9.25})], 0.75),
    Fault.POSITION_DIFFERS: (
        [money(0, 10.0), trade(1, 2.0, 1.0), (2, Kind.POSITION, {"instrument": 0, "quantity": 1.5})],
        0.5,
    ),
}


@pytest.mark.parametrize("fault", list(Fault))
def test_an_impossible_history_is_told_and_counted(fault):
    rows, amount = IMPOSSIBLE[fault]
    events = one_account(*rows)
    (told,) = history_faults(rebuild(events), events.accounts)
    assert (told.account, told.fault, told.times, told.largest) == ("a", fault, 1, amount)
    assert told.first == events.time[-1]
    assert str(told).startswith("a ")
    position = fault in (Fault.UNSEEN_POSITION, Fault.POSITION_DIFFERS)
    assert cash_known(rebuild(events)).tolist() == [position]
    certain = fault in (Fault.UNFUNDED, Fault.UNKNOWN_COIN)
    assert cash_known(rebuild(events), above=100.0).tolist() == [position or not certain]


def test_nothing_is_mended():
    """Only the part of a trade that cannot be is left out; money goes where the events take it."""
    over = rebuild(one_account(money(0, 10.0), money(1, -12.5), money(2, 1.0)))
    assert balances(over)[0, 0] == -1.5
    close = rebuild(one_account(money(0, 10.0), trade(1, 2.0, 10.0), trade(2, -3.0, 11.0, closes=True)))
    assert (close["lots"][0, 0], close["realised"][0, 0]) == (0, 2.0)
    unknown = rebuild(one_account(money(0, 10.0), trade(1, 5.0, 10.0, instrument=NONE, amount=-1.0)))
    assert (unknown["lots"].any(), balances(unknown)[0, 0]) == (False, 9.0)


def test_money_in_another_asset_lets_an_account_owe():
    """Funded in coin and traded in a contract that settles in the base asset: a debt, not a fault."""
    lost = one_account(money(0, 1.0, asset=1), trade(1, 1.0, 100.0), trade(2, -1.0, 80.0))
    assert history_faults(rebuild(lost), lost.accounts) == []
    assert balances(rebuild(lost)).tolist() == [[-20.0, 1.0]]


def test_an_account_that_withdrew_all_is_empty_to_the_bit():
    rng = np.random.default_rng(11)
    price = np.round(rng.uniform(90, 110, 400), 2)
    rows = [money(0, 1000.0)] + [trade(k + 1, 0.7 if k % 2 == 0 else -0.7, price[k]) for k in range(400)]
    exact = [Fraction(repr(float(one))) for one in price]
    profit = sum(exact[1::2], Fraction(0)) * Fraction("0.7") - sum(exact[::2], Fraction(0)) * Fraction("0.7")
    events = one_account(*rows, money(500, -float(1000 + profit)))
    state = rebuild(events)
    assert balances(state)[0, 0] == 0.0
    assert history_faults(state, events.accounts) == []


def test_openings_are_inferred_only_when_asked_and_are_flagged():
    snapshot = [trade(0, 0.5, 100.0), (1, Kind.POSITION, {"instrument": 0, "quantity": 2.0, "price": 90.0})]
    events = one_account(*snapshot, trade(2, -2.0, 110.0), (3, Kind.BALANCE, {"amount": 55.0}))
    assert rebuild(events)["lots"][0, 0] == -150_000_000
    found = infer_openings(events)
    assert found.positions == ((0, 0, 150_000_000, 100.0, True),)
    state = start_from(found, events)
    assert state["inferred"].tolist() == [[True, False, False]]
    rebuild(events, state=state)
    assert (state["lots"][0, 0], state["inferred"].any(), balances(state)[0, 0]) == (0, False, 55.0)
    assert history_faults(state, events.accounts) == []


def test_an_opening_from_a_snapshot_that_comes_first_keeps_its_entry():
    events = one_account((0, Kind.POSITION, {"instrument": 0, "quantity": -2.0, "price": 90.0}), trade(1, 1.0, 80.0))
    (held,) = infer_openings(events).positions
    assert (held.lots, held.entry, held.reported) == (-200_000_000, 90.0, True)
    assert rebuild(events, state=start_from(infer_openings(events), events))["realised"][0, 0] == 10.0


def test_a_reported_position_without_a_price_takes_that_of_the_first_trade_or_is_left_open():
    reported = (0, Kind.POSITION, {"instrument": 0, "quantity": -2.0})
    assert infer_openings(one_account(reported, trade(1, 1.0, 80.0))).positions[0].entry == 80.0
    alone = infer_openings(one_account(reported))
    assert (alone.positions, alone.unresolved) == ((), ((0, 0),))


@given(st.lists(st.tuples(st.integers(-9, 9).filter(bool), st.booleans()), min_size=1, max_size=12))
def test_the_inferred_opening_is_the_smallest_that_lets_every_close_be(fills):
    quantity, closes = zip(*fills, strict=True)
    events = trades([float(q) for q in quantity], [100.0] * len(fills), closes=closes, lots=1.0)

    def possible(opening):
        held = opening
        for q, close in fills:
            if close and not (held * q < 0 and abs(q) <= abs(held)):
                return False
            held += q
        return True

    fitting = [k for k in range(-120, 121) if possible(k)]
    found = infer_openings(events)
    if not fitting:
        assert found.unresolved == ((0, 0),)
        return
    expected = min(fitting, key=abs)
    assert [held.lots for held in found.positions] == ([expected] if expected else [])
    state = rebuild(events, state=start_from(found, events))
    assert state["fault_count"][0, Fault.UNSEEN_POSITION] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": [START + MINUTE, START]}, "row 1, column time: times must not fall"),
        ({"account": [0, 3]}, "row 1, column account: is not one of 1"),
        ({"instrument": [0, 9]}, "row 1, column instrument: is not one of 3"),
        ({"quantity": [1.0, 0.0]}, "row 1, column quantity: must be a number other than zero"),
        ({"quantity": [1.0, 1e-9]}, "row 1, column quantity: is not a whole number of lots"),
        ({"price": [10.0, -1.0]}, "row 1, column price: must be positive"),
        ({"price": [10.0, np.nan]}, "row 1, column price: must be positive"),
        ({"amount": [0.0, np.inf]}, "row 1, column amount: must be a finite number"),
        ({"asset": [0, NONE]}, "row 1, column asset: an amount needs its asset"),
        ({"kind": [Kind.TRADE, Kind.DEPOSIT], "amount": [0.0, -1.0]}, "column amount: a deposit must be positive"),
        ({"kind": [Kind.TRADE, Kind.WITHDRAWAL], "amount": [0.0, 1.0]}, "a withdrawal must be negative"),
        ({"kind": [Kind.TRADE, Kind.FUNDING], "amount": [0.0, np.nan]}, "column amount: is missing"),
        ({"lots": [0.5, 1.0, 1.0]}, "column lots: must be a whole number"),
        ({"price": [10.0]}, "column price: has shape"),
        ({"accounts": ("a", "a")}, "column accounts: is listed twice"),
    ],
)
def test_events_that_cannot_be_used_are_refused(change, message):
    events = trades([1.0, 1.0], [10.0, 11.0])
    with pytest.raises(InputError, match=message):
        replace(events, **change)


def test_events_out_of_time_or_of_other_accounts_are_refused():
    events = drawn_events(8, 50)
    state = rebuild(events)
    with pytest.raises(InputError, match="is before the last event applied"):
        apply_events(state, events)
    with pytest.raises(InputError, match="of other accounts or instruments"):
        apply_events(start_accounts(2, TABLE), events)
