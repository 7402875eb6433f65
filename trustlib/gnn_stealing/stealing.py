"""What all attacks have in common: a surrogate that is trained on a service's answers, whole or in mini-batches."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor, nn

from trustlib.gnn_stealing.checks import check_graph, inside, is_sparse, seeded, whole
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
