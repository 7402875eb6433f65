"""The Sample mechanism as an estimator: the published baseline and a repaired one."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from trustlib.pdp_op.calibration import Bounds
from trustlib.pdp_op.checks import Violation
from trustlib.pdp_op.normal_equations import normal_equations
from trustlib.pdp_op.output_perturbation import OutputPerturbationRidge
from trustlib.pdp_op.preferences import keep_probabilities, resolve_threshold
from trustlib.pdp_op.releases import Randomness
from trustlib.privacy import PrivacyLedger


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
