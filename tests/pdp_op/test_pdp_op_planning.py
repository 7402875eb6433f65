"""Plans made from public numbers, and the levels of a population."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib.pdp_op import (
    ALAGGAN,
    NIU,
    Preferences,
    capped_levels,
    draw_epsilons,
    excess_bound,
    excess_quantile_bound,
    keep_probabilities,
    loss_moments,
    marginal_noise,
    noise_rate,
    norm_bound,
    normal_equations,
    personal_weights,
    plan_lambda,
    sampling_noise_ratio,
    uniform_noise_ratio,
)
from trustlib.privacy import sample_l2_laplace

PUBLIC = {"x_norm": 1.5, "y_bound": 1.0}
levels = st.lists(st.floats(0.01, 5.0), min_size=1, max_size=10)


def test_noise_ratios_by_hand():
    # mean 0.2, smallest 0.1: 2^2
    assert uniform_noise_ratio([0.1, 0.3]) == pytest.approx(4.0)
    # t = ln 3, p = (2 - 1)/(3 - 1) = 1/2 and 1; total ln 2 + ln 3 = ln 6
    expected = (math.log(6) / (math.log(3) * 1.5)) ** 2
    assert sampling_noise_ratio([math.log(2), math.log(3)], math.log(3)) == pytest.approx(expected)


@given(levels)
def test_ratios_equal_the_noise_of_the_mechanisms(epsilon):
    n, low, top = len(epsilon), min(epsilon), max(epsilon)
    rate = noise_rate(epsilon, 0.4, **PUBLIC, bounds="paper")
    uniform = noise_rate([low] * n, 0.4, **PUBLIC, bounds="paper")
    assert uniform_noise_ratio(epsilon) == pytest.approx((rate / uniform) ** 2)
    # rate of the sampling baseline at its expected size, linear in the number of people
    kept = float(keep_probabilities(np.array(epsilon), top).sum())
    sampled = noise_rate([top], 0.4, **PUBLIC, bounds="paper") * kept
    assert sampling_noise_ratio(epsilon, top) == pytest.approx((rate / sampled) ** 2)


@given(levels, st.floats(0.01, 1.0))
def test_ratios_are_never_below_one(epsilon, share):
    assert uniform_noise_ratio(epsilon) >= 1 - 1e-12
    assert sampling_noise_ratio(epsilon, share * max(epsilon)) >= 1 - 1e-9


def test_ratios_are_one_where_there_is_nothing_to_personalise():
    assert uniform_noise_ratio([0.7] * 5) == pytest.approx(1.0)
    assert sampling_noise_ratio([0.7] * 5, 0.7) == pytest.approx(1.0)
    # people who ask for almost nothing or for t exactly
    assert sampling_noise_ratio([1e-9, 1.0], 1.0) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("bounds", ["paper", "tight"])
def test_excess_bound_holds_and_is_attained(bounds):
    rng = np.random.default_rng(0)
    epsilon, lam = rng.uniform(0.1, 1.0, 20), 0.3
    # all rows on the sphere: the trace of the Gram matrix is R^2 and the bound is exact
    X = rng.normal(size=(20, 3))
    X *= 1.5 / np.linalg.norm(X, axis=1, keepdims=True)
    y, weight = rng.uniform(-1, 1, 20), personal_weights(epsilon)
    eta = noise_rate(epsilon, lam, **PUBLIC, bounds=bounds)
    limit = excess_bound(epsilon, lam, dim=3, **PUBLIC, bounds=bounds)
    for scale in (1.0, 0.5):
        data = normal_equations(scale * X, y, weight)
        excess = loss_moments(data.solve(lam)[None], [eta], data, penalty=lam).noise[0]
        assert excess == pytest.approx(limit) if scale == 1.0 else excess < limit
    # coarser closed form of the theorem's shape: d (d + 1) (R^2 + lam) / eta^2
    assert limit <= 3 * 4 * (1.5**2 + lam) / eta**2


def test_excess_falls_with_the_square_of_the_total():
    one = excess_bound([0.2, 0.6], 0.5, dim=2, **PUBLIC, bounds="paper")
    assert excess_bound([0.4, 1.2], 0.5, dim=2, **PUBLIC, bounds="paper") == pytest.approx(one / 4)
    # at one total the split does not matter
    assert excess_bound([0.1, 0.7], 0.5, dim=2, **PUBLIC, bounds="paper") == pytest.approx(one)


def test_excess_quantile_bound_fails_no_more_often_than_stated():
    rng = np.random.default_rng(3)
    epsilon, lam, failure, draws = np.full(10, 0.5), 0.5, 0.1, 20_000
    X = rng.normal(size=(10, 2))
    X *= 1.5 / np.linalg.norm(X, axis=1, keepdims=True)
    gram = normal_equations(X, np.zeros(10)).gram + lam * np.eye(2)
    eta = noise_rate(epsilon, lam, **PUBLIC, bounds="paper")
    noise = sample_l2_laplace(eta, 2, size=draws, rng=rng)
    excess = np.einsum("ni,ij,nj->n", noise, gram, noise)
    limit = excess_quantile_bound(epsilon, lam, dim=2, **PUBLIC, bounds="paper", failure=failure)
    assert np.mean(excess > limit) <= failure + 4 * (failure * (1 - failure) / draws) ** 0.5
    # the quantile is that of the Gamma norm: attained in one dimension with all rows at the bound
    limit = excess_quantile_bound([1.0], lam, dim=1, **PUBLIC, bounds="paper", failure=failure)
    eta = noise_rate([1.0], lam, **PUBLIC, bounds="paper")
    assert stats.expon.sf(math.sqrt(limit / (1.5**2 + lam)) * eta) == pytest.approx(failure)


@pytest.mark.parametrize("bounds", ["paper", "tight"])
def test_plan_rows_equal_direct_computation(bounds):
    epsilon = [0.1, 0.4, 1.0]
    plan = plan_lambda(epsilon, dim=4, **PUBLIC, bounds=bounds, lambdas=[0.1, 2.0, 30.0])
    assert list(plan.columns) == ["lam", "rate", "noise_norm", "noise", "shrinkage", "relative"]
    for row in plan.itertuples():
        eta = noise_rate(epsilon, row.lam, **PUBLIC, bounds=bounds)
        assert row.rate == pytest.approx(eta)
        assert row.noise_norm == pytest.approx(4 / eta)
        assert row.noise == row.relative == pytest.approx(5 * 1.5**2 / eta**2)
        assert row.shrinkage == norm_bound(row.lam, **PUBLIC, bounds=bounds)


def test_plan_has_a_default_grid_and_falling_noise():
    plan = plan_lambda([0.5] * 10, dim=2, **PUBLIC, bounds="paper")
    assert len(plan) == 61
    assert (plan["lam"].iloc[0], plan["lam"].iloc[-1]) == pytest.approx((1e-3, 1e3))
    assert (np.diff(plan["noise"]) < 0).all()
    assert (np.diff(plan["shrinkage"]) < 0).all()


def test_marginal_noise_is_the_derivative():
    epsilon, lam = np.array([0.2, 0.9, 0.4]), 0.7

    def noise(level):
        return (2 + 1) * 1.2 / noise_rate(level, lam, **PUBLIC, bounds="paper") ** 2

    found = marginal_noise(epsilon, lam, dim=2, trace=1.2, **PUBLIC)
    for person in range(3):
        step = np.zeros(3)
        step[person] = 1e-5
        slope = (noise(epsilon - step) - noise(epsilon + step)) / 2e-5
        assert found[person] == pytest.approx(slope, rel=1e-6)


def test_capped_levels_protect_everybody_and_keep_the_input():
    epsilon = np.array([0.1, 2.0, 0.7])
    np.testing.assert_array_equal(capped_levels(epsilon, 0.7), [0.1, 0.7, 0.7])
    np.testing.assert_array_equal(epsilon, [0.1, 2.0, 0.7])


def test_planning_refuses_bad_numbers():
    with pytest.raises(ValueError, match="dim must be a whole number >= 1, got 0"):
        plan_lambda([1.0], dim=0, **PUBLIC, bounds="paper")
    with pytest.raises(ValueError, match="lam must be finite and > 0"):
        plan_lambda([1.0], dim=1, **PUBLIC, bounds="paper", lambdas=[0.0])
    with pytest.raises(ValueError, match=r"failure must be a probability in \(0, 1\), got 1"):
        excess_quantile_bound([1.0], 1.0, dim=1, **PUBLIC, bounds="paper", failure=1)
    with pytest.raises(ValueError, match="cap must be a finite number > 0"):
        capped_levels([1.0], 0.0)
    with pytest.raises(ValueError, match="trace must be a finite number > 0"):
        marginal_noise([1.0], 1.0, dim=1, trace=-1.0, **PUBLIC)
    with pytest.raises(ValueError, match="threshold must be a finite number > 0"):
        sampling_noise_ratio([1.0], 0.0)


# ---------------------------------------------------------------------------------------------------- preferences


def test_mean_levels_by_hand():
    # .34 * (.01 + .2)/2 + .43 * (.2 + 1)/2 + .23 = .0357 + .258 + .23
    assert ALAGGAN.mean == pytest.approx(0.5237)
    # .54 * .105 + .37 * .6 + .09
    assert NIU.mean == pytest.approx(0.3687)


def test_draws_have_the_stated_groups_in_random_order():
    drawn = ALAGGAN.draw(1000, rng=np.random.default_rng(0))
    assert ALAGGAN.counts(1000) == (340, 430, 230)
    assert (np.sum(drawn < 0.2), np.sum((drawn >= 0.2) & (drawn < 1)), np.sum(drawn == 1)) == (340, 430, 230)
    assert drawn.min() >= 0.01
    # variance of uniform groups: .34 * .19^2/12 + .43 * .8^2/12 per person; 4 standard errors
    error = ((0.34 * 0.19**2 + 0.43 * 0.8**2) / 12 / 1000) ** 0.5
    assert abs(drawn.mean() - ALAGGAN.mean) < 4 * error
    # order carries no information about the group: first half against second half
    assert abs(drawn[:500].mean() - drawn[500:].mean()) < 4 * drawn.std() * (2 / 500) ** 0.5


def test_draws_repeat_with_the_seed_and_match_the_function():
    one, two = (ALAGGAN.draw(50, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    three = draw_epsilons(
        50,
        conservative=0.34,
        pragmatic=0.43,
        epsilon_conservative=0.01,
        epsilon_pragmatic=0.2,
        epsilon_liberal=1.0,
        rng=np.random.default_rng(4),
    )
    np.testing.assert_array_equal(one, three)


def test_preferences_refuse_impossible_populations():
    with pytest.raises(ValueError, match=r"conservative is a share in \[0, 1\], got 1.2"):
        Preferences(1.2, 0.0, 0.1, 0.2, 1.0)
    with pytest.raises(ValueError, match=r"must be at most 1, got 0.7 \+ 0.5"):
        Preferences(0.7, 0.5, 0.1, 0.2, 1.0)
    with pytest.raises(ValueError, match="epsilon_conservative must be a finite number > 0"):
        Preferences(0.3, 0.3, 0.0, 0.2, 1.0)
    with pytest.raises(ValueError, match=r"levels must not decrease .* got 0\.1, 2\.0, 1\.0"):
        Preferences(0.3, 0.3, 0.1, 2.0, 1.0)
    with pytest.raises(ValueError, match="n must be at least 1 person, got 0"):
        ALAGGAN.draw(0, rng=np.random.default_rng(0))


def test_keep_probabilities_by_hand():
    # (2 - 1) / (3 - 1) and 1 from the threshold on
    found = keep_probabilities(np.array([math.log(2), math.log(3), 9.0]), math.log(3))
    np.testing.assert_allclose(found, [0.5, 1.0, 1.0])


@given(levels, st.floats(0.05, 5.0))
def test_keep_probabilities_bound_what_sampling_costs(epsilon, threshold):
    found = keep_probabilities(np.array(epsilon), threshold)
    assert ((found > 0) & (found <= 1)).all()
    # amplification: log(1 + p (e^t - 1)) is the level of a sampled person
    spent = np.log1p(found * np.expm1(threshold))
    np.testing.assert_allclose(spent, np.minimum(epsilon, threshold), rtol=1e-9)
    # never more than in proportion to the level
    assert (found <= np.minimum(np.array(epsilon) / threshold, 1.0) * (1 + 1e-12)).all()


def test_keep_probabilities_survive_huge_levels():
    found = keep_probabilities(np.array([1.0, 1e9]), 1e9)
    assert np.isfinite(found).all()
    assert found[1] == 1.0
    with pytest.raises(ValueError, match="threshold must be a finite number > 0"):
        keep_probabilities(np.array([1.0]), -1.0)
