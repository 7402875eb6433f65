"""One privacy level in all currencies of this room: zCDP, the exponential mechanism's epsilon, (epsilon, delta)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self, get_args

from trustlib.dppl.checks import one_of, positive
from trustlib.privacy import (
    ZCDP,
    ApproxDP,
    GaussianDP,
    PureDP,
    gdp_epsilon,
    gdp_for_approx,
    pure_epsilon,
    pure_for_approx,
    zcdp_epsilon,
    zcdp_for_approx,
)

if TYPE_CHECKING:
    import pandas as pd

Conversion = Literal["gaussian", "exponential", "any"]


@dataclass(frozen=True)
class PrivacyBudget:
    """A zCDP level rho, at which all methods are compared, and what it means for each kind of mechanism.

    An exponential mechanism of level epsilon is epsilon^2 / 8-zCDP, so it may run at em_epsilon = sqrt(8 rho). A
    Gaussian mechanism may have mu = sqrt(2 rho). The second axis of the paper's figures, sqrt(2 rho), is neither: it is
    half of the pure epsilon that DPPL-Public runs at.

    Args:
        rho: zCDP level, > 0.

    Raises:
        ValueError: rho not a finite number > 0.
        TypeError: rho is not a number.

    Example:
        >>> budget = PrivacyBudget(0.5)
        >>> budget.em_epsilon, budget.mu, budget.axis_epsilon
        (2.0, 1.0, 1.0)
        >>> round(budget.to_approx(delta=1e-5, mechanism="gaussian").epsilon, 3)
        4.377

    Source: Wahdany et al. 2025, sec. 3; bounded range: Cesar and Rogers 2021; zCDP: Bun and Steinke 2016.
    """

    rho: float

    def __post_init__(self) -> None:
        positive("rho", self.rho, why="It is a privacy level.")

    @classmethod
    def from_em(cls, epsilon: float) -> Self:
        """The budget at which the exponential mechanism runs at a pure epsilon: rho = epsilon^2 / 8.

        Example:
            >>> PrivacyBudget.from_em(2.0)
            PrivacyBudget(rho=0.5)
        """
        epsilon = positive("epsilon", epsilon, why="It is a privacy level.")
        return cls(epsilon * (epsilon / 8))

    @classmethod
    def from_approx(cls, epsilon: float, delta: float, *, mechanism: Conversion) -> Self:
        """The largest budget that gives (epsilon, delta) for a kind of mechanism.

        Args:
            epsilon: >= 0.
            delta: in (0, 1).
            mechanism: "gaussian" (exact), "exponential" (better of the pure and the zCDP route), or "any" (zCDP).

        Returns:
            The budget; two mechanisms calibrated to the same pair through different routes differ in rho.

        Raises:
            ValueError: arguments out of range.

        Example:
            >>> round(PrivacyBudget.from_approx(4.377, 1e-5, mechanism="gaussian").rho, 3)
            0.5

        Source: Balle and Wang 2018 (Gaussian); Canonne, Kamath, Steinke 2020 (any zCDP).
        """
        one_of("mechanism", mechanism, get_args(Conversion))
        if mechanism == "gaussian":
            return cls(gdp_for_approx(epsilon=epsilon, delta=delta) ** 2 / 2)
        rho = zcdp_for_approx(epsilon=epsilon, delta=delta)
        if mechanism == "any":
            return cls(rho)
        return cls(max(rho, pure_for_approx(epsilon=epsilon, delta=delta) ** 2 / 8))

    @property
    def em_epsilon(self) -> float:
        """Pure epsilon of the exponential mechanism: sqrt(8 rho)."""
        return math.sqrt(8 * self.rho)

    @property
    def mu(self) -> float:
        """Gaussian-DP level of a Gaussian mechanism: sqrt(2 rho)."""
        return math.sqrt(2 * self.rho)

    @property
    def axis_epsilon(self) -> float:
        """sqrt(2 rho), the second axis of the paper's figures; no guarantee of any method shown there."""
        return math.sqrt(2 * self.rho)

    def to_zcdp(self) -> ZCDP:
        """The level as zCDP."""
        return ZCDP(self.rho)

    def to_em(self) -> PureDP:
        """What an exponential mechanism at this budget guarantees."""
        return PureDP(self.em_epsilon, bounded_range=True)

    def to_gdp(self) -> GaussianDP:
        """What a Gaussian mechanism at this budget guarantees."""
        return GaussianDP(self.mu)

    def to_approx(self, *, delta: float, mechanism: Conversion = "any") -> ApproxDP:
        """The level as (epsilon, delta).

        Args:
            delta: in (0, 1).
            mechanism: "gaussian" (exact for Gaussian noise), "exponential" (better of the pure and the zCDP route), or
                "any" (holds for everything that is rho-zCDP).

        Raises:
            ValueError: delta out of range or an unknown kind.
        """
        one_of("mechanism", mechanism, get_args(Conversion))
        if mechanism == "gaussian":
            return ApproxDP(gdp_epsilon(self.mu, delta=delta), delta)
        epsilon = zcdp_epsilon(self.rho, delta=delta)
        if mechanism == "exponential":
            epsilon = min(epsilon, pure_epsilon(self.em_epsilon, delta=delta))
        return ApproxDP(epsilon, delta)


def translate_budgets(rhos: Sequence[float], *, delta: float) -> pd.DataFrame:
    """A table that says what zCDP levels mean: pure epsilon of the selection, and (epsilon, delta) by three routes.

    Args:
        rhos: zCDP levels, each > 0.
        delta: in (0, 1), for the last three columns.

    Returns:
        One row per level: rho, axis_epsilon (of the paper's figures), em_epsilon (pure), gaussian, exponential, any
        (the epsilon at delta for that kind of mechanism).

    Raises:
        ValueError: a level or delta out of range.

    Example:
        >>> translate_budgets([0.5], delta=1e-5).round(3).iloc[0].to_list()
        [0.5, 1.0, 2.0, 4.377, 2.0, 4.728]

    Source: this book, with the conversions of `trustlib.privacy`.
    """
    import pandas as pd

    rows = []
    for rho in rhos:
        budget = PrivacyBudget(rho)
        approx = {
            kind: budget.to_approx(delta=delta, mechanism=kind).epsilon for kind in get_args(Conversion)
        }
        rows.append(
            {"rho": rho, "axis_epsilon": budget.axis_epsilon, "em_epsilon": budget.em_epsilon, **approx}
        )
    return pd.DataFrame(rows)
