"""Trainings whose gradient is changed: alignment penalised, or clipped and noised for differential privacy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trustlib.memorization.pairs import Job
from trustlib.memorization.regularizer import regularized_loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from trustlib.encoders import Batch, Encoder, Method, Recipe

_SAMPLING, _NOISE = 11, 12  # streams of the seed: who is drawn into a batch, noise


@dataclass(frozen=True)
class Privacy:
    """What a private training promises, and by what.

    Args:
        epsilon: nats, for adding or removing one image with all its views; inf without noise.
        delta: probability mass that epsilon does not cover.
        noise_multiplier: standard deviation of the noise over the clipping norm.
        clip_norm: largest l2 norm of the gradient of one image.
        sample_rate: probability of an image to be in a batch.
        steps: of the training.
    """

    epsilon: float
    delta: float
    noise_multiplier: float
    clip_norm: float
    sample_rate: float
    steps: int

    def __str__(self) -> str:
        """One line for a page.

        Example:
            >>> print(Privacy(8.0, 1e-3, 1.25, 1.0, 0.25, 60))
            epsilon 8.00 at delta 0.001, noise 1.25, clipping 1, batches of 25 %, 60 steps
        """
        return (
            f"epsilon {self.epsilon:.2f} at delta {self.delta:g}, noise {self.noise_multiplier:.2f}, "
            f"clipping {self.clip_norm:g}, batches of {self.sample_rate:.0%}, {self.steps} steps"
        ).replace("%", " %")


def train_penalized(job: Job, *, weight: float) -> Encoder:
    """Trains on (1 - weight) * loss - weight * distance of two views: paid for keeping views apart.

    Everything else, views included, is as in `trustlib.encoders.train`; weight 0 gives the same encoder.

    Args:
        job: a method of two views per image.
        weight: in [0, 1).

    Returns:
        The encoder in evaluation mode.

    Raises:
        ValueError: a method that does not pass two views through its encoder, or a weight outside of [0, 1).

    Source: Wang et al., ICLR 2024, eq. 3, in the form of its published code with sign and axis repaired.
    """
    from trustlib.encoders.optimization import learning_rate, make_optimizer

    recipe, method = job.recipe, _method_of(job)
    if method.n_views != 2:
        raise ValueError(f"{recipe.method} has {method.n_views} view per image; the penalty compares two")
    optimizer, features = make_optimizer(recipe, method), _Features(method.encoder)
    for step, batch in _batches(job, method):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.zero_grad(set_to_none=True)
        loss = method(batch)
        regularized_loss(loss, *features.views(), weight=weight).backward()
        optimizer.step()
        method.finish_step((step + 1) / recipe.steps)
    features.remove()
    return _ready(job, method)


def privacy_of(job: Job, *, epsilon: float, delta: float, clip_norm: float) -> Privacy:
    """The noise that a training needs for a level; epsilon = inf asks for clipping alone.

    Renyi accounting of the Poisson-sampled Gaussian mechanism, add/remove of one image.

    Args:
        job: its batch size over its number of images is the sampling rate.
        epsilon: nats, > 0.
        delta: in (0, 1).
        clip_norm: > 0.

    Raises:
        ValueError: epsilon, delta or clip_norm out of range.

    Source: Abadi et al., CCS 2016; Mironov et al. 2019, as opacus computes it.
    """
    from opacus.accountants.utils import get_noise_multiplier

    if not epsilon > 0 or not 0 < delta < 1 or not clip_norm > 0:
        raise ValueError(
            f"epsilon must be > 0, delta in (0, 1), clip_norm > 0; got {epsilon}, {delta}, {clip_norm}"
        )
    rate, steps = job.recipe.batch_size / len(job.pixels), job.recipe.steps
    noise = 0.0
    if np.isfinite(epsilon):
        noise = get_noise_multiplier(
            target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="rdp"
        )
    return Privacy(epsilon, delta, float(noise), clip_norm, rate, steps)


def train_private(job: Job, *, privacy: Privacy) -> Encoder:
    """DP-SGD: the gradient of every image is clipped, noise is added to their sum; batches are Poisson samples.

    All views of an image are one record. The recipe's optimiser and learning rate are used. Not for release: noise
    comes from a seeded generator, so that the run can be repeated.

    Args:
        job: a method with a loss per image, without batch normalisation (``norm="group"``, ``private=True``).
        privacy: of `privacy_of`.

    Returns:
        The encoder in evaluation mode.

    Raises:
        BatchLossError: the method's loss compares images.

    Source: Abadi et al., CCS 2016, algorithm 1; Yu et al. 2023 for masked autoencoders.
    """
    import torch
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    from trustlib.encoders import PerExample
    from trustlib.encoders.optimization import learning_rate, make_optimizer

    recipe, method = job.recipe, _method_of(job)
    module = GradSampleModule(PerExample(method))
    noise = torch.Generator().manual_seed(recipe.seed * 2 + _NOISE)
    optimizer = DPOptimizer(
        make_optimizer(recipe, method), noise_multiplier=privacy.noise_multiplier, max_grad_norm=privacy.clip_norm,
        expected_batch_size=recipe.batch_size, generator=noise,
    )  # fmt: skip
    for step, batch in _batches(job, method, poisson=True):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, step)
        optimizer.zero_grad(set_to_none=True)
        keys = torch.from_numpy(batch.keys)
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Full backward hook is firing"
            )  # images need no gradient
            module(batch.views.transpose(0, 1), None, keys).mean().backward()
        optimizer.step()
    return _ready(job, method)


class _Features:
    """Features of the last pass through an encoder, gradients included."""

    def __init__(self, encoder: Encoder) -> None:
        self.found: list[Tensor] = []
        self.handle = encoder.register_forward_hook(self._note)

    def _note(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.found.append(output)

    def views(self) -> tuple[Tensor, Tensor]:
        """Features of both views, once."""
        if len(self.found) != 1:
            raise ValueError(
                f"the method ran its encoder {len(self.found)} times in a step; the penalty needs one pass"
            )
        one, two = self.found.pop().chunk(2)
        return one, two

    def remove(self) -> None:
        """Takes the hook away."""
        self.handle.remove()


def _batches(job: Job, method: Method, *, poisson: bool = False) -> Iterator[tuple[int, Batch]]:
    """Batches with the views of `trustlib.encoders.train`; with ``poisson``, every image is drawn independently."""
    import torch

    from trustlib.encoders import Batch, view_keys
    from trustlib.encoders.training import batch_rows

    recipe, n = job.recipe, len(job.pixels)
    pixels, numbers = torch.from_numpy(job.pixels), np.arange(method.n_views)[:, None]
    chosen = _poisson(recipe, n) if poisson else lambda step: batch_rows(recipe, n, step)
    for step in range(recipe.steps):
        rows, visit = chosen(step)
        names = job.index[rows]
        keys = view_keys(recipe.seed, names, visit * method.n_views + numbers).ravel()
        views = recipe.augment.keyed(pixels[torch.from_numpy(rows)].repeat(method.n_views, 1, 1, 1), keys)
        views = views.contiguous(memory_format=_layout(recipe)).unflatten(0, (method.n_views, -1))
        yield step, Batch(views, None, view_keys(recipe.seed + 1, names, visit))


def _poisson(recipe: Recipe, n: int) -> Callable[[int], tuple[np.ndarray, int]]:
    """Batches that hold every image with the same probability, independently of the others."""
    rate = recipe.batch_size / n
    if (1 - rate) ** n > 1e-9:
        raise ValueError(
            f"batches of {recipe.batch_size} expected images may come out empty; make them larger"
        )

    def rows(step: int) -> tuple[np.ndarray, int]:
        rng = np.random.default_rng([recipe.seed, _SAMPLING, step])
        return np.flatnonzero(rng.random(n) < rate), step

    return rows


def _method_of(job: Job) -> Method:
    """The untrained method of a job, in training mode and in the layout that the recipe asks for."""
    from trustlib.encoders.training import make_method

    size, channels = job.pixels.shape[2], job.pixels.shape[1]
    method = make_method(job.recipe, size=size, channels=channels, n_classes=None)
    return method.to(memory_format=_layout(job.recipe)).train()


def _layout(recipe: Recipe) -> torch.memory_format:
    """How images and feature maps lie in memory."""
    import torch

    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def _ready(job: Job, method: Method) -> Encoder:
    """The encoder in evaluation mode, in a fresh module, without gradients and hooks."""
    import torch

    encoder = _method_of(job).encoder
    encoder.load_state_dict(method.encoder.state_dict())
    encoder.eval().requires_grad_(False)
    return encoder.to(memory_format=torch.contiguous_format)
