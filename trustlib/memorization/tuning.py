"""Selective fine-tuning: a linear head and some layers, everything else frozen."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trustlib.encoders import find_layer
from trustlib.memorization.interventions import freeze_except

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class TunedEncoder:
    """A copy of an encoder with some layers tuned, and the linear head that was trained with them."""

    encoder: nn.Module
    head: nn.Linear

    def accuracy(self, images: Tensor, labels: Tensor, *, batch_size: int = 256) -> float:
        """Share of images whose class is predicted right, in [0, 1], in evaluation mode.

        Args:
            images: shape (n, ...).
            labels: integer, shape (n,).
            batch_size: images per call.
        """
        import torch

        hits = 0
        with torch.no_grad():
            for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
                hits += int((self.head(self.encoder(x).flatten(1)).argmax(dim=1) == y).sum())
        return hits / len(labels)


def tune_layers(
    encoder: nn.Module,
    layers: Sequence[str],
    images: Tensor,
    labels: Tensor,
    *,
    n_classes: int,
    epochs: int,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    seed: int = 0,
) -> TunedEncoder:
    """Trains a linear head, and the named layers with it; everything else stays frozen.

    Cross entropy with Adam. The encoder stays in evaluation mode, so that statistics of normalisation layers do
    not move with the frozen rest.

    Args:
        encoder: from images to (B, ...); not changed.
        layers: dotted names; none trains the head alone.
        images: shape (n, ...), as the encoder wants them.
        labels: integer classes in [0, n_classes), shape (n,).
        n_classes: outputs of the head.
        epochs: passes over the images, >= 1.
        learning_rate: of Adam, > 0.
        batch_size: images per step.
        seed: of the head's weights and the order of the images.

    Returns:
        The tuned copy with its head.

    Raises:
        ValueError: unknown layer, labels that do not fit, or settings that are not positive.

    Example:
        >>> import torch
        >>> net, x, y = torch.nn.Sequential(torch.nn.Linear(2, 2)), torch.eye(2).repeat(20, 1), torch.arange(40) % 2
        >>> tune_layers(net, ["0"], x, y, n_classes=2, epochs=30, learning_rate=0.05).accuracy(x, y)
        1.0

    Source: Wang et al., NeurIPS 2024, table 5 (head plus one to three layers).
    """
    import torch

    if labels.shape != images.shape[:1] or bool(((labels < 0) | (labels >= n_classes)).any()):
        raise ValueError(
            f"labels must be in [0, {n_classes}) for each of the {len(images)} images, got shape {tuple(labels.shape)}"
        )
    if epochs < 1 or batch_size < 1 or learning_rate <= 0:
        raise ValueError(
            f"epochs, batch_size, learning_rate must be positive: {epochs}, {batch_size}, {learning_rate}"
        )
    for name in layers:
        find_layer(encoder, name)
    tuned = copy.deepcopy(encoder).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        width = tuned(images[:1]).flatten(1).shape[1]
    head = torch.nn.utils.skip_init(torch.nn.Linear, width, n_classes, device=images.device)  # draws nothing
    with torch.no_grad():
        head.weight.copy_(torch.randn(n_classes, width, generator=generator) / width**0.5)
        head.bias.zero_()
    with freeze_except(tuned, layers) as parameters, torch.enable_grad():
        optimizer = torch.optim.Adam([*parameters, *head.parameters()], lr=learning_rate)
        for _ in range(epochs):
            order = torch.randperm(len(images), generator=generator)
            for rows in order.split(batch_size):
                loss = torch.nn.functional.cross_entropy(head(tuned(images[rows]).flatten(1)), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    for parameter in [*tuned.parameters(), *head.parameters()]:
        parameter.grad = None
    return TunedEncoder(tuned, head)
