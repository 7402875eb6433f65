"""Imbalanced training sets: how many rows each class keeps, and which."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def imbalanced_sizes(largest: int, classes: int, *, ratio: float) -> NDArray[np.int64]:
    """Class sizes that fall geometrically from ``largest`` to ``largest / ratio``.

    n_j = round(largest * ratio**(-t_j / classes)), t = linspace(0, classes, classes).

    Args:
        largest: size of the largest class, >= 1.
        classes: number of classes C, >= 1.
        ratio: largest size over smallest, >= 1; 1 gives equal sizes.

    Returns:
        int64 (C,), not increasing, each >= 1.

    Raises:
        ValueError: numbers out of range, or a smallest class that would be empty.

    Example:
        >>> imbalanced_sizes(100, 3, ratio=10)
        array([100,  32,  10])

    Source: Wahdany et al. 2025, construction of the imbalanced training sets (authors' programs).
    """
    for name, value in (("largest", largest), ("classes", classes)):
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
    if not (np.isfinite(ratio) and ratio >= 1):
        raise ValueError(f"ratio must be a finite number >= 1 (largest class over smallest), got {ratio!r}.")
    if classes == 1:
        return np.array([largest], dtype=np.int64)
    steps = np.linspace(0, classes, classes)
    sizes = np.rint(largest * float(ratio) ** (-steps / classes)).astype(np.int64)
    if sizes[-1] < 1:
        raise ValueError(
            f"ratio = {ratio:g} leaves the smallest of {classes} classes empty, because the largest has only "
            f"{largest} rows. Use a ratio of at most {largest}, or more rows."
        )
    return sizes


def make_imbalanced(
    labels: ArrayLike,
    *,
    ratio: float,
    classes: int,
    largest: int | None = None,
    seed: int = 42,
) -> NDArray[np.int64]:
    """Rows of an imbalanced subset: sizes are dealt out to classes at random, the first rows of each class are kept.

    To draw other rows as well, permute the data set before. With ratio 1 and the same seed, every class keeps
    ``largest`` rows, and which class is small at another ratio is the same for all ratios.

    Args:
        labels: integer (n,) in [0, classes).
        ratio: largest size over smallest, >= 1.
        classes: number of classes C; stated, not taken from the labels.
        largest: size of the largest class; None: that of the smallest class in the data.
        seed: decides which class gets which size.

    Returns:
        int64: positions of the kept rows, in their order.

    Raises:
        ValueError: labels outside [0, classes), a class with fewer than ``largest`` rows, or sizes out of range.

    Example:
        >>> labels = np.repeat([0, 1], 8)
        >>> np.bincount(labels[make_imbalanced(labels, ratio=4, classes=2)]).tolist()
        [2, 8]

    Source: Wahdany et al. 2025, construction of the imbalanced training sets (authors' programs); seed 42 is theirs.
    """
    names = checked_labels(labels, classes)
    counts = np.bincount(names, minlength=classes)
    largest = int(counts.min()) if largest is None else largest
    sizes = imbalanced_sizes(largest, classes, ratio=ratio) if largest else np.zeros(0)
    if not largest or counts.min() < largest:
        short = int(counts.argmin())
        raise ValueError(
            f"class {short} has {counts[short]} rows, but every class must have largest = {largest} >= 1 to choose "
            "from. Ask for fewer rows, or leave the class out."
        )
    sizes = np.random.default_rng(seed).permutation(sizes)
    rank = np.empty(len(names), dtype=np.int64)  # position of a row within its class
    order = np.argsort(names, kind="stable")
    rank[order] = np.arange(len(names)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.flatnonzero(rank < sizes[names])


def checked_labels(labels: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Labels as int64 (n,) in [0, classes), n >= 1."""
    names = np.asarray(labels)
    if names.ndim != 1 or len(names) == 0 or not np.issubdtype(names.dtype, np.integer):
        raise ValueError(
            f"labels must be whole numbers of shape (n,), n >= 1, got {names.dtype} {names.shape}."
        )
    outside = np.flatnonzero((names < 0) | (names >= classes))
    if len(outside):
        raise ValueError(
            f"labels must lie in [0, {classes}), got {names[outside[0]]} in row {outside[0]} and {len(outside)} such "
            "rows in all. The classes are public: state all of them."
        )
    return names.astype(np.int64)
