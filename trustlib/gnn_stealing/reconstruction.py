"""Edges from features, for an attacker who does not know them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from trustlib.gnn_stealing.checks import check_features, is_sparse, one_of, whole
from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.messages import csr_matrix
from trustlib.gnn_stealing.splits import take_rows

CELLS = 20_000_000  # similarities held at once


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
    rows = x.double() if metric == "euclidean" else _unit_rows(x.double())
    length = _squared_lengths(rows)
    chosen = []
    for some in torch.arange(n, device=x.device).split(max(1, CELLS // n)):
        near = 2 * (rows @ _dense(take_rows(rows, some)).T).T  # (c, N)
        if metric == "euclidean":
            near -= length
        near[torch.arange(len(some), device=x.device), some] = -torch.inf
        row, col = _largest(near, k).nonzero().T
        chosen.append(torch.stack([some[row], col]))
    return undirected(torch.cat(chosen, dim=1), n)


def edge_quality(edges: Tensor, true: Tensor, num_nodes: int) -> dict[str, float]:
    """Precision and recall of undirected edges.

    Args:
        edges: what the attacker believes, shape (2, E); directions, duplicates and loops do not matter.
        true: the edges of the graph, shape (2, E'), likewise.
        num_nodes: N.

    Returns:
        precision and recall in [0, 1]; 0 where there is nothing to divide by.

    Raises:
        TypeError, ValueError: bad edges.

    Example:
        >>> edge_quality(torch.tensor([[0, 1], [1, 2]]), torch.tensor([[1], [0]]), 3)
        {'precision': 0.5, 'recall': 1.0}

    Source: ours.
    """
    keys = [row * num_nodes + col for row, col in (undirected(e, num_nodes) for e in (edges, true))]
    common = float(torch.isin(keys[0], keys[1]).sum())
    precision, recall = (common / max(1, len(key)) for key in keys)
    return {"precision": precision, "recall": recall}


def _largest(near: Tensor, k: int) -> Tensor:
    """Mask of the k largest entries of every row; of equal ones, those further left."""
    least = near.topk(k, dim=1).values[:, -1:]
    above, equal = near > least, near == least
    return above | (equal & (equal.cumsum(1) <= k - above.sum(1, keepdim=True)))


def _unit_rows(x: Tensor) -> Tensor:
    """Rows of length 1, dense or CSR; rows of zeros stay."""
    if not is_sparse(x):
        return functional.normalize(x, dim=1)
    length = _squared_lengths(x).sqrt().clamp(min=1e-12)
    values = x.values() / length.repeat_interleave(x.crow_indices().diff())
    return csr_matrix(x.crow_indices(), x.col_indices(), values, (x.shape[0], x.shape[1]))


def _squared_lengths(x: Tensor) -> Tensor:
    """Sum of squares of every row, (N,), of a dense or CSR matrix."""
    if not is_sparse(x):
        return x.square().sum(1)
    owner = torch.arange(x.shape[0], device=x.device).repeat_interleave(x.crow_indices().diff())
    return x.values().new_zeros(x.shape[0]).index_add(0, owner, x.values().square())


def _dense(x: Tensor) -> Tensor:
    """A dense tensor."""
    return x.to_dense() if is_sparse(x) else x
