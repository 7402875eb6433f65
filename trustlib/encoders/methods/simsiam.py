"""SimSiam: one view predicts the other; no negatives, no slow encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method


class SimSiam(Method):
    """Negative cosine between a prediction from one view and the other view, whose gradient is stopped.

    loss = D(p1, stop(z2)) / 2 + D(p2, stop(z1)) / 2 with D(p, z) = -p.z / (|p| |z|); in [-1, 1].

    Args:
        encoder: to train.
        hidden_dim: of projection and output; None: that of the features, as in the paper.
        bottleneck_dim: of the predictor; None: a quarter of ``hidden_dim``, as in the paper.
        private: layer normalisation in the heads instead of batch normalisation, so that examples do not mix.

    Source: Chen and He, CVPR 2021, algorithm 1.
    """

    per_example = True

    def __init__(
        self,
        encoder: Encoder,
        *,
        hidden_dim: int | None = None,
        bottleneck_dim: int | None = None,
        private: bool = False,
    ) -> None:
        from lightly.models.modules.heads import ProjectionHead, SimSiamPredictionHead, SimSiamProjectionHead

        super().__init__(encoder)
        features = encoder.feature_dim
        hidden = hidden_dim or features
        narrow = bottleneck_dim or max(hidden // 4, 1)
        if private:
            self.projector: nn.Module = ProjectionHead(
                [
                    (features, hidden, nn.LayerNorm(hidden), nn.ReLU()),
                    (hidden, hidden, nn.LayerNorm(hidden), nn.ReLU()),
                    (hidden, hidden, nn.LayerNorm(hidden), None),
                ]
            )
            self.predictor: nn.Module = ProjectionHead(
                [(hidden, narrow, nn.LayerNorm(narrow), nn.ReLU()), (narrow, hidden, None, None)]
            )
        else:
            self.projector = SimSiamProjectionHead(features, hidden, hidden)
            self.predictor = SimSiamPredictionHead(hidden, narrow, hidden)

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        return self._losses([self.projector(f) for f in self.encode_views(batch.views)]).mean()

    def losses(self, batch: Batch) -> Tensor:
        """Loss of every example, (B,); views go through the encoder one after the other."""
        return self._losses([self.projector(self.encoder(view)) for view in batch.views])

    def _losses(self, projections: list[Tensor]) -> Tensor:
        """Losses (B,) from the projections of two views."""
        predictions = [self.predictor(z) for z in projections]
        targets = [z.detach().float() for z in projections]
        cosines = torch.stack(
            [F.cosine_similarity(predictions[a].float(), targets[b], dim=1) for a, b in ((0, 1), (1, 0))]
        )
        return -cosines.mean(dim=0)
