"""Pure DP and what it implies: zero-concentrated DP, Gaussian DP and (epsilon, delta), and the way back.

``X_to_Y`` is an implication; ``X_for_Y`` is the largest X that implies Y, which is what calibrates a mechanism.
"""

from __future__ import annotations

import math

from scipy import optimize, special

from trustlib.privacy.checks import PARAMETER, conservative, non_negative, positive, probability


def pure_to_zcdp(epsilon: float) -> float:
    """The zCDP level of a pure guarantee: rho = epsilon * tanh(epsilon / 2), at most epsilon^2 / 2.

    Tight. Every pure mechanism is a function of randomised response, whose Renyi divergence is
    D_alpha = (log cosh((alpha - 1/2) epsilon) - log cosh(epsilon / 2)) / (alpha - 1). As log cosh(sqrt(u) * epsilon) is
    concave in u, its tangent at u = 1/4 bounds D_alpha by alpha * epsilon * tanh(epsilon / 2), attained for alpha -> 1.

    Args:
        epsilon: pure level, > 0.

    Returns:
        rho > 0.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> round(pure_to_zcdp(1.0), 6)
        0.462117

    Source: Bun and Steinke 2016, Prop. 1.4, for epsilon^2 / 2; the sharper form by the argument above.
    """
    epsilon = positive("epsilon", epsilon, why=PARAMETER)
    return epsilon * math.tanh(epsilon / 2)


def pure_for_zcdp(rho: float) -> float:
    """The largest pure level that implies rho-zCDP; the inverse of `pure_to_zcdp`.

    Args:
        rho: zCDP level, > 0.

    Returns:
        epsilon > 0, between sqrt(2 rho) and sqrt(2 rho) + rho; tight.

    Raises:
        ValueError: rho not a finite number > 0.

    Example:
        >>> round(pure_for_zcdp(pure_to_zcdp(1.0)), 9)
        1.0

    Source: as `pure_to_zcdp`.
    """
    rho = positive("rho", rho, why=PARAMETER)
    low, high = math.sqrt(2 * rho), math.sqrt(2 * rho) + rho
    root = float(optimize.brentq(lambda e: e * math.tanh(e / 2) - rho, 0.5 * low, high, xtol=1e-300))
    return conservative(root, lambda e: e * math.tanh(e / 2) <= rho)


def bounded_range_to_zcdp(epsilon: float) -> float:
    """The zCDP level of an epsilon-bounded-range mechanism: rho = min(epsilon^2 / 8, epsilon * tanh(epsilon / 2)).

    Bounded range: for each pair of neighbours the log-likelihood ratios of all outcomes fit in an interval of length
    epsilon, as for the exponential mechanism. With K(t) = log E exp(t * ratio) on the second input, K(0) = K(1) = 0 and
    K'' <= epsilon^2 / 4 (variance on an interval), so D_alpha = K(alpha) / (alpha - 1) <= alpha * epsilon^2 / 8.

    Args:
        epsilon: level of the mechanism, > 0.

    Returns:
        rho > 0; a bound, close to tight for small epsilon. The second term matters above epsilon = 7.99 only.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> bounded_range_to_zcdp(2.0)
        0.5

    Source: Cesar and Rogers 2021; bounded range: Durfee and Rogers 2019.
    """
    epsilon = positive("epsilon", epsilon, why=PARAMETER)
    return min(epsilon * (epsilon / 8), pure_to_zcdp(epsilon))


def bounded_range_for_zcdp(rho: float) -> float:
    """The largest level of a bounded-range mechanism for which rho-zCDP is known: sqrt(8 rho) up to rho = 7.98.

    Args:
        rho: zCDP level, > 0.

    Returns:
        epsilon > 0 to run the exponential mechanism at; the inverse of `bounded_range_to_zcdp`.

    Raises:
        ValueError: rho not a finite number > 0.

    Example:
        >>> bounded_range_for_zcdp(0.5)
        2.0

    Source: as `bounded_range_to_zcdp`.
    """
    rho = positive("rho", rho, why=PARAMETER)
    return max(math.sqrt(8 * rho), pure_for_zcdp(rho))


def pure_to_gdp(epsilon: float) -> float:
    """The Gaussian-DP level of a pure guarantee: mu = -2 * Phi^-1(1 / (1 + e^epsilon)).

    Tight. The trade-off curve of randomised response has one corner, on the diagonal at 1 / (1 + e^epsilon); the convex
    Gaussian curve through that corner and both ends lies below it, and no higher one does.

    Args:
        epsilon: pure level, > 0.

    Returns:
        mu > 0.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> round(pure_to_gdp(1.0), 6)
        1.232035

    Source: Liu, Sun, Kong, Jiang 2022 (Gaussian DP and pure DP); Dong, Roth, Su 2022 for trade-off curves.
    """
    epsilon = positive("epsilon", epsilon, why=PARAMETER)
    if epsilon < 1:  # away from the corner at 1/2, where the logarithm would lose digits
        return 2 * math.sqrt(2) * float(special.erfinv(math.tanh(epsilon / 2)))
    return -2 * float(special.ndtri_exp(-epsilon - math.log1p(math.exp(-epsilon))))


def pure_for_gdp(mu: float) -> float:
    """The largest pure level that implies mu-GDP: epsilon = log(Phi(mu / 2) / Phi(-mu / 2)).

    Args:
        mu: Gaussian-DP level, > 0.

    Returns:
        epsilon > 0; the inverse of `pure_to_gdp`, tight.

    Raises:
        ValueError: mu not a finite number > 0.

    Example:
        >>> round(pure_for_gdp(1.0), 6)
        0.806965

    Source: as `pure_to_gdp`.
    """
    mu = positive("mu", mu, why=PARAMETER)
    if mu < 1:
        return 2 * math.atanh(math.erf(mu / (2 * math.sqrt(2))))
    return float(special.log_ndtr(mu / 2) - special.log_ndtr(-mu / 2))


def pure_delta(pure: float, *, epsilon: float) -> float:
    """The delta at which a pure guarantee also holds at a smaller epsilon.

    delta = (e^pure - e^epsilon) / (1 + e^pure), and 0 for epsilon >= pure.

    Args:
        pure: pure level, > 0.
        epsilon: the level asked for, >= 0.

    Returns:
        delta in [0, 1), tight (randomised response attains it).

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(pure_delta(1.0, epsilon=0.0), 6)
        0.462117

    Source: Kairouz, Oh, Viswanath 2015.
    """
    pure = positive("pure", pure, why=PARAMETER)
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    return -math.expm1(min(0.0, epsilon - pure)) / (1 + math.exp(-pure))


def pure_epsilon(pure: float, *, delta: float) -> float:
    """The smaller epsilon that a pure guarantee gives once delta is allowed; the inverse of `pure_delta`.

    Args:
        pure: pure level, > 0.
        delta: in [0, 1).

    Returns:
        Level in [0, pure], tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(pure_epsilon(1.0, delta=0.1), 6)
        0.852905

    Source: Kairouz, Oh, Viswanath 2015.
    """
    pure = positive("pure", pure, why=PARAMETER)
    delta = probability("delta", delta, zero=True)
    saved = delta * (1 + math.exp(-pure))
    return 0.0 if saved >= -math.expm1(-pure) else max(0.0, pure + math.log1p(-saved))


def pure_for_approx(*, epsilon: float, delta: float) -> float:
    """The largest pure level that implies (epsilon, delta): log((e^epsilon + delta) / (1 - delta)).

    Args:
        epsilon: >= 0.
        delta: in [0, 1), and > 0 if epsilon is 0.

    Returns:
        pure level > 0, tight.

    Raises:
        ValueError: arguments out of range, or both 0.

    Example:
        >>> round(pure_for_approx(epsilon=0.0, delta=0.462117), 4)
        1.0

    Source: Kairouz, Oh, Viswanath 2015.
    """
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    delta = probability("delta", delta, zero=True)
    if epsilon == 0 and delta == 0:
        raise ValueError(
            "epsilon = 0 and delta = 0 leave no room for any release that uses the data. Raise one."
        )
    return epsilon + math.log1p(delta * math.exp(-epsilon)) - math.log1p(-delta)
