"""Embeddings on a plane, as a service shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from trustlib.gnn_stealing.checks import inside, one_of, whole


@dataclass(frozen=True)
class Projection:
    """How embeddings are put on a plane.

    Args:
        method: "tsne" as published, or "pca", which also works for a million nodes and is the same in every version.
        perplexity: of t-SNE, > 0; it needs more than 3 times as many nodes.
        seed: of t-SNE, which starts from principal components.

    Raises:
        TypeError, ValueError: an unknown method or a number out of range.
    """

    method: Literal["tsne", "pca"] = "tsne"
    perplexity: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("method", self.method, ("tsne", "pca"))
        inside("perplexity", self.perplexity, low=0.0, open_low=True)
        whole("seed", self.seed, least=0)

    def check(self, n: int) -> None:
        """Whether n nodes are enough.

        Raises:
            ValueError: n <= 3 perplexity, or fewer than 3 nodes.
        """
        if self.method == "tsne" and n <= 3 * self.perplexity:
            raise ValueError(
                f"t-SNE with perplexity {self.perplexity:g} needs more than {3 * self.perplexity:g} nodes, got {n}. "
                'Lower the perplexity, ask about more nodes, or use method="pca".'
            )
        if n < 3:
            raise ValueError(f"a plane through {n} nodes means nothing. Ask about at least 3.")


def project(embedding: Tensor, projection: Projection) -> Tensor:
    """Embeddings (n, r) on a plane, (n, 2), in the order of the rows.

    Raises:
        ValueError: too few rows.

    Example:
        >>> corners = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> project(corners, Projection("pca")).abs().round().tolist()
        [[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    projection.check(len(embedding))
    if projection.method == "pca":
        centred = embedding.double() - embedding.double().mean(dim=0)
        axes = torch.linalg.eigh(centred.t() @ centred).eigenvectors.flip(1)[:, :2]  # (r, 2), largest first
        axes = axes * torch.sign(
            axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        )  # the sign is a convention
        plane = centred @ axes
        if plane.shape[1] < 2:
            plane = torch.nn.functional.pad(plane, (0, 2 - plane.shape[1]))
        return plane.to(embedding.dtype)
    from sklearn.manifold import TSNE

    fitted = TSNE(init="pca", perplexity=projection.perplexity, random_state=projection.seed)
    return torch.from_numpy(fitted.fit_transform(embedding.cpu().numpy())).to(embedding)
