"""A constant with a privacy level per person."""

from __future__ import annotations

import math
from numbers import Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from trustlib.pdp_op.checks import DomainError, as_array
from trustlib.pdp_op.releases import Randomness, Releases, read_features, read_table
from trustlib.privacy import PrivacyLedger


class PersonalizedMean(RegressorMixin, Releases):
    """The personalised private mean of the targets as a constant prediction: m = sum_i w_i y_i + Laplace noise.

    With w_i = epsilon_i / sum_j epsilon_j the sensitivity for record i is w_i (upper - lower), so noise of scale
    (upper - lower) / sum_j epsilon_j gives everybody their own level. A regression that cannot beat it has learned
    nothing from the features.

    Args:
        lower: public lower end of the targets; data below is refused.
        upper: public upper end, > lower.
        epsilon: level used when fit gets none.
        ledger: a ledger over several releases; None keeps one inside, so that fitting again adds up.
        random_state: generator, seed, or None for fresh entropy.

    Attributes:
        mean_: the released mean.
        scale_: scale of the Laplace noise.
        privacy_spent_: sum of the personal levels in the ledger so far, shape (n,).
        ledger_: the ledger after this fit.

    Raises:
        ValueError: in fit, for bad levels, lower >= upper or targets outside.

    Example:
        >>> PersonalizedMean(0.0, 1.0, random_state=0).fit(np.zeros((4, 1)), [0, 1, 1, 0], epsilon=[1.0] * 4).scale_
        0.25

    Source: this book; personalised DP of Jorgensen et al. 2015.
    """

    def __init__(
        self,
        lower: float,
        upper: float,
        *,
        epsilon: ArrayLike | None = None,
        ledger: PrivacyLedger | None = None,
        random_state: Randomness = None,
    ) -> None:
        self.lower = lower
        self.upper = upper
        self.epsilon = epsilon
        self.ledger = ledger
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Release the mean; X only counts the features."""
        rng = self._generator()
        self._check_range()
        self._check_ledger()
        _, target = read_table(self, X, y, multi_output=False)
        level = self._levels(epsilon, len(target))
        if target.min() < self.lower or target.max() > self.upper:
            raise DomainError(
                f"y must lie in [{self.lower}, {self.upper}], got {target.min():g} to {target.max():g}. "
                "Clip it first, with a PUBLIC range."
            )
        self._spend("personalised mean", level)
        self.scale_ = float((self.upper - self.lower) / level.sum())
        self._mean = float(level @ target / level.sum())
        self.mean_ = self._mean + float(rng.laplace(0.0, self.scale_))
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The released mean for every row, shape (m,)."""
        check_is_fitted(self)
        return np.full(len(read_features(self, X)), self.mean_)

    def expected_mse(self, X: ArrayLike, y: ArrayLike) -> float:
        """Exact expectation over the noise of the mean squared error; for analysis, not private."""
        mean = self._before_noise("_mean")
        target = np.asarray(as_array(y), dtype=np.float64)
        return float(np.mean((target - mean) ** 2) + 2 * self.scale_**2)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # a constant explains nothing
        return tags

    def _check_range(self) -> None:
        """The public range of the targets."""
        for name in ("lower", "upper"):
            value = getattr(self, name)
            if not isinstance(value, Real):
                raise TypeError(f"{name} must be a number, got {value!r}.")
            if not math.isfinite(float(value)):
                raise ValueError(f"{name} must be finite, got {value!r}. The noise is as wide as the range.")
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}.")
