"""Classification by the closest prototype: post-processing of what was released, free of charge."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Adjacency, Matrix, as_array, one_of, shape_of
from trustlib.dppl.embeddings import check_pool, choose_device, pool_features, read_rows
from trustlib.privacy import Budget, Parts, PrivacyLedger, Relation

Vote = Literal["max", "mean", "slot"]
OnEmpty = Literal["raise", "accept"]


def cosine_votes(x: Matrix, prototypes: ArrayLike, *, vote: Vote) -> NDArray[np.float64]:
    """How strongly each test sample belongs to each class, given K prototypes per class.

    "max": the largest cosine to a prototype of the class. "mean": the cosine to the mean of the unit prototypes.
    "slot": slot k of all classes is a classifier of its own; the share of the K classifiers that choose the class, plus
    a tie-break below 1 / K by the mean cosine. All agree in their order for K = 1.

    Args:
        x: test samples, shape (m, d), finite, no zero rows; NumPy or torch.
        prototypes: shape (C, K, d), no zero rows.
        vote: "max", "mean" or "slot".

    Returns:
        float64 (m, C), larger is better.

    Raises:
        ValueError: shapes that do not fit, zero rows, NaN, or an unknown vote.

    Example:
        >>> x, prototypes = [[1.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [3.0, 4.0]]]
        >>> cosine_votes(x, prototypes, vote="max").round(3), cosine_votes(x, prototypes, vote="mean").round(3)
        (array([[1. , 0.6]]), array([[0.707, 0.6 ]]))

    Source: Wahdany et al. 2025 (closest prototype by cosine); how K prototypes vote is this book's.
    """
    one_of("vote", vote, get_args(Vote))
    cosines = _cosines(x, prototypes)
    if vote == "max":
        return np.asarray(cosines.max(axis=2))
    if vote == "mean":
        # the length of a mean of unit vectors: divide the mean cosine by it
        units = _units(prototypes).numpy()
        length = np.linalg.norm(units.mean(axis=1), axis=1)
        return np.asarray(cosines.mean(axis=2) / np.maximum(length, np.finfo(np.float64).tiny))
    n_slots = cosines.shape[2]
    chosen = cosines.argmax(axis=1)
    share = (chosen[:, None, :] == np.arange(cosines.shape[1])[None, :, None]).mean(axis=2)
    return np.asarray(share + (1 + cosines.mean(axis=2)) / (4 * n_slots))


def slot_choices(x: Matrix, prototypes: ArrayLike) -> NDArray[np.int64]:
    """What each of the K one-prototype classifiers chooses: positions of classes, shape (m, K).

    Args:
        x: test samples, shape (m, d).
        prototypes: shape (C, K, d).

    Returns:
        int64 (m, K). The mean over slots of their accuracies is what the authors' program reports for K > 1.

    Raises:
        ValueError: as `cosine_votes`.

    Example:
        >>> slot_choices([[1.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]], [[3.0, 4.0], [3.0, 4.0]]])
        array([[0, 1]])

    Source: Wahdany et al. 2025, the authors' programs.
    """
    return np.asarray(_cosines(x, prototypes).argmax(axis=1), dtype=np.int64)


class PrototypeClassifier(ClassifierMixin, BaseEstimator):
    """What all private prototype classifiers share: prediction, the ledger, and copies that lose no spending.

    `sklearn.base.clone` passes a ledger on instead of copying it, because a copy would lose what the clone spends.

    Attributes:
        prototypes_: what was released, shape (C, K, d).
        classes_: the public list of classes, shape (C,).
        ledger_: what was spent so far, on the relation that ``adjacency`` names.
        n_features_in_: dimensions of the embeddings that fit saw.
    """

    PUBLIC: ClassVar[tuple[str, ...]] = ()  # what the guarantee treats as known to everybody

    prototypes_: NDArray[np.float64]
    classes_: NDArray[Any]
    ledger_: PrivacyLedger
    n_features_in_: int
    ledger: PrivacyLedger | None
    adjacency: Adjacency

    def predict_scores(self, x: Matrix) -> NDArray[np.float64]:
        """How strongly each sample belongs to each class, shape (m, C), larger is better; see `cosine_votes`.

        Args:
            x: embeddings, shape (m, d), NumPy or torch, with the dimensions of fit.

        Raises:
            ValueError: other dimensions than those of fit, zero rows, NaN.
        """
        return cosine_votes(self._read_test(x), self.prototypes_, vote=getattr(self, "vote", "max"))

    def predict(self, x: Matrix) -> NDArray[Any]:
        """The class of the closest prototype for each sample, shape (m,); see `predict_scores`."""
        return np.asarray(self.classes_[self.predict_scores(x).argmax(axis=1)])

    def slot_accuracy(self, x: Matrix, labels: ArrayLike) -> float:
        """Mean accuracy of the K classifiers made of one prototype per class each, as the authors report K > 1.

        Args:
            x: embeddings, shape (m, d).
            labels: true classes, shape (m,).

        Raises:
            ValueError: as `predict_scores`, or labels of another length.
        """
        chosen = self.classes_[slot_choices(self._read_test(x), self.prototypes_)]
        truth = np.asarray(as_array(labels))
        if truth.shape != chosen.shape[:1]:
            raise ValueError(f"labels must have shape {chosen.shape[:1]}, got {truth.shape}.")
        return float((chosen == truth[:, None]).mean())

    def __sklearn_clone__(self) -> Self:
        twin: Self = super().__sklearn_clone__()
        twin.ledger = self.ledger
        return twin

    def _read_test(self, x: Matrix) -> Matrix:
        """Test embeddings with the dimensions of fit, pooled as fit pooled."""
        check_is_fitted(self, "prototypes_")
        _, d = shape_of("x", x)
        if d != self.n_features_in_:
            raise ValueError(f"x must have the {self.n_features_in_} dimensions of fit, got {d}.")
        pool = check_pool(getattr(self, "pool", 1), d)
        return x if pool == 1 else pool_features(x, pool=pool)

    def _check_budget(self, budget: Any) -> None:
        """A budget of this room and a ledger, or none."""
        if not isinstance(budget, PrivacyBudget):
            raise TypeError(f"budget must be a PrivacyBudget, got {budget!r}. Write PrivacyBudget(rho).")
        if self.ledger is not None and not isinstance(self.ledger, PrivacyLedger):
            raise TypeError(f"ledger must be a PrivacyLedger or None, got {self.ledger!r}.")
        one_of("adjacency", self.adjacency, get_args(Adjacency))

    def _open_ledger(self, unit: str, *, parts: Parts | None) -> PrivacyLedger:
        """The caller's ledger, or the estimator's own, which remembers earlier fits."""
        if self.ledger is not None:
            return self.ledger
        own: PrivacyLedger | None = getattr(self, "ledger_", None)
        return PrivacyLedger(self._relation, unit=unit, parts=parts) if own is None else own

    @property
    def _relation(self) -> Relation:
        """The neighbouring relation in the words of the ledger."""
        return "add_remove" if self.adjacency == "add_remove" else "substitution"

    def _spend(self, ledger: PrivacyLedger, label: str, budget: Budget) -> None:
        """Record one release that depends on all classes."""
        ledger.spend(label, budget, relation=self._relation)
        self.ledger_ = ledger

    def _spend_by_class(
        self, ledger: PrivacyLedger, label: str, budget: Budget, classes: NDArray[Any]
    ) -> None:
        """Record one release per class: all of them, or none if one would pass the limit."""
        if ledger.parts is None:  # the caller's ledger adds everything up; jointly it is one release
            self._spend(ledger, label, budget)
            return
        ledger.spend_each(label, budget, relation=self._relation, parts=[str(c) for c in classes])
        self.ledger_ = ledger


def _units(prototypes: ArrayLike) -> torch.Tensor:
    """Prototypes of unit length, float64 (C, K, d)."""
    values = np.asarray(as_array(prototypes), dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape:
        raise ValueError(f"prototypes must have shape (classes, K, dimensions), got {values.shape}.")
    flat = values.reshape(-1, values.shape[2])
    return read_rows("prototypes", flat, precision="float64", device="cpu").reshape(values.shape)


def _cosines(x: Matrix, prototypes: ArrayLike) -> NDArray[np.float64]:
    """Cosines of test samples with all prototypes, float64 (m, C, K)."""
    units = _units(prototypes)
    shape_of("x", x, dim=units.shape[2])
    where = choose_device(None, x)
    narrow = str(getattr(x, "dtype", "float64")).endswith(("float32", "float16"))
    rows = read_rows("x", x, precision="float32" if narrow else "float64", device=where)
    flat = rows @ units.reshape(-1, units.shape[2]).T.to(where, rows.dtype)
    return flat.cpu().double().numpy().reshape(len(rows), *units.shape[:2])
