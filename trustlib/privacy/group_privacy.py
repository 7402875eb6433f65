"""Several records protected at once, and the way from one neighbouring relation to another."""

from __future__ import annotations

import numpy as np

from trustlib.privacy import checks
from trustlib.privacy.budgets import ZCDP, ApproxDP, Budget, GaussianDP, PersonalizedDP, PureDP


def group(budget: Budget, *, size: int) -> Budget:
    """What a guarantee for one record promises to a group of records, all changed at once.

    Pure size * epsilon, zCDP size^2 * rho, Gaussian size * mu, and of a pair size * epsilon with
    delta * (1 + e^epsilon + ... + e^((size - 1) epsilon)).
    Also the way from add_remove to substitution, which is a group of size 2: one record out, another one in.

    Args:
        budget: guarantee for one record; of personalised levels the ``size`` largest count.
        size: records in a group, >= 1.

    Returns:
        A guarantee of the same kind; pure DP for personalised levels.

    Raises:
        ValueError: size < 1, more than there are personalised levels, or a resulting delta of 1 or more.

    Example:
        >>> group(ZCDP(0.5), size=2)
        ZCDP(rho=2.0)

    Source: Bun and Steinke 2016, Prop. 1.9; Dong, Roth, Su 2022 (group privacy); Dwork and Roth 2014, Thm. 2.2.
    """
    size = checks.whole("size", size)
    if isinstance(budget, PureDP):
        return PureDP(size * budget.epsilon, bounded_range=budget.bounded_range)
    if isinstance(budget, ZCDP):
        return ZCDP(size**2 * budget.rho)
    if isinstance(budget, GaussianDP):
        return GaussianDP(size * budget.mu)
    if isinstance(budget, PersonalizedDP):
        if size > len(budget):
            raise ValueError(f"size must be at most the number of records {len(budget)}, got {size}.")
        return PureDP(float(np.sort(budget.epsilon)[-size:].sum()))
    delta = budget.delta * float(np.exp(budget.epsilon * np.arange(size)).sum()) if budget.delta else 0.0
    if delta >= 1:
        raise ValueError(f"{budget} says nothing about groups of {size}: delta would be {delta:.3g} >= 1.")
    return ApproxDP(size * budget.epsilon, delta)
