"""Undirected edge lists, and graphs with one loop per node stored row by row."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges, whole


def undirected(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The same edges in both directions, each once, sorted, without loops.

    Args:
        edge_index: edges, shape (2, E), int64; directed edges, duplicates and loops may occur.
        num_nodes: N.

    Returns:
        Shape (2, E'), sorted by source and then by target.

    Raises:
        TypeError, ValueError: not a (2, E) tensor of whole numbers in [0, N).

    Example:
        >>> undirected(torch.tensor([[0, 1, 1], [1, 1, 0]]), 2)
        tensor([[0, 1],
                [1, 0]])
    """
    row, col = check_edges(edge_index, num_nodes=whole("num_nodes", num_nodes, least=1))
    off = row != col
    key = torch.cat([row[off] * num_nodes + col[off], col[off] * num_nodes + row[off]]).unique()
    return torch.stack([key // num_nodes, key % num_nodes])


@dataclass(frozen=True)
class LoopedGraph:
    """An undirected graph with one loop per node, A~ = A + I, stored row by row.

    Args:
        row: source of every stored entry, shape (M,), sorted; M = 2 |E| + N.
        col: target of every stored entry, shape (M,).
        degree: row sums of A~, shape (N,), >= 1.
        num_nodes: N.
    """

    row: Tensor
    col: Tensor
    degree: Tensor
    num_nodes: int

    @staticmethod
    def of(edge_index: Tensor, num_nodes: int) -> LoopedGraph:
        """From any edge list; directions, duplicates and loops of the input do not matter."""
        row, col = check_edges(edge_index, num_nodes=whole("num_nodes", num_nodes, least=1))
        nodes = torch.arange(num_nodes, device=row.device)
        key = torch.cat([row * num_nodes + col, col * num_nodes + row, nodes * (num_nodes + 1)]).unique()
        row = key // num_nodes
        return LoopedGraph(row, key % num_nodes, torch.bincount(row, minlength=num_nodes), num_nodes)

    @property
    def edge_index(self) -> Tensor:
        """The stored entries, shape (2, M), loops included."""
        return torch.stack([self.row, self.col])

    def reverse(self) -> Tensor:
        """Where the entry (j, i) of every stored entry (i, j) is, shape (M,)."""
        return torch.argsort(self.col * self.num_nodes + self.row)

    def row_sum(self, values: Tensor) -> Tensor:
        """Sum of every row's values, (M,) -> (N,)."""
        return torch.segment_reduce(values, "sum", lengths=self.degree)

    def row_max(self, values: Tensor) -> Tensor:
        """Largest of every row's values, (M,) -> (N,)."""
        return torch.segment_reduce(values, "max", lengths=self.degree)

    def row_logsumexp(self, values: Tensor) -> Tensor:
        """log of the sum of exponentials of every row, (M,) -> (N,); -inf for a row of -inf."""
        top = self.row_max(values)
        top = torch.where(top.isfinite(), top, torch.zeros_like(top))
        return top + self.row_sum((values - top[self.row]).exp()).log()
