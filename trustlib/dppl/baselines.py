"""What private prototypes are compared with: the interface of all baselines, and the answers without privacy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Matrix, class_index, generator, positive, shape_of
from trustlib.dppl.embeddings import as_tensor, unit_rows
from trustlib.privacy import ApproxDP, Budget, PrivacyLedger

UNIT = "one private record with its label"


class Baseline:
    """A classifier with one score per class.

    Attributes:
        classes_: the public classes, shape (C,).
        weight_: released vectors, shape (C, d).
        bias_: released offsets, shape (C,).
        ledger_: what all fits spent, under which neighbouring relation; None where nothing is protected.
    """

    classes_: NDArray[Any]
    weight_: NDArray[np.float64]
    bias_: NDArray[np.float64]
    ledger_: PrivacyLedger | None = None

    def predict_scores(self, embeddings: Matrix) -> NDArray[np.float64]:
        """Scores of the classes, shape (m, C): embeddings @ weight_.T + bias_; post-processing, so it is free.

        Args:
            embeddings: shape (m, d).

        Raises:
            ValueError: another shape, or no fit before.
        """
        x = checked_embeddings("embeddings", embeddings, dim=self._fitted().shape[1])
        return x @ self.weight_.T + self.bias_

    def predict(self, embeddings: Matrix) -> NDArray[Any]:
        """Classes with the largest scores, shape (m,); see `predict_scores`."""
        best = self.predict_scores(embeddings).argmax(axis=1)
        return self.classes_[best]

    def _fitted(self) -> NDArray[np.float64]:
        """The released vectors, or an error."""
        if not hasattr(self, "weight_"):
            raise ValueError(f"{type(self).__name__} has released nothing yet: call fit first.")
        return self.weight_

    def _read(
        self, embeddings: Matrix, labels: ArrayLike, classes: Sequence[Any] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
        """Embeddings (n, d), positions of the classes (n,), number of classes."""
        x = checked_embeddings("embeddings", embeddings)
        index, self.classes_ = class_index(labels, classes, n=len(x))
        if len(self.classes_) < 2:
            raise ValueError(f"classes must be at least two, got {self.classes_.tolist()}.")
        return x, index, len(self.classes_)


class PrivateBaseline(Baseline, ABC):
    """A baseline that protects one record with its label under add or remove.

    Args:
        budget: what a fit may spend.
        clip_norm: C > 0, public; bounds what one record contributes.
    """

    def __init__(self, budget: PrivacyBudget | ApproxDP, *, clip_norm: float) -> None:
        self.budget = budget
        self.clip_norm = positive("clip_norm", clip_norm, why="It bounds what one record contributes.")

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike,
        *,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Self:
        """Release the classifier; every call spends the whole budget.

        Args:
            embeddings: shape (n, d), finite.
            labels: shape (n,), members of ``classes``.
            classes: the public classes.
            rng: source of all randomness.

        Returns:
            self.

        Raises:
            ValueError: shapes or values out of range.
            TypeError: rng is not a numpy Generator.
        """
        rng = generator(rng)
        x, index, count = self._read(embeddings, labels, classes)
        self._release(x, index, count, rng)
        return self

    @abstractmethod
    def _release(
        self, x: NDArray[np.float64], index: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> None:
        """Spend the budget and set weight_ and bias_, from rows (n, d) and positions of their classes (n,)."""

    def _spend(self, label: str, budget: Budget) -> None:
        """Record a release on one more or fewer record; a second fit adds to the first."""
        if self.ledger_ is None:
            self.ledger_ = PrivacyLedger("add_remove", unit=UNIT)
        self.ledger_.spend(label, budget, relation="add_remove")


class ClassMeans(Baseline):
    """Means of the classes without any privacy: what every private mean is a noisy version of.

    Example:
        >>> means = ClassMeans().fit([[1.0, 0.0], [0.0, 2.0]], [0, 1], classes=[0, 1])
        >>> means.predict([[0.9, 0.1]]).tolist()
        [0]

    Source: Snell et al. 2017 (prototypes); the reference without privacy of Wahdany et al. 2025.
    """

    def fit(self, embeddings: Matrix, labels: ArrayLike, *, classes: Sequence[Any] | None) -> Self:
        """Average the embeddings of every class; a test point goes to the mean with the largest cosine.

        Args:
            embeddings: shape (n, d), finite.
            labels: shape (n,), members of ``classes``.
            classes: all classes.

        Returns:
            self, with weight_ the means divided by their lengths.

        Raises:
            ValueError: shapes or values out of range, a class without records, or a mean of length 0.
        """
        x, index, count = self._read(embeddings, labels, classes)
        sizes = np.bincount(index, minlength=count)
        if sizes.min() == 0:
            raise ValueError(f"class {self.classes_[sizes.argmin()]!r} has no records, so it has no mean.")
        means = class_sums(x, index, count) / sizes[:, None]
        self.weight_ = unit_rows(means, name="the means of the classes")
        self.bias_ = np.zeros(count)
        return self


class NearestPublic(Baseline):
    """The public sample with the largest summed cosine to a class: DPPL-Public at an infinite budget.

    Attributes:
        prototype_indices_: row of the public sample of each class, int64 (C,).

    Example:
        >>> pool = [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]
        >>> model = NearestPublic().fit([[2.0, 0.1], [0.0, 3.0]], [0, 1], pool, classes=[0, 1])
        >>> model.prototype_indices_
        array([0, 1])

    Source: Wahdany et al. 2025, DPPL-Public without noise.
    """

    prototype_indices_: NDArray[np.int64]

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike,
        public_embeddings: Matrix,
        *,
        classes: Sequence[Any] | None,
    ) -> Self:
        """Choose the best public sample for every class.

        Args:
            embeddings: shape (n, d), finite, no row of length 0.
            labels: shape (n,), members of ``classes``.
            public_embeddings: shape (M, d), likewise.
            classes: all classes.

        Returns:
            self.

        Raises:
            ValueError: shapes or values out of range, or a class without records.
        """
        x, index, count = self._read(embeddings, labels, classes)
        pool = unit_rows(public_embeddings, name="public_embeddings")
        if pool.shape[1] != x.shape[1]:
            raise ValueError(f"public_embeddings must have {x.shape[1]} dimensions, got {pool.shape[1]}.")
        if np.bincount(index, minlength=count).min() == 0:
            raise ValueError("every class needs a record to choose a public sample for; one has none.")
        sums = class_sums(unit_rows(x), index, count)
        self.prototype_indices_ = (sums @ pool.T).argmax(axis=1)
        self.weight_ = pool[self.prototype_indices_]
        self.bias_ = np.zeros(count)
        return self


def noise_multiplier(releases: int, rho: float) -> float:
    """Standard deviation over sensitivity of equal Gaussian releases that spend rho together: sqrt(T / (2 rho))."""
    return math.sqrt(releases / (2 * rho))


def class_sums(x: NDArray[np.float64], index: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Sums of the rows of each class, (n, d) and (n,) to (C, d)."""
    member = np.zeros((count, len(x)))
    member[index, np.arange(len(x))] = 1.0
    return member @ x


def checked_embeddings(name: str, value: Matrix, *, dim: int | None = None) -> NDArray[np.float64]:
    """Embeddings as finite float64 (n, d)."""
    shape_of(name, value, dim=dim)
    return as_tensor(name, value, device="cpu").double().numpy()
