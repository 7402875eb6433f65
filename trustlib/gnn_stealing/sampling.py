"""Neighbourhoods drawn with array operations only: mini-batches of large graphs without compiled samplers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import check_edges, whole


@dataclass(frozen=True)
class Block:
    """A drawn neighbourhood: run a model on it and keep the first ``seeds`` rows.

    Args:
        nodes: int64 (m,), numbers in the whole graph; the seeds come first, in the order asked for.
        edge_index: int64 (2, e), positions in ``nodes``.
        edge_weight: (e,) or None.
        edges: int64 (e,), numbers of the edges in the whole graph.
        seeds: how many of the nodes are seeds.
    """

    nodes: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None
    edges: Tensor
    seeds: int


class NeighbourSampler:
    """Draws incoming neighbours hop by hop: all of them up to the fan-out, else that many without replacement.

    The loop of a node that is expanded is always kept, with its weight; it does not count as a neighbour.

    Args:
        edge_index: integer (2, E), senders above, receivers below.
        num_nodes: N.
        edge_weight: (E,), None: none.

    Raises:
        TypeError, ValueError: edges out of range, or weights that are not one per edge.

    Example:
        >>> star = NeighbourSampler(torch.tensor([[1, 2, 3], [0, 0, 0]]), num_nodes=4)
        >>> block = star.sample(torch.tensor([0]), (2,), generator=torch.Generator().manual_seed(0))
        >>> block.nodes.tolist()[0], len(block.nodes), block.edge_index[1].tolist()
        (0, 3, [0, 0])

    Source: neighbour sampling of Hamilton et al., NeurIPS 2017; subsets by the method of Floyd (Bentley and Floyd,
        Communications of the ACM 30, 1987).
    """

    def __init__(self, edge_index: Tensor, *, num_nodes: int, edge_weight: Tensor | None = None) -> None:
        edges = check_edges(edge_index, num_nodes=whole("num_nodes", num_nodes, least=1))
        if edge_weight is not None and edge_weight.shape != (edges.shape[1],):
            raise ValueError(
                f"edge_weight must hold one number for each of the {edges.shape[1]} edges, got "
                f"{tuple(edge_weight.shape)}."
            )
        self.num_nodes, self.edge_weight = num_nodes, edge_weight
        loops = edges[0] == edges[1]
        self._sender = edges[0]
        self._between = _Incoming(edges[1], torch.nonzero(~loops).flatten(), num_nodes)
        self._loops = _Incoming(edges[1], torch.nonzero(loops).flatten(), num_nodes)
        self._place = torch.full((num_nodes,), -1, dtype=torch.int64, device=edges.device)

    def sample(self, seeds: Tensor, fanouts: Sequence[int], *, generator: torch.Generator) -> Block:
        """The neighbourhood of some nodes.

        Args:
            seeds: int64 (n,), different nodes.
            fanouts: neighbours per node in every hop, the seeds' hop first; -1: all of them.
            generator: of the draws.

        Raises:
            ValueError: seeds that are not there or repeated, or a fan-out that is neither -1 nor >= 1.
        """
        check_edges(torch.stack([seeds, seeds]), num_nodes=self.num_nodes, name="seeds")
        for fanout in fanouts:
            if fanout != -1 and fanout < 1:
                raise ValueError(f"fanouts must be >= 1, or -1 for all neighbours, got {tuple(fanouts)}.")
        nodes, picked = [seeds], []
        place, known = self._place, len(seeds)
        try:
            place[seeds] = torch.arange(known, device=place.device)
            if not torch.equal(place[seeds], torch.arange(known, device=place.device)):
                raise ValueError("seeds names a node more than once.")
            for fanout in fanouts:
                edges = self._between.draw(nodes[-1], fanout, generator)
                picked.append(torch.cat([edges, self._loops.draw(nodes[-1], -1, generator)]))
                reached = torch.unique(self._sender[edges])
                new = reached[place[reached] < 0]
                place[new] = torch.arange(known, known + len(new), device=place.device)
                known += len(new)
                nodes.append(new)
            chosen = torch.cat(picked) if picked else seeds.new_empty(0)
            receiver = self._between.receiver[chosen]
            local = torch.stack([place[self._sender[chosen]], place[receiver]])
        finally:
            for part in nodes:
                place[part] = -1
        weight = None if self.edge_weight is None else self.edge_weight[chosen]
        return Block(torch.cat(nodes), local, weight, chosen, len(seeds))

    def batches(
        self, nodes: Tensor, *, batch_size: int, fanouts: Sequence[int], generator: torch.Generator
    ) -> Iterator[Block]:
        """All nodes once, in random order, in neighbourhoods of ``batch_size`` seeds (the last may be smaller).

        Raises:
            TypeError, ValueError: batch_size < 1, or as `sample`.
        """
        whole("batch_size", batch_size, least=1)
        order = torch.randperm(len(nodes), generator=generator).to(nodes.device)
        for part in order.split(batch_size):
            yield self.sample(nodes[part], fanouts, generator=generator)


class _Incoming:
    """Some of the edges by receiver: those of node i are edges[pointer[i] : pointer[i + 1]]."""

    def __init__(self, receiver: Tensor, edges: Tensor, num_nodes: int) -> None:
        self.receiver = receiver
        self.edges = edges[torch.sort(receiver[edges], stable=True).indices]
        counts = torch.bincount(receiver[edges], minlength=num_nodes)
        self.pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def draw(self, nodes: Tensor, fanout: int, generator: torch.Generator) -> Tensor:
        """Edges that arrive at the nodes: all, or ``fanout`` of them where there are more."""
        start = self.pointer[nodes]
        degree = self.pointer[nodes + 1] - start
        few = degree <= fanout if fanout >= 0 else torch.ones_like(degree, dtype=torch.bool)
        length = degree[few]
        offset = torch.arange(int(length.sum()), device=length.device) - (
            length.cumsum(0) - length
        ).repeat_interleave(length)
        places = [start[few].repeat_interleave(length) + offset]
        if not few.all():
            subsets = distinct_positions(degree[~few], fanout, generator=generator)
            places.append((start[~few].unsqueeze(1) + subsets).flatten())
        return self.edges[torch.cat(places)]


def distinct_positions(sizes: Tensor, k: int, *, generator: torch.Generator) -> Tensor:
    """For every row, k different numbers below its size; every subset is equally likely.

    Args:
        sizes: int64 (n,), each >= k.
        k: how many.
        generator: of the draws.

    Returns:
        int64 (n, k), in no particular order.

    Raises:
        ValueError: a size below k.

    Example:
        >>> distinct_positions(torch.tensor([2]), 2, generator=torch.Generator()).sort().values.tolist()
        [[0, 1]]
    """
    if len(sizes) and int(sizes.min()) < k:
        raise ValueError(f"sizes must be at least k = {k}, got {int(sizes.min())}.")
    chosen = torch.full((len(sizes), k), -1, dtype=torch.int64, device=sizes.device)
    uniform = torch.rand(len(sizes), k, generator=generator, dtype=torch.float64).to(sizes.device)
    for step in range(k):
        last = sizes - k + step  # a draw from 0..last; if it is taken already, ``last`` itself cannot be
        draw = torch.minimum((uniform[:, step] * (last + 1)).long(), last)
        taken = (chosen == draw.unsqueeze(1)).any(dim=1)
        chosen[:, step] = torch.where(taken, last, draw)
    return chosen
