"""DPPL-Public under other conditions: permuted labels, other pools, windows, more prototypes, few samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trustlib.dppl.comparison_methods import mean_accuracies, public_accuracies
from trustlib.dppl.comparison_plan import Plan, Trial, Vectors, Window, trials
from trustlib.dppl.comparison_tasks import Task

WINDOW: Window = (1.0, 1.9)  # fixed before any run
ABSURD: Window = (0.0, 0.2)
FEW = 10  # private samples per class

Progress = Callable[[Iterable[Any], int], Iterable[Any]]
Measure = Callable[[Trial], Vectors]


@dataclass(frozen=True)
class Variants:
    """Accuracies of all classes under each condition.

    Args:
        plan: that of the comparison they belong to.
        k_grid: numbers of prototypes, ascending, starting with 1.
        accuracy: shape (seeds, rhos, C) by condition.
    """

    plan: Plan
    k_grid: tuple[int, ...]
    accuracy: dict[str, Vectors]

    def by_class(self, name: str, rho: float) -> Vectors:
        """Accuracies of the classes, shape (seeds, C)."""
        if name not in self.accuracy:
            raise ValueError(f"name must be one of {', '.join(self.accuracy)}, got {name!r}.")
        return self.accuracy[name][:, self.plan.at("rhos", rho)]

    def balanced(self, name: str, rho: float) -> Vectors:
        """Mean accuracy over classes, shape (seeds,)."""
        return np.asarray(self.by_class(name, rho).mean(axis=1))

    def k_curve(self, *, blind: bool = False) -> Vectors:
        """Balanced accuracy over the number of prototypes and the budget, shape (seeds, K, rhos)."""
        word = "blind" if blind else "top"
        return np.stack([self.accuracy[f"{word} {k}"].mean(axis=2) for k in self.k_grid], axis=1)


def run_variants(
    task: Task, plan: Plan, *, k_grid: tuple[int, ...], progress: Progress | None = None
) -> Variants:
    """All conditions that the claims and their controls need.

    Args:
        task: the embeddings; its pools must include "noise".
        plan: of the comparison; its first ratio must be 1.
        k_grid: numbers of prototypes, ascending, starting with 1.
        progress: wraps the iteration over conditions, called with (conditions, total).

    Returns:
        Accuracies by condition. Conditions named "permuted ...", "pool ...", "window" and "absurd window" are
        imbalanced, "top k", "blind k", "pooled mean" and "ten" are balanced.

    Raises:
        ValueError: no pool of noise, no balanced ratio, or a grid that does not start with 1.
    """
    if "noise" not in task.pools:
        raise ValueError(f"pools must include 'noise', a control, got {', '.join(task.pools)}.")
    if plan.ratios[0] != 1 or k_grid[:1] != (1,):
        raise ValueError(
            f"the ratios must start with 1 and k_grid with 1, got {plan.ratios} and {k_grid}: both are compared with."
        )
    conditions = _conditions(task, plan, k_grid)
    steps: Iterable[str] = conditions if progress is None else progress(list(conditions), len(conditions))
    return Variants(plan, k_grid, {name: _repeated(task, *conditions[name]) for name in steps})


def _conditions(
    task: Task, plan: Plan, k_grid: tuple[int, ...]
) -> dict[str, tuple[Plan, float, bool, Measure]]:
    """Plan, ratio, whether labels are dealt out, and the measure, by name."""

    def public(**options: Any) -> Measure:
        return lambda trial: public_accuracies(trial, task, plan, **options)

    def mean(**options: Any) -> Measure:
        return lambda trial: mean_accuracies(trial, task, plan, **options)

    few = replace(plan, largest=FEW, ratios=(1.0,))
    ten: Measure = lambda trial: public_accuracies(trial, task, few)  # noqa: E731
    rare = plan.ratios[-1]
    found: dict[str, tuple[Plan, float, bool, Measure]] = {"permuted": (plan, rare, True, public())}
    for name in task.pools:
        found[f"pool {name}"] = plan, rare, False, public(pool=name)
    found["window"] = plan, rare, False, public(window=WINDOW)
    found["absurd window"] = plan, rare, False, public(window=ABSURD)
    for k in k_grid:
        found[f"top {k}"] = plan, 1.0, False, public(k=k)
        found[f"blind {k}"] = plan, 1.0, False, public(k=k, blind=True)
    found["permuted coinpress"] = plan, rare, True, mean(estimator="coinpress")
    found["permuted naive"] = plan, rare, True, mean(estimator="naive")
    found["pooled mean"] = plan, 1.0, False, mean(estimator="coinpress", pool=4)
    found["ten"], found["ten permuted"] = (few, 1.0, False, ten), (few, 1.0, True, ten)
    return found


def _repeated(task: Task, plan: Plan, ratio: float, permute: bool, measure: Measure) -> Vectors:
    """A measure in all seeds, shape (seeds, rhos, C)."""
    return np.stack([measure(trial) for trial in trials(task, plan, ratio=ratio, permute=permute)])
