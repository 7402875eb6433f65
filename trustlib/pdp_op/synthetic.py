"""The synthetic table of the paper's experiments: features in the unit cube, targets linear in them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trustlib.pdp_op.checks import non_negative
from trustlib.pdp_op.comparison import Problem


@dataclass(frozen=True)
class Synthetic:
    """A synthetic table with the coefficients behind it.

    Args:
        problem: the table, with the paper's domain R = sqrt(d), Y = 1.
        theta: coefficients, shape (d,): the target without noise is X @ theta, so ||theta|| = 1/sqrt(d).
        clipped: how many targets were clipped to [-1, 1].
    """

    problem: Problem
    theta: NDArray[np.float64]
    clipped: int


def draw_synthetic(n: int, dim: int, *, noise: float, rng: np.random.Generator) -> Synthetic:
    """n records: x uniform in [0, 1]^d, y = <x, u>/sqrt(d) + noise * N(0, 1) with u uniform on the unit sphere.

    Deviation from the authors' generator: targets that the noise carries out of [-1, 1] are clipped and counted. The
    guarantee is for that range only, and they would leave it silently.

    Args:
        n: number of records, >= 1.
        dim: number of features d, >= 1.
        noise: standard deviation of the target's noise, >= 0; the experiments use 0.
        rng: source of randomness.

    Returns:
        Table and coefficients.

    Raises:
        ValueError: n or dim below 1, or noise that is negative or not finite.

    Example:
        >>> found = draw_synthetic(100, 30, noise=0.0, rng=np.random.default_rng(0))
        >>> found.problem.X.shape, found.clipped
        ((100, 30), 0)
        >>> round(float(np.linalg.norm(found.theta)) * 30**0.5, 12)
        1.0

    Source: Acharya et al. 2024, synthetic experiments.
    """
    for name, value in (("n", n), ("dim", dim)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
    sigma = non_negative("noise", noise, why="It is a standard deviation.")
    direction = rng.standard_normal(dim)
    theta = direction / np.linalg.norm(direction) / math.sqrt(dim)
    X = rng.uniform(size=(n, dim))
    raw = X @ theta + sigma * rng.standard_normal(n)
    y = np.clip(raw, -1.0, 1.0)
    problem = Problem(X, y, x_norm=math.sqrt(dim), y_bound=1.0, y_range=(-1.0, 1.0))
    return Synthetic(problem, theta, int(np.sum(raw != y)))
