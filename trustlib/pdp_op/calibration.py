"""Weights, norm bounds, sensitivities and noise rates: everything that is decided before the data is read."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.checks import levels, positive

Bounds = Literal["paper", "tight"]


def check_bounds(bounds: str) -> Bounds:
    """The choice of bounds, or a ValueError that lists the choices."""
    if bounds not in get_args(Bounds):
        raise ValueError(f'bounds must be one of "paper", "tight", got {bounds!r}.')
    return bounds  # type: ignore[return-value]


def personal_weights(epsilon: ArrayLike) -> NDArray[np.float64]:
    """Loss weights proportional to the privacy levels: w_i = epsilon_i / sum_j epsilon_j.

    Args:
        epsilon: levels, shape (n,), finite and > 0, public.

    Returns:
        Shape (n,), sums to 1.

    Raises:
        ValueError: a level that is not finite and > 0.

    Example:
        >>> personal_weights([1.0, 3.0])
        array([0.25, 0.75])

    Source: Acharya et al. 2024, PDP-OP.
    """
    array = levels(epsilon)
    return array / array.sum()


def effective_size(epsilon: ArrayLike) -> float:
    """How many equally weighted records the weights are worth: n_eff = (sum epsilon)^2 / sum epsilon^2.

    Args:
        epsilon: levels, shape (n,), finite and > 0.

    Returns:
        Between 1 and n; n if all levels are equal.

    Raises:
        ValueError: a level that is not finite and > 0.

    Example:
        >>> effective_size([1.0, 1.0, 2.0])
        2.6666666666666665

    Source: Kish 1965 (effective size of a weighted sample); here w_i of Acharya et al. 2024.
    """
    array = levels(epsilon)
    return float(array.sum() ** 2 / np.square(array).sum())


def norm_bound(lam: ArrayLike, *, x_norm: float, y_bound: float, bounds: Bounds) -> Any:
    """A bound B on ||theta|| over all data sets of the domain.

    "paper": B = y_bound * min(1/sqrt(lam), x_norm/lam).
    "tight": the supremum itself, max over s in [0, x_norm] of y_bound * s / (s^2 + lam):
    y_bound / (2 sqrt(lam)) if lam <= x_norm^2, else y_bound * x_norm / (x_norm^2 + lam).

    Args:
        lam: regularisation lambda > 0, in the convention of weights that sum to 1; a number or any shape.
        x_norm: public bound R >= ||x_i||_2, > 0.
        y_bound: public bound Y >= |y_i|, > 0.
        bounds: which of the two.

    Returns:
        B > 0, in units of the coefficients: a float, or the shape of ``lam``.

    Raises:
        ValueError: a number that is not finite and > 0, or an unknown choice.

    Example:
        >>> norm_bound(1.0, x_norm=2.0, y_bound=1.0, bounds="paper")
        1.0
        >>> norm_bound(1.0, x_norm=2.0, y_bound=1.0, bounds="tight")
        0.5

    Source: Acharya et al. 2024 (paper); the tight form is this book's.
    """
    grid, x_norm, y_bound = _domain(lam, x_norm, y_bound)
    if check_bounds(bounds) == "paper":
        radius = y_bound * np.minimum(1 / np.sqrt(grid), x_norm / grid)
    else:
        inside = y_bound / (2 * np.sqrt(grid))
        radius = np.where(grid <= x_norm**2, inside, y_bound * x_norm / (x_norm**2 + grid))
    return float(radius) if grid.ndim == 0 else radius


def ridge_sensitivity(
    weights: ArrayLike, lam: float, *, x_norm: float, y_bound: float, bounds: Bounds
) -> NDArray[np.float64]:
    """How far the minimiser can move when record i is exchanged: Delta_i = 2 w_i R (Y + R B) / lam.

    With "tight" bounds Delta_i is in addition at most 2 B, the diameter of the ball that holds every minimiser.

    Args:
        weights: w, shape (n,), > 0, sum 1; not data-dependent.
        lam: regularisation lambda > 0.
        x_norm: R, public bound on the row norms, > 0.
        y_bound: Y, public bound on the labels, > 0.
        bounds: which norm bound B to use.

    Returns:
        Shape (n,), in units of the coefficients (L2).

    Raises:
        ValueError: numbers out of range, or an unknown choice.

    Example:
        >>> ridge_sensitivity([0.5, 0.5], 1.0, x_norm=1.0, y_bound=1.0, bounds="paper")
        array([2., 2.])

    Source: Acharya et al. 2024 with R = sqrt(d), Y = 1.
    """
    weight = np.asarray(weights, dtype=np.float64)
    radius = norm_bound(lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    delta = 2 * weight * x_norm * (y_bound + x_norm * radius) / lam
    return np.minimum(delta, 2 * radius) if bounds == "tight" else delta


def noise_rate(epsilon: ArrayLike, lam: ArrayLike, *, x_norm: float, y_bound: float, bounds: Bounds) -> Any:
    """The rate eta of the spherical noise at which every record gets its own level: eta = min_i epsilon_i / Delta_i.

    With the paper's bounds this is eta = lam * sum_j epsilon_j / (2 R (Y + R B)), the same for all i; with the tight
    ones the larger of that and min_j epsilon_j / (2 B).

    Args:
        epsilon: levels, shape (n,), finite and > 0, public.
        lam: regularisation lambda > 0, a number or any shape.
        x_norm: R, public bound on the row norms, > 0.
        y_bound: Y, public bound on the labels, > 0.
        bounds: "paper" or "tight".

    Returns:
        eta > 0, per unit of length of the coefficients: a float, or the shape of ``lam``.

    Raises:
        ValueError: numbers out of range, or an unknown choice.

    Example:
        >>> noise_rate([0.5, 1.5], 1.0, x_norm=1.0, y_bound=1.0, bounds="paper")
        0.5

    Source: Acharya et al. 2024, noise of PDP-OP.
    """
    array = levels(epsilon)
    grid, x_norm, y_bound = _domain(lam, x_norm, y_bound)
    radius = norm_bound(grid, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
    rate = grid * array.sum() / (2 * x_norm * (y_bound + x_norm * radius))
    if bounds == "tight":
        rate = np.maximum(rate, array.min() / (2 * radius))
    return float(rate) if grid.ndim == 0 else rate


def _domain(lam: ArrayLike, x_norm: float, y_bound: float) -> tuple[NDArray[np.float64], float, float]:
    """Lambda as an array, and the two public bounds, checked."""
    grid = np.asarray(lam, dtype=np.float64)
    if not (np.isfinite(grid) & (grid > 0)).all():
        raise ValueError(
            f"lam must be finite and > 0, got {lam!r}. Without regularisation one record can move the minimiser "
            "without bound, and no noise hides it."
        )
    x_norm = positive("x_norm", x_norm, why="It is the public bound on the row norms.")
    return grid, x_norm, positive("y_bound", y_bound, why="It is the public bound on the labels.")
