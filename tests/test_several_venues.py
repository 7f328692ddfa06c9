"""One portfolio over several venues: capital against a linear programme, runs by hand, conservation, contagion."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from margincast.riskcore.accounts import AccountBook
from margincast.riskcore.errors import InputError
from margincast.riskcore.instruments import InstrumentTable
from margincast.riskcore.margin import evaluate
from margincast.riskcore.market import MarketState
from margincast.riskcore.rulebook import RateSchedule, RuleBook
from margincast.riskcore.several_venues.capital import (
    capital_needed,
    pooled_capital,
    pooling_value,
    separate_capital,
    window_need,
)
from margincast.riskcore.several_venues.run import NEVER, TopUpPolicy, VenueFailure, contagion, run_venues
from margincast.riskcore.several_venues.venues import Links, VenueLeg, VenuePaths, steps_to_spare, venue_paths

SEEDS = st.integers(0, 2**32 - 1)


def walks(seed, paths=6, steps=12, venues=3, start=20.0):
    rng = np.random.default_rng(seed)
    headroom = start + np.cumsum(rng.normal(0, 10, (paths, steps, venues)), axis=1).round(1)
    return VenuePaths(tuple("abcde"[:venues]), headroom, headroom + 5.0)


def least_capital(headroom, delay, profits_move):
    """Least capital of one path by linear programming: what is at each venue, and what is sent at each step."""
    steps, venues = headroom.shape
    pairs = [(u, v) for u in range(venues) for v in range(venues) if u != v]
    # variables: capital of each venue, then the amount sent on each pair at each step
    count = venues + steps * len(pairs)
    rows, bounds = [], []
    for t in range(steps):
        for v in range(venues):
            row = np.zeros(count)
            row[v] = 1.0
            for k, (source, target) in enumerate(pairs):
                for s in range(t + 1):
                    place = venues + s * len(pairs) + k
                    row[place] -= source == v
                    row[place] += (target == v) and s + delay <= t
            rows.append(-row)
            need = -headroom[t, v]
            bounds.append(-(need if profits_move else max(need, 0.0)))
    free = [(None, None)] * venues + [(0, None)] * (count - venues)
    found = linprog(np.append(np.ones(venues), np.zeros(count - venues)), np.array(rows), bounds, bounds=free)
    assert found.success
    return found.fun


@given(SEEDS, st.integers(0, 6), st.booleans())
@settings(max_examples=25)
def test_the_capital_is_what_a_linear_programme_finds(seed, delay, profits_move):
    headroom = walks(seed, paths=1, steps=5, venues=3, start=0.0).headroom
    found = capital_needed(headroom, delay, profits_move=profits_move)[0]
    assert found == pytest.approx(least_capital(headroom[0], delay, profits_move), abs=1e-7)


@given(SEEDS, st.integers(0, 20))
@settings(max_examples=40)
def test_windows_are_running_maxima(seed, delay):
    headroom = walks(seed).headroom
    found = window_need(headroom, delay)
    for step in range(headroom.shape[1]):
        np.testing.assert_array_equal(found[:, step], (-headroom[:, step : step + delay + 1]).max(axis=1))


@given(SEEDS, st.floats(0.1, 1.0), st.booleans())
@settings(max_examples=40)
def test_pooling_saves_less_with_every_step_of_delay_and_never_costs_without_a_bridge_fee(seed, survival, move):
    paths = walks(seed, paths=20)
    found = pooling_value(paths, range(15), survival, profits_move=move)
    assert (np.diff(found.capital) >= 0).all()
    assert (found.saved >= -1e-9).all()
    assert found.capital[0] == pytest.approx(pooled_capital(paths.headroom, 0, survival, profits_move=move))
    if move:
        need = np.sort(-paths.unified.min(axis=1))
        assert found.capital[0] == pytest.approx(need[int(np.ceil(survival * 20 - 1e-9)) - 1])
    dear = pooling_value(paths, range(15), survival, haircut=0.3, profits_move=move)
    assert (dear.capital >= found.capital).all()


@given(SEEDS, st.floats(0.05, 1.0))
@settings(max_examples=40)
def test_separate_capital_survives_its_share_and_less_does_not(seed, survival):
    paths = walks(seed, paths=25)
    capital = separate_capital(paths.headroom, survival)
    alive = ((paths.headroom + capital).min(axis=1) >= -1e-12).all(axis=1)
    assert alive.mean() >= survival - 1e-9
    if survival == 1.0:
        np.testing.assert_allclose(capital, -paths.headroom.min(axis=(0, 1)))


def test_the_worth_of_pooling_by_hand():
    # x needs 10 at step 0, y 10 at step 2: 20 apart, 10 together; the money must travel in 1 step, in 2 it comes late
    headroom = np.array([[[-10.0, 0.0], [0.0, 0.0], [0.0, -10.0]]])
    paths = VenuePaths(("x", "y"), headroom, headroom)
    found = pooling_value(paths, [0, 1, 2, 3], 1.0)
    assert (found.separate, found.capital.tolist(), found.breaks_at()) == (20.0, [10.0, 10.0, 20.0, 20.0], 2)
    assert pooling_value(paths, [0, 1], 1.0).breaks_at() is None
    # a bridge that takes half: 10 must be left over after it
    assert pooling_value(paths, [1], 1.0, haircut=0.5).capital.tolist() == [20.0]


def test_paths_from_books_are_what_evaluate_says():
    table = InstrumentTable.linear_perpetuals(["BTC"])
    coin = InstrumentTable.linear_perpetuals(["BTC-PERP"], collateral=["BTC"])
    schedules = {name: RateSchedule.marginal([0.0, 500.0], [0.02, 0.05], [20.0, 10.0]) for name in ("BTC", "BTC-PERP")}
    rules = RuleBook("one", dt.date(2024, 1, 1), schedules)
    one = AccountBook(table, ["a"], ["m"], [""], [0, 1], [0], [50.0], [0, 1], [0], [4.0], [100.0], [np.nan])
    two = AccountBook(coin, ["a"], ["m"], [""], [0, 1], [0], [80.0], [0, 1], [0], [-4.0], [101.0], [np.nan])
    now = np.datetime64("2024-01-01")
    states = [[MarketState(now, [m], [1.0]), MarketState(now, [m + 1], [1.0, 100.0])] for m in (100.0, 90.0, 140.0)]
    paths = venue_paths([VenueLeg("x", one, rules), VenueLeg("y", two, rules)], [states, states[::-1]])
    for venue, book in enumerate((one, two)):
        for step, at in enumerate(states):
            state = evaluate(book, at[venue], rules)
            assert paths.headroom[0, step, venue] == state.headroom[0] == paths.headroom[1, 2 - step, venue]
            assert paths.equity[0, step, venue] == state.equity[0]
    np.testing.assert_allclose(paths.unified, paths.headroom.sum(axis=2))
    with pytest.raises(InputError, match="one pool"):
        VenueLeg("x", one.take(np.array([0, 0])), rules)
    with pytest.raises(InputError, match="one base asset"):
        other = InstrumentTable.linear_perpetuals(["BTC"], base="USDC")
        foreign = AccountBook(other, ["a"], ["m"], [""], [0, 0], [], [], [0, 0], [], [], [], [])
        venue_paths([VenueLeg("x", one, rules), VenueLeg("z", foreign, rules)], [states])
    with pytest.raises(InputError, match="one length"):
        venue_paths([VenueLeg("x", one, rules)], [states, states[:1]])
    with pytest.raises(InputError, match="has no mark price"):
        venue_paths([VenueLeg("x", one, rules)], [[[MarketState(np.datetime64("2024-01-01"), [np.nan], [1.0])]]])


def policies(venues, latency=0):
    return TopUpPolicy(np.full(venues, 10.0), np.full(venues, 25.0), np.full(venues, 15.0), latency)


@given(SEEDS, st.integers(0, 3), st.floats(0, 0.3), st.integers(0, 2), st.booleans())
@settings(max_examples=60)
def test_money_is_conserved(seed, delay, haircut, latency, fails):
    paths = walks(seed)
    failure = VenueFailure("b", 4, 0.5) if fails else None
    capital = np.array([5.0, 0.0, 7.0])
    run = run_venues(paths, Links.uniform(3, delay, haircut), policies(3, latency), capital, failure)
    np.testing.assert_allclose(run.added.sum(axis=1) + run.in_flight + run.bridge_cost, 12.0, atol=1e-9)
    assert (run.bridge_cost <= run.sent * haircut + 1e-9).all()
    alone = (paths.headroom + capital < 0).any(axis=1)
    quiet = run.sent == 0
    failed = np.array([False, fails, False])
    np.testing.assert_array_equal((run.breach != NEVER)[quiet][:, ~failed], alone[quiet][:, ~failed])


@given(SEEDS, st.integers(0, 3))
@settings(max_examples=40)
def test_no_policy_survives_with_less_than_the_capital_of_the_pool(seed, delay):
    paths = walks(seed)
    need = capital_needed(paths.headroom, delay)
    for share in (0.0, 4.0, 12.0):
        run = run_venues(paths, Links.uniform(3, delay), policies(3), np.full(3, share))
        assert (need[run.survived] <= 3 * share + 1e-9).all()


def test_a_run_by_hand():
    # y falls by 10 a step from 30; below 10 it asks for 25. x has 100 and gives what is above 15, through a bridge that
    # keeps a tenth and takes two steps
    headroom = np.stack((np.full(6, 100.0), 30.0 - 10.0 * np.arange(6)), axis=1)[None]
    paths = VenuePaths(("x", "y"), headroom, headroom)
    run = run_venues(paths, Links.uniform(2, 2, 0.1), policies(2), np.array([0.0, 5.0]))
    # with 5 added: 35, 25, 15, 5 -> at step 3 asks for 20, sends 20/0.9; step 4 is at -5: too late
    assert run.breach.tolist() == [[NEVER, 4]]
    assert run.sent[0] == pytest.approx(20 / 0.9)
    assert run.bridge_cost[0] == pytest.approx(2 / 0.9)
    # it arrives at step 5 all the same, and stays there
    assert run.added[0].tolist() == pytest.approx([-20 / 0.9, 25.0])
    in_time = run_venues(paths, Links.uniform(2, 1, 0.1), policies(2), np.array([0.0, 5.0]))
    # arrives at step 4: -5 + 20 = 15; at step 5 it stands at 5 and asks for 20 more, still on its way at the end
    assert in_time.survived.tolist() == [True]
    assert in_time.in_flight[0] == pytest.approx(20.0)
    late = run_venues(paths, Links.uniform(2, 1, 0.1), policies(2, latency=1), np.array([0.0, 5.0]))
    assert late.breach.tolist() == [[NEVER, 4]]


def test_the_nearest_donor_gives_first():
    headroom = np.tile([100.0, 100.0, 5.0], (1, 2, 1))
    links = Links([[0, 0, 2], [0, 0, 1], [0, 0, 0]], np.zeros((3, 3)))
    run = run_venues(VenuePaths(("far", "near", "poor"), headroom, headroom), links, policies(3), np.zeros(3))
    assert run.added.tolist() == [[0.0, -20.0, 20.0]]


def test_what_is_on_its_way_is_not_asked_for_again():
    headroom = np.tile([100.0, 5.0], (1, 6, 1))
    run = run_venues(VenuePaths(("rich", "poor"), headroom, headroom), Links.uniform(2, 3), policies(2), np.zeros(2))
    assert run.sent.tolist() == [20.0]
    assert run.added.tolist() == [[-20.0, 20.0]]


def test_contagion_by_hand():
    # x has what y and z will need; it fails at step 1 and takes 40 of what it holds
    headroom = np.array([[[60.0, 20.0, 20.0], [80.0, 5.0, 20.0], [80.0, -5.0, 5.0], [80.0, -5.0, -5.0]]])
    paths = VenuePaths(("x", "y", "z"), headroom, headroom)
    found = contagion(paths, Links.uniform(3, 1), policies(3), np.zeros(3), VenueFailure("x", 1, 0.5))
    assert found.without.survived.tolist() == [True]
    assert found.with_failure.failure_loss.tolist() == [40.0]
    # z still gives y the 5 it has above its floor: y is at 0 at step 2 and holds, z needs 5 more than it has
    assert found.with_failure.breach.tolist() == [[NEVER, NEVER, 3]]
    assert found.next_breach.tolist() == [2]
    alone = contagion(paths, Links.uniform(3, 1), policies(3), np.array([0.0, 6.0, 6.0]), VenueFailure("x", 1))
    assert alone.next_breach.tolist() == [NEVER]


@given(SEEDS, st.integers(0, 11))
@settings(max_examples=40)
def test_a_failure_hits_nobody_who_never_needed_help(seed, step):
    paths = walks(seed)
    found = contagion(paths, Links.uniform(3, 1), policies(3), np.zeros(3), VenueFailure("a", step))
    assert not found.spread[:, 0].any()
    untouched = found.without.sent == 0
    assert not found.spread[untouched].any()


def test_steps_to_spare_by_hand():
    path = np.array([[50.0, 20.0, 5.0, -1.0, -9.0], [50.0, 50.0, 50.0, 50.0, 50.0], [50.0, -1.0, 0.0, 0.0, 0.0]])
    # seen at step 1, arrives at 3, needed at 3; never needed; seen at 1 when it is already needed
    assert steps_to_spare(path, 30.0, 2).tolist() == [0.0, np.inf, -2.0]
    with pytest.raises(InputError, match="delay"):
        steps_to_spare(path, 30.0, -1)


PATHS = walks(0)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: VenuePaths(("a", "a"), np.zeros((1, 1, 2)), np.zeros((1, 1, 2))), "row 1, column venues"),
        (lambda: VenuePaths(("a",), np.zeros((1, 1)), np.zeros((1, 1))), "column headroom: has shape"),
        (lambda: VenuePaths(("a",), np.zeros((1, 2, 1)), np.zeros((1, 1, 1))), "column equity: has shape"),
        (lambda: VenuePaths(("a",), np.full((1, 2, 1), np.nan), np.zeros((1, 2, 1))), "headroom of a, step 0"),
        (lambda: Links(np.zeros((2, 3)), np.zeros((2, 3))), "column delay: has shape"),
        (lambda: Links.uniform(2, -1), "row 0, column delay.0.: must not be negative"),
        (lambda: Links.uniform(2, 0, 1.0), "row 0, column haircut.0.: must be in"),
        (lambda: TopUpPolicy([10.0], [5.0], [0.0]), "row 0, column target"),
        (lambda: TopUpPolicy([10.0], [15.0], [np.nan]), "row 0, column floor"),
        (lambda: TopUpPolicy([10.0], [15.0], [0.0], -1), "latency"),
        (lambda: run_venues(PATHS, Links.uniform(2, 0), policies(3), np.zeros(3)), "column links"),
        (lambda: run_venues(PATHS, Links.uniform(3, 0), policies(2), np.zeros(3)), "column policy"),
        (lambda: run_venues(PATHS, Links.uniform(3, 0), policies(3), np.zeros(2)), "column capital"),
        (lambda: run_venues(PATHS, Links.uniform(3, 0), policies(3), -np.ones(3)), "row 0, column capital"),
        (lambda: contagion(PATHS, Links.uniform(3, 0), policies(3), np.zeros(3), VenueFailure("z", 0)), "venue"),
        (lambda: contagion(PATHS, Links.uniform(3, 0), policies(3), np.zeros(3), VenueFailure("a", 99)), "step"),
        (lambda: contagion(PATHS, Links.uniform(3, 0), policies(3), np.zeros(3), VenueFailure("a", 0, 2)), "lost"),
        (lambda: capital_needed(PATHS.headroom, -1), "delay"),
        (lambda: capital_needed(PATHS.headroom, 1, haircut=1.0), "haircut"),
        (lambda: pooled_capital(PATHS.headroom, 1, 0.0), "survival"),
        (lambda: pooling_value(PATHS, [1, 1]), "delays"),
    ],
)
def test_bad_input_is_named(make, problem):
    with pytest.raises(InputError, match=problem):
        make()
