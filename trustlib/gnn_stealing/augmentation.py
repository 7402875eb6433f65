"""Views of the query graph: what changes edges, weights and features before the surrogate sees them."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import inside, is_sparse, one_of, whole
from trustlib.gnn_stealing.edges import LoopedGraph
from trustlib.gnn_stealing.messages import csr_matrix
from trustlib.gnn_stealing.spectral import SpectralTransport, WeightedEdges


class Augmentation(Protocol):
    """Anything that turns a graph and an epoch into a weighted graph with one loop per node."""

    def __call__(
        self, edge_index: Tensor, num_nodes: int, epoch: int, epochs: int, *, generator: torch.Generator
    ) -> WeightedEdges:
        """The view of one epoch, 0 <= epoch < epochs."""
        ...


def feature_column_mask(x: Tensor, keep_prob: float, *, generator: torch.Generator) -> Tensor:
    """Set whole feature columns to zero, the same for all nodes, without rescaling the others.

    x' = x * m, m in {0, 1}^d with P(m_k = 1) = keep_prob.

    Args:
        x: features, shape (N, d), dense or sparse CSR.
        keep_prob: in (0, 1].
        generator: of the mask.

    Returns:
        Shape (N, d); x itself is not changed.

    Raises:
        ValueError: x is not (N, d), or keep_prob outside (0, 1].

    Example:
        >>> feature_column_mask(torch.ones(2, 4), 0.5, generator=torch.Generator().manual_seed(0))
        tensor([[1., 0., 1., 1.],
                [1., 0., 1., 1.]])

    Source: code of Podhajski et al. (ECAI 2024).
    """
    if x.dim() != 2:
        raise ValueError(f"x must have shape (N, d), got {tuple(x.shape)}.")
    inside("keep_prob", keep_prob, low=0.0, high=1.0, open_low=True)
    drawn = torch.rand(x.shape[1], generator=generator, device=generator.device).to(x.device)
    mask = (drawn < keep_prob).to(x.dtype)
    if not is_sparse(x):
        return x * mask
    columns = x.col_indices()
    return csr_matrix(x.crow_indices(), columns, x.values() * mask[columns], (x.shape[0], x.shape[1]))


def drop_edges(
    edge_index: Tensor, edge_weight: Tensor, *, rate: float, generator: torch.Generator
) -> WeightedEdges:
    """Leave out every edge with a probability; loops stay.

    Args:
        edge_index: shape (2, M); the two directions of an edge are dropped one by one.
        edge_weight: shape (M,).
        rate: probability of leaving an entry out, in [0, 1].
        generator: of the draws.

    Returns:
        What is left.

    Raises:
        ValueError: rate outside [0, 1], or lengths that differ.

    Example:
        >>> pair = torch.tensor([[0, 1, 0], [1, 0, 0]])
        >>> drop_edges(pair, torch.ones(3), rate=1.0, generator=torch.Generator()).edge_index.tolist()
        [[0], [0]]

    Source: code of Podhajski et al. (ECAI 2024), which drops 5 %.
    """
    inside("rate", rate, low=0.0, high=1.0)
    if edge_weight.shape != edge_index.shape[1:]:
        raise ValueError(
            f"edge_weight must have one value per edge, got {tuple(edge_weight.shape)} for "
            f"edges {tuple(edge_index.shape)}."
        )
    drawn = torch.rand(edge_index.shape[1], generator=generator, device=generator.device)
    keep = (drawn >= rate).to(edge_index.device) | (edge_index[0] == edge_index[1])
    return WeightedEdges(edge_index[:, keep], edge_weight[keep])


class EdgeDrop:
    """Random edge dropping alone: the view of plain graph contrastive learning.

    Args:
        rate: probability of leaving out a directed edge, in [0, 1].
        refresh: epochs between draws, >= 1.

    Raises:
        ValueError: rate outside [0, 1], or refresh below 1.

    Example:
        >>> view = EdgeDrop(0.05)(torch.tensor([[0, 1], [1, 0]]), 3, 0, 10, generator=torch.Generator().manual_seed(0))
        >>> view.edge_weight.unique()
        tensor([1.])

    Source: the ablation without spectral weights of Podhajski et al. (ECAI 2024).
    """

    def __init__(self, rate: float = 0.05, refresh: int = 1) -> None:
        self.rate = inside("rate", rate, low=0.0, high=1.0)
        self.refresh = whole("refresh", refresh, least=1)
        self._drawn: tuple[Tensor, int, int] | None = None  # what the view is of

    def __call__(
        self, edge_index: Tensor, num_nodes: int, epoch: int, epochs: int, *, generator: torch.Generator
    ) -> WeightedEdges:
        """Unit weights, one loop per node; the same object until the next draw."""
        check_epoch(epoch, epochs)
        last, version, number = self._drawn or (None, 0, 0)
        held = last is edge_index and (version, number) == (edge_index._version, epoch // self.refresh)
        if not held or epoch % self.refresh == 0:
            self._drawn = (edge_index, edge_index._version, epoch // self.refresh)
            edges = LoopedGraph.of(edge_index, num_nodes).edge_index
            ones = torch.ones(edges.shape[1], device=edges.device)
            self._view = drop_edges(edges, ones, rate=self.rate, generator=generator)
        return self._view


class SpectralReweighting:
    """SpCo as an augmentation: weights that are refreshed every few epochs, then a few edges dropped.

    The first refresh scales the Laplacian by 1, the one at epoch e by e / epochs. Calls are a function of their
    arguments and of the generator: a call out of order first redoes the refreshes before it.

    Args:
        strength: lambda > 0, largest change of a weight.
        epsilon: weight of the entropy, > 0.
        sinkhorn_iters: >= 1.
        refresh: epochs between refreshes, >= 1.
        edge_drop: probability of leaving out a directed edge at a refresh, in [0, 1].
        signs: "spectral", or "random" as a control: changes of the same size with random signs.

    Raises:
        ValueError: a number outside its range, or unknown signs.

    Example:
        >>> augment = SpectralReweighting()
        >>> path = torch.tensor([[0, 1], [1, 2]])
        >>> view = augment(path, 3, 0, 200, generator=torch.Generator().manual_seed(0))
        >>> bool(((view.edge_weight - 1).abs() <= 0.1 + 1e-6).all())
        True

    Source: code of Podhajski et al. (ECAI 2024), whose values are the defaults, after Liu et al. (NeurIPS 2022).
    """

    def __init__(
        self,
        strength: float = 0.1,
        epsilon: float = 0.1,
        sinkhorn_iters: int = 3,
        refresh: int = 20,
        edge_drop: float = 0.05,
        signs: Literal["spectral", "random"] = "spectral",
    ) -> None:
        inside("strength", strength, low=0.0, open_low=True)
        inside("epsilon", epsilon, low=0.0, open_low=True)
        whole("sinkhorn_iters", sinkhorn_iters, least=1)
        whole("refresh", refresh, least=1)
        inside("edge_drop", edge_drop, low=0.0, high=1.0)
        one_of("signs", signs, ("spectral", "random"))
        self.signs = signs
        self.strength, self.epsilon, self.sinkhorn_iters = strength, epsilon, sinkhorn_iters
        self.refresh, self.edge_drop = refresh, edge_drop
        self._source: tuple[Tensor, int, int, int] | None = None
        self._done = -1  # last refresh

    def __call__(
        self, edge_index: Tensor, num_nodes: int, epoch: int, epochs: int, *, generator: torch.Generator
    ) -> WeightedEdges:
        """The view of one epoch; the same object until the next refresh. Epoch 0 starts a new training."""
        check_epoch(epoch, epochs)
        number = epoch // self.refresh
        if epoch == 0 or number < self._done or not self._continues(edge_index, num_nodes, epochs):
            self._transport = SpectralTransport(
                LoopedGraph.of(edge_index, num_nodes), epsilon=self.epsilon, iterations=self.sinkhorn_iters
            )
            self._source, self._done = (edge_index, edge_index._version, num_nodes, epochs), -1
        if number > self._done:
            for k in range(self._done + 1, number + 1):
                self._transport.refresh(1.0 if k == 0 else k * self.refresh / epochs)
            self._done = number
            edges, weight = self._transport.view(self.strength)
            if self.signs == "random":
                coin = torch.rand(weight.shape, generator=generator, device=generator.device).to(
                    weight.device
                )
                weight = torch.where(coin < 0.5, weight, 2 - weight)
            weight = weight.to(torch.get_default_dtype())
            self._view = drop_edges(edges, weight, rate=self.edge_drop, generator=generator)
        return self._view

    def _continues(self, edge_index: Tensor, num_nodes: int, epochs: int) -> bool:
        """Whether this is the graph and the schedule of the last call."""
        if self._source is None:
            return False
        last, version, nodes, total = self._source
        return last is edge_index and version == edge_index._version and (nodes, total) == (num_nodes, epochs)


class LoopEmphasis:
    """Control for the spectral weights: every loop and every edge gets one fixed weight.

    Args:
        loop: weight of loops.
        edge: weight of edges.
        edge_drop: probability of leaving out a directed edge, in [0, 1].

    Raises:
        ValueError: edge_drop outside [0, 1], or a weight that is not > 0.

    Example:
        >>> augment = LoopEmphasis(edge_drop=0.0)
        >>> augment(torch.tensor([[0], [1]]), 2, 0, 10, generator=torch.Generator().manual_seed(0)).edge_weight
        tensor([1.1000, 0.9000, 0.9000, 1.1000])

    Source: ours; the mean effect of SpCo is a small emphasis of the loops.
    """

    def __init__(self, loop: float = 1.1, edge: float = 0.9, edge_drop: float = 0.05) -> None:
        inside("loop", loop, low=0.0, open_low=True)
        inside("edge", edge, low=0.0, open_low=True)
        inside("edge_drop", edge_drop, low=0.0, high=1.0)
        self.loop, self.edge, self.edge_drop = loop, edge, edge_drop

    def __call__(
        self, edge_index: Tensor, num_nodes: int, epoch: int, epochs: int, *, generator: torch.Generator
    ) -> WeightedEdges:
        """A fresh view."""
        check_epoch(epoch, epochs)
        graph = LoopedGraph.of(edge_index, num_nodes)
        weight = torch.full(graph.row.shape, self.edge, device=graph.row.device)
        weight[graph.row == graph.col] = self.loop
        return drop_edges(graph.edge_index, weight, rate=self.edge_drop, generator=generator)


def check_epoch(epoch: int, epochs: int) -> None:
    """Refuse an epoch outside 0 <= epoch < epochs."""
    whole("epochs", epochs, least=1)
    whole("epoch", epoch, least=0)
    if epoch >= epochs:
        raise ValueError(f"epoch must be below epochs, got epoch {epoch} of {epochs}; the first one is 0.")
