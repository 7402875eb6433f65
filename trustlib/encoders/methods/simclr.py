"""SimCLR: two views of an image attract each other, all other views of the batch repel."""

from __future__ import annotations

from torch import Tensor

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method


class SimCLR(Method):
    """NT-Xent between the projections of two views.

    loss = mean over the 2 B views of -log(exp(s_ij / t) / sum over k != i of exp(s_ik / t)), s the cosine and j the
    other view of i.

    Args:
        encoder: to train.
        temperature: t.
        hidden_dim: of the projection head; None: that of the features, as in the paper.
        output_dim: of the projection head.

    Example:
        >>> import torch
        >>> from trustlib.encoders import backbone
        >>> method = SimCLR(backbone("small_conv"), output_dim=16)
        >>> views = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> method(Batch(views, None, None)).ndim
        0

    Source: Chen et al., ICML 2020, eq. 1 and algorithm 1.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.5,
        hidden_dim: int | None = None,
        output_dim: int = 128,
    ) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import SimCLRProjectionHead

        super().__init__(encoder)
        features = encoder.feature_dim
        self.projector = SimCLRProjectionHead(features, hidden_dim or features, output_dim)
        self.criterion = NTXentLoss(temperature=temperature)

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        one, two = self.encode_views(batch.views)
        return self.criterion(self.projector(one).float(), self.projector(two).float())
