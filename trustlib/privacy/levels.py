"""Levels of several budgets as arrays, so that uniform and personal ones add up record by record."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy import special

from trustlib.privacy.budgets import ZCDP, ApproxDP, Budget, GaussianDP, PersonalizedDP, PureDP

Vector = NDArray[np.float64]
ROUNDING = 1e-12  # relative; sums of decimal levels miss their total by a few rounding units


def checked(budgets: Sequence[Budget]) -> list[Budget]:
    """The budgets as a non-empty list."""
    found = list(budgets)
    if not found:
        raise ValueError("budgets must hold at least one budget, got none.")
    for budget in found:
        if not isinstance(budget, Budget):
            raise TypeError(
                f"budgets must be PureDP, ZCDP, GaussianDP, ApproxDP or PersonalizedDP, got {budget!r}."
            )
    return found


def pure_levels(budget: Budget, *, with_delta: bool = False) -> Vector:
    """Pure level as an array: shape () for one level, (n,) for personal ones; of a pair its epsilon on request."""
    if isinstance(budget, PureDP | PersonalizedDP):
        return np.asarray(budget.epsilon, dtype=np.float64)
    if isinstance(budget, ApproxDP) and (with_delta or budget.delta == 0):
        return np.asarray(budget.epsilon, dtype=np.float64)
    raise ValueError(f"{budget} implies no pure guarantee.")


def zcdp_levels(budget: Budget) -> Vector:
    """zCDP level as an array, shape () or (n,)."""
    if isinstance(budget, ZCDP | GaussianDP) or (isinstance(budget, PureDP) and budget.bounded_range):
        return np.asarray(budget.to_zcdp().rho)
    epsilon = pure_levels(budget)
    return np.asarray(epsilon * np.tanh(epsilon / 2))


def gdp_levels(budget: Budget) -> Vector:
    """Gaussian level as an array, shape () or (n,)."""
    if isinstance(budget, GaussianDP):
        return np.asarray(budget.mu)
    if isinstance(budget, ZCDP):
        raise ValueError(f"{budget} implies no Gaussian guarantee.")
    half = np.tanh(pure_levels(budget) / 2)
    far = -2 * special.ndtri_exp(-np.logaddexp(0.0, pure_levels(budget)))
    return np.asarray(np.where(half < 0.5, 2 * math.sqrt(2) * special.erfinv(half), far))


def total_levels(levels: Sequence[Vector]) -> Vector:
    """Sum of uniform and personal levels, record by record; shape () if all are uniform."""
    _same_length(levels)
    total = np.asarray(math.fsum(float(x) for x in levels if not x.ndim))
    for level in levels:
        total = total + level if level.ndim else total
    return np.asarray(total)


def largest_levels(levels: Sequence[Vector]) -> Vector:
    """Largest of uniform and personal levels, record by record."""
    _same_length(levels)
    return np.asarray(reduce(np.maximum, levels))


def _same_length(levels: Sequence[Vector]) -> None:
    """Personal levels must be about the same records."""
    lengths = sorted({len(x) for x in levels if x.ndim})
    if len(lengths) > 1:
        raise ValueError(
            f"personalised levels for {' and '.join(map(str, lengths))} records cannot be combined. Every vector must "
            "list the same records in the same order."
        )


def any_failure(deltas: Sequence[float]) -> float:
    """Probability that one of several independent failures happens; at most their sum, and below 1."""
    return -math.expm1(math.fsum(math.log1p(-d) for d in deltas))


def failure_left(delta: float, deltas: Sequence[float]) -> float:
    """delta' with 1 - delta = (1 - delta') * prod(1 - delta_j); negative if delta does not cover the others."""
    left = -math.expm1(math.log1p(-delta) - math.fsum(math.log1p(-d) for d in deltas))
    return 0.0 if abs(left) <= ROUNDING * delta else left


def kinds(budgets: Sequence[Budget]) -> str:
    """The kinds among the budgets, for messages."""
    return " and ".join(dict.fromkeys(type(b).__name__ for b in budgets))
