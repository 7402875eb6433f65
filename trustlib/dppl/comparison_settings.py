"""Settings of the baselines, chosen on labelled public embeddings, so that the choice costs no privacy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.comparison_methods import make_baseline
from trustlib.dppl.comparison_plan import Plan, Settings, Trial, trials
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.metrics import balanced_accuracy

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "dp_sgd": {"steps": (10, 40), "learning_rate": (2.0, 8.0, 32.0, 128.0)},
    "global_adapt": {"steps": (10, 40), "learning_rate": (2.0, 8.0, 32.0, 128.0)},
    "least_squares": {"alpha": (0.1, 1.0), "regularization": (0.1, 0.3, 1.0)},
}


def choose_settings(
    task: Task,
    plan: Plan,
    *,
    n_seeds: int = 1,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> Settings:
    """The best settings of every baseline for every ratio and budget, by balanced accuracy on public embeddings.

    The labelled public embeddings play the private part: half of them trains with classes in the same proportions,
    half scores. With fewer rows per class than the private set has, rho is raised by the square of the factor, so that
    noise keeps its size relative to the data. Nothing private is looked at; prototype methods get no such help.

    Args:
        task: with labelled public embeddings (``proxy``).
        plan: grids, sizes and seed.
        n_seeds: draws over which a setting is judged.
        progress: wraps the iteration over ratios and seeds, called with (steps, total).

    Returns:
        Arguments by method, ratio and rho, for `Plan.settings`.

    Raises:
        ValueError: no labelled public embeddings, or too few of some class.

    Source: this book. The paper tunes baselines per data set and encoder; how is not known.
    """
    counts = np.bincount(task.proxy_labels, minlength=task.n_classes)
    largest = min(int(counts.min()) // 2, plan.largest)
    if largest < plan.ratios[-1]:
        raise ValueError(
            f"choosing settings at ratio {plan.ratios[-1]:g} needs twice as many labelled public embeddings of every "
            f"class, got {counts.min()} of one. Use a larger pool or a smaller ratio."
        )
    train, score = _halves(task)
    stand_in = replace(
        task, private=task.proxy[train], private_labels=task.proxy_labels[train],
        test=task.proxy[score], test_labels=task.proxy_labels[score],
    )  # fmt: skip
    smaller = replace(plan, largest=largest, n_seeds=n_seeds, seed=plan.seed + 1)
    totals: dict[tuple[str, float, float], np.ndarray] = {}
    source: Iterable[Trial] = trials(stand_in, smaller)
    source = source if progress is None else progress(source, n_seeds * len(plan.ratios))
    for trial in source:
        for method, grid in GRIDS.items():
            for rho in plan.rhos:
                found = _grid_accuracies(method, grid, trial, stand_in, smaller, rho, plan.largest / largest)
                key = (method, trial.ratio, rho)
                totals[key] = totals.get(key, 0.0) + found
    return {key: _combinations(GRIDS[key[0]])[int(total.argmax())] for key, total in totals.items()}


def _halves(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the first and second half of every class of the labelled public embeddings."""
    order = np.argsort(task.proxy_labels, kind="stable")
    parts = np.array_split(order, np.flatnonzero(np.diff(task.proxy_labels[order])) + 1)
    first = [part[: (len(part) + 1) // 2] for part in parts]
    second = [part[(len(part) + 1) // 2 :] for part in parts]
    return np.concatenate(first), np.concatenate(second)


def _combinations(grid: dict[str, tuple[float, ...]]) -> list[dict[str, float]]:
    """All settings of a grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def _grid_accuracies(
    method: str,
    grid: dict[str, tuple[float, ...]],
    trial: Trial,
    task: Task,
    plan: Plan,
    rho: float,
    factor: float,
) -> np.ndarray:
    """Balanced accuracy of every setting, at a budget scaled to the smaller set."""
    budget, rng = PrivacyBudget(rho * factor**2), trial.stream(plan, f"settings {method}", rho)
    found = []
    for options in _combinations(grid):
        model = make_baseline(method, budget, options)
        model.fit(trial.X, trial.y, classes=range(task.n_classes), rng=rng)
        found.append(balanced_accuracy(task.test_labels, model.predict(task.test), classes=task.n_classes))
    return np.array(found)
