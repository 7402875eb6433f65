"""SSLMem from alignment losses: the score, its three published normalisations and its reference-free form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Normalization = Literal["none", "range", "ratio", "maxmax"]


def sslmem_from_alignment(
    align_f: ArrayLike, align_g: ArrayLike, *, normalization: Normalization = "none"
) -> Floats:
    """How much better encoder f aligns the views of a point than reference g, which never saw it.

    m = E_g L_A(g, x) - E_f L_A(f, x), then by name:

    - none: m, unbounded, in units of the distance;
    - range: m / (max m - min m) over the scored points: not centred, decided by two extreme points and by
      which points are pooled, and inside [-1, 1] only if both signs occur ({1, 1.1} become {10, 11});
    - ratio: m / (E_f L_A + E_g L_A), in [-1, 1], 0/0 = 0, changes sign when f and g are swapped; unchanged
      by a scale common to f and g;
    - maxmax: L_A(g)/max L_A(g) - L_A(f)/max L_A(f), then divided by its maximum: another ranking than m.

    They are different numbers: name the one you use in every table.

    Args:
        align_f: alignment losses of the scored encoder, shape (n,) or (runs, n), >= 0.
        align_g: alignment losses of the reference encoder, shape (n,) or (runs, n), >= 0. The numbers of
            runs may differ; runs are averaged before normalising.
        normalization: which of the four.

    Returns:
        float64, shape (n,); positive = memorized by f.

    Raises:
        ValueError: shapes differ, values are negative or not finite, scores are constant (range), or have
            no positive maximum (maxmax).

    Example:
        >>> sslmem_from_alignment([0.1, 0.2], [0.3, 0.2], normalization="ratio")
        array([0.5, 0. ])

    Source: Wang et al., ICLR 2024 (m; range and maxmax in its published code); Wang et al., NeurIPS 2024,
    eq. 1 and eq. 2 (ratio; stated there with range [0, 1], which points that only g saw leave).
    """
    if normalization not in get_args(Normalization):
        raise ValueError(
            f"normalization must be one of {', '.join(get_args(Normalization))}; got {normalization!r}"
        )
    f, g = _mean_over_runs(align_f, "align_f"), _mean_over_runs(align_g, "align_g")
    if f.shape != g.shape:
        raise ValueError(
            f"align_f holds {f.size} points and align_g {g.size}; both must score the same points"
        )
    return _normalized(f, g, normalization)


def _mean_over_runs(align: ArrayLike, name: str) -> Floats:
    """Alignment per point, runs averaged."""
    values = np.asarray(align, dtype=np.float64)
    if values.ndim not in (1, 2) or values.size == 0:
        raise ValueError(f"{name} must have shape (n,) or (runs, n) with n >= 1, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(values)).sum())} non-finite values")
    if (values < 0).any():
        raise ValueError(f"{name} must be >= 0, it is a mean distance; got a minimum of {values.min():.4g}")
    return values if values.ndim == 1 else values.mean(axis=0)


def _normalized(f: Floats, g: Floats, normalization: Normalization) -> Floats:
    """The score of checked alignments."""
    m = g - f
    if normalization == "none":
        return m
    if normalization == "ratio":
        return np.divide(m, f + g, out=np.zeros_like(m), where=f + g > 0)
    if normalization == "range":
        return m / _range(m)
    f_max, g_max, top = _maxima(f, g)
    return (g / g_max - f / f_max) / top


def _range(m: Floats) -> float:
    """Max minus min, refused if 0."""
    width = float(m.max() - m.min())
    if width == 0:
        raise ValueError(
            f"range normalisation of {m.size} constant scores (all {m[0]:.4g}) divides by zero; "
            "pool shared, candidate, independent and external points, or use normalization='ratio'"
        )
    return width


def _maxima(f: Floats, g: Floats) -> tuple[float, float, float]:
    """The three divisors of maxmax, refused if not positive."""
    f_max, g_max = float(f.max()), float(g.max())
    if min(f_max, g_max) == 0:
        raise ValueError("maxmax normalisation divides by the largest alignment loss, which is 0 for f or g")
    top = float((g / g_max - f / f_max).max())
    if top <= 0:
        raise ValueError(
            f"maxmax normalisation divides by the largest score, which is {top:.4g}, not positive"
        )
    return f_max, g_max, top


def score_slopes(f: Floats, g: Floats, *, normalization: Normalization) -> tuple[Floats, Floats]:
    """Derivatives of the score in L_A(f) and L_A(g), for standard errors by linearisation.

    The divisors that pool all points (range, maxmax) count as constants. Shapes (n,) each.
    """
    ones = np.ones_like(f)
    if normalization == "none":
        return -ones, ones
    if normalization == "range":
        return -ones / _range(g - f), ones / _range(g - f)
    if normalization == "ratio":
        total = f + g
        safe = np.where(total > 0, total, 1.0) ** 2
        return -2 * g / safe, 2 * f / safe
    f_max, g_max, top = _maxima(f, g)
    return -ones / (f_max * top), ones / (g_max * top)


@dataclass(frozen=True)
class SubsetScores:
    """SSLMem of every point from encoders that were each trained on a random part of the pool."""

    scores: Floats
    standard_error: Floats
    n_in: NDArray[np.int64]
    n_out: NDArray[np.int64]


def sslmem_from_subsets(align: ArrayLike, member: ArrayLike) -> SubsetScores:
    """Raw SSLMem of *all* points from encoders trained on random subsets, with a standard error each.

    m(x) = mean over encoders without x of L_A(x) - mean over encoders with x of L_A(x): an estimate of the
    expectations over training runs and over the rest of the training set, for every point and not only for
    one held-out block. No further encoder has to be trained to change the candidates.

    Args:
        align: alignment losses, shape (encoders, n), finite.
        member: whether the point was in the encoder's training set, bool, shape (encoders, n).

    Returns:
        Scores and standard errors (Welch: sd_in^2 / n_in + sd_out^2 / n_out), shape (n,); the error is nan
        where a side has a single encoder.

    Raises:
        ValueError: shapes differ, or a point lies in all or in none of the subsets.

    Example:
        >>> align = [[0.1, 0.6], [0.5, 0.2], [0.1, 0.2], [0.5, 0.6]]
        >>> member = [[True, False], [False, True], [True, True], [False, False]]
        >>> sslmem_from_subsets(align, member).scores
        array([0.4, 0.4])

    Source: the estimator of Feldman and Zhang, NeurIPS 2020, applied to eq. 1 of Wang et al., NeurIPS 2024.
    """
    values, inside = np.asarray(align, dtype=np.float64), np.asarray(member)
    if values.ndim != 2 or values.shape != inside.shape or inside.dtype != np.bool_:
        raise ValueError(
            f"align (float) and member (bool) must share one shape (encoders, n); got {values.shape} and "
            f"{inside.shape} of {inside.dtype}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"align holds {int((~np.isfinite(values)).sum())} non-finite values")
    n_in = inside.sum(axis=0)
    n_out = len(inside) - n_in
    one_sided = int(((n_in == 0) | (n_out == 0)).sum())
    if one_sided:
        raise ValueError(
            f"{one_sided} of {values.shape[1]} points are in all or in none of the {len(values)} subsets; "
            "their score compares nothing. Train more encoders or leave these points out"
        )
    mean_in, variance_in = _moments(values, inside)
    mean_out, variance_out = _moments(values, ~inside)
    error = np.sqrt(variance_in / n_in + variance_out / n_out)
    return SubsetScores(mean_out - mean_in, error, n_in.astype(np.int64), n_out.astype(np.int64))


def _moments(values: Floats, mask: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean and unbiased variance (nan for one value) of the masked column entries."""
    count = mask.sum(axis=0)
    mean = np.where(mask, values, 0).sum(axis=0) / count
    squares = np.where(mask, (values - mean) ** 2, 0).sum(axis=0)
    return mean, np.divide(squares, count - 1, out=np.full_like(squares, np.nan), where=count > 1)
