"""The attacks: a surrogate that learns from a service's answers, by regression, by contrast, or by distillation."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from trustlib.gnn_stealing.augmentation import Augmentation, feature_column_mask
from trustlib.gnn_stealing.checks import inside, whole
from trustlib.gnn_stealing.losses import info_nce, rmse_loss, soft_cross_entropy
from trustlib.gnn_stealing.stealing import FANOUTS, Stealer


class RmseStealer(Stealer):
    """Regression: minimise the root mean squared difference between outputs and responses.

    Args:
        surrogate: as in `Stealer`.
        epochs: passes over the query nodes.
        lr: learning rate.
        weight_decay: of Adam.
        standardize: train on standardised responses; the published attack does not, and depends on their scale.
        batch_size: as in `Stealer`; published: 1000.
        fanouts: as in `Stealer`.

    Example:
        >>> from types import SimpleNamespace
        >>> from trustlib.gnn_stealing.surrogates import Surrogate
        >>> pair = SimpleNamespace(x=torch.eye(2), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> surrogate = Surrogate("gin", in_features=2, out_features=1, hidden=4, seed=0)
        >>> stealer = RmseStealer(surrogate, epochs=3).fit(pair, torch.tensor([[1.0], [2.0]]))
        >>> len(stealer.history), stealer.embed(pair).shape
        (3, torch.Size([2, 1]))

    Source: Shen et al., S&P 2022.
    """

    def __init__(
        self,
        surrogate: nn.Module,
        *,
        epochs: int = 200,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        standardize: bool = False,
        batch_size: int | None = None,
        fanouts: tuple[int, ...] = FANOUTS,
    ) -> None:
        super().__init__(
            surrogate, epochs=epochs, lr=lr, weight_decay=weight_decay, standardize=standardize,
            batch_size=batch_size, fanouts=fanouts,
        )  # fmt: skip

    def _loss(self, output: Tensor, goal: Tensor) -> Tensor:
        return rmse_loss(output, goal)


class DistillationStealer(Stealer):
    """Distillation: cross-entropy of the surrogate's softmax with the posteriors of the target.

    Args:
        surrogate: as in `Stealer`; its outputs are logits.
        epochs: passes over the query nodes.
        lr: learning rate.
        weight_decay: of Adam.
        temperature: of the surrogate's softmax, > 0.
        batch_size: as in `Stealer`.
        fanouts: as in `Stealer`.

    Example:
        >>> from types import SimpleNamespace
        >>> from trustlib.gnn_stealing.surrogates import Surrogate
        >>> pair = SimpleNamespace(x=torch.eye(2), edge_index=torch.empty(2, 0, dtype=torch.long))
        >>> surrogate = Surrogate("gin", in_features=2, out_features=2, dropout=0.0, seed=0)
        >>> stealer = DistillationStealer(surrogate, epochs=100, lr=0.01).fit(pair, torch.eye(2))
        >>> stealer.embed(pair).argmax(1).tolist()
        [0, 1]

    Source: Hinton et al. (2015), as a simple attack that needs neither embeddings nor labels; ours in this setting.
    """

    def __init__(
        self,
        surrogate: nn.Module,
        *,
        epochs: int = 200,
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        temperature: float = 1.0,
        batch_size: int | None = None,
        fanouts: tuple[int, ...] = FANOUTS,
    ) -> None:
        self.temperature = inside("temperature", temperature, low=0.0, open_low=True)
        super().__init__(
            surrogate, epochs=epochs, lr=lr, weight_decay=weight_decay, standardize=False,
            batch_size=batch_size, fanouts=fanouts,
        )  # fmt: skip

    def _goal(self, responses: Tensor) -> Tensor:
        positive = responses.clamp(min=0)  # noise and rounding may leave no distribution
        total = positive.sum(dim=1, keepdim=True)
        return torch.where(total > 0, positive / total, torch.full_like(positive, 1 / positive.shape[1]))

    def _loss(self, output: Tensor, goal: Tensor) -> Tensor:
        return soft_cross_entropy(output, goal, temperature=self.temperature)


class ContrastiveStealer(Stealer):
    """Contrast: the surrogate's view of a node has to recognise the target's answer about it among all others.

    p(z) = ELU(z W + b) is shared by both sides; the loss is `info_nce` of p(surrogate(view)) and p(responses).

    Args:
        surrogate: as in `Stealer`.
        epochs: passes over the query nodes.
        lr: learning rate.
        weight_decay: of Adam.
        temperature: of the loss, > 0.
        projector_dim: width of the projector, >= 1.
        augment: view of the edges in every epoch, such as `SpectralReweighting`; None: the graph itself.
        keep_prob: probability of keeping a feature column in a view, in (0, 1]; or "uniform": drawn anew from (0, 1) in
            every epoch, as the published code does where it knows that the target is SAGE.
        standardize: train on standardised responses.
        batch_size: as in `Stealer`; the loss depends on it, so keep it fixed when budgets are compared.
        fanouts: as in `Stealer`.
        chunk: as in `info_nce`.

    Raises:
        ValueError: from ``fit`` also: fewer than two nodes.

    Example:
        >>> from types import SimpleNamespace
        >>> from trustlib.gnn_stealing.surrogates import Surrogate
        >>> pair = SimpleNamespace(x=torch.eye(2), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> surrogate = Surrogate("sage", in_features=2, out_features=3, hidden=4, seed=0)
        >>> stealer = ContrastiveStealer(surrogate, epochs=2, keep_prob=1.0).fit(pair, torch.eye(2, 3))
        >>> len(stealer.history)
        2

    Source: Podhajski et al. (ECAI 2024), hyper-parameters as in their code. Deviation: all nodes at once unless a
        ``batch_size`` is given (published: 1000), and one gradient per step (theirs adds up the gradients of an epoch).
    """

    def __init__(
        self,
        surrogate: nn.Module,
        *,
        epochs: int = 200,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        temperature: float = 1.0,
        projector_dim: int = 128,
        augment: Augmentation | None = None,
        keep_prob: float | Literal["uniform"] = 0.5,
        standardize: bool = False,
        batch_size: int | None = None,
        fanouts: tuple[int, ...] = FANOUTS,
        chunk: int | None = None,
    ) -> None:
        self.temperature = inside("temperature", temperature, low=0.0, open_low=True)
        self.projector_dim = whole("projector_dim", projector_dim, least=1)
        if keep_prob != "uniform":
            inside("keep_prob", keep_prob, low=0.0, high=1.0, open_low=True)
        self.keep_prob = keep_prob
        self.augment, self.chunk = augment, chunk
        self.projector: nn.Linear | None = None
        super().__init__(
            surrogate, epochs=epochs, lr=lr, weight_decay=weight_decay, standardize=standardize,
            batch_size=batch_size, fanouts=fanouts,
        )  # fmt: skip

    def _least(self) -> int:
        return 2

    def _parameters(self, goal: Tensor) -> list[nn.Parameter]:
        self.projector = nn.Linear(goal.shape[1], self.projector_dim).to(goal)
        return list(self.projector.parameters())

    def _view(
        self, data: Any, epoch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        x, edges, weight = data.x, data.edge_index, None
        if self.augment is not None:
            edges, weight = self.augment(edges, x.shape[0], epoch, self.epochs, generator=generator)
        if self.keep_prob == "uniform":
            keep = 1 - float(torch.rand((), generator=generator, device=generator.device))  # in (0, 1]
            x = feature_column_mask(x, keep, generator=generator)
        elif self.keep_prob < 1:
            x = feature_column_mask(x, self.keep_prob, generator=generator)
        return x, edges, weight

    def _loss(self, output: Tensor, goal: Tensor) -> Tensor:
        projector = self.projector
        if projector is None:
            raise ValueError("there is no projector before fit.")
        mine, theirs = (functional.elu(projector(z)) for z in (output, goal))
        return info_nce(mine, theirs, temperature=self.temperature, chunk=self.chunk)
