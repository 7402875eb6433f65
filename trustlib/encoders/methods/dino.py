"""DINO: a student matches the output distribution of a slow teacher on the other view."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trustlib.encoders.backbones import Encoder
from trustlib.encoders.methods.base import Batch, Method, move_teacher


class Prototypes(nn.Module):
    """Cosines between features and learned directions of unit length."""

    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outs, ins) / math.sqrt(ins))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ins) to (B, outs), in [-1, 1]."""
        return F.linear(F.normalize(x, dim=1), F.normalize(self.weight, dim=1))


class DINO(Method):
    """Cross-entropy between the sharpened, centred teacher output and the student output of the other view.

    Args:
        encoder: the student.
        student_temperature: of the student's softmax.
        teacher_temperature: of the teacher's softmax after the warm-up.
        warmup_temperature: of the teacher's softmax at the start.
        warmup: share of the training over which the temperature rises linearly.
        momentum: of the teacher at the start; rises to 1 along a cosine.
        center_momentum: of the centre.
        hidden_dim: of the head.
        bottleneck_dim: of the head.
        output_dim: number of prototypes.

    Source: Caron et al., ICCV 2021, algorithm 1 and implementation details; two global crops, no local ones.
    """

    progress: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        warmup_temperature: float = 0.04,
        warmup: float = 0.1,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        hidden_dim: int = 2048,
        bottleneck_dim: int = 256,
        output_dim: int = 65536,
    ) -> None:
        from lightly.loss import DINOLoss
        from lightly.models.modules.heads import ProjectionHead

        super().__init__(encoder)
        self.momentum, self.warmup = momentum, warmup
        self.temperatures = (warmup_temperature, teacher_temperature)
        # Deviation: lightly's head for DINO rests on a deprecated kind of weight normalisation; same equation here.
        self.head = nn.Sequential(
            ProjectionHead(
                [
                    (encoder.feature_dim, hidden_dim, None, nn.GELU()),
                    (hidden_dim, hidden_dim, None, nn.GELU()),
                    (hidden_dim, bottleneck_dim, None, None),
                ]
            ),
            Prototypes(bottleneck_dim, output_dim),
        )
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.teacher_head = copy.deepcopy(self.head).requires_grad_(False)
        self.criterion = DINOLoss(
            output_dim=output_dim, student_temp=student_temperature, center_momentum=center_momentum,
            warmup_teacher_temp_epochs=1,
        )  # fmt: skip
        self.register_buffer("progress", torch.zeros(()))

    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch; the centre moves on."""
        student = [self.head(features).float() for features in self.encode_views(batch.views)]
        with torch.no_grad():
            slow = self.teacher(batch.views.flatten(0, 1)).chunk(2)
            teacher = [self.teacher_head(features).float() for features in slow]
        low, high = self.temperatures
        share = min(1.0, float(self.progress) / self.warmup) if self.warmup > 0 else 1.0
        return self.criterion(teacher, student, teacher_temp=low + share * (high - low))

    def finish_step(self, progress: float) -> None:
        """Moves the teacher."""
        self.progress.fill_(progress)
        momentum = 1 - (1 - self.momentum) * (math.cos(math.pi * progress) + 1) / 2
        move_teacher(self.teacher, self.encoder, momentum)
        move_teacher(self.teacher_head, self.head, momentum)
