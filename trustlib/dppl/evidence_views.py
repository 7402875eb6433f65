"""What the chapter's views of the selection show: chosen public images, and how often they show the class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.comparison_tasks import Task
from trustlib.dppl.scores import class_scores
from trustlib.dppl.selection import select_public, selection_log_probabilities

if TYPE_CHECKING:
    import pandas as pd

Vectors = NDArray[np.float64]


def first_scores(task: Task, rows: int) -> Vectors:
    """Scores of the public pool for each class from its first private rows, shape (C, M); not private.

    Args:
        task: the embeddings.
        rows: private rows per class, >= 1; classes with fewer use all they have.
    """
    places = [np.flatnonzero(task.private_labels == c)[:rows] for c in range(task.n_classes)]
    kept = np.concatenate(places)
    labels = task.private_labels[kept]
    return class_scores(
        task.private[kept], labels, task.pool, classes=range(task.n_classes), d_min=0.0, d_max=2.0
    )


def chosen_images(
    scores: Vectors, classes: Sequence[int], *, epsilon: float, n_draws: int, seed: int
) -> NDArray[np.int64]:
    """Public samples that releases would choose, shape (draws, classes).

    Args:
        scores: of the pool, shape (C, M).
        classes: which of the C.
        epsilon: pure level of each release.
        n_draws: simulated releases.
        seed: the same random numbers at every level.
    """
    rng = np.random.default_rng([seed, 11])
    rows = scores[list(classes)]
    return select_public(rows, epsilon=epsilon, adjacency="add_remove", rng=rng, size=n_draws)


def hit_probabilities(
    task: Task, pool_labels: NDArray[np.int64], *, rows: Sequence[int], epsilons: Sequence[float]
) -> pd.DataFrame:
    """Exact probability that a chosen public sample shows the class, mean over classes.

    Args:
        task: the embeddings.
        pool_labels: classes of the pool, int64 (M,), -1 for none; used for this figure only.
        rows: private rows per class.
        epsilons: pure levels.

    Returns:
        Columns rows, epsilon, probability.
    """
    import pandas as pd

    member = pool_labels[None, :] == np.arange(task.n_classes)[:, None]
    found = []
    for n in rows:
        scores = first_scores(task, n)
        for epsilon in epsilons:
            p = np.exp(selection_log_probabilities(scores, epsilon=epsilon, adjacency="add_remove"))
            found.append(
                {"rows": n, "epsilon": epsilon, "probability": float((p * member).sum(axis=1).mean())}
            )
    return pd.DataFrame(found)
