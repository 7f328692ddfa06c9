"""dYdX v4: bankruptcy value, offered price, insurance fund, block limits and deleveraging in whole quantums."""

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from margincast.riskcore.errors import InputError
from margincast.riskcore.protocols.dydx import LiquidityTier, Perpetual
from margincast.riskcore.protocols.dydx_accounts import Position, Subaccount
from margincast.riskcore.protocols.dydx_liquidation import (
    LiquidationConfig,
    bankruptcy_value,
    block_allowance,
    closing_size,
    deleverage,
    fill_value,
    fillable_price,
    insurance_delta,
    notional_limits,
    price_in_subticks,
)

FEW = settings(max_examples=60, deadline=None)
BITCOIN = Perpetual(5_000_000_000, -5, -8, LiquidityTier(200_000, 500_000))
ETHER = Perpetual(3_000_000_000, -6, -9, LiquidityTier(200_000, 500_000))
MARKETS = {0: BITCOIN, 1: ETHER}

ppm = st.integers(0, 1_000_000)


@st.composite
def liquidations(draw):
    size = draw(st.integers(1, 10**9)) * draw(st.sampled_from([1, -1]))
    other = Position(1, draw(st.integers(-(10**10), 10**10).filter(bool)))
    account = Subaccount(draw(st.integers(-(10**12), 10**12)), (Position(0, size), other))
    assume(account.risk(MARKETS).maintenance > 0)
    return account, -draw(st.integers(1, abs(size))) * (1 if size > 0 else -1)


@FEW
@given(liquidations())
def test_closing_at_the_bankruptcy_value_leaves_the_ratio_no_worse(found):
    account, delta = found
    value = bankruptcy_value(account, MARKETS, 0, delta)
    before, after = account.risk(MARKETS), account.after(MARKETS, {0: delta}, value).risk(MARKETS)
    exact = Fraction(before.net_collateral * after.maintenance, before.maintenance)
    assert exact <= after.net_collateral < exact + 1


@FEW
@given(liquidations(), st.integers(2, 9))
def test_splitting_a_close_gains_less_than_a_quantum_a_part(found, parts):
    account, delta = found
    assume(abs(delta) >= parts)
    cuts = [delta * part // parts for part in range(parts + 1)]
    total, left = 0, account
    for size in (after - before for before, after in zip(cuts, cuts[1:], strict=False)):
        value = bankruptcy_value(left, MARKETS, 0, size)
        total, left = total + value, left.after(MARKETS, {0: size}, value)
    whole_value = bankruptcy_value(account, MARKETS, 0, delta)
    assert 0 <= total - whole_value <= parts


@FEW
@given(liquidations(), st.integers(10**6, 10**7), st.integers(1, 5 * 10**5))
def test_fillable_price_lies_between_oracle_and_the_widest_spread(found, adjustment, spread):
    account, delta = found
    config = LiquidationConfig(bankruptcy_adjustment_ppm=adjustment, spread_to_maintenance_margin_ratio_ppm=spread)
    price = fillable_price(account, MARKETS, 0, delta, config)
    size, position = account.size_of(0), BITCOIN.risk(account.size_of(0))
    oracle = Fraction(position.net_collateral, size)
    worst = oracle - Fraction(spread, 10**6) * position.maintenance / size
    assert min(oracle, worst) <= price <= max(oracle, worst)
    if account.risk(MARKETS).net_collateral >= account.risk(MARKETS).maintenance:
        assert price == oracle
    if account.risk(MARKETS).is_bankrupt:
        assert price == worst


@FEW
@given(liquidations(), st.integers(0, 10**11), ppm)
def test_money_is_conserved_between_account_fund_and_market(found, quote, fee):
    account, delta = found
    fund = insurance_delta(account, MARKETS, 0, delta > 0, abs(delta), quote, fee)
    received = quote if delta < 0 else -quote
    left_over = received - bankruptcy_value(account, MARKETS, 0, delta)
    after = account.after(MARKETS, {0: delta}, received - fund)
    assert after.quote_balance + fund == account.quote_balance + received
    assert fund <= max(left_over, 0) and (fund >= 0) == (left_over >= 0)
    assert fund <= max(quote * fee // 10**6, 0) if left_over > 0 else fund == left_over


@FEW
@given(liquidations(), st.lists(st.integers(-(10**9), 10**9), max_size=5))
def test_deleveraging_conserves_size_and_money(found, others):
    account, delta = found
    book = [Subaccount(10**9, (Position(0, size),) if size else ()) for size in others]
    done = deleverage(account, book, MARKETS, 0, delta)
    assert sum(done.closed) + delta == done.unfilled
    everyone = [account, *book], [done.account, *done.counterparties]
    before, after = ([sum(a.quote_balance for a in side), sum(a.size_of(0) for a in side)] for side in everyone)
    assert before == after
    for old, new, closed in zip(book, done.counterparties, done.closed, strict=True):
        assert new.size_of(0) == old.size_of(0) + closed and abs(new.size_of(0)) <= abs(old.size_of(0))
        assert closed == 0 or closed * old.size_of(0) < 0
    opposite = sum(abs(size) for size in others if size * delta > 0)
    assert abs(done.unfilled) == max(abs(delta) - opposite, 0)


@FEW
@given(st.integers(1, 10**12), st.integers(1, 10**13), ppm.filter(bool), st.integers(0, 10**11), st.integers(1, 10**7))
def test_a_block_never_closes_more_than_its_limits(size, least, portion, used, step):
    config = LiquidationConfig(min_position_notional=least, max_portion_ppm=portion, max_notional_liquidated=10**11)
    low, high = notional_limits(BITCOIN, size, config)
    assert 0 <= low <= high <= BITCOIN.notional(size)
    delta = closing_size(BITCOIN, size, config, used, step)
    assert -size <= delta < 0
    if delta != -size and abs(delta) > step:
        assert abs(delta) % step == 0 and BITCOIN.notional(abs(delta)) <= min(high, 10**11 - used)
    assert closing_size(BITCOIN, -size, config, used, step) == -delta


def test_prices_in_subticks_favour_the_account_and_keep_to_ticks():
    price = Fraction(49_999_999, 100_001)
    exact = price * 10**8
    up, down = price_in_subticks(price, -8, True, 10**5), price_in_subticks(price, -8, False, 10**5)
    assert down < exact < up and up - down == 10**5 and up % 10**5 == 0
    assert price_in_subticks(Fraction(0), -8, False, 7) == 7
    assert price_in_subticks(Fraction(10**30), -8, True, 10) == 2**64 - 1 - (2**64 - 1) % 10


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: bankruptcy_value(Subaccount(0, (Position(0, 5),)), MARKETS, 0, 0), "must close part or all"),
        (lambda: bankruptcy_value(Subaccount(0, (Position(0, 5),)), MARKETS, 0, -6), "must close part or all"),
        (lambda: bankruptcy_value(Subaccount(0, (Position(0, 5),)), MARKETS, 1, -5), "position of 0"),
        (lambda: bankruptcy_value(Subaccount(0, (Position(9, 5),)), MARKETS, 9, -5), "no market of this perpetual"),
        (
            lambda: bankruptcy_value(Subaccount(0, (Position(0, 5),)), {0: BITCOIN.at(0)}, 0, -5),
            "column maintenance: must be positive",
        ),
        (
            lambda: fillable_price(
                Subaccount(-5 * 10**9, (Position(0, 10**7),)),
                MARKETS,
                0,
                -1,
                LiquidationConfig(spread_to_maintenance_margin_ratio_ppm=10**9),
            ),
            "fillable price is negative",
        ),
        (lambda: fill_value(-1, 1, -8), "column subticks: must be at least 0"),
        (lambda: block_allowance(10, 11, "used"), r"column used: must be in \[0, 10\]"),
        (lambda: LiquidationConfig(max_portion_ppm=0), "column max_portion_ppm"),
    ],
)
def test_what_makes_no_sense_is_refused(call, told):
    with pytest.raises(InputError, match=told):
        call()
