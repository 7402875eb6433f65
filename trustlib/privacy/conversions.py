"""Between pure DP, zero-concentrated DP, Gaussian DP and (epsilon, delta), in the tightest closed form known.

All quantities are for one fixed neighbouring relation; a conversion never changes the relation. "Tight" means: equal
to the smallest value that holds for every mechanism with the given guarantee.
"""

from __future__ import annotations

import math

from scipy import optimize, special

from trustlib.privacy.checks import non_negative, positive, probability

_WHY = "It is a privacy parameter; 0 would be a release that does not depend on the data."


def pure_to_zcdp(epsilon: float) -> float:
    """The zCDP parameter of a pure guarantee: rho = epsilon * tanh(epsilon / 2), at most epsilon^2 / 2.

    Randomised response attains it in the limit of Renyi order 1, so it is tight.

    Args:
        epsilon: pure level, > 0.

    Returns:
        rho > 0.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> round(pure_to_zcdp(1.0), 6)
        0.462117

    Source: Bun and Steinke 2016, Prop. 3.3 for epsilon^2 / 2; the sharper form is the Kullback-Leibler divergence of
    randomised response, which bounds D_alpha / alpha for every order (checked numerically in the tests).
    """
    epsilon = positive("epsilon", epsilon, why=_WHY)
    return epsilon * math.tanh(epsilon / 2)


def bounded_range_to_zcdp(epsilon: float) -> float:
    """The zCDP parameter of an epsilon-bounded-range mechanism such as the exponential mechanism: epsilon^2 / 8.

    Args:
        epsilon: level of the mechanism, > 0.

    Returns:
        rho > 0; not tight for large epsilon.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> bounded_range_to_zcdp(2.0)
        0.5

    Source: Cesar and Rogers 2021, Lemma 3.4.
    """
    return positive("epsilon", epsilon, why=_WHY) ** 2 / 8


def pure_to_gdp(epsilon: float) -> float:
    """The Gaussian-DP parameter of a pure guarantee: mu = 2 * Phi^-1(e^epsilon / (1 + e^epsilon)).

    Args:
        epsilon: pure level, > 0.

    Returns:
        mu > 0, tight.

    Raises:
        ValueError: epsilon not a finite number > 0.

    Example:
        >>> round(pure_to_gdp(1.0), 6)
        1.232035

    Source: Liu et al. 2022, "Identification, amplification and measurement: a bridge to Gaussian DP", Thm. 1.
    """
    epsilon = positive("epsilon", epsilon, why=_WHY)
    return float(-2 * special.ndtri_exp(-float(special.log1p(math.exp(-abs(epsilon)))) - epsilon))


def gdp_to_zcdp(mu: float) -> float:
    """The zCDP parameter of a Gaussian guarantee: rho = mu^2 / 2, tight (the Gaussian mechanism attains it).

    Args:
        mu: Gaussian-DP level, > 0.

    Returns:
        rho > 0.

    Raises:
        ValueError: mu not a finite number > 0.

    Example:
        >>> gdp_to_zcdp(2.0)
        2.0

    Source: Dong, Roth, Su 2022, Cor. B.6.
    """
    return positive("mu", mu, why=_WHY) ** 2 / 2


def pure_delta(epsilon: float, target: float) -> float:
    """The delta at which a pure guarantee also holds at a smaller epsilon: (e^epsilon - e^target) / (1 + e^epsilon).

    Args:
        epsilon: pure level, > 0.
        target: the smaller level, >= 0.

    Returns:
        delta in [0, 1), tight (randomised response); 0 for target >= epsilon.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(pure_delta(1.0, 0.0), 6)
        0.462117

    Source: Kairouz, Oh, Viswanath 2015.
    """
    epsilon = positive("epsilon", epsilon, why=_WHY)
    target = non_negative("target", target, why="It is a privacy level.")
    return max(0.0, (1 - math.exp(target - epsilon)) / (1 + math.exp(-epsilon)))


def pure_epsilon(epsilon: float, delta: float) -> float:
    """The smaller epsilon that a pure guarantee gives once delta is allowed; the inverse of `pure_delta`.

    Args:
        epsilon: pure level, > 0.
        delta: in [0, 1).

    Returns:
        Level in [0, epsilon], tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(pure_epsilon(1.0, 0.1), 6)
        0.852905

    Source: Kairouz, Oh, Viswanath 2015.
    """
    epsilon = positive("epsilon", epsilon, why=_WHY)
    delta = probability("delta", delta, zero=True)
    inside = 1 - delta * (1 + math.exp(-epsilon))
    return 0.0 if inside <= math.exp(-epsilon) else epsilon + math.log(inside)


def gdp_delta(mu: float, epsilon: float) -> float:
    """The delta of mu-GDP at epsilon: Phi(mu/2 - epsilon/mu) - e^epsilon * Phi(-mu/2 - epsilon/mu).

    Args:
        mu: Gaussian-DP level (sensitivity / sigma of a Gaussian mechanism), > 0.
        epsilon: >= 0.

    Returns:
        delta in [0, 1), tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_delta(1.0, 1.0), 6)
        0.126937

    Source: Balle and Wang 2018, Thm. 8.
    """
    mu = positive("mu", mu, why=_WHY)
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    above = float(special.log_ndtr(mu / 2 - epsilon / mu))
    below = epsilon + float(special.log_ndtr(-mu / 2 - epsilon / mu))
    return max(0.0, -math.exp(above) * math.expm1(min(0.0, below - above)))


def gdp_epsilon(mu: float, delta: float) -> float:
    """The epsilon of mu-GDP at delta; the inverse of `gdp_delta`.

    Args:
        mu: Gaussian-DP level, > 0.
        delta: in (0, 1).

    Returns:
        epsilon >= 0, tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_epsilon(1.0, 1e-5), 4)
        4.3772

    Source: Balle and Wang 2018.
    """
    mu = positive("mu", mu, why=_WHY)
    delta = probability("delta", delta)
    if gdp_delta(mu, 0.0) <= delta:
        return 0.0
    upper = mu**2 / 2 + mu * math.sqrt(2 * math.log(1 / delta)) + 1
    return float(optimize.brentq(lambda e: gdp_delta(mu, e) - delta, 0.0, upper, xtol=1e-13))


def gdp_mu(epsilon: float, delta: float) -> float:
    """The largest mu whose Gaussian guarantee implies (epsilon, delta): the calibration of a Gaussian mechanism.

    Args:
        epsilon: >= 0.
        delta: in (0, 1).

    Returns:
        mu > 0; sigma = sensitivity / mu.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(gdp_mu(1.0, 1e-5), 6)
        0.268051

    Source: Balle and Wang 2018, Alg. 1.
    """
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    delta = probability("delta", delta)
    upper = 1.0
    while gdp_delta(upper, epsilon) < delta:
        upper *= 2
    return float(optimize.brentq(lambda m: gdp_delta(m, epsilon) - delta, 1e-12, upper, xtol=1e-15))


def zcdp_delta(rho: float, epsilon: float) -> float:
    """The delta of rho-zCDP at epsilon, minimised over Renyi orders.

    delta = min over alpha > 1 of exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1/alpha)^alpha

    Args:
        rho: zCDP level, > 0.
        epsilon: >= 0.

    Returns:
        delta in (0, 1]; a bound, close to but not tight for a Gaussian mechanism (use `gdp_delta` for that).

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_delta(0.5, 1.0), 4)
        0.2468

    Source: Canonne, Kamath, Steinke 2020, Cor. 13.
    """
    rho = positive("rho", rho, why=_WHY)
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")

    def log_delta(log_order: float) -> float:
        less = math.exp(log_order)  # alpha - 1
        alpha = 1 + less
        return less * (alpha * rho - epsilon) - log_order + alpha * math.log(less / alpha)

    guess = math.log(max((epsilon - rho) / (2 * rho), 1e-3))
    found = optimize.minimize_scalar(
        log_delta, bounds=(guess - 8, guess + 8), method="bounded", options={"xatol": 1e-10}
    )
    return min(1.0, math.exp(min(0.0, float(found.fun))))


def zcdp_epsilon(rho: float, delta: float) -> float:
    """The epsilon of rho-zCDP at delta; the inverse of `zcdp_delta`.

    Args:
        rho: zCDP level, > 0.
        delta: in (0, 1).

    Returns:
        epsilon >= 0; never above rho + 2 sqrt(rho ln(1/delta)).

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_epsilon(0.5, 1e-5), 3)
        4.728

    Source: Canonne, Kamath, Steinke 2020, Cor. 13; the closed bound is Bun and Steinke 2016, Prop. 1.3.
    """
    rho = positive("rho", rho, why=_WHY)
    delta = probability("delta", delta)
    if zcdp_delta(rho, 0.0) <= delta:
        return 0.0
    upper = rho + 2 * math.sqrt(rho * math.log(1 / delta))
    return float(optimize.brentq(lambda e: math.log(zcdp_delta(rho, e) / delta), 0.0, upper, xtol=1e-12))


def zcdp_rho(epsilon: float, delta: float) -> float:
    """The largest rho whose zCDP guarantee implies (epsilon, delta) by `zcdp_delta`.

    Args:
        epsilon: > 0.
        delta: in (0, 1).

    Returns:
        rho > 0.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_epsilon(zcdp_rho(1.0, 1e-5), 1e-5), 6)
        1.0

    Source: Canonne, Kamath, Steinke 2020, Cor. 13.
    """
    epsilon = positive("epsilon", epsilon, why=_WHY)
    delta = probability("delta", delta)
    low = (math.sqrt(math.log(1 / delta) + epsilon) - math.sqrt(math.log(1 / delta))) ** 2 / 2
    high = 2 * epsilon + 2
    while zcdp_delta(high, epsilon) < delta:
        high *= 2
    return float(optimize.brentq(lambda r: math.log(zcdp_delta(r, epsilon) / delta), low, high, xtol=1e-14))
