"""Accuracies of every method on one seed, at all budgets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.baselines import ClassMeans, NearestPublic
from trustlib.dppl.baselines_dp_sgd import DPLinearProbe, NoiseFreeProbe
from trustlib.dppl.baselines_global_adapt import DPGlobalAdapt
from trustlib.dppl.baselines_least_squares import DPLeastSquares
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.coinpress import coinpress_mean
from trustlib.dppl.comparison_plan import REFERENCES, Method, Plan, Trial, Vectors, Window
from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.embeddings import best_device, pool_features, unit_rows
from trustlib.dppl.metrics import class_accuracies
from trustlib.dppl.planning import MeanEstimator, plan_mean
from trustlib.dppl.scores import class_scores
from trustlib.dppl.selection import select_public
from trustlib.dppl.top_k import select_top_k
from trustlib.privacy import gaussian_sigma, sample_gaussian


def method_accuracies(method: Method, trial: Trial, task: Task, plan: Plan) -> Vectors:
    """Accuracies of the classes at all budgets of the plan, shape (rhos, C)."""
    if method == "public":
        return public_accuracies(trial, task, plan)
    if method in ("coinpress", "naive", "auto"):
        return mean_accuracies(trial, task, plan, estimator=method)
    if method == "noise_off":
        return _noise_off_accuracies(trial, task, plan)
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

    Rows have length 1, after pooling too, so 1 / sqrt(d) is the public scale of a coordinate, and no mean is longer
    than 1. "naive" is a noisy sum under add or remove, as the other baselines are counted; a cosine asks for its
    direction only. "coinpress" and "auto" divide by public class sizes: one record is exchanged.
    """
    X, test = trial.X, task.test
    if pool > 1:
        X, test = (unit_rows(pool_features(v, pool=pool)) for v in (X, test))
    found = np.empty((len(plan.rhos), task.n_classes))
    for j, rho in enumerate(plan.rhos):
        rng, budget = trial.stream(plan, f"mean {estimator} {pool}", rho), PrivacyBudget(rho)
        means = [
            _private_means(X[trial.y == c], budget, estimator, plan.n_draws, rng)
            for c in range(task.n_classes)
        ]
        found[j] = _vote(task, np.stack(means, axis=1)[:, :, None], test)
    return found


def _private_means(
    rows: Vectors, budget: PrivacyBudget, estimator: MeanEstimator, draws: int, rng: np.random.Generator
) -> Vectors:
    """Releases of the mean of a class up to a factor, from rows (n, d) of length 1: shape (draws, d)."""
    n, d = rows.shape
    if estimator == "naive":
        sigma = gaussian_sigma(budget.to_zcdp(), sensitivity=1.0)
        return np.asarray(rows.sum(axis=0) + sample_gaussian(sigma, d, size=draws, rng=rng))
    public: dict[str, Any] = {"clip_norm": 1.0, "radius": 1.0, "unit": d**-0.5}
    chosen = plan_mean(n, d, budget=budget, estimator=estimator, **public)
    if chosen.schedule is None:
        return np.asarray(rows.mean(axis=0) + sample_gaussian(chosen.sigma, d, size=draws, rng=rng))
    scaled, unit = rows / chosen.unit, chosen.unit
    return np.stack([unit * coinpress_mean(scaled, schedule=chosen.schedule, rng=rng) for _ in range(draws)])


def _noise_off_accuracies(trial: Trial, task: Task, plan: Plan) -> Vectors:
    """Accuracies of the DP-SGD probe of every budget with its noise switched off, shape (rhos, C)."""
    settings = [dict(plan.settings.get(("dp_sgd", trial.ratio, rho), {})) for rho in plan.rhos]
    found: list[Vectors] = []
    for j, options in enumerate(settings):
        if options in settings[:j]:  # budgets that share their settings share the probe
            found.append(found[settings.index(options)])
            continue
        model = NoiseFreeProbe(clip_norm=1.0, device=best_device(), **options)
        predicted = model.fit(trial.X, trial.y, classes=range(task.n_classes)).predict(task.test)
        found.append(class_accuracies(task.test_labels, predicted, classes=task.n_classes))
    return np.stack(found)


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
    if method == "least_squares":
        return DPLeastSquares(budget, clip_norm=1.0, **options)
    if method == "global_adapt":
        return DPGlobalAdapt(budget, clip_norm=1.0, device=best_device(), **options)
    return DPLinearProbe(budget, clip_norm=1.0, engine="closed_form", device=best_device(), **options)


def _reference(method: str, trial: Trial, task: Task) -> NDArray[np.int64]:
    """Predictions without privacy, shape (m,)."""
    classes = range(task.n_classes)
    if method == "class_means":
        return ClassMeans().fit(trial.X, trial.y, classes=classes).predict(task.test)
    if method == "nearest_public":
        return NearestPublic().fit(trial.X, trial.y, task.pool, classes=classes).predict(task.test)
    from trustlib.encoders import linear_probe

    return linear_probe(trial.X, trial.y, task.test, task.test_labels).predicted
