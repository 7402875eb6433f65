"""Graph layers that take edge weights: transform first, aggregate second, dense or sparse features.

N(i) are the edges that arrive at i, its own loop among them. Loops that are missing count with weight 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trustlib.gnn_stealing.checks import check_features, is_sparse, whole
from trustlib.gnn_stealing.messages import MessageGraph


class FeatureLinear(nn.Linear):
    """A linear map that also takes sparse CSR features.

    Example:
        >>> from trustlib.gnn_stealing.messages import csr_matrix
        >>> eye = csr_matrix(torch.arange(3), torch.arange(2), torch.ones(2), (2, 2))
        >>> layer = FeatureLinear(2, 3)
        >>> torch.equal(layer(eye), layer(torch.eye(2)))
        True
    """

    def forward(self, input: Tensor) -> Tensor:
        """input (N, in_features), dense or CSR, to (N, out_features)."""
        if not is_sparse(input):
            return super().forward(input)
        out = torch.sparse.mm(input, self.weight.t())
        return out if self.bias is None else out + self.bias


class WeightedSAGEConv(nn.Module):
    """h_i = W1 x_i + W2 (1 / |N(i)|) sum_{j in N(i)} w_ji x_j + b. The mean divides by the number of edges.

    Args:
        in_features: d.
        out_features: k.

    Source: GraphSAGE with mean aggregation, as in the code of Shen et al., S&P 2022, with edge weights as in that of
        Podhajski et al., ECAI 2024.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.root = FeatureLinear(in_features, out_features)
        self.neighbours = FeatureLinear(in_features, out_features, bias=False)

    def forward(
        self, x: Tensor, edge_index: Tensor | MessageGraph, edge_weight: Tensor | None = None
    ) -> Tensor:
        """x (N, d), edge_index (2, E), edge_weight (E,) to (N, k)."""
        graph = message_graph(x, edge_index, edge_weight)
        return self.root(x) + graph.mean(self.neighbours(x))


class WeightedGINConv(nn.Module):
    """h_i = W (x_i + mean_{j in N(i)} w_ji x_j) + b.

    Args:
        in_features: d.
        out_features: k.

    Source: graph isomorphism network with epsilon = 0, one linear map and mean aggregation, as `WeightedSAGEConv`.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.linear = FeatureLinear(in_features, out_features, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(
        self, x: Tensor, edge_index: Tensor | MessageGraph, edge_weight: Tensor | None = None
    ) -> Tensor:
        """x (N, d), edge_index (2, E), edge_weight (E,) to (N, k)."""
        graph = message_graph(x, edge_index, edge_weight)
        h = self.linear(x)
        return h + graph.mean(h) + self.bias


class WeightedGATConv(nn.Module):
    """h_i = sum_{j in N(i)} w_ji a_ji W x_j + b per head, a_ji = softmax_j LeakyReLU(s . W x_j + r . W x_i).

    The edge weight multiplies the attention after the softmax, so a weight other than 1 changes the total.

    Args:
        in_features: d.
        out_features: k, per head.
        heads: H.
        concat: heads side by side, (N, H k), or their mean, (N, k).
        slope: of the leaky ReLU.

    Source: Velickovic et al., ICLR 2018, with edge weights as `WeightedSAGEConv`.
    """

    def __init__(
        self, in_features: int, out_features: int, *, heads: int = 4, concat: bool = True, slope: float = 0.2
    ) -> None:
        super().__init__()
        self.heads, self.out_features = whole("heads", heads, least=1), out_features
        self.concat, self.slope = concat, slope
        self.linear = FeatureLinear(in_features, heads * out_features, bias=False)
        self.as_sender = nn.Parameter(torch.empty(heads, out_features))
        self.as_receiver = nn.Parameter(torch.empty(heads, out_features))
        self.bias = nn.Parameter(torch.zeros(heads * out_features if concat else out_features))
        for weight in (self.linear.weight, self.as_sender, self.as_receiver):
            nn.init.xavier_uniform_(weight)

    def forward(
        self, x: Tensor, edge_index: Tensor | MessageGraph, edge_weight: Tensor | None = None
    ) -> Tensor:
        """x (N, d), edge_index (2, E), edge_weight (E,) to (N, H k) or (N, k)."""
        graph = message_graph(x, edge_index, edge_weight)
        h = self.linear(x).view(-1, self.heads, self.out_features)  # (N, H, k)
        out = attend(h, graph, self.as_sender, self.as_receiver, slope=self.slope)
        return (out.flatten(1) if self.concat else out.mean(dim=1)) + self.bias


def attend(h: Tensor, graph: MessageGraph, as_sender: Tensor, as_receiver: Tensor, *, slope: float) -> Tensor:
    """Attention over arriving messages: transformed features h (N, H, k) to (N, H, k), one sparse product per head.

    Args:
        h: transformed features.
        graph: where messages go, and their weights, which multiply the attention.
        as_sender: s, (H, k).
        as_receiver: r, (H, k).
        slope: of the leaky ReLU.
    """
    from_sender, at_receiver = (h * as_sender).sum(-1), (h * as_receiver).sum(-1)  # (N, H)
    score = functional.leaky_relu(from_sender[graph.sender] + at_receiver[graph.receiver], slope)
    share = graph.softmax(score) * graph.weight.to(h.dtype).unsqueeze(1)  # (E, H)
    heads = zip(h.unbind(1), share.unbind(1), strict=True)
    return torch.stack([graph.total(rows.contiguous(), part.contiguous()) for rows, part in heads], dim=1)


def message_graph(x: Tensor, edge_index: Tensor | MessageGraph, edge_weight: Tensor | None) -> MessageGraph:
    """Prepared edges that fit the features; those that were prepared before are taken as they are."""
    if not isinstance(edge_index, MessageGraph):
        check_features_shape(x)
        return MessageGraph.build(edge_index, edge_weight, num_nodes=x.shape[0])
    if edge_weight is not None:
        raise ValueError("edge_weight is part of a MessageGraph. Pass it to MessageGraph.build instead.")
    if edge_index.num_nodes != x.shape[0]:
        raise ValueError(f"x has {x.shape[0]} rows, but the MessageGraph has {edge_index.num_nodes} nodes.")
    return edge_index


def check_features_shape(x: Tensor) -> None:
    """Features of the right shape; their values are checked once, where data comes in, and not in every layer."""
    if not isinstance(x, Tensor) or x.ndim != 2:
        check_features(x)
