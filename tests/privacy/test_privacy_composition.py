"""Composition: by hand, against the exact composition of dp-accounting, and by brute force on finite mechanisms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib import privacy
from trustlib.privacy import ZCDP, ApproxDP, GaussianDP, PersonalizedDP, PureDP


def randomised_response(epsilon):
    p = 1 / (1 + math.exp(-epsilon))
    return np.array([p, 1 - p]), np.array([1 - p, p])


def product(distributions):
    return np.array([math.prod(combination) for combination in itertools.product(*distributions)])


def test_compose_by_hand():
    assert privacy.compose([PureDP(0.5), PureDP(1.0)]) == PureDP(1.5)
    assert privacy.compose([ZCDP(0.5), ZCDP(1.0)]) == ZCDP(1.5)
    assert privacy.compose([GaussianDP(3.0), GaussianDP(4.0)]) == GaussianDP(5.0)
    assert privacy.compose([PersonalizedDP([0.5, 1.0]), PersonalizedDP([0.25, 2.0]), PureDP(1.0)]) == (
        PersonalizedDP([1.75, 4.0])
    )
    # 2^2 / 2 + 0.5
    assert privacy.compose([GaussianDP(2.0), ZCDP(0.5)]) == ZCDP(2.5)
    # (1, 0.1) twice and pure 0.5: epsilon 2.5, 1 - 0.9^2 = 0.19
    pair = privacy.compose([ApproxDP(1.0, 0.1), ApproxDP(1.0, 0.1), PureDP(0.5)])
    assert (pair.epsilon, pair.delta) == pytest.approx((2.5, 0.19))


def test_compose_one_is_itself():
    budget = PureDP(1.0, bounded_range=True)
    assert privacy.compose([budget]) is budget


def test_compose_drops_the_bounded_range_of_adaptive_selections():
    two = [PureDP(1.0, bounded_range=True)] * 2
    assert privacy.compose(two) == PureDP(2.0)
    assert privacy.compose_zcdp(two) == ZCDP(0.25)  # but 1/8 + 1/8 as zCDP, far below 2 * tanh(1) = 1.52


def test_decimal_levels_add_up_exactly():
    assert privacy.compose([PureDP(0.1)] * 10) == PureDP(1.0)


def test_compose_zcdp_takes_the_record_with_the_largest_sum():
    # sums over the two releases: record 0: 2 tanh(1), record 1: the same; not twice the larger
    total = privacy.compose_zcdp([PersonalizedDP([2.0, 1e-9]), PersonalizedDP([1e-9, 2.0])])
    assert total.rho == pytest.approx(2 * math.tanh(1))


@given(st.lists(st.floats(0.05, 2.0), min_size=1, max_size=5), st.sampled_from([0.0, 1e-3, 0.05, 0.3]))
def test_compose_approx_covers_products_of_randomised_response(levels, delta):
    pairs = [randomised_response(e) for e in levels]
    exact = privacy.exact_epsilon_from_probabilities(
        product([a for a, _ in pairs]), product([b for _, b in pairs]), delta=delta
    )
    found = privacy.compose_approx([PureDP(e) for e in levels], delta=delta).epsilon
    assert exact <= found + 1e-9
    if delta == 0 or len(levels) == 1:
        assert found == pytest.approx(exact, abs=1e-9)


@given(st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.0, 0.1)), min_size=1, max_size=4))
def test_compose_approx_covers_products_of_failing_randomised_response(pairs):
    first, second = [], []
    for epsilon, delta in pairs:
        p, q = randomised_response(epsilon)
        first.append(np.array([delta, 0.0, *(1 - delta) * p]))
        second.append(np.array([0.0, delta, *(1 - delta) * q]))
    total = min(0.9, 0.05 + sum(delta for _, delta in pairs))
    exact = privacy.exact_epsilon_from_probabilities(product(first), product(second), delta=total)
    budgets = [ApproxDP(e, d) for e, d in pairs]
    assert exact <= privacy.compose_approx(budgets, delta=total).epsilon + 1e-9
    natural = privacy.compose([*budgets, PureDP(1e-6)])
    at_natural = privacy.exact_epsilon_from_probabilities(
        product(first), product(second), delta=min(natural.delta + 1e-12, 0.999)
    )
    assert at_natural <= natural.epsilon + 1e-6


def test_a_composition_that_forgets_a_release_is_caught():
    # planted bug: only the largest level counts
    pairs = [randomised_response(1.0)] * 2
    exact = privacy.exact_epsilon_from_probabilities(
        product([a for a, _ in pairs]), product([b for _, b in pairs])
    )
    assert exact > 1.0 + 0.9


@pytest.mark.parametrize("delta", [1e-8, 1e-4])
def test_compose_approx_is_not_below_the_exact_composition_of_dp_accounting(delta):
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    laplace = pld.from_laplace_mechanism(10.0, pessimistic_estimate=False).self_compose(20)
    gauss = pld.from_gaussian_mechanism(3.0, pessimistic_estimate=False).self_compose(5)
    exact = laplace.compose(gauss).get_epsilon_for_delta(delta)
    budgets = [PureDP(0.1)] * 20 + [GaussianDP(1 / 3)] * 5
    found = privacy.compose_approx(budgets, delta=delta).epsilon
    assert exact <= found
    assert (
        found < 1.25 * exact
    )  # and useful: the sum of pure levels and of single Gaussian epsilons would be 3 times it


def test_compose_approx_never_loses_to_a_single_route():
    budgets = [PureDP(0.3), GaussianDP(0.5), PureDP(1.0, bounded_range=True)]
    best = privacy.compose_approx(budgets, delta=1e-5).epsilon
    assert best <= privacy.compose_zcdp(budgets).to_approx(delta=1e-5).epsilon
    assert best <= privacy.compose_gdp(budgets).to_approx(delta=1e-5).epsilon
    assert privacy.compose_approx([PureDP(0.3)], delta=1e-5) == PureDP(0.3).to_approx(delta=1e-5)


def test_compose_gdp_of_pure_levels_agrees_with_the_scalar_conversion():
    for epsilon in (1e-6, 0.5, 1.5, 5.0, 100.0):
        expected = math.sqrt(2) * privacy.pure_to_gdp(epsilon)
        assert privacy.compose_gdp([PureDP(epsilon)] * 2).mu == pytest.approx(expected, rel=1e-9)


def test_compose_approx_of_pairs_without_epsilon():
    assert privacy.compose_approx([ApproxDP(0.0, 0.01)], delta=0.02) == ApproxDP(0.0, 0.02)
    both = privacy.compose_approx([ApproxDP(0.0, 0.01), PureDP(1.0)], delta=0.01)
    assert both.epsilon == pytest.approx(1.0)


def test_in_parallel_by_hand():
    assert privacy.in_parallel([PureDP(0.5), PureDP(1.0)]) == PureDP(1.0)
    assert privacy.in_parallel([GaussianDP(0.5), GaussianDP(0.2)]) == GaussianDP(0.5)
    assert privacy.in_parallel([ZCDP(0.5), GaussianDP(2.0)]) == ZCDP(2.0)
    assert privacy.in_parallel([PersonalizedDP([0.1, 1.0]), PureDP(0.5)]) == PersonalizedDP([0.5, 1.0])
    assert privacy.in_parallel([ApproxDP(1.0, 1e-6), ApproxDP(0.5, 1e-5)]) == ApproxDP(1.0, 1e-5)
    bounded = [PureDP(e, bounded_range=True) for e in (1.0, 2.0)]
    assert privacy.in_parallel(bounded) == bounded[1]


@given(st.permutations([PureDP(0.2), PureDP(0.5), ZCDP(0.1), GaussianDP(0.3)]))
def test_composition_does_not_depend_on_the_order(budgets):
    reference = [PureDP(0.2), PureDP(0.5), ZCDP(0.1), GaussianDP(0.3)]
    assert privacy.compose(budgets).rho == pytest.approx(privacy.compose(reference).rho, rel=1e-12)
    assert privacy.in_parallel(budgets) == privacy.in_parallel(reference)


@pytest.mark.parametrize(
    ("limit", "within", "beyond"),
    [
        (PureDP(1.0), [PureDP(0.6), PureDP(0.4)], [PureDP(0.6), PureDP(0.41)]),
        (PureDP(1.0), [PersonalizedDP([1.0, 0.1])], [PersonalizedDP([0.1, 1.1])]),
        (ZCDP(1.0), [GaussianDP(1.0), ZCDP(0.5)], [GaussianDP(1.0), ZCDP(0.51)]),
        (GaussianDP(1.0), [GaussianDP(0.6), GaussianDP(0.8)], [GaussianDP(0.6), GaussianDP(0.81)]),
        (PersonalizedDP([1.0, 2.0]), [PureDP(1.0)], [PersonalizedDP([0.5, 2.5])]),
        (ApproxDP(1.0, 1e-5), [GaussianDP(0.268)], [GaussianDP(0.269)]),  # calibrated: 0.268051
        (ApproxDP(1.0, 1e-5), [ApproxDP(0.5, 5e-6)] * 2, [ApproxDP(0.1, 6e-6)] * 2),
        (ApproxDP(1.0, 1e-5), [ApproxDP(1.0, 1e-5)], [ApproxDP(0.5, 1e-5), ZCDP(1e-6)]),
    ],
)
def test_exceeds_in_every_currency(limit, within, beyond):
    assert not privacy.exceeds(within, limit)
    assert privacy.exceeds(beyond, limit)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: privacy.compose([]), ValueError, "at least one budget"),
        (lambda: privacy.compose([0.5]), TypeError, "budgets must be PureDP, .* got 0.5"),
        (
            lambda: privacy.compose([PersonalizedDP([1.0]), PersonalizedDP([1.0, 2.0])]),
            ValueError,
            "levels for 1 and 2 records",
        ),
        (
            lambda: privacy.compose([ApproxDP(1, 1e-5), ZCDP(1.0)]),
            ValueError,
            "share no currency without a delta",
        ),
        (lambda: privacy.compose_zcdp([ApproxDP(1, 1e-5)]), ValueError, "implies no pure guarantee"),
        (lambda: privacy.compose_gdp([ZCDP(1.0)]), ValueError, "implies no Gaussian guarantee"),
        (
            lambda: privacy.compose_approx([ApproxDP(1, 1e-3)], delta=1e-5),
            ValueError,
            "must be at least 0.001",
        ),
        (lambda: privacy.compose_approx([ZCDP(1.0)], delta=0.0), ValueError, "leaves nothing for ZCDP"),
        (lambda: privacy.in_parallel([]), ValueError, "at least one budget"),
        (lambda: privacy.in_parallel([ApproxDP(1, 1e-5), ZCDP(1.0)]), ValueError, "share no currency"),
        (
            lambda: privacy.exceeds([ZCDP(1.0)], PureDP(1.0)),
            ValueError,
            "ZCDP cannot be held against the limit",
        ),
        (
            lambda: privacy.exceeds([PersonalizedDP([1.0])], PersonalizedDP([1.0, 1.0])),
            ValueError,
            "1 and 2 rec",
        ),
    ],
)
def test_composition_refuses(call, error, words):
    with pytest.raises(error, match=words):
        call()
