"""What an attacker may believe about the edges of the query graph, from all of them to none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trustlib.gnn_stealing.edges import undirected
from trustlib.gnn_stealing.graph_learning import learn_graph, weighted_cosine
from trustlib.gnn_stealing.reconstruction import knn_graph_from_features

if TYPE_CHECKING:
    from torch_geometric.data import Data

FLOOR = 0.0  # of similarities that are learned; at the published 0.65 sparse features leave next to nothing to learn


def with_edges(query: Data, edge_index: Tensor) -> Data:
    """The same nodes with other edges; the query graph itself is not changed."""
    other = query.clone()
    other.edge_index = edge_index
    return other


def count_of(query: Data) -> int:
    """Undirected edges of a graph."""
    return undirected(query.edge_index, len(query.y)).shape[1] // 2


def rebuilt(query: Data) -> Tensor:
    """Nearest neighbours by cosine of the features, the most similar of them, as many as there are true edges.

    Args:
        query: the graph; of its edges only their number is used.

    Returns:
        Edges in both directions, shape (2, E).
    """
    n, count = len(query.y), count_of(query)
    for k in range(1, n):
        edges = knn_graph_from_features(query.x, k)
        if edges.shape[1] >= 2 * count:
            break
    row, col = edges[:, edges[0] < edges[1]]
    x = query.x.to_dense()
    similarity = torch.cosine_similarity(x[row], x[col], dim=1)
    kept = similarity.argsort(descending=True, stable=True)[:count]
    return undirected(torch.stack([row[kept], col[kept]]), n)


def share_alike(query: Data, floor: float) -> float:
    """Share of pairs of different nodes whose features have at least this cosine.

    Args:
        query: the graph; only its features are used.
        floor: in [-1, 1].

    Returns:
        In [0, 1].
    """
    x = query.x.to_dense()
    similarity = weighted_cosine(x, torch.ones(1, x.shape[1]).to(x))
    pairs = torch.triu_indices(len(x), len(x), offset=1)
    return float((similarity[pairs[0], pairs[1]] >= floor).double().mean())


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
    generator = torch.Generator().manual_seed(seed)
    edges = random_edges(len(query.y), count_of(query), generator=generator)
    return with_edges(query, edges.to(query.edge_index.device))


def _learned(query: Data, seed: int) -> Data:
    """The learned graph's strongest edges, as many as there are true ones."""
    learned = learn_graph(query.x, query.y, floor=FLOOR, seed=seed)
    return with_edges(query, learned.strongest(count_of(query)))


VERSIONS: dict[str, Callable[[Data, int], Data]] = {
    "true": lambda query, seed: query,
    "learned": _learned,
    "rebuilt": lambda query, seed: with_edges(query, rebuilt(query)),
    "handed_over": lambda query, seed: with_edges(query, undirected(query.edge_index, len(query.y))),
    "random": _random,
    "none": lambda query, seed: query,
}
