"""Agreement of rankings: which points two layers, seeds or encoders memorize alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def overlap_at_k(a: ArrayLike, b: ArrayLike, k: int) -> float:
    """Share of the k highest-scoring points of one score among the k highest of another.

    |top_k(a) and top_k(b)| / k; expected k / n for unrelated scores.

    Args:
        a: scores, shape (n,).
        b: scores of the same points, shape (n,).
        k: in [1, n].

    Returns:
        In [0, 1]. Ties are broken by the smaller index.

    Raises:
        ValueError: k outside [1, n] or lengths differ.

    Example:
        >>> overlap_at_k([3, 2, 1, 0], [3, 0, 1, 2], 2)
        0.5

    Source: Wang et al., NeurIPS 2024, table 3 (k = 100).
    """
    one, two = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape:
        raise ValueError(
            f"overlap_at_k needs two 1-d scores of the same points, got {one.shape} and {two.shape}"
        )
    return float(overlap_matrix(np.stack([one, two]), k)[0, 1])


def overlap_matrix(scores: ArrayLike, k: int) -> Floats:
    """Overlap@k between all pairs of rankings.

    Args:
        scores: shape (L, n), one row per layer, seed or encoder; points aligned in columns.
        k: number of top points compared, in [1, n].

    Returns:
        Symmetric, shape (L, L), ones on the diagonal.

    Raises:
        ValueError: k outside [1, n], or scores not of shape (L, n).

    Example:
        >>> overlap_matrix([[3, 2, 1, 0], [3, 0, 1, 2]], 2)
        array([[1. , 0.5],
               [0.5, 1. ]])

    Source: Wang et al., NeurIPS 2024, tables 3 and 28.
    """
    rows = np.asarray(scores, dtype=np.float64)
    if rows.ndim != 2 or not 1 <= k <= rows.shape[1]:
        raise ValueError(f"overlap needs scores of shape (L, n) and 1 <= k <= n, got {rows.shape} and k={k}")
    top = np.zeros(rows.shape)
    np.put_along_axis(top, np.argsort(-rows, axis=1, kind="stable")[:, :k], 1.0, axis=1)
    return top @ top.T / k


def kendall_matrix(scores: ArrayLike) -> tuple[Floats, Floats]:
    """Kendall's tau-b, and its two-sided p, between all pairs of rankings.

    Args:
        scores: shape (L, n), n >= 2.

    Returns:
        tau in [-1, 1] and p in [0, 1], each symmetric of shape (L, L); nan where a row is constant.

    Raises:
        ValueError: scores not of shape (L, n >= 2).

    Example:
        >>> tau, _ = kendall_matrix([[1, 2, 3], [3, 2, 1]])
        >>> float(tau[0, 1])
        -1.0

    Source: Wang et al., NeurIPS 2024, table 3.
    """
    from scipy.stats import kendalltau

    rows = np.asarray(scores, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2:
        raise ValueError(f"kendall_matrix needs scores of shape (L, n >= 2), got {rows.shape}")
    tau, p = np.full((len(rows), len(rows)), np.nan), np.full((len(rows), len(rows)), np.nan)
    for i, j in zip(*np.triu_indices(len(rows)), strict=True):
        if np.ptp(rows[i]) and np.ptp(rows[j]):
            result = kendalltau(rows[i], rows[j])
            tau[i, j] = tau[j, i] = result.statistic
            p[i, j] = p[j, i] = result.pvalue
    return tau, p
