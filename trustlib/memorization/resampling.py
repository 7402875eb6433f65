"""Hierarchical bootstrap: encoder pairs with replacement, then points within each drawn pair.

Three pairs drawn with replacement are all the lowest of them in one replicate of 27, so the lower end of a 95 %
interval lies near that pair: where pairs differ more than points do, it is above the truth in up to one case of eight
in place of one in forty. More pairs or a Student interval over pairs mend that; the chapter says so.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
CELLS = 4_000_000  # counts held at once


def draw_runs(runs: int, n_boot: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Encoder pairs of every replicate, shape (n_boot, runs)."""
    return rng.integers(runs, size=(n_boot, runs))


def resampled_means(scores: Floats, drawn: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Means over resampled points of the drawn runs.

    All rows of one run share the resampled points, so differences between rows (layers) keep their pairing.

    Args:
        scores: shape (runs, L, n).
        drawn: runs of every replicate, shape (n_boot, runs).
        rng: of the points.

    Returns:
        Shape (n_boot, L).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> resampled_means(np.ones((2, 3, 4)), draw_runs(2, 5, rng), rng).shape
        (5, 3)
    """
    runs, rows, n = scores.shape
    means = np.zeros((len(drawn), rows))
    step = max(1, CELLS // n)
    uniform = np.full(n, 1 / n)
    for slot in range(runs):
        for start in range(0, len(drawn), step):
            chosen = drawn[start : start + step, slot]
            counts = rng.multinomial(n, uniform, size=len(chosen)).astype(np.float64)
            for run in np.unique(chosen):
                here = np.flatnonzero(chosen == run)
                means[start + here] += counts[here] @ scores[run].T / n
    return means / runs
