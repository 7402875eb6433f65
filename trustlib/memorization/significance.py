"""Significance of scores: corrected p-values, calibrated shares and discoveries, area under the curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def holm_correction(p: ArrayLike) -> Floats:
    """Holm's step-down p-values: family-wise error held without assuming independence.

    With p_(1) <= ... <= p_(k): adjusted p_(i) = max over j <= i of min(1, (k - j + 1) p_(j)).

    Args:
        p: p-values, shape (k,), in [0, 1].

    Returns:
        Adjusted p-values in the order given, shape (k,).

    Raises:
        ValueError: a value outside [0, 1].

    Example:
        >>> holm_correction([0.01, 0.04, 0.03])
        array([0.03, 0.06, 0.06])

    Source: Holm, Scandinavian Journal of Statistics 1979.
    """
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p-values must be a 1-d array in [0, 1], got {values}")
    order = np.argsort(values, kind="stable")
    steps = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return adjusted


def auc(upper: ArrayLike, lower: ArrayLike) -> float:
    """Area under the ROC curve: P(upper > lower) + P(upper = lower) / 2.

    Args:
        upper: scores expected to be higher, shape (a,).
        lower: scores expected to be lower, shape (b,).

    Returns:
        In [0, 1]; 0.5 without any difference.

    Raises:
        ValueError: a side is empty.

    Example:
        >>> auc([2.0, 1.0], [0.0, 1.0])  # 3 wins and one tie of 4 pairs
        0.875

    Source: the Mann-Whitney form of the area under the curve.
    """
    from scipy.stats import rankdata

    a, b = np.asarray(upper, dtype=np.float64), np.asarray(lower, dtype=np.float64)
    if not a.size or not b.size:
        raise ValueError(f"auc needs scores on both sides, got {a.size} and {b.size}")
    ranks = rankdata(np.concatenate([a, b]))[: a.size].sum()
    return float((ranks - a.size * (a.size + 1) / 2) / (a.size * b.size))


def share_above(
    scores: ArrayLike, null: ArrayLike, *, quantile: float = 0.95, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Share of points that score above a quantile of points which cannot be memorized.

    Args:
        scores: candidates, shape (n,).
        null: scores of never-seen points, shape (m,). Their own share is 1 - quantile.
        quantile: of the null, in (0, 1).
        confidence: of the Clopper-Pearson interval; it ignores the error of the null's quantile.

    Returns:
        Share, lower and upper end, fractions.

    Raises:
        ValueError: quantile outside (0, 1), or empty input.

    Example:
        >>> share, low, high = share_above([1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 1.0, 1.5], quantile=0.5)
        >>> share
        1.0

    Source: ours, a calibrated form of the share of memorized points in Wang et al., ICLR 2024.
    """
    from trustlib.privacy import clopper_pearson

    a, b = _vector(scores, "scores"), _vector(null, "null")
    if not a.size or not b.size or not 0 < quantile < 1:
        raise ValueError(
            f"share_above needs points and a quantile in (0, 1), got {a.size}, {b.size}, {quantile}"
        )
    above = int((a > np.quantile(b, quantile)).sum())
    low, high = clopper_pearson(above, a.size, confidence=confidence)
    return above / a.size, float(low), float(high)


def memorized_points(scores: ArrayLike, null: ArrayLike, *, fdr: float) -> NDArray[np.bool_]:
    """Which points are memorized, at a bounded expected share of false discoveries.

    p_i = (1 + #{null >= score_i}) / (1 + m), then the Benjamini-Hochberg step-up at level ``fdr``.

    Args:
        scores: candidates, shape (n,).
        null: scores of exchangeable points that the encoder never saw, shape (m,). The smallest reachable p
            is 1 / (1 + m): few null points give few discoveries.
        fdr: bound on the false discovery rate, in (0, 1).

    Returns:
        bool, shape (n,).

    Raises:
        ValueError: fdr outside (0, 1), or empty input.

    Example:
        >>> memorized_points([9.0, 0.1], np.linspace(0, 1, 99), fdr=0.05)
        array([ True, False])

    Source: ours; Benjamini and Hochberg 1995, conformal p-values of Bates et al. 2023.
    """
    a, b = _vector(scores, "scores"), np.sort(_vector(null, "null"))
    if not a.size or not b.size or not 0 < fdr < 1:
        raise ValueError(f"memorized_points needs points and fdr in (0, 1), got {a.size}, {b.size}, {fdr}")
    p = (1 + b.size - np.searchsorted(b, a, side="left")) / (1 + b.size)
    order = np.argsort(p, kind="stable")
    passed = np.flatnonzero(p[order] <= fdr * (1 + np.arange(a.size)) / a.size)
    chosen = np.zeros(a.size, dtype=bool)
    chosen[order[: passed[-1] + 1 if passed.size else 0]] = True
    return chosen


def _vector(values: ArrayLike, name: str) -> Floats:
    """A 1-d float array."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must be a 1-d array, got shape {array.shape}")
    return array
