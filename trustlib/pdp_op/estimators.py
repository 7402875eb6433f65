"""Ridge regression with a privacy level per person, as scikit-learn estimators; one fit is one release."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.pdp_op.checks import Clipped
from trustlib.pdp_op.normal_equations import normal_equations, stream_normal_equations
from trustlib.pdp_op.output_perturbation import OutputPerturbationRidge


class PersonalizedRidge(OutputPerturbationRidge):
    """PDP-OP: ridge regression that gives record i exactly its own privacy level epsilon_i.

    Minimises F(theta) = sum_i w_i (y_i - <theta, x_i>)^2 + alpha ||theta||^2 with w_i = epsilon_i / sum_j epsilon_j and
    releases theta + b with p(b) proportional to exp(-eta ||b||_2). Personalised pure DP under substitution of the
    values (x_i, y_i) of one record; the number of records, all levels, alpha and the domain are public. The levels
    must not depend on the values. Noise is ordinary floating-point noise (see `trustlib.privacy.round_to_grid`).

    Args:
        alpha: lambda > 0. The weights sum to 1, so alpha = 1 is n times scikit-learn's alpha of 1.
        x_norm: public bound R >= ||x_i||_2 (after centring), > 0.
        y_bound: public bound Y >= |y_i| (after centring; the norm of y_i for several outputs), > 0.
        epsilon: level used when fit gets none; a number or shape (n,).
        bounds: "paper" as published, or "tight" for the sharp norm bound: the same guarantee with less noise.
        adjacency: only "substitution"; anything else is refused with the reason.
        on_violation: "raise" for data outside the domain, or "clip" to project it with a warning and a count.
        fit_intercept: "public" to centre with ``x_offset`` and ``y_offset``, which must not come from the data.
        x_offset: public centre of the features, a number or shape (d,).
        y_offset: public centre of the target.
        ledger: a ledger over several releases; None keeps one inside, so that fitting again adds up.
        random_state: generator, or seed for experiments, or None for fresh entropy. Release with None: whoever learns
            a seed can take the noise off again, and two estimators with one seed and separate ledgers draw the same
            noise, so that the difference of their releases has none.

    Attributes:
        coef_: released coefficients, shape (d,) or (outputs, d).
        intercept_: y_offset - <coef_, x_offset>.
        noise_rate_: eta.
        radius_: the bound B on the coefficients before noise.
        sensitivity_: Delta_i per record, shape (n,).
        privacy_spent_: sum of the personal levels in the ledger so far, shape (n,).
        n_effective_: (sum epsilon)^2 / sum epsilon^2.
        clipped_: how much was projected; not private.
        ledger_: the ledger after this fit.

    Raises:
        ValueError: in fit, for parameters, levels or data out of range (`DomainError` for the last).
        TypeError: for values of the wrong type.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> X = rng.uniform(size=(2000, 2)); y = X @ [0.5, -0.5]
        >>> model = PersonalizedRidge(0.5, x_norm=2**0.5, y_bound=1.0, random_state=rng)
        >>> model.fit(X, y, epsilon=np.full(2000, 1.0)).privacy_spent_.max().item()
        1.0

    Source: Acharya et al. 2024, PDP-OP; "tight" and centring are this book's.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Release coefficients; every call spends epsilon_i of every record again.

        Args:
            X: features, shape (n, d), inside the domain.
            y: targets, shape (n,) or (n, outputs).
            epsilon: public levels, shape (n,) or one number, > 0; None for the constructor's.

        Returns:
            self.

        Raises:
            ValueError: bad parameters, levels, shapes or data outside the domain.
        """
        rng = self._generator()
        features, target, level = self._read(X, y, epsilon)
        self._spend("PDP-OP", level)
        self._calibrate(level)
        self._release(normal_equations(features, target, level / level.sum()), rng)
        return self

    def fit_blocks(self, blocks: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]]) -> Self:
        """The same release from blocks that are read once, for tables larger than memory; O(d^2) beside one block.

        Nothing is spent or released before the last block has been read and checked.

        Args:
            blocks: triples (X, y, epsilon) of shapes (b, d), (b,) or (b, outputs), and (b,) or a number.

        Returns:
            self; ``privacy_spent_`` has the levels in the order of the blocks.

        Raises:
            ValueError: as `fit`, or no block, or blocks of different widths.

        Example:
            >>> X, y, level = np.full((4, 1), 0.5), np.full(4, 0.5), np.array([0.1, 0.2, 0.3, 0.4])
            >>> model = PersonalizedRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
            >>> halves = [(X[:2], y[:2], level[:2]), (X[2:], y[2:], level[2:])]
            >>> model.fit_blocks(halves).privacy_spent_
            array([0.1, 0.2, 0.3, 0.4])

        Source: Acharya et al. 2024; summation by blocks is this book's.
        """
        rng = self._generator()
        parts: list[NDArray[np.float64]] = []
        clipped: list[Clipped] = []
        widths: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()

        def read() -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]]:
            for X, y, epsilon in blocks:
                features, target, level = self._read(X, y, epsilon)
                widths.add((features.shape[1:], target.shape[1:]))
                if len(widths) > 1:
                    raise ValueError(f"blocks must have the same columns, got {sorted(widths)} of X and y.")
                parts.append(level)
                clipped.append(self.clipped_)
                yield features, target, level

        self._check_parameters()
        equations = stream_normal_equations(read())
        level = np.concatenate(parts)
        self.clipped_ = Clipped(sum(c.rows for c in clipped), sum(c.labels for c in clipped))
        self._spend("PDP-OP", level)
        self._calibrate(level)
        self._release(equations.scaled(1 / level.sum()), rng)
        return self


class UniformDPRidge(OutputPerturbationRidge):
    """DP-OP(min): everybody is protected at the strictest level that anybody asked for.

    The same mechanism as `PersonalizedRidge` with all levels replaced by their minimum; arguments and attributes are
    the same.

    Example:
        >>> X, y = np.full((4, 1), 0.5), np.full(4, 0.5)
        >>> model = UniformDPRidge(1.0, x_norm=1.0, y_bound=1.0, random_state=0)
        >>> model.fit(X, y, epsilon=[0.1, 1, 1, 1]).privacy_spent_
        array([0.1, 0.1, 0.1, 0.1])

    Source: Chaudhuri, Monteleoni, Sarwate 2011; the baseline of Acharya et al. 2024.
    """

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Release coefficients at the smallest level; see `PersonalizedRidge.fit`."""
        rng = self._generator()
        features, target, level = self._read(X, y, epsilon)
        level = np.full(len(level), level.min())
        self._spend("DP-OP(min)", level)
        self._calibrate(level)
        self._release(normal_equations(features, target), rng)
        return self
