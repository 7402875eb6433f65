"""ClassMem and class selectivity from activations and labels, accumulated in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.memorization.units import Negative, accept_activations, quotient

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ClassMem:
    """How exclusively one class excites each unit of a layer.

    ``scores`` (U,) in [0, 1]; ``argmax`` (U,) the label of the favourite class; ``mu_max`` its mean
    activation, ``mu_rest`` the mean over the other class means; ``dead`` units that never fire, score 0.
    """

    scores: Floats
    argmax: NDArray[Any]
    mu_max: Floats
    mu_rest: Floats
    dead: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def to_frame(self) -> pd.DataFrame:
        """One row per unit."""
        import pandas as pd

        names = ("scores", "argmax", "mu_max", "mu_rest", "dead")
        return pd.DataFrame({name: getattr(self, name) for name in names}).rename_axis("unit")


def classmem_from_activations(
    activation: ArrayLike, labels: ArrayLike, *, negative: Negative = "raise"
) -> ClassMem:
    """How exclusively one class excites each unit.

    ClassMem(u) = (mu_max - mu_rest) / (mu_max + mu_rest), with mu_max the largest of the M class means of
    the unit's activation and mu_rest the mean of the other M - 1 class means, each class counting once.

    Args:
        activation: shape (N, U), finite.
        labels: class of each point, shape (N,), at least two classes.
        negative: see ``unitmem_from_activations``.

    Returns:
        Scores in [0, 1]; on training data this is ClassMem, on test data class selectivity.

    Raises:
        ValueError: labels of another length or of one class, non-finite or (by default) negative values.

    Example:
        >>> classmem_from_activations([[3.0], [3.0], [1.0]], ["cat", "cat", "dog"]).scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024 (ClassMem); Morcos et al., ICLR 2018 (class selectivity).
    """
    rows, names = np.asarray(activation), np.asarray(labels)
    if rows.ndim != 2 or names.shape != rows.shape[:1]:
        raise ValueError(f"activation (N, U) and labels (N,) must match, got {rows.shape} and {names.shape}")
    return ClassMemAccumulator(np.unique(names), negative=negative).update(rows, names).compute()


class ClassMemAccumulator:
    """Per-class sums of activations, memory O(M U); order, batches and shards do not matter.

    Args:
        classes: all labels that may occur, at least two, without repeats.
        negative: see ``unitmem_from_activations``.

    Example:
        >>> part = ClassMemAccumulator([0, 1]).update([[3.0]], [0])
        >>> part.merge(ClassMemAccumulator([0, 1]).update([[1.0]], [1])).compute().scores
        array([0.5])

    Source: Wang et al., NeurIPS 2024; the one-pass form is ours.
    """

    def __init__(self, classes: ArrayLike, *, negative: Negative = "raise") -> None:
        self.classes = np.unique(np.asarray(classes))
        if len(self.classes) < 2:
            raise ValueError(
                f"ClassMem compares one class with the others and needs >= 2 classes, got {len(self.classes)}"
            )
        self.negative: Negative = negative
        self.counts = np.zeros(len(self.classes), np.int64)
        self._sums = np.zeros((len(self.classes), 0))
        self._below = np.zeros(0, bool)

    def update(self, activation: ArrayLike, labels: ArrayLike) -> ClassMemAccumulator:
        """Adds points.

        Args:
            activation: shape (B, U).
            labels: shape (B,), all among the classes.

        Returns:
            Itself.

        Raises:
            ValueError: shapes differ, a label is unknown, or values are refused.
        """
        rows, names = np.asarray(activation), np.asarray(labels)
        if rows.ndim != 2 or names.shape != rows.shape[:1]:
            raise ValueError(f"activation (B, U) and labels (B,) must match, got {rows.shape}, {names.shape}")
        if not len(rows):
            return self
        unknown = np.setdiff1d(names, self.classes)
        if len(unknown):
            raise ValueError(f"labels {unknown[:5].tolist()} are not among the {len(self.classes)} classes")
        rows, below = accept_activations(rows, self.negative)
        position = np.searchsorted(self.classes, names)
        one_hot = np.zeros((len(self.classes), len(rows)))
        one_hot[position, np.arange(len(rows))] = 1.0
        return self._add(one_hot @ rows, below, np.bincount(position, minlength=len(self.classes)))

    def merge(self, other: ClassMemAccumulator) -> ClassMemAccumulator:
        """Adds the points of another accumulator over the same classes, which stays as it is.

        Returns:
            Itself.

        Raises:
            ValueError: the classes or the settings differ.
        """
        if not np.array_equal(self.classes, other.classes) or self.negative != other.negative:
            raise ValueError("cannot merge: classes and negative= must be the same for all shards")
        return self._add(other._sums, other._below, other.counts) if other.counts.any() else self

    def _add(self, sums: Floats, below: NDArray[np.bool_], counts: NDArray[np.int64]) -> ClassMemAccumulator:
        """Adds checked sums (M, U)."""
        if not self.counts.any():
            self._sums, self._below = np.zeros_like(sums), np.zeros_like(below)
        if sums.shape != self._sums.shape:
            raise ValueError(f"expected {self._sums.shape[1]} units as before, got {sums.shape[1]}")
        self._sums = self._sums + sums
        self._below = self._below | below
        self.counts = self.counts + counts
        return self

    def compute(self) -> ClassMem:
        """The scores of all points so far.

        Returns:
            ClassMem per unit.

        Raises:
            ValueError: a class without a point.
        """
        if not self.counts.all():
            missing = self.classes[self.counts == 0][:5].tolist()
            raise ValueError(
                f"classes {missing} have no point, so their mean activation is unknown; leave them out"
            )
        means = self._sums / self.counts[:, None]
        top = means.argmax(axis=0)
        largest = means[top, np.arange(means.shape[1])]
        rest = (means.sum(axis=0) - largest) / (len(means) - 1)
        rest = np.where(self._below, rest, np.clip(rest, 0, None))
        return ClassMem(
            scores=np.where(self._below, np.nan, quotient(largest, rest)),
            argmax=self.classes[top],
            mu_max=largest,
            mu_rest=rest,
            dead=(largest == 0) & ~self._below,
            counts=self.counts.copy(),
        )
