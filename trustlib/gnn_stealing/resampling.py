"""Intervals over nodes that share errors: connected parts of the graph are drawn as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges, inside, whole

CELLS = 4_000_000  # counts of the bootstrap held at once


def connected_components(edge_index: Tensor, num_nodes: int) -> NDArray[np.int64]:
    """Number of the connected component of every node, directions ignored, shape (N,), from 0.

    Args:
        edge_index: shape (2, E).
        num_nodes: N >= 1.

    Raises:
        TypeError, ValueError: bad edges.

    Example:
        >>> import torch
        >>> connected_components(torch.tensor([[0], [2]]), 4).tolist()
        [0, 1, 0, 2]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components as components

    row, col = check_edges(edge_index, num_nodes=whole("num_nodes", num_nodes, least=1)).cpu().numpy()
    graph = coo_matrix((np.ones(len(row), dtype=np.int8), (row, col)), shape=(num_nodes, num_nodes))
    labels: NDArray[np.int64] = components(graph, directed=False)[1].astype(np.int64)
    return labels


def bootstrap_means(
    values: NDArray[Any], group: NDArray[np.int64], *, n_boot: int, seed: int
) -> NDArray[np.float64]:
    """Means over resampled groups: every replicate draws as many groups as there are, with replacement.

    Args:
        values: one row per quantity, shape (m, n); all rows share the draws, so differences stay paired.
        group: number of the group of every column, shape (n,), 0 to G - 1, each with at least one column.
        n_boot: replicates, >= 1.
        seed: of the draws.

    Returns:
        Means over the drawn columns, shape (n_boot, m).

    Raises:
        TypeError, ValueError: n_boot < 1 or a seed < 0.

    Example:
        >>> bootstrap_means(np.ones((1, 3)), np.array([0, 0, 1]), n_boot=2, seed=0).tolist()
        [[1.0], [1.0]]
    """
    whole("n_boot", n_boot, least=1)
    rng = np.random.default_rng(whole("seed", seed, least=0))
    count = int(group.max()) + 1
    sums = np.stack(
        [np.bincount(group, weights=row, minlength=count) for row in values.astype(np.float64)], axis=1
    )
    sizes = np.bincount(group, minlength=count).astype(np.float64)
    parts, step = [], max(1, CELLS // count)
    for start in range(0, n_boot, step):
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=min(step, n_boot - start))
        parts.append((drawn @ sums) / (drawn @ sizes)[:, None])
    return np.concatenate(parts)


def percentile_ends(
    draws: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both ends of the percentile interval, per column."""
    if not 0 < inside("confidence", confidence, low=0.0, high=1.0) < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence!r}.")
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return low, high
