"""What all training methods share."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trustlib.encoders.backbones import Encoder


class BatchLossError(ValueError):
    """The loss of a single example is not defined, because the method compares examples with each other."""


@dataclass(frozen=True)
class Batch:
    """Views of B images.

    Args:
        views: V views of each, (V, B, C, H, W).
        labels: int64 (B,), for supervised training.
        keys: int64 (B,), decide what the method itself draws per image (masks), so that nothing depends on the batch.
    """

    views: Tensor
    labels: Tensor | None
    keys: NDArray[np.int64]


class Method(nn.Module):
    """An encoder with what is needed to train it. ``method(batch)`` is the loss.

    Class attributes: ``n_views`` per image; ``needs_labels``; ``per_example`` tells whether the loss is a mean over
    examples of a loss of each example alone.
    """

    n_views: int = 2
    needs_labels: bool = False
    per_example: bool = False

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Loss of a batch, a scalar."""

    def losses(self, batch: Batch) -> Tensor:
        """Loss of every example alone, (B,).

        Raises:
            BatchLossError: the method compares examples with each other.
        """
        raise BatchLossError(
            f"{type(self).__name__} compares examples of a batch with each other, so one example has no loss of its "
            "own and its influence cannot be bounded by clipping. Use simsiam, mae or supervised with norm='group'."
        )

    def finish_step(self, progress: float) -> None:
        """What follows an optimiser step, such as moving a teacher; ``progress`` is in (0, 1]."""

    def encode_views(self, views: Tensor) -> tuple[Tensor, ...]:
        """Features (B, D) of every view; all views share one pass, and the statistics of batch normalisation."""
        return self.encoder(views.flatten(0, 1)).chunk(len(views))


class PerExample(nn.Module):
    """One loss per example, for DP-SGD: what opacus' GradSampleModule can wrap.

    ``module(views, labels, keys)`` with views (B, V, C, H, W) returns (B,). Views of an image are passed one after
    the other, so that their gradients add up within the example: all views of an image are one record.

    Args:
        method: with a per-example loss and without layers that mix examples.

    Raises:
        BatchLossError: the method's loss compares examples, or a layer (BatchNorm) mixes them.

    Example:
        >>> from trustlib.encoders import backbone
        >>> from trustlib.encoders.methods import build_method
        >>> method = build_method("simsiam", backbone("small_conv", norm="group"), seed=0, private=True)
        >>> views = torch.rand(3, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> PerExample(method)(views, None, torch.arange(3)).shape
        torch.Size([3])

    Source: ours; Yu et al. 2023 train a masked autoencoder this way.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        if not method.per_example:
            method.losses(Batch(torch.empty(0), None, np.empty(0, dtype=np.int64)))  # says why
        mixing = [
            name
            for name, layer in method.named_modules()
            if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        ]
        if mixing:
            raise BatchLossError(
                f"{len(mixing)} layers of {type(method).__name__} mix examples: {', '.join(mixing[:3])} ... Build the "
                "backbone with norm='group' and the method with private=True."
            )
        self.method = method

    def forward(self, views: Tensor, labels: Tensor | None, keys: Tensor) -> Tensor:
        """Losses (B,)."""
        return self.method.losses(Batch(views.transpose(0, 1), labels, keys.cpu().numpy().astype(np.int64)))


@torch.no_grad()
def move_teacher(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """teacher <- momentum * teacher + (1 - momentum) * student, for weights; buffers are copied.

    Example:
        >>> teacher, student = nn.Linear(1, 1), nn.Linear(1, 1)
        >>> _ = nn.init.constant_(teacher.weight, 1.0), nn.init.constant_(student.weight, 0.0)
        >>> move_teacher(teacher, student, 0.75)
        >>> teacher.weight.item()
        0.75
    """
    for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
        slow.lerp_(fast, 1 - momentum)
    for old, new in zip(teacher.buffers(), student.buffers(), strict=True):
        old.copy_(new)
