"""Competing risks against published figures, statsmodels and simulations; bounds of the behavioural probability."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.survfunc import CumIncidenceRight

from margincast.models.behaviour_kernel import CHANGE_BARS
from margincast.models.behavioural import (
    MOVING,
    Standing,
    behavioural_probability,
    behavioural_share,
    moving_columns,
)
from margincast.models.competing_risks import CauseHazards, accumulated, cumulative_incidence, shares
from margincast.models.paths import PathLibrary, breach_probability
from margincast.riskcore.errors import InputError
from margincast.riskcore.exposure import Exposure

TRANSPLANTS = """
13 2, 1 1, 72 0, 7 2, 8 2, 67 0, 9 2, 5 2, 70 0, 4 0, 7 0, 68 0, 1 2, 10 2, 7 2, 3 1, 4 1, 4 1, 3 1, 3 1, 22 2, 8 1,
2 2, 0 2, 0 1, 35 0, 35 0, 4 2, 14 2, 26 2, 3 2, 2 0, 8 0, 32 0, 12 1
"""
"""Months and cause (1 relapse, 2 death of the transplant, 0 censored) of 35 patients: Scrucca, Santucci and Aversa
(2010), Regression modeling of competing risk using R, Bone Marrow Transplantation 45, 1388-1395 (bmt.csv)."""
PRINTED = {0: (0.0286, 0.0286), 1: (0.0571, 0.0571), 2: (0.0571, 0.0857), 3: (0.1458, 0.1153), 4: (0.2049, 0.1448)}
"""Their cumulative incidence by month, as scikit-survival's cumulative_incidence_competing_risks prints it."""


def transplants():
    rows = np.array([[float(x) for x in one.split()] for one in TRANSPLANTS.replace("\n", " ").split(",")])
    return rows[:, 0], rows[:, 1].astype(int)


def test_incidence_of_the_published_transplants():
    time, cause = transplants()
    found = cumulative_incidence(time, cause, 2)
    assert len(time) == 35
    for month, printed in PRINTED.items():
        assert found.at(month) == pytest.approx(printed, abs=5.1e-5)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_incidence_agrees_with_statsmodels(seed):
    rng = np.random.default_rng(seed)
    time, cause = rng.integers(1, 12, 80).astype(float), rng.integers(0, 4, 80)
    found, other = cumulative_incidence(time, cause, 3), CumIncidenceRight(time, cause)
    for k in range(3):
        theirs = dict(zip(other.times.tolist(), other.cinc[k].tolist(), strict=True))
        assert [theirs[t] for t in found.time.tolist()] == pytest.approx(found.incidence[:, k].tolist(), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25))
@settings(max_examples=60, deadline=None)
def test_incidence_and_survival_add_up_and_weights_are_repeats(rows):
    time, cause, weight = (np.array(column) for column in zip(*rows, strict=True))
    found = cumulative_incidence(time, cause, 3, weight=weight)
    np.testing.assert_allclose(found.survival + found.incidence.sum(axis=1), 1.0, atol=1e-12)
    assert (np.diff(found.incidence, axis=0) >= 0).all()
    if weight.sum():
        again = cumulative_incidence(np.repeat(time, weight), np.repeat(cause, weight), 3)
        np.testing.assert_array_equal(found.time, again.time)
        np.testing.assert_allclose(found.incidence, again.incidence, atol=1e-12)


def test_incidence_refuses_what_it_cannot_use():
    for time, cause in (([], []), ([-1.0], [0]), ([math.nan], [0]), ([1.0], [3])):
        with pytest.raises(InputError):
            cumulative_incidence(time, cause, 2)


INTERCEPT = np.array([-3.0, -4.0, -3.5])
SLOPE = np.array([[0.8, 0.0], [-0.6, 0.5], [0.0, -1.0]])


def histories(rows, seed):
    """States of two columns and what came of each, drawn from known hazards of three causes."""
    rng = np.random.default_rng(seed)
    state = np.column_stack((rng.normal(2.0, 1.5, rows), rng.normal(0.0, 0.3, rows)))
    chance = shares(state @ SLOPE.T + INTERCEPT)
    edges = np.cumsum(chance, axis=1)
    drawn = rng.random(rows)
    return state, np.where(drawn < edges[:, 2], (drawn[:, None] >= edges).sum(axis=1) + 1, 0)


def test_known_hazards_are_recovered():
    state, cause = histories(60_000, 5)
    model = CauseHazards(("a", "b", "c"), penalty=1e-3).fit(state, cause, ("x", "y"))
    # standard errors at 60,000 rows are about 0.04 to 0.25 (y varies by 0.3 only)
    assert model.slope_[:, 0] == pytest.approx(SLOPE[:, 0], abs=0.15)
    assert model.slope_[:, 1] == pytest.approx(SLOPE[:, 1], abs=0.6)
    assert model.intercept_ == pytest.approx(INTERCEPT, abs=0.25)
    observed = [(cause == k + 1).mean() for k in range(3)]
    assert model.predict(state).mean(axis=0) == pytest.approx(observed, rel=1e-3)


def test_the_fit_is_that_of_statsmodels_mnlogit():
    state, cause = histories(4_000, 8)
    model = CauseHazards(("a", "b", "c"), penalty=1e-6).fit(state, cause, ("x", "y"))
    theirs = sm.MNLogit(cause, sm.add_constant(state)).fit(disp=0).params
    np.testing.assert_allclose(model.intercept_, theirs[0], atol=2e-3)
    np.testing.assert_allclose(model.slope_.T, theirs[1:], atol=2e-3)


def test_a_cause_that_never_struck_has_no_hazard_and_one_cause_is_a_logistic_regression():
    state, cause = histories(4_000, 9)
    alone = np.where(cause == 2, 2, 0)
    model = CauseHazards(("a", "b", "c"), penalty=1e-6).fit(state, alone, ("x", "y"))
    chance = model.predict(state)
    assert (chance[:, [0, 2]] == 0).all()
    theirs = sm.Logit(alone == 2, sm.add_constant(state)).fit(disp=0).params
    np.testing.assert_allclose([model.intercept_[1], *model.slope_[1]], theirs, atol=2e-3)
    again = CauseHazards.from_state(model.state())
    np.testing.assert_array_equal(again.predict(state), chance)


def test_a_column_that_is_always_the_same_says_nothing_and_rows_with_nan_are_left_out():
    state, cause = histories(3_000, 10)
    model = CauseHazards(("a", "b", "c")).fit(state, cause, ("x", "y"))
    more = np.vstack((np.column_stack((state, np.full(3_000, 7.0))), [[math.nan, 0.0, 7.0]]))
    wider = CauseHazards(("a", "b", "c")).fit(more, np.append(cause, 1), ("x", "y", "z"))
    np.testing.assert_allclose(wider.slope_[:, :2], model.slope_, atol=1e-6)
    assert (wider.slope_[:, 2] == 0).all()
    with pytest.raises(InputError):
        CauseHazards(("a",)).fit(state, np.zeros(3_000, int), ("x", "y"))


def test_hazards_by_step_accumulate_to_the_incidence_of_spells_drawn_from_them():
    rng = np.random.default_rng(4)
    hazard = np.array([[0.2, 0.05], [0.1, 0.1], [0.3, 0.0]])
    time, cause = np.full(40_000, 3.0), np.zeros(40_000, int)
    for step in reversed(range(3)):
        drawn = rng.random(40_000)
        hit = drawn < hazard[step].sum()
        time[hit], cause[hit] = step + 1.0, np.where(drawn[hit] < hazard[step, 0], 1, 2)
    survival, incidence = accumulated(hazard[None])
    found = cumulative_incidence(time, cause, 2)
    assert found.survival == pytest.approx(survival[0], abs=0.01)
    np.testing.assert_allclose(found.incidence, incidence[0], atol=0.01)


# the behavioural probability

BARS = 5


def pools(n=6, windows=40, seed=3):
    """Pools of one and two legs with a library of paths, standings and hazards of three causes, two of which end it."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0.0, 1.0, (windows, 2, BARS))
    close = np.cumsum(steps, axis=2)
    moves = np.empty((windows, 2, 3 * BARS), np.float32)
    moves[:, :, 0::3], moves[:, :, 1::3], moves[:, :, 2::3] = close - 0.4, close + 0.4, close
    moves /= math.sqrt(BARS)
    moves[0, 1] = np.nan
    legs = [1 + p % 2 for p in range(n)]
    pointer = np.concatenate(([0], np.cumsum(legs)))
    series = np.concatenate([[p % 2] if count == 1 else [0, 1] for p, count in enumerate(legs)])
    weight = rng.normal(0.0, 100.0, len(series))
    headroom = rng.uniform(1.0, 6.0, n)
    exposure = Exposure(pointer, series, weight, headroom, headroom + 2.0, np.full(n, 2.0))
    standing = Standing(rng.uniform(1.0, 3.0, n), rng.normal(0.0, 1.0, (n, CHANGE_BARS)), rng.normal(0.0, 3.0, n))
    hazards = rng.normal(-2.0, 0.7, (n, BARS, 3)), rng.normal(0.0, 0.5, (3, len(MOVING)))
    scale = np.full(len(series), 0.03)
    return exposure, standing, PathLibrary(np.arange(windows), moves, BARS), scale, *hazards


ENDS = np.array([True, False, True])


def plain_share(exposure, standing, library, scale, fixed, slope, ends, bandwidth=0.08):
    """The formula written out, path by path."""
    out = np.ones((len(exposure), library.horizon))
    for row in range(len(exposure)):
        legs = slice(exposure.pointer[row], exposure.pointer[row + 1])
        head, one = exposure.headroom[row], exposure.take(np.array([row]))
        top, bottom = np.zeros(library.horizon), np.zeros(library.horizon)
        for path in library.moves[:, exposure.series[legs]].astype(float):
            if np.isnan(path).any():
                continue
            value = (exposure.weight[legs, None] * np.expm1(scale[legs, None] * path)).sum(axis=0)
            before, idle = 0.0, 1.0
            closes = np.concatenate((standing.past[row][::-1], [0.0], value[2::3]))
            for bar in range(library.horizon):
                at = CHANGE_BARS + bar
                now = closes[at]
                state = moving_columns(
                    Exposure(one.pointer, one.series, one.weight, np.array([head + now]), one.equity, one.maintenance),
                    Standing(
                        standing.risk[[row]],
                        np.full((1, CHANGE_BARS), closes[at - CHANGE_BARS] - now),
                        standing.profit[[row]] + now,
                    ),
                )
                act = shares(fixed[row, bar] + slope @ state[0])[ends].sum()
                worst = max(0.0, -value[: 3 * bar + 3].min())
                degree = 1 / (1 + (head / worst) ** (1 / bandwidth)) if worst > 0 else 0.0
                bottom[bar] += degree
                top[bar:] += (degree - before) * idle * (1 - act / 2)
                before, idle = degree, idle * (1 - act)
        known = bottom > 0
        out[row, known] = top[known] / bottom[known]
    return out


def test_the_kernel_is_its_plain_twin():
    arguments = pools()
    # the kernel passes over degrees of breach below 1e-7
    np.testing.assert_allclose(behavioural_share(*arguments, ENDS), plain_share(*arguments, ENDS), rtol=1e-4)


def test_threads_change_nothing():
    arguments = pools(n=40)
    np.testing.assert_array_equal(behavioural_share(*arguments, ENDS), behavioural_share(*arguments, ENDS, threads=3))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_share_lies_between_zero_and_one_and_the_probability_below_the_frozen_one(seed):
    arguments = pools(seed=seed, windows=12)
    share = behavioural_share(*arguments, ENDS)
    assert ((share >= 0) & (share <= 1)).all()
    frozen = np.sort(np.random.default_rng(seed).random(share.shape), axis=1)
    acting = behavioural_probability(frozen, share)
    assert (acting <= frozen).all()
    assert (np.diff(acting, axis=1) >= 0).all()


def test_without_hazards_nothing_is_taken_off():
    exposure, standing, library, scale, fixed, slope = pools()
    share = behavioural_share(exposure, standing, library, scale, np.full_like(fixed, -np.inf), 0 * slope, ENDS)
    np.testing.assert_allclose(share, 1.0, rtol=1e-12)
    none = np.zeros(3, np.bool_)
    np.testing.assert_allclose(behavioural_share(exposure, standing, library, scale, fixed, slope, none), 1.0)


def test_larger_hazards_leave_less():
    exposure, standing, library, scale, fixed, slope = pools()
    less = behavioural_share(exposure, standing, library, scale, fixed + [1.0, 0.0, 1.0], slope, ENDS)
    assert (less <= behavioural_share(exposure, standing, library, scale, fixed, slope, ENDS) + 1e-12).all()


def test_a_breach_in_the_third_bar_by_hand():
    """A chance of 1/4 to act in each hour: (3/4)^2 * (1 - 1/8) of a breach in the third are left."""
    moves = np.zeros((1, 1, 9), np.float32)
    moves[0, 0, 6:] = -1.0
    exposure = Exposure(
        np.array([0, 1]), np.array([0]), np.array([100.0]), np.array([10.0]), np.array([11.0]), np.array([1.0])
    )
    standing = Standing(np.array([5.0]), np.zeros((1, CHANGE_BARS)), np.zeros(1))
    fixed = np.full((1, 3, 1), math.log(1 / 3))
    library, certain = PathLibrary(np.array([1]), moves, 3), np.array([0.5])
    share = behavioural_share(exposure, standing, library, certain, fixed, np.zeros((1, 3)), np.array([True]))
    assert share[0].tolist() == pytest.approx([1.0, 1.0, 0.75**2 * 0.875])


def test_the_share_is_what_is_counted_when_accounts_act_at_random_on_the_paths():
    """Acts come at a rate that gives the hazard of a bar, breaches at any instant of theirs alike."""
    exposure, standing, library, scale, fixed, slope = pools(n=2, windows=30)
    act, rng = 0.1, np.random.default_rng(11)
    constant = np.full((2, BARS, 1), math.log(act / (1 - act)))
    share = behavioural_share(exposure, standing, library, scale, constant, np.zeros((1, 3)), np.array([True]),
                              bandwidth=1e-3)  # fmt: skip
    for row in range(2):
        legs = slice(exposure.pointer[row], exposure.pointer[row + 1])
        paths = library.moves[:, exposure.series[legs]].astype(float)
        value = (exposure.weight[legs, None] * np.expm1(scale[legs, None] * paths)).sum(axis=1)
        breached = -value > exposure.headroom[row]
        bar = breached[breached.any(axis=1)].argmax(axis=1) // 3
        if len(bar) == 0:
            continue
        at = np.tile(bar, 20_000) + rng.random(20_000 * len(bar))
        acts = rng.exponential(-1 / math.log(1 - act), len(at))
        assert share[row, -1] == pytest.approx((acts > at).mean(), abs=0.006)
    assert exposure.pointer[-1] == 3


def test_the_frozen_side_is_that_of_the_historical_simulation():
    """Hazards that act surely in the first bar leave half of what is breached there, and nothing of the rest."""
    exposure, standing, library, scale, _, _ = pools()
    surely = np.full((6, BARS, 1), 60.0)
    share = behavioural_share(exposure, standing, library, scale, surely, np.zeros((1, 3)), np.array([True]))
    first = PathLibrary(library.start, library.moves[:, :, :3], 1)
    whole = breach_probability(exposure, library, scale=scale)[0]
    within = breach_probability(exposure, first, scale=scale)[0]
    np.testing.assert_allclose(share[:, -1] * whole, within / 2, rtol=5e-3, atol=1e-7)


def test_in_breach_it_is_one_and_what_is_not_known_is_nan():
    exposure, standing, library, scale, fixed, slope = pools()
    breached = Exposure(
        exposure.pointer,
        exposure.series,
        exposure.weight,
        np.where(np.arange(6) == 2, -1.0, exposure.headroom),
        exposure.equity,
        exposure.maintenance,
    )
    risk = standing.risk.copy()
    risk[3] = np.nan
    unknown = Standing(risk, standing.past, standing.profit)
    share = behavioural_share(breached, unknown, library, scale, fixed, slope, ENDS)
    assert (share[2] == 1).all() and np.isnan(share[3]).all() and np.isfinite(np.delete(share, 3, axis=0)).all()


def test_arrays_that_do_not_fit_are_refused():
    exposure, standing, library, scale, fixed, slope = pools()
    for changed in (
        (exposure, standing, library, scale[:-1], fixed, slope),
        (exposure, standing, library, scale, fixed[:, :-1], slope),
        (exposure, standing, library, scale, fixed, slope[:, :-1]),
    ):
        with pytest.raises(InputError):
            behavioural_share(*changed, ENDS)
    with pytest.raises(InputError):
        behavioural_share(exposure, standing, library, scale, fixed, slope, ENDS, bandwidth=0.0)
