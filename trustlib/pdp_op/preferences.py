"""Privacy levels of a population: who asks for how much, drawn independently of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.checks import levels, positive


@dataclass(frozen=True)
class Preferences:
    """Shares of conservative, pragmatic and liberal people and the levels between which theirs lie.

    Conservative: uniform on [epsilon_conservative, epsilon_pragmatic]; pragmatic: uniform on [epsilon_pragmatic,
    epsilon_liberal]; liberal: epsilon_liberal exactly.

    Args:
        conservative: share in [0, 1].
        pragmatic: share in [0, 1]; the rest is liberal.
        epsilon_conservative: smallest level, > 0.
        epsilon_pragmatic: where the second group starts.
        epsilon_liberal: largest level.

    Raises:
        ValueError: shares outside [0, 1] or above 1 together, or levels that do not increase.

    Example:
        >>> round(ALAGGAN.mean, 4)
        0.5237

    Source: Acharya et al. 2024, experiments; shares from Alaggan et al. 2016 and Niu et al. 2020.
    """

    conservative: float
    pragmatic: float
    epsilon_conservative: float
    epsilon_pragmatic: float
    epsilon_liberal: float

    def __post_init__(self) -> None:
        for name in ("conservative", "pragmatic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share in [0, 1], got {getattr(self, name)!r}.")
        if self.conservative + self.pragmatic > 1 + 1e-12:
            raise ValueError(
                f"conservative + pragmatic must be at most 1, got {self.conservative} + {self.pragmatic}. "
                "The rest of the people are liberal."
            )
        positive("epsilon_conservative", self.epsilon_conservative, why="It is the smallest privacy level.")
        if not self.epsilon_conservative <= self.epsilon_pragmatic <= self.epsilon_liberal:
            raise ValueError(
                "levels must not decrease from conservative over pragmatic to liberal, got "
                f"{self.epsilon_conservative}, {self.epsilon_pragmatic}, {self.epsilon_liberal}."
            )

    @property
    def mean(self) -> float:
        """Expected level of a random person."""
        liberal = 1 - self.conservative - self.pragmatic
        return (
            self.conservative * (self.epsilon_conservative + self.epsilon_pragmatic) / 2
            + self.pragmatic * (self.epsilon_pragmatic + self.epsilon_liberal) / 2
            + liberal * self.epsilon_liberal
        )

    def counts(self, n: int) -> tuple[int, int, int]:
        """How many of n people fall in each group: both shares rounded down, the rest liberal."""
        first, second = int(self.conservative * n + 1e-9), int(self.pragmatic * n + 1e-9)
        return first, second, n - first - second

    def draw(self, n: int, *, rng: np.random.Generator) -> NDArray[np.float64]:
        """Levels of n people in random order, shape (n,)."""
        if n < 1:
            raise ValueError(f"n must be at least 1 person, got {n}.")
        first, second, third = self.counts(n)
        drawn = np.concatenate(
            [
                rng.uniform(self.epsilon_conservative, self.epsilon_pragmatic, first),
                rng.uniform(self.epsilon_pragmatic, self.epsilon_liberal, second),
                np.full(third, self.epsilon_liberal),
            ]
        )
        return rng.permutation(drawn)


# Shares of a survey quoted by Alaggan et al.; the experiments' default.
ALAGGAN = Preferences(0.34, 0.43, 0.01, 0.2, 1.0)
# Shares used by Niu et al. for personalised mechanisms.
NIU = Preferences(0.54, 0.37, 0.01, 0.2, 1.0)


def draw_epsilons(
    n: int,
    *,
    conservative: float,
    pragmatic: float,
    epsilon_conservative: float,
    epsilon_pragmatic: float,
    epsilon_liberal: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Privacy levels of n people in three groups; see `Preferences` for the arguments.

    Args:
        n: number of people, >= 1.
        conservative: share of the strictest group.
        pragmatic: share of the middle group.
        epsilon_conservative: smallest level, > 0.
        epsilon_pragmatic: where the middle group starts.
        epsilon_liberal: largest level.
        rng: source of randomness.

    Returns:
        Shape (n,), in random order, so that groups are not confounded with the order of the rows.

    Raises:
        ValueError: n < 1, or preferences out of range.

    Example:
        >>> levels = draw_epsilons(100, conservative=0.5, pragmatic=0.5, epsilon_conservative=0.1,
        ...                        epsilon_pragmatic=0.2, epsilon_liberal=1.0, rng=np.random.default_rng(0))
        >>> int(np.sum(levels < 0.2))
        50

    Source: Acharya et al. 2024, experiments.
    """
    preferences = Preferences(
        conservative, pragmatic, epsilon_conservative, epsilon_pragmatic, epsilon_liberal
    )
    return preferences.draw(n, rng=rng)


def keep_probabilities(epsilon: ArrayLike, threshold: float) -> NDArray[np.float64]:
    """Sampling probabilities of the Sample mechanism: 1 for epsilon_i >= t, else (e^epsilon_i - 1) / (e^t - 1).

    Args:
        epsilon: levels, shape (n,), > 0.
        threshold: t > 0.

    Returns:
        Shape (n,), in (0, 1].

    Raises:
        ValueError: a level or threshold that is not finite and > 0.

    Example:
        >>> keep_probabilities(np.array([np.log(2), 5.0]), float(np.log(3)))
        array([0.5, 1. ])

    Source: Jorgensen, Yu, Cormode 2015, Def. 10.
    """
    threshold = positive("threshold", threshold, why="It is a privacy level.")
    array = levels(epsilon)
    ratio = np.exp(np.minimum(array - threshold, 0.0)) * np.expm1(-array) / np.expm1(-threshold)
    return np.where(array >= threshold, 1.0, ratio)


def resolve_threshold(epsilon: NDArray[np.float64], threshold: Literal["max", "mean"] | float) -> float:
    """The level t that a threshold stands for.

    Raises:
        ValueError: an unknown word or a level that is not > 0.

    Example:
        >>> resolve_threshold(np.array([0.2, 0.4]), "max")
        0.4
    """
    if isinstance(threshold, str):
        if threshold not in ("max", "mean"):
            raise ValueError(f'threshold must be "max", "mean" or a level > 0, got {threshold!r}.')
        return float(epsilon.max() if threshold == "max" else epsilon.mean())
    return positive("threshold", threshold, why="It is a privacy level.")
