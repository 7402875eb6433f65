"""Weighted normal equations in one pass over blocks, and their solutions for a whole grid of lambda at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.checks import as_array

BLOCK_ROWS = 4_096  # 1.6 MB at d = 50: a block stays in the cache between scaling and multiplying


@dataclass(frozen=True)
class NormalEquations:
    """Weighted second moments of a table: all that ridge regression and its losses need of it.

    Args:
        gram: X^T W X, shape (d, d).
        cross: X^T W y, shape (d,) or (d, m) for m outputs.
        power: sum_i w_i ||y_i||^2.
        weight: sum_i w_i.
        rows: number of records read.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    power: float
    weight: float
    rows: int

    def solve(self, lam: float) -> NDArray[np.float64]:
        """The ridge minimiser (X^T W X + lam I)^-1 X^T W y, shape of ``cross``; lam > 0, or 0 for a regular Gram."""
        return np.asarray(np.linalg.solve(self.gram + lam * np.eye(len(self.gram)), self.cross), np.float64)

    def solve_grid(self, lambdas: ArrayLike) -> NDArray[np.float64]:
        """The minimisers for many lambda > 0 through one eigendecomposition, shape (k, d) or (k, d, m)."""
        grid = np.asarray(lambdas, dtype=np.float64)
        values, basis = np.linalg.eigh(self.gram)
        turned = basis.T @ self.cross
        shrink = 1.0 / (np.maximum(values, 0.0)[None, :] + grid[:, None])
        scaled = shrink[(...,) + (None,) * (turned.ndim - 1)] * turned[None]
        return np.einsum("ij,kj...->ki...", basis, scaled)

    def loss(self, theta: NDArray[np.float64]) -> float:
        """Weighted squared error sum_i w_i ||y_i - x_i theta||^2 of coefficients (d,) or (d, m)."""
        fit = np.sum(theta * (self.gram @ theta)) - 2 * np.sum(theta * self.cross)
        return float(max(0.0, fit + self.power))

    def scaled(self, factor: float) -> NormalEquations:
        """The equations with all weights multiplied by ``factor``."""
        parts = (self.gram * factor, self.cross * factor, self.power * factor, self.weight * factor)
        return NormalEquations(*parts, rows=self.rows)


def normal_equations(X: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> NormalEquations:
    """The weighted normal equations of a table in memory, read in blocks.

    Args:
        X: features, shape (n, d), array or tensor.
        y: targets, shape (n,) or (n, m).
        weights: shape (n,), >= 0; None for 1/n each.

    Returns:
        X^T W X, X^T W y and the scalars beside them, in float64; O(block * d + d^2) memory beyond the input.

    Raises:
        ValueError: shapes that do not agree, no rows, or a weight that is not >= 0.

    Example:
        >>> normal_equations([[1.0], [2.0]], [1.0, 1.0]).cross
        array([1.5])

    Source: Acharya et al. 2024, closed form of the weighted ridge minimiser.
    """
    features, target = as_array(X), as_array(y)
    features, target = np.asarray(features), np.asarray(target)
    if features.ndim != 2 or len(features) == 0 or target.ndim not in (1, 2) or len(target) != len(features):
        raise ValueError(
            f"X must be (n, d) and y (n,) or (n, m) with n >= 1, got {features.shape} and {target.shape}."
        )
    n = len(features)
    weight = np.full(n, 1.0 / n) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (n,):
        raise ValueError(f"weights must have shape ({n},), got {weight.shape}.")
    return stream_normal_equations(_blocks(features, target, weight))


def stream_normal_equations(
    blocks: Iterable[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
) -> NormalEquations:
    """The same from an iterable of blocks (X, y, weights), each held in memory only while it is read.

    Args:
        blocks: triples X (b, d), y (b,) or (b, m) and weights (b,), >= 0; d and m the same in all.

    Returns:
        The sums over all blocks.

    Raises:
        ValueError: no block, or a weight that is not >= 0.

    Example:
        >>> block = (np.ones((2, 1)), np.ones(2), np.array([0.25, 0.25]))
        >>> stream_normal_equations([block, block]).weight
        1.0

    Source: Acharya et al. 2024; summation by blocks.
    """
    gram = cross = None
    power = total = 0.0
    rows = 0
    for X, y, w in blocks:
        X, y, w = (np.asarray(part, dtype=np.float64) for part in (X, y, w))
        if not (w >= 0).all():
            raise ValueError(f"weights must be >= 0, got a smallest one of {w.min():g}.")
        root = np.sqrt(w)
        scaled = X * root[:, None]  # (b, d); BLAS needs half the work for a matrix and its own transpose
        if gram is None or cross is None:
            gram, cross = np.zeros((X.shape[1],) * 2), np.zeros((X.shape[1], *y.shape[1:]))
        gram += scaled.T @ scaled
        cross += scaled.T @ (y * (root if y.ndim == 1 else root[:, None]))
        power += float(np.sum(w * (y * y if y.ndim == 1 else np.sum(y * y, axis=1))))
        total += float(w.sum())
        rows += len(X)
    if gram is None or cross is None:
        raise ValueError("blocks must hold at least one block, got none.")
    return NormalEquations(gram, cross, power, total, rows)


def _blocks(
    X: NDArray[np.float64], y: NDArray[np.float64], w: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
    """Consecutive slices of at most BLOCK_ROWS rows."""
    for start in range(0, len(X), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        yield X[part], y[part], w[part]
