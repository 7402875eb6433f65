"""VICReg: views agree, every dimension keeps its variance, and dimensions stay uncorrelated."""

from __future__ import annotations

from torch import Tensor

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method


class VICReg(Method):
    """Weighted sum of invariance, variance and covariance of the expanded features of two views.

    loss = invariance * mse(z1, z2) + variance * mean over dimensions of max(0, 1 - std) + covariance * squared
    off-diagonal covariances per dimension.

    Args:
        encoder: to train.
        invariance: weight, 25 in the paper.
        variance: weight, 25 in the paper.
        covariance: weight, 1 in the paper.
        output_dim: of the expander and its hidden layers; None: four times the features, as in the paper.

    Source: Bardes, Ponce and LeCun, ICLR 2022, eq. 1 to 6.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
        output_dim: int | None = None,
    ) -> None:
        from lightly.loss import VICRegLoss
        from lightly.models.modules.heads import VICRegProjectionHead

        super().__init__(encoder)
        features = encoder.feature_dim
        wide = output_dim or 4 * features
        self.projector = VICRegProjectionHead(features, wide, wide)
        self.criterion = VICRegLoss(lambda_param=invariance, mu_param=variance, nu_param=covariance)

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        one, two = self.encode_views(batch.views)
        return self.criterion(self.projector(one).float(), self.projector(two).float())
