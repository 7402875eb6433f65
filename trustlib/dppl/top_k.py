"""K public samples per class, selected jointly: the exponential mechanism over all sets, without listing them."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, log_softmax

from trustlib.dppl.checks import Adjacency, generator, whole
from trustlib.dppl.selection import read_scores, selection_exponent
from trustlib.privacy import exponential_mechanism

_MOST_SETS = 200_000


def log_set_counts(n_public: int, k: int) -> NDArray[np.float64]:
    """How many sets have their worst member at each rank: log C(j - 1, k - 1) for ranks j = k, ..., n_public.

    The worst member of a set of size k has some rank j; the other k - 1 are any of the j - 1 better ones.

    Args:
        n_public: number of candidates M, >= k.
        k: size of a set, >= 1.

    Returns:
        Shape (M - k + 1,), zeros for k = 1.

    Raises:
        ValueError: k outside 1, ..., M.

    Example:
        >>> np.exp(log_set_counts(5, 3)).round(6)  # C(2, 2), C(3, 2), C(4, 2)
        array([1., 3., 6.])

    Source: Wahdany et al. 2025, DPPL-Public Top-K; the authors' programs count C(j - 1, k) instead, which makes the
    best set impossible and lets the support depend on the data.
    """
    n_public = whole("n_public", n_public, why="It counts candidates.")
    k = check_k(k, n_public)
    rank = np.arange(k, n_public + 1, dtype=np.float64)
    if k == 1:
        return np.zeros_like(rank)
    return gammaln(rank) - gammaln(k) - gammaln(rank - k + 1)


def select_top_k(
    scores: ArrayLike,
    *,
    k: int,
    epsilon: float,
    adjacency: Adjacency,
    rng: np.random.Generator,
    size: int | None = None,
) -> NDArray[np.int64]:
    """K different public samples per class: P[S] proportional to exp(a min over v in S of u[c, v]).

    Sort the scores, draw the rank j of the worst member with probability proportional to C(j - 1, k - 1) exp(a u_(j)),
    and its companions uniformly among the better ranks. This is exactly the exponential mechanism over all sets, and
    pure epsilon-DP and epsilon-bounded-range for all classes together: the smallest of scores that all move up by at
    most 1 moves up by at most 1. For k = 1 it is `select_public`.

    Args:
        scores: utilities u, shape (C, M).
        k: samples per class, 1 to M.
        epsilon: pure level, > 0.
        adjacency: "add_remove" (a = epsilon) or "replace" (a = epsilon / 2).
        rng: source of randomness.
        size: independent repetitions; each spends epsilon again, unless they are only simulations. None for one.

    Returns:
        Indices, shape (C, k) or (size, C, k), in random order within a set, so that ranks stay hidden.

    Raises:
        ValueError: scores that are not a finite matrix, or parameters out of range.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = select_top_k([[9.0, 0.0, 9.0, 0.0]], k=2, epsilon=9.0, adjacency="add_remove", rng=rng)
        >>> sorted(found[0].tolist())
        [0, 2]

    Source: Wahdany et al. 2025, DPPL-Public Top-K, with the counts of `log_set_counts` and, for add/remove, the full
    exponent (the authors' programs use half of it).
    """
    values = read_scores(scores)
    k = check_k(k, values.shape[1])
    exponent = selection_exponent(epsilon, adjacency=adjacency)
    rng = generator(rng)
    repeats = 1 if size is None else whole("size", size, least=0)
    counts = log_set_counts(values.shape[1], k)
    chosen = np.empty((repeats, len(values), k), dtype=np.int64)
    for c, row in enumerate(values):
        order = np.argsort(-row)
        # any categorical law is that of an exponential mechanism whose scores are the log-weights
        weights = exponent * (row[order[k - 1 :]] - row[order[k - 1]]) + counts
        ranks = (
            k
            - 1
            + np.atleast_1d(
                exponential_mechanism(
                    weights, epsilon=1.0, sensitivity=1.0, monotone=True, rng=rng, size=repeats
                )
            )
        )
        for r, rank in enumerate(ranks):
            members = np.append(rng.choice(rank, size=k - 1, replace=False), rank)
            chosen[r, c] = order[rng.permutation(members)]
    return chosen[0] if size is None else chosen


def top_k_log_probabilities(
    scores: ArrayLike, *, k: int, epsilon: float, adjacency: Adjacency
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Exact log-probabilities of all sets of k public samples, as the sampler of `select_top_k` draws them.

    log p[S] = log P[worst rank of S] - log C(worst rank - 1, k - 1). For audits only.

    Args:
        scores: utilities of one class, shape (M,).
        k: size of a set, 1 to M.
        epsilon: pure level, > 0.
        adjacency: "add_remove" or "replace".

    Returns:
        Sets (S, k) of ascending indices, and their log-probabilities (S,).

    Raises:
        ValueError: more than 200 000 sets, scores that are not a finite vector, or parameters out of range.

    Example:
        >>> sets, log_p = top_k_log_probabilities([2.0, 1.0, 0.0], k=2, epsilon=1.0, adjacency="add_remove")
        >>> sets.tolist(), np.exp(log_p).round(4).tolist()  # e / (e + 2) and 1 / (e + 2) twice
        ([[0, 1], [0, 2], [1, 2]], [0.5761, 0.2119, 0.2119])

    Source: Wahdany et al. 2025, DPPL-Public Top-K.
    """
    values = read_scores(np.asarray(scores, dtype=np.float64)[None])[0]
    k = check_k(k, len(values))
    exponent = selection_exponent(epsilon, adjacency=adjacency)
    return set_law(values, k=k, exponent=exponent, log_counts=log_set_counts(len(values), k))


def set_law(
    values: NDArray[np.float64], *, k: int, exponent: float, log_counts: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The law of sets when the worst rank has weight exp(log_counts + exponent * u); counts may be wrong on purpose."""
    if math.comb(len(values), k) > _MOST_SETS:
        raise ValueError(
            f"there are {math.comb(len(values), k)} sets of {k} among {len(values)}, too many to list. Take fewer."
        )
    sets = np.array(list(itertools.combinations(range(len(values)), k)), dtype=np.int64)
    order = np.argsort(-values)
    rank_of = np.empty(len(values), dtype=np.int64)
    rank_of[order] = np.arange(len(values))
    log_rank = log_softmax(exponent * values[order[k - 1 :]] + log_counts)
    worst = rank_of[sets].max(axis=1) - (k - 1)
    return sets, log_rank[worst] - log_set_counts(len(values), k)[worst]


def check_k(k: int, n_public: int) -> int:
    """A number of samples per class between 1 and the size of the public pool."""
    k = whole("k", k, why="A class needs a prototype.")
    if k > n_public:
        raise ValueError(f"k must be at most the {n_public} public samples, got {k}.")
    return k
