"""All methods at equal zCDP on the same embeddings: over budgets, imbalance ratios and seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.comparison_methods import method_accuracies
from trustlib.dppl.comparison_plan import LABELS, METHODS, REFERENCES, Method, Plan, Trial, Vectors, trials
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.metrics import group_accuracy, imbalance_slope

if TYPE_CHECKING:
    import pandas as pd


EVERY_METHOD: tuple[Method, ...] = (*METHODS, *REFERENCES)


@dataclass(frozen=True)
class Comparison:
    """Accuracies of all classes under all methods.

    Args:
        plan: what was compared.
        methods: their names.
        accuracy: shape (methods, ratios, rhos, seeds, C), in [0, 1].
        sizes: private rows by class, int64 (ratios, seeds, C).
        groups: sizes at the largest ratio, int64 (seeds, C).
    """

    plan: Plan
    methods: tuple[Method, ...]
    accuracy: Vectors
    sizes: NDArray[np.int64]
    groups: NDArray[np.int64]

    def by_class(self, method: Method, *, ratio: float, rho: float) -> Vectors:
        """Accuracies of the classes, shape (seeds, C)."""
        if method not in self.methods:
            raise ValueError(f"method must be one of {', '.join(self.methods)}, got {method!r}.")
        place = self.plan.at("ratios", ratio), self.plan.at("rhos", rho)
        return np.asarray(self.accuracy[self.methods.index(method)][place])

    def balanced(self, method: Method, *, ratio: float, rho: float) -> Vectors:
        """Mean accuracy over classes, shape (seeds,)."""
        return np.asarray(self.by_class(method, ratio=ratio, rho=rho).mean(axis=1))

    def minority(self, method: Method, *, ratio: float, rho: float) -> Vectors:
        """Mean accuracy of the quarter of classes that are smallest at the largest ratio, shape (seeds,)."""
        found = self.by_class(method, ratio=ratio, rho=rho)
        pairs = zip(found, self.groups, strict=True)
        return np.array([group_accuracy(a, g, group="minority") for a, g in pairs])

    def majority(self, method: Method, *, ratio: float, rho: float) -> Vectors:
        """The same for the quarter of classes that are largest at the largest ratio."""
        found = self.by_class(method, ratio=ratio, rho=rho)
        pairs = zip(found, self.groups, strict=True)
        return np.array([group_accuracy(a, g, group="majority") for a, g in pairs])

    def slope(self, method: Method, *, ratio: float, rho: float) -> Vectors:
        """Slope of the accuracies on the logarithm of the sizes at the largest ratio, shape (seeds,)."""
        found = self.by_class(method, ratio=ratio, rho=rho)
        return np.array([imbalance_slope(a, g) for a, g in zip(found, self.groups, strict=True)])

    def to_frame(self) -> pd.DataFrame:
        """Long form: method, ratio, rho, seed, balanced, minority, majority."""
        import pandas as pd

        pieces = []
        for method in self.methods:
            for ratio in self.plan.ratios:
                for rho in self.plan.rhos:
                    at = {"ratio": ratio, "rho": rho}
                    values = {"seed": range(self.plan.n_seeds), "balanced": self.balanced(method, **at)}
                    values["minority"] = self.minority(method, **at)
                    values["majority"] = self.majority(method, **at)
                    pieces.append(pd.DataFrame({"method": method, **at, **values}))
        return pd.concat(pieces, ignore_index=True)


def compare(
    task: Task,
    plan: Plan,
    *,
    methods: tuple[Method, ...] = EVERY_METHOD,
    progress: Callable[[Iterator[Trial], int], Iterator[Trial]] | None = None,
) -> Comparison:
    """Every method at every budget, ratio and seed, each spending the same rho.

    Args:
        task: the embeddings.
        plan: grids, sizes and seeds.
        methods: which; references without privacy do not depend on the budget, except that "noise_off" takes the
            settings that DP-SGD has there.
        progress: wraps the iteration, called with (trials, total); None for no progress display.

    Returns:
        The accuracies.

    Raises:
        ValueError: an unknown method, or a plan that does not fit the task.
    """
    unknown = [m for m in methods if m not in LABELS]
    if unknown:
        raise ValueError(f"methods must be among {', '.join(LABELS)}, got {unknown[0]!r}.")
    shape = (len(methods), len(plan.ratios), len(plan.rhos), plan.n_seeds, task.n_classes)
    accuracy = np.empty(shape)
    sizes = np.empty((len(plan.ratios), plan.n_seeds, task.n_classes), dtype=np.int64)
    groups = np.empty(sizes.shape[1:], dtype=np.int64)
    source = trials(task, plan)
    for trial in source if progress is None else progress(source, plan.n_seeds * len(plan.ratios)):
        r, s = plan.ratios.index(trial.ratio), trial.number
        sizes[r, s], groups[s] = trial.sizes, trial.groups
        for m, method in enumerate(methods):
            accuracy[m, r, :, s] = method_accuracies(method, trial, task, plan)
    return Comparison(plan, methods, accuracy, sizes, groups)
