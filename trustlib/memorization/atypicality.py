"""How unusual an image is, judged from its pixels alone, so that no encoder under study has a say."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pixel_atypicality(
    pixels: ArrayLike, reference: ArrayLike, *, k: int = 10, n_components: int = 32
) -> Floats:
    """Mean distance to the k nearest reference images in principal components of the pixels.

    The components are those of the reference, scaled to unit variance: rare contrasts count as much as brightness.

    Args:
        pixels: images to judge, (n, ...).
        reference: typical images, (m, ...), none of them among ``pixels``, else a point would be its own neighbour.
        k: neighbours, in [1, m].
        n_components: principal components, at most m - 1 and at most the pixels of an image; more are cut to that.

    Returns:
        Shape (n,), >= 0.

    Raises:
        ValueError: k outside of [1, m], or images of unequal shape.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> usual, odd = rng.normal(size=(200, 6)), np.full((1, 6), 5.0)
        >>> bool(pixel_atypicality(odd, usual)[0] > pixel_atypicality(usual[:1] + 0.1, usual)[0])
        True

    Source: ours; distance to neighbours as a score of outliers: Ramaswamy et al., SIGMOD 2000.
    """
    given = (np.asarray(pixels, dtype=np.float64), np.asarray(reference, dtype=np.float64))
    x, base = (v.reshape(len(v), -1) for v in given)
    if x.shape[1] != base.shape[1]:
        raise ValueError(f"pixels and reference must be images of one shape, got {x.shape} and {base.shape}")
    if not 1 <= k <= len(base):
        raise ValueError(f"k must be between 1 and the {len(base)} reference images, got {k}")
    mean = base.mean(axis=0)
    _, size, axes = np.linalg.svd(base - mean, full_matrices=False)
    kept = min(n_components, int((size > 1e-9 * size[0]).sum()), len(base) - 1)
    scale = np.sqrt(len(base)) / size[:kept]
    a, b = ((v - mean) @ axes[:kept].T * scale for v in (x, base))
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    nearest = np.partition(np.maximum(squared, 0), k - 1, axis=1)[:, :k]
    return np.sqrt(nearest).mean(axis=1)
