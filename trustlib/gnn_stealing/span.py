"""Spectral augmentation by edge flips (SPAN), in the form without eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trustlib.gnn_stealing.augmentation import check_epoch
from trustlib.gnn_stealing.checks import inside, whole
from trustlib.gnn_stealing.edges import LoopedGraph, undirected
from trustlib.gnn_stealing.spectral import WeightedEdges

PAIRS = 5_000_000  # unordered pairs that are optimised together; above it, name a number of candidates


@dataclass(frozen=True)
class SpectralFlip:
    """Probabilities of flipping pairs of nodes: leaving out an edge, or putting one where there is none.

    Args:
        pairs: unordered pairs with i < j, shape (2, P).
        present: whether the pair is an edge, shape (P,), bool.
        probability: of flipping it, shape (P,), in [0, 1].
        history: spectral norm of the expected graph before every step and at the end, length steps + 1.
        num_nodes: N.
    """

    pairs: Tensor
    present: Tensor
    probability: Tensor
    history: tuple[float, ...]
    num_nodes: int

    def sample(self, *, generator: torch.Generator) -> Tensor:
        """A graph with every pair flipped with its probability, in both directions, shape (2, E)."""
        drawn = torch.rand(self.probability.shape, generator=generator, device=generator.device)
        flipped = drawn.to(self.probability.device) < self.probability
        return undirected(self.pairs[:, self.present ^ flipped], self.num_nodes)


def spectral_norm(edge_index: Tensor, num_nodes: int) -> float:
    """Euclidean norm of all eigenvalues of D^-1/2 A~ D^-1/2, from the edges alone.

    For a symmetric M: ||eigenvalues(M)||_2 = ||M||_F. Hence sqrt( sum_ij A~_ij / (d_i d_j) ) in O(|E|).

    Args:
        edge_index: shape (2, E); directions, duplicates and loops do not matter.
        num_nodes: N >= 1.

    Returns:
        In [1, sqrt(N)]; sqrt(N) without edges.

    Raises:
        TypeError, ValueError: bad edges.

    Example:
        >>> spectral_norm(torch.tensor([[0], [1]]), 2)  # eigenvalues 1 and 0
        1.0

    Source: objective of Lin et al. (ICLR 2023); the identity is ours.
    """
    graph = LoopedGraph.of(edge_index, num_nodes)
    inverse = graph.degree.double().reciprocal()
    return float((inverse[graph.row] * inverse[graph.col]).sum().sqrt())


def spectral_flip(
    edge_index: Tensor,
    num_nodes: int,
    budget: float,
    sign: Literal[1, -1] = 1,
    *,
    steps: int = 40,
    lr: float | None = None,
    candidates: int | None = None,
    generator: torch.Generator | None = None,
) -> SpectralFlip:
    """Flip probabilities that raise (sign +1) or lower (-1) the spectral norm of the expected graph.

    Projected gradient on f(Delta) = ||eigenvalues of D^-1/2 (A' + I) D^-1/2||_2 with A' = A + (1 - I - 2 A) * Delta,
    0 <= Delta <= 1, sum of Delta <= budget |E|, step lr / sqrt(t + 1). By the Frobenius identity f and its gradient
    need no eigenvalues: with M_ij = A~'_ij^2 / (d_i d_j) and rho_i = sum_j M_ij / d_i, the derivative of f^2 by A'_ij
    is 4 A'_ij / (d_i d_j) - 2 (rho_i + rho_j).

    Args:
        edge_index: shape (2, E); directions, duplicates and loops do not matter.
        num_nodes: N >= 2.
        budget: expected flips as a share of the edges, in (0, 1]; the published value is 0.3.
        sign: +1 to raise the norm, -1 to lower it.
        steps: of the projected gradient, >= 1.
        lr: first step; None for the published 100 (sign +1) and 0.1 (sign -1).
        candidates: None to optimise all N (N - 1) / 2 pairs; else the edges and this many random other pairs, for
            O(|E| + candidates) per step. Raising the norm never adds an edge, so 0 loses nothing there.
        generator: of the candidates; needed with candidates > 0.

    Returns:
        Pairs with their probabilities; draw graphs with ``.sample``.

    Raises:
        TypeError, ValueError: bad edges, a number outside its range, too many pairs, or no generator.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
        >>> flip = spectral_flip(path, 5, 0.5)
        >>> round(float(flip.probability.sum()), 6), flip.history[-1] > flip.history[0]
        (2.0, True)

    Source: Lin et al. (ICLR 2023), algorithm 1 with steps and rates of their code.
    """
    inside("budget", budget, low=0.0, high=1.0, open_low=True)
    if sign not in (1, -1):
        raise ValueError(f"sign must be +1 (raise the norm) or -1 (lower it), got {sign!r}.")
    whole("steps", steps, least=1)
    rate = {1: 100.0, -1: 0.1}[sign] if lr is None else lr
    inside("lr", rate, low=0.0, open_low=True)
    edges = undirected(edge_index, num_nodes)
    edges = edges[:, edges[0] < edges[1]]
    pairs, present = _pairs(edges, num_nodes, candidates, generator)
    adjacency = present.double()
    direction, probability = 1 - 2 * adjacency, torch.zeros_like(adjacency)
    history = []
    for step in range(steps):
        norm, gradient = _norm_and_gradient(pairs, adjacency + direction * probability, num_nodes)
        history.append(norm)
        moved = probability + sign * rate / (step + 1) ** 0.5 * direction * gradient
        probability = _project(moved, budget * edges.shape[1])
    history.append(_norm_and_gradient(pairs, adjacency + direction * probability, num_nodes)[0])
    return SpectralFlip(pairs, present, probability, tuple(history), num_nodes)


def _pairs(
    edges: Tensor, num_nodes: int, candidates: int | None, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Which pairs may be flipped, (2, P), and which of them are edges, (P,)."""
    device = edges.device
    if candidates is None:
        total = num_nodes * (num_nodes - 1) // 2
        if total > PAIRS:
            raise ValueError(
                f"{num_nodes} nodes have {total} pairs, more than the {PAIRS} that are optimised together. Pass "
                "candidates= to optimise the edges and that many random other pairs."
            )
        pairs = torch.triu_indices(num_nodes, num_nodes, offset=1, device=device)
        return pairs, torch.isin(pairs[0] * num_nodes + pairs[1], edges[0] * num_nodes + edges[1])
    whole("candidates", candidates, least=0)
    if candidates and generator is None:
        raise ValueError("candidates are drawn at random: pass generator.")
    drawn = torch.randint(num_nodes, (2, candidates), generator=generator).to(device)
    low, high = drawn.min(0).values, drawn.max(0).values
    other = (low * num_nodes + high)[low < high].unique()
    known = edges[0] * num_nodes + edges[1]
    other = other[~torch.isin(other, known)]
    key = torch.cat([known, other])
    return torch.stack([key // num_nodes, key % num_nodes]), torch.arange(len(key), device=device) < len(
        known
    )


def _norm_and_gradient(pairs: Tensor, weight: Tensor, num_nodes: int) -> tuple[float, Tensor]:
    """||M||_F with one loop per node, and its derivative by the weight of every unordered pair."""
    (i, j), one = pairs, weight.new_ones(num_nodes)
    degree = one.index_add(0, i, weight).index_add(0, j, weight)
    inverse = degree.reciprocal()
    both = inverse[i] * inverse[j]
    square = weight.square() * both
    row = inverse.square().index_add(0, i, square).index_add(0, j, square)  # sum_j M_ij
    norm = row.sum().sqrt()
    potential = row * inverse
    # a change of both entries (i, j) and (j, i): 2 * 2 w / (d_i d_j), and every degree enters M twice
    slope = 4 * weight * both - 2 * (potential[i] + potential[j])
    return float(norm), slope / (2 * norm)


def _project(values: Tensor, budget: float) -> Tensor:
    """The nearest point with entries in [0, 1] and a sum of at most the budget."""
    inside = values.clamp(0, 1)
    if not len(values) or float(inside.sum()) <= budget:
        return inside
    low, high = float(values.min()) - 1, float(values.max())
    for _ in range(100):
        middle = (low + high) / 2
        if float((values - middle).clamp(0, 1).sum()) > budget:
            low = middle
        else:
            high = middle
    return (values - high).clamp(0, 1)


class SpectralFlipping:
    """SPAN as an augmentation: probabilities once per graph, a fresh draw every epoch.

    Args:
        budget: expected flips as a share of the edges, in (0, 1].
        sign: +1 to raise the spectral norm, -1 to lower it.
        steps: of the projected gradient, >= 1.
        candidates: as in ``spectral_flip``.

    Raises:
        ValueError: a number outside its range.

    Example:
        >>> augment = SpectralFlipping()
        >>> view = augment(torch.tensor([[0, 1], [1, 2]]), 3, 0, 10, generator=torch.Generator().manual_seed(0))
        >>> view.edge_weight.unique()
        tensor([1.])

    Source: Lin et al. (ICLR 2023), with their budget of 0.3.
    """

    def __init__(
        self, budget: float = 0.3, sign: Literal[1, -1] = 1, steps: int = 40, candidates: int | None = None
    ) -> None:
        inside("budget", budget, low=0.0, high=1.0, open_low=True)
        whole("steps", steps, least=1)
        self.budget, self.sign, self.steps, self.candidates = budget, sign, steps, candidates
        self._source: tuple[Tensor, int, int] | None = None

    def __call__(
        self, edge_index: Tensor, num_nodes: int, epoch: int, epochs: int, *, generator: torch.Generator
    ) -> WeightedEdges:
        """A fresh draw: unit weights, one loop per node."""
        check_epoch(epoch, epochs)
        source = (edge_index, edge_index._version, num_nodes)
        if self._source is None or self._source[0] is not edge_index or self._source[1:] != source[1:]:
            self._flip = spectral_flip(
                edge_index,
                num_nodes,
                self.budget,
                self.sign,
                steps=self.steps,
                candidates=self.candidates,
                generator=generator,
            )
            self._source = source
        edges = LoopedGraph.of(self._flip.sample(generator=generator), num_nodes).edge_index
        return WeightedEdges(edges, torch.ones(edges.shape[1], device=edges.device))
