"""Edges from features, for an attacker who does not know them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trustlib.gnn_stealing.checks import check_features, is_sparse, one_of, whole
from trustlib.gnn_stealing.edges import undirected

ROWS = 2048  # nodes whose similarities to all others are held at once


def knn_graph_from_features(
    x: Tensor, k: int, *, metric: Literal["cosine", "euclidean"] = "cosine"
) -> Tensor:
    """Every node joined with its k nearest neighbours in feature space, in both directions.

    Ties go to the smaller node number. A node without features is equally far from everybody by cosine.

    Args:
        x: features, shape (N, d), dense or sparse CSR.
        k: neighbours of a node, itself not counted, 1 <= k < N. Its degree can be larger: others may choose it.
        metric: "cosine" or "euclidean".

    Returns:
        Shape (2, E), sorted, N k <= E <= 2 N k, without loops.

    Raises:
        TypeError, ValueError: features that are not finite (N, d), k outside its range, an unknown metric.

    Example:
        >>> knn_graph_from_features(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), 1)
        tensor([[0, 1, 1, 2],
                [1, 0, 2, 1]])

    Source: a simple stand-in for the learned graph of Chen et al. (NeurIPS 2020), with which Shen et al. (S&P 2022) and
        Podhajski et al. (ECAI 2024) rebuild missing edges.
    """
    check_features(x)
    one_of("metric", metric, ("cosine", "euclidean"))
    n = x.shape[0]
    if whole("k", k, least=1) >= n:
        raise ValueError(f"k must be less than the number of nodes, got k={k} for {n} nodes.")
    rows = (x.to_dense() if is_sparse(x) else x).double()
    if metric == "cosine":
        rows = functional.normalize(rows, dim=1)
    length = rows.square().sum(1)
    chosen = []
    for start in range(0, n, ROWS):
        some = torch.arange(start, min(start + ROWS, n), device=x.device)
        near = 2 * rows[some] @ rows.T - (length if metric == "euclidean" else 0)
        near[torch.arange(len(some)), some] = -torch.inf
        best = torch.sort(near, dim=1, descending=True, stable=True).indices[:, :k]
        chosen.append(torch.stack([some.repeat_interleave(k), best.flatten()]))
    return undirected(torch.cat(chosen, dim=1), n)
