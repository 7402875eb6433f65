"""The attacks: a surrogate that learns from a service's answers, by regression, by contrast, or by distillation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from trustlib.gnn_stealing.augmentation import Augmentation, feature_column_mask
from trustlib.gnn_stealing.checks import check_graph, inside, is_sparse, seeded, whole
from trustlib.gnn_stealing.losses import info_nce, rmse_loss, soft_cross_entropy
from trustlib.gnn_stealing.messages import MessageGraph
from trustlib.gnn_stealing.outputs import node_outputs
from trustlib.gnn_stealing.sampling import NeighbourSampler
from trustlib.gnn_stealing.splits import as_data, take_rows

FANOUTS = (10, 50)  # neighbours per hop in mini-batches, as published


class Stealer(ABC):
    """A surrogate and the way it is trained; the three attacks differ in the loss and in the view of the graph.

    Args:
        surrogate: any module ``surrogate(x, edge_index, edge_weight)`` whose output is as wide as the responses; it is
            trained in place.
        epochs: passes over the query nodes, >= 1.
        lr: learning rate of Adam, > 0.
        weight_decay: of Adam, >= 0.
        standardize: train on responses with mean 0 and standard deviation 1 in every column; `embed` puts outputs back.
        batch_size: nodes per step, with sampled neighbours; None: all nodes at once.
        fanouts: neighbours per hop of mini-batches, one per layer of the surrogate.

    Raises:
        TypeError, ValueError: no module, or a number outside its range.
    """

    def __init__(
        self,
        surrogate: nn.Module,
        *,
        epochs: int,
        lr: float,
        weight_decay: float,
        standardize: bool,
        batch_size: int | None,
        fanouts: tuple[int, ...],
    ) -> None:
        if not isinstance(surrogate, nn.Module):
            raise TypeError(f"surrogate must be a torch module, got {type(surrogate).__name__}.")
        self.surrogate, self.epochs = surrogate, whole("epochs", epochs, least=1)
        self.lr = inside("lr", lr, low=0.0, open_low=True)
        self.weight_decay = inside("weight_decay", weight_decay, low=0.0)
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size, least=1)
        self.standardize, self.fanouts = standardize, tuple(fanouts)
        self.history: tuple[float, ...] = ()
        self._shift: Tensor | None = None
        self._scale: Tensor | None = None

    def fit(self, query_data: Any, responses: Tensor, *, generator: torch.Generator | None = None) -> Self:
        """Train the surrogate on the answers about all nodes of a query graph; labels are never looked at.

        Args:
            query_data: the graph with x and edge_index as the attacker knows it.
            responses: shape (n, r), row i about node i.
            generator: of views, dropout and batches; None: seed 0. torch's global generator is left as it was.

        Returns:
            Itself, with the loss of every epoch in ``history``.

        Raises:
            TypeError, ValueError: no graph, responses that are not one finite row per node, fewer nodes than the loss
                needs, or a surrogate of another width.
            FloatingPointError: the loss is no longer finite.
        """
        data = as_data(query_data)
        check_graph(data)
        data, responses = self._placed(
            data, _check_responses(responses, data.x.shape[0], least=self._least())
        )
        goal = self._goal(responses)
        generator = torch.Generator().manual_seed(0) if generator is None else generator
        with seeded(int(torch.randint(2**31, (1,), generator=generator))):
            extra = self._parameters(goal)
            optimizer = torch.optim.Adam(
                [*self.surrogate.parameters(), *extra], lr=self.lr, weight_decay=self.weight_decay
            )
            self.surrogate.train()
            self.history = tuple(self._epochs(data, goal, optimizer, generator))
        self.surrogate.eval()
        return self

    def embed(self, data: Any) -> Tensor:
        """What the surrogate says about all nodes of a graph, shape (N, r): evaluation mode, all neighbours, no view.

        Raises:
            TypeError, ValueError: no graph, or outputs that are not finite.
        """
        out = node_outputs(self.surrogate, data)[0]
        return (
            out
            if self._scale is None or self._shift is None
            else out * self._scale.to(out) + self._shift.to(out)
        )

    # ------------------------------------------------------------------------------------------------ what differs

    @abstractmethod
    def _loss(self, output: Tensor, goal: Tensor) -> Tensor:
        """The loss of a batch: outputs and responses of the same nodes, both (n, r)."""

    def _least(self) -> int:
        """Fewest nodes of a query graph."""
        return 1

    def _parameters(self, goal: Tensor) -> list[nn.Parameter]:
        """What is trained besides the surrogate."""
        return []

    def _view(
        self, data: Any, epoch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Features, edges and weights of one epoch."""
        return data.x, data.edge_index, None

    # ---------------------------------------------------------------------------------------------- what is common

    def _placed(self, data: Any, responses: Tensor) -> tuple[Any, Tensor]:
        """Graph and responses where the surrogate is; dense features where it takes no others."""
        device = next((p.device for p in self.surrogate.parameters()), data.x.device)
        x = data.x.to_dense() if is_sparse(data.x) and not self._takes_sparse else data.x
        placed = SimpleNamespace(x=x.to(device), edge_index=data.edge_index.to(device, torch.int64))
        return placed, responses.to(device)

    @property
    def _takes_sparse(self) -> bool:
        """Whether the surrogate takes sparse features and prepared edges, as those of this room do."""
        return bool(getattr(self.surrogate, "sparse_features", False))

    def _goal(self, responses: Tensor) -> Tensor:
        """Responses as the loss sees them."""
        self._shift = self._scale = None
        if not self.standardize:
            return responses
        self._shift = responses.mean(dim=0)
        self._scale = responses.std(dim=0, correction=0).clamp(min=torch.finfo(responses.dtype).eps)
        return (responses - self._shift) / self._scale

    def _epochs(
        self, data: Any, goal: Tensor, optimizer: torch.optim.Optimizer, generator: torch.Generator
    ) -> Iterator[float]:
        """Train; the mean loss of every epoch."""
        self._last: tuple[Tensor, Tensor | None, Any] | None = None
        for epoch in range(self.epochs):
            x, edges, weight = self._view(data, epoch, generator)
            total, seen = 0.0, 0
            for nodes, output in self._outputs(x, edges, weight, generator):
                optimizer.zero_grad()
                loss = self._loss(output, goal if nodes is None else goal[nodes])
                loss.backward()
                optimizer.step()
                total, seen = total + float(loss.detach()) * len(output), seen + len(output)
            mean = total / seen
            if not math.isfinite(mean):
                raise FloatingPointError(
                    f"the loss is {mean} in epoch {epoch + 1}: training diverged. Lower lr={self.lr:g} or use "
                    "standardize=True."
                )
            yield mean
        self._last = None

    def _outputs(
        self, x: Tensor, edges: Tensor, weight: Tensor | None, generator: torch.Generator
    ) -> Iterator[tuple[Tensor | None, Tensor]]:
        """Outputs of all nodes at once, or batch by batch with the nodes they are about."""
        n = x.shape[0]
        if self.batch_size is None or self.batch_size >= n:
            yield None, self.surrogate(x, *self._prepared(edges, weight, n))
            return
        sampler = self._prepared_sampler(edges, weight, n)
        least = self._least()
        for block in sampler.batches(
            torch.arange(n, device=edges.device),
            batch_size=self.batch_size,
            fanouts=self.fanouts,
            generator=generator,
        ):
            if block.seeds < least:
                continue  # a rest that has nothing to be told from
            part = take_rows(x, block.nodes)
            out = self.surrogate(part, block.edge_index, block.edge_weight)
            yield block.nodes[: block.seeds], out[: block.seeds]

    def _prepared(self, edges: Tensor, weight: Tensor | None, n: int) -> tuple[Any, ...]:
        """Edges as the surrogate takes them, sorted once per view where it is one of this room."""
        if not self._takes_sparse:
            return (edges,) if weight is None else (edges, weight)
        return (self._once(edges, weight, lambda: MessageGraph.build(edges, weight, num_nodes=n)),)

    def _prepared_sampler(self, edges: Tensor, weight: Tensor | None, n: int) -> NeighbourSampler:
        """A sampler of the view, made once."""
        made: NeighbourSampler = self._once(
            edges, weight, lambda: NeighbourSampler(edges, num_nodes=n, edge_weight=weight)
        )
        return made

    def _once(self, edges: Tensor, weight: Tensor | None, make: Any) -> Any:
        """Keep what was made for the same edges and weights."""
        if self._last is None or self._last[0] is not edges or self._last[1] is not weight:
            self._last = (edges, weight, make())
        return self._last[2]


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


def _check_responses(responses: Any, n: int, *, least: int) -> Tensor:
    """Finite floating rows (n, r), one per node."""
    if not isinstance(responses, Tensor) or responses.ndim != 2 or not responses.is_floating_point():
        shape = tuple(getattr(responses, "shape", ())) or type(responses).__name__
        raise TypeError(
            f"responses must be a floating tensor (n, r), got {shape}. Labels are no responses to regress on: use "
            "one-hot rows, or train_target on them."
        )
    if responses.shape[0] != n or responses.shape[1] == 0:
        raise ValueError(
            f"responses must have one row for each of the {n} query nodes, got {tuple(responses.shape)}. Ask about all "
            "nodes of the query graph, or cut it to those that were answered."
        )
    if n < least:
        raise ValueError(f"the query graph has {n} nodes, this loss needs at least {least}.")
    bad = int((~responses.isfinite()).any(dim=1).sum())
    if bad:
        raise ValueError(
            f"responses hold NaN or infinite values in {bad} of {n} rows. Drop these nodes from the query."
        )
    return responses.detach()
