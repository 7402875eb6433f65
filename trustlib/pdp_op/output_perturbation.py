"""Ridge regression with spherical noise on its coefficients, whatever the weights and levels are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from trustlib.pdp_op.calibration import (
    Bounds,
    check_bounds,
    effective_size,
    noise_rate,
    norm_bound,
    ridge_sensitivity,
)
from trustlib.pdp_op.checks import Violation, as_array, domain, positive
from trustlib.pdp_op.moments import LossMoments, loss_moments
from trustlib.pdp_op.normal_equations import NormalEquations, normal_equations
from trustlib.pdp_op.releases import Randomness, Releases, check_offset, read_features, read_table
from trustlib.privacy import PrivacyLedger, sample_l2_laplace


class OutputPerturbationRidge(MultiOutputMixin, RegressorMixin, Releases):
    """What the private ridge estimators share: the public domain, one noisy release, exact moments of its loss."""

    def __init__(
        self,
        alpha: float,
        *,
        x_norm: float,
        y_bound: float,
        epsilon: ArrayLike | None = None,
        bounds: Bounds = "tight",
        adjacency: Literal["substitution"] = "substitution",
        on_violation: Violation = "raise",
        fit_intercept: Literal["public", False] = False,
        x_offset: ArrayLike = 0.0,
        y_offset: ArrayLike = 0.0,
        ledger: PrivacyLedger | None = None,
        random_state: Randomness = None,
    ) -> None:
        self.alpha = alpha
        self.x_norm = x_norm
        self.y_bound = y_bound
        self.epsilon = epsilon
        self.bounds = bounds
        self.adjacency = adjacency
        self.on_violation = on_violation
        self.fit_intercept = fit_intercept
        self.x_offset = x_offset
        self.y_offset = y_offset
        self.ledger = ledger
        self.random_state = random_state

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predictions X @ coef_ + intercept_; post-processing, so it costs no privacy.

        Args:
            X: features, shape (m, d), in the units of fit.

        Returns:
            Shape (m,), or (m, outputs).

        Raises:
            sklearn.exceptions.NotFittedError: before fit.
            ValueError: another number of features than in fit.
        """
        check_is_fitted(self)
        return read_features(self, X) @ np.moveaxis(self.coef_, -1, 0) + self.intercept_

    def expected_mse(self, X: ArrayLike, y: ArrayLike) -> float:
        """Exact expectation, over the noise, of the mean squared error on an evaluation set.

        For analysis only: it uses the coefficients before noise, so the number itself is not private.

        Args:
            X: features, shape (m, d).
            y: targets, shape (m,) or (m, outputs).

        Returns:
            Squared units of y.

        Raises:
            sklearn.exceptions.NotFittedError: before fit.
        """
        return float(self._moments(X, y).mean[0])

    def mse_std(self, X: ArrayLike, y: ArrayLike) -> float:
        """Exact standard deviation, over the noise, of the mean squared error; for analysis, not private.

        Args:
            X: features, shape (m, d).
            y: targets, shape (m,) or (m, outputs).

        Returns:
            Squared units of y.

        Raises:
            sklearn.exceptions.NotFittedError: before fit.
        """
        return float(self._moments(X, y).std[0])

    # ------------------------------------------------------------------------------------------------- internals

    def _moments(self, X: ArrayLike, y: ArrayLike) -> LossMoments:
        """Loss moments on an evaluation set, in the centred coordinates of fit."""
        minimiser = self._before_noise("_minimiser")
        centred = self._centre(np.asarray(as_array(X), np.float64), np.asarray(as_array(y), np.float64))
        return loss_moments(minimiser[None], [self.noise_rate_], normal_equations(*centred))

    def _centre(
        self, X: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """X and y minus their public offsets."""
        if self.fit_intercept is False:
            return X, y
        return X - np.asarray(self.x_offset, np.float64), y - np.asarray(self.y_offset, np.float64)

    def _read(
        self, X: ArrayLike, y: ArrayLike, epsilon: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Everything that is checked before any work: parameters, shapes, levels, domain."""
        self._check_parameters()
        features, target = read_table(self, X, y, multi_output=True)
        level = self._levels(epsilon, len(features))
        if self.fit_intercept:
            check_offset("x_offset", self.x_offset, features.shape[1:])
            check_offset("y_offset", self.y_offset, target.shape[1:])
        features, target = self._centre(features, target)
        features, target, self.clipped_ = domain(
            features, target, x_norm=self.x_norm, y_bound=self.y_bound, on_violation=self.on_violation
        )
        return features, target, level

    def _check_parameters(self) -> None:
        """Constructor arguments; the estimator conventions want them checked in fit."""
        positive(
            "alpha", self.alpha, why="Without regularisation one record can move the minimiser without bound."
        )
        positive("x_norm", self.x_norm, why="It is the public bound on the row norms after centring.")
        positive("y_bound", self.y_bound, why="It is the public bound on the labels after centring.")
        check_bounds(self.bounds)
        if self.adjacency != "substitution":
            raise ValueError(
                f'adjacency must be "substitution", got {self.adjacency!r}. Adding or removing a person changes '
                "the sum of all levels, hence every weight and the noise itself: the loss has no finite bound then."
            )
        if self.fit_intercept not in ("public", False):
            raise ValueError(f'fit_intercept must be "public" or False, got {self.fit_intercept!r}.')
        if self.fit_intercept is False and (
            np.any(np.asarray(self.x_offset)) or np.any(np.asarray(self.y_offset))
        ):
            raise ValueError('x_offset and y_offset are public centres: they need fit_intercept="public".')
        self._check_ledger()

    def _calibrate(self, level: NDArray[np.float64]) -> None:
        """Noise rate, sensitivities and bounds for these levels; nothing here reads the data."""
        lam, x_norm, y_bound, bounds = self.alpha, self.x_norm, self.y_bound, self.bounds
        self.noise_rate_ = noise_rate(level, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
        weight = level / level.sum()
        self.sensitivity_ = ridge_sensitivity(weight, lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)
        self.n_effective_ = effective_size(level)
        self.radius_ = norm_bound(lam, x_norm=x_norm, y_bound=y_bound, bounds=bounds)

    def _release(self, equations: NormalEquations, rng: np.random.Generator) -> None:
        """Solve, add noise once, and store what may be published beside what may not."""
        self._minimiser = equations.solve(self.alpha)
        noise = sample_l2_laplace(self.noise_rate_, self._minimiser.size, rng=rng)
        released = self._minimiser + noise.reshape(self._minimiser.shape)
        self.coef_ = released if released.ndim == 1 else released.T
        offset = np.asarray(self.y_offset, np.float64) if self.fit_intercept else np.float64(0.0)
        shift = np.broadcast_to(self.x_offset, equations.gram.shape[0]) if self.fit_intercept else None
        self.intercept_ = offset if shift is None else offset - self.coef_ @ shift
