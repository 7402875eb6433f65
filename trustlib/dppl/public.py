"""DPPL-Public: prototypes chosen among public samples by the exponential mechanism."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Self, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Adjacency, EmptyClassWarning, Matrix, generator, one_of, shape_of
from trustlib.dppl.embeddings import Precision, as_tensor
from trustlib.dppl.prototypes import OnEmpty, PrototypeClassifier, Vote
from trustlib.dppl.scores import PrivateRows, Scoring, read_private, score_blocks
from trustlib.dppl.selection import (
    StreamedSelection,
    read_scores,
    select_public,
    selection_log_probabilities,
)
from trustlib.dppl.top_k import check_k, select_top_k, top_k_log_probabilities
from trustlib.privacy import PrivacyLedger

_SCORE_BYTES = 1 << 28  # of the scores of a group of classes, where all of a class are needed at once


class DPPrototypePublic(PrototypeClassifier):
    """Each class is represented by public samples that lie close to its private samples (DPPL-Public, and Top-K).

    One draw of the exponential mechanism per class with utility u[c, v] = sum over x in class c of the clipped and
    normalised similarity 1 + cos(x, v) (`class_scores`), at em_epsilon = sqrt(8 rho). Pure em_epsilon-DP and
    rho-zCDP for the whole model, because a record is in one class only. No noisy vector is released: prototypes are
    public samples, so all that is private are their indices.

    "add_remove" protects one record with its label, sizes included: neither the number of records nor the class sizes
    are public. "replace" protects the values and the label of one record, at half the exponent.

    Args:
        budget: of the model; every class uses all of it.
        d_min: lower end of the counted similarities, public, chosen without the private data.
        d_max: upper end, <= 2; (0, 2) counts all of them without clipping and is fastest.
        k: public samples per class, selected jointly; 1 is DPPL-Public, more is Top-K.
        vote: how k prototypes classify: "max", "mean" or "slot" (`cosine_votes`).
        adjacency: "add_remove" or "replace".
        block_size: public samples held in memory at a time; decides how random numbers are used, not the law.
        precision: of the products with narrow windows, "float32", "float64", "bfloat16" or "float16".
        device: where to compute; None for the device of the first tensor, or the processor.
        on_empty: "raise" for a class without private records, or "accept" to draw it uniformly with a warning. Whether
            a class is empty is private under "add_remove", so an error must not be shown to others.
        ledger: a ledger over several releases; None keeps one inside, so that fitting again adds up.

    Attributes:
        prototypes_: chosen public embeddings, shape (C, k, d).
        prototype_indices_: their rows in the public pool, shape (C, k), in random order.
        classes_: the public list of classes.
        ledger_: what was spent: for add_remove one entry per class, in parallel.

    Raises:
        ValueError: in fit, for data or parameters out of range.
        TypeError: in fit, for values of the wrong type.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = np.concatenate([rng.normal([3, 0], 1, (200, 2)), rng.normal([0, 3], 1, (50, 2))])
        >>> y = np.repeat([0, 1], [200, 50])
        >>> model = DPPrototypePublic(PrivacyBudget(0.5)).fit(X, y, rng.normal(size=(100, 2)), classes=[0, 1], rng=rng)
        >>> model.predict([[5.0, 0.1], [0.1, 5.0]]), model.ledger_.total()
        (array([0, 1]), PureDP(epsilon=2.0, bounded_range=True))

    Source: Wahdany et al. 2025, DPPL-Public and DPPL-Public Top-K.
    """

    PUBLIC: ClassVar[tuple[str, ...]] = (
        "the list of classes",
        "the public pool and the encoder",
        "the budget, the window, k and every other parameter",
    )

    def __init__(
        self,
        budget: PrivacyBudget,
        *,
        d_min: float = 0.0,
        d_max: float = 2.0,
        k: int = 1,
        vote: Vote = "max",
        adjacency: Adjacency = "add_remove",
        block_size: int = 8192,
        precision: Precision = "float32",
        device: str | torch.device | None = None,
        on_empty: OnEmpty = "raise",
        ledger: PrivacyLedger | None = None,
    ) -> None:
        self.budget = budget
        self.d_min = d_min
        self.d_max = d_max
        self.k = k
        self.vote = vote
        self.adjacency = adjacency
        self.block_size = block_size
        self.precision = precision
        self.device = device
        self.on_empty = on_empty
        self.ledger = ledger

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike | torch.Tensor,
        public_embeddings: Matrix,
        *,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Self:
        """Choose the prototypes; every call spends the budget again.

        Args:
            embeddings: private samples, shape (n, d), NumPy or torch, float16 to float64.
            labels: their classes, shape (n,).
            public_embeddings: candidates, shape (M, d); a memory-mapped file is read block by block.
            classes: public list of the classes; None reads it off the labels, with a warning.
            rng: source of randomness; without a known seed where the result is released.

        Returns:
            self.

        Raises:
            ValueError: data or parameters out of range.
            TypeError: values of the wrong type.
        """
        scoring, rng = self._check(public_embeddings), generator(rng)
        private = read_private(embeddings, labels, public_embeddings, classes=classes, scoring=scoring)
        self._check_empty(private)
        chosen = self._choose(private, public_embeddings, scoring, rng)
        return self._release(chosen, private.classes, public_embeddings)

    def fit_scores(
        self,
        scores: ArrayLike,
        public_embeddings: Matrix,
        *,
        classes: Sequence[Any],
        rng: np.random.Generator,
    ) -> Self:
        """As `fit`, from scores that were computed before: many draws for the price of one computation.

        With the same generator and block_size the draws are those of `fit`.

        Args:
            scores: from `class_scores` with this estimator's window, shape (C, M).
            public_embeddings: the pool they belong to, shape (M, d).
            classes: public list of the C classes.
            rng: source of randomness.

        Returns:
            self.

        Raises:
            ValueError: shapes that do not fit, or parameters out of range.
        """
        self._check(public_embeddings)
        values, known = read_scores(scores), np.asarray(list(classes))
        wanted = (len(known), shape_of("public_embeddings", public_embeddings)[0])
        if values.shape != wanted:
            raise ValueError(
                f"scores must have shape (classes, public samples) = {wanted}, got {values.shape}."
            )
        epsilon = self.budget.em_epsilon
        if self.k == 1:
            chosen = select_public(
                values, epsilon=epsilon, adjacency=self.adjacency, rng=rng, block_size=self.block_size
            )[:, None]
        else:
            chosen = select_top_k(values, k=self.k, epsilon=epsilon, adjacency=self.adjacency, rng=rng)
        return self._release(chosen, known, public_embeddings)

    def selection_log_probs(
        self,
        embeddings: Matrix,
        labels: ArrayLike | torch.Tensor,
        public_embeddings: Matrix,
        *,
        classes: Sequence[Any] | None,
    ) -> NDArray[np.float64]:
        """Exact log-probabilities of what `fit` would choose. NOT PRIVATE: for audits, never for release.

        Returns:
            Shape (C, M); for k > 1 (C, S), over the sets in the order of ``itertools.combinations(range(M), k)``.

        Raises:
            ValueError: as `fit`, or more than 200 000 sets.
        """
        scoring = self._check(public_embeddings)
        private = read_private(embeddings, labels, public_embeddings, classes=classes, scoring=scoring)
        scores = np.concatenate(
            [block for _, block in score_blocks(private, public_embeddings, scoring)], axis=1
        )
        epsilon = self.budget.em_epsilon
        if self.k == 1:
            return selection_log_probabilities(scores, epsilon=epsilon, adjacency=self.adjacency)
        laws = (
            top_k_log_probabilities(row, k=self.k, epsilon=epsilon, adjacency=self.adjacency)
            for row in scores
        )
        return np.stack([log_p for _, log_p in laws])

    def _check(self, public_embeddings: Matrix) -> Scoring:
        """All parameters, before any work."""
        self._check_budget(self.budget)
        one_of("vote", self.vote, get_args(Vote))
        one_of("on_empty", self.on_empty, get_args(OnEmpty))
        check_k(self.k, shape_of("public_embeddings", public_embeddings)[0])
        return Scoring(self.d_min, self.d_max, self.block_size, self.precision, self.device)

    def _check_empty(self, private: PrivateRows) -> None:
        """Classes without records: an error, or a warning where they were asked for."""
        empty = private.classes[private.sizes == 0]
        if not len(empty):
            return
        found = (
            f"{len(empty)} of {len(private.classes)} classes have no private record, the first is {empty[0]}"
        )
        if self.on_empty == "raise":
            raise ValueError(
                f'{found}. Leave them out of classes, or pass on_empty="accept" to draw their prototypes uniformly '
                "from the public samples."
            )
        warnings.warn(
            f"{found}: their prototypes are uniform public samples.", EmptyClassWarning, stacklevel=3
        )

    def _choose(
        self, private: PrivateRows, public_embeddings: Matrix, scoring: Scoring, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Indices of the prototypes, shape (C, k), in bounded memory."""
        epsilon, n_classes = self.budget.em_epsilon, len(private.classes)
        if self.k == 1:
            race = StreamedSelection(n_classes, epsilon=epsilon, adjacency=self.adjacency, rng=rng)
            for start, block in score_blocks(private, public_embeddings, scoring):
                race.update(start, block)
            return race.chosen[:, None]
        count = shape_of("public_embeddings", public_embeddings)[0]
        group = max(1, _SCORE_BYTES // (8 * count))
        chosen = np.empty((n_classes, self.k), dtype=np.int64)
        for first in range(0, n_classes, group):
            part = private.part(first, min(first + group, n_classes))
            scores = np.empty((len(part.classes), count))
            for start, block in score_blocks(part, public_embeddings, scoring):
                scores[:, start : start + block.shape[1]] = block
            chosen[first : first + group] = select_top_k(
                scores, k=self.k, epsilon=epsilon, adjacency=self.adjacency, rng=rng
            )
        return chosen

    def _release(self, chosen: NDArray[np.int64], classes: NDArray[Any], public_embeddings: Matrix) -> Self:
        """Record what was spent, then keep the chosen public samples."""
        rows = {
            i: as_tensor("public_embeddings", public_embeddings[i : i + 1], device="cpu").double().numpy()[0]
            for i in np.unique(chosen).tolist()
        }
        label = "DPPL-Public" if self.k == 1 else f"DPPL-Public Top-{self.k}"
        if self.adjacency == "add_remove":
            ledger = self._open_ledger("one embedding with its class label", parts="by_value")
            self._spend_by_class(ledger, label, self.budget.to_em(), classes)
        else:
            ledger = self._open_ledger("the embedding and the class label of one record", parts=None)
            self._spend(ledger, label, self.budget.to_em())
        self.prototype_indices_ = chosen
        self.prototypes_ = np.stack([np.stack([rows[i] for i in row]) for row in chosen.tolist()])
        self.classes_ = classes
        self.n_features_in_ = self.prototypes_.shape[2]
        return self
