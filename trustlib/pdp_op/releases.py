"""What every private estimator shares: reading tables, levels, a ledger, fresh noise, copies without secrets."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from trustlib.pdp_op.checks import as_array, levels
from trustlib.privacy import PersonalizedDP, PrivacyLedger, PureDP

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
        pure = sum(entry.budget.epsilon for entry in ledger.entries if isinstance(entry.budget, PureDP))
        self.privacy_spent_ = np.sum(_personal(ledger), axis=0) + pure


def _personal(ledger: PrivacyLedger) -> list[NDArray[np.float64]]:
    """The levels of all personalised releases in a ledger."""
    return [entry.budget.epsilon for entry in ledger.entries if isinstance(entry.budget, PersonalizedDP)]
