"""What several releases on the same data promise together, and on disjoint parts of it.

Currencies: pure levels add up, zCDP levels add up, Gaussian levels add as squares, (epsilon, delta) pairs add
component-wise, personalised levels do the same record by record. A mixture is added in a currency that all of its
members convert to; where several are possible, `compose_approx` takes the best. All rules hold for releases that are
chosen adaptively. They are not the optimal composition (a numerical accountant can be tighter), but never too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trustlib.privacy import checks
from trustlib.privacy.budgets import ZCDP, ApproxDP, Budget, GaussianDP, PersonalizedDP, PureDP
from trustlib.privacy.levels import (
    any_failure,
    checked,
    failure_left,
    gdp_levels,
    kinds,
    largest_levels,
    pure_levels,
    total_levels,
    zcdp_levels,
)


def compose(budgets: Sequence[Budget]) -> Budget:
    """The guarantee of several releases in the currency that they share.

    Args:
        budgets: at least one budget.

    Returns:
        Pure with pure, Gaussian with Gaussian: the same kind. Personalised with pure: personalised. (epsilon, delta)
        with pure: (sum epsilon, 1 - prod(1 - delta)). Anything else without a delta > 0: zCDP.

    Raises:
        ValueError: no budget; personalised levels of different lengths; a pair with delta > 0 beside zCDP or Gaussian
            DP, which share no currency unless a total delta is named (`compose_approx`).

    Example:
        >>> compose([GaussianDP(3.0), GaussianDP(4.0)])
        GaussianDP(mu=5.0)
        >>> compose([PureDP(0.5), PersonalizedDP([0.1, 1.0])]).epsilon
        array([0.6, 1.5])

    Source: Dwork and Roth 2014, Thm. 3.16; Bun and Steinke 2016, Lemma 1.7; Dong, Roth, Su 2022; Jorgensen et al. 2015.
    """
    budgets = checked(budgets)
    if len(budgets) == 1:
        return budgets[0]
    if all(isinstance(b, GaussianDP) for b in budgets):
        return compose_gdp(budgets)
    if all(isinstance(b, PureDP | PersonalizedDP) for b in budgets):
        total = total_levels([pure_levels(b) for b in budgets])
        return PersonalizedDP(total) if total.ndim else PureDP(float(total))
    pairs = [b for b in budgets if isinstance(b, ApproxDP)]
    if pairs and all(isinstance(b, PureDP | PersonalizedDP | ApproxDP) for b in budgets):
        total = total_levels([pure_levels(b, with_delta=True) for b in budgets])
        return ApproxDP(float(total.max()), any_failure([b.delta for b in pairs]))
    if any(b.delta > 0 for b in pairs):
        raise ValueError(
            f"{kinds(budgets)} share no currency without a delta. Ask for (epsilon, delta) at a total delta above "
            f"{math.fsum(b.delta for b in pairs):g} (compose_approx, or to_approx of a ledger)."
        )
    return compose_zcdp(budgets)


def compose_zcdp(budgets: Sequence[Budget]) -> ZCDP:
    """The guarantee of several releases as zCDP: the sum of the levels.

    Args:
        budgets: at least one budget, none with delta > 0.

    Returns:
        zCDP at the sum; of personalised levels the record with the largest sum counts.

    Raises:
        ValueError: no budget, a pair with delta > 0, or personalised levels of different lengths.

    Example:
        >>> compose_zcdp([PureDP(2.0, bounded_range=True), GaussianDP(1.0)])
        ZCDP(rho=1.0)

    Source: Bun and Steinke 2016, Lemma 1.7.
    """
    return ZCDP(float(total_levels([zcdp_levels(b) for b in checked(budgets)]).max()))


def compose_gdp(budgets: Sequence[Budget]) -> GaussianDP:
    """The guarantee of several releases as Gaussian DP: the root of the sum of squares.

    Args:
        budgets: pure, personalised or Gaussian, at least one.

    Returns:
        Gaussian DP; of personalised levels the record with the largest sum counts.

    Raises:
        ValueError: no budget, one that is zCDP or has delta > 0 (neither implies Gaussian DP), or personalised levels
            of different lengths.

    Example:
        >>> compose_gdp([GaussianDP(3.0), GaussianDP(4.0)])
        GaussianDP(mu=5.0)

    Source: Dong, Roth, Su 2022 (composition).
    """
    budgets = checked(budgets)
    if len(budgets) == 1 and isinstance(budgets[0], GaussianDP):
        return budgets[0]
    return GaussianDP(math.sqrt(total_levels([gdp_levels(b) ** 2 for b in budgets]).max()))


def compose_approx(budgets: Sequence[Budget], *, delta: float) -> ApproxDP:
    """The guarantee of several releases as (epsilon, delta), by the best of all routes.

    A pair (epsilon_j, delta_j) is a pure epsilon_j release that fails openly with probability delta_j. The failures are
    set apart, 1 - delta = (1 - delta') * prod_j (1 - delta_j), and what remains is composed as pure DP, as zCDP and as
    Gaussian DP, as far as it converts, each then read at delta'; the smallest epsilon wins.

    Args:
        budgets: at least one budget.
        delta: of the total, in [0, 1), at least what the pairs among the budgets already use.

    Returns:
        (epsilon, delta).

    Raises:
        ValueError: no budget, a delta that is too small for the pairs, delta = 0 with zCDP or Gaussian DP, or
            personalised levels of different lengths.

    Example:
        >>> many = [PureDP(0.1)] * 100
        >>> compose(many), round(compose_approx(many, delta=1e-6).epsilon, 2)
        (PureDP(epsilon=10.0), 5.22)

    Source: Kairouz, Oh, Viswanath 2015 (pairs as failing randomised response); the routes as in `compose`.
    """
    budgets = checked(budgets)
    delta = checks.probability("delta", delta, zero=True)
    deltas = [b.delta for b in budgets if isinstance(b, ApproxDP)]
    left = failure_left(delta, deltas)
    if left < 0:
        raise ValueError(
            f"delta must be at least {math.fsum(deltas):g}, which the releases with a delta of their own already use, "
            f"got {delta!r}. Ask for a larger total delta."
        )
    rest = [b for b in budgets if not (isinstance(b, ApproxDP) and b.epsilon == 0)]
    if not rest:
        return ApproxDP(0.0, delta)
    rest = [PureDP(b.epsilon) if isinstance(b, ApproxDP) else b for b in rest]
    routes: list[PureDP | ZCDP | GaussianDP] = []
    if all(isinstance(b, PureDP | PersonalizedDP) for b in rest):
        routes.append(PureDP(float(total_levels([pure_levels(b) for b in rest]).max())))
    elif left == 0:
        raise ValueError(
            f"delta = {delta!r} leaves nothing for {kinds(rest)}, which have no epsilon at delta = 0. Ask for more."
        )
    if left > 0:
        routes.append(compose_zcdp(rest))
        if not any(isinstance(b, ZCDP) for b in rest):
            routes.append(compose_gdp(rest))
    return ApproxDP(min(route.to_approx(delta=left).epsilon for route in routes), delta)


def in_parallel(totals: Sequence[Budget]) -> Budget:
    """A guarantee that covers several disjoint parts of the data: the weakest of theirs.

    Args:
        totals: guarantee of each part, at least one.

    Returns:
        The largest of one kind; pairs take the largest epsilon and the largest delta; other mixtures become zCDP.

    Raises:
        ValueError: no guarantee, or a mixture without a common currency.

    Example:
        >>> in_parallel([PureDP(0.5), PureDP(1.0)])
        PureDP(epsilon=1.0)

    Source: McSherry 2009 (parallel composition).
    """
    totals = checked(totals)
    if len(totals) == 1:
        return totals[0]
    if all(isinstance(b, GaussianDP) for b in totals):
        return max((b for b in totals if isinstance(b, GaussianDP)), key=lambda b: b.mu)
    if all(isinstance(b, PureDP) and b.bounded_range for b in totals):
        return max((b for b in totals if isinstance(b, PureDP)), key=lambda b: b.epsilon)
    if all(isinstance(b, PureDP | PersonalizedDP) for b in totals):
        worst = largest_levels([pure_levels(b) for b in totals])
        return PersonalizedDP(worst) if worst.ndim else PureDP(float(worst))
    pairs = [b for b in totals if isinstance(b, ApproxDP)]
    if pairs and all(isinstance(b, PureDP | PersonalizedDP | ApproxDP) for b in totals):
        return ApproxDP(
            float(largest_levels([pure_levels(b, with_delta=True) for b in totals]).max()),
            max(b.delta for b in pairs),
        )
    if any(b.delta > 0 for b in pairs):
        raise ValueError(
            f"{kinds(totals)} share no currency without a delta. Ask for (epsilon, delta) instead."
        )
    return max((b.to_zcdp() for b in totals), key=lambda b: b.rho)
