"""The Déjà Vu baseline: infer the label of a training image from its background alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor

Corner = Literal["top_left", "top_right", "bottom_left", "bottom_right"]


def corner_crop(images: Tensor, *, fraction: float = 0.3, corner: Corner = "bottom_left") -> Tensor:
    """A corner of every image, enlarged to the full size: the part that should not show the object.

    Args:
        images: shape (B, C, H, W).
        fraction: side of the corner over the side of the image, in (0, 1].
        corner: which one. Choose it such that it does not meet the object's box.

    Returns:
        Shape (B, C, H, W), bilinear.

    Raises:
        ValueError: fraction outside (0, 1], unknown corner, or images that are not 4-d.

    Example:
        >>> import torch
        >>> corner_crop(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])

    Source: Meehan et al., NeurIPS 2023; 30 % in the script of Wang et al., ICLR 2024.
    """
    import torch

    if images.ndim != 4:
        raise ValueError(f"images must have shape (B, C, H, W), got {tuple(images.shape)}")
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    if corner not in get_args(Corner):
        raise ValueError(f"corner must be one of {', '.join(get_args(Corner))}; got {corner!r}")
    height, width = images.shape[-2:]
    rows, columns = max(1, round(fraction * height)), max(1, round(fraction * width))
    top = slice(0, rows) if corner.startswith("top") else slice(height - rows, height)
    left = slice(0, columns) if corner.endswith("left") else slice(width - columns, width)
    return torch.nn.functional.interpolate(
        images[..., top, left], size=(height, width), mode="bilinear", antialias=True
    )


def knn_vote(query: ArrayLike, public: ArrayLike, public_labels: ArrayLike, *, k: int = 100) -> NDArray[Any]:
    """Majority label among the k nearest public points, by cosine similarity.

    Args:
        query: embeddings, shape (n, s).
        public: embeddings of a labelled public set, shape (m, s).
        public_labels: shape (m,).
        k: in [1, m]; 100 in the paper.

    Returns:
        Labels, shape (n,). Ties go to the smaller label.

    Raises:
        ValueError: k outside [1, m], or shapes that do not fit.

    Example:
        >>> knn_vote([[1.0, 0.1]], [[1.0, 0.0], [0.9, 0.2], [0.0, 1.0]], ["sky", "sky", "sea"], k=2)
        array(['sky'], dtype='<U3')

    Source: Meehan et al., NeurIPS 2023 (label inference attack).
    """
    a, b = np.asarray(query, dtype=np.float64), np.asarray(public, dtype=np.float64)
    labels = np.asarray(public_labels)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or labels.shape != b.shape[:1]:
        raise ValueError(
            f"query (n, s), public (m, s), labels (m,) must fit: {a.shape}, {b.shape}, {labels.shape}"
        )
    if not 1 <= k <= len(b):
        raise ValueError(f"k must be in [1, {len(b)}], the size of the public set; got {k}")
    classes, position = np.unique(labels, return_inverse=True)
    unit_public = _unit(b)
    voted = np.empty(len(a), dtype=np.intp)
    for start in range(0, len(a), 1024):
        similarity = _unit(a[start : start + 1024]) @ unit_public.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        votes = np.apply_along_axis(np.bincount, 1, position[nearest], minlength=len(classes))
        voted[start : start + 1024] = votes.argmax(axis=1)
    return classes[voted]


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; zero rows stay zero."""
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norm, out=np.zeros_like(rows), where=norm > 0)


@dataclass(frozen=True)
class DejaVu:
    """Label inference from the background with an encoder that saw the images and one that did not.

    ``score`` = accuracy_in - accuracy_out: what correlation between background and label cannot explain.
    ``memorized`` (n,): right with the encoder that saw the image, wrong with the one that did not.
    """

    accuracy_in: float
    accuracy_out: float
    memorized: NDArray[np.bool_]

    @property
    def score(self) -> float:
        """Excess accuracy, in [-1, 1]."""
        return self.accuracy_in - self.accuracy_out


def deja_vu(
    crops_in: ArrayLike,
    crops_out: ArrayLike,
    labels: ArrayLike,
    public_in: ArrayLike,
    public_out: ArrayLike,
    public_labels: ArrayLike,
    *,
    k: int = 100,
) -> DejaVu:
    """The Déjà Vu score: label inference accuracy of encoder f beyond that of reference g.

    score = accuracy(knn_vote under f) - accuracy(knn_vote under g), on background crops of points that f
    was trained on and g was not.

    Args:
        crops_in: embeddings under f of the background crops, shape (n, s).
        crops_out: embeddings under g of the same crops, shape (n, t).
        labels: of the images, shape (n,).
        public_in: embeddings under f of a labelled set that neither saw, shape (m, s).
        public_out: embeddings under g of the same set, shape (m, t).
        public_labels: shape (m,).
        k: neighbours that vote.

    Returns:
        Accuracies as fractions, and the points inferred by f only.

    Raises:
        ValueError: shapes that do not fit, or k outside [1, m].

    Example:
        >>> public, names = [[1.0, 0.0], [0.0, 1.0]], [0, 1]
        >>> deja_vu([[1.0, 0.0]], [[0.0, 1.0]], [0], public, public, names, k=1).score
        1.0

    Source: Meehan et al., NeurIPS 2023, as the baseline of Wang et al., ICLR 2024, section 4.5.
    """
    truth = np.asarray(labels)
    if len(truth) != len(np.asarray(crops_in)) or len(truth) != len(np.asarray(crops_out)):
        raise ValueError(
            f"{len(truth)} labels for {len(np.asarray(crops_in))} and {len(np.asarray(crops_out))} crops"
        )
    right_in = knn_vote(crops_in, public_in, public_labels, k=k) == truth
    right_out = knn_vote(crops_out, public_out, public_labels, k=k) == truth
    return DejaVu(float(right_in.mean()), float(right_out.mean()), right_in & ~right_out)
