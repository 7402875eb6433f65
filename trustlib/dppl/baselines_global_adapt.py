"""DPSGD-Global-Adapt: private gradients that are scaled by a common factor, so that their proportions stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trustlib.dppl.baselines import noise_multiplier
from trustlib.dppl.baselines_gradients import GradientProbe
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import positive
from trustlib.privacy import ZCDP, Budget

if TYPE_CHECKING:
    import torch

    from trustlib.dppl.linear_descent import MovingBound


class DPGlobalAdapt(GradientProbe):
    """DPSGD-Global-Adapt: gradients are scaled by a common factor, and only those above a private bound are clipped.

    A gradient g counts with the factor C / Z if ||g|| <= Z and C / ||g|| otherwise, so that the directions of a batch
    keep their proportions. After each step Z <- Z exp(-eta + b), b the noisy share of gradients above threshold * Z.

    Each step releases a sum (sensitivity C) and a count (sensitivity 1), T times: the count gets ``count_share`` of the
    budget. Neighbours: add or remove one record with its label.

    Args:
        budget: `PrivacyBudget` (rho).
        clip_norm: C > 0.
        steps: T >= 1.
        learning_rate: > 0, for embeddings of about unit length.
        sample_rate: q in (0, 1]; as for `DPLinearProbe`.
        device: where it is computed; draws are the same on every device.
        upper: first value of Z, > 0.
        decay: eta > 0.
        threshold: > 0.
        count_share: of the budget, in (0, 1).

    Attributes:
        noise_multiplier_: of the sums.
        upper_: Z after each step, shape (T,).
        accountant_: opacus' Renyi accountant after the steps.

    Raises:
        ValueError: parameters out of range.
        TypeError: a budget that is not a `PrivacyBudget`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(2, size=1000)
        >>> X = np.eye(2)[y] + 0.1 * rng.standard_normal((1000, 2))
        >>> model = DPGlobalAdapt(PrivacyBudget(0.5), clip_norm=1.0, steps=5).fit(X, y, classes=[0, 1], rng=rng)
        >>> float((model.predict(X) == y).mean()) > 0.95
        True

    Source: Esipova et al. 2023. Deviations: Z starts at 2, which no gradient of a probe on unit-length embeddings
    exceeds (their programs start at 100), and the count's noise follows from the budget (theirs is fixed at 10).
    """

    upper_: NDArray[np.float64]

    def __init__(
        self,
        budget: PrivacyBudget,
        *,
        clip_norm: float,
        steps: int = 40,
        learning_rate: float = 8.0,
        sample_rate: float = 1.0,
        device: str = "cpu",
        upper: float = 2.0,
        decay: float = 0.1,
        threshold: float = 1.0,
        count_share: float = 0.1,
    ) -> None:
        super().__init__(
            budget,
            clip_norm=clip_norm,
            steps=steps,
            learning_rate=learning_rate,
            sample_rate=sample_rate,
            device=device,
        )
        if not isinstance(budget, PrivacyBudget):
            raise TypeError(
                f"budget must be a PrivacyBudget: the two releases are counted in zCDP, got {budget!r}."
            )
        self.upper = positive("upper", upper, why="It is a length of gradients.")
        self.decay = positive("decay", decay, why="It is a rate.")
        self.threshold = positive("threshold", threshold, why="It is a multiple of the bound.")
        self.count_share = positive("count_share", count_share, why="It is a share of the budget.")
        if count_share >= 1:
            raise ValueError(f"count_share must lie in (0, 1), got {count_share!r}: nothing would be left.")

    def _shared(self) -> tuple[Any, ...]:
        """The bound moves alike."""
        return *super()._shared(), self.upper, self.decay, self.threshold

    def _calibrate(self) -> tuple[list[float], dict[str, Budget]]:
        """Noise multipliers of sums and counts, and what each of both spends."""
        names, shares = ("sums of gradients", "counts"), (1 - self.count_share, self.count_share)
        rhos = [self.budget.rho * share for share in shares]  # type: ignore[union-attr]
        spent: dict[str, Budget] = {name: ZCDP(rho) for name, rho in zip(names, rhos, strict=True)}
        return [noise_multiplier(self.steps, rho) for rho in rhos], spent

    def _bound(self, multipliers: Sequence[list[float]]) -> MovingBound:
        """Z follows the noisy count."""
        import torch

        from trustlib.dppl.linear_descent import MovingBound

        return MovingBound(self.upper, self.decay, self.threshold, torch.tensor([m[1] for m in multipliers]))

    def _record(self, weight: torch.Tensor, upper: torch.Tensor) -> None:
        """The released layer and bounds as arrays."""
        super()._record(weight, upper)
        self.upper_ = upper.double().cpu().numpy()
