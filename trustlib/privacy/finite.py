"""Exact privacy of mechanisms with finitely many outcomes, from their probabilities on two neighbouring inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from trustlib.privacy.checks import non_negative, probability


def exact_epsilon_from_probabilities(p: ArrayLike, q: ArrayLike, *, delta: float = 0.0) -> float:
    """The exact epsilon between two distributions over finitely many outcomes.

    The smallest epsilon >= 0 with sum_j max(0, p_j - e^epsilon q_j) <= delta, in both directions; for delta = 0 the
    largest |log p_j / q_j|. No other event needs to be looked at: the worst ones collect the largest ratios.

    Args:
        p: probabilities on one input, shape (m,), sum 1.
        q: probabilities on a neighbour, same shape.
        delta: in [0, 1); a relative 1e-12 of it is taken for rounding.

    Returns:
        epsilon >= 0; inf where outcomes possible on one input only have more than delta.

    Raises:
        ValueError: shapes differ, entries outside [0, 1] or sums off 1 by more than 1e-9, delta out of range.

    Example:
        >>> round(exact_epsilon_from_probabilities([0.75, 0.25], [0.25, 0.75]), 4)
        1.0986

    Source: Dwork and Roth 2014, Def. 2.4; hockey-stick form: Barthe and Olmedo 2013.
    """
    with np.errstate(divide="ignore"):
        return exact_epsilon_from_log_probabilities(
            np.log(_distribution("p", p)), np.log(_distribution("q", q)), delta=delta
        )


def exact_epsilon_from_log_probabilities(log_p: ArrayLike, log_q: ArrayLike, *, delta: float = 0.0) -> float:
    """As `exact_epsilon_from_probabilities`, for outcomes so rare that their probabilities underflow.

    Args:
        log_p: log-probabilities on one input, shape (m,); -inf for impossible outcomes.
        log_q: log-probabilities on a neighbour, same shape.
        delta: in [0, 1).

    Returns:
        epsilon >= 0, or inf.

    Raises:
        ValueError: shapes differ, not log-probabilities that sum to 1 up to 1e-9, delta out of range.

    Example:
        >>> round(exact_epsilon_from_log_probabilities([0.0, -1000.0], [0.0, -1001.0]), 9)
        1.0

    Source: as `exact_epsilon_from_probabilities`.
    """
    first, second = _log_distribution("log_p", log_p), _log_distribution("log_q", log_q)
    _same_shape(first, second)
    delta = probability("delta", delta, zero=True)
    return max(_one_sided(first, second, delta), _one_sided(second, first, delta))


def exact_delta_from_probabilities(p: ArrayLike, q: ArrayLike, *, epsilon: float) -> float:
    """The exact delta between two distributions over finitely many outcomes.

    The larger of sum_j max(0, p_j - e^epsilon q_j) and the same with p and q exchanged.

    Args:
        p: probabilities on one input, shape (m,), sum 1.
        q: probabilities on a neighbour, same shape.
        epsilon: >= 0.

    Returns:
        delta in [0, 1]; at epsilon = 0 the total variation distance.

    Raises:
        ValueError: shapes differ, not probabilities, epsilon out of range.

    Example:
        >>> exact_delta_from_probabilities([0.75, 0.25], [0.25, 0.75], epsilon=0.0)
        0.5

    Source: as `exact_epsilon_from_probabilities`.
    """
    first, second = _distribution("p", p), _distribution("q", q)
    _same_shape(first, second)
    factor = np.exp(non_negative("epsilon", epsilon, why="It is a privacy level."))
    sides = (np.maximum(0.0, a - factor * b).sum() for a, b in ((first, second), (second, first)))
    return float(max(sides))


def _one_sided(log_p: NDArray[np.float64], log_q: NDArray[np.float64], delta: float) -> float:
    """max over k of log((P_k - delta) / Q_k), with P_k and Q_k the masses of the k outcomes of largest ratio."""
    possible = log_p > -np.inf
    log_p, log_q = log_p[possible], log_q[possible]
    ratio = log_p - log_q
    if delta == 0:
        return max(0.0, float(ratio.max()))
    order = np.argsort(-ratio)
    mass_p = np.cumsum(np.exp(log_p[order]))
    log_mass_q = np.logaddexp.accumulate(log_q[order])
    found = mass_p > delta * (1 + 1e-12)
    if not found.any():
        return 0.0
    return max(0.0, float((np.log(mass_p[found] - delta) - log_mass_q[found]).max()))


def _distribution(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A vector of probabilities that sums to 1."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 1 or not array.size or not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"{name} must be a vector of probabilities, shape (m,), got shape {array.shape}.")
    if abs(array.sum() - 1) > 1e-9:
        raise ValueError(f"{name} must sum to 1, got a sum of {array.sum():.12g}. Divide by the sum.")
    return array


def _log_distribution(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A vector of log-probabilities that sums to 1."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != 1 or not array.size or not (array <= 1e-9).all():
        raise ValueError(f"{name} must be a vector of log-probabilities <= 0, got shape {array.shape}.")
    if abs(float(logsumexp(array))) > 1e-9:
        raise ValueError(
            f"{name} must sum to 1 as probabilities, got {float(np.exp(logsumexp(array))):.12g}."
        )
    return array


def _same_shape(first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
    """Both distributions are over the same outcomes."""
    if first.shape != second.shape:
        raise ValueError(
            f"both distributions must have the same shape, got {first.shape} and {second.shape}."
        )
