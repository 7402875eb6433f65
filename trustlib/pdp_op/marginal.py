"""What one more unit of epsilon from one person is worth to the model, exactly, with all that it changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.calibration import Bounds, noise_rate, norm_bound, personal_weights
from trustlib.pdp_op.checks import as_array, levels
from trustlib.pdp_op.normal_equations import NormalEquations, normal_equations


def marginal_value(
    X: ArrayLike,
    y: ArrayLike,
    epsilon: ArrayLike,
    evaluation: NormalEquations,
    *,
    lam: float,
    x_norm: float,
    y_bound: float,
    bounds: Bounds,
) -> NDArray[np.float64]:
    """How much expected loss one more unit of epsilon from each person saves: -d E MSE / d epsilon_i.

    Two effects add up. The noise shrinks for all: 2 (d+1) tr A / (eta^2 sum epsilon). The weights move towards person
    i: d theta / d epsilon_i = H^-1 (x_i r_i - lam theta) / sum epsilon, with H = X^T W X + lam I and r_i the residual.
    `marginal_noise` is the first part alone, which needs no data. The result depends on the data: it is for analysis.

    Args:
        X: training features, shape (n, d).
        y: training targets, shape (n,).
        epsilon: levels, shape (n,) or a number, > 0.
        evaluation: normal equations of the evaluation set, weights summing to 1.
        lam: lambda > 0.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight"; where the tight noise is set by the strictest person, only theirs moves it.

    Returns:
        Shape (n,), loss saved per unit of epsilon, in squared units of y; negative where a person's record, weighted
        more, would make the model worse than the noise that it saves. It is the slope to the right of epsilon_i.

    Raises:
        ValueError: shapes or numbers out of range.

    Example:
        >>> data = NormalEquations(np.eye(1), np.zeros(1), 0.0, 1.0, 1)
        >>> marginal_value([[0.0], [0.0]], [0.0, 0.0], [1.0, 1.0], data, lam=1.0, x_norm=1.0, y_bound=1.0,
        ...                bounds="paper")
        array([8., 8.])

    Source: this book; derivative of the exact expected loss of PDP-OP (Acharya et al. 2024).
    """
    features, target = np.asarray(as_array(X), np.float64), np.asarray(as_array(y), np.float64)
    if features.ndim != 2 or target.shape != (len(features),) or evaluation.cross.shape != features.shape[1:]:
        raise ValueError(
            f"X must be (n, d), y (n,) and evaluation of d features and one output, got {features.shape}, "
            f"{target.shape} and {evaluation.cross.shape}."
        )
    level = levels(epsilon, len(features))
    eta = noise_rate(level, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    equations = normal_equations(features, target, personal_weights(level))
    hessian = equations.gram + lam * np.eye(features.shape[1])
    theta = np.linalg.solve(hessian, equations.cross)
    # gradient of the evaluation loss, carried back through the solution
    pull = np.linalg.solve(hessian, 2 * (evaluation.gram @ theta - evaluation.cross))
    bias = ((target - features @ theta) * (features @ pull) - lam * float(theta @ pull)) / level.sum()
    noise = (features.shape[1] + 1) * float(np.trace(evaluation.gram)) / eta**2
    relative = _rate_growth(level, eta, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    return 2 * noise * relative - bias


def _rate_growth(
    level: NDArray[np.float64], eta: float, lam: float, *, x_norm: float, y_bound: float, bounds: Bounds
) -> NDArray[np.float64]:
    """d log eta / d epsilon_i to the right of every level, shape (n,)."""
    radius = norm_bound(lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    by_total = lam * level.sum() / (2 * x_norm * (y_bound + x_norm * radius))
    if bounds == "paper" or by_total >= eta:
        return np.full(len(level), 1 / level.sum())
    strictest = level == level.min()
    alone = strictest & (strictest.sum() == 1)  # of several strictest people none moves the minimum alone
    return np.where(alone, 1 / level, 0.0)
