"""What linear probes trained with private gradients share, and how several of them are trained at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.baselines import PrivateBaseline
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Matrix, generator, positive, whole
from trustlib.privacy import ApproxDP, Budget

if TYPE_CHECKING:
    import torch
    from opacus.accountants import RDPAccountant

    from trustlib.dppl.linear_descent import MovingBound


class GradientProbe(PrivateBaseline):
    """What private probes share: full steps of plain SGD on the cross-entropy of a linear layer that starts at zero.

    The number of records is public: it scales the steps. Under add or remove of one record this scale is held fixed.
    `DPLinearProbe` and `DPGlobalAdapt` are what is used; this class holds what they have in common.

    Args:
        budget: to spend per `fit`.
        clip_norm: C, length to which the gradient of a record is brought down, > 0.
        steps: T >= 1.
        learning_rate: > 0.
        sample_rate: probability of a record to be in a step, in (0, 1].
        device: where torch computes.

    Raises:
        TypeError, ValueError: a number out of range.
    """

    accountant_: RDPAccountant
    noise_multiplier_: float

    def __init__(
        self,
        budget: PrivacyBudget | ApproxDP,
        *,
        clip_norm: float,
        steps: int = 40,
        learning_rate: float = 8.0,
        sample_rate: float = 1.0,
        device: str = "cpu",
    ) -> None:
        super().__init__(budget, clip_norm=clip_norm)
        self.steps, self.device = whole("steps", steps), device
        self.learning_rate = positive("learning_rate", learning_rate, why="It is the length of a step.")
        self.sample_rate = positive("sample_rate", sample_rate, why="It is a probability.")
        if sample_rate > 1:
            raise ValueError(f"sample_rate must lie in (0, 1], got {sample_rate!r}. It is a probability.")

    def _release(
        self, x: NDArray[np.float64], index: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> None:
        """Train this probe alone."""
        descend([self], x, index, count, rng)

    def _spend_steps(self) -> list[float]:
        """Calibrate, enter what all steps spend in the ledger and at opacus; the noise multipliers of one step."""
        from opacus.accountants import RDPAccountant

        multipliers, releases = self._calibrate()
        for name, spent in releases.items():
            self._spend(f"noisy {name}, {self.steps} steps", spent)
        self.noise_multiplier_, self.accountant_ = multipliers[0], RDPAccountant()
        for _ in range(self.steps):
            for multiplier in multipliers:
                self.accountant_.step(noise_multiplier=multiplier, sample_rate=self.sample_rate)
        return multipliers

    def _shared(self) -> tuple[Any, ...]:
        """What probes must have in common to be trained together."""
        return type(self), self.steps, self.clip_norm, self.sample_rate, self.device

    @abstractmethod
    def _calibrate(self) -> tuple[list[float], dict[str, Budget]]:
        """Noise multipliers of what a step releases, the gradients first, and what all steps spend by name."""

    def _bound(self, multipliers: Sequence[list[float]]) -> MovingBound | None:
        """The bound on gradients where it moves, from the multipliers of all probes that are trained together."""
        return None

    def _record(self, weight: torch.Tensor, upper: torch.Tensor) -> None:
        """The released layer (C, d + 1) as arrays."""
        self.weight_, self.bias_ = layer_arrays(weight)


def fit_together(
    models: Sequence[GradientProbe],
    embeddings: Matrix,
    labels: ArrayLike,
    *,
    classes: Sequence[Any] | None,
    rng: np.random.Generator,
) -> None:
    """Fit probes that differ in budget and learning rate with the same draws, in one pass and in closed form.

    For choosing settings: what differs between the models is then not the luck of their noise. Each model's ledger says
    what it spends alone; they share their noise, so at most one of them may be released.

    Args:
        models: probes of one kind that differ in nothing else, at least one.
        embeddings: shape (n, d), finite.
        labels: shape (n,), members of ``classes``.
        classes: the public classes.
        rng: source of sampling and noise.

    Raises:
        ValueError: no model, models that differ in more, or shapes and values out of range.
    """
    if len({model._shared() for model in models}) != 1:
        raise ValueError(
            "models must be probes of one kind that differ in budget and learning rate only, because they take their "
            f"steps together, got {len(models)} that differ in more, or none."
        )
    rng = generator(rng)
    for model in models:
        x, index, count = model._read(embeddings, labels, classes)
    descend(models, x, index, count, rng)


def descend(
    models: Sequence[GradientProbe],
    x: NDArray[np.float64],
    index: NDArray[np.int64],
    count: int,
    rng: np.random.Generator,
) -> None:
    """Train all models at once and record what they release."""
    import torch

    from trustlib.dppl.linear_descent import noisy_descent

    first, multipliers = models[0], [model._spend_steps() for model in models]
    rows, names, stream = tensors(x, index, rng)
    weight, upper = noisy_descent(
        rows.to(first.device), names.to(first.device), count, steps=first.steps, clip_norm=first.clip_norm,
        sigma=torch.tensor([m[0] for m in multipliers]), sample_rate=first.sample_rate, generator=stream,
        learning_rate=torch.tensor([m.learning_rate for m in models]), bound=first._bound(multipliers),
    )  # fmt: skip
    for s, model in enumerate(models):
        model._record(weight[s], upper[:, s])


def tensors(
    x: NDArray[np.float64], index: NDArray[np.int64], rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """Embeddings (n, d) in single precision, classes (n,), and a stream for draws and noise."""
    import torch

    stream = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
    return torch.from_numpy(x).float(), torch.from_numpy(index), stream


def layer_arrays(weight: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (C, d) and offsets (C,) of a layer (C, d + 1)."""
    values = weight.double().cpu().numpy()
    return values[:, :-1], values[:, -1]
