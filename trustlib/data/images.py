"""Image sets by name: drawn scenes, bundled digits, Parquet files of the registry, or a folder of class folders."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.data.access import local_file, log_use
from trustlib.data.checks import whole
from trustlib.data.parquet import Size, decode, read_encoded, row_count
from trustlib.data.registry import available, dataset
from trustlib.data.scenes import SHAPES, make_scenes
from trustlib.data.specs import DatasetSpec

if TYPE_CHECKING:
    from torch import Tensor

_SCENE_SPLITS = ("train", "test", "val")  # scenes of a seed: 3 seed + place of the split
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Images:
    """An image set in memory.

    Args:
        pixels: uint8 (n, C, H, W), C is 1 or 3.
        labels: int64 (n,), or None.
        masks: uint8 (n, H, W) of class numbers, or None.
        depth: float32 (n, H, W) in metres, or None.
        captions: one sentence per image, or empty.
        names: file name per image, or empty.
        classes: names of the classes of ``labels``, or of ``masks`` where there are no labels; may be empty.
        atypical: positions of images known to be atypical.
        name: of the data set.
        split: which part.
        sha256: of the pixels and labels, as `fingerprint` makes it.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    masks: NDArray[np.uint8] | None = None
    depth: NDArray[np.float32] | None = None
    captions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    atypical: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    name: str = "images"
    split: str = "all"

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[1] not in (1, 3):
            raise ValueError(
                f"pixels must be uint8 of shape (n, 1 or 3, H, W), got {self.pixels.dtype} {self.pixels.shape}."
            )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def sha256(self) -> str:
        """SHA-256 of shape, pixels and labels."""
        return fingerprint(self.pixels, self.labels)

    def tensor(self) -> Tensor:
        """Pixels as a float32 torch tensor in [0, 1], shape (n, C, H, W)."""
        import torch

        return torch.from_numpy(self.pixels).float().div_(255)

    def take(self, index: ArrayLike) -> Images:
        """The images at some positions, with everything that belongs to them.

        Args:
            index: positions, integer (m,).

        Returns:
            A set of m images; ``atypical`` names positions among them.

        Raises:
            IndexError: a position outside the set.

        Example:
            >>> load_images("scenes", n=8).take([5, 2]).labels.shape
            (2,)
        """
        rows = np.asarray(index, dtype=np.int64)

        def pick(values: NDArray | None) -> NDArray | None:
            return None if values is None else values[rows]

        return replace(
            self,
            pixels=self.pixels[rows],
            labels=pick(self.labels),
            masks=pick(self.masks),
            depth=pick(self.depth),
            captions=tuple(self.captions[i] for i in rows) if self.captions else (),
            names=tuple(self.names[i] for i in rows) if self.names else (),
            atypical=np.flatnonzero(np.isin(rows, self.atypical)),
        )


def fingerprint(pixels: NDArray, labels: NDArray | None = None) -> str:
    """SHA-256 of an array of pixels and its labels, shapes and types included."""
    digest = hashlib.sha256()
    for array in (pixels, labels):
        if array is not None:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def load_images(
    name: str | Path,
    split: str = "train",
    n: int | None = None,
    *,
    seed: int | None = None,
    size: Size | None = None,
    channels: Literal[1, 3] | None = None,
    atypical: float = 0.0,
) -> Images:
    """Images of a registered set or of a folder of class folders.

    Args:
        name: a name from ``available("images")``, or a `Path` whose subfolders are the classes (or are called like
            the split and contain the classes).
        split: which part; sets name theirs in ``dataset(name).splits``.
        n: number of images, >= 1; only these are read and decoded. None: all (scenes: the size of the split).
        seed: files and folders: draw ``n`` images at random, without replacement, and keep their order; None: the
            first ``n``. Scenes: which scenes; None: 0.
        size: height and width (one number for both); other aspect ratios are cut in the middle. None: as stored
            (scenes: 32).
        channels: 1 grey, 3 colour (grey is repeated); None: as stored.
        atypical: share of atypical images, for scenes only; see `make_scenes`.

    Returns:
        The images; what the set has of labels, masks, depth, captions and file names.

    Raises:
        UnknownDatasetError: no such name.
        ValueError: no such split, a table or graph instead of images, more images than there are, images of
            different sizes without ``size``, or ``atypical`` for a set that is not drawn.
        DataNotFoundError: neither at hand nor reachable.
        ChecksumError: an altered file.

    Example:
        >>> scenes = load_images("scenes", "test", n=8)
        >>> scenes.pixels.shape, scenes.classes
        ((8, 3, 32, 32), ('sphere', 'box', 'cone', 'cylinder'))
    """
    if n is not None:
        n = whole("n", n, least=1)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1, 3 or None, got {channels!r}.")
    if atypical and name != "scenes":
        raise ValueError(
            f"atypical={atypical} is for scenes, which are drawn; {name} is given. Leave it at 0."
        )
    if isinstance(name, Path):
        return _folder(name, split, n, seed=seed, size=size, channels=channels)
    spec = dataset(name)
    if spec.kind != "images":
        raise ValueError(f"{name} is a {spec.kind}. Image sets: {', '.join(available('images'))}.")
    if split not in spec.splits:
        raise ValueError(f"{name} has no split {split!r}. Splits: {', '.join(spec.splits)}.")
    if name == "scenes":
        return _scenes(spec, split, n, seed=seed, size=size, channels=channels, atypical=atypical)
    if name == "digits":
        return _digits(split, n, seed=seed, size=size, channels=channels)
    return _parquet(spec, split, n, seed=seed, size=size, channels=channels)


def chosen(total: int, n: int | None, *, seed: int | None, what: str) -> NDArray[np.int64]:
    """Positions of the first ``n`` of ``total`` images, or of ``n`` random ones in their order."""
    if n is None:
        return np.arange(total)
    if n > total:
        raise ValueError(f"n must be at most {total}, the size of {what}, got {n}.")
    if seed is None:
        return np.arange(n)
    return np.sort(np.random.default_rng(whole("seed", seed, least=0)).choice(total, n, replace=False))


def _scenes(
    spec: DatasetSpec,
    split: str,
    n: int | None,
    *,
    seed: int | None,
    size: Size | None,
    channels: int | None,
    atypical: float,
) -> Images:
    """Drawn scenes; the splits of all seeds are disjoint."""
    side = 32 if size is None else size
    if not isinstance(side, int):
        raise ValueError(f"scenes are square, got size={size}. Pass one number.")
    seed = 0 if seed is None else whole("seed", seed, least=0)
    scenes = make_scenes(
        spec.splits[split] if n is None else n,
        size=side,
        seed=len(_SCENE_SPLITS) * seed + _SCENE_SPLITS.index(split),
        atypical=atypical,
    )
    log_use("scenes")
    return Images(
        pixels=_with_channels(np.rint(scenes.image * 255).astype(np.uint8), channels),
        labels=scenes.label,
        masks=scenes.mask,
        depth=scenes.depth,
        captions=scenes.caption,
        classes=SHAPES,
        atypical=scenes.atypical,
        name="scenes",
        split=split,
    )


def _digits(
    split: str, n: int | None, *, seed: int | None, size: Size | None, channels: int | None
) -> Images:
    """scikit-learn's 8 x 8 digits; a fixed fifth of them is the test split."""
    from sklearn.datasets import load_digits

    source = load_digits()
    order = np.random.default_rng(0).permutation(len(source.target))
    rows = np.sort(order[: len(order) // 5] if split == "test" else order[len(order) // 5 :])
    rows = rows[chosen(len(rows), n, seed=seed, what=f"split {split!r} of digits")]
    pixels = np.rint(source.images[rows] * (255 / 16)).astype(np.uint8)[:, None]
    if size is not None:
        pixels = decode([_png(image[0]) for image in pixels], channels=1, size=size)
    log_use("digits")
    return Images(
        pixels=_with_channels(pixels, channels),
        labels=source.target[rows].astype(np.int64),
        classes=tuple(str(digit) for digit in range(10)),
        name="digits",
        split=split,
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    """A grey image as an encoded file."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG")
    return stream.getvalue()


def _with_channels(pixels: NDArray[np.uint8], channels: int | None) -> NDArray[np.uint8]:
    """The same images in grey or colour; grey is the usual weighted sum of red, green and blue."""
    if channels is None or pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=1)
    grey = np.tensordot(np.array([0.299, 0.587, 0.114]), pixels, axes=(0, 1))
    return np.rint(grey).astype(np.uint8)[:, None]


def _parquet(
    spec: DatasetSpec,
    split: str,
    n: int | None,
    *,
    seed: int | None,
    size: Size | None,
    channels: Literal[1, 3] | None,
) -> Images:
    """Rows of the Parquet files of one split; files that hold none of the first ``n`` rows are not fetched."""
    parts = [part for part in spec.parts if part == split or part.startswith(f"{split}.")]
    paths: list[Path] = []
    total = 0
    for part in parts:
        paths.append(local_file(spec.name, part))
        total += row_count(paths[-1])
        if n is not None and seed is None and total >= n:
            break
    rows = chosen(total, n, seed=seed, what=f"split {split!r} of {spec.name}")
    encoded = read_encoded(paths, rows=rows)
    return Images(
        pixels=decode(encoded.images, channels=channels, size=size),
        labels=encoded.labels,
        masks=None if encoded.masks is None else _masks(encoded.masks, size),
        names=encoded.names,
        classes=encoded.classes or CLASSES.get(spec.name, ()),
        name=spec.name,
        split=split,
    )


def _masks(encoded: Sequence[bytes], size: Size | None) -> NDArray[np.uint8]:
    """Masks of class numbers (n, H, W)."""
    return decode(encoded, channels=1, size=size, nearest=True)[:, 0]


def _folder(
    folder: Path,
    split: str,
    n: int | None,
    *,
    seed: int | None,
    size: Size | None,
    channels: Literal[1, 3] | None,
) -> Images:
    """Image files in class folders, in alphabetical order of classes and files."""
    root = folder / split if (folder / split).is_dir() else folder
    if not root.is_dir():
        raise ValueError(f"{folder} is not a folder. Pass the path of a folder whose subfolders are classes.")
    classes = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    files = [
        (label, path)
        for label, name in enumerate(classes)
        for path in sorted((root / name).rglob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise ValueError(
            f"{root} holds no images in subfolders. Expected {root}/<class>/<file> with a suffix among "
            f"{', '.join(sorted(_SUFFIXES))}."
        )
    picked = [files[i] for i in chosen(len(files), n, seed=seed, what=f"folder {root}")]
    return Images(
        pixels=decode([path.read_bytes() for _, path in picked], channels=channels, size=size),
        labels=np.array([label for label, _ in picked], dtype=np.int64),
        names=tuple(path.relative_to(root).as_posix() for _, path in picked),
        classes=tuple(classes),
        name=folder.name,
        split=split,
    )


CLASSES = {
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "mnist": tuple(str(digit) for digit in range(10)),
    "svhn": tuple(str(digit) for digit in range(10)),
    "fashion_mnist": (
        "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "stl10": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    "camvid": (
        "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "cyclist", "void",
    ),
}  # fmt: skip
"""Names of classes where the files do not carry them; for camvid those of the mask."""
