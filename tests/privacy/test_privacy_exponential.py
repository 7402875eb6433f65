"""The exponential mechanism: probabilities by hand and by brute force, sampling, extreme scores, planted bugs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trustlib.privacy import (
    bounded_range_to_zcdp,
    exact_epsilon_from_log_probabilities,
    exponential_log_probabilities,
    exponential_mechanism,
    exponential_mechanism_probabilities,
)

SETTINGS = {"epsilon": 1.0, "sensitivity": 1.0}


def test_probabilities_by_hand():
    # exp(2 ln 2 * score / 2): weights 1, 2, 4
    p = exponential_mechanism_probabilities(
        [0, 1, 2], epsilon=2 * math.log(2), sensitivity=1.0, monotone=False
    )
    np.testing.assert_allclose(p, [1 / 7, 2 / 7, 4 / 7])
    # monotone: exp(ln 2 * score / 1), the same weights at half the epsilon
    p = exponential_mechanism_probabilities([0, 1, 2], epsilon=math.log(2), sensitivity=1.0, monotone=True)
    np.testing.assert_allclose(p, [1 / 7, 2 / 7, 4 / 7])
    # sensitivity 2 halves the exponent: weights 1, sqrt 2
    p = exponential_mechanism_probabilities([0, 1], epsilon=math.log(2), sensitivity=2.0, monotone=True)
    np.testing.assert_allclose(p, np.array([1, math.sqrt(2)]) / (1 + math.sqrt(2)))


@given(
    st.lists(st.lists(st.floats(-20, 20), min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(0.01, 5),
    st.booleans(),
)
def test_probabilities_agree_with_the_plain_loop(rows, epsilon, monotone):
    found = exponential_mechanism_probabilities(rows, epsilon=epsilon, sensitivity=0.5, monotone=monotone)
    for row, got in zip(rows, found, strict=True):
        exponents = [epsilon * s / (0.5 if monotone else 1.0) for s in row]
        weights = [math.exp(e - max(exponents)) for e in exponents]
        np.testing.assert_allclose(got, [w / math.fsum(weights) for w in weights], rtol=1e-9, atol=1e-300)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.floats(-1e3, 1e3), st.randoms())
def test_probabilities_ignore_shifts_and_follow_permutations(scores, shift, random):
    p = exponential_mechanism_probabilities(scores, **SETTINGS, monotone=False)
    np.testing.assert_allclose(
        exponential_mechanism_probabilities(np.add(scores, shift), **SETTINGS, monotone=False), p, atol=1e-9
    )
    order = list(range(len(scores)))
    random.shuffle(order)
    permuted = exponential_mechanism_probabilities(np.array(scores)[order], **SETTINGS, monotone=False)
    np.testing.assert_allclose(permuted, p[order], rtol=1e-12)


def worst_loss(changes, *, epsilon, monotone, draws=200):
    """Largest exact epsilon over random scores and all given changes to a neighbour."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for scale in (0.1, 1.0, 10.0, 1e4):
        for _ in range(draws // len(changes) + 1):
            scores = rng.normal(size=3) * scale
            for change in changes:
                logs = [
                    exponential_log_probabilities(s, epsilon=epsilon, sensitivity=1.0, monotone=monotone)
                    for s in (scores, scores + change)
                ]
                worst = max(worst, exact_epsilon_from_log_probabilities(*logs))
    return worst


ANY = [np.array(c) for c in itertools.product([-1.0, 0.0, 1.0], repeat=3)]
UP = [np.array(c) for c in itertools.product([0.0, 0.5, 1.0], repeat=3)]


def test_two_sided_mechanism_keeps_epsilon_for_every_change():
    assert worst_loss(ANY, epsilon=0.7, monotone=False) <= 0.7 + 1e-9


def test_monotone_mechanism_keeps_epsilon_for_one_sided_changes():
    worst = worst_loss(UP, epsilon=0.7, monotone=True)
    assert 0.69 < worst <= 0.7 + 1e-9


def test_monotone_exponent_under_two_sided_changes_is_caught():
    # planted bug: the factor 2 dropped although a substitution moves scores both ways: exactly twice epsilon
    assert worst_loss(ANY, epsilon=0.7, monotone=True) == pytest.approx(1.4, abs=1e-2)


def test_underestimated_sensitivity_is_caught():
    doubled = [2 * change for change in UP]
    assert worst_loss(doubled, epsilon=0.7, monotone=True) > 1.3


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_bounded_range_rate_holds_for_the_mechanism(epsilon):
    rng = np.random.default_rng(1)
    for _ in range(40):
        scores = rng.normal(size=3) * rng.choice([0.1, 1.0, 3.0])
        for change in ANY:
            p, q = (
                exponential_log_probabilities(s, epsilon=epsilon, sensitivity=1.0, monotone=False)
                for s in (scores, scores + change)
            )
            assert np.ptp(p - q) <= epsilon + 1e-9
            for order in (1.001, 2.0, 16.0):
                divergence = np.log(np.exp(order * p + (1 - order) * q).sum()) / (order - 1)
                assert divergence <= order * bounded_range_to_zcdp(epsilon) + 1e-9


# --- sampling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monotone", [True, False])
def test_sampling_follows_the_exact_probabilities(monotone):
    scores = np.array([0.0, 1.0, -np.inf, 2.5, 2.5])
    drawn = exponential_mechanism(
        scores, **SETTINGS, monotone=monotone, rng=np.random.default_rng(0), size=20_000
    )
    expected = exponential_mechanism_probabilities(scores, **SETTINGS, monotone=monotone)
    counts = np.bincount(drawn, minlength=5)
    assert counts[2] == 0
    possible = expected > 0
    assert stats.chisquare(counts[possible], 20_000 * expected[possible]).pvalue > 1e-3
    # control: the other exponent is told apart
    wrong = exponential_mechanism_probabilities(scores, **SETTINGS, monotone=not monotone)
    assert stats.chisquare(counts[possible], 20_000 * wrong[possible]).pvalue < 1e-6


def test_rows_are_sampled_independently_and_by_their_own_scores():
    scores = np.log([[1.0, 3.0], [3.0, 1.0]])
    drawn = exponential_mechanism(
        scores, **SETTINGS, monotone=True, rng=np.random.default_rng(1), size=20_000
    )
    assert drawn.shape == (20_000, 2)
    share = drawn.mean(axis=0)
    np.testing.assert_allclose(share, [0.75, 0.25], atol=5 * math.sqrt(0.75 * 0.25 / 20_000))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / math.sqrt(20_000)


def test_sampling_in_blocks_changes_nothing(monkeypatch):
    scores = np.random.default_rng(0).normal(size=(7, 5))
    draws = []
    for block in (1, 11, 1 << 16):
        monkeypatch.setattr("trustlib.privacy.exponential._BLOCK", block)
        draws.append(
            exponential_mechanism(scores, **SETTINGS, monotone=True, rng=np.random.default_rng(3), size=9)
        )
    np.testing.assert_array_equal(draws[0], draws[1])
    np.testing.assert_array_equal(draws[0], draws[2])


def test_sampling_shapes():
    def draw(scores, **options):
        return exponential_mechanism(
            scores, **SETTINGS, monotone=True, rng=np.random.default_rng(0), **options
        )

    assert isinstance(draw([0.0, 1.0]), int)
    assert draw([0.0]) == 0
    assert draw(np.zeros((2, 3, 4))).shape == (2, 3)
    assert draw(np.zeros((2, 3, 4)), size=5).shape == (5, 2, 3)
    assert draw([0.0, 1.0], size=0).shape == (0,)
    assert draw(np.zeros((0, 3))).shape == (0,)


def test_scores_are_not_changed():
    scores = np.array([[0.0, 5.0], [1.0, -np.inf]])
    before = scores.copy()
    exponential_mechanism(scores, **SETTINGS, monotone=True, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(scores, before)


# --- extremes --------------------------------------------------------------------------------------------------------


def test_ties_among_huge_scores_are_still_broken_at_random():
    # Noise added to 1e17 would be rounded off, and the first candidate would always win.
    drawn = exponential_mechanism(
        [1e17, 1e17], **SETTINGS, monotone=True, rng=np.random.default_rng(0), size=10_000
    )
    assert drawn.mean() == pytest.approx(0.5, abs=5 * 0.5 / 100)
    naive = np.argmax(np.array([1e17, 1e17]) + np.random.default_rng(0).gumbel(size=(10_000, 2)), axis=1)
    assert naive.mean() < 0.1  # planted bug


def test_huge_epsilon_picks_the_best_without_overflow():
    scores = [1e300, -1e300, 1e300, -np.inf]
    p = exponential_mechanism_probabilities(scores, epsilon=1e300, sensitivity=1e-5, monotone=True)
    np.testing.assert_array_equal(p, [0.5, 0.0, 0.5, 0.0])
    drawn = exponential_mechanism(
        scores, epsilon=1e300, sensitivity=1e-5, monotone=True, rng=np.random.default_rng(0), size=200
    )
    assert set(drawn.tolist()) == {0, 2}


def test_tiny_epsilon_is_uniform():
    p = exponential_mechanism_probabilities([0.0, 1e6, -1e6], epsilon=1e-15, sensitivity=1.0, monotone=False)
    np.testing.assert_allclose(p, 1 / 3, rtol=1e-8)


def test_log_probabilities_stay_finite_where_probabilities_underflow():
    logs = exponential_log_probabilities([0.0, -5000.0], epsilon=1.0, sensitivity=1.0, monotone=True)
    np.testing.assert_allclose(logs, [0.0, -5000.0])


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.0, math.nan], r"finite or -inf .* got NaN or \+inf"),
        ([0.0, math.inf], r"got NaN or \+inf"),
        ([[0.0, 1.0], [-math.inf, -math.inf]], "got a row of -inf only"),
        ([], r"a candidate on the last axis, got shape \(0,\)"),
        (1.0, r"got shape \(\)"),
    ],
)
def test_bad_scores_are_refused(scores, words):
    with pytest.raises(ValueError, match=words):
        exponential_mechanism_probabilities(scores, **SETTINGS, monotone=True)
    with pytest.raises(ValueError, match=words):
        exponential_mechanism(scores, **SETTINGS, monotone=True, rng=np.random.default_rng(0))


def test_bad_parameters_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="epsilon must be a finite number > 0, got 0"):
        exponential_mechanism([0.0], epsilon=0, sensitivity=1.0, monotone=True, rng=rng)
    with pytest.raises(ValueError, match="sensitivity must be a finite number > 0, got -1"):
        exponential_log_probabilities([0.0], epsilon=1.0, sensitivity=-1, monotone=True)
    with pytest.raises(TypeError, match="monotone must be True or False, got 'yes'"):
        exponential_mechanism_probabilities([0.0], **SETTINGS, monotone="yes")
    with pytest.raises(TypeError, match="Generator, got NoneType"):
        exponential_mechanism([0.0], **SETTINGS, monotone=True, rng=None)
    with pytest.raises(ValueError, match="size must be at least 0, got -1"):
        exponential_mechanism([0.0], **SETTINGS, monotone=True, rng=rng, size=-1)
