"""Personal levels through noisy second moments: sensitivity, noise, solutions and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.pdp_op import (
    DomainError,
    DomainWarning,
    PersonalizedStatisticsRidge,
    RidgeReference,
    statistics_diameter,
)
from trustlib.privacy import PrivacyLedger

PUBLIC = {"x_norm": 2.0, "y_bound": 1.0}


def table(n=30, d=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (n, d)), rng.uniform(-1, 1, n), rng.uniform(0.1, 1, n)


def moments(x, y):
    """All entries of x x^T and x y."""
    return np.concatenate([np.outer(x, x).ravel(), x * y])


def test_diameter_by_hand():
    # R = Y = 1: 2 + 2 + 1/2
    assert statistics_diameter(x_norm=1.0, y_bound=1.0) == pytest.approx(math.sqrt(4.5))
    # Y^2 = 9 > 2: 2 R Y
    assert statistics_diameter(x_norm=1.0, y_bound=3.0) == pytest.approx(6.0)
    # both branches meet at Y^2 = 2 R^2: 2 + 4 + 2 = 8 = 4 * 2
    assert statistics_diameter(x_norm=1.0, y_bound=math.sqrt(2)) == pytest.approx(math.sqrt(8))


@given(st.floats(0.2, 3), st.floats(0.2, 3), st.integers(1, 4), st.integers(0, 999))
def test_diameter_holds_for_all_pairs(x_norm, y_bound, dim, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, dim))
    x *= (x_norm * rng.uniform(size=(60, 1)) ** 0.2) / np.linalg.norm(x, axis=1, keepdims=True)
    points = np.array([moments(a, y_bound * s) for a in x for s in (-1, 1)])
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1).max()
    assert distance <= statistics_diameter(x_norm=x_norm, y_bound=y_bound) * (1 + 1e-12)


@pytest.mark.parametrize("y_bound", [0.5, 1.0, 2.0])
def test_diameter_is_attained(y_bound):
    # R = 1, two directions at the angle with cosine min(Y^2 / 2, 1), opposite signs
    s = min(y_bound**2 / 2, 1.0)
    one, two = np.array([1.0, 0.0]), np.array([s, math.sqrt(1 - s**2)])
    distance = np.linalg.norm(moments(one, y_bound) - moments(two, -y_bound))
    assert distance == pytest.approx(statistics_diameter(x_norm=1.0, y_bound=y_bound))


def test_without_noise_it_is_weighted_ridge_for_every_lambda():
    X, y, level = table()
    model = PersonalizedStatisticsRidge(0.5, **PUBLIC, random_state=0).fit(X, y, epsilon=1e13 * level)
    np.testing.assert_allclose(model.coef_, RidgeReference(0.5).fit(X, y, epsilon=level).coef_, atol=1e-9)
    for lam, coef in zip((0.1, 2.0), model.path([0.1, 2.0]), strict=True):
        np.testing.assert_allclose(coef, RidgeReference(lam).fit(X, y, epsilon=level).coef_, atol=1e-9)
    np.testing.assert_allclose(model.predict(X), X @ model.coef_)


def test_noise_is_spherical_in_the_entries():
    # off-diagonal entries stand for two, so that the Frobenius norm of the noise has the law of the vector
    X, y, level = table(n=200, d=2)
    X = np.vstack([X, 0.9 * np.eye(2)])
    y, level = np.append(y, [0.0, 0.0]), np.append(level, [1.0, 1.0]) * 100
    weights = level / level.sum()
    gram, cross = X.T @ (weights[:, None] * X), X.T @ (weights * y)
    rng, draws = np.random.default_rng(1), 1500
    norms = []
    for _ in range(draws):
        model = PersonalizedStatisticsRidge(0.5, **PUBLIC, random_state=rng).fit(X, y, epsilon=level)
        assert np.linalg.eigvalsh(model.gram_)[0] > 1e-6  # nothing was cut off at these levels
        norms.append(math.hypot(np.linalg.norm(model.gram_ - gram), np.linalg.norm(model.cross_ - cross)))
    # 3 + 2 distinct numbers: Gamma with shape 5, mean 5 / rate, standard error sqrt(5 / draws) / rate
    rate = level.sum() / statistics_diameter(**PUBLIC)
    assert model.noise_rate_ == pytest.approx(rate)
    assert abs(np.mean(norms) * rate - 5) < 4 * (5 / draws) ** 0.5
    # E norm^2 = 5 * 6; variance 5 * 6 * (4 * 5 + 6)
    assert abs(np.mean(np.square(norms)) * rate**2 - 30) < 4 * (30 * 26 / draws) ** 0.5


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 99))
def test_exact_loss_of_every_person_stays_below_their_level(n, d, seed):
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.05, 2, n)
    x = rng.normal(size=(2, n, d))
    x *= PUBLIC["x_norm"] / np.linalg.norm(x, axis=2, keepdims=True)
    y = rng.choice([-1.0, 1.0], (2, n))
    rate = level.sum() / statistics_diameter(**PUBLIC)
    for i in range(n):
        step = level[i] / level.sum() * np.linalg.norm(moments(x[0, i], y[0, i]) - moments(x[1, i], y[1, i]))
        assert rate * step <= level[i] * (1 + 1e-12)


def test_a_sensitivity_without_the_cross_moments_is_too_small():
    # planted: sqrt(2) R^2 is the diameter of x x^T alone
    one, two = np.array([1.0, 0.0]), np.array([0.5, math.sqrt(0.75)])
    assert np.linalg.norm(moments(one, 1.0) - moments(two, -1.0)) / math.sqrt(2) > 1.4


def test_moments_stay_positive_semidefinite_under_heavy_noise():
    X, y, _ = table(n=3)
    for seed in range(10):
        model = PersonalizedStatisticsRidge(1.0, **PUBLIC, random_state=seed).fit(X, y, epsilon=0.01)
        assert np.linalg.eigvalsh(model.gram_)[0] > -1e-9 * np.linalg.norm(model.gram_)
        assert np.isfinite(model.coef_).all()


def test_releases_add_up_and_seeds_repeat():
    X, y, level = table()
    ledger = PrivacyLedger("substitution", unit="one person")
    model = PersonalizedStatisticsRidge(1.0, **PUBLIC, ledger=ledger, random_state=np.random.default_rng(0))
    model.fit(X, y, epsilon=level).fit(X, y, epsilon=level)
    np.testing.assert_allclose(model.privacy_spent_, 2 * level)
    assert [entry.label for entry in ledger.entries] == ["personalised statistics"] * 2
    one, two = (
        PersonalizedStatisticsRidge(1.0, **PUBLIC, random_state=3).fit(X, y, epsilon=1.0) for _ in range(2)
    )
    np.testing.assert_array_equal(one.coef_, two.coef_)


def test_statistics_refuse_and_clip():
    X, y, level = table(n=4)

    def model(**options):
        return PersonalizedStatisticsRidge(**{"alpha": 1.0, **PUBLIC, "random_state": 0, **options})

    with pytest.raises(ValueError, match="alpha must be a finite number > 0, got 0"):
        model(alpha=0).fit(X, y, epsilon=level)
    with pytest.raises(ValueError, match="x_norm must be a finite number > 0, got -1"):
        model(x_norm=-1).fit(X, y, epsilon=level)
    with pytest.raises(ValueError, match=r"adjacency must be .* the loss has no finite bound"):
        model(adjacency="add_remove").fit(X, y, epsilon=level)
    with pytest.raises(ValueError, match="epsilon is missing"):
        model().fit(X, y)
    with pytest.raises(DomainError, match="rows have a norm above x_norm"):
        model(x_norm=0.1).fit(X, y, epsilon=level)
    with pytest.warns(DomainWarning, match="projected"):
        clipped = model(x_norm=0.1, on_violation="clip").fit(X, y, epsilon=level)
    assert clipped.clipped_.rows == 4
    for bad in ([0.0], [math.nan], [], 1.0):
        with pytest.raises(ValueError, match="lambdas must be a vector of finite numbers > 0"):
            clipped.path(bad)
