"""Privacy guarantees as values: what one release promises, in the currency in which it was proved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.privacy import checks, concentrated_dp, gaussian_dp, pure_dp


class PrivacyBudget(Protocol):
    """What every guarantee offers: its zCDP and (epsilon, delta) forms where they exist."""

    def to_zcdp(self) -> ZCDP:
        """The guarantee as zero-concentrated DP."""
        ...

    def to_approx(self, *, delta: float) -> ApproxDP:
        """The guarantee as (epsilon, delta)-DP at the given delta."""
        ...


@dataclass(frozen=True)
class PureDP:
    """Pure differential privacy: every event is at most e^epsilon times likelier on a neighbouring input.

    Args:
        epsilon: > 0.
        bounded_range: the log-likelihood ratios of all outcomes lie in an interval of length epsilon, as for the
            exponential mechanism; gives rho = epsilon^2 / 8 in place of epsilon * tanh(epsilon / 2).

    Raises:
        ValueError: epsilon not a finite number > 0.
        TypeError: epsilon is not a number, or bounded_range not a boolean.

    Example:
        >>> PureDP(2.0, bounded_range=True).to_zcdp()
        ZCDP(rho=0.5)

    Source: Dwork, McSherry, Nissim, Smith 2006; bounded range: Durfee and Rogers 2019.
    """

    epsilon: float
    bounded_range: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checks.positive("epsilon", self.epsilon, why=checks.PARAMETER)
        if not isinstance(self.bounded_range, bool):
            raise TypeError(f"bounded_range must be True or False, got {self.bounded_range!r}.")

    def __repr__(self) -> str:
        return f"PureDP(epsilon={self.epsilon!r}{', bounded_range=True' if self.bounded_range else ''})"

    def to_zcdp(self) -> ZCDP:
        """The guarantee as zCDP; tight for pure DP, a bound for a bounded range."""
        convert = pure_dp.bounded_range_to_zcdp if self.bounded_range else pure_dp.pure_to_zcdp
        return ZCDP(convert(self.epsilon))

    def to_gdp(self) -> GaussianDP:
        """The guarantee as Gaussian DP, tight."""
        return GaussianDP(pure_dp.pure_to_gdp(self.epsilon))

    def to_approx(self, *, delta: float) -> ApproxDP:
        """The smaller epsilon that holds once delta is allowed, tight; delta = 0 keeps epsilon."""
        return ApproxDP(pure_dp.pure_epsilon(self.epsilon, delta=delta), delta)


@dataclass(frozen=True)
class ZCDP:
    """Zero-concentrated DP: the Renyi divergence of order alpha is at most rho * alpha for every alpha > 1.

    Args:
        rho: > 0.

    Raises:
        ValueError: rho not a finite number > 0.

    Example:
        >>> ZCDP(0.5).to_approx(delta=1e-5).epsilon < 0.5 + 2 * (0.5 * 11.513) ** 0.5
        True

    Source: Bun and Steinke 2016.
    """

    rho: float

    def __post_init__(self) -> None:
        checks.positive("rho", self.rho, why=checks.PARAMETER)

    def to_zcdp(self) -> ZCDP:
        """Itself."""
        return self

    def to_approx(self, *, delta: float) -> ApproxDP:
        """(epsilon, delta) by the optimal Renyi order."""
        return ApproxDP(concentrated_dp.zcdp_epsilon(self.rho, delta=delta), delta)


@dataclass(frozen=True)
class GaussianDP:
    """Gaussian DP: telling neighbours apart is at least as hard as telling N(0, 1) from N(mu, 1).

    Args:
        mu: > 0; sensitivity / sigma for a Gaussian mechanism.

    Raises:
        ValueError: mu not a finite number > 0.

    Example:
        >>> GaussianDP(1.0).to_zcdp()
        ZCDP(rho=0.5)

    Source: Dong, Roth, Su 2022.
    """

    mu: float

    def __post_init__(self) -> None:
        checks.positive("mu", self.mu, why=checks.PARAMETER)

    def to_zcdp(self) -> ZCDP:
        """rho = mu^2 / 2, tight."""
        return ZCDP(gaussian_dp.gdp_to_zcdp(self.mu))

    def to_approx(self, *, delta: float) -> ApproxDP:
        """(epsilon, delta), tight."""
        return ApproxDP(gaussian_dp.gdp_epsilon(self.mu, delta=delta), delta)


@dataclass(frozen=True)
class ApproxDP:
    """(epsilon, delta)-DP: as pure DP, except for events of additional probability delta.

    Args:
        epsilon: >= 0.
        delta: in [0, 1).

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> ApproxDP(1.0, 1e-5)
        ApproxDP(epsilon=1.0, delta=1e-05)

    Source: Dwork, Kenthapadi, McSherry, Mironov, Naor 2006.
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        checks.non_negative("epsilon", self.epsilon, why="It is a privacy level.")
        checks.probability("delta", self.delta, zero=True)

    def to_pure(self) -> PureDP:
        """Pure DP, for delta = 0 only.

        Raises:
            ValueError: delta > 0, for which nothing bounds the events of probability delta.
        """
        if self.delta > 0:
            raise ValueError(
                f"{self} implies no pure or concentrated guarantee, because nothing bounds the events of probability "
                "delta. Record the mechanism in the form in which it was proved (PureDP, ZCDP or GaussianDP)."
            )
        return PureDP(self.epsilon)

    def to_zcdp(self) -> ZCDP:
        """Zero-concentrated DP, for delta = 0 only; otherwise a ValueError as in `to_pure`."""
        return self.to_pure().to_zcdp()

    def to_approx(self, *, delta: float) -> ApproxDP:
        """A pair that holds at another delta, tight.

        Every (epsilon, delta) mechanism is a function of randomised response that fails openly with probability
        delta, so a larger delta leaves (delta' - delta) / (1 - delta) to spend on a smaller epsilon.

        Raises:
            ValueError: a smaller delta, about which the pair says nothing.
        """
        delta = checks.probability("delta", delta, zero=True)
        if delta < self.delta:
            raise ValueError(
                f"{self} says nothing at delta = {delta!r} < {self.delta!r}. Ask for a larger delta."
            )
        if self.epsilon == 0:
            return ApproxDP(0.0, delta)
        return ApproxDP(
            pure_dp.pure_epsilon(self.epsilon, delta=(delta - self.delta) / (1 - self.delta)), delta
        )


@dataclass(frozen=True, eq=False)
class PersonalizedDP:
    """Personalised pure DP: record i is protected at its own, public level epsilon_i.

    For every i, all inputs that differ in the values of record i only and all events S,
    P[M(D) in S] <= e^epsilon_i * P[M(D') in S].

    Args:
        epsilon: levels, shape (n,), finite and > 0; copied and made read-only.

    Raises:
        ValueError: an empty vector or a level that is not finite and > 0.

    Example:
        >>> PersonalizedDP([0.1, 1.0]).strongest
        0.1

    Source: Jorgensen, Yu, Cormode 2015.
    """

    epsilon: NDArray[np.float64]

    def __init__(self, epsilon: ArrayLike) -> None:
        array = checks.levels("epsilon", epsilon)
        array.flags.writeable = False
        object.__setattr__(self, "epsilon", array)

    def __len__(self) -> int:
        return len(self.epsilon)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PersonalizedDP) and np.array_equal(self.epsilon, other.epsilon)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PersonalizedDP({len(self)} levels from {self.strongest:g} to {self.weakest:g})"

    @property
    def strongest(self) -> float:
        """The smallest level: what the strictest record gets."""
        return float(self.epsilon.min())

    @property
    def weakest(self) -> float:
        """The largest level: the uniform guarantee that holds for everybody."""
        return float(self.epsilon.max())

    def uniform(self) -> PureDP:
        """The uniform guarantee implied for all records: pure DP at the largest level."""
        return PureDP(self.weakest)

    def to_zcdp(self) -> ZCDP:
        """The uniform guarantee as zCDP."""
        return self.uniform().to_zcdp()

    def to_approx(self, *, delta: float) -> ApproxDP:
        """The uniform guarantee as (epsilon, delta)."""
        return self.uniform().to_approx(delta=delta)


Budget = PureDP | ZCDP | GaussianDP | ApproxDP | PersonalizedDP


def budget_to_dict(budget: Budget) -> dict[str, Any]:
    """A budget as JSON-ready mapping; `budget_from_dict` reads it back.

    Example:
        >>> budget_to_dict(ZCDP(0.5))
        {'kind': 'ZCDP', 'rho': 0.5}
    """
    if isinstance(budget, PersonalizedDP):
        return {"kind": "PersonalizedDP", "epsilon": budget.epsilon.tolist()}
    plain = {k: v if isinstance(v, bool) else float(v) for k, v in vars(budget).items()}
    return {"kind": type(budget).__name__, **plain}


def budget_from_dict(mapping: dict[str, Any]) -> Budget:
    """The budget written by `budget_to_dict`.

    Raises:
        ValueError: an unknown kind, missing or unknown fields, or a parameter out of range.

    Example:
        >>> budget_from_dict({"kind": "ZCDP", "rho": 0.5})
        ZCDP(rho=0.5)
    """
    kinds = {k.__name__: k for k in (PureDP, ZCDP, GaussianDP, ApproxDP, PersonalizedDP)}
    values = dict(mapping)
    kind = values.pop("kind", None)
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {kind!r}.")
    try:
        return kinds[kind](**values)
    except TypeError as error:
        raise ValueError(f"{mapping!r} is not a {kind} as budget_to_dict writes it: {error}") from error
