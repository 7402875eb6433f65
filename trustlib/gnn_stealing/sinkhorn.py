"""Sinkhorn scaling of a kernel that is 1 everywhere except on the stored entries of a graph.

The kernel K = exp(log_kernel) of spectral augmentation has N^2 entries, but log_kernel vanishes off the edges. Hence
K x = (sum of x) 1 + S x with S = K - 1 on 2 |E| + N entries only, and one product costs O(|E|).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from trustlib.gnn_stealing.edges import LoopedGraph

SMALL = 1.0  # largest |log K| for which sums over S are formed without logarithms; none of them cancels then
CANCELLED = 1e-4  # share of a total below which a difference from that total is summed anew


class Scaling(NamedTuple):
    """delta_ij = a_i a_j exp(alpha_i + log K_ij + beta_j), alpha and beta of shape (N,)."""

    alpha: Tensor
    beta: Tensor


def sinkhorn(graph: LoopedGraph, log_kernel: Tensor, log_marginal: Tensor, *, iterations: int) -> Scaling:
    """Scale the rows and columns of K to the marginal a; O(iterations |E|), finite for every kernel.

    u = 1 / N; repeat: u = a / (K (a / (K^T u))); at the end v = a / (K^T u), delta = diag(u) K diag(v).
    Columns of delta sum to a exactly, rows approximately.

    Args:
        graph: where K differs from 1; undirected, so that K = K^T.
        log_kernel: log K on the stored entries, shape (M,), float64, symmetric.
        log_marginal: log a, shape (N,), float64; a > 0 sums to 1.
        iterations: >= 1; the published code does 3.

    Returns:
        alpha = log(u / a) and beta = log(v / a). Small kernels keep their relative precision: alpha and beta are
        formed from log K without the rounding of numbers near 1.

    Example:
        >>> graph = LoopedGraph.of(torch.tensor([[0], [1]]), 2)
        >>> scaling = sinkhorn(graph, torch.zeros(4).double(), torch.full((2,), 0.5).double().log(), iterations=3)
        >>> scaling.alpha.abs().tolist(), scaling.beta.abs().tolist()
        ([0.0, 0.0], [0.0, 0.0])

    Source: Sinkhorn scaling as used by Liu et al. (NeurIPS 2022); the two exact sparse forms are ours.
    """
    small = float(log_kernel.abs().max()) <= SMALL
    return (_near_one if small else _any_size)(graph, log_kernel, log_marginal, iterations)


def _near_one(graph: LoopedGraph, log_kernel: Tensor, log_marginal: Tensor, iterations: int) -> Scaling:
    """Work with the deviations from K = 1, where u = v = a and all sums are 1."""
    marginal, excess_kernel = log_marginal.exp(), log_kernel.expm1()

    def reciprocal(x: Tensor, excess: Tensor) -> Tensor:
        """log of 1 / (K x), where x sums to 1 + excess."""
        return -torch.log1p(excess + graph.row_sum(excess_kernel * x.index_select(0, graph.col)))

    u, excess = torch.full_like(marginal, 1 / graph.num_nodes), marginal.new_zeros(())
    alpha = beta = torch.zeros_like(marginal)
    for _ in range(iterations):
        beta = reciprocal(u, excess)
        alpha = reciprocal(marginal * beta.exp(), marginal @ beta.expm1())
        u, excess = marginal * alpha.exp(), marginal @ alpha.expm1()
    return Scaling(alpha, reciprocal(u, excess))


def _any_size(graph: LoopedGraph, log_kernel: Tensor, log_marginal: Tensor, iterations: int) -> Scaling:
    """Work with logarithms throughout."""
    log_u = torch.full_like(log_marginal, -math.log(graph.num_nodes))
    for _ in range(iterations):
        log_v = log_marginal - log_product(graph, log_kernel, log_u)
        log_u = log_marginal - log_product(graph, log_kernel, log_v)
    return Scaling(log_u - log_marginal, -log_product(graph, log_kernel, log_u))


def log_product(graph: LoopedGraph, log_kernel: Tensor, log_x: Tensor) -> Tensor:
    """log(K x) from log x, row by row.

    Args:
        graph: where K differs from 1.
        log_kernel: log K on the stored entries, shape (M,), float64.
        log_x: shape (N,), float64; any range.

    Returns:
        Shape (N,).

    Example:
        >>> graph = LoopedGraph.of(torch.tensor([[0], [1]]), 3)  # node 2 is alone
        >>> log_kernel = torch.tensor([2.0, 1.0, 1.0, 2.0, 3.0]).double().log()
        >>> log_product(graph, log_kernel, torch.tensor([1.0, 10.0, 100.0]).double().log()).exp()
        tensor([112.0000, 121.0000, 311.0000], dtype=torch.float64)

    Source: ours.
    """
    log_stored = log_x.index_select(0, graph.col)
    inside = graph.row_logsumexp(log_kernel + log_stored)
    top = log_x.max()
    x = (log_stored - top).exp()
    total = (log_x - top).exp().sum()
    outside = total - graph.row_sum(x)
    lost = outside < CANCELLED * total
    log_outside = outside.clamp(min=0).log() + top
    if bool(lost.any()):
        log_outside[lost] = _log_complement(graph, log_x, lost)
    return torch.logaddexp(inside, log_outside)


def _log_complement(graph: LoopedGraph, log_x: Tensor, rows: Tensor) -> Tensor:
    """log of the sum of x over what a row does not store, for the rows in the mask, without cancellation.

    With the nodes sorted by x, a row leaves gaps between its stored nodes; the sum over a gap is a difference of two
    sums that end at the smallest x, so at least 1 / N of the larger one remains.
    """
    n, inf = graph.num_nodes, float("inf")
    order = log_x.argsort(descending=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(n, device=order.device)
    tail = torch.cat([log_x[order].flip(0).logcumsumexp(0).flip(0), log_x.new_full((1,), -inf)])
    number = rows.cumsum(0) - 1
    kept = rows[graph.row]
    count = int(rows.sum())
    owner, place = number[graph.row[kept]], rank[graph.col[kept]]
    ends = torch.arange(
        count, device=order.device
    )  # every row also has an entry at place n, which ends its last gap
    key = torch.cat([owner * (n + 1) + place, ends * (n + 1) + n]).sort().values
    owner, stop = key // (n + 1), key % (n + 1)
    first = torch.ones_like(owner, dtype=torch.bool)
    first[1:] = owner[1:] != owner[:-1]
    start = torch.where(first, 0, stop.roll(1) + 1)
    gap = tail[start.clamp(max=n)] + torch.log(
        -torch.expm1(_difference(tail[stop], tail[start.clamp(max=n)]))
    )
    gap = torch.where(start < stop, gap, torch.full_like(gap, -inf))
    top = torch.segment_reduce(gap, "max", lengths=graph.degree[rows] + 1)
    top = torch.where(top.isfinite(), top, torch.zeros_like(top))
    total = torch.segment_reduce((gap - top[owner]).exp(), "sum", lengths=graph.degree[rows] + 1)
    return top + total.log()


def _difference(smaller: Tensor, larger: Tensor) -> Tensor:
    """smaller - larger, where both may be -inf."""
    return torch.where(smaller == larger, torch.zeros_like(smaller), smaller - larger)
