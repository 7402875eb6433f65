"""Training of the service's model: any module from features and edges to logits."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trustlib.gnn_stealing.checks import check_graph, check_labels, inside, is_sparse, one_of, seeded, whole
from trustlib.gnn_stealing.sampling import NeighbourSampler
from trustlib.gnn_stealing.splits import as_data, take_rows
from trustlib.gnn_stealing.surrogates import ARCHITECTURES, Architecture
from trustlib.gnn_stealing.targets import TargetGNN


def train_target(
    target: Architecture | nn.Module,
    data: Any,
    *,
    epochs: int = 200,
    lr: float = 1e-3,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    fanouts: tuple[int, ...] | None = None,
    hidden: int = 256,
    seed: int,
    progress: bool | None = False,
) -> nn.Module:
    """A trained node classifier: cross-entropy on all nodes of a graph, Adam, no early stopping.

    Args:
        target: an architecture of `TargetGNN`, or any module ``model(x, edge_index)`` that returns logits or
            (logits, embeddings); a copy of it is trained, from the weights it has.
        data: the owner's graph with x, edge_index and y, usually ``split.target``.
        epochs: passes over the nodes.
        lr: learning rate.
        weight_decay: of Adam.
        batch_size: nodes per step, with sampled neighbours; None: the whole graph at once.
        fanouts: neighbours per hop in mini-batches, one per layer; None: (10, 25) for sage, else (10, 10, 10).
        hidden: width, for an architecture by name.
        seed: of weights, dropout, batches. torch's global generator is left as it was.
        progress: show a bar on stderr; None: only on a terminal.

    Returns:
        The model in evaluation mode; its ``training_losses`` holds the mean loss of every epoch.

    Raises:
        TypeError, ValueError: no graph, no edges, NaN features, edges out of range, fewer than two classes, or a
            number out of range.
        FloatingPointError: the loss is no longer finite.

    Source: training of targets in the code of Shen et al., S&P 2022. Deviation: the whole graph at once unless a
        ``batch_size`` is given (published: 512).
    """
    data = as_data(data)
    check_graph(data)
    labels = check_labels(data)
    if data.edge_index.shape[1] == 0:
        raise ValueError(
            "data has no edges: a graph network on it is a plain classifier of features. Use a larger part of the "
            "graph, or a classifier of scikit-learn."
        )
    whole("epochs", epochs, least=1)
    inside("lr", lr, low=0.0, open_low=True)
    inside("weight_decay", weight_decay, low=0.0)
    model = _start(target, data, labels, hidden=hidden, seed=seed).to(data.x.device)
    hops = _hops(model, batch_size, fanouts)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=weight_decay)
    model.training_losses = []
    model.train()
    with seeded(seed + 1), bar(epochs, "target", shown=progress) as advance:
        generator = torch.Generator().manual_seed(seed)
        for epoch in range(epochs):
            loss = _epoch(
                model, optimizer, data, labels, batch_size=batch_size, hops=hops, generator=generator
            )
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} in epoch {epoch + 1}: training diverged. Lower lr={lr:g} or scale the "
                    "features."
                )
            model.training_losses.append(loss)
            advance()
    return model.eval()


def _start(target: Any, data: Any, labels: Tensor, *, hidden: int, seed: int) -> Any:
    """A new model by name, or a copy of the one given."""
    if isinstance(target, nn.Module):
        return copy.deepcopy(target)
    if not isinstance(target, str):
        raise TypeError(f"target must be an architecture or a torch module, got {type(target).__name__}.")
    one_of("target", target, ARCHITECTURES)
    classes = int(labels.max()) + 1
    architecture: Architecture = target  # type: ignore[assignment]
    return TargetGNN(architecture, in_features=data.x.shape[1], num_classes=classes, hidden=hidden, seed=seed)


def _hops(model: nn.Module, batch_size: int | None, fanouts: tuple[int, ...] | None) -> tuple[int, ...]:
    """Fan-outs of mini-batches."""
    if batch_size is not None:
        whole("batch_size", batch_size, least=1)
    if fanouts is not None:
        return tuple(fanouts)
    return (10, 25) if getattr(model, "architecture", None) == "sage" else (10, 10, 10)


def _epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Any,
    labels: Tensor,
    *,
    batch_size: int | None,
    hops: tuple[int, ...],
    generator: torch.Generator,
) -> float:
    """Every node once; the mean loss."""
    n = data.x.shape[0]
    if batch_size is None:
        return _step(model, optimizer, _dense_if_needed(model, data.x), data.edge_index, labels)
    sampler = NeighbourSampler(data.edge_index, num_nodes=n)
    total = 0.0
    for block in sampler.batches(
        torch.arange(n, device=data.x.device), batch_size=batch_size, fanouts=hops, generator=generator
    ):
        x = _dense_if_needed(model, take_rows(data.x, block.nodes))
        total += block.seeds * _step(
            model, optimizer, x, block.edge_index, labels[block.nodes[: block.seeds]]
        )
    return total / n


def _step(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, edge_index: Tensor, labels: Tensor
) -> float:
    """One step on the first ``len(labels)`` nodes."""
    optimizer.zero_grad()
    out = model(x, edge_index)
    logits = out[0] if isinstance(out, tuple) else out
    loss = functional.cross_entropy(logits[: len(labels)], labels)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _dense_if_needed(model: nn.Module, x: Tensor) -> Tensor:
    """Sparse features for models that take them, dense ones for others."""
    return x.to_dense() if is_sparse(x) and not getattr(model, "sparse_features", False) else x


@contextmanager
def bar(total: int, label: str, *, shown: bool | None) -> Iterator[Callable[[], object]]:
    """A progress bar on stderr that leaves nothing behind; yields what moves it on by one."""
    from tqdm.auto import tqdm

    visible = sys.stderr.isatty() if shown is None else shown
    with tqdm(total=total, desc=label, disable=not visible, leave=False) as meter:
        yield lambda: meter.update(1)
