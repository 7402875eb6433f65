"""Statistical audits: a lower confidence bound on epsilon from the outputs on two neighbouring inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

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
        delta: of the guarantee that was audited.
    """

    lower_bound: float
    confidence: float
    threshold: float
    above: bool
    rate_a: float
    rate_b: float
    n: int
    delta: float = 0.0

    def refutes(self, epsilon: float) -> bool:
        """Whether the audit contradicts a claimed epsilon (at the delta audited); False proves nothing."""
        return self.lower_bound > epsilon


def clopper_pearson(k: int, n: int, *, confidence: float) -> tuple[float, float]:
    """The exact two-sided confidence interval of a binomial rate.

    low = B(tail; k, n - k + 1) and high = B(1 - tail; k + 1, n - k), with B the quantile of a beta variable and
    tail = (1 - confidence) / 2; 0 for k = 0 and 1 for k = n.

    Args:
        k: successes, 0 <= k <= n.
        n: trials, >= 1.
        confidence: in (0, 1).

    Returns:
        (low, high), each in [0, 1]; each side alone holds with probability 1 - tail.

    Raises:
        ValueError: arguments out of range.
        TypeError: k or n is not a whole number.

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
    confidence = probability("confidence", confidence)
    low, high = _rate_bounds(np.array([k]), n, confidence)
    return float(low[0]), float(high[0])


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
        mechanism: called as mechanism(input, n, rng), returns n independent outputs, shape (n,) or (n, ...).
        input_a: one input.
        input_b: a neighbour of it under the relation to be audited.
        n: draws per input and half, >= 100.
        confidence: of the bound, in (0, 1).
        rng: source of randomness.
        score: maps outputs to one number each, shape (n,), fixed before the audit; an event is a score with values
            False and True. None for outputs that are numbers. The best score is the log-likelihood ratio of the two
            inputs where it is known. Last bits count: where that ratio is flat, as for Laplace noise beyond both
            inputs, its rounding errors can tell the inputs apart. That is a true leak of an unrounded release; audit
            what is released, after `round_to_grid` if it will be rounded.
        delta: the delta of the guarantee to be audited, in [0, 1).

    Returns:
        The audit; ``lower_bound`` above a claimed epsilon refutes the claim at that confidence. At most
        log(n / 3.7) can be found with n draws and confidence 0.95.

    Raises:
        ValueError: n < 100, bad confidence or delta, scores that are NaN or not one per output.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> def laplace(value, n, rng):
        ...     return value + rng.laplace(0.0, 1.0, size=n)
        >>> found = audit_epsilon(laplace, 0.0, 1.0, n=4000, confidence=0.95, rng=np.random.default_rng(0))
        >>> 0.5 < found.lower_bound < 1.0, found.refutes(0.5)
        (True, True)

    Source: Jagielski, Ullman, Oprea 2020 (Clopper-Pearson audit); Ding et al. 2018 (event chosen on other draws).
    """
    n = whole("n", n, least=100)
    confidence = probability("confidence", confidence)
    delta = probability("delta", delta, zero=True)
    rng = generator(rng)

    def draw(value: object) -> NDArray[np.float64]:
        output = np.asarray(mechanism(value, n, rng), dtype=np.float64)
        got = np.asarray(output if score is None else score(output), dtype=np.float64)
        if got.shape != (n,) or np.isnan(got).any():
            raise ValueError(
                f"score must give one number per output, shape ({n},) and no NaN, got shape {got.shape} and "
                f"{int(np.isnan(got).sum())} NaN. Pass score= for outputs that are vectors."
            )
        return got

    threshold, above, swap = _choose_event(draw(input_a), draw(input_b), confidence, delta)
    first, second = draw(input_a), draw(input_b)
    hits = np.array([np.sum(s > threshold) if above else np.sum(s <= threshold) for s in (first, second)])
    likelier, rarer = hits[::-1] if swap else hits
    return AuditResult(
        lower_bound=float(_bounds(np.array([likelier]), np.array([rarer]), n, confidence, delta)[0]),
        confidence=confidence,
        threshold=threshold,
        above=above,
        rate_a=float(hits[0] / n),
        rate_b=float(hits[1] / n),
        n=n,
        delta=delta,
    )


def _choose_event(
    a: NDArray[np.float64], b: NDArray[np.float64], confidence: float, delta: float
) -> tuple[float, bool, bool]:
    """Threshold, direction and order with the largest bound on these draws."""
    n = len(a)
    thresholds = _thresholds(np.sort(np.concatenate([a, b])))
    below_a = np.searchsorted(np.sort(a), thresholds, side="right")
    below_b = np.searchsorted(np.sort(b), thresholds, side="right")
    # The best of many bounds is lucky: compared at a stricter confidence, rare events win only if they will again.
    strict = 1 - (1 - confidence) / (4 * len(thresholds))
    options = [
        (above, swap, _bounds(*((y, x) if swap else (x, y)), n, strict, delta))
        for above, x, y in ((True, n - below_a, n - below_b), (False, below_a, below_b))
        for swap in (False, True)
    ]
    above, swap, found = max(options, key=lambda option: float(option[2].max()))
    return float(thresholds[int(np.argmax(found))]), above, swap


def _thresholds(ordered: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most about 600 of the values: evenly spaced ranks, and ranks that get denser towards both ends."""
    last = len(ordered) - 1
    tail = np.geomspace(1, len(ordered), 200) - 1
    ranks = np.concatenate([np.linspace(0, last, 201), tail, last - tail])
    return np.unique(ordered[np.unique(np.clip(np.rint(ranks), 0, last).astype(np.int64))])


def _bounds(
    likelier: NDArray[np.int64], rarer: NDArray[np.int64], n: int, confidence: float, delta: float
) -> NDArray[np.float64]:
    """log((p_low - delta) / q_high) for counts of shape (m,), each rate at half the error; 0 where negative."""
    low, _ = _rate_bounds(likelier, n, confidence)
    _, high = _rate_bounds(rarer, n, confidence)
    return np.log(np.maximum(np.maximum(low - delta, 0.0) / high, 1.0))


def _rate_bounds(
    hits: NDArray[np.int64], n: int, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Clopper-Pearson limits of rates for counts of shape (m,)."""
    tail = (1 - confidence) / 2
    inner = np.clip(hits, 1, n), np.clip(hits, 0, n - 1)
    low = np.where(hits == 0, 0.0, special.betaincinv(inner[0], n - inner[0] + 1, tail))
    high = np.where(hits == n, 1.0, special.betainccinv(inner[1] + 1, n - inner[1], tail))
    return low, high
