"""Whether releases stay within a limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trustlib.privacy.budgets import ZCDP, ApproxDP, Budget, GaussianDP
from trustlib.privacy.composition import compose_approx, compose_gdp, compose_zcdp
from trustlib.privacy.levels import ROUNDING, checked, failure_left, kinds, pure_levels, total_levels


def exceeds(budgets: Sequence[Budget], limit: Budget) -> bool:
    """Whether releases together pass a limit, by the best route to its currency; 1e-12 of it is taken for rounding.

    Args:
        budgets: releases on the same data, at least one.
        limit: what may be spent.

    Returns:
        True if the total is not covered by the limit.

    Raises:
        ValueError: no budget, or releases that have no form in the limit's currency.

    Example:
        >>> from trustlib.privacy import PureDP
        >>> exceeds([PureDP(0.5), PureDP(0.5)], PureDP(1.0)), exceeds([PureDP(1.5)], PureDP(1.0))
        (False, True)

    Source: the routes as in `compose` and `compose_approx`.
    """
    slack = 1 + ROUNDING
    try:
        if isinstance(limit, ApproxDP):
            return _exceeds_pair(checked(budgets), limit)
        if isinstance(limit, ZCDP):
            return compose_zcdp(budgets).rho > limit.rho * slack
        if isinstance(limit, GaussianDP):
            return compose_gdp(budgets).mu > limit.mu * slack
        allowed = np.asarray(limit.epsilon)
        spent = total_levels([*(pure_levels(b) for b in checked(budgets)), np.zeros_like(allowed)])
        return bool(np.any(spent > allowed * slack))
    except ValueError as error:
        raise ValueError(f"{kinds(budgets)} cannot be held against the limit {limit}: {error}") from error


def _exceeds_pair(budgets: Sequence[Budget], limit: ApproxDP) -> bool:
    """Whether releases pass an (epsilon, delta) limit; they do when their own deltas use up its delta."""
    deltas = [b.delta for b in budgets if isinstance(b, ApproxDP)]
    left = failure_left(limit.delta, deltas)
    if left < 0 or (limit.delta > 0 and left == 0 and any(isinstance(b, ZCDP | GaussianDP) for b in budgets)):
        return True
    return compose_approx(budgets, delta=limit.delta).epsilon > limit.epsilon * (1 + ROUNDING)
