"""What an attacker may believe about the edges of the query graph, from all of them to none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.graph_learning import learn_graph
from trustlib.gnn_stealing.reconstruction import knn_graph_from_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

MOST_NEIGHBOURS = 12


def with_edges(query: Data, edge_index: Tensor) -> Data:
    """The same nodes with other edges; the query graph itself is not changed."""
    other = query.clone()
    other.edge_index = edge_index
    return other


def rebuilt(query: Data) -> Tensor:
    """Nearest neighbours by cosine of the features; as many of them as bring the mean degree closest to the true one.

    Args:
        query: the graph; of its edges only their number is used.

    Returns:
        Edges in both directions, shape (2, E).
    """
    n = len(query.y)
    true = undirected(query.edge_index, n).shape[1]
    candidates = [
        undirected(knn_graph_from_features(query.x, k), n) for k in range(1, min(MOST_NEIGHBOURS, n - 1) + 1)
    ]
    return min(candidates, key=lambda edges: abs(edges.shape[1] - true))


def random_edges(num_nodes: int, count: int, *, generator: torch.Generator) -> Tensor:
    """That many undirected edges between random nodes, in both directions.

    Args:
        num_nodes: N >= 2.
        count: undirected edges, at most the number of pairs.
        generator: of the draw.

    Returns:
        Shape (2, 2 count).

    Example:
        >>> random_edges(4, 3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2, 6])
    """
    pairs = torch.triu_indices(num_nodes, num_nodes, offset=1)
    chosen = torch.randperm(pairs.shape[1], generator=generator)[:count]
    return undirected(pairs[:, chosen], num_nodes)


def _random(query: Data, seed: int) -> Data:
    count = rebuilt(query).shape[1] // 2
    generator = torch.Generator().manual_seed(seed)
    edges = random_edges(len(query.y), count, generator=generator)
    return with_edges(query, edges.to(query.edge_index.device))


def _learned(query: Data, seed: int) -> Data:
    """The learned graph's strongest edges, as many as are rebuilt from nearest neighbours."""
    learned = learn_graph(query.x, query.y, seed=seed)
    return with_edges(query, learned.strongest(rebuilt(query).shape[1] // 2))


VERSIONS: dict[str, Callable[[Data, int], Data]] = {
    "true": lambda query, seed: query,
    "learned": _learned,
    "rebuilt": lambda query, seed: with_edges(query, rebuilt(query)),
    "handed_over": lambda query, seed: with_edges(query, undirected(query.edge_index, len(query.y))),
    "random": _random,
    "none": lambda query, seed: query,
}
