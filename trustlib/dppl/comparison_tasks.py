"""What the methods are compared on: embeddings of public, private and test images, and encoders for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.data import cache_folder
from trustlib.data.images import fingerprint
from trustlib.dppl.comparison_sources import Pixels, Sources
from trustlib.dppl.embeddings import best_device, unit_rows

if TYPE_CHECKING:
    from torch import nn

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """Embeddings of unit length, centred on the public pool, in disjoint parts.

    Args:
        private: shape (n, d).
        private_labels: int64 (n,) in [0, C).
        test: shape (m, d).
        test_labels: int64 (m,) in [0, C); every class occurs.
        pools: public embeddings by name, each (M, d); the first one is the pool of the comparison.
        proxy: labelled public embeddings (p, d), for choosing the settings of the baselines; may be empty.
        proxy_labels: int64 (p,) in [0, C).
        classes: names of the classes.
        name: of data set and encoder, for tables.

    Raises:
        ValueError: parts of different width, or no pool.
    """

    private: Vectors
    private_labels: NDArray[np.int64]
    test: Vectors
    test_labels: NDArray[np.int64]
    pools: Mapping[str, Vectors]
    proxy: Vectors
    proxy_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        if not self.pools:
            raise ValueError("pools must hold at least one public pool, got none.")
        widths = {x.shape[1] for x in (self.private, self.test, self.proxy, *self.pools.values())}
        if len(widths) > 1:
            raise ValueError(f"all parts must have the same dimensions, got {sorted(widths)}.")

    @property
    def pool(self) -> Vectors:
        """The public pool of the comparison."""
        return next(iter(self.pools.values()))

    @property
    def n_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)


def graded_encoders(
    sources: Sources, grades: Mapping[str, int], *, seed: int = 0, progress: bool | None = None
) -> dict[str, nn.Module]:
    """Small encoders of growing quality: one training with labels on public images, stopped at different steps.

    Args:
        sources: for the training images.
        grades: name -> steps; 0 is the untrained network.
        seed: of weights and order.
        progress: see `trustlib.encoders.train`.

    Returns:
        Encoders by name, in the order given; trained encoders are kept and found again.

    Raises:
        ValueError: no grade, or steps below 0.
    """
    from trustlib.encoders import Recipe, augmentation, backbone, train_or_load

    if not grades or min(grades.values()) < 0:
        raise ValueError(f"grades must map names to numbers of steps >= 0, got {dict(grades)}.")
    size, last = sources.training.shape[-1], max(grades.values())
    untrained = backbone("small_conv", size=size, seed=seed)
    if last == 0:
        return dict.fromkeys(grades, untrained)
    recipe = Recipe(
        method="supervised", backbone="small_conv", steps=last, batch_size=128, learning_rate=4e-3,
        augment=augmentation("pad_crop"), seed=seed,
    )  # fmt: skip
    stops = sorted({steps for steps in grades.values() if 0 < steps < last})
    trained = train_or_load(
        recipe, sources.training, sources.training_labels, snapshots=stops, progress=progress
    )
    stages = {0: untrained, last: trained.encoder, **trained.snapshots}
    return {name: stages[steps] for name, steps in grades.items()}


def embed_sources(
    sources: Sources, encoder: nn.Module | str, pools: Mapping[str, Pixels], *, name: str
) -> Task:
    """Embeddings of all parts: minus the mean of the public pool, divided by their length.

    Args:
        sources: the images.
        encoder: module, or the name of a published one ("timm:..."), whose embeddings are kept on disk.
        pools: further public pools by name; "held_out" stands for the pool of the sources. The order is kept.
        name: of data set and encoder.

    Returns:
        The task.

    Raises:
        ValueError: no pool.
    """
    held_out = _features(encoder, sources.public)
    centre = held_out.mean(axis=0)

    def prepared(features: NDArray[np.float32]) -> Vectors:
        return unit_rows(features - centre)

    found = {
        key: prepared(held_out if key == "held_out" else _features(encoder, pixels))
        for key, pixels in pools.items()
    }
    labelled = sources.public_labels >= 0
    return Task(
        prepared(_features(encoder, sources.private)), sources.private_labels,
        prepared(_features(encoder, sources.test)), sources.test_labels, found,
        prepared(held_out[labelled]) if labelled.any() else np.empty((0, held_out.shape[1])),
        sources.public_labels[labelled], sources.classes, name,
    )  # fmt: skip


def _features(encoder: Any, pixels: Pixels) -> NDArray[np.float32]:
    """Embeddings of images; those of a published encoder are computed once and kept."""
    from trustlib.encoders import backbone, embed

    if not isinstance(encoder, str):
        return embed(encoder, pixels)
    key = hashlib.sha256(f"{encoder} {fingerprint(pixels)}".encode()).hexdigest()
    path = cache_folder() / "embeddings" / f"{key}.npy"
    if path.exists():
        return np.load(path)
    model = backbone(encoder, size=pixels.shape[-1], pretrained=True).to(best_device())
    return np.asarray(embed(model, pixels, out=path))
