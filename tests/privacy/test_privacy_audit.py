"""Audits: intervals against scipy, bounds that hold as often as they say, planted bugs that are found."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib.privacy import (
    ApproxDP,
    audit_epsilon,
    clopper_pearson,
    exact_epsilon_from_probabilities,
    exponential_mechanism,
    exponential_mechanism_probabilities,
    gaussian_sigma,
    round_to_grid,
    sample_gaussian,
    sample_l2_laplace,
    sample_laplace,
)

EPSILON = 1.0


def audit(mechanism, a, b, *, n=20_000, seed=0, **options):
    return audit_epsilon(mechanism, a, b, n=n, confidence=0.99, rng=np.random.default_rng(seed), **options)


# --- Clopper-Pearson -------------------------------------------------------------------------------------------------


def test_clopper_pearson_by_hand():
    # k = 0: 1 - high is the n-th root of tail; n = 2, tail = 0.025: high = 1 - sqrt(0.025) = 0.841886
    assert clopper_pearson(0, 2, confidence=0.95) == pytest.approx((0.0, 0.841886), abs=1e-6)
    assert clopper_pearson(2, 2, confidence=0.95) == pytest.approx((1 - 0.841886, 1.0), abs=1e-6)


@given(st.integers(1, 3000), st.floats(0, 1), st.sampled_from([0.5, 0.95, 0.9999]))
def test_clopper_pearson_agrees_with_scipy(n, share, confidence):
    k = round(share * n)
    expected = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="exact")
    assert clopper_pearson(k, n, confidence=confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_clopper_pearson_covers_by_exact_enumeration(rate):
    n = 60
    mass = stats.binom.pmf(np.arange(n + 1), n, rate)
    intervals = [clopper_pearson(k, n, confidence=0.9) for k in range(n + 1)]
    misses_low = sum(m for m, (low, _) in zip(mass, intervals, strict=True) if low > rate)
    misses_high = sum(m for m, (_, high) in zip(mass, intervals, strict=True) if high < rate)
    assert misses_low <= 0.05
    assert misses_high <= 0.05


def test_clopper_pearson_refuses():
    with pytest.raises(ValueError, match="k must be at most n = 3, got 4"):
        clopper_pearson(4, 3, confidence=0.9)
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        clopper_pearson(0, 0, confidence=0.9)
    with pytest.raises(ValueError, match="k must be at least 0, got -1"):
        clopper_pearson(-1, 3, confidence=0.9)
    with pytest.raises(TypeError, match=r"k must be a whole number, got 1.0"):
        clopper_pearson(1.0, 3, confidence=0.9)
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\), got 1.0"):
        clopper_pearson(1, 3, confidence=1.0)


# --- L2-Laplace: correct, and three planted bugs ---------------------------------------------------------------------


def l2_laplace(rate):
    return lambda centre, n, rng: centre + sample_l2_laplace(rate, len(centre), size=n, rng=rng)


def loss_score(rate, a, b, norm):
    """Log-likelihood ratio of noise with density exp(-rate * norm) around two centres."""
    return lambda z: rate * (norm(z - b) - norm(z - a))


def l2(z):
    return np.linalg.norm(z, axis=1)


def l1(z):
    return np.abs(z).sum(axis=1)


def rounded(mechanism):
    return lambda centre, n, rng: round_to_grid(mechanism(centre, n, rng), step=2.0**-20)


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("seed", range(5))
def test_correct_l2_laplace_is_not_refuted(dim, seed):
    a, b = np.zeros(dim), np.full(dim, 1 / math.sqrt(dim))
    found = audit(rounded(l2_laplace(EPSILON)), a, b, score=loss_score(EPSILON, a, b, l2), seed=seed)
    assert 0.6 < found.lower_bound <= EPSILON
    assert not found.refutes(EPSILON)


def test_last_bits_of_an_unrounded_release_are_found():
    # The loss |z - 1| - |z| is at most 1, but its last bits tell 0 + noise (fine floats near 0) from 1 + noise
    # (multiples of 2^-53): a real floating-point leak. Rounding the release closes it, as the test above shows.
    a, b = np.zeros(1), np.ones(1)
    found = audit(l2_laplace(EPSILON), a, b, score=loss_score(EPSILON, a, b, l2))
    assert found.refutes(EPSILON)
    assert abs(found.threshold) == pytest.approx(EPSILON, abs=1e-12)


def test_halved_noise_is_caught():
    a, b = np.zeros(3), np.array([1.0, 0.0, 0.0])
    found = audit(l2_laplace(2 * EPSILON), a, b, score=loss_score(EPSILON, a, b, l2))
    assert found.refutes(EPSILON)
    assert found.lower_bound <= 2 * EPSILON


def test_norm_from_a_gamma_of_shape_one_is_caught():
    def mechanism(centre, n, rng):
        direction = rng.standard_normal((n, 5))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return centre + direction * rng.gamma(1.0, 1 / EPSILON, size=(n, 1))

    a, b = np.zeros(5), np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    found = audit(mechanism, a, b, score=lambda z: l2(z - b) - l2(z - a))
    assert found.refutes(EPSILON)


def test_laplace_per_coordinate_is_caught_where_it_matters():
    # scale 1/rate in every coordinate loses rate * ||shift||_1: on the diagonal sqrt(4) = 2 times too much
    def mechanism(centre, n, rng):
        return centre + sample_laplace(1 / EPSILON, len(centre), size=n, rng=rng)

    a, diagonal = np.zeros(4), np.full(4, 0.5)
    found = audit(mechanism, a, diagonal, score=loss_score(EPSILON, a, diagonal, l1), n=100_000)
    assert found.refutes(EPSILON)
    assert found.lower_bound <= 2 * EPSILON
    # along an axis ||shift||_1 = ||shift||_2, and the bug cannot be seen
    axis = np.array([1.0, 0.0, 0.0, 0.0])
    assert not audit(mechanism, a, axis, score=loss_score(EPSILON, a, axis, l1)).refutes(EPSILON)


# --- other mechanisms ------------------------------------------------------------------------------------------------


def test_gaussian_mechanism_at_its_delta():
    delta = 0.05
    sigma = gaussian_sigma(ApproxDP(EPSILON, delta), sensitivity=1.0)

    def mechanism(factor):
        return lambda centre, n, rng: (centre + sample_gaussian(factor * sigma, 1, size=n, rng=rng))[:, 0]

    correct = audit(mechanism(1.0), 0.0, 1.0, delta=delta)
    assert 0.6 < correct.lower_bound <= EPSILON
    assert correct.delta == delta
    assert audit(mechanism(0.5), 0.0, 1.0, delta=delta).refutes(EPSILON)  # planted bug
    assert audit(mechanism(1.0), 0.0, 1.0).refutes(EPSILON)  # control: it is not pure DP


def test_exponential_mechanism_against_its_exact_epsilon():
    scores = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])  # one step up, one step down

    def mechanism(monotone):
        return lambda row, n, rng: exponential_mechanism(
            row, epsilon=EPSILON, sensitivity=1.0, monotone=monotone, rng=rng, size=n
        )

    def event(drawn):
        return drawn == 0

    exact = exact_epsilon_from_probabilities(
        *exponential_mechanism_probabilities(scores, epsilon=EPSILON, sensitivity=1.0, monotone=False)
    )
    correct = audit(mechanism(False), *scores, score=event)
    assert 0.8 * exact < correct.lower_bound <= exact <= EPSILON
    # planted bug: the one-sided exponent where scores move both ways; exact epsilon 1.0 -> catch what exceeds it
    wrong = audit(mechanism(True), scores[0] * 3, scores[0] * 3 + [1.0, -1.0, -1.0], score=event, n=100_000)
    assert wrong.refutes(EPSILON)


def randomised_response(epsilon):
    keep = 1 / (1 + math.exp(-epsilon))
    return lambda bit, n, rng: np.where(rng.random(n) < keep, bit, 1 - bit)


def test_bound_holds_as_often_as_it_says():
    # randomised response attains its epsilon, so every miss would show: at most 1 - confidence of the audits
    runs, confidence = 300, 0.8
    bounds = [
        audit_epsilon(
            randomised_response(EPSILON), 0, 1, n=200, confidence=confidence, rng=np.random.default_rng(seed)
        ).lower_bound
        for seed in range(runs)
    ]
    misses = np.mean([bound > EPSILON for bound in bounds])
    assert misses <= (1 - confidence) + 3 * math.sqrt(0.2 * 0.8 / runs)
    assert np.median(bounds) > 0.5  # and the audit is not empty


def test_a_mechanism_that_ignores_its_input_stays_at_zero():
    bounds = [
        audit(lambda _, n, rng: rng.normal(size=n), 0, 1, n=1000, seed=s).lower_bound for s in range(50)
    ]
    assert np.mean([bound > 0 for bound in bounds]) <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 50)


def test_bound_cannot_pass_what_the_draws_allow():
    # outputs that give the input away: p_low = tail^(1/n), q_high = 1 - tail^(1/n) with tail = 0.025, n = 1000
    found = audit_epsilon(
        lambda bit, n, _: np.full(n, float(bit)), 0, 1, n=1000, confidence=0.95, rng=np.random.default_rng(0)
    )
    root = 0.025 ** (1 / 1000)
    assert found.lower_bound == pytest.approx(math.log(root / (1 - root)))
    assert (found.rate_a, found.rate_b) in {(0.0, 1.0), (1.0, 0.0)}


def test_audit_finds_rare_events_and_both_directions():
    # outputs below -1 happen with probability 0.004 on one input and never on the other
    def mechanism(leaks, n, rng):
        return np.where((rng.random(n) < 0.004) & bool(leaks), -1 - rng.random(n), rng.random(n))

    for a, b in ((0, 1), (1, 0)):
        found = audit(mechanism, a, b, n=50_000)
        assert found.lower_bound > 2.0
        assert not found.above
        assert found.threshold < 0.1


def test_audit_bound_does_not_depend_on_monotone_scores():
    def mechanism(centre, n, rng):
        return centre + rng.laplace(size=n)

    plain = audit(mechanism, 0.0, 1.0, n=2000)
    assert audit(mechanism, 0.0, 1.0, n=2000, score=np.tanh).lower_bound == plain.lower_bound
    assert audit(mechanism, 0.0, 1.0, n=2000, score=lambda z: 3 * z).lower_bound == plain.lower_bound


def test_audit_is_repeatable_and_grows_with_confidence_dropped():
    bounds = [
        audit_epsilon(
            randomised_response(EPSILON), 0, 1, n=2000, confidence=c, rng=np.random.default_rng(0)
        ).lower_bound
        for c in (0.999, 0.95, 0.95, 0.5)
    ]
    assert bounds[1] == bounds[2]
    assert bounds[0] < bounds[1] < bounds[3]


def test_a_larger_delta_explains_more():
    plain = audit(randomised_response(EPSILON), 0, 1)
    assert audit(randomised_response(EPSILON), 0, 1, delta=0.2).lower_bound < plain.lower_bound
    assert audit(randomised_response(EPSILON), 0, 1, delta=0.8).lower_bound == 0.0


def test_audit_refuses():
    def constant(_, n, rng):
        return rng.random((n, 2))

    with pytest.raises(ValueError, match=r"shape \(100,\) and no NaN, got shape \(100, 2\)"):
        audit(constant, 0, 1, n=100)
    with pytest.raises(ValueError, match="and 100 NaN"):
        audit(constant, 0, 1, n=100, score=lambda z: z[:, 0] * math.nan)
    with pytest.raises(ValueError, match="n must be at least 100, got 99"):
        audit(constant, 0, 1, n=99)
    with pytest.raises(ValueError, match=r"delta must lie in \[0, 1\), got 1.0"):
        audit(constant, 0, 1, delta=1.0)
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\), got 0.0"):
        audit_epsilon(constant, 0, 1, n=100, confidence=0.0, rng=np.random.default_rng(0))
    with pytest.raises(TypeError, match="Generator, got int"):
        audit_epsilon(constant, 0, 1, n=100, confidence=0.9, rng=1)
