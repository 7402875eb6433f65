"""The exact privacy loss of every person on a given table, over given records that could stand in their place."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.calibration import Bounds, noise_rate, personal_weights
from trustlib.pdp_op.checks import as_array, domain, levels
from trustlib.pdp_op.normal_equations import normal_equations

if TYPE_CHECKING:
    import pandas as pd


def corner_records(dim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All corners of the paper's domain: features 0 or 1, targets -1 or 1.

    Args:
        dim: number of features d, 1 to 12.

    Returns:
        Features, shape (2^(d+1), d), and targets, shape (2^(d+1),).

    Raises:
        ValueError: dim outside 1 to 12.

    Example:
        >>> corner_records(1)[1]
        array([-1.,  1., -1.,  1.])

    Source: Acharya et al. 2024, domain of the data.
    """
    if isinstance(dim, bool) or not isinstance(dim, int | np.integer) or not 1 <= dim <= 12:
        raise ValueError(
            f"dim must be a whole number from 1 to 12, got {dim!r}: there are 2^(dim + 1) corners."
        )
    cube = np.array(list(itertools.product([0.0, 1.0], repeat=dim)))
    return np.repeat(cube, 2, axis=0), np.tile([-1.0, 1.0], len(cube))


def substitution_losses(
    X: ArrayLike,
    y: ArrayLike,
    epsilon: ArrayLike,
    *,
    lam: float,
    candidates: tuple[ArrayLike, ArrayLike],
    x_norm: float,
    y_bound: float,
    bounds: Bounds,
    people: Sequence[int] | None = None,
) -> pd.DataFrame:
    """Exact worst loss of each person when their record on THIS table is exchanged for one of the candidates.

    For person i and candidate c the loss is eta * ||theta - theta_(i -> c)||_2, the supremum of the log-density ratio
    over all releases. Each exchange is two rank-one steps (Sherman-Morrison), O(d^2) in place of a new solution.
    The result depends on the data: for the curator, not for publication.

    Args:
        X: features, shape (n, d), inside the domain.
        y: targets, shape (n,).
        epsilon: levels, shape (n,) or a number, > 0.
        lam: lambda > 0.
        candidates: features (c, d) and targets (c,) of the records to exchange for, inside the domain.
        x_norm: R > 0.
        y_bound: Y > 0.
        bounds: "paper" or "tight".
        people: which records; None for all.

    Returns:
        One row per person: person, epsilon, loss (nats), ratio (loss / epsilon, at most 1 by the guarantee) and
        candidate (position of the worst).

    Raises:
        ValueError: shapes, levels or people out of range, or no candidate; `DomainError` for records outside the
            domain.

    Example:
        >>> found = substitution_losses([[1.0], [0.0]], [1.0, 0.0], [1.0, 1.0], lam=1.0, candidates=([[1.0]], [-1.0]),
        ...                             x_norm=1.0, y_bound=1.0, bounds="paper")
        >>> [round(loss, 4) for loss in found["loss"]]  # theta 1/3 to -1/3, and to 0; eta = 1/2
        [0.3333, 0.1667]

    Source: this book; privacy loss of Acharya et al. 2024.
    """
    import pandas as pd

    features, target = _records("X and y", X, y, None, x_norm, y_bound)
    others, labels = _records("candidates", *candidates, features.shape[1], x_norm, y_bound)
    level = levels(epsilon, len(features))
    chosen = range(len(features)) if people is None else people
    if len(chosen) == 0 or not all(0 <= person < len(features) for person in chosen):
        raise ValueError(
            f"people must be positions from 0 to {len(features) - 1}, at least one, got {people!r}."
        )
    rate = noise_rate(level, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    weight = personal_weights(level)
    equations = normal_equations(features, target, weight)
    inverse = np.asarray(np.linalg.inv(equations.gram + lam * np.eye(features.shape[1])), np.float64)
    theta = inverse @ equations.cross
    rows = []
    for person in chosen:
        w, x = float(weight[person]), features[person]
        without, left = _rank_one(inverse, theta, -w, x, float(target[person]))
        moved = others @ without  # (c, d)
        gain = w * (labels - others @ left) / (1 + w * np.einsum("ij,ij->i", moved, others))
        step = np.linalg.norm(left + gain[:, None] * moved - theta, axis=1)
        worst = int(np.argmax(step))
        loss = float(rate * step[worst])
        rows.append((int(person), level[person], loss, loss / level[person], worst))
    return pd.DataFrame(rows, columns=["person", "epsilon", "loss", "ratio", "candidate"])


def _rank_one(
    inverse: NDArray[np.float64], theta: NDArray[np.float64], weight: float, x: NDArray[np.float64], y: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inverse (d, d) and minimiser (d,) after adding a record of this weight (negative: removing it)."""
    direction = inverse @ x
    scale = weight / (1 + weight * float(x @ direction))
    return inverse - scale * np.outer(direction, direction), theta + scale * (
        y - float(x @ theta)
    ) * direction


def _records(
    name: str, X: ArrayLike, y: ArrayLike, dim: int | None, x_norm: float, y_bound: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Records inside the domain, or an error."""
    features, target = np.asarray(as_array(X), np.float64), np.asarray(as_array(y), np.float64)
    fits = features.ndim == 2 and len(features) > 0 and target.shape == (len(features),)
    if not fits or (dim is not None and features.shape[1] != dim):
        columns = "d" if dim is None else dim
        raise ValueError(
            f"{name} must have shapes (n, {columns}) and (n,) with n >= 1, got {features.shape} and {target.shape}."
        )
    if not (np.isfinite(features).all() and np.isfinite(target).all()):
        raise ValueError(f"{name} must be finite, got NaN or infinite values. Drop those records.")
    return domain(features, target, x_norm=x_norm, y_bound=y_bound, on_violation="raise")[:2]
