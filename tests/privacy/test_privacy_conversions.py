"""Conversions: by hand, against dp-accounting, by plain quadrature, and against each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from trustlib import privacy

epsilons = st.floats(1e-3, 50)
deltas = st.sampled_from([1e-12, 1e-5, 1e-2, 0.3])

# --- pure DP ---------------------------------------------------------------------------------------------------------


def test_pure_to_zcdp_by_hand():
    # e = 3 keeps p = 3/4 against 1/4: rho = ln 3 * tanh(ln(3) / 2) = 1.098612 * (3 - 1) / (3 + 1)
    assert privacy.pure_to_zcdp(math.log(3)) == pytest.approx(0.549306, abs=1e-6)


def test_pure_to_gdp_by_hand():
    # The corner of e = 3 lies at 1/4, and Phi^-1(1/4) = -0.674490
    assert privacy.pure_to_gdp(math.log(3)) == pytest.approx(2 * 0.674490, abs=2e-6)


def test_pure_delta_by_hand():
    # e^pure = 3, e^epsilon = 2: (3 - 2) / (1 + 3)
    assert privacy.pure_delta(math.log(3), epsilon=math.log(2)) == pytest.approx(0.25)
    assert privacy.pure_epsilon(math.log(3), delta=0.25) == pytest.approx(math.log(2))
    assert privacy.pure_for_approx(epsilon=math.log(2), delta=0.25) == pytest.approx(math.log(3))


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 2.0, 8.0])
def test_pure_to_zcdp_bounds_all_renyi_orders_of_randomised_response(epsilon):
    p = 1 / (1 + math.exp(-epsilon))
    orders = 1 + np.geomspace(1e-3, 1e3, 300)
    log_p, log_q = math.log(p), math.log1p(-p)
    divergence = (
        np.logaddexp(orders * log_p + (1 - orders) * log_q, orders * log_q + (1 - orders) * log_p)
    ) / (orders - 1)
    rho = privacy.pure_to_zcdp(epsilon)
    assert (divergence <= rho * orders * (1 + 1e-9)).all()
    # tight: reached as alpha -> 1; and half of it is not enough (control)
    assert divergence[0] / orders[0] == pytest.approx(rho, rel=5e-3)
    assert (divergence > 0.5 * rho * orders).any()


def test_pure_to_zcdp_agrees_with_dp_accounting():
    accounting = pytest.importorskip("dp_accounting")
    rdp = pytest.importorskip("dp_accounting.rdp.rdp_privacy_accountant")
    epsilon = 1.3
    orders = [1.01, 1.5, 2.0, 8.0, 64.0]
    accountant = rdp.RdpAccountant(orders, accounting.NeighboringRelation.REPLACE_ONE)
    accountant.compose(accounting.RandomizedResponseDpEvent(2 / (1 + math.exp(epsilon)), 2))
    rho = privacy.pure_to_zcdp(epsilon)
    assert all(d <= rho * a * (1 + 1e-9) for d, a in zip(accountant._rdp, orders, strict=True))
    assert accountant._rdp[0] / orders[0] == pytest.approx(rho, rel=0.02)


@pytest.mark.parametrize("epsilon", [0.3, 2.0, 6.0])
def test_bounded_range_to_zcdp_bounds_exponential_mechanisms(epsilon):
    # every mechanism on two outcomes whose log-ratios t, t - epsilon span the whole range
    worst = 0.0
    for t in np.linspace(0.01, 0.99, 99) * epsilon:
        q = (1 - math.exp(t - epsilon)) / (math.exp(t) - math.exp(t - epsilon))  # P sums to 1
        for order in 1 + np.geomspace(1e-3, 1e2, 60):
            moment = np.logaddexp(order * t + math.log(q), order * (t - epsilon) + math.log1p(-q))
            worst = max(worst, moment / (order - 1) / order)
    assert worst <= privacy.bounded_range_to_zcdp(epsilon) * (1 + 1e-9)
    if epsilon <= 2:
        assert worst > 0.9 * epsilon**2 / 8  # the constant 8 is not slack


def test_bounded_range_is_never_worse_than_pure():
    for epsilon in np.geomspace(1e-3, 1e3, 40):
        assert privacy.bounded_range_to_zcdp(epsilon) <= privacy.pure_to_zcdp(epsilon)
    assert privacy.bounded_range_to_zcdp(100.0) == pytest.approx(100.0)  # 100 * tanh(50), not 1250


@given(epsilons)
def test_pure_conversions_are_inverted_by_their_calibrations(epsilon):
    assert privacy.pure_for_zcdp(privacy.pure_to_zcdp(epsilon)) == pytest.approx(epsilon, rel=1e-9)
    assert privacy.pure_for_gdp(privacy.pure_to_gdp(epsilon)) == pytest.approx(epsilon, rel=1e-9)
    rho = privacy.bounded_range_to_zcdp(epsilon)
    assert privacy.bounded_range_for_zcdp(rho) == pytest.approx(epsilon, rel=1e-9)


@given(epsilons, epsilons)
def test_pure_delta_agrees_with_the_two_outcomes_of_randomised_response(pure, epsilon):
    p, q = 1 / (1 + math.exp(-pure)), 1 / (1 + math.exp(pure))
    by_definition = max(0.0, p - math.exp(min(epsilon, 700)) * q)
    assert privacy.pure_delta(pure, epsilon=epsilon) == pytest.approx(by_definition, abs=1e-12)


def test_pure_delta_agrees_with_dp_accounting():
    pld = pytest.importorskip("dp_accounting.pld.privacy_loss_distribution")
    pure = 1.7
    loss = pld.from_randomized_response(2 / (1 + math.exp(pure)), 2, value_discretization_interval=1e-5)
    for epsilon in (0.0, 0.4, 1.2):
        assert privacy.pure_delta(pure, epsilon=epsilon) == pytest.approx(
            loss.get_delta_for_epsilon(epsilon), abs=1e-5
        )


@given(epsilons, st.floats(0, 20))
def test_pure_to_gdp_covers_the_whole_privacy_profile(pure, epsilon):
    covered = privacy.gdp_delta(privacy.pure_to_gdp(pure), epsilon=epsilon)
    assert privacy.pure_delta(pure, epsilon=epsilon) <= covered + 1e-12


def test_small_levels_keep_their_digits():
    # to first order Phi^-1(1/2 + x) = x sqrt(2 pi), so mu = epsilon sqrt(2 pi) / 2; and delta(0) = mu / sqrt(2 pi)
    assert privacy.pure_to_gdp(1e-12) == pytest.approx(1e-12 * math.sqrt(math.pi / 2), rel=1e-9, abs=0)
    assert privacy.pure_for_gdp(1e-12) == pytest.approx(1e-12 / math.sqrt(math.pi / 2), rel=1e-9, abs=0)
    assert privacy.gdp_delta(1e-12, epsilon=0.0) == pytest.approx(
        1e-12 / math.sqrt(2 * math.pi), rel=1e-9, abs=0
    )


def test_pure_to_gdp_is_tight():
    # 0.1 % less does not cover the total variation of randomised response
    mu = 0.999 * privacy.pure_to_gdp(1.0)
    assert privacy.gdp_delta(mu, epsilon=0.0) < privacy.pure_delta(1.0, epsilon=0.0)


# --- Gaussian DP -----------------------------------------------------------------------------------------------------


def test_gdp_delta_by_hand():
    # epsilon = 0: 2 Phi(1/2) - 1 = 2 * 0.691462 - 1
    assert privacy.gdp_delta(1.0, epsilon=0.0) == pytest.approx(0.382925, abs=1e-6)
    # epsilon = 1/2, mu = 1: Phi(0) - e^0.5 Phi(-1) = 0.5 - 1.648721 * 0.158655
    assert privacy.gdp_delta(1.0, epsilon=0.5) == pytest.approx(0.238422, abs=1e-5)
    assert privacy.gdp_to_zcdp(3.0) == 4.5
    assert privacy.gdp_for_zcdp(4.5) == 3.0


@pytest.mark.parametrize(("mu", "epsilon"), [(0.1, 0.05), (1.0, 1.0), (3.0, 5.0), (8.0, 40.0)])
def test_gdp_delta_agrees_with_quadrature_of_the_definition(mu, epsilon):
    def excess(x):
        return max(0.0, stats.norm.pdf(x, mu) - math.exp(epsilon) * stats.norm.pdf(x))

    start = epsilon / mu + mu / 2
    value, _ = integrate.quad(excess, start, start + 12, epsabs=1e-13)
    assert privacy.gdp_delta(mu, epsilon=epsilon) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("sigma", [0.2, 1.0, 5.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-5, 1e-2])
def test_gdp_agrees_with_dp_accounting(sigma, delta):
    oracle = pytest.importorskip("dp_accounting.gaussian_mechanism")
    epsilon = oracle.get_epsilon_gaussian(sigma, delta)
    assert privacy.gdp_epsilon(1 / sigma, delta=delta) == pytest.approx(epsilon, rel=1e-8, abs=1e-9)
    if epsilon > 0:
        expected = 1 / oracle.get_sigma_gaussian(epsilon, delta)
        assert privacy.gdp_for_approx(epsilon=epsilon, delta=delta) == pytest.approx(expected, rel=1e-8)


@given(epsilons, deltas)
def test_gdp_calibration_is_the_largest_level_that_holds(epsilon, delta):
    mu = privacy.gdp_for_approx(epsilon=epsilon, delta=delta)
    assert privacy.gdp_delta(mu, epsilon=epsilon) <= delta
    assert privacy.gdp_delta(mu * (1 + 1e-6), epsilon=epsilon) > delta
    assert privacy.gdp_epsilon(mu, delta=delta) == pytest.approx(epsilon, rel=1e-7, abs=1e-9)
    assert privacy.gdp_delta(mu, epsilon=privacy.gdp_epsilon(mu, delta=delta)) <= delta


def test_gdp_calibration_at_the_ends_of_the_range():
    # epsilon = 0: delta = erf(mu / sqrt 8), so mu = delta * sqrt(2 pi) for small delta
    assert privacy.gdp_for_approx(epsilon=0.0, delta=1e-15) == pytest.approx(
        1e-15 * math.sqrt(2 * math.pi), rel=1e-9, abs=0
    )
    mu = privacy.gdp_for_approx(epsilon=1e-3, delta=1e-300)
    assert 0 < privacy.gdp_delta(mu, epsilon=1e-3) <= 1e-300
    assert privacy.gdp_epsilon(1e4, delta=1e-5) == pytest.approx(5e7 + 1e4 * 4.2649, rel=1e-6)


def test_gdp_delta_falls_in_epsilon_and_rises_in_mu():
    grid = np.array([[privacy.gdp_delta(m, epsilon=e) for e in (0.0, 0.5, 2.0)] for m in (0.5, 1.0, 4.0)])
    assert (np.diff(grid, axis=1) < 0).all()
    assert (np.diff(grid, axis=0) > 0).all()


# --- zero-concentrated DP --------------------------------------------------------------------------------------------


def test_zcdp_epsilon_at_one_order_by_hand():
    # alpha = 2, rho = 0.1, delta = 0.1: 0.2 + ln 10 + ln(1/2) - ln 2 = 1.116291; the best order is not above that
    assert privacy.zcdp_epsilon(0.1, delta=0.1) <= 1.116291


@pytest.mark.parametrize("rho", [5e-5, 0.005, 0.5, 8.0, 8192.0])
@pytest.mark.parametrize("delta", [1e-12, 1e-5, 1e-2])
def test_zcdp_agrees_with_dp_accounting(rho, delta):
    oracle = pytest.importorskip("dp_accounting.rdp.rdp_privacy_accountant")
    orders = 1 + np.geomspace(1.01e-2, 1e5, 20000)  # its formula is used above 1.01 only
    expected, _ = oracle.compute_epsilon(orders, rho * orders, delta)
    found = privacy.zcdp_epsilon(rho, delta=delta)
    if found > 0:
        assert found == pytest.approx(expected, rel=1e-5)
        assert found <= expected * (1 + 1e-12)
        oracle_delta, _ = oracle.compute_delta(orders, rho * orders, found)
        assert privacy.zcdp_delta(rho, epsilon=found) == pytest.approx(oracle_delta, rel=1e-3)


@pytest.mark.parametrize("rho", [1e-3, 0.05, 0.5, 2.0, 32.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 0.01])
def test_zcdp_epsilon_lies_between_the_gaussian_value_and_the_closed_bound(rho, delta):
    exact = privacy.gdp_epsilon(math.sqrt(2 * rho), delta=delta)
    assert exact <= privacy.zcdp_epsilon(rho, delta=delta) <= rho + 2 * math.sqrt(rho * math.log(1 / delta))


@given(st.floats(1e-6, 1e3), deltas)
def test_zcdp_delta_inverts_zcdp_epsilon(rho, delta):
    epsilon = privacy.zcdp_epsilon(rho, delta=delta)
    found = privacy.zcdp_delta(rho, epsilon=epsilon)
    assert found <= delta * (1 + 1e-6)
    assert epsilon == 0 or found == pytest.approx(delta, rel=1e-5)


@given(epsilons, deltas)
def test_zcdp_calibration_is_the_largest_level_that_holds(epsilon, delta):
    rho = privacy.zcdp_for_approx(epsilon=epsilon, delta=delta)
    assert privacy.zcdp_epsilon(rho, delta=delta) <= epsilon * (1 + 1e-9)
    assert privacy.zcdp_epsilon(rho * 1.001, delta=delta) > epsilon
    assert privacy.zcdp_for_approx(epsilon=0.0, delta=delta) > 0


def test_small_rho_is_nothing_at_a_larger_delta():
    # total variation <= sqrt(rho / 2) = 0.0071 < 0.01, whatever epsilon
    assert privacy.zcdp_epsilon(1e-4, delta=0.01) == 0.0
    assert privacy.zcdp_delta(1e-4, epsilon=0.0) <= math.sqrt(1e-4 / 2)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: privacy.pure_to_zcdp(0.0), "epsilon must be a finite number > 0, got 0.0"),
        (lambda: privacy.pure_for_zcdp(-1.0), "rho must be a finite number > 0, got -1.0"),
        (lambda: privacy.bounded_range_to_zcdp(math.inf), "epsilon must be a finite number > 0, got inf"),
        (lambda: privacy.bounded_range_for_zcdp(0.0), "rho must be"),
        (lambda: privacy.pure_to_gdp(math.nan), "epsilon must be a finite number > 0, got nan"),
        (lambda: privacy.pure_for_gdp(0.0), "mu must be"),
        (lambda: privacy.pure_delta(1.0, epsilon=-0.1), "epsilon must be a finite number >= 0, got -0.1"),
        (lambda: privacy.pure_epsilon(1.0, delta=1.0), r"delta must lie in \[0, 1\), got 1.0"),
        (lambda: privacy.pure_for_approx(epsilon=0.0, delta=0.0), "leave no room"),
        (lambda: privacy.gdp_delta(0.0, epsilon=1.0), "mu must be"),
        (lambda: privacy.gdp_epsilon(1.0, delta=0.0), r"delta must lie in \(0, 1\), got 0.0"),
        (lambda: privacy.gdp_for_approx(epsilon=1.0, delta=0.0), "delta must lie"),
        (lambda: privacy.gdp_to_zcdp(-1.0), "mu must be"),
        (lambda: privacy.gdp_for_zcdp(0.0), "rho must be"),
        (lambda: privacy.zcdp_delta(1.0, epsilon=-1.0), "epsilon must be a finite number >= 0"),
        (lambda: privacy.zcdp_epsilon(1.0, delta=2.0), "delta must lie"),
        (lambda: privacy.zcdp_for_approx(epsilon=-1.0, delta=0.1), "epsilon must be"),
    ],
)
def test_conversions_refuse_values_out_of_range(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("value", ["1.0", True, None, [1.0, 2.0]])
def test_conversions_refuse_what_is_not_a_number(value):
    with pytest.raises(TypeError, match="epsilon must be a number"):
        privacy.pure_to_zcdp(value)
