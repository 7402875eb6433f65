"""Supervised training, for comparison."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method


class Supervised(Method):
    """Cross-entropy of a linear classifier on the features of one view.

    Args:
        encoder: to train.
        n_classes: number of classes, >= 2.
        label_smoothing: in [0, 1).
    """

    n_views = 1
    needs_labels = True
    per_example = True

    def __init__(self, encoder: Encoder, *, n_classes: int, label_smoothing: float = 0.0) -> None:
        super().__init__(encoder)
        if n_classes < 2:
            raise ValueError(f"n_classes must be >= 2, got {n_classes}")
        self.label_smoothing = label_smoothing
        self.classifier = nn.Linear(encoder.feature_dim, n_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch."""
        return self.losses(batch).mean()

    def losses(self, batch: Batch) -> Tensor:
        """Loss of every example, (B,)."""
        if batch.labels is None:
            raise ValueError("supervised training needs labels, got None")
        logits = self.classifier(self.encoder(batch.views[0])).float()
        return F.cross_entropy(logits, batch.labels, reduction="none", label_smoothing=self.label_smoothing)
