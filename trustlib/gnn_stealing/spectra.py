"""What a view does to the spectrum of a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges, whole
from trustlib.gnn_stealing.edges import LoopedGraph

DENSE = 5000  # nodes up to which all eigenvalues are computed


@dataclass(frozen=True)
class SpectralChange:
    """Sorted eigenvalues of two normalised Laplacians, frequency by frequency.

    Args:
        before: eigenvalues of the first graph, ascending, shape (m,).
        after: eigenvalues of the second one, ascending, shape (m,).
        split: how many of them are low frequencies: the lower half, or the k smallest ones.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    split: int

    @property
    def change(self) -> NDArray[np.float64]:
        """|after - before| per frequency, shape (m,)."""
        return np.abs(self.after - self.before)

    @property
    def low(self) -> float:
        """Mean change of the low frequencies."""
        return float(self.change[: self.split].mean())

    @property
    def high(self) -> float:
        """Mean change of the high frequencies."""
        return float(self.change[self.split :].mean())

    @property
    def ratio(self) -> float:
        """high / low; above 1 where high frequencies move more. Infinite if only they move, NaN if nothing does."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.high) / np.float64(self.low))


def spectral_change(
    edge_index_a: Tensor,
    edge_index_b: Tensor,
    num_nodes: int,
    k: int | None = None,
    *,
    weight_a: Tensor | None = None,
    weight_b: Tensor | None = None,
) -> SpectralChange:
    """How far every graph frequency moves from one graph to another.

    lambda_1 <= ... <= lambda_N of L = I - D^-1/2 W D^-1/2, D the row sums of W. Good views for contrastive learning
    move the upper half more than the lower half.

    Args:
        edge_index_a: edges of the first graph, shape (2, E). Without weights, directions, duplicates and loops do not
            matter and one loop per node is added.
        edge_index_b: edges of the second graph.
        num_nodes: N >= 2, of both.
        k: None for all eigenvalues, up to 5000 nodes; else the k smallest and the k largest, by Lanczos iterations.
        weight_a: weights of the edges, shape (E,); taken as they are, loops included, and made symmetric by the mean
            of both directions.
        weight_b: the same for the second graph.

    Returns:
        The eigenvalues and their change.

    Raises:
        TypeError, ValueError: bad edges or weights, k outside [1, N / 2), more than 5000 nodes without k, or a node
            whose weights do not sum to a number > 0.

    Example:
        >>> pair, lone = torch.tensor([[0], [1]]), torch.empty(2, 0, dtype=torch.long)
        >>> change = spectral_change(pair, lone, 2)  # eigenvalues 0, 1 and 0, 0
        >>> change.change.round(6).tolist(), change.ratio > 1
        ([0.0, 1.0], True)

    Source: rule of Liu et al. (NeurIPS 2022), section 3.
    """
    whole("num_nodes", num_nodes, least=2)
    if k is None and num_nodes > DENSE:
        raise ValueError(
            f"all eigenvalues of {num_nodes} nodes take O(N^3); up to {DENSE} are computed. Pass k= for both ends of "
            "the spectrum."
        )
    if k is not None and not 1 <= whole("k", k, least=1) < num_nodes / 2:
        raise ValueError(f"k must lie in [1, {num_nodes / 2:g}), got {k}: both ends must not overlap.")
    before = _eigenvalues(edge_index_a, weight_a, num_nodes, k, "a")
    after = _eigenvalues(edge_index_b, weight_b, num_nodes, k, "b")
    return SpectralChange(before, after, len(before) // 2)


def _eigenvalues(
    edge_index: Tensor, weight: Tensor | None, num_nodes: int, k: int | None, name: str
) -> NDArray[np.float64]:
    """Ascending eigenvalues of the normalised Laplacian, all of them or k at each end."""
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import eigsh

    edges = check_edges(edge_index, num_nodes=num_nodes, name=f"edge_index_{name}")
    if weight is None:
        graph = LoopedGraph.of(edges, num_nodes)
        edges, weight = graph.edge_index, torch.ones(graph.row.shape)
    elif weight.shape != edges.shape[1:] or not bool(weight.isfinite().all()):
        raise ValueError(
            f"weight_{name} must hold one finite number per edge, got {tuple(weight.shape)} for {edges.shape[1]} edges."
        )
    row, col = edges.cpu().numpy()
    matrix = coo_matrix(
        (weight.detach().double().cpu().numpy(), (row, col)), shape=(num_nodes, num_nodes)
    ).tocsr()
    matrix = (matrix + matrix.T) / 2
    degree = np.asarray(matrix.sum(axis=1)).ravel()
    if not (degree > 0).all():
        raise ValueError(
            f"weights of {int((degree <= 0).sum())} nodes in graph {name} do not sum to a number > 0. Give every node "
            "a loop."
        )
    scale = diags(degree**-0.5)
    similar = scale @ matrix @ scale  # L = I - similar
    if k is None:
        return 1 - np.linalg.eigvalsh(similar.toarray())[::-1]
    start = np.random.default_rng(0).normal(size=num_nodes)
    parts = (eigsh(similar, k=k, which=end, v0=start, return_eigenvectors=False) for end in ("LA", "SA"))
    return np.concatenate([np.sort(1 - part) for part in parts])
