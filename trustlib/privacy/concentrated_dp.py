"""Zero-concentrated DP as (epsilon, delta): the best Renyi order, evaluated so that rounding never helps.

Every order alpha > 1 gives a valid guarantee, so that a search over orders that stops early is only less tight.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from trustlib.privacy.checks import PARAMETER, non_negative, positive, probability


def zcdp_delta(rho: float, *, epsilon: float) -> float:
    """The delta of rho-zCDP at epsilon, minimised over Renyi orders.

    delta = min over alpha > 1 of exp((alpha - 1)(alpha rho - epsilon)) / (alpha - 1) * (1 - 1/alpha)^alpha, and never
    above the total variation that rho allows, min(sqrt(rho / 2), sqrt(1 - e^-rho)).

    Args:
        rho: zCDP level, > 0.
        epsilon: >= 0.

    Returns:
        delta in (0, 1]; a bound. For a Gaussian mechanism `gdp_delta` is smaller, and tight.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_delta(0.5, epsilon=1.0), 4)
        0.2468

    Source: Canonne, Kamath, Steinke 2020, Cor. 13; total variation: Pinsker and Bretagnolle-Huber inequalities.
    """
    rho = positive("rho", rho, why=PARAMETER)
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")

    def log_delta(x: NDArray[np.float64]) -> NDArray[np.float64]:
        m = np.exp(x)  # alpha - 1
        return m * ((1 + m) * rho - epsilon) - np.log1p(m) - m * np.log1p(1 / m)

    found = _smallest(log_delta, around=math.log(max(epsilon / (2 * rho), 1e-3)))
    return min(math.exp(min(0.0, found)), _total_variation(rho))


def zcdp_epsilon(rho: float, *, delta: float) -> float:
    """The epsilon of rho-zCDP at delta; the inverse of `zcdp_delta`.

    epsilon = min over alpha > 1 of rho alpha + (log(1/delta) + (alpha - 1) log(1 - 1/alpha) - log alpha) / (alpha - 1)

    Args:
        rho: zCDP level, > 0.
        delta: in (0, 1).

    Returns:
        epsilon >= 0, a bound; never above rho + 2 sqrt(rho log(1/delta)).

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_epsilon(0.5, delta=1e-5), 3)
        4.728

    Source: Canonne, Kamath, Steinke 2020, Cor. 13; the closed bound is Bun and Steinke 2016, Prop. 1.3.
    """
    rho = positive("rho", rho, why=PARAMETER)
    delta = probability("delta", delta)
    if _total_variation(rho) <= delta:
        return 0.0
    log_inverse = -math.log(delta)

    def epsilon(x: NDArray[np.float64]) -> NDArray[np.float64]:
        m = np.exp(x)
        return rho * (1 + m) - np.log1p(1 / m) + (log_inverse - np.log1p(m)) / m

    return max(0.0, _smallest(epsilon, around=0.5 * math.log(log_inverse / rho)))


def zcdp_for_approx(*, epsilon: float, delta: float) -> float:
    """The largest rho whose zCDP guarantee implies (epsilon, delta) by `zcdp_epsilon`.

    Args:
        epsilon: >= 0.
        delta: in (0, 1).

    Returns:
        rho > 0. For a Gaussian mechanism `gdp_for_approx` allows less noise.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> round(zcdp_epsilon(zcdp_for_approx(epsilon=1.0, delta=1e-5), delta=1e-5), 9)
        1.0

    Source: Canonne, Kamath, Steinke 2020, Cor. 13, solved for rho at each order.
    """
    epsilon = non_negative("epsilon", epsilon, why="It is a privacy level.")
    delta = probability("delta", delta)
    log_inverse = -math.log(delta)

    def minus_rho(x: NDArray[np.float64]) -> NDArray[np.float64]:
        m = np.exp(x)
        return -(epsilon + np.log1p(1 / m) - (log_inverse - np.log1p(m)) / m) / (1 + m)

    guess = log_inverse / max(epsilon, 1e-3) * (1 + math.sqrt(1 + epsilon / log_inverse))
    from_total_variation = max(2 * delta**2, -math.log1p(-(delta**2)))
    return max(-_smallest(minus_rho, around=math.log(guess)), from_total_variation)


def _total_variation(rho: float) -> float:
    """Bound on the total variation distance of two outputs with Kullback-Leibler divergence rho."""
    return min(math.sqrt(rho / 2), math.sqrt(-math.expm1(-rho)))


def _smallest(
    objective: Callable[[NDArray[np.float64]], NDArray[np.float64]], *, around: float, reach: float = 25.0
) -> float:
    """Smallest value on a line: a grid around a guess, then Brent's method between the neighbours of the best."""
    grid = np.linspace(around - reach, around + reach, 401)
    with np.errstate(over="ignore", invalid="ignore"):
        values = objective(grid)
    values = np.where(np.isnan(values), np.inf, values)
    best = int(np.argmin(values))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])
    found = optimize.minimize_scalar(objective, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return min(float(values[best]), float(found.fun))
