"""Ridge regression with a privacy level per person, as scikit-learn estimators; one fit is one release."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from trustlib.pdp_op.calibration import (
    Bounds,
    check_bounds,
    effective_size,
    noise_rate,
    norm_bound,
    ridge_sensitivity,
)
from trustlib.pdp_op.checks import Clipped, DomainError, Violation, as_array, domain, levels, positive
from trustlib.pdp_op.moments import LossMoments, loss_moments
from trustlib.pdp_op.normal_equations import NormalEquations, normal_equations, stream_normal_equations
from trustlib.pdp_op.preferences import keep_probabilities
from trustlib.privacy import PersonalizedDP, PrivacyLedger, sample_l2_laplace

Randomness = int | np.random.Generator | None


def as_generator(random_state: Randomness) -> np.random.Generator:
    """A generator from a generator, a seed, or fresh entropy of the operating system (None)."""
    if random_state is not None and not isinstance(random_state, int | np.integer | np.random.Generator):
        raise TypeError(
            f"random_state must be a numpy.random.Generator, a seed or None, got {random_state!r}. "
            "Wrap other sources: numpy.random.default_rng(...)."
        )
    return np.random.default_rng(random_state)


def read_table(
    estimator: Any, X: ArrayLike, y: ArrayLike, *, multi_output: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features (n, d) and targets (n,) or (n, m) as float64, validated the scikit-learn way; tensors welcome."""
    table = validate_data(
        estimator, as_array(X), as_array(y), dtype=np.float64, multi_output=multi_output, y_numeric=True
    )
    return np.asarray(table[0], np.float64), np.asarray(table[1], np.float64)


def read_features(estimator: Any, X: ArrayLike) -> NDArray[np.float64]:
    """Features (m, d) of a prediction, checked against those of fit."""
    return np.asarray(validate_data(estimator, as_array(X), dtype=np.float64, reset=False), np.float64)


def check_offset(name: str, offset: ArrayLike, shape: tuple[int, ...]) -> None:
    """A public centre: one finite number, or one for each column."""
    given = np.asarray(offset)
    if given.dtype.kind not in "iuf" or given.shape not in ((), shape) or not np.isfinite(given).all():
        wanted = f" or a vector of {shape[0]}" if shape else ""
        raise ValueError(f"{name} must be a finite number{wanted}, got {offset!r}. It is a public centre.")


class Releases(BaseEstimator):
    """What estimators share that release something at every fit: levels, a ledger, fresh noise, and safe copies.

    `sklearn.base.clone` copies the parameters of an estimator. A copied ledger would lose what the clone spends, and a
    copied generator would give two releases the same noise, so both are passed on instead. Pickles and deep copies
    are made to be handed on: they carry what was released and what was spent, but nothing from which the noise could
    be taken off again, which is the solution before noise, the seed and the generator.
    """

    _SECRET = ("_minimiser", "_mean", "clipped_", "kept_")

    epsilon: ArrayLike | None
    ledger: PrivacyLedger | None
    random_state: Randomness

    def __sklearn_clone__(self) -> Self:
        twin: Self = super().__sklearn_clone__()
        twin.ledger = self.ledger
        if isinstance(self.random_state, np.random.Generator):
            twin.random_state = self.random_state
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in super().__getstate__().items() if name not in self._SECRET}
        if "privacy_spent_" in state or isinstance(self.random_state, np.random.Generator):
            state["random_state"] = None
        return state

    def _generator(self) -> np.random.Generator:
        """The source of this release's noise: a seed gives another stream for every release in the ledger.

        With the same noise twice, two releases would reveal the exact difference of what is behind them, and no sum of
        levels would cover that.
        """
        source = self.random_state
        ledger = self.ledger if self.ledger is not None else getattr(self, "ledger_", None)
        if isinstance(source, int | np.integer) and isinstance(ledger, PrivacyLedger) and len(ledger) > 0:
            return np.random.default_rng([int(source), len(ledger)])
        return as_generator(source)

    def _before_noise(self, name: str) -> NDArray[np.float64]:
        """A solution before noise, or an error where this copy does not have it."""
        check_is_fitted(self)
        if not hasattr(self, name):
            raise AttributeError(
                "this is a copy or was unpickled, and copies do not carry the solution before noise, which is not "
                "private. Ask the estimator that was fitted."
            )
        return np.asarray(getattr(self, name), np.float64)

    def _levels(self, epsilon: ArrayLike | None, n: int) -> NDArray[np.float64]:
        """The levels of a fit: its own, or else those of the constructor."""
        chosen = self.epsilon if epsilon is None else epsilon
        if chosen is None:
            raise ValueError(
                "epsilon is missing: pass fit(X, y, epsilon=...), one public level per record or one for all."
            )
        return levels(chosen, n)

    def _check_ledger(self) -> None:
        """A ledger of the right type, or none."""
        if self.ledger is not None and not isinstance(self.ledger, PrivacyLedger):
            raise TypeError(f"ledger must be a PrivacyLedger or None, got {self.ledger!r}.")

    def _spend(self, label: str, level: NDArray[np.float64]) -> None:
        """Record the release in the caller's ledger, or in the estimator's own, which remembers earlier fits."""
        ledger = self.ledger if self.ledger is not None else getattr(self, "ledger_", None)
        if ledger is None:
            ledger = PrivacyLedger("substitution", unit="the features and target of one record")
        earlier = _personal(ledger)
        if earlier and len(earlier[0]) != len(level):
            raise ValueError(
                f"the ledger holds releases about {len(earlier[0])} records and X has {len(level)}. Another fit adds "
                "to what the same people have spent; for other people use a new ledger, or sklearn.base.clone."
            )
        ledger.spend(label, PersonalizedDP(level), relation="substitution")
        self.ledger_ = ledger
        self.privacy_spent_ = np.sum(_personal(ledger), axis=0)


def _personal(ledger: PrivacyLedger) -> list[NDArray[np.float64]]:
    """The levels of all personalised releases in a ledger."""
    return [entry.budget.epsilon for entry in ledger.entries if isinstance(entry.budget, PersonalizedDP)]


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


class SampleDPRidge(OutputPerturbationRidge):
    """The Sample mechanism before uniform privacy: keep strict people rarely, then protect all kept ones at level t.

    Person i is kept with probability 1 if epsilon_i >= t, else (e^epsilon_i - 1) / (e^t - 1).
    ``variant="published"`` averages over the people who were kept and sets the noise from their number, as in the
    experiments of Acharya et al.; that number depends on the draw, the guarantee of the Sample mechanism does not cover
    it, and no privacy is claimed for it here (``privacy_spent_`` is infinite). ``variant="repaired"`` averages over the
    public n, which the guarantee covers.

    Args:
        alpha: lambda > 0.
        threshold: "max" or "mean" of the levels, or a level t > 0 itself.
        variant: "repaired" or "published".
        x_norm: as in `PersonalizedRidge`, like all that follow.
        y_bound: as there.
        epsilon: as there.
        bounds: as there.
        adjacency: as there.
        on_violation: as there.
        fit_intercept: as there.
        x_offset: as there.
        y_offset: as there.
        ledger: as there.
        random_state: as there.

    Attributes:
        kept_: how many people were kept; not private.
        privacy_proven_: whether a proof covers this release and all earlier ones.
        privacy_spent_: sum of min(epsilon_i, t) over the fits; infinite once the published variant was fitted.

    Raises:
        ValueError: in fit, as `PersonalizedRidge`; for "published" also with a ledger, or if nobody was kept.

    Example:
        >>> X, y = np.full((4, 1), 0.5), np.full(4, 0.5)
        >>> model = SampleDPRidge(1.0, threshold="max", x_norm=1.0, y_bound=1.0, random_state=0)
        >>> model.fit(X, y, epsilon=[1.0, 1.0, 1.0, 1.0]).kept_
        4

    Source: Jorgensen, Yu, Cormode 2015; baseline of Acharya et al. 2024; the repair is this book's.
    """

    def __init__(
        self,
        alpha: float,
        *,
        threshold: Literal["max", "mean"] | float = "max",
        variant: Literal["repaired", "published"] = "repaired",
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
        super().__init__(
            alpha,
            x_norm=x_norm,
            y_bound=y_bound,
            epsilon=epsilon,
            bounds=bounds,
            adjacency=adjacency,
            on_violation=on_violation,
            fit_intercept=fit_intercept,
            x_offset=x_offset,
            y_offset=y_offset,
            ledger=ledger,
            random_state=random_state,
        )
        self.threshold = threshold
        self.variant = variant

    def fit(self, X: ArrayLike, y: ArrayLike, *, epsilon: ArrayLike | None = None) -> Self:
        """Sample people, then release; see `PersonalizedRidge.fit`."""
        if self.variant not in ("repaired", "published"):
            raise ValueError(f'variant must be "repaired" or "published", got {self.variant!r}.')
        if self.variant == "published" and self.ledger is not None:
            raise ValueError(
                'variant "published" has no guarantee that could stand in a ledger. Use variant="repaired", or '
                "ledger=None for experiments."
            )
        rng = self._generator()
        features, target, level = self._read(X, y, epsilon)
        t = resolve_threshold(level, self.threshold)
        kept = rng.random(len(level)) < keep_probabilities(level, t)
        self.kept_ = int(kept.sum())
        base = len(level) if self.variant == "repaired" else self.kept_
        if base == 0:
            raise ValueError(
                f"nobody of {len(level)} people was kept at threshold {t:g}, and the published variant has no answer "
                'for that. Use variant="repaired" or a smaller threshold.'
            )
        if self.variant == "repaired":
            self._spend(f"Sample({t:g})+DP-OP", np.minimum(level, t))
        self.privacy_proven_ = self.variant == "repaired" and getattr(self, "privacy_proven_", True)
        if not self.privacy_proven_:
            self.privacy_spent_ = np.full(len(level), np.inf)
        self._calibrate(np.full(base, t))
        self._release(normal_equations(features, target, kept / base), rng)
        return self


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


def resolve_threshold(epsilon: NDArray[np.float64], threshold: Literal["max", "mean"] | float) -> float:
    """The level t that a threshold stands for.

    Raises:
        ValueError: an unknown word or a level that is not > 0.

    Example:
        >>> resolve_threshold(np.array([0.2, 0.4]), "max")
        0.4
    """
    if isinstance(threshold, str):
        if threshold not in ("max", "mean"):
            raise ValueError(f'threshold must be "max", "mean" or a level > 0, got {threshold!r}.')
        return float(epsilon.max() if threshold == "max" else epsilon.mean())
    return positive("threshold", threshold, why="It is a privacy level.")
