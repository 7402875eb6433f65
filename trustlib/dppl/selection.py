"""The exponential mechanism over public samples: one draw per class, from scores in memory or in blocks."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.checks import Adjacency, generator, one_of, positive, whole
from trustlib.privacy import exponential_log_probabilities

_CACHED = 1 << 15  # scores looked at together, so that they stay in cache


def selection_exponent(epsilon: float, *, adjacency: Adjacency) -> float:
    """What multiplies the scores in the exponent: epsilon for add/remove, epsilon / 2 for replace.

    Adding or removing a record moves all scores of its class by amounts in [0, 1] and in the same direction, which
    costs at most the exponent. Replacing it moves some up and others down, twice as much in the worst case; so does a
    new label, which takes the record out of one class and puts it into another.

    Args:
        epsilon: pure level, > 0.
        adjacency: "add_remove" or "replace" (of values and label of one record).

    Returns:
        The exponent > 0, per unit of score.

    Raises:
        ValueError: epsilon not > 0, or an unknown relation.

    Example:
        >>> selection_exponent(2.0, adjacency="add_remove"), selection_exponent(2.0, adjacency="replace")
        (2.0, 1.0)

    Source: Wahdany et al. 2025 (monotone exponent); McSherry and Talwar 2007.
    """
    epsilon = positive("epsilon", epsilon, why="It is a privacy level.")
    one_of("adjacency", adjacency, get_args(Adjacency))
    return epsilon if adjacency == "add_remove" else epsilon / 2


def selection_log_probabilities(
    scores: ArrayLike, *, epsilon: float, adjacency: Adjacency
) -> NDArray[np.float64]:
    """Exact log-probabilities of the public samples: log p[c, v] = a u[c, v] - logsumexp(a u[c]).

    For audits only: they are functions of the private data. a is `selection_exponent`.

    Args:
        scores: utilities u, shape (..., M), as `class_scores` gives them.
        epsilon: pure level of the selection, > 0.
        adjacency: "add_remove" or "replace".

    Returns:
        Shape (..., M); the exponentials of each row sum to 1.

    Raises:
        ValueError: scores that are NaN or infinite, or parameters out of range.

    Example:
        >>> log_p = selection_log_probabilities([0.0, 1.0], epsilon=1.0, adjacency="add_remove")
        >>> np.exp(log_p).round(4)
        array([0.2689, 0.7311])

    Source: Wahdany et al. 2025, DPPL-Public.
    """
    a = selection_exponent(epsilon, adjacency=adjacency)
    return exponential_log_probabilities(scores, epsilon=a, sensitivity=1.0, monotone=True)


def select_public(
    scores: ArrayLike,
    *,
    epsilon: float,
    adjacency: Adjacency,
    rng: np.random.Generator,
    size: int | None = None,
    block_size: int | None = None,
) -> NDArray[np.int64]:
    """One public sample per class, drawn with probability proportional to exp(a u[c, v]).

    Pure epsilon-DP and epsilon-bounded-range for all classes together, because a record is in one class: under
    "add_remove" it moves the scores of that class alone, under "replace" of two classes at half the exponent.

    Args:
        scores: utilities u, shape (C, M).
        epsilon: pure level, > 0.
        adjacency: "add_remove" or "replace".
        rng: source of randomness.
        size: independent repetitions; each spends epsilon again, unless they are only simulations. None for one.
        block_size: candidates looked at together; decides how the stream of random numbers is used, not the law. None
            for all.

    Returns:
        Indices in [0, M): shape (C,), or (size, C).

    Raises:
        ValueError: scores that are not a finite matrix, or parameters out of range.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> select_public([[0.0, 50.0], [50.0, 0.0]], epsilon=2.0, adjacency="add_remove", rng=rng)
        array([1, 0])

    Source: Wahdany et al. 2025, DPPL-Public.
    """
    values = read_scores(scores)
    repeats = 1 if size is None else whole("size", size, least=0)
    block = values.shape[1] if block_size is None else whole("block_size", block_size)
    chosen = np.empty((repeats, len(values)), dtype=np.int64)
    for r in range(repeats):
        race = StreamedSelection(len(values), epsilon=epsilon, adjacency=adjacency, rng=rng)
        for start in range(0, values.shape[1], block):
            race.update(start, values[:, start : start + block])
        chosen[r] = race.chosen
    return chosen[0] if size is None else chosen


class StreamedSelection:
    """The same draw while candidates arrive in blocks: memory for one choice and one number per class.

    With L the log of the sum of exp(a u) over the candidates so far and l that of a new block, the choice moves into
    the block with probability exp(l - L), L with the block included, and there to a candidate with
    probability exp(a u - l). By induction every candidate seen is chosen with probability exp(a u - L). Candidates less
    likely than about 1e-16 are never drawn: random numbers are floats.

    Args:
        n_classes: number of classes C, >= 1.
        epsilon: pure level, > 0.
        adjacency: "add_remove" or "replace".
        rng: source of randomness.

    Attributes:
        chosen: current choice per class, shape (C,); the release once all blocks were seen.

    Raises:
        ValueError: parameters out of range.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> race = StreamedSelection(1, epsilon=2.0, adjacency="add_remove", rng=np.random.default_rng(0))
        >>> race.update(0, np.array([[0.0, 1.0]]))
        >>> race.update(2, np.array([[90.0]]))
        >>> race.chosen
        array([2])

    Source: this book; sequential sampling from a stream with the law of McSherry and Talwar 2007.
    """

    def __init__(
        self, n_classes: int, *, epsilon: float, adjacency: Adjacency, rng: np.random.Generator
    ) -> None:
        n_classes = whole("n_classes", n_classes, why="It counts classes.")
        self._exponent = selection_exponent(epsilon, adjacency=adjacency)
        self._rng = generator(rng)
        self._total = np.full(n_classes, -np.inf)
        self.chosen = np.zeros(n_classes, dtype=np.int64)

    def update(self, start: int, scores: NDArray[np.float64]) -> None:
        """Let a block of candidates start, start + 1, ... with scores (C, b) take part."""
        few = max(1, _CACHED // scores.shape[1])
        for first in range(0, len(scores), few):
            rows = slice(first, first + few)
            best = scores[rows].max(axis=1)
            weight = scores[rows] - best[:, None]
            weight *= self._exponent
            np.exp(weight, out=weight)
            block = self._exponent * best + np.log(weight.sum(axis=1))
            self._total[rows] = np.logaddexp(self._total[rows], block)
            moves = -self._rng.standard_exponential(len(block)) <= block - self._total[rows]
            if moves.any():
                self.chosen[rows][moves] = start + self._inside(weight[moves])

    def _inside(self, weight: NDArray[np.float64]) -> NDArray[np.int64]:
        """A column for each row, with probability proportional to its weight: inversion of the distribution."""
        below = np.cumsum(weight, axis=1)
        target = self._rng.random(len(weight)) * below[:, -1]
        return np.argmax(below > np.minimum(target, np.nextafter(below[:, -1], 0))[:, None], axis=1)


def read_scores(scores: ArrayLike) -> NDArray[np.float64]:
    """Utilities as a finite matrix (C, M)."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"scores must be a matrix (classes, public samples), got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite, got NaN or infinite values.")
    return values
