"""Accuracy by class, for groups of classes by their size, and how it leans on size."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.imbalance import checked_labels

Group = Literal["minority", "majority"]


def class_accuracies(labels: ArrayLike, predicted: ArrayLike, *, classes: int) -> NDArray[np.float64]:
    """Share of test points of each class that are recognised.

    Args:
        labels: true classes, integer (m,) in [0, classes); every class must occur.
        predicted: predicted classes, integer (..., m); leading axes are kept.
        classes: number of classes C.

    Returns:
        Shape (..., C), in [0, 1].

    Raises:
        ValueError: shapes that do not agree, labels out of range, or a class without test points.

    Example:
        >>> class_accuracies([0, 0, 1, 1], [0, 1, 1, 1], classes=2)
        array([0.5, 1. ])
    """
    truth = checked_labels(labels, classes)
    guess = np.asarray(predicted)
    if guess.shape[-1:] != truth.shape:
        raise ValueError(f"predicted must be (..., {len(truth)}), one per label, got {guess.shape}.")
    counts = np.bincount(truth, minlength=classes)
    if counts.min() == 0:
        raise ValueError(
            f"class {int(counts.argmin())} has no test points: its accuracy does not exist. Every class needs some."
        )
    member = (truth[:, None] == np.arange(classes)).astype(np.float64)  # (m, C)
    return (guess == truth).astype(np.float64) @ member / counts


def balanced_accuracy(labels: ArrayLike, predicted: ArrayLike, *, classes: int) -> NDArray[np.float64]:
    """Mean over classes of the share that is recognised.

    Args:
        labels: see `class_accuracies`.
        predicted: see `class_accuracies`.
        classes: number of classes C.

    Returns:
        Shape (...), in [0, 1]; 1 / C for a constant prediction.

    Raises:
        ValueError: see `class_accuracies`.

    Example:
        >>> float(balanced_accuracy([0, 0, 0, 1], [0, 0, 0, 0], classes=2))
        0.5

    Source: Wahdany et al. 2025, metrics.
    """
    return class_accuracies(labels, predicted, classes=classes).mean(axis=-1)


def group_accuracy(
    accuracies: ArrayLike, sizes: ArrayLike, *, group: Group, share: float = 0.25
) -> NDArray[np.float64]:
    """Mean accuracy of the classes with the fewest ("minority") or most ("majority") private rows.

    The group holds ceil(share * C) classes; of equal classes the one with the lower number counts as smaller.

    Args:
        accuracies: by class, shape (..., C).
        sizes: private rows by class, shape (C,).
        group: "minority" or "majority".
        share: of the classes, in (0, 1].

    Returns:
        Shape (...), in [0, 1].

    Raises:
        ValueError: an unknown group, a share outside (0, 1], or shapes that do not agree.

    Example:
        >>> float(group_accuracy([0.1, 0.5, 0.9, 0.7], [10, 20, 40, 30], group="minority"))
        0.1

    Source: Wahdany et al. 2025, metrics: the smallest and largest quarter of the classes.
    """
    values, counts = _by_class(accuracies, sizes)
    if group not in ("minority", "majority"):
        raise ValueError(f'group must be "minority" or "majority", got {group!r}.')
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share!r}. It is a share of the classes.")
    order = np.argsort(counts, kind="stable")
    k = int(np.ceil(share * len(counts) - 1e-9))
    return values[..., order[:k] if group == "minority" else order[-k:]].mean(axis=-1)


def imbalance_slope(accuracies: ArrayLike, sizes: ArrayLike) -> NDArray[np.float64]:
    """Least-squares slope of the class accuracies on the logarithm of the class sizes.

    Args:
        accuracies: by class, shape (..., C).
        sizes: private rows by class, shape (C,), >= 1, not all equal.

    Returns:
        Shape (...): gain in accuracy when a class grows by the factor e.

    Raises:
        ValueError: shapes that do not agree, sizes below 1, or equal sizes, for which there is no slope.

    Example:
        >>> imbalance_slope([0.2, 0.4, 0.6], np.exp([1.0, 2.0, 3.0])).round(6)
        np.float64(0.2)

    Source: this book; measures what Wahdany et al. 2025 describe in words.
    """
    values, counts = _by_class(accuracies, sizes)
    if counts.min() < 1 or counts.min() == counts.max():
        raise ValueError(
            f"sizes must be >= 1 and not all equal, got {counts.min():g} to {counts.max():g}: a slope needs classes of "
            "different size."
        )
    x = np.log(counts) - np.log(counts).mean()
    return (values @ x) / (x @ x)


def _by_class(accuracies: ArrayLike, sizes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Accuracies (..., C) and sizes (C,), checked against each other."""
    values, counts = np.asarray(accuracies, dtype=np.float64), np.asarray(sizes, dtype=np.float64)
    if counts.ndim != 1 or values.shape[-1:] != counts.shape or not len(counts):
        raise ValueError(
            f"accuracies must be (..., C) and sizes (C,), got {values.shape} and {counts.shape}."
        )
    return values, counts
