"""Weights, norm bounds, sensitivities, noise rates: by hand, by brute force, and their invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.pdp_op import (
    check_bounds,
    effective_size,
    noise_rate,
    norm_bound,
    personal_weights,
    ridge_sensitivity,
)

levels = st.lists(st.floats(0.01, 10.0), min_size=1, max_size=12)
number = st.floats(0.05, 20.0)
BOTH = pytest.mark.parametrize("bounds", ["paper", "tight"])


def test_weights_by_hand():
    # total 0.1 + 0.3 + 0.6 = 1
    np.testing.assert_allclose(personal_weights([0.1, 0.3, 0.6]), [0.1, 0.3, 0.6])
    # 1/4 and 3/4
    np.testing.assert_array_equal(personal_weights([2.0, 6.0]), [0.25, 0.75])


def test_effective_size_by_hand():
    assert effective_size([1.0, 1.0, 1.0]) == 3.0
    # (1 + 3)^2 / (1 + 9) = 1.6
    assert effective_size([1.0, 3.0]) == pytest.approx(1.6)


def test_norm_bound_by_hand():
    # paper: min(1/sqrt(4), 3/4) = 0.5; min(1/sqrt(100), 3/100) = 0.03; both times Y = 2
    assert norm_bound(4.0, x_norm=3.0, y_bound=2.0, bounds="paper") == pytest.approx(1.0)
    assert norm_bound(100.0, x_norm=3.0, y_bound=2.0, bounds="paper") == pytest.approx(0.06)
    # tight: 4 <= 9, so 2 / (2 * 2) = 0.5; 100 > 9, so 2 * 3 / (9 + 100)
    assert norm_bound(4.0, x_norm=3.0, y_bound=2.0, bounds="tight") == pytest.approx(0.5)
    assert norm_bound(100.0, x_norm=3.0, y_bound=2.0, bounds="tight") == pytest.approx(6 / 109)


def test_sensitivity_and_rate_by_hand():
    # lam = 4, R = 2, Y = 1: paper B = min(1/2, 2/4) = 1/2; Delta = 2 w 2 (1 + 1) / 4 = 2 w
    public = {"x_norm": 2.0, "y_bound": 1.0}
    np.testing.assert_allclose(
        ridge_sensitivity([0.25, 0.75], 4.0, **public, bounds="paper"), [0.5, 1.5], rtol=1e-15
    )
    # eta = 4 * (1 + 3) / (2 * 2 * 2) = 2, so eta * Delta = (1, 3) = epsilon
    assert noise_rate([1.0, 3.0], 4.0, **public, bounds="paper") == pytest.approx(2.0)
    # tight: B = 1 / (2 * 2) = 1/4; 2 w 2 (1 + 1/2) / 4 = 1.5 w = (0.375, 1.125), cut at 2 B = 0.5
    np.testing.assert_allclose(
        ridge_sensitivity([0.25, 0.75], 4.0, **public, bounds="tight"), [0.375, 0.5], rtol=1e-15
    )
    # min(1 / 0.375, 3 / 0.5) = 8/3
    assert noise_rate([1.0, 3.0], 4.0, **public, bounds="tight") == pytest.approx(8 / 3)
    # one person: Delta = min(1.5, 0.5), eta = 1 / 0.5
    assert noise_rate([1.0], 4.0, **public, bounds="tight") == pytest.approx(2.0)


def test_tight_norm_bound_is_the_supremum():
    # one record of weight 1 at distance s has the minimiser Y s / (s^2 + lam); the worst s is searched on a grid
    reach = np.linspace(0.0, 1.5, 200_001)
    for lam in (0.01, 0.3, 2.25, 7.0):
        sup = np.max(2.0 * reach / (reach**2 + lam))
        assert norm_bound(lam, x_norm=1.5, y_bound=2.0, bounds="tight") == pytest.approx(sup, rel=1e-8)


@BOTH
def test_norm_bound_holds_on_random_tables(bounds):
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, d, lam = rng.integers(1, 6), rng.integers(1, 4), 10 ** rng.uniform(-2, 2)
        X = rng.normal(size=(n, d))
        X *= 1.3 / np.linalg.norm(X, axis=1, keepdims=True)
        y, w = rng.choice([-0.7, 0.7], n), rng.dirichlet(np.ones(n))
        theta = np.linalg.solve(X.T @ np.diag(w) @ X + lam * np.eye(d), X.T @ (w * y))
        limit = norm_bound(lam, x_norm=1.3, y_bound=0.7, bounds=bounds)
        assert np.linalg.norm(theta) <= limit * (1 + 1e-9)


@given(levels, number, number, number)
def test_rate_is_the_smallest_quotient_of_level_and_sensitivity(epsilon, lam, x_norm, y_bound):
    for bounds in ("paper", "tight"):
        public = {"x_norm": x_norm, "y_bound": y_bound, "bounds": bounds}
        delta = ridge_sensitivity(personal_weights(epsilon), lam, **public)
        quotients = [level / step for level, step in zip(epsilon, delta, strict=True)]
        assert noise_rate(epsilon, lam, **public) == pytest.approx(min(quotients), rel=1e-9)


@given(levels, number, number, number)
def test_tight_never_needs_more_noise(epsilon, lam, x_norm, y_bound):
    public = {"x_norm": x_norm, "y_bound": y_bound}
    weight = personal_weights(epsilon)
    assert norm_bound(lam, **public, bounds="tight") <= norm_bound(lam, **public, bounds="paper") * (
        1 + 1e-12
    )
    tight = ridge_sensitivity(weight, lam, **public, bounds="tight")
    assert (tight <= ridge_sensitivity(weight, lam, **public, bounds="paper") * (1 + 1e-12)).all()
    assert noise_rate(epsilon, lam, **public, bounds="tight") >= noise_rate(
        epsilon, lam, **public, bounds="paper"
    ) * (1 - 1e-12)


@given(levels, number, number, st.floats(0.1, 10.0))
def test_changing_units_changes_the_rate_by_the_unit(epsilon, lam, x_norm, unit):
    for bounds in ("paper", "tight"):
        base = noise_rate(epsilon, lam, x_norm=x_norm, y_bound=1.0, bounds=bounds)
        # target in other units: coefficients scale with it, lam stays
        assert noise_rate(epsilon, lam, x_norm=x_norm, y_bound=unit, bounds=bounds) == pytest.approx(
            base / unit
        )
        # features in other units: lam scales with the square and coefficients with 1 / unit
        scaled = noise_rate(epsilon, lam * unit**2, x_norm=x_norm * unit, y_bound=1.0, bounds=bounds)
        assert scaled == pytest.approx(base * unit)
        # levels in other units
        more = noise_rate(np.array(epsilon) * unit, lam, x_norm=x_norm, y_bound=1.0, bounds=bounds)
        assert more == pytest.approx(base * unit)


@BOTH
def test_rate_ignores_the_order_of_people_and_grows_with_every_level(bounds):
    public = {"x_norm": 1.0, "y_bound": 1.0, "bounds": bounds}
    base = noise_rate([0.1, 0.5, 2.0], 0.3, **public)
    assert noise_rate([2.0, 0.1, 0.5], 0.3, **public) == pytest.approx(base)
    for changed in ([0.2, 0.5, 2.0], [0.1, 0.6, 2.0], [0.1, 0.5, 2.1]):
        assert noise_rate(changed, 0.3, **public) > base


@BOTH
def test_grid_of_lambda_equals_single_values(bounds):
    grid = np.array([0.01, 1.0, 4.0, 50.0])
    public = {"x_norm": 2.0, "y_bound": 1.0, "bounds": bounds}
    rates = noise_rate([0.2, 0.9], grid, **public)
    assert rates.shape == (4,)
    assert isinstance(noise_rate([0.2, 0.9], 1.0, **public), float)
    np.testing.assert_allclose(rates, [noise_rate([0.2, 0.9], lam, **public) for lam in grid])
    np.testing.assert_allclose(norm_bound(grid, **public), [norm_bound(lam, **public) for lam in grid])


def test_paper_bound_is_continuous_where_its_branches_meet():
    # 1/sqrt(lam) = R/lam at lam = R^2
    near = [norm_bound(4.0 * (1 + s), x_norm=2.0, y_bound=1.0, bounds="paper") for s in (-1e-9, 1e-9)]
    assert math.isclose(*near, rel_tol=1e-8)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_numbers_out_of_range_are_refused(bad):
    good = {"x_norm": 1.0, "y_bound": 1.0, "bounds": "paper"}
    with pytest.raises(ValueError, match="lam must be finite and > 0"):
        noise_rate([1.0], bad, **good)
    with pytest.raises(ValueError, match="x_norm must be a finite number > 0"):
        noise_rate([1.0], 1.0, **{**good, "x_norm": bad})
    with pytest.raises(ValueError, match="y_bound must be a finite number > 0"):
        norm_bound(1.0, **{**good, "y_bound": bad})
    with pytest.raises(ValueError, match=r"epsilon must be finite and > 0 .* at position 1 \(1 of 2\)"):
        noise_rate([1.0, bad], 1.0, **good)
    with pytest.raises(ValueError, match="epsilon must be finite"):
        personal_weights([bad])


def test_shapes_and_types_are_refused():
    with pytest.raises(ValueError, match=r"one level per record, got shape \(2, 1\)"):
        personal_weights([[1.0], [2.0]])
    with pytest.raises(ValueError, match=r"got shape \(0,\)"):
        effective_size([])
    with pytest.raises(TypeError, match="x_norm must be a number, got '1'"):
        norm_bound(1.0, x_norm="1", y_bound=1.0, bounds="paper")


def test_bounds_are_a_closed_choice():
    assert check_bounds("paper") == "paper"
    with pytest.raises(ValueError, match='bounds must be one of "paper", "tight", got \'foo\''):
        check_bounds("foo")
    with pytest.raises(ValueError, match="bounds must be one of"):
        noise_rate([1.0], 1.0, x_norm=1.0, y_bound=1.0, bounds="loose")
