"""Exact losses over exchanges on a table, and the exact worth of one more unit of epsilon."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trustlib.pdp_op import (
    DomainError,
    corner_losses,
    corner_records,
    loss_moments,
    marginal_noise,
    marginal_value,
    noise_rate,
    normal_equations,
    substitution_losses,
)

BOTH = pytest.mark.parametrize("bounds", ["paper", "tight"])


def solve(X, y, level, lam):
    """The minimiser as a plain sum over records."""
    total, gram, cross = sum(level), lam * np.eye(len(X[0])), np.zeros(len(X[0]))
    for x, target, e in zip(X, y, level, strict=True):
        gram = gram + e / total * np.outer(x, x)
        cross = cross + e / total * target * np.asarray(x)
    return np.linalg.solve(gram, cross)


def corners(n, d, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2, (n, d)).astype(float), rng.choice([-1.0, 1.0], n), rng.uniform(0.05, 1, n)


# ---------------------------------------------------------------------------------------------------- substitutions


def test_corners_by_hand():
    X, y = corner_records(2)
    assert len(X) == 8
    assert {(*x, t) for x, t in zip(X, y, strict=True)} == {
        (a, b, t) for a in (0, 1) for b in (0, 1) for t in (-1, 1)
    }


@BOTH
@given(st.integers(1, 8), st.integers(1, 3), st.sampled_from([0.01, 0.3, 1.0, 10.0]), st.integers(0, 99))
@settings(max_examples=25)
def test_losses_equal_solving_again(bounds, n, d, lam, seed):
    X, y, level = corners(n, d, seed)
    public = {"x_norm": math.sqrt(d), "y_bound": 1.0, "bounds": bounds}
    found = substitution_losses(X, y, level, lam=lam, candidates=corner_records(d), **public)
    eta, theta = noise_rate(level, lam, **public), solve(X, y, level, lam)
    for row in found.itertuples():
        losses = []
        for x, target in zip(*corner_records(d), strict=True):
            other, labels = X.copy(), y.copy()
            other[row.person], labels[row.person] = x, target
            losses.append(eta * np.linalg.norm(theta - solve(other, labels, level, lam)))
        assert row.loss == pytest.approx(max(losses), rel=1e-7, abs=1e-9)
        assert losses[row.candidate] == pytest.approx(max(losses), rel=1e-7, abs=1e-9)
    # the guarantee
    assert (found["ratio"] <= 1 + 1e-9).all()


@BOTH
def test_worst_table_of_the_exhaustive_search_is_found(bounds):
    level = [0.2, 0.9]
    public = {"x_norm": 1.0, "y_bound": 1.0, "bounds": bounds}
    X, y = corner_records(1)
    worst = np.zeros(2)
    for one in range(4):
        for two in range(4):
            rows = [one, two]
            found = substitution_losses(X[rows], y[rows], level, lam=1.0, candidates=(X, y), **public)
            worst = np.maximum(worst, found["loss"])
    np.testing.assert_allclose(worst, corner_losses(1, level, 1.0, bounds=bounds).loss)


def test_records_outside_the_assumed_domain_break_the_guarantee():
    # planted: the noise is set for |y| <= 1, the records reach 5. With the wider domain declared it holds again
    X, y, level = np.ones((3, 1)), np.array([5.0, -5.0, 5.0]), [0.1, 0.5, 1.0]
    others = (np.array([[1.0], [1.0]]), np.array([-5.0, 5.0]))
    wide = substitution_losses(
        X, y, level, lam=10.0, candidates=others, x_norm=1.0, y_bound=5.0, bounds="paper"
    )
    assert wide["ratio"].max() <= 1
    ratio = noise_rate(level, 10.0, x_norm=1.0, y_bound=1.0, bounds="paper") / noise_rate(
        level, 10.0, x_norm=1.0, y_bound=5.0, bounds="paper"
    )
    assert wide["ratio"].max() * ratio > 2


def test_exchange_for_itself_costs_nothing_and_people_can_be_chosen():
    X, y, level = corners(5, 2, 0)
    public = {"x_norm": math.sqrt(2), "y_bound": 1.0, "bounds": "paper"}
    same = substitution_losses(X, y, level, lam=1.0, candidates=(X[3:4], y[3:4]), people=[3], **public)
    assert same["person"].tolist() == [3]
    assert same["loss"].item() == pytest.approx(0, abs=1e-12)
    tensors = substitution_losses(
        torch.tensor(X), torch.tensor(y), torch.tensor(level), lam=1.0, candidates=corner_records(2), **public
    )
    arrays = substitution_losses(X, y, level, lam=1.0, candidates=corner_records(2), **public)
    assert tensors.equals(arrays)


def test_substitutions_refuse_bad_input():
    X, y, level = corners(4, 2, 0)
    options = {"lam": 1.0, "x_norm": math.sqrt(2), "y_bound": 1.0, "bounds": "paper"}
    good = corner_records(2)
    with pytest.raises(DomainError, match="labels exceed y_bound = 1"):
        substitution_losses(X, y, level, candidates=(good[0], 2 * good[1]), **options)
    with pytest.raises(ValueError, match=r"candidates must have shapes \(n, 2\) and \(n,\)"):
        substitution_losses(X, y, level, candidates=corner_records(3), **options)
    with pytest.raises(ValueError, match=r"candidates must have shapes .* n >= 1"):
        substitution_losses(X, y, level, candidates=(good[0][:0], good[1][:0]), **options)
    with pytest.raises(ValueError, match="X and y must be finite"):
        substitution_losses(X, np.full(4, np.nan), level, candidates=good, **options)
    for people in ([], [4], [-1]):
        with pytest.raises(ValueError, match="people must be positions from 0 to 3"):
            substitution_losses(X, y, level, candidates=good, people=people, **options)
    for dim in (0, 13, 2.0, True):
        with pytest.raises(ValueError, match="dim must be a whole number from 1 to 12"):
            corner_records(dim)


# -------------------------------------------------------------------------------------------------- marginal value


def expected_loss(X, y, level, evaluation, lam, bounds):
    weights = level / level.sum()
    theta = normal_equations(X, y, weights).solve(lam)
    eta = noise_rate(level, lam, x_norm=2.0, y_bound=1.0, bounds=bounds)
    return float(loss_moments(theta[None], [eta], evaluation).mean[0])


@BOTH
@pytest.mark.parametrize("lam", [0.001, 0.3, 5.0])
def test_marginal_value_is_the_derivative_of_the_exact_loss(bounds, lam):
    rng = np.random.default_rng(4)
    X, y, level = rng.uniform(-1, 1, (12, 3)), rng.uniform(-1, 1, 12), rng.uniform(0.2, 1, 12)
    evaluation = normal_equations(rng.uniform(-1, 1, (9, 3)), rng.uniform(-1, 1, 9))
    found = marginal_value(X, y, level, evaluation, lam=lam, x_norm=2.0, y_bound=1.0, bounds=bounds)
    for person in range(12):
        step = np.zeros(12)
        step[person] = 1e-6
        up, down = (expected_loss(X, y, level + s * step, evaluation, lam, bounds) for s in (1, -1))
        # central difference: curvature costs 1e-12 relative, rounding of the losses (1e-15 each) over the step 1e-6
        rounding = 1e-15 * (up + down) / 1e-6
        assert found[person] == pytest.approx(-(up - down) / 2e-6, rel=1e-5, abs=rounding)


def test_tight_noise_of_the_strictest_person_is_moved_by_them_alone():
    # zeros: no signal, only noise. lam tiny, so eta = min(epsilon) / (2 B) rather than by the total
    data = normal_equations(np.eye(2), np.zeros(2))
    X, y, public = np.zeros((3, 2)), np.zeros(3), {"x_norm": 1.0, "y_bound": 1.0, "bounds": "tight"}
    found = marginal_value(X, y, [0.5, 1.0, 2.0], data, lam=1e-6, **public)
    assert found[0] > 0
    np.testing.assert_allclose(found[1:], 0.0, atol=1e-9 * found[0])
    # two strictest: neither moves the minimum alone
    np.testing.assert_allclose(marginal_value(X, y, [0.5, 0.5, 2.0], data, lam=1e-6, **public), 0.0)


def test_marginal_value_without_signal_is_the_noise_part():
    data = normal_equations(np.eye(2), np.zeros(2))
    found = marginal_value(
        np.zeros((2, 2)), np.zeros(2), [0.5, 1.0], data, lam=0.7, x_norm=1.0, y_bound=1.0, bounds="paper"
    )
    noise = marginal_noise([0.5, 1.0], 0.7, dim=2, trace=1.0, x_norm=1.0, y_bound=1.0)
    np.testing.assert_allclose(found, noise)


def test_marginal_value_refuses_other_shapes():
    data = normal_equations(np.eye(2), np.zeros(2))
    with pytest.raises(ValueError, match=r"evaluation of d features and one output, got \(2, 3\)"):
        marginal_value(
            np.zeros((2, 3)), np.zeros(2), 1.0, data, lam=1.0, x_norm=1.0, y_bound=1.0, bounds="paper"
        )
