"""MoCo v2: a view attracts the slow encoder's other view and repels a queue of past ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method, move_teacher


class MoCoV2(Method):
    """InfoNCE between a query and the key of the other view, against a queue of keys of earlier batches.

    loss = -log(exp(q.k+ / t) / (exp(q.k+ / t) + sum over the queue of exp(q.k- / t))), all of unit length.

    Args:
        encoder: to train.
        temperature: t.
        queue: number of keys kept.
        momentum: of the slow encoder.
        hidden_dim: of the projection head; None: that of the features, as in the paper.
        output_dim: of the projection head.

    Source: He et al., CVPR 2020, eq. 1 and 2; Chen et al. 2020 (MoCo v2).
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        temperature: float = 0.2,
        queue: int = 65536,
        momentum: float = 0.999,
        hidden_dim: int | None = None,
        output_dim: int = 128,
    ) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules.heads import MoCoProjectionHead

        super().__init__(encoder)
        features = encoder.feature_dim
        self.momentum = momentum
        self.projector = MoCoProjectionHead(features, hidden_dim or features, output_dim)
        self.slow_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.slow_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.criterion = NTXentLoss(temperature=temperature, memory_bank_size=(queue, output_dim))
        bank = self.criterion.memory_bank
        bank._non_persistent_buffers_set.clear()  # the queue belongs to the state that a resumed run needs

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch; the queue moves on."""
        first, second = batch.views
        query = self.projector(self.encoder(first)).float()
        with torch.no_grad():
            key = self.slow_projector(self.slow_encoder(second)).float()
        return self.criterion(query, key)

    def finish_step(self, progress: float) -> None:
        """Moves the slow encoder."""
        move_teacher(self.slow_encoder, self.encoder, self.momentum)
        move_teacher(self.slow_projector, self.projector, self.momentum)
