"""Clipped and noisy gradient descent on a linear layer: gradients in closed form, several settings at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_STEEPEST = 20.0  # of the logarithm of a bound in one step


@dataclass(frozen=True)
class MovingBound:
    """A bound Z on gradients that follows a noisy count; see `DPGlobalAdapt`.

    Args:
        first: Z before the first step, > 0.
        decay: eta > 0.
        threshold: gradients above threshold * Z are counted, > 0.
        sigma: standard deviation of the noise of the count, shape (S,).
    """

    first: float
    decay: float
    threshold: float
    sigma: Tensor


def noisy_descent(
    x: Tensor,
    y: Tensor,
    n_classes: int,
    *,
    steps: int,
    clip_norm: float,
    sigma: Tensor,
    learning_rate: Tensor,
    sample_rate: float,
    generator: torch.Generator,
    bound: MovingBound | None,
) -> tuple[Tensor, Tensor]:
    """S linear layers trained from zero on the cross-entropy, which share data, Poisson samples and standard noise.

    The gradient of a record is the outer product of its error e = softmax(W x + b) - onehot(y) with (x, 1), so its norm
    is ||e|| ||(x, 1)|| and nothing has to be formed for every record. Each step

    W <- W - learning_rate / (q n) (sum_i g_i C / max(||g_i||, Z) + N(0, sigma^2 C^2 I))

    with Z = C (gradients clipped to C, as in DP-SGD), or a Z that moves. Layers that share noise are for comparing
    settings: of several, one may be released.

    Args:
        x: float32 (n, d), on any device.
        y: int64 (n,) in [0, n_classes), on the same.
        n_classes: at least 2.
        steps: T >= 1.
        clip_norm: C > 0.
        sigma: noise multipliers >= 0, shape (S,).
        learning_rate: shape (S,).
        sample_rate: q in (0, 1]; 1 takes every record in every step.
        generator: source of samples and noise, on the processor.
        bound: None for Z = C.

    Returns:
        Weights (S, C, d + 1), the last column the bias, and Z after each step (T, S).

    Source: Goodfellow 2015 (norms of the gradients of a layer); Abadi et al. 2016; Esipova et al. 2023.
    """
    x = F.pad(x, (0, 1), value=1.0)
    sigma, learning_rate = sigma.to(x), learning_rate.to(x)
    lengths, target = x.norm(dim=1), F.one_hot(y, n_classes).T.to(x.dtype)  # (n,), (C, n)
    weight, expected = x.new_zeros(len(sigma), n_classes, x.shape[1]), sample_rate * len(x)
    upper = torch.full_like(sigma, clip_norm if bound is None else bound.first)
    length, history = (learning_rate / expected)[:, None, None], []
    for _ in range(steps):
        batch, norm, hot = _sample(x, lengths, target, sample_rate, generator)
        error = (weight.flatten(0, 1) @ batch.T).unflatten(0, weight.shape[:2]).softmax(dim=1).sub_(hot)
        norms = error.square().sum(dim=1).sqrt_() * norm  # (S, b); a norm over a middle axis is slow
        error *= (clip_norm / torch.maximum(norms, upper[:, None]))[:, None]
        # drawn on the processor, so that all devices see the same noise
        noise = torch.randn(weight.shape[1:], generator=generator).to(x) * (sigma * clip_norm)[:, None, None]
        weight = weight - length * ((error.flatten(0, 1) @ batch).view_as(weight) + noise)
        if bound is not None:
            above = (norms > bound.threshold * upper[:, None]).sum(dim=1)
            above = above + bound.sigma.to(x) * torch.randn((), generator=generator).to(x)
            change = (above / expected - bound.decay).clamp(-_STEEPEST, _STEEPEST)  # noise alone can be huge
            upper = (upper * change.exp()).clamp(1e-6, 1e6)
        history.append(upper)
    return weight, torch.stack(history)


def _sample(
    x: Tensor, lengths: Tensor, target: Tensor, rate: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Every record with probability ``rate``, independently: rows (b, d), their lengths (b,), targets (C, b)."""
    if rate == 1:
        return x, lengths, target
    rows = (torch.rand(len(x), generator=generator) < rate).to(x.device)
    return x[rows], lengths[rows], target[:, rows]
