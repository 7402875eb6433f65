"""Noise: moments with standard errors, laws against scipy, densities against the guarantee, calibration, rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib import privacy
from trustlib.privacy import (
    ZCDP,
    ApproxDP,
    GaussianDP,
    PureDP,
    gaussian_sigma,
    round_to_grid,
    sample_gaussian,
    sample_l2_laplace,
    sample_laplace,
)

N = 20_000


def uniform_p_value(sample, law):
    """Kolmogorov-Smirnov p-value; with fixed generators below 1e-3 only if the law is wrong."""
    return stats.kstest(sample, law.cdf).pvalue


@pytest.mark.parametrize("dim", [1, 2, 12])
def test_l2_laplace_norm_and_direction(dim):
    rate = 2.5
    noise = sample_l2_laplace(rate, dim, size=N, rng=np.random.default_rng(dim))
    norm = np.linalg.norm(noise, axis=1)
    assert uniform_p_value(norm, stats.gamma(dim, scale=1 / rate)) > 1e-3
    direction = noise / norm[:, None]
    # mean of a coordinate of the sphere: 0 with variance 1/dim; second moments I/dim
    assert np.abs(direction.mean(axis=0)).max() < 5 * math.sqrt(1 / dim / N)
    assert np.abs(direction.T @ direction / N - np.eye(dim) / dim).max() < 5 / math.sqrt(N)
    # independent of the norm: correlation of two independent samples has standard error 1/sqrt(N)
    assert abs(np.corrcoef(norm, direction[:, 0])[0, 1]) < 5 / math.sqrt(N)


def test_l2_laplace_moments_by_hand():
    # E||b||^2 = d (d + 1) / rate^2 = 5 * 6 / 4 = 7.5; Cov = (d + 1) / rate^2 = 1.5 per coordinate
    noise = sample_l2_laplace(2.0, 5, size=N, rng=np.random.default_rng(1))
    squares = (noise**2).sum(axis=1)
    assert squares.mean() == pytest.approx(7.5, abs=5 * squares.std() / math.sqrt(N))
    coordinate = noise[:, 0] ** 2
    assert coordinate.mean() == pytest.approx(1.5, abs=5 * coordinate.std() / math.sqrt(N))
    # kurtosis 3 (d + 3) / (d + 1) = 4, not the 6 of a Laplace coordinate
    fourth = noise[:, 0] ** 4
    ratio = fourth.mean() / coordinate.mean() ** 2
    assert ratio == pytest.approx(4.0, abs=5 * fourth.std() / coordinate.mean() ** 2 / math.sqrt(N))
    assert stats.kstest(noise[:, 0], stats.laplace(scale=0.5).cdf).pvalue < 1e-6  # control


def test_l2_laplace_in_one_dimension_is_laplace():
    noise = sample_l2_laplace(2.0, 1, size=N, rng=np.random.default_rng(2))[:, 0]
    assert uniform_p_value(noise, stats.laplace(scale=0.5)) > 1e-3


@given(st.integers(1, 6), st.floats(0.1, 5.0), st.integers(0, 10_000))
def test_l2_laplace_density_ratio_is_within_the_sensitivity(dim, rate, seed):
    # loss at z between centres t and t + shift is rate (||z - t - shift|| - ||z - t||) <= rate ||shift||
    rng = np.random.default_rng(seed)
    shift = rng.normal(size=dim)
    z = sample_l2_laplace(rate, dim, size=50, rng=rng)
    loss = rate * (np.linalg.norm(z - shift, axis=1) - np.linalg.norm(z, axis=1))
    assert np.abs(loss).max() <= rate * np.linalg.norm(shift) * (1 + 1e-9)


def test_laplace_law_and_independence():
    noise = sample_laplace(0.5, 3, size=N, rng=np.random.default_rng(3))
    assert uniform_p_value(noise[:, 1], stats.laplace(scale=0.5)) > 1e-3
    # |b_1| and |b_2| are independent: correlation 0 with standard error 1/sqrt(N)
    assert abs(np.corrcoef(np.abs(noise[:, :2]).T)[0, 1]) < 5 / math.sqrt(N)


def test_gaussian_law():
    noise = sample_gaussian(3.0, 2, size=N, rng=np.random.default_rng(4))
    assert uniform_p_value(noise[:, 0], stats.norm(scale=3.0)) > 1e-3
    assert abs(np.corrcoef(noise.T)[0, 1]) < 5 / math.sqrt(N)


@pytest.mark.parametrize("sample", [sample_l2_laplace, sample_laplace, sample_gaussian])
def test_samplers_shapes_and_repeatability(sample):
    assert sample(1.0, 3, rng=np.random.default_rng(0)).shape == (3,)
    assert sample(1.0, 3, size=0, rng=np.random.default_rng(0)).shape == (0, 3)
    assert sample(1.0, 3, size=2, rng=np.random.default_rng(0)).shape == (2, 3)
    again = [sample(1.0, 3, size=2, rng=np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("sample", [sample_l2_laplace, sample_laplace, sample_gaussian])
@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_samplers_scale(sample, factor):
    unit = sample(1.0, 3, size=4, rng=np.random.default_rng(5))
    scaled = sample(
        1 / factor if sample is sample_l2_laplace else factor, 3, size=4, rng=np.random.default_rng(5)
    )
    np.testing.assert_allclose(scaled, factor * unit, rtol=1e-12)


@pytest.mark.parametrize("sample", [sample_l2_laplace, sample_laplace, sample_gaussian])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_samplers_refuse_to_skip_the_noise(sample, value):
    with pytest.raises(ValueError, match="must be a finite number > 0, got"):
        sample(value, 3, rng=np.random.default_rng(0))


@pytest.mark.parametrize("sample", [sample_l2_laplace, sample_laplace, sample_gaussian])
def test_samplers_refuse_bad_shapes_and_seeds(sample):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="dim must be at least 1, got 0"):
        sample(1.0, 0, rng=rng)
    with pytest.raises(TypeError, match=r"dim must be a whole number, got 2.0"):
        sample(1.0, 2.0, rng=rng)
    with pytest.raises(ValueError, match="size must be at least 0, got -1"):
        sample(1.0, 2, size=-1, rng=rng)
    with pytest.raises(TypeError, match=r"rng must be a numpy.random.Generator, got int"):
        sample(1.0, 2, rng=0)


def test_gaussian_sigma_by_hand():
    assert gaussian_sigma(ZCDP(0.125), sensitivity=3.0) == pytest.approx(6.0)  # 3 / sqrt(0.25)
    assert gaussian_sigma(GaussianDP(0.5), sensitivity=3.0) == 6.0


@given(st.floats(0.01, 20.0), st.sampled_from([1e-10, 1e-5, 1e-2]), st.floats(0.01, 100.0))
def test_gaussian_sigma_meets_the_pair_and_no_smaller_one_does(epsilon, delta, sensitivity):
    sigma = gaussian_sigma(ApproxDP(epsilon, delta), sensitivity=sensitivity)
    assert privacy.gdp_delta(sensitivity / sigma, epsilon=epsilon) <= delta * (1 + 1e-9)
    assert privacy.gdp_delta(sensitivity / (0.9999 * sigma), epsilon=epsilon) > delta


def test_gaussian_sigma_agrees_with_dp_accounting():
    oracle = pytest.importorskip("dp_accounting.gaussian_mechanism")
    expected = oracle.get_sigma_gaussian(1.0, 1e-5)
    assert gaussian_sigma(ApproxDP(1.0, 1e-5), sensitivity=1.0) == pytest.approx(expected, rel=1e-9)


def test_gaussian_sigma_refuses():
    with pytest.raises(ValueError, match="delta = 0, which no Gaussian noise meets"):
        gaussian_sigma(ApproxDP(1.0, 0.0), sensitivity=1.0)
    with pytest.raises(TypeError, match=r"budget must be ZCDP, GaussianDP or ApproxDP, got PureDP"):
        gaussian_sigma(PureDP(1.0), sensitivity=1.0)
    with pytest.raises(ValueError, match="sensitivity must be a finite number > 0, got 0"):
        gaussian_sigma(ZCDP(1.0), sensitivity=0)


def test_round_to_grid_by_hand():
    np.testing.assert_array_equal(round_to_grid([0.3, 0.4, -0.6, 7.0], step=0.25), [0.25, 0.5, -0.5, 7.0])
    assert not np.signbit(round_to_grid(-0.01, step=0.25))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), st.sampled_from([2.0**-10, 0.1, 3.0]))
def test_round_to_grid_is_near_on_the_grid_and_stable(values, step):
    before = np.array(values)
    rounded = round_to_grid(before, step=step)
    np.testing.assert_array_equal(before, values)  # input untouched
    assert np.abs(rounded - before).max() <= step / 2 * (1 + 1e-6)
    np.testing.assert_allclose(rounded / step, np.rint(rounded / step), atol=1e-9, rtol=0)
    np.testing.assert_array_equal(round_to_grid(rounded, step=step), rounded)


def test_round_to_grid_hides_which_floats_the_sum_can_reach():
    # Near 1/2 floats are 2^-53 apart: 0.5 + noise below 2^-54 is lost, 0.0 + noise is not. The grid removes the trace.
    noise = np.array([1e-17, 3e-17])
    assert len(np.unique(0.5 + noise)) < len(np.unique(0.0 + noise))
    step = 2.0**-20
    assert len(np.unique(round_to_grid(0.5 + noise, step=step))) == 1
    assert len(np.unique(round_to_grid(0.0 + noise, step=step))) == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, 2.0**53])
def test_round_to_grid_refuses_values_no_grid_can_hold(value):
    with pytest.raises(ValueError, match="use a larger step"):
        round_to_grid([value], step=1.0)
    with pytest.raises(ValueError, match="step must be a finite number > 0, got 0"):
        round_to_grid([1.0], step=0)
