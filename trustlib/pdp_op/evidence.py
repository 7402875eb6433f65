"""Samples for the chapter's claims: one value per split and statistic, and the controls beside them.

What each statistic is, and the rule that it is put through, stands in ``book/claims.yml``; nothing is decided here.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trustlib.pdp_op.audit import Fault, audit_ridge, corner_losses, removal_loss
from trustlib.pdp_op.calibration import Bounds, noise_rate
from trustlib.pdp_op.comparison import (
    Method,
    Plan,
    Problem,
    Trial,
    equal_levels,
    method_losses,
    null_values,
    trials,
    two_point_levels,
    with_preferences,
)
from trustlib.pdp_op.normal_equations import normal_equations
from trustlib.pdp_op.planning import excess_bound
from trustlib.privacy import sample_l2_laplace, sample_laplace

Vector = NDArray[np.float64]

# The small settings that are enumerated in full: features, levels of the people, lambda.
SETTINGS = tuple(
    itertools.product((1, 2, 3), ((0.1, 1.0), (0.5, 0.5), (0.1, 0.5, 1.0)), (0.01, 0.1, 1.0, 10.0))
)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)  # of conservative people


@dataclass(frozen=True)
class Evidence:
    """Samples of one claim.

    Args:
        parts: samples by the name of the statistic.
        controls: samples by the name of the control.
    """

    parts: dict[str, Vector]
    controls: dict[str, Vector]


def guarantee(*, seed: int, n_releases: int, bounds: Bounds = "paper") -> Evidence:
    """Samples for pdp_op-1: exact losses of all small settings, and audits of single people.

    Args:
        seed: of the audits.
        n_releases: releases per audited table and half.
        bounds: "paper" or "tight".

    Returns:
        loss_ratio over settings and audit over people, with the broken mechanisms as controls.
    """
    audit = _audit_ratios(seed, n_releases, bounds, "none")
    broken: tuple[Fault, ...] = ("labels_out_of_range", "uniform_weights", "coordinate_laplace")
    controls: dict[str, Vector] = {fault: _corner_ratios(bounds, fault) for fault in broken}
    removed = [np.max(removal_loss(e, lam, dim=d, distance=1e3) / np.array(e)) for d, e, lam in SETTINGS]
    controls["add_remove"] = np.array(removed)
    controls["undersized_noise"] = _audit_ratios(seed, n_releases, bounds, "undersized_noise")
    return Evidence({"loss_ratio": _corner_ratios(bounds, "none"), "audit": audit}, controls)


def accuracy(problem: Problem, plan: Plan, *, n_releases: int) -> Evidence:
    """Samples for pdp_op-2: simulated excess of the objective against its bound and closed form, and its slope.

    Args:
        problem: the table.
        plan: splits, draws and grid; the grid must hold lambda = 1.
        n_releases: simulated releases per draw.

    Returns:
        excess_to_bound, simulated_to_exact and slope, one value per split.
    """
    one = plan.at(1.0)
    rows = [_excess_row(trial, problem, plan, n_releases) for trial in trials(problem, plan)]
    simulated, exact, bound, minimum, laplace = (np.array(column) for column in zip(*rows, strict=True))
    parts = {
        "excess_to_bound": _per_split(simulated / bound, plan).max(axis=1),
        "simulated_to_exact": _per_split(simulated / exact, plan)[:, one],
    }
    controls = {
        "noise_of_the_minimum": _per_split(minimum / bound, plan).max(axis=1),
        "coordinate_laplace": _per_split(laplace / exact, plan)[:, one],
    }
    parts["slope"], controls["fixed_total"] = _slopes(problem, plan)
    return Evidence(parts, controls)


def against_uniform(problem: Problem, plan: Plan, *, n_releases: int) -> Evidence:
    """Samples for pdp_op-3: what the smallest level for all costs, simulated and in expectation, at lambda = 1.

    Args:
        problem: the table.
        plan: splits and draws; the grid must hold lambda = 1.
        n_releases: simulated releases per draw.

    Returns:
        ratio_to_prediction and gain, one value per split.
    """
    one = plan.at(1.0)
    ratio, unsquared = [], []
    for trial in trials(problem, plan):
        excess = [
            _simulated_noise(m, trial, problem, plan, one, n_releases) for m in ("uniform_min", "pdp_op")
        ]
        prediction = trial.epsilon.mean() / trial.epsilon.min()
        ratio.append(excess[0] / excess[1] / prediction**2)
        unsquared.append(excess[0] / excess[1] / prediction)
    gain = _loss_ratio(problem, plan, "uniform_min")[:, one]
    same = _loss_ratio(problem, plan, "uniform_min", change=equal_levels)[:, one]
    return Evidence(
        {"ratio_to_prediction": _per_split(np.array(ratio), plan), "gain": gain},
        {"unsquared_prediction": _per_split(np.array(unsquared), plan), "equal_epsilon": same},
    )


def against_sampling(problem: Problem, plan: Plan) -> Evidence:
    """Samples for pdp_op-4: noise and loss of the sampling baselines relative to PDP-OP at lambda = 1.

    Args:
        problem: the table.
        plan: splits and draws; the grid must hold lambda = 1.

    Returns:
        noise_max, noise_avg, loss_max, loss_avg, one value per split.
    """
    one = plan.at(1.0)
    noise = {w: _ratio(problem, plan, f"sample_{w}", "noise")[:, one] for w in ("max", "mean")}
    loss = {w: _loss_ratio(problem, plan, f"sample_{w}")[:, one] for w in ("max", "mean")}
    two, same = two_point_levels, equal_levels
    return Evidence(
        {
            "noise_max": noise["max"],
            "noise_avg": noise["mean"],
            "loss_max": loss["max"],
            "loss_avg": loss["mean"],
        },
        {
            "two_point": _ratio(problem, plan, "sample_max", "noise", change=two)[:, one],
            "equal_epsilon": _ratio(problem, plan, "sample_mean", "noise", change=same)[:, one],
            "two_point_loss": _loss_ratio(problem, plan, "sample_max", change=two)[:, one],
            "equal_epsilon_loss": _loss_ratio(problem, plan, "sample_mean", change=same)[:, one],
        },
    )


def variability(problem: Problem, plan: Plan) -> Evidence:
    """Samples for pdp_op-5: standard deviations relative to PDP-OP, the smallest over the grid of lambda.

    Args:
        problem: the table.
        plan: splits, draws and grid.

    Returns:
        std_min, std_max, std_avg, one value per split.
    """

    def smallest(method: str, change: Callable[[Vector], Vector] | None = None) -> Vector:
        return _ratio(problem, plan, method, "std", change=change).min(axis=1)

    return Evidence(
        {
            "std_min": smallest("uniform_min"),
            "std_max": smallest("sample_max"),
            "std_avg": smallest("sample_mean"),
        },
        {
            "equal_epsilon": smallest("uniform_min", equal_levels),
            "two_point": smallest("sample_max", two_point_levels),
            "equal_epsilon_avg": smallest("sample_mean", equal_levels),
        },
    )


def gain_map(
    problem: Problem,
    plan: Plan,
    *,
    sizes: tuple[float, ...],
    change: Callable[[Vector], Vector] | None = None,
) -> Vector:
    """Loss of sampling at max epsilon divided by that of PDP-OP over conservative shares, sizes and lambda.

    Args:
        problem: the table.
        plan: splits, draws and grid.
        sizes: shares of the training rows to use, in (0, 1]; the last one must be 1.
        change: applied to the levels, for controls.

    Returns:
        Shape (shares, sizes, splits, lambdas).
    """
    rows = len(problem.y) - max(1, round(plan.test_share * len(problem.y)))
    found = []
    for share in SHARES:
        liberal = min(plan.preferences.pragmatic, 1 - share)
        shifted = with_preferences(plan, conservative=share, pragmatic=liberal)
        sized = [replace(shifted, n_train=max(2, round(size * rows))) for size in sizes]
        found.append([_ratio(problem, p, "sample_max", "mean", change=change) for p in sized])
    return np.array(found)


def diversity(problem: Problem, plan: Plan, gains: Vector) -> Evidence:
    """Samples for pdp_op-6 from a map of gains whose last size is all rows.

    Args:
        problem: the table.
        plan: the plan of the map; the grid must hold lambda = 1.
        gains: the result of `gain_map`.

    Returns:
        smallest_gain and trend, one value per split.
    """
    one = plan.at(1.0)
    same = gain_map(problem, plan, sizes=(1.0,), change=equal_levels)
    huge = gain_map(problem, replace(plan, lambdas=(1000.0,)), sizes=(1.0,))
    return Evidence(
        {"smallest_gain": gains.min(axis=(0, 1, 3)), "trend": _trend(gains[:, -1, :, one])},
        {
            "roles_swapped": (1 / gains).min(axis=(0, 1, 3)),
            "equal_epsilon": _trend(same[:, 0, :, one]),
            "huge_lambda": _trend(huge[:, 0, :, 0]),
        },
    )


def effectiveness(problem: Problem, plan: Plan) -> tuple[Vector, Vector]:
    """Best expected loss of PDP-OP over lambda, relative to the personalised private mean; and with permuted targets.

    Args:
        problem: the table.
        plan: splits, draws, grid and bounds.

    Returns:
        Two vectors with one value per split.
    """
    return _relative_loss(problem, plan, permute=False), _relative_loss(problem, plan, permute=True)


def tight_guarantee() -> Evidence:
    """Exact losses of all small settings with the tight bounds, and with a sensitivity four times too small."""
    parts = {"loss_ratio": _corner_ratios("tight", "none")}
    return Evidence(parts, {"quartered_sensitivity": _corner_ratios("tight", "quartered_sensitivity")})


# ------------------------------------------------------------------------------------------------------ statistics


def _corner_ratios(bounds: Bounds, fault: Fault) -> Vector:
    """Largest loss over level in every small setting."""
    return np.array([corner_losses(d, e, lam, bounds=bounds, fault=fault).ratio for d, e, lam in SETTINGS])


def _audit_ratios(seed: int, n_releases: int, bounds: Bounds, fault: Fault) -> Vector:
    """Audit bound over level for four people with different levels, at a lambda that makes the bound nearly sharp."""
    rng = np.random.default_rng([seed, 3])
    people = (0.1, 0.5, 1.0, 2.0)
    found = audit_ridge(
        people,
        10.0,
        dim=2,
        bounds=bounds,
        people=range(4),
        n_releases=n_releases,
        confidence=0.95,
        rng=rng,
        fault=fault,
    )
    return found["ratio"].to_numpy()


def _per_split(values: Vector, plan: Plan) -> Vector:
    """Means over the draws of each split: (splits * draws, ...) to (splits, ...)."""
    return values.reshape(plan.n_splits, plan.n_draws, *values.shape[1:]).mean(axis=1)


def _table(
    problem: Problem, plan: Plan, method: str, value: str, change: Callable[[Vector], Vector] | None
) -> Vector:
    """One moment of one method for every trial and lambda, shape (splits * draws, k)."""
    found = []
    for trial in trials(problem, plan, change=change):
        found.append(getattr(method_losses(method, trial, problem, plan), value))  # type: ignore[arg-type]
    return np.array(found)


def _ratio(
    problem: Problem, plan: Plan, method: str, value: str, change: Callable[[Vector], Vector] | None = None
) -> Vector:
    """A moment of a baseline over that of PDP-OP, mean over draws, shape (splits, k)."""
    other = _table(problem, plan, method, value, change)
    return _per_split(other / _table(problem, plan, "pdp_op", value, change), plan)


def _loss_ratio(
    problem: Problem, plan: Plan, method: str, change: Callable[[Vector], Vector] | None = None
) -> Vector:
    """Expected loss of a baseline over that of PDP-OP, geometric mean over draws, shape (splits, k)."""
    other = _table(problem, plan, method, "mean", change)
    own = _table(problem, plan, "pdp_op", "mean", change)
    return np.exp(_per_split(np.log(other / own), plan))


def _excess_row(trial: Trial, problem: Problem, plan: Plan, n_releases: int) -> tuple[Vector, ...]:
    """Excess of the objective over the grid: simulated, exact, bound, at the minimum, with coordinate noise."""
    level, dim = trial.epsilon, problem.dim
    gram = normal_equations(trial.X, trial.y, level / level.sum()).gram
    public = {"x_norm": problem.x_norm, "y_bound": problem.y_bound}
    rows = []
    for lam in plan.lambdas:
        curvature = gram + lam * np.eye(dim)
        eta = noise_rate(level, lam, **public, bounds=plan.bounds)
        low = noise_rate(np.full(len(level), level.min()), lam, **public, bounds=plan.bounds)
        noise = sample_l2_laplace(1.0, dim, size=n_releases, rng=trial.rng)
        unit = float(np.einsum("ni,ij,nj->", noise, curvature, noise) / n_releases)
        square = sample_laplace(1.0 / eta, dim, size=n_releases, rng=trial.rng)
        planted = float(np.einsum("ni,ij,nj->", square, curvature, square) / n_releases)
        exact = (dim + 1) / eta**2 * float(np.trace(curvature))
        bound = excess_bound(level, lam, dim=dim, **public, bounds=plan.bounds)
        rows.append((unit / eta**2, exact, bound, unit / low**2, planted))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def _slopes(problem: Problem, plan: Plan) -> tuple[Vector, Vector]:
    """Slope of log expected excess on log total budget over conservative shares, and at one common total."""
    logs: dict[int, list[tuple[float, float, float]]] = {s: [] for s in range(plan.n_splits)}
    for share in SHARES:
        shifted = with_preferences(
            plan, conservative=share, pragmatic=min(plan.preferences.pragmatic, 1 - share)
        )
        for trial in trials(problem, shifted):
            total = float(trial.epsilon.sum())
            excess = _exact_excess(trial, problem, plan, trial.epsilon)
            common = trial.epsilon * (len(trial.epsilon) * plan.preferences.mean / total)
            fixed = _exact_excess(trial, problem, plan, common)
            logs[trial.split].append((np.log(total), np.log(excess), np.log(fixed)))
    tables = [np.array(logs[s]) for s in range(plan.n_splits)]
    slopes = [[float(np.polyfit(t[:, 0], t[:, k], 1)[0]) for t in tables] for k in (1, 2)]
    return np.array(slopes[0]), np.array(slopes[1])


def _exact_excess(trial: Trial, problem: Problem, plan: Plan, level: Vector) -> float:
    """Expected excess of the objective at lambda = 1."""
    gram = normal_equations(trial.X, trial.y, level / level.sum()).gram
    eta = noise_rate(level, 1.0, x_norm=problem.x_norm, y_bound=problem.y_bound, bounds=plan.bounds)
    return (problem.dim + 1) / eta**2 * float(np.trace(gram) + problem.dim)


def _simulated_noise(
    method: Method, trial: Trial, problem: Problem, plan: Plan, at: int, n_releases: int
) -> float:
    """Simulated increase of the test loss through noise: antithetic pairs cancel the linear term exactly."""
    level = trial.epsilon if method == "pdp_op" else np.full(len(trial.epsilon), trial.epsilon.min())
    public = {"x_norm": problem.x_norm, "y_bound": problem.y_bound, "bounds": plan.bounds}
    eta = noise_rate(level, plan.lambdas[at], **public)  # type: ignore[arg-type]
    noise = sample_l2_laplace(eta, problem.dim, size=n_releases, rng=trial.rng)
    return float(np.einsum("ni,ij,nj->", noise, trial.test.gram, noise) / n_releases)


def _trend(gains: Vector) -> Vector:
    """Slope of the log gain on the conservative share, shape (shares, splits) to (splits,)."""
    return np.polyfit(np.array(SHARES), np.log(gains), 1)[0]


def _relative_loss(problem: Problem, plan: Plan, *, permute: bool) -> Vector:
    """Best mean loss over lambda relative to the private mean, one value per split."""
    own, null = [], []
    for trial in trials(problem, plan, permute=permute):
        own.append(method_losses("pdp_op", trial, problem, plan).mean)
        null.append(null_values(trial, problem)["private_mean"])
    return _per_split(np.array(own), plan).min(axis=1) / _per_split(np.array(null), plan)
