"""CoinPress: a private mean in a few steps, each clipping closer around the estimate of the one before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.checks import generator, positive, whole
from trustlib.privacy import ZCDP, gaussian_sigma, sample_gaussian

PAPER_SPLIT = (5.0, 7.0, 52.0)  # shares of the budget of the three steps, in 64ths
_BETA = 0.01  # failure probability in the radii


@dataclass(frozen=True)
class CoinPressStep:
    """One step of the schedule, known before any data is seen.

    Args:
        rho: zCDP level spent.
        clip: radius of the ball to which samples are clipped.
        sigma: standard deviation of the noise per coordinate.
        radius: of the ball in which the mean then lies with high probability, if the model holds.
    """

    rho: float
    clip: float
    sigma: float
    radius: float


@dataclass(frozen=True)
class CoinPressSchedule:
    """All steps for one class size; a function of public numbers only.

    Args:
        steps: in order.
        start: the radius before the first step.
    """

    steps: tuple[CoinPressStep, ...]
    start: float

    @property
    def sigma(self) -> float:
        """Standard deviation of the noise of the last step, which is that of the estimate."""
        return self.steps[-1].sigma

    @property
    def diverges(self) -> bool:
        """Whether some step leaves a ball no smaller than the one it started with: then it only wasted budget."""
        radii = [self.start, *(step.radius for step in self.steps)]
        return any(after >= before for before, after in pairwise(radii[:-1]))


def coinpress_gamma(d: int) -> float:
    """Radius in which a standard normal vector lies with probability 0.99: sqrt(d + 2 sqrt(d L) + 2 L), L = log 100.

    Example:
        >>> round(coinpress_gamma(64), 3)
        10.37

    Source: Biswas, Dong, Kamath, Ullman 2020; Laurent and Massart 2000.
    """
    spread = math.log(1 / _BETA)
    return math.sqrt(d + 2 * math.sqrt(d * spread) + 2 * spread)


def coinpress_schedule(
    n: int, d: int, *, rho: float, radius: float, split: tuple[float, ...] = PAPER_SPLIT
) -> CoinPressSchedule:
    """The radii and noise of CoinPress for a class of n samples, without looking at them.

    Per step with share rho_t, from radius r: clip R = min(sqrt(r^2 + 6 r + gamma^2), r + gamma), noise
    sigma = 2 R / (n sqrt(2 rho_t)), and the next r = gamma sqrt(1 / n + sigma^2).

    Args:
        n: class size, public, >= 1.
        d: dimensions, >= 1.
        rho: zCDP level of all steps together, > 0.
        radius: public bound on the length of the mean, in units of the standard deviation per coordinate, > 0.
        split: shares of the steps, > 0, rescaled to sum 1.

    Returns:
        The schedule.

    Raises:
        ValueError: numbers out of range.

    Example:
        >>> schedule = coinpress_schedule(5, 1280, rho=0.5, radius=1280**0.5)
        >>> [round(step.radius) for step in schedule.steps], schedule.diverges
        ([2946, 135497, 2283941], True)

    Source: Biswas, Dong, Kamath, Ullman 2020, multivariate mean; shares and beta as in Wahdany et al. 2025.
    """
    n, d = whole("n", n, why="A mean needs records."), whole("d", d, why="It counts dimensions.")
    rho = positive("rho", rho, why="It is a privacy level.")
    start = positive("radius", radius, why="It is a public bound on the length of the mean.")
    shares = check_split(split)
    gamma, steps, r = coinpress_gamma(d), list[CoinPressStep](), start
    for share in shares:
        clip = min(math.sqrt(r * r + 6 * r + gamma * gamma), r + gamma)
        sigma = gaussian_sigma(ZCDP(rho * share), sensitivity=2 * clip / n)
        r = gamma * math.sqrt(1 / n + sigma * sigma)
        steps.append(CoinPressStep(rho * share, clip, sigma, r))
    return CoinPressSchedule(tuple(steps), start)


def coinpress_mean(
    X: ArrayLike, *, schedule: CoinPressSchedule, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A private mean of samples with about unit variance per coordinate: clip, average, add noise, repeat.

    Every step clips the samples as they came to the ball of its radius around the estimate so far. With n public and
    one sample replaced, a step changes its average by at most 2 R / n, so it is rho_t-zCDP and all steps together are
    sum(rho_t)-zCDP (as Gaussian DP, mu = sqrt(2 sum(rho_t))), whatever the data look like.

    Args:
        X: samples of one class, shape (n, d), finite; n must be the one the schedule was made for.
        schedule: from `coinpress_schedule`.
        rng: source of randomness.

    Returns:
        Shape (d,).

    Raises:
        ValueError: X is not a finite matrix, or not of the size of the schedule.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.normal(2.0, 1.0, size=(4000, 2))
        >>> mean = coinpress_mean(X, schedule=coinpress_schedule(4000, 2, rho=0.5, radius=100.0), rng=rng)
        >>> bool(np.abs(mean - 2.0).max() < 0.1)
        True

    Source: Biswas, Dong, Kamath, Ullman 2020. Their program clips in place, so that later steps see data clipped
    before; both keep the same sensitivity.
    """
    values = np.asarray(X, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape or not np.isfinite(values).all():
        raise ValueError(f"X must be a finite matrix (n, d), got shape {values.shape} or values not finite.")
    first = schedule.steps[0]
    wanted = gaussian_sigma(ZCDP(first.rho), sensitivity=2 * first.clip / len(values))
    if not math.isclose(wanted, first.sigma, rel_tol=1e-9):
        raise ValueError(
            f"X has {len(values)} rows, but the schedule was made for another number: its noise would not fit."
        )
    rng = generator(rng)
    centre = np.zeros(values.shape[1])
    for step in schedule.steps:
        clipped = centre + clip_rows(values - centre, step.clip)
        centre = clipped.mean(axis=0) + sample_gaussian(step.sigma, values.shape[1], rng=rng)
    return centre


def clip_rows(rows: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Rows shortened to a length of at most ``radius``; zero rows stay zero."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows * (radius / np.maximum(length, radius))


def check_split(split: tuple[float, ...]) -> tuple[float, ...]:
    """Shares of a budget, rescaled to sum 1."""
    shares = [
        positive("split", share, why="A step without budget would have infinite noise.") for share in split
    ]
    if not shares:
        raise ValueError("split must have one share for each step, got none.")
    return tuple(share / math.fsum(shares) for share in shares)
