"""Accuracies of every method on one seed, at all budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.baselines import ClassMeans, NearestPublic
from trustlib.dppl.baselines_gradients import DPGlobalAdapt, DPLinearProbe
from trustlib.dppl.baselines_least_squares import DPLeastSquares
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.coinpress import clip_rows, coinpress_mean
from trustlib.dppl.comparison_plan import REFERENCES, Method, Plan, Trial, Vectors, Window
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.embeddings import pool_features
from trustlib.dppl.metrics import class_accuracies
from trustlib.dppl.planning import MeanEstimator, MeanPlan, plan_mean
from trustlib.dppl.scores import class_scores
from trustlib.dppl.selection import select_public
from trustlib.dppl.top_k import select_top_k
from trustlib.privacy import sample_gaussian


def method_accuracies(method: Method, trial: Trial, task: Task, plan: Plan) -> Vectors:
    """Accuracies of the classes at all budgets of the plan, shape (rhos, C)."""
    if method == "public":
        return public_accuracies(trial, task, plan)
    if method in ("coinpress", "naive", "auto"):
        return mean_accuracies(trial, task, plan, estimator=method)
    if method in REFERENCES:
        predicted = _reference(method, trial, task)
        return np.tile(
            class_accuracies(task.test_labels, predicted, classes=task.n_classes), (len(plan.rhos), 1)
        )
    found = []
    for rho in plan.rhos:
        options = plan.settings.get((method, trial.ratio, rho), {})
        model = make_baseline(method, PrivacyBudget(rho), options)
        model.fit(trial.X, trial.y, classes=range(task.n_classes), rng=trial.stream(plan, method, rho))
        predicted = model.predict(task.test)
        found.append(class_accuracies(task.test_labels, predicted, classes=task.n_classes))
    return np.array(found)


def public_accuracies(
    trial: Trial,
    task: Task,
    plan: Plan,
    *,
    pool: str | None = None,
    window: Window = (0.0, 2.0),
    k: int = 1,
    blind: bool = False,
) -> Vectors:
    """Accuracies of DPPL-Public (Top-K), averaged over draws, shape (rhos, C); scores are computed once.

    Args:
        trial: the private rows.
        task: for the pool and the test set.
        plan: for the budgets and the number of draws.
        pool: name of the public pool; None for the first.
        window: (d_min, d_max) of the score.
        k: prototypes per class; a test point goes to the class of its nearest one.
        blind: draw the sets without looking at the scores, a control.
    """
    candidates = task.pool if pool is None else task.pools[pool]
    scores = class_scores(
        trial.X, trial.y, candidates, classes=range(task.n_classes), d_min=window[0], d_max=window[1]
    )
    scores = np.zeros_like(scores) if blind else scores
    found = np.empty((len(plan.rhos), task.n_classes))
    for j, rho in enumerate(plan.rhos):
        rng = trial.stream(plan, f"public {pool} {window} {k} {blind}", rho)
        options: dict[str, Any] = {"epsilon": PrivacyBudget(rho).em_epsilon, "adjacency": "add_remove"}
        if k == 1:
            chosen = select_public(scores, **options, rng=rng, size=plan.n_draws)[..., None]
        else:
            chosen = select_top_k(scores, k=k, **options, rng=rng, size=plan.n_draws)
        found[j] = _vote(task, candidates[chosen])
    return found


def mean_accuracies(
    trial: Trial, task: Task, plan: Plan, *, estimator: MeanEstimator, pool: int = 1
) -> Vectors:
    """Accuracies of a private mean per class, averaged over draws, shape (rhos, C).

    Embeddings have length 1, so 1 / sqrt(d) is the public scale of a coordinate, and no mean is longer than 1.
    """
    X, test = trial.X, task.test
    if pool > 1:
        X, test = (np.asarray(pool_features(v, pool=pool)) for v in (X, test))
    d, found = X.shape[1], np.empty((len(plan.rhos), task.n_classes))
    for j, rho in enumerate(plan.rhos):
        rng = trial.stream(plan, f"mean {estimator} {pool}", rho)
        means = np.empty((plan.n_draws, task.n_classes, 1, d))
        for c in range(task.n_classes):
            rows = X[trial.y == c]
            chosen = plan_mean(
                len(rows), d, budget=PrivacyBudget(rho), estimator=estimator, clip_norm=1.0, radius=1.0, unit=d**-0.5
            )  # fmt: skip
            for draw in means[:, c, 0]:
                draw[:] = _private_mean(rows, chosen, rng)
        found[j] = _vote(task, means, test)
    return found


def _private_mean(rows: Vectors, chosen: MeanPlan, rng: np.random.Generator) -> Vectors:
    """One release of the mean of a class, shape (d,)."""
    if chosen.schedule is None:
        noise = sample_gaussian(chosen.sigma, rows.shape[1], rng=rng)
        return np.asarray(clip_rows(rows, chosen.clip).mean(axis=0) + noise)
    return chosen.unit * coinpress_mean(rows / chosen.unit, schedule=chosen.schedule, rng=rng)


def _vote(task: Task, prototypes: Vectors, test: Vectors | None = None) -> Vectors:
    """Accuracies of the nearest of K prototypes per class, (draws, C, K, d) to (C,), averaged over draws."""
    points = (task.test if test is None else test).astype(np.float32)
    draws, classes, k, d = prototypes.shape
    flat = prototypes.reshape(-1, d)
    flat = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    cosines = (points @ flat.T).reshape(len(points), draws, classes, k)
    predicted = cosines.max(axis=3).argmax(axis=2).T
    return np.asarray(class_accuracies(task.test_labels, predicted, classes=classes).mean(axis=0))


def make_baseline(
    method: str, budget: PrivacyBudget, options: Mapping[str, Any]
) -> DPLinearProbe | DPGlobalAdapt | DPLeastSquares:
    """An unfitted baseline for embeddings of length 1."""
    kinds = {"dp_sgd": DPLinearProbe, "global_adapt": DPGlobalAdapt, "least_squares": DPLeastSquares}
    return kinds[method](budget, clip_norm=1.0, **options)


def _reference(method: str, trial: Trial, task: Task) -> NDArray[np.int64]:
    """Predictions without privacy, shape (m,)."""
    classes = range(task.n_classes)
    if method == "class_means":
        return ClassMeans().fit(trial.X, trial.y, classes=classes).predict(task.test)
    if method == "nearest_public":
        return NearestPublic().fit(trial.X, trial.y, task.pool, classes=classes).predict(task.test)
    from trustlib.encoders import linear_probe

    return linear_probe(trial.X, trial.y, task.test, task.test_labels).predicted
