"""Another way to personal levels: release noisy second moments once, and solve for any lambda afterwards."""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from trustlib.pdp_op.checks import Violation, domain, positive
from trustlib.pdp_op.normal_equations import normal_equations
from trustlib.pdp_op.releases import (
    Randomness,
    Releases,
    read_features,
    read_table,
)
from trustlib.privacy import PrivacyLedger, sample_l2_laplace


def statistics_diameter(*, x_norm: float, y_bound: float) -> float:
    """How far the moments (x x^T, x y) of two records can lie apart, in the Euclidean norm of all entries.

    With s = <x, x'> the squared distance is at most 2 R^4 + 2 R^2 Y^2 - 2 s^2 + 2 Y^2 s, largest at s = Y^2 / 2 or, if
    that exceeds R^2, at s = R^2:
    c^2 = 2 R^4 + 2 R^2 Y^2 + Y^4 / 2 if Y^2 <= 2 R^2, else 4 R^2 Y^2. For one feature it is an upper bound only.

    Args:
        x_norm: R > 0.
        y_bound: Y > 0.

    Returns:
        c > 0.

    Raises:
        ValueError: a bound that is not finite and > 0.

    Example:
        >>> statistics_diameter(x_norm=1.0, y_bound=2.0)  # 4 > 2: s = 1
        4.0

    Source: this book.
    """
    R = positive("x_norm", x_norm, why="It is the public bound on the row norms.")
    Y = positive("y_bound", y_bound, why="It is the public bound on the labels.")
    if Y**2 <= 2 * R**2:
        return math.sqrt(2 * R**4 + 2 * R**2 * Y**2 + Y**4 / 2)
    return 2 * R * Y


class PersonalizedStatisticsRidge(RegressorMixin, Releases):
    """Personal levels by noise on the sufficient statistics: X^T W X and X^T W y are released, the rest is arithmetic.

    With w_i = epsilon_i / sum_j epsilon_j the statistics move by at most w_i c when record i is exchanged (c of
    `statistics_diameter`), so spherical noise of rate sum_j epsilon_j / c on all d (d + 3) / 2 distinct numbers gives
    record i the level epsilon_i. Negative eigenvalues, which only noise can cause, are set to 0. One release answers
    for every lambda (`path`), which output perturbation does not; in exchange the noise has about d / 2 times as many
    dimensions. Same neighbours, public quantities and caveats as `PersonalizedRidge`.

    Args:
        alpha: lambda > 0 of ``coef_``.
        x_norm: public bound R >= ||x_i||_2, > 0.
        y_bound: public bound Y >= |y_i|, > 0.
        epsilon: level used when fit gets none; a number or shape (n,).
        adjacency: only "substitution".
        on_violation: "raise" for data outside the domain, or "clip" to project it with a warning and a count.
        ledger: a ledger over several releases; None keeps one inside.
        random_state: generator, seed for experiments, or None for fresh entropy.

    Attributes:
        gram_: released second moments of the features, shape (d, d), positive semidefinite.
        cross_: released moments with the target, shape (d,).
        coef_: coefficients at alpha, shape (d,).
        noise_rate_: rate of the noise on the statistics.
        privacy_spent_: sum of the personal levels in the ledger so far, shape (n,).
        clipped_: how much was projected; not private.
        ledger_: the ledger after this fit.

    Raises:
        ValueError: in fit, for parameters, levels or data out of range.

    Example:
        >>> model = PersonalizedStatisticsRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
        >>> model.fit([[1.0], [0.5]], [1.0, 0.0], epsilon=[0.5, 1.0]).privacy_spent_
        array([0.5, 1. ])

    Source: this book; sufficient-statistics perturbation as in Wang 2018, weights as in Acharya et al. 2024.
    """

    def __init__(
        self,
        alpha: float,
        *,
        x_norm: float,
        y_bound: float,
        epsilon: ArrayLike | None = None,
        adjacency: Literal["substitution"] = "substitution",
        on_violation: Violation = "raise",
        ledger: PrivacyLedger | None = None,
        random_state: Randomness = None,
    ) -> None:
        self.alpha = alpha
        self.x_norm = x_norm
        self.y_bound = y_bound
        self.epsilon = epsilon
        self.adjacency = adjacency
        self.on_violation = on_violation
        self.ledger = ledger
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Release the statistics; every call spends epsilon_i of every record again.

        Args:
            X: features, shape (n, d), inside the domain.
            y: targets, shape (n,).
            epsilon: public levels, shape (n,) or one number, > 0; None for the constructor's.

        Returns:
            self.
        """
        rng = self._generator()
        alpha = positive("alpha", self.alpha, why="The noisy moments need it to be invertible.")
        diameter = statistics_diameter(x_norm=self.x_norm, y_bound=self.y_bound)
        if self.adjacency != "substitution":
            raise ValueError(
                f'adjacency must be "substitution", got {self.adjacency!r}. Adding or removing a person changes the '
                "sum of all levels, hence every weight and the noise itself: the loss has no finite bound then."
            )
        self._check_ledger()
        features, target = read_table(self, X, y, multi_output=False)
        level = self._levels(epsilon, len(features))
        features, target, clipped = domain(
            features, target, x_norm=self.x_norm, y_bound=self.y_bound, on_violation=self.on_violation
        )
        self._spend("personalised statistics", level)
        self.clipped_ = clipped
        self.noise_rate_ = float(level.sum() / diameter)
        equations = normal_equations(features, target, level / level.sum())
        self._release(equations.gram, equations.cross, rng)
        self.coef_ = self.path([alpha])[0]
        return self

    def path(self, lambdas: ArrayLike) -> NDArray[np.float64]:
        """Coefficients for many lambda from the same release: post-processing, so it costs no privacy.

        Args:
            lambdas: shape (k,), > 0.

        Returns:
            Shape (k, d).

        Raises:
            ValueError: a lambda that is not finite and > 0.
            sklearn.exceptions.NotFittedError: before fit.
        """
        check_is_fitted(self, "gram_")
        grid = np.asarray(lambdas, dtype=np.float64)
        if grid.ndim != 1 or grid.size == 0 or not (np.isfinite(grid) & (grid > 0)).all():
            raise ValueError(f"lambdas must be a vector of finite numbers > 0, got {lambdas!r}.")
        values, basis = np.linalg.eigh(self.gram_)
        shrunk = (basis.T @ self.cross_) / (np.maximum(values, 0.0) + grid[:, None])
        return shrunk @ basis.T

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predictions X @ coef_, shape (m,)."""
        check_is_fitted(self)
        return read_features(self, X) @ self.coef_

    def _release(
        self, gram: NDArray[np.float64], cross: NDArray[np.float64], rng: np.random.Generator
    ) -> None:
        """Noise on the distinct entries; an off-diagonal one stands for two, hence the factor sqrt(2)."""
        dim = len(cross)
        rows, columns = np.triu_indices(dim)
        noise = sample_l2_laplace(self.noise_rate_, len(rows) + dim, rng=rng)
        symmetric = np.zeros((dim, dim))
        symmetric[rows, columns] = noise[: len(rows)] / np.where(rows == columns, 1.0, math.sqrt(2))
        symmetric = symmetric + np.triu(symmetric, 1).T
        values, basis = np.linalg.eigh(gram + symmetric)
        self.gram_ = (basis * np.maximum(values, 0.0)) @ basis.T
        self.cross_ = cross + noise[len(rows) :]
