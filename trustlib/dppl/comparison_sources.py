"""Images that methods are compared on, in disjoint parts: for encoders, public pools, private and test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.data import load_images

if TYPE_CHECKING:
    from trustlib.data import Images

Pixels = NDArray[np.uint8]
SCENE_COLORS = (
    "red",
    "yellow",
    "green",
    "blue",
    "white",
)  # of the private classes; the public pool has all ten
_BSDS_SIDE = 96  # photographs are scaled to this side before crops of 32 are cut


@dataclass(frozen=True)
class Sources:
    """One data set in disjoint parts.

    Args:
        training: images and labels on which encoders may be trained; public, may be empty.
        training_labels: int64.
        public: the public pool; its labels are never given to a prototype method.
        public_labels: labels of the pool in the private classes, -1 where an image shows none of them; only for
            choosing the settings of the baselines, and -1 throughout where none are known.
        private: private images, more than one run uses.
        private_labels: int64 in [0, C).
        test: test images.
        test_labels: int64 in [0, C).
        classes: names of the private classes.
        name: of the data set.
    """

    training: Pixels
    training_labels: NDArray[np.int64]
    public: Pixels
    public_labels: NDArray[np.int64]
    private: Pixels
    private_labels: NDArray[np.int64]
    test: Pixels
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str


def load_sources(
    name: str,
    *,
    n_training: int,
    n_public: int,
    n_private: int,
    n_test: int,
    size: int = 32,
    seed: int = 0,
) -> Sources:
    """A data set cut into images for encoders, a public pool, private images and test images, without overlap.

    Scenes are drawn anew for each part; their classes are pairs of a colour and a shape of the subject, and only those
    in `SCENE_COLORS` are private. All other sets are cut from their train and test splits.

    Args:
        name: "scenes", or an image set with labels known to `trustlib.data.load_images`.
        n_training: images for encoders, >= 0.
        n_public: images of the pool, >= 1.
        n_private: private images to choose from, >= 1.
        n_test: test images, >= 1.
        size: pixels.
        seed: of the scenes, or of the order in which a set is cut.

    Returns:
        The parts, in colour.

    Raises:
        ValueError: numbers out of range, or more images than there are.

    Example:
        >>> sources = load_sources("digits", n_training=0, n_public=300, n_private=1000, n_test=300)
        >>> sources.private.shape, len(sources.classes)
        ((1000, 3, 32, 32), 10)
    """
    if min(n_public, n_private, n_test) < 1 or n_training < 0:
        raise ValueError(
            f"every part but the one for encoders needs images, got n_training = {n_training}, n_public = {n_public}, "
            f"n_private = {n_private}, n_test = {n_test}."
        )
    if name == "scenes":
        return _scene_sources(n_training, n_public, n_private, n_test, size=size, seed=seed)
    train = load_images(name, "train", n=n_training + n_public + n_private, seed=seed, size=size, channels=3)
    train = train.take(
        np.random.default_rng([seed, 3]).permutation(len(train))
    )  # files may be sorted by class
    test = load_images(name, "test", n=n_test, seed=seed, size=size, channels=3)
    if train.labels is None or test.labels is None:
        raise ValueError(f"{name} has no labels, so it has no classes to compare.")
    first, second = n_training, n_training + n_public
    return Sources(
        train.pixels[:first], train.labels[:first], train.pixels[first:second], train.labels[first:second],
        train.pixels[second:], train.labels[second:], test.pixels, test.labels,
        train.classes or tuple(str(c) for c in range(int(train.labels.max()) + 1)), name,
    )  # fmt: skip


def _scene_sources(
    n_training: int, n_public: int, n_private: int, n_test: int, *, size: int, seed: int
) -> Sources:
    """Scenes, each part with a stream of its own."""
    training = load_images("scenes", "train", max(n_training, 1), seed=3 * seed, size=size)
    public = load_images("scenes", "train", n_public, seed=3 * seed + 1, size=size)
    private = load_images("scenes", "train", n_private, seed=3 * seed + 2, size=size)
    test = load_images("scenes", "test", n_test, seed=3 * seed, size=size)
    names = tuple(f"{color} {shape}" for color in SCENE_COLORS for shape in training.classes)
    codes = {part: _scene_classes(images) for part, images in enumerate((public, private, test))}
    kept = {part: np.flatnonzero(code >= 0) for part, code in codes.items()}
    everything = _scene_classes(training, colors=None)
    return Sources(
        training.pixels[:n_training], everything[:n_training], public.pixels, codes[0],
        private.pixels[kept[1]], codes[1][kept[1]], test.pixels[kept[2]], codes[2][kept[2]],
        names, "scenes",
    )  # fmt: skip


def _scene_classes(images: Images, *, colors: Sequence[str] | None = SCENE_COLORS) -> NDArray[np.int64]:
    """Colour and shape of the subject as one number, -1 for other colours; the subject is named first."""
    from trustlib.data.scene_draws import COLORS

    place = {color: k for k, color in enumerate(COLORS if colors is None else colors)}
    found = [next(word for word in text.split() if word in COLORS) for text in images.captions]
    color = np.array([place.get(word, -1) for word in found], dtype=np.int64)
    shapes = np.zeros(len(images), dtype=np.int64) if images.labels is None else images.labels
    return np.where(color < 0, -1, color * len(images.classes) + shapes)


def load_pool(name: str, n: int, *, size: int = 32, seed: int = 0) -> Pixels:
    """Images of a public pool that has nothing to do with the private data.

    Args:
        name: "noise" (every pixel uniform), "bsds500" (random crops of photographs), or an image set known to
            `trustlib.data.load_images`; of a set that is smaller than n, all images.
        n: number of images, >= 1.
        size: pixels.
        seed: of noise and crops.

    Returns:
        uint8 (n or fewer, 3, size, size).

    Raises:
        ValueError: an unknown set.

    Example:
        >>> load_pool("noise", 4).shape
        (4, 3, 32, 32)
    """
    rng = np.random.default_rng([seed, 7])
    if name == "noise":
        return rng.integers(0, 256, (n, 3, size, size), dtype=np.uint8)
    if name == "bsds500":
        side = _BSDS_SIDE * size // 32
        splits = [
            load_images(name, split, size=side, channels=3).pixels for split in ("train", "val", "test")
        ]
        photographs = np.concatenate(splits)
        which = rng.integers(len(photographs), size=n)
        corner = rng.integers(side - size + 1, size=(n, 2))
        cuts = [
            photographs[w, :, a : a + size, b : b + size] for w, (a, b) in zip(which, corner, strict=True)
        ]
        return np.stack(cuts)
    if name == "digits":
        return load_images(name, "train", size=size, channels=3).pixels[:n]
    return load_images(name, "train", n, size=size, channels=3).pixels
