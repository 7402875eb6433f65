"""The linear probe of DP-SGD, trained by opacus or in closed form, and the same steps without noise."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.baselines import Baseline, noise_multiplier
from trustlib.dppl.baselines_gradients import GradientProbe, layer_arrays, tensors
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Matrix, one_of, positive, whole
from trustlib.privacy import ApproxDP, Budget

if TYPE_CHECKING:
    import torch

Engine = Literal["opacus", "closed_form"]


class DPLinearProbe(GradientProbe):
    """A linear probe trained with DP-SGD: every record's gradient clipped, Gaussian noise added to their sum.

    W <- W - learning_rate / (q n) * (sum_i clip(g_i, clip_norm) + N(0, sigma^2 clip_norm^2 I)), Poisson sampling with
    rate q, T steps. At a zCDP budget sigma = sqrt(T / (2 rho)); zCDP has no amplification by sampling, so use q = 1
    there. At an (epsilon, delta) budget opacus chooses sigma for q.

    Neighbours: add or remove one record with its label.

    Args:
        budget: `PrivacyBudget` (rho) or `trustlib.privacy.ApproxDP`.
        clip_norm: > 0.
        steps: T >= 1.
        learning_rate: > 0, for embeddings of about unit length.
        sample_rate: q in (0, 1].
        engine: "opacus" (ghost clipping), or "closed_form", the same steps several times faster.
        device: where the closed form is computed; opacus stays on the processor. Draws are the same on every device.

    Attributes:
        noise_multiplier_: sigma.
        accountant_: opacus' Renyi accountant after the steps.

    Raises:
        ValueError: parameters out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = rng.integers(2, size=1000)
        >>> X = np.eye(2)[y] + 0.1 * rng.standard_normal((1000, 2))
        >>> model = DPLinearProbe(PrivacyBudget(0.5), clip_norm=1.0, steps=5).fit(X, y, classes=[0, 1], rng=rng)
        >>> float((model.predict(X) == y).mean()) > 0.95, model.ledger_.to_zcdp()
        (True, ZCDP(rho=0.5))

    Source: Abadi et al. 2016; De et al. 2022 (linear probing); ghost clipping, noise and accounting
    by opacus.
    """

    def __init__(
        self,
        budget: PrivacyBudget | ApproxDP,
        *,
        clip_norm: float,
        steps: int = 40,
        learning_rate: float = 8.0,
        sample_rate: float = 1.0,
        engine: Engine = "opacus",
        device: str = "cpu",
    ) -> None:
        one_of("engine", engine, get_args(Engine))
        common: dict[str, Any] = {"steps": steps, "learning_rate": learning_rate, "sample_rate": sample_rate}
        super().__init__(budget, clip_norm=clip_norm, **common, device=device)
        self.engine = engine

    def _release(
        self, x: NDArray[np.float64], index: NDArray[np.int64], count: int, rng: np.random.Generator
    ) -> None:
        """Train with the engine chosen."""
        if self.engine == "closed_form":
            super()._release(x, index, count, rng)
            return
        self._spend_steps()
        self._train_by_opacus(*tensors(x, index, rng), count)

    def _calibrate(self) -> tuple[list[float], dict[str, Budget]]:
        """The noise multiplier and what it spends."""
        if not isinstance(self.budget, ApproxDP):
            return [noise_multiplier(self.steps, self.budget.rho)], {"gradients": self.budget.to_zcdp()}
        from opacus.accountants.utils import get_noise_multiplier

        with warnings.catch_warnings():  # the search passes noise for which larger orders would be tighter
            warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
            sigma = get_noise_multiplier(
                target_epsilon=self.budget.epsilon, target_delta=self.budget.delta, steps=self.steps,
                sample_rate=self.sample_rate, accountant="rdp", epsilon_tolerance=1e-3,
            )  # fmt: skip
        return [float(sigma)], {"gradients": self.budget}

    def _train_by_opacus(
        self, x: torch.Tensor, y: torch.Tensor, stream: torch.Generator, n_classes: int
    ) -> None:
        """T steps with opacus' ghost clipping."""
        import torch
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        layer = torch.nn.utils.skip_init(torch.nn.Linear, x.shape[1], n_classes)
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        module = GradSampleModuleFastGradientClipping(layer, max_grad_norm=self.clip_norm)
        optimizer = DPOptimizerFastGradientClipping(
            torch.optim.SGD(module.parameters(), lr=self.learning_rate), noise_multiplier=self.noise_multiplier_,
            max_grad_norm=self.clip_norm, expected_batch_size=self.sample_rate * len(x), generator=stream,
        )  # fmt: skip
        criterion = DPLossFastGradientClipping(module, optimizer, torch.nn.CrossEntropyLoss())
        for _ in range(self.steps):
            # Poisson sampling: every record takes part independently
            rows = torch.rand(len(x), generator=stream) < self.sample_rate
            batch, names = x[rows], y[rows]
            if len(batch):
                # hooks of modules want an input that takes part in the backward pass
                criterion(module(batch.clone().requires_grad_()), names).backward()
            else:
                for parameter in module.parameters():
                    parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
        self._record(torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach(), torch.empty(0))


class NoiseFreeProbe(Baseline):
    """The steps of `DPLinearProbe` with its noise switched off: what few clipped steps do by themselves. Not private.

    Args:
        clip_norm: > 0.
        steps: T >= 1.
        learning_rate: > 0.
        device: where it is computed.

    Raises:
        ValueError: parameters out of range.

    Example:
        >>> X, y = np.eye(2)[[0, 1, 0]], [0, 1, 0]
        >>> model = NoiseFreeProbe(clip_norm=1.0, steps=5, learning_rate=8.0).fit(X, y, classes=[0, 1])
        >>> model.predict(X).tolist(), model.ledger_ is None
        ([0, 1, 0], True)

    Source: this book.
    """

    def __init__(
        self, *, clip_norm: float, steps: int = 40, learning_rate: float = 8.0, device: str = "cpu"
    ) -> None:
        self.clip_norm = positive("clip_norm", clip_norm, why="It bounds the gradient of a record.")
        self.steps, self.device = whole("steps", steps), device
        self.learning_rate = positive("learning_rate", learning_rate, why="It is the length of a step.")

    def fit(self, embeddings: Matrix, labels: ArrayLike, *, classes: Sequence[Any] | None) -> Self:
        """Train; nothing is protected.

        Args:
            embeddings: shape (n, d), finite.
            labels: shape (n,), members of ``classes``.
            classes: all classes.

        Returns:
            self.

        Raises:
            ValueError: shapes or values out of range.
        """
        import torch

        from trustlib.dppl.linear_descent import noisy_descent

        x, index, count = self._read(embeddings, labels, classes)
        weight, _ = noisy_descent(
            torch.from_numpy(x).float().to(self.device), torch.from_numpy(index).to(self.device), count,
            steps=self.steps, sample_rate=1.0,
            clip_norm=self.clip_norm, sigma=torch.zeros(1), learning_rate=torch.tensor([self.learning_rate]),
            generator=torch.Generator(), bound=None,
        )  # fmt: skip
        self.weight_, self.bias_ = layer_arrays(weight[0])
        return self
