"""Budgets as values: conversions of their methods, groups, JSON."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib import privacy
from trustlib.privacy import ZCDP, ApproxDP, GaussianDP, PersonalizedDP, PureDP

BUDGETS = [
    PureDP(0.5),
    PureDP(2.0, bounded_range=True),
    ZCDP(0.1),
    GaussianDP(1.0),
    ApproxDP(1.0, 1e-5),
    PersonalizedDP([0.1, 1.0, 0.3]),
]


def test_budget_methods_by_hand():
    assert PureDP(2.0, bounded_range=True).to_zcdp() == ZCDP(0.5)  # 4 / 8
    assert GaussianDP(2.0).to_zcdp() == ZCDP(2.0)  # 4 / 2
    assert ZCDP(0.3).to_zcdp() == ZCDP(0.3)
    assert PureDP(1.5).to_approx(delta=0.0) == ApproxDP(1.5, 0.0)
    assert ApproxDP(1.5, 0.0).to_pure() == PureDP(1.5)


@pytest.mark.parametrize("budget", BUDGETS)
def test_budget_at_a_larger_delta_needs_no_larger_epsilon(budget):
    values = [budget.to_approx(delta=d).epsilon for d in (1e-5, 1e-3, 0.1)]
    assert values == sorted(values, reverse=True)
    assert all(isinstance(v, float) and v >= 0 for v in values)


def test_budget_conversions_agree_with_each_other():
    pure = PureDP(0.7)
    # Randomised response is both pure DP and covered by its zCDP and Gaussian forms: the direct way is the smallest.
    direct = pure.to_approx(delta=1e-3).epsilon
    assert direct <= pure.to_gdp().to_approx(delta=1e-3).epsilon
    assert direct <= pure.to_zcdp().to_approx(delta=1e-3).epsilon


def test_pair_at_a_larger_delta_by_hand():
    # (ln 3, 0.2): fails openly with probability 0.2, else randomised response with e = 3. At delta = 0.4,
    # (0.4 - 0.2) / 0.8 = 0.25 is left for it, which pays for ln 2 (see test_privacy_conversions).
    assert ApproxDP(math.log(3), 0.2).to_approx(delta=0.4).epsilon == pytest.approx(math.log(2))


def test_pair_at_a_larger_delta_agrees_with_its_worst_mechanism():
    epsilon, delta = 0.8, 0.05
    p = (1 - delta) / (1 + math.exp(-epsilon))
    first, second = np.array([delta, 0.0, p, 1 - delta - p]), np.array([0.0, delta, 1 - delta - p, p])
    for larger in (0.05, 0.1, 0.3):
        exact = privacy.exact_epsilon_from_probabilities(first, second, delta=larger)
        assert ApproxDP(epsilon, delta).to_approx(delta=larger).epsilon == pytest.approx(exact, abs=1e-9)


def test_personalised_levels_are_copied_and_read_only():
    levels = np.array([0.2, 1.0])
    budget = PersonalizedDP(levels)
    levels[0] = 99.0
    assert budget.epsilon.tolist() == [0.2, 1.0]
    assert (budget.strongest, budget.weakest, len(budget)) == (0.2, 1.0, 2)
    assert budget.uniform() == PureDP(1.0)
    assert budget == PersonalizedDP([0.2, 1.0])
    assert budget != PersonalizedDP([0.2, 1.1])
    with pytest.raises(ValueError, match="read-only"):
        budget.epsilon[0] = 3.0
    assert repr(budget) == "PersonalizedDP(2 levels from 0.2 to 1)"


@pytest.mark.parametrize("budget", BUDGETS)
def test_budget_survives_json(budget):
    text = json.dumps(privacy.budget_to_dict(budget))
    assert privacy.budget_from_dict(json.loads(text)) == budget


def test_budget_of_numpy_numbers_survives_json():
    budget = GaussianDP(np.float64(0.1) * 3)
    assert privacy.budget_from_dict(json.loads(json.dumps(privacy.budget_to_dict(budget)))) == budget


def test_group_by_hand():
    assert privacy.group(PureDP(0.5), size=3) == PureDP(1.5)
    assert privacy.group(ZCDP(0.5), size=3) == ZCDP(4.5)
    assert privacy.group(GaussianDP(0.5), size=3) == GaussianDP(1.5)
    assert privacy.group(PersonalizedDP([0.1, 0.4, 0.5]), size=2) == PureDP(0.9)
    # (ln 2, 0.1), two records: 2 ln 2, and 0.1 * (1 + 2)
    pair = privacy.group(ApproxDP(math.log(2), 0.1), size=2)
    assert pair.epsilon == pytest.approx(2 * math.log(2))
    assert pair.delta == pytest.approx(0.3)


@given(st.integers(1, 5), st.floats(0.01, 1.0))
def test_group_of_pure_levels_holds_for_chains_of_randomised_response(size, epsilon):
    # a chain of k neighbours, each e^epsilon likelier than the last on one of two outcomes
    chain = [1 / (1 + math.exp(-epsilon * k)) for k in range(size + 1)]
    ends = [np.array([c, 1 - c]) for c in (chain[0], chain[-1])]
    for a, b in itertools.pairwise(chain):
        step = privacy.exact_epsilon_from_probabilities([a, 1 - a], [b, 1 - b])
        assert step <= epsilon + 1e-9
    total = privacy.exact_epsilon_from_probabilities(*ends)
    assert total <= privacy.group(PureDP(epsilon), size=size).epsilon + 1e-9


def test_group_keeps_the_bounded_range():
    assert privacy.group(PureDP(1.0, bounded_range=True), size=2) == PureDP(2.0, bounded_range=True)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: PureDP(0.0), ValueError, "epsilon must be a finite number > 0, got 0.0"),
        (
            lambda: PureDP(1.0, bounded_range="yes"),
            TypeError,
            "bounded_range must be True or False, got 'yes'",
        ),
        (lambda: ZCDP(-1.0), ValueError, "rho must be"),
        (lambda: GaussianDP(math.inf), ValueError, "mu must be"),
        (lambda: ApproxDP(-0.1, 0.1), ValueError, "epsilon must be a finite number >= 0"),
        (lambda: ApproxDP(1.0, 1.0), ValueError, r"delta must lie in \[0, 1\), got 1.0"),
        (lambda: ApproxDP(1.0, 1e-5).to_zcdp(), ValueError, "implies no pure or concentrated guarantee"),
        (lambda: ApproxDP(1.0, 1e-3).to_approx(delta=1e-5), ValueError, "says nothing at delta = 1e-05"),
        (lambda: ZCDP(1.0).to_approx(delta=0.0), ValueError, r"delta must lie in \(0, 1\), got 0.0"),
        (lambda: PersonalizedDP([]), ValueError, "non-empty vector"),
        (lambda: PersonalizedDP([[0.1]]), ValueError, r"got shape \(1, 1\)"),
        (lambda: PersonalizedDP([0.1, 0.0, -1.0]), ValueError, r"got 0.0 at position 1 \(2 of 3\)"),
        (lambda: PersonalizedDP([0.1, math.nan]), ValueError, "got nan at position 1"),
        (lambda: privacy.budget_from_dict({"kind": "Renyi", "rho": 1}), ValueError, "got 'Renyi'"),
        (lambda: privacy.budget_from_dict({"kind": "ZCDP", "mu": 1}), ValueError, "not a ZCDP"),
        (lambda: privacy.group(PureDP(1.0), size=0), ValueError, "size must be at least 1, got 0"),
        (lambda: privacy.group(PersonalizedDP([0.1]), size=2), ValueError, "at most the number of records 1"),
        (lambda: privacy.group(ApproxDP(1.0, 0.5), size=2), ValueError, "delta would be 1.86 >= 1"),
    ],
)
def test_budgets_refuse(call, error, words):
    with pytest.raises(error, match=words):
        call()
