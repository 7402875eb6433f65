"""Exact privacy of finite mechanisms: by hand, and against brute force over all events."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trustlib.privacy import (
    exact_delta_from_probabilities,
    exact_epsilon_from_log_probabilities,
    exact_epsilon_from_probabilities,
)

weights = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any)


def normalised(values):
    array = np.array(values, dtype=float)
    return array / array.sum()


def by_all_events(p, q, delta):
    """Smallest epsilon with P(S) <= e^epsilon Q(S) + delta for every event S, both ways round."""
    worst = 0.0
    for size in range(1, len(p) + 1):
        for event in itertools.combinations(range(len(p)), size):
            for a, b in ((p, q), (q, p)):
                above = math.fsum(a[list(event)]) - delta
                if above > 1e-12:
                    mass = math.fsum(b[list(event)])
                    worst = max(worst, math.log(above / mass) if mass > 0 else math.inf)
    return worst


def test_exact_epsilon_by_hand():
    assert exact_epsilon_from_probabilities([0.8, 0.2], [0.4, 0.6]) == pytest.approx(math.log(3))  # 0.6 / 0.2
    # delta 0.1 on the event {1}: log((0.6 - 0.1) / 0.2), on {0}: log((0.8 - 0.1) / 0.4)
    assert exact_epsilon_from_probabilities([0.8, 0.2], [0.4, 0.6], delta=0.1) == pytest.approx(math.log(2.5))
    assert exact_epsilon_from_probabilities([0.5, 0.5], [0.5, 0.5]) == 0.0
    assert exact_epsilon_from_probabilities([1.0, 0.0], [0.5, 0.5]) == math.inf
    assert exact_epsilon_from_probabilities([1.0, 0.0], [0.5, 0.5], delta=0.5) == pytest.approx(math.log(1.0))
    assert exact_epsilon_from_probabilities([0.105, 0.895], [0.0, 1.0], delta=0.1) == math.inf
    assert exact_epsilon_from_probabilities([0.5, 0.5, 0.0], [0.5, 0.5, 0.0]) == 0.0


def test_exact_delta_by_hand():
    # 0.8 - 2 * 0.4 = 0 and 0.6 - 2 * 0.2 = 0.2
    assert exact_delta_from_probabilities([0.8, 0.2], [0.4, 0.6], epsilon=math.log(2)) == pytest.approx(0.2)
    assert exact_delta_from_probabilities([1.0, 0.0], [0.0, 1.0], epsilon=50.0) == 1.0


@given(weights, weights, st.sampled_from([0.0, 0.01, 0.2, 0.7]))
def test_exact_epsilon_agrees_with_all_events(first, second, delta):
    p, q = normalised(first), normalised(second)
    expected = by_all_events(p, q, delta)
    assert exact_epsilon_from_probabilities(p, q, delta=delta) == pytest.approx(expected, abs=1e-9)
    assert exact_epsilon_from_probabilities(q, p, delta=delta) == pytest.approx(expected, abs=1e-9)


@given(weights, weights, st.floats(0.01, 0.9))
def test_exact_delta_inverts_exact_epsilon(first, second, delta):
    p, q = normalised(first), normalised(second)
    epsilon = exact_epsilon_from_probabilities(p, q, delta=delta)
    assume(math.isfinite(epsilon))
    found = exact_delta_from_probabilities(p, q, epsilon=epsilon)
    assert found <= delta + 1e-9
    assert epsilon == 0 or found == pytest.approx(delta, abs=1e-9)


def test_log_form_sees_what_underflows():
    log_p, log_q = np.array([0.0, -2000.0]), np.array([0.0, -2003.0])
    assert exact_epsilon_from_log_probabilities(log_p, log_q) == pytest.approx(3.0)
    # at delta > 0 that outcome does not matter, and without logarithms it is invisible
    assert exact_epsilon_from_log_probabilities(log_p, log_q, delta=1e-9) == 0.0
    assert exact_epsilon_from_probabilities(np.exp(log_p), np.exp(log_q)) == 0.0


@pytest.mark.parametrize(
    ("p", "q", "words"),
    [
        ([0.5, 0.6], [0.5, 0.5], "p must sum to 1, got a sum of 1.1"),
        ([0.5, 0.5], [1.5, -0.5], "q must be a vector of probabilities"),
        ([0.5, math.nan], [0.5, 0.5], "p must be a vector of probabilities"),
        ([[1.0]], [1.0], r"p must be a vector of probabilities, shape \(m,\), got shape \(1, 1\)"),
        ([1.0], [0.5, 0.5], r"same shape, got \(1,\) and \(2,\)"),
    ],
)
def test_exact_values_refuse_what_is_no_distribution(p, q, words):
    with pytest.raises(ValueError, match=words):
        exact_epsilon_from_probabilities(p, q)
    with pytest.raises(ValueError, match=words):
        exact_delta_from_probabilities(p, q, epsilon=1.0)


def test_exact_values_refuse_parameters_out_of_range():
    with pytest.raises(ValueError, match=r"delta must lie in \[0, 1\), got 1.0"):
        exact_epsilon_from_probabilities([1.0], [1.0], delta=1.0)
    with pytest.raises(ValueError, match="epsilon must be a finite number >= 0, got -1"):
        exact_delta_from_probabilities([1.0], [1.0], epsilon=-1)
    with pytest.raises(ValueError, match="log_p must be a vector of log-probabilities"):
        exact_epsilon_from_log_probabilities([0.5], [0.0])
    with pytest.raises(ValueError, match="log_q must sum to 1"):
        exact_epsilon_from_log_probabilities([0.0], [-1.0])
