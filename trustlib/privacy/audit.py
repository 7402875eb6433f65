"""Statistical audits: a lower confidence bound on epsilon from two neighbouring inputs, and exact finite cases."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from trustlib.privacy.checks import generator, probability, whole

Mechanism = Callable[[object, int, np.random.Generator], ArrayLike]


@dataclass(frozen=True)
class AuditResult:
    """What an audit found: never a proof of privacy, only a bound from below.

    Args:
        lower_bound: epsilon is at least this, at the given confidence; 0 if nothing was found.
        confidence: probability in (0, 1) that the bound holds.
        threshold: the event was "score > threshold" (or "<=" when ``above`` is false).
        above: direction of the event.
        rate_a: share of outputs on the first input in the event.
        rate_b: share of outputs on the second input in the event.
        n: draws per input behind the rates.
    """

    lower_bound: float
    confidence: float
    threshold: float
    above: bool
    rate_a: float
    rate_b: float
    n: int


def clopper_pearson(k: int, n: int, *, confidence: float) -> tuple[float, float]:
    """The exact two-sided confidence interval of a binomial rate.

    Args:
        k: successes, 0 <= k <= n.
        n: trials, >= 1.
        confidence: in (0, 1).

    Returns:
        (low, high), each in [0, 1].

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> low, high = clopper_pearson(0, 10, confidence=0.95)
        >>> low, round(high, 4)
        (0.0, 0.3085)

    Source: Clopper and Pearson 1934.
    """
    n = whole("n", n)
    k = whole("k", k, least=0)
    if k > n:
        raise ValueError(f"k must be at most n = {n}, got {k}.")
    tail = (1 - probability("confidence", confidence)) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 1, n - k))
    return low, high


def audit_epsilon(
    mechanism: Mechanism,
    input_a: object,
    input_b: object,
    *,
    n: int,
    confidence: float,
    rng: np.random.Generator,
    score: Callable[[NDArray[np.float64]], ArrayLike] | None = None,
    delta: float = 0.0,
) -> AuditResult:
    """A lower bound on the epsilon of a mechanism from its outputs on two neighbouring inputs.

    epsilon >= log((p_low - delta) / q_high) for the event "score beyond a threshold", with p_low and q_high the
    Clopper-Pearson bounds on its probabilities on the two inputs. Threshold, direction and order of the inputs are
    chosen on one half of the draws and the bound is computed on the other, so that the choice costs no confidence.

    Args:
        mechanism: called as mechanism(input, n, rng), returns n outputs, shape (n,) or (n, ...).
        input_a: one input.
        input_b: a neighbour of it under the relation to be audited.
        n: draws per input and half, >= 100.
        confidence: of the bound, in (0, 1).
        rng: source of randomness.
        score: maps outputs to one number each, shape (n,); None for outputs that are numbers. The best score is the
            log-likelihood ratio of the two inputs where it is known.
        delta: the delta of the guarantee to be audited, in [0, 1).

    Returns:
        The audit; ``lower_bound`` above a claimed epsilon refutes the claim at that confidence.

    Raises:
        ValueError: n < 100, bad confidence or delta, scores that are NaN or not one per output.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> def laplace(value, n, rng):
        ...     return value + rng.laplace(0.0, 1.0, size=n)
        >>> found = audit_epsilon(laplace, 0.0, 1.0, n=4000, confidence=0.95, rng=np.random.default_rng(0))
        >>> 0.5 < found.lower_bound < 1.0
        True

    Source: Jagielski, Ullman, Oprea 2020 (Clopper-Pearson audit); Ding et al. 2018 (event chosen on other draws).
    """
    n = whole("n", n, least=100)
    probability("confidence", confidence)
    probability("delta", delta, zero=True)
    rng = generator(rng)

    def draw(value: object) -> NDArray[np.float64]:
        output = np.asarray(mechanism(value, n, rng), dtype=np.float64)
        got = np.asarray(output if score is None else score(output), dtype=np.float64)
        if got.shape != (n,) or np.isnan(got).any():
            raise ValueError(
                f"score must give one number per output, shape ({n},) and no NaN, got shape {got.shape}. "
                "Pass score= for outputs that are vectors."
            )
        return got

    threshold, above, swap = _choose_event(draw(input_a), draw(input_b), confidence, delta)
    first, second = draw(input_a), draw(input_b)
    hits = [int(np.sum(s > threshold) if above else np.sum(s <= threshold)) for s in (first, second)]
    likelier, rarer = hits[::-1] if swap else hits
    return AuditResult(
        lower_bound=_bound(likelier, rarer, n, confidence, delta),
        confidence=confidence,
        threshold=float(threshold),
        above=above,
        rate_a=hits[0] / n,
        rate_b=hits[1] / n,
        n=n,
    )


def exact_epsilon(p: ArrayLike, q: ArrayLike, *, delta: float = 0.0) -> float:
    """The exact epsilon between two distributions over finitely many outcomes.

    For delta = 0 it is the largest |log p_j / q_j|; otherwise the smallest epsilon >= 0 with
    sum_j max(0, p_j - e^epsilon q_j) <= delta, in both directions.

    Args:
        p: probabilities on one input, shape (m,), sum 1.
        q: probabilities on a neighbour, same shape.
        delta: in [0, 1).

    Returns:
        epsilon >= 0; inf where an outcome is possible on one input only and delta does not cover it.

    Raises:
        ValueError: shapes differ, entries outside [0, 1] or sums off 1 by more than 1e-9.

    Example:
        >>> round(exact_epsilon([0.75, 0.25], [0.25, 0.75]), 4)
        1.0986

    Source: Dwork and Roth 2014, Def. 2.4 and Lemma 3.17.
    """
    first, second = (_distribution(name, x) for name, x in (("p", p), ("q", q)))
    if first.shape != second.shape:
        raise ValueError(f"p and q must have the same shape, got {first.shape} and {second.shape}.")
    probability("delta", delta, zero=True)
    return max(_one_sided(first, second, delta), _one_sided(second, first, delta))


def _choose_event(
    a: NDArray[np.float64], b: NDArray[np.float64], confidence: float, delta: float
) -> tuple[float, bool, bool]:
    """Threshold, direction and order with the largest bound on these draws."""
    n = len(a)
    pooled = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0, 1, 201), method="inverted_cdf"))
    best, choice = -1.0, (float(pooled[0]), True, False)
    below_a = np.searchsorted(np.sort(a), pooled, side="right")
    below_b = np.searchsorted(np.sort(b), pooled, side="right")
    for threshold, low_a, low_b in zip(pooled, below_a, below_b, strict=True):
        for above in (True, False):
            hit_a, hit_b = (n - low_a, n - low_b) if above else (low_a, low_b)
            for swap in (False, True):
                k, m = (hit_b, hit_a) if swap else (hit_a, hit_b)
                found = _bound(int(k), int(m), n, confidence, delta) if k > m else 0.0
                if found > best:
                    best, choice = found, (float(threshold), above, swap)
    return choice


def _bound(likelier: int, rarer: int, n: int, confidence: float, delta: float) -> float:
    """log((p_low - delta) / q_high) with each side at half the error; 0 where it is negative."""
    p_low, _ = clopper_pearson(likelier, n, confidence=confidence)
    _, q_high = clopper_pearson(rarer, n, confidence=confidence)
    return max(0.0, math.log((p_low - delta) / q_high)) if p_low > delta else 0.0


def _one_sided(p: NDArray[np.float64], q: NDArray[np.float64], delta: float) -> float:
    """Smallest epsilon >= 0 with sum max(0, p - e^epsilon q) <= delta."""
    with np.errstate(divide="ignore"):
        ratio = np.where(p > 0, np.log(p) - np.log(q), -np.inf)
    order = np.argsort(-ratio)
    ratio, p, q = ratio[order], p[order], q[order]
    mass_p = mass_q = 0.0
    for j in range(len(ratio)):
        following = ratio[j + 1] if j + 1 < len(ratio) else -np.inf
        mass_p, mass_q = mass_p + p[j], mass_q + q[j]
        if mass_p <= delta:
            continue
        if delta == 0:
            return max(0.0, float(ratio[0]))
        epsilon = math.log((mass_p - delta) / mass_q) if mass_q > 0 else math.inf
        if epsilon >= following:
            return max(0.0, epsilon)
    return 0.0


def _distribution(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A vector of probabilities that sums to 1."""
    array = np.asarray(value, dtype=np.float64)
    if (
        array.ndim != 1
        or array.size == 0
        or not ((array >= 0) & (array <= 1)).all()
        or abs(array.sum() - 1) > 1e-9
    ):
        raise ValueError(f"{name} must be a vector of probabilities that sums to 1, got shape {array.shape}.")
    return array
