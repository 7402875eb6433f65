"""Samples for the claim on encoders and data sets: the gap on rare classes in every combination."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trustlib.dppl.comparison import compare
from trustlib.dppl.comparison_methods import public_accuracies
from trustlib.dppl.comparison_plan import Method, Plan, Vectors, trials
from trustlib.dppl.comparison_settings import choose_settings
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.evidence import GRADIENTS, TIGHT, Evidence
from trustlib.dppl.metrics import group_accuracy

if TYPE_CHECKING:
    import pandas as pd


def combination_gaps(
    tasks: Mapping[str, Task],
    plan: Plan,
    *,
    n_tuning: int = 5,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> pd.DataFrame:
    """Minority accuracy of DPPL-Public and of the better private gradient method in every combination.

    Args:
        tasks: by name of data set and encoder.
        plan: grids and seeds; the largest ratio and rho = .5 are used, and as many rows as a data set has.
        n_tuning: draws on which settings of the gradient methods are judged, >= 1.
        progress: wraps the iteration over tasks, called with (names, total).

    Returns:
        One row per combination and seed: combination, seed, public, gradients, permuted (minority accuracies), chance.
    """
    import pandas as pd

    pieces = []
    names: Iterable[str] = tasks if progress is None else progress(list(tasks), len(tasks))
    for name in names:
        task = tasks[name]
        rows = int(np.bincount(task.private_labels, minlength=task.n_classes).min())
        small = replace(
            plan, rhos=(TIGHT,), ratios=plan.ratios[-1:], largest=min(plan.largest, rows), settings={}
        )
        small = replace(small, settings=choose_settings(task, small, n_seeds=n_tuning, methods=GRADIENTS))
        pieces.append(
            pd.DataFrame({"combination": name, "seed": range(plan.n_seeds), **_minorities(task, small)})
        )
    return pd.concat(pieces, ignore_index=True)


def combinations(gaps: pd.DataFrame) -> Evidence:
    """Samples for dppl-12: the gap of every combination over gradients and chance, averaged over seeds."""
    means = gaps.groupby("combination", sort=False)[["public", "gradients", "permuted", "chance"]].mean()
    least = means[["gradients", "chance"]].max(axis=1)
    gap, control = means["public"] - least, means["permuted"] - least
    return Evidence({"combinations": gap.to_numpy()}, {"permuted_labels": control.to_numpy()})


def _minorities(task: Task, plan: Plan) -> dict[str, Vectors]:
    """Minority accuracies by kind of method, each of shape (seeds,)."""
    methods: tuple[Method, ...] = ("public", *GRADIENTS)
    found, at = compare(task, plan, methods=methods), {"ratio": plan.ratios[0], "rho": TIGHT}
    gradients = np.max([found.minority(method, **at) for method in GRADIENTS], axis=0)
    dealt = [public_accuracies(trial, task, plan)[0] for trial in trials(task, plan, permute=True)]
    pairs = zip(dealt, found.groups, strict=True)
    permuted = np.array([group_accuracy(a, sizes, group="minority") for a, sizes in pairs])
    chance = np.full(plan.n_seeds, 1 / task.n_classes)
    public = found.minority("public", **at)
    return {"public": public, "gradients": gradients, "permuted": permuted, "chance": chance}
