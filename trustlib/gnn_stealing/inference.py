"""Exact outputs of any model on a graph that is too large for one pass: the neighbourhoods of some nodes at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_graph, whole
from trustlib.gnn_stealing.outputs import Embed, node_outputs
from trustlib.gnn_stealing.sampling import NeighbourSampler
from trustlib.gnn_stealing.splits import as_data, take_rows


def neighbourhood_outputs(
    model: nn.Module,
    data: Any,
    *,
    hops: int,
    nodes_at_once: int = 10_000,
    embed: Embed | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Logits and embeddings as `node_outputs` gives them, from complete neighbourhoods of a part of the nodes.

    The outputs are exact if no output depends on what is more than ``hops`` edges away. That is the number of layers,
    and one more for layers that look at the degree of the sender (GCNConv). Memory follows the neighbourhoods; work is
    repeated where they overlap. `TargetGNN` and `Surrogate` need none of this, their own passes are bounded.

    Args:
        model: any module ``model(x, edge_index)`` without batch statistics over nodes.
        data: a graph with x and edge_index.
        hops: how far the model sees.
        nodes_at_once: nodes whose outputs are kept per pass.
        embed: as in `node_outputs`.

    Returns:
        Logits (N, C) and embeddings (N, r) or None.

    Raises:
        TypeError, ValueError: as `node_outputs`, or a size below 1.

    Example:
        >>> from trustlib.gnn_stealing import TargetGNN
        >>> model = TargetGNN("gin", in_features=2, num_classes=3, hidden=4, seed=0)
        >>> nodes = torch.arange(6)
        >>> ring = SimpleNamespace(x=torch.eye(6)[:, :2], edge_index=torch.stack([nodes, nodes.roll(1)]))
        >>> parts, _ = neighbourhood_outputs(model, ring, hops=3, nodes_at_once=2)
        >>> torch.allclose(parts, node_outputs(model, ring)[0], atol=1e-6)
        True
    """
    data = as_data(data)
    check_graph(data)
    whole("hops", hops, least=1)
    n = data.x.shape[0]
    sampler = NeighbourSampler(data.edge_index, num_nodes=n)
    logits, embeddings = [], []
    for seeds in torch.arange(n, device=data.x.device).split(whole("nodes_at_once", nodes_at_once, least=1)):
        block = sampler.sample(seeds, (-1,) * hops, generator=torch.Generator())
        part = SimpleNamespace(x=take_rows(data.x, block.nodes), edge_index=block.edge_index)
        out, embedding = node_outputs(model, part, embed=embed)
        logits.append(out[: block.seeds])
        if embedding is not None:
            embeddings.append(embedding[: block.seeds])
    return torch.cat(logits), torch.cat(embeddings) if embeddings else None
