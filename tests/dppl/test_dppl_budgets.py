"""One zCDP level in all currencies: hand values, dp-accounting as an oracle, round trips, bad input."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trustlib.dppl import PrivacyBudget, translate_budgets
from trustlib.privacy import ZCDP

RHOS = st.floats(1e-4, 50.0)


def test_currencies_by_hand():
    budget = PrivacyBudget(0.5)
    assert budget.em_epsilon == 2.0  # sqrt(8 * 0.5)
    assert budget.mu == budget.axis_epsilon == 1.0  # sqrt(2 * 0.5)
    assert budget.to_zcdp() == ZCDP(0.5)
    assert budget.to_em().to_zcdp() == budget.to_gdp().to_zcdp() == ZCDP(0.5)
    assert PrivacyBudget.from_em(2.0) == budget  # 2^2 / 8


def test_epsilon_of_the_figures_at_one_is_pure_two_and_gaussian_above_four():
    # delta(eps) = Phi(mu/2 - eps/mu) - e^eps Phi(-mu/2 - eps/mu) with mu = 1 is 1e-5 at 4.377
    budget = PrivacyBudget(0.5)
    assert budget.to_approx(delta=1e-5, mechanism="gaussian").epsilon == pytest.approx(4.377, abs=5e-4)
    assert budget.to_approx(delta=1e-5).epsilon == pytest.approx(4.728, abs=5e-4)
    assert budget.to_approx(delta=1e-5, mechanism="exponential").epsilon <= 2.0


@pytest.mark.parametrize("rho", [5e-3, 0.05, 0.5, 8.0])
def test_equal_budgets_agree_with_dp_accounting(rho):
    from dp_accounting import pld, rdp
    from dp_accounting.dp_event import GaussianDpEvent, ZCDpEvent

    sigma = 1 / math.sqrt(2 * rho)
    exact = pld.PLDAccountant().compose(GaussianDpEvent(sigma)).get_epsilon(1e-5)
    ours = PrivacyBudget(rho).to_approx(delta=1e-5, mechanism="gaussian").epsilon
    assert ours == pytest.approx(exact, rel=2e-2, abs=2e-3)  # its losses are on a grid of 1e-4 and rounded up
    orders = [1 + 10 ** (x / 10) for x in range(-30, 41)]
    bound = rdp.RdpAccountant(orders).compose(ZCDpEvent(rho)).get_epsilon(1e-5)
    assert PrivacyBudget(rho).to_approx(delta=1e-5).epsilon <= bound * (1 + 1e-9)


@given(RHOS)
def test_round_trips_and_order_of_routes(rho):
    budget = PrivacyBudget(rho)
    assert PrivacyBudget.from_em(budget.em_epsilon).rho == pytest.approx(rho)
    for kind in ("gaussian", "exponential", "any"):
        epsilon = budget.to_approx(delta=1e-5, mechanism=kind).epsilon
        if epsilon > 1e-6:
            assert PrivacyBudget.from_approx(epsilon, 1e-5, mechanism=kind).rho == pytest.approx(
                rho, rel=1e-5
            )
    loose = budget.to_approx(delta=1e-5).epsilon
    assert budget.to_approx(delta=1e-5, mechanism="gaussian").epsilon <= loose
    assert budget.to_approx(delta=1e-5, mechanism="exponential").epsilon <= min(loose, budget.em_epsilon)


def test_table_has_a_row_per_level():
    table = translate_budgets([0.005, 0.5], delta=1e-5)
    assert table.columns.to_list() == ["rho", "axis_epsilon", "em_epsilon", "gaussian", "exponential", "any"]
    assert table["em_epsilon"].round(6).to_list() == [0.2, 2.0]  # sqrt(0.04), sqrt(4)


@pytest.mark.parametrize("rho", [0.0, -1.0, math.inf, math.nan])
def test_levels_out_of_range_are_refused(rho):
    with pytest.raises(ValueError, match=r"rho must be a finite number > 0, got"):
        PrivacyBudget(rho)


def test_wrong_types_and_kinds_are_refused():
    with pytest.raises(TypeError, match=r"rho must be a number, got '1'"):
        PrivacyBudget("1")
    with pytest.raises(ValueError, match="delta"):
        PrivacyBudget(1.0).to_approx(delta=0.0)
    with pytest.raises(ValueError, match="mechanism must be one of"):
        PrivacyBudget(1.0).to_approx(delta=0.1, mechanism="laplace")
    with pytest.raises(ValueError, match="mechanism must be one of"):
        PrivacyBudget.from_approx(1.0, 1e-5, mechanism="laplace")
    with pytest.raises(ValueError, match="epsilon must be a finite number > 0"):
        PrivacyBudget.from_em(0.0)
