"""From stolen vectors to classes: the small classifier on top of a surrogate."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trustlib.gnn_stealing.checks import inside, one_of, whole

HeadKind = Literal["mlp", "logistic"]
BATCH = 200  # rows of a step, as scikit-learn has it


@dataclass(frozen=True)
class Head:
    """A fitted classifier on vectors.

    Args:
        classifier: with ``predict_proba``.
        classes: class of each of its columns, shape (k,), int64, ascending. A class that no label named is missing, so
            columns are not classes.
        width: r, width of the vectors.
    """

    classifier: Any
    classes: Tensor
    width: int

    def predict_proba(self, emb: Tensor) -> Tensor:
        """Probabilities of ``classes``, shape (n, k), float64."""
        return torch.from_numpy(self.classifier.predict_proba(_vectors(emb, self.width)))

    def predict(self, emb: Tensor) -> Tensor:
        """Classes, shape (n,), int64."""
        return self.classes[self.predict_proba(emb).argmax(1)]


def fit_head(
    emb: Tensor, labels: Tensor, kind: HeadKind = "mlp", *, train_share: float = 1.0, seed: int
) -> Head:
    """Fit a classifier from vectors to classes.

    Where the labels come from decides what the attacker must know: the target's own answers cost no labels ("honest"),
    true labels of the query nodes are what the published attacks assume.

    Args:
        emb: vectors of the query nodes, shape (n, r).
        labels: their classes, shape (n,), whole numbers.
        kind: "mlp", one hidden layer of 100 units, at most 300 epochs of Adam, as published; or "logistic",
            multinomial logistic regression on standardised vectors.
        train_share: share of the nodes that are used, in (0, 1]; the published code uses 0.75, stratified. Every class
            keeps at least one node.
        seed: of the choice and of the MLP.

    Returns:
        The head.

    Raises:
        TypeError, ValueError: shapes that do not fit, NaN or infinite vectors, one class, or a share outside (0, 1].

    Example:
        >>> emb = torch.tensor([[-2.0], [-1.0], [1.0], [2.0]])
        >>> fit_head(emb, torch.tensor([3, 3, 7, 7]), "logistic", seed=0).predict(emb).tolist()
        [3, 3, 7, 7]

    Source: code of Shen et al. (S&P 2022); "logistic" and the target's labels are ours.
    """
    one_of("kind", kind, ("mlp", "logistic"))
    inside("train_share", train_share, low=0.0, high=1.0, open_low=True)
    whole("seed", seed, least=0)
    vectors = _vectors(emb, None)
    if labels.shape != (len(vectors),) or labels.is_floating_point():
        raise ValueError(
            f"labels must hold one whole number per vector, got {tuple(labels.shape)} {labels.dtype} for "
            f"{len(vectors)} vectors."
        )
    values = labels.cpu().numpy()
    classes = np.unique(values)
    if len(classes) < 2:
        raise ValueError(
            f"the labels of the head are all {classes.tolist()}: there is nothing to tell apart. Query more nodes, or "
            "use the constant."
        )
    rows = _stratified(values, train_share, np.random.default_rng(seed))
    classifier = _fit(kind, vectors[rows], values[rows], seed)
    return Head(classifier, torch.from_numpy(classifier.classes_.astype(np.int64)), vectors.shape[1])


def _fit(kind: HeadKind, vectors: NDArray[Any], values: NDArray[Any], seed: int) -> Any:
    """A scikit-learn classifier; stopping at the published number of epochs is not worth a warning."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "mlp":
            several = len(vectors) > BATCH  # with a single batch its order is only lost time
            mlp = MLPClassifier((100,), max_iter=300, shuffle=several, random_state=seed)
            return mlp.set_params(batch_size=min(BATCH, len(vectors))).fit(vectors, values)
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(vectors, values)


def _stratified(values: NDArray[Any], train_share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows to fit on: the share of every class, rounded up."""
    kept = []
    for label in np.unique(values):
        rows = rng.permutation(np.flatnonzero(values == label))
        kept.append(rows[: int(np.ceil(train_share * len(rows)))])
    return np.sort(np.concatenate(kept))


def _vectors(emb: Tensor, width: int | None) -> NDArray[Any]:
    """Finite vectors (n, r) as an array."""
    if emb.dim() != 2 or (width is not None and emb.shape[1] != width) or not len(emb):
        raise ValueError(
            f"emb must have shape (n, {'r' if width is None else width}), got {tuple(emb.shape)}."
        )
    vectors = emb.detach().cpu().numpy()
    if not np.isfinite(vectors).all():
        raise ValueError(
            f"emb holds NaN or infinite values in {int((~np.isfinite(vectors)).any(1).sum())} of {len(vectors)} rows. "
            "Lower the learning rate of the surrogate."
        )
    return vectors
