"""The Gaussian mechanism: noise and its calibration to a budget."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trustlib.privacy.budgets import ZCDP, ApproxDP, GaussianDP
from trustlib.privacy.checks import generator, positive, whole
from trustlib.privacy.gaussian_dp import gdp_for_approx, gdp_for_zcdp


def sample_gaussian(
    sigma: float, dim: int, *, size: int | None = None, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Spherical Gaussian noise N(0, sigma^2 I).

    Added to a statistic of L2 sensitivity S it gives (S / sigma)-GDP, for the neighbouring relation in which S was
    computed; sigma is public.

    Args:
        sigma: standard deviation per coordinate, > 0.
        dim: dimension of one draw, >= 1.
        size: number of draws; None for a single vector.
        rng: source of randomness.

    Returns:
        Shape (dim,), or (size, dim).

    Raises:
        ValueError: sigma not a finite number > 0, dim < 1 or size < 0.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> sample_gaussian(1.0, 2, size=3, rng=np.random.default_rng(0)).shape
        (3, 2)

    Source: Dong, Roth, Su 2022, Thm. 2.7.
    """
    sigma = positive("sigma", sigma, why="A sigma of 0 would release the value without noise.")
    dim = whole("dim", dim)
    shape = (dim,) if size is None else (whole("size", size, least=0), dim)
    return sigma * generator(rng).standard_normal(shape)


def gaussian_sigma(budget: ZCDP | GaussianDP | ApproxDP, *, sensitivity: float) -> float:
    """The smallest sigma with which a Gaussian mechanism meets a budget.

    sigma = S / sqrt(2 rho) for zCDP, S / mu for Gaussian DP, and the analytic calibration for (epsilon, delta).

    Args:
        budget: the guarantee to meet.
        sensitivity: L2 sensitivity S of the statistic, > 0, in its neighbouring relation.

    Returns:
        sigma > 0, in the units of the statistic.

    Raises:
        ValueError: sensitivity not > 0, or delta = 0 (no Gaussian mechanism is purely private).
        TypeError: a budget that a Gaussian mechanism cannot be calibrated to.

    Example:
        >>> gaussian_sigma(ZCDP(0.5), sensitivity=2.0)
        2.0

    Source: Bun and Steinke 2016, Prop. 1.6; Balle and Wang 2018, Alg. 1.
    """
    sensitivity = positive("sensitivity", sensitivity, why="A statistic that cannot change needs no noise.")
    if isinstance(budget, ZCDP):
        return sensitivity / gdp_for_zcdp(budget.rho)
    if isinstance(budget, GaussianDP):
        return sensitivity / budget.mu
    if isinstance(budget, ApproxDP):
        if budget.delta == 0:
            raise ValueError(
                f"{budget} has delta = 0, which no Gaussian noise meets. Use sample_laplace instead."
            )
        return sensitivity / gdp_for_approx(epsilon=budget.epsilon, delta=budget.delta)
    raise TypeError(f"budget must be ZCDP, GaussianDP or ApproxDP, got {budget!r}. Convert it first.")
