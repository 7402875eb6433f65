"""Settings of the baselines, chosen on labelled public embeddings, so that no private record is looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from trustlib.dppl.baselines_gradients import GradientProbe, fit_together
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.comparison_methods import make_baseline
from trustlib.dppl.comparison_plan import LABELS, Plan, Settings, Trial, trials
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.metrics import balanced_accuracy

if TYPE_CHECKING:
    import pandas as pd

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "dp_sgd": {"steps": (40, 160, 640), "learning_rate": (2.0, 8.0, 32.0, 128.0)},
    "global_adapt": {"steps": (40, 160, 640), "learning_rate": (2.0, 8.0, 32.0, 128.0)},
    "least_squares": {"alpha": (0.1, 1.0), "regularization": (0.1, 0.3, 1.0)},
}


def choose_settings(
    task: Task,
    plan: Plan,
    *,
    n_seeds: int = 5,
    methods: Sequence[str] = tuple(GRIDS),
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> Settings:
    """The best settings of every baseline for every ratio and budget, by balanced accuracy on public embeddings.

    The labelled public embeddings play the private part: half of them trains with classes in the same proportions,
    half scores. With fewer rows per class than the private set has, rho is raised by the square of the factor, so that
    noise keeps its size relative to the data. All settings of a method meet the same noise in a draw. Nothing private
    is looked at, given the ratio and the largest class size, which are public; prototype methods get no such help.

    Args:
        task: with labelled public embeddings (``proxy``).
        plan: grids, sizes and seed.
        n_seeds: draws over which a setting is judged, >= 1.
        methods: for which baselines.
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
        for method in methods:
            found = _grid_accuracies(method, GRIDS[method], trial, stand_in, smaller, plan.largest / largest)
            for rho, accuracies in zip(plan.rhos, found, strict=True):
                key = (method, trial.ratio, rho)
                totals[key] = totals.get(key, 0.0) + accuracies
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
    method: str, grid: dict[str, tuple[float, ...]], trial: Trial, task: Task, plan: Plan, factor: float
) -> np.ndarray:
    """Balanced accuracies (rhos, settings) at budgets scaled to the smaller set, the same noise for all settings."""
    settings, public = _combinations(grid), {"classes": range(task.n_classes)}
    budgets = [PrivacyBudget(rho * factor**2) for rho in plan.rhos]
    models = [[make_baseline(method, budget, options) for options in settings] for budget in budgets]
    for j, rho in enumerate(plan.rhos if method == "least_squares" else ()):
        for model in models[j]:
            model.fit(trial.X, trial.y, **public, rng=trial.stream(plan, f"settings {method}", rho))
    for steps in grid.get("steps", ()):
        group = [m for row in models for m in row if isinstance(m, GradientProbe) and m.steps == steps]
        rng = trial.stream(plan, f"settings {method}", plan.rhos[0])
        fit_together(group, trial.X, trial.y, **public, rng=rng)
    predicted = np.array([[model.predict(task.test) for model in row] for row in models])
    return balanced_accuracy(task.test_labels, predicted, classes=task.n_classes)


def settings_table(settings: Settings, *, ratio: float) -> pd.DataFrame:
    """What was chosen at an imbalance ratio: one row per budget, one column per setting of each method.

    Args:
        settings: result of `choose_settings`.
        ratio: imbalance ratio.
    """
    import pandas as pd

    rows: dict[float, dict[tuple[str, str], float]] = {}
    for (method, at, rho), options in settings.items():
        if at == ratio:
            named = {(LABELS[method], name.replace("_", " ")): value for name, value in options.items()}
            rows.setdefault(rho, {}).update(named)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("ρ")


def longest_chosen(settings: Settings, *, ratio: float, rhos: Sequence[float]) -> tuple[int, int]:
    """How many choices for gradient methods take the largest number of steps of their grid, and of how many."""
    longest = [
        options["steps"] == max(GRIDS[method]["steps"])
        for (method, at, rho), options in settings.items()
        if at == ratio and rho in rhos and "steps" in options
    ]
    return sum(longest), len(longest)
