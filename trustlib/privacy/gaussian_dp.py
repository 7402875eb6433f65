"""Gaussian DP as (epsilon, delta) and zero-concentrated DP; exact for a Gaussian mechanism."""

from __future__ import annotations

import math

from scipy import optimize, special

from trustlib.privacy.checks import PARAMETER, conservative, non_negative, positive, probability


def gdp_delta(mu: float, *, epsilon: float) -> float:
    """The delta of mu-GDP at epsilon: Phi(mu/2 - epsilon/mu) - e^epsilon * Phi(-mu/2 - epsilon/mu).

    Args:
        mu: Gaussian-DP level (sensitivity / sigma of a Gaussian mechanism), > 0.
        epsilon: >= 0.

    Returns:
        delta in [0, 1], tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_delta(1.0, epsilon=1.0), 6)
        0.126937

    Source: Balle and Wang 2018, Thm. 8; Dong, Roth, Su 2022.
    """
    mu = positive("mu", mu, why=PARAMETER)
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    return math.exp(_log_delta(mu, epsilon))


def gdp_epsilon(mu: float, *, delta: float) -> float:
    """The epsilon of mu-GDP at delta; the inverse of `gdp_delta`.

    Args:
        mu: Gaussian-DP level, > 0.
        delta: in (0, 1).

    Returns:
        epsilon >= 0, tight; rounded up, so that `gdp_delta` there is at most ``delta``.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_epsilon(1.0, delta=1e-5), 4)
        4.3772

    Source: Balle and Wang 2018, Thm. 8.
    """
    mu = positive("mu", mu, why=PARAMETER)
    delta = probability("delta", delta)
    target = math.log(delta)
    if _log_delta(mu, 0.0) <= target:
        return 0.0
    # Phi(mu/2 - e/mu) alone is already at most delta there (Chernoff)
    upper = mu * (mu / 2 + math.sqrt(-2 * target)) * (1 + 1e-9)
    root = float(optimize.brentq(lambda e: _log_delta(mu, e) - target, 0.0, upper, xtol=1e-300))
    return conservative(root, lambda e: math.exp(_log_delta(mu, e)) <= delta, up=True)


def gdp_for_approx(*, epsilon: float, delta: float) -> float:
    """The largest mu whose Gaussian guarantee implies (epsilon, delta): the calibration of a Gaussian mechanism.

    Args:
        epsilon: >= 0.
        delta: in (0, 1).

    Returns:
        mu > 0, tight and rounded down; sigma = sensitivity / mu.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_for_approx(epsilon=1.0, delta=1e-5), 6)
        0.268051

    Source: Balle and Wang 2018, Alg. 1.
    """
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    delta = probability("delta", delta)
    if epsilon == 0:
        root = 2 * math.sqrt(2) * float(special.erfinv(delta))
        return conservative(root, lambda m: math.exp(_log_delta(m, 0.0)) <= delta)
    target = math.log(delta)
    low = high = epsilon / math.sqrt(-2 * target + 2 * epsilon)
    while _log_delta(low, epsilon) > target:
        low /= 2
    while _log_delta(high, epsilon) < target:
        high *= 2
    root = float(optimize.brentq(lambda m: _log_delta(m, epsilon) - target, low, high, xtol=1e-300))
    return conservative(root, lambda m: math.exp(_log_delta(m, epsilon)) <= delta)


def gdp_to_zcdp(mu: float) -> float:
    """The zCDP level of a Gaussian guarantee: rho = mu^2 / 2, tight (the Gaussian mechanism attains it).

    Args:
        mu: Gaussian-DP level, > 0.

    Returns:
        rho > 0.

    Raises:
        ValueError: mu not a finite number > 0.

    Example:
        >>> gdp_to_zcdp(2.0)
        2.0

    Source: Dong, Roth, Su 2022; Bun and Steinke 2016, Prop. 1.6.
    """
    return positive("mu", mu, why=PARAMETER) ** 2 / 2


def gdp_for_zcdp(rho: float) -> float:
    """The largest mu whose Gaussian guarantee implies rho-zCDP: sqrt(2 rho), tight.

    Args:
        rho: zCDP level, > 0.

    Returns:
        mu > 0. It calibrates a mechanism; rho-zCDP itself does not imply mu-GDP.

    Raises:
        ValueError: rho not a finite number > 0.

    Example:
        >>> gdp_for_zcdp(2.0)
        2.0

    Source: Bun and Steinke 2016, Prop. 1.6.
    """
    return math.sqrt(2 * positive("rho", rho, why=PARAMETER))


def _log_delta(mu: float, epsilon: float) -> float:
    """log delta of mu-GDP at epsilon; -inf where it is below every float."""
    if epsilon == 0:
        return math.log(math.erf(mu / (2 * math.sqrt(2))))
    above = float(special.log_ndtr(mu / 2 - epsilon / mu))
    below = epsilon + float(special.log_ndtr(-mu / 2 - epsilon / mu))
    return above + math.log(-math.expm1(below - above)) if below < above else -math.inf
