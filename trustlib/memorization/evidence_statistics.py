"""Statistics that the samples of the claims are made of: halves, replicates of an excess, rank correlations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trustlib.memorization.layermem import LayerMem
from trustlib.memorization.rankings import overlap_at_k
from trustlib.memorization.resampling import draw_runs, resampled_means

Floats = NDArray[np.float64]
N_BOOT = 2000
TOP = 5  # the most memorized fifth


def halves(values: Floats, *, seed: int = 0) -> tuple[Floats, Floats]:
    """Two random halves of the last axis; the same cut for every array of that length.

    Example:
        >>> one, other = halves(np.arange(6.0))
        >>> sorted([*one.tolist(), *other.tolist()])
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    order = np.random.default_rng(seed).permutation(values.shape[-1])
    half = len(order) // 2
    return values[..., order[:half]], values[..., order[half : 2 * half]]


def excess_replicates(candidates: Floats, external: Floats, *, seed: int = 0, n_boot: int = N_BOOT) -> Floats:
    """Bootstrap of mean candidate minus mean external score, over encoder pairs, then points.

    Args:
        candidates: (pairs, conditions, points); conditions share the draws, so that differences between them may be
            taken within a replicate.
        external: (pairs, conditions, points).
        seed: of the draws.
        n_boot: replicates.

    Returns:
        Shape (n_boot, conditions).
    """
    rng = np.random.default_rng(seed)
    drawn = draw_runs(len(candidates), n_boot, rng)
    return resampled_means(candidates, drawn, rng) - resampled_means(external, drawn, rng)


def spearman(a: Floats, b: Floats) -> Floats:
    """Rank correlation along the last axis; ties share their mean rank, constant rows give 0.

    Example:
        >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0]))
        array(-1.)
    """
    from scipy.stats import rankdata

    x, y = (rankdata(v, axis=-1) for v in (a, b))
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    size = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.divide((x * y).sum(axis=-1), size, out=np.zeros_like(size), where=size > 0)


def correlate_rows(rows: Floats) -> Floats:
    """Rank correlation of every row with the order of its columns."""
    return spearman(rows, np.broadcast_to(np.arange(rows.shape[-1], dtype=np.float64), rows.shape))


def control_of(table: LayerMem) -> Floats:
    """Scores of the external points.

    Raises:
        ValueError: the table has none.
    """
    if table.control_scores is None:
        raise ValueError("the claims compare with external points: pass control= to layermem")
    return table.control_scores


def overlap_of_seeds(scores: Floats) -> Floats:
    """Overlap of the most memorized fifth between all pairs of rows (runs, points)."""
    k = max(1, scores.shape[1] // TOP)
    runs = range(len(scores))
    return np.array([overlap_at_k(scores[i], scores[j], k) for i in runs for j in runs if i < j])


def layers_at(tables: Sequence[LayerMem]) -> Floats:
    """Control scores (pairs, layers, points), layer l from table l: every layer with draws of its own."""
    return np.stack([control_of(table)[:, place] for place, table in enumerate(tables)], axis=1)
