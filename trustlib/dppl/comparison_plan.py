"""What is varied in a comparison, and what one seed of it looks like to a method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.imbalance import make_imbalanced

Method = Literal[
    "public", "coinpress", "naive", "auto", "least_squares", "global_adapt", "dp_sgd",
    "noise_off", "class_means", "nearest_public", "linear_probe",
]  # fmt: skip
METHODS: tuple[Method, ...] = ("public", "coinpress", "naive", "least_squares", "global_adapt", "dp_sgd")
BASELINES: tuple[Method, ...] = ("naive", "least_squares", "global_adapt", "dp_sgd")
REFERENCES: tuple[Method, ...] = ("noise_off", "class_means", "nearest_public", "linear_probe")
LABELS = {
    "public": "DPPL-Public",
    "coinpress": "DPPL-Mean (CoinPress)",
    "naive": "Gaussian mean",
    "auto": "DPPL-Mean (auto)",
    "least_squares": "DP-LS",
    "global_adapt": "Global-Adapt",
    "dp_sgd": "DP-SGD probe",
    "noise_off": "DP-SGD probe, noise off",
    "class_means": "Class means, no privacy",
    "nearest_public": "Best public sample, no privacy",
    "linear_probe": "Linear probe, no privacy",
}
Window = tuple[float, float]
Settings = Mapping[tuple[str, float, float], Mapping[str, Any]]  # by method, ratio and rho
Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What is compared; everything that varies is listed here.

    Args:
        rhos: zCDP levels, ascending, > 0.
        ratios: imbalance ratios, ascending, >= 1.
        largest: private rows of the largest class.
        n_seeds: draws of rows, of class sizes and of noise, >= 1; the unit of all intervals.
        seed: of everything; each seed has a stream of its own.
        n_draws: releases of the cheap methods per seed, over which their accuracies are averaged, >= 1.
        settings: arguments of the baselines by method, ratio and rho; missing ones keep their defaults.

    Raises:
        ValueError: an empty or unsorted grid, or counts below 1.

    Example:
        >>> Plan(rhos=(0.05, 0.5), ratios=(1, 10), largest=100, n_seeds=2, seed=0).n_draws
        10
    """

    rhos: tuple[float, ...]
    ratios: tuple[float, ...]
    largest: int
    n_seeds: int
    seed: int
    n_draws: int = 10
    settings: Settings = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in (("rhos", 0.0), ("ratios", 1.0)):
            grid = tuple(float(x) for x in getattr(self, name))
            if not grid or list(grid) != sorted(set(grid)) or not least <= grid[0] < grid[-1] + 1 < np.inf:
                raise ValueError(f"{name} must be ascending and different, at least {least:g}, got {grid}.")
            object.__setattr__(self, name, grid)
        for name in ("largest", "n_seeds", "n_draws"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}.")

    def at(self, name: Literal["rhos", "ratios"], value: float) -> int:
        """Position of a budget or a ratio in its grid; a ValueError lists the grid where it is missing."""
        grid = getattr(self, name)
        if value not in grid:
            raise ValueError(f"{value!r} is not among {name} = {grid}. Add it to the plan.")
        return grid.index(value)


@dataclass(frozen=True)
class Trial:
    """One seed at one imbalance ratio: what a method sees.

    Args:
        number: of the seed.
        ratio: imbalance ratio.
        X: private embeddings, shape (n, d).
        y: their classes, int64 (n,).
        sizes: private rows by class, shape (C,).
        groups: sizes that these classes have at the largest ratio, shape (C,): they say who is rare, at any ratio.
    """

    number: int
    ratio: float
    X: Vectors
    y: NDArray[np.int64]
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64]

    def stream(self, plan: Plan, method: str, rho: float) -> np.random.Generator:
        """Randomness that depends on seed, ratio, method and budget only."""
        words = [
            plan.seed, self.number, plan.ratios.index(self.ratio), plan.rhos.index(rho), *method.encode()
        ]  # fmt: skip
        return np.random.default_rng(words)


def trials(task: Task, plan: Plan, *, permute: bool = False, ratio: float | None = None) -> Iterator[Trial]:
    """All seeds of a plan at all ratios, in order.

    Args:
        task: the embeddings.
        plan: the plan.
        permute: deal out the private labels at random, a control without anything to learn.
        ratio: only this one.

    Yields:
        One trial for each seed and ratio.

    Raises:
        ValueError: more rows asked for than there are.
    """
    for number in range(plan.n_seeds):
        rng = np.random.default_rng([plan.seed, number])
        order, deal = rng.permutation(len(task.private)), int(rng.integers(2**31))
        labels = task.private_labels[order]
        public = {"classes": task.n_classes, "largest": plan.largest, "seed": deal}
        rows = {r: make_imbalanced(labels, ratio=r, **public) for r in plan.ratios}
        groups = np.bincount(labels[rows[plan.ratios[-1]]], minlength=task.n_classes)
        for r in plan.ratios if ratio is None else (ratio,):
            y = labels[rows[r]]
            sizes = np.bincount(y, minlength=task.n_classes)
            y = np.random.default_rng([plan.seed, number, 1]).permutation(y) if permute else y
            yield Trial(number, r, task.private[order[rows[r]]], y, sizes, groups)
