"""Exact mean and standard deviation of the loss over the noise: no simulation of the mechanism is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.normal_equations import NormalEquations


@dataclass(frozen=True)
class LossMoments:
    """Mean and standard deviation of a loss over the noise, and what the noise alone adds to the mean.

    Args:
        mean: expected loss, shape (k,) for k values of lambda.
        std: its standard deviation over releases, shape (k,).
        noise: expected loss minus the loss without noise, shape (k,), >= 0.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    noise: NDArray[np.float64]


def noise_covariance(rate: ArrayLike, dim: int) -> NDArray[np.float64]:
    """Variance of one coordinate of spherical Laplace noise: Cov b = (dim + 1) / rate^2 * I.

    Args:
        rate: eta > 0, any shape.
        dim: dimension of the noise.

    Returns:
        Same shape as ``rate``.

    Example:
        >>> float(noise_covariance(2.0, 3))
        1.0

    Source: norm Gamma(dim, 1/rate), E||b||^2 = dim (dim + 1) / rate^2.
    """
    return (dim + 1) / np.square(np.asarray(rate, dtype=np.float64))


def loss_moments(
    theta: NDArray[np.float64],
    rate: ArrayLike,
    evaluation: NormalEquations,
    *,
    penalty: ArrayLike | None = None,
) -> LossMoments:
    """Exact moments of the loss of theta + b over spherical Laplace noise b of the given rate.

    With A the Gram matrix of the evaluation set (weights 1/m) and c = A theta - X^T y / m:
    E MSE = MSE(theta) + (d+1)/eta^2 tr A and
    Var MSE = 4 ||c||^2 (d+1)/eta^2 + (d+1)(d+3)(tr^2 A + 2 tr A^2)/eta^4 - ((d+1) tr A / eta^2)^2.

    Args:
        theta: coefficients without noise, shape (k, d) or (k, d, m) for k settings.
        rate: eta > 0, shape (k,); inf for no noise.
        evaluation: normal equations of the evaluation set, weights summing to 1.
        penalty: lambda of shape (k,), to add lambda ||theta + b||^2 to the loss ("type 2"); None for the plain MSE.

    Returns:
        Mean, standard deviation and noise part, each of shape (k,), in squared units of y.

    Raises:
        ValueError: shapes that do not agree.

    Example:
        >>> data = NormalEquations(np.eye(1), np.zeros(1), 0.0, 1.0, 1)
        >>> loss_moments(np.zeros((1, 1)), [2.0], data).mean
        array([0.5])

    Source: this book, from the Gamma norm and uniform direction of the noise; losses of Acharya et al. 2024.
    """
    theta = np.asarray(theta, dtype=np.float64)
    rates = np.broadcast_to(np.asarray(rate, dtype=np.float64), (len(theta),))
    if theta.ndim not in (2, 3) or theta.shape[1:] != evaluation.cross.shape:
        raise ValueError(
            f"theta must have shape (k, {', '.join(map(str, evaluation.cross.shape))}), got {theta.shape}."
        )
    lam = (
        np.zeros(len(theta))
        if penalty is None
        else np.broadcast_to(np.asarray(penalty, float), (len(theta),))
    )
    outputs = 1 if theta.ndim == 2 else theta.shape[2]
    dim = theta.shape[1] * outputs
    gradient = np.einsum("ij,kj...->ki...", evaluation.gram, theta) - evaluation.cross
    base = np.sum((theta * (gradient - evaluation.cross)).reshape(len(theta), -1), axis=1) + evaluation.power
    flat = (gradient + lam[(...,) + (None,) * (theta.ndim - 1)] * theta).reshape(len(theta), -1)
    base = base + lam * np.sum(np.square(theta.reshape(len(theta), -1)), axis=1)
    trace = outputs * (np.trace(evaluation.gram) + lam * theta.shape[1])
    squares = outputs * (
        np.sum(np.square(evaluation.gram)) + 2 * lam * np.trace(evaluation.gram) + lam**2 * theta.shape[1]
    )
    inverse = 1.0 / np.square(rates)
    noise = (dim + 1) * inverse * trace
    variance = 4 * np.sum(np.square(flat), axis=1) * (dim + 1) * inverse
    variance = variance + (dim + 1) * (dim + 3) * inverse**2 * (trace**2 + 2 * squares) - noise**2
    return LossMoments(np.maximum(base, 0.0) + noise, np.sqrt(np.maximum(variance, 0.0)), noise)
