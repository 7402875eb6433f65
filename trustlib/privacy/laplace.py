"""The spherical Laplace law of output perturbation, and independent Laplace noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.privacy.checks import generator, positive, whole


def sample_l2_laplace(
    rate: float, dim: int, *, size: int | None = None, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Noise whose density falls with the Euclidean norm: p(b) proportional to exp(-rate * ||b||_2).

    The norm is Gamma(shape=dim, scale=1/rate) and the direction uniform on the sphere, so E||b|| = dim/rate and
    Cov b = (dim + 1)/rate^2 * I. It is not a vector of independent Laplace variables, except for dim = 1.
    Adding it to a statistic of L2 sensitivity S gives pure DP with epsilon = rate * S, for the neighbouring relation
    in which S was computed; ``rate`` is public. Like all samplers here it draws floats: see `round_to_grid`.

    Args:
        rate: decay per unit of length, > 0.
        dim: dimension of one draw, >= 1.
        size: number of draws; None for a single vector.
        rng: source of randomness.

    Returns:
        Shape (dim,), or (size, dim).

    Raises:
        ValueError: rate not a finite number > 0, dim < 1 or size < 0.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> noise = sample_l2_laplace(2.0, 3, size=4, rng=np.random.default_rng(0))
        >>> noise.shape
        (4, 3)

    Source: Chaudhuri and Monteleoni 2008 (output perturbation); Acharya et al. 2024 for personal levels.
    """
    rate = positive(
        "rate", rate, why="A rate of 0 would be noise without bound; refuse rather than skip the noise."
    )
    dim = whole("dim", dim)
    rng = generator(rng)
    count = 1 if size is None else whole("size", size, least=0)
    direction = rng.standard_normal((count, dim))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    noise = direction * rng.gamma(dim, 1.0 / rate, size=(count, 1))
    return noise[0] if size is None else noise


def sample_laplace(
    scale: float, dim: int, *, size: int | None = None, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Independent Laplace noise: p(b) proportional to exp(-||b||_1 / scale).

    Adding it to a statistic of L1 sensitivity S gives pure DP with epsilon = S / scale.

    Args:
        scale: scale of every coordinate, > 0; the variance of one is 2 scale^2.
        dim: dimension of one draw, >= 1.
        size: number of draws; None for a single vector.
        rng: source of randomness.

    Returns:
        Shape (dim,), or (size, dim).

    Raises:
        ValueError: scale not a finite number > 0, dim < 1 or size < 0.
        TypeError: rng is not a numpy Generator.

    Example:
        >>> sample_laplace(1.0, 2, rng=np.random.default_rng(0)).shape
        (2,)

    Source: Dwork, McSherry, Nissim, Smith 2006.
    """
    scale = positive("scale", scale, why="A scale of 0 would release the value without noise.")
    dim = whole("dim", dim)
    shape = (dim,) if size is None else (whole("size", size, least=0), dim)
    return generator(rng).laplace(0.0, scale, size=shape)


def round_to_grid(value: ArrayLike, *, step: float) -> NDArray[np.float64]:
    """Round a noisy release to multiples of a public step; post-processing, so the guarantee stays.

    The proofs are about real numbers. A float drawn as value + noise can reveal the value through its low bits, because
    the sums that floats can reach differ between neighbours; a grid much coarser than the spacing of floats at the size
    of the release hides most of that. It is a mitigation, not a proof: neither the sampler nor the rounding is exact.
    Where an adversary sees all bits, use a mechanism that is discrete from the start.

    Args:
        value: the release, any shape, finite.
        step: grid width > 0, in the units of the release, chosen without looking at the data. A power of two makes the
            division exact; a hundredth of the noise's standard deviation costs no accuracy that anyone would see.

    Returns:
        The rounded values, same shape.

    Raises:
        ValueError: step not a finite number > 0, or a value that is not finite or not on any grid float64 can hold.

    Example:
        >>> round_to_grid([0.26, -0.9], step=0.5)
        array([ 0.5, -1. ])

    Source: Mironov 2012, "On significance of the least significant bits for differential privacy".
    """
    step = positive("step", step, why="It is the width of the grid.")
    release = np.asarray(value, dtype=np.float64)
    if not (np.isfinite(release).all() and (np.abs(release) < step * 2.0**52).all()):
        raise ValueError(
            f"value must be finite and below step * 2^52 in size, got one beyond it for step = {step!r}. Floats are "
            "coarser than the grid there: use a larger step."
        )
    return np.round(release / step) * step + 0.0  # + 0.0: no negative zero
