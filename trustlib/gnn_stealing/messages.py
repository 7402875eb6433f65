"""Weighted messages along edges as products with sparse matrices: no array with one row per edge is ever made."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges


def csr_matrix(pointer: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """A sparse CSR tensor from arrays that are known to be consistent, without torch's notices about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(pointer, columns, values, shape, check_invariants=False)


@dataclass(frozen=True)
class MessageGraph:
    """Edges sorted by receiver, with one loop at every node, ready for many rounds of messages.

    Layers of this room accept it in the place of ``edge_index``; building it once saves the sorting in every pass.

    Args:
        sender: int64 (E,).
        receiver: int64 (E,), not decreasing.
        weight: (E,) of the edges and loops.
        num_nodes: N.
        order: int64 (E,): the edge and loop number (loops that were added come last) of every message.
        pointer: int64 (N + 1,): messages of node i are pointer[i] to pointer[i + 1].
        back: int64 (E,): order of the messages by sender, for gradients.
        back_pointer: int64 (N + 1,), like ``pointer`` for senders.
    """

    sender: Tensor
    receiver: Tensor
    weight: Tensor
    num_nodes: int
    order: Tensor
    pointer: Tensor
    back: Tensor
    back_pointer: Tensor

    @classmethod
    def build(cls, edge_index: Tensor, edge_weight: Tensor | None = None, *, num_nodes: int) -> MessageGraph:
        """Sort edges and add the loops that are missing, with weight 1.

        Args:
            edge_index: integer (2, E), senders above, receivers below. Duplicates and directed edges are kept.
            edge_weight: (E,), None: all 1.
            num_nodes: N.

        Raises:
            TypeError, ValueError: edges out of range, or a weight that is not finite or not one per edge.

        Example:
            >>> graph = MessageGraph.build(torch.tensor([[0], [1]]), num_nodes=3)
            >>> graph.sender.tolist(), graph.receiver.tolist()
            ([0, 0, 1, 2], [0, 1, 1, 2])
        """
        edges = check_edges(edge_index, num_nodes=num_nodes)
        weight = _check_weight(edge_weight, edges)
        looped = torch.zeros(num_nodes, dtype=torch.bool, device=edges.device)
        looped[edges[0, edges[0] == edges[1]]] = True
        missing = torch.nonzero(~looped).flatten()
        sender, receiver = torch.cat([edges, missing.expand(2, -1)], dim=1)
        weight = torch.cat([weight, weight.new_ones(len(missing))])
        # by receiver and then sender: the same sums in the same order for every order of the edges
        order = torch.sort(receiver * num_nodes + sender, stable=True).indices
        sender, receiver = sender[order], receiver[order]
        back = torch.sort(sender, stable=True).indices
        return cls(
            sender, receiver, weight[order], num_nodes, order,
            _pointer(receiver, num_nodes), back, _pointer(sender[back], num_nodes),
        )  # fmt: skip

    @property
    def count(self) -> Tensor:
        """Messages that arrive at each node, its loop among them, int64 (N,), >= 1."""
        return self.pointer.diff()

    def total(self, h: Tensor, weight: Tensor | None = None) -> Tensor:
        """sum over messages j -> i of w_ji h_j, shape (N, k); differentiable in h and, if given, in weight."""
        given = self.weight if weight is None else weight
        total: Tensor = _Total.apply(h, given.to(h.dtype), self)
        return total

    def mean(self, h: Tensor) -> Tensor:
        """The same divided by the NUMBER of messages, not by the sum of their weights."""
        return self.total(h) / self.count.to(h.dtype).unsqueeze(1)

    def softmax(self, score: Tensor) -> Tensor:
        """Softmax over the messages of every receiver, shape (E, k) as the scores."""
        index = self.receiver.unsqueeze(1).expand_as(score)
        largest = score.new_full((self.num_nodes, score.shape[1]), -torch.inf)
        largest = largest.scatter_reduce(0, index, score.detach(), "amax")
        share = (score - largest[self.receiver]).exp()
        total = share.new_zeros(self.num_nodes, share.shape[1]).index_add(0, self.receiver, share)
        return share / total[self.receiver]


class _Total(torch.autograd.Function):
    """out = A(w) h; gradients A(w)^T g for h, and <g_i, h_j> for the weight of j -> i."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, graph: MessageGraph) -> Tensor:
        """h (N, k), weight (E,)."""
        ctx.save_for_backward(h, weight)
        ctx.graph = graph
        n = graph.num_nodes
        return csr_matrix(graph.pointer, graph.sender, weight, (n, n)) @ h

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """g (N, k)."""
        h, weight = ctx.saved_tensors
        graph, n, g = ctx.graph, ctx.graph.num_nodes, grads[0].contiguous()
        for_h = for_weight = None
        if ctx.needs_input_grad[0]:
            columns, values = graph.receiver[graph.back], weight[graph.back]
            for_h = csr_matrix(graph.back_pointer, columns, values, (n, n)) @ g
        if ctx.needs_input_grad[1]:
            pattern = csr_matrix(graph.pointer, graph.sender, torch.zeros_like(weight), (n, n))
            for_weight = torch.sparse.sampled_addmm(pattern, g, h.t()).values()
        return for_h, for_weight, None


def _pointer(sorted_ids: Tensor, num_nodes: int) -> Tensor:
    """Where each node's run begins, int64 (N + 1,)."""
    counts = torch.bincount(sorted_ids, minlength=num_nodes)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _check_weight(edge_weight: Any, edges: Tensor) -> Tensor:
    """One finite weight per edge."""
    if edge_weight is None:
        return torch.ones(edges.shape[1], device=edges.device)
    if not isinstance(edge_weight, Tensor) or edge_weight.shape != (edges.shape[1],):
        shape = tuple(getattr(edge_weight, "shape", ())) or type(edge_weight).__name__
        raise ValueError(
            f"edge_weight must hold one number for each of the {edges.shape[1]} edges, got {shape}."
        )
    if not torch.isfinite(edge_weight).all():
        raise ValueError(
            f"edge_weight holds {int((~torch.isfinite(edge_weight)).sum())} values that are not finite. "
            "Reweight in double precision."
        )
    return edge_weight
