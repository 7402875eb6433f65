"""Spectral augmentation: re-weighted edges that move high graph frequencies more than low ones, in O(|E|)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import inside, whole
from trustlib.gnn_stealing.edges import LoopedGraph
from trustlib.gnn_stealing.sinkhorn import sinkhorn


class WeightedEdges(NamedTuple):
    """A re-weighted graph: edges in both directions and one loop per node, (2, M), and their weights, (M,)."""

    edge_index: Tensor
    edge_weight: Tensor


def spco_edge_weight(
    edge_index: Tensor,
    num_nodes: int,
    *,
    strength: float = 0.1,
    epsilon: float = 0.1,
    sinkhorn_iters: int = 3,
    scales: Sequence[float] = (1.0,),
    transpose: bool = False,
) -> WeightedEdges:
    """The spectrally augmented graph of SpCo, without a dense matrix.

    With A~ = A + I, L = I - D^-1/2 A~ D^-1/2 and a = degree / sum of degrees, every scale s in turn does
    delta+ = Sinkhorn(exp(+2 s^2 <L, delta+> L / epsilon), a, a), delta- = Sinkhorn(exp(-2 s^2 <L, delta-> L /
    epsilon), a, a), from delta = 1/2 everywhere. Then P = (delta+ - delta-) on the entries of A~,
    W = A~ + strength * P_ij / sqrt(r_i r_j), r = row sums of |P|. L and P live on the edges and loops, so time is
    O(sinkhorn_iters |E|) and memory O(|E|); all exponents stay in logarithms, so W is finite for every graph.

    Args:
        edge_index: shape (2, E), whole numbers. Directed edges, duplicates and loops may occur: the method is defined
            for undirected simple graphs, so each pair counts once in both directions and each node gets one loop.
        num_nodes: N >= 1; nodes without edges keep a loop of weight 1 +- strength. Where every connected part is
            regular, as in a graph without edges, <L, delta> = 0 and all weights are 1.
        strength: lambda > 0, largest change of a weight; the published value is 0.1.
        epsilon: weight of the entropy, > 0; the published value is 0.1.
        sinkhorn_iters: >= 1; the published value is 3. Rows then miss the marginal by up to a third, so W is not
            symmetric.
        scales: s of each refresh so far; (1.0,) is the first one.
        transpose: return W^T, which is what the normalisation of the published code does.

    Returns:
        Edges sorted by source, and W on them in float64: from the second refresh on, P is a small
        difference of nearly equal numbers.

    Raises:
        TypeError, ValueError: bad edges; strength or epsilon not > 0; sinkhorn_iters < 1; no scale, or one that is
            negative or not finite.

    Example:
        >>> edge_index, edge_weight = spco_edge_weight(torch.tensor([[0, 1], [1, 2]]), 4)  # a path and a lone node
        >>> edge_index[0].tolist(), edge_index[1].tolist()
        ([0, 0, 1, 1, 1, 2, 2, 3], [0, 1, 0, 1, 2, 1, 2, 3])
        >>> edge_weight.round(decimals=3)
        tensor([1.0470, 0.9640, 0.9640, 1.0510, 0.9640, 0.9640, 1.0470, 1.1000],
               dtype=torch.float64)

    Source: Liu et al. (NeurIPS 2022), as used in the code of Podhajski et al. (ECAI 2024); the sparse form is ours.
    """
    inside("strength", strength, low=0.0, open_low=True)
    inside("epsilon", epsilon, low=0.0, open_low=True)
    whole("sinkhorn_iters", sinkhorn_iters, least=1)
    if not len(scales):
        raise ValueError("scales must hold at least one number; (1.0,) is the first refresh.")
    for scale in scales:
        inside("scale", scale, low=0.0)
    transport = SpectralTransport(
        LoopedGraph.of(edge_index, num_nodes), epsilon=epsilon, iterations=sinkhorn_iters
    )
    for scale in scales:
        transport.refresh(scale)
    return transport.view(strength, transpose=transpose)


class SpectralTransport:
    """The two transport plans delta+ and delta- of one graph, refresh by refresh.

    A refresh depends on the one before only through <L, delta+> and <L, delta->, two numbers.

    Args:
        graph: with one loop per node.
        epsilon: weight of the entropy, > 0.
        iterations: of Sinkhorn, >= 1.

    Example:
        >>> transport = SpectralTransport(LoopedGraph.of(torch.tensor([[0], [1]]), 2), epsilon=0.1, iterations=3)
        >>> transport.refresh(1.0)
        >>> transport.view(0.1).edge_weight.shape
        torch.Size([4])

    Source: Liu et al. (NeurIPS 2022), algorithm 1.
    """

    def __init__(self, graph: LoopedGraph, *, epsilon: float, iterations: int) -> None:
        self.graph, self.epsilon, self.iterations = graph, epsilon, iterations
        degree = graph.degree.double()
        self.log_marginal = (degree / degree.sum()).log()
        loop = (graph.row == graph.col).double()
        self.laplacian = loop - degree.rsqrt()[graph.row] * degree.rsqrt()[graph.col]
        self.gains = (0.5 * self._quadratic(torch.ones_like(degree)),) * 2
        self.exponents: tuple[Tensor, Tensor] | None = None

    def refresh(self, scale: float) -> None:
        """Compute both plans anew from the last ones, with the Laplacian scaled by ``scale``."""
        plans = [self._plan(sign * scale**2 * gain) for sign, gain in zip((1, -1), self.gains, strict=True)]
        self.exponents = (plans[0][0], plans[1][0])
        self.gains = (plans[0][1], plans[1][1])

    def _plan(self, slope: float) -> tuple[Tensor, float]:
        """log(delta_ij / a_i a_j) on the stored entries, and <L, delta>."""
        graph = self.graph
        log_kernel = (2 * slope / self.epsilon) * self.laplacian
        alpha, beta = sinkhorn(graph, log_kernel, self.log_marginal, iterations=self.iterations)
        exponent = alpha[graph.row] + log_kernel + beta[graph.col]
        marginal = self.log_marginal[graph.row] + self.log_marginal[graph.col]
        if float(exponent.abs().max()) > 1:
            return exponent, float(self.laplacian @ (marginal + exponent).exp())
        moved = float(self.laplacian @ (marginal.exp() * exponent.expm1()))
        return exponent, self._quadratic(self.log_marginal.exp()) + moved

    def _quadratic(self, x: Tensor) -> float:
        """x^T L x as a sum of squares, which is exactly 0 in a regular graph for a constant x."""
        scaled = x * self.graph.degree.double().rsqrt()
        return 0.5 * float((scaled[self.graph.row] - scaled[self.graph.col]).square().sum())

    def view(self, strength: float, *, transpose: bool = False) -> WeightedEdges:
        """A~ + strength * P / sqrt(r r'), where P = delta+ - delta- and r are the row sums of |P|."""
        if self.exponents is None:
            raise ValueError("there is no plan yet: call refresh first.")
        graph, (plus, minus) = self.graph, self.exponents
        gap = plus - minus
        marginal = self.log_marginal[graph.row] + self.log_marginal[graph.col]
        size = marginal + torch.maximum(plus, minus) + torch.log(-torch.expm1(-gap.abs()))
        rows = graph.row_logsumexp(size)
        relative = (size - (rows[graph.row] + rows[graph.col]) / 2).exp()
        change = torch.where(gap == 0, torch.zeros_like(gap), gap.sign() * relative)
        if transpose:
            change = change[graph.reverse()]
        return WeightedEdges(graph.edge_index, 1 + strength * change)
