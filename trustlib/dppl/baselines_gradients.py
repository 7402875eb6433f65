"""Linear probes trained with private gradients: DP-SGD through opacus, and DPSGD-Global-Adapt."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trustlib.dppl.baselines import Baseline
from trustlib.dppl.budgets import PrivacyBudget
from trustlib.dppl.checks import Matrix, generator, positive, whole
from trustlib.privacy import ZCDP, ApproxDP

if TYPE_CHECKING:
    import torch
    from opacus.accountants import RDPAccountant

_STEEPEST = 20.0  # of the logarithm of Z in one step


class GradientProbe(Baseline):
    """What both probes share: full steps of plain SGD on the cross-entropy of a linear layer that starts at zero.

    The number of records is public: it scales the steps. Under add or remove of one record this scale is held fixed.
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
    ) -> None:
        self.budget = budget
        self.clip_norm = positive("clip_norm", clip_norm, why="It bounds the gradient of a record.")
        self.steps = whole("steps", steps)
        self.learning_rate = positive("learning_rate", learning_rate, why="It is the length of a step.")
        self.sample_rate = positive("sample_rate", sample_rate, why="It is a probability.")
        if sample_rate > 1:
            raise ValueError(f"sample_rate must lie in (0, 1], got {sample_rate!r}. It is a probability.")

    def _start(
        self,
        embeddings: Matrix,
        labels: ArrayLike,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor, int, torch.Generator]:
        """Embeddings (n, d) and classes (n,) as tensors, number of classes, and a stream for draws and noise."""
        import torch
        from opacus.accountants import RDPAccountant

        x, index, count = self._read(embeddings, labels, classes)
        stream = torch.Generator().manual_seed(int(generator(rng).integers(2**63 - 1)))
        self.accountant_ = RDPAccountant()
        return torch.from_numpy(x).float(), torch.from_numpy(index), count, stream

    def _sample(self, n: int, stream: torch.Generator) -> torch.Tensor | slice:
        """Poisson sampling: every record takes part with probability sample_rate, independently."""
        import torch

        if self.sample_rate == 1:
            return slice(None)
        return torch.rand(n, generator=stream) < self.sample_rate

    def _record(self, layer: torch.nn.Module) -> None:
        """The released layer as arrays."""
        arrays = [p.detach().double().numpy() for p in layer.parameters()]
        self.weight_, self.bias_ = arrays[0], arrays[1]


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

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike,
        *,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Self:
        """Train; every call spends the whole budget.

        Args:
            embeddings: shape (n, d), finite.
            labels: shape (n,), members of ``classes``.
            classes: the public classes.
            rng: source of sampling and noise.

        Returns:
            self.

        Raises:
            ValueError: shapes or values out of range.
        """
        from torch import nn

        x, y, count, stream = self._start(embeddings, labels, classes, rng)
        self.noise_multiplier_, spent = self._calibrate()
        self._spend(f"noisy gradients, {self.steps} steps", spent)
        layer = nn.utils.skip_init(nn.Linear, x.shape[1], count)
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
        self._train(layer, x, y, stream)
        self._record(layer)
        return self

    def _calibrate(self) -> tuple[float, ZCDP | ApproxDP]:
        """The noise multiplier and what it spends."""
        if isinstance(self.budget, ApproxDP):
            from opacus.accountants.utils import get_noise_multiplier

            with (
                warnings.catch_warnings()
            ):  # the search passes noise for which larger orders would be tighter
                warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
                sigma = get_noise_multiplier(
                    target_epsilon=self.budget.epsilon, target_delta=self.budget.delta, steps=self.steps,
                    sample_rate=self.sample_rate, accountant="rdp", epsilon_tolerance=1e-3,
                )  # fmt: skip
            return float(sigma), self.budget
        return math.sqrt(self.steps / (2 * self.budget.rho)), self.budget.to_zcdp()

    def _train(
        self, layer: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, stream: torch.Generator
    ) -> None:
        """T steps with opacus' ghost clipping."""
        import torch
        from opacus.grad_sample import GradSampleModuleFastGradientClipping
        from opacus.optimizers import DPOptimizerFastGradientClipping
        from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

        module = GradSampleModuleFastGradientClipping(layer, max_grad_norm=self.clip_norm)
        optimizer = DPOptimizerFastGradientClipping(
            torch.optim.SGD(module.parameters(), lr=self.learning_rate), noise_multiplier=self.noise_multiplier_,
            max_grad_norm=self.clip_norm, expected_batch_size=self.sample_rate * len(x), generator=stream,
        )  # fmt: skip
        criterion = DPLossFastGradientClipping(module, optimizer, torch.nn.CrossEntropyLoss())
        for _ in range(self.steps):
            rows = self._sample(len(x), stream)
            batch, names = x[rows], y[rows]
            if len(batch):
                # hooks of modules want an input that takes part in the backward pass
                criterion(module(batch.clone().requires_grad_()), names).backward()
            else:
                for parameter in module.parameters():
                    parameter.grad = torch.zeros_like(parameter)
            optimizer.step()
            optimizer.zero_grad()
            self.accountant_.step(noise_multiplier=self.noise_multiplier_, sample_rate=self.sample_rate)


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
        upper: float = 2.0,
        decay: float = 0.1,
        threshold: float = 1.0,
        count_share: float = 0.1,
    ) -> None:
        super().__init__(
            budget, clip_norm=clip_norm, steps=steps, learning_rate=learning_rate, sample_rate=sample_rate
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

    def fit(
        self,
        embeddings: Matrix,
        labels: ArrayLike,
        *,
        classes: Sequence[Any] | None,
        rng: np.random.Generator,
    ) -> Self:
        """Train; every call spends the whole budget.

        Args:
            embeddings: shape (n, d), finite.
            labels: shape (n,), members of ``classes``.
            classes: the public classes.
            rng: source of sampling and noise.

        Returns:
            self.

        Raises:
            ValueError: shapes or values out of range.
        """
        import torch
        from torch.nn import functional as F

        x, y, count, stream = self._start(embeddings, labels, classes, rng)
        sigma, sigma_count = self._calibrate()
        x = F.pad(x, (0, 1), value=1.0)  # the last column is the bias
        weight, upper, expected = torch.zeros(count, x.shape[1]), self.upper, self.sample_rate * len(x)
        history = []
        for _ in range(self.steps):
            rows = self._sample(len(x), stream)
            batch, names = x[rows], y[rows]
            error = (batch @ weight.T).softmax(dim=1) - F.one_hot(names, count)  # (b, C)
            norms = error.norm(dim=1) * batch.norm(dim=1)  # of the gradients, without forming them
            factor = self.clip_norm / norms.clamp(min=upper)
            noise = torch.randn(weight.shape, generator=stream) * (sigma * self.clip_norm)
            weight = weight - self.learning_rate / expected * ((error * factor[:, None]).T @ batch + noise)
            above = float((norms > self.threshold * upper).sum())
            above += sigma_count * float(torch.randn((), generator=stream))
            change = np.clip(above / expected - self.decay, -_STEEPEST, _STEEPEST)  # noise alone can be huge
            upper = float(np.clip(upper * np.exp(change), 1e-6, 1e6))
            history.append(upper)
            for multiplier in (sigma, sigma_count):
                self.accountant_.step(noise_multiplier=multiplier, sample_rate=self.sample_rate)
        self.weight_, self.bias_ = weight[:, :-1].double().numpy(), weight[:, -1].double().numpy()
        self.upper_ = np.array(history)
        return self

    def _calibrate(self) -> tuple[float, float]:
        """Noise multipliers of sums and counts; both go into the ledger."""
        rho = self.budget.rho  # type: ignore[union-attr]
        for name, share in (("sums of gradients", 1 - self.count_share), ("counts", self.count_share)):
            self._spend(f"noisy {name}, {self.steps} steps", ZCDP(rho * share))
        self.noise_multiplier_ = math.sqrt(self.steps / (2 * rho * (1 - self.count_share)))
        return self.noise_multiplier_, math.sqrt(self.steps / (2 * rho * self.count_share))
