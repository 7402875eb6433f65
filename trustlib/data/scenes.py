"""Scenes: procedurally drawn rooms with 1 to 3 objects, their labels, masks, depth and captions. NumPy only."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trustlib.data.checks import whole
from trustlib.data.scene_draws import ATYPICAL_KINDS, SHAPES, SLOTS, captions, draw_scenes
from trustlib.data.scene_rendering import VOID, outlines, render

MASK_CLASSES = ("ground", "wall", *SHAPES)
_LEAST_AREA = 0.003  # of the image: smaller objects are not worth a word in the caption
_CHUNK = 64  # scenes drawn together; their arrays stay in the processor's cache


@dataclass(frozen=True)
class SceneBatch:
    """Scenes and everything that is known about them.

    Args:
        image: float32 (n, 3, S, S) in [0, 1], multiples of 1/255.
        label: int64 (n,): shape of the nearest object, position in `SHAPES`.
        mask: uint8 (n, S, S): 0 ground, 1 wall, 2 to 5 the shapes in the order of `SHAPES`, 255 void.
        depth: float32 (n, S, S), metres, about 0.8 to 5.5.
        caption: one sentence per scene.
        atypical: int64, positions of the atypical scenes among the n.
        kind: what is atypical, one of `ATYPICAL_KINDS` for each of ``atypical``.
    """

    image: NDArray[np.float32]
    label: NDArray[np.int64]
    mask: NDArray[np.uint8]
    depth: NDArray[np.float32]
    caption: tuple[str, ...]
    atypical: NDArray[np.int64]
    kind: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)


def make_scenes(
    n: int,
    *,
    size: int = 32,
    seed: int = 0,
    color_seed: int | None = None,
    objects: tuple[int, int] = (1, SLOTS),
    texture: float = 0.08,
    noise: float = 0.02,
    outline: bool = False,
    atypical: float = 0.0,
    start: int = 0,
) -> SceneBatch:
    """Scenes ``start`` to ``start + n - 1`` of a seed.

    A camera at unit height looks at a ground plane, depth(v) = (1 - h) / (v - h) in row v under the horizon h, cut
    by a back wall at 4.5 to 5.5 m. The subject stands at 1.3 to 2.1 m, distractors at least 0.3 m behind it.
    Colour, texture, light and haze are independent of shapes, so that the label can only be read off the shape of
    the nearest object. Scene i depends on (seed, i) alone; with another ``color_seed`` the same geometry is painted
    anew, and label, mask and depth stay as they were.

    Args:
        n: number of scenes, >= 1.
        size: height and width in pixels, >= 16.
        seed: of the geometry, >= 0.
        color_seed: of the appearance; None: ``seed``.
        objects: least and greatest number of objects, within 1 to 3.
        texture: amplitude of the stripes on objects, in [0, 0.5] of the colour range; 0 removes this cue.
        noise: standard deviation of the pixel noise, >= 0.
        outline: mark the rim of every object as void (255) in the mask.
        atypical: share of atypical scenes in [0, 1]: a negative, upside down, a checkered subject, or in the dark.
            Labels stay true. A larger share contains the atypical scenes of a smaller one.
        start: index of the first scene, >= 0.

    Returns:
        The scenes. Labels are balanced: 4 k to 4 k + 3 are the four shapes in random order.

    Raises:
        TypeError: n, size, a seed or ``start`` is not a whole number.
        ValueError: any of them, or ``objects``, ``texture``, ``noise``, ``atypical``, is out of range.

    Example:
        >>> scenes = make_scenes(4, seed=1)
        >>> scenes.image.shape, sorted(scenes.label.tolist())
        ((4, 3, 32, 32), [0, 1, 2, 3])
        >>> np.array_equal(make_scenes(2, seed=1, start=2).image, scenes.image[2:])
        True

    Source: ours; set-up of the small-scale robustness study.
    """
    n, size = whole("n", n, least=1), whole("size", size, least=16)
    seed, start = whole("seed", seed, least=0), whole("start", start, least=0)
    color_seed = seed if color_seed is None else whole("color_seed", color_seed, least=0)
    _refuse(objects, texture=texture, noise=noise, atypical=atypical)
    parts = [
        _chunk(
            np.arange(first, min(first + _CHUNK, start + n)), size=size, seed=seed, color_seed=color_seed,
            objects=objects, texture=texture, noise=noise, outline=outline, share=atypical,
        )
        for first in range(start, start + n, _CHUNK)
    ]  # fmt: skip
    pixels, label, mask, depth, kind = (np.concatenate([part[k] for part in parts]) for k in range(5))
    positions = np.flatnonzero(kind >= 0)
    return SceneBatch(
        image=pixels.astype(np.float32) / np.float32(255),
        label=label,
        mask=mask,
        depth=depth,
        caption=tuple(text for part in parts for text in part[5]),
        atypical=positions,
        kind=tuple(ATYPICAL_KINDS[k] for k in kind[positions]),
    )


def _refuse(objects: tuple[int, int], *, texture: float, noise: float, atypical: float) -> None:
    """Refuses ranges that cannot be drawn."""
    if len(objects) != 2 or not 1 <= objects[0] <= objects[1] <= SLOTS:
        raise ValueError(
            f"objects must be (least, greatest) with 1 <= least <= greatest <= {SLOTS}, got {objects}."
        )
    if not 0 <= texture <= 0.5:
        raise ValueError(f"texture must be in [0, 0.5], got {texture}. It is an amplitude in pixel units.")
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a finite number >= 0, got {noise}. It is a standard deviation.")
    if not 0 <= atypical <= 1:
        raise ValueError(f"atypical must be a share in [0, 1], got {atypical}.")


def _chunk(
    index: NDArray[np.int64],
    *,
    size: int,
    seed: int,
    color_seed: int,
    objects: tuple[int, int],
    texture: float,
    noise: float,
    outline: bool,
    share: float,
) -> tuple:
    """Pixels, labels, masks, depth, kind of atypicality (-1: none) and captions of a few scenes."""
    draws = draw_scenes(index, seed=seed, color_seed=color_seed, objects=objects)
    atypical = draws.atypical_rank < share
    pixels, canvas = render(
        draws, size=size, texture=texture, noise=noise, color_seed=color_seed, atypical=atypical
    )
    mask = np.where(outlines(canvas.instance), np.uint8(VOID), canvas.mask) if outline else canvas.mask
    kind = np.where(atypical, draws.atypical_kind, -1)
    visible = np.stack(
        [(canvas.instance == slot).mean(axis=(1, 2)) > _LEAST_AREA for slot in range(SLOTS)], axis=1
    )
    text = captions(draws, texture=texture, atypical=atypical, visible=visible)
    return pixels, draws.label, mask, canvas.depth, kind, text


@functools.cache
def reference_fingerprint() -> str:
    """SHA-256 of the first 64 scenes of seed 0, a quarter of them atypical: changes when the generator does."""
    scenes = make_scenes(64, atypical=0.25)
    digest = hashlib.sha256()
    digest.update(np.rint(scenes.image * 255).astype(np.uint8).tobytes())
    digest.update(scenes.label.tobytes() + scenes.mask.tobytes())
    digest.update(np.round(scenes.depth, 3).tobytes() + "\n".join(scenes.caption).encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class SceneNulls:
    """What knowing nothing about an image reaches on scenes; read every result beside it.

    Args:
        n_train: scenes the null predictors were fitted on.
        n_test: scenes they were scored on.
        accuracy: of the most frequent label.
        mean_color_accuracy: of a linear classifier on the image's three mean colours; must be near ``accuracy``.
        miou: mean over classes of intersection over union, predicting the most frequent class of every position.
        pixel_accuracy: of the same prediction: high, which is why it is nearly useless here.
        rmse: root mean square error of the mean depth map, metres.
        shares: of the mask classes among all pixels.
    """

    n_train: int
    n_test: int
    accuracy: float
    mean_color_accuracy: float
    miou: float
    pixel_accuracy: float
    rmse: float
    shares: tuple[float, ...]


def scene_nulls(*, n_train: int = 4000, n_test: int = 1000, size: int = 32, seed: int = 0) -> SceneNulls:
    """Null baselines of the three tasks, computed: fitted on ``seed``, scored on ``seed + 1``.

    Args:
        n_train: scenes to fit on, >= 8.
        n_test: scenes to score on, >= 8.
        size: pixels.
        seed: of the training scenes.

    Returns:
        The baselines.

    Raises:
        ValueError: fewer than 8 scenes.

    Example:
        >>> scene_nulls(n_train=64, n_test=32).accuracy
        0.25
    """
    from sklearn.linear_model import LogisticRegression

    train = make_scenes(whole("n_train", n_train, least=8), size=size, seed=seed)
    test = make_scenes(whole("n_test", n_test, least=8), size=size, seed=seed + 1)
    k = len(MASK_CLASSES)
    counts = np.stack([(train.mask == c).sum(axis=0) for c in range(k)])
    mode = np.broadcast_to(counts.argmax(axis=0), test.mask.shape)
    confusion = np.bincount(k * test.mask.ravel().astype(np.int64) + mode.ravel(), minlength=k * k)
    confusion = confusion.reshape(k, k)
    union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
    frequent = np.bincount(train.label).argmax()
    colors = LogisticRegression(max_iter=500).fit(train.image.mean(axis=(2, 3)), train.label)
    error = test.depth - train.depth.mean(axis=0, dtype=np.float64)
    return SceneNulls(
        n_train=n_train,
        n_test=n_test,
        accuracy=float((test.label == frequent).mean()),
        mean_color_accuracy=float(colors.score(test.image.mean(axis=(2, 3)), test.label)),
        miou=float((np.diag(confusion)[union > 0] / union[union > 0]).mean()),
        pixel_accuracy=float(np.trace(confusion) / confusion.sum()),
        rmse=float(np.sqrt((error**2).mean())),
        shares=tuple(float(share) for share in confusion.sum(axis=1) / confusion.sum()),
    )
