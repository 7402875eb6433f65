"""One training loop for all methods: no state besides weights and optimiser, so it can stop anywhere and go on.

Order of images, views, masks and Dropout are functions of (seed, step, image). A run that is killed and continued
from its checkpoint therefore ends, on a CPU and with as many threads, with bit for bit the weights of an
uninterrupted run.
"""

from __future__ import annotations

import copy
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from trustlib.encoders.backbones import Encoder, backbone, drawing_from
from trustlib.encoders.checkpoints import read_checkpoint, write_checkpoint
from trustlib.encoders.keys import view_keys
from trustlib.encoders.methods import Batch, Method, build_method
from trustlib.encoders.optimization import learning_rate, make_optimizer
from trustlib.encoders.recipes import Recipe

_ORDER, _STEP = 2, 3  # streams of the seed: order of images, what layers draw in a step


@dataclass(frozen=True)
class TrainedEncoder:
    """What a training leaves.

    Args:
        encoder: in evaluation mode, gradients off.
        recipe: it was made by.
        losses: of every step, float64 (steps,).
        seconds: of training, all parts of an interrupted run together.
        method: with heads, teachers and queues, in evaluation mode.
        snapshots: encoders at the steps asked for.
        card: what is known of a stored encoder; empty if it was not stored.
    """

    encoder: Encoder
    recipe: Recipe
    losses: NDArray[np.float64]
    seconds: float
    method: Method
    snapshots: dict[int, Encoder] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingData:
    """Images of a training, checked.

    Args:
        pixels: uint8 (n, C, H, W), or float in [0, 1].
        labels: int64 (n,), or None.
        index: identity of every image, int64 (n,): decides its views.
    """

    pixels: Tensor
    labels: Tensor | None
    index: NDArray[np.int64]

    @classmethod
    def of(
        cls, recipe: Recipe, pixels: Any, labels: ArrayLike | None, index: ArrayLike | None
    ) -> TrainingData:
        """Data as tensors; refuses what does not fit the recipe."""
        images = pixels if isinstance(pixels, Tensor) else _shared(np.asarray(pixels))
        if images.ndim != 4 or images.shape[1] not in (1, 3) or images.shape[2] != images.shape[3]:
            raise ValueError(f"pixels must be square images (n, 1 or 3, S, S), got {tuple(images.shape)}")
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise TypeError(f"pixels must be uint8 or floating point in [0, 1], got {images.dtype}")
        if len(images) < recipe.batch_size * recipe.accumulate:
            raise ValueError(
                f"a step takes batch_size * accumulate = {recipe.batch_size * recipe.accumulate} images, "
                f"got {len(images)}"
            )
        names = np.arange(len(images)) if index is None else np.asarray(index, dtype=np.int64)
        classes = None if labels is None else torch.as_tensor(np.asarray(labels), dtype=torch.int64)
        for what, values in (("index", names), ("labels", classes)):
            if values is not None and tuple(values.shape) != (len(images),):
                raise ValueError(
                    f"{what} must have one entry per image ({len(images)},), got {tuple(values.shape)}"
                )
        return cls(images, classes, names)

    @property
    def n_classes(self) -> int | None:
        """One more than the greatest label."""
        return None if self.labels is None else int(self.labels.max()) + 1


def _shared(pixels: NDArray[Any]) -> Tensor:
    """A tensor on the memory of an array, which may be a read-only file: nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels)


def make_method(recipe: Recipe, *, size: int, channels: int, n_classes: int | None) -> Method:
    """The untrained method of a recipe, for images of one size."""
    view = recipe.augment.size
    side = size if view is None else view if isinstance(view, int) else view[0]
    encoder = backbone(
        recipe.backbone, size=side, channels=channels, seed=recipe.seed, pretrained=recipe.pretrained,
        norm=recipe.norm, stem=recipe.stem, options=recipe.backbone_options,
    )  # fmt: skip
    return build_method(
        recipe.method, encoder, seed=recipe.seed, n_classes=n_classes, private=recipe.private,
        options=recipe.method_options,
    )  # fmt: skip


def train(
    recipe: Recipe,
    pixels: Any,
    labels: ArrayLike | None = None,
    *,
    index: ArrayLike | None = None,
    snapshots: Sequence[int] = (),
    checkpoint: Path | None = None,
    checkpoint_every: int = 100,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> TrainedEncoder:
    """Trains an encoder by a recipe.

    Args:
        recipe: what to do.
        pixels: square images (n, 1 or 3, S, S), uint8 or float in [0, 1]; an array (also memory-mapped) or a tensor.
        labels: class of each image, for "supervised".
        index: identity of each image, so that subsets of one pool see the same views; None: 0 to n - 1.
        snapshots: keep copies of the encoder after these numbers of steps.
        checkpoint: file to continue from and to write; it must come from the same recipe and data, otherwise it is
            refused. None: nothing is written.
        checkpoint_every: steps between checkpoints.
        device: where to train; None: on the device of ``pixels``.
        progress: show a bar on stderr; None: only on a terminal. ``TQDM_DISABLE=1`` always hides it.

    Returns:
        The encoder and its loss curve.

    Raises:
        ValueError: data that do not fit the recipe, a snapshot outside of the training, or a foreign checkpoint.
        TypeError: pixels of another type.
        FloatingPointError: the loss is not finite; the message names the step.

    Example:
        >>> recipe = Recipe(method="simclr", backbone="small_conv", steps=2, batch_size=4)
        >>> images = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        >>> train(recipe, images).losses.shape
        (2,)
    """
    data = TrainingData.of(recipe, pixels, labels, index)
    outside = [step for step in snapshots if not 1 <= step <= recipe.steps]
    if outside:
        raise ValueError(f"snapshots must be steps in 1 to {recipe.steps}, got {outside}")
    place = torch.device(device) if device is not None else data.pixels.device
    size, channels = data.pixels.shape[2], data.pixels.shape[1]
    method = make_method(recipe, size=size, channels=channels, n_classes=data.n_classes)
    run = _Run(recipe, data, method.to(place), tuple(snapshots), place)
    if checkpoint is not None and checkpoint.exists():
        run.load(checkpoint)
    with _bar(recipe, run.step, shown=progress) as advance:
        while run.step < recipe.steps:
            advance(run.advance())
            if checkpoint is not None and (run.step % checkpoint_every == 0 or run.step == recipe.steps):
                run.save(checkpoint)
    return run.result()


class _Run:
    """A training in progress."""

    def __init__(
        self,
        recipe: Recipe,
        data: TrainingData,
        method: Method,
        snapshots: tuple[int, ...],
        device: torch.device,
    ) -> None:
        layout = torch.channels_last if recipe.channels_last else torch.preserve_format
        self.recipe, self.data, self.device, self.snapshots = recipe, data, device, snapshots
        self.method = method.to(memory_format=layout).train()
        self.optimizer = make_optimizer(recipe, method)
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.kept: dict[int, dict[str, Tensor]] = {}

    def advance(self) -> float:
        """One optimiser step; returns its loss."""
        start = time.perf_counter()
        recipe = self.recipe
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(recipe, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        with drawing_from(int(view_keys(recipe.seed, self.step, _STEP))):  # Dropout and the like
            for number in range(recipe.accumulate):
                loss = self._loss(self.step * recipe.accumulate + number) / recipe.accumulate
                total += loss.item()
                if not np.isfinite(total):
                    raise FloatingPointError(
                        f"the loss is {total} in step {self.step} of {recipe.steps}. Lower learning_rate, set "
                        "clip_norm, or check the images for values outside of [0, 1]."
                    )
                loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.method.parameters(), recipe.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.method.finish_step(self.step / recipe.steps)
        self.losses.append(total)
        if self.step in self.snapshots:
            self.kept[self.step] = {
                k: v.detach().cpu().clone() for k, v in self.method.encoder.state_dict().items()
            }
        self.seconds += time.perf_counter() - start
        return total

    def _loss(self, batch_number: int) -> Tensor:
        """Loss of one pass."""
        recipe, data = self.recipe, self.data
        rows, visit = batch_rows(recipe, len(data.pixels), batch_number)
        images = data.pixels[torch.from_numpy(rows).to(data.pixels.device)].to(self.device)
        count = self.method.n_views
        numbers = visit * count + np.arange(count)[:, None]
        drawn = view_keys(recipe.seed, data.index[rows], numbers).ravel()
        views = recipe.augment.keyed(images.repeat(count, 1, 1, 1), drawn)
        if recipe.channels_last:
            views = views.contiguous(memory_format=torch.channels_last)
        labels = None if data.labels is None else data.labels[rows].to(self.device)
        keys = view_keys(recipe.seed + 1, data.index[rows], visit)
        enabled = recipe.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=enabled):
            return self.method(Batch(views.unflatten(0, (count, -1)), labels, keys))

    def save(self, path: Path) -> None:
        """Writes a checkpoint."""
        state = {
            "run": self.identity(), "step": self.step, "seconds": self.seconds, "losses": list(self.losses),
            "method": self.method.state_dict(), "optimizer": self.optimizer.state_dict(), "kept": self.kept,
        }  # fmt: skip
        write_checkpoint(path, state)

    def load(self, path: Path) -> None:
        """Continues from a checkpoint; a damaged one is ignored, a foreign one refused."""
        state = read_checkpoint(path)
        if state is None:
            return
        if state["run"] != self.identity():
            raise ValueError(
                f"{path} belongs to another recipe, data set or version of the code. Delete it, or name another file."
            )
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.losses, self.kept = state["losses"], state["kept"]

    def identity(self) -> str:
        """Hash of recipe, code and data, and the snapshots."""
        return f"{self.recipe.hash(data=data_hash(self.data))} {sorted(self.snapshots)}"

    def result(self) -> TrainedEncoder:
        """What came out."""
        method = finished(self.method)
        kept = {step: with_weights(method.encoder, weights) for step, weights in self.kept.items()}
        return TrainedEncoder(
            method.encoder, self.recipe, np.array(self.losses, dtype=np.float64), self.seconds, method, kept
        )


def batch_rows(recipe: Recipe, n: int, number: int) -> tuple[NDArray[np.int64], int]:
    """Positions of the images of one pass, and how often each was seen before.

    Every visit of the data is a random permutation of its own; images that do not fill a batch are left out of it.

    Args:
        recipe: batch size and seed.
        n: number of images.
        number: of the pass, from 0.

    Returns:
        Positions (batch_size,), number of the visit.

    Example:
        >>> recipe = Recipe(method="simclr", backbone="small_conv", steps=1, batch_size=2)
        >>> rows = [batch_rows(recipe, 5, number)[0].tolist() for number in (0, 1)]
        >>> len(set(rows[0] + rows[1]))
        4
    """
    visit, place = divmod(number, n // recipe.batch_size)
    order = np.random.default_rng([recipe.seed, _ORDER, visit]).permutation(n)
    return order[place * recipe.batch_size : (place + 1) * recipe.batch_size], visit


def data_hash(data: TrainingData) -> str:
    """SHA-256 of pixels, labels and identities."""
    from trustlib.data.images import fingerprint

    labels = None if data.labels is None else data.labels.numpy()
    return fingerprint(data.pixels.cpu().numpy(), labels) + fingerprint(data.index)


def finished(method: Method) -> Method:
    """A method ready for use: evaluation mode, no gradients, weights laid out as a stored file gives them back."""
    return method.eval().requires_grad_(False).to(memory_format=torch.contiguous_format)


def with_weights(encoder: Encoder, weights: dict[str, Tensor]) -> Encoder:
    """A copy of an encoder with other weights."""
    other = copy.deepcopy(encoder)
    other.load_state_dict(weights)
    return other


@contextmanager
def _bar(recipe: Recipe, start: int, *, shown: bool | None) -> Iterator[Any]:
    """A progress bar with the latest loss."""
    from tqdm.auto import tqdm

    hidden = os.environ.get("TQDM_DISABLE", "").lower() in ("1", "true", "yes")
    visible = (sys.stderr.isatty() if shown is None else shown) and not hidden
    label = f"{recipe.method} {recipe.backbone}"
    with tqdm(total=recipe.steps, initial=start, desc=label, disable=not visible, leave=False) as bar:

        def advance(loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        yield advance
