"""DP least squares: second moments and sums released once, one linear solve per class."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.baselines import PrivateBaseline, class_sums, noise_multiplier
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import positive
from trustlib.dppl.coinpress import clip_rows
from trustlib.privacy import sample_gaussian


class DPLeastSquares(PrivateBaseline):
    """DP-LS: regularised least squares on noisy moments.

    With rows clipped to ||x|| <= C and noise of standard deviation sigma * (sensitivity):
    G = sum x x^T, A_c = sum_{y = c} x x^T (sensitivity C^2 each), b_c = sum_{y = c} x (sensitivity C),
    theta_c = (A_c + alpha G + lambda I)^-1 b_c; a test point goes to the class with the largest theta_c^T x.

    Neighbours: add or remove one record with its label, which touches G and the two moments of one class: three
    Gaussian releases, rho = 3 / (2 sigma^2). The classes are public, their sizes are not.

    Args:
        budget: what the fit may spend.
        clip_norm: C > 0, public.
        alpha: weight of the moments of all classes, >= 0.
        regularization: > 0; lambda as a multiple of 2 sigma C^2 sqrt(d (1 + alpha^2)), the size of the noise in the
            sum of the moments, which is known beforehand.

    Attributes:
        noise_multiplier_: sigma.
        regularization_: lambda.

    Raises:
        ValueError: parameters out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(2, size=4000)
        >>> X = np.eye(2)[y] + 0.1 * rng.standard_normal((4000, 2))
        >>> model = DPLeastSquares(PrivacyBudget(1.0), clip_norm=1.0).fit(X, y, classes=[0, 1], rng=rng)
        >>> float((model.predict(X) == y).mean()) > 0.95
        True

    Source: Mehta et al. 2022 (DP-LS). Deviations: the noise of a moment is symmetric (its upper triangle mirrored, the
    same privacy), and eigenvalues are raised to lambda before solving, so that noise cannot turn a direction round.
    """

    noise_multiplier_: float
    regularization_: float

    def __init__(
        self,
        budget: PrivacyBudget,
        *,
        clip_norm: float,
        alpha: float = 1.0,
        regularization: float = 1.0,
    ) -> None:
        super().__init__(budget, clip_norm=clip_norm)
        if not (np.isfinite(alpha) and alpha >= 0):
            raise ValueError(
                f"alpha must be a finite number >= 0, got {alpha!r}. It weighs the common moments."
            )
        self.alpha = float(alpha)
        self.regularization = positive(
            "regularization", regularization, why="Without it a noisy moment may not be invertible."
        )

    def _release(
        self, x: NDArray[np.float64], index: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> None:
        """Noisy moments, and one solve per class."""
        x, d, bound = clip_rows(x, self.clip_norm), x.shape[1], self.clip_norm
        budget: PrivacyBudget = self.budget  # type: ignore[assignment]
        sigma = noise_multiplier(3, budget.rho)
        self._spend("noisy moments", budget.to_zcdp())
        common = x.T @ x + symmetric_noise(d, sigma * bound**2, rng)
        sums = class_sums(x, index, count) + sample_gaussian(sigma * bound, d, size=count, rng=rng)
        noise = 2 * sigma * bound**2 * math.sqrt(d * (1 + self.alpha**2))
        self.noise_multiplier_, self.regularization_ = sigma, self.regularization * noise
        self.weight_ = np.empty((count, d))
        for c in range(count):
            rows = x[index == c]
            moment = rows.T @ rows + symmetric_noise(d, sigma * bound**2, rng) + self.alpha * common
            self.weight_[c] = solve_clamped(moment, sums[c], self.regularization_)
        self.bias_ = np.zeros(count)


def symmetric_noise(dim: int, sigma: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Gaussian noise (dim, dim) whose upper triangle is independent and whose lower one mirrors it."""
    upper = np.triu(rng.normal(0.0, sigma, (dim, dim)))
    return upper + np.triu(upper, 1).T


def solve_clamped(
    moment: NDArray[np.float64], target: NDArray[np.float64], regularization: float
) -> NDArray[np.float64]:
    """(moment + lambda I)^-1 target, eigenvalues of the sum below lambda raised to lambda; (d, d), (d,) to (d,)."""
    values, vectors = np.linalg.eigh(moment)
    return vectors @ ((vectors.T @ target) / (np.maximum(values, 0.0) + regularization))
