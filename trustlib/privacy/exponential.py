"""The exponential mechanism, in log space and for many selections at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from trustlib.privacy.checks import generator, positive, whole

_BLOCK = 1 << 15  # candidates per block of rows: bounds memory and stays in cache


def exponential_log_probabilities(
    scores: ArrayLike, *, epsilon: float, sensitivity: float, monotone: bool
) -> NDArray[np.float64]:
    """Exact log-probabilities of the exponential mechanism: log p(j) = c * scores[j] - logsumexp(c * scores).

    c = epsilon / (2 * sensitivity), or epsilon / sensitivity for monotone scores.

    Pure epsilon-DP, and epsilon-bounded-range, for the neighbouring relation in which every score moves by at most
    ``sensitivity``. With ``monotone`` the factor 2 is dropped; that is valid only if a change to a neighbour moves all
    scores in the same direction (as adding one record to a count does, and exchanging one does not). The candidates and
    the sensitivity are public; scores of -inf exclude a candidate, which must not depend on the data.

    These values are for audits: they are functions of the data, and publishing them is not private. A selection is
    recorded as PureDP(epsilon, bounded_range=True).

    Args:
        scores: utilities, shape (..., m), larger is better, finite or -inf, at least one finite in each row.
        epsilon: > 0, spent on every row.
        sensitivity: largest change of one score between neighbours, > 0, in units of the scores.
        monotone: whether all scores move in the same direction.

    Returns:
        Shape (..., m), log-probabilities; -inf for excluded candidates.

    Raises:
        ValueError: NaN or +inf scores, an empty row, a row without a finite score, or parameters out of range.

    Example:
        >>> p = exponential_log_probabilities([0.0, 1.0], epsilon=2.0, sensitivity=1.0, monotone=False)
        >>> np.exp(p).round(4)
        array([0.2689, 0.7311])

    Source: McSherry and Talwar 2007; bounded range: Durfee and Rogers 2019.
    """
    return log_softmax(_logits(scores, epsilon, sensitivity, monotone), axis=-1)


def exponential_mechanism_probabilities(
    scores: ArrayLike, *, epsilon: float, sensitivity: float, monotone: bool
) -> NDArray[np.float64]:
    """Exact selection probabilities; see `exponential_log_probabilities` for the arguments and the guarantee.

    Args:
        scores: shape (..., m).
        epsilon: > 0.
        sensitivity: > 0.
        monotone: whether all scores move in the same direction.

    Returns:
        Shape (..., m), rows sum to 1.

    Raises:
        ValueError: as `exponential_log_probabilities`.

    Example:
        >>> exponential_mechanism_probabilities([0.0, -np.inf], epsilon=1.0, sensitivity=1.0, monotone=True)
        array([1., 0.])

    Source: McSherry and Talwar 2007.
    """
    return np.exp(
        exponential_log_probabilities(scores, epsilon=epsilon, sensitivity=sensitivity, monotone=monotone)
    )


def exponential_mechanism(
    scores: ArrayLike,
    *,
    epsilon: float,
    sensitivity: float,
    monotone: bool,
    rng: np.random.Generator,
    size: int | None = None,
) -> NDArray[np.int64] | int:
    """Select candidates with the exponential mechanism by the Gumbel trick: argmax_j c * scores[j] + Gumbel.

    The guarantee and what is public are those of `exponential_log_probabilities`. One call spends epsilon on each row
    of scores and on each of ``size`` repetitions. Candidates less likely than about 1e-16 are never drawn: noise is in
    floats.

    Args:
        scores: shape (..., m); one selection per row.
        epsilon: > 0, per selection.
        sensitivity: > 0.
        monotone: whether all scores move in the same direction between neighbours.
        rng: source of randomness.
        size: independent repetitions of every selection; None for one.

    Returns:
        Indices in [0, m): shape (...), or (size, ...); a plain int for a single vector of scores and no size.

    Raises:
        ValueError: as `exponential_log_probabilities`, or size < 0.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> exponential_mechanism([0.0, 50.0], epsilon=2.0, sensitivity=1.0, monotone=False, rng=rng)
        1

    Source: McSherry and Talwar 2007; sampling by Gumbel noise: Durfee and Rogers 2019, Lemma 4.2.
    """
    logits = _logits(scores, epsilon, sensitivity, monotone)
    rng = generator(rng)
    repeats = 1 if size is None else whole("size", size, least=0)
    rows = logits.reshape(-1, logits.shape[-1])
    chosen = np.empty(repeats * len(rows), dtype=np.int64)
    block = max(1, _BLOCK // rows.shape[1])
    for start in range(0, chosen.size, block):
        picked = np.arange(start, min(start + block, chosen.size)) % len(rows)
        # -log of a standard exponential variable is a standard Gumbel variable
        race = rng.standard_exponential((picked.size, rows.shape[1]))
        np.log(np.maximum(race, np.finfo(np.float64).tiny, out=race), out=race)
        chosen[start : start + picked.size] = np.argmax(rows[picked] - race, axis=1)
    if size is None and logits.ndim == 1:
        return int(chosen[0])
    return chosen.reshape(logits.shape[:-1] if size is None else (repeats, *logits.shape[:-1]))


def _logits(scores: ArrayLike, epsilon: float, sensitivity: float, monotone: bool) -> NDArray[np.float64]:
    """c * (scores - largest of the row), shape (..., m); the best one at 0, so that noise is never rounded off."""
    epsilon = positive("epsilon", epsilon, why="It is a privacy level.")
    sensitivity = positive("sensitivity", sensitivity, why="Scores that cannot change need no mechanism.")
    if not isinstance(monotone, bool | np.bool_):
        raise TypeError(f"monotone must be True or False, got {monotone!r}.")
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise ValueError(f"scores must have a candidate on the last axis, got shape {values.shape}.")
    best = values.max(axis=-1, keepdims=True)  # passes on NaN, so that it is all that needs a check
    if np.isnan(best).any() or (best == np.inf).any():
        raise ValueError("scores must be finite or -inf (an excluded candidate), got NaN or +inf.")
    if (best == -np.inf).any():
        raise ValueError("scores must leave at least one candidate in each row, got a row of -inf only.")
    with np.errstate(over="ignore"):  # a candidate this far behind has probability 0
        behind = values - best
        behind /= sensitivity if monotone else 2 * sensitivity
        behind *= epsilon
    return behind
