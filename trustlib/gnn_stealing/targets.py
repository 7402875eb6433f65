"""The models under attack: GIN, GAT and GraphSAGE from torch_geometric's layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_edges, inside, one_of, seeded, whole
from trustlib.gnn_stealing.layers import FeatureLinear, attend
from trustlib.gnn_stealing.messages import MessageGraph
from trustlib.gnn_stealing.surrogates import ARCHITECTURES, Architecture

_NUMBERS_AT_ONCE = 1 << 25  # in messages, in evaluation: bounds the memory, not the graph


class TargetGNN(nn.Module):
    """A node classifier of a service; every layer transforms first and aggregates second: the same, but cheaper.

    gin: h_i = W (x_i + sum_j x_j) + b, mean instead of sum in the last layer. gat: 4 heads side by side, their mean in
    the last layer. sage: h_i = W (x_i + sum_j x_j) / (|N(i)| + 1) + b ("gcn" aggregation), and a linear last layer.
    ReLU and dropout in between. The embedding is the output of the last hidden layer after the ReLU and before
    dropout (mean over heads for gat), the output of the submodule called ``embedding``.

    In evaluation mode without gradients, messages are aggregated for a part of the receivers at a time, so memory is
    bounded and the result is exact.

    Args:
        architecture: "gin", "gat" or "sage".
        in_features: d.
        num_classes: C.
        hidden: width of the embedding; per head for gat.
        layers: number of layers, >= 2.
        heads: of gat.
        dropout: probability.
        seed: of the initial weights. torch's global generator is left as it was.

    Raises:
        TypeError, ValueError: a size out of range, an unknown architecture, or dropout outside [0, 1].

    Example:
        >>> model = TargetGNN("gin", in_features=4, num_classes=3, hidden=8, seed=0)
        >>> model(torch.ones(5, 4), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([5, 3])

    Source: targets in the code of Shen et al., S&P 2022, also used by Podhajski et al., ECAI 2024. Deviation: sage
        returns logits; the published one applies softmax before a cross-entropy that applies it again.
    """

    embedding_layer = "embedding"
    sparse_features = True

    def __init__(
        self,
        architecture: Architecture,
        *,
        in_features: int,
        num_classes: int,
        hidden: int = 256,
        layers: int = 3,
        heads: int = 4,
        dropout: float = 0.5,
        seed: int,
    ) -> None:
        super().__init__()
        one_of("architecture", architecture, ARCHITECTURES)
        sizes = {"in_features": in_features, "num_classes": num_classes, "hidden": hidden, "heads": heads}
        for name, value in sizes.items():
            whole(name, value, least=1)
        whole("layers", layers, least=2)
        self.architecture, self.heads, self.hidden = architecture, heads, hidden
        self.dropout = nn.Dropout(inside("dropout", dropout, low=0.0, high=1.0))
        self.embedding = nn.Identity()
        self.training_losses: list[float] = []
        factor = heads if architecture == "gat" else 1
        wide = [in_features, *[factor * hidden] * (layers - 1)]
        narrow = [*[factor * hidden] * (layers - 1), factor * num_classes]
        with seeded(seed):
            self.linears = nn.ModuleList(
                FeatureLinear(a, b, bias=False) for a, b in zip(wide, narrow, strict=True)
            )
            self.aggregations = nn.ModuleList(
                _aggregation(architecture, heads, narrow[i] // factor, last=i == layers - 1)
                for i in range(layers)
            )
        widths = [*narrow[:-1], num_classes]
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(width)) for width in widths)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """x (N, d) dense or CSR, edge_index integer (2, E), to logits (N, C)."""
        edges = self._prepared(edge_index, x.shape[0])
        h = x
        for i in range(len(self.linears)):
            h = self._aggregate(i, self.linears[i](h), edges) + self.biases[i]
            if i == len(self.linears) - 1:
                return h
            h = torch.relu(h)
            if i == len(self.linears) - 2:
                gat = self.architecture == "gat"
                self.embedding(h.view(-1, self.heads, self.hidden).mean(dim=1) if gat else h)
            h = self.dropout(h)
        return h

    def _prepared(self, edge_index: Tensor, n: int) -> Tensor:
        """Edges by receiver; with exactly one loop per node where the node itself belongs to the aggregation."""
        edges = check_edges(edge_index, num_nodes=n)
        if self.architecture != "gin":
            loops = torch.arange(n, device=edges.device).expand(2, -1)
            edges = torch.cat([edges[:, edges[0] != edges[1]], loops], dim=1)
        return edges[:, torch.sort(edges[1] * n + edges[0], stable=True).indices]

    def _aggregate(self, i: int, h: Tensor, edges: Tensor) -> Tensor:
        """One aggregation of transformed features (N, k), for all receivers or part by part."""
        layer = self.aggregations[i]
        if isinstance(layer, nn.Identity):
            return h
        at_once = max(1, _NUMBERS_AT_ONCE // h.shape[1])
        if torch.is_grad_enabled() or edges.shape[1] <= at_once:
            return layer((h, h), edges)
        n = h.shape[0]
        if self.architecture == "gat":
            return self._attend(layer, h, edges)
        arrivals = torch.bincount(edges[1], minlength=n).cumsum(0)
        parts, low, used = [], 0, 0
        while low < n:
            high = int(torch.searchsorted(arrivals, used + at_once, right=True))
            high = max(low + 1, high)
            end = int(arrivals[high - 1])
            senders, place = torch.unique(edges[0, used:end], return_inverse=True)
            some = torch.stack([place, edges[1, used:end] - low])
            parts.append(layer((h[senders], h[low:high]), some, size=(len(senders), high - low)))
            low, used = high, end
        return torch.cat(parts)

    def _attend(self, layer: Any, h: Tensor, edges: Tensor) -> Tensor:
        """What GATConv gives, by sparse products: its messages have one row of all heads per edge."""
        graph = MessageGraph.build(edges, num_nodes=h.shape[0])
        rows = h.view(len(h), self.heads, -1)
        out = attend(rows, graph, layer.att_src[0], layer.att_dst[0], slope=layer.negative_slope)
        return out.flatten(1) if layer.concat else out.mean(dim=1)


def _aggregation(architecture: Architecture, heads: int, width: int, *, last: bool) -> nn.Module:
    """A layer of torch_geometric that only aggregates: its linear map was applied before."""
    from trustlib.data import import_geometric

    import_geometric()
    from torch_geometric.nn import GATConv, GINConv, SimpleConv

    if architecture == "gin":
        return GINConv(nn.Identity(), aggr="mean" if last else "sum")
    if architecture == "sage":
        return nn.Identity() if last else SimpleConv(aggr="mean")
    layer = GATConv(1, width, heads=heads, concat=not last, add_self_loops=False, bias=False)
    layer.lin = nn.Identity()
    return layer
