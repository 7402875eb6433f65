"""Reference models without privacy, constants, and the synthetic table of the experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.utils.estimator_checks import check_estimator

from trustlib.pdp_op import ConstantPredictor, PersonalizedRidge, RidgeReference, draw_synthetic


def table(n=30, d=3, m=None, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=n if m is None else (n, m)), rng.uniform(0.1, 1, n)


@pytest.mark.parametrize("m", [None, 2])
@pytest.mark.parametrize("weighted", [False, True])
def test_reference_equals_scikit_learn(m, weighted):
    X, y, level = table(m=m)
    weights = level / level.sum() if weighted else np.full(30, 1 / 30)
    found = RidgeReference(0.3).fit(X, y, epsilon=level if weighted else None)
    oracle = Ridge(alpha=0.3, fit_intercept=False).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(found.coef_, oracle.coef_, atol=1e-10)
    np.testing.assert_allclose(found.predict(X), oracle.predict(X), atol=1e-10)
    least = RidgeReference(0.0).fit(X, y, epsilon=level if weighted else None)
    oracle = LinearRegression(fit_intercept=False).fit(X, y, sample_weight=weights)
    np.testing.assert_allclose(least.coef_, oracle.coef_, atol=1e-10)


def test_reference_without_regularisation_takes_the_shortest_solution():
    # x = (1, 1), y = 2: all theta with theta_1 + theta_2 = 2 fit; the shortest is (1, 1)
    assert RidgeReference(0.0).fit([[1.0, 1.0]], [2.0]).coef_ == pytest.approx([1.0, 1.0])


def test_reference_is_the_private_model_before_its_noise():
    X, y, level = table()
    X, y = X / 10, np.clip(y, -1, 1)
    private = PersonalizedRidge(0.5, x_norm=3.0, y_bound=1.0, random_state=0).fit(X, y, epsilon=1e13 * level)
    np.testing.assert_allclose(RidgeReference(0.5).fit(X, y, epsilon=level).coef_, private.coef_, atol=1e-9)


def test_reference_keeps_the_estimator_conventions():
    check_estimator(RidgeReference(0.001), on_skip=None)
    check_estimator(ConstantPredictor(0.0), on_skip=None)


def test_constant_by_hand():
    model = ConstantPredictor(0.25).fit([[1.0], [2.0]], [1.0, 0.0], epsilon=[1.0, 2.0])
    np.testing.assert_array_equal(model.predict([[7.0], [8.0], [9.0]]), [0.25] * 3)
    # the targets are not used
    assert model.fit([[1.0], [2.0]], [50.0, 60.0]).predict([[0.0]]) == [0.25]


def test_references_refuse_bad_numbers():
    X, y, _ = table()
    with pytest.raises(ValueError, match="alpha must be a finite number >= 0, got -1"):
        RidgeReference(-1).fit(X, y)
    with pytest.raises(TypeError, match="alpha must be a number, got '1'"):
        RidgeReference("1").fit(X, y)
    with pytest.raises(ValueError, match="value must be a finite number, got nan"):
        ConstantPredictor(math.nan).fit(X, y)
    for model in (RidgeReference(1.0), ConstantPredictor(0.0)):
        with pytest.raises(ValueError, match="one level for each of the 30 records, got 2"):
            model.fit(X, y, epsilon=[1.0, 1.0])


# ------------------------------------------------------------------------------------------------ synthetic table


def test_synthetic_table_follows_the_protocol():
    found = draw_synthetic(4000, 5, noise=0.0, rng=np.random.default_rng(1))
    X, y = found.problem.X, found.problem.y
    np.testing.assert_allclose(y, X @ found.theta)
    assert np.linalg.norm(found.theta) == pytest.approx(1 / math.sqrt(5))
    assert X.min() >= 0
    assert X.max() <= 1
    # uniform: mean 1/2, standard error sqrt(1/12/4000) = 0.0046; 4.5 of them for the largest of 5
    assert np.abs(X.mean(axis=0) - 0.5).max() < 4.5 * (1 / 12 / 4000) ** 0.5
    assert (found.problem.x_norm, found.problem.y_bound, found.clipped) == (math.sqrt(5), 1.0, 0)


def test_synthetic_direction_is_uniform():
    # each coordinate of a uniform direction has mean 0 and variance 1/d
    rng = np.random.default_rng(2)
    drawn = (
        np.array([draw_synthetic(1, 4, noise=0.0, rng=rng).theta for _ in range(2000)]) * 2
    )  # times sqrt(d)
    assert np.abs(drawn.mean(axis=0)).max() < 4.5 * (1 / 4 / 2000) ** 0.5
    # variance of u^2 is 2 (d - 1) / (d^2 (d + 2)) = 6 / 96
    assert np.abs((drawn**2).mean(axis=0) - 0.25).max() < 4.5 * (6 / 96 / 2000) ** 0.5


def test_synthetic_noise_is_clipped_and_counted():
    found = draw_synthetic(500, 2, noise=1.0, rng=np.random.default_rng(3))
    assert np.abs(found.problem.y).max() == 1.0
    assert found.clipped == int(np.sum(np.abs(found.problem.y) == 1.0)) > 100
    again = draw_synthetic(500, 2, noise=1.0, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(found.problem.y, again.problem.y)


def test_synthetic_refuses_bad_numbers():
    rng = np.random.default_rng(0)
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="n must be a whole number >= 1"):
            draw_synthetic(bad, 2, noise=0.0, rng=rng)
        with pytest.raises(ValueError, match="dim must be a whole number >= 1"):
            draw_synthetic(2, bad, noise=0.0, rng=rng)
    with pytest.raises(ValueError, match=r"noise must be a finite number >= 0, got -0\.1"):
        draw_synthetic(2, 2, noise=-0.1, rng=rng)
