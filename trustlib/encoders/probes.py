"""Probes: how much a linear classifier or nearest neighbours read off frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Probe:
    """What a probe says about test points.

    Args:
        accuracy: share of right predictions, in [0, 1].
        predicted: class of each test point, int64 (n,).
        correct: bool (n,).
        scores: (n, K): logits of the linear probe, summed votes of the neighbours.
        weight: of the linear probe on the original features, (K, D); None for neighbours.
        bias: of the linear probe, (K,); None for neighbours.
    """

    accuracy: float
    predicted: NDArray[np.int64]
    correct: NDArray[np.bool_]
    scores: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None
    bias: NDArray[np.float64] | None = None


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    weight_decay: float = 1e-3,
    max_iterations: int = 200,
) -> Probe:
    """Multinomial logistic regression on frozen features, to its optimum: no seed, no learning rate.

    minimise mean cross-entropy + weight_decay / 2 * sum(W**2) over features standardised with the mean and standard
    deviation of the training features; L-BFGS in float64.

    Args:
        features: (n, D); further axes are flattened.
        labels: integer (n,) in 0 to K - 1; all classes must occur here.
        test_features: (m, D).
        test_labels: integer (m,).
        weight_decay: > 0; makes the optimum unique.
        max_iterations: of L-BFGS.

    Returns:
        Predictions on the test points, and weights that apply to the original features.

    Raises:
        ValueError: lengths that do not match, fewer than two classes, values that are not finite.

    Example:
        >>> x = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> linear_probe(x, [0, 0, 1, 1], [[0.5], [2.5]], [0, 1]).accuracy
        1.0
    """
    if not weight_decay > 0:
        raise ValueError(
            f"weight_decay must be > 0, got {weight_decay}: without it the optimum may not exist"
        )
    x, y, test, truth = _checked(features, labels, test_features, test_labels)
    classes = int(y.max()) + 1
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    scale = torch.where(std > 1e-9 * (1 + mean.abs()), 1 / std.clamp(min=1e-300), torch.zeros_like(std))
    weight, bias = _logistic((x - mean) * scale, y, classes, weight_decay, max_iterations)
    weight = weight * scale
    bias = bias - weight @ mean
    scores = test @ weight.T + bias
    predicted = scores.argmax(dim=1)
    return _probe(predicted, truth, scores, weight, bias)


def _logistic(x: Tensor, y: Tensor, classes: int, decay: float, iterations: int) -> tuple[Tensor, Tensor]:
    """Weights (K, D) and bias (K,) of the optimum."""
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=iterations, history_size=20, tolerance_grad=1e-7, tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(x @ weight.T + bias, y) + 0.5 * decay * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()


def knn_probe(
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    k: int = 20,
    temperature: float = 0.07,
    batch_size: int = 1024,
) -> Probe:
    """Weighted vote of the k nearest training points by cosine similarity.

    score of class c = sum over the k neighbours of class c of exp(cosine / temperature).

    Args:
        features: (n, D); further axes are flattened.
        labels: integer (n,) in 0 to K - 1.
        test_features: (m, D).
        test_labels: integer (m,).
        k: neighbours, 1 to n.
        temperature: > 0.
        batch_size: test points compared at a time.

    Returns:
        Predictions on the test points.

    Raises:
        ValueError: lengths that do not match, k out of range, values that are not finite, a feature of length 0.

    Example:
        >>> knn_probe([[1.0, 0.0], [0.0, 1.0]], [0, 1], [[2.0, 1.0]], [0], k=1).accuracy
        1.0

    Source: Wu et al., CVPR 2018, section 3.4; k and temperature of Caron et al., ICCV 2021.
    """
    x, y, test, truth = _checked(features, labels, test_features, test_labels)
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be between 1 and the {len(x)} training points, got {k}")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}")
    x, test = _unit(x), _unit(test)
    classes = F.one_hot(y).double()
    parts = []
    for start in range(0, len(test), batch_size):
        cosine, nearest = (test[start : start + batch_size] @ x.T).topk(k, dim=1)
        # exp((cosine - 1) / t) is the same vote up to a factor, and cannot overflow
        votes = ((cosine - 1) / temperature).exp()
        parts.append(torch.einsum("bk,bkc->bc", votes, classes[nearest]))
    scores = torch.cat(parts)
    return _probe(scores.argmax(dim=1), truth, scores, None, None)


def _probe(
    predicted: Tensor, truth: Tensor, scores: Tensor, weight: Tensor | None, bias: Tensor | None
) -> Probe:
    """Results as arrays."""
    correct = predicted == truth
    return Probe(
        accuracy=float(correct.double().mean()),
        predicted=predicted.numpy(),
        correct=correct.numpy(),
        scores=scores.numpy(),
        weight=None if weight is None else weight.numpy(),
        bias=None if bias is None else bias.numpy(),
    )


def _unit(x: Tensor) -> Tensor:
    """Rows of unit length."""
    length = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    if bool((length == 0).any()):
        raise ValueError(
            f"{int((length == 0).sum())} features have length 0, so they have no direction to compare"
        )
    return x / length


def _checked(
    features: ArrayLike, labels: ArrayLike, test_features: ArrayLike, test_labels: ArrayLike
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both sets as float64 (n, D) and int64 (n,)."""
    x, test = (
        torch.from_numpy(np.asarray(v, dtype=np.float64)).flatten(1) for v in (features, test_features)
    )
    y, truth = (torch.from_numpy(np.asarray(v, dtype=np.int64)) for v in (labels, test_labels))
    for name, values, names in (("labels", x, y), ("test_labels", test, truth)):
        if not len(values) or names.shape != (len(values),):
            raise ValueError(
                f"{name} must be ({len(values)},), one per point and at least one, got {tuple(names.shape)}"
            )
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"the features of {name} are not all finite")
    if x.shape[1] != test.shape[1]:
        raise ValueError(f"test_features must have {x.shape[1]} columns like features, got {test.shape[1]}")
    missing = sorted(set(range(int(y.max()) + 1)) - set(y.tolist()))
    if int(y.min()) < 0 or missing or int(y.max()) < 1:
        raise ValueError(f"labels must be 0 to K - 1 with K >= 2 and all of them present; missing: {missing}")
    return x, y, test, truth
