"""What a private model is held against: ridge regression without privacy, and constants that ignore the features."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from trustlib.pdp_op.checks import levels, non_negative
from trustlib.pdp_op.normal_equations import normal_equations
from trustlib.pdp_op.releases import check_offset, read_features, read_table


class RidgeReference(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Ridge regression WITHOUT privacy, with the same objective as the private estimators: what privacy costs.

    Minimises sum_i w_i (y_i - <theta, x_i>)^2 + alpha ||theta||^2 with weights 1/n, or proportional to the levels if
    fit gets any: then it is the minimiser of PDP-OP before its noise. Never publish it as a private model.

    Args:
        alpha: lambda >= 0; 0 is least squares, with the shortest solution where there are several.

    Attributes:
        coef_: shape (d,) or (outputs, d).

    Raises:
        ValueError: in fit, for alpha < 0, levels or shapes out of range.

    Example:
        >>> RidgeReference(1.0).fit([[1.0], [1.0]], [1.0, 0.0]).coef_  # (1/2) / (1 + 1)
        array([0.25])
        >>> RidgeReference(1.0).fit([[1.0], [1.0]], [1.0, 0.0], epsilon=[3.0, 1.0]).coef_  # (3/4) / (1 + 1)
        array([0.375])

    Source: Acharya et al. 2024, non-private ridge and least squares.
    """

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Solve without noise; ``epsilon`` only sets the weights.

        Args:
            X: features, shape (n, d).
            y: targets, shape (n,) or (n, outputs).
            epsilon: levels, shape (n,), > 0; None for equal weights.

        Returns:
            self.
        """
        alpha = non_negative("alpha", self.alpha, why="It is the strength of the regularisation.")
        features, target = read_table(self, X, y, multi_output=True)
        level = np.ones(len(features)) if epsilon is None else levels(epsilon, len(features))
        equations = normal_equations(features, target, level / level.sum())
        if alpha > 0:
            solution = equations.solve(alpha)
        else:
            root = np.sqrt(level / level.sum())
            weighted = root * target if target.ndim == 1 else root[:, None] * target
            solution = np.linalg.lstsq(root[:, None] * features, weighted, rcond=None)[0]
        self.coef_ = solution if solution.ndim == 1 else solution.T
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Predictions X @ coef_, shape (m,) or (m, outputs)."""
        check_is_fitted(self)
        return read_features(self, X) @ np.moveaxis(self.coef_, -1, 0)


class ConstantPredictor(RegressorMixin, BaseEstimator):
    """A public constant for everybody: it reads no data and spends nothing, so a private model has to beat it.

    Args:
        value: the public constant, such as 0 or a mean known from elsewhere; it must not come from the data.

    Raises:
        ValueError: in fit, for a value that is not a finite number.

    Example:
        >>> ConstantPredictor(0.0).fit([[1.0], [2.0]], [3.0, 4.0]).predict([[5.0]])
        array([0.])

    Source: this book; null predictor.
    """

    def __init__(self, value: float) -> None:
        self.value = value

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Check shapes; neither the targets nor the levels are used."""
        check_offset("value", self.value, ())
        _, target = read_table(self, X, y, multi_output=False)
        if epsilon is not None:
            levels(epsilon, len(target))
        self.value_ = float(self.value)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """The constant for every row, shape (m,)."""
        check_is_fitted(self)
        return np.full(len(read_features(self, X)), self.value_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # a constant explains nothing
        return tags
