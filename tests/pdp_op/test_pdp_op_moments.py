"""Normal equations and exact moments: blocks against the whole, plain loops, and simulation."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trustlib.pdp_op import (
    NormalEquations,
    loss_moments,
    noise_covariance,
    normal_equations,
    stream_normal_equations,
)
from trustlib.privacy import sample_l2_laplace


def table(n=30, d=3, m=None, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n if m is None else (n, m))
    return rng.normal(size=(n, d)), y, rng.dirichlet(np.ones(n))


def same(one, two):
    for name in ("gram", "cross", "power", "weight", "rows"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-11, atol=1e-13)


def test_equations_by_hand():
    # weights 1/4 and 3/4: gram = 1/4 * 4 + 3/4 * 1, cross = 1/4 * 2 * 1 + 3/4 * 1 * 3, power = 1/4 + 3/4 * 9
    found = normal_equations([[2.0], [1.0]], [1.0, 3.0], [0.25, 0.75])
    assert (found.gram.item(), found.cross.item(), found.power) == pytest.approx((1.75, 2.75, 7.0))
    assert (found.weight, found.rows) == (1.0, 2)
    # (1.75 + 0.25) theta = 2.75
    assert found.solve(0.25).item() == pytest.approx(1.375)
    # loss at theta = 1: 1/4 (1 - 2)^2 + 3/4 (3 - 1)^2 = 3.25
    assert found.loss(np.array([1.0])) == pytest.approx(3.25)


@pytest.mark.parametrize("m", [None, 2])
def test_equations_equal_the_sum_over_records(m):
    X, y, w = table(m=m)
    gram = sum(w[i] * np.outer(X[i], X[i]) for i in range(30))
    cross = sum(w[i] * np.multiply.outer(X[i], y[i]) for i in range(30))
    found = normal_equations(X, y, w)
    np.testing.assert_allclose(found.gram, gram)
    np.testing.assert_allclose(found.cross, cross)
    assert found.power == pytest.approx(sum(w[i] * np.sum(y[i] ** 2) for i in range(30)))
    theta = np.ones_like(cross)
    assert found.loss(theta) == pytest.approx(
        sum(w[i] * np.sum((y[i] - X[i] @ theta) ** 2) for i in range(30))
    )


def test_default_weights_are_means():
    X, y, _ = table()
    same(normal_equations(X, y), normal_equations(X, y, np.full(30, 1 / 30)))


@pytest.mark.parametrize("size", [1, 7, 30, 31])
def test_blocks_and_streams_equal_the_whole(size, monkeypatch):
    X, y, w = table(m=2)
    whole = normal_equations(X, y, w)
    cuts = range(0, 30, size)
    same(whole, stream_normal_equations((X[c : c + size], y[c : c + size], w[c : c + size]) for c in cuts))
    monkeypatch.setattr(
        importlib.import_module("trustlib.pdp_op.normal_equations"), "BLOCK_ROWS", size, raising=True
    )
    same(whole, normal_equations(X, y, w))


def test_stream_reads_each_block_once():
    X, y, w = table()
    seen = []

    def blocks():
        for start in range(0, 30, 10):
            seen.append(start)
            yield X[start : start + 10], y[start : start + 10], w[start : start + 10]

    stream_normal_equations(blocks())
    assert seen == [0, 10, 20]


def test_tensors_are_read_and_inputs_stay():
    X, y, w = table()
    copies = X.copy(), y.copy(), w.copy()
    tensors = torch.tensor(X, requires_grad=True), torch.tensor(y)
    same(normal_equations(X, y, w), normal_equations(*tensors, w))
    for before, now in zip(copies, (X, y, w), strict=True):
        np.testing.assert_array_equal(before, now)


@pytest.mark.parametrize("m", [None, 2])
def test_grid_equals_single_solutions(m):
    X, y, w = table(m=m)
    found, grid = normal_equations(X, y, w), [1e-3, 0.1, 1.0, 100.0]
    many = found.solve_grid(grid)
    assert many.shape == (4, 3) if m is None else (4, 3, 2)
    np.testing.assert_allclose(many, [found.solve(lam) for lam in grid], rtol=1e-9)


def test_grid_survives_a_redundant_column():
    X, y, w = table()
    X = np.hstack([X, X[:, :1]])
    found = normal_equations(X, y, w)
    np.testing.assert_allclose(found.solve_grid([1e-6])[0], found.solve(1e-6), rtol=1e-6)


def test_scaled_weights_scale_everything_but_rows():
    X, y, w = table()
    same(normal_equations(X, y, 3.0 * w), normal_equations(X, y, w).scaled(3.0))


def test_equations_refuse_bad_shapes():
    with pytest.raises(ValueError, match=r"X must be \(n, d\) .* got \(3,\) and \(3,\)"):
        normal_equations(np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="n >= 1"):
        normal_equations(np.ones((0, 2)), np.ones(0))
    with pytest.raises(ValueError, match="X must be"):
        normal_equations(np.ones((3, 2)), np.ones(2))
    with pytest.raises(ValueError, match=r"weights must have shape \(3,\), got \(2,\)"):
        normal_equations(np.ones((3, 2)), np.ones(3), np.ones(2))
    for bad in (-0.5, np.nan):
        with pytest.raises(ValueError, match="weights must be >= 0, got a smallest one of"):
            normal_equations(np.ones((2, 1)), np.ones(2), [1.0, bad])
    with pytest.raises(ValueError, match="at least one block, got none"):
        stream_normal_equations([])


# ------------------------------------------------------------------------------------------------------- moments


def test_covariance_of_the_noise_by_hand():
    # (5 + 1) / 2^2
    assert noise_covariance(2.0, 5) == 1.5
    np.testing.assert_array_equal(noise_covariance([1.0, 2.0], 1), [2.0, 0.5])


def test_moments_in_one_dimension_by_hand():
    # loss (1 - b)^2 at theta = 0, b Laplace of scale 1/2: E b^2 = 2/4, E b^4 = 24/16
    data = NormalEquations(np.eye(1), np.ones(1), 1.0, 1.0, 1)
    found = loss_moments(np.zeros((1, 1)), [2.0], data)
    assert (found.mean.item(), found.noise.item()) == (1.5, 0.5)
    # Var(b^2 - 2b) = Var b^2 + 4 Var b = (1.5 - 0.25) + 2 = 3.25; odd moments vanish
    assert found.std.item() == pytest.approx(3.25**0.5)
    # type 2 with lam = 3 adds 3 b^2: loss 1 - 2b + 4 b^2, mean 1 + 2, variance 16 * 1.25 + 4 * 0.5
    found = loss_moments(np.zeros((1, 1)), [2.0], data, penalty=3.0)
    assert found.mean.item() == 3.0
    assert found.std.item() == pytest.approx(22.0**0.5)


@pytest.mark.parametrize("m", [None, 2])
@pytest.mark.parametrize("penalty", [None, 0.7])
def test_moments_agree_with_simulation(m, penalty):
    X, y, _ = table(m=m)
    dim, rate, draws = 3 * (m or 1), 2.5, 40_000
    theta = np.linspace(-1, 1, dim).reshape((3,) if m is None else (3, 2))
    exact = loss_moments(theta[None], [rate], normal_equations(X, y), penalty=penalty)
    noise = sample_l2_laplace(rate, dim, size=draws, rng=np.random.default_rng(1))
    released = theta + noise.reshape(draws, *theta.shape)
    residual = y - np.einsum("ni,ki...->kn...", X, released)
    losses = np.sum(residual.reshape(draws, 30, -1) ** 2, axis=2).mean(axis=1)
    losses += (penalty or 0.0) * np.sum(released.reshape(draws, -1) ** 2, axis=1)
    # standard errors of the mean and, through the fourth central moment, of the standard deviation; 4 of each
    spread = losses.std()
    assert abs(losses.mean() - exact.mean[0]) < 4 * spread / draws**0.5
    fourth = np.mean((losses - losses.mean()) ** 4)
    error = ((fourth - spread**4) / draws) ** 0.5 / (2 * spread)
    assert abs(spread - exact.std[0]) < 4 * error
    # the tolerances can see a dimension that is off by one: (d + 1) -> d or the moments of coordinate noise
    assert 4 * spread / draws**0.5 < exact.noise[0] / (dim + 1)


def test_no_noise_leaves_the_loss_itself():
    X, y, _ = table()
    theta = np.array([0.3, -0.2, 0.1])
    found = loss_moments(theta[None], [np.inf], normal_equations(X, y))
    assert found.mean[0] == pytest.approx(np.mean((y - X @ theta) ** 2))
    assert (found.std[0], found.noise[0]) == (0.0, 0.0)


@given(st.floats(0.1, 50.0), st.integers(0, 1000))
def test_moments_ignore_rotations_and_follow_the_rate(rate, seed):
    X, y, _ = table(seed=seed)
    theta = np.array([0.5, 0.0, -1.0])
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    one = loss_moments(theta[None], [rate], normal_equations(X, y))
    two = loss_moments((turn.T @ theta)[None], [rate], normal_equations(X @ turn, y))
    np.testing.assert_allclose([one.mean, one.std, one.noise], [two.mean, two.std, two.noise], rtol=1e-8)
    double = loss_moments(theta[None], [2 * rate], normal_equations(X, y))
    assert double.noise[0] == pytest.approx(one.noise[0] / 4)
    assert double.std[0] < one.std[0]


def test_moments_of_a_grid_equal_single_ones():
    X, y, _ = table()
    data, rates, lams = normal_equations(X, y), np.array([1.0, 3.0]), np.array([0.1, 2.0])
    theta = data.solve_grid(lams)
    many = loss_moments(theta, rates, data, penalty=lams)
    for k in range(2):
        single = loss_moments(theta[k : k + 1], rates[k : k + 1], data, penalty=lams[k : k + 1])
        assert (many.mean[k], many.std[k]) == pytest.approx((single.mean[0], single.std[0]))


def test_moments_refuse_other_shapes():
    data = normal_equations(*table()[:2])
    with pytest.raises(ValueError, match=r"theta must have shape \(k, 3\), got \(1, 2\)"):
        loss_moments(np.ones((1, 2)), [1.0], data)
    with pytest.raises(ValueError, match="theta must have shape"):
        loss_moments(np.ones(3), [1.0], data)
