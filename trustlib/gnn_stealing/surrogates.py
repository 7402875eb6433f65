"""The attacker's networks: two layers that take edge weights."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import inside, one_of, seeded, whole
from trustlib.gnn_stealing.layers import WeightedGATConv, WeightedGINConv, WeightedSAGEConv, message_graph
from trustlib.gnn_stealing.messages import MessageGraph

Architecture = Literal["gin", "gat", "sage"]
ARCHITECTURES: tuple[Architecture, ...] = ("gin", "gat", "sage")


class Surrogate(nn.Module):
    """A graph network from features to vectors like the responses of a target.

    layer, ReLU, dropout, ..., layer. GAT: heads side by side in hidden layers, their mean at the end.

    Args:
        architecture: "gin", "gat" or "sage".
        in_features: d.
        out_features: r, width of a response.
        hidden: width between the layers; per head for "gat".
        layers: number of layers, which is how far a node sees.
        heads: of "gat".
        dropout: probability, between layers.
        output_relu: end with a ReLU, as the published SAGE surrogate does. It can then match neither logits nor
            projections, which have signs.
        seed: of the initial weights. torch's global generator is left as it was.

    Raises:
        TypeError, ValueError: a size that is not a whole number >= 1, an unknown architecture, dropout outside [0, 1].

    Example:
        >>> surrogate = Surrogate("sage", in_features=5, out_features=3, seed=0)
        >>> surrogate(torch.ones(4, 5), torch.tensor([[0, 1], [1, 0]])).shape
        torch.Size([4, 3])

    Source: surrogates of Shen et al., S&P 2022, and Podhajski et al., ECAI 2024; hidden width and dropout of the
        latter's code. Deviation: no ReLU at the end of SAGE unless asked for.
    """

    sparse_features = True

    def __init__(
        self,
        architecture: Architecture,
        *,
        in_features: int,
        out_features: int,
        hidden: int = 128,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.5,
        output_relu: bool = False,
        seed: int,
    ) -> None:
        super().__init__()
        one_of("architecture", architecture, ARCHITECTURES)
        for name, value in (("in_features", in_features), ("out_features", out_features), ("hidden", hidden)):
            whole(name, value, least=1)
        whole("layers", layers, least=1)
        self.architecture, self.output_relu = architecture, output_relu
        self.dropout = nn.Dropout(inside("dropout", dropout, low=0.0, high=1.0))
        widths = [in_features, *[hidden] * (layers - 1), out_features]
        with seeded(seed):
            self.layers = nn.ModuleList(
                _layer(architecture, wide, narrow, heads=heads, first=i == 0, last=i == layers - 1)
                for i, (wide, narrow) in enumerate(pairwise(widths))
            )

    def forward(
        self, x: Tensor, edge_index: Tensor | MessageGraph, edge_weight: Tensor | None = None
    ) -> Tensor:
        """x (N, d) dense or CSR, edge_index (2, E) or a `MessageGraph`, edge_weight (E,) or None, to (N, r)."""
        graph = message_graph(x, edge_index, edge_weight)
        for layer in self.layers[:-1]:
            x = self.dropout(torch.relu(layer(x, graph)))
        x = self.layers[-1](x, graph)
        return torch.relu(x) if self.output_relu else x


def _layer(
    architecture: Architecture, wide: int, narrow: int, *, heads: int, first: bool, last: bool
) -> WeightedSAGEConv | WeightedGINConv | WeightedGATConv:
    """One layer; a hidden GAT layer hands on its heads side by side."""
    if architecture == "gin":
        return WeightedGINConv(wide, narrow)
    if architecture == "sage":
        return WeightedSAGEConv(wide, narrow)
    return WeightedGATConv(wide if first else heads * wide, narrow, heads=heads, concat=not last)
